"""Images against injected sources, theory, a direct sum, and WSClean."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS

from towpath.pipelines.dsa110.science.beam import Airy, Pointings
from towpath.pipelines.dsa110.science.clean import Ellipse, add_gaussians, fit_beam
from towpath.pipelines.dsa110.science.coordinates import frame, unit_vectors
from towpath.pipelines.dsa110.science.fits import image_header, read_image, write_image
from towpath.pipelines.dsa110.science.gridding import Gridder, average
from towpath.pipelines.dsa110.science.image import Image, make_image
from towpath.pipelines.dsa110.science.predict import offsets
from towpath.pipelines.dsa110.science.sky import Sky, points
from towpath.pipelines.dsa110.science.visibilities import SPEED_OF_LIGHT, Stations, Visibilities
from towpath.pipelines.dsa110.science.weighting import imaging_weights

CENTRE = (np.radians(359.9), np.radians(37.0))
CELL = np.radians(8.0 / 3600.0)
SIZE = 512
NOISE = 0.5  # Jy, real part of one visibility


def observed(
    sky: Sky,
    *,
    fields: int = 1,
    step: float = 0.0,
    noise: float = NOISE,
    beam: Airy | None = None,
    seed: int = 1,
) -> Visibilities:
    """20 stations, 32 channels, 6 integrations: an own direct sum, without any code under test."""
    rng = np.random.default_rng(seed)
    places = rng.normal(0.0, 450.0, (20, 3)) * [1.0, 1.0, 0.05]
    one, two = np.triu_indices(20, 1)
    frequency = 1.4e9 + 1e6 * np.arange(32)
    rows, centres, data = [], [], []
    for number in range(6):
        shift = (number % fields - (fields - 1) / 2.0) * step
        ra, dec = CENTRE[0] + shift, CENTRE[1]
        turn = np.radians(20.0 * number)
        local = places @ np.array(
            [[np.cos(turn), np.sin(turn), 0.0], [-np.sin(turn), np.cos(turn), 0.0], [0.0, 0.0, 1.0]]
        )
        # A baseline is one vector in space: measured about the middle, then about the field's own centre.
        space = (local[one] - local[two]) @ np.array(axes(*CENTRE))
        uvw = space @ np.array(axes(ra, dec)).T
        k = uvw[:, :, None] * frequency / SPEED_OF_LIGHT
        total = np.zeros((len(one), 32), complex)
        for source in range(len(sky)):
            l, m, n = np.array(axes(ra, dec)) @ direction(sky.ra[source], sky.dec[source])  # noqa: E741
            flux = sky.flux_at(frequency)[source]
            if beam is not None:
                flux = flux * beam.power(np.arccos(n), 1.4155e9)
            width = sky.major[source]
            fall = np.exp(-(np.pi**2) * width**2 * (k[:, 0] ** 2 + k[:, 1] ** 2) / (4.0 * np.log(2.0)))
            total += flux * fall * np.exp(2j * np.pi * (k[:, 0] * l + k[:, 1] * m + k[:, 2] * (n - 1.0)))
        rows.append(uvw)
        centres.append((ra % (2 * np.pi), dec))
        data.append(total)
    shape = (len(one) * 6, 32, 2)
    scatter = rng.normal(0.0, noise, shape) + 1j * rng.normal(0.0, noise, shape)
    return Visibilities(
        uvw=np.concatenate(rows),
        time=np.repeat(5e9 + 13.0 * np.arange(6), len(one)),
        interval=np.full(shape[0], 13.0),
        antenna1=np.tile(one, 6).astype(np.int32),
        antenna2=np.tile(two, 6).astype(np.int32),
        field=np.repeat(np.arange(6) % fields, len(one)).astype(np.int32),
        centres=np.array(centres[:fields]),
        frequency=frequency,
        width=1e6,
        polarisations=("XX", "YY"),
        data=(np.concatenate(data)[:, :, None] + scatter).astype(np.complex64),
        flags=rng.random(shape) < 0.02,
        weights=np.full(shape, 1.0 / max(noise, 1e-3) ** 2, np.float32),
        stations=Stations(tuple(f"S{number}" for number in range(20)), places, np.full(20, 4.65)),
    )


def axes(ra: float, dec: float) -> list[list[float]]:
    return [
        [-np.sin(ra), np.cos(ra), 0.0],
        [-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)],
        [np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)],
    ]


def direction(ra: float, dec: float) -> np.ndarray:
    return np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])


def at(offsets: Sequence[tuple[float, float]], flux: Sequence[float]) -> Sky:
    """Points at offsets (l, m) in pixels of the image, l to the east."""
    l, m = np.array(offsets).T * CELL  # noqa: E741
    towards = np.stack([l, m, np.sqrt(1.0 - l**2 - m**2)], axis=1) @ np.array(axes(*CENTRE))
    return points(
        np.arctan2(towards[:, 1], towards[:, 0]), np.arcsin(towards[:, 2]), np.array(flux), 1.4155e9
    )


def found(image: Image, data: np.ndarray, ra: float, dec: float) -> tuple[float, float]:
    """Highest pixel near a place (sources are on pixels), and how far a parabola's top is from it in pixels."""
    header = image_header(image, "restored", telescope="T")
    x, y = WCS(header).celestial.world_to_pixel(SkyCoord(ra, dec, unit="rad"))
    column, row = round(float(x)), round(float(y))
    near = data[row - 3 : row + 4, column - 3 : column + 4].astype(float)
    top = np.unravel_index(np.argmax(near), near.shape)
    row, column = row - 3 + int(top[0]), column - 3 + int(top[1])
    dy, dx = np.mgrid[-1:2, -1:2]
    values = data[row - 1 : row + 2, column - 1 : column + 2].astype(float).ravel()
    terms = np.stack(
        [np.ones(9), dx.ravel(), dy.ravel(), dx.ravel() ** 2, (dx * dy).ravel(), dy.ravel() ** 2], 1
    )
    c = np.linalg.lstsq(terms, values, rcond=None)[0]
    place = np.linalg.solve([[2 * c[3], c[4]], [c[4], 2 * c[5]]], [-c[1], -c[2]])
    return float(near.max()), float(np.hypot(column + place[0] - x, row + place[1] - y))


