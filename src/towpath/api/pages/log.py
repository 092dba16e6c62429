"""The page of one run: how it went, what it read and measured, and its log as it is written."""

import re
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse

from towpath.api.asking import Asked
from towpath.api.pages.page import Viewer, render, router
from towpath.api.routes.runs import RunName, find_run
from towpath.api.sight import seen
from towpath.base import ids
from towpath.base.errors import NotFoundError
from towpath.base.states import Work
from towpath.contracts.auth import Permission

routes = router()

_SHOWN = 2_000_000  # bytes of a log on the page; the newest, if it is longer
_BAD = re.compile(r"error|exception|traceback|critical|fatal|segmentation|killed", re.IGNORECASE)
_WARN = re.compile(r"warn|caveat", re.IGNORECASE)


@routes.get("/runs/{run}")
def log(request: Request, asker: Viewer, run: RunName) -> HTMLResponse:
    """The page."""
    row, ended = find_run(asker, run)
    item = asker.item(row.item)
    sees = seen(asker)
    with asker.site.catalog.read() as view:
        attempts = view.runs(work=row.id, limit=50)
        inputs = [
            one
            for one in (view.inputs(ended.work, ended.token) if ended else [])
            if one.product is None or sees(one.product.item)
        ]
        software = dict(view.software(ended.work, ended.token)) if ended else {}
        products = view.products([row.item], stages=[row.stage])
    tabs = [(one.name, one.outcome.value) for one in attempts]
    if row.state is Work.RUNNING:
        tabs.append((ids.run_name(row.id, row.token), "running"))
    may_read = asker.may(Permission.READ, item)
    told = _told(asker, run) if may_read else None
    stream = "" if told is None or told["is_over"] else f"/api/v1/runs/{run}/log/stream?after={told['end']}"
    return render(
        request,
        asker,
        "log.html",
        title=f"Run {run}",
        page="/items",
        stream=stream,
        run=run,
        row=row,
        ended=ended,
        item=item,
        tabs=tabs,
        inputs=inputs,
        software=software,
        products=[one for one in products if ended and one.run == (ended.work, ended.token)],
        log=told,
        may_read=may_read,
    )


def _told(asker: Asked, run: str) -> dict[str, Any]:
    """The log as lines (kind, text), as far as it is written; of a very long one the end."""
    before, data, begin = b"", b"", 0
    try:
        while True:
            part = asker.site.log_part(run, begin + len(data), limit=_SHOWN)
            if data and part.data:
                begin, before = begin + len(data), data
            data = part.data or data
            if part.ended or not part.data:
                break
    except NotFoundError as error:  # retention let it go
        return {"lines": [], "end": 0, "is_over": True, "is_open": False, "begin": 0, "gone": str(error)}
    data, begin = before + data, begin - len(before)
    end = begin + len(data)
    if begin:
        cut = data.find(b"\n") + 1
        data, begin = data[cut:], begin + cut
    text = data.decode(errors="replace")
    lines = text.split("\n")
    is_open = bool(lines[-1])
    shown = [(_kind(line), line) for line in (lines if is_open else lines[:-1])]
    return {"lines": shown, "end": end, "is_over": part.ended, "is_open": is_open, "begin": begin, "gone": ""}


def _kind(line: str) -> str:
    return "bad" if _BAD.search(line) else "warn" if _WARN.search(line) else ""
