"""`towpath verify`: everything is read and compared by hash, at a bounded rate, in as many goes as it takes.

Promises that what is found is told to the catalog as a check tells it, and that an interrupted round goes on where it
stopped.
"""

import time
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import RenderableType
from rich.text import Text

from towpath.base import clock
from towpath.base.errors import UsageError
from towpath.cli import opening, screen
from towpath.cli.exits import Exit
from towpath.cli.options import call_of
from towpath.cli.plan import findings_table
from towpath.cli.progress import measured
from towpath.cli.screen import Screen
from towpath.contracts.pipeline import Memory

app = typer.Typer()

_WRONG = frozenset({"missing", "changed", "unreadable"})


@app.command()
def verify(
    context: typer.Context,
    rate: Annotated[
        str,
        typer.Option(help="Read at most so much in a second, such as '50 MB'. Default: as fast as it goes."),
    ] = "",
    at_most: Annotated[
        str, typer.Option("--for", help="Stop after this time, such as '2 h'; the next call goes on there.")
    ] = "",
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin a new round instead of going on.")
    ] = False,
    is_all: Annotated[bool, typer.Option("--all", help="Every row, however many.")] = False,
) -> None:
    """Read everything, compare it by hash, at a bounded rate; goes on where it stopped.

    Products that are missing are made again by the next run; those that were changed wait for a person. What is
    published and damaged is told, and left as it is. Exit code 1 if anything was found.
    """
    call = call_of(context)
    answer = Screen(call.is_json)
    bytes_per_second = _rate(rate) if rate else 0
    end = time.monotonic() + _seconds(at_most) if at_most else None
    with opening.opened(call) as site, measured(answer, "reading and comparing") as progress:
        state, found = site.verify(
            rate=bytes_per_second,
            restart=restart,
            until=lambda: end is not None and time.monotonic() >= end,
            progress=progress,
        )
    line = f"{screen.count(state.looked, 'product')} read in this round ({screen.size(state.bytes)}), {state.found} found wrong"
    line += "" if state.done else "; stopped before the end: the next `towpath verify` goes on there"
    parts: list[RenderableType] = [findings_table(found, is_all)] if found else []
    answer.answer({**_document(state), "findings": found}, *parts, Text(line))
    if any(one.what in _WRONG for one in found):
        raise typer.Exit(Exit.FAILED)


def _document(state: object) -> dict[str, object]:
    names = ("done", "began", "looked", "bytes", "found")
    told = {name: getattr(state, name) for name in names}
    return {**told, "began": clock.text(told["began"])}


def _rate(text: str) -> int:
    try:
        return TypeAdapter(Memory).validate_python(text)
    except ValidationError:
        raise UsageError(f"--rate: found {text!r}; expected an amount in a second, such as '50 MB'") from None


def _seconds(text: str) -> float:
    try:
        return clock.duration(text)
    except ValueError as error:
        raise UsageError(f"--for: {error}") from None
