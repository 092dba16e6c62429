"""What stages let go, on a real site: by policy, by want of room, through kills; how it is told, and how it comes back."""

import time
from pathlib import Path
from typing import Any

import pytest
from plainpipe.site import Daemon, make, notes, wait_for

from towpath import Site
from towpath.app.retention import QUEUE
from towpath.app.wiring import Parts
from towpath.base.errors import DefinitionError
from towpath.base.states import Product as ProductState
from towpath.flow import reconcile, retain
from towpath.flow.explain import Why
from towpath.flow.retain import Policy
from towpath.testing.content import describe, torn

AT_ONCE = "[retention]\nevery = '1 d'\nsuperseded = '0 s'\ntrash = '0 s'\norphans = '0 s'\n"
STAGES = "[pipelines.plain.override.items.note.stages]\n"
KEEP = "write = { keep = 'until consumed' }\nhash = { keep = { hash = 'until published' } }\n"
HASHED = "hash = { params = { length = 8 } }\n"
GB = 10**9


def in_store(site: Site, *stages: str) -> list[str]:
    """The files of these stages in the store."""
    folders = [site.folder / "store" / "plain" / "note" / stage for stage in stages]
    return sorted(file.name for folder in folders if folder.exists() for file in folder.iterdir())


def done(folder: Path, site: str = AT_ONCE + STAGES + KEEP) -> Path:
    """A site with four notes, collected and published."""
    make(folder, site=site, executor="inline")
    with Site.open(folder) as opened:
        opened.submit("note", notes(1))
        opened.run()
    return folder


def ran(site: Site) -> dict[str, int]:
    return dict(site.run().runs)


def test_what_was_consumed_and_published_is_let_go_and_nothing_runs_for_it(tmp_path: Path):
    with Site.open(done(tmp_path)) as site:
        assert len(in_store(site, "write", "hash")) == 8
        told = site.sweep()
        assert (told["let_go"], told["deleted"], told["trash"]) == (8, 8, 0)
        assert told["bytes"] == site.sizes().let_go.bytes > 0
        assert in_store(site, "write", "hash") == []
        assert site.run().did_nothing and not site.plan().work
        assert site.verify()[1] == [] and site.reconcile() == []
        assert site.status().bad_products == 0
        assert [one.why for one in site.show("n000-0").let_go] == ["until consumed", "until published"]
        assert not site.show("n000-0").products
        reasons = [reason for one in site.explain("n000-0", "write") for reason in one.reasons]
        (told_so,) = [reason for reason in reasons if reason.code is Why.LET_GO]
        assert "was let go on" in told_so.text and "until consumed" in told_so.text
        assert told_so.facts["state"] == "spent"


def test_it_lies_in_the_trash_first_and_comes_back_from_there(tmp_path: Path):
    lies = AT_ONCE.replace("trash = '0 s'", "trash = '1 d'")
    with Site.open(done(tmp_path, lies + STAGES + KEEP)) as site:
        told = site.sweep()
        assert (told["let_go"], told["deleted"]) == (8, 0)
        files = in_store(site, "write", "hash")
        assert len(files) == 8
        site.rerun("n000-0", "hash")
        assert ran(site) == {"done": 1, "unchanged": 2}
        assert "n000-0.1.text.txt" in in_store(site, "write")  # the same, not made again
        assert site.sweep(grace=0.0)["deleted"] == 8
        assert in_store(site, "write", "hash") == []


def test_what_a_run_must_read_is_made_again_first(tmp_path: Path):
    with Site.open(done(tmp_path / "kept", HASHED_SITE)) as kept:
        expected = describe(kept)["items"]
    folder = done(tmp_path / "site")
    with Site.open(folder) as site:
        site.sweep()
    changed = KEEP.replace("hash = { ", "hash = { params = { length = 8 }, ")
    make(folder, site=AT_ONCE + STAGES + changed, executor="inline")
    with Site.open(folder) as site:
        site.apply()
        (first, *_) = site.plan().work
        assert "write.text was let go and is made again first" in first.why
        assert ran(site) == {"done": 10}  # four are written and hashed, then collected and published
        assert torn(site) == []
        found = describe(site)["items"]
        assert {name: one["keys"] for name, one in found.items()} == {
            name: one["keys"] for name, one in expected.items()
        }
        assert site.sweep()["let_go"] == 8
        assert site.run().did_nothing