OFFSETS = [(0.0, 0.0), (80.0, 40.0), (-120.0, 95.0), (-60.0, -150.0)]
FLUXES = [3.0, 1.0, 0.5, 0.25]


@pytest.fixture(scope="module")
def image() -> Image:
    return make_image(observed(at(OFFSETS, FLUXES)), size=SIZE, cell=CELL, centre=CENTRE, niter=3000)


def test_sources_are_found_with_flux_and_place(image: Image) -> None:
    sky = at(OFFSETS, FLUXES)
    for number, flux in enumerate(FLUXES):
        peak, away = found(image, image.restored, sky.ra[number], sky.dec[number])
        assert peak == pytest.approx(flux, abs=max(0.02 * flux, 3 * image.expected_rms))
        beam = image.beam.major / CELL
        assert away < max(0.1 * beam, 3 * beam * image.expected_rms / (2 * flux))


def test_noise_is_as_expected_and_nothing_is_left(image: Image) -> None:
    samples = image.samples
    assert image.expected_rms == pytest.approx(image.rms, rel=0.1)
    assert image.expected_rms >= NOISE / np.sqrt(samples)
    assert np.abs(image.residual).max() < 5.5 * image.rms
    assert not image.caveats


def test_noise_is_as_expected_where_weights_are_not_inverse_variances() -> None:
    """Receivers of equal noise whose gains differ: calibration scales weights by |g_p g_q|², their noise stays."""
    visibilities = observed(at(OFFSETS[:1], FLUXES[:1]))
    gain = np.random.default_rng(7).uniform(0.5, 1.5, len(visibilities.stations.names))
    uneven = (gain[visibilities.antenna1] * gain[visibilities.antenna2]) ** 2
    visibilities.weights[:] *= uneven[:, None, None].astype(np.float32)
    for robust in (0.0, 2.0):
        image = make_image(visibilities, size=SIZE, cell=CELL, centre=CENTRE, niter=3000, robust=robust)
        assert image.expected_rms == pytest.approx(image.rms, rel=0.05)


