"""What only PostgreSQL promises: a server that goes away is waited for, a commit counts once, and nothing is told in clear."""

import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest

from towpath.adapters.catalog import migrations
from towpath.adapters.catalog.bulk import bulk
from towpath.adapters.catalog.connecting import address, connect, translate
from towpath.adapters.catalog.postgres import PostgresCatalog, migrate
from towpath.base.errors import SiteError
from towpath.base.model import Product
from towpath.base.states import Outcome
from towpath.testing.plans import Bench, calibration, kind_of_every_input, kind_plan, sha
from towpath.testing.postgres import Server

CHAIN = kind_plan("item", {"a": (), "b": ("a",)})


@pytest.fixture
def url(postgres: Server, migrated_template: str) -> Iterator[str]:
    url = postgres.database(template=migrated_template)
    yield url
    postgres.drop(url)


@pytest.fixture
def catalog(url: str) -> Iterator[PostgresCatalog]:
    with closing(PostgresCatalog(url)) as catalog:
        yield catalog


# ---- a server that goes away


def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 60.0
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def own() -> Iterator[Server]:
    """Give a server that may be stopped."""
    with Server(durable=True) as server:
        yield server


@pytest.mark.parametrize("at_once", [False, True])
def test_a_server_that_is_away_is_waited_for(
    own: Server, at_once: bool, caplog: pytest.LogCaptureFixture
) -> None:
    url = own.database()
    migrate(url)
    with closing(PostgresCatalog(url)) as catalog:
        bench = Bench(catalog, CHAIN)
        bench.add("before")
        watch = catalog.watch()
        own.stop(at_once=at_once)
        found: list[Any] = []

        def said(text: str) -> int:
            return sum(text in record.getMessage() for record in list(caplog.records))

        threads = [
            threading.Thread(target=lambda: found.append(bench.add("after"))),
            threading.Thread(target=lambda: found.append(bench.state("a", 1))),
        ]
        with caplog.at_level(logging.WARNING, "towpath"):
            for thread in threads:
                thread.start()
            try:
                until(lambda: not watch.wait(0.1))  # what was told before the server went may still be heard
                until(lambda: said("is away, trying for 120 s") == 2)
                time.sleep(1.0)
                assert found == []
            finally:
                own.start()
                for thread in threads:
                    thread.join(60.0)
        assert len(found) == 2
        assert said("is away, trying for 120 s") == said("is back after") == 2
        assert watch.wait(1.0)  # it listens again
        assert bench.end("a").ended == {Outcome.DONE: 2}


def test_a_read_that_is_cut_off_goes_on(own: Server) -> None:
    url = own.database()
    migrate(url)
    with closing(PostgresCatalog(url)) as catalog:
        Bench(catalog, CHAIN).add("i")
        with catalog.read() as view:
            assert view.sizes()["items"] == 1
            own.stop()
            own.start()
            assert [item.key for item in view.items()] == ["i"]


def test_patience_has_an_end_and_the_error_says_what_to_do(own: Server) -> None:
    url = own.database()
    migrate(url)
    with closing(PostgresCatalog(url, patience=0.3)) as catalog:
        own.stop()
        for attempt in (lambda: catalog.write(lambda tx: None), lambda: catalog.read().__enter__()):
            with pytest.raises(
                SiteError, match=r"has been away for \d+ s: .*see to the server and start again"
            ):
                attempt()
    with pytest.raises(SiteError, match="the catalog cannot be opened: connection"):
        PostgresCatalog(url)
    with pytest.raises(SiteError, match="the catalog cannot be opened: connection"):
        migrate(url)


# ---- a commit whose answer does not come


