"""A folder of records as a repository: ``ROOT/RECORD/FILE``, flat, with hidden notes beside the files.

Promises that only settled files are offered, that a result is never taken for what somebody deposited, and that nothing
outside the root is read or written: links are no files, names cannot climb. Never changes or removes what people put there.
"""

import errno
import hashlib
import logging
import mimetypes
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from towpath.adapters.repositories import notes
from towpath.adapters.repositories.names import check_key, check_record, is_key, is_record, no_file, no_record
from towpath.base import hashing
from towpath.base.errors import (
    DefinitionError,
    IntegrityError,
    NotFoundError,
    SiteError,
    StateError,
    StorageError,
    Transient,
)
from towpath.base.flushing import flush
from towpath.base.renaming import UNSUPPORTED, rename_new
from towpath.contracts.repository import Access, Caller, Capability, Knows, RecordEntry, RecordFile

_CHUNK = 1 << 20
_NO_LINKS = {errno.EPERM, *UNSUPPORTED}
_REMEMBERED = 200_000  # files whose checksum is kept in memory
_LEFT = 86_400.0  # seconds after which what a killed process left half written is removed
_SETTINGS: dict[str, type | tuple[type, ...]] = {"root": str, "settle": (int, float)}
_LOG = logging.getLogger("towpath.repository")


@dataclass(frozen=True, slots=True)
class _State:
    """A file as the disk tells of it: what changes whenever its bytes do."""

    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> "_State":
        return cls(status.st_size, status.st_mtime_ns, status.st_ino)


