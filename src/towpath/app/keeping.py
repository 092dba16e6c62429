"""Keeping a site's catalog: backup, restore, and what follows from a restore.

Promises that nothing is replaced while the site runs, that what a restore replaces is kept, and that after it no token is
given again which lies on disk. Decides nothing about products.
"""

import re
import socket
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from towpath.adapters.catalog import backups
from towpath.adapters.catalog.sqlite import SqliteCatalog, migrate
from towpath.app.catalogs import file_of, open_catalog
from towpath.app.session import is_free, machine
from towpath.app.settings import Settings, masked
from towpath.app.wiring import STATE
from towpath.base import clock
from towpath.base.errors import NotFoundError, SiteError, StateError
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


def problems(settings: Settings) -> tuple[list[str], int]:
    """What is wrong with the catalog's file or tables, and its size in bytes."""
    file = file_of(settings)
    if file is not None:
        return backups.problems(file.absolute()), file.stat().st_size
    found: list[str] = _dumps().problems(settings.catalog_url, settings.site.catalog_schema)
    with closing(open_catalog(settings)) as catalog, catalog.read() as view:
        return found, view.sizes()["bytes"]


def back_up(settings: Settings, target: Path, progress: Progress | None = None) -> None:
    """Write a backup of the catalog to a file, also while the site runs.

    Raises
    ------
    StateError
        If there is something at `target`.
    SiteError
        If the catalog cannot be read, or PostgreSQL's programs are missing.
    """
    file = file_of(settings)
    if file is not None:
        backups.back_up(file.absolute(), target, progress)
    else:
        _dumps().back_up(settings.catalog_url, settings.site.catalog_schema, target)


def restore(
    settings: Settings,
    backup: Path,
    *,
    replace: bool = False,
    gone: Sequence[str] = (),
    progress: Progress | None = None,
) -> Restored:
    """Put a backup in place of the catalog.

    Parameters
    ----------
    backup
        A file that `back_up` made, of the same kind of catalog.
    replace
        Whether a catalog that is there may be replaced; it is kept beside.
    gone
        Names of hosts that are gone for good: their sessions do not count as running.

    Raises
    ------
    StateError
        If the site runs, or there is a catalog and `replace` is not given.
    SiteError
        If the backup is not whole, or made by a newer Towpath.
    """
    if not backup.is_file():
        raise NotFoundError(f"there is no backup at {backup}")
    stamp = clock.text(clock.now())
    if file_of(settings) is not None:
        return _restore_file(settings, backup, replace, stamp.replace(":", ""), progress)
    return _restore_schema(settings, backup, replace, gone, stamp)


def bring_back(settings: Settings, catalog: Catalog, floor: int = 0) -> int:
    """Say to a catalog that it was restored: no token that lies on disk is given again; returns the highest of them."""
    with catalog.read() as view:
        highest = max(floor, _highest(settings, view))
    catalog.write(lambda tx: tx.bring_back(highest))
    return highest


def refuse_running(settings: Settings, view: View, gone: Sequence[str] = ()) -> list[int]:
    """Raise `StateError` if a process of the site lives; returns the sessions of those that do not any more.

    An SQLite site is one machine's, whatever that is called.
    """
    is_local = file_of(settings) is not None
    known = view.processes()
    alive = [
        (pid, host, is_local or _is_ours(host, lock))
        for _, host, pid, lock, _ in known
        if not (is_free(Path(lock)) and (is_local or host in gone or _is_ours(host, lock)))
    ]
    if alive:
        told = ", ".join(dict.fromkeys(f"process {pid} on {host}" for pid, host, _ in alive))
        others = sorted({host for _, host, is_ours in alive if not is_ours})
        hint = f"; if {others[0]} is gone for good: --gone {others[0]}" if others else ""
        raise StateError(f"the site is running: {told}; end it first{hint}")
    return [number for number, *_ in known]


def _is_ours(host: str, lock: str) -> bool:
    """Whether a session's lock can be looked at from this machine."""
    return host == socket.gethostname() and Path(lock).name.startswith(f"{machine()}-")


def _highest(settings: Settings, view: View | None) -> int:
    """The highest token in the names of places in the store, where it is now and where the catalog has it, and of logs."""
    places = {Path(settings.roots["store"])}
    if view is not None:
        places |= {Path(row.place) for name, row in view.roots().items() if name == "store"}
    names = [path.name for place in places for path in reconcile.unknown(place, {})]
    names += [path.name for path in (settings.folder / STATE / LOGS).glob("*/*.log")]
    return newer.highest(names)


# ---- SQLite
def _restore_file(
    settings: Settings, backup: Path, replace: bool, stamp: str, progress: Progress | None
) -> Restored:
    file = file_of(settings)
    assert file is not None
    catalog = file.absolute()
    backups.check(backup)
    kept = catalog.with_name(f"{catalog.name}.before-restore-{stamp}")
    if catalog.exists() and not replace:
        raise StateError(
            f"there is a catalog at {catalog}; --replace puts the backup in its place and keeps it as {kept.name}"
        )
    former = _former(settings, catalog)
    catalog.parent.mkdir(parents=True, exist_ok=True)
    with backups.part_of(catalog) as part:
        backups.copy(backup, part, progress)
        migrate(part)
        with closing(SqliteCatalog(part)) as restored:
            floor = bring_back(settings, restored, former)
        backups.settle(part)
        was_there = backups.put_in_place(part, catalog, kept)
    return Restored(settings.catalog_url, str(kept) if was_there else "", backups.latest(backup), floor)


def _former(settings: Settings, catalog: Path) -> int:
    """The highest token of the catalog that is to be replaced, 0 if it can no longer be read; refuses if it is in use."""
    if not catalog.exists():
        return 0
    try:
        backups.check(catalog)
        with closing(SqliteCatalog(catalog)) as former, former.read() as view:
            refuse_running(settings, view)
            return view.highest_token()
    except SiteError:
        return 0


# ---- PostgreSQL
def index_places(settings: Settings) -> None:
    """Build the index on footprints where the database has got PostGIS since the catalog was made."""
    if file_of(settings) is None:
        _dumps().index_places(settings.catalog_url, settings.site.catalog_schema)


def _dumps() -> Any:
    try:
        from towpath.adapters.catalog import dumps  # optional: psycopg is an extra
    except ImportError as error:
        raise SiteError(f"PostgreSQL needs psycopg ({error}): pip install 'towpath[postgres]'") from error
    return dumps


def _restore_schema(
    settings: Settings, backup: Path, replace: bool, gone: Sequence[str], stamp: str
) -> Restored:
    dumps, url, schema = _dumps(), settings.catalog_url, settings.site.catalog_schema
    dumps.check(backup)
    kept = f"{schema[:36]}_before_{re.sub('[^0-9]', '', stamp)}"
    former, ended, is_there = 0, [], dumps.holds_catalog(url, schema)
    if is_there and not replace:
        raise StateError(
            f"there is a catalog in the schema {schema!r}; --replace puts the backup in its place and keeps it as {kept!r}"
        )
    if is_there:
        with closing(open_catalog(settings)) as catalog, catalog.read() as view:
            ended = refuse_running(settings, view, gone)
            former = max(view.highest_token(), _highest(settings, view))
    floor = max(former, _highest(settings, None))
    until = dumps.restore(url, schema, backup, kept=kept, floor=floor, ended=ended)
    with closing(open_catalog(settings)) as catalog:
        floor = bring_back(settings, catalog, former)
    return Restored(str(masked("", url)), kept if is_there else "", until, floor)
