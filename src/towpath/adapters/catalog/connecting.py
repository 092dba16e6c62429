"""Connections to PostgreSQL: how they are set up, a cursor that takes the shared statements, what an error means.

Promises that statements are translated once, that values are bound, and that a password is in no message. Never decides
when to try again.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import psycopg
from psycopg import sql
from psycopg.adapt import Dumper
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.numeric import Int8BinaryDumper

from towpath.adapters.catalog.bulk import bulk
from towpath.base.errors import SiteError

OLDEST = 140000  # as the server numbers itself
Connection = psycopg.Connection[tuple[Any, ...]]

# What a network that swallows packets costs: seconds until a client, and until a server, gives the other one up.
_DEFAULTS = {
    "application_name": "towpath",
    "connect_timeout": "10",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
_SETTINGS = (
    ("tcp_keepalives_idle", "15"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("jit", "off"),
    ("plan_cache_mode", "force_custom_plan"),  # a plan made while a table was small must not stay
)
# What a writer asks for has its index, also before the first statistics. A process that was halted in the middle of a
# transaction must not hold up the others.
_WRITER = (("enable_seqscan", "off"), ("idle_in_transaction_session_timeout", "60s"))
_PREPARED = 1000  # statements that a connection remembers

_AWAY = ("08", "57P01", "57P02", "57P03", "57P05", "25P03", "53300")
_TOKENS = re.compile(r"(NOT )?\bIN \(((?:\?(?:, \?)*)?)\)|\?| LIKE ")


class _Text(Dumper):
    """Text, without what PostgreSQL cannot hold: a zero byte is shown as its symbol, half a character as its code."""

    oid = psycopg.adapters.types["text"].oid

    def dump(self, obj: str) -> bytes:
        return obj.replace("\0", "\N{SYMBOL FOR NULL}").encode("utf-8", "backslashreplace")


@lru_cache(maxsize=4096)
def translate(statement: str) -> tuple[str, tuple[int, ...]]:
    """A shared statement in PostgreSQL's words, and what becomes of its values.

    Lists are bound as one value, whatever their length, so that there is one plan. `-1` stands for a value as it is, a
    number for a list of so many values; without lists there is nothing.
    """
    sizes: list[int] = []

    def said(found: re.Match[str]) -> str:
        if found[0] == " LIKE ":
            return " ILIKE "  # as SQLite compares
        if found[0] == "?":
            sizes.append(-1)
            return f"${len(sizes)}"
        sizes.append(found[2].count("?"))
        return f"<> ALL(${len(sizes)})" if found[1] else f"= ANY(${len(sizes)})"

    text = _TOKENS.sub(said, statement)
    return text, tuple(sizes) if any(size >= 0 for size in sizes) else ()


def _folded(values: Sequence[Any], sizes: Sequence[int]) -> Sequence[Any]:
    if not sizes:
        return values
    folded: list[Any] = []
    begin = 0
    for size in sizes:
        end = begin + abs(size)
        folded.append(values[begin] if size < 0 else list(values[begin:end]))
        begin = end
    return folded


class Cursor:
    """A cursor that takes the statements of the shared SQL (`catalog.sql.Cursor`)."""

    def __init__(self, connection: Connection) -> None:
        self._cursor = psycopg.RawCursor(connection)
        self._cursor.format = psycopg.pq.Format.BINARY

    @property
    def rowcount(self) -> int:
        """How many rows the last statement touched."""
        return self._cursor.rowcount

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Any:
        """Run a statement."""
        text, sizes = translate(statement)
        self._cursor.execute(text.encode(), _folded(values, sizes))
        return self

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> Any:
        """Run a statement for each row of values: at once where it has that form, or without waiting in between."""
        rows = list(rows)
        if not rows:
            return self
        at_once = bulk(statement, rows) if len(rows) > 1 else None
        if at_once:
            self._cursor.execute(at_once[0].encode(), at_once[1])
        else:
            text, sizes = translate(statement)
            self._cursor.executemany(text.encode(), [_folded(row, sizes) for row in rows])
        return self

    def fetchall(self) -> list[Any]:
        """The rows that are left."""
        return self._cursor.fetchall()

    def fetchone(self) -> Any:
        """The next row, or None."""
        return self._cursor.fetchone()


# ---- connecting
def address(url: str) -> str:
    """The URL as libpq's connection string, with our defaults where it says nothing.

    Raises
    ------
    SiteError
        If it cannot be read. Nothing of it is told: a part may be a password.
    """
    try:
        told = conninfo_to_dict(url)
        int(told.get("port") or 5432)
    except (psycopg.ProgrammingError, ValueError):
        raise SiteError(
            "site.catalog: found a URL that cannot be read; expected postgresql://USER@HOST:PORT/DATABASE; "
            "in a password @ is written %40, / %2F and : %3A"
        ) from None
    return make_conninfo("", **{**_DEFAULTS, **told, "client_encoding": "utf8"})


def connect(url: str, schema: str, *, writes: bool = False) -> Connection:
    """Open a connection that works in a schema.

    Raises
    ------
    psycopg.OperationalError
        If there is none to be had now.
    SiteError
        If it never can work: the URL, the server's version, the database's encoding.
    """
    connection: Connection = psycopg.connect(address(url), autocommit=True, prepare_threshold=1)
    try:
        _refuse(connection)
        connection.prepared_max = _PREPARED
        connection.adapters.register_dumper(int, Int8BinaryDumper)
        connection.adapters.register_dumper(str, _Text)
        connection.execute(_set_up(schema, (*_SETTINGS, *(_WRITER if writes else ()))))
    except BaseException:
        connection.close()
        raise
    return connection


def _set_up(schema: str, settings: Iterable[tuple[str, str]]) -> sql.Composed:
    """Our schema first, then where extensions are; every commit is on disk when it is told, whatever the default is."""
    parts: list[sql.Composable] = [
        sql.SQL("SET search_path TO {}, public").format(sql.Identifier(schema)),
        sql.SQL(
            "SELECT set_config('synchronous_commit', 'on', false) "
            "WHERE current_setting('synchronous_commit') IN ('off', 'local')"
        ),
    ]
    parts += [
        sql.SQL("SET {} TO {}").format(sql.Identifier(name), sql.Literal(value)) for name, value in settings
    ]
    return sql.SQL("; ").join(parts)


def _refuse(connection: Connection) -> None:
    told = connection.info
    if told.server_version < OLDEST:
        raise SiteError(
            f"PostgreSQL {told.server_version // 10000} is too old; Towpath needs {OLDEST // 10000} or newer"
        )
    encoding = told.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise SiteError(
            f"the database {told.dbname!r} has the encoding {encoding}; make one with "
            f"CREATE DATABASE {told.dbname} TEMPLATE template0 ENCODING 'UTF8'"
        )


def site_key(schema: str) -> int:
    """The number of the site's advisory lock in its database."""
    return int.from_bytes(hashlib.sha256(f"towpath {schema}".encode()).digest()[:8], "big", signed=True)


# ---- errors
def is_away(error: BaseException) -> bool:
    """Whether the connection is lost, so that another one may do: the server restarts, or the network is away."""
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    return error.sqlstate is None or error.sqlstate.startswith(_AWAY)


def told(error: psycopg.Error) -> str:
    """What went wrong, in one line."""
    return " ".join(str(error).split())
