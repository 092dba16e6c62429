"""The catalog: what the flow may ask of it. Adapters implement it in SQL; `towpath.testing` has the suite they pass.

All changes happen in a transaction, on one writer, in the order given. Time is the catalog's. Nothing here waits for
user code, a disk or a network inside a transaction.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeVar

from towpath.base.model import Event, Feature, Flag, Item, Product, Run, Verdict, WorkRow
from towpath.base.spacetime import Box, Span
from towpath.base.states import Delivery as DeliveryState
from towpath.base.states import Order as OrderState
from towpath.base.states import Outcome
from towpath.base.states import Product as ProductState
from towpath.base.states import Publication as PublicationState
from towpath.base.states import Work as WorkState
from towpath.contracts.definition import Definition, KindPlan, StagePlan
from towpath.contracts.executor import Output, Report
from towpath.contracts.people import PeopleTransaction, PeopleView
from towpath.contracts.storage import Said

T = TypeVar("T")

_ANY: Mapping[str, Any] = MappingProxyType({})
SPREAD = ("", "spread", "site")  # the queue of what large changes have still to do


@dataclass(frozen=True, slots=True)
class RootRow:
    """A named root and its place on this machine."""

    id: int
    name: str
    place: str


@dataclass(frozen=True, slots=True)
class InputRow:
    """One thing that a run reads, as found at claim: a product, or facts with their digest (`product` is None).

    `value` are the facts; of a calibration, what the run is told of it beside its product.
    """

    name: str
    sha256: bytes
    product: Product | None = None
    item: str = ""
    value: Any = None


@dataclass(frozen=True, slots=True)
class Need:
    """What a stage would read for one item now, its key, and what is missing ("" when all needs hold).

    `lacking` has each input that is not there, with what is wrong; `problem` is the first of them. `let_go` are products
    among the inputs that were let go: the key is known, but before a run they must be there again.
    """

    inputs: Sequence[InputRow] = ()
    key: bytes | None = None
    problem: str = ""
    lacking: tuple[tuple[str, str], ...] = ()
    let_go: tuple[Product, ...] = ()


@dataclass(frozen=True, slots=True)
class Claimed:
    """One piece of work that is ours until `due`: its key was computed from `inputs` at claim.

    `unchanged`: the key is that of the last finished run; where its outputs are intact nothing needs to run.
    """

    work: int
    token: int
    item: int
    item_key: str
    due: float
    key: bytes | None = None
    done_key: bytes | None = None
    inputs: Sequence[InputRow] = ()
    unchanged: bool = False
    deaths: int = 0
    attempts: int = 0
    subject: str = ""
    payload: Mapping[str, Any] = field(default_factory=dict)


class Outline(NamedTuple):
    """What a member tells of its group: order, time (seconds since the epoch), and place (degrees), if it has them.

    A bare tuple, for a group may have very many members; `box` is west, south, east, north.
    """

    item: int
    key: str
    registered: float
    begin: float | None
    end: float | None
    box: tuple[float, float, float, float] | None
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue with something to claim: its (pipeline, kind, stage), the first row's priority and due time."""

    pipeline: str
    kind: str
    stage: str
    priority: int
    due: float


@dataclass(frozen=True, slots=True)
class Finished:
    """What a completing transaction did: work rows that ended, by outcome, and items whose stage is now done.

    `dropped` are reports whose token or state no longer fits: someone else has the row.
    """

    done: tuple[tuple[int, int], ...] = ()  # (work, item)
    ended: Mapping[Outcome, int] = field(default_factory=dict)
    dropped: tuple[int, ...] = ()
    orphans: tuple[str, ...] = ()  # absolute paths made for nothing: equal content was there already


