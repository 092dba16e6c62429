"""Numbers as people say them: durations, sizes, times, measured values. Pure functions; never reads a local time zone."""

from datetime import UTC
from typing import Any

from towpath.base import clock


def seconds(value: float) -> str:
    """A duration as people say it: ``0.2 s``, ``41 s``, ``12 min``, ``3.1 h``, ``5.0 d``."""
    if value < 10:
        return f"{value:.1f} s"
    if value < 100:
        return f"{value:.0f} s"
    if value < 6000:
        return f"{value / 60:.0f} min"
    return f"{value / 3600:.1f} h" if value < 172_800 else f"{value / 86400:.1f} d"


def size(value: float) -> str:
    """An amount of bytes in decimal units: ``512 B``, ``1.4 kB``, ``3.0 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def when(moment: float) -> str:
    """A time in UTC to the second, without the date if it is today's."""
    if not moment:
        return ""
    then, now = clock.moment(moment), clock.moment(clock.now())
    return then.astimezone(UTC).strftime("%H:%M:%S" if then.date() == now.date() else "%Y-%m-%d %H:%M:%S")


def ago(moment: float) -> str:
    """How long ago a time was, or how soon it is: ``12 min ago``, ``in 3.1 h``."""
    distance = clock.now() - moment
    return f"{seconds(distance)} ago" if distance >= 0 else f"in {seconds(-distance)}"


def number(value: Any) -> str:
    """A measured value: at most five significant digits of a number, anything else as it is."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def count(number: int, one: str, many: str = "") -> str:
    """A number with its noun: ``1 item``, ``3 items``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}".replace(",", " ")
