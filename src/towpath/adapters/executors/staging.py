"""Where a run writes until it is complete: under a leading dot beside its final place, then one rename.

A lone output is `<place>.<token>.<file>`, several are files of the folder `<place>.<token>`. Nothing is ever replaced,
and what a run that did not succeed wrote is removed.
"""

import contextlib
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from towpath.base import faults
from towpath.base.flushing import above, flush
from towpath.base.hashing import Content, content, file_sha256
from towpath.base.renaming import rename_new
from towpath.contracts.executor import Output


def remove(path: str) -> None:
    """Delete a file or tree; nothing there is no error."""
    try:
        os.unlink(path)  # noqa: PTH108  plain str, hot path
    except (IsADirectoryError, PermissionError):  # the second is what some systems say of a folder
        shutil.rmtree(path, ignore_errors=True)
    except (FileNotFoundError, NotADirectoryError):
        pass


def clear(place: str, token: int) -> None:
    """Remove whatever attempt `token` left in staging, when its process can no longer do so."""
    parent, _, slug = place.rpartition("/")
    begin = f".{slug}.{token}"
    try:
        left = [entry.path for entry in os.scandir(parent) if entry.name.startswith(begin)]
    except OSError:
        return
    for path in left:
        if path.removeprefix(f"{parent}/{begin}")[:1] in ("", "."):
            remove(path)


def seal(path: str) -> Content | None:
    """What is at `path`, hashed; None if there is nothing."""
    try:
        status = os.lstat(path)
        if stat.S_ISREG(status.st_mode):
            return Content(status.st_size, status.st_mtime_ns, file_sha256(path))
        return content(Path(path))
    except FileNotFoundError:
        return None


def _sync_tree(path: str) -> None:
    for root, _, files in os.walk(path):
        for name in files:
            flush(f"{root}/{name}")
        flush(root)


class Folders:
    """The folders of the store that runs of one batch use: made where missing, flushed once for all renames.

    Parameters
    ----------
    below
        The store, below which all is flushed; nothing is by default.
    """

    def __init__(self, below: str = "") -> None:
        self._below = below.rstrip("/")
        self._known: set[str] = set()
        self._unsynced: set[str] = set()

    def ensure(self, folder: str) -> None:
        """Make the folder, unless it is known to be there."""
        if folder in self._known:
            return
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103  plain str, hot path
        if self._below:
            self._unsynced.update(above(folder, self._below))
        self._known.add(folder)

    @property
    def durable(self) -> bool:
        """Whether what is renamed is flushed."""
        return bool(self._below)

    def forget(self) -> None:
        """One of them is gone: each is looked for again."""
        self._known.clear()

    def changed(self, folder: str) -> None:
        """Something was renamed in it."""
        if self._below:
            self._unsynced.add(folder)

    def sync(self) -> None:
        """Flush all folders that changed since the last time, if the batch is durable, and those that hold them.

        Raises
        ------
        OSError
            If one cannot be flushed: it is tried again the next time, with those that were still to come.
        """
        while self._unsynced:
            folder = (
                self._unsynced.pop()
            )  # before it is flushed: what changes in it meanwhile puts it in again
            try:
                flush(folder)
            except OSError:
                self._unsynced.add(folder)
                raise


