"""Orders and gates: what waits for people, soonest due first; and one order, with all that is asked, given and delivered."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import File, Form, Query, Request, Response, UploadFile

from towpath.api import shapes
from towpath.api.asking import Asked, Asker
from towpath.api.pages.page import Viewer, attempt, render, router, stream_of
from towpath.api.pages.reason import reason
from towpath.api.routes import orders as rest
from towpath.api.routes.routing import Number
from towpath.app.ordering import OrderDetails
from towpath.base import clock
from towpath.base.errors import NotFoundError
from towpath.base.model import Item, Product
from towpath.base.states import SENT_BACK, STANDING_ORDERS, WITH_SOMEBODY, Order
from towpath.base.states import Product as ProductState
from towpath.contracts.auth import Permission
from towpath.contracts.catalog import OrderRow, View
from towpath.contracts.orders import GATE, may

routes = router()

_MOST = 2000  # orders that are sorted by their due date
_PAGE = 100
_INPUTS, _PREVIEWS = 500, 12  # that are listed, and that are shown
_FILES = 200  # of a tree that is given
_TOPICS = ("order", "order reminder", "delivery")

Why = Annotated[str, Form(max_length=1000)]
Kind = Literal["", "gate", "handoff"]


@routes.get("/orders")
def inbox(
    request: Request,
    asker: Viewer,
    kind: Kind = "",
    pipeline: str = "",
    who: Literal["", "me", "nobody"] = "",
    over: bool = False,
    after: Annotated[int, Query(ge=0, le=2**62)] = 0,
    skip: Annotated[int, Query(ge=0, le=_MOST)] = 0,
) -> Response:
    """What waits for people, without the first that were seen; with `over` every order there ever was, by number."""
    stream = stream_of(asker, type=list(_TOPICS))
    with asker.site.catalog.read() as view:
        rows = view.orders(kind=kind, after=after, limit=_PAGE) if over else _standing(view, kind)
        items = {number: view.item(number) for number in {row.item for row in rows}}
    shown = [
        (row, items[row.item])
        for row in rows
        if asker.sees(items[row.item].pipeline, items[row.item])
        and pipeline in ("", items[row.item].pipeline)
        and _is_with(row, who, asker)
    ]
    wanted = {"kind": kind, "pipeline": pipeline, "who": who, "over": "true" if over else ""}
    following: dict[str, Any] = {}
    if over and len(rows) == _PAGE:
        following = {**wanted, "after": rows[-1].id}
    elif not over and len(shown) > skip + _PAGE:
        following = {**wanted, "skip": skip + _PAGE}
    return render(
        request,
        asker,
        "orders.html",
        stream=stream,
        title="Orders and gates",
        shown=shown if over else shown[skip : skip + _PAGE],
        total=len(shown),
        is_first=not (skip or after),
        wanted=wanted,
        pipelines=asker.pipelines(),
        is_cut=not over and len(rows) == _MOST,
        following=following,
        now=clock.now(),
    )


def _standing(view: View, kind: str) -> list[OrderRow]:
    """The orders that stand, soonest due first."""
    found: list[OrderRow] = []
    while len(found) < _MOST:
        page = view.orders(
            kind=kind, states=STANDING_ORDERS, after=found[-1].id if found else 0, limit=_MOST - len(found)
        )
        found += page
        if not page:
            break
    return _by_due(found)


def _by_due(rows: list[OrderRow]) -> list[OrderRow]:
    """Those with a date, soonest first; then those without, by their age."""
    return sorted(rows, key=lambda row: (row.due is None, row.due or row.opened, row.id))


def _is_with(row: OrderRow, who: str, asker: Asked) -> bool:
    if who == "me":
        return row.who == asker.person.name or (not row.who and may(_people(row), asker.person.name))
    return not who or not row.who


def _people(row: OrderRow) -> list[str]:
    return list(row.body.get("people", ()))


@routes.get("/orders/{number}")
def one(request: Request, asker: Viewer, number: Number) -> Response:
    """One order."""
    found = rest.find_order(asker, number)
    stream = stream_of(asker, item=found.row.item)
    with asker.site.catalog.read() as view:
        item = view.item(found.row.item)
        inputs = [
            each
            for each in found.row.body["inputs"]
            if asker.access.authorizer is None or rest.is_seen(asker, each["item"])
        ]
        given = _given(asker, view, inputs)
    return render(
        request,
        asker,
        "order.html",
        stream=stream,
        page="/orders",
        title=found.row.title,
        found=found,
        row=found.row,
        item=item,
        given=given,
        pictured=[each for each in given if each["product"]][:_PREVIEWS],
        can=_allowed(asker, found, item),
        people=_people(found.row),
        now=clock.now(),
    )


def _given(asker: Asked, view: View, inputs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What is given, each with its product if that is there and may be read, and the files of a tree."""
    known: dict[str, dict[tuple[str, str], Product]] = {}
    given = []
    for told in inputs[:_INPUTS]:
        if told["item"] not in known:
            known[told["item"]] = _readable(asker, view, told["item"])
        products = known[told["item"]]
        product = products.get((told["root"], told["path"]))
        files = _files(asker, product) if product and product.tree else []
        given.append({**told, "product": product, "files": files})
    return given


