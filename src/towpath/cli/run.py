"""`towpath run`: runs what is to run, shows how it goes, and ends with what came of it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import RenderableType
from rich.text import Text

from towpath.app import documents
from towpath.app.site import Site
from towpath.app.worker import Summary
from towpath.base.errors import UsageError
from towpath.base.states import Work
from towpath.cli import opening, screen
from towpath.cli.exits import Exit
from towpath.cli.look import order, stage_table
from towpath.cli.options import Call, call_of
from towpath.cli.progress import Watching, is_terminal
from towpath.cli.screen import Screen, section

app = typer.Typer()

_BAD = (Work.FAILED, Work.POISONED)
_OPEN = (Work.WAITING, Work.READY, Work.HELD, Work.STOPPED)
_SHOWN = 10

Counts = Mapping[tuple[str, str, str, str], int]


@app.command()
def run(
    context: typer.Context,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on until SIGTERM or Ctrl-C, as things arrive.")
    ] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="How many run at once.")] = None,
    executor: Annotated[
        Literal["inline", "local"] | None, typer.Option(help="inline: in this process, for debugging.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Compare every product with the disk first.")
    ] = True,
    keys: Annotated[
        Path | None,
        typer.Option(
            help="Run only the items named in this file, one a line; new ones are submitted.", dir_okay=False
        ),
    ] = None,
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for work that is tried again later.")
    ] = 60.0,
) -> None:
    """Run what is to run, until nothing is left (or for ever with --watch).

    Ctrl-C or SIGTERM ends it in good order: what runs is finished; a second one gives that up.
    """
    call = call_of(context)
    given = {"site.workers": workers, "site.executor": executor}
    call.settings += [f"{name}={value}" for name, value in given.items() if value is not None]
    only = keys_in(keys) if keys else ()
    with opening.opened(call) as site:
        done = work(site, call, watch=watch, check=check, patience=patience, only=only)
        Screen(call.is_json).answer(done.document(site), *done.parts(site))
    if code := done.code(is_watching=watch):
        raise typer.Exit(code)


def work(
    site: Site,
    call: Call,
    *,
    watch: bool = False,
    check: bool = True,
    patience: float = 60.0,
    only: Sequence[str] = (),
) -> "Done":
    """Run a site and show how it goes."""
    before = site.status().counts
    is_plain = call.is_json or not is_terminal()
    with Watching(site, is_plain=is_plain) as watching:
        summary = site.run(watch=watch, check=check, tick=watching.tick, patience=patience, only=only)
    return Done(summary, before, site.status().counts)


class Done:
    """What a run came to."""

    def __init__(self, summary: Summary, before: Counts, after: Counts) -> None:
        self.summary, self.after = summary, after
        self._new_bad = bad(after) > bad(before)

    @property
    def has_failed(self) -> bool:
        """Whether work failed or was poisoned in this run."""
        return self._new_bad or bool(self.summary.runs.get("failed"))

    @property
    def is_stopped(self) -> bool:
        """Whether someone ended it before its time."""
        return self.summary.ended == "stopped"

    def code(self, *, is_watching: bool) -> Exit:
        """The exit code. A watching run is meant to be stopped, and outlives failures of items."""
        if is_watching:
            return Exit.DONE
        if self.is_stopped:
            return Exit.INTERRUPTED
        return Exit.FAILED if self.has_failed else Exit.DONE

    def document(self, site: Site) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            **documents.plain(self.summary),
            "did_nothing": self.summary.did_nothing,
            "failed": [
                dict(zip(("item", "stage", "state", "why"), row, strict=True)) for row in failures(site)
            ],
            "work": documents.counts(self.after),
        }

    def parts(self, site: Site) -> Iterator[RenderableType]:
        """What a person sees at the end."""
        found = failures(site)
        if self.summary.did_nothing and not self.is_stopped:
            yield Text("Nothing to do: all that can be done is done.")
        else:
            yield _headline(self.summary)
            for pipeline, kind in sorted({key[:2] for key in self.after if key[1] and key[2]}):
                here = {key[2:]: count for key, count in self.after.items() if key[:2] == (pipeline, kind)}
                yield section(
                    f"{pipeline} / {kind}", stage_table(here, order(site.definitions, pipeline, kind, here))
                )
        if found:
            yield section(
                "failed; `towpath explain ITEM` says why, `towpath retry ITEM` tries again", _failures(found)
            )
        if waiting := _waiting(self.after):
            yield Text()
            yield screen.dim(f"{waiting}: `towpath plan` says for what.")


def bad(counts: Counts) -> int:
    """How many pieces of work have failed or are poisoned."""
    return sum(count for key, count in counts.items() if key[3] in _BAD)


def _waiting(counts: Counts) -> str:
    """How much work waits for something, in words; "" if none does."""
    sums = {state: sum(count for key, count in counts.items() if key[3] == state) for state in _OPEN}
    return ", ".join(
        f"{screen.count(count, 'stage')} {state.value}" for state, count in sums.items() if count
    )


def _headline(summary: Summary) -> Text:
    runs = sum(summary.runs.values())
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in summary.runs.items())
    said = [
        f"{screen.count(runs, 'run')} in {screen.seconds(summary.seconds)}"
        + (f": {outcomes}" if outcomes else "")
    ]
    if summary.registered:
        said.append(f"{summary.registered} arrived")
    if summary.findings:
        said.append(f"{screen.count(summary.findings, 'product')} found missing or changed")
    if summary.ended == "stopped":
        said.append("stopped")
    return Text("; ".join(said), style="bold")


def failures(site: Site) -> list[tuple[str, str, str, str]]:
    """Work that failed or is poisoned: item, stage, state and why, the first of them."""
    found = []
    for state in _BAD:
        items = site.items(state=state.value, limit=_SHOWN)
        with site.catalog.read() as view:
            rows = view.work([item.id for item in items])
        found += [
            (f"{item.kind}/{item.key}", row.stage, row.state.value, row.note)
            for item in items
            for row in rows[item.id]
            if row.state is state
        ]
    return found[:_SHOWN]


def _failures(found: list[tuple[str, str, str, str]]) -> RenderableType:
    made = screen.table("item", "stage", "state", "why", fold=("item", "why"))
    for item, stage, state, why in found:
        made.add_row(
            item, stage, screen.state(state), Text(why.strip().splitlines()[-1] if why.strip() else "")
        )
    return made


def keys_in(file: Path) -> list[str]:
    """The names of items in a file, one a line; empty lines and those that begin with # are left out."""
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--keys: {file} cannot be read: {error}") from None
    names = [line for line in lines if line and not line.startswith("#")]
    if not names:
        raise UsageError(f"--keys: {file} names no items; expected one a line")
    return names
