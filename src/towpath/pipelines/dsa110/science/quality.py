"""Measures of an image's quality: pure functions of arrays, each one number.

Promises a number or NaN, never a verdict: limits are the pipeline file's; `LIMITS` holds the defaults.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

MAD = 1.4826
MOST = 1_000_000  # pixels that a median looks at: noise is then right to 0.2 %

# measure: (warn, fail); a range for the flux scale. From the gates of the DSA-110 pipelines (epoch_qa, image_gate).
LIMITS: Mapping[str, tuple[float | None, float | None]] = MappingProxyType(
    {
        "flux_scale_least": (None, 0.8),
        "flux_scale_most": (None, 1.2),
        "completeness_least": (None, 0.6),
        "mosaic_rms_most": (None, 0.0186),  # Jy/beam
        "dynamic_range_least": (100.0, 30.0),
        "noise_over_theory_most": (1.5, 3.0),
        "finite_least": (None, 0.5),
        "astrometry_rms_most": (0.5, 1.0),  # arcsec, of bright sources
        "artefacts_most": (None, 0.3),
        "beam_axial_ratio_most": (2.0, 4.0),
    }
)


def _values(image: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Finite values, of a large image every so many pixels: at a step that meets every column."""
    flat = np.asarray(image).reshape(-1)
    step = max(1, flat.size // MOST)
    while step > 1 and math.gcd(step, np.shape(image)[-1]) > 1:
        step += 1
    thin = flat[::step]
    found: npt.NDArray[np.float64] = thin[np.isfinite(thin)].astype(np.float64)
    return found


def robust_rms(image: npt.NDArray[Any]) -> float:
    """Noise in the unit of the image: 1.4826 × median absolute deviation, clipped thrice at 4 σ; NaN if blank."""
    values = _values(image)
    if values.size == 0:
        return math.nan
    for _ in range(3):
        middle = float(np.median(values))
        sigma = MAD * float(np.median(np.abs(values - middle)))
        kept = values[np.abs(values - middle) <= 4.0 * sigma]
        if sigma == 0.0 or kept.size == values.size:
            break
        values = kept
    middle = float(np.median(values))
    return MAD * float(np.median(np.abs(values - middle)))


def dynamic_range(image: npt.NDArray[Any]) -> float:
    """Peak over robust noise."""
    return _ratio(_peak(image, 1.0), robust_rms(image))


def finite_fraction(image: npt.NDArray[Any]) -> float:
    """Share of pixels that are not blank."""
    return float(np.count_nonzero(np.isfinite(image)) / max(1, np.size(image)))


def theoretical_noise(
    sefd: float, stations: int, bandwidth: float, seconds: float, polarisations: int = 2
) -> float:
    """Noise in Jy/beam of a naturally weighted image: SEFD / √(p n (n − 1) Δν t) (Thompson et al. 2017, section 6.2).

    Parameters
    ----------
    sefd
        Jy of one station and polarisation.
    bandwidth, seconds
        Hz and s that are not flagged.
    """
    return sefd / math.sqrt(polarisations * stations * (stations - 1) * bandwidth * seconds)


def noise_over_theory(image: npt.NDArray[Any], theory: float) -> float:
    """Robust noise over the theoretical one (both in Jy/beam)."""
    return _ratio(robust_rms(image), theory)


def negative_ratio(image: npt.NDArray[Any]) -> float:
    """Depth of the deepest hole over the peak: 0 without holes."""
    return _ratio(_peak(image, -1.0), _peak(image, 1.0))


def artefact_score(image: npt.NDArray[Any], noise: npt.NDArray[Any] | float | None = None) -> float:
    """Share of pixels beyond 5 σ that are negative: 0 for a good image; half where what is seen is as much hole as source.

    NaN-free: 0 where nothing is beyond 5 σ.
    """
    sigma = robust_rms(image) if noise is None else noise
    with np.errstate(invalid="ignore"):
        above = int(np.count_nonzero(image > 5.0 * np.asarray(sigma)))
        below = int(np.count_nonzero(image < -5.0 * np.asarray(sigma)))
    return below / (above + below) if above + below else 0.0


def edge_ratio(image: npt.NDArray[Any], width: float = 0.05) -> float:
    """Robust noise of the outer frame (`width` of each side) over that of the inner part: aliasing raises it."""
    high, wide = (max(1, round(width * length)) for length in image.shape)
    rows, inner = (image[:high], image[-high:]), image[high:-high]
    sides = (*rows, inner[:, :wide], inner[:, -wide:])
    frame = np.concatenate([side.reshape(-1) for side in sides])
    return _ratio(robust_rms(frame), robust_rms(inner[:, wide:-wide]))


def beam_axial_ratio(beam: tuple[float, float, float]) -> float:
    """Major over minor axis."""
    return _ratio(beam[0], beam[1])


def noise_chi(image: npt.NDArray[Any], noise: npt.NDArray[Any]) -> float:
    """Robust scatter of image over noise: 1 where the noise map tells the truth."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return robust_rms(np.asarray(image) / noise)


def _peak(image: npt.NDArray[Any], sign: float) -> float:
    if not np.isfinite(image).any():
        return math.nan
    return max(0.0, float(np.nanmax(image) if sign > 0 else -np.nanmin(image)))


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0.0 else math.nan


def measures(
    image: npt.NDArray[Any],
    *,
    beam: tuple[float, float, float] | None = None,
    noise: npt.NDArray[Any] | None = None,
    theory: float | None = None,
) -> dict[str, float]:
    """All measures of an image (Jy/beam) that its inputs allow: name → number."""
    rms, peak = robust_rms(image), _peak(image, 1.0)
    found = {
        "rms": rms,
        "peak": peak,
        "dynamic_range": _ratio(peak, rms),
        "finite": finite_fraction(image),
        "negative_ratio": negative_ratio(image),
        "artefacts": artefact_score(image, rms if noise is None else noise),
        "edge_ratio": edge_ratio(image),
    }
    if beam is not None:
        found["beam_axial_ratio"] = beam_axial_ratio(beam)
    if noise is not None:
        found["noise_chi"] = noise_chi(image, noise)
        found["effective_noise"] = float(np.nanmedian(noise)) if np.isfinite(noise).any() else math.nan
    if theory is not None:
        found["noise_over_theory"] = _ratio(rms, theory)
    return found
