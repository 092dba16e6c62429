"""The loop of claims and completions: batches, leases, what comes back late, and what needs nothing."""

import contextlib
import itertools
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from plainpipe.site import make, notes, states

from towpath import Site
from towpath.adapters.executors.inline import InlineExecutor
from towpath.base.model import Features
from towpath.base.states import Outcome
from towpath.contracts.catalog import Claimed
from towpath.contracts.definition import KindPlan, StagePlan
from towpath.contracts.executor import Batch, Progress, Report, Resources
from towpath.flow.process import AIM, LARGEST, LEASE, Pace, Process
from towpath.testing.content import torn

QUEUE = ("plain", "note", "write")


# ---- batches


def test_batches_begin_with_one_and_grow_to_the_aim():
    pace = Pace()
    sizes = []
    for _ in range(8):
        size = pace.size(QUEUE)
        sizes.append(size)
        pace.learn(QUEUE, size * 0.002, size)
    assert sizes[0] == 1
    assert all(after <= 4 * before for before, after in itertools.pairwise(sizes))
    assert sizes[-1] == int(AIM / 0.002)
    for _ in range(8):
        pace.learn(QUEUE, 1e-6, 1)
    for _ in range(4):
        pace.size(QUEUE)
    assert pace.size(QUEUE) == LARGEST
    for _ in range(20):
        pace.learn(QUEUE, 60.0, 1)
    assert pace.size(QUEUE) == 1
    assert pace.size(("plain", "note", "hash")) == 1


# ---- a process by hand


class Slow:
    """An executor that keeps its batches until it is told to work."""

    name, attributable = "slow", False

    def __init__(self, inner: InlineExecutor) -> None:
        self.inner, self.batches, self.stopped = inner, list[Batch](), list[tuple[int, int]]()
        self.works = True

    def free(self, resources: Resources) -> int:
        return self.inner.free(resources)

    def submit(self, batch: Batch) -> None:
        self.batches.append(batch)
        self.inner.submit(batch)

    def poll(self, timeout: float) -> Iterable[Report | Progress]:
        return self.inner.poll(0.0) if self.works else []

    def stop(self, runs: Iterable[tuple[int, int]]) -> None:
        self.stopped += list(runs)
        self.inner.stop(self.stopped)
        self.works = True

    def running(self) -> Sequence[tuple[int, int]]:
        return self.inner.running()

    def drain(self) -> None:
        self.inner.drain()
        self.works = True

    def close(self) -> None:
        self.inner.close()


@pytest.fixture
def site(tmp_path: Path):
    make(tmp_path, executor="inline")
    with Site.open(tmp_path) as site:
        yield site


@pytest.fixture
def executor(tmp_path: Path):
    executor = Slow(InlineExecutor(tmp_path / "logs"))
    yield executor
    executor.close()


def process_of(site: Site, executor: Slow, **more: object) -> Process:
    owner = site.catalog.write(lambda tx: tx.open_session("here", 1, "/none", attributable=False))
    return Process(
        site.catalog,
        executor,
        site.storage,
        owner=owner,
        definitions=lambda: site.definitions,
        places=lambda: {name: f"{place}/" for name, place in site.settings.roots.items()},
        logs=site.folder / "logs",
        collect_log=lambda *_: None,
        **more,
    )


def work(process: Process, steps: int = 200) -> None:
    for _ in range(steps):
        if not process.step(0.0):
            return
    raise AssertionError("it does not come to rest")


def test_work_is_claimed_deepest_first_and_completed(site: Site, executor: Slow):
    site.submit("note", notes(1)[:3])
    process = process_of(site, executor)
    assert process.idle()
    work(process)
    assert process.idle()
    assert process.tally.runs == {Outcome.DONE: 6}
    assert process.tally.seconds > 0
    first = [batch.stage for batch in executor.batches[:2]]
    assert first == ["write", "hash"]  # what is nearer to its end goes first
    assert torn(site) == []


def test_priority_comes_before_depth(site: Site, executor: Slow):
    site.submit("note", notes(1)[:2])
    site.submit("note", [{"key": "urgent", "attributes": {"set": "x"}}], priority=5)
    process = process_of(site, executor)
    work(process)
    assert executor.batches[0].tasks[0].item == "urgent"
    assert executor.batches[1].tasks[0].item == "urgent"


