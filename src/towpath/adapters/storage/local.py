"""Named roots on local or mounted disks: where a product is, what is there now, and its removal.

Promises that no path leaves its root, links followed, and that nothing outside the roots is ever removed.
Never writes a product.
"""

import os
import shutil
import stat
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from towpath.base import hashing
from towpath.base.errors import NotFoundError, StorageError, TowpathError
from towpath.contracts.storage import Said


class LocalStorage:
    """Files below named roots (contracts.storage.Storage).

    Parameters
    ----------
    places
        Root name → absolute folder. It is looked up at each call, so that a root that moves is moved at once.
    """

    def __init__(self, places: Mapping[str, str | Path]) -> None:
        self.places = places

    def path(self, root: str, relative: str) -> Path:
        """The absolute path. Raises `StorageError` if it leaves the root after links are followed."""
        path = self._written(root, relative)
        self._contain(root, self._place(root), path)
        return Path(path)

    def _written(self, root: str, relative: str) -> str:
        """The absolute path as it is written; links are not followed."""
        place = self._place(root)
        if (
            not relative
            or relative[0] == "/"
            or "\0" in relative
            or (".." in relative and ".." in relative.split("/"))
        ):
            raise StorageError(
                f"root {root!r}: found the path {relative!r}; expected one below {place}, without '..'"
            )
        return f"{place}/{relative}"

    def relative(self, root: str, path: Path) -> str:
        """The path relative to its root, with `/`. Raises `StorageError` if it lies elsewhere."""
        place = self._place(root)
        written, real = os.path.normpath(path), os.path.realpath(path.parent)
        self._contain(root, place, written)
        for base, whole in ((place, written), (os.path.realpath(place), f"{real}/{path.name}")):
            if whole.startswith(f"{base}/"):
                return whole[len(base) + 1 :]
        raise StorageError(f"{path} does not lie below root {root!r} ({place})")

    def stat(self, root: str, relative: str, tree: bool) -> tuple[int, int] | None:
        """Size in bytes and mtime in ns of a file or tree, None if there is none. Never reads content.

        Where a tree is expected and something else is found, or the reverse, that is what is measured: it will
        differ from what the catalog says. Links on the way are not judged: size and time give nothing away.
        """
        path = self._written(root, relative)
        try:
            status = os.lstat(path)
            if tree and stat.S_ISDIR(status.st_mode):
                return _tree_stat(path, status.st_mtime_ns)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StorageError(f"{path}: cannot be looked at: {error.strerror}") from error
        return status.st_size, status.st_mtime_ns

    def unlike(self, said: Iterable[Said]) -> set[int]:
        """The products whose place is not as said by stat, or cannot be looked at. Never reads content, never raises."""
        found = set()
        for product, root, path, size, mtime_ns, tree, _ in said:
            try:
                if self.stat(root, path, tree) != (size, mtime_ns):
                    found.add(product)
            except (OSError, TowpathError):
                found.add(product)
        return found

    def content(
        self, root: str, relative: str, progress: Callable[[int], None] | None = None
    ) -> hashing.Content:
        """Size, mtime and sha256; `progress` gets the bytes of each chunk read.

        Raises `FileNotFoundError`, and `StorageError` for what cannot be read.
        """
        path = self.path(root, relative)
        try:
            return hashing.content(path, progress)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StorageError(f"{path}: cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise StorageError(str(error)) from error

    def remove(self, path: Path) -> None:
        """Delete a file or tree; nothing there is no error. A link goes, what it points at stays."""
        place = f"{os.path.realpath(path.parent)}/{path.name}"
        if path.name in ("", "..") or not any(
            _below(place, os.path.realpath(base)) for base in self.places.values()
        ):
            raise StorageError(
                f"{path}: not removed: it lies below none of the roots {', '.join(self.places)}"
            )
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except FileNotFoundError:
            if os.path.lexists(path):
                self.remove(path)  # part of it went while it was removed
        except NotADirectoryError:
            return
        except OSError as error:
            raise StorageError(f"{path}: cannot be removed: {error.strerror}") from error

    def _place(self, root: str) -> str:
        try:
            return _normal(self.places[root])
        except KeyError:
            raise NotFoundError(
                f"no root {root!r}; the roots are {', '.join(self.places) or 'none'}"
            ) from None

    def _contain(self, root: str, place: str, path: str) -> None:
        real = os.path.realpath(path)
        if not _below(real, os.path.realpath(place)):
            raise StorageError(f"{path} leaves root {root!r} ({place}): links followed, it is {real}")


@lru_cache
def _normal(place: str | Path) -> str:
    """A site has few roots, and they are asked for with each path."""
    return os.path.normpath(place)


def _below(path: str, place: str) -> bool:
    return path.startswith(place.rstrip("/") + "/")


def _tree_stat(folder: str, newest: int) -> tuple[int, int]:
    total, folders = 0, [folder]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                newest = max(newest, status.st_mtime_ns)
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    total += status.st_size
    return total, newest
