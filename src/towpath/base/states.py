"""The states of work, products and publications, and the transitions that are allowed (docs: reference/states).

One enum and one table each. The catalog refuses what is not in the table.
"""

from enum import StrEnum


class Work(StrEnum):
    """The state of one piece of work: one stage of one item."""

    WAITING = "waiting"
    READY = "ready"
    RUNNING = "running"
    DONE = "done"
    REJECTED = "rejected"
    FAILED = "failed"
    POISONED = "poisoned"
    STOPPED = "stopped"
    HELD = "held"
    RETIRED = "retired"


_NOT_RUNNING = tuple(state for state in Work if state is not Work.RUNNING)

WORK: frozenset[tuple[Work, Work]] = frozenset(
    {
        (Work.WAITING, Work.READY),
        (Work.READY, Work.WAITING),  # a need no longer holds: an input changed, a calibration was withdrawn
        (Work.READY, Work.RUNNING),
        (Work.READY, Work.POISONED),
        (Work.READY, Work.DONE),
        (Work.RUNNING, Work.RUNNING),  # an expired lease is claimed again
        (Work.RUNNING, Work.POISONED),
        (Work.RUNNING, Work.DONE),
        (Work.RUNNING, Work.REJECTED),
        (Work.RUNNING, Work.WAITING),
        (Work.RUNNING, Work.READY),
        (Work.RUNNING, Work.FAILED),
        (Work.RUNNING, Work.HELD),  # a rule with fail = "hold"
        (Work.HELD, Work.DONE),  # a person accepts what a rule held
        (Work.DONE, Work.WAITING),
        (Work.REJECTED, Work.WAITING),
        (Work.FAILED, Work.WAITING),
        (Work.POISONED, Work.WAITING),
        (Work.STOPPED, Work.WAITING),
        (Work.HELD, Work.WAITING),
        (Work.RETIRED, Work.WAITING),
    }
    | {(state, Work.STOPPED) for state in (Work.WAITING, Work.READY, Work.RUNNING)}
    | {(state, Work.HELD) for state in _NOT_RUNNING if state is not Work.HELD}
    | {(state, Work.RETIRED) for state in _NOT_RUNNING if state is not Work.RETIRED}
)


class Product(StrEnum):
    """The state of one product."""

    CURRENT = "current"
    MISSING = "missing"
    CHANGED = "changed"
    SUPERSEDED = "superseded"
    TRASH = "trash"
    DELETED = "deleted"
    SHED = "shed"  # let go by its stage's `keep`; its bytes are there until they leave the trash
    SPENT = "spent"  # let go, and its bytes are deleted: its row still stands for them
    WANTED = "wanted"  # let go, and to be made again, because work reads it once more


PRODUCT: frozenset[tuple[Product, Product]] = frozenset(
    {
        (Product.CURRENT, Product.SUPERSEDED),
        (Product.CURRENT, Product.MISSING),
        (Product.CURRENT, Product.CHANGED),
        (Product.MISSING, Product.CURRENT),
        (Product.MISSING, Product.CHANGED),
        (Product.MISSING, Product.SUPERSEDED),
        (Product.CHANGED, Product.CURRENT),
        (Product.CHANGED, Product.MISSING),
        (Product.CHANGED, Product.SUPERSEDED),
        (Product.SUPERSEDED, Product.TRASH),
        (Product.TRASH, Product.DELETED),
        (Product.CURRENT, Product.SHED),
        (Product.SHED, Product.CURRENT),
        (Product.SHED, Product.SPENT),
        (Product.SHED, Product.SUPERSEDED),
        (Product.SPENT, Product.WANTED),
        (Product.SPENT, Product.CURRENT),  # made again with equal hash, though no work asked for it
        (Product.SPENT, Product.DELETED),  # superseded, and there are no bytes that could go to the trash
        (Product.WANTED, Product.CURRENT),
        (Product.WANTED, Product.DELETED),
    }
)

LET_GO = frozenset({Product.SHED, Product.SPENT, Product.WANTED})


