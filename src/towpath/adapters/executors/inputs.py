"""Inputs verified: each product a run reads is what the catalog says, before the run and after it.

A stat decides; where size or time differ the hash does. Equal bytes with another time are `refreshed`, other bytes are
`changed`, none are `missing`. Never writes.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from towpath.base.hashing import content, file_sha256, tree_mtime_ns
from towpath.contracts.executor import TaskFile


def look(file: TaskFile) -> tuple[int, int] | None:
    """Size in bytes and mtime in ns of what is at the file's path now, None if nothing is."""
    try:
        if file.tree:
            return file.size, tree_mtime_ns(Path(file.path))
        status = os.stat(file.path)  # noqa: PTH116  plain str, hot path
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_size, status.st_mtime_ns


def same_content(file: TaskFile) -> bool:
    """Whether the bytes have the hash that the catalog says."""
    try:
        found = content(Path(file.path)).sha256 if file.tree else file_sha256(file.path)
    except (ValueError, FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return False
    return found.hex() == file.sha256


class Watched:
    """The products that one run reads."""

    __slots__ = ("_expected", "_files", "changed", "refreshed")

    def __init__(self, files: Iterable[Iterable[TaskFile]]) -> None:
        self._files = [file for many in files for file in many]
        self._expected = [(file.size, file.mtime_ns) for file in self._files]
        self.refreshed: dict[int, int] = {}
        self.changed: dict[int, str] = {}

    def intact(self, *, by_hash: bool = False) -> bool:
        """Look at all; False if any is missing or changed (`changed` tells which).

        Raises
        ------
        OSError
            If the file system does not answer.
        """
        for number, file in enumerate(self._files):
            found = look(file)
            if found == self._expected[number] and not by_hash:
                continue
            if found is None:
                self.changed[file.product] = "missing"
            elif not same_content(file):
                self.changed[file.product] = "changed"
            elif found != self._expected[number]:
                self._expected[number] = found
                self.refreshed[file.product] = found[1]
        return not self.changed

    def anew(self, before: Mapping[int, int]) -> str:
        """Which files were written anew, with the same content, since what was refreshed was `before`; "" if none.

        Not so trees: who reads a Measurement Set takes a lock in it.
        """
        files = [file for file in self._files if not file.tree]
        found = [one.path for one in files if self.refreshed.get(one.product) != before.get(one.product)]
        return f"written anew while the run read it: {', '.join(found)}" if found else ""


def intact_path(file: TaskFile | None) -> Path | None:
    """The path of a former product if its bytes are what the catalog says, else None."""
    if file is None:
        return None
    found = look(file)
    if found is None or (found != (file.size, file.mtime_ns) and not same_content(file)):
        return None
    return Path(file.path)
