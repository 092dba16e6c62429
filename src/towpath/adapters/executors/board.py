"""A page of memory that a worker and the pool share: which run the worker is in, and what the pool wants of it.

Each field has one writer. What a dead worker was doing can be read here, and a batch that waits in its pipe can be
taken back with certainty. Costs no system call per run.
"""

import fcntl
import mmap
import os
import struct
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_SIZE = 4096
# The worker writes these:
_TAKEN, _ROW, _BEGAN, _LOG_BEGIN, _ROTATION, _SERVING = 0, 8, 16, 24, 32, 40
# The pool writes these:
_CALL, _REVOKED, _KEPT = 64, 72, 80
_number = struct.Struct("=Q")
_start = struct.Struct("=dQ")  # _BEGAN and _LOG_BEGIN


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a worker is doing: batch, row (from 1; 0: between runs), since when (monotonic seconds), log from where."""

    batch: int
    row: int
    began: float
    log_begin: int


def create() -> int:
    """A file descriptor of a new page."""
    if sys.platform == "linux":
        fd = os.memfd_create("towpath-board")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, _SIZE)
    return fd


class Board:
    """The page behind a file descriptor, which it then owns."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._page = mmap.mmap(fd, _SIZE)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.lockf(self._fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN)

    def _get(self, place: int) -> int:
        value: int = _number.unpack_from(self._page, place)[0]
        return value

    def _set(self, place: int, value: int) -> None:
        _number.pack_into(self._page, place, value)

    # ---- the worker's side

    def serve(self) -> None:
        """Say that this worker has started."""
        self._set(_SERVING, 1)

    def take(self, batch: int) -> bool:
        """Begin a batch; False if the pool has taken it back."""
        with self._locked():
            if batch <= self._get(_REVOKED) and batch != self._get(_KEPT):
                return False
            self._set(_TAKEN, batch)
            return True

    def begin(self, row: int, began: float, log_begin: int) -> None:
        """Enter a run."""
        _start.pack_into(self._page, _BEGAN, began, log_begin)
        _number.pack_into(self._page, _ROW, row)

    def leave(self) -> None:
        """Leave the run."""
        _number.pack_into(self._page, _ROW, 0)

    def rotated(self, number: int) -> None:
        """Say which log file is written now."""
        self._set(_ROTATION, number)

    def called(self) -> bool:
        """Whether the pool has sent something that cannot wait for the end of the batch; asked once, then forgotten."""
        if self._page[_CALL]:
            self._page[_CALL] = 0
            return True
        return False

    # ---- the pool's side

    def call(self) -> None:
        """Make the worker look at its pipe between two runs."""
        self._page[_CALL] = 1

    def revoke(self, batch: int, keep: int) -> bool:
        """Take back a batch that waits behind `keep`, the one to be done still; False if the worker has begun it."""
        with self._locked():
            if self._get(_TAKEN) >= batch:
                return False
            self._set(_REVOKED, batch)
            self._set(_KEPT, keep)
            return True

    def serving(self) -> bool:
        """Whether the worker has started."""
        return bool(self._get(_SERVING))

    def rotation(self) -> int:
        """The number of the log file that the worker writes."""
        return self._get(_ROTATION)

    def snapshot(self) -> Snapshot:
        """What the worker is doing; between runs if that changes while it is read."""
        batch, row = self._get(_TAKEN), self._get(_ROW)
        began, log_begin = _start.unpack_from(self._page, _BEGAN)
        same = (batch, row) == (self._get(_TAKEN), self._get(_ROW))
        return Snapshot(batch, row if same else 0, began, log_begin)

    def close(self) -> None:
        """Give the page back."""
        self._page.close()
        os.close(self._fd)
