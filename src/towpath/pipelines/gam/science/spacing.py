"""Measures how far apart stations are, everywhere in a survey and near a given place.

All lengths are in the metres of the projected coordinates. Masks, tiles, blocks and the refusal of candidates are
derived from these measures, so that one set of parameters serves a dense and a sparse survey.
"""

import numpy as np
from scipy.spatial import cKDTree

from .arrays import FloatArray

NEIGHBOURS = 5


def nearest_distances(
    stations: FloatArray, places: FloatArray, count: int, *, skip_self: bool = False
) -> FloatArray:
    """Return the distances from each place to its nearest stations.

    Parameters
    ----------
    stations, places : numpy.ndarray
        Easting and northing in metres, shapes (n, 2) and (m, 2).
    count : int
        How many stations; fewer when the survey has fewer.
    skip_self : bool
        Leave out the nearest one, which is the place itself when the places are the stations.

    Returns
    -------
    numpy.ndarray
        Distances in metres, ascending along the second axis.
    """
    skipped = int(skip_self)
    wanted = np.arange(1 + skipped, 1 + skipped + min(count, max(len(stations) - skipped, 1)))
    distances, _ = cKDTree(stations).query(places, k=wanted)
    return np.asarray(distances, dtype=np.float64)


def local_spacing(stations: FloatArray, places: FloatArray) -> FloatArray:
    """Return the spacing in metres of a square lattice as dense as the five stations nearest to each place."""
    distances = nearest_distances(stations, places, NEIGHBOURS)
    return distances[:, -1] * float(np.sqrt(np.pi / distances.shape[1]))


def station_spacing(stations: FloatArray) -> float:
    """Return the typical spacing of a survey in metres: the median of the local spacing at its stations.

    Raises
    ------
    ValueError
        When there are fewer than two stations, or all are at one place.
    """
    if len(stations) < 2:
        raise ValueError(f"a spacing needs two stations, not {len(stations)}")
    distances = nearest_distances(stations, stations, NEIGHBOURS, skip_self=True)
    spacing = float(np.median(distances[:, -1])) * float(np.sqrt(np.pi / distances.shape[1]))
    if not 0.0 < spacing < np.inf:
        raise ValueError("the stations are all at one place")
    return spacing
