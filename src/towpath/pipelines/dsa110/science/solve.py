"""Solves for the bandpass and the gains of stations on a known sky.

Promises an error, a signal-to-noise ratio and a flag for every solution, phases relative to a reference station that
is chosen by its data, and the facts of how it came about. A measured visibility is ``g_p conj(g_q)`` times the model.
The error of a solution does not hold that of the reference station's phase, which all solutions share.
"""

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from . import stefcal
from .gain_sums import GainSums
from .lookup import select
from .settle import Frame, settle, unit
from .solutions import Solutions
from .sums import (
    Model,
    SolveError,
    accumulate,
    accumulate_band,
    divide,
    each,
    hands_of,
)
from .visibilities import Visibilities

Floats = npt.NDArray[np.float64]
Complex128 = npt.NDArray[np.complex128]
Bools = npt.NDArray[np.bool_]

TOLERANCE = 1e-6  # relative change of the gains at which the iteration ends
MOST_STEPS = 200
ROUNDS = 2  # of bandpass and phases in turn; the second changes them by far less than their noise
DEAD = 0.95  # share of flagged solutions from which a station counts as dead


def solve_bandpass(
    vis: Visibilities | Iterable[Visibilities],
    model: Model,
    *,
    reference: str | int = "auto",
    min_snr: float = 5.0,
    fill_gaps: int = 3,
    min_baselines: int = 4,
    uv_min: float = 0.0,
    pre_phase: float | None = 60.0,
    like: Visibilities | None = None,
    times: Floats | None = None,
) -> Solutions:
    """Solve for one complex gain per station, channel and receptor.

    Phases that drift within the observation are solved too, per interval of `pre_phase` and over all channels, in turn
    with the bandpass, so that they do not weaken it; their mean over time stays in the bandpass. The data are read
    once.

    Parameters
    ----------
    vis
        Visibilities, or blocks of rows of them (then with `like` and `times`).
    model
        Model visibilities in Jy (row, channel, polarisation or 1), or a function that makes those of a block.
    reference
        Name or number of the station whose phase is 0; ``"auto"``: that with the most solutions, then the highest
        median signal-to-noise ratio.
    min_snr : float
        Solutions below are flagged.
    fill_gaps : int
        So many flagged channels between two good ones are interpolated.
    min_baselines : int
        A station with fewer is flagged.
    uv_min : float
        Shorter baselines are left out; in wavelengths.
    pre_phase : float or None
        Seconds; None for no drift of phases.
    like : Visibilities
        With blocks: any of them, for stations, channels and polarisations.
    times : (n,)
        With blocks: the middles of all integrations, MJD in seconds.

    Returns
    -------
    Solutions
        Of kind ``"B"`` with one interval.

    Raises
    ------
    SolveError
        If nothing can be solved, or the reference station has no solution.
    """
    frame = _frame(vis, like, times)
    intervals = divide(frame.times, frame.integration, np.inf if pre_phase is None else pre_phase)
    shape = (len(frame.frequency), len(frame.receptors))
    n = len(frame.stations)
    sums = accumulate(vis, model, intervals, stations=n, shape=shape, uv_min=uv_min)
    pairs = stefcal.pairs_of(n)
    gains, usable = np.ones((n, *shape), np.complex128), np.zeros((n, *shape), np.bool_)
    errors, scatter, steps = np.zeros((n, *shape)), np.zeros(shape), np.zeros(shape, np.int64)

    def solve(turns: Complex128, first: int, last: int) -> None:
        stefcal.solve_channels(
            sums.cross,
            sums.power,
            sums.total,
            sums.count,
            pairs,
            turns,
            first,
            last,
            min_baselines,
            TOLERANCE,
            MOST_STEPS,
            gains,
            usable,
            errors,
            scatter,
            steps,
        )

    count = len(intervals.middle)
    turns = np.ones((count, n, shape[1]), np.complex128)
    if count > 1:
        solve(turns, count // 2, count // 2 + 1)
        for _ in range(ROUNDS):
            cross, power = stefcal.fold(sums.cross, sums.power, pairs, gains, ~usable)
            turns = _phases(cross, power, pairs, min_baselines)
            solve(turns, 0, count)
    else:
        solve(turns, 0, 1)
    cross, power = stefcal.fold(sums.cross, sums.power, pairs, gains, ~usable)
    whole = divide(frame.times, frame.integration, np.inf)
    facts = {
        "pre_phase": pre_phase,
        "phase_drift_degrees": _drift(turns),
        "closure_degrees": _closure(_turned(cross, turns, pairs), power.sum(axis=0), n),
    }
    return settle(
        "B",
        frame,
        whole,
        frame.frequency,
        gains[None],
        ~usable[None],
        errors[None],
        scatter[None],
        steps[None],
        int(sums.count.sum()),
        reference=reference,
        min_snr=min_snr,
        fill_gaps=fill_gaps,
        facts=facts | {"min_baselines": min_baselines, "uv_min": uv_min},
    )


def solve_gains(
    vis: Visibilities | Iterable[Visibilities],
    model: Model,
    *,
    interval: float = np.inf,
    mode: str = "ap",
    min_snr: float = 3.0,
    bandpass: Solutions | None = None,
    reference: str | int = "auto",
    min_baselines: int = 4,
    uv_min: float = 0.0,
    like: Visibilities | None = None,
    times: Floats | None = None,
) -> Solutions:
    """Solve for one gain per station, interval and receptor over the whole band.

    Parameters
    ----------
    interval : float
        Seconds; infinite for one solution. The observation is divided into equal intervals of about this length.
    mode
        ``"ap"``: amplitude and phase, ``"p"``: phase alone.
    bandpass : Solutions
        Through which the model is seen; None for a flat one. Channels that it flags are left out.
    vis, model, min_snr, reference, min_baselines, uv_min, like, times
        As for `solve_bandpass`.

    Returns
    -------
    Solutions
        Of kind ``"G"``.

    Raises
    ------
    SolveError
        If nothing can be solved, or bandpass or reference do not fit the data.
    """
    sums = sum_for_gains(vis, model, bandpass=bandpass, uv_min=uv_min, like=like, times=times)
    return solve_sums(
        sums, interval=interval, mode=mode, min_snr=min_snr, reference=reference, min_baselines=min_baselines
    )


def sum_for_gains(
    vis: Visibilities | Iterable[Visibilities],
    model: Model,
    *,
    bandpass: Solutions | None = None,
    uv_min: float = 0.0,
    like: Visibilities | None = None,
    times: Floats | None = None,
) -> GainSums:
    """Read the data once, to the sums from which gains of any interval are solved; parameters as for `solve_gains`.

    Raises
    ------
    SolveError
        If the bandpass does not fit the data.
    """
    frame = _frame(vis, like, times)
    band, unusable = _bandpass(bandpass, frame)
    intervals = each(frame.times, frame.integration)
    return GainSums(
        frame, accumulate_band(vis, model, intervals, band=band, unusable=unusable, uv_min=uv_min)
    )


def solve_sums(
    sums: GainSums,
    *,
    interval: float = np.inf,
    mode: str = "ap",
    min_snr: float = 3.0,
    reference: str | int = "auto",
    min_baselines: int = 4,
) -> Solutions:
    """Solve for gains as `solve_gains` does, from sums instead of data.

    Raises
    ------
    SolveError
        If nothing can be solved, or the reference station has no solution.
    """
    if mode not in ("ap", "p"):
        raise SolveError(f"mode: found {mode!r}; expected 'ap' or 'p'")
    frame = sums.frame
    n, hands = len(frame.stations), len(frame.receptors)
    intervals = divide(frame.times, frame.integration, interval)
    band = sums.over(intervals)
    full = (len(intervals.middle), n, hands)
    gains, usable, errors = np.ones(full, np.complex128), np.zeros(full, np.bool_), np.zeros(full)
    scatter, steps = np.zeros((full[0], hands)), np.zeros((full[0], hands), np.int64)
    pairs = stefcal.pairs_of(n)
    stefcal.solve_intervals(
        band.cross,
        band.power,
        band.total,
        band.count,
        pairs,
        mode == "p",
        min_baselines,
        TOLERANCE,
        MOST_STEPS,
        gains,
        usable,
        errors,
        scatter,
        steps,
    )
    facts = {
        "mode": mode,
        "closure_degrees": _closure(_turned(band.cross, unit(gains), pairs), band.power.sum(axis=0), n),
        "min_baselines": min_baselines,
    }
    return settle(
        "G",
        frame,
        intervals,
        np.array([frame.frequency.mean()]),
        gains[:, :, None],
        ~usable[:, :, None],
        errors[:, :, None],
        scatter[:, None],
        steps[:, None],
        int(band.count.sum()),
        reference=reference,
        min_snr=min_snr,
        fill_gaps=0,
        facts=facts,
    )


def quality(solutions: Solutions) -> dict[str, float]:
    """Measures of solutions, each a finite number.

    Returns
    -------
    dict
        Of the stations that were observed with (the fact ``present``, else all):
        ``flagged`` (share), ``dead_stations`` (how many have more than 95 % flagged), ``median_snr``,
        ``phase_scatter_degrees`` and ``amplitude_scatter`` (of neighbouring solutions in frequency or time, of one
        station; the amplitude relative to its median), ``closure_degrees`` (median closure phase of the data against
        the model: what no gain of stations can explain), ``reduced_chi_square`` and ``unconverged`` (share).
    """
    present = solutions.facts.get("present", list(range(len(solutions.stations))))
    flags = solutions.flags[:, present]
    good = ~flags
    snr = solutions.snr[:, present][good]
    gains = solutions.gains[:, present]
    along = 2 if gains.shape[2] > 1 else 0
    pair = np.take(good, range(1, good.shape[along]), along) & np.take(
        good, range(good.shape[along] - 1), along
    )
    later = np.take(gains, range(1, good.shape[along]), along)[pair]
    earlier = np.take(gains, range(good.shape[along] - 1), along)[pair]
    ratio = later / earlier if later.size else np.ones(0, complex)
    return {
        "flagged": float(flags.mean()),
        "dead_stations": float(len(dead_stations(solutions))),
        "median_snr": float(np.median(snr)) if snr.size else 0.0,
        "phase_scatter_degrees": _spread(np.degrees(np.angle(ratio))) / math.sqrt(2.0),
        "amplitude_scatter": _spread(np.log(np.abs(ratio))) / math.sqrt(2.0),
        "closure_degrees": float(solutions.facts.get("closure_degrees", 0.0)),
        "reduced_chi_square": float(solutions.facts.get("reduced_chi_square", 0.0)),
        "unconverged": float(solutions.facts.get("unconverged", 0.0)),
    }


def dead_stations(solutions: Solutions) -> tuple[str, ...]:
    """Names of the stations that were observed with and have more than 95 % of their solutions flagged."""
    present = solutions.facts.get("present", list(range(len(solutions.stations))))
    share = solutions.flags.mean(axis=(0, 2, 3))
    return tuple(solutions.stations[number] for number in present if share[number] > DEAD)


def _spread(values: Floats) -> float:
    """Standard deviation by the median absolute deviation; 0 where there are no values."""
    return float(1.4826 * np.median(np.abs(values - np.median(values)))) if values.size else 0.0


def _frame(
    vis: Visibilities | Iterable[Visibilities], like: Visibilities | None, times: Floats | None
) -> Frame:
    one = vis if isinstance(vis, Visibilities) else like
    if one is None or (not isinstance(vis, Visibilities) and times is None):
        raise SolveError(
            "blocks of visibilities: expected `like` (one of them) and `times` (of all integrations)"
        )
    found = np.asarray(one.time if times is None else times, float)
    if not found.size:
        raise SolveError("visibilities: found no rows; expected at least one integration")
    _, receptors = hands_of(one.polarisations)
    return Frame(one.stations.names, one.frequency, receptors, found, float(np.median(one.interval)))


def _bandpass(bandpass: Solutions | None, frame: Frame) -> tuple[Complex128, Bools]:
    """The bandpass in the order of the data: (station, channel, hand)."""
    shape = (len(frame.stations), len(frame.frequency), len(frame.receptors))
    if bandpass is None:
        return np.ones(shape, np.complex128), np.zeros(shape, np.bool_)
    gains, flags = select(bandpass, frame.stations, frame.frequency, frame.receptors)
    middle = int(np.argmin(np.abs(bandpass.time - frame.times.mean())))
    return np.ascontiguousarray(gains[middle]), np.ascontiguousarray(flags[middle])


def _phases(cross: Complex128, power: Floats, pairs: npt.NDArray[np.int64], fewest: int) -> Complex128:
    """Phases per interval as numbers of amplitude 1, relative to their mean over time: (interval, station, hand)."""
    count, _, hands = cross.shape
    n = int(pairs.max()) + 1
    turns, usable = np.ones((count, n, hands), np.complex128), np.zeros((count, n, hands), np.bool_)
    nothing = np.zeros(cross.shape)
    stefcal.solve_intervals(
        cross,
        power,
        nothing,
        nothing.astype(np.int64),
        pairs,
        True,
        fewest,
        TOLERANCE,
        MOST_STEPS,
        turns,
        usable,
        np.zeros(turns.shape),
        np.zeros((count, hands)),
        np.zeros((count, hands), np.int64),
    )
    turns[~usable] = 1.0
    for t in range(1, count):
        both = usable[0] & usable[t]
        turns[t] *= unit(np.sum(np.where(both, turns[0] * np.conj(turns[t]), 0.0), axis=0))
    found: Complex128 = turns * np.conj(unit(turns.mean(axis=0)))
    return found


def _turned(cross: Complex128, turns: Complex128, pairs: npt.NDArray[np.int64]) -> Complex128:
    """Sums over time after the phases are taken off: (pair, hand)."""
    found: Complex128 = np.sum(cross * np.conj(turns[:, pairs[:, 0]]) * turns[:, pairs[:, 1]], axis=0)
    return found


def _drift(turns: Complex128) -> float:
    """The largest phase of an interval, typical of a station: median over stations, in degrees."""
    return float(np.degrees(np.median(np.abs(np.angle(turns)).max(axis=0))))


def _closure(cross: Complex128, power: Floats, stations: int) -> float:
    """Median size of the closure phase over triangles with the best station, in degrees; 0 without triangles."""
    pairs = stefcal.pairs_of(stations)
    full = np.zeros((stations, stations, cross.shape[1]), np.complex128)
    full[pairs[:, 0], pairs[:, 1]] = np.where(power > 0.0, cross, 0.0)
    full[pairs[:, 1], pairs[:, 0]] = np.conj(full[pairs[:, 0], pairs[:, 1]])
    found = []
    for hand in range(cross.shape[1]):
        best = int(np.argmax(np.abs(full[:, :, hand]).sum(axis=1)))
        triple = np.outer(full[best, :, hand], full[:, best, hand]) * full[:, :, hand]
        kept = triple[np.triu_indices(stations, 1)]
        found.append(np.abs(np.angle(kept[kept != 0.0])))
    everything = np.concatenate(found)
    return float(np.degrees(np.median(everything))) if everything.size else 0.0
