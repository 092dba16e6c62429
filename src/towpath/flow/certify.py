"""Certify: a product becomes the calibration of a kind, valid around its item's time or always.

Promises that two certified calibrations of a kind and selector never overlap: what a newer run of the same item
certifies takes the place of the older, and the setting `overlap` says what becomes of that of another item. All in one
transaction under the lock of kind and selector. Never reads the product.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from towpath.base import clock
from towpath.base.errors import StateError
from towpath.base.model import Item, Product
from towpath.base.spacetime import Span
from towpath.base.states import Outcome
from towpath.base.states import Product as ProductState
from towpath.contracts.catalog import CalibrationRow, Catalog, Claimed, Transaction
from towpath.contracts.definition import KindPlan, StagePlan
from towpath.contracts.executor import Report

ALWAYS = "always"
BEGIN, END = clock.seconds("0001-01-01"), clock.seconds("9999-12-31")  # always, in seconds since the epoch
_BY = "towpath"
_IN_USE = (ProductState.CURRENT, ProductState.MISSING, ProductState.CHANGED)


@dataclass(frozen=True, slots=True)
class Fit:
    """The validity [begin, end) that there is room for, and the numbers it replaces; or why it is not certified."""

    begin: float = 0.0
    end: float = 0.0
    replaces: tuple[int, ...] = ()
    refused: str = ""


class Certifier:
    """The service "certify" (`CertifyTable` says what its settings mean)."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def __call__(self, kind: KindPlan, stage: StagePlan, claimed: Claimed) -> Report:
        """Certify the product that the claim found; returns the report of the run."""
        began = clock.now()
        product = next(row.product for row in claimed.inputs if row.product is not None)
        reasons: tuple[str, ...] = ()
        try:
            refused = self._catalog.write(lambda tx: _certify(tx, stage, claimed, product))
        except StateError as error:
            outcome, text = Outcome.FAILED, str(error)
        else:
            outcome, text = Outcome.REJECTED if refused else Outcome.DONE, ""
            reasons = (refused,) if refused else ()
        seconds = clock.now() - began
        return Report(claimed.work, claimed.token, outcome, began, seconds, error=text, reasons=reasons)


def _certify(tx: Transaction, stage: StagePlan, claimed: Claimed, product: Product) -> str:
    """Returns why it is not certified, if that is a result and no error."""
    if tx.work_row(claimed.work).token != claimed.token:
        raise StateError("this work is no longer ours: it was stopped, or its lease expired")
    item, params = tx.item(claimed.item), stage.params
    name, selector = params["calibration"], _selector(params["selector"], item)
    tx.slot(f"calibration:{name}", selector)
    known = tx.calibrations(name, selector=selector, states=("certified", "decertified"))
    own = [row for row in known if row.state == "certified" and row.product.item == item.id]
    others = [row for row in known if row.state == "certified" and row.product.item != item.id]
    same = [row for row in known if row.product.id == product.id]
    withdrawn = same if all(row.state == "decertified" for row in same) else []
    is_asked_for = claimed.done_key is None  # a first run, or one that a person asked for
    if withdrawn and not is_asked_for:
        return f"calibration {withdrawn[-1].id}, which is the same product, was withdrawn; `towpath rerun` certifies it again"
    fit = fitted(
        params["overlap"], item, _validity(params["valid_before"], params["valid_after"], item), others
    )
    kept = [row for row in own if (row.product.id, row.begin, row.end) == (product.id, fit.begin, fit.end)]
    if kept and not fit.refused:
        return ""
    for row in own:
        tx.decertify(row.id, _BY, "made again", superseded=True)
    if fit.refused:
        return fit.refused
    tx.certify(
        product.id,
        name,
        selector,
        fit.begin,
        fit.end,
        quality=_quality(tx, stage, item),
        by=_BY,
        why=f"run {claimed.work}.{claimed.token}",
        replaces=fit.replaces,
    )
    return ""


def fitted(overlap: str, item: Item, wanted: tuple[float, float], others: Sequence[CalibrationRow]) -> Fit:
    """The validity that a calibration of an item gets beside `others` in force, which are those of other items.

    ``refuse`` leaves an overlap to the catalog, which refuses it as an error. ``clip`` cuts the validity back to what is
    free around the item's own time; where another covers part of that, it is refused. ``replace`` takes the place of
    those of items that were registered earlier, and is refused where one of a later item is in force.
    """
    begin, end = wanted
    inside = [row for row in others if row.begin < end and row.end > begin and row.product.state in _IN_USE]
    if overlap == "replace":
        newer = [row for row in inside if row.product.item > item.id]
        if newer:
            return Fit(refused=f"{_told(newer[-1])} is of an item that was registered later")
        return Fit(begin, end, tuple(row.id for row in inside))
    if overlap == "clip" and item.span is not None:
        for row in inside:
            if _covers(row, item.span):
                return Fit(refused=f"{_told(row)} covers the item's own time")
            if row.end <= item.span.begin:
                begin = max(begin, row.end)
            else:
                end = min(end, row.begin)
    return Fit(begin, end)


def _covers(row: CalibrationRow, span: Span) -> bool:
    """Whether a calibration is valid at some moment of a span, which may be a single one."""
    if span.begin == span.end:
        return row.begin <= span.begin < row.end
    return row.begin < span.end and row.end > span.begin


def _told(row: CalibrationRow) -> str:
    return f"calibration {row.id}, valid from {clock.text(row.begin)} to {clock.text(row.end)},"


def _selector(name: str, item: Item) -> str:
    return str(item.attributes.get(name, "")) if name else ""


def _validity(before: float | str, after: float | str, item: Item) -> tuple[float, float]:
    """The validity that is wished for, in seconds since the epoch."""
    span = item.span
    if span is None and not (before == after == ALWAYS):
        raise StateError(
            f"{item.name} has no time, so its calibration has no validity; give its source or kind a time, or say "
            f'valid_before = "{ALWAYS}" and valid_after = "{ALWAYS}"'
        )
    begin = BEGIN if span is None or before == ALWAYS else span.begin - float(before)
    end = END if span is None or after == ALWAYS else span.end + float(after)
    return begin, end


def _quality(tx: Transaction, stage: StagePlan, item: Item) -> float:
    wanted = stage.params["quality"]
    found = [
        measure.value
        for run in tx.runs(item.id)
        for measure in run.measures
        if wanted and measure.name == wanted
    ]
    return float(found[-1]) if found and isinstance(found[-1], int | float) else 0.0
