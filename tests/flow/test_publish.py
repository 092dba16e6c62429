"""Publication on a real catalog and real disks: every kill, every trouble of an archive, every objection."""

import errno
import json
import os
import random
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from publishing import BYTES, LEASE, World, definition, write

from towpath.adapters.catalog.sqlite import SqliteCatalog
from towpath.adapters.storage.local import LocalStorage
from towpath.adapters.transfers.local import LocalTransfer
from towpath.base import hashing
from towpath.base.errors import DefinitionError, NotFoundError, StateError, StorageError
from towpath.base.ids import slug
from towpath.base.model import Measure
from towpath.base.states import Outcome, Work
from towpath.base.states import Product as ProductState
from towpath.base.states import Publication as State
from towpath.contracts.catalog import Claimed, PublicationRow
from towpath.contracts.executor import Output, Report
from towpath.flow.publish import Action, Found, Publisher, approve, journal, next_step, withdraw

# ---- the decision


def row_in(state: State) -> PublicationRow:
    return PublicationRow(1, 1, 1, 1, "archive", "a", state, b"ours")


@pytest.mark.parametrize(
    ("state", "found", "action"),
    [
        (State.INTENDED, Found(), Action.COPY),
        (State.COPIED, Found(temporary=b"ours"), Action.VERIFY),
        (State.COPIED, Found(temporary=b"other"), Action.ROLL_BACK),
        (State.COPIED, Found(), Action.ROLL_BACK),
        (State.VERIFIED, Found(temporary=b"ours"), Action.CHECK),
        (State.VERIFIED, Found(temporary=b"other"), Action.ROLL_BACK),
        (State.PLACING, Found(temporary=b"ours"), Action.PLACE),
        (State.PLACING, Found(), Action.ROLL_BACK),
        (State.PLACING, Found(temporary=b"other"), Action.ROLL_BACK),
        (State.PLACING, Found(target=b"ours"), Action.COMMIT),
        (State.PLACING, Found(temporary=b"ours", target=b"other"), Action.CONFLICT),
        (State.COMMITTED, Found(), Action.RELEASE),
        (State.FAILED, Found(), Action.ROLL_BACK),
        (State.CONFLICT, Found(), Action.ROLL_BACK),
        (State.RELEASED, Found(), Action.FINISH),
        (State.SUPERSEDED, Found(), Action.FINISH),
        (State.WITHDRAWN, Found(), Action.FINISH),
    ],
)
def test_state_and_disk_decide_the_next_step(state: State, found: Found, action: Action) -> None:
    assert next_step(row_in(state), found) is action


# ---- the plain line


def test_a_folder_is_published_with_its_documents(world: Callable[..., World]) -> None:
    site = world()
    site.make({"grid": {"zarr.json": b"{}", "c/0/0": b"chunk"}, "plot": b"png"})
    report = site.publish()
    assert report.outcome is Outcome.DONE
    site.assert_right()
    target = site.archive / "line/survey/S-1"
    assert sorted(path.name for path in target.iterdir()) == [
        "MANIFEST.json",
        "item.json",
        "make-grid.bin",
        "make-plot.bin",
        "provenance.json",
    ]
    for entry in json.loads((target / "MANIFEST.json").read_text())["files"]:
        path = target / entry["path"]
        assert (path.stat().st_size, hashing.file_sha256(path).hex()) == (entry["size"], entry["sha256"])
    listed = {e["path"] for e in json.loads((target / "MANIFEST.json").read_text())["files"]}
    assert listed == {
        path.relative_to(target).as_posix()
        for path in target.rglob("*")
        if path.is_file() and path.name != "MANIFEST.json"
    }


def test_the_commit_tells_each_destination_once(world: Callable[..., World]) -> None:
    site = world()
    site.make()
    site.publish()
    (body,) = site.messages()
    assert body["item"] == "line/survey/S-1"
    assert (body["type"], body["target"], body["version"]) == ("published", "line/survey/S-1", 1)
    assert body["sha256"] == site.rows()[0].sha256.hex()


def test_a_lone_file_without_documents_is_linked_into_place(world: Callable[..., World]) -> None:
    site = world(documents=False, products=["make.grid"])
    site.make()
    assert site.publish().outcome is Outcome.DONE
    assert site.files() == ["line/survey/S-1/make-grid.bin"]
    path = site.archive / "line/survey/S-1/make-grid.bin"
    assert path.read_bytes() == BYTES["grid"]
    assert path.stat().st_nlink == 1
    site.assert_right("line/survey/S-1/make-grid.bin")


def test_the_second_run_has_nothing_to_do(world: Callable[..., World]) -> None:
    site = world()
    site.make()
    site.publish()
    works = [site.publish_row().id]
    site.catalog.write(lambda tx: tx.revise(works, "look again"))
    assert site.publish().outcome is Outcome.UNCHANGED
    assert len(site.rows()) == 1
    assert site.publish_row().state is Work.DONE


