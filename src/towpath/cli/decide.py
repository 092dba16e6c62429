"""`towpath flag`, `adopt`, `apply` and `publish`: decisions of a person on results."""

from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from towpath.base.errors import UsageError
from towpath.cli import opening, screen
from towpath.cli.choosing import Items, Kind, Pipeline, State, Wanted, Why, Yes, act_on
from towpath.cli.options import call_of
from towpath.cli.plan import planned_table
from towpath.cli.screen import Screen, section

app = typer.Typer()


@app.command()
def flag(
    context: typer.Context,
    value: Annotated[str, typer.Argument(help="The mark, such as bad or noisy.")],
    items: Items = None,
    part: Annotated[
        list[str] | None,
        typer.Option(help="Only this part of the item, such as feed=3. Repeatable.", metavar="NAME=VALUE"),
    ] = None,
    comment: Annotated[str, typer.Option(help="What a reader should know.")] = "",
    state: State = "",
    kind: Kind = "",
    pipeline: Pipeline = "",
    yes: Yes = False,
) -> None:
    """Put a quality mark on an item or a part of it. Stages that read flags run again."""
    call = call_of(context)
    marked = dict(_part(text) for text in part or ())
    wanted = Wanted(items or (), "", state, kind, pipeline, yes)
    with opening.opened(call) as site:

        def act(name: str) -> int:
            site.flag(name, value, part=marked, comment=comment)
            return 1

        act_on(site, call, wanted, ("flag", f"flagged {value}"), act)


def _part(text: str) -> tuple[str, int | str]:
    name, separator, value = text.partition("=")
    if not (name and separator and value):
        raise UsageError(f"--part: found {text!r}; expected NAME=VALUE, such as feed=3")
    return name, int(value) if value.lstrip("-").isdigit() else value


@app.command()
def adopt(
    context: typer.Context,
    item: Annotated[str, typer.Argument(help="The item.", autocompletion=opening.offer_items)],
    stage: Annotated[
        str,
        typer.Argument(
            help="The stage whose result is good; raw: the files that arrived.",
            autocompletion=opening.offer_stages,
        ),
    ],
    why: Annotated[str, typer.Option(help="Why it is good as it is; kept with your name.")],
) -> None:
    """Declare a stage's result good as it is: files that someone changed, or work that is out of date."""
    call = call_of(context)
    with opening.opened(call) as site:
        name = site.find(item).name
        count = site.adopt(item, "" if stage == "raw" else stage, why=why)
    document = {"item": name, "stage": stage, "adopted": count, "why": why}
    Screen(call.is_json).answer(
        document, Text(f"{name} {stage}: adopted {screen.count(count, 'result')}: {why}")
    )


@app.command()
def apply(
    context: typer.Context,
    pipeline: Pipeline = "",
    is_written: Annotated[
        bool, typer.Option("--write", help="Do it; without it is only said what would be done.")
    ] = False,
    is_all: Annotated[bool, typer.Option("--all", help="Every row, however many.")] = False,
) -> None:
    """Bring finished work to the pipeline files as they are now: changed parameters, versions and routes."""
    call = call_of(context)
    with opening.opened(call) as site:
        changes = site.apply(pipeline=pipeline, write=is_written)
    parts: list[RenderableType] = []
    if changes:
        parts.append(
            section(
                "brought up to date" if is_written else "would be brought up to date",
                planned_table(changes, is_all),
            )
        )
        parts.append(Text())
        parts.append(Text("`towpath run` runs it" if is_written else "--write does it"))
    else:
        parts.append(Text("Nothing to apply: all finished work is as the pipeline files say."))
    Screen(call.is_json).answer({"written": is_written, "changes": changes}, *parts)


@app.command()
def publish(
    context: typer.Context,
    items: Items = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Also try publications again that failed or met a conflict.")
    ] = False,
    state: State = "",
    kind: Kind = "",
    pipeline: Pipeline = "",
    why: Why = "",
    yes: Yes = False,
) -> None:
    """Let publications go on that wait for a person; with --retry try failed ones again."""
    call = call_of(context)
    wanted = Wanted(items or (), "", state, kind, pipeline, yes)
    with opening.opened(call) as site:
        act_on(
            site, call, wanted, ("publish", "to go on"), lambda name: site.publish(name, retry=retry, why=why)
        )
