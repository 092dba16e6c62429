"""The overview: each pipeline's routes with live counts, what was done lately, what is wrong, how sources fare."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from threading import Lock

from fastapi import Request
from fastapi.responses import HTMLResponse

from towpath.api import sight
from towpath.api.asking import Asked
from towpath.api.pages import drawing
from towpath.api.pages.page import Viewer, render, router, stream_of
from towpath.app.looking import Status
from towpath.app.site import Site
from towpath.base.errors import StateError
from towpath.base.model import Item, WorkRow
from towpath.base.states import Outcome, Publication, Work
from towpath.contracts.catalog import PublicationRow, Tally

routes = router()

_HOUR, _DAY = 3600.0, 86400.0
_ENDS = (Outcome.DONE, Outcome.REJECTED, Outcome.HELD, Outcome.FAILED, Outcome.TRANSIENT, Outcome.LOST)
_BAD = (Work.FAILED, Work.POISONED)
_PUBLISHED = (Publication.COMMITTED, Publication.RELEASED)
_LOOKED = 20  # pieces of the oldest work, among which one is looked for that somebody may view
_SHOWN = 8  # publications of the day
_EVENTS = 20_000  # the newest, among which publications are looked for


Open = tuple[Item, WorkRow]


@dataclass(slots=True)
class _Glance:
    """What is counted for all who look at a site, and its oldest work: where that takes long, it is asked for less often."""

    status: Status = field(default_factory=lambda: Status({}))
    oldest: dict[str, list[Open]] = field(default_factory=dict)
    until: float = 0.0
    lock: Lock = field(default_factory=Lock)

    def look(self, site: Site) -> None:
        """Look again, if the last time was long enough ago."""
        with self.lock:
            began = time.monotonic()
            if began < self.until:
                return
            self.status = site.status()
            with site.catalog.read() as view:
                for name in site.definitions:
                    rows = view.open_work(name, limit=_LOOKED)
                    self.oldest[name] = [(view.item(row.item), row) for row in rows]
            now = time.monotonic()
            self.until = now + min(10.0, 5 * (now - began))


@dataclass(frozen=True, slots=True)
class PipelineGlance:
    """One pipeline: its drawing, the rows of the table beside it, what ended lately, its oldest open work, its own pages.

    The drawing and the table are None and empty for whoever may not view how it is defined.
    """

    name: str
    drawing: drawing.Drawing | None
    rows: list[tuple[str, str, dict[str, int]]]
    hour: int
    day: int
    failed: int
    bad: int
    held: int
    oldest: Open | None
    pages: list[str] = field(default_factory=list)


@routes.get("/")
def overview(request: Request, asker: Viewer) -> HTMLResponse:
    """The overview."""
    stream = stream_of(asker)
    state = request.app.state
    if not hasattr(state, "glance"):
        state.glance = _Glance()
    glance: _Glance = state.glance
    glance.look(asker.access.site)
    status = sight.status(asker, glance.status)
    names = asker.pipelines()
    with asker.site.catalog.read() as view:
        now = view.now()
        hour, day = view.tally(_ENDS, now - _HOUR), view.tally(_ENDS, now - _DAY)
    if asker.access.authorizer is not None:  # events are not told apart by who may view them
        hour, day = replace(hour, counts={}), replace(day, counts={})
    return render(
        request,
        asker,
        "overview.html",
        title="Overview",
        stream=stream,
        site=asker.site.settings.site.name or asker.site.folder.name,
        pipelines=[_glance(asker, name, status, hour, day, glance.oldest.get(name, ())) for name in names],
        since=day.since,
        is_cut=day.since > now - _DAY + 1,
        glance=status,
        sessions=status.sessions,
        sources=[one for one in asker.site.sources() if asker.sees_sources(one.pipeline)],
        published=_published(asker, now),
    )


def _glance(
    asker: Asked, name: str, status: Status, hour: Tally, day: Tally, oldest: Iterable[Open]
) -> PipelineGlance:
    definition = asker.site.definitions[name]
    counts: dict[str, dict[tuple[str, str], int]] = {}
    for (pipeline, kind, stage, state), count in status.counts.items():
        if pipeline == name and kind in definition.kinds:
            counts.setdefault(kind, {})[stage, state] = count
    rows = [
        (kind.name, stage.name, _by_state(counts.get(kind.name, {}), stage.name))
        for kind in drawing.ordered(definition)
        for stage in drawing.stages_of(kind)
    ]
    is_told = asker.sees_definition(name)
    return PipelineGlance(
        name,
        drawing.draw(definition, counts) if is_told else None,
        rows if is_told else [],
        _sum(hour, name, ("done",)),
        _sum(day, name, ("done",)),
        _sum(day, name, ("failed", "lost")),
        sum(count for _, _, found in rows for state, count in found.items() if state in _BAD),
        sum(found.get(Work.HELD, 0) for _, _, found in rows),
        next((one for one in oldest if asker.sees(name, one[0])), None),
        _pages(asker, name),
    )


def _pages(asker: Asked, name: str) -> list[str]:
    """The pages that the pipeline brings, without those that show one product."""
    plugin = asker.site.plugins.get(name)
    return sorted(set(plugin.pages) - set(plugin.viewers.values())) if plugin else []


def _by_state(counts: drawing.Counts, stage: str) -> dict[str, int]:
    return {state.value: number for state in Work if (number := counts.get((stage, state.value), 0))}


def _sum(tally: Tally, pipeline: str, types: tuple[str, ...]) -> int:
    return sum(
        count for (name, _, _, type), count in tally.counts.items() if name == pipeline and type in types
    )


def _published(asker: Asked, now: float) -> list[tuple[PublicationRow, Item]]:
    """What was published within a day, the newest first, as far as the newest events tell."""
    with asker.site.catalog.read() as view:
        try:
            after = max(0, view.last_event() - _EVENTS)
            events = view.events(after, types=("publication",), limit=_EVENTS)
        except StateError:  # there are fewer events than that
            events = view.events(types=("publication",), limit=_EVENTS)
        numbers = [int(one.data["publication"]) for one in reversed(events)
                   if one.data.get("state") in _PUBLISHED and one.time > now - _DAY]  # fmt: skip
        found: list[tuple[PublicationRow, Item]] = []
        for number in dict.fromkeys(numbers):
            for row in view.publications(after=number - 1, limit=1):
                item = view.item(row.item)
                if row.id == number and row.state in _PUBLISHED and asker.sees(item.pipeline, item):
                    found.append((row, item))
            if len(found) == _SHOWN:
                break
    return found
