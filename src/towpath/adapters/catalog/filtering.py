"""What items are asked for, as conditions of SQL, and the indexes that know which items may fit.

Promises that the conditions alone decide: a source only tells which items are worth a look, and which conditions it has
seen to. Pure values; `searching` runs them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from towpath.adapters.catalog import footprints
from towpath.adapters.catalog.facets import LENGTH, LENGTHS, LONGER, facet, is_scalar
from towpath.adapters.catalog.sql import marks
from towpath.base import states
from towpath.base.spacetime import Box


@dataclass(frozen=True, slots=True)
class Filter:
    """What items are asked for (`contracts.catalog.View.items`).

    Raises
    ------
    ValueError
        If an attribute is asked for that is neither a text nor a number nor true or false.
    """

    pipeline: str = ""
    kind: str = ""
    state: states.Work | None = None
    stage: str = ""
    keys: Sequence[str] = ()
    text: str = ""
    box: Box | None = None
    milestone: str = ""
    attributes: tuple[tuple[str, Any], ...] = ()
    since: float | None = None
    until: float | None = None

    def __post_init__(self) -> None:
        for name, value in self.attributes:
            if not is_scalar(value):
                raise ValueError(
                    f"attribute {name}: found {value!r}; expected a text, a number, true or false"
                )

    @property
    def is_timed(self) -> bool:
        """Whether it is about time spans."""
        return self.since is not None or self.until is not None


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on an item and its values. `{id}` stands for its number; without that it is on columns of `items`."""

    name: str
    clause: str
    values: tuple[Any, ...] = ()

    @property
    def is_own(self) -> bool:
        """Whether it is on the item's own columns."""
        return "{id}" not in self.clause


@dataclass(frozen=True, slots=True)
class Branch:
    """Where in an index items are: the table, the expression of the item's number there, and a condition.

    `is_item`: the table is `items` itself, as it is. `repeats`: an item may be there more than once.
    """

    table: str
    id: str
    clause: str
    values: tuple[Any, ...] = ()
    is_item: bool = False
    repeats: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """An index that has all items that fit, in branches; `covers` names the conditions that are true of what it gives.

    `most` is from which number of items on it is no longer worth while, where that is known.
    """

    branches: tuple[Branch, ...]
    covers: frozenset[str]
    most: int | None = None


EVERY = Source((Branch("items", "items.id", "true", is_item=True),), frozenset())


# ---- conditions
def conditions(asked: Filter, queues: Sequence[int]) -> Iterator[Condition]:
    """All that must be true of an item; `queues` are those of the stage that is asked for."""
    for name, value in (("pipeline", asked.pipeline), ("kind", asked.kind)):
        if value:
            yield Condition(name, f"{name} = ?", (value,))
    if asked.keys:
        yield Condition("keys", f'"key" IN ({marks(asked.keys)})', tuple(asked.keys))
    if asked.text:
        yield Condition("text", "\"key\" LIKE ? ESCAPE '!'", (_pattern(asked.text),))
    if asked.box:
        clause, values = footprints.meeting(asked.box)
        yield Condition("box", clause, tuple(values))
    if asked.is_timed:
        yield Condition("time", *_overlap(asked))
    for name, value in asked.attributes:
        one = "EXISTS (SELECT 1 FROM facets y WHERE y.digest = ? AND y.item_id = {id})"
        yield Condition(f"attribute {name}", one, (facet(name, value),))
    if asked.milestone:
        one = "EXISTS (SELECT 1 FROM milestones z WHERE z.item_id = {id} AND z.name = ?)"
        yield Condition("milestone", one, (asked.milestone,))
    if asked.state or asked.stage:
        yield Condition("work", *_has_work(asked, queues))


def _has_work(asked: Filter, queues: Sequence[int]) -> tuple[str, tuple[Any, ...]]:
    queued = f" AND x.queue_id IN ({marks(queues)})" if asked.stage else ""
    stands = " AND x.state = ?" if asked.state else ""
    values = (*(queues if asked.stage else ()), *([asked.state.value] if asked.state else ()))
    return f"EXISTS (SELECT 1 FROM work x WHERE x.item_id = {{id}}{queued}{stands})", values


def _pattern(text: str) -> str:
    return f"%{text.replace('!', '!!').replace('%', '!%').replace('_', '!_')}%"


def _overlap(asked: Filter) -> tuple[str, tuple[Any, ...]]:
    """[begins, ends) and [since, until) have a moment in common; an instant holds itself."""
    clauses, values = ["begins IS NOT NULL"], list[Any]()
    if asked.until is not None:
        clauses.append("begins < ?")
        values.append(float(asked.until))
    if asked.since is not None:
        clauses.append("(ends > ? OR begins >= ?)")
        values += [float(asked.since)] * 2
    return " AND ".join(clauses), tuple(values)


# ---- sources
def by_attribute(name: str, value: Any) -> Source:
    """The items with an attribute, in the order of their numbers."""
    branch = Branch("facets f", "f.item_id", "f.digest = ?", (facet(name, value),))
    return Source((branch,), frozenset({f"attribute {name}"}))


def by_milestone(name: str) -> Source:
    """The items that reached a milestone, in the order of their numbers."""
    return Source((Branch("milestones m", "m.item_id", "m.name = ?", (name,)),), frozenset({"milestone"}))


def by_kind(kinds: Sequence[tuple[str, str]]) -> Source:
    """The items of these (pipeline, kind), each in the order of their numbers."""
    branches = tuple(
        Branch("items", "items.id", "pipeline = ? AND kind = ?", kind, is_item=True) for kind in kinds
    )
    return Source(branches, frozenset({"pipeline", "kind"}))


def by_keys(kinds: Sequence[tuple[str, str]], keys: Sequence[str]) -> Source:
    """The items of these kinds with one of these keys."""
    clause = f'o.pipeline = ? AND o.kind = ? AND o."key" IN ({marks(keys)})'
    branches = tuple(Branch("items o", "o.id", clause, (*kind, *keys)) for kind in kinds)
    return Source(branches, frozenset({"pipeline", "kind", "keys"}))


def by_text(kinds: Sequence[tuple[str, str]], text: str) -> Source:
    """The items of these kinds with a text in their key: all keys are looked through, in the index (0.1 µs each).

    `+`: the number is not sought, so that the index that holds the key is all that is read.
    """
    clause = "o.pipeline = ? AND o.kind = ? AND o.\"key\" LIKE ? ESCAPE '!'"
    branches = tuple(Branch("items o", "+o.id", clause, (*kind, _pattern(text))) for kind in kinds)
    return Source(branches, frozenset({"pipeline", "kind", "text"}))


def by_time(asked: Filter) -> Source:
    """The items whose span overlaps, by the length of spans: of each length none begins much before `since`."""
    clause, values = _overlap(asked)
    branches = []
    for length in (*LENGTHS, LONGER):
        near, bound = "", list[float]()
        if length != LONGER and asked.since is not None:
            near, bound = " AND o.begins >= ?", [float(asked.since) - length]
        branches.append(
            Branch("items o", "+o.id", f"{LENGTH} = ? AND {clause}{near}", (length, *values, *bound))
        )
    return Source(tuple(branches), frozenset({"time"}))
