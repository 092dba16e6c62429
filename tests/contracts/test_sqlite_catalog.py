"""The catalog on SQLite passes the suite of catalogs, and keeps what only SQLite promises."""

import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import psutil
import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from towpath.adapters.catalog import footprints, migrations, sqlite
from towpath.adapters.catalog.schema import metadata
from towpath.adapters.catalog.sqlite import SqliteCatalog, migrate
from towpath.adapters.catalog.standing import TABLES
from towpath.base import states
from towpath.base.errors import SiteError, StateError
from towpath.base.model import Item, Product
from towpath.base.spacetime import Box
from towpath.contracts.catalog import Transaction
from towpath.testing.catalog import CatalogSuite
from towpath.testing.catalog.machine import CatalogMachine
from towpath.testing.plans import Bench, kind_of_every_input, kind_plan, sha

CHAIN = kind_plan("item", {"a": (), "b": ("a",)})
pytestmark = pytest.mark.usefixtures("real_migrations")


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory, real_migrations: None) -> Path:
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
    run_state_machine_as_test(SqliteMachine, settings=settings(max_examples=55, stateful_step_count=50))


# ---- the file


def test_it_is_written_ahead_by_one_thread(path: Path) -> None:
    catalog = SqliteCatalog(path)
    threads = {catalog.write(lambda tx: threading.current_thread().name) for _ in range(3)}
    assert len(threads) == 1
    assert threads != {threading.current_thread().name}
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    assert (catalog.path, catalog.url) == (path, f"sqlite:///{path}")
    catalog.close()


def test_what_ended_threads_read_with_is_read_with_again(path: Path) -> None:
    """A server's threads end when there is nothing to do, and others begin: their connections must not pile up."""
    catalog = SqliteCatalog(path)
    together = threading.Barrier(20)

    def read() -> None:
        with catalog.read() as view, catalog.read() as inner:  # two views of one snapshot
            together.wait(timeout=60)
            assert view.now() <= inner.now()

    for _ in range(3):
        threads = [threading.Thread(target=read) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        opened = [one for one in psutil.Process().open_files() if one.path == str(path)]
        assert 0 < len(opened) <= 20  # SQLite keeps the descriptor of one that is closed, and takes it again
    with catalog.read() as view:
        catalog.close()
        assert view.items() == []  # who still reads is not cut off
    assert str(path) not in [one.path for one in psutil.Process().open_files()]


def test_a_read_may_end_in_another_thread_than_it_began_in(path: Path) -> None:
    """As a stream does: then the next read of the first thread is one of its own, with a snapshot of its own."""
    catalog = SqliteCatalog(path)
    reading = catalog.read()
    reading.__enter__()
    thread = threading.Thread(target=reading.__exit__, args=(None, None, None))
    thread.start()
    thread.join()
    with catalog.read() as view:
        assert view.roots() == {}
        catalog.write(lambda tx: tx.set_root("store", "/s"))
        assert view.roots() == {}
    with catalog.read() as view:
        assert set(view.roots()) == {"store"}
    catalog.close()
    with pytest.raises(SiteError, match="the catalog is closed"), catalog.read():
        pass


@pytest.mark.parametrize(("durability", "level"), [("crash", 1), ("power", 2)])
def test_durability_is_a_level_of_sync(path: Path, durability: str, level: int) -> None:
    catalog = SqliteCatalog(path, durability=durability)

    def synchronous(tx: Transaction) -> int:
        return int(tx.one("PRAGMA synchronous")[0])  # type: ignore[attr-defined]

    assert catalog.write(synchronous) == level
    catalog.flush()
    assert catalog.write(synchronous) == level
    catalog.close()


def test_a_flush_syncs_what_was_committed(path: Path, tmp_path: Path) -> None:
    """Shown by the write-ahead log growing by a commit at the full level."""
    catalog = SqliteCatalog(path)
    catalog.write(lambda tx: tx.set_root("store", "/s"))
    log = path.with_name(path.name + "-wal")
    before = log.stat().st_size
    catalog.flush()
    assert log.stat().st_size > before
    catalog.close()


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "lustre"])
def test_a_network_file_system_is_refused(path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = f"/dev/sda / ext4 rw 0 0\nserver:/x {path.parent} {kind} rw 0 0\n"
    monkeypatch.setattr(sqlite.Path, "read_text", lambda self: mounts)
    for attempt in (SqliteCatalog, migrate):
        with pytest.raises(SiteError, match=rf"network file system \({kind}\); put the site on a local disk"):
            attempt(path)
    assert sqlite.file_system(Path("/elsewhere")) == "ext4"


def test_what_the_system_does_not_tell_is_no_network(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Path) -> str:
        raise OSError("no such file")

    monkeypatch.setattr(sqlite.Path, "read_text", fail)
    assert sqlite.file_system(path) == ""


def test_a_place_with_a_space_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a b").mkdir()
    place = str(tmp_path).replace(" ", "\\040")
    monkeypatch.setattr(
        sqlite.Path, "read_text", lambda self: f"d / ext4 rw\nd {place}/a\\040b nfs rw\nd {place}/a xfs rw"
    )
    assert sqlite.file_system(tmp_path / "a b") == "nfs"
    assert sqlite.file_system(tmp_path) == "ext4"


def test_a_full_disk_is_said_and_nothing_is_half_written(migrated: Path, small_disk: Path) -> None:
    path = Path(shutil.copy(migrated, small_disk / "catalog.db"))
    catalog = SqliteCatalog(path)
    with pytest.raises(SiteError, match=r"could not be written: .*full"):
        for number in range(10_000):
            catalog.write(lambda tx, n=number: tx.event("told", text="x" * 4000, n=n))  # type: ignore[misc]
    with catalog.read() as view:
        last = view.last_event()
        assert [event.seq for event in view.events(limit=10_000)] == list(range(1, last + 1))
    catalog.close()


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    path.write_text("these are not the rows you are looking for" * 100)
    with pytest.raises(SiteError, match="must be a file that Towpath made"):
        migrate(path)


def test_a_file_that_cannot_be_opened_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="the catalog cannot be opened: unable to open"):
        SqliteCatalog(tmp_path / "nowhere" / "catalog.db")


