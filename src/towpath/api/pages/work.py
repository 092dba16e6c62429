"""The work list: items by filter, page by page, and actions on many of them after a look at what they would touch.

Promises that what is done to many is done to those that were shown before, each in the state that was asked for.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, get_args
from urllib.parse import parse_qsl

from fastapi import Form, Query, Request, Response
from fastapi.responses import HTMLResponse

from towpath.api import shapes
from towpath.api.asking import Asked
from towpath.api.pages.drawing import COLOURS
from towpath.api.pages.page import Viewer, attempt, go, render, router, stream_of
from towpath.api.routes.actions import act_on_many
from towpath.api.routes.items import Filter, count, list_items
from towpath.base import words
from towpath.base.errors import UsageError
from towpath.base.model import Item, WorkRow
from towpath.base.states import Work
from towpath.contracts.auth import Permission

routes = router()

_PAGE = 100
_COUNTED, _COUNTED_BY_TEXT = 10_000, 1_000  # items that are counted at most: a text is looked for in each key
_MOST = 1000  # items that a bulk action takes at once
_LONGEST = 60  # letters of an attribute
VERBS: Mapping[str, str] = {
    "run": "Run now",
    "retry": "Try again",
    "rerun": "Run again",
    "stop": "Stop",
    "hold": "Hold",
    "release": "Release",
    "accept": "Accept",
    "close": "Close",
    "prioritise": "Set priority",
}
_FILTERS = ("pipeline", "kind", "state", "stage", "milestone", "text", "since", "until")
_DECIDES = ("accept", "close")
assert set(VERBS) == set(get_args(shapes.Verb))


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the list: an item, its attributes in words, and how many stages are in which state."""

    item: Item
    attributes: str
    states: list[tuple[str, int, str]]


@dataclass(frozen=True, slots=True)
class Choices:
    """What filters offer: by the definitions that somebody may view."""

    pipelines: list[str]
    kinds: list[str]
    stages: list[str]
    milestones: list[str]


