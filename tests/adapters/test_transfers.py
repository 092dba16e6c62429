"""The local transfer on real disks: copies, read-back, placing without replacing, with and without the system's help."""

import ctypes
import errno
import os
import random
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from towpath.adapters.transfers import local
from towpath.adapters.transfers.local import LocalTransfer
from towpath.base import faults, hashing
from towpath.base.errors import StorageError


def nothing(_count: int) -> None:
    pass


@pytest.fixture
def transfer() -> LocalTransfer:
    return LocalTransfer()


def tree(path: Path) -> Path:
    (path / "c/0").mkdir(parents=True)
    (path / "zarr.json").write_bytes(b"{}")
    (path / "c/0/0").write_bytes(b"\0" * 100_000)
    (path / "empty").mkdir()
    return path


def lone(path: Path) -> Path:
    path.write_bytes(random.Random(1).randbytes(5_000_000))
    return path


Maker = Callable[[Path], Path]


@pytest.mark.parametrize("make", [lone, tree])
def test_a_copy_is_equal_keeps_its_times_and_tells_its_bytes(
    tmp_path: Path, transfer: LocalTransfer, make: Maker
) -> None:
    source = make(tmp_path / "source")
    os.utime(source, ns=(1, 1_500_000_000_123_456_789))
    counts: list[int] = []
    transfer.copy(source, tmp_path / "copy", counts.append)
    content = hashing.content(source)
    assert transfer.content(tmp_path / "copy", nothing) == content
    assert hashing.content(tmp_path / "copy") == content
    assert sum(counts) == content.size
    assert (tmp_path / "copy").stat().st_mtime_ns == source.stat().st_mtime_ns


def test_a_temporary_lies_beside_its_target_and_is_told_from_others(
    tmp_path: Path, transfer: LocalTransfer
) -> None:
    target = tmp_path / "a"
    ours = [transfer.temporary(target, 7, token) for token in (1, 2, 3)]
    others = [transfer.temporary(tmp_path / "b", 7, 1), transfer.temporary(target, 77, 1)]
    for path in (*ours, *others):
        assert path.parent == target.parent
        assert path.name.startswith(".")
        path.mkdir()
    assert sorted(transfer.leftovers(target, 7, 2)) == sorted(ours[:2])
    assert transfer.leftovers(tmp_path / "none/a", 7, 2) == []


def test_a_half_removed_temporary_is_a_leftover(tmp_path: Path, transfer: LocalTransfer) -> None:
    target = tmp_path / "a"
    temporary = transfer.temporary(target, 7, 1)
    trash = temporary.with_name(f"{temporary.name}.01234567.trash")
    trash.mkdir()
    assert transfer.leftovers(target, 7, 1) == [trash]
    transfer.remove(trash)
    assert list(tmp_path.iterdir()) == []


def test_removing_nothing_is_no_error(tmp_path: Path, transfer: LocalTransfer) -> None:
    transfer.remove(tmp_path / "none")
    transfer.remove(tree(tmp_path / "tree"))
    transfer.remove(lone(tmp_path / "file"))
    (tmp_path / "file").write_bytes(b"")
    transfer.remove(tmp_path / "file" / "below")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_folders_are_made_below_a_root_that_is_there(tmp_path: Path, transfer: LocalTransfer) -> None:
    transfer.prepare(tmp_path, tmp_path / "a/b/c")
    transfer.prepare(tmp_path, tmp_path / "a/b/c")
    transfer.prepare(tmp_path, tmp_path)
    assert (tmp_path / "a/b/c").is_dir()
    with pytest.raises(FileNotFoundError, match="the archive is not there"):
        transfer.prepare(tmp_path / "gone", tmp_path / "gone/a")
    assert not (tmp_path / "gone").exists()


