"""What pipelines bring to the server: routes and pages of their own, and who is asked about single items.

Promises that a pipeline's routes are asked for only by those who may view it, and take no path of another.
"""

from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from towpath.api.asking import Asker
from towpath.api.pages.page import Viewer, render, router
from towpath.api.records import Records
from towpath.api.routes.routing import ERRORS
from towpath.app.plugins import attribute
from towpath.app.site import Site
from towpath.base.errors import NotFoundError, SiteError
from towpath.contracts.auth import Authorizer, Permission

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


routes = router()


@routes.get("/pipelines/{pipeline}/{page}")
def page(request: Request, asker: Viewer, pipeline: str, page: str) -> HTMLResponse:
    """A page that a pipeline brings."""
    plugin = asker.site.plugins.get(pipeline)
    if plugin is None or not asker.sees(pipeline) or page not in plugin.pages:
        raise NotFoundError(f"the pipeline {pipeline!r} has no page {page!r}")
    show = _loaded(pipeline, plugin.pages[page])
    body = Markup(show(asker.site, **dict(request.query_params)))
    return render(request, asker, "brought.html", title=page.replace("-", " ").capitalize(), body=body)
