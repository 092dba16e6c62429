"""Revision: what must wait because something before it changed, and what is looked at again for it.

One transaction touches some hundreds of rows; a row of work keeps the rest, and whoever comes next goes on (`spread`).
What lies after work that is taken back is taken back in the same transaction or in a later one, found anew there: so
nothing is missed, whatever happens in between. Until then a claim sees to it that all before its row is done, and
nothing is published.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from towpath.adapters.catalog.needs import upstream
from towpath.adapters.catalog.readiness import Readiness
from towpath.adapters.catalog.spreading import (
    AT_ONCE,
    WINDOW,
    WINDOW_ROWS,
    Kind,
    Look,
    Revision,
    Task,
    joined,
    payload,
)
from towpath.adapters.catalog.sql import STANDING, WORK_COLUMNS, chunks, dump, marks
from towpath.base.model import WorkRow
from towpath.base.states import Work as State
from towpath.contracts.catalog import SPREAD
from towpath.contracts.definition import GATHER, Definition, KindPlan, StagePlan

_Groups = dict[Kind, set[int]]


class Revising(Readiness):
    """Adds `revise`, and what lets a change go on in parts."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.at_once = self.room = AT_ONCE  # rows of work; what this transaction may still touch of them

    def limit(self, at_once: int) -> None:
        """Touch so many rows of work in this transaction."""
        self.at_once = self.room = at_once

    def revise(self, works: Sequence[int], why: str, *, force: bool = False) -> int:
        """What these depend on changed: revision + 1, back to waiting, and all after them waits.

        Returns how many rows this transaction touched.
        """
        return self._begin(Revision(why, force, sorted(set(works))))

    def _wait_after(self, rows: Sequence[WorkRow], *, but: Collection[int] = ()) -> None:
        """All work after these waits, `but` the works that have their state already."""
        after, groups = self._after(rows)
        self._set_back([row for row in after if row.id not in but])
        if groups:
            self._begin(Revision(front=joined({}, groups)))

    # ---- in parts
    def _begin(self, task: Task) -> int:
        """Do of a task what there is room for, at least one step, and leave the rest; returns rows touched."""
        self.alone()
        rest, touched = self._advance(task)
        if rest is not None:
            self._keep(rest)
        return touched

    def _advance(self, task: Task) -> tuple[Task | None, int]:
        """What is left of a task, and how many rows were touched."""
        touched = 0
        while not task.is_done:
            task, count, cost = self._look(task) if isinstance(task, Look) else self._take_back(task)
            touched += count
            self.room -= max(1, cost)
            if self.room <= 0:
                break
        return None if task.is_done else task, touched

    def _keep(self, task: Task) -> None:
        number = self.one(
            "INSERT INTO counters (name, value) VALUES ('spread', 1) "
            "ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value"
        )[0]
        self.cursor.execute(
            "INSERT INTO work (item_id, queue_id, subject, state, payload) VALUES (0, ?, ?, 'ready', ?)",
            (self.intern(SPREAD), f"{number:012d}", dump(payload(task))),
        )

    # ---- taking back
    def _take_back(self, task: Revision) -> tuple[Revision, int, int]:
        """One step: works, then those that used a product, then the front, members before their groups."""
        if task.works or task.used:
            return self._take_back_works(task)
        kind = min(task.front, key=self._height)
        others = {name: items for name, items in task.front.items() if name != kind}
        plan = self._plan(*kind)
        if plan is None:
            return replace(task, front=others), 0, 0
        size = max(1, self.room // max(1, len(plan.stages)))
        items, rest = task.front[kind][:size], task.front[kind][size:]
        found: dict[int, WorkRow] = {}
        self._collect(plan, list(plan.stages), items, found)
        self._set_back(found.values())
        self._recompute(plan, items, plan.stages)
        front = joined({**others, kind: rest}, self._groups_after(plan, {GATHER, *plan.stages}, items))
        return replace(task, front=front), len(found), max(len(found), len(items))

    def _take_back_works(self, task: Revision) -> tuple[Revision, int, int]:
        longest = max(
            (len(plan.stages) for one in self.routes.values() for plan in one.kinds.values()), default=1
        )
        size = max(1, self.room // max(1, longest))
        if task.works:
            part = task.works[:size]
            task = replace(task, works=task.works[size:])
        else:
            part = self._users(task.used, task.taken_as, task.after, size)
            task = replace(task, after=part[-1]) if len(part) == size else replace(task, used=0)
        rows = self._work_rows(part)
        after, groups = self._after(rows)
        self._set_back(rows, force=task.force)
        self._set_back(after)
        for row in rows:
            self._event_of("revised", row, {"why": task.why})
        self._recompute_rows([*rows, *after])
        count = len(rows) + len(after)
        return replace(task, front=joined(task.front, groups)), count, count

    def _users(self, product: int, kind: str, after: int, limit: int) -> list[int]:
        """Work, by id, whose last or standing run read a product, of stages that take calibrations of a kind."""
        queues = [self.intern(stage.queue) for stage in self._takers(kind)]
        if not queues:
            return []
        rows = self.rows(
            "SELECT DISTINCT r.work_id FROM run_inputs r JOIN work w ON w.id = r.work_id AND r.token IN (w.token, w.done_token) "
            f"WHERE r.product_id = ? AND r.work_id > ? AND w.queue_id IN ({marks(queues)}) ORDER BY r.work_id LIMIT ?",
            (product, after, *queues, limit),
        )
        return [row[0] for row in rows]

    def _takers(self, kind: str) -> list[StagePlan]:
        """The stages that take calibrations of a kind."""
        return [
            stage
            for definition in self.routes.values()
            for plan in definition.kinds.values()
            for stage in plan.stages.values()
            if any(needed.form == "calibration" and needed.type == kind for needed in stage.inputs)
        ]

    def _set_back(self, rows: Iterable[WorkRow], *, force: bool = False) -> None:
        """With `force` the key is forgotten; the empty key tells a run that ends later that it was.

        What a person or a rule holds stays held; what waits for the answer to an order is asked again.
        """
        self.cursor.executemany(
            "UPDATE work SET revision = revision + 1, "
            "attempts = CASE WHEN state IN ('done', 'rejected', 'failed', 'ready') THEN 0 ELSE attempts END, "
            "due = CASE WHEN state IN ('done', 'rejected', 'failed', 'ready') THEN 0 ELSE due END, "
            "note = CASE WHEN state IN ('done', 'rejected', 'failed', 'ready', 'waiting') THEN NULL ELSE note END, "
            '"key" = CASE WHEN NOT ? THEN "key" WHEN state = \'running\' THEN ? END, '
            "state = CASE WHEN state IN ('done', 'rejected', 'failed', 'ready') THEN 'waiting' "
            "WHEN state = 'held' AND EXISTS (SELECT 1 FROM orders o WHERE o.work_id = work.id "
            f"AND o.{STANDING}) THEN 'waiting' ELSE state END WHERE id = ?",
            [(force, b"", row.id) for row in rows],
        )

    # ---- what comes after
    def _after(self, rows: Sequence[WorkRow]) -> tuple[list[WorkRow], _Groups]:
        """The later work of the items of these rows, and the groups that take these items."""
        front: dict[tuple[Kind, str], set[int]] = {}
        for row in rows:
            front.setdefault(((row.pipeline, row.kind), row.stage), set()).add(row.item)
        found: dict[int, WorkRow] = {}
        groups: _Groups = {}
        for (kind, stage), items in front.items():
            plan = self._plan(*kind)
            if plan is None:
                continue
            stages = later(plan, stage)
            self._collect(plan, stages, sorted(items), found)
            for name, numbers in self._groups_after(plan, {stage, *stages}, sorted(items)).items():
                groups.setdefault(name, set()).update(numbers)
        first = {row.id for row in rows}
        return [row for number, row in sorted(found.items()) if number not in first], groups

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

    def _groups_after(self, plan: KindPlan, stages: Collection[str], items: Sequence[int]) -> _Groups:
        """The groups that take these items of a kind and depend on any of these stages of theirs, by kind."""
        definition = self.routes.get(plan.pipeline)
        return {
            (plan.pipeline, kind.name): numbers
            for kind in (_takers_of(definition, plan, stages) if definition else ())
            if (numbers := self._groups_of_kind(kind, items))
        }

    def _groups_of_kind(self, kind: KindPlan, items: Sequence[int]) -> set[int]:
        rows = self.rows_in(
            "SELECT DISTINCT m.group_id FROM members m JOIN items i ON i.id = m.group_id "
            "WHERE i.pipeline = ? AND i.kind = ? AND m.item_id IN ({in})",
            items,
            kind.pipeline,
            kind.name,
        )
        return {row[0] for row in rows}

    def _height(self, name: Kind) -> int:
        """How many groups of groups a kind is: 0 for items."""
        plan = self._plan(*name)
        return 1 + self._height((plan.pipeline, plan.group.of)) if plan and plan.group else 0

    # ---- looking again
    def _look(self, task: Look) -> tuple[Look, int, int]:
        """One step: some of the items, or a window of all rows."""
        plan = self._plan(*task.kind)
        if plan is None:
            return replace(task, items=(), after=task.until), 0, 0
        size = max(1, self.room)
        if task.items:
            items, task = task.items[:size], replace(task, items=task.items[size:])
            return task, self._look_at(plan, items, task), len(items)
        end = min(task.after + WINDOW, task.until)
        queues = [self.intern((*task.kind, name)) for name in task.stages]
        rows = self.rows(
            f"SELECT id, item_id FROM work WHERE id > ? AND id <= ? AND queue_id IN ({marks(queues)}) AND state = ? "
            "ORDER BY id LIMIT ?",
            (task.after, end, *queues, "waiting" if task.is_good else "ready", size),
        )
        task = replace(task, after=rows[-1][0] if len(rows) == size else end)
        touched = self._look_at(plan, [row[1] for row in rows], task) if rows else 0
        return task, touched, max(len(rows), WINDOW_ROWS)

    def _look_at(self, plan: KindPlan, items: Sequence[int], task: Look) -> int:
        stages = task.stages or list(plan.stages)
        return (self._recompute if task.is_good else self._unready)(plan, items, stages)

    def _reconsider(self, plan: KindPlan, items: Sequence[int], *, is_good: bool) -> None:
        """After good news, waiting work of these items may begin; after bad news, ready work may have to wait."""
        self._begin(Look((plan.pipeline, plan.name), is_good, items=items))

    def _reconsider_all(self, stages: Iterable[StagePlan], *, is_good: bool) -> None:
        """The same for all there is of some stages; work that is added from now on knows the news."""
        last = self.one("SELECT max(id) FROM work")[0] or 0
        for stage in stages:
            self._begin(Look((stage.pipeline, stage.kind), is_good, [stage.name], until=last))

    # ---- what follows
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
            groups = sorted(self._groups_of_kind(group, items))
            if groups:
                self._reconsider(group, groups, is_good=True)

    # ---- consumers
    def _consumers(self, item: int) -> list[tuple[KindPlan, list[int], bool]]:
        """Who may read what belongs to an item, by kind: the item itself, and its groups (True)."""
        owner = self.item(item)
        found = [(owner.pipeline, owner.kind, [item], False)]
        for pipeline, kind, numbers in self._by_kind(self.groups_of([item])):
            found.append((pipeline, kind, numbers, True))
        return [
            (plan, numbers, is_group)
            for pipeline, kind, numbers, is_group in found
            if (plan := self._plan(pipeline, kind))
        ]

    def _by_kind(self, items: Sequence[int]) -> list[tuple[str, str, list[int]]]:
        found: dict[Kind, list[int]] = {}
        for number, pipeline, kind in self.rows_in(
            "SELECT id, pipeline, kind FROM items WHERE id IN ({in})", items
        ):
            found.setdefault((pipeline, kind), []).append(number)
        return [(*name, sorted(numbers)) for name, numbers in sorted(found.items())]

    def _revise_consumers(
        self, item: int, forms: Sequence[str], why: str, *, stage: str | None = None
    ) -> int:
        """Revise the item's (and its groups') stages that take inputs of these forms (from `stage`, if given)."""
        works: list[int] = []
        for plan, numbers, is_group in self._consumers(item):
            queues = [
                self.intern(one.queue)
                for one in plan.stages.values()
                if any(
                    stage is None or stage in {name for name, _ in given.producers}
                    for given in one.inputs
                    if given.form in forms and given.members == is_group
                )
            ]
            for part in chunks(numbers) if queues else ():
                rows = self.rows(
                    f"SELECT id FROM work WHERE queue_id IN ({marks(queues)}) AND item_id IN ({marks(part)}) "
                    "AND subject = '' AND state <> ?",
                    (*queues, *part, State.RETIRED.value),
                )
                works += [row[0] for row in rows]
        return self.revise(works, why) if works else 0

    def _consumers_go_on(self, item: int) -> None:
        """An input is good again: waiting consumers are looked at once more."""
        for plan, numbers, _ in self._consumers(item):
            self._reconsider(plan, numbers, is_good=True)

    def _consumers_wait(self, item: int) -> None:
        """An input is no longer good: consumers that have not begun wait."""
        for plan, numbers, _ in self._consumers(item):
            self._reconsider(plan, numbers, is_good=False)

    def _wake_blocked(self, items: Sequence[int]) -> None:
        """Something came for these items: what could not begin for want of it is looked at once more."""
        rows = self.rows_in(
            "SELECT DISTINCT item_id FROM work WHERE state = 'waiting' AND note IS NOT NULL AND item_id IN ({in})",
            sorted({*items, *self.groups_of(items)}),
        )
        for pipeline, kind, numbers in self._by_kind([row[0] for row in rows]):
            plan = self._plan(pipeline, kind)
            if plan:
                self._reconsider(plan, numbers, is_good=True)


def later(plan: KindPlan, stage: str) -> list[str]:
    """The stages after `stage` in a route; all of them after `GATHER`, none after a stage that is not in it."""
    if stage == GATHER:
        return list(plan.stages)
    return [name for name in plan.stages if stage in upstream(plan, plan.stages[name])]


def _takers_of(definition: Definition, plan: KindPlan, stages: Collection[str]) -> list[KindPlan]:
    """The kinds that group items of this kind and depend on any of these stages of theirs."""
    return [
        kind
        for kind in definition.kinds.values()
        if kind.group and kind.group.of == plan.name and (kind.group.at in stages or not kind.group.at)
    ]
