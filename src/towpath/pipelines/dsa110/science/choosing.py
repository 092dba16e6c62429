"""Chooses what a group of observations is calibrated by: the ladder.

Promises that the first rung that holds is taken, and that the choice says why each rung above it did not hold. Pure:
what is known of observations, calibrators and the registry comes as values.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

DAY = 86400.0  # s


class Rung(StrEnum):
    """How a group is calibrated."""

    COVERED = "covered"  # a set of solutions is certified for its time: nothing is to be solved
    CALIBRATOR = "calibrator"  # solved on a known calibrator
    FALLBACK = "fallback"  # solved on the bright catalogued sources of one field
    BORROWED = "borrowed"  # the nearest certified set, within limits
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Seen:
    """A calibrator in the field of an observation: its apparent flux in Jy, its angle from the centre in radians."""

    name: str
    flux: float
    separation: float


@dataclass(frozen=True, slots=True)
class Member:
    """One observation of the group.

    `declination` is in radians, `catalogued` the apparent flux in Jy of the reference catalogue's sources in its field.
    """

    key: str
    declination: float
    calibrators: Sequence[Seen] = ()
    catalogued: float = 0.0


@dataclass(frozen=True, slots=True)
class Certified:
    """The certified set that is nearest in time.

    `age` is how far the group's time lies outside of its validity in seconds (0: valid), `declination` in radians is
    where it was solved.
    """

    name: str
    age: float
    declination: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What the rungs ask for.

    Parameters
    ----------
    strip
        By how much declinations may differ, in radians.
    calibrator, catalogued
        Least apparent flux in Jy of a calibrator, and of all catalogued sources of a field together.
    borrow
        Greatest age in seconds of a set that is borrowed.
    fallback
        Which member is taken where none holds a calibrator, counted from 0 (the fifth of ten is 4).
    """

    strip: float = np.radians(3.0)
    calibrator: float = 0.5
    catalogued: float = 1.0
    borrow: float = 30 * DAY
    fallback: int = 4


@dataclass(frozen=True, slots=True)
class Choice:
    """The rung that holds.

    `member` is the number of the observation to solve on, `source` names the calibrator or the certified set, and
    `reasons` say why the rungs above do not hold.
    """

    rung: Rung
    member: int = -1
    source: str = ""
    reasons: tuple[str, ...] = ()


def choose(members: Sequence[Member], known: Certified | None, limits: Limits | None = None) -> Choice:
    """The first rung of the ladder that holds.

    A certified set that is valid for the group's time and strip; else a known calibrator in one of the fields (the
    brightest as seen); else the catalogued sources in the field of the fallback member; else the nearest certified set
    of the strip, if it is not too old; else none.

    Raises
    ------
    ValueError
        If there are no members.
    """
    if not members:
        raise ValueError("a group without members cannot be calibrated")
    limits = limits or Limits()
    middle = members[min(limits.fallback, len(members) - 1)]
    reasons: list[str] = []
    if known and known.age <= 0 and _fits(known, middle, limits, reasons):
        return Choice(Rung.COVERED, source=known.name)
    if not known or known.age > 0:
        reasons.append("no certified set is valid at the group's time")
    if found := _brightest(members, limits):
        return Choice(Rung.CALIBRATOR, found[0], found[1].name, tuple(reasons))
    reasons.append(
        f"no known calibrator of at least {limits.calibrator:g} Jy as seen is in the field of any of the "
        f"{len(members)} observations"
    )
    if middle.catalogued >= limits.catalogued:
        return Choice(
            Rung.FALLBACK, min(limits.fallback, len(members) - 1), "reference catalogue", tuple(reasons)
        )
    reasons.append(
        f"the reference catalogue has {middle.catalogued:.2f} Jy in the field of {middle.key}, at least "
        f"{limits.catalogued:g} are needed"
    )
    if known and known.age > 0 and _fits(known, middle, limits, reasons):
        if known.age <= limits.borrow:
            return Choice(Rung.BORROWED, source=known.name, reasons=tuple(reasons))
        reasons.append(
            f"{known.name} is {known.age / DAY:.1f} days too old; {limits.borrow / DAY:g} are allowed"
        )
    elif not known:
        reasons.append("no certified set is near enough to borrow")
    return Choice(Rung.NONE, reasons=tuple(reasons))


def _fits(known: Certified, member: Member, limits: Limits, reasons: list[str]) -> bool:
    """Whether a set was solved in the group's strip; if not, a reason is added."""
    if abs(known.declination - member.declination) <= limits.strip:
        return True
    reasons.append(
        f"{known.name} was solved at declination {np.degrees(known.declination):+.2f}°, {member.key} is at "
        f"{np.degrees(member.declination):+.2f}°; {np.degrees(limits.strip):g}° are allowed"
    )
    return False


def _brightest(members: Sequence[Member], limits: Limits) -> tuple[int, Seen] | None:
    """The calibrator that is brightest as seen, and whose field it is in; of equals the one nearer to a centre."""
    seen = [
        (number, one)
        for number, member in enumerate(members)
        for one in member.calibrators
        if one.flux >= limits.calibrator
    ]
    return max(seen, key=lambda found: (found[1].flux, -found[1].separation), default=None)
