"""Certify: a product becomes the calibration of a kind, valid around its item's time.

Promises that two certified calibrations of a kind and selector never overlap: what a newer run of the same item
certifies takes the place of the older. Never reads the product.
"""

from towpath.base import clock
from towpath.base.errors import StateError
from towpath.base.model import Item, Product
from towpath.base.states import Outcome
from towpath.contracts.catalog import Catalog, Claimed, Transaction
from towpath.contracts.definition import KindPlan, StagePlan
from towpath.contracts.executor import Report


class Certifier:
    """The service "certify" (`CertifyTable` says what its settings mean)."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def __call__(self, kind: KindPlan, stage: StagePlan, claimed: Claimed) -> Report:
        """Certify the product that the claim found; returns the report of the run."""
        began = clock.now()
        product = next(row.product for row in claimed.inputs if row.product is not None)
        try:
            self._catalog.write(lambda tx: _certify(tx, stage, claimed, product))
        except StateError as error:
            outcome, text = Outcome.FAILED, str(error)
        else:
            outcome, text = Outcome.DONE, ""
        return Report(claimed.work, claimed.token, outcome, began, clock.now() - began, error=text)


def _certify(tx: Transaction, stage: StagePlan, claimed: Claimed, product: Product) -> None:
    if tx.work_row(claimed.work).token != claimed.token:
        raise StateError("this work is no longer ours: it was stopped, or its lease expired")
    item = tx.item(claimed.item)
    name, selector, begin, end = _validity(stage, item)
    own = [row for row in tx.calibrations(name, selector=selector) if row.product.item == item.id]
    if any((row.product.id, row.begin, row.end) == (product.id, begin, end) for row in own):
        return
    for row in own:
        tx.decertify(row.id, "towpath", "made again")
    quality = _quality(tx, stage, item)
    tx.certify(
        product.id,
        name,
        selector,
        begin,
        end,
        quality=quality,
        by="towpath",
        why=f"run {claimed.work}.{claimed.token}",
    )


def _validity(stage: StagePlan, item: Item) -> tuple[str, str, float, float]:
    """The calibration's kind, selector, and validity in seconds since the epoch."""
    if item.span is None:
        raise StateError(
            f"{item.name} has no time, so its calibration has no validity; give its source or kind a time"
        )
    params = stage.params
    selector = str(item.attributes.get(params["selector"], "")) if params["selector"] else ""
    begin, end = item.span.begin - params["valid_before"], item.span.end + params["valid_after"]
    return params["calibration"], selector, begin, end


def _quality(tx: Transaction, stage: StagePlan, item: Item) -> float:
    wanted = stage.params["quality"]
    found = [
        measure.value
        for run in tx.runs(item.id)
        for measure in run.measures
        if wanted and measure.name == wanted
    ]
    return float(found[-1]) if found and isinstance(found[-1], int | float) else 0.0
