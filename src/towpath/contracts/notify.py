"""Notifications: what a rule may be told of, and the sinks by which a message leaves the site.

The words are the whole vocabulary of rules; docs/howto/notifications.md says what each means.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

On = Literal[
    "failed",
    "poisoned",
    "held",
    "rejected",
    "done",
    "finished",
    "order opened",
    "order reminded",
    "order expired",
    "delivery verified",
    "delivery rejected",
    "delivery quarantined",
    "delivery late",
    "published",
    "conflict",
    "damaged",
    "source problem",
    "definition refused",
]
WORDS: tuple[str, ...] = get_args(On)

BADGE = "badge:"  # before the name of a person, or of a role as "role:NAME"
SUBSCRIBERS = "subscribers"


@dataclass(frozen=True, slots=True)
class Rule:
    """Whom a site tells of what happens.

    `on` are words of `WORDS`. `pipeline`, `kind` and `stage` are names ("": any), `item` is a pattern with * and ? that
    the key or the whole name of the item fits. `to` are destinations of the outbox, ``badge:PERSON``,
    ``badge:role:ROLE`` and ``subscribers``.
    """

    name: str
    on: frozenset[str]
    to: tuple[str, ...]
    pipeline: str = ""
    kind: str = ""
    stage: str = ""
    item: str = ""


class Sink(Protocol):
    """Delivers messages at least once. The idempotency key lets the receiver drop a repeat."""

    def send(self, subject: str, sequence: int, key: str, body: Mapping[str, Any]) -> None:
        """Deliver. Raises `Transient` if it may work later, any other error if never."""
