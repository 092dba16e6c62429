"""Fits elliptical Gaussians to pixels: the kernel below source finding.

Promises a finite answer with its success told, never an exception. Knows nothing of the sky.
"""

import math
from typing import Any

import numpy as np
from numba import njit


@njit(cache=True)  # type: ignore[untyped-decorator]  # numba has no types
def _normal(
    image: Any, used: Any, left: int, bottom: int, p: Any, count: int, matrix: Any, vector: Any
) -> float:
    """Fill the normal equations of the first `count` parameters; return the sum of squared residuals."""
    matrix[:] = 0.0
    vector[:] = 0.0
    total = 0.0
    slope = np.zeros(6)
    for j in range(image.shape[0]):
        for i in range(image.shape[1]):
            if not used[j, i]:
                continue
            dx, dy = i + left - p[1], j + bottom - p[2]
            shape = math.exp(-(p[3] * dx * dx + 2.0 * p[4] * dx * dy + p[5] * dy * dy))
            value = p[0] * shape
            rest = image[j, i] - value
            total += rest * rest
            slope[0] = shape
            slope[1] = value * 2.0 * (p[3] * dx + p[4] * dy)
            slope[2] = value * 2.0 * (p[4] * dx + p[5] * dy)
            slope[3] = -value * dx * dx
            slope[4] = -value * 2.0 * dx * dy
            slope[5] = -value * dy * dy
            for m in range(count):
                vector[m] += slope[m] * rest
                for n in range(count):
                    matrix[m, n] += slope[m] * slope[n]
    return total


@njit(cache=True)  # type: ignore[untyped-decorator]  # numba has no types
def fit_gaussian(image: Any, used: Any, left: int, bottom: int, start: Any, count: int) -> Any:
    """Least squares (Levenberg–Marquardt) of p[0] exp(−(p[3] dx² + 2 p[4] dx dy + p[5] dy²)) about (p[1], p[2]).

    Parameters
    ----------
    image, used : (ny, nx)
        A window, and which of its pixels count.
    left, bottom : int
        Column and row of the window's first pixel.
    start : (6,)
        Where to begin.
    count : int
        How many parameters are free: 1 (peak), 3 (and place) or 6 (and shape).

    Returns
    -------
    (7,) array
        Parameters, and 1 where the fit converged to an ellipse inside the window, else 0.
    """
    p = start.copy()
    matrix, vector = np.zeros((count, count)), np.zeros(count)
    trial_matrix, trial_vector = np.zeros((count, count)), np.zeros(count)
    damping = 1e-3
    total = _normal(image, used, left, bottom, p, count, matrix, vector)
    converged = False
    for _ in range(60):
        damped = matrix.copy()
        for m in range(count):
            damped[m, m] = damped[m, m] * (1.0 + damping) + 1e-300
        if not abs(np.linalg.det(damped)) > 0.0:
            break
        change = np.linalg.solve(damped, vector)
        trial = p.copy()
        trial[:count] += change
        is_ellipse = trial[3] > 0.0 and trial[5] > 0.0 and trial[3] * trial[5] > trial[4] * trial[4]
        rest = math.inf
        if is_ellipse:
            rest = _normal(image, used, left, bottom, trial, count, trial_matrix, trial_vector)
        if rest <= total:
            is_small = total - rest <= 1e-9 * total
            p, total = trial, rest
            matrix[:] = trial_matrix
            vector[:] = trial_vector
            damping = max(damping * 0.2, 1e-9)
            if is_small:
                converged = True
                break
        else:
            damping *= 5.0
            if damping > 1e9:
                break
    inside = -1.0 < p[1] - left < image.shape[1] and -1.0 < p[2] - bottom < image.shape[0]
    found = np.empty(7)
    found[:6] = p
    found[6] = 1.0 if converged and inside and p[0] > 0.0 else 0.0
    return found
