"""What a worker arranges with the system about its own process, its runs and its children, and a death in words.

On Linux a worker dies with its parent, is the first choice when memory runs out, and inherits the orphans of its runs.
Elsewhere the functions do what they can and never fail.
"""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_PDEATHSIG, _CHILD_SUBREAPER = 1, 36
_NAMED = {
    signal.SIGSEGV: "segmentation fault (SIGSEGV)",
    signal.SIGBUS: "bus error (SIGBUS)",
    signal.SIGABRT: "aborted (SIGABRT)",
    signal.SIGFPE: "floating point exception (SIGFPE)",
    signal.SIGILL: "illegal instruction (SIGILL)",
    signal.SIGKILL: "killed by SIGKILL (perhaps out of memory)",
}
_TRACKERS = (("multiprocessing.resource_tracker", "_resource_tracker", "_pid"),
             ("multiprocessing.forkserver", "_forkserver", "_forkserver_pid"))  # fmt: skip
_KEPT: set[int] = set()  # children that stages keep from one run to the next
_PLACE = getattr(os, "O_PATH", os.O_RDONLY) | os.O_CLOEXEC
# The variables as they are held: to copy and compare them takes 2 µs, by way of `os.environ` a hundred times that.
_VARIABLES: dict[bytes, bytes] = os.environb._data  # type: ignore[attr-defined]  # see above


def describe_exit(status: int) -> str:
    """How a process ended, from its return code as `subprocess` gives it (a signal is negative)."""
    if status >= 0:
        return f"exited with status {status}"
    try:
        number = signal.Signals(-status)
    except ValueError:
        return f"killed by signal {-status}"
    return _NAMED.get(number, f"killed by {number.name}")


def megabytes(size: float) -> str:
    """Bytes in words, such as ``"312 MB"`` (10⁶ bytes)."""
    return f"{size / 1e6:.0f} MB"


def own_umask() -> int:
    """The umask of this process; where the system does not tell it, it is learned by setting another for an instant."""
    with contextlib.suppress(OSError), open("/proc/self/status") as file:  # noqa: PTH123
        for line in file:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    mask = os.umask(0o77)
    os.umask(mask)
    return mask


@contextmanager
def undisturbed(umask: int, told: Mapping[str, str], *, alone: bool) -> Iterator[None]:
    """Tell a run these variables, and put back at the end the folder and variables that this process had, and `umask`.

    Of the variables only those that it was told, where it loaded modules (what a library sets while it is loaded, once, it
    may need), or is not `alone` in the process.
    """
    here, variables, loaded = _place(), _VARIABLES.copy(), len(sys.modules)
    os.environ.update(told)
    try:
        yield
    finally:
        os.umask(umask)
        if variables != _VARIABLES:
            names = _VARIABLES.keys() | variables.keys()
            is_own = alone and len(sys.modules) == loaded
            for name in names if is_own else map(os.fsencode, told):
                _put_back(name, variables.get(name))
        try:
            os.fchdir(here)
        finally:
            os.close(here)


def _put_back(name: bytes, value: bytes | None) -> None:
    if value is None:
        os.environb.pop(name, None)
    elif _VARIABLES.get(name) != value:
        os.environb[name] = value


def _place() -> int:
    """A descriptor of the folder that this process is in; of the root, where that one may not be entered."""
    try:
        return os.open(".", _PLACE)
    except OSError:
        return os.open("/", _PLACE)


def settle_in(parent: int) -> None:
    """Arrange that this process dies with `parent`, inherits orphans, and is killed first for want of memory."""
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None).prctl
        prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        prctl(_CHILD_SUBREAPER, 1, 0, 0, 0)
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123
            file.write("500")
    if os.getppid() != parent:
        os._exit(0)


def _children() -> list[int]:
    found: list[int] = []
    for task in os.listdir("/proc/self/task"):  # noqa: PTH208  plain str
        with contextlib.suppress(OSError), open(f"/proc/self/task/{task}/children") as file:  # noqa: PTH123
            found += map(int, file.read().split())
    return found


def keep_child(process: int) -> None:
    """From here on `end_children` leaves this child alone, as long as it lives."""
    _KEPT.add(process)


def _kept() -> set[int]:
    """Processes of the interpreter itself, which live as long as it does, and those that stages keep."""
    kept = set(_KEPT)
    for module, name, attribute in _TRACKERS:
        if module in sys.modules:
            kept.add(getattr(getattr(sys.modules[module], name, None), attribute, None) or 0)
    return kept


def end_children() -> int:
    """End the children that a run left behind, orphans of its children included; returns how many were still alive.

    Those that stages keep (`keep_child`) stay.
    """
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        _KEPT.clear()
        return 0
    if not os.path.isdir("/proc/self/task"):  # noqa: PTH112  not this system
        return 0
    _KEPT.intersection_update(_children())  # an id is given again when its process is gone
    alive = 0
    while left := [
        child for child in _children() if child not in _kept()
    ]:  # orphans of the killed come after them
        for child in left:
            alive += _end(child)
    return alive


def _end(child: int) -> bool:
    """Kill and reap; whether it was still alive."""
    try:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    except (ChildProcessError, ProcessLookupError):
        return False
    return True
