"""Kernels of the conversion: samples of a subband to their place in a block of rows, in one pass, and what rows weigh.

Promises that a sample which is not finite, or has a count below 0, ends as 0 with a flag. Threads are those of numba.
"""

import numpy as np
import numpy.typing as npt
from numba import njit, prange

Complexes = npt.NDArray[np.complex64]
Singles = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]


@njit(cache=True, parallel=True)  # type: ignore[untyped-decorator, unused-ignore]
def place_samples(
    data: Complexes,
    flags: Bools,
    samples: Singles,
    rows: Indices,
    to_rows: Indices,
    swap: Bools,
    straight: Indices,
    crossed: Indices,
    to_channels: Indices,
    is_counted: bool,
    new_data: Complexes,
    new_flags: Bools,
    new_weights: Singles,
) -> None:
    """Fill a part of a block.

    UVH5 has the visibility of stations (1, 2) with uvw from 1 to 2, a Measurement Set its conjugate with uvw from 2 to 1.

    Parameters
    ----------
    data, flags, samples : (row, channel, polarisation)
        As the file has them.
    rows, to_rows : (n,)
        Rows of them, and where in the block each goes.
    swap : (n,)
        Whether a row's stations are in the other order in the block.
    straight, crossed : (polarisation,)
        The file's polarisation for each of the block's; of a row that is swapped, `crossed`.
    to_channels : (channel,)
        Where in the block each channel goes.
    is_counted
        Whether `samples` are counts; all weigh 1 if not.
    new_data, new_flags, new_weights
        The block, changed in place.
    """
    for number in prange(len(rows)):
        row, to_row, is_swapped = rows[number], to_rows[number], swap[number]
        for channel in range(len(to_channels)):
            to = to_channels[channel]
            for polarisation in range(len(straight)):
                place = crossed[polarisation] if is_swapped else straight[polarisation]
                value = data[row, channel, place]
                count = samples[row, channel, place] if is_counted else np.float32(1.0)
                if (
                    np.isfinite(value.real)
                    and np.isfinite(value.imag)
                    and np.isfinite(count)
                    and count >= np.float32(0.0)
                ):
                    new_data[to_row, to, polarisation] = value if is_swapped else np.conj(value)
                    new_weights[to_row, to, polarisation] = count
                    new_flags[to_row, to, polarisation] = flags[row, channel, place]
                else:
                    new_data[to_row, to, polarisation] = 0.0
                    new_weights[to_row, to, polarisation] = 0.0
                    new_flags[to_row, to, polarisation] = True


@njit(cache=True, parallel=True)  # type: ignore[untyped-decorator, unused-ignore]
def row_weights(flags: Bools, weights: Singles) -> tuple[Singles, Bools, int]:
    """Mean weight of every row and polarisation over what is not flagged, whether all of a row is, and how many samples."""
    rows, channels, polarisations = flags.shape
    found = np.zeros((rows, polarisations), np.float32)
    whole = np.zeros(rows, np.bool_)
    flagged = np.zeros(rows, np.int64)
    for row in prange(rows):
        for polarisation in range(polarisations):
            total, good = 0.0, 0
            for channel in range(channels):
                if not flags[row, channel, polarisation]:
                    total += weights[row, channel, polarisation]
                    good += 1
            found[row, polarisation] = total / max(good, 1)
            flagged[row] += channels - good
        whole[row] = flagged[row] == channels * polarisations
    return found, whole, flagged.sum()
