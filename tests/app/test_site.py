"""The verbs of a site that the system tests do not go through: names, lists, submitting, logs, publishing by hand."""

from pathlib import Path

import pytest
from plainpipe.site import make, notes, states

from towpath import Site
from towpath.base.errors import NotFoundError, StateError, UsageError
from towpath.testing.content import torn

SEVERAL = """
[pipeline]
name = "plain"
[sources.asked]
kind = "submit"
item = "note"
type = "plain/raw"
[sources.told]
kind = "submit"
item = "case"
[items.note]
route = "copy -> hash"
time = ["begin", "end"]
[items.case]
route = "trouble"
[items.pair]
group = { of = "case", size = 2, key = "pair-{key}", order_by = "key" }
route = "snapshot"
"""


@pytest.fixture
def site(tmp_path: Path):
    make(tmp_path, SEVERAL, executor="inline")
    with Site.open(tmp_path) as site:
        yield site


# ---- submitting


def test_items_are_submitted_with_facts_and_files(site: Site):
    raw = site.folder / "incoming" / "deep" / "a.txt"
    raw.parent.mkdir()
    raw.write_text("text\n")
    table = {
        "key": "a", "time": ["2024-01-01", "2024-01-02"], "footprint": [10, -30, 11, -29],
        "attributes": {"x": 1}, "files": [str(raw)],
    }  # fmt: skip
    assert site.submit("note", [table]) == site.submit("plain/note", [table]) == [1]
    details = site.show("a")
    assert details.item.span is not None and details.item.span.end - details.item.span.begin == 86400
    assert details.item.footprint is not None and details.item.footprint.north == -29
    assert [(p.root, p.path, p.type) for p in details.products] == [("incoming", "deep/a.txt", "plain/raw")]
    site.run()
    assert set(states(site, "a").values()) == {"done"}


def test_the_time_may_be_one_moment_or_stand_in_attributes(site: Site):
    site.submit("note", [{"key": "a", "time": "2024-01-01T00:00:10"}])
    site.submit("note", [{"key": "b", "attributes": {"begin": "2024-01-01", "end": "2024-01-02"}}])
    a, b = site.find("a").span, site.find("b").span
    assert a is not None and a.begin == a.end
    assert b is not None and b.end - b.begin == 86400


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "without a key"),
        ({"key": "a", "time": "soon"}, "item 'a'"),
        ({"key": "a", "footprint": [1, 2]}, "item 'a'"),
        ({"key": "a", "files": ["/etc/passwd"]}, "lies below no root; roots are archive, incoming, store"),
        ({"key": "a", "files": ["{incoming}/none.txt"]}, "none.txt: there is no such file"),
    ],
)
def test_what_cannot_be_submitted_is_said(site: Site, table: dict, said: str):
    files = [name.format(incoming=site.folder / "incoming") for name in table.get("files", ())]
    with pytest.raises(UsageError, match=said):
        site.submit("note", [{**table, **({"files": files} if files else {})}])
    assert site.items() == []


def test_a_kind_without_a_source_takes_nothing(site: Site):
    with pytest.raises(UsageError, match="'pair': 0 sources of kind submit take it; expected exactly one"):
        site.submit("pair", [{"key": "a"}])


def test_submitted_items_are_grouped_as_they_are_registered(site: Site):
    site.submit("case", [{"key": "a"}])
    assert [item.key for item in site.items(kind="pair")] == ["pair-a"]
    site.submit("case", [{"key": "a"}, {"key": "b"}, {"key": "c"}])
    assert [[m.key for m in site.show(item.name).members] for item in site.items(kind="pair")] == [
        ["a", "b"],
        ["c"],
    ]
    site.run()
    assert states(site, "pair-a") == {"@gather": "done", "snapshot": "done"}
    assert states(site, "pair-c")["@gather"] == "waiting"
    assert site.close_item("pair-c", why="no more come") == 1
    site.run()
    assert set(states(site, "pair-c").values()) == {"done"}


# ---- names and lists


def test_items_are_found_by_short_and_whole_names(site: Site):
    site.submit("note", [{"key": "a"}, {"key": "n/1"}])
    site.submit("case", [{"key": "a"}])
    assert site.find("plain/note/a").kind == site.find("note/a").kind == "note"
    assert site.find("n/1").key == "n/1"
    with pytest.raises(
        NotFoundError, match=r"several items: plain/note/a, plain/case/a; write the whole name"
    ):
        site.find("a")
    with pytest.raises(NotFoundError, match="no item 'b'; `towpath items` lists them"):
        site.find("b")


