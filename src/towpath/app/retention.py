"""Retention of a site: the policy of its settings, applied on demand or by the daemon, as a row of work that repeats.

Promises that of many daemons one applies it at a time, that it ends soon when the site is closed, and that an error is
told and tried again at the next time. Decides nothing: `flow.retain` and `flow.reconcile` do.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from towpath.app.settings import RetentionTable
from towpath.base.errors import TowpathError
from towpath.base.states import Work
from towpath.contracts.catalog import Catalog, Claimed, Transaction
from towpath.contracts.storage import Storage
from towpath.contracts.transfer import Transfer
from towpath.flow import reconcile, retain
from towpath.flow.publish import tidy
from towpath.flow.retain import Policy

log = logging.getLogger(__name__)

QUEUE = ("", "retention", "site")
HURRY = 30.0  # seconds between two sweeps that want of room brings forward
_SUBJECT = "retention"  # it is work of no item
_HURRY = "retention hurry"


class Retention:
    """Applies the retention of a site.

    Parameters
    ----------
    catalog, storage
        What is kept. The storage is asked for each time: a root may move.
    logs
        The folder of the runs' logs.
    table
        The settings.
    transfers
        How bytes reach each archive: temporaries of publications that were given up are removed there.
    """

    def __init__(
        self,
        catalog: Catalog,
        storage: Callable[[], Storage],
        logs: Path,
        table: RetentionTable,
        transfers: Callable[[], Mapping[str, Transfer]],
    ) -> None:
        self._catalog, self._storage, self._logs, self.table = catalog, storage, logs, table
        self._transfers = transfers
        self._closed = threading.Event()
        self._is_appointed = False
        self._hurried = -HURRY

    def sweep(
        self,
        *,
        older: float | None = None,
        grace: float | None = None,
        go_on: Callable[[], bool] = lambda: True,
    ) -> dict[str, int]:
        """Apply it now.

        Parameters
        ----------
        older
            Instead of the settings: only orphans and superseded products of this age, in seconds.
        grace
            Instead of the settings: how long things lie in the trash, in seconds.
        go_on
            Asked between two steps.

        Returns
        -------
        dict
            How many orphans, temporaries in archives, products that stages let go (`let_go`), superseded products
            (`trash`), products in trash (`deleted`), events and logs left, and the bytes of the products.

        Raises
        ------
        StateError
            If the catalog was restored from a backup and it is open what becomes of what is newer on disk.
        """
        table, storage = self.table, self._storage()
        orphans = table.orphans if older is None else older
        policy = Policy(
            table.superseded if older is None else older,
            table.trash if grace is None else grace,
            table.events,
            table.logs,
        )
        swept = temporaries = 0
        if orphans is not None:
            swept = reconcile.sweep(self._catalog, storage, older=orphans, go_on=go_on)
            temporaries = tidy(self._catalog, storage, self._transfers())
        return {
            "orphans": swept,
            "temporaries": temporaries,
            **retain.prune(self._catalog, storage, self._logs, policy, go_on=go_on),
        }

    def _goes_on(self) -> bool:
        return not self._closed.is_set()

    # ---- by the daemon
    def open(self) -> None:
        """The site begins to run."""
        self._closed.clear()
        self._is_appointed = False
        self.appoint()

    def appoint(self) -> None:
        """Give a site that has items its row of work, first due one period from now; after trouble it is due again.

        It is done once; to be called now and then, for items that come later.
        """
        if self._is_appointed or not self.table.every:
            return
        with self._catalog.read() as view:
            is_empty = not view.items(limit=1)
        if not is_empty:
            self._catalog.write(self._appoint)
            self._is_appointed = True

    def _appoint(self, tx: Transaction) -> None:
        latest = tx.now() + self.table.every
        work = tx.add_work(QUEUE, subject=_SUBJECT, due=latest)
        row = tx.work_row(work)
        if row.state in (Work.FAILED, Work.POISONED):
            tx.retry([work], "towpath")
        elif row.state is Work.READY and row.due > latest:
            tx.set_due(work, latest)  # the period is shorter now

    def hurry(self) -> None:
        """Room is short: what stages let go leaves now, whoever does it, and not at its next time. Now and then only."""
        if not self.table.every or time.monotonic() - self._hurried < HURRY:
            return
        self._hurried = time.monotonic()
        self.appoint()
        self._catalog.write(self._bring_forward)

    @staticmethod
    def _bring_forward(tx: Transaction) -> None:
        row = tx.work_row(tx.add_work(QUEUE, subject=_SUBJECT))
        if row.state is Work.READY:
            tx.set_slot(tx.slot(_HURRY, ""), {"since": tx.now(), "due": row.due})
            tx.set_due(row.id, tx.now())

    def _take_hurry(self, tx: Transaction) -> float | None:
        """When the usual sweep is due, if this one is for want of room."""
        slot = tx.slot(_HURRY, "")
        tx.set_slot(slot, {})
        due: float | None = slot.data.get("due")
        return due if due is not None and due > tx.now() else None

    def _apply(self, hurried: bool) -> dict[str, int]:
        if hurried:
            return retain.make_room(self._catalog, self._storage(), go_on=self._goes_on)
        return self.sweep(go_on=self._goes_on)

    def __call__(self, claimed: Claimed) -> None:
        """Do the claimed row of work, and make it due again."""
        told: dict[str, Any] = {}
        error = ""
        usual = self._catalog.write(self._take_hurry)
        try:
            told = {name: count for name, count in self._apply(usual is not None).items() if count}
        except (TowpathError, OSError) as problem:
            error = f"{type(problem).__name__}: {problem}"
            told = {"error": error}
            log.error("retention failed: %s", error)

        def transact(tx: Transaction) -> None:
            pause = self.table.every if self._goes_on() else 0.0
            again = usual if usual is not None and self._goes_on() else tx.now() + pause
            if tx.finish(claimed, again=again, error=error) and told:
                tx.event("retention", **told)

        self._catalog.write(transact)

    def close(self) -> None:
        """End soon what goes on."""
        self._closed.set()
