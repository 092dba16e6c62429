"""A site that watches: files arrive, items and groups form or time out, and the pipeline file changes meanwhile."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from plainpipe.site import Daemon, make, states, wait_for

from towpath import Site
from towpath.testing.content import describe, differences, torn

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
[items.note]
route = "copy -> hash"
[items.trio]
group = { of = "note", at = "hash", size = 3, order_by = "key", key = "trio-{key}" }
route = "collect"
"""

CASES = """
[pipeline]
name = "plain"
[sources.asked]
kind = "submit"
item = "case"
[items.case]
route = "trouble -> hash"
time = "at"
[items.case.stages.trouble]
attempts = 3
backoff = "500 ms"
[items.pair]
group = { of = "case", at = "hash", size = 2, max_gap = "6 min" }
route = "collect"
"""


def watch(site: Site, until: Callable[[], bool], seconds: float = 60.0) -> None:
    """Watch until something is so."""
    end = time.monotonic() + seconds

    def tick(progress) -> None:
        if until() or time.monotonic() > end:
            progress.worker.loop.stop()

    site.run(watch=True, tick=tick)
    assert time.monotonic() < end, "it did not happen"


def drop(folder: Path, name: str, text: str) -> None:
    """Put a file into the incoming folder under its final name, whole."""
    incoming = folder / "incoming"
    incoming.mkdir(exist_ok=True)
    (incoming / f".{name}.part").write_text(text)
    (incoming / f".{name}.part").rename(incoming / name)


def is_done(site: Site, name: str) -> bool:
    found = site.items(text=name)
    return bool(found) and set(states(site, name).values()) == {"done"}


# ---- arrival


def test_files_arrive_become_items_and_groups(tmp_path: Path):
    make(tmp_path, FOLDER)
    for number in range(7):
        drop(tmp_path, f"n{number}.txt", f"text {number}\n")
    (tmp_path / "incoming" / "odd name.dat").write_text("what is this?")
    with Site.open(tmp_path) as site:
        summary = site.run()
        assert summary.registered == 7
        trios = {item.key: [m.key for m in site.show(item.name).members] for item in site.items(kind="trio")}
        assert sorted(len(members) for members in trios.values()) == [1, 3, 3]
        assert sorted(key for members in trios.values() for key in members) == [f"n{n}" for n in range(7)]
        assert all(members == sorted(members) for members in trios.values())
        problems = [event.data["why"] for event in site.events() if event.type == "problem"]
        assert len(problems) == 1 and "odd name.dat" in problems[0]
        assert site.run().did_nothing
        drop(tmp_path, "n7.txt", "text 7\n")
        drop(tmp_path, "n8.txt", "text 8\n")
        site.run()
        assert [set(states(site, item.name).values()) for item in site.items(kind="trio")] == [{"done"}] * 3
        assert torn(site) == []
        assert len([event for event in site.events(limit=10_000) if event.type == "problem"]) == 1


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ({"does": "sleep", "seconds": 1.5}, [["c0", "c1"], ["c2", "c3"]]),
        ({"does": "transient", "times": 9}, [["c1", "c2"]]),
    ],
    ids=["slow", "fails"],
)
def test_groups_do_not_depend_on_which_worker_is_done_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: dict[str, object], expected: list[list[str]]
):
    monkeypatch.setenv("PLAIN_LOG", str(tmp_path / "runs.log"))
    make(tmp_path, CASES)
    count = sum(map(len, expected)) + (len(expected) == 1)
    cases = [{"at": f"2025-06-14T00:{5 * number:02d}:00", "does": "write"} for number in range(count)]
    cases[0] |= first
    with Site.open(tmp_path) as site:
        site.submit("case", [{"key": f"c{number}", "attributes": case} for number, case in enumerate(cases)])
        site.run()
        pairs = site.items(kind="pair")
        assert sorted([one.key for one in site.show(pair.name).members] for pair in pairs) == expected
        assert {states(site, pair.name)["collect"] for pair in pairs} == {"done"}


def test_a_half_written_file_waits_until_it_is_whole(tmp_path: Path):
    make(tmp_path, FOLDER.replace('settled = "rename"', 'settled = "size"\nsettle = "600 ms"'))
    (tmp_path / "incoming").mkdir()
    number, written, last = 0, 0, 0.0

    with Site.open(tmp_path) as site:

        def step() -> bool:
            nonlocal number, written, last
            if written < 6:
                began = time.monotonic()
                with (tmp_path / "incoming" / f"slow{number}.txt").open("a") as file:
                    file.write(f"part {written}\n")
                written += 1
                if written > 1 and time.monotonic() - last >= 0.5:
                    number, written = number + 1, 0  # so late that it may well be taken: another is written
                last = began
                time.sleep(0.1)
            return is_done(site, f"slow{number}")

        watch(site, step)
        (raw,) = [one for one in site.show(f"slow{number}").products if not one.stage]
        assert raw.size == len("part 0\n") * 6
        assert [run.stage for run in site.runs(f"slow{number}")] == ["copy", "hash"]


