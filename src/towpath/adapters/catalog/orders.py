"""Orders to people and what they delivered, as rows; `ordering` writes them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from towpath.adapters.catalog.sql import Session, load, marks
from towpath.base.errors import NotFoundError
from towpath.base.states import Delivery, Order
from towpath.contracts.catalog import DeliveryRow, OrderRow

ORDER_COLUMNS = (
    'id, work_id, item_id, queue_id, kind, state, token, "key", title, body, who, why, due, opened, changed'
)
DELIVERY_COLUMNS = "id, order_id, token, sha256, state, who, place, reasons, manifest, time"


class OrderReading(Session):
    """Adds the search for orders."""

    def order(self, number: int) -> OrderRow:
        """An order by its number. Raises `NotFoundError`."""
        row = self.one(f"SELECT {ORDER_COLUMNS} FROM orders WHERE id = ?", (number,))
        if row is None:
            raise NotFoundError(f"there is no order {number}")
        return self.to_order(row)

    def orders(
        self,
        *,
        item: int = 0,
        work: int = 0,
        kind: str = "",
        states: Sequence[Order] = (),
        after: int = 0,
        limit: int = 100,
    ) -> list[OrderRow]:
        """Orders, oldest first; those with an id above `after`."""
        where = ["id > ?"]
        values: list[Any] = [after]
        asked: tuple[tuple[str, Any], ...] = (("item_id", item), ("work_id", work), ("kind", kind))
        for column, value in asked:
            if value:
                where.append(f"{column} = ?")
                values.append(value)
        if states:
            where.append(f"state IN ({marks(states)})")
            values += [state.value for state in states]
        statement = f"SELECT {ORDER_COLUMNS} FROM orders WHERE {' AND '.join(where)} ORDER BY id LIMIT ?"
        return [self.to_order(row) for row in self.rows(statement, (*values, limit))]

    def deliveries(self, order: int) -> list[DeliveryRow]:
        """What was delivered to an order, oldest first."""
        statement = f"SELECT {DELIVERY_COLUMNS} FROM deliveries WHERE order_id = ? ORDER BY id"
        return [to_delivery(row) for row in self.rows(statement, (order,))]

    def to_order(self, row: Any) -> OrderRow:
        """An order from a row of `ORDER_COLUMNS`."""
        number, work, item, queue, kind, state, token, key, title, body, who, why, due, opened, changed = row
        return OrderRow(
            work,
            item,
            self.queue_name(queue)[2],
            kind,
            bytes(key),
            title,
            load(body, {}),
            Order(state),
            token,
            who,
            why,
            due,
            opened,
            changed,
            number,
        )


def to_delivery(row: Any) -> DeliveryRow:
    """A delivery from a row of `DELIVERY_COLUMNS`."""
    number, order, token, sha256, state, who, place, reasons, manifest, time = row
    found = DeliveryRow(
        order, token, bytes(sha256), Delivery(state), who, place, load(manifest, {}), tuple(load(reasons, []))
    )
    return replace(found, time=time, id=number)
