"""A process without threads that has imported the slow libraries: it forks a child for each request and watches it.

It reads requests from its standard input and writes what happens to its standard output, a JSON line each. It kills
what outlives a request, and everything when its input ends: what asked is gone then. Standard library only until a
request names what to import. Started by `sandbox` as ``python -m``.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .sandbox_child import Request, become

SECONDS, OUTPUT = "seconds", "output"  # why a child was ended
MOST_FILES = 10_000  # in the folder of one child
MOST_TEXT = 1 << 20  # bytes of what one child prints that are passed on
_SUBREAPER = 36
_READ = 1 << 16
_LOOK = 0.25  # seconds between two looks at the folder
_TICK = 0.02  # seconds between two looks at the child where the system does not tell of its end


class Gone(Exception):
    """Whoever asks is gone."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended: `status` as `subprocess` gives it, `cause` if it was ended; seconds by the clock and of the CPU."""

    status: int
    cause: str
    seconds: float
    cpu: float


class Server:
    """The loop: `requests` and `replies` are file descriptors that no child keeps."""

    def __init__(self, requests: int, replies: int) -> None:
        self._requests, self._replies = requests, replies
        self._unread = b""
        self._imported: set[str] = set()

    def serve(self) -> None:
        """Answer requests until there can be no more."""
        try:
            sys.path[:0] = [path for path in json.loads(self._line())["sys_path"] if path not in sys.path]
            while True:
                told = json.loads(self._line())
                self._warm(told["preload"])
                ended = self._do(Request.of(told))
                self._tell({"ended": [ended.status, ended.cause, ended.seconds, ended.cpu]})
        except (Gone, OSError):
            pass
        finally:
            end_children()

    def _line(self) -> bytes:
        while b"\n" not in self._unread:
            data = os.read(self._requests, _READ)
            if not data:
                raise Gone
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _tell(self, message: Mapping[str, Any]) -> None:
        data = json.dumps(message).encode() + b"\n"
        while data:
            data = data[os.write(self._replies, data) :]

    def _warm(self, names: list[str]) -> None:
        """Import what this request needs and none before it did; what cannot be imported is the child's to tell."""
        for name in names:
            if name not in self._imported:
                self._imported.add(name)
                try:
                    importlib.import_module(name)
                except Exception:  # noqa: BLE001  the child meets it again, and tells of it
                    self._text(traceback.format_exc().encode())
        gc.freeze()  # the children share what is there now

    def _text(self, data: bytes) -> None:
        self._tell({"text": data.decode("utf-8", "replace")})

    # ---- one child
    def _do(self, request: Request) -> Ended:
        """Fork a child, watch it to its end, and leave no process behind."""
        read, write = os.pipe()
        begun = time.monotonic()
        server = os.getpid()
        child = os.fork()
        if not child:
            become(request, server, write, (self._requests, self._replies, read))
        os.close(write)
        os.set_blocking(read, False)
        printed = self._passing_on(read)
        try:
            self._tell({"began": child})
            status, cause, cpu = self._watch(child, request, read, printed)
        finally:
            kill_group(child)
            end_children()
            while next(printed, False):
                pass
            os.close(read)
        if not cause and is_over(request.folder, request.limits.output):
            cause = OUTPUT
        return Ended(status, cause, time.monotonic() - begun, cpu)

    def _watch(
        self, child: int, request: Request, read: int, printed: Iterator[bool]
    ) -> tuple[int, str, float]:
        """Wait for the end of a child, or end it: its status, why it was ended, its seconds of CPU."""
        deadline = time.monotonic() + request.limits.seconds
        look = time.monotonic() + _LOOK
        cause = ""
        with _Poll(child) as poll:
            poll.add(self._requests)
            poll.add(read)
            while True:
                ready = poll.wait(min(deadline, look) - time.monotonic())
                if read in ready and next(printed, None) is None:
                    poll.remove(read)
                if self._requests in ready:
                    raise Gone
                pid, status, used = os.wait4(child, 0 if cause else os.WNOHANG)
                if pid:
                    return os.waitstatus_to_exitcode(status), cause, used.ru_utime + used.ru_stime
                now = time.monotonic()
                if now >= deadline:
                    cause = SECONDS
                elif now >= look:
                    cause = OUTPUT if is_over(request.folder, request.limits.output) else ""
                    look = now + max(_LOOK, 10 * (time.monotonic() - now))
                if cause:
                    kill_group(child)

    def _passing_on(self, read: int) -> Iterator[bool]:
        """Pass on what the child printed, a part at each step; false where there is none yet. Ends when none can come."""
        rest = MOST_TEXT
        while True:
            try:
                data = os.read(read, _READ)
            except BlockingIOError:
                yield False
                continue
            if not data:
                return
            if rest > 0:
                self._text(data[:rest])
                if len(data) >= rest:
                    self._text(b"\n... what it prints from here on is left out\n")
                rest -= len(data)
            yield True


class _Poll:
    """Waits for file descriptors, and for the end of a child where the system tells of it."""

    def __init__(self, child: int) -> None:
        self._poll = select.poll()
        self._pidfd = -1
        with contextlib.suppress(AttributeError, OSError):
            self._pidfd = os.pidfd_open(child)
            self.add(self._pidfd)

    def __enter__(self) -> "_Poll":
        return self

    def __exit__(self, *_: object) -> None:
        if self._pidfd >= 0:
            os.close(self._pidfd)

    def add(self, number: int) -> None:
        self._poll.register(number, select.POLLIN)

    def remove(self, number: int) -> None:
        self._poll.unregister(number)

    def wait(self, seconds: float) -> set[int]:
        most = seconds if self._pidfd >= 0 else min(seconds, _TICK)
        return {number for number, _ in self._poll.poll(max(0.0, most * 1000))}


def is_over(folder: str, output: int) -> bool:
    """Whether a folder holds `output` bytes or more, or very many files."""
    size = count = 0
    folders = [folder]
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                count += 1
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        size += entry.stat(follow_symlinks=False).st_size
                if size >= output or count > MOST_FILES:
                    return True
    return False


# ---- ending
def kill_group(leader: int) -> None:
    """Kill a child and the group that it leads."""
    for kill in (os.kill, os.killpg):
        with contextlib.suppress(OSError):
            kill(leader, signal.SIGKILL)


def _children() -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError), open(f"/proc/self/task/{os.getpid()}/children") as file:  # noqa: PTH123
        found = [int(one) for one in file.read().split()]
    return found


def end_children() -> None:
    """Kill and reap all children; the orphans of the killed come after them, and are killed too."""
    while True:
        for child in _children():
            kill_group(child)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def main() -> None:
    """Serve what started this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; whoever asks decides
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    requests, replies = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    Server(requests, replies).serve()
    os._exit(0)


if __name__ == "__main__":
    main()
