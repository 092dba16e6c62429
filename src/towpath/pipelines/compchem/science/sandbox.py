"""Runs a reader or a drawer in a forked process with limits: a hostile or endless file costs one run and nothing else.

Libraries that take seconds to import are imported once for all runs of this process, by a server of its own which forks
a child for each. Promises an outcome with a sentence for whatever the file does to its reader, and that no process is
left when a call ends, however it ends. Never lets a file's reader run in this process.
"""

import atexit
import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .outcome import Outcome, Status
from .sandbox_child import (
    NOT_LOADED,
    OF_DISK,
    OUTCOME,
    Limits,
    crashed,
    size_in_words,
    too_large,
    too_long,
    too_much,
)
from .sandbox_server import OUTPUT, SECONDS

Log = Callable[[str], None]
_MODULE = "towpath.pipelines.compchem.science.sandbox_server"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS",
            "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")  # fmt: skip
_UNTOLD = frozenset(
    {"TOWPATH_URL", "TOWPATH_RUN", "TOWPATH_RUN_TOKEN"}
)  # of the run in which the server begins
_IMPORTING = 300.0  # seconds that the imports before the first child may take
_GRACE = 10.0  # seconds beyond its limit after which the server itself is given up
_ENDING = 2.0  # seconds in which the server ends all when it is asked to
_MOST_TOLD = 64 << 20  # bytes of an outcome
_READ = 1 << 16
_KILL, _CPU = -9, -24
_SIGNALS = {
    -4: "illegal instruction",
    -6: "aborted",
    -7: "bus error",
    -8: "floating point exception",
    -11: "segmentation fault",
}


class ServerLost(Exception):
    """The server ended twice in a call, which no file can bring about by itself: the system may be short of memory."""


class NotLoaded(Exception):
    """Something that a reader needs is not installed; no file is to blame."""


class _Lost(Exception):
    """The server ended, or does not answer."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of one child: its outcome, and the seconds that it took by the clock and of the CPU, without imports."""

    outcome: Outcome
    seconds: float
    cpu: float


def run_limited(
    target: str,
    given: Mapping[str, Path | Sequence[Path]],
    folder: Path,
    *,
    seconds: float,
    memory: int,
    output: int,
    cpu: float | None = None,
    doing: str = "reading this file",
    preload: Sequence[str] = (),
    log: Log | None = None,
) -> Ran:
    """Call ``target(given, folder)`` in a process of its own, within limits.

    Parameters
    ----------
    target
        ``module:function`` of a reader (role → paths) or a drawer (output → path), which returns an `Outcome`.
    given
        What it is given.
    folder
        An empty folder in which it writes.
    seconds
        The most it may take by the clock, its children included.
    memory, output
        Bytes: of address space beyond what is imported, and of all files that it writes.
    cpu
        Seconds of the CPU that it may use; as many as by the clock unless said otherwise.
    doing
        What it does in words, as the beginning of sentences such as "reading this file did not end within 10 s".
    preload
        Modules that are imported once, before the first child that needs them.
    log
        Called with what the child prints, in pieces; None: it is printed by this process.

    Raises
    ------
    OSError
        If the disk is full or away.
    NotLoaded
        If the target, or a library that it needs, cannot be imported.
    ServerLost
        If the server was ended twice; it may work later.
    """
    limits = Limits(seconds, seconds if cpu is None else cpu, memory, output)
    places = {
        name: str(one.absolute()) if isinstance(one, Path) else [str(path.absolute()) for path in one]
        for name, one in given.items()
    }
    request = {
        "target": target,
        "given": places,
        "folder": str(folder.absolute()),
        "doing": doing,
        "limits": asdict(limits),
        "preload": list(preload),
    }
    with _LOCK:
        for is_last in (False, True):
            try:
                ended = _server().ask(request, seconds, log or _print)
            except _Lost as error:
                close()
                _empty(folder)
                if is_last:
                    raise ServerLost(f"the server that reads files ended twice ({error})") from error
            except BaseException:  # the run is stopped: nothing of it may go on
                close()
                raise
            else:
                break
    return _told(ended, doing, limits, folder)


