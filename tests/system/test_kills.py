"""kill -9 of the daemon or of a worker at random instants: nothing lost, nothing torn, nobody has to do anything."""

import contextlib
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from plainpipe.site import Daemon, make, notes, wait_for

from towpath import Site
from towpath.testing.content import describe, differences, torn
from towpath.testing.postgres import Server

SITE = """
[pipelines.plain.override.items.note.stages.write]
params = { delay = 0.004 }
[pipelines.plain.override.items.note.stages.hash]
params = { delay = 0.004 }
[pipelines.plain.override.items.set.stages.collect]
params = { delay = 0.01 }
"""
CATALOG = "TOWPATH_SITE__CATALOG"
SETS = 8  # for each kill: about half a second of work for two workers


def running(folder: Path) -> int:
    """How many rows are running, by the catalog's tables alone."""
    if CATALOG in os.environ:
        with closing(psycopg.connect(os.environ[CATALOG])) as server:
            row = server.execute("SELECT count(*) FROM towpath.work WHERE state = 'running'").fetchone()
            return row[0] if row else 0
    connection = sqlite3.connect(folder / "catalog.sqlite", timeout=60)
    try:
        return connection.execute("SELECT count(*) FROM work WHERE state = 'running'").fetchone()[0]
    finally:
        connection.close()


