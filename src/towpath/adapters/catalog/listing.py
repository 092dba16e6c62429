"""Lists and counts over the whole site: items by filter, open work, work by state, work that is out of date.

Promises not to look at rows that are none of the answer where an index knows better: what is asked of a million items is
found, or counted, in an index. Never changes a row.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from towpath.adapters.catalog import footprints
from towpath.adapters.catalog.sql import (
    ACTIVE,
    AT_REST,
    ITEM_COLUMNS,
    WORK_COLUMNS,
    Session,
    marks,
    to_item,
)
from towpath.base import states
from towpath.base.model import Item, WorkRow
from towpath.base.spacetime import Box
from towpath.contracts.definition import StagePlan

_State = states.Work
_IN_WORK = (_State.READY, _State.RUNNING)
_USUAL = (_State.WAITING, *_IN_WORK, _State.DONE)  # most work is in one of these
_OPEN_AT_REST = "state IN ('waiting', 'failed', 'poisoned', 'stopped', 'held')"
_PAGE = 500
_CLOSE = 10  # items that are looked at for each that is asked for

_Where = tuple[list[str], list[Any]]


class Listing(Session):
    """Adds lists and counts."""

    # ---- items
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
        after: int = 0,
        limit: int = 100,
    ) -> list[Item]:
        """Items by filter; `state` (with or without `stage`) means: has work in that state.

        `box`: the footprint shares a point with it, edges included; items without a footprint are none of them.
        """
        named = self._named(pipeline, kind, keys, text)
        where, values = self._placed(named, box) if box else named
        queues = [one for one in self._queues() if not stage or one[1][2] == stage]
        if state and (state not in _USUAL or not (keys or text or box)):
            fitting = [number for number, name in queues if _may_hold(name, pipeline, kind)]
            return self._items_in(state, fitting, (where, values), after, limit)
        if state or stage:
            clause = (
                f"EXISTS (SELECT 1 FROM work w WHERE w.item_id = items.id AND w.queue_id IN ({marks(queues)})"
            )
            where = [*where, clause + (" AND w.state = ?)" if state else ")")]
            values = [*values, *(number for number, _ in queues), *([state.value] if state else [])]
        return self._listed((["id > ?", *where], [after, *values]), limit)

    @staticmethod
    def _named(pipeline: str, kind: str, keys: Sequence[str], text: str) -> _Where:
        where: list[str] = []
        values: list[Any] = []
        for clause, value in (("pipeline = ?", pipeline), ("kind = ?", kind)):
            if value:
                where.append(clause)
                values.append(value)
        if keys:
            where.append(f'"key" IN ({marks(keys)})')
            values += keys
        if text:
            where.append("\"key\" LIKE ? ESCAPE '!'")
            values.append(f"%{text.replace('!', '!!').replace('%', '!%').replace('_', '!_')}%")
        return where, values

    def _placed(self, named: _Where, box: Box) -> _Where:
        near, meeting = self.near(box), footprints.meeting(box)
        return [*named[0], near[0], meeting[0]], [*named[1], *near[1], *meeting[1]]

    def near(self, box: Box) -> tuple[str, list[float]]:
        """A condition that an index on footprints knows to be true of all items that meet the box, and its values."""
        return "true", []

    def _listed(self, where: _Where, limit: int) -> list[Item]:
        statement = f"SELECT {ITEM_COLUMNS} FROM items WHERE {' AND '.join(where[0])} ORDER BY id LIMIT ?"
        return [to_item(row) for row in self.rows(statement, (*where[1], limit))]

    def _items_in(
        self, state: states.Work, queues: Sequence[int], where: _Where, after: int, limit: int
    ) -> list[Item]:
        """Those with work in a state, by the indexes on work; of each page those that fit are kept."""
        found: list[Item] = []
        size = min(max(limit, 1), _PAGE)
        while len(found) < limit:
            ids = self._with_work(state, queues, after, size)
            if ids:
                fitting = ([f"id IN ({marks(ids)})", *where[0]], [*ids, *where[1]])
                found += self._listed(fitting, limit - len(found))
            if len(ids) < size:
                break
            after = ids[-1]
        return found

    def _with_work(self, state: states.Work, queues: Sequence[int], after: int, limit: int) -> list[int]:
        """The first items after one that have work in a state."""
        if state in _IN_WORK and queues:
            close = self._close_by(state, queues, after, limit)
            if len(close) == limit:
                return close
        found: set[int] = set()
        for queue in queues:
            for what, clause, *values in self._stretches(queue, state):
                statement = f"SELECT {what} FROM work WHERE queue_id = ? AND state = ? AND {clause} LIMIT ?"
                found.update(
                    row[0] for row in self.rows(statement, (queue, state.value, *values, after, limit))
                )
        return sorted(found)[:limit]

    def _close_by(self, state: states.Work, queues: Sequence[int], after: int, limit: int) -> list[int]:
        """Those among the next items: enough where most have such work, which then need not be sorted for each page."""
        rows = self.rows(
            f"SELECT DISTINCT item_id FROM work WHERE item_id > ? AND item_id <= ? AND queue_id IN ({marks(queues)}) "
            "AND state = ? ORDER BY item_id LIMIT ?",
            (after, after + _CLOSE * limit, *queues, state.value, limit),
        )
        return [row[0] for row in rows]

    def _stretches(self, queue: int, state: states.Work) -> Iterator[tuple[Any, ...]]:
        """Where in the indexes work of a queue in a state is: what to select, the rest of the statement, and its values.

        In each stretch it is in the order of items; what is ready or runs is sorted (`+`: not by another index).
        """
        if state in _IN_WORK:
            yield "item_id", f"{ACTIVE} AND subject = '' AND +item_id > ? ORDER BY +item_id"
        else:
            for part in self._parts_of(queue, state):
                yield "item_id", f"{AT_REST} AND done_part = ? AND item_id > ? ORDER BY item_id", part
        yield "DISTINCT item_id", "subject <> '' AND item_id > 0 AND item_id > ? ORDER BY item_id"

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

    # ---- work
    def open_work(self, pipeline: str = "", *, after: int = 0, limit: int = 1000) -> list[WorkRow]:
        """Work rows of stages that are neither done, rejected nor retired, by id."""
        queues = [number for number, name in self._queues() if not pipeline or name[0] == pipeline]
        common = f"queue_id IN ({marks(queues)}) AND subject = '' AND item_id > 0 AND id > ?"
        rows = self.rows(
            f"SELECT {WORK_COLUMNS} FROM work WHERE id IN (SELECT id FROM ("
            f"SELECT id FROM work WHERE {AT_REST} AND {_OPEN_AT_REST} AND {common} "
            f"UNION ALL SELECT id FROM work WHERE {ACTIVE} AND {common}) AS o ORDER BY id LIMIT ?) ORDER BY id",
            (*queues, after, *queues, after, limit),
        )
        return [self.to_work(row) for row in rows]

    def stale(self, stage: StagePlan, items: Sequence[int] = ()) -> list[tuple[int, int]]:
        """Finished work (work, item) of a stage whose version, parameters or environment are no longer those given."""
        queue, part = self.queue_id(stage.queue), self.part_id(stage.fixed) or 0
        among = f" AND item_id IN ({marks(items)})" if items else f" AND {AT_REST}"
        rows = [
            row
            for clause, bounds in (("done_part > 0 AND done_part < ?", part), ("done_part > ?", part))
            for row in self.rows(
                f"SELECT id, item_id FROM work WHERE queue_id = ? AND state = 'done' AND {clause}{among}",
                (queue, bounds, *items),
            )
        ]
        return sorted((row[0], row[1]) for row in rows)

    def counts(self, pipeline: str = "") -> dict[tuple[str, str, str, str], int]:
        """How many work rows by (pipeline, kind, stage, state)."""
        rows = self.rows(
            f"SELECT queue_id, state, count(*) FROM work WHERE {AT_REST} GROUP BY queue_id, state"
        )
        active = self.rows(
            "SELECT queue_id, count(*), count(CASE WHEN state = 'running' THEN 1 END) FROM work "
            f"WHERE {ACTIVE} AND subject = '' GROUP BY queue_id"
        )
        for queue, both, running in active:
            rows += [(queue, _State.READY.value, both - running), (queue, _State.RUNNING.value, running)]
        named = {(*self.queue_name(queue), state): count for queue, state, count in rows if count}
        return {name: count for name, count in sorted(named.items()) if not pipeline or name[0] == pipeline}

    def publication_counts(self) -> dict[str, int]:
        """How many publications by state."""
        return dict(self.rows("SELECT state, count(*) FROM publications GROUP BY state ORDER BY state"))


def _may_hold(queue: tuple[str, str, str], pipeline: str, kind: str) -> bool:
    """Whether work of such items may be in a queue: a stage's is of one kind, a queue of messages of none."""
    if queue[1] == "message":
        return True
    return (not pipeline or queue[0] == pipeline) and (not kind or queue[1] == kind)
