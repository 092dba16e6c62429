"""Files of the store and the archive that somebody deletes, cuts, replaces, touches or swaps: found, named, never spread."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from plainpipe.site import make, notes, states
from typer.testing import CliRunner

from towpath import Site
from towpath.cli.entry import app
from towpath.flow.reconcile import Pace
from towpath.testing.content import describe, differences, torn

ROUTE = """
[pipeline]
name = "plain"
licence = "CC0-1.0"
[sources.asked]
kind = "submit"
item = "note"
[items.note]
route = "write -> hash -> publish"
"""


def delete(path: Path, _other: Path) -> None:
    path.unlink()


def truncate(path: Path, _other: Path) -> None:
    os.truncate(path, 3)


def replace(path: Path, _other: Path) -> None:
    path.write_bytes(b"x" * path.stat().st_size)


def rot(path: Path, _other: Path) -> None:
    """Other bytes, and neither size nor time tells."""
    status = path.stat()
    path.write_bytes(b"x" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def touch(path: Path, _other: Path) -> None:
    os.utime(path)


def swap(path: Path, other: Path) -> None:
    spare = path.with_name("spare")
    path.rename(spare)
    other.rename(path)
    spare.rename(other)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PLAIN_LOG", str(tmp_path / "runs.log"))
    return make(tmp_path / "site", ROUTE, executor="inline")


def place(site: Site, name: str, stage: str = "write") -> Path:
    (product,) = [one for one in site.show(name).products if one.stage == stage]
    return site.place(product)


def said(site: Site, name: str, stage: str = "write") -> str:
    (product,) = [one for one in site.show(name).products if one.stage == stage]
    return product.state.value


@pytest.mark.parametrize(
    ("tamper", "found"),
    [(delete, "missing"), (truncate, "changed"), (replace, "changed"), (swap, "changed"), (touch, "touched")],
)
@pytest.mark.parametrize("is_finished", [True, False])
def test_what_is_tampered_with_is_named_and_never_read(
    folder: Path, tamper: Callable[[Path, Path], None], found: str, is_finished: bool
):
    with Site.open(folder) as site:
        site.submit("note", notes(1))
        held = [] if is_finished else [site.hold(item.name, "hash", why="a test") for item in site.items()]
        site.run()
        expected = None if held else describe(site)
        one, other = place(site, "n000-0"), place(site, "n000-1")
        tamper(one, other)
        assert {finding.what for finding in site.plan().findings} == {found}
        for item in site.items() if held else ():
            site.release(item.name)
        site.run()
        victims = ["n000-0", "n000-1"] if tamper is swap else ["n000-0"]
        if found == "changed":
            assert [said(site, name) for name in victims] == ["changed"] * len(victims)
            if held:
                assert {states(site, name)["hash"] for name in victims} == {"waiting"}
            for name in victims:
                site.rerun(name, "write", why="somebody changed it")
            site.run()
        assert {said(site, name) for name in victims} == {"current"}
        assert torn(site) == []
        assert all(set(states(site, item.name).values()) == {"done"} for item in site.items())
        if expected:
            assert differences(describe(site), expected) == []
        assert site.run().did_nothing


@pytest.mark.parametrize("is_tampered", [True, False])
def test_bytes_that_rot_unseen_are_found_by_reading_them(folder: Path, is_tampered: bool):
    with Site.open(folder) as site:
        site.submit("note", notes(2))
        site.run()
        if is_tampered:
            rot(place(site, "n000-2"), folder)
        assert site.run().did_nothing  # by size and time there is nothing
        state, found = site.verify()
        assert (state.done, state.looked, state.found) == (True, 8 * 2 + 8, int(is_tampered))
        assert [(one.what, one.path) for one in found] == (
            [("changed", site.show("n000-2").products[0].path)] if is_tampered else []
        )
        assert said(site, "n000-2") == ("changed" if is_tampered else "current")


@pytest.mark.parametrize(("tamper", "what"), [(delete, "missing"), (rot, "changed")])
def test_what_is_published_and_damaged_is_told_and_left(
    folder: Path, tamper: Callable[[Path, Path], None], what: str
):
    with Site.open(folder) as site:
        site.submit("note", notes(1))
        site.run()
        (row,) = site.publications("n000-1")
        target = folder / "archive" / row.target
        tamper(next(path for path in sorted(target.rglob("*")) if path.suffix == ".txt"), folder)
        _, found = site.verify()
        assert [(one.what, one.root, one.path) for one in found] == [("changed", "archive", row.target)]
        (told,) = [event for event in site.events(item="n000-1") if event.type.startswith("published ")]
        assert told.type == "published changed"
        assert site.run().did_nothing
        assert what in ("missing", "changed")


def test_a_round_goes_on_where_it_stopped_and_a_new_one_begins_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("towpath.flow.reconcile._STEP", 3)
    with Site.open(folder) as site:
        site.submit("note", notes(2))
        site.run()
        rot(place(site, "n001-3"), folder)
        asked = iter([False, False, True])
        first, found = site.verify(until=lambda: next(asked))
        assert (first.done, first.looked, found) == (False, 6, [])
    with Site.open(folder) as site:  # another process, later
        seen: list[tuple[int, int]] = []
        second, found = site.verify(progress=lambda done, total: seen.append((done, total)))
        assert (second.done, second.looked, len(seen)) == (True, 24, 18)
        assert first.bytes < seen[0][0] and seen[-1] == (second.bytes, second.bytes)
        sizes = [row.size for item in site.items() for row in site.show(item.name).products]
        assert seen[0][1] >= sum(
            sizes
        )  # known from the beginning, but for the documents of what is published
        assert second.began == first.began
        assert [one.what for one in found] == ["changed"]
        third, found = site.verify()  # the last was at its end: a new round, in which nothing is new
        assert (third.done, third.looked, third.began > first.began, found) == (True, 24, True, [])
        asked = iter([False, True])
        site.verify(until=lambda: next(asked))
        again, _ = site.verify(restart=True)
        assert again.looked == 24


def test_reading_keeps_to_its_rate():
    now, slept = [100.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    pace = Pace(1e6, lambda: now[0], sleep)
    for _ in range(10):
        pace(500_000)
    assert now[0] == pytest.approx(104.9, abs=0.2)
    now[0] += 60.0  # nothing was read for a minute: that is not made up for
    pace(1_000_000)
    assert slept[-1] == pytest.approx(0.9)
    Pace(0.0, lambda: now[0], sleep)(10**12)
    assert slept[-1] == pytest.approx(0.9)


def test_the_command_tells_what_it_found_and_ends_with_1(folder: Path):
    run = CliRunner().invoke
    with Site.open(folder) as site:
        site.submit("note", notes(1))
        site.run()
        path = place(site, "n000-3")
    done = run(app, ["--site", str(folder), "verify", "--rate", "50 MB"])
    assert (done.exit_code, "12 products read" in done.output) == (0, True), done.output
    rot(path, folder)
    done = run(app, ["--site", str(folder), "--json", "verify", "--for", "1 h"])
    told = json.loads(done.stdout)
    assert (done.exit_code, told["done"], told["found"], told["looked"]) == (1, True, 1, 12)
    assert [one["what"] for one in told["findings"]] == ["changed"]
    for wrong in (["--rate", "much"], ["--for", "long"]):
        assert run(app, ["--site", str(folder), "verify", *wrong]).exit_code == 2
