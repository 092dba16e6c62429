"""Acting on a site: what operators and scientists do to items and their work.

Each verb is one transaction; of a change that touches very much work it is the first, and the others follow.
"""

import copy
import getpass
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

from towpath.app import health
from towpath.app.looking import Looking
from towpath.base import clock, states
from towpath.base.errors import NotFoundError, StateError, UsageError
from towpath.base.hashing import content
from towpath.base.model import Flag, Item, Product
from towpath.base.spacetime import Box, Span
from towpath.base.template import render
from towpath.contracts.catalog import Transaction
from towpath.contracts.definition import GATHER, Definition, KindPlan, SourcePlan
from towpath.flow import group, register
from towpath.flow import plan as planning
from towpath.flow import reconcile as disk
from towpath.flow.plan import Planned
from towpath.flow.publish import approve

T = TypeVar("T")

_ANSWERED_BY = {
    "publish": ("a publication that waits for a person", "towpath publish {name}"),
    "gate": ("a gate", "towpath approve {name}"),
    "handoff": ("handed to people", "towpath orders list --item {name}"),
}

TO_TRY_AGAIN = (states.Work.FAILED, states.Work.POISONED, states.Work.STOPPED)
_PART = 5000  # finished work that one change takes back
_ROUTED = 100  # items that get another route in one transaction: others are to get their turn (R4)


