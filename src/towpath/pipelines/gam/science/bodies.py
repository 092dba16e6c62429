"""Buried rectangular prisms, their attraction and their record: the truth behind a simulated survey.

The forward model is harmonica's, so it shares no code with the reduction and gridding that are tested against it.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import harmonica
import numpy as np
from pyproj import CRS

from .arrays import FloatArray
from .projection import project
from .reduction import Trend

LEAST_STRONG_MGAL = 12.0


@dataclass(frozen=True, slots=True)
class Body:
    """One buried rectangular prism.

    Parameters
    ----------
    longitude, latitude : float
        Centre in degrees.
    west, east, south, north : float
        Sides in metres of the projected coordinates.
    bottom, top : float
        Heights in metres above the ellipsoid, negative below.
    density_kg_m3 : float
        Contrast to the rock around, in kg/m³.
    peak_mgal : float
        Its attraction above its centre, at the median height of the stations, in mGal.
    """

    longitude: float
    latitude: float
    west: float
    east: float
    south: float
    north: float
    bottom: float
    top: float
    density_kg_m3: float
    peak_mgal: float

    @property
    def half_size_m(self) -> float:
        """Half of the mean side, in metres."""
        return (self.east - self.west + self.north - self.south) / 4.0

    @property
    def is_strong(self) -> bool:
        """Whether a good survey must find it."""
        return abs(self.peak_mgal) >= LEAST_STRONG_MGAL


@dataclass(frozen=True, slots=True)
class Truth:
    """What was put into a simulated survey.

    Parameters
    ----------
    seed : int
        Seed of all random choices.
    crs_wkt : str
        Projection of the sides of the bodies.
    bodies : tuple of Body
        The buried bodies.
    trend : Trend
        The regional field.
    noise_mgal : float
        Standard deviation of the noise, in mGal.
    outliers, duplicates, marine : tuple of int
        Rows of the survey that are wrong by far, repeat an earlier place, or lie at sea.
    """

    seed: int
    crs_wkt: str
    bodies: tuple[Body, ...]
    trend: Trend
    noise_mgal: float
    outliers: tuple[int, ...]
    duplicates: tuple[int, ...]
    marine: tuple[int, ...]

    def disturbance(self, latitude: FloatArray, longitude: FloatArray, height: FloatArray) -> FloatArray:
        """Return the true Bouguer disturbance in mGal at places in degrees and heights in metres."""
        easting, northing = project(CRS.from_wkt(self.crs_wkt), latitude, longitude)
        return self.trend(easting, northing) + attraction(self.bodies, easting, northing, height)


def attraction(
    bodies: tuple[Body, ...], easting: FloatArray, northing: FloatArray, height: FloatArray
) -> FloatArray:
    """Return the downward attraction in mGal of all bodies at places in metres."""
    if not bodies:
        return np.zeros(np.shape(easting))
    sides = [(body.west, body.east, body.south, body.north, body.bottom, body.top) for body in bodies]
    density = [body.density_kg_m3 for body in bodies]
    return np.asarray(harmonica.prism_gravity((easting, northing, height), sides, density, field="g_z"))


def write_truth(path: Path | str, truth: Truth) -> None:
    """Write the truth as JSON; equal truths give equal bytes."""
    Path(path).write_text(json.dumps(asdict(truth), indent=1) + "\n", encoding="utf-8")


def read_truth(path: Path | str) -> Truth:
    """Read the truth that `write_truth` wrote."""
    record: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    for name in ("outliers", "duplicates", "marine"):
        record[name] = tuple(record[name])
    record["bodies"] = tuple(Body(**body) for body in record["bodies"])
    trend = record["trend"]
    record["trend"] = Trend(
        trend["degree"], tuple(trend["centre"]), tuple(trend["scale"]), tuple(trend["coefficients"])
    )
    return Truth(**record)
