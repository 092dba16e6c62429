"""A site grows from its SQLite file to PostgreSQL, and its catalog there is backed up and restored."""

import errno
import os
import re
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from towpath import Site
from towpath.adapters.catalog import dumps, moving
from towpath.adapters.catalog.connecting import site_key
from towpath.adapters.catalog.sqlite import SqliteCatalog
from towpath.app.moving import refuse_switch, switch
from towpath.app.settings import load
from towpath.base.errors import StateError
from towpath.base.spacetime import Box
from towpath.testing.postgres import Server

Command = Callable[..., Any]
Running = Callable[[Path], AbstractContextManager[int]]


@pytest.fixture
def url(postgres: Server) -> str:
    """Give the URL of an empty database."""
    return postgres.database()


def rows(url: str, text: str) -> list[tuple[Any, ...]]:
    with closing(psycopg.connect(url)) as connection:
        return connection.execute(text.encode()).fetchall()


def dumped(file: Path) -> dict[str, list[Any]]:
    with closing(sqlite3.connect(file)) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f'SELECT * FROM "{name}"').fetchall() for name in names}


def runs(site: Path) -> dict[str, list[tuple[str, int]]]:
    with Site.open(site) as opened:
        return {
            item.key: sorted((run.stage, run.token) for run in opened.runs(item.name))
            for item in opened.items()
        }


# ---- moving


def test_a_site_moves_and_runs_nothing_again(site: Path, url: str, invoke: Command) -> None:
    before, file = runs(site), dumped(site / "catalog.sqlite")
    done = invoke("db", "migrate", "--to", url, "--switch", "--json", "--site", site)
    assert done.code == 0, done.err
    moved = {one["table"]: one["rows"] for one in done.document["tables"]}
    assert moved == {name: len(file[name]) for name in moved}
    assert {"items": 3, "definitions": 1}.items() <= moved.items()
    assert all(len(one["sha256"]) == 64 for one in done.document["tables"])
    assert dumped(site / "catalog.sqlite") == file
    assert runs(site) == before
    plan = invoke("plan", "--json", "--site", site).document
    assert [one["action"] for one in plan["work"] if one["item"] != "series/broken"] == []
    (site / "incoming" / "third.csv").write_text("time,value\n0,3.0\n1,3.1\n2,3.2\n")
    invoke("run", "--executor", "inline", "--site", site)
    after = runs(site)
    assert {key: after[key] for key in before} == before
    assert len(after["third"]) == 2
    assert rows(url, "SELECT count(*) FROM towpath.items") == [(4,)]
    with closing(sqlite3.connect(site / "catalog.sqlite")) as old:
        assert old.execute("SELECT count(*) FROM items").fetchone() == (3,)
    new = rows(url, "SELECT min(id) FROM towpath.work WHERE item_id = (SELECT max(id) FROM towpath.items)")
    assert new[0][0] > max(row[0] for row in file["work"])  # numbers went on where they were


def test_without_switch_the_site_goes_on_with_its_file(site: Path, url: str, invoke: Command) -> None:
    text = (site / "towpath.toml").read_text()
    done = invoke("db", "migrate", "--to", url, "--site", site)
    assert "the site goes on with its file until towpath.toml says under [site]: catalog = " in " ".join(
        done.out.split()
    )
    assert (site / "towpath.toml").read_text() == text
    assert invoke("db", "path", "--json", "--site", site).document["path"].endswith("catalog.sqlite")
    again = invoke("db", "migrate", "--to", url, "--site", site)
    assert (again.code, "is not empty: " in again.err, "DROP SCHEMA" in again.err) == (5, True, True)
    other = invoke(
        "db", "migrate", "--to", url, "--set", "site.catalog_schema=second", "--switch", "--site", site
    )
    assert other.code == 0, other.err
    settings = tomllib.loads((site / "towpath.toml").read_text())["site"]
    assert (settings["catalog"], settings["catalog_schema"], settings["name"]) == (url, "second", site.name)
    assert invoke("db", "check", "--site", site).code == 0
    assert invoke("db", "migrate", "--to", url, "--site", site).code == 5


def features(site: Path) -> list[list[Any]]:
    """All features, those near a place on both sides of 0 degrees, and those within a right angle of the north pole."""
    asked = ({}, {"near": (359.5, 20.2), "radius": 1.5}, {"near": (0, 90), "radius": 90.0, "limit": 3})
    with Site.open(site) as opened:
        return [opened.features(**query) for query in asked]  # type: ignore[arg-type]


