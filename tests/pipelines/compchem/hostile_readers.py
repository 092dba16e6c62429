"""Readers that do what hostile or broken files make readers do: called in forked children by their names."""

import ctypes
import errno
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from towpath.pipelines.compchem.science.outcome import Outcome, Status, Unreadable

Files = Mapping[str, Sequence[Path]]


def well(files: Files, folder: Path) -> Outcome:
    """Reads the file's text, tells where and as what it runs."""
    (path,) = files["file"]
    (folder / "metadata.json").write_text("{}")
    print("reading", path.name)
    print("careful", file=sys.stderr)
    facts = {
        "text": path.read_text(),
        "pid": os.getpid(),
        "server": os.getppid(),
        "group": os.getpgrp(),
        "cwd": str(Path.cwd()),
        "threads": os.environ["OMP_NUM_THREADS"],
        "told": sorted(name for name in os.environ if name.startswith("TOWPATH_RUN")),
        "preloaded": "colorsys" in sys.modules,
        "program": str(os.getppid()),
        "n_atoms": 3,
        "energies": {"total_hartree": -1.5},
    }
    return Outcome(
        Status.SUCCESS, "All was read.", {"metadata": "metadata.json"}, facts, {"name": "own", "version": "1"}
    )


def names(files: Files, folder: Path) -> Outcome:
    """Tells how the file is called."""
    (path,) = files["file"]
    told = {"name": path.name, "text": path.read_text()}
    (folder / "metadata.json").write_text(json.dumps(told))
    return Outcome(Status.SUCCESS, "All was read.", {"metadata": "metadata.json"})


def partly(files: Files, folder: Path) -> Outcome:
    """Reads a half."""
    (folder / "metadata.json").write_text("{}")
    return Outcome(Status.PARTIAL, "Half was read. Upload the whole file.", {"metadata": "metadata.json"})


def draws_unknown(files: Files, folder: Path) -> Outcome:
    """Makes what nobody declared."""
    (folder / "unknown.txt").write_text("")
    return Outcome(Status.SUCCESS, "All was read.", {"unknown": "unknown.txt"})


def promises(files: Files, folder: Path) -> Outcome:
    """Says that it made what it did not, and names a place that is not its own."""
    (folder / "link.csv").symlink_to("/etc/passwd")
    made = {"metadata": "../../etc/passwd", "table": "link.csv"}
    return Outcome(Status.SUCCESS, "All was read.", made, {}, {})


def endless(files: Files, folder: Path) -> Outcome:
    """Never ends, and has said so."""
    (folder / "begun").write_text(str(os.getpid()))
    print("begun", flush=True)
    while True:
        pass


def waits(files: Files, folder: Path) -> Outcome:
    """Never ends, without using the CPU, and has a child in a session of its own."""
    _begin_family(folder)
    time.sleep(600)
    raise AssertionError


def waits_then_floods(files: Files, folder: Path) -> Outcome:
    """The same, with more in its folder than it may have."""
    _begin_family(folder)
    return many_files(files, folder)


def _begin_family(folder: Path) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    family = [os.getpid(), subprocess.Popen(["sleep", "600"], start_new_session=True).pid]
    unfinished = folder / ".begun"
    unfinished.write_text(" ".join(map(str, family)))
    unfinished.rename(folder / "begun")


def memory(files: Files, folder: Path) -> Outcome:
    """Asks for more and more memory."""
    held = []
    while True:
        held.append(bytearray(50_000_000))


def memory_by_cause(files: Files, folder: Path) -> Outcome:
    """A library that hides why it failed."""
    try:
        bytearray(1 << 40)
    except MemoryError:
        raise ValueError("no") from None
    raise AssertionError


def killed(files: Files, folder: Path) -> Outcome:
    """Is killed as the system does when memory runs out."""
    os.kill(os.getpid(), 9)
    raise AssertionError


def one_large_file(files: Files, folder: Path) -> Outcome:
    """Floods one file."""
    with (folder / "flood").open("wb") as file:
        while True:
            file.write(bytes(1 << 20))