class Acting(Looking):
    """The verbs that act."""

    _who = ""
    _guards: Sequence[Callable[[Transaction], None]] = ()

    @property
    def who(self) -> str:
        """In whose name it acts: as the events tell."""
        return self._who or user()

    def by(self, who: str) -> Self:
        """The same site, acting in the name of somebody else than the user of this process."""
        other = copy.copy(self)
        other._who = who
        return other

    def provided(self, guard: Callable[[Transaction], None]) -> Self:
        """The same site, whose next act is done only if `guard` raises nothing, asked in the same transaction."""
        other = copy.copy(self)
        other._guards = (*self._guards, guard)
        return other

    def _write(self, work: Callable[[Transaction], T]) -> T:
        """What a transaction returns, when all that follows from it is done."""
        guards, self._guards = self._guards, ()

        def guarded(tx: Transaction) -> T:
            for guard in guards:
                guard(tx)
            return work(tx)

        result = self.catalog.write(guarded if guards else work)
        self._spread()
        return result

    def _spread(self) -> None:
        """Take changes that touch very much work to their end; a daemon that runs goes on with them too."""
        with self.catalog.read() as view:
            is_spreading = view.spreading()
        while is_spreading:
            is_spreading = self.catalog.write(lambda tx: tx.spread())

    def submit(self, kind: str, items: Sequence[Mapping[str, Any]], *, priority: int = 0) -> list[int]:
        """Register items of a kind that has a source of kind ``submit``; known keys change nothing.

        Parameters
        ----------
        kind
            ``pipeline/kind``, or the kind alone where that is unique.
        items
            Each a table with ``key``, and optionally ``attributes``, ``time`` (one moment or two), ``footprint`` (west,
            south, east, north in degrees) and ``files`` (paths below a root, registered as raw files where they are).
        priority
            Higher runs first.

        Returns
        -------
        list of int
            The items' ids, in order.

        Raises
        ------
        UsageError
            If the kind cannot be submitted to, or a file lies below no root.
        StateError
            If the source is paused.
        """
        plan, source = self._submittable(kind)
        self._refuse_paused(source)
        ids_: list[int] = []
        for start in range(0, len(items), 1000):
            part = [
                submitted(plan, item, str(source.settings["key"])) for item in items[start : start + 1000]
            ]
            raw = [self._raw_files(source, table) for table in items[start : start + 1000]]
            definition = self.definitions[plan.pipeline]
            ids_ += self._write(
                partial(
                    _submit,
                    definition=definition,
                    plan=plan,
                    items=part,
                    raw=raw,
                    priority=priority,
                    who=self.who,
                )
            )
        return ids_

    def _refuse_paused(self, source: SourcePlan) -> None:
        with self.catalog.read() as view:
            (found,) = health.read(view, [source])
        if found.paused:
            why = f": {found.why}" if found.why else ""
            raise StateError(
                f"the source {found.whole_name} is paused by {found.paused}{why}; resume it first"
            )

    def _submittable(self, kind: str) -> tuple[KindPlan, SourcePlan]:
        found = [
            (definition.kinds[source.item], source)
            for definition in self.definitions.values()
            for source in definition.sources.values()
            if source.kind == "submit" and kind in (source.item, f"{definition.pipeline}/{source.item}")
        ]
        if len(found) != 1:
            raise UsageError(f"{kind!r}: {len(found)} sources of kind submit take it; expected exactly one")
        return found[0]

    def _raw_files(self, source: SourcePlan, table: Mapping[str, Any]) -> list[Product]:
        found = []
        for name in table.get("files", ()):
            path = Path(name).absolute()
            above = [
                (len(place), r) for r, place in self._parts.places.items() if str(path).startswith(place)
            ]
            if not above:
                raise UsageError(
                    f"{path}: lies below no root; roots are {', '.join(sorted(self._parts.places))}"
                )
            if not path.exists():
                raise UsageError(f"{path}: there is no such file")
            root = max(above)[1]
            made, relative = content(path), self.storage.relative(root, path)
            found.append(
                Product(
                    0,
                    "",
                    "file",
                    path.name,
                    source.raw_type,
                    root,
                    relative,
                    made.size,
                    made.mtime_ns,
                    made.sha256,
                    made.tree,
                )
            )
        return found

    def _works(self, name: str, stage: str = "", *, in_states: Sequence[states.Work] = ()) -> list[int]:
        with self.catalog.read() as view:
            item = self._find(view, name)
            rows = view.work([item.id])[item.id]
        if stage and stage not in {row.stage for row in rows}:
            raise NotFoundError(
                f"{item.name} has no stage {stage!r}; its stages are {', '.join(r.stage for r in rows)}"
            )
        return [
            row.id
            for row in rows
            if (row.stage == stage if stage else row.stage != GATHER)
            and (not in_states or row.state in in_states)
        ]

    def retry(self, name: str, stage: str = "", *, why: str = "") -> int:
        """Try failed, poisoned and stopped work of an item again; returns how many stages."""
        works = self._works(name, stage, in_states=TO_TRY_AGAIN)
        return self._write(lambda tx: tx.retry(works, self.who, why))

    def rerun(self, name: str, stage: str = "", *, why: str = "asked for") -> int:
        """Run a stage (default: the first ones) again even if nothing changed, and all after it that changes by it."""
        with self.catalog.read() as view:
            item = self._find(view, name)
        first = [plan.name for plan in self.definitions[item.pipeline].kinds[item.kind].first]
        works = (
            self._works(name, stage) if stage else [work for one in first for work in self._works(name, one)]
        )

        def transact(tx: Transaction) -> int:
            tx.event("asked to run again", item=item.id, stage=stage, who=self.who, why=why)
            return tx.revise(works, why, force=True)

        return self._write(transact)

    def stop(self, name: str, stage: str = "", *, why: str = "") -> int:
        """Stop work of an item; what runs is ended."""
        stoppable = (states.Work.WAITING, states.Work.READY, states.Work.RUNNING)
        works = self._works(name, stage, in_states=stoppable)
        self._write(lambda tx: tx.stop(works, self.who, why))
        return len(works)

    def hold(self, name: str, stage: str = "", *, why: str = "") -> int:
        """Hold work of an item that has not begun."""
        works = self._works(
            name, stage, in_states=(states.Work.WAITING, states.Work.READY, states.Work.FAILED)
        )
        return self._write(lambda tx: tx.hold(works, why, self.who))

    def release(self, name: str, stage: str = "", *, accept: bool = False, why: str = "") -> int:
        """Release held work; with `accept`, what a rule held is done as it is.

        An item or group that waits to be complete (stage ``@gather``) is taken as it is with `accept`.

        Raises
        ------
        StateError
            If the stage is a publication, a gate or a hand-off: those have verbs of their own.
        """
        if stage == GATHER and accept:
            return self.close_item(name, why=why)
        works = self._works(name, stage, in_states=(states.Work.HELD,))
        service = self._services(name)
        asked = [work for work in works if service.get(work) in _ANSWERED_BY]
        if asked and stage:
            what, by = _ANSWERED_BY[service[asked[0]]]
            raise StateError(f"{name} {stage} is {what}: `{by.format(name=name)}`")
        others = [work for work in works if work not in asked]
        return self._write(lambda tx: tx.release(others, self.who, why, accept=accept))

    def _services(self, name: str) -> dict[int, str]:
        """The handler of each of the item's pieces of work that the daemon does itself."""
        with self.catalog.read() as view:
            item = self._find(view, name)
            rows = view.work([item.id])[item.id]
        stages = self.definitions[item.pipeline].kinds[item.kind].stages
        return {row.id: stages[row.stage].service for row in rows if row.stage in stages}

    def close_item(self, name: str, *, why: str = "") -> int:
        """Take an item or group that waits for files or members as complete; returns how many became complete by it.

        Raises
        ------
        StateError
            If it does not wait to be complete.
        """
        item = self.find(name)
        definition = self.definitions[item.pipeline]
        kind = definition.kinds[item.kind]
        if not kind.gathered:
            raise StateError(f"{item.name} is complete as soon as it is registered")

        def transact(tx: Transaction) -> int:
            if kind.group is not None:
                return len(group.close(tx, definition, item.id, self.who, why))
            done = register.close(tx, kind, item.id, self.who, why)
            return len(done) + len(group.gather(tx, definition, kind.name, "", done))

        return self._write(transact)

    def prioritise(self, name: str, priority: int, stage: str = "", *, why: str = "") -> int:
        """Let work of an item that has not begun go before (higher) or after others; returns how many stages."""
        works = self._works(name, stage, in_states=(states.Work.WAITING, states.Work.READY))
        return self._write(lambda tx: tx.set_priority(works, priority, self.who, why))

    def flag(self, name: str, value: str, *, part: Mapping[str, Any] | None = None, comment: str = "") -> int:
        """Put a quality mark on an item or part of it, such as ``{"feed": 3}``."""
        item = self.find(name)
        flag = Flag(item.id, part or {}, value, comment, self.who, clock.now())
        return self._write(lambda tx: tx.add_flag(flag))

    def pin(
        self, name: str, stage: str = "", *, why: str = "", until: float | None = None, former: bool = False
    ) -> int:
        """Keep the products of an item (or of a stage of it) whatever retention says; returns how many.

        Parameters
        ----------
        name, stage
            Whose products.
        why
            The reason; it is kept.
        until
            Until when, in seconds since the epoch; None: until `unpin`.
        former
            Also those that newer ones superseded and whose bytes are still there.
        """
        products = self._pinnable(name, stage, former)
        if not products:
            raise StateError(f"{name}{f' {stage}' if stage else ''} has no products to keep")
        return self._write(lambda tx: tx.pin(products, self.who, why, until))

    def unpin(self, name: str, stage: str = "", *, everybody: bool = False) -> int:
        """Take your pins (or those of `everybody`) off an item's products again; returns how many."""
        item = self.find(name)
        with self.catalog.read() as view:
            products = [pin.product.id for pin in view.pins([item.id]) if stage in ("", pin.product.stage)]
        return self._write(lambda tx: tx.unpin(products, "" if everybody else self.who))

    def _pinnable(self, name: str, stage: str, former: bool) -> list[int]:
        left = (states.Product.SUPERSEDED, states.Product.TRASH) if former else ()
        stages = [stage] if stage else None
        with self.catalog.read() as view:
            item = self._find(view, name)
            found = view.products([item.id], states=disk.LIVE, stages=stages)
            found += view.products([item.id], states=left, stages=stages) if left else []
        return [product.id for product in found]

    def adopt(self, name: str, stage: str, *, why: str) -> int:
        """Declare a stage's result good as it is: files changed by someone else, or work that is stale.

        Raises
        ------
        StateError
            If there is nothing to adopt.
        """
        with self.catalog.read() as view:
            item = self._find(view, name)
            live = view.products([item.id], states=disk.LIVE, stages=[stage])
        disk.check_these(self.catalog, self.storage, live)
        with self.catalog.read() as view:
            changed = view.products([item.id], states=(states.Product.CHANGED,), stages=[stage])
        if changed:
            for product in changed:
                self._adopt_bytes(product, why)
            return len(changed)
        explained = self.explain(name, stage)[0]
        if explained.key is None or not explained.differences:
            raise StateError(
                f"{item.name} {stage}: no file was changed and nothing is stale, so there is nothing to adopt"
            )
        self._write(lambda tx: tx.adopt_stale(explained.work, explained.key or b"", self.who, why))
        return 1

    def _adopt_bytes(self, product: Product, why: str) -> None:
        found = content(self.place(product))
        self._write(lambda tx: tx.adopt(product.id, found, self.who, why))

    def apply(self, *, pipeline: str = "", write: bool = True) -> list[Planned]:
        """Bring finished work to the active pipeline files: new stages, left ones, changed parameters and versions."""
        done: list[Planned] = []
        for name, definition in self.definitions.items():
            if pipeline and name != pipeline:
                continue
            done += self._apply(definition, write)
        return done

    def _apply(self, definition: Definition, write: bool) -> list[Planned]:
        with self.catalog.read() as view:
            changes = planning.stale(view, definition)
            routes = {kind.name: view.unrouted(kind) for kind in definition.kinds.values()}
        for kind, (items, gone) in routes.items():
            plan = definition.kinds[kind]
            changes += [
                Planned(f"{kind}/…", "", "apply", f"{len(items)} items get stages that are new in the route")
            ] * bool(items)
            changes += [Planned(f"{kind}/…", "", "apply", f"{len(gone)} stages left the route")] * bool(gone)
            for part in _parts(items, _ROUTED) if write else ():
                self._write(lambda tx, kind=plan, part=part: tx.add_route(kind, part))  # type: ignore[misc]
            for part in _parts(gone, _ROUTED) if write else ():
                self._write(lambda tx, part=part: tx.retire(part, "left the route"))  # type: ignore[misc]
        works = [change.work for change in changes if change.work]
        for part in _parts(works, _PART) if write else ():
            self._write(lambda tx, part=part: tx.revise(part, "the pipeline file changed"))  # type: ignore[misc]
        return changes

    def reload(self) -> dict[str, str]:
        """Look whether pipeline files changed; by pipeline "" (it is in force now) or the error that kept the old one."""
        told = self._parts.reload()
        if told:
            in_force = sorted(name for name, wrong in told.items() if not wrong)
            self._write(lambda tx: tx.event("asked to reload", who=self.who, in_force=in_force))
        return told

    def publish(self, name: str, *, retry: bool = False, why: str = "") -> int:
        """Let publications of an item that wait for a person go on; with `retry`, try failed, poisoned and stopped ones again.

        Raises
        ------
        StateError
            If the item has no publication that waits (or, with `retry`, failed).
        """
        ended = (states.Work.FAILED, states.Work.POISONED, states.Work.STOPPED)
        wanted = (states.Work.HELD, *ended) if retry else (states.Work.HELD,)
        service = self._services(name)
        works = [work for work in self._works(name, in_states=wanted) if service.get(work) == "publish"]

        def transact(tx: Transaction) -> int:
            for work in works:
                if tx.work_row(work).state is states.Work.HELD:
                    approve(tx, work, self.who, why)
                else:
                    tx.retry([work], self.who)
            return len(works)

        if not works:
            hint = "" if retry else "; failed ones go on with --retry"
            raise StateError(f"{name} has no publication that waits for a person{hint}")
        return self._write(transact)


