"""Copies to an archive on a local or mounted disk: beside the target, flushed, read back, renamed without replacing.

Promises that a target is never overwritten and is either whole or not there, also after a power cut. Never follows a
symbolic link, and never touches the source.
"""

import ctypes
import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from towpath.base import faults, hashing
from towpath.base.errors import StorageError
from towpath.contracts.transfer import Progress

_BUFFER = 1 << 22
_AT_FDCWD = -100
_NOREPLACE = 1
_TAKEN = {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR}
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP}
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}


class LocalTransfer:
    """Transfer to a folder of this machine (contracts.transfer.Transfer)."""

    def temporary(self, target: Path, publication: int, token: int) -> Path:
        """The temporary place beside the target.

        The mark of the target keeps two sites that publish into one folder apart: their numbers may be equal.
        """
        return target.parent / f".{publication}.{token}.{_mark(target)}"

    def leftovers(self, target: Path, publication: int, token: int) -> list[Path]:
        """Temporary places of this attempt and of those before it, half removed ones included."""
        ours = re.compile(rf"\.{publication}\.(\d+)\.{_mark(target)}(\.[0-9a-f]+\.trash)?\Z")
        try:
            with os.scandir(target.parent) as entries:
                found = [(ours.match(entry.name), entry.path) for entry in entries]
        except FileNotFoundError:
            return []
        return [Path(path) for match, path in found if match and int(match[1]) <= token]

    def prepare(self, root: Path, folder: Path) -> None:
        """Make a folder below the archive's root, and its parents, each flushed into the one that holds it.

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
                place.mkdir(exist_ok=True)
                _flush_folder(place.parent)

    def copy(self, source: Path, temporary: Path, progress: Progress) -> None:
        """Copy a file or folder to a new place, flushed to disk, times kept.

        Raises
        ------
        StorageError
            If the source is or holds a symbolic link, or anything but files and folders.
        OSError
            If the disk is full, gone or not writable, or something is at `temporary`.
        """
        mode = source.lstat().st_mode
        if stat.S_ISDIR(mode):
            _copy_tree(source, temporary, progress)
        elif stat.S_ISREG(mode):
            _copy_file(source, temporary, progress)
        else:
            raise StorageError(
                f"{source}: not published: it is a link or a device; expected a file or folder"
            )
        _flush_folder(temporary.parent)

    def write(self, path: Path, content: bytes) -> None:
        """Write a small new file, flushed to disk."""
        with path.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _flush_folder(path.parent)

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

    def stamp(self, path: Path) -> tuple[object, ...] | None:
        """Inode, size and mtime of each file: a rename keeps them, a write does not."""
        if not os.path.lexists(path):
            return None
        rows = []
        for file in [path] if not path.is_dir() or path.is_symlink() else _everything(path):
            status = file.lstat()
            name = file.relative_to(path).as_posix()
            rows.append((name, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))
        return tuple(sorted(rows))

    def place(self, temporary: Path, target: Path) -> bool:
        """Rename into place without replacing anything; False if the target is there already.

        A file is linked (which never replaces) and its temporary name taken away. A folder is renamed with
        RENAME_NOREPLACE; where the system has no such rename a plain one, which POSIX lets replace nothing but an
        empty folder.
        """
        placed = _place_folder(temporary, target) if temporary.is_dir() else _place_file(temporary, target)
        if placed:
            _flush_folder(target.parent)
        return placed

    def remove(self, path: Path) -> None:
        """Remove a temporary; a folder is first renamed, so that it cannot be placed while it is half gone."""
        faults.point("publish.remove")
        try:
            if path.is_dir() and not path.is_symlink():
                doomed = path.with_name(f"{path.name}.{secrets.token_hex(4)}.trash")
                path.rename(doomed)
                faults.point("publish.trash")
                shutil.rmtree(doomed)
            else:
                path.unlink()
        except (FileNotFoundError, NotADirectoryError):
            return


def _tree(path: Path, mode: int) -> Iterator[Path]:
    if not stat.S_ISDIR(mode):
        raise ValueError(f"{path} is a link or a device")
    return hashing.walk(path)


def _mark(target: Path) -> str:
    return hashlib.sha256(os.fsencode(target)).hexdigest()[:12]


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
        (target / folder.relative_to(source)).mkdir()
    for file in files:
        _copy_file(file, target / file.relative_to(source), progress)
    for folder in reversed(folders):
        made = target / folder.relative_to(source)
        _keep_times(folder.stat(), made)
        _flush_folder(made)


def _copy_file(source: Path, target: Path, progress: Progress) -> None:
    reading = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(reading, "rb", buffering=0) as file, target.open("xb", buffering=0) as copy:  # noqa: PTH123  O_NOFOLLOW
        buffer = bytearray(_BUFFER)
        view = memoryview(buffer)
        while count := file.readinto(buffer):
            _write_all(copy.write, view[:count])
            faults.point("publish.bytes")
            progress(count)
        _keep_times(os.fstat(reading), target)
        os.fsync(copy.fileno())


def _write_all(write: Callable[[memoryview], int | None], content: memoryview) -> None:
    while content:
        content = content[write(content) or 0 :]


def _keep_times(status: os.stat_result, path: Path) -> None:
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _flush_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:  # some mounted file systems cannot flush a folder
            raise
    finally:
        os.close(number)


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


# ---- placing without replacing


def _place_file(temporary: Path, target: Path) -> bool:
    try:
        faults.point("transfer.link")
        os.link(temporary, target, follow_symlinks=False)
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        if error.errno not in _NO_LINKS:
            raise
        return _rename_new(temporary, target, _rename_into_hole)
    faults.point("publish.link")
    temporary.unlink()
    return True


def _place_folder(temporary: Path, target: Path) -> bool:
    return _rename_new(temporary, target, _rename_plainly)


def _rename_new(temporary: Path, target: Path, otherwise: Callable[[Path, Path], bool]) -> bool:
    try:
        faults.point("transfer.rename")
        _renameat2(temporary, target)
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        if error.errno in _UNSUPPORTED:
            return otherwise(temporary, target)
        raise
    return True


def _renameat2(temporary: Path, target: Path) -> None:
    """Rename without replacing. Raises OSError, with ENOSYS where the C library has no such call."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    names = (_AT_FDCWD, os.fsencode(temporary), _AT_FDCWD, os.fsencode(target))
    if call is None or call(*names, ctypes.c_uint(_NOREPLACE)) != 0:
        failure = errno.ENOSYS if call is None else ctypes.get_errno()
        raise OSError(failure, os.strerror(failure), str(temporary), None, str(target))


def _rename_plainly(temporary: Path, target: Path) -> bool:
    """A folder's plain rename: it fails on a file and on a folder that holds something."""
    try:
        temporary.rename(target)
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        raise
    return True


def _rename_into_hole(temporary: Path, target: Path) -> bool:
    """A file, where there are no links and no such rename: take the name with an empty file, then rename over it.

    A crash between the two leaves the empty file; the publication is then in conflict until a person removes it.
    """
    try:
        target.open("xb").close()
    except FileExistsError:
        return False
    faults.point("transfer.hole")
    temporary.rename(target)
    return True
