"""The anchors that files are joined to, and what the items are called that began there.

Promises that an anchor never moves: joining does not depend on what was joined before. Reads and writes slots only.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from towpath.contracts.catalog import Slot, Transaction
from towpath.contracts.definition import SourcePlan
from towpath.contracts.source import Intake


def anchors_within(anchors: Iterable[float], when: float, within: float) -> list[float]:
    """The anchors that reach `when`: none begins an item, one is joined, two are ambiguous. All in seconds."""
    return sorted(anchor for anchor in set(anchors) if abs(anchor - when) <= within)


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """What an item is called that is being gathered, and after which file; the best is the least.

    That is the file that leads (`follows` is false), else the earliest, `when` in seconds since the epoch.
    """

    follows: bool
    when: float
    key: str

    @classmethod
    def of(cls, intake: Intake) -> "Name":
        """The name that a file gives."""
        return cls(not intake.leads, intake.when or 0.0, intake.key)


class Anchors:
    """The anchors that files are joined to: when the first file of an item came from, and what the item is called.

    They never move. Each stands in the slot of a stretch of time that is long beside the reach. Where items are called
    after one of their files, it says after which; else only the key.
    """

    def __init__(self, tx: Transaction, plan: SourcePlan) -> None:
        self.tx, self.rule, self.within = tx, rule_of(plan), plan.join_within
        self.slots: dict[str, Slot] = {}
        self.data: dict[str, dict[str, Any]] = {}
        self.fresh: set[str] = set()

    def lock(self, intakes: Sequence[Intake]) -> None:
        """Lock what may hold an anchor near these."""
        for name in sorted({name for intake in intakes for name in self._stretches(intake)}):
            self.slots[name] = self.tx.slot(self.rule, name)
            self.data[name] = dict(self.slots[name].data)

    def write(self) -> None:
        """Note what changed."""
        for name, slot in self.slots.items():
            if self.data[name] != slot.data:
                self.tx.set_slot(slot, self.data[name])

    def _stretches(self, intake: Intake, within: float | None = None) -> list[str]:
        reach = self.within if within is None else within
        length = max(64 * self.within, 3600.0)
        when = intake.when or 0.0
        numbers = sorted({int((when + shift) // length) for shift in (-reach, 0.0, reach)})
        return [f"near {number} {intake.partition}" for number in numbers]

    def near(self, intake: Intake) -> list[str]:
        """The keys of the items whose anchors reach a file, by time."""
        near = {
            float(text): value for name in self._stretches(intake) for text, value in self.data[name].items()
        }
        return [_key_of(near[anchor]) for anchor in anchors_within(near, intake.when or 0.0, self.within)]

    def begin(self, intake: Intake, *, is_named: bool) -> None:
        """A file that none reaches is an anchor itself."""
        value = asdict(Name.of(intake)) if is_named else intake.key
        self.data[self._stretches(intake, 0.0)[0]][repr(intake.when or 0.0)] = value
        self.fresh.add(intake.key)

    def is_fresh(self, key: str) -> bool:
        """Whether the item of this key begins in this transaction."""
        return key in self.fresh

    def _place(self, key: str) -> tuple[str, str] | None:
        places = ((name, text) for name, values in self.data.items() for text in values)
        return next((place for place in places if _key_of(self.data[place[0]][place[1]]) == key), None)

    def name(self, key: str) -> Name | None:
        """What the item of this key is called, and after which file; None if that is not to change."""
        place = self._place(key)
        value = self.data[place[0]][place[1]] if place else None
        return Name(**value) if isinstance(value, dict) else None

    def call(self, key: str, name: Name) -> None:
        """The item of this key is called so from now on."""
        if place := self._place(key):
            self.data[place[0]][place[1]] = asdict(name)

    def forget(self, key: str) -> None:
        """No item could begin here."""
        if place := self._place(key):
            del self.data[place[0]][place[1]]


def _key_of(value: Any) -> str:
    return str(value["key"]) if isinstance(value, dict) else str(value)


def rule_of(plan: SourcePlan) -> str:
    """The rule of the slots of a source."""
    return f"source {plan.pipeline}/{plan.name}"
