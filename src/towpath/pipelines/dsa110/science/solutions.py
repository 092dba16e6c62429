"""Calibration solutions in memory: complex gains of stations over time and frequency.

Promises one convention: a measured visibility is ``g_p conj(g_q)`` times the true one. Files are in `tables`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Solutions:
    """One table of solutions.

    Parameters
    ----------
    kind
        ``"B"`` (bandpass: per channel) or ``"G"`` (gains: one channel for the whole band).
    time : (t,)
        Middle of each solution interval as MJD in seconds (UTC).
    interval : (t,)
        Lengths in seconds.
    frequency : (c,)
        Hz: all channels of a bandpass, the middle of the band for gains.
    stations
        Names; the solutions are in this order.
    polarisations
        Receptors such as ("X", "Y").
    gains : (t, station, c, polarisation) complex128
        1 where flagged.
    flags : the same shape, bool
        True where there is no solution.
    errors : the same shape, float64
        Standard deviation of the real (and of the imaginary) part.
    snr : the same shape, float64
        Amplitude over error.
    reference
        Number of the reference station, whose phase is 0.
    facts
        What else is known: calibrator, flux scale, reduced chi-square, settings; plain JSON values.
    """

    kind: str
    time: Floats
    interval: Floats
    frequency: Floats
    stations: tuple[str, ...]
    polarisations: tuple[str, ...]
    gains: npt.NDArray[np.complex128]
    flags: npt.NDArray[np.bool_]
    errors: Floats
    snr: Floats
    reference: int
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def flagged(self) -> float:
        """The share of solutions that are flagged."""
        return float(self.flags.mean())


def of_present(solutions: Solutions) -> Solutions:
    """The solutions of the stations that were observed with (the fact ``present``; all where it is not stated)."""
    present = list(solutions.facts.get("present", range(len(solutions.stations))))
    if solutions.reference not in present:
        present = sorted([*present, solutions.reference])
    return replace(
        solutions,
        stations=tuple(solutions.stations[number] for number in present),
        gains=solutions.gains[:, present],
        flags=solutions.flags[:, present],
        errors=solutions.errors[:, present],
        snr=solutions.snr[:, present],
        reference=present.index(solutions.reference),
        facts={**solutions.facts, "present": list(range(len(present)))},
    )
