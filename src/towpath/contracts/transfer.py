"""Transfers: how verified copies reach an archive. One implementation per kind of archive."""

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Protocol

from towpath.base.hashing import Content

Progress = Callable[[int], None]  # gets a number of bytes as they pass


class Transfer(Protocol):
    """Moves one product, file or folder, to its place in an archive in steps that can each be repeated.

    A full, vanished or forbidding archive is an `OSError`; what a copy may not hold, or an archive not name, is a
    `StorageError`.
    """

    def temporary(self, target: Path, publication: int, token: int) -> Path:
        """The temporary place beside the target, on the archive's file system: ``.<id>.<token>.<mark>``."""

    def leftovers(self, target: Path, publication: int, token: int) -> list[Path]:
        """Temporary places of this attempt and of those before it that are still there; never those of a later one."""

    def strays(self, folder: Path) -> set[int]:
        """The publications of which a temporary place seems to be in a folder; `leftovers` tells for sure."""

    def is_empty(self, root: Path) -> bool:
        """Whether an archive holds nothing at all, as where a disk was mounted that is away."""

    def prepare(self, root: Path, folder: Path) -> None:
        """Make a folder below the archive's root, and its parents; the root itself must be there."""

    def begin(self, temporary: Path) -> None:
        """Make the folder of a temporary, new: nothing that lies there is used or followed."""

    def copy(self, source: Path, temporary: Path, progress: Progress) -> None:
        """Copy a file or folder to a new place, flushed to disk, times kept; links are refused by name."""

    def write(self, path: Path, content: bytes) -> None:
        """Write a small new file beside what was copied, flushed to disk."""

    def content(self, path: Path, progress: Progress) -> Content | None:
        """What is there, read back from the disk rather than from memory where the system can; None: nothing.

        What cannot be a product (a link, a device) has a hash that no product has.
        """

    def stamp(self, path: Path) -> Hashable | None:
        """What changes when the bytes at `path` do; without reading content. None: nothing is there."""

    def is_same(self, before: Hashable, after: Hashable) -> bool:
        """Whether nothing but `place` lies between two stamps."""

    def place(self, temporary: Path, target: Path) -> bool:
        """Rename into place without replacing anything; False if the target is there already."""

    def flush(self, root: Path, target: Path) -> None:
        """Flush to disk what stands at the target, and the names that lead to it from the archive's root."""

    def take_back(self, target: Path, temporary: Path, stamp: Hashable) -> bool:
        """Undo `place`, if what is at the target is the very file or folder that had this stamp; False if it is not."""

    def remove(self, path: Path) -> None:
        """Remove a temporary, so that from its first instant it can no longer be placed; nothing there is no error."""