class Staging:
    """The staging of one run.

    Parameters
    ----------
    place
        The final place without ending, absolute.
    token
        The attempt.
    lone
        Whether the stage declares exactly one output.
    folders
        Shared by the runs of a batch.
    """

    __slots__ = (
        "_away",
        "_fd",
        "_folder",
        "_folders",
        "_lone",
        "_made",
        "_names",
        "_parent",
        "_prefix",
        "_scratch",
        "_target",
    )

    def __init__(self, place: str, token: int, lone: bool, folders: Folders) -> None:
        self._parent, _, slug = place.rpartition("/")
        self._prefix = f"{self._parent}/.{slug}.{token}"
        self._target = f"{place}.{token}"
        self._lone = lone
        self._folders = folders
        self._folder = self._away = False
        self._fd = -1  # the folder in which outputs are written, as it was when the first was opened
        self._scratch = ""
        self._names: dict[str, str] = {}
        self._made: dict[str, Content] = {}

    def open(self, output: str, filename: str) -> str:
        """The path at which `output` is to be written.

        Raises
        ------
        ValueError
            If the name leads elsewhere, or the output or name was used already.
        """
        if not filename or "/" in filename or "\0" in filename or filename in (".", ".."):
            raise ValueError(f"output {output}: {filename!r} is not a file name; give one without a folder")
        if output in self._names:
            raise ValueError(
                f"output {output} was opened before, as {self._names[output]}; an output is made once"
            )
        if filename in self._names.values():
            raise ValueError(f"output {output}: another output is named {filename}")
        self._prepare()
        self._names[output] = filename
        return f"{self._prefix}{'.' if self._lone else '/'}{filename}"

    def _prepare(self) -> None:
        """Make the folders in which outputs are written."""
        self._away = True  # until they are there
        faults.point("staging.open")
        self._folders.ensure(self._parent)
        if not self._lone and not self._folder:
            self._make_folder(self._prefix)
            self._folder = True
        if self._fd < 0:
            self._fd = os.open(self._prefix if self._folder else self._parent, os.O_RDONLY)
        self._away = False

    def _make_folder(self, path: str) -> None:
        try:
            os.mkdir(path)  # noqa: PTH102  plain str, hot path
        except FileExistsError:  # left by an attempt of a catalog that was restored since
            remove(path)
            os.mkdir(path)  # noqa: PTH102

    def close(self, output: str, path: str) -> None:
        """The output is written: hash it."""
        faults.point("staging.close")
        made = seal(path)
        if made is None:
            self._away = self.is_away()
            del self._names[output]
            return
        if self._folders.durable:
            _sync_tree(path) if made.tree else flush(path)
        self._made[output] = made

    def abandon(self, output: str, path: str) -> None:
        """Writing the output failed: it may be opened again."""
        self._away = self.is_away()
        del self._names[output]
        remove(path)

    @property
    def made(self) -> dict[str, Content]:
        """The outputs that are complete, with their content."""
        return self._made

    def path(self, output: str) -> str:
        """The final path of a complete output."""
        return f"{self._target}{'.' if self._lone else '/'}{self._names[output]}"

    def is_away(self) -> bool:
        """Whether the folder in which outputs are written could not be made, or is gone with what was written.

        Another run may have made it anew since: its name alone proves nothing.
        """
        if self._away or self._fd < 0:
            return self._away
        try:
            now = os.stat(self._prefix if self._folder else self._parent)  # noqa: PTH116  plain str, hot path
        except OSError:
            return True
        return not os.path.samestat(now, os.fstat(self._fd))

    def _release(self) -> None:
        if self._fd >= 0:
            with contextlib.suppress(OSError):  # user code closed it
                os.close(self._fd)
            self._fd = -1

    def scratch(self) -> str:
        """A folder for temporary files on the same file system, made on first use, gone after the run."""
        if not self._scratch:
            self._folders.ensure(self._parent)
            self._scratch = f"{self._prefix}.~scratch"
            self._make_folder(self._scratch)
        return self._scratch

    def finish(self) -> None:
        """One rename makes the outputs final.

        Raises
        ------
        ValueError
            If an output was changed after it was closed, is still open, or the folder holds what was not declared.
        FileExistsError
            If there is something at the place.
        """
        if self._scratch:
            remove(self._scratch)
        if not self._made:
            self.discard()
            return
        for output in self._names:
            self._check(output)
        faults.point("staging.rename")
        if self._lone:
            name = next(iter(self._names.values()))
            rename_new(f"{self._prefix}.{name}", f"{self._target}.{name}")
        else:
            extra = sorted(set(os.listdir(self._prefix)) - set(self._names.values()))  # noqa: PTH208
            if extra:
                raise ValueError(
                    f"files that are no declared output: {', '.join(extra)}; use context.scratch for them"
                )
            if self._folders.durable:
                flush(self._prefix)
            rename_new(self._prefix, self._target)
        self._release()
        faults.point("staging.renamed")
        self._folders.changed(self._parent)

    def _check(self, output: str) -> None:
        made = self._made.get(output)
        if made is None:
            raise ValueError(f"output {output} was opened and not closed; write it in a with block")
        if made.tree:
            return
        status = os.lstat(f"{self._prefix}{'.' if self._lone else '/'}{self._names[output]}")
        if status.st_mtime_ns != made.mtime_ns or status.st_size != made.size:
            raise ValueError(f"output {output} was changed after its with block ended")

    def discard(self) -> None:
        """Remove everything that was written."""
        self._release()
        if self._away:
            self._folders.forget()
        if self._scratch:
            remove(self._scratch)
        if self._lone:
            for name in self._names.values():
                remove(f"{self._prefix}.{name}")
        elif self._folder:
            remove(self._prefix)


def take_in(
    files: Mapping[str, Path],
    hashes: Mapping[str, str],
    place: str,
    token: int,
    lone: bool,
    *,
    flush_below: str,
) -> list[Output]:
    """Copy files from elsewhere to a place of the store, as the outputs of a run: hashed, one rename, nothing replaced.

    All is flushed to disk if `flush_below`, the store, is given.

    Raises
    ------
    ValueError
        If a file's sha256 (hexadecimal) is not what `hashes` says of it; nothing is left then.
    OSError
        If one cannot be copied, or is a link; nothing is left then.
    """
    folders = Folders(flush_below)
    staging = Staging(place, token, lone, folders)
    clear(place, token)
    try:
        for output, source in files.items():
            path = staging.open(output, source.name)
            _copy(source, path)
            staging.close(output, path)
            if staging.made[output].sha256.hex() != hashes[output]:
                raise ValueError(f"{source.name} is not what was verified")
        staging.finish()
    except BaseException:
        staging.discard()
        raise
    folders.sync()
    return [Output(output, staging.path(output), made) for output, made in staging.made.items()]


def _copy(source: Path, target: str) -> None:
    """Copy the bytes of a file; a link is not followed."""
    with os.fdopen(os.open(source, os.O_RDONLY | os.O_NOFOLLOW), "rb") as read, open(target, "xb") as written:  # noqa: PTH123
        shutil.copyfileobj(read, written, 1 << 20)