class Chaos:
    """A site whose daemon is killed again and again, at instants drawn from a seed."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self.in_flight, self.killed = 0, Counter()
        self.daemon: Daemon | None = None

    def round(self, who: str) -> None:
        """Start the daemon if it is dead, and kill it (or one of its workers) soon after."""
        if self.daemon is None or self.daemon.popen.poll() is not None:
            self.daemon = Daemon(self.folder, watch=True)
        daemon = self.daemon
        if who == "daemon" and self.random.random() < 0.2:  # also while it starts
            time.sleep(self.random.uniform(0.2, 1.0))
        else:
            wait_for(lambda: daemon.workers() and running(self.folder))
            time.sleep(self.random.uniform(0.0, 0.4))
        before = running(self.folder)
        self.kill(who, daemon)
        self.in_flight += max(before, running(self.folder))
        self.killed[who] += 1

    def kill(self, who: str, daemon: Daemon) -> None:
        """End a process at once."""
        assert daemon.popen.poll() is None, daemon.text()
        workers = daemon.workers()
        if who == "worker" and workers:
            with contextlib.suppress(ProcessLookupError):  # it has just been ended
                os.kill(self.random.choice(workers).pid, signal.SIGKILL)
        else:
            daemon.kill()
            with Site.open(self.folder) as site:
                assert torn(site) == []

    def end(self) -> None:
        """Kill what is left, and let one run finish the work."""
        if self.daemon is not None and self.daemon.popen.poll() is None:
            self.in_flight += running(self.folder)
            self.daemon.kill()
        with Daemon(self.folder) as last:
            assert last.wait() == 0, last.text()


def executed(log: Path) -> Counter[str]:
    return Counter(log.read_text().splitlines())


def torment(folder: Path, seed: int, kills: int, monkeypatch: pytest.MonkeyPatch, url: str = "") -> Chaos:
    """Run a site (with its catalog at `url`) under kills, and an undisturbed one, and compare them."""
    calm, wild = make(folder / "calm", site=SITE), make(folder / "wild", site=SITE)
    items = notes(SETS * kills)
    monkeypatch.setenv("PLAIN_LOG", str(calm / "runs.log"))
    with Site.open(calm) as site:
        site.submit("note", items)
        site.run()
        expected = describe(site)
    monkeypatch.setenv("PLAIN_LOG", str(wild / "runs.log"))
    if url:
        monkeypatch.setenv(CATALOG, url)
    chaos = Chaos(wild, seed)
    for number in range(kills):
        with Site.open(wild) as site:  # beside the daemon
            site.submit("note", notes(SETS, first=number * SETS))
        chaos.round("daemon" if number % 2 else "worker")
    chaos.end()
    with Site.open(wild) as site:
        assert differences(describe(site), expected) == []
        assert torn(site) == []
        assert site.sweep(older=0.0, grace=0.0)["deleted"] == 0  # nothing that is in use goes
        assert torn(site) == []
        assert site.run().did_nothing
    wanted, found = executed(calm / "runs.log"), executed(wild / "runs.log")
    assert set(found) == set(wanted)
    repeats = sum(found.values()) - len(found)
    print(f"{dict(chaos.killed)} killed, {repeats} runs repeated, {chaos.in_flight} in flight, seed {seed}")
    assert repeats <= chaos.in_flight
    return chaos


def test_a_few_kills_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    chaos = torment(tmp_path, 1, 8, monkeypatch)
    assert chaos.killed == {"daemon": 4, "worker": 4}


@pytest.mark.parametrize(("kills", "seed"), [(4, 5), pytest.param(20, 6, marks=pytest.mark.slow)])
def test_kills_change_nothing_on_postgresql(
    tmp_path: Path, kills: int, seed: int, monkeypatch: pytest.MonkeyPatch, postgres: Server
):
    url = postgres.database()
    chaos = torment(tmp_path, seed, kills, monkeypatch, url)
    assert chaos.killed == {"daemon": kills // 2, "worker": kills // 2}
    postgres.drop(url)


def test_what_a_killed_daemon_held_is_taken_over_by_another_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PLAIN_LOG", str(tmp_path / "runs.log"))
    slow = SITE.replace("delay = 0.004", "delay = 0.2")
    make(tmp_path, site=slow)
    with Site.open(tmp_path) as site:
        site.submit("note", notes(4))
        with Daemon(tmp_path, watch=True) as first:
            wait_for(lambda: running(tmp_path))
            with Daemon(tmp_path) as second:
                wait_for(lambda: second.workers())
                first.kill()
                killed = time.monotonic()
                assert second.wait() == 0, second.text()
                assert time.monotonic() - killed < 45  # a lease is a minute: nobody waited for it
        with site.catalog.read() as view:
            assert {state for *_, state in view.counts()} == {"done"}
        assert torn(site) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
def test_fifty_kills_change_nothing(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch):
    chaos = torment(tmp_path, seed, 50, monkeypatch)
    assert chaos.killed == {"daemon": 25, "worker": 25}


ARRIVING = """
[pipeline]
name = "plain"
[sources.drop]
kind = "folder"
item = "note"
pattern = "{name}.txt"
key = "{name}"
type = "plain/raw"
settled = "rename"
[items.note]
route = "copy -> hash -> publish"
"""


@pytest.mark.slow
def test_kills_while_files_arrive_lose_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    drawn, kills = random.Random(4), 12
    calm, wild = make(tmp_path / "calm", ARRIVING), make(tmp_path / "wild", ARRIVING)
    for folder in (calm, wild):
        (folder / "incoming").mkdir()
        monkeypatch.setenv("PLAIN_LOG", str(folder / "runs.log"))
        for number in range(kills if folder is wild else 1):
            daemon = Daemon(wild, watch=True) if folder is wild else None
            until = time.monotonic() + drawn.uniform(0.5, 1.6)
            for file in range(number * 40, (number + 1) * 40) if daemon else range(40 * kills):
                (folder / "incoming" / f".{file}").write_text(f"text {file}")
                (folder / "incoming" / f".{file}").rename(folder / "incoming" / f"n{file:03d}.txt")
                if daemon:
                    time.sleep(max(0.0, (until - time.monotonic()) / 40))
            if daemon:
                daemon.kill()
        with Daemon(folder) as last:
            assert last.wait() == 0, last.text()
    with Site.open(calm) as site, Site.open(wild) as other:
        assert len(site.items(limit=1000)) == 40 * kills
        assert differences(describe(other), describe(site)) == []
        assert torn(other) == []
        assert other.run().did_nothing
