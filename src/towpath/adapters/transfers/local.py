"""Copies to an archive on a local or mounted disk: beside the target, flushed, read back, renamed without replacing.

Promises that a target is never overwritten and is either whole or not there, also after a power cut. Never follows a
symbolic link, and never touches the source.
"""

import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from towpath.adapters.transfers.placing import held_for, place_file, place_folder
from towpath.base import faults, hashing
from towpath.base.errors import StorageError
from towpath.base.flushing import flush
from towpath.contracts.transfer import Progress

_BUFFER = 1 << 22
_BAD_NAME = {errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL}
_TEMPORARY = re.compile(r"\.(\d+)\.\d+\.[0-9a-f]{12}(\.[0-9a-f]+\.trash)?\Z")


@dataclass(frozen=True, slots=True, order=True)
class Stamp:
    """A file or folder as `lstat` tells it. No write leaves it as it was: that of ctime nobody can hide.

    A folder has no ctime here, for a rename changes it; its members, by their names, have theirs.
    """

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    members: "tuple[tuple[bytes, Stamp], ...]" = ()

    @classmethod
    def of(cls, path: Path) -> "Stamp":
        """The stamp of one file or folder, without what is in it."""
        status = path.lstat()
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class LocalTransfer:
    """Transfer to a folder of this machine (contracts.transfer.Transfer).

    Parameters
    ----------
    owner
        Tells the site from others that publish into the same archive: numbers of publications may be equal there.
    """

    def __init__(self, owner: str = "") -> None:
        self._owner = owner

    def temporary(self, target: Path, publication: int, token: int) -> Path:
        """The temporary place beside the target."""
        return target.parent / f".{publication}.{token}.{self._mark(target)}"

    def _mark(self, target: Path) -> str:
        return hashlib.sha256(os.fsencode(target) + self._owner.encode()).hexdigest()[:12]

    def leftovers(self, target: Path, publication: int, token: int) -> list[Path]:
        """Temporary places of this attempt and of those before it, half removed ones included."""
        ours = re.compile(rf"\.{publication}\.(\d+)\.{self._mark(target)}(\.[0-9a-f]+\.trash)?\Z")
        try:
            with os.scandir(target.parent) as entries:
                found = [(ours.match(entry.name), Path(entry.path)) for entry in entries]
        except FileNotFoundError:
            return []
        found.append((ours.match(held_for(target)), target))
        return [path for match, path in found if match and int(match[1]) <= token]

    def strays(self, folder: Path) -> set[int]:
        """The publications of which a temporary place seems to be in a folder."""
        try:
            with os.scandir(folder) as entries:
                return {int(match[1]) for entry in entries if (match := _TEMPORARY.match(entry.name))}
        except (FileNotFoundError, NotADirectoryError):
            return set()

    def prepare(self, root: Path, folder: Path) -> None:
        """Make a folder below the archive's root, and its parents, each flushed into the one that holds it.

        Also those that are there: another publisher, or one that was killed, may have made them and not flushed yet.

        Raises
        ------
        FileNotFoundError
            If the root is not there: an archive that is not mounted must not be written beside.
        """
        if not root.is_dir():
            raise FileNotFoundError(errno.ENOENT, "the archive is not there", str(root))
        place = root
        for name in folder.relative_to(root).parts:
            place = place / name
            if not place.is_dir():
                with _naming(place):
                    place.mkdir(exist_ok=True)
            if os.access(place.parent, os.W_OK):  # where we cannot write we cannot have made it
                flush(place.parent)

    def is_empty(self, root: Path) -> bool:
        """Whether an archive holds nothing, as the folder does on which a disk was mounted that is away."""
        with os.scandir(root) as entries:
            return next(entries, None) is None

    def begin(self, temporary: Path) -> None:
        """Make the folder of a temporary, new: a link that lies there is not followed."""
        temporary.mkdir()
        flush(temporary.parent)

    def copy(self, source: Path, temporary: Path, progress: Progress) -> None:
        """Copy a file or folder to a new place, flushed to disk, times kept.

        Raises
        ------
        StorageError
            If the source is or holds a symbolic link, or anything but files and folders; or if the archive's file
            system cannot hold a name of it.
        OSError
            If the disk is full, gone or not writable, or something is at `temporary`.
        """
        mode = source.lstat().st_mode
        if stat.S_ISDIR(mode):
            _copy_tree(source, temporary, progress)
        elif stat.S_ISREG(mode):
            _copy_file(source, temporary, progress)
        else:
            raise _no_product(source)
        flush(temporary.parent)

    def write(self, path: Path, content: bytes) -> None:
        """Write a small new file, flushed to disk."""
        with path.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        flush(path.parent)

    def content(self, path: Path, progress: Progress) -> hashing.Content | None:
        """What is there, read back from the disk where `posix_fadvise` can drop it from memory; None: nothing.

        What cannot be a product (a link, a device) has a hash that no product has.
        """
        try:
            status = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        is_file = stat.S_ISREG(status.st_mode)
        try:
            files = [path] if is_file else list(_tree(path, status.st_mode))
        except ValueError as error:
            return hashing.Content(0, status.st_mtime_ns, hashing.digest({"not a product": str(error)}))
        entries = [_read_back(path, file, progress) for file in files]
        if is_file:
            return hashing.Content(entries[0].size, status.st_mtime_ns, entries[0].sha256)
        entries.sort(key=lambda entry: entry.path)
        size = sum(entry.size for entry in entries)
        return hashing.Content(size, hashing.tree_mtime_ns(path), hashing.tree_sha256(entries), tree=True)

    def stamp(self, path: Path) -> "Stamp | None":
        """What `lstat` tells of a file, or of a folder and all in it; None if there is nothing."""
        if not os.path.lexists(path):
            return None
        if not stat.S_ISDIR(path.lstat().st_mode):
            return Stamp.of(path)
        members = sorted((os.fsencode(one.relative_to(path)), Stamp.of(one)) for one in _everything(path))
        return replace(Stamp.of(path), ctime_ns=0, members=tuple(members))

    def is_same(self, before: Hashable, after: Hashable) -> bool:
        """Whether nothing but `place` lies between two stamps: a link changes the ctime of a file, but not the rest."""
        assert isinstance(before, Stamp) and isinstance(after, Stamp)
        return before == replace(after, ctime_ns=before.ctime_ns)

    def place(self, temporary: Path, target: Path) -> bool:
        """Rename into place without replacing anything; False if the target is there already.

        A file is linked (which never replaces) and its temporary name taken away. A folder is renamed with
        RENAME_NOREPLACE; where the system has no such rename a plain one, which POSIX lets replace nothing but an
        empty folder.
        """
        placed = place_folder(temporary, target) if temporary.is_dir() else place_file(temporary, target)
        if placed:
            flush(target.parent)
        return placed

    def flush(self, root: Path, target: Path) -> None:
        """Flush a file, or a folder and all in it, and the folders that lead to it: others may have put it there."""
        for path in (*_everything(target), target):  # there is nothing in a file
            flush(path)
        self.prepare(root, target.parent)
        flush(target.parent)

    def take_back(self, target: Path, temporary: Path, stamp: Hashable) -> bool:
        """Undo `place`, if what is at the target is the very file or folder that had this stamp; False if it is not."""
        there = self.stamp(target)
        assert isinstance(stamp, Stamp)
        is_it = there is not None and (there.device, there.inode) == (stamp.device, stamp.inode)
        return is_it and self.place(target, temporary)

    def remove(self, path: Path) -> None:
        """Remove a temporary; a folder is first renamed, so that it cannot be placed while it is half gone."""
        faults.point("publish.remove")
        try:
            if path.is_dir() and not path.is_symlink():
                doomed = path
                if not path.name.endswith(".trash"):
                    doomed = path.with_name(f"{path.name}.{secrets.token_hex(4)}.trash")
                    path.rename(doomed)
                faults.point("publish.trash")
                shutil.rmtree(doomed)
            else:
                path.unlink()
        except (FileNotFoundError, NotADirectoryError):
            return


