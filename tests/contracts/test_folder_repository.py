"""A folder of records: what it promises beyond the contract: settling, notes, links, locks and what a crash leaves."""

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from towpath.adapters.repositories import folder as module
from towpath.adapters.repositories import notes
from towpath.adapters.repositories.folder import FolderRepository, make
from towpath.base import hashing
from towpath.base.errors import (
    DefinitionError,
    IntegrityError,
    NotFoundError,
    SiteError,
    StateError,
    Transient,
)
from towpath.contracts.repository import Access, Caller, RecordFile

MADE = "metadata-abc12-1"
BOTH = frozenset(Access)


class Lab:
    """A folder with one record, and a hand that puts files there."""

    def __init__(self, folder: Path) -> None:
        self.root, self.scratch = folder / "records", folder
        self.record = self.root / "rec"
        self.record.mkdir(parents=True)
        self.repository = FolderRepository(str(self.root))

    def put(self, key: str, content: bytes = b"x", age: float = 60.0, now: float = 0.0) -> Path:
        path = self.record / key
        path.write_bytes(content)
        then = (now or time.time()) - age
        os.utime(path, (then, then))
        return path

    def write(self, key: str = "a.json", content: bytes = b"{}", made_by: str = MADE) -> RecordFile:
        source = self.scratch / "source"
        source.write_bytes(content)
        return self.repository.write("rec", key, source, made_by=made_by)

    def read(self, key: str) -> bytes:
        self.repository.read("rec", key, self.scratch / "t", lambda _: None)
        return (self.scratch / "t").read_bytes()

    def keys(self) -> list[str]:
        return [file.key for file in self.repository.files("rec")]

    def made(self) -> dict[str, str]:
        return {file.key: file.made_by for file in self.repository.files("rec")}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


# ---- settling


def test_a_file_that_still_changes_is_not_offered(lab: Lab) -> None:
    now = time.time()
    lab.repository = FolderRepository(str(lab.root), clock=lambda: now)
    lab.put("old.out")
    lab.put("new.out", age=0.2, now=now)
    assert lab.keys() == ["old.out"]
    with pytest.raises(Transient, match="still changes"):
        lab.read("new.out")
    before = lab.repository.record("rec").version
    os.utime(lab.record / "new.out", (now - 2, now - 2))
    assert lab.keys() == ["new.out", "old.out"]
    assert lab.repository.record("rec").version != before


def test_a_version_changes_when_a_file_settles(lab: Lab) -> None:
    """Though nothing on the disk does."""
    now = time.time()
    lab.repository = FolderRepository(str(lab.root), settle=5.0, clock=lambda: now)
    lab.put("a.out", age=1.0)
    versions = [lab.repository.record("rec").version]
    now += 10.0
    versions.append(lab.repository.record("rec").version)
    assert versions[0] != versions[1]


def test_a_file_from_the_future_settles_by_being_looked_at(lab: Lab) -> None:
    lab.repository = FolderRepository(str(lab.root), settle=0.05)
    lab.put("a.out", age=-3600.0)
    assert lab.keys() == []
    time.sleep(0.06)
    assert lab.keys() == ["a.out"]


def test_a_result_is_settled_at_once(lab: Lab) -> None:
    lab.write()
    assert lab.made() == {"a.json": MADE}


# ---- what is no file


def test_what_is_hidden_linked_or_no_file_is_not_offered(lab: Lab, tmp_path: Path) -> None:
    outside = tmp_path / "passwd"
    outside.write_text("secret")
    lab.put("a.out")
    lab.put(".hidden")
    (lab.record / "sub").mkdir()
    (lab.record / "in.out").symlink_to(lab.record / "a.out")
    (lab.record / "out.out").symlink_to(outside)
    (lab.record / "broken.out").symlink_to(tmp_path / "nowhere")
    os.mkfifo(lab.record / "pipe.out")
    (lab.root / "elsewhere").symlink_to(tmp_path)
    (lab.root / "plain").write_text("a file where records are")
    assert lab.keys() == ["a.out"]
    assert [entry.id for entry in lab.repository.records()] == ["rec"]
    for key in ("in.out", "out.out", "broken.out", "pipe.out", "sub", ".hidden"):
        with pytest.raises(NotFoundError):
            lab.read(key)
        if not key.startswith("."):
            with pytest.raises(StateError):
                lab.write(key)
    for record in ("elsewhere", "plain"):
        with pytest.raises(NotFoundError):
            lab.repository.files(record)
    assert outside.read_text() == "secret"


