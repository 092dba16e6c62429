"""The worker loop: sources are looked at, work is run, time-outs and messages are seen to, until nothing is left or for ever.

Everything it knows is in the catalog: it may be killed at any instant and started again.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import wait
from contextlib import contextmanager
from dataclasses import dataclass, field

from towpath.app.arrivals import Arrivals
from towpath.app.session import bury
from towpath.base.states import Outcome
from towpath.contracts.catalog import Catalog
from towpath.contracts.definition import Definition
from towpath.flow.process import Process

log = logging.getLogger(__name__)

PATIENCE = 60.0  # seconds that a single run waits for work which is due later (backoff)


@dataclass(frozen=True, slots=True)
class Summary:
    """What one run of a site did: runs by outcome, seconds, and why it ended."""

    runs: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    registered: int = 0
    findings: int = 0
    ended: str = "nothing left to do"

    @property
    def did_nothing(self) -> bool:
        """Whether nothing ran, arrived or was found wrong."""
        return not (self.runs or self.registered or self.findings)


class Worker:
    """Runs a process loop on a site.

    Parameters
    ----------
    process
        The loop of claims and completions.
    definitions
        The active definitions by pipeline.
    arrivals
        Looks at the sources.
    reload
        Looks whether a pipeline file changed; called about once a second while watching.
    tend
        Does what is to be done now and then, and tells whoever wants to know what happened; called about once a second and
        when nothing else is to be done. Whether there was anything, or something is left.
    """

    def __init__(
        self,
        catalog: Catalog,
        process: Process,
        arrivals: Arrivals,
        host: str,
        *,
        definitions: Callable[[], Mapping[str, Definition]],
        reload: Callable[[], object] = lambda: None,
        tend: Callable[[], bool] = lambda: False,
        chores: Callable[[], Iterable[tuple[str, str, str]]] = tuple,
        no_room: Callable[[], str] = lambda: "",
        only: Sequence[int] | None = None,
    ) -> None:
        self._catalog, self._process, self._arrivals, self._host = catalog, process, arrivals, host
        self._definitions, self._reload, self._chores, self._only = definitions, reload, chores, only
        self._no_room, self._tend_to, self._is_behind = no_room, tend, False
        self._stop, self._kill = threading.Event(), threading.Event()

    def stop(self) -> None:
        """End soon: finish what runs and what is looked at (asked again: give it up)."""
        if self._stop.is_set():
            self._kill.set()
        self._stop.set()

    def once(self, *, patience: float = PATIENCE, tick: Callable[[], None] = lambda: None) -> Summary:
        """Look at every source, run until nothing is left that could run."""
        started = time.monotonic()
        self._tend()
        ended, rested = "nothing left to do", 0.0
        with self._until_ended(tick):
            unsettled = self._look()
            while not self._stop.is_set():
                busy = self._process.step(0.2)
                tick()
                if busy:
                    rested = 0.0
                    continue
                rested = rested or time.monotonic()
                self._tend()
                pause = self._pause(patience, settling=unsettled > 0 and time.monotonic() - rested < patience)
                if pause is None:
                    break
                if (why := self._no_room()) and time.monotonic() - rested >= patience:
                    ended = why
                    break
                self._stop.wait(min(pause, 0.5))
                unsettled = self._look() if unsettled else 0
            else:
                ended = "stopped"
        return self._summary(started, ended)

    def watch(self, *, tick: Callable[[], None] = lambda: None) -> Summary:
        """Run until stopped: sources by event and period, due work, changed pipeline files."""
        started, looked = time.monotonic(), 0.0
        with self._until_ended(tick):
            self._arrivals.start()
            while not self._stop.is_set():
                if time.monotonic() - looked > 1.0:
                    looked = time.monotonic()
                    self._tend()
                    self._reload()
                    self._arrivals.check()
                if not self._process.step(0.1):
                    self._process.wait(0.1)
                tick()
        return self._summary(started, "stopped")

    def _look(self) -> int:
        """Look at every source; how many files have yet to settle. Once stopped, it is not waited for here."""
        looking = self._arrivals.begin()
        while not self._stop.is_set():
            if wait([looking], 0.1).done:
                return looking.result()
        return 0

    def _tend(self) -> None:
        """Free what dead processes of this host held, let nothing wait for an hour that the clock was set back by; the rest."""
        bury(self._catalog, self._host)
        with self._catalog.read() as view:
            is_behind = view.behind() > 0
        if is_behind:
            seconds = self._catalog.write(lambda tx: tx.follow_clock())
            log.warning("the clock was set back by %.0f s; what is due moves with it", seconds)
        self._is_behind = self._tend_to()

    def _pause(self, patience: float, *, settling: bool) -> float | None:
        """Seconds until there may be something to do, None if there is nothing within our patience."""
        if settling or self._is_behind:
            return 0.05 if self._is_behind else 0.2
        with self._catalog.read() as view:
            now, due = view.now(), view.next_due(self._queues(), only=self._only)
        if due is None or due - now > patience:
            return None
        return max(due - now, 0.05)

    def _queues(self) -> list[tuple[str, str, str]]:
        return [
            (kind.pipeline, kind.name, stage)
            for definition in self._definitions().values()
            for kind in definition.kinds.values()
            for stage in kind.stages
        ] + list(self._chores())

    @contextmanager
    def _until_ended(self, tick: Callable[[], None]) -> Iterator[None]:
        """At the end what runs is finished or given back, and what is looked at ends; or both are given up."""
        try:
            yield
            self._arrivals.end()
            if not self._kill.is_set():
                self._process.drain(30.0, given_up=self._kill.is_set, tick=tick)
        finally:
            self._arrivals.stop(self._kill.is_set)

    def _summary(self, started: float, ended: str) -> Summary:
        runs = {
            outcome.value: n
            for outcome, n in self._process.tally.runs.items()
            if n and outcome is not Outcome.DRAINED
        }
        return Summary(runs, time.monotonic() - started, self._arrivals.registered, ended=ended)


@contextmanager
def until_signalled(worker: Worker) -> Iterator[None]:
    """SIGTERM and SIGINT end the worker in good order; a second one gives up what runs and what is looked at."""

    def act(_number: int, _frame: object) -> None:
        worker.stop()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.signal(number, act) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
