"""Looking at sources: what arrives is registered, what is wrong is told once, and nothing ends the watching unseen."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import wait
from pathlib import Path

import pytest
from plainpipe.site import make, states, wait_for

from towpath import Asset, Request, Site
from towpath.adapters.sources import fetch
from towpath.app.arrivals import Arrivals

FOLDER = """
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
[items.note]
route = "copy"
"""


@pytest.fixture
def site(tmp_path: Path):
    make(tmp_path, FOLDER, executor="inline")
    with Site.open(tmp_path) as site:
        yield site


def arrivals_of(site: Site) -> Arrivals:
    return site._parts.arrivals()


def drop(site: Site, name: str, text: str = "text") -> None:
    (site.folder / "incoming" / name).write_text(text)


def problems(site: Site) -> list[str]:
    return [event.data["why"] for event in site.events(limit=10_000) if event.type == "problem"]


def test_a_look_registers_what_is_new(site: Site):
    arrivals = arrivals_of(site)
    assert arrivals.look() == 0
    drop(site, "a.txt")
    drop(site, "b.txt")
    assert (arrivals.look(), arrivals.registered) == (0, 2)
    assert (arrivals.look(), arrivals.registered) == (0, 2)
    assert [item.key for item in site.items()] == ["a", "b"]


def test_sources_on_one_root_pass_over_the_files_of_one_another(tmp_path: Path):
    other = """[sources.tables]
kind = "folder"
item = "note"
pattern = "tables/{name}.csv"
key = "{name}"
type = "plain/raw"
settled = "rename"
"""
    make(tmp_path, FOLDER.replace("[items.note]", f"{other}[items.note]"), executor="inline")
    with Site.open(tmp_path) as site:
        (site.folder / "incoming" / "tables").mkdir()
        for name in ("a.txt", "tables/b.csv", "c.doc"):
            drop(site, name)
        arrivals = arrivals_of(site)
        arrivals.look()
        assert [item.key for item in site.items()] == ["a", "b"]
        assert all("c.doc" in why for why in problems(site)) and problems(site)


def test_only_what_is_due_is_looked_at(site: Site):
    arrivals = arrivals_of(site)
    drop(site, "a.txt")
    arrivals.look(due_only=True)
    drop(site, "b.txt")
    arrivals.look(due_only=True)
    assert arrivals.registered == 1  # the next scan is in an hour, and nothing told of a change
    arrivals.look()
    assert arrivals.registered == 2


def test_a_source_whose_root_the_site_does_not_have_is_told(tmp_path: Path):
    make(tmp_path, FOLDER.replace('item = "note"', 'item = "note"\nroot = "nowhere"', 1), executor="inline")
    with Site.open(tmp_path) as site:
        assert site.run().registered == 0
        assert problems(site) == [
            "sources.drop: root: found 'nowhere'; expected a root of the site: archive, incoming, store"
        ]
        site.run()
        assert len(problems(site)) == 1
        arrivals = arrivals_of(site)
        arrivals.start()
        time.sleep(0.1)
        arrivals.check()
        arrivals.stop()


def test_a_folder_that_is_away_is_told_and_found_again(site: Site):
    arrivals = arrivals_of(site)
    shutil.rmtree(site.folder / "incoming")
    arrivals.look()
    assert len(problems(site)) == 1 and "there is no such folder" in problems(site)[0]
    (site.folder / "incoming").mkdir()
    drop(site, "a.txt")
    arrivals.look()
    assert arrivals.registered == 1


def test_what_changes_is_seen_by_event(site: Site):
    arrivals = arrivals_of(site)
    arrivals.start()
    try:
        drop(site, "a.txt")
        wait_for(lambda: arrivals.registered == 1)
        drop(site, "b.txt")
        wait_for(lambda: arrivals.registered == 2)
        arrivals.check()
    finally:
        arrivals.stop()
    drop(site, "c.txt")
    time.sleep(0.3)
    assert arrivals.registered == 2


def test_what_ends_the_watching_is_raised(site: Site, monkeypatch: pytest.MonkeyPatch):
    arrivals = arrivals_of(site)

    def broken(**_: object) -> int:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(arrivals, "look", broken)
    arrivals.start()
    try:
        with pytest.raises(ZeroDivisionError, match="a fault of ours"):
            wait_for(lambda: arrivals.check(), 20.0)
    finally:
        arrivals.stop()


def test_a_file_without_its_marker_does_not_keep_a_single_run(tmp_path: Path):
    make(tmp_path, FOLDER.replace('settled = "rename"', 'settled = "marker"'), executor="inline")
    with Site.open(tmp_path) as site:
        drop(site, "a.txt")
        started = time.monotonic()
        site.run()
        assert time.monotonic() - started < 10
        assert site.items() == []
        drop(site, "a.txt.done", "")
        site.run()
        assert states(site, "a") == {"copy": "done"}


def test_a_file_that_never_settles_does_not_keep_a_single_run_for_ever(tmp_path: Path):
    make(tmp_path, FOLDER.replace('settled = "rename"', 'settle = "1 h"'), executor="inline")
    with Site.open(tmp_path) as site:
        drop(site, "a.txt")
        started = time.monotonic()
        site.run(patience=0.5)
        assert time.monotonic() - started < 10
        assert site.items() == []


# ---- its end


ASKED = FOLDER.replace(
    "[sources.drop]",
    """[sources.early]
