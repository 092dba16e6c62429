"""Orders of a site: the questions that wait for people, and what people do about them.

Promises that a delivery made here has its manifest last, so that one that is cut off is none. Decides nothing.
"""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from towpath.app.calibrating import Calibrating
from towpath.app.wiring import check_of
from towpath.base import hashing
from towpath.base.errors import NotFoundError, StateError, UsageError
from towpath.base.states import STANDING_ORDERS, WITH_SOMEBODY, Order
from towpath.contracts.catalog import DeliveryRow, OrderRow, Transaction
from towpath.contracts.orders import GATE, MANIFEST, ORDER
from towpath.flow import handoff


@dataclass(frozen=True, slots=True)
class OrderDetails:
    """An order with its item, its drop box (None for a gate), the places of what is given, and what was delivered."""

    row: OrderRow
    item: str
    box: Path | None
    inputs: tuple[Path, ...]
    deliveries: tuple[DeliveryRow, ...]


class Orders(Calibrating):
    """The verbs of orders."""

    def orders(
        self, *, kind: str = "", item: str = "", every: bool = False, after: int = 0, limit: int = 100
    ) -> list[OrderDetails]:
        """Orders that stand (or `every` one), oldest first.

        Parameters
        ----------
        kind
            ``gate`` or ``handoff``.
        item
            Only those of this item.
        after, limit
            A page: so many with a number above `after`.
        """
        number = self.find(item).id if item else 0
        with self.catalog.read() as view:
            rows = view.orders(
                item=number, kind=kind, states=() if every else STANDING_ORDERS, after=after, limit=limit
            )
        return [self._details(row) for row in rows]

    def order(self, number: int) -> OrderDetails:
        """Everything about one order.

        Raises
        ------
        NotFoundError
            If there is none with this number.
        """
        with self.catalog.read() as view:
            row = view.order(number)
        return self._details(row)

    def _details(self, row: OrderRow) -> OrderDetails:
        with self.catalog.read() as view:
            item, deliveries = view.item(row.item).name, tuple(view.deliveries(row.id))
        places = self._parts.places
        box = None if row.kind == GATE else handoff.box_of(places, row)
        inputs = tuple(Path(places[one["root"]] + one["path"]) for one in row.body["inputs"])
        return OrderDetails(row, item, box, inputs, deliveries)

    # ---- gates
    def approve(self, name: str, stage: str = "", *, why: str = "") -> OrderDetails:
        """Let an item go on at a gate.

        Raises
        ------
        StateError
            If the item waits at no gate (or at several, and none is named), or you may not decide.
        """
        return self._decide(name, stage, lambda tx, number: handoff.approve(tx, number, self.who, why))

    def reject(self, name: str, stage: str = "", *, why: str) -> OrderDetails:
        """End an item's way at a gate, with the reason.

        Raises
        ------
        StateError
            As for `approve`.
        """
        return self._decide(name, stage, lambda tx, number: handoff.reject(tx, number, self.who, why))

    def _decide(self, name: str, stage: str, act: Callable[[Transaction, int], OrderRow]) -> OrderDetails:
        item = self.find(name)
        with self.catalog.read() as view:
            rows = view.orders(item=item.id, kind=GATE, states=[Order.OPEN])
        found = [row for row in rows if stage in ("", row.stage)]
        if len(found) != 1:
            waits = ", ".join(row.stage for row in rows) or "no gate"
            raise StateError(
                f"{item.name} waits at {waits}; {'name one of them' if found else 'nothing is to be decided'}"
            )
        return self._details(self._write(lambda tx: act(tx, found[0].id)))

    # ---- work orders
    def claim_order(self, number: int) -> OrderDetails:
        """Take an order: its delivery is awaited until its due date."""
        return self._laid_out(self._write(lambda tx: handoff.claim(tx, number, self.who)))

    def assign_order(self, number: int, whom: str, *, why: str = "") -> OrderDetails:
        """Give an order to somebody, whoever has it."""
        return self._laid_out(self._write(lambda tx: handoff.assign(tx, number, whom, self.who, why)))

    def _laid_out(self, row: OrderRow) -> OrderDetails:
        """Its drop box tells who has it now, and what a manifest must say."""
        handoff.lay_out(self._parts.places, row)
        return self._details(row)

    def return_order(self, number: int, *, why: str = "") -> OrderDetails:
        """Give an order back: anybody may take it."""
        return self._details(self._write(lambda tx: handoff.give_back(tx, number, self.who, why)))

    def check_order(self, number: int) -> handoff.Examined:
        """Look into the drop box of an order now, and judge what is in it."""
        details = self.order(number)
        if details.box is None:
            raise StateError(f"{details.row.name} is a gate, which is approved or rejected")
        check = check_of(str(details.row.body["check"]))
        return handoff.look_into(self.catalog, self._parts.places, details.row, self.who, check=check)

    def deliver(
        self, number: int, files: Sequence[str | os.PathLike[str]], *, comment: str = ""
    ) -> handoff.Examined:
        """Deliver files to an order that you have taken: copied into its drop box, the manifest last; then judged.

        Raises
        ------
        UsageError
            If a file is missing, or two have the same name.
        StateError
            If the order is not yours, or not to be delivered to.
        """
        details = self.order(number)
        row, box = details.row, details.box
        if box is None or row.state not in WITH_SOMEBODY or row.who != self.who:
            state = f"{row.state.value}{f' by {row.who}' if row.who else ''}"
            raise StateError(f"{row.name} is {state}; take it first: `towpath orders claim {number}`")
        paths = [Path(name) for name in files]
        missing = [str(path) for path in paths if not path.is_file()]
        if missing:
            raise UsageError(f"{', '.join(missing)}: there is no such file")
        if len({path.name for path in paths}) < len(paths):
            raise UsageError("found two files of one name; expected each name once")
        _fill(box, row, paths, self.who, comment)
        return self.check_order(number)

    def take_delivery(self, number: int, *, why: str, delivery: int = 0) -> OrderDetails:
        """Take a delivery that was not accepted (the last one of an order) as if it had been."""
        return self._details(
            self._write(lambda tx: handoff.take(tx, number, self.who, why, delivery=delivery))
        )

    def find_order(self, text: str) -> int:
        """The number of an order that is written ``12`` or ``order-12``.

        Raises
        ------
        NotFoundError
            If it is written otherwise.
        """
        number = text.removeprefix("order-")
        if not (number.isascii() and number.isdigit()):
            raise NotFoundError(f"{text!r} is no order; orders are written 12 or order-12")
        return int(number)


def _fill(box: Path, row: OrderRow, paths: Sequence[Path], who: str, comment: str) -> None:
    """Put files into a drop box in place of what lay there, the manifest last, by one rename."""
    box.mkdir(parents=True, exist_ok=True)
    (box / MANIFEST).unlink(missing_ok=True)
    told = []
    for path in paths:
        target = box / path.name
        if target.is_symlink():  # what it points at is not ours to write
            target.unlink()
        if not (target.exists() and target.samefile(path)):
            shutil.copyfile(path, target)
        made = hashing.content(target)
        told.append({"path": path.name, "bytes": made.size, "sha256": made.sha256.hex()})
    names = {one["path"] for one in told}
    for other in box.iterdir():  # of an earlier delivery
        if other.is_file() and other.name not in names and other.name not in (ORDER, f".{ORDER}"):
            other.unlink()
    manifest = {"order": row.id, "token": row.token, "files": told, "operator": who, "comment": comment}
    written = box / f".{MANIFEST}"
    written.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    written.replace(box / MANIFEST)
