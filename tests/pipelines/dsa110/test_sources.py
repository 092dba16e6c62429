"""Sources are found where they were put, with the flux they were given, and with errors that are those made."""

import math
from pathlib import Path

import numpy as np
import pytest
from astropy import units
from astropy.io import votable
from astropy.wcs import WCS

from towpath.pipelines.dsa110.science import pybdsf
from towpath.pipelines.dsa110.science.sources import (
    BLENDED,
    COLUMNS,
    EDGE,
    RESOLVED,
    SourcesError,
    beam_shape,
    find_sources,
    forced_photometry,
    noise_map,
    read_sources,
    to_table,
    write_sources,
)

BEAM = (18.0 / 3600.0, 14.0 / 3600.0, 40.0)
SIGMA = 1e-3
SIZE = 900


def make_wcs(ra: float = 0.0, dec: float = 37.0, size: int = SIZE) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---SIN", "DEC--SIN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [size / 2 + 1] * 2
    wcs.wcs.cdelt = [-3.0 / 3600.0, 3.0 / 3600.0]
    wcs.wcs.set()
    return wcs


def gaussian(wcs: WCS, beam: tuple[float, float, float], x: float, y: float, size: int = SIZE) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size]
    a, b, c = beam_shape(wcs, beam, (size / 2, size / 2))
    dx, dy = columns - x, rows - y
    return np.exp(-(a * dx**2 + 2 * b * dx * dy + c * dy**2))


