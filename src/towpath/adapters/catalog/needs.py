"""What a stage would read for an item now, and the key that gives.

The one place where inputs are found: claim, plan and explain all ask here. Reads rows only; never looks at a disk.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from towpath.adapters.catalog.reading import Reading
from towpath.adapters.catalog.sql import LIVE, PRODUCT_COLUMNS, flags_value, load
from towpath.base.hashing import digest
from towpath.base.model import Item, Product
from towpath.base.provenance import key
from towpath.base.states import Product as State
from towpath.contracts.catalog import InputRow, Need
from towpath.contracts.definition import InputPlan, KindPlan, StagePlan

_Pairs = list[tuple[str, bytes]]


def upstream(kind: KindPlan, stage: StagePlan) -> list[str]:
    """All stages of the route before `stage`, in route order."""
    found: set[str] = set()
    queue = list(stage.before)
    while queue:
        name = queue.pop()
        if name not in found:
            found.add(name)
            queue += kind.stages[name].before
    return [name for name in kind.stages if name in found]


class Needs(Reading):
    """Adds `needs` to the reading half."""

    def needs(self, kind: KindPlan, stage: StagePlan, items: Sequence[int]) -> dict[int, Need]:
        """For each item, what the stage would read now and the key that gives."""
        inputs: dict[int, list[InputRow]] = {item: [] for item in items}
        pairs: dict[int, _Pairs] = {item: [] for item in items}
        problems: dict[int, str] = {}
        for plan, found in self._all_inputs(kind, stage, items):
            for item in items:
                rows = found[item]
                if isinstance(rows, str):
                    problems.setdefault(item, f"input {plan.name}: {rows}")
                    continue
                inputs[item] += rows
                pairs[item] += _pairs(plan, rows)
        return {
            item: Need(tuple(inputs[item]), key(stage.fixed, pairs[item]), problems.get(item, ""))
            for item in items
        }

    def _all_inputs(
        self, kind: KindPlan, stage: StagePlan, items: Sequence[int]
    ) -> Iterator[tuple[InputPlan, Mapping[int, list[InputRow] | str]]]:
        own: dict[int, list[Product]] | None = None
        theirs: dict[int, list[tuple[str, Product]]] | None = None
        for plan in stage.inputs:
            if plan.form in ("one", "many") and not plan.members:
                own = self._own_products(items) if own is None else own
                yield plan, {item: choose(plan, [("", product) for product in own[item]]) for item in items}
            elif plan.form in ("one", "many"):
                theirs = self._member_products(items) if theirs is None else theirs
                yield plan, {item: choose(plan, theirs[item]) for item in items}
            elif plan.form == "calibration":
                yield plan, {item: self._calibration(plan, item) for item in items}
            else:
                yield plan, self._facts(plan, kind, stage, items)

    def _own_products(self, items: Sequence[int]) -> dict[int, list[Product]]:
        found: dict[int, list[Product]] = {item: [] for item in items}
        statement = f"SELECT {PRODUCT_COLUMNS} FROM products WHERE item_id IN ({{in}}) AND state IN {LIVE}"
        for row in self.rows_in(statement, items):
            found[row[1]].append(self.to_product(row))
        return found

    def _member_products(self, groups: Sequence[int]) -> dict[int, list[tuple[str, Product]]]:
        rows = self.rows_in(
            'SELECT m.group_id, m.item_id, i."key" FROM members m JOIN items i ON i.id = m.item_id '
            "WHERE m.group_id IN ({in}) ORDER BY m.group_id, m.position",
            groups,
        )
        products = self._own_products(sorted({row[1] for row in rows}))
        found: dict[int, list[tuple[str, Product]]] = {group: [] for group in groups}
        for group, item, name in rows:
            found[group] += [(name, product) for product in products[item]]
        return found

    def _calibration(self, plan: InputPlan, item_id: int) -> list[InputRow] | str:
        item = self.item(item_id)
        when = moment_of(item, plan.at)
        selector = str(item.attributes.get(plan.selector, "")) if plan.selector else None
        rows = self.calibrations(plan.type, at=when, selector=selector) if when is not None else []
        good = [row for row in rows if row.product.state is State.CURRENT]
        if good:
            return [
                InputRow(
                    plan.name, good[0].product.sha256, good[0].product, value={"calibration": good[0].id}
                )
            ]
        if plan.optional:
            return []
        if when is None:
            return f"the item has no {plan.at}, so no calibration {plan.type!r} can be chosen"
        return f"no certified calibration {plan.type!r} is valid at the item's {plan.at}"

    def _facts(
        self, plan: InputPlan, kind: KindPlan, stage: StagePlan, items: Sequence[int]
    ) -> dict[int, list[InputRow] | str]:
        give = {"flags": self._flags_of, "verdicts": self._verdicts_of, "record": self._records_of}[plan.form]
        values = give(kind, stage, items)
        return {item: [InputRow(plan.name, digest(values[item]), value=values[item])] for item in items}

    def _flags_of(self, _kind: KindPlan, _stage: StagePlan, items: Sequence[int]) -> dict[int, Any]:
        found: dict[int, list[Any]] = {item: [] for item in items}
        for row in self.rows_in(
            "SELECT item_id, part, value, comment FROM flags WHERE item_id IN ({in}) AND withdrawn IS NULL ORDER BY id",
            items,
        ):
            found[row[0]] += flags_value([row[1:]])
        return found

    def _verdicts_of(self, kind: KindPlan, stage: StagePlan, items: Sequence[int]) -> dict[int, Any]:
        before = set(upstream(kind, stage))
        found: dict[int, dict[str, Any]] = {item: {} for item in items}
        for row in self.rows_in(
            "SELECT v.item_id, w.queue_id, v.result, v.rules FROM verdicts v JOIN work w ON w.id = v.work_id "
            "WHERE v.item_id IN ({in}) ORDER BY v.id",
            items,
        ):
            name = self.queue_name(row[1])[2]
            if name in before:
                found[row[0]][name] = {"result": row[2], "rules": load(row[3], [])}
        return found

    def _records_of(self, kind: KindPlan, stage: StagePlan, items: Sequence[int]) -> dict[int, Any]:
        before = set(upstream(kind, stage))
        measures: dict[int, dict[str, dict[str, Any]]] = {item: {} for item in items}
        for row in self.rows_in(
            "SELECT w.item_id, w.queue_id, r.measures FROM work w JOIN runs r ON r.work_id = w.id AND r.token = w.done_token "
            "WHERE w.item_id IN ({in}) AND w.done_token > 0",
            items,
        ):
            name = self.queue_name(row[1])[2]
            if name in before and row[2]:
                measures[row[0]][name] = {values[0]: values[1] for values in load(row[2], [])}
        return {item: self._record(self.item(item), measures[item]) for item in items}

    def _record(self, item: Item, measures: Mapping[str, Any]) -> dict[str, Any]:
        box = item.footprint
        members = self.rows(
            'SELECT i."key" FROM members m JOIN items i ON i.id = m.item_id WHERE m.group_id = ? ORDER BY m.position',
            (item.id,),
        )
        raw = self.one(
            f"SELECT count(*) FROM products WHERE item_id = ? AND queue_id = 0 AND state IN {LIVE}",
            (item.id,),
        )
        return {
            "key": item.key,
            "kind": item.kind,
            "attributes": dict(item.attributes),
            "time": [item.span.begin, item.span.end] if item.span else None,
            "footprint": [box.west, box.south, box.east, box.north] if box else None,
            "members": [row[0] for row in members],
            "files": raw[0],
            "measures": dict(measures),
        }


def moment_of(item: Item, at: str) -> float | None:
    """The item's ``time.begin``, ``time.mid`` or ``time.end`` in seconds, None if it has no time."""
    if item.span is None:
        return None
    return {"time.begin": item.span.begin, "time.mid": item.span.mid, "time.end": item.span.end}[at]


