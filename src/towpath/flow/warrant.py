"""Warrants: what lets the site work on a record, got when an item first needs it and ended when the item ends.

Promises that one which was got is noted before it is used, so that it is ended however the item ends: done, failed, stopped
or killed with its process; the note goes only when it is revoked or its time is over. A run never sees one.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from towpath.base import clock
from towpath.base.errors import TowpathError
from towpath.base.states import Work
from towpath.contracts.catalog import Catalog, Transaction
from towpath.contracts.repository import Caller, Capability, Repository

log = logging.getLogger(__name__)

RULE = "warrant"
LASTS = 6 * 3600.0  # seconds that a warrant holds at least; a longer processing gets another
_GOES_ON = (
    Work.READY,
    Work.RUNNING,
)  # what waits for a person or another item gets a new one when it goes on
_AGAIN = 30.0  # seconds before a warrant is revoked again, after that failed; doubled each time
_LONGEST = 3600.0


class Warrants:
    """Gets, gives and ends warrants.

    Parameters
    ----------
    catalog
        Where they are noted.
    repositories
        Gives a repository by its name.
    """

    def __init__(self, catalog: Catalog, repositories: Callable[[str], Repository]) -> None:
        self._catalog, self._repositories = catalog, repositories

    def ask(self, repository: str, record: str, caller: Caller | None) -> Capability:
        """Have a capability made, by who asks or by the site itself; it is to be noted (`note`) with what it is for."""
        return self._repositories(repository).grant(record, caller, LASTS)

    def of(self, item: int, repository: str, record: str) -> Capability:
        """The capability of an item; made if there is none, or its time is over."""
        with self._catalog.read() as view:
            noted = view.noted(RULE).get(str(item))
        if noted and (not noted["expires"] or noted["expires"] > clock.now() + 60.0):
            return _capability(noted)
        made = self.ask(repository, record, None)
        self._catalog.write(lambda tx: note(tx, item, repository, made))
        return made

    # ---- ending
    def end(self) -> int:
        """Revoke the warrants of items that have ended; returns how many remain. Failures are tried again later."""
        with self._catalog.read() as view:
            noted = {int(name): data for name, data in view.noted(RULE).items()}
            works = view.work(sorted(noted)) if noted else {}
            now = view.now()
        left = 0
        for item, data in noted.items():
            goes_on = any(row.state in _GOES_ON for row in works.get(item, ()))
            if goes_on or data.get("again", 0.0) > now or not self._revoke(item, data, now):
                left += 1
        return left

    def _revoke(self, item: int, data: Mapping[str, Any], now: float) -> bool:
        if data["expires"] and data["expires"] <= now:
            self._drop(item, "its time is over")
            return True
        try:
            self._repositories(data["repository"]).revoke(_capability(data))
        except (TowpathError, OSError) as error:
            wait = min(_AGAIN * 2 ** int(data.get("tries", 0)), _LONGEST)
            log.warning("warrant not revoked, tried again: record %s: %s", data["record"], error)
            self._later(
                item, {**data, "tries": int(data.get("tries", 0)) + 1, "again": now + wait}, str(error)
            )
            return False
        self._drop(item, "revoked")
        return True

    def _later(self, item: int, data: Mapping[str, Any], why: str) -> None:
        def transact(tx: Transaction) -> None:
            tx.set_slot(tx.slot(RULE, str(item)), data)
            if data["tries"] == 1:
                tx.event("warrant not revoked", item=item, why=why, until=data["expires"])

        self._catalog.write(transact)

    def _drop(self, item: int, how: str) -> None:
        def transact(tx: Transaction) -> None:
            slot = tx.slot(RULE, str(item))
            if slot.data:
                tx.event("warrant ended", item=item, why=how)
            tx.drop_slot(slot)

        self._catalog.write(transact)


def note(tx: Transaction, item: int, repository: str, made: Capability) -> None:
    """Note a capability as that of an item; one without a secret needs none."""
    if made.secret:
        tx.set_slot(tx.slot(RULE, str(item)), {**asdict(made), "repository": repository})
        tx.event("warrant", item=item, repository=repository, until=made.expires)


def _capability(data: Mapping[str, Any]) -> Capability:
    return Capability(data["record"], data["name"], data["secret"], float(data["expires"]))
