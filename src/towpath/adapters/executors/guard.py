"""A small process beside a pool: when the pool's process is gone, it ends every process that the pool's workers left.

It holds nothing but the pool's marker, which workers inherit in their environment, and the workers' sessions; it ends
itself when its standard input does. Standard library only, started as a file, so that it costs little.
"""

import contextlib
import os
import signal
import sys
import time

MARKER = "TOWPATH_POOL"
_ROUNDS = 50
_PAUSE = 0.02  # seconds


def belonging(marker: str, sessions: set[int]) -> list[int]:
    """The living processes that carry `marker` in their environment or belong to one of the sessions."""
    needle = f"{MARKER}={marker}".encode()
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208  plain str
        if name.isdigit() and int(name) != os.getpid():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123  plain str
                    state, _, _, session = file.read().rpartition(b") ")[2].split()[:4]
                with open(f"/proc/{name}/environ", "rb") as file:  # noqa: PTH123
                    environment = file.read()
            except OSError:  # gone, or another user's
                continue
            if state not in (b"Z", b"X") and (int(session) in sessions or needle in environment):
                found.append(int(name))
    return found


def end(marker: str, sessions: set[int]) -> int:
    """Kill all of them, also those they start meanwhile; returns how many were found."""
    ended: set[int] = set()
    if not os.path.isdir("/proc/self"):  # noqa: PTH112  not this system: their sessions are their groups
        for session in sessions:
            with contextlib.suppress(OSError):
                os.killpg(session, signal.SIGKILL)
        return 0
    for _ in range(_ROUNDS):
        found = belonging(marker, sessions)
        if not found:
            break
        for process in found:
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
        ended.update(found)
        time.sleep(_PAUSE)
    return len(ended)


def main() -> None:
    """Wait for the pool's end; lines ``+123`` and ``-123`` on standard input tell of sessions that begin and end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sessions: set[int] = set()
    for line in sys.stdin:
        (sessions.add if line[0] == "+" else sessions.discard)(int(line[1:]))
    end(sys.argv[1], sessions)


if __name__ == "__main__":
    main()
