"""A mosaic recovers what was put into its tiles, tells its noise rightly, and agrees with others who do the same."""

import math
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from reproject import reproject_interp

from towpath.pipelines.dsa110.science.beam import Airy, Pointings
from towpath.pipelines.dsa110.science.mosaic import (
    Mosaic,
    MosaicError,
    Tile,
    mean_beam,
    mean_direction,
    mosaic,
    mosaic_cards,
    output_wcs,
    read_mosaic,
    response_image,
    write_mosaic,
)
from towpath.pipelines.dsa110.science.mosaicking import join
from towpath.pipelines.dsa110.science.sources import beam_shape, forced_photometry
from towpath.pipelines.dsa110.science.tiles import TileLimits, check_tiles

CELL = 30.0 / 3600.0  # degrees
BEAM = (180.0 / 3600.0, 150.0 / 3600.0, 30.0)
SIZE = 320
SIGMA = 1e-3
FREQUENCY = 1.4e9
SWARP = {
    "-IMAGEOUT_NAME": "out.fits",
    "-WEIGHTOUT_NAME": "out.weight.fits",
    "-WEIGHT_TYPE": "MAP_WEIGHT",
    "-RESCALE_WEIGHTS": "N",
    "-COMBINE_TYPE": "WEIGHTED",
    "-RESAMPLING_TYPE": "LANCZOS3",
    "-SUBTRACT_BACK": "N",
    "-FSCALASTRO_TYPE": "NONE",
    "-WRITE_XML": "N",
    "-NTHREADS": "1",
}


def sin_wcs(ra: float, dec: float, size: int = SIZE, cell: float = CELL) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---SIN", "DEC--SIN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [size / 2 + 1] * 2
    wcs.wcs.cdelt = [-cell, cell]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.set()
    return wcs


def make_tile(
    name: str,
    ra: float,
    dec: float,
    sources: Sequence[tuple[float, float, float]] = (),
    *,
    sigma: float = SIGMA,
    seed: int | None = None,
    start: float = 60_000.0,
) -> Tile:
    """Sources (ra, dec, Jy) as beams times the response, and white noise smoothed by the beam, of rms sigma."""
    wcs = sin_wcs(ra, dec)
    tile = Tile(
        name,
        np.zeros((SIZE, SIZE), np.float32),
        Pointings(Airy(4.65), np.radians([[ra - 0.3, dec], [ra + 0.3, dec]])),
        wcs,
        sigma,
        BEAM,
        FREQUENCY,
        start,
        start + 0.0035,
        "set-1",
    )
    y, x = np.mgrid[:SIZE, :SIZE]
    a, b, c = beam_shape(wcs, BEAM, (SIZE / 2, SIZE / 2))
    image = np.zeros((SIZE, SIZE))
    for source_ra, source_dec, flux in sources:
        px, py = wcs.wcs_world2pix(source_ra, source_dec, 0)
        dx, dy = x - px, y - py
        image += flux * np.exp(-(a * dx**2 + 2 * b * dx * dy + c * dy**2))
    image *= response_image(tile)
    if seed is not None:
        dx, dy = x - SIZE // 2, y - SIZE // 2
        kernel = np.exp(-(a * dx**2 + 2 * b * dx * dy + c * dy**2))
        kernel *= sigma / math.sqrt((kernel**2).sum())
        white = np.random.default_rng(seed).normal(size=(SIZE, SIZE))
        image += np.fft.irfft2(np.fft.rfft2(white) * np.fft.rfft2(np.fft.ifftshift(kernel)), s=white.shape)
    return replace(tile, image=image.astype(np.float32))


