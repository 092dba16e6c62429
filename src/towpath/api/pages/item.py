"""The page of one item: its route, story, verdicts, flags, products, lineage, runs; why it does not run; what can be done.

Promises that an action is sent with the state that was seen; whoever saw an old one is told the state that was found.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import Form, Query, Request, Response
from fastapi.responses import HTMLResponse

from towpath.api import shapes
from towpath.api.asking import Asked
from towpath.api.pages import lineage, story
from towpath.api.pages.drawing import COLOURS
from towpath.api.pages.page import Viewer, attempt, render, router, stream_of
from towpath.api.pages.work import VERBS, permission_of
from towpath.api.routes import actions, flags, orders, people, publications
from towpath.api.routes.items import etag
from towpath.api.routes.routing import Number
from towpath.api.sight import explained, seen
from towpath.app.documents import plain
from towpath.app.looking import Details
from towpath.base import ids, words
from towpath.base.errors import StateError, TowpathError, UsageError
from towpath.base.model import Event, Item, Measure, Product, RuleResult, Run, WorkRow
from towpath.base.states import Order, Outcome, Work
from towpath.contracts.auth import Permission
from towpath.contracts.catalog import View

routes = router()

_EVENTS = 200  # of the story that are shown
_ATTEMPTS = 6  # of a stage that stand side by side
_MEMBERS = 200
_SAYS = 200  # letters of what a stage says of itself
_WELL = (Outcome.DONE, Outcome.UNCHANGED, Outcome.ADOPTED)
_AGAIN = (Work.DONE, Work.REJECTED)
_LEFT_BEHIND = (Work.HELD, Work.FAILED, Work.POISONED, Work.STOPPED)
_THERE = 24  # previews on a page


@dataclass(frozen=True, slots=True)
class StageLine:
    """One stage of the route: its row, its attempts, the time they took, and what may be done to it by this person."""

    row: WorkRow
    runs: list[Run]
    seconds: float
    verbs: list[tuple[str, str]]

    @property
    def last(self) -> str:
        """The run that goes on, or the last attempt."""
        if self.row.state is Work.RUNNING:
            return ids.run_name(self.row.id, self.row.token)
        return self.runs[-1].name if self.runs else ""

    @property
    def says(self) -> str:
        """What the stage says of itself: its note, else what its last run found."""
        if self.row.note or not self.runs:
            return self.row.note
        last = self.runs[-1]
        if last.outcome not in _WELL and (last.error or last.reasons):
            return story.cut(last.error.strip().rpartition("\n")[2] or "; ".join(last.reasons), _SAYS)
        measures = [f"{one.name} {_measured(one)}" for one in last.measures]
        return story.cut("; ".join([*(f"but: {one}" for one in last.caveats), *measures]), _SAYS)


@dataclass(frozen=True, slots=True)
class Attempts:
    """The attempts of a stage side by side: names of what was measured, and the attempts, the oldest first."""

    stage: str
    runs: list[Run]
    earlier: int
    measures: list[tuple[str, list[str]]]
    is_open: bool


@dataclass(frozen=True, slots=True)
class RuleLine:
    """One rule judged, with places of its value and its limit on a bar where they are numbers."""

    rule: RuleResult
    fraction: float | None
    limit: float | None


@routes.get("/items/{number}")
def item(
    request: Request, asker: Viewer, number: Number, product: Annotated[int, Query(ge=0, le=2**62)] = 0
) -> HTMLResponse:
    """The page; `product` is the one whose lineage is drawn."""
    stream = stream_of(asker, item=number)
    one = asker.item(number)
    found = asker.site.show(one.name)
    found = replace(found, members=tuple(each for each in found.members if asker.sees(each.pipeline, each)))
    with asker.site.catalog.read() as view:
        events = _events(view, number)
        asked = view.orders(item=number, limit=200)
        is_followed = bool(view.subscriptions(who=asker.person.name, item=number))
        groups = [
            group
            for each in view.groups_of([number])
            if asker.sees((group := view.item(each)).pipeline, group)
        ]
        members = [member for member in found.members if asker.sees(member.pipeline, member)]
        works = view.work([member.id for member in members[:_MEMBERS]])
    parts = request.headers.get("X-Parts", "lineage").split()
    lines = _lines(asker, found)
    return render(
        request,
        asker,
        "item.html",
        title=f"{one.kind}/{one.key}",
        page="/items",
        stream=stream,
        item=one,
        found=found,
        etag=etag(found.work),
        lines=lines,
        longest=max([line.seconds for line in lines] or [0.0]),
        verbs=_verbs(asker, one, found.work),
        told=story.story(found.milestones, events),
        is_cut=len(events) == _EVENTS,
        attempts=_attempts(found),
        verdicts=[(one[0], one[1], [_rule(rule) for rule in one[1].rules], *one[2:]) for one in found.verdicts],
        grid=story.grid(found.flags),
        lineage=_lineage(asker, found.products, product) if "lineage" in parts else None,
        previews=[each for each in reversed(found.products) if each.stage][:_THERE],
        whys=_whys(asker, one) if "why" in parts or "lineage" in parts else [],
        orders=asked,
        gates=[row for row in asked if row.kind == "gate" and row.state is Order.OPEN],
        is_followed=is_followed,
        groups=groups,
        members=[(member, works[member.id]) for member in members[:_MEMBERS]],
        more_members=max(0, len(members) - _MEMBERS),
        publishes=_publishes(asker, one, found.work),
        may={permission.value: asker.may(permission, one) for permission in Permission},
        viewers=asker.site.plugins[one.pipeline].viewers if one.pipeline in asker.site.plugins else {},
        is_running=any(row.state is Work.RUNNING for row in found.work),
    )  # fmt: skip


def _events(view: View, number: int) -> list[Event]:
    """The newest events of an item."""
    found: list[Event] = []
    after = 0
    while page := view.events(after, item=number, limit=1000):
        found = [*found, *page][-_EVENTS:]
        after = page[-1].seq
        if len(page) < 1000:
            break
    return found


def _lines(asker: Asked, found: Details) -> list[StageLine]:
    runs: dict[int, list[Run]] = {}
    for run in found.runs:
        runs.setdefault(run.work, []).append(run)
    return [
        StageLine(row, runs.get(row.id, []), sum(run.seconds for run in runs.get(row.id, [])), _verbs(asker, found.item, [row]))
        for row in found.work
    ]  # fmt: skip


def _verbs(asker: Asked, one: Item, rows: Iterable[WorkRow]) -> list[tuple[str, str]]:
    """What somebody may do to work in these states."""
    states = {row.state for row in rows}
    applies = {**actions.APPLIES, "rerun": _AGAIN}
    return [
        (verb, text)
        for verb, text in VERBS.items()
        if states & set(applies[verb]) and asker.may(permission_of(verb), one)
    ]


def _attempts(found: Details) -> list[Attempts]:
    made = []
    for row in found.work:
        every = [run for run in found.runs if run.work == row.id]
        runs = every[-_ATTEMPTS:]
        if not runs:
            continue
        names = list(dict.fromkeys(one.name for run in runs for one in run.measures))
        values = [{one.name: _measured(one) for one in run.measures} for run in runs]
        measures = [(name, [each.get(name, "") for each in values]) for name in names]
        is_open = runs[-1].outcome not in _WELL
        made.append(Attempts(row.stage, runs, len(every) - len(runs), measures, is_open))
    return made


def _measured(one: Measure) -> str:
    return f"{words.number(one.value)} {one.unit}".rstrip()


def _rule(rule: RuleResult) -> RuleLine:
    value, limit = rule.value, rule.limit
    numbers = [one for one in (value, limit) if isinstance(one, int | float) and not isinstance(one, bool)]
    if len(numbers) < 2 or min(numbers) < 0 or not max(numbers) < float("inf") or max(numbers) == 0:
        return RuleLine(rule, None, None)
    full = 1.2 * max(numbers)
    return RuleLine(rule, value / full, limit / full)


def _lineage(asker: Asked, products: Sequence[Product], wanted: int) -> tuple[Any, Any, Product] | None:
    """The trace of a product of the item (the last one made, if none is wanted), its drawing, and the product."""
    start = next((one for one in products if one.id == wanted), products[-1] if products else None)
    if start is None:
        return None
    trace = asker.site.trace(start.id, most=100, sees=seen(asker))
    return trace, lineage.draw(trace, start.id), start


def _whys(asker: Asked, one: Item) -> list[dict[str, Any]]:
    """Why each stage is as it is; those that a person asks about first."""
    try:
        found = explained(asker, [plain(each) for each in asker.site.explain(one.name)])
    except (TowpathError, KeyError):  # of a pipeline that left the site
        return []
    order = list(COLOURS)
    return sorted(found, key=lambda each: order.index(Work(each["state"])))


def _publishes(asker: Asked, one: Item, rows: Iterable[WorkRow]) -> str:
    """Whether publications wait for a person ("go on") or failed ("retry"), and this one may decide."""
    definition = asker.site.definitions.get(one.pipeline)
    if definition is None or one.kind not in definition.kinds or not asker.may(Permission.PUBLISH, one):
        return ""
    plans = definition.kinds[one.kind].stages
    publishing = {name for name, plan in plans.items() if plan.service == "publish"}
    left = {row.state for row in rows if row.stage in publishing and row.state in _LEFT_BEHIND}
    return "" if not left else "go on" if left == {Work.HELD} else "retry"


# ---- doing
def _there(number: int, part: str = "") -> str:
    return f"/items/{number}{f'#{part}' if part else ''}"


@routes.post("/items/{number}/actions")
def act(
    asker: Viewer,
    number: Number,
    action: Annotated[shapes.Verb, Form()],
    stage: Annotated[str, Form(max_length=200)] = "",
    expect: Annotated[str, Form(max_length=40)] = "",
    seen: Annotated[str, Form(max_length=100)] = "",
    why: Annotated[str, Form(max_length=1000)] = "",
    priority: Annotated[int, Form(ge=-1000, le=1000)] = 0,
) -> Response:
    """Do something to its work, in the state that was seen: of the stage (`expect`), or of all (`seen`)."""
    wanted = shapes.Action(action=action, stage=stage, why=why, expect=expect, priority=priority)

    def do() -> str:
        told = actions.act(asker, number, wanted, "" if expect else seen)
        if not told["touched"]:
            raise StateError("nothing was touched: no stage is in a state that allows it")
        return f"{VERBS[action]}: {words.count(told['touched'], 'stage')}{f' ({stage})' if stage else ''}."

    return attempt(_there(number), do)


@routes.post("/items/{number}/gates/{order}")
def decide(
    asker: Viewer,
    number: Number,
    order: Number,
    decision: Annotated[str, Form(pattern="^(approve|reject)$")],
    why: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    """Approve or reject at a gate."""

    def do() -> str:
        if decision == "approve":
            told = orders.approve(asker, order, shapes.Why(why=why))
        elif why.strip():
            told = orders.reject(asker, order, shapes.Because(why=why))
        else:
            raise UsageError("why: found nothing; a rejection tells its reason")
        return f"{told['name']}: {told['state']}."

    return attempt(_there(number), do)


@routes.post("/items/{number}/publish")
def publish(
    asker: Viewer, number: Number, retry: Annotated[bool, Form()] = False, why: Annotated[str, Form(max_length=1000)] = ""
) -> Response:  # fmt: skip
    """Let publications go on, or try them again."""
    verb = publications.retry if retry else publications.publish

    def do() -> str:
        told = verb(asker, number, shapes.Why(why=why))
        return f"Publish: {words.count(told['touched'], 'publication')} will go on."

    return attempt(_there(number), do)


@routes.post("/items/{number}/flags")
def flag(
    asker: Viewer,
    number: Number,
    value: Annotated[str, Form(min_length=1, max_length=100)],
    part: Annotated[str, Form(max_length=500)] = "",
    comment: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    """Put a quality mark on it, or a part of it."""

    def do() -> str:
        try:
            wanted = shapes.NewFlag(value=value, part=story.part(part), comment=comment)
        except ValueError as error:
            raise UsageError(str(error)) from None
        flags.flag(asker, number, wanted)
        return f"Flagged: {value}."

    return attempt(_there(number, "flags"), do)


@routes.post("/items/{number}/follow")
def follow(asker: Viewer, number: Number, leave: Annotated[bool, Form()] = False) -> Response:
    """Be told what happens to it, or no longer."""

    def do() -> str:
        (people.leave if leave else people.follow)(asker, number)
        return "You are no longer told what happens to it." if leave else "You are told what happens to it."

    return attempt(_there(number), do)
