"""Warrants: what lets the site work on a record, got when an item first needs it and ended when the item ends.

Promises that one which was got is noted before it is used, so that it is ended however the item ends: done, failed, stopped
or killed with its process; the note goes only when it is revoked or its time is over. One that is being revoked is used no more.
A run never sees one.
"""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from towpath.base import clock
from towpath.base.errors import TowpathError, Transient
from towpath.base.states import Work
from towpath.contracts.catalog import Catalog, Transaction, View
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
        """The capability of an item that is being worked on; made if there is none that holds."""
        with self._catalog.read() as view:
            mine = [data for place, data in view.noted(RULE).items() if _item(place) == item]
        good = [
            data for data in mine
            if not data.get("ending") and (not data["expires"] or data["expires"] > clock.now() + 60.0)
        ]  # fmt: skip
        if good:
            return _capability(good[-1])
        made = self.ask(repository, record, None)
        self._catalog.write(lambda tx: note(tx, item, repository, made))
        return made

    # ---- ending
    def are_due(self) -> bool:
        """Whether there are warrants to be revoked now."""
        with self._catalog.read() as view:
            return bool(_due(view))

    def end(self, *, go_on: Callable[[], bool] = lambda: True) -> int:
        """Revoke the warrants of items that have ended; returns how many remain. Failures are tried again later.

        It waits for repositories; of one that does not answer no more is asked until later.
        """
        if self.are_due():
            away: dict[str, Transient] = {}
            for place, data in self._catalog.write(_begin_to_end).items():
                if go_on():
                    self._revoke(place, data, away)
        with self._catalog.read() as view:
            return len(view.noted(RULE))

    def _revoke(self, place: str, data: Mapping[str, Any], away: dict[str, Transient]) -> None:
        if data["expires"] and data["expires"] <= clock.now():
            self._drop(place, "its time is over")
            return
        repository = str(data["repository"])
        try:
            if repository in away:
                raise away[repository]
            self._repositories(repository).revoke(_capability(data))
        except Transient as error:
            away[repository] = error
            self._later(place, data, str(error), error.after)
        except (TowpathError, OSError) as error:
            self._later(place, data, str(error))
        except Exception as error:  # noqa: BLE001  told: an adapter is other people's code; in its words may be a secret
            self._later(place, data, type(error).__name__)
        else:
            self._drop(place, "revoked")

    def _later(self, place: str, data: Mapping[str, Any], why: str, after: float = 0.0) -> None:
        log.warning("warrant not revoked, tried again: record %s: %s", data["record"], why)
        tries = int(data.get("tries", 0))
        wait = max(min(_AGAIN * 2**tries, _LONGEST), after)

        def transact(tx: Transaction) -> None:
            slot = tx.slot(RULE, place)
            if slot.data:
                tx.set_slot(slot, {**data, "tries": tries + 1, "again": tx.now() + wait})
            if tries == 0:
                tx.event("warrant not revoked", item=_item(place), why=why, until=data["expires"])

        self._catalog.write(transact)

    def _drop(self, place: str, how: str) -> None:
        def transact(tx: Transaction) -> None:
            slot = tx.slot(RULE, place)
            if slot.data:
                tx.event("warrant ended", item=_item(place), why=how)
            tx.drop_slot(slot)

        self._catalog.write(transact)


class Reaper:
    """Ends warrants beside the loop of a daemon, which is not to wait for a repository."""

    def __init__(self, warrants: Warrants) -> None:
        self._warrants = warrants
        self._thread = ThreadPoolExecutor(1, "warrants")
        self._under_way: Future[int] | None = None
        self._is_closed = False

    def tend(self) -> bool:
        """Begin to revoke what is to be revoked now; returns whether that goes on. Raises what the thread raised."""
        if self._under_way is not None:
            if not self._under_way.done():
                return True
            ended, self._under_way = self._under_way, None
            ended.result()
        if not self._warrants.are_due():
            return False
        self._under_way = self._thread.submit(self._warrants.end, go_on=lambda: not self._is_closed)
        return True

    def close(self) -> None:
        """Begin nothing more, and wait for the answer that is waited for."""
        self._is_closed = True
        self._thread.shutdown()


def note(tx: Transaction, item: int, repository: str, made: Capability) -> None:
    """Note a capability as that of an item; one without a secret needs none."""
    if made.secret:
        tx.set_slot(tx.slot(RULE, f"{item}/{made.name}"), {**asdict(made), "repository": repository})
        tx.event("warrant", item=item, repository=repository, until=made.expires)


def _due(view: View) -> dict[str, Mapping[str, Any]]:
    """What is to be revoked now, by place: that of items which have ended, and what was begun to be."""
    noted = view.noted(RULE)
    works = view.work(sorted({_item(place) for place in noted})) if noted else {}
    over = {item for item, rows in works.items() if not any(row.state in _GOES_ON for row in rows)}
    return {
        place: data
        for place, data in noted.items()
        if (data.get("ending") or _item(place) in over) and data.get("again", 0.0) <= view.now()
    }


def _begin_to_end(tx: Transaction) -> dict[str, Mapping[str, Any]]:
    """Mark what is to be revoked: an item that goes on meanwhile uses it no more."""
    due: dict[str, Mapping[str, Any]] = {place: {**data, "ending": True} for place, data in _due(tx).items()}
    for place, data in due.items():
        tx.set_slot(tx.slot(RULE, place), data)
    return due


def _item(place: str) -> int:
    """The number of the item for which a capability is noted, at ``NUMBER/NAME``."""
    return int(place.partition("/")[0])


def _capability(data: Mapping[str, Any]) -> Capability:
    return Capability(data["record"], data["name"], data["secret"], float(data["expires"]))
