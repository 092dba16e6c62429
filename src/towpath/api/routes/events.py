"""Events: the story page by page, or live (Server-Sent Events), resumed by `Last-Event-ID` without loss or repeat."""

import time
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from towpath.api import shapes, telling
from towpath.api.asking import Asked, Asker, ticket
from towpath.api.live import Topics
from towpath.api.routes.routing import may, router
from towpath.api.sight import seen
from towpath.base.errors import NotFoundError
from towpath.base.model import Event
from towpath.contracts.auth import Permission

routes = router("events")

STREAM = "text/event-stream"
_FRESH = 10.0  # seconds for which an answer about an item is taken to hold
_ABOUT_MANY = ("submitted", "problem")  # tell of items that somebody may not view


@routes.get(
    "/events",
    response_model=shapes.Page[shapes.EventShape],
    responses={
        200: {
            "content": {STREAM: {}},
            "description": "a page of events; live ones if the client accepts a stream",
        }
    },
    dependencies=may(Permission.VIEW),
)
async def events(
    request: Request,
    asker: Asker,
    pipeline: str = "",
    item: Annotated[int, Query(ge=0, le=2**62)] = 0,
    run: Annotated[str, Query(description="WORK.TOKEN")] = "",
    type: Annotated[list[str], Query(description="only of these types")] = [],  # noqa: B006  read only
    after: Annotated[
        int | None,
        Query(ge=0, le=2**62, description="those after this number; a stream without it begins now"),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    last: Annotated[str, Header(alias="Last-Event-ID", description="where a stream was cut off")] = "",
    accept: Annotated[str, Header()] = "",
) -> Any:
    """What happened, in order. With `Accept: text/event-stream` it goes on as it happens, each event with its number as id."""
    if item:
        await run_in_threadpool(asker.item, item)
    elif pipeline and not asker.sees(pipeline):
        raise NotFoundError(f"no pipeline {pipeline!r}")
    if STREAM in accept:
        number = int(last) if last.isascii() and last.isdigit() and len(last) < 19 else after
        topics = Topics(
            () if item or run or not pipeline else (pipeline,),
            (item,) if item else (),
            (run,) if run else (),
            tuple(type),
        )
        return request.app.state.hub.stream(
            topics=topics, after=number, visible=seer(asker), still=asker.is_in_force
        )
    return JSONResponse(await run_in_threadpool(_page, asker, after or 0, item, pipeline, run, type, limit))


def seer(asker: Asked, *, is_whole: bool = True) -> Callable[[Event], bool]:
    """Whether the asker may view an event.

    Where nobody can say so now it raises `Refused`, for a story that is to be whole; else the event is left out.
    """
    every = not asker.is_asked_singly
    sees = {name: asker.sees(name) for name in asker.site.definitions}
    tells = {name: asker.sees_sources(name) for name in asker.site.definitions}
    is_ours = not (asker.person.bearer or asker.person.panel)
    known, until = seen(asker, is_whole=is_whole), time.monotonic() + _FRESH

    def visible(event: Event) -> bool:
        nonlocal known, until
        if event.pipeline and not sees.get(event.pipeline, False):
            return False
        if not event.pipeline and not all(sees.values()):
            return False
        if not event.item and not tells.get(event.pipeline, is_ours):
            return False
        if every:
            return True
        if time.monotonic() > until:  # who is asked about items may have changed its mind
            known, until = seen(asker, is_whole=is_whole), time.monotonic() + _FRESH
        return known(event.item) if event.item else event.type not in _ABOUT_MANY

    visible.__dict__["waits"] = not every
    return visible


def _page(
    asker: Asked, after: int, item: int, pipeline: str, run: str, types: list[str], limit: int
) -> dict[str, object]:
    visible = seer(asker, is_whole=False)
    found: list[Event] = []
    is_over = False
    with asker.site.catalog.read() as view:
        while len(found) < limit and not is_over:
            page = view.events(after, item=item, pipeline=pipeline, limit=1000)
            is_over = len(page) < 1000
            for event in page:
                after = event.seq
                if (not types or event.type in types) and run in ("", event.run) and visible(event):
                    found.append(event)
                    if len(found) == limit:
                        is_over = False
                        break
    return {"items": [telling.event(one) for one in found], "next": None if is_over else after}


@routes.post("/tickets", response_model=shapes.Ticket, dependencies=may(Permission.VIEW))
def tickets(asker: Asker, wanted: shapes.TicketFor) -> Any:
    """What lets a browser's EventSource, which cannot send a header, open a stream within a minute."""
    return {"url": f"{wanted.path}?ticket={quote(ticket(asker, wanted.path), safe='')}", "expires_in": 60}
