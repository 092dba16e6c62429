"""sha256 of files, trees and JSON: the only place that hashes content.

A tree (a folder that is one product) is known by its manifest: sorted relative path, size and sha256 of each file.
Never follows a symbolic link inside a tree.
"""

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CHUNK = 1 << 20
_SMALL = 1 << 16  # asking for more costs more than reading a small file


def canonical(value: Any) -> bytes:
    """`value` as canonical JSON: sorted keys, no spaces, UTF-8 (half a character is spelled out), no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode(errors="backslashreplace")


def digest(value: Any) -> bytes:
    """sha256 (32 bytes) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical(value)).digest()


def bytes_sha256(content: bytes) -> bytes:
    """sha256 (32 bytes) of a file's content that is in memory."""
    return hashlib.sha256(content).digest()


def file_sha256(path: str | os.PathLike[str], progress: Callable[[int], None] | None = None) -> bytes:
    """sha256 (32 bytes) of a file's content; `progress` gets the number of bytes of each chunk read."""
    fd = os.open(path, os.O_RDONLY)  # no file object: it would cost more than the hash of a small file
    try:
        chunk = os.read(fd, _SMALL)
        if len(chunk) < _SMALL and not os.read(fd, 1):
            if progress:
                progress(len(chunk))
            return hashlib.sha256(chunk).digest()
        os.lseek(fd, 0, os.SEEK_SET)
        total, buffer = hashlib.sha256(), memoryview(bytearray(_CHUNK))
        while count := os.readv(fd, [buffer]):
            total.update(buffer[:count])
            if progress:
                progress(count)
        return total.digest()
    finally:
        os.close(fd)


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a tree: relative path with `/`, size in bytes, sha256."""

    path: str
    size: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Content:
    """What a product's bytes are: size (of all files), mtime in ns, sha256, and whether it is a tree."""

    size: int
    mtime_ns: int
    sha256: bytes
    tree: bool = False


def walk(folder: Path) -> Iterator[Path]:
    """The regular files below `folder` in sorted order.

    Raises
    ------
    ValueError
        If the tree holds a symbolic link, anything that is neither file nor folder, or a name that is not UTF-8.
    """
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        if entry.is_symlink() or not (entry.is_file() or entry.is_dir()):
            raise ValueError(
                f"{shown(entry.path)}: a product may hold only files and folders, no links or devices"
            )
        if not entry.name.isprintable() and shown(entry.name) != entry.name:
            raise ValueError(f"{shown(entry.path)}: a name in a product must be UTF-8; rename it")
        if entry.is_dir():
            yield from walk(Path(entry.path))
        else:
            yield Path(entry.path)


def shown(name: str | os.PathLike[str]) -> str:
    r"""A name as text that can be written anywhere: bytes that are not UTF-8 stand as ``\xff``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def manifest(folder: Path, progress: Callable[[int], None] | None = None) -> list[Entry]:
    """The files of a tree, sorted by relative path."""
    entries = [
        Entry(path.relative_to(folder).as_posix(), path.stat().st_size, file_sha256(path, progress))
        for path in walk(folder)
    ]
    return sorted(entries, key=lambda entry: entry.path)


def tree_sha256(entries: list[Entry]) -> bytes:
    """The identity of a tree: sha256 of the canonical JSON of its manifest."""
    return digest([[entry.path, entry.size, entry.sha256.hex()] for entry in entries])


def content(path: Path, progress: Callable[[int], None] | None = None) -> Content:
    """Size, mtime and sha256 of a file or tree. A tree's mtime is that of its newest member, folders included.

    `progress` gets the number of bytes of each chunk read.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    ValueError
        If it is a link or a device, or a tree that holds one.
    """
    status = path.lstat()
    if stat.S_ISREG(status.st_mode):
        return Content(status.st_size, status.st_mtime_ns, file_sha256(path, progress))
    if not stat.S_ISDIR(status.st_mode):
        raise ValueError(f"{shown(path)}: a product may not be a symbolic link or a device")
    entries = manifest(path, progress)
    return Content(sum(e.size for e in entries), tree_mtime_ns(path), tree_sha256(entries), tree=True)


def tree_mtime_ns(path: Path) -> int:
    """The newest mtime in ns in a tree, the folder itself included; of a lone file, its own."""
    newest = path.lstat().st_mtime_ns
    if path.is_dir():
        for root, folders, files in os.walk(path):
            for name in (*folders, *files):
                newest = max(newest, os.lstat(f"{root}/{name}").st_mtime_ns)
    return newest
