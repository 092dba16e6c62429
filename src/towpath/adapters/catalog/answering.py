"""What was answered to requests that may come again: of two with one key, one is carried out.

Promises that a key of a person is reserved once. Never keeps an answer longer than it is told to.
"""

from towpath.adapters.catalog.events import Events
from towpath.adapters.catalog.persons import ANSWER_COLUMNS
from towpath.base.errors import NotFoundError
from towpath.contracts.people import AnswerRow


class Answering(Events):
    """Adds what is answered."""

    def reserve_answer(self, row: AnswerRow) -> AnswerRow | None:
        """The answer that is there for this key, else None, and it is written that one will be."""
        fresh = self.one(
            f"INSERT INTO answers ({ANSWER_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING status",
            (row.who, row.key, row.sha256, row.status, row.body, self.now()),
        )
        return None if fresh else self.answer(row.who, row.key)

    def fill_answer(self, who: str, key: str, status: int, body: bytes) -> None:
        """What was answered."""
        self.cursor.execute(
            'UPDATE answers SET status = ?, body = ? WHERE who = ? AND "key" = ?', (status, body, who, key)
        )
        if not self.cursor.rowcount:
            raise NotFoundError(f"no answer to {key!r} was reserved for {who!r}")

    def drop_answers(self, before: float, *, limit: int) -> int:
        """Forget the oldest answers from before a moment; returns how many."""
        rows = self.rows(
            'SELECT who, "key" FROM answers WHERE time < ? ORDER BY time LIMIT ?', (before, limit)
        )
        self.cursor.executemany('DELETE FROM answers WHERE who = ? AND "key" = ?', rows)
        return len(rows)
