"""What an InvenioRDM instance tells of records and files, as values; and a file here that is compared with one there.

Pure but for reading that file. Promises to take nothing for granted of what is told: what is missing or of another kind is
as if it were not told.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from towpath.base.errors import StorageError
from towpath.contracts.repository import RecordEntry, RecordFile

MARK = "towpath"  # in the metadata of a file: the key of the processing that made it
ALGORITHMS = ("md5", "sha1", "sha256", "sha512")
_CHUNK = 1 << 20


def entry_of(table: Mapping[str, Any], *, is_draft: bool) -> RecordEntry:
    """A record; only the draft of what was never published is open."""
    updated = datetime.fromtimestamp(instant(table.get("updated")), UTC).isoformat(timespec="microseconds")
    return RecordEntry(
        str(table.get("id", "")),
        str(table_at(table, "metadata").get("title") or ""),
        f"{updated}/{table.get('revision_id', 0)}",
        is_draft and not table.get("is_published"),
    )


def file_of(entry: Mapping[str, Any]) -> RecordFile:
    """A file, with who made it where it is marked so."""
    made_by, size = table_at(entry, "metadata").get(MARK, ""), entry.get("size")
    return RecordFile(
        str(entry.get("key", "")),
        int(size) if isinstance(size, (int, float)) and 0 <= size < math.inf else -1,
        str(entry.get("checksum") or ""),
        str(entry.get("mimetype") or ""),
        made_by if isinstance(made_by, str) else "",
    )


def is_complete(entry: Mapping[str, Any]) -> bool:
    """Whether the upload of a file is complete."""
    return bool(entry.get("status", "completed") == "completed" and entry.get("checksum"))


def instant(text: object) -> float:
    """A time as it is told, in seconds since the epoch; 0 where none is told. UTC, unless it says otherwise."""
    try:
        found = datetime.fromisoformat(str(text))
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return 0.0


@dataclass(slots=True)
class Sums:
    """A file here: where it is, its size in bytes, and its checksums so far (hex) by algorithm."""

    path: Path
    size: int
    known: dict[str, str]

    @classmethod
    def of(cls, path: Path) -> "Sums":
        """Look at a file. Raises `StorageError`."""
        try:
            return cls(path, path.stat().st_size, {})
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from None

    def are_of(self, file: RecordFile) -> bool:
        """Whether that file has these bytes. Raises `StorageError`."""
        algorithm, _, stated = file.checksum.partition(":")
        if file.size != self.size or algorithm not in ALGORITHMS:
            return False
        if algorithm not in self.known:
            total = hashlib.new(algorithm, usedforsecurity=False)
            for chunk in self.chunks():
                total.update(chunk)
            self.known[algorithm] = total.hexdigest()
        return self.known[algorithm] == stated.lower()

    def chunks(self) -> Iterator[bytes]:
        """Its bytes. Raises `StorageError`."""
        try:
            with self.path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    yield chunk
        except OSError as error:
            raise StorageError(f"{self.path}: {error.strerror}") from None


def table_at(found: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The table at a key; empty if there is none."""
    value = found.get(key)
    return value if isinstance(value, dict) else {}


def tables_at(found: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """The tables in the list at a key, or in the table there."""
    value = found.get(key)
    several = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [one for one in several if isinstance(one, dict)]
