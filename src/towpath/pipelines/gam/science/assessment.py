"""Measures how far a grid covers its survey and how much of it is empty.

It counts; the limits of a verdict belong to the deployer. Errors are measured in `holdout.py`.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.spatial import Delaunay, QhullError

from .arrays import BoolArray, FloatArray


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a grid has values.

    Parameters
    ----------
    n_nodes : int
        Nodes of the grid.
    n_values : int
        Nodes with a value.
    null_ratio : float
        Share of all nodes without a value, from 0 to 1.
    coverage : float
        Share of the nodes inside the convex hull of the stations that have a value, from 0 to 1.
    """

    n_nodes: int
    n_values: int
    null_ratio: float
    coverage: float


def measure_coverage(
    grid: xr.Dataset, stations: FloatArray, variable: str = "bouguer_disturbance"
) -> Coverage:
    """Measure the coverage of one variable.

    Parameters
    ----------
    grid : xarray.Dataset
        Grid on northing and easting.
    stations : numpy.ndarray
        Easting and northing of the stations in metres, shape (n, 2).
    variable : str
        The variable to look at.

    Returns
    -------
    Coverage
        Counts and shares.
    """
    finite = np.isfinite(np.asarray(grid[variable]))
    inside = is_in_hull(stations, np.asarray(grid["easting"]), np.asarray(grid["northing"]))
    return Coverage(
        n_nodes=int(finite.size),
        n_values=int(finite.sum()),
        null_ratio=float(1.0 - finite.mean()),
        coverage=float(finite[inside].mean()) if inside.any() else 0.0,
    )


def is_in_hull(stations: FloatArray, easting: FloatArray, northing: FloatArray) -> BoolArray:
    """Mark the nodes of a grid that lie in the convex hull of the stations; all coordinates in metres.

    Stations on one line have no hull with an area, so no node lies in it.
    """
    shape = (northing.size, easting.size)
    nodes = np.column_stack([axis.ravel() for axis in np.meshgrid(easting, northing)])
    try:
        hull = Delaunay(stations)
    except QhullError:
        return np.zeros(shape, dtype=np.bool_)
    return np.asarray(hull.find_simplex(nodes) >= 0).reshape(shape)
