"""`towpath db`: where the catalog is, whether it is whole, and bringing it to this version of Towpath."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import typer
from rich.text import Text

from towpath.app import catalogs, settings
from towpath.app.settings import Settings, masked
from towpath.base.errors import SiteError, StateError
from towpath.cli import opening, screen
from towpath.cli.exits import Exit
from towpath.cli.options import Call, call_of
from towpath.cli.screen import Screen

app = typer.Typer()
group = typer.Typer(no_args_is_help=True, help="Migrate and check the catalog.")
app.add_typer(group, name="db")


def _settings(call: Call) -> Settings:
    return settings.load(opening.place_of(call), os.environ, call.settings)


@group.command()
def path(context: typer.Context) -> None:
    """Print where the catalog is."""
    call = call_of(context)
    found = _settings(call)
    file, url = catalogs.file_of(found), masked("", found.catalog_url)
    Screen(call.is_json).answer({"url": url, "path": file}, Text(str(file or url)))


@group.command()
def migrate(context: typer.Context) -> None:
    """Bring the catalog to this version of Towpath (opening a site does the same)."""
    call = call_of(context)
    found = _settings(call)
    before = catalogs.revision(found)
    with opening.opened(call):
        after = catalogs.revision(found)
    done = "made" if not before else "was up to date" if before == after else f"brought from {before}"
    Screen(call.is_json).answer({"before": before, "after": after}, Text(f"catalog {done}: revision {after}"))


@group.command()
def check(context: typer.Context) -> None:
    """Check that the catalog's file is whole and its rows fit together."""
    call = call_of(context)
    found = _settings(call)
    file = catalogs.file_of(found)
    if file is None:
        raise StateError(
            "this catalog is in a PostgreSQL database, which keeps itself whole; `pg_amcheck` looks at its files"
        )
    if not file.is_file():
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
