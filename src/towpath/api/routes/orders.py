"""Orders to people: gates that they decide, and work that they take, give back and deliver."""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import File, Form, Query, UploadFile

from towpath.api import shapes, telling
from towpath.api.asking import Asked, Asker
from towpath.api.routes.items import After, Limit
from towpath.api.routes.routing import Number, may, router
from towpath.api.sight import seen
from towpath.app.ordering import OrderDetails
from towpath.base.errors import NotFoundError, StateError, UsageError
from towpath.contracts.auth import Permission
from towpath.contracts.orders import GATE, MANIFEST, ORDER

routes = router("orders")


def find_order(asker: Asked, number: int, permission: Permission = Permission.VIEW) -> OrderDetails:
    """An order of an item that the asker may do this to. Raises `NotFoundError`."""
    with asker.site.catalog.read() as view:
        row = view.order(number)
    try:
        asker.item(row.item, permission)
    except NotFoundError:
        raise NotFoundError(f"there is no order {number}") from None
    return asker.site.order(number)


def details(asker: Asked, found: OrderDetails) -> dict[str, Any]:
    """An order as it is told, without inputs of items that the asker may not view."""
    told = telling.order_details(found)
    if asker.access.authorizer is None:
        return told
    given = [is_seen(asker, str(one.get("item", ""))) for one in found.row.body["inputs"]]
    told["inputs"] = [one for one, is_shown in zip(told["inputs"], given, strict=True) if is_shown]
    inputs = [one for one, is_shown in zip(told["body"]["inputs"], given, strict=True) if is_shown]
    return {**told, "body": {**told["body"], "inputs": inputs}}


def is_seen(asker: Asked, name: str) -> bool:
    """Whether there is an item of this name that the asker may view."""
    try:
        item = asker.site.find(name)
    except NotFoundError:
        return False
    return asker.sees(item.pipeline, item)


@routes.get("/orders", response_model=shapes.Page[shapes.OrderShape], dependencies=may(Permission.VIEW))
def orders(
    asker: Asker,
    kind: Annotated[Literal["", "gate", "handoff"], Query()] = "",
    every: Annotated[bool, Query(description="also those that are over")] = False,
    after: After = 0,
    limit: Limit = 100,
) -> Any:
    """Orders that stand, oldest first."""
    sees = seen(asker)
    shown: list[OrderDetails] = []
    while True:
        page = asker.site.orders(kind=kind, every=every, after=after, limit=limit)
        for one in page:
            shown += [one] if sees(one.row.item) else []
            if len(shown) == limit:
                break
        if len(shown) == limit or len(page) < limit:
            break
        after = page[-1].row.id
    following = shown[-1].row.id if len(shown) == limit else None
    return {"items": [telling.order(one.row, one.item) for one in shown], "next": following}


@routes.get("/orders/{number}", response_model=shapes.OrderDetails, dependencies=may(Permission.VIEW))
def one(asker: Asker, number: Number) -> Any:
    """An order: what was asked, what is given, where its drop box is, what was delivered."""
    return details(asker, find_order(asker, number))


@routes.post("/orders/{number}/claim", response_model=shapes.OrderDetails, dependencies=may(Permission.ORDER))
def claim(asker: Asker, number: Number) -> Any:
    """Take an order: its delivery is awaited until its due date."""
    find_order(asker, number, Permission.ORDER)
    return details(asker, asker.site.claim_order(number))


@routes.post(
    "/orders/{number}/return", response_model=shapes.OrderDetails, dependencies=may(Permission.ORDER)
)
def give_back(asker: Asker, number: Number, wanted: shapes.Why) -> Any:
    """Give an order back: anybody may take it."""
    find_order(asker, number, Permission.ORDER)
    return details(asker, asker.site.return_order(number, why=wanted.why))