HASHED_SITE = AT_ONCE + STAGES + HASHED


def test_a_lost_archive_is_filled_from_what_is_made_again(tmp_path: Path):
    """The sources of a publication are let go too: it is published again, by the runs that made them again."""
    keep = "[pipelines.plain.override.items.set.stages]\ncollect = { keep = 'until published' }\n"
    with Site.open(done(tmp_path, AT_ONCE + STAGES + KEEP + keep)) as site:
        assert site.sweep()["let_go"] == 9
        (row,) = site.publications()
        place = site.storage.path(row.archive, row.target)
        before = {path.name for path in place.rglob("*")}
        place.rename(tmp_path / "archive" / "elsewhere")
        site.rerun("set-000", "publish")
        site.run()
        again = site.publications()[-1]
        place = site.storage.path(again.archive, again.target)
        assert {path.name for path in place.rglob("*")} == before


# ---- kills
POINTS = ["keep.look", "keep.shed", "keep.spent", "keep.removed", "catalog.commit", "catalog.committed"]
SWEEPS = AT_ONCE.replace("every = '1 d'", "every = '50 ms'")


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("point", POINTS)
def test_a_kill_while_it_is_let_go_leaves_nothing_dangling(tmp_path: Path, point: str, nth: int):
    """Rows and disk agree after the next sweep, whatever was killed; and all of it can be made again."""
    folder = done(tmp_path, SWEEPS.replace("every = '50 ms'", "every = '0 s'") + STAGES + KEEP)
    make(folder, site=SWEEPS + STAGES + KEEP)
    with Daemon(folder, watch=True, env={"TOWPATH_FAULT": f"{point}:{nth}"}) as daemon:
        wait_for(lambda: daemon.popen.poll() is not None or _is_swept(folder))
        daemon.terminate()
        daemon.wait()
    make(folder, site=AT_ONCE + STAGES + KEEP, executor="inline")
    with Site.open(folder) as site:
        assert torn(site) == []
        site.sweep()
        site.sweep()
        assert in_store(site, "write", "hash") == []
        assert site.reconcile() == [] and site.run().did_nothing
        site.rerun("n000-0", "hash")
        assert ran(site) == {"done": 2, "unchanged": 2}
        assert torn(site) == []


def _is_swept(folder: Path) -> bool:
    return not any((folder / "store" / "plain" / "note").rglob("*.txt"))


def test_bytes_that_a_kill_left_are_orphans(tmp_path: Path):
    """The row says that they are deleted; a later sweep finds them by their name."""
    with Site.open(done(tmp_path)) as site:
        retain.let_go(site.catalog)
        left = site.catalog.write(lambda tx: tx.leave_trash(-1.0, limit=100, shed_before=tx.now() + 1))
        assert len(left) == len(in_store(site, "write", "hash")) == 8
        with site.catalog.read() as view:
            assert not view.paths("store").keys() & {one.path for one in left}
        time.sleep(0.01)
        assert reconcile.sweep(site.catalog, site.storage, older=0.0) == 8
        assert in_store(site, "write", "hash") == []


def test_many_go_in_steps_that_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(retain, "PRODUCTS", 3)
    with Site.open(done(tmp_path)) as site:
        assert retain.let_go(site.catalog, lambda: False) == 0
        told = retain.prune(site.catalog, site.storage, site.folder / "logs", Policy(trash=0.0))
        assert (told["let_go"], told["deleted"]) == (8, 8)


# ---- the pipeline file
@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("write = { keep = 'for ever' }", "keep .*: found 'for ever'; expected 'until consumed'"),
        ("write = { keep = { other = 'always' } }", "an unknown output"),
    ],
)
def test_a_keep_that_means_nothing_is_refused(tmp_path: Path, said: str, problem: str):
    make(tmp_path, site=STAGES + said, executor="inline")
    with pytest.raises(DefinitionError, match=problem):
        Site.open(tmp_path).close()


def test_a_stage_that_makes_nothing_keeps_nothing(tmp_path: Path):
    said = "[pipelines.plain.override.items.set.publish]\nkeep = '1 d'\n"
    make(tmp_path, site=said, executor="inline")
    with pytest.raises(DefinitionError, match="makes no products"):
        Site.open(tmp_path).close()


