"""Folder sources on real folders: patterns, settle rules, what is refused, events."""

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.adapters.sources.folder import Folder, FolderSettings
from towpath.adapters.sources.pattern import Pattern
from towpath.adapters.storage.mounts import file_system
from towpath.base.errors import DefinitionError, StorageError
from towpath.contracts.definition import SourcePlan
from towpath.contracts.source import Look

SUBBAND = "{time:%Y-%m-%dT%H:%M:%S}_sb{subband:02d}.hdf5"
OLD = time.time() - 3600


def drop(path: Path, content: bytes = b"bytes", mtime: float = OLD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (mtime, mtime))
    return path


def names(look: Look) -> list[str]:
    return [arrival.path for arrival in look.settled]


def known(look: Look) -> dict[str, tuple[int, int]]:
    return {arrival.path: (arrival.size, arrival.mtime_ns) for arrival in look.settled}


# ---- patterns


def test_a_pattern_gives_typed_fields() -> None:
    found = Pattern(SUBBAND).parse("2025-10-05T12:00:03_sb07.hdf5")
    assert found == {"time": "2025-10-05T12:00:03Z", "subband": 7}
    assert Pattern("{name}.ast.xz").parse("south-africa.ast.xz") == {"name": "south-africa"}
    assert Pattern("{x:.2f}/{n:d}.dat").parse("-1.50/-12.dat") == {"x": -1.5, "n": -12}
    assert Pattern("{year:04d}{day:03d}.dat").parse("2025278.dat") == {"year": 2025, "day": 278}
    assert Pattern("{t:%Y%m%dT%H%M%S%z}.x").parse("20251005T140000+0200.x") == {"t": "2025-10-05T12:00:00Z"}


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        (SUBBAND, "2025-13-05T12:00:03_sb07.hdf5"),  # no such month
        (SUBBAND, "2025-10-05T12:00:03_sb7.hdf5"),
        (SUBBAND, "2025-10-05T12:00:03_sb007.hdf5"),
        (SUBBAND, "2025-10-05T12:00:03_sb07.hdf5.bak"),
        ("{name}.fits", "night/a.fits"),
        ("{a}-{a}.fits", "x-y.fits"),
        ("{x:.2f}.dat", "1.5.dat"),
        ("{x:f}.dat", "abc.dat"),
    ],
)
def test_what_a_pattern_refuses(pattern: str, path: str) -> None:
    assert Pattern(pattern).parse(path) is None


def test_wildcards_and_folders() -> None:
    deep = Pattern("**/{name}_*.fi?s")
    assert deep.parse("a_1.fits") == {"name": "a"}
    assert deep.parse("2025/10/a_1.fits") == {"name": "a"}
    assert deep.parse("2025/10/a/1.fits") is None
    assert (deep.depth, deep.is_wild) == (None, True)
    assert Pattern("{night:%Y%m%d}/{name}.fits").depth == 1
    with pytest.raises(ValueError, match="has wildcards"):
        deep.format({"name": "a"})


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("", "must be a path below the source's root"),
        ("/data/{name}", "must be a path below the source's root"),
        ("../{name}", "must be a path below the source's root"),
        ("{name", "fields are written {name}"),
        ("{}", "'' is not a field name"),
        ("{a.b}", "'a.b' is not a field name"),
        ("{n:x}", "unknown format 'x'"),
        ("{n:3d}", "write 03d for exactly 3 digits"),
        ("{t:%H:%M}", "has no year"),
        ("{t:%Y%b%d}", "unknown '%b'"),
        ("{t:%Y%Y}", "%Y stands twice"),
        ("{a!r}", "!r after 'a' has no meaning"),
        ("{a:d}-{a}", "field 'a' has two formats"),
        ("a**b", "must be a whole folder"),
    ],
)
def test_a_bad_pattern_is_an_error_at_load(pattern: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Pattern(pattern)
    assert message in str(caught.value)
    assert repr(pattern) in str(caught.value)


MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2199, 12, 31)).map(lambda t: t.replace(microsecond=0))