def noise(wcs: WCS, seed: int) -> np.ndarray:
    """White noise smoothed by the beam, of rms `SIGMA`."""
    kernel = gaussian(wcs, BEAM, SIZE // 2, SIZE // 2)
    kernel *= SIGMA / math.sqrt((kernel**2).sum())
    white = np.random.default_rng(seed).normal(size=(SIZE, SIZE))
    return np.fft.irfft2(np.fft.rfft2(white) * np.fft.rfft2(np.fft.ifftshift(kernel)), s=white.shape)


@pytest.fixture(scope="module")
def field() -> tuple[np.ndarray, WCS, np.ndarray]:
    """An image, its WCS, and its sources: x, y, peak in Jy; on a lattice, so that none blends."""
    wcs = make_wcs()
    rng = np.random.default_rng(2)
    lattice = np.arange(40, SIZE - 40, 41)
    x, y = (one.ravel() + rng.uniform(-5, 5, one.size) for one in np.meshgrid(lattice, lattice))
    peak = SIGMA * 10 ** rng.uniform(0.85, 2.0, x.size)
    image = noise(wcs, 1)
    a, b, c = beam_shape(wcs, BEAM, (SIZE / 2, SIZE / 2))
    for px, py, flux in zip(x, y, peak, strict=True):
        left, bottom = int(px) - 18, int(py) - 18
        rows, columns = np.mgrid[bottom : bottom + 37, left : left + 37]
        dx, dy = columns - px, rows - py
        image[bottom : bottom + 37, left : left + 37] += flux * np.exp(
            -(a * dx**2 + 2 * b * dx * dy + c * dy**2)
        )
    return image.astype(np.float32), wcs, np.column_stack([x, y, peak])


def pair(found: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    distance = np.hypot(found[:, None, 0] - true[None, :, 0], found[:, None, 1] - true[None, :, 1])
    nearest = distance.argmin(axis=1)
    near = distance.min(axis=1) < 4.0
    return np.flatnonzero(near), nearest[near]


def test_sources_are_found_with_their_fluxes_and_places(field: tuple[np.ndarray, WCS, np.ndarray]) -> None:
    image, wcs, true = field
    sources = find_sources(image, SIGMA, wcs, BEAM)
    one, two = pair(np.column_stack([sources.x, sources.y]), true)
    assert len(one) == len(sources)  # nothing is found that is not there
    assert len(np.unique(two)) / len(true) > 0.97  # the faintest has 7 times the noise
    pull = (sources.flux[one] - true[two, 2]) / sources.flux_error[one]
    assert abs(np.median(pull)) < 0.25
    assert 0.8 < np.std(pull) < 1.35
    bright = true[two, 2] > 30 * SIGMA
    assert np.median(sources.flux[one][bright] / true[two, 2][bright]) == pytest.approx(1.0, abs=0.005)
    ra, dec = wcs.wcs_pix2world(true[two, 0], true[two, 1], 0)
    for difference, error in (
        (((sources.ra[one] - ra + 180) % 360 - 180) * np.cos(np.radians(dec)), sources.ra_error[one]),
        (sources.dec[one] - dec, sources.dec_error[one]),
    ):
        assert abs(np.mean(difference * 3600 / error)) < 0.25
        assert 0.75 < np.std(difference * 3600 / error) < 1.35
    assert np.mean(sources.flags & RESOLVED > 0) < 0.03
    assert (np.diff(sources.peak) <= 0).all()
    assert sources.ra.min() >= 0


def test_its_own_noise_map_is_that_of_the_noise(field: tuple[np.ndarray, WCS, np.ndarray]) -> None:
    image, wcs, _ = field
    clean = noise(wcs, 3).astype(np.float32)
    assert np.median(noise_map(clean)) == pytest.approx(SIGMA, rel=0.06)  # clipping takes some
    clean[:100, :100] = np.nan
    assert np.isnan(noise_map(clean)[50, 50])
    assert len(find_sources(clean, None, wcs, BEAM, threshold=5.5)) == 0
    assert len(find_sources(image, None, wcs, BEAM)) > 200


def test_extended_sources_keep_their_flux_and_size() -> None:
    wcs = make_wcs()
    wide = (40.0 / 3600.0, 25.0 / 3600.0, 110.0)
    image = noise(wcs, 7) + 0.1 * gaussian(wcs, wide, 400.3, 500.7)
    image += 0.1 * gaussian(wcs, BEAM, 200.4, 200.2)
    sources = find_sources(image.astype(np.float32), SIGMA, wcs, BEAM)
    first, second = (int(np.argmin(np.abs(sources.x - x))) for x in (400.3, 200.4))
    expected = 0.1 * wide[0] * wide[1] / (BEAM[0] * BEAM[1])
    assert sources.flags[first] & RESOLVED
    assert sources.flux[first] == pytest.approx(expected, rel=0.03)
    assert sources.major[first] == pytest.approx(40.0, rel=0.03)
    assert sources.minor[first] == pytest.approx(25.0, rel=0.03)
    assert sources.position_angle[first] == pytest.approx(110.0, abs=2.0)
    assert not sources.flags[second] & RESOLVED
    assert sources.flux[second] == pytest.approx(0.1, rel=0.03)


def test_neighbours_are_divided_and_edges_are_marked() -> None:
    wcs = make_wcs()
    image = noise(wcs, 8) + 0.1 * gaussian(wcs, BEAM, 300.0, 300.0) + 0.08 * gaussian(wcs, BEAM, 309.0, 300.0)
    image += 0.1 * gaussian(wcs, BEAM, 600.0, 600.0)
    image[590:610, 603:] = np.nan
    sources = find_sources(image.astype(np.float32), SIGMA, wcs, BEAM)
    close = np.hypot(sources.x - 304.0, sources.y - 300.0) < 8
    assert close.sum() == 2
    assert (sources.flags[close] & BLENDED > 0).all()
    assert np.sort(sources.flux[close]) == pytest.approx([0.08, 0.1], rel=0.1)
    edge = int(np.argmin(np.hypot(sources.x - 600.0, sources.y - 600.0)))
    assert sources.flags[edge] & EDGE


def test_forced_photometry_is_unbiased_and_its_errors_are_those_made(
    field: tuple[np.ndarray, WCS, np.ndarray],
) -> None:
    image, wcs, true = field
    ra, dec = wcs.wcs_pix2world(true[:, 0], true[:, 1], 0)
    flux, error = forced_photometry(image, SIGMA, wcs, BEAM, ra, dec)
    pull = (flux - true[:, 2]) / error
    assert abs(np.mean(pull)) < 0.2
    assert 0.85 < np.std(pull) < 1.2
    flux, error = forced_photometry(image, SIGMA, wcs, BEAM, [90.0, 0.0], [-60.0, 37.0])
    assert np.isnan(flux[0])
    assert np.isnan(error[0])
    assert np.isfinite(flux[1])


def test_the_table_is_whole_after_reading_and_equal_in_bytes(
    field: tuple[np.ndarray, WCS, np.ndarray], tmp_path: Path
) -> None:
    image, wcs, _ = field
    sources = find_sources(image[:300, :300], SIGMA, wcs, BEAM)
    for ending in ("vot", "ecsv"):
        for name in ("a", "b"):
            write_sources(tmp_path / f"{name}.{ending}", sources)
        assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()
        back = read_sources(tmp_path / f"a.{ending}")
        for column in COLUMNS:
            np.testing.assert_array_equal(getattr(back, column), getattr(sources, column))
    first = votable.parse_single_table(str(tmp_path / "a.vot"))
    assert {one.name: one.ucd for one in first.fields}["ra"] == "pos.eq.ra;meta.main"
    assert {one.name: one.unit for one in first.fields}["peak"] == units.Unit("Jy/beam")
    assert first.fields[0].description
    short = to_table(sources)
    del short["peak"]
    short.write(tmp_path / "short.ecsv", format="ascii.ecsv")
    with pytest.raises(SourcesError, match=r"short\.ecsv: no column peak"):
        read_sources(tmp_path / "short.ecsv")


def test_an_image_without_sources_gives_an_empty_table(tmp_path: Path) -> None:
    sources = find_sources(np.full((80, 80), np.nan), None, make_wcs(size=80), BEAM)
    assert len(sources) == 0
    write_sources(tmp_path / "none.vot", sources)
    assert len(read_sources(tmp_path / "none.vot")) == 0


def test_pybdsf_is_told_from_its_absence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pybdsf.importlib.util, "find_spec", lambda name: None)
    assert not pybdsf.is_installed()
    with pytest.raises(pybdsf.BdsfError, match="not installed"):
        pybdsf.find_sources_bdsf(tmp_path / "a.fits")


def test_a_failing_pybdsf_is_told_with_its_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pybdsf, "is_installed", lambda: True)
    monkeypatch.setattr(pybdsf, "_CHILD", "raise RuntimeError('no beam in the header')")
    with pytest.raises(pybdsf.BdsfError, match="no beam in the header"):
        pybdsf.find_sources_bdsf(tmp_path / "a.fits")
