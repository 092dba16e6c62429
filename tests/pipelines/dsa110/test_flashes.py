"""Interference that one baseline hardly tells beside a bright source, and the whole array sees."""

from collections.abc import Callable

import numpy as np
import pytest

from towpath.pipelines.dsa110.science.flagging import flag
from towpath.pipelines.dsa110.science.flashes import find_flashes


def disturbed(vis, cells: dict[tuple[int, int], float]):  # type: ignore[no-untyped-def]
    """Add a carrier of so many Jy, of any phase at each station, to (integration, channel) cells in place."""
    random = np.random.default_rng(4)
    phase = random.uniform(-np.pi, np.pi, len(vis.stations.names))
    number = np.unique(vis.time, return_inverse=True)[1]
    turn = np.exp(1j * (phase[vis.antenna2] - phase[vis.antenna1]))
    for (moment, channel), level in cells.items():
        rows = number == moment
        vis.data[rows, channel] += (level * turn[rows])[:, None].astype(np.complex64)
    return vis


def flashes_of(vis):  # type: ignore[no-untyped-def]
    times, number = np.unique(vis.time, return_inverse=True)
    rows = np.flatnonzero(vis.is_cross)
    rows = rows[np.argsort(number[rows], kind="stable")]
    return find_flashes(vis.data, vis.flags, rows, number[rows], len(times))


def test_a_moving_carrier_beside_a_bright_source_is_flagged_whole(corrupted: Callable) -> None:
    """A source of 15 Jy, noise of 2.3 Jy: a carrier of 8 Jy is in its amplitude's scatter over baselines."""
    vis = corrupted(16, 64, 6).vis
    cells = {(moment, 20 + 2 * moment): 8.0 for moment in range(6)}
    done = flag(disturbed(vis, cells))
    hit = np.zeros((6, 64), bool)
    hit[tuple(np.array(list(cells)).T)] = True
    assert (done.waterfall[hit] == 1.0).all()
    assert done.waterfall[~hit].mean() < 0.01


def test_a_burst_over_a_quarter_of_the_band_is_found(corrupted: Callable) -> None:
    cells = {(2, channel): 8.0 for channel in range(10, 26)}
    found = flashes_of(disturbed(corrupted(16, 64, 6).vis, cells))
    assert found[2, 10:26].all() and found.sum() == 16


def test_noise_and_sources_are_not_found(corrupted: Callable) -> None:
    """Of 2 × 20 × 128 mean powers none is 7 standard deviations above the band around it."""
    assert not flashes_of(corrupted(16, 64, 10, drift=0.3).vis).any()
    assert not flashes_of(corrupted(16, 64, 10, noise=60.0).vis).any()


@pytest.mark.parametrize(("channels", "integrations"), [(8, 6), (64, 2)])
def test_with_too_little_to_compare_nothing_is_found(
    corrupted: Callable, channels: int, integrations: int
) -> None:
    found = flashes_of(disturbed(corrupted(12, channels, integrations).vis, {(1, 3): 50.0}))
    assert found.shape == (integrations, channels) and not found.any()
