"""Reduces observed gravity to the Bouguer disturbance, and that to residual block medians ready for gridding.

Heights are taken as heights above the ellipsoid. A negative height is a depth of water: the station then lies on the
sea surface. Each function is one correction; `reduce_stations` in `survey.py` puts them in order.
"""

from dataclasses import dataclass

import boule
import numpy as np
from scipy.constants import G
from scipy.spatial import cKDTree

from .arrays import BoolArray, FloatArray, IntArray

CRUST_KG_M3 = 2670.0
WATER_KG_M3 = 1040.0
MGAL_PER_SI = 1e5
MAD_TO_SIGMA = 1.4826
SMALLEST_SPREAD_MGAL = 0.3
FEWEST_NEIGHBOURS = 8


def gravity_disturbance(latitude: FloatArray, height: FloatArray, gravity: FloatArray) -> FloatArray:
    """Subtract the normal gravity of WGS84 at the station itself, in closed form.

    Parameters
    ----------
    latitude : numpy.ndarray
        Geodetic latitude in degrees.
    height : numpy.ndarray
        Height in metres; a station above water is at zero.
    gravity : numpy.ndarray
        Observed gravity in mGal.

    Returns
    -------
    numpy.ndarray
        Gravity disturbance in mGal.
    """
    normal = boule.WGS84.normal_gravity((None, latitude, np.maximum(height, 0.0)))
    return np.asarray(gravity - normal, dtype=np.float64)


def bouguer_slab(
    height: FloatArray, *, crust_kg_m3: float = CRUST_KG_M3, water_kg_m3: float = WATER_KG_M3
) -> FloatArray:
    """Return the attraction in mGal of an infinite slab of rock, or of the water that stands in its place.

    Parameters
    ----------
    height : numpy.ndarray
        Height of land, or negative depth of water, in metres.
    crust_kg_m3, water_kg_m3 : float
        Densities in kg/m³.
    """
    density = np.where(height < 0.0, crust_kg_m3 - water_kg_m3, crust_kg_m3)
    return np.asarray(2.0 * np.pi * G * MGAL_PER_SI * density * height, dtype=np.float64)


def is_outlier(
    points: FloatArray, values: FloatArray, *, neighbours: int = 20, limit: float = 10.0
) -> BoolArray:
    """Mark values that disagree with the nearest others.

    Each value is compared with a robust plane through the others, which keeps a station on a steep slope from being
    taken for an outlier. Its deviation is an outlier when it lies further from the median of the others' deviations
    than `limit` robust standard deviations, and is the worst of its close surroundings.

    Parameters
    ----------
    points : numpy.ndarray
        Easting and northing in metres, shape (n, 2).
    values : numpy.ndarray
        Values in mGal.
    neighbours : int
        How many others; the station itself is not among them.
    limit : float
        Robust standard deviations (1.4826 MAD).

    Returns
    -------
    numpy.ndarray
        True for outliers; all False when there are too few others to compare with.
    """
    count = min(neighbours, len(values) - 1)
    if count < FEWEST_NEIGHBOURS:
        return np.zeros(len(values), dtype=np.bool_)
    _, nearest = cKDTree(points).query(points, k=count + 1)
    others = _without_self(nearest)
    deviation = values - _plane_through(points[others] - points[:, None], values[others])
    median = np.median(deviation[others], axis=1)
    spread = MAD_TO_SIGMA * np.median(np.abs(deviation[others] - median[:, None]), axis=1)
    score = np.abs(deviation - median) / np.maximum(spread, SMALLEST_SPREAD_MGAL)
    worst = score >= score[others[:, :FEWEST_NEIGHBOURS]].max(axis=1)
    return np.asarray(worst & (score > limit))


def _plane_through(offset: FloatArray, values: FloatArray, rounds: int = 4) -> FloatArray:
    """Fit a plane to each row's values at its offsets, and return it at the origin.

    Near values weigh more; those far from the plane of the round before weigh less (Huber's weights).
    """
    offset = offset / np.maximum(np.abs(offset).max(axis=(1, 2), keepdims=True), 1.0)
    terms = np.concatenate([np.ones((*values.shape, 1)), offset], axis=2)
    near = 1.0 / (0.1 + np.hypot(offset[..., 0], offset[..., 1]))
    weight = near
    plane = np.zeros((len(values), 3))
    for _ in range(rounds):
        weighted = terms * weight[..., None]
        normal = np.swapaxes(weighted, 1, 2) @ terms + 1e-6 * np.eye(3)
        plane = np.linalg.solve(normal, np.swapaxes(weighted, 1, 2) @ values[..., None])[..., 0]
        misfit = np.abs(values - (terms @ plane[..., None])[..., 0])
        scale = MAD_TO_SIGMA * np.median(misfit, axis=1, keepdims=True) + SMALLEST_SPREAD_MGAL
        weight = near / np.maximum(1.0, misfit / (1.5 * scale))
    return np.asarray(plane[:, 0])


