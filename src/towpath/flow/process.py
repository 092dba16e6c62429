"""Process: claim ready work, hand it to the executor in batches, complete what comes back.

Promises: nothing is held longer than its lease, what is lost comes back, and a report is written only by the owner of
its row. Never runs a stage itself and never decides what follows one: the completing transaction does.
"""

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

from towpath.base import clock, faults, ids
from towpath.base.model import Product
from towpath.base.packed import Packed
from towpath.base.states import Outcome
from towpath.base.states import Product as ProductState
from towpath.contracts.catalog import Catalog, Claimed, Finished, Queue, Transaction, View
from towpath.contracts.definition import Definition, KindPlan, StagePlan
from towpath.contracts.executor import (
    FEATURES_AT_ONCE,
    Batch,
    Credentials,
    Executor,
    Progress,
    Report,
    Task,
    TaskFile,
    many_files,
)
from towpath.contracts.storage import Storage

log = logging.getLogger(__name__)

LEASE = 60.0
AIM = 0.3  # seconds of work per claim
LARGEST = 256
_LONG = 4 * AIM  # seconds of one run behind which none is to wait
_FORGET = 0.97  # of how long a run took, with each run after it
_THREADS = 4  # for work that the daemon does itself
_SET = 5.0  # seconds by which a clock steps that was set, or that went on while the machine slept
_SPREAD_EVERY = 0.2  # seconds between two looks for a change that spreads, while there is other work
_TOLD = 1.0  # seconds between two notes of how running attempts get on

_STANDS = (ProductState.CURRENT, ProductState.SHED, ProductState.SPENT)

T = TypeVar("T")
Hook = Callable[[Transaction, Definition, KindPlan, StagePlan, Sequence[int]], None]


class Service(Protocol):
    """Work that the daemon does itself, in a thread: `publish`, `certify`. Returns the report of the run."""

    def __call__(self, kind: KindPlan, stage: StagePlan, claimed: Claimed) -> Report: ...  # noqa: D102


class Chore(Protocol):
    """Work that is not a stage: it ends its own row (`tx.finish`)."""

    def __call__(self, claimed: Claimed) -> None: ...  # noqa: D102


@dataclass(slots=True)
class _Held:
    """A row that is ours, with where it came from."""

    claimed: Claimed
    kind: KindPlan
    stage: StagePlan
    fraction: float | None = None
    note: str = ""
    log: tuple[str, int] | None = None

    @property
    def place(self) -> str:
        """Where its log is: the file, a colon, the byte at which it begins."""
        return f"{self.log[0]}:{self.log[1]}" if self.log else ""


@dataclass(slots=True)
class Tally:
    """What this process has done since it began: runs by outcome, rows that needed nothing, seconds of stages."""

    runs: dict[Outcome, int] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, finished: Finished) -> None:
        """Count what a completing transaction did."""
        for outcome, count in finished.ended.items():
            self.runs[outcome] = self.runs.get(outcome, 0) + count


class Pace:
    """How many runs of a stage make a batch of about `AIM` seconds, from what they took so far.

    Where one took long a while ago, each is a batch of its own: none is to wait behind such a one while workers rest.
    """

    def __init__(self) -> None:
        self._longest: dict[tuple[str, str, str], float] = {}
        self._seconds: dict[tuple[str, str, str], float] = {}
        self._last: dict[tuple[str, str, str], int] = {}

    def size(self, queue: tuple[str, str, str]) -> int:
        """The next batch: 1 at first, at most four times the last, at most `LARGEST`."""
        seconds = self._seconds.get(queue)
        aim = 1 if seconds is None else int(AIM / max(seconds, 1e-6))
        size = max(1, min(aim, LARGEST, 4 * self._last.get(queue, 1)))
        if self._longest.get(queue, 0.0) > _LONG:
            size = 1
        if seconds is not None:
            self._last[queue] = size
        return size

    def learn(self, queue: tuple[str, str, str], seconds: float, runs: int, longest: float = 0.0) -> None:
        """Take in what `runs` runs took together, and the longest of them."""
        mean = seconds / runs
        self._longest[queue] = max(longest, _FORGET**runs * self._longest.get(queue, 0.0))
        old = self._seconds.get(queue)
        self._seconds[queue] = mean if old is None else 0.7 * old + 0.3 * mean