def test_each_folder_that_leads_to_a_target_is_flushed_also_where_others_made_it(
    tmp_path: Path, transfer: LocalTransfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[Path] = []
    monkeypatch.setattr(local, "flush", flushed.append)
    (tmp_path / "a/b").mkdir(parents=True)  # by a publisher that did not come to flushing
    transfer.prepare(tmp_path, tmp_path / "a/b/c")
    assert flushed == [tmp_path, tmp_path / "a", tmp_path / "a/b"]


# ---- what is refused


@pytest.mark.parametrize("what", ["link", "fifo", "link in a tree", "fifo in a tree"])
def test_links_and_devices_are_refused_by_name(tmp_path: Path, transfer: LocalTransfer, what: str) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    source = tmp_path / "source"
    bad = tree(source) / "c/bad" if what.endswith("tree") else source
    if what.startswith("link"):
        bad.symlink_to(tmp_path / "secret")
    else:
        os.mkfifo(bad)
    with pytest.raises(StorageError, match=str(bad)):
        transfer.copy(source, tmp_path / "copy", nothing)
    assert not (tmp_path / "copy").exists()


def test_a_copy_never_replaces(tmp_path: Path, transfer: LocalTransfer) -> None:
    (tmp_path / "copy").write_bytes(b"theirs")
    for source in (lone(tmp_path / "file"), tree(tmp_path / "tree")):
        with pytest.raises(FileExistsError):
            transfer.copy(source, tmp_path / "copy", nothing)
    with pytest.raises(FileExistsError):
        transfer.write(tmp_path / "copy", b"ours")
    assert (tmp_path / "copy").read_bytes() == b"theirs"


def test_a_full_disk_is_told(small_disk: Path, tmp_path: Path, transfer: LocalTransfer) -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        transfer.copy(lone(tmp_path / "source"), small_disk / "copy", nothing)
    assert caught.value.errno == errno.ENOSPC


def test_a_quota_is_told(tmp_path: Path) -> None:
    """A limit of the process stands for one of the file system."""
    lone(tmp_path / "source")
    code = (
        "import errno, pathlib, resource, signal, sys\n"
        "from towpath.adapters.transfers.local import LocalTransfer\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "try:\n"
        "    LocalTransfer().copy(folder / 'source', folder / 'copy', lambda count: None)\n"
        "except OSError as error:\n"
        "    sys.exit(0 if error.errno == errno.EFBIG else 2)\n"
        "sys.exit(1)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 0


def test_a_folder_without_permission_is_told(tmp_path: Path, unprivileged: Any) -> None:
    lone(tmp_path / "source")
    (tmp_path / "archive").mkdir(mode=0o555)
    code = (
        "import pathlib, sys\n"
        "from towpath.adapters.transfers.local import LocalTransfer\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "try:\n"
        "    LocalTransfer().copy(folder / 'source', folder / 'archive/copy', lambda count: None)\n"
        "except PermissionError as error:\n"
        "    print(error.strerror)\n"
    )
    assert unprivileged(sys.executable, "-c", code, tmp_path).stdout == "Permission denied\n"


# ---- reading back


@pytest.mark.parametrize("what", ["link", "fifo", "link in a tree"])
def test_what_is_no_product_has_a_hash_of_its_own(tmp_path: Path, transfer: LocalTransfer, what: str) -> None:
    real = tree(tmp_path / "real")
    place = tmp_path / "place"
    if what == "link":
        place.symlink_to(real)
    elif what == "fifo":
        os.mkfifo(place)
    else:
        (tree(place) / "c/link").symlink_to(real)
    found = transfer.content(place, nothing)
    assert found is not None
    assert found.sha256 != hashing.content(real).sha256


def test_nothing_there_has_no_content_and_no_stamp(tmp_path: Path, transfer: LocalTransfer) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "none", tmp_path / "file/below"):
        assert transfer.content(path, nothing) is None
        assert transfer.stamp(path) is None


def test_reading_back_works_without_advice_to_the_system(
    tmp_path: Path, transfer: LocalTransfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    source = tree(tmp_path / "tree")
    assert transfer.content(source, nothing) == hashing.content(source)


@pytest.mark.parametrize("make", [lone, tree])
def test_a_stamp_outlives_a_rename_but_no_write(tmp_path: Path, transfer: LocalTransfer, make: Maker) -> None:
    source = make(tmp_path / "source")
    stamp = transfer.stamp(source)
    assert transfer.place(source, tmp_path / "target")
    target = tmp_path / "target"
    placed = transfer.stamp(target)
    assert transfer.is_same(stamp, placed)
    (target / "zarr.json" if target.is_dir() else target).write_bytes(b"[]")
    assert transfer.stamp(target) != placed
    assert not transfer.is_same(stamp, transfer.stamp(target))


@pytest.mark.parametrize("make", [lone, tree])
def test_a_write_cannot_hide_behind_times_that_were_put_back(
    tmp_path: Path, transfer: LocalTransfer, make: Maker
) -> None:
    source = make(tmp_path / "source")
    file = source / "zarr.json" if source.is_dir() else source
    stamp, status = transfer.stamp(source), file.stat()
    file.write_bytes(b"X" * status.st_size)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert transfer.stamp(source) != stamp


@pytest.mark.parametrize("make", [lone, tree])
def test_only_what_was_placed_is_taken_back(tmp_path: Path, transfer: LocalTransfer, make: Maker) -> None:
    temporary, target = make(tmp_path / ".temporary"), tmp_path / "target"
    stamp = transfer.stamp(temporary)
    transfer.place(temporary, target)
    target.rename(tmp_path / "ours")
    assert not transfer.take_back(target, temporary, stamp)
    make(target)
    assert not transfer.take_back(target, temporary, stamp)
    transfer.remove(target)
    (tmp_path / "ours").rename(target)
    assert transfer.take_back(target, temporary, stamp)
    assert [path.name for path in tmp_path.iterdir()] == [".temporary"]


def test_a_temporary_folder_is_new(tmp_path: Path, transfer: LocalTransfer) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "temporary").symlink_to(tmp_path / "outside")
    with pytest.raises(FileExistsError):
        transfer.begin(tmp_path / "temporary")
    transfer.begin(tmp_path / "other")
    assert transfer.is_empty(tmp_path / "other")
    assert not transfer.is_empty(tmp_path)


def test_strays_are_told_by_the_number_of_their_publication(tmp_path: Path, transfer: LocalTransfer) -> None:
    for number in (7, 77):
        temporary = transfer.temporary(tmp_path / "a", number, 2)
        temporary.with_name(f"{temporary.name}.01234567.trash" if number == 7 else temporary.name).mkdir()
    for name in (".1.1.not-a-mark", "7.1.0123456789ab", ".hidden"):
        (tmp_path / name).touch()
    assert transfer.strays(tmp_path) == {7, 77}
    assert transfer.strays(tmp_path / "none") == set()
    assert transfer.strays(tmp_path / ".hidden") == set()


def test_owners_of_one_archive_have_temporaries_of_their_own(tmp_path: Path) -> None:
    one, other = (LocalTransfer(owner) for owner in ("one", "other"))
    one.temporary(tmp_path / "a", 1, 1).mkdir()
    assert one.temporary(tmp_path / "a", 1, 1) != other.temporary(tmp_path / "a", 1, 1)
    assert other.leftovers(tmp_path / "a", 1, 1) == []


# ---- placing

NO_RENAME, NO_LINKS = "transfer.rename:1+:raise=ENOSYS", "transfer.link:1+:raise=EPERM"
WAYS = {
    "as the system can": "",
    "no such rename": NO_RENAME,
    "no links": NO_LINKS,
    "neither": f"{NO_RENAME},{NO_LINKS}",
}


@pytest.fixture
def armed() -> Iterator[Callable[[str], None]]:
    """Give what arms fault points; they are off again after the test."""
    yield faults.arm
    faults.arm("")


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, armed: Callable[[str], None]) -> str:
    """Take away what some systems do not have: links, and a rename that refuses to replace."""
    armed(WAYS[request.param])
    return str(request.param)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("make", [lone, tree])
