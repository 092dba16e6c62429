"""The catalog on SQLite passes the suite of catalogs, and keeps what only SQLite promises."""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

pytest.register_assert_rewrite("towpath.testing.catalog", "towpath.testing.plans")

from towpath.adapters.catalog.sqlite import SqliteCatalog, migrate  # noqa: E402
from towpath.testing.catalog import CatalogSuite  # noqa: E402
from towpath.testing.catalog.machine import CatalogMachine  # noqa: E402


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an empty catalog's file to copy."""
    file = tmp_path_factory.mktemp("migrated") / "catalog.db"
    migrate(file)
    return file


@pytest.fixture
def path(tmp_path: Path, migrated: Path) -> Path:
    return Path(shutil.copy(migrated, tmp_path / "catalog.db"))


class TestSqlite(CatalogSuite):
    @pytest.fixture
    def catalog(self, path: Path) -> Iterator[SqliteCatalog]:
        catalog = SqliteCatalog(path)
        yield catalog
        catalog.close()


WATCHED = ("work", "products", "publications")


class SqliteMachine(CatalogMachine):
    """The machine on SQLite, with a trigger that watches every change of a state."""

    migrated: ClassVar[Path]

    def make(self) -> SqliteCatalog:
        self.folder = TemporaryDirectory()
        path = Path(shutil.copy(self.migrated, Path(self.folder.name) / "catalog.db"))
        self.watch = sqlite3.connect(path, isolation_level=None, timeout=60)
        self.watch.execute("CREATE TABLE moves (name TEXT, was TEXT, now TEXT)")
        for name in WATCHED:
            self.watch.execute(
                f"CREATE TRIGGER watch_{name} AFTER UPDATE OF state ON {name} WHEN old.state <> new.state "
                f"BEGIN INSERT INTO moves VALUES ('{name}', old.state, new.state); END"
            )
        return SqliteCatalog(path)

    def moves(self) -> list[tuple[str, str, str]]:
        rows = self.watch.execute("SELECT name, was, now FROM moves ORDER BY rowid").fetchall()
        if rows:
            self.watch.execute("DELETE FROM moves")
        return rows

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "watch"):
            self.watch.close()
            self.folder.cleanup()


def test_the_rules_hold_whatever_happens(migrated: Path) -> None:
    SqliteMachine.migrated = migrated
    run_state_machine_as_test(SqliteMachine, settings=settings(max_examples=6, stateful_step_count=30))


@pytest.mark.slow
def test_the_rules_hold_whatever_happens_for_long(migrated: Path) -> None:
    SqliteMachine.migrated = migrated
    run_state_machine_as_test(SqliteMachine, settings=settings(max_examples=150, stateful_step_count=50))
