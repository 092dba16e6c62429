"""Images a calibrated Measurement Set, by our own CLEAN or by WSClean, and says in the header what it was calibrated by.

Promises the same set of images whichever program made them. Holds one block of rows at a time.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import wsclean
from .beam import beam_of
from .calibrate import read_facts
from .coordinates import mean_direction
from .fits import read_image, write_image
from .image import Image, make_image
from .instrument import Profile
from .measurement_set import iterate, opened, read_centres
from .phasing import phase_set
from .provenance import cards_of
from .solving import mjd_seconds

Progress = Callable[[float, str], None]
Cards = dict[str, tuple[Any, str]]
COLUMN = "CORRECTED_DATA"
BLOCK = 64 * 1024 * 1024  # bytes of visibilities


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """What to image; `cell` in arcsec, `uv_min` in wavelengths, the others as in `image.make_image`."""

    size: int
    cell: float
    weighting: str
    robust: float
    niter: int
    auto_mask: float
    auto_threshold: float
    mgain: float
    pb_limit: float
    uv_min: float

    @property
    def radians(self) -> float:
        """Of a pixel."""
        return math.radians(self.cell / 3600.0)


def image_set(
    path: Path,
    profile: Profile,
    settings: ImageSettings,
    *,
    threads: int = 2,
    progress: Progress | None = None,
) -> Image:
    """Image all fields of a set together, around their mean."""
    centres = read_centres(path)
    return make_image(
        iterate(path, COLUMN, rows_of(path)),
        size=settings.size,
        cell=settings.radians,
        centre=mean_direction(centres),
        weighting=settings.weighting,
        robust=settings.robust,
        niter=settings.niter,
        auto_mask=settings.auto_mask,
        auto_threshold=settings.auto_threshold,
        mgain=settings.mgain,
        beam=beam_of(profile.beam, profile.dish),
        pointings=centres,
        pb_limit=settings.pb_limit,
        uv_min=settings.uv_min,
        threads=threads,
        progress=progress,
    )


def rows_of(path: Path) -> int:
    """How many rows make a block of moderate size."""
    with opened(path) as main:
        cell = main.getcell("DATA", 0)
    return max(1, int(BLOCK // (8 * cell.size)))


def image_by_wsclean(
    path: Path, profile: Profile, settings: ImageSettings, scratch: Path, *, threads: int = 2
) -> Image:
    """Image a set by WSClean; what only our own imaging measures (weights, theory) is taken from it.

    Raises
    ------
    WscleanError
        If it is not installed, or fails.
    """
    if not wsclean.is_installed():
        raise wsclean.WscleanError("wsclean: no such program; install it, or set imager = 'own'")
    own = image_set(path, profile, replace(settings, niter=0), threads=threads)
    phased = scratch / "phased.ms"
    phase_set(path, phased, column=COLUMN)
    made = wsclean.run(
        phased,
        scratch / "wsclean",
        wsclean.WscleanSettings(
            size=settings.size,
            cell=settings.radians,
            weighting=settings.weighting,
            robust=settings.robust,
            niter=settings.niter,
            auto_mask=settings.auto_mask,
            auto_threshold=settings.auto_threshold,
            mgain=settings.mgain,
            uv_min=settings.uv_min,
        ),
        column=COLUMN,
        threads=threads,
    )
    restored = read_image(made.restored)
    residual = read_image(made.residual).data if made.residual else np.zeros_like(restored.data)
    model = read_image(made.model).data if made.model else np.zeros_like(restored.data)
    with np.errstate(invalid="ignore", divide="ignore"):
        corrected = np.where(own.pb >= settings.pb_limit, restored.data / own.pb, np.nan).astype(np.float32)
    return replace(
        own,
        restored=restored.data,
        corrected=corrected,
        residual=residual,
        model=model,
        beam=restored.beam or own.beam,
        rms=_noise(residual),
        clean_flux=float(model.sum()),
    )


def _noise(image: npt.NDArray[np.float32]) -> float:
    finite = image[np.isfinite(image)]
    return float(1.4826 * np.median(np.abs(finite - np.median(finite))))


def cards(path: Path, image: Image, profile: Profile, version: Mapping[str, str]) -> Cards:
    """The cards of an image: what it was calibrated by, how it was made, what was measured."""
    found: Cards = {
        "OBJECT": (path.stem, "observation"),
        "RMS": (image.rms, "[Jy/beam] noise of the residual"),
        "RMSTHEO": (image.expected_rms, "[Jy/beam] noise that the data should give"),
        "NITER": (image.n_iter, "components of CLEAN"),
        "NMAJOR": (image.n_major, "major cycles"),
        "NVIS": (image.samples, "visibilities used"),
        "FLAGGED": (round(image.flagged, 6), "share of visibilities that was not"),
        "INSTPROF": (profile.digest[:16], "sha256 of the instrument profile, 16 digits"),
        **{key: (value, "") for key, value in version.items()},
    }
    calibrated = read_facts(path)
    if calibrated is not None:
        middle = sum(image.time) / 2.0
        found |= cards_of(calibrated, age=abs(middle - mjd_seconds(calibrated.solved)))
        found["INSTPROF"] = (profile.digest[:16], "sha256 of the instrument profile, 16 digits")
    return found


def write_kind(path: Path, image: Image, kind: str, profile: Profile, found: Cards) -> None:
    """Write one of the images with its cards."""
    write_image(path, image, kind, telescope=profile.telescope, location=profile.location, cards=found)
