"""The system: whether it lives and is ready, what it is at a glance, its sizes, its metrics for Prometheus."""

from typing import Any

from fastapi import APIRouter, Response

from towpath.api import shapes, sight
from towpath.api.asking import Asker
from towpath.api.metrics import exposition
from towpath.api.routes.routing import ERRORS, may
from towpath.app.catalogs import revision
from towpath.app.documents import counts, plain
from towpath.base.version import VERSION
from towpath.contracts.auth import Permission

routes = APIRouter(tags=["system"], responses=ERRORS)


@routes.get("/health/live", response_model=shapes.Health)
async def live() -> dict[str, str]:
    """Whether the process answers."""
    return {"status": "ok"}


@routes.get("/health/ready", response_model=shapes.Health)
def ready(asker: Asker) -> dict[str, str]:
    """Whether the catalog answers; 503 if not."""
    with asker.access.site.catalog.read() as view:
        view.last_event()
    return {"status": "ok"}


@routes.get("/system", response_model=shapes.System, dependencies=may(Permission.VIEW))
def system(asker: Asker) -> Any:
    """The site at a glance: counts of work, sessions, what is wrong on disk."""
    found = sight.status(asker, asker.site.status())
    names = ("session", "host", "pid", "lock", "attributable")
    return {
        "version": VERSION,
        "site": asker.site.settings.site.name or asker.site.folder.name,
        "schema_revision": revision(asker.site.settings),
        "counts": counts(found.counts),
        "sessions": [dict(zip(names, row, strict=True)) for row in found.sessions],
        "publications": dict(found.publications),
        "bad_products": found.bad_products,
        "no_room": found.no_room,
    }


@routes.get("/system/sizes", dependencies=may(Permission.CONFIGURE))
def sizes(asker: Asker) -> dict[str, Any]:
    """Rows and bytes of the catalog, logs, products by root and state; what retention would free."""
    asker.need(Permission.CONFIGURE)
    found: dict[str, Any] = plain(asker.site.sizes())
    return found


@routes.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}},
    dependencies=may(Permission.VIEW),
)
def metrics(asker: Asker) -> Any:
    """Counts of work by state, publications, streams and events, in Prometheus' text form."""
    return Response(exposition(asker), media_type="text/plain; version=0.0.4; charset=utf-8")
