"""Flushing to disk: what a file or folder holds, and that a folder is where it is."""

import os

from towpath.base.renaming import UNSUPPORTED


def flush(path: str | os.PathLike[str]) -> None:
    """Flush a file's bytes, or a folder's names, to disk; some mounted file systems cannot flush a folder.

    Raises
    ------
    OSError
        If it is not there or may not be read, or the disk fails.
    """
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    finally:
        os.close(number)


def above(folder: str, root: str) -> list[str]:
    """The folders whose names lead from `root` to `folder`, from the nearest to `root` itself.

    All of them are to be flushed before anything in `folder` counts: that a folder is there does not say that
    whoever made it came to flushing it.
    """
    found = []
    while len(folder) > len(root):
        folder = os.path.dirname(folder)  # noqa: PTH120  plain str, hot path
        found.append(folder)
    return found