def test_another_file_system(world: Callable[..., World], small_disk: Path) -> None:
    site = world(archive=small_disk)
    assert small_disk.stat().st_dev != site.places["store"].stat().st_dev
    site.make({"grid": {"a/b": b"x" * 70_000}, "plot": b"png"})
    assert site.publish().outcome is Outcome.DONE
    site.assert_right()


def test_a_tree_keeps_its_times(world: Callable[..., World]) -> None:
    site = world(documents=False, products=["make.grid"])
    place = site.make({"grid": {"a/b": b"1", "c": b"2"}, "plot": b"png"})
    for path in (place / "grid.bin/a/b", place / "grid.bin/a", place / "grid.bin"):
        os.utime(path, ns=(1, 1_500_000_000_000_000_000))
    site.publish()
    copy = site.archive / "line/survey/S-1/make-grid.bin"
    assert hashing.tree_mtime_ns(copy) == hashing.tree_mtime_ns(place / "grid.bin")


# ---- kills


class Killed(BaseException):
    """The process is gone: nothing catches it, nothing is tidied."""


class Faults:
    """Kills at the n-th instant; instants are counted over disk and catalog alike."""

    def __init__(self, at: int) -> None:
        self.at, self.count, self.name = at, 0, ""

    def __call__(self, name: str) -> None:
        self.count += 1
        if self.count == self.at:
            self.name = name
            raise Killed(name)


class KillingTransfer(LocalTransfer):
    """The real transfer, killed before or after any of its acts, and in the middle of a copy."""

    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self.faults = faults

    def prepare(self, root: Path, folder: Path) -> None:
        self.faults("before prepare")
        super().prepare(root, folder)

    def copy(self, source: Path, temporary: Path, progress: Any) -> None:
        self.faults("before copy")
        super().copy(source, temporary, lambda count: (progress(count), self.faults("in copy"))[0])
        self.faults("after copy")

    def write(self, path: Path, content: bytes) -> None:
        super().write(path, content)
        self.faults("after write")

    def place(self, temporary: Path, target: Path) -> bool:
        self.faults("before place")
        placed = super().place(temporary, target)
        self.faults("after place")
        return placed

    def remove(self, path: Path) -> None:
        super().remove(path)
        self.faults("after remove")


class KillingCatalog:
    """The real catalog, killed before a transaction begins or after it committed."""

    def __init__(self, inner: SqliteCatalog, faults: Faults) -> None:
        self.inner, self.faults = inner, faults

    def write(self, work: Any) -> Any:
        self.faults("before commit")
        done = self.inner.write(work)
        self.faults("after commit")
        return done

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def killing(site: World, faults: Faults) -> Publisher:
    return site.publisher(KillingTransfer(faults), KillingCatalog(site.catalog, faults))


@pytest.mark.parametrize("lone", [False, True])
def test_killed_at_every_instant_it_goes_on(world: Callable[..., World], lone: bool) -> None:
    params = {"documents": False, "products": ["make.grid"]} if lone else {}
    target = "line/survey/S-1/make-grid.bin" if lone else "line/survey/S-1"
    seen: list[str] = []
    for at in range(1, 200):
        site = world(f"site{at}", **params)
        site.make()
        faults = Faults(at)
        try:
            site.publish(killing(site, faults))
            assert not faults.name
            break
        except Killed:
            seen.append(faults.name)
        assert site.rows() == [] or site.rows()[0].state in State
        site.later(LEASE + 1)
        report = site.publish()
        assert report.outcome in (Outcome.DONE, Outcome.UNCHANGED), (faults.name, report)
        site.assert_right(target)
        assert len(site.files()) == (1 if lone else 5)
        assert len(site.messages()) == 1, faults.name
    assert {"before prepare", "in copy", "after copy", "before place", "after place"} <= set(seen)
    assert seen.count("after commit") >= 5
    assert len(seen) > 15


@pytest.mark.parametrize("seed", range(12))
def test_killed_twice_it_goes_on(world: Callable[..., World], seed: int) -> None:
    choose = random.Random(seed)
    site = world()
    site.make()
    for _ in range(2):
        try:
            site.publish(killing(site, Faults(choose.randrange(1, 24))))
        except Killed:
            site.later(LEASE + 1)
    if site.publish_row().state is not Work.DONE:
        site.publish()
    site.assert_right()
    assert len(site.messages()) == 1


@pytest.mark.parametrize("seed", range(5))
def test_a_process_killed_by_the_system_leaves_what_the_next_one_mends(
    world: Callable[..., World], seed: int
) -> None:
    site = world()
    site.make({"grid": {str(n): b"g" * 200_000 for n in range(100)}, "plot": b"png"})
    with subprocess.Popen(site.daemon(), stdout=subprocess.PIPE) as daemon:
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == b"claimed\n"
        time.sleep(random.Random(seed).uniform(0.0, 0.4))
        daemon.kill()
    site.later(LEASE + 1)
    if site.publish_row().state is not Work.DONE:
        assert site.publish().outcome in (Outcome.DONE, Outcome.UNCHANGED)
    site.assert_right()
    assert len(site.messages()) == 1


