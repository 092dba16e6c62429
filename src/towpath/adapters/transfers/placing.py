"""Placing without replacing: a link, a rename that refuses, and what stands in for them where a system has neither.

Promises that what is at the target stays as it is. Never copies bytes.
"""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

from towpath.base import faults
from towpath.base.renaming import UNSUPPORTED, renameat2

_TAKEN = {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR}
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
_HOLE = b"towpath places a file here: "


def place_file(temporary: Path, target: Path) -> bool:
    """Give a file its place, if nothing is there: linked, and its temporary name taken away."""
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


def place_folder(temporary: Path, target: Path) -> bool:
    """Give a folder its place, if nothing is there, or by a plain rename nothing but an empty folder."""
    return _rename_new(temporary, target, _rename_plainly)


def _rename_new(temporary: Path, target: Path, otherwise: Callable[[Path, Path], bool]) -> bool:
    try:
        faults.point("transfer.rename")
        renameat2(str(temporary), str(target))
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        if error.errno in UNSUPPORTED:
            return otherwise(temporary, target)
        raise
    return True


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
    """A file, where there are no links and no such rename: take the name with a note of ours, then rename over it.

    A crash between the two leaves the note, by which the next attempt knows that it may remove it.
    """
    try:
        with target.open("xb") as file:
            file.write(_HOLE + os.fsencode(temporary.name))
    except FileExistsError:
        return False
    faults.point("transfer.hole")
    temporary.rename(target)
    return True


def held_for(target: Path) -> str:
    """The name of the temporary for which a note of ours holds this place; "" if none does."""
    try:
        status = target.lstat()
        if not stat.S_ISREG(status.st_mode) or not len(_HOLE) < status.st_size < 256:
            return ""
        content = target.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    return os.fsdecode(content.removeprefix(_HOLE)) if content.startswith(_HOLE) else ""