kind = "fetch"
item = "note"
type = "plain/raw"
requests = [{ key = "a", file = "a.txt" }, { key = "b", file = "b.txt" }]
[sources.late]
kind = "fetch"
item = "note"
type = "plain/raw"
requests = [{ key = "c", file = "c.txt" }]
[sources.drop]""",
).replace('"copy"', '"fetch -> copy"')


class Provider:
    """Does something when it is first asked."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act, self.asked, self.answered = act, [], []

    def assets(self, request: Request) -> list[Asset]:
        self.asked.append(request.key)
        if len(self.asked) == 1:
            self.act()
        self.answered.append(request.key)
        return [Asset(f"{request.key}.txt", request.key)]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], Provider]:
    """Give what sets what the provider does."""

    def set_it(act: Callable[[], object]) -> Provider:
        provider = Provider(act)
        monkeypatch.setattr(fetch, "load_provider", lambda *_: provider)
        return provider

    return set_it


def test_a_look_that_is_to_end_does_so_before_the_next_request_and_source(tmp_path: Path, ask):
    make(tmp_path, ASKED, executor="inline")
    with Site.open(tmp_path) as site:
        drop(site, "d.txt")
        arrivals = arrivals_of(site)
        provider = ask(arrivals.end)
        arrivals.begin().result(60)
        arrivals.stop()
        assert provider.answered == ["a"]
        assert [item.key for item in site.items()] == ["a"]  # what was answered is registered


@pytest.mark.parametrize("watch", [False, True])
def test_a_run_that_is_stopped_finishes_the_request(
    tmp_path: Path, ask, watch: bool, monkeypatch: pytest.MonkeyPatch
):
    make(tmp_path, ASKED, executor="inline")
    stops: list[Callable[[], None]] = []
    told = threading.Event()
    end = Arrivals.end

    def end_and_tell(arrivals: Arrivals) -> None:
        end(arrivals)
        told.set()

    def act() -> None:
        stops[0]()
        told.wait(60)

    monkeypatch.setattr(Arrivals, "end", end_and_tell)
    with Site.open(tmp_path) as site:
        provider = ask(act)
        summary = site.run(watch=watch, on_loop=stops.append)
        assert (summary.ended, summary.registered, provider.answered) == ("stopped", 1, ["a"])


@pytest.mark.parametrize("watch", [False, True])
def test_a_second_signal_gives_up_a_request_that_is_not_answered(tmp_path: Path, ask, watch: bool):
    make(tmp_path, ASKED, executor="inline")
    answers = threading.Event()

    def act() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
        answers.wait(60)

    with Site.open(tmp_path) as site:
        provider = ask(act)
        try:
            assert site.run(watch=watch).ended == "stopped"
            assert (provider.asked, provider.answered) == (["a"], [])
            looking = [one for one in threading.enumerate() if one.name.startswith("arrivals")]
            assert [one.daemon for one in looking] == [True]  # it does not keep the process from its end
        finally:
            answers.set()
        looking[0].join(60)
        assert provider.answered == ["a"]


def test_a_look_that_was_given_up_tells_nothing_when_it_finds_the_catalog_closed(
    tmp_path: Path, ask, caplog: pytest.LogCaptureFixture
):
    make(tmp_path, ASKED, executor="inline")
    asked, answers = threading.Event(), threading.Event()

    def act() -> None:
        asked.set()
        answers.wait(60)

    with Site.open(tmp_path) as site:
        ask(act)
        arrivals = arrivals_of(site)
        looking = arrivals.begin()
        assert asked.wait(60)
        arrivals.stop(lambda: True)
    answers.set()
    wait([looking], 60)
    assert looking.done() and "source failed" not in caplog.text
