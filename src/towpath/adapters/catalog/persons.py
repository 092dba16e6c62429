"""What is known of people, as rows: tokens, subscriptions, notices, answers; `tokens`, `noticing` and `answering` write them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from towpath.adapters.catalog.sql import Session, load
from towpath.contracts.people import PERSON, AnswerRow, NoticeRow, SubscriptionRow, TokenRow

_TOKEN_COLUMNS = "t.id, t.kind, t.name, t.grants, t.created, t.expires, t.revoked, t.seen, t.parent, t.author"
_TOKENS = f"SELECT {_TOKEN_COLUMNS}, p.expires, p.revoked FROM tokens t LEFT JOIN tokens p ON p.id = t.parent WHERE "
_NOTICE_COLUMNS = 'id, who, event, item_id, title, body, time, "read"'
ANSWER_COLUMNS = 'who, "key", sha256, status, body, time'


class PersonReading(Session):
    """Adds the search for what is known of people."""

    # ---- tokens
    def token(self, sha256: bytes) -> TokenRow | None:
        """The token whose secret has this sha256, also if it was revoked or has expired; None if there is none."""
        return self._token("t.sha256 = ?", sha256)

    def token_row(self, number: int) -> TokenRow | None:
        """The same by its number."""
        return self._token("t.id = ?", number)

    def _token(self, where: str, value: Any) -> TokenRow | None:
        row = self.one(_TOKENS + where, (value,))
        return to_token(row) if row else None

    def tokens(self, *, kind: str = PERSON, every: bool = False) -> list[TokenRow]:
        """The tokens of a kind ("" for all) by number; with `every` also those that were revoked or have expired."""
        where, values = ("t.kind = ?", [kind]) if kind else ("t.id > 0", [])
        found = [to_token(row) for row in self.rows(f"{_TOKENS}{where} ORDER BY t.id", values)]
        now = self.now()
        return [one for one in found if every or (one.revoked is None and not _is_over(one.expires, now))]

    # ---- subscriptions and notices
    def subscriptions(self, *, who: str = "", item: int = 0) -> list[SubscriptionRow]:
        """Who follows which item, by item and then by name; of one person, of one item."""
        where, values = ["item_id > 0"], list[Any]()
        for clause, value in (("who = ?", who), ("item_id = ?", item)):
            if value:
                where.append(clause)
                values.append(value)
        statement = (
            f"SELECT who, item_id, since FROM subscriptions WHERE {' AND '.join(where)} ORDER BY item_id, who"
        )
        return [SubscriptionRow(*row) for row in self.rows(statement, values)]

    def notices(
        self, who: Sequence[str], *, unread: bool = False, after: int = 0, limit: int = 100
    ) -> list[NoticeRow]:
        """The notices to any of these, by number, above `after`; with `unread` those that were not read."""
        news = ' AND "read" IS NULL' if unread else ""
        found = [
            row
            for one in sorted(set(who))  # each in the order of an index
            for row in self.rows(
                f"SELECT {_NOTICE_COLUMNS} FROM notices WHERE who = ? AND id > ?{news} ORDER BY id LIMIT ?",
                (one, after, limit),
            )
        ]
        return [NoticeRow(*row) for row in sorted(found)[:limit]]

    def unread(self, who: Sequence[str]) -> int:
        """How many notices to any of these were not read."""
        statement = 'SELECT count(*) FROM notices WHERE who = ? AND "read" IS NULL'
        return sum(self.one(statement, (one,))[0] for one in set(who))

    # ---- answers
    def answer(self, who: str, key: str) -> AnswerRow | None:
        """What was answered to a request, None if there was no such one."""
        row = self.one(f'SELECT {ANSWER_COLUMNS} FROM answers WHERE who = ? AND "key" = ?', (who, key))
        return to_answer(row) if row else None


def to_token(row: Any) -> TokenRow:
    """A token from a row of its columns, and its parent's end."""
    number, kind, name, grants, created, expires, revoked, seen, parent, author, *ends = row
    found = TokenRow(
        number, kind, name, tuple(load(grants, [])), created, expires, revoked, seen, parent, author
    )
    return replace(found, expires=_earlier(expires, ends[0]), revoked=_earlier(revoked, ends[1]))


def _earlier(*times: float | None) -> float | None:
    return min((time for time in times if time is not None), default=None)


def _is_over(expires: float | None, now: float) -> bool:
    return expires is not None and expires <= now


def to_answer(row: Any) -> AnswerRow:
    """An answer from a row of its columns."""
    who, key, sha256, status, body, time = row
    return AnswerRow(who, key, bytes(sha256), status, bytes(body), time)