def test_placing_takes_the_temporary_away(tmp_path: Path, transfer: LocalTransfer, make: Maker) -> None:
    temporary = make(tmp_path / ".temporary")
    content = hashing.content(temporary)
    assert transfer.place(temporary, tmp_path / "target")
    assert hashing.content(tmp_path / "target") == content
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("make", [lone, tree])
@pytest.mark.parametrize("theirs", ["file", "folder", "dangling link"])
def test_placing_replaces_nothing(tmp_path: Path, transfer: LocalTransfer, make: Maker, theirs: str) -> None:
    temporary, target = make(tmp_path / ".temporary"), tmp_path / "target"
    if theirs == "file":
        target.write_bytes(b"theirs")
    elif theirs == "folder":
        tree(target)
    else:
        target.symlink_to(tmp_path / "nowhere")
    before = transfer.content(target, nothing)
    assert not transfer.place(temporary, target)
    assert transfer.content(target, nothing) == before
    assert temporary.exists()


@pytest.mark.parametrize("make", [lone, tree])
def test_an_empty_folder_is_not_replaced_where_the_system_can_refuse(
    tmp_path: Path, transfer: LocalTransfer, make: Maker
) -> None:
    (tmp_path / "target").mkdir()
    assert not transfer.place(make(tmp_path / ".temporary"), tmp_path / "target")