def test_features_move_too(found: Path, url: str, invoke: Command) -> None:
    before = features(found)
    assert [len(one) for one in before] == [13, 3, 3]
    done = invoke("db", "migrate", "--to", url, "--switch", "--json", "--site", found)
    assert done.code == 0, done.err
    assert {one["table"]: one["rows"] for one in done.document["tables"]}["features"] == 13
    assert features(found) == before
    assert rows(url, "SELECT count(*) FROM pg_indexes WHERE indexname = 'features_place'") == [(1,)]
    work(found, invoke)
    with Site.open(found) as site:
        (_, _, third, _) = site.features(item="third")
    assert third.id > before[0][-1].id  # numbers went on where they were


def test_features_on_postgresql_are_restored(found: Path, url: str, tmp_path: Path, invoke: Command) -> None:
    assert invoke("db", "migrate", "--to", url, "--switch", "--site", found).code == 0
    before = features(found)
    assert invoke("db", "backup", tmp_path / "backup", "--site", found).code == 0
    (found / "incoming" / "first.csv").write_text("time,value\n0,7.0\n1,7.1\n2,7.2\n")
    work(found, invoke)
    assert [len(one) for one in features(found)] == [12, 0, 3]
    done = invoke("db", "restore", tmp_path / "backup", "--replace", "--json", "--site", found)
    assert done.code == 0, done.err
    assert features(found) == before
    indexed = (
        f"FROM pg_indexes WHERE indexname = 'features_place' AND schemaname <> '{done.document['kept']}'"
    )
    assert rows(url, f"SELECT schemaname {indexed}") == [("towpath",)]
    assert invoke("db", "check", "--site", found).code == 0


def test_what_runs_is_not_moved(site: Path, url: str, invoke: Command, running: Running) -> None:
    with running(site) as pid:
        done = invoke("db", "migrate", "--to", url, "--site", site)
        assert (done.code, f"the site is running: process {pid}" in done.err) == (5, True), done.err
    assert invoke("db", "migrate", "--to", url, "--site", site).code == 0


def test_what_is_served_is_not_moved(site: Path, url: str, invoke: Command, served: Running) -> None:
    with served(site) as pid:
        done = invoke("db", "migrate", "--to", url, "--switch", "--site", site)
        assert (done.code, f"the site is running: process {pid} on" in done.err) == (5, True), done.err
    assert invoke("db", "migrate", "--to", url, "--site", site).code == 0


