"""The other changes: site, arrival, what people and findings do to work, calibrations, publications, sessions.

Every verb keeps the transitions of `base.states`. What depends on a change is revised in the same transaction.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from towpath.adapters.catalog.needs import upstream
from towpath.adapters.catalog.reading import PUBLICATION_COLUMNS, to_publication
from towpath.adapters.catalog.sql import LIVE, WORK_COLUMNS, dump, item_values, load
from towpath.adapters.catalog.working import Working
from towpath.base import states
from towpath.base.errors import NotFoundError, StateError
from towpath.base.hashing import Content, canonical
from towpath.base.model import Flag, Item, Product, WorkRow
from towpath.base.spacetime import Box, Span
from towpath.base.states import Product as ProductState
from towpath.base.states import Publication as PublicationState
from towpath.base.states import Work as State
from towpath.contracts.catalog import Claimed, PublicationRow, RootRow, Slot
from towpath.contracts.definition import GATHER, Definition, KindPlan

_FINISHED = ("done", "rejected", "failed")
_RETRIED = ("failed", "poisoned", "stopped")
_STOPPABLE = ("waiting", "ready", "running")


class Changing(Working):
    """The rest of contracts.catalog.Transaction."""

    # ---- site
    def set_root(self, name: str, place: str) -> RootRow:
        """Name a root, or move it: one row."""
        place = place.rstrip("/") + "/"
        self.cursor.execute(
            "INSERT INTO roots (name, place) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET place = excluded.place",
            (name, place),
        )
        row = self.one("SELECT id, name, place FROM roots WHERE name = ?", (name,))
        self.root_places = {**self.root_places, name: place}
        return RootRow(*row)

    def set_definition(self, definition: Definition) -> int:
        """Record a definition (once by digest) and make it the active one; returns its number."""
        self.cursor.execute(
            "INSERT INTO definitions (pipeline, version, sha256, content, loaded, active) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT DO NOTHING",
            (
                definition.pipeline,
                definition.version,
                definition.digest,
                canonical(definition.content).decode(),
                self.now(),
                False,
            ),
        )
        number: int = self.one(
            "SELECT id FROM definitions WHERE pipeline = ? AND sha256 = ?",
            (definition.pipeline, definition.digest),
        )[0]
        former = self.definition(definition.pipeline)
        if former is None or former[0] != number:
            self.cursor.execute(
                "UPDATE definitions SET active = (id = ?) WHERE pipeline = ?", (number, definition.pipeline)
            )
            self.event(
                "definition", pipeline=definition.pipeline, number=number, sha256=definition.digest.hex()
            )
        for kind in definition.kinds.values():
            for name in (*kind.stages, *([GATHER] if kind.gathered else [])):
                self.intern((kind.pipeline, kind.name, name))
        return number

    def slot(self, rule: str, partition: str) -> Slot:
        """Lock (rule, partition), making it if need be."""
        self.cursor.execute(
            "INSERT INTO slots (rule, subset, data) VALUES (?, ?, '{}') ON CONFLICT DO NOTHING",
            (rule, partition),
        )
        row = self.one(
            f"SELECT id, rule, subset, data FROM slots WHERE rule = ? AND subset = ?{self.locking_plain}",
            (rule, partition),
        )
        return Slot(row[0], row[1], row[2], load(row[3], {}))

    def set_slot(self, slot: Slot, data: Mapping[str, Any]) -> None:
        """Note something in a locked slot."""
        self.cursor.execute(
            "UPDATE slots SET data = ? WHERE id = ?", (canonical(dict(data)).decode(), slot.id)
        )

    # ---- arrival
    def add_items(self, plan: KindPlan, items: Sequence[Item], *, priority: int = 0) -> list[int]:
        """Register items of one kind with the work of their route; a known key gives its id and changes nothing."""
        definition, now = self._definition_number(plan.pipeline), self.now()
        before = {item.key for item in items} - self._known_keys(plan, [item.key for item in items])
        fresh = [item for item in {item.key: item for item in items}.values() if item.key in before]
        self.cursor.executemany(
            'INSERT INTO items (pipeline, kind, "key", definition, attributes, begins, ends, west, south, east, north, '
            "registered) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(plan.pipeline, plan.name, item.key, definition, *item_values(item), now) for item in fresh],
        )
        ids = self._ids(plan, [item.key for item in items])
        self._add_route(plan, [ids[item.key] for item in fresh], priority)
        return [ids[item.key] for item in items]

    def _known_keys(self, plan: KindPlan, keys: Sequence[str]) -> set[str]:
        return set(self._ids(plan, keys))

    def _ids(self, plan: KindPlan, keys: Sequence[str]) -> dict[str, int]:
        return dict(
            self.rows_in(
                'SELECT "key", id FROM items WHERE pipeline = ? AND kind = ? AND "key" IN ({in})',
                keys,
                plan.pipeline,
                plan.name,
            )
        )

    def _definition_number(self, pipeline: str) -> int:
        if pipeline in self.routes and self.routes[pipeline].number:
            return self.routes[pipeline].number
        active = self.definition(pipeline)
        return active[0] if active else 0

    def _add_route(self, plan: KindPlan, ids: Sequence[int], priority: int) -> None:
        now = self.now()
        stages: list[tuple[int, str, float, int]] = []
        if plan.gathered:
            stages.append((self.intern((plan.pipeline, plan.name, GATHER)), State.WAITING, 0.0, priority))
        for stage in plan.stages.values():
            ready = not stage.before and not plan.gathered and not self._must_check(plan, stage.name)
            state = State.READY if ready else State.WAITING
            stages.append((self.intern(stage.queue), state, now if ready else 0.0, priority + stage.priority))
        self.cursor.executemany(
            "INSERT INTO work (item_id, queue_id, state, due, priority) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            [(item, *stage) for item in ids for stage in stages],
        )
        queue = stages[0][0] if stages else None
        for item in ids:
            self._event("registered", item, queue, None, {})
        if plan.reaches:
            self._reach([(item, plan.reaches, now) for item in ids])
        if ids:
            self.recompute(
                plan, ids, [stage.name for stage in plan.first if self._must_check(plan, stage.name)]
            )

    def add_route(self, plan: KindPlan, items: Sequence[int]) -> int:
        """Give items the work of stages that are new in their route; returns how many rows."""
        known = self.work(items)
        rows = [
            (item, self.intern(stage.queue), State.WAITING.value, 0.0, stage.priority)
            for item in items
            for stage in plan.stages.values()
            if stage.name not in {row.stage for row in known[item]}
        ]
        self.cursor.executemany(
            "INSERT INTO work (item_id, queue_id, state, due, priority) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", rows
        )
        back = [row for item in items for row in known[item] if row.state is State.RETIRED and row.stage in plan.stages]
        self._move(back, State.WAITING, "routed", "", "the stage is in the route again")
        self.recompute(plan, items)
        return len(rows) + len(back)

    def _must_check(self, plan: KindPlan, stage: str) -> bool:
        return any(needed.form == "calibration" for needed in plan.stages[stage].inputs)

    def update_item(
        self,
        item: int,
        *,
        attributes: Mapping[str, Any] | None = None,
        span: Span | None = None,
        footprint: Box | None = None,
    ) -> None:
        """Change an item's facts; work that consumes its record is revised."""
        old = self.item(item)
        new = Item(
            old.pipeline,
            old.kind,
            old.key,
            old.attributes if attributes is None else attributes,
            old.span if span is None else span,
            old.footprint if footprint is None else footprint,
        )
        if item_values(new) == item_values(old):
            return
        self.cursor.execute(
            "UPDATE items SET attributes = ?, begins = ?, ends = ?, west = ?, south = ?, east = ?, north = ? WHERE id = ?",
            (*item_values(new), item),
        )
        self._revise_consumers(item, ("record", "calibration"), "the item's facts changed")

    def add_raw(self, products: Sequence[Product]) -> list[int]:
        """Register raw files (stage ""). The same output and part again with another hash supersedes and revises."""
        touched: list[int] = []
        for product in products:
            old = self.one(
                "SELECT id, sha256, state FROM products WHERE item_id = ? AND queue_id = 0 AND output = ? AND part = ? "
                f"AND state IN {LIVE}",
                (product.item, product.output, product.part),
            )
            if old and bytes(old[1]) == product.sha256:
                self.cursor.execute(
                    "UPDATE products SET state = 'current', root_id = ?, path = ?, mtime_ns = ?, size = ? WHERE id = ?",
                    (self.root_id(product.root), product.path, product.mtime_ns, product.size, old[0]),
                )
                if old[2] != ProductState.CURRENT:
                    self._consumers_go_on(product.item, "")
                continue
            if old:
                self._supersede([old[0]])
                touched.append(product.item)
            self._insert_raw(product)
        for item in sorted(set(touched)):
            self._revise_consumers(item, ("one", "many"), "a raw file was replaced", stage="")
        return [self._raw_id(product) for product in products]

    def _insert_raw(self, product: Product) -> None:
        self.cursor.execute(
            "INSERT INTO products (item_id, queue_id, output, part, type, root_id, path, size, mtime_ns, sha256, tree, state, "
            "created) VALUES (?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'current', ?)",
            (
                product.item,
                product.output,
                product.part,
                product.type,
                self.root_id(product.root),
                product.path,
                product.size,
                product.mtime_ns,
                product.sha256,
                product.tree,
                self.now(),
            ),
        )

    def _raw_id(self, product: Product) -> int:
        row = self.one(
            "SELECT id FROM products WHERE item_id = ? AND queue_id = 0 AND output = ? AND part = ? "
            f"AND state IN {LIVE}",
            (product.item, product.output, product.part),
        )
        return int(row[0])

    def add_members(self, group: int, items: Sequence[int]) -> None:
        """Add members to a group, in order. Members that are there already stay where they are."""
        last = self.one("SELECT max(position) FROM members WHERE group_id = ?", (group,))[0] or 0
        self.cursor.executemany(
            "INSERT INTO members (group_id, item_id, position) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            [(group, item, last + number) for number, item in enumerate(items, 1)],
        )

    def order_members(self, group: int, items: Sequence[int]) -> None:
        """Put the members of a group in this order."""
        self.cursor.executemany(
            "UPDATE members SET position = ? WHERE group_id = ? AND item_id = ?",
            [(number, group, item) for number, item in enumerate(items, 1)],
        )

    def gathered(self, plan: KindPlan, item: int) -> None:
        """The item is complete: `GATHER` is done and its first stages become ready."""
        queue = self.intern((plan.pipeline, plan.name, GATHER))
        self.cursor.execute(
            "UPDATE work SET state = 'done', deaths = 0 WHERE item_id = ? AND queue_id = ? AND state <> 'done'",
            (item, queue),
        )
        if self.cursor.rowcount:
            self._event("gathered", item, queue, None, {})
        self.recompute(plan, [item], [stage.name for stage in plan.first])

    def set_due(self, work: int, due: float) -> None:
        """Set when a waiting `GATHER` row is to be looked at (time-out), seconds since the epoch."""
        self.cursor.execute(
            "UPDATE work SET state = 'ready', due = ? WHERE id = ? AND state IN ('waiting', 'ready')",
            (due, work),
        )

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
        number = self.intern(queue)
        self.cursor.execute(
            "INSERT INTO work (item_id, queue_id, subject, state, due, payload, priority) VALUES (?, ?, ?, 'ready', ?, ?, ?) "
            "ON CONFLICT DO NOTHING",
            (item, number, subject, due or self.now(), dump(dict(payload or {})), priority),
        )
        row = self.one(
            "SELECT id FROM work WHERE item_id = ? AND queue_id = ? AND subject = ?", (item, number, subject)
        )
        return int(row[0])

    def finish(self, claimed: Claimed, *, again: float | None = None, error: str = "") -> bool:
        """End work that is not a stage: done, or ready `again` at that time; False if it was no longer ours."""
        state = State.READY if again is not None else State.FAILED if error else State.DONE
        self.cursor.execute(
            "UPDATE work SET state = ?, due = ?, deaths = 0, owner = 0, note = ?, attempts = CASE WHEN ? THEN attempts ELSE 0 END "
            "WHERE id = ? AND token = ? AND state = 'running'",
            (
                state.value,
                self.now() if again is None else again,
                error or None,
                bool(error),
                claimed.work,
                claimed.token,
            ),
        )
        return bool(self.cursor.rowcount)

    # ---- revision
    def revise(self, works: Sequence[int], why: str, *, force: bool = False) -> int:
        """What these depend on changed: revision + 1, back to waiting, and all after them waits; returns rows touched."""
        rows = self._work_rows(works)
        self._set_back(rows, force=force)
        after = self._after(rows)
        self._set_back(after)
        for row in rows:
            self._event(
                "revised", row.item, self.intern((row.pipeline, row.kind, row.stage)), None, {"why": why}
            )
        self._recompute_rows([*rows, *after])
        return len(rows) + len(after)

    def _work_rows(self, works: Sequence[int]) -> list[WorkRow]:
        return [
            self.to_work(row)
            for row in self.rows_in(f"SELECT {WORK_COLUMNS} FROM work WHERE id IN ({{in}})", works)
        ]

    def _set_back(self, rows: Iterable[WorkRow], *, force: bool = False) -> None:
        self.cursor.executemany(
            "UPDATE work SET revision = revision + 1, attempts = CASE WHEN state = 'running' THEN attempts ELSE 0 END, "
            "state = CASE WHEN state IN ('done', 'rejected', 'failed', 'ready') THEN 'waiting' ELSE state END, "
            'note = CASE WHEN state = \'running\' THEN note END, "key" = CASE WHEN ? THEN NULL ELSE "key" END WHERE id = ?',
            [(force, row.id) for row in rows],
        )

    def _after(self, rows: Sequence[WorkRow]) -> list[WorkRow]:
        """All work after these, transitively: later stages of the item, then the groups it is a member of."""
        found: dict[int, WorkRow] = {}
        front = list(rows)
        while front:
            reached: dict[int, WorkRow] = {}
            for row in front:
                for later in self._next_rows(row):
                    if later.id not in found:
                        reached[later.id] = later
            found |= reached
            front = list(reached.values())
        first = {row.id for row in rows}
        return [row for number, row in sorted(found.items()) if number not in first]

    def _next_rows(self, row: WorkRow) -> list[WorkRow]:
        definition = self.routes.get(row.pipeline)
        if (
            definition is None
            or row.kind not in definition.kinds
            or row.stage not in definition.kinds[row.kind].stages
        ):
            return []
        plan = definition.kinds[row.kind]
        later = [name for name in plan.stages if row.stage in upstream(plan, plan.stages[name])]
        rows = [other for other in self.work([row.item])[row.item] if other.stage in later]
        stages = {row.stage, *later}
        for kind in definition.kinds.values():
            if kind.group and kind.group.of == row.kind and (kind.group.at in stages or not kind.group.at):
                groups = [g for g in self.groups_of([row.item]) if self.item(g).kind == kind.name]
                rows += [
                    other
                    for group in groups
                    for other in self.work([group])[group]
                    if other.stage in kind.stages
                ]
        return rows

    def _recompute_rows(self, rows: Sequence[WorkRow]) -> None:
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

    def _revise_consumers(
        self, item: int, forms: Sequence[str], why: str, *, stage: str | None = None
    ) -> int:
        """Revise the item's (and its groups') stages that take inputs of these forms (from `stage`, if given)."""
        works: list[int] = []
        for number in [item, *self.groups_of([item])]:
            owner = self.item(number)
            plan = self._plan(owner.pipeline, owner.kind)
            for row in self.work([number])[number] if plan else ():
                if plan and row.stage in plan.stages and row.state is not State.RETIRED:
                    inputs = plan.stages[row.stage].inputs
                    mine = [i for i in inputs if i.form in forms and i.members == (number != item)]
                    if any(stage is None or stage in {name for name, _ in i.producers} for i in mine):
                        works.append(row.id)
        return self.revise(works, why) if works else 0

    def _consumers_go_on(self, item: int, stage: str) -> None:
        """An input is good again: waiting consumers are looked at once more."""
        for number in [item, *self.groups_of([item])]:
            owner = self.item(number)
            plan = self._plan(owner.pipeline, owner.kind)
            if plan:
                self.recompute(plan, [number])

    # ---- people
    def hold(self, works: Sequence[int], why: str, who: str = "") -> int:
        """Hold work that is not running."""
        rows = [
            row
            for row in self._work_rows(works)
            if row.state not in (State.RUNNING, State.HELD, State.RETIRED)
        ]
        return self._move(rows, State.HELD, "held", who, why, note=why)

    def release(self, works: Sequence[int], who: str = "", why: str = "", *, accept: bool = False) -> int:
        """Held → waiting; with `accept`, work that a rule held is done as it is."""
        rows = [row for row in self._work_rows(works) if row.state is State.HELD]
        judged = {row.id: self._held_run(row) for row in rows} if accept else {}
        accepted = [row for row in rows if judged.get(row.id)]
        for row in accepted:
            self._accept(row, judged[row.id], who, why)
        others = [row for row in rows if not judged.get(row.id)]
        self._move(others, State.WAITING, "released", who, why)
        self._recompute_rows(rows)
        return len(rows)

    def _held_run(self, row: WorkRow) -> Any:
        return self.one(
            "SELECT token, \"key\" FROM runs WHERE work_id = ? AND token = ? AND outcome = 'held'",
            (row.id, row.token),
        )

    def _accept(self, row: WorkRow, run: Any, who: str, why: str) -> None:
        self.cursor.execute(
            "UPDATE work SET state = 'done', \"key\" = ?, done_token = ?, note = NULL WHERE id = ?",
            (run[1], run[0], row.id),
        )
        self.cursor.execute(
            "UPDATE verdicts SET accepted_by = ?, accepted_why = ? WHERE work_id = ? AND token = ?",
            (who, why, row.id, run[0]),
        )
        plan = self._plan(row.pipeline, row.kind)
        if plan and row.stage in plan.stages and plan.stages[row.stage].reaches:
            self._reach([(row.item, plan.stages[row.stage].reaches, self.now())])
        self._event(
            "accepted",
            row.item,
            self.intern((row.pipeline, row.kind, row.stage)),
            None,
            {"who": who, "why": why},
        )

    def stop(self, works: Sequence[int], who: str = "", why: str = "") -> list[tuple[int, int]]:
        """Stop work; returns the runs (work, old token) that must be ended."""
        rows = [row for row in self._work_rows(works) if row.state.value in _STOPPABLE]
        running = [(row.id, row.token) for row in rows if row.state is State.RUNNING]
        self.cursor.executemany("UPDATE work SET token = token + 1 WHERE id = ?", [(row.id,) for row in rows])
        self._move(rows, State.STOPPED, "stopped", who, why, note=why)
        return running

    def retry(self, works: Sequence[int], who: str = "") -> int:
        """Failed, poisoned, stopped → waiting, with deaths and attempts at 0."""
        rows = [row for row in self._work_rows(works) if row.state.value in _RETRIED]
        self.cursor.executemany(
            "UPDATE work SET deaths = 0, attempts = 0 WHERE id = ?", [(row.id,) for row in rows]
        )
        self._move(rows, State.WAITING, "retried", who, "")
        self._recompute_rows(rows)
        return len(rows)

    def retire(self, works: Sequence[int], why: str) -> int:
        """The stage left the route; its products stay."""
        rows = [row for row in self._work_rows(works) if row.state not in (State.RUNNING, State.RETIRED)]
        return self._move(rows, State.RETIRED, "retired", "", why)

    def set_priority(self, works: Sequence[int], priority: int) -> int:
        """Change the priority of work that has not begun."""
        self.cursor.executemany(
            "UPDATE work SET priority = ? WHERE id = ?", [(priority, work) for work in works]
        )
        return len(works)

    def _move(
        self,
        rows: Sequence[WorkRow],
        state: State,
        event: str,
        who: str,
        why: str,
        *,
        note: str | None = None,
    ) -> int:
        bad = [row for row in rows if (row.state, state) not in states.WORK]
        if bad:
            raise StateError(f"{bad[0].stage} is {bad[0].state.value}; it cannot become {state.value}")
        self.cursor.executemany(
            "UPDATE work SET state = ?, note = ? WHERE id = ?",
            [(state.value, note or None, row.id) for row in rows],
        )
        told = {name: text for name, text in (("who", who), ("why", why)) if text}
        for row in rows:
            self._event(event, row.item or None, self.intern((row.pipeline, row.kind, row.stage)), None, told)
        return len(rows)

    def add_flag(self, flag: Flag) -> int:
        """Add a flag; work that consumes flags is revised."""
        self.cursor.execute(
            "INSERT INTO flags (item_id, part, value, comment, author, time) VALUES (?, ?, ?, ?, ?, ?)",
            (
                flag.item,
                canonical(dict(flag.part)).decode(),
                flag.value,
                flag.comment,
                flag.author,
                flag.time or self.now(),
            ),
        )
        number = int(self.one("SELECT max(id) FROM flags WHERE item_id = ?", (flag.item,))[0])
        self.event("flagged", item=flag.item, part=dict(flag.part), value=flag.value, who=flag.author)
        self._revise_consumers(flag.item, ("flags",), f"flagged {flag.value}")
        return number

    # ---- calibrations
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
    ) -> int:
        """Certify a calibration. Raises `StateError` if it would overlap another that is not superseded."""
        if not begin < end:
            raise StateError(
                f"a calibration is valid over [begin, end): begin {begin} is not before end {end}"
            )
        self.slot(f"calibration:{kind}", selector)
        other = self.one(
            "SELECT id, begins, ends FROM calibrations WHERE kind = ? AND selector = ? AND state = 'certified' "
            "AND begins < ? AND ends > ?",
            (kind, selector, end, begin),
        )
        if other:
            raise StateError(
                f"calibration {kind!r} for {selector!r} over [{begin}, {end}) overlaps number {other[0]} over "
                f"[{other[1]}, {other[2]}); decertify that one first"
            )
        self.cursor.execute(
            "INSERT INTO calibrations (product_id, kind, selector, begins, ends, quality, state, author, why, certified) "
            "VALUES (?, ?, ?, ?, ?, ?, 'certified', ?, ?, ?)",
            (product, kind, selector, begin, end, quality, by, why, self.now()),
        )
        number = int(
            self.one("SELECT max(id) FROM calibrations WHERE kind = ? AND selector = ?", (kind, selector))[0]
        )
        self.event("certified", item=self.product(product).item, calibration=number, kind=kind, who=by)
        self._wake_calibrated(kind)
        return number

    def _wake_calibrated(self, kind: str) -> None:
        for definition in self.routes.values():
            for plan in definition.kinds.values():
                names = [
                    stage.name
                    for stage in plan.stages.values()
                    if any(needed.form == "calibration" and needed.type == kind for needed in stage.inputs)
                ]
                if names:
                    self.recompute(plan, (), names)

    def decertify(self, calibration: int, by: str, why: str) -> None:
        """Withdraw a calibration; work that used it is revised."""
        row = self.one(
            "SELECT product_id, kind, selector, state FROM calibrations WHERE id = ?", (calibration,)
        )
        if row is None:
            raise NotFoundError(f"no calibration with number {calibration}")
        self.slot(f"calibration:{row[1]}", row[2])
        self.cursor.execute("UPDATE calibrations SET state = 'decertified' WHERE id = ?", (calibration,))
        self.event("decertified", item=self.product(row[0]).item, calibration=calibration, who=by, why=why)
        users = sorted({work for work, token in self.used_by(row[0]) if self._is_last(work, token)})
        if users:
            self.revise(users, f"calibration {calibration} was withdrawn: {why}")

    def _is_last(self, work: int, token: int) -> bool:
        row = self.one("SELECT token, done_token FROM work WHERE id = ?", (work,))
        return row is not None and token in (row[0], row[1])

    # ---- findings
    def found(self, product: int, what: str) -> None:
        """A run found an input missing or changed."""
        self.mark([product], ProductState(what), "found by a run")

    def mark(self, products: Sequence[int], state: ProductState, detail: str = "") -> int:
        """Move products to a state that the table of transitions allows; consumers wait or go on accordingly."""
        count = 0
        for number in products:
            product = self.product(number)
            if product.state is state:
                continue
            if (product.state, state) not in states.PRODUCT:
                raise StateError(f"{product.path} is {product.state.value}; it cannot become {state.value}")
            left = self.now() if state in (ProductState.SUPERSEDED, ProductState.TRASH) else None
            self.cursor.execute(
                "UPDATE products SET state = ?, detail = ?, left_at = ? WHERE id = ?",
                (state.value, detail or None, left, number),
            )
            self.event(state.value, item=product.item, stage=product.stage, path=product.path, detail=detail)
            self._after_mark(product, state)
            count += 1
        return count

    def _after_mark(self, product: Product, state: ProductState) -> None:
        if state is ProductState.MISSING and product.stage:
            self.revise([product.run[0]], f"{product.path} is missing")
        elif state is ProductState.CURRENT:
            self._consumers_go_on(product.item, product.stage)

    def move_product(self, product: int, path: str) -> None:
        """The bytes are found, by hash, at another path of the same root."""
        old = self.product(product)
        self.cursor.execute(
            "UPDATE products SET path = ?, state = 'current', detail = NULL WHERE id = ?", (path, product)
        )
        self.event("moved", item=old.item, stage=old.stage, was=old.path, path=path)
        self._consumers_go_on(old.item, old.stage)

    def adopt(self, product: int, content: Content, who: str, why: str) -> int:
        """Bytes changed by someone else become a new product, `manual`; returns its id."""
        old = self.product(product)
        if old.state is not ProductState.CHANGED:
            raise StateError(f"{old.path} is {old.state.value}; only a changed product can be adopted")
        self._supersede([product])
        self.cursor.execute(
            "INSERT INTO products (item_id, queue_id, output, part, type, root_id, path, size, mtime_ns, sha256, tree, state, "
            "work_id, token, manual, created) SELECT item_id, queue_id, output, part, type, root_id, path, ?, ?, ?, tree, "
            "'current', work_id, token, ?, ? FROM products WHERE id = ?",
            (content.size, content.mtime_ns, content.sha256, True, self.now(), product),
        )
        number = int(self.one("SELECT max(id) FROM products WHERE item_id = ?", (old.item,))[0])
        self.event("adopted", item=old.item, stage=old.stage, path=old.path, who=who, why=why)
        self._revise_consumers(old.item, ("one", "many"), f"{old.path} was adopted", stage=old.stage)
        self._consumers_go_on(old.item, old.stage)
        return number

    def adopt_stale(self, work: int, key: bytes, who: str, why: str) -> None:
        """Finished but stale work is declared good as it is under the key that was shown."""
        row = self.work_row(work)
        plan = self._plan(row.pipeline, row.kind)
        if plan is None or row.stage not in plan.stages:
            raise StateError(f"{row.stage} is not in the active route of {row.pipeline}/{row.kind}")
        need = self.needs(plan, plan.stages[row.stage], [row.item])[row.item]
        if need.problem or need.key != key:
            raise StateError(
                f"{row.stage}: a component changed since it was shown; look again with `towpath explain`"
            )
        if row.state not in (State.WAITING, State.READY, State.DONE) or not self._has_outputs(row):
            raise StateError(
                f"{row.stage} is {row.state.value}; only finished work that is stale can be adopted"
            )
        token = row.token + 1
        self.cursor.execute(
            'INSERT INTO runs (work_id, token, outcome, began, seconds, part_id, "key", manual, reasons) '
            "VALUES (?, ?, 'adopted', ?, 0, ?, ?, ?, ?)",
            (
                work,
                token,
                self.now(),
                self._intern_part(plan.stages[row.stage]),
                key,
                True,
                dump([f"{who}: {why}"]),
            ),
        )
        claimed = Claimed(work, token, row.item, "", 0.0, key=key, inputs=need.inputs)
        self._insert_adopted_inputs(claimed)
        self.cursor.execute(
            "UPDATE work SET state = 'done', token = ?, \"key\" = ?, done_token = ?, note = NULL WHERE id = ?",
            (token, key, token, work),
        )
        self.event("adopted", item=row.item, stage=row.stage, who=who, why=why)
        self._follow(plan, plan.stages[row.stage], [row.item])

    def _has_outputs(self, row: WorkRow) -> bool:
        last = self.one("SELECT done_token FROM work WHERE id = ?", (row.id,))
        return bool(last[0])

    def _insert_adopted_inputs(self, claimed: Claimed) -> None:
        from_inputs = [
            (claimed.work, claimed.token, position, row.name, row.product.id if row.product else None,
             None if row.product else row.sha256, None if row.product else dump(row.value))
            for position, row in enumerate(claimed.inputs)
        ]  # fmt: skip
        self.cursor.executemany(
            "INSERT INTO run_inputs (work_id, token, position, name, product_id, sha256, value) VALUES (?, ?, ?, ?, ?, ?, ?)",
            from_inputs,
        )

    # ---- publication
    def open_publication(self, claimed: Claimed, row: PublicationRow) -> PublicationRow:
        """The journal row of this work, made `intended` if there is none; fenced by the claim's token."""
        self._fence(claimed.work, claimed.token)
        old = self.one(
            f"SELECT {PUBLICATION_COLUMNS} FROM publications WHERE work_id = ? AND sha256 = ? AND archive = ? "
            "AND state NOT IN ('superseded', 'withdrawn') ORDER BY id DESC LIMIT 1",
            (claimed.work, row.sha256, row.archive),
        )
        if old:
            self.cursor.execute("UPDATE publications SET token = ? WHERE id = ?", (claimed.token, old[0]))
            return self._publication(old[0])
        now = self.now()
        self.cursor.execute(
            "INSERT INTO publications (work_id, token, item_id, archive, target, state, sha256, files, folder, mode, error, "
            "supersedes, opened, updated) VALUES (?, ?, ?, ?, ?, 'intended', ?, ?, ?, ?, '', ?, ?, ?) ON CONFLICT DO NOTHING",
            (claimed.work, claimed.token, row.item, row.archive, row.target, row.sha256, canonical(row.files).decode(),
             row.folder, row.mode, row.supersedes, now, now),
        )  # fmt: skip
        if not self.cursor.rowcount:
            raise StateError(f"{row.archive}:{row.target} is the place of another publication")
        number = self.one("SELECT max(id) FROM publications WHERE work_id = ?", (claimed.work,))[0]
        self.event("publication", item=row.item, publication=number, state="intended", target=row.target)
        return self._publication(number)

    def _publication(self, number: int) -> PublicationRow:
        return to_publication(
            self.one(f"SELECT {PUBLICATION_COLUMNS} FROM publications WHERE id = ?", (number,))
        )

    def _fence(self, work: int, token: int) -> None:
        row = self.one(f"SELECT token, state FROM work WHERE id = ?{self.locking_plain}", (work,))
        if row is None or row[0] != token or row[1] != State.RUNNING:
            raise StateError("this publication is no longer ours: it was stopped, or its lease expired")

    def move_publication(
        self, row: PublicationRow, state: PublicationState, *, error: str = "", token: int | None = None
    ) -> PublicationRow:
        """Move a publication on, if the table allows it and the token is still the work's. Raises `StateError`."""
        if token is not None:
            self._fence(row.work, token)
        now = self._publication(row.id)
        if (now.state, state) not in states.PUBLICATION:
            raise StateError(f"publication {row.id} is {now.state.value}; it cannot become {state.value}")
        self.cursor.execute(
            "UPDATE publications SET state = ?, error = ?, updated = ? WHERE id = ?",
            (state.value, error, self.now(), row.id),
        )
        told = {"error": error} if error else {}
        self.event(
            "publication", item=row.item, publication=row.id, state=state.value, target=row.target, **told
        )
        return self._publication(row.id)

    def post(self, destination: str, subject: str, body: Mapping[str, Any]) -> int:
        """Put a message in the outbox, in this transaction; it is sent at least once, in order per subject."""
        self.cursor.execute(
            "INSERT INTO counters (name, value) VALUES ('message', 1) "
            "ON CONFLICT (name) DO UPDATE SET value = counters.value + 1"
        )
        number = self.one("SELECT value FROM counters WHERE name = 'message'")[0]
        payload = {"subject": subject, "seq": number, "body": dict(body)}
        return self.add_work(
            ("", "message", destination), subject=f"{subject}#{number:012d}", payload=payload
        )

    # ---- sessions
    def open_session(self, host: str, pid: int, lock: str, *, attributable: bool) -> int:
        """Register this process; its number owns leases."""
        return int(
            self.one(
                "INSERT INTO sessions (host, pid, lock, attributable, opened) VALUES (?, ?, ?, ?, ?) RETURNING id",
                (host, pid, lock, attributable, self.now()),
            )[0]
        )

    def close_session(self, session: int) -> None:
        """Forget a session; its leases have expired."""
        self.cursor.execute("DELETE FROM sessions WHERE id = ?", (session,))

    def expire(self, session: int, *, give_back: bool) -> int:
        """The process of this session is dead: its leases expire now; `give_back` takes the death back."""
        self.cursor.execute(
            "UPDATE work SET due = ?, deaths = CASE WHEN ? THEN max(deaths - 1, 0) ELSE deaths END "
            "WHERE state = 'running' AND owner = ?",
            (self.now(), give_back, session),
        )
        return self.cursor.rowcount
