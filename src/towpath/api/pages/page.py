"""How a page is made: one layout, one environment of templates, everything escaped; and who may see a page."""

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from towpath import __version__
from towpath.api.asking import Asked, Asker, asked
from towpath.api.errors import Refused, refused
from towpath.contracts.auth import Permission

STATIC = Path(__file__).parent / "static"
_TEMPLATES = Path(__file__).parent / "templates"

environment = Environment(
    loader=FileSystemLoader(_TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


class PageRoute(APIRoute):
    """A route whose errors are pages; whoever is nobody is asked to sign in."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        """The handler, with errors as pages."""
        handler = super().get_route_handler()

        async def shown(request: Request) -> Response:
            try:
                return await handler(request)
            except Exception as error:  # shown and, where nobody expected it, logged  # noqa: BLE001
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
    return await run_in_threadpool(
        render,
        request,
        asker,
        "problem.html",
        status=problem.status,
        title="That did not work",
        problem=problem,
    )


def render(
    request: Request, asker: Asked | None, template: str, *, status: int = 200, **values: Any
) -> HTMLResponse:
    """A page from a template.

    Parameters
    ----------
    asker
        Who sees it; None where nobody is known.
    template
        The template's file.
    values
        What it shows.
    """
    shown = environment.get_template(template).render(
        request=request,
        asker=asker,
        csrf=asker.csrf if asker else "",
        version=__version__,
        Permission=Permission,
        **values,
    )
    return HTMLResponse(shown, status, headers={"Cache-Control": "no-store"})


async def _signed_in(asker: Asker) -> Asked:
    asker.need_anywhere(Permission.VIEW)
    return asker


Viewer = Annotated[Asked, Depends(_signed_in)]
