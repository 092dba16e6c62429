"""The pool of worker processes: whatever a run does costs its worker, is told as it was, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import astuple, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from batches_for_tests import (
    STAGES,
    batch_of,
    collect,
    hidden,
    is_alive,
    log_of,
    names,
    task_file,
    tasks_of,
    wait_until,
)

from towpath.adapters.executors import guard, local, worker
from towpath.adapters.executors.board import Board, Snapshot, create
from towpath.adapters.executors.local import LocalExecutor
from towpath.adapters.executors.logs import collect_log
from towpath.adapters.executors.processes import describe_exit
from towpath.base.errors import SiteError
from towpath.base.packed import PAGE
from towpath.base.states import Outcome
from towpath.contracts.executor import Executor, Progress, Report, Resources, many_files

TEXT = {"text": "text"}
Pool = Callable[..., LocalExecutor]


def family(pools: list[LocalExecutor]) -> set[int]:
    """The living processes below this one, and those that carry the marker of a pool."""
    below = {child.pid for child in psutil.Process().children(recursive=True) if is_alive(child.pid)}
    return below.union(*(guard.belonging(one._marker, set()) for one in pools))


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    """Give a function that makes a pool; no process and no staging is left when the test ends."""
    before = family([])
    pools: list[LocalExecutor] = []

    def make(cores: int = 1, **fields: Any) -> LocalExecutor:
        pools.append(LocalExecutor(tmp_path / "logs", cores, sys_path=[str(STAGES)], **fields))
        return pools[-1]

    yield make
    for one in pools:
        one.close()
    wait_until(lambda: family(pools) <= before)
    assert hidden(tmp_path / "store") == []


def outcomes(reports: list[Report]) -> dict[int, str]:
    assert len({report.work for report in reports}) == len(reports)
    return {report.work: report.outcome.value for report in reports}


# ---- what comes back


def test_it_is_an_executor_that_never_runs_user_code_itself(pool: Pool) -> None:
    executor: Executor = pool()
    assert (executor.name, executor.attributable) == ("local", False)


def test_reports_come_back_in_order_with_what_was_made(pool: Pool, tmp_path: Path) -> None:
    raw = tmp_path / "raw.txt"
    raw.write_text("data")
    tasks = tasks_of(tmp_path / "store", [f"i{n}" for n in range(256)], files={"raw": [task_file(raw)]})
    executor = pool()
    executor.submit(batch_of("Copy", tasks, {"copy": "text"}, single=["raw"], params={"suffix": "!"}))
    assert len(executor.running()) == 256
    reports = collect(executor, 256)
    assert [report.work for report in reports] == list(range(1, 257))
    assert {report.outcome for report in reports} == {Outcome.DONE}
    assert {Path(report.outputs[0].path).read_text() for report in reports} == {"data!"}
    assert {report.log for report in reports} == {None}
    assert executor.running() == []


def test_reports_do_not_wait_for_the_next_run(pool: Pool, tmp_path: Path) -> None:
    executor = pool()
    executor.submit(batch_of("Write", tasks_of(tmp_path / "store", ["a", "b"]), TEXT, params={"sleep": 2.0}))
    collect(executor, 1)
    assert len(executor.running()) == 1
    collect(executor, 1)


def test_every_outcome_of_user_code_comes_through(pool: Pool, tmp_path: Path) -> None:
    executor = pool()
    kinds = ["reject", "transient", "memory", "exit", "interrupt", "value"]
    for kind in kinds:
        executor.submit(batch_of("Raises", tasks_of(tmp_path / "store", [kind]), TEXT, params={"kind": kind}))
    reports = collect(executor, len(kinds))
    assert [report.outcome.value for report in reports] == ["rejected", "transient", *["failed"] * 4]
    assert len({report.worker for report in reports}) == 1
    assert log_of(reports[-1]).endswith("ValueError: no such column: g\n")


def test_a_stage_that_cannot_be_loaded_fails_its_runs(pool: Pool, tmp_path: Path) -> None:
    executor = pool()
    executor.submit(batch_of("no_such_module:X", tasks_of(tmp_path / "store", "ab"), TEXT))
    reports = collect(executor, 2)
    assert {report.outcome for report in reports} == {Outcome.FAILED}
    assert log_of(reports[0]).endswith("No module named 'no_such_module'\n")


def test_a_worker_imports_little() -> None:
    script = "import sys, towpath.adapters.executors.worker; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"sqlalchemy", "rich", "typer", "alembic", "psutil", "numpy"}


# ---- logs


def test_every_way_of_output_lands_in_the_log_of_its_run(pool: Pool, tmp_path: Path) -> None:
    executor = pool()
    executor.submit(batch_of("Speaks", tasks_of(tmp_path, "ab"), {}))
    reports = collect(executor, 2)
    for report in reports:
        log = log_of(report)
        for line in ("from print\n", "from stderr\n", "INFO towpath.stage.test.speaks: from logging\n", "from C\n",
                     "from C without a newline", "from a subprocess\n", "at the end"):  # fmt: skip
            assert log.count(line) == 1
    assert reports[0].log is not None
    assert reports[1].log is not None
    assert reports[0].log[2] == reports[1].log[1]


def test_the_log_of_a_running_run_can_be_followed(pool: Pool, tmp_path: Path) -> None:
    executor = pool()
    executor.submit(batch_of("Progresses", tasks_of(tmp_path, "a"), {}, params={"seconds": 1.2}))
    told: list[Progress] = []

    def look(one: Progress) -> None:
        told.append(one)
        # Without a fraction it only says that the run has begun, which may be before its first line.
        if one.fraction is not None:
            assert Path(one.log).read_bytes()[one.begin :].startswith(b"has begun\n")

    (report,) = collect(executor, 1, each=look)
    assert report.log is not None
    assert {(one.work, one.token, one.log, one.begin) for one in told} == {(1, 1, *report.log[:2])}
    of_the_run = [one.fraction for one in told if one.fraction is not None]
    assert 2 <= len(of_the_run) <= 7  # of more than a hundred that it tells
    assert of_the_run == sorted(of_the_run)


def test_a_long_run_that_tells_nothing_is_announced(pool: Pool, tmp_path: Path) -> None:
    executor = pool()
    gate = tmp_path / "gate"
    params = {"gate": str(gate), "sleep": 0.5}
    executor.submit(batch_of("Waits", tasks_of(tmp_path / "store", "a"), TEXT, params=params))
    told: list[Progress] = []

    def look(one: Progress) -> None:
        told.append(one)
        gate.touch()

    collect(executor, 1, each=look)
    assert [(one.work, one.fraction, one.begin) for one in told] == [(1, None, 0)]


@pytest.mark.parametrize("sleep", [0.0, 3600.0])
def test_a_flood_of_output_fails_the_run_and_is_cut(sleep: float, pool: Pool, tmp_path: Path) -> None:
    executor = pool(log_limit=2_000_000)
    params = {"megabytes": 40, "then_sleep": sleep}
    executor.submit(batch_of("Floods", tasks_of(tmp_path, "a"), {}, params=params))
    (report,) = collect(executor, 1)
    assert (report.outcome, report.error) == (Outcome.FAILED, "log limit: wrote more than 2 MB to its log")
    assert report.log is not None
    assert (report.log[1:], Path(report.log[0]).stat().st_size) == ((0, 2_000_000), 2_000_000)


def test_a_worker_goes_on_in_a_new_log_and_the_old_one_goes_later(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = pool(env={"PYTHONPATH": str(STAGES)})
    reports = []
    for key in "abc":
        batch = batch_of("Floods", tasks_of(tmp_path, [key]), {}, params={"megabytes": 20})
        executor.submit(batch)
        reports += collect(executor, 1)
    files = [report.log[0] for report in reports if report.log]
    assert len(set(files)) == 3
    target = tmp_path / "runs" / "a.log"
    assert collect_log(*reports[0].log, target) == 20_000_000  # type: ignore[misc]  # it is not None
    monkeypatch.setattr(local, "_GRACE", 0.0)
    wait_until(lambda: executor.poll(0.05) == [] and not Path(files[0]).exists())
    assert target.stat().st_size == 20_000_000


def test_the_logs_of_pools_that_are_gone_are_swept(pool: Pool, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    gone = subprocess.Popen(["true"])
    gone.wait()
    for name in (f"worker-{gone.pid}-x-1.0.log", f"worker-{os.getpid()}-x-1.0.log", "other.log"):
        (tmp_path / "logs" / name).touch()
    pool()
    assert names(tmp_path / "logs") == ["other.log", f"worker-{os.getpid()}-x-1.0.log"]


def test_logs_of_other_machines_stay_for_a_month(tmp_path: Path) -> None:
    beside, own = tmp_path / "another", tmp_path / "logs"
    beside.mkdir()
    for folder in (tmp_path, beside):
        for name, days in (("worker-1-x-1.0.log", 31), ("worker-2-x-1.0.log", 29), ("other.log", 31)):
            (folder / name).touch()
            os.utime(folder / name, (then := time.time() - days * 86400, then))
    (left := tmp_path / "left").mkdir()
    (left / "worker-1-x-1.0.log").touch()
    os.utime(left / "worker-1-x-1.0.log", (0, 0))
    with LocalExecutor(own, 1):
        pass
    assert not left.exists()
    for folder in (tmp_path, beside):
        assert {path.name for path in folder.glob("*.log")} == {"worker-2-x-1.0.log", "other.log"}


# ---- deaths


@pytest.mark.parametrize(
    ("of", "error"),
    [
        ("segfault", "segmentation fault (SIGSEGV)"),
        ("exit", "exited with status 3"),
        ("kill", "killed by SIGKILL (perhaps out of memory)"),
        ("abort", "aborted (SIGABRT)"),
        ("close", "closed file descriptors of its worker"),
    ],
)
def test_a_death_is_told_as_it_was_and_costs_one_run(of: str, error: str, pool: Pool, tmp_path: Path) -> None:
    executor = pool()
    keys = ["a", "b", "poison", "d", "e"]
    executor.submit(batch_of("Dies", tasks_of(tmp_path / "store", keys), TEXT, params={"of": of}))
    executor.submit(batch_of("Write", tasks_of(tmp_path / "store", [*keys, "f"])[5:], TEXT))
    reports = collect(executor, 6)
    ended = outcomes(reports)
    assert ended[3] == "lost"
    assert {ended[4], ended[5]} == {"drained"}
    assert {ended[1], ended[2]} <= {"done", "drained"}
    (lost,) = [report for report in reports if report.work == 3]
    assert lost.error == error
    assert log_of(lost).startswith("about to die\n")
    assert (of == "segfault") == ("Fatal Python error: Segmentation fault" in log_of(lost))
    assert lost.worker
    assert 0 <= lost.seconds < 30
    again = [task for task in tasks_of(tmp_path / "store", keys) if ended[task.work] == "drained"]
    executor.submit(batch_of("Write", [task for task in again if task.work > 3], TEXT))
    assert set(outcomes(collect(executor, 2)).values()) == {"done"}


@pytest.mark.parametrize("keys", [["poison"], ["a", "b", "poison"]])
def test_a_death_between_a_run_and_its_report_costs_a_run_too(
    keys: list[str], pool: Pool, tmp_path: Path
) -> None:
    executor = pool()
    executor.submit(batch_of("Detaches", tasks_of(tmp_path / "store", keys), TEXT))
    reports = collect(executor, len(keys))
    (lost,) = [report for report in reports if report.outcome is Outcome.LOST]
    assert lost.error == "closed file descriptors of its worker"
    assert lost.worker
    assert lost.began > 0
    assert {report.outcome.value for report in reports if report is not lost} <= {"done", "drained"}
    executor.submit(batch_of("Write", tasks_of(tmp_path / "next", "a"), TEXT))
    assert collect(executor, 1)[0].outcome is Outcome.DONE


def test_one_poison_among_256_costs_one_run(pool: Pool, tmp_path: Path) -> None:
    executor = pool(2)
    keys = [f"i{n}" for n in range(256)]
    keys[100] = "poison"
    left = {task.work: task for task in tasks_of(tmp_path / "store", keys)}
    ended: Counter[str] = Counter()
    token = 1
    while left:
        tasks = [type(task)(task.work, token, task.item, task.place) for task in left.values()]
        executor.submit(batch_of("Dies", tasks, TEXT))
        for report in collect(executor, len(tasks)):
            if report.outcome is not Outcome.DRAINED:
                ended[report.outcome.value] += 1
                del left[report.work]
        token += 1
    assert ended == {"done": 255, "lost": 1}
    assert token == 3


def set_on(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let pools believe that it is so much later."""
    monkeypatch.setattr(local, "time", clock := SimpleNamespace(**vars(time)))
    clock.monotonic = lambda: time.monotonic() + seconds