def test_from_arrival_to_claim_takes_little_time(tmp_path: Path):
    make(tmp_path, FOLDER, executor="inline")
    arrived: dict[str, float] = {}
    with Site.open(tmp_path) as site:
        drop(tmp_path, "first.txt", "so that all is loaded\n")
        site.run()
        last = 0.0

        def step() -> bool:
            nonlocal last
            if len(arrived) < 25 and time.monotonic() - last > 0.11:
                name, last = f"n{len(arrived):02d}", time.monotonic()
                arrived[name] = time.time()
                drop(tmp_path, f"{name}.txt", name)
            return len(arrived) == 25 and all(is_done(site, name) for name in list(arrived)[-2:])

        watch(site, step)
        claimed = {name: site.runs(name)[0].began for name in arrived}
    waits = sorted(claimed[name] - arrived[name] for name in arrived)
    print(f"from arrival to claim: median {waits[12] * 1000:.0f} ms, p95 {waits[23] * 1000:.0f} ms")
    assert waits[0] > 0 and waits[-1] < 20


def test_a_file_that_is_replaced_is_processed_again(tmp_path: Path):
    make(
        tmp_path,
        FOLDER.replace('settled = "rename"', 'settled = "rename"\nlate = "revise"'),
        executor="inline",
    )
    drop(tmp_path, "n0.txt", "first\n")
    with Site.open(tmp_path) as site:
        site.run()
        before = describe(site)
        drop(tmp_path, "n0.txt", "second, longer\n")
        site.run()
        copy = next(one for one in site.show("n0").products if one.stage == "copy")
        assert site.place(copy).read_text() == "second, longer\n"
        assert torn(site) == []
        drop(tmp_path, "n0.txt", "first\n")
        site.run()
        assert differences(describe(site), before) == []


# ---- time-outs


SEVERAL = FOLDER.replace('pattern = "{name}.txt"', 'pattern = "{name}-{band:d}.txt"\ncomplete = 2').replace(
    'route = "copy -> hash"', 'route = "trouble"'
)


@pytest.mark.parametrize(
    ("policy", "gather", "stage"),
    [("hold", "held", "waiting"), ("process", "done", "done"), ("reject", "rejected", "waiting")],
)
def test_an_item_that_is_not_complete_in_time(tmp_path: Path, policy: str, gather: str, stage: str):
    text = SEVERAL.replace("complete = 2", f'complete = 2\ntimeout = "700 ms"\non_timeout = "{policy}"')
    text = text.replace('at = "hash"', 'at = "trouble"').replace('route = "collect"', 'route = "snapshot"')
    make(tmp_path, text, executor="inline")
    drop(tmp_path, "whole-1.txt", "a")
    drop(tmp_path, "whole-2.txt", "b")
    drop(tmp_path, "half-1.txt", "c")
    with Site.open(tmp_path) as site:
        watch(site, lambda: bool(site.items(text="half")) and states(site, "half")["@gather"] == gather)
        site.run()
        assert states(site, "half") == {"@gather": gather, "trouble": stage}
        assert set(states(site, "note/whole").values()) == {"done"}
        if policy == "hold":
            assert "time-out: 1 of 2 files" in site.show("half").work[0].note
            drop(tmp_path, "half-2.txt", "d")
            site.run()
            assert states(site, "half") == {"@gather": "done", "trouble": "done"}


@pytest.mark.parametrize(
    ("policy", "gather", "stage"),
    [("hold", "held", "waiting"), ("process", "done", "done"), ("reject", "rejected", "waiting")],
)
def test_a_group_that_is_not_complete_in_time(tmp_path: Path, policy: str, gather: str, stage: str):
    text = FOLDER.replace("size = 3", f'size = 3, timeout = "1 h", on_timeout = "{policy}"')
    make(tmp_path, text, executor="inline")
    for name in ("a", "b", "c"):
        drop(tmp_path, f"{name}.txt", name)
    with Site.open(tmp_path) as site:
        site.run()  # however long they take, these are a whole group
    make(tmp_path, text.replace("1 h", "600 ms"), executor="inline")
    drop(tmp_path, "d.txt", "d")
    with Site.open(tmp_path) as site:
        site.apply()
        late = {"hold": "held", "process": "done", "reject": "rejected"}[policy]

        def ended() -> bool:
            return any(
                states(site, item.name)["@gather"] == late
                for item in site.items(kind="trio")
                if is_small(item)
            )

        def is_small(item) -> bool:
            return len(site.show(item.name).members) < 3

        watch(site, ended)
        site.run()
        (small,) = [item for item in site.items(kind="trio") if is_small(item)]
        (whole,) = [item for item in site.items(kind="trio") if not is_small(item)]
        assert states(site, small.name) == {"@gather": gather, "collect": stage}
        assert states(site, whole.name) == {"@gather": "done", "collect": "done"}
        if policy == "hold":
            assert "time-out" in site.show(small.name).work[0].note
            assert site.release(small.name, "@gather", accept=True) == 1
            site.run()
            assert states(site, small.name) == {"@gather": "done", "collect": "done"}


