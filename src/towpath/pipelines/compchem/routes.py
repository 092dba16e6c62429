"""The routes of workflows on the files of records, below `/api/v1/workflows`: what applies, what was started and came of it.

Promises that 201 is answered only for what the catalog has, that whoever may not view a record cannot tell it from one that is
not there. The names of the original system's routes are answered too. Never talks to a repository but through the site.
"""

from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from towpath import Item, Site, TowpathError
from towpath.api import (
    Asked,
    Asker,
    Permission,
    Refused,
    Route,
    Seen,
    events_of,
    item_events,
    item_log,
    needs,
)
from towpath.api import Begun as Started
from towpath.pipelines.compchem import concluding, embedding, shapes
from towpath.pipelines.compchem.processings import (
    find,
    items_of,
    page,
    pipeline_of,
    told,
    wanted,
    workflows_on,
)

STREAM, TEXT = "text/event-stream", "text/plain"
_RUNNING = "this goes on; stop it first, or wait until it ends"

routes = APIRouter(route_class=Route)
routes.include_router(embedding.routes)

Record = Annotated[str, Path(min_length=1, max_length=128, description="the record's id in its repository")]
Id = Annotated[
    str, Path(min_length=1, max_length=200, description="{record}-{workflow}-{n}, or the item's number")
]


def _may(permission: Permission) -> list[Any]:
    return [Depends(needs(permission))]


_STARTED: dict[str, Any] = {
    "response_model": shapes.Begun,
    "status_code": HTTPStatus.CREATED,
    "responses": {200: {"model": shapes.Begun, "description": "nothing was started"}},
}


# ---- what applies
@routes.post("/available", response_model=shapes.Offers)
def available(asker: Asker, wanted: shapes.Question) -> Any:
    """Which workflows apply to files, to which together, and why; and why none applies to the others.

    The files are those that are described, or, with `record` and without any, those of the record, which are looked into.
    Which workflows there are is told to nobody who is not known, whatever else they may see.
    """
    if not asker.is_known:
        raise Refused(
            HTTPStatus.UNAUTHORIZED, "unauthorized", "which workflows there are is told to those who are known",
            "send `Authorization: Bearer TOKEN`", headers={"WWW-Authenticate": "Bearer"},
        )  # fmt: skip
    pipeline = pipeline_of(asker.site)
    asker.need_definition(pipeline)
    among = None if wanted.record is None else _among(asker, wanted.record)
    if wanted.record is not None and not wanted.files:
        matched, _ = asker.site.available_on(pipeline, wanted.record, among=among)
    else:
        seen = [Seen(one.key, one.size, media_type=one.mimetype, content=one.content) for one in wanted.files]
        matched = asker.site.available(pipeline, seen)
    return {
        "workflows": [
            {
                "name": one.workflow.name,
                "title": one.workflow.title or one.workflow.name,
                "files": list(dict.fromkeys(one.files.values())),
                "roles": dict(one.files),
                "why": one.why,
            }
            for one in matched.offers
        ],
        "unmatched": [{"key": key, "why": why} for key, why in matched.unmatched.items()],
    }


# ---- starting
@routes.post("/{record}/start", dependencies=_may(Permission.SUBMIT), **_STARTED)
@routes.post("/{record}/all", dependencies=_may(Permission.SUBMIT), **_STARTED)
def start(asker: Asker, record: Record, response: Response, wanted: shapes.Start) -> Any:
    """Start a workflow, or all that apply, on files of a record, or on all of them.

    201: at least one was started, and is in the catalog. 200: nothing was, for each file is in work (`refused`). 409: so is
    that of the one workflow that was asked for; `where` tells by what. 422: nothing applies, with the reason. 503: the
    repository cannot be asked now, and nothing was started.
    """
    pipeline = pipeline_of(asker.site)
    among = _among(asker, record, Permission.SUBMIT)
    begun = asker.site.start(
        pipeline,
        record,
        wanted.name,
        files=wanted.keys(),
        force=wanted.force,
        caller=asker.caller,
        among=among,
    )
    if not begun.started and not begun.refused:
        whys = "; ".join(f"{key}: {why}" for key, why in begun.unmatched.items()) or "it has no files"
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY, "usage", f"no workflow applies to files of {record}: {whys}",
            "`/workflows/available` tells which files there are workflows for", where=dict(begun.unmatched),
        )  # fmt: skip
    return _begun(asker, begun, response)


