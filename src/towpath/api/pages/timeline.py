"""Validity intervals laid out over time: lanes, bars and ticks of the drawing of calibrations. Pure; draws nothing itself."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from towpath.base import clock

WIDTH, NAMES, ROW, TOP = 1000, 190, 26, 26  # pixels
_FAR = 1e11  # seconds: an end that is none
_LEAST = 3.0  # pixels of a bar
_STEPS = (
    60.0, 300.0, 900.0, 3600.0, 3 * 3600.0, 6 * 3600.0, 12 * 3600.0, 86400.0, 2 * 86400.0, 7 * 86400.0, 14 * 86400.0,
)  # fmt: skip
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120, 240, 600)
_TICKS = 7


@dataclass(frozen=True, slots=True)
class Interval:
    """A bar to draw: of which lane, from when to when (seconds since the epoch), what it is."""

    lane: str
    begin: float
    end: float
    state: str
    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar as it is drawn, in pixels; `is_open` if it goes on beyond the picture."""

    x: float
    y: float
    width: float
    interval: Interval
    is_open: bool


@dataclass(frozen=True, slots=True)
class Drawing:
    """A whole picture: its size in pixels, lanes (name, y), ticks (x, text), where now is (None: outside)."""

    width: int
    height: int
    lanes: tuple[tuple[str, float], ...]
    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, str], ...]
    now: float | None


def draw(intervals: Sequence[Interval], now: float) -> Drawing | None:
    """Lay intervals out, each lane in as many rows as overlap; None where there is nothing to draw."""
    if not intervals:
        return None
    begin, end = _span(intervals, now)
    scale = (WIDTH - NAMES) / (end - begin)

    def place(moment: float) -> float:
        return NAMES + (min(max(moment, begin), end) - begin) * scale

    bars: list[Bar] = []
    lanes: list[tuple[str, float]] = []
    y = float(TOP)
    for lane in sorted({one.lane for one in intervals}):
        lanes.append((lane, y))
        of_lane = sorted(
            (one for one in intervals if one.lane == lane), key=lambda one: (one.begin, one.number)
        )
        rows: list[float] = []
        for one in of_lane:
            row = next((n for n, free in enumerate(rows) if free <= one.begin), len(rows))
            rows[row : row + 1] = [one.end]
            left, right = place(one.begin), place(one.end)
            bars.append(Bar(left, y + row * ROW, max(right - left, _LEAST), one, one.end > end))
        y += len(rows) * ROW + 6
    at = place(now) if begin <= now <= end else None
    ticks = tuple((place(moment), text) for moment, text in _ticks(begin, end))
    return Drawing(WIDTH, math.ceil(y), tuple(lanes), tuple(bars), ticks, at)


def _span(intervals: Sequence[Interval], now: float) -> tuple[float, float]:
    """From when to when the picture goes: over all that has an end, a little further where something has none."""
    begins = [one.begin for one in intervals if one.begin > -_FAR]
    ends = [one.end for one in intervals if one.end < _FAR]
    is_open = len(ends) < len(intervals)
    begin = min(begins, default=now - 86400.0)
    end = max([*ends, *begins, *([now] if is_open else [])], default=now)
    margin = max((end - begin) * 0.03, 60.0)
    return begin - margin, end + margin * (3 if is_open else 1)


def _ticks(begin: float, end: float) -> list[tuple[float, str]]:
    """Round moments between two, with their text."""
    wanted = (end - begin) / _TICKS
    step = next((one for one in _STEPS if one >= wanted), None)
    if step is None:
        return _months(begin, end, wanted)
    first = math.ceil(begin / step) * step
    shape = "%d %b %H:%M" if step < 86400 else "%d %b %Y"
    return [(first + n * step, _text(first + n * step, shape)) for n in range(int((end - first) / step) + 1)]


def _months(begin: float, end: float, wanted: float) -> list[tuple[float, str]]:
    step = next((one for one in _MONTHS if one * 30.44 * 86400 >= wanted), _MONTHS[-1])
    start = clock.moment(begin)
    found: list[tuple[float, str]] = []
    month = math.ceil((start.year * 12 + start.month - 1) / step) * step
    while len(found) < 3 * _TICKS:
        moment = datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp()
        if moment > end:
            break
        if moment >= begin:
            found.append((moment, _text(moment, "%b %Y" if step < 12 else "%Y")))
        month += step
    return found


def _text(moment: float, shape: str) -> str:
    return (clock.moment(0) + timedelta(seconds=moment)).strftime(shape).lstrip("0")
