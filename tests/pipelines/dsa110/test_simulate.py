"""Simulated files are read by pyuvdata, and hold what their truth says."""

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.utils import iers
from pyuvdata import UVData

from towpath.pipelines.dsa110.science.instrument import load_profile
from towpath.pipelines.dsa110.science.sky import points
from towpath.pipelines.dsa110.simulate import (
    Settings,
    Truth,
    main,
    preset,
    simulate,
    spoil_duplicate,
    spoil_growing,
    spoil_jitter,
    spoil_late,
    spoil_missing,
    spoil_rival,
    spoil_truncated,
    thinned,
    write_catalogue,
    write_profile,
)

QUIET = Settings(
    stations=6,
    channels=2,
    integrations=4,
    tiles=1,
    calibrator_tile=0,
    noise=0.0,
    amplitude=0.0,
    drift=0.0,
    ripple=0.0,
    interference=False,
    beam=False,
)


def _read(path: Path) -> UVData:
    with iers.conf.set_temp("auto_download", False), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = UVData()
        found.read(path, file_type="uvh5", run_check=False)
        found.uvw_array = found.uvw_array.astype(float)
    return found


def _data(path: Path) -> np.ndarray:
    with h5py.File(path) as file:
        return np.asarray(file["Data/visdata"][...])


