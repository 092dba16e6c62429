"""Puts the corrections in order: stations in, residual block medians and their trend out.

The result is what gridding needs and no more; it goes to and from an xarray Dataset without loss, so that it can
lie on disk between two stages.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from pyproj import CRS

from .arrays import FloatArray, IntArray
from .projection import project, survey_crs, unproject
from .reduction import (
    CRUST_KG_M3,
    Trend,
    block_medians,
    bouguer_slab,
    fit_trend,
    gravity_disturbance,
    is_outlier,
)
from .stations import Stations

FEWEST_BLOCKS = 20


@dataclass(frozen=True, slots=True, eq=False)
class Reduced:
    """Block medians of a survey.

    Parameters
    ----------
    points : numpy.ndarray
        Easting, northing and height in metres, shape (n, 3).
    residual : numpy.ndarray
        Bouguer disturbance less the trend, in mGal.
    count : numpy.ndarray
        Stations in each block.
    trend : Trend
        The surface that was subtracted.
    crs : pyproj.CRS
        The projection of the coordinates.
    n_stations, n_outliers : int
        Stations that came in, and those left out as outliers.
    """

    points: FloatArray
    residual: FloatArray
    count: IntArray
    trend: Trend
    crs: CRS
    n_stations: int
    n_outliers: int

    def __len__(self) -> int:
        return int(self.residual.size)


def reduce_stations(
    stations: Stations,
    *,
    density_kg_m3: float = CRUST_KG_M3,
    neighbours: int = 20,
    outlier_limit: float = 10.0,
    trend_degree: int = 3,
    block_m: float = 5_000.0,
) -> Reduced:
    """Reduce stations that passed qualification.

    Parameters
    ----------
    stations : Stations
        Stations to be used.
    density_kg_m3 : float
        Density of the Bouguer slab in kg/m³.
    neighbours : int
        Others that each station is compared with.
    outlier_limit : float
        Robust standard deviations beyond which a station is an outlier.
    trend_degree : int
        Degree of the polynomial trend.
    block_m : float
        Side of the blocks in metres.

    Returns
    -------
    Reduced
        Medians of the residual.

    Raises
    ------
    ValueError
        When too few blocks are left, or a station is too near to a pole.
    """
    if not len(stations):
        raise ValueError("no station is left to reduce")
    crs = survey_crs(stations.latitude, stations.longitude)
    easting, northing = project(crs, stations.latitude, stations.longitude)
    places = np.column_stack([easting, northing])
    disturbance = gravity_disturbance(stations.latitude, stations.height, stations.gravity)
    values = disturbance - bouguer_slab(stations.height, crust_kg_m3=density_kg_m3)
    kept = ~is_outlier(places, values, neighbours=neighbours, limit=outlier_limit)
    places, values = places[kept], values[kept]
    trend = fit_trend(places[:, 0], places[:, 1], values, trend_degree)
    surface = np.maximum(stations.height[kept], 0.0)
    columns = np.column_stack([surface, values - trend(places[:, 0], places[:, 1])])
    blocks, medians, count = block_medians(places, columns, block_m)
    if len(blocks) < FEWEST_BLOCKS:
        raise ValueError(
            f"{len(blocks)} blocks of {block_m:g} m are too few to grid (at least {FEWEST_BLOCKS})"
        )
    points = np.column_stack([blocks, medians[:, 0]])
    return Reduced(points, medians[:, 1], count, trend, crs, len(stations), int((~kept).sum()))


def to_dataset(reduced: Reduced) -> xr.Dataset:
    """Describe block medians as a CF dataset of points."""
    latitude, longitude = unproject(reduced.crs, reduced.points[:, 0], reduced.points[:, 1])
    mapped = {"grid_mapping": "spatial_ref"}
    return xr.Dataset(
        {
            "residual": _column(reduced.residual, "Bouguer disturbance less the trend", "mGal", **mapped),
            "station_count": _column(reduced.count.astype(np.int64), "stations in the block", "1", **mapped),
            "spatial_ref": xr.DataArray(np.int64(0), attrs=reduced.crs.to_cf()),
        },
        coords={
            "easting": _column(reduced.points[:, 0], "easting", "m", standard_name="projection_x_coordinate"),
            "northing": _column(
                reduced.points[:, 1], "northing", "m", standard_name="projection_y_coordinate"
            ),
            "height": _column(reduced.points[:, 2], "height above the ellipsoid", "m", positive="up"),
            "latitude": _column(latitude, "latitude", "degrees_north", standard_name="latitude"),
            "longitude": _column(longitude, "longitude", "degrees_east", standard_name="longitude"),
        },
        attrs={
            "Conventions": "CF-1.11",
            "featureType": "point",
            "title": "Block medians of the residual Bouguer disturbance",
            "trend_degree": reduced.trend.degree,
            "trend_centre_m": list(reduced.trend.centre),
            "trend_scale_m": list(reduced.trend.scale),
            "trend_coefficients_mgal": list(reduced.trend.coefficients),
            "n_stations": reduced.n_stations,
            "n_outliers": reduced.n_outliers,
        },
    )


def from_dataset(dataset: xr.Dataset) -> Reduced:
    """Take block medians back from the dataset that `to_dataset` made."""
    names = ("easting", "northing", "height")
    attrs = dataset.attrs
    return Reduced(
        points=np.column_stack([np.asarray(dataset[name], dtype=np.float64) for name in names]),
        residual=np.asarray(dataset["residual"], dtype=np.float64),
        count=np.asarray(dataset["station_count"], dtype=np.intp),
        trend=Trend(
            degree=int(attrs["trend_degree"]),
            centre=(float(attrs["trend_centre_m"][0]), float(attrs["trend_centre_m"][1])),
            scale=(float(attrs["trend_scale_m"][0]), float(attrs["trend_scale_m"][1])),
            coefficients=tuple(float(value) for value in attrs["trend_coefficients_mgal"]),
        ),
        crs=CRS.from_wkt(dataset["spatial_ref"].attrs["crs_wkt"]),
        n_stations=int(attrs["n_stations"]),
        n_outliers=int(attrs["n_outliers"]),
    )


def _column(values: Any, long_name: str, units: str, **attrs: str) -> xr.Variable:
    return xr.Variable(("block",), values, attrs={"long_name": long_name, "units": units, **attrs})
