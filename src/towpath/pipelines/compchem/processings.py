"""Processings as the routes find and read them: one by its name, those of a record page by page, and what is told of each.

Promises that whoever may not view a record cannot tell it from one that is not there, and that a page costs a few reads
however many processings there are. Never changes anything.
"""

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from towpath import Event, Item, Site, TowpathError
from towpath.api import Asked, Permission, Refused, Workflow, WorkRow
from towpath.pipelines.compchem import concluding
from towpath.pipelines.compchem.concluding import Known

PATH = "/workflows"
_LOOKED_AT = 250  # items whose steps are looked at in one read, where some are sought


def pipeline_of(site: Site) -> str:
    """The pipeline whose plug-in brings the routes: no other can have the same path."""
    return next(name for name, plugin in site.plugins.items() if PATH in plugin.routes)


# ---- what somebody may see
def workflows_on(asker: Asked, record: str, permission: Permission = Permission.VIEW) -> list[Workflow]:
    """The workflows of the repositories in which the asker may do this to a record.

    Raises
    ------
    Refused
        404 if they may not view it: it looks as if it were not there; else what they lack.
    """
    pipeline = pipeline_of(asker.site)
    known = asker.site.workflows(pipeline)
    first = {one.repository: one for one in reversed(known)}  # each repository is asked once
    about = {name: Item(pipeline, one.name, "", {"record": record}) for name, one in first.items()}
    viewed = [name for name, item in about.items() if asker.may(Permission.VIEW, item)]
    if not viewed:
        raise Refused(HTTPStatus.NOT_FOUND, "not_found", f"there is no record {record!r}")
    allowed = [name for name in viewed if asker.may(permission, about[name])]
    if not allowed:
        asker.need(permission, about[viewed[0]])
    return [one for one in known if one.repository in allowed]


def find(asker: Asked, name: str, permission: Permission) -> Item:
    """The processing of a name (``{record}-{workflow}-{n}``, or its item's number) that the asker may do this to.

    Raises
    ------
    Refused
        404 if there is none, as far as they may know; 409 if several workflows have one of this name.
    """
    pipeline = pipeline_of(asker.site)
    mine = [
        one
        for one in _named(asker.site, pipeline, name)
        if one.pipeline == pipeline and "record" in one.attributes and asker.may(Permission.VIEW, one)
    ]
    if not mine:
        raise Refused(HTTPStatus.NOT_FOUND, "not_found", f"there is no processing {name!r}")
    if len(mine) > 1:
        numbers = ", ".join(f"{one.id} ({one.kind})" for one in mine)
        message = f"{name!r} is the name of several processings"
        raise Refused(HTTPStatus.CONFLICT, "state", message, f"ask by number: {numbers}")
    asker.need(permission, mine[0])
    return mine[0]


def _named(site: Site, pipeline: str, name: str) -> list[Item]:
    with site.catalog.read() as view:
        if not (name.isascii() and name.isdigit() and len(name) <= 18):
            return view.items(pipeline=pipeline, keys=[name])
        try:
            return [view.item(int(name))]
        except TowpathError:
            return []


# ---- lists
def wanted(status: str) -> set[str]:
    """The phases and statuses that a text names, such as ``Running,Failed``; empty for all.

    Raises
    ------
    Refused
        422 if there is no such phase or status.
    """
    named = {part.strip() for part in status.strip("() ").split(",") if part.strip()}
    known = {name.lower(): name for name in (*concluding.PHASES.values(), *concluding.STATUSES)}
    if wrong := sorted(one for one in named if one.lower() not in known):
        expected = ", ".join(dict.fromkeys(known.values()))
        message = f"status: found {', '.join(wrong)[:200]!r}; expected any of {expected}"
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", message)
    return {known[one.lower()] for one in named}


def page(
    site: Site, record: str, kinds: Iterable[str], status: set[str], *, limit: int, after: int = 0
) -> tuple[list[dict[str, Any]], int | None]:
    """So many processings of a record before one of a number (0: from the newest on), and the number for the next page.

    Parameters
    ----------
    site, record, kinds
        Whose items, and of which workflows.
    status
        Only those that have one of these as phase or status; all if it is empty.
    limit, after
        How many at most, and the number of the last one of the page before.
    """
    chosen: list[Item] = []
    names, size = set(kinds), _LOOKED_AT if status else limit + 1
    while len(chosen) <= limit:
        with site.catalog.read() as view:
            items = view.latest(pipeline_of(site), "record", record, before=after, limit=size)
        mine = [item for item in items if item.kind in names]
        chosen += _fitting(site, mine, status) if status else mine
        if len(items) < size:
            break
        after = items[-1].id
    return told(site, chosen[:limit]), chosen[limit - 1].id if len(chosen) > limit else None


def _fitting(site: Site, items: Sequence[Item], status: set[str]) -> list[Item]:
    """Of these items those that have one of these as phase or status."""
    with site.catalog.read() as view:
        works = view.work([item.id for item in items])
        states = {number: concluding.standing(rows) for number, rows in works.items()}
        done = [number for number, state in states.items() if state == "done"]
        runs = view.runs_of(done) if status & {"SUCCESS", "PARTIAL", "FAILURE"} else {}
    found = []
    for item in items:
        state = states[item.id]
        came = {concluding.PHASES[state]}
        if state in concluding.OVER:
            known = Known(item, works[item.id], runs.get(item.id, ()))
            came.add(concluding.concluded(known)[0] or "")
        if came & status:
            found.append(item)
    return found


# ---- what is told
def items_of(site: Site, numbers: Sequence[int]) -> list[Item]:
    """Items by their numbers, in this order."""
    with site.catalog.read() as view:
        return [view.item(number) for number in numbers]


def told(site: Site, items: Sequence[Item], *, attempts: bool = False) -> list[dict[str, Any]]:
    """Processings as they are answered, in this order: one read for all."""
    if not items:
        return []
    numbers, pipeline = [item.id for item in items], pipeline_of(site)
    with site.catalog.read() as view:
        works, runs, now = view.work(numbers), view.runs_of(numbers), view.now()
        is_idle = not view.sessions()
        products = view.products(numbers)
        stopped = {number: _stopped(view, works[number]) for number in numbers}
    titles = {one.name: one.title for one in site.workflows(pipeline)}
    kinds = site.definitions[pipeline].kinds
    befores = {
        name: {stage.name: stage.before for stage in kind.stages.values()} for name, kind in kinds.items()
    }
    made: dict[int, list[Any]] = {number: [] for number in numbers}
    for product in products:
        made[product.item].append(product)
    return [
        concluding.processing(
            Known(
                item, works[item.id], runs[item.id], made[item.id], stopped[item.id],
                titles.get(item.kind, ""), now, befores.get(item.kind, {}), is_idle,
            ),
            attempts=attempts,
        )
        for item in items
    ]  # fmt: skip


def _stopped(view: Any, rows: Sequence[WorkRow]) -> Event | None:
    """The event that tells who stopped a processing."""
    first = next((row for row in rows if row.state == "stopped"), None)
    return None if first is None else view.last_said(first, ("stopped",))
