"""What is on disk against what the catalog says: judging, what moved, what nobody knows, and sweeping."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plainpipe.site import make, notes, states

from towpath import Product, Site
from towpath.base.errors import NotFoundError, UsageError
from towpath.base.states import Product as State
from towpath.flow import reconcile
from towpath.flow.reconcile import judge
from towpath.testing.content import describe, torn

GOOD, BAD = b"g" * 32, b"b" * 32
AS_SAID = Product(1, "write", "text", "", "plain/text", "store", "p/a.1.text.txt", 10, 1000, GOOD)


# ---- the decision


@pytest.mark.parametrize(
    ("state", "stat", "sha256", "what"),
    [
        (State.CURRENT, (10, 1000), None, ""),
        (State.CURRENT, None, None, "missing"),
        (State.MISSING, None, None, ""),
        (State.CHANGED, None, None, "missing"),
        (State.CURRENT, (11, 1000), None, "changed"),
        (State.CURRENT, (10, 2000), GOOD, "touched"),
        (State.CURRENT, (10, 2000), BAD, "changed"),
        (State.CHANGED, (10, 2000), BAD, ""),
        (State.CHANGED, (10, 2000), GOOD, "back"),
        (State.MISSING, (10, 1000), GOOD, "back"),
        (State.MISSING, (10, 1000), BAD, "changed"),
        (State.CHANGED, (10, 1000), BAD, ""),  # what a scrub found is not good by its time stamp
        (State.MISSING, (11, 1000), None, "changed"),
    ],
)
def test_a_product_is_judged_by_stat_and_only_where_need_be_by_hash(
    state: State, stat: tuple[int, int] | None, sha256: bytes | None, what: str
):
    def read() -> bytes:
        assert sha256 is not None, "read for nothing"
        return sha256

    assert judge(replace(AS_SAID, state=state), stat, read) == what


@given(
    st.sampled_from([State.CURRENT, State.MISSING, State.CHANGED]),
    st.none() | st.tuples(st.sampled_from([10, 11]), st.sampled_from([1000, 2000])),
    st.booleans(),
)
def test_what_is_found_leads_where_the_table_of_states_allows(
    state: State, stat: tuple[int, int] | None, is_good: bool
):
    what = judge(replace(AS_SAID, state=state), stat, lambda: GOOD if is_good else BAD)
    to = {"missing": State.MISSING, "changed": State.CHANGED, "back": State.CURRENT}.get(what, state)
    assert what == "" or to is not state or what == "touched"
    found = replace(AS_SAID, state=to)
    if to is not State.CURRENT:
        assert judge(found, stat, lambda: GOOD if is_good else BAD) == ""  # told once
    is_as_said = state is State.CURRENT and stat == (10, 1000)
    assert (to is State.CURRENT) == (is_as_said or (stat is not None and stat[0] == 10 and is_good))


# ---- a site


@pytest.fixture
def site(tmp_path: Path):
    make(tmp_path, executor="inline")
    with Site.open(tmp_path) as site:
        site.submit("note", notes(1))
        site.run()
        yield site


def products(site: Site, stage: str) -> list[Product]:
    return [p for item in site.items(kind="note") for p in site.show(item.name).products if p.stage == stage]


def test_what_was_moved_is_found_by_its_hash_and_nothing_runs(site: Site):
    before, moved = describe(site), products(site, "hash")
    for product in moved:  # all of equal size
        place = site.place(product)
        place.rename(place.with_name(f"renamed-{place.name.partition('.')[0]}.txt"))
    found = site.reconcile()
    assert sorted(one.what for one in found) == ["moved"] * 4
    assert {one.product for one in found} == {product.id for product in moved}
    assert site.reconcile() == found  # nothing was written
    site.reconcile(write=True)
    assert site.reconcile() == []
    assert (torn(site), site.plan().findings) == ([], ())
    summary = site.run()
    assert set(summary.runs) <= {"unchanged"}
    assert describe(site) == before


def test_what_nobody_knows_is_told_and_left(site: Site):
    store = site.folder / "store"
    (store / "notes.txt").write_text("from a person")
    (store / "plain" / "note" / "write" / "x.9.text.txt").write_text("an orphan")
    (store / "plain" / "note" / "write" / ".y.9.text.txt").write_text("staging")
    (store / "plain" / "note" / "write" / "z.7").mkdir()
    (store / "plain" / "note" / "write" / "z.7" / "deep.txt").write_text("a tree")
    found = site.reconcile(write=True)
    assert sorted((one.what, one.path.rpartition("/")[2]) for one in found) == [
        ("extra", ".y.9.text.txt"), ("extra", "notes.txt"), ("extra", "x.9.text.txt"), ("extra", "z.7"),
    ]  # fmt: skip
    assert (store / "notes.txt").exists()


def test_sweeping_removes_orphans_that_are_old_and_nothing_else(site: Site):
    folder = site.folder / "store" / "plain" / "note" / "write"
    for name in ("x.9.text.txt", ".y.9.text.txt"):
        (folder / name).write_text("left by a kill")
    assert set(site.sweep().values()) == {0}  # not a day old
    for name in ("x.9.text.txt",):
        os.utime(folder / name, (1, 1))
    assert site.sweep()["orphans"] == 1
    assert not (folder / "x.9.text.txt").exists() and (folder / ".y.9.text.txt").exists()
    assert torn(site) == []


def test_what_is_running_is_no_orphan(site: Site):
    row = site.show(notes(1)[0]["key"]).work[0]
    site.rerun(str(notes(1)[0]["key"]), "write")
    kind = site.definitions["plain"].kinds["note"]
    site.catalog.write(lambda tx: tx.claim(kind, kind.stages["write"], 1, lease=60, owner=0))
    folder = site.folder / "store" / "plain" / "note" / "write"
    mine, other = folder / f".n000-0.{row.token + 1}.text.txt", folder / f".n000-0.{row.token + 17}.text.txt"
    for path in (mine, other):
        path.write_text("half")
        os.utime(path, (1, 1))
    assert site.sweep()["orphans"] == 1
    assert mine.exists() and not other.exists()


def test_superseded_products_go_to_trash_and_then_away(site: Site):
    file = site.folder / "towpath.toml"
    file.write_text(
        file.read_text() + "\n[pipelines.plain.override.items.note.stages.hash]\nparams = { length = 8 }\n"
    )
    old = [site.place(product) for product in products(site, "hash")]
    with Site.open(site.folder) as again:
        again.apply()
        again.run()
        assert all(path.exists() for path in old)
        assert again.sweep()["trash"] == 0  # they left today
        assert again.sweep(older=-60.0)["trash"] >= 4
        assert all(path.exists() for path in old)
        assert again.sweep(older=-60.0, grace=-60.0)["deleted"] >= 4
        assert not any(path.exists() for path in old)
        assert torn(again) == []
        assert again.run().did_nothing


def test_a_root_that_moved_is_one_row(site: Site, tmp_path_factory: pytest.TempPathFactory):
    before = describe(site)
    new = tmp_path_factory.mktemp("elsewhere") / "store"
    with pytest.raises(UsageError, match="no such folder"):
        site.remap("store", new)
    shutil.move(site.folder / "store", new)
    assert len(site.plan().findings) == 9
    counted = site.remap("store", new)
    assert (counted["there"], counted["moved"]) == (9, 0)
    site.remap("store", new, write=True)
    assert site.plan().findings == ()
    with pytest.raises(NotFoundError, match="no root 'nowhere'"):
        site.remap("nowhere", new)
    with Site.open(site.folder) as again:
        assert again.run().did_nothing
        assert (describe(again), torn(again)) == (before, [])
        again.submit("note", notes(1, first=1))
        again.run()
        assert torn(again) == []
        assert all(again.place(p).is_relative_to(new) for p in products(again, "write"))


def test_a_raw_file_that_vanished_is_named_and_waits_for_a_person(tmp_path: Path):
    pipeline = """
