"""What a publication needs next, and what speaks against it: pure decisions on rows and on what was found.

The same decision serves a publication that goes on and one that is found after a kill. Never touches a disk.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from towpath.base import clock
from towpath.base.errors import DefinitionError
from towpath.base.model import Item, Product
from towpath.base.states import Outcome
from towpath.base.states import Publication as State
from towpath.contracts.catalog import Claimed, PublicationRow, View
from towpath.contracts.definition import KindPlan
from towpath.contracts.lineage import Lineage, closed, label, outdated, statements
from towpath.contracts.publication import PublishSettings

PLACED = frozenset({State.COMMITTED, State.RELEASED, State.SUPERSEDED, State.WITHDRAWN})
STANDING = (State.COMMITTED, State.RELEASED)
UNPLACED = frozenset({State.INTENDED, State.COPIED, State.VERIFIED})
_GRAVITY = {"pass": 0, "warn": 1, "hold": 2, "reject": 3}
_WORST = {"pass": 0, "warn": 1, "any": 3}


class Action(StrEnum):
    """What a publication needs next."""

    COPY = "copy"
    VERIFY = "verify"
    CHECK = "check"
    PLACE = "place"
    COMMIT = "commit"
    CONFLICT = "conflict"
    ROLL_BACK = "roll back"
    RELEASE = "release"
    FINISH = "finish"


@dataclass(frozen=True, slots=True)
class Found:
    """What lies in the archive: the sha256 of this attempt's temporary and of the target, None for nothing."""

    temporary: bytes | None = None
    target: bytes | None = None


def next_step(row: PublicationRow, found: Found) -> Action:
    """What a publication in this state needs next, given what was found in the archive.

    It is the same for one that goes on and for one that is found after a kill: state and disk tell all.
    """
    whole = found.temporary == row.sha256
    match row.state:
        case State.INTENDED:
            return Action.COPY
        case State.COPIED:
            return Action.VERIFY if whole else Action.ROLL_BACK
        case State.VERIFIED:
            return Action.CHECK if whole else Action.ROLL_BACK
        case State.PLACING if found.target is None:
            return Action.PLACE if whole else Action.ROLL_BACK
        case State.PLACING:
            return Action.COMMIT if found.target == row.sha256 else Action.CONFLICT
        case State.COMMITTED:
            return Action.RELEASE
        case State.FAILED | State.CONFLICT:
            return Action.ROLL_BACK
        case _:
            return Action.FINISH


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a publication may not be placed now, and how its run ends for it: `after` is in seconds."""

    outcome: Outcome
    reason: str
    after: float = 0.0


def objections(
    view: View, chosen: PublishSettings, kind: KindPlan, item: Item, lineage: Lineage, licence: str
) -> list[Objection]:
    """All that speaks against publishing products of this lineage now, what may pass by itself last."""
    found = [Objection(Outcome.BLOCKED, reason) for reason in outdated(view, lineage)]
    if view.spreading():
        found.append(
            Objection(Outcome.BLOCKED, "a change spreads, which may take back what this is made from")
        )
    stated = statements(lineage)
    refused = [*closed(stated, chosen.licence.waive), *_unjudged(view, chosen, kind, item)]
    if chosen.licence_required and not (licence or any(one.licence for one in stated)):
        refused.append("no licence is known, and licence_required is set")
    found += [Objection(Outcome.FAILED, reason) for reason in refused]
    until, now = chosen.embargo_until(item), view.now()
    if until > now:
        found.append(Objection(Outcome.TRANSIENT, f"under embargo until {clock.text(until)}", until - now))
    return found


def _unjudged(view: View, chosen: PublishSettings, kind: KindPlan, item: Item) -> list[str]:
    """Verdicts that are worse than allowed, and stages that should have judged and did not."""
    last = {
        stage: (verdict, who) for stage, verdict, _, who in view.verdicts(item.id) if stage in kind.stages
    }
    reasons = [f"{stage} has given no verdict" for stage in chosen.requires if stage not in last]
    for stage, (verdict, who) in last.items():
        gravity = min(_GRAVITY[verdict.result], 1) if who else _GRAVITY[verdict.result]
        if gravity > _WORST[chosen.verdict]:
            reasons.append(f"the verdict of {stage} is {verdict.result}; {chosen.verdict} is needed")
    return reasons


def choose(chosen: PublishSettings, claimed: Claimed) -> tuple[Product, ...]:
    """The products to publish: those of the claimed inputs that the settings name, in a stable order.

    Raises
    ------
    DefinitionError
        If a name fits no input, or nothing is left to publish.
    """
    offered = {row.product.id: row.product for row in claimed.inputs if row.product is not None}
    wanted = set(chosen.products)
    taken = [
        one for one in offered.values() if not wanted or {one.stage, f"{one.stage}.{one.output}"} & wanted
    ]
    fitting = {name for one in taken for name in (one.stage, f"{one.stage}.{one.output}")}
    if wanted - fitting or not taken:
        have = ", ".join(sorted(label(one) for one in offered.values())) or "nothing"
        asked = ", ".join(sorted(wanted - fitting)) or "at least one product"
        raise DefinitionError(f"publish.products: {asked}; the stage's inputs are {have}")
    return tuple(sorted(taken, key=lambda one: (one.item, one.stage, one.output, one.part)))


def version_of(rows: Iterable[PublicationRow], before: int | None = None) -> int:
    """Which publication of its work the next one is (or the row `before` was), from 1.

    It is one more than there were places; a place that lost its files and gets them again counts once.
    """
    rows = list(rows)
    again = {row.target for row in rows if (row.state not in PLACED if before is None else row.id == before)}
    placed = {row.target for row in rows if row.state in PLACED and (before is None or row.id < before)}
    return 1 + len(placed - again)
