"""Gains are recovered from corrupted visibilities, with errors that tell the truth about themselves."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.optimize import least_squares

from towpath.pipelines.dsa110.science.solve import quality, solve_bandpass, solve_gains
from towpath.pipelines.dsa110.science.sums import SolveError, divide, rows_of

Arrays = np.ndarray[Any, Any]


def aligned(found: Arrays, truth: Arrays) -> Arrays:
    """The truth, turned by the one phase that fits best: no solver can know it. Arrays (station, …)."""
    turn = np.sum(found * np.conj(truth), axis=0)
    return truth * turn / np.abs(turn)


def mean_of(gains: Arrays) -> Arrays:
    """Mean over time of the phases, amplitudes as they are."""
    return gains.mean(axis=0) * np.abs(gains[0]) / np.abs(gains.mean(axis=0))


def test_a_bandpass_is_recovered_with_honest_errors(corrupted: Callable[..., Any]) -> None:
    field = corrupted(n=20, channels=32, integrations=12, drift=0.1)
    found = solve_bandpass(field.vis, field.model)
    truth = aligned(found.gains[0], mean_of(field.gains))
    difference = found.gains[0] - truth
    # Normal equations of n stations: variance of each part is about noise² / ((n - 1) integrations |M|² |g|²).
    expected = field.noise / np.sqrt(19 * 12 * np.mean(np.abs(field.model) ** 2))
    assert not found.flags.any()
    assert np.sqrt(np.mean(np.abs(difference) ** 2) / 2.0) == pytest.approx(expected, rel=0.1)
    assert np.median(found.errors) == pytest.approx(expected, rel=0.1)
    assert np.mean(np.abs(difference) ** 2 / found.errors[0] ** 2) / 2.0 == pytest.approx(1.0, abs=0.12)
    assert found.facts["reduced_chi_square"] == pytest.approx(1.0, abs=0.1)
    assert np.abs(np.angle(found.gains[0, found.reference])).max() < 1e-9


def test_without_noise_the_gains_are_exact(corrupted: Callable[..., Any]) -> None:
    field = corrupted(n=10, channels=8, integrations=4, noise=1e-4)
    found = solve_bandpass(field.vis, field.model, pre_phase=None)
    truth = aligned(found.gains[0], field.gains[0])
    np.testing.assert_allclose(found.gains[0], truth, rtol=1e-4)


def test_phases_that_drift_do_not_weaken_the_bandpass(corrupted: Callable[..., Any]) -> None:
    field = corrupted(integrations=24, channels=8, drift=1.5)
    amplitude = np.abs(field.gains[0])
    with_phases = np.abs(solve_bandpass(field.vis, field.model).gains[0]) / amplitude
    without = np.abs(solve_bandpass(field.vis, field.model, pre_phase=None).gains[0]) / amplitude
    assert with_phases.mean() == pytest.approx(1.0, abs=0.01)
    assert without.mean() < 0.97


def test_gains_of_short_intervals_follow_a_drift(corrupted: Callable[..., Any]) -> None:
    field = corrupted(drift=0.6, integrations=12, channels=16)
    bandpass = solve_bandpass(field.vis, field.model)
    found = solve_gains(field.vis, field.model, interval=12.9, bandpass=bandpass)
    assert found.gains.shape == (12, 16, 1, 2)
    np.testing.assert_allclose(found.time, np.unique(field.vis.time))
    product = found.gains * bandpass.gains
    truth = np.stack([aligned(product[t], field.gains[t]) for t in range(12)])
    ratio = (product / truth).mean(axis=2)
    expected = field.noise * np.sqrt(2.0 / (15 * 16 * np.mean(np.abs(field.model) ** 2)))
    assert np.sqrt(np.mean(np.abs(ratio - 1.0) ** 2)) == pytest.approx(expected, rel=0.15)
    assert quality(found)["dead_stations"] == 0


def test_gains_over_the_whole_observation_are_within_one_percent(corrupted: Callable[..., Any]) -> None:
    field = corrupted(n=20, channels=32, integrations=12)
    bandpass = solve_bandpass(field.vis, field.model)
    scaled = replace(bandpass, gains=bandpass.gains * 1.25)
    found = solve_gains(field.vis, field.model, bandpass=scaled)
    np.testing.assert_allclose(found.gains, 0.8, atol=0.008)
    assert found.kind == "G" and found.gains.shape == (1, 20, 1, 2)


def test_phases_alone_keep_the_amplitude_one(calibrator_field: Any) -> None:
    bandpass = solve_bandpass(calibrator_field.vis, calibrator_field.model)
    turns = np.exp(1j * np.linspace(-1.0, 1.0, 16))[None, :, None, None]
    turned = replace(bandpass, gains=bandpass.gains * turns)
    found = solve_gains(calibrator_field.vis, calibrator_field.model, mode="p", bandpass=turned, reference=0)
    np.testing.assert_allclose(np.abs(found.gains), 1.0)
    wanted = np.conj(turns / turns[:, :1])[..., 0]
    assert np.abs(np.angle(found.gains[0, :, 0] / wanted[0])).max() < 5.0 * np.median(found.errors)


def test_an_independent_solver_finds_the_same_gains(corrupted: Callable[..., Any]) -> None:
    field = corrupted(n=6, channels=1, integrations=3)
    vis = field.vis
    found = solve_bandpass(vis, field.model, pre_phase=None, reference=0, min_baselines=3)
    cross = vis.is_cross
    one, two = vis.antenna1[cross], vis.antenna2[cross]
    data, model = vis.data[cross, 0, 0].astype(complex), field.model[cross, 0, 0].astype(complex)

    def gains_of(x: Arrays) -> Arrays:
        return x[:6] + 1j * np.concatenate([[0.0], x[6:]])

    def residual(x: Arrays) -> Arrays:
        gains = gains_of(x)
        left = data - gains[one] * np.conj(gains[two]) * model
        return np.concatenate([left.real, left.imag]) / field.noise

    begin = field.gains[0, :, 0, 0] * np.exp(-1j * np.angle(field.gains[0, 0, 0, 0]))
    fit = least_squares(
        residual, np.concatenate([begin.real, begin.imag[1:]]), xtol=1e-12, ftol=1e-12, gtol=1e-12
    )
    np.testing.assert_allclose(found.gains[0, :, 0, 0], gains_of(fit.x), rtol=1e-4)
    freedom = 2 * len(data) - 11
    assert found.errors[0, :, 0, 0] == pytest.approx(
        np.sqrt(2.0 * fit.cost / freedom)
        / np.sqrt(
            [
                np.sum(np.abs(model[(one == p) | (two == p)]) ** 2 * _other(fit.x, one, two, p))
                for p in range(6)
            ]
        )
        * field.noise,
        rel=1e-3,
    )


def _other(x: Arrays, one: Arrays, two: Arrays, p: int) -> Arrays:
    strength = np.abs(x[:6] + 1j * np.concatenate([[0.0], x[6:]])) ** 2
    rows = (one == p) | (two == p)
    return np.where(one[rows] == p, strength[two[rows]], strength[one[rows]])


def test_a_station_of_noise_is_found_and_harms_no_other(corrupted: Callable[..., Any]) -> None:
    field = corrupted(n=20, channels=16)
    vis, random = field.vis, np.random.default_rng(5)
    rows = ((vis.antenna1 == 7) | (vis.antenna2 == 7)) & vis.is_cross
    vis.data[rows] = random.normal(0, 2.3, (*vis.data[rows].shape, 2)) @ np.array([1.0, 1.0j])
    found = solve_bandpass(vis, field.model)
    assert found.flags[0, 7].mean() > 0.95
    assert quality(found)["dead_stations"] == 1
    others = np.arange(20) != 7
    truth = aligned(found.gains[0, others], field.gains[0, others])
    assert np.sqrt(np.mean(np.abs(found.gains[0, others] / truth - 1.0) ** 2)) < 0.02
    assert found.reference != 7


def test_flagged_data_and_values_that_are_not_finite_are_left_out(corrupted: Callable[..., Any]) -> None:
    field = corrupted(channels=8)
    vis = field.vis
    vis.flags[:40] = True
    vis.data[:40] = 1e6
    vis.data[50:60, 3] = np.nan
    vis.data[60:70, 2] = np.inf
    vis.weights[70:80] = 0.0
    vis.data[70:80] = 1e6
    found = solve_bandpass(vis, field.model)
    ratio = found.gains[0] / aligned(found.gains[0], field.gains[0])
    assert np.abs(ratio - 1.0).max() < 0.1


def test_short_gaps_are_filled_and_long_ones_are_not(corrupted: Callable[..., Any]) -> None:
    field = corrupted(n=12, channels=24, noise=0.2)
    vis = field.vis
    vis.flags[:, 4:7] = True
    vis.flags[:, 12:16] = True
    found = solve_bandpass(vis, field.model, fill_gaps=3)
    assert found.flags.any(axis=(0, 1, 3)).tolist() == [12 <= c < 16 for c in range(24)]
    ratio = found.gains[0, :, 4:7] / aligned(found.gains[0], field.gains[0])[:, 4:7]
    assert np.abs(ratio - 1.0).max() < 0.1
    assert (found.snr[0, :, 4:7] > 5.0).all()
    np.testing.assert_array_equal(found.gains[0, :, 12:16], 1.0)


def test_solutions_below_the_least_snr_are_flagged(corrupted: Callable[..., Any]) -> None:
    field = corrupted(noise=60.0)
    found = solve_bandpass(field.vis, field.model, fill_gaps=0)
    assert 0.1 < found.flagged < 1.0
    assert found.snr[~found.flags].min() >= 5.0
    assert found.snr[found.flags].max() == 0.0
    with pytest.raises(SolveError, match=r"all flagged.*highest signal-to-noise ratio"):
        solve_bandpass(field.vis, field.model, min_snr=1e4)


def test_stations_with_few_baselines_and_short_baselines_are_left_out(corrupted: Callable[..., Any]) -> None:
    field = corrupted(channels=4)
    vis = field.vis
    of_three = (vis.antenna1 == 3) | (vis.antenna2 == 3)
    to_some = np.isin(vis.antenna1 + vis.antenna2 - 3, (0, 1, 2))
    vis.flags[of_three & ~to_some] = True
    found = solve_bandpass(vis, field.model, fill_gaps=0)
    assert found.flags[0].all(axis=(1, 2)).tolist() == [s == 3 for s in range(16)]
    longer = solve_bandpass(vis, field.model, uv_min=500.0)
    assert longer.facts["samples"] < found.facts["samples"]


def test_where_the_reference_has_no_solution_phases_follow_on(corrupted: Callable[..., Any]) -> None:
    field = corrupted(channels=12, noise=0.2)
    vis = field.vis
    vis.flags[(vis.antenna1 == 0) | (vis.antenna2 == 0), 5:] = True
    found = solve_bandpass(vis, field.model, reference=0, fill_gaps=0)
    steps = np.angle(found.gains[0, 1:, 1:] / found.gains[0, 1:, :-1])
    assert np.abs(steps).max() < 0.3  # slopes are 0.01 rad and the noise is less: no jump at channel 5


def test_the_reference_is_chosen_by_data_or_by_name(calibrator_field: Any) -> None:
    vis, model = calibrator_field.vis, calibrator_field.model
    chosen = solve_bandpass(vis, model)
    assert chosen.facts["reference"] == chosen.stations[chosen.reference]
    assert "signal-to-noise" in chosen.facts["reference_reason"]
    name = vis.stations.names[2]
    assert solve_bandpass(vis, model, reference=name).reference == 2
    with pytest.raises(SolveError, match=r"reference station: found 'DSA-999'; expected one of DSA-001"):
        solve_bandpass(vis, model, reference="DSA-999")


def test_blocks_of_rows_and_a_function_for_the_model_give_the_same(calibrator_field: Any) -> None:
    vis, model = calibrator_field.vis, calibrator_field.model
    whole = solve_bandpass(vis, model)
    size = 300
    begins = range(0, len(vis.time), size)
    first_rows = iter(begins)

    def predict(block: Any) -> Arrays:
        first = next(first_rows)
        return np.asarray(model[first : first + len(block.time)])

    blocks = (rows_of(vis, slice(k, k + size)) for k in begins)
    streamed = solve_bandpass(blocks, predict, like=vis, times=vis.time)
    np.testing.assert_allclose(streamed.gains, whole.gains, rtol=1e-4, atol=1e-5)
    with pytest.raises(SolveError, match="expected `like`"):
        solve_bandpass(iter([vis]), model)
    with pytest.raises(SolveError, match=r"found shape \(10, 3\)"):
        solve_bandpass(vis, np.zeros((10, 3)))


def test_rows_with_stations_in_either_order_give_the_same(calibrator_field: Any) -> None:
    vis, model = calibrator_field.vis, calibrator_field.model
    turned = replace(vis, antenna1=vis.antenna2, antenna2=vis.antenna1, uvw=-vis.uvw, data=np.conj(vis.data))
    one = solve_bandpass(vis, model)
    two = solve_bandpass(turned, np.conj(model))
    np.testing.assert_allclose(two.gains, one.gains, rtol=1e-4, atol=1e-5)
    g_one = solve_gains(vis, model, bandpass=one)
    g_two = solve_gains(turned, np.conj(model), bandpass=one)
    np.testing.assert_allclose(g_two.gains, g_one.gains, rtol=1e-4, atol=1e-5)


def test_only_parallel_hands_are_solved(corrupted: Callable[..., Any]) -> None:
    field = corrupted(channels=4)
    vis = field.vis
    four = replace(
        vis,
        polarisations=("XX", "XY", "YX", "YY"),
        data=np.ascontiguousarray(vis.data[:, :, [0, 0, 1, 1]]),
        flags=np.ascontiguousarray(vis.flags[:, :, [0, 0, 1, 1]]),
        weights=np.ascontiguousarray(vis.weights[:, :, [0, 0, 1, 1]]),
    )
    found = solve_bandpass(four, field.model)
    assert found.polarisations == ("X", "Y")
    np.testing.assert_allclose(found.gains, solve_bandpass(vis, field.model).gains, rtol=1e-6)
    with pytest.raises(SolveError, match="no parallel hand"):
        solve_bandpass(replace(four, polarisations=("XY", "YX")), field.model)


def test_intervals_divide_the_observation_evenly() -> None:
    times = 10.0 + 12.9 * np.arange(24)
    found = divide(times, 12.9, 60.0)
    assert len(found.middle) == 5
    assert set(np.bincount(found.number)) == {4, 5}
    assert found.length.sum() == pytest.approx(24 * 12.9)
    assert divide(times, 12.9, np.inf).length == pytest.approx([24 * 12.9])
    assert len(divide(times, 12.9, 1.0).middle) == 24
    np.testing.assert_array_equal(found.of(times + 0.01), found.number)


def test_nothing_to_solve_is_an_error(corrupted: Callable[..., Any]) -> None:
    field = corrupted(channels=2, integrations=2)
    field.vis.flags[:] = True
    with pytest.raises(SolveError, match="every sample is flagged"):
        solve_bandpass(field.vis, field.model)
    with pytest.raises(SolveError, match="mode: found 'a'"):
        solve_gains(field.vis, field.model, mode="a")
