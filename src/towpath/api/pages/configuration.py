"""The configuration in force: the settings of the site and the stages of each pipeline, with the origin of each value."""

import json
from typing import Any

from fastapi import Request, Response

from towpath.api.asking import Asked, Asker
from towpath.api.pages.page import Viewer, attempt, render, router
from towpath.api.routes import definitions as rest
from towpath.app.documents import plain
from towpath.app.settings import masked
from towpath.app.tables import dotted, leaves
from towpath.contracts.auth import Permission
from towpath.contracts.definition import Definition

routes = router()

_HERE = "/configuration"


@routes.get(_HERE)
def page(request: Request, asker: Viewer, pipeline: str = "", match: str = "") -> Response:
    """The settings of the site, or those of a pipeline."""
    asker.need_anywhere(Permission.CONFIGURE)
    names = [name for name in asker.pipelines() if asker.may(Permission.CONFIGURE, pipeline=name)]
    if not pipeline and not asker.may(Permission.CONFIGURE):
        pipeline = names[0]
    shared: dict[str, Any] = {
        "names": names,
        "wanted": {"pipeline": pipeline, "match": match},
        "is_site": asker.may(Permission.CONFIGURE),
    }
    if not pipeline:
        rows = [(name, _value(value), str(origin)) for name, value, origin in asker.site.settings.shown()]
        return render(
            request, asker, "configuration.html", title="Configuration", rows=_matching(rows, match), **shared
        )
    definition = rest.find_definition(asker, pipeline)
    asker.need(Permission.CONFIGURE, pipeline=pipeline)
    with asker.site.catalog.read() as view:
        history = view.definitions(pipeline)
    return render(
        request,
        asker,
        "configuration.html",
        title=f"Configuration of {pipeline}",
        rows=_matching(_of_pipeline(asker, definition), match),
        definition=definition,
        stages=stages(definition),
        history=sorted(history, reverse=True),
        **shared,
    )


Row = tuple[str, str, str]


def _matching(rows: list[Row], text: str) -> list[Row]:
    return [row for row in rows if text.lower() in row[0].lower()]


def _of_pipeline(asker: Asked, definition: Definition) -> list[Row]:
    origins = asker.site.origins(definition.pipeline)
    rows = [(dotted(key), value) for key, value in leaves(dict(definition.content))]
    return [(name, _value(masked(name, value)), str(origins.get(name, "default"))) for name, value in rows]


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def stages(definition: Definition) -> list[tuple[str, list[dict[str, Any]]]]:
    """The stages of each kind, in the order of their route, with what they take and give."""
    found = []
    for kind in definition.kinds.values():
        rows = [
            {
                "name": one.name,
                "version": one.version,
                "service": one.service,
                "after": list(one.before),
                "reaches": one.reaches,
                "params": [
                    (name, _value(masked(name, plain(value)))) for name, value in sorted(one.params.items())
                ],
                "outputs": dict(one.outputs),
            }
            for one in sorted(kind.stages.values(), key=lambda one: (one.depth, one.name))
        ]
        found.append((kind.name, rows))
    return found


@routes.post("/configuration/reload")
def reload(asker: Asker) -> Response:
    """Look at the pipeline files now."""

    def do() -> str:
        found = rest.reload(asker)
        if not found:
            return "No pipeline file has changed."
        fresh = ", ".join(sorted(name for name, wrong in found.items() if not wrong))
        wrong = "; ".join(f"{name} stays as it was: {text}" for name, text in sorted(found.items()) if text)
        return ". ".join([f"In force now: {fresh}"] * bool(fresh) + [wrong] * bool(wrong)) + "."

    return attempt(_HERE, do)
