"""`towpath pin` and `unpin`: products that retention must leave alone."""

from typing import Annotated

import typer

from towpath.base import clock
from towpath.base.errors import UsageError
from towpath.cli import opening
from towpath.cli.choosing import Items, Kind, Pipeline, Stage, State, Wanted, Why, Yes, act_on
from towpath.cli.options import call_of

app = typer.Typer()


@app.command()
def pin(
    context: typer.Context,
    items: Items = None,
    stage: Stage = "",
    state: State = "",
    kind: Kind = "",
    pipeline: Pipeline = "",
    until: Annotated[
        str,
        typer.Option(help="Until when, as 2027-01-31, or for how long, as '30 d'. Default: until unpinned."),
    ] = "",
    former: Annotated[
        bool, typer.Option("--former", help="Also superseded products whose bytes are still there.")
    ] = False,
    why: Why = "",
    yes: Yes = False,
) -> None:
    """Keep an item's products, whatever retention says. What is pinned stays also when a newer product supersedes it."""
    call = call_of(context)
    end = _moment(until)
    wanted = Wanted(items or (), stage, state, kind, pipeline, yes)
    with opening.opened(call) as site:
        act_on(
            site,
            call,
            wanted,
            ("pin", "kept"),
            lambda name: site.pin(name, stage, why=why, until=end, former=former),
        )


@app.command()
def unpin(
    context: typer.Context,
    items: Items = None,
    stage: Stage = "",
    state: State = "",
    kind: Kind = "",
    pipeline: Pipeline = "",
    everybody: Annotated[
        bool, typer.Option("--everybody", help="Also the pins of others; default: your own.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Take pins off again."""
    call = call_of(context)
    wanted = Wanted(items or (), stage, state, kind, pipeline, yes)
    with opening.opened(call) as site:
        act_on(
            site,
            call,
            wanted,
            ("unpin", "no longer kept"),
            lambda name: site.unpin(name, stage, everybody=everybody),
        )


def _moment(text: str) -> float | None:
    """A moment, or a duration from now, in seconds since the epoch; None for nothing."""
    if not text:
        return None
    try:
        return clock.now() + clock.duration(text)
    except ValueError:
        try:
            return clock.seconds(text)
        except ValueError:
            raise UsageError(
                f"--until: found {text!r}; expected a time such as 2027-01-31, or a duration such as '30 d'"
            ) from None
