"""`towpath db`: where the catalog is, whether it is whole, bringing it to this version of Towpath, backup and restore."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from towpath.app import catalogs, keeping, moving, settings
from towpath.app.settings import Settings, masked
from towpath.base import clock
from towpath.base.errors import SiteError
from towpath.cli import opening, screen
from towpath.cli.exits import Exit
from towpath.cli.options import Call, call_of
from towpath.cli.progress import measured
from towpath.cli.screen import Screen

app = typer.Typer()
group = typer.Typer(no_args_is_help=True, help="Check, migrate, back up and restore the catalog.")
app.add_typer(group, name="db")

Backup = Annotated[Path, typer.Argument(help="The backup's file.", dir_okay=False)]
Gone = Annotated[
    list[str] | None,
    typer.Option(
        help="A host that is gone for good, so that its sessions do not count as running. Repeatable."
    ),
]


def _settings(call: Call) -> Settings:
    return settings.load(opening.place_of(call), os.environ, call.settings)


@group.command()
def path(context: typer.Context) -> None:
    """Print where the catalog is."""
    call = call_of(context)
    site = _settings(call)
    document = {"url": masked("", site.catalog_url), "path": catalogs.file_of(site)}
    Screen(call.is_json).answer(document, Text(_shown(site)))


@group.command()
def migrate(
    context: typer.Context,
    to: Annotated[
        str,
        typer.Option(help="Copy an SQLite site's catalog to this database on PostgreSQL.", metavar="URL"),
    ] = "",
    is_switched: Annotated[
        bool, typer.Option("--switch", help="With --to: name the new catalog in the site file, too.")
    ] = False,
) -> None:
    """Bring the catalog to this version of Towpath (opening a site does the same); or move it, with --to.

    With --to every row is copied and compared; the SQLite file stays as it was. Nothing may run or serve the site, and
    the target must be empty. The site uses the new catalog once `site.catalog` names it.
    """
    call = call_of(context)
    if to:
        _move(call, to, is_switched)
        return
    site = _settings(call)
    before = catalogs.revision(site)
    with opening.opened(call):
        after = catalogs.revision(site)
    keeping.index_places(site)
    done = "made" if not before else "was up to date" if before == after else f"brought from {before}"
    Screen(call.is_json).answer({"before": before, "after": after}, Text(f"catalog {done}: revision {after}"))


def _move(call: Call, to: str, is_switched: bool) -> None:
    answer, site = Screen(call.is_json), _settings(call)
    if is_switched:
        moving.refuse_switch(site)
    with measured(answer, "copying and comparing") as progress:
        moved = moving.move(site, to, progress=progress)
    if is_switched:
        moving.switch(site, to)
    shown = masked("", to)
    made = screen.table("table", "rows", "sha256 of the rows, on both sides", right=("rows",))
    for one in moved:
        made.add_row(one.table, f"{one.rows:,}".replace(",", " "), one.sha256)
    schema = site.site.catalog_schema
    lines = [f'catalog = "{shown}"', *([f'catalog_schema = "{schema}"'] if schema != "towpath" else [])]
    told = (
        f"the site uses it from now on: {site.file.name} says so; the old file stays as it was"
        if is_switched
        else f"the site goes on with its file until {site.file.name} says under [site]: {', '.join(lines)}"
    )
    total = f"{sum(one.rows for one in moved)} rows moved to {shown}; {told}"
    answer.answer(
        {"to": shown, "schema": schema, "switched": is_switched, "tables": moved}, made, Text(total)
    )


@group.command()
def check(context: typer.Context) -> None:
    """Check that every row of the catalog can be read and that its file is whole."""
    call = call_of(context)
    site = _settings(call)
    file = catalogs.file_of(site)
    if not (file.is_file() if file else catalogs.revision(site)):
        raise SiteError(f"there is no catalog at {_shown(site)}; `towpath db migrate` makes one")
    problems, size = keeping.problems(site)
    lines = [Text(problem, style="red") for problem in problems] or [
        Text(f"whole: {_shown(site)}, {screen.size(size)}")
    ]
    document = {"url": masked("", site.catalog_url), "path": file, "problems": problems}
    Screen(call.is_json).answer(document, *lines)
    if problems:
        raise typer.Exit(Exit.FAILED)


def _shown(site: Settings) -> str:
    """Where the catalog is, as a person names it."""
    return str(catalogs.file_of(site) or masked("", site.catalog_url))


# ---- backup and restore
@group.command()
def backup(context: typer.Context, file: Backup) -> None:
    """Write a backup of the catalog to a new file; the site may go on meanwhile.

    It holds the catalog as it was at one moment. Products, the archive and the site's own files are not in it: back up
    those folders after it.
    """
    call = call_of(context)
    answer = Screen(call.is_json)
    with measured(answer, "copying") as progress:
        keeping.back_up(_settings(call), file, progress)
    size = file.stat().st_size
    answer.answer(
        {"file": file.absolute(), "bytes": size}, Text(f"the catalog is in {file}, {screen.size(size)}")
    )


@group.command()
def restore(
    context: typer.Context,
    file: Backup,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put it in place of the catalog that is there, which is kept.")
    ] = False,
    gone: Gone = None,
) -> None:
    """Restore a backup. Nothing may run or serve the site; the catalog that it replaces is kept.

    Products that were made after the backup have no row in it: `towpath inventory reconcile` tells them.
    """
    call = call_of(context)
    answer = Screen(call.is_json)
    with _interrupted_by_sigterm(), measured(answer, "copying") as progress:
        done = keeping.restore(_settings(call), file, replace=replace, gone=gone or (), progress=progress)
    until = f", as it was at {clock.text(done.until)}" if done.until else ""
    kept = [Text(f"the former catalog is kept: {Path(done.kept).name}")] if done.kept else []
    answer.answer(done, Text(f"restored{until}"), *kept, *_after_restore())


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """SIGTERM is as Ctrl-C: programs that were started are ended, and what is half done is removed."""
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


@group.command()
def restored(context: typer.Context, gone: Gone = None) -> None:
    """Say that the catalog was restored by other means, such as point-in-time recovery; `restore` does it itself.

    From then on no place on disk is written again, and nothing is swept until `towpath inventory reconcile` has asked
    what becomes of products that are newer than the catalog.
    """
    call = call_of(context)
    with opening.opened(call) as site:
        with site.catalog.read() as view:
            keeping.refuse_running(site.settings, view, gone or ())
        floor = keeping.bring_back(site.settings, site.catalog)
    Screen(call.is_json).answer(
        {"floor": floor}, Text(f"noted; runs are numbered from {floor + 1} on"), *_after_restore()
    )


def _after_restore() -> list[Text]:
    return [
        Text(
            "next: `towpath inventory reconcile` tells which products are newer; --newer adopt or quarantine"
        )
    ]
