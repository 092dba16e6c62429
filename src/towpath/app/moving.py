"""Moving a site from its SQLite file to PostgreSQL: the rows, and the line of the site file that names the catalog.

Promises that nothing is moved while the site runs, that the file stays as it was, and that the site file is changed only
when asked, in that one line, at one instant.
"""

import json
import os
import re
import sqlite3
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from towpath.app.catalogs import file_of
from towpath.app.session import is_free
from towpath.app.settings import Settings, masked
from towpath.base.errors import SiteError, StateError, UsageError
from towpath.base.flushing import flush

if TYPE_CHECKING:
    from towpath.adapters.catalog.moving import Moved

_SITE = re.compile(r"^[ \t]*\[[ \t]*site[ \t]*\][^\n]*\n?", re.MULTILINE)
_NEXT = re.compile(r"^[ \t]*\[", re.MULTILINE)


def move(
    settings: Settings, url: str, *, progress: Callable[[int, int], None] | None = None
) -> "list[Moved]":
    """Copy the catalog of an SQLite site to PostgreSQL, compared row by row; the file is left as it was.

    Raises
    ------
    StateError
        If the site runs, the target is not empty, or the file is not at this version's revision.
    SiteError
        If the site's catalog is no file, or the target cannot be used.
    IntegrityError
        If a row is not the same on both sides; then nothing was moved.
    """
    file = file_of(settings)
    if file is None:
        raise StateError("the catalog is on PostgreSQL already; `towpath db backup` and `restore` move it on")
    if not url.startswith(("postgresql://", "postgres://")):
        raise UsageError(f"found {masked('', url)!r}; expected postgresql://USER@HOST/DATABASE")
    try:
        from towpath.adapters.catalog import moving  # optional: psycopg is an extra
    except ImportError as error:
        raise SiteError(f"PostgreSQL needs psycopg ({error}): pip install 'towpath[postgres]'") from error
    schema = settings.site.catalog_schema
    return moving.move(file.absolute(), url, schema=schema, allow=_refuse_running, progress=progress)


def _refuse_running(connection: sqlite3.Connection) -> None:
    """An SQLite site is one machine's, whatever it is called: who lives holds the lock on its file."""
    rows = connection.execute("SELECT host, pid, lock FROM sessions ORDER BY id").fetchall()
    alive = [f"process {pid} on {host}" for host, pid, lock in rows if not is_free(Path(lock))]
    if alive:
        told = ", ".join(dict.fromkeys(alive))  # a server that works beside has two sessions
        raise StateError(f"the site is running: {told}; end it first")


# ---- the site file
def refuse_switch(settings: Settings) -> None:
    """Raise `StateError` if the site file is not what decides where the catalog is."""
    origin = settings.origins.get("site.catalog")
    if origin is not None and origin.where != settings.file.name:
        raise StateError(
            f"site.catalog comes from {origin}, so {settings.file.name} cannot switch it; change it there"
        )


def switch(settings: Settings, url: str) -> None:
    """Name another catalog in the site file; all else in it stays as it is.

    Raises
    ------
    StateError
        If the file is written such that the line must be changed by hand.
    """
    file = settings.file
    text = file.read_text(encoding="utf-8")
    wanted = {"catalog": url}
    if settings.site.catalog_schema != "towpath":
        wanted["catalog_schema"] = settings.site.catalog_schema
    for name, value in wanted.items():
        text = _with(text, name, value)
    try:
        site = tomllib.loads(text)["site"]
    except (tomllib.TOMLDecodeError, KeyError):
        site = {}
    if any(site.get(name) != value for name, value in wanted.items()):
        lines = "; ".join(f"{name} = {json.dumps(value)}" for name, value in wanted.items())
        raise StateError(f"{file.name} cannot be changed by itself; write under [site]: {lines}")
    _replace(file, text)


def _replace(file: Path, text: str) -> None:
    """Put a text in a file's place at one instant; it may hold a password, and is never readable to more than the file."""
    number, name = tempfile.mkstemp(".part", f".{file.name}.", file.parent)
    part = Path(name)
    try:
        with os.fdopen(number, "w", encoding="utf-8") as made:
            made.write(text)
            made.flush()
            os.fchmod(number, file.stat().st_mode & 0o7777)
            os.fsync(number)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    flush(file.parent)


def _with(text: str, name: str, value: str) -> str:
    """The text of a site file with one setting under [site]."""
    line = f"{name} = {json.dumps(value)}"
    header = _SITE.search(text)
    if header is None:
        return f"{text.rstrip()}\n\n[site]\n{line}\n"
    following = _NEXT.search(text, header.end())
    end = following.start() if following else len(text)
    table = text[header.end() : end]
    known = re.compile(rf"^[ \t]*{name}[ \t]*=[^\n]*$", re.MULTILINE)
    if known.search(table):
        table = known.sub(lambda _: line, table, count=1)
    else:
        table = f"{line}\n{table}"
    head = text[: header.end()]
    return f"{head}{'' if head.endswith(chr(10)) else chr(10)}{table}{text[end:]}"
