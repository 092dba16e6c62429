"""The routes of workflows on the files of records, below `/api/v1/workflows`: what applies, what was started and came of it.

Promises that 201 is answered only for what the catalog has, that whoever may not view a record cannot tell it from one that is
not there, and that a page of a list costs a few reads however many processings there are. The names of the original system's
routes are answered too. Never talks to a repository but through the site.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from towpath import Event, Item, Site, TowpathError
from towpath.api import (
    Asked,
    Asker,
    Caller,
    Permission,
    Refused,
    Route,
    Seen,
    Workflow,
    WorkRow,
    events_of,
    item_events,
    item_log,
    needs,
)
from towpath.api import Begun as Started
from towpath.pipelines.compchem import concluding, shapes
from towpath.pipelines.compchem.concluding import Known

PATH = "/workflows"
STREAM, TEXT = "text/event-stream", "text/plain"
_PAGE = 1000  # items that are read at once
_RUNNING = "this goes on; stop it first, or wait until it ends"

routes = APIRouter(route_class=Route)

Record = Annotated[str, Path(min_length=1, max_length=128, description="the record's id in its repository")]
Id = Annotated[
    str, Path(min_length=1, max_length=200, description="{record}-{workflow}-{n}, or the item's number")
]


def _may(permission: Permission) -> list[Any]:
    return [Depends(needs(permission))]


# ---- what applies
@routes.post("/available", response_model=shapes.Offers)
def available(asker: Asker, wanted: shapes.Question) -> Any:
    """Which workflows apply to files, to which together, and why; and why none applies to the others.

    The files are those that are described, or, with `record` and without any, those of the record, which are looked into.
    """
    pipeline = _pipeline(asker.site)
    if wanted.record is not None:
        _workflows(asker, pipeline, wanted.record)
    if wanted.record is not None and not wanted.files:
        matched, _ = asker.site.available_on(pipeline, wanted.record)
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
def start(asker: Asker, record: Record, response: Response, wanted: shapes.Start) -> Any:
    """Start a workflow, or all that apply, on files of a record, or on all of them.

    201: at least one was started, and is in the catalog. 200: nothing was, for each file is in work (`refused`). 409: so is
    that of the one workflow that was asked for; `where` tells by what. 422: nothing applies, with the reason. 503: the
    repository cannot be asked now, and nothing was started.
    """
    pipeline = _pipeline(asker.site)
    _workflows(asker, pipeline, record, Permission.SUBMIT)
    begun = asker.site.start(
        pipeline, record, wanted.name, files=wanted.keys(), force=wanted.force, caller=_caller(asker)
    )
    if not begun.started and not begun.refused:
        whys = "; ".join(f"{key}: {why}" for key, why in begun.unmatched.items()) or "it has no files"
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY, "usage", f"no workflow applies to files of {record}: {whys}",
            "`/workflows/available` tells which files there are workflows for", where=dict(begun.unmatched),
        )  # fmt: skip
    return _begun(asker, pipeline, begun, response)


def look(asker: Asker, record: Record, response: Response, nothing: shapes.Nothing | None = None) -> Any:
    """Start what is mapped to new or changed files of a record, once: for a hook of the repository.

    201: something was started; 200: there was nothing new.
    """
    pipeline = _pipeline(asker.site)
    _workflows(asker, pipeline, record, Permission.SUBMIT)
    return _begun(asker, pipeline, asker.site.look_at_record(pipeline, record), response)


def start_one(asker: Asker, record: Record, response: Response, wanted: shapes.StartOne) -> Any:
    """Start one workflow, as the original system names it."""
    return start(asker, record, response, wanted)


def _begun(asker: Asked, pipeline: str, begun: Started, response: Response) -> dict[str, Any]:
    response.status_code = HTTPStatus.CREATED if begun.started else HTTPStatus.OK
    return {
        "workflows": _told(asker.site, pipeline, [started.item for started, _ in begun.started]),
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
@routes.get("/runs/{id}", response_model=shapes.ProcessingDetails)
def one(asker: Asker, id: Id) -> Any:
    """A processing: its steps, files, results and every attempt."""
    pipeline = _pipeline(asker.site)
    found = _find(asker, pipeline, id, Permission.VIEW)
    return _told(asker.site, pipeline, [found.id], attempts=True)[0]


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
    pipeline = _pipeline(asker.site)
    seen = {one.name for one in _workflows(asker, pipeline, record)}
    wanted = _wanted(status)
    found: list[dict[str, Any]] = []
    numbers = [number for number in _newest(asker.site, pipeline, record, seen) if number < (after or 2**63)]
    while numbers and len(found) <= limit:
        part, numbers = numbers[: _part(limit, wanted)], numbers[_part(limit, wanted) :]
        if wanted:
            part = _standing(asker.site, part, wanted)
        found += [
            one
            for one in _told(asker.site, pipeline, part)
            if not wanted or {one["phase"], one["status"]} & wanted
        ]
    page = found[:limit]
    return {"items": page, "next": page[-1]["item"] if len(found) > limit else None}


def _part(limit: int, wanted: set[str]) -> int:
    """How many are looked at in one read: those of a page, or as many as may have them."""
    return max(4 * limit, 200) if wanted else limit + 1


def _wanted(status: str) -> set[str]:
    named = {part.strip() for part in status.strip("() ").split(",") if part.strip()}
    known = {name.lower(): name for name in (*concluding.PHASES.values(), *concluding.STATUSES)}
    if wrong := sorted(one for one in named if one.lower() not in known):
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY, "invalid",
            f"status: found {', '.join(wrong)[:200]!r}; expected any of {', '.join(dict.fromkeys(known.values()))}",
        )  # fmt: skip
    return {known[one.lower()] for one in named}


def _newest(site: Site, pipeline: str, record: str, kinds: set[str]) -> list[int]:
    """The numbers of a record's items, the newest first."""
    found: list[int] = []
    after = 0
    with site.catalog.read() as view:
        while True:
            page = view.items(pipeline=pipeline, attributes={"record": record}, after=after, limit=_PAGE)
            found += [item.id for item in page if item.kind in kinds]
            if len(page) < _PAGE:
                return found[::-1]
            after = page[-1].id


