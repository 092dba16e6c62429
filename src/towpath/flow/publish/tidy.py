"""Temporaries that nobody will come back for: of publications that were given up, and of late workers that were killed.

Promises to remove only what this site's own journal accounts for, and nothing of work that runs.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from towpath.base.errors import StorageError
from towpath.base.states import Work
from towpath.contracts.catalog import Catalog, PublicationRow
from towpath.contracts.storage import Storage
from towpath.contracts.transfer import Transfer
from towpath.flow.publish.rows import publications

log = logging.getLogger(__name__)


def tidy(catalog: Catalog, storage: Storage, transfers: Mapping[str, Transfer]) -> int:
    """Remove temporaries beside the places of all publications; returns how many. An archive that is away is left."""
    removed = 0
    for (archive, folder), rows in _folders(catalog, storage).items():
        if archive in transfers:
            try:
                removed += _tidy(catalog, transfers[archive], folder, rows)
            except OSError as error:
                log.warning("temporaries stay", extra={"path": str(folder), "reason": str(error)})
    return removed


def _folders(
    catalog: Catalog, storage: Storage
) -> dict[tuple[str, Path], dict[int, tuple[PublicationRow, Path]]]:
    """The journal by archive and folder of the place."""
    found: dict[tuple[str, Path], dict[int, tuple[PublicationRow, Path]]] = defaultdict(dict)
    with catalog.read() as view:
        rows = publications(view, 0)
    for row in rows:
        try:
            target = storage.path(row.archive, row.target)
        except StorageError:  # a link leads out of the archive now: nothing of ours is behind it
            continue
        found[row.archive, target.parent][row.id] = row, target
    return found


def _tidy(
    catalog: Catalog, transfer: Transfer, folder: Path, rows: Mapping[int, tuple[PublicationRow, Path]]
) -> int:
    removed = 0
    for number in transfer.strays(folder) & rows.keys():
        row, target = rows[number]
        for path in _leftovers(catalog, transfer, row, target):
            transfer.remove(path)
            removed += 1
    return removed


def _leftovers(catalog: Catalog, transfer: Transfer, row: PublicationRow, target: Path) -> Iterator[Path]:
    """What attempts up to the last left; of work that runs, what those before it left."""
    with catalog.read() as view:
        work = view.work_row(row.work)
    last = work.token - 1 if work.state is Work.RUNNING else work.token
    yield from transfer.leftovers(target, row.id, last)