def choose(plan: InputPlan, offered: Sequence[tuple[str, Product]]) -> list[InputRow] | str:
    """The products an input takes: those of the nearest producer that has any, or what is wrong."""
    for producer in plan.producers:
        stage, output = producer
        rows = [
            (name, product)
            for name, product in offered
            if product.stage == stage and (product.output == output if stage else product.type == plan.type)
        ]
        if rows:
            return _checked(plan, rows)
    if plan.optional or (plan.form == "many" and plan.least == 0):
        return []
    return f"no product of type {plan.type!r} yet"


def _checked(plan: InputPlan, rows: list[tuple[str, Product]]) -> list[InputRow] | str:
    for _, product in rows:
        if product.state is not State.CURRENT:
            return f"{product.root}:{product.path} is {product.state.value}"
    if plan.form == "one" and len(rows) > 1:
        return f"{len(rows)} products of type {plan.type!r}; One takes exactly one"
    if len(rows) < plan.least:
        return f"{len(rows)} products of type {plan.type!r}; at least {plan.least} are needed"
    if not plan.members and len(rows) > 1:
        rows.sort(key=lambda row: (row[1].output, row[1].part))
    return [InputRow(plan.name, product.sha256, product, name) for name, product in rows]


def _pairs(plan: InputPlan, rows: Sequence[InputRow]) -> _Pairs:
    if plan.form != "many":
        return [(row.name, row.sha256) for row in rows]
    return [
        (f"{row.name}[{row.item}/{row.product.part}]" if row.product else row.name, row.sha256)
        for row in rows
    ]
