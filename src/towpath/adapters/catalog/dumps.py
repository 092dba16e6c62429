"""Backups of a catalog on PostgreSQL: its schema by pg_dump, and put in its place in one transaction by pg_restore and psql.

Promises that a backup is one moment of the catalog, that no file is overwritten, that the schema a restore replaces is
kept under another name, and that no password is in a command line. Needs the client programs of PostgreSQL.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO

import psycopg
import sqlalchemy
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from towpath.adapters.catalog import footprints, migrations
from towpath.adapters.catalog.backups import part_of
from towpath.adapters.catalog.connecting import address, connect, site_key, told
from towpath.adapters.catalog.postgres import place
from towpath.adapters.catalog.schema import metadata
from towpath.base.errors import SiteError, StateError
from towpath.base.flushing import flush
from towpath.base.renaming import rename_new

_PLACES = "/usr/lib/postgresql"  # where Debian has them, one folder for each version
_MAGIC = b"PGDMP"
_PATIENCE = 60  # seconds that a restore waits for others that write
_RUNNING = "the site is running:"
_LOOK = """
DECLARE other record;
BEGIN
    IF to_regclass({name}) IS NOT NULL THEN
        FOR other IN SELECT pid, host FROM {table} WHERE id <> ALL ({ended}::bigint[]) LOOP
            RAISE EXCEPTION {running}, other.pid, other.host;
        END LOOP;
    END IF;
