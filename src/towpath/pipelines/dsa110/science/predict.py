"""Predicts the visibilities of a sky model, for simulation and for calibration.

Promises the convention of `visibilities`, phases within 1e-9 and one pass over rows in as many threads as numba has.
Stokes I only, at the middle of channels and integrations: neither bandwidth nor time smears. Never touches a disk.
"""

import math

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from .beam import Beam, separation
from .sky import Sky
from .visibilities import SPEED_OF_LIGHT

Floats = npt.NDArray[np.float64]

BLOCK = 64  # channels after which the phasor is computed anew
EVEN = 0.01  # Hz, by which the spacing of channels may differ within a block
ROWS = 256  # rows of a thread's portion
TAPER = math.pi**2 / (4.0 * math.log(2.0))


def apparent_flux(sky: Sky, beam: Beam, centres: Floats, frequency: Floats) -> Floats:
    """Flux densities as seen through the primary beam, pointed at each phase centre.

    Parameters
    ----------
    sky
        Sources.
    beam
        Power response by angle from the axis.
    centres : (field, 2)
        Pointings: right ascension and declination in radians (ICRS).
    frequency : (channel,)
        Hz.

    Returns
    -------
    (n, field, channel) array
        Jy.
    """
    centres = np.asarray(centres, float)
    angle = separation(sky.ra[:, None], sky.dec[:, None], centres[None, :, 0], centres[None, :, 1])
    flux = sky.flux_at(frequency)
    found = np.empty((len(sky), len(centres), len(frequency)))
    for channel, hertz in enumerate(frequency):
        found[:, :, channel] = beam.power(angle, float(hertz)) * flux[:, channel, None]
    return found


def offsets(sky: Sky, centres: Floats) -> Floats:
    """Direction cosines l, m and n − 1 of sources from phase centres: shape (n, field, 3).

    l to the east, m to the north (Thompson, Moran & Swenson 2017, section 3.1). A source on the far hemisphere has
    n − 1 below −1.
    """
    turn = sky.ra[:, None] - centres[None, :, 0]
    dec, centre = sky.dec[:, None], centres[None, :, 1]
    east = np.cos(dec) * np.sin(turn)
    # In half angles, so that differences of arcseconds keep their digits.
    swing = 2.0 * np.cos(dec) * np.sin(turn / 2.0) ** 2
    north = np.sin(dec - centre) + np.sin(centre) * swing
    depth = -2.0 * np.sin((dec - centre) / 2.0) ** 2 - np.cos(centre) * swing
    found: Floats = np.stack([east, north, depth], axis=-1)
    return found


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
    """Stokes I visibilities of the sources with the flux densities given.

    The sum over sources of flux × taper × exp(+2πi ν/c (u l + v m + w (n − 1))). A Gaussian tapers by
    exp(−π²/(4 ln 2) (a² p² + b² q²)), where p and q are the parts of (u, v) in wavelengths along the major axis a and the
    minor axis b (FWHM; Thompson, Moran & Swenson 2017, section 10.4); position angles are taken from the
    phase centre's north.

    Parameters
    ----------
    sky
        Sources: their places and shapes.
    flux : (n, field, channel)
        Jy, as from `apparent_flux`, or without a beam where all fields are equal.
    uvw : (row, 3)
        Metres.
    field : (row,)
        Numbers into `centres`.
    centres : (field, 2)
        Phase centres in radians (ICRS).
    frequency : (channel,)
        Hz, in any order.
    out : (row, channel) complex64
        Where to write; made where not given.

    Returns
    -------
    (row, channel) array
        Jy.

    Raises
    ------
    ValueError
        If shapes do not go together, or a field has no phase centre.
    """
    field = np.ascontiguousarray(field, np.int64)
    wanted = (len(sky), len(centres), len(frequency))
    if flux.shape != wanted:
        raise ValueError(f"flux of shape {flux.shape}; expected (source, field, channel) = {wanted}")
    if uvw.shape != (len(field), 3):
        raise ValueError(
            f"uvw of shape {uvw.shape}; expected {(len(field), 3)}, as there are {len(field)} rows"
        )
    if len(field) and not (field.min() >= 0 and field.max() < len(centres)):
        raise ValueError(f"fields from {field.min()} to {field.max()}; expected 0 to {len(centres) - 1}")
    if out is None:
        out = np.empty((len(field), len(frequency)), np.complex64)
    elif out.shape != (len(field), len(frequency)) or out.dtype != np.complex64:
        raise ValueError(
            f"out of shape {out.shape}, {out.dtype}; expected {(len(field), len(frequency))}, complex64"
        )
    _predict(
        np.ascontiguousarray(uvw, np.float64),
        field,
        offsets(sky, np.asarray(centres, float)),
        np.ascontiguousarray(flux, np.float64),
        _axes(sky),
        np.ascontiguousarray(frequency, np.float64),
        _blocks(np.asarray(frequency, float)),
        out,
    )
    return out