def _standing(site: Site, numbers: Sequence[int], wanted: set[str]) -> list[int]:
    """Of these items those whose work does not tell already that they are not wanted."""
    with site.catalog.read() as view:
        works = view.work(numbers)
    return [number for number in numbers if _may_be(works[number], wanted)]


def _may_be(rows: Sequence[WorkRow], wanted: set[str]) -> bool:
    state = concluding.standing(rows)
    if concluding.PHASES[state] in wanted:
        return True
    return state in concluding.OVER and bool(wanted & set(concluding.STATUSES))


# ---- acting
@routes.post("/runs/{id}/stop", response_model=shapes.ProcessingDetails, dependencies=_may(Permission.RUN))
def stop(asker: Asker, id: Id, wanted: shapes.Because | None = None) -> Any:
    """Stop a processing; what runs is ended. 409 if it has ended."""
    pipeline = _pipeline(asker.site)
    found = _find(asker, pipeline, id, Permission.RUN)
    if not asker.site.stop(found.name, why=wanted.why if wanted else ""):
        told = _told(asker.site, pipeline, [found.id])[0]
        raise _conflict(
            found, told, f"is {told['state']}; there is nothing to stop", "resubmit starts it anew"
        )
    return _told(asker.site, pipeline, [found.id], attempts=True)[0]


