"""Many rows in one statement: what the shared SQL says for one row, said to PostgreSQL for all of them at once.

Promises the same effect, as long as no two rows change the same one. Statements of another form are left to be run row
by row.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

_Bulk = tuple[str, list[str]]  # the statement, and the array of each column as text

_INSERT = re.compile(r"(INSERT INTO \w+ \([^()]*\)) VALUES \(([^()]*)\)( ON CONFLICT DO NOTHING)?")
_UPDATE = re.compile(r"(UPDATE \w+ SET (?:(?!SELECT|WHERE).)*)( WHERE (?:(?!SELECT|WHERE).)*)")
_DELETE = re.compile(r"(DELETE FROM \w+)( WHERE (?:(?!SELECT|WHERE).)*)")
_LIST = re.compile(r"\bIN \(\?")

_NAMES = {int: "bigint", float: "float8", str: "text", bytes: "bytea", bool: "boolean"}


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


_WRITE: dict[str, Callable[[Any], str]] = {
    "bigint": str,
    "float8": str,
    "text": _quoted,
    "bytea": lambda value: f'"\\\\x{value.hex()}"',
    "boolean": lambda value: "t" if value else "f",
}


def bulk(statement: str, rows: Sequence[Sequence[Any]]) -> _Bulk | None:
    """One statement for all rows with its values; None if it has another form, or values of several kinds in a column."""
    columns = list(zip(*rows, strict=True))
    types = [_type(column) for column in columns]
    if "?" in types:
        return None
    text = _said(statement, tuple(types))
    if text is None:
        return None
    return text, [_array(column, name) for column, name in zip(columns, types, strict=True) if name]


def _type(column: Iterable[Any]) -> str:
    """PostgreSQL's name of a column's type: "" where all is None, "?" where there are several."""
    kinds = {type(value) for value in column if value is not None}
    names = {next((_NAMES[base] for base in kind.__mro__ if base in _NAMES), "?") for kind in kinds}
    if names == {"bigint", "float8"}:
        return "float8"
    return names.pop() if len(names) == 1 else "?" if names else ""


def _array(column: Iterable[Any], name: str) -> str:
    write = _WRITE[name]
    return "{" + ",".join(["NULL" if value is None else write(value) for value in column]) + "}"


@lru_cache(maxsize=1024)
def _said(statement: str, types: tuple[str, ...]) -> str | None:
    """The statement for a table `u` of values with the columns c1, c2, …; None if it has another form."""
    if _LIST.search(statement):
        return None
    marks = [f"${number}::{name}[]" for number, name in enumerate((name for name in types if name), 1)]
    if not marks:
        return None
    names = [f"u.c{number}" if name else "NULL" for number, name in enumerate(types, 1)]
    heads = ", ".join(name.removeprefix("u.") for name in names if name != "NULL")
    given = f"unnest({', '.join(marks)}) AS u({heads})"
    if found := _INSERT.fullmatch(statement):
        said = f"{found[1]} SELECT {found[2]} FROM {given}{found[3] or ''}"
    elif found := _UPDATE.fullmatch(statement):
        said = f"{found[1]} FROM {given}{found[2]}"
    elif found := _DELETE.fullmatch(statement):
        said = f"{found[1]} USING {given}{found[2]}"
    else:
        return None
    parts = said.split("?")
    return "".join(part + name for part, name in zip(parts, [*names, ""], strict=True))
