"""Real files of three other telescopes: what was measured there comes out as other programs say."""

import importlib
import os
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.wcs import WCS

from towpath import Site
from towpath.pipelines.dsa110.science import wsclean
from towpath.pipelines.dsa110.science.apply import apply
from towpath.pipelines.dsa110.science.beam import beam_of
from towpath.pipelines.dsa110.science.calibrators import BUILT_IN, sky_of
from towpath.pipelines.dsa110.science.convert import convert
from towpath.pipelines.dsa110.science.fits import read_image
from towpath.pipelines.dsa110.science.image import Image, make_image
from towpath.pipelines.dsa110.science.instrument import load_profile
from towpath.pipelines.dsa110.science.measurement_set import extend, read_visibilities, subtable
from towpath.pipelines.dsa110.science.predict import apparent_flux, predict
from towpath.pipelines.dsa110.science.solve import solve_bandpass, solve_gains
from towpath.pipelines.dsa110.science.sources import find_sources
from towpath.pipelines.dsa110.science.uvh5 import read_header
from towpath.pipelines.dsa110.simulate import Settings, simulate

CELL = np.radians(0.3 / 3600.0)
SIZE = 256
NITER = 500


@pytest.fixture(scope="module")
def vla(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """J1008+0730 at 36 GHz, its gains solved on a point of 1 Jy at the centre.

    The set has DATA alone, in units of the correlator: without gains there is no source in it. Weights are 1 and a
    sample is flagged in all hands or none, so that both imagers weigh alike.
    """
    folder = tmp_path_factory.mktemp("vla")
    with tarfile.open(next((data / "radio").glob("day2*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    source = next(folder.glob("day2*.ms"))
    assert list(subtable(source, "FIELD")["NAME"]) == ["J1008+0730"]
    vis = read_visibilities(source, window=0, field=0)
    gains = solve_gains(vis, np.ones((*vis.data.shape[:2], 1), np.complex64), interval=10.0, min_snr=3.0)
    done = apply(vis, None, gains)
    flags = np.repeat(done.flags.any(axis=2, keepdims=True), done.flags.shape[2], axis=2)
    extend(source, folder / "solved.ms", corrected=done.data, flags=flags, weights=np.ones_like(done.weights))
    return folder / "solved.ms"


@pytest.fixture(scope="module")
def own(vla: Path) -> Image:
    vis = read_visibilities(vla, column="CORRECTED_DATA", window=0, field=0)
    return make_image(vis, size=SIZE, cell=CELL, niter=NITER)


def test_the_vla_sees_its_calibrator_at_its_place(own: Image) -> None:
    assert divmod(int(own.restored.argmax()), SIZE) == (SIZE // 2, SIZE // 2)
    np.testing.assert_allclose(np.degrees(own.centre), [152.00006, 7.50460], atol=1e-4)
    assert own.restored.max() == pytest.approx(1.0, rel=0.03)
    assert own.rms == pytest.approx(own.expected_rms, rel=0.25)
    assert not own.caveats


@pytest.mark.skipif(not wsclean.is_installed() and "CI" not in os.environ, reason="WSClean is not installed")
def test_wsclean_agrees_on_the_vla(vla: Path, own: Image, tmp_path: Path) -> None:
    """Peak within 2 %; the noise within a fifth: the restoring beams differ by a few per cent, and CLEAN stops elsewhere."""
    made = wsclean.run(vla, tmp_path / "w", wsclean.WscleanSettings(SIZE, CELL, niter=NITER))
    assert made.residual is not None
    peer, left = read_image(made.restored).data, read_image(made.residual).data
    assert np.unravel_index(peer.argmax(), peer.shape) == np.unravel_index(
        own.restored.argmax(), own.restored.shape
    )
    assert own.restored.max() == pytest.approx(peer.max(), rel=0.02)
    assert own.rms == pytest.approx(1.4826 * np.median(np.abs(left - np.median(left))), rel=0.2)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_hera_is_converted_as_pyuvdata_phases_it(data: Path, tmp_path: Path) -> None:
    """A profile of its own, without stations: each integration at its zenith, as pyuvdata phases the file to the same places.

    A Measurement Set has (u, v, w) from the second station to the first, and so the conjugate of the file's visibilities.
    """
    pyuvdata = importlib.import_module("pyuvdata")
    path = next((data / "radio").glob("zen*.uvh5"))
    header = read_header(path)
    profile = replace(
        load_profile("ata"), name="HERA", telescope="HERA", subbands=1, channels=len(header.frequency),
        width=header.width, lowest=float(header.frequency.min()), polarisations=("XX", "YY"),
        integration=float(header.interval[0]),
    )  # fmt: skip
    convert([path], tmp_path / "hera.ms", profile)
    ours = read_visibilities(tmp_path / "hera.ms")
    peer = pyuvdata.UVData.from_file(str(path), file_type="uvh5", run_check=False)
    peer.conjugate_bls("ant1<ant2")
    times = np.unique(ours.time)
    assert len(times) == len(ours.centres) == peer.Ntimes == 20
    order = [list(peer.polarization_array).index(one) for one in (-5, -6)]  # XX, YY
    for number in (0, 19):
        one = peer.select(times=[np.unique(peer.time_array)[number]], inplace=False)
        lon, lat = ours.centres[number]
        one.phase(lon=lon, lat=lat, cat_name="zenith", phase_frame="icrs")
        rows = np.flatnonzero(ours.time == times[number])
        names = [str(int(name)) if name.isdigit() else name for name in ours.stations.names]
        mine = {(names[ours.antenna1[row]], names[ours.antenna2[row]]): row for row in rows}
        known = dict(zip(one.telescope.antenna_numbers, one.telescope.antenna_names, strict=True))
        for row in range(one.Nblts):
            pair = known[one.ant_1_array[row]], known[one.ant_2_array[row]]
            k = mine[pair]
            np.testing.assert_allclose(-ours.uvw[k], one.uvw_array[row], atol=5e-3)
            expected = one.data_array[row][:, order].conj()
            np.testing.assert_allclose(ours.data[k], expected, atol=2e-3 * np.abs(expected).max(), rtol=0)


def test_the_ata_pair_is_joined_and_its_numbers_are_no_correlations(data: Path, tmp_path: Path) -> None:
    """No image of 3C286 can be made from these two files: half of what was measured is not in them.

    Of the 8-byte slots of Data/visdata (complex64) that are not zero, more than 95 % read as one float64 hold a whole number:
    memory of float64 pairs was written as complex64. Read as complex64, nearly all are real or imaginary alone, or
    beyond 10²⁰. The files do show that another telescope is joined, converted and phased by its profile alone; the equality
    with pyuvdata is tested with `convert`.
    """
    pair = sorted((data / "radio").glob("ata*.uvh5"))
    for path in pair:
        with h5py.File(path) as file:
            slots = np.ascontiguousarray(file["Data/visdata"][()]).view("<f8")
        filled = slots[slots != 0.0]
        assert (filled == np.rint(filled)).mean() > 0.95 and np.isfinite(filled).all()
        assert 1e4 < np.median(np.abs(filled)) < 1e7
    made = convert(pair, tmp_path / "ata.ms", load_profile("ata"))
    vis = read_visibilities(tmp_path / "ata.ms")
    assert made.missing == () and vis.data.shape == (406, 32, 4)
    np.testing.assert_allclose(np.degrees(vis.centres), [[202.7845, 30.5092]], atol=1e-3)  # 3C286
    np.testing.assert_allclose(np.diff(vis.frequency), 0.5e6)
    data_ = vis.data[vis.is_cross]
    lone = (data_.real == 0) | (data_.imag == 0) | (np.abs(data_) > 1e20)
    assert lone.mean() > 0.9


@pytest.mark.slow
def test_the_ata_sees_3c286_at_its_place_and_flux(data: Path, tmp_path: Path) -> None:
    """Simulated by its profile, with the stations of the real file, four polarisations, gains and noise.

    Solved in one pointing, applied to the next, half a degree away. Place within 0.1 beam, flux within 2 %.
    """
    header = read_header(next((data / "radio").glob("ata*.uvh5")))
    ata = load_profile("ata")
    profile = replace(
        ata, stations=header.names, positions=header.positions, active=np.ones(len(header.names), bool)
    )
    source = next(one for one in BUILT_IN if one.name == "3C286")
    sky = sky_of(source, float(ata.frequencies.mean()))
    settings = Settings(
        stations=28, channels=None, integrations=1, tiles=2, calibrator=source, calibrator_tile=0,
        declination=(30.5, 30.0), sky=sky, drift=0.0, interference=False,
    )  # fmt: skip
    truth = simulate(tmp_path / "in", profile, settings)
    beam = beam_of(ata.beam, ata.dish)
    sets = []
    for number, observation in enumerate(truth.observations):
        convert(observation.files, tmp_path / f"{number}.ms", ata)
        sets.append(read_visibilities(tmp_path / f"{number}.ms"))
    first, second = sets
    flux = apparent_flux(sky, beam, first.centres, first.frequency)
    model = predict(
        sky, flux, uvw=first.uvw, field=first.field, centres=first.centres, frequency=first.frequency
    )
    done = apply(second, solve_bandpass(first, model[:, :, None], pre_phase=None), None)
    image = make_image(done, size=SIZE, cell=np.radians(20 / 3600), niter=NITER, beam=beam)
    assert second.polarisations == ("XX", "XY", "YX", "YY")
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---SIN", "DEC--SIN"], np.degrees(image.centre)
    wcs.wcs.crpix, wcs.wcs.cdelt = [SIZE / 2 + 1] * 2, [-20 / 3600, 20 / 3600]
    shape = tuple(np.degrees([image.beam.major, image.beam.minor, image.beam.angle]))
    found = find_sources(image.corrected, image.rms, wcs, shape, threshold=20.0)
    (brightest,) = np.flatnonzero(found.flux == found.flux.max())
    off = [
        (found.ra[brightest] - source.ra) * np.cos(np.radians(source.dec)),
        found.dec[brightest] - source.dec,
    ]
    assert np.hypot(*off) < 0.1 * shape[1]
    assert found.flux[brightest] == pytest.approx(
        float(sky.flux_at(np.array([image.frequency]))[0, 0]), rel=0.02
    )
    assert (found.flux > 0.05 * found.flux.max()).sum() == 1


SITE = """\
[site]
executor = "inline"
workers = 1
[pipelines.dsa110.override.sources.ata]
kind = "folder"
item = "observation"
type = "uvh5/subband"
pattern = "ata.LoA.C{channel:04d}.uvh5_{mjd:d}_{second:d}_{part:d}_{target}_{scan}.uvh5"
key = "{target}-{mjd}-{second}"
part = "{channel}"
complete = 2
settle = "0.1 s"
[pipelines.dsa110.override.items.observation.qualify]
rules = [
    { name = "unreadable subbands", measure = "n_unreadable", op = "==", limit = 0, fail = "hold" },
    { name = "all subbands", measure = "n_files", op = "==", limit = 2, fail = "hold" },
]
[pipelines.dsa110.override.items.observation.stages.convert]
params = { instrument = "ata" }
"""


def test_a_second_instrument_is_a_second_profile(data: Path, tmp_path: Path) -> None:
    """The same code, by overrides alone: files named otherwise, two subbands, four polarisations, another profile.

    Nothing can be solved on these visibilities (see above), so the observation waits for solutions.
    """
    (tmp_path / "incoming").mkdir()
    for path in (data / "radio").glob("ata.*.uvh5"):
        shutil.copy(path, tmp_path / "incoming")
    (tmp_path / "towpath.toml").write_text(SITE)
    with Site.open(tmp_path) as site:
        site.run(patience=10)
        (item,) = site.items(kind="observation", limit=5)
        told = site.show(item.name)
        states = {row.stage: row.state.value for row in told.work}
        assert (states["qualify"], states["convert"], states["apply"]) == ("done", "done", "waiting")
        measures = {one.name: one.value for run in told.runs for one in run.measures}
        assert measures["n_subbands"] == 2
        product = next(one for one in told.products if one.stage == "convert")
        found = read_visibilities(site.storage.path(product.root, product.path))
    assert found.polarisations == load_profile("ata").polarisations and len(found.frequency) == 32
    assert np.degrees(found.centres[0]) == pytest.approx([202.7845, 30.5091], abs=2e-3)  # 3C286
