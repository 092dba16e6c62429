"""Tables of solutions come back as they were written, here and in pyuvdata, and nothing damaged is used."""

import importlib
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from towpath.pipelines.dsa110.science.casa_tables import read_casa, write_casa
from towpath.pipelines.dsa110.science.solutions import Solutions
from towpath.pipelines.dsa110.science.solve import solve_bandpass, solve_gains
from towpath.pipelines.dsa110.science.tables import TableError, read_solutions, write_solutions


@pytest.fixture(scope="module")
def bandpass(calibrator_field: Any) -> Solutions:
    found = solve_bandpass(calibrator_field.vis, calibrator_field.model)
    found.flags[0, 3], found.gains[0, 3] = True, 1.0
    return found


def put(path: Path, solutions: Solutions, field: Any) -> None:
    vis = field.vis
    centre = (float(vis.centres[0, 0]), float(vis.centres[0, 1]))
    write_casa(
        path,
        solutions,
        stations=vis.stations,
        centre=centre,
        frequency=vis.frequency,
        width=vis.width,
        telescope="DSA_110",
        measurement_set="observation.ms",
        history="solved in a test",
    )


def test_solutions_come_back_unchanged(bandpass: Solutions, tmp_path: Path) -> None:
    write_solutions(tmp_path / "b.h5", bandpass)
    found = read_solutions(tmp_path / "b.h5")
    for name in ("time", "interval", "frequency", "gains", "flags", "errors", "snr"):
        np.testing.assert_array_equal(getattr(found, name), getattr(bandpass, name))
    for name in ("kind", "stations", "polarisations", "reference"):
        assert getattr(found, name) == getattr(bandpass, name)
    assert found.facts == bandpass.facts
    with pytest.raises(FileExistsError):
        write_solutions(tmp_path / "b.h5", bandpass)


def test_a_changed_file_is_found(bandpass: Solutions, tmp_path: Path) -> None:
    path = tmp_path / "b.h5"
    write_solutions(path, bandpass)
    with h5py.File(path, "r+") as file:
        file["gains"][0, 5, 7, 1] *= 1.001
    with pytest.raises(TableError, match=r"b\.h5, sha256: found '[0-9a-f]{64}'; expected"):
        read_solutions(path)


def test_what_is_no_whole_file_of_solutions_is_named(bandpass: Solutions, tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no such file"):
        read_solutions(tmp_path / "none.h5")
    path = tmp_path / "b.h5"
    write_solutions(path, bandpass)
    content = path.read_bytes()
    (tmp_path / "half.h5").write_bytes(content[: len(content) // 2])
    with pytest.raises(TableError, match="not a whole file of solutions"):
        read_solutions(tmp_path / "half.h5")
    with h5py.File(tmp_path / "other.h5", "x") as file:
        file["gains"] = np.zeros(3)
    with pytest.raises(TableError, match="form: found nothing; expected 'towpath"):
        read_solutions(tmp_path / "other.h5")
    with h5py.File(path, "r+") as file:
        del file["snr"]
        file["snr"] = np.zeros((2, 2))
    with pytest.raises(TableError, match=r"snr, shape: found \(2, 2\); expected"):
        read_solutions(path)


def test_values_that_are_not_finite_are_never_written(bandpass: Solutions, tmp_path: Path) -> None:
    gains = bandpass.gains.copy()
    gains[0, 1, 2, 0] = np.nan
    with pytest.raises(TableError, match="gains: found 1 values that are not finite"):
        write_solutions(tmp_path / "b.h5", replace(bandpass, gains=gains))
    assert not (tmp_path / "b.h5").exists()


@pytest.mark.parametrize("kind", ["B", "G"])
def test_pyuvdata_reads_the_same_gains(
    kind: str, bandpass: Solutions, calibrator_field: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the oracle's own imports
        uvdata = importlib.import_module("pyuvdata")
        from pyuvdata.utils.io import ms
    monkeypatch.setattr(ms, "known_telescopes", list)  # it would ask the network for a list of sites
    solutions = bandpass
    if kind == "G":
        solutions = solve_gains(
            calibrator_field.vis, calibrator_field.model, bandpass=bandpass, interval=60.0
        )
    put(tmp_path / "table", solutions, calibrator_field)
    found = uvdata.UVCal()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found.read_ms_cal(str(tmp_path / "table"), default_x_orientation="east")
    # Its visibilities are the conjugates of a Measurement Set's, and so are its gains.
    gains = np.conj(found.gain_array).transpose(2, 0, 1, 3)
    np.testing.assert_allclose(gains, solutions.gains, rtol=1e-6)
    np.testing.assert_array_equal(found.flag_array.transpose(2, 0, 1, 3), solutions.flags)
    np.testing.assert_allclose(found.quality_array.transpose(2, 0, 1, 3), solutions.errors, rtol=1e-6)
    assert found.gain_convention == "divide"
    assert found.jones_array.tolist() == [-5, -6]
    assert found.ref_antenna_name == solutions.stations[solutions.reference]
    if kind == "B":
        np.testing.assert_allclose(found.freq_array, solutions.frequency)


@pytest.mark.parametrize("kind", ["B", "G"])
def test_a_calibration_table_comes_back(
    kind: str, bandpass: Solutions, calibrator_field: Any, tmp_path: Path
) -> None:
    solutions = bandpass
    if kind == "G":
        solutions = solve_gains(calibrator_field.vis, calibrator_field.model, interval=60.0)
    put(tmp_path / "table", solutions, calibrator_field)
    found = read_casa(tmp_path / "table")
    assert (found.kind, found.stations, found.polarisations, found.reference) == (
        solutions.kind,
        solutions.stations,
        ("X", "Y"),
        solutions.reference,
    )
    np.testing.assert_allclose(found.gains, solutions.gains, rtol=1e-6)
    np.testing.assert_array_equal(found.flags, solutions.flags)
    np.testing.assert_allclose(found.time, solutions.time)
    np.testing.assert_allclose(found.interval, solutions.interval)
    np.testing.assert_allclose(found.frequency, solutions.frequency)


def test_stations_without_solutions_are_flagged_in_the_calibration_table(
    bandpass: Solutions, calibrator_field: Any, tmp_path: Path
) -> None:
    fewer = replace(
        bandpass,
        stations=bandpass.stations[1:],
        reference=0,
        **{name: getattr(bandpass, name)[:, 1:] for name in ("gains", "flags", "errors", "snr")},
    )
    put(tmp_path / "table", fewer, calibrator_field)
    found = read_casa(tmp_path / "table")
    assert found.flags[:, 0].all()
    np.testing.assert_allclose(found.gains[:, 1:], bandpass.gains[:, 1:], rtol=1e-6)


def test_what_is_no_calibration_table_is_named(
    bandpass: Solutions, calibrator_field: Any, tmp_path: Path
) -> None:
    with pytest.raises(TableError, match="no such table"):
        read_casa(tmp_path / "none")
    put(tmp_path / "table", bandpass, calibrator_field)
    with pytest.raises(TableError, match="exists already"):
        put(tmp_path / "table", bandpass, calibrator_field)
    with pytest.raises(TableError, match="expected complex B Jones or G Jones"):
        read_casa(tmp_path / "table" / "ANTENNA")
    with pytest.raises(TableError, match="expected X and Y, or R and L"):
        put(tmp_path / "other", replace(bandpass, polarisations=("X", "R")), calibrator_field)