@routes.post("/runs/{id}/retry", response_model=shapes.ProcessingDetails, dependencies=_may(Permission.RUN))
def retry(asker: Asker, id: Id, wanted: shapes.Because | None = None) -> Any:
    """Try the steps again that failed or were stopped, and only those. 409 where there are none, with what to do."""
    pipeline = _pipeline(asker.site)
    found = _find(asker, pipeline, id, Permission.RUN)
    if not asker.site.retry(found.name, why=wanted.why if wanted else ""):
        told = _told(asker.site, pipeline, [found.id])[0]
        hints = {
            "done": "resubmit starts it anew",
            "rejected": "mend the file, then resubmit: the same bytes give the same answer",
            "held": "somebody who operates the site lets it go on",
        }
        raise _conflict(
            found, told, f"is {told['state']}; no step of it failed or was stopped",
            hints.get(told["state"], _RUNNING),
        )  # fmt: skip
    return _told(asker.site, pipeline, [found.id], attempts=True)[0]


@routes.post(
    "/runs/{id}/resubmit",
    status_code=HTTPStatus.CREATED,
    response_model=shapes.ProcessingDetails,
    dependencies=_may(Permission.SUBMIT),
)
def resubmit(asker: Asker, id: Id, nothing: shapes.Nothing | None = None) -> Any:
    """Start the same workflow on the same files, as they are now, under the next number. 409 while it goes on."""
    pipeline = _pipeline(asker.site)
    found = _find(asker, pipeline, id, Permission.SUBMIT)
    begun = asker.site.restart(found.name, caller=_caller(asker))
    if not begun.started:
        refused = begun.refused[0]
        raise Refused(HTTPStatus.CONFLICT, "busy", refused.why, where=refused.holder)
    return _told(asker.site, pipeline, [begun.started[0][0].item], attempts=True)[0]


