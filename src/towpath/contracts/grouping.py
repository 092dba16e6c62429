"""Which group an item goes to: the pure decision, with the values it is made from.

Promises that each member is in exactly the groups that the rule says, that no group exceeds its size, and that members
are consecutive where the rule asks for it: the same groups whatever the order in which members come, as far as it is
known which are under way. Reads and writes nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from towpath.base.states import Outcome
from towpath.contracts.definition import GroupPlan

KEPT = 32  # closed groups of a partition that are remembered, to know what comes late
_KEPT_WINDOWS = 4
Order = float | str | None

# ---- values


@dataclass(frozen=True, slots=True)
class Member:
    """An item that is to be grouped: where it stands in the order, its id, and when it came (seconds)."""

    order: Order
    item: int
    since: float = 0.0

    @property
    def place(self) -> tuple[Any, ...]:
        """What members are sorted by: numbers before texts before nothing, then as they were registered."""
        return (*rank(self.order), self.item)


@dataclass(frozen=True, slots=True)
class Group:
    """A group of a partition: its item (negative: to be registered), its size, and its range in the order.

    `members` are kept where windows overlap; `carried`: it began with members of the window before it; `is_begun`:
    work on it was claimed.
    """

    item: int
    count: int
    begin: Order
    end: Order
    members: tuple[Member, ...] = ()
    carried: bool = False
    is_begun: bool = False


@dataclass(frozen=True, slots=True)
class Partition:
    """What is noted of a partition.

    The open group; members that wait for it to close, too far from it to join; what the next overlapping windows
    begin with; groups that closed; items that came late and are held; how many groups there were.
    """

    open: Group | None = None
    pending: tuple[Member, ...] = ()
    carries: tuple[tuple[Member, ...], ...] = ()
    closed: tuple[Group, ...] = ()
    held: tuple[int, ...] = ()
    started: int = 0


@dataclass(frozen=True, slots=True)
class Start:
    """A group begins with these members, in order; it is complete at once, or open since its first member came."""

    group: int
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
    """A member comes after its group closed: `what` is ``gain`` (work on it has not begun), ``revise`` or ``hold``."""

    group: int
    member: Member
    what: str
    is_full: bool = False


Action = Start | Extend | Late


# ---- the decision


def decide(
    plan: GroupPlan, partition: Partition, new: Sequence[Member], coming: Sequence[Member] = ()
) -> tuple[list[Action], Partition]:
    """What becomes of new members, and what is to be noted. Groups to be registered have negative numbers.

    `coming` are under way and not new yet: where members are consecutive, their places are kept. That never makes an action
    that would not be without them.
    """
    return _Decision(plan, partition, coming).take(new)


def fill(plan: GroupPlan, partition: Partition) -> tuple[list[Action], Partition]:
    """The open group is to end: it takes who waits beside it, and keeps no place."""
    return _Decision(plan, partition, ()).fill()


class _Decision:
    def __init__(self, plan: GroupPlan, partition: Partition, coming: Sequence[Member]) -> None:
        self.plan, self.was, self.open = plan, partition, partition.open
        self.pool = list(partition.pending)
        self.carries = list(partition.carries)
        self.closed = list(partition.closed)
        self.held = list(partition.held)
        self.actions: list[Action] = []
        self.started = 0
        self.coming = {member.item: member for member in coming} if plan.is_line else {}

    def take(self, new: Sequence[Member]) -> tuple[list[Action], Partition]:
        seen = {member.item for member in self.pool} | set(self.held)
        fresh = [member for member in {m.item: m for m in new}.values() if member.item not in seen]
        self.pool += [member for member in sorted(fresh, key=_by_place) if not self._comes_late(member)]
        self.pool.sort(key=_by_place)
        for item in [member.item for member in self.pool] + self.held + self._too_late():
            self.coming.pop(item, None)
        while self.pool and (self._extend() or self._start()):
            pass
        return self._decided()

    def fill(self) -> tuple[list[Action], Partition]:
        while self._extend():
            pass
        return self._decided()

    def _decided(self) -> tuple[list[Action], Partition]:
        after = Partition(
            self.open,
            tuple(self.pool),
            tuple(self.carries[-_KEPT_WINDOWS:]),
            tuple(self.closed[-KEPT:]),
            tuple(self.held),
            self.was.started + self.started,
        )
        return self.actions, after

    # ---- late members
    def _comes_late(self, member: Member) -> bool:
        for index, group in enumerate(self.closed):
            what = self._lateness(group, member)
            if what == "hold":
                self.actions.append(Late(group.item, member, what))
                self.held.append(member.item)
            elif what:
                larger = grown(group, [member])
                self.actions.append(Late(group.item, member, what, larger.count == self.plan.size))
                self.closed[index] = larger
            if what:
                return True
        return False

    def _lateness(self, group: Group, member: Member) -> str:
        """How a member belongs to a closed group, "" if it does not."""
        plan, gap = self.plan, self.plan.max_gap
        if plan.size and group.count >= plan.size:
            is_inside = gap and number(group.begin) <= number(member.order) <= number(group.end)
            return "hold" if is_inside and plan.late == "hold" else ""
        if gap and not number(group.begin) - gap <= number(member.order) <= number(group.end) + gap:
            return ""
        if not group.is_begun:
            return "gain"
        return plan.late if plan.by or gap else ""

    def _too_late(self) -> list[int]:
        """Those under way that will come late: no place of another group is kept for them."""
        closed = [(group, member) for group in self.closed for member in self.coming.values()]
        return [member.item for group, member in closed if self._lateness(group, member)]

    # ---- the open group
    def _extend(self) -> bool:
        group = self.open
        taken = self._reachable(group) if group else []
        if group is None or not taken:
            return False
        self._take_out(taken)
        group = grown(group, taken, keep=self.plan.stride > 0)
        is_full = group.count == self.plan.size
        self.actions.append(Extend(group.item, tuple(sorted(taken, key=_by_place)), is_full))
        self.open = None if is_full else group
        if is_full:
            self._close(group)
        return True

    def _reachable(self, group: Group) -> list[Member]:
        """The members that continue a group now."""
        found = self._within_reach(group, self._line())
        come = [member for member in found if member.item not in self.coming]
        return self._within_reach(group, come) if len(come) < len(found) else come

    def _line(self) -> list[Member]:
        """The members in no group, and those that are under way, in order."""
        return sorted([*self.pool, *self.coming.values()], key=_by_place) if self.coming else self.pool

    def _within_reach(self, group: Group, line: Sequence[Member]) -> list[Member]:
        """Those that continue a group: inside it, then before it, then after it, as far as there is room.

        Of those before it, whole groups are left to themselves.
        """
        found = list(line)
        if self.plan.max_gap:
            begin, end = number(group.begin), number(group.end)
            found = [member for member in line if begin <= number(member.order) <= end]
            if not group.carried:
                before = self._chain(reversed(line), begin, -1)
                found += before[: len(before) % self.plan.size] if self.plan.size else before
            found += self._chain(line, end, 1)
        return found[: self.plan.size - group.count] if self.plan.size else found

    def _chain(self, members: Iterable[Member], edge: float, sign: int) -> list[Member]:
        found: list[Member] = []
        begin = edge
        for member in members:
            order = number(member.order)
            if sign * (order - begin) <= 0:
                continue
            if not self._are_near(min(order, edge), max(order, edge)):
                break
            found.append(member)
            edge = order
        return found

    def _are_near(self, low: float, high: float) -> bool:
        """Whether two places in the order are consecutive: near, and no other group lies between."""
        if high - low > self.plan.max_gap:
            return False
        groups = (*self.closed, self.open) if self.open else self.closed
        return not any(low < number(group.begin) and number(group.end) < high for group in groups)

    # ---- new groups
    def _start(self) -> bool:
        """Begin a group with the earliest run; beside an open group, only with a run that fills one."""
        for run in self._runs():
            come = self._first_of(run)
            if not come:
                continue
            carry = self._carry_for(come)
            members = [*carry, *come][: self.plan.size] if self.plan.size else come
            is_full = len(members) == self.plan.size
            if self.open is None or is_full:
                self._begin(members, carry, is_full)
                return True
        return False

    def _runs(self) -> Iterator[list[Member]]:
        """What groups may be made of besides the open one, each as long as a group at most."""
        line = self._line()
        if self.coming and self.open:
            kept = {member.item for member in self._within_reach(self.open, line)}
            line = [member for member in line if member.item not in kept]
        run: list[Member] = []
        for member in line:
            if run and (len(run) == self.plan.size or not self._follows(run[-1], member)):
                yield run
                run = []
            run.append(member)
        if run:
            yield run

    def _first_of(self, run: Sequence[Member]) -> list[Member]:
        """The first of a run that have come, as far as they are consecutive."""
        found: list[Member] = []
        for member in run:
            if member.item in self.coming:
                continue
            if found and not self._follows(found[-1], member):
                break
            found.append(member)
        return found

    def _follows(self, former: Member, member: Member) -> bool:
        return not self.plan.max_gap or self._are_near(number(former.order), number(member.order))

    def _carry_for(self, run: Sequence[Member]) -> tuple[Member, ...]:
        for carry in reversed(self.carries):
            gap = self.plan.max_gap
            if not gap or 0 <= number(run[0].order) - number(carry[-1].order) <= gap:
                return carry
        return ()

    def _begin(self, members: Sequence[Member], carry: tuple[Member, ...], is_full: bool) -> None:
        fresh = [member for member in members if member not in carry]
        self._take_out(fresh)
        if carry:
            self.carries.remove(carry)
        self.started += 1
        kept = tuple(members) if self.plan.stride else ()
        group = Group(-self.started, len(members), members[0].order, members[-1].order, kept, bool(carry))
        since = min(member.since for member in fresh)
        self.actions.append(Start(group.item, tuple(members), is_full, since))
        if is_full:
            self._close(group)
        else:
            self.open = group

    def _close(self, group: Group) -> None:
        self.closed.append(replace(group, members=()))
        if self.plan.stride and self.plan.stride < self.plan.size:
            self.carries.append(tuple(sorted(group.members, key=_by_place)[self.plan.stride :]))

    def _take_out(self, members: Sequence[Member]) -> None:
        gone = {member.item for member in members}
        self.pool = [member for member in self.pool if member.item not in gone]


def grown(group: Group, members: Sequence[Member], *, keep: bool = False) -> Group:
    """The group with these members too."""
    orders = sorted([group.begin, group.end, *(member.order for member in members)], key=rank)
    kept = (*group.members, *members) if keep else ()
    return replace(group, count=group.count + len(members), begin=orders[0], end=orders[-1], members=kept)


def rank(order: Order) -> tuple[Any, ...]:
    """What a place in the order is sorted by: numbers before texts before nothing."""
    if order is None:
        return (2, 0.0)
    return (1, order) if isinstance(order, str) else (0, order)


def _by_place(member: Member) -> tuple[Any, ...]:
    return member.place


def number(order: Order) -> float:
    """A place in the order of consecutive members."""
    assert isinstance(order, int | float), "with max_gap the order is a number"
    return order


def judge_time_out(plan: GroupPlan, count: int) -> tuple[Outcome, str]:
    """What becomes of a group that is not complete in time, and the reason; it has `count` members."""
    size = f" of {plan.size}" if plan.size else ""
    reason = f"time-out: {count}{size} members after {plan.timeout:g} s"
    if plan.on_timeout == "process" and count < plan.least:
        return Outcome.HELD, f"{reason}; at least {plan.least} are needed"
    return {"process": Outcome.DONE, "reject": Outcome.REJECTED}.get(plan.on_timeout, Outcome.HELD), reason
