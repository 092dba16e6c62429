"""Tokens and sessions as rows: the sha256 of a secret lets in whoever shows the secret.

Promises that no secret is stored or told, that what was revoked stays revoked, and that a session ends with its token.
"""

from towpath.adapters.catalog.events import Events
from towpath.adapters.catalog.sql import dump
from towpath.base.errors import NotFoundError, StateError
from towpath.contracts.people import TokenRow


class Tokens(Events):
    """Adds what is done to tokens."""

    def add_token(self, row: TokenRow, sha256: bytes) -> TokenRow:
        """Write down a token with the sha256 of its secret; returns it with its number."""
        parent = self.token_row(row.parent) if row.parent else None
        if row.parent and (parent is None or parent.parent):
            raise StateError(f"a session begins with a token; {row.parent} is none")
        fresh = self.one(
            "INSERT INTO tokens (sha256, kind, name, grants, created, expires, parent, author) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
            (
                sha256,
                row.kind,
                row.name,
                dump(list(row.grants)) or "[]",
                self.now(),
                row.expires,
                row.parent,
                row.by,
            ),
        )
        if fresh is None:
            raise StateError("there is a token with this secret already")
        made = self._known(fresh[0])
        self._tell_of(made, "made", row.by)
        return made

    def revoke_token(self, number: int, who: str) -> TokenRow:
        """Revoke a token and its sessions; once revoked it stays as it is."""
        self._known(number)
        self.cursor.execute(
            "UPDATE tokens SET revoked = ? WHERE revoked IS NULL AND (id = ? OR parent = ?)",
            (self.now(), number, number),
        )
        is_new = self.cursor.rowcount > 0
        revoked = self._known(number)
        if is_new:
            self._tell_of(revoked, "revoked", who)
        return revoked

    def touch_token(self, number: int) -> None:
        """It was used just now."""
        self.cursor.execute("UPDATE tokens SET seen = ? WHERE id = ?", (self.now(), number))

    def _known(self, number: int) -> TokenRow:
        row = self.token_row(number)
        if row is None:
            raise NotFoundError(f"there is no token {number}")
        return row

    def _tell_of(self, row: TokenRow, state: str, who: str) -> None:
        self.event("token", token=row.id, kind=row.kind, name=row.name, state=state, who=who)
