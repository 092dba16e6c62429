"""Separates local anomalies from the regional field of a grid, with its empty nodes left out.

The regional field is a Gaussian mean over the nodes that have values; what is left is the residual, and its robust
score says how unusual each node is. No value is made up where there was none.
"""

import numpy as np
import xarray as xr
from scipy.ndimage import gaussian_filter

from .arrays import FloatArray
from .gridding import layer
from .reduction import MAD_TO_SIGMA

REGIONAL_M = 60_000.0


def add_residual(grid: xr.Dataset, *, regional_m: float = REGIONAL_M) -> xr.Dataset:
    """Return the grid with the residual (mGal) and its robust score (no unit) as further variables.

    Parameters
    ----------
    grid : xarray.Dataset
        Grid made by `make_grid`.
    regional_m : float
        Standard deviation in metres of the Gaussian that makes the regional field.

    Returns
    -------
    xarray.Dataset
        The grid with `residual` and `robust_z`.
    """
    field = np.asarray(grid["bouguer_disturbance"], dtype=np.float64)
    spacing = float(grid.attrs["spacing_m"])
    residual = field - gaussian_mean(field, regional_m / spacing)
    with_residual = grid.assign(
        residual=layer(residual, "Bouguer gravity disturbance less the regional field", "mGal"),
        robust_z=layer(robust_z(residual), "residual in robust standard deviations", "1"),
    )
    return with_residual.assign_attrs(regional_m=float(regional_m))


def gaussian_mean(values: FloatArray, sigma: float) -> FloatArray:
    """Return the Gaussian mean of the finite values around each finite one; `sigma` is in nodes."""
    finite = np.isfinite(values)
    weight = gaussian_filter(finite.astype(np.float64), sigma, mode="constant", truncate=3.0)
    total = gaussian_filter(np.where(finite, values, 0.0), sigma, mode="constant", truncate=3.0)
    mean = np.full(values.shape, np.nan)
    mean[finite] = total[finite] / weight[finite]
    return mean


def robust_z(values: FloatArray) -> FloatArray:
    """Return how many robust standard deviations (1.4826 MAD) each value lies above the median."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return np.full_like(values, np.nan)
    median = np.median(finite)
    spread = MAD_TO_SIGMA * np.median(np.abs(finite - median))
    return np.asarray((values - median) / max(float(spread), np.finfo(np.float64).tiny ** 0.5))
