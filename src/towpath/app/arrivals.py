"""Arrivals: every source of every pipeline is looked at, and what is new is registered.

Folder sources are looked at by event and by period, always both; fetch sources by period. Looking and hashing happen
outside any transaction. What cannot be registered is told as an event, never lost. A source that fails is tried again with
growing pauses, while the others go on; one that is paused is not looked at. A look that is asked to end does so before the
next source, request or file.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from towpath.adapters.sources import fetch
from towpath.adapters.sources.folder import Folder
from towpath.app.health import Health
from towpath.app.records import Records
from towpath.base.errors import NotFoundError, TowpathError
from towpath.base.hashing import digest
from towpath.contracts.catalog import Catalog, Transaction
from towpath.contracts.definition import Definition, SourcePlan
from towpath.contracts.source import Intake
from towpath.contracts.storage import Storage
from towpath.flow import arrive, group, register
from towpath.flow.process import Threads

log = logging.getLogger(__name__)

_PATIENCE = 30.0  # seconds for which the end of a look is waited for


@dataclass(slots=True)
class _Watched:
    """A folder source that is kept between looks, with what ends its watching and whether something changed."""

    source: Folder
    source_of: tuple[str, str]
    changed: threading.Event = field(default_factory=threading.Event)
    end: Callable[[], None] | None = None


class Arrivals:
    """Looks at sources and registers what is new."""

    def __init__(
        self,
        catalog: Catalog,
        storage: Storage,
        records: Records,
        *,
        definitions: Callable[[], Mapping[str, Definition]],
        places: Callable[[], Mapping[str, str]],
    ) -> None:
        self._catalog, self._storage, self._records = catalog, storage, records
        self._definitions, self._places = definitions, places
        self._folders: dict[bytes, _Watched] = {}
        self._looked: dict[tuple[str, str], float] = {}
        self._wake, self._stop = threading.Event(), threading.Event()
        self._threads = Threads(1, "arrivals")
        self._begun: Future[Any] | None = None
        self._is_given_up = False
        self.health = Health(catalog)
        self.registered = 0

    # ---- one look
    def look(self, *, due_only: bool = False) -> int:
        """Look at every source (or those that are due); returns how many files have yet to settle."""
        unsettled = 0
        self._records.look_anew()
        for definition in self._definitions().values():
            for plan in definition.sources.values():
                if self._stop.is_set() or plan.kind == "submit" or self.health.is_paused(plan):
                    continue
                if not due_only or self._is_due(plan):
                    self._looked[plan.pipeline, plan.name] = time.monotonic()
                    unsettled += self._tried(definition, plan)
        self.health.note()
        return unsettled

    def _tried(self, definition: Definition, plan: SourcePlan) -> int:
        """Look at one source; what it raises is told, and the source is let be for a while."""
        try:
            unsettled, problems = self._look(definition, plan)
        except Exception as error:  # told: a provider is other people's code, and the other sources go on
            if self._is_given_up:
                return 0  # the catalog is closed, or will be
            is_known = isinstance(error, TowpathError | OSError)
            name = "" if is_known else f"{type(error).__name__}: "
            log.error(
                "source failed: %s/%s: %s%s", plan.pipeline, plan.name, name, error, exc_info=not is_known
            )
            text = f"sources.{plan.name}: {name}{error}"
            self._catalog.write(lambda tx: register.problems(tx, plan, [text]))
            self.health.failed(plan, text)
            self._unwatch(plan)
            return 0
        self.health.answered(plan, problems)
        return unsettled

    def _is_due(self, plan: SourcePlan) -> bool:
        if self.health.is_failing(plan):
            return not self.health.rests(plan)
        last = self._looked.get((plan.pipeline, plan.name))
        if last is None or time.monotonic() - last > float(plan.settings.get("scan_every", 60.0)):
            return True
        return plan.kind == "folder" and self._has_root(plan) and self._watched(plan).changed.is_set()

    def _has_root(self, plan: SourcePlan) -> bool:
        return plan.settings["root"] in self._places()

    def _look(self, definition: Definition, plan: SourcePlan) -> tuple[int, list[str]]:
        """How much has yet to settle, and the problems."""
        if plan.kind == "folder":
            return self._look_folder(definition, plan)
        if plan.kind == "fetch":
            return 0, self._look_fetch(definition, plan)
        if plan.kind == "records":
            return self._look_records(plan)
        return 0, []

    # ---- folders
    def _watched(self, plan: SourcePlan) -> _Watched:
        root = str(plan.settings["root"])
        if not self._has_root(plan):
            known = ", ".join(sorted(self._places()))
            raise NotFoundError(f"root: found {root!r}; expected a root of the site: {known}")
        place = self._places()[root]
        others = self._patterns_beside(plan)
        key = digest([plan.pipeline, plan.name, dict(plan.settings), place, others])
        if key not in self._folders:
            self._folders[key] = _Watched(Folder.of(plan, Path(place), others), (plan.pipeline, plan.name))
        return self._folders[key]

    def _patterns_beside(self, plan: SourcePlan) -> list[str]:
        """The patterns of all other folder sources on the same root: their files are no problem of this one."""
        found: list[str] = []
        for definition in self._definitions().values():
            for other in definition.sources.values():
                is_itself = (other.pipeline, other.name) == (plan.pipeline, plan.name)
                if (
                    other.kind == "folder"
                    and not is_itself
                    and other.settings["root"] == plan.settings["root"]
                ):
                    pattern = other.settings["pattern"]
                    found += [pattern] if isinstance(pattern, str) else pattern
        return found

    def _look_folder(self, definition: Definition, plan: SourcePlan) -> tuple[int, list[str]]:
        watched, root = self._watched(plan), str(plan.settings["root"])
        watched.changed.clear()
        with self._catalog.read() as view:
            known = view.raw_files(root)
        known |= self._catalog.write(lambda tx: register.aside(tx, plan))
        found = watched.source.look(known)
        intakes, problems = arrive.decide(plan, found.settled)
        # What lacks its marker waits for another program, which an event will tell of; the rest for a clock.
        waiting = 0 if plan.settings.get("settled") == "marker" else found.unsettled
        for start in range(0, len(intakes), register.BATCH):
            if self._stop.is_set() or (start and self.health.is_paused(plan)):
                watched.changed.set()
                break
            hashed = arrive.hash_all(
                self._storage, root, intakes[start : start + register.BATCH], go_on=self._goes_on
            )
            waiting += hashed.waiting
            problems += hashed.problems
            self._register(definition, plan, hashed.ready)
        self._tell(plan, [*found.problems, *problems])
        if waiting:
            watched.changed.set()
        return waiting, [*watched.source.problems, *problems]

    def _register(self, definition: Definition, plan: SourcePlan, ready: Sequence[Intake]) -> None:
        def transact(tx: Transaction) -> int:
            done = register.register(tx, definition, plan, ready)
            group.gather(tx, definition, plan.item, "", done.complete)
            return done.files + done.aside

        if ready:
            self._count(plan, self._catalog.write(transact))

    def _count(self, plan: SourcePlan, count: int) -> None:
        self.registered += count
        self.health.arrived(plan, count)
        self.health.note()

    # ---- requests
    def _look_fetch(self, definition: Definition, plan: SourcePlan) -> list[str]:
        answers, problems = fetch.look(plan, self._goes_on)

        def transact(tx: Transaction) -> int:
            done = register.answered(tx, definition, plan, answers)
            group.gather(tx, definition, plan.item, "", done.complete)
            return len(done.new) + len(done.changed)

        self._count(plan, self._catalog.write(transact))
        self._tell(plan, problems)
        return list(problems)

    # ---- records
    def _look_records(self, plan: SourcePlan) -> tuple[int, list[str]]:
        found = self._records.look(
            plan, self._catalog.write, is_paused=lambda: self._stop.is_set() or self.health.is_paused(plan)
        )
        self._count(plan, found.begun)
        self._tell(plan, found.problems)
        return found.unsettled, list(found.problems)

    def _tell(self, plan: SourcePlan, texts: Sequence[str]) -> None:
        for text in texts:
            log.warning("%s", text)
        if texts:
            self._catalog.write(lambda tx: register.problems(tx, plan, texts))

    # ---- in a thread
    def begin(self) -> Future[int]:
        """Look at every source once, in a thread of its own."""
        self._begun = looking = self._threads.submit(self.look)
        return looking

    def start(self) -> None:
        """Look by event and by period, in a thread of its own, until `end`."""
        self._begun = self._threads.submit(self._run)

    def check(self) -> None:
        """Raise what ended the thread, if anything did: a site must not go on watching without its sources."""
        if self._begun is not None and self._begun.done():
            self._begun.result()

    def end(self) -> None:
        """Begin no look any more; one that goes on ends soon."""
        self._stop.set()
        self._wake.set()

    def stop(self, given_up: Callable[[], bool] = lambda: False) -> None:
        """End the thread and the watching.

        A look that does not end in half a minute, or until it is `given_up`, ends with the process.
        """
        self.end()
        end = time.monotonic() + _PATIENCE
        while not (is_over := self._is_over(0.1)) and not given_up() and time.monotonic() < end:
            pass
        self._is_given_up = not is_over
        self._threads.close()
        for watched in list(self._folders.values()):
            if watched.end:
                watched.end()
                watched.end = None
        if is_over:
            self.health.note(all_of_it=True)

    def _is_over(self, seconds: float) -> bool:
        """Whether nothing is looked at, after waiting for that for some seconds."""
        return self._begun is None or bool(wait([self._begun], seconds).done)

    def _goes_on(self) -> bool:
        return not self._stop.is_set()

    def _run(self) -> None:
        while self._goes_on():
            self._watch_new()
            waiting = self.look(due_only=True)
            self._wake.wait(0.25 if waiting else 1.0)
            self._wake.clear()

    def _watch_new(self) -> None:
        for definition in self._definitions().values():
            for plan in definition.sources.values():
                if plan.kind != "folder" or not self._has_root(plan) or self.health.is_failing(plan):
                    continue
                try:
                    watched = self._watched(plan)
                    if watched.end is None:
                        watched.end = watched.source.watch(partial(self._changed, watched))
                except (TowpathError, OSError) as error:
                    self.health.failed(plan, f"sources.{plan.name}: {error}")

    def _unwatch(self, plan: SourcePlan) -> None:
        """A folder that was away is another one when it comes back: it is watched anew once a look at it succeeds."""
        for watched in self._folders.values():
            if watched.source_of == (plan.pipeline, plan.name) and watched.end:
                watched.end()
                watched.end = None

    def _changed(self, watched: _Watched) -> None:
        watched.changed.set()
        self._wake.set()