@given(
    when=MOMENTS,
    subband=st.integers(0, 99),
    number=st.integers(),
    share=st.floats(-1e6, 1e6).map(lambda x: round(x, 3)),
    name=st.text("abcäßЖ -+=@", min_size=1),
)
def test_formatting_and_parsing_are_inverse(
    when: datetime, subband: int, number: int, share: float, name: str
) -> None:
    pattern = Pattern("{when:%Y%m%dT%H%M%S}/{subband:02d}_{number:d}_{share:.3f}/{name}.dat")
    fields = {
        "when": when.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z"),
        "subband": subband,
        "number": number,
        "share": share,
        "name": name,
    }
    assert pattern.parse(pattern.format(fields)) == fields


@given(st.dictionaries(st.sampled_from("ab"), st.text("x_/", max_size=4), min_size=2))
def test_a_path_that_would_read_back_differently_is_not_formatted(fields: dict[str, str]) -> None:
    pattern = Pattern("{a}_{b}")
    try:
        path = pattern.format(fields)
    except ValueError as error:
        assert "reads back as" in str(error)
    else:
        assert pattern.parse(path) == fields


# ---- looking


def test_known_files_are_skipped_and_changed_ones_come_again(tmp_path: Path) -> None:
    file = drop(tmp_path / "a.dat")
    source = Folder(tmp_path, FolderSettings(("{name}.dat",)))
    first = source.look({})
    assert names(first) == ["a.dat"]
    assert first.settled[0].fields == {"name": "a"}
    assert source.look(known(first)) == Look()
    drop(file, b"other bytes", OLD + 1)
    assert names(source.look(known(first))) == ["a.dat"]


def test_a_half_written_file_waits(tmp_path: Path) -> None:
    source = Folder(tmp_path, FolderSettings(("{name}.dat",), settle=1.5))
    with (tmp_path / "a.dat").open("wb") as file:
        for _ in range(3):
            file.write(b"x" * 10_000)
            file.flush()
            assert source.look({}) == Look(unsettled=1)
            time.sleep(0.1)
    assert source.look({}).unsettled == 1
    time.sleep(1.6)
    assert names(source.look({})) == ["a.dat"]