@routes.post("/{record}/look", dependencies=_may(Permission.SUBMIT), **_STARTED)
def look(asker: Asker, record: Record, response: Response, nothing: shapes.Nothing | None = None) -> Any:
    """Start what is mapped to new or changed files of a record, once: for a hook of the repository.

    201: something was started; 200: there was nothing new.
    """
    pipeline = pipeline_of(asker.site)
    among = _among(asker, record, Permission.SUBMIT)
    return _begun(asker, asker.site.look_at_record(pipeline, record, among=among), response)


@routes.post("/{record}", dependencies=_may(Permission.SUBMIT), **_STARTED)
def start_one(asker: Asker, record: Record, response: Response, wanted: shapes.StartOne) -> Any:
    """Start one workflow, as the original system names it."""
    return start(asker, record, response, wanted)


def _among(asker: Asked, record: str, permission: Permission = Permission.VIEW) -> set[str]:
    """The repositories in which somebody may do this to a record. Raises what `workflows_on` does."""
    return {one.repository for one in workflows_on(asker, record, permission)}


def _begun(asker: Asked, begun: Started, response: Response) -> dict[str, Any]:
    response.status_code = HTTPStatus.CREATED if begun.started else HTTPStatus.OK
    return {
        "workflows": told(asker.site, items_of(asker.site, [started.item for started, _ in begun.started])),
        "refused": [
            {
                "name": one.offer.workflow.name,
                "files": list(dict.fromkeys(one.offer.files.values())),
                "why": one.why,
                "holder": one.holder,
            }
            for one in begun.refused
        ],
        "unmatched": [{"key": key, "why": why} for key, why in begun.unmatched.items()],
    }


# ---- looking
@routes.get("/{record}/list", response_model=shapes.Processings)
def listed(
    asker: Asker,
    record: Record,
    status: Annotated[
        str, Query(max_length=400, description="phases or statuses, such as `Running,Failed` or `PARTIAL`")
    ] = "",
    limit: Annotated[int, Query(ge=1, le=200, description="so many at most")] = 20,
    after: Annotated[int, Query(ge=0, le=2**62, description="`next` of the page before")] = 0,
) -> Any:
    """The processings of a record, newest first, page by page."""
    kinds = [one.name for one in workflows_on(asker, record)]
    items, following = page(asker.site, record, kinds, wanted(status), limit=limit, after=after)
    return {"items": items, "next": following}


@routes.get("/runs/{id}", response_model=shapes.ProcessingDetails)
@routes.get("/{id}/detail", response_model=shapes.ProcessingDetails)
def one(asker: Asker, id: Id) -> Any:
    """A processing: its steps, files, results and every attempt."""
    found = find(asker, id, Permission.VIEW)
    return told(asker.site, [found], attempts=True)[0]


# ---- acting
@routes.post("/runs/{id}/stop", response_model=shapes.ProcessingDetails, dependencies=_may(Permission.RUN))
def stop(asker: Asker, id: Id, because: shapes.Because | None = None) -> Any:
    """Stop a processing; what runs is ended. 409 if it has ended."""
    found = find(asker, id, Permission.RUN)
    now = told(asker.site, [found])[0]
    if now["state"] in concluding.OVER or not asker.site.stop(found.name, why=because.why if because else ""):
        now = told(asker.site, [found])[0]
        raise _conflict(found, now, f"is {now['state']}; there is nothing to stop", "resubmit starts it anew")
    return told(asker.site, [found], attempts=True)[0]


@routes.post("/runs/{id}/retry", response_model=shapes.ProcessingDetails, dependencies=_may(Permission.RUN))
def retry(asker: Asker, id: Id, because: shapes.Because | None = None) -> Any:
    """Try the steps again that failed or were stopped, and only those. 409 where there are none, with what to do.

    Also 409, with the run that holds it, if another has taken the file meanwhile.
    """
    found = find(asker, id, Permission.RUN)
    if not asker.site.try_again(found.name, why=because.why if because else ""):
        now = told(asker.site, [found])[0]
        hints = {
            "done": "resubmit starts it anew",
            "rejected": "mend the file, then resubmit: the same bytes give the same answer",
            "held": "somebody who operates the site lets it go on",
        }
        raise _conflict(
            found, now, f"is {now['state']}; no step of it failed or was stopped",
            hints.get(now["state"], _RUNNING),
        )  # fmt: skip
    return told(asker.site, [found], attempts=True)[0]


