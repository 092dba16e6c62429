"""Publications: what waits for a person to let it go out, and the journal, newest first, with what was published."""

import os
from pathlib import Path
from typing import Annotated

from fastapi import Form, Query, Request, Response
from fastapi.responses import FileResponse

from towpath.api import shapes, sight
from towpath.api.asking import Asked, Asker
from towpath.api.pages.page import Viewer, attempt, render, router, stream_of
from towpath.api.routes import publications as rest
from towpath.api.routes.routing import Number
from towpath.base.errors import NotFoundError, UsageError
from towpath.base.model import Item
from towpath.base.states import Publication
from towpath.contracts.auth import Permission
from towpath.contracts.catalog import PublicationRow
from towpath.contracts.publication import RESERVED

routes = router()

_PAGE = 100
_WAITING = 50  # items that are listed for each stage that publishes
_HERE = "/publications"
_ENDED_BADLY = (Publication.FAILED, Publication.CONFLICT)
_THERE = (Publication.COMMITTED, Publication.RELEASED, Publication.SUPERSEDED)

Why = Annotated[str, Form(max_length=1000)]


@routes.get(_HERE)
def page(
    request: Request,
    asker: Viewer,
    state: str = "",
    pipeline: str = "",
    item: Annotated[int, Query(ge=0, le=2**62)] = 0,
    after: Annotated[int, Query(ge=0, le=2**62)] = 0,
) -> Response:
    """The journal, and what waits."""
    if state and state not in tuple(Publication):
        raise UsageError(f"state: found {state!r}; expected one of {', '.join(Publication)}")
    stream = stream_of(asker, type=["publication", "held", "released"])
    shown, following = journal(asker, state, pipeline, item, after)
    counts = sight.status(asker, asker.site.status()).publications
    return render(
        request,
        asker,
        "publications.html",
        stream=stream,
        title="Publications",
        shown=shown,
        following=following,
        waiting=waiting(asker, pipeline) if not (after or item or state) else [],
        counts=[(one.value, counts.get(one.value, 0)) for one in Publication if counts.get(one.value, 0)],
        wanted={"state": state, "pipeline": pipeline, "item": item or ""},
        states=list(Publication),
        pipelines=asker.pipelines(),
        documents=sorted(RESERVED),
        is_there={one.value for one in _THERE},
        is_bad={one.value for one in _ENDED_BADLY},
    )


def journal(
    asker: Asked, state: str, pipeline: str, item: int, after: int
) -> tuple[list[tuple[PublicationRow, Item, bool]], int]:
    """One page of the journal, each with its item and whether the asker may publish it; and where the next one begins."""
    found: list[tuple[PublicationRow, Item, bool]] = []
    states = (Publication(state),) if state else ()
    with asker.site.catalog.read() as view:
        while True:
            rows = view.publications(item, states=states, after=after, limit=_PAGE, newest=True)
            for row in rows:
                after = row.id
                one = view.item(row.item)
                if pipeline in ("", one.pipeline) and asker.sees(one.pipeline, one):
                    found.append((row, one, asker.may(Permission.PUBLISH, one)))
                if len(found) == _PAGE:
                    return found, after
            if len(rows) < _PAGE:
                return found, 0


def waiting(asker: Asked, pipeline: str) -> list[tuple[Item, str, str, bool]]:
    """Items whose publication waits for a person: the stage, why, and whether the asker may let it go on."""
    found = []
    with asker.site.catalog.read() as view:
        counts = view.counts(pipeline)
    held = [key for key, count in counts.items() if key[3] == "held" and count and _publishes(asker, key)]
    for name, kind, stage, state in sorted(held):
        for one in asker.site.items(pipeline=name, kind=kind, stage=stage, state=state, limit=_WAITING):
            if not asker.sees(name, one):
                continue
            with asker.site.catalog.read() as view:
                note = next(row.note for row in view.work([one.id])[one.id] if row.stage == stage)
            found.append((one, stage, note, asker.may(Permission.PUBLISH, one)))
    return found


def _publishes(asker: Asked, key: tuple[str, str, str, str]) -> bool:
    pipeline, kind, stage, _ = key
    plan = asker.site.definitions[pipeline].kinds.get(kind) if pipeline in asker.site.definitions else None
    return plan is not None and stage in plan.stages and plan.stages[stage].service == "publish"


@routes.post("/publications/items/{item}")
def publish(asker: Asker, item: Number, retry: Annotated[bool, Form()] = False, why: Why = "") -> Response:
    """Let publications of an item go on that wait; with `retry`, try again those that failed."""

    def do() -> str:
        act = rest.retry if retry else rest.publish
        number = act(asker, item, shapes.Why(why=why))["touched"]
        return f"{number} publication{'s' if number != 1 else ''} of {asker.item(item).name} go on."

    return attempt(_HERE, do)


@routes.get("/publications/{number}/documents/{name}")
def document(asker: Viewer, number: Number, name: str) -> Response:
    """A document that stands beside what was published."""
    with asker.site.catalog.read() as view:
        row = next(iter(view.publications(after=number - 1, limit=1)), None)
    if row is None or row.id != number or name not in RESERVED or not row.folder or row.state not in _THERE:
        raise NotFoundError(f"publication {number} has no document {name!r}")
    try:
        asker.item(row.item, Permission.READ)
    except NotFoundError:
        raise NotFoundError(f"publication {number} has no document {name!r}") from None
    folder = os.path.realpath(asker.site.storage.path(row.archive, row.target))
    file = Path(os.path.realpath(Path(folder) / name))
    if not file.is_file() or not str(file).startswith(folder + os.sep):
        raise NotFoundError(f"publication {number} has no document {name!r}")
    return FileResponse(file, media_type="application/json", filename=name)
