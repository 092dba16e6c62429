"""Values of Towpath as the server's shapes tell them. Looks nothing up."""

from collections.abc import Iterable, Sequence
from typing import Any

from towpath.app.documents import plain
from towpath.app.looking import Details
from towpath.app.ordering import OrderDetails
from towpath.base import clock, ids
from towpath.base.model import Event, Item, Run, Verdict, WorkRow
from towpath.base.spacetime import Span
from towpath.base.states import Work
from towpath.contracts.catalog import OrderRow

_SECONDS = frozenset(
    {"due", "opened", "changed", "created", "expires", "revoked", "seen", "read", "time", "began", "updated",
     "registered"}
)  # fmt: skip


def told(value: Any, **more: Any) -> dict[str, Any]:
    """A value's fields, with times as texts, and `more` of them."""
    document = plain(value)
    for name in _SECONDS & document.keys():
        document[name] = moment(getattr(value, name))
    return {**document, **more}


def moment(seconds: float | None) -> str | None:
    """A time as text; None where there is none (or it is before or after all times)."""
    return clock.text(seconds) if seconds and abs(seconds) < 1e11 else None


def span(value: Span | None) -> dict[str, str] | None:
    """A time span."""
    return {"begin": clock.text(value.begin), "end": clock.text(value.end)} if value else None


def item(one: Item, works: Iterable[WorkRow] = ()) -> dict[str, Any]:
    """An item, with the states of its stages."""
    states = {row.stage: row.state.value for row in works}
    return {**told(one), "name": one.name, "span": span(one.span), "states": states}


def stage(row: WorkRow, runs: Sequence[Run]) -> dict[str, Any]:
    """A stage of an item as it stands, with its last attempt."""
    last = next((run for run in reversed(runs) if run.work == row.id), None)
    name = ids.run_name(row.id, row.token) if row.state is Work.RUNNING else last.name if last else ""
    return told(row, work=row.id, run=name, seconds=last.seconds if last else None)


def run(one: Run) -> dict[str, Any]:
    """A run that ended."""
    return told(one, name=one.name)


def running(row: WorkRow) -> dict[str, Any]:
    """A run that goes on."""
    return {
        "name": ids.run_name(row.id, row.token),
        "work": row.id,
        "token": row.token,
        "item": row.item,
        "stage": row.stage,
        "outcome": "running",
        "began": moment(row.began),
        "worker": row.owner,
        "progress": row.progress,
        "note": row.note,
    }


def product(one: Any) -> dict[str, Any]:
    """A product."""
    return told(one, run=ids.run_name(*one.run) if one.run != (0, 0) else "")


def verdict(found: tuple[str, Verdict, float, str]) -> dict[str, Any]:
    """A verdict of a stage, and who accepted it."""
    name, one, time, who = found
    return {"stage": name, "result": one.result, "time": moment(time), "rules": plain(one.rules), "by": who}


def order(row: OrderRow, item_name: str = "") -> dict[str, Any]:
    """An order."""
    return told(row, name=row.name, item_name=item_name)


def order_details(one: OrderDetails) -> dict[str, Any]:
    """An order with what was asked and delivered."""
    return {
        **order(one.row, one.item),
        "body": plain(one.row.body),
        "box": str(one.box or ""),
        "inputs": [str(path) for path in one.inputs],
        "deliveries": [told(delivery) for delivery in one.deliveries],
    }


def details(found: Details, orders: Iterable[OrderRow] = ()) -> dict[str, Any]:
    """An item with everything that the catalog knows of it."""
    return {
        **item(found.item, found.work),
        "route": [stage(row, found.runs) for row in found.work],
        "milestones": [{"name": name, "time": moment(time)} for name, time in found.milestones],
        "members": [item(one) for one in found.members],
        "runs": [run(one) for one in found.runs],
        "products": [product(one) for one in found.products],
        "verdicts": [verdict(one) for one in found.verdicts],
        "flags": [told(one) for one in found.flags],
        "orders": [order(row, found.item.name) for row in orders],
        "publications": [told(one) for one in found.publications],
    }


def event(one: Event) -> dict[str, Any]:
    """An event."""
    return {**told(one), "time": clock.text(one.time)}
