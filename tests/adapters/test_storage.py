"""Named roots on a real disk: containment, what is there, removal."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from towpath.adapters.storage.local import LocalStorage
from towpath.base.errors import NotFoundError, StorageError
from towpath.base.hashing import content
from towpath.contracts.storage import Said


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    for name in ("store", "archive"):
        (tmp_path / name).mkdir()
    return LocalStorage({"store": f"{tmp_path}/store/", "archive": tmp_path / "archive"})


def test_a_path_and_back(storage: LocalStorage, tmp_path: Path) -> None:
    path = storage.path("store", "gam/survey/a.1.zarr")
    assert path == tmp_path / "store/gam/survey/a.1.zarr"
    assert storage.relative("store", path) == "gam/survey/a.1.zarr"


@pytest.mark.parametrize("relative", ["", "/etc/passwd", "../archive/x", "a/../../archive/x", "a\0b"])
def test_paths_that_leave_by_name_are_refused(storage: LocalStorage, relative: str) -> None:
    with pytest.raises(StorageError, match="expected one below"):
        storage.path("store", relative)


def test_paths_that_leave_by_a_link_are_refused(storage: LocalStorage, tmp_path: Path) -> None:
    (tmp_path / "store/out").symlink_to(tmp_path / "archive")
    (tmp_path / "store/inside").symlink_to(tmp_path / "store/real")
    (tmp_path / "store/real").mkdir()
    for use in (storage.path, storage.content):
        with pytest.raises(StorageError, match="leaves root 'store'"):
            use("store", "out/a.dat")
    assert storage.path("store", "inside/a.dat") == tmp_path / "store/inside/a.dat"
    with pytest.raises(StorageError, match="leaves root"):
        storage.relative("store", tmp_path / "store/out/a.dat")


def test_a_root_may_be_a_link_itself(storage: LocalStorage, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(tmp_path / "store")
    storage.places = {"store": tmp_path / "alias"}
    assert storage.path("store", "a.dat") == tmp_path / "alias/a.dat"
    assert storage.relative("store", tmp_path / "alias/a.dat") == "a.dat"
    assert storage.relative("store", tmp_path / "store/a.dat") == "a.dat"


def test_what_lies_elsewhere_has_no_relative_path(storage: LocalStorage, tmp_path: Path) -> None:
    for path in (tmp_path / "archive/a", tmp_path / "store", tmp_path / "storehouse/a"):
        with pytest.raises(StorageError):
            storage.relative("store", path)


def test_an_unknown_root_is_named(storage: LocalStorage) -> None:
    with pytest.raises(NotFoundError, match="no root 'stroe'; the roots are store, archive"):
        storage.path("stroe", "a")


def test_a_root_that_moves_is_moved_at_once(tmp_path: Path) -> None:
    places = {"store": str(tmp_path / "a")}
    storage = LocalStorage(places)
    assert storage.path("store", "x") == tmp_path / "a/x"
    places["store"] = str(tmp_path / "b")
    assert storage.path("store", "x") == tmp_path / "b/x"


def test_stat_and_content_of_a_file_and_a_tree_agree(storage: LocalStorage, tmp_path: Path) -> None:
    (tmp_path / "store/f.dat").write_bytes(b"12345")
    tree = tmp_path / "store/t"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep/a").write_bytes(b"123")
    (tree / "b").write_bytes(b"4567")
    os.utime(tree / "deep", ns=(1, 2_000_000_000_000_000_000))
    for name, is_tree in (("f.dat", False), ("t", True)):
        found = storage.content("store", name)
        assert found == content(tmp_path / "store" / name)
        assert storage.stat("store", name, is_tree) == (found.size, found.mtime_ns)
    assert storage.stat("store", "t", True) == (7, 2_000_000_000_000_000_000)


def test_nothing_there(storage: LocalStorage, tmp_path: Path) -> None:
    (tmp_path / "store/f").write_bytes(b"")
    assert storage.stat("store", "none", False) is None
    assert storage.stat("store", "none", True) is None
    assert storage.stat("store", "f/below", False) is None
    with pytest.raises(FileNotFoundError):
        storage.content("store", "none")


def test_a_link_is_no_product(storage: LocalStorage, tmp_path: Path) -> None:
    (tmp_path / "store/f").write_bytes(b"x")
    (tmp_path / "store/link").symlink_to(tmp_path / "store/f")
    with pytest.raises(StorageError, match="may not be a symbolic link"):
        storage.content("store", "link")


def test_what_may_not_be_read_is_named(
    storage: LocalStorage, tmp_path: Path, unprivileged: Callable[..., CompletedProcess[str]]
) -> None:
    (tmp_path / "store/f").write_bytes(b"x")
    (tmp_path / "store/f").chmod(0)
    code = """
