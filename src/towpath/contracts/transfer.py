"""Transfers: how verified copies reach an archive. One implementation per kind of archive."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from towpath.base.hashing import Content

Progress = Callable[[int], None]  # gets a number of bytes as they pass


class Transfer(Protocol):
    """Moves one product, file or folder, to its place in an archive in steps that can each be repeated."""

    def temporary(self, target: Path, publication: int, token: int) -> Path:
        """The temporary place beside the target, on the archive's file system: ``.<id>.<token>.<mark of the target>``."""

    def copy(self, source: Path, temporary: Path, progress: Progress) -> None:
        """Copy a file or folder to a new place, parents made, flushed to disk, times kept; links are refused by name."""

    def write(self, path: Path, content: bytes) -> None:
        """Write a small new file beside what was copied, flushed to disk."""

    def content(self, path: Path, progress: Progress) -> Content | None:
        """What is there, read back from the disk rather than from memory where the system can; None: nothing."""

    def stamp(self, path: Path) -> tuple[object, ...] | None:
        """What changes when the bytes at `path` do, but not by `place`; without reading content. None: nothing."""

    def place(self, temporary: Path, target: Path) -> bool:
        """Rename into place without replacing anything; False if the target is there already."""

    def remove(self, path: Path) -> None:
        """Remove a temporary, so that from its first instant it can no longer be placed; nothing there is no error."""
