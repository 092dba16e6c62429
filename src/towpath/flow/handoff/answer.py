"""What people do with orders: decide a gate, take work, give it back, pass it on; and what time does with them.

Each verb is one transaction. Promises that nobody decides or takes work who is not entitled, that nobody gives back what
another has, and that all who are to be told are told in the same transaction.
"""

from collections.abc import Sequence
from typing import Any

from towpath.base.errors import StateError
from towpath.base.states import SENT_BACK, STANDING_ORDERS, Delivery, Order, Work
from towpath.contracts.catalog import OrderRow, Transaction
from towpath.contracts.orders import GATE, HANDOFF, may

CLOCK = ("", "orders", "due")  # the queue of work that minds the time of orders
FAR = 86400.0  # seconds until an order without a date of its own is looked at again
_TOWPATH = "towpath"


def approve(tx: Transaction, number: int, who: str, why: str = "") -> OrderRow:
    """A gate lets its item go on."""
    return _decide(tx, number, Order.ACCEPTED, who, why)


def reject(tx: Transaction, number: int, who: str, why: str) -> OrderRow:
    """A gate ends its item's way, with the reason."""
    if not why:
        raise StateError("a rejection needs its reason")
    return _decide(tx, number, Order.CLOSED, who, why)


def _decide(tx: Transaction, number: int, state: Order, who: str, why: str) -> OrderRow:
    row = _of_kind(tx, number, GATE)
    _entitle(row, who)
    moved = tx.move_order(number, state, who=who, why=why)
    _go_on(tx, moved)
    tell(tx, moved)
    return moved


def claim(tx: Transaction, number: int, who: str) -> OrderRow:
    """Take an order: it is to be delivered until its due date. Again after a rejection: a new due date.

    Raises
    ------
    StateError
        If it is no work order, taken by somebody else, ended, or not for this person.
    """
    row = _of_kind(tx, number, HANDOFF)
    _entitle(row, who)
    if row.state in SENT_BACK and row.who != who:
        raise StateError(f"{row.name} is with {row.who}; it can be assigned to another, or given back")
    if row.state is Order.CLAIMED:
        raise StateError(f"{row.name} is taken by {row.who}; it can be assigned to another, or given back")
    return _taken(tx, row, who, "")


def assign(tx: Transaction, number: int, whom: str, who: str, why: str = "") -> OrderRow:
    """Give an order to somebody, whoever has it."""
    row = _of_kind(tx, number, HANDOFF)
    _entitle(row, whom)
    return _taken(tx, row, whom, why or f"assigned by {who}")


def _taken(tx: Transaction, row: OrderRow, who: str, why: str) -> OrderRow:
    if row.state is Order.DELIVERED:
        raise StateError(f"{row.name} was delivered by {row.who}, and what was delivered is verified")
    moved = tx.move_order(row.id, Order.CLAIMED, who=who, why=why, due=tx.now() + float(row.body["lease"]))
    mind(tx, moved)
    tell(tx, moved)
    return moved


def give_back(tx: Transaction, number: int, who: str, why: str = "") -> OrderRow:
    """Return an order to the pool: whoever has it may.

    Raises
    ------
    StateError
        If somebody else has it.
    """
    row = _of_kind(tx, number, HANDOFF)
    if row.who not in ("", who):
        raise StateError(f"{row.name} is with {row.who}; it can be assigned to another")
    return _to_pool(tx, row, who, why)


def _to_pool(tx: Transaction, row: OrderRow, who: str, why: str) -> OrderRow:
    if row.state in SENT_BACK:
        tx.move_order(row.id, Order.CLAIMED, who=row.who)
    moved = tx.move_order(row.id, Order.OPEN, who=who, why=why)
    tell(tx, moved)
    return moved


def cancel(tx: Transaction, row: OrderRow, why: str) -> None:
    """The question is no longer asked."""
    tell(tx, tx.move_order(row.id, Order.CANCELLED, who=_TOWPATH, why=why))


def take(tx: Transaction, number: int, who: str, why: str, *, delivery: int = 0) -> OrderRow:
    """A person takes a delivery that came late, was rejected or put aside (the last one): it is as good as verified.

    Raises
    ------
    StateError
        If its order has ended, there is no such delivery, or no reason is given.
    """
    if not why:
        raise StateError("taking a delivery that was not accepted needs its reason")
    row = _of_kind(tx, number, HANDOFF)
    found = [one for one in tx.deliveries(number) if not delivery or one.id == delivery]
    if not found:
        raise StateError(f"{row.name} has no delivery{f' {delivery}' if delivery else ''}")
    if row.state is not Order.CLAIMED:
        row = tx.move_order(number, Order.CLAIMED, who=found[-1].who, why=why)
    said = f"taken by {who}: {why}"
    tx.move_delivery(found[-1].id, Delivery.VERIFIED, (said,))
    return deliver(tx, row, found[-1].who, said)


