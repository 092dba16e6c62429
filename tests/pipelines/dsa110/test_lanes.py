"""The other lanes: WSClean as the imager, AOFlagger as the flagger, sets renamed or on another device."""

import errno
import importlib
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from towpath.base.states import Outcome
from towpath.pipelines.dsa110.science import aoflagger, wsclean
from towpath.pipelines.dsa110.science.calibration_set import CalibrationSet, write_set
from towpath.pipelines.dsa110.science.convert import convert
from towpath.pipelines.dsa110.science.coordinates import mean_direction
from towpath.pipelines.dsa110.science.fits import read_image
from towpath.pipelines.dsa110.science.instrument import write_profile
from towpath.pipelines.dsa110.science.measurement_set import (
    extend,
    opened,
    read_centres,
    read_visibilities,
)
from towpath.pipelines.dsa110.science.provenance import Calibrated
from towpath.pipelines.dsa110.science.sky import Sky, points
from towpath.pipelines.dsa110.science.solutions import Solutions
from towpath.pipelines.dsa110.science.solving import scene_of
from towpath.pipelines.dsa110.simulate import Settings, Truth, simulate
from towpath.pipelines.dsa110.stages import Apply, Image
from towpath.testing import run_stage

SIZE, CELL = 512, 2.0  # pixels, arcsec
START = "2025-06-14T18:00:00"
NEEDS_WSCLEAN = pytest.mark.skipif(
    not wsclean.is_installed() and "CI" not in os.environ, reason="WSClean is not installed"
)
NEEDS_AOFLAGGER = pytest.mark.skipif(
    not aoflagger.is_installed() and "CI" not in os.environ, reason="AOFlagger is not installed"
)


@dataclass(frozen=True)
class Observed:
    """A simulated observation, converted."""

    truth: Truth
    instrument: Path
    ms: Path


def _settings(**other: object) -> Settings:
    plain = Settings(
        stations=14,
        channels=2,
        integrations=6,
        tiles=1,
        declination=16.0,
        start=START,
        calibrator=None,
        amplitude=0.0,
        drift=0.0,
        ripple=0.0,
        interference=False,
        faintest=0.5,
    )
    return replace(plain, **other)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Observed:
    """Three sources near the middle of the tile, through the beam, without gains: the data need no calibration."""
    folder = tmp_path_factory.mktemp("lanes")
    (folder / "where").mkdir()
    ra, dec = simulate(folder / "where", settings=_settings(sky=_sky(0.0, 0.0))).observations[0].centre
    (folder / "files").mkdir()
    truth = simulate(folder / "files", settings=_settings(sky=_sky(ra, dec)))
    write_profile(folder / "instrument.toml", truth.profile)
    convert(truth.observations[0].files, folder / "raw.ms", truth.profile)
    return Observed(truth, folder / "instrument.toml", folder / "raw.ms")


def _sky(ra: float, dec: float) -> Sky:
    away = np.radians(CELL / 3600.0) * np.array([[0.0, 0.0], [60.0, 35.0], [-80.0, 40.0]])
    return points(ra + away[:, 0] / np.cos(dec), dec + away[:, 1], np.array([8.0, 5.0, 4.0]), 1.4e9, -0.7)


