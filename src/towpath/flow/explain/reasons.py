"""What an explanation is made of: reasons, each with a code that programs may rely on, a sentence, and what to do.

Frozen values. Never looks anything up.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from towpath.base import clock
from towpath.base.model import Item, WorkRow
from towpath.base.provenance import Difference
from towpath.base.states import Product as ProductState
from towpath.contracts.catalog import LetGoRow, Need, View
from towpath.contracts.definition import Definition, KindPlan, StagePlan

Holder = tuple[int, str, int, str, bool]  # a session: number, host, pid, lock file, attributable


class Why(StrEnum):
    """Why work is as it is. New kinds of reasons may come; these keep their meaning."""

    # waiting
    GATHER = "gather"
    MEMBER = "member"
    STAGE = "stage"
    INPUT = "input"
    CALIBRATION = "calibration"
    NOTE = "note"
    LOOK = "look"
    # ready
    LATER = "later"
    DISK = "disk"
    IDLE = "idle"
    QUEUE = "queue"
    # running
    RUNNING = "running"
    LOST = "lost"
    OUTDATED = "outdated"
    # held
    RULE = "rule"
    TIMEOUT = "time-out"
    GATE = "gate"
    ORDER = "order"
    APPROVAL = "approval"
    PERSON = "person"
    # ended
    REJECTED = "rejected"
    FAILED = "failed"
    POISONED = "poisoned"
    STOPPED = "stopped"
    RETIRED = "retired"
    DONE = "done"
    PRODUCT = "product"
    LET_GO = "let-go"
    PUBLICATION = "publication"
    UNGROUPED = "ungrouped"
    # what changed since the last run
    REVISED = "revised"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason: its code, a sentence, what a person may do ("" where nothing is to be done), and the facts in it."""

    code: Why
    text: str
    do: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a stage of an item is as it is: reasons, the most important first, and the components that differ."""

    item: str
    stage: str
    state: str
    reasons: tuple[Reason, ...]
    differences: tuple[Difference, ...] = ()
    work: int = 0
    run: str = ""
    key: bytes | None = None
    components: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sentences(self) -> tuple[str, ...]:
        """The sentences of the reasons."""
        return tuple(reason.text for reason in self.reasons)


@dataclass(frozen=True, slots=True)
class Around:
    """What surrounds the work: how many cores runs may use, who is alive (None: cannot be told), and room on the disk.

    `no_room` says why nothing is begun for want of room. `free` is the bytes on the store's disk, `must_stay` those of
    them that must stay free; `declared` gives the bytes that the runs which go on are expected to write.
    """

    workers: int = 1
    is_alive: Callable[[Holder], bool | None] = lambda _: None
    no_room: str = ""
    free: float = math.inf
    must_stay: int = 0
    declared: Callable[[View], int] = lambda _: 0


@dataclass(frozen=True, slots=True)
class Case:
    """One stage of one item, with what is known of it. `kind` and `stage` are None where they left the pipeline file."""

    view: View
    around: Around
    definition: Definition
    item: Item
    row: WorkRow
    rows: Mapping[str, WorkRow]
    kind: KindPlan | None = None
    stage: StagePlan | None = None
    need: Need = field(default_factory=Need)

    @property
    def where(self) -> str:
        """How commands name the item and the stage."""
        return f"{self.item.kind}/{self.item.key} --stage {self.row.stage}"


def let_go(one: LetGoRow) -> str:
    """What was let go, in words: when, by which `keep`, and whether its bytes are there still."""
    where = f"{one.product.root}:{one.product.path}"
    then = {
        ProductState.SHED: "its bytes lie in the trash still",
        ProductState.SPENT: "it is made again when it is read",
        ProductState.WANTED: "it is made again now",
    }[one.product.state]
    return f"{where} was let go on {clock.text(one.time)}: {one.why}; {then}"


def let_go_facts(one: LetGoRow) -> dict[str, Any]:
    """The facts in that."""
    product = one.product
    facts = {"product": product.id, "root": product.root, "path": product.path, "state": product.state.value}
    return {**facts, "since": clock.text(one.time), "keep": one.why}


def listed(names: Sequence[str], most: int = 5) -> str:
    """Names in words, at most some of them: ``a, b and 3 more``."""
    more = len(names) - most
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:most])} and {more} more"
