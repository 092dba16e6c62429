"""What happened to an item, in words: milestones and events together, who, when and why; flags as a grid.

Pure functions. Looks nothing up.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from towpath.base.model import Event, Flag

_LONGEST = 160  # letters of what an event says
_QUIET = ("who", "why", "run", "by", "author")


@dataclass(frozen=True, slots=True)
class Told:
    """One line of the story. `run` is ``WORK.TOKEN`` or ""; `more` is what else the event says."""

    time: float
    what: str
    stage: str = ""
    run: str = ""
    who: str = ""
    why: str = ""
    more: str = ""
    is_milestone: bool = False


def story(milestones: Iterable[tuple[str, float]], events: Iterable[Event]) -> list[Told]:
    """Milestones and events, the newest first."""
    lines = [Told(time, name, is_milestone=True) for name, time in milestones]
    lines += [_told(event) for event in events]
    return sorted(lines, key=lambda one: one.time, reverse=True)


def _told(event: Event) -> Told:
    data = event.data
    who = next((str(data[name]) for name in ("who", "by", "author") if data.get(name)), "")
    rest = [(name, value) for name, value in data.items() if name not in _QUIET and value not in ("", None)]
    more = cut("; ".join(f"{name} {shown(value)}" for name, value in rest), _LONGEST)
    return Told(event.time, event.type, event.stage, event.run, who, str(data.get("why", "")), more)


def shown(value: Any) -> str:
    """A value of an event on one line: hashes short, lists with commas."""
    if isinstance(value, str):
        return f"{value[:12]}…" if len(value) == 64 else value
    if isinstance(value, Sequence):
        return ", ".join(shown(one) for one in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {shown(one)}" for name, one in value.items())
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def cut(text: str, most: int) -> str:
    """A text, with a sign that it goes on where it is too long."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


# ---- flags
@dataclass(frozen=True, slots=True)
class FlagGrid:
    """Flags on parts that have the same two names: rows by the one with more values, columns by the other."""

    names: tuple[str, str]
    columns: list[Any]
    rows: list[tuple[Any, list[list[Flag]]]]


def grid(flags: Sequence[Flag]) -> FlagGrid | None:
    """Flags as a grid, if the parts of at least one and of no other form have two names each; else None."""
    parts = [flag for flag in flags if flag.part]
    names = {tuple(flag.part) if len(flag.part) == 2 else () for flag in parts}
    if len({tuple(sorted(one)) for one in names}) != 1 or () in names:
        return None
    first, second = sorted(next(iter(names)), key=lambda name: -len({str(flag.part[name]) for flag in parts}))
    cells: dict[tuple[Any, Any], list[Flag]] = {}
    for flag in parts:
        cells.setdefault((flag.part[first], flag.part[second]), []).append(flag)
    rows = sorted({row for row, _ in cells}, key=_order)
    columns = sorted({column for _, column in cells}, key=_order)
    return FlagGrid(
        (first, second),
        columns,
        [(row, [cells.get((row, column), []) for column in columns]) for row in rows],
    )


def _order(value: Any) -> tuple[bool, Any]:
    """Numbers first, by value; all else by its text."""
    is_number = isinstance(value, int | float)
    return not is_number, value if is_number else str(value)


def part(text: str) -> dict[str, Any]:
    """The part that a person wrote as ``feed=3, band=1``.

    Raises
    ------
    ValueError
        If it is not of this form.
    """
    found: dict[str, Any] = {}
    for one in filter(None, (piece.strip() for piece in text.split(","))):
        name, sign, value = (piece.strip() for piece in one.partition("="))
        if not (sign and name and value):
            raise ValueError(f"part: found {one!r}; expected NAME=VALUE, such as feed=3, band=1")
        found[name] = int(value) if value.lstrip("-").isdecimal() and value.isascii() else value
    return found
