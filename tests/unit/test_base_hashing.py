"""Content is known by sha256: files, trees by their manifest, values by canonical JSON."""

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.base import hashing

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
MEBIBYTE = 1 << 20


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=5))
def test_canonical_json_does_not_depend_on_order(value: dict[str, object]) -> None:
    shuffled = dict(reversed(value.items()))
    assert hashing.canonical(shuffled) == hashing.canonical(value)
    assert hashing.digest(shuffled) == hashlib.sha256(hashing.canonical(value)).digest()


def test_canonical_json_is_compact_utf8_without_nan() -> None:
    assert hashing.canonical({"b": [1, 2.5], "a": "ü"}) == '{"a":"ü","b":[1,2.5]}'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        hashing.canonical(float("nan"))


@pytest.mark.parametrize(
    "size", [0, 1, 65535, 65536, 65537, MEBIBYTE - 1, MEBIBYTE, MEBIBYTE + 1, 3 * MEBIBYTE + 7]
)
def test_a_file_of_any_size(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    path = tmp_path / "file"
    path.write_bytes(data)
    seen: list[int] = []
    assert hashing.file_sha256(path, seen.append) == hashlib.sha256(data).digest()
    assert hashing.file_sha256(str(path)) == hashlib.sha256(data).digest()
    assert sum(seen) in (0, size)  # a small file is read in one go
    if size > MEBIBYTE:
        assert len(seen) > 1
    status = path.stat()
    assert hashing.content(path) == hashing.Content(size, status.st_mtime_ns, hashlib.sha256(data).digest())


def make_tree(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_a_tree_is_its_manifest(tmp_path: Path) -> None:
    files = {"b/0": b"x", "b.c": b"yy", "a": b"", "b/c/d": b"zzz"}
    tree = make_tree(tmp_path / "one", files)
    entries = hashing.manifest(tree)
    assert [entry.path for entry in entries] == sorted(files)
    assert [entry.size for entry in entries] == [len(files[name]) for name in sorted(files)]
    found = hashing.content(tree)
    assert (found.size, found.tree, found.sha256) == (6, True, hashing.tree_sha256(entries))
    assert found.mtime_ns == hashing.tree_mtime_ns(tree)
    assert hashing.content(make_tree(tmp_path / "two", dict(reversed(files.items())))).sha256 == found.sha256


@pytest.mark.parametrize("change", [{"a": b"y"}, {"b": b"x"}, {"a": b"x", "b": b""}])
def test_any_difference_of_a_tree_is_another_identity(tmp_path: Path, change: dict[str, bytes]) -> None:
    one = hashing.content(make_tree(tmp_path / "one", {"a": b"x"}))
    other = hashing.content(make_tree(tmp_path / "other", change))
    assert one.sha256 != other.sha256


def test_the_time_of_a_tree_is_that_of_its_newest_member(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", {"a": b"x", "b/c": b"y"})
    for path in (tree, tree / "a", tree / "b", tree / "b/c"):
        os.utime(path, ns=(1, 1))
    assert hashing.tree_mtime_ns(tree) == 1
    for newest, path in enumerate((tree, tree / "a", tree / "b", tree / "b/c"), 2):
        os.utime(path, ns=(newest, newest))
        assert hashing.tree_mtime_ns(tree) == newest
    assert hashing.tree_mtime_ns(tree / "a") == 3


def test_an_empty_folder_is_a_tree(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    found = hashing.content(tmp_path / "tree")
    assert (found.size, found.tree, found.sha256) == (0, True, hashing.digest([]))


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    make_tree(tmp_path / "tree", {"a": b"x"})
    (tmp_path / "link").symlink_to(tmp_path / "tree")
    with pytest.raises(ValueError, match="may not be a symbolic link"):
        hashing.content(tmp_path / "link")
    (tmp_path / "tree/inner").symlink_to("a")
    with pytest.raises(ValueError, match="only files and folders"):
        hashing.content(tmp_path / "tree")
    (tmp_path / "tree/inner").unlink()
    os.mkfifo(tmp_path / "tree/pipe")
    with pytest.raises(ValueError, match="only files and folders"):
        hashing.content(tmp_path / "tree")
    with pytest.raises(ValueError, match="may not be a symbolic link or a device"):
        hashing.content(tmp_path / "tree/pipe")  # opening it would wait for a writer
    with pytest.raises(FileNotFoundError):
        hashing.content(tmp_path / "nothing")


def test_a_name_that_is_not_utf8_is_refused_in_words_that_can_be_written(tmp_path: Path) -> None:
    make_tree(tmp_path / "tree", {"a": b"x"})
    (tmp_path / "tree" / os.fsdecode(b"bad\xff")).write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"tree/bad\\xff: a name in a product must be UTF-8; rename it"
    ) as caught:
        hashing.content(tmp_path / "tree")
    str(caught.value).encode()
