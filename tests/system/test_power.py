"""The power is cut at every instant at which the disk could differ: what the catalog calls done is on the disk."""

import hashlib
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import pytest
from plainpipe.site import RUN, make, notes
from torture.chaos import PIPELINE, SITE
from torture.disk import Disk, Node, calls, trace

from towpath import Site
from towpath.base.hashing import Entry, tree_sha256
from towpath.testing.content import describe, differences, torn

SAID = {
    "products": "SELECT r.name, p.path, p.sha256 FROM products p JOIN roots r ON r.id = p.root_id WHERE p.state = 'current'",
    "publications": "SELECT archive, target, sha256 FROM publications WHERE state IN ('committed', 'released')",
}


def skip_or_fail(reason: str) -> NoReturn:
    """Skip with a reason on a person's machine, fail with it in CI."""
    pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Give a site as it was before it ran, and the system calls of its run with durability `power`."""
    folder = tmp_path_factory.mktemp("power")
    if shutil.which("strace") is None:
        skip_or_fail("no strace: install it (apt-get install strace)")
    return folder, _trace(folder, "power")


def _trace(folder: Path, durability: str) -> Path:
    site = folder / durability
    make(site, PIPELINE, site=SITE)
    text = (site / "towpath.toml").read_text()
    (site / "towpath.toml").write_text(text.replace("[site]\n", f'[site]\ndurability = "{durability}"\n'))
    (site / "bus").mkdir()
    with Site.open(site) as opened:
        opened.submit("note", notes(2))
    shutil.copytree(site, folder / f"{durability}-before")
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent)}
    try:
        trace(RUN, str(site), "once", "30", to=folder / f"{durability}.trace", cwd=folder, env=env)
    except OSError as error:
        skip_or_fail(f"nothing can be traced here: {error}")
    return folder / f"{durability}.trace"


def disk_of(folder: Path, durability: str) -> Disk:
    disk = Disk(folder / f"{durability}-before")
    disk.place = str(folder / durability)
    return disk


def sha256(node: Node | None) -> bytes:
    """The hash of what is left of a product."""
    if node is None:
        return b"nothing"
    if not node.is_folder:
        return hashlib.sha256(node.flushed).digest()
    return tree_sha256(sorted(_entries(node, ""), key=lambda entry: entry.path))


def _entries(node: Node, prefix: str) -> list[Entry]:
    found = []
    for name, one in node.flushed_names.items():
        if one.is_folder:
            found += _entries(one, f"{prefix}{name}/")
        else:
            found.append(Entry(f"{prefix}{name}", len(one.flushed), hashlib.sha256(one.flushed).digest()))
    return found


def untrue(disk: Disk, folder: Path) -> tuple[list[str], int]:
    """What the catalog that is left says and the disk that is left does not hold; and how much it says."""
    for name in ("catalog.sqlite", "catalog.sqlite-wal"):
        left = disk.left(name)
        (folder / name).write_bytes(left.flushed if left else b"")
    (folder / "catalog.sqlite-shm").unlink(missing_ok=True)
    wrong, count = [], 0
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as catalog:
        for what, statement in SAID.items():
            for root, path, digest in catalog.execute(statement).fetchall():
                count += 1
                if sha256(disk.left(f"{root}/{path}")) != digest:
                    wrong.append(f"{what}: {root}/{path}")
    return wrong, count


def test_whenever_the_power_is_cut_the_disk_holds_what_the_catalog_says(
    traced: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder, file = traced
    disk, states, said = disk_of(folder, "power"), 0, 0
    wrong: list[str] = []
    kept: list[Path] = []
    for name, arguments, result in calls(file):
        if disk.do(name, arguments, result):
            states += 1
            found, said = untrue(disk, tmp_path)
            wrong += [f"after {states} flushes: {line}" for line in found]
            if states % 40 == 0:
                kept.append(tmp_path / f"left-{states}")
                disk.restore(kept[-1])
    print(f"{states} states of the disk, at last {said} products and publications, {len(kept)} recovered")
    assert wrong == []
    assert (
        said == 8 * 2 + 2 + 8 + 2
    )  # write and hash of each note, collect of each set; and what is published
    assert states > 100
    with Site.open(folder / "power") as site:
        expected = describe(site)
    for left in kept:
        (left / "bus").mkdir(exist_ok=True)
        with Site.open(left, overrides=["site.executor=inline"]) as site:
            site.run()
            assert differences(describe(site), expected) == [], left
            assert torn(site) == []


def test_the_check_finds_what_durability_crash_would_lose(traced: tuple[Path, Path], tmp_path: Path):
    folder, _ = traced
    file, disk = _trace(folder, "crash"), disk_of(folder, "crash")
    wrong: list[str] = []
    published = 0
    for name, arguments, result in calls(file):
        if disk.do(name, arguments, result):
            found, _ = untrue(disk, tmp_path)
            wrong += [line for line in found if "store/" in line]
            published += sum("archive/" in line for line in found)
    assert wrong != []  # files of the store are not flushed
    assert published == 0  # what is published is, at every level


def test_each_file_is_flushed_once_and_its_folder_at_most_once_for_each_run(traced: tuple[Path, Path]):
    folder, file = traced
    disk = disk_of(folder, "power")
    for name, arguments, result in calls(file):
        disk.do(name, arguments, result)
    stores = {
        path: times for path, times in disk.flushes.items() if path.startswith("store/") and "/." not in path
    }
    files = {
        path: times for path, times in disk.flushes.items() if path.startswith("store/") and "/." in path
    }
    assert set(files.values()) == {1}
    assert len(files) == 8 + 8 + 2
    for folder_ in ("store/plain/note/write", "store/plain/note/hash"):
        assert 1 <= stores[folder_] <= 8  # once for all runs of a batch