def test_killed_in_placing_then_made_again(world: Callable[..., World]) -> None:
    """What was placed is committed as what it is, and the newer one supersedes it."""
    site = world()
    site.make()
    claimed = site.claim("publish")
    assert claimed is not None

    class DiesOnceItStands(LocalTransfer):
        def place(self, temporary: Path, target: Path) -> bool:
            super().place(temporary, target)
            raise Killed

    with pytest.raises(Killed):
        site.publisher(DiesOnceItStands())(site.kind, site.kind.stages["publish"], claimed)
    assert site.rows()[0].state is State.PLACING
    site.later(LEASE + 1)
    site.remake({"grid": b"better", "plot": b"png"})
    assert site.publish().outcome is Outcome.DONE
    assert [row.state for row in site.rows()] == [State.SUPERSEDED, State.RELEASED]
    site.assert_right("line/survey/S-1~v2")
    assert (site.archive / "line/survey/S-1/make-grid.bin").read_bytes() == BYTES["grid"]
    assert [body["version"] for body in site.messages()] == [1, 2]


def test_killed_in_placing_where_another_stands_it_is_a_conflict(world: Callable[..., World]) -> None:
    site = world()
    site.make()
    target = site.archive / "line/survey/S-1"

    class DiesAndIsOvertaken(LocalTransfer):
        def place(self, temporary: Path, target: Path) -> bool:
            target.mkdir()
            (target / "theirs").write_bytes(b"theirs")
            raise Killed

    with pytest.raises(Killed):
        site.publish(site.publisher(DiesAndIsOvertaken()))
    site.later(LEASE + 1)
    assert site.publish().outcome is Outcome.FAILED
    assert [row.state for row in site.rows()] == [State.CONFLICT]
    assert (target / "theirs").read_bytes() == b"theirs"
    target.rename(site.archive / "moved away")
    site.retry()
    assert site.publish().outcome is Outcome.DONE
    site.assert_right()


# ---- two at once