@routes.post(
    "/orders/{number}/assign", response_model=shapes.OrderDetails, dependencies=may(Permission.DECIDE)
)
def assign(asker: Asker, number: Number, wanted: shapes.Assignment) -> Any:
    """Give an order to somebody, whoever has it."""
    find_order(asker, number, Permission.DECIDE)
    return details(asker, asker.site.assign_order(number, wanted.who, why=wanted.why))


@routes.post("/orders/{number}/deliver", response_model=shapes.Examined, dependencies=may(Permission.ORDER))
def deliver(
    asker: Asker,
    number: Number,
    files: Annotated[list[UploadFile], File(description="what is delivered")],
    comment: Annotated[str, Form(max_length=1000)] = "",
) -> Any:
    """Deliver files to an order that you have taken. They are verified; the answer tells what became of them and why."""
    find_order(asker, number, Permission.ORDER)
    with tempfile.TemporaryDirectory(prefix="towpath-delivery-") as folder:
        paths = [_keep(Path(folder), upload) for upload in files]
        return examined(asker.site.deliver(number, paths, comment=comment))


def _keep(folder: Path, upload: UploadFile) -> Path:
    """An upload as a file, under its own name where that is the name of a file."""
    name = upload.filename or ""
    if (
        name in ("", ".", "..")
        or "/" in name
        or "\\" in name
        or not name.isprintable()
        or len(name.encode()) > 255
    ):
        raise UsageError(f"files: found the name {name!r}; expected that of a file, without folders")
    if name in (MANIFEST, ORDER) or name.startswith("."):
        raise UsageError(
            f"files: found {name!r}, which is written here; expected the files that were asked for"
        )
    path = folder / name
    if path.exists():
        raise UsageError(f"files: found two of the name {name!r}; expected each name once")
    with path.open("wb") as target:
        shutil.copyfileobj(upload.file, target)
    return path


def examined(found: Any) -> dict[str, Any]:
    """What became of a delivery; "" while it is not whole yet."""
    return {"state": found.state.value if found.state else "", "reasons": list(found.reasons)}


@routes.post("/orders/{number}/check", response_model=shapes.Examined, dependencies=may(Permission.ORDER))
def check(asker: Asker, number: Number) -> Any:
    """Look into the drop box of an order now, and judge what is in it."""
    find_order(asker, number, Permission.ORDER)
    return examined(asker.site.check_order(number))


@routes.post("/orders/{number}/take", response_model=shapes.OrderDetails, dependencies=may(Permission.DECIDE))
def take(
    asker: Asker, number: Number, wanted: shapes.Because, delivery: Annotated[int, Query(ge=0, le=2**62)] = 0
) -> Any:
    """Take a delivery that was not accepted (the last one) as if it had been."""
    find_order(asker, number, Permission.DECIDE)
    return details(asker, asker.site.take_delivery(number, why=wanted.why, delivery=delivery))


# ---- gates
@routes.post(
    "/orders/{number}/approve",
    response_model=shapes.OrderDetails,
    dependencies=may(Permission.DECIDE),
    tags=["gates"],
)
def approve(asker: Asker, number: Number, wanted: shapes.Why) -> Any:
    """Let an item go on at a gate."""
    found = _gate(asker, number)
    return details(asker, asker.site.approve(found.item, found.row.stage, why=wanted.why))


@routes.post(
    "/orders/{number}/reject",
    response_model=shapes.OrderDetails,
    dependencies=may(Permission.DECIDE),
    tags=["gates"],
)
def reject(asker: Asker, number: Number, wanted: shapes.Because) -> Any:
    """End an item's way at a gate, with the reason."""
    found = _gate(asker, number)
    return details(asker, asker.site.reject(found.item, found.row.stage, why=wanted.why))


def _gate(asker: Asked, number: int) -> OrderDetails:
    found = find_order(asker, number, Permission.DECIDE)
    if found.row.kind != GATE:
        raise StateError(f"{found.row.name} is work that is handed to people; it is claimed and delivered")
    return found
