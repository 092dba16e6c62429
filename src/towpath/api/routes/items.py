"""Items: lists by filter, one with all that is known of it, why it is as it is; submitting new ones."""

import json
import math
from dataclasses import replace
from typing import Annotated, Any

from fastapi import Depends, Query, Response

from towpath.api import shapes, telling
from towpath.api.asking import Asked, Asker
from towpath.api.routes.routing import Number, may, router
from towpath.api.sight import explained, sees_all
from towpath.app.documents import plain
from towpath.base import clock
from towpath.base.errors import NotFoundError, UsageError
from towpath.base.hashing import digest
from towpath.base.model import Item, WorkRow
from towpath.contracts.auth import Permission

routes = router("items")
_PAGE = 500  # items that are read at once where not all may be viewed

Limit = Annotated[int, Query(ge=1, le=1000, description="so many at most")]
After = Annotated[
    int, Query(ge=0, le=2**62, description="those after this number: `next` of the page before")
]


class Filter:
    """Which items are asked for; made from the query."""

    def __init__(
        self,
        pipeline: Annotated[str, Query(examples=["gam"])] = "",
        kind: str = "",
        state: Annotated[str, Query(description="has work in this state", examples=["failed"])] = "",
        stage: Annotated[str, Query(description="with `state`: this stage is in it")] = "",
        milestone: Annotated[str, Query(description="has reached this")] = "",
        attribute: Annotated[
            list[str], Query(description="NAME:VALUE, all of them", examples=[["target:M31"]])
        ] = [],  # noqa: B006  read only
        text: Annotated[str, Query(max_length=200, description="stands in the key")] = "",
        since: Annotated[str, Query(description="overlaps what is after this moment (ISO 8601)")] = "",
        until: Annotated[str, Query(description="overlaps what is before this moment")] = "",
        box: Annotated[str, Query(description="west,south,east,north or longitude,latitude in degrees")] = "",
    ) -> None:
        asked: dict[str, Any] = {
            "pipeline": pipeline, "kind": kind, "state": state, "stage": stage, "milestone": milestone, "text": text,
            "attributes": dict(_pair(one) for one in attribute),
            "since": _moment("since", since), "until": _moment("until", until), "box": _numbers(box),
        }  # fmt: skip
        self.wanted = {name: value for name, value in asked.items() if value not in ("", None, {})}


def _pair(text: str) -> tuple[str, Any]:
    """A name and a value: a number, true or false where it is written so, else a text ("3" in quotes is one)."""
    name, colon, value = text.partition(":")
    if not (name and colon):
        raise UsageError(f"attribute: found {text!r}; expected NAME:VALUE")
    try:
        found = json.loads(value)
    except ValueError:
        return name, value
    is_one = isinstance(found, str | int) or (isinstance(found, float) and math.isfinite(found))
    return name, found if is_one else value


def _moment(name: str, text: str) -> float | None:
    try:
        return clock.seconds(text) if text else None
    except (ValueError, OverflowError):
        raise UsageError(f"{name}: found {text!r}; expected a moment such as 2026-03-01T12:00:00Z") from None


def _numbers(text: str) -> list[float] | None:
    try:
        return [float(one) for one in text.split(",")] if text else None
    except ValueError:
        raise UsageError(f"box: found {text!r}; expected numbers with commas between them") from None


Wanted = Annotated[Filter, Depends()]


def list_items(asker: Asked, wanted: Filter, after: int, limit: int) -> tuple[list[Item], int | None]:
    """One page of the items that somebody may view, and where the next begins."""
    found: list[Item] = []
    pipeline = wanted.wanted.get("pipeline", "")
    if pipeline and not asker.sees(pipeline):
        return [], None
    size = limit if sees_all(asker) else max(limit, _PAGE)
    while True:
        page = asker.site.items(**wanted.wanted, after=after, limit=size)
        for one in page:
            if asker.sees(one.pipeline, one):
                found.append(one)
            if len(found) == limit:
                return found, one.id
        if len(page) < size:
            return found, None
        after = page[-1].id


@routes.get("/items", response_model=shapes.Page[shapes.ItemShape], dependencies=may(Permission.VIEW))
def items(asker: Asker, wanted: Wanted, after: After = 0, limit: Limit = 100) -> Any:
    """Items by filter, page by page, each with the states of its stages."""
    found, following = list_items(asker, wanted, after, limit)
    with asker.site.catalog.read() as view:
        works = view.work([one.id for one in found])
    return {"items": [telling.item(one, works[one.id]) for one in found], "next": following}