class Waiting(LocalTransfer):
    """The real transfer, which waits at one act until it is let go."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where, self.reached, self.go = where, threading.Event(), threading.Event()

    def at(self, where: str) -> None:
        if where == self.where:
            self.reached.set()
            assert self.go.wait(30)

    def copy(self, source: Path, temporary: Path, progress: Any) -> None:
        self.at("before copy")
        super().copy(source, temporary, progress)
        self.at("after copy")

    def place(self, temporary: Path, target: Path) -> bool:
        self.at("before place")
        placed = super().place(temporary, target)
        self.at("after place")
        return placed


@pytest.mark.parametrize("where", ["before copy", "after copy", "before place", "after place"])
@pytest.mark.parametrize("lone", [False, True])
def test_a_late_publisher_cannot_harm(world: Callable[..., World], where: str, lone: bool) -> None:
    site = world(**({"documents": False, "products": ["make.grid"]} if lone else {}))
    site.make()
    slow, ended = Waiting(where), []
    late = site.claim("publish")
    assert late is not None
    publisher = site.publisher(slow)
    thread = threading.Thread(
        target=lambda: ended.append(publisher(site.kind, site.kind.stages["publish"], late))
    )
    thread.start()
    assert slow.reached.wait(30)
    site.later(LEASE + 1)
    assert site.publish().outcome is Outcome.DONE
    slow.go.set()
    thread.join(30)
    assert ended[0].outcome is Outcome.STOPPED
    site.complete("publish", late, ended[0])
    site.assert_right("line/survey/S-1/make-grid.bin" if lone else "line/survey/S-1")
    assert len(site.messages()) == 1


def test_two_items_for_one_place_are_a_conflict(world: Callable[..., World]) -> None:
    site = world(documents=False, products=["make.grid"], name="{item.site}/{output}{ext}")
    site.make()
    site.add("S-2")
    site.make({"grid": b"theirs", "plot": b""})
    assert site.publish().outcome is Outcome.DONE
    report = site.publish()
    assert report.outcome is Outcome.FAILED
    assert "is the place of another publication" in report.error
    assert (site.archive / "x/grid.bin").read_bytes() == BYTES["grid"]


# ---- troubles of the archive


def assert_failed_then_heals(site: World, reason: str, mend: Callable[[], object]) -> None:
    report = site.publish()
    assert report.outcome is Outcome.TRANSIENT
    assert reason in report.error
    assert [row.state for row in site.rows()] == [State.FAILED]
    assert reason in site.rows()[0].error
    assert site.publish_row().state is Work.READY
    mend()
    site.later()
    assert site.publish().outcome is Outcome.DONE
    site.assert_right()
    assert len(site.rows()) == 1


def test_a_full_archive(world: Callable[..., World], small_disk: Path) -> None:
    site = world(archive=small_disk)
    filler = small_disk / "filler"
    filler.write_bytes(b"f" * 900_000)
    site.make({"grid": b"g" * 400_000, "plot": b"png"})
    assert_failed_then_heals(site, os.strerror(errno.ENOSPC), filler.unlink)


def test_an_archive_that_is_not_there(world: Callable[..., World]) -> None:
    site = world()
    site.make()
    away = site.archive.with_name("away")
    site.archive.rename(away)

    def mend() -> None:
        assert not site.archive.exists(), "an archive that is not mounted must not be made"
        away.rename(site.archive)

    assert_failed_then_heals(site, "the archive is not there", mend)


def test_an_archive_that_vanishes_while_it_is_copied_to(world: Callable[..., World]) -> None:
    site = world()
    site.make()

    class Vanishing(LocalTransfer):
        def copy(self, source: Path, temporary: Path, progress: Any) -> None:
            super().copy(source, temporary, progress)
            if site.archive.exists():
                site.archive.rename(site.archive.with_name("away"))

    report = site.publish(site.publisher(Vanishing()))
    assert (report.outcome, site.rows()[0].state) == (Outcome.TRANSIENT, State.FAILED)
    site.archive.with_name("away").rename(site.archive)
    site.later()
    assert site.publish().outcome is Outcome.DONE
    site.assert_right()


def test_an_archive_that_vanishes_before_it_is_placed_stays_in_placing(world: Callable[..., World]) -> None:
    """Nobody can look, so nobody may say that nothing is there."""
    site = world()
    site.make()

    class Unreachable(LocalTransfer):
        def place(self, temporary: Path, target: Path) -> bool:
            self.gone = True
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(target))

        def leftovers(self, target: Path, publication: int, token: int) -> list[Path]:
            if getattr(self, "gone", False):
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(target))
            return super().leftovers(target, publication, token)

    assert site.publish(site.publisher(Unreachable())).outcome is Outcome.TRANSIENT
    assert site.rows()[0].state is State.PLACING
    site.later()
    assert site.publish().outcome is Outcome.DONE
    site.assert_right()


def test_an_archive_that_may_not_be_written(world: Callable[..., World], unprivileged: Any) -> None:
    site = world()
    site.make()
    site.archive.chmod(0o555)
    done = unprivileged(*site.daemon())
    assert "transient Permission denied" in done.stdout
    assert site.rows()[0].state is State.FAILED
    assert "Permission denied" in site.rows()[0].error
    site.archive.chmod(0o755)
    site.later()
    assert site.publish().outcome is Outcome.DONE
    site.assert_right()


def test_attempts_are_used_up_and_a_person_retries(world: Callable[..., World]) -> None:
    site = world()
    site.make()
    site.archive.rename(site.archive.with_name("away"))
    for _ in range(site.kind.stages["publish"].attempts):
        assert site.publish().outcome is Outcome.TRANSIENT
        site.later()
    assert site.publish_row().state is Work.FAILED
    site.archive.with_name("away").rename(site.archive)
    site.retry()
    assert site.publish().outcome is Outcome.DONE
    site.assert_right()


def test_a_failed_publication_goes_where_a_new_template_says(world: Callable[..., World]) -> None:
    params = {"documents": False, "products": ["make.grid"]}
    site = world(**params)
    site.make()
    site.archive.rename(site.archive.with_name("away"))
    site.publish()
    site.archive.with_name("away").rename(site.archive)
    site.definition = definition(**params, name="new/{item.key}{ext}")
    site.catalog.close()
    site.open()
    site.later()
    assert site.publish().outcome is Outcome.DONE
    assert site.files() == ["new/S-1.bin"]
    assert [row.state for row in site.rows()] == [State.FAILED, State.RELEASED]


def test_the_place_of_a_failed_publication_may_be_taken_meanwhile(world: Callable[..., World]) -> None:
    site = world(documents=False, products=["make.grid"], name="{item.site}/{output}{ext}")
    site.make()
    site.archive.rename(site.archive.with_name("away"))
    site.publish()
    site.archive.with_name("away").rename(site.archive)
    site.add("S-2")
    site.make({"grid": b"theirs", "plot": b""})
    assert site.publish().outcome is Outcome.DONE
    site.later()
    report = site.publish()
    assert report.outcome is Outcome.FAILED
    assert "is the place of another publication" in report.error
    assert (site.archive / "x/grid.bin").read_bytes() == b"theirs"


def test_an_archive_that_nobody_declared_is_named(world: Callable[..., World]) -> None:
    site = world(archive_root="tape")
    site.make()
    with pytest.raises(NotFoundError, match="no archive 'tape'"):
        site.publish()


def test_a_source_disk_that_fails_too_is_tried_again(world: Callable[..., World]) -> None:
    site = world()
    site.make()

    class Broken(LocalTransfer):
        def copy(self, source: Path, temporary: Path, progress: Any) -> None:
            site.places["store"] = Path("/dev/null")
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(source))

    store = site.places["store"]
    report = site.publish(site.publisher(Broken()))
    site.places["store"] = store
    assert report.outcome in (Outcome.TRANSIENT, Outcome.BLOCKED)
    assert site.rows()[0].state is State.FAILED


# ---- bytes that are not what they should be


class Meddling(LocalTransfer):
    """The real transfer, and somebody else who writes into it once."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where

    def meddle(self, where: str, temporary: Path) -> None:
        if where == self.where:
            self.where = ""
            path = temporary / "make-grid.bin" if temporary.is_dir() else temporary
            path.write_bytes(b"X" + path.read_bytes()[1:])

    def copy(self, source: Path, temporary: Path, progress: Any) -> None:
        super().copy(source, temporary, progress)
        if "grid" in source.name:
            self.meddle("copied", temporary)

    def place(self, temporary: Path, target: Path) -> bool:
        self.meddle("verified", temporary)
        placed = super().place(temporary, target)
        self.meddle("placed", target)
        return placed