import sys
from collections.abc import Callable
from towpath.adapters.storage.local import LocalStorage
from towpath.base.errors import StorageError
try:
    LocalStorage({"store": sys.argv[1]}).content("store", "f")
except StorageError as error:
    print(error)
"""
    told = unprivileged(sys.executable, "-c", code, str(tmp_path / "store")).stdout
    assert told == f"{tmp_path}/store/f: cannot be read: Permission denied\n"


def test_removal(storage: LocalStorage, tmp_path: Path) -> None:
    (tmp_path / "store/t/deep").mkdir(parents=True)
    (tmp_path / "store/t/deep/a").write_bytes(b"x")
    (tmp_path / "store/f").write_bytes(b"x")
    (tmp_path / "archive/kept").mkdir()
    (tmp_path / "store/link").symlink_to(tmp_path / "archive/kept")
    for name in ("t", "f", "link", "never/was", "never"):
        storage.remove(tmp_path / "store" / name)
    assert list((tmp_path / "store").iterdir()) == []
    assert (tmp_path / "archive/kept").is_dir()


def test_nothing_outside_the_roots_is_removed(storage: LocalStorage, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/f").write_bytes(b"x")
    (tmp_path / "store/out").symlink_to(tmp_path / "outside")
    for path in (tmp_path / "outside/f", tmp_path / "store", tmp_path / "store/out/f", tmp_path / "store/.."):
        with pytest.raises(StorageError, match="not removed"):
            storage.remove(path)
    assert (tmp_path / "outside/f").exists()


def test_what_may_not_be_removed_is_named(
    storage: LocalStorage, tmp_path: Path, unprivileged: Callable[..., CompletedProcess[str]]
) -> None:
    (tmp_path / "store/locked/t").mkdir(parents=True)
    (tmp_path / "store/locked").chmod(0o500)
    (tmp_path / "store/f").write_bytes(b"x")
    storage.remove(tmp_path / "store/f/below")
    code = """
import pathlib, sys
from towpath.adapters.storage.local import LocalStorage
from towpath.base.errors import StorageError
try:
    LocalStorage({"store": sys.argv[1]}).remove(pathlib.Path(sys.argv[1], "locked/t"))
except StorageError as error:
    print(error)
"""
    told = unprivileged(sys.executable, "-c", code, str(tmp_path / "store")).stdout
    (tmp_path / "store/locked").chmod(0o700)
    assert told == f"{tmp_path}/store/locked/t: cannot be removed: Permission denied\n"


def test_a_place_that_cannot_be_looked_at(storage: LocalStorage) -> None:
    with pytest.raises(StorageError, match="cannot be looked at: File name too long"):
        storage.stat("store", "x" * 300, False)


def test_of_many_places_those_are_named_that_are_not_as_said(storage: LocalStorage, tmp_path: Path) -> None:
    (tmp_path / "store/f.dat").write_bytes(b"12345")
    (tmp_path / "store/t").mkdir()
    (tmp_path / "store/t/a").write_bytes(b"123")
    file, tree = storage.content("store", "f.dat"), storage.content("store", "t")
    as_said = [
        Said(1, "store", "f.dat", file.size, file.mtime_ns, False, True),
        Said(2, "store", "t", tree.size, tree.mtime_ns, True, True),
    ]
    assert storage.unlike(as_said) == set()
    others = {
        "another size": as_said[0]._replace(size=4),
        "another time": as_said[0]._replace(mtime_ns=file.mtime_ns + 1),
        "another size of the tree": as_said[1]._replace(size=4),
        "missing": as_said[0]._replace(path="none"),
        "below a file": as_said[0]._replace(path="f.dat/x"),
        "outside its root": as_said[0]._replace(path="../f.dat"),
        "of a root that is not there": as_said[0]._replace(root="other"),
        "with a name that is too long": as_said[0]._replace(path="x" * 300),
    }
    wrong = [one._replace(product=10 + number) for number, one in enumerate(others.values())]
    assert storage.unlike([*as_said, *wrong]) == {one.product for one in wrong}
