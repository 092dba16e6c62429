"""Group: items become a group of items, decided in the transaction that completes them.

Promises that a member is in exactly the groups that its rule says, that no group exceeds its size, that a group's key
comes from its first member and stays, and that a member that comes too late is held or revises, never lost. The slot
(rule, partition) is locked while it decides. Never reads anything but the catalog.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from towpath.base import clock
from towpath.base.errors import NotFoundError, StateError
from towpath.base.hashing import canonical
from towpath.base.model import Item, WorkRow
from towpath.base.spacetime import Box, Span
from towpath.base.states import Outcome, Work
from towpath.base.template import lookup, render
from towpath.contracts.catalog import Claimed, Slot, Transaction
from towpath.contracts.definition import GATHER, Definition, GroupPlan, KindPlan
from towpath.contracts.executor import Report

_CLOSED_KEPT = 32  # how many groups of a partition are remembered after they close, to know what comes late

# ---- values


@dataclass(frozen=True, slots=True, order=True)
class Member:
    """An item that is to be grouped: where it stands in the order, its id, and when it came (seconds)."""

    order: float
    item: int
    since: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Group:
    """A group of a partition: its item (0: to be registered), how many members it has, and their range in the order.

    `carried`: it began with members of the window before it. `is_begun`: work on it was claimed.
    """

    item: int
    count: int
    begin: float
    end: float
    carried: bool = False
    is_begun: bool = False


@dataclass(frozen=True, slots=True)
class Partition:
    """What is noted of a partition: the open group, members that wait, those the next window begins with, closed groups."""

    open: Group | None = None
    pending: tuple[Member, ...] = ()
    carry: tuple[Member, ...] = ()
    closed: tuple[Group, ...] = ()


@dataclass(frozen=True, slots=True)
class Start:
    """A group begins with these members; it is complete at once, or stays open."""

    members: tuple[Member, ...]
    is_full: bool
    since: float


@dataclass(frozen=True, slots=True)
class Extend:
    """The open group gains members, and may now be complete."""

    group: int
    members: tuple[Member, ...]
    is_full: bool


@dataclass(frozen=True, slots=True)
class Late:
    """A member comes after its group closed: `what` is ``gain`` (it has not begun), ``revise`` or ``hold``."""

    group: int
    member: Member
    what: str
    is_full: bool = False


Action = Start | Extend | Late


# ---- the decision


def decide(plan: GroupPlan, partition: Partition, new: Sequence[Member]) -> tuple[list[Action], Partition]:
    """What becomes of new members, and what is noted then. The group of a `Start` that stays open has item 0."""
    return _Decision(plan, partition).take(new)


class _Decision:
    def __init__(self, plan: GroupPlan, partition: Partition) -> None:
        self.plan, self.open, self.carry = plan, partition.open, partition.carry
        self.pool = sorted(partition.pending)
        self.closed = list(partition.closed)
        self.actions: list[Action] = []
        self.late: list[Late] = []

    def take(self, new: Sequence[Member]) -> tuple[list[Action], Partition]:
        for member in sorted(new):
            if not self._comes_late(member):
                self.pool.append(member)
        self.pool.sort()
        while self._extend() or self._start():
            pass
        pending = () if self.open is None else tuple(self.pool)
        return self.actions, Partition(self.open, pending, self.carry, tuple(self.closed[-_CLOSED_KEPT:]))

    # ---- late members
    def _comes_late(self, member: Member) -> bool:
        for index, group in enumerate(self.closed):
            what = self._lateness(group, member)
            if what:
                gains = what != "hold"
                count = group.count + gains
                self.actions.append(Late(group.item, member, what, gains and count == self.plan.size))
                if gains:
                    low, high = min(group.begin, member.order), max(group.end, member.order)
                    self.closed[index] = replace(group, count=count, begin=low, end=high)
                return True
        return False

    def _lateness(self, group: Group, member: Member) -> str:
        """How a member belongs to a closed group, "" if it does not."""
        plan = self.plan
        has_room = not plan.size or group.count < plan.size
        is_inside = plan.max_gap > 0 and group.begin <= member.order <= group.end
        if not has_room:
            return "hold" if is_inside and plan.late == "hold" else ""
        if plan.max_gap and not group.begin - plan.max_gap <= member.order <= group.end + plan.max_gap:
            return ""
        if not group.is_begun:
            return "gain"
        return plan.late if plan.by or plan.max_gap else ""

    # ---- the open group
    def _extend(self) -> bool:
        group = self.open
        taken = self._reachable(group) if group else []
        if group is None or not taken:
            return False
        self.pool = [member for member in self.pool if member not in taken]
        orders = [member.order for member in taken]
        group = replace(
            group,
            count=group.count + len(taken),
            begin=min(group.begin, *orders),
            end=max(group.end, *orders),
        )
        is_full = group.count == self.plan.size
        self.actions.append(Extend(group.item, tuple(taken), is_full))
        self.open = group
        if is_full:
            self._close()
        return True

    def _reachable(self, group: Group) -> list[Member]:
        """The pooled members that continue a group, inside first, then before it, then after it, as far as there is room."""
        gap, found, begin, end = self.plan.max_gap, [], group.begin, group.end
        if not gap:
            found = list(self.pool)
        else:
            found = [member for member in self.pool if begin <= member.order <= end]
            for member in reversed(self.pool):
                if member.order < begin and not group.carried and self._are_near(member.order, begin):
                    found.append(member)
                    begin = member.order
            for member in self.pool:
                if member.order > end and self._are_near(end, member.order):
                    found.append(member)
                    end = member.order
        return found[: self.plan.size - group.count] if self.plan.size else found

    def _are_near(self, low: float, high: float) -> bool:
        """Whether two places in the order are consecutive: near, and no closed group lies between."""
        return high - low <= self.plan.max_gap and not any(low < group.begin <= high for group in self.closed)

    # ---- new groups
    def _start(self) -> bool:
        """Begin the next group: the earliest run where none is open, beside an open one only a run that fills a group."""
        for run in self._runs():
            carry = self._carry_for(run)
            members = [*carry, *run][: self.plan.size] if self.plan.size else run
            is_full = len(members) == self.plan.size
            if self.open is None or (is_full and not carry):
                self._begin(members, carry, is_full)
                return True
        return False

    def _runs(self) -> Iterator[list[Member]]:
        run: list[Member] = []
        for member in self.pool:
            if run and self.plan.max_gap and not self._are_near(run[-1].order, member.order):
                yield run
                run = []
            run.append(member)
        if run:
            yield run

    def _carry_for(self, run: Sequence[Member]) -> list[Member]:
        if not self.carry or self.open is not None:
            return []
        last, gap = self.carry[-1].order, self.plan.max_gap
        return list(self.carry) if not gap or 0 <= run[0].order - last <= gap else []

    def _begin(self, members: Sequence[Member], carry: Sequence[Member], is_full: bool) -> None:
        fresh = [member for member in members if member not in carry]
        self.pool = [member for member in self.pool if member not in fresh]
        orders = [member.order for member in members]
        group = Group(0, len(members), min(orders), max(orders), bool(carry))
        self.actions.append(Start(tuple(members), is_full, min(member.since for member in fresh)))
        if self.open is None:
            self.open, self.carry = group, ()
            if is_full:
                self._close(members)
        else:
            self._remember(group)
    def _close(self, members: Sequence[Member] = ()) -> None: ...
    def _remember(self, group: Group) -> None: ...
