"""Keeping a site's catalog: backup, restore, and what follows from a restore.

Promises that nothing is replaced while the site runs, that what a restore replaces is kept, and that after it no token is
given again which lies on disk. Decides nothing about products.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from towpath.adapters.catalog import backups
from towpath.adapters.catalog.sqlite import SqliteCatalog, migrate
from towpath.app.session import is_free
from towpath.app.settings import Settings
from towpath.app.wiring import STATE
from towpath.base import clock
from towpath.base.errors import SiteError, StateError
from towpath.contracts.catalog import Catalog, View
from towpath.flow import newer, reconcile

Progress = Callable[[int, int], None]  # done, in all

LOGS = "logs"


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did: where the former catalog is ("" if there was none), the backup's last event, the token floor."""

    catalog: str
    kept: str
    until: float | None
    floor: int


def file_of(url: str) -> Path | None:
    """The file of an SQLite catalog's URL; None for another one."""
    scheme, _, file = url.partition(":///")
    return Path(file) if scheme == "sqlite" else None


def back_up(settings: Settings, target: Path, progress: Progress | None = None) -> None:
    """Write a backup of the catalog to a file, also while the site runs.

    Raises
    ------
    StateError
        If there is something at `target`.
    SiteError
        If the catalog cannot be read.
    """
    backups.back_up(_file(settings), target, progress)


def restore(
    settings: Settings, backup: Path, *, replace: bool = False, progress: Progress | None = None
) -> Restored:
    """Put a backup in place of the catalog.

    Parameters
    ----------
    backup
        A file that `back_up` made.
    replace
        Whether a catalog that is there may be replaced; it is kept beside.

    Raises
    ------
    StateError
        If the site runs, or there is a catalog and `replace` is not given.
    SiteError
        If the backup is not whole, or made by a newer Towpath.
    """
    catalog = _file(settings)
    until = backups.latest(backup) if backups.check(backup) else None
    kept = catalog.with_name(f"{catalog.name}.before-restore-{clock.text(clock.now()).replace(':', '')}")
    if catalog.exists() and not replace:
        raise StateError(
            f"there is a catalog at {catalog}; --replace puts the backup in its place and keeps it as {kept.name}"
        )
    former = _former(catalog)
    catalog.parent.mkdir(parents=True, exist_ok=True)
    with backups.part_of(catalog) as part:
        backups.copy(backup, part, progress)
        migrate(part)
        with closing(SqliteCatalog(part)) as restored:
            floor = max(former, bring_back(settings, restored))
        backups.settle(part)
        was_there = backups.put_in_place(part, catalog, kept)
    return Restored(settings.catalog_url, str(kept) if was_there else "", until, floor)


def bring_back(settings: Settings, catalog: Catalog, floor: int = 0) -> int:
    """Say to a catalog that it was restored: no token that lies on disk is given again; returns the highest of them."""
    with catalog.read() as view:
        names = list(_names(settings, view))
    highest = max(floor, newer.highest(names))
    catalog.write(lambda tx: tx.bring_back(highest))
    return highest


def _names(settings: Settings, view: View) -> Iterator[str]:
    """The names of all places in the store, where it is now and where the catalog has it, and of the logs of runs."""
    rows = view.roots()
    places = {
        Path(settings.roots["store"]),
        *(Path(row.place) for name, row in rows.items() if name == "store"),
    }
    for place in places:
        yield from (path.name for path in reconcile.unknown(place, {}))
    yield from (path.name for path in (settings.folder / STATE / LOGS).glob("*/*.log"))


def refuse_running(view: View) -> None:
    """Raise `StateError` if a process of the site lives."""
    host = socket.gethostname()
    alive = [
        f"process {pid} on {where}"
        for _, where, pid, lock, _ in view.sessions()
        if where != host or not is_free(Path(lock))
    ]
    if alive:
        raise StateError(f"the site is running: {', '.join(alive)}; end it first")


def _former(catalog: Path) -> int:
    """The highest token of the catalog that is to be replaced, 0 if it can no longer be read; refuses if it is in use."""
    if not catalog.exists():
        return 0
    try:
        backups.check(catalog)
        with closing(SqliteCatalog(catalog)) as former, former.read() as view:
            refuse_running(view)
            return view.highest_token()
    except SiteError:
        return 0


def _file(settings: Settings) -> Path:
    file = file_of(settings.catalog_url)
    if file is None:
        raise SiteError(f"site.catalog: found {settings.catalog_url}; expected sqlite:///FILE")
    return file.absolute()
