"""Places of point results: longitudes brought into one range, unit vectors, and cones on the sphere.

Pure functions of numbers in degrees. A cone is exact at the poles and across the antimeridian, for it is a chord in space.
"""

import math
from collections.abc import Sequence

from towpath.base.spacetime import Box

FRAMES = ("icrs", "wgs84")
_SLACK = 1e-9  # degrees by which the box around a cone is wider than it must be


def kept_longitude(longitude: float) -> float:
    """A longitude in [-180, 360] degrees as it is kept: in [-180, 180)."""
    return longitude - 360.0 if longitude >= 180.0 else longitude


def shown_longitude(longitude: float, frame: str) -> float:
    """A kept longitude as a person writes it: right ascension in [0, 360), longitude on Earth in [-180, 180)."""
    return longitude + 360.0 if frame == "icrs" and longitude < 0 else longitude


def check_place(longitude: float, latitude: float) -> None:
    """Raise `ValueError` unless the place is finite, longitude in [-180, 360] and latitude in [-90, 90] degrees."""
    if not -180.0 <= longitude <= 360.0:
        raise ValueError(f"longitude: found {longitude}; expected a number from -180 to 360 degrees")
    if not -90.0 <= latitude <= 90.0:
        raise ValueError(f"latitude: found {latitude}; expected a number from -90 to 90 degrees")


def unit_vector(longitude: float, latitude: float) -> tuple[float, float, float]:
    """The place as a unit vector."""
    around, up = math.radians(longitude), math.radians(latitude)
    return math.cos(up) * math.cos(around), math.cos(up) * math.sin(around), math.sin(up)


def chord_squared(radius: float) -> float:
    """The square of the chord between two places on the unit sphere that are `radius` degrees apart."""
    return 4.0 * math.sin(math.radians(radius) / 2.0) ** 2


def around(longitude: float, latitude: float, radius: float) -> Box:
    """A box that holds the cone of `radius` degrees: all longitudes where it reaches a pole.

    Raises
    ------
    ValueError
        If the place is out of range, or the radius is not in [0, 180] degrees.
    """
    check_place(longitude, latitude)
    if not 0.0 <= radius <= 180.0:
        raise ValueError(f"radius: found {radius}; expected a number from 0 to 180 degrees")
    south, north = max(latitude - radius - _SLACK, -90.0), min(latitude + radius + _SLACK, 90.0)
    if abs(latitude) + radius + _SLACK >= 90.0:
        return Box(-180.0, south, 180.0, north)
    sine = math.sin(math.radians(radius)) / math.cos(math.radians(latitude))
    half = math.degrees(math.asin(min(sine, 1.0))) * (1 + _SLACK) + _SLACK
    middle = kept_longitude(longitude)
    west, east = middle - half, middle + half
    return Box(west + 360.0 if west < -180.0 else west, south, east - 360.0 if east > 180.0 else east, north)


def sky_box(bounds: Sequence[float]) -> Box:
    """The box west, south, east, north with longitudes in [-180, 360] degrees; 0 to 360 are all longitudes.

    Raises
    ------
    ValueError
        If a bound is out of range or not a number.
    """
    if len(bounds) != 4:
        raise ValueError(f"found {len(bounds)} numbers; expected west, south, east, north")
    west, south, east, north = bounds
    check_place(west, south)
    check_place(east, north)
    if east - west >= 360.0:
        return Box(-180.0, south, 180.0, north)
    return Box(west - 360.0 if west > 180.0 else west, south, east - 360.0 if east > 180.0 else east, north)
