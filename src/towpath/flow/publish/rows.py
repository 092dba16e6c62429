"""Reading the publication journal: of an item, of one piece of work, and whether that work is still ours."""

from towpath.base.states import Work
from towpath.contracts.catalog import Claimed, PublicationRow, View


class Lost(Exception):
    """The work is no longer ours: it was stopped, or its lease expired and another has it."""


def fence(view: View, claimed: Claimed) -> None:
    """Raise `Lost` unless the work is running under this token."""
    row = view.work_row(claimed.work)
    if row.token != claimed.token or row.state is not Work.RUNNING:
        raise Lost("this publication is no longer ours: it was stopped, or its lease expired")


def publications(view: View, item: int) -> list[PublicationRow]:
    """The whole journal of an item, oldest first."""
    rows: list[PublicationRow] = []
    while page := view.publications(item, after=rows[-1].id if rows else 0):
        rows += page
    return rows


def rows_of(view: View, claimed: Claimed) -> list[PublicationRow]:
    """The journal of this work, oldest first."""
    return [row for row in publications(view, claimed.item) if row.work == claimed.work]
