"""Group: items become a group of items, decided in the transaction that completes them.

Promises that a member is in exactly the groups that its rule says, that no group exceeds its size, that a group's key
comes from its first member and stays, and that a member that comes too late is held or revises, never lost. Places of
members that are under way are kept, so that it matters little which worker is done first. The slot (rule, partition) is
locked while it decides. Never reads anything but the catalog.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from towpath.base.errors import StateError
from towpath.base.hashing import canonical
from towpath.base.model import Item
from towpath.base.spacetime import cover, hull
from towpath.base.states import Outcome, Work
from towpath.base.template import lookup, render
from towpath.contracts.catalog import Claimed, Slot, Transaction, View
from towpath.contracts.definition import GATHER, Definition, KindPlan
from towpath.contracts.executor import Report
from towpath.contracts.grouping import (
    KEPT,
    Action,
    Extend,
    Group,
    Late,
    Member,
    Partition,
    Start,
    decide,
    fill,
    grown,
    judge_time_out,
)
from towpath.flow.group.facts import Reach, extent_of, facts_of, order_of, place_in
from towpath.flow.group.underway import UnderWay, keeps_places

__all__ = [
    "admit",
    "close",
    "extent_of",
    "facts_of",
    "gather",
    "go_on",
    "order_of",
    "place_in",
    "time_out",
    "waiting",
]

_SOME_WAIT = '%"pending":[{%'  # the text of a partition in which members wait
_MANY = 4  # partitions from which on those under way are read at once

# ---- in the catalog


def gather(
    tx: Transaction, definition: Definition, kind: str, stage_name: str, items: Sequence[int]
) -> list[int]:
    """Give items that have passed a stage ("": were registered) to the groups that take them; returns complete groups.

    Called in the transaction that completes them. Groups of groups follow at once.
    """
    complete: list[int] = []
    for plan in definition.groups_of(kind, stage_name) if items else ():
        done = _Making(tx, definition, plan).add(items)
        complete += [*done, *gather(tx, definition, plan.name, "", done)]
    return complete


def waiting(view: View, definition: Definition) -> list[tuple[KindPlan, str]]:
    """Where members wait who would be grouped now: a place was kept for one that is under way no more; kind and partition."""
    found = []
    for kind in definition.kinds.values():
        grouping = _Grouping(view, definition, kind) if kind.group else None
        for partition in grouping.stale() if grouping else ():
            found.append((kind, partition))
    return found


def go_on(tx: Transaction, definition: Definition, kind: KindPlan, partition: str) -> list[int]:
    """Group who waits in a partition; returns complete groups."""
    done = _Making(tx, definition, kind).go_on(partition)
    return [*done, *gather(tx, definition, kind.name, "", done)]


def time_out(tx: Transaction, definition: Definition, claimed: Claimed) -> list[int]:
    """The `GATHER` row of a group fell due: process, hold or reject it as its plan says; returns complete groups."""
    row = tx.work_row(claimed.work)
    if (row.state, row.token) != (Work.RUNNING, claimed.token):
        return []  # it was closed or became complete meanwhile
    group = tx.item(claimed.item)
    done = _Making(tx, definition, definition.kinds[group.kind]).end(group, claimed)
    return [*done, *gather(tx, definition, group.kind, "", done)]


def close(tx: Transaction, definition: Definition, group: int, who: str, why: str = "") -> list[int]:
    """A person says that a group is complete as it is; returns complete groups.

    Raises
    ------
    StateError
        If it was complete before.
    """
    item = tx.item(group)
    row = next((row for row in tx.work([group])[group] if row.stage == GATHER), None)
    if row is None or row.state in (Work.DONE, Work.REJECTED, Work.RETIRED):
        raise StateError(f"{item.name} is no open group; `towpath show` tells its members and state")
    tx.event("closed", item=group, stage=GATHER, who=who, why=why)
    done = _Making(tx, definition, definition.kinds[item.kind]).end(item)
    return [*done, *gather(tx, definition, item.kind, "", done)]


def admit(tx: Transaction, definition: Definition, group: int, member: int, who: str, why: str = "") -> None:
    """A person adds a member that was held as late: work on the group is done again with it.

    Raises
    ------
    StateError
        If it is no item that the group takes, or the group has its full size.
    """
    item, newcomer = tx.item(group), tx.item(member)
    grouping = _Making(tx, definition, definition.kinds[item.kind])
    of, size = grouping.plan.of, grouping.plan.size
    if (newcomer.pipeline, newcomer.kind) != (item.pipeline, of):
        raise StateError(f"{newcomer.name} is no {of}, and {item.name} is a group of those")
    members = {known.id for known in tx.members(group)}
    if member in members or (size and len(members) >= size):
        raise StateError(
            f"{item.name} has {len(members)} members of {size or 'any number'}; {newcomer.key} is not added"
        )
    tx.event("admitted", item=group, stage=GATHER, member=newcomer.key, who=who, why=why)
    grouping.admit(item, member)


class _Grouping:
    """The groups of one kind, as they are."""

    def __init__(self, view: View, definition: Definition, kind: KindPlan) -> None:
        if kind.group is None:
            raise StateError(f"{kind.pipeline}/{kind.name} is no group of items")
        self.view, self.kind, self.plan = view, kind, kind.group
        self.of = definition.kinds[kind.group.of]
        self.rule = f"group {kind.pipeline}/{kind.name}"
        self.now = view.now()
        self.under_way = (
            UnderWay(view, self.of, self.plan, self._place) if keeps_places(self.of, self.plan) else None
        )

    def stale(self) -> Iterator[str]:
        """The partitions in which members wait who would be grouped now."""
        if self.under_way:
            for partition, data in self.view.noted(self.rule, like=_SOME_WAIT).items():
                if self._judge(partition, _load(data), ())[0]:
                    yield partition

    def _judge(
        self, partition: str, before: Partition, members: Sequence[Member]
    ) -> tuple[list[Action], Partition]:
        """What becomes of who comes and who waits; those under way are looked for where something would."""
        known = self._with_begun(before)
        actions, after = decide(self.plan, known, members)
        found = self.under_way.to(partition, before, members) if actions and self.under_way else []
        fresh = set(self._ungrouped([member.item for member in found]))
        coming = [member for member in found if member.item in fresh]
        return decide(self.plan, known, members, coming) if coming else (actions, after)

    def _place(self, item: Item) -> tuple[str, Member]:
        """The partition that an item belongs to, and it as a member. Raises `LookupError` or `ValueError`."""
        facts = facts_of(item)
        partition = _name([lookup(facts, name) for name in self.plan.by])
        return partition, Member(order_of(self.plan, facts), item.id, self.now)

    def _ungrouped(self, items: Sequence[int]) -> list[int]:
        distinct = list(dict.fromkeys(items))
        if not self.view.groups_of(distinct):
            return distinct
        return [
            item
            for item in distinct
            if not any(self._is_mine(group) for group in self.view.groups_of([item]))
        ]

    def _is_mine(self, group: int) -> bool:
        item = self.view.item(group)
        return (item.pipeline, item.kind) == (self.kind.pipeline, self.kind.name)

    def _with_begun(self, partition: Partition) -> Partition:
        """The closed groups that may still gain a member, with whether work on them has begun."""
        roomy = [g.item for g in partition.closed if not self.plan.size or g.count < self.plan.size]
        rows = self.view.work(roomy) if roomy else {}
        begun = {group: any(row.token > 0 for row in rows[group] if row.stage != GATHER) for group in roomy}
        closed = tuple(replace(group, is_begun=begun.get(group.item, True)) for group in partition.closed)
        return replace(partition, closed=closed)


class _Making(_Grouping):
    """They are made and changed in one transaction: slots are locked sorted by partition, then items, then work."""

    def __init__(self, tx: Transaction, definition: Definition, kind: KindPlan) -> None:
        super().__init__(tx, definition, kind)
        self.tx = tx
        self.complete: list[int] = []

    # ---- members come
    def add(self, items: Sequence[int]) -> list[int]:
        """Group items that are not in a group of this kind yet."""
        partitions = self._partitions(self._ungrouped(items))
        if self.under_way and len(partitions) >= _MANY:
            self.under_way.read([member for members in partitions.values() for member in members])
        for partition, members in sorted(partitions.items()):
            self._decide(self.tx.slot(self.rule, partition), members)
        return self.complete

    def _partitions(self, items: Sequence[int]) -> dict[str, list[Member]]:
        if items and self._all_fit(len(items)):
            return {_name([]): [Member(None, item, self.now) for item in items]}
        found: dict[str, list[Member]] = {}
        for number in items:
            try:
                item = self.tx.item(number)
                partition, member = self._place(item)
                self._key_of(item)
            except LookupError as error:
                self._refuse(number, f"it has no {error.args[0]!r}, which groups are told apart by")
            except ValueError as error:
                self._refuse(number, str(error))
            else:
                found.setdefault(partition, []).append(member)
        return found

    def _all_fit(self, count: int) -> bool:
        """Whether nothing is to be chosen: one partition, any order, room for all. Then no item needs to be read."""
        if self.plan.by or self.plan.max_gap or self.plan.stride:
            return False
        group = _load(self.tx.slot(self.rule, _name([])).data).open
        return group is not None and (not self.plan.size or group.count + count <= self.plan.size)

    def _refuse(self, item: int, why: str) -> None:
        self.tx.event(
            "problem", item=item, stage=self.plan.at, why=f"cannot be grouped as {self.kind.name}: {why}"
        )

    def go_on(self, partition: str) -> list[int]:
        """Group who waits in a partition."""
        self._decide(self.tx.slot(self.rule, partition), ())
        return self.complete

    def _decide(self, slot: Slot, members: Sequence[Member]) -> None:
        before = _load(slot.data)
        actions, after = self._judge(slot.partition, before, members)
        self._do(slot, before, actions, after)
        waiting = {member.item for member in after.pending} & {member.item for member in members}
        for item in sorted(waiting):
            self.tx.event("pending", item=item, stage=self.plan.at, kind=self.kind.name)

    def _do(self, slot: Slot, before: Partition, actions: Sequence[Action], after: Partition) -> None:
        numbers: dict[int, int] = {}
        counts = {before.open.item: before.open.count} if before.open else {}
        for action in actions:
            if isinstance(action, Start):
                numbers[action.group] = self._start(action, before.started + len(numbers))
            elif isinstance(action, Extend):
                group = numbers.get(action.group, action.group)
                self._extend(group, action, counts.pop(group, None))
            else:
                self._late(numbers.get(action.group, action.group), action)
        self.tx.set_slot(slot, asdict(_numbered(after, numbers)))

    # ---- what follows from it
    def _start(self, action: Start, number: int) -> int:
        items = [self.tx.item(member.item) for member in action.members]
        first = facts_of(items[0])
        group = Item(
            self.kind.pipeline,
            self.kind.name,
            self._free_key(items[0], number),
            {name: lookup(first, name) for name in self.plan.by},
            hull(item.span for item in items),
            cover(item.footprint for item in items),
        )
        identity = self.tx.add_items(self.kind, [group])[0]
        self.tx.add_members(identity, [item.id for item in items])
        if action.is_full:
            self._complete(identity)
        elif self.plan.timeout:
            self.tx.set_due(self._gather_row(identity), action.since + self.plan.timeout)
        return identity

    def _key_of(self, first: Item) -> str:
        """The key of a group by the template or its first member. Raises `ValueError` if it cannot be made."""
        return render(self.plan.key, facts_of(first)) if self.plan.key else first.key

    def _free_key(self, first: Item, number: int) -> str:
        """The key; where it is taken, with a number."""
        free = key = self._key_of(first)
        while self.tx.find(self.kind.pipeline, self.kind.name, free):
            number += 1
            free = f"{key}~{number}"
        return free

    def _gather_row(self, group: int) -> int:
        return next(row.id for row in self.tx.work([group])[group] if row.stage == GATHER)

    def _extend(self, group: int, action: Extend, count: int | None) -> None:
        self.tx.add_members(group, [member.item for member in action.members], after=count)
        if action.is_full:
            self._settle(group)
            self._complete(group)

    def _late(self, group: int, action: Late) -> None:
        member = self.tx.item(action.member.item)
        self.tx.event("late", item=group, stage=GATHER, member=member.key, then=action.what)
        if action.what == "hold":
            return
        self.tx.add_members(group, [member.id])
        self._settle(group)
        if action.what == "revise":
            self._revise(group)
        elif action.is_full:
            self._complete(group)

    def _settle(self, group: int) -> None:
        """Put the members in order, and give the group the time and place of all of them."""
        places: list[tuple[Any, ...]] = []
        extents: set[Reach] = set()
        for member in self.tx.outlines(group):
            places.append((*place_in(self.plan, self.plan.of, member), member.item))
            extents.add((member.begin, member.end, member.box))
        ordered = sorted(places)
        if ordered != places:
            self.tx.order_members(group, [place[-1] for place in ordered])
        item = self.tx.item(group)
        span, footprint = extent_of(extents)
        if (span, footprint) != (item.span, item.footprint):
            self.tx.update_item(group, span=span, footprint=footprint)

    def _complete(self, group: int) -> None:
        self.tx.gathered(self.kind, group)
        self.complete.append(group)

    def _revise(self, group: int) -> None:
        first = {stage.name for stage in self.kind.first}
        rows = [
            row
            for row in self.tx.work([group])[group]
            if row.stage in first and row.state is not Work.RETIRED
        ]
        self.tx.revise([row.id for row in rows], "a member came late")

    # ---- the group ends, full or not
    def end(self, group: Item, claimed: Claimed | None = None) -> list[int]:
        """Its time is over (`claimed` is its `GATHER` row), or a person closed it: then it is processed."""
        slot = self._filled(
            self.tx.slot(self.rule, _name([lookup(group.attributes, name) for name in self.plan.by])), group
        )
        if group.id in self.complete:
            if claimed is not None:
                self.tx.event(
                    "timed-out", item=group.id, stage=GATHER, why="time-out: no place is kept any more"
                )
            self._decide(slot, ())
            return self.complete
        partition = _load(slot.data)
        ended = partition.open if partition.open and partition.open.item == group.id else None
        outcome, reason = Outcome.DONE, ""
        if claimed is not None:
            outcome, reason = judge_time_out(
                self.plan, ended.count if ended else len(self.tx.members(group.id))
            )
            self._report(group.id, claimed, outcome, reason)
        if outcome is not Outcome.REJECTED:
            self._settle(group.id)
        if outcome is Outcome.DONE:
            self._complete(group.id)
        if ended:
            kept = () if outcome is Outcome.REJECTED else (replace(ended, members=()),)
            after = replace(partition, open=None, closed=(*partition.closed, *kept)[-KEPT:])
            self.tx.set_slot(slot, asdict(after))
            self._decide(self.tx.slot(self.rule, slot.partition), ())
        return self.complete

    def _filled(self, slot: Slot, group: Item) -> Slot:
        """The partition after a group that is to end took who waits beside it: no place in it is kept any more."""
        before = _load(slot.data)
        if not (before.pending and before.open and before.open.item == group.id):
            return slot
        self._do(slot, before, *fill(self.plan, before))
        return self.tx.slot(self.rule, slot.partition)

    def _report(self, group: int, claimed: Claimed, outcome: Outcome, reason: str) -> None:
        if outcome is Outcome.DONE:
            self.tx.event("timed-out", item=group, stage=GATHER, why=reason)
        else:
            report = Report(claimed.work, claimed.token, outcome, began=self.now, reasons=(reason,))
            self.tx.complete(self.kind, self.kind.gather, [(claimed, report)])

    def admit(self, group: Item, member: int) -> None:
        """Add a member by a person's word."""
        slot = self.tx.slot(self.rule, _name([lookup(group.attributes, name) for name in self.plan.by]))
        partition = _load(slot.data)
        order = order_of(self.plan, facts_of(self.tx.item(member)))
        closed = tuple(
            grown(one, [Member(order, member)]) if one.item == group.id else one for one in partition.closed
        )
        held = tuple(item for item in partition.held if item != member)
        pending = tuple(one for one in partition.pending if one.item != member)
        self.tx.set_slot(slot, asdict(replace(partition, closed=closed, held=held, pending=pending)))
        self.tx.add_members(group.id, [member])
        self._settle(group.id)
        self._revise(group.id)


def _name(values: Sequence[Any]) -> str:
    return canonical(list(values)).decode()


def _numbered(partition: Partition, numbers: Mapping[int, int]) -> Partition:
    """The partition with the items that its new groups got."""

    def known(group: Group) -> Group:
        return replace(group, item=numbers.get(group.item, group.item))

    return replace(
        partition,
        open=known(partition.open) if partition.open else None,
        closed=tuple(known(group) for group in partition.closed),
    )


def _load(data: Mapping[str, Any]) -> Partition:
    def members(rows: Iterable[Mapping[str, Any]]) -> tuple[Member, ...]:
        return tuple(Member(**row) for row in rows)

    def group(row: Mapping[str, Any]) -> Group:
        return Group(**{**row, "members": members(row["members"])})

    if not data:
        return Partition()
    return Partition(
        open=group(data["open"]) if data["open"] else None,
        pending=members(data["pending"]),
        carries=tuple(members(carry) for carry in data["carries"]),
        closed=tuple(group(row) for row in data["closed"]),
        held=tuple(data["held"]),
        started=data["started"],
    )
