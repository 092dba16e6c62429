"""Flags what is not of the sky: interference, dead stations, bad channels, values that are not finite.

Works on the amplitude of each baseline over time and frequency after a smooth surface is taken off, so that fringes and
strong sources stay. Only adds flags; never changes data. Autocorrelations are not looked at.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter
from scipy.sparse import csr_array

from . import stefcal, sumthreshold
from .flashes import find_flashes
from .visibilities import Visibilities

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


SMOOTH, WIDE = 9, 257  # channels


@dataclass(frozen=True, slots=True)
class FlagSettings:
    """What is flagged.

    Parameters
    ----------
    clip : float
        Amplitudes so many standard deviations above the median of their baseline (by the median absolute deviation).
    threshold : float
        Of SumThreshold for one sample, in standard deviations about the smooth surface; that of a window of n
        samples is lower by 1.5 ** log2(n). All are raised where a baseline shows more structure than noise makes.
    longest : int
        Longest window, in samples, of 1, 2, 4, ….
    grow : float
        A flagged interval grows while at most this share of it is good (0: never).
    channel, integration, baseline, station : float
        Share of flagged samples above which the whole is flagged; a station above is called dead.
    dead_level : float
        A station is dead whose amplitude is below this share of the array's median.
    broad : float
        Channels whose amplitude, over the whole array and all times, is above that of the band around them by more
        than this share (and by 7 standard deviations) are flagged: interference too wide and steady for the rest.
    bad_channels
        Ranges (first, last) in Hz, both included, that are always flagged.
    """

    clip: float = 7.0
    threshold: float = 7.0
    longest: int = 64
    grow: float = 0.2
    channel: float = 0.8
    integration: float = 0.8
    baseline: float = 0.8
    station: float = 0.95
    dead_level: float = 0.02
    broad: float = 0.5
    bad_channels: tuple[tuple[float, float], ...] = ()


DEFAULT_SETTINGS = FlagSettings()


@dataclass(frozen=True, slots=True)
class Flagged:
    """What was flagged, as shares of the samples of cross correlations.

    Parameters
    ----------
    fraction, before : float
        In all, now and before.
    stations : (station,)
        Of all baselines of each; 1 where it has none.
    channels : (channel,)
    baselines : (pair,)
        Of those in `pairs` (pair, 2), numbers of stations.
    waterfall : (integration, channel)
    times : (integration,)
        MJD in seconds.
    dead
        Names of the stations that were flagged whole.
    """

    fraction: float
    before: float
    stations: Floats
    channels: Floats
    baselines: Floats
    pairs: Integers
    waterfall: Floats
    times: Floats
    dead: tuple[str, ...]


def flag(vis: Visibilities, settings: FlagSettings = DEFAULT_SETTINGS) -> Flagged:
    """Flag in place: `vis.flags` gains what is found.

    The rows of a baseline have to be together in one call, all its times; channels may come in parts.

    Raises
    ------
    ValueError
        If there is no cross correlation.
    """
    n = len(vis.stations.names)
    order, starts, numbers = stefcal.rows_by_pair(vis.antenna1, vis.antenna2, n)
    if not len(order):
        raise ValueError("visibilities: found no cross correlation; expected rows of two different stations")
    order = _by_time(order, starts, vis.time)
    pairs = stefcal.pairs_of(n)[numbers]
    before = _count(vis)
    for low, high in settings.bad_channels:
        vis.flags[:, (vis.frequency >= low) & (vis.frequency <= high)] = True
    dead = _silent(vis, n, settings)
    vis.flags[dead[vis.antenna1] | dead[vis.antenna2]] = True
    shape, broad = _bandpass_shape(
        sumthreshold.spectra(order, starts, vis.data, vis.flags), pairs, n, settings
    )
    vis.flags[:, broad] = True
    flashes = _flashes(vis)
    sumthreshold.flag_pairs(
        order,
        starts,
        pairs,
        vis.data,
        vis.flags,
        shape,
        settings.clip,
        settings.threshold,
        settings.longest,
        settings.grow,
    )
    flashes.put(vis.flags)
    alive = ~(dead[vis.antenna1] | dead[vis.antenna2])
    _flag_whole(vis, _count(vis, alive), order, starts, pairs, settings)
    found = _count(vis)
    present = np.isin(np.arange(n), pairs)
    dead |= present & (_shares(found.rows[order], starts, pairs, n, found.size)[1] > settings.station)
    vis.flags[dead[vis.antenna1] | dead[vis.antenna2]] = True
    found = _count(vis)
    baselines, stations = _shares(found.rows[order], starts, pairs, n, found.size)
    return Flagged(
        fraction=found.fraction,
        before=before.fraction,
        stations=stations,
        channels=found.waterfall.sum(axis=0) / max(found.samples.sum(), 1),
        baselines=baselines,
        pairs=pairs,
        waterfall=found.waterfall / np.maximum(found.samples[:, None], 1),
        times=found.times,
        dead=tuple(name for name, is_dead in zip(vis.stations.names, dead, strict=True) if is_dead),
    )


@dataclass(frozen=True, slots=True)
class _Flashes:
    """Moments and channels that the whole array sees disturbed, and the moment of each row."""

    found: npt.NDArray[np.bool_]
    number: Integers

    def put(self, flags: npt.NDArray[np.bool_]) -> None:
        """Flag them in all rows and polarisations, in place."""
        for moment in np.flatnonzero(self.found.any(axis=1)):
            rows = np.flatnonzero(self.number == moment)
            flags[np.ix_(rows, np.flatnonzero(self.found[moment]))] = True


def _flashes(vis: Visibilities) -> _Flashes:
    times, number = np.unique(vis.time, return_inverse=True)
    cross = np.flatnonzero(vis.is_cross)
    cross = cross[np.argsort(number[cross], kind="stable")]
    found = find_flashes(vis.data, vis.flags, cross, number[cross].astype(np.int64), len(times))
    return _Flashes(found, number.astype(np.int64))


def _bandpass_shape(
    spectra: npt.NDArray[np.float32], pairs: Integers, stations: int, settings: FlagSettings
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """The amplitude of every station's bandpass (station, channel, polarisation), and channels that stand out in all.

    A baseline's spectrum is the product of two shapes. Interference of few channels is not in them: they are smoothed
    by medians of `SMOOTH` channels.
    """
    known = np.isfinite(spectra)
    values = np.where(known, spectra, np.float32(0.0))
    number = np.arange(2 * len(pairs)) // 2
    belongs = csr_array(
        (np.ones(2 * len(pairs), np.float32), (pairs.ravel(), number)), (stations, len(pairs))
    )
    total = (belongs @ values.reshape(len(pairs), -1)).reshape(stations, *spectra.shape[1:])
    count = (belongs @ known.reshape(len(pairs), -1).astype(np.float32)).reshape(total.shape)
    station = np.where(count > 0.0, total / np.maximum(count, 1.0), 1.0)
    array = np.where(known.any(axis=0), values.sum(axis=0) / np.maximum(known.sum(axis=0), 1), 1.0)
    channels = len(array)
    around = median_filter(array, (min(2 * (channels // 2) + 1, WIDE), 1), mode="nearest")
    above = array / around - 1.0
    limit = np.maximum(settings.broad, 7.0 * 1.4826 * np.median(np.abs(above), axis=0))
    broad = (above > limit).any(axis=1)
    smooth = median_filter(station, (1, min(SMOOTH, channels), 1), mode="nearest")
    whole = median_filter(array, (min(SMOOTH, channels), 1), mode="nearest")
    shape = smooth / np.sqrt(np.maximum(whole, 1e-6))[None]
    return np.maximum(shape, 1e-3).astype(np.float32), broad


@dataclass(frozen=True, slots=True)
class _Count:
    """Flagged samples of cross correlations, per row, and per time and channel."""

    rows: Integers
    waterfall: Integers
    times: Floats
    samples: Integers
    size: int

    @property
    def fraction(self) -> float:
        return float(self.waterfall.sum() / (self.waterfall.shape[1] * max(int(self.samples.sum()), 1)))


def _count(vis: Visibilities, kept: npt.NDArray[np.bool_] | None = None) -> _Count:
    """Count in the cross correlations, or in those of them that are kept."""
    cross = np.flatnonzero(vis.is_cross if kept is None else vis.is_cross & kept)
    times, number = np.unique(vis.time[cross], return_inverse=True)
    by_time = np.argsort(number, kind="stable")
    starts = np.searchsorted(number[by_time], np.arange(len(times) + 1)).astype(np.int64)
    rows = np.zeros(len(vis.time), np.int64)
    waterfall = np.zeros((len(times), vis.flags.shape[1]), np.int64)
    sumthreshold.count_flags(cross[by_time].astype(np.int64), starts, vis.flags, rows, waterfall)
    hands = vis.flags.shape[2]
    return _Count(rows, waterfall, times, np.diff(starts) * hands, vis.flags.shape[1] * hands)


def _by_time(order: Integers, starts: Integers, time: Floats) -> Integers:
    """The rows of every baseline in time order."""
    pair = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    found: Integers = order[np.lexsort((time[order], pair))]
    return found


def _shares(
    rows: Integers, starts: Integers, pairs: Integers, stations: int, size: int
) -> tuple[Floats, Floats]:
    """Shares of flagged samples per baseline and per station, from the counts of rows in the order of baselines."""
    flagged = np.add.reduceat(rows, starts[:-1])
    samples = np.diff(starts) * size
    per_station = np.zeros((2, stations))
    for side in (0, 1):
        np.add.at(per_station[0], pairs[:, side], flagged)
        np.add.at(per_station[1], pairs[:, side], samples)
    share = np.where(per_station[1] > 0, per_station[0] / np.maximum(per_station[1], 1), 1.0)
    return flagged / samples, share


def _flag_whole(
    vis: Visibilities,
    found: _Count,
    order: Integers,
    starts: Integers,
    pairs: Integers,
    settings: FlagSettings,
) -> None:
    """Flag channels, integrations and baselines of which most is flagged."""
    channels = found.waterfall.sum(axis=0) / max(int(found.samples.sum()), 1)
    vis.flags[:, channels > settings.channel] = True
    integrations = found.waterfall.mean(axis=1) / np.maximum(found.samples, 1)
    bad = found.times[integrations > settings.integration]
    vis.flags[np.isin(vis.time, bad)] = True
    baselines, _ = _shares(found.rows[order], starts, pairs, len(vis.stations.names), found.size)
    vis.flags[order[np.repeat(baselines > settings.baseline, np.diff(starts))]] = True


def _silent(vis: Visibilities, stations: int, settings: FlagSettings) -> npt.NDArray[np.bool_]:
    """Stations without response: their cross correlations are weak against those of the others.

    Autocorrelations have no say: some correlators write nonsense there.
    """
    level = sumthreshold.mean_amplitude(vis.data, vis.flags, max(1, len(vis.frequency) // 96))
    rows = vis.is_cross & np.isfinite(level)
    typical = np.full(stations, np.nan)
    for station in range(stations):
        own = rows & ((vis.antenna1 == station) | (vis.antenna2 == station))
        typical[station] = np.median(level[own]) if own.any() else np.nan
    if not np.isfinite(typical).any():
        return np.zeros(stations, bool)
    found: npt.NDArray[np.bool_] = typical < settings.dead_level * np.nanmedian(typical)
    return found