def test_a_slow_scan_makes_no_file_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is kept from its work between a look at a file and its verdict: meanwhile the file may have grown."""
    source = Folder(tmp_path, FolderSettings(("{name}.dat",), settle=0.3))
    (tmp_path / "a.dat").write_bytes(b"half")
    scan = Folder._scan

    def slow(self: Folder, known: Mapping[str, tuple[int, int]]) -> object:
        found = scan(self, known)
        time.sleep(0.4)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(Folder, "_scan", slow)
        assert source.look({}) == Look(unsettled=1)
    assert names(source.look({})) == ["a.dat"]  # seen alike again, 0.4 s later


def test_a_file_from_the_future_settles_when_two_looks_agree(tmp_path: Path) -> None:
    drop(tmp_path / "a.dat", mtime=time.time() + 1000)
    source = Folder(tmp_path, FolderSettings(("{name}.dat",), settle=0.05))
    assert source.look({}).unsettled == 1
    time.sleep(0.06)
    assert names(source.look({})) == ["a.dat"]


def test_rename_settles_at_once_and_passes_over_temporary_names(tmp_path: Path) -> None:
    source = Folder(tmp_path, FolderSettings(("{name}.dat",), settled="rename"))
    for name in (".a.dat.X1", "a.dat.part", "a.dat.tmp", "~lock~"):
        (tmp_path / name).write_bytes(b"half")
    assert source.look({}) == Look()
    (tmp_path / "a.dat.part").rename(tmp_path / "a.dat")
    assert names(source.look({})) == ["a.dat"]


def test_a_marker_settles_its_file_and_must_not_be_older(tmp_path: Path) -> None:
    source = Folder(tmp_path, FolderSettings(("{name}.dat",), settled="marker", marker=".done"))
    drop(tmp_path / "a.dat")
    drop(tmp_path / "b.dat")
    assert source.look({}) == Look(unsettled=2)
    drop(tmp_path / "a.dat.done", b"")
    look = source.look({})
    assert (names(look), look.unsettled, look.problems) == (["a.dat"], 1, ())
    drop(tmp_path / "a.dat", b"written anew", OLD + 60)
    assert source.look(known(look)) == Look(unsettled=2)


def test_a_manifest_settles_its_folder(tmp_path: Path) -> None:
    settings = FolderSettings(("{night}/{name}.dat",), settled="marker", marker="MANIFEST.json")
    source = Folder(tmp_path, settings)
    for path in ("n1/a.dat", "n1/b.dat", "n2/a.dat", "n1/MANIFEST.json"):
        drop(tmp_path / path)
    look = source.look({})
    assert (names(look), look.unsettled) == (["n1/a.dat", "n1/b.dat"], 1)


def test_a_name_that_fits_no_pattern_is_told_once(tmp_path: Path) -> None:
    drop(tmp_path / "notes.txt")
    source = Folder(tmp_path, FolderSettings(("{name}.dat", "{name}.fits")))
    look = source.look({})
    assert look.problems == (
        f"{tmp_path}/notes.txt: the name fits no pattern; expected '{{name}}.dat' or '{{name}}.fits'",
    )
    assert source.look({}).problems == ()
    assert source.problems == look.problems
    (tmp_path / "notes.txt").unlink()
    source.look({})
    assert source.problems == ()


def test_names_that_are_no_text_are_problems(tmp_path: Path) -> None:
    for name in (b"bad\xff.dat", b"line\nbreak.dat"):
        path = os.fsencode(tmp_path) + b"/" + name
        with open(path, "wb"):  # noqa: PTH123  a name that is no text
            pass
        os.utime(path, (OLD, OLD))
    look = Folder(tmp_path, FolderSettings(("{name}.dat",))).look({})
    assert look.settled == ()
    assert len(look.problems) == 2
    assert all("characters that are no text" in text for text in look.problems)


def test_links_that_leave_the_root_are_refused_and_named(tmp_path: Path) -> None:
    outside = drop(tmp_path / "outside" / "secret.dat")
    root = tmp_path / "root"
    drop(root / "a.dat")
    (root / "b.dat").symlink_to(outside)
    (root / "c").symlink_to(outside.parent)
    (root / "d.dat").symlink_to(root / "a.dat")
    (root / "e.dat").symlink_to(root / "nothing.dat")
    look = Folder(root, FolderSettings(("**/{name}.dat",))).look({})
    assert names(look) == ["a.dat"]
    assert [text.split(": ")[0].rpartition("/")[2] for text in look.problems] == ["b.dat", "c", "e.dat"]
    assert str(outside) in look.problems[0]
    assert "where there is nothing" in look.problems[2]


def test_a_pipe_is_a_problem_and_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.dat")
    look = Folder(tmp_path, FolderSettings(("{name}.dat",))).look({})
    assert look.problems == (f"{tmp_path}/a.dat: neither a file nor a folder",)


def test_folders_below_the_pattern_are_not_entered(tmp_path: Path) -> None:
    drop(tmp_path / "a.dat")
    drop(tmp_path / "deep" / "b.dat")
    drop(tmp_path / ".hidden" / "c.dat")
    assert Folder(tmp_path, FolderSettings(("{name}.dat",))).look({}) == Look(
        Folder(tmp_path, FolderSettings(("{name}.dat",))).look({}).settled
    )
    assert names(Folder(tmp_path, FolderSettings(("**/{name}.dat",))).look({})) == ["a.dat", "deep/b.dat"]


def test_a_root_that_is_away_fails_the_look_until_it_is_back(tmp_path: Path) -> None:
    source = Folder(tmp_path / "disk", FolderSettings(("{name}.dat",)))
    with pytest.raises(StorageError, match="disk: there is no such folder; it is looked for again"):
        source.look({})
    drop(tmp_path / "disk" / "a.dat")
    assert names(source.look({})) == ["a.dat"]
    assert source.problems == ()


def test_what_may_not_be_read_is_a_problem(
    tmp_path: Path, unprivileged: Callable[..., CompletedProcess[str]]
) -> None:
    drop(tmp_path / "a.dat")
    drop(tmp_path / "locked.dat").chmod(0)
    drop(tmp_path / "closed" / "c.dat")
    (tmp_path / "closed").chmod(0)
    code = """