@pytest.mark.parametrize("lone", [False, True])
@pytest.mark.parametrize("where", ["copied", "verified", "placed"])
def test_a_copy_that_changes_on_the_way_is_never_committed(
    world: Callable[..., World], where: str, lone: bool
) -> None:
    site = world(**({"documents": False, "products": ["make.grid"]} if lone else {}))
    site.make()
    report = site.publish(site.publisher(Meddling(where)))
    assert report.outcome is Outcome.TRANSIENT
    assert "differs" in report.error or "changed while it was placed" in report.error
    assert (site.files(), site.hidden()) == ([], [])
    assert site.rows()[0].state is State.FAILED
    site.later()
    assert site.publish().outcome is Outcome.DONE
    site.assert_right("line/survey/S-1/make-grid.bin" if lone else "line/survey/S-1")


def test_a_source_that_is_missing_blocks_and_is_named(world: Callable[..., World]) -> None:
    site = world()
    place = site.make()
    (place / "plot.bin").unlink()
    report = site.publish()
    assert report.outcome is Outcome.BLOCKED
    assert [what for _, what in report.changed] == ["missing"]
    assert "plot.bin is missing" in report.reasons[0]
    assert site.files() == []


def test_a_source_that_was_changed_blocks(world: Callable[..., World]) -> None:
    site = world()
    place = site.make()
    (place / "grid.bin").write_bytes(b"edited")
    report = site.publish()
    assert (report.outcome, [what for _, what in report.changed]) == (Outcome.BLOCKED, ["changed"])
    assert site.files() == []


def test_a_source_that_rots_unseen_blocks_once_it_was_read(world: Callable[..., World]) -> None:
    """Size and time are as before: only the read-back tells."""
    site = world()
    place = site.make()
    status = (place / "grid.bin").stat()
    (place / "grid.bin").write_bytes(b"X" + BYTES["grid"][1:])
    os.utime(place / "grid.bin", ns=(status.st_atime_ns, status.st_mtime_ns))
    report = site.publish()
    assert (report.outcome, [what for _, what in report.changed]) == (Outcome.BLOCKED, ["changed"])
    assert (site.files(), site.hidden()) == ([], [])


def test_a_tree_that_rots_unseen_blocks_before_it_is_copied(world: Callable[..., World]) -> None:
    site = world()
    place = site.make({"grid": {"a": b"1", "b": b"2"}, "plot": b"png"})
    part = place / "grid.bin/b"
    status = part.stat()
    part.write_bytes(b"X")
    os.utime(part, ns=(status.st_atime_ns, status.st_mtime_ns))
    report = site.publish()
    assert (report.outcome, [what for _, what in report.changed]) == (Outcome.BLOCKED, ["changed"])
    assert site.rows() == []


def test_a_source_that_was_touched_is_refreshed(world: Callable[..., World]) -> None:
    site = world()
    place = site.make()
    os.utime(place / "grid.bin", ns=(1, 1_600_000_000_000_000_000))
    report = site.publish()
    assert report.outcome is Outcome.DONE
    assert [mtime for _, mtime in report.refreshed] == [1_600_000_000_000_000_000]


@pytest.mark.parametrize("kind", ["tree", "file"])
def test_a_link_out_of_the_store_is_refused_by_name(world: Callable[..., World], kind: str) -> None:
    site = world()
    secret = site.folder / "secret"
    secret.write_bytes(b"secret")
    place = site.make({"grid": {"a": b"1", "b": b"2"} if kind == "tree" else b"1", "plot": b"png"})
    link = place / "grid.bin/b" if kind == "tree" else place / "grid.bin"
    link.unlink()
    link.symlink_to(secret)
    report = site.publish()
    assert report.outcome is Outcome.FAILED
    assert str(link) in report.error
    assert site.files() == []


