"""Backup and restore of a site: one moment, nothing replaced unasked, no place written again, nothing deleted silently."""

import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest

from towpath import Site
from towpath.adapters.catalog import backups
from towpath.base.states import Product as State

Command = Callable[..., Any]
Running = Callable[[Path], AbstractContextManager[int]]


def work(site: Path, invoke: Command) -> None:
    """What happens after the backup: an item arrives, another is made again with other bytes."""
    (site / "incoming" / "third.csv").write_text("time,value\n0,3.0\n1,3.1\n2,3.2\n")
    invoke("rerun", "first", "--stage", "clean", "--site", site)
    invoke("run", "--executor", "inline", "--site", site)


def places(site: Path) -> set[str]:
    return {str(path.relative_to(site / "store")) for path in (site / "store").rglob("*") if path.is_file()}


def runs(site: Path) -> dict[str, list[int]]:
    with Site.open(site) as opened:
        return {
            item.key: [run.token for run in opened.runs(item.name) if run.outcome == "done"]
            for item in opened.items()
        }


@pytest.fixture
def restored(site: Path, tmp_path: Path, invoke: Command) -> Path:
    """Give a site that went on after its backup, and whose catalog is that of the backup again."""
    assert invoke("db", "backup", tmp_path / "backup", "--site", site).code == 0
    work(site, invoke)
    done = invoke("db", "restore", tmp_path / "backup", "--replace", "--site", site)
    assert done.code == 0, done.err
    assert "next: `towpath inventory reconcile`" in done.out
    return site


