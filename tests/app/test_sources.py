"""How sources fare: what is noted, how one that fails is tried again, and what a pause does."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from plainpipe.site import make, wait_for

from towpath import Site
from towpath.app import health
from towpath.app.arrivals import Arrivals
from towpath.app.health import EVERY, FIRST_PAUSE, IDLE, LONGEST_PAUSE, Health, SourceHealth, pause
from towpath.base.errors import NotFoundError, StateError
from towpath.contracts.definition import SourcePlan

PIPELINE = """
[pipeline]
name = "plain"
[sources.drop]
kind = "folder"
item = "note"
pattern = "{name}.txt"
key = "{name}"
type = "plain/raw"
settled = "rename"
scan_every = "1 h"
[sources.ask]
kind = "submit"
item = "asked"
[items.note]
route = "copy"
[items.asked]
route = "write"
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    make(tmp_path, PIPELINE, executor="inline")
    with Site.open(tmp_path) as site:
        yield site


def arrivals_of(site: Site) -> Arrivals:
    return site._parts.arrivals()


def drop(site: Site, name: str) -> None:
    (site.folder / "incoming" / name).write_text("text")


def told(site: Site) -> list[tuple[str, str]]:
    """What the story tells of sources: state and why."""
    events = [event for event in site.events(limit=10_000) if event.type == "source"]
    return [(event.data["state"], event.data.get("why", "")) for event in events]


def of(site: Site, name: str = "drop") -> SourceHealth:
    return site.source(name)


