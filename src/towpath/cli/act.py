"""`towpath retry`, `rerun`, `stop`, `hold` and `release`: what people do to work. Several items, or a filter."""

from typing import Annotated

import typer

from towpath.cli import opening
from towpath.cli.choosing import Items, Kind, Pipeline, Stage, State, Wanted, Why, Yes, act_on
from towpath.cli.options import call_of

app = typer.Typer()


@app.command()
def retry(
    context: typer.Context,
    items: Items = None,
    stage: Stage = "",
    state: State = "",
    kind: Kind = "",
    pipeline: Pipeline = "",
    yes: Yes = False,
) -> None:
    """Try failed, poisoned and stopped work again."""
    call = call_of(context)
    wanted = Wanted(items or (), stage, state, kind, pipeline, yes)
    with opening.opened(call) as site:
        act_on(site, call, wanted, ("retry", "to be tried again"), lambda name: site.retry(name, stage))


@app.command()
def rerun(
    context: typer.Context,
    items: Items = None,
    stage: Stage = "",
    state: State = "",
    kind: Kind = "",
    pipeline: Pipeline = "",
    why: Why = "asked for",
    yes: Yes = False,
) -> None:
    """Run a stage again though nothing changed, and what follows from it. Without --stage: the first stages."""
    call = call_of(context)
    wanted = Wanted(items or (), stage, state, kind, pipeline, yes)
    with opening.opened(call) as site:
        act_on(
            site, call, wanted, ("rerun", "to be run again"), lambda name: site.rerun(name, stage, why=why)
        )


@app.command()
def stop(
    context: typer.Context,
    items: Items = None,
    stage: Stage = "",
    state: State = "",
    kind: Kind = "",
    pipeline: Pipeline = "",
    why: Why = "",
    yes: Yes = False,
) -> None:
    """Stop work; what runs is ended. `towpath retry` takes it up again."""
    call = call_of(context)
    wanted = Wanted(items or (), stage, state, kind, pipeline, yes)
    with opening.opened(call) as site:
        act_on(site, call, wanted, ("stop", "stopped"), lambda name: site.stop(name, stage, why=why))


@app.command()
def hold(
    context: typer.Context,
    items: Items = None,
    stage: Stage = "",
    state: State = "",
    kind: Kind = "",
    pipeline: Pipeline = "",
    why: Why = "",
    yes: Yes = False,
) -> None:
    """Hold work that has not begun. `towpath release` lets it go on."""
    call = call_of(context)
    wanted = Wanted(items or (), stage, state, kind, pipeline, yes)
    with opening.opened(call) as site:
        act_on(site, call, wanted, ("hold", "held"), lambda name: site.hold(name, stage, why=why))


@app.command()
def release(
    context: typer.Context,
    items: Items = None,
    stage: Stage = "",
    state: State = "",
    kind: Kind = "",
    pipeline: Pipeline = "",
    accept: Annotated[bool, typer.Option("--accept", help="What a rule held is done as it is.")] = False,
    why: Why = "",
    yes: Yes = False,
) -> None:
    """Release held work; with --accept what a rule held is done as it is."""
    call = call_of(context)
    wanted = Wanted(items or (), stage, state, kind, pipeline, yes)
    told = "accepted as it is" if accept else "released"
    with opening.opened(call) as site:
        act_on(
            site,
            call,
            wanted,
            ("release", told),
            lambda name: site.release(name, stage, accept=accept, why=why),
        )