def test_a_time_limit_ends_only_the_run_that_exceeds_it(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = pool()
    need = Resources(seconds=600.0)
    tasks = tasks_of(tmp_path / "store", ["a", "poison", "c"])
    executor.submit(batch_of("Dies", tasks, TEXT, params={"of": "hang"}, resources=need))
    reports = collect(executor, 3, each=lambda one: set_on(monkeypatch, 601.0 if one.work == 2 else 0.0))
    assert outcomes(reports) == {1: "done", 2: "lost", 3: "drained"}
    assert reports[1].error == "exceeded its time limit of 600 s"


def test_a_time_limit_holds_where_the_interpreter_is_locked(pool: Pool, tmp_path: Path) -> None:
    executor = pool()
    need = Resources(seconds=0.4)
    executor.submit(
        batch_of(
            "Dies", tasks_of(tmp_path / "store", ["poison"]), TEXT, params={"of": "hang in C"}, resources=need
        )
    )
    assert collect(executor, 1)[0].error == "exceeded its time limit of 0.4 s"


@pytest.mark.parametrize("of", ["memory", "memory of children"])
def test_a_memory_limit_holds_for_a_run_and_its_children(of: str, pool: Pool, tmp_path: Path) -> None:
    executor = pool()
    need = Resources(memory=200_000_000)
    tasks = tasks_of(tmp_path / "store", ["a", "poison"])
    executor.submit(batch_of("Dies", tasks, TEXT, params={"of": of}, resources=need))
    reports = collect(executor, 2)
    assert outcomes(reports) == {1: "done", 2: "lost"}
    assert reports[1].error.startswith("exceeded its memory limit of 200 MB (")
    assert int(reports[1].error.split("(")[1].split()[0]) >= 200


def test_a_worker_full_of_what_it_kept_is_replaced_before_a_limited_batch(pool: Pool, tmp_path: Path) -> None:
    executor = pool()
    workers = []
    for limit in (0, 1_000_000_000, 50_000_000):
        tasks = tasks_of(tmp_path / "store", [f"i{limit}"])
        executor.submit(batch_of("Threads", tasks, {}, resources=Resources(memory=limit)))
        workers += [report.worker for report in collect(executor, 1)]
    assert workers[0] == workers[1] != workers[2]


def test_a_worker_that_dies_idle_is_replaced(pool: Pool, tmp_path: Path) -> None:
    executor = pool()
    executor.submit(batch_of("Write", tasks_of(tmp_path / "store", "a"), TEXT))
    (report,) = collect(executor, 1)
    os.kill(int(report.worker.rpartition("/")[2]), signal.SIGKILL)
    assert executor.poll(0.3) == []
    executor.submit(batch_of("Write", tasks_of(tmp_path / "store", "b"), TEXT))
    assert collect(executor, 1)[0].outcome is Outcome.DONE


def test_workers_that_cannot_start_are_an_error_with_their_words(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("towpath.adapters.executors.child._MODULE", "no_such_worker")
    executor = pool()
    with pytest.raises(SiteError, match=r"workers cannot be started; the last one said: .*no_such_worker"):
        for _ in range(5):
            executor.submit(batch_of("Write", tasks_of(tmp_path / "store", "a"), TEXT))
            assert [report.outcome for report in collect(executor, 1)] == [Outcome.DRAINED]
    monkeypatch.undo()
    assert collect(executor, 1)[0].outcome is Outcome.DONE


@pytest.mark.parametrize("what", ["stdout", "fd 1", "replaced"])
def test_a_run_that_closes_its_streams_does_not_harm_the_next(what: str, pool: Pool, tmp_path: Path) -> None:
    executor = pool()
    executor.submit(batch_of("Closes", tasks_of(tmp_path, "a"), {}, params={"what": what}))
    executor.submit(batch_of("Speaks", tasks_of(tmp_path, "b"), {}))
    closed, spoke = collect(executor, 2)
    assert (closed.outcome, spoke.outcome, closed.worker) == (Outcome.DONE, Outcome.DONE, spoke.worker)
    assert "from print" in log_of(spoke)


def test_the_surroundings_of_a_run_are_those_of_its_worker(pool: Pool, tmp_path: Path) -> None:
    executor = pool()
    executor.submit(batch_of("Moves", tasks_of(tmp_path / "store", "abc"), {}))
    reports = collect(executor, 3)
    assert outcomes(reports) == {1: "done", 2: "done", 3: "done"}
    assert len({report.worker for report in reports}) == 1
    for report in reports:
        assert [one.value for one in report.measures[2:]] == [None, None, None]
        assert report.measures[0].value == str(Path.cwd())
        assert report.measures[1].value == reports[0].measures[1].value


# ---- children


@pytest.mark.parametrize("how", ["child", "daemon"])
def test_processes_that_outlive_their_run_are_ended_with_it(how: str, pool: Pool, tmp_path: Path) -> None:
    executor = pool()
    file = str(tmp_path / "pids")
    executor.submit(batch_of("Forks", tasks_of(tmp_path, "a"), {}, params={"how": how, "file": file}))
    executor.submit(batch_of("Write", tasks_of(tmp_path / "store", "b"), TEXT))
    first, second = collect(executor, 2)
    assert first.caveats == ("processes that outlived the run and were ended: 1",)
    assert (first.outcome, second.outcome, second.caveats) == (Outcome.DONE, Outcome.DONE, ())
    assert not any(is_alive(int(pid)) for pid in Path(file).read_text().split())


def test_a_child_that_a_stage_keeps_lives_as_long_as_its_worker(pool: Pool, tmp_path: Path) -> None:
    executor = pool()
    file = tmp_path / "pids"
    params = {"file": str(file)}
    executor.submit(batch_of("Keeps", tasks_of(tmp_path / "store", "ab"), TEXT, params=params))
    first, second = sorted(collect(executor, 2), key=lambda report: report.work)
    assert first.caveats == ("processes that outlived the run and were ended: 1",)
    assert (first.outcome, second.outcome, second.caveats) == (Outcome.DONE, Outcome.DONE, ())
    kept, other = map(int, file.read_text().split())
    assert (is_alive(kept), is_alive(other)) == (True, False)
    executor.close()
    assert not is_alive(kept)


def test_a_copy_of_the_worker_does_not_go_on_as_one(pool: Pool, tmp_path: Path) -> None:
    executor = pool()
    params = {"how": "fork", "file": ""}
    executor.submit(batch_of("Forks", tasks_of(tmp_path, "abc"), {}, params=params))
    assert outcomes(collect(executor, 3)) == {1: "done", 2: "done", 3: "done"}
    assert executor.poll(0.2) == []


@pytest.mark.parametrize("how", ["child", "daemon"])
@pytest.mark.parametrize("end", ["dies", "time", "stop", "close"])
def test_children_of_a_run_end_with_their_worker(
    how: str, end: str, pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = pool()
    file = tmp_path / "pids"
    params = {"how": how, "file": str(file), "die": end == "dies"}
    need = Resources(seconds=600.0 if end == "time" else 0.0)
    executor.submit(batch_of("ForksAndDies", tasks_of(tmp_path, "a"), {}, params=params, resources=need))
    if end != "dies":
        wait_until(
            lambda: file.exists() and file.read_text().endswith(" ") and executor.poll(0.0) is not None
        )
    if end == "time":
        set_on(monkeypatch, 601.0)
    if end == "stop":
        executor.stop([(1, 1)])
    if end == "close":
        executor.close()
    else:
        (report,) = collect(executor, 1)
        assert report.outcome is (Outcome.STOPPED if end == "stop" else Outcome.LOST)
    assert file.read_text()
    wait_until(lambda: not any(is_alive(int(pid)) for pid in file.read_text().split()))


# ---- placing


@pytest.mark.parametrize(("cores", "free"), [(1, 4), (2, 2), (3, 1), (4, 1), (9, 1)])
def test_an_empty_pool_is_free_for_what_its_cores_hold(cores: int, free: int, pool: Pool) -> None:
    assert pool(4).free(Resources(cores=cores)) == free


def test_a_second_batch_waits_at_each_worker_only_behind_short_runs(pool: Pool, tmp_path: Path) -> None:
    executor = pool(2)
    many = tasks_of(tmp_path / "store", [f"i{n}" for n in range(8)])
    params = {"sleep": 0.05}
    executor.submit(batch_of("Write", many[:1], TEXT, params=params))
    executor.submit(batch_of("Write", many[1:2], TEXT, params=params))
    assert executor.free(Resources()) == 0
    collect(executor, 2)
    executor.submit(batch_of("Write", many[2:4], TEXT, params=params))
    executor.submit(batch_of("Write", many[4:6], TEXT, params=params))
    assert executor.free(Resources()) == 2
    executor.submit(batch_of("Write", many[6:], TEXT, params=params))
    assert executor.free(Resources()) == 1
    assert set(outcomes(collect(executor, 6)).values()) == {"done"}


def test_the_cores_of_all_runs_never_exceed_those_of_the_pool(pool: Pool, tmp_path: Path) -> None:
    executor = pool(3)
    file = tmp_path / "counts"
    sizes = [1, 1, 2, 3, 1, 2, 9, 1, 1, 1]
    for number, cores in enumerate(sizes, 1):
        task = tasks_of(tmp_path, [f"i{n}" for n in range(number)])[-1:]
        params = {"file": str(file), "sleep": 0.1}
        executor.submit(batch_of("Counts", task, {}, params=params, resources=Resources(cores=cores)))
    collect(executor, len(sizes))
    used, most = 0, 0
    for line in sorted(file.read_text().splitlines(), key=lambda line: float(line.split()[0])):
        _, what, cores = line.split()
        used += int(cores) if what == "begin" else -int(cores)
        most = max(most, used)
    assert (used, most) == (0, 3)


def test_a_large_batch_is_not_overtaken_for_ever(pool: Pool, tmp_path: Path) -> None:
    executor = pool(2)
    executor.submit(batch_of("Write", tasks_of(tmp_path / "store", "a"), TEXT, params={"sleep": 0.3}))
    assert executor.free(Resources(cores=2)) == 1
    executor.submit(batch_of("Threads", tasks_of(tmp_path, "bc")[1:], {}, resources=Resources(cores=2)))
    assert executor.free(Resources()) == 0
    first, second = collect(executor, 2)
    assert (first.work, second.work, second.measures[1].value) == (1, 2, 2)


def test_thread_pools_get_the_cores_of_the_batch(pool: Pool, tmp_path: Path) -> None:
    executor = pool(2)
    seen = []
    for cores in (2, 1, 2):
        batch = batch_of("Threads", tasks_of(tmp_path, "a"), {}, resources=Resources(cores=cores))
        executor.submit(batch)
        (report,) = collect(executor, 1)
        seen.append(tuple(measure.value for measure in report.measures[:2]))
    assert seen == [("2", 2), ("1", 1), ("2", 2)]


def test_loaded_thread_pools_are_resized() -> None:
    pytest.importorskip("numpy")
    pytest.importorskip("threadpoolctl")
    code = (
        "import numpy, threadpoolctl\n"
        "from towpath.adapters.executors import worker\n"
        "worker.limit_threads(1)\n"
        "print({one['num_threads'] for one in threadpoolctl.threadpool_info()})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "{1}\n", "in a process of its own: what other tests have loaded is not meant"


def test_batches_for_a_gpu_share_its_slots(pool: Pool, tmp_path: Path) -> None:
    need = Resources(gpu=True)
    assert pool(2).free(need) == 0
    executor = pool(2, gpus=1)
    assert executor.free(need) == 1
    for task in tasks_of(tmp_path / "store", "ab"):
        executor.submit(batch_of("Write", [task], TEXT, params={"sleep": 0.2}, resources=need))
    assert (executor.free(need), len(executor.running())) == (0, 2)
    reports = collect(executor, 2)
    assert reports[1].began >= reports[0].began + reports[0].seconds


def test_a_batch_that_waits_behind_a_run_that_became_long_moves(pool: Pool, tmp_path: Path) -> None:
    executor = pool(2)
    tasks = tasks_of(tmp_path / "store", [f"i{n}" for n in range(6)])
    executor.submit(batch_of("Write", tasks[:1], TEXT, params={"sleep": 0.7}))
    executor.submit(batch_of("Write", tasks[1:3], TEXT, params={"sleep": 600.0}))
    executor.submit(batch_of("Write", tasks[3:], TEXT))
    assert set(outcomes(collect(executor, 4))) == {1, 4, 5, 6}


# ---- stopping, draining, closing


def test_a_running_run_is_ended_and_the_others_given_back(pool: Pool, tmp_path: Path) -> None:
    executor = pool()
    tasks = tasks_of(tmp_path / "store", ["a", "poison", "c"])
    executor.submit(batch_of("Dies", tasks, TEXT, params={"of": "hang"}))
    told: list[Progress] = []  # it may come with the first report
    reports = collect(executor, 1, each=told.append)
    is_ours = lambda one: isinstance(one, Progress) and one.work == 2  # noqa: E731
    wait_until(lambda: any(map(is_ours, told)) or any(map(is_ours, executor.poll(0.1))))
    executor.stop([(2, 1), (99, 1)])
    reports += collect(executor, 2)
    assert outcomes(reports) == {1: "done", 2: "stopped", 3: "drained"}
    assert log_of(reports[1]) == "about to die\n"


def test_a_run_that_waits_is_dropped_and_its_batch_goes_on(pool: Pool, tmp_path: Path) -> None:
    executor = pool()
    tasks = tasks_of(tmp_path / "store", [f"i{n}" for n in range(9)])
    gate = tmp_path / "gate"
    executor.submit(batch_of("Waits", tasks[:3], TEXT, params={"gate": str(gate)}))
    executor.submit(batch_of("Write", tasks[3:6], TEXT))
    executor.submit(batch_of("Write", tasks[6:], TEXT))
    executor.stop([(3, 1), (5, 1), (7, 1), (8, 1), (9, 1)])
    gate.touch()
    at_once = [one for one in executor.poll(0) if isinstance(one, Report)]
    assert sorted(outcomes(at_once)) == [5, 7, 8, 9]
    reports = at_once + collect(executor, 5)
    assert outcomes(reports) == {
        1: "done", 2: "done", 3: "stopped", 4: "done", 5: "stopped", 6: "done",
        7: "stopped", 8: "stopped", 9: "stopped",
    }  # fmt: skip


def test_a_run_to_be_stopped_that_begins_meanwhile_is_ended(pool: Pool, tmp_path: Path) -> None:
    executor = pool()
    executor.submit(batch_of("Write", tasks_of(tmp_path / "store", "ab"), TEXT, params={"sleep": 30.0}))
    (child,) = executor._children
    child.stopping.add((child.jobs[0].number, 1))
    assert outcomes(collect(executor, 2)) == {1: "stopped", 2: "drained"}


def test_draining_gives_back_what_has_not_begun(pool: Pool, tmp_path: Path) -> None:
    executor = pool()
    tasks = tasks_of(tmp_path / "store", [f"i{n}" for n in range(7)])
    gate = tmp_path / "gate"
    executor.submit(batch_of("Waits", tasks[:3], TEXT, params={"gate": str(gate)}))
    executor.submit(batch_of("Write", tasks[3:5], TEXT))
    executor.submit(batch_of("Write", tasks[5:6], TEXT))
    wait_until(lambda: any(isinstance(one, Progress) for one in executor.poll(0.1)))
    executor.drain()
    executor.submit(batch_of("Write", tasks[6:], TEXT))
    assert executor.free(Resources()) == 0
    gate.touch()
    assert outcomes(collect(executor, 7)) == {1: "done", **dict.fromkeys(range(2, 8), "drained")}
    assert executor.running() == []


def test_closing_ends_all_at_once_and_twice_is_no_error(pool: Pool, tmp_path: Path) -> None:
    executor = pool(2)
    for task in tasks_of(tmp_path / "other-store", ["poison", "b"]):
        executor.submit(batch_of("Dies", [task], TEXT, params={"of": "hang"}))
    collect(executor, 1)
    start = time.monotonic()
    executor.close()
    executor.close()
    assert time.monotonic() - start < 30  # they hang for ever
    assert executor.running() == []
    executor.submit(batch_of("Write", tasks_of(tmp_path / "store", "a"), TEXT))


def test_a_pool_that_does_nothing_waits_as_long_as_it_is_told(pool: Pool) -> None:
    executor = pool()
    start, used = time.monotonic(), time.thread_time()
    assert executor.poll(0.3) == []
    assert time.monotonic() - start >= 0.3
    assert time.thread_time() - used < 0.1


DAEMON = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from batches_for_tests import batch_of, tasks_of
from towpath.adapters.executors.local import LocalExecutor
folder = Path(sys.argv[2])
executor = LocalExecutor(folder / "logs", 2, sys_path=[sys.argv[1]])
params = {"how": sys.argv[3], "file": str(folder / "pids"), "die": False}
executor.submit(batch_of("ForksAndDies", tasks_of(folder, "a"), {}, params=params))
executor.submit(batch_of("Dies", tasks_of(folder / "store", ["poison"]), {"text": "text"}, params={"of": "hang in C"}))
while True:
    executor.poll(0.05)
    (folder / "new").write_text(json.dumps([child.pid for child in executor._children] + [executor._guard.pid]))
    (folder / "new").rename(folder / "workers")
"""


@pytest.mark.parametrize("how", ["child", "daemon"])
def test_no_process_outlives_a_pool_that_is_killed(how: str, tmp_path: Path) -> None:
    daemon = subprocess.Popen([sys.executable, "-c", DAEMON, str(STAGES), str(tmp_path), how])
    pids, workers = tmp_path / "pids", tmp_path / "workers"
    try:
        wait_until(lambda: pids.exists() and pids.read_text().endswith(" ") and workers.exists())
        time.sleep(0.5)
        processes = [int(pids.read_text()), *json.loads(workers.read_text())]
        assert len(processes) == 4
        assert all(is_alive(process) for process in processes)
    finally:
        daemon.kill()
        daemon.wait()
    wait_until(lambda: not any(is_alive(process) for process in processes))


def test_what_a_full_pipe_does_not_take_is_sent_later(pool: Pool, tmp_path: Path) -> None:
    """A batch larger than the pipe: neither side waits for the other."""
    executor = pool()
    values = {"record": {"text": "x" * 20_000}}
    for _ in range(2):
        tasks = tasks_of(tmp_path / "store", [f"i{n}" for n in range(100)], values=values)
        executor.submit(batch_of("Write", tasks, TEXT))
        reports = collect(executor, 100)
    assert {report.outcome for report in reports} <= {Outcome.DONE, Outcome.TRANSIENT}


def test_inputs_of_very_many_files_arrive_whole_and_in_order(pool: Pool, tmp_path: Path) -> None:
    """They go before their batch, a page at a time, and are those of its runs alone."""
    (tmp_path / "text").write_text("one file for all")
    file = task_file(tmp_path / "text")
    executor = pool()
    for length in (PAGE + 1, 3 * PAGE):
        items = [f"i{number}" for number in range(length)]
        many = many_files()
        for item in items:
            many.append(astuple(replace(file, item=item)))
        tasks = tasks_of(tmp_path / "store", ["a", "b"], files={"many": many}, values={"flags": []})
        executor.submit(batch_of("Tells", tasks, {}, single=["maybe"]))
        for report in collect(executor, 2):
            told = {measure.name: measure.value for measure in report.measures}
            assert (report.error, told["items"]) == ("", ",".join(items))


# ---- parts


@pytest.mark.parametrize(
    ("status", "text"),
    [(0, "exited with status 0"), (-15, "killed by SIGTERM"), (-63, "killed by signal 63")],
)
def test_ends_are_put_in_words(status: int, text: str) -> None:
    assert describe_exit(status) == text


def test_a_batch_that_was_taken_back_is_not_begun() -> None:
    board = Board(create())
    other = Board(os.dup(board._fd))
    assert board.take(1)
    assert other.revoke(4, keep=2)
    assert [board.take(number) for number in (2, 3, 4, 5)] == [True, False, False, True]
    assert not other.revoke(5, keep=2)
    board.begin(4, 1.5, 100)
    assert other.snapshot() == Snapshot(5, 4, 1.5, 100)
    other.call()
    assert (board.called(), board.called()) == (True, False)
    board.close()
    other.close()


def test_messages_are_found_in_any_pieces() -> None:
    frames = worker.Frames()
    data = worker.frame([1, "é"]) + worker.frame({"a": None})
    found = [message for at in range(len(data)) for message in frames.feed(data[at : at + 1])]
    assert found == [[1, "é"], {"a": None}]
    assert frames.feed(data + data) == found + found
