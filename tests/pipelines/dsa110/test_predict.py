"""Predicted visibilities are those of the formula, in double precision."""

import numpy as np
import pytest

from towpath.pipelines.dsa110.science.beam import Airy
from towpath.pipelines.dsa110.science.predict import apparent_flux, predict
from towpath.pipelines.dsa110.science.sky import Sky, points

C = 299_792_458.0


def _sky(rng: np.random.Generator, count: int = 5) -> Sky:
    major = np.array([0.0, 2e-4, 0.0, 1e-4, 5e-5])[:count]
    return Sky(
        np.mod(rng.normal(0.0, 0.02, count), 2 * np.pi),
        0.3 + rng.normal(0.0, 0.02, count),
        rng.uniform(0.5, 2.0, count),
        1.4e9,
        np.full((count, 1), -0.7),
        major,
        0.5 * major,
        rng.uniform(0.0, np.pi, count),
    )


@pytest.mark.parametrize("gap", [0.0, 12e6])
def test_visibilities_are_those_of_the_formula(gap: float) -> None:
    rng = np.random.default_rng(1)
    sky = _sky(rng)
    uvw = rng.normal(0.0, 900.0, (400, 3))
    field = rng.integers(0, 3, 400).astype(np.int32)
    centres = np.array([[6.28, 0.3], [0.0, 0.3], [0.01, 0.301]])
    frequency = 1.31e9 + 244140.625 * np.arange(150, dtype=np.float64)
    frequency[70:] += gap
    flux = apparent_flux(sky, Airy(4.65), centres, frequency)
    found = predict(sky, flux, uvw=uvw, field=field, centres=centres, frequency=frequency)
    expected = np.zeros((400, 150), complex)
    u, v, w = (uvw[:, None, k] * frequency / C for k in range(3))
    for one in range(len(sky)):
        turn = (sky.ra[one] - centres[field, 0])[:, None]
        dec, middle = sky.dec[one], centres[field, 1][:, None]
        east = np.cos(dec) * np.sin(turn)
        north = np.sin(dec) * np.cos(middle) - np.cos(dec) * np.sin(middle) * np.cos(turn)
        depth = np.sqrt(1.0 - east**2 - north**2) - 1.0
        sine, cosine = np.sin(sky.position_angle[one]), np.cos(sky.position_angle[one])
        along, across = u * sine + v * cosine, u * cosine - v * sine
        size = (sky.major[one] * along) ** 2 + (sky.minor[one] * across) ** 2
        taper = np.exp(-(np.pi**2) / (4.0 * np.log(2.0)) * size)
        expected += flux[one, field] * taper * np.exp(2j * np.pi * (u * east + v * north + w * depth))
    assert np.abs(found - expected).max() < 2e-6


def test_a_source_at_the_phase_centre_is_constant() -> None:
    uvw = np.random.default_rng(2).normal(0.0, 900.0, (50, 3))
    sky = points(np.array([1.0]), np.array([0.3]), np.array([2.5]), 1.4e9)
    frequency = np.linspace(1.3e9, 1.5e9, 7)
    centres = np.array([[1.0, 0.3]])
    flux = apparent_flux(sky, Airy(4.65), centres, frequency)
    found = predict(
        sky, flux, uvw=uvw, field=np.zeros(50, np.int32), centres=centres, frequency=frequency[::-1]
    )
    assert np.abs(found - 2.5).max() < 1e-6


def test_shapes_that_do_not_fit_are_refused() -> None:
    sky = points(np.array([1.0]), np.array([0.3]), np.array([2.5]), 1.4e9)
    good = {"uvw": np.zeros((4, 3)), "centres": np.zeros((1, 2)), "frequency": np.array([1.4e9])}
    with pytest.raises(ValueError, match="expected \\(source, field, channel\\)"):
        predict(sky, np.ones((2, 1, 1)), field=np.zeros(4, np.int32), **good)
    with pytest.raises(ValueError, match="fields from 0 to 1; expected 0 to 0"):
        predict(sky, np.ones((1, 1, 1)), field=np.array([0, 0, 0, 1], np.int32), **good)