class Publication(StrEnum):
    """The state of one publication: the journal of a move from store to archive."""

    INTENDED = "intended"
    COPIED = "copied"
    VERIFIED = "verified"
    PLACING = "placing"
    COMMITTED = "committed"
    RELEASED = "released"
    FAILED = "failed"
    CONFLICT = "conflict"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"


PUBLICATION: frozenset[tuple[Publication, Publication]] = frozenset(
    {
        (Publication.INTENDED, Publication.COPIED),
        (Publication.COPIED, Publication.VERIFIED),
        (Publication.VERIFIED, Publication.PLACING),
        (Publication.PLACING, Publication.COMMITTED),
        (Publication.PLACING, Publication.CONFLICT),
        (Publication.PLACING, Publication.INTENDED),  # restart found nothing at the target
        (Publication.COMMITTED, Publication.RELEASED),
        (Publication.INTENDED, Publication.FAILED),
        (Publication.COPIED, Publication.FAILED),
        (Publication.VERIFIED, Publication.FAILED),
        (Publication.COPIED, Publication.INTENDED),
        (Publication.VERIFIED, Publication.INTENDED),
        (Publication.FAILED, Publication.INTENDED),
        (Publication.CONFLICT, Publication.INTENDED),
        (Publication.COMMITTED, Publication.SUPERSEDED),
        (Publication.RELEASED, Publication.SUPERSEDED),
        (Publication.COMMITTED, Publication.WITHDRAWN),
        (Publication.RELEASED, Publication.WITHDRAWN),
    }
)


class Order(StrEnum):
    """The state of one order to people: a gate that they decide, or a piece of work that is handed to them."""

    OPEN = "open"
    CLAIMED = "claimed"
    DELIVERED = "delivered"
    ACCEPTED = "accepted"
    CLOSED = "closed"
    REJECTED = "rejected"
    QUARANTINED = "quarantined"
    CANCELLED = "cancelled"


ORDER: frozenset[tuple[Order, Order]] = frozenset(
    {
        (Order.OPEN, Order.CLAIMED),
        (Order.OPEN, Order.ACCEPTED),  # a gate is approved
        (Order.OPEN, Order.CLOSED),  # a gate ends its item's way
        (Order.CLAIMED, Order.OPEN),  # given back, or not delivered in time
        (Order.CLAIMED, Order.CLAIMED),  # a person assigns it to another
        (Order.CLAIMED, Order.DELIVERED),
        (Order.CLAIMED, Order.REJECTED),  # what was delivered is not what was asked for
        (Order.CLAIMED, Order.QUARANTINED),  # what was delivered cannot be judged, or not be trusted
        (Order.REJECTED, Order.CLAIMED),
        (Order.QUARANTINED, Order.CLAIMED),
        (Order.DELIVERED, Order.ACCEPTED),
        (Order.DELIVERED, Order.CLAIMED),  # the bytes changed after they were verified
    }
    | {
        (state, Order.CANCELLED)
        for state in Order
        if state not in (Order.ACCEPTED, Order.CLOSED, Order.CANCELLED)
    }
)

SENT_BACK = (Order.REJECTED, Order.QUARANTINED)  # whoever delivered has it still
WITH_SOMEBODY = (Order.CLAIMED, *SENT_BACK)
STANDING_ORDERS = tuple(
    state for state in Order if state not in (Order.ACCEPTED, Order.CLOSED, Order.CANCELLED)
)


class Delivery(StrEnum):
    """What became of one delivery to an order."""

    VERIFIED = "verified"
    REJECTED = "rejected"
    QUARANTINED = "quarantined"
    LATE = "late"


class Outcome(StrEnum):
    """How one run ended."""

    DONE = "done"
    UNCHANGED = "unchanged"  # key and outputs as before: nothing ran, no run is written
    REJECTED = "rejected"
    HELD = "held"
    FAILED = "failed"
    TRANSIENT = "transient"
    LOST = "lost"  # the worker died: segmentation fault, killed, out of memory, over a limit
    STOPPED = "stopped"
    DRAINED = "drained"  # given back untouched
    BLOCKED = "blocked"  # an input is missing or changed: nothing ran
    ADOPTED = "adopted"  # a person declared it good as it is
