"""Gains from sums are those from the data, and a file of sums is what was written or an error."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from towpath.pipelines.dsa110.science.apply import apply
from towpath.pipelines.dsa110.science.gain_sums import read_sums, write_sums
from towpath.pipelines.dsa110.science.solve import solve_bandpass, solve_gains, solve_sums, sum_for_gains
from towpath.pipelines.dsa110.science.solving import scene_of
from towpath.pipelines.dsa110.science.tables import TableError


@pytest.fixture(scope="module")
def drifting(corrupted: Callable[..., Any]) -> Any:
    return corrupted(drift=0.3)


def test_gains_after_gains_are_those_of_divided_data(drifting: Any) -> None:
    bandpass = solve_bandpass(drifting.vis, drifting.model)
    sums = sum_for_gains(drifting.vis, drifting.model, bandpass=bandpass)
    gains = solve_sums(sums, reference=bandpass.reference)
    short = solve_sums(sums.through(gains), interval=25.8, reference=bandpass.reference)
    divided = apply(drifting.vis, None, gains)
    expected = solve_gains(
        divided, drifting.model, bandpass=bandpass, interval=25.8, reference=bandpass.reference
    )
    np.testing.assert_array_equal(short.flags, expected.flags)
    np.testing.assert_allclose(short.gains, expected.gains, rtol=1e-4, atol=1e-5)  # data of single precision
    np.testing.assert_allclose(short.errors, expected.errors, rtol=1e-3)
    assert len(short.time) == 5


def test_what_the_gains_flag_counts_no_more(drifting: Any) -> None:
    sums = sum_for_gains(drifting.vis, drifting.model)
    gains = solve_sums(sums)
    gains.flags[:, 3] = True
    left = sums.through(gains)
    assert left.band.count.sum() == pytest.approx(sums.band.count.sum() * (15 * 14) / (16 * 15), rel=1e-12)
    assert solve_sums(left).flags[:, 3].all()


def test_a_file_of_sums_holds_all_that_gains_need(drifting: Any, tmp_path: Path) -> None:
    sums = sum_for_gains(drifting.vis, drifting.model)
    scene = scene_of(drifting.vis, telescope="OVRO_MMA", measurement_set="raw.ms")
    write_sums(tmp_path / "sums.npz", sums, scene)
    found, seen = read_sums(tmp_path / "sums.npz")
    again, before = solve_sums(found, interval=25.8), solve_sums(sums, interval=25.8)
    np.testing.assert_array_equal(again.gains, before.gains)
    assert again.facts == before.facts
    assert (seen.telescope, seen.present, seen.centre) == (scene.telescope, scene.present, scene.centre)
    assert seen.stations.names == scene.stations.names
    write_sums(tmp_path / "again.npz", sums, scene)
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "sums.npz").read_bytes()


def test_a_damaged_file_of_sums_is_named(drifting: Any, tmp_path: Path) -> None:
    path = tmp_path / "sums.npz"
    sums = sum_for_gains(drifting.vis, drifting.model)
    write_sums(path, sums, scene_of(drifting.vis, telescope="T", measurement_set="raw.ms"))
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    with pytest.raises(TableError, match=r"sums\.npz: not a whole file"):
        read_sums(path)
    path.write_bytes(whole[:1000])
    with pytest.raises(TableError, match="not a whole file"):
        read_sums(path)
    with pytest.raises(TableError, match="not a whole file"):
        read_sums(tmp_path / "none.npz")