def strip(
    ra: float, dec: float, slope: float = 0.0, *, seed: int | None = None
) -> tuple[list[Tile], np.ndarray]:
    """Three tiles 1° apart about `ra`, their declinations `slope` degrees apart, and the sources in them."""
    rng = np.random.default_rng(5)
    cosine = math.cos(math.radians(dec))
    sources = np.column_stack(
        [
            (ra + rng.uniform(-1.2, 1.2, 12) / cosine) % 360.0,
            dec + rng.uniform(-0.5, 0.5, 12),
            rng.uniform(0.05, 0.5, 12),
        ]
    )
    tiles = [
        make_tile(
            f"tile{k}",
            (ra + (k - 1) / cosine) % 360.0,
            dec + (k - 1) * slope,
            [tuple(one) for one in sources],
            seed=None if seed is None else seed + k,
            sigma=SIGMA * (1.0 + 0.5 * k),
            start=60_000.0 + 0.0036 * k,
        )
        for k in range(3)
    ]
    return tiles, sources


@pytest.fixture(scope="module")
def noisy() -> tuple[Mosaic, np.ndarray, list[Tile]]:
    tiles, sources = strip(0.1, 37.0, 0.5, seed=1)
    return mosaic(tiles), sources, tiles


def test_fluxes_and_noise_are_right_across_zero_hours_and_a_change_of_declination(
    noisy: tuple[Mosaic, np.ndarray, list[Tile]],
) -> None:
    joined, sources, _ = noisy
    assert joined.image.shape[1] < 700  # not all around the sky
    flux, error = forced_photometry(
        joined.image, joined.noise, joined.wcs, BEAM, sources[:, 0], sources[:, 1]
    )
    clear = np.array(
        [
            np.sort(np.hypot((sources[:, 0] - a + 180) % 360 - 180, sources[:, 1] - d))[1] > 0.15
            for a, d, _ in sources
        ]
    )
    pull = (flux - sources[:, 2]) / np.hypot(error, 0.005 * sources[:, 2])
    assert clear.sum() >= 6
    assert np.abs(pull[clear]).max() < 4.0


