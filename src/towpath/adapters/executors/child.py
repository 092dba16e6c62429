"""One worker process as the pool sees it: starting it, talking to it, watching what it uses, ending it.

It never waits for the worker: what cannot be sent now is sent when the pipe has room. Ending it ends its whole session
and everything below it.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psutil

from towpath.adapters.executors import guard
from towpath.adapters.executors.board import Board, create
from towpath.adapters.executors.logs import log_name
from towpath.adapters.executors.processes import describe_exit
from towpath.adapters.executors.wire import batch_to_plain, long_inputs
from towpath.adapters.executors.worker import BATCH, CLOSED, DROP, FILES, THREADS, Frames, frame
from towpath.contracts.executor import Batch, Task

_READ = 1 << 18
_MODULE = "towpath.adapters.executors.worker"
_LINGER = 0.1  # seconds between the end of a pipe and that of its process
_REAP = 5.0  # seconds that a killed process may take to be gone
_CLOSED_TEXT = "closed file descriptors of its worker"


@dataclass(slots=True)
class Job:
    """A batch in the pool: `open` maps the rows (from 1) that are not reported yet to their tasks."""

    number: int
    batch: Batch
    open: dict[int, Task]
    cores: int
    heard: float = 0.0  # when its worker last reported something, monotonic seconds


@dataclass(slots=True)
class Cause:
    """Why the pool ended a worker: the run meant and what is to be said of it."""

    batch: int
    row: int
    error: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """What the workers of a pool have in common.

    `marker` is found in the environment of all their processes, `log` begins the names of their log files. What the site
    keeps secret in variables is not for user code: they are started `without` these.
    """

    marker: str
    log: str
    host: str
    sys_path: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    without: frozenset[str] = frozenset()
    most_cores: int = 1
    log_limit: int = 1 << 62


class Child:
    """A worker process.

    Parameters
    ----------
    number
        Distinguishes it within the pool.
    settings
        Those of the pool.
    cores
        The size of its thread pools at its start.
    start
        Calls a function in a thread that lives as long as the pool: a worker dies with the thread that started it.
    """

    def __init__(
        self,
        number: int,
        settings: Settings,
        cores: int,
        start: Callable[[Callable[[], subprocess.Popen[bytes]]], subprocess.Popen[bytes]],
    ) -> None:
        self.cores = cores
        self.jobs: list[Job] = []
        self.cause: Cause | None = None
        self.stopping: set[tuple[int, int]] = set()  # (batch, row)
        self.announced = (0, 0)
        self.rotation = 0
        self.has_run = False
        self._log = f"{settings.log}-{number}"
        self._marker = f"{settings.marker}{number}."
        self._out = bytearray()
        self._unsent: deque[Iterator[Any]] = deque()
        self._frames = Frames()
        self.channel, theirs = socket.socketpair()
        page = create()
        self.board = Board(page)
        try:
            self.popen = start(lambda: self._popen(settings, theirs.fileno(), page))
        finally:
            theirs.close()
        self.channel.setblocking(False)
        self.pid = self.popen.pid
        self.name = f"{settings.host}/{self.pid}"
        self.pidfd = os.pidfd_open(self.pid) if hasattr(os, "pidfd_open") else -1

    def _popen(self, settings: Settings, channel: int, page: int) -> subprocess.Popen[bytes]:
        told = {
            "channel": channel,
            "board": page,
            "parent": os.getpid(),
            "log": self._log,
            "name": f"{settings.host}/",
            "sys_path": settings.sys_path,
            "cores": self.cores,
            "most_cores": settings.most_cores,
            "log_limit": settings.log_limit,
        }
        os.makedirs(os.path.dirname(self.log_file), exist_ok=True)  # noqa: PTH103, PTH120  somebody may have removed it
        with open(self.log_file, "ab") as log:  # noqa: PTH123  a plain str
            return subprocess.Popen(
                [sys.executable, "-P", "-m", _MODULE, json.dumps(told)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={
                    **{name: text for name, text in os.environ.items() if name not in settings.without},
                    **dict.fromkeys(THREADS, str(self.cores)),
                    **settings.env,
                    guard.MARKER: self._marker,
                },
                pass_fds=(channel, page),
                start_new_session=True,
            )

    @property
    def log_file(self) -> str:
        """The log file that it writes now."""
        return log_name(self._log, self.board.rotation())

    def left_logs(self) -> list[str]:
        """The log files that it has left since this was asked last."""
        rotation = self.board.rotation()
        left = [log_name(self._log, number) for number in range(self.rotation, rotation)]
        self.rotation = rotation
        return left

    @property
    def reserved(self) -> int:
        """The cores that its batches need, one after the other."""
        return max((job.cores for job in self.jobs), default=0)

    @property
    def gpu(self) -> bool:
        """Whether a batch that it has needs a GPU."""
        return any(job.batch.resources.gpu for job in self.jobs)

    @property
    def open_rows(self) -> int:
        """How many runs it has not reported."""
        return sum(len(job.open) for job in self.jobs)

    # ---- talking

    def give(self, job: Job) -> None:
        """Hand over a batch."""
        job.heard = time.monotonic()
        self.jobs.append(job)
        self.has_run = True
        self._send(_messages(job.number, job.batch))

    def drop(self, job: Job, rows: dict[int, str]) -> None:
        """Ask that rows which have not begun are not run; each is reported with the outcome given."""
        self._send([(DROP, job.number, list(rows.items()))])
        self.board.call()

    def _send(self, messages: Iterable[Any]) -> None:
        self._unsent.append(iter(messages))
        self.push()

    def _next(self) -> bool:
        """Write out the next message, once those before it are sent; False if there is none."""
        while self._unsent:
            for message in self._unsent[0]:
                self._out += frame(message)
                return True
            self._unsent.popleft()
        return False

    def take_back(self, job: Job) -> bool:
        """Take back a batch that waits behind another; False if it has begun."""
        if not self.board.revoke(job.number, self.jobs[0].number):
            return False
        self.jobs.remove(job)
        return True

    def push(self) -> bool:
        """Send what the pipe takes; True if something is left."""
        while self._out or self._next():
            try:
                sent = self.channel.send(self._out)
            except BlockingIOError:
                return True
            except OSError:  # it is gone: its end will be seen
                self._out.clear()
                self._unsent.clear()
                return False
            del self._out[:sent]
            self.board.call()
        return False

    def receive(self) -> tuple[list[Any], bool]:
        """The messages that have come, and whether the worker's end is still open."""
        found: list[Any] = []
        while True:
            try:
                data = self.channel.recv(_READ)
            except BlockingIOError:
                return found, True
            except OSError:
                return found, False
            if not data:
                return found, False
            for chunk in self._frames.feed(data):
                found += chunk

    # ---- watching

    def memory(self) -> int:
        """Bytes of resident memory of the process and all below it; pages shared by several are counted once."""
        try:
            process = psutil.Process(self.pid)
            family = [process, *process.children(recursive=True)]
        except psutil.Error:
            return 0
        return sum(_resident(one, shared=len(family) > 1) for one in family)

    def log_size(self) -> int:
        """The size of its log in bytes."""
        try:
            return os.stat(self.log_file).st_size  # noqa: PTH116  plain str
        except OSError:
            return 0

    # ---- ending

    def kill(self, cause: Cause | None = None) -> None:
        """End it and all processes below it, at once."""
        if cause is not None and self.cause is None:
            self.cause = cause
        family: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            family = psutil.Process(self.pid).children(recursive=True)
        if self.popen.poll() is None:
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)
        for one in family:
            with contextlib.suppress(psutil.Error):
                one.kill()

    def reap(self) -> str:
        """Wait for its end (it is dead, or closed its pipe) and end what it left; returns how it ended."""
        try:
            status = self.popen.wait(_LINGER)
        except subprocess.TimeoutExpired:
            self.kill()
            status = CLOSED
            with contextlib.suppress(
                subprocess.TimeoutExpired
            ):  # it hangs in the kernel: it ends when that lets go
                self.popen.wait(_REAP)
        guard.end(self._marker, {self.pid})
        return _CLOSED_TEXT if status == CLOSED else describe_exit(status)

    def close(self) -> None:
        """Give back what the pool holds of it."""
        self.channel.close()
        self.board.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)


def _messages(number: int, batch: Batch) -> Iterator[Any]:
    """A batch as messages: first the files of inputs that have very many, then all else."""
    for page in long_inputs(batch):
        yield FILES, number, page
    yield BATCH, number, batch_to_plain(batch)


def _resident(process: psutil.Process, *, shared: bool) -> int:
    try:
        with process.oneshot():
            return int(process.memory_full_info().pss if shared else process.memory_info().rss)
    except (psutil.Error, AttributeError):
        return 0
