"""Files of records: what is started for them, with which number, once; what comes back on the record, and what lets us."""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from plainpipe.site import make

from towpath import Site
from towpath.adapters.repositories.folder import FolderRepository
from towpath.app.records import Records
from towpath.base.errors import (
    BusyError,
    DefinitionError,
    NotFoundError,
    SiteError,
    StateError,
    Transient,
    UsageError,
)
from towpath.base.states import Outcome, Work
from towpath.contracts.records import HEAD, LONGER_HEAD, Role, Seen, Workflow
from towpath.contracts.repository import Capability, RecordEntry, RecordFile
from towpath.testing.postgres import Server

PIPELINE = """
[pipeline]
name = "plain"

[sources.counts]
kind = "records"
item = "count"
title = "Word counts"
scan_every = "1 s"
[sources.counts.match.text]
extension = ["txt"]
at_most = "1 kB"

[sources.pairs]
kind = "records"
item = "pair"
per = "track"
automatic = false
[sources.pairs.match.track]
extension = ["trk"]
[sources.pairs.match.frame]
extension = ["frm", "txt"]

[items.count]
route = "retrieve -> count -> deliver"
[items.count.stages.count]
kind = "command"
argv = ["cp", "{input.text}", "{output.copy}"]
consumes.text = "deposit/text"
produces.copy = { type = "text/plain", file = "copy.txt" }

[items.pair]
route = "retrieve -> join -> deliver"
[items.pair.stages.join]
kind = "command"
argv = ["cat", "{input.track}", "{input.frame}"]
consumes = { track = "deposit/track", frame = "deposit/frame" }
produces.joined = "text/plain"
[items.pair.deliver]
products = ["join"]
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    make(tmp_path, PIPELINE, executor="inline")
    (tmp_path / "towpath.toml").write_text(
        (tmp_path / "towpath.toml").read_text() + '[repositories.records]\nroot = "records"\nsettle = 0.0\n'
    )
    (tmp_path / "records").mkdir()
    with Site.open(tmp_path) as site:
        yield site


def put(site: Site, record: str, **files: str) -> Path:
    folder = site.folder / "records" / record
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def keys(site: Site) -> list[str]:
    return [item.key for item in site.items()]


def test_a_new_file_is_processed_and_what_was_made_is_put_on_its_record(site: Site) -> None:
    folder = put(site, "r1", a__txt="three words here", notes__md="no workflow")
    summary = site.run()
    assert summary.runs == {"done": 3}
    assert keys(site) == ["r1-count-1"]
    assert (folder / "r1-count-1-count-copy.txt").read_text() == "three words here"
    item = site.find("r1-count-1")
    assert item.attributes["record"] == "r1"
    assert item.attributes["file"] == "a.txt"
    assert item.attributes["by"] == "source counts"


def test_more_of_a_text_is_looked_at_where_it_may_be_what_is_sought(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other text before what tells it, as of a script, is passed over; what no name asks for is not read for it."""
    role = Role("text", extension=("txt",), content=("prose",))
    records = Records(
        site.catalog,
        site._parts.records.repositories,
        definitions=dict,
        content_of=lambda _: lambda head: "prose" if b"Once" in head.replace(b"\0", b"") else "",
    )
    monkeypatch.setattr(
        records, "workflows", lambda _: [Workflow("plain", "count", "counts", (role,), "text")]
    )
    before = "of a script\n" * 8000
    put(site, "r1", late__txt=f"{before}Once", soon__txt=f"Once{before}", none__txt=before, late__md=f"{before}Once",
        binary__txt=f"{before}Once".replace("\n", "\0"), short__txt="of a script")  # fmt: skip
    (site.folder / "records" / "r1" / "wide.txt").write_bytes(f"{before}Once".encode("utf-16"))
    looks: list[tuple[str, int]] = []
    head = FolderRepository.head

    def looking(self: FolderRepository, record: str, key: str, size: int, by: Capability | None) -> bytes:
        looks.append((key, size))
        return head(self, record, key, size, by)

    monkeypatch.setattr(FolderRepository, "head", looking)
    seen = {one.key: one.content for one in records.listing("plain", "records", "r1").seen}
    assert seen == {
        "late.txt": "prose",
        "soon.txt": "prose",
        "none.txt": "",
        "late.md": "",
        "binary.txt": "",
        "short.txt": "",
        "wide.txt": "prose",
    }
    assert sorted(one for one in looks if one[1] > HEAD) == [
        ("late.txt", LONGER_HEAD),
        ("none.txt", LONGER_HEAD),
        ("wide.txt", LONGER_HEAD),
    ]


