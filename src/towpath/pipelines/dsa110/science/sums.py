"""Adds visibilities, block by block, to the sums from which gains are solved.

Promises that the data are read once, in any order of rows and in blocks of any size, and that what is held does not
grow with them. Works with any sky model; never changes the data.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from . import stefcal
from .visibilities import Visibilities

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Complex64 = npt.NDArray[np.complex64]
Model = npt.NDArray[np.complexfloating] | Callable[[Visibilities], npt.NDArray[np.complexfloating]]

BLOCK = 64 * 1024 * 1024  # bytes of data that are worked on at once
PARALLEL_HANDS = ("XX", "YY", "RR", "LL")


class SolveError(ValueError):
    """These visibilities cannot be solved: look at what the message names, then solve again."""


@dataclass(frozen=True, slots=True)
class Intervals:
    """Solution intervals: of each integration its number, of each interval its middle and length in seconds."""

    times: Floats
    number: Integers
    middle: Floats
    length: Floats

    def of(self, time: Floats) -> Integers:
        """Numbers of the intervals that hold these times."""
        at = np.clip(np.searchsorted(self.times, time), 1, max(len(self.times) - 1, 1))
        at = np.minimum(at, len(self.times) - 1)
        before = np.maximum(at - 1, 0)
        nearer = np.where(np.abs(self.times[before] - time) < np.abs(self.times[at] - time), before, at)
        found: Integers = self.number[nearer]
        return found


def divide(times: Floats, integration: float, interval: float) -> Intervals:
    """Divide integrations into intervals of about equal length.

    Parameters
    ----------
    times : (n,)
        Middles of the integrations, MJD in seconds, repeated or not, in any order.
    integration : float
        Length of an integration in seconds.
    interval : float
        Wanted length in seconds; infinite for one that holds all. None is shorter than an integration.
    """
    found: Floats = np.unique(times)
    span = found[-1] - found[0] + integration
    wanted = 1 if not np.isfinite(interval) else max(1, round(span / max(interval, integration)))
    number = np.minimum((found - found[0] + integration / 2.0) / span * wanted, wanted - 1).astype(np.int64)
    _, number = np.unique(number, return_inverse=True)
    count = int(number[-1]) + 1
    first = np.array([found[number == k][0] for k in range(count)])
    last = np.array([found[number == k][-1] for k in range(count)])
    return Intervals(found, number.astype(np.int64), (first + last) / 2.0, last - first + integration)


def each(times: Floats, integration: float) -> Intervals:
    """Intervals that are the integrations."""
    found: Floats = np.unique(times)
    return Intervals(found, np.arange(len(found)), found, np.full(len(found), integration))


def blocks_of(vis: Visibilities | Iterable[Visibilities]) -> Iterator[Visibilities]:
    """Blocks of rows, views of the arrays of `vis`; blocks that are given pass through."""
    if not isinstance(vis, Visibilities):
        yield from vis
        return
    row = max(1, vis.data[:1].nbytes)
    size = max(1, BLOCK // row)
    for begin in range(0, len(vis.time), size):
        yield rows_of(vis, slice(begin, begin + size))


def rows_of(vis: Visibilities, rows: slice) -> Visibilities:
    """These rows: views, no copies."""
    return replace(
        vis,
        uvw=vis.uvw[rows],
        time=vis.time[rows],
        interval=vis.interval[rows],
        antenna1=vis.antenna1[rows],
        antenna2=vis.antenna2[rows],
        field=vis.field[rows],
        data=vis.data[rows],
        flags=vis.flags[rows],
        weights=vis.weights[rows],
    )


def with_models(
    vis: Visibilities | Iterable[Visibilities], model: Model
) -> Iterator[tuple[Visibilities, Complex64]]:
    """Blocks with the model visibilities of each: shape (row, channel, polarisation or 1).

    Raises
    ------
    SolveError
        If the model has another shape.
    """
    begin = 0
    for block in blocks_of(vis):
        end = begin + len(block.time)
        values = model(block) if callable(model) else model[begin:end]
        found = np.ascontiguousarray(values, np.complex64)
        rows, channels, hands = block.data.shape
        if found.shape not in ((rows, channels, hands), (rows, channels, 1)):
            raise SolveError(
                f"model of rows {begin}–{end}: found shape {found.shape}; "
                f"expected ({rows}, {channels}, {hands}) or ({rows}, {channels}, 1)"
            )
        yield block, found
        begin = end


def hands_of(polarisations: tuple[str, ...]) -> tuple[Integers, tuple[str, ...]]:
    """Places of the parallel hands among the polarisations, and the receptors that they belong to.

    Raises
    ------
    SolveError
        If there is none.
    """
    places = [place for place, name in enumerate(polarisations) if name in PARALLEL_HANDS]
    if not places:
        raise SolveError(
            f"polarisations {polarisations}: no parallel hand; expected one of {', '.join(PARALLEL_HANDS)}"
        )
    return np.array(places, np.int64), tuple(polarisations[place][0] for place in places)


@dataclass(frozen=True, slots=True)
class ChannelSums:
    """Sums per interval, pair, channel and hand; `total` and `count` without intervals. See `stefcal.add_channels`."""

    cross: npt.NDArray[np.complex64]
    power: npt.NDArray[np.float32]
    total: npt.NDArray[np.float32]
    count: npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class BandSums:
    """Sums per interval, pair and hand over all channels. See `stefcal.add_band`."""

    cross: npt.NDArray[np.complex128]
    power: Floats
    total: Floats
    count: Integers


def accumulate(
    vis: Visibilities | Iterable[Visibilities],
    model: Model,
    intervals: Intervals,
    *,
    stations: int,
    shape: tuple[int, int],
    uv_min: float = 0.0,
) -> ChannelSums:
    """Sum per interval, pair of stations, channel and hand.

    Parameters
    ----------
    vis
        Visibilities, or blocks of rows of them.
    model
        Model visibilities (row, channel, polarisation or 1), or a function that makes those of a block.
    intervals
        See `divide`.
    stations : int
        How many.
    shape : (int, int)
        Channels and parallel hands.
    uv_min : float
        Shorter baselines are left out; in wavelengths.

    Returns
    -------
    ChannelSums
        12 bytes per interval, pair, channel and hand, and 6 more per pair, channel and hand.
    """
    pairs, (channels, hands) = stations * (stations - 1) // 2, shape
    full = (len(intervals.middle), pairs, channels, hands)
    sums = ChannelSums(
        np.zeros(full, np.complex64),
        np.zeros(full, np.float32),
        np.zeros(full[1:], np.float32),
        np.zeros(full[1:], np.uint16),
    )
    for block, values in with_models(vis, model):
        stefcal.add_channels(
            *_rows(block, intervals, stations, uv_min),
            *_arrays(block, values),
            sums.cross,
            sums.power,
            sums.total,
            sums.count,
        )
    return sums


def accumulate_band(
    vis: Visibilities | Iterable[Visibilities],
    model: Model,
    intervals: Intervals,
    *,
    band: npt.NDArray[np.complex128],
    unusable: npt.NDArray[np.bool_],
    uv_min: float = 0.0,
) -> BandSums:
    """Sum over all channels per interval, pair and hand, the model seen through a bandpass (station, channel, hand)."""
    stations, _, hands = band.shape
    full = (len(intervals.middle), stations * (stations - 1) // 2, hands)
    sums = BandSums(np.zeros(full, np.complex128), np.zeros(full), np.zeros(full), np.zeros(full, np.int64))
    pairs, small = stefcal.pairs_of(stations), band.astype(np.complex64)
    for block, values in with_models(vis, model):
        stefcal.add_band(
            *_rows(block, intervals, stations, uv_min),
            *_arrays(block, values),
            pairs,
            small,
            unusable,
            sums.cross,
            sums.power,
            sums.total,
            sums.count,
        )
    return sums


def _rows(
    block: Visibilities, intervals: Intervals, stations: int, uv_min: float
) -> tuple[Integers, Integers, Integers, npt.NDArray[np.bool_], Integers, Floats, float]:
    order, starts, numbers = stefcal.rows_by_pair(block.antenna1, block.antenna2, stations)
    length = np.hypot(block.uvw[:, 0], block.uvw[:, 1])
    swapped = np.asarray(block.antenna1 > block.antenna2)
    return order, starts, numbers, swapped, intervals.of(block.time), length, float(uv_min)


def _arrays(
    block: Visibilities, model: Complex64
) -> tuple[
    Floats,
    Integers,
    Complex64,
    npt.NDArray[np.bool_],
    npt.NDArray[np.float32],
    Complex64,
]:
    hands, _ = hands_of(block.polarisations)
    return block.frequency, hands, block.data, block.flags, block.weights, model
