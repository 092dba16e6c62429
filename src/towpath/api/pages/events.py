"""Events: the story of the site, newest first, as it goes on; by pipeline, item, type and run."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

from fastapi import Query, Request, Response

from towpath.api.asking import Asked
from towpath.api.pages.page import Viewer, render, router, stream_of
from towpath.api.routes.events import seer
from towpath.base.model import Event
from towpath.contracts.auth import Permission
from towpath.contracts.catalog import View

routes = router()

_PAGE = 100
_WINDOW = 1000  # events that are looked at at once
_WINDOWS = 30  # so many times for one page
_TYPES = (
    "submitted", "registered", "gathered", "done", "rejected", "held", "failed", "lost", "stopped", "poisoned",
    "revised", "released", "retried", "priority", "flagged", "certified", "decertified", "order", "delivery",
    "publication", "source", "problem", "definition", "token", "adopted", "moved", "clock",
)  # fmt: skip
_HERE = "/events"
_TOLD_APART = ("who", "why")


@routes.get(_HERE)
def page(
    request: Request,
    asker: Viewer,
    pipeline: str = "",
    item: Annotated[int, Query(ge=0, le=2**62)] = 0,
    type: Annotated[str, Query(max_length=50)] = "",
    run: Annotated[str, Query(max_length=40)] = "",
    before: Annotated[int, Query(ge=0, le=2**62)] = 0,
) -> Response:
    """What happened last, or before an event."""
    if item:
        asker.item(item)
    stream = "" if before else stream_of(asker, pipeline=pipeline, item=item or None, type=type or None)
    found, following = story(asker, pipeline, item, type, run, before)
    numbers = {event.item for event in found if event.item}
    with asker.site.catalog.read() as view:
        names = view.item_keys(sorted(numbers))
    return render(
        request,
        asker,
        "events.html",
        stream=stream,
        title="Events",
        found=[(event, told(event)) for event in found],
        names=names,
        following=following,
        wanted={"pipeline": pipeline, "item": item or "", "type": type, "run": run},
        pipelines=asker.pipelines(),
        types=_TYPES,
        may_read=asker.access.policy.anywhere(asker.person, Permission.READ),
    )


def story(
    asker: Asked, pipeline: str, item: int, type_: str, run: str, before: int
) -> tuple[list[Event], int]:
    """A page of events, newest first, and the number before which the next one begins (0: there is none)."""
    visible: Callable[[Event], bool] = seer(asker, is_whole=False)
    found: list[Event] = []
    with asker.site.catalog.read() as view:
        oldest, end = view.oldest_event(), before or view.last_event() + 1
        for _ in range(_WINDOWS):
            if end <= oldest:
                return found, 0
            begin = max(end - _WINDOW, oldest)
            for event in _backwards(view, begin, end, pipeline, item, type_):
                if run in ("", event.run) and visible(event):
                    found.append(event)
                if len(found) == _PAGE:
                    return found, event.seq if event.seq > oldest else 0
            end = begin
    return found, end


def _backwards(view: View, begin: int, end: int, pipeline: str, item: int, type_: str) -> Iterator[Event]:
    types = (type_,) if type_ else ()
    page = view.events(begin - 1, item=item, pipeline=pipeline, types=types, until=end - 1, limit=_WINDOW)
    return reversed(page)


def told(event: Event) -> dict[str, Any]:
    """What an event tells, in short: who, why, and the rest."""
    data: Mapping[str, Any] = event.data
    rest = [
        f"{name} {_short(value)}"
        for name, value in data.items()
        if name not in _TOLD_APART and value not in ("", None)
    ]
    return {"who": str(data.get("who") or ""), "why": str(data.get("why") or ""), "rest": ", ".join(rest)}


def _short(value: Any) -> str:
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        value = "; ".join(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 120 else f"{text[:119]}…"
