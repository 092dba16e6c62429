"""Facts of members: what tells the groups of a plan apart, and where a member stands in one. Pure; reads nothing."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from towpath.base import clock
from towpath.base.model import Item
from towpath.base.spacetime import Box, Span, cover
from towpath.base.template import lookup
from towpath.contracts.catalog import Outline
from towpath.contracts.definition import GroupPlan
from towpath.contracts.grouping import Order, rank

Reach = tuple[float | None, float | None, tuple[float, float, float, float] | None]  # begin, end, box
_OWN = frozenset({"key", "kind", "attributes", "registered", "time"})  # what is no attribute, or not first


def facts_of(item: Item) -> dict[str, Any]:
    """What `by`, `order_by` and the template `key` may name: attributes, also as ``attributes.x``, key, kind, time."""
    time = {"begin": item.span.begin, "mid": item.span.mid, "end": item.span.end} if item.span else None
    attributes = dict(item.attributes)
    own = {"key": item.key, "kind": item.kind, "attributes": attributes, "registered": item.registered}
    return {**attributes, **own, **({"time": time} if time else {})}


def place_in(plan: GroupPlan, kind: str, member: Outline) -> tuple[Any, ...]:
    """Where a member stands among those of its group: by its order, then by its key."""
    if plan.order_by == "time.mid":  # the default; a group may have very many members
        order = None if member.begin is None or member.end is None else (member.begin + member.end) / 2
        return (*rank(order), member.key)
    facts = member.attributes
    if plan.order_by.partition(".")[0] in _OWN:
        span = None if member.begin is None or member.end is None else Span(member.begin, member.end)
        facts = facts_of(Item("", kind, member.key, facts, span, registered=member.registered))
    return (*rank(order_of(plan, facts)), member.key)


def extent_of(extents: Iterable[Reach]) -> tuple[Span | None, Box | None]:
    """The time and the place of all members together."""
    every = list(extents)
    begins = [begin for begin, _, _ in every if begin is not None]
    ends = [end for _, end, _ in every if end is not None]
    boxes = {box for _, _, box in every if box is not None}
    return (Span(min(begins), max(ends)) if begins else None), cover(Box(*box) for box in sorted(boxes))


def order_of(plan: GroupPlan, facts: Mapping[str, Any]) -> Order:
    """Where a member stands in the order: a number, seconds of a time, or a text; None where it has none.

    Raises
    ------
    ValueError
        If members are to be consecutive (`max_gap`) and it is no number or time.
    """
    try:
        value = lookup(facts, plan.order_by)
    except LookupError:
        value = None
    if isinstance(value, bool):
        value = int(value)
    if plan.max_gap and isinstance(value, str):
        with suppress(ValueError):
            value = clock.seconds(value)
    if plan.max_gap and not isinstance(value, int | float):
        raise ValueError(
            f"{plan.order_by} is {value!r}; a number or a time is needed, because max_gap is set"
        )
    return value if isinstance(value, int | float | str) else None