def _no_product(path: Path) -> StorageError:
    return StorageError(
        f"{hashing.shown(path)}: not published: it is a link or a device; expected a file or folder"
    )


def _tree(path: Path, mode: int) -> Iterator[Path]:
    if not stat.S_ISDIR(mode):
        raise ValueError(f"{path} is a link or a device")
    return hashing.walk(path)


def _everything(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        yield from (Path(root, name) for name in (*folders, *files))


def _copy_tree(source: Path, target: Path, progress: Progress) -> None:
    try:
        files = list(hashing.walk(source))
    except ValueError as error:
        raise StorageError(f"not published: {error}") from error
    target.mkdir()
    folders = sorted(Path(root) for root, _, _ in os.walk(source))
    for folder in folders[1:]:
        with _naming(folder, in_new_folder=True):
            (target / folder.relative_to(source)).mkdir()
    for file in files:
        _copy_file(file, target / file.relative_to(source), progress, in_new_folder=True)
    for folder in reversed(folders):
        made = target / folder.relative_to(source)
        _keep_times(folder.stat(), made)
        flush(made)


def _copy_file(source: Path, target: Path, progress: Progress, *, in_new_folder: bool = False) -> None:
    reading = os.open(
        source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    )  # a pipe must not block
    with open(reading, "rb", buffering=0) as file:  # noqa: PTH123  O_NOFOLLOW
        if not stat.S_ISREG(os.fstat(reading).st_mode):
            raise _no_product(source)
        with _naming(source, in_new_folder=in_new_folder):
            faults.point("transfer.create")
            copy = target.open("xb", buffering=0)
        with copy:
            buffer = bytearray(_BUFFER)
            view = memoryview(buffer)
            while count := file.readinto(buffer):
                _write_all(copy.write, view[:count])
                faults.point("publish.bytes")
                progress(count)
            _keep_times(os.fstat(reading), target)
            os.fsync(copy.fileno())


@contextmanager
def _naming(path: Path, *, in_new_folder: bool = False) -> Iterator[None]:
    """Tell of a name that the archive's file system cannot hold, which no further attempt would mend."""
    try:
        yield
    except OSError as error:
        if error.errno in _BAD_NAME:
            raise StorageError(
                f"{hashing.shown(path)}: not published: the archive cannot hold this name: {error.strerror}; "
                "give it another, or use an archive on another file system"
            ) from error
        if error.errno == errno.EEXIST and in_new_folder:
            raise StorageError(
                f"{hashing.shown(path)}: not published: the archive takes this name for that of another file, "
                "as where upper and lower case are the same; give it another, or use an archive on another file system"
            ) from error
        raise


def _write_all(write: Callable[[memoryview], int | None], content: memoryview) -> None:
    while content:
        content = content[write(content) or 0 :]


def _keep_times(status: os.stat_result, path: Path) -> None:
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _read_back(base: Path, file: Path, progress: Progress) -> hashing.Entry:
    _forget(file)
    name = file.relative_to(base).as_posix()
    return hashing.Entry(name, file.lstat().st_size, hashing.file_sha256(file, progress))


def _forget(file: Path) -> None:
    """Ask the system to drop a file from memory, so that reading it reads the disk; a hint."""
    if not hasattr(os, "posix_fadvise"):
        return
    number = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.posix_fadvise(number, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(number)
