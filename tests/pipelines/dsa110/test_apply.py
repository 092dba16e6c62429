"""Applied solutions give back the true visibilities, and what has none is flagged."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from towpath.pipelines.dsa110.science.apply import apply, interpolate
from towpath.pipelines.dsa110.science.lookup import LookupFailure
from towpath.pipelines.dsa110.science.solutions import Solutions
from towpath.pipelines.dsa110.science.solve import solve_bandpass, solve_gains


def solutions_of(gains: np.ndarray[Any, Any], vis: Any, kind: str = "B") -> Solutions:
    """Solutions of known gains (t, station, channel, receptor), evenly over the observation."""
    begin, end = vis.time.min() - vis.interval[0] / 2, vis.time.max() + vis.interval[0] / 2
    length = (end - begin) / len(gains)
    return Solutions(
        kind,
        begin + length * (np.arange(len(gains)) + 0.5),
        np.full(len(gains), length),
        vis.frequency if kind == "B" else np.array([vis.frequency.mean()]),
        vis.stations.names,
        ("X", "Y"),
        gains.astype(complex),
        np.zeros(gains.shape, bool),
        np.ones(gains.shape),
        np.ones(gains.shape),
        0,
    )


def test_true_gains_give_back_the_model(corrupted: Callable[..., Any]) -> None:
    field = corrupted(noise=1e-6, channels=8)
    found = apply(field.vis, solutions_of(field.gains[:1], field.vis), None)
    cross = field.vis.is_cross
    expected = np.broadcast_to(field.model, found.data.shape)[cross]
    np.testing.assert_allclose(found.data[cross], expected, rtol=1e-4, atol=1e-3)


def test_solved_gains_calibrate_to_within_the_noise(corrupted: Callable[..., Any]) -> None:
    field = corrupted(drift=0.5)
    bandpass = solve_bandpass(field.vis, field.model)
    gains = solve_gains(field.vis, field.model, bandpass=bandpass, interval=12.9)
    found = apply(field.vis, bandpass, gains)
    left = (found.data - field.model)[field.vis.is_cross]
    weight = found.weights[field.vis.is_cross]
    chi_square = np.mean(weight * np.abs(left) ** 2) / 2.0
    assert chi_square == pytest.approx(1.0, abs=0.15)


def test_weights_follow_the_data(corrupted: Callable[..., Any]) -> None:
    field = corrupted(channels=4, integrations=2)
    gains = np.full((1, 16, 4, 2), 2.0 + 0j)
    found = apply(field.vis, solutions_of(gains, field.vis), None, None)
    np.testing.assert_allclose(found.weights, field.vis.weights * 16.0, rtol=1e-6)
    np.testing.assert_allclose(found.data, field.vis.data / 4.0, rtol=1e-6)


def test_three_tables_multiply_and_may_be_in_another_order(corrupted: Callable[..., Any]) -> None:
    field = corrupted(channels=6, integrations=4)
    vis, random = field.vis, np.random.default_rng(0)
    one = solutions_of(random.normal(1, 0.1, (1, 16, 6, 2)), vis)
    two = solutions_of(random.normal(1, 0.1, (1, 16, 1, 2)), vis, "G")
    three = solutions_of(random.normal(1, 0.1, (4, 16, 1, 2)), vis, "G")
    order = random.permutation(16)
    mixed = replace(
        one,
        stations=tuple(one.stations[k] for k in order),
        polarisations=("Y", "X"),
        gains=one.gains[:, order][..., ::-1],
        flags=one.flags[:, order],
    )
    found = apply(vis, mixed, two, three)
    t = np.searchsorted(np.unique(vis.time), vis.time)
    total = (one.gains * two.gains * three.gains)[t]
    rows = np.arange(len(t))
    expected = vis.data / (total[rows, vis.antenna1] * np.conj(total[rows, vis.antenna2]))
    np.testing.assert_allclose(found.data, expected, rtol=1e-5)


def test_a_block_of_rows_and_channels_gets_what_the_whole_gets(calibrator_field: Any) -> None:
    vis = calibrator_field.vis
    bandpass = solve_bandpass(vis, calibrator_field.model)
    whole = apply(vis, bandpass, None)
    part = replace(
        vis,
        frequency=vis.frequency[5:9],
        data=vis.data[:, 5:9],
        flags=vis.flags[:, 5:9],
        weights=vis.weights[:, 5:9],
    )
    np.testing.assert_array_equal(apply(part, bandpass, None).data, whole.data[:, 5:9])


def test_in_place_changes_the_arrays_that_were_given(corrupted: Callable[..., Any]) -> None:
    field = corrupted(channels=4, integrations=2)
    table = solutions_of(field.gains[:1], field.vis)
    apart = apply(field.vis, table, None)
    found = apply(field.vis, table, None, in_place=True)
    assert found.data is field.vis.data
    np.testing.assert_array_equal(found.data, apart.data)
    np.testing.assert_array_equal(found.weights, apart.weights)


def test_samples_without_a_solution_are_flagged_and_unchanged(corrupted: Callable[..., Any]) -> None:
    field = corrupted(channels=4, integrations=2)
    table = solutions_of(field.gains[:1], field.vis)
    table.flags[0, 3, 2, 1] = True
    found = apply(field.vis, table, None)
    of_three = (field.vis.antenna1 == 3) | (field.vis.antenna2 == 3)
    assert found.flags[of_three, 2, 1].all()
    assert found.flags.sum() == of_three.sum()
    np.testing.assert_array_equal(found.data[of_three, 2, 1], field.vis.data[of_three, 2, 1])
    assert not field.vis.flags.any()


def test_linear_interpolation_takes_amplitude_and_phase_the_short_way() -> None:
    gains = np.array([1.0 * np.exp(3.0j), 3.0 * np.exp(-3.0j), 5.0])[:, None, None, None]
    flags = np.array([False, False, True])[:, None, None, None]
    found, flagged = interpolate(
        np.array([0.0, 10.0, 20.0]), gains, flags, np.array([-5.0, 5.0, 15.0, 25.0]), "linear"
    )
    middle = 3.0 + (2 * np.pi - 6.0) / 2.0
    expected = [np.exp(3.0j), 2.0 * np.exp(1j * middle), 3.0 * np.exp(-3.0j), 3.0 * np.exp(-3.0j)]
    np.testing.assert_allclose(found[:, 0, 0, 0], expected, rtol=1e-6)
    assert not flagged.any()
    nearest, flagged = interpolate(
        np.array([0.0, 10.0, 20.0]), gains, flags, np.array([4.0, 6.0, 19.0]), "nearest"
    )
    np.testing.assert_allclose(nearest[:, 0, 0, 0], gains[:, 0, 0, 0], rtol=1e-6)
    assert flagged[:, 0, 0, 0].tolist() == [False, False, True]


def test_solutions_of_other_data_are_an_error(corrupted: Callable[..., Any]) -> None:
    field = corrupted(channels=4, integrations=2)
    vis, table = field.vis, solutions_of(field.gains[:1], field.vis)
    with pytest.raises(
        LookupFailure, match=r"channel at 1350\.100000 MHz: the nearest solution is at 1350\.0"
    ):
        apply(replace(vis, frequency=vis.frequency + 1e5), table, None)
    renamed = replace(table, stations=("other", *table.stations[1:]))
    with pytest.raises(LookupFailure, match="no station 'DSA-001'; found other"):
        apply(vis, renamed, None)
    with pytest.raises(LookupFailure, match="no receptor 'L'"):
        apply(replace(vis, polarisations=("RR", "LL")), table, None)
    with pytest.raises(ValueError, match="interpolation: found 'cubic'"):
        apply(vis, table, None, interpolation="cubic")
