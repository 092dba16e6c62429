"""Register: arrivals become items and their raw files, in one transaction for up to `BATCH` of them.

Promises that a file is registered once, that a join never depends on what was joined before (its anchor is frozen),
and that what is not registered is set aside with the reason, never lost. Never touches a disk.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from towpath.base.errors import NotFoundError
from towpath.base.model import Item, Product, WorkRow
from towpath.base.states import Outcome, Work
from towpath.base.states import Product as ProductState
from towpath.contracts.catalog import Claimed, Slot, Transaction
from towpath.contracts.definition import GATHER, Definition, KindPlan, SourcePlan
from towpath.contracts.executor import Report
from towpath.contracts.source import Arrival, Asset, Intake, Request
from towpath.flow.register.anchors import Anchors, Name, anchors_within, rule_of

__all__ = [
    "BATCH",
    "Registered",
    "Standing",
    "admit",
    "anchors_within",
    "answered",
    "aside",
    "close",
    "judge",
    "judge_time_out",
    "problems",
    "register",
    "time_out",
    "why_aside",
]

BATCH = 256
_OUTPUT = "file"
_SHARDS = 64
_KEPT_TEXTS = 1000
_CHUNK = 1000
_LIVE = (ProductState.CURRENT, ProductState.MISSING, ProductState.CHANGED)
_OPEN = (Work.WAITING, Work.READY, Work.RUNNING, Work.HELD)
_REGISTERED = frozenset({"add", "revise", "replace", "same", "moved"})


@dataclass(frozen=True, slots=True)
class Registered:
    """What one transaction did: items that are new, complete now or changed; files registered, doubled, set aside."""

    new: tuple[int, ...] = ()
    complete: tuple[int, ...] = ()
    changed: tuple[int, ...] = ()
    files: int = 0
    duplicates: int = 0
    aside: int = 0


# ---- decisions


@dataclass(frozen=True, slots=True)
class Standing:
    """How an item stands when a file arrives: its raw files by part, and whether work went on without further ones."""

    parts: Mapping[str, Product] = field(default_factory=dict)
    is_begun: bool = False


def judge(late: str, standing: Standing, root: str, intake: Intake) -> tuple[str, str]:
    """What to do with one file, and why.

    ``add`` (a new part), ``revise`` (a new part after work began), ``replace`` (these bytes for the part's), ``same``
    (known bytes at their known place), ``moved`` (known bytes whose old place is not good any more); or set aside as
    ``duplicate``, ``late``, or ``changed`` (registered bytes were overwritten after work began).
    """
    old = standing.parts.get(intake.part)
    what = f"part {intake.part!r} of {intake.key!r}" if intake.part else repr(intake.key)
    is_held = standing.is_begun and late == "hold"
    if old is None:
        if is_held:
            return "late", f'{what} came after work on the item began, and late = "hold"'
        return ("revise" if standing.is_begun else "add"), ""
    is_same_place = (old.root, old.path) == (root, intake.arrival.path)
    if old.sha256 == intake.sha256:
        if is_same_place:
            return "same", ""
        if old.state is not ProductState.CURRENT:
            return "moved", ""
        return "duplicate", f"{what}: the same bytes are registered as {old.root}:{old.path}"
    if not is_held:
        return "replace", ""
    if is_same_place:
        return (
            "changed",
            f'{what}: its bytes were overwritten after work on the item began, and late = "hold"',
        )
    return (
        "late",
        f'{what}: other bytes than {old.root}:{old.path}, after work on the item began, and late = "hold"',
    )


def judge_time_out(plan: SourcePlan, count: int) -> tuple[Outcome, str]:
    """What becomes of an item that is not complete in time, and the reason; `count` files are there."""
    reason = f"time-out: {count} of {plan.complete} files after {plan.timeout:g} s"
    return {"process": Outcome.DONE, "reject": Outcome.REJECTED}.get(plan.on_timeout, Outcome.HELD), reason


# ---- folder sources


def register(
    tx: Transaction, definition: Definition, plan: SourcePlan, intakes: Sequence[Intake]
) -> Registered:
    """Register hashed intakes of a folder source, at most `BATCH`, in this transaction.

    Items that are `complete` now are to be given to the groups that take items as they are registered.
    """
    if len(intakes) > BATCH:
        raise ValueError(f"{len(intakes)} arrivals in one transaction; at most {BATCH}")
    return _Registration(tx, definition, plan).take(intakes)


def admit(tx: Transaction, definition: Definition, plan: SourcePlan, path: str, key: str) -> Registered:
    """A person says which item a file that was set aside belongs to: it is registered there, late or not.

    Raises
    ------
    NotFoundError
        If no such file was set aside, or there is no such item.
    """
    item = tx.find(plan.pipeline, plan.item, key)
    if item is None:
        raise NotFoundError(f"no item {plan.pipeline}/{plan.item}/{key}")
    entry = _Aside(tx, plan).take_back(path)
    intake = Intake(
        Arrival(path, entry["size"], entry["mtime_ns"]),
        key,
        entry["part"],
        sha256=bytes.fromhex(entry["sha256"]),
    )
    tx.event("admitted", item=item.id, source=plan.name, path=path)
    return _Registration(tx, definition, replace(plan, late="revise")).put([intake], {key: item.id})


def time_out(tx: Transaction, definition: Definition, plan: SourcePlan, claimed: Claimed) -> tuple[int, ...]:
    """The `GATHER` row of an item fell due: process, hold or reject it as the source says.

    Returns the items that are complete now.
    """
    kind, row = definition.kinds[plan.item], tx.work_row(claimed.work)
    if (row.state, row.token) != (Work.RUNNING, claimed.token):
        return ()  # it was closed or became complete meanwhile
    outcome, reason = judge_time_out(plan, len(tx.products([claimed.item], stages=("",))))
    if outcome is Outcome.DONE:
        tx.event("timed-out", item=claimed.item, stage=GATHER, why=reason)
        tx.gathered(kind, claimed.item)
        return (claimed.item,)
    report = Report(claimed.work, claimed.token, outcome, began=tx.now(), reasons=(reason,))
    tx.complete(kind, kind.gather, [(claimed, report)])
    return ()


def close(tx: Transaction, kind: KindPlan, item: int, who: str, why: str = "") -> tuple[int, ...]:
    """A person says that the item is complete as it is; returns items complete now."""
    tx.event("closed", item=item, stage=GATHER, who=who, why=why)
    tx.gathered(kind, item)
    return (item,)


# ---- fetch sources


def answered(
    tx: Transaction,
    definition: Definition,
    plan: SourcePlan,
    answers: Sequence[tuple[Request, Sequence[Asset]]],
) -> Registered:
    """Register requests as items whose attributes hold the request and the assets that answer it.

    Assets that changed change the item's facts, so that its fetch runs again; what was fetched and is no longer offered
    stays as it is.
    """
    kind = definition.kinds[plan.item]
    gone = {request.key for request, assets in answers if not assets}
    items = [kind.placed(_asked(plan, request, assets)) for request, assets in answers]
    keys = [item.key for item in items]
    known = tx.items(pipeline=plan.pipeline, kind=plan.item, keys=keys, limit=len(keys)) if keys else []
    before = {item.key: item for item in known}
    fresh = [item for item in items if item.key not in before]
    new = tx.add_items(kind, fresh) if fresh else []
    changed = []
    for item in items:
        old = before.get(item.key)
        if (
            old
            and item.key not in gone
            and (old.attributes, old.span, old.footprint) != (item.attributes, item.span, item.footprint)
        ):
            tx.update_item(old.id, attributes=item.attributes, span=item.span, footprint=item.footprint)
            tx.event("changed assets", item=old.id, source=plan.name)
            changed.append(old.id)
    return Registered(new=tuple(new), complete=tuple(new), changed=tuple(changed))


def _asked(plan: SourcePlan, request: Request, assets: Sequence[Asset]) -> Item:
    span, box = request.span, request.footprint
    asked = {
        "key": request.key,
        "params": dict(request.params),
        "time": [span.begin, span.end] if span else None,
        "footprint": [box.west, box.south, box.east, box.north] if box else None,
    }
    constants = dict(plan.settings.get("attributes") or {})
    for table in plan.settings.get("requests") or ():
        if table["key"] == request.key:
            constants |= table.get("attributes") or {}
    attributes = {**constants, "request": asked, "assets": [asdict(asset) for asset in assets]}
    return Item(plan.pipeline, plan.item, request.key, attributes, span, box)


# ---- what is not registered


def problems(tx: Transaction, plan: SourcePlan, texts: Sequence[str]) -> int:
    """Tell what a source could not offer or decide, an event ``problem`` each, once over restarts; returns how many."""
    if not texts:
        return 0
    slot = tx.slot(rule_of(plan), "problems")
    told = list(slot.data.get("texts", ()))
    fresh = sorted(set(texts) - set(told))
    for text in fresh:
        tx.event("problem", pipeline=plan.pipeline, source=plan.name, why=text)
    if fresh:
        tx.set_slot(slot, {"texts": [*told, *fresh][-_KEPT_TEXTS:]})
    return len(fresh)


def aside(tx: Transaction, plan: SourcePlan) -> dict[str, tuple[int, int]]:
    """The files that were set aside, for the source to pass over: path → (size, mtime_ns)."""
    return {path: (entry["size"], entry["mtime_ns"]) for path, entry in _Aside(tx, plan).entries()}


def why_aside(tx: Transaction, plan: SourcePlan) -> dict[str, str]:
    """The files that were set aside, and why each."""
    return {path: f"{entry['what']}: {entry['why']}" for path, entry in _Aside(tx, plan).entries()}


class _Aside:
    """The notes of files that were set aside, in slots of bounded size; the last note of a path counts."""

    def __init__(self, tx: Transaction, plan: SourcePlan) -> None:
        self.tx, self.rule = tx, rule_of(plan)
        self.head = tx.slot(self.rule, "aside")
        self.slots = [self._slot(number) for number in range(self.head.data.get("chunks", 1))]

    def _slot(self, number: int) -> Slot:
        return self.tx.slot(self.rule, f"aside {number}")

    def entries(self) -> Iterable[tuple[str, Mapping[str, Any]]]:
        found: dict[str, Mapping[str, Any]] = {}
        for slot in self.slots:
            found |= slot.data
        return sorted(found.items())

    def note(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        last = self.slots[-1]
        if len(last.data) >= _CHUNK:
            last = self._slot(len(self.slots))
            self.tx.set_slot(self.head, {"chunks": len(self.slots) + 1})
        self.tx.set_slot(last, {**last.data, **entries})

    def take_back(self, path: str) -> Mapping[str, Any]:
        found = dict(self.entries()).get(path)
        if found is None:
            raise NotFoundError(f"{path!r} was not set aside by {self.rule}; `towpath events` tells what was")
        for slot in self.slots:
            if path in slot.data:
                self.tx.set_slot(slot, {name: entry for name, entry in slot.data.items() if name != path})
        return found


# ---- the work of one transaction


class _Registration:
    """Slots are locked first, sorted by name; then items; then work."""

    def __init__(self, tx: Transaction, definition: Definition, plan: SourcePlan) -> None:
        self.tx, self.plan = tx, plan
        self.kind: KindPlan = definition.kinds[plan.item]
        self.root = str(plan.settings["root"])
        self.anchors = Anchors(tx, plan)
        self.is_named = bool(plan.settings.get("named_by"))
        self.called: dict[str, Intake] = {}  # of new items by key: the file that they are called after
        self.uncalled: list[tuple[str, Intake]] = []  # and the better one, if its name was taken
        self.set_aside: dict[str, dict[str, Any]] = {}
        self.noted: dict[str, Mapping[str, Any]] | None = None
        self.new: set[int] = set()
        self.done = Registered()

    def take(self, intakes: Sequence[Intake]) -> Registered:
        by_path = {intake.arrival.path: intake for intake in intakes}
        ordered = sorted(by_path.values(), key=lambda intake: (intake.when or 0.0, intake.arrival.path))
        keyed = self._join(ordered) if self.plan.join_within else self._lock(ordered)
        done = self.put(keyed, self._items(keyed), {intake.arrival.path: intake for intake in ordered})
        self.anchors.write()
        return done

    # ---- which item
    def _lock(self, intakes: Sequence[Intake]) -> list[Intake]:
        if self.kind.gathered:  # two transactions must not both count the files of one item
            for shard in sorted({zlib.crc32(intake.key.encode()) % _SHARDS for intake in intakes}):
                self.tx.slot(rule_of(self.plan), f"key {shard:02d}")
        return list(intakes)

    def _join(self, intakes: Sequence[Intake]) -> list[Intake]:
        self.anchors.lock(intakes)
        joined = [one for intake in intakes if (one := self._nearest(intake))]
        if not self.is_named:
            return joined
        own = {intake.arrival.path: intake for intake in intakes}
        names = self._names([(one.key, own[one.arrival.path]) for one in joined])
        return [replace(one, key=names[one.key]) for one in joined if self._is_called(one, names[one.key])]

    def _nearest(self, intake: Intake) -> Intake | None:
        within = self.plan.join_within
        found = self.anchors.near(intake)
        if not found and self.is_named and self.anchors.is_fresh(intake.key):
            self._is_called(intake, "")
            return None
        if not found:
            self.anchors.begin(intake, is_named=self.is_named)
            return intake
        key = found[0] if len(found) == 1 else self._holder(intake, found)
        if key is None:
            self._aside(
                intake, "ambiguous", f"within {within:g} s of more than one item: {' and '.join(found)}"
            )
            return None
        return replace(intake, key=key)

    def _holder(self, intake: Intake, keys: Sequence[str]) -> str | None:
        """The item, of several, that has this file already: it was joined before the others were there."""
        for item in self.tx.items(
            pipeline=self.plan.pipeline, kind=self.plan.item, keys=keys, limit=len(keys)
        ):
            files = self.tx.products([item.id], stages=("",), states=_LIVE)
            if any((file.root, file.path) == (self.root, intake.arrival.path) for file in files):
                return item.key
        return None

    def _items(self, intakes: Sequence[Intake]) -> dict[str, int]:
        first = {intake.key: intake for intake in reversed(intakes)} | self.called
        if not first:
            return {}
        known = self.tx.items(
            pipeline=self.plan.pipeline, kind=self.plan.item, keys=list(first), limit=len(first)
        )
        ids = {item.key: item.id for item in known}
        fresh = [
            item for key, intake in reversed(first.items()) if key not in ids and (item := self._new(intake))
        ]
        added = self.tx.add_items(self.kind, fresh) if fresh else []
        self.new = set(added)
        self.done = replace(self.done, new=tuple(added))
        ids |= {item.key: number for item, number in zip(fresh, added, strict=True)}
        for key, better in self.uncalled:
            if key in ids:
                self._not_renamed(ids[key], key, better)
        return ids

    def _new(self, intake: Intake) -> Item | None:
        item = Item(self.plan.pipeline, self.plan.item, intake.key, intake.attributes, intake.span)
        try:
            return self.kind.placed(item)
        except ValueError as error:
            self._aside(intake, "problem", str(error))
            return None

    # ---- what it is called
    def _names(self, joined: Sequence[tuple[str, Intake]]) -> dict[str, str]:
        """The key of each item that files were joined to, by the key of its anchor; "" where it can have none.

        An item that begins is called after the best of its files that are here, or, where another item is called so,
        after its first one.
        """
        files: dict[str, list[Intake]] = {}
        for key, intake in joined:
            files.setdefault(key, []).append(intake)
        fresh = [key for key in files if self.anchors.is_fresh(key)]
        keys = [key for new in fresh for key in {new, *(intake.key for intake in files[new])}]
        taken = self._taken(keys) if keys else set()
        names = {key: key for key in files}
        for key in fresh:
            best, first = min(files[key], key=Name.of), files[key][0]
            called = next((one for one in (best, first) if one.key not in taken), None)
            names[key] = called.key if called else ""
            if called:
                taken.add(called.key)
                self.called[called.key] = called
                self.uncalled += [(called.key, best)] * (called is not best)
                self.anchors.call(key, replace(Name.of(best), key=called.key))
            else:
                self.anchors.forget(key)
        return names

    def _taken(self, keys: Sequence[str]) -> set[str]:
        known = self.tx.items(pipeline=self.plan.pipeline, kind=self.plan.item, keys=keys, limit=len(keys))
        return {item.key for item in known}

    def _is_called(self, intake: Intake, name: str) -> bool:
        if not name:
            self._aside(intake, "ambiguous", f"{intake.key!r} is the key of an item that it is not near to")
        return bool(name)

    def _rename(self, item: int, files: Sequence[Intake], rows: Sequence[WorkRow]) -> None:
        """Call an item that is still gathered after the best of the files that were added to it now."""
        owner = self.tx.item(item)
        former, best = self.anchors.name(owner.key), min(files, key=Name.of)
        gather = next((row for row in rows if row.stage == GATHER), None)
        is_open = gather is not None and gather.state in (Work.WAITING, Work.READY) and not _is_begun(rows)
        if former is None or not is_open or not Name.of(best) < former:
            return
        why, fresh = "", None
        try:
            attributes = {**owner.attributes, **best.attributes}
            fresh = self.kind.placed(Item(owner.pipeline, owner.kind, best.key, attributes, best.span))
        except ValueError as error:
            why = str(error)
        is_renamed = fresh is not None and self.tx.rename(item, fresh)
        self.anchors.call(owner.key, Name.of(best) if is_renamed else replace(Name.of(best), key=owner.key))
        if not is_renamed:
            self._not_renamed(item, owner.key, best, why)
        elif best.key != owner.key:
            told = {"source": self.plan.name, "from": owner.key, "to": best.key, "path": best.arrival.path}
            self.tx.event("renamed", item=item, **told)

    def _not_renamed(self, item: int, key: str, better: Intake, why: str = "") -> None:
        told = {"source": self.plan.name, "from": key, "to": better.key, "path": better.arrival.path}
        self.tx.event("not renamed", item=item, why=why or f"another item is called {better.key!r}", **told)

    # ---- which file
    def put(
        self, intakes: Sequence[Intake], ids: Mapping[str, int], own: Mapping[str, Intake] | None = None
    ) -> Registered:
        """Register the files of known items, and see what that completes. `own` are the files as they name themselves."""
        items = sorted(set(ids.values()))
        work = self.tx.work(items)
        parts = self._parts(items)
        begun = {item: _is_begun(work[item]) for item in items}
        add: list[Product] = []
        late: list[int] = []
        named: dict[int, list[Intake]] = {}
        for intake in (intake for intake in intakes if intake.key in ids):
            item = ids[intake.key]
            action, why = judge(self.plan.late, Standing(parts[item], begun[item]), self.root, intake)
            if action in _REGISTERED:
                add.append(self._product(item, intake))
                parts[item][intake.part] = add[-1]
                late += [item] * (action == "revise")
                if self.is_named and own and item not in self.new:
                    named.setdefault(item, []).append(own[intake.arrival.path])
            else:
                if action == "changed":
                    self.tx.mark([parts[item][intake.part].id], ProductState.CHANGED, why)
                self._aside(intake, action, why, item)
        self.tx.add_raw(add)
        for item, files in named.items():
            self._rename(item, files, work[item])
        self._revise(sorted(set(late)), work)
        complete = [
            item for item in items if self._completes(item, len(parts[item]), work[item], item in late)
        ]
        if self.set_aside:
            _Aside(self.tx, self.plan).note(self.set_aside)
        self.done = replace(self.done, files=len(add), complete=tuple(complete))
        return self.done

    def _parts(self, items: Sequence[int]) -> dict[int, dict[str, Product]]:
        found: dict[int, dict[str, Product]] = {item: {} for item in items}
        for product in self.tx.products(items, stages=("",), states=_LIVE) if items else ():
            if product.output == _OUTPUT:
                found[product.item][product.part] = product
        return found

    def _product(self, item: int, intake: Intake) -> Product:
        arrival = intake.arrival
        return Product(
            item=item,
            stage="",
            output=_OUTPUT,
            part=intake.part,
            type=self.plan.raw_type,
            root=self.root,
            path=arrival.path,
            size=arrival.size,
            mtime_ns=arrival.mtime_ns,
            sha256=intake.sha256,
        )

    def _revise(self, items: Sequence[int], work: Mapping[int, Sequence[WorkRow]]) -> None:
        names = {stage.name for stage in self.kind.first}
        rows = [
            row.id
            for item in items
            for row in work[item]
            if (row.stage in names and row.state is not Work.RETIRED)
            or (row.stage == GATHER and row.state is Work.REJECTED)
        ]
        if rows:
            self.tx.revise(rows, "a file came after work began")

    def _completes(self, item: int, count: int, rows: Sequence[WorkRow], is_late: bool) -> bool:
        if not self.kind.gathered:
            return item in self.new
        gather = next((row for row in rows if row.stage == GATHER), None)
        if gather is None or not (gather.state in _OPEN or (is_late and gather.state is Work.REJECTED)):
            return False
        if 0 < self.plan.complete <= count:
            self.tx.gathered(self.kind, item)
            return True
        if item in self.new and self.plan.timeout:
            self.tx.set_due(gather.id, self.tx.now() + self.plan.timeout)
        return False

    # ---- what is set aside
    def _aside(self, intake: Intake, what: str, why: str, item: int = 0) -> None:
        arrival = intake.arrival
        if self.noted is None:
            self.noted = dict(_Aside(self.tx, self.plan).entries())
        entry = {
            "size": arrival.size,
            "mtime_ns": arrival.mtime_ns,
            "sha256": intake.sha256.hex(),
            "part": intake.part,
            "what": what,
            "why": why,
        }
        if self.noted.get(arrival.path) == entry:
            return  # seen twice before the source knew of it
        self.set_aside[arrival.path] = entry
        told = {"source": self.plan.name, "root": self.root, "path": arrival.path, "why": why}
        self.tx.event(what, item=item, pipeline="" if item else self.plan.pipeline, **told)
        double = what == "duplicate"
        self.done = replace(
            self.done, duplicates=self.done.duplicates + double, aside=self.done.aside + (not double)
        )


def _is_begun(rows: Sequence[WorkRow]) -> bool:
    """Whether work on the item was claimed, or it was rejected while it was gathered: a further file comes late."""
    return any(row.token > 0 if row.stage != GATHER else row.state is Work.REJECTED for row in rows)
