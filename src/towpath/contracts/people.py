"""What the catalog keeps of people: tokens, what they follow and are told, answers to what they asked for once.

Frozen values. Nothing here holds a secret: a token is known by the hash of its secret.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token of somebody (`kind` person), or a login made with one (session, whose `parent` is the token's number).

    `grants` are texts such as ``operator`` or ``viewer@gam``. Times are seconds since the epoch: `expires` (None: never),
    `revoked` (None: it is not) and `seen`, when it was last used.
    """

    id: int
    kind: str
    name: str
    grants: tuple[str, ...]
    created: float
    expires: float | None = None
    revoked: float | None = None
    seen: float | None = None
    parent: int = 0
    by: str = ""


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    """Somebody is told what happens to an item, `since` when (seconds since the epoch)."""

    who: str
    item: int
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class NoticeRow:
    """Something that somebody (a name, or ``role:operator``) was told; `event` is the number of what happened."""

    id: int
    who: str
    event: int
    item: int
    title: str
    body: str = ""
    time: float = 0.0
    read: float | None = None


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """The answer to what somebody asked for under a key; `status` is 0, and `body` says who asks, until it is there.

    `sha256` tells whether what is asked for is the same.
    """

    who: str
    key: str
    sha256: bytes
    status: int = 0
    body: str = ""
    time: float = 0.0
