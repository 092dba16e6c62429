"""Simulates a gravity survey over buried bodies at known places, in the format of real compilations.

Stations follow wavy roads with gaps, others lie about the land and a few at sea; observed gravity is the sum of normal
gravity, a slab of topography, a regional trend, the attraction of prisms, and noise, with a few outliers and repeated
stations. Equal arguments give equal bytes; the truth is written beside the survey and never into it.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import harmonica
import numpy as np
from pyproj import CRS

from .science.arrays import FloatArray, IntArray
from .science.projection import project, unproject
from .science.reduction import Trend, bouguer_slab, exponents, gravity_disturbance
from .science.stations import Stations, write_stations

CENTRE_LATITUDE, CENTRE_LONGITUDE = -24.0, 19.0
WIDTH_M, HEIGHT_M = 480_000.0, 360_000.0
BODY_MARGIN_M = 45_000.0
BODIES_APART_M = 80_000.0
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
        Its attraction above its centre at the median height of the stations, in mGal.
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
        """Half of the mean side in metres."""
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

    def anomaly(self, latitude: FloatArray, longitude: FloatArray, height: FloatArray) -> FloatArray:
        """Return the attraction of the bodies alone, in mGal."""
        easting, northing = project(CRS.from_wkt(self.crs_wkt), latitude, longitude)
        return attraction(self.bodies, easting, northing, height)


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """A simulated survey: its stations as an instrument gives them, and the truth."""

    stations: Stations
    truth: Truth


def simulate_survey(
    seed: int = 1,
    *,
    n_stations: int = 2_600,
    n_bodies: int = 10,
    noise_mgal: float = 0.5,
    n_outliers: int = 8,
    n_duplicates: int = 12,
    n_marine: int = 20,
) -> Survey:
    """Simulate a survey of 480 by 360 km.

    Parameters
    ----------
    seed : int
        Seed of all random choices.
    n_stations : int
        Stations in all, those below among them.
    n_bodies : int
        Bodies to bury; fewer when they find no place.
    noise_mgal : float
        Standard deviation of the noise, in mGal.
    n_outliers, n_duplicates, n_marine : int
        Stations that are wrong by 40 to 90 mGal, repeat an earlier one, or lie at sea.

    Returns
    -------
    Survey
        Stations and truth.
    """
    n_land = n_stations - n_duplicates - n_marine
    if n_land < 50:
        raise ValueError(f"{n_land} stations on land are too few to simulate a survey (at least 50)")
    rng = np.random.default_rng(seed)
    crs = _projection()
    places = np.concatenate([_land(rng, n_land), _sea(rng, n_marine)])
    height = np.concatenate([topography(places[:n_land]), -rng.uniform(20.0, 400.0, n_marine)])
    bodies = _bodies(rng, crs, n_bodies, places[:n_land], float(np.median(height[:n_land])))
    repeated = rng.choice(n_land, n_duplicates, replace=False)
    chosen = np.concatenate([np.arange(len(places)), repeated])
    wrong = np.sort(rng.choice(n_land, n_outliers, replace=False))
    truth = Truth(
        seed=seed,
        crs_wkt=crs.to_wkt(),
        bodies=bodies,
        trend=_trend(rng),
        noise_mgal=noise_mgal,
        outliers=_numbers(wrong),
        duplicates=_numbers(np.arange(len(places), len(chosen))),
        marine=_numbers(np.arange(n_land, len(places))),
    )
    return Survey(_observe(rng, truth, crs, places[chosen], height[chosen]), truth)


def attraction(
    bodies: tuple[Body, ...], easting: FloatArray, northing: FloatArray, height: FloatArray
) -> FloatArray:
    """Return the downward attraction in mGal of all bodies at places in metres."""
    if not bodies:
        return np.zeros(np.shape(easting))
    sides = [(body.west, body.east, body.south, body.north, body.bottom, body.top) for body in bodies]
    density = [body.density_kg_m3 for body in bodies]
    return np.asarray(harmonica.prism_gravity((easting, northing, height), sides, density, field="g_z"))


def topography(places: FloatArray) -> FloatArray:
    """Return the smooth height of the land in metres at places in projected metres."""
    x, y = places[:, 0] / 1e5, places[:, 1] / 1e5
    plateau = 900.0 + 250.0 * np.tanh(x + 0.4)
    hills = 180.0 * np.sin(2.1 * x + 0.6) * np.cos(1.7 * y) + 90.0 * np.sin(5.3 * x - 2.2 * y)
    return np.asarray(plateau + hills + 400.0 * np.exp(-((x - 1.2) ** 2 + (y - 0.5) ** 2) / 0.18))


def write_survey(folder: Path | str, survey: Survey, name: str = "survey") -> tuple[Path, Path, Path]:
    """Write `NAME.ast.xz`, `NAME.truth.json` and `NAME.truth.csv`, and return their paths.

    The CSV holds one row a station: latitude, longitude (degrees), height (m), true disturbance (mGal).
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    data, record, table = (folder / f"{name}{end}" for end in (".ast.xz", ".truth.json", ".truth.csv"))
    stations, truth = survey.stations, survey.truth
    write_stations(data, stations)
    record.write_text(json.dumps(asdict(truth), indent=1) + "\n", encoding="utf-8")
    height = np.maximum(stations.height, 0.0)
    field = truth.disturbance(stations.latitude, stations.longitude, height)
    rows = np.column_stack([stations.latitude, stations.longitude, height, field])
    np.savetxt(
        table, rows, fmt="%.5f,%.5f,%.2f,%.4f", header="latitude,longitude,height_m,disturbance_mgal", comments=""
    )
    return data, record, table


def read_truth(path: Path | str) -> Truth:
    """Read the truth back from `NAME.truth.json`."""
    record: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    trend = record.pop("trend")
    rows = {key: tuple(record.pop(key)) for key in ("outliers", "duplicates", "marine")}
    return Truth(
        **{**record, **rows},
        bodies=tuple(Body(**body) for body in record.pop("bodies")),
        trend=Trend(
            trend["degree"], tuple(trend["centre"]), tuple(trend["scale"]), tuple(trend["coefficients"])
        ),
    )
