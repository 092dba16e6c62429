"""Visibilities that a model of the sky gives: for simulation, and as the model that calibration compares with.

Promises the convention of `visibilities`, phases right to 1e-5 radians (the phasor of a row runs over channels by
recurrence and is computed anew every 64 of them), and two threads where numba has them.
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from .beam import Beam, separation
from .sky import Sky
from .visibilities import SPEED_OF_LIGHT

Floats = npt.NDArray[np.float64]

_RESTART = 64  # channels
# FWHM θ of a Gaussian on the sky is exp(-(π θ b)² / (4 ln 2)) for a baseline of b wavelengths.
_TAPER = np.pi**2 / (4.0 * np.log(2.0))


def direction_cosines(ra: Floats, dec: Floats, centre: Floats) -> Floats:
    """(l, m, n − 1) of directions seen from a phase centre (ra, dec), all in radians: shape (n, 3)."""
    delta = ra - centre[0]
    sin0, cos0 = np.sin(centre[1]), np.cos(centre[1])
    l_ = np.cos(dec) * np.sin(delta)
    m = np.sin(dec) * cos0 - np.cos(dec) * sin0 * np.cos(delta)
    # n − 1 = −2 sin²(θ/2): no cancellation near the centre.
    half = np.sin((dec - centre[1]) / 2.0) ** 2 + np.cos(dec) * cos0 * np.sin(delta / 2.0) ** 2
    return np.stack([l_, m, -2.0 * half], axis=-1)


def apparent_flux(sky: Sky, beam: Beam | None, centres: Floats, frequency: Floats) -> Floats:
    """Flux densities as seen through a primary beam that points at each phase centre.

    Parameters
    ----------
    sky
        n sources.
    beam
        The beam, or None for none.
    centres : (field, 2)
        Pointings in radians.
    frequency : (channel,)
        Hz.

    Returns
    -------
    (n, field, channel) array
        Jy.
    """
    flux = np.repeat(sky.flux_at(frequency)[:, None, :], len(centres), axis=1)
    if beam is None:
        return flux
    for number, centre in enumerate(centres):
        away = separation(sky.ra, sky.dec, centre[0], centre[1])
        for channel, hertz in enumerate(frequency):
            flux[:, number, channel] *= beam.power(away, float(hertz))
    return flux


def predict(
    sky: Sky,
    flux: Floats,
    *,
    uvw: Floats,
    field: npt.NDArray[np.int32],
    centres: Floats,
    frequency: Floats,
    out: npt.NDArray[np.complex64] | None = None,
) -> npt.NDArray[np.complex64]:
    """Stokes I visibilities of all sources together.

    Parameters
    ----------
    sky
        n sources: places and shapes.
    flux : (n, field, channel)
        Jy, see `apparent_flux`.
    uvw : (row, 3)
        Metres.
    field : (row,)
        Which of `centres` each row is phased to.
    centres : (field, 2)
        Radians.
    frequency : (channel,)
        Hz, at equal steps.
    out : (row, channel) complex64
        What is added to; new zeros if not given.

    Raises
    ------
    ValueError
        If shapes do not fit, or the frequencies are not at equal steps.
    """
    step = float(frequency[1] - frequency[0]) if len(frequency) > 1 else 0.0
    if len(frequency) > 2 and not np.allclose(np.diff(frequency), step, rtol=1e-6, atol=0):
        raise ValueError("frequencies at equal steps are needed; predict each evenly spaced part by itself")
    if flux.shape != (len(sky), len(centres), len(frequency)):
        raise ValueError(
            f"flux has the shape {flux.shape}; expected (source, field, channel) = "
            f"{(len(sky), len(centres), len(frequency))}"
        )
    if out is None:
        out = np.zeros((len(uvw), len(frequency)), np.complex64)
    places = np.stack([direction_cosines(sky.ra, sky.dec, centre) for centre in centres], axis=1)
    shapes = np.stack(
        [
            np.broadcast_to(sky.major, len(sky)),
            np.broadcast_to(sky.minor, len(sky)),
            np.sin(sky.position_angle),
            np.cos(sky.position_angle),
        ],
        axis=-1,
    )
    _sum(
        np.ascontiguousarray(uvw),
        field,
        places,
        np.ascontiguousarray(flux, np.float32),
        shapes,
        np.ascontiguousarray(frequency, np.float64),
        step,
        out,
    )
    return out


@numba.njit(cache=True, parallel=True, fastmath=True)
def _sum(
    uvw: Any, field: Any, places: Any, flux: Any, shapes: Any, frequency: Any, step: float, out: Any
) -> None:
    n_channel = len(frequency)
    for row in numba.prange(len(uvw)):
        u, v, w = uvw[row, 0], uvw[row, 1], uvw[row, 2]
        number = field[row]
        for source in range(len(places)):
            l_, m, n1 = places[source, number, 0], places[source, number, 1], places[source, number, 2]
            delay = 2.0 * np.pi * (u * l_ + v * m + w * n1) / SPEED_OF_LIGHT
            turn_re, turn_im = np.float32(np.cos(delay * step)), np.float32(np.sin(delay * step))
            major, minor = shapes[source, 0], shapes[source, 1]
            along = u * shapes[source, 2] + v * shapes[source, 3]
            across = u * shapes[source, 3] - v * shapes[source, 2]
            spread = _TAPER * ((major * along) ** 2 + (minor * across) ** 2) / SPEED_OF_LIGHT**2
            for start in range(0, n_channel, _RESTART):
                phase = delay * frequency[start]
                re, im = np.float32(np.cos(phase)), np.float32(np.sin(phase))
                for channel in range(start, min(start + _RESTART, n_channel)):
                    seen = flux[source, number, channel]
                    if spread > 0.0:
                        seen *= np.float32(np.exp(-spread * frequency[channel] ** 2))
                    out[row, channel] += np.complex64(complex(seen * re, seen * im))
                    re, im = re * turn_re - im * turn_im, re * turn_im + im * turn_re
