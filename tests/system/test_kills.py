"""kill -9 of the daemon or of a worker at random instants: nothing lost, nothing torn, nobody has to do anything."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from plainpipe.site import Daemon, make, notes, wait_for
from torture.chaos import CATALOG, PASSED, Figures, fault_points, random_kills

from towpath import Site
from towpath.testing.content import describe, differences, torn

SITE = """
[pipelines.plain.override.items.note.stages.write]
params = { delay = 0.004 }
"""
ENGINE = [name for name in PASSED if not name.startswith(("publish.", "transfer."))]
FEW = ["catalog.committed", "staging.renamed", "process.complete"]
WRITES = [
    "staging.open", "staging.close", "staging.rename", "catalog.commit",
    "transfer.create", "publish.bytes", "publish.rename", "outbox.send",
]  # fmt: skip


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the URL of an empty catalog, "" for the file of the site."""
    monkeypatch.setenv("PLAIN_PIDS", "")  # so that it is as before when the test ends
    if request.param == "sqlite":
        yield ""
        return
    server = request.getfixturevalue("postgres")
    made = server.database(template=request.getfixturevalue("migrated_template"))
    monkeypatch.setenv(CATALOG, made)
    yield made
    server.drop(made)


def is_clean(figures: Figures) -> None:
    """Nothing was lost, torn or different, and nothing was done twice but what was in flight at a kill."""
    print(figures.line())
    assert (figures.lost, figures.torn, figures.differences, figures.unforced) == ([], [], [], [])
    assert figures.repeats <= figures.in_flight


@pytest.mark.parametrize("kills", [4, pytest.param(10, marks=pytest.mark.slow)])
def test_kills_at_random_instants_cost_what_was_in_flight(tmp_path: Path, kills: int, url: str):
    figures = random_kills(tmp_path, kills, kills, url)
    assert figures.kills.total() == kills
    is_clean(figures)


@pytest.mark.parametrize(
    ("url", "points", "action"),
    [
        pytest.param("sqlite", FEW, "kill", id="few"),
        pytest.param("postgresql", FEW, "kill", id="few on postgresql"),
        pytest.param("sqlite", PASSED, "kill", id="every", marks=pytest.mark.slow),
        pytest.param("postgresql", ENGINE, "kill", id="engine on postgresql", marks=pytest.mark.slow),
        pytest.param("sqlite", WRITES, "raise=ENOSPC", id="full", marks=pytest.mark.slow),
    ],
    indirect=["url"],
)
def test_a_kill_or_a_full_disk_at_each_fault_point_costs_what_was_in_flight(
    tmp_path: Path, points: list[str], action: str, url: str
):
    figures = fault_points(tmp_path, points, 1, url, action=action, sets=2)
    assert figures.not_passed == []
    is_clean(figures)


def test_what_a_killed_daemon_held_is_taken_over_by_another_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PLAIN_LOG", str(tmp_path / "runs.log"))
    gate = tmp_path / "gate"
    gate.touch()
    stuck = {"TOWPATH_FAULT": "process.claimed:2:wait", "TOWPATH_FAULT_GATE": str(gate)}
    make(tmp_path, site=SITE)
    with Site.open(tmp_path) as site:
        site.submit("note", notes(4))
        with Daemon(tmp_path, watch=True, env=stuck) as first:
            wait_for(lambda: running(site))  # rows that it never hands over
            with Daemon(tmp_path) as second:
                wait_for(lambda: second.workers())
                first.kill()
                killed = time.monotonic()
                assert second.wait() == 0, second.text()
                assert time.monotonic() - killed < 45  # a lease is a minute: nobody waited for it
        with site.catalog.read() as view:
            assert {state for *_, state in view.counts()} == {"done"}
        assert torn(site) == []


def running(site: Site) -> int:
    return sum(count for (*_, state), count in site.status().counts.items() if state == "running")


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
