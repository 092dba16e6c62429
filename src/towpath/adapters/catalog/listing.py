"""Lists and counts over the whole site: open work, work by state, work that is out of date.

Promises not to look at rows that are none of the answer where an index knows better: what is asked of a million items is
found, or counted, in an index. Never changes a row.
"""

from collections.abc import Sequence

from towpath.adapters.catalog.searching import ItemSearch
from towpath.adapters.catalog.sql import ACTIVE, AT_REST, WORK_COLUMNS, marks
from towpath.base import states
from towpath.base.model import WorkRow
from towpath.contracts.definition import StagePlan

_State = states.Work
_OPEN_AT_REST = "state IN ('waiting', 'failed', 'poisoned', 'stopped', 'held')"


class Listing(ItemSearch):
    """Adds lists and counts."""

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