def submitted(plan: KindPlan, table: Mapping[str, Any], template: str = "") -> Item:
    """The item that a table with ``key``, ``attributes``, ``time`` and ``footprint`` describes.

    Raises
    ------
    UsageError
        If it has no key and no attributes that give it one by the template, or its time or footprint is none.
    """
    key = str(table.get("key") or "") or _key(template, table)
    when = table.get("time") or ()
    try:
        times = [clock.seconds(one) for one in ([when] if isinstance(when, str | float | int) else when)]
        span = Span(times[0], times[-1]) if times else None
        for one in times:
            clock.text(one)  # one that is in no calendar cannot be told
        box = Box(*table["footprint"]) if table.get("footprint") else None
        item = Item(plan.pipeline, plan.name, key, dict(table.get("attributes") or {}), span, box)
        return plan.placed(item)
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise UsageError(f"item {key!r}: {error}") from None


def _key(template: str, table: Mapping[str, Any]) -> str:
    try:
        key = render(template, table.get("attributes") or {}) if template else ""
    except LookupError:
        key = ""
    if not key:
        asked = f", or the attributes that {template!r} asks for" if template else ""
        raise UsageError(f"found the item {dict(table)!r} without a key; expected one in each{asked}")
    return key


def _submit(
    tx: Transaction,
    definition: Definition,
    plan: KindPlan,
    items: Sequence[Item],
    raw: Sequence[Sequence[Product]],
    priority: int,
    who: str,
) -> list[int]:
    known = tx.add_items(plan, items, priority=priority)
    files = [
        replace(product, item=item) for item, products in zip(known, raw, strict=True) for product in products
    ]
    if files:
        tx.add_raw(files)
    if definition.groups_of(plan.name, ""):
        group.gather(tx, definition, plan.name, "", known)
    tx.event("submitted", pipeline=plan.pipeline, kind=plan.name, count=len(items), who=who)
    return known


def _parts(numbers: Sequence[int], size: int) -> list[Sequence[int]]:
    return [numbers[start : start + size] for start in range(0, len(numbers), size)]


def user() -> str:
    """Who acts."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
