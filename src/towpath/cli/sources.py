"""`towpath sources`: how each source fares, and pausing one."""

from typing import Annotated, Any

import typer
from rich.text import Text

from towpath.app.health import SourceHealth
from towpath.base import clock
from towpath.cli import opening, screen
from towpath.cli.options import call_of
from towpath.cli.screen import Screen

app = typer.Typer()
group = typer.Typer(
    no_args_is_help=True, help="List the sources and how they fare; pause one, and resume it."
)
app.add_typer(group, name="sources")


def _offer_sources(context: typer.Context, incomplete: str) -> list[str]:
    """Names of sources: ``pipeline/name``."""
    with opening.quietly(context) as site:
        names = [one.whole_name for one in (site.sources() if site else ())]
        return [name for name in names if name.startswith(incomplete)]


Name = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE", help="The source, pipeline/name or name.", autocompletion=_offer_sources
    ),
]
Why = Annotated[str, typer.Option(help="Why; kept with your name.")]


@group.command("list")
def list_sources(
    context: typer.Context,
    pipeline: Annotated[
        str, typer.Option(help="Only of this pipeline.", autocompletion=opening.offer_pipelines)
    ] = "",
) -> None:
    """List the sources: when each was looked at, what came, what is wrong, when one that fails is tried again."""
    call = call_of(context)
    with opening.opened(call) as site:
        found = site.sources(pipeline=pipeline)
    made = screen.table(
        "source", "kind", "item", "state", "last look", "last arrival", "today", "problems",
        right=("today",), fold=("problems",),
    )  # fmt: skip
    for one in found:
        made.add_row(
            one.whole_name,
            one.kind,
            one.item,
            _state(one),
            _moment(one.looked) or "",
            _moment(one.arrived) or "",
            str(one.today),
            "\n".join(one.problems),
        )
    Screen(call.is_json).answer(
        [_document(one) for one in found], made if found else Text("There are no sources.")
    )


@group.command()
def pause(context: typer.Context, source: Name, why: Why = "") -> None:
    """Take nothing more from a source, until it is resumed."""
    call = call_of(context)
    with opening.opened(call) as site:
        found = site.pause_source(source, why=why)
    line = f"{found.whole_name} is paused; `towpath sources resume {found.whole_name}` lets it go on"
    Screen(call.is_json).answer(_document(found), Text(line))


@group.command()
def resume(context: typer.Context, source: Name, why: Why = "") -> None:
    """Let a paused source go on."""
    call = call_of(context)
    with opening.opened(call) as site:
        found = site.resume_source(source, why=why)
    Screen(call.is_json).answer(_document(found), Text(f"{found.whole_name} goes on"))


def _state(one: SourceHealth) -> str:
    """The state in words: whether it answers, and whether somebody has paused it."""
    if one.paused:
        return f"paused by {one.paused}" + (f": {one.why}" if one.why else "")
    if one.state == "closed":
        return "answers" if one.looked or one.kind == "submit" else "not looked at yet"
    again = f", again at {_moment(one.again)}" if one.state == "open" else ", is tried again"
    return f"fails ({one.failures}){again}"


def _moment(seconds: float | None) -> str | None:
    return clock.text(seconds)[:19] + "Z" if seconds else None


def _document(one: SourceHealth) -> dict[str, Any]:
    return {
        "source": one.whole_name,
        "pipeline": one.pipeline,
        "name": one.name,
        "kind": one.kind,
        "item": one.item,
        "state": one.state,
        "looked": _moment(one.looked),
        "arrived": _moment(one.arrived),
        "today": one.today,
        "failures": one.failures,
        "again": _moment(one.again),
        "problems": list(one.problems),
        "paused": {"who": one.paused, "why": one.why, "since": _moment(one.since)} if one.paused else None,
    }
