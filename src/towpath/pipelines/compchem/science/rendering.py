"""Paints spheres and rods by depth: an orthographic camera, a lamp at the upper left, outlines and soft shadow.

Promises that what is nearer hides what is farther, pixel by pixel, and equal pictures for equal input. Shadow: unsharp mask
of depth (Luft, Colditz & Deussen 2006, ACM Trans. Graph. 25, 1206). It knows nothing of atoms or files.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from .composition import FloatArray

ImageArray = NDArray[np.float32]
Colour = tuple[float, float, float]
_MOST_PIXELS = 8e7  # of all spheres together, hidden ones too
_MOST_RODS = 60_000
_FINER = 2  # canvas pixels per picture pixel
_LAMP = (np.array([-0.42, 0.55, 0.72]) / np.linalg.norm([-0.42, 0.55, 0.72])).astype(np.float32)
# The direction between lamp and eye, where surfaces shine.
_MIDDLE = (np.array([-0.22, 0.29, 0.93]) / np.linalg.norm([-0.22, 0.29, 0.93])).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Spheres:
    """Spheres: centres (n, 3) and radii (n,) in ångström, colours (n, 3) from 0 to 1."""

    centres: FloatArray
    radii: FloatArray
    colours: FloatArray


@dataclass(frozen=True, slots=True)
class Rods:
    """Rods from `begins` to `ends`, both (n, 3), of `radii` (n,), in ångström, with colours (n, 3) from 0 to 1."""

    begins: FloatArray
    ends: FloatArray
    radii: FloatArray
    colours: FloatArray


@dataclass(frozen=True, slots=True)
class Picture:
    """A painted scene: `pixels` (height, width, 4) from 0 to 1, and where camera coordinates fall in it."""

    pixels: ImageArray
    pixels_per_angstrom: float
    middle: FloatArray

    def place(self, point: FloatArray) -> tuple[float, float]:
        """Give column and row of a point in camera coordinates (ångström), shape (3,)."""
        height, width = self.pixels.shape[:2]
        x, y = (point[:2] - self.middle) * self.pixels_per_angstrom
        return width / 2.0 + float(x), height / 2.0 - float(y)


class _Canvas:
    """Buffers of depth, colour and slope of the surface nearest to the eye."""

    def __init__(self, width: int, height: int, scale: float, middle: FloatArray) -> None:
        self.width, self.height, self.scale = width, height, scale
        self.middle = middle
        self.depth = np.full((height, width), -np.inf, dtype=np.float32)
        self.colour = np.zeros((height, width, 3), dtype=np.float32)
        self.normal = np.zeros((height, width, 3), dtype=np.float32)

    def window(self, low: FloatArray, high: FloatArray) -> tuple[slice, slice, FloatArray, FloatArray] | None:
        """Give the rows and columns of a rectangle in ångström, and coordinates of their pixels."""
        left, bottom = (low - self.middle) * self.scale + (self.width / 2.0, self.height / 2.0)
        right, top = (high - self.middle) * self.scale + (self.width / 2.0, self.height / 2.0)
        x0, x1 = max(int(left), 0), min(int(right) + 2, self.width)
        y0, y1 = max(int(bottom), 0), min(int(top) + 2, self.height)
        if x0 >= x1 or y0 >= y1:
            return None
        x = (np.arange(x0, x1) + 0.5 - self.width / 2.0) / self.scale + self.middle[0]
        y = (np.arange(y0, y1) + 0.5 - self.height / 2.0) / self.scale + self.middle[1]
        return slice(y0, y1), slice(x0, x1), x[None, :], y[:, None]

    def paint(
        self,
        rows: slice,
        columns: slice,
        inside: NDArray[np.bool_],
        depth: FloatArray,
        normal: FloatArray,
        colour: FloatArray,
    ) -> None:
        """Paint where a surface lies nearer than what is there."""
        window = self.depth[rows, columns]
        nearer = inside & (depth > window)
        window[nearer] = depth[nearer]
        self.colour[rows, columns][nearer] = colour
        self.normal[rows, columns][nearer] = normal[nearer]


def render(spheres: Spheres, rods: Rods, width: int, height: int, *, margin: float = 0.04) -> Picture:
    """Paint spheres and rods in camera coordinates: x right, y up, z to the eye.

    Parameters
    ----------
    spheres, rods : Spheres, Rods
        What to paint.
    width, height : int
        Size of the picture in pixels.
    margin : float
        Part of the picture left free at each side.

    Returns
    -------
    Picture
        The picture, with nothing (alpha 0) where nothing was hit.
    """
    low, high = _bounds(spheres, rods)
    extent = np.maximum(high - low, 1e-3)
    free = 1.0 - 2.0 * margin
    scale = float(min(width * free / extent[0], height * free / extent[1], 90.0))
    middle = (low + high)[:2] / 2.0
    spheres, rods = affordable(spheres, rods, scale * _FINER)
    canvas = _Canvas(width * _FINER, height * _FINER, scale * _FINER, middle)
    for centre, radius, colour in zip(spheres.centres, spheres.radii.tolist(), spheres.colours, strict=True):
        _paint_sphere(canvas, centre, radius, colour)
    for begin, end, radius, colour in zip(
        rods.begins, rods.ends, rods.radii.tolist(), rods.colours, strict=True
    ):
        _paint_rod(canvas, begin, end, radius, colour)
    return Picture(_light(canvas, float(low[2]), float(high[2])), scale, middle)


def affordable(spheres: Spheres, rods: Rods, scale: float) -> tuple[Spheres, Rods]:
    """Thin spheres and rods where painting all would take too long, as where they lie in one place.

    `scale` is in pixels per ångström; the orders are kept.
    """
    area = float(((2.0 * spheres.radii * scale + 2.0) ** 2).sum())
    every = int(np.ceil(area / _MOST_PIXELS))
    if every > 1:
        spheres = Spheres(spheres.centres[::every], spheres.radii[::every], spheres.colours[::every])
    every = int(np.ceil(len(rods.radii) / _MOST_RODS))
    if every > 1:
        rods = Rods(rods.begins[::every], rods.ends[::every], rods.radii[::every], rods.colours[::every])
    return spheres, rods


def _bounds(spheres: Spheres, rods: Rods) -> tuple[FloatArray, FloatArray]:
    points = np.concatenate([spheres.centres, rods.begins, rods.ends])
    radii = np.concatenate([spheres.radii, rods.radii, rods.radii])[:, None]
    return (points - radii).min(axis=0), (points + radii).max(axis=0)


def _paint_sphere(canvas: _Canvas, centre: FloatArray, radius: float, colour: FloatArray) -> None:
    found = canvas.window(centre[:2] - radius, centre[:2] + radius)
    if found is None:
        return
    rows, columns, x, y = found
    across, up = (x - centre[0]) / radius, (y - centre[1]) / radius
    rest = 1.0 - across**2 - up**2
    inside = rest > 0.0
    front = np.sqrt(np.where(inside, rest, 0.0))
    normal = np.stack(np.broadcast_arrays(across, up, front), axis=-1)
    canvas.paint(rows, columns, inside, centre[2] + radius * front, normal, colour)


def _paint_rod(
    canvas: _Canvas, begin: FloatArray, end: FloatArray, radius: float, colour: FloatArray
) -> None:
    """Paint the side of a rod; its ends are open, as spheres or other rods close them."""
    along = end - begin
    length = float(np.linalg.norm(along))
    flat = float(np.hypot(along[0], along[1]))
    found = canvas.window(np.minimum(begin, end)[:2] - radius, np.maximum(begin, end)[:2] + radius)
    if found is None or flat < 1e-6 * max(length, 1e-9):
        return
    rows, columns, x, y = found
    tilt, rise = flat / length, float(along[2]) / length
    ux, uy = float(along[0]) / flat, float(along[1]) / flat
    dx, dy = x - begin[0], y - begin[1]
    aside = uy * dx - ux * dy  # distance from the axis as seen, to its right
    rest = radius**2 - aside**2
    front = np.sqrt(np.where(rest > 0.0, rest, 0.0))
    travelled = (ux * dx + uy * dy + front * rise) / tilt
    inside = (rest > 0.0) & (travelled >= 0.0) & (travelled <= length)
    depth = begin[2] + travelled * rise + front * tilt
    normal = (
        np.stack([aside * uy - front * rise * ux, -aside * ux - front * rise * uy, front * tilt], axis=-1)
        / radius
    )
    canvas.paint(rows, columns, inside, depth, normal, colour)


def _light(canvas: _Canvas, deepest: float, nearest: float) -> ImageArray:
    """Light what was painted, and bring it to the size of the picture."""
    hit = np.isfinite(canvas.depth)
    span = np.float32(max(nearest - deepest, 1e-3))
    depth = np.where(hit, canvas.depth, np.float32(deepest))
    behind = _spread_out(depth)[hit]
    edge = _outline(canvas.depth, hit, float(span))[hit]
    depth, normal = depth[hit], canvas.normal[hit]  # only what was hit from here on
    lit = np.clip(normal @ _LAMP, 0.0, 1.0)
    shine = np.clip(normal @ _MIDDLE, 0.0, 1.0) ** 40
    shadow = 1.0 - np.clip(1.6 * np.clip(behind - depth, 0.0, None) / span, 0.0, 0.5)
    fog = 0.38 * np.clip((nearest - depth) / span, 0.0, 1.0)
    colour = canvas.colour[hit] * (0.42 + 0.62 * lit)[:, None] + (0.22 * shine)[:, None]
    colour = colour * (shadow * (1.0 - fog))[:, None] + fog[:, None]
    whole = np.zeros((canvas.height, canvas.width, 4), dtype=np.float32)
    whole[hit, :3] = np.clip(colour * (1.0 - 0.75 * edge)[:, None], 0.0, 1.0)
    whole[hit, 3] = 1.0
    parts = [whole[row::_FINER, column::_FINER] for row in range(_FINER) for column in range(_FINER)]
    small: ImageArray = np.mean(parts, axis=0, dtype=np.float32)
    small[..., :3] /= np.maximum(small[..., 3:], 1e-6)
    flipped: ImageArray = np.clip(small[::-1], 0.0, 1.0)
    return flipped


def _spread_out(depth: ImageArray) -> ImageArray:
    """Smooth a map of depth, on every fourth pixel of it as it has no details left."""
    coarse = gaussian_filter(depth[::4, ::4], 7.0 * _FINER / 4.0)
    spread: ImageArray = np.repeat(np.repeat(coarse, 4, axis=0), 4, axis=1)[
        : depth.shape[0], : depth.shape[1]
    ]
    return spread


def _outline(depth: ImageArray, hit: NDArray[np.bool_], span: float) -> ImageArray:
    """Tell where a surface stands before one that lies much deeper, from 0 to 1."""
    filled = np.where(hit, depth, np.float32(-1e6))
    step = np.float32(min(max(0.05 * span, 0.8), 4.0))
    deeper = np.zeros_like(filled)
    for here, there in (
        (np.s_[1:], np.s_[:-1]),
        (np.s_[:-1], np.s_[1:]),
        (np.s_[:, 1:], np.s_[:, :-1]),
        (np.s_[:, :-1], np.s_[:, 1:]),
    ):
        np.maximum(deeper[here], filled[here] - filled[there], out=deeper[here])
    edge: ImageArray = np.clip(deeper / step - np.float32(0.5), 0.0, 1.0)
    return edge