def test_items_are_listed_by_page_and_filter(site: Site):
    site.submit("case", [{"key": f"c{number}", "attributes": {"does": "fail"}} for number in range(5)])
    site.submit("note", [{"key": "n0"}])
    assert [item.key for item in site.items(limit=2)] == ["c0", "c1"]
    assert [item.key for item in site.items(after=site.find("c1").id, kind="case", limit=2)] == ["c2", "c3"]
    assert [item.key for item in site.items(text="3")] == ["c3"]
    site.run()
    assert len(site.items(state="failed", stage="trouble")) == 5
    assert site.items(state="failed", stage="copy") == []
    assert [item.key for item in site.items(pipeline="plain", kind="note")] == ["n0"]
    with pytest.raises(UsageError, match="no state 'broken'; states are waiting, ready"):
        site.items(state="broken")


def test_only_chosen_items_run(site: Site):
    site.submit("case", [{"key": "a"}, {"key": "b"}, {"key": "c"}])
    site.run(only=["a", "case/c"])
    assert [states(site, key)["trouble"] for key in ("a", "b", "c")] == ["done", "ready", "done"]
    with pytest.raises(NotFoundError):
        site.run(only=["nobody"])


# ---- logs and events


def test_logs_are_asked_for_by_run_or_by_stage(site: Site):
    site.submit("case", [{"key": "a", "attributes": {"does": "fail"}}, {"key": "b"}])
    site.run()
    (run,) = site.runs("a")
    assert "about to fail" in site.log(run.name) and site.log("case/a:trouble") == site.log(run.name)
    assert site.log("b:trouble") == ""
    for name, said in (
        ("9.9", "no finished run '9.9'"),
        ("nonsense", "a run is written WORK.TOKEN"),
        ("a:copy", "has no finished run of 'copy'"),
    ):
        with pytest.raises(NotFoundError, match=said):
            site.log(name)


def test_events_are_filtered_and_followed(site: Site):
    site.submit("case", [{"key": "a"}, {"key": "b"}])
    site.run()
    assert [event.type for event in site.events(item="a")] == ["registered", "done"]
    assert site.events(pipeline="other") == []
    following = site.follow(0, item="b")
    assert [next(following).type, next(following).type] == ["registered", "done"]
    site.submit("note", [{"key": "new"}])
    newest = site.follow()
    site.submit("note", [{"key": "newer"}])
    assert next(newest).item == site.find("newer").id


# ---- work


def test_a_stage_that_an_item_does_not_have_is_named(site: Site):
    site.submit("case", [{"key": "a"}])
    with pytest.raises(NotFoundError, match="plain/case/a has no stage 'wash'; its stages are trouble"):
        site.retry("a", "wash")


def test_there_may_be_nothing_to_adopt_close_or_publish(site: Site):
    site.submit("case", [{"key": "a"}])
    site.run()
    with pytest.raises(StateError, match="nothing to adopt"):
        site.adopt("a", "trouble", why="why not")
    with pytest.raises(StateError, match="complete as soon as it is registered"):
        site.close_item("a")
    with pytest.raises(StateError, match="no publication that waits"):
        site.publish("a")


def test_a_publication_waits_for_a_person(tmp_path: Path):
    manual = '[pipelines.plain.override.items.set.publish]\npublish = "manual"\n'
    make(tmp_path, site=manual, executor="inline")
    with Site.open(tmp_path) as site:
        site.submit("note", notes(1))
        site.run()
        assert states(site, "set-000")["publish"] == "held"
        assert not list((tmp_path / "archive").rglob("*.txt"))
        assert site.release("set-000") == 0  # a publication goes on by its own word
        assert site.publish("set-000", why="looks good") == 1
        site.run()
        assert states(site, "set-000")["publish"] == "done"
        assert [row.state.value for row in site.publications(state="released")] == ["released"]
        assert torn(site) == []
        assert site.status().publications == {"released": 1}


def test_a_conflict_in_the_archive_is_told_and_can_be_retried(tmp_path: Path):
    make(tmp_path, executor="inline")
    target = tmp_path / "archive" / "plain" / "set" / "set-000"
    target.mkdir(parents=True)
    (target / "theirs.txt").write_text("somebody was here")
    with Site.open(tmp_path) as site:
        site.submit("note", notes(1))
        site.run()
        assert states(site, "set-000")["publish"] == "failed"
        assert [row.state.value for row in site.publications("set-000")] == ["conflict"]
        assert (target / "theirs.txt").read_text() == "somebody was here"
        (target / "theirs.txt").unlink()
        target.rmdir()
        assert site.publish("set-000", retry=True) == 1
        site.run()
        assert [row.state.value for row in site.publications("set-000")] == ["released"]
        assert torn(site) == []


def test_status_counts_and_inventory_sums(tmp_path: Path):
    make(tmp_path, executor="inline")
    with Site.open(tmp_path) as site:
        site.submit("note", notes(2))
        site.run()
        status = site.status()
        assert status.counts["plain", "note", "write", "done"] == 8
        assert (status.bad_products, status.sessions) == (0, ())
        assert site.sizes().tables["items"] == 10
        overview = {row[:3]: row[3] for row in site.overview()}
        assert overview == {
            ("store", "plain/note", "hash"): 8,
            ("store", "plain/note", "write"): 8,
            ("store", "plain/set", "collect"): 2,
        }
