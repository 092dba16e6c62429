"""The catalog on PostgreSQL passes the suite of catalogs."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any, ClassVar

import psycopg
import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from towpath.adapters.catalog import footprints
from towpath.adapters.catalog.connecting import connect
from towpath.adapters.catalog.postgres import PostgresCatalog, migrate
from towpath.base.spacetime import Box
from towpath.testing.catalog import CatalogSuite
from towpath.testing.catalog.features import table
from towpath.testing.catalog.machine import CatalogMachine
from towpath.testing.catalog.places import CHAIN, PlaceSuite
from towpath.testing.plans import PIPELINE, Bench
from towpath.testing.postgres import Server


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


@pytest.fixture(scope="module")
def geometric(postgis: Server) -> str:
    """Give the URL of a database with PostGIS and a catalog."""
    url = postgis.database()
    for statement in ("CREATE SCHEMA gis", "CREATE EXTENSION postgis SCHEMA gis"):
        with closing(connect(url, "gis")) as connection:
            connection.execute(statement.encode())
    migrate(url)
    return url


class TestPlacesByPostgis(PlaceSuite):
    """The same answers by geometry, in a database that has the extension."""

    @pytest.fixture
    def catalog(self, postgis: Server, geometric: str) -> Iterator[PostgresCatalog]:
        postgis.empty(geometric)
        catalog = PostgresCatalog(geometric)
        yield catalog
        catalog.close()

    def test_the_index_is_used(self, catalog: PostgresCatalog) -> None:
        """Few of many items are found by it."""
        b = Bench(catalog, CHAIN)
        self._put(b, [Box(n / 100, 0, n / 100, 1) for n in range(5000)])
        with catalog.read() as view:
            assert len(view.items(box=Box(10, 0, 10.02, 1))) == 3
        with closing(connect(catalog._address, "towpath")) as connection:
            connection.execute("ANALYZE footprints; ANALYZE items")
            near, bounds = footprints.in_geometry(Box(10, 0, 10.02, 1), "gis")
            meets, more = footprints.meeting(Box(10, 0, 10.02, 1))
            text = f"EXPLAIN SELECT id FROM items WHERE {near} AND {meets}".replace("?", "%s")
            rows = connection.execute(text.encode(), bounds + more).fetchall()
        assert "footprints_shape" in "\n".join(row[0] for row in rows)

    @pytest.mark.parametrize(
        "shape",
        [
            "MULTIPOLYGON EMPTY",
            "MULTIPOLYGON(((0 0, 1 1, 1 0, 0 1, 0 0)))",
            "MULTIPOLYGON(((170 0, 190 0, 190 1, 170 1, 170 0)))",
            "MULTIPOLYGON(((0 80, 1 80, 1 95, 0 95, 0 80)))",
            "POINT(1 1)",
            None,
        ],
    )
    def test_geometry_that_is_none_is_refused(self, catalog: PostgresCatalog, shape: str | None) -> None:
        b = Bench(catalog, CHAIN)
        (item,) = self._put(b, [Box(0, 0, 1, 1)])
        text = "UPDATE footprints SET shape = gis.ST_GeomFromText(%s, 4326) WHERE item_id = %s"
        with closing(connect(catalog._address, "towpath")) as connection, pytest.raises(psycopg.Error):
            connection.execute(text.encode(), (shape, item))


_MANY = """
INSERT INTO features (item_id, queue_id, work_id, token, kind, frame, name, lon, lat, x, y, z)
SELECT item_id, queue_id, work_id, token, kind, frame, name, a, d,
    cosd(d) * cosd(a), cosd(d) * sind(a), sind(d)
FROM (
    SELECT f.*, (g * 137.5077)::numeric % 360 - 180 AS a, asind(2 * (g - 0.5) / 120000 - 1) AS d
    FROM features f, generate_series(1, 120000) g
) AS spread;
ANALYZE features
"""


def test_features_are_found_by_index(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By that on points, whatever else is asked for and however short the page, of many all over the sphere."""
    with closing(PostgresCatalog(url)) as catalog:
        (item,) = (b := Bench(catalog, CHAIN)).add("one")
        b.end("a", features=table([(1.0, 2.0)]))
        with closing(connect(url, "towpath")) as connection:
            connection.execute(_MANY.encode())

        def plan(**query: Any) -> str:
            asked: list[Any] = []
            with catalog.read() as view:
                rows = view.rows  # type: ignore[attr-defined]  # of every catalog in SQL
                monkeypatch.setattr(view, "rows", lambda *given: asked.append(given) or rows(*given))
                view.features(**query)
                statement, values = asked[-1]
                return "\n".join(row[0] for row in rows(f"EXPLAIN {statement}", values))

        for near in ((10.0, 10.0), (180.0, 0.0), (0.0, 90.0)):
            for more in ({}, {"kind": "source"}, {"item": item, "pipeline": PIPELINE, "frame": "icrs"}):
                for limit in (1, 100):
                    told = plan(near=near, radius=0.1, limit=limit, **more)
                    assert "Index Scan on features_place" in told, told
                    assert told.count(" Scan ") == 1 + told.count("Index Scan on features_place")
        assert "features_item" in plan(item=item + 1)
        assert "features_kind" in plan(kind="other")


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
    run_state_machine_as_test(machine, settings=settings(max_examples=10, stateful_step_count=50))