def _readable(asker: Asked, view: View, name: str) -> dict[tuple[str, str], Product]:
    """The products of an item by root and path; none if the asker may not read them."""
    try:
        item = asker.site.find(name)
    except NotFoundError:
        return {}
    if not asker.may(Permission.READ, item):
        return {}
    return {(one.root, one.path): one for one in view.products([item.id], states=tuple(ProductState))}


def _files(asker: Asked, product: Product) -> list[tuple[str, int]]:
    place = asker.site.place(product)
    found = []
    for path in sorted(place.rglob("*")):
        if path.is_file() and not path.is_symlink():
            found.append((path.relative_to(place).as_posix(), path.stat().st_size))
        if len(found) == _FILES:
            break
    return found


def _allowed(asker: Asked, found: OrderDetails, item: Item) -> dict[str, bool]:
    """What this person may do with the order as it stands."""
    row = found.row
    is_theirs = row.who == asker.person.name
    entitled = may(_people(row), asker.person.name)
    order, decide = asker.may(Permission.ORDER, item), asker.may(Permission.DECIDE, item)
    if row.kind == GATE:
        no = dict.fromkeys(("claim", "deliver", "return", "assign", "take"), False)
        return {**no, "decide": decide and entitled and row.state is Order.OPEN}
    return {
        "claim": order and entitled and (row.state is Order.OPEN or (row.state in SENT_BACK and is_theirs)),
        "deliver": order and is_theirs and row.state in WITH_SOMEBODY,
        "return": order and is_theirs and row.state in WITH_SOMEBODY,
        "assign": decide and row.state in (Order.OPEN, *WITH_SOMEBODY),
        "take": decide and bool(found.deliveries) and row.state in (Order.OPEN, *WITH_SOMEBODY),
        "decide": False,
    }


# ---- what is done
def _at(number: int) -> str:
    return f"/orders/{number}"


@routes.post("/orders/{number}/claim")
def claim(asker: Asker, number: Number) -> Response:
    """Take it."""

    def do() -> str:
        due = rest.claim(asker, number)["due"]
        return f"The order is yours; it is to be delivered until {due[:16].replace('T', ' ')} UTC."

    return attempt(_at(number), do)


@routes.post("/orders/{number}/return")
def give_back(asker: Asker, number: Number, why: Why = "") -> Response:
    """Give it back."""

    def do() -> str:
        rest.give_back(asker, number, shapes.Why(why=why))
        return "The order was given back; anybody may take it."

    return attempt(_at(number), do)


@routes.post("/orders/{number}/assign")
def assign(
    asker: Asker, number: Number, who: Annotated[str, Form(max_length=100)] = "", why: Why = ""
) -> Response:
    """Give it to somebody."""

    def do() -> str:
        wanted = reason(who, "Say whom it is given to.")
        rest.assign(asker, number, shapes.Assignment(who=wanted, why=why))
        return f"The order is {wanted}'s now."

    return attempt(_at(number), do)


@routes.post("/orders/{number}/approve")
def approve(asker: Asker, number: Number, why: Why = "") -> Response:
    """Let the item go on."""

    def do() -> str:
        rest.approve(asker, number, shapes.Why(why=why))
        return "Approved: the item goes on."

    return attempt(_at(number), do)


@routes.post("/orders/{number}/reject")
def reject(asker: Asker, number: Number, why: Why = "") -> Response:
    """End the item's way."""

    def do() -> str:
        rest.reject(asker, number, shapes.Because(why=reason(why)))
        return "Rejected: the item's way ends here."

    return attempt(_at(number), do)


@routes.post("/orders/{number}/take")
def take(asker: Asker, number: Number, why: Why = "", delivery: Annotated[int, Form(ge=0)] = 0) -> Response:
    """Take a delivery that was not accepted."""

    def do() -> str:
        rest.take(asker, number, shapes.Because(why=reason(why)), delivery)
        return "The delivery was taken: the item goes on with it."

    return attempt(_at(number), do)


@routes.post("/orders/{number}/check")
def check(asker: Asker, number: Number) -> Response:
    """Look into its drop box now."""
    return attempt(_at(number), lambda: _judged(rest.check(asker, number)))


@routes.post("/orders/{number}/deliver")
def deliver(
    request: Request,
    asker: Asker,
    number: Number,
    files: Annotated[list[UploadFile], File()],
    comment: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    """Deliver files. Where a script sent them to show how far it is, it is told where to go instead of being sent there."""

    def do() -> str:
        chosen = [each for each in files if each.filename]
        reason("yes" if chosen else "", "Choose the files that are delivered.")
        return _judged(rest.deliver(asker, number, chosen, comment))

    answer = attempt(_at(number), do)
    if request.headers.get("X-Requested-With") == "towpath":
        answer.status_code = 204
        answer.headers["X-Go"] = answer.headers["Location"]
        del answer.headers["Location"]
    return answer


def _judged(found: dict[str, Any]) -> str:
    why = "; ".join(found["reasons"])
    if not found["state"]:
        return f"There is no whole delivery yet: {why}."
    return f"The delivery is {found['state']}{f': {why}' if why else ''}."
