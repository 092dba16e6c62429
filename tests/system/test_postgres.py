"""A site whose catalog is in PostgreSQL: it makes what it would make on SQLite, and outlives its server's absence."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from plainpipe.site import Daemon, make, notes, wait_for

from towpath import Site
from towpath.testing.content import describe, differences, torn
from towpath.testing.postgres import Server

CATALOG = "TOWPATH_SITE__CATALOG"


@pytest.fixture
def own() -> Iterator[Server]:
    """Give a server that may be stopped."""
    with Server(durable=True) as server:
        yield server


def test_it_makes_what_it_would_make_on_sqlite(
    tmp_path: Path, postgres: Server, monkeypatch: pytest.MonkeyPatch
):
    found = []
    for name, url in (("small", ""), ("grown", postgres.database())):
        folder = make(tmp_path / name)
        if url:
            monkeypatch.setenv(CATALOG, url)
        with Site.open(folder) as site:
            site.submit("note", notes(5))
            assert dict(site.run().runs) == {"done": 50}
            assert site.run().did_nothing
            assert torn(site) == []
            found.append(describe(site))
        assert (folder / "catalog.sqlite").exists() != bool(url)
    assert differences(*found) == []


@pytest.mark.parametrize("seconds", [2.0, pytest.param(60.0, marks=pytest.mark.slow)])
def test_a_daemon_outlives_the_absence_of_its_server(
    tmp_path: Path, own: Server, seconds: float, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(CATALOG, own.database())
    slow = "[pipelines.plain.override.items.note.stages.write]\nparams = { delay = 0.05 }\n"
    folder = make(tmp_path / "site", site=slow)
    with Site.open(folder) as site:
        site.submit("note", notes(20))
    with Daemon(folder, watch=True) as daemon:
        wait_for(lambda: (folder / "store").exists() and any((folder / "store").rglob("*.txt")))
        own.stop(at_once=True)
        time.sleep(seconds)
        assert daemon.popen.poll() is None, daemon.text()
        own.start()
        with Site.open(folder) as site:
            wait_for(lambda: {state for *_, state in site.status().counts} == {"done"}, 120.0)
            assert torn(site) == []
            with site.catalog.read() as view:
                runs = [run for item in view.items(limit=1000) for run in view.runs(item.id)]
        assert {run.outcome.value for run in runs} == {"done"}
        daemon.terminate()
        assert daemon.wait() == 0, daemon.text()
        assert "the catalog is away, trying for 120 s" in daemon.text()
        assert "the catalog is back after" in daemon.text()
