"""The minor cycle of CLEAN, its mask, the noise that limits it, and the restoring beam.

Promises to work on lists of pixels: no pass over the image per component, and no sort of it. The whole PSF is used, so
that within a major cycle only pixels beyond its edge are not corrected. Major cycles are in `major`.
"""

import math
from dataclasses import dataclass

import ducc0
import numpy as np
import numpy.typing as npt
from numba import njit, prange
from scipy.ndimage import label
from scipy.optimize import least_squares

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Places = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]

MAD = 1.482602  # standard deviation over median absolute deviation of normal numbers
FWHM = math.sqrt(8.0 * math.log(2.0))  # over standard deviation
MOST_PIXELS = 60_000


@dataclass(frozen=True, slots=True)
class Ellipse:
    """A Gaussian beam: FWHM `major`, `minor` in radians, `angle` of the major axis from north through east, radians."""

    major: float
    minor: float
    angle: float

    @property
    def solid_angle(self) -> float:
        """In steradian."""
        return math.pi / (4.0 * math.log(2.0)) * self.major * self.minor

    def form(self, cell: float) -> tuple[float, float, float]:
        """(a, b, c) of exp(−(a x² + 2 b x y + c y²)), x to the west and y to the north in pixels of `cell` radians."""
        sine, cosine = math.sin(self.angle), math.cos(self.angle)
        major, minor = (4.0 * math.log(2.0) * (cell / one) ** 2 for one in (self.major, self.minor))
        # The major axis points to (x, y) = (−sin, cos).
        return (
            major * sine**2 + minor * cosine**2,
            (minor - major) * sine * cosine,
            major * cosine**2 + minor * sine**2,
        )


def fit_beam(psf: Singles, cell: float) -> Ellipse:
    """Fit a Gaussian to the main lobe of a PSF (size, size), down to 0.35 of its peak.

    Raises
    ------
    ValueError
        If the lobe is too narrow to have a width: the pixels are too wide.
    """
    middle = psf.shape[0] // 2
    half = min(middle - 1, 64)
    patch = psf[middle - half : middle + half + 1, middle - half : middle + half + 1].astype(float)
    patch /= patch[half, half]
    lobes, _ = label(patch > 0.35)
    y, x = np.nonzero(lobes == lobes[half, half])
    values = patch[y, x]
    y, x = y - half, x - half
    if len(values) < 5:
        raise ValueError(
            f"beam: its main lobe has {len(values)} pixels; expected at least 5, so smaller pixels than {cell:g} rad"
        )
    matrix = np.stack([x * x, 2 * x * y, y * y], axis=1).astype(float)
    start = np.linalg.lstsq(matrix, -np.log(values), rcond=None)[0]
    found = least_squares(lambda form: np.exp(-matrix @ form) - values, start).x
    return _ellipse(found, cell)


def _ellipse(form: Floats, cell: float) -> Ellipse:
    widths, axes = np.linalg.eigh(np.array([[form[0], form[1]], [form[1], form[2]]]))
    if not widths[0] > 0:
        raise ValueError("beam: the main lobe of the PSF has no maximum in the middle; expected a Gaussian")
    major, minor = (float(cell * math.sqrt(4.0 * math.log(2.0) / one)) for one in widths)
    x, y = axes[:, 0]
    return Ellipse(major, minor, float(math.atan2(-x, y) % math.pi))


