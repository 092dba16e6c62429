"""Items by filter: a page in the order of their numbers, or how many.

Promises the same answers whichever index leads: the one that knows the fewest items that may fit is followed, and the
conditions decide; attributes themselves are looked at, too. Never changes a row.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from towpath.adapters.catalog import facets
from towpath.adapters.catalog.filtering import (
    EVERY,
    Branch,
    Condition,
    Filter,
    Source,
    by_attribute,
    by_keys,
    by_kind,
    by_milestone,
    by_text,
    by_time,
    conditions,
)
from towpath.adapters.catalog.sql import ACTIVE, AT_REST, ITEM_COLUMNS, Session, load, to_item
from towpath.base import states
from towpath.base.model import Item
from towpath.base.spacetime import Box
from towpath.contracts.definition import KindPlan

_ANY: Mapping[str, Any] = MappingProxyType({})
_State = states.Work
_IN_WORK = (_State.READY, _State.RUNNING)
_BOUNDS = (1000, 200_000)  # up to these a source is counted
_NEXT = 1000  # items that are looked at first: enough where most fit


class ItemSearch(Session):
    """Adds the search for items."""

    def items(
        self,
        *,
        pipeline: str = "",
        kind: str = "",
        state: states.Work | None = None,
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
        wanted = tuple(attributes.items())
        asked = Filter(pipeline, kind, state, stage, keys, text, box, milestone, wanted, since, until)
        found: list[Item] = []
        while len(found) < limit:
            lacking = limit - len(found)
            ids = self._page(asked, after, lacking)
            found += [item for item in self._items_of(ids) if facets.holds(item.attributes, attributes)]
            if len(ids) < lacking:
                break
            after = ids[-1]
        return found

    def count_items(
        self,
        *,
        pipeline: str = "",
        kind: str = "",
        state: states.Work | None = None,
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
        wanted = tuple(attributes.items())
        asked = Filter(pipeline, kind, state, stage, keys, text, box, milestone, wanted, since, until)
        fitting = self._conditions(asked)
        source = self._leading(asked, 0)
        limit = most + 1
        while True:
            ids = self._fitting(source, fitting, 0, limit, in_order=False)
            count = self._with(ids, attributes) if attributes else len(ids)
            if count > most or len(ids) < limit:
                return min(count, most + 1)
            limit *= 2  # some had the digest of an attribute by chance

    def latest(
        self, pipeline: str, attribute: str, value: str | float, *, before: int = 0, limit: int = 100
    ) -> list[Item]:
        """The newest items of a pipeline with an attribute of this value, the newest first; those before one of a number."""
        found: list[Item] = []
        before = before or 2**63 - 1
        while len(found) < limit:
            rows = self.rows(
                "SELECT item_id FROM facets WHERE digest = ? AND item_id < ? ORDER BY item_id DESC LIMIT ?",
                (facets.facet(attribute, value), before, limit),
            )
            items = self._newest_first([row[0] for row in rows])
            found += [
                item
                for item in items
                if item.pipeline == pipeline and facets.holds(item.attributes, {attribute: value})
            ]
            if len(rows) < limit:
                break
            before = rows[-1][0]
        return found[:limit]

    def newest(self, pipeline: str, kinds: Iterable[str], *, before: int = 0, limit: int = 100) -> list[Item]:
        """The newest items of these kinds of a pipeline, the newest first; those before one of a number."""
        statement = "SELECT id FROM items WHERE pipeline = ? AND kind = ? AND id < ? ORDER BY id DESC LIMIT ?"
        ids = [
            row[0]
            for kind in set(kinds)
            for row in self.rows(statement, (pipeline, kind, before or 2**63 - 1, limit))
        ]
        return self._newest_first(sorted(ids, reverse=True)[:limit])

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
        """Items that have not passed a stage yet, in a part of the order of time; each length of spans is an index of its own."""
        queue = self.queue_id((kind.pipeline, kind.name, stage))
        early = {"begin": 0.0, "mid": 0.5, "end": 1.0}[moment]
        digests = [facets.facet(name, value) for name, value in attributes.items()]
        holds = "".join(
            " AND EXISTS (SELECT 1 FROM facets f WHERE f.digest = ? AND f.item_id = items.id)"
            for _ in digests
        )
        branches, values = list[str](), list[Any]()
        for length in (*facets.LENGTHS, facets.LONGER):
            branches.append(
                f"SELECT id FROM (SELECT id FROM items WHERE {facets.LENGTH} = ? AND begins >= ? AND begins <= ? "
                f"AND pipeline = ? AND kind = ?{holds} AND EXISTS (SELECT 1 FROM work w WHERE w.item_id = items.id AND "
                "w.queue_id = ? AND w.subject = '' AND w.state IN ('waiting', 'ready', 'running')) "
                f"ORDER BY begins DESC LIMIT ?) AS branch_{length}"
            )
            earliest = since - early * length if length != facets.LONGER else -1e300
            values += [length, earliest, until, kind.pipeline, kind.name, *digests, queue, limit]
        ids = {row[0] for row in self.rows(" UNION ALL ".join(branches), values)}
        return self._items_of(sorted(ids))

    def _newest_first(self, ids: Sequence[int]) -> list[Item]:
        """Items by their numbers, the highest first: they are read in chunks, which must be in the order of each."""
        return self._items_of(ids[::-1])[::-1]

    def _with(self, ids: Sequence[int], attributes: Mapping[str, Any]) -> int:
        texts = [
            row[0] for row in self.rows_in("SELECT attributes FROM items WHERE id IN ({in})", sorted(ids))
        ]
        known = load(f"[{','.join([text or '{}' for text in texts])}]", [])  # one call is faster
        return sum(facets.holds(own, attributes) for own in known)

    def _items_of(self, ids: Sequence[int]) -> list[Item]:
        statement = f"SELECT {ITEM_COLUMNS} FROM items WHERE id IN ({{in}}) ORDER BY id"
        return [to_item(row) for row in self.rows_in(statement, ids)]

    # ---- what leads
    def _page(self, asked: Filter, after: int, limit: int) -> list[int]:
        """The numbers of the first items after one."""
        fitting = self._conditions(asked)
        if fitting and limit <= _NEXT:
            near = Branch("items", "items.id", "items.id <= ?", (after + _NEXT + 2 * limit,), is_item=True)
            ids = self._fitting(Source((near,), frozenset()), fitting, after, limit)
            if len(ids) == limit:
                return ids
        return self._fitting(self._leading(asked, after), fitting, after, limit)

    def _conditions(self, asked: Filter) -> list[Condition]:
        return list(conditions(asked, [number for number, _ in self._staged(asked)]))

    def _leading(self, asked: Filter, after: int) -> Source:
        """The source with the fewest items; one that all must be looked through for, only where none has few."""
        counted, others = self._indexes(asked)
        if len(counted) + len(others) == 1 and not asked.box:
            return (counted + others)[0]
        for bound in _BOUNDS:
            sizes = [self._size(source, after, min(bound, source.most or bound)) for source in counted]
            small = [
                (size, number)
                for number, (size, source) in enumerate(zip(sizes, counted, strict=True))
                if size < min(bound, source.most or bound)
            ]
            if small:
                return counted[min(small)[1]]
        return next(iter([*others, *(source for source in counted if source.most is None)]), EVERY)

    def _size(self, source: Source, after: int, most: int) -> int:
        """How many rows a source has, counted up to `most`."""
        count = 0
        for branch in source.branches:
            rows = f"SELECT 1 FROM {branch.table} WHERE {branch.clause} AND {branch.id} > ? LIMIT ?"
            values = (*branch.values, after, most - count)
            count += self.one(f"SELECT count(*) FROM ({rows}) AS n", values)[0]
            if count >= most:
                break
        return count

    def _indexes(self, asked: Filter) -> tuple[list[Source], list[Source]]:
        """Those that are counted first, the better ones first; and those that are not."""
        counted = [by_attribute(*one) for one in asked.attributes]
        others: list[Source] = []
        if asked.milestone:
            counted.append(by_milestone(asked.milestone))
        if asked.state or asked.stage:
            counted.append(Source(tuple(self._work_branches(asked)), frozenset({"work"})))
        if asked.box and (near := self.near(asked.box)):
            counted.append(Source(tuple(near), frozenset(), most=30_000))
        if asked.is_timed:
            counted.append(by_time(asked))
        if asked.keys or asked.text or asked.pipeline or asked.kind:
            kinds = self._kinds(asked.pipeline, asked.kind)
            if asked.keys:
                counted.append(by_keys(kinds, asked.keys))
            elif asked.text:
                others.append(by_text(kinds, asked.text))
            if asked.pipeline or asked.kind:
                counted.append(by_kind(kinds))
        return counted, others

    def near(self, box: Box) -> list[Branch]:
        """Where an index on footprints has all items that meet the box, as the dialect has one."""
        return []

    def _kinds(self, pipeline: str, kind: str) -> list[tuple[str, str]]:
        """The (pipeline, kind) of items that fit: few, found step by step in the index."""
        return [
            (owner, name)
            for owner in ([pipeline] if pipeline else self._steps("pipeline", "true"))
            for name in ([kind] if kind else self._steps("kind", "pipeline = ?", owner))
        ]

    def _steps(self, column: str, clause: str, *values: str) -> Iterator[str]:
        """The different values of a column of `items` that an index begins with, or goes on with after the clause."""
        last = ""
        statement = f"SELECT {column} FROM items WHERE {clause} AND {column} > ? ORDER BY {column} LIMIT 1"
        while row := self.one(statement, (*values, last)):
            last = row[0]
            yield last

    # ---- work
    def _staged(self, asked: Filter) -> list[tuple[int, tuple[str, str, str]]]:
        return [one for one in self._queues() if not asked.stage or one[1][2] == asked.stage]

    def _work_branches(self, asked: Filter) -> Iterator[Branch]:
        """Where in the indexes on work that of a stage, or in a state, is."""
        for queue, name in self._staged(asked):
            if _may_hold(name, asked.pipeline, asked.kind):
                for state in [asked.state] if asked.state else list(_State):
                    yield from self._stretches(queue, state)

    def _stretches(self, queue: int, state: states.Work) -> Iterator[Branch]:
        """Where work of a queue in a state is: in the order of items, but for what is ready or runs.

        `+`: the number is not sought, so that no other index is taken.
        """
        stands, values = "w.queue_id = ? AND w.state = ?", (queue, state.value)
        if state in _IN_WORK:
            yield Branch("work w", "+w.item_id", f"{stands} AND {ACTIVE} AND subject = ''", values)
        else:
            clause = f"{stands} AND {AT_REST} AND w.done_part = ?"
            for part in self._parts_of(queue, state):
                yield Branch("work w", "w.item_id", clause, (*values, part))
        named = f"{stands} AND subject <> '' AND w.item_id > 0"
        if self.one(
            "SELECT 1 FROM work w WHERE w.queue_id = ? AND subject <> '' AND w.item_id > 0 LIMIT 1", (queue,)
        ):
            yield Branch("work w", "w.item_id", named, values, repeats=True)

    def _parts_of(self, queue: int, state: states.Work) -> Iterator[int]:
        """The fixed parts that work of a queue in a state was made with: few, found step by step in the index."""
        part = -1
        statement = (
            f"SELECT done_part FROM work WHERE queue_id = ? AND state = ? AND {AT_REST} AND done_part > ? "
            "ORDER BY done_part LIMIT 1"
        )
        while row := self.one(statement, (queue, state.value, part)):
            part = row[0]
            yield part

    def _queues(self) -> list[tuple[int, tuple[str, str, str]]]:
        rows = self.rows("SELECT id, pipeline, kind, stage FROM queues ORDER BY id")
        return [(row[0], (row[1], row[2], row[3])) for row in rows]

    # ---- what fits
    def _fitting(
        self,
        source: Source,
        fitting: Sequence[Condition],
        after: int,
        limit: int,
        *,
        in_order: bool = True,
    ) -> list[int]:
        """The numbers of items of a source after one for which all is true: the first in order, or any."""
        left = [one for one in fitting if one.name not in source.covers]
        found: set[int] = set()
        for branch in source.branches:
            if not in_order and len(found) >= limit:
                break
            statement, values = _statement(branch, left, in_order=in_order)
            found.update(row[0] for row in self.rows(statement, (*values, after, limit)))
        return sorted(found)[:limit]


def _statement(branch: Branch, left: Sequence[Condition], *, in_order: bool) -> tuple[str, list[Any]]:
    """The numbers of items in a branch for which these conditions are true; `after` and the limit are bound last."""
    own = [one for one in left if one.is_own]
    others = [one for one in left if not one.is_own]
    clauses, values = [branch.clause], [*branch.values]
    for one in others:
        clauses.append(one.clause.replace("{id}", branch.id))
        values += one.values
    if own:
        both = " AND ".join(one.clause for one in own)
        clauses.append(
            both if branch.is_item else f"EXISTS (SELECT 1 FROM items i WHERE i.id = {branch.id} AND {both})"
        )
        values += [value for one in own for value in one.values]
    distinct = "DISTINCT " if branch.repeats else ""
    order = f" ORDER BY {branch.id}" if in_order else ""
    where = " AND ".join(clauses)
    return (
        f"SELECT {distinct}{branch.id} FROM {branch.table} WHERE {where} AND {branch.id} > ?{order} LIMIT ?",
        values,
    )


def _may_hold(queue: tuple[str, str, str], pipeline: str, kind: str) -> bool:
    """Whether work of such items may be in a queue: a stage's is of one kind, a queue of messages of none."""
    if queue[1] == "message":
        return True
    return (not pipeline or queue[0] == pipeline) and (not kind or queue[1] == kind)
