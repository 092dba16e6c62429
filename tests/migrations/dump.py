"""Keeps a dump of a filled catalog at the newest schema revision: run it once, when you have written a migration.

    python tests/migrations/dump.py

writes REVISION.sqlite.sql and, with a PostgreSQL on this machine, REVISION.postgresql.sql into tests/migrations/dumps. Commit
them: they are what sites of that revision have. It never replaces a dump, for a revision does not change once it is out.
"""

import re
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import filling

from towpath.adapters.catalog import migrations, postgres
from towpath.adapters.catalog.sqlite import SqliteCatalog, migrate
from towpath.testing.postgres import NoServerError, Server, programs

DUMPS = Path(__file__).resolve().parent / "dumps"
COMMAND = "python tests/migrations/dump.py"


def dump_sqlite() -> str:
    """The text of a filled SQLite catalog."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "catalog.sqlite"
        migrate(file)
        with closing(SqliteCatalog(file)) as catalog:
            filling.fill(catalog)
        with closing(sqlite3.connect(file)) as connection:
            return "".join(f"{line};\n" for line in sqlite_lines(connection))


def sqlite_lines(connection: sqlite3.Connection) -> Iterator[str]:
    """The statements that make the tables, indexes and triggers, and then the rows; virtual tables are filled by triggers."""
    found = connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite!_%' ESCAPE '!' "
        "ORDER BY CASE type WHEN 'table' THEN 0 ELSE 1 END, rowid"
    ).fetchall()
    virtual = tuple(f"{name}_" for kind, name, sql in found if "VIRTUAL TABLE" in sql)
    tables = []
    for kind, name, sql in found:
        if name.startswith(virtual) and kind == "table":
            continue
        yield re.sub(r"\s*\n\s*", " ", sql).strip()
        if kind == "table" and "VIRTUAL TABLE" not in sql:
            tables.append(name)
    for name in sorted(tables):
        columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{name}")')]
        quoted = ", ".join(f'quote("{column}")' for column in columns)
        listed = ", ".join(f'"{column}"' for column in columns)
        for row in connection.execute(f'SELECT {quoted} FROM "{name}"'):
            yield f'INSERT INTO "{name}" ({listed}) VALUES ({", ".join(row)})'


def dump_postgresql() -> str | None:
    """The text of a filled catalog on PostgreSQL, in a database without PostGIS; None without a server."""
    try:
        server = Server()
    except NoServerError as error:
        print(f"no dump on PostgreSQL: {error}")
        return None
    with server:
        url = server.database()
        postgres.migrate(url)
        with closing(postgres.PostgresCatalog(url)) as catalog:
            filling.fill(catalog)
        command = [
            programs() / "pg_dump",
            "--inserts",
            "--no-owner",
            "--no-privileges",
            "--schema=towpath",
            url,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    kept = [
        line
        for line in done.stdout.splitlines()
        if not line.startswith(("--", "\\", "SET ", "SELECT pg_catalog.set_"))
    ]
    return re.sub(r"\n{2,}", "\n", "\n".join(kept)).strip() + "\n"


def kept(dialect: str, dumped: Callable[[], str | None]) -> None:
    """Write the dump of the newest revision in a dialect, unless there is one."""
    file = DUMPS / f"{migrations.HEAD}.{dialect}.sql"
    if file.exists():
        print(f"{file.name} is there already")
        return
    text = dumped()
    if text is None:
        return
    DUMPS.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    print(f"{file.name}: {file.stat().st_size} bytes")


if __name__ == "__main__":
    kept("sqlite", dump_sqlite)
    kept("postgresql", dump_postgresql)
