"""What a stage would read for an item now, and the key that gives.

The one place where inputs are found: claim, plan and explain all ask here. Reads rows only; never looks at a disk.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import chain
from typing import Any, NamedTuple

from towpath.adapters.catalog.sql import (
    ITEM_COLUMNS,
    LIVE,
    PRODUCT_COLUMNS,
    chunks,
    flags_value,
    load,
    marks,
    to_item,
)
from towpath.adapters.catalog.standing import Standing
from towpath.base import clock
from towpath.base.hashing import digest
from towpath.base.model import Item, Product
from towpath.base.packed import PAGE, Packed
from towpath.base.provenance import key
from towpath.base.states import Product as State
from towpath.contracts.catalog import InputRow, Need
from towpath.contracts.definition import InputPlan, KindPlan, StagePlan

_Found = Sequence[InputRow] | str  # the rows of one input, or what is wrong
_Source = tuple[int, str]  # a product's queue and output; (0, type) of a raw file
_Rows = Sequence[tuple[str, Any]]  # (member's key, product row)
_Offered = Mapping[_Source, Mapping[int, _Rows]]  # source → item → its rows


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


class Needs(Standing):
    """Adds `needs` to the reading half."""

    def needs(self, kind: KindPlan, stage: StagePlan, items: Sequence[int]) -> dict[int, Need]:
        """For each item, what the stage would read now and the key that gives."""
        if not stage.inputs:
            return dict.fromkeys(items, Need((), key(stage.fixed, ())))
        found = self._all_inputs(kind, stage, items)
        return {item: _need(stage, [(plan, rows[item]) for plan, rows in found]) for item in items}

    def _all_inputs(
        self, kind: KindPlan, stage: StagePlan, items: Sequence[int]
    ) -> list[tuple[InputPlan, Mapping[int, _Found]]]:
        own, theirs = self._sources(kind, stage, members=False), self._sources(kind, stage, members=True)
        offered = self._own_products(items, own) if own else {}
        of_members = self._member_products(items, theirs) if theirs else {}
        found: list[tuple[InputPlan, Mapping[int, _Found]]] = []
        for plan in stage.inputs:
            if plan.form in ("one", "many"):
                given, sources = (of_members, theirs) if plan.members else (offered, own)
                found.append((plan, self._chosen(plan, sources[plan.name], given, items)))
            elif plan.form == "calibration":
                found.append((plan, self._calibrated(plan, items)))
            else:
                found.append((plan, self._facts(plan, kind, stage, items)))
        return found

    # ---- products
    def _sources(self, kind: KindPlan, stage: StagePlan, *, members: bool) -> dict[str, list[_Source]]:
        """For each input of products, where they may come from, nearest first."""
        owner = kind.group.of if members and kind.group else kind.name
        return {
            plan.name: [
                (self.queue_id((kind.pipeline, owner, name)) or -1, output) if name else (0, plan.type)
                for name, output in plan.producers
            ]
            for plan in stage.inputs
            if plan.form in ("one", "many") and plan.members == members
        }

    def _own_products(self, items: Sequence[int], sources: Mapping[str, list[_Source]]) -> _Offered:
        queues = sorted({queue for found in sources.values() for queue, _ in found})
        statement = (
            f"SELECT {PRODUCT_COLUMNS} FROM products WHERE {LIVE} AND queue_id IN ({marks(queues)}) "
            "AND item_id IN ({in})"
        )
        offered: dict[_Source, dict[int, list[tuple[str, Any]]]] = {}
        for row in self.rows_in(statement, items, *queues):
            of_source = offered.setdefault((row[2], row[3] if row[2] else row[5]), {})
            if row[1] in of_source:
                of_source[row[1]].append(("", row))
            else:
                of_source[row[1]] = [("", row)]
        return offered

    def _member_products(self, groups: Sequence[int], sources: Mapping[str, list[_Source]]) -> _Offered:
        rows = self.rows_in(
            'SELECT m.group_id, m.item_id, i."key" FROM members m JOIN items i ON i.id = m.item_id '
            "WHERE m.group_id IN ({in}) ORDER BY m.group_id, m.position",
            groups,
        )
        offered: dict[_Source, dict[int, Packed[tuple[str, Any]]]] = {}
        for part in chunks(rows):  # a group may have very many
            products = self._own_products(sorted({row[1] for row in part}), sources)
            for source, of_members in products.items():
                of_groups = offered.setdefault(source, {})
                for group, item, name in part:
                    if found := of_members.get(item):
                        given = of_groups.setdefault(group, Packed(tuple))
                        for _, row in sorted(found, key=lambda one: one[1][3:5]):
                            given.append((name, row))
        return offered

    def _chosen(
        self, plan: InputPlan, sources: Sequence[_Source], offered: _Offered, items: Sequence[int]
    ) -> dict[int, _Found]:
        """The products an input takes: those of the nearest producer that has any, or what is wrong."""
        none: _Found = f"no product of type {plan.type!r} yet"
        if plan.optional or (plan.form == "many" and plan.least == 0):
            none = []
        nearest = [offered[source] for source in sources if source in offered]
        found: dict[int, _Found] = {}
        for item in items:
            rows = next((of[item] for of in nearest if item in of), None)
            found[item] = self._checked(plan, rows) if rows else none
        return found

    def _checked(self, plan: InputPlan, rows: _Rows) -> _Found:
        if len(rows) == 1 and plan.least <= 1:
            ((item, row),) = rows
            if row[12] in _AS_KNOWN:
                return [InputRow(plan.name, row[10], self.to_product(row), item)]
        for _, row in rows:
            if row[12] not in _AS_KNOWN:
                return f"{self.root_name(row[6])}:{row[7]} {_TOLD.get(row[12], f'is {row[12]}')}"
        if plan.form == "one":
            return f"{len(rows)} products of type {plan.type!r}; One takes exactly one"
        if len(rows) < plan.least:
            return f"{len(rows)} products of type {plan.type!r}; at least {plan.least} are needed"
        if not plan.members:
            rows = sorted(rows, key=lambda one: one[1][3:5])
        if len(rows) > PAGE:
            return Packed(_input_row, ((plan.name, name, *self.product_values(row)) for name, row in rows))
        products = [(name, self.to_product(row)) for name, row in rows]
        return [InputRow(plan.name, product.sha256, product, name) for name, product in products]

    # ---- calibrations
    def _calibrated(self, plan: InputPlan, items: Sequence[int]) -> dict[int, _Found]:
        known = self._items_by_id(items)
        times = [when for item in known.values() if (when := moment_of(item, plan.at)) is not None]
        certified = (
            self._certified(plan.type, min(times) - plan.within, max(times) + plan.within) if times else []
        )
        products = self._products_by_id(sorted({row.product for row in certified}))
        names = self._item_keys(sorted({product.item for product in products.values()}))
        live = [
            (row, product, names[product.item])
            for row in certified
            if (product := products[row.product]).state in _LIVE_STATES
        ]
        return {item: _calibration(plan, known[item], live) for item in items}

    def _certified(self, kind: str, low: float, high: float) -> list["_Certified"]:
        rows = self.rows(
            "SELECT id, product_id, kind, selector, begins, ends, quality FROM calibrations WHERE kind = ? "
            "AND state = 'certified' AND begins <= ? AND ends >= ? ORDER BY quality DESC, id DESC",
            (kind, high, low),
        )
        return [_Certified(*row) for row in rows]

    def _items_by_id(self, items: Sequence[int]) -> dict[int, Item]:
        rows = self.rows_in(f"SELECT {ITEM_COLUMNS} FROM items WHERE id IN ({{in}})", items)
        return {row[0]: to_item(row) for row in rows}

    # ---- facts
    def _facts(
        self, plan: InputPlan, kind: KindPlan, stage: StagePlan, items: Sequence[int]
    ) -> dict[int, _Found]:
        give: dict[str, Callable[[set[str], Sequence[int]], dict[int, Any]]] = {
            "flags": self._flags_of,
            "verdicts": self._verdicts_of,
            "record": self._records_of,
        }
        values = give[plan.form](set(upstream(kind, stage)), items)
        return {item: [InputRow(plan.name, digest(values[item]), value=values[item])] for item in items}

    def _flags_of(self, _before: set[str], items: Sequence[int]) -> dict[int, Any]:
        found: dict[int, list[Any]] = {item: [] for item in items}
        for row in self.rows_in(
            "SELECT item_id, part, value, comment FROM flags WHERE item_id IN ({in}) AND withdrawn IS NULL ORDER BY id",
            items,
        ):
            found[row[0]] += flags_value([row[1:]])
        return found

    def _verdicts_of(self, before: set[str], items: Sequence[int]) -> dict[int, Any]:
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

    def _records_of(self, before: set[str], items: Sequence[int]) -> dict[int, Any]:
        measures = self._measures_of(before, items)
        members: dict[int, list[str]] = {item: [] for item in items}
        for group, name in self.rows_in(
            'SELECT m.group_id, i."key" FROM members m JOIN items i ON i.id = m.item_id '
            "WHERE m.group_id IN ({in}) ORDER BY m.group_id, m.position",
            items,
        ):
            members[group].append(name)
        files = dict(
            self.rows_in(
                f"SELECT item_id, count(*) FROM products WHERE queue_id = 0 AND {LIVE} "
                "AND item_id IN ({in}) GROUP BY item_id",
                items,
            )
        )
        known = self._items_by_id(items)
        return {
            item: _record(known[item], members[item], files.get(item, 0), measures[item]) for item in items
        }

    def _measures_of(self, before: set[str], items: Sequence[int]) -> dict[int, dict[str, dict[str, Any]]]:
        found: dict[int, dict[str, dict[str, Any]]] = {item: {} for item in items}
        for row in self.rows_in(
            "SELECT w.item_id, w.queue_id, r.measures FROM work w JOIN runs r ON r.work_id = w.id "
            "AND r.token = w.done_token WHERE w.item_id IN ({in}) AND w.done_token > 0 AND r.measures IS NOT NULL",
            items,
        ):
            name = self.queue_name(row[1])[2]
            if name in before:
                found[row[0]][name] = {values[0]: values[1] for values in load(row[2], [])}
        return found


class _Certified(NamedTuple):
    """A calibration in force, with its validity [begin, end) in seconds since the epoch."""

    number: int
    product: int
    kind: str
    selector: str
    begin: float
    end: float
    quality: float

    def age(self, when: float) -> float:
        """Seconds from the validity to a moment, 0 where it is valid."""
        return max(self.begin - when, when - self.end, 0.0)

    def is_valid(self, when: float) -> bool:
        """Whether it is valid at a moment."""
        return self.begin <= when < self.end

    def told(self, when: float) -> dict[str, Any]:
        """What a stage is told of it, all of which enters the key."""
        return {
            "calibration": self.number,
            "kind": self.kind,
            "selector": self.selector,
            "begin": self.begin,
            "end": self.end,
            "quality": self.quality,
            "is_valid": self.is_valid(when),
            "age": self.age(when),
        }


_LIVE_STATES = frozenset({State.CURRENT, State.MISSING, State.CHANGED, State.SHED, State.SPENT, State.WANTED})
_GONE = frozenset({State.SHED, State.SPENT})  # let go: the hash is known, so is the key
_AS_KNOWN = frozenset({"current", *_GONE})
_TOLD = {"wanted": "was let go and is made again first"}
_STATE = 2 + [one.name for one in fields(Product)].index("state")  # of what is kept of an input


def _need(stage: StagePlan, found: Sequence[tuple[InputPlan, _Found]]) -> Need:
    given: list[Sequence[InputRow]] = []
    pairs: list[tuple[str, bytes]] = []
    lacking: list[tuple[str, str]] = []
    for plan, rows in found:
        if isinstance(rows, str):
            lacking.append((plan.name, f"input {plan.name}: {rows}"))
        else:
            given.append(rows)
            pairs += _pairs(plan, rows)
    inputs = _joined(given)
    if lacking:
        return Need(inputs, None, lacking[0][1], tuple(lacking))
    return Need(inputs, key(stage.fixed, pairs), let_go=tuple(chain.from_iterable(map(_let_go, given))))


def _let_go(rows: Sequence[InputRow]) -> Iterator[Product]:
    """The products among these that were let go."""
    if isinstance(rows, Packed):
        kept = chain.from_iterable(rows.pages())
        rows = [_input_row(one) for one in kept if isinstance(one, InputRow) or one[_STATE] in _GONE]
    for row in rows:
        if row.product is not None and row.product.state in _GONE:
            yield row.product


def _joined(given: Sequence[Sequence[InputRow]]) -> Sequence[InputRow]:
    """The inputs one after the other; packed if one of them is."""
    if not any(type(rows) is Packed for rows in given):
        return tuple(chain.from_iterable(given))
    if len(given) == 1:
        return given[0]
    joined: Packed[InputRow] = Packed(_input_row)
    for rows in given:
        for kept in chain.from_iterable(rows.pages()) if isinstance(rows, Packed) else rows:
            joined.append(kept)
    return joined


def _input_row(kept: Any) -> InputRow:
    """What is read, of what is kept of it: names of input and item with the values of a product, or the row itself."""
    if isinstance(kept, InputRow):
        return kept
    name, item, *values = kept
    product = Product(*values)
    return InputRow(name, product.sha256, product, item)


def _pairs(plan: InputPlan, rows: Sequence[InputRow]) -> list[tuple[str, bytes]]:
    """What enters the key: a stage that reads several gets them in this order, so their places enter it too."""
    if plan.form == "calibration":
        return [(row.name, digest([row.sha256.hex(), row.value])) for row in rows]
    if plan.form != "many":
        return [(row.name, row.sha256) for row in rows]
    return [
        (f"{row.name}[{number}:{row.item}/{row.product.part if row.product else ''}]", row.sha256)
        for number, row in enumerate(rows)
    ]


def _calibration(plan: InputPlan, item: Item, certified: Iterable[tuple[_Certified, Product, str]]) -> _Found:
    """The best calibration at the item's time, else the nearest one in reach, or why there is none.

    `certified` are best first, each with its product and the key of the item that made it.
    """
    when = moment_of(item, plan.at)
    selector = str(item.attributes.get(plan.selector, "")) if plan.selector else None
    fit = [
        (row, product, maker)
        for row, product, maker in certified
        if when is not None
        and selector in (None, row.selector)
        and (row.is_valid(when) or (plan.within > 0 and row.age(when) <= plan.within))
        and not (product.item == item.id and (product.stage, product.output) in plan.apart)
    ]
    if when is not None and fit:
        row, product, maker = min(fit, key=lambda one: (not one[0].is_valid(when), one[0].age(when)))
        if product.state is not State.CURRENT:
            return f"calibration {row.number}: {product.root}:{product.path} is {product.state.value}"
        return [InputRow(plan.name, product.sha256, product, maker, row.told(when))]
    if plan.optional:
        return []
    if when is None:
        return f"the item has no {plan.at}, so no calibration {plan.type!r} can be chosen"
    wanted = f", with {plan.selector} {selector!r}" if plan.selector else ""
    near = f", or within {plan.within:g} s of it" if plan.within else ""
    own = "; what the item itself certifies later in its route does not count" if plan.apart else ""
    return f"no certified calibration {plan.type!r} is valid at the item's {plan.at}, {clock.text(when)}{near}{wanted}{own}"


def _record(item: Item, members: Sequence[str], files: int, measures: Mapping[str, Any]) -> dict[str, Any]:
    box = item.footprint
    return {
        "key": item.key,
        "kind": item.kind,
        "attributes": dict(item.attributes),
        "time": [item.span.begin, item.span.end] if item.span else None,
        "footprint": [box.west, box.south, box.east, box.north] if box else None,
        "members": list(members),
        "files": files,
        "measures": dict(measures),
    }


def moment_of(item: Item, at: str) -> float | None:
    """The item's ``time.begin``, ``time.mid`` or ``time.end`` in seconds, None if it has no time."""
    if item.span is None:
        return None
    return {"time.begin": item.span.begin, "time.mid": item.span.mid, "time.end": item.span.end}[at]