[pipeline]
name = "plain"
[sources.asked]
kind = "submit"
item = "note"
type = "plain/raw"
[items.note]
route = "copy -> hash"
"""
    make(tmp_path, pipeline, executor="inline")
    raw = tmp_path / "incoming" / "a.txt"
    raw.parent.mkdir()
    raw.write_text("text\n")
    with Site.open(tmp_path) as site:
        site.submit("note", [{"key": "a", "files": [raw]}])
        site.run()
        raw.unlink()
        plan = site.plan()
        assert [(one.what, one.root, one.path) for one in plan.findings] == [("missing", "incoming", "a.txt")]
        assert [(one.item, one.action) for one in plan.work] == [("note/a", "decide")]
        site.run()
        site.rerun("a", "copy")
        site.run()
        assert states(site, "a")["copy"] == "waiting"
        assert "incoming:a.txt is missing" in " ".join(site.explain("a", "copy")[0].sentences)
        assert site.overview()[0][:3] == ("incoming", "plain/note", "(raw)")
        raw.write_text("text\n")
        site.run()
        assert set(states(site, "a").values()) == {"done"}
        assert torn(site) == []


def test_findings_of_a_product_that_was_replaced_meanwhile_are_of_no_account(site: Site):
    product = products(site, "hash")[0]
    site.place(product).unlink()
    (found,) = site.check(write=False)
    site.rerun(site.items(kind="note")[0].name, "hash")
    site.run(check=False)  # the same product at another place
    reconcile._write(site.catalog, [found])
    assert site.plan().findings == ()
    assert torn(site) == []


def test_checking_tells_how_far_it_is(site: Site):
    counted: list[int] = []
    site.check(progress=counted.append)
    assert sum(counted) == 9
