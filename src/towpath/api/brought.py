"""What pipelines bring to the server: routes, pages, frames and files of their own, and who is asked about single items.

Promises that a pipeline's routes and pages are asked for only by those who may view it, and take no path of another; that
what anybody may load (frames and files) knows nothing of the site.
"""

from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from inspect import signature
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from markupsafe import Markup

from towpath.api.asking import Asker
from towpath.api.pages.page import Viewer, render, router
from towpath.api.records import Records
from towpath.api.routes.routing import ERRORS
from towpath.app.plugins import attribute
from towpath.app.site import Site
from towpath.base.errors import NotFoundError, SiteError
from towpath.contracts.auth import Authorizer, Permission
from towpath.contracts.plugin import Plugin

GROUP = "towpath.authorizers"
LOCAL = "local"
RECORDS = "records"


def authorizer(site: Site) -> Authorizer | None:
    """Who is asked about single items, by the setting `access.authorizer`; None where the roles alone decide.

    Raises
    ------
    SiteError
        If no plug-in has that name, or it cannot be loaded.
    """
    name = site.settings.access.authorizer
    if name == LOCAL:
        return None
    if name == RECORDS:
        return Records(site)
    found = {point.name: point for point in entry_points(group=GROUP)}
    target = f"{found[name].module}:{found[name].attr}" if name in found else name
    if ":" not in target:
        known = ", ".join([LOCAL, RECORDS, *sorted(found)])
        raise SiteError(f"access.authorizer: found {name!r}; expected one of {known}, or module:name")
    try:
        made: Authorizer = attribute(target)(site)
    except ImportError as error:
        raise SiteError(f"access.authorizer: {target} cannot be loaded: {error}") from error
    return made


def add_to(app: FastAPI, site: Site, prefix: str, taken: Iterable[str]) -> None:
    """Add what the site's pipelines bring below a prefix, where these paths are taken.

    Raises
    ------
    SiteError
        If a pipeline's routes cannot be loaded, or stand where others are.
    """
    own = set(taken)
    for name, plugin in site.plugins.items():
        for path, target in plugin.routes.items():
            if not path.startswith("/") or any(one == path or one.startswith(f"{path}/") for one in own):
                raise SiteError(
                    f"pipeline {name}: routes: found {path!r}; expected a path of its own, such as /{name}"
                )
            brought = _loaded(name, target)
            if not isinstance(brought, APIRouter):
                raise SiteError(
                    f"pipeline {name}: routes: found {type(brought).__name__}; expected a FastAPI router"
                )
            app.include_router(
                brought,
                prefix=f"{prefix}{path}",
                tags=[name],
                responses=ERRORS,
                dependencies=[Depends(_viewer_of(name))],
            )
            own.add(path)
    for name, plugin in site.plugins.items():
        if plugin.static is not None:
            app.mount(f"/pipelines/{name}/static", _Files(directory=plugin.static))
        app.include_router(_frames(name, plugin), include_in_schema=False)
    app.include_router(routes, include_in_schema=False)


def _loaded(pipeline: str, target: Any) -> Any:
    if not isinstance(target, str):
        return target
    try:
        return attribute(target)
    except ImportError as error:
        raise SiteError(f"pipeline {pipeline}: {target} cannot be loaded: {error}") from error


def _viewer_of(pipeline: str) -> Callable[..., Any]:
    """A dependency: the asker may view this pipeline."""

    async def check(asker: Asker) -> None:
        asker.need(Permission.VIEW, pipeline=pipeline)

    check.__dict__["permission"] = Permission.VIEW
    return check


class _Files(StaticFiles):
    """Files of a pipeline; a browser asks each time whether they are still the same."""

    def file_response(self, *of: Any, **more: Any) -> Response:
        response = super().file_response(*of, **more)
        response.headers["Cache-Control"] = "no-cache"
        return response


def _frames(pipeline: str, plugin: Plugin) -> APIRouter:
    """The pages of a pipeline for frames of other sites."""
    found = router()

    def add(name: str, show: Callable[..., str]) -> None:
        @found.get(f"/pipelines/{pipeline}/{name}")
        def frame(request: Request) -> HTMLResponse:
            body = Markup(show(**_query_of(request)))
            return render(request, None, "frame.html", title=_title(name), body=body)

    for name, target in plugin.frames.items():
        if name in plugin.pages:
            raise SiteError(f"pipeline {pipeline}: frames: found {name!r}, which is one of its pages too")
        add(name, _loaded(pipeline, target))
    return found


def _title(name: str) -> str:
    return name.replace("-", " ").capitalize()


def _query_of(request: Request) -> dict[str, str]:
    """The query, without what would be taken for what the server gives."""
    return {key: value for key, value in request.query_params.items() if key not in ("site", "asker")}


routes = router()


@routes.get("/pipelines/{pipeline}/{page}")
def page(request: Request, asker: Viewer, pipeline: str, page: str) -> HTMLResponse:
    """A page that a pipeline brings."""
    plugin = asker.site.plugins.get(pipeline)
    if plugin is None or not asker.sees(pipeline) or page not in plugin.pages:
        raise NotFoundError(f"the pipeline {pipeline!r} has no page {page!r}")
    show = _loaded(pipeline, plugin.pages[page])
    who = {"asker": asker} if "asker" in signature(show).parameters else {}
    body = Markup(show(asker.site, **_query_of(request), **who))
    return render(request, asker, "brought.html", title=_title(page), body=body)
