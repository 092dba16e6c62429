"""Sources: where items come from, how each fares, what came last; pausing, resuming, submitting."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Form, Request, Response
from pydantic import ValidationError

from towpath.api import shapes
from towpath.api.asking import Asked, Asker
from towpath.api.pages.page import Viewer, attempt, render, router, stream_of
from towpath.api.routes import items as rest_items
from towpath.api.routes import sources as rest
from towpath.base.errors import NotFoundError, UsageError
from towpath.base.model import Event
from towpath.contracts.auth import Permission
from towpath.contracts.definition import Definition

routes = router()

_LOOKED, _SHOWN = (
    500,
    8,
)  # events that are looked through for arrivals, and those that are shown for each kind
_HERE = "/sources"

Why = Annotated[str, Form(max_length=1000)]
Text = Annotated[str, Form(max_length=20_000)]


@routes.get(_HERE)
def page(request: Request, asker: Viewer, pipeline: str = "") -> Response:
    """Every source."""
    stream = stream_of(asker, type=["source", "registered", "problem"])
    found = [one for one in asker.site.sources(pipeline=pipeline) if asker.sees_sources(one.pipeline)]
    arrived, names = arrivals(asker)
    return render(
        request,
        asker,
        "sources.html",
        stream=stream,
        title="Sources",
        found=found,
        arrived=arrived,
        names=names,
        wanted={"pipeline": pipeline},
        pipelines=asker.pipelines(),
        can_run={one.pipeline: asker.may(Permission.RUN, pipeline=one.pipeline) for one in found},
        can_submit={one.pipeline: asker.may(Permission.SUBMIT, pipeline=one.pipeline) for one in found},
        needs={one.whole_name: _key_of(asker.site.definitions[one.pipeline], one.name) for one in found},
    )


def _key_of(definition: Definition, name: str) -> str:
    """The template of keys of a source of kind submit, "" if it has none."""
    return str(definition.sources[name].settings.get("key", ""))


def arrivals(asker: Asked) -> tuple[dict[tuple[str, str], list[Event]], dict[int, str]]:
    """What was registered last, by pipeline and kind, newest first; and the keys of these items."""
    found: dict[tuple[str, str], list[Event]] = {}
    names: dict[int, str] = {}
    with asker.site.catalog.read() as view:
        last = view.last_event()
        after = max(last - 4 * _LOOKED, view.oldest_event() - 1, 0)
        for event in reversed(view.events(after, types=["registered"], limit=4 * _LOOKED)[-_LOOKED:]):
            if not event.item or not asker.sees(event.pipeline):
                continue
            item = view.item(event.item)
            events = found.setdefault((item.pipeline, item.kind), [])
            if len(events) < _SHOWN and asker.sees(item.pipeline, item):
                events.append(event)
                names[item.id] = item.key
    return found, names


@routes.post("/sources/{pipeline}/{name}/pause")
def pause(asker: Asker, pipeline: str, name: str, why: Why = "") -> Response:
    """Take nothing from it."""

    def do() -> str:
        rest.pause(asker, pipeline, name, shapes.Why(why=why))
        return f"{pipeline}/{name} is paused; nothing is taken from it until it is resumed."

    return attempt(_HERE, do)


@routes.post("/sources/{pipeline}/{name}/resume")
def resume(asker: Asker, pipeline: str, name: str, why: Why = "") -> Response:
    """Look at it again."""

    def do() -> str:
        rest.resume(asker, pipeline, name, shapes.Why(why=why))
        return f"{pipeline}/{name} goes on."

    return attempt(_HERE, do)


@routes.post("/sources/{pipeline}/{name}/submit")
def submit(
    asker: Asker,
    pipeline: str,
    name: str,
    key: Text = "",
    attributes: Text = "",
    time: Text = "",
    footprint: Text = "",
    priority: Annotated[int, Form(ge=-1000, le=1000)] = 0,
) -> Response:
    """Register an item."""
    definition = asker.site.definitions.get(pipeline)
    if definition is None or name not in definition.sources or not asker.sees_sources(pipeline):
        raise NotFoundError(f"no source {pipeline}/{name}")
    asker.need(Permission.SUBMIT, pipeline=pipeline)
    kind = f"{pipeline}/{definition.sources[name].item}"

    def do() -> str:
        item = submission(key, attributes, time, footprint)
        number = rest_items.submit(asker, shapes.Submissions(kind=kind, items=[item], priority=priority))[
            "ids"
        ][0]
        return f"{asker.item(number).name} is registered, as item {number}."

    return attempt(_HERE, do)


def submission(key: str, attributes: str, time: str, footprint: str) -> shapes.Submission:
    """What a form says of an item.

    Parameters
    ----------
    attributes
        A JSON object, or lines ``name=value``, of which the values are JSON where they can be.
    time
        One moment, or two with ``/`` between them.
    footprint
        West, south, east, north in degrees, with commas.

    Raises
    ------
    UsageError
        If anything is otherwise.
    """
    times: Any = [part.strip() for part in time.split("/") if part.strip()]
    try:
        box = [float(part) for part in footprint.split(",")] if footprint.strip() else None
    except ValueError:
        raise UsageError(f"footprint: found {footprint!r}; expected west, south, east, north") from None
    if box is not None and len(box) != 4:
        raise UsageError(f"footprint: found {len(box)} numbers; expected west, south, east, north")
    try:
        return shapes.Submission(
            key=key.strip(), attributes=dict(table(attributes)), time=times or None, footprint=box
        )
    except ValidationError as error:
        raise UsageError(str(error.errors()[0]["msg"])) from None


def table(text: str) -> Mapping[str, Any]:
    """The attributes of a text: a JSON object, or lines ``name=value``."""
    if text.lstrip().startswith("{"):
        try:
            return dict(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise UsageError(
                f"attributes: found no JSON object ({error}); expected one, or name=value"
            ) from None
    found = {}
    for number, line in enumerate(text.splitlines(), start=1):
        name, equals, value = line.partition("=")
        if not line.strip():
            continue
        if not (equals and name.strip()):
            raise UsageError(f"attributes, line {number}: found {line!r}; expected name=value")
        try:
            found[name.strip()] = json.loads(value)
        except (ValueError, RecursionError):
            found[name.strip()] = value.strip()
    return found
