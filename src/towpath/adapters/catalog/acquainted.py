"""Tokens, subscriptions, notices and kept answers as rows; `telling` writes them."""

from collections.abc import Mapping, Sequence
from typing import Any

from towpath.adapters.catalog.sql import Session, load, marks
from towpath.contracts.people import AnswerRow, NoticeRow, SubscriptionRow, TokenRow

_TOKEN = (
    "SELECT t.id, t.kind, t.name, t.grants, t.created, t.expires, t.revoked, t.seen, t.parent, t.made_by, p.expires, p.revoked "
    "FROM tokens t LEFT JOIN tokens p ON p.id = t.parent"
)
_NOTICE = "SELECT id, who, event, item_id, title, body, time, read FROM notices"


class PeopleReading(Session):
    """Adds the search for people and what they are told."""

    def token(self, sha256: bytes) -> TokenRow | None:
        """The token of a secret with this hash, also one that is over; a login is over when its token is."""
        return _token(self.one(f"{_TOKEN} WHERE t.sha256 = ?", (sha256,)))

    def token_row(self, number: int) -> TokenRow | None:
        """The token of this number, as `token`."""
        return _token(self.one(f"{_TOKEN} WHERE t.id = ?", (number,)))

    def tokens(self, *, kind: str = "person", every: bool = False) -> list[TokenRow]:
        """Tokens of a kind that are in force, or `every` one, by number."""
        holds = "" if every else " AND t.revoked IS NULL AND (t.expires IS NULL OR t.expires > ?)"
        values = (kind,) if every else (kind, self.now())
        rows = self.rows(f"{_TOKEN} WHERE t.kind = ?{holds} ORDER BY t.id", values)
        return [found for row in rows if (found := _token(row)) is not None]

    def subscriptions(self, *, who: str = "", item: int = 0) -> list[SubscriptionRow]:
        """Who follows which items."""
        asked = [(column, value) for column, value in (("who", who), ("item_id", item)) if value]
        where = " AND ".join(f"{column} = ?" for column, _ in asked) or "1 = 1"
        rows = self.rows(
            f"SELECT who, item_id, since FROM subscriptions WHERE {where} ORDER BY item_id, who",
            [value for _, value in asked],
        )
        return [SubscriptionRow(*row) for row in rows]

    def notices(
        self, who: Sequence[str], *, unread: bool = False, after: int = 0, limit: int = 100
    ) -> list[NoticeRow]:
        """What these were told, newest first; `after` is the number of the last one of the page before."""
        before = " AND id < ?" if after else ""
        rows = self.rows(
            f"{_NOTICE} WHERE who IN ({marks(who)}){' AND read IS NULL' if unread else ''}{before} ORDER BY id DESC LIMIT ?",
            (*who, *((after,) if after else ()), limit),
        )
        return [NoticeRow(*row) for row in rows]

    def unread(self, who: Sequence[str]) -> int:
        """How much of what these were told is unread."""
        return int(
            self.one(f"SELECT count(*) FROM notices WHERE who IN ({marks(who)}) AND read IS NULL", who)[0]
        )

    def answer(self, who: str, key: str) -> AnswerRow | None:
        """The answer that somebody got under a key."""
        row = self.one(
            'SELECT who, "key", sha256, status, body, time FROM answers WHERE who = ? AND "key" = ?',
            (who, key),
        )
        return AnswerRow(row[0], row[1], bytes(row[2]), *row[3:]) if row else None

    def noted(self, rule: str) -> dict[str, Mapping[str, Any]]:
        """What is noted in the slots of a rule, by partition."""
        rows = self.rows("SELECT subset, data FROM slots WHERE rule = ? ORDER BY id", (rule,))
        return {row[0]: load(row[1], {}) for row in rows}


def _token(row: Any) -> TokenRow | None:
    if row is None:
        return None
    number, kind, name, grants, created, expires, revoked, seen, parent, by, *above = row
    ends = [one for one in (expires, above[0]) if one is not None]
    return TokenRow(
        number,
        kind,
        name,
        tuple(load(grants, [])),
        created,
        min(ends) if ends else None,
        revoked if revoked is not None else above[1],
        seen,
        parent,
        by,
    )
