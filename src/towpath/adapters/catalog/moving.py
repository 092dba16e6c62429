"""Moves the catalog of a site from its SQLite file to PostgreSQL, verified row by row.

Promises that the target has all of it or nothing, for it is one transaction; that only an empty schema is filled; and that
the file is left as it was. Rows are compared in one canonical form, read back from the target before the commit.
"""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy
from psycopg import sql
from sqlalchemy import Boolean, Float, LargeBinary, Table, Text

from towpath.adapters.catalog import footprints, migrations
from towpath.adapters.catalog.connecting import Connection, connect, is_away, site_key, told
from towpath.adapters.catalog.postgres import place
from towpath.adapters.catalog.schema import metadata
from towpath.base.errors import IntegrityError, SiteError, StateError

Progress = Callable[[int, int], None]  # rows done, in all: each is copied and then compared

_PAGE = 5000
_EVENTS = [("event", 0)]  # what the counters of a new catalog hold


@dataclass(frozen=True, slots=True)
class Moved:
    """One table as it was moved: its rows, and their digest, which is the same on both sides."""

    table: str
    rows: int
    sha256: str


# ---- the canonical form
def canonical(table: Table, row: Sequence[Any]) -> list[Any]:
    """The values of a row as both databases give them back: what PostgreSQL cannot hold in a text is spelled out."""
    return [
        None if value is None else _value(column.type, value)
        for column, value in zip(table.columns, row, strict=True)
    ]


def _value(kind: Any, value: Any) -> Any:
    if isinstance(kind, Text):
        return str(value).replace("\0", "\N{SYMBOL FOR NULL}").encode("utf-8", "backslashreplace").decode()
    if isinstance(kind, Boolean):
        return bool(value)
    if isinstance(kind, Float):
        return float(value)
    return bytes(value) if isinstance(kind, LargeBinary) else int(value)


def line(row: Sequence[Any]) -> bytes:
    """A canonical row as one line."""
    return json.dumps(
        [one.hex() if isinstance(one, bytes) else one for one in row], separators=(",", ":")
    ).encode()


# ---- both sides
def _in_order(table: Table) -> list[str]:
    return [column.name for column in table.primary_key.columns]


def _of_sqlite(connection: sqlite3.Connection, table: Table) -> Iterator[list[Any]]:
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    order = ", ".join(f'"{name}"' for name in _in_order(table))
    cursor = connection.execute(f"SELECT {columns} FROM {table.name} ORDER BY {order}")
    while rows := cursor.fetchmany(_PAGE):
        yield from (canonical(table, row) for row in rows)


def _of_postgres(connection: Connection, table: Table) -> Iterator[list[Any]]:
    texts = {column.name for column in table.columns if isinstance(column.type, Text)}
    order = [
        sql.SQL('{} COLLATE "C"' if name in texts else "{}").format(sql.Identifier(name))
        for name in _in_order(table)
    ]
    text = sql.SQL("SELECT {} FROM {} ORDER BY {}").format(
        sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns),
        sql.Identifier(table.name),
        sql.SQL(", ").join(order),
    )
    with connection.cursor(name="rows") as cursor:
        cursor.itersize = _PAGE
        cursor.execute(text)
        for row in cursor:
            yield canonical(table, row)


def _count(connection: sqlite3.Connection) -> int:
    return sum(
        connection.execute(f"SELECT count(*) FROM {table.name}").fetchone()[0]
        for table in metadata.sorted_tables
    )


# ---- moving
def move(
    source: Path,
    url: str,
    *,
    schema: str,
    allow: Callable[[sqlite3.Connection], None],
    progress: Progress | None = None,
) -> list[Moved]:
    """Copy all tables of a catalog to a schema of a PostgreSQL database, and compare each row.

    Parameters
    ----------
    source
        The SQLite file; it must be at the newest revision. Nobody can write to it meanwhile.
    url, schema
        Where to; the schema is made if need be.
    allow
        Looks at the source once nobody can write to it any more, and raises what speaks against it.

    Raises
    ------
    StateError
        If the target is not empty, or the source is not at the newest revision.
    SiteError
        If either cannot be used.
    IntegrityError
        If a row is not the same on both sides; then nothing was moved.
    """
    with _held(source) as reader:
        allow(reader)
        try:
            with closing(connect(url, schema)) as writer:
                return _move(reader, writer, schema, progress or (lambda _done, _total: None))
        except psycopg.Error as error:
            what = "is away" if is_away(error) else "does not take the catalog"
            raise SiteError(f"{place(url)}: {what}: {told(error)}; nothing was moved") from error


