"""Imaging weights: natural, uniform and Briggs, and the noise that an image made with them has.

Promises weights of 0 where the data's are 0, and that sums are taken in one order, so that they are the same on every
run. Never changes the weights of the data.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from .visibilities import SPEED_OF_LIGHT

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]

SCHEMES = ("natural", "uniform", "briggs")
BINS = 16  # classes of weight, in which the scatter of visibilities is measured
MAD = 1.482602  # standard deviation over median absolute deviation of normal numbers


@dataclass(frozen=True, slots=True)
class Weighting:
    """Imaging weights of averaged visibilities.

    Parameters
    ----------
    weights : (row, channel) float32
        Weight of each sample in the image.
    total
        Their sum.
    frequency
        Their mean frequency in Hz.
    per_channel : (channel,)
        Their sums per channel.
    noise
        Standard deviation of the dirty image in Jy/beam, for data whose weights are inverse variances in Jy⁻²; for
        weights that are so only up to a factor, multiply with the root of `noise_factor`.
    natural
        The same with natural weights: the smallest that there can be.
    """

    weights: Singles
    total: float
    frequency: float
    per_channel: Floats
    noise: float
    natural: float


def imaging_weights(
    uvw: Floats,
    frequency: Floats,
    weights: Singles,
    *,
    size: int,
    cell: float,
    scheme: str = "briggs",
    robust: float = 0.5,
    uv_min: float = 0.0,
) -> Weighting:
    """Weigh visibilities for an image.

    Uniform weights divide by the sum of weights in a cell of the uv plane, as wide as 1 / (size × cell). Briggs' are
    w / (1 + W f²), W the sum in the cell, f² = (5 · 10^−R)² Σw / ΣW² (Briggs 1995, Ph.D. thesis, section 3.1.3).

    Parameters
    ----------
    uvw : (row, 3)
        Metres.
    frequency : (channel,)
        Hz.
    weights : (row, channel)
        Of the data; 0 where they are not to be used.
    size, cell
        Pixels of the image along a side, and radians per pixel.
    scheme
        One of `SCHEMES`.
    robust
        From −2 (nearly uniform) to 2 (nearly natural), for Briggs.
    uv_min
        Shortest projected baseline in wavelengths that is used.

    Raises
    ------
    ValueError
        If the scheme is unknown, or no sample has a weight.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"weighting {scheme!r}; expected one of {', '.join(SCHEMES)}")
    per_metre = np.ascontiguousarray(frequency, np.float64) / SPEED_OF_LIGHT
    places = np.ascontiguousarray(uvw[:, :2], np.float64)
    used = _above(places, per_metre, np.ascontiguousarray(weights, np.float32), uv_min**2)
    if not used.any():
        raise ValueError("imaging weights: no visibility has a weight above 0; expected at least one")
    if scheme != "natural":
        span = size * cell
        grid = np.zeros((size // 2 + 1, size))
        _add(places, per_metre, used, span, grid)
        factor = 1.0
        if scheme == "briggs":
            squares = float(np.square(grid).sum())
            factor = (5.0 * 10.0**-robust) ** 2 * float(grid.sum()) / squares if squares else 0.0
        imaging = _divided(places, per_metre, used, span, grid, factor, 0.0 if scheme == "uniform" else 1.0)
    else:
        imaging = used
    return _weighting(frequency, used, imaging)


def _weighting(frequency: Floats, weights: Singles, imaging: Singles) -> Weighting:
    total, squares, natural = _sums(weights, imaging)
    per_channel = total.sum(axis=0)
    whole = float(per_channel.sum())
    return Weighting(
        imaging,
        whole,
        float((per_channel * frequency).sum() / whole),
        per_channel,
        math.sqrt(float(squares.sum())) / whole,
        1.0 / math.sqrt(float(natural.sum())),
    )


def noise_factor(
    residual: npt.NDArray[np.complex64], weights: Singles, imaging: Singles, *, most: int = 400_000
) -> float:
    """Variance of visibilities times their weight, as it counts in an image, from differences of neighbouring channels.

    A sample of variance v adds w_i² v to the image's variance: the factor is the mean of w v weighted by w_i² / w.
    Weights that calibration scaled by |g_p g_q|² belong to stations of unequal noise; where it is the gains of equal
    receivers that differ, w v grows with w, and one median for all would be too low. So medians of absolute
    deviations, which what is left of sources changes little, are taken in `BINS` classes of the weight.

    Parameters
    ----------
    residual : (row, channel)
        Visibilities without the model, Jy.
    weights : (row, channel)
        Inverse variances of the real part up to a common factor.
    imaging : (row, channel)
        Weights in the image.
    most
        Rows times channels that are looked at, at most.

    Returns
    -------
    float
        1 where the weights are inverse variances in Jy⁻²; 1 also where there is nothing to measure.
    """
    step = max(1, residual.size // most)
    values, shares, images = residual[::step], weights[::step], imaging[::step]
    if values.shape[1] < 2:
        return 1.0
    first, second = shares[:, :-1].astype(float), shares[:, 1:].astype(float)
    good = (first > 0) & (second > 0)
    if np.count_nonzero(good) < 16:
        return 1.0
    weight = first[good] * second[good] / (first[good] + second[good])
    apart = (values[:, 1:] - values[:, :-1])[good] * np.sqrt(weight)
    counts = images[:, :-1][good].astype(float) ** 2 / first[good]
    order = np.argsort(weight, kind="stable")
    total = share = 0.0
    for part in np.array_split(order, min(BINS, len(order) // 16)):
        here = float(counts[part].sum())
        scatter = MAD * float(np.median(np.abs(np.concatenate([apart[part].real, apart[part].imag]))))
        total, share = total + here * scatter**2, share + here
    return total / share if share > 0.0 else 1.0


@njit(cache=True, parallel=True)  # type: ignore[untyped-decorator]  # numba ships no types
def _above(places: Floats, per_metre: Floats, weights: Singles, least: float) -> Singles:
    found = np.zeros_like(weights)
    for row in prange(weights.shape[0]):
        length = places[row, 0] ** 2 + places[row, 1] ** 2
        for channel in range(weights.shape[1]):
            if weights[row, channel] > 0.0 and length * per_metre[channel] ** 2 >= least:
                found[row, channel] = weights[row, channel]
    return found


@njit(cache=True, inline="always")  # type: ignore[untyped-decorator]  # numba ships no types
def _cell(u: float, v: float, span: float, size: int) -> tuple[int, int]:
    """Cell of the half-plane v ≥ 0; a visibility and its conjugate are one."""
    if v < 0.0 or (v == 0.0 and u < 0.0):
        u, v = -u, -v
    return int(np.floor(v * span + 0.5)), int(np.floor(u * span + 0.5)) + size // 2


@njit(cache=True)  # type: ignore[untyped-decorator]  # numba ships no types
def _add(places: Floats, per_metre: Floats, weights: Singles, span: float, grid: Floats) -> None:
    for row in range(weights.shape[0]):
        for channel in range(weights.shape[1]):
            weight = weights[row, channel]
            if weight > 0.0:
                k = per_metre[channel]
                y, x = _cell(places[row, 0] * k, places[row, 1] * k, span, grid.shape[1])
                if y < grid.shape[0] and 0 <= x < grid.shape[1]:
                    grid[y, x] += weight


@njit(cache=True, parallel=True)  # type: ignore[untyped-decorator]  # numba ships no types
def _divided(
    places: Floats,
    per_metre: Floats,
    weights: Singles,
    span: float,
    grid: Floats,
    factor: float,
    offset: float,
) -> Singles:
    """Weights w / (offset + factor W); samples beyond the grid cannot be in the image, and get 0."""
    found = np.zeros_like(weights)
    for row in prange(weights.shape[0]):
        for channel in range(weights.shape[1]):
            weight = weights[row, channel]
            if weight > 0.0:
                k = per_metre[channel]
                y, x = _cell(places[row, 0] * k, places[row, 1] * k, span, grid.shape[1])
                if y < grid.shape[0] and 0 <= x < grid.shape[1]:
                    found[row, channel] = weight / (offset + factor * grid[y, x])
    return found


@njit(cache=True, parallel=True)  # type: ignore[untyped-decorator]  # numba ships no types
def _sums(weights: Singles, imaging: Singles) -> tuple[Floats, Floats, Floats]:
    """Sums of imaging weights (by row blocks and channel), of their squares over the weights, and of the weights."""
    blocks = 64
    rows, channels = weights.shape
    total = np.zeros((blocks, channels))
    squares = np.zeros(blocks)
    natural = np.zeros(blocks)
    for block in prange(blocks):
        for row in range(block * rows // blocks, (block + 1) * rows // blocks):
            for channel in range(channels):
                weight = weights[row, channel]
                if weight > 0.0:
                    share = float(imaging[row, channel])
                    total[block, channel] += share
                    squares[block] += share * share / weight
                    natural[block] += weight
    return total, squares, natural
