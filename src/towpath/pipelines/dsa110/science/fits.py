"""FITS files of images: a header that other programs understand, and the same bytes for the same image.

Promises no time of writing and no checksum comment in a file, so that equal images have equal hashes. Files are 4-D
(STOKES, FREQ, DEC, RA) as radio astronomy has them; what is read is 2-D.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from astropy.coordinates import EarthLocation
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS, FITSFixedWarning

from .clean import Ellipse
from .image import Image

Singles = npt.NDArray[np.float32]
Card = str | int | float | bool

KINDS = {
    "restored": ("Jy/beam", "as the array sees the sky"),
    "corrected": ("Jy/beam", "corrected for the primary beam"),
    "residual": ("Jy/beam", "residual of CLEAN"),
    "model": ("Jy/pixel", "model of CLEAN"),
    "psf": ("", "point spread function"),
    "pb": ("", "primary beam, power"),
}


class FitsError(ValueError):
    """A FITS file is not an image of the sky that can be used: the message names file, what was found and expected."""


@dataclass(frozen=True, slots=True)
class FitsImage:
    """An image that was read: `data` (y, x), celestial `wcs` (2-D), `header`, `beam` and `frequency` where stated."""

    data: Singles
    wcs: WCS
    header: fits.Header
    beam: Ellipse | None
    frequency: float | None


def image_header(
    image: Image,
    kind: str,
    *,
    telescope: str,
    location: EarthLocation | None = None,
    cards: Mapping[str, Card] | None = None,
    history: Sequence[str] = (),
) -> fits.Header:
    """Header of an image of one of `KINDS`.

    Parameters
    ----------
    telescope, location
        TELESCOP, and OBSGEO-X, -Y, -Z.
    cards
        Further cards: provenance, such as the calibration's date or the digest of the profile.
    history
        Lines of HISTORY.

    Raises
    ------
    ValueError
        If the kind is unknown.
    """
    if kind not in KINDS:
        raise ValueError(f"kind of image {kind!r}; expected one of {', '.join(KINDS)}")
    unit, what = KINDS[kind]
    begin, end = (Time(one / 86400.0, format="mjd", scale="utc") for one in image.time)
    degrees = np.degrees(image.cell)
    header = fits.Header()
    for number, (name, value, step, pixel, units) in enumerate(
        (
            ("RA---SIN", np.degrees(image.centre[0]), -degrees, image.size // 2 + 1.0, "deg"),
            ("DEC--SIN", np.degrees(image.centre[1]), degrees, image.size // 2 + 1.0, "deg"),
            ("FREQ", image.frequency, image.bandwidth or 1.0, 1.0, "Hz"),
            ("STOKES", 1.0, 1.0, 1.0, ""),
        ),
        start=1,
    ):
        header[f"CTYPE{number}"] = name
        header[f"CRPIX{number}"] = pixel
        header[f"CRVAL{number}"] = float(value)
        header[f"CDELT{number}"] = float(step)
        header[f"CUNIT{number}"] = units
    header["RADESYS"] = "ICRS"
    header["SPECSYS"] = "TOPOCENT"
    header["RESTFRQ"] = (image.frequency, "[Hz] effective frequency")
    if unit:
        header["BUNIT"] = unit
    header["BTYPE"] = ("Intensity" if unit else kind, what)
    header["BMAJ"] = (float(np.degrees(image.beam.major)), "[deg] FWHM of the restoring beam")
    header["BMIN"] = (float(np.degrees(image.beam.minor)), "[deg]")
    header["BPA"] = (float(np.degrees(image.beam.angle)), "[deg] north through east")
    header["TIMESYS"] = "UTC"
    header["DATE-OBS"] = begin.isot
    header["DATE-END"] = end.isot
    header["MJD-OBS"] = float(begin.mjd)
    header["MJD-END"] = float(end.mjd)
    header["TELESCOP"] = telescope
    if location is not None:
        for axis, value in zip("XYZ", location.geocentric, strict=True):
            header[f"OBSGEO-{axis}"] = (round(float(value.to_value("m")), 4), "[m]")
    header["RMS"] = (image.rms, "[Jy/beam] noise of the residual")
    header["EXPRMS"] = (image.expected_rms, "[Jy/beam] expected from the visibilities")
    header["NITER"] = (image.n_iter, "components of CLEAN")
    header["NMAJOR"] = (image.n_major, "major cycles")
    header["CLNFLUX"] = (image.clean_flux, "[Jy] sum of the model")
    header["NVIS"] = (image.samples, "visibilities used")
    header["FLAGFRAC"] = (image.flagged, "share of visibilities not used")
    header["CHANAVG"] = (image.averaged, "channels averaged into one")
    for name, card in (cards or {}).items():
        header[name] = card
    for line in (*(f"caveat: {one}" for one in image.caveats), *history):
        header.add_history(line)
    return header


def write_image(
    path: Path,
    image: Image,
    kind: str = "restored",
    *,
    telescope: str,
    location: EarthLocation | None = None,
    cards: Mapping[str, Card] | None = None,
    history: Sequence[str] = (),
) -> None:
    """Write one of the images (see `image_header`) as float32, 4-D.

    Raises
    ------
    OSError
        If there is something at the path.
    """
    header = image_header(image, kind, telescope=telescope, location=location, cards=cards, history=history)
    write_array(path, getattr(image, kind), header)


def write_array(path: Path, data: Singles, header: fits.Header) -> None:
    """Write an array (y, x) with a header that describes four axes."""
    fits.PrimaryHDU(np.asarray(data, np.float32)[None, None], header).writeto(path)


def read_image(path: Path) -> FitsImage:
    """Read an image, 2-D or with further axes of length 1.

    Raises
    ------
    FitsError
        If it is no FITS file, holds no image, or has no celestial axes.
    """
    try:
        with fits.open(path, memmap=False) as file:
            header, data = file[0].header, file[0].data
    except OSError as error:
        raise FitsError(f"{path}: not a FITS file that can be read: {error}") from None
    if data is None or data.ndim < 2 or any(length != 1 for length in data.shape[:-2]):
        found = "no data" if data is None else f"shape {data.shape}"
        raise FitsError(f"{path}: found {found}; expected an image of two axes, further ones of length 1")
    with warnings.catch_warnings():
        # astropy tells that it derives OBSGEO-L, -B, -H and dates from what the header says: nothing is wrong.
        warnings.simplefilter("ignore", FITSFixedWarning)
        wcs = WCS(header).celestial
    if wcs.naxis != 2:
        raise FitsError(
            f"{path}: found CTYPE1 {header.get('CTYPE1')!r}; expected right ascension and declination"
        )
    beam = None
    if "BMAJ" in header:
        beam = Ellipse(*(float(np.radians(header[name])) for name in ("BMAJ", "BMIN", "BPA")))
    frequency = header.get("RESTFRQ", header["CRVAL3"] if header.get("CTYPE3") == "FREQ" else None)
    plane = np.ascontiguousarray(data.reshape(data.shape[-2:]).astype(np.float32))
    return FitsImage(plane, wcs, header, beam, None if frequency is None else float(frequency))
