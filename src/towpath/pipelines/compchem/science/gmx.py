"""Runs GROMACS on a run input, `gmx dump` for its parameters and `gmx editconf` for its start, within bounds.

The program is started by a list of arguments, never through a shell, in a scratch folder where the input is linked
under a name of our own; so no file name can be an option. It never writes beside the input.
"""

import os
import re
import selectors
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from .annotation import Dump, read_dump

MOST_BYTES, MOST_SECONDS = 64 * 1024 * 1024, 60.0
_TOO_NEW = re.compile(r"version (\d+) with version (\d+) program")
_PROGRAM = re.compile(r"^GROMACS version:\s*(\S+)", re.M)


class DumpFailed(Exception):
    """No annotation came of `gmx dump`; the text is a clause that says why ("this GROMACS reads tpx up to 127").

    `is_of_version` is True where the file may be sound and only the program is too old or too new for it.
    """

    def __init__(self, why: str, *, is_of_version: bool = False) -> None:
        super().__init__(why)
        self.is_of_version = is_of_version


def find_gmx() -> str | None:
    """Find the program: what ``TOWPATH_GMX`` names, else `gmx` of the search path; an empty setting is none."""
    told = os.environ.get("TOWPATH_GMX")
    return shutil.which("gmx" if told is None else told) if told != "" else None


@lru_cache(maxsize=8)
def gmx_version(program: str) -> str:
    """Give the version that a `gmx` tells of itself, or ``"unknown"``."""
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            [program, "-quiet", "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=20,
            check=False,
        )
        if found := _PROGRAM.search(done.stdout.decode("utf-8", "replace")):
            return found[1]
    return "unknown"


def dump_run_input(path: Path, folder: Path, *, program: str) -> Dump:
    """Read a run input by `gmx dump -s`.

    Parameters
    ----------
    path
        Of the ``.tpr``.
    folder
        Where a scratch folder may be made.
    program
        Of GROMACS.

    Raises
    ------
    DumpFailed
        If it cannot be started, cannot read the file, or goes beyond 60 s or 64 MB.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix="gmx-") as scratch:
        link = Path(scratch) / "run.tpr"
        link.symlink_to(path.resolve())
        errors = Path(scratch) / "stderr"
        with errors.open("wb") as file:
            running = _start(program, Path(scratch), file.fileno())
            try:
                dump = read_dump(_lines(running))
            finally:
                ended = _end(running)
        if not dump.complete:
            raise _why(errors, ended)
        return dump


def write_start(path: Path, folder: Path, target: Path, *, program: str) -> bool:
    """Write the coordinates that a run input starts from as a .gro; False where that fails or takes beyond 60 s."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="gmx-") as scratch:
        (Path(scratch) / "run.tpr").symlink_to(path.resolve())
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run(
                [program, "-quiet", "editconf", "-f", "run.tpr", "-o", "start.gro"],
                cwd=scratch,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=MOST_SECONDS,
                check=True,
            )
            (Path(scratch) / "start.gro").replace(target)
            return True
    return False


def _environment() -> dict[str, str]:
    return {**os.environ, "GMX_MAXBACKUP": "-1", "OMP_NUM_THREADS": "1", "LC_ALL": "C"}


def _start(program: str, scratch: Path, errors: int) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            [program, "-quiet", "dump", "-s", "run.tpr"],
            cwd=scratch,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    except OSError as error:
        raise DumpFailed(f"gmx could not be started ({error.strerror})") from error


def _lines(running: "subprocess.Popen[bytes]") -> Iterator[str]:
    """Yield the lines that it prints until it ends; beyond the bounds `DumpFailed`."""
    assert running.stdout is not None
    fd, rest, read = running.stdout.fileno(), b"", 0
    end = time.monotonic() + MOST_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(fd, selectors.EVENT_READ)
        while True:
            left = end - time.monotonic()
            if left <= 0 or not selector.select(left):
                raise DumpFailed(f"gmx dump did not end within {MOST_SECONDS:.0f} s")
            piece = os.read(fd, 1 << 18)
            read += len(piece)
            if not piece:
                break
            if read > MOST_BYTES:
                raise DumpFailed(f"gmx dump wrote more than {MOST_BYTES >> 20} MB before the box")
            *whole, rest = (rest + piece).split(b"\n")
            yield from (line.decode("utf-8", "replace") for line in whole)
    if rest:
        yield rest.decode("utf-8", "replace")


def _end(running: "subprocess.Popen[bytes]") -> int | None:
    """End it if it still runs, which is so where the rest of its text is not wanted."""
    assert running.stdout is not None
    running.stdout.close()
    with suppress(subprocess.TimeoutExpired):
        return running.wait(timeout=1.0)
    running.kill()
    return running.wait()


def _why(errors: Path, ended: int | None) -> DumpFailed:
    text = errors.read_bytes()[-20_000:].decode("utf-8", "replace")
    if too_new := _TOO_NEW.search(text):
        wrote, reads = too_new.groups()
        if int(wrote) < int(reads):
            why = f"the installed GROMACS, of tpx version {reads}, no longer reads {wrote}"
        else:
            why = f"the installed GROMACS reads tpx versions up to {reads}"
        return DumpFailed(why, is_of_version=True)
    if "Fatal error:" in text:
        said = " ".join(text.split("Fatal error:", 1)[1].split("For more information")[0].split())
        return DumpFailed(f"gmx dump stopped with “{said[:160].rstrip('.')}”")
    return DumpFailed(f"gmx dump ended with code {ended} and printed no box")
