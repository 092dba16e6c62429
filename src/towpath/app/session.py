"""Sessions: how a process shows that it lives, and how the leases of a dead one expire at once.

Each process holds a lock on a file of its own. Lock free: the process is dead and its leases have expired. Lock held:
the clock decides. A session of another machine is never judged by its file: not even if it has the same host name.
"""

import fcntl
import os
import socket
from functools import partial
from pathlib import Path

from towpath.contracts.catalog import Catalog, Transaction


class Session:
    """The present process, registered in the catalog with a locked file: one that works, or a server that does not."""

    def __init__(self, catalog: Catalog, folder: Path, *, attributable: bool, works: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._catalog = catalog
        self.host, pid = socket.gethostname(), os.getpid()
        stem = f"{machine()}-{self.host}-{pid}-{os.urandom(4).hex()}.lock"
        self.path = folder / stem
        self._file = self.path.open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.number = catalog.write(
            lambda tx: tx.open_session(self.host, pid, str(self.path), attributable=attributable, works=works)
        )

    def close(self) -> None:
        """Give up the session: what it still holds expires now."""
        self._catalog.write(self._leave)
        self._file.close()
        self.path.unlink(missing_ok=True)

    def _leave(self, tx: Transaction) -> None:
        tx.expire(self.number, give_back=True)
        tx.close_session(self.number)


def bury(catalog: Catalog, host: str) -> int:
    """Expire the leases of this machine's dead sessions; returns how many pieces of work came free."""
    with catalog.read() as view:
        sessions = [session for session in view.processes() if session[1] == host]
    freed, ours = 0, f"{machine()}-"
    for number, _, _, lock, attributable in sessions:
        if Path(lock).name.startswith(ours) and is_free(Path(lock)):
            freed += catalog.write(partial(_expire, number=number, attributable=attributable))
            Path(lock).unlink(missing_ok=True)
    return freed


def _expire(tx: Transaction, number: int, attributable: bool) -> int:
    if number not in {session[0] for session in tx.processes()}:
        return 0  # another process buried it meanwhile
    count: int = tx.expire(number, give_back=not attributable)
    tx.close_session(number)
    return count


def machine() -> str:
    """What tells this machine from others of the same name, as far as it is told apart."""
    try:
        return Path("/etc/machine-id").read_text(encoding="ascii").strip()[:12] or "machine"
    except OSError:
        return "machine"


def is_free(path: Path) -> bool:
    """Whether nobody holds the lock on this file (a file that is gone is free)."""
    try:
        with path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
