"""People as the catalog knows them: tokens that let them in, items they follow, notices to them, answers they were given.

Promises that no secret is here: of a token there is the sha256 of what its holder shows. Never decides who may do what.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

PERSON, SESSION = "person", "session"  # kinds of token


@dataclass(frozen=True, slots=True)
class TokenRow:
    """What lets somebody in: a token that was given to a person or a program, or a session that began with one.

    Times are seconds since the epoch. `grants` are ``ROLE`` or ``ROLE@PIPELINE``; `parent` is the token that a session began
    with (0: none), and `by` who made this one.
    """

    id: int
    kind: str  # person | session
    name: str
    grants: tuple[str, ...]
    created: float = 0.0
    expires: float | None = None
    revoked: float | None = None
    seen: float | None = None
    parent: int = 0
    by: str = ""


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    """Somebody follows an item since a moment (seconds since the epoch)."""

    who: str
    item: int
    since: float


@dataclass(frozen=True, slots=True)
class NoticeRow:
    """A notice to somebody (a person, or a role): what it is about, when, and when it was read (None: not yet).

    `event` is the number of the event that it tells of, `item` that of the item; 0: none.
    """

    id: int
    who: str
    event: int
    item: int
    title: str
    body: str
    time: float = 0.0
    read: float | None = None


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """What was answered to a request of somebody that had an idempotency key; `status` 0: it is being answered.

    `sha256` is that of the request, so that another one with the same key is told apart.
    """

    who: str
    key: str
    sha256: bytes
    status: int = 0
    body: bytes = b""
    time: float = 0.0


class PeopleView(Protocol):
    """Reading what is known of people: the part of `contracts.catalog.View`."""

    def token(self, sha256: bytes) -> TokenRow | None:
        """The token whose secret has this sha256, also if it was revoked or has expired; None if there is none.

        A session says in its own `revoked` and `expires` what became of its parent: the earlier moment counts.
        """

    def token_row(self, number: int) -> TokenRow | None:
        """The same by its number."""

    def tokens(self, *, kind: str = PERSON, every: bool = False) -> list[TokenRow]:
        """The tokens of a kind ("" for all) by number; with `every` also those that were revoked or have expired."""

    def subscriptions(self, *, who: str = "", item: int = 0) -> list[SubscriptionRow]:
        """Who follows which item, by item and then by name; of one person, of one item."""

    def notices(
        self, who: Sequence[str], *, unread: bool = False, after: int = 0, limit: int = 100
    ) -> list[NoticeRow]:
        """The notices to any of these, by number, above `after`; with `unread` those that were not read."""

    def unread(self, who: Sequence[str]) -> int:
        """How many notices to any of these were not read."""

    def answer(self, who: str, key: str) -> AnswerRow | None:
        """What was answered to a request, None if there was no such one."""


class PeopleTransaction(PeopleView, Protocol):
    """Writing it: the part of `contracts.catalog.Transaction`. Times of making are the catalog's."""

    def add_token(self, row: TokenRow, sha256: bytes) -> TokenRow:
        """Write down a token with the sha256 of its secret; returns it with its number. Event `token`.

        Raises `StateError` if there is one with this secret, or its parent is none that a session may begin with.
        """

    def revoke_token(self, number: int, who: str) -> TokenRow:
        """Revoke a token and its sessions; once revoked it stays as it is. Event `token`. Raises `NotFoundError`."""

    def touch_token(self, number: int) -> None:
        """It was used just now."""

    def subscribe(self, who: str, item: int) -> SubscriptionRow:
        """Somebody follows an item; who does so already goes on. Raises `NotFoundError`."""

    def unsubscribe(self, who: str, item: int) -> bool:
        """Somebody no longer follows an item; False if nobody did."""

    def add_notice(self, row: NoticeRow) -> int:
        """Write a notice, not read; returns its number."""

    def read_notices(self, who: Sequence[str], ids: Sequence[int]) -> int:
        """These notices to any of these were read now; returns how many were not before."""

    def reserve_answer(self, row: AnswerRow) -> AnswerRow | None:
        """The answer that is there for this key, else None, and it is written that one will be."""

    def fill_answer(self, who: str, key: str, status: int, body: bytes) -> None:
        """What was answered. Raises `NotFoundError` if nobody reserved it."""

    def drop_answers(self, before: float, *, limit: int) -> int:
        """Forget the oldest answers from before a moment; returns how many."""
