"""The publication journal and the outbox: the rows of what leaves the site.

Promises that only the transitions of `base.states` are written, by the owner of the work, and that messages of one
subject have rising numbers. Never touches a disk.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from towpath.adapters.catalog.answering import Answering
from towpath.adapters.catalog.noticing import Noticing
from towpath.adapters.catalog.ordering import Ordering
from towpath.adapters.catalog.reading import PUBLICATION_COLUMNS, to_publication
from towpath.adapters.catalog.sql import chunks, marks
from towpath.adapters.catalog.tokens import Tokens
from towpath.base import states
from towpath.base.errors import NotFoundError, StateError
from towpath.base.hashing import canonical
from towpath.base.states import Publication as State
from towpath.base.states import Work
from towpath.contracts.catalog import Claimed, PublicationRow

_BY_OWNER = frozenset({State.COPIED, State.VERIFIED, State.PLACING, State.COMMITTED, State.CONFLICT})


class Changing(Ordering, Tokens, Noticing, Answering):
    """The whole of contracts.catalog.Transaction."""

    # ---- publication
    def open_publication(self, claimed: Claimed, row: PublicationRow) -> PublicationRow:
        """The journal row of this work, made `intended` if there is none; fenced by the claim's token."""
        self._fence(claimed.work, claimed.token)
        old = self.one(
            f"SELECT {PUBLICATION_COLUMNS} FROM publications WHERE work_id = ? AND sha256 = ? AND archive = ? "
            "AND target = ? AND state NOT IN ('superseded', 'withdrawn') ORDER BY id DESC LIMIT 1",
            (claimed.work, row.sha256, row.archive, row.target),
        )
        if old:
            self.cursor.execute("UPDATE publications SET token = ? WHERE id = ?", (claimed.token, old[0]))
            return self._publication(old[0])
        now = self.now()
        fresh = self.one(
            "INSERT INTO publications (work_id, token, item_id, archive, target, state, sha256, files, folder, mode, error, "
            "supersedes, opened, updated) VALUES (?, ?, ?, ?, ?, 'intended', ?, ?, ?, ?, '', ?, ?, ?) ON CONFLICT DO NOTHING "
            "RETURNING id",
            (claimed.work, claimed.token, row.item, row.archive, row.target, row.sha256, canonical(row.files).decode(),
             row.folder, row.mode, row.supersedes, now, now),
        )  # fmt: skip
        if fresh is None:
            raise _taken(row)
        self.event("publication", item=row.item, publication=fresh[0], state="intended", target=row.target)
        return self._publication(fresh[0])

    def _publication(self, number: int) -> PublicationRow:
        row = self.one(f"SELECT {PUBLICATION_COLUMNS} FROM publications WHERE id = ?", (number,))
        if row is None:
            raise NotFoundError(f"no publication with number {number}")
        return to_publication(row)

    def _fence(self, work: int, token: int) -> None:
        row = self.one(f"SELECT token, state FROM work WHERE id = ?{self.locking_plain}", (work,))
        if row is None or row[0] != token or row[1] != Work.RUNNING:
            raise StateError("this publication is no longer ours: it was stopped, or its lease expired")

    def move_publication(
        self, row: PublicationRow, state: State, *, error: str = "", token: int | None = None
    ) -> PublicationRow:
        """Move a publication on, if the table allows it and the token is still the work's.

        Raises
        ------
        StateError
            If it does not, if a step that only the work's owner may take has no token, if the place is taken, or if it
        would be placed while a change spreads.
        """
        if token is not None:
            self._fence(row.work, token)
        elif state in _BY_OWNER:
            raise StateError(f"publication {row.id} becomes {state.value} only by the work that carries it")
        now = self._publication(row.id)
        if (now.state, state) not in states.PUBLICATION:
            raise StateError(f"publication {row.id} is {now.state.value}; it cannot become {state.value}")
        if state is State.INTENDED and self._is_taken(now):
            raise _taken(now)
        if state is State.PLACING and self.spreading():
            raise StateError(f"publication {row.id} is not placed while a change spreads, which may reach it")
        self.cursor.execute(
            "UPDATE publications SET state = ?, error = ?, updated = ? WHERE id = ?",
            (state.value, error, self.now(), row.id),
        )
        if state is State.COMMITTED:
            self._look_behind([product for product, _ in now.files])
        told = {"error": error} if error else {}
        self.event(
            "publication", item=row.item, publication=row.id, state=state.value, target=row.target, **told
        )
        return self._publication(row.id)

    def _look_behind(self, products: Sequence[int]) -> None:
        """What is published now was made from products that may perhaps be let go: they are looked at soon."""
        if not any(
            keep.until == "published"
            for definition in self.routes.values()
            for kind in definition.kinds.values()
            for stage in kind.stages.values()
            for keep in stage.keep.values()
        ):
            return
        for part in chunks(products):
            self.cursor.execute(
                f"WITH RECURSIVE behind (id) AS (SELECT id FROM products WHERE id IN ({marks(part)}) UNION "
                "SELECT r.product_id FROM behind b JOIN products p ON p.id = b.id JOIN run_inputs r "
                "ON r.work_id = p.work_id AND r.token = p.token WHERE r.product_id IS NOT NULL) "
                "UPDATE products SET look = ? WHERE look IS NOT NULL AND id IN (SELECT id FROM behind)",
                (*part, self.now()),
            )

    def _is_taken(self, row: PublicationRow) -> bool:
        other = self.one(
            "SELECT 1 FROM publications WHERE archive = ? AND target = ? AND id <> ? "
            "AND state NOT IN ('failed', 'conflict', 'withdrawn')",
            (row.archive, row.target, row.id),
        )
        return other is not None

    # ---- outbox
    def post(self, destination: str, subject: str, body: Mapping[str, Any]) -> int:
        """Put a message in the outbox, in this transaction; it is sent at least once, in order per subject."""
        row = self.one(
            "INSERT INTO counters (name, value) VALUES ('message', 1) "
            "ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value"
        )
        payload = {"subject": subject, "seq": row[0], "body": dict(body)}
        return self.add_work(
            ("", "message", destination), subject=f"{subject}#{row[0]:012d}", payload=payload
        )


def _taken(row: PublicationRow) -> StateError:
    return StateError(f"{row.archive}:{row.target} is the place of another publication")
