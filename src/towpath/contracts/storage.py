"""The store and other roots: turning (root, relative path) into places, safely."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, Protocol

from towpath.base.hashing import Content

QUARANTINE = ".quarantine"  # below a root: what a person put aside; nothing in it is looked at or swept


class Said(NamedTuple):
    """What the catalog says of a product's place: a tuple, for it is compared with the disk by the hundred thousand."""

    product: int
    root: str
    path: str
    size: int
    mtime_ns: int
    tree: bool
    current: bool


class Storage(Protocol):
    """Files below named roots. Both the root and the path are resolved; a path that leaves its root is refused."""

    def path(self, root: str, relative: str) -> Path:
        """The absolute path. Raises `StorageError` if it leaves the root after links are followed."""

    def relative(self, root: str, path: Path) -> str:
        """The path relative to its root, with `/`. Raises `StorageError` if it lies elsewhere."""

    def stat(self, root: str, relative: str, tree: bool) -> tuple[int, int] | None:
        """Size in bytes and mtime in ns of a file or tree, None if there is none. Never reads content."""

    def unlike(self, said: Iterable[Said]) -> set[int]:
        """The products whose place is not as said by stat, or cannot be looked at. Never reads content, never raises."""

    def content(self, root: str, relative: str, progress: Callable[[int], None] | None = None) -> Content:
        """Size, mtime and sha256; `progress` gets the bytes of each chunk read. Raises `FileNotFoundError`."""

    def remove(self, path: Path) -> None:
        """Delete a file or tree; nothing there is no error."""
