"""Retain: what is kept for how long. Products that were superseded or let go leave by way of the trash; events and logs go.

Promises short transactions, that nothing is taken from under a run that may read it, that pins hold, and that runs, which
are the provenance of products, are never deleted. A kill at any instant leaves at most bytes without a row: orphans.
"""

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from towpath.base import faults, ids
from towpath.base.errors import StorageError
from towpath.contracts.catalog import Catalog
from towpath.contracts.storage import Storage

log = logging.getLogger(__name__)

PRODUCTS = 200  # at most in one transaction
EVENTS = 5_000


@dataclass(frozen=True, slots=True)
class Policy:
    """For how many seconds things are kept; None: always.

    `superseded` products go to the trash, what is in `trash` is deleted; `events` and `logs` are deleted.
    """

    superseded: float | None = None
    trash: float | None = None
    events: float | None = None
    logs: float | None = None


def prune(
    catalog: Catalog,
    storage: Storage,
    logs: Path,
    policy: Policy,
    *,
    go_on: Callable[[], bool] = lambda: True,
) -> dict[str, int]:
    """Apply a policy, step by step while `go_on` says so; returns how many of each left, and the bytes of products."""
    with catalog.read() as view:
        now, oldest = view.now(), view.oldest_running()
    told = {"let_go": let_go(catalog, go_on), "trash": 0, "deleted": 0, "bytes": 0, "events": 0, "logs": 0}
    if policy.superseded is not None:
        told["trash"] = _to_trash(catalog, now - policy.superseded, oldest, go_on)
    if policy.trash is not None:
        told["deleted"], told["bytes"] = _delete(catalog, storage, policy.trash, go_on)
    if policy.events is not None:
        told["events"] = _events(catalog, now - policy.events, go_on)
    _answers(catalog, now - ANSWERS, go_on)
    if policy.logs is not None:
        told["logs"] = sum(1 for _ in prune_logs(catalog, logs, now - policy.logs, go_on))
    return told


def make_room(
    catalog: Catalog, storage: Storage, *, go_on: Callable[[], bool] = lambda: True
) -> dict[str, int]:
    """Let go at once what stages allow to, without a time in the trash; returns how many, and the bytes.

    What was superseded keeps its time: it cannot be made again.
    """
    count = let_go(catalog, go_on)
    deleted, size = _delete(catalog, storage, None, go_on)
    return {"let_go": count, "deleted": deleted, "bytes": size}


def let_go(catalog: Catalog, go_on: Callable[[], bool] = lambda: True) -> int:
    """What stages keep only until it was read, published or is of an age goes to the trash; returns how many."""
    while go_on() and catalog.write(lambda tx: tx.follow_keep()):
        pass
    with catalog.read() as view:
        before = view.now()
    count, looked = 0, PRODUCTS
    while looked == PRODUCTS and go_on():
        faults.point("keep.look")
        looked, shed = catalog.write(lambda tx: tx.let_go_of(before, limit=PRODUCTS))
        if shed:
            faults.point("keep.shed")
        count += shed
    return count


def _to_trash(catalog: Catalog, before: float, oldest: float | None, go_on: Callable[[], bool]) -> int:
    """What was superseded before any run that goes on began: work claimed from now on cannot read it."""
    count, step = 0, PRODUCTS
    while step == PRODUCTS and go_on():
        step = catalog.write(lambda tx: tx.to_trash(before, limit=PRODUCTS, oldest=oldest))
        count += step
    return count


def _delete(
    catalog: Catalog, storage: Storage, grace: float | None, go_on: Callable[[], bool]
) -> tuple[int, int]:
    """Rows first, so that a pin that comes in between is not a lie; bytes that stay are orphans, swept later.

    Without a `grace` only what was let go, at once.
    """
    count = size = 0
    with catalog.read() as view:
        now = view.now()
    before, shed = (now - grace, now - grace) if grace is not None else (-1.0, now)
    while go_on():
        with catalog.read() as view:
            step = len(view.trash(before, limit=PRODUCTS, shed_before=shed))
        if not step:
            break
        left = catalog.write(lambda tx: tx.leave_trash(before, limit=PRODUCTS, shed_before=shed))
        faults.point("keep.spent")
        for product in left:
            try:
                storage.remove(storage.path(product.root, product.path))
            except StorageError as error:
                log.error("not removed: %s", error)
            else:
                size += product.size
                faults.point("keep.removed")
        count += step
    return count, size


ANSWERS = 86400.0  # seconds for which an answer is kept for whoever asks for the same again


def _events(catalog: Catalog, before: float, go_on: Callable[[], bool]) -> int:
    count, step = 0, EVENTS
    while step == EVENTS and go_on():
        step = catalog.write(lambda tx: tx.prune_events(before, limit=EVENTS))
        count += step
    return count


def _answers(catalog: Catalog, before: float, go_on: Callable[[], bool]) -> None:
    """Forget answers to what was asked for under a key: nobody asks for the same again so late."""
    step = EVENTS
    while step == EVENTS and go_on():
        step = catalog.write(lambda tx: tx.drop_answers(before, limit=EVENTS))


# ---- logs


def prune_logs(
    catalog: Catalog,
    logs: Path,
    before: float,
    go_on: Callable[[], bool] = lambda: True,
    *,
    write: bool = True,
) -> Iterator[int]:
    """Delete logs of runs last written before a moment, but for those that a person may still need; yields their sizes.

    Without `write` nothing is deleted.
    """
    for folder in _folders(logs):
        if not go_on():
            return
        old = _old_logs(folder, before)
        with catalog.read() as view:
            needed = view.logs_needed(sorted({work for work, _ in old}))
        for run, (path, size) in old.items():
            if run not in needed:
                if write:
                    path.unlink(missing_ok=True)
                yield size
        if write and not old:
            _remove_empty(folder, before)


def _folders(logs: Path) -> list[Path]:
    try:
        return sorted(path for path in logs.iterdir() if path.is_dir())
    except FileNotFoundError:
        return []


def _old_logs(folder: Path, before: float) -> dict[tuple[int, int], tuple[Path, int]]:
    found = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                run = ids.parse_run_name(entry.name.removesuffix(".log"))
                status = entry.stat(follow_symlinks=False)
            except (ValueError, FileNotFoundError):
                continue  # not ours, or gone meanwhile
            if status.st_mtime < before:
                found[run] = Path(entry.path), status.st_size
    return found


def _remove_empty(folder: Path, before: float) -> None:
    """Remove a folder in which nothing happened for long; another run may be about to write into a younger one."""
    try:
        if folder.stat().st_mtime < before:
            folder.rmdir()
    except OSError:
        return  # something is in it
