"""Calibrations: which are in force, which served at a time; certifying and withdrawing one."""

from typing import Annotated, Any

from fastapi import Query

from towpath.api import shapes, telling
from towpath.api.asking import Asked, Asker
from towpath.api.routes.products import find_product
from towpath.api.routes.routing import Number, may, router
from towpath.app.calibrating import CalibrationStatus
from towpath.base import clock
from towpath.base.errors import NotFoundError, UsageError
from towpath.contracts.auth import Permission

routes = router("calibrations")


def seen(asker: Asked, found: list[CalibrationStatus]) -> list[dict[str, Any]]:
    """Those of which the asker may view the item."""
    known: dict[str, bool] = {}
    for one in found:
        if one.item not in known:
            item = asker.site.find(one.item)
            known[one.item] = asker.sees(item.pipeline, item)
    return [told(one) for one in found if known[one.item]]


def told(one: CalibrationStatus) -> dict[str, Any]:
    """A calibration; an interval without an end has none."""
    return telling.told(one, begin=telling.moment(one.begin), end=telling.moment(one.end))


@routes.get("/calibrations", response_model=list[shapes.CalibrationShape], dependencies=may(Permission.VIEW))
def calibrations(
    asker: Asker,
    kind: str = "",
    selector: str | None = None,
    state: Annotated[str, Query(description="certified, superseded, decertified; empty: all")] = "certified",
    at: Annotated[str, Query(description="only those valid at this moment (ISO 8601), the best first")] = "",
) -> Any:
    """Calibrations, and what a look at the disk says of their bytes."""
    found = asker.site.calibrations(kind, selector=selector, state=state)
    if at:
        moment = _moment("at", at)
        valid = [one for one in found if one.begin <= moment < one.end]
        found = sorted(valid, key=lambda one: -one.quality)
    return seen(asker, found)


@routes.post(
    "/calibrations",
    response_model=shapes.CalibrationShape,
    status_code=201,
    dependencies=may(Permission.CERTIFY),
)
def certify(asker: Asker, wanted: shapes.Certification) -> Any:
    """Certify a product by hand."""
    product = find_product(asker, wanted.product, Permission.CERTIFY)
    begin, end = _moment("begin", wanted.begin), _moment("end", wanted.end)
    made = asker.site.certify(
        product.id, wanted.kind, wanted.selector, begin, end, quality=wanted.quality, why=wanted.why
    )
    return told(made)


@routes.post(
    "/calibrations/{number}/decertify",
    response_model=shapes.CalibrationShape,
    dependencies=may(Permission.CERTIFY),
)
def decertify(asker: Asker, number: Number, wanted: shapes.Because) -> Any:
    """Withdraw a calibration; work that stands on it is to be done again. Answers it as it was."""
    found = [one for one in asker.site.calibrations(state="") if one.number == number]
    item = asker.site.find(found[0].item) if found else None
    if item is None or not asker.sees(item.pipeline, item):
        raise NotFoundError(f"no calibration with number {number}")
    asker.need(Permission.CERTIFY, item)
    return told(asker.site.decertify(number, why=wanted.why))


def _moment(name: str, text: str) -> float:
    try:
        return clock.seconds(text)
    except (ValueError, OverflowError):
        raise UsageError(f"{name}: found {text!r}; expected a moment such as 2026-03-01T12:00:00Z") from None
