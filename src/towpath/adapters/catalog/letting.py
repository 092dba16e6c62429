"""Letting go: products that their stage keeps only until they are consumed, published or of an age.

Promises that each step is bounded and looks only at products that are due to be looked at; that nothing is let go which
work has still to read, that a pin holds, that is a raw file, a calibration or not in the store. Never touches a disk.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from towpath.adapters.catalog.completing import LOOK_AGAIN
from towpath.adapters.catalog.needs import upstream
from towpath.adapters.catalog.restoring import Restoring
from towpath.adapters.catalog.revising import later
from towpath.adapters.catalog.sql import PRODUCT_COLUMNS, load
from towpath.base.hashing import canonical
from towpath.base.model import Product
from towpath.base.states import Product as ProductState
from towpath.base.states import Work as State
from towpath.contracts.definition import GATHER, Definition, Keep, KindPlan, StagePlan

WINDOW = 20_000  # products that are looked through in one step for those of a stage whose `keep` changed
_ENDED = frozenset({State.DONE.value, State.REJECTED.value, State.RETIRED.value})
_AT_WORK = frozenset({State.READY.value, State.RUNNING.value})
_RULE = "keep"

_Candidates = tuple[KindPlan, StagePlan, str, list[Product]]  # of one stage and output
_States = Mapping[int, Mapping[str, str]]  # item → stage → state of its work


class Letting(Restoring):
    """Adds `let_go_of`, and the taking up of a changed `keep`."""

    def let_go_of(self, before: float, *, limit: int) -> tuple[int, int]:
        """Look at products that are due to be, and let go what its stage's `keep` allows; returns (looked at, let go)."""
        self.alone()
        if self.spreading():
            return 0, 0  # what is done may be taken back yet
        rows = self.rows(
            f"SELECT {PRODUCT_COLUMNS} FROM products WHERE look IS NOT NULL AND look <= ? ORDER BY look LIMIT ?",
            (before, limit),
        )
        kept, candidates = self._sorted_out(rows)
        free: dict[str, list[int]] = {}
        later: list[tuple[float | None, int]] = [(None, number) for number in kept]
        for plan, stage, output, products in candidates:
            keep = stage.keep[output]
            held = self._held(plan, stage, output, keep, products)
            for product in products:
                if product.id in held:
                    later.append((self._next_look(product, keep), product.id))
                else:
                    free.setdefault(str(keep), []).append(product.id)
                    later.append((None, product.id))
        self.cursor.executemany("UPDATE products SET look = ? WHERE id = ?", later)
        for why, numbers in free.items():
            self.mark(numbers, ProductState.SHED, why)
        return len(rows), sum(map(len, free.values()))

    def _next_look(self, product: Product, keep: Keep) -> float:
        """After as long again as it has been there, so that what is kept for long is looked at seldom."""
        now = self.now()
        due = product.created + keep.seconds if keep.until == "age" else 0.0
        return due if due > now else now + max(LOOK_AGAIN, now - product.created)

    def _sorted_out(self, rows: Iterable[Any]) -> tuple[list[int], list[_Candidates]]:
        """What stays without a further look, and the others by stage and output."""
        kept: list[int] = []
        found: dict[tuple[int, str], _Candidates] = {}
        for row in rows:
            product = self.to_product(row)
            pipeline, kind, name = self.queue_name(row[2])
            plan = self._plan(pipeline, kind)
            stage = plan.stages.get(name) if plan else None
            is_current = product.state is ProductState.CURRENT and product.root == "store"
            if plan and stage and product.output in stage.keep and is_current and not product.manual:
                fresh: _Candidates = (plan, stage, product.output, [])
                found.setdefault((row[2], product.output), fresh)[3].append(product)
            else:
                kept.append(product.id)
        return kept, list(found.values())

    # ---- what holds a product
    def _held(
        self, kind: KindPlan, stage: StagePlan, output: str, keep: Keep, products: Sequence[Product]
    ) -> set[int]:
        """Those of these products of one stage and output that are to stay."""
        numbers, items = [one.id for one in products], [one.item for one in products]
        definition = self.routes[kind.pipeline]
        held = self._pinned(numbers) | self._certified_products(numbers)
        works = self._states(kind, items)
        open_ = {item for item in items if works[item].get(stage.name) != State.DONE}
        now = self.now()
        if keep.until == "age":
            held |= {one.id for one in products if one.created + keep.seconds > now}
            open_ |= self._read(definition, kind, stage, output, items, works)
        else:
            open_ |= self._unconsumed(definition, kind, stage, output, items, works)
            held |= self._read_otherwise(definition, kind, stage, output, products)
        if keep.until == "published":
            open_ |= self._unpublished(definition, kind, stage, items, works)
        return held | {one.id for one in products if one.item in open_}

    def _pinned(self, products: Sequence[int]) -> set[int]:
        statement = "SELECT product_id FROM pins WHERE (until IS NULL OR until > ?) AND product_id IN ({in})"
        return {row[0] for row in self.rows_in(statement, products, self.now())}

    def _certified_products(self, products: Sequence[int]) -> set[int]:
        statement = "SELECT DISTINCT product_id FROM calibrations WHERE product_id IN ({in})"
        return {row[0] for row in self.rows_in(statement, products)}

    def _states(self, kind: KindPlan, items: Sequence[int]) -> _States:
        """The states of all work of stages of these items of a kind."""
        found: dict[int, dict[str, str]] = {item: {} for item in items}
        for item, queue, state in self.rows_in(
            "SELECT item_id, queue_id, state FROM work WHERE subject = '' AND item_id IN ({in})",
            sorted(found),
        ):
            pipeline, name, stage = self.queue_name(queue)
            if (pipeline, name) == (kind.pipeline, kind.name):
                found[item][stage] = state
        return found

    def _read(
        self,
        definition: Definition,
        kind: KindPlan,
        stage: StagePlan,
        output: str,
        items: Sequence[int],
        works: _States,
    ) -> set[int]:
        """Items whose product is being read, or is about to be."""
        own = _readers(kind, stage.name, output, members=False)
        found = {item for item in items if any(works[item].get(name) in _AT_WORK for name in own)}
        for group, names in _group_readers(definition, kind, [(stage.name, output)]):
            of_items = self._groups(group, items)
            states = self._states(group, sorted({one for some in of_items.values() for one in some}))
            busy = {one for one, of in states.items() if any(of.get(name) in _AT_WORK for name in names)}
            found |= {item for item, groups in of_items.items() if busy & groups}
        return found

    def _unconsumed(
        self,
        definition: Definition,
        kind: KindPlan,
        stage: StagePlan,
        output: str,
        items: Sequence[int],
        works: _States,
    ) -> set[int]:
        """Items whose product has still to be read by a stage of theirs, or of a group; where nothing reads it, all."""
        own = _readers(kind, stage.name, output, members=False)
        groups = _group_readers(definition, kind, [(stage.name, output)])
        if not own and not groups:
            return set(items)
        found = {item for item in items if not _is_settled(kind, own, works[item])}
        for group, names in groups:
            found |= self._unsettled_in_groups(kind, group, names, items, works)
        return found

    def _unsettled_in_groups(
        self, kind: KindPlan, group: KindPlan, names: Sequence[str], items: Sequence[int], works: _States
    ) -> set[int]:
        """Items that a rule may still take, or that are in a group whose stages `names` are not settled."""
        of_items = self._groups(group, items)
        states = self._states(group, sorted({one for some in of_items.values() for one in some}))
        open_ = {one for one, of in states.items() if not _is_settled(group, names, of)}
        again = self._taken_again(group)
        return {
            item
            for item in items
            if item in again
            or open_ & of_items[item]
            or not (of_items[item] or _is_never_taken(kind, group, works[item]))
        }

    def _groups(self, group: KindPlan, items: Sequence[int]) -> dict[int, set[int]]:
        """The groups of a kind that each item is a member of."""
        found: dict[int, set[int]] = {item: set() for item in items}
        for item, number in self.rows_in(
            "SELECT m.item_id, m.group_id FROM members m JOIN items i ON i.id = m.group_id "
            "WHERE i.pipeline = ? AND i.kind = ? AND m.item_id IN ({in})",
            sorted(found),
            group.pipeline,
            group.name,
        ):
            found[item].add(number)
        return found

    def _taken_again(self, group: KindPlan) -> set[int]:
        """Items that a later window of a sliding rule may take once more."""
        if group.group is None or not group.group.stride:
            return set()
        found: set[int] = set()
        for (text,) in self.rows(
            "SELECT data FROM slots WHERE rule = ?", (f"group {group.pipeline}/{group.name}",)
        ):
            data = load(text, {})
            members = [*data.get("pending", ()), *((data.get("open") or {}).get("members", ()))]
            members += [one for carry in data.get("carries", ()) for one in carry]
            found |= {one["item"] for one in members}
        return found

    def _read_otherwise(
        self,
        definition: Definition,
        kind: KindPlan,
        stage: StagePlan,
        output: str,
        products: Sequence[Product],
    ) -> set[int]:
        """Products of which a reader, though it is done, read other bytes: its last run was of a former one."""
        items = [one.item for one in products]
        own = _readers(kind, stage.name, output, members=False)
        readers: dict[int, set[int]] = {}
        for work, item in self._done_work(kind, own, items):
            readers.setdefault(item, set()).add(work)
        for group, names in _group_readers(definition, kind, [(stage.name, output)]):
            of_items = self._groups(group, items)
            done: dict[int, set[int]] = {}
            numbers = sorted({one for some in of_items.values() for one in some})
            for work, one in self._done_work(group, names, numbers):
                done.setdefault(one, set()).add(work)
            for item, groups in of_items.items():
                readers.setdefault(item, set()).update(*(done.get(one, ()) for one in groups))
        used: dict[int, set[int]] = {}
        for product, work in self.rows_in(
            "SELECT r.product_id, w.id FROM run_inputs r JOIN work w ON w.id = r.work_id AND w.done_token = r.token "
            "WHERE r.product_id IN ({in})",
            [one.id for one in products],
        ):
            used.setdefault(product, set()).add(work)
        doubtful = [
            (one, work) for one in products for work in readers.get(one.item, set()) - used.get(one.id, set())
        ]
        former = self._hashes_read({work for _, work in doubtful}, stage, output) if doubtful else {}
        return {
            one.id
            for one, work in doubtful
            if former.get((work, one.item, one.part), one.sha256) != one.sha256
        }

    def _hashes_read(
        self, works: Iterable[int], stage: StagePlan, output: str
    ) -> dict[tuple[int, int, str], bytes]:
        """What the last finished runs of these works read of an output of a stage, by work, item and part."""
        rows = self.rows_in(
            "SELECT w.id, q.item_id, q.part, q.sha256 FROM work w JOIN run_inputs r ON r.work_id = w.id "
            "AND r.token = w.done_token JOIN products q ON q.id = r.product_id "
            "WHERE q.queue_id = ? AND q.output = ? AND w.id IN ({in})",
            sorted(works),
            self.intern(stage.queue),
            output,
        )
        return {(row[0], row[1], row[2]): bytes(row[3]) for row in rows}

    # ---- publications
    def _unpublished(
        self, definition: Definition, kind: KindPlan, stage: StagePlan, items: Sequence[int], works: _States
    ) -> set[int]:
        """Items of which no publication that descends from the product stands, or not every one does."""
        publishes = self._publishes(definition, kind, {stage.name, *later(kind, stage.name)}, items, works)
        done = sorted({work for found in publishes.values() if found is not None for work in found})
        standing = {
            row[0]
            for row in self.rows_in(
                "SELECT DISTINCT work_id FROM publications WHERE state IN ('committed', 'released') AND work_id IN ({in})",
                done,
            )
        }
        return {
            item for item in items if (found := publishes[item]) is None or not found or not found <= standing
        }

    def _publishes(
        self,
        definition: Definition,
        kind: KindPlan,
        stages: Collection[str],
        items: Sequence[int],
        works: _States,
    ) -> dict[int, set[int] | None]:
        """For each item the work that has published what descends from these stages; None if some has still to."""
        own = [name for name in kind.stages if name in stages and kind.stages[name].service == "publish"]
        found: dict[int, set[int] | None] = {
            item: set() if _is_settled(kind, own, works[item]) else None for item in items
        }
        for work, item in self._done_work(kind, own, items):
            if (known := found[item]) is not None:
                known.add(work)
        outputs = [(name, output) for name in stages for output in kind.stages[name].outputs]
        for group, names in _group_readers(definition, kind, outputs):
            first = {*names, *(after for name in names for after in later(group, name))}
            open_ = self._unsettled_in_groups(kind, group, (), items, works)
            of_items = self._groups(group, items)
            groups = sorted({one for some in of_items.values() for one in some})
            of_groups = self._publishes(definition, group, first, groups, self._states(group, groups))
            for item in items:
                parts = [found[item], *(of_groups[one] for one in of_items[item])]
                is_open = item in open_ or any(part is None for part in parts)
                found[item] = None if is_open else set().union(*(part for part in parts if part))
        return found

    def _done_work(
        self, kind: KindPlan, stages: Sequence[str], items: Sequence[int]
    ) -> list[tuple[int, int]]:
        queues = {self.intern(kind.stages[name].queue) for name in stages}
        rows = self.rows_in(
            "SELECT id, item_id, queue_id FROM work WHERE subject = '' AND state = 'done' AND item_id IN ({in})",
            items if queues else (),
        )
        return [(row[0], row[1]) for row in rows if row[2] in queues]

    # ---- a `keep` that changed
    def follow_keep(self) -> bool:
        """A step of taking up how stages say to `keep` now, of products that were made before; whether steps are left."""
        self.alone()
        for definition in self.routes.values():
            for kind in definition.kinds.values():
                for stage in kind.stages.values():
                    if self._follow_keep(stage):
                        return True
        return False

    def _follow_keep(self, stage: StagePlan) -> bool:
        """Whether there was something to do for this stage."""
        said = {output: asdict(keep) for output, keep in sorted(stage.keep.items())}
        subset = canonical(list(stage.queue)).decode()
        row = self.one("SELECT data FROM slots WHERE rule = ? AND subset = ?", (_RULE, subset))
        noted: dict[str, Any] = {"keep": {}, "until": 0, "after": 0}
        noted |= load(row[0], {}) if row else {}
        if noted["keep"] == said and noted["after"] >= noted["until"]:
            return False
        slot = self.slot(_RULE, subset)
        if noted["keep"] != said:
            last = self.one("SELECT max(id) FROM products")[0] or 0
            noted = {"keep": said, "after": 0, "until": last if said else 0}
        end = min(noted["after"] + WINDOW, noted["until"])
        self.cursor.execute(
            "UPDATE products SET look = ? WHERE id > ? AND id <= ? AND queue_id = ? AND look IS NULL AND state = 'current'",
            (self.now(), noted["after"], end, self.intern(stage.queue)),
        )
        self.set_slot(slot, {**noted, "after": end})
        return True


