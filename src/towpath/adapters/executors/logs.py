"""A worker's one log file, behind the file descriptors 1 and 2; the log of a run is a byte range of it.

What Python, C code and subprocesses write lands there as they write it. A range is given only once everything buffered
in this process is in the file. Nothing is copied here but on request (`collect_log`).
"""

import ctypes
import io
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

LIMIT = 64 << 20  # bytes that one run may write
ROTATE = 16 << 20  # bytes of a worker's file after which its next batch gets a new one
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_CHUNK = 1 << 20

_flush_c = ctypes.PyDLL(None).fflush  # of all C streams, for the argument NULL
_flush_c.argtypes = [ctypes.c_void_p]
_set_buffer = ctypes.PyDLL(None).setvbuf
_set_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t]
_LINES = 1  # _IOLBF of glibc, musl and the BSDs


def log_name(base: str, number: int) -> str:
    """The `number`-th log file of the worker whose files begin with `base`."""
    return f"{base}.{number}.log"


class RunLog:
    """A log file which takes over file descriptors 1 and 2, and `sys.stdout` and `sys.stderr`.

    Parameters
    ----------
    file
        Where it is; appended to.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self._fd = os.open(file, _FLAGS, 0o644)
        self._saved: tuple[int, int] | None = None
        self._streams = (sys.stdout, sys.stderr)
        self._own: list[io.TextIOWrapper] = []

    def capture(self) -> None:
        """Begin to take what this process writes, until `restore`."""
        self._streams = (sys.stdout, sys.stderr)
        _flush_python()
        self._saved = (os.dup(1), os.dup(2))
        os.dup2(self._fd, 1)
        os.dup2(self._fd, 2)
        self._own = [_text(1), _text(2)]
        sys.stdout, sys.stderr = self._own
        _lines_of_c()

    def restore(self) -> None:
        """Give file descriptors and streams back."""
        if self._saved is not None:
            self.end()
            for number, saved in enumerate(self._saved, 1):
                os.dup2(saved, number)
                os.close(saved)
            sys.stdout, sys.stderr = self._streams
            self._saved, self._own = None, []

    def begin(self) -> int:
        """The byte at which a run that starts now begins."""
        return os.lseek(self._fd, 0, os.SEEK_END)

    def end(self) -> int:
        """The byte at which a run that ends now ends; all that is buffered is written first."""
        if sys.stdout is not self._own[0] or sys.stderr is not self._own[1]:
            _flush_python()
            sys.stdout, sys.stderr = self._own
        try:
            sys.stdout.flush()
            sys.stderr.flush()
            _flush_c(None)
            os.fstat(1)
            os.fstat(2)
        except (OSError, ValueError):
            self._heal()
        return os.lseek(self._fd, 0, os.SEEK_END)

    def _heal(self) -> None:
        """The run closed a stream or a descriptor: the next one gets them new."""
        os.dup2(self._fd, 1)
        os.dup2(self._fd, 2)
        self._own = [_text(1), _text(2)]
        sys.stdout, sys.stderr = self._own

    def cut(self, end: int) -> None:
        """Give back the disk space after byte `end`."""
        os.ftruncate(self._fd, end)

    def rotate(self, file: str) -> None:
        """Go on in a new file."""
        fresh = os.open(file, _FLAGS, 0o644)
        os.dup2(fresh, self._fd, inheritable=False)
        os.close(fresh)
        os.dup2(self._fd, 1)
        os.dup2(self._fd, 2)
        self.file = file

    def close(self) -> None:
        """Restore and close."""
        self.restore()
        os.close(self._fd)


class _Stderr(logging.StreamHandler[Any]):
    """Writes to what `sys.stderr` is now: user code may have closed the one before."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        self.stream = sys.stderr
        super().emit(record)


def log_handler() -> logging.Handler:
    """What writes records of `logging` to the log, with the time in UTC."""
    form = logging.Formatter(
        "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    form.converter = time.gmtime
    handler = _Stderr()
    handler.setFormatter(form)
    return handler


def _text(number: int) -> io.TextIOWrapper:
    raw = io.FileIO(number, "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", errors="backslashreplace", line_buffering=True)


def _flush_python() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):  # closed by the run
            continue


def _lines_of_c() -> None:
    """C code writes line by line from now on, so that a log can be followed."""
    _flush_c(None)
    try:
        stdout = ctypes.c_void_p.in_dll(ctypes.PyDLL(None), "stdout")
    except ValueError:  # another name for it on this system: flushed at the end of the run only
        return
    _set_buffer(stdout, None, _LINES, 0)


def collect_log(file: str, begin: int, end: int, target: Path) -> int:
    """Copy the bytes [begin, end) of a worker's log to a file of their own; returns how many there were.

    A range stays readable for two minutes after the worker has left its file.

    Parameters
    ----------
    file, begin, end
        As in `Report.log`.
    target
        The file to write; its folder is made.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    left = end - begin
    with open(file, "rb", buffering=0) as source, target.open("wb", buffering=0) as copy:  # noqa: PTH123  a plain str
        source.seek(begin)
        while left > 0 and (chunk := source.read(min(left, _CHUNK))):
            copy.write(chunk)
            left -= len(chunk)
    return end - begin - left


def tail(file: str, size: int = 2000) -> str:
    """The last `size` bytes of a log as text, "" where there is none."""
    try:
        with open(file, "rb") as source:  # noqa: PTH123  a plain str
            source.seek(max(0, os.fstat(source.fileno()).st_size - size))
            return source.read().decode(errors="replace").strip()
    except OSError:
        return ""
