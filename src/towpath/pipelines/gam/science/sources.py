"""Interpolates a harmonic field by equivalent sources in overlapping tiles.

Below every datum hangs a point source with the potential's kernel 1/r, at a depth that follows the local spacing. Each
tile fits its own sources by damped least squares in float64, with a halo of data around it, and neighbouring tiles
blend linearly, so the field has no seams. The result does not depend on the number of threads.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial import cKDTree
from threadpoolctl import threadpool_limits

from .arrays import FloatArray, IntArray
from .spacing import NEIGHBOURS, nearest_distances, station_spacing

FEWEST_IN_TILE = 24


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """How the sources are laid and fitted; lengths are in units of the survey's typical spacing.

    Parameters
    ----------
    depth : float
        Depth of a source below its datum, in mean distances to the five nearest data.
    damping : float
        Added to the diagonal of the normal equations, whose columns are scaled to one.
    tile, halo, blend : float
        Side of a tile, width of the data used around it, and width over which it fades into the next.
    """

    depth: float = 1.5
    damping: float = 1e-4
    tile: float = 10.0
    halo: float = 5.0
    blend: float = 1.0


DEFAULT_SETTINGS = SourceSettings()


@dataclass(frozen=True, slots=True, eq=False)
class _Tile:
    """One piece of work: which data to fit, which targets to predict, and their weights."""

    data: IntArray
    targets: IntArray
    weights: FloatArray


def interpolate(
    data: FloatArray,
    values: FloatArray,
    targets: FloatArray,
    *,
    settings: SourceSettings = DEFAULT_SETTINGS,
    threads: int = 1,
) -> FloatArray:
    """Predict a field at targets from scattered data.

    Parameters
    ----------
    data, targets : numpy.ndarray
        Easting, northing and height in metres, shapes (n, 3) and (m, 3). No two data share a place.
    values : numpy.ndarray
        Values in mGal, shape (n,).
    settings : SourceSettings
        Depth, damping and tiling.
    threads : int
        Tiles fitted at once; each uses one thread.

    Returns
    -------
    numpy.ndarray
        Predicted values in mGal, shape (m,).
    """
    spacing = station_spacing(data[:, :2])
    sources = _sources_below(data, settings.depth)
    field = np.zeros(len(targets))
    with threadpool_limits(limits=1, user_api="blas"):
        tiles = list(_tiles(data, targets, spacing, settings))
        solve = _solver(data, values, sources, targets, settings.damping)
        for tile, predicted in zip(tiles, _map(solve, tiles, threads), strict=True):
            field[tile.targets] += tile.weights * predicted
    return field


def _map(solve: Callable[[_Tile], FloatArray], tiles: list[_Tile], threads: int) -> Iterable[FloatArray]:
    if threads <= 1:
        return [solve(tile) for tile in tiles]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(solve, tiles))


def _solver(
    data: FloatArray, values: FloatArray, sources: FloatArray, targets: FloatArray, damping: float
) -> Callable[[_Tile], FloatArray]:
    def solve(tile: _Tile) -> FloatArray:
        below, observed = sources[tile.data], values[tile.data]
        level = observed.mean()
        strength = _fit(data[tile.data], below, observed - level, damping)
        return np.asarray(_kernel(targets[tile.targets], below) @ strength + level)

    return solve


def _fit(data: FloatArray, sources: FloatArray, values: FloatArray, damping: float) -> FloatArray:
    """Solve the damped normal equations, columns scaled to unit length, by Cholesky."""
    kernel = _kernel(data, sources)
    kernel /= (scale := np.sqrt(np.einsum("ij,ij->j", kernel, kernel)))
    normal = kernel.T @ kernel
    normal[np.diag_indices_from(normal)] += damping
    factor = cho_factor(normal, overwrite_a=True, check_finite=False)
    return np.asarray(cho_solve(factor, kernel.T @ values, check_finite=False) / scale)


def _kernel(places: FloatArray, sources: FloatArray) -> FloatArray:
    """Return 1/r between every place and every source, in 1/km."""
    square = np.zeros((len(places), len(sources)))
    for axis in range(3):
        step = np.subtract.outer(places[:, axis] / 1e3, sources[:, axis] / 1e3)
        square += np.square(step, out=step)
    return np.asarray(1.0 / np.sqrt(square, out=square))


def _sources_below(data: FloatArray, depth: float) -> FloatArray:
    """Lay one source below each datum, deeper where data are sparse, within bounds around the typical depth."""
    apart = nearest_distances(data[:, :2], data[:, :2], NEIGHBOURS, skip_self=True).mean(axis=1)
    typical = float(np.median(apart))
    below = data.copy()
    below[:, 2] -= depth * np.clip(apart, 0.3 * typical, 4.0 * typical)
    return below


def _tiles(
    data: FloatArray, targets: FloatArray, spacing: float, settings: SourceSettings
) -> Iterable[_Tile]:
    """Yield the tiles that hold targets, in a fixed order."""
    side, blend = settings.tile * spacing, settings.blend * spacing
    reach = side / 2.0 + blend + settings.halo * spacing
    tree, cells = cKDTree(data[:, :2]), cKDTree(targets[:, :2])
    for centre in _centres(targets[:, :2], side):
        inside = np.array(cells.query_ball_point(centre, side / 2.0 + blend, p=np.inf), dtype=np.intp)
        inside.sort()
        weights = _weights(targets[inside, :2] - centre, side / 2.0, blend)
        used = weights > 0.0
        if used.any():
            yield _Tile(_window(tree, centre, reach), inside[used], weights[used])


def _centres(places: FloatArray, side: float) -> FloatArray:
    """Return the centres of all tiles that hold a place or border on one that does."""
    held = np.unique(np.floor(places / side).astype(np.intp), axis=0)
    steps = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)])
    around = np.unique((held[:, None, :] + steps[None, :, :]).reshape(-1, 2), axis=0)
    return np.asarray((around + 0.5) * side)


def _weights(offset: FloatArray, half: float, blend: float) -> FloatArray:
    """Return weights that fall from one to zero across the border and sum to one over neighbouring tiles."""
    ramp = np.clip((half + blend - np.abs(offset)) / (2.0 * blend), 0.0, 1.0)
    return np.asarray(ramp.prod(axis=1))


def _window(tree: cKDTree, centre: FloatArray, reach: float) -> IntArray:
    """Return the data within reach of a tile, or the nearest ones where there are too few."""
    inside = tree.query_ball_point(centre, reach, p=np.inf)
    if len(inside) < FEWEST_IN_TILE:
        _, inside = tree.query(centre, k=np.arange(1, min(FEWEST_IN_TILE, tree.n) + 1))
    return np.sort(np.asarray(inside, dtype=np.intp))
