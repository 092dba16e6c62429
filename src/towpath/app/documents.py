"""Values of Towpath as plain JSON: what `--json` prints and what the server answers.

Promises that times are ISO 8601 texts in UTC, hashes hexadecimal, and that no value is left out.
"""

import dataclasses
from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any

from towpath.base import clock

_TOLD = {"attributes", "properties"}  # what a pipeline tells stays as it is, whatever it is called
_TIMES = {"time", "registered", "began", "created", "updated", "due", "until"}


def plain(value: Any, name: str = "") -> Any:
    """A value, whatever it is made of, as JSON can hold it; `name` is the field it stands in."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name), field.name) for field in dataclasses.fields(value)
        }
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(inner, "" if name in _TOLD else str(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner) for inner in value]
    if name in _TIMES and isinstance(value, float):
        return clock.text(value) if value else None
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)


def counts(found: Mapping[tuple[str, str, str, str], int]) -> list[dict[str, Any]]:
    """Counts of work by (pipeline, kind, stage, state)."""
    names = ("pipeline", "kind", "stage", "state")
    return [{**dict(zip(names, key, strict=True)), "count": count} for key, count in sorted(found.items())]
