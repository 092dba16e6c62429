"""People of a site: their tokens, who a secret belongs to, what is signed in the site's name.

Promises that a secret is told once, when it is made, and kept only as its hash; that what was revoked is refused at once.
Never decides what somebody may do: `contracts.auth` says it.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import SecretStr

from towpath.app.stock import Stock
from towpath.base.errors import UsageError
from towpath.contracts.auth import Grant, Person
from towpath.contracts.catalog import Transaction
from towpath.contracts.people import PERSON, SESSION, TokenRow

EVERYBODY = "role:"  # of a role: what notices call those whom they are for
PREFIX = "twp_"
_SESSION = 12 * 3600.0  # seconds that a login lasts
_SEEN = 60.0  # seconds between two notes of when a token was last used


@dataclass(frozen=True, slots=True)
class Made:
    """A token as it was made, with its secret, which nobody can be told again."""

    row: TokenRow
    secret: str


class People(Stock):
    """The verbs of people and their tokens."""

    def make_token(self, name: str, grants: Iterable[str], *, lasts: float | None = None) -> Made:
        """A token for somebody.

        Parameters
        ----------
        name
            Whom it is for; events tell it.
        grants
            Roles, such as ``operator`` or ``viewer@gam``.
        lasts
            Seconds after which it expires; None: never.

        Raises
        ------
        UsageError
            If the name is empty or has what no name has, or there is no such role or pipeline.
        """
        if not name.strip() or not name.isprintable() or len(name) > 100:
            raise UsageError(f"name: found {name!r}; expected up to 100 characters that can be printed")
        if name.startswith(EVERYBODY):
            raise UsageError(f"name: found {name!r}; what begins with {EVERYBODY} is everybody with a role")
        try:
            given = tuple(str(self._granted(text)) for text in grants)
        except ValueError as error:
            raise UsageError(f"role: {error}") from None
        if not given:
            raise UsageError("found no role; expected at least one, such as viewer or operator@gam")
        return self._make(PERSON, name, given, lasts)

    def _granted(self, text: str) -> Grant:
        grant = Grant.of(text)
        if grant.pipeline and grant.pipeline not in self.definitions:
            known = ", ".join(self.definitions) or "none"
            raise ValueError(f"found the pipeline {grant.pipeline!r}; this site has {known}")
        return grant

    def _make(
        self, kind: str, name: str, grants: tuple[str, ...], lasts: float | None, parent: int = 0
    ) -> Made:
        secret = PREFIX + secrets.token_urlsafe(32)

        def transact(tx: Transaction) -> TokenRow:
            now = tx.now()
            expires = None if lasts is None else now + lasts
            row = TokenRow(0, kind, name, grants, now, expires, None, None, parent, self.who)
            return tx.add_token(row, _digest(secret))

        return Made(self._write(transact), secret)

    def tokens(self, *, every: bool = False) -> list[TokenRow]:
        """The tokens of people that are in force, or `every` one."""
        with self.catalog.read() as view:
            return view.tokens(kind=PERSON, every=every)

    def revoke_token(self, number: int) -> None:
        """Refuse a token from now on, and every login that was made with it.

        Raises
        ------
        NotFoundError
            If there is none with this number.
        """
        self._write(lambda tx: tx.revoke_token(number, self.who))

    def person_of(self, secret: str, kind: str = PERSON) -> Person | None:
        """Whose secret this is; None if it is nobody's, expired or revoked."""
        if not secret.startswith(PREFIX):
            return None
        with self.catalog.read() as view:
            row = view.token(_digest(secret))
            now = view.now()
        if row is None or row.kind != kind or not _holds(row, now):
            return None
        if row.seen is None or now - row.seen > _SEEN:
            number = row.id
            self.catalog.write(lambda tx: tx.touch_token(number))
        return Person(row.name, tuple(Grant.of(text) for text in row.grants), row.id)

    def holder(self, number: int) -> Person | None:
        """Whose token this number is; None if it is no longer in force."""
        with self.catalog.read() as view:
            row = view.token_row(number)
            if row is None or not _holds(row, view.now()):
                return None
        return Person(row.name, tuple(Grant.of(text) for text in row.grants), row.id)

    # ---- logins
    def open_login(self, person: Person, *, lasts: float = _SESSION) -> Made:
        """A login of somebody who came with a token, or whom a provider of identities vouches for; it ends with the token."""
        grants = tuple(str(grant) for grant in person.grants)
        return self._make(SESSION, person.name, grants, lasts, person.token)

    def close_login(self, secret: str) -> None:
        """End a login."""
        with self.catalog.read() as view:
            row = view.token(_digest(secret))
        if row is not None and row.kind == SESSION and row.revoked is None:
            number = row.id
            self._write(lambda tx: tx.revoke_token(number, self.who))

    def secret(self, setting: str, given: SecretStr | str | Mapping[str, str]) -> Callable[[], str]:
        """What reads a secret of the settings anew whenever it is called."""
        return self._parts.secrets.held(setting, given)

    # ---- what is signed
    def sign(self, purpose: str, text: str, *, lasts: float | None = None) -> str:
        """A text that only this site can have written, for one purpose; it ends after `lasts` seconds."""
        return self._parts.signer.sign(purpose, text, lasts=lasts)

    def signed(self, purpose: str, token: str) -> str | None:
        """The text that was signed; None if it was not, or its time is over."""
        return self._parts.signer.signed(purpose, token)

    # ---- what they follow and are told
    def subscribe(self, name: str) -> None:
        """Be told what happens to an item."""
        item = self.find(name)
        self._write(lambda tx: tx.subscribe(self.who, item.id))

    def unsubscribe(self, name: str) -> None:
        """No longer be told."""
        item = self.find(name)
        self._write(lambda tx: tx.unsubscribe(self.who, item.id))

    def read_notices(self, who: Sequence[str], ids: Sequence[int] = ()) -> int:
        """These notices (none: all) were read; returns how many were not."""

        def transact(tx: Transaction) -> int:
            chosen = ids or [one.id for one in tx.notices(who, unread=True, limit=100_000)]
            return tx.read_notices(who, chosen)

        return self._write(transact)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _holds(row: TokenRow, now: float) -> bool:
    return row.revoked is None and (row.expires is None or row.expires > now)