import sys, pathlib
from towpath.adapters.sources.folder import Folder, FolderSettings
look = Folder(pathlib.Path(sys.argv[1]), FolderSettings(("**/{name}.dat",))).look({})
print([arrival.path for arrival in look.settled], *look.problems, sep="\\n")
"""
    try:
        told = unprivileged(sys.executable, "-c", code, str(tmp_path)).stdout.splitlines()
    finally:
        (tmp_path / "closed").chmod(0o700)
    assert told == [
        "['a.dat']",
        f"{tmp_path}/closed: the folder cannot be read: Permission denied",
        f"{tmp_path}/locked.dat: the file cannot be read; its permissions do not allow it",
    ]


def test_a_burst_is_seen_whole_and_skipped_fast(tmp_path: Path) -> None:
    for number in range(2000):
        (tmp_path / f"{number:05d}.dat").write_bytes(b"x")
    source = Folder(tmp_path, FolderSettings(("{n:05d}.dat",), settled="rename"))
    look = source.look({})
    assert [arrival.fields["n"] for arrival in look.settled] == list(range(2000))
    begin = time.perf_counter()
    assert source.look(known(look)) == Look()
    assert time.perf_counter() - begin < 10


# ---- settings


def plan(**settings: object) -> SourcePlan:
    return SourcePlan("p", "incoming", "folder", "observation", settings)


def test_a_source_is_made_from_its_plan(tmp_path: Path) -> None:
    source = Folder.of(
        plan(pattern=["{a}.x", "{b}.y"], settled="rename", settle="5 s", temporary=None), tmp_path
    )
    assert [pattern.text for pattern in source.patterns] == ["{a}.x", "{b}.y"]
    assert (source.settings.settled, source.settings.settle) == ("rename", 5.0)
    assert ".part" in source.settings.temporary


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "sources.incoming: pattern: none"),
        ({"pattern": "{n:q}"}, "sources.incoming: pattern '{n:q}': field 'n': unknown format 'q'"),
        (
            {"pattern": "{n}", "settled": "soon"},
            "settled: found 'soon'; expected one of size, marker, rename",
        ),
        ({"pattern": "{n}", "settle": -1}, "settle: found -1.0 s; expected 0 or more"),
        ({"pattern": "{n}", "settle": "soon"}, "not a duration: 'soon'"),
        ({"pattern": "{n}", "marker": "a/b"}, "marker: found 'a/b'"),
    ],
)
def test_bad_settings_are_errors_at_load(tmp_path: Path, settings: dict[str, object], message: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        Folder.of(plan(**settings), tmp_path)
    assert message in str(caught.value)


# ---- watching


def test_events_wake_at_once_and_again_when_settled(tmp_path: Path) -> None:
    woken = threading.Semaphore(0)
    source = Folder(tmp_path, FolderSettings(("{name}.dat",), settle=1.5))
    stop = source.watch(woken.release)
    try:
        assert woken.acquire(timeout=60)  # the watch stands
        (tmp_path / "a.dat").write_bytes(b"x")
        assert woken.acquire(timeout=60)
        assert source.look({}).unsettled == 1
        assert woken.acquire(timeout=60)
        assert names(source.look({})) == ["a.dat"]
    finally:
        stop()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("watch ")]


def test_hidden_and_temporary_names_wake_nobody(tmp_path: Path) -> None:
    woken = threading.Event()
    source = Folder(tmp_path, FolderSettings(("{name}.dat",), settle=0.05))
    stop = source.watch(woken.set)
    try:
        assert woken.wait(60)  # the watch stands
        woken.clear()
        (tmp_path / ".hidden").write_bytes(b"x")
        (tmp_path / "a.part").write_bytes(b"x")
        assert not woken.wait(0.6)
    finally:
        stop()


def test_what_is_passed_over_puts_off_no_wake(tmp_path: Path) -> None:
    woken, over = threading.Semaphore(0), threading.Event()

    def write() -> None:
        while not over.is_set():
            (tmp_path / "b.part").write_bytes(b"x")
            over.wait(0.01)

    writer = threading.Thread(target=write)
    writer.start()
    stop = Folder(tmp_path, FolderSettings(("{name}.dat",), settle=0.05)).watch(woken.release)
    try:
        assert woken.acquire(timeout=60)  # the watch stands
        (tmp_path / "a.dat").write_bytes(b"x")
        assert woken.acquire(timeout=60) and woken.acquire(timeout=60)  # it came, and it is settled
    finally:
        over.set()
        writer.join()
        stop()


def test_where_there_are_no_events_it_is_announced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = Folder(tmp_path / "away", FolderSettings(("{name}.dat",)))
    stop = source.watch(lambda: None)
    stop()
    assert "source is scanned only" in caplog.text
    assert "there is no such folder" in caplog.text
    assert Folder(tmp_path, FolderSettings(("{name}.dat",))).scan_only() == ""
    assert file_system(tmp_path) not in ("", "nfs")
