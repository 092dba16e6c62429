"""A worker process of the local pool: takes batches from its pipe, does their runs, sends reports back in chunks.

A report leaves 40 ms after its run ended, and when its batch ends. The reports of a durable batch leave together, so that
each folder is flushed once; where it takes longer than a second, once a second. The process answers to nobody but its
pool, which ends it by a signal; when the pool's end of the pipe closes it ends itself.
"""

import faulthandler
import importlib.util
import json
import logging
import os
import socket
import struct
import sys
import threading
import time
from collections import deque
from typing import Any

from towpath.adapters.executors.attempt import Attempts, Unprepared, unflushed
from towpath.adapters.executors.board import Board
from towpath.adapters.executors.context import Prepared
from towpath.adapters.executors.logs import ROTATE, RunLog, log_handler, log_name
from towpath.adapters.executors.processes import end_children, settle_in
from towpath.adapters.executors.wire import batch_from_plain, dump, load, report_from_plain, report_to_plain
from towpath.base.states import Outcome
from towpath.contracts.executor import Progress, Report

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
BATCH, DROP, FILES = 0, 1, 2  # what the pool sends; files of a batch go before it
REPORT, PROGRESS = 0, 1  # what the worker sends
HEADER = struct.Struct("=I")
_SOON = 0.04  # seconds that a report waits for others of its batch
_DURABLE = 1.0  # the same where a flush of their folders goes before: longer than a batch is meant to take
_READ = 1 << 18
CLOSED = 70  # exit status: user code closed what belongs to the worker
_PREPARING = 60.0  # seconds that loading a stage may take beyond its time limit


