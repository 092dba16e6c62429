"""Time: aware UTC moments, their text form, and durations as people write them.

Promises that every time in Towpath is an aware UTC `datetime` or seconds since 1970-01-01T00:00:00Z.
Never reads a local time zone.
"""

import re
import time
from datetime import UTC, datetime

_UNITS = {
    "ms": 0.001,
    "s": 1.0,
    "sec": 1.0,
    "min": 60.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "day": 86400.0,
    "days": 86400.0,
}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*")


def now() -> float:
    """Seconds since the epoch (UTC) of this host's clock."""
    return time.time()


def moment(seconds: float) -> datetime:
    """The aware UTC moment of `seconds` since the epoch."""
    return datetime.fromtimestamp(seconds, UTC)


def text(seconds: float) -> str:
    """ISO 8601 with milliseconds and `Z`, the form used in files and on screens."""
    return moment(seconds).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds(value: str | float | datetime) -> float:
    """Seconds since the epoch of an ISO 8601 text, a number of seconds or a datetime (naive means UTC).

    Raises
    ------
    ValueError
        If the text is not ISO 8601.
    """
    if isinstance(value, int | float):
        return float(value)
    when = datetime.fromisoformat(value) if isinstance(value, str) else value
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def duration(value: str | float) -> float:
    """Seconds of a duration such as ``"10 min"``, ``"1 h 30 min"`` or ``"200 ms"``; a number is seconds.

    Raises
    ------
    ValueError
        If the text is not a duration; the message names the accepted units.
    """
    if isinstance(value, int | float):
        return float(value)
    total, end = 0.0, 0
    for match in _DURATION.finditer(value):
        if match.start() != end or match[2] not in _UNITS:
            break
        total, end = total + float(match[1]) * _UNITS[match[2]], match.end()
    if end != len(value) or not value:
        raise ValueError(
            f"not a duration: {value!r}; write a number and one of {', '.join(_UNITS)}, such as '10 min'"
        )
    return total
