"""Images a calibrated Measurement Set, by our own CLEAN or by WSClean, and says in the header what it was calibrated by.

Promises the same set of images whichever program made them. Holds one block of rows at a time.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import wsclean
from .beam import Beam, Pointings, beam_of, separation
from .calibrate import read_facts
from .calibrators import BUILT_IN, Calibrator, read_table, sky_of
from .coordinates import mean_direction
from .fits import read_image, write_image
from .image import Image, make_image, noise_caveats
from .instrument import Profile
from .measurement_set import iterate, opened, read_centres
from .phasing import phase_set
from .predict import apparent_flux, predict
from .provenance import cards_of
from .sky import Sky, joined
from .solving import mjd_seconds
from .visibilities import Visibilities

Progress = Callable[[float, str], None]
Cards = dict[str, Any]
COLUMN = "CORRECTED_DATA"
FARTHEST = 6.0  # degrees from the centre, within which a bright source disturbs
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

    def shared(self) -> dict[str, Any]:
        """What our own imaging and WSClean are told in the same words: the pixel in radians, all but `pb_limit`."""
        told = {**asdict(self), "cell": math.radians(self.cell / 3600.0)}
        del told["pb_limit"]
        return told


def image_set(
    path: Path,
    profile: Profile,
    settings: ImageSettings,
    *,
    bright: Sky | None = None,
    threads: int = 2,
    progress: Progress | None = None,
) -> Image:
    """Image all fields of a set together, around their mean.

    `bright` is taken off the visibilities first, at every integration as the beam sees it then, and put back as the mean
    beam sees it: the beam passes over a source, which CLEAN takes for constant.
    """
    centres = read_centres(path)
    beam = beam_of(profile.beam, profile.dish)
    return make_image(
        _without(iterate(path, COLUMN, rows_of(path)), bright, beam),
        taken_off=bright,
        **settings.shared(),
        centre=mean_direction(centres),
        beam=beam,
        pointings=centres,
        pb_limit=settings.pb_limit,
        threads=threads,
        progress=progress,
    )


def _without(blocks: Iterable[Visibilities], bright: Sky | None, beam: Beam) -> Iterator[Visibilities]:
    for block in blocks:
        if bright is not None:
            flux = apparent_flux(bright, beam, block.centres, block.frequency)
            model = predict(
                bright,
                flux,
                uvw=block.uvw,
                field=block.field,
                centres=block.centres,
                frequency=block.frequency,
            )
            for number, name in enumerate(block.polarisations):
                if name[0] == name[1]:
                    block.data[:, :, number] -= model
        yield block


def bright_sky(path: Path, table: Sequence[Calibrator], beam: Beam, *, least: float) -> Sky | None:
    """The known calibrators in and around the field that are seen with at least `least` Jy, or None."""
    centres = read_centres(path)
    with opened(path / "SPECTRAL_WINDOW") as windows:
        frequency = float(np.mean(windows.getcell("CHAN_FREQ", 0)))
    ra, dec = mean_direction(centres)
    found = []
    for one in table:
        if not one.valid[0] <= frequency / 1e9 <= one.valid[1]:
            continue
        sky = sky_of(one, frequency)
        if separation(sky.ra, sky.dec, ra, dec)[0] > np.radians(FARTHEST):
            continue
        if (sky.flux * Pointings(beam, centres).power(sky.ra, sky.dec, frequency))[0] >= least:
            found.append(sky)
    return joined(found) if found else None


def bright_of(path: Path, profile: Profile, calibrators: Path | None, *, least: float) -> Sky | None:
    """The same from a table's file, or from the table that ships; none with `least` 0."""
    if not least:
        return None
    table = read_table(calibrators) if calibrators else BUILT_IN
    return bright_sky(path, table, beam_of(profile.beam, profile.dish), least=least)


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
        wsclean.WscleanSettings(**settings.shared()),
        column=COLUMN,
        threads=threads,
    )
    restored = read_image(made.restored)
    residual = read_image(made.residual).data if made.residual else np.zeros_like(restored.data)
    model = read_image(made.model).data if made.model else np.zeros_like(restored.data)
    rms = _noise(residual)
    with np.errstate(invalid="ignore", divide="ignore"):
        corrected = np.where(own.pb >= settings.pb_limit, restored.data / own.pb, np.nan).astype(np.float32)
    return replace(
        own,
        restored=restored.data,
        corrected=corrected,
        residual=residual,
        model=model,
        beam=restored.beam or own.beam,
        rms=rms,
        clean_flux=float(model.sum()),
        caveats=noise_caveats(rms, own.expected_rms) if settings.niter else (),
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
