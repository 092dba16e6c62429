"""Numerical kernels of the gain solver: sums of the normal equations over rows, and the alternating solution itself.

With D the data, M the model and w the weights, two sums per baseline hold all that a solution needs: Σ w D conj(M) and
Σ w |M|². The iteration is StEFCal (Salvini & Wijnholds 2014, A&A 571, A97, algorithm 2). Threads are those of numba.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from .visibilities import SPEED_OF_LIGHT

Complex64 = npt.NDArray[np.complex64]
Complex128 = npt.NDArray[np.complex128]
Float32 = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]

ROUNDING = 1e-7  # of sums of float32, relative: no residual is known better
CHUNK = 8  # channels that one task takes, so that it reads whole cache lines


def rows_by_pair(antenna1: Any, antenna2: Any, stations: int) -> tuple[Indices, Indices, Indices]:
    """Rows of two different stations, sorted by pair: their order, where each pair begins (and the end), the pairs.

    Pairs (p, q), p < q, are numbered in the order of `pairs_of`.
    """
    low = np.minimum(antenna1, antenna2).astype(np.int64)
    high = np.maximum(antenna1, antenna2).astype(np.int64)
    rows = np.flatnonzero(low != high)
    number = pair_number(low[rows], high[rows], stations)
    order = np.argsort(number, kind="stable")
    found, starts = np.unique(number[order], return_index=True)
    return rows[order], np.append(starts, len(rows)).astype(np.int64), found.astype(np.int64)


def pair_number(low: Indices, high: Indices, stations: int) -> Indices:
    """Number of the pair (low, high), low < high, among all pairs of so many stations."""
    found: Indices = low * (2 * stations - low - 1) // 2 + high - low - 1
    return found


def pairs_of(stations: int) -> Indices:
    """All pairs of so many stations: shape (pair, 2)."""
    return np.stack(np.triu_indices(stations, 1), axis=1).astype(np.int64)


@njit(cache=True, parallel=True)  # type: ignore[untyped-decorator, unused-ignore]
def add_channels(
    order: Indices,
    starts: Indices,
    numbers: Indices,
    swapped: Bools,
    bins: Indices,
    length: Floats,
    shortest: float,
    frequency: Floats,
    hands: Indices,
    data: Complex64,
    flags: Bools,
    weights: Float32,
    model: Complex64,
    cross: Complex64,
    power: Float32,
    total: Float32,
    count: npt.NDArray[np.uint16],
) -> None:
    """Add rows to the sums per interval, pair, channel and hand.

    `cross` and `power` are (interval, pair, channel, hand); `total` (Σ w |D|²) and `count` are (pair, channel, hand).
    """
    single = model.shape[2] == 1
    for at in prange(len(numbers)):
        pair = numbers[at]
        for place in range(starts[at], starts[at + 1]):
            row = order[place]
            t = bins[row]
            for c in range(data.shape[1]):
                if length[row] * frequency[c] < shortest * SPEED_OF_LIGHT:
                    continue
                for h in range(len(hands)):
                    p = hands[h]
                    if flags[row, c, p]:
                        continue
                    d = data[row, c, p]
                    m = model[row, c, 0 if single else p]
                    w = weights[row, c, p]
                    size = w * (d.real * d.real + d.imag * d.imag)
                    if not (size < np.inf) or w <= 0.0:
                        continue
                    product = d * np.conj(m)
                    if swapped[row]:
                        product = np.conj(product)
                    cross[t, pair, c, h] += w * product
                    power[t, pair, c, h] += w * (m.real * m.real + m.imag * m.imag)
                    total[pair, c, h] += size
                    count[pair, c, h] += 1


@njit(cache=True, parallel=True)  # type: ignore[untyped-decorator, unused-ignore]
def add_band(
    order: Indices,
    starts: Indices,
    numbers: Indices,
    swapped: Bools,
    bins: Indices,
    length: Floats,
    shortest: float,
    frequency: Floats,
    hands: Indices,
    data: Complex64,
    flags: Bools,
    weights: Float32,
    model: Complex64,
    pairs: Indices,
    band: Complex64,
    unusable: Bools,
    cross: Complex128,
    power: Floats,
    total: Floats,
    count: npt.NDArray[np.int64],
) -> None:
    """Add rows to sums over all channels, the model seen through a bandpass: shapes (interval, pair, hand).

    `band` and `unusable` are (station, channel, hand).
    """
    single = model.shape[2] == 1
    for at in prange(len(numbers)):
        pair = numbers[at]
        low, high = pairs[pair, 0], pairs[pair, 1]
        for place in range(starts[at], starts[at + 1]):
            row = order[place]
            t = bins[row]
            for c in range(data.shape[1]):
                if length[row] * frequency[c] < shortest * SPEED_OF_LIGHT:
                    continue
                for h in range(len(hands)):
                    p = hands[h]
                    if flags[row, c, p] or unusable[low, c, h] or unusable[high, c, h]:
                        continue
                    d = data[row, c, p]
                    m = model[row, c, 0 if single else p]
                    if swapped[row]:
                        d, m = np.conj(d), np.conj(m)
                    m = m * band[low, c, h] * np.conj(band[high, c, h])
                    w = weights[row, c, p]
                    size = w * (d.real * d.real + d.imag * d.imag)
                    if not (size < np.inf) or w <= 0.0:
                        continue
                    cross[t, pair, h] += w * d * np.conj(m)
                    power[t, pair, h] += w * (m.real * m.real + m.imag * m.imag)
                    total[t, pair, h] += size
                    count[t, pair, h] += 1


@njit(cache=True, parallel=True)  # type: ignore[untyped-decorator, unused-ignore]
def fold(
    cross: Complex64, power: Float32, pairs: Indices, band: Complex128, unusable: Bools
) -> tuple[Complex128, Floats]:
    """Sum over channels, the model seen through a bandpass: two arrays of (interval, pair, hand)."""
    intervals, n_pairs, channels, hands = cross.shape
    folded = np.zeros((intervals, n_pairs, hands), np.complex128)
    square = np.zeros((intervals, n_pairs, hands), np.float64)
    for pair in prange(n_pairs):
        low, high = pairs[pair, 0], pairs[pair, 1]
        for t in range(intervals):
            for c in range(channels):
                for h in range(hands):
                    if unusable[low, c, h] or unusable[high, c, h]:
                        continue
                    seen = band[low, c, h] * np.conj(band[high, c, h])
                    folded[t, pair, h] += cross[t, pair, c, h] * np.conj(seen)
                    square[t, pair, h] += power[t, pair, c, h] * (seen.real**2 + seen.imag**2)
    return folded, square


@njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def usable_stations(power: Floats, fewest: int) -> Bools:
    """Which stations have at least so many baselines to others that do: shape (station,)."""
    n = len(power)
    usable = np.ones(n, np.bool_)
    changed = True
    while changed:
        changed = False
        for p in range(n):
            if usable[p]:
                baselines = 0
                for q in range(n):
                    if usable[q] and power[p, q] > 0.0:
                        baselines += 1
                if baselines < fewest:
                    usable[p] = False
                    changed = True
    return usable


@njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _begin(cross: Complex128, power: Floats, usable: Bools, gains: Complex128) -> None:
    """Set first gains: one amplitude for all, phases against the station with the strongest response."""
    n = len(power)
    best, strongest, signal, square = 0, -1.0, 0.0, 0.0
    for p in range(n):
        if usable[p]:
            response = 0.0
            for q in range(n):
                if usable[q]:
                    response += abs(cross[p, q])
                    square += power[p, q]
            signal += response
            if response > strongest:
                best, strongest = p, response
    amplitude = np.sqrt(signal / square) if square > 0.0 and signal > 0.0 else 1.0
    for p in range(n):
        size = abs(cross[p, best])
        turn = cross[p, best] / size if size > 0.0 and p != best else 1.0 + 0.0j
        gains[p] = amplitude * turn


@njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def iterate(
    cross: Complex128,
    power: Floats,
    usable: Bools,
    gains: Complex128,
    phase_only: bool,
    tolerance: float,
    most: int,
) -> int:
    """Improve gains in place; the number of iterations, negative where they did not converge.

    `cross` is Hermitian and `power` symmetric, (station, station). The gains are averaged with those before at
    every second iteration, which is what makes it converge (algorithm 1 of the paper).
    """
    n = len(gains)
    now = np.empty(n, np.complex128)
    for step in range(1, most + 1):
        change, size = 0.0, 0.0
        for p in range(n):
            now[p] = 0.0
            if not usable[p]:
                continue
            above, below = 0.0 + 0.0j, 0.0
            for q in range(n):
                if usable[q]:
                    above += cross[p, q] * gains[q]
                    below += power[p, q] * (gains[q].real ** 2 + gains[q].imag ** 2)
            if phase_only:
                length = abs(above)
                now[p] = above / length if length > 0.0 else gains[p]
            elif below > 0.0:
                now[p] = above / below
            if step % 2 == 0:
                now[p] = 0.5 * (now[p] + gains[p])
                if phase_only and abs(now[p]) > 0.0:
                    now[p] /= abs(now[p])
            moved = now[p] - gains[p]
            change += moved.real**2 + moved.imag**2
            size += now[p].real ** 2 + now[p].imag ** 2
        for p in range(n):
            if usable[p]:
                gains[p] = now[p]
        if step % 2 == 0 and change <= tolerance * tolerance * size:
            return step
    return -most


@njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def judge(
    cross: Complex128,
    power: Floats,
    usable: Bools,
    gains: Complex128,
    total: float,
    count: int,
    errors: Floats,
) -> float:
    """Set errors in place from the normal equations and the scatter of the residual; that scatter is returned.

    The scatter is the reduced χ² (Σ w |D − model|² over the degrees of freedom): the factor by which 1 / w has to be
    multiplied to be the variance of the real part.
    """
    n, unknowns, residual = len(gains), -1, total
    for p in range(n):
        errors[p] = 0.0
        if not usable[p]:
            continue
        unknowns += 2
        below = 0.0
        for q in range(n):
            if usable[q]:
                strength = gains[q].real ** 2 + gains[q].imag ** 2
                below += power[p, q] * strength
                if q > p:
                    seen = gains[p] * np.conj(gains[q])
                    residual += power[p, q] * (seen.real**2 + seen.imag**2)
                    residual -= 2.0 * (np.conj(seen) * cross[p, q]).real
        errors[p] = np.sqrt(1.0 / below) if below > 0.0 else 0.0
    freedom = 2 * count - unknowns
    scatter = max(residual, ROUNDING * total) / freedom if freedom > 0 else 0.0
    for p in range(n):
        errors[p] *= np.sqrt(scatter)
    return scatter


@njit(cache=True, parallel=True)  # type: ignore[untyped-decorator, unused-ignore]
def solve_channels(
    cross: Complex64,
    power: Float32,
    total: Float32,
    count: npt.NDArray[np.uint16],
    pairs: Indices,
    turns: Complex128,
    first: int,
    last: int,
    fewest: int,
    tolerance: float,
    most: int,
    gains: Complex128,
    usable: Bools,
    errors: Floats,
    scatter: Floats,
    steps: npt.NDArray[np.int64],
) -> None:
    """Solve every channel and hand over the intervals first … last, each turned by the phases `turns`.

    `turns` is (interval, station, hand) of amplitude 1. `gains`, `usable` and `errors` (station, channel, hand),
    `scatter` and `steps` (channel, hand) are set.
    """
    n_pairs, channels, hands = total.shape
    n = gains.shape[0]
    for task in prange((channels + CHUNK - 1) // CHUNK):
        begin, end = task * CHUNK, min((task + 1) * CHUNK, channels)
        square = np.zeros((CHUNK, hands, n, n), np.complex128)
        strength = np.zeros((CHUNK, hands, n, n), np.float64)
        for pair in range(n_pairs):
            low, high = pairs[pair, 0], pairs[pair, 1]
            for t in range(first, last):
                for c in range(begin, end):
                    for h in range(hands):
                        turn = np.conj(turns[t, low, h]) * turns[t, high, h]
                        square[c - begin, h, low, high] += cross[t, pair, c, h] * turn
                        strength[c - begin, h, low, high] += power[t, pair, c, h]
        for c in range(begin, end):
            for h in range(hands):
                x, y = square[c - begin, h], strength[c - begin, h]
                for p in range(n):
                    for q in range(p):
                        x[p, q] = np.conj(x[q, p])
                        y[p, q] = y[q, p]
                kept = usable_stations(y, fewest)
                found = np.ones(n, np.complex128)
                _begin(x, y, kept, found)
                steps[c, h] = iterate(x, y, kept, found, False, tolerance, most)
                sum_total, sum_count = 0.0, 0
                for pair in range(n_pairs):
                    if kept[pairs[pair, 0]] and kept[pairs[pair, 1]]:
                        sum_total += total[pair, c, h]
                        sum_count += count[pair, c, h]
                error = np.zeros(n)
                scatter[c, h] = judge(x, y, kept, found, sum_total, sum_count, error)
                for p in range(n):
                    gains[p, c, h] = found[p] if kept[p] else 1.0
                    usable[p, c, h] = kept[p]
                    errors[p, c, h] = error[p]


@njit(cache=True, parallel=True)  # type: ignore[untyped-decorator, unused-ignore]
def solve_intervals(
    cross: Complex128,
    power: Floats,
    total: Floats,
    count: npt.NDArray[np.int64],
    pairs: Indices,
    phase_only: bool,
    fewest: int,
    tolerance: float,
    most: int,
    gains: Complex128,
    usable: Bools,
    errors: Floats,
    scatter: Floats,
    steps: npt.NDArray[np.int64],
) -> None:
    """Solve every interval and hand; sums are (interval, pair, hand), gains, usable and errors (interval, station, hand)."""
    intervals, n_pairs, hands = cross.shape
    n = gains.shape[1]
    for task in prange(intervals * hands):
        t, h = task // hands, task % hands
        x, y = np.zeros((n, n), np.complex128), np.zeros((n, n), np.float64)
        for pair in range(n_pairs):
            low, high = pairs[pair, 0], pairs[pair, 1]
            x[low, high], x[high, low] = cross[t, pair, h], np.conj(cross[t, pair, h])
            y[low, high] = y[high, low] = power[t, pair, h]
        kept = usable_stations(y, fewest)
        found = np.ones(n, np.complex128)
        _begin(x, y, kept, found)
        if phase_only:
            for p in range(n):
                found[p] /= abs(found[p])
        steps[t, h] = iterate(x, y, kept, found, phase_only, tolerance, most)
        sum_total, sum_count = 0.0, 0
        for pair in range(n_pairs):
            if kept[pairs[pair, 0]] and kept[pairs[pair, 1]]:
                sum_total += total[t, pair, h]
                sum_count += count[t, pair, h]
        error = np.zeros(n)
        scatter[t, h] = judge(x, y, kept, found, sum_total, sum_count, error)
        for p in range(n):
            gains[t, p, h] = found[p] if kept[p] else 1.0
            usable[t, p, h] = kept[p]
            errors[t, p, h] = error[p]
