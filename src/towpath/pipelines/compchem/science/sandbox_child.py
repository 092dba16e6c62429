"""The forked process in which one file is read: sets its limits, reads, and leaves ``outcome.json`` in its folder.

Whatever the reader raises becomes an outcome with a sentence; the traceback goes to the log and nowhere else. Standard
library only; it never returns to the server that forked it.
"""

import contextlib
import ctypes
import errno
import faulthandler
import importlib
import math
import os
import resource
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .outcome import Outcome, Status, Unreadable

OUTCOME = "outcome.json"
DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EROFS})
NOT_LOADED = (
    99  # exit status: something that reading needs is not installed, which the outcome's sentence names
)
OF_DISK = 100  # exit status: this and the number of an error of the disk
_PDEATHSIG = 1
_LENGTH = 300  # characters of an exception's text that are told
_ADVICE = "Check that it is whole and undamaged; if it is, tell those who run this site what it is."
_RAISE = "If it is as it should be, ask those who run this site to raise the limit."
_SIZES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


@dataclass(frozen=True, slots=True)
class Limits:
    """What one child may use: seconds by the clock and of the CPU, bytes of memory, bytes of what it writes."""

    seconds: float
    cpu: float
    memory: int
    output: int


@dataclass(frozen=True, slots=True)
class Request:
    """What one child is to do: call `target` with `given` and `folder`. `doing` is that in words, for sentences."""

    target: str
    given: Mapping[str, Any]
    folder: str
    doing: str
    limits: Limits

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Request":
        """The request that was sent as JSON."""
        return cls(told["target"], told["given"], told["folder"], told["doing"], Limits(**told["limits"]))


def size_in_words(size: float) -> str:
    """Bytes in words, such as ``"1.5 GB"`` (10⁹ bytes)."""
    for unit, name in _SIZES:
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size:.0f} bytes"


def _begin(doing: str) -> str:
    return doing[:1].upper() + doing[1:]


def too_long(doing: str, seconds: float) -> str:
    """What is said when the time was up."""
    return (
        f"{_begin(doing)} did not end within {seconds:g} s and was stopped. The file may be damaged. {_RAISE}"
    )


def too_large(doing: str, memory: int) -> str:
    """What is said when memory was not enough."""
    return (
        f"{_begin(doing)} needed more than {size_in_words(memory)} of memory and was stopped. "
        f"The file may be damaged, or too large to be read at once. {_RAISE}"
    )


def too_much(doing: str, output: int) -> str:
    """What is said when too much was written."""
    return (
        f"{_begin(doing)} wrote more than {size_in_words(output)} and was stopped. "
        f"The file may be damaged. {_RAISE}"
    )


def crashed(doing: str, how: str) -> str:
    """What is said when the process ended without a word."""
    return f"{_begin(doing)} ended in a crash ({how}): nothing could be used. {_ADVICE}"


def failed(doing: str, error: BaseException) -> str:
    """What is said of an exception that nobody understood: its kind and the beginning of its text, in one line."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001  the error's own text
        text = ""
    text = text if len(text) <= _LENGTH else f"{text[:_LENGTH]}…"
    told = f"{type(error).__name__}: {text}".removesuffix(": ")
    return f"{_begin(doing)} failed ({told}): the file is not what it seems to be, or damaged. {_ADVICE}"


# ---- becoming the child
def become(request: Request, server: int, output: int, close: tuple[int, ...]) -> None:
    """Do what is asked in this process, which was just forked by process `server`, and end it. Never returns.

    What it prints goes to file descriptor `output`; the descriptors `close` are the server's own.
    """
    status = 70
    try:
        os.setsid()
        _die_with(server)
        for number in close:
            os.close(number)
        null = os.open(os.devnull, os.O_RDONLY)
        for old, new in ((null, 0), (output, 1), (output, 2)):
            os.dup2(old, new)
        os.close(null)
        os.close(output)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        faulthandler.enable(2)
        os.chdir(request.folder)
        _limit(request.limits)
        status = _act(request)
    except BaseException:  # noqa: BLE001  a forked process must not go on with the server's work
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _die_with(parent: int) -> None:
    """Be killed when the parent is gone, and be the first choice of the system when memory runs out."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123
            file.write("1000")
    if os.getppid() != parent:
        os._exit(0)


def _mapped() -> int:
    """Bytes of address space that the libraries which are loaded already take."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return 0
    return pages * resource.getpagesize()


def _limit(limits: Limits) -> None:
    """Set the soft limits; the hard ones stay, so that the outcome can be written where a soft one was met."""
    seconds = max(1, math.ceil(limits.cpu))
    for kind, most in (
        (resource.RLIMIT_AS, _mapped() + limits.memory),
        (resource.RLIMIT_FSIZE, limits.output),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (soft, hard))


def _lift() -> None:
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_FSIZE):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (hard, hard))


# ---- reading
def _act(request: Request) -> int:
    """Call the target and leave its outcome; returns the exit status."""
    folder = Path(request.folder)
    try:
        outcome = _call(request.target, _given(request.given), folder)
        _leave(outcome, folder)
    except BaseException as error:  # noqa: BLE001  whatever a reader raises is an outcome
        if not isinstance(error, Unreadable):
            traceback.print_exc()
        _lift()
        number = _disk_error(error)
        if number:
            return OF_DISK + number
        if missing := next((one for one in _chain(error) if isinstance(one, ImportError)), None):
            _leave(Outcome(Status.FAILURE, f"{type(missing).__name__}: {missing}"), folder)
            return NOT_LOADED
        sentence = error.sentence if isinstance(error, Unreadable) else _understood(request, error)
        _leave(Outcome(Status.FAILURE, sentence), folder)
    return 0


def _given(given: Mapping[str, Any]) -> dict[str, Any]:
    """Paths as they are read: lists of files by role, or one file by name."""
    return {
        name: Path(one) if isinstance(one, str) else tuple(Path(path) for path in one)
        for name, one in given.items()
    }


def _call(target: str, given: Mapping[str, Any], folder: Path) -> Outcome:
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name, None)
    if function is None:
        raise ImportError(f"cannot import name {name!r} from {module!r}")
    outcome = function(given, folder)
    if not isinstance(outcome, Outcome):
        raise TypeError(f"{target} gave {type(outcome).__name__}; expected an Outcome")
    return outcome


def _leave(outcome: Outcome, folder: Path) -> None:
    unfinished = folder / f".{OUTCOME}"
    outcome.write(unfinished)
    unfinished.replace(folder / OUTCOME)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it was raised from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _disk_error(error: BaseException) -> int:
    """The number of the error of a disk that is full or away, or 0."""
    return next(
        (one.errno or 0 for one in _chain(error) if isinstance(one, OSError) and one.errno in DISK), 0
    )


def _understood(request: Request, error: BaseException) -> str:
    """The sentence for an error: limits are told as such."""
    limits = request.limits
    for one in _chain(error):
        if isinstance(one, MemoryError) or (isinstance(one, OSError) and one.errno == errno.ENOMEM):
            return too_large(request.doing, limits.memory)
        if isinstance(one, OSError) and one.errno == errno.EFBIG:
            return too_much(request.doing, limits.output)
    return failed(request.doing, error)
