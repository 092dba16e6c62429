"""The loop: when a run ends, what it says it did, and signals."""

import os
import signal
import socket
import threading
import time
from pathlib import Path

import psutil
import pytest
from plainpipe.site import make, notes, states

from towpath import Site
from towpath.app.worker import Summary
from towpath.base.errors import DefinitionError, SiteError
from towpath.testing.content import describe, differences, torn


@pytest.fixture
def site(tmp_path: Path):
    make(tmp_path, executor="inline")
    with Site.open(tmp_path) as site:
        yield site


def test_a_summary_says_whether_anything_was_done():
    assert Summary().did_nothing
    assert not Summary({"done": 1}).did_nothing
    assert not Summary(registered=1).did_nothing
    assert not Summary(findings=1).did_nothing


def test_an_empty_site_runs_at_once(site: Site):
    started = time.monotonic()
    summary = site.run()
    assert summary.did_nothing and summary.ended == "nothing left to do"
    assert time.monotonic() - started < 5


def test_a_pool_that_starts_leaves_the_logs_of_other_machines_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    make(tmp_path, workers=1)
    workers = tmp_path / ".towpath" / "workers"
    with Site.open(tmp_path) as site:
        monkeypatch.setattr(socket, "gethostname", lambda: "one")
        site.submit("note", notes(1)[:1])
        site.run()
        logs = set(workers.rglob("*.log"))
        assert logs
        monkeypatch.setattr(psutil, "pid_exists", lambda _: False)  # as another machine sees it
        monkeypatch.setattr(socket, "gethostname", lambda: "two")
        site.run()
        assert set(workers.rglob("*.log")) == logs
        monkeypatch.setattr(socket, "gethostname", lambda: "one")
        site.run()
        assert set(workers.rglob("*.log")) == set()


def test_a_run_goes_on_with_a_large_change_that_somebody_left(site: Site):
    site.submit("note", notes(8))
    site.run()
    site.catalog.at_once = 2
    with site.catalog.read() as view:
        rows = [
            row
            for found in view.work([item.id for item in site.items(kind="note")]).values()
            for row in found
        ]
    works = [row.id for row in rows if row.stage == "write"]
    site.catalog.write(lambda tx: tx.revise(works, "look again", force=True))
    with site.catalog.read() as view:
        assert view.spreading()
    assert site.run().runs["done"] >= 8
    with site.catalog.read() as view:
        assert not view.spreading()
    assert all(set(states(site, item.name).values()) == {"done"} for item in site.items(kind="note"))


def test_a_verb_takes_its_change_to_the_end(site: Site):
    site.submit("note", notes(4))
    site.run()
    site.catalog.at_once = 1
    site.rerun(site.items(kind="note")[0].name)
    with site.catalog.read() as view:
        assert not view.spreading()


def test_signals_end_a_run_in_good_order(site: Site):
    site.submit("note", notes(10))
    count = 0

    def tick(_: object) -> None:
        nonlocal count
        count += 1
        if count == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    summary = site.run(tick=tick)
    assert summary.ended == "stopped"
    assert signal.getsignal(signal.SIGTERM) is before
    assert site.status().sessions == ()
    with site.catalog.read() as view:
        assert not any(state == "running" for *_, state in view.counts())
    assert torn(site) == []
    site.run()
    assert all(set(states(site, item.name).values()) == {"done"} for item in site.items(kind="note"))


def test_a_thread_that_is_not_the_first_runs_without_signals(site: Site):
    site.submit("note", notes(1))
    found: list[Summary] = []
    thread = threading.Thread(target=lambda: found.append(site.run()))
    thread.start()
    thread.join(60)
    assert found and found[0].runs["done"] == 10


def test_what_a_tick_raises_ends_the_run_and_frees_all(site: Site):
    site.submit("note", notes(2))

    def tick(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        site.run(tick=tick)
    assert site.status().sessions == ()
    site.run()
    assert torn(site) == []
    assert all(set(states(site, item.name).values()) == {"done"} for item in site.items())


@pytest.mark.parametrize("workers", [1, 2])
def test_executors_give_the_same_content(tmp_path: Path, workers: int):
    made = {}
    for executor in ("inline", "local"):
        make(tmp_path / executor, executor=executor, workers=workers)
        with Site.open(tmp_path / executor) as site:
            site.submit("note", notes(3))
            site.run()
            made[executor] = describe(site)
            assert torn(site) == []
    assert made["local"]["items"] and len(made["local"]["archive"]) == 12
    assert differences(made["inline"], made["local"]) == []


def test_an_unknown_executor_is_named(tmp_path: Path):
    make(tmp_path, executor="cloud")
    with pytest.raises((SiteError, DefinitionError), match="'cloud'"), Site.open(tmp_path) as site:
        site.run()


def test_power_durability_gives_the_same_content(tmp_path: Path):
    made = []
    for name, override in (("crash", []), ("power", ["site.durability=power"])):
        make(tmp_path / name, executor="inline")
        with Site.open(tmp_path / name, overrides=override) as site:
            site.submit("note", notes(1))
            site.run()
            made.append(describe(site))
    assert differences(*made) == []
