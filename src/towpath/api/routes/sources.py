"""Sources: where items come from and how it goes; pausing and resuming one."""

from typing import Any

from towpath.api import shapes
from towpath.api.asking import Asked, Asker
from towpath.api.routes.routing import may, router
from towpath.api.telling import told
from towpath.base.errors import NotFoundError
from towpath.contracts.auth import Permission

routes = router("sources")


@routes.get("/sources", response_model=list[shapes.SourceShape], dependencies=may(Permission.VIEW))
def sources(asker: Asker) -> Any:
    """Every source: when it was last looked at, what arrived last, what is wrong, whether it is paused."""
    return [told(one) for one in asker.site.sources() if asker.sees_sources(one.pipeline)]


def _find(asker: Asked, pipeline: str, name: str) -> None:
    definition = asker.site.definitions.get(pipeline)
    if definition is None or name not in definition.sources or not asker.sees_sources(pipeline):
        raise NotFoundError(f"no source {pipeline}/{name}")
    asker.need(Permission.RUN, pipeline=pipeline)


def _one(asker: Asked, pipeline: str, name: str) -> dict[str, Any]:
    return next(told(one) for one in asker.site.sources() if (one.pipeline, one.name) == (pipeline, name))


@routes.post(
    "/sources/{pipeline}/{name}/pause", response_model=shapes.SourceShape, dependencies=may(Permission.RUN)
)
def pause(asker: Asker, pipeline: str, name: str, wanted: shapes.Why) -> Any:
    """Take nothing from a source until it is resumed; nothing is lost."""
    _find(asker, pipeline, name)
    asker.site.pause_source(f"{pipeline}/{name}", why=wanted.why)
    return _one(asker, pipeline, name)


@routes.post(
    "/sources/{pipeline}/{name}/resume", response_model=shapes.SourceShape, dependencies=may(Permission.RUN)
)
def resume(asker: Asker, pipeline: str, name: str, wanted: shapes.Why) -> Any:
    """Look at a source again."""
    _find(asker, pipeline, name)
    asker.site.resume_source(f"{pipeline}/{name}", why=wanted.why)
    return _one(asker, pipeline, name)
