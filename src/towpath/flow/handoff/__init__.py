"""Hand-off: what waits for people, as states and not as sleeping workers: gates that they decide, work that they do.

A gate or hand-off is opened when the turn of its stage comes, and the stage is held. What a person decides or delivers
releases it; then its claim finds the answer and ends it, as any other work ends. Promises that an answer counts only for
the inputs that were shown with the question, and that whoever may not answer does not.
"""

from towpath.flow.handoff.answer import (
    CLOCK,
    approve,
    assign,
    cancel,
    claim,
    due,
    give_back,
    reject,
    take,
)
from towpath.flow.handoff.boxes import Boxes, Minder, box_of, lay_out, look_into
from towpath.flow.handoff.receive import Examined, examine, receive
from towpath.flow.handoff.service import Desk, accepted, standing

__all__ = [
    "CLOCK", "Boxes", "Desk", "Examined", "Minder", "accepted", "approve", "assign", "box_of", "cancel", "claim", "due",
    "examine", "give_back", "lay_out", "look_into", "receive", "reject", "standing", "take",
]  # fmt: skip
