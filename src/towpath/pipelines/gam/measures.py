"""Measures of raw surveys, for the rules of `qualify`. A file that cannot be read says where and why."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from towpath import Context, One, measure

_STATIONS = {"stations": One("gravity/stations")}


@lru_cache(maxsize=2)
def _quality(path: Path, _mtime_ns: int) -> Any:
    from .science.qualify import measure_quality  # optional: the science libraries are slow to load
    from .science.stations import read_stations  # optional: see above

    return measure_quality(read_stations(path))


def _of(context: Context) -> Any:
    path = context.inputs["stations"]
    return _quality(path, path.stat().st_mtime_ns)


@measure(consumes=_STATIONS)
def n_stations(context: Context) -> int:
    """Stations in the file."""
    return int(_of(context).n_stations)


@measure(consumes=_STATIONS)
def n_usable(context: Context) -> int:
    """Stations that are in range, on land and the first at their place."""
    return int(_of(context).n_passed)


@measure(consumes=_STATIONS)
def out_of_range(context: Context) -> float:
    """Share of stations whose height or gravity cannot occur on the surface of the Earth."""
    found = _of(context)
    return float(found.n_out_of_range / found.n_stations)


@measure(consumes=_STATIONS)
def duplicates(context: Context) -> float:
    """Share of stations at a place that an earlier one has."""
    found = _of(context)
    return float(found.n_duplicate / found.n_stations)


@measure(consumes=_STATIONS)
def negative_height(context: Context) -> float:
    """Share of stations below zero height: at sea, or wrong."""
    found = _of(context)
    return float(found.n_negative_height / found.n_stations)


MEASURES = (n_stations, n_usable, out_of_range, duplicates, negative_height)
