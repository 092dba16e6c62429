"""Runs in this process: the same reports and logs as from a worker, and an interrupt that ends it."""

import errno
import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from batches_for_tests import batch_of, collect, log_of, names, tasks_of

from towpath.adapters.executors import inline, staging
from towpath.adapters.executors.inline import InlineExecutor
from towpath.adapters.executors.logs import collect_log, tail
from towpath.base.states import Outcome
from towpath.contracts.executor import Executor, Progress, Report, Resources

TEXT = {"text": "text"}


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[InlineExecutor]:
    with InlineExecutor(tmp_path / "logs", log_limit=2_000_000) as executor:
        yield executor


def test_it_is_an_executor_whose_death_says_something_of_the_item(executor: InlineExecutor) -> None:
    same: Executor = executor
    assert (same.name, same.attributable) == ("inline", True)


def test_runs_come_back_in_order(executor: InlineExecutor, tmp_path: Path) -> None:
    tasks = tasks_of(tmp_path / "store", ["a", "b", "c"])
    assert executor.free(Resources(cores=64)) == 1
    executor.submit(batch_of("Write", tasks, TEXT))
    assert executor.running() == [(1, 1), (2, 1), (3, 1)]
    assert executor.free(Resources()) == 0
    reports = collect(executor, 3)
    assert [(report.work, report.outcome) for report in reports] == [(1, "done"), (2, "done"), (3, "done")]
    assert executor.running() == []
    assert names(tmp_path / "store") == ["a.1.text.txt", "b.1.text.txt", "c.1.text.txt"]


def test_poll_returns_after_one_long_run_and_waits_where_there_is_none(
    executor: InlineExecutor, tmp_path: Path
) -> None:
    executor.submit(batch_of("Write", tasks_of(tmp_path, ["a", "b"]), TEXT, params={"sleep": 0.06}))
    assert len(executor.poll(0)) == 1
    assert len(executor.poll(0)) == 1
    start = time.monotonic()
    assert executor.poll(0.05) == []
    assert time.monotonic() - start >= 0.05