def test_neither_a_second_look_nor_what_was_delivered_starts_anything(site: Site) -> None:
    put(site, "r1", a__txt="text")
    site.run()
    assert site.run().did_nothing
    with Site.open(site.folder) as other:  # which remembers nothing of the first look
        assert other.run().did_nothing
    assert keys(site) == ["r1-count-1"]


def test_a_changed_file_is_processed_once_more_under_the_next_number(site: Site) -> None:
    folder = put(site, "r1", a__txt="one")
    site.run()
    (folder / "a.txt").write_text("another")
    site.run()
    assert keys(site) == ["r1-count-1", "r1-count-2"]
    assert (folder / "r1-count-2-count-copy.txt").read_text() == "another"
    assert (folder / "r1-count-1-count-copy.txt").read_text() == "one"


def test_numbers_are_those_of_a_record_and_a_workflow(site: Site) -> None:
    put(site, "r1", a__txt="1", b__txt="2")
    put(site, "r1-count-1", a__txt="3")
    site.run()
    assert sorted(keys(site)) == ["r1-count-1", "r1-count-1-count-1", "r1-count-2"]


def test_a_hundred_starts_at_once_get_a_hundred_numbers(site: Site) -> None:
    put(site, "r1", a__txt="text")
    problems: list[BaseException] = []

    def begin() -> None:
        try:
            site.start("plain", "r1", "count", force=True)
        except BaseException as error:  # noqa: BLE001  told below
            problems.append(error)

    threads = [threading.Thread(target=begin) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert sorted(item.attributes["n"] for item in site.items(limit=1000)) == list(range(1, 101))


def test_starts_of_several_servers_on_postgresql_get_numbers_without_a_gap(
    tmp_path: Path, postgres: Server, migrated_template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOWPATH_SITE__CATALOG", postgres.database(template=migrated_template))
    make(tmp_path, PIPELINE, executor="inline")
    (tmp_path / "records" / "r1").mkdir(parents=True)
    (tmp_path / "records" / "r1" / "a.txt").write_text("text")
    problems: list[BaseException] = []
    with Site.open(tmp_path) as one, Site.open(tmp_path) as other:
        time.sleep(1.0)  # the file settles

        def begin(site: Site) -> None:
            try:
                site.start("plain", "r1", "count", force=True)
            except BaseException as error:  # noqa: BLE001  told below
                problems.append(error)

        threads = [threading.Thread(target=begin, args=(site,)) for site in (one, other) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert problems == []
        assert sorted(item.attributes["n"] for item in one.items(limit=1000)) == list(range(1, 41))


def test_a_file_in_work_is_not_taken_twice_unless_forced(site: Site) -> None:
    put(site, "r1", a__txt="text", b__txt="text too")
    first = site.start("plain", "r1", "count", files=["a.txt"])
    assert [one.key for one, _ in first.started] == ["r1-count-1"]
    with pytest.raises(BusyError, match=r"a\.txt is in work for count: r1-count-1") as caught:
        site.start("plain", "r1", "count", files=["a.txt"])
    assert caught.value.holder == "r1-count-1"
    both = site.start("plain", "r1", "count")
    assert [one.key for one, _ in both.started] == ["r1-count-2"]
    assert [one.holder for one in both.refused] == ["r1-count-1"]
    forced = site.start("plain", "r1", "count", files=["a.txt"], force=True)
    assert [one.key for one, _ in forced.started] == ["r1-count-3"]
    site.run()
    again = site.restart("r1-count-1")
    assert [one.key for one, _ in again.started] == ["r1-count-4"]


def test_files_of_several_roles_are_found_beside_one_another(site: Site) -> None:
    folder = put(site, "r1", run__trk="track ", run__frm="frame", other__frm="x", lone__trk="y")
    matched, listing = site.available_on("plain", "r1")
    (offer,) = matched.offers
    assert offer.files == {"track": "run.trk", "frame": "run.frm"}
    assert offer.why == "run.trk ends in .trk; run.frm is its frame"
    assert "lone.trk" in matched.unmatched and "name one of them" in matched.unmatched["lone.trk"]
    assert sorted(listing.files) == ["lone.trk", "other.frm", "run.frm", "run.trk"]
    begun = site.start("plain", "r1", "pair", files=["lone.trk", "other.frm"])
    assert [one.key for one, _ in begun.started] == ["r1-pair-1"]
    site.run()
    assert not (folder / "r1-pair-1-join-joined").exists(), "cat writes to the log, not to a file"
    assert site.show("r1-pair-1").work[1].state is Work.FAILED


def test_what_does_not_apply_says_why(site: Site) -> None:
    put(site, "r1", a__md="text", big__txt="x" * 2000)
    with pytest.raises(
        UsageError, match=r"count does not apply to files of r1: .*no workflow takes \.md files"
    ):
        site.start("plain", "r1", "count", files=["a.md"])
    with pytest.raises(UsageError, match="it has 2 kB, more than 1 kB"):
        site.start("plain", "r1", "count", files=["big.txt"])
    with pytest.raises(NotFoundError, match="r1 has no file gone"):
        site.start("plain", "r1", "count", files=["gone"])
    with pytest.raises(NotFoundError, match="found no workflow 'guess'; there are count, pair"):
        site.start("plain", "r1", "guess")
    with pytest.raises(NotFoundError, match="there is no record 'r9'"):
        site.start("plain", "r9")
    assert site.available("plain", [Seen("a.txt")]).offers[0].workflow.name == "count"


def test_a_file_that_changed_after_the_start_is_not_processed_as_what_it_was(site: Site) -> None:
    folder = put(site, "r1", a__txt="one")
    site.start("plain", "r1", "count")
    (folder / "a.txt").write_text("another one")
    site.run()
    first, second = site.show("r1-count-1"), site.show("r1-count-2")
    assert first.work[0].state is Work.REJECTED
    assert "changed or taken away" in first.runs[-1].reasons[0]
    assert second.work[-1].state is Work.DONE
    assert [one.key for one, _ in site.restart("r1-count-1").started] == ["r1-count-3"], (
        "it holds its file no more"
    )
    (folder / "a.txt").unlink()
    site.run()
    assert "changed or taken away" in site.show("r1-count-3").runs[-1].reasons[0]


def test_a_file_that_comes_back_after_it_was_missed_is_processed(site: Site) -> None:
    folder = put(site, "r1", a__txt="one")
    for n in (1, 2, 3):  # so often at most: it may be the repository that is wrong
        assert [one.key for one, _ in site.look_at_record("plain", "r1").started] == [f"r1-count-{n}"]
        (folder / "a.txt").rename(folder / "a.away")
        site.run()
        assert site.show(f"r1-count-{n}").work[0].state is Work.REJECTED
        (folder / "a.away").rename(folder / "a.txt")
    assert site.run().did_nothing
    assert [one.key for one, _ in site.start("plain", "r1", "count").started] == ["r1-count-4"]


def test_a_record_that_cannot_be_looked_at_hides_no_other(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(5):
        put(site, f"r{n}", a__txt="one")
    repository, asked, wrong = site._parts.records.repositories("records"), [], {"r1", "r3"}
    files = repository.files

    def look(record: str, by: Capability | None = None) -> Sequence[RecordFile]:
        asked.append(record)
        if record in wrong:
            raise Transient(f"answered 500 for {record}")
        return files(record, by)

    monkeypatch.setattr(repository, "files", look)
    site.run()
    assert sorted(keys(site)) == ["r0-count-1", "r2-count-1", "r4-count-1"]
    told = [event.data["why"] for event in site.events(limit=1000) if event.type == "problem"]
    assert told == [f"sources.counts: record {name}: answered 500 for {name}" for name in ("r1", "r3")]
    for n in range(5, 12):
        put(site, f"r{n}", a__txt="one")
    wrong |= {f"r{n}" for n in range(5, 12)}
    asked.clear()
    site.run()
    assert len(asked) == 3, "now it is the repository"


def test_a_look_that_is_ended_midway_forgets_no_record(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The repository is asked for what changed since the last look, and that one has not seen all."""
    for n in range(4):
        put(site, f"r{n}", a__txt="one")
    repository = site._parts.records.repositories("records")
    records = repository.records

    def changed(since: str = "") -> list[RecordEntry]:
        return [
            one for one in (replace(one, version=f"v{one.id}") for one in records()) if one.version > since
        ]

    monkeypatch.setattr(repository, "records", changed)
    plan = next(iter(site.definitions.values())).sources["counts"]
    pauses = iter([False, True])
    site._parts.records.look(plan, site.catalog.write, is_paused=lambda: next(pauses))
    assert len(keys(site)) == 1
    site.run()
    assert sorted(keys(site)) == [f"r{n}-count-1" for n in range(4)]


def test_a_published_record_keeps_its_files_and_the_results_stay_here(site: Site) -> None:
    folder = put(site, "r1", a__txt="one")
    (folder / ".record.toml").write_text("published = true\n")
    site.run()
    run = site.show("r1-count-1").runs[-1]
    assert run.outcome is Outcome.DONE
    assert run.caveats == (
        "the record r1 is published, and files cannot be added to it: the results stay here",
    )
    assert sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) == ["a.txt"]


def test_a_hook_of_the_repository_starts_at_once_what_is_mapped(site: Site) -> None:
    put(site, "r1", a__txt="one", run__trk="t", run__frm="f")
    begun = site.look_at_record("plain", "r1")
    assert [one.key for one, _ in begun.started] == ["r1-count-1"]
    assert site.look_at_record("plain", "r1").started == ()


def test_a_paused_source_starts_nothing(site: Site) -> None:
    put(site, "r1", a__txt="one")
    site.pause_source("counts", why="maintenance")
    assert site.run().did_nothing
    with pytest.raises(StateError, match="maintenance"):
        site.start("plain", "r1", "count")
    site.resume_source("counts")
    assert site.run().runs == {"done": 3}


def test_a_daemon_sees_a_file_soon_after_it_is_there(site: Site) -> None:
    stop: list = []
    thread = threading.Thread(target=lambda: site.run(watch=True, on_loop=stop.append))
    thread.start()
    try:
        folder = put(site, "r1", a__txt="one")
        end = time.monotonic() + 20
        while not (folder / "r1-count-1-count-copy.txt").exists() and time.monotonic() < end:
            time.sleep(0.05)
        assert (folder / "r1-count-1-count-copy.txt").read_text() == "one"
    finally:
        stop[0]()
        thread.join()


def test_a_workflow_whose_name_is_too_long_is_refused_when_the_file_is_loaded(tmp_path: Path) -> None:
    long = "a" * 40
    text = PIPELINE.replace('item = "count"', f'item = "{long}"').replace("[items.count", f"[items.{long}")
    make(tmp_path, text, executor="inline")
    with pytest.raises(DefinitionError, match=r"at most 32 characters.*has 63 at most"):
        Site.open(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('at_most = "1 kB"', 'content = ["prose"]', "cannot tell what files are"),
        (
            'at_most = "1 kB"',
            "at_most = 1\nat_least = 2",
            r"match.text \(line \d+\): .* not larger than at_most",
        ),
        ('per = "track"', 'per = "trak"', r"not optional \(track, frame\), not 'trak'"),
        (
            "[sources.pairs.match.frame]",
            "[sources.pairs.match.frame]\noptional = true",
            "input 'frame' of a role that may be empty; expected an input that is optional",
        ),
        (
            'title = "Word counts"',
            'repository = "x"',
            "sources.counts.repository: found no repository 'x'; expected",
        ),
    ],
)
def test_a_mapping_that_cannot_be_is_refused(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in PIPELINE
    make(tmp_path, PIPELINE.replace(old, new), executor="inline")
    with pytest.raises((DefinitionError, SiteError), match=told):
        Site.open(tmp_path)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (
            'kind = "foldr"',
            "towpath.toml: repositories.records.kind (line 10): found 'foldr'; expected one of folder",
        ),
        (
            'rot = "x"',
            "towpath.toml: repositories.records.rot (line 10): found an unknown key; expected one of root",
        ),
        (
            "settle = 1",
            "towpath.toml: repositories.records.root (line 9): found nothing; expected the folder",
        ),
    ],
)
def test_settings_of_a_repository_that_are_wrong_are_told_with_their_place(
    tmp_path: Path, table: str, told: str
) -> None:
    make(tmp_path, PIPELINE, executor="inline")
    file = tmp_path / "towpath.toml"
    file.write_text(file.read_text() + "[repositories.records]\n" + table + "\n")
    with Site.open(tmp_path) as site, pytest.raises(DefinitionError) as refused:
        site.available_on("plain", "r1")
    assert str(refused.value).startswith(told)


def test_deliver_needs_a_repository(tmp_path: Path) -> None:
    text = PIPELINE.replace('kind = "records"\nitem = "count"', 'kind = "submit"\nitem = "count"')
    text = text.replace(
        'title = "Word counts"\nscan_every = "1 s"\n[sources.counts.match.text]\nextension = ["txt"]\nat_most = "1 kB"\n',
        "",
    )
    make(tmp_path, text, executor="inline")
    with pytest.raises(DefinitionError, match="no repository that the items come from"):
        Site.open(tmp_path)


def test_what_a_killed_process_carried_is_removed_after_a_day(site: Site) -> None:
    carried = site.folder / ".towpath" / "carried"
    for name in ("retrieve-old", "retrieve-new"):
        (carried / name).mkdir(parents=True)
        (carried / name / "part").write_text("half")
    long_ago = time.time() - 2 * 86400
    os.utime(carried / "retrieve-old", (long_ago, long_ago))
    site.run()
    assert [path.name for path in carried.iterdir()] == ["retrieve-new"]
