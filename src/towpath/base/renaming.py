"""A rename that never replaces: the system's call for it, and what stands in where there is none."""

import ctypes
import errno
import os
import stat

_HERE = -100  # AT_FDCWD
_NOREPLACE = 1
# What a system or file system that has no such call answers.
UNSUPPORTED = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP})
_libc = ctypes.CDLL(None, use_errno=True)


def renameat2(source: str, target: str) -> None:
    """Rename a file or folder by the system's call alone.

    Raises
    ------
    FileExistsError
        If there is something at `target`.
    OSError
        With a code of `UNSUPPORTED` where there is no such call.
    """
    try:
        failed = _libc.renameat2(_HERE, os.fsencode(source), _HERE, os.fsencode(target), _NOREPLACE)
    except AttributeError:  # not this C library
        failed, code = -1, errno.ENOSYS
    else:
        code = ctypes.get_errno() if failed else 0
    if failed:
        raise OSError(code, os.strerror(code), source, None, target)


def rename_new(source: str, target: str) -> None:
    """Rename a file or folder within one file system to a place where there must be nothing.

    Where there is no call for it, a file goes by a link and a folder by a look and a plain rename.

    Raises
    ------
    FileExistsError
        If there is something at `target`.
    """
    try:
        renameat2(source, target)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        _rename_by_hand(source, target)


def _rename_by_hand(source: str, target: str) -> None:
    if stat.S_ISREG(os.lstat(source).st_mode):
        os.link(source, target)
        os.unlink(source)  # noqa: PTH108  plain str, hot path
        return
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), source, None, target)
    os.rename(source, target)  # noqa: PTH104  plain str, hot path