def test_a_batch_says_all_that_a_run_may_know(site: Site, executor: Slow):
    site.submit("note", notes(1)[:1])
    process = process_of(site, executor, durable=True)
    work(process)
    write, hash_ = executor.batches
    assert (write.target, write.single) == ("plainpipe.stages:Write", frozenset())
    assert write.flush_below == f"{site.folder}/store/"
    assert write.tasks[0].values["record"]["attributes"]["text"] == "note 0 of set 0"
    assert write.tasks[0].place == f"{site.folder}/store/plain/note/write/n000-0"
    assert hash_.single == {"text"}
    (file,) = hash_.tasks[0].files["text"]
    assert Path(file.path).is_file() and (file.stage, file.output, file.item) == ("write", "text", "n000-0")
    assert hash_.tasks[0].previous == {}
    site.rerun("n000-0", "hash")
    work(process)
    assert executor.batches[-1].tasks[0].previous == {}  # forced: nothing former is trusted


def test_a_run_with_other_parameters_is_given_the_former_product(site: Site, executor: Slow):
    site.submit("note", notes(1)[:1])
    work(process_of(site, executor))
    file = site.folder / "towpath.toml"
    file.write_text(
        file.read_text() + "[pipelines.plain.override.items.note.stages.hash]\nparams = { length = 8 }\n"
    )
    with Site.open(site.folder) as again:
        again.apply()
        work(process_of(again, executor))
        former = Path(executor.batches[-1].tasks[0].previous["hash"].path)
        assert len(former.read_text()) == 65


def test_work_that_another_took_is_stopped_and_its_report_dropped(site: Site, executor: Slow):
    site.submit("note", notes(1)[:1])
    process = process_of(site, executor)
    executor.works = False
    process.step(0.0)
    site.stop("n000-0", why="not now")
    deadline = time.monotonic() + 30
    while not executor.stopped and time.monotonic() < deadline:
        process.step(0.01)
    assert executor.stopped == [(1, 1)]
    work(process)
    assert states(site, "n000-0") == {"write": "stopped", "hash": "stopped"}
    assert [run.outcome.value for run in site.runs("n000-0")] == ["stopped"]


def test_leases_are_extended_while_work_runs(site: Site, executor: Slow, monkeypatch: pytest.MonkeyPatch):
    site.submit("note", notes(1)[:1])
    process = process_of(site, executor)
    executor.works = False
    process.step(0.0)
    before = site.show("n000-0").work[0].due
    process._beat -= LEASE  # a quarter of a lease went by
    process.step(0.0)
    assert site.show("n000-0").work[0].due > before
    executor.works = True
    work(process)
    assert states(site, "n000-0")["hash"] == "done"


def test_what_has_not_begun_is_given_back_when_it_drains(site: Site, executor: Slow):
    site.submit("note", notes(1))
    process = process_of(site, executor)
    executor.works = False
    process.step(0.0)
    process.drain()
    assert process.idle()
    rows = [row for item in site.items() for row in site.show(item.name).work if row.stage == "write"]
    assert {row.state.value for row in rows} == {"ready"}
    assert {(row.deaths, row.attempts) for row in rows} == {(0, 0)}


def test_draining_can_be_given_up(site: Site, executor: Slow):
    site.submit("note", notes(1))
    process = process_of(site, executor)
    executor.works = False
    process.step(0.0)
    executor.drain = lambda: None  # type: ignore[method-assign]  # nothing comes back
    started = time.monotonic()
    process.drain(60.0, given_up=lambda: time.monotonic() - started > 0.1)
    assert time.monotonic() - started < 30
    assert not process.idle()


