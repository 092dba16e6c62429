"""Arrival: roots, definitions and slots; items, their raw files, members and routes.

What is known already is left as it is. What depends on a replaced file or fact is revised in the same transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from towpath.adapters.catalog.completing import Completing
from towpath.adapters.catalog.facets import facets_of
from towpath.adapters.catalog.readiness import is_calibrated
from towpath.adapters.catalog.sql import LIVE, item_values, load, marks
from towpath.base.hashing import canonical
from towpath.base.model import Item, Product, WorkRow
from towpath.base.spacetime import Box, Span
from towpath.base.states import Work as State
from towpath.contracts.catalog import RootRow, Slot
from towpath.contracts.definition import GATHER, Definition, KindPlan

_RAW = (
    "SELECT id, sha256, state FROM products WHERE item_id = ? AND queue_id = 0 AND output = ? AND part = ? "
    + f"AND {LIVE}"
)


class Arrival(Completing):
    """Adds what comes in: the site and the items."""

    # ---- site
    def set_root(self, name: str, place: str) -> RootRow:
        """Name a root, or move it: one row."""
        self.cursor.execute(
            "INSERT INTO roots (name, place) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET place = excluded.place",
            (name, place.rstrip("/") + "/"),
        )
        self.forget_places()
        return RootRow(*self.one("SELECT id, name, place FROM roots WHERE name = ?", (name,)))

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
        self.alone()
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

    def drop_slot(self, slot: Slot) -> None:
        """Forget a locked slot with what is noted in it."""
        self.cursor.execute("DELETE FROM slots WHERE id = ?", (slot.id,))

    # ---- items
    def add_items(self, plan: KindPlan, items: Sequence[Item], *, priority: int = 0) -> list[int]:
        """Register items of one kind with the work of their route; a known key gives its id and changes nothing."""
        definition, now = self._definition_number(plan.pipeline), self.now()
        keys = [item.key for item in items]
        known = self._ids(plan, keys)
        fresh = [item for item in {item.key: item for item in items}.values() if item.key not in known]
        self.cursor.executemany(
            'INSERT INTO items (pipeline, kind, "key", definition, attributes, begins, ends, west, south, east, north, '
            "registered) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(plan.pipeline, plan.name, item.key, definition, *item_values(item), now) for item in fresh],
        )
        ids = known | self._ids(plan, [item.key for item in fresh])
        self._add_facets({ids[item.key]: facets_of(item.attributes) for item in fresh})
        if fresh:
            self._begin_route(plan, [ids[item.key] for item in fresh], priority + plan.priority)
        return [ids[key] for key in keys]

    def _add_facets(self, facets: Mapping[int, set[int]]) -> None:
        self.cursor.executemany(
            "INSERT INTO facets (digest, item_id) VALUES (?, ?) ON CONFLICT DO NOTHING",
            [(one, item) for item, found in facets.items() for one in sorted(found)],
        )

    def _move_facets(self, item: int, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        before, after = facets_of(old), facets_of(new)
        self.cursor.executemany(
            "DELETE FROM facets WHERE digest = ? AND item_id = ?", [(one, item) for one in before - after]
        )
        self._add_facets({item: after - before})

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

    def _begin_route(self, plan: KindPlan, ids: Sequence[int], priority: int) -> None:
        now = self.now()
        checked = [stage.name for stage in plan.first if is_calibrated(stage) and not plan.gathered]
        stages: list[tuple[int, str, float, int]] = []
        if plan.gathered:
            stages.append((self.intern((plan.pipeline, plan.name, GATHER)), State.WAITING, 0.0, priority))
        for stage in plan.stages.values():
            is_ready = not stage.before and not plan.gathered and stage.name not in checked
            state = State.READY if is_ready else State.WAITING
            stages.append(
                (self.intern(stage.queue), state, now if is_ready else 0.0, priority + stage.priority)
            )
        self._add_rows([(item, *stage) for item in ids for stage in stages])
        queue = self.intern((plan.pipeline, plan.name, ""))
        for item in ids:
            self._event("registered", item, queue, None, {})
        if plan.reaches:
            self._reach([(item, plan.reaches, now) for item in ids])
        if checked:
            self.recompute(plan, ids, checked)

    def _add_rows(self, rows: Sequence[tuple[int, int, str, float, int]]) -> None:
        self.cursor.executemany(
            "INSERT INTO work (item_id, queue_id, state, due, priority) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            rows,
        )

    def add_route(self, plan: KindPlan, items: Sequence[int]) -> int:
        """Give items the work of stages that are new in their route, or in it again; returns how many rows.

        All after such a stage waits for it. An item that was complete before its kind was gathered stays complete.
        """
        known = self.work(items)
        names = {item: {row.stage for row in rows} for item, rows in known.items()}
        stages = [
            (stage.name, State.WAITING, plan.priority + stage.priority) for stage in plan.stages.values()
        ]
        if plan.gathered:
            stages.append((GATHER, State.DONE, plan.priority))
        rows = [
            (item, self.intern((plan.pipeline, plan.name, name)), state.value, 0.0, priority)
            for item in items
            for name, state, priority in stages
            if name not in names[item]
        ]
        self._add_rows(rows)
        routed = {*plan.stages, *([GATHER] if plan.gathered else [])}
        back = [
            row for item in items for row in known[item] if row.state is State.RETIRED and row.stage in routed
        ]
        self._routed_again(back)
        fresh = [
            row for found in self.work(items).values() for row in found if row.stage not in names[row.item]
        ]
        self._wait_after([row for row in (*fresh, *back) if row.stage != GATHER])
        if items:
            self.recompute(plan, items)
        return len(rows) + len(back)

    def _routed_again(self, rows: Sequence[WorkRow]) -> None:
        """Retired work is in the route again."""
        raise NotImplementedError

    def update_item(
        self,
        item: int,
        *,
        attributes: Mapping[str, Any] | None = None,
        span: Span | None = None,
        footprint: Box | None = None,
    ) -> None:
        """Change an item's facts; work that consumes its record or chooses a calibration by them is revised."""
        old = self.item(item)
        new = replace(
            old,
            attributes=old.attributes if attributes is None else attributes,
            span=old.span if span is None else span,
            footprint=old.footprint if footprint is None else footprint,
        )
        if item_values(new) == item_values(old):
            return
        self.cursor.execute(
            "UPDATE items SET attributes = ?, begins = ?, ends = ?, west = ?, south = ?, east = ?, north = ? WHERE id = ?",
            (*item_values(new), item),
        )
        self._move_facets(item, old.attributes, new.attributes)
        self._revise_consumers(item, ("record", "calibration"), "the item's facts changed")

    def rename(self, item: int, fresh: Item) -> bool:
        """Give an item another key and other facts, unless another item has the key. Members and work hang on its id."""
        self.alone()
        owner = self.one(
            'SELECT id FROM items WHERE pipeline = ? AND kind = ? AND "key" = ?',
            (fresh.pipeline, fresh.kind, fresh.key),
        )
        if owner is not None and owner[0] != item:
            return False
        self._move_facets(item, self.item(item).attributes, fresh.attributes)
        self.cursor.execute(
            'UPDATE items SET "key" = ?, attributes = ?, begins = ?, ends = ?, west = ?, south = ?, east = ?, north = ? '
            "WHERE id = ?",
            (fresh.key, *item_values(fresh), item),
        )
        return True

    # ---- raw files
    def add_raw(self, products: Sequence[Product]) -> list[int]:
        """Register raw files (stage ""). The same output and part again with another hash supersedes and revises."""
        numbers: list[int] = []
        fresh: set[int] = set()
        replaced: set[int] = set()
        back: set[int] = set()
        for product in products:
            old = self.one(_RAW, (product.item, product.output, product.part))
            if old and bytes(old[1]) == product.sha256:
                self._place_raw(old[0], product)
                numbers.append(old[0])
                if old[2] != "current":
                    back.add(product.item)
                continue
            if old:
                self._supersede([old[0]])
            (replaced if old else fresh).add(product.item)
            numbers.append(self._insert_raw(product))
        for item in sorted(replaced):
            self._revise_consumers(item, ("one", "many"), "a raw file was replaced", stage="")
        for item in sorted(back):
            self._consumers_go_on(item)
        self._wake_blocked(sorted(fresh))
        return numbers

    def _place_raw(self, number: int, product: Product) -> None:
        self.cursor.execute(
            "UPDATE products SET state = 'current', root_id = ?, path = ?, mtime_ns = ?, size = ?, detail = NULL, "
            "left_at = NULL WHERE id = ?",
            (self.root_id(product.root), product.path, product.mtime_ns, product.size, number),
        )

    def _insert_raw(self, product: Product) -> int:
        row = self.one(
            "INSERT INTO products (item_id, queue_id, output, part, type, root_id, path, size, mtime_ns, sha256, tree, state, "
            "created) VALUES (?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'current', ?) RETURNING id",
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
        return int(row[0])

    # ---- members
    def add_members(self, group: int, items: Sequence[int], *, after: int | None = None) -> None:
        """Add members to a group, in order, `after` so many. Members that are there already stay where they are."""
        last = after
        if last is None:
            last = self.one("SELECT max(position) FROM members WHERE group_id = ?", (group,))[0] or 0
        self.cursor.executemany(
            "INSERT INTO members (group_id, item_id, position) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            [(group, item, last + number) for number, item in enumerate(items, 1)],
        )
        self._members_changed(group)

    def order_members(self, group: int, items: Sequence[int]) -> None:
        """Put the members of a group in this order."""
        self.cursor.executemany(
            "UPDATE members SET position = ? WHERE group_id = ? AND item_id = ?",
            ((number, group, item) for number, item in enumerate(items, 1)),
        )

    def _members_changed(self, group: int) -> None:
        """Work on a group that has not begun waits for a new member that has not passed yet."""
        owner = self.item(group)
        plan = self._plan(owner.pipeline, owner.kind)
        if plan:
            self._unready(plan, [group], [stage.name for stage in plan.first])

    def gathered(self, plan: KindPlan, item: int) -> None:
        """The item is complete: `GATHER` is done and its first stages become ready."""
        queue = self.intern((plan.pipeline, plan.name, GATHER))
        if self._end_gather(item, queue) or self._end_gather(item, queue, "failed", "poisoned", "stopped"):
            self._event("gathered", item, queue, None, {})
        self.recompute(plan, [item], [stage.name for stage in plan.first])

    def _end_gather(self, item: int, queue: int, *troubled: str) -> bool:
        """Waiting → ready → done; from trouble it goes by waiting, as a retry does."""
        where = "WHERE item_id = ? AND queue_id = ? AND subject = ''"
        steps = [("waiting", ("waiting", *troubled))] if troubled else []
        steps += [("ready", ("waiting",)), ("done", ("ready", "running", "held"))]
        for state, former in steps:
            self.cursor.execute(
                f"UPDATE work SET state = ?, deaths = 0, attempts = 0, owner = 0, note = NULL {where} "
                f"AND state IN ({marks(former)})",
                (state, item, queue, *former),
            )
        return bool(self.cursor.rowcount)

    def set_due(self, work: int, due: float) -> None:
        """Set when a waiting `GATHER` row is to be looked at (time-out), seconds since the epoch."""
        self.cursor.execute(
            "UPDATE work SET state = 'ready', due = ? WHERE id = ? AND state IN ('waiting', 'ready')",
            (due, work),
        )