def test_the_noise_map_tells_the_scatter_and_the_weights_follow_beam_and_noise() -> None:
    tiles = [
        make_tile(f"t{k}", 10.0 + k, 37.0, seed=20 + k, sigma=SIGMA * (1 + k), start=60_000.0 + k)
        for k in range(2)
    ]
    joined = mosaic(tiles, interpolation="lanczos")
    chi = (joined.image / joined.noise)[joined.coverage > 0]
    assert np.std(chi) == pytest.approx(1.0, abs=0.06)  # some 3,000 beams: 2.5 % by chance
    rows, columns = np.nonzero(joined.coverage == 2)
    for n in range(0, len(rows), len(rows) // 20):
        ra, dec = joined.wcs.wcs_pix2world(columns[n], rows[n], 0)
        power = [
            float(one.pb.power(np.radians(ra), np.radians(dec), FREQUENCY))  # type: ignore[union-attr]
            for one in tiles
        ]
        expected = sum(p**2 / one.noise**2 for p, one in zip(power, tiles, strict=True))
        assert joined.weight[rows[n], columns[n]] == pytest.approx(expected, rel=1e-3)
        assert joined.noise[rows[n], columns[n]] == pytest.approx(1 / math.sqrt(expected), rel=1e-3)


@pytest.mark.parametrize(("ra", "dec", "slope"), [(0.0, 37.0, 1.0), (180.0, 71.0, 0.0), (359.9, -5.0, -1.0)])
def test_without_noise_every_source_is_where_and_what_it_was(ra: float, dec: float, slope: float) -> None:
    tiles, sources = strip(ra, dec, slope)
    joined = mosaic(tiles, interpolation="lanczos")
    x, y = joined.wcs.wcs_world2pix(sources[:, 0], sources[:, 1], 0)
    for k in np.argsort(-sources[:, 2])[:4]:
        i, j = round(float(x[k])), round(float(y[k]))
        patch = joined.image[j - 1 : j + 2, i - 1 : i + 2]
        others = sum(
            1
            for m in range(len(sources))
            if m != k and math.hypot(float(x[m] - x[k]), float(y[m] - y[k])) < 15
        )
        if others or not np.isfinite(patch).all():
            continue
        bright = np.unravel_index(np.argmax(patch), patch.shape)
        assert bright == (1, 1) or patch.max() < 1.02 * patch[1, 1]
        flux, _ = forced_photometry(
            joined.image, joined.noise, joined.wcs, BEAM, sources[k, 0], sources[k, 1]
        )
        assert flux[0] == pytest.approx(sources[k, 2], rel=0.006)


@pytest.mark.parametrize(("pixels", "interpolation"), [(2.4, "lanczos"), (4.5, "cubic")])
def test_the_line_interpolates_as_the_beam_asks(pixels: float, interpolation: str) -> None:
    tiles = [replace(one, beam=(pixels * CELL * 1.5, pixels * CELL, 0.0)) for one in strip(30.0, 37.0)[0]]
    expected = mosaic(tiles, interpolation=interpolation)
    np.testing.assert_array_equal(join(tiles, cell=0.0, pb_limit=0.2, threads=1).image, expected.image)


@pytest.mark.parametrize("shift", [0.0, 0.25, 0.5])
def test_a_peak_between_pixels_is_kept_where_the_beam_is_narrow(shift: float) -> None:
    """A Gaussian of 2.4 pixels: a point on its top changes by 0.6 % an axis with Lanczos' kernel, by 4.7 % with the cubic."""
    beam = (2.4 * CELL, 2.4 * CELL, 0.0)
    tile = make_tile("one", 30.0, 37.0)
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE // 2
    tile = replace(
        tile,
        beam=beam,
        image=np.exp(-4.0 * np.log(2.0) * (x**2 + y**2) / 2.4**2).astype(np.float32) * _power(tile),
    )
    grid = sin_wcs(30.0, 37.0)
    grid.wcs.crpix = [SIZE / 2 + 1 + shift] * 2
    for interpolation, most in (("lanczos", 2 * 0.0064), ("cubic", 2 * 0.047)):
        joined = mosaic([tile], interpolation=interpolation, grid=(grid, (SIZE, SIZE)))
        flux, _ = forced_photometry(joined.image, 1.0, joined.wcs, beam, [30.0], [37.0])
        assert flux[0] == pytest.approx(1.0, abs=most), interpolation


def _power(tile: Tile) -> np.ndarray:
    return response_image(tile).astype(np.float32)


def test_bilinear_agrees_with_reproject() -> None:
    tiles, _ = strip(30.0, 37.0, 0.3, seed=3)
    joined = mosaic(tiles, interpolation="bilinear")
    total, weight = np.zeros(joined.image.shape), np.zeros(joined.image.shape)
    for one in tiles:
        image, _ = reproject_interp((one.image, one.wcs), joined.wcs, joined.image.shape, order="bilinear")
        power, _ = reproject_interp((response_image(one), one.wcs), joined.wcs, joined.image.shape)
        used = np.isfinite(image) & (power >= joined.pb_limit)
        total[used] += (power * image)[used] / one.noise**2
        weight[used] += (power**2)[used] / one.noise**2
    with np.errstate(invalid="ignore"):
        expected = total / weight
    both = np.isfinite(expected) & np.isfinite(joined.image)
    # Pixels at the very limit may fall on either side of it, and reproject goes on for half a pixel at an edge.
    assert (np.isfinite(expected) != np.isfinite(joined.image)).mean() < 1e-2
    difference = np.abs(expected - joined.image)[both]
    assert np.percentile(difference, 99.5) < 0.02 * SIGMA
    assert np.median(difference) < 1e-6


@pytest.mark.skipif(shutil.which("SWarp") is None and "CI" not in os.environ, reason="SWarp is not installed")
def test_swarp_makes_the_same_mosaic(tmp_path: Path) -> None:
    tiles, _ = strip(30.0, 37.0, 0.3, seed=3)
    joined = mosaic(tiles, interpolation="lanczos")
    for k, one in enumerate(tiles):
        power = response_image(one).astype(float)
        weight = np.where(power >= joined.pb_limit, power**2 / one.noise**2, 0.0)
        header = one.wcs.to_header()
        fits.writeto(tmp_path / f"in{k}.fits", (one.image / np.clip(power, 0.01, None)).astype("f4"), header)
        fits.writeto(tmp_path / f"in{k}.weight.fits", weight.astype("f4"), header)
    target = joined.wcs.to_header()
    target["NAXIS"], target["NAXIS1"], target["NAXIS2"] = 2, joined.image.shape[1], joined.image.shape[0]
    target.totextfile(tmp_path / "out.head")
    done = subprocess.run(
        ["SWarp", *(f"in{k}.fits" for k in range(3)), *(part for option in SWARP.items() for part in option)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr[-500:]
    other = fits.getdata(tmp_path / "out.fits")
    with np.errstate(divide="ignore", invalid="ignore"):
        # SWarp leaves a tile out where its kernel would touch a pixel without weight.
        inner = fits.getdata(tmp_path / "out.weight.fits") / joined.weight > 0.93
    difference = np.abs(other - joined.image)[inner]
    assert inner.mean() > 0.4
    # It divides by the beam before it samples, and its sources are hundreds of times the noise.
    allowed = 0.1 * joined.noise + 0.01 * np.abs(joined.image)
    assert np.mean(difference < allowed[inner]) > 0.999
    assert np.median(difference / joined.noise[inner]) < 0.01


def test_threads_and_order_of_tiles_change_nothing() -> None:
    tiles, _ = strip(30.0, 37.0, seed=3)
    one, two = mosaic(tiles, threads=1), mosaic(tiles[::-1], threads=3)
    np.testing.assert_array_equal(one.image, two.image)
    np.testing.assert_array_equal(one.weight, two.weight)
    assert two.tiles == ("tile0", "tile1", "tile2")


def test_blanked_pixels_and_noise_maps_are_heeded() -> None:
    tile = make_tile("a", 50.0, 37.0, seed=9)
    holed = tile.image.copy()
    holed[150:170, 150:170] = np.nan
    rms = np.full(holed.shape, 2 * SIGMA, np.float32)
    grid = (tile.wcs, holed.shape)
    joined = mosaic([replace(tile, image=holed, rms=rms)], grid=grid)
    assert np.isnan(joined.image[155:165, 155:165]).all()
    assert joined.coverage[155:165, 155:165].max() == 0
    power = response_image(tile)
    np.testing.assert_allclose(joined.noise[100, 100:140], 2 * SIGMA / power[100, 100:140], rtol=2e-4)
    np.testing.assert_allclose(
        joined.image[100, 100:140], tile.image[100, 100:140] / power[100, 100:140], rtol=1e-3
    )


def test_the_extent_chooses_the_projection() -> None:
    for width, name in ((4.0, "SIN"), (30.0, "TAN"), (120.0, "CAR")):
        ra = np.linspace(-width / 2, width / 2, 41) % 360.0
        points = np.concatenate([ra, ra]), np.repeat([36.0, 38.0], 41)
        wcs, shape = output_wcs(points, 0.1)
        assert wcs.wcs.ctype[0].endswith(name)
        x, y = wcs.wcs_world2pix(*points, 0)
        assert x.min() >= 0
        assert y.min() >= 0
        assert x.max() <= shape[1] - 1
        assert y.max() <= shape[0] - 1
    with pytest.raises(MosaicError, match="expected SIN, TAN or CAR"):
        output_wcs((np.array([1.0]), np.array([1.0])), 0.1, "AIT")


def test_a_cylinder_holds_the_same_sky() -> None:
    tiles, sources = strip(0.0, 37.0)
    flat, round_ = mosaic(tiles, projection="CAR"), mosaic(tiles, projection="SIN")
    for joined in (flat, round_):
        x, y = joined.wcs.wcs_world2pix(sources[0, 0], sources[0, 1], 0)
        value = joined.image[round(float(y)), round(float(x))]
        assert value == pytest.approx(sources[0, 2], rel=0.1)


def test_means_are_right_on_a_circle() -> None:
    assert mean_direction([359.0, 1.0], [10.0, 10.0])[0] % 360.0 == pytest.approx(0.0, abs=1e-9)
    assert mean_beam([(2.0, 1.0, 85.0), (2.0, 1.0, -85.0)])[2] % 180.0 == pytest.approx(90.0)


def test_the_file_holds_everything_and_equal_mosaics_equal_bytes(
    noisy: tuple[Mosaic, np.ndarray, list[Tile]], tmp_path: Path
) -> None:
    joined, _, tiles = noisy
    for name in ("a.fits", "b.fits"):
        write_mosaic(tmp_path / name, joined, {"ORIGIN": ("test", "who made it")})
    assert (tmp_path / "a.fits").read_bytes() == (tmp_path / "b.fits").read_bytes()
    with fits.open(tmp_path / "a.fits") as units:
        assert [unit.name for unit in units] == ["MOSAIC", "WEIGHT", "NOISE", "COVERAGE"]
        assert [unit.header["BUNIT"] for unit in units][:3] == ["Jy/beam", "beam2/Jy2", "Jy/beam"]
        header = units[0].header
        assert header["NIMAGES"] == 3
        assert header["TILE002"] == "tile1"
        assert header["TCAL003"] == "set-1"
        assert header["DATE-OBS"] == "2023-02-25T00:00:00.000"
        assert header["MEDRMS"] == pytest.approx(1.5 * SIGMA)
        assert header["ORIGIN"] == "test"
        units.verify("exception")
    back = read_mosaic(tmp_path / "a.fits")
    np.testing.assert_array_equal(back.image, joined.image)
    np.testing.assert_array_equal(back.coverage, joined.coverage)
    assert mosaic_cards(back) == mosaic_cards(joined)
    np.testing.assert_allclose(back.wcs.wcs_pix2world(5, 7, 0), joined.wcs.wcs_pix2world(5, 7, 0))
    with pytest.raises(OSError, match="already exists"):
        write_mosaic(tmp_path / "a.fits", joined)
    assert tiles[0].cell == pytest.approx(CELL)


def test_wrong_tiles_are_named() -> None:
    tile = make_tile("a", 50.0, 37.0)
    with pytest.raises(MosaicError, match="expected at least one"):
        mosaic([])
    with pytest.raises(MosaicError, match="tile a: noise 0 Jy/beam"):
        mosaic([replace(tile, rms=0.0)])
    with pytest.raises(MosaicError, match="tile a: primary beam of shape"):
        mosaic([replace(tile, pb=np.ones((3, 3)))])
    with pytest.raises(MosaicError, match="interpolation 'best'"):
        mosaic([tile], interpolation="best")


def test_checks_tell_which_tiles_do_not_belong() -> None:
    tiles, _ = strip(30.0, 37.0, 0.4)
    assert all(one.ok for one in check_tiles(tiles, TileLimits(noise=2.5)))
    bad = replace(
        tiles[1],
        frequency=1.5e9,
        beam=(0.1, 0.04, 0.0),
        calibration="set-2",
        start=1.0,
        rms=1.0,
        wcs=sin_wcs(90, 39.5),
    )
    failed = {one.name for one in check_tiles([tiles[0], bad, tiles[2]]) if not one.ok}
    assert failed == {"frequency", "beam", "noise", "calibrations", "declination", "out_of_order", "overlap"}
    values = {one.name: one.value for one in check_tiles(tiles)}
    assert values["declination"] == pytest.approx(0.8, abs=0.01)
    assert 0.3 < values["overlap"] < 0.9
