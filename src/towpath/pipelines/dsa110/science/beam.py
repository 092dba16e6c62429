"""Primary beams: the power response of a station over the sky.

Promises a response of 1 on the axis. A drift scan sees the mean of the beam over its pointings (`Pointings`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import j1

from .visibilities import SPEED_OF_LIGHT

Floats = npt.NDArray[np.float64]


class Beam(Protocol):
    """A primary beam."""

    def power(self, separation: Floats, frequency: float) -> Floats:
        """Response at angles from the axis (radians, any shape) at a frequency in Hz; 1 on the axis."""


@dataclass(frozen=True, slots=True)
class Airy:
    """The beam of a uniformly lit circular dish: (2 J1(x) / x)², x = π D sin θ / λ.

    Thompson, Moran & Swenson 2017, section 5.1. `dish` is the diameter in metres.
    """

    dish: float

    def power(self, separation: Floats, frequency: float) -> Floats:
        """Response at angles from the axis (radians) at a frequency in Hz."""
        x = np.pi * self.dish * np.sin(np.asarray(separation, float)) * frequency / SPEED_OF_LIGHT
        with np.errstate(invalid="ignore", divide="ignore"):
            found: Floats = np.where(np.abs(x) < 1e-6, 1.0, (2.0 * j1(x) / x) ** 2)
        return found


@dataclass(frozen=True, slots=True)
class GaussianBeam:
    """A Gaussian with the width of the Airy beam of the same dish: FWHM 1.02 λ / D."""

    dish: float

    def power(self, separation: Floats, frequency: float) -> Floats:
        """Response at angles from the axis (radians) at a frequency in Hz."""
        width = 1.02 * SPEED_OF_LIGHT / (frequency * self.dish)
        found: Floats = np.exp(-4.0 * math.log(2.0) * (np.asarray(separation, float) / width) ** 2)
        return found


BEAMS: dict[str, Callable[[float], Beam]] = {"airy": Airy, "gaussian": GaussianBeam}


def beam_of(name: str, dish: float) -> Beam:
    """The beam model of this name for a dish in metres; a deployer adds one to `BEAMS`.

    Raises
    ------
    ValueError
        If there is none of this name.
    """
    if name not in BEAMS:
        raise ValueError(f"primary beam {name!r}; expected one of {', '.join(BEAMS)}")
    return BEAMS[name](dish)


@dataclass(frozen=True, slots=True)
class Pointings:
    """The mean power beam over pointings `centres` (n, 2) in radians (ICRS), such as those of a drift scan."""

    beam: Beam
    centres: Floats

    def power(self, ra: Floats, dec: Floats, frequency: float) -> Floats:
        """Mean response in directions (radians, any shape, equal shapes) at a frequency in Hz."""
        total = np.zeros(np.broadcast_shapes(np.shape(ra), np.shape(dec)))
        for centre_ra, centre_dec in self.centres:
            total += self.beam.power(separation(ra, dec, centre_ra, centre_dec), frequency)
        found: Floats = total / len(self.centres)
        return found


def separation(ra1: Floats, dec1: Floats, ra2: float | Floats, dec2: float | Floats) -> Floats:
    """Angle between directions in radians (haversine formula, right for small angles)."""
    half_ra, half_dec = np.sin((ra1 - ra2) / 2.0), np.sin((dec1 - dec2) / 2.0)
    inner = half_dec**2 + np.cos(dec1) * np.cos(dec2) * half_ra**2
    found: Floats = 2.0 * np.arcsin(np.sqrt(np.clip(inner, 0.0, 1.0)))
    return found
