"""Major cycles of CLEAN: subtract the model from the visibilities, image what is left, go on.

Promises that the residual image is that of the model: the last thing done is a subtraction from the data. A cycle that
makes the residual worse is taken back, and a caveat says so.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .clean import cover, minor_cycle, noise_level, noise_levels, peak_over, pixels_above, take_off
from .gridding import Averaged, Gridder
from .weighting import Weighting

Singles = npt.NDArray[np.float32]
Places = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]

ENOUGH = 1.5  # times the threshold: what a subtraction may leave in the mask
WORSE = 1.5  # times the residual before: the cycle diverges
STALLED = 0.95  # times peak and noise before: another cycle would only clean what is no source
TILES = 16  # along a side, in which the noise is measured


@dataclass(frozen=True, slots=True)
class Settings:
    """When CLEAN stops, and how fast it goes.

    Parameters
    ----------
    niter
        Components at most.
    auto_mask
        Noise levels above which a pixel may become a component.
    auto_threshold
        Noise levels down to which the surroundings of components are cleaned.
    threshold
        Jy/beam below which nothing is cleaned.
    gain
        Share of a pixel that a component takes.
    mgain
        Share of the peak that a major cycle takes.
    majors
        Major cycles at most.
    """

    niter: int = 1000
    auto_mask: float = 5.0
    auto_threshold: float = 1.0
    threshold: float = 0.0
    gain: float = 0.1
    mgain: float = 0.8
    majors: int = 12


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What CLEAN made: model in Jy/pixel, residual in Jy/beam, residual visibilities, and how it went."""

    model: Singles
    residual: Singles
    visibilities: npt.NDArray[np.complex64]
    components: int
    majors: int
    caveats: tuple[str, ...]


def clean(
    averaged: Averaged,
    weighting: Weighting,
    gridder: Gridder,
    psf: Singles,
    *,
    settings: Settings,
    radius: int,
    progress: Callable[[float, str], None] | None = None,
) -> Cleaned:
    """CLEAN the visibilities.

    Pixels above `auto_mask` times the local noise become components. Once there are no more in reach of the present
    major cycle, the surroundings of components (`radius` pixels) are cleaned down to `auto_threshold` (as Offringa &
    Smirnov 2017, MNRAS 471, 301, section 2.3, do).

    Parameters
    ----------
    psf
        Of peak 1, in the middle: (size, size).
    radius
        Of the mask about a component, in pixels.
    progress
        Called with the share that is done and a line.
    """
    tell = progress or (lambda share, line: None)
    residual = _inverted(gridder, averaged.data, weighting)
    visibilities = averaged.data
    model = np.zeros_like(residual)
    mask = np.zeros(residual.shape, bool)
    tile = max(32, -(-residual.shape[0] // TILES))
    caveats: list[str] = []
    components = majors = 0
    is_deep = False
    while settings.niter > components:
        begun = time.perf_counter()
        levels = noise_levels(residual, tile)
        peak, ratio = peak_over(residual, levels, tile, mask, False)
        inside, inside_ratio = peak_over(residual, levels, tile, mask, True)
        is_clear = ratio <= settings.auto_mask or peak <= settings.threshold
        enough = settings.auto_threshold * (ENOUGH if is_deep else 1.0)
        if is_clear and (inside_ratio <= enough or inside <= settings.threshold):
            break
        if majors == settings.majors:
            caveats.append(
                f"clean stopped after {majors} major cycles, with a peak of {peak:.3g} Jy/beam left"
            )
            break
        stop = max((1.0 - settings.mgain) * (inside if is_clear else peak), settings.threshold)
        delta, count, is_deep = _points(
            residual, psf, mask, levels, tile, settings, stop, settings.niter - components, radius
        )
        if not count:
            break
        trial = model + delta
        left = averaged.data - gridder.predict(trial)
        image = _inverted(gridder, left, weighting)
        majors += 1
        before, after = float(np.abs(residual).max()), float(np.abs(image).max())
        rough, smooth = noise_level(residual), noise_level(image)
        if after > WORSE * before or smooth > WORSE * rough:
            caveats.append(
                f"clean diverged in major cycle {majors} (peak {before:.3g} to {after:.3g} Jy/beam): taken back"
            )
            break
        model, residual, visibilities = trial, image, left
        components += count
        seconds = time.perf_counter() - begun
        tell(
            min(0.95, max(components / settings.niter, majors / settings.majors)),
            f"major cycle {majors}: {components} components, peak {after:.3g}, noise {smooth:.3g} Jy/beam, {seconds:.1f} s",
        )
        if after > STALLED * before and smooth > STALLED * rough:
            break
    else:
        caveats.append(f"clean stopped at {components} components, the most allowed")
    return Cleaned(model, residual, visibilities, components, majors, tuple(caveats))


def _inverted(gridder: Gridder, data: npt.NDArray[np.complex64], weighting: Weighting) -> Singles:
    image = gridder.invert(data, weighting.weights)
    image *= np.float32(1.0 / weighting.total)
    return image


def _points(
    residual: Singles,
    psf: Singles,
    mask: Mask,
    levels: Singles,
    tile: int,
    settings: Settings,
    stop: float,
    most: int,
    radius: int,
) -> tuple[Singles, int, bool]:
    """Components of one major cycle as an image in Jy/pixel, how many, and whether the mask was cleaned to its end."""
    listed = pixels_above(residual, levels, tile, sigmas=settings.auto_mask, least=stop)
    y, x, flux = minor_cycle(listed, psf, gain=settings.gain, most=most)
    cover(mask, y, x, radius)
    delta = np.zeros_like(residual)
    np.add.at(delta, (y, x), flux)
    count = len(y)
    is_last = stop < settings.auto_mask * float(levels.max())
    if is_last and count < most:
        cy, cx = np.nonzero(delta)
        # What the first pass took off may have lifted pixels that were low before: all of the mask is looked at.
        deep = pixels_above(residual, levels, tile, sigmas=-1.0, least=-1.0, mask=mask, most=mask.size)
        values = take_off(
            residual, deep.y, deep.x, cy.astype(np.int32), cx.astype(np.int32), delta[cy, cx], psf
        )
        floors = np.maximum(
            settings.auto_threshold * levels[deep.y // tile, deep.x // tile], np.float32(stop)
        )
        is_near = np.abs(values) > 0.25 * floors
        deep = type(deep)(deep.y[is_near], deep.x[is_near], values[is_near], floors[is_near])
        y, x, flux = minor_cycle(deep, psf, gain=settings.gain, most=most - count)
        np.add.at(delta, (y, x), flux)
        count += len(y)
        is_deep = stop <= settings.auto_threshold * float(levels.min())
    else:
        is_deep = False
    return delta, count, is_deep