# ---- the pipeline file changes


RELOADED = """
[pipeline]
name = "plain"
[sources.asked]
kind = "submit"
item = "note"
[items.note]
route = "write -> hash"
[items.note.stages.write]
params = { greeting = "hello", delay = 0.0 }
"""


def text_of(site: Site, name: str) -> str:
    (found,) = [one for one in site.show(name).products if one.stage == "write"]
    return site.place(found).read_text()


def test_a_newer_pipeline_file_is_swapped_in_while_running(tmp_path: Path):
    make(tmp_path, RELOADED.replace("delay = 0.0", "delay = 2.5"))
    file = tmp_path / "plain.toml"
    steps: Iterator[bool]

    with Site.open(tmp_path) as site:
        first = site.definitions["plain"]
        site.submit("note", [{"key": "old"}])

        def told(kind: str) -> list:
            return [event for event in site.events(limit=10_000) if event.type == kind]

        def scenario() -> Iterator[bool]:
            while states(site, "old")["write"] != "running":
                yield False
            file.write_text(RELOADED.replace("hello", "welcome"))
            while site.definitions["plain"] is first:
                yield False
            assert states(site, "old")["write"] == "running"
            site.submit("note", [{"key": "new"}])
            while not (is_done(site, "new") and is_done(site, "old")):
                yield False
            file.write_text(RELOADED.replace("route", "rout"))
            while not told("definition refused"):
                yield False
            site.submit("note", [{"key": "third"}])
            while not is_done(site, "third"):
                yield False
            file.write_text(RELOADED.replace("hello", "good day"))
            while len(told("definition")) < 3:
                yield False
            site.submit("note", [{"key": "fourth"}])
            while not is_done(site, "fourth"):
                yield False
            yield True

        steps = scenario()
        watch(site, lambda: next(steps, True))
        assert text_of(site, "old") == "hello old\n"  # it ended as it had begun
        assert text_of(site, "new") == "welcome new\n"
        assert text_of(site, "third") == "welcome third\n"
        assert text_of(site, "fourth") == "good day fourth\n"
        (refused,) = told("definition refused")
        assert refused.pipeline == "plain"
        assert "plain.toml" in refused.data["error"] and "rout" in refused.data["error"]
        assert [site.find(name).definition for name in ("old", "new", "third", "fourth")] == [1, 2, 2, 3]
        with site.catalog.read() as view:
            row = site.show("old").work[0]
            assert view.components(row.id, row.token)["params"]["greeting"] == "hello"
        stale = {(one.item, one.stage): one.why for one in site.plan().work if one.action == "apply"}
        assert set(stale) == {(f"note/{name}", "write") for name in ("old", "new", "third")}
        assert torn(site) == []


def test_a_watching_daemon_works_for_others_and_ends_when_asked(tmp_path: Path):
    make(tmp_path, RELOADED)
    with Site.open(tmp_path) as site, Daemon(tmp_path, watch=True) as daemon:
        wait_for(lambda: site.status().sessions)
        site.submit("note", [{"key": "a"}])
        wait_for(lambda: is_done(site, "a"))
        seen = [event.type for event in site.events(item="a")]
        assert seen == ["registered", "done", "done"]
        daemon.terminate()
        assert daemon.wait() == 0, daemon.text()
        assert site.status().sessions == ()
        assert not list((tmp_path / ".towpath" / "sessions").iterdir())


def test_events_are_gapless_and_follow(tmp_path: Path):
    make(tmp_path, RELOADED, executor="inline")
    with Site.open(tmp_path) as site:
        site.submit("note", [{"key": str(number)} for number in range(20)])
        site.run()
        story = site.events(limit=10_000)
        assert [event.seq for event in story] == list(range(1, len(story) + 1))
        following = site.follow(story[-3].seq)
        assert [next(following).seq, next(following).seq] == [story[-2].seq, story[-1].seq]


def test_the_folder_is_left_as_it_was(tmp_path: Path):
    make(tmp_path, FOLDER, executor="inline")
    drop(tmp_path, "n0.txt", "text\n")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "incoming").iterdir()}
    with Site.open(tmp_path) as site:
        site.run()
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "incoming").iterdir()} == before