def deliver(tx: Transaction, row: OrderRow, who: str, why: str = "") -> OrderRow:
    """What was delivered is verified: the stage goes on with it."""
    moved = tx.move_order(row.id, Order.DELIVERED, who=who, why=why)
    _go_on(tx, moved)
    tell(tx, moved)
    return moved


def _go_on(tx: Transaction, row: OrderRow) -> None:
    """The stage is looked at again; a look that goes on just now came too early to see the answer."""
    state, why = tx.work_row(row.work).state, f"{row.name} is {row.state.value}"
    if state is Work.HELD:
        tx.release([row.work], row.who, why)
    elif state is Work.RUNNING:
        tx.revise([row.work], why)


def _of_kind(tx: Transaction, number: int, kind: str) -> OrderRow:
    row = tx.order(number)
    if row.kind != kind:
        asked = "a gate, which is approved or rejected" if row.kind == GATE else "a work order"
        raise StateError(f"{row.name} is {asked}")
    return row


def _entitle(row: OrderRow, who: str) -> None:
    people: Sequence[str] = row.body.get("people", ())
    if who != _TOWPATH and not may(list(people), who):
        raise StateError(f"{row.name} is for {', '.join(people)}, and not for {who}")


# ---- time


def mind(tx: Transaction, row: OrderRow) -> None:
    """Have somebody look at an order when its next date comes."""
    bring_forward(tx, row, _next(tx, row))


def bring_forward(tx: Transaction, row: OrderRow, due: float) -> None:
    """Have somebody look at an order at a moment; whoever looks at it just now finds the next date then."""
    work = tx.add_work(CLOCK, subject=row.name, payload={"order": row.id}, due=due)
    if tx.work_row(work).state is not Work.RUNNING:
        tx.set_due(work, due)


def _next(tx: Transaction, row: OrderRow) -> float:
    """The next moment at which something follows for an order."""
    now = tx.now()
    moments = []
    if row.due is not None:
        moments = [row.due - float(row.body.get("remind", 0.0)), row.due]
    return min((moment for moment in moments if moment > now), default=now + FAR)


def due(tx: Transaction, number: int) -> float | None:
    """A date of an order has come: remind, return it to the pool, or decide a gate; the next date, None if it has ended."""
    row, now = tx.order(number), tx.now()
    if row.state not in STANDING_ORDERS:
        return None
    date = row.due
    if date is None or row.state is Order.DELIVERED:
        return _next(tx, row)
    if date <= now:
        row = _expire(tx, row)
    elif date - float(row.body.get("remind", 0.0)) <= now:
        _remind(tx, row, date)
    return _next(tx, row)


def _remind(tx: Transaction, row: OrderRow, date: float) -> None:
    """Once for each date."""
    slot = tx.slot("order reminder", row.name)
    if slot.data.get("due") != date:
        tx.set_slot(slot, {"due": date})
        tell(tx, row, "reminder")


def _expire(tx: Transaction, row: OrderRow) -> OrderRow:
    if row.kind == HANDOFF:
        return _to_pool(tx, row, _TOWPATH, f"{row.who} did not deliver in time")
    policy, why = row.body["on_timeout"], "nobody decided in time"
    if policy == "approve":
        return approve(tx, row.id, _TOWPATH, why)
    if policy == "reject":
        return reject(tx, row.id, _TOWPATH, why)
    tell(tx, row, "reminder")
    return row


def tell(tx: Transaction, row: OrderRow, what: str = "") -> None:
    """Tell the destinations of an order what became of it."""
    item = tx.item(row.item)
    body: dict[str, Any] = {
        "type": f"order {what or row.state.value}",
        "order": row.id,
        "kind": row.kind,
        "title": row.title,
        "item": item.name,
        "stage": row.stage,
        "state": row.state.value,
        "who": row.who,
        "why": row.why,
        "due": row.due,
    }
    if what:
        tx.event("order reminder", item=row.item, stage=row.stage, order=row.id, who=row.who)
    for destination in row.body.get("notify", ()):
        tx.post(destination, row.name, body)