def noise_levels(image: Singles, tile: int) -> Singles:
    """Standard deviation in tiles of `tile`² pixels by the median absolute deviation of a sample of pixels.

    Returns
    -------
    (n, n) float32
        n = size / tile, rounded up; a last tile that is not whole is looked at with pixels of its neighbour.
    """
    size = image.shape[0]
    count = -(-size // tile)
    step = max(1, tile // 64)
    found = np.empty((count, count), np.float32)
    starts = [min(number * tile, max(size - tile, 0)) for number in range(count)]
    for row, y in enumerate(starts):
        for column, x in enumerate(starts):
            some = image[y : y + tile : step, x : x + tile : step]
            found[row, column] = MAD * np.median(np.abs(some - np.median(some)))
    return found


def noise_level(image: Singles) -> float:
    """Standard deviation of an image by the median absolute deviation of about a million pixels, NaNs left out."""
    step = max(1, math.isqrt(image.size // 1_000_000))
    some = image[::step, ::step]
    some = some[np.isfinite(some)]
    return float(MAD * np.median(np.abs(some - np.median(some)))) if some.size else math.nan


@njit(cache=True, parallel=True)  # type: ignore[untyped-decorator]  # numba ships no types
def peak_over(image: Singles, levels: Singles, tile: int, mask: Mask, masked: bool) -> tuple[float, float]:
    """Largest absolute value, and largest ratio of it to the noise of its tile; of the mask only if `masked`."""
    rows = np.zeros(image.shape[0], np.float32)
    ratios = np.zeros(image.shape[0], np.float32)
    for y in prange(image.shape[0]):
        for x in range(image.shape[1]):
            if not masked or mask[y, x]:
                value = abs(image[y, x])
                rows[y] = max(rows[y], value)
                ratios[y] = max(ratios[y], value / levels[y // tile, x // tile])
    return float(rows.max()), float(ratios.max())


@njit(cache=True, parallel=True)  # type: ignore[untyped-decorator]  # numba ships no types
def _counted(
    image: Singles, levels: Singles, tile: int, sigmas: float, least: float, mask: Mask, masked: bool
) -> npt.NDArray[np.int64]:
    counts = np.zeros(image.shape[0], np.int64)
    for y in prange(image.shape[0]):
        for x in range(image.shape[1]):
            value = abs(image[y, x])
            if (not masked or mask[y, x]) and value > least and value > sigmas * levels[y // tile, x // tile]:
                counts[y] += 1
    return counts


@njit(cache=True, parallel=True)  # type: ignore[untyped-decorator]  # numba ships no types
def _listed(
    image: Singles,
    levels: Singles,
    tile: int,
    sigmas: float,
    least: float,
    mask: Mask,
    masked: bool,
    counts: npt.NDArray[np.int64],
) -> tuple[Places, Places, Singles, Singles]:
    ends = np.cumsum(counts)
    total = ends[-1]
    ys, xs = np.empty(total, np.int32), np.empty(total, np.int32)
    values, floors = np.empty(total, np.float32), np.empty(total, np.float32)
    for y in prange(image.shape[0]):
        place = ends[y] - counts[y]
        if counts[y]:
            for x in range(image.shape[1]):
                value = image[y, x]
                floor = max(least, sigmas * levels[y // tile, x // tile])
                if (not masked or mask[y, x]) and abs(value) > floor:
                    ys[place], xs[place], values[place], floors[place] = y, x, value, floor
                    place += 1
    return ys, xs, values, floors


@dataclass(frozen=True, slots=True)
class Pixels:
    """Pixels that the minor cycle works on: places, values (changed in place), and where it stops at each."""

    y: Places
    x: Places
    value: Singles
    floor: Singles

    def __len__(self) -> int:
        """How many."""
        return len(self.y)


def pixels_above(
    image: Singles,
    levels: Singles,
    tile: int,
    *,
    sigmas: float,
    least: float,
    mask: Mask | None = None,
    most: int = MOST_PIXELS,
) -> Pixels:
    """Pixels (of the mask) whose absolute value is above `least` and `sigmas` times the noise of their tile.

    If there are more than `most`, `least` is raised until there are not: the next major cycle sees the others.
    """
    masked = mask is not None
    cover = mask if mask is not None else np.zeros((1, 1), bool)
    counts = _counted(image, levels, tile, sigmas, least, cover, masked)
    while counts.sum() > most:
        least = 1.2 * max(least, float(sigmas * levels.min()))
        counts = _counted(image, levels, tile, sigmas, least, cover, masked)
    return Pixels(*_listed(image, levels, tile, sigmas, least, cover, masked, counts))


def minor_cycle(pixels: Pixels, psf: Singles, *, gain: float, most: int) -> tuple[Places, Places, Singles]:
    """Take components off the pixels until none is above its floor, or there are `most`.

    The brightest pixel is taken each time, `gain` times its value times the PSF is taken off all pixels of the list
    (Högbom 1974, A&AS 15, 417, on the list of Clark 1980, A&A 89, 377).

    Returns
    -------
    y, x, flux
        Components in the order found.
    """
    return _minor(pixels.y, pixels.x, pixels.value, pixels.floor, psf, gain, most)  # type: ignore[no-any-return]


@njit(cache=True)  # type: ignore[untyped-decorator]  # numba ships no types
def _minor(
    ys: Places, xs: Places, values: Singles, floors: Singles, psf: Singles, gain: float, most: int
) -> tuple[Places, Places, Singles]:
    middle, size = psf.shape[0] // 2, psf.shape[0]
    found_y, found_x = np.empty(most, np.int32), np.empty(most, np.int32)
    flux = np.empty(most, np.float32)
    best, top = -1, np.float32(0.0)
    for number in range(len(ys)):
        if abs(values[number]) > floors[number] and abs(values[number]) > top:
            best, top = number, abs(values[number])
    done = 0
    while best >= 0 and done < most:
        part = np.float32(gain * values[best])
        y, x = ys[best], xs[best]
        found_y[done], found_x[done], flux[done] = y, x, part
        done += 1
        best, top = -1, np.float32(0.0)
        for number in range(len(ys)):
            dy, dx = ys[number] - y + middle, xs[number] - x + middle
            if 0 <= dy < size and 0 <= dx < size:
                values[number] -= part * psf[dy, dx]
            value = abs(values[number])
            if value > top and value > floors[number]:
                best, top = number, value
    return found_y[:done], found_x[:done], flux[:done]


@njit(cache=True, parallel=True)  # type: ignore[untyped-decorator]  # numba ships no types
def take_off(
    image: Singles, ys: Places, xs: Places, cy: Places, cx: Places, flux: Singles, psf: Singles
) -> Singles:
    """Values of the image at places (ys, xs), less the components (cy, cx, flux) times the PSF."""
    middle, size = psf.shape[0] // 2, psf.shape[0]
    found = np.empty(len(ys), np.float32)
    for number in prange(len(ys)):
        value = image[ys[number], xs[number]]
        for one in range(len(cy)):
            dy, dx = ys[number] - cy[one] + middle, xs[number] - cx[one] + middle
            if 0 <= dy < size and 0 <= dx < size:
                value -= flux[one] * psf[dy, dx]
        found[number] = value
    return found


def cover(mask: Mask, ys: Places, xs: Places, radius: int) -> None:
    """Set the mask in discs of `radius` pixels about places, in place."""
    size = mask.shape[0]
    reach = np.arange(-radius, radius + 1)
    dy, dx = np.nonzero(reach[:, None] ** 2 + reach**2 <= radius**2)
    y = (ys[:, None] + (dy - radius)).ravel()
    x = (xs[:, None] + (dx - radius)).ravel()
    inside = (y >= 0) & (y < size) & (x >= 0) & (x < size)
    mask[y[inside], x[inside]] = True


def add_gaussians(
    image: Singles, y: npt.ArrayLike, x: npt.ArrayLike, flux: npt.ArrayLike, form: tuple[float, float, float]
) -> None:
    """Add Gaussians exp(−(a x² + 2 b x y + c y²)) times `flux` at places in pixels, in place, out to 5 σ."""
    a, b, c = form
    least = (a + c) / 2.0 - math.hypot((a - c) / 2.0, b)
    reach = math.ceil(5.0 / math.sqrt(2.0 * least))
    _add(image, np.asarray(y, float), np.asarray(x, float), np.asarray(flux, float), a, b, c, reach)


@njit(cache=True)  # type: ignore[untyped-decorator]  # numba ships no types
def _add(
    image: Singles, ys: Floats, xs: Floats, flux: Floats, a: float, b: float, c: float, reach: int
) -> None:
    for number in range(len(ys)):
        near_y, near_x = int(np.floor(ys[number] + 0.5)), int(np.floor(xs[number] + 0.5))
        for y in range(max(0, near_y - reach), min(image.shape[0], near_y + reach + 1)):
            dy = y - ys[number]
            for x in range(max(0, near_x - reach), min(image.shape[1], near_x + reach + 1)):
                dx = x - xs[number]
                image[y, x] += flux[number] * np.exp(-(a * dx * dx + 2.0 * b * dx * dy + c * dy * dy))


def convolve_beam(model: Singles, beam: Ellipse, cell: float, threads: int) -> Singles:
    """A model in Jy/pixel, convolved with a beam of peak 1: Jy/beam.

    Few components are drawn one by one; many (of extended sources) go through a Fourier transform.
    """
    y, x = np.nonzero(model)
    found = np.zeros_like(model)
    form = beam.form(cell)
    reach = 2.0 * 5.0 / FWHM * beam.major / cell
    if len(y) * reach**2 < 40.0 * model.size:
        add_gaussians(found, y, x, model[y, x], form)
        return found
    size = model.shape[0]
    add_gaussians(found, np.array([size // 2]), np.array([size // 2]), np.ones(1), form)
    return convolve(model, found, threads)


def convolve(image: Singles, kernel: Singles, threads: int) -> Singles:
    """Convolve with a kernel of the same shape, whose centre is pixel (size / 2, size / 2); nothing wraps around."""
    size = image.shape[0]
    padded = ducc0.fft.good_size(2 * size, True)
    spectra = []
    for one in (image, kernel):
        wide = np.zeros((padded, padded), np.float32)
        wide[:size, :size] = one
        spectra.append(ducc0.fft.r2c(wide, axes=(0, 1), nthreads=threads))
    spectra[0] *= spectra.pop()
    wide = ducc0.fft.c2r(spectra[0], axes=(0, 1), lastsize=padded, forward=False, inorm=2, nthreads=threads)
    half = size // 2
    found: Singles = np.ascontiguousarray(wide[half : half + size, half : half + size])
    return found
