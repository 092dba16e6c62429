"""Tokens, subscriptions, notices and kept answers: what is written about people.

Promises that a token that is revoked takes its logins with it, and that no secret is ever written. Decides nothing.
"""

from collections.abc import Sequence
from dataclasses import replace

from towpath.adapters.catalog.ordering import Ordering
from towpath.adapters.catalog.sql import dump, marks
from towpath.base.errors import NotFoundError
from towpath.contracts.people import AnswerRow, NoticeRow, TokenRow


class Telling(Ordering):
    """Adds what is written about people."""

    # ---- tokens
    def add_token(self, row: TokenRow, sha256: bytes) -> TokenRow:
        """A token, known by the hash of its secret."""
        number = self.one(
            "INSERT INTO tokens (kind, name, sha256, grants, parent, made_by, created, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
            "RETURNING id",
            (
                row.kind,
                row.name,
                sha256,
                dump(list(row.grants)) or "[]",
                row.parent,
                row.by,
                row.created,
                row.expires,
            ),
        )[0]
        if not row.parent:
            self.event("token", token=number, name=row.name, grants=list(row.grants), who=row.by, made=True)
        return replace(row, id=number)

    def revoke_token(self, number: int, who: str) -> None:
        """Refuse a token from now on, and every login made with it. Raises `NotFoundError`."""
        found = self.token_row(number)
        if found is None:
            raise NotFoundError(f"there is no token {number}")
        self.cursor.execute(
            "UPDATE tokens SET revoked = ? WHERE (id = ? OR parent = ?) AND revoked IS NULL",
            (self.now(), number, number),
        )
        if not found.parent:
            self.event("token", token=number, name=found.name, who=who, revoked=True)

    def touch_token(self, number: int) -> None:
        """A token was used now."""
        self.cursor.execute("UPDATE tokens SET seen = ? WHERE id = ?", (self.now(), number))

    # ---- what they follow and are told
    def subscribe(self, who: str, item: int) -> None:
        """Somebody is to be told what happens to an item."""
        self.cursor.execute(
            "INSERT INTO subscriptions (who, item_id, since) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (who, item, self.now()),
        )

    def unsubscribe(self, who: str, item: int) -> None:
        """Somebody is no longer to be told."""
        self.cursor.execute("DELETE FROM subscriptions WHERE who = ? AND item_id = ?", (who, item))

    def add_notice(self, row: NoticeRow) -> int:
        """Tell somebody something; returns its number."""
        return int(
            self.one(
                "INSERT INTO notices (who, event, item_id, title, body, time) VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
                (row.who, row.event, row.item, row.title, row.body, row.time or self.now()),
            )[0]
        )

    def read_notices(self, who: Sequence[str], ids: Sequence[int]) -> int:
        """These (none: all) of what they were told are read; returns how many were not."""
        chosen = f" AND id IN ({marks(ids)})" if ids else ""
        self.cursor.execute(
            f"UPDATE notices SET read = ? WHERE who IN ({marks(who)}) AND read IS NULL{chosen}",
            (self.now(), *who, *ids),
        )
        return self.cursor.rowcount

    # ---- what was asked for once
    def reserve_answer(self, row: AnswerRow) -> AnswerRow | None:
        """Write down that this is being asked for; the one that is there, if somebody did already."""
        self.cursor.execute(
            'INSERT INTO answers (who, "key", sha256, status, body, time) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING',
            (row.who, row.key, row.sha256, row.status, row.body, self.now()),
        )
        return None if self.cursor.rowcount else self.answer(row.who, row.key)

    def fill_answer(self, who: str, key: str, status: int, body: str) -> None:
        """What was answered."""
        self.cursor.execute(
            'UPDATE answers SET status = ?, body = ? WHERE who = ? AND "key" = ?', (status, body, who, key)
        )

    def drop_answers(self, before: float, *, limit: int) -> int:
        """Forget answers from before a moment; returns how many."""
        self.cursor.execute(
            'DELETE FROM answers WHERE (who, "key") IN (SELECT who, "key" FROM answers WHERE time < ? ORDER BY time LIMIT ?)',
            (before, limit),
        )
        return self.cursor.rowcount