class Frames:
    """Length-prefixed messages out of a stream of bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Any]:
        """The messages that are complete now."""
        buffer, found, at = self._buffer, [], 0
        buffer += data
        while len(buffer) - at >= HEADER.size:
            end = at + HEADER.size + HEADER.unpack_from(buffer, at)[0]
            if len(buffer) < end:
                break
            found.append(load(buffer[at + HEADER.size : end]))
            at = end
        del buffer[:at]
        return found


def frame(message: Any) -> bytes:
    """A message as bytes with its length before it."""
    data = dump(message)
    return HEADER.pack(len(data)) + data


class Outbox:
    """Sends what is put in soon, from a thread of its own, and at once on `flush`."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._entries: deque[Any] = deque()
        self._wake = threading.Event()
        self._armed, self._due = False, 0.0
        self._lock = threading.Lock()
        self._durable: Prepared | None = None
        threading.Thread(target=self._send_soon, daemon=True, name="towpath-outbox").start()

    def begin(self, prepared: Prepared | Unprepared) -> None:
        """What is put in from here on is of the runs of this batch."""
        self._durable = prepared if isinstance(prepared, Prepared) and prepared.folders.durable else None

    def add(self, entry: Any) -> None:
        """Put in one entry."""
        self._entries.append(entry)
        if not self._armed:
            self._due = time.monotonic() + (_DURABLE if self._durable else _SOON)
            self._armed = True
            self._wake.set()

    def flush(self) -> None:
        """Send all entries now; what a durable batch renamed is flushed to disk before, or does not count."""
        with self._lock:
            self._armed = False
            entries = [self._entries.popleft() for _ in range(len(self._entries))]
            if not entries:
                return
            if self._durable:
                try:
                    self._durable.folders.sync()
                except OSError as error:
                    entries = [_unflushed(self._durable, entry, error) for entry in entries]
            self._channel.sendall(frame(entries))

    def _send_soon(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while (rest := self._due - time.monotonic()) > 0:  # a batch that ended since put it off
                time.sleep(rest)
            try:
                self.flush()
            except OSError:  # the pool is gone, or user code closed the pipe
                os._exit(CLOSED)


def _unflushed(prepared: Prepared, entry: Any, error: OSError) -> Any:
    kind, number, row, content = entry
    if kind != REPORT:
        return entry
    report = unflushed(prepared, report_from_plain(0, 0, content), error)
    return kind, number, row, report_to_plain(report)


class Worker:
    """The loop of a worker. `settings` are those that `towpath.adapters.executors.child` passes."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._channel = socket.socket(fileno=settings["channel"])
        self._board = Board(settings["board"])
        self._base, self._rotation = settings["log"], 0
        self._log = RunLog(log_name(self._base, 0))
        self._frames = Frames()
        self._waiting: deque[tuple[int, list[Any]]] = deque()
        self._files: dict[int, list[Any]] = {}
        self._dropped: dict[tuple[int, int], str] = {}
        self._batch, self._row = 0, 0
        self._cores = settings["cores"]
        self._outbox = Outbox(self._channel)
        self._attempts = Attempts(
            f"{settings['name']}{os.getpid()}",
            self._log,
            self._tell,
            cores=settings["most_cores"],
            log_limit=settings["log_limit"],
            end_children=end_children,
        )

    def serve(self) -> None:
        """Do batches until the pool closes the pipe."""
        self._log.capture()
        faulthandler.enable(2)
        logging.basicConfig(handlers=[log_handler()], level=logging.INFO)
        self._board.serve()
        while True:
            while not self._waiting:
                data = self._channel.recv(_READ)
                if not data:
                    return
                self._sort(data)
            self._do(*self._waiting.popleft())

    def _sort(self, data: bytes) -> None:
        for kind, batch, content in self._frames.feed(data):
            if kind == BATCH:
                self._waiting.append((batch, content))
            elif kind == FILES:
                self._files.setdefault(batch, []).append(content)
            else:
                self._dropped.update({(batch, row): outcome for row, outcome in content})

    def _listen(self) -> None:
        """Read what has come without waiting for more."""
        while True:
            try:
                data = self._channel.recv(_READ, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            if not data:
                os._exit(0)
            self._sort(data)

    def _do(self, number: int, content: list[Any]) -> None:
        long = self._files.pop(number, ())
        if not self._board.take(number):
            return
        self._batch = number
        begin: int | None = self._log.begin()
        self._board.begin(1, time.monotonic() + _PREPARING, begin or 0)
        batch = batch_from_plain(content, long)
        self._set_threads(batch.resources.cores)
        prepared = self._attempts.prepare(batch)
        self._outbox.begin(prepared)
        for row, task in enumerate(batch.tasks, 1):
            if self._board.called():
                self._listen()
            if self._dropped and (outcome := self._dropped.pop((number, row), None)):
                report = Report(task.work, task.token, Outcome(outcome))
            else:
                self._row = row
                self._board.begin(row, time.monotonic(), self._log.begin() if begin is None else begin)
                report = self._attempts.run(prepared, task, begin)
                self._board.leave()
                begin = None
            self._outbox.add((REPORT, number, row, report_to_plain(report)))
        self._end_batch()

    def _end_batch(self) -> None:
        self._board.leave()
        self._outbox.flush()
        if self._log.begin() > ROTATE:
            self._rotation += 1
            self._log.rotate(log_name(self._base, self._rotation))
            self._board.rotated(self._rotation)

    def _tell(self, progress: Progress) -> None:
        self._outbox.add(
            (
                PROGRESS,
                self._batch,
                self._row,
                (progress.fraction, progress.note, progress.log, progress.begin),
            )
        )

    def _set_threads(self, cores: int) -> None:
        """Give the thread pools of this process another size than it was started with."""
        if cores != self._cores:
            self._cores = cores
            for name in THREADS:
                if (
                    name != "NUMBA_NUM_THREADS" or "numba" not in sys.modules
                ):  # numba refuses a change once loaded
                    os.environ[name] = str(cores)
            limit_threads(cores)


def limit_threads(cores: int) -> None:
    """Resize the thread pools of libraries that are loaded already."""
    if importlib.util.find_spec("threadpoolctl"):
        import threadpoolctl  # optional: resizes BLAS and OpenMP

        threadpoolctl.threadpool_limits(cores)
    numba = sys.modules.get("numba")
    if numba is not None:
        numba.set_num_threads(min(cores, numba.config.NUMBA_NUM_THREADS))


def main() -> None:
    """Serve the pool that started this process; the only argument is its settings as JSON."""
    settings = json.loads(sys.argv[1])
    settle_in(settings["parent"])
    sys.path[:0] = settings["sys_path"]
    try:
        Worker(settings).serve()
    except OSError:
        os._exit(CLOSED)
    end_children()
    os._exit(0)


if __name__ == "__main__":
    main()