def _print(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


# ---- what came of it
@dataclass(frozen=True, slots=True)
class _Ended:
    status: int
    cause: str
    seconds: float
    cpu: float


def _told(ended: _Ended, doing: str, limits: Limits, folder: Path) -> Ran:
    """The outcome of a child, by how it ended and what it left."""
    if ended.status > OF_DISK:
        number = ended.status - OF_DISK
        raise OSError(number, os.strerror(number))
    if ended.status == NOT_LOADED:
        raise NotLoaded(f"what {doing} needs is not installed: {_left(folder, doing).sentence}")
    sentence = _sentence(ended, doing, limits)
    outcome = Outcome(Status.FAILURE, sentence) if sentence else _left(folder, doing)
    return Ran(outcome, ended.seconds, ended.cpu)


def _sentence(ended: _Ended, doing: str, limits: Limits) -> str:
    """Why nothing can be used; empty if the child ended as it should."""
    if ended.cause == SECONDS:
        return too_long(doing, limits.seconds)
    if ended.cause == OUTPUT:
        return too_much(doing, limits.output)
    if ended.status == _CPU:
        return too_long(doing, limits.cpu)
    if ended.status == _KILL:
        return too_large(doing, limits.memory)
    if ended.status < 0:
        return crashed(doing, _SIGNALS.get(ended.status, f"signal {-ended.status}"))
    return crashed(doing, f"it exited with status {ended.status}") if ended.status else ""


def _left(folder: Path, doing: str) -> Outcome:
    """The outcome that the child left, without files that are not there."""
    path = folder / OUTCOME
    try:
        if path.is_symlink() or path.stat().st_size > _MOST_TOLD:
            return Outcome(Status.FAILURE, crashed(doing, f"it said more than {size_in_words(_MOST_TOLD)}"))
        outcome = Outcome.read(path)
        named = {str(name): folder / Path(str(file)).name for name, file in outcome.files.items()}
        facts, parser = dict(outcome.facts), {str(key): str(text) for key, text in outcome.parser.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return Outcome(Status.FAILURE, crashed(doing, "it ended without saying what came of it"))
    there = {name: file.name for name, file in named.items() if file.is_file() and not file.is_symlink()}
    outcome = replace(outcome, sentence=str(outcome.sentence), files=there, facts=facts, parser=parser)
    if lost := sorted(set(named) - set(there)):
        status = Status.PARTIAL if outcome.status is Status.SUCCESS else outcome.status
        sentence = f"{outcome.sentence} What should have been made is not there: {', '.join(lost)}."
        return replace(outcome, status=status, sentence=sentence)
    return outcome


# ---- the server, as whoever asks sees it
class _Server:
    """The process of `sandbox_server`: one request at a time."""

    def __init__(self) -> None:
        self.process = os.getpid()
        environment = {name: text for name, text in os.environ.items() if name not in _UNTOLD}
        self._popen = subprocess.Popen(
            [sys.executable, "-P", "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**environment, **dict.fromkeys(_THREADS, "1")},
            bufsize=0,
        )
        self.pid = self._popen.pid
        self._unread = b""
        with contextlib.suppress(_Lost):  # the first request finds out
            self._send({"sys_path": sys.path})

    def is_alive(self) -> bool:
        return self._popen.poll() is None

    def ask(self, request: Mapping[str, Any], seconds: float, log: Log) -> _Ended:
        """Send a request and wait for its end; what is printed meanwhile goes to `log`."""
        self._send(request)
        deadline = time.monotonic() + _IMPORTING
        while True:
            message = self._receive(deadline)
            if "began" in message:
                deadline = time.monotonic() + seconds + _GRACE
            elif "text" in message:
                log(message["text"])
            else:
                return _Ended(*message["ended"])

    def _send(self, message: Mapping[str, Any]) -> None:
        data = memoryview(json.dumps(message).encode() + b"\n")
        assert self._popen.stdin is not None
        try:
            while data:
                data = data[os.write(self._popen.stdin.fileno(), data) :]
        except OSError as error:
            raise _Lost("it does not listen") from error

    def _receive(self, deadline: float) -> dict[str, Any]:
        assert self._popen.stdout is not None
        number = self._popen.stdout.fileno()
        while b"\n" not in self._unread:
            if not select.select([number], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise _Lost("it did not answer in time")
            data = os.read(number, _READ)
            if not data:
                raise _Lost("it was ended")
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def forget(self) -> None:
        """Close the pipes, which are another process's."""
        for pipe in (self._popen.stdin, self._popen.stdout):
            if pipe is not None:
                pipe.close()

    def close(self) -> None:
        """Ask it to end everything, and wait until it has."""
        self.forget()
        try:
            self._popen.wait(_ENDING)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()


_LOCK = threading.Lock()
_SERVERS: list[_Server] = []  # at most one


def _server() -> _Server:
    """The server of this process, started where there is none."""
    if not (_SERVERS and _SERVERS[0].is_alive()):
        close()
        _SERVERS.append(_Server())
    return _SERVERS[0]


def server_pid() -> int | None:
    """The process that stays for the next call, if there is one."""
    return _SERVERS[0].pid if _SERVERS and _SERVERS[0].is_alive() else None


def close() -> None:
    """End the server of this process with all that it started; the next call starts another."""
    while _SERVERS:
        _SERVERS.pop().close()


def _forget() -> None:
    """In a process that was forked from this one: the server is not its own."""
    global _LOCK
    _LOCK = threading.Lock()
    while _SERVERS:
        _SERVERS.pop().forget()


atexit.register(close)
os.register_at_fork(after_in_child=_forget)
