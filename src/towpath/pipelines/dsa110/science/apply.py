"""Applies solutions: divides visibilities by the gains of their stations.

Promises that data without a solution end flagged, that weights follow the data (× |g_p g_q|²), and that solutions of
other stations, receptors or frequencies are an error. How far in time a solution holds is the caller's business.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from .lookup import select
from .solutions import Solutions
from .visibilities import Visibilities

Floats = npt.NDArray[np.float64]
Complex64 = npt.NDArray[np.complex64]
Complex128 = npt.NDArray[np.complex128]
Bools = npt.NDArray[np.bool_]

INTERPOLATIONS = ("nearest", "linear")


def apply(
    vis: Visibilities,
    bandpass: Solutions | None,
    gains: Solutions | None,
    gains2: Solutions | None = None,
    *,
    interpolation: str = "nearest",
    in_place: bool = False,
) -> Visibilities:
    """Divide by the product of up to three tables: ``data / (g_p conj(g_q))``.

    Parameters
    ----------
    vis
        Visibilities, or a block of their rows or channels.
    bandpass, gains, gains2 : Solutions or None
        Tables in any order of stations, receptors and channels; None leaves one out.
    interpolation
        In time: ``"nearest"``, or ``"linear"`` in amplitude and phase between solutions, the nearest outside them. A
        flagged neighbour is passed over in linear interpolation.
    in_place : bool
        Whether to change the arrays of `vis` instead of making new ones.

    Returns
    -------
    Visibilities
        With new data, flags and weights. A sample whose station has no solution is flagged and otherwise unchanged.

    Raises
    ------
    LookupFailure
        If a table lacks a station, a receptor or a channel; the message names it.
    ValueError
        If the interpolation is none of those known.
    """
    if interpolation not in INTERPOLATIONS:
        raise ValueError(
            f"interpolation: found {interpolation!r}; expected one of {', '.join(INTERPOLATIONS)}"
        )
    times, number = np.unique(vis.time, return_inverse=True)
    receptors = _receptors(vis.polarisations)
    shape = (len(times), len(vis.stations.names), len(vis.frequency), len(receptors))
    total, flagged = np.ones(shape, np.complex64), np.zeros(shape, np.bool_)
    for table in (bandpass, gains, gains2):
        if table is not None:
            found, flags = select(table, vis.stations.names, vis.frequency, receptors)
            values, bad = interpolate(table.time, found, flags, times, interpolation)
            total *= values
            flagged |= bad
    first, second = _hands(vis.polarisations, receptors)
    data = vis.data if in_place else np.empty_like(vis.data)
    weights = vis.weights if in_place else np.empty_like(vis.weights)
    marks = vis.flags if in_place else vis.flags.copy()
    _divide(
        vis.data,
        vis.weights,
        vis.antenna1,
        vis.antenna2,
        number.astype(np.int64),
        total,
        flagged,
        first,
        second,
        data,
        weights,
        marks,
    )
    return replace(vis, data=data, weights=weights, flags=marks)


def interpolate(
    known: Floats, gains: Complex128, flags: Bools, times: Floats, interpolation: str
) -> tuple[Complex64, Bools]:
    """Solutions at other times.

    Parameters
    ----------
    known : (t,)
        Times of the solutions, ascending, in seconds.
    gains, flags : (t, station, channel, receptor)
    times : (n,)
        In seconds.

    Returns
    -------
    gains, flags : (n, station, channel, receptor)
    """
    after = np.clip(np.searchsorted(known, times), 0, len(known) - 1)
    before = np.maximum(after - 1, 0)
    span = known[after] - known[before]
    share = np.clip((times - known[before]) / np.where(span > 0.0, span, 1.0), 0.0, 1.0)
    if interpolation == "nearest" or len(known) == 1:
        nearest = np.where(share < 0.5, before, after)
        return gains[nearest].astype(np.complex64), flags[nearest]
    left, right = gains[before], gains[after]
    one, two = flags[before], flags[after]
    part = share[:, None, None, None]
    amplitude = np.abs(left) * (1.0 - part) + np.abs(right) * part
    phase = np.angle(left) + part * np.angle(right * np.conj(left))
    between = amplitude * np.exp(1j * phase)
    found = np.where(one, right, np.where(two, left, between))
    return found.astype(np.complex64), one & two


def _receptors(polarisations: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({letter for name in polarisations for letter in name}))


def _hands(
    polarisations: tuple[str, ...], receptors: tuple[str, ...]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Of each polarisation, the receptors of its first and second station."""
    sides = [[receptors.index(name[side]) for name in polarisations] for side in (0, 1)]
    return np.array(sides[0], np.int64), np.array(sides[1], np.int64)


@njit(cache=True, parallel=True)  # type: ignore[untyped-decorator, unused-ignore]
def _divide(
    data: Complex64,
    weights: npt.NDArray[np.float32],
    antenna1: npt.NDArray[np.int32],
    antenna2: npt.NDArray[np.int32],
    time: npt.NDArray[np.int64],
    gains: Complex64,
    flagged: Bools,
    first: npt.NDArray[np.int64],
    second: npt.NDArray[np.int64],
    new_data: Complex64,
    new_weights: npt.NDArray[np.float32],
    flags: Bools,
) -> None:
    for row in prange(len(data)):
        t, one, two = time[row], antenna1[row], antenna2[row]
        for c in range(data.shape[1]):
            for p in range(data.shape[2]):
                d, w = data[row, c, p], weights[row, c, p]
                gain = gains[t, one, c, first[p]] * np.conj(gains[t, two, c, second[p]])
                size = gain.real * gain.real + gain.imag * gain.imag
                if flagged[t, one, c, first[p]] or flagged[t, two, c, second[p]] or not size > 0.0:
                    flags[row, c, p] = True
                else:
                    d = np.complex64(d * np.conj(gain) / size)
                    w = np.float32(w * size)
                new_data[row, c, p], new_weights[row, c, p] = d, w
