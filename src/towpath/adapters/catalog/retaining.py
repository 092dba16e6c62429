"""What is kept and for how long: pins, superseded products on their way out, and events that are old enough to go.

Promises that each step is bounded, that a pin set before it holds, and that events are only cut off at the oldest end,
so that their numbers stay without a gap. Never touches a disk, and never deletes a run: it is the provenance of products.
"""

from collections.abc import Sequence
from typing import Any

from towpath.adapters.catalog.letting import Letting
from towpath.adapters.catalog.sql import chunks, marks
from towpath.base.model import Product
from towpath.base.states import Product as State


class Retaining(Letting):
    """Adds pins and pruning."""

    def pin(self, products: Sequence[int], who: str, why: str, until: float | None = None) -> int:
        """Retention leaves these alone until a moment (None: for ever); returns how many. Again: the newer counts."""
        self.cursor.executemany(
            "INSERT INTO pins (product_id, author, why, until) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (product_id, author) DO UPDATE SET why = excluded.why, until = excluded.until",
            [(product, who, why, until) for product in products],
        )
        self._told("pinned", products, {"who": who, "why": why, **({"until": until} if until else {})})
        return len(products)

    def unpin(self, products: Sequence[int], who: str = "") -> int:
        """Take pins off again, those of one author or all; returns how many."""
        count = 0
        for part in chunks(products):
            self.cursor.execute(
                f"DELETE FROM pins WHERE product_id IN ({marks(part)}){' AND author = ?' if who else ''}",
                (*part, *([who] if who else [])),
            )
            count += self.cursor.rowcount
            self.cursor.execute(
                f"UPDATE products SET look = ? WHERE look IS NOT NULL AND id IN ({marks(part)})",
                (self.now(), *part),
            )
        if count:
            self._told("unpinned", products, {"who": who} if who else {})
        return count

    def _told(self, event: str, products: Sequence[int], told: dict[str, Any]) -> None:
        for product in self._products_by_id(products).values():
            self.event(event, item=product.item, stage=product.stage, path=product.path, **told)

    def to_trash(self, before: float, *, limit: int, oldest: float | None = None) -> int:
        """Move superseded products to trash (see `sweepable`); returns how many."""
        found = [product.id for product in self.sweepable(before, limit=limit, oldest=oldest)]
        return self.mark(found, State.TRASH, "superseded") if found else 0

    def leave_trash(self, before: float, *, limit: int, shed_before: float | None = None) -> list[Product]:
        """Products in trash are deleted, those let go are spent; returns them.

        Their bytes are to be removed when this is committed. `shed_before` is another moment for those let go. A place
        that a younger product in trash or a superseded one shares is left to that one: it is not returned.
        """
        found = [product for product, _ in self.trash(before, limit=limit, shed_before=shed_before)]
        shed = [product.id for product in found if product.state is State.SHED]
        old = [product.id for product in found if product.state is not State.SHED]
        if old:
            self.mark(old, State.DELETED, "swept")
        if shed:
            self.mark(shed, State.SPENT, "swept")
        shared = self._still_there(found)
        return [product for product in found if (product.root, product.path) not in shared]

    def _still_there(self, products: Sequence[Product]) -> set[tuple[str, str]]:
        rows = self.rows_in(
            "SELECT root_id, path FROM products WHERE state IN ('superseded', 'trash') AND path IN ({in})",
            [product.path for product in products],
        )
        return {(self.root_name(row[0]), row[1]) for row in rows}

    def prune_events(self, before: float, *, limit: int) -> int:
        """Delete the oldest events, as far as they are from before a moment; returns how many."""
        rows = self.rows("SELECT seq, time FROM events ORDER BY seq LIMIT ?", (limit,))
        last = 0
        for seq, time in rows:
            if time >= before:
                break
            last = seq
        if not last:
            return 0
        self.cursor.execute("DELETE FROM events WHERE seq <= ?", (last,))
        return self.cursor.rowcount
