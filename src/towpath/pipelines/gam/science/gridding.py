"""Makes the regular grid of a survey: the gridded residual plus the trend, masked far from stations.

The grid is a CF dataset in projected metres with its coordinate reference system. Nodes lie at multiples of the
spacing, so grids of neighbouring surveys in one projection line up.
"""

import numpy as np
import xarray as xr

from .arrays import FloatArray
from .holdout import HoldOut
from .projection import unproject
from .sources import DEFAULT_SETTINGS, SourceSettings, interpolate
from .spacing import nearest_distances, station_spacing
from .survey import Reduced

MASK_SPACINGS = 2.5
LARGEST_GRID = 25_000_000
HORIZONTAL = ("northing", "easting")


def make_grid(
    reduced: Reduced,
    *,
    spacing_m: float = 5_000.0,
    max_distance_m: float | None = None,
    height_m: float | None = None,
    settings: SourceSettings = DEFAULT_SETTINGS,
    threads: int = 1,
) -> xr.Dataset:
    """Grid the Bouguer disturbance of a survey.

    Parameters
    ----------
    reduced : Reduced
        Block medians of the survey.
    spacing_m : float
        Distance of nodes in metres.
    max_distance_m : float, optional
        Nodes farther than this from every block are empty; 2.5 times the typical spacing when not given.
    height_m : float, optional
        Height of the grid above the ellipsoid in metres; the median height of the blocks when not given.
    settings : SourceSettings
        The gridder's settings.
    threads : int
        Tiles fitted at once.

    Returns
    -------
    xarray.Dataset
        `bouguer_disturbance` (mGal) and `station_distance` (m) on northing and easting.

    Raises
    ------
    ValueError
        When the grid would have more than 25 million nodes.
    """
    points = reduced.points
    limit = max_distance_m or round(MASK_SPACINGS * station_spacing(points[:, :2]), -2)
    height = float(np.round(np.median(points[:, 2]))) if height_m is None else height_m
    easting, northing = grid_axes(points[:, 0], spacing_m), grid_axes(points[:, 1], spacing_m)
    if easting.size * northing.size > LARGEST_GRID:
        raise ValueError(
            f"a grid of {northing.size} × {easting.size} nodes is too large: choose a wider spacing"
        )
    nodes = np.column_stack([axis.ravel() for axis in np.meshgrid(easting, northing)])
    distance = nearest_distances(points[:, :2], nodes, 1)[:, 0]
    near = distance <= limit
    targets = np.column_stack([nodes[near], np.full(int(near.sum()), height)])
    field = np.full(len(nodes), np.nan)
    field[near] = interpolate(points, reduced.residual, targets, settings=settings, threads=threads)
    field[near] += reduced.trend(targets[:, 0], targets[:, 1])
    shape = (northing.size, easting.size)
    grid = _dataset(reduced, easting, northing, field.reshape(shape), distance.reshape(shape))
    grid.attrs |= {"height_m": height, "max_station_distance_m": float(limit), "spacing_m": float(spacing_m)}
    return grid


def grid_axes(coordinate: FloatArray, spacing_m: float) -> FloatArray:
    """Return the multiples of a spacing that enclose a coordinate, at least two; all in metres."""
    first = int(np.floor(coordinate.min() / spacing_m))
    last = max(int(np.ceil(coordinate.max() / spacing_m)), first + 1)
    return np.arange(first, last + 1, dtype=np.float64) * spacing_m


def describe_hold_out(grid: xr.Dataset, measured: HoldOut) -> xr.Dataset:
    """Return the grid with the errors measured by hold-out among its attributes (mGal, m)."""
    return grid.assign_attrs(
        hold_out_random_n=measured.random.n,
        hold_out_random_r2=measured.random.r2,
        hold_out_random_rmse_mgal=measured.random.rmse_mgal,
        hold_out_block_n=measured.block.n,
        hold_out_block_r2=measured.block.r2,
        hold_out_block_rmse_mgal=measured.block.rmse_mgal,
        hold_out_block_size_m=measured.block_size_m,
    )


def layer(values: FloatArray, long_name: str, units: str) -> xr.Variable:
    """Describe values on the nodes as a CF variable."""
    attrs = {"long_name": long_name, "units": units, "grid_mapping": "spatial_ref"}
    return xr.Variable(HORIZONTAL, values.astype(np.float32), attrs=attrs)


def _dataset(
    reduced: Reduced, easting: FloatArray, northing: FloatArray, field: FloatArray, distance: FloatArray
) -> xr.Dataset:
    """Assemble the CF dataset; on a Mercator map latitude depends on northing only, longitude on easting only."""
    latitude, _ = unproject(reduced.crs, np.zeros_like(northing), northing)
    _, longitude = unproject(reduced.crs, easting, np.zeros_like(easting))
    return xr.Dataset(
        {
            "bouguer_disturbance": layer(field, "Bouguer gravity disturbance", "mGal"),
            "station_distance": layer(distance, "distance to the nearest block of stations", "m"),
            "spatial_ref": xr.DataArray(np.int64(0), attrs=reduced.crs.to_cf()),
        },
        coords={
            "easting": _axis("easting", easting, "easting", "m", "projection_x_coordinate", "X"),
            "northing": _axis("northing", northing, "northing", "m", "projection_y_coordinate", "Y"),
            "latitude": _axis("northing", latitude, "latitude", "degrees_north", "latitude"),
            "longitude": _axis("easting", longitude, "longitude", "degrees_east", "longitude"),
        },
        attrs={"Conventions": "CF-1.11", "title": "Bouguer gravity disturbance"},
    )


def _axis(
    dim: str, values: FloatArray, long_name: str, units: str, standard_name: str, axis: str | None = None
) -> xr.Variable:
    attrs = {"long_name": long_name, "units": units, "standard_name": standard_name}
    return xr.Variable((dim,), values, attrs=attrs | ({"axis": axis} if axis else {}))
