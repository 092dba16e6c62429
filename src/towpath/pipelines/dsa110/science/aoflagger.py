"""Flags a Measurement Set by AOFlagger, where it is installed, in a process of its own.

Promises that AOFlagger (GPL) is never loaded into this process, and that its failure is an error with its last words.
The Measurement Set's FLAG column is changed in place; nothing else is.
"""

import shutil
import subprocess
from pathlib import Path

PROGRAM = "aoflagger"
LAST_WORDS = 2000  # characters of its output that an error shows


class FlaggerError(RuntimeError):
    """AOFlagger did not flag: do what the message says, or use the flagger that is built in."""


def is_installed() -> bool:
    """Whether the program is found on the path."""
    return shutil.which(PROGRAM) is not None


def version() -> str:
    """What the program says about itself, for provenance; empty where it is not installed."""
    program = shutil.which(PROGRAM)
    if program is None:
        return ""
    found = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=60)
    return (found.stdout or found.stderr).strip().split("\n")[0]


def run(
    ms: str | Path,
    strategy: str | Path | None = None,
    *,
    column: str = "DATA",
    threads: int = 2,
    timeout: float = 1800.0,
) -> None:
    """Flag a Measurement Set in place.

    Parameters
    ----------
    strategy
        A Lua file; None for the strategy that AOFlagger chooses by the telescope's name.
    column
        Of the data.
    threads : int
        How many it may use.
    timeout : float
        Seconds after which it is stopped.

    Raises
    ------
    FlaggerError
        If it is not installed, a file is missing, it failed, or it took too long.
    """
    ms = Path(ms)
    program = shutil.which(PROGRAM)
    if program is None:
        raise FlaggerError(
            f"{PROGRAM}: no such program on the path; install it (Debian, Ubuntu: apt install aoflagger) "
            "or use the built-in flagger"
        )
    if not (ms / "table.dat").is_file():
        raise FlaggerError(f"Measurement Set {ms}: no such table")
    command = [program, "-j", str(threads), "-column", column]
    if strategy is not None:
        if not Path(strategy).is_file():
            raise FlaggerError(f"strategy {strategy}: no such file")
        command += ["-strategy", str(strategy)]
    try:
        done = subprocess.run(
            [*command, str(ms)],
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise FlaggerError(f"{PROGRAM} on {ms}: not done after {timeout:g} s") from None
    if done.returncode != 0:
        words = (done.stdout + done.stderr).strip()[-LAST_WORDS:]
        raise FlaggerError(f"{PROGRAM} on {ms}: exit status {done.returncode}: {words}")
