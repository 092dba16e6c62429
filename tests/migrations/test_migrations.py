"""A catalog of every revision that was ever out is brought to the newest one, and used."""

import sqlite3
from contextlib import closing
from pathlib import Path

import dump
import filling
import pytest
import sqlalchemy
from alembic import command
from alembic.script import ScriptDirectory

from towpath.adapters.catalog import migrations
from towpath.adapters.catalog.sqlite import SqliteCatalog, migrate
from towpath.base.errors import SiteError

REVISIONS = sorted(one.revision for one in ScriptDirectory.from_config(migrations.config()).walk_revisions())
FIRST = {"sqlite": "0001"}  # the first revision that a site of this dialect could have


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


def test_a_dump_leaves_no_table_empty() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript((dump.DUMPS / f"{migrations.HEAD}.sqlite.sql").read_text(encoding="utf-8"))
        names = [
            row[0]
            for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if not row[0].startswith("footprints_")
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
