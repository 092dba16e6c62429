"""Point results of a run, from whatever columns a stage has to the plain ones of a report, checked.

Promises that what comes out is finite, in range and small enough to be kept. Never imports an array library.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from towpath.adapters.executors.wire import plain
from towpath.base import places
from towpath.base.model import Features

MOST_BYTES = 2048  # of the properties of one feature as JSON
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False).encode


def columns(
    kind: str,
    frame: str,
    lon: Sequence[float],
    lat: Sequence[float],
    names: Sequence[str],
    properties: Mapping[str, Sequence[Any]],
    times: Sequence[float | None] | None,
) -> Features:
    """The features of columns of one length, in degrees and seconds since the epoch.

    Raises
    ------
    ValueError
        If a place is out of range, columns differ in length, or properties are too large.
    """
    if not kind or frame not in places.FRAMES:
        raise ValueError(
            f"features: found kind {kind!r} in frame {frame!r}; expected a kind, in {' or '.join(places.FRAMES)}"
        )
    longitudes, latitudes = _floats(kind, "lon", lon), _floats(kind, "lat", lat)
    told = [str(name) for name in _listed(names)]
    moments = [
        None if one is None else _float(kind, "times", at, one) for at, one in enumerate(_listed(times))
    ]
    values = {str(name): [_value(one) for one in _listed(column)] for name, column in properties.items()}
    number = len(longitudes)
    lengths = {"lat": len(latitudes), **{name: len(column) for name, column in values.items()}}
    lengths |= {name: len(column) for name, column in (("names", told), ("times", moments)) if column}
    for name, length in lengths.items():
        if length != number:
            raise ValueError(f"{kind}: column {name}: found {length} values; expected {number}, as in lon")
    for at, (longitude, latitude) in enumerate(zip(longitudes, latitudes, strict=True)):
        try:
            places.check_place(longitude, latitude)
        except ValueError as error:
            raise ValueError(f"{kind} {at}: {error}") from None
    for at, moment in enumerate(moments):
        if moment is not None and not math.isfinite(moment):
            raise ValueError(f"{kind} {at}: time: found {moment}; expected seconds since the epoch")
    kept = tuple([places.kept_longitude(one) for one in longitudes])
    return Features(
        kind, frame, kept, tuple(latitudes), tuple(told), tuple(moments), _texts(kind, values, number)
    )


def _listed(column: Any) -> list[Any]:
    """A column as a list; texts of arrays of bytes, as files of tables have them, are texts."""
    listed = [] if column is None else column.tolist() if hasattr(column, "tolist") else list(column)
    return [one.decode(errors="replace") if isinstance(one, bytes) else one for one in listed]


def _floats(kind: str, name: str, column: Any) -> list[float]:
    return [_float(kind, name, at, one) for at, one in enumerate(_listed(column))]


def _float(kind: str, name: str, at: int, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{kind} {at}: {name}: found {value!r:.80}; expected a number") from None


def _value(value: Any) -> Any:
    """A number or text as JSON can hold it: what is not finite is None."""
    value = plain(value)
    if isinstance(value, list | dict):
        raise ValueError(f"a property is a number or text, not {value!r:.80}")
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _texts(kind: str, values: Mapping[str, Sequence[Any]], number: int) -> tuple[str, ...]:
    if not values:
        return ()
    names = list(values)
    texts = tuple([_encode(dict(zip(names, row, strict=True))) for row in zip(*values.values(), strict=True)])
    for at, text in enumerate(texts):
        if len(text) > MOST_BYTES // 4 and (size := len(text.encode(errors="replace"))) > MOST_BYTES:
            raise ValueError(
                f"{kind} {at}: properties: found {size} bytes as JSON; expected at most {MOST_BYTES}"
            )
    return texts