def test_a_file_that_may_not_be_written_is_said_at_once(path: Path, unprivileged: Any) -> None:
    code = (
        "import sys; from pathlib import Path; from towpath.adapters.catalog.sqlite import SqliteCatalog; "
        "SqliteCatalog(Path(sys.argv[1]))"
    )
    path.chmod(0o444)
    path.parent.chmod(0o555)
    done = unprivileged(sys.executable, "-c", code, path, check=False, timeout=30)
    path.parent.chmod(0o755)
    assert "SiteError" in done.stderr
    assert "readonly" in done.stderr


# ---- several threads and processes


def test_threads_read_while_one_writes(path: Path) -> None:
    catalog = SqliteCatalog(path)
    b = Bench(catalog, CHAIN)
    stop, problems = threading.Event(), []

    def look() -> None:
        while not stop.is_set():
            with catalog.read() as view:
                counts = view.counts()
                if sum(counts.values()) != 2 * view.sizes()["items"]:
                    problems.append(counts)

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(40):
        b.add(f"i{number}")
        b.end("a")
    stop.set()
    for reader in readers:
        reader.join()
    assert problems == []
    catalog.close()


def test_a_read_within_a_read_sees_the_same(path: Path) -> None:
    catalog = SqliteCatalog(path)
    b = Bench(catalog, CHAIN)
    with catalog.read() as view:
        assert view.sizes()["items"] == 0
        b.add("i")
        with catalog.read() as inner:
            assert inner.sizes()["items"] == 0
        assert view.sizes()["items"] == 0
    with catalog.read() as view:
        assert view.sizes()["items"] == 1
    catalog.close()


WORKER = """
import sys
from pathlib import Path
from towpath.adapters.catalog.sqlite import SqliteCatalog
from towpath.testing.plans import Bench, kind_plan
catalog = SqliteCatalog(Path(sys.argv[1]))
bench = Bench(catalog, kind_plan("item", {"a": (), "b": ("a",)}))
print("ready", flush=True)
sys.stdin.readline()
runs = 0
while True:
    claims = [(stage, claimed) for stage in "ab" for claimed in bench.claim(stage, 5)]
    for stage, claimed in claims:
        runs += len(bench.finish([claimed], stage).done)
    with catalog.read() as view:
        if all(row.state == "done" for rows in view.work([i.id for i in view.items(limit=1000)]).values() for row in rows):
            break
print(runs, flush=True)
catalog.close()
"""