@routes.get("/items")
def work(
    request: Request,
    asker: Viewer,
    pipeline: str = "",
    kind: str = "",
    state: str = "",
    stage: str = "",
    milestone: str = "",
    attribute: Annotated[list[str], Query()] = [],  # noqa: B006  read only
    text: Annotated[str, Query(max_length=200)] = "",
    since: str = "",
    until: str = "",
    after: Annotated[int, Query(ge=0, le=2**62)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = _PAGE,
) -> HTMLResponse:
    """The list, by filter."""
    stream = stream_of(asker, pipeline=pipeline if pipeline in asker.pipelines() else "")
    asked: dict[str, Any] = {"pipeline": pipeline, "kind": kind, "state": state, "stage": stage, "milestone": milestone,
             "attribute": [one for one in attribute if one], "text": text, "since": since, "until": until}  # fmt: skip
    rows: list[Row] = []
    following, number, is_more, problem = None, 0, False, ""
    try:
        wanted = Filter(**asked)
        found, following = list_items(asker, wanted, after, limit)
        rows = _rows(asker, found)
        if following is None and not after:
            number = len(found)  # all of them are here
        else:
            counted = count(asker, wanted, _COUNTED_BY_TEXT if text else _COUNTED)
            number, is_more = counted["count"], counted["is_more"]
    except UsageError as error:
        problem = str(error)
    return render(
        request,
        asker,
        "work.html",
        title="Work",
        stream=stream,
        asked=asked,
        given={name: value for name, value in asked.items() if value},
        choices=_choices(asker),
        states=[one.value for one in Work],
        rows=rows,
        after=after,
        limit=limit,
        following=following,
        number=number,
        is_more=is_more,
        problem=problem,
        verbs=_verbs(asker),
        most=_MOST,
    )


def _rows(asker: Asked, found: Sequence[Item]) -> list[Row]:
    with asker.site.catalog.read() as view:
        works = view.work([one.id for one in found])
    return [Row(one, told(one.attributes), summary(works[one.id])) for one in found]


def told(attributes: Mapping[str, Any]) -> str:
    """Attributes on a line, each not too long."""
    return ", ".join(f"{name} {_short(value)}" for name, value in attributes.items())


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def summary(works: Iterable[WorkRow]) -> list[tuple[str, int, str]]:
    """What a person wants to know first: the states, how many stages are in each, and which (where they are few)."""
    stages: dict[Work, list[str]] = {}
    for row in works:
        stages.setdefault(row.state, []).append(row.stage)
    return [
        (state.value, len(stages[state]), ", ".join(stages[state]) if len(stages[state]) < 3 else "")
        for state in COLOURS
        if state in stages
    ]


def _choices(asker: Asked) -> Choices:
    shown = [one for name, one in asker.site.definitions.items() if asker.sees_definition(name)]
    kinds = [plan for definition in shown for plan in definition.kinds.values()]
    reached = {name for plan in kinds for one in plan.stages.values() for name in (one.reaches, one.rejects)}
    return Choices(
        asker.pipelines(),
        sorted({plan.name for plan in kinds}),
        sorted({name for plan in kinds for name in plan.stages}),
        sorted((reached | {plan.reaches for plan in kinds}) - {""}),
    )


def _verbs(asker: Asked) -> list[tuple[str, str]]:
    """What somebody may do to many, anywhere."""
    may = {
        one: asker.access.policy.anywhere(asker.person, one) for one in (Permission.RUN, Permission.DECIDE)
    }
    return [(verb, text) for verb, text in VERBS.items() if may[permission_of(verb)]]


def permission_of(verb: str) -> Permission:
    """What one must be allowed to do for an action."""
    return Permission.DECIDE if verb in _DECIDES else Permission.RUN


# ---- many at once
@routes.post("/items/bulk")
def bulk(
    request: Request,
    asker: Viewer,
    action: Annotated[shapes.Verb, Form()],
    which: Annotated[str, Form()] = "chosen",
    ids: Annotated[list[str], Form()] = [],  # noqa: B006  read only
    query: Annotated[str, Form(max_length=4000)] = "",
    stage: Annotated[str, Form(max_length=200)] = "",
    expect: Annotated[str, Form(max_length=40)] = "",
    why: Annotated[str, Form(max_length=1000)] = "",
    priority: Annotated[int, Form(ge=-1000, le=1000)] = 0,
    sure: Annotated[bool, Form()] = False,
) -> Response:
    """First what an action would touch; then, sent once more from there, the action."""
    back = f"/items?{query}" if query else "/items"
    try:
        numbers, is_cut = _found(asker, query) if which == "all" else (_numbers(ids), False)
        wanted = _wanted(action, numbers, stage, expect, why, priority, preview=not sure)
    except UsageError as error:
        return go(back, str(error), is_problem=True)
    if sure:
        return attempt(back, lambda: _done(act_on_many(asker, wanted), action))
    return render(
        request,
        asker,
        "bulk.html",
        title=f"{VERBS[action]}: what it would touch",
        page="/items",
        told=act_on_many(asker, wanted),
        wanted=wanted,
        verb=VERBS[action],
        ids=",".join(str(one) for one in wanted.choice.ids),
        query_text=query,
        back=back,
        is_cut=is_cut,
        most=_MOST,
    )


def _wanted(
    action: shapes.Verb,
    numbers: list[int],
    stage: str,
    expect: str,
    why: str,
    priority: int,
    *,
    preview: bool,
) -> shapes.BulkAction:
    if not numbers:
        raise UsageError("found no item; choose some, or all that the filter finds")
    return shapes.BulkAction(
        action=action,
        stage=stage,
        expect=expect if stage else "",
        why=why,
        priority=priority,
        choice=shapes.Choice(ids=numbers),
        preview=preview,
    )


def _numbers(ids: Iterable[str]) -> list[int]:
    """Numbers of items, one or several in a field."""
    texts = [part for one in ids for part in one.split(",") if part]
    if not all(one.isascii() and one.isdigit() and len(one) < 19 for one in texts):
        raise UsageError("ids: found what is no number of an item")
    return [int(one) for one in texts][:10_000]


def _found(asker: Asked, query: str) -> tuple[list[int], bool]:
    """The first items that a filter finds, and whether there are more."""
    pairs = parse_qsl(query)
    single = {name: value for name, value in pairs if name in _FILTERS}
    wanted = Filter(**single, attribute=[value for name, value in pairs if name == "attribute"])
    found, following = list_items(asker, wanted, 0, _MOST)
    return [one.id for one in found], following is not None


def _done(told: Mapping[str, Any], action: str) -> str:
    text = (
        f"{VERBS[action]}: {words.count(told['touched'], 'stage')} of {words.count(told['items'], 'item')}."
    )
    refused = [f"{name}: {why}" for name, why in list(told["refused"].items())[:3]]
    return f"{text} Not done: {'; '.join(refused)}" if refused else text
