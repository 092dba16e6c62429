"""Sinks of the outbox: how a message leaves the site."""

from collections.abc import Mapping
from typing import Any, Protocol


class Sink(Protocol):
    """Delivers messages at least once. The idempotency key lets the receiver drop a repeat."""

    def send(self, subject: str, sequence: int, key: str, body: Mapping[str, Any]) -> None:
        """Deliver. Raises `Transient` if it may work later, any other error if never."""
