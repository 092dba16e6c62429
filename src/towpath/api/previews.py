"""Previews of products: made by a process of its own, kept by what is in them.

Promises that a file which is broken, endless or hostile costs one bounded attempt, and that whatever comes there is an answer.
Never reads a product itself: the process that may die of it is another one.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

LASTS = 20.0  # seconds that one attempt may take
LARGEST = 8_000_000  # bytes of a preview
_KEPT = 256_000_000  # bytes of all that are kept
_AGAIN = 3600.0  # seconds after which one that failed is tried again
_AT_ONCE, _WAITING, _PATIENCE = 2, 8, 30.0
_VERSION = "1"  # another one when previews look otherwise
_PICTURES = ((b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg"))
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH", "SYSTEMROOT")
_DONE, _FAILED = ".made", ".none"
MISSING_LIBRARY = 4  # what a maker ends with that would need to be installed more


@dataclass(frozen=True, slots=True)
class Made:
    """A preview: the bytes of a picture, or JSON: a table's or text's head, or ``{"none": why}``."""

    data: bytes
    media: str


class Previews:
    """Makes previews and keeps them.

    Parameters
    ----------
    folder
        Where they are kept; made when the first one is.
    lasts
        Seconds that one attempt may take.
    kept
        Bytes of all that are kept; the longest unused goes first.
    """

    def __init__(self, folder: Path, *, lasts: float = LASTS, kept: int = _KEPT) -> None:
        self._folder, self._lasts, self._kept = folder, lasts, kept
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(_AT_ONCE)
        self._waiting = 0
        self._each: dict[str, tuple[threading.Lock, int]] = {}
        self._running: set[subprocess.Popen[bytes]] = set()
        self._is_closed = False

    def of(self, sha256: bytes, place: Path, inner: str = "") -> Made:
        """The preview of a product's bytes.

        Parameters
        ----------
        sha256
            The product's hash.
        place
            The file or folder that is to be shown.
        inner
            Which file of a tree that is.
        """
        name = hashlib.sha256(b"\0".join([_VERSION.encode(), sha256, inner.encode()])).hexdigest()
        found = self._look(name)
        if found is not None:
            return found
        with self._one_at_a_time(name):
            return self._look(name) or self._in_turn(name, place)

    def close(self) -> None:
        """End what is being made."""
        with self._lock:
            self._is_closed = True
            running = list(self._running)
        for process in running:
            _kill(process)

    # ---- what is kept
    def _look(self, name: str) -> Made | None:
        for path in (self._folder / f"{name}{_DONE}", self._folder / f"{name}{_FAILED}"):
            try:
                if path.suffix == _FAILED and time.time() - path.stat().st_mtime > _AGAIN:
                    continue
                data = path.read_bytes()
            except OSError:
                continue
            if path.suffix == _DONE:
                with suppress(OSError):
                    os.utime(path)
            return _made(data)
        return None

    def _keep(self, part: Path, path: Path) -> None:
        part.replace(path)
        found = []
        for one in self._folder.iterdir():
            with suppress(FileNotFoundError):
                state = one.lstat()
                if one.suffix in (_DONE, _FAILED):
                    found.append((state.st_mtime, state.st_size, one))
                elif one.is_file() and time.time() - state.st_mtime > _AGAIN:  # of a server that was killed
                    one.unlink()
        size = sum(one[1] for one in found)
        for _, its, one in sorted(found):
            if size <= self._kept:
                break
            one.unlink(missing_ok=True)
            size -= its

    # ---- whose turn it is
    @contextmanager
    def _one_at_a_time(self, name: str) -> Iterator[None]:
        with self._lock:
            lock, number = self._each.get(name, (threading.Lock(), 0))
            self._each[name] = (lock, number + 1)
        try:
            with lock:
                yield
        finally:
            with self._lock:
                lock, number = self._each.pop(name)
                if number > 1:
                    self._each[name] = (lock, number - 1)

    def _in_turn(self, name: str, place: Path) -> Made:
        with self._lock:
            is_full = self._waiting >= _WAITING
            self._waiting += not is_full
        if is_full:
            return none("many previews are being made; look again in a moment")
        try:
            if not self._room.acquire(timeout=_PATIENCE):
                return none("many previews are being made; look again in a moment")
        finally:
            with self._lock:
                self._waiting -= 1
        try:
            return self._make(name, place)
        finally:
            self._room.release()

    # ---- making one
    def _make(self, name: str, place: Path) -> Made:
        self._folder.mkdir(parents=True, exist_ok=True)
        part = self._folder / f".{name}.{os.getpid()}.{threading.get_ident()}"
        try:
            why, is_kept = self._run(place, part)
            if not why:
                made = _whole(part)
                if made is not None:
                    self._keep(part, self._folder / f"{name}{_DONE}")
                    return made
                why = "what was made of it is no preview"
            made = none(why)
            if is_kept:
                part.write_bytes(made.data)
                self._keep(part, self._folder / f"{name}{_FAILED}")
            return made
        finally:
            part.unlink(missing_ok=True)

    def _run(self, place: Path, part: Path) -> tuple[str, bool]:
        """Let a process write a preview; returns why there is none ("" if there is one), and whether that is for good."""
        places = [str(one.absolute()) for one in (place, part)]
        command = [sys.executable, "-P", "-m", "towpath.api.preview_maker", *places]
        with self._lock:
            if self._is_closed:
                return "the server is ending", False
            process = subprocess.Popen(
                command,
                cwd=self._folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            self._running.add(process)
        try:
            code = process.wait(self._lasts)
        except subprocess.TimeoutExpired:
            return f"making it took longer than {self._lasts:g} s", True
        finally:
            _kill(process)
            with self._lock:
                self._running.discard(process)
        if self._is_closed:
            return "the server is ending", False
        if code == 0:
            return "", True
        return _told(part) or "reading it took too much memory, or ended the reader", code != MISSING_LIBRARY

    def _environment(self) -> dict[str, str]:
        """What a maker knows of the server's environment: no secrets; one thread, for two run at once."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name in _PASSED_ON or name.startswith("COVERAGE_")
        }
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        fonts = str(self._folder.absolute() / ".matplotlib")
        return {**kept, **threads, "MPLBACKEND": "agg", "MPLCONFIGDIR": fonts}


def none(why: str) -> Made:
    """What is answered where there is no preview."""
    return Made(json.dumps({"none": why}).encode(), "application/json")


def _made(data: bytes) -> Made:
    media = next((media for magic, media in _PICTURES if data.startswith(magic)), "application/json")
    return Made(data, media)


def _whole(part: Path) -> Made | None:
    """What a maker wrote, if it is a picture or JSON and not too large."""
    try:
        if part.is_symlink() or part.stat().st_size > LARGEST:
            return None
        made = _made(part.read_bytes())
        if made.media == "application/json":
            json.loads(made.data)
    except (OSError, ValueError):
        return None
    return made


def _told(part: Path) -> str:
    """Why a maker made none, as it says itself."""
    try:
        return str(json.loads(part.read_bytes()[:10_000])["none"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process with all that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