@contextmanager
def _held(source: Path) -> Iterator[sqlite3.Connection]:
    """The source, with writers kept out; nothing is written to it."""
    if not source.is_file():
        raise SiteError(f"there is no catalog at {source}")
    with closing(sqlite3.connect(source, timeout=10.0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.Error as error:
            raise SiteError(f"{source}: {error}; end what uses it first") from error
        if row is None or row[0] != migrations.HEAD:
            raise StateError(
                f"{source}: its tables are not those of this Towpath; `towpath db migrate` brings them there"
            )
        try:
            yield connection
        finally:
            connection.execute("ROLLBACK")


def _move(reader: sqlite3.Connection, writer: Connection, schema: str, progress: Progress) -> list[Moved]:
    # The empty schema is there before the transaction: alembic looks once where its own table belongs.
    writer.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
    writer.autocommit = False
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: writer, poolclass=sqlalchemy.StaticPool
    )
    total, done = 2 * _count(reader), 0

    def step(rows: int) -> None:
        nonlocal done
        done += rows
        progress(done, total)

    with engine.begin() as within:
        writer.execute("SELECT pg_advisory_xact_lock(%s)", (site_key(schema),))
        _prepare(writer, within, schema)
        writer.execute(
            "ALTER TABLE items DISABLE TRIGGER USER"
        )  # the index on footprints is built at once, below
        for table in metadata.sorted_tables:
            _copy(reader, writer, table, step)
        writer.execute("ALTER TABLE items ENABLE TRIGGER USER")
        footprints.build(within)
        _set_sequences(writer)
        found = [_compare(reader, writer, table, step) for table in metadata.sorted_tables]
    with closing(engine.connect()) as after:
        after.exec_driver_sql("ANALYZE")
        after.commit()
    return found


def _prepare(writer: Connection, within: sqlalchemy.Connection, schema: str) -> None:
    """Make the tables, or see that those that are there hold nothing."""
    known = {
        row[0]
        for row in writer.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s", (schema,)
        ).fetchall()
    }
    if known and "alembic_version" not in known:
        raise StateError(
            f"the schema {schema!r} holds tables of something else; choose another: --set site.catalog_schema=NAME"
        )
    migrations.upgrade(within)
    full = [table.name for table in metadata.sorted_tables if _holds_rows(writer, table)]
    if full:
        raise StateError(
            f"the schema {schema!r} is not empty: {', '.join(full)} hold rows, and a catalog is never mixed with another; "
            f'choose another schema (--set site.catalog_schema=NAME), or drop it: DROP SCHEMA "{schema}" CASCADE'
        )
    writer.execute("DELETE FROM counters")


def _holds_rows(writer: Connection, table: Table) -> bool:
    if table.name == "counters":
        return writer.execute("SELECT name, value FROM counters").fetchall() not in ([], _EVENTS)
    return bool(
        writer.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(table.name))).fetchall()
    )


def _copy(reader: sqlite3.Connection, writer: Connection, table: Table, step: Callable[[int], None]) -> None:
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns)
    text = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table.name), columns)
    rows = 0
    with writer.cursor() as cursor, cursor.copy(text) as copy:
        for rows, row in enumerate(_of_sqlite(reader, table), 1):
            copy.write_row(row)
            if rows % _PAGE == 0:
                step(_PAGE)
    step(rows % _PAGE)


def _set_sequences(writer: Connection) -> None:
    """What is added from now on has numbers above those that were moved."""
    for table in metadata.sorted_tables:
        keys = list(table.primary_key.columns)
        name = sql.Identifier(table.name).as_string(writer)
        row = writer.execute("SELECT pg_get_serial_sequence(%s, %s)", (name, keys[0].name)).fetchone()
        if row and row[0]:
            text = sql.SQL("SELECT setval(%s::regclass, max({}), true) FROM {} HAVING max({}) IS NOT NULL")
            key = sql.Identifier(keys[0].name)
            writer.execute(text.format(key, sql.Identifier(table.name), key), (row[0],))


def _compare(
    reader: sqlite3.Connection, writer: Connection, table: Table, step: Callable[[int], None]
) -> Moved:
    """Read a table back and compare it row by row."""
    digest, rows = hashlib.sha256(), 0
    for here, there in zip_longest(_of_sqlite(reader, table), _of_postgres(writer, table)):
        text = line(here) if here is not None else b""
        if there is None or text != line(there):
            raise IntegrityError(
                f"{table.name}: found {there} where {here} was copied; nothing was moved, the site goes on as it was"
            )
        digest.update(text + b"\n")
        rows += 1
        if rows % _PAGE == 0:
            step(_PAGE)
    step(rows % _PAGE)
    return Moved(table.name, rows, digest.hexdigest())
