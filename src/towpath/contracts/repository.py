"""Repositories: records with files that people deposit, where results are put back.

A repository only tells what is there, moves bytes and answers who may do what; which files are worked on, and when, is the
flow's. Promises that whoever may not read a record cannot tell it from one that is not there.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

GROUP = "towpath.repositories"  # the entry point group of plug-ins that make repositories


class Access(StrEnum):
    """What somebody may do with a record."""

    READ = "read"  # see it and its files
    WRITE = "write"  # have its files processed, stop that, and change its files


class Knows(StrEnum):
    """By what a repository knows those who ask."""

    NAMES = "names"  # by the name that Towpath knows
    BEARERS = "bearers"  # by a token of its own, which they bring


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who asks: the name that Towpath knows, and the bearer's token that came along, for the repository alone.

    `of` is the name of that repository on the site; "" where there is no doubt which it is.
    """

    name: str
    bearer: str = field(default="", repr=False)
    of: str = ""


@dataclass(frozen=True, slots=True)
class RecordEntry:
    """One record: its id, title and version: another text whenever its files may have changed, "" where they change now.

    `is_open` says whether files can be added: those of a published record cannot be changed. `unsettled` files are there, but
    still change, and are not listed yet.
    """

    id: str
    title: str = ""
    version: str = ""
    is_open: bool = True
    unsettled: int = 0


@dataclass(frozen=True, slots=True)
class RecordFile:
    """One file of a record: its key (name), size in bytes, checksum (``md5:…`` or ``sha256:…``, or "" if none is told).

    `made_by` is the key of the processing that put it there; "" for what people deposited.
    """

    key: str
    size: int = -1
    checksum: str = ""
    media_type: str = ""
    made_by: str = ""


@dataclass(frozen=True, slots=True)
class Capability:
    """What lets the bearer work on one record for a while: what the repository calls it, its secret, until when it holds.

    `expires` is in seconds since the epoch; 0: until it is revoked. A repository that needs none has an empty secret.
    """

    record: str
    name: str = ""
    secret: str = field(default="", repr=False)
    expires: float = 0.0


class Repository(Protocol):
    """A repository of records.

    What takes a `Capability` acts with it; with None it acts for the site itself. All may raise `Transient` (it may work
    later), `NotFoundError` (there is no such record or file, or it may not be seen), `SiteError` (the repository refuses the
    site itself) and `IntegrityError` (bytes are not what was stated).
    """

    name: str
    knows: Knows

    def records(self, since: str = "") -> Iterable[RecordEntry]:
        """The records that the site is to look after, the latest change first.

        Those of version `since` or older may be left out.
        """

    def record(self, record: str, by: Capability | None = None) -> RecordEntry:
        """One record."""

    def files(self, record: str, by: Capability | None = None) -> Sequence[RecordFile]:
        """Its files that are wholly there, by key."""

    def read(
        self,
        record: str,
        key: str,
        target: Path,
        progress: Callable[[int], None],
        by: Capability | None = None,
    ) -> RecordFile:
        """Put a file's bytes at `target`, verified by its size and checksum; `progress` gets bytes. Returns what it is."""

    def head(self, record: str, key: str, size: int, by: Capability | None = None) -> bytes:
        """The first bytes of a file, at most `size`; not verified."""

    def write(
        self,
        record: str,
        key: str,
        source: Path,
        *,
        made_by: str,
        media_type: str = "",
        by: Capability | None = None,
    ) -> RecordFile:
        """Put a file on the record; done again with the same bytes it changes nothing.

        Bytes that `made_by` put there before are replaced.

        Raises
        ------
        StateError
            If files cannot be added to this record (it is published), or somebody else's file has this key.
        """

    def may(self, record: str, caller: Caller) -> frozenset[Access]:
        """What somebody may do with a record, asked of the repository now; nothing if there is no such record."""

    def who(self, bearer: str) -> str:
        """Whose token this is, as a name that stays the same while the token does, asked of the repository now.

        Returns "" for what is nobody's, and always where names are known instead.
        """

    def grant(self, record: str, caller: Caller | None, lasts: float) -> Capability:
        """A capability to read and write this record for at least `lasts` seconds, made by the caller or by the site itself."""

    def revoke(self, capability: Capability) -> None:
        """End a capability now; one that has ended already is no error."""

    def close(self) -> None:
        """End connections."""


# Makes a repository from its settings; what is secret there by its name stands as a function that reads it anew.
Maker = Callable[[Mapping[str, Any]], Repository]
