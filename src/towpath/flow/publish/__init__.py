"""Publish: carry products from the store to an archive by a journal, and what people do to publications.

Promises that a published place is whole or not there and is never overwritten. Never deletes a source before the
catalog says for good where its bytes are.
"""

from towpath.flow.publish.decide import Action, Found, Objection, next_step, objections
from towpath.flow.publish.journal import WAITING, Publisher
from towpath.flow.publish.people import approve, withdraw
from towpath.flow.publish.tidy import tidy

__all__ = [
    "WAITING",
    "Action",
    "Found",
    "Objection",
    "Publisher",
    "approve",
    "next_step",
    "objections",
    "tidy",
    "withdraw",
]
