"""`towpath inventory` and `sweep`: what is on disk against what the catalog says, disks that moved, and tidying up.

Promises that nothing is changed without --write.
"""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from towpath.base import clock
from towpath.base.errors import UsageError
from towpath.cli import opening, screen
from towpath.cli.exits import Exit
from towpath.cli.options import call_of
from towpath.cli.plan import findings_table
from towpath.cli.progress import counted
from towpath.cli.screen import Screen

app = typer.Typer()
group = typer.Typer(
    no_args_is_help=True, help="Compare what is on disk with the catalog; say that a disk has moved."
)
app.add_typer(group, name="inventory")

Write = Annotated[bool, typer.Option("--write", help="Do it; without it is only said what would be done.")]
Root = Annotated[
    str, typer.Argument(help="A root of the site, such as store.", autocompletion=opening.offer_roots)
]


@group.command()
def overview(context: typer.Context) -> None:
    """Show what products there are, by root, kind and stage."""
    call = call_of(context)
    with opening.opened(call) as site:
        rows = site.overview()
    names = ("root", "kind", "stage", "products", "bytes")
    made = screen.table("root", "kind", "made by", "products", "size", right=("products", "size"))
    for root, kind, stage, number, size in rows:
        made.add_row(root, kind, stage, str(number), screen.size(size))
    made.add_row(
        "", "", "", str(sum(row[3] for row in rows)), screen.size(sum(row[4] for row in rows)), style="bold"
    )
    Screen(call.is_json).answer([dict(zip(names, row, strict=True)) for row in rows], made)


@group.command()
def reconcile(
    context: typer.Context,
    root: Root = "store",
    is_written: Write = False,
    scrub: Annotated[
        bool, typer.Option("--scrub", help="Read every file and compare its hash, not only size and time.")
    ] = False,
    is_all: Annotated[bool, typer.Option("--all", help="Every row, however many.")] = False,
    newer: Annotated[
        str,
        typer.Option(
            help="After a restore, what is newer than the catalog: adopt what a run left whole, or quarantine it.",
            metavar="adopt|quarantine",
        ),
    ] = "",
    why: Annotated[str, typer.Option(help="The reason to adopt; it is kept with the story.")] = "",
) -> None:
    """Compare a root with the catalog both ways: missing, changed, moved (by hash), extra.

    With --write the catalog is told: what is missing is made again, what has changed waits for a person. What is newer
    than a catalog that was restored waits for --newer; nothing is deleted.
    """
    call = call_of(context)
    answer = Screen(call.is_json)
    with opening.opened(call) as site, counted(answer, "products looked at") as progress:
        found = site.reconcile(root, write=is_written, scrub=scrub, newer=newer, why=why, progress=progress)
    sums = Counter(one.what for one in found)
    parts: list[RenderableType] = [findings_table(found, is_all)] if found else []
    told = ", ".join(f"{number} {what}" for what, number in sums.most_common()) or "all as the catalog says"
    more = "" if is_written or not set(sums) - {"extra", "newer"} else "; --write tells the catalog"
    if sums["newer"] and not (is_written and newer):
        more += "; --newer adopt (or quarantine) with --write decides what becomes of what is newer"
    answer.answer(
        {"root": root, "written": is_written, "counts": sums, "findings": found},
        *parts,
        Text(f"{root}: {told}{more}"),
    )
    if set(sums) & {"missing", "changed", "unreadable"} and not is_written:
        raise typer.Exit(Exit.FAILED)


@group.command()
def remap(
    context: typer.Context,
    root: Root,
    place: Annotated[Path, typer.Argument(help="The folder where its files are now.", file_okay=False)],
    is_written: Write = False,
) -> None:
    """Say that a root lies elsewhere now. The files must be there already; only one row changes."""
    call = call_of(context)
    with opening.opened(call) as site:
        done = site.remap(root, place, write=is_written)
    looked, there = done["looked at"], done["there"]
    line = f"{root} → {place.absolute()}: {there} of {looked} products looked at are there"
    line += "; the root was moved" if is_written else "; --write moves the root"
    document = {
        "root": root,
        "place": place.absolute(),
        "looked_at": looked,
        "there": there,
        "written": is_written,
    }
    Screen(call.is_json).answer(document, Text(line, style="" if there == looked else "yellow"))


@app.command()
def sweep(
    context: typer.Context,
    older: Annotated[
        str,
        typer.Option(
            help="Only orphans and superseded products of this age. Default: as \\[retention] says."
        ),
    ] = "",
    grace: Annotated[
        str,
        typer.Option(help="How long things lie in the trash. Default: as \\[retention] says."),
    ] = "",
) -> None:
    """Remove what nobody needs: orphans of dead runs, superseded products, temporaries, old logs and events.

    Superseded products, and those that their stage's `keep` lets go, go to the trash first, and are deleted from it after
    --grace.
    """
    call = call_of(context)
    with opening.opened(call) as site:
        done = site.sweep(
            older=_duration("--older", older) if older else None,
            grace=_duration("--grace", grace) if grace else None,
        )
    line = f"{screen.count(done['orphans'], 'orphan')} removed, {done['trash']} superseded products to the trash, "
    line += f"{screen.count(done['let_go'], 'product')} let go, "
    line += f"{done['deleted']} deleted from it ({screen.size(done['bytes'])}), "
    line += f"{screen.count(done['temporaries'], 'temporary', 'temporaries')} removed from archives, "
    line += f"{screen.count(done['logs'], 'log')} and {screen.count(done['events'], 'event')} deleted"
    Screen(call.is_json).answer(done, Text(line))


def _duration(option: str, text: str) -> float:
    try:
        return clock.duration(float(text) if text.replace(".", "", 1).isdigit() else text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None