@dataclass(frozen=True, slots=True)
class CalibrationRow:
    """A product certified for a selector and a validity interval [begin, end), seconds since the epoch."""

    id: int
    product: Product
    kind: str
    selector: str
    begin: float
    end: float
    quality: float
    state: str  # certified | superseded | decertified
    by: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class PublicationRow:
    """One row of the publication journal. `target` is relative to the archive root; `files` are (product, path in it)."""

    id: int
    work: int
    token: int
    item: int
    archive: str
    target: str
    state: PublicationState
    sha256: bytes
    files: tuple[tuple[int, str], ...] = ()
    folder: bool = False
    mode: str = "copy"
    error: str = ""
    updated: float = 0.0
    supersedes: int = 0


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order to people: `kind` is gate or handoff, `body` what was asked when it was opened, which never changes.

    `key` is that of the work then; `token` rises each time that somebody takes it, who must deliver until `due`.
    """

    work: int
    item: int
    stage: str
    kind: str
    key: bytes
    title: str
    body: Mapping[str, Any]
    state: OrderState = OrderState.OPEN
    token: int = 0
    who: str = ""
    why: str = ""
    due: float | None = None
    opened: float = 0.0
    changed: float = 0.0
    id: int = 0

    @property
    def name(self) -> str:
        """What people call it: ``order-12``."""
        return f"order-{self.id}"


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One delivery to an order: the sha256 of its manifest, the order's token that it answers, and what became of it."""

    order: int
    token: int
    sha256: bytes
    state: DeliveryState
    who: str
    place: str
    manifest: Mapping[str, Any]
    reasons: tuple[str, ...] = ()
    time: float = 0.0
    id: int = 0


@dataclass(frozen=True, slots=True)
class PinRow:
    """A product that retention leaves alone: who said so and why, until when (seconds since the epoch; None: for ever)."""

    product: Product
    author: str
    why: str
    until: float | None = None


@dataclass(frozen=True, slots=True)
class LetGoRow:
    """A product that was let go: when (seconds since the epoch), and by which `keep`."""

    product: Product
    time: float
    why: str


@dataclass(frozen=True, slots=True)
class FeatureCount:
    """How many features of a kind a stage found for an item."""

    stage: str
    kind: str
    count: int


@dataclass(frozen=True, slots=True)
class Kept:
    """Products of one stage below one root in one state, and their bytes together. `stage` is "" for raw files.

    Of those in state ``spent`` and ``wanted`` it is what they had: they were let go, and lie nowhere.
    """

    root: str
    pipeline: str
    kind: str
    stage: str
    state: str
    count: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Tally:
    """How often events came, by (pipeline, kind, stage, type), after `since`: later than asked where very many came."""

    counts: Mapping[tuple[str, str, str, str], int]
    since: float


@dataclass(frozen=True, slots=True)
class Slot:
    """A locked (rule, partition) with what was noted in it."""

    id: int
    rule: str
    partition: str
    data: Mapping[str, Any]