class Threads:
    """Does calls in a few threads. What is given up with them does not keep the process from its end."""

    def __init__(self, count: int, name: str = "service") -> None:
        self._count, self._name, self._begun = count, name, 0
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def submit(self, call: Callable[..., T], *values: Any) -> Future[T]:
        """Do a call soon."""
        future: Future[T] = Future()

        def act() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call(*values))
                except BaseException as error:  # noqa: BLE001  recorded: whoever takes the future in sees it
                    future.set_exception(error)

        self._calls.put(act)
        if self._begun < self._count:
            self._begun += 1
            threading.Thread(target=self._serve, daemon=True, name=f"{self._name}-{self._begun}").start()
        return future

    def _serve(self) -> None:
        while (act := self._calls.get()) is not None:
            act()

    def close(self) -> None:
        """Begin no more calls."""
        with contextlib.suppress(Empty):
            while True:
                self._calls.get_nowait()
        for _ in range(self._begun):
            self._calls.put(None)


class Process:
    """The loop of one daemon: `step` until told to stop."""

    def __init__(
        self,
        catalog: Catalog,
        executor: Executor,
        storage: Storage,
        *,
        owner: int,
        definitions: Callable[[], Mapping[str, Definition]],
        places: Callable[[], Mapping[str, str]],
        credentials: Callable[[int, int], Credentials] | None = None,
        logs: Path,
        collect_log: Callable[[str, int, int, Path], object],
        services: Mapping[str, Service] | None = None,
        chores: Callable[[], Mapping[tuple[str, str, str], Chore]] = dict,
        hooks: Sequence[Hook] = (),
        durable: bool = False,
        room: Callable[[], float] = lambda: math.inf,
        on_short: Callable[[], None] = lambda: None,
        only: Sequence[int] | None = None,
        listener: Callable[[Report, KindPlan, StagePlan, Claimed], None] | None = None,
    ) -> None:
        self._catalog, self._executor, self._storage = catalog, executor, storage
        self._owner, self._definitions, self._places = owner, definitions, places
        self._credentials = credentials
        self._logs, self._collect_log = logs, collect_log
        self._services, self._chores, self._hooks = services or {}, chores, hooks
        self._durable, self._room, self._listener = durable, room, listener
        self._on_short, self.short = on_short, ""
        self._held: dict[tuple[int, int], _Held] = {}
        self._news: set[tuple[int, int]] = set()
        self._futures: dict[Future[Report], _Held] = {}
        self._chore_futures: dict[Future[None], Claimed] = {}
        self._threads = Threads(_THREADS)
        self._pace, self._beat, self._looked = Pace(), time.monotonic(), 0.0
        self._clock, self._spread_looked = _offset(), 0.0
        self._only = only
        self._watch = catalog.watch()
        self.tally = Tally()
        self.progress: dict[tuple[int, int], _Held] = self._held

    # ---- the loop
    def step(self, timeout: float) -> bool:
        """Beat, claim what fits, take in what came back, do a part of a large change; returns whether anything happened.

        The beat comes before claims: after a pause (a machine that slept, a catalog that was away) no lease of ours has
        expired when they are made.
        """
        spread = time.monotonic() - self._spread_looked > _SPREAD_EVERY and self._spread()
        claimed = self._fill()
        busy = bool(self._held) or bool(self._futures) or bool(self._chore_futures)
        wait = (
            0.0
            if claimed or spread
            else min(timeout, 0.05 if self._futures or self._chore_futures else timeout)
        )
        came = self._take_in(self._executor.poll(wait) if busy else ())
        return spread or claimed or came or busy or self._spread()

    def _spread(self) -> bool:
        """One part of a change that touches very much work, whoever began it; False if there is none."""
        with self._catalog.read() as view:
            is_spreading = view.spreading()
        if is_spreading:
            self._catalog.write(lambda tx: tx.spread())
        else:
            self._spread_looked = time.monotonic()
        return is_spreading

    def wait(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds for a change by others; a hint."""
        return self._watch.wait(timeout)

    def idle(self) -> bool:
        """Whether this process holds nothing."""
        return not (self._held or self._futures or self._chore_futures)

    def drain(
        self,
        seconds: float = 30.0,
        *,
        given_up: Callable[[], bool] = lambda: False,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        """Give back what has not begun, finish what has, for at most `seconds` or until it is `given_up`."""
        self._executor.drain()
        end = time.monotonic() + seconds
        while not self.idle() and time.monotonic() < end and not given_up():
            self._take_in(self._executor.poll(0.05))
            self._heartbeat()
            tick()

    def close(self) -> None:
        """End the service threads; one that hangs, in an archive that does not answer, ends with the process."""
        self._threads.close()
        self._watch.close()

    # ---- claiming
    def _fill(self) -> bool:
        """Claim until nothing fits any more; before each claim no lease of ours has expired, whatever the clock did."""
        any_claimed = False
        while True:
            self._follow_clock()
            self._heartbeat()
            queues = self._open_queues()
            if not queues or not self._claim_first(queues):
                return any_claimed
            any_claimed = True

    def _open_queues(self) -> dict[tuple[str, str, str], tuple[KindPlan, StagePlan]]:
        """The queues that we could claim from now: those whose stage would find a free place, and room on disk."""
        found = {}
        threads = len(self._futures) + len(self._chore_futures)
        room = self._room()
        lacking: list[StagePlan] = []
        for definition in self._definitions().values():
            for kind in definition.kinds.values():
                for stage in kind.stages.values():
                    if stage.service:
                        is_free = threads < _THREADS
                    elif self._fits(stage, room) > 0:
                        is_free = self._executor.free(stage.resources) > 0
                    else:
                        is_free = False
                        lacking.append(stage)
                    if is_free:
                        found[stage.queue] = (kind, stage)
        self._mind_room(lacking, room)
        return found

    # ---- room on the disk
    def _fits(self, stage: StagePlan, room: float, view: View | None = None) -> int:
        """How many runs of a stage there is room for, in bytes above what must stay free."""
        if room < 0:
            return 0
        disk = stage.resources.disk
        if not disk or math.isinf(room):
            return LARGEST
        if view is None:
            with self._catalog.read() as looking:
                return self._fits(stage, room, looking)
        return max(0, int((room - declared(view, self._definitions())) // disk))

    def _mind_room(self, lacking: Sequence[StagePlan], room: float) -> None:
        """Where work waits for want of room, say so, and have what may go leave at once."""
        self.short = ""
        if lacking:
            with self._catalog.read() as view:
                waits = view.claimable([stage.queue for stage in lacking], only=self._only)
            names = {(queue.pipeline, queue.kind, queue.stage) for queue in waits}
            stages = [stage for stage in lacking if stage.queue in names]
            if stages:
                most = max(stages, key=lambda stage: stage.resources.disk)
                if most.resources.disk and room >= 0:
                    self.short = (
                        f"a run of {most.name} needs {most.resources.disk / 1e9:.2f} GB of disk, and "
                        f"{room / 1e9:.2f} GB are free above what must stay"
                    )
                self._on_short()

    def _claim_first(self, open_queues: Mapping[tuple[str, str, str], tuple[KindPlan, StagePlan]]) -> bool:
        """Claim from the best queue that gives something: priority first, then the deepest stage; False if none does."""
        chores = self._chores() if len(self._futures) + len(self._chore_futures) < _THREADS else {}
        with self._catalog.read() as view:
            queues = view.claimable(open_queues, only=self._only) + view.claimable(chores)
        for queue in sorted(queues, key=lambda q: self._rank(q, open_queues)):
            name = (queue.pipeline, queue.kind, queue.stage)
            if name in chores:
                if self._claim_chore(name, chores[name]):
                    return True
            elif self._claim_stage(*open_queues[name]):
                return True
        return False

    @staticmethod
    def _rank(
        queue: Queue, plans: Mapping[tuple[str, str, str], tuple[KindPlan, StagePlan]]
    ) -> tuple[int, int, float]:
        plan = plans.get((queue.pipeline, queue.kind, queue.stage))
        return -queue.priority, -(plan[1].depth if plan else 99), queue.due

    def _claim_stage(self, kind: KindPlan, stage: StagePlan) -> bool:
        size = 1 if stage.service else self._pace.size(stage.queue)

        def claim(tx: Transaction) -> list[Claimed]:
            fits = min(size, self._fits(stage, self._room(), tx)) if stage.resources.disk else size
            if fits < 1:
                return []
            return tx.claim(kind, stage, fits, lease=LEASE, owner=self._owner, only=self._only)

        # What runs declare of the disk is counted in the transaction that claims: no other may do so beside it.
        rows = self._catalog.write(claim, concurrent=not stage.resources.disk)
        if not rows:
            return False
        same = [row for row in rows if row.unchanged and self._intact(row, stage)]
        if same:
            self._complete(
                kind, stage, [(row, Report(row.work, row.token, Outcome.UNCHANGED)) for row in same]
            )
        done = {row.work for row in same}
        self._begin(kind, stage, [row for row in rows if row.work not in done])
        return True

    def _intact(self, claimed: Claimed, stage: StagePlan) -> bool:
        """Whether the outputs of finished work are there as the catalog says, by stat, or were let go."""
        if stage.service:
            return False
        with self._catalog.read() as view:
            products = view.products([claimed.item], stages=[stage.name], states=_STANDS)
        named = {product.output for product in products}
        whole = set(stage.outputs) - set(stage.optional_outputs) <= named
        return whole and all(self._is_as_said(one) for one in products if one.state is ProductState.CURRENT)

    def _is_as_said(self, product: Product) -> bool:
        return self._storage.stat(product.root, product.path, product.tree) == (
            product.size,
            product.mtime_ns,
        )

    def _begin(self, kind: KindPlan, stage: StagePlan, rows: Sequence[Claimed]) -> None:
        if not rows:
            return
        for row in rows:
            self._held[row.work, row.token] = _Held(row, kind, stage)
        if stage.service:
            for row in rows:
                held = self._held[row.work, row.token]
                self._futures[self._threads.submit(self._services[stage.service], kind, stage, row)] = held
            return
        batch = self._batch(kind, stage, rows)
        faults.point("process.claimed")
        self._executor.submit(batch)

    def _claim_chore(self, queue: tuple[str, str, str], chore: Chore) -> bool:
        rows = self._catalog.write(
            lambda tx: tx.claim_other(queue, 1, lease=LEASE, owner=self._owner), concurrent=True
        )
        for row in rows:
            self._chore_futures[self._threads.submit(chore, row)] = row
        return bool(rows)

    # ---- the batch that is handed over
    def _batch(self, kind: KindPlan, stage: StagePlan, rows: Sequence[Claimed]) -> Batch:
        places = self._places()
        layout = self._definitions()[kind.pipeline].layout
        folder = places["store"] + layout.format(pipeline=kind.pipeline, kind=kind.name, stage=stage.name)
        single = frozenset(plan.name for plan in stage.inputs if plan.form in ("one", "calibration"))
        names = [plan.name for plan in stage.inputs if plan.form in ("one", "many", "calibration")]
        former = self._former(stage, [row.item for row in rows if row.done_key is not None])
        tasks = [self._task(names, row, folder, places, former.get(row.item, ())) for row in rows]
        return Batch(
            kind.pipeline,
            kind.name,
            stage.name,
            stage.target,
            stage.params,
            stage.outputs,
            single,
            tasks,
            stage.optional_outputs,
            stage.resources,
            places["store"] if self._durable else "",
            stage.verify,
        )

    def _former(self, stage: StagePlan, items: Sequence[int]) -> dict[int, list[Product]]:
        found: dict[int, list[Product]] = {}
        if items:
            with self._catalog.read() as view:
                for product in view.products(items, stages=[stage.name]):
                    found.setdefault(product.item, []).append(product)
        return found

    def _task(
        self,
        names: Sequence[str],
        row: Claimed,
        folder: str,
        places: Mapping[str, str],
        former: Sequence[Product],
    ) -> Task:
        """`names` are the inputs that are products."""
        is_long = type(row.inputs) is Packed
        files: dict[str, Any] = {name: many_files() if is_long else [] for name in names}
        enter = file_values if is_long else task_file
        values = {}
        for given in row.inputs:
            if given.product is not None:
                files[given.name].append(
                    enter(given.product, given.item or row.item_key, places, given.value)
                )
            else:
                values[given.name] = given.value
        previous = {product.output: task_file(product, row.item_key, places) for product in former}
        place = f"{folder}/{ids.slug(row.item_key)}"
        credentials = self._credentials(row.work, row.token) if self._credentials else None
        return Task(row.work, row.token, row.item_key, place, files, values, previous, credentials)

    # ---- what comes back
    def _take_in(self, arrived: Iterable[Report | Progress]) -> bool:
        reports = [*self._service_reports()]
        for one in arrived:
            if isinstance(one, Progress):
                self._note(one)
            else:
                reports.append(one)
        self._end_chores()
        groups: dict[
            int, list[tuple[Claimed, Report]]
        ] = {}  # by stage as it was claimed: a snapshot ends as itself
        plans: dict[int, tuple[KindPlan, StagePlan]] = {}
        for report in reports:
            held = self._held.pop((report.work, report.token), None)
            if held is not None:
                snapshot = id(held.stage)
                groups.setdefault(snapshot, []).append((held.claimed, report))
                plans[snapshot] = held.kind, held.stage
        for snapshot, pairs in groups.items():
            for part in _parts(pairs):
                self._complete(*plans[snapshot], part)
        return bool(groups)

    def _service_reports(self) -> list[Report]:
        found = []
        for future in [future for future in self._futures if future.done()]:
            held = self._futures.pop(future)
            error = future.exception()
            if error is not None:
                log.error("service failed", exc_info=error)
                claimed = held.claimed
                found.append(
                    Report(
                        claimed.work, claimed.token, Outcome.FAILED, error=f"{type(error).__name__}: {error}"
                    )
                )
            else:
                found.append(future.result())
        return found

    def _end_chores(self) -> None:
        for future in [future for future in self._chore_futures if future.done()]:
            claimed = self._chore_futures.pop(future)
            error = future.exception()
            if error is not None:
                text = f"{type(error).__name__}: {error}"
                log.error("chore failed: %s", text, exc_info=error)
                self._catalog.write(lambda tx, c=claimed, t=text: tx.finish(c, error=t), concurrent=True)  # type: ignore[misc]

    def _note(self, progress: Progress) -> None:
        held = self._held.get((progress.work, progress.token))
        if held is not None:
            held.fraction, held.note = progress.fraction, progress.note
            self._news.add((progress.work, progress.token))
            if progress.log:
                held.log = progress.log, progress.begin

    def _complete(self, kind: KindPlan, stage: StagePlan, pairs: Sequence[tuple[Claimed, Report]]) -> None:
        pairs = [(claimed, self._keep_log(report) if report.log else report) for claimed, report in pairs]
        definition = self._definitions()[kind.pipeline]

        def transact(tx: Transaction) -> Finished:
            finished = tx.complete(kind, stage, pairs)
            for hook in self._hooks:
                hook(tx, definition, kind, stage, [item for _, item in finished.done])
            return finished

        faults.point("process.complete")
        finished = self._catalog.write(transact, concurrent=_is_concurrent(definition, kind, stage, pairs))
        self.tally.add(finished)
        if finished.orphans:
            self._remove_orphans(stage, pairs, finished.orphans)
        ran = [report for _, report in pairs if report.seconds > 0]
        if ran:
            seconds = sum(report.seconds for report in ran)
            self._pace.learn(stage.queue, seconds, len(ran), max(report.seconds for report in ran))
            self.tally.seconds += seconds
        if self._listener:
            for claimed, report in pairs:
                self._listener(report, kind, stage, claimed)

    def _remove_orphans(
        self, stage: StagePlan, pairs: Sequence[tuple[Claimed, Report]], orphans: Sequence[str]
    ) -> None:
        """Remove bytes that were made again for nothing, if those they equal are really there."""
        owners = {output.path: claimed.item for claimed, report in pairs for output in report.outputs}
        with self._catalog.read() as view:
            kept = view.products(sorted({owners[path] for path in orphans}), stages=[stage.name])
        doubted = {product.item for product in kept if not self._is_as_said(product)}
        for path in orphans:
            if owners[path] not in doubted:
                self._remove(Path(path), in_folder=len(stage.outputs) > 1)

    def _remove(self, path: Path, *, in_folder: bool) -> None:
        """Remove an output that was made for nothing, and the run's own folder with the last one."""
        self._storage.remove(path)
        if in_folder:
            with contextlib.suppress(OSError):  # other outputs are in it
                path.parent.rmdir()

    def _keep_log(self, report: Report) -> Report:
        """Copy a run's part of its worker's log to the site's logs; a result is worth more than that."""
        assert report.log is not None
        file, begin, end = report.log
        target = self._logs / f"{report.work // 1000:04d}" / f"{report.work}.{report.token}.log"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._collect_log(file, begin, end, target)
        except OSError as error:
            log.error("log not kept: run %s.%s: %s", report.work, report.token, error)
            return replace(report, log=None)
        return replace(report, log=(str(target.relative_to(self._logs)), 0, end - begin))

    # ---- leases
    def _follow_clock(self) -> None:
        """When the clock was set or the machine slept: move what is due, and extend our leases now."""
        step = _offset() - self._clock
        if abs(step) < _SET:
            return
        self._clock, self._beat = self._clock + step, -LEASE
        if step < 0:
            self._catalog.write(lambda tx: tx.follow_clock())

    def _heartbeat(self) -> None:
        """Extend leases in time, tell how running attempts get on, and end what others stopped or took over."""
        now = time.monotonic()
        is_due = now - self._beat >= LEASE / 4
        has_news = bool(self._news) and now - self._looked >= _TOLD
        if not (is_due or has_news) and (now - self._looked < 0.5 or not self._watch.wait(0.0)):
            return
        self._looked = now
        services = [(claimed.work, claimed.token) for claimed in self._chore_futures.values()]
        runs = [*self._held, *services]
        if not runs:
            return
        self._beat = now
        news = {run: held for run in self._news if (held := self._held.get(run))}
        progress = {work: (held.fraction, held.note, held.place) for (work, _), held in news.items()}
        self._news.clear()
        lost = self._catalog.write(lambda tx: tx.heartbeat(runs, LEASE, progress), concurrent=True)
        if lost:
            self._executor.stop(lost)


def _parts(pairs: Sequence[tuple[Claimed, Report]]) -> Iterator[list[tuple[Claimed, Report]]]:
    """What came back, in order, in parts that each write no more features than a transaction may."""
    part: list[tuple[Claimed, Report]] = []
    room = FEATURES_AT_ONCE
    for pair in pairs:
        count = sum([len(found.longitudes) for found in pair[1].features])
        if part and count > room:
            yield part
            part, room = [], FEATURES_AT_ONCE
        part.append(pair)
        room -= count
    yield part


def _is_concurrent(
    definition: Definition, kind: KindPlan, stage: StagePlan, pairs: Sequence[tuple[Claimed, Report]]
) -> bool:
    """Whether completing these touches nothing but their own items: no group forms, no input was found bad."""
    return not definition.groups_of(kind.name, stage.name) and not any(report.changed for _, report in pairs)


def declared(view: View, definitions: Mapping[str, Definition]) -> int:
    """The bytes that the runs which go on, of any process, are expected to write in all."""
    stages = {
        stage.queue: stage.resources.disk
        for definition in definitions.values()
        for kind in definition.kinds.values()
        for stage in kind.stages.values()
    }
    return sum(stages.get(queue, 0) * count for queue, count in view.at_work().items())


def _offset() -> float:
    """The clock against the one that nobody sets, seconds: it changes when the clock is set or the machine slept."""
    return clock.now() - time.monotonic()


def task_file(
    product: Product, item: str, places: Mapping[str, str], told: Mapping[str, Any] | None = None
) -> TaskFile:
    """A product as a run reads it, with what the run is told of it."""
    return TaskFile(*file_values(product, item, places, told))


def file_values(
    product: Product, item: str, places: Mapping[str, str], told: Mapping[str, Any] | None = None
) -> tuple[Any, ...]:
    """The values of `task_file`."""
    more = (told,) if told else ()
    return (
        places[product.root] + product.path,
        product.type,
        item,
        product.part,
        product.size,
        product.mtime_ns,
        product.sha256.hex(),
        product.tree,
        product.id,
        product.stage,
        product.output,
        *more,
    )
