"""A pool of worker processes on this machine: a run that crashes, hangs or eats memory costs its worker, nothing more.

Batches go to workers as they have room, a second one waits at each so that none starves; the cores of all that runs
never exceed the pool's. What a worker died of is told as it was, for the run it was in; its others come back `drained`.
One thread uses a pool; none of its calls waits for a run, and no process outlives it.
"""

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from towpath.adapters.executors import guard
from towpath.adapters.executors.attempt import log_limit_error
from towpath.adapters.executors.board import Snapshot
from towpath.adapters.executors.child import Cause, Child, Job, Settings
from towpath.adapters.executors.logs import LIMIT, tail
from towpath.adapters.executors.processes import megabytes
from towpath.adapters.executors.staging import clear
from towpath.adapters.executors.wire import report_from_plain
from towpath.adapters.executors.worker import REPORT
from towpath.base.errors import SiteError
from towpath.base.states import Outcome
from towpath.contracts.executor import Batch, Progress, Report, Resources, Task

_TICK = 0.2  # seconds between two looks at what the workers use
_QUIET = 0.3  # seconds after which a batch that waits behind a long run may move to an idle worker
_MONTH = 30 * 86400.0  # seconds
_GRACE = 120.0  # seconds that a log file stays after its worker has left it
_STARTS = 3  # workers that may fail to start, one after the other
_LEAVE = 0.5  # seconds that idle workers have to leave by themselves


