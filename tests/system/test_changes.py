"""What changes under a site's feet, and what a plan, a run and a person make of it."""

import os
import time
from pathlib import Path

import pytest
from plainpipe.site import make, notes, states

from towpath import Product, Site
from towpath.testing.content import describe, torn

NOTE, SET = "n000-1", "set-000"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A site with two sets, all done."""
    monkeypatch.setenv("PLAIN_LOG", str(tmp_path / "runs.log"))
    make(tmp_path, executor="inline")
    with Site.open(tmp_path) as site:
        site.submit("note", notes(2))
        site.run()
        forget(site)
        yield site


def forget(site: Site) -> None:
    """Forget the runs so far."""
    (site.folder / "runs.log").write_text("")


def ran(site: Site) -> list[str]:
    """The runs since `forget`."""
    return sorted((site.folder / "runs.log").read_text().splitlines())


def product(site: Site, name: str, stage: str) -> Product:
    (found,) = [one for one in site.show(name).products if one.stage == stage]
    return found


def overwrite(path: Path, text: str) -> None:
    path.chmod(0o644)
    path.write_text(text)
    os.utime(path, ns=(time.time_ns(), time.time_ns() + 1_000_000))


def actions(site: Site) -> set[tuple[str, str, str]]:
    return {(one.item, one.stage, one.action) for one in site.plan().work}


# ---- missing


def test_a_second_run_does_nothing(site: Site):
    before = describe(site)
    summary = site.run()
    assert summary.did_nothing
    assert (ran(site), describe(site)) == ([], before)
    assert (site.plan().findings, site.plan().work) == ((), ())


def test_a_deleted_output_is_named_by_the_plan_and_made_again_as_the_same_product(site: Site):
    before, old = describe(site), product(site, NOTE, "write")
    site.place(old).unlink()

    plan = site.plan()
    assert [(one.what, one.path, one.product, one.stage) for one in plan.findings] == [
        ("missing", old.path, old.id, "write")
    ]
    assert [(one.item, one.stage, one.action) for one in plan.work] == [(f"note/{NOTE}", "write", "run")]
    assert f"{old.path} is missing" in plan.work[0].why
    assert product(site, NOTE, "write").state == "current"  # a plan changes nothing

    summary = site.run()
    assert (summary.findings, summary.runs["done"]) == (1, 1)
    assert ran(site) == [f"write note/{NOTE}"]  # the bytes are equal: who reads them does not run
    new = product(site, NOTE, "write")
    assert (new.id, new.sha256, new.state) == (old.id, old.sha256, "current")
    assert new.path != old.path
    assert (describe(site), torn(site)) == (before, [])
    assert site.run().did_nothing


def test_deleted_at_the_end_of_a_chain_only_that_end_runs(site: Site):
    site.place(product(site, SET, "collect")).unlink()
    site.run()
    assert ran(site) == [f"collect set/{SET}"]
    assert torn(site) == []


def test_a_deleted_folder_and_file_of_one_run_are_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PLAIN_LOG", str(tmp_path / "runs.log"))
    make(tmp_path, PAIR, executor="inline")
    with Site.open(tmp_path) as site:
        site.submit("note", [{"key": "a"}])
        site.run()
        before = describe(site)
        tree = next(one for one in site.show("a").products if one.output == "tree")
        (site.place(tree) / "deep" / "text.txt").unlink()
        assert [(one.what, one.product) for one in site.plan().findings] == [("changed", tree.id)]
        for file in (*site.place(tree).rglob("*.txt"),):
            file.unlink()
        for folder in (site.place(tree) / "deep", site.place(tree)):
            folder.rmdir()
        assert [(one.what, one.product) for one in site.plan().findings] == [("missing", tree.id)]
        forget(site)
        site.run()
        assert ran(site) == ["pair note/a"]
        assert (describe(site), torn(site)) == (before, [])


PAIR = """
[pipeline]
name = "plain"
[sources.asked]
kind = "submit"
item = "note"
[items.note]
route = "write -> pair -> publish"
[items.note.publish]
products = ["pair.upper", "pair.tree"]
"""

# ---- changed by someone else


def test_a_changed_intermediate_is_named_and_its_consumers_wait_until_somebody_decides(site: Site):
    old = product(site, NOTE, "hash")
    overwrite(site.place(old), "somebody's own\n")

    plan = site.plan()
    assert [(one.what, one.path, one.stage) for one in plan.findings] == [("changed", old.path, "hash")]
    assert [(one.item, one.stage, one.action) for one in plan.work] == [(f"note/{NOTE}", "hash", "decide")]
    assert "towpath adopt" in plan.work[0].why
    site.run()
    assert ran(site) == []
    assert product(site, NOTE, "hash").state == "changed"
    assert site.status().bad_products == 1

    site.rerun("n000-0")  # its bytes stay equal, and the set does not go on without the bad one either
    site.run()
    assert ran(site) == ["write note/n000-0"]
    site.rerun(SET, "collect")
    forget(site)
    site.run()
    assert ran(site) == []
    assert states(site, SET)["collect"] == "waiting"
    told = " ".join(site.explain(SET, "collect")[0].sentences)
    assert old.path in told and "changed" in told


def test_what_somebody_changed_can_be_adopted_and_consumers_run_on_it(site: Site):
    old = product(site, NOTE, "hash")
    overwrite(site.place(old), "somebody's own\n")
    site.run()
    assert site.adopt(NOTE, "hash", why="the right one") == 1
    new = product(site, NOTE, "hash")
    assert new.manual and new.id != old.id and new.sha256 != old.sha256 and new.state == "current"
    site.run()
    assert ran(site) == [f"collect set/{SET}"]
    collected = site.place(product(site, SET, "collect")).read_text()
    assert f"{NOTE} somebody's own" in collected
    assert torn(site) == []
    adopted = [event for event in site.events(item=NOTE, limit=10_000) if event.type == "adopted"]
    assert [event.data["why"] for event in adopted] == ["the right one"]
    assert [p.state.value for p in site.show(SET).publications] == ["superseded", "released"]
    assert site.run().did_nothing


def test_what_somebody_changed_can_be_made_again(site: Site):
    before, old = describe(site), product(site, NOTE, "hash")
    overwrite(site.place(old), "somebody's own\n")
    site.run()
    site.rerun(NOTE, "hash")
    site.run()
    assert ran(site) == [f"hash note/{NOTE}"]
    assert product(site, NOTE, "hash").id == old.id
    assert (describe(site), torn(site)) == (before, [])


def test_what_somebody_changed_and_put_back_is_as_before(site: Site):
    old = product(site, NOTE, "hash")
    text = site.place(old).read_text()
    overwrite(site.place(old), "somebody's own\n")
    site.run()
    overwrite(site.place(old), text)
    assert [one.what for one in site.plan().findings] == ["back"]
    site.run()
    assert product(site, NOTE, "hash").state == "current"
    assert (ran(site), torn(site)) == ([], [])
    assert site.run().did_nothing


def test_a_touched_file_is_read_once_and_nothing_runs(site: Site):
    old = product(site, NOTE, "write")
    os.utime(site.place(old), ns=(1, 1_000_000_000))
    assert [one.what for one in site.plan().findings] == ["touched"]
    site.run()
    assert ran(site) == []
    assert product(site, NOTE, "write").mtime_ns == 1_000_000_000
    assert site.plan().findings == ()


def test_equal_size_and_time_but_other_bytes_are_found_by_a_scrub(site: Site):
    old = product(site, NOTE, "write")
    place = site.place(old)
    text = place.read_text()
    place.write_text(text[::-1])
    os.utime(place, ns=(old.mtime_ns, old.mtime_ns))
    assert site.plan().findings == ()
    assert [(one.what, one.product) for one in site.check(write=False, scrub=True)] == [("changed", old.id)]


def test_an_input_that_changes_while_it_is_read_spoils_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PLAIN_LOG", str(tmp_path / "runs.log"))
    careless = PAIR.partition("[items.note.publish]")[0].replace("-> pair ->", "-> careless ->")
    make(tmp_path, careless, executor="inline")
    with Site.open(tmp_path) as site:
        site.submit("note", [{"key": "a"}])
        site.run()
        assert states(site, "a") == {"write": "done", "careless": "waiting", "publish": "waiting"}
        assert {(one.stage, one.state.value) for one in site.show("a").products} == {("write", "changed")}
        assert not list((tmp_path / "store").rglob("*hash*"))
        site.rerun("a", "write")
        site.run()
        assert set(states(site, "a").values()) == {"done"}
        assert torn(site) == []


# ---- the pipeline file


def rewrite(site: Site, old: str, new: str) -> None:
    file = site.folder / "towpath.toml"
    file.write_text(file.read_text() + new if not old else file.read_text().replace(old, new))


SHORTER = "\n[pipelines.plain.override.items.note.stages.hash]\nparams = { length = 8 }\n"


def test_a_changed_parameter_is_planned_explained_and_applied(site: Site):
    rewrite(site, "", SHORTER)
    with Site.open(site.folder) as again:
        plan = again.plan()
        assert {(one.item, one.stage, one.action) for one in plan.work} == {
            (f"note/{item['key']}", "hash", "apply") for item in notes(2)
        }
        assert {one.why for one in plan.work} == {"params.length: 64 -> 8"}
        (told,) = again.explain(NOTE, "hash")
        assert [(one.component, one.was, one.now) for one in told.differences] == [("params.length", 64, 8)]
        assert "params.length: 64 -> 8" in " ".join(told.sentences)

        assert again.run().did_nothing  # finished work changes only by `apply`
        assert len(again.apply(write=False)) == 8
        assert again.run().did_nothing
        assert len(again.apply()) == 8
        again.run()
        assert ran(again) == sorted(
            [f"hash note/{item['key']}" for item in notes(2)] + ["collect set/set-000", "collect set/set-001"]
        )
        assert len(again.place(product(again, NOTE, "hash")).read_text()) == 9
        assert torn(again) == []
        assert (again.plan().work, again.run().did_nothing) == ((), True)


def test_a_large_change_is_applied_in_several_transactions(site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("towpath.app.acting._PART", 3)
    site.submit("note", notes(2))
    site.run()
    change = "[pipelines.plain.override.items.note.stages.write]\nparams = { greeting = 'dear' }\n"
    make(site.folder, site=change, executor="inline")
    with Site.open(site.folder) as changed:
        before = changed.catalog.write(lambda tx: tx.last_event())
        writes: list[int] = []
        write = changed.catalog.write
        monkeypatch.setattr(
            changed.catalog, "write", lambda work, **how: writes.append(1) or write(work, **how)
        )
        assert len([one for one in changed.apply() if one.work]) == 8
        assert len(writes) == 3
        told = [event for event in changed.events(after=before) if event.type == "revised"]
        assert len(told) == 8
        changed.run()
        assert all(set(states(changed, item.name).values()) == {"done"} for item in changed.items())


def test_stale_work_can_be_declared_good_as_it_is(site: Site):
    rewrite(site, "", SHORTER)
    with Site.open(site.folder) as again:
        again.adopt(NOTE, "hash", why="the same for us")
        assert (f"note/{NOTE}", "hash", "apply") not in actions(again)
        again.apply()
        again.run()
        assert f"hash note/{NOTE}" not in ran(again)
        assert f"hash note/{notes(1)[0]['key']}" in ran(again)
        last = again.runs(NOTE)[-1]
        assert (last.outcome, last.manual) == ("adopted", True)


def test_a_new_stage_and_one_that_left_are_applied(site: Site):
    rewrite(site, "", '\n[pipelines.plain.override.items.note]\nroute = "write -> (hash, pair)"\n')
    with Site.open(site.folder) as again:
        assert any("new in the route" in one.why for one in again.apply(write=False))
        again.apply()
        again.run()
        assert ran(again) == sorted(f"pair note/{item['key']}" for item in notes(2))
        assert set(states(again, NOTE).values()) == {"done"}
    rewrite(site, '"write -> (hash, pair)"', '"write -> hash"')
    with Site.open(site.folder) as again:
        assert any("left the route" in one.why for one in again.apply())
        assert states(again, NOTE)["pair"] == "retired"
        forget(again)
        assert again.run().runs == {}
        assert len(again.show(NOTE).products) == 4  # what it made stays


# ---- flags


def test_a_flag_makes_run_again_what_reads_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PLAIN_LOG", str(tmp_path / "runs.log"))
    make(tmp_path, PAIR, executor="inline")
    with Site.open(tmp_path) as site:
        site.submit("note", [{"key": "a"}])
        site.run()
        forget(site)
        site.flag("a", "cloudy", part={"feed": 3}, comment="half of it")
        (told,) = site.explain("a", "pair")
        assert [one.component for one in told.differences] == ["inputs.flags"]
        site.run()
        assert ran(site) == ["pair note/a"]
        tree = next(one for one in site.show("a").products if one.output == "tree")
        assert (site.place(tree) / "flags.txt").read_text() == "cloudy"
        upper = [one for one in site.show("a").products if one.output == "upper"]
        assert len(upper) == 1
        assert torn(site) == []
        assert [row.state.value for row in site.publications()] == ["superseded", "released"]
        # The capitals were made again for nothing, and are gone; the folder of that run holds only the tree.
        newest = site.place(tree).parent
        assert [path.name for path in newest.iterdir()] == ["tree"]