# ---- who reads what, by the routes
def _readers(kind: KindPlan, stage: str, output: str, *, members: bool) -> list[str]:
    """The stages of a kind that take an output of a stage: of its own, or of that of its members."""
    return [
        one.name
        for one in kind.stages.values()
        if any(
            plan.members == members and (stage, output) in plan.producers
            for plan in one.inputs
            if plan.form in ("one", "many")
        )
    ]


def _group_readers(
    definition: Definition, kind: KindPlan, outputs: Iterable[tuple[str, str]]
) -> list[tuple[KindPlan, list[str]]]:
    """The kinds that group items of this kind, with their stages that take any of these (stage, output) of the members."""
    found, wanted = [], list(outputs)
    for group in definition.kinds.values():
        if group.group and group.group.of == kind.name:
            names = sorted(
                {name for stage, output in wanted for name in _readers(group, stage, output, members=True)}
            )
            if names:
                found.append((group, names))
    return found


# ---- what is settled, by states
def _is_settled(kind: KindPlan, stages: Iterable[str], states: Mapping[str, str]) -> bool:
    """Whether each of these stages has ended, or never comes because one before it was rejected."""
    return all(states.get(name) in _ENDED or _never_comes(kind, name, states) for name in stages)


def _never_comes(kind: KindPlan, stage: str, states: Mapping[str, str]) -> bool:
    before = [*upstream(kind, kind.stages[stage]), *([GATHER] if kind.gathered else [])]
    return any(states.get(name) == State.REJECTED for name in before)


def _is_never_taken(kind: KindPlan, group: KindPlan, states: Mapping[str, str]) -> bool:
    """Whether a rule will not take an item, because it did not qualify before the stage at which it would."""
    at = group.group.at if group.group else ""
    if at not in kind.stages:
        return False
    return states.get(at) == State.REJECTED or _never_comes(kind, at, states)
