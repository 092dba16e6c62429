"""Arrivals: every source of every pipeline is looked at, and what is new is registered.

Folder sources are looked at by event and by period, always both; fetch sources by period. Looking and hashing happen
outside any transaction. What cannot be registered is told as an event, never lost.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from towpath.adapters.sources import fetch
from towpath.adapters.sources.folder import Folder
from towpath.base.errors import NotFoundError, TowpathError
from towpath.base.hashing import digest
from towpath.contracts.catalog import Catalog, Transaction
from towpath.contracts.definition import Definition, SourcePlan
from towpath.contracts.source import Intake
from towpath.contracts.storage import Storage
from towpath.flow import arrive, group, register

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Watched:
    """A folder source that is kept between looks, with what ends its watching and whether something changed."""

    source: Folder
    changed: threading.Event = field(default_factory=threading.Event)
    end: Callable[[], None] | None = None


class Arrivals:
    """Looks at sources and registers what is new."""

    def __init__(
        self,
        catalog: Catalog,
        storage: Storage,
        *,
        definitions: Callable[[], Mapping[str, Definition]],
        places: Callable[[], Mapping[str, str]],
    ) -> None:
        self._catalog, self._storage = catalog, storage
        self._definitions, self._places = definitions, places
        self._folders: dict[bytes, _Watched] = {}
        self._looked: dict[tuple[str, str], float] = {}
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="arrivals")
        self._watching: Future[None] | None = None
        self.registered = 0

    # ---- one look
    def look(self, *, due_only: bool = False) -> int:
        """Look at every source (or those that are due); returns how many files have yet to settle."""
        unsettled = 0
        for definition in self._definitions().values():
            for plan in definition.sources.values():
                try:
                    if not due_only or self._is_due(plan):
                        self._looked[plan.pipeline, plan.name] = time.monotonic()
                        unsettled += self._look(definition, plan)
                except (TowpathError, OSError) as error:
                    log.error("source failed: %s/%s: %s", plan.pipeline, plan.name, error)
                    text = f"sources.{plan.name}: {error}"
                    self._catalog.write(lambda tx, p=plan, t=text: register.problems(tx, p, [t]))  # type: ignore[misc]
        return unsettled

    def _is_due(self, plan: SourcePlan) -> bool:
        last = self._looked.get((plan.pipeline, plan.name))
        if last is None or time.monotonic() - last > float(plan.settings.get("scan_every", 60.0)):
            return True
        return plan.kind == "folder" and self._has_root(plan) and self._watched(plan).changed.is_set()

    def _has_root(self, plan: SourcePlan) -> bool:
        return plan.settings["root"] in self._places()

    def _look(self, definition: Definition, plan: SourcePlan) -> int:
        if plan.kind == "folder":
            return self._look_folder(definition, plan)
        if plan.kind == "fetch":
            self._look_fetch(definition, plan)
        return 0

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
            self._folders[key] = _Watched(Folder.of(plan, Path(place), others))
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

    def _look_folder(self, definition: Definition, plan: SourcePlan) -> int:
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
            hashed = arrive.hash_all(self._storage, root, intakes[start : start + register.BATCH])
            waiting += hashed.waiting
            problems += hashed.problems
            self._register(definition, plan, hashed.ready)
        self._tell(plan, [*found.problems, *problems])
        if waiting:
            watched.changed.set()
        return waiting

    def _register(self, definition: Definition, plan: SourcePlan, ready: Sequence[Intake]) -> None:
        def transact(tx: Transaction) -> int:
            done = register.register(tx, definition, plan, ready)
            group.gather(tx, definition, plan.item, "", done.complete)
            return done.files + done.aside

        if ready:
            self.registered += self._catalog.write(transact)

    # ---- requests
    def _look_fetch(self, definition: Definition, plan: SourcePlan) -> None:
        answers, problems = fetch.look(plan)

        def transact(tx: Transaction) -> int:
            done = register.answered(tx, definition, plan, answers)
            group.gather(tx, definition, plan.item, "", done.complete)
            return len(done.new) + len(done.changed)

        self.registered += self._catalog.write(transact)
        self._tell(plan, problems)

    def _tell(self, plan: SourcePlan, texts: Sequence[str]) -> None:
        for text in texts:
            log.warning("%s", text)
        if texts:
            self._catalog.write(lambda tx: register.problems(tx, plan, texts))

    # ---- for ever
    def start(self) -> None:
        """Look by event and by period, in a thread of its own, until `stop`."""
        self._stop.clear()
        self._watching = self._thread.submit(self._run)

    def check(self) -> None:
        """Raise what ended the thread, if anything did: a site must not go on watching without its sources."""
        if self._watching is not None and self._watching.done():
            self._watching.result()

    def stop(self) -> None:
        """End the thread and the watching."""
        self._stop.set()
        self._wake.set()
        self._thread.shutdown(wait=True)
        for watched in self._folders.values():
            if watched.end:
                watched.end()
                watched.end = None

    def _run(self) -> None:
        while not self._stop.is_set():
            self._watch_new()
            waiting = self.look(due_only=True)
            self._wake.wait(0.25 if waiting else 1.0)
            self._wake.clear()

    def _watch_new(self) -> None:
        for definition in self._definitions().values():
            for plan in definition.sources.values():
                if plan.kind != "folder" or not self._has_root(plan):
                    continue
                watched = self._watched(plan)
                if watched.end is None:
                    watched.end = watched.source.watch(partial(self._changed, watched))

    def _changed(self, watched: _Watched) -> None:
        watched.changed.set()
        self._wake.set()
