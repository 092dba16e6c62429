"""Backups of an SQLite catalog: made while others write, checked, and put in place of the catalog at one instant.

Promises that a backup is one moment of the catalog in one file, that no file is ever overwritten, and that the catalog
that a restore replaces is kept beside it. Never leaves half a catalog at the catalog's place.
"""

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from towpath.adapters.catalog import migrations
from towpath.base.errors import SiteError, StateError
from towpath.base.flushing import flush
from towpath.base.renaming import rename_new

Progress = Callable[[int, int], None]  # pages copied, pages in all

_PAGES = 4096  # at a time
_LATEST = "SELECT max(time) FROM events"


def back_up(catalog: Path, target: Path, progress: Progress | None = None) -> None:
    """Copy a catalog, as it is at one moment, to a file that must not be there yet; others may write meanwhile.

    Raises
    ------
    StateError
        If there is something at `target`.
    SiteError
        If the catalog, or the copy of it, is not whole.
    """
    if target.exists():
        raise StateError(f"{target} is there already; a backup never replaces a file: choose another name")
    if not catalog.is_file():
        raise SiteError(f"there is no catalog at {catalog}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with part_of(target) as part:
        copy(catalog, part, progress)
        check(part)
        rename_new(str(part), str(target))
        flush(target.parent)


@contextmanager
def part_of(target: Path) -> Iterator[Path]:
    """The path of a file beside `target` that is not there, and gone in the end."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    _remove(part)  # of a process of the same number that was killed: in containers the numbers come again
    try:
        yield part
    finally:
        _remove(part)


def _remove(file: Path) -> None:
    for end in ("", "-wal", "-shm", "-journal"):
        file.with_name(file.name + end).unlink(missing_ok=True)


def copy(source: Path, target: Path, progress: Progress | None = None) -> None:
    """Copy one moment of a catalog into a new file, flushed to disk."""

    def tell(_status: int, remaining: int, total: int) -> None:
        if progress:
            progress(total - remaining, total)

    try:
        with closing(sqlite3.connect(source, timeout=60.0, isolation_level=None)) as reader:
            # The snapshot is held by a read transaction: writers go on, and what they write is not in it.
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
            with closing(sqlite3.connect(target, isolation_level=None)) as writer:
                reader.backup(writer, pages=_PAGES, progress=tell)
                writer.execute("PRAGMA journal_mode = DELETE")  # one file, with no log beside it
    except sqlite3.Error as error:
        raise SiteError(f"{source}: cannot be copied to {target.parent}: {error}") from error
    with target.open("rb+") as file:
        os.fsync(file.fileno())


def check(file: Path) -> str:
    """Look whether a file is a whole catalog that this Towpath can read; returns its revision.

    Raises
    ------
    SiteError
        If it is not.
    """
    try:
        with closing(_reader(file)) as connection:
            wrong = [row[0] for row in connection.execute("PRAGMA integrity_check(3)") if row[0] != "ok"]
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        raise SiteError(f"{file}: {error}; expected a backup that `towpath db backup` made") from error
    if wrong:
        raise SiteError(f"{file}: not whole: {'; '.join(map(str, wrong))}")
    if row is None or row[0] > migrations.HEAD:
        raise SiteError(
            f"{file}: schema {row and row[0]} is newer than this Towpath knows ({migrations.HEAD}); upgrade towpath"
        )
    return str(row[0])


def _reader(file: Path) -> sqlite3.Connection:
    """A connection to a file that is there: what a killed process left half done is undone first, where it may be written."""
    return sqlite3.connect(
        f"{file.absolute().as_uri()}?mode=rw", uri=True, timeout=60.0, isolation_level=None
    )


def settle(file: Path) -> None:
    """Bring a file that was opened as a catalog back to one file, flushed to disk."""
    _close_log(file)
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())


def put_in_place(part: Path, catalog: Path, kept: Path) -> bool:
    """Put a file in place of the catalog at one instant; what was there is then at `kept`. Returns whether anything was.

    Raises
    ------
    StateError
        If a process has the catalog open.
    """
    was_there = catalog.exists()
    if was_there:
        _close_log(catalog)
        _keep(catalog, kept)
    else:
        _put_log_away(catalog)
    os.replace(part, catalog)  # noqa: PTH105  beside os.link
    flush(catalog.parent)
    return was_there


def _keep(catalog: Path, kept: Path) -> None:
    """Give the file another name besides; where the file system has only one for each file, copy it."""
    try:
        os.link(catalog, kept)
    except OSError:
        shutil.copy2(catalog, kept)


def _close_log(catalog: Path) -> None:
    """Bring the write-ahead log into the file: a log that is left would be taken for the new file's."""
    try:
        with closing(sqlite3.connect(catalog, timeout=1.0, isolation_level=None)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StateError(f"{catalog} is open in another process; end it first") from error
        _put_log_away(catalog)
    except sqlite3.DatabaseError:
        _put_log_away(catalog)


def _put_log_away(catalog: Path) -> None:
    """The file is gone or no database any more: its log goes, under a name that no database takes for its own."""
    for end in ("-wal", "-shm", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            log = catalog.with_name(catalog.name + end)
            log.rename(log.with_name(f"{log.name}.{os.getpid()}.lost"))


def problems(file: Path) -> list[str]:
    """What is wrong with a catalog's file."""
    try:
        with closing(_reader(file)) as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
            found += [
                f"row {row[1]} of {row[0]} refers to nothing in {row[2]}"
                for row in connection.execute("PRAGMA foreign_key_check")
            ]
    except sqlite3.DatabaseError as error:
        return [f"{file}: {error}"]
    return found


def latest(file: Path) -> float | None:
    """When the last event of a catalog was, seconds since the epoch."""
    with closing(_reader(file)) as connection:
        row = connection.execute(_LATEST).fetchone()
    return float(row[0]) if row[0] is not None else None
