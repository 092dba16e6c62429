"""Numerical kernels of the flagger: one plane of time and frequency per baseline and polarisation.

SumThreshold is Offringa et al. 2010, MNRAS 405, 155, section 2.3; the scale-invariant rank operator, by which flags grow
where they are dense, is Offringa, van de Gronde & Roerdink 2012, A&A 539, A95. Threads are those of numba.
"""

import numpy as np
import numpy.typing as npt
from numba import njit, prange

Complex64 = npt.NDArray[np.complex64]
Float32 = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]

GAUSSIAN = 1.4826  # standard deviation over median absolute deviation of a Gaussian
BLOCK_TIMES, BLOCK_CHANNELS = 4, 8  # of the medians that the smooth surface goes through
SAMPLES = 4096  # of a plane, from which its median and spread are taken
MEDIAN_TIMES = 12  # about as many times of a baseline, evenly picked, make its spectrum
CAUTION = 5.0  # standard deviations of structure that is not noise, by which thresholds are raised
SHRINK = 1.5  # threshold of a window of 2n over that of n (section 2.3)


@njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def middle_and_spread(values: Float32, mask: Bools) -> tuple[float, float]:
    """Median and standard deviation (by the median absolute deviation) of a sample of what is not masked."""
    times, channels = values.shape
    step = max(1, (times * channels) // SAMPLES)
    if step > 1 and channels % step == 0:
        step += 1
    kept = np.empty(times * channels // step + 1, np.float32)
    count = 0
    for k in range(0, times * channels, step):
        t, c = k // channels, k % channels
        if not mask[t, c]:
            kept[count] = values[t, c]
            count += 1
    if count == 0:
        return 0.0, 0.0
    middle = float(np.median(kept[:count]))
    spread = float(np.median(np.abs(kept[:count] - middle)))
    return middle, GAUSSIAN * spread


@njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def remove_surface(values: Float32, mask: Bools, middle: float) -> None:
    """Subtract, in place, the surface that goes linearly through medians of blocks; where one is masked, `middle`."""
    times, channels = values.shape
    rows, columns = max(1, times // BLOCK_TIMES), max(1, channels // BLOCK_CHANNELS)
    medians = np.empty((rows, columns), np.float32)
    kept = np.empty((times // rows + 1) * (channels // columns + 1), np.float32)
    for i in range(rows):
        known = middle
        for j in range(columns):
            count = 0
            for t in range(i * times // rows, (i + 1) * times // rows):
                for c in range(j * channels // columns, (j + 1) * channels // columns):
                    if not mask[t, c]:
                        value = values[t, c]
                        place = count
                        while place > 0 and kept[place - 1] > value:
                            kept[place] = kept[place - 1]
                            place -= 1
                        kept[place] = value
                        count += 1
            if count >= 4:
                known = 0.5 * (kept[count // 2] + kept[(count - 1) // 2])
            medians[i, j] = known
    line = np.empty(columns, np.float32)
    begin, share = np.empty(channels, np.int64), np.empty(channels, np.float32)
    for c in range(channels):
        v = min(max((c + 0.5) * columns / channels - 0.5, 0.0), columns - 1.0)
        begin[c] = min(int(v), max(columns - 2, 0))
        share[c] = np.float32(v - begin[c])
    beside = 1 if columns > 1 else 0
    for t in range(times):
        u = min(max((t + 0.5) * rows / times - 0.5, 0.0), rows - 1.0)
        i = min(int(u), max(rows - 2, 0))
        part, above = np.float32(u - i), min(i + 1, rows - 1)
        for j in range(columns):
            line[j] = medians[i, j] + part * (medians[above, j] - medians[i, j])
        for c in range(channels):
            left = line[begin[c]]
            values[t, c] -= left + share[c] * (line[begin[c] + beside] - left)


@njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def structure(values: Float32, mask: Bools, spread: float) -> float:
    """Standard deviation of what is left of the sky and the bandpass: more than noise explains in means of four.

    Means over neighbours in time and in frequency; the larger. Noise would leave half of `spread`.
    """
    times, channels = values.shape
    most = 0.0
    for along in range(2):
        lines, length = (times // 4, channels) if along == 0 else (times, channels // 4)
        if lines * length < 32:
            continue
        step = max(1, (lines * length) // (SAMPLES // 4))
        if step > 1 and length % step == 0:
            step += 1
        means = np.empty(lines * length // step + 1, np.float32)
        count = 0
        for k in range(0, lines * length, step):
            line, place = k // length, k % length
            total, good = np.float32(0.0), 0
            for m in range(4):
                t, c = (4 * line + m, place) if along == 0 else (line, 4 * place + m)
                if not mask[t, c]:
                    total += values[t, c]
                    good += 1
            if good == 4:
                means[count] = total / np.float32(4.0)
                count += 1
        if count >= 32:
            middle = np.median(means[:count])
            found = GAUSSIAN * np.median(np.abs(means[:count] - middle))
            most = max(most, found**2 - 1.15 * spread**2 / 4.0)
    return float(np.sqrt(most))


@njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _double_row(sums: Float32, counts: Float32, half: int) -> None:
    """Make sums over `half` samples sums over twice as many, along a row."""
    for c in range(len(sums) - half):
        sums[c] += sums[c + half]
        counts[c] += counts[c + half]


@njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _hits_in_rows(sums: Float32, counts: Float32, limit: float, window: int, found: Bools) -> bool:
    """Mark windows along rows, whose sums begin at each sample, that exceed the limit; whether there are any."""
    times, channels = found.shape
    hits, anything = np.zeros(channels, np.bool_), False
    threshold = np.float32(limit)
    for t in range(times):
        any_hit = False
        for c in range(channels - window + 1):
            hits[c] = sums[t, c] > threshold * counts[t, c]
            any_hit |= hits[c]
        if any_hit:
            end, anything = 0, True
            for c in range(channels - window + 1):
                if hits[c]:
                    for k in range(max(c, end), c + window):
                        found[t, k] = True
                    end = c + window
    return anything


@njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _hits_in_time(sums: Float32, counts: Float32, limit: float, window: int, found: Bools) -> bool:
    """Mark windows along time that exceed the limit; whether there are any."""
    times, channels = found.shape
    hits, anything = np.zeros(channels, np.bool_), False
    threshold = np.float32(limit)
    for t in range(times - window + 1):
        any_hit = False
        for c in range(channels):
            hits[c] = sums[t, c] > threshold * counts[t, c]
            any_hit |= hits[c]
        if any_hit:
            anything = True
            for c in range(channels):
                if hits[c]:
                    for k in range(t, t + window):
                        found[k, c] = True
    return anything


@njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _double_times(sums: Float32, counts: Float32, half: int) -> None:
    """Make sums over `half` samples sums over twice as many, along time."""
    for t in range(len(sums) - half):
        for c in range(sums.shape[1]):
            sums[t, c] += sums[t + half, c]
            counts[t, c] += counts[t + half, c]


@njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _leave_out(found: Bools, mask: Bools, kept: Float32, good: Float32, dirty: Bools) -> None:
    """Mask what was found: it no longer counts. Its rows become dirty."""
    for t in range(found.shape[0]):
        for c in range(found.shape[1]):
            if found[t, c] and not mask[t, c]:
                mask[t, c], dirty[t] = True, True
                kept[t, c], good[t, c] = np.float32(0.0), np.float32(0.0)


@njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def sum_threshold(values: Float32, mask: Bools, first: float, extra: float, longest: int) -> None:
    """Mask, in place, windows whose mean exceeds the threshold of their length, in frequency and time.

    `values` are in units of their standard deviation; `first` is the threshold of a single sample, `extra` is added
    to those of all lengths. What is masked does not count in longer windows. Sums over a window are those over its
    halves, as long as nothing in them was masked since.
    """
    times, channels = values.shape
    kept, good = values.copy(), np.ones((times, channels), np.float32)
    for t in range(times):
        for c in range(channels):
            mask[t, c] = mask[t, c] or values[t, c] > first + extra
            if mask[t, c]:
                kept[t, c], good[t, c] = np.float32(0.0), np.float32(0.0)
    row_sums, row_counts = kept.copy(), good.copy()
    time_sums, time_counts = kept.copy(), good.copy()
    found, dirty = mask.copy(), np.zeros(times, np.bool_)
    window, threshold = 2, first / SHRINK
    while window <= longest:
        for t in range(times):
            half = window // 2
            if dirty[t]:
                row_sums[t], row_counts[t], half = kept[t], good[t], 1
            while half < window:
                _double_row(row_sums[t], row_counts[t], half)
                half *= 2
        half = window // 2
        if dirty.any():
            time_sums[:], time_counts[:], half = kept, good, 1
        while half < window:
            _double_times(time_sums, time_counts, half)
            half *= 2
        dirty[:] = False
        anything = _hits_in_rows(row_sums, row_counts, threshold + extra, window, found)
        if _hits_in_time(time_sums, time_counts, threshold + extra, window, found) or anything:
            _leave_out(found, mask, kept, good, dirty)
        window *= 2
        threshold /= SHRINK


@njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def grow(mask: Bools, share: float) -> None:
    """Mask, in place, every sample of any interval in a row of which at most `share` is not masked.

    Along frequency, then along time. Linear in the number of samples (section 3 of the 2012 paper).
    """
    times, channels = mask.shape
    longest = max(times, channels)
    walk, highest = np.empty(longest + 1), np.empty(longest + 1)
    for along in range(2):
        lines, length = (times, channels) if along == 0 else (channels, times)
        for line in range(lines):
            walk[0] = 0.0
            any_masked = False
            for k in range(length):
                masked = mask[line, k] if along == 0 else mask[k, line]
                any_masked = any_masked or masked
                walk[k + 1] = walk[k] + (share if masked else share - 1.0)
            if not any_masked:
                continue
            highest[length] = walk[length]
            for k in range(length - 1, 0, -1):
                highest[k] = max(highest[k + 1], walk[k])
            lowest = walk[0]
            for k in range(length):
                lowest = min(lowest, walk[k])
                if highest[k + 1] - lowest >= -1e-9:
                    if along == 0:
                        mask[line, k] = True
                    else:
                        mask[k, line] = True


@njit(cache=True, parallel=True)  # type: ignore[untyped-decorator, unused-ignore]
def spectra(order: Indices, starts: Indices, data: Complex64, flags: Bools) -> Float32:
    """Spectrum of every baseline: medians of the amplitude over time, relative to their mean over channels.

    Shape (pair, channel, polarisation); NaN where all is flagged.
    """
    channels, polarisations = data.shape[1], data.shape[2]
    found = np.full((len(starts) - 1, channels, polarisations), np.nan, np.float32)
    for pair in prange(len(starts) - 1):
        step = max(1, (starts[pair + 1] - starts[pair]) // MEDIAN_TIMES)
        times = (starts[pair + 1] - starts[pair]) // step + 1
        kept, counts = np.empty((channels, times), np.float32), np.empty(channels, np.int64)
        for p in range(polarisations):
            counts[:] = 0
            for place in range(starts[pair], starts[pair + 1], step):
                row = order[place]
                for c in range(channels):
                    d = data[row, c, p]
                    size = d.real * d.real + d.imag * d.imag
                    if 0.0 < size < np.inf and not flags[row, c, p]:
                        at = counts[c]
                        while at > 0 and kept[c, at - 1] > size:
                            kept[c, at] = kept[c, at - 1]
                            at -= 1
                        kept[c, at] = size
                        counts[c] += 1
            total, known = 0.0, 0
            for c in range(channels):
                if counts[c] > 0:
                    found[pair, c, p] = np.sqrt(kept[c, counts[c] // 2])
                    total += found[pair, c, p]
                    known += 1
            if known > 0:
                for c in range(channels):
                    found[pair, c, p] *= np.float32(known / total)
    return found


@njit(cache=True, parallel=True)  # type: ignore[untyped-decorator, unused-ignore]
def flag_pairs(
    order: Indices,
    starts: Indices,
    pairs: Indices,
    data: Complex64,
    flags: Bools,
    shape: Float32,
    clip: float,
    first: float,
    longest: int,
    share: float,
) -> None:
    """Flag every baseline and polarisation in place; `order` holds the rows of each baseline in time order.

    Amplitudes are divided by the `shape` (station, channel, polarisation) of both stations' bandpasses first.
    """
    channels, polarisations = data.shape[1], data.shape[2]
    for task in prange((len(starts) - 1) * polarisations):
        pair, p = task // polarisations, task % polarisations
        begin, times = starts[pair], starts[pair + 1] - starts[pair]
        low, high = pairs[pair, 0], pairs[pair, 1]
        level = np.empty(channels, np.float32)
        for c in range(channels):
            level[c] = np.float32(1.0) / (shape[low, c, p] * shape[high, c, p])
        values = np.empty((times, channels), np.float32)
        known, mask = np.empty((times, channels), np.bool_), np.empty((times, channels), np.bool_)
        for t in range(times):
            row = order[begin + t]
            for c in range(channels):
                d = data[row, c, p]
                size = d.real * d.real + d.imag * d.imag
                if not (0.0 < size < np.inf):
                    flags[row, c, p] = True
                    size = np.float32(0.0)
                values[t, c] = np.sqrt(size) * level[c]
                known[t, c] = flags[row, c, p]
        middle, spread = middle_and_spread(values, known)
        spread = max(spread, 1e-5 * middle)
        if spread <= 0.0:
            continue
        limit = middle + clip * spread
        for t in range(times):
            for c in range(channels):
                mask[t, c] = known[t, c] or values[t, c] > limit
        remove_surface(values, mask, middle)
        _, spread = middle_and_spread(values, mask)
        spread = max(spread, 1e-5 * middle)
        extra = CAUTION * structure(values, mask, spread) / spread
        scale = np.float32(1.0 / spread)
        for t in range(times):
            for c in range(channels):
                values[t, c] *= scale
        sum_threshold(values, mask, first, extra, longest)
        for t in range(times):
            for c in range(channels):
                mask[t, c] = mask[t, c] and not known[t, c]
        grow(mask, share)
        for t in range(times):
            row = order[begin + t]
            for c in range(channels):
                if mask[t, c]:
                    flags[row, c, p] = True


@njit(cache=True, parallel=True)  # type: ignore[untyped-decorator, unused-ignore]
def count_flags(order: Indices, starts: Indices, flags: Bools, rows: Indices, waterfall: Indices) -> None:
    """Count flags per row, and per time and channel; `order` holds the rows of each time."""
    for t in prange(len(starts) - 1):
        for place in range(starts[t], starts[t + 1]):
            row = order[place]
            total = 0
            for c in range(flags.shape[1]):
                count = 0
                for p in range(flags.shape[2]):
                    if flags[row, c, p]:
                        count += 1
                waterfall[t, c] += count
                total += count
            rows[row] = total


@njit(cache=True, parallel=True)  # type: ignore[untyped-decorator, unused-ignore]
def mean_amplitude(data: Complex64, flags: Bools, step: int) -> npt.NDArray[np.float64]:
    """Mean amplitude of every row over each `step`-th channel that is finite and not flagged; NaN where none is."""
    found = np.full(len(data), np.nan)
    for row in prange(len(data)):
        total, count = 0.0, 0
        for c in range(0, data.shape[1], step):
            for p in range(data.shape[2]):
                d = data[row, c, p]
                size = d.real * d.real + d.imag * d.imag
                if size < np.inf and not flags[row, c, p]:
                    total += np.sqrt(size)
                    count += 1
        if count > 0:
            found[row] = total / count
    return found
