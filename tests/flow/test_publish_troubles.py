"""What an archive can do to a publication, and what others can put in its way: real disks where there can be real ones."""

import errno
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from publishing import World

from towpath.adapters.transfers import local
from towpath.adapters.transfers.local import LocalTransfer
from towpath.base import faults, hashing
from towpath.base.states import Outcome, Work
from towpath.base.states import Publication as State
from towpath.flow.publish import tidy

LONE = {"documents": False, "products": ["make.grid"]}


@pytest.fixture
def armed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Arm fault points of this process; `gate` in the folder of the test holds those that wait."""
    monkeypatch.setenv(faults.GATE, str(tmp_path / "gate"))
    yield faults.arm
    faults.arm("")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Mount a disk of its own on `archive`, change it or take it away: its files outlive that."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk")
    (tmp_path / "disk").mkdir()
    (tmp_path / "archive").mkdir()

    def act(*argv: str) -> None:
        subprocess.run([*argv, str(tmp_path / "archive")], check=True, capture_output=True)

    act("mount", "--bind", str(tmp_path / "disk"))
    yield act
    subprocess.run(["umount", "--lazy", str(tmp_path / "archive")], check=False, capture_output=True)


def heals(site: World, target: str = "line/survey/S-1") -> None:
    """The next attempt publishes exactly one right copy and tells it once."""
    site.later()
    if site.publish_row().state is not Work.READY:
        site.retry()
    assert site.publish().outcome is Outcome.DONE
    site.assert_right(target)
    assert len(site.rows()) == 1


def while_waiting(site: World, armed: Callable[[str], None], point: str, act: Callable[[], object]) -> Any:
    """Publish, and do something while the publication waits at a point; returns its report."""
    gate, mark, reports = site.folder.parent / "gate", site.folder.parent / "mark", []
    gate.touch()
    os.environ[faults.MARK] = str(mark)
    armed(f"{point}:1:wait")
    thread = threading.Thread(target=lambda: reports.append(site.publish()))
    try:
        thread.start()
        while not mark.exists():
            thread.join(0.005)
            assert thread.is_alive() or mark.exists(), reports
        act()
    finally:
        gate.unlink()
        thread.join(60)
        del os.environ[faults.MARK]
    return reports[0]


# ---- full, read-only, slow, away


@pytest.mark.parametrize("left", [0, 4096, 200_000, 404_000, 408_000])
def test_a_disk_that_is_full_at_any_write(world: Callable[..., World], small_disk: Path, left: int) -> None:
    """At the folder, the first file, the second, the documents: nothing of it stays."""
    site = world(archive=small_disk)
    site.make({"grid": b"g" * 300_000, "plot": b"p" * 100_000})
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file:
        while file.tell() < os.statvfs(small_disk).f_blocks * 4096 - left:
            try:
                file.write(b"f" * 4096)
            except OSError:
                break
    report = site.publish()
    assert report.outcome is Outcome.TRANSIENT, report
    assert os.strerror(errno.ENOSPC) in report.error
    assert (site.rows()[0].state, site.hidden()) == (State.FAILED, [])
    filler.unlink()
    heals(site)


@pytest.mark.parametrize("point", ["publish.copy", "publish.copied", "publish.rename"])
def test_an_archive_that_becomes_read_only(
    world: Callable[..., World], tmp_path: Path, disk: Any, armed: Any, point: str
) -> None:
    site = world(archive=tmp_path / "archive")
    site.make()
    report = while_waiting(site, armed, point, lambda: disk("mount", "-o", "remount,bind,ro"))
    assert report.outcome is Outcome.TRANSIENT
    assert os.strerror(errno.EROFS) in report.error
    site.assert_whole_or_not_there()
    disk("mount", "-o", "remount,bind,rw")
    heals(site)


def test_a_disk_that_is_away_is_missed_and_not_written_beside(
    world: Callable[..., World], tmp_path: Path, disk: Any
) -> None:
    site = world(archive=tmp_path / "archive")
    site.make()
    assert site.publish().outcome is Outcome.DONE
    disk("umount")
    site.item = site.add("S-2")
    site.make({"grid": b"second", "plot": b"png"})
    report = site.publish()
    assert report.outcome is Outcome.TRANSIENT
    assert "is its disk mounted?" in report.error
    assert list(site.archive.iterdir()) == []
    disk("mount", "--bind", str(tmp_path / "disk"))
    site.later()
    assert site.publish().outcome is Outcome.DONE
    site.assert_right("line/survey/S-2")


def test_a_disk_that_goes_away_once_it_stands_there_is_asked_when_it_is_back(
    world: Callable[..., World], tmp_path: Path, disk: Any, armed: Any
) -> None:
    site = world(archive=tmp_path / "archive")
    site.make()
    site.publish()
    site.item = site.add("S-2")
    site.make({"grid": b"second", "plot": b"png"})
    report = while_waiting(site, armed, "publish.renamed", lambda: disk("umount", "--lazy"))
    assert report.outcome is Outcome.TRANSIENT
    assert site.rows()[-1].state is State.PLACING  # nobody can look, so nobody says that nothing is there
    site.later()
    assert site.publish().outcome is Outcome.TRANSIENT
    assert (site.rows()[-1].state, list(site.archive.iterdir())) == (State.PLACING, [])
    disk("mount", "--bind", str(tmp_path / "disk"))
    placed = (site.archive / "line/survey/S-2").stat().st_ino
    site.later()
    assert site.publish().outcome is Outcome.DONE
    site.assert_right("line/survey/S-2")
    assert (site.archive / "line/survey/S-2").stat().st_ino == placed


def test_a_slow_archive_can_be_stopped_and_keeps_nothing(world: Callable[..., World], armed: Any) -> None:
    site = world()
    site.make()
    works = [site.publish_row().id]
    report = while_waiting(
        site, armed, "publish.bytes", lambda: site.catalog.write(lambda tx: tx.stop(works, "me", "slow"))
    )
    assert report.outcome is Outcome.STOPPED
    assert (site.files(), site.hidden()) == ([], [])
    assert site.publish_row().state is Work.STOPPED
    heals(site)


@pytest.mark.parametrize("lone", [False, True])
@pytest.mark.parametrize("code", ["EXDEV", "EIO", "EDQUOT"])
def test_a_rename_that_the_system_refuses_is_tried_again(
    world: Callable[..., World], armed: Any, lone: bool, code: str
) -> None:
    site = world(**(LONE if lone else {}))
    site.make()
    armed(f"transfer.rename:1+:raise={code},transfer.link:1+:raise={code}")
    report = site.publish()
    assert report.outcome is Outcome.TRANSIENT
    assert os.strerror(getattr(errno, code)) in report.error
    assert (site.files(), site.hidden()) == ([], [])
    assert site.rows()[0].state is State.FAILED
    armed("")
    heals(site, "line/survey/S-1/make-grid.bin" if lone else "line/survey/S-1")


@pytest.mark.parametrize("lone", [False, True])
@pytest.mark.parametrize("lacks", ["transfer.rename:1+:raise=EINVAL", "transfer.link:1+:raise=EPERM", "both"])
def test_a_file_system_that_lacks_a_call_takes_it_all_the_same_and_replaces_nothing(
    world: Callable[..., World], armed: Any, lone: bool, lacks: str
) -> None:
    both = "transfer.rename:1+:raise=EINVAL,transfer.link:1+:raise=EPERM"
    site = world(**(LONE if lone else {}))
    site.make()
    armed(both if lacks == "both" else lacks)
    target = "line/survey/S-1/make-grid.bin" if lone else "line/survey/S-1"
    theirs = site.archive / target / "theirs"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"theirs")
    assert site.publish().outcome is Outcome.FAILED
    assert (site.rows()[0].state, theirs.read_bytes()) == (State.CONFLICT, b"theirs")
    theirs.parent.rename(site.archive / "moved away")
    site.retry()
    assert site.publish().outcome is Outcome.DONE
    site.assert_right(target)


# ---- what others do to a publication on its way


@pytest.mark.parametrize("lone", [False, True])
def test_what_another_put_in_the_place_of_ours_is_not_taken_away(
    world: Callable[..., World], armed: Any, lone: bool
) -> None:
    site = world(**(LONE if lone else {}))
    site.make()
    target = site.archive / ("line/survey/S-1/make-grid.bin" if lone else "line/survey/S-1")

    def replace() -> None:
        target.rename(site.archive / "ours")
        if lone:
            target.write_bytes(b"theirs")
        else:
            target.mkdir()
            (target / "theirs").write_bytes(b"theirs")

    report = while_waiting(site, armed, "publish.renamed", replace)
    assert report.outcome is Outcome.FAILED
    assert site.rows()[0].state is State.CONFLICT
    assert (target if lone else target / "theirs").read_bytes() == b"theirs"


@pytest.mark.parametrize("lone", [False, True])
@pytest.mark.parametrize("point", ["publish.verify", "publish.check", "publish.renamed"])
def test_a_write_whose_times_were_put_back_is_noticed(
    world: Callable[..., World], armed: Any, lone: bool, point: str
) -> None:
    site = world(**(LONE if lone else {}))
    site.make()

    def write() -> None:
        path = next(one for one in site.archive.rglob("*") if one.is_file() and b"ggg" in one.read_bytes())
        status = path.stat()
        path.write_bytes(b"X" * status.st_size)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    report = while_waiting(site, armed, point, write)
    assert report.outcome is Outcome.TRANSIENT, report
    assert (site.rows()[0].state, site.files(), site.hidden()) == (State.FAILED, [], [])
    heals(site, "line/survey/S-1/make-grid.bin" if lone else "line/survey/S-1")


def test_a_link_that_waits_where_a_temporary_will_be_is_not_followed(world: Callable[..., World]) -> None:
    site = world()
    site.make()
    outside = site.folder / "outside"
    outside.mkdir()
    target = site.archive / "line/survey/S-1"
    target.parent.mkdir(parents=True)
    site.transfers["archive"].temporary(target, 1, 1).symlink_to(outside)
    report = site.publish()
    assert report.outcome is Outcome.TRANSIENT
    assert list(outside.iterdir()) == []
    heals(site)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("where", ["line", "line/survey"])
def test_a_folder_of_the_layout_that_is_a_file_is_named(world: Callable[..., World], where: str) -> None:
    site = world()
    site.make()
    (site.archive / where).parent.mkdir(exist_ok=True)
    (site.archive / where).write_bytes(b"theirs")
    report = site.publish()
    assert report.outcome is Outcome.TRANSIENT
    assert str(site.archive / where) in report.error
    assert (site.archive / where).read_bytes() == b"theirs"
    (site.archive / where).unlink()
    heals(site)


def test_what_lies_at_the_target_and_is_no_product_is_a_conflict(world: Callable[..., World]) -> None:
    site = world()
    site.make()
    target = site.archive / "line/survey/S-1"
    target.mkdir(parents=True)
    (target / os.fsdecode(b"\xff")).write_bytes(b"theirs")
    os.mkfifo(target / "pipe")
    assert site.publish().outcome is Outcome.FAILED
    assert site.rows()[0].state is State.CONFLICT
    target.rename(site.archive / "moved away")
    heals(site)


# ---- what stands there already


def everything(path: Path, root: Path) -> list[Path]:
    """A file or folder, all in it, and the folders that lead to it."""
    return [path, *path.rglob("*"), *(above for above in path.parents if above.is_relative_to(root))]


@pytest.mark.parametrize("who", ["killed", "theirs"])
@pytest.mark.parametrize("content", [b"g" * 3000, {"a/b": b"1", "c": b"2"}])
def test_what_another_has_put_there_is_flushed_before_it_counts_and_its_source_goes(
    world: Callable[..., World],
    armed: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    who: str,
    content: Any,
) -> None:
    """Nobody knows that it was: a process may have died between its rename and the flush of it."""
    site = world(mode="move", **LONE)
    source = site.make({"grid": content, "plot": b"png"}) / "grid.bin"
    target, fsync, flushed = site.archive / "line/survey/S-1/make-grid.bin", os.fsync, set()

    class Killed(BaseException):
        pass

    def dies(path: Path) -> None:
        if target.exists():
            raise Killed(path)

    def noted(number: int) -> None:
        flushed.add(os.fstat(number).st_ino)
        fsync(number)

    if who == "killed":
        with monkeypatch.context() as killing, pytest.raises(Killed):
            killing.setattr(local, "flush", dies)
            site.publish()
        site.later()
    else:
        target.parent.mkdir(parents=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copyfile(source, target)
    monkeypatch.setattr(os, "fsync", noted)
    armed("publish.commit:1:raise=EIO")
    assert site.publish().outcome is Outcome.TRANSIENT
    assert site.rows()[0].state is State.PLACING
    assert source.exists()
    assert [path for path in everything(target, site.archive) if path.stat().st_ino not in flushed] == []
    armed("")
    heals(site, "line/survey/S-1/make-grid.bin")
    assert not source.exists()


# ---- what was published and is gone


@pytest.mark.parametrize("lone", [False, True])
def test_what_was_published_and_is_gone_is_published_again(world: Callable[..., World], lone: bool) -> None:
    site = world(**(LONE if lone else {}))
    site.make()
    site.publish()
    target = site.archive / site.rows()[0].target
    target.rename(site.folder / "lost")
    works = [site.publish_row().id]
    site.catalog.write(lambda tx: tx.revise(works, "look again"))
    assert site.publish().outcome is Outcome.DONE
    site.assert_right("line/survey/S-1/make-grid.bin" if lone else "line/survey/S-1")
    assert hashing.content(target).sha256 == hashing.content(site.folder / "lost").sha256
    assert [row.state for row in site.rows()] == [State.WITHDRAWN, State.RELEASED]
    assert [body["version"] for body in site.messages()] == [1, 1]
    site.remake({"grid": b"better", "plot": b"png"})
    site.publish()
    site.assert_right("line/survey/S-1/make-grid~v2.bin" if lone else "line/survey/S-1~v2")


def test_what_is_gone_and_cannot_be_put_back_yet_goes_to_its_place_in_the_end(
    world: Callable[..., World], armed: Any
) -> None:
    site = world()
    site.make()
    site.publish()
    (site.archive / "line/survey/S-1").rename(site.folder / "lost")
    works = [site.publish_row().id]
    site.catalog.write(lambda tx: tx.revise(works, "look again"))
    armed("publish.bytes:1:raise=EIO")
    assert site.publish().outcome is Outcome.TRANSIENT
    assert [row.state for row in site.rows()] == [State.WITHDRAWN, State.FAILED]
    site.later()
    assert site.publish().outcome is Outcome.DONE
    site.assert_right()


def test_what_is_gone_and_would_be_another_today_is_a_new_version(world: Callable[..., World]) -> None:
    site = world()
    site.make()
    site.publish()
    (site.archive / "line/survey/S-1").rename(site.folder / "lost")
    site.definition = replace(site.definition, citation="Another Author")
    works = [site.publish_row().id]
    site.catalog.write(lambda tx: tx.revise(works, "look again"))
    assert site.publish().outcome is Outcome.DONE
    assert [row.state for row in site.rows()] == [State.SUPERSEDED, State.RELEASED]
    site.assert_right("line/survey/S-1~v2")


# ---- names

FAITHFUL = [
    "new\nline",
    "tab\there",
    "'quote\"",
    "-rf",
    "--",
    " space ",
    "percent%20%s",
    "$(touch x);`id`|&&>*?[a]!#",
    "back\\slash",
    "caf\u00e9",
    "cafe\u0301",
    "مسح \u202etxt.exe",
    "😀",
    ".hidden",
    ".1.1.0123456789ab",
    "..",
    "...",
    "MANIFEST.json",
    "provenance.json",
    "CON",
    "ends with dot.",
    "~",
    "x" * 255,
    "é" * 127,
    "UPPER",
    "upper",
]


@pytest.mark.parametrize("mode", ["copy", "move"])
def test_every_name_in_a_tree_is_published_as_it_is(world: Callable[..., World], mode: str) -> None:
    names = [name for name in FAITHFUL if name != ".."]
    tree = {f"deep/{name}/{name}": name.encode() for name in names} | {
        f"{name}": b"x" for name in names if name != "deep"
    }
    site = world(mode=mode)
    site.make({"grid": {f"d/{path}": content for path, content in tree.items()}, "plot": b"png"})
    assert site.publish().outcome is Outcome.DONE
    site.assert_right(hidden=[name for name in names if name.startswith(".")])
    copy = site.archive / "line/survey/S-1/make-grid.bin/d"
    found = {
        path.relative_to(copy).as_posix(): path.read_bytes() for path in copy.rglob("*") if path.is_file()
    }
    assert found == tree


def add_link(path: Path, to: str) -> None:
    path.symlink_to(to)


def add_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path may be 107 bytes long
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(here)


REFUSED: dict[str, Callable[[Path], object]] = {
    "link out": lambda path: add_link(path, "/etc/passwd"),
    "link up": lambda path: add_link(path, "../../../../.."),
    "dangling link": lambda path: add_link(path, "nowhere"),
    "loop": lambda path: add_link(path, path.name),
    "link to itself": lambda path: add_link(path, "."),
    "pipe": os.mkfifo,
    "socket": add_socket,
    "not UTF-8": lambda path: path.with_name(os.fsdecode(b"bad\xff")).write_bytes(b"x"),
    "folder that is not UTF-8": lambda path: path.with_name(os.fsdecode(b"bad\xfe")).mkdir(),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("when", ["before", "during"])
def test_what_is_no_file_of_a_product_is_refused_by_name(
    world: Callable[..., World], armed: Any, what: str, when: str
) -> None:
    site = world()
    place = site.make({"grid": {"a/b": b"1", "c": b"2"}, "plot": b"png"}) / "grid.bin"

    def add() -> None:
        REFUSED[what](place / "a" / "bad")

    if when == "before":
        add()
        report = site.publish()
    else:
        report = while_waiting(site, armed, "publish.copy", add)
    assert report.outcome is Outcome.FAILED, report
    assert "a/bad" in report.error
    assert report.error.isprintable()
    report.error.encode()
    assert (site.files(), site.hidden()) == ([], [])
    for path in (place / "a").iterdir():
        if path.name != "b":
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    heals(site)


def test_a_device_is_refused_and_not_read(world: Callable[..., World]) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a device")
    site = world()
    place = site.make() / "grid.bin"
    place.unlink()
    os.mknod(place, 0o666 | 0o020000, os.makedev(1, 5))  # /dev/zero: reading it would not end
    report = site.publish()
    assert report.outcome is Outcome.FAILED
    assert "grid.bin" in report.error


def test_hard_links_are_published_as_files_of_their_own(world: Callable[..., World]) -> None:
    site = world(mode="move")
    other = site.folder / "other"
    other.write_bytes(b"shared")
    claimed = site.make({"grid": {"a": b"shared", "b": b"2"}, "plot": b"png"}) / "grid.bin"
    times = (claimed / "a").stat()
    (claimed / "a").unlink()
    os.link(other, claimed / "a")
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert site.publish().outcome is Outcome.DONE
    copy = site.archive / "line/survey/S-1/make-grid.bin/a"
    assert (copy.read_bytes(), copy.stat().st_nlink) == (b"shared", 1)
    assert other.read_bytes() == b"shared"


def test_a_path_that_is_too_long_for_the_archive_fails_at_once_by_name(
    world: Callable[..., World], tmp_path: Path
) -> None:
    archive = tmp_path
    while len(str(archive)) < 2500:
        archive = archive / ("a" * 200)
    archive.mkdir(parents=True)
    deep = "/".join(["d" * 200] * 9)
    site = world(archive=archive)
    site.make({"grid": {f"{deep}/file": b"1"}, "plot": b"png"})
    report = site.publish()
    assert report.outcome is Outcome.FAILED
    assert "the archive cannot hold this name: File name too long" in report.error
    assert (site.rows()[0].state, site.hidden()) == (State.FAILED, [])


@pytest.mark.parametrize(("nth", "what"), [(1, "plot"), (2, "grid.bin/B")])
def test_names_that_the_archive_takes_for_one_fail_at_once(
    world: Callable[..., World], armed: Any, nth: int, what: str
) -> None:
    """As where upper and lower case are the same."""
    site = world()
    site.make({"grid": {"a": b"1", "B": b"2"}, "plot": b"png"})
    armed(f"transfer.create:{nth + 1 if what == 'plot' else nth - 1}:raise=EEXIST")
    report = site.publish()
    assert report.outcome is Outcome.FAILED, report
    assert "upper and lower case are the same" in report.error
    assert site.hidden() == []
    armed("")
    heals(site)


# ---- what nobody comes back for


def test_a_temporary_of_a_publication_that_was_given_up_goes_with_the_sweep(
    world: Callable[..., World], armed: Any
) -> None:
    site = world()
    site.make()

    class Dies(LocalTransfer):
        def write(self, path: Path, content: bytes) -> None:
            raise KeyboardInterrupt

    claimed = site.claim("publish")
    with pytest.raises(KeyboardInterrupt):
        site.publisher(Dies())(site.kind, site.kind.stages["publish"], claimed)
    assert len(site.hidden()) == 1
    others = site.archive / "line/survey/.7.1.0123456789ab"
    others.mkdir()
    assert tidy(site.catalog, site.storage, site.transfers) == 0  # it runs
    site.catalog.write(lambda tx: tx.stop([claimed.work], "me", "no more"))
    assert tidy(site.catalog, site.storage, site.transfers) == 1
    assert site.hidden() == [others.name]
    site.archive.rename(site.archive.with_name("away"))
    assert tidy(site.catalog, site.storage, site.transfers) == 0


# ---- a change that spreads


def test_nothing_is_placed_while_a_change_spreads_and_afterwards_it_is(world: Callable[..., World]) -> None:
    site = world()
    site.make()
    others = [site.add(f"S-{number}") for number in (2, 3, 4)]
    site.catalog.at_once = 1  # type: ignore[attr-defined]  # the protocol of one that has definitions
    with site.catalog.read() as view:
        works = [rows[0].id for rows in view.work(others).values()]
    site.catalog.write(lambda tx: tx.revise(works, "look again"))
    report = site.publish()
    assert report.outcome is Outcome.BLOCKED
    assert "a change spreads" in f"{report.error} {report.reasons}"
    while site.catalog.write(lambda tx: tx.spread()):
        assert not (site.archive / "line/survey/S-1").exists()
    site.later()
    assert site.publish().outcome is Outcome.DONE
    site.assert_right()