def test_a_backup_is_one_file_and_replaces_none(site: Path, tmp_path: Path, invoke: Command) -> None:
    done = invoke("db", "backup", tmp_path / "new" / "backup", "--json", "--site", site)
    assert done.document["bytes"] == (tmp_path / "new" / "backup").stat().st_size
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["backup"]
    again = invoke("db", "backup", tmp_path / "new" / "backup", "--site", site)
    assert (again.code, "never replaces a file" in again.err) == (5, True)
    with closing(sqlite3.connect(tmp_path / "new" / "backup")) as copied:
        assert copied.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_backup_is_one_moment_while_others_write(site: Path, tmp_path: Path, invoke: Command) -> None:
    code = (
        "import sys; from pathlib import Path; from towpath.adapters.catalog.sqlite import SqliteCatalog\n"
        "catalog = SqliteCatalog(Path(sys.argv[1]))\n"
        "print('up', flush=True)\n"
        "while True: catalog.write(lambda tx: [tx.event('told', text='x' * 500) for _ in range(20)])\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(site / "catalog.sqlite")], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        for number in range(3):
            file = tmp_path / f"backup{number}"
            assert invoke("db", "backup", file, "--site", site).code == 0
            with closing(sqlite3.connect(file)) as copied:
                last, count = copied.execute("SELECT max(seq), count(*) FROM events").fetchone()
                assert copied.execute("SELECT value FROM counters WHERE name = 'event'").fetchone() == (last,)
                assert count == last
                assert copied.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        writer.kill()


def test_what_is_no_backup_is_refused(site: Path, tmp_path: Path, invoke: Command) -> None:
    file = tmp_path / "backup"
    for content, told in ((b"no rows here" * 400, "expected a backup that"), (b"", "expected a backup that")):
        file.write_bytes(content)
        done = invoke("db", "restore", file, "--replace", "--site", site)
        assert (done.code, told in done.err) == (6, True), done.err
    file.unlink()
    assert invoke("db", "backup", file, "--site", site).code == 0
    with closing(sqlite3.connect(file)) as copied, copied:
        copied.execute("UPDATE alembic_version SET version_num = '9999'")
    done = invoke("db", "restore", file, "--replace", "--site", site)
    assert (done.code, "newer than this Towpath" in done.err) == (6, True)
    content = bytearray(file.read_bytes())
    content[4096:20480] = b"\xff" * 16384
    file.write_bytes(content)
    assert invoke("db", "restore", file, "--replace", "--site", site).code == 6
    assert invoke("db", "check", "--site", site).code == 0
    assert invoke("items", "--json", "--site", site).document["items"]


def test_a_catalog_is_replaced_only_when_asked_and_is_kept(
    site: Path, tmp_path: Path, invoke: Command
) -> None:
    invoke("db", "backup", tmp_path / "backup", "--site", site)
    done = invoke("db", "restore", tmp_path / "backup", "--site", site)
    assert (done.code, "--replace puts the backup in its place" in done.err) == (5, True)
    work(site, invoke)
    before = runs(site)
    done = invoke("db", "restore", tmp_path / "backup", "--replace", "--json", "--site", site)
    assert set(runs(site)) == {"first", "second", "broken"}
    kept = Path(done.document["kept"])
    assert kept.parent == site
    shutil.copy(kept, site / "catalog.sqlite")
    assert runs(site) == before


def test_a_site_whose_catalog_is_lost_is_restored(site: Path, tmp_path: Path, invoke: Command) -> None:
    invoke("db", "backup", tmp_path / "backup", "--site", site)
    (site / "catalog.sqlite").write_bytes(b"\0" * 5000)
    (site / "catalog.sqlite-wal").write_bytes(b"left over")
    done = invoke("db", "restore", tmp_path / "backup", "--replace", "--site", site)
    assert done.code == 0, done.err
    assert invoke("db", "check", "--site", site).code == 0
    assert set(runs(site)) == {"first", "second", "broken"}
    (site / "catalog.sqlite").unlink()
    assert invoke("db", "restore", tmp_path / "backup", "--site", site).code == 0
    assert set(runs(site)) == {"first", "second", "broken"}


# Changes a catalog in a way, and is killed before the change is whole: SQLite's journal of it stays beside the file.
KILLED = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(f"PRAGMA journal_mode = {sys.argv[2]}")
connection.execute("PRAGMA cache_size = 1")
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE items SET key = 'changed' || id")
connection.execute("CREATE TABLE much AS SELECT a.seq, randomblob(500) AS noise FROM events AS a, events AS b")
if sys.argv[2] == "WAL":
    connection.execute("COMMIT")
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_while_changing(site: Path, mode: str) -> Path:
    """Returns what stays beside the catalog."""
    subprocess.run([sys.executable, "-c", KILLED, str(site / "catalog.sqlite"), mode], check=False)
    left = site / f"catalog.sqlite-{'wal' if mode == 'WAL' else 'journal'}"
    assert left.stat().st_size > 4096
    return left


def test_what_a_kill_left_half_done_is_undone(site: Path, tmp_path: Path, invoke: Command) -> None:
    """By a check too; and a restore still knows which tokens the catalog has given, and that nothing runs."""
    invoke("db", "backup", tmp_path / "backup", "--site", site)
    work(site, invoke)
    killed_while_changing(site, "DELETE")
    done = invoke("db", "check", "--site", site)
    assert (done.code, "whole" in done.out) == (0, True), done.out
    assert set(runs(site)) == {"first", "second", "broken", "third"}
    shutil.rmtree(site / "store")
    shutil.rmtree(site / ".towpath" / "logs")
    killed_while_changing(site, "DELETE")
    done = invoke("db", "restore", tmp_path / "backup", "--replace", "--json", "--site", site)
    assert done.document["floor"] >= 2, done.out
    assert set(runs(site)) == {"first", "second", "broken"}


def test_the_log_of_a_catalog_that_is_gone_is_not_taken_for_the_new_one_s(
    site: Path, tmp_path: Path, invoke: Command
) -> None:
    invoke("db", "backup", tmp_path / "backup", "--site", site)
    left = killed_while_changing(site, "WAL")
    (site / "catalog.sqlite").unlink()
    assert invoke("db", "restore", tmp_path / "backup", "--site", site).code == 0
    assert invoke("db", "check", "--site", site).code == 0
    assert set(runs(site)) == {"first", "second", "broken"}
    assert len(list(site.glob(f"{left.name}.*.lost"))) == 1


def test_features_are_restored(found: Path, tmp_path: Path, invoke: Command) -> None:
    """Those that were told later are gone, those that a later run replaced are back, and all are found by place."""

    def told() -> list[list[str]]:
        with Site.open(found) as site:
            asked = ({}, {"near": (359.5, 20.2), "radius": 1.5}, {"near": (0, 90), "radius": 180.0})
            return [[one.name for one in site.features(**query)] for query in asked]  # type: ignore[arg-type]

    before = told()
    assert [len(names) for names in before] == [13, 3, 13]
    assert invoke("db", "backup", tmp_path / "backup", "--site", found).code == 0
    (found / "incoming" / "first.csv").write_text("time,value\n0,7.0\n1,7.1\n2,7.2\n")
    work(found, invoke)
    assert [len(names) for names in told()] == [12, 0, 12]
    assert invoke("db", "restore", tmp_path / "backup", "--replace", "--site", found).code == 0
    assert told() == before
    assert invoke("db", "check", "--site", found).code == 0


def test_a_site_that_runs_is_not_restored(
    site: Path, tmp_path: Path, invoke: Command, running: Running
) -> None:
    invoke("db", "backup", tmp_path / "backup", "--site", site)
    with running(site) as pid:
        for verb in (("restore", tmp_path / "backup", "--replace"), ("restored",)):
            done = invoke("db", *verb, "--site", site)
            assert (done.code, f"the site is running: process {pid}" in done.err) == (5, True), done.err
    with closing(sqlite3.connect(site / "catalog.sqlite", isolation_level=None)) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT * FROM items").fetchall()
        done = invoke("db", "restore", tmp_path / "backup", "--replace", "--site", site)
        assert (done.code, "is open in another process" in done.err) == (5, True), done.err
    assert invoke("db", "restore", tmp_path / "backup", "--replace", "--site", site).code == 0


def test_a_restore_that_fails_leaves_the_catalog_as_it_was(
    site: Path, tmp_path: Path, invoke: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoke("db", "backup", tmp_path / "backup", "--site", site)
    work(site, invoke)
    before, files = runs(site), {file.name for file in site.iterdir()}

    def fail(*_: object) -> None:
        raise OSError("the disk is full")

    for name in ("settle", "put_in_place"):
        with monkeypatch.context() as patch:
            patch.setattr(backups, name, fail)
            done = invoke("db", "restore", tmp_path / "backup", "--replace", "--site", site)
        assert (done.code, "the disk is full" in done.err) == (6, True)
        assert runs(site) == before
    assert {file.name for file in site.iterdir()} == files


# ---- what is newer


def test_what_is_newer_is_told_and_nothing_is_swept(restored: Path, invoke: Command) -> None:
    before = places(restored)
    done = invoke("inventory", "reconcile", "--json", "--site", restored)
    newer = {Path(one["path"]).name: one["why"] for one in done.document["findings"]}
    assert done.document["counts"] == {"newer": 2}
    assert newer == {"first.2.cleaned.csv": "", "third.1.cleaned.csv": "its item is not in the catalog"}
    swept = invoke("sweep", "--older", "0", "--grace", "0", "--site", restored)
    assert (swept.code, "first decide" in swept.err) == (5, True)
    assert invoke("inventory", "reconcile", "--newer", "lose", "--site", restored).code == 2
    assert places(restored) == before


def test_no_place_is_written_again(restored: Path, invoke: Command) -> None:
    before = places(restored)
    content = {name: (restored / "store" / name).read_bytes() for name in before}
    invoke("rerun", "first", "second", "--stage", "clean", "--site", restored)
    invoke("run", "--executor", "inline", "--site", restored)
    assert {name: (restored / "store" / name).read_bytes() for name in before} == content
    made = places(restored) - before
    assert {Path(name).name.split(".")[0] for name in made} == {"first", "second", "third"}
    assert min(int(Path(name).name.split(".")[1]) for name in made) > 2


def test_what_is_newer_is_adopted(restored: Path, invoke: Command) -> None:
    preview = invoke("inventory", "reconcile", "--newer", "adopt", "--json", "--site", restored)
    assert preview.document["counts"] == {"newer": 2}
    done = invoke(
        "inventory", "reconcile", "--newer", "adopt", "--write", "--why", "ours", "--json", "--site", restored
    )
    assert done.document["counts"] == {}
    with Site.open(restored) as site:
        for name in ("first", "third"):
            row = {one.stage: one for one in site.show(name).work}["clean"]
            run = site.runs(name)[-1]
            assert (row.state, run.outcome, run.token) == ("done", "adopted", row.token)
            assert run.reasons[0].endswith(": ours")
            (product,) = [one for one in site.show(name).products if one.stage == "clean"]
            assert site.place(product).name == f"{name}.{row.token}.cleaned.csv"
            assert product.state is State.CURRENT
    before = runs(restored)
    invoke("run", "--executor", "inline", "--site", restored)
    assert runs(restored)["first"] == before["first"]
    assert invoke("sweep", "--site", restored).code == 0


def test_what_is_newer_is_put_aside(restored: Path, invoke: Command) -> None:
    before = places(restored)
    done = invoke("inventory", "reconcile", "--newer", "quarantine", "--write", "--json", "--site", restored)
    assert done.document["counts"] == {}
    (folder,) = (restored / "store" / ".quarantine").iterdir()
    aside = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {Path(name).name for name in aside} == {"first.2.cleaned.csv", "third.1.cleaned.csv"}
    assert aside | {name for name in places(restored) if ".quarantine" not in name} == before
    assert invoke("sweep", "--older", "0", "--grace", "0", "--site", restored).code == 0
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == aside
    events = invoke("events", "--after", "0", "--limit", "500", "--json", "--site", restored).out
    assert events.count("put aside") == 2


def test_a_restore_by_other_means_is_said(site: Path, tmp_path: Path, invoke: Command) -> None:
    """The catalog's file is copied back by hand, as point-in-time recovery brings back a server."""
    invoke("db", "backup", tmp_path / "backup", "--site", site)
    work(site, invoke)
    shutil.copy(tmp_path / "backup", site / "catalog.sqlite")
    done = invoke("db", "restored", "--site", site)
    assert "runs are numbered from 3 on" in done.out
    assert invoke("inventory", "reconcile", "--json", "--site", site).document["counts"] == {"newer": 2}


def test_nothing_is_put_aside_while_the_site_runs(restored: Path, invoke: Command, running: Running) -> None:
    """What runs makes places, too."""
    before = places(restored)
    with running(restored) as pid:
        for choice in ("adopt", "quarantine"):
            done = invoke("inventory", "reconcile", "--newer", choice, "--write", "--site", restored)
            assert (done.code, f"the site is running: process {pid}" in done.err) == (5, True), done.err
    assert places(restored) == before


def test_the_status_says_that_a_decision_is_open(restored: Path, invoke: Command) -> None:
    assert "`towpath inventory reconcile --newer` decides" in invoke("status", "--site", restored).out
    assert invoke("status", "--json", "--site", restored).document["restored"] > 0
    invoke("inventory", "reconcile", "--newer", "quarantine", "--write", "--site", restored)
    assert invoke("status", "--json", "--site", restored).document["restored"] is None


@pytest.mark.slow
def test_a_restore_may_be_killed_at_any_instant(site: Path, tmp_path: Path, invoke: Command) -> None:
    """The catalog is the one before or the one after, whole; and after, no token that lies on disk is given again."""
    invoke("db", "backup", tmp_path / "backup", "--site", site)
    work(site, invoke)
    after = {"first", "second", "broken"}
    seen = set()
    for number in range(12):
        invoke("run", "--executor", "inline", "--site", site)  # the third item is there, at least for a while
        command = [sys.executable, "-m", "towpath", "db", "restore", str(tmp_path / "backup"), "--replace"]
        with subprocess.Popen([*command, "--site", str(site)], stdout=subprocess.DEVNULL) as restore:
            time.sleep(0.4 + 0.1 * number)
            restore.kill()
        assert invoke("db", "check", "--site", site).code == 0
        with closing(sqlite3.connect(site / "catalog.sqlite")) as connection:
            keys = {row[0] for row in connection.execute('SELECT "key" FROM items')}
            floors = connection.execute("SELECT value FROM counters WHERE name = 'token floor'").fetchall()
        assert keys in (after, after | {"third"})
        seen.add(len(keys))
        if keys == after:
            assert floors
            assert floors[0][0] >= 2
    assert 4 in seen
