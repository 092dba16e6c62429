"""Calibrations: which were in force when, whether their bytes are there, who stands on them; certifying, withdrawing."""

from typing import Annotated

from fastapi import Form, Request, Response

from towpath.api import shapes
from towpath.api.asking import Asked, Asker
from towpath.api.pages import timeline
from towpath.api.pages.page import Viewer, attempt, render, router, stream_of
from towpath.api.pages.reason import reason
from towpath.api.routes import calibrations as rest
from towpath.api.routes.routing import Number
from towpath.api.sight import seen
from towpath.app.calibrating import STATES, CalibrationStatus
from towpath.base import clock
from towpath.base.errors import UsageError
from towpath.base.model import Item
from towpath.contracts.auth import Permission

routes = router()

_MOST = 300  # calibrations that are listed
_DRAWN = 600
_FAR = 1e11
_HERE = "/calibrations"

Text = Annotated[str, Form(max_length=200)]


@routes.get(_HERE)
def page(
    request: Request, asker: Viewer, kind: str = "", selector: str = "", state: str = "certified"
) -> Response:
    """The calibrations of a kind, or all, as a drawing and as a list."""
    stream = stream_of(asker, type=["certified", "decertified", "superseded", "product"])
    wanted = "" if state == "all" else state
    if wanted not in ("", *STATES):
        raise UsageError(f"state: found {state!r}; expected all, or one of {', '.join(STATES)}")
    items: dict[str, Item] = {}
    found = []
    for one in asker.site.calibrations(kind, selector=selector or None, state=wanted):
        item = items.setdefault(one.item, asker.site.find(one.item))
        if asker.sees(item.pipeline, item):
            found.append(one)
    found.sort(key=lambda one: (-one.begin, -one.number))
    return render(
        request,
        asker,
        "calibrations.html",
        stream=stream,
        title="Calibrations",
        found=found[:_MOST],
        total=len(found),
        items=items,
        drawing=timeline.draw([interval(one) for one in found[:_DRAWN]], clock.now()),
        wanted={"kind": kind, "selector": selector, "state": state},
        kinds=_kinds(asker, kind),
        states=["certified", "superseded", "decertified", ("all", "all")],
        may={name: asker.may(Permission.CERTIFY, item) for name, item in items.items()},
        can_certify=asker.access.policy.anywhere(asker.person, Permission.CERTIFY),
        far=_FAR,
        row=timeline.ROW,
    )


def _kinds(asker: Asked, chosen: str) -> list[str]:
    """The kinds of calibrations that there are."""
    sees = seen(asker)
    with asker.site.catalog.read() as view:
        known = {row.kind for row in view.calibrations(states=STATES) if sees(row.product.item)}
    return sorted(known | ({chosen} if chosen else set()))


def interval(one: CalibrationStatus) -> timeline.Interval:
    """A calibration as a bar."""
    state = "missing" if one.is_bad else one.state
    until = clock.text(one.end)[:16] if one.end < _FAR else "further notice"
    since = clock.text(one.begin)[:16] if one.begin > -_FAR else "ever"
    bad = f", its bytes are {one.bytes_are}" if one.is_bad else ""
    text = f"{one.kind} {one.selector}: {one.state}{bad}, from {since} to {until}"
    return timeline.Interval(
        f"{one.kind} {one.selector}".strip(), one.begin, one.end, state, one.number, text
    )


@routes.post(_HERE)
def certify(
    asker: Asker,
    kind: Text = "",
    selector: Text = "",
    begin: Text = "",
    end: Text = "",
    product: Annotated[int, Form(ge=1, le=2**62)] = 0,
    quality: Annotated[float, Form()] = 0.0,
    why: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    """Certify a product by hand."""

    def do() -> str:
        wanted = shapes.Certification(
            product=product,
            kind=reason(kind, "Say which kind of calibration it is."),
            selector=selector,
            begin=reason(begin, "Say from when it holds."),
            end=reason(end, "Say until when it holds."),
            quality=quality,
            why=why,
        )
        made = rest.certify(asker, wanted)
        return f"Product {product} is calibration {made['number']} now."

    return attempt(_HERE, do)


@routes.post("/calibrations/{number}/decertify")
def decertify(asker: Asker, number: Number, why: Annotated[str, Form(max_length=1000)] = "") -> Response:
    """Withdraw one."""

    def do() -> str:
        found = rest.decertify(asker, number, shapes.Because(why=reason(why)))
        used = found["used_by"]
        told = f"; {used} pieces of work that stand on it are done again" if used else ""
        return f"Calibration {number} is withdrawn{told}."

    return attempt(_HERE, do)