@pytest.fixture(scope="module")
def calibrated(observed: Observed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The set with CORRECTED_DATA."""
    target = tmp_path_factory.mktemp("calibrated") / "calibrated.ms"
    extend(observed.ms, target, corrected=read_visibilities(observed.ms).data)
    return target


@pytest.mark.slow
@NEEDS_WSCLEAN
def test_both_imagers_find_the_same_sky(observed: Observed, calibrated: Path, tmp_path: Path) -> None:
    peaks, noises = {}, {}
    for imager in ("own", "wsclean"):
        stage = Image(
            imager=imager, instrument=str(observed.instrument), size=SIZE, cell=CELL, niter=3000, bright=0.0
        )
        result = run_stage(stage, {"ms": calibrated}, tmp_path, item=imager, cores=2)
        assert result.outcome is Outcome.DONE, result.error
        assert not any("clean stopped" in caveat for caveat in result.caveats)
        found = read_image(result.outputs["image"])
        peaks[imager] = _peaks(found.data, observed.truth)
        noises[imager] = result.measures["rms"].value
    np.testing.assert_allclose(peaks["wsclean"], peaks["own"], rtol=0.02)
    assert noises["wsclean"] == pytest.approx(noises["own"], rel=0.1)
    assert peaks["own"][0] == pytest.approx(8.0, rel=0.1)  # at the middle, where the beam is near 1


def _peaks(image: np.ndarray, truth: Truth) -> list[float]:
    """Highest pixel within three of each source."""
    ra, dec = truth.observations[0].centre
    x = np.round(SIZE / 2 - (truth.sky.ra - ra) * np.cos(dec) / np.radians(CELL / 3600.0)).astype(int)
    y = np.round(SIZE / 2 + (truth.sky.dec - dec) / np.radians(CELL / 3600.0)).astype(int)
    return [float(image[b - 3 : b + 4, a - 3 : a + 4].max()) for a, b in zip(x, y, strict=True)]


@NEEDS_WSCLEAN
def test_wsclean_reads_the_corrected_data_of_an_extended_set(observed: Observed, tmp_path: Path) -> None:
    raw = read_visibilities(observed.ms)
    extend(observed.ms, tmp_path / "three.ms", corrected=3 * raw.data)
    settings = wsclean.WscleanSettings(size=64, cell=np.radians(CELL / 3600.0), niter=0)
    dirty = {
        column: read_image(
            wsclean.run(
                tmp_path / "three.ms", tmp_path / column, settings, column=column, extra=["-field", "2"]
            ).restored
        ).data
        for column in ("DATA", "CORRECTED_DATA")
    }
    np.testing.assert_allclose(
        dirty["CORRECTED_DATA"], 3 * dirty["DATA"], atol=1e-4 * float(np.abs(dirty["DATA"]).max())
    )


@pytest.mark.parametrize("flagger", ["own", pytest.param("aoflagger", marks=NEEDS_AOFLAGGER)])
def test_both_flaggers_lead_to_a_calibrated_set(
    observed: Observed, tmp_path: Path, flagger: Literal["own", "aoflagger"]
) -> None:
    vis = read_visibilities(observed.ms)
    solutions = _solutions(observed, tmp_path / "solutions")
    source = tmp_path / "raw.ms"
    bad = vis.data.copy()
    bad[:, 11] += 3000.0  # a channel full of interference
    shutil.copytree(observed.ms, source)
    with opened(source, write=True) as main:
        main.putcol("DATA", bad)
    result = run_stage(
        Apply(flagger=flagger),
        {"ms": source, "solutions": solutions},
        tmp_path,
        cores=2,
    )
    assert result.outcome is Outcome.DONE, result.error
    made = read_visibilities(result.outputs["ms"], column="CORRECTED_DATA")
    cross = made.is_cross
    assert made.flags[cross][:, 11].mean() > 0.95
    clean = np.delete(made.flags[cross], 11, axis=1)
    assert clean.mean() < 0.2
    assert result.measures["flagged"].value == pytest.approx(made.flags[cross].mean(), abs=1e-6)
    kept = ~made.flags
    np.testing.assert_allclose(made.data[kept], bad[kept] / 4.0, rtol=1e-5)
    assert not read_visibilities(source).flags[cross].any()  # the source is as it was


def _solutions(observed: Observed, folder: Path) -> Path:
    """Gains of 2 for every station: data become a quarter."""
    vis = read_visibilities(observed.ms)
    stations, channels = len(vis.stations.names), len(vis.frequency)
    shape = (1, stations, channels, 2)
    found = Solutions(
        kind="B",
        time=np.array([vis.time.mean()]),
        interval=np.array([np.ptp(vis.time) + vis.interval[0]]),
        frequency=vis.frequency,
        stations=vis.stations.names,
        polarisations=("X", "Y"),
        gains=np.full(shape, 2.0 + 0.0j),
        flags=np.zeros(shape, bool),
        errors=np.full(shape, 0.04),
        snr=np.full(shape, 50.0),
        reference=0,
    )
    declination = float(np.degrees(mean_direction(read_centres(observed.ms))[1]))
    facts = Calibrated(
        rung="calibrator", source="simulated", observation="simulated", solved=f"{START}Z",
        declination=declination, reasons=("for a test",), instrument=observed.truth.profile.digest,
    )  # fmt: skip
    write_set(folder, CalibrationSet(facts, found), scene_of(vis, telescope="DSA", measurement_set="raw.ms"))
    return folder


def test_a_set_extends_where_links_cannot_be_made(
    observed: Observed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    raw = read_visibilities(observed.ms)
    monkeypatch.setattr(os, "link", refuse)
    extend(observed.ms, tmp_path / "far.ms", corrected=2 * raw.data)
    np.testing.assert_array_equal(read_visibilities(tmp_path / "far.ms").data, raw.data)
    np.testing.assert_array_equal(
        read_visibilities(tmp_path / "far.ms", column="CORRECTED_DATA").data, 2 * raw.data
    )
    assert all(one.stat().st_nlink == 1 for one in (tmp_path / "far.ms").rglob("*") if one.is_file())


def test_a_renamed_set_opens_with_its_subtables(observed: Observed, tmp_path: Path) -> None:
    shutil.copytree(observed.ms, tmp_path / "before.ms")
    extend(tmp_path / "before.ms", tmp_path / "written.ms")
    (tmp_path / "written.ms").rename(tmp_path / "renamed.ms")
    shutil.rmtree(tmp_path / "before.ms")
    found = read_visibilities(tmp_path / "renamed.ms", column="CORRECTED_DATA")
    np.testing.assert_array_equal(found.data, read_visibilities(observed.ms).data)
    with opened(tmp_path / "renamed.ms") as main:
        named = str(main.getkeyword("ANTENNA"))
    assert named.removeprefix("Table: ") == str(tmp_path / "renamed.ms" / "ANTENNA")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_pyuvdata_reads_a_simulated_set_of_many_centres(observed: Observed) -> None:
    pyuvdata = importlib.import_module("pyuvdata")
    found = pyuvdata.UVData.from_file(str(observed.ms), file_type="ms", run_check=False)
    assert len(found.phase_center_catalog) == 6
    ours = read_visibilities(observed.ms)
    assert found.data_array.shape == ours.data.shape
    np.testing.assert_allclose(found.freq_array, ours.frequency)
    centres = np.array([[one["cat_lon"], one["cat_lat"]] for one in found.phase_center_catalog.values()])
    np.testing.assert_allclose(np.sort(centres[:, 0]), np.sort(ours.centres[:, 0]), atol=1e-9)
