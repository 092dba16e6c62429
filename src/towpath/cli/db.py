"""`towpath db`: where the catalog is, whether it is whole, bringing it to this version of Towpath, backup and restore."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from towpath.app import keeping, settings
from towpath.app.keeping import file_of
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


def _settings(call: Call) -> Settings:
    return settings.load(opening.place_of(call), os.environ, call.settings)


def _url(call: Call) -> str:
    return _settings(call).catalog_url


@group.command()
def path(context: typer.Context) -> None:
    """Print where the catalog is."""
    call = call_of(context)
    url = _url(call)
    url = str(masked("", url))
    Screen(call.is_json).answer({"url": url, "path": file_of(url)}, Text(str(file_of(url) or url)))


@group.command()
def migrate(context: typer.Context) -> None:
    """Bring the catalog to this version of Towpath (opening a site does the same)."""
    call = call_of(context)
    file = file_of(_url(call))
    before = _revision(file)
    with opening.opened(call):
        after = _revision(file)
    done = "made" if not before else "was up to date" if before == after else f"brought from {before}"
    Screen(call.is_json).answer({"before": before, "after": after}, Text(f"catalog {done}: revision {after}"))


def _revision(file: Path | None) -> str:
    """The revision of the tables, "" where there are none."""
    if file is None or not file.is_file():
        return ""
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.DatabaseError:
            return ""
    return str(row[0]) if row else ""


@group.command()
def check(context: typer.Context) -> None:
    """Check that the catalog's file is whole and its rows fit together."""
    call = call_of(context)
    file = file_of(_url(call))
    if file is None or not file.is_file():
        raise SiteError(f"there is no catalog at {file}; `towpath db migrate` makes one")
    problems = _problems(file)
    answer = Screen(call.is_json)
    lines = [Text(problem, style="red") for problem in problems] or [
        Text(f"whole: {file}, {screen.size(file.stat().st_size)}")
    ]
    answer.answer({"path": file, "problems": problems}, *lines)
    if problems:
        raise typer.Exit(Exit.FAILED)


def _problems(file: Path) -> list[str]:
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
            found += [
                f"row {row[1]} of {row[0]} refers to nothing in {row[2]}"
                for row in connection.execute("PRAGMA foreign_key_check")
            ]
    except sqlite3.DatabaseError as error:
        return [f"{file}: {error}"]
    return found


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
) -> None:
    """Restore a backup. Nothing may run; the catalog that it replaces is kept.

    Products that were made after the backup have no row in it: `towpath inventory reconcile` tells them.
    """
    call = call_of(context)
    answer = Screen(call.is_json)
    with measured(answer, "copying") as progress:
        done = keeping.restore(_settings(call), file, replace=replace, progress=progress)
    until = f", as it was at {clock.text(done.until)}" if done.until else ""
    kept = [Text(f"the former catalog is kept: {done.kept}")] if done.kept else []
    answer.answer(done, Text(f"restored{until}"), *kept, *_after_restore())


@group.command()
def restored(context: typer.Context) -> None:
    """Say that the catalog was restored by other means, such as point-in-time recovery; `restore` does it itself.

    From then on no place on disk is written again, and nothing is swept until `towpath inventory reconcile` has asked
    what becomes of products that are newer than the catalog.
    """
    call = call_of(context)
    with opening.opened(call) as site:
        with site.catalog.read() as view:
            keeping.refuse_running(view)
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
