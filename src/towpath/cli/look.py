"""`towpath status`, `items` and `show`: the site at a glance, lists of items, and one item whole. Reads only."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from towpath.app import documents
from towpath.app.looking import Status
from towpath.app.site import Site
from towpath.base.errors import UsageError
from towpath.base.model import Item, WorkRow
from towpath.base.states import Work
from towpath.cli import opening, screen
from towpath.cli.item import page
from towpath.cli.options import call_of
from towpath.cli.screen import Screen, section
from towpath.cli.sizes import size_parts
from towpath.contracts.definition import GATHER, Definition

app = typer.Typer()

_MOST = 10_000  # items that are counted

# What a person wants to know of an item first.
_GRAVITY = (
    *(Work.POISONED, Work.FAILED, Work.HELD, Work.REJECTED, Work.STOPPED),
    *(Work.RUNNING, Work.READY, Work.WAITING),
)


@app.command()
def status(
    context: typer.Context,
    sizes: Annotated[
        bool,
        typer.Option(
            "--sizes",
            help="Also rows and bytes of catalog, logs and products, and what retention would free.",
        ),
    ] = False,
) -> None:
    """Show the site at a glance."""
    call = call_of(context)
    with opening.opened(call) as site:
        found = site.status()
        name = site.settings.site.name or site.folder.name
        parts: list[RenderableType] = [Text.assemble((name, "bold"), ("  ", ""), (str(site.folder), "dim"))]
        parts += [section(*part) for part in _work_parts(found.counts, site.definitions)]
        parts += [section("this site", screen.pairs(_facts(found)))]
        measured = site.sizes() if sizes else None
        if measured:
            parts += size_parts(measured)
        document = {
            "site": name,
            "folder": site.folder,
            "work": documents.counts(found.counts),
            "sessions": [
                dict(zip(("number", "host", "pid"), one[:3], strict=True)) for one in found.sessions
            ],
            "bad_products": found.bad_products,
            "publications": found.publications,
            "restored": found.restored,
            "no_room": found.no_room,
            **({"sizes": measured} if measured else {}),
        }
        Screen(call.is_json).answer(document, *parts)


def _work_parts(
    counts: Mapping[tuple[str, str, str, str], int], definitions: Mapping[str, Definition]
) -> list[tuple[str, Table]]:
    """For each kind of item a table: its stages, and how many of their work is in which state."""
    parts = []
    for pipeline, kind in sorted({key[:2] for key in counts if key[1] and key[2]}):
        here = {key[2:]: count for key, count in counts.items() if key[:2] == (pipeline, kind)}
        parts.append((f"{pipeline} / {kind}", stage_table(here, order(definitions, pipeline, kind, here))))
    return parts


def order(
    definitions: Mapping[str, Definition], pipeline: str, kind: str, here: Mapping[tuple[str, str], int]
) -> list[str]:
    """The stages of a kind in the order of its route; those that have left it last."""
    plan = definitions[pipeline].kinds.get(kind) if pipeline in definitions else None
    route = [GATHER, *plan.stages] if plan else []
    return [
        name
        for name in [*route, *sorted({stage for stage, _ in here} - set(route))]
        if any(k[0] == name for k in here)
    ]


def stage_table(here: Mapping[tuple[str, str], int], stages: Sequence[str]) -> Table:
    """Stages against states: how many; a state that none is in has no column."""
    shown = [state.value for state in Work if any(key[1] == state.value for key in here)]
    made = screen.table("stage", *shown, right=shown)
    for stage in stages:
        cells = [(here.get((stage, state), 0), state) for state in shown]
        made.add_row(stage, *(_cell(count, state) for count, state in cells))
    return made


def _cell(count: int, state: str) -> Text:
    return (
        Text(f"{count:,}".replace(",", " "), style=screen.COLOURS[state]) if count else Text("·", style="dim")
    )


def _facts(found: Status) -> list[tuple[str, RenderableType]]:
    facts: list[tuple[str, RenderableType]] = []
    bad = found.bad_products
    facts.append(
        (
            "products",
            Text(f"{bad} missing or changed: `towpath plan` names them", style="red")
            if bad
            else Text("as they should be"),
        )
    )
    if found.restored is not None:
        facts.append(
            (
                "restored",
                Text(
                    f"{screen.when(found.restored)}: `towpath inventory reconcile --newer` decides about what is newer on disk",
                    style="yellow",
                ),
            )
        )
    published = ", ".join(f"{count} {state}" for state, count in sorted(found.publications.items()))
    facts.append(("published", Text(published or "nothing yet")))
    running = ", ".join(f"process {pid} on {host}" for _, host, pid, *_ in found.sessions)
    facts.append(("running", Text(running) if running else screen.dim("no `towpath run` at the moment")))
    if found.no_room:
        facts.append(("room", Text(f"no run is begun: {found.no_room}", style="red")))
    return facts


# ---- items
@app.command()
def items(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="Only items whose key contains this.")] = "",
    pipeline: Annotated[
        str, typer.Option(help="Only of this pipeline.", autocompletion=opening.offer_pipelines)
    ] = "",
    kind: Annotated[str, typer.Option(help="Only of this kind.", autocompletion=opening.offer_kinds)] = "",
    state: Annotated[
        str, typer.Option(help="Only with work in this state.", autocompletion=opening.offer_states)
    ] = "",
    stage: Annotated[
        str, typer.Option(help="The stage that --state is about.", autocompletion=opening.offer_stages)
    ] = "",
    box: Annotated[
        str,
        typer.Option(
            help="Only where the footprint meets this box (or point LON,LAT), in degrees; W > E crosses 180.",
            metavar="W,S,E,N",
        ),
    ] = "",
    milestone: Annotated[str, typer.Option(help="Only those that have reached this milestone.")] = "",
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="Only with this attribute, such as camera=red, n=3 or good=true. Repeatable.",
            metavar="NAME=VALUE",
        ),
    ] = None,
    since: Annotated[
        str, typer.Option(help="Only with a time span that does not end before this time.", metavar="TIME")
    ] = "",
    until: Annotated[
        str, typer.Option(help="Only with a time span that begins before this time.", metavar="TIME")
    ] = "",
    count: Annotated[bool, typer.Option("--count", help="Only say how many there are, up to 10000.")] = False,
    after: Annotated[
        int, typer.Option(help="Begin after the item of this number (see the end of a page).")
    ] = 0,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 50,
) -> None:
    """List items, filtered and page by page."""
    call = call_of(context)
    filters: dict[str, Any] = {
        "pipeline": pipeline,
        "kind": kind,
        "state": state,
        "stage": stage,
        "text": text,
        "box": _numbers(box) if box else None,
        "milestone": milestone,
        "attributes": dict(_attribute(one) for one in where or ()),
        "since": since or None,
        "until": until or None,
    }
    with opening.opened(call) as site:
        if count:
            _answer_count(Screen(call.is_json), site.count_items(**filters, most=_MOST))
            return
        found = site.items(**filters, after=after, limit=limit + 1)
        found, more = found[:limit], len(found) > limit
        work = _work_of(site, found)
        document = {
            "items": [{**documents.plain(item), "work": documents.plain(work[item.id])} for item in found],
            "next": found[-1].id if more else None,
        }
        parts: list[RenderableType] = [_item_table(found, work)] if found else [screen.dim("no such items")]
        if more:
            parts.append(screen.dim(f"more: towpath items --after {found[-1].id}"))
        Screen(call.is_json).answer(document, *parts)


def _answer_count(shown: Screen, found: int) -> None:
    """How many items there are; above `_MOST` only that there are more."""
    is_more = found > _MOST
    document = {"count": min(found, _MOST), "more": is_more}
    shown.answer(document, Text(f"more than {_MOST}" if is_more else str(found)))


def _attribute(text: str) -> tuple[str, str | float]:
    """An attribute and its value: true, false, a number or a quoted text as in JSON, anything else as it is written."""
    name, separator, told = text.partition("=")
    if not (name and separator):
        raise UsageError(f"--where: found {text!r}; expected NAME=VALUE, such as camera=red")
    try:
        value = json.loads(told)
    except ValueError:
        return name, told
    is_plain = isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
    return name, value if is_plain else told


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--box: found {text!r}; expected W,S,E,N or LON,LAT in degrees") from None


def _work_of(site: Site, found: Sequence[Item]) -> dict[int, list[WorkRow]]:
    with site.catalog.read() as view:
        return view.work([item.id for item in found])


def _item_table(found: Sequence[Item], work: Mapping[int, Sequence[WorkRow]]) -> Table:
    is_single = len({item.pipeline for item in found}) == 1
    made = screen.table("item", "state", "registered")
    for item in found:
        name = f"{item.kind}/{item.key}" if is_single else item.name
        made.add_row(name, summary(work[item.id]), screen.dim(screen.when(item.registered)))
    return made


def summary(rows: Sequence[WorkRow]) -> Text:
    """The state of an item: how many stages are done, and what matters most to a person."""
    rows = [row for row in rows if row.state is not Work.RETIRED]
    if not rows:
        return screen.dim("no work")
    done = sum(row.state is Work.DONE for row in rows)
    for state in _GRAVITY:
        names = [row.stage for row in rows if row.state is state]
        if names:
            more = f" +{len(names) - 1}" if len(names) > 1 else ""
            return Text.assemble(
                (f"{done}/{len(rows)} ", "dim"), screen.state(state.value, f" {names[0]}{more}")
            )
    return Text.assemble((f"{done}/{len(rows)} ", "dim"), screen.state("done"))


@app.command()
def show(
    context: typer.Context,
    item: Annotated[
        str, typer.Argument(help="KEY, KIND/KEY or PIPELINE/KIND/KEY.", autocompletion=opening.offer_items)
    ],
) -> None:
    """Show everything about one item."""
    call = call_of(context)
    with opening.opened(call) as site:
        details = site.show(item)
        places = {product.id: site.place(product) for product in details.products}
        document = documents.plain(details)
        for product in document["products"]:
            product["place"] = str(places[product["id"]])
        Screen(call.is_json).answer(document, *page(details, site.folder, places, site.storage.path))