class View(PeopleView, Protocol):
    """Reading. Every list is ordered by id and paged by key (`after`)."""

    def now(self) -> float:
        """The catalog's time, seconds since the epoch."""

    def roots(self) -> Mapping[str, RootRow]:
        """The named roots."""

    def highest_token(self) -> int:
        """The highest token that was ever given, as far as rows tell."""

    def restored(self) -> float | None:
        """When the catalog was restored from a backup, as long as it is open what becomes of what is newer on disk."""

    def item(self, item: int) -> Item:
        """The item of this id. Raises `NotFoundError`."""

    def noted(self, rule: str, *, like: str = "%") -> dict[str, Mapping[str, Any]]:
        """What is noted in the slots of a rule, by partition, where its JSON text is `like` a pattern of SQL."""

    def find(self, pipeline: str, kind: str, key: str) -> Item | None:
        """The item of this key, if it is known."""

    def items(
        self,
        *,
        pipeline: str = "",
        kind: str = "",
        state: WorkState | None = None,
        stage: str = "",
        keys: Sequence[str] = (),
        text: str = "",
        box: Box | None = None,
        milestone: str = "",
        attributes: Mapping[str, Any] = _ANY,
        since: float | None = None,
        until: float | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> list[Item]:
        """Items by filter; `state` (with or without `stage`) means: has work in that state.

        `box`: the footprint shares a point with it, edges included; items without a footprint are none of them.
        `attributes` have these values, each a text, a number, true or false (1 is 1.0, and true is neither).
        `since`, `until`: the time span overlaps [since, until), seconds since the epoch; items without one are none of them.
        """

    def latest(
        self, pipeline: str, attribute: str, value: str | float, *, before: int = 0, limit: int = 100
    ) -> list[Item]:
        """The newest items of a pipeline with an attribute of this value, the newest first; those before one of a number."""

    def newest(self, pipeline: str, kinds: Iterable[str], *, before: int = 0, limit: int = 100) -> list[Item]:
        """The newest items of these kinds of a pipeline, the newest first; those before one of a number."""

    def under_way(
        self,
        kind: KindPlan,
        stage: str,
        since: float,
        until: float,
        *,
        moment: str = "mid",
        attributes: Mapping[str, Any] = _ANY,
        limit: int = 1000,
    ) -> list[Item]:
        """Items that have not passed a stage yet: its work waits, is ready or runs.

        All of those the begin, mid or end of whose time lies from `since` to `until`, and some others that begin before
        that; of more than `limit` of one length, the last ones. Items without a time are none of them. `attributes` have
        these values, texts, numbers, true or false, as far as their digests tell.
        """

    def count_items(
        self,
        *,
        pipeline: str = "",
        kind: str = "",
        state: WorkState | None = None,
        stage: str = "",
        keys: Sequence[str] = (),
        text: str = "",
        box: Box | None = None,
        milestone: str = "",
        attributes: Mapping[str, Any] = _ANY,
        since: float | None = None,
        until: float | None = None,
        most: int = 10_000,
    ) -> int:
        """How many items there are by filter; `most` + 1 where there are more than `most`."""

    def work(self, items: Sequence[int]) -> dict[int, list[WorkRow]]:
        """The work rows of stages of each item, in route order as created."""

    def work_row(self, work: int) -> WorkRow:
        """One work row. Raises `NotFoundError`."""

    def claimable(
        self, queues: Iterable[tuple[str, str, str]], *, only: Sequence[int] | None = None
    ) -> list[Queue]:
        """Those of the queues that have something to claim now; with `only`, for these items."""

    def open_work(self, pipeline: str = "", *, after: int = 0, limit: int = 1000) -> list[WorkRow]:
        """Work rows of stages that are neither done, rejected nor retired, by id."""

    def stale(self, stage: StagePlan, items: Sequence[int] = ()) -> list[tuple[int, int]]:
        """Finished work (work, item) of a stage whose version, parameters or environment are no longer those given.

        With `items`, of these alone (at most 500).
        """

    def unrouted(self, kind: KindPlan) -> tuple[list[int], list[int]]:
        """Items of the kind that lack work for a stage of its route, and work whose stage left the route."""

    def item_keys(self, items: Sequence[int]) -> dict[int, str]:
        """The keys of items by id."""

    def component_inputs(self, inputs: Sequence[InputRow]) -> dict[str, Any]:
        """Inputs as components of a key: name → hexadecimal sha256, or a list of them; what is told of a calibration beside."""

    def running_tokens(self) -> set[tuple[str, int]]:
        """The (item key as a file name, token) of everything that is running."""

    def oldest_running(self) -> float | None:
        """When the oldest run that goes on began, seconds since the epoch; None if none does."""

    def sweepable(
        self, before: float, *, limit: int = 1_000_000, oldest: float | None = None
    ) -> list[Product]:
        """Superseded products in the store that no pin holds and no run claimed before their supersession still reads.

        `oldest` is when the oldest run began, if that is known already.
        """

    def trash(
        self, before: float | None = None, *, limit: int = 1_000_000, shed_before: float | None = None
    ) -> list[tuple[Product, float]]:
        """Products in trash that no pin holds, with when they went there; those that went there before a moment.

        Those that were let go are in trash too (`shed_before` is another moment for them), but for what a run may read
        that began before.
        """

    def let_go(self, items: Sequence[int], stages: Sequence[str] | None = None) -> list[LetGoRow]:
        """The products of these items that were let go, by id."""

    def paths(self, root: str, *, let_go: bool = False) -> dict[str, bool]:
        """The paths below a root that some product may still lie at, each with whether it is a tree.

        With `let_go` also those at which products lay that were let go, and are deleted.
        """

    def logs_needed(self, works: Sequence[int]) -> set[tuple[int, int]]:
        """Of these works the last attempt (work, token) of each that needs a person or did not qualify."""

    def ahead(self, row: WorkRow, most: int = 10_000) -> int:
        """How many rows of its queue are taken before this ready one, counted up to `most`."""

    def at_work(self, most: int = 10_000) -> dict[tuple[str, str, str], int]:
        """How many runs go on by queue, whose leases have not expired; each counted up to `most`."""

    def last_said(self, row: WorkRow, types: Sequence[str]) -> Event | None:
        """The last event of these types about this work, if it was not pruned."""

    def history(self, queue: tuple[str, str, str], limit: int = 200) -> list[float]:
        """The seconds that runs of a stage took that ended well: a sample of the newest items, else of the oldest."""

    def pins(self, items: Sequence[int] = ()) -> list[PinRow]:
        """The pins, or those on products of these items, by product."""

    def kept(self) -> list[Kept]:
        """Products that are not deleted, by root, pipeline, kind, stage and state: how many, and bytes."""

    def published(self) -> tuple[int, int]:
        """How many publications stand in archives, and the bytes of their products."""

    def events_before(self, moment: float) -> int:
        """How many events are older than a moment."""

    def next_due(
        self, queues: Iterable[tuple[str, str, str]], *, only: Sequence[int] | None = None
    ) -> float | None:
        """When the next ready or running row of these queues falls due, seconds since the epoch; None if none is."""

    def counts(self, pipeline: str = "") -> dict[tuple[str, str, str, str], int]:
        """How many work rows by (pipeline, kind, stage, state)."""

    def runs(self, item: int = 0, *, work: int = 0, limit: int = 100) -> list[Run]:
        """Runs that ended, newest last."""

    def runs_of(self, items: Sequence[int]) -> dict[int, list[Run]]:
        """The runs that ended of each of these items, newest last."""

    def components(self, work: int, token: int) -> Mapping[str, Any]:
        """The components of a finished run's key: stage, version, params, environment, inputs (name → hex)."""

    def software(self, work: int, token: int) -> Mapping[str, str]:
        """What the process of a finished run had loaded: versions by distribution; none if that is not known."""

    def inputs(self, work: int, token: int) -> list[InputRow]:
        """What a finished run read."""

    def used_by(self, product: int) -> list[tuple[int, int]]:
        """The runs (work, token) that read this product."""

    def products(
        self,
        items: Sequence[int] = (),
        *,
        states: Sequence[ProductState] = (ProductState.CURRENT,),
        stages: Sequence[str] | None = None,
        after: int = 0,
        limit: int = 1_000_000,
    ) -> list[Product]:
        """Products by item, stage and state, by id."""

    def said(self, *, after: int = 0, limit: int) -> list[Said]:
        """What is said of the places of products that are current, missing or changed, by id."""

    def product(self, product: int) -> Product:
        """One product. Raises `NotFoundError`."""

    def raw_files(self, root: str) -> dict[str, tuple[int, int]]:
        """The raw files known below a root: relative path → (size, mtime_ns)."""

    def members(self, group: int) -> list[Item]:
        """The members of a group, in order."""

    def outlines(self, group: int) -> Iterator[Outline]:
        """What the members of a group tell of it, in order, read bit by bit while this view is open."""

    def groups_of(self, items: Sequence[int]) -> list[int]:
        """The groups that any of the items is a member of."""

    def features(
        self,
        *,
        near: tuple[float, float] | None = None,
        radius: float = 0.0,
        box: Box | None = None,
        frame: str = "",
        item: int = 0,
        kind: str = "",
        pipeline: str = "",
        after: int = 0,
        limit: int = 100,
    ) -> list[Feature]:
        """Point results of the runs that made what is current, by place and filter, by id.

        `near` is longitude and latitude, and `radius` how far from there, in degrees along a great circle.
        """

    def feature_counts(self, item: int) -> list[FeatureCount]:
        """How many features each stage found for an item, by stage and kind."""

    def verdicts(self, item: int) -> list[tuple[str, Verdict, float, str]]:
        """The verdicts on an item, oldest first: (stage, verdict, time, who accepted it)."""

    def flags(self, item: int) -> list[Flag]:
        """The flags on an item that are not withdrawn, oldest first."""

    def milestones(self, item: int) -> list[tuple[str, float]]:
        """The milestones an item has reached, with the time."""

    def needs(self, kind: KindPlan, stage: StagePlan, items: Sequence[int]) -> dict[int, Need]:
        """For each item, what the stage would read now and the key that gives: the claim's arithmetic, without it."""

    def calibrations(
        self,
        kind: str = "",
        *,
        at: float | None = None,
        selector: str | None = None,
        states: Sequence[str] = ("certified",),
    ) -> list[CalibrationRow]:
        """Calibrations in these states, best first where `at` is given."""

    def calibration_uses(self, products: Sequence[int]) -> dict[int, int]:
        """How many pieces of work stand on each calibration that is one of these products, by its number."""

    def publications(
        self,
        item: int = 0,
        *,
        states: Sequence[PublicationState] = (),
        after: int = 0,
        limit: int = 100,
        newest: bool = False,
    ) -> list[PublicationRow]:
        """The publication journal, oldest first or `newest`; `after` is the number of the last one of the page before."""

    def order(self, number: int) -> OrderRow:
        """An order by its number. Raises `NotFoundError`."""

    def orders(
        self,
        *,
        item: int = 0,
        work: int = 0,
        kind: str = "",
        states: Sequence[OrderState] = (),
        after: int = 0,
        limit: int = 100,
    ) -> list[OrderRow]:
        """Orders, oldest first; those with an id above `after`."""

    def deliveries(self, order: int) -> list[DeliveryRow]:
        """What was delivered to an order, oldest first."""

    def publication_counts(self) -> dict[str, int]:
        """How many publications by state."""

    def events(
        self,
        after: int = 0,
        *,
        item: int = 0,
        pipeline: str = "",
        types: Sequence[str] = (),
        until: int = 0,
        limit: int = 1000,
    ) -> list[Event]:
        """Events with seq > after, in order; of these types, and up to `until`, if that is said.

        Raises `StateError` with "reset" when older ones were pruned.
        """

    def tally(self, types: Sequence[str], since: float, *, most: int = 100_000) -> Tally:
        """How often events of these types came since a moment; at most so many events are looked through, the newest."""

    def last_event(self) -> int:
        """The seq of the newest event."""

    def oldest_event(self) -> int:
        """The seq of the oldest event that is kept; of the next one, if none is."""

    def spreading(self) -> bool:
        """Whether a change that touches very much work has not reached all of it yet; nothing is published meanwhile."""

    def behind(self) -> float:
        """Seconds by which the clock is behind that of the newest events, 0 if it is not: it was set back."""

    def sessions(self) -> list[tuple[int, str, int, str, bool]]:
        """Open sessions of processes that run work: number, host, pid, lock file, attributable."""

    def processes(self) -> list[tuple[int, str, int, str, bool]]:
        """All open sessions, also those of servers, which run none."""

    def definition(self, pipeline: str) -> tuple[int, bytes] | None:
        """The number and digest of the active definition of a pipeline."""

    def definitions(self, pipeline: str) -> list[tuple[int, bytes, float, bool]]:
        """Every definition ever loaded: number, digest, time, active."""

    def sizes(self) -> dict[str, int]:
        """Rows per table, and bytes of the catalog."""


class Transaction(PeopleTransaction, View, Protocol):
    """One transaction: everything below is written together or not at all."""

    # ---- site
    def set_root(self, name: str, place: str) -> RootRow:
        """Name a root, or move it: one row."""

    def set_definition(self, definition: Definition) -> int:
        """Record a definition (once by digest) and make it the active one; returns its number."""

    def event(
        self, type: str, *, item: int = 0, stage: str = "", run: str = "", pipeline: str = "", **data: Any
    ) -> None:
        """Append to the story. The number is given when the transaction ends."""

    def slot(self, rule: str, partition: str) -> Slot:
        """Lock (rule, partition), making it if need be."""

    def set_slot(self, slot: Slot, data: Mapping[str, Any]) -> None:
        """Note something in a locked slot."""

    def drop_slot(self, slot: Slot) -> None:
        """Forget a locked slot with what is noted in it."""

    # ---- arrival
    def add_items(self, plan: KindPlan, items: Sequence[Item], *, priority: int = 0) -> list[int]:
        """Register items of one kind with the work of their route; a known key gives its id and changes nothing.

        The first stages are ready, unless the kind is gathered or a group: then `GATHER` waits first, its time-out
        set by `set_due`. Milestones reached on arrival and an event `registered` are written.
        """

    def add_route(self, plan: KindPlan, items: Sequence[int]) -> int:
        """Give items the work of stages that are new in their route; returns how many rows."""

    def update_item(
        self,
        item: int,
        *,
        attributes: Mapping[str, Any] | None = None,
        span: Span | None = None,
        footprint: Box | None = None,
    ) -> None:
        """Change an item's facts; work that consumes its record or chooses a calibration by them is revised."""

    def rename(self, item: int, fresh: Item) -> bool:
        """Give an item that is being gathered another key, attributes, time and place; no work of it has begun.

        False, and nothing is changed, if another item has the key.
        """

    def add_raw(self, products: Sequence[Product]) -> list[int]:
        """Register raw files (stage ""). The same output and part again with another hash supersedes and revises."""

    def add_members(self, group: int, items: Sequence[int], *, after: int | None = None) -> None:
        """Add members to a group, in order. Members that are there already stay where they are.

        `after` is how many there are, if that is known: then a large group need not be counted.
        """

    def order_members(self, group: int, items: Sequence[int]) -> None:
        """Put the members of a group in this order."""

    def gathered(self, plan: KindPlan, item: int) -> None:
        """The item is complete: `GATHER` is done and its first stages become ready."""

    def set_due(self, work: int, due: float) -> None:
        """Set when a waiting `GATHER` row is to be looked at (time-out), seconds since the epoch."""

    def add_work(
        self,
        queue: tuple[str, str, str],
        *,
        item: int = 0,
        subject: str = "",
        due: float = 0.0,
        payload: Mapping[str, Any] | None = None,
        priority: int = 0,
    ) -> int:
        """A piece of work that is not a stage: a message, a scan, a sweep. Known (queue, item, subject): unchanged."""

    # ---- claim and complete
    def claim(
        self,
        kind: KindPlan,
        stage: StagePlan,
        limit: int,
        *,
        lease: float,
        owner: int,
        only: Sequence[int] | None = None,
    ) -> list[Claimed]:
        """Take up to `limit` rows of a stage, ready or with an expired lease, best priority first, and compute keys.

        A row with deaths > 0 is taken alone; one with more than three is poisoned instead. A row whose needs no
        longer hold (input not current, no calibration) goes back to waiting. With `only`, of these items alone.
        """

    def claim_other(
        self, queue: tuple[str, str, str], limit: int, *, lease: float, owner: int
    ) -> list[Claimed]:
        """The same for work that is not a stage (a message, a scan, a time-out): no inputs and no key.

        Of rows whose payload names a subject only the first of each subject is taken.
        """

    def complete(
        self, kind: KindPlan, stage: StagePlan, reports: Sequence[tuple[Claimed, Report]]
    ) -> Finished:
        """Write runs, products, verdicts, rows, milestones and events; make ready what follows, all in one.

        Reports whose token or state no longer fits are dropped; the others are written.
        """

    def heartbeat(
        self,
        runs: Sequence[tuple[int, int]],
        lease: float,
        progress: Mapping[int, tuple[float | None, str, str]] | None = None,
    ) -> list[tuple[int, int]]:
        """Extend the leases of these (work, token); returns those that are no longer ours and must be ended."""

    def follow_clock(self) -> float:
        """Where the clock was set back, what is due moves back with it; returns the seconds, 0 if it was not."""

    def finish(self, claimed: Claimed, *, again: float | None = None, error: str = "") -> bool:
        """End work that is not a stage: done, or ready `again` at that time; False if it was no longer ours."""

    def recompute(self, kind: KindPlan, items: Sequence[int], stages: Sequence[str] | None = None) -> int:
        """Make ready the waiting work whose needs all hold; returns how many."""

    # ---- what people and findings do to work
    def revise(self, works: Sequence[int], why: str, *, force: bool = False) -> int:
        """What these depend on changed: revision + 1, back to waiting, and all after them waits; returns rows touched.

        With `force` the finished key is forgotten, so that they run again even if nothing differs. Of very much work
        this transaction reaches `LoadedCatalog.at_once` rows, and `spread` the others.
        """

    def spread(self) -> bool:
        """Go on with what large changes have still to do, as far as one transaction goes; whether anything is left."""

    def hold(self, works: Sequence[int], why: str, who: str = "") -> int:
        """Hold work that is not running."""

    def release(self, works: Sequence[int], who: str = "", why: str = "", *, accept: bool = False) -> int:
        """Held → waiting; with `accept`, work that a rule held is done as it is."""

    def stop(self, works: Sequence[int], who: str = "", why: str = "") -> list[tuple[int, int]]:
        """Stop work; returns the runs (work, old token) that must be ended."""

    def retry(self, works: Sequence[int], who: str = "", why: str = "") -> int:
        """Failed, poisoned, stopped → waiting, with deaths and attempts at 0."""

    def retire(self, works: Sequence[int], why: str) -> int:
        """The stage left the route; its products stay."""

    def set_priority(self, works: Sequence[int], priority: int, who: str = "", why: str = "") -> int:
        """Change the priority of work that has not begun."""

    def add_flag(self, flag: Flag) -> int:
        """Add a flag; work that consumes flags is revised."""

    def certify(
        self,
        product: int,
        kind: str,
        selector: str,
        begin: float,
        end: float,
        *,
        quality: float = 0.0,
        by: str = "",
        why: str = "",
        replaces: Collection[int] = (),
    ) -> int:
        """Certify a calibration; those that it `replaces` are superseded, and what used them is kept.

        Raises `StateError` if it would overlap another that is not superseded.
        """

    def decertify(self, calibration: int, by: str, why: str, *, superseded: bool = False) -> None:
        """Withdraw a calibration, or say that it was made again (`superseded`); work that used it is revised."""

    def adopt(self, product: int, content: Any, who: str, why: str) -> int:
        """Bytes changed by someone else become a new product, `manual`; returns its id."""

    def adopt_stale(self, work: int, key: bytes, who: str, why: str) -> None:
        """Finished but stale work is declared good as it is under the key that was shown.

        Raises `StateError` if a component changed since.
        """

    def adopt_found(self, work: int, token: int, outputs: Sequence[Output], who: str, why: str) -> None:
        """Outputs of an attempt that the catalog forgot (it was restored) are taken as they are.

        Raises `StateError` if the work has gone further, its inputs are not there, or outputs are missing.
        """

    def bring_back(self, floor: int) -> None:
        """The catalog was restored: who ran then is dead, no token up to `floor` is given again, sweeping waits."""

    def decided(self) -> None:
        """It is decided what becomes of all that was newer on disk: `View.restored` is None again."""

    def mark(self, products: Sequence[int], state: ProductState, detail: str = "") -> int:
        """Move products to a state that the table of transitions allows; consumers wait or go on accordingly."""

    def refresh(self, product: int, mtime_ns: int) -> None:
        """The bytes are equal by hash, only the time stamp differs."""

    # ---- retention
    def pin(self, products: Sequence[int], who: str, why: str, until: float | None = None) -> int:
        """Retention leaves these alone until a moment (None: for ever); returns how many. Again: the newer counts."""

    def unpin(self, products: Sequence[int], who: str = "") -> int:
        """Take pins off again, those of one author or all; returns how many."""

    def to_trash(self, before: float, *, limit: int, oldest: float | None = None) -> int:
        """Move superseded products to trash (see `sweepable`); returns how many."""

    def let_go_of(self, before: float, *, limit: int) -> tuple[int, int]:
        """Look at products that are due to be, and let go what its stage's `keep` allows; returns (looked at, let go).

        It is due to be looked at when what reads it ends, and now and then. Nothing is while a change spreads.
        """

    def follow_keep(self) -> bool:
        """A step of taking up how stages say to `keep` now, of products that were made before; whether steps are left."""

    def leave_trash(self, before: float, *, limit: int, shed_before: float | None = None) -> list[Product]:
        """Products in trash are deleted, those let go are spent; returns them.

        Their bytes are to be removed when this is committed. `shed_before` is another moment for those let go.
        """

    def prune_events(self, before: float, *, limit: int) -> int:
        """Delete the oldest events, as far as they are from before a moment; returns how many."""

    def move_product(self, product: int, path: str, *, root: str = "") -> None:
        """The bytes are found, by hash, at another path of the same root, or were moved to another `root`."""

    # ---- publication
    def open_publication(self, claimed: Claimed, row: PublicationRow) -> PublicationRow:
        """The journal row of this work, made `intended` if there is none; fenced by the claim's token."""

    def move_publication(
        self, row: PublicationRow, state: PublicationState, *, error: str = "", token: int | None = None
    ) -> PublicationRow:
        """Move a publication on, if the table allows it and the token is still the work's. Raises `StateError`."""

    def post(self, destination: str, subject: str, body: Mapping[str, Any]) -> int:
        """Put a message in the outbox, in this transaction; it is sent at least once, in order per subject."""

    # ---- people
    def open_order(self, claimed: Claimed, row: OrderRow, *, reaches: str = "") -> OrderRow:
        """Open an order for claimed work, fenced by the claim's token; the item reaches a milestone with it."""

    def move_order(
        self, number: int, state: OrderState, *, who: str = "", why: str = "", due: float | None = None
    ) -> OrderRow:
        """Move an order on, if the table allows it; claimed: token + 1. Raises `StateError`."""

    def add_delivery(self, row: DeliveryRow) -> DeliveryRow:
        """Write down a delivery; the same manifest again is the same delivery, as it was judged first."""

    def move_delivery(self, number: int, state: DeliveryState, reasons: Sequence[str]) -> None:
        """A person judged a delivery otherwise, or it changed after it was judged."""

    # ---- sessions
    def open_session(self, host: str, pid: int, lock: str, *, attributable: bool, works: bool = True) -> int:
        """Register this process; its number owns leases, if it `works`."""

    def close_session(self, session: int) -> None:
        """Forget a session; its leases have expired."""

    def expire(self, session: int, *, give_back: bool) -> int:
        """The process of this session is dead: its leases expire now; `give_back` takes the death back."""


class Watch(Protocol):
    """Waits for changes of a catalog, for one listener. What it says is a hint: look, and find nothing or much."""

    def wait(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds for a change since the last one that was told, or since the watch began.

        The watch's own process may have made it, too. A change is told once, and many may be told as one.
        """

    def close(self) -> None:
        """Close its connection."""


class Catalog(Protocol):
    """One catalog: transactions on one writer, short reads beside it."""

    url: str

    def write(self, work: Callable[[Transaction], T], *, concurrent: bool = False) -> T:
        """Run `work` in one transaction on the writer and return what it returns; any exception rolls it back.

        `concurrent` says that it may run beside other such transactions: it only claims, completes where no group forms,
        beats or finishes. `work` may be run more than once, so it changes nothing but the catalog.
        """

    def read(self) -> AbstractContextManager[View]:
        """A short read."""

    def flush(self) -> None:
        """Make every committed transaction outlive a power cut, at every durability level."""

    def watch(self, every: float = 0.02) -> Watch:
        """Begin to watch for changes, whoever makes them; each listener has a watch of its own.

        `every` is how often to look, in seconds, where changes are not told at once; when nothing happens it is less often.
        """

    def close(self) -> None:
        """Close all connections, those of watches too."""


class LoadedCatalog(Catalog, Protocol):
    """A catalog with the definitions that its process has loaded."""

    definitions: dict[str, Definition]
    at_once: int  # rows of work that one transaction takes back or looks at again
