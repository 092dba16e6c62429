"""Who is under way to a group: items that have not passed the stage that members must have passed, and are worked on.

Promises that places are kept for those alone who may be in one line with a member that has come, and to read only. Nobody
is under way where members are not consecutive in time.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from towpath.base.model import Item
from towpath.base.states import Work
from towpath.contracts.catalog import View
from towpath.contracts.definition import GroupPlan, KindPlan
from towpath.contracts.grouping import Member, Partition, number

_MOST = 1000  # members under way to one partition that are looked at below one stretch
_TOGETHER = 5000  # items under way that are read at once for many partitions
_MOMENTS = ("time.begin", "time.mid", "time.end")
_MOVING = (Work.READY, Work.RUNNING)
_GOOD = (Work.WAITING, *_MOVING, Work.DONE, Work.RETIRED)

Place = Callable[[Item], tuple[str, Member]]


def keeps_places(of: KindPlan, plan: GroupPlan) -> bool:
    """Whether places are kept in groups by this plan for those under way."""
    return plan.is_line and plan.order_by in _MOMENTS and plan.at in of.stages


class UnderWay:
    """Who is under way to the groups of one plan; `place` tells the partition of an item, and it as a member."""

    def __init__(self, view: View, of: KindPlan, plan: GroupPlan, place: Place) -> None:
        self._view, self._of, self._plan, self._place = view, of, plan, place
        self._ways = {stage.name for stage in of.upstream(plan.at)}
        self._reach = plan.size * plan.max_gap
        self._read: tuple[float, float] | None = None
        self._members: dict[str, list[Member]] = {}

    def read(self, members: Sequence[Member]) -> None:
        """Read at once who is under way near members of many partitions, unless these are too many."""
        orders = [number(member.order) for member in members]
        since, until = min(orders) - self._reach, max(orders)
        items = self._items(since, until, {}, _TOGETHER)
        if len(items) < _TOGETHER:
            self._read = since, until
            for partition, member in self._placed(items):
                self._members.setdefault(partition, []).append(member)

    def to(self, partition: str, before: Partition, members: Sequence[Member]) -> list[Member]:
        """Those under way to a partition that may be in one line with its open group, or with who waits or comes."""
        come = [*members, *before.pending]
        known = {member.item for member in come}
        found = {
            member.item: member
            for low, high in self._stretches(before, come)
            for member in self._down(low, high, before, partition)
        }
        return [member for item, member in found.items() if item not in known]

    def _stretches(self, before: Partition, come: Sequence[Member]) -> list[tuple[float, float]]:
        """Ranges of the order within which none of those who came, and the open group, is far from the next."""
        ranges = [(number(member.order), number(member.order)) for member in come]
        if before.open:
            ranges.append((number(before.open.begin), number(before.open.end)))
        found: list[tuple[float, float]] = []
        for low, high in sorted(ranges):
            if found and low - found[-1][1] <= self._plan.max_gap:
                found[-1] = (found[-1][0], max(high, found[-1][1]))
            else:
                found.append((low, high))
        return found

    def _down(self, low: float, high: float, before: Partition, partition: str) -> Iterator[Member]:
        """Those within a stretch, and those below it as long as each is near the next."""
        floor = max((number(group.end) for group in before.closed if number(group.end) < low), default=-1e300)
        until, count = high, 0
        while True:
            since = max(min(low, until) - self._reach, floor)
            for member in sorted(self._between(since, until, partition), key=lambda one: -number(one.order)):
                order, count = number(member.order), count + 1
                low = order if low - self._plan.max_gap <= order < low else low
                yield member
            if since <= floor or low - since > self._plan.max_gap or count >= _MOST:
                return
            until = since

    def _between(self, since: float, until: float, partition: str) -> list[Member]:
        if self._read and self._read[0] <= since and until <= self._read[1]:
            members = self._members.get(partition, [])
        else:
            items = self._items(since, until, self._attributes(partition), _MOST)
            members = [member for own, member in self._placed(items) if own == partition]
        return [member for member in members if since <= number(member.order) <= until]

    def _items(self, since: float, until: float, attributes: Mapping[str, Any], limit: int) -> list[Item]:
        moment = self._plan.order_by.removeprefix("time.")
        return self._view.under_way(
            self._of, self._plan.at, since, until, moment=moment, attributes=attributes, limit=limit
        )

    def _attributes(self, partition: str) -> dict[str, Any]:
        """The attributes by which items of a partition are found in the catalog, where they have an index."""
        named = zip(self._plan.by, json.loads(partition), strict=True)
        plain = ((name.removeprefix("attributes."), value) for name, value in named if name != "key")
        return {
            name: value for name, value in plain if "." not in name and isinstance(value, str | int | float)
        }

    def _placed(self, items: Sequence[Item]) -> Iterator[tuple[str, Member]]:
        """Those on which work is done, or ready to be done, that leads to the stage; and nothing on the way is in trouble."""
        rows = self._view.work([item.id for item in items])
        for item in items:
            states = {row.stage: row.state for row in rows[item.id]}
            way = [states[name] for name in self._ways if name in states]
            is_good = all(state in _GOOD for state in way)
            if is_good and any(state in _MOVING for state in (*way, states.get(self._plan.at))):
                with suppress(LookupError, ValueError):
                    yield self._place(item)
