"""Components with a width: the minor cycle of multi-scale CLEAN (Cornwell 2008, IEEE JSTSP 2, 793).

Promises the same interface as points: a residual goes in, a model in Jy/pixel comes out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .clean import add_gaussians, convolve, minor_cycle, pixels_above

Singles = npt.NDArray[np.float32]

BIAS = 0.5  # worth of a scale: peak over response to this power, which is its signal to noise
ROUNDS = 12  # of choosing a scale within a major cycle
LEFT = 0.7  # share of the peak at which another scale may take over


@dataclass(frozen=True, slots=True)
class Scales:
    """For each scale: its kernel (sum 1), the PSF convolved once and twice with it, the peak of the latter."""

    kernels: tuple[Singles | None, ...]
    once: tuple[Singles, ...]
    twice: tuple[Singles, ...]
    peaks: tuple[float, ...]
    threads: int

    @classmethod
    def of(cls, psf: Singles, widths: Sequence[float], threads: int) -> "Scales":
        """Scales of Gaussian components with FWHM `widths` in pixels; the point is always one of them."""
        size = psf.shape[0]
        kernels: list[Singles | None] = [None]
        once, twice = [psf], [psf]
        for width in sorted(one for one in widths if one > 0):
            kernel = np.zeros_like(psf)
            form = 4.0 * math.log(2.0) / width**2
            add_gaussians(kernel, np.array([size // 2]), np.array([size // 2]), np.ones(1), (form, 0.0, form))
            kernel /= kernel.sum()
            kernels.append(kernel)
            once.append(convolve(psf, kernel, threads))
            twice.append(convolve(once[-1], kernel, threads))
        peaks = tuple(float(one.max()) for one in twice)
        return cls(tuple(kernels), tuple(once), tuple(twice), peaks, threads)


def clean_scales(
    residual: Singles,
    scales: Scales,
    levels: Singles,
    tile: int,
    sigmas: float,
    gain: float,
    stop: float,
    most: int,
) -> tuple[Singles, int]:
    """Components of one major cycle, (size, size) in Jy/pixel, and how many.

    Each round takes the scale whose smoothed residual stands out most, and cleans at that scale alone for a while.

    Parameters
    ----------
    residual
        Jy/beam.
    levels, tile
        Noise of the residual in tiles of so many pixels, Jy/beam.
    sigmas
        Noise levels above which a pixel may become a component.
    gain
        Share that a component takes.
    stop
        Jy/beam at which the cycle ends.
    most
        Components at most.
    """
    left = residual.copy()
    model = np.zeros_like(residual)
    count = 0
    for _ in range(ROUNDS):
        smooth = [left if one is None else convolve(left, one, scales.threads) for one in scales.kernels]
        # A scale's noise falls with smoothing: as the root of the twice convolved PSF's peak (weights as the data's).
        noise = [levels * np.float32(math.sqrt(peak)) for peak in scales.peaks]
        tops = [float(np.abs(one).max()) for one in smooth]
        worth = [
            top * (1.0 / peak) ** BIAS if top > sigmas * float(level.min()) else 0.0
            for top, peak, level in zip(tops, scales.peaks, noise, strict=True)
        ]
        best = int(np.argmax(worth))
        peak = scales.peaks[best]
        if worth[best] <= 0.0 or tops[best] <= stop * math.sqrt(peak) or count >= most:
            break
        least = max(LEFT * tops[best], stop * math.sqrt(peak))
        listed = pixels_above(smooth[best], noise[best], tile, sigmas=sigmas, least=least)
        y, x, flux = minor_cycle(listed, scales.twice[best] / np.float32(peak), gain=gain, most=most - count)
        if not len(y):
            break
        points = np.zeros_like(residual)
        np.add.at(points, (y, x), flux / np.float32(peak))
        count += len(y)
        kernel = scales.kernels[best]
        model += points if kernel is None else convolve(points, kernel, scales.threads)
        left -= convolve(points, scales.once[best], scales.threads)
    return model, count