@pytest.mark.parametrize("name", [".record.toml", ".towpath.json", ".towpath.lock"])
def test_a_note_that_is_a_link_is_not_followed(lab: Lab, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.write_text("")
    (lab.record / name).symlink_to(outside)
    with pytest.raises((SiteError, Transient)):
        lab.write()
    assert outside.read_text() == ""
    assert not (lab.record / "a.json").exists()


# ---- checksums


def test_a_file_is_hashed_once_for_each_time_it_changes(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    of_file = hashing.file_sha256

    def counted(path: Path) -> bytes:
        hashed.append(path.name)
        return of_file(path)

    monkeypatch.setattr(module.hashing, "file_sha256", counted)
    for number in range(1000):
        lab.put(f"{number:04d}.out", b"%d" % number)
    assert len(lab.keys()) == 1000
    assert len(hashed) == 1000
    hashed.clear()
    lab.keys()
    list(lab.repository.records())
    assert hashed == []
    lab.put("0007.out", b"other", age=30.0)
    lab.keys()
    assert hashed == ["0007.out"]


def test_what_is_remembered_is_bounded(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 5)
    for number in range(20):
        lab.put(f"{number}.out", age=60.0 if number % 2 else 0.0)
    assert len(lab.keys()) == 10
    assert len(lab.repository._sums) <= 5
    assert len(lab.repository._seen) <= 5


def test_bytes_that_changed_by_themselves_are_noticed(lab: Lab) -> None:
    path = lab.put("a.out", b"good")
    status = path.stat()
    lab.keys()
    with path.open("r+b") as file:
        file.write(b"evil")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(IntegrityError, match="expected sha256:"):
        lab.read("a.out")
    assert not (lab.scratch / "t").exists()
    assert lab.read("a.out") == b"evil", "once it was said, it is what it is"


def test_a_file_that_changes_while_it_is_read_is_read_later(lab: Lab) -> None:
    path = lab.put("a.out", b"good")
    with pytest.raises(Transient, match="changed while it was read"):
        lab.repository.read("rec", "a.out", lab.scratch / "t", lambda _: os.utime(path))
    assert not (lab.scratch / "t").exists()


# ---- results


def test_a_result_that_somebody_changed_is_theirs(lab: Lab) -> None:
    lab.write(content=b"ours")
    lab.put("a.json", b"mine")
    assert lab.made() == {"a.json": ""}
    with pytest.raises(StateError, match="not made by processing; it stays as it is"):
        lab.write(content=b"new")
    assert lab.read("a.json") == b"mine"


def test_a_result_that_was_only_touched_or_copied_is_still_one(lab: Lab) -> None:
    lab.write(content=b"ours")
    os.utime(lab.record / "a.json", (1e9, 1e9))
    assert lab.made() == {"a.json": MADE}
    lab.write(content=b"new")
    assert lab.read("a.json") == b"new"


def test_a_result_that_was_removed_can_be_made_again(lab: Lab) -> None:
    lab.write(content=b"ours")
    (lab.record / "a.json").unlink()
    assert lab.keys() == []
    lab.write(content=b"ours")
    assert lab.made() == {"a.json": MADE}


def test_a_crash_before_the_name_leaves_what_was(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The note is there already, the file is still the former: it is still a result of the same."""
    lab.write(content=b"old")
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if target.name == "a.json":
            raise OSError(5, "power is gone")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(Transient, match="power is gone"):
        lab.write(content=b"new")
    monkeypatch.undo()
    os.utime(lab.record / "a.json", (1e9, 1e9))  # as the note tells of other bytes, it has to settle
    assert lab.made() == {"a.json": MADE}
    assert lab.read("a.json") == b"old"
    lab.write(content=b"newer")
    assert lab.read("a.json") == b"newer"
    assert sorted(path.name for path in lab.record.iterdir()) == [".towpath.json", ".towpath.lock", "a.json"]


@pytest.fixture
def once_noted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Do something once, right after a result is noted and before it has its name."""

    def set_up(act: Callable[[], object]) -> None:
        note, acts = notes.note, [act]

        def noted(folder: Path, files: Any) -> None:
            note(folder, files)
            while acts:
                acts.pop()()

        monkeypatch.setattr(notes, "note", noted)

    return set_up


@pytest.mark.parametrize("former", ["none", "removed", "ours"])
def test_what_somebody_deposits_at_that_moment_is_not_replaced(
    lab: Lab, once_noted: Callable[..., None], former: str
) -> None:
    if former != "none":
        lab.write(content=b"old")
    if former == "removed":
        (lab.record / "a.json").unlink()
    told = notes.made(lab.record)
    once_noted(lambda: lab.put("a.json", b"mine"))
    with pytest.raises(
        StateError, match=r"a file 'a.json' that is not made by processing; it stays as it is"
    ):
        lab.write(content=b"new")
    assert notes.made(lab.record) == told
    assert lab.made() == {"a.json": ""}
    assert lab.read("a.json") == b"mine"
    assert sorted(path.name for path in lab.record.iterdir()) == [".towpath.json", ".towpath.lock", "a.json"]


def test_even_the_same_bytes_are_theirs_who_deposit_them_at_that_moment(
    lab: Lab, once_noted: Callable[..., None]
) -> None:
    once_noted(lambda: lab.put("a.json", b"new"))
    with pytest.raises(StateError, match="not made by processing"):
        lab.write(content=b"new")
    assert lab.made() == {"a.json": ""}


def test_a_result_that_somebody_removes_or_touches_at_that_moment_is_still_one(
    lab: Lab, once_noted: Callable[..., None]
) -> None:
    lab.write(content=b"old")
    once_noted((lab.record / "a.json").unlink)
    assert lab.write(content=b"new").made_by == MADE
    once_noted(lambda: lab.put("a.json", b"new"))
    with pytest.raises(Transient, match="was changed by somebody while it was written"):
        lab.write(content=b"newer")
    assert (lab.made(), lab.read("a.json")) == ({"a.json": MADE}, b"new")
    assert lab.write(content=b"newer").made_by == MADE
    assert lab.read("a.json") == b"newer"


def test_results_are_put_where_there_are_no_links_and_no_such_rename(
    lab: Lab, once_noted: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(source: str, target: str) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", source, None, target)

    monkeypatch.setattr(module, "rename_new", unsupported)
    assert lab.write(content=b"new").made_by == MADE
    assert lab.read("a.json") == b"new"
    (lab.record / "a.json").unlink()
    once_noted(lambda: lab.put("a.json", b"mine"))
    with pytest.raises(StateError, match="not made by processing"):
        lab.write(content=b"newer")
    assert lab.read("a.json") == b"mine"


def test_a_result_that_could_not_be_named_is_not_noted(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: str, target: str) -> None:
        raise OSError(errno.EIO, "Input/output error", source, None, target)

    monkeypatch.setattr(module, "rename_new", fail)
    with pytest.raises(Transient, match="Input/output error"):
        lab.write(content=b"new")
    assert notes.made(lab.record) == {}


def test_what_a_killed_process_left_is_removed_after_a_day(lab: Lab) -> None:
    lab.put(".towpath-1-abcd.part", age=100.0)
    lab.put(".towpath-2-abcd.part", age=100_000.0)
    lab.write()
    left = [path.name for path in lab.record.iterdir() if path.suffix == ".part"]
    assert left == [".towpath-1-abcd.part"]


@pytest.mark.parametrize("content", ["", "[]", '{"files": {"a": {"colour": 1}}}', "{", '{"files": 3}'])
def test_a_damaged_note_is_not_taken_for_none(lab: Lab, content: str) -> None:
    lab.write()
    (lab.record / ".towpath.json").write_text(content)
    for ask in (lab.keys, lab.write, lambda: lab.read("a.json")):
        with pytest.raises(SiteError, match="is damaged"):
            ask()
    assert list(lab.repository.records()) == []


WRITER = """
import sys
from pathlib import Path
from towpath.adapters.repositories.folder import FolderRepository
from towpath.base.errors import StateError
root, name = sys.argv[1:]
repository = FolderRepository(root)
source = Path(root).parent / f"source-{name}"
print("ready", flush=True)
sys.stdin.readline()
lost = 0
for number in range(30):
    source.write_bytes(b"%s %d" % (name.encode(), number))
    repository.write("rec", f"{name}-{number}.json", source, made_by=name)
    try:
        repository.write("rec", f"both-{number}.json", source, made_by=name)
    except StateError:
        lost += 1
print(lost)
"""


def test_two_processes_write_at_once(lab: Lab) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(lab.root), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    lost = [int(writer.communicate(timeout=60)[0]) for writer in writers]
    made = lab.made()
    assert len(made) == 90
    for key, made_by in made.items():
        assert made_by in ("one", "two")
        assert lab.read(key).split()[0].decode() == made_by
    assert sum(lost) == 30


# ---- people


@pytest.mark.parametrize(
    ("text", "alice", "nobody"),
    [
        ("", True, True),
        ('title = "x"', True, True),
        ('people = ["alice", ""]', True, False),
        ("people = []", False, False),
        ('people = ["alice"]\npublished = true', True, False),
        ('people = "alice"', False, False),
        ('peopel = ["alice"]', False, False),
        ("people = [", False, False),
        ("people = [1]", False, False),
        ('published = "no"', False, False),
        ("title = '" + "x" * 2_000_000 + "'", False, False),
    ],
)
def test_a_record_names_its_people(lab: Lab, text: str, alice: bool, nobody: bool) -> None:
    """What cannot be understood lets in nobody."""
    (lab.record / ".record.toml").write_text(text)
    assert lab.repository.may("rec", Caller("alice")) == (BOTH if alice else frozenset())
    assert lab.repository.may("rec", Caller("")) == (BOTH if nobody else frozenset())


@pytest.mark.parametrize("text", ["title = 3", "published = 1", "colour = 1", "people = ["])
def test_a_description_that_is_wrong_hides_no_other_record(
    lab: Lab, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (lab.root / "other").mkdir()
    (lab.record / ".record.toml").write_text(text)
    with pytest.raises(SiteError, match=r"rec/\.record\.toml"):
        lab.repository.record("rec")
    with pytest.raises(SiteError):
        lab.write()
    assert [entry.id for entry in lab.repository.records()] == ["other"]
    assert "record is left out" in caplog.text


# ---- the disk


def test_a_root_that_is_away_is_tried_later(tmp_path: Path) -> None:
    repository = FolderRepository(str(tmp_path / "away"))
    asks: list[Callable[[], object]] = [lambda: list(repository.records()), lambda: repository.files("rec")]
    for ask in asks:
        with pytest.raises(Transient, match=r"away: No such file.*: make it, or set `root`"):
            ask()


def test_a_folder_that_may_not_be_written_is_a_fault_of_the_site(lab: Lab, unprivileged: Any) -> None:
    code = (
        "import sys; from pathlib import Path; from towpath.adapters.repositories.folder import FolderRepository; "
        "FolderRepository(sys.argv[1]).write('rec', 'a.json', Path(sys.argv[2]), made_by='m')"
    )
    source = lab.put("source")
    lab.record.chmod(0o555)
    done = unprivileged(sys.executable, "-c", code, lab.root, source, check=False, timeout=30)
    lab.record.chmod(0o755)
    assert "SiteError" in done.stderr
    assert "let the account of the site read and write it" in done.stderr


def test_a_full_disk_leaves_nothing_half_written(small_disk: Path, tmp_path: Path) -> None:
    lab = Lab(small_disk)
    lab.write(content=b"old")
    source = tmp_path / "large"
    source.write_bytes(bytes(4 << 20))
    with pytest.raises(Transient, match="No space left"):
        lab.repository.write("rec", "a.json", source, made_by=MADE)
    assert lab.made() == {"a.json": MADE}
    assert json.loads((lab.record / ".towpath.json").read_text())["files"].keys() == {"a.json"}
    assert lab.repository.files("rec")[0].size == 3


def test_a_note_that_cannot_be_written_leaves_the_former(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.write(content=b"old")
    parts: list[str] = []

    def fail(_: int) -> None:
        parts.extend(path.name for path in lab.record.glob("*.part"))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(notes.os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        notes.note(lab.record, {})
    monkeypatch.undo()
    assert lab.made() == {"a.json": MADE}
    assert [name[:9] for name in parts] == [".towpath-"], (
        "whoever is killed leaves what is removed after a day"
    )
    assert not list(lab.record.glob("*.part"))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, "root: found nothing"),
        ({"root": "records"}, "expected an absolute path"),
        ({"root": 3}, "expected a text"),
        ({"root": "/r", "settle": -1}, "expected 0 or more"),
        ({"root": "/r", "settle": "1"}, "expected a number"),
        ({"root": "/r", "settle": True}, "expected a number"),
        ({"root": "/r", "colour": 1}, "found an unknown key"),
    ],
)
def test_settings_that_are_wrong_are_said(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(DefinitionError, match=reason):
        make(settings)


def test_settings_make_a_repository(lab: Lab) -> None:
    lab.put("a.out", age=3.0)
    repository = make({"root": str(lab.root), "settle": 10})
    assert (list(repository.files("rec")), repository.name) == ([], "folder")
    repository.close()


def test_who_made_a_file_must_be_said(lab: Lab) -> None:
    with pytest.raises(ValueError, match="made_by: found nothing"):
        lab.write(made_by="")
