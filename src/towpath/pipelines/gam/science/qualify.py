"""Measures whether stations can be used: their ranges, repeated places and stations at sea.

It counts and marks; it decides nothing and changes no value. The limits of a verdict belong to the deployer.
"""

from dataclasses import dataclass

import numpy as np

from .arrays import BoolArray, FloatArray
from .stations import Stations

HEIGHT_RANGE_M = (-12_000.0, 9_000.0)
GRAVITY_RANGE_MGAL = (975_000.0, 985_000.0)
PLACE_RESOLUTION_DEG = 1e-7


@dataclass(frozen=True, slots=True, eq=False)
class Quality:
    """Counts over the stations of a survey, and the mask of those that pass.

    Parameters
    ----------
    n_stations, n_out_of_range, n_duplicate, n_negative_height, n_passed : int
        Numbers of stations; one station may be counted under several faults.
    passed : numpy.ndarray
        True where a station is in range, on land and the first usable one at its place.
    """

    n_stations: int
    n_out_of_range: int
    n_duplicate: int
    n_negative_height: int
    n_passed: int
    passed: BoolArray


def measure_quality(stations: Stations, *, keep_negative_height: bool = False) -> Quality:
    """Count the faults of a survey and mark the stations that pass.

    Parameters
    ----------
    stations : Stations
        The survey.
    keep_negative_height : bool
        Whether stations at sea may pass.

    Returns
    -------
    Quality
        Counts and mask.
    """
    outside = is_out_of_range(stations)
    at_sea = has_negative_height(stations)
    passed = ~outside if keep_negative_height else ~outside & ~at_sea
    passed[passed] = ~is_duplicate(stations.latitude[passed], stations.longitude[passed])
    return Quality(
        n_stations=len(stations),
        n_out_of_range=int(outside.sum()),
        n_duplicate=int(is_duplicate(stations.latitude, stations.longitude).sum()),
        n_negative_height=int(at_sea.sum()),
        n_passed=int(passed.sum()),
        passed=passed,
    )


def is_out_of_range(stations: Stations) -> BoolArray:
    """Mark stations with a value that cannot occur on the surface of the Earth, or that is not finite."""
    inside = _is_between(stations.latitude, (-90.0, 90.0))
    inside &= _is_between(stations.longitude, (-180.0, 360.0))
    inside &= _is_between(stations.height, HEIGHT_RANGE_M)
    inside &= _is_between(stations.gravity, GRAVITY_RANGE_MGAL)
    return ~inside


def has_negative_height(stations: Stations) -> BoolArray:
    """Mark stations whose height is below zero: ships, and the sea floor instead of the station."""
    return stations.height < 0.0


def is_duplicate(latitude: FloatArray, longitude: FloatArray) -> BoolArray:
    """Mark every station after the first at the same place (equal to 1e-7 degrees, longitude modulo 360)."""
    turn = round(360.0 / PLACE_RESOLUTION_DEG)
    place = np.column_stack([_steps(latitude), np.mod(_steps(longitude), turn)])
    _, first = np.unique(place, axis=0, return_index=True)
    repeated = np.ones(latitude.size, dtype=np.bool_)
    repeated[first] = False
    return repeated


def _is_between(values: FloatArray, limits: tuple[float, float]) -> BoolArray:
    return (values >= limits[0]) & (values <= limits[1])


def _steps(degrees: FloatArray) -> FloatArray:
    return np.rint(degrees / PLACE_RESOLUTION_DEG)