def _rows(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    with h5py.File(path) as file:
        numbers, where = np.unique(file["Header/ant_1_array"][...], return_inverse=True)
        second = np.searchsorted(numbers, file["Header/ant_2_array"][...])
        return where, second, file["Header/phase_center_id_array"][...]


@pytest.fixture(scope="module")
def corrupted(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    settings = replace(
        QUIET, stations=9, channels=4, noise=1.0, amplitude=0.2, drift=8.0, ripple=0.1, dead=(3,), tiles=2
    )
    return simulate(tmp_path_factory.mktemp("corrupted") / "incoming", settings=settings)


def test_pyuvdata_reads_the_files_and_finds_the_same_geometry(corrupted: Truth) -> None:
    found = _read(corrupted.observations[0].files[3])
    before = found.uvw_array.copy()
    apparent = found.phase_center_app_ra.copy(), found.phase_center_app_dec.copy()
    with iers.conf.set_temp("auto_download", False), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert found.check(strict_uvw_antpos_check=False)
        found._set_app_coords_helper()
        found.set_uvws_from_antenna_positions(update_vis=False)
    assert np.abs(found.phase_center_app_ra - apparent[0]).max() < 1e-9
    assert np.abs(found.phase_center_app_dec - apparent[1]).max() < 1e-9
    assert np.abs(found.uvw_array[:, 2] - before[:, 2]).max() < 5e-4
    # pyuvdata takes the angle of north half a degree south of the phase centre: it turns u and v by about an arcsecond.
    assert np.abs(found.uvw_array - before).max() < 1e-5 * np.abs(before).max()


def test_a_source_at_a_phase_centre_is_constant_in_its_integration(tmp_path: Path) -> None:
    truth = simulate(tmp_path / "first", settings=QUIET)
    centre = truth.observations[0].centres[2]
    sky = points(centre[:1], centre[1:], np.array([3.0]), 1.4e9)
    files = simulate(tmp_path / "second", settings=replace(QUIET, sky=sky)).observations[0].files
    _, _, moment = _rows(files[0])
    data = _data(files[0])
    assert np.abs(data[moment == 2] - 3.0).max() < 1e-5
    assert np.ptp(np.angle(data[moment == 0])) > 0.1


def test_the_sky_drifts_and_subbands_descend(corrupted: Truth) -> None:
    one, two = corrupted.observations
    step = np.diff(np.unwrap(np.concatenate([one.centres[:, 0], two.centres[:, 0]])))
    rate = np.degrees(step) * 3600.0 / corrupted.profile.integration
    assert rate == pytest.approx(15.041, abs=0.02)
    assert one.centres[:, 1] == pytest.approx(np.radians(16.1))
    frequency = [_read(path).freq_array for path in one.files]
    assert np.concatenate(frequency)[::-1] == pytest.approx(corrupted.frequency)
    assert corrupted.frequency.max() + corrupted.profile.width / 2 == pytest.approx(1498.75e6, rel=1e-6)


def test_gains_and_noise_are_those_of_the_truth(corrupted: Truth, tmp_path: Path) -> None:
    settings = replace(QUIET, stations=9, channels=4, tiles=2, sky=corrupted.sky)
    clean = simulate(tmp_path / "clean", settings=settings)
    for subband in (0, 9):
        path = corrupted.observations[0].files[subband]
        p, q, t = _rows(path)
        lowest = (15 - subband) * 4
        gains = corrupted.gains[t][:, :, None] * corrupted.bandpass[None, :, lowest : lowest + 4][:, :, ::-1]
        rows = np.arange(len(p))
        factor = gains[rows, p].conj() * gains[rows, q]
        is_whole = (p != q) & (p != 3) & (q != 3)
        noise = (_data(path) / factor - _data(clean.observations[0].files[subband]))[is_whole]
        assert noise.real.std() == pytest.approx(corrupted.sigma, rel=5.0 / np.sqrt(2 * noise.size))
        assert abs(noise.mean()) < 5 * corrupted.sigma / np.sqrt(noise.size)
        alone = _data(path)[(p != q) & ((p == 3) | (q == 3))]
        assert alone.imag.std() == pytest.approx(corrupted.sigma, rel=5.0 / np.sqrt(2 * alone.size))
        autos = _data(path)[(p == q) & (p != 3)]
        assert (autos.imag / autos.real).max() < 1e-6
    expected = 5800.0 / np.sqrt(2 * corrupted.profile.width * corrupted.profile.integration)
    assert corrupted.sigma == pytest.approx(expected)


def test_equal_seeds_give_equal_visibilities_and_the_truth_lies_outside(tmp_path: Path) -> None:
    settings = replace(QUIET, noise=1.0, amplitude=0.2, interference=True)
    one, two, other = (
        simulate(tmp_path / name, settings=replace(settings, seed=seed))
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    first, second, third = (_data(truth.observations[0].files[5]) for truth in (one, two, other))
    assert np.array_equal(first, second) and not np.array_equal(first, third)
    assert one.interference.any() and one.interference.mean() < 0.5
    assert {path.suffix for path in (tmp_path / "a").iterdir()} == {".hdf5"}
    facts = json.loads((tmp_path / "a-truth" / "truth.json").read_text())
    assert facts["sources"][0]["name"] == "3C138"
    assert facts["observations"][0]["ra_deg"] == pytest.approx(80.29, abs=0.3)
    assert len(facts["observations"][0]["files"]) == 16


def test_a_strip_crosses_the_wrap_of_right_ascension(tmp_path: Path) -> None:
    settings = replace(QUIET, tiles=1, starts=("2025-06-14T14:16:00", "2025-06-14T14:23:00"), calibrator=None)
    settings = replace(settings, declination=(16.1, 17.1))
    truth = simulate(tmp_path / "in", settings=settings)
    ra = np.degrees([one.centre[0] for one in truth.observations])
    assert ra[0] > 355 and ra[1] < 5, ra
    assert np.degrees(truth.observations[1].centre[1]) == pytest.approx(17.1)
    assert (truth.sky.ra > 6.2).any() and (truth.sky.ra < 0.08).any()


def test_a_thinned_profile_is_read_back(tmp_path: Path) -> None:
    small = thinned(load_profile("dsa110"), preset("small"))
    again = load_profile(write_profile(tmp_path / "small.toml", small))
    assert again.active.sum() == 20 and np.array_equal(again.active, small.active)
    assert np.abs(again.positions - small.positions).max() < 1e-3
    assert again.frequencies == pytest.approx(small.frequencies)
    assert again.duration == pytest.approx(load_profile("dsa110").duration)


def test_a_catalogue_scatters_about_the_sky(corrupted: Truth, tmp_path: Path) -> None:
    count = write_catalogue(tmp_path / "sky.csv", corrupted.sky, limit=0.05)
    rows = np.genfromtxt(tmp_path / "sky.csv", delimiter=",", names=True, dtype=None, encoding="utf-8")
    assert len(rows) == count
    true = {name: number for number, name in enumerate(corrupted.sky.names)}
    flux = np.array([corrupted.sky.flux[true[name]] for name in rows["name"]])
    scatter = (rows["flux_mjy"] / 1e3 - flux) / (rows["e_flux_mjy"] / 1e3)
    assert scatter.std() == pytest.approx(1.0, abs=5 / np.sqrt(2 * count))
    with pytest.raises(ValueError, match=r"expected one of \.csv"):
        write_catalogue(tmp_path / "sky.txt", corrupted.sky)


def test_each_wart_is_that_wart(corrupted: Truth, tmp_path: Path) -> None:
    folder = tmp_path / "incoming"
    shutil.copytree(corrupted.observations[0].files[0].parent, folder)
    files = [folder / path.name for path in corrupted.observations[0].files]
    times = [_times(path) for path in files]
    moved = spoil_jitter(files, seconds=4)
    shifts = [np.ptp(_times(path) - before) for path, before in zip(moved, times, strict=True)]
    assert max(shifts) < 1e-3 and moved[0] == files[0] and len({path.name[:19] for path in moved}) > 3
    assert all(abs(_times(path)[0] - before[0]) < 4.1 for path, before in zip(moved, times, strict=True))
    twin, rival = spoil_duplicate(moved[4]), spoil_rival(moved[5])
    assert twin.read_bytes() == moved[4].read_bytes() and twin.name != moved[4].name
    assert np.array_equal(_data(rival), 2 * _data(moved[5]))
    assert not spoil_missing(moved, 6).exists()
    aside, target = spoil_late(moved, 7, tmp_path / "aside")
    assert aside.exists() and not target.exists() and target == moved[7]
    with pytest.raises(OSError, match="truncated"):
        h5py.File(spoil_truncated(moved[8]))
    size = moved[9].stat().st_size
    growing = spoil_growing(moved[9], tmp_path / "aside")
    assert growing.path.stat().st_size == round(0.3 * size)
    assert not growing.grow(0.7) and growing.grow(1.0) and _data(moved[9]).shape[1] == 4
    with pytest.raises(ValueError, match="subband 77: not among"):
        spoil_missing(moved, 77)


def test_the_command_writes_files_truth_catalogue_and_profile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "incoming"
    arguments = ["--tiles", "1", "--stations", "4", "--channels", "1", "--integrations", "2"]
    assert main(["--out", str(out), *arguments]) == 0
    assert sorted(capsys.readouterr().out.split()) == sorted(str(path) for path in out.iterdir())
    beside = {path.name for path in (tmp_path / "incoming-truth").iterdir()}
    assert beside == {"truth.json", "truth.npz", "catalogue.csv", "instrument.toml"}


def test_settings_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected numbers from 0 to 5"):
        simulate(tmp_path / "in", settings=replace(QUIET, dead=(6,)))
    with pytest.raises(ValueError, match="calibrator in tile 3; expected 0 to 0"):
        simulate(tmp_path / "in", settings=replace(QUIET, calibrator_tile=3))


def _times(path: Path) -> np.ndarray:
    with h5py.File(path) as file:
        return np.asarray((file["Header/time_array"][...] - 2_460_800.5) * 86_400.0)