def test_two_processes_share_the_work(path: Path) -> None:
    catalog = SqliteCatalog(path)
    b = Bench(catalog, CHAIN)
    items = b.add(*(f"i{number}" for number in range(60)))
    watch = catalog.watch()
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    done = [int(worker.communicate("go\n", timeout=120)[0]) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert sum(done) == 2 * len(items)
    with catalog.read() as view:
        assert view.sizes()["runs"] == 2 * len(items)
        assert [event.seq for event in view.events(limit=10_000)] == list(range(1, view.last_event() + 1))
        assert len(view.sessions()) == 3
    assert watch.wait(5.0)
    catalog.close()


def test_a_root_moved_by_another_process_is_seen(path: Path) -> None:
    mine, other = SqliteCatalog(path), SqliteCatalog(path)
    b = Bench(mine, CHAIN)
    b.add("i")
    claims = b.claim("a")
    other.write(lambda tx: tx.set_root("store", "/moved"))
    with pytest.raises(ValueError, match="below no root"):
        b.finish(claims, "a")
    mine.close()
    other.close()


def test_the_writer_leaves_room_for_others(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_BUSY", 0.005)
    catalog = SqliteCatalog(path)
    times = [catalog.write(lambda tx: time.monotonic()) for _ in range(2000)]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert max(gaps) >= sqlite._PAUSE
    catalog.close()


# ---- sizes


def test_the_rows_of_every_table_are_counted(path: Path) -> None:
    assert sorted(TABLES) == sorted(metadata.tables)


# ---- events that were pruned


def test_a_cursor_before_the_oldest_event_is_reset(path: Path) -> None:
    catalog = SqliteCatalog(path)
    for _ in range(5):
        catalog.write(lambda tx: tx.event("told"))

    def prune(count: int) -> None:
        assert catalog.write(lambda tx: tx.prune_events(tx.now() + 1, limit=count)) == count

    prune(3)
    with catalog.read() as view:
        assert [event.seq for event in view.events()] == [4, 5]
        assert [event.seq for event in view.events(3)] == [4, 5]
        with pytest.raises(StateError, match="reset: events up to 3 were pruned"):
            view.events(2)
    prune(2)
    with catalog.read() as view:
        assert view.events(5) == []
        with pytest.raises(StateError, match="reset"):
            view.events(4)
    catalog.close()


# ---- migrations


def _plain(text: str) -> str:
    return re.sub(r"[\s\"'()]+", " ", text).strip().lower()


def _schema(path: Path) -> dict[str, str]:
    connection = sqlite3.connect(path)
    rows = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version'"
    )
    found = {name: _plain(text) for name, text in rows}
    connection.close()
    return found


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index items_span")
@pytest.mark.filterwarnings("ignore:autogenerate skipping:UserWarning")
def test_the_migrations_give_the_schema(migrated: Path, tmp_path: Path) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{migrated}")
    with engine.connect() as connection:
        found = compare_metadata(
            MigrationContext.configure(connection, opts={"include_name": migrations.is_table}), metadata
        )
        # It cannot compare an index with an expression; the texts of all indexes are compared below.
        assert [change for change in found if change[1].name not in ("work_claim", "items_span")] == []
    engine.dispose()
    made = tmp_path / "made.db"
    engine = sqlalchemy.create_engine(f"sqlite:///{made}")
    metadata.create_all(engine)
    engine.dispose()
    by_migration, by_metadata = _schema(migrated), _schema(made)
    indexes = {
        name
        for name, text in by_metadata.items()
        if text.startswith("create") and "index" in text.split()[:3]
    }
    assert {name: by_migration[name] for name in indexes} == {name: by_metadata[name] for name in indexes}
    assert set(by_migration) == set(by_metadata)
    without = {name for name, text in by_metadata.items() if "without rowid" in text}
    assert {name for name, text in by_migration.items() if "without rowid" in text} == without


def test_head_is_the_head_of_the_scripts() -> None:
    assert ScriptDirectory.from_config(migrations.config()).get_current_head() == migrations.HEAD


def test_migrating_twice_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    assert migrate(path) == ""
    before = _schema(path)
    assert migrate(path) == migrations.HEAD
    assert _schema(path) == before


def test_two_processes_migrate_at_once(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    code = "import sys; from pathlib import Path; from towpath.adapters.catalog.sqlite import *; "
    code += "print('up', flush=True); sys.stdin.readline(); migrate(Path(sys.argv[1])); SqliteCatalog(Path(sys.argv[1])).close()"
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
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
    catalog = SqliteCatalog(path)
    catalog.write(lambda tx: tx.event("told"))
    with catalog.read() as view:
        assert view.last_event() == 1
    catalog.close()


def test_a_newer_schema_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(SiteError, match=r"schema 9999 is newer than this Towpath knows .*; upgrade towpath"):
        migrate(path)


def test_a_failed_migration_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, upgrade = tmp_path / "catalog.db", migrations.upgrade

    def fail(connection: Any) -> None:
        upgrade(connection)
        raise RuntimeError("power")

    monkeypatch.setattr(migrations, "upgrade", fail)
    with pytest.raises(RuntimeError):
        migrate(path)
    assert _schema(path) == {}
    monkeypatch.undo()
    assert migrate(path) == ""


# ---- query plans


def _plans(catalog: SqliteCatalog, work: Any) -> list[str]:
    """The query plans of all statements of a transaction, each in one line."""
    found: list[str] = []

    def watch(tx: Any) -> None:
        cursor = tx.cursor

        class Watching:
            rowcount = property(lambda self: cursor.rowcount)

            def _explain(self, statement: str, values: Any) -> None:
                if statement.split()[0] in ("SELECT", "UPDATE", "DELETE"):
                    rows = cursor.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
                    found.append(f"{statement[:90]} => {'; '.join(row[3] for row in rows)}")

            def execute(self, statement: str, values: Any = ()) -> Any:
                self._explain(statement, values)
                return cursor.execute(statement, values)

            def executemany(self, statement: str, rows: Any) -> Any:
                rows = list(rows)
                if rows:
                    self._explain(statement, rows[0])
                return cursor.executemany(statement, rows)

            def __getattr__(self, name: str) -> Any:
                return getattr(cursor, name)

        tx.cursor = Watching()
        work(tx)

    catalog.write(watch)
    return found


def test_the_hot_path_uses_indexes(path: Path) -> None:
    """No claim, look, recomputation or search for inputs reads a whole large table."""
    kind = kind_of_every_input()
    catalog = SqliteCatalog(path)
    b = Bench(catalog, kind)
    items = b.add(*(f"i{number}" for number in range(3000)))
    raw = [Product(item, "", "file", "", "raw/file", "store", f"in/{item}", 4, 1, sha("x")) for item in items]
    catalog.write(lambda tx: tx.add_raw(raw))
    catalog.write(lambda tx: tx.cursor.execute("ANALYZE"))  # type: ignore[attr-defined]
    catalog.close()
    catalog = SqliteCatalog(path)
    b = Bench(catalog, kind)
    for stage in "abc":
        work = b.kind().stages[stage]
        claims: list[Any] = []
        plans = _plans(
            catalog, lambda tx, s=work, c=claims: c.extend(tx.claim(b.kind(), s, 20, lease=60, owner=1))
        )
        pairs = [(claimed, b.report(claimed)) for claimed in claims]
        plans += _plans(catalog, lambda tx, s=work, p=pairs: tx.complete(b.kind(), s, p))
        plans += _plans(catalog, lambda tx: tx.claimable([("t", "item", s) for s in "abc"]))
        plans += _plans(catalog, lambda tx: tx.next_due([("t", "item", s) for s in "abc"]))
        plans += _plans(catalog, lambda tx: tx.recompute(b.kind(), items[:20]))
        plans += _plans(catalog, lambda tx, n=claims[0].work: tx.revise([n], "look"))
        large = "work|items|products|runs|run_inputs|events|verdicts|flags|members|w|b|i|p|r|v|m"
        scans = [plan for plan in plans if re.search(rf"SCAN ({large})(;|$)", plan)]
        assert scans == []
        assert any("work_claim" in plan for plan in plans)
    catalog.close()


def test_what_is_asked_of_the_whole_site_is_found_by_index(path: Path) -> None:
    """Rows that are none of the answer are not looked at."""
    catalog = SqliteCatalog(path)
    b = Bench(catalog, CHAIN)
    b.add("i", "j")
    b.end("a")
    kinds = states.Product
    asked: list[tuple[str, Callable[[Any], object]]] = [
        ("work_at_rest", lambda tx: tx.items(state=states.Work.FAILED)),
        ("work_claim", lambda tx: tx.items(state=states.Work.RUNNING, kind="item")),
        ("work_at_rest", lambda tx: tx.counts()),
        ("work_at_rest", lambda tx: tx.open_work()),
        ("work_at_rest", lambda tx: tx.stale(b.kind().stages["a"])),
        ("publications_state", lambda tx: tx.publication_counts()),
        ("products_bad", lambda tx: tx.products(states=(kinds.MISSING, kinds.CHANGED))),
        ("products_look", lambda tx: tx.let_go_of(tx.now(), limit=200)),
        ("products_shed", lambda tx: tx.leave_trash(-1.0, limit=200, shed_before=tx.now())),
    ]
    for index, ask in asked:
        plans = _plans(catalog, ask)
        assert any(index in plan for plan in plans)
        without = [
            plan for plan in plans if re.search(r"SCAN (work|items|products|runs|publications)(;|$)", plan)
        ]
        assert without == []
        assert not any("SEARCH products USING INTEGER PRIMARY KEY (rowid>?)" in plan for plan in plans)
    catalog.close()


def test_messages_are_found_by_index(path: Path) -> None:
    catalog = SqliteCatalog(path)
    Bench(catalog, CHAIN)
    catalog.write(lambda tx: [tx.post("hook", "A", {}) for _ in range(20)])
    queue = ("", "message", "hook")
    plans = _plans(catalog, lambda tx: tx.claim_other(queue, 5, lease=60, owner=1))
    assert any("work_claim" in plan and "work_unsent" in plan for plan in plans)
    catalog.close()


def test_places_are_found_by_index(path: Path) -> None:
    catalog = SqliteCatalog(path)
    Bench(catalog, CHAIN)
    plans = _plans(catalog, lambda tx: tx.items(box=Box(170, -90, -170, 0)))
    assert any("SCAN footprints VIRTUAL TABLE INDEX 2:" in plan for plan in plans)
    assert not any(re.search(r"SCAN items(;|$)", plan) for plan in plans)
    catalog.close()


def test_features_are_found_by_index(path: Path) -> None:
    catalog = SqliteCatalog(path)
    Bench(catalog, CHAIN)
    near = _plans(catalog, lambda tx: tx.features(near=(180, 0), radius=1, kind="source", item=1))
    assert any("feature_places VIRTUAL TABLE INDEX 2:" in plan for plan in near)
    assert any("SEARCH f USING INTEGER PRIMARY KEY (rowid=?)" in plan for plan in near)
    assert any("features_kind" in plan for plan in _plans(catalog, lambda tx: tx.features(kind="source")))
    assert any("features_item" in plan for plan in _plans(catalog, lambda tx: tx.features(item=1)))
    catalog.close()


def test_the_index_on_places_can_be_built_anew(path: Path) -> None:
    catalog = SqliteCatalog(path)
    Bench(catalog, CHAIN)
    places = [Box(170, 0, -170, 1), None, Box(5, 5, 5, 5)]
    items = [Item("t", "item", f"i{n}", {}, None, box) for n, box in enumerate(places)]
    catalog.write(lambda tx: tx.add_items(CHAIN, items))
    catalog.write(lambda tx: tx.cursor.execute("DELETE FROM footprints"))  # type: ignore[attr-defined]
    with catalog.read() as view:
        assert view.items(box=Box(-180, -90, 180, 90)) == []
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        assert footprints.build(connection)
    engine.dispose()
    with catalog.read() as view:
        assert [item.key for item in view.items(box=Box(-180, -90, 180, 90))] == ["i0", "i2"]
        assert [item.key for item in view.items(box=Box(-175, 0, -175, 0))] == ["i0"]
    catalog.close()
