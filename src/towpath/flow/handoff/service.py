"""The desk: opens an order when the turn of a gate or hand-off comes, and ends its stage when it is answered.

Promises that what was delivered enters the store as the product of a run does, verified once more as it is copied, and that
an order whose inputs changed is cancelled and asked anew. A person's answer counts once.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from towpath.base import clock, ids, template
from towpath.base.errors import DefinitionError, StateError, StorageError
from towpath.base.states import STANDING_ORDERS, Delivery, Order, Outcome
from towpath.contracts.catalog import Catalog, Claimed, OrderRow, Transaction, View
from towpath.contracts.definition import Definition, KindPlan, StagePlan
from towpath.contracts.executor import Output, Report
from towpath.contracts.orders import (
    HANDOFF,
    DeliveryManifest,
    GateSettings,
    HandoffSettings,
    settings,
)
from towpath.flow.handoff.answer import cancel, mind, tell
from towpath.flow.handoff.boxes import box_of, lay_out
from towpath.flow.handoff.receive import outputs_of

Take = Callable[[Mapping[str, Path], Mapping[str, str], str, int, bool], Sequence[Output]]
_ANSWERED = (Outcome.DONE, Outcome.REJECTED)


class Desk:
    """The services "gate" and "handoff".

    Parameters
    ----------
    catalog
        Where orders are.
    definitions, places
        The active definitions by pipeline, and the absolute places of the roots.
    take
        Copies files to a place in the store as the outputs of a run: files and sha256 by output, place, token, whether it is one.
    destinations
        Who is told of orders, unless the pipeline file says.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        definitions: Callable[[], Mapping[str, Definition]],
        places: Callable[[], Mapping[str, str]],
        take: Take,
        destinations: Sequence[str] = (),
    ) -> None:
        self._catalog, self._definitions, self._places = catalog, definitions, places
        self._take, self._destinations = take, tuple(destinations)

    def __call__(self, kind: KindPlan, stage: StagePlan, claimed: Claimed) -> Report:
        """Open an order, or end its work as it was answered."""
        began = clock.now()
        outputs: tuple[Output, ...] = ()
        reasons: tuple[str, ...] = ()
        error = ""
        try:
            order = self._catalog.write(lambda tx: self._asked(tx, kind, stage, claimed))
            outcome, reasons = _answer(order)
            if order.kind == HANDOFF and outcome is Outcome.HELD:
                lay_out(self._places(), order)
            if order.state is Order.DELIVERED:
                outputs = tuple(self._import(kind, stage, claimed, order))
        except _ChangedError as problem:
            why = str(problem)
            order = self._catalog.write(lambda tx: self._send_back(tx, order, why))
            if box_of(self._places(), order).is_dir():  # a disk that is away is not made anew
                lay_out(self._places(), order)
            outcome, reasons = Outcome.HELD, (f"{order.name}: {why}",)
        except (StateError, DefinitionError, StorageError, OSError) as problem:
            outcome, error = Outcome.FAILED, f"{type(problem).__name__}: {problem}"
        return Report(
            claimed.work,
            claimed.token,
            outcome,
            began,
            clock.now() - began,
            outputs,
            reasons=reasons,
            error=error,
        )

    # ---- asking
    def _asked(self, tx: Transaction, kind: KindPlan, stage: StagePlan, claimed: Claimed) -> OrderRow:
        """The order that stands for this work and key, opened if there is none."""
        row = standing(tx, claimed.work)
        assert claimed.key is not None
        if row is not None and row.key != claimed.key:
            if row.state in STANDING_ORDERS:
                cancel(tx, row, "what it was about has changed")
            row = None
        if row is not None and _is_used(tx, row):
            row = None
        return row or self._open(tx, kind, stage, claimed, claimed.key)

    def _open(
        self, tx: Transaction, kind: KindPlan, stage: StagePlan, claimed: Claimed, key: bytes
    ) -> OrderRow:
        chosen = settings(stage.service, stage.params)
        item = tx.item(claimed.item)
        facts = {
            "pipeline": kind.pipeline,
            "kind": kind.name,
            "stage": stage.name,
            "item": {**item.attributes, "key": item.key},
        }
        try:
            texts = [template.render(text, facts) for text in (chosen.title, chosen.instructions)]
        except ValueError as error:
            raise DefinitionError(f"{stage.name}: {error}") from None
        notify = self._destinations if chosen.notify is None else chosen.notify
        body = {
            "item": item.name,
            "stage": stage.name,
            "instructions": texts[1],
            "people": list(chosen.people),
            "notify": list(notify),
            "inputs": list(_inputs(claimed)),
            **_terms(chosen),
        }
        due = tx.now() + chosen.timeout if isinstance(chosen, GateSettings) and chosen.timeout else None
        row = OrderRow(claimed.work, claimed.item, stage.name, stage.service, key, texts[0], body, due=due)
        opened = tx.open_order(claimed, row, reaches=chosen.opens)
        mind(tx, opened)
        tell(tx, opened)
        return opened

    # ---- taking in
    def _import(
        self, kind: KindPlan, stage: StagePlan, claimed: Claimed, order: OrderRow
    ) -> Sequence[Output]:
        with self._catalog.read() as view:
            given = [one for one in view.deliveries(order.id) if one.state is Delivery.VERIFIED]
        if not given:
            raise _ChangedError("there is no verified delivery")
        last = given[-1]
        manifest = DeliveryManifest.model_validate(last.manifest)
        files, _ = outputs_of(Path(last.place), manifest, order.body["deliver"])
        named = {Path(last.place) / one.path: one.sha256 for one in manifest.files}
        hashes = {output: named[path] for output, path in files.items()}
        layout = self._definitions()[kind.pipeline].layout
        folder = self._places()["store"] + layout.format(
            pipeline=kind.pipeline, kind=kind.name, stage=stage.name
        )
        place = f"{folder}/{ids.slug(claimed.item_key)}"
        try:
            return self._take(files, hashes, place, claimed.token, len(stage.outputs) == 1)
        except FileNotFoundError as error:
            raise _ChangedError(f"{error.filename} is gone") from None
        except ValueError as error:
            raise _ChangedError(str(error)) from None

    def _send_back(self, tx: Transaction, order: OrderRow, why: str) -> OrderRow:
        """The files are not what was verified: the delivery is rejected, and its author has the order again."""
        if (now := tx.order(order.id)).state is not Order.DELIVERED:
            return now
        for one in tx.deliveries(order.id):
            if one.state is Delivery.VERIFIED:
                tx.move_delivery(one.id, Delivery.REJECTED, (why,))
        due = tx.now() + float(order.body["lease"])
        moved = tx.move_order(order.id, Order.CLAIMED, who=order.who, why=why, due=due)
        mind(tx, moved)
        tell(tx, moved)
        return moved


