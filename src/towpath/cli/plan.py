"""`towpath plan` and `explain`: what a run would do, and why the stages of an item are as they are. Reads only."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from towpath.app.looking import Plan
from towpath.base.provenance import Difference
from towpath.cli import opening, screen
from towpath.cli.options import call_of
from towpath.cli.screen import Screen, section
from towpath.flow.explain import Explanation
from towpath.flow.plan import Planned, Total
from towpath.flow.reconcile import Finding

app = typer.Typer()

_SHORT = 30  # more rows than that are told by their numbers
_VERBS = {
    "run": "would run",
    "wait": "wait",
    "decide": "need a person",
    "apply": "done as a former pipeline file said; `towpath apply --write` brings them up to date",
}


@app.command()
def plan(
    context: typer.Context,
    item: Annotated[
        str,
        typer.Argument(
            help="Only this item: KEY, KIND/KEY or PIPELINE/KIND/KEY.", autocompletion=opening.offer_items
        ),
    ] = "",
    pipeline: Annotated[
        str, typer.Option(help="Only this pipeline.", autocompletion=opening.offer_pipelines)
    ] = "",
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Compare products with the disk first.")
    ] = True,
    is_all: Annotated[bool, typer.Option("--all", help="Every row, however many.")] = False,
) -> None:
    """Say what a run would do and why, and how long it would take by earlier runs; change nothing."""
    call = call_of(context)
    with opening.opened(call) as site:
        found = site.plan(item, pipeline=pipeline, check=check)
    Screen(call.is_json).answer(found, *_parts(found, is_all))


def _parts(found: Plan, is_all: bool) -> Iterator[RenderableType]:
    if found.findings:
        yield section("found on the disk", findings_table(found.findings, is_all))
    for action, verb in _VERBS.items():
        rows = [row for row in found.work if row.action == action]
        if rows:
            title = f"{verb}: {screen.count(len({row.item for row in rows}), 'item')}"
            yield section(title, planned_table(rows, is_all))
    if found.totals:
        yield section("how long", _totals(found.totals))
        yield Text()
        yield Text(_duration(found))
    if found.is_cut:
        yield screen.dim("There is more open work than is listed here: these are its first rows.")
    if not (found.findings or found.work):
        yield Text("Nothing to do: everything that is known is done.")


def _totals(found: Sequence[Total]) -> Table:
    """By stage: how many runs are to come, what one took before, and all of them together."""
    numbers = ("runs", "one takes", "together", "of earlier runs")
    made = screen.table("stage", *numbers, right=numbers)
    for one in found:
        known = [screen.dim("unknown"), screen.dim("unknown")]
        if one.median is not None and one.seconds is not None:
            known = [Text(screen.seconds(one.median)), Text(screen.seconds(one.seconds))]
        made.add_row(f"{one.kind} {one.stage}", str(one.runs), *known, str(one.sample))
    return made


def _duration(found: Plan) -> str:
    cores = screen.count(found.workers, "core")
    if found.seconds is None:
        return f"How long it takes is unknown: none of these stages has a run that ended ({cores})."
    about = f"about {screen.seconds(found.seconds)} on {cores}, by the medians of earlier runs"
    if found.unknown:
        names = ", ".join(name.partition("/")[2] for name in found.unknown)
        return f"At least {about}; how long {names} takes is unknown."
    return f"A{about[1:]}."


def planned_table(rows: Sequence[Planned], is_all: bool = False) -> Table:
    """Planned work row by row, or by its numbers where that would be long."""
    if is_all or len(rows) <= _SHORT:
        made = screen.table("item", "stage", "why", fold=("item", "why"))
        for row in rows:
            made.add_row(row.item, row.stage, Text(row.why))
        return made
    made = screen.table("items", "stage", "why", right=("items",), fold=("why",))
    for (stage, why), number in Counter((row.stage, row.why) for row in rows).most_common(_SHORT):
        made.add_row(str(number), stage, Text(why))
    made.add_row("", "", screen.dim("--all lists them"))
    return made


def findings_table(found: Sequence[Finding], is_all: bool = False) -> Table:
    """What was found on the disk, at most some rows of it."""
    made = screen.table("what", "root", "path", "size", right=("size",), fold=("path",))
    for one in found if is_all else found[:_SHORT]:
        path = f"{one.path} → {one.to}" if one.to else one.path
        more = "; ".join(filter(None, (one.calibration, one.why)))
        path = f"{path} ({more})" if more else path
        made.add_row(screen.state(one.what), one.root, Text(path), screen.size(one.size) if one.size else "")
    if not is_all and len(found) > _SHORT:
        made.add_row("", "", screen.dim(f"and {len(found) - _SHORT} more; --all lists them"), "")
    return made


@app.command()
def explain(
    context: typer.Context,
    item: Annotated[
        str, typer.Argument(help="KEY, KIND/KEY or PIPELINE/KIND/KEY.", autocompletion=opening.offer_items)
    ],
    stage: Annotated[str, typer.Argument(help="Only this stage.", autocompletion=opening.offer_stages)] = "",
) -> None:
    """Explain why the stages of an item are as they are, what they wait for, and what to do about it."""
    call = call_of(context)
    with opening.opened(call) as site:
        found = site.explain(item, stage)
    parts = [part for one in found for part in _explained(one)]
    Screen(call.is_json).answer(found, screen.heading(found[0].item if found else item), *parts)


def _explained(one: Explanation) -> Iterator[RenderableType]:
    line = Text.assemble(
        (one.stage, "bold"), "  ", screen.state(one.state), (f"  run {one.run}" if one.run else "", "dim")
    )
    body = screen.pairs(
        [
            ("", Text.assemble(reason.text, (f"\n→ {reason.do}" if reason.do else "", "dim")))
            for reason in one.reasons
        ]
    )
    yield Text()
    yield line
    yield body
    if len(one.differences) > 1:
        yield _differences(one.differences)


def _differences(found: Sequence[Difference]) -> Table:
    made = screen.table("  component", "then", "now", fold=("then", "now"))
    for one in found:
        made.add_row(f"  {one.component}", Text(_value(one.was)), Text(_value(one.now)))
    return made


def _value(value: object) -> str:
    if isinstance(value, str) and len(value) == 64:
        return f"{value[:12]}…"
    return "nothing" if value is None else str(value)
