"""The things of Towpath as frozen values: items, products, runs, verdicts, flags, events.

They are what the catalog gives and takes. Nothing here touches a database or a disk.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from towpath.base import states
from towpath.base.spacetime import Box, Span


@dataclass(frozen=True, slots=True)
class Item:
    """What moves through a pipeline as one. `id` is 0 until it is registered; `key` is unique in pipeline and kind."""

    pipeline: str
    kind: str
    key: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    span: Span | None = None
    footprint: Box | None = None
    id: int = 0
    definition: int = 0
    registered: float = 0.0

    @property
    def name(self) -> str:
        """How a person writes it: ``pipeline/kind/key``."""
        return f"{self.pipeline}/{self.kind}/{self.key}"


@dataclass(frozen=True, slots=True)
class Product:
    """An immutable file or tree: `stage` made it as `output` (stage "" is a raw file), `part` tells several apart.

    `path` is relative to the named root; `size` in bytes; `sha256` is 32 bytes; `run` is (work, token), (0, 0) if raw.
    """

    item: int
    stage: str
    output: str
    part: str
    type: str
    root: str
    path: str
    size: int
    mtime_ns: int
    sha256: bytes
    tree: bool = False
    state: states.Product = states.Product.CURRENT
    run: tuple[int, int] = (0, 0)
    manual: bool = False
    created: float = 0.0
    id: int = 0


@dataclass(frozen=True, slots=True)
class Measure:
    """A named number (or text) with its unit."""

    name: str
    value: float | int | str | bool | None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class RuleResult:
    """One rule judged: the value that was measured, the limit, and pass, warn, fail or skip with what follows."""

    rule: str
    measure: str
    value: Any
    op: str
    limit: Any
    result: str
    unit: str = ""
    action: str = ""


@dataclass(frozen=True, slots=True)
class Feature:
    """A point result of a run, such as a source in a mosaic. `time` is in seconds since the epoch.

    `longitude` and `latitude` are in degrees: right ascension and declination where `frame` is ``icrs``, longitude in
    [-180, 180) and latitude on Earth where it is ``wgs84``. `run` is (work, token).
    """

    kind: str
    longitude: float
    latitude: float
    name: str = ""
    frame: str = "icrs"
    properties: Mapping[str, Any] = field(default_factory=dict)
    time: float | None = None
    item: int = 0
    stage: str = ""
    run: tuple[int, int] = (0, 0)
    pipeline: str = ""
    id: int = 0


@dataclass(frozen=True, slots=True)
class Features:
    """Features of one kind as columns, as a run reports them: longitudes in [-180, 180), latitudes in degrees.

    `names`, `times` (seconds since the epoch) and `properties` (each a JSON text) are empty or as long as the places.
    """

    kind: str
    frame: str
    longitudes: Sequence[float]
    latitudes: Sequence[float]
    names: Sequence[str] = ()
    times: Sequence[float | None] = ()
    properties: Sequence[str | None] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of rules: `result` is pass, warn, hold or reject; `rules` is the evidence."""

    result: str
    rules: tuple[RuleResult, ...]


@dataclass(frozen=True, slots=True)
class Flag:
    """A quality mark on part of an item, such as ``{"feed": 3, "band": 1}``."""

    item: int
    part: Mapping[str, Any]
    value: str
    comment: str
    author: str
    time: float
    id: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """One row of the story: gapless `seq`, `time` in seconds, `type`, what it is about, and data.

    `kind` is that of the item, where there is one.
    """

    seq: int
    time: float
    type: str
    item: int = 0
    stage: str = ""
    run: str = ""
    pipeline: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    kind: str = ""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step of a chain as it ran: seconds, statistics before and after, checks (name → None or what was wrong)."""

    name: str
    seconds: float
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    checks: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt of one stage for one item, as it ended. `seconds` is its duration; `log` is a file, begin, end."""

    work: int
    token: int
    item: int
    stage: str
    outcome: states.Outcome
    began: float
    seconds: float
    key: bytes | None = None
    measures: tuple[Measure, ...] = ()
    caveats: tuple[str, ...] = ()
    steps: tuple[StepRecord, ...] = ()
    reasons: tuple[str, ...] = ()
    error: str = ""
    worker: str = ""
    log: str = ""
    manual: bool = False

    @property
    def name(self) -> str:
        """The run's public name, ``WORK.TOKEN``."""
        return f"{self.work}.{self.token}"


@dataclass(frozen=True, slots=True)
class WorkRow:
    """One piece of work as it stands: an item's stage, its state, and who holds it until when (`due`, seconds).

    `log` is where a running attempt writes: the file, a colon, and the byte at which it begins. `began` is when the last
    claim was, which saw the row at `claimed_revision`.
    """

    id: int
    item: int
    stage: str
    state: states.Work
    priority: int = 0
    due: float = 0.0
    owner: str = ""
    token: int = 0
    revision: int = 0
    attempts: int = 0
    deaths: int = 0
    key: bytes | None = None
    note: str = ""
    progress: float | None = None
    pipeline: str = ""
    kind: str = ""
    log: str = ""
    began: float = 0.0
    claimed_revision: int = 0
