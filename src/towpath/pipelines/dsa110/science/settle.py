"""Makes solutions out of what the kernels found: flags, reference station, gaps, facts.

Promises that a flagged solution is 1 with neither error nor signal-to-noise ratio, and that the reference station's
phase is 0 wherever it has a solution.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from .solutions import Solutions
from .sums import Intervals, SolveError

Floats = npt.NDArray[np.float64]
Complex128 = npt.NDArray[np.complex128]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Frame:
    """What all solutions of a data set share."""

    stations: tuple[str, ...]
    frequency: Floats
    receptors: tuple[str, ...]
    times: Floats
    integration: float


def unit(values: Complex128) -> Complex128:
    """The values with amplitude 1; 1 where they are 0."""
    size = np.abs(values)
    found: Complex128 = np.where(size > 0.0, values / np.where(size > 0.0, size, 1.0), 1.0)
    return found


def settle(
    kind: str,
    frame: Frame,
    intervals: Intervals,
    frequency: Floats,
    gains: Complex128,
    flags: Bools,
    errors: Floats,
    scatter: Floats,
    steps: npt.NDArray[np.int64],
    samples: int,
    *,
    reference: str | int,
    min_snr: float,
    fill_gaps: int,
    facts: Mapping[str, Any],
) -> Solutions:
    """Flag, refer phases to the reference station and fill gaps; all arrays (t, station, channel, hand)."""
    if not samples:
        raise SolveError(
            "visibilities: every sample is flagged or autocorrelation; expected some that are not"
        )
    flags |= (steps < 0)[:, None] | ~(errors > 0.0)
    snr = np.abs(gains) / np.where(errors > 0.0, errors, 1.0)
    snr[flags] = 0.0
    flags |= snr < min_snr
    number, why = _choose(reference, frame.stations, flags, snr)
    _refer(gains, flags, number)
    if fill_gaps > 0:
        _fill(gains, flags, errors, snr, fill_gaps)
    gains[flags], errors[flags], snr[flags] = 1.0, 0.0, 0.0
    solved = scatter[scatter > 0.0]
    known = {
        "solver": "StEFCal",
        "reference": frame.stations[number],
        "reference_reason": why,
        "reduced_chi_square": float(np.median(solved)) if solved.size else 0.0,
        "steps": int(np.median(np.abs(steps))),
        "unconverged": float((steps < 0).mean()),
        "samples": samples,
        "min_snr": min_snr,
        "fill_gaps": fill_gaps,
    }
    return Solutions(
        kind,
        intervals.middle,
        intervals.length,
        frequency,
        frame.stations,
        frame.receptors,
        gains,
        flags,
        errors,
        snr,
        number,
        known | dict(facts),
    )


def _choose(reference: str | int, stations: tuple[str, ...], flags: Bools, snr: Floats) -> tuple[int, str]:
    """Number of the reference station, and why."""
    good = (~flags).mean(axis=(0, 2, 3))
    if reference == "auto":
        if not good.any():
            raise SolveError(
                "solutions: all flagged; expected a source strong enough, or more data "
                f"(highest signal-to-noise ratio {snr.max():.2f})"
            )
        middle = np.array([np.median(snr[:, s][~flags[:, s]]) if good[s] else 0.0 for s in range(len(good))])
        best = int(np.lexsort((-middle, -np.round(good, 3)))[0])
        return (
            best,
            f"{good[best]:.1%} of its solutions are good, median signal-to-noise ratio {middle[best]:.1f}",
        )
    if reference not in stations and not (isinstance(reference, int) and 0 <= reference < len(stations)):
        raise SolveError(f"reference station: found {reference!r}; expected one of {', '.join(stations)}")
    number = reference if isinstance(reference, int) else stations.index(reference)
    if not good[number]:
        raise SolveError(f"reference station {stations[number]}: no good solution; choose another, or 'auto'")
    return number, "asked for"


def _refer(gains: Complex128, flags: Bools, reference: int) -> None:
    """Turn phases in place so that the reference station's is 0.

    Where it has no solution, the phases follow on those of the nearest place that has one.
    """
    _, _, channels, hands = gains.shape
    for h in range(hands):
        have = ~flags[:, reference, :, h]
        gains[..., h] *= np.where(have, np.conj(unit(gains[:, reference, :, h])), 1.0)[:, None]
        if have.all() or not have.any():
            continue
        known = np.argwhere(have)
        for t, c in np.argwhere(~have):
            near = known[np.argmin(np.abs(known[:, 0] - t) * channels + np.abs(known[:, 1] - c))]
            both = ~flags[t, :, c, h] & ~flags[near[0], :, near[1], h]
            turn = np.sum(gains[near[0], both, near[1], h] * np.conj(gains[t, both, c, h]))
            gains[t, :, c, h] *= unit(np.asarray(turn))


def _fill(gains: Complex128, flags: Bools, errors: Floats, snr: Floats, most: int) -> None:
    """Interpolate runs of at most so many flagged channels, amplitude and phase linearly, in place."""
    for t, s, h in np.argwhere(flags.any(axis=2) & ~flags.all(axis=2)):
        good = np.flatnonzero(~flags[t, s, :, h])
        for left, right in pairwise(good):
            if not 1 < right - left <= most + 1:
                continue
            inner = np.arange(left + 1, right)
            share = (inner - left) / (right - left)
            ends = gains[t, s, [left, right], h]
            amplitude = np.abs(ends[0]) * (1.0 - share) + np.abs(ends[1]) * share
            phase = np.angle(ends[0]) + share * np.angle(ends[1] / ends[0])
            gains[t, s, inner, h] = amplitude * np.exp(1j * phase)
            errors[t, s, inner, h] = errors[t, s, [left, right], h].max()
            snr[t, s, inner, h] = amplitude / errors[t, s, inner, h]
            flags[t, s, inner, h] = False
