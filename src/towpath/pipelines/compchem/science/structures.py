"""What every reader of structures gives: atoms with their title, cell and facts, and what is missing of them.

Also gives lines of a file one by one, bounded, so that a hostile file cannot fill the memory.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .composition import Atoms, FloatArray, IntArray, TextArray
from .outcome import Unreadable
from .text_encoding import open_text

READER = {"name": "towpath structures", "version": "1"}
"""The parser of formats that are read here; raise the version when results change."""
MOST_ATOMS = 3_000_000
"""Atoms that are read of one file."""
LONGEST_LINE = 100_000
"""Characters of the longest line that is taken for one."""


@dataclass(frozen=True, slots=True)
class Structure:
    """Atoms that were read, with what was said about them.

    `box` has the vectors of the periodic cell in ångström as rows, shape (3, 3); `facts` are the metadata of the format;
    `missing` says in sentences what the file should hold and does not; `notes` what is well but worth knowing.
    """

    format: str
    format_name: str
    atoms: Atoms
    title: str = ""
    frames: int = 1
    box: FloatArray | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    parser: Mapping[str, str] = field(default_factory=lambda: dict(READER))


def lines_of(path: Path) -> Iterator[str]:
    """Give the lines of a text without their ends. Raises `Unreadable` at a line beyond `LONGEST_LINE` characters."""
    with open_text(path) as lines:
        number = 0
        while line := lines.readline(LONGEST_LINE):
            number += 1
            if len(line) == LONGEST_LINE and not line.endswith("\n"):
                raise Unreadable(
                    f"Line {number:,} is longer than {LONGEST_LINE:,} characters, which no file of structures has. "
                    "Upload the file as the program wrote it."
                )
            yield line.rstrip("\r\n")


def texts(values: list[str]) -> TextArray:
    """Give texts as an array, also of none."""
    return np.array(values, dtype=np.str_) if values else np.zeros(0, dtype="U1")


def numbers(values: list[int]) -> IntArray:
    """Give whole numbers as an array, also of none."""
    return np.array(values, dtype=np.int64)


def shorten(text: str, most: int = 60) -> str:
    """Shorten a text that a sentence quotes, leaving what can be printed."""
    clean = "".join(letter if letter.isprintable() else " " for letter in text).strip()
    return clean if len(clean) <= most else f"{clean[: most - 1]}…"


def whole_numbers(fields: Sequence[str]) -> list[int]:
    """Read whole numbers up to the first field that is none."""
    values = []
    for one in fields:
        try:
            values.append(int(one))
        except ValueError:
            break
    return values


def real_numbers(fields: Sequence[str]) -> list[float]:
    """Read numbers up to the first field that is none."""
    values = []
    for one in fields:
        try:
            values.append(float(one))
        except ValueError:
            break
    return values
