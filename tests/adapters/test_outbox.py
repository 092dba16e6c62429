"""When the reports of a worker leave, and what is flushed to disk before they do."""

import errno
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batches_for_tests import batch_of, names, tasks_of

from towpath.adapters.executors import staging, worker
from towpath.adapters.executors.attempt import Attempts, NoLog
from towpath.adapters.executors.wire import report_from_plain, report_to_plain
from towpath.adapters.executors.worker import PROGRESS, REPORT, Frames, Outbox
from towpath.base.states import Outcome
from towpath.contracts.executor import Report

Ends = tuple[Outbox, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Give an outbox, and the end of its channel at which its entries come out."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Outbox(ours), theirs


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the list of what has been flushed to disk."""
    done: list[str] = []
    real = staging.flush
    monkeypatch.setattr(staging, "flush", lambda path: (done.append(str(path)), real(path)))
    return done


class Clock:
    """In the place of `time`: it stands unless it is set."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        time.sleep(min(seconds, 0.01))


def came(theirs: socket.socket, seconds: float, count: int = 1 << 30) -> list[Any]:
    """All entries of what comes within so many seconds, or until there are `count`."""
    frames, found = Frames(), []
    until = time.monotonic() + seconds
    while len(found) < count and (rest := until - time.monotonic()) > 0:
        theirs.settimeout(rest)
        try:
            found += [entry for message in frames.feed(theirs.recv(1 << 16)) for entry in message]
        except TimeoutError:
            break
    return found


def runs(outbox: Outbox, store: Path, *, durable: bool) -> Iterator[int]:
    """Do the five runs of a batch in turn; nothing else is done while one is given."""
    attempts = Attempts("here", NoLog(), lambda _: None)
    tasks = tasks_of(store, "abcde")
    prepared = attempts.prepare(
        batch_of("Write", tasks, {"text": "text"}, flush_below=str(store.parent) if durable else "")
    )
    outbox.begin(prepared)
    for task in tasks:
        assert attempts.run(prepared, task).error == ""
        outbox.add(task.work)
        yield task.work


def test_reports_leave_soon_while_a_batch_goes_on(ends: Ends, tmp_path: Path, flushed: list[str]) -> None:
    outbox, theirs = ends
    for number in runs(outbox, tmp_path / "store", durable=False):
        assert came(theirs, 10.0, 1) == [number]
    outbox.flush()
    assert came(theirs, 0.05) == []
    assert flushed == []


def test_a_durable_batch_flushes_its_folder_once_and_reports_when_it_has(
    ends: Ends, tmp_path: Path, flushed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(worker, "time", clock)
    monkeypatch.setattr(worker, "_DURABLE", 1.5)
    outbox, theirs = ends
    for batch in ("a", "b"):
        store = tmp_path / batch
        list(runs(outbox, store, durable=True))
        # the second time so late that what the first batch had put in would leave now
        clock.now += 1.0
        assert came(theirs, 0.3) == []
        assert str(store) not in flushed
        outbox.flush()
        assert came(theirs, 10.0, 5) == [1, 2, 3, 4, 5]
        assert flushed.count(str(store)) == 1


def test_a_durable_batch_that_takes_longer_than_it_is_meant_to_reports_meanwhile(
    ends: Ends, tmp_path: Path, flushed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_DURABLE", 0.2)
    outbox, theirs = ends
    batch = runs(outbox, tmp_path / "store", durable=True)
    next(batch), next(batch)
    assert came(theirs, 10.0, 2) == [1, 2]
    before = flushed.count(str(tmp_path / "store"))
    assert before > 0
    list(batch)
    outbox.flush()
    assert came(theirs, 10.0, 3) == [3, 4, 5]
    assert flushed.count(str(tmp_path / "store")) > before


@pytest.mark.parametrize(
    ("stage", "outputs", "made"),
    [
        ("Write", {"text": "text"}, ["a.1.text.txt"]),
        ("Several", {"image": "fits", "cube": "zarr"}, ["a.1"]),
    ],
)
def test_what_cannot_be_flushed_is_told_and_removed_and_flushed_the_next_time(
    stage: str,
    outputs: dict[str, str],
    made: list[str],
    ends: Ends,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, broken, flushed = tmp_path / "store", [True], []
    real = staging.flush

    def flush(path: str) -> None:
        if path == str(store) and broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        flushed.append(path)
        real(path)

    monkeypatch.setattr(staging, "flush", flush)
    outbox, theirs = ends
    attempts = Attempts("here", NoLog(), lambda _: None)
    first, second = tasks_of(store, "ab")
    prepared = attempts.prepare(batch_of(stage, [first, second], outputs, flush_below=str(tmp_path)))
    outbox.begin(prepared)
    ended = attempts.run(prepared, first)
    assert (ended.outcome, names(store)) == (Outcome.DONE, made)
    outbox.add((PROGRESS, 1, 1, (0.5, "half", "", 0)))
    outbox.add((REPORT, 1, 1, report_to_plain(ended)))
    outbox.add((REPORT, 1, 2, report_to_plain(Report(2, 1, Outcome.REJECTED, reasons=("no",)))))
    outbox.flush()
    progress, told, other = came(theirs, 10.0, 3)
    assert progress == [PROGRESS, 1, 1, [0.5, "half", "", 0]]
    report = report_from_plain(1, 1, told[3])
    text = "what it made cannot be flushed to disk: [Errno 5] Input/output error"
    assert (report.outcome, report.error, report.reasons) == (Outcome.TRANSIENT, text, (text,))
    assert (report.outputs, report.began, names(store)) == ((), ended.began, [])
    assert report_from_plain(2, 1, other[3]).outcome is Outcome.REJECTED  # it made nothing
    broken.clear()
    outbox.add((REPORT, 1, 2, report_to_plain(attempts.run(prepared, second))))
    outbox.flush()
    assert report_from_plain(2, 1, came(theirs, 10.0, 1)[0][3]).outcome is Outcome.DONE
    assert str(store) in flushed


def test_folders_that_could_not_be_flushed_are_flushed_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = staging.Folders(str(tmp_path))
    for name in "abc":
        folders.changed(name)
    flushed: list[str] = []

    def flush(path: str) -> None:
        if path == "b" and not flushed.count("again"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        flushed.append(path)

    monkeypatch.setattr(staging, "flush", flush)
    for _ in range(2):
        with pytest.raises(OSError, match="Input/output error"):
            folders.sync()
    flushed.append("again")
    folders.sync()
    assert sorted(flushed) == ["a", "again", "b", "c"]
