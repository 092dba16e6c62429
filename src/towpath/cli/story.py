"""`towpath events` and `log`: what happened, in order and as it happens; what a run wrote. Reads only."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.text import Text

from towpath.app import documents
from towpath.app.site import Site
from towpath.base.model import Event
from towpath.cli import opening, screen
from towpath.cli.options import call_of
from towpath.cli.screen import Screen

app = typer.Typer()

_LOOK = 0.3  # seconds between two looks at a run that goes on


@app.command()
def events(
    context: typer.Context,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on as things happen, until Ctrl-C.")
    ] = False,
    after: Annotated[int | None, typer.Option(help="Begin after the event of this number.")] = None,
    item: Annotated[str, typer.Option(help="Only about this item.", autocompletion=opening.offer_items)] = "",
    pipeline: Annotated[
        str, typer.Option(help="Only this pipeline.", autocompletion=opening.offer_pipelines)
    ] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most, without --follow.")] = 50,
) -> None:
    """Print the story: what happened, in order. Without --after the last ones.

    With --follow and --json each event is one JSON document on a line of its own.
    """
    call = call_of(context)
    answer = Screen(call.is_json)
    with opening.opened(call) as site:
        names = _Names(site)
        if follow:
            for event in site.follow(after, item=item, pipeline=pipeline):
                answer.line(names.document(event), names.line(event))
            return
        found = (
            _last(site, item, pipeline, limit)
            if after is None
            else _after(site, after, item, pipeline, limit)
        )
        document = {
            "events": [names.document(event) for event in found],
            "next": found[-1].seq if found else after or 0,
        }
        answer.answer(document, *(names.line(event) for event in found))
        if not found:
            answer.note("no such events")


def _after(site: Site, after: int, item: str, pipeline: str, limit: int) -> list[Event]:
    return site.events(after, item=item, pipeline=pipeline, limit=limit)


def _last(site: Site, item: str, pipeline: str, limit: int) -> list[Event]:
    """The last events that fit: looked for in growing steps from the end."""
    with site.catalog.read() as view:
        end = view.last_event()
    step = limit
    while True:
        start = max(0, end - step)
        found = site.events(start, item=item, pipeline=pipeline, limit=step + limit)
        if len(found) >= limit or start == 0:
            return found[-limit:]
        step *= 8


class _Names:
    """Writes events, with the names of the items that they are about."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._known: dict[int, str] = {}

    def name(self, item: int) -> str:
        """``kind/key`` of an item."""
        if item and item not in self._known:
            with self._site.catalog.read() as view:
                found = view.item(item)
            self._known[item] = f"{found.kind}/{found.key}"
        return self._known.get(item, "")

    def document(self, event: Event) -> dict[str, object]:
        """An event as plain JSON, its item by name."""
        return {**documents.plain(event), "item": self.name(event.item) or None}

    def line(self, event: Event) -> Text:
        """An event on one line: when, what, about what, and what it says."""
        about = " ".join(
            part for part in (self.name(event.item), event.stage, event.run and f"run {event.run}") if part
        )
        data = ", ".join(
            f"{name} {_short(value)}" for name, value in event.data.items() if value not in ("", None)
        )
        return Text.assemble(
            (f"{event.seq:>6}  ", "dim"),
            (f"{screen.when(event.time)}  ", "dim"),
            (f"{event.type:<12} ", screen.COLOURS.get(event.type, "")),
            about,
            (f"  {data}" if data else "", "dim"),
            no_wrap=True,
            overflow="ellipsis",
        )


def _short(value: object) -> str:
    if isinstance(value, str) and len(value) == 64:
        return f"{value[:12]}…"
    return (
        "; ".join(str(one) for one in value)
        if isinstance(value, Sequence) and not isinstance(value, str)
        else str(value)
    )


@app.command()
def log(
    context: typer.Context,
    run: Annotated[
        str,
        typer.Argument(
            help="A run (WORK.TOKEN), or ITEM:STAGE for its last run.", autocompletion=opening.offer_items
        ),
    ],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Print lines as they are written, until the run has ended.")
    ] = False,
) -> None:
    """Print the log of a run."""
    call = call_of(context)
    answer = Screen(call.is_json)
    with opening.opened(call) as site:
        text = _told(site, run, is_silent=call.is_json) if follow else site.log(run)
    if follow and text and not call.is_json:
        return
    if call.is_json:
        answer.answer({"run": run, "text": text})
    elif text:
        print(text, end="" if text.endswith("\n") else "\n")
    else:
        answer.note(f"run {run} wrote nothing")


def _told(site: Site, run: str, *, is_silent: bool) -> str:
    """The log of a run as it is written, printed at once unless it `is_silent`; returns it whole."""
    pieces = []
    for piece in site.follow_log(run):
        pieces.append(piece)
        if not is_silent:
            print(piece, end="", flush=True)
    return "".join(pieces)
