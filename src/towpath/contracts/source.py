"""Sources: what a source of items looks like, and what a provider of fetched data looks like.

A source only tells what is there; registering it is the flow's work, in one transaction.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from towpath.base.spacetime import Box, Span


@dataclass(frozen=True, slots=True)
class Arrival:
    """One settled file of a folder source: path relative to its root, size, mtime, and the fields of its name."""

    path: str
    size: int
    mtime_ns: int
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Intake:
    """One arrival as it is to be registered: which item it belongs to, as which part, with its sha256 (32 bytes).

    `partition` is the key without the time, where items are joined by a time that is near (`when`, seconds since the
    epoch); then `key`, `attributes` and `span` are those of the item that it begins if it is the first. `leads`: the
    item is called after this file, whichever came first.
    """

    arrival: Arrival
    key: str
    part: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    span: Span | None = None
    partition: str = ""
    when: float | None = None
    sha256: bytes = b""
    leads: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a source found: `settled` arrivals, how many wait to settle, and what could not be read."""

    settled: tuple[Arrival, ...] = ()
    unsettled: int = 0
    problems: tuple[str, ...] = ()


class FolderSource(Protocol):
    """A watched folder: events, a periodic scan and a settle rule, always all three."""

    def look(self, known: Mapping[str, tuple[int, int]]) -> Look:
        """Files that are settled and not known by (path, size, mtime). Raises `StorageError` if the root is away."""

    def watch(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` once the watch stands and when something changes below the root; returns what ends the watching."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a provider: a name (the item's key), where, when, and parameters."""

    key: str
    footprint: Box | None = None
    span: Span | None = None
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asset:
    """One file that answers a request: where it comes from and what is known of it beforehand.

    `version` is the provider's own mark of these bytes (an ETag, a time), so that a change is seen before the fetch.
    `sha256` is hexadecimal, as the provider states it, or "". `redistribute` is yes, no or unknown.
    """

    name: str
    location: str
    size: int = -1
    sha256: str = ""
    licence: str = ""
    citation: str = ""
    doi: str = ""
    redistribute: str = "unknown"
    version: str = ""


class Provider(Protocol):
    """A plug-in that answers requests. `assets` is pure; `fetch` moves bytes; `decode` is pure."""

    name: str

    def assets(self, request: Request) -> Sequence[Asset]:
        """The files that answer the request, without touching the network or a disk beyond a listing."""

    def fetch(self, asset: Asset, target: Path, progress: Callable[[int], None]) -> None:
        """Put the asset's bytes at `target`; `progress` gets bytes. Raises `Transient` if it may work later."""

    def decode(self, path: Path) -> Iterable[Any]:
        """The file's content as a data set (for `qualify` and the stages)."""
