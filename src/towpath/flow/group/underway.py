"""Who is under way to a group: items that have not passed the stage that members must have passed, and are worked on.

Promises to look no farther than what can be in one line with a member that has come, and to read only. Nobody is under way
where members are not consecutive in time.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from towpath.base.model import Item
from towpath.base.states import Work
from towpath.contracts.catalog import View
from towpath.contracts.definition import GroupPlan, KindPlan
from towpath.contracts.grouping import Member, Partition

_MOST = 1000  # items under way that are looked at below one place
_LINES = 64  # lines that are looked at for one decision
_OPEN = (Work.WAITING, Work.READY, Work.RUNNING)
_MOVING = (Work.READY, Work.RUNNING)

Place = Callable[[Item], tuple[str, Member]]


def keeps_places(of: KindPlan, plan: GroupPlan) -> bool:
    """Whether places are kept in groups by this plan for those under way."""
    in_line = bool(plan.size and plan.max_gap) and not plan.stride
    return in_line and plan.order_by.startswith("time.") and plan.at in of.stages


class UnderWay:
    """Who is under way to the groups of one plan; `place` tells the partition of an item, and it as a member."""

    def __init__(self, view: View, of: KindPlan, plan: GroupPlan, place: Place) -> None:
        self._view, self._of, self._plan, self._place = view, of, plan, place
        self._ways = {stage.name for stage in of.upstream(plan.at)}
        self._moment = plan.order_by.removeprefix("time.")

    def to(self, partition: str, before: Partition, members: Sequence[Member]) -> list[Member]:
        """Those under way to a partition that may be in one line with its open group, or with who waits or comes."""
        come = [*members, *before.pending]
        known = {member.item for member in come}
        found: dict[int, Member] = {}
        for low, high in self._lines(before, [member.order for member in members], come):
            for member in self._below(low, high, before, partition):
                found[member.item] = member
        return [member for item, member in found.items() if item not in known]

    def _lines(
        self, before: Partition, new: Sequence[object], come: Sequence[Member]
    ) -> list[tuple[float, float]]:
        """Ranges of the order within which none of those who came, and the open group, is far from the next."""
        ranges = [(member.order, member.order) for member in come if isinstance(member.order, int | float)]
        if before.open:
            ranges.append((_number(before.open.begin), _number(before.open.end)))
        lines: list[tuple[float, float]] = []
        for low, high in sorted(ranges):
            if lines and low - lines[-1][1] <= self._plan.max_gap:
                lines[-1] = (lines[-1][0], max(high, lines[-1][1]))
            else:
                lines.append((low, high))
        if len(lines) > _LINES:  # those first that may change now
            lines.sort(key=lambda line: not any(_is_within(order, line) for order in new))
        return lines[:_LINES]

    def _below(self, low: float, high: float, before: Partition, partition: str) -> Iterator[Member]:
        """Those from `high` down: in the line, and below it as long as each is near the next."""
        plan = self._plan
        floor = max(
            (_number(group.end) for group in before.closed if _number(group.end) < low), default=-1e300
        )
        until, count = high, 0
        while True:
            since = max(min(low, until) - plan.size * plan.max_gap, floor)
            items = self._view.under_way(self._of, plan.at, since, until, moment=self._moment, limit=_MOST)
            for member in sorted(self._of_partition(items, partition), key=lambda one: -_number(one.order)):
                order = _number(member.order)
                if since <= order <= until:
                    yield member
                    low = order if low - plan.max_gap <= order < low else low
            count += len(items)
            if since <= floor or low - since > plan.max_gap or count >= _MOST:
                return
            until = since

    def _of_partition(self, items: Sequence[Item], partition: str) -> Iterator[Member]:
        moving = list(self._moving(items))
        for item in moving:
            with suppress(LookupError, ValueError):
                own, member = self._place(item)
                if own == partition:
                    yield member

    def _moving(self, items: Sequence[Item]) -> Iterator[Item]:
        """Those on which work is done, or ready to be done, that leads to the stage; and nothing on the way is in trouble."""
        rows = self._view.work([item.id for item in items])
        for item in items:
            states = {row.stage: row.state for row in rows[item.id]}
            way = [states[name] for name in self._ways if name in states]
            is_free = all(state in (*_OPEN, Work.DONE) for state in way)
            if is_free and any(state in _MOVING for state in (*way, states.get(self._plan.at))):
                yield item


def _is_within(order: object, line: tuple[float, float]) -> bool:
    return isinstance(order, int | float) and line[0] <= order <= line[1]


def _number(order: object) -> float:
    assert isinstance(order, int | float), "with max_gap the order is a number"
    return order
