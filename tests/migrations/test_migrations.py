"""A catalog of every revision that was ever out is brought to the newest one, and used."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import dump
import filling
import psycopg
import pytest
import sqlalchemy
from alembic import command
from alembic.script import ScriptDirectory

from towpath.adapters.catalog import migrations
from towpath.adapters.catalog import postgres as catalogs
from towpath.adapters.catalog.sqlite import SqliteCatalog, migrate
from towpath.base.errors import SiteError
from towpath.testing.postgres import Server

REVISIONS = sorted(one.revision for one in ScriptDirectory.from_config(migrations.config()).walk_revisions())
FIRST = {"sqlite": "0001", "postgresql": "0002"}  # the first revision that a site of this dialect could have
pytestmark = pytest.mark.usefixtures("real_migrations")


def dumped(dialect: str) -> list[str]:
    return sorted(file.name.partition(".")[0] for file in dump.DUMPS.glob(f"*.{dialect}.sql"))


@pytest.mark.parametrize("dialect", FIRST)
def test_every_revision_has_a_dump(dialect: str) -> None:
    missing = [one for one in REVISIONS if one >= FIRST[dialect] and one not in dumped(dialect)]
    assert missing == [], f"make it at this revision: {dump.COMMAND}"


def restored(revision: str, file: Path) -> Path:
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript((dump.DUMPS / f"{revision}.sqlite.sql").read_text(encoding="utf-8"))
    return file


def schema(file: Path) -> dict[str, object]:
    with closing(sqlite3.connect(file)) as connection:
        names = connection.execute(
            "SELECT name, type FROM sqlite_master WHERE name NOT LIKE 'sqlite%'"
        ).fetchall()
        return {
            name: sorted(row[1:] for row in connection.execute(f'PRAGMA table_info("{name}")'))
            if kind == "table"
            else kind
            for name, kind in names
        }


@pytest.mark.parametrize("revision", dumped("sqlite"))
def test_a_dump_is_upgraded_and_used_on_sqlite(revision: str, tmp_path: Path) -> None:
    file = restored(revision, tmp_path / "catalog.sqlite")
    assert migrate(file) == revision
    migrate(tmp_path / "fresh.sqlite")
    assert schema(file) == schema(tmp_path / "fresh.sqlite")
    with closing(SqliteCatalog(file)) as catalog:
        filling.use(catalog)
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


# ---- PostgreSQL


def loaded(server: Server, revision: str, *extensions: str) -> str:
    """The URL of a new database with the dump of a revision."""
    url = server.database()
    text = (dump.DUMPS / f"{revision}.postgresql.sql").read_text(encoding="utf-8")
    for statement in [
        "CREATE EXTENSION btree_gist",
        *(f"CREATE EXTENSION {name}" for name in extensions),
        text,
    ]:
        with closing(psycopg.connect(url, autocommit=True)) as connection:
            connection.execute(statement.encode())
    return url


def tables(url: str) -> dict[str, list[str]]:
    """Columns, constraints, indexes and triggers of the catalog."""
    statements = {
        "columns": "SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name "
        "FROM information_schema.columns WHERE table_schema = 'towpath'",
        "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE connamespace = 'towpath'::regnamespace",
        "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'towpath'",
        "triggers": "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    }
    with closing(psycopg.connect(url)) as connection:
        return {
            name: sorted(map(str, connection.execute(text.encode()).fetchall()))
            for name, text in statements.items()
        }


@pytest.mark.parametrize("revision", dumped("postgresql"))
def test_a_dump_is_upgraded_and_used_on_postgresql(revision: str, postgres: Server) -> None:
    url = loaded(postgres, revision)
    assert catalogs.migrate(url) == revision
    fresh = postgres.database()
    catalogs.migrate(fresh)
    assert tables(url) == tables(fresh)
    with closing(catalogs.PostgresCatalog(url)) as catalog:
        filling.use(catalog)
    assert catalogs.migrate(url) == migrations.HEAD


@pytest.mark.parametrize("revision", dumped("postgresql")[:1])
def test_a_dump_gets_geometry_where_there_is_postgis(revision: str, postgis: Server) -> None:
    url = loaded(postgis, revision, "postgis")
    catalogs.migrate(url)
    with closing(catalogs.PostgresCatalog(url)) as catalog:
        filling.use(catalog)
    with closing(psycopg.connect(url)) as connection:
        found = connection.execute(
            "SELECT count(*), sum(ST_NumGeometries(shape)) FROM towpath.footprints"
        ).fetchone()
    assert found == (3, 4)


def test_two_processes_upgrade_a_dump_at_once(postgres: Server, tmp_path: Path) -> None:
    """On both, and one after the other finds it done."""
    url = loaded(postgres, dumped("postgresql")[0])
    file = restored("0001", tmp_path / "catalog.sqlite")
    code = (
        "import sys; from pathlib import Path; from towpath.adapters.catalog import postgres, sqlite\n"
        "import alembic.command, sqlalchemy; print('up', flush=True); sys.stdin.readline()\n"
        "postgres.migrate(sys.argv[1]); sqlite.migrate(Path(sys.argv[2]))"
    )
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code, url, str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        worker.communicate(timeout=120)
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    with closing(catalogs.PostgresCatalog(url)) as one, closing(SqliteCatalog(file)) as other:
        filling.use(one)
        filling.use(other)


def test_a_newer_schema_is_refused(postgres: Server, tmp_path: Path) -> None:
    url, file = postgres.database(), tmp_path / "catalog.sqlite"
    catalogs.migrate(url)
    migrate(file)
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        connection.execute("UPDATE towpath.alembic_version SET version_num = '9999'")
    with closing(sqlite3.connect(file)) as local, local:
        local.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SiteError, match="schema 9999 is newer than this Towpath knows"):
        catalogs.migrate(url)
    with pytest.raises(SiteError, match="schema 9999 is newer than this Towpath knows"):
        migrate(file)


def test_a_dump_leaves_no_table_empty() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript((dump.DUMPS / f"{migrations.HEAD}.sqlite.sql").read_text(encoding="utf-8"))
        names = [
            row[0]
            for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if not row[0].startswith(("footprints_", "feature_places_"))
        ]
        empty = [
            name for name in names if not connection.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone()
        ]
    assert empty == [], "tests/migrations/filling.py is to put something in every table"


@pytest.mark.parametrize("revision", REVISIONS)
def test_going_back_is_refused_with_a_reason(revision: str, tmp_path: Path) -> None:
    file = tmp_path / "catalog.sqlite"
    migrate(file)
    before = schema(file)
    engine = sqlalchemy.create_engine(f"sqlite:///{file}")
    with (
        engine.connect() as connection,
        pytest.raises(SiteError, match=r"would lose rows.*towpath db restore"),
    ):
        settings = migrations.config(connection)
        with connection.begin():
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = ?", (revision,))
            command.downgrade(settings, "-1")
    engine.dispose()
    assert schema(file) == before
