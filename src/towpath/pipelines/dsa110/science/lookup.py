"""Finds solutions by the names of stations and receptors and by frequency, in the order that the data have.

Promises that nothing is matched by its place alone: what the solutions lack is an error that names it.
"""

import numpy as np
import numpy.typing as npt

from .solutions import Solutions

Floats = npt.NDArray[np.float64]
Complex128 = npt.NDArray[np.complex128]
Bools = npt.NDArray[np.bool_]


class LookupFailure(ValueError):
    """These solutions do not belong to these data: choose others, or solve again."""


def select(
    solutions: Solutions, stations: tuple[str, ...], frequency: Floats, receptors: tuple[str, ...]
) -> tuple[Complex128, Bools]:
    """Gains and flags in the order of these stations, channels (one for gains of the whole band) and receptors.

    Returns
    -------
    gains, flags : (t, station, channel or 1, receptor)

    Raises
    ------
    LookupFailure
        If the solutions lack a station, a channel or a receptor; the message names it.
    """
    places = []
    for what, wanted, known in (
        ("station", stations, solutions.stations),
        ("receptor", receptors, solutions.polarisations),
    ):
        number = {name: place for place, name in enumerate(known)}
        lacking = [name for name in wanted if name not in number]
        if lacking:
            raise LookupFailure(
                f"solutions of kind {solutions.kind}: no {what} {lacking[0]!r}; found {', '.join(known)}"
            )
        places.append(np.array([number[name] for name in wanted], np.intp))
    channel = _channels(solutions, frequency)
    at = np.ix_(np.arange(len(solutions.time)), places[0], channel, places[1])
    return solutions.gains[at], solutions.flags[at]


def _channels(solutions: Solutions, frequency: Floats) -> npt.NDArray[np.intp]:
    """Places of the channels among those of a bandpass: within a tenth of their spacing."""
    if solutions.kind != "B":
        return np.zeros(1, np.intp)
    known = solutions.frequency
    after = np.clip(np.searchsorted(known, frequency), 0, len(known) - 1)
    before = np.maximum(after - 1, 0)
    nearest = np.where(np.abs(known[before] - frequency) < np.abs(known[after] - frequency), before, after)
    spacing = float(np.diff(known).min()) if len(known) > 1 else abs(float(known[0])) * 1e-4
    apart = np.abs(known[nearest] - frequency)
    if np.any(apart > 0.1 * spacing):
        worst = int(np.argmax(apart))
        raise LookupFailure(
            f"bandpass: channel at {frequency[worst] / 1e6:.6f} MHz: the nearest solution is at "
            f"{known[nearest[worst]] / 1e6:.6f} MHz; expected one within {0.1 * spacing / 1e3:.3f} kHz "
            f"(solutions span {known[0] / 1e6:.3f}–{known[-1] / 1e6:.3f} MHz)"
        )
    return nearest