def test_a_target_that_leaves_the_archive_by_a_link_is_refused(world: Callable[..., World]) -> None:
    site = world()
    site.make()
    (site.folder / "outside").mkdir()
    (site.archive / "line").symlink_to(site.folder / "outside")
    report = site.publish()
    assert report.outcome is Outcome.FAILED
    assert "leaves root 'archive'" in report.error
    assert list((site.folder / "outside").iterdir()) == []


# ---- what stands at the target


def test_equal_content_at_the_target_is_committed(world: Callable[..., World]) -> None:
    site = world(documents=False, products=["make.grid"])
    site.make()
    target = site.archive / "line/survey/S-1/make-grid.bin"
    target.parent.mkdir(parents=True)
    target.write_bytes(BYTES["grid"])
    before = target.stat().st_ino
    assert site.publish().outcome is Outcome.DONE
    assert target.stat().st_ino == before
    site.assert_right("line/survey/S-1/make-grid.bin")


@pytest.mark.parametrize("what", ["file", "folder", "empty folder", "link", "dangling link"])
def test_other_content_at_the_target_is_a_conflict_until_it_is_moved_away(
    world: Callable[..., World], what: str
) -> None:
    site = world()
    site.make()
    target = site.archive / "line/survey/S-1"
    target.parent.mkdir(parents=True)
    match what:
        case "file":
            target.write_bytes(b"theirs")
        case "folder":
            target.mkdir()
            (target / "theirs").write_bytes(b"theirs")
        case "empty folder":
            target.mkdir()
        case "link":
            (site.archive / "elsewhere").mkdir()
            target.symlink_to(site.archive / "elsewhere")
        case "dangling link":
            target.symlink_to(site.archive / "nowhere")
    report = site.publish()
    assert report.outcome is Outcome.FAILED
    assert "never overwritten" in report.error
    assert site.rows()[0].state is State.CONFLICT
    assert site.publish_row().state is Work.FAILED
    assert site.hidden() == []
    target.rename(site.archive / "moved away")
    site.retry()
    assert site.publish().outcome is Outcome.DONE
    site.assert_right()


# ---- newer ones


def test_a_newer_publication_supersedes_the_former_at_a_new_place(world: Callable[..., World]) -> None:
    site = world(name="{pipeline}/{item.key}/v{version}")
    site.make()
    site.publish()
    site.remake({"grid": b"better", "plot": b"png"})
    assert site.publish().outcome is Outcome.DONE
    first, second = site.rows()
    assert (first.state, first.target) == (State.SUPERSEDED, "line/S-1/v1")
    assert (second.state, second.target, second.supersedes) == (State.RELEASED, "line/S-1/v2", first.id)
    assert (site.archive / "line/S-1/v1/make-grid.bin").read_bytes() == BYTES["grid"]
    assert (site.archive / "line/S-1/v2/make-grid.bin").read_bytes() == b"better"
    assert [(body["version"], body["supersedes"]) for body in site.messages()] == [
        (1, []),
        (2, ["line/S-1/v1"]),
    ]


def test_products_made_again_before_they_were_published_take_the_place(world: Callable[..., World]) -> None:
    site = world()
    site.make()
    site.archive.rename(site.archive.with_name("away"))
    site.publish()
    site.archive.with_name("away").rename(site.archive)
    site.remake({"grid": b"better", "plot": b"png"})
    assert site.publish().outcome is Outcome.DONE
    assert [(row.state, row.target) for row in site.rows()] == [
        (State.FAILED, "line/survey/S-1"),
        (State.RELEASED, "line/survey/S-1"),
    ]
    assert (site.archive / "line/survey/S-1/make-grid.bin").read_bytes() == b"better"


def test_a_withdrawn_publication_keeps_its_files(world: Callable[..., World]) -> None:
    site = world()
    site.make()
    site.publish()
    row = site.catalog.write(lambda tx: withdraw(tx, site.rows()[0], "ann", "wrong datum"))
    assert (row.state, row.error) == (State.WITHDRAWN, "withdrawn by ann: wrong datum")
    assert len(site.files()) == 5


# ---- people


def test_a_manual_publication_waits_for_a_person(world: Callable[..., World]) -> None:
    site = world(publish="manual")
    site.make()
    report = site.publish()
    assert report.outcome is Outcome.HELD
    assert site.rows()[0].state is State.INTENDED
    assert site.publish_row().state is Work.HELD
    assert site.publish_row().note.startswith("waiting for publish")
    assert site.files() == []
    site.catalog.write(lambda tx: approve(tx, site.publish_row().id, "ann", "looks good"))
    assert site.publish().outcome is Outcome.DONE
    site.assert_right()


