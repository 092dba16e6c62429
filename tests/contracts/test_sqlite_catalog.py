"""The catalog on SQLite passes the suite of catalogs, and keeps what only SQLite promises."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("towpath.testing.catalog", "towpath.testing.plans")

from towpath.adapters.catalog.sqlite import SqliteCatalog, migrate  # noqa: E402
from towpath.testing.catalog import CatalogSuite  # noqa: E402


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "catalog.db"
    migrate(file)
    return file


class TestSqlite(CatalogSuite):
    @pytest.fixture
    def catalog(self, path: Path) -> Iterator[SqliteCatalog]:
        catalog = SqliteCatalog(path)
        yield catalog
        catalog.close()
