"""A pipeline file, resolved: what every stage of every route takes, makes and needs, as frozen values.

The catalog, the flow and the executors work from these; nobody below `app` reads a pipeline file. A run ends under the
definition it began with.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from towpath.base import clock
from towpath.base.model import Item
from towpath.base.provenance import Fixed
from towpath.base.spacetime import Box, Span
from towpath.contracts.executor import Resources

GATHER = "@gather"  # the pseudo-stage at the head of a route whose item must first be complete


@dataclass(frozen=True, slots=True)
class InputPlan:
    """One input of a stage, resolved.

    `producers` are the (stage, output) pairs that may give it, nearest first ("" is the raw files of a source);
    `members`: they belong to the members of the group. Of a calibration, one whose validity is at most `within` seconds
    away will do, and `apart` are the (stage, output) pairs whose products of the same item are not given: a stage that
    does not stand before this one certifies them.
    """

    name: str
    form: str  # one | many | calibration | flags | verdicts | record
    type: str = ""
    producers: tuple[tuple[str, str], ...] = ()
    members: bool = False
    optional: bool = False
    least: int = 1
    at: str = "time.mid"
    selector: str = ""
    within: float = 0.0
    apart: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Keep:
    """How long a current product stays: until it is ``consumed``, ``published``, or of an ``age`` in seconds."""

    until: str
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"kept for {self.seconds / 86400:g} d" if self.until == "age" else f"until {self.until}"


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage of a route, resolved. `depth` is its place in topological order; `fixed` begins its key.

    `service` names the handler of work done by the daemon itself ("publish", "gather", ...), else ""; `keep` has the
    outputs that do not always stay while they are current.
    """

    pipeline: str
    kind: str
    name: str
    depth: int
    target: str
    version: str
    params: Mapping[str, Any]
    fixed: Fixed
    inputs: tuple[InputPlan, ...] = ()
    outputs: Mapping[str, str] = field(default_factory=dict)
    optional_outputs: frozenset[str] = frozenset()
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    resources: Resources = Resources()
    service: str = ""
    reaches: str = ""
    rejects: str = ""
    attempts: int = 5
    backoff: float = 10.0
    priority: int = 0
    verify: str = "stat"  # stat | hash: how inputs are checked before a run
    keep: Mapping[str, Keep] = field(default_factory=dict)

    @property
    def queue(self) -> tuple[str, str, str]:
        """The (pipeline, kind, stage) that names its queue of work."""
        return self.pipeline, self.kind, self.name


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """How items become a group: members of kind `of` that have passed stage `at` (empty: are registered).

    `by` names attributes (dotted, also "key") whose equal values form a partition; `size` members complete a group
    (0: only the time-out or `close` does); `order_by` and `max_gap` (seconds) make members consecutive; `stride`
    members later the next window begins (0: windows do not overlap). `timeout` in seconds (0: none) and `on_timeout`
    is hold, process or reject; `late` is hold or revise.
    """

    of: str
    at: str = ""
    by: tuple[str, ...] = ()
    size: int = 0
    least: int = 1
    order_by: str = "time.mid"
    max_gap: float = 0.0
    stride: int = 0
    timeout: float = 0.0
    on_timeout: str = "hold"
    late: str = "hold"
    key: str = ""

    @property
    def is_line(self) -> bool:
        """Whether its groups are so many consecutive members each, and none in two of them."""
        return bool(self.size and self.max_gap) and not self.stride


@dataclass(frozen=True, slots=True)
class KindPlan:
    """One kind of item and its route in topological order.

    `reaches` is the milestone of arrival and `priority` what its work begins with; `time` names the attributes that
    hold an item's time (one, or begin and end), `footprint` those of its box (one list, or west, south, east, north).
    """

    pipeline: str
    name: str
    stages: Mapping[str, StagePlan]
    group: GroupPlan | None = None
    gathered: bool = False  # its items are complete only later: the route begins with `GATHER`
    route: str = ""
    reaches: str = ""
    priority: int = 0
    time: tuple[str, ...] = ()
    footprint: tuple[str, ...] = ()

    @property
    def first(self) -> tuple[StagePlan, ...]:
        """The stages that need no other."""
        return tuple(stage for stage in self.stages.values() if not stage.before)

    def upstream(self, stage: str) -> tuple[StagePlan, ...]:
        """The stages that must have been passed before one, in topological order."""
        names = set(self.stages[stage].before)
        for one in sorted(self.stages.values(), key=lambda one: one.depth, reverse=True):
            names |= set(one.before) if one.name in names else set()
        return tuple(one for one in self.stages.values() if one.name in names)

    def placed(self, item: Item) -> Item:
        """The item with the time and the footprint that its attributes hold, where it has none yet.

        Raises
        ------
        ValueError
            If the attributes named by `time` and `footprint` are no times or no box in degrees.
        """
        span, box = item.span, item.footprint
        try:
            if span is None and (times := _values(item.attributes, self.time)):
                moments = [clock.seconds(time) for time in times]
                span = Span(moments[0], moments[-1])
            if box is None and (corners := _values(item.attributes, self.footprint)):
                box = Box(*(float(corner) for corner in corners))
        except (TypeError, ValueError) as error:
            named = ", ".join((*self.time, *self.footprint))
            raise ValueError(f"{item.name}: attributes {named}: {error}") from None
        return replace(item, span=span, footprint=box)

    @property
    def gather(self) -> StagePlan:
        """The pseudo-stage `GATHER` at the head of the route."""
        return StagePlan(
            pipeline=self.pipeline,
            kind=self.name,
            name=GATHER,
            depth=-1,
            target="",
            version="1",
            params={},
            fixed=Fixed.of(GATHER, "1", {}),
            after=tuple(stage.name for stage in self.first),
            service="gather",
        )


def _values(attributes: Mapping[str, Any], names: tuple[str, ...]) -> list[Any]:
    """The values of these attributes, a list among them spread out; nothing if one is missing."""
    if any(attributes.get(name) is None for name in names):
        return []
    found = [attributes[name] for name in names]
    return [one for value in found for one in (value if isinstance(value, list | tuple) else [value])]


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """One source: where items of kind `item` come from, with the settings of its `kind` ("folder", "fetch", ...)."""

    pipeline: str
    name: str
    kind: str
    item: str
    settings: Mapping[str, Any]
    raw_type: str = ""
    complete: int = 1
    timeout: float = 0.0
    on_timeout: str = "hold"
    join_within: float = 0.0
    late: str = "hold"


@dataclass(frozen=True, slots=True)
class Definition:
    """A pipeline file as loaded: its digest (sha256 of the canonical merged content), kinds and sources.

    `layout` is the template of a place below the store, without the item's own name.
    """

    pipeline: str
    version: str
    digest: bytes
    kinds: Mapping[str, KindPlan]
    sources: Mapping[str, SourcePlan]
    content: Mapping[str, Any] = field(default_factory=dict)
    licence: str = ""
    citation: str = ""
    doi: str = ""
    number: int = 0
    layout: str = "{pipeline}/{kind}/{stage}"

    def stage(self, kind: str, name: str) -> StagePlan:
        """The stage `name` of the route of `kind`."""
        return self.kinds[kind].stages[name]

    def groups_of(self, kind: str, stage: str) -> tuple[KindPlan, ...]:
        """The kinds that group items of `kind` once they pass `stage`."""
        return tuple(
            plan
            for plan in self.kinds.values()
            if plan.group and (plan.group.of, plan.group.at) == (kind, stage)
        )