def _conflict(item: Item, told: Mapping[str, Any], what: str, hint: str) -> Refused:
    states = {step["name"]: step["state"] for step in told["steps"]}
    return Refused(
        HTTPStatus.CONFLICT, "state", f"{item.key} {what}", hint, state=told["state"], states=states
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
    found = await run_in_threadpool(_find, asker, _pipeline(asker.site), id, Permission.READ)
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
    found = await run_in_threadpool(_find, asker, _pipeline(asker.site), id, Permission.VIEW)
    return item_events(request, asker, found.id, ends=_ends(asker.site, found), last=last)


async def record_events(
    request: Request, asker: Asker, record: Record, last: Annotated[str, Header(alias="Last-Event-ID")] = ""
) -> Any:
    """What happens to the processings of a record from now on, or from where the stream was cut off (Server-Sent Events)."""
    pipeline = _pipeline(asker.site)
    kinds = {one.name for one in await run_in_threadpool(_workflows, asker, pipeline, record)}

    def mine(item: Item) -> bool:
        return item.kind in kinds and item.attributes.get("record") == record

    return events_of(request, asker, pipeline, mine, last=last)


def _ends(site: Site, item: Item) -> Callable[[], Mapping[str, Any] | None]:
    """What tells, when a processing has ended, what came of it."""

    def ends() -> Mapping[str, Any] | None:
        with site.catalog.read() as view:
            is_over = concluding.is_over(view.work([item.id])[item.id])
        if not is_over:
            return None
        told = _told(site, item.pipeline, [item.id])[0]
        return {name: told[name] for name in ("id", "item", "state", "phase", "status", "sentence")}

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


# ---- reading
def _pipeline(site: Site) -> str:
    """The pipeline whose plug-in brings these routes: no other can have the same path."""
    return next(name for name, plugin in site.plugins.items() if PATH in plugin.routes)


def _caller(asker: Asked) -> Caller:
    return Caller(asker.person.name, getattr(asker.person, "bearer", ""))


def _workflows(
    asker: Asked, pipeline: str, record: str, permission: Permission = Permission.VIEW
) -> list[Workflow]:
    """The workflows of the repositories in which the asker may do this to a record.

    Raises
    ------
    Refused
        404 if they may not view it: it looks as if it were not there; else what they lack.
    """
    known = asker.site.workflows(pipeline)
    first = {one.repository: one for one in reversed(known)}  # each repository is asked once
    about = {name: Item(pipeline, one.name, "", {"record": record}) for name, one in first.items()}
    viewed = [name for name, item in about.items() if asker.may(Permission.VIEW, item)]
    if not viewed:
        raise Refused(HTTPStatus.NOT_FOUND, "not_found", f"there is no record {record!r}")
    allowed = [name for name in viewed if asker.may(permission, about[name])]
    if not allowed:
        asker.need(permission, about[viewed[0]])
    return [one for one in known if one.repository in allowed]


def _find(asker: Asked, pipeline: str, name: str, permission: Permission) -> Item:
    """The processing of a name that the asker may do this to.

    Raises
    ------
    Refused
        404 if there is none, as far as they may know; 409 if several workflows have one of this name.
    """
    with asker.site.catalog.read() as view:
        found = view.items(pipeline=pipeline, keys=[name]) if not name.isdigit() else _numbered(asker, name)
    mine = [
        one
        for one in found
        if one.pipeline == pipeline and "record" in one.attributes and asker.may(Permission.VIEW, one)
    ]
    if not mine:
        raise Refused(HTTPStatus.NOT_FOUND, "not_found", f"there is no processing {name!r}")
    if len(mine) > 1:
        numbers = ", ".join(f"{one.id} ({one.kind})" for one in mine)
        raise Refused(
            HTTPStatus.CONFLICT, "state", f"{name!r} is the name of several processings",
            f"ask by number: {numbers}",
        )  # fmt: skip
    asker.need(permission, mine[0])
    return mine[0]


def _numbered(asker: Asked, text: str) -> list[Item]:
    if not text.isascii() or len(text) > 18:
        return []
    try:
        with asker.site.catalog.read() as view:
            return [view.item(int(text))]
    except TowpathError:
        return []


def _told(
    site: Site, pipeline: str, numbers: Sequence[int], *, attempts: bool = False
) -> list[dict[str, Any]]:
    """Processings as they are answered, in this order: one read for all."""
    if not numbers:
        return []
    with site.catalog.read() as view:
        items = {number: view.item(number) for number in numbers}
        works, runs, now = view.work(numbers), view.runs_of(numbers), view.now()
        products = view.products(numbers)
        stopped = {number: _stopped(view, works[number]) for number in numbers}
    titles = {one.name: one.title for one in site.workflows(pipeline)}
    kinds = site.definitions[pipeline].kinds
    told = []
    for number, item in items.items():
        kind = kinds.get(item.kind)
        known = Known(
            item,
            works[number],
            runs[number],
            [one for one in products if one.item == number],
            stopped[number],
            titles.get(item.kind, ""),
            now,
            {name: stage.before for name, stage in kind.stages.items()} if kind else {},
        )
        told.append(concluding.processing(known, attempts=attempts))
    return told


def _stopped(view: Any, rows: Sequence[WorkRow]) -> Event | None:
    """The event that tells who stopped a processing."""
    said = [view.last_said(row, ("stopped",)) for row in rows if row.state == "stopped"][:1]
    return said[0] if said else None


# ---- what takes any record's id stands last: a record may be called anything
for _path, _do in (
    ("/{record}/start", start),
    ("/{record}/all", start),
    ("/{record}/look", look),
    ("/{record}", start_one),
):
    routes.post(
        _path,
        response_model=shapes.Begun,
        status_code=HTTPStatus.CREATED,
        responses={200: {"model": shapes.Begun, "description": "nothing was started"}},
        dependencies=_may(Permission.SUBMIT),
        operation_id=f"workflows{_path}".replace("/", "_").replace("{", "").replace("}", ""),
    )(_do)
routes.get("/{record}/list", response_model=shapes.Processings)(listed)
routes.get(
    "/{record}/events",
    response_class=Response,
    responses={200: {"content": {STREAM: {}}}},
    dependencies=_may(Permission.VIEW),
)(record_events)
routes.get("/{id}/detail", response_model=shapes.ProcessingDetails)(one)