@routes.post(
    "/runs/{id}/resubmit",
    status_code=HTTPStatus.CREATED,
    response_model=shapes.ProcessingDetails,
    dependencies=_may(Permission.SUBMIT),
)
def resubmit(asker: Asker, id: Id, nothing: shapes.Nothing | None = None) -> Any:
    """Start the same workflow on the same files, as they are now, under the next number. 409 while it goes on."""
    found = find(asker, id, Permission.SUBMIT)
    begun = asker.site.restart(found.name, caller=asker.caller)
    if not begun.started:
        refused = begun.refused[0]
        raise Refused(HTTPStatus.CONFLICT, "busy", refused.why, where=refused.holder)
    return told(asker.site, items_of(asker.site, [begun.started[0][0].item]), attempts=True)[0]


def _conflict(item: Item, now: Mapping[str, Any], what: str, hint: str) -> Refused:
    states = {step["name"]: step["state"] for step in now["steps"]}
    return Refused(
        HTTPStatus.CONFLICT, "state", f"{item.key} {what}", hint, state=now["state"], states=states
    )


# ---- live
@routes.get(
    "/runs/{id}/log",
    response_class=Response,
    responses={200: {"content": {STREAM: {}, TEXT: {}}}},
    dependencies=_may(Permission.READ),
)
async def log(
    request: Request,
    asker: Asker,
    id: Id,
    accept: Annotated[str, Header()] = "",
    last: Annotated[str, Header(alias="Last-Event-ID")] = "",
) -> Any:
    """The logs of all steps one after another, as they are written; with `Accept: text/plain` as far as they are now."""
    found = await run_in_threadpool(find, asker, id, Permission.READ)
    if TEXT in accept and STREAM not in accept:
        return StreamingResponse(_text(asker.site, found.id), media_type=f"{TEXT}; charset=utf-8")
    return item_log(request, asker, found.id, ends=_ends(asker.site, found), last=last)


@routes.get(
    "/runs/{id}/events",
    response_class=Response,
    responses={200: {"content": {STREAM: {}}}},
    dependencies=_may(Permission.VIEW),
)
async def events(
    request: Request, asker: Asker, id: Id, last: Annotated[str, Header(alias="Last-Event-ID")] = ""
) -> Any:
    """What happened to a processing and happens to it, until it has ended (Server-Sent Events)."""
    found = await run_in_threadpool(find, asker, id, Permission.VIEW)
    return item_events(request, asker, found.id, ends=_ends(asker.site, found), last=last)


@routes.get(
    "/{record}/events",
    response_class=Response,
    responses={200: {"content": {STREAM: {}}}},
    dependencies=_may(Permission.VIEW),
)
async def record_events(
    request: Request, asker: Asker, record: Record, last: Annotated[str, Header(alias="Last-Event-ID")] = ""
) -> Any:
    """What happens to the processings of a record from now on, or from where the stream was cut off (Server-Sent Events)."""
    found = await run_in_threadpool(workflows_on, asker, record)
    kinds = {one.name for one in found}

    def mine(item: Item) -> bool:
        return item.kind in kinds and item.attributes.get("record") == record

    def still() -> bool:
        try:
            return bool(workflows_on(asker, record))
        except (Refused, TowpathError):
            return False

    return events_of(request, asker, pipeline_of(asker.site), mine, still=still, last=last)


def _ends(site: Site, item: Item) -> Callable[[], Mapping[str, Any] | None]:
    """What tells, when a processing has ended, what came of it."""

    def ends() -> Mapping[str, Any] | None:
        with site.catalog.read() as view:
            is_over = concluding.is_over(view.work([item.id])[item.id])
        if not is_over:
            return None
        found = told(site, [item])[0]
        return {name: found[name] for name in ("id", "item", "state", "phase", "status", "sentence")}

    return ends


def _text(site: Site, number: int) -> Iterator[bytes]:
    """The logs of an item's runs as text, each below a line that says whose it is."""
    with site.catalog.read() as view:
        rows = view.work([number])[number]
        runs = view.runs_of([number])[number]
    begun = [(run.began, run.name, run.stage, run.outcome.value) for run in runs]
    begun += [
        (row.began, f"{row.id}.{row.token}", row.stage, "running") for row in rows if row.state == "running"
    ]
    for _, name, stage, outcome in sorted(begun):
        yield f"== {stage}, run {name}: {outcome}\n".encode()
        try:
            part = site.log_part(name)
            while part.data:
                yield part.data
                part = site.log_part(name, part.end)
        except TowpathError as error:
            yield f"{error}\n".encode()
