"""Plan and explain: what would run and why, in words that a person can act on."""

from pathlib import Path

import pytest
from plainpipe.site import make

from towpath import Site
from towpath.base.errors import NotFoundError
from towpath.base.provenance import Difference, sentence

PIPELINE = """
[pipeline]
name = "plain"
[sources.asked]
kind = "submit"
item = "note"
[items.note]
route = "write -> (hash, pair) -> publish"
[items.several]
group = { of = "note", at = "hash", size = 3, key = "all", order_by = "key" }
route = "collect"
"""


@pytest.fixture
def site(tmp_path: Path):
    make(tmp_path, PIPELINE, executor="inline")
    with Site.open(tmp_path) as site:
        yield site


def told(site: Site, name: str, stage: str) -> str:
    return "; ".join(site.explain(name, stage)[0].sentences)


def test_new_work_is_planned_in_the_order_of_its_items(site: Site):
    site.submit("note", [{"key": "a"}, {"key": "b"}])
    rows = [(one.item, one.stage, one.action) for one in site.plan().work]
    assert rows == [
        (f"note/{key}", stage, "run" if stage == "write" else "wait")
        for key in ("a", "b")
        for stage in ("write", "hash", "pair", "publish")
    ]
    assert {one.why for one in site.plan().work if one.stage == "write"} == {"it has not run yet"}
    assert told(site, "a", "write") == "it is ready; no worker has taken it yet (is `towpath run` running?)"
    assert told(site, "a", "publish").startswith(
        "it waits for hash, which is waiting; it waits for pair, which is"
    )
    assert site.plan(pipeline="other").work == ()


def test_what_is_done_needs_no_plan_and_says_so(site: Site):
    site.submit("note", [{"key": "a"}])
    site.run()
    assert [one.action for one in site.plan().work if one.item == "note/a"] == []
    found = site.explain("a")
    assert [one.stage for one in found] == ["write", "hash", "pair", "publish"]
    assert {one.sentences for one in found} == {("it is done",)}
    assert all(one.run and one.key and one.differences == () for one in found)
    assert found[1].components["params"] == {"length": 64, "delay": 0.0}
    assert set(found[1].components["inputs"]) == {"text"}


def test_a_group_that_is_not_complete_says_what_it_waits_for(site: Site):
    site.submit("note", [{"key": "a"}])
    site.run()
    assert "it waits until the item is complete" in told(site, "several/all", "collect")
    assert [(one.stage, one.action) for one in site.plan().work] == [("collect", "wait")]


def test_running_work_names_its_holder(site: Site):
    site.submit("note", [{"key": "a"}])
    kind = site.definitions["plain"].kinds["note"]
    number = site.catalog.write(lambda tx: tx.open_session("far", 4711, "/none", attributable=False))
    site.catalog.write(lambda tx: tx.claim(kind, kind.stages["write"], 1, lease=60, owner=number))
    assert "it is running: run 1.1, held by process 4711 on far until" in told(site, "a", "write")
    assert site.plan().work[0].why == "it is running"


def test_forced_work_says_that_nothing_changed(site: Site):
    site.submit("note", [{"key": "a"}])
    site.run()
    site.rerun("a", "write")
    (write, *after) = site.plan().work
    assert (write.stage, write.action) == ("write", "run")
    assert {one.action for one in after if one.item == "note/a"} == {"wait"}
    site.run()
    assert site.plan().work == () or {one.item for one in site.plan().work} == {"several/all"}


def test_an_unknown_stage_or_item_is_named(site: Site):
    site.submit("note", [{"key": "a"}])
    with pytest.raises(
        NotFoundError, match="note/a has no stage 'wash'; its stages are write, hash, pair, publish"
    ):
        site.explain("a", "wash")
    with pytest.raises(NotFoundError, match="no item 'z'"):
        site.explain("z")


def test_work_whose_stage_left_the_route_is_still_explained(site: Site):
    site.submit("note", [{"key": "a"}])
    site.run()
    file = site.folder / "plain.toml"
    file.write_text(PIPELINE.replace("(hash, pair)", "hash"))
    with Site.open(site.folder) as again:
        again.apply()
        (found,) = again.explain("a", "pair")
        assert found.sentences == ("it is retired: left the route",) or "retired" in found.sentences[0]


def test_differences_in_words():
    found = [
        Difference("params.spacing", 5000.0, 2500.0),
        Difference("inputs.stations", "a" * 64, "b" * 64),
        Difference("version", None, "2"),
        Difference("params.text", "x" * 100, ["y"]),
    ]
    assert sentence(found) == (
        "params.spacing: 5000.0 -> 2500.0; inputs.stations: aaaaaaaaaaaa… -> bbbbbbbbbbbb…; "
        f'version: null -> "2"; params.text: "{"x" * 56}… -> ["y"]'
    )