def many_files(files: Files, folder: Path) -> Outcome:
    """Floods the folder, each file small."""
    number = 0
    while True:
        number += 1
        (folder / f"flood-{number}").write_bytes(bytes(100_000))


def quietly_too_much(files: Files, folder: Path) -> Outcome:
    """Writes too much and ends before anybody looks."""
    for number in range(12):
        (folder / f"flood-{number}").write_bytes(bytes(100_000))
    return Outcome(Status.SUCCESS, "All was read.")


def segfault(files: Files, folder: Path) -> Outcome:
    """Reads where nothing is."""
    ctypes.string_at(0)
    raise AssertionError


def exits(files: Files, folder: Path) -> Outcome:
    """Is gone without a word."""
    os._exit(0)


def exits_three(files: Files, folder: Path) -> Outcome:
    """Is gone with a status."""
    os._exit(3)


def sys_exits(files: Files, folder: Path) -> Outcome:
    """Calls what a program calls."""
    sys.exit("enough")


def garbles(files: Files, folder: Path) -> Outcome:
    """Leaves an outcome that is none."""
    (folder / "outcome.json").write_text('{"status": "SUCC')
    os._exit(0)


def wrong_status(files: Files, folder: Path) -> Outcome:
    """Leaves an outcome of a status that does not exist."""
    (folder / "outcome.json").write_text('{"status": "FINE", "sentence": ""}')
    os._exit(0)


def children_go_on(files: Files, folder: Path) -> Outcome:
    """Leaves children: in its group, in a session of their own, and one whose parent is gone."""
    started = [subprocess.Popen(["sleep", "600"], start_new_session=alone).pid for alone in (False, True)]
    told, telling = os.pipe()
    if not os.fork():
        os.write(telling, str(subprocess.Popen(["sleep", "600"], start_new_session=True).pid).encode())
        os._exit(0)
    started.append(int(os.read(told, 100)))
    return Outcome(Status.SUCCESS, "All was read.", facts={"pids": started})


def prints(files: Files, folder: Path) -> Outcome:
    """Prints without end."""
    while True:
        os.write(1, b"x" * 65_536)


def raises(files: Files, folder: Path) -> Outcome:
    """Meets what it does not expect."""
    raise KeyError("line 12\n" + "x" * 1000)


def unreadable(files: Files, folder: Path) -> Outcome:
    """Knows what is wrong."""
    raise Unreadable("The file is a picture. Upload the output itself.")


def disk_full(files: Files, folder: Path) -> Outcome:
    """Meets a full disk, and wraps it."""
    try:
        raise OSError(errno.ENOSPC, "No space left on device")
    except OSError as error:
        raise RuntimeError("could not write") from error


def needs(files: Files, folder: Path) -> Outcome:
    """Needs what is not installed, and wraps the error."""
    try:
        importlib.import_module("no_such_library")
    except ImportError as error:
        raise ValueError("no") from error
    raise AssertionError


def nothing(files: Files, folder: Path) -> None:
    """Is no reader."""


def kills_server(files: Files, folder: Path) -> Outcome:
    """Kills the server that forked it, the first time only if the file says so."""
    (path,) = files["file"]
    times = int(path.read_text())
    if times:
        path.write_text(str(times - 1))
        os.kill(os.getppid(), 9)
        time.sleep(600)
    left = sorted(one.name for one in folder.iterdir())
    return Outcome(Status.SUCCESS, "All was read.", facts={"left": left})


def always_kills_server(files: Files, folder: Path) -> Outcome:
    """Kills the server that forked it."""
    os.kill(os.getppid(), 9)
    time.sleep(600)
    raise AssertionError


def draws(made: Mapping[str, Path], folder: Path) -> Outcome:
    """Draws what the reader made."""
    text = made["metadata"].read_text()
    (folder / "structure.png").write_bytes(b"\x89PNG\r\n\x1a\n" + text.encode())
    return Outcome(Status.SUCCESS, "Drawn.", {"structure": "structure.png"}, {"given": sorted(made)})
