"""Orders to people and their deliveries: rows that wait for somebody, while no worker does.

Promises that only the transitions of `base.states` are written, that an order is opened by the owner of its work, and that
the same manifest twice is one delivery. Never touches a disk.
"""

from collections.abc import Sequence
from typing import Any

from towpath.adapters.catalog.orders import DELIVERY_COLUMNS, ORDER_COLUMNS, to_delivery
from towpath.adapters.catalog.retaining import Retaining
from towpath.adapters.catalog.sql import dump
from towpath.base import states
from towpath.base.errors import NotFoundError, StateError
from towpath.base.states import Delivery, Order, Work
from towpath.contracts.catalog import Claimed, DeliveryRow, OrderRow


class Ordering(Retaining):
    """Adds what is done to orders."""

    def open_order(self, claimed: Claimed, row: OrderRow, *, reaches: str = "") -> OrderRow:
        """Open an order for claimed work, fenced by the claim's token; the item reaches a milestone with it."""
        work = self.work_row(claimed.work)
        if work.token != claimed.token or work.state is not Work.RUNNING:
            raise StateError("this work is no longer ours: it was stopped, or its lease expired")
        now = self.now()
        number = self.one(
            'INSERT INTO orders (work_id, item_id, queue_id, kind, state, token, "key", title, body, who, why, due, opened, '
            "changed) VALUES (?, ?, ?, ?, 'open', 0, ?, ?, ?, '', '', ?, ?, ?) RETURNING id",
            (
                claimed.work,
                claimed.item,
                self.intern((work.pipeline, work.kind, work.stage)),
                row.kind,
                row.key,
                row.title,
                dump(dict(row.body)) or "{}",
                row.due,
                now,
                now,
            ),
        )[0]
        if reaches:
            self._reach([(claimed.item, reaches, now)])
        opened = self.order(number)
        self._tell(opened, {})
        return opened

    def move_order(
        self, number: int, state: Order, *, who: str = "", why: str = "", due: float | None = None
    ) -> OrderRow:
        """Move an order on, if the table allows it; claimed: token + 1. Raises `StateError`."""
        row = self.one(f"SELECT {ORDER_COLUMNS} FROM orders WHERE id = ?{self.locking_plain}", (number,))
        if row is None:
            raise NotFoundError(f"there is no order {number}")
        old = self.to_order(row)
        if (old.state, state) not in states.ORDER:
            raise StateError(f"{old.name} is {old.state.value}; it cannot become {state.value}")
        is_taken = state is Order.CLAIMED
        holder = (who if is_taken else "") if state in (Order.OPEN, Order.CLAIMED) else who or old.who
        self.cursor.execute(
            "UPDATE orders SET state = ?, token = token + ?, who = ?, why = ?, due = ?, changed = ? WHERE id = ?",
            (state.value, int(is_taken), holder, why, due, self.now(), number),
        )
        moved = self.order(number)
        self._tell(moved, {name: text for name, text in (("who", who), ("why", why)) if text})
        return moved

    def _tell(self, row: OrderRow, told: dict[str, Any]) -> None:
        self.event("order", item=row.item, stage=row.stage, order=row.id, state=row.state.value, **told)

    def add_delivery(self, row: DeliveryRow) -> DeliveryRow:
        """Write down a delivery; the same manifest again is the same delivery, as it was judged first."""
        fresh = self.one(
            "INSERT INTO deliveries (order_id, token, sha256, state, who, place, reasons, manifest, time) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
            (
                row.order,
                row.token,
                row.sha256,
                row.state.value,
                row.who,
                row.place,
                dump(list(row.reasons)) or "[]",
                dump(dict(row.manifest)) or "{}",
                self.now(),
            ),
        )
        if fresh is not None:
            order = self.order(row.order)
            told: dict[str, Any] = {"reasons": list(row.reasons)} if row.reasons else {}
            self.event(
                "delivery", item=order.item, stage=order.stage, order=row.order, state=row.state.value, who=row.who, **told
            )  # fmt: skip
        found = self.one(
            f"SELECT {DELIVERY_COLUMNS} FROM deliveries WHERE order_id = ? AND sha256 = ?",
            (row.order, row.sha256),
        )
        return to_delivery(found)

    def move_delivery(self, number: int, state: Delivery, reasons: Sequence[str]) -> None:
        """A person judged a delivery otherwise, or it changed after it was judged."""
        self.cursor.execute(
            "UPDATE deliveries SET state = ?, reasons = ? WHERE id = ?",
            (state.value, dump(list(reasons)) or "[]", number),
        )
