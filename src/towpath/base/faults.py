"""Fault points: named places at which a process can be made to die, to fail or to wait, to see what is left then.

Promises that a point costs one call and does nothing unless the variable TOWPATH_FAULT names it. Never armed by a file
or a setting: only by whoever starts the process.
"""

import errno
import itertools
import os
import re
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

VARIABLE = "TOWPATH_FAULT"
MARK = "TOWPATH_FAULT_MARK"
GATE = "TOWPATH_FAULT_GATE"

POINTS: Mapping[str, str] = {
    "process.claimed": "rows are claimed; their batch is not handed over",
    "staging.open": "an output is about to be opened in staging",
    "staging.close": "an output is written; it is not hashed",
    "staging.rename": "a run is over; its outputs are not renamed",
    "staging.renamed": "its outputs are renamed; its report is not sent",
    "process.complete": "reports are here; their transaction has not begun",
    "catalog.commit": "a transaction has done its work and is not committed",
    "catalog.committed": "a transaction is committed; nobody was told",
    "catalog.spread": "a part of a change that touches very much work is about to be done; earlier parts are committed",
    "publish.intent": "a publication is planned; its journal row is not written",
    "publish.copy": "its row is intended; no byte has moved",
    "publish.bytes": "a piece of a file was copied; more may follow",
    "publish.copied": "all is copied and flushed; the row does not say so",
    "publish.verify": "the copy was read back; the row does not say so",
    "publish.check": "the row is verified; what must hold is not asked again",
    "publish.rename": "the row is placing; the temporary is not renamed",
    "publish.link": "a file is linked to its place; it still has its temporary name",
    "publish.renamed": "it stands in its place; nobody has looked at it there",
    "publish.commit": "it was looked at in its place; the row is not committed",
    "publish.committed": "the row is committed; the source is not released",
    "publish.release": "the catalog is about to say that the source may go",
    "publish.drop": "the catalog says where the bytes are now; the source is still there",
    "publish.remove": "a temporary is about to be removed",
    "publish.trash": "a temporary folder has its doomed name; it is not removed",
    "keep.look": "products are about to be looked at, whether they may be let go; earlier steps are committed",
    "keep.shed": "the rows of some say that they are let go; their bytes are all there",
    "keep.spent": "the rows of some say that their bytes are deleted; they are still there",
    "keep.removed": "the bytes of one are removed; those of others whose rows say so are still there",
    "outbox.send": "a message is claimed; it is not sent",
    "outbox.sent": "a message is sent; its row does not say so",
    "notify.decided": "it is decided who is told what; nothing of it is written",
    "notify.told": "messages, notices and the place in the story are written; the process does not know it",
    "transfer.create": "a file is about to be made in the archive",
    "transfer.link": "the system is about to be asked for a hard link that replaces nothing",
    "transfer.rename": "the system is about to be asked for a rename that replaces nothing",
    "transfer.hole": "a note holds the name; the file is not renamed over it",
}
_FORM = re.compile(
    r"(?P<name>[a-z.]+)(:(?P<nth>[1-9]\d*)(?P<on>\+?)(:(?P<action>kill|wait|raise=(?P<errno>E\w+)))?)?\Z"
)
_PATIENCE = 600.0  # seconds at a gate


@dataclass(slots=True)
class Fault:
    """One armed fault: at the `nth` pass of its point by this process, and if `on` also at each later one."""

    name: str
    nth: int = 1
    on: bool = False
    action: Callable[[], None] = field(default=lambda: _kill())
    passes: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def strikes(self) -> bool:
        """Whether this pass is one that is meant."""
        number = next(self.passes)
        return number == self.nth or (self.on and number > self.nth)


_armed: dict[str, Fault] = {}


def point(name: str) -> None:
    """Pass a fault point. Does nothing unless the process was started with TOWPATH_FAULT naming it."""
    if _armed:
        fault = _armed.get(name)
        if fault is not None and fault.strikes() and (fault.on or _marked()):
            fault.action()


def arm(text: str) -> None:
    """Arm the faults of a text (those armed before are off then); an empty text disarms all.

    Parameters
    ----------
    text
        Faults separated by commas, each ``name[:nth[:action]]``. `nth` is the pass of the point by this process, from
        1; with a ``+`` behind it each pass from that one on. `action` is ``kill`` (SIGKILL to this process, the
        default), ``raise=ERRNO`` (an OSError, as in ``raise=ENOSPC``) or ``wait`` (until the file that the variable
        TOWPATH_FAULT_GATE names is gone). Where TOWPATH_FAULT_MARK names a file, it is made when a fault strikes, and
        none strikes while it is there: one fault among many processes, and a sign that it struck. Faults with a ``+``
        do not heed it.

    Raises
    ------
    ValueError
        If there is no such point, or the text has another form.
    """
    faults = [_read(one) for one in text.split(",") if one]
    _armed.clear()
    _armed.update({fault.name: fault for fault in faults})


def _read(text: str) -> Fault:
    match = _FORM.match(text)
    if match is None:
        raise ValueError(
            f"{VARIABLE}: found {text!r}; expected name[:nth[:action]], nth such as 1 or 2+, action kill, wait or "
            "raise=ENOSPC"
        )
    if match["name"] not in POINTS:
        raise ValueError(f"{VARIABLE}: no point {match['name']!r}; points are {', '.join(sorted(POINTS))}")
    return Fault(match["name"], int(match["nth"] or 1), bool(match["on"]), _action(match))


def _action(match: re.Match[str]) -> Callable[[], None]:
    if match["errno"] is not None:
        number = getattr(errno, match["errno"], None)
        if not isinstance(number, int):
            raise ValueError(
                f"{VARIABLE}: no error number {match['errno']!r}; errno names them, such as ENOSPC"
            )
        return lambda: _fail(number, match["name"])
    return _wait if match["action"] == "wait" else _kill


def _marked() -> bool:
    """Make the mark; False if another fault has made it."""
    mark = os.environ.get(MARK)
    if mark:
        try:
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        except FileExistsError:
            return False
    return True


def _kill() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise SystemExit  # not reached


def _fail(number: int, name: str) -> NoReturn:
    raise OSError(number, os.strerror(number), f"fault point {name}")


def _wait() -> None:
    gate, end = os.environ.get(GATE, ""), time.monotonic() + _PATIENCE
    while gate and os.path.lexists(gate) and time.monotonic() < end:
        time.sleep(0.005)


arm(os.environ.get(VARIABLE, ""))
