"""Drop boxes: a folder for each order, looked into now and then; what changed in it brings the look at the order forward.

Promises that the folder tells what was asked (ORDER.json), and that a look costs little where nothing changed. Judges nothing:
the row of work of the order does, so that it is done once, whoever noticed.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from towpath.base import clock
from towpath.base.states import STANDING_ORDERS, Order
from towpath.contracts.catalog import Catalog, Claimed, OrderRow, Transaction
from towpath.contracts.orders import HANDOFF, MANIFEST, ORDER
from towpath.flow.handoff.answer import bring_forward, due
from towpath.flow.handoff.receive import Check, Examined, receive

_Seen = tuple[int, int, int]
_MOST = 10_000  # orders that stand at once


def box_of(places: Mapping[str, str], order: OrderRow) -> Path:
    """The drop box of an order."""
    return Path(places[str(order.body["inbox"])]) / order.name


def lay_out(places: Mapping[str, str], order: OrderRow) -> None:
    """Make the drop box, with what is asked in it; what says so already is left as it is."""
    box = box_of(places, order)
    box.mkdir(parents=True, exist_ok=True)
    body = dict(order.body)
    body["inputs"] = [{**one, "path": places[one["root"]] + one["path"]} for one in body["inputs"]]
    claim = {"token": order.token, "who": order.who, "due": clock.text(order.due) if order.due else None}
    told = {"order": order.id, "title": order.title, **claim, **body}
    text = (json.dumps(told, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
    there = box / ORDER
    if there.is_file() and there.stat().st_size == len(text) and there.read_bytes() == text:
        return
    written = box / f".{ORDER}"
    written.write_bytes(text)
    written.replace(there)


def look_into(
    catalog: Catalog, places: Mapping[str, str], order: OrderRow, who: str = "", *, check: Check | None = None
) -> Examined:
    """Receive what is in the drop box of an order; the box tells then which claim the next manifest is to name."""
    box = box_of(places, order)
    found = receive(catalog, order.id, box, who, check=check)
    with catalog.read() as view:
        now = view.order(order.id)
    if box.is_dir() and now.state in STANDING_ORDERS:
        lay_out(places, now)
    return found


class Boxes:
    """Looks into the drop boxes of orders that stand."""

    def __init__(self, catalog: Catalog, places: Callable[[], Mapping[str, str]]) -> None:
        self._catalog, self._places = catalog, places
        self._seen: dict[int, _Seen] = {}

    def look(self) -> int:
        """Have orders looked at in whose box something changed; returns how many."""
        with self._catalog.read() as view:
            rows = view.orders(kind=HANDOFF, states=STANDING_ORDERS, limit=_MOST)
        places, changed = self._places(), []
        for row in rows:
            found = _state(box_of(places, row)) if row.body["inbox"] in places else None
            if found is not None and found != self._seen.get(row.id):
                self._seen[row.id] = found
                changed.append(row.id)
        if changed:
            self._catalog.write(lambda tx: _look_now(tx, changed))
        return len(changed)


def _state(box: Path) -> _Seen | None:
    """What changes when something is delivered: entries, bytes, newest time; None without a manifest."""
    if not os.path.lexists(box / MANIFEST):
        return None
    count = size = newest = 0
    for root, _, files in os.walk(box):
        for name in files:
            try:
                status = (Path(root) / name).lstat()
            except OSError:  # it was there a moment ago
                continue
            count, size, newest = count + 1, size + status.st_size, max(newest, status.st_ctime_ns)
    return count, size, newest


def _look_now(tx: Transaction, numbers: list[int]) -> None:
    for number in numbers:
        bring_forward(tx, tx.order(number), tx.now())


class Minder:
    """The work of minding one order: its drop box is looked into, and what its dates ask for is done.

    Parameters
    ----------
    catalog, places
        Where orders and roots are.
    check_of
        Finds the check that a pipeline brings, by ``"module:function"``.
    """

    def __init__(
        self,
        catalog: Catalog,
        places: Callable[[], Mapping[str, str]],
        check_of: Callable[[str], Check | None],
    ) -> None:
        self._catalog, self._places, self._check_of = catalog, places, check_of

    def __call__(self, claimed: Claimed) -> None:
        """Mind the order of a claimed row, and make that due again at the order's next date."""
        number = int(claimed.payload["order"])
        with self._catalog.read() as view:
            order = view.order(number)
        if order.kind == HANDOFF and order.state in STANDING_ORDERS and order.state is not Order.DELIVERED:
            look_into(self._catalog, self._places(), order, check=self._check_of(str(order.body["check"])))
        self._catalog.write(lambda tx: tx.finish(claimed, again=due(tx, number)))