def _without_self(nearest: IntArray) -> IntArray:
    """Drop each row's own index, or its last one where twins at the same place took its turn."""
    is_self = nearest == np.arange(len(nearest))[:, None]
    is_self[~is_self.any(axis=1), -1] = True
    return np.asarray(nearest[~is_self].reshape(len(nearest), -1), dtype=np.intp)


@dataclass(frozen=True, slots=True)
class Trend:
    """A polynomial surface in normalised coordinates.

    Parameters
    ----------
    degree : int
        Highest sum of exponents.
    centre, scale : tuple of float
        Easting and northing (m) that are subtracted, and lengths (m) that they are divided by.
    coefficients : tuple of float
        In mGal, in the order of `exponents`.
    """

    degree: int
    centre: tuple[float, float]
    scale: tuple[float, float]
    coefficients: tuple[float, ...]

    def __call__(self, easting: FloatArray, northing: FloatArray) -> FloatArray:
        """Return the surface in mGal at places given in metres."""
        terms = _terms(self.degree, self.centre, self.scale, easting.ravel(), northing.ravel())
        return np.asarray(terms @ np.array(self.coefficients)).reshape(easting.shape)


def exponents(degree: int) -> list[tuple[int, int]]:
    """List the exponents of easting and northing of a polynomial, lowest first."""
    return [(total - j, j) for total in range(degree + 1) for j in range(total + 1)]


def fit_trend(easting: FloatArray, northing: FloatArray, values: FloatArray, degree: int = 3) -> Trend:
    """Fit a polynomial by least squares.

    Parameters
    ----------
    easting, northing : numpy.ndarray
        Places in metres.
    values : numpy.ndarray
        Values in mGal.
    degree : int
        Degree of the polynomial; lowered when there are too few values to fit it.

    Returns
    -------
    Trend
        The surface.
    """
    while degree and len(exponents(degree)) > values.size:
        degree -= 1
    centre = (float(easting.mean()), float(northing.mean()))
    scale = (max(float(np.ptp(easting)) / 2.0, 1.0), max(float(np.ptp(northing)) / 2.0, 1.0))
    terms = _terms(degree, centre, scale, easting, northing)
    coefficients, *_ = np.linalg.lstsq(terms, values, rcond=None)
    return Trend(degree, centre, scale, tuple(float(value) for value in coefficients))


def _terms(
    degree: int,
    centre: tuple[float, float],
    scale: tuple[float, float],
    easting: FloatArray,
    northing: FloatArray,
) -> FloatArray:
    x = (easting - centre[0]) / scale[0]
    y = (northing - centre[1]) / scale[1]
    return np.column_stack([x**i * y**j for i, j in exponents(degree)])


def block_medians(
    points: FloatArray, columns: FloatArray, size_m: float
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Reduce stations to the medians of square blocks.

    Parameters
    ----------
    points : numpy.ndarray
        Easting and northing in metres, shape (n, 2).
    columns : numpy.ndarray
        Other quantities of each station, shape (n, k).
    size_m : float
        Side of a block in metres; blocks begin at multiples of it.

    Returns
    -------
    points, columns : numpy.ndarray
        Medians of coordinates and of quantities, one row per block with stations, from south-west to north-east.
    count : numpy.ndarray
        Number of stations in each block.
    """
    cell = np.floor(points / size_m).astype(np.intp)
    _, block, count = np.unique(cell[:, ::-1], axis=0, return_inverse=True, return_counts=True)
    block = block.ravel()
    start = np.concatenate([[0], np.cumsum(count)[:-1]])
    both = np.column_stack([points, columns])
    medians = np.column_stack([_median_by_block(column, block, start, count) for column in both.T])
    return medians[:, :2], medians[:, 2:], count


def _median_by_block(values: FloatArray, block: IntArray, start: IntArray, count: IntArray) -> FloatArray:
    ordered = values[np.lexsort((values, block))]
    return np.asarray((ordered[start + (count - 1) // 2] + ordered[start + count // 2]) / 2.0)
