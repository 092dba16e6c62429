"""Plan: what would run and why, in words that a person can act on, and how long it takes."""

from pathlib import Path

import pytest
from plainpipe.site import make

from towpath import Site
from towpath.base.errors import NotFoundError
from towpath.base.provenance import Difference, sentence
from towpath.flow import plan as planning

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
    assert told(site, "a", "write") == "it is ready, and no `towpath run` is running to take it"
    assert [one.follows for one in site.plan().work[:4]] == [False, True, True, True]
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
    assert {one.sentences[0] for one in found} == {"it is done"}
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


# ---- how long


def test_without_history_nothing_is_guessed(site: Site):
    site.submit("note", [{"key": "a"}, {"key": "b"}])
    plan = site.plan()
    assert plan.seconds is None and {one.median for one in plan.totals} == {None}
    assert [(one.stage, one.runs) for one in plan.totals] == [
        (s, 2) for s in ("write", "hash", "pair", "publish")
    ]
    assert plan.unknown == tuple(f"plain/note/{stage}" for stage in ("write", "hash", "pair", "publish"))


def test_the_time_is_that_of_earlier_runs_on_so_many_cores(site: Site):
    site.submit("note", [{"key": "a"}])
    site.run()
    took = {run.stage: run.seconds for run in site.runs("note/a")}
    site.submit("note", [{"key": f"b{number}"} for number in range(8)])
    with Site.open(site.folder, overrides=["site.executor=local", "site.workers=2"]) as again:
        plan = again.plan()
    totals = {one.stage: one for one in plan.totals}
    assert {stage: one.median for stage, one in totals.items()} == took
    assert {(one.runs, one.sample) for one in totals.values()} == {(8, 1)}
    assert totals["write"].seconds == pytest.approx(4 * took["write"])  # eight on two cores
    assert totals["publish"].seconds == pytest.approx(2 * took["publish"])  # the daemon does four at a time
    together = sum(4 * took[stage] for stage in ("write", "hash", "pair")) + 2 * took["publish"]
    assert plan.seconds == pytest.approx(together) and plan.workers == 2 and plan.unknown == ()


def test_a_single_item_takes_as_long_as_its_longest_way(site: Site):
    site.submit("note", [{"key": "a"}])
    site.run()
    took = {run.stage: run.seconds for run in site.runs("note/a")}
    site.submit("note", [{"key": "b"}])
    with Site.open(site.folder, overrides=["site.executor=local", "site.workers=100"]) as again:
        plan = again.plan("b")
    assert {one.item for one in plan.work} == {"note/b"}
    longest = took["write"] + max(took["hash"], took["pair"]) + took["publish"]
    assert plan.seconds == pytest.approx(longest)


def test_what_waits_for_a_person_is_not_counted(site: Site):
    site.submit("note", [{"key": "a"}, {"key": "b"}])
    site.hold("note/b", "hash", why="doubt")
    plan = site.plan()
    runs = {one.stage: one.runs for one in plan.totals}
    assert runs == {"write": 2, "hash": 1, "pair": 2, "publish": 1}
    (waits,) = [one for one in plan.work if (one.item, one.stage) == ("note/b", "publish")]
    assert waits.why == "it waits for hash, which is held; it waits for pair, which is waiting"
    assert not waits.follows


def test_the_plan_of_one_item_looks_at_its_products_alone(site: Site):
    site.submit("note", [{"key": "a"}, {"key": "b"}])
    site.run()
    for key in "ab":
        (product,) = [one for one in site.show(f"note/{key}").products if one.stage == "hash"]
        site.place(product).unlink()
    plan = site.plan("note/a")
    assert [(one.what, one.item) for one in plan.findings] == [("missing", site.find("note/a").id)]
    assert [(one.item, one.stage, one.action) for one in plan.work] == [("note/a", "hash", "run")]
    assert len(site.plan().findings) == 2


def test_stale_work_tells_what_each_was_made_with(site: Site):
    file = site.folder / "plain.toml"
    site.submit("note", [{"key": "a"}])
    site.run()
    file.write_text(PIPELINE + "[items.note.stages.hash]\nparams = { length = 8 }\n")
    with Site.open(site.folder) as again:
        again.submit("note", [{"key": "b"}])
        again.run()
    file.write_text(PIPELINE + "[items.note.stages.hash]\nparams = { length = 9 }\n")
    with Site.open(site.folder) as again:
        found = {
            one.item: one.why for one in again.plan().work if one.action == "apply" and one.stage == "hash"
        }
        assert found == {"note/a": "params.length: 64 -> 9", "note/b": "params.length: 8 -> 9"}
        assert [one.item for one in again.plan("note/a").work] == ["note/a"]


def test_a_plan_of_the_first_rows_says_the_same_of_them_as_the_whole(site: Site):
    """Also where a stage that comes before one that waits is beyond them, or has ended."""
    site.submit("note", [{"key": key} for key in "abcd"])
    site.hold("b", "pair", why="let me look")
    site.hold("c", "write", why="let me look")
    site.run()
    site.submit("note", [{"key": "e"}])
    with site.catalog.read() as view:
        definition = site.definitions["plain"]
        open_work, whole = view.open_work(), planning.plan(view, definition)
        assert len(whole) > 6 and {one.action for one in whole} == {"run", "wait", "decide"}
        for limit in range(len(open_work) + 1):
            listed = {row.id for row in open_work[:limit]}
            expected = [one for one in whole if one.work in listed]
            assert planning.plan(view, definition, limit=limit) == expected