def test_an_approval_holds_for_what_was_shown_only(world: Callable[..., World]) -> None:
    site = world(publish="manual")
    site.make()
    site.publish()
    site.catalog.write(lambda tx: approve(tx, site.publish_row().id, "ann"))
    site.remake({"grid": b"not what she saw", "plot": b"png"})
    assert site.publish().outcome is Outcome.HELD
    assert site.files() == []
    assert [row.state for row in site.rows()] == [State.FAILED, State.INTENDED]


def test_only_what_waits_can_be_approved(world: Callable[..., World]) -> None:
    site = world()
    site.make()
    site.publish()
    with pytest.raises(StateError, match="no publication waits"):
        site.catalog.write(lambda tx: approve(tx, site.publish_row().id, "ann"))


def test_a_stop_works_until_it_is_placed(world: Callable[..., World]) -> None:
    site = world()
    site.make()

    class Stopped(LocalTransfer):
        def copy(self, source: Path, temporary: Path, progress: Any) -> None:
            super().copy(source, temporary, progress)
            site.catalog.write(lambda tx: tx.stop([site.publish_row().id], "ann", "wait"))

    assert site.publish(site.publisher(Stopped())).outcome is Outcome.STOPPED
    assert (site.files(), site.hidden()) == ([], [])
    assert site.publish_row().state is Work.STOPPED
    site.retry()
    assert site.publish().outcome is Outcome.DONE
    site.assert_right()