class LocalExecutor:
    """A pool of worker processes.

    Parameters
    ----------
    logs
        The folder of the workers' log files, for processes of this machine alone.
    cores
        How many cores all runs together may use; also the most workers.
    gpus
        How many batches that need a GPU may run at a time.
    sys_path
        Folders where workers also look for stages.
    env
        Variables that workers get in addition.
    without
        Variables that they do not get: what is secret of the site is not for user code.
    log_limit
        Bytes that one run may write to its log; one that writes more is ended and has failed.
    """

    name = "local"
    attributable = False  # its workers' deaths are: this process never runs user code

    def __init__(
        self,
        logs: Path,
        cores: int = 0,
        *,
        gpus: int = 0,
        sys_path: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        without: Collection[str] = (),
        log_limit: int = LIMIT,
    ) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        _sweep_logs(logs)
        self._cores = (
            cores or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores or 1
        )
        self._gpus = gpus
        self._marker = f"{uuid.uuid4().hex}."
        self._settings = Settings(
            self._marker,
            str(logs / f"worker-{os.getpid()}-{self._marker[:6]}"),
            socket.gethostname(),
            tuple(sys_path),
            dict(env or {}),
            frozenset(without),
            self._cores,
            log_limit,
        )
        self._children: list[Child] = []
        self._backlog: deque[Job] = deque()
        self._ready: list[Report | Progress] = []
        self._selector = selectors.DefaultSelector()
        self._old_logs: deque[tuple[float, str]] = deque()
        self._numbers, self._workers, self._failed_starts = 0, 0, 0
        self._looked = 0.0
        self._draining = self._closed = False
        self._starter = ThreadPoolExecutor(1, "towpath-starter")
        self._guard = self._start(
            lambda: subprocess.Popen(
                [sys.executable, "-I", "-S", guard.__file__, self._marker],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        )

    def __enter__(self) -> "LocalExecutor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, start: Callable[[], "subprocess.Popen[bytes]"]) -> "subprocess.Popen[bytes]":
        return self._starter.submit(start).result()

    # ---- taking work

    def free(self, resources: Resources) -> int:
        """How many batches of this size would begin or wait at a worker now."""
        if self._draining or self._closed or self._backlog:
            return 0
        cores, spare = self._size(resources), self._spare()
        busy = sum(1 for child in self._children if child.jobs)
        count = min(spare // cores, self._cores - busy)
        spare -= count * cores
        for child in self._children:
            extra = max(child.reserved, cores) - child.reserved
            if _can_queue(child) and extra <= spare:
                spare -= extra
                count += 1
        if resources.gpu:
            count = min(count, self._gpus - sum(child.gpu for child in self._children))
        elif count == 0 and cores > 1:
            return 1  # waits for the cores it needs, and the others wait behind it
        return max(count, 0)

    def submit(self, batch: Batch) -> None:
        """Take a batch."""
        self._numbers += 1
        job = Job(self._numbers, batch, dict(enumerate(batch.tasks, 1)), self._size(batch.resources))
        if self._draining or self._closed:
            self._give_back(job.open.values())
            return
        self._backlog.append(job)
        if self._failed_starts < _STARTS:  # `poll` says so
            self._place()

    def _size(self, resources: Resources) -> int:
        return min(max(resources.cores, 1), self._cores)

    def _spare(self) -> int:
        return self._cores - sum(child.reserved for child in self._children)

    def _place(self) -> None:
        """Hand batches to workers in the order they came."""
        while self._backlog:
            child = self._choose(self._backlog[0])
            if child is None:
                return
            job = self._backlog.popleft()
            child.give(job)
            self._watch_writing(child)

    def _choose(self, job: Job, *, idle: bool = False) -> Child | None:
        """The worker for a batch: an idle one, a new one, or (unless `idle`) one with work of many runs."""
        spare = self._spare()
        need = job.batch.resources
        if need.gpu and sum(child.gpu for child in self._children) >= max(self._gpus, 1):
            return None
        if job.cores <= spare:
            resting = [child for child in self._children if not child.jobs]
            for child in sorted(resting, key=lambda child: child.cores != job.cores):
                if not (need.memory and child.has_run and child.memory() > need.memory / 2):
                    return child
                self._retire(child)  # too full of what earlier runs left to tell what this one takes
            if len(self._children) < self._cores:
                return self._new(job.cores)
        if idle:
            return None
        behind = [
            child
            for child in self._children
            if _can_queue(child) and max(child.reserved, job.cores) - child.reserved <= spare
        ]
        return min(behind, key=lambda child: child.open_rows, default=None)

    def _new(self, cores: int) -> Child:
        if self._failed_starts >= _STARTS:
            self._failed_starts = 0
            said = tail(self._old_logs[-1][1]) if self._old_logs else ""
            raise SiteError(f"workers cannot be started; the last one said: {said or 'nothing'}")
        self._workers += 1
        child = Child(self._workers, self._settings, cores, self._start)
        self._children.append(child)
        self._tell_guard(f"+{child.pid}\n")
        self._selector.register(child.channel, selectors.EVENT_READ, child)
        if child.pidfd >= 0:
            self._selector.register(child.pidfd, selectors.EVENT_READ, child)
        return child

    def _tell_guard(self, line: str) -> None:
        assert self._guard.stdin is not None
        with contextlib.suppress(OSError):  # someone ended it: workers still die with this process
            self._guard.stdin.write(line.encode())
            self._guard.stdin.flush()

    def _watch_writing(self, child: Child) -> None:
        """Learn from the selector when a full pipe has room again."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if child.push() else 0)
        if self._selector.get_key(child.channel).events != events:
            self._selector.modify(child.channel, events, child)

    # ---- what comes back

    def poll(self, timeout: float) -> list[Report | Progress]:
        """What has come back, waiting at most `timeout` seconds for something.

        Raises
        ------
        SiteError
            If workers cannot be started; the message ends with what the last one said.
        """
        until = time.monotonic() + timeout
        while True:
            now = time.monotonic()
            if now - self._looked >= _TICK:
                self._looked = now
                self._look(now)
            wait = 0.0 if self._ready else max(until - now, 0.0)
            busy = any(child.jobs for child in self._children)
            self._hear(min(wait, self._looked + _TICK - now) if busy else wait)
            self._place()
            if self._ready or time.monotonic() >= until:
                ready, self._ready = self._ready, []
                return ready

    def _hear(self, timeout: float) -> None:
        if not self._selector.get_map():
            time.sleep(timeout)
            return
        dead: list[Child] = []
        for key, events in self._selector.select(timeout):
            child = key.data
            if events & selectors.EVENT_WRITE:
                self._watch_writing(child)
            if events & selectors.EVENT_READ and child not in dead:
                is_dead = child.popen.poll() is not None  # asked first: then all that it sent can be read
                messages, is_open = child.receive()
                self._read(child, messages)
                if is_dead or not is_open:
                    dead.append(child)
        for child in dead:
            self._bury(child)

    def _read(self, child: Child, messages: list[Any]) -> None:
        jobs = {job.number: job for job in child.jobs}
        now = time.monotonic()
        for kind, number, row, content in messages:
            job = jobs.get(number)
            if job is None or row not in job.open:
                continue
            job.heard = now
            task = job.open[row]
            if kind == REPORT:
                del job.open[row]
                self._ready.append(report_from_plain(task.work, task.token, content))
            else:
                self._ready.append(Progress(task.work, task.token, *content))
        if messages:
            child.jobs = [job for job in child.jobs if job.open]
            self._failed_starts = 0

    def _give_back(self, tasks: Iterable[Task], outcome: Outcome = Outcome.DRAINED) -> None:
        self._ready += [Report(task.work, task.token, outcome) for task in tasks]

    # ---- watching over the workers

    def _look(self, now: float) -> None:
        """End what exceeds its limits or is to stop, tell of runs that have become long, move what waits behind."""
        for child in list(self._children):
            if child.popen.poll() is not None:
                self._read(child, child.receive()[0])
                self._bury(child)
            elif child.jobs:
                self._look_at(child, now)
        for child in list(self._children):
            self._old_logs += [(now, file) for file in child.left_logs()]
            if len(child.jobs) > 1 and now - child.jobs[0].heard > _QUIET:
                self._move(child)
        while self._old_logs and now - self._old_logs[0][0] > _GRACE:
            with contextlib.suppress(OSError):
                os.unlink(self._old_logs.popleft()[1])  # noqa: PTH108  plain str

    def _look_at(self, child: Child, now: float) -> None:
        doing = child.board.snapshot()
        job = next((job for job in child.jobs if job.number == doing.batch), None)
        if job is None or not doing.row or doing.row not in job.open:
            return
        at = (doing.batch, doing.row)
        if at != child.announced:
            child.announced = at
            task = job.open[doing.row]
            self._ready.append(Progress(task.work, task.token, None, "", child.log_file, doing.log_begin))
        if at in child.stopping:
            child.kill(Cause(*at, ""))
        elif (cause := self._exceeded(child, job, doing, now)) is not None:
            child.kill(cause)

    def _exceeded(self, child: Child, job: Job, doing: Snapshot, now: float) -> Cause | None:
        need, limit = job.batch.resources, self._settings.log_limit
        at = (doing.batch, doing.row)
        if need.seconds and now - doing.began > need.seconds:
            return Cause(*at, f"exceeded its time limit of {need.seconds:g} s")
        if child.log_size() - doing.log_begin > limit:
            return Cause(*at, log_limit_error(limit), failed=True)
        if need.memory and (used := child.memory()) > need.memory:
            return Cause(*at, f"exceeded its memory limit of {megabytes(need.memory)} ({megabytes(used)})")
        return None

    def _move(self, child: Child) -> None:
        """Take the batch that waits at a worker to an idle one, if there is one and it has not begun."""
        job = child.jobs[1]
        taker = self._choose(job, idle=True) if not self._backlog else None
        if taker is not None and child.take_back(job):
            self._numbers += 1
            job.number = self._numbers
            taker.give(job)
            self._watch_writing(taker)

    def _forget(self, child: Child) -> str:
        """Reap a worker and all it left; returns how it ended."""
        self._children.remove(child)
        self._selector.unregister(child.channel)
        if child.pidfd >= 0:
            self._selector.unregister(child.pidfd)
        ended = child.reap()
        self._tell_guard(f"-{child.pid}\n")
        self._old_logs += [(time.monotonic(), file) for file in (*child.left_logs(), child.log_file)]
        return ended

    def _retire(self, child: Child) -> None:
        """End an idle worker."""
        child.kill()
        self._forget(child)
        child.close()

    def _bury(self, child: Child) -> None:
        """A worker is dead: the run it was in is lost, or what the pool ended it for; its others are given back."""
        ended, doing = self._forget(child), _died_of(child)
        if not child.board.serving() and child.popen.returncode != -signal.SIGKILL:  # that was someone else
            self._failed_starts += 1
        for job in child.jobs:
            for row, task in job.open.items():
                at = (job.number, row)
                is_stopped = at in child.stopping
                if at == (doing.batch, doing.row):
                    stopped = Report(task.work, task.token, Outcome.STOPPED)
                    report = stopped if is_stopped else _lost(task, ended, child, at)
                    self._ready.append(replace(report, **self._traces(child, task, doing)))
                else:
                    self._give_back([task], Outcome.STOPPED if is_stopped else Outcome.DRAINED)
        child.close()

    def _traces(self, child: Child, task: Task, doing: Snapshot) -> dict[str, Any]:
        """What a dead run left: its log is told of, its staging removed."""
        clear(task.place, task.token)
        end = min(child.log_size(), doing.log_begin + self._settings.log_limit)
        if end < child.log_size():
            os.truncate(child.log_file, end)
        seconds = max(time.monotonic() - doing.began, 0.0)
        return {
            "worker": child.name,
            "began": time.time() - seconds,
            "seconds": seconds,
            "log": (child.log_file, doing.log_begin, end) if end > doing.log_begin else None,
        }

    # ---- ending

    def running(self) -> list[tuple[int, int]]:
        """The runs (work, token) that it holds, waiting ones included."""
        jobs = [*self._backlog, *(job for child in self._children for job in child.jobs)]
        return [(task.work, task.token) for job in jobs for task in job.open.values()]

    def stop(self, runs: Iterable[tuple[int, int]]) -> None:
        """End these runs: those that wait at once, those that run by ending their worker.

        A `stopped` report follows for each; one that had ended meanwhile is reported as it ended.
        """
        wanted = set(runs)
        self._stop_waiting(wanted)
        for child in list(self._children):
            doing = child.board.snapshot()
            for job in child.jobs:
                rows = [row for row, task in job.open.items() if (task.work, task.token) in wanted]
                child.stopping.update((job.number, row) for row in rows)
                if job.number == doing.batch and doing.row in rows:
                    child.kill(Cause(doing.batch, doing.row, ""))
                elif rows and child.cause is None:
                    child.drop(job, dict.fromkeys(rows, Outcome.STOPPED.value))
                    self._watch_writing(child)

    def _stop_waiting(self, wanted: set[tuple[int, int]]) -> None:
        """Take back the batches that hold one of `wanted` and have not begun, and hand on what is left of them."""
        for child in self._children:
            for job in child.jobs[1:]:
                is_wanted = any((task.work, task.token) in wanted for task in job.open.values())
                if is_wanted and child.take_back(job):
                    self._backlog.appendleft(job)
        for job in list(self._backlog):
            stopped = [task for task in job.open.values() if (task.work, task.token) in wanted]
            if stopped:
                self._give_back(stopped, Outcome.STOPPED)
                left = [task for task in job.open.values() if (task.work, task.token) not in wanted]
                job.batch = replace(job.batch, tasks=left)
                job.open = dict(enumerate(left, 1))
                if not left:
                    self._backlog.remove(job)
        for job in self._backlog:
            self._numbers += 1
            job.number = self._numbers

    def drain(self) -> None:
        """Give back what has not begun (`drained`), finish what has; nothing new is taken."""
        self._draining = True
        for child in self._children:
            for job in child.jobs[1:]:
                if child.take_back(job):
                    self._backlog.append(job)
            doing = child.board.snapshot()
            for job in child.jobs:
                rows = [row for row in job.open if doing.batch != job.number or row > doing.row]
                if rows:
                    child.drop(job, dict.fromkeys(rows, Outcome.DRAINED.value))
                    self._watch_writing(child)
        while self._backlog:
            self._give_back(self._backlog.popleft().open.values())

    def close(self) -> None:
        """End all processes at once; what ran is lost, what waited too."""
        if self._closed:
            return
        self._closed = True
        for child in self._children:
            if child.jobs:
                child.kill()
            else:
                with contextlib.suppress(OSError):
                    child.channel.shutdown(socket.SHUT_RDWR)
        until = time.monotonic() + _LEAVE
        for child in list(self._children):
            if not child.jobs:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.popen.wait(max(until - time.monotonic(), 0.0))
            self._forget(child)
            child.close()
        self._backlog.clear()
        self._selector.close()
        self._guard.communicate()
        self._starter.shutdown()


def _can_queue(child: Child) -> bool:
    """Whether a second batch may wait at this worker: behind one of many (so short) runs only."""
    return len(child.jobs) == 1 and len(child.jobs[0].batch.tasks) > 1 and child.cause is None


def _died_of(child: Child) -> Snapshot:
    """The run that a dead worker was in; if it died of itself between two, the first that it did not report.

    It may have been one after that. The one that is blamed comes alone then, and ends well, and the next is the first.
    """
    doing = child.board.snapshot()
    job = next((job for job in child.jobs if job.number == doing.batch), None)
    if doing.row or job is None or child.cause is not None:
        return doing
    begin = doing.log_begin if len(job.open) == 1 else child.log_size()
    return replace(doing, row=min(job.open), log_begin=begin)


def _lost(task: Task, ended: str, child: Child, at: tuple[int, int]) -> Report:
    cause = child.cause
    if cause is None or (cause.batch, cause.row) != at:
        return Report(task.work, task.token, Outcome.LOST, error=ended)
    return Report(task.work, task.token, Outcome.FAILED if cause.failed else Outcome.LOST, error=cause.error)


def _sweep_logs(folder: Path) -> None:
    """Remove the log files of pools whose process is gone; of other machines, beside it, those that are a month old."""
    for file in folder.glob("worker-*.log"):
        process = file.name.split("-")[1]
        if process.isdigit() and not psutil.pid_exists(int(process)):
            with contextlib.suppress(OSError):
                file.unlink()
    old = time.time() - _MONTH
    for file in (*folder.parent.glob("worker-*.log"), *folder.parent.glob("*/worker-*.log")):
        with contextlib.suppress(OSError):
            if file.parent != folder and file.stat().st_mtime < old:
                file.unlink()
                if file.parent != folder.parent:
                    file.parent.rmdir()  # with its last file