def test_every_way_of_output_lands_in_the_log_and_nothing_else_does(
    executor: InlineExecutor,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    of_the_process = logging.StreamHandler()  # such as the command line's
    logging.getLogger().addHandler(of_the_process)
    request.addfinalizer(lambda: logging.getLogger().removeHandler(of_the_process))
    tasks = tasks_of(tmp_path, ["a", "b"])
    executor.submit(batch_of("Speaks", tasks, {}))
    streams = (sys.stdout, sys.stderr)
    first, second = collect(executor, 2)
    assert (sys.stdout, sys.stderr) == streams
    print("not of a run")
    assert capfd.readouterr() == ("not of a run\n", "")
    lines = [
        "at the end",
        "from C",
        "from C without a newline",
        "from a subprocess",
        "from print",
        "from stderr",
    ]
    for report in (first, second):
        log = log_of(report)
        assert [line for line in lines if line not in log] == []
        assert "INFO towpath.stage.test.speaks: from logging\n" in log
        assert log.count("from logging") == 1
        assert len(log) < 300
    assert first.log is not None
    assert second.log is not None
    assert first.log[2] == second.log[1]
    assert logging.getLogger("towpath.stage").handlers == []


def test_a_silent_run_has_no_log(executor: InlineExecutor, tmp_path: Path) -> None:
    executor.submit(batch_of("Write", tasks_of(tmp_path, ["a"]), TEXT))
    assert collect(executor, 1)[0].log is None


def test_the_traceback_of_a_failure_is_its_log(executor: InlineExecutor, tmp_path: Path) -> None:
    executor.submit(batch_of("Raises", tasks_of(tmp_path, ["a"]), TEXT, params={"kind": "value"}))
    (report,) = collect(executor, 1)
    assert report.error == "ValueError: no such column: g"
    assert log_of(report).startswith("Traceback (most recent call last):\n")
    assert log_of(report).endswith("ValueError: no such column: g\n")


def test_what_importing_a_stage_prints_is_in_the_log_of_the_first_run(
    executor: InlineExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "speaking_module.py").write_text("print('imported')\n1 / 0\n")
    executor.submit(batch_of("speaking_module:Stage", tasks_of(tmp_path, ["a", "b"]), {}))
    first, second = collect(executor, 2)
    assert (first.outcome, second.outcome) == (Outcome.FAILED, Outcome.FAILED)
    assert first.error == "stage speaking_module:stage cannot be loaded: ZeroDivisionError: division by zero"
    assert log_of(first).startswith("imported\nTraceback")
    assert second.log is None


def test_a_flood_of_output_fails_the_run_and_is_cut(executor: InlineExecutor, tmp_path: Path) -> None:
    executor.submit(batch_of("Floods", tasks_of(tmp_path, ["a", "b"]), {}, params={"megabytes": 3}))
    first, second = collect(executor, 2)
    assert (first.outcome, first.error) == (Outcome.FAILED, "log limit: wrote more than 2 MB to its log")
    assert first.log is not None
    assert second.log is not None
    assert first.log[2] - first.log[1] == 2_000_000
    assert second.log[1:] == (2_000_000, 4_000_000)
    assert Path(first.log[0]).stat().st_size == 4_000_000


@pytest.mark.parametrize("what", ["stdout", "fd 1", "replaced"])
def test_a_run_that_closes_its_streams_does_not_harm_the_next(
    what: str, executor: InlineExecutor, tmp_path: Path
) -> None:
    executor.submit(batch_of("Closes", tasks_of(tmp_path, ["a"]), {}, params={"what": what}))
    executor.submit(batch_of("Speaks", tasks_of(tmp_path, ["b"]), {}))
    closed, spoke = collect(executor, 2)
    assert (closed.outcome, spoke.outcome) == (Outcome.DONE, Outcome.DONE)
    assert "from print" in log_of(spoke)
    assert "from C\n" in log_of(spoke)
    os.fstat(1)


def test_progress_tells_where_the_log_of_the_run_is(executor: InlineExecutor, tmp_path: Path) -> None:
    executor.submit(batch_of("Progresses", tasks_of(tmp_path, ["a"]), {}, params={"seconds": 0.5}))
    told: list[Progress] = []
    (report,) = collect(executor, 1, each=told.append)
    assert 2 <= len(told) <= 4
    assert report.log is not None
    assert {(one.log, one.begin) for one in told} == {report.log[:2]}


def test_the_log_goes_on_in_a_new_file_between_batches(
    executor: InlineExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inline, "ROTATE", 10)
    for key in "ab":
        executor.submit(batch_of("Speaks", tasks_of(tmp_path, [key]), {}))
    first, second = collect(executor, 2)
    assert first.log is not None
    assert second.log is not None
    assert first.log[0] != second.log[0]
    assert (first.log[1], second.log[1]) == (0, 0)
    assert "from a subprocess" in log_of(second)


def test_a_range_of_a_log_is_copied(executor: InlineExecutor, tmp_path: Path) -> None:
    executor.submit(batch_of("Speaks", tasks_of(tmp_path, ["a", "b"]), {}))
    _, second = collect(executor, 2)
    target = tmp_path / "runs" / "2.1.log"
    assert second.log is not None
    assert collect_log(*second.log, target) == target.stat().st_size == len(log_of(second))
    assert target.read_text() == log_of(second)
    assert tail(second.log[0]).endswith("at the end")
    assert tail(str(tmp_path / "none")) == ""


def test_what_waits_can_be_stopped_and_given_back(executor: InlineExecutor, tmp_path: Path) -> None:
    executor.submit(batch_of("Write", tasks_of(tmp_path, ["a", "b", "c"]), TEXT, params={"sleep": 0.06}))
    assert [type(one) for one in executor.poll(0)] == [Report]
    executor.stop([(2, 1), (77, 1)])
    executor.drain()
    executor.submit(batch_of("Write", tasks_of(tmp_path, ["d"]), TEXT))
    assert executor.free(Resources()) == 0
    reports = collect(executor, 3)
    assert [(one.work, one.outcome) for one in reports] == [(2, "stopped"), (3, "drained"), (1, "drained")]
    assert names(tmp_path / "logs") == [f"worker-{os.getpid()}-inline.0.log"]


def test_an_interrupt_ends_the_process_not_the_run(executor: InlineExecutor, tmp_path: Path) -> None:
    streams = (sys.stdout, sys.stderr)
    executor.submit(
        batch_of("Raises", tasks_of(tmp_path / "store", ["a"]), TEXT, params={"kind": "interrupt"})
    )
    with pytest.raises(KeyboardInterrupt):
        executor.poll(0)
    assert (sys.stdout, sys.stderr) == streams
    assert names(tmp_path / "store") == []


def test_durable_batches_are_done_too(executor: InlineExecutor, tmp_path: Path) -> None:
    executor.submit(batch_of("Write", tasks_of(tmp_path / "store", ["a"]), TEXT, flush_below=str(tmp_path)))
    assert collect(executor, 1)[0].outcome is Outcome.DONE


def test_what_cannot_be_flushed_to_disk_is_tried_again_and_leaves_nothing(
    executor: InlineExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = staging.flush

    def flush(path: str) -> None:
        if path == str(tmp_path / "broken"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(path)

    monkeypatch.setattr(staging, "flush", flush)
    below = str(tmp_path)
    executor.submit(batch_of("Write", tasks_of(tmp_path / "whole", "ab"), TEXT, flush_below=below))
    executor.submit(batch_of("Write", tasks_of(tmp_path / "broken", "ab"), TEXT, flush_below=below))
    reports = collect(executor, 4)
    assert [report.outcome.value for report in reports] == ["done", "done", "transient", "transient"]
    assert reports[2].error == "what it made cannot be flushed to disk: [Errno 5] Input/output error"
    assert reports[2].outputs == ()
    assert (len(names(tmp_path / "whole")), names(tmp_path / "broken")) == (2, [])


def test_closing_twice_is_no_error(executor: InlineExecutor) -> None:
    executor.close()
    executor.close()