def test_a_long_copy_tells_how_far_it_is_and_notices_a_stop(
    world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = world(products=["make.grid"])
    site.make({"grid": b"g" * 20_000_000, "plot": b"png"})
    monkeypatch.setattr(journal, "_LOOK", 0.0)
    told: list[tuple[float, str]] = []

    def progress(_claimed: Claimed, fraction: float, doing: str) -> None:
        told.append((fraction, doing))
        if len(told) == 3:
            site.catalog.write(lambda tx: tx.stop([site.publish_row().id], "ann", "wait"))

    assert site.publish(site.publisher(progress=progress)).outcome is Outcome.STOPPED
    assert len(told) == 3
    assert [doing for _, doing in told] == ["copy"] * 3
    assert 0 < told[0][0] < told[1][0] < told[2][0] < 0.5
    assert (site.files(), site.hidden()) == ([], [])


# ---- objections


def test_an_embargo_is_waited_for(world: Callable[..., World]) -> None:
    site = world(embargo="2024-01-01T00:00:00Z")
    site.make()
    report = site.publish()
    assert report.outcome is Outcome.TRANSIENT
    assert "under embargo until 2024-01-01" in report.error
    assert site.claim("publish") is None
    site.later(report.after + 1)
    assert site.publish().outcome is Outcome.DONE
    site.assert_right()


def assert_refused(site: World, reason: str) -> None:
    report = site.publish()
    assert report.outcome is Outcome.FAILED
    assert reason in report.error
    assert site.rows()[0].state is State.FAILED
    assert reason in site.rows()[0].error
    assert site.files() == []


@pytest.mark.parametrize("stated", ["no", "unknown"])
def test_an_ancestor_that_may_not_be_redistributed_refuses(world: Callable[..., World], stated: str) -> None:
    site = world()
    site.make(measures=(Measure("redistribute", stated), Measure("licence", "CC-BY-NC-4.0")))
    assert_refused(site, f"line/survey/S-1 make states redistribute: {stated} (CC-BY-NC-4.0)")


def test_a_waiver_in_the_pipeline_file_lets_it_pass(world: Callable[..., World]) -> None:
    site = world(licence={"waive": ["unknown"], "why": "asked the owner"})
    site.make(measures=(Measure("redistribute", "unknown"),))
    assert site.publish().outcome is Outcome.DONE


def test_a_verdict_that_is_not_good_enough_refuses(world: Callable[..., World]) -> None:
    site = world(verdict="pass", requires=["assess"])
    claimed = site.claim("make")
    assert claimed is not None
    place = site.places["store"] / "S-1"
    write(place, {"grid.bin": b"1", "plot.bin": b"2"})
    outputs = tuple(
        Output(n, str(place / f"{n}.bin"), hashing.content(place / f"{n}.bin")) for n in ("grid", "plot")
    )
    site.complete(
        "make", claimed, Report(claimed.work, claimed.token, Outcome.DONE, 1.0, 1.0, outputs=outputs)
    )
    site.assess("warn")
    assert_refused(site, "the verdict of assess is warn; pass is needed")


def test_a_stage_that_must_judge_and_did_not_refuses(world: Callable[..., World]) -> None:
    site = world(requires=["make"])
    site.make()
    assert_refused(site, "make has given no verdict")


def test_a_licence_may_be_required(world: Callable[..., World]) -> None:
    site = world(licence_required=True)
    site.definition = replace(site.definition, licence="")
    site.make()
    assert_refused(site, "no licence is known")


def test_what_changed_while_it_was_copied_is_not_placed(world: Callable[..., World]) -> None:
    """The raw file was replaced meanwhile: an ancestor is no longer current when it is asked again."""
    site = world()
    site.make()

    class Meanwhile(LocalTransfer):
        def write(self, path: Path, content: bytes) -> None:
            super().write(path, content)
            if path.name == "MANIFEST.json":
                raw = site.places["incoming"] / "S-1.csv"
                raw.write_bytes(b"corrected")
                site.add_raw(site.item, raw)

    report = site.publish(site.publisher(Meanwhile()))
    assert report.outcome is Outcome.BLOCKED
    assert "raw.data is superseded" in report.reasons[0]
    assert site.rows()[0].state is State.FAILED
    assert (site.files(), site.hidden()) == ([], [])
    site.make({"grid": b"from corrected data", "plot": b"png"})
    site.later()
    assert site.publish().outcome is Outcome.DONE


def test_an_ancestor_that_came_back_equal_is_no_objection(world: Callable[..., World]) -> None:
    site = world()
    site.make()
    raw = site.places["incoming"] / "S-1.csv"
    first = raw.read_bytes()
    for content in (b"corrected", first):
        raw.write_bytes(content)
        site.add_raw(site.item, raw)
    site.make()
    assert site.publish().outcome is Outcome.DONE
    site.assert_right()


def test_products_that_the_stage_does_not_take_are_named(world: Callable[..., World]) -> None:
    site = world(products=["make.gird"])
    site.make()
    with pytest.raises(DefinitionError, match=r"make\.gird; the stage's inputs are make\.grid, make\.plot"):
        site.publish()


# ---- names


HOSTILE = [
    "../../etc/passwd",
    "a\nb",
    'it\'s "quoted" $(rm)',
    "x" * 255,
    "\u202etxt.exe",
    "مسح",
    ".hidden",
    "/",
    "",
]


@pytest.mark.parametrize("key", HOSTILE)
def test_hostile_keys_stay_in_the_archive(world: Callable[..., World], key: str) -> None:
    site = world(key=key or "%")
    site.make()
    assert site.publish().outcome is Outcome.DONE
    (target,) = (site.archive / "line/survey").iterdir()
    assert target.name == slug(key or "%")
    assert hashing.content(target).sha256 == site.rows()[0].sha256
    assert {path.name for path in site.folder.iterdir()} >= {"archive", "store", "incoming"}


# ---- mode move


def test_moved_products_are_in_the_archive_and_nowhere_else(world: Callable[..., World]) -> None:
    site = world(mode="move")
    place = site.make()
    assert site.publish().outcome is Outcome.DONE
    site.assert_right()
    assert [path.name for path in place.iterdir()] == []
    with site.catalog.read() as view:
        products = view.products([site.item], stages=["make"])
    assert {(one.root, one.path, one.state) for one in products} == {
        ("archive", "line/survey/S-1/make-grid.bin", ProductState.CURRENT),
        ("archive", "line/survey/S-1/make-plot.bin", ProductState.CURRENT),
    }
    for one in products:
        assert site.storage.stat(one.root, one.path, one.tree) == (one.size, one.mtime_ns)


def test_a_killed_move_loses_nothing(world: Callable[..., World]) -> None:
    for at in range(1, 200):
        site = world(f"site{at}", mode="move")
        place = site.make()
        try:
            site.publish(killing(site, Faults(at)))
            break
        except Killed:
            pass
        assert len(list(place.iterdir())) == 2 or site.rows()[0].state is State.RELEASED
        site.later(LEASE + 1)
        assert site.publish().outcome in (Outcome.DONE, Outcome.UNCHANGED)
        site.assert_right()


def test_a_moved_source_that_cannot_be_removed_is_published_all_the_same(
    world: Callable[..., World], caplog: pytest.LogCaptureFixture
) -> None:
    site = world(mode="move")
    place = site.make()

    class Stuck(LocalStorage):
        def remove(self, path: Path) -> None:
            raise StorageError(f"{path}: cannot be removed: Device or resource busy")

    site.storage = Stuck(site.places)
    assert site.publish().outcome is Outcome.DONE
    site.assert_right()
    assert len(list(place.iterdir())) == 2
    assert "moved source stays" in caplog.text


def test_a_moved_source_that_is_being_read_is_left(world: Callable[..., World]) -> None:
    site = world(mode="move")
    place = site.make()
    works = [row.id for row in site.work() if row.stage == "assess"]
    claimed = site.claim("publish")
    assert claimed is not None
    site.catalog.write(lambda tx: tx.revise(works, "again", force=True))
    assert site.claim("assess") is not None
    report = site.publisher()(site.kind, site.kind.stages["publish"], claimed)
    assert report.outcome is Outcome.DONE
    assert len(list(place.iterdir())) == 2