class Finding(Slow):
    """An executor whose runs of the first stage find so many features each, and end all at once."""

    sizes = (30, 40, 40, 0, 200, 0, 50)

    def free(self, resources: Resources) -> int:
        return 1

    def poll(self, timeout: float) -> Iterable[Report | Progress]:
        ended: list[Report | Progress] = []
        while self.works and (more := list(self.inner.poll(0.0))):
            ended += more
        return [replace(one, features=self._found(one.work)) for one in ended if isinstance(one, Report)]

    def _found(self, work: int) -> tuple[Features, ...]:
        size = self.sizes[work // 2 % len(self.sizes)]
        return (Features("source", "icrs", (1.0,) * size, (2.0,) * size),) if size else ()


def test_runs_with_many_features_end_in_several_transactions(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """None writes more than it may, but for what one run found, which is written whole; nothing is lost."""
    monkeypatch.setattr("towpath.flow.process.FEATURES_AT_ONCE", 100)
    items = site.submit("note", notes(2)[:7])
    with contextlib.closing(Finding(InlineExecutor(tmp_path / "logs"))) as executor:
        process = process_of(site, executor)
        complete, written = process._complete, list[list[int]]()

        def watched(kind: KindPlan, stage: StagePlan, pairs: Sequence[tuple[Claimed, Report]]) -> None:
            written.append([sum(len(one.longitudes) for one in report.features) for _, report in pairs])
            complete(kind, stage, pairs)

        monkeypatch.setattr(process, "_complete", watched)
        executor.works = False
        for _ in range(20):
            process.step(0.0)
        assert len(process.progress) == len(items)
        executor.works = True
        work(process)
    assert all(sum(sizes) <= 100 or sizes == [200] for sizes in written)
    assert max(map(len, written)) > 1
    assert len(site.features(limit=10_000)) == sum(map(sum, written)) > sum(Finding.sizes)


def test_unchanged_work_needs_no_run(site: Site, executor: Slow):
    site.submit("note", notes(1)[:1])
    process = process_of(site, executor)
    work(process)
    item = site.items()[0].name
    with site.catalog.read() as view:
        rows = [row.id for row in view.work([site.items()[0].id])[site.items()[0].id]]
    site.catalog.write(lambda tx: tx.revise(rows[:1], "looked at again"))
    count = len(executor.batches)
    work(process)
    assert len(executor.batches) == count
    assert process.tally.runs == {Outcome.DONE: 2, Outcome.UNCHANGED: 2}
    assert len(site.runs(item)) == 2
    site.place(site.show(item).products[0]).unlink()
    site.catalog.write(lambda tx: tx.revise(rows[:1], "looked at again"))
    work(process)
    assert len(executor.batches) == count + 1  # it was not there
    assert torn(site) == []


def test_a_service_that_fails_is_a_failed_run(tmp_path: Path, site: Site, executor: Slow):
    def broken(*_: object) -> Report:
        raise RuntimeError("no archive today")

    site.submit("note", notes(1))
    process = process_of(site, executor, services={"publish": broken}, hooks=[_gather])
    deadline = time.monotonic() + 30
    while process.step(0.01) and time.monotonic() < deadline:
        pass
    assert states(site, "set-000") == {"@gather": "done", "collect": "done", "publish": "failed"}
    assert site.show("set-000").work[-1].note == "RuntimeError: no archive today"
    process.close()


def _gather(tx, definition, kind, stage, items) -> None:
    from towpath.flow import group  # optional: what the site does after each stage

    group.gather(tx, definition, kind.name, stage.name, items)


def test_a_chore_that_fails_is_told_on_its_row(site: Site, executor: Slow):
    queue = ("", "sweep", "")
    number = site.catalog.write(lambda tx: tx.add_work(queue))

    def broken(claimed: object) -> None:
        raise OSError("the disk is away")

    process = process_of(site, executor, chores=lambda: {queue: broken})
    deadline = time.monotonic() + 30
    while process.step(0.01) and time.monotonic() < deadline:
        pass
    with site.catalog.read() as view:
        row = view.work_row(number)
    assert (row.state.value, row.note) == ("failed", "OSError: the disk is away")
    process.close()


def test_a_log_that_cannot_be_kept_does_not_cost_the_result(site: Site, executor: Slow):
    process = process_of(site, executor)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    process._collect_log = full
    report = Report(1, 1, Outcome.DONE, log=("worker.log", 0, 10))
    assert process._keep_log(report) == replace(report, log=None)


def test_progress_of_what_runs_is_known(site: Site, executor: Slow):
    site.submit("note", notes(1)[:1])
    process = process_of(site, executor)
    executor.works = False
    process.step(0.0)
    process._take_in([Progress(1, 1, 0.5, "half", "worker.log", 3), Progress(99, 1, 0.1, "whose?")])
    (held,) = process.progress.values()
    assert (held.fraction, held.note, held.log) == (0.5, "half", ("worker.log", 3))
    process._beat -= LEASE
    process.step(0.0)
    assert site.show("n000-0").work[0].progress == 0.5
    executor.works = True
    work(process)


def test_none_waits_behind_a_run_that_took_long() -> None:
    pace, queue = Pace(), ("plain", "note", "copy")
    for _ in range(5):
        pace.size(queue)
        pace.learn(queue, 0.01, 10, 0.002)
    assert pace.size(queue) > 100
    pace.learn(queue, 5.0, 10, 4.9)
    assert pace.size(queue) == 1
    for _ in range(100):
        pace.learn(queue, 0.001, 1, 0.001)
        pace.size(queue)
    assert pace.size(queue) > 1
