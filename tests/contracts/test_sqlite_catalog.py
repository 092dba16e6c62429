"""The catalog on SQLite passes the suite of catalogs, and keeps what only SQLite promises."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("towpath.testing.catalog", "towpath.testing.plans")

from towpath.adapters.catalog.sqlite import SqliteCatalog, migrate  # noqa: E402
from towpath.testing.catalog import CatalogSuite  # noqa: E402


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
