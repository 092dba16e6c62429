"""The catalog on PostgreSQL passes the suite of catalogs."""

from collections.abc import Iterator
from contextlib import closing
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

pytest.register_assert_rewrite("towpath.testing.catalog")

from towpath.adapters.catalog.connecting import connect  # noqa: E402
from towpath.adapters.catalog.postgres import PostgresCatalog, migrate  # noqa: E402
from towpath.testing.catalog import CatalogSuite  # noqa: E402
from towpath.testing.catalog.machine import CatalogMachine  # noqa: E402
from towpath.testing.postgres import Server  # noqa: E402


@pytest.fixture(scope="session")
def migrated(postgres: Server) -> str:
    """Give the URL of a database with a catalog."""
    url = postgres.database()
    migrate(url)
    return url


@pytest.fixture
def url(postgres: Server, migrated: str) -> str:
    """Give the URL of an empty catalog."""
    postgres.empty(migrated)
    return migrated


class TestPostgres(CatalogSuite):
    @pytest.fixture
    def catalog(self, url: str) -> Iterator[PostgresCatalog]:
        catalog = PostgresCatalog(url)
        yield catalog
        catalog.close()


WATCH = """
CREATE TABLE moves (number bigserial, name text, was text, now text);
CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO moves (name, was, now) VALUES (tg_table_name, old.state, new.state); RETURN NULL; END $$;
"""


class PostgresMachine(CatalogMachine):
    """The machine on PostgreSQL, with a trigger that watches every change of a state."""

    server: ClassVar[Server]
    url: ClassVar[str]

    def make(self) -> PostgresCatalog:
        self.server.empty(self.url)
        self.watch = connect(self.url, "towpath")
        self.moves()
        return PostgresCatalog(self.url)

    def moves(self) -> list[tuple[str, str, str]]:
        return self.watch.execute(
            "WITH gone AS (DELETE FROM moves RETURNING *) SELECT name, was, now FROM gone ORDER BY number"
        ).fetchall()

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "watch"):
            self.watch.close()


@pytest.fixture
def machine(postgres: Server) -> type[PostgresMachine]:
    PostgresMachine.server, PostgresMachine.url = postgres, postgres.database()
    migrate(PostgresMachine.url)
    with closing(connect(PostgresMachine.url, "towpath")) as connection:
        connection.execute(WATCH)
        for name in ("work", "products", "publications"):
            connection.execute(
                f"CREATE TRIGGER watch_{name} AFTER UPDATE OF state ON {name} FOR EACH ROW "
                "WHEN (old.state <> new.state) EXECUTE FUNCTION watch()"
            )
    return PostgresMachine


def test_the_rules_hold_whatever_happens(machine: type[PostgresMachine]) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=3, stateful_step_count=30))


@pytest.mark.slow
def test_the_rules_hold_whatever_happens_for_long(machine: type[PostgresMachine]) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=25, stateful_step_count=50))