class Clock:
    """Seconds that grow when they are told to."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


# ---- what is noted


def test_a_source_that_nobody_looked_at(site: Site) -> None:
    assert [one.whole_name for one in site.sources()] == ["plain/ask", "plain/drop"]
    assert of(site) == SourceHealth("plain", "drop", "folder", "note")
    assert site.sources(pipeline="other") == []


def test_a_look_is_noted_with_what_came_and_what_is_wrong(site: Site) -> None:
    drop(site, "a.txt")
    drop(site, "b.txt")
    drop(site, "c.doc")
    before = time.time()
    site.run()
    found = of(site)
    assert (found.state, found.today, found.failures) == ("closed", 2, 0)
    assert found.looked is not None and before <= found.looked <= time.time() + 1
    assert found.arrived is not None and before <= found.arrived <= time.time() + 1
    assert len(found.problems) == 1 and "c.doc" in found.problems[0]
    (site.folder / "incoming" / "c.doc").unlink()
    drop(site, "d.txt")
    site.run()
    assert (of(site).today, of(site).problems) == (3, ())
    assert told(site) == []


def test_a_look_at_which_something_came_is_noted_too(site: Site) -> None:
    drop(site, "a.txt")
    arrivals = arrivals_of(site)
    arrivals.look()
    assert of(site).looked is not None and of(site).today == 1


def test_two_daemons_count_together_and_a_new_day_begins_at_zero(site: Site) -> None:
    plan = plan_of(site)
    first, second = Health(site.catalog), Health(site.catalog)
    for one, count in ((first, 2), (second, 3)):
        one.arrived(plan, count)
        one.answered(plan, [])
        one.note(all_of_it=True)
    assert of(site).today == 5

    def yesterday(tx: Any) -> None:
        slot = tx.slot(health.SLOT, "plain/drop")
        tx.set_slot(slot, {**slot.data, "day": "2020-01-01"})

    site.catalog.write(yesterday)
    assert of(site).today == 0
    first.arrived(plan, 1)
    first.note(all_of_it=True)
    assert of(site).today == 1


def plan_of(site: Site, name: str = "drop") -> SourcePlan:
    return site.definitions["plain"].sources[name]


def test_an_idle_source_is_noted_now_and_then_and_a_busy_one_every_few_seconds(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, plan = Clock(), plan_of(site)
    kept, writes = Health(site.catalog, clock), []
    write = site.catalog.write
    monkeypatch.setattr(
        site.catalog, "write", lambda work, **how: (writes.append(clock.time), write(work, **how))[1]
    )
    for second in range(180):
        clock.time = 1000.0 + second
        kept.answered(plan, [])
        kept.note()
    assert writes == [1000.0, 1000.0 + IDLE, 1000.0 + 2 * IDLE]
    writes.clear()
    for second in range(180, 240):
        clock.time = 1000.0 + second
        kept.arrived(plan, 1)
        kept.answered(plan, [])
        kept.note()
    assert len(writes) == 60 / EVERY
    kept.note(all_of_it=True)
    assert of(site).today == 60


# ---- a source that fails


def test_pauses_grow_to_five_minutes() -> None:
    pauses = [pause(failures) for failures in range(1, 12)]
    assert pauses[0] == FIRST_PAUSE and pauses[-1] == LONGEST_PAUSE == 300.0
    assert pauses == sorted(pauses)
    assert pause(10_000) == LONGEST_PAUSE


def test_a_folder_that_vanishes_is_let_be_and_comes_back(site: Site) -> None:
    clock = Clock()
    arrivals = arrivals_of(site)
    arrivals.health = Health(site.catalog, clock)
    drop(site, "a.txt")
    arrivals.look(due_only=True)
    shutil.rmtree(site.folder / "incoming")
    arrivals.look()
    found = of(site)
    assert (found.state, found.failures) == ("open", 1)
    assert "there is no such folder" in found.problems[0]
    assert found.again is not None and found.looked is not None
    assert found.again - found.looked == pytest.approx(FIRST_PAUSE)
    arrivals.look(due_only=True)  # it is let be
    assert of(site).failures == 1
    clock.time += FIRST_PAUSE
    arrivals.look(due_only=True)
    assert of(site).failures == 2
    (site.folder / "incoming").mkdir()
    drop(site, "b.txt")
    clock.time += FIRST_PAUSE
    arrivals.look(due_only=True)
    assert arrivals.registered == 1  # twice as long now
    clock.time += FIRST_PAUSE
    arrivals.look(due_only=True)
    found = of(site)
    assert (found.state, found.failures, found.again, found.problems) == ("closed", 0, None, ())
    assert arrivals.registered == 2
    assert [state for state, _ in told(site)] == ["open", "closed"]
    assert "there is no such folder" in told(site)[0][1]


def test_a_breaker_whose_pause_is_over_is_half_open(site: Site) -> None:
    clock, plan = Clock(), plan_of(site)
    kept = Health(site.catalog, clock)
    kept.failed(plan, "gone")
    clock.time += FIRST_PAUSE + 1
    kept.note()  # as a daemon that was away for so long
    assert of(site).state == "half-open"


def test_a_folder_that_comes_back_is_watched_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "FIRST_PAUSE", 0.2)
    arrivals = arrivals_of(site)
    arrivals.start()
    try:
        drop(site, "a.txt")
        wait_for(lambda: arrivals.registered == 1)
        shutil.rmtree(site.folder / "incoming")
        wait_for(lambda: of(site).failures >= 1)
        (site.folder / "incoming").mkdir()
        wait_for(lambda: of(site).state == "closed")
        for count in (2, 3):  # the next scan is in an hour: by event, or by the look once the watch stands
            drop(site, f"{count}.txt")
            wait_for(lambda count=count: arrivals.registered == count)
        arrivals.check()
    finally:
        arrivals.stop()


def test_a_look_that_raises_anything_ends_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "FIRST_PAUSE", 0.2)
    arrivals = arrivals_of(site)
    look, calls = arrivals._look_folder, []

    def broken(*given: Any) -> Any:
        calls.append(given)
        if len(calls) <= 2:
            raise KeyError("a provider's own fault")
        return look(*given)

    monkeypatch.setattr(arrivals, "_look_folder", broken)
    drop(site, "a.txt")
    arrivals.start()
    try:
        wait_for(lambda: arrivals.registered == 1)
        arrivals.check()
    finally:
        arrivals.stop()
    assert [state for state, _ in told(site)] == ["open", "closed"]
    assert told(site)[0][1] == 'sources.drop: KeyError: "a provider\'s own fault"'
    assert (of(site).state, of(site).failures) == ("closed", 0)


def test_a_single_run_looks_at_a_source_that_failed_lately(site: Site) -> None:
    shutil.rmtree(site.folder / "incoming")
    site.run()
    assert of(site).failures == 1
    (site.folder / "incoming").mkdir()
    drop(site, "a.txt")
    assert site.run().registered == 1
    assert [state for state, _ in told(site)] == ["open", "closed"]


# ---- a pause


def test_a_paused_source_takes_nothing(site: Site) -> None:
    found = site.pause_source("plain/drop", why="the disk is moved")
    assert (found.paused, found.why) != ("", "") and found.since is not None
    drop(site, "a.txt")
    assert site.run().registered == 0
    assert site.pause_source("drop", why="again").why == "the disk is moved"
    assert site.resume_source("drop").paused == ""
    assert site.resume_source("drop").paused == ""
    assert site.run().registered == 1
    assert told(site) == [("paused", "the disk is moved"), ("resumed", "")]


def test_a_daemon_heeds_a_pause(site: Site) -> None:
    arrivals = arrivals_of(site)
    arrivals.start()
    try:
        drop(site, "a.txt")
        wait_for(lambda: arrivals.registered == 1)
        site.pause_source("drop")
        time.sleep(1.6)  # it asks twice a second, and looks once
        drop(site, "b.txt")
        time.sleep(1.2)
        assert arrivals.registered == 1
        site.resume_source("drop")
        wait_for(lambda: arrivals.registered == 2, 20.0)
    finally:
        arrivals.stop()


def test_nothing_is_submitted_to_a_paused_source(site: Site) -> None:
    site.submit("asked", [{"key": "one"}])
    site.pause_source("ask", why="no room")
    with pytest.raises(StateError, match=r"the source plain/ask is paused by .*: no room; resume it first"):
        site.submit("asked", [{"key": "two"}])
    site.resume_source("ask")
    site.submit("asked", [{"key": "two"}])


def test_a_source_that_is_not_there_is_not_found(site: Site) -> None:
    with pytest.raises(NotFoundError, match="no source 'x'; there are plain/ask, plain/drop"):
        site.pause_source("x")
