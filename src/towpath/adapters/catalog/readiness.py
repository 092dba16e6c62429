"""Readiness: which waiting work may begin, and which must wait after all.

It is recomputed from rows in the transaction that changes them, never counted down: two branches that finish at once
wake the join. Never looks at a disk.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from towpath.adapters.catalog.events import Events
from towpath.adapters.catalog.sql import BAD, WORK_COLUMNS, chunks, marks
from towpath.base.model import WorkRow
from towpath.contracts.definition import GATHER, KindPlan, StagePlan

_Where = tuple[str, list[Any]]

_READY = (
    "UPDATE work SET state = 'ready', due = CASE WHEN due > ? THEN due ELSE ? END, note = NULL WHERE {where}"
)


class Readiness(Events):
    """Adds `recompute`."""

    # ---- readiness
    def recompute(self, kind: KindPlan, items: Sequence[int], stages: Sequence[str] | None = None) -> int:
        """Make ready the waiting work whose needs all hold; without items, all waiting work of the stages."""
        return self._recompute(kind, items, kind.stages if stages is None else stages)

    def _recompute(
        self, kind: KindPlan, items: Sequence[int], stages: Iterable[str], passed: str = ""
    ) -> int:
        """`passed` is a stage that is known to be done for all the items."""
        count = 0
        for name in stages:
            if name in kind.stages:
                for part in chunks(items) if items else [()]:
                    count += self._recompute_stage(kind, kind.stages[name], part, passed)
        return count

    def _recompute_stage(self, kind: KindPlan, stage: StagePlan, items: Sequence[int], passed: str) -> int:
        queue = self.queue_id(stage.queue)
        if queue is None:
            return 0
        where, values = self._at(queue, "waiting", items)
        holds, more = self._holds(kind, stage, passed)
        where, values = f"{where}{holds}", [*values, *more]
        if is_calibrated(stage):
            return self._make_ready_checked(kind, stage, (where, values))
        count = self._make_ready((f"{where} AND note IS NULL", values))
        if self.one(
            "SELECT 1 FROM work WHERE queue_id = ? AND state = 'waiting' AND note IS NOT NULL LIMIT 1",
            (queue,),
        ):
            count += self._make_ready_checked(kind, stage, (f"{where} AND note IS NOT NULL", values))
        return count

    def _make_ready(self, where: _Where) -> int:
        now = self.now()
        self.cursor.execute(_READY.replace("{where}", where[0]), (now, now, *where[1]))
        return self.cursor.rowcount

    def _make_ready_checked(self, kind: KindPlan, stage: StagePlan, where: _Where) -> int:
        """The same, row by row as the claim would see it: what was blocked there, and what needs a calibration."""
        rows = self.rows(f"SELECT id, item_id, note FROM work WHERE {where[0]}", where[1])
        count = 0
        for part in chunks(rows):
            needs = self.needs(kind, stage, [row[1] for row in part])
            good = [row[0] for row in part if not needs[row[1]].problem]
            if good:
                count += self._make_ready((f"id IN ({marks(good)})", good))
            told = [
                (needs[row[1]].problem, row[0]) for row in part if needs[row[1]].problem not in ("", row[2])
            ]
            self.cursor.executemany("UPDATE work SET note = ? WHERE id = ?", told)
        return count

    def _unready(self, kind: KindPlan, items: Sequence[int], stages: Iterable[str] | None = None) -> int:
        """Ready work whose needs no longer hold waits again; without items, all ready work of the stages."""
        count = 0
        for name in kind.stages if stages is None else stages:
            queue = self.queue_id((kind.pipeline, kind.name, name))
            if queue is not None and name in kind.stages:
                for part in chunks(items) if items else [()]:
                    count += self._unready_stage(kind, kind.stages[name], queue, part)
        return count

    def _unready_stage(self, kind: KindPlan, stage: StagePlan, queue: int, items: Sequence[int]) -> int:
        where, values = self._at(queue, "ready", items)
        rows = self.rows(f"SELECT id, item_id FROM work WHERE {where}", values) if stage.inputs else []
        count = 0
        for part in chunks(rows):
            needs = self.needs(kind, stage, [row[1] for row in part])
            bad = [(needs[row[1]].problem, row[0]) for row in part if needs[row[1]].problem]
            self.cursor.executemany("UPDATE work SET state = 'waiting', note = ? WHERE id = ?", bad)
            count += len(bad)
        holds, more = self._holds(kind, stage, "")
        if holds:
            self.cursor.execute(
                f"UPDATE work SET state = 'waiting' WHERE {where} AND NOT (1 = 1{holds})", (*values, *more)
            )
            count += self.cursor.rowcount
        return count

    @staticmethod
    def _at(queue: int, state: str, items: Sequence[int]) -> _Where:
        limit = f" AND item_id IN ({marks(items)}) AND subject = ''" if items else ""
        return f"queue_id = ? AND state = '{state}'{limit}", [queue, *items]

    def _holds(self, kind: KindPlan, stage: StagePlan, passed: str) -> _Where:
        """What must hold of a row `work`: stages before it done, members passed, no bad product among its inputs."""
        clauses, values = [], []
        before = [name for name in stage.before if name != passed]
        if kind.gathered and not stage.before:
            before.append(GATHER)
        if before:
            queues = [self.intern((kind.pipeline, kind.name, name)) for name in before]
            clauses.append(
                "(SELECT count(*) FROM work AS b WHERE b.item_id = work.item_id AND b.subject = '' AND b.state = 'done' "
                f"AND b.queue_id IN ({marks(queues)})) = {len(queues)}"
            )
            values += queues
        if kind.group and kind.group.at and not stage.before:
            clauses.append(
                "NOT EXISTS (SELECT 1 FROM members m WHERE m.group_id = work.item_id AND NOT EXISTS (SELECT 1 FROM work b "
                "WHERE b.item_id = m.item_id AND b.queue_id = ? AND b.subject = '' AND b.state = 'done'))"
            )
            values.append(self.intern((kind.pipeline, kind.group.of, kind.group.at)))
        if stage.inputs and self.one(f"SELECT 1 FROM products WHERE {BAD} LIMIT 1"):
            for plan in stage.inputs:
                clause, more = self._no_bad_products(kind, plan.members, [name for name, _ in plan.producers])
                if clause:
                    clauses.append(clause)
                    values += more
        return "".join(f" AND {clause}" for clause in clauses), values

    def _no_bad_products(self, kind: KindPlan, members: bool, stages: Sequence[str]) -> _Where:
        if not stages:
            return "", []
        owner = kind.group.of if members and kind.group else kind.name
        queues = [self.intern((kind.pipeline, owner, name)) if name else 0 for name in stages]
        where = "m.group_id = work.item_id" if members else "p.item_id = work.item_id"
        join = " JOIN members m ON m.item_id = p.item_id" if members else ""
        return (
            f"NOT EXISTS (SELECT 1 FROM products p{join} WHERE {where} AND p.{BAD} "
            f"AND p.queue_id IN ({marks(queues)}))",
            queues,
        )

    # ---- rows
    def _work_rows(self, works: Sequence[int]) -> list[WorkRow]:
        rows = self.rows_in(f"SELECT {WORK_COLUMNS} FROM work WHERE id IN ({{in}})", works)
        return [self.to_work(row) for row in rows]

    def _recompute_rows(self, rows: Sequence[WorkRow]) -> None:
        """Look at the items of these rows again, and at the rows themselves where they are no stage of a route."""
        seen: dict[tuple[str, str], set[int]] = {}
        for row in rows:
            seen.setdefault((row.pipeline, row.kind), set()).add(row.item)
        for (pipeline, kind), items in seen.items():
            plan = self._plan(pipeline, kind)
            if plan:
                self.recompute(plan, sorted(items))

    def _plan(self, pipeline: str, kind: str) -> KindPlan | None:
        definition = self.routes.get(pipeline)
        return definition.kinds.get(kind) if definition else None


def is_calibrated(stage: StagePlan) -> bool:
    """Whether a stage takes a calibration, so that readiness must look for one."""
    return any(plan.form == "calibration" for plan in stage.inputs)
