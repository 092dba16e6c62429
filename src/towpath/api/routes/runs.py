"""Runs: one with what it read and measured; its log, whole, in ranges, or as it is written."""

import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Header, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from towpath.api import shapes, telling
from towpath.api.asking import Asked, Asker
from towpath.api.errors import Refused
from towpath.api.routes.routing import may, router
from towpath.api.sight import seen
from towpath.app.documents import plain
from towpath.app.looking import LogPart
from towpath.base import ids
from towpath.base.errors import NotFoundError
from towpath.base.model import Run, WorkRow
from towpath.base.states import Product as ProductState
from towpath.base.states import Work
from towpath.contracts.auth import Permission

routes = router("runs")

RunName = Annotated[
    str, Path(pattern=r"^[0-9]{1,18}\.[0-9]{1,18}$", description="WORK.TOKEN", examples=["12.1"])
]
_RANGE = re.compile(r"bytes=(\d+)-(\d*)$")
_PIECE = 4_000_000  # bytes of a log that are read at once
_TEXT = "text/plain; charset=utf-8"


def find_run(asker: Asked, name: str, permission: Permission = Permission.VIEW) -> tuple[WorkRow, Run | None]:
    """The work of a run, and the run if it ended, of an item that the asker may do this to.

    Raises
    ------
    NotFoundError
        If there is no such run, as far as they may know.
    """
    work, token = ids.parse_run_name(name)
    try:
        with asker.site.catalog.read() as view:
            row = view.work_row(work)
            found = next((one for one in view.runs(work=work, limit=10_000) if one.token == token), None)
        asker.item(row.item, permission)
    except NotFoundError:
        raise NotFoundError(f"no run {name}") from None
    if found is None and not (row.state is Work.RUNNING and row.token == token):
        raise NotFoundError(f"no run {name}")
    return row, found


@routes.get("/runs/{run}", response_model=shapes.RunDetails, dependencies=may(Permission.VIEW))
def one(asker: Asker, run: RunName) -> Any:
    """A run: how it ended or goes on, what it measured and read, the parts of its key, the software it had loaded."""
    row, found = find_run(asker, run)
    if found is None:
        return telling.running(row)
    with asker.site.catalog.read() as view:
        inputs = view.inputs(found.work, found.token)
        every = view.products([found.item], states=tuple(ProductState), stages=[found.stage])
        more: dict[str, Any] = {
            "components": plain(view.components(found.work, found.token)),
            "software": dict(view.software(found.work, found.token)),
        }
    sees = seen(asker)
    read = [
        {"name": one.name, "sha256": one.sha256.hex(), "item": one.item, "value": plain(one.value),
         "product": one.product.id if one.product else None}
        for one in inputs
        if one.product is None or sees(one.product.item)
    ]  # fmt: skip
    made = [one.id for one in every if one.run == (found.work, found.token)]
    return {**telling.run(found), **more, "inputs": read, "products": made}


@routes.get(
    "/runs/{run}/log",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {}}},
        206: {"content": {"text/plain": {}}},
        416: {"model": shapes.ErrorAnswer},
    },
    dependencies=may(Permission.READ),
)
def log(
    asker: Asker,
    run: RunName,
    wanted: Annotated[str, Header(alias="Range", description="such as `bytes=1000-`")] = "",
    download: Annotated[bool, Query(description="as a file to keep")] = False,
) -> Any:
    """The log of a run as far as it is written, whole or a range of its bytes."""
    find_run(asker, run, Permission.READ)
    begin, end = _range(wanted)
    first = asker.site.log_part(
        run, begin, limit=_PIECE if end is None else max(min(end + 1 - begin, _PIECE), 4)
    )
    if begin and first.end < begin:
        raise Refused(
            416, "range", f"Range: found {wanted}; the log has {first.end} bytes", "ask for what is there"
        )
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": "no-cache",
        **({"Content-Disposition": f'attachment; filename="run-{run}.log"'} if download else {}),
    }
    if wanted:
        data = first.data if end is None else first.data[: end + 1 - begin]
        last = max(begin + len(data) - 1, begin)
        headers["Content-Range"] = f"bytes {begin}-{last}/*"
        return Response(data, HTTPStatus.PARTIAL_CONTENT, headers, media_type=_TEXT)
    return StreamingResponse(_parts(asker, first), headers=headers, media_type=_TEXT)


def _parts(asker: Asked, part: LogPart) -> Iterator[bytes]:
    """A log from a part on, as far as it is written now."""
    while part.data:
        yield part.data
        part = asker.site.log_part(part.run, part.end, limit=_PIECE)


def _range(text: str) -> tuple[int, int | None]:
    if not text:
        return 0, None
    found = _RANGE.match(text.strip())
    if not found or (found[2] and int(found[2]) < int(found[1])):
        raise Refused(416, "range", f"Range: found {text!r}; expected bytes=BEGIN- or bytes=BEGIN-END")
    return int(found[1]), int(found[2]) if found[2] else None


@routes.get(
    "/runs/{run}/log/stream",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {}}}},
    dependencies=may(Permission.READ),
)
async def follow(
    request: Request,
    asker: Asker,
    run: RunName,
    after: Annotated[int, Query(ge=0, le=2**62, description="from this byte on")] = 0,
    last: Annotated[str, Header(alias="Last-Event-ID")] = "",
) -> Any:
    """The log of a run as it is written, from its first byte, until the run has ended (Server-Sent Events)."""
    await run_in_threadpool(find_run, asker, run, Permission.READ)
    begin = int(last) if last.isascii() and last.isdigit() else after
    return request.app.state.logs.stream(run, begin, still=lambda: still(asker, run))


def still(asker: Asked, run: str) -> bool:
    """Whether somebody may still read this run's log."""
    return asker.is_in_force() and find_run(asker, run, Permission.READ) is not None