@routes.get("/items/count", response_model=shapes.ItemCount, dependencies=may(Permission.VIEW))
def count(asker: Asker, wanted: Wanted, most: Annotated[int, Query(ge=1, le=1_000_000)] = 10_000) -> Any:
    """How many items a filter finds, counted up to `most`."""
    if asker.is_asked_singly:
        return _counted(asker, wanted, most)
    names = [wanted.wanted.get("pipeline")]
    if not sees_all(asker):
        names = [name for name in asker.pipelines() if names[0] in (None, name)]
    number = 0
    for name in names:
        chosen = {**wanted.wanted, **({"pipeline": name} if name is not None else {})}
        number += asker.site.count_items(**chosen, most=max(most - number, 1))
    return {"count": min(number, most), "is_more": number > most}


def _counted(asker: Asked, wanted: Filter, most: int) -> dict[str, Any]:
    """The count where each item is asked about."""
    number, after = 0, 0
    while True:
        found, following = list_items(asker, wanted, after, _PAGE)
        number += len(found)
        if number > most or following is None:
            return {"count": min(number, most), "is_more": number > most}
        after = following


@routes.get("/items/find", response_model=shapes.ItemShape, dependencies=may(Permission.VIEW))
def find(asker: Asker, name: Annotated[str, Query(max_length=2000, examples=["gam/survey/balaton"])]) -> Any:
    """The item of a name: pipeline/kind/key, or the key where that is unique."""
    found = named(asker, name)
    with asker.site.catalog.read() as view:
        return telling.item(found, view.work([found.id])[found.id])


def named(asker: Asked, name: str) -> Item:
    """The item of a name among those that the asker may view.

    Raises
    ------
    NotFoundError
        If there is none, or several.
    """
    found: dict[int, Item] = {}
    with asker.site.catalog.read() as view:
        for pipeline in asker.pipelines():
            for kind in asker.site.definitions[pipeline].kinds:
                for prefix in (f"{pipeline}/{kind}/", f"{kind}/", ""):
                    one = (
                        view.find(pipeline, kind, name.removeprefix(prefix))
                        if name.startswith(prefix)
                        else None
                    )
                    if one is not None and asker.sees(pipeline, one):
                        found[one.id] = one
    for one in found.values():
        if one.name == name:
            return one
    if len(found) > 1:
        several = ", ".join(one.name for one in found.values())
        raise NotFoundError(f"{name!r} is the name of several items: {several}; write the whole name")
    if not found:
        raise NotFoundError(f"no item {name!r}; `towpath items` lists them")
    return next(iter(found.values()))


@routes.get("/items/{item}", response_model=shapes.ItemDetails, dependencies=may(Permission.VIEW))
def item(asker: Asker, item: Number, response: Response) -> Any:
    """Everything that the catalog knows of an item. Its `ETag` is for `If-Match` of actions."""
    found = asker.site.show(asker.item(item).name)
    with asker.site.catalog.read() as view:
        orders = view.orders(item=item, limit=1000)
        followed = bool(view.subscriptions(who=asker.person.name, item=item))
    response.headers["ETag"] = etag(found.work)
    members = tuple(one for one in found.members if asker.sees(one.pipeline, one))
    return {**telling.details(replace(found, members=members), orders), "is_followed": followed}


def etag(works: tuple[WorkRow, ...] | list[WorkRow]) -> str:
    """What tells whether any stage of an item changed its state."""
    return f'"{digest([[row.id, row.state.value, row.token, row.revision] for row in works]).hex()[:32]}"'


@routes.get(
    "/items/{item}/why", response_model=list[shapes.ExplanationShape], dependencies=may(Permission.VIEW)
)
def why(asker: Asker, item: Number, stage: str = "") -> Any:
    """Why each stage (or one) is as it is, what it waits for, and what to do about it."""
    return explained(asker, [plain(one) for one in asker.site.explain(asker.item(item).name, stage)])


@routes.post("/items", response_model=shapes.Submitted, status_code=201, dependencies=may(Permission.SUBMIT))
def submit(asker: Asker, wanted: shapes.Submissions) -> Any:
    """Register items of a kind that has a source of kind `submit`; known keys change nothing."""
    pipeline, _, _ = wanted.kind.rpartition("/")
    if not pipeline or "/" in pipeline:
        raise UsageError(f"kind: found {wanted.kind!r}; expected PIPELINE/KIND")
    asker.need(Permission.SUBMIT, pipeline=pipeline)
    tables = [one.model_dump(exclude_none=True, exclude_defaults=True) for one in wanted.items]
    return {"ids": asker.site.submit(wanted.kind, tables, priority=wanted.priority)}
