"""The ladder on files: what a group holds, and what each rung makes of it.

Promises that the choice is that of `choosing`, and that every set says how it came about. Decides nothing by itself.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import calibration_pictures, solving
from .beam import Beam, beam_of
from .calibration_set import SUMS, CalibrationSet, copy_set, read_facts, read_set, write_set
from .calibrators import BUILT_IN, Calibrator, read_table, sky_of
from .catalogues import read_catalogue
from .choosing import Certified, Choice, Limits, Member, Rung, choose
from .coordinates import mean_direction
from .flagging import FlagSettings
from .gain_sums import read_sums
from .instrument import Profile, load_profile
from .provenance import Calibrated
from .sky import Sky, points
from .solutions import Solutions, of_present
from .solving import Observed, look, member_of
from .visibilities import SPEED_OF_LIGHT

__all__ = [
    "Group", "Limits", "Member", "borrow", "choose", "draw_bandpass", "draw_gains", "group_of", "is_borrowed", "known_of",
    "pass_on", "solve_bandpass", "solve_gains", "tables_of",
]  # fmt: skip

Floats = npt.NDArray[np.float64]
INDEX = -0.7  # spectral index of catalogued sources


@dataclass(frozen=True, slots=True)
class Group:
    """Observations side by side, and what is known to solve them on."""

    profile: Profile
    beam: Beam
    observed: tuple[Observed, ...]
    members: tuple[Member, ...]
    table: tuple[Calibrator, ...]
    reference: Sky | None
    radius: float


def group_of(
    sets: Sequence[tuple[Path, str]],
    instrument: str,
    *,
    calibrators: Path | None,
    reference: Path | None,
) -> Group:
    """Look at the Measurement Sets of a group.

    Parameters
    ----------
    sets
        Each with the key of its observation, in the order of time.
    instrument
        The profile.
    calibrators, reference
        A table of calibrators instead of that which ships, and a reference catalogue; or None.
    """
    profile = load_profile(instrument)
    beam = beam_of(profile.beam, profile.dish)
    table = read_table(calibrators) if calibrators else BUILT_IN
    observed = tuple(look(path, key) for path, key in sets)
    frequency = observed[0].frequency
    sky = _reference_sky(reference, frequency) if reference else None
    radius = 1.02 * SPEED_OF_LIGHT / (frequency * profile.dish) / 2.0  # of half power
    members = tuple(member_of(one, table, beam, sky, radius=radius) for one in observed)
    return Group(profile, beam, observed, members, tuple(table), sky, radius)


def _reference_sky(path: Path, frequency: float) -> Sky:
    found = read_catalogue(path).scaled(frequency)
    good = np.isfinite(found.flux) & (found.flux > 0.0)
    return points(np.radians(found.ra[good]), np.radians(found.dec[good]), found.flux[good], frequency, INDEX)


def known_of(folder: Path | None, told: Mapping[str, Any]) -> Certified | None:
    """What the ladder asks of the certified set that is nearest in time; None without one."""
    if folder is None:
        return None
    facts = read_facts(folder)
    age = 0.0 if told["is_valid"] else max(float(told["age"]), 1e-9)
    name = f"calibration {told['calibration']} (of {told['item']}, on {facts.source})"
    return Certified(name, age, math.radians(facts.declination))


# ---- the rungs


def borrow(source: Path, target: Path, choice: Choice) -> None:
    """Copy a set; its facts say that it is borrowed, from where, and why."""
    facts = read_facts(source)
    copy_set(source, target, replace(facts, rung=Rung.BORROWED.value, reasons=choice.reasons))


def is_borrowed(folder: Path) -> bool:
    """Whether a set was solved for another group."""
    return read_facts(folder).is_borrowed


def pass_on(source: Path, target: Path) -> None:
    """Copy a set as it is."""
    copy_set(source, target, read_facts(source))


def tables_of(folder: Path) -> Iterator[tuple[str, Solutions]]:
    """The tables of a set by name, verified."""
    yield from read_set(folder).tables()


def solve_bandpass(
    group: Group, choice: Choice, target: Path, *, min_snr: float, pre_phase: float, uv_min: float
) -> Solutions:
    """Solve for the bandpass on the observation that was chosen, and write a set that has no gains yet."""
    observed = group.observed[choice.member]
    prepared = _prepare(group, observed, choice.rung is Rung.CALIBRATOR, choice.source)
    bandpass = solving.bandpass_of(prepared, min_snr=min_snr, pre_phase=pre_phase, uv_min=uv_min)
    calibrated = Calibrated(
        rung=choice.rung.value,
        source=choice.source,
        observation=observed.key,
        solved=solving.moment(observed.time),
        declination=round(float(np.degrees(mean_direction(observed.centres)[1])), 6),
        reasons=choice.reasons,
        instrument=group.profile.digest,
    )
    sums = solving.sums_of(prepared, bandpass, uv_min=uv_min)
    scene = solving.scene_of(
        prepared.visibilities, telescope=group.profile.telescope, measurement_set=observed.path.name
    )
    write_set(target, CalibrationSet(calibrated, bandpass), scene, sums)
    return bandpass


def solve_gains(bandpass: Path, target: Path, *, min_snr: float, short: float) -> CalibrationSet:
    """Solve for gains after a bandpass: over all of its observation, then in intervals of `short` seconds (0: none).

    The data are not read again: the set of the bandpass holds their sums.
    """
    begun = read_set(bandpass)
    sums, scene = read_sums(bandpass / SUMS)
    reference = begun.bandpass.reference
    gains = solving.gains_of(sums, scene, min_snr=min_snr, interval=0.0, reference=reference)
    found = replace(begun, gains=gains)
    if short:
        left = sums.through(gains)
        found = replace(
            found, short=solving.gains_of(left, scene, min_snr=min_snr, interval=short, reference=reference)
        )
    write_set(target, found, scene)
    return found


def _prepare(group: Group, observed: Observed, has_calibrator: bool, name: str) -> solving.Prepared:
    calibrator = None
    if has_calibrator:
        calibrator = sky_of(next(one for one in group.table if one.name == name), observed.frequency)
    skies = solving.field_sky(observed, calibrator, group.reference, radius=2.0 * group.radius)
    return solving.prepare(observed, skies, group.beam, FlagSettings())


# ---- pictures


def draw_bandpass(path: Path, solutions: Solutions) -> None:
    """Draw a bandpass."""
    calibration_pictures.draw_bandpass(path, of_present(solutions))


def draw_gains(path: Path, found: CalibrationSet) -> None:
    """Draw the gains against time, those of short intervals where there are some."""
    solutions = found.short or found.gains
    assert solutions is not None
    calibration_pictures.draw_gains(path, of_present(solutions))
