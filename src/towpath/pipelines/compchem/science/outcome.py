"""What came of reading files: SUCCESS, PARTIAL or FAILURE, a sentence that says why, and what was made.

Promises that whatever is not SUCCESS says what was and was not possible and what to do. Never holds a traceback.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Self


class Status(StrEnum):
    """How far reading went."""

    SUCCESS = "SUCCESS"  # all that such a file can give, of a calculation that ended well
    PARTIAL = "PARTIAL"  # something usable, but not all
    FAILURE = "FAILURE"  # nothing usable


class Unreadable(Exception):
    """A file gives nothing usable: `sentence` says what was found, what was expected and what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one or more files.

    `sentence` is for people; `files` maps names of outputs to the names of files in the folder that was given to the
    reader; `facts` are the metadata, fit for JSON; `parser` has ``name`` and ``version`` of what read the file.
    """

    status: Status
    sentence: str
    files: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    parser: Mapping[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write it as JSON; numbers that are not finite become null."""
        told = {name: getattr(self, name) for name in ("status", "sentence", "files", "facts", "parser")}
        path.write_text(json.dumps(plain(told), indent=1, allow_nan=False), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote. Raises `ValueError` if it is none."""
        told = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**told, "status": Status(told["status"])})


def plain(value: Any) -> Any:
    """A value as JSON has it: arrays and numpy numbers become lists and numbers, what is not finite None."""
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, str | bool) or value is None:
        return str(value) if isinstance(value, str) else value
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, int) else str(value)
