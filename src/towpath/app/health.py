"""How sources fare: when each was looked at, what came, what is wrong, when one that fails is tried again; and pauses.

Promises that every daemon heeds a pause within a second, and that an idle site writes next to nothing. Decides nothing
about files.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from towpath.base import clock
from towpath.contracts.catalog import Catalog, Transaction, View
from towpath.contracts.definition import SourcePlan

State = Literal["closed", "open", "half-open"]

SLOT, PAUSE = "source", "source pause"  # the rules of the slots in which it is noted
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0  # seconds until a source that failed is tried again
EVERY = 5.0  # seconds between two notes of a source to which things come
IDLE = 60.0  # seconds between two notes of a source that is only looked at
HEED = 0.5  # seconds for which it is not asked again whether a source is paused
_KEPT, _LONGEST = 5, 300  # texts of problems, and characters of each


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """How a source fares. Times are seconds since the epoch, None where there is none.

    `state` is that of its breaker: ``closed`` (it answers), ``open`` (it fails, and is let be until `again`) or
    ``half-open`` (it is being tried). `failures` are those in a row, `problems` what the last look told. `today` counts
    what arrived since 00:00 UTC. Who `paused` it is "" if nobody did.
    """

    pipeline: str
    name: str
    kind: str
    item: str
    state: State = "closed"
    looked: float | None = None
    arrived: float | None = None
    today: int = 0
    failures: int = 0
    again: float | None = None
    problems: tuple[str, ...] = ()
    paused: str = ""
    why: str = ""
    since: float | None = None

    @property
    def whole_name(self) -> str:
        """How a person writes it: ``pipeline/name``."""
        return partition(self.pipeline, self.name)


def partition(pipeline: str, name: str) -> str:
    """What a source is called in the slots."""
    return f"{pipeline}/{name}"


def pause(failures: int) -> float:
    """Seconds until a source is tried again that has failed so often in a row."""
    return min(FIRST_PAUSE * 2.0 ** min(max(failures, 1) - 1, 30), LONGEST_PAUSE)


def read(view: View, plans: Sequence[SourcePlan]) -> list[SourceHealth]:
    """How these sources fare, as it was noted last."""
    notes, pauses, now = view.noted(SLOT), view.noted(PAUSE), view.now()
    return [
        _health(plan, notes.get(where, {}), pauses.get(where, {}), now)
        for plan in plans
        for where in [partition(plan.pipeline, plan.name)]
    ]


def _health(plan: SourcePlan, note: Mapping[str, Any], paused: Mapping[str, Any], now: float) -> SourceHealth:
    again, is_open = note.get("again"), note.get("state", "closed") != "closed"
    state: State = "closed" if not is_open else "half-open" if again is not None and now >= again else "open"
    return SourceHealth(
        plan.pipeline,
        plan.name,
        plan.kind,
        plan.item,
        state,
        note.get("looked"),
        note.get("arrived"),
        int(note.get("today", 0)) if note.get("day") == _day(now) else 0,
        int(note.get("failures", 0)),
        again if is_open else None,
        tuple(note.get("problems", ())),
        str(paused.get("who", "")),
        str(paused.get("why", "")),
        paused.get("since"),
    )


def set_paused(tx: Transaction, plan: SourcePlan, who: str, why: str, *, paused: bool) -> None:
    """Pause a source, or let it go on; what is so already stays as it is."""
    slot = tx.slot(PAUSE, partition(plan.pipeline, plan.name))
    if bool(slot.data) == paused:
        return
    tx.set_slot(slot, {"who": who, "why": why, "since": tx.now()} if paused else {})
    told: dict[str, Any] = {"why": why} if why else {}
    state = "paused" if paused else "resumed"
    tx.event("source", pipeline=plan.pipeline, source=plan.name, state=state, who=who, **told)


def _day(moment: float) -> str:
    return clock.text(moment)[:10]


# ---- what a daemon knows


@dataclass(slots=True)
class _Note:
    """What is known of one source; times are those of a clock that only grows."""

    looked: float | None = None
    arrived: float | None = None
    count: int = 0  # arrivals that are not noted yet
    failures: int = 0
    again: float = 0.0
    problems: tuple[str, ...] = ()
    noted: float = -IDLE  # when it was written last
    looked_then: float | None = None  # the look that was written
    is_fresh: bool = False  # something was seen that is not written
    is_urgent: bool = False  # it failed, or answers again


@dataclass(slots=True)
class Health:
    """What a process that looks at sources knows of them, noted in the catalog now and then.

    Parameters
    ----------
    catalog
        Where it is noted.
    ticks
        Seconds that only grow.
    """

    catalog: Catalog
    ticks: Callable[[], float] = time.monotonic
    _notes: dict[tuple[str, str], _Note] = field(default_factory=dict)
    _paused: frozenset[str] = frozenset()
    _asked: float = -HEED
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def _of(self, plan: SourcePlan) -> _Note:
        return self._notes.setdefault((plan.pipeline, plan.name), _Note())

    def is_paused(self, plan: SourcePlan) -> bool:
        """Whether somebody has paused the source."""
        if self.ticks() - self._asked >= HEED:
            with self.catalog.read() as view:
                self._paused = frozenset(where for where, data in view.noted(PAUSE).items() if data)
            self._asked = self.ticks()
        return partition(plan.pipeline, plan.name) in self._paused

    def is_failing(self, plan: SourcePlan) -> bool:
        """Whether the last look at it failed."""
        return self._of(plan).failures > 0

    def rests(self, plan: SourcePlan) -> bool:
        """Whether the source failed, and is let be for now."""
        note = self._of(plan)
        return note.failures > 0 and self.ticks() < note.again

    # ---- what is seen
    def arrived(self, plan: SourcePlan, count: int) -> None:
        """So many things came."""
        if count:
            note = self._of(plan)
            note.arrived, note.count, note.is_fresh = self.ticks(), note.count + count, True

    def answered(self, plan: SourcePlan, problems: Sequence[str]) -> None:
        """A look at the source came to its end, and told these problems."""
        note, texts = self._of(plan), _short(problems)
        note.is_urgent |= note.failures > 0
        note.is_fresh |= texts != note.problems
        note.looked, note.failures, note.problems = self.ticks(), 0, texts

    def failed(self, plan: SourcePlan, why: str) -> None:
        """A look at the source failed."""
        note = self._of(plan)
        note.looked, note.failures, note.problems = self.ticks(), note.failures + 1, _short([why])
        note.again, note.is_urgent = note.looked + pause(note.failures), True

    # ---- what is noted
    def note(self, *, all_of_it: bool = False) -> None:
        """Write what is due to be written, in one transaction; or all that is not written yet."""
        due = {key: one for key, one in self._notes.items() if self._is_due(one, all_of_it)}
        if not due:
            return
        with self._lock:
            self.catalog.write(lambda tx: self._write(tx, due))
            for one in due.values():
                one.noted, one.looked_then = self.ticks(), one.looked
                one.count, one.is_fresh, one.is_urgent = 0, False, False

    def _is_due(self, note: _Note, all_of_it: bool) -> bool:
        age = self.ticks() - note.noted
        if note.is_urgent or (note.is_fresh and (all_of_it or age >= EVERY)):
            return True
        is_first = note.looked_then is None
        return note.looked != note.looked_then and (all_of_it or is_first or age >= IDLE)

    def _write(self, tx: Transaction, due: Mapping[tuple[str, str], _Note]) -> None:
        now, ticks = tx.now(), self.ticks()

        def moment(then: float) -> float:
            return now + then - ticks

        for (pipeline, name), note in sorted(due.items()):
            slot = tx.slot(SLOT, partition(pipeline, name))
            former, day = slot.data, _day(now)
            data = {
                "looked": former.get("looked") if note.looked is None else moment(note.looked),
                "arrived": former.get("arrived") if note.arrived is None else moment(note.arrived),
                "day": day,
                "today": (former.get("today", 0) if former.get("day") == day else 0) + note.count,
                "failures": note.failures,
                "state": "open" if note.failures else "closed",
                "again": moment(note.again) if note.failures else None,
                "problems": list(note.problems),
            }
            tx.set_slot(slot, data)
            if data["state"] != former.get("state", "closed"):
                told: dict[str, Any] = {"why": note.problems[0]} if note.failures else {}
                tx.event("source", pipeline=pipeline, source=name, state=data["state"], **told)


def _short(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…" for text in texts[:_KEPT])
