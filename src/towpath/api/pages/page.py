"""How a page is made: one layout, one environment of templates, everything escaped; and who may see a page.

Promises that a page which changes something answers with the way to another page, and what it did is told there once.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, unquote, urlencode

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from towpath.api.asking import Asked, Asker, asked
from towpath.api.embedding import framed
from towpath.api.errors import Refused, refused
from towpath.api.routes.people import names_of
from towpath.api.sight import unread
from towpath.app.documents import plain
from towpath.base import clock, words
from towpath.base.errors import TowpathError
from towpath.base.version import VERSION
from towpath.contracts.auth import Permission

STATIC = Path(__file__).parent / "static"
_TEMPLATES = Path(__file__).parent / "templates"
FRAME = "frame.html"  # the template of what may stand in frames of other sites
_SAID = "towpath_said"  # a cookie that lives until the next page
_TOLD = 600  # characters of what is said
_OPEN = ("/login", "/logout")  # who signs in or out is nobody yet, or no longer


def _ticked(text: str) -> Markup:
    """A sentence with what stands between backticks as code."""
    pieces = str(text).split("`")
    return Markup("").join(
        Markup("<code>%s</code>") % piece if n % 2 and n < len(pieces) - 1 else escape(piece)
        for n, piece in enumerate(pieces)
    )


# What would turn the text around it or steer a terminal is shown as a sign, not obeyed.
_STEERING = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def _tame(value: Any) -> Any:
    """A value as it may stand on a page."""
    if isinstance(value, str) and _STEERING.search(value):
        return type(value)(_STEERING.sub("\N{REPLACEMENT CHARACTER}", value))
    return value


environment = Environment(
    loader=FileSystemLoader(_TEMPLATES),
    autoescape=True,
    finalize=_tame,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
environment.filters |= {
    "ago": words.ago,
    "iso": clock.text,
    "json": lambda value: json.dumps(plain(value), indent=1, ensure_ascii=False, default=str),
    "number": words.number,
    "seconds": words.seconds,
    "size": words.size,
    "ticked": _ticked,
    "when": words.when,
}
environment.globals |= {"count": words.count, "query": lambda **parts: _query(parts)}

# Path, name, the letter that goes there, and what one must be allowed to do to see it.
_PAGES: tuple[tuple[str, str, str, Permission], ...] = (
    ("/", "Overview", "o", Permission.VIEW),
    ("/items", "Work", "w", Permission.VIEW),
    ("/orders", "Orders", "r", Permission.VIEW),
    ("/calibrations", "Calibrations", "c", Permission.VIEW),
    ("/publications", "Publications", "p", Permission.VIEW),
    ("/sources", "Sources", "s", Permission.VIEW),
    ("/inventory", "Inventory", "i", Permission.VIEW),
    ("/configuration", "Configuration", "f", Permission.CONFIGURE),
    ("/events", "Events", "e", Permission.VIEW),
    ("/people", "People", "l", Permission.MANAGE),
)


class PageRoute(APIRoute):
    """A route whose errors are pages; whoever is nobody is asked to sign in."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        """The handler, with errors as pages."""
        handler = super().get_route_handler()

        async def shown(request: Request) -> Response:
            try:
                if request.method != "GET" and request.url.path not in _OPEN:
                    (await asked(request)).need_anywhere(Permission.VIEW)
                return await handler(request)
            except Exception as error:  # shown and, where nobody expected it, logged  # noqa: BLE001
                await request.close()  # what of a form was read
                return await _problem(request, refused(error))

        return shown


def router() -> APIRouter:
    """A router for pages."""
    return APIRouter(route_class=PageRoute, default_response_class=HTMLResponse)


async def _problem(request: Request, problem: Refused) -> Response:
    is_page = request.method == "GET" and "HX-Request" not in request.headers
    if problem.status == HTTPStatus.UNAUTHORIZED and is_page:
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?next={quote(here, safe='')}", HTTPStatus.SEE_OTHER)
    try:
        asker = await asked(request)
    except Refused:
        asker = None
    shown: Response = await run_in_threadpool(
        render,
        request,
        asker,
        "problem.html",
        status=problem.status,
        title="That did not work",
        problem=problem,
    )
    shown.headers.update(problem.headers)
    return shown


# ---- showing
def render(
    request: Request,
    asker: Asked | None,
    template: str,
    *,
    status: int = 200,
    stream: str = "",
    **values: Any,
) -> HTMLResponse:
    """A page from a template.

    Parameters
    ----------
    asker
        Who sees it; None where nobody is known.
    template
        The template's file.
    stream
        What it follows, from `stream_of`; "" if nothing.
    values
        What it shows. `title` is needed; `page` is the path of the page in the navigation, if it is not its own.
    """
    is_whole = "HX-Request" not in request.headers
    said = _said(request) if is_whole else None
    shown = environment.get_template(template).render(
        request=request,
        asker=asker,
        csrf=asker.csrf if asker else "",
        version=VERSION,
        Permission=Permission,
        nav=navigation(asker) if asker else [],
        here=values.pop("page", request.url.path),
        unread=_unread(asker),
        stream=stream if asker else "",
        said=said,
        **values,
    )
    response = HTMLResponse(shown, status, headers={"Cache-Control": "no-store"})
    if template == FRAME:
        origins = request.app.state.access.site.settings.server.embed_in
        response.headers["Content-Security-Policy"] = framed(origins)
    if said:
        response.delete_cookie(_SAID, path="/")
    return response


def navigation(asker: Asked) -> list[tuple[str, str, str]]:
    """The pages that somebody may see: path, name, the letter that goes there."""
    return [
        (path, name, key)
        for path, name, key, needed in _PAGES
        if asker.access.policy.anywhere(asker.person, needed)
    ]


def _unread(asker: Asked | None) -> int:
    if asker is None or not asker.is_known:
        return 0
    return unread(asker, names_of(asker))


def stream_of(asker: Asked, **topics: Any) -> str:
    """What a page follows: the address of the events after this moment. To be asked before what the page shows is read.

    Parameters
    ----------
    topics
        `item`, `pipeline`, `run` or `type`, as the stream of events takes them; all events without.
    """
    with asker.access.site.catalog.read() as view:
        after = view.last_event()
    return f"/api/v1/events{_query({'after': after, **topics})}"


def _query(parts: Mapping[str, Any]) -> str:
    """The query of an address, without what is empty; "" if nothing is left. Lists are repeated."""
    kept = {name: value for name, value in parts.items() if value not in ("", None, [], ())}
    return f"?{urlencode(kept, doseq=True)}" if kept else ""


# ---- doing
@dataclass(frozen=True, slots=True)
class Said:
    """What the page before has done, or why it did not."""

    text: str
    is_problem: bool = False


def go(to: str, said: str = "", *, is_problem: bool = False) -> Response:
    """On to another page after something was done (303); what is said is told there, once."""
    response = RedirectResponse(to, HTTPStatus.SEE_OTHER)
    if said:
        text = quote(json.dumps([said[:_TOLD], is_problem]))
        response.set_cookie(_SAID, text, max_age=60, httponly=True, samesite="lax", path="/")
    return response


def attempt(to: str, do: Callable[[], str]) -> Response:
    """Do something and go on to a page, which tells what was done (what `do` returns), or why it was not.

    Parameters
    ----------
    to
        The page.
    do
        What is done; its errors (of Towpath, or refusals) become what is said.
    """
    try:
        return go(to, do())
    except (Refused, TowpathError) as error:
        problem = refused(error)
        if problem.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND):
            raise
        states = problem.told.get("states")
        found = f" It is: {', '.join(f'{name} {state}' for name, state in states.items())}." if states else ""
        hint = f" ({problem.hint})" if problem.hint else ""
        return go(to, f"{_sentence(problem.message)}{found}{hint}", is_problem=True)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _said(request: Request) -> Said | None:
    try:
        text, is_problem = json.loads(unquote(request.cookies.get(_SAID, "")))
        return Said(str(text)[:_TOLD], bool(is_problem))
    except (ValueError, TypeError):
        return None


async def _signed_in(asker: Asker) -> Asked:
    asker.need_anywhere(Permission.VIEW)
    return asker


Viewer = Annotated[Asked, Depends(_signed_in)]