class FolderRepository:
    """A folder of records (contracts.repository.Repository).

    A record may say of itself in ``.record.toml``: ``title``, ``people`` (who may see and process it; absent: everybody)
    and ``published`` (nothing is added to it). What processing puts there is told apart by the note ``.towpath.json``.

    Parameters
    ----------
    root
        The folder, absolute.
    settle
        Seconds for which a file must not have changed before it is offered.
    clock
        The time, in seconds since the epoch.

    Raises
    ------
    DefinitionError
        If the root is not absolute, or `settle` is negative.
    """

    name = "folder"
    knows = Knows.NAMES

    def __init__(self, root: str, *, settle: float = 1.0, clock: Callable[[], float] = time.time) -> None:
        if not Path(root).is_absolute():
            raise DefinitionError(f"root: found {root!r}; expected an absolute path")
        if settle < 0:
            raise DefinitionError(f"settle: found {settle} s; expected 0 or more")
        self.root, self._settle, self._clock = Path(os.path.realpath(root)), float(settle), clock
        self._sums: dict[tuple[str, str], tuple[_State, str]] = {}  # (record, key) → state, sha256 in hex
        self._seen: dict[
            tuple[str, str], tuple[_State, float]
        ] = {}  # what has not settled, since when it is so

    # ---- looking
    def records(self, since: str = "") -> Iterable[RecordEntry]:
        """All records, the latest change first: a file that settles is not newer than one seen before, so none is left out."""
        del since
        found = []
        with self._troubles(self.root):
            names = [
                entry.name for entry in os.scandir(self.root)
                if is_record(entry.name) and entry.is_dir(follow_symlinks=False)
            ]  # fmt: skip
        for name in names:
            try:
                found.append(self._entry(name, self._folder(name)))
            except SiteError as error:  # one record that is wrong is not to hide the others
                _LOG.warning("record is left out", extra={"record": name, "reason": str(error)})
            except NotFoundError:
                continue
        return sorted(found, key=lambda entry: entry.version, reverse=True)

    def record(self, record: str, by: Capability | None = None) -> RecordEntry:
        """One record. Raises `NotFoundError`, or `SiteError` where its description is wrong."""
        return self._entry(record, self._folder(record, by))

    def files(self, record: str, by: Capability | None = None) -> Sequence[RecordFile]:
        """Its files that have settled, by key; a file is hashed once for each time that it changes."""
        folder = self._folder(record, by)
        with self._troubles(folder):
            made = notes.made(folder)
            offered = [
                self._told(record, folder, key, state, made.get(key))
                for key, state in self._states(folder)
                if self._is_settled(record, key, state, made.get(key))
            ]
        return [file for file in offered if file is not None]

    def _entry(self, record: str, folder: Path) -> RecordEntry:
        with self._troubles(folder):
            description, made = notes.described(folder), notes.made(folder)
            states = self._states(folder)
            settled = [
                (key, state.size, state.mtime_ns, state.inode)
                for key, state in states
                if self._is_settled(record, key, state, made.get(key))
            ]
            newest = max([folder.stat().st_mtime_ns, *(file[2] for file in settled)])
        version = f"{newest:020d}-{hashing.digest(settled).hex()[:16]}"
        is_open, unsettled = not description.is_published, len(states) - len(settled)
        return RecordEntry(record, description.title or record, version, is_open, unsettled=unsettled)

    def _folder(self, record: str, by: Capability | None = None) -> Path:
        check_record(self.name, record, by)
        folder = self.root / record
        try:
            status = folder.lstat()
        except (FileNotFoundError, NotADirectoryError):
            with self._troubles(self.root):
                self.root.stat()  # is the whole root away?
            raise no_record(self.name, record) from None
        except OSError as error:
            raise _trouble(folder, error) from None
        if not stat.S_ISDIR(status.st_mode):
            raise no_record(self.name, record)
        return folder

    @staticmethod
    def _states(folder: Path) -> list[tuple[str, _State]]:
        """The files of a record by key, settled or not."""
        found = []
        for entry in os.scandir(folder):
            try:
                if is_key(entry.name) and entry.is_file(follow_symlinks=False):
                    found.append((entry.name, _State.of(entry.stat(follow_symlinks=False))))
            except FileNotFoundError:
                continue  # gone since the folder was listed
        return sorted(found, key=lambda file: file[0])

    def _is_settled(self, record: str, key: str, state: _State, made: notes.Made | None) -> bool:
        """Whether a file has not changed for long enough; where its mtime says nothing, as seen by us."""
        if _is_as_made(state, made) or self._clock() - state.mtime_ns / 1e9 >= self._settle:
            self._seen.pop((record, key), None)
            return True
        beat = time.monotonic()
        known, since = self._seen.get((record, key), (state, beat))
        if known != state:
            since = beat
        if len(self._seen) >= _REMEMBERED:
            self._seen.clear()
        self._seen[record, key] = (state, since)
        return beat - since >= self._settle and state.mtime_ns / 1e9 > self._clock()

    def _told(
        self, record: str, folder: Path, key: str, state: _State, made: notes.Made | None
    ) -> RecordFile | None:
        """What a file is; None if it changed or went while it was looked at."""
        if _is_as_made(state, made):
            assert made is not None
            sha256 = made.sha256
        else:
            hashed = self._sha256(record, folder, key, state)
            if hashed is None:
                return None
            sha256 = hashed
        is_ours = made is not None and sha256 in (made.sha256, made.before)
        media_type = (made.media_type if made is not None and is_ours else "") or mimetypes.guess_type(key)[0]
        return RecordFile(
            key, state.size, f"sha256:{sha256}", media_type or "", made.made_by if made and is_ours else ""
        )

    def _sha256(self, record: str, folder: Path, key: str, state: _State) -> str | None:
        known = self._sums.get((record, key))
        if known is not None and known[0] == state:
            return known[1]
        try:
            sha256 = hashing.file_sha256(folder / key).hex()
            if _State.of((folder / key).lstat()) != state:
                return None
        except FileNotFoundError:
            return None
        if len(self._sums) >= _REMEMBERED:
            self._sums.clear()
        self._sums[record, key] = (state, sha256)
        return sha256

    # ---- bytes
    def read(
        self,
        record: str,
        key: str,
        target: Path,
        progress: Callable[[int], None],
        by: Capability | None = None,
    ) -> RecordFile:
        """Copy a file to `target`, verified.

        Raises
        ------
        NotFoundError
            If there is none.
        Transient
            If it still changes.
        IntegrityError
            If its bytes are others than when it was listed, with the same size and mtime.
        """
        folder = self._folder(record, by)
        state = self._state(folder, key) if is_key(key) else None
        if state is None:
            raise no_file(self.name, record, key)
        with self._troubles(folder / key):
            made = notes.made(folder).get(key)
            is_settled = self._is_settled(record, key, state, made)
            file = self._told(record, folder, key, state, made) if is_settled else None
            if file is None:
                raise Transient(f"{folder / key}: still changes")
            sha256 = self._copied(folder, key, target, progress)
            is_changed = self._state(folder, key) != state
        if is_changed or f"sha256:{sha256}" != file.checksum:
            target.unlink(missing_ok=True)
            if is_changed:
                raise Transient(f"{folder / key}: changed while it was read")
            self._sums.pop((record, key), None)  # it is what it is now
            raise IntegrityError(
                f"{folder / key}: found sha256:{sha256}; expected {file.checksum}, as it was when it was listed"
            )
        return file

    def head(self, record: str, key: str, size: int, by: Capability | None = None) -> bytes:
        """The first bytes of a file. Raises `NotFoundError` if there is none."""
        folder = self._folder(record, by)
        if not is_key(key) or self._state(folder, key) is None:
            raise no_file(self.name, record, key)
        with self._troubles(folder / key):
            number = os.open(folder / key, os.O_RDONLY | os.O_NOFOLLOW)
            with os.fdopen(number, "rb") as file:
                return file.read(size)

    def write(
        self,
        record: str,
        key: str,
        source: Path,
        *,
        made_by: str,
        media_type: str = "",
        by: Capability | None = None,
    ) -> RecordFile:
        """Put a result beside the deposited files, and note who made it before it has its name.

        Raises
        ------
        StateError
            If the record is published, or the key is somebody else's.
        UsageError
            If the key cannot be a file's name.
        """
        check_key(self.name, key)
        if not made_by:
            raise ValueError("made_by: found nothing; expected the key of the processing that made the file")
        folder = self._folder(record, by)
        part = folder / f"{notes.PART}{os.getpid()}-{secrets.token_hex(4)}.part"
        with self._troubles(folder):
            self._check_open(record, folder)
            if (file := self._same(record, folder, key, source, made_by)) is not None:
                return file
            try:
                sha256 = _brought(source, part)
                with notes.locked(folder):
                    self._check_open(record, folder)
                    files, stood = notes.made(folder), self._state(folder, key)
                    before = self._replaced(record, folder, key, made_by, files.get(key))
                    if before != sha256:
                        status = part.stat()
                        new = notes.Made(
                            made_by, sha256, before, status.st_size, status.st_mtime_ns, media_type
                        )
                        notes.note(folder, {**files, key: new})  # first: nobody is to take it for a deposit
                        try:
                            is_named = self._named(part, folder, key, stood)
                        except OSError:
                            notes.note(folder, files)
                            raise
                        if not is_named:
                            notes.note(folder, files)
                            self._replaced(record, folder, key, made_by, files.get(key))
                            raise Transient(f"{folder / key}: was changed by somebody while it was written")
                        flush(folder)
                    self._sweep(folder)
            finally:
                part.unlink(missing_ok=True)
            state = self._state(folder, key)
            file = self._told(record, folder, key, state, notes.made(folder).get(key)) if state else None
        if file is None:
            raise Transient(f"{folder / key}: was changed by somebody as soon as it was written")
        return file

    def _same(self, record: str, folder: Path, key: str, source: Path, made_by: str) -> RecordFile | None:
        """The file at this key, if it has these bytes and `made_by` put it there: then there is nothing to do."""
        state = self._state(folder, key)
        file = self._told(record, folder, key, state, notes.made(folder).get(key)) if state else None
        if state is None or file is None or file.made_by != made_by or file.size != _size(source):
            return None
        return file if file.checksum == f"sha256:{hashing.file_sha256(source).hex()}" else None

    def _check_open(self, record: str, folder: Path) -> None:
        if notes.described(folder).is_published:
            raise StateError(f"{self.name}: record {record} is published; files cannot be added to it")

    def _replaced(self, record: str, folder: Path, key: str, made_by: str, made: notes.Made | None) -> str:
        """The sha256 (hex) of what `made_by` put at this key before, "" for nothing. Raises `StateError`."""
        if not os.path.lexists(folder / key):
            return ""
        state = self._state(folder, key)
        file = self._told(record, folder, key, state, made) if state else None
        if file is None or file.made_by != made_by:
            whose = f"made by {file.made_by}" if file and file.made_by else "not made by processing"
            raise StateError(
                f"{self.name}: record {record} has a file {key!r} that is {whose}; it stays as it is"
            )
        return file.checksum.removeprefix("sha256:")

    def _named(self, part: Path, folder: Path, key: str, stood: _State | None) -> bool:
        """Give a result its name; False if there is by now what nobody has looked at: then that stays."""
        if stood is not None and self._state(folder, key) == stood:
            part.rename(folder / key)
            return True
        try:
            rename_new(str(part), str(folder / key))
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if os.path.lexists(folder / key):  # on such a file system a look is all that there is
                return False
            part.rename(folder / key)
        return True

    @staticmethod
    def _state(folder: Path, key: str) -> _State | None:
        try:
            status = (folder / key).lstat()
        except FileNotFoundError:
            return None
        return _State.of(status) if stat.S_ISREG(status.st_mode) else None

    @staticmethod
    def _copied(folder: Path, key: str, target: Path, progress: Callable[[int], None]) -> str:
        total = hashlib.sha256()
        fd = os.open(folder / key, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(fd, "rb") as file, target.open("wb") as copy:  # noqa: PTH123 (a link is not followed)
            while chunk := file.read(_CHUNK):
                total.update(chunk)
                copy.write(chunk)
                progress(len(chunk))
        return total.hexdigest()

    def _sweep(self, folder: Path) -> None:
        """Remove what a killed process left half written."""
        for entry in os.scandir(folder):
            if entry.name.startswith(notes.PART) and entry.name.endswith(".part"):
                left = Path(entry.path)
                with suppress(FileNotFoundError):  # it has its own name by now
                    if self._clock() - left.lstat().st_mtime > _LEFT:
                        left.unlink()

    # ---- people
    def may(self, record: str, caller: Caller) -> frozenset[Access]:
        """Everything for those whom the record names, and for everybody where it names none; else nothing."""
        try:
            people = notes.described(self._folder(record)).people
        except NotFoundError:
            return frozenset()
        except SiteError as error:
            _LOG.warning("record is open to nobody", extra={"record": record, "reason": str(error)})
            return frozenset()
        is_allowed = people is None or (caller.name != "" and caller.name in people)
        return frozenset(Access) if is_allowed else frozenset()

    def who(self, bearer: str) -> str:
        """Nobody: a folder knows no tokens."""
        del bearer
        return ""

    def grant(self, record: str, caller: Caller | None, lasts: float) -> Capability:
        """A capability without a secret: whoever works for the site may reach the folder anyway. Raises `NotFoundError`."""
        del lasts
        self._folder(record)
        if caller is not None and Access.WRITE not in self.may(record, caller):
            raise no_record(self.name, record)
        return Capability(record)

    def revoke(self, capability: Capability) -> None:
        """Nothing is to be done."""

    def close(self) -> None:
        """Nothing is to be done."""

    @contextmanager
    def _troubles(self, place: Path) -> Iterator[None]:
        """Say what the disk's errors mean for whoever asked."""
        try:
            yield
        except FileNotFoundError as error:
            what = "; it is the folder of the records: make it, or set `root` of the repository"
            raise Transient(f"{place}: {error.strerror}{what if place == self.root else ''}") from None
        except OSError as error:
            raise _trouble(place, error) from None


def make(settings: Mapping[str, Any]) -> FolderRepository:
    """A folder of records from its settings (contracts.repository.Maker).

    Raises
    ------
    DefinitionError
        If they are wrong.
    """
    for name, value in settings.items():
        if name not in _SETTINGS:
            raise DefinitionError(f"{name}: found an unknown key; expected one of {', '.join(_SETTINGS)}")
        if isinstance(value, bool) or not isinstance(value, _SETTINGS[name]):
            raise DefinitionError(
                f"{name}: found {value!r}; expected {'a number' if name == 'settle' else 'a text'}"
            )
    if "root" not in settings:
        raise DefinitionError("root: found nothing; expected the folder of the records")
    return FolderRepository(**settings)


def _is_as_made(state: _State, made: notes.Made | None) -> bool:
    return made is not None and (made.size, made.mtime_ns) == (state.size, state.mtime_ns)


def _size(source: Path) -> int:
    try:
        return source.stat().st_size
    except OSError as error:
        raise StorageError(f"{source}: {error.strerror}") from None


def _brought(source: Path, part: Path) -> str:
    """Copy a result beside its place; its sha256 in hex. Raises `StorageError` if the source cannot be read."""
    total = hashlib.sha256()
    try:
        file = source.open("rb")
    except OSError as error:
        raise StorageError(f"{source}: {error.strerror}") from None
    with file, part.open("xb") as copy:
        while chunk := file.read(_CHUNK):
            total.update(chunk)
            copy.write(chunk)
        copy.flush()
        os.fsync(copy.fileno())
    return total.hexdigest()


def _trouble(place: Path, error: OSError) -> SiteError | Transient:
    if isinstance(error, PermissionError):
        return SiteError(f"{place}: {error.strerror}; let the account of the site read and write it")
    return Transient(f"{place}: {error.strerror}")
