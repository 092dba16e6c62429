"""What somebody asks of items, in words: checked, and told to the catalog in its own terms.

Promises that what cannot be meant is a `UsageError` that says what was found and expected. Never asks the catalog.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from towpath.base import clock, states
from towpath.base.errors import UsageError
from towpath.base.spacetime import Box

Moment = str | float | datetime | None


@dataclass(frozen=True, slots=True)
class Asked:
    """Filters of items as they are asked for (`towpath.Site.items`)."""

    pipeline: str
    kind: str
    state: str
    stage: str
    text: str
    box: Box | Sequence[float] | None
    milestone: str
    attributes: Mapping[str, Any]
    since: Moment
    until: Moment

    def filters(self) -> dict[str, Any]:
        """The same as `contracts.catalog.View.items` takes it.

        Raises
        ------
        UsageError
            If there is no such state, the box is none, a time is none, or an attribute is no single value.
        """
        for name, value in self.attributes.items():
            if not isinstance(value, str | int | float):
                raise UsageError(
                    f"attribute {name}: found {value!r}; expected a text, a number, true or false"
                )
        return {
            "pipeline": self.pipeline,
            "kind": self.kind,
            "state": _state(self.state),
            "stage": self.stage,
            "text": self.text,
            "box": _box(self.box),
            "milestone": self.milestone,
            "attributes": self.attributes,
            "since": _moment("since", self.since),
            "until": _moment("until", self.until),
        }


def _moment(name: str, value: Moment) -> float | None:
    try:
        return None if value is None else clock.seconds(value)
    except ValueError:
        raise UsageError(
            f"{name}: found {value!r}; expected a time as 2026-05-01 or 2026-05-01T12:00:00Z"
        ) from None


def _state(text: str) -> states.Work | None:
    if not text:
        return None
    try:
        return states.Work(text)
    except ValueError:
        raise UsageError(f"no state {text!r}; states are {', '.join(states.Work)}") from None


def _box(bounds: Box | Sequence[float] | None) -> Box | None:
    if bounds is None or isinstance(bounds, Box):
        return bounds
    if len(bounds) not in (2, 4):
        raise UsageError(
            f"box: found {len(bounds)} numbers; expected west, south, east, north, or longitude, latitude"
        )
    try:
        return Box(*bounds, *(bounds if len(bounds) == 2 else ()))
    except (TypeError, ValueError) as error:
        raise UsageError(f"box: {error}") from None
