"""Finds interference that the whole array sees in one channel at one moment: the power summed over all baselines.

Beside a bright source the amplitude of one baseline hardly tells: interference as strong as the source raises or lowers it,
as their phases have it. Its power adds to that of the source in the mean over baselines. Promises not to change data.
"""

import numpy as np
import numpy.typing as npt
from numba import njit, prange

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]

LEAST_CHANNELS, LEAST_TIMES = 16, 3
ORDER = 2  # of the polynomial over the band that a moment's power follows: beams are chromatic, sources pass through
SURE = 7.0  # standard deviations of the mean power
ROUNDS = 4  # of clipping
GAUSSIAN = 1.4826  # standard deviation over median absolute deviation of a Gaussian


def find_flashes(
    data: npt.NDArray[np.complex64], flags: Bools, rows: Integers, time: Integers, times: int
) -> Bools:
    """Channels and moments at which the array's power stands out.

    The mean of abs(V)² over baselines is divided by its median over the band at each moment, and by its median over
    time in each channel; what a parabola over the band leaves has to be above `SURE` standard deviations (by the
    median absolute deviation). In noise of variance 2σ² the mean over n baselines scatters by 2σ²/√n: interference
    as strong as one baseline's noise is found with fifty baselines or more. A carrier that stays in a channel
    is not found here.

    Parameters
    ----------
    data, flags : (row, channel, polarisation)
        Visibilities, and samples that do not count.
    rows : (n,)
        Cross correlations.
    time : (n,)
        Number of each one's moment.
    times : int
        How many moments.

    Returns
    -------
    (times, channel) bool
        True nowhere with fewer than 16 channels or 3 moments: there is nothing to compare with.
    """
    channels = data.shape[1]
    found = np.zeros((times, channels), bool)
    if channels < LEAST_CHANNELS or times < LEAST_TIMES:
        return found
    total, count = _power(data, flags, rows, time, times)
    with np.errstate(invalid="ignore", divide="ignore"):
        power = np.where(count > 0, total / count, np.nan)
    for hand in range(data.shape[2]):
        found |= _standing_out(power[:, :, hand])
    return found


def _standing_out(power: Floats) -> Bools:
    """Of one polarisation, (time, channel); NaN where there is nothing."""
    known = np.isfinite(power) & (power > 0.0)
    alive, present = known.any(axis=1), known.any(axis=0)
    found = np.zeros(power.shape, bool)
    part = np.where(known, power, np.nan)[np.ix_(alive, present)]
    if part.shape[0] < LEAST_TIMES or part.shape[1] < LEAST_CHANNELS:
        return found
    part = part / np.nanmedian(part, axis=1, keepdims=True)
    part = part / np.nanmedian(part, axis=0, keepdims=True) - 1.0
    good = np.isfinite(part)
    x = np.linspace(-1.0, 1.0, part.shape[1])
    for _ in range(ROUNDS):
        rest = np.stack([_rest(x, line, use) for line, use in zip(part, good, strict=True)])
        spread = GAUSSIAN * float(np.nanmedian(np.abs(rest)))
        with np.errstate(invalid="ignore"):
            good = np.isfinite(part) & (rest < SURE * max(spread, 1e-9))
    found[np.ix_(alive, present)] = np.isfinite(part) & ~good
    return found


def _rest(x: Floats, line: Floats, use: Bools) -> Floats:
    """A moment's power less the polynomial through what is good of it."""
    if use.sum() <= LEAST_CHANNELS // 2:
        return line
    # What is not clipped yet would pull a fit of squares: weights fall beyond the usual scatter.
    away = np.abs(line - np.median(line[use]))
    scale = max(GAUSSIAN * float(np.median(away[use])), 1e-12)
    weight = np.where(use, 1.0 / np.hypot(1.0, np.nan_to_num(away) / (3.0 * scale)), 0.0)
    powers = np.vander(x, ORDER + 1)
    terms = np.linalg.lstsq(powers * weight[:, None], np.nan_to_num(line) * weight, rcond=None)[0]
    rest: Floats = line - powers @ terms
    return rest


@njit(cache=True, parallel=True)  # type: ignore[untyped-decorator, unused-ignore]
def _power(
    data: npt.NDArray[np.complex64], flags: Bools, rows: Integers, time: Integers, times: int
) -> tuple[Floats, Floats]:
    """Sums of abs(V)² of what is not flagged, and counts: (times, channel, polarisation)."""
    shape = (times, data.shape[1], data.shape[2])
    total, count = np.zeros(shape), np.zeros(shape)
    starts = np.searchsorted(time, np.arange(times + 1))
    for t in prange(times):
        for k in range(starts[t], starts[t + 1]):
            row = rows[k]
            for c in range(data.shape[1]):
                for p in range(data.shape[2]):
                    value = data[row, c, p]
                    size = value.real * value.real + value.imag * value.imag
                    if not flags[row, c, p] and np.isfinite(size):
                        total[t, c, p] += size
                        count[t, c, p] += 1.0
    return total, count
