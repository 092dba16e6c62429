"""A watched folder as a source: events, a periodic scan and a settle rule, always all three.

Promises that a file is offered only once it is settled, and that what it cannot offer is named: a name that fits no
pattern, a link that leaves the root, something unreadable. Never opens, moves or changes a file.
"""

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from towpath.adapters.sources.pattern import Pattern
from towpath.adapters.storage.mounts import NETWORK, file_system
from towpath.base import clock
from towpath.base.errors import DefinitionError, StorageError
from towpath.contracts.definition import SourcePlan
from towpath.contracts.source import Arrival, Look

TEMPORARY = (".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".incomplete", ".swp", "~")
SETTLED = ("size", "marker", "rename")
# Changes made by another machine are not told to this one.
_LOG = logging.getLogger("towpath.source")


@dataclass(frozen=True, slots=True)
class FolderSettings:
    """How a folder is looked at.

    Attributes
    ----------
    pattern
        One or more patterns; the first that fits a path gives its fields.
    settled
        ``size``: size and mtime stay equal for `settle` seconds. ``marker``: its companion `marker` is there and not
        older. ``rename``: a file that is visible under its final name is complete.
    settle
        Seconds.
    marker
        Beginning with a dot, it is added to the file's name (``.done``); else it is the name of a file in the same
        folder (``MANIFEST.json``), which settles all files beside it.
    temporary
        Endings of names that are passed over; so are names with a leading dot.
    """

    pattern: tuple[str, ...]
    settled: str = "size"
    settle: float = 2.0
    marker: str = ".done"
    temporary: tuple[str, ...] = TEMPORARY

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "FolderSettings":
        """The settings as written in a pipeline file. Raises `ValueError` naming the setting."""
        given: dict[str, Any] = {name: settings[name] for name in ("settled", "marker") if name in settings}
        for name in ("pattern", "temporary"):
            if (value := settings.get(name)) is not None:
                given[name] = (value,) if isinstance(value, str) else tuple(value)
        if "settle" in settings:
            given["settle"] = clock.duration(settings["settle"])
        if not given.get("pattern"):
            raise ValueError("pattern: none; a folder source needs one, such as '{name}.fits'")
        return cls(**given)

    def __post_init__(self) -> None:
        if self.settled not in SETTLED:
            raise ValueError(f"settled: found {self.settled!r}; expected one of {', '.join(SETTLED)}")
        if self.settle < 0:
            raise ValueError(f"settle: found {self.settle} s; expected 0 or more")
        if not self.marker or "/" in self.marker:
            raise ValueError(
                f"marker: found {self.marker!r}; expected an ending such as '.done' or a file name"
            )


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    size: int
    mtime_ns: int


@dataclass(slots=True)
class _Scan:
    """What one walk found: new files, marker files with their mtime, and what is wrong by path."""

    files: list[_File] = field(default_factory=list)
    markers: dict[str, int] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


class Folder:
    """A folder source (contracts.source.FolderSource). It keeps in memory only what has not settled and what is wrong.

    Parameters
    ----------
    root
        The folder.
    settings
        How to look at it.
    others
        Patterns of other sources on the same folder, whose files are passed over.
    """

    def __init__(self, root: Path, settings: FolderSettings, others: Sequence[str] = ()) -> None:
        self.root, self.settings = root, settings
        self._others = [Pattern(text) for text in others]
        self.patterns = [Pattern(text) for text in settings.pattern]
        depths = [pattern.depth for pattern in self.patterns]
        self._depth = None if None in depths else max(depth for depth in depths if depth is not None)
        self._waiting: dict[str, tuple[int, int, float]] = {}  # path → size, mtime, first seen so (monotonic)
        self._wrong: dict[str, str] = {}

    @classmethod
    def of(cls, plan: SourcePlan, root: Path, others: Sequence[str] = ()) -> "Folder":
        """The source of a plan. Raises `DefinitionError` naming the source and the setting that is wrong."""
        try:
            return cls(root, FolderSettings.of(plan.settings), others)
        except (TypeError, ValueError) as error:
            raise DefinitionError(f"sources.{plan.name}: {error}") from None

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong now, told before or not."""
        return tuple(self._wrong.values())

    # ---- looking
    def look(self, known: Mapping[str, tuple[int, int]]) -> Look:
        """Files that are settled and not known by (path, size, mtime); a problem is told once while it lasts.

        Raises
        ------
        StorageError
            If the root is away, or cannot be read.
        """
        began = (
            time.time(),
            time.monotonic(),
        )  # before any file is looked at: a slow scan makes none of them still
        scan = self._scan(known)
        settled, waiting = self._settle(scan, *began)
        arrivals = [arrival for file in settled if (arrival := self._arrival(file, scan.problems))]
        fresh = [text for path, text in sorted(scan.problems.items()) if self._wrong.get(path) != text]
        self._wrong = scan.problems
        arrivals.sort(key=lambda arrival: arrival.path)
        return Look(tuple(arrivals), waiting, tuple(fresh))

    def _scan(self, known: Mapping[str, tuple[int, int]]) -> _Scan:
        found, folders = _Scan(), [("", 0)]
        while folders:
            prefix, depth = folders.pop()
            for entry in self._entries(prefix, found.problems):
                path = prefix + entry.name
                if entry.is_symlink():
                    self._check_link(path, found.problems)
                elif entry.is_dir(follow_symlinks=False):
                    if self._depth is None or depth < self._depth:
                        folders.append((f"{path}/", depth + 1))
                else:
                    self._check_file(path, entry, known, found)
        return found

    def _entries(self, prefix: str, problems: dict[str, str]) -> Iterator[os.DirEntry[str]]:
        temporary = self.settings.temporary
        try:
            with os.scandir(self.root / prefix) as entries:
                for entry in entries:
                    if not (entry.name.startswith(".") or entry.name.endswith(temporary)):
                        yield entry
        except OSError as error:
            is_gone = isinstance(error, FileNotFoundError)
            if not prefix:
                what = (
                    "there is no such folder" if is_gone else f"the folder cannot be read: {error.strerror}"
                )
                raise StorageError(f"{self.root}: {what}; it is looked for again") from None
            if is_gone:
                return  # since the folder above it was listed
            problems[prefix] = f"{self.root / prefix}: the folder cannot be read: {error.strerror}"

    def _check_link(self, path: str, problems: dict[str, str]) -> None:
        # A link to something inside is passed over: its target is seen at its own place.
        place = self.root / path
        target, root = os.path.realpath(place), os.path.realpath(self.root)
        if not target.startswith(f"{root}/"):
            problems[path] = (
                f"{place}: a link that leaves the source's folder, to {target}; put the file itself here"
            )
        elif not os.path.lexists(target):
            problems[path] = f"{place}: a link to {target}, where there is nothing"

    def _check_file(
        self, path: str, entry: os.DirEntry[str], known: Mapping[str, tuple[int, int]], found: _Scan
    ) -> None:
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError:
            return  # gone since the folder was listed
        if self._is_marker(entry.name):
            found.markers[path] = status.st_mtime_ns
        elif known.get(path) != (status.st_size, status.st_mtime_ns):
            if entry.is_file(follow_symlinks=False):
                found.files.append(_File(path, status.st_size, status.st_mtime_ns))
            else:
                found.problems[path] = f"{self.root / path}: neither a file nor a folder"

    def _is_marker(self, name: str) -> bool:
        settings = self.settings
        if settings.settled != "marker":
            return False
        return name.endswith(settings.marker) if settings.marker.startswith(".") else name == settings.marker

    # ---- settling
    def _settle(self, scan: _Scan, now: float, beat: float) -> tuple[list[_File], int]:
        if self.settings.settled == "rename":
            return scan.files, 0
        if self.settings.settled == "marker":
            done = [file for file in scan.files if self._is_marked(file, scan.markers)]
            return done, len(scan.files) - len(done)
        before, self._waiting = self._waiting, {}
        settled = []
        for file in scan.files:
            state = (file.size, file.mtime_ns)
            size, mtime_ns, since = before.get(file.path, (*state, beat))
            since = since if (size, mtime_ns) == state else beat
            still = max(beat - since, now - file.mtime_ns / 1e9)
            if still >= self.settings.settle:
                settled.append(file)
            else:
                self._waiting[file.path] = (*state, since)
        return settled, len(scan.files) - len(settled)

    def _is_marked(self, file: _File, markers: Mapping[str, int]) -> bool:
        marker = self.settings.marker
        beside = (
            f"{file.path}{marker}" if marker.startswith(".") else file.path.rpartition("/")[0] + "/" + marker
        )
        return markers.get(beside.lstrip("/"), -1) >= file.mtime_ns

    def _arrival(self, file: _File, problems: dict[str, str]) -> Arrival | None:
        place = self.root / file.path
        if not file.path.isprintable():
            problems[file.path] = f"{str(place)!r}: the name holds characters that are no text; rename it"
            return None
        for pattern in self.patterns:
            if (fields := pattern.parse(file.path)) is not None:
                break
        else:
            if any(other.parse(file.path) is not None for other in self._others):
                return None
            expected = " or ".join(repr(pattern.text) for pattern in self.patterns)
            problems[file.path] = f"{place}: the name fits no pattern; expected {expected}"
            return None
        if not os.access(place, os.R_OK):
            problems[file.path] = f"{place}: the file cannot be read; its permissions do not allow it"
            return None
        return Arrival(file.path, file.size, file.mtime_ns, fields)

    # ---- watching
    def watch(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` once the watch stands, when something changes below the root, and when that had time to settle.

        Where changes are not told (a network file system, no more watches) this is logged, and the scan does alone.
        """
        if reason := self.scan_only():
            _LOG.warning("source is scanned only: %s: %s", self.root, reason)
            return lambda: None
        from watchfiles import watch  # optional: few commands watch

        stop = threading.Event()
        thread = threading.Thread(
            target=self._watch, args=(watch, wake, stop), name=f"watch {self.root.name}", daemon=True
        )
        thread.start()

        def end() -> None:
            stop.set()
            thread.join(timeout=5)

        return end

    def scan_only(self) -> str:
        """Why changes below the root are not told by events, or nothing where they are."""
        if not self.root.is_dir():
            return "there is no such folder"
        kind = file_system(self.root)
        return f"its file system, {kind}, does not tell of changes made elsewhere" if kind in NETWORK else ""

    def _watch(
        self,
        watch: Callable[..., Iterator[Collection[tuple[object, str]]]],
        wake: Callable[[], None],
        stop: threading.Event,
    ) -> None:
        settle = self.settings.settle + 0.05
        due = time.monotonic()  # once the watch stands: of what came just before it no event tells
        try:
            for changes in watch(
                self.root,
                watch_filter=None,  # a change that is passed over must not put off what is due
                stop_event=stop,
                debounce=100,
                step=20,
                rust_timeout=100,
                yield_on_timeout=True,
                recursive=self._depth != 0,
                ignore_permission_denied=True,
                raise_interrupt=False,
            ):
                now = time.monotonic()
                if any(self._concerns(path) for _, path in changes):
                    due = now + settle
                    wake()
                elif now >= due:
                    due = math.inf
                    wake()
        except (OSError, RuntimeError) as error:
            _LOG.warning("source is scanned only: %s: watching ended: %s", self.root, error)

    def _concerns(self, path: str) -> bool:
        name = path.rpartition("/")[2]
        return not (name.startswith(".") or name.endswith(self.settings.temporary))
