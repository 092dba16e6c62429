"""Runs in this process, one after the other: for debugging, where a breakpoint should be hit and nothing is in between.

The same code does the run as in a worker, and its output goes to a log just so. Limits of time and memory are not
watched over here, and what ends the run's process ends this one.
"""

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

from towpath.adapters.executors.attempt import Attempts, Unprepared, unflushed
from towpath.adapters.executors.context import Prepared
from towpath.adapters.executors.logs import LIMIT, ROTATE, RunLog, log_handler, log_name
from towpath.base.states import Outcome
from towpath.contracts.executor import Batch, Progress, Report, Resources, Task

_LONG = 0.05  # seconds of work after which `poll` returns what there is


class InlineExecutor:
    """Runs in this process.

    Parameters
    ----------
    logs
        The folder of the log file, for processes of this machine alone.
    log_limit
        Bytes that one run may write to its log; one that wrote more has failed.
    """

    name = "inline"
    attributable = True

    def __init__(self, logs: Path, *, log_limit: int = LIMIT) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self._base, self._rotation = str(logs / f"worker-{os.getpid()}-inline"), 0
        self._log = RunLog(log_name(self._base, 0))
        self._told: list[Report | Progress] = []
        self._waiting: deque[tuple[Batch, Task]] = deque()
        self._batch: Batch | None = None
        self._prepared: Prepared | Unprepared | None = None
        self._begin: int | None = None
        self._draining = self._closed = False
        self._handler = log_handler()
        self._logger = logging.getLogger("towpath.stage")
        self._attempts = Attempts(
            f"{socket.gethostname()}/{os.getpid()}",
            self._log,
            self._told.append,
            log_limit=log_limit,
            interruptible=True,
        )

    def __enter__(self) -> "InlineExecutor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def free(self, resources: Resources) -> int:
        """One batch at a time."""
        return 0 if self._waiting or self._draining else 1

    def submit(self, batch: Batch) -> None:
        """Take a batch; its runs happen in `poll`."""
        if self._draining:
            self._told += [Report(task.work, task.token, Outcome.DRAINED) for task in batch.tasks]
        else:
            self._waiting.extend((batch, task) for task in batch.tasks)

    def poll(self, timeout: float) -> list[Report | Progress]:
        """Do runs of one batch, for 50 ms or one if that takes longer, and return what they told; waits for nothing else."""
        if self._waiting:
            self._log.capture()
            self._logger.addHandler(self._handler)
            self._logger.setLevel(logging.INFO)
            self._logger.propagate = (
                False  # what the process writes of its own accord is in the log, too: not twice
            )
            try:
                self._work(time.monotonic() + _LONG)
            finally:
                self._logger.propagate = True
                self._logger.removeHandler(self._handler)
                self._log.restore()
        elif not self._told:
            time.sleep(timeout)
        told = list(self._told)
        self._told.clear()
        return told

    def _work(self, until: float) -> None:
        while self._waiting:
            batch, task = self._waiting[0]
            if batch is not self._batch:
                self._rotate()
                self._begin = self._log.begin()
                self._prepared, self._batch = self._attempts.prepare(batch), batch
            assert self._prepared is not None
            self._waiting.popleft()
            self._told.append(self._attempts.run(self._prepared, task, self._begin))
            self._begin = None
            if time.monotonic() >= until or (self._waiting and self._waiting[0][0] is not batch):
                break
        self._flush()

    def _flush(self) -> None:
        """What the runs of a durable batch renamed is flushed to disk, or does not count."""
        prepared = self._prepared
        if isinstance(prepared, Prepared):
            try:
                prepared.folders.sync()
            except OSError as error:
                self._told[:] = [
                    unflushed(prepared, one, error) if isinstance(one, Report) else one for one in self._told
                ]

    def _rotate(self) -> None:
        if self._log.begin() > ROTATE:
            self._rotation += 1
            self._log.rotate(log_name(self._base, self._rotation))

    def stop(self, runs: Iterable[tuple[int, int]]) -> None:
        """Drop these runs; all that it holds between two calls wait."""
        self._drop(Outcome.STOPPED, set(runs))

    def running(self) -> Sequence[tuple[int, int]]:
        """The runs (work, token) that it holds."""
        return [(task.work, task.token) for _, task in self._waiting]

    def drain(self) -> None:
        """Give back everything; nothing new is taken."""
        self._draining = True
        self._drop(Outcome.DRAINED, set(self.running()))

    def _drop(self, outcome: Outcome, runs: set[tuple[int, int]]) -> None:
        dropped = [pair for pair in self._waiting if (pair[1].work, pair[1].token) in runs]
        self._waiting = deque(pair for pair in self._waiting if (pair[1].work, pair[1].token) not in runs)
        self._told += [Report(task.work, task.token, outcome) for _, task in dropped]

    def close(self) -> None:
        """Forget what waits and close the log."""
        self._waiting.clear()
        if not self._closed:
            self._closed = self._draining = True
            self._logger.removeHandler(self._handler)
            self._log.close()
