"""The outbox: messages that a transaction posted leave the site, at least once and in order per subject.

Promises that a message which could not be delivered is tried again with growing pauses for as long as that may help,
and that the receiver can tell a repeat by its key. Never holds a transaction while it sends.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from towpath.base import faults
from towpath.base.errors import TowpathError, Transient
from towpath.contracts.catalog import Catalog, Claimed
from towpath.contracts.notify import Sink

log = logging.getLogger(__name__)

FIRST_PAUSE = 5.0  # seconds
LONGEST_PAUSE = 900.0


def queue(destination: str) -> tuple[str, str, str]:
    """The queue of the messages to a destination."""
    return "", "message", destination


def idempotency_key(subject: str, sequence: int) -> str:
    """What tells the receiver that it has this message already."""
    return f"{subject}:{sequence}"


def pause(attempts: int, after: float = 0.0) -> float:
    """Seconds until the next attempt after `attempts` failed ones; at least `after`, if the receiver asked for it."""
    return max(after, min(FIRST_PAUSE * 2.0 ** min(max(attempts, 1) - 1, 30), LONGEST_PAUSE))


@dataclass(frozen=True, slots=True)
class Courier:
    """Sends claimed messages to one destination and ends their rows: delivered, to be tried again, or failed."""

    catalog: Catalog
    sink: Sink

    def __call__(self, claimed: Claimed) -> None:
        """Send one message. An error that no retry can mend leaves it failed, with the reason."""
        subject, sequence = str(claimed.payload["subject"]), int(claimed.payload["seq"])
        try:
            faults.point("outbox.send")
            self.sink.send(subject, sequence, idempotency_key(subject, sequence), claimed.payload["body"])
            faults.point("outbox.sent")
        except Transient as error:
            wait, reason = pause(claimed.attempts, error.after), error.reason
            log.warning("message waits", extra={"subject": subject, "reason": reason, "seconds": wait})
            self.catalog.write(
                lambda tx: tx.finish(claimed, again=tx.now() + wait, error=reason), concurrent=True
            )
        except (TowpathError, OSError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
            log.error("message failed", extra={"subject": subject, "reason": reason})
            self.catalog.write(lambda tx: tx.finish(claimed, error=reason), concurrent=True)
        else:
            self.catalog.write(lambda tx: tx.finish(claimed), concurrent=True)


def couriers(
    catalog: Catalog, sinks: Mapping[str, Sink]
) -> dict[tuple[str, str, str], Callable[[Claimed], None]]:
    """One courier per destination, by the queue whose work it does."""
    return {queue(destination): Courier(catalog, sink) for destination, sink in sinks.items()}