def test_a_source_outside_is_a_caveat_that_names_both_noises() -> None:
    sky = at([(0.0, 0.0), (1.8 * SIZE, 0.3 * SIZE)], [1.0, 20.0])
    image = make_image(observed(sky), size=SIZE, cell=CELL, centre=CENTRE, niter=200, average_channels=1)
    assert image.rms > 1.5 * image.expected_rms
    said = " ".join(image.caveats)
    assert f"{image.rms:.3g} Jy/beam" in said and f"{image.expected_rms:.3g} Jy/beam" in said


def test_pixels_that_are_too_wide_are_a_caveat(image: Image) -> None:
    assert image.beam.minor > 2.5 * image.cell
    wide = make_image(observed(at(OFFSETS[:1], FLUXES[:1])), size=128, cell=image.beam.minor / 2.4, niter=100)
    assert any("pixels wide, 2.5 are needed" in caveat for caveat in wide.caveats)


def test_psf_has_a_peak_of_one_in_the_middle(image: Image) -> None:
    assert image.psf.max() == image.psf[SIZE // 2, SIZE // 2] == 1.0


def test_dirty_image_and_prediction_are_a_direct_sum() -> None:
    visibilities = observed(at([(100.0, -30.0)], [1.0]))
    averaged = average(visibilities, radius=0.01, centre=CENTRE, channels=1)
    gridder = Gridder(averaged.uvw[:200], averaged.frequency, 64, 40 * CELL)
    data, weights = averaged.data[:200], averaged.weights[:200]
    dirty = gridder.invert(data, weights)
    model = np.zeros((64, 64), np.float32)
    model[40, 10] = 2.0
    predicted = gridder.predict(model)
    k = averaged.uvw[:200, :, None] * averaged.frequency / SPEED_OF_LIGHT
    for y, x in ((40, 10), (3, 60), (32, 32)):
        l, m = -(x - 32) * 40 * CELL, (y - 32) * 40 * CELL  # noqa: E741
        phase = np.exp(2j * np.pi * (k[:, 0] * l + k[:, 1] * m + k[:, 2] * (np.sqrt(1 - l * l - m * m) - 1)))
        assert dirty[y, x] == pytest.approx(
            (weights * data * phase.conj()).real.sum(), abs=2e-4 * float(weights.sum())
        )
        if (y, x) == (40, 10):
            np.testing.assert_allclose(predicted, 2.0 * phase, atol=2e-3)


def test_a_drift_scan_has_its_sources_at_their_places() -> None:
    sky = at([(50.0, 20.0), (-110.0, 60.0)], [2.0, 1.0])
    drift = observed(sky, fields=6, step=np.radians(0.05))
    image = make_image(drift, size=SIZE, cell=CELL, centre=CENTRE, niter=2000)
    for number in range(2):
        peak, away = found(image, image.restored, sky.ra[number], sky.dec[number])
        assert peak == pytest.approx(sky.flux[number], rel=0.02)
        assert away < 0.1 * image.beam.major / CELL
    own = make_image(drift, size=64, cell=CELL, niter=0)
    np.testing.assert_allclose(
        own.centre, CENTRE, rtol=0, atol=1e-6
    )  # a circle of declination is not straight


def test_the_primary_beam_is_corrected() -> None:
    sky, beam = at([(0.0, 0.0), (200.0, 150.0)], [1.0, 2.0]), Airy(10.0)
    seen = make_image(observed(sky, beam=beam), size=SIZE, cell=CELL, centre=CENTRE, niter=2000, beam=beam)
    peak, _ = found(seen, seen.corrected, sky.ra[1], sky.dec[1])
    assert seen.pb[256 + 150, 256 - 200] < 0.9
    assert peak == pytest.approx(2.0, rel=0.02)
    away = Pointings(beam, np.array([CENTRE])).power(sky.ra, sky.dec, seen.frequency)
    assert seen.pb[406, 56] == pytest.approx(away[1], abs=2e-3)


def test_the_same_input_gives_the_same_bytes(image: Image, tmp_path: Path) -> None:
    again = make_image(observed(at(OFFSETS, FLUXES)), size=SIZE, cell=CELL, centre=CENTRE, niter=3000)
    write_image(tmp_path / "a.fits", image, telescope="T", cards={"CALDATE": "x"}, history=["made"])
    write_image(tmp_path / "b.fits", again, telescope="T", cards={"CALDATE": "x"}, history=["made"])
    assert (tmp_path / "a.fits").read_bytes() == (tmp_path / "b.fits").read_bytes()
    read = read_image(tmp_path / "a.fits")
    np.testing.assert_array_equal(read.data, image.restored)
    assert read.beam is not None
    assert read.beam.major == pytest.approx(image.beam.major)
    assert read.frequency == pytest.approx(image.frequency)


@pytest.mark.parametrize("scheme", ["uniform", "briggs"])
def test_weights_are_those_of_a_sum_over_cells(scheme: str) -> None:
    averaged = average(observed(at([(0.0, 0.0)], [1.0])), radius=0.01, centre=CENTRE, channels=8)
    made = imaging_weights(
        averaged.uvw, averaged.frequency, averaged.weights, size=64, cell=4 * CELL, scheme=scheme, robust=0.0
    )
    uv = averaged.uvw[:, None, :2] * (averaged.frequency / SPEED_OF_LIGHT)[None, :, None]
    uv = np.where((uv[..., 1:] < 0), -uv, uv)
    cells = np.floor(uv * 64 * 4 * CELL + 0.5).astype(int)
    inside = (cells[..., 1] <= 32) & (np.abs(cells[..., 0] + 0.5) <= 32)
    name = cells[..., 0] + 1000 * cells[..., 1]
    _, where = np.unique(name, return_inverse=True)
    sums = np.bincount(where.ravel(), (averaged.weights * inside).ravel())
    squares = (5.0**2) * sums.sum() / np.square(sums).sum()
    cell = sums[where].reshape(name.shape)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = averaged.weights / (cell if scheme == "uniform" else 1.0 + cell * squares)
    np.testing.assert_allclose(made.weights[inside], expected[inside], rtol=2e-5)
    assert not made.weights[~inside].any()


def test_the_beam_of_a_gaussian_is_fitted() -> None:
    beam = Ellipse(9.0 * CELL, 5.0 * CELL, np.radians(30.0))
    psf = np.zeros((128, 128), np.float32)
    add_gaussians(psf, np.array([64]), np.array([64]), np.ones(1), beam.form(CELL))
    fitted = fit_beam(psf, CELL)
    assert fitted.major == pytest.approx(beam.major, rel=1e-3)
    assert fitted.minor == pytest.approx(beam.minor, rel=1e-3)
    assert fitted.angle == pytest.approx(beam.angle, abs=1e-3)


def test_axes_and_cosines_agree() -> None:
    sky, centre = points(np.array([0.31]), np.array([0.18]), np.ones(1), 1.4e9), np.array([0.3, 0.2])
    towards = frame(centre) @ unit_vectors(sky.ra, sky.dec)[0]
    np.testing.assert_allclose(offsets(sky, centre[None])[0, 0], towards - [0.0, 0.0, 1.0], atol=1e-15)
    np.testing.assert_allclose(frame(centre) @ frame(centre).T, np.eye(3), atol=1e-15)