def test_keep_is_in_no_key_and_is_taken_up_by_what_was_made_before(tmp_path: Path):
    folder = done(tmp_path, AT_ONCE)
    with Site.open(folder) as site:
        assert site.sweep()["let_go"] == 0
    make(folder, site=AT_ONCE + STAGES + "write = { keep = '0 s' }\n", executor="inline")
    with Site.open(folder) as site:
        assert not site.plan().work
        assert site.sweep()["let_go"] == 4
        assert site.show("n000-0").let_go[0].why == "kept for 0 d"
        assert [one.state for one in site.show("n000-0").products] == [ProductState.CURRENT]


# ---- room on the disk
def of_disk(monkeypatch: pytest.MonkeyPatch, free: dict[str, int]) -> None:
    """A store's disk with so many bytes free."""
    monkeypatch.setattr(Parts, "free_bytes", lambda _, root: free["bytes"])


DISK = "write = { resources = { disk = '2 GB' } }\nhash = { resources = { disk = '8 GB' } }\n"
FREE = "[retention]\nfree = '2 GB'\n"


def test_a_run_begins_only_where_what_it_writes_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make(tmp_path, site=FREE + STAGES + DISK, executor="inline")
    free = {"bytes": 5 * GB}
    of_disk(monkeypatch, free)
    with Site.open(tmp_path) as site:
        site.submit("note", notes(1))
        summary = site.run(patience=0.2)
        assert summary.runs == {"done": 4}  # written, one at a time
        assert "hash needs 8.00 GB of disk, and 3.00 GB are free above what must stay" in summary.ended
        (told,) = site.explain("n000-0", "hash")
        assert told.reasons[0].code is Why.DISK
        assert told.sentences[0] == "it needs 8 GB of disk; 3 GB are free above the 2 GB that must stay"
        free["bytes"] = 10 * GB
        assert ran(site) == {"done": 6}


def test_a_batch_is_as_large_as_what_fits_beside_what_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    make(tmp_path, site=FREE + STAGES + DISK, executor="inline")
    free = {"bytes": 100 * GB}
    of_disk(monkeypatch, free)
    with Site.open(tmp_path) as site:
        site.submit("note", notes(4))
        kind = site.definitions["plain"].kinds["note"]
        site.catalog.write(lambda tx: tx.claim(kind, kind.stages["write"], 3, lease=600, owner=0))
        free["bytes"] = 15 * GB  # 13 above what must stay, 6 of them declared: three more fit
        sizes = batches(site, monkeypatch)
        assert site.run(patience=0.2).runs["done"] == 13
        assert max(sizes) == 3


def batches(site: Site, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each claim of work that writes took, as it goes on."""
    found: list[int] = []
    write = site.catalog.write

    def watched(act: Any, **more: Any) -> Any:
        result = write(act, **more)
        if isinstance(result, list) and result and hasattr(result[0], "item_key") and result[0].item_key:
            found.append(len(result))
        return result

    monkeypatch.setattr(site.catalog, "write", watched)
    return found


def test_want_of_room_lets_go_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Not with the next sweep, which is due in a day, and without a time in the trash; the usual one stays due."""
    folder = done(tmp_path, FREE + STAGES + KEEP)
    free = {"bytes": 1 * GB}
    monkeypatch.setattr(
        Parts, "free_bytes", lambda parts, _: free["bytes"] + (0 if _has_texts(parts.folder) else 9 * GB)
    )
    with Site.open(folder) as site:
        site.submit("note", notes(1, first=1))
        with site.catalog.read() as view:
            before = view.next_due([QUEUE])
            assert before is not None and before > view.now() + 80_000
        assert site.run(patience=20.0).runs["done"] >= 8
        told = [event for event in site.events(limit=10_000) if event.type == "retention"]
        assert told[0].data["let_go"] == told[0].data["deleted"] == 8
        with site.catalog.read() as view:
            assert view.next_due([QUEUE]) == before


def _has_texts(folder: Path) -> bool:
    return any((folder / "store" / "plain" / "note" / "write").glob("n000-*.text.txt"))