@pytest.mark.usefixtures("way")
def test_of_four_that_place_at_once_one_does(tmp_path: Path, transfer: LocalTransfer) -> None:
    for number in range(20):
        target = tmp_path / f"target{number}"
        temporaries = [tmp_path / f".{number}.{token}" for token in range(4)]
        for temporary in temporaries:
            if number % 2:
                temporary.mkdir()
            place_of_name = temporary / "name" if number % 2 else temporary
            place_of_name.write_bytes(temporary.name.encode())
        barrier, placed = threading.Barrier(4), []

        def place(
            temporary: Path, target: Path = target, barrier: Any = barrier, placed: Any = placed
        ) -> None:
            barrier.wait(10)
            placed.append(transfer.place(temporary, target))

        threads = [threading.Thread(target=place, args=(temporary,)) for temporary in temporaries]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert sorted(placed) == [False, False, False, True]
        assert len([one for one in temporaries if one.exists()]) == 3


def test_a_trouble_of_the_disk_is_told_by_its_name(
    tmp_path: Path, transfer: LocalTransfer, armed: Callable[[str], None]
) -> None:
    with pytest.raises(FileNotFoundError):
        transfer.place(tmp_path / "none", tmp_path / "target")
    armed("transfer.rename:1+:raise=EIO")
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        transfer.place(tree(tmp_path / "tree"), tmp_path / "target")
    armed(NO_RENAME)
    with pytest.raises(FileNotFoundError):
        transfer.place(tmp_path / "tree", tmp_path / "none/target")


def test_a_c_library_without_the_call_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    transfer = LocalTransfer()
    assert transfer.place(tree(tmp_path / "tree"), tmp_path / "target")
    assert not transfer.place(tree(tmp_path / "tree"), tmp_path / "target")


def test_a_folder_that_cannot_be_flushed_is_no_error_but_a_broken_disk_is(
    tmp_path: Path, transfer: LocalTransfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, real = tree(tmp_path / "tree"), os.fsync

    def refuse(number: int, code: int) -> None:
        if stat.S_ISDIR(os.fstat(number).st_mode):
            raise OSError(code, os.strerror(code))
        real(number)

    monkeypatch.setattr(os, "fsync", lambda number: refuse(number, errno.EINVAL))
    transfer.copy(source, tmp_path / "copy", nothing)
    monkeypatch.setattr(os, "fsync", lambda number: refuse(number, errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        transfer.copy(source, tmp_path / "second", nothing)