END
"""
_MISSING = (
    "{program} was not found: install PostgreSQL's client programs (Debian: postgresql-client), of the server's version or "
    "newer, or put their folder on PATH"
)


# ---- the programs
def program(name: str) -> Path:
    """The newest of PostgreSQL's client programs of a name.

    Raises
    ------
    SiteError
        If there is none; it says what to install.
    """
    on_path = shutil.which(name)
    found = [*([Path(on_path)] if on_path else []), *Path(_PLACES).glob(f"*/bin/{name}")]
    versions = [(_version(one), one) for one in found]
    newest = max((pair for pair in versions if pair[0]), default=None)
    if newest is None:
        raise SiteError(_MISSING.format(program=name))
    return newest[1]


def _version(path: Path) -> tuple[int, ...]:
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return ()
    found = re.search(r"(\d+)\.(\d+)", done.stdout) if done.returncode == 0 else None
    return (int(found[1]), int(found[2])) if found else ()


def _run(
    name: str,
    *arguments: str | Path,
    environment: Mapping[str, str] | None = None,
    input: IO[bytes] | None = None,
    output: IO[bytes] | None = None,
    what: str,
) -> str:
    """Run a program and return what it printed, if not to `output`; what it complains of is the error."""
    done = subprocess.run(
        [program(name), *arguments],
        env={**os.environ, **(environment or {})},
        stdin=input or subprocess.DEVNULL,
        stdout=output or subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        if running := re.search(f"{_RUNNING}.*", done.stderr):
            raise StateError(f"{running[0]}; end it first")
        raise SiteError(f"{what}: {' '.join((done.stderr or done.stdout).split())}{_hint(done.stderr)}")
    return done.stdout or ""


def _hint(complaint: str) -> str:
    if "version mismatch" in complaint:
        return "; install the client programs of the server's version"
    if "lock timeout" in complaint:
        return "; another process writes to the catalog: end it first"
    if "gist" in complaint:
        return "; a superuser makes what is lacking: CREATE EXTENSION btree_gist SCHEMA public"
    return ""


def _login(url: str) -> tuple[str, dict[str, str]]:
    """The connection string without the password, and the environment that holds it."""
    parts = conninfo_to_dict(address(url))
    password = parts.pop("password", None)
    return make_conninfo("", **parts), {"PGPASSWORD": str(password)} if password else {}


# ---- backup
def back_up(url: str, schema: str, target: Path) -> None:
    """Write the schema, as it is at one moment, to a file that must not be there yet; others may write meanwhile.

    The index on footprints is left out: it is built anew, and so the backup fits a database without PostGIS too.
    """
    if target.exists():
        raise StateError(f"{target} is there already; a backup never replaces a file: choose another name")
    connection, environment = _login(url)
    target.parent.mkdir(parents=True, exist_ok=True)
    quoted = '"' + schema.replace('"', '""') + '"'
    with part_of(target) as part:
        _run(
            "pg_dump",
            *("--format=custom", "--no-owner", "--no-privileges", "--no-password", f"--schema={quoted}"),
            *(f"--exclude-table={quoted}.footprints", f"--file={part}", f"--dbname={connection}"),
            environment=environment,
            what=f"{place(url)}: no backup was made",
        )
        check(part)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        rename_new(str(part), str(target))
        flush(target.parent)


def is_dump(file: Path) -> bool:
    """Whether a file is a backup of a catalog on PostgreSQL."""
    with file.open("rb") as opened:
        return opened.read(len(_MAGIC)) == _MAGIC


def check(file: Path) -> str:
    """Look whether a file is a whole backup that this Towpath can read; returns the name of its schema."""
    if not file.is_file() or not is_dump(file):
        raise SiteError(f"{file}: expected a backup that `towpath db backup` made of a catalog on PostgreSQL")
    listed = _run("pg_restore", "--list", file, what=f"{file}: cannot be read")
    found = re.search(r"^\d+; \d+ \d+ SCHEMA - (.+) \S*$", listed, re.MULTILINE)
    rows = _run(
        "pg_restore", "--data-only", "--table=alembic_version", "--file=-", file, what=f"{file}: not whole"
    )
    revision = re.search(r"FROM stdin;\n(\w+)\n", rows)
    if found is None or revision is None:
        raise SiteError(f"{file}: there is no catalog in it; expected a backup that `towpath db backup` made")
    if revision[1] > migrations.HEAD:
        raise SiteError(
            f"{file}: schema {revision[1]} is newer than this Towpath knows ({migrations.HEAD}); upgrade towpath"
        )
    return found[1]


# ---- restore
def holds_catalog(url: str, schema: str) -> bool:
    """Whether there are tables in the schema."""
    with closing(connect(url, schema)) as connection:
        row = connection.execute(
            "SELECT 1 FROM pg_tables WHERE schemaname = %s LIMIT 1", (schema,)
        ).fetchone()
    return row is not None


def restore(
    url: str, schema: str, file: Path, *, kept: str, floor: int, ended: Sequence[int] = ()
) -> float | None:
    """Put a backup in place of the schema, in one transaction; a schema that was there is then called `kept`.

    Returns when the last event in the backup was, seconds since the epoch.

    `floor` is the token above which work goes on: it is part of the transaction, so that no token is given again
    whenever this is cut off.

    Raises
    ------
    StateError
        If the catalog that is there has other sessions than those that have `ended`: a process began meanwhile.
    SiteError
        If the backup cannot be put there; then the catalog is as it was.
    """
    within = check(file)
    connection, environment = _login(url)
    with closing(connect(url, schema)) as looking:
        known = {row[0] for row in looking.execute("SELECT nspname FROM pg_namespace").fetchall()}
        if within != schema and within in known:
            raise StateError(
                f"{file} is of the schema {within!r}, and there is one of that name; rename it while this is restored"
            )
        steps = _before(looking, schema, kept, ended, is_there=schema in known)
        after = _after(looking, within, schema, floor)
    with tempfile.TemporaryFile() as script:  # it has no name, so that no copy of the catalog is ever left
        what = f"{file}: not restored, the catalog is as it was"
        _run("pg_restore", "--no-owner", "--no-privileges", "--file=-", file, output=script, what=what)
        script.seek(0)
        _run(
            "psql",
            *("--no-psqlrc", "--quiet", "--no-password", "--single-transaction", "--set=ON_ERROR_STOP=1"),
            *(f"--dbname={connection}", *_commands(steps), "--file=-", *_commands(after)),
            environment=environment,
            input=script,
            what=what,
        )
    until = latest(url, schema)
    rebuild(url, schema)
    return until


def _commands(statements: Iterable[str]) -> list[str]:
    return [f"--command={statement}" for statement in statements]


def _before(
    connection: psycopg.Connection, schema: str, kept: str, ended: Sequence[int], *, is_there: bool
) -> list[str]:
    """Nobody writes from here on, nobody began to work there since it was looked, and what is there has its other name."""
    names = (sql.Identifier(schema), sql.Identifier(kept))
    steps = [
        sql.SQL("SET LOCAL lock_timeout TO {}").format(sql.Literal(f"{_PATIENCE}s")),
        sql.SQL("SELECT pg_advisory_xact_lock({})").format(sql.Literal(site_key(schema))),
    ]
    if is_there:
        table = sql.Identifier(schema, "sessions")
        looked = sql.SQL(_LOOK).format(
            table=table,
            name=sql.Literal(table.as_string(connection)),
            ended=sql.Literal("{" + ",".join(map(str, ended)) + "}"),
            running=sql.Literal(f"{_RUNNING} process % on %"),
        )
        steps.append(sql.SQL("DO {}").format(sql.Literal(looked.as_string(connection))))
        steps.append(sql.SQL("ALTER SCHEMA {} RENAME TO {}").format(*names))
    return [step.as_string(connection) for step in steps]


def _after(connection: psycopg.Connection, within: str, schema: str, floor: int) -> list[str]:
    """The name, the floor of tokens, and no triggers of an index that is not there yet."""
    given = sql.Identifier(within), sql.Identifier(schema)
    steps = [sql.SQL("ALTER SCHEMA {} RENAME TO {}").format(*given)] if within != schema else []
    steps += [
        sql.SQL("DROP TRIGGER IF EXISTS footprints_added ON {}").format(sql.Identifier(schema, "items")),
        sql.SQL("DROP TRIGGER IF EXISTS footprints_moved ON {}").format(sql.Identifier(schema, "items")),
        sql.SQL("DROP FUNCTION IF EXISTS {}()").format(sql.Identifier(schema, "footprints_keep")),
        sql.SQL(
            "INSERT INTO {} AS c (name, value) VALUES ('token floor', {}), "
            "('restored', extract(epoch FROM clock_timestamp())::bigint) "
            "ON CONFLICT (name) DO UPDATE SET value = greatest(c.value, excluded.value)"
        ).format(sql.Identifier(schema, "counters"), sql.Literal(floor)),
    ]
    return [step.as_string(connection) for step in steps]


def index_places(url: str, schema: str) -> None:
    """Build the index on footprints if the database can have one and the catalog has none."""
    with closing(connect(url, schema)) as connection:
        can = connection.execute(footprints.FIND_POSTGIS.encode()).fetchone()
        has = connection.execute(footprints.FIND_INDEX.encode()).fetchone()
    if can and not has:
        rebuild(url, schema)


def rebuild(url: str, schema: str) -> bool:
    """Build the index on footprints anew where the database can have one; False where it cannot."""
    with closing(connect(url, schema)) as connection:
        connection.autocommit = False
        engine = sqlalchemy.create_engine(
            "postgresql+psycopg://", creator=lambda: connection, poolclass=sqlalchemy.StaticPool
        )
        try:
            with engine.begin() as within:
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (site_key(schema),))
                return footprints.build(within)
        except psycopg.Error as error:
            raise SiteError(f"{place(url)}: the index on footprints: {told(error)}") from error


def problems(url: str, schema: str) -> list[str]:
    """Tables whose rows cannot all be read."""
    found = []
    with closing(connect(url, schema)) as connection:
        for table in metadata.sorted_tables:
            text = sql.SQL("SELECT count(*), sum(length(t::text)) FROM {} t").format(
                sql.Identifier(schema, table.name)
            )
            try:
                connection.execute(text)
            except psycopg.Error as error:
                found.append(f"{table.name}: {told(error)}")
    return found


def latest(url: str, schema: str) -> float | None:
    """When the last event of a catalog was, seconds since the epoch."""
    with closing(connect(url, schema)) as connection:
        row = connection.execute("SELECT max(time) FROM events").fetchone()
    return row[0] if row else None
