"""The suite that every repository passes: one test for each rule of its contract.

An adapter's tests subclass `RepositorySuite` and override the fixture `bench`. Needs pytest. Promises to look only through
the contract: what people do with records is the bench's to do.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from towpath.base.errors import NotFoundError, StateError, StorageError, UsageError
from towpath.contracts.repository import Access, Caller, Capability, Knows, RecordFile, Repository

HOSTILE = (
    "", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b", "a\0b", "a\nb", ".hidden", "x" * 300, "\u202e", "\udcff",
)  # fmt: skip
MADE = "metadata-abc12-1"


class Bench(Protocol):
    """A repository, and what people do with its records behind its back.

    `owner` may read and write every record that `record` makes, `stranger` none of them where it is not published.
    """

    repository: Repository
    owner: Caller
    stranger: Caller

    def record(self, title: str = "") -> str:
        """A new record to which files can be added, of the owner; its id."""

    def deposit(self, record: str, key: str, content: bytes) -> None:
        """A person puts a file there, whole and settled; again with other bytes, it is replaced."""

    def publish(self, record: str) -> None:
        """A person publishes the record."""


def nothing(_: int) -> None:
    """No progress is looked at."""


def is_checksum_of(file: RecordFile, content: bytes) -> bool:
    """Whether a file's checksum is that of these bytes."""
    algorithm, _, stated = file.checksum.partition(":")
    return hashlib.new(algorithm, content, usedforsecurity=False).hexdigest() == stated


