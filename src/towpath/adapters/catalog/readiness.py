"""Readiness and revision: which waiting work may begin, and what must wait because something before it changed.

Both are recomputed from rows in the transaction that changes them, never counted down: two branches that finish at once
wake the join. Never looks at a disk.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from towpath.adapters.catalog.events import Events
from towpath.adapters.catalog.needs import upstream
from towpath.adapters.catalog.sql import WORK_COLUMNS, chunks, marks
from towpath.base.model import WorkRow
from towpath.base.states import Work as State
from towpath.contracts.definition import GATHER, Definition, KindPlan, StagePlan

_Where = tuple[str, list[Any]]
_Front = dict[tuple[str, str], dict[str, set[int]]]  # (pipeline, kind) → stage → items

_READY = (
    "UPDATE work SET state = 'ready', due = CASE WHEN due > ? THEN due ELSE ? END, note = NULL WHERE {where}"
)


class Readiness(Events):
    """Adds `recompute` and `revise`."""

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
        if stage.inputs and self.one("SELECT 1 FROM products WHERE state IN ('missing', 'changed') LIMIT 1"):
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
            f"NOT EXISTS (SELECT 1 FROM products p{join} WHERE {where} AND p.state IN ('missing', 'changed') "
            f"AND p.queue_id IN ({marks(queues)}))",
            queues,
        )

    def _follow(self, kind: KindPlan, stage: StagePlan, items: Sequence[int]) -> None:
        """A stage is done for these items: what comes after it in the active route, and their groups, may be ready."""
        if not items:
            return
        plan = self._plan(kind.pipeline, kind.name) or kind
        if stage.name == GATHER:
            self._recompute(plan, items, [first.name for first in plan.first])
        elif stage.name in plan.stages:
            self._recompute(plan, items, plan.stages[stage.name].after, stage.name)
        definition = self.routes.get(stage.pipeline)
        for group in definition.groups_of(kind.name, stage.name) if definition else ():
            groups = self.groups_of(items)
            if groups:
                self.alone()
                self.recompute(group, groups)

    # ---- revision
    def revise(self, works: Sequence[int], why: str, *, force: bool = False) -> int:
        """What these depend on changed: revision + 1, back to waiting, and all after them waits; returns rows touched."""
        self.alone()
        rows = self._work_rows(sorted(set(works)))
        after = self._after(rows)
        self._set_back(rows, force=force)
        self._set_back(after)
        for row in rows:
            self._event_of("revised", row, {"why": why})
        self._recompute_rows([*rows, *after])
        return len(rows) + len(after)

    def _work_rows(self, works: Sequence[int]) -> list[WorkRow]:
        rows = self.rows_in(f"SELECT {WORK_COLUMNS} FROM work WHERE id IN ({{in}})", works)
        return [self.to_work(row) for row in rows]

    def _set_back(self, rows: Iterable[WorkRow], *, force: bool = False) -> None:
        """With `force` the key is forgotten; the empty key tells a run that ends later that it was."""
        self.cursor.executemany(
            "UPDATE work SET revision = revision + 1, "
            "attempts = CASE WHEN state IN ('done', 'rejected', 'failed', 'ready') THEN 0 ELSE attempts END, "
            "due = CASE WHEN state IN ('done', 'rejected', 'failed', 'ready') THEN 0 ELSE due END, "
            "note = CASE WHEN state IN ('done', 'rejected', 'failed', 'ready', 'waiting') THEN NULL ELSE note END, "
            '"key" = CASE WHEN NOT ? THEN "key" WHEN state = \'running\' THEN ? END, '
            "state = CASE WHEN state IN ('done', 'rejected', 'failed', 'ready') THEN 'waiting' ELSE state END WHERE id = ?",
            [(force, b"", row.id) for row in rows],
        )

    def _after(self, rows: Sequence[WorkRow]) -> list[WorkRow]:
        """All work after these, transitively: later stages of the item, then the groups it is a member of."""
        found: dict[int, WorkRow] = {}
        front: _Front = {}
        for row in rows:
            front.setdefault((row.pipeline, row.kind), {}).setdefault(row.stage, set()).add(row.item)
        seen: set[int] = set()
        while front:
            front = self._step_after(front, found, seen)
        first = {row.id for row in rows}
        return [row for number, row in sorted(found.items()) if number not in first]

    def _step_after(self, front: _Front, found: dict[int, WorkRow], seen: set[int]) -> _Front:
        following: _Front = {}
        for (pipeline, name), stages in front.items():
            definition = self.routes.get(pipeline)
            plan = definition.kinds.get(name) if definition else None
            if definition is None or plan is None:
                continue
            for stage, items in stages.items():
                later = _later(plan, stage)
                self._collect(plan, later, sorted(items), found)
                for group in _groups_after(definition, plan, {stage, *later}):
                    numbers = self._groups_of_kind(group, sorted(items)) - seen
                    if numbers:
                        entry = following.setdefault((pipeline, group.name), {})
                        entry.setdefault(GATHER, set()).update(numbers)
        seen.update(
            number for stages in following.values() for groups in stages.values() for number in groups
        )
        return following

    def _collect(
        self, plan: KindPlan, stages: Sequence[str], items: Sequence[int], found: dict[int, WorkRow]
    ) -> None:
        queues = [self.intern((plan.pipeline, plan.name, name)) for name in stages]
        if not queues:
            return
        statement = f"SELECT {WORK_COLUMNS} FROM work WHERE queue_id IN ({marks(queues)}) AND subject = '' "
        for row in self.rows_in(statement + "AND item_id IN ({in})", items, *queues):
            if row[0] not in found:
                found[row[0]] = self.to_work(row)

    def _groups_of_kind(self, kind: KindPlan, items: Sequence[int]) -> set[int]:
        rows = self.rows_in(
            "SELECT DISTINCT m.group_id FROM members m JOIN items i ON i.id = m.group_id "
            "WHERE i.pipeline = ? AND i.kind = ? AND m.item_id IN ({in})",
            items,
            kind.pipeline,
            kind.name,
        )
        return {row[0] for row in rows}

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

    # ---- consumers
    def _consumers(self, item: int) -> list[tuple[KindPlan, int, bool]]:
        """Who may read what belongs to an item: the item itself, and its groups (True)."""
        found = []
        for number in [item, *self.groups_of([item])]:
            owner = self.item(number)
            plan = self._plan(owner.pipeline, owner.kind)
            if plan:
                found.append((plan, number, number != item))
        return found

    def _revise_consumers(
        self, item: int, forms: Sequence[str], why: str, *, stage: str | None = None
    ) -> int:
        """Revise the item's (and its groups') stages that take inputs of these forms (from `stage`, if given)."""
        works: list[int] = []
        for plan, number, is_group in self._consumers(item):
            for row in self.work([number])[number]:
                if row.stage in plan.stages and row.state is not State.RETIRED:
                    inputs = plan.stages[row.stage].inputs
                    mine = [i for i in inputs if i.form in forms and i.members == is_group]
                    if any(stage is None or stage in {name for name, _ in i.producers} for i in mine):
                        works.append(row.id)
        return self.revise(works, why) if works else 0

    def _consumers_go_on(self, item: int) -> None:
        """An input is good again: waiting consumers are looked at once more."""
        for plan, number, _ in self._consumers(item):
            self.recompute(plan, [number])

    def _wake_blocked(self, items: Sequence[int]) -> None:
        """Something came for these items: what could not begin for want of it is looked at once more."""
        rows = self.rows_in(
            "SELECT DISTINCT item_id FROM work WHERE state = 'waiting' AND note IS NOT NULL AND item_id IN ({in})",
            sorted({*items, *self.groups_of(items)}),
        )
        for (number,) in rows:
            owner = self.item(number)
            plan = self._plan(owner.pipeline, owner.kind)
            if plan:
                self.recompute(plan, [number])

    def _consumers_wait(self, item: int) -> None:
        """An input is no longer good: consumers that have not begun wait."""
        for plan, number, _ in self._consumers(item):
            self._unready(plan, [number])


def is_calibrated(stage: StagePlan) -> bool:
    """Whether a stage takes a calibration, so that readiness must look for one."""
    return any(plan.form == "calibration" for plan in stage.inputs)


def _later(plan: KindPlan, stage: str) -> list[str]:
    """The stages after `stage` in a route; all of them after `GATHER`, none after a stage that is not in it."""
    if stage == GATHER:
        return list(plan.stages)
    return [name for name in plan.stages if stage in upstream(plan, plan.stages[name])]


def _groups_after(definition: Definition, plan: KindPlan, stages: set[str]) -> list[KindPlan]:
    """The kinds that group items of this kind and depend on any of these stages of theirs."""
    return [
        kind
        for kind in definition.kinds.values()
        if kind.group and kind.group.of == plan.name and (kind.group.at in stages or not kind.group.at)
    ]
