"""Finds candidates: local maxima and minima of the residual that stand out, are resolved and are supported by data.

Confidence weighs the signal against the measured error of gridding and falls off away from stations. An extreme that
lies on the shoulder of a larger one, is smaller than the spacing of the stations around it, or as wide as the regional
field that was removed, is refused and counted.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.ndimage import binary_erosion, label, maximum_filter, minimum_filter
from scipy.special import ndtr

from .arrays import BoolArray, FloatArray, IntArray
from .spacing import NEIGHBOURS, local_spacing, nearest_distances

SMALLEST_ERROR_MGAL = 1.0
ERRORS_FOR_EVEN_ODDS = 2.0
SUPPORT_M = 25_000.0
WIDEST_OF_REGIONAL = 0.75


@dataclass(frozen=True, slots=True)
class Candidate:
    """One anomaly that is worth a look.

    Parameters
    ----------
    longitude, latitude : float
        Place of the extreme node, in degrees.
    residual_mgal : float
        Residual there, in mGal.
    sign : int
        1 for an excess of mass, -1 for a deficit.
    z : float
        Residual in robust standard deviations.
    confidence : float
        From 0 to 1.
    half_width_km : float
        Radius in km of a circle as large as the area above half of the extreme.
    station_distance_km : float
        Distance to the nearest block of stations, in km.
    spacing_km : float
        Spacing of the stations around, in km.
    """

    longitude: float
    latitude: float
    residual_mgal: float
    sign: int
    z: float
    confidence: float
    half_width_km: float
    station_distance_km: float
    spacing_km: float


@dataclass(frozen=True, slots=True)
class Detection:
    """Candidates, the surest first, and how many extremes were refused for which reason."""

    candidates: tuple[Candidate, ...]
    refused: Mapping[str, int]


def confidence(
    residual_mgal: FloatArray, error_mgal: float, mean_distance_m: FloatArray, *, support_m: float = SUPPORT_M
) -> FloatArray:
    """Return Φ(|residual| / error − 2) · exp(−distance / support).

    Parameters
    ----------
    residual_mgal : numpy.ndarray
        Residuals in mGal.
    error_mgal : float
        Error of gridding in held-out blocks, in mGal; at least 1 mGal is added to it in quadrature.
    mean_distance_m : numpy.ndarray
        Mean distance to the five nearest blocks of stations, in metres.
    support_m : float
        Distance over which support falls to 1/e, in metres.

    Returns
    -------
    numpy.ndarray
        Confidence from 0 to 1.
    """
    signal = np.abs(residual_mgal) / np.hypot(error_mgal, SMALLEST_ERROR_MGAL)
    return np.asarray(ndtr(signal - ERRORS_FOR_EVEN_ODDS) * np.exp(-mean_distance_m / support_m))


def detect(
    grid: xr.Dataset,
    stations: FloatArray,
    *,
    error_mgal: float,
    z_limit: float = 3.0,
    least_confidence: float = 0.2,
    separation_m: float = 20_000.0,
) -> Detection:
    """Find the candidates of a grid.

    Parameters
    ----------
    grid : xarray.Dataset
        Grid made by `add_residual`.
    stations : numpy.ndarray
        Easting and northing of the blocks of stations in metres, shape (n, 2).
    error_mgal : float
        Error of gridding in held-out blocks, in mGal.
    z_limit : float
        Robust standard deviations that an extreme must reach.
    least_confidence : float
        Confidence that a candidate must reach.
    separation_m : float
        An extreme is the largest within this distance, in metres.

    Returns
    -------
    Detection
        Candidates and refusals.
    """
    residual = np.asarray(grid["residual"], dtype=np.float64)
    strong = np.abs(np.asarray(grid["robust_z"])) >= z_limit
    spacing = float(grid.attrs["spacing_m"])
    nodes = find_extremes(residual, strong, max(round(separation_m / spacing), 1))
    widest_km = WIDEST_OF_REGIONAL * float(grid.attrs["regional_m"]) / 1e3
    refused = Counter({"shoulder": 0, "unresolved": 0, "regional": 0, "unsure": 0})
    found: list[Candidate] = []
    for candidate in _measure(grid, residual, nodes, stations, error_mgal):
        reason = _refusal(candidate, widest_km, least_confidence)
        if reason:
            refused[reason] += 1
        else:
            found.append(candidate)
    found.sort(key=lambda one: (-one.confidence, one.longitude, one.latitude))
    return Detection(tuple(found), dict(refused))


def find_extremes(residual: FloatArray, strong: BoolArray, reach: int) -> IntArray:
    """Return the strong nodes that are the largest, or the smallest, of all nodes within reach.

    Parameters
    ----------
    residual : numpy.ndarray
        Residual on the nodes, NaN where empty. Beside an empty node there is no extreme.
    strong : numpy.ndarray
        Nodes that may be one.
    reach : int
        Half the side of the square that is compared, in nodes.

    Returns
    -------
    numpy.ndarray
        Row and column of each extreme, shape (n, 2).
    """
    finite = np.isfinite(residual)
    inner = binary_erosion(finite, np.ones((3, 3)))
    size = 2 * reach + 1
    highest = maximum_filter(np.where(finite, residual, -np.inf), size, mode="constant", cval=-np.inf)
    lowest = minimum_filter(np.where(finite, residual, np.inf), size, mode="constant", cval=np.inf)
    peak = ((residual == highest) & (residual > 0)) | ((residual == lowest) & (residual < 0))
    return np.argwhere(peak & strong & inner)


def half_width(residual: FloatArray, row: int, column: int, spacing: float) -> float:
    """Return the radius of a circle as large as the area around an extreme that is above half of it.

    Parameters
    ----------
    residual : numpy.ndarray
        Residual on the nodes.
    row, column : int
        The extreme.
    spacing : float
        Distance of nodes; the result has its unit.

    Returns
    -------
    float
        The radius, or zero when that area holds a larger extreme, on whose shoulder this one lies.
    """
    share = residual / residual[row, column]
    areas, _ = label(share >= 0.5)
    own = areas == areas[row, column]
    if share[own].max() > 1.0:
        return 0.0
    return float(np.sqrt(own.sum() / np.pi) * spacing)


def _measure(
    grid: xr.Dataset, residual: FloatArray, nodes: IntArray, stations: FloatArray, error_mgal: float
) -> Iterator[Candidate]:
    rows, columns = nodes.T
    spacing = float(grid.attrs["spacing_m"])
    places = np.column_stack([grid["easting"].values[columns], grid["northing"].values[rows]])
    distances = nearest_distances(stations, places, NEIGHBOURS)
    apart = local_spacing(stations, places)
    sure = confidence(residual[rows, columns], error_mgal, distances.mean(axis=1))
    for i, (row, column) in enumerate(nodes):
        here = float(residual[row, column])
        yield Candidate(
            longitude=float(grid["longitude"].values[column]),
            latitude=float(grid["latitude"].values[row]),
            residual_mgal=here,
            sign=1 if here > 0 else -1,
            z=float(grid["robust_z"].values[row, column]),
            confidence=float(sure[i]),
            half_width_km=half_width(residual, row, column, spacing) / 1e3,
            station_distance_km=float(distances[i, 0]) / 1e3,
            spacing_km=float(apart[i]) / 1e3,
        )


def _refusal(candidate: Candidate, widest_km: float, least_confidence: float) -> str | None:
    if not candidate.half_width_km:
        return "shoulder"
    if candidate.half_width_km < candidate.spacing_km:
        return "unresolved"
    if candidate.half_width_km > widest_km:
        return "regional"
    return "unsure" if candidate.confidence < least_confidence else None
