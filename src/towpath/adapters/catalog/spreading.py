"""What is still to be done of a change that touches very much work: values, as the payload of a row of work.

A transaction does what it has room for; the rest is one of these tasks, and whoever comes next goes on with it. Pure values.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

AT_ONCE = 500  # rows of work that one transaction takes back or looks at again
WINDOW = 20_000  # rows that are looked through in one step for those of a stage
WINDOW_ROWS = 100  # what that counts as

Kind = tuple[str, str]  # pipeline, kind
Front = Mapping[Kind, Sequence[int]]  # items


@dataclass(frozen=True, slots=True)
class Revision:
    """Work that is to be taken back.

    `works` are revised, and so is what used the product `used` as a calibration of kind `taken_as`, of the works after
    `after`; then all work waits of the items in `front`, and transitively of the groups that take them.
    """

    why: str = ""
    force: bool = False
    works: Sequence[int] = ()
    used: int = 0
    taken_as: str = ""
    after: int = 0
    front: Front = field(default_factory=dict)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left of it."""
        return not (self.works or self.used or self.front)


@dataclass(frozen=True, slots=True)
class Look:
    """Work that is to be looked at again: what waits, after good news (`is_good`); else what is ready.

    It is that of the `items`, or all of the stages, of the works after `after` up to `until`.
    """

    kind: Kind
    is_good: bool
    stages: Sequence[str] = ()  # none: all
    items: Sequence[int] = ()
    after: int = 0
    until: int = 0

    @property
    def is_done(self) -> bool:
        """Whether nothing is left of it."""
        return not self.items and self.after >= self.until


Task = Revision | Look


def payload(task: Task) -> dict[str, Any]:
    """The task as the payload of a row."""
    values = {one.name: getattr(task, one.name) for one in fields(task)}
    if isinstance(task, Look):
        return {"look": values}
    return {"revision": {**values, "front": [[*kind, items] for kind, items in task.front.items()]}}


def task_of(told: Mapping[str, Any]) -> Task:
    """The task that a payload holds."""
    if "look" in told:
        look = told["look"]
        return Look(**{**look, "kind": tuple(look["kind"])})
    front = {(pipeline, kind): items for pipeline, kind, items in told["revision"]["front"]}
    return Revision(**{**told["revision"], "front": front})


def joined(front: Front, more: Mapping[Kind, Iterable[int]]) -> Front:
    """Both fronts in one, each item once."""
    found = {kind: list(items) for kind, items in front.items()}
    for kind, items in more.items():
        known = set(found.get(kind, ()))
        found.setdefault(kind, []).extend(sorted(set(items) - known))
    return {kind: items for kind, items in found.items() if items}
