"""What people do to a publication: let a waiting one go on, withdraw one that stands.

Each is one change inside a transaction of the caller. Never touches a disk: withdrawn files stay.
"""

from towpath.base import hashing
from towpath.base.errors import StateError
from towpath.base.states import Publication as State
from towpath.base.states import Work
from towpath.contracts.catalog import PublicationRow, Transaction
from towpath.flow.publish.rows import publications


def approve(tx: Transaction, work: int, who: str, why: str = "") -> PublicationRow:
    """Let a publication that waits for a person go on: exactly these products to exactly that place.

    Raises
    ------
    StateError
        If nothing of this work waits.
    """
    row = tx.work_row(work)
    waiting = [one for one in publications(tx, row.item) if one.work == work and one.state is State.INTENDED]
    if row.state is not Work.HELD or not waiting:
        raise StateError(f"work {work} is {row.state.value}: no publication waits for a person")
    slot = tx.slot("publish", str(work))
    tx.set_slot(slot, {"approved": _approval(waiting[-1]), "who": who, "why": why, "time": tx.now()})
    tx.event("publication approved", item=row.item, publication=waiting[-1].id, who=who, why=why)
    tx.release([work], who, why)
    return waiting[-1]


def withdraw(tx: Transaction, publication: PublicationRow, who: str, why: str) -> PublicationRow:
    """Declare a publication withdrawn; its files stay, and the same place is free for none but a newer version."""
    return tx.move_publication(publication, State.WITHDRAWN, error=f"withdrawn by {who}: {why}")


def _approval(row: PublicationRow) -> str:
    return hashing.digest([row.archive, row.target, sorted(row.files)]).hex()


def approved(tx: Transaction, row: PublicationRow) -> bool:
    """Whether a person let exactly this publication go on."""
    return tx.slot("publish", str(row.work)).data.get("approved") == _approval(row)