class _ChangedError(Exception):
    """Delivered files are no longer what was verified."""


def standing(view: View, work: int) -> OrderRow | None:
    """The order that was opened last for some work, unless it was cancelled."""
    rows = [row for row in view.orders(work=work, limit=10_000) if row.state is not Order.CANCELLED]
    return rows[-1] if rows else None


def _is_used(view: View, row: OrderRow) -> bool:
    """Whether an answer has ended its work once: now it is asked anew."""
    if row.state in STANDING_ORDERS:
        return False
    if row.kind == HANDOFF:
        return True
    return any(run.outcome in _ANSWERED and run.began >= row.changed for run in view.runs(work=row.work))


def _answer(row: OrderRow) -> tuple[Outcome, tuple[str, ...]]:
    if row.state is Order.CLOSED:
        return Outcome.REJECTED, (f"{row.who}: {row.why}",)
    if row.state in (Order.ACCEPTED, Order.DELIVERED):
        return Outcome.DONE, ((f"{row.who}: {row.why}",) if row.why else ())
    return Outcome.HELD, (f"{row.name} waits for people: {row.title}",)


def _inputs(claimed: Claimed) -> list[dict[str, Any]]:
    return [
        {
            "name": row.name,
            "item": row.item or claimed.item_key,
            "root": row.product.root,
            "path": row.product.path,
            "type": row.product.type,
            "bytes": row.product.size,
            "sha256": row.product.sha256.hex(),
        }
        for row in claimed.inputs
        if row.product is not None
    ]


def _terms(chosen: GateSettings | HandoffSettings) -> dict[str, Any]:
    if isinstance(chosen, GateSettings):
        return {"timeout": chosen.timeout, "on_timeout": chosen.on_timeout}
    asked = [{"output": name, **one.model_dump(mode="json")} for name, one in sorted(chosen.asks.items())]
    return {
        "deliver": asked,
        "lease": chosen.lease,
        "remind": chosen.remind,
        "inbox": chosen.inbox,
        "check": chosen.check,
    }


def accepted(
    tx: Transaction, definition: Definition, kind: KindPlan, stage: StagePlan, items: Sequence[int]
) -> None:
    """In the transaction that ends a hand-off: what was delivered is accepted."""
    if stage.service != HANDOFF:
        return
    for item in items:
        for row in tx.orders(item=item, kind=HANDOFF, states=[Order.DELIVERED]):
            if row.stage == stage.name:
                tell(tx, tx.move_order(row.id, Order.ACCEPTED, who=row.who, why=row.why))
