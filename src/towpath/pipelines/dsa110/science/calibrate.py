"""Flags and calibrates a Measurement Set: columns are added, the set is not copied.

Promises that the set says what it was calibrated by, and that a set of solutions from another strip of the sky is refused.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from . import aoflagger
from .apply import apply
from .calibration_set import CalibrationSet
from .coordinates import mean_direction
from .flagging import Flagged, FlagSettings, flag
from .measurement_set import extend, opened, read_visibilities, write_columns
from .provenance import KEYWORD, Calibrated, calibrated_of
from .visibilities import Visibilities

Progress = Callable[[float, str], None]


class StripError(ValueError):
    """Solutions were made in another strip of declination: certify a calibration for this one."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done: flags, (u, v, w) and frequencies for pictures, seconds from the solutions to the observation."""

    flagged: Flagged
    visibilities: Visibilities
    age: float


def calibrate_set(
    source: Path,
    target: Path,
    found: CalibrationSet,
    *,
    flags: FlagSettings,
    interpolation: str = "nearest",
    flagger: str = "own",
    strip: float = 3.0,
    solved: float,
    threads: int = 2,
    progress: Progress | None = None,
) -> Applied:
    """Flag, divide by the solutions, and write a set that shares the other columns with its source.

    Parameters
    ----------
    source, target
        A Measurement Set, and the folder to make.
    found
        The solutions.
    flags, interpolation
        See `flagging.flag` and `apply.apply`.
    flagger
        ``"own"`` or ``"aoflagger"``.
    strip
        By how much the declinations of observation and solutions may differ, in degrees.
    solved
        When the solutions hold: MJD in seconds.
    threads
        How many to use.
    progress
        Told the share done and a word.

    Raises
    ------
    StripError
        If the solutions are of another strip.
    """
    tell = progress or (lambda share, word: None)
    tell(0.0, "reading")
    vis = read_visibilities(source)
    check_strip(vis, found.calibrated, strip)
    tell(0.2, "flagging")
    if flagger == "aoflagger":
        extend(source, target)
        aoflagger.run(target, threads=threads)
        vis = replace(vis, flags=read_visibilities(target).flags)
    flagged = flag(vis, flags)
    tell(0.5, "calibrating")
    vis = apply(vis, found.bandpass, found.gains, found.short, interpolation=interpolation, in_place=True)
    tell(0.6, "writing")
    if flagger == "aoflagger":
        write_columns(target, corrected=vis.data, flags=vis.flags, weights=vis.weights)
    else:
        extend(source, target, corrected=vis.data, flags=vis.flags, weights=vis.weights)
    write_facts(target, found.calibrated)
    return Applied(flagged, vis, abs(float(np.mean(vis.time)) - solved))


def check_strip(vis: Visibilities, calibrated: Calibrated, strip: float) -> None:
    """Refuse solutions of another strip than that of the visibilities.

    Raises
    ------
    StripError
        If the declinations differ by more than `strip` degrees.
    """
    declination = float(np.degrees(mean_direction(vis.centres)[1]))
    if abs(declination - calibrated.declination) > strip:
        raise StripError(
            f"the calibration on {calibrated.source} (observation {calibrated.observation}) was solved at declination "
            f"{calibrated.declination:+.2f}°, this observation is at {declination:+.2f}°; at most {strip:g}° are allowed"
        )


def write_facts(path: Path, calibrated: Calibrated) -> None:
    """Say in a Measurement Set what it was calibrated by."""
    with opened(path, write=True) as main:
        main.putkeyword(KEYWORD, json.dumps(calibrated.document(), sort_keys=True))


def read_facts(path: Path) -> Calibrated | None:
    """What a Measurement Set was calibrated by, or None where it does not say."""
    with opened(path) as main:
        keywords: dict[str, Any] = main.getkeywords()
    return calibrated_of(json.loads(keywords[KEYWORD])) if KEYWORD in keywords else None