class Wire:
    """Stands between a catalog and its server, and can cut a commit off: before it arrives, or before its answer does."""

    def __init__(self, server: Server) -> None:
        self.folder = TemporaryDirectory()
        self.target = str(server.folder / ".s.PGSQL.5432")
        self.cut: str = ""
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(Path(self.folder.name) / ".s.PGSQL.5432"))
        self.socket.listen()
        self.open: list[socket.socket] = []
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def url(self, url: str) -> str:
        return url.partition("?")[0] + f"?host={self.folder.name}"

    def accept(self) -> None:
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self.target)
            self.open += [client, server]
            for source, sink, judge in ((client, server, self.asked), (server, client, self.answered)):
                threading.Thread(target=self.carry, args=(source, sink, judge), daemon=True).start()

    def carry(self, source: socket.socket, sink: socket.socket, judge: Callable[[bytes], bool]) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if not judge(data):
                    break
                sink.sendall(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def asked(self, data: bytes) -> bool:
        if b"COMMIT\0" in data and self.cut == "before":
            self.cut = ""
            return False
        return True

    def answered(self, data: bytes) -> bool:
        if b"COMMIT\0" in data and self.cut == "after":
            self.cut = ""
            return False
        return True

    def close(self) -> None:
        self.socket.close()
        for one in self.open:
            one.close()
        self.folder.cleanup()


@pytest.fixture
def wire(postgres: Server) -> Iterator[Wire]:
    with closing(Wire(postgres)) as wire:
        yield wire


@pytest.mark.parametrize(("where", "times"), [("before", 2), ("after", 1)])
def test_a_commit_that_was_not_heard_of_counts_once(wire: Wire, url: str, where: str, times: int) -> None:
    with closing(PostgresCatalog(wire.url(url))) as catalog:
        bench = Bench(catalog, CHAIN)
        bench.add("i", "j")
        ran: list[int] = []

        def work(tx: Any) -> int:
            ran.append(1)
            tx.event("told")
            return 5

        before = len(events(catalog))
        wire.cut = where
        assert catalog.write(work) == 5
        assert (len(ran), len(events(catalog))) == (times, before + 1)
        wire.cut = where  # each kind of transaction is what it was: claimed once, completed once
        claims = bench.claim("a")
        assert [(claimed.token, claimed.deaths) for claimed in claims] == [(1, 1), (1, 1)]
        wire.cut = where
        assert bench.finish(claims, "a").ended == {Outcome.DONE: 2}
        assert bench.claim("a") == []


def events(catalog: PostgresCatalog) -> list[Any]:
    with catalog.read() as view:
        return view.events()


# ---- transactions that meet


def test_transactions_that_lock_crosswise_are_run_again(url: str) -> None:
    barrier = threading.Barrier(2, timeout=30)
    runs: list[int] = []

    def lock(tx: Any, first: int, second: int) -> None:
        runs.append(first)
        statement = "SELECT id FROM items WHERE id = ? FOR UPDATE"
        tx.one(statement, (first,))
        if len(runs) <= 2:
            barrier.wait()
        tx.one(statement, (second,))

    with closing(PostgresCatalog(url)) as one, closing(PostgresCatalog(url)) as other:
        bench = Bench(one, CHAIN)
        first, second = bench.add("i", "j")
        threads = [
            threading.Thread(target=lambda: one.write(lambda tx: lock(tx, first, second), concurrent=True)),
            threading.Thread(target=lambda: other.write(lambda tx: lock(tx, second, first), concurrent=True)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60.0)
        assert not any(thread.is_alive() for thread in threads)
        assert len(runs) >= 3  # the server ends one of the two, at times both


def test_what_only_one_may_do_is_begun_anew_alone(catalog: PostgresCatalog) -> None:
    bench = Bench(catalog, CHAIN)
    (item,) = bench.add("i")
    bench.end("a")
    alone: list[bool] = []

    def revise(tx: Any) -> int:
        alone.append(tx.is_alone)
        return tx.revise([bench.row("a", item).id], "a test")

    assert catalog.write(revise, concurrent=True) == 2
    assert alone == [False, True]


def test_a_failed_statement_that_is_let_pass_is_no_commit(catalog: PostgresCatalog) -> None:
    def work(tx: Any) -> None:
        with suppress(psycopg.Error):
            tx.one("SELECT nothing FROM nowhere")

    with pytest.raises(SiteError, match="did not take a transaction"):
        catalog.write(work)
    catalog.write(lambda tx: tx.event("told"))


# ---- what it holds


def test_what_a_text_cannot_hold_loses_no_report(catalog: PostgresCatalog) -> None:
    bench = Bench(catalog, CHAIN)
    (item,) = bench.add("i")
    bench.end("a", Outcome.FAILED, error="nul \0 within")
    assert bench.row("a", item).note == "nul \N{SYMBOL FOR NULL} within"
    with catalog.read() as view:
        assert view.runs(item)[0].error == bench.row("a", item).note


def test_the_database_itself_refuses_calibrations_that_overlap(url: str, catalog: PostgresCatalog) -> None:
    bench = Bench(catalog, kind_plan("item", {"a": ()}, inputs={"a": [calibration()]}))
    bench.add("i")
    row = (
        "INSERT INTO calibrations (product_id, kind, selector, begins, ends, quality, state, author, why, certified) "
        "VALUES (1, 'bias', 'red', {}, 1, 'certified', '', '', 0)"
    )
    with closing(connect(url, "towpath")) as connection:
        connection.execute(row.format("0, 10"))
        connection.execute(row.format("10, 20"))
        with pytest.raises(psycopg.errors.ExclusionViolation):
            connection.execute(row.format("'-infinity', 1e-9"))
        connection.execute("UPDATE calibrations SET state = 'decertified' WHERE begins = 0")
        connection.execute(row.format("'-infinity', 10"))


def test_without_the_extension_it_says_so(postgres: Server, caplog: pytest.LogCaptureFixture) -> None:
    postgres.execute(
        "DO $$ BEGIN CREATE ROLE modest LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    )
    url = postgres.database(name="modest")
    postgres.execute('CREATE SCHEMA "s" AUTHORIZATION modest', "modest")
    with caplog.at_level(logging.WARNING):
        assert migrate(postgres.url("modest", "modest"), schema="s") == ""
    assert "btree_gist cannot be had (permission denied" in caplog.text
    with closing(PostgresCatalog(postgres.url("modest", "modest"), schema="s")) as catalog:
        assert Bench(catalog, CHAIN).add("i") == [1]
    with pytest.raises(SiteError, match="permission denied for database"):
        migrate(postgres.url("modest", "modest"), schema="another")
    postgres.drop(url)


def test_two_sites_in_one_database_do_not_see_each_other(url: str, catalog: PostgresCatalog) -> None:
    assert migrate(url, schema="Other site") == ""
    with closing(PostgresCatalog(url, schema="Other site")) as other:
        Bench(other, CHAIN).add("i")
        Bench(catalog, CHAIN).add("j")
        for one, key in ((other, "i"), (catalog, "j")):
            with one.read() as view:
                assert [item.key for item in view.items()] == [key]
    assert migrate(url, schema="Other site") == migrations.HEAD


def test_order_is_that_of_bytes_whatever_the_locale(url: str) -> None:
    with closing(connect(url, "towpath")) as connection:
        rows = connection.execute(
            "SELECT count(*), min(collation_name), max(collation_name) FROM information_schema.columns "
            "WHERE table_schema = 'towpath' AND data_type = 'text' AND table_name <> 'alembic_version'"
        ).fetchone()
    assert rows is not None
    assert rows[0] > 50
    assert rows[1:] == ("C", "C")


def test_a_newer_catalog_is_refused(url: str) -> None:
    with closing(connect(url, "towpath")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SiteError, match=r"schema 9999 is newer than this Towpath knows .*; upgrade towpath"):
        migrate(url)


def test_another_encoding_is_refused(postgres: Server) -> None:
    postgres.execute("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    with pytest.raises(SiteError, match="has the encoding LATIN1; make one with CREATE DATABASE latin"):
        migrate(postgres.url("latin"))
    postgres.drop(postgres.url("latin"))


# ---- secrets


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:sesame@127.0.0.1:1/db",
        "postgresql://ann@127.0.0.1:1/db?password=sesame",
        "postgresql://ann:sesame/x@127.0.0.1:1/db",
        "postgresql://ann:ses ame sesame@127.0.0.1:1/db",
        "postgresql://ann@127.0.0.1:sesame/db",
        "postgresql://ann:sesame%@127.0.0.1/db",
    ],
)
def test_a_password_is_in_no_error(url: str) -> None:
    with pytest.raises(SiteError) as caught:
        PostgresCatalog(url)
    assert "sesame" not in str(caught.value)


def test_it_is_known_without_its_password(url: str) -> None:
    with closing(PostgresCatalog(url.replace("towpath@", "towpath:sesame@"))) as catalog:
        assert catalog.url == url


# ---- statements


@pytest.mark.parametrize(
    ("ours", "theirs", "sizes"),
    [
        ("SELECT 1 WHERE a = ? AND b < ?", "SELECT 1 WHERE a = $1 AND b < $2", ()),
        ("a = ? AND b IN (?, ?, ?) AND c = ?", "a = $1 AND b = ANY($2) AND c = $3", (-1, 3, -1)),
        ("a NOT IN (?) OR b IN ()", "a <> ALL($1) OR b = ANY($2)", (1, 0)),
        ("a IN ('x', 'y') AND b LIKE ? ESCAPE '!'", "a IN ('x', 'y') AND b ILIKE $1 ESCAPE '!'", ()),
    ],
)
def test_statements_are_translated(ours: str, theirs: str, sizes: tuple[int, ...]) -> None:
    assert translate(ours) == (theirs, sizes)


def test_what_libpq_is_told(url: str) -> None:
    told = psycopg.conninfo.conninfo_to_dict(address(url + "&connect_timeout=3"))
    assert (told["connect_timeout"], told["client_encoding"], told["application_name"]) == (
        "3",
        "utf8",
        "towpath",
    )


# ---- plans


@pytest.fixture
def told() -> Iterator[Server]:
    """Give a server that logs the plan of every statement."""
    settings = (
        "session_preload_libraries=auto_explain",
        "auto_explain.log_min_duration=0",
        "log_line_prefix=",
    )
    with Server(*settings) as server:
        yield server


def test_the_hot_path_uses_indexes(told: Server) -> None:
    """No claim, look, recomputation or search for inputs reads a whole large table."""
    kind = kind_of_every_input()
    url = told.database()
    migrate(url)
    with closing(PostgresCatalog(url)) as catalog:
        bench = Bench(catalog, kind)
        items = bench.add(*(f"i{number}" for number in range(3000)))
        raw = [
            Product(item, "", "file", "", "raw/file", "store", f"in/{item}", 4, 1, sha("x")) for item in items
        ]
        catalog.write(lambda tx: tx.add_raw(raw))
        with closing(connect(url, "towpath")) as connection:
            connection.execute("ANALYZE")
        begin = len(told.log)
        for stage in "abc":
            claims = bench.claim(stage, 20)
            assert len(claims) == 20
            bench.finish(claims[1:], stage)
            bench.finish(claims[:1], stage)
            with catalog.read() as view:
                view.claimable([("t", "item", name) for name in "abc"], only=items[:5])
                view.next_due([("t", "item", name) for name in "abc"])
                view.work(items[:20])
                view.products(items[:20])
                view.events(100, item=items[0])
            catalog.write(lambda tx: tx.recompute(bench.kind(), items[:20]))
            catalog.write(lambda tx, n=claims[0].work: tx.revise([n], "look"))  # type: ignore[misc]
            bench.end(stage)
    plans = told.log[begin:]
    assert "work_claim" in plans
    large = "work|items|products|runs|run_inputs|events|verdicts|flags|members"
    assert re.findall(rf"Seq Scan on (?:{large})\b.*", plans) == []


# ---- many rows at once


@pytest.mark.parametrize(
    ("statement", "rows", "said", "arrays"),
    [
        (
            "INSERT INTO t (a, b, c) VALUES (?, 'x', ?) ON CONFLICT DO NOTHING",
            [(1, 'a "b" \\c'), (2, None)],
            "INSERT INTO t (a, b, c) SELECT u.c1, 'x', u.c2 FROM unnest($1::bigint[], $2::text[]) AS u(c1, c2) "
            "ON CONFLICT DO NOTHING",
            ["{1,2}", '{"a \\"b\\" \\\\c",NULL}'],
        ),
        (
            "UPDATE t SET a = ?, b = coalesce(?, b) WHERE id = ? AND state = 'x'",
            [(0.5, None, 1), (2, None, 3)],
            "UPDATE t SET a = u.c1, b = coalesce(NULL, b) FROM unnest($1::float8[], $2::bigint[]) AS u(c1, c3) "
            "WHERE id = u.c3 AND state = 'x'",
            ["{0.5,2}", "{1,3}"],
        ),
        (
            "DELETE FROM t WHERE a = ? AND b = ?",
            [(b"\x00\xff", True), (b"", False)],
            "DELETE FROM t USING unnest($1::bytea[], $2::boolean[]) AS u(c1, c2) WHERE a = u.c1 AND b = u.c2",
            ['{"\\\\x00ff","\\\\x"}', "{t,f}"],
        ),
    ],
)
def test_many_rows_are_said_at_once(
    statement: str, rows: list[tuple[Any, ...]], said: str, arrays: list[str]
) -> None:
    assert bulk(statement, rows) == (said, arrays)


@pytest.mark.parametrize(
    ("statement", "rows"),
    [
        ("INSERT INTO t (a) SELECT b FROM u WHERE c = ?", [(1,), (2,)]),
        ("UPDATE t SET a = ? WHERE b IN (?, ?)", [(1, 2, 3), (4, 5, 6)]),
        (
            "UPDATE t SET a = (SELECT b FROM u WHERE c = ?) WHERE d = (SELECT e FROM u WHERE f = ?)",
            [(1, 2)] * 2,
        ),
        ("DELETE FROM t WHERE a = ?", [(1,), ("b",)]),
        ("DELETE FROM t WHERE a = ?", [(None,), (None,)]),
    ],
)
def test_what_has_another_form_is_run_row_by_row(statement: str, rows: list[tuple[Any, ...]]) -> None:
    assert bulk(statement, rows) is None
