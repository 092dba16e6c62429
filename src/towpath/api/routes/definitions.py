"""Definitions: the pipeline files in force, with the origin of each value; loading them anew; the settings of the site."""

from typing import Any

from towpath.api import shapes
from towpath.api.asking import Asked, Asker
from towpath.api.routes.routing import may, router
from towpath.api.telling import moment
from towpath.app.documents import plain
from towpath.app.settings import masked
from towpath.base.errors import NotFoundError
from towpath.contracts.auth import Permission
from towpath.contracts.definition import Definition

routes = router("definitions")


def _told(one: Definition) -> dict[str, Any]:
    return {
        "pipeline": one.pipeline,
        "number": one.number,
        "sha256": one.digest.hex(),
        "kinds": {kind.name: list(kind.stages) for kind in one.kinds.values()},
        "sources": list(one.sources),
    }


@routes.get("/definitions", response_model=list[shapes.DefinitionShape], dependencies=may(Permission.VIEW))
def definitions(asker: Asker) -> Any:
    """The pipelines of the site, with the stages of each kind."""
    return [_told(one) for name, one in asker.site.definitions.items() if asker.sees_definition(name)]


def find_definition(asker: Asked, pipeline: str) -> Definition:
    """The active definition of a pipeline that the asker may view. Raises `NotFoundError`."""
    if pipeline not in asker.site.definitions or not asker.sees_definition(pipeline):
        raise NotFoundError(f"no pipeline {pipeline!r}")
    return asker.site.definitions[pipeline]


@routes.get(
    "/definitions/{pipeline}", response_model=shapes.DefinitionDetails, dependencies=may(Permission.VIEW)
)
def one(asker: Asker, pipeline: str) -> Any:
    """A pipeline: routes with parameters, where each value comes from, and what was active before."""
    found = find_definition(asker, pipeline)
    with asker.site.catalog.read() as view:
        history = view.definitions(pipeline)
    stages = {
        kind.name: [
            {"stage": one.name, "version": one.version, "depth": one.depth, "params": masked("", plain(one.params)),
             "after": list(one.after), "before": list(one.before), "service": one.service, "reaches": one.reaches,
             "outputs": dict(one.outputs)}
            for one in kind.stages.values()
        ]
        for kind in found.kinds.values()
    }  # fmt: skip
    before = [
        {"number": number, "sha256": sha256.hex(), "loaded": moment(time), "active": active}
        for number, sha256, time, active in history
    ]
    origins = {name: str(origin) for name, origin in asker.site.origins(pipeline).items()}
    return {**_told(found), "routes": stages, "origins": origins, "history": before}


@routes.post("/definitions/reload", dependencies=may(Permission.CONFIGURE))
def reload(asker: Asker) -> dict[str, str]:
    """Look at the pipeline files now. Answers by pipeline "" where a new one is in force, or what is wrong with it."""
    asker.need(Permission.CONFIGURE)
    return asker.site.reload()


@routes.get("/settings", dependencies=may(Permission.CONFIGURE))
def settings(asker: Asker) -> list[dict[str, Any]]:
    """The settings of the site in force, and where each value comes from; secrets are masked."""
    asker.need(Permission.CONFIGURE)
    return [
        {"name": name, "value": value, "origin": str(origin)}
        for name, value, origin in asker.site.settings.shown()
    ]
