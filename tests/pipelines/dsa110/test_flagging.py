"""Interference that was put in is found, and the sky, however strong, is left alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from towpath.pipelines.dsa110.science.flagging import FlagSettings, flag
from towpath.pipelines.dsa110.science.sky import Sky, points
from towpath.pipelines.dsa110.science.sumthreshold import grow, sum_threshold

Arrays = np.ndarray[Any, Any]
RA, DEC = np.radians(202.8), np.radians(30.5)
NOISE = 2.3
TIMES = 24


def source(*fluxes: float) -> Sky:
    """Point sources within the beam, the first at the centre."""
    n = len(fluxes)
    offsets = np.array([[0.0, 0.0], [0.02, 0.01], [-0.015, -0.02], [0.03, 0.02]])[:n]
    return points(RA + offsets[:, 0], DEC + offsets[:, 1], np.array(fluxes), 1.4e9)


def integration(vis: Any) -> Arrays:
    """Number of the integration of every row."""
    return np.unique(vis.time, return_inverse=True)[1]


def interfere(vis: Any, times: Arrays, channels: Arrays, amplitude: float, seed: int = 3) -> Arrays:
    """Add interference of any phase to all baselines; where it is, as an array of bool."""
    random = np.random.default_rng(seed)
    where = np.zeros(vis.flags.shape, bool)
    where[np.ix_(np.flatnonzero(np.isin(integration(vis), times) & vis.is_cross), channels)] = True
    vis.data[where] += (amplitude * np.exp(2j * np.pi * random.uniform(size=where.sum()))).astype(
        np.complex64
    )
    return where


EVERY = np.arange(TIMES)


@pytest.mark.parametrize(
    ("times", "channels"),
    [
        (EVERY, np.array([50])),
        (EVERY, np.array([60, 61, 62])),
        (EVERY, np.arange(30, 60)),
        (np.array([7]), np.arange(128)),
        (np.array([15]), np.arange(40, 100)),
        (np.arange(4, 9), np.array([90, 91])),
    ],
    ids=["one channel", "three channels", "wide", "burst", "part of a burst", "intermittent"],
)
@pytest.mark.parametrize("flux", [0.1, 15.0], ids=["weak field", "strong source"])
def test_strong_interference_is_found(
    corrupted: Callable[..., Any], times: Arrays, channels: Arrays, flux: float
) -> None:
    vis = corrupted(n=8, channels=128, integrations=TIMES, sky=source(flux)).vis
    where = interfere(vis, times, channels, 20.0 * NOISE)
    flag(vis)
    assert vis.flags[where].mean() >= 0.95
    others = vis.is_cross[:, None, None] & ~where
    assert vis.flags[others].mean() <= 0.02


def test_weak_steady_interference_is_found(corrupted: Callable[..., Any]) -> None:
    vis = corrupted(n=8, channels=128, integrations=TIMES, sky=source(0.1)).vis
    where = interfere(vis, EVERY, np.array([50, 51]), 3.0 * NOISE)
    flag(vis)
    assert vis.flags[where].mean() >= 0.95


@pytest.mark.parametrize(
    "fluxes", [(0.1,), (15.0,), (1500.0,), (15.0, 5.0), (50.0, 40.0, 20.0, 10.0)], ids=str
)
def test_noise_and_the_sky_are_not_flagged(corrupted: Callable[..., Any], fluxes: tuple[float, ...]) -> None:
    vis = corrupted(n=8, channels=192, integrations=TIMES, sky=source(*fluxes)).vis
    found = flag(vis)
    assert found.fraction < 0.005
    assert found.dead == ()


def test_dead_stations_are_found_and_flagged_whole(corrupted: Callable[..., Any]) -> None:
    vis = corrupted(n=10, channels=64, integrations=12).vis
    silent = (vis.antenna1 == 2) | (vis.antenna2 == 2)
    vis.data[silent] = 0.0
    weak = (vis.antenna1 == 5) | (vis.antenna2 == 5)
    vis.data[weak] *= 1e-3
    lost = (vis.antenna1 == 7) | (vis.antenna2 == 7)
    vis.flags[lost, :62] = True
    found = flag(vis)
    names = vis.stations.names
    assert found.dead == (names[2], names[5], names[7])
    for rows in (silent, weak, lost):
        assert vis.flags[rows].all()
    assert found.stations[[2, 5, 7]].tolist() == [1.0, 1.0, 1.0]
    assert found.stations[0] == pytest.approx(3 / 9, abs=0.01)


def test_values_that_are_not_finite_and_bad_channels_are_flagged(corrupted: Callable[..., Any]) -> None:
    vis = corrupted(n=8, channels=64, integrations=12).vis
    vis.data[5:9, 10, 0] = np.nan
    vis.data[11:14, 20, 1] = np.inf
    bad = (float(vis.frequency[30]), float(vis.frequency[33]))
    found = flag(vis, FlagSettings(bad_channels=(bad,)))
    cross = vis.is_cross
    assert vis.flags[5:9, 10, 0][cross[5:9]].all() and vis.flags[11:14, 20, 1][cross[11:14]].all()
    assert vis.flags[:, 30:34].all()
    assert found.channels[30:34].tolist() == [1.0] * 4
    assert found.channels[[29, 34]].max() < 0.02


def test_what_is_mostly_flagged_is_flagged_whole(corrupted: Callable[..., Any]) -> None:
    vis = corrupted(n=8, channels=64, integrations=12).vis
    random = np.random.default_rng(1)
    vis.flags[:, 12] = random.uniform(size=vis.flags[:, 12].shape) < 0.9
    vis.flags[integration(vis) == 3] = random.uniform(size=vis.flags[integration(vis) == 3].shape) < 0.9
    pair = (vis.antenna1 == 1) & (vis.antenna2 == 4)
    vis.flags[pair] = random.uniform(size=vis.flags[pair].shape) < 0.9
    found = flag(vis)
    assert vis.flags[:, 12].all() and vis.flags[integration(vis) == 3].all() and vis.flags[pair].all()
    assert found.before > 0.05
    assert found.waterfall[3].tolist() == [1.0] * 64
    assert found.dead == ()


def test_shares_are_those_of_the_flags(corrupted: Callable[..., Any]) -> None:
    vis = corrupted(n=8, channels=64, integrations=12).vis
    interfere(vis, np.array([4, 5]), np.arange(10, 30), 60.0)
    found = flag(vis)
    cross = vis.is_cross
    assert found.fraction == pytest.approx(vis.flags[cross].mean())
    np.testing.assert_allclose(found.channels, vis.flags[cross].mean(axis=(0, 2)))
    np.testing.assert_array_equal(found.times, np.unique(vis.time))
    for t in (0, 4):
        rows = cross & (integration(vis) == t)
        np.testing.assert_allclose(found.waterfall[t], vis.flags[rows].mean(axis=(0, 2)))
    for (low, high), share in zip(found.pairs[:5], found.baselines[:5], strict=True):
        rows = (vis.antenna1 == low) & (vis.antenna2 == high)
        assert share == pytest.approx(vis.flags[rows].mean())


def test_flags_are_only_added_and_data_stay(corrupted: Callable[..., Any]) -> None:
    vis = corrupted(n=8, channels=64, integrations=12).vis
    vis.flags[100:110, 3] = True
    before, data = vis.flags.copy(), vis.data.copy()
    interfere(vis, np.array([2]), np.array([7]), 500.0)
    data = vis.data.copy()
    flag(vis)
    assert not np.any(before & ~vis.flags)
    np.testing.assert_array_equal(vis.data, data)


def test_without_cross_correlations_there_is_nothing_to_flag(corrupted: Callable[..., Any]) -> None:
    vis = corrupted(n=4, channels=8, integrations=2).vis
    vis.antenna2[:] = vis.antenna1
    with pytest.raises(ValueError, match="no cross correlation"):
        flag(vis)


def test_sum_threshold_agrees_with_its_definition() -> None:
    random = np.random.default_rng(2)
    values = random.normal(size=(16, 80)).astype(np.float32)
    values[3, 20:40] += 2.5
    values[:, 60] += 3.0
    values[9, 9] = 40.0
    given = random.uniform(size=values.shape) < 0.05
    found = given.copy()
    sum_threshold(values, found, 6.0, 0.0, 16)
    expected, window, threshold = given.copy(), 1, 6.0
    while window <= 16:
        now = expected.copy()
        for plane, good, marks in ((values, ~expected, now), (values.T, ~expected.T, now.T)):
            for line in range(plane.shape[0]):
                for begin in range(plane.shape[1] - window + 1):
                    part = slice(begin, begin + window)
                    kept = good[line, part]
                    if kept.any() and plane[line, part][kept].mean() > threshold:
                        marks[line, part] = True
        expected, window, threshold = now, 2 * window, threshold / 1.5
    np.testing.assert_array_equal(found, expected)
    assert expected.sum() > given.sum() + 20


def test_flags_grow_where_they_are_dense() -> None:
    random = np.random.default_rng(4)
    mask = random.uniform(size=(1, 60)) < 0.6
    found = mask.copy()
    grow(found, 0.3)
    expected = mask.copy()
    for begin in range(60):
        for end in range(begin + 1, 61):
            if mask[0, begin:end].mean() >= 0.7 - 1e-9:
                expected[0, begin:end] = True
    np.testing.assert_array_equal(found, expected)
    alone = np.zeros((5, 30), bool)
    alone[2, 11] = True
    found = alone.copy()
    grow(found, 0.2)
    np.testing.assert_array_equal(found, alone)