class RepositorySuite:
    """The rules of contracts.repository.Repository."""

    @pytest.fixture
    def bench(self) -> Bench:
        """Give a bench on an empty repository; the adapter's test writes this."""
        raise NotImplementedError("a suite of an adapter gives a bench")

    @pytest.fixture
    def source(self, tmp_path: Path) -> Callable[[bytes], Path]:
        """Give a function that puts bytes into a file to be written from."""

        def put(content: bytes) -> Path:
            path = tmp_path / f"source-{hashlib.sha256(content).hexdigest()[:12]}"
            path.write_bytes(content)
            return path

        return put

    # ---- people
    def test_whose_token_it_is(self, bench: Bench) -> None:
        """Nobody's is nobody's; where tokens are known each has a name that tells nothing of it, else none has."""
        repository, owner, stranger = bench.repository, bench.owner, bench.stranger
        for odd in ("", "nobodys", "two words", "a\nb", "\udcff", "x" * 10_000):
            assert repository.who(odd) == ""
        if repository.knows is Knows.NAMES:
            assert repository.who(owner.bearer) == ""
            return
        name = repository.who(owner.bearer)
        assert name and name == repository.who(owner.bearer) and owner.bearer not in name
        assert repository.who(stranger.bearer) not in ("", name)

    # ---- records
    def test_records_are_listed_with_what_they_are(self, bench: Bench) -> None:
        """Each with its id and title; a published one is not open."""
        first, second = bench.record("Water"), bench.record("Ice")
        bench.deposit(second, "ice.out", b"cold")
        bench.publish(second)
        found = {entry.id: entry for entry in bench.repository.records()}
        assert (found[first].title, found[first].is_open) == ("Water", True)
        assert (found[second].title, found[second].is_open) == ("Ice", False)
        assert bench.repository.record(first).id == first
        assert bench.repository.record(second).is_open is False

    def test_the_latest_change_is_first(self, bench: Bench) -> None:
        """A record whose files changed comes before those which did not."""
        records = [bench.record() for _ in range(3)]
        bench.deposit(records[1], "a.out", b"a")
        assert next(iter(bench.repository.records())).id == records[1]

    def test_a_version_changes_with_the_files(self, bench: Bench) -> None:
        """A new file and a changed one change it; looking does not."""
        record = bench.record()
        seen = []
        for content in (None, b"one", b"other"):
            if content is not None:
                bench.deposit(record, "a.out", content)
            (entry,) = bench.repository.records()
            assert list(bench.repository.records()) == [entry]
            assert bench.repository.record(record).version == entry.version
            seen.append(entry.version)
        assert len(set(seen)) == 3

    def test_what_is_newer_than_since_is_listed(self, bench: Bench) -> None:
        """Older ones may be left out, newer ones never."""
        old = bench.record()
        (entry,) = bench.repository.records()
        new = bench.record()
        bench.deposit(new, "a.out", b"a")
        found = [found.id for found in bench.repository.records(entry.version)]
        assert found[0] == new
        assert set(found) <= {old, new}

    @pytest.mark.parametrize("record", ["nnnnn-00000", "..", "", "a/b", "x" * 500, "a b", "%2e%2e", ".x"])
    def test_an_unknown_record_is_not_found(
        self, bench: Bench, source: Callable[[bytes], Path], tmp_path: Path, record: str
    ) -> None:
        """By none of what can be asked, and it may be nothing to anybody."""
        bench.record()
        repository = bench.repository
        asks: list[Callable[[], object]] = [
            lambda: repository.record(record),
            lambda: repository.files(record),
            lambda: repository.read(record, "a", tmp_path / "t", nothing),
            lambda: repository.write(record, "a", source(b"a"), made_by=MADE),
            lambda: repository.grant(record, bench.owner, 60.0),
        ]
        for ask in asks:
            with pytest.raises(NotFoundError):
                ask()
        assert repository.may(record, bench.owner) == frozenset()

    # ---- files
    def test_files_are_listed_by_key(self, bench: Bench) -> None:
        """With size and checksum; what people deposited was made by nobody."""
        record = bench.record()
        assert list(bench.repository.files(record)) == []
        content = {"b.log": b"bb", "a b (1) é.out": b"a", "c#?%41.gro": b""}
        for key, data in content.items():
            bench.deposit(record, key, data)
        files = bench.repository.files(record)
        assert [file.key for file in files] == sorted(content)
        for file in files:
            assert (file.size, file.made_by) == (len(content[file.key]), "")
            assert is_checksum_of(file, content[file.key])

    @pytest.mark.parametrize("key", ["a.out", "a b (1) é.out", "c#?%41&d=e.gro"])
    def test_bytes_are_read_and_verified(self, bench: Bench, tmp_path: Path, key: str) -> None:
        """Whole, with progress, and told as in the list."""
        record, content = bench.record(), b"0123456789" * 40_000
        bench.deposit(record, key, content)
        counted: list[int] = []
        file = bench.repository.read(record, key, tmp_path / "t", counted.append)
        assert (tmp_path / "t").read_bytes() == content
        assert sum(counted) == len(content)
        assert [file] == list(bench.repository.files(record))

    def test_a_file_of_a_published_record_is_read(self, bench: Bench, tmp_path: Path) -> None:
        """As one of an open record is."""
        record = bench.record()
        bench.deposit(record, "a.out", b"abc")
        bench.publish(record)
        assert [file.key for file in bench.repository.files(record)] == ["a.out"]
        bench.repository.read(record, "a.out", tmp_path / "t", nothing)
        assert (tmp_path / "t").read_bytes() == b"abc"

    @pytest.mark.parametrize("key", ["none.out", *HOSTILE])
    def test_a_file_that_is_not_there_is_not_found(self, bench: Bench, tmp_path: Path, key: str) -> None:
        """A hostile name is none of a file, and nothing is left at the target."""
        record = bench.record()
        bench.deposit(record, "a.out", b"a")
        with pytest.raises(NotFoundError):
            bench.repository.read(record, key, tmp_path / "t", nothing)
        assert not (tmp_path / "t").exists()

    # ---- results
    def test_a_result_is_told_from_a_deposit(
        self, bench: Bench, source: Callable[[bytes], Path], tmp_path: Path
    ) -> None:
        """It is listed with who made it, and read as any file is."""
        record = bench.record()
        bench.deposit(record, "a.out", b"a")
        written = bench.repository.write(record, "a.json", source(b"{}"), made_by=MADE)
        assert (written.key, written.size, written.made_by) == ("a.json", 2, MADE)
        assert is_checksum_of(written, b"{}")
        assert {file.key: file.made_by for file in bench.repository.files(record)} == {
            "a.out": "",
            "a.json": MADE,
        }
        assert bench.repository.read(record, "a.json", tmp_path / "t", nothing).made_by == MADE
        assert (tmp_path / "t").read_bytes() == b"{}"

    def test_writing_again_changes_nothing(self, bench: Bench, source: Callable[[bytes], Path]) -> None:
        """The same bytes by the same processing."""
        record = bench.record()
        first = bench.repository.write(record, "a.json", source(b"{}"), made_by=MADE)
        version = bench.repository.record(record).version
        assert bench.repository.write(record, "a.json", source(b"{}"), made_by=MADE) == first
        assert bench.repository.record(record).version == version

    def test_a_result_is_replaced_by_whoever_made_it(
        self, bench: Bench, source: Callable[[bytes], Path], tmp_path: Path
    ) -> None:
        """By nobody else."""
        record = bench.record()
        for content in (b"1", b"22", b"333", b"1", b""):
            bench.repository.write(record, "a.json", source(content), made_by=MADE)
            (file,) = bench.repository.files(record)
            assert (file.size, file.made_by) == (len(content), MADE)
            assert is_checksum_of(file, content)
        with pytest.raises(StateError):
            bench.repository.write(record, "a.json", source(b"4"), made_by="other-1")
        bench.repository.read(record, "a.json", tmp_path / "t", nothing)
        assert (tmp_path / "t").read_bytes() == b""

    @pytest.mark.parametrize("content", [b"mine", b"yours"])
    def test_a_deposit_is_never_replaced(
        self, bench: Bench, source: Callable[[bytes], Path], content: bytes
    ) -> None:
        """Not by the same bytes either: it stays a deposit."""
        record = bench.record()
        bench.deposit(record, "a.out", b"mine")
        before = list(bench.repository.files(record))
        with pytest.raises(StateError):
            bench.repository.write(record, "a.out", source(content), made_by=MADE)
        assert list(bench.repository.files(record)) == before

    def test_a_published_record_takes_no_results(self, bench: Bench, source: Callable[[bytes], Path]) -> None:
        """Nor are those changed that it has."""
        record = bench.record()
        bench.repository.write(record, "a.json", source(b"{}"), made_by=MADE)
        bench.publish(record)
        for key, content in (("b.json", b"{}"), ("a.json", b"[]")):
            with pytest.raises(StateError):
                bench.repository.write(record, key, source(content), made_by=MADE)
        assert [file.key for file in bench.repository.files(record)] == ["a.json"]

    @pytest.mark.parametrize("key", HOSTILE)
    def test_a_hostile_key_is_refused(self, bench: Bench, source: Callable[[bytes], Path], key: str) -> None:
        """Nothing of that name is written."""
        record = bench.record()
        with pytest.raises(UsageError):
            bench.repository.write(record, key, source(b"x"), made_by=MADE)
        assert list(bench.repository.files(record)) == []

    def test_what_is_written_must_be_there(self, bench: Bench, tmp_path: Path) -> None:
        """A source that is away is no result."""
        record = bench.record()
        with pytest.raises(StorageError):
            bench.repository.write(record, "a.json", tmp_path / "away", made_by=MADE)
        assert list(bench.repository.files(record)) == []

    # ---- people
    def test_owners_may_and_strangers_may_not(self, bench: Bench) -> None:
        """A stranger is told the same of a record that is there as of one that is not."""
        record = bench.record()
        assert bench.repository.may(record, bench.owner) == {Access.READ, Access.WRITE}
        assert bench.repository.may(record, bench.stranger) == frozenset()
        assert bench.repository.may(record, Caller("")) == frozenset()

    # ---- capabilities
    def test_a_capability_reads_and_writes(
        self, bench: Bench, source: Callable[[bytes], Path], tmp_path: Path
    ) -> None:
        """Made by the owner or by the site."""
        repository = bench.repository
        for number, caller in enumerate((bench.owner, None)):
            record = bench.record()
            bench.deposit(record, "a.out", b"a")
            capability = repository.grant(record, caller, 3600.0)
            assert capability.record == record
            assert repository.record(record, by=capability).id == record
            repository.write(record, "a.json", source(b"%d" % number), made_by=MADE, by=capability)
            assert [file.key for file in repository.files(record, by=capability)] == ["a.json", "a.out"]
            repository.read(record, "a.out", tmp_path / "t", nothing, by=capability)
            repository.revoke(capability)

    def test_a_stranger_makes_no_capability(self, bench: Bench) -> None:
        """The record is not there for them."""
        record = bench.record()
        with pytest.raises(NotFoundError):
            bench.repository.grant(record, bench.stranger, 60.0)

    def test_granting_and_revoking_can_be_repeated(self, bench: Bench) -> None:
        """Each grant is of its own, and one that has ended is no error."""
        record = bench.record()
        capabilities = [bench.repository.grant(record, bench.owner, 60.0) for _ in range(2)]
        for capability in [*capabilities, *capabilities]:
            bench.repository.revoke(capability)

    def test_a_capability_is_for_one_record(
        self, bench: Bench, source: Callable[[bytes], Path], tmp_path: Path
    ) -> None:
        """Any other is not there for it."""
        mine, other = bench.record(), bench.record()
        bench.deposit(other, "a.out", b"a")
        repository, capability = bench.repository, bench.repository.grant(mine, bench.owner, 60.0)
        asks: list[Callable[[], object]] = [
            lambda: repository.record(other, by=capability),
            lambda: repository.files(other, by=capability),
            lambda: repository.read(other, "a.out", tmp_path / "t", nothing, by=capability),
            lambda: repository.write(other, "a", source(b"a"), made_by=MADE, by=capability),
        ]
        for ask in asks:
            with pytest.raises(NotFoundError):
                ask()

    def test_secrets_do_not_show(self, bench: Bench) -> None:
        """Neither in the text of a capability nor in that of the repository."""
        record = bench.record()
        capability: Capability = bench.repository.grant(record, bench.owner, 60.0)
        for secret in (capability.secret, bench.owner.bearer):
            if secret:
                assert secret not in f"{capability!r} {bench.repository!r} {bench.owner!r}"

    def test_it_has_a_name(self, bench: Bench) -> None:
        """By which settings choose it."""
        assert bench.repository.name.isidentifier()
