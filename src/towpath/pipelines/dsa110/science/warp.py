"""Kernels of the mosaic: samples a tile at fractional pixels and adds it, weighted, to sums on the output grid.

Promises that rows are independent, so that threads share no sum and the result is the same for any number of them.
Where a sample would touch a blanked pixel nothing is added. Never computes a sky coordinate.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

BILINEAR, CUBIC, LANCZOS = 0, 1, 2
INTERPOLATIONS = {"bilinear": BILINEAR, "cubic": CUBIC, "lanczos": LANCZOS}
# What may be reordered; NaN and infinity keep their meaning.
SAFE = {"contract", "reassoc", "arcp", "nsz"}
STEPS = 1024  # per pixel, in the tables of weights

Single = npt.NDArray[np.float32]


def weight_table(interpolation: int) -> Single:
    """Weights of an interpolation at `STEPS` + 1 places between two pixels: shape (STEPS + 1, taps), each row of sum 1.

    Cubic is Keys 1981 (IEEE Trans. ASSP 29, 1153) with a = −1/2; Lanczos has three lobes (Duchon 1979, J. Appl.
    Meteor. 18, 1016).
    """
    taps = {BILINEAR: 2, CUBIC: 4, LANCZOS: 6}[interpolation]
    place = np.linspace(0.0, 1.0, STEPS + 1)[:, None] - (np.arange(taps)[None, :] - taps // 2 + 1)
    far = np.abs(place)
    if interpolation == BILINEAR:
        found = np.clip(1.0 - far, 0.0, None)
    elif interpolation == CUBIC:
        inner = 1.5 * far**3 - 2.5 * far**2 + 1.0
        outer = -0.5 * far**3 + 2.5 * far**2 - 4.0 * far + 2.0
        found = np.where(far <= 1.0, inner, np.where(far < 2.0, outer, 0.0))
    else:
        found = np.where(far < 3.0, np.sinc(place) * np.sinc(place / 3.0), 0.0)
    table: Single = (found / found.sum(axis=1, keepdims=True)).astype(np.float32)
    return table


@njit(cache=True, nogil=True, fastmath=SAFE, inline="always")  # type: ignore[untyped-decorator]  # numba has no types
def _bilinear(image: Any, x: float, y: float) -> Any:
    left, below = min(int(x), image.shape[1] - 2), min(int(y), image.shape[0] - 2)
    fx, fy = np.float32(x - left), np.float32(y - below)
    # Without a sign: an index that may be negative is looked at each time.
    i, j, one = np.uintp(left), np.uintp(below), np.uintp(1)
    low = image[j, i] + fx * (image[j, i + one] - image[j, i])
    high = image[j + one, i] + fx * (image[j + one, i + one] - image[j + one, i])
    return low + fy * (high - low)


@njit(cache=True, nogil=True, fastmath=SAFE, inline="always")  # type: ignore[untyped-decorator]  # numba has no types
def _sample(image: Any, x: float, y: float, table: Any) -> Any:
    """Value at a fractional pixel; bilinear where the wider kernel would leave the image."""
    taps = table.shape[1]
    reach = taps // 2 - 1
    left, below = int(x) - reach, int(y) - reach
    if taps == 2 or left < 0 or below < 0 or left + taps > image.shape[1] or below + taps > image.shape[0]:
        return _bilinear(image, x, y)
    steps = table.shape[0] - 1
    # The nearest row of the table: its step is far below what a pixel's noise shows.
    across = table[np.uintp((x - int(x)) * steps + 0.5)]
    along = table[np.uintp((y - int(y)) * steps + 0.5)]
    i, j = np.uintp(left), np.uintp(below)
    total = np.float32(0.0)
    if taps == 4:
        for k in range(4):
            line = image[j + np.uintp(k)]
            total += along[k] * (
                across[0] * line[i]
                + across[1] * line[i + np.uintp(1)]
                + across[2] * line[i + np.uintp(2)]
                + across[3] * line[i + np.uintp(3)]
            )
        return total
    for k in range(6):
        line = image[j + np.uintp(k)]
        total += along[k] * (
            across[0] * line[i]
            + across[1] * line[i + np.uintp(1)]
            + across[2] * line[i + np.uintp(2)]
            + across[3] * line[i + np.uintp(3)]
            + across[4] * line[i + np.uintp(4)]
            + across[5] * line[i + np.uintp(5)]
        )
    return total


@njit(cache=True, nogil=True, fastmath=SAFE)  # type: ignore[untyped-decorator]  # numba has no types
def add_rows(
    image: Any,
    response: Any,
    response_step: int,
    rms: Any,
    variance: float,
    grid_x: Any,
    grid_y: Any,
    step: int,
    first_row: int,
    last_row: int,
    least: float,
    table: Any,
    total: Any,
    weight: Any,
    coverage: Any,
) -> None:
    """Add rows `first_row` to `last_row` (exclusive) of the box of a tile.

    Parameters
    ----------
    image : (ny, nx) float32
        The tile, not corrected for the primary beam.
    response : (my, mx) float32
        The primary beam at every `response_step`-th pixel of the tile.
    rms : (ny, nx) float32
        Noise of the tile where its size is above 1; otherwise `variance` holds everywhere.
    variance : float
        Square of the tile's noise.
    grid_x, grid_y : (gy, gx) float64
        Pixel of the tile at every `step`-th pixel of the box; NaN where there is none.
    least : float
        Response below which nothing is added.
    table : (n, taps) float32
        Weights from `weight_table`.
    total, weight, coverage : (by, bx)
        The box of the sums: response × image / variance, response² / variance, and number of tiles.
    """
    ny, nx = image.shape
    has_map = rms.size > 1
    columns = total.shape[1]
    scale, inverse = 1.0 / response_step, 1.0 / variance
    for row in range(first_row, last_row):
        g = row // step
        fy = (row - g * step) / step
        for cell in range(grid_x.shape[1] - 1):
            left_x = grid_x[g, cell] + fy * (grid_x[g + 1, cell] - grid_x[g, cell])
            right_x = grid_x[g, cell + 1] + fy * (grid_x[g + 1, cell + 1] - grid_x[g, cell + 1])
            left_y = grid_y[g, cell] + fy * (grid_y[g + 1, cell] - grid_y[g, cell])
            right_y = grid_y[g, cell + 1] + fy * (grid_y[g + 1, cell + 1] - grid_y[g, cell + 1])
            slope_x, slope_y = (right_x - left_x) / step, (right_y - left_y) / step
            for k in range(min(step, columns - cell * step)):
                x = left_x + k * slope_x
                y = left_y + k * slope_y
                if not (0.0 <= x <= nx - 1 and 0.0 <= y <= ny - 1):
                    continue
                power = _bilinear(response, x * scale, y * scale)
                if not power >= least:
                    continue
                value = _sample(image, x, y, table)
                if not math.isfinite(value):
                    continue
                factor = power * inverse
                if has_map:
                    noise = _bilinear(rms, x, y)
                    if not noise > 0.0:
                        continue
                    factor = power / (noise * noise)
                column = np.uintp(cell * step + k)
                total[row, column] += factor * value
                weight[row, column] += factor * power
                coverage[row, column] += 1


@njit(cache=True, nogil=True, fastmath=SAFE)  # type: ignore[untyped-decorator]  # numba has no types
def finish_rows(first_row: int, last_row: int, total: Any, weight: Any, noise: Any) -> None:
    """Turn sums into means, in place, and weights into noise, in rows `first_row` to `last_row` (exclusive).

    Where nothing was added all are NaN but the weight. Shapes (ny, nx), float32.
    """
    for row in range(first_row, last_row):
        for column in range(total.shape[1]):
            found = weight[row, column]
            if found > 0.0:
                total[row, column] /= found
                noise[row, column] = 1.0 / math.sqrt(found)
            else:
                total[row, column] = np.nan
                noise[row, column] = np.nan
