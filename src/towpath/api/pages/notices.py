"""Notices: what somebody was told, and the items that they follow."""

from typing import Annotated

from fastapi import Form, Query, Request, Response

from towpath.api import shapes, sight
from towpath.api.asking import Asker
from towpath.api.pages.page import Viewer, attempt, render, router, stream_of
from towpath.api.routes import people as rest
from towpath.base.errors import NotFoundError
from towpath.base.model import Item

routes = router()

_PAGE = 100
_HERE = "/notices"


@routes.get(_HERE)
def page(
    request: Request, asker: Viewer, unread: bool = False, after: Annotated[int, Query(ge=0, le=2**62)] = 0
) -> Response:
    """What the asker was told, newest first."""
    stream = stream_of(asker, type="notice")
    names = rest.names_of(asker)
    found = list(sight.notices(asker, names, unread=unread, after=after, limit=_PAGE))
    number = sight.unread(asker, names)
    with asker.site.catalog.read() as view:
        followed = view.subscriptions(who=asker.person.name)
    numbers = {one.item for one in found if one.item} | {one.item for one in followed}
    items = {one: item for one in numbers for item in [_seen(asker, one)] if item is not None}
    return render(
        request,
        asker,
        "notices.html",
        stream=stream,
        title="Notices",
        found=found,
        number=number,
        followed=[(one, items[one.item]) for one in followed if one.item in items],
        items=items,
        following=found[-1].id if len(found) == _PAGE else 0,
        is_unread=unread,
    )


def _seen(asker: Asker, number: int) -> Item | None:
    try:
        return asker.item(number)
    except NotFoundError:
        return None


@routes.post("/notices/read")
def read(asker: Viewer, number: Annotated[int, Form(ge=0, le=2**62)] = 0) -> Response:
    """One was read, or all were."""

    def do() -> str:
        rest.seen(asker, shapes.Seen(ids=[number] if number else []))
        return "" if number else "All notices are marked as read."

    return attempt(_HERE, do)


@routes.post("/notices/unfollow")
def leave(asker: Viewer, item: Annotated[int, Form(ge=1, le=2**62)]) -> Response:
    """No longer follow an item."""

    def do() -> str:
        rest.leave(asker, item)
        return "You are no longer told what happens to it."

    return attempt(_HERE, do)
