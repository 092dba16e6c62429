"""From visibilities to dirty images and back: fields brought to one centre, averaged to Stokes I, w-gridded.

Promises the same bytes for the same input and number of threads: each thread grids its own share of the rows. Holds
only averaged visibilities; blocks of rows pass through. Images are (y, x), y to the north, x to the west, the centre at
pixel (size / 2, size / 2).
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import ducc0
import numpy as np
import numpy.typing as npt
from numba import njit, prange

from .coordinates import frame, mean_direction
from .visibilities import SPEED_OF_LIGHT, Visibilities

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Complexes = npt.NDArray[np.complex64]

LEAST = 4  # channels that averaging leaves
ACCURACY = 1e-4
HANDS = (("XX", "YY"), ("RR", "LL"))


@dataclass(frozen=True, slots=True)
class Averaged:
    """Stokes I visibilities about one centre, ordered by the size of w.

    Parameters
    ----------
    uvw : (row, 3) float64
        Metres, about `centre`.
    frequency : (channel,) float64
        Hz, of the averaged channels.
    data : (row, channel) complex64
        Jy; 0 where the weight is.
    weights : (row, channel) float32
        Inverse variances of the real part, up to a common factor.
    centre
        Right ascension and declination in radians (ICRS).
    channels
        How many channels were averaged into one.
    samples
        Visibilities that went in: not flagged, cross-correlations, hands counted.
    flagged
        Share of cross-correlated samples that did not.
    fields : (n, 2) float64
        Phase centres of the data, radians.
    time
        First and last moment of the data as MJD in seconds (UTC).
    """

    uvw: Floats
    frequency: Floats
    data: Complexes
    weights: Singles
    centre: tuple[float, float]
    channels: int
    samples: int
    flagged: float
    fields: Floats
    time: tuple[float, float]


def channels_to_average(uvw: Floats, frequency: Floats, width: float, radius: float, loss: float) -> int:
    """How many channels may be averaged.

    A point at angle θ from the centre loses the share 1 − mean(sinc(Δν b θ / c)) of its peak when channels of width Δν
    are averaged (Thompson, Moran & Swenson 2017, section 6.4.1); b is taken along the line to the point.

    Parameters
    ----------
    uvw : (row, 3)
        Metres.
    frequency : (channel,)
        Hz.
    width
        Of a channel in Hz.
    radius
        Angle from the centre in radians (as a direction cosine) at which the loss is looked at.
    loss
        Share of the peak that may be lost there.

    `LEAST` channels stay, where there are as many: the noise is measured from neighbours.
    """
    length = np.hypot(uvw[:, 0], uvw[:, 1])
    found = 1
    for count in range(2, max(1, len(frequency) // LEAST) + 1):
        lost = 1.0 - float(np.mean(np.sinc(count * width * length * radius / SPEED_OF_LIGHT)))
        if lost > loss:
            break
        if len(frequency) % count == 0:
            found = count
    return found


def average(
    blocks: Visibilities | Iterable[Visibilities],
    *,
    radius: float,
    centre: tuple[float, float] | None = None,
    loss: float = 0.02,
    channels: int | None = None,
) -> Averaged:
    """Bring blocks of visibilities to one centre and average them to Stokes I.

    Stokes I is half the sum of both parallel hands, and is there only where both are; of data with one hand it is that
    hand.

    Parameters
    ----------
    blocks
        Visibilities of equal channels and polarisations, such as chunks of rows. Autocorrelations are left out.
    radius
        Of the field in radians: sets how many channels are averaged.
    centre
        Right ascension and declination in radians; the mean of the fields if not given.
    loss
        Share of the peak of a source at that radius that averaging may take.
    channels
        How many channels are averaged, instead of what `loss` allows.

    Raises
    ------
    ValueError
        If there is no block, the blocks differ, or there is no parallel hand.
    """
    gathered: list[tuple[Floats, Complexes, Singles]] = []
    fields: list[Floats] = []
    first: Visibilities | None = None
    samples = possible = 0
    begin, end = np.inf, -np.inf
    for block in (blocks,) if isinstance(blocks, Visibilities) else blocks:
        cross = np.flatnonzero(block.is_cross)
        if not len(cross):
            continue
        if first is None:
            first = block
            centre = mean_direction(block.centres[np.unique(block.field)]) if centre is None else centre
            count = channels or channels_to_average(
                block.uvw[cross], block.frequency, block.width, radius, loss
            )
            hands = _hands(block.polarisations)
        elif not np.array_equal(block.frequency, first.frequency) or (
            block.polarisations != first.polarisations
        ):
            raise ValueError(
                f"blocks of visibilities differ: found {len(block.frequency)} channels and {block.polarisations}; "
                f"expected those of the first, {len(first.frequency)} and {first.polarisations}"
            )
        assert centre is not None
        uvw, shift = _rotated(block, cross, centre)
        data, weights, used = _stokes(
            block.data, block.flags, block.weights, cross, shift, block.frequency, count, *hands
        )
        gathered.append((uvw, data, weights))
        fields.append(block.centres[np.unique(block.field[cross])])
        samples += int(used.sum())
        possible += len(cross) * len(block.frequency) * len(set(hands))
        half = block.interval[cross] / 2.0
        begin = min(begin, float((block.time[cross] - half).min()))
        end = max(end, float((block.time[cross] + half).max()))
    if first is None or centre is None:
        raise ValueError("visibilities: found no cross-correlation; expected at least one block with some")
    uvw = np.concatenate([one[0] for one in gathered])
    order = np.argsort(np.abs(uvw[:, 2]), kind="stable")
    data = np.empty((len(uvw), gathered[0][1].shape[1]), np.complex64)
    weights = np.empty(data.shape, np.float32)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    done = 0
    while gathered:
        _, some, shares = gathered.pop(0)
        data[place[done : done + len(some)]] = some
        weights[place[done : done + len(some)]] = shares
        done += len(some)
    starts = np.arange(0, len(first.frequency), count)
    sizes = np.diff(np.append(starts, len(first.frequency)))
    return Averaged(
        uvw[order],
        np.add.reduceat(first.frequency, starts) / sizes,
        data,
        weights,
        centre,
        count,
        samples,
        1.0 - samples / possible,
        np.unique(np.concatenate(fields), axis=0),
        (begin, end),
    )


def _hands(polarisations: tuple[str, ...]) -> tuple[int, int]:
    for pair in HANDS:
        there = [polarisations.index(hand) for hand in pair if hand in polarisations]
        if there:
            return there[0], there[-1]
    raise ValueError(f"polarisations {polarisations}: expected XX or YY, or RR or LL")


def _rotated(
    block: Visibilities, rows: npt.NDArray[np.int64], centre: tuple[float, float]
) -> tuple[Floats, Floats]:
    """Baselines about the new centre, and how much longer the old w is: (row, 3) and (row,), metres.

    The baseline is one vector in space; only the directions in which it is measured turn (Thompson, Moran & Swenson
    2017, section 4.1).
    """
    uvw = np.empty((len(rows), 3))
    target = frame(centre)
    field = block.field[rows]
    for number in np.unique(field):
        of_field = np.flatnonzero(field == number)
        turn = target @ frame(block.centres[number]).T
        uvw[of_field] = block.uvw[rows[of_field]] @ turn.T
    return uvw, block.uvw[rows, 2] - uvw[:, 2]


@njit(cache=True, parallel=True)  # type: ignore[untyped-decorator]  # numba ships no types
def _stokes(
    data: npt.NDArray[np.complex64],
    flags: npt.NDArray[np.bool_],
    weights: Singles,
    rows: npt.NDArray[np.int64],
    shift: Floats,
    frequency: Floats,
    count: int,
    one: int,
    two: int,
) -> tuple[Complexes, Singles, npt.NDArray[np.int64]]:
    """Stokes I of the rows, shifted and averaged, with weights, and how many samples went in."""
    channels = len(frequency)
    groups = (channels + count - 1) // count
    found = np.zeros((len(rows), groups), np.complex64)
    shares = np.zeros((len(rows), groups), np.float32)
    used = np.zeros(len(rows), np.int64)
    for number in prange(len(rows)):
        row = rows[number]
        turn = 2.0 * np.pi * shift[number] / SPEED_OF_LIGHT
        phase = np.exp(1j * turn * frequency[0])
        step = np.exp(1j * turn * (frequency[channels - 1] - frequency[0]) / max(channels - 1, 1))
        for group in range(groups):
            total, weight = 0j, 0.0
            for channel in range(group * count, min((group + 1) * count, channels)):
                if not (flags[row, channel, one] or flags[row, channel, two]):
                    first, second = float(weights[row, channel, one]), float(weights[row, channel, two])
                    if first > 0.0 and second > 0.0:
                        share = first if one == two else 4.0 * first * second / (first + second)
                        value = 0.5 * (
                            np.complex128(data[row, channel, one]) + np.complex128(data[row, channel, two])
                        )
                        total += share * value * phase
                        weight += share
                        used[number] += 1 if one == two else 2
                phase *= step
            if weight > 0.0:
                found[number, group] = total / weight
                shares[number, group] = weight
    return found, shares, used


@dataclass(frozen=True, slots=True)
class Gridder:
    """Turns visibilities into images of `size`² pixels of `cell` radians, and back, on `threads` threads."""

    uvw: Floats
    frequency: Floats
    size: int
    cell: float
    threads: int = 2
    accuracy: float = ACCURACY

    def _shares(self, rows: int) -> list[slice]:
        edges = [number * rows // self.threads for number in range(self.threads + 1)]
        return [slice(a, b) for a, b in pairwise(edges) if b > a]

    def _places(self) -> Floats:
        # ducc0 has exp(−2πi (u x + v y − w (n − 1))), its first axis here y = m, the second x = −l.
        return np.ascontiguousarray(np.stack([-self.uvw[:, 1], self.uvw[:, 0], self.uvw[:, 2]], axis=1))

    def invert(self, data: Complexes, weights: Singles) -> Singles:
        """The weighted sum of visibilities at each pixel, (size, size) float32: divide by the sum of weights."""
        places = self._places()

        def one(share: slice) -> Singles:
            found: Singles = ducc0.wgridder.vis2dirty(
                uvw=places[share],
                freq=self.frequency,
                vis=data[share],
                wgt=weights[share],
                npix_x=self.size,
                npix_y=self.size,
                pixsize_x=self.cell,
                pixsize_y=self.cell,
                epsilon=self.accuracy,
                do_wgridding=True,
                nthreads=1,
                divide_by_n=False,
            )
            return found

        with ThreadPoolExecutor(self.threads) as pool:
            parts = list(pool.map(one, self._shares(len(data))))
        total = parts[0]
        for part in parts[1:]:
            total += part
        return total

    def predict(self, model: Singles) -> Complexes:
        """Visibilities (row, channel) in Jy of a model (size, size) in Jy/pixel."""
        found = np.empty((len(self.uvw), len(self.frequency)), np.complex64)
        places = self._places()

        def one(share: slice) -> None:
            ducc0.wgridder.dirty2vis(
                uvw=places[share],
                freq=self.frequency,
                dirty=model,
                pixsize_x=self.cell,
                pixsize_y=self.cell,
                epsilon=self.accuracy,
                do_wgridding=True,
                nthreads=1,
                divide_by_n=False,
                vis=found[share],
            )

        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(one, self._shares(len(found))))
        return found