def test_what_cannot_be_moved_is_said(
    site: Path, url: str, postgres: Server, invoke: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for target, code, told in (
        ("mysql://there/x", 2, "expected postgresql://"),
        (url.replace("?", "_nowhere?"), 6, "does not exist"),
        (url.replace("towpath@", "towpath:secret@").replace("host=", "host=/nowhere"), 6, "away"),
    ):
        done = invoke("db", "migrate", "--to", target, "--site", site)
        assert (done.code, told in done.err, "secret" in done.err) == (code, True, False), done.err
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        connection.execute("CREATE SCHEMA towpath")
        connection.execute("CREATE TABLE towpath.theirs (id int)")
    done = invoke("db", "migrate", "--to", url, "--site", site)
    assert (done.code, "holds tables of something else" in done.err) == (5, True)
    assert rows(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'towpath'") == [("theirs",)]
    monkeypatch.setenv("TOWPATH_SITE__CATALOG", "sqlite:///catalog.sqlite")
    done = invoke("db", "migrate", "--to", postgres.database(), "--switch", "--site", site)
    assert (done.code, "environment variable TOWPATH_SITE__CATALOG" in done.err) == (5, True)


def test_a_row_that_is_not_the_same_moves_nothing(
    site: Path, url: str, invoke: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = moving._copy

    def tampered(reader: Any, writer: Any, table: Any, step: Any) -> None:
        copy(reader, writer, table, step)
        if table.name == "items":
            writer.execute("UPDATE items SET registered = registered + 1e-6 WHERE id = 2")

    monkeypatch.setattr(moving, "_copy", tampered)
    done = invoke("db", "migrate", "--to", url, "--site", site)
    assert (done.code, "items: found" in done.err, "nothing was moved" in done.err) == (6, True, True)
    assert rows(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'towpath'") == []
    monkeypatch.undo()
    assert invoke("db", "migrate", "--to", url, "--site", site).code == 0


@pytest.mark.slow
def test_a_move_that_is_killed_leaves_nothing(site: Path, url: str, invoke: Command) -> None:
    with closing(SqliteCatalog(site / "catalog.sqlite")) as catalog:
        for _ in range(20):
            catalog.write(lambda tx: [tx.event("told", text="x" * 40) for _ in range(10_000)])
    command = [sys.executable, "-m", "towpath", "db", "migrate", "--to", url, "--site", str(site)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as move:
        end = time.monotonic() + 60
        while not rows(url, "SELECT 1 FROM pg_stat_progress_copy WHERE tuples_processed > 1000"):
            assert time.monotonic() < end
            assert move.poll() is None
        move.send_signal(signal.SIGKILL)
    assert rows(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'towpath'") == []
    done = invoke("db", "migrate", "--to", url, "--json", "--site", site)
    assert done.code == 0, done.err
    assert {one["table"]: one["rows"] for one in done.document["tables"]}["events"] > 200_000


# ---- backup and restore


@pytest.fixture
def grown(site: Path, url: str, invoke: Command) -> Path:
    """Give the site with its catalog on PostgreSQL."""
    assert invoke("db", "migrate", "--to", url, "--switch", "--site", site).code == 0
    return site


def work(site: Path, invoke: Command) -> None:
    (site / "incoming" / "third.csv").write_text("time,value\n0,3.0\n1,3.1\n2,3.2\n")
    invoke("rerun", "first", "--stage", "clean", "--site", site)
    invoke("run", "--executor", "inline", "--site", site)


def test_a_catalog_on_postgresql_is_restored(grown: Path, url: str, tmp_path: Path, invoke: Command) -> None:
    before = runs(grown)
    assert invoke("db", "backup", tmp_path / "backup", "--site", grown).code == 0
    work(grown, invoke)
    after = runs(grown)
    refused = invoke("db", "restore", tmp_path / "backup", "--site", grown)
    assert (refused.code, "--replace puts the backup in its place" in refused.err) == (5, True)
    done = invoke("db", "restore", tmp_path / "backup", "--replace", "--json", "--site", grown)
    assert done.code == 0, done.err
    assert runs(grown) == before
    kept = done.document["kept"]
    assert rows(url, f"SELECT count(*) FROM {kept}.items") == [(len(after),)]
    assert done.document["floor"] >= 2
    found = invoke("inventory", "reconcile", "--json", "--site", grown).document
    assert found["counts"] == {"newer": 2}
    assert invoke("sweep", "--site", grown).code == 5
    done = invoke("inventory", "reconcile", "--newer", "adopt", "--write", "--json", "--site", grown)
    assert done.document["counts"] == {}
    assert invoke("sweep", "--site", grown).code == 0
    (grown / "incoming" / "fourth.csv").write_text("time,value\n0,4.0\n1,4.1\n2,4.2\n")
    invoke("run", "--executor", "inline", "--site", grown)
    assert min(token for _, token in runs(grown)["fourth"]) > 2


@pytest.mark.slow
def test_a_backup_goes_to_another_database_and_schema(
    grown: Path, postgis: Server, tmp_path: Path, invoke: Command
) -> None:
    """From one without PostGIS to one that has it, where the index on footprints is made; and without it, again."""
    before = runs(grown)
    assert invoke("db", "backup", tmp_path / "backup", "--site", grown).code == 0
    geometric, plain = postgis.database(), postgis.database()
    with closing(psycopg.connect(geometric, autocommit=True)) as connection:
        connection.execute("CREATE EXTENSION postgis")
    for url in (geometric, plain):
        with closing(psycopg.connect(url, autocommit=True)) as connection:
            connection.execute("CREATE EXTENSION btree_gist")
    there = (
        "--set",
        f"site.catalog={geometric}",
        "--set",
        "site.catalog_schema=other place",
        "--site",
        grown,
    )
    done = invoke("db", "restore", tmp_path / "backup", *there)
    assert done.code == 0, done.err
    assert rows(geometric, 'SELECT count(*) FROM "other place".footprints') == [(0,)]
    assert invoke("items", "--json", *there).document["items"]
    assert invoke("db", "backup", tmp_path / "second", *there).code == 0
    done = invoke("db", "restore", tmp_path / "second", "--set", f"site.catalog={plain}", "--site", grown)
    assert done.code == 0, done.err
    with Site.open(grown, overrides=[f"site.catalog={plain}"]) as site:
        assert {item.key for item in site.items()} == set(before)
        assert site.items(box=(0, 0)) == []


def test_a_restore_that_fails_leaves_the_catalog_as_it_was(
    grown: Path, url: str, tmp_path: Path, invoke: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoke("db", "backup", tmp_path / "backup", "--site", grown)
    work(grown, invoke)
    before = runs(grown)
    content = (tmp_path / "backup").read_bytes()
    (tmp_path / "cut").write_bytes(content[: len(content) // 2])
    done = invoke("db", "restore", tmp_path / "cut", "--replace", "--site", grown)
    assert done.code == 6, done.err
    after = dumps._after
    monkeypatch.setattr(dumps, "_after", lambda *given: [*after(*given), "SELECT 1 / 0"])
    done = invoke("db", "restore", tmp_path / "backup", "--replace", "--site", grown)
    assert (done.code, "division by zero" in done.err, "as it was" in done.err) == (6, True, True), done.err
    assert runs(grown) == before
    assert rows(url, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'towpath%'") == [("towpath",)]
    (tmp_path / "file").write_bytes(b"SQLite format 3\0" + b"\0" * 100)
    assert invoke("db", "restore", tmp_path / "file", "--replace", "--site", grown).code == 6


@pytest.mark.slow
def test_a_restore_may_be_killed_at_any_instant(
    grown: Path, url: str, tmp_path: Path, invoke: Command
) -> None:
    """The catalog is the one before or the one after, whole, and the next restore needs nobody's help."""
    invoke("db", "backup", tmp_path / "backup", "--site", grown)
    after = runs(grown)
    work(grown, invoke)
    command = [sys.executable, "-m", "towpath", "db", "restore", str(tmp_path / "backup"), "--replace"]
    seen = set()
    for number in range(8):
        with subprocess.Popen([*command, "--site", str(grown)], stdout=subprocess.DEVNULL) as restore:
            time.sleep(0.6 + 0.15 * number)
            restore.kill()
        assert invoke("db", "check", "--site", grown).code == 0
        found = runs(grown)
        seen.add(found == after)
        assert found == after or set(found) == {*after, "third"}
        work(grown, invoke)  # the third item is there again
    assert False in seen
    assert invoke("db", "restore", tmp_path / "backup", "--replace", "--site", grown).code == 0
    assert runs(grown) == after


def test_what_is_served_is_not_replaced(
    grown: Path, url: str, tmp_path: Path, invoke: Command, served: Running
) -> None:
    """A server knows numbers of the catalog that it opened, and writes what it is told under them."""
    invoke("db", "backup", tmp_path / "backup", "--site", grown)
    restore = ("db", "restore", tmp_path / "backup", "--replace", "--site", grown)
    with served(grown) as pid:
        for argv in (restore, ("db", "restored", "--site", grown)):
            done = invoke(*argv)
            assert (done.code, f"the site is running: process {pid} on" in done.err) == (5, True), done.err
    assert invoke(*restore).code == 0


def test_who_begins_while_a_restore_looks_is_seen(
    grown: Path, url: str, tmp_path: Path, invoke: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sessions are looked at again when nobody can write any more."""
    invoke("db", "backup", tmp_path / "backup", "--site", grown)
    opened = "INSERT INTO towpath.sessions (host, pid, lock, attributable, opened) VALUES ('it''s', %s, '/x', true, 0)"
    before = dumps._before

    def begun(*given: Any, **more: Any) -> list[str]:
        with closing(psycopg.connect(url, autocommit=True)) as connection:
            connection.execute(opened.encode(), (8,))
        return before(*given, **more)

    with closing(psycopg.connect(url, autocommit=True)) as connection:
        connection.execute(opened.encode(), (7,))
    monkeypatch.setattr(dumps, "_before", begun)
    restore = ("db", "restore", tmp_path / "backup", "--replace", "--gone", "it's", "--site", grown)
    done = invoke(*restore)
    assert (done.code, "the site is running: process 8 on it's; end it first" in done.err) == (5, True)
    assert rows(url, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'towpath%'") == [("towpath",)]
    monkeypatch.undo()
    assert invoke(*restore).code == 0


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Hold what keeps all who write out of the catalog."""
    with closing(psycopg.connect(url)) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (site_key("towpath"),))
        yield


def test_a_restore_does_not_wait_for_ever(
    grown: Path, url: str, tmp_path: Path, invoke: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoke("db", "backup", tmp_path / "backup", "--site", grown)
    monkeypatch.setattr(dumps, "_PATIENCE", 0.1)
    with locked(url):
        done = invoke("db", "restore", tmp_path / "backup", "--replace", "--site", grown)
    assert (done.code, "another process writes to the catalog" in done.err) == (6, True), done.err
    assert rows(url, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'towpath%'") == [("towpath",)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_restore_that_is_ended_leaves_no_copy(
    grown: Path, url: str, tmp_path: Path, invoke: Command, number: int
) -> None:
    """The backup holds the key of the site: it is in no file of another name, and nobody goes on with the restore."""
    invoke("db", "backup", tmp_path / "backup", "--site", grown)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = [sys.executable, "-m", "towpath", "db", "restore", str(tmp_path / "backup"), "--replace"]
    with (
        locked(url),
        subprocess.Popen(
            [*command, "--site", str(grown)], env={**os.environ, "TMPDIR": str(temporary)}
        ) as restore,
    ):
        while not rows(url, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
            assert restore.poll() is None
            time.sleep(0.01)
        restore.send_signal(number)
        code = restore.wait(60)
    assert code == {signal.SIGTERM: 130, signal.SIGKILL: -signal.SIGKILL}[number]
    assert list(temporary.iterdir()) == []
    end = time.monotonic() + 60
    while rows(url, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"):  # whoever waited or goes on
        assert time.monotonic() < end
        time.sleep(0.01)
    if number == signal.SIGTERM:
        assert rows(url, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'towpath%'") == [("towpath",)]


def test_missing_programs_are_named(
    grown: Path, tmp_path: Path, invoke: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(dumps, "_PLACES", str(tmp_path))
    done = invoke("db", "backup", tmp_path / "backup", "--site", grown)
    assert (done.code, "pg_dump was not found: install PostgreSQL's client programs" in done.err) == (6, True)


def test_a_host_that_is_gone_is_named(grown: Path, url: str, tmp_path: Path, invoke: Command) -> None:
    invoke("db", "backup", tmp_path / "backup", "--site", grown)
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        connection.execute(
            "INSERT INTO towpath.sessions (host, pid, lock, attributable, opened) VALUES ('elsewhere', 7, '/x', true, 0)"
        )
    done = invoke("db", "restore", tmp_path / "backup", "--replace", "--site", grown)
    assert (done.code, bool(re.search("process 7 on elsewhere.*--gone elsewhere", done.err))) == (5, True)
    done = invoke("db", "restore", tmp_path / "backup", "--replace", "--gone", "elsewhere", "--site", grown)
    assert done.code == 0, done.err


def test_a_machine_of_the_same_name_is_another(
    grown: Path, url: str, tmp_path: Path, invoke: Command
) -> None:
    invoke("db", "backup", tmp_path / "backup", "--site", grown)
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        connection.execute(
            "INSERT INTO towpath.sessions (host, pid, lock, attributable, opened) VALUES (%s, 7, '/x/y.lock', true, 0)",
            (socket.gethostname(),),
        )
    done = invoke("db", "restored", "--site", grown)
    assert (done.code, "process 7 on" in done.err, "--gone" in done.err) == (5, True, True)
    assert invoke("db", "restored", "--gone", socket.gethostname(), "--site", grown).code == 0


def test_a_database_that_gets_postgis_later(grown: Path, postgis: Server, url: str, invoke: Command) -> None:
    """`db migrate` builds the index, and does nothing the next time."""
    with Site.open(grown) as site:
        item = site.find("first").id
        site.catalog.write(lambda tx: tx.update_item(item, footprint=Box(170, 0, -170, 1)))
        assert [one.key for one in site.items(box=(180, 0.5))] == ["first"]
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        connection.execute("CREATE EXTENSION postgis")
    assert rows(url, "SELECT to_regclass('towpath.footprints')") == [(None,)]
    for _ in range(2):
        assert invoke("db", "migrate", "--site", grown).code == 0
        assert rows(url, "SELECT ST_NumGeometries(shape) FROM towpath.footprints") == [(2,)]
    with Site.open(grown) as site:
        assert [one.key for one in site.items(box=(-180, 0.5))] == ["first"]


# ---- the site file

FILES = {
    '[site]\nname = "x"\n\n[roots]\nstore = "s"\n': '[site]\ncatalog = "postgresql:///d"\nname = "x"\n\n[roots]\nstore = "s"\n',
    '[site]\n  catalog = "sqlite:///c" # here\nname = "x"\n': '[site]\ncatalog = "postgresql:///d"\nname = "x"\n',
    '[ site ] # ours\n# catalog = "sqlite:///c"\n': '[ site ] # ours\ncatalog = "postgresql:///d"\n# catalog = "sqlite:///c"\n',
    "[site]": '[site]\ncatalog = "postgresql:///d"\n',
    '[roots]\nstore = "s"\n': '[roots]\nstore = "s"\n\n[site]\ncatalog = "postgresql:///d"\n',
    "": '\n\n[site]\ncatalog = "postgresql:///d"\n',
}


@pytest.mark.parametrize("text", FILES)
def test_one_line_of_the_site_file_changes(text: str, tmp_path: Path) -> None:
    file = tmp_path / "towpath.toml"
    file.write_text(text)
    file.chmod(0o640)
    switch(load(file, {}), "postgresql:///d")
    assert file.read_text() == FILES[text]
    assert file.stat().st_mode & 0o777 == 0o640
    assert load(file, {}).site.catalog == "postgresql:///d"
    assert [one.name for one in tmp_path.iterdir()] == ["towpath.toml"]


def test_the_site_file_is_changed_on_disk_and_its_password_readable_to_nobody_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "towpath.toml"
    file.write_text("[site]\n")
    file.chmod(0o640)
    done: list[str] = []
    fdopen, fchmod, fsync, replace = os.fdopen, os.fchmod, os.fsync, Path.replace

    def open_it(number: int, *how: Any, **more: Any) -> Any:
        done.append(f"written with mode {os.fstat(number).st_mode & 0o7777:o}")
        return fdopen(number, *how, **more)

    def change(number: int, mode: int) -> None:
        done.append(f"mode {mode:o}")
        fchmod(number, mode)

    def flush(number: int) -> None:
        done.append("folder flushed" if stat.S_ISDIR(os.fstat(number).st_mode) else "file flushed")
        fsync(number)

    def put(part: Path, target: Path) -> Path:
        assert "postgresql://u:secret@h/d" in part.read_text()  # all of it has left this process
        assert target.read_text() == "[site]\n"
        done.append("replaced")
        return replace(part, target)

    monkeypatch.setattr(os, "fdopen", open_it)
    monkeypatch.setattr(os, "fchmod", change)
    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(Path, "replace", put)
    switch(load(file, {}), "postgresql://u:secret@h/d")
    assert done == ["written with mode 600", "mode 640", "file flushed", "replaced", "folder flushed"]
    assert load(file, {}).site.catalog == "postgresql://u:secret@h/d"


def test_what_cannot_take_the_place_of_the_site_file_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "towpath.toml"
    file.write_text("[site]\n")
    settings = load(file, {})

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        switch(settings, "postgresql://u:secret@h/d")
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("towpath.toml", "[site]\n")]


@pytest.mark.parametrize("text", ['site.catalog = "sqlite:///c"\n', 'site = { name = "x" }\n'])
def test_a_site_file_of_another_form_is_changed_by_hand(text: str, tmp_path: Path) -> None:
    file = tmp_path / "towpath.toml"
    file.write_text(text)
    with pytest.raises(StateError, match=r'write under \[site\]: catalog = "postgresql:///d"'):
        switch(load(file, {}), "postgresql:///d")
    assert file.read_text() == text


def test_a_catalog_named_elsewhere_is_switched_there(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text('[site]\ncatalog = "sqlite:///c"\n')
    (tmp_path / "towpath.toml").write_text('extends = "base.toml"\n')
    with pytest.raises(StateError, match=r"site.catalog comes from base.toml:2"):
        refuse_switch(load(tmp_path, {}))
    refuse_switch(load(tmp_path / "base.toml", {}))
