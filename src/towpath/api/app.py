"""The server as an ASGI application: routes, live streams, pages, and what stands around them.

Promises that the document of the interface (OpenAPI 3.1 at `/api/v1/openapi.json`) has every route of it.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI
from fastapi.concurrency import run_in_threadpool

from towpath.api import brought, errors, examples, pages
from towpath.api.asking import Access
from towpath.api.bearers import Bearers
from towpath.api.embedding import Embedding
from towpath.api.limits import Limits
from towpath.api.live import Hub
from towpath.api.logs import LogStreams
from towpath.api.previews import Previews
from towpath.api.routes import (
    actions,
    calibrations,
    definitions,
    events,
    flags,
    gateway,
    items,
    orders,
    people,
    products,
    publications,
    runs,
    sources,
    system,
)
from towpath.api.throttle import Throttle
from towpath.app.site import Site
from towpath.base.version import VERSION
from towpath.contracts.auth import Grant, Policy

PREFIX = "/api/v1"
ROUTES: Sequence[APIRouter] = (
    items.routes,
    actions.routes,
    flags.routes,
    gateway.routes,
    runs.routes,
    products.routes,
    calibrations.routes,
    orders.routes,
    publications.routes,
    sources.routes,
    definitions.routes,
    events.routes,
    people.routes,
    system.routes,
)
_ABOUT = """Everything that Towpath knows and does, for programs. Send `Authorization: Bearer TOKEN`; `towpath tokens create`
makes a token. Changes may carry an `Idempotency-Key`, and are then done once however often they are sent."""


def make_app(site: Site) -> FastAPI:
    """The application of an open site.

    Parameters
    ----------
    site
        The site; it stays open as long as the application runs.

    Raises
    ------
    SiteError
        If what the settings name cannot be loaded.
    """
    table = site.settings.access
    anonymous = tuple(Grant.of(text) for text in table.anonymous)
    policy = Policy(
        {
            name: {permission: frozenset(roles) for permission, roles in changes.items()}
            for name, changes in table.policy.items()
        }
    )

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        hub: Hub = app.state.hub
        hub.start()
        try:
            yield
        finally:
            await hub.stop()
            await run_in_threadpool(app.state.previews.close)

    app = FastAPI(
        title="Towpath",
        version=VERSION,
        description=_ABOUT,
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=life,
    )
    app.state.access = Access(site, policy, Bearers(site), brought.authorizer(site), anonymous)
    app.state.hub = Hub(site)
    app.state.logs = LogStreams(site, app.state.hub)
    app.state.throttle = Throttle()
    app.state.previews = Previews(site.folder / ".towpath" / "previews")
    app.add_middleware(Limits, upload=site.settings.server.upload)
    app.add_middleware(Embedding, origins=site.settings.server.embed_in)
    errors.add_to(app)
    for routes in ROUTES:
        app.include_router(routes, prefix=PREFIX)
    pages.add_to(app)
    brought.add_to(
        app, site, PREFIX, [getattr(one, "path", "") for routes in ROUTES for one in routes.routes]
    )
    describe = app.openapi
    app.openapi = lambda: app.openapi_schema or examples.add_to(describe())  # type: ignore[method-assign]  # as FastAPI says to
    return app
