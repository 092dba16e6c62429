"""Predicted visibilities against the sum written out in double precision."""

import numpy as np
import pytest

from towpath.pipelines.dsa110.science.beam import Airy, separation
from towpath.pipelines.dsa110.science.predict import apparent_flux, direction_cosines, predict
from towpath.pipelines.dsa110.science.sky import Sky, points
from towpath.pipelines.dsa110.science.visibilities import SPEED_OF_LIGHT

CENTRES = np.radians([[359.9, 16.1], [0.2, 16.1], [0.5, 16.1]])
FREQUENCY = 1.311e9 + 244140.625 * np.arange(200)


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(4)
    uvw = random.normal(0, [900, 700, 200], (60, 3))
    return uvw, random.integers(0, 3, 60).astype(np.int32)


def sky() -> Sky:
    ra, dec = np.radians([0.1, 0.2, 359.5, 1.4]), np.radians([16.1, 16.1, 15.2, 16.9])
    zeros = np.zeros(4)
    major, minor = np.radians([0, 0, 20 / 3600, 0]), np.radians([0, 0, 8 / 3600, 0])
    return Sky(
        ra, dec, np.array([1.0, 0.5, 2.0, 0.3]), 1.4e9, np.full((4, 1), -0.7), major, minor, zeros + 0.6
    )


def brute(model: Sky, flux: np.ndarray, uvw: np.ndarray, field: np.ndarray) -> np.ndarray:
    total = np.zeros((len(uvw), len(FREQUENCY)), complex)
    for row, number in enumerate(field):
        lmn = direction_cosines(model.ra, model.dec, CENTRES[number])
        u, v, w = (part * FREQUENCY / SPEED_OF_LIGHT for part in uvw[row])
        for source in range(len(model)):
            l_, m, n1 = lmn[source]
            along = u * np.sin(model.position_angle[source]) + v * np.cos(model.position_angle[source])
            across = u * np.cos(model.position_angle[source]) - v * np.sin(model.position_angle[source])
            b2 = (model.major[source] * along) ** 2 + (model.minor[source] * across) ** 2
            taper = np.exp(-(np.pi**2) * b2 / (4 * np.log(2)))
            phase = 2 * np.pi * (u * l_ + v * m + w * n1)
            total[row] += flux[source, number] * taper * np.exp(1j * phase)
    return total


def test_the_sum_is_that_of_the_formula(rows: tuple[np.ndarray, np.ndarray]) -> None:
    uvw, field = rows
    model = sky()
    flux = apparent_flux(model, Airy(4.65), CENTRES, FREQUENCY)
    found = predict(model, flux, uvw=uvw, field=field, centres=CENTRES, frequency=FREQUENCY)
    expected = brute(model, flux, uvw, field)
    assert np.abs(found - expected).max() < 2e-5 * np.abs(expected).max() + 1e-5
    predict(model, flux, uvw=uvw, field=field, centres=CENTRES, frequency=FREQUENCY, out=found)
    assert np.abs(found - 2 * expected).max() < 5e-5 * np.abs(expected).max() + 2e-5


def test_a_point_at_the_phase_centre_is_seen_alike_by_all(rows: tuple[np.ndarray, np.ndarray]) -> None:
    uvw, _ = rows
    model = points(CENTRES[:1, 0], CENTRES[:1, 1], np.array([3.0]), 1.4e9)
    flux = apparent_flux(model, None, CENTRES[:1], FREQUENCY)
    field = np.zeros(len(uvw), np.int32)
    found = predict(model, flux, uvw=uvw, field=field, centres=CENTRES[:1], frequency=FREQUENCY)
    assert np.allclose(found, 3.0, atol=1e-5)


def test_the_beam_dims_what_passes_by() -> None:
    model = sky()
    flux = apparent_flux(model, Airy(4.65), CENTRES, FREQUENCY[:1])
    away = separation(model.ra, model.dec, CENTRES[1, 0], CENTRES[1, 1])
    expected = model.flux_at(FREQUENCY[:1])[:, 0] * Airy(4.65).power(away, FREQUENCY[0])
    assert np.allclose(flux[:, 1, 0], expected)
    assert (flux[3, 0] < flux[3, 1]).all() and (flux[3, 1] < flux[3, 2]).all()  # it comes nearer


def test_half_power_is_where_the_airy_pattern_has_it() -> None:
    width = 1.0290 * SPEED_OF_LIGHT / (1.4e9 * 4.65)  # FWHM of (2 J1(x)/x)², small angles
    assert Airy(4.65).power(np.array([0.0, width / 2]), 1.4e9) == pytest.approx([1.0, 0.5], abs=2e-3)


def test_shapes_and_steps_are_checked(rows: tuple[np.ndarray, np.ndarray]) -> None:
    uvw, field = rows
    model = sky()
    with pytest.raises(ValueError, match="equal steps"):
        predict(
            model, np.ones((4, 3, 3)), uvw=uvw, field=field, centres=CENTRES, frequency=np.array([1.0, 2, 4])
        )
    with pytest.raises(ValueError, match=r"expected \(source, field, channel\) = \(4, 3, 200\)"):
        predict(model, np.ones((4, 2, 200)), uvw=uvw, field=field, centres=CENTRES, frequency=FREQUENCY)
