"""Notify: who is told of what happens. Decide, then do: `decide` is pure, the `Notifier` writes what it says.

Promises that each thing is told once, whatever is killed, and that storms are told in one message.
"""

from towpath.flow.notify.decide import APART, LISTED, Message, Subscriber, Told, decide
from towpath.flow.notify.happening import Happened, types, word
from towpath.flow.notify.service import AT_ONCE, SLOT, Notifier

__all__ = [
    "APART", "AT_ONCE", "Happened", "LISTED", "Message", "Notifier", "SLOT", "Subscriber", "Told", "decide", "types",
    "word",
]  # fmt: skip