def _axes(sky: Sky) -> Floats:
    """The major and the minor axis of every source as vectors (l, m), scaled for the taper: shape (n, 4)."""
    sine, cosine = np.sin(sky.position_angle), np.cos(sky.position_angle)
    scale = math.sqrt(TAPER)
    major, minor = scale * sky.major, scale * sky.minor
    found: Floats = np.column_stack([major * sine, major * cosine, minor * cosine, -minor * sine])
    return found


def _blocks(frequency: Floats) -> npt.NDArray[np.int64]:
    """Where blocks of evenly spaced channels begin, and the end: at most BLOCK channels each."""
    starts = [0]
    steps = np.diff(frequency)
    for channel in range(1, len(frequency)):
        first = starts[-1]
        is_even = abs(steps[channel - 1] - steps[first]) <= EVEN
        if channel - first >= BLOCK or not is_even:
            starts.append(channel)
    return np.array([*starts, len(frequency)] if len(frequency) else [0], np.int64)


@njit(cache=True, parallel=True, fastmath=True)  # type: ignore[untyped-decorator]  # numba has no types
def _predict(
    uvw: Floats,
    field: npt.NDArray[np.int64],
    lmn: Floats,
    flux: Floats,
    axes: Floats,
    frequency: Floats,
    blocks: npt.NDArray[np.int64],
    out: npt.NDArray[np.complex64],
) -> None:
    """Fill `out`, a portion of rows a thread.

    Within a block the phasors are made by doubling: each half is the half before it, turned. A rounding error grows with
    the logarithm of the number of channels only, and every loop runs in vector registers.
    """
    rows = uvw.shape[0]
    for portion in prange((rows + ROWS - 1) // ROWS):
        total_re, total_im = np.empty(BLOCK), np.empty(BLOCK)
        re, im = np.empty(BLOCK), np.empty(BLOCK)
        for row in range(portion * ROWS, min(rows, (portion + 1) * ROWS)):
            pointing = field[row]
            u, v, w = uvw[row, 0], uvw[row, 1], uvw[row, 2]
            for block in range(blocks.shape[0] - 1):
                first = blocks[block]
                count = blocks[block + 1] - first
                step = frequency[first + 1] - frequency[first] if count > 1 else 0.0
                total_re[:count] = 0.0
                total_im[:count] = 0.0
                for source in range(lmn.shape[0]):
                    delay = u * lmn[source, pointing, 0] + v * lmn[source, pointing, 1]
                    delay = (delay + w * lmn[source, pointing, 2]) / SPEED_OF_LIGHT
                    _phasors(delay, frequency[first], step, count, re, im)
                    along = u * axes[source, 0] + v * axes[source, 1]
                    across = u * axes[source, 2] + v * axes[source, 3]
                    width = (along * along + across * across) / (SPEED_OF_LIGHT * SPEED_OF_LIGHT)
                    if width > 0.0:
                        _taper(width, frequency[first], step, count, re, im)
                    for k in range(count):
                        total_re[k] += flux[source, pointing, first + k] * re[k]
                        total_im[k] += flux[source, pointing, first + k] * im[k]
                for k in range(count):
                    out[row, first + k] = complex(total_re[k], total_im[k])


@njit(cache=True, fastmath=True)  # type: ignore[untyped-decorator]  # numba has no types
def _phasors(delay: float, frequency: float, step: float, count: int, re: Floats, im: Floats) -> None:
    """Write exp(2πi delay (frequency + k step)) for k below `count`."""
    turns = delay * frequency
    turns -= math.floor(turns)
    re[0], im[0] = math.cos(2.0 * math.pi * turns), math.sin(2.0 * math.pi * turns)
    turn_re, turn_im = math.cos(2.0 * math.pi * delay * step), math.sin(2.0 * math.pi * delay * step)
    done = 1
    while done < count:
        more = min(done, count - done)
        for k in range(more):
            re[done + k] = re[k] * turn_re - im[k] * turn_im
            im[done + k] = re[k] * turn_im + im[k] * turn_re
        turn_re, turn_im = turn_re * turn_re - turn_im * turn_im, 2.0 * turn_re * turn_im
        done += more


@njit(cache=True, fastmath=True)  # type: ignore[untyped-decorator]  # numba has no types
def _taper(width: float, frequency: float, step: float, count: int, re: Floats, im: Floats) -> None:
    """Multiply by exp(−width ν²) for ν = frequency + k step: the ratio of neighbours changes by a constant factor."""
    level = math.exp(-width * frequency * frequency)
    ratio = math.exp(-width * step * (2.0 * frequency + step))
    change = math.exp(-2.0 * width * step * step)
    for k in range(count):
        re[k] *= level
        im[k] *= level
        level *= ratio
        ratio *= change
