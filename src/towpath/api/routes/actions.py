"""Actions on items: run, retry, stop and the like, on one or on many, in the state that they are expected in.

Promises that an action which names the state it expects is done in the transaction that sees this state, or not at all.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Header

from towpath.api import shapes
from towpath.api.asking import Asked, Asker
from towpath.api.errors import Refused
from towpath.api.routes.items import Filter, etag, list_items
from towpath.api.routes.routing import Number, may, router
from towpath.app.site import Site
from towpath.base.errors import UsageError
from towpath.base.model import Item
from towpath.base.states import Work
from towpath.contracts.auth import Permission
from towpath.contracts.catalog import Transaction

routes = router("actions")

_NAMED = 50  # names that a bulk answer tells
_SLICE = 500

_PERMISSION = {"accept": Permission.DECIDE, "close": Permission.DECIDE}

IfMatch = Annotated[
    str, Header(alias="If-Match", description="the `ETag` of the item; otherwise nothing is done")
]


@routes.post("/items/{item}/actions", response_model=shapes.Done, dependencies=may(Permission.VIEW))
def act(asker: Asker, item: Number, wanted: shapes.Action, if_match: IfMatch = "") -> Any:
    """Do something to an item's work. 409 tells the states, where they are not those expected."""
    found = asker.item(item, _PERMISSION.get(wanted.action, Permission.RUN))
    touched = _act(_expecting(asker.site, found, wanted, if_match), found, wanted)
    return {"touched": touched, "states": _states(asker.site, found)}


def _states(site: Site, item: Item) -> dict[str, str]:
    with site.catalog.read() as view:
        return {row.stage: row.state.value for row in view.work([item.id])[item.id]}


def _expecting(site: Site, item: Item, wanted: shapes.Action, if_match: str) -> Site:
    """The site, acting only if the item is as expected."""
    if not (wanted.expect or if_match):
        return site
    if wanted.expect and not wanted.stage:
        raise UsageError("expect: found a state for no stage; expected `stage` too")
    if wanted.expect and wanted.expect not in tuple(Work):
        raise UsageError(f"expect: found {wanted.expect!r}; expected one of {', '.join(Work)}")

    def guard(tx: Transaction) -> None:
        rows = tx.work([item.id])[item.id]
        states = {row.stage: row.state.value for row in rows}
        if wanted.expect and states.get(wanted.stage) != wanted.expect:
            found = states.get(wanted.stage, "no such stage")
            message = f"{item.name} {wanted.stage}: found {found}; expected {wanted.expect}"
            raise Refused(HTTPStatus.CONFLICT, "state", message, "look at the item again", states=states)
        if if_match and if_match not in ("*", etag(rows)):
            message = f"{item.name} changed since it was looked at"
            raise Refused(HTTPStatus.CONFLICT, "state", message, "look at the item again", states=states)

    return site.provided(guard)


def _run(site: Site, name: str, wanted: shapes.Action) -> int:
    """Let it run now: what ended badly again, what is held goes on, what is ready first."""
    with site.catalog.read() as view:
        rows = view.work([site.find(name).id])
    states = {row.state for works in rows.values() for row in works if wanted.stage in ("", row.stage)}
    touched = 0
    if states & {Work.FAILED, Work.POISONED, Work.STOPPED}:
        touched += site.retry(name, wanted.stage, why=wanted.why)
    if Work.HELD in states:
        touched += site.release(name, wanted.stage, why=wanted.why)
    if states & {Work.WAITING, Work.READY}:
        touched += site.prioritise(name, max(wanted.priority, 100), wanted.stage, why=wanted.why)
    return touched


_DO: dict[str, Callable[[Site, str, shapes.Action], int]] = {
    "run": _run,
    "retry": lambda site, name, wanted: site.retry(name, wanted.stage, why=wanted.why),
    "rerun": lambda site, name, wanted: site.rerun(name, wanted.stage, why=wanted.why or "asked for"),
    "stop": lambda site, name, wanted: site.stop(name, wanted.stage, why=wanted.why),
    "hold": lambda site, name, wanted: site.hold(name, wanted.stage, why=wanted.why),
    "release": lambda site, name, wanted: site.release(name, wanted.stage, why=wanted.why),
    "accept": lambda site, name, wanted: site.release(name, wanted.stage, why=wanted.why, accept=True),
    "close": lambda site, name, wanted: site.close_item(name, why=wanted.why),
    "prioritise": lambda site, name, wanted: site.prioritise(
        name, wanted.priority, wanted.stage, why=wanted.why
    ),
}


def _act(site: Site, item: Item, wanted: shapes.Action) -> int:
    return _DO[wanted.action](site, item.name, wanted)


# ---- many at once
@routes.post("/actions", response_model=shapes.BulkDone, dependencies=may(Permission.VIEW))
def act_on_many(asker: Asker, wanted: shapes.BulkAction) -> Any:
    """Do something to many items, each in a transaction of its own; with `preview` only say which they are."""
    permission = _PERMISSION.get(wanted.action, Permission.RUN)
    asker.need_anywhere(permission)
    chosen = _chosen(asker, wanted.choice)
    refused: dict[str, str] = {}
    touched = 0
    for item in chosen:
        try:
            if not asker.may(permission, item):
                raise UsageError(f"{asker.person.name} may not {permission.value} here")
            touched += _count(asker.site, item, wanted) if wanted.preview else _once(asker, item, wanted)
        except UsageError as error:
            refused[item.name] = str(error)
    names = [item.name for item in chosen[:_NAMED]]
    shown = dict(list(refused.items())[:_NAMED])
    return {
        "items": len(chosen), "touched": touched, "preview": wanted.preview, "names": names, "refused": shown
    }  # fmt: skip


def _once(asker: Asked, item: Item, wanted: shapes.BulkAction) -> int:
    try:
        return _act(_expecting(asker.site, item, wanted, ""), item, wanted)
    except Refused as error:
        raise UsageError(error.message) from None


APPLIES: dict[str, tuple[Work, ...]] = {
    "run": (Work.FAILED, Work.POISONED, Work.STOPPED, Work.HELD, Work.WAITING, Work.READY),
    "retry": (Work.FAILED, Work.POISONED, Work.STOPPED),
    "stop": (Work.WAITING, Work.READY, Work.RUNNING),
    "hold": (Work.WAITING, Work.READY, Work.FAILED),
    "release": (Work.HELD,),
    "accept": (Work.HELD,),
    "close": (Work.WAITING, Work.HELD),
    "prioritise": (Work.WAITING, Work.READY),
}


def _count(site: Site, item: Item, wanted: shapes.BulkAction) -> int:
    """How many stages an action would touch."""
    states = _states(site, item)
    if wanted.action == "rerun":
        return 1
    return sum(
        state in APPLIES[wanted.action] for stage, state in states.items() if wanted.stage in ("", stage)
    )


def _chosen(asker: Asked, choice: shapes.Choice) -> list[Item]:
    if choice.ids:
        return [asker.item(number) for number in dict.fromkeys(choice.ids)]
    told: dict[str, Any] = choice.model_dump(exclude={"ids"})
    if not any(told.values()):
        raise UsageError(
            "choice: found neither ids nor a filter; expected one, so that not everything is touched"
        )
    wanted = Filter(**told)
    found: list[Item] = []
    after: int | None = 0
    while after is not None and len(found) < 10_000:
        page, after = list_items(asker, wanted, after, _SLICE)
        found += page
    return found
