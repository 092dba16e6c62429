"""Finds sources in an image and measures them, or measures at given places; reads and writes the table.

Promises fluxes in Jy, places in degrees (ICRS), errors from theory for noise that is correlated like the beam. A source
that is not resolved gets the flux of a point. Equal images give equal tables, and equal tables equal bytes.
"""

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import sep
from astropy.io import votable
from astropy.table import Column, Table
from astropy.wcs import WCS

from .fitting import fit_gaussian

BLENDED, EDGE, MOMENTS, RESOLVED = 1, 2, 4, 8
FLAGS = {
    BLENDED: "blended",
    EDGE: "beside blanked pixels",
    MOMENTS: "not fitted: peak pixel",
    RESOLVED: "resolved",
}
WIDTH = math.sqrt(8.0 * math.log(2.0))  # FWHM over standard deviation
RESOLVED_AT = 3.0  # standard deviations of integrated over peak flux above 1
BOX = 64  # pixels, over which the noise is measured

Floats = npt.NDArray[np.float64]
Beam = tuple[float, float, float]

# name: unit, UCD, description
COLUMNS: dict[str, tuple[str, str, str]] = {
    "ra": ("deg", "pos.eq.ra;meta.main", "Right ascension (ICRS)"),
    "dec": ("deg", "pos.eq.dec;meta.main", "Declination (ICRS)"),
    "ra_error": ("arcsec", "stat.error;pos.eq.ra", "Standard error of right ascension times cos(dec)"),
    "dec_error": ("arcsec", "stat.error;pos.eq.dec", "Standard error of declination"),
    "peak": ("Jy/beam", "phot.flux.density;stat.max", "Peak flux density"),
    "peak_error": ("Jy/beam", "stat.error;phot.flux.density;stat.max", "Standard error of the peak"),
    "flux": ("Jy", "phot.flux.density", "Integrated flux density"),
    "flux_error": ("Jy", "stat.error;phot.flux.density", "Standard error of the flux density"),
    "snr": ("", "stat.snr", "Peak over local noise"),
    "rms": ("Jy/beam", "instr.det.noise", "Local noise"),
    "major": ("arcsec", "phys.angSize.smajAxis", "Fitted FWHM, major axis"),
    "minor": ("arcsec", "phys.angSize.sminAxis", "Fitted FWHM, minor axis"),
    "position_angle": ("deg", "pos.posAng", "Of the major axis, from north through east"),
    "x": ("pix", "pos.cartesian.x;instr.det", "Column, the first pixel is 0"),
    "y": ("pix", "pos.cartesian.y;instr.det", "Row, the first pixel is 0"),
    "flags": ("", "meta.code", "Sum of 1 blended, 2 beside blanked pixels, 4 not fitted, 8 resolved"),
}


class SourcesError(ValueError):
    """A source table is wrong: the message names file, what was found and what was expected."""


@dataclass(frozen=True, slots=True, eq=False)
class SourceTable:
    """Sources, a column each (units in `COLUMNS`), brightest first."""

    ra: Floats
    dec: Floats
    ra_error: Floats
    dec_error: Floats
    peak: Floats
    peak_error: Floats
    flux: Floats
    flux_error: Floats
    snr: Floats
    rms: Floats
    major: Floats
    minor: Floats
    position_angle: Floats
    x: Floats
    y: Floats
    flags: npt.NDArray[np.int32]

    def __len__(self) -> int:
        """How many sources."""
        return len(self.ra)

    def take(self, which: npt.NDArray[Any]) -> "SourceTable":
        """Those of a mask or of numbers."""
        return SourceTable(**{one.name: getattr(self, one.name)[which] for one in fields(self)})


def noise_map(image: npt.NDArray[Any], *, box: int = BOX) -> npt.NDArray[np.float32]:
    """Local noise in the unit of the image, clipped of sources: shape (y, x); NaN where the image is blanked."""
    values, blanked = _clean(image)
    size = max(8, min(box, *values.shape))
    found = sep.Background(values, mask=blanked, bw=size, bh=size).rms(dtype=np.float32)
    found[blanked] = np.nan
    rms: npt.NDArray[np.float32] = found
    return rms


def _clean(image: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    values = np.array(image, dtype=np.float32, order="C")
    blanked = ~np.isfinite(values)
    values[blanked] = 0.0
    return values, blanked


def find_sources(
    image: npt.NDArray[Any],
    rms_map: npt.NDArray[Any] | float | None,
    wcs: WCS,
    beam: Beam,
    *,
    threshold: float = 5.0,
    island: float = 3.0,
    box: int = BOX,
) -> SourceTable:
    """Find what stands out of the noise, and measure it.

    sep (Barbary 2016, JOSS 1, 58) finds islands above `island` times the noise and divides them; each part with a
    pixel above `threshold` is fitted with the beam, then with a free ellipse. Errors are those of Condon 1997 (PASP
    109, 166), section 3, with noise of the beam's width.

    Parameters
    ----------
    image : (y, x) array
        Jy/beam; NaN where blanked.
    rms_map : (y, x) array, float or None
        Noise in Jy/beam; measured in boxes of `box` pixels if None.
    beam
        FWHM along the axes and position angle in degrees.
    threshold, island
        In units of the local noise.
    """
    values, blanked = _clean(image)
    rms = noise_map(image, box=box) if rms_map is None else np.broadcast_to(rms_map, values.shape)
    rms = np.array(rms, dtype=np.float32, order="C")
    blanked |= ~(np.isfinite(rms) & (rms > 0.0))
    rms[blanked] = 1.0
    ratio = np.where(blanked, np.float32(0.0), values / rms)
    shape = beam_shape(wcs, beam, (values.shape[1] / 2.0, values.shape[0] / 2.0))
    area = math.pi / math.sqrt(shape[0] * shape[2] - shape[1] ** 2)  # of the beam, in pixels
    sep.set_sub_object_limit(4096)
    objects, islands = sep.extract(
        ratio,
        island,
        mask=blanked,
        minarea=max(3, int(0.25 * area)),
        filter_kernel=None,
        deblend_cont=0.005,
        clean=False,
        segmentation_map=True,
    )
    rows = []
    for number, one in enumerate(objects, start=1):
        if one["peak"] < threshold:
            continue
        row = _measure(values, rms, blanked, islands, number, one, wcs, beam)
        if row is not None and row[8] >= threshold * 0.8:
            rows.append(row)
    rows.sort(key=lambda row: -row[4])
    whole = np.array(rows, dtype=np.float64).reshape(-1, len(COLUMNS))
    columns = {name: whole[:, k].copy() for k, name in enumerate(COLUMNS)}
    flags = columns.pop("flags").astype(np.int32)
    return SourceTable(**columns, flags=flags)


def local_matrix(wcs: WCS, x: float, y: float) -> Floats:
    """Degrees to the east and to the north per pixel in x and y at a pixel: shape (2, 2)."""
    ra, dec = wcs.wcs_pix2world([x - 0.5, x + 0.5, x, x], [y, y, y - 0.5, y + 0.5], 0)
    cosine = math.cos(math.radians(float(np.mean(dec))))
    east = np.array([_turn(ra[1] - ra[0]), _turn(ra[3] - ra[2])]) * cosine
    return np.array([east, [dec[1] - dec[0], dec[3] - dec[2]]])


def _turn(angle: float) -> float:
    return (angle + 180.0) % 360.0 - 180.0


def beam_shape(wcs: WCS, beam: Beam, place: tuple[float, float]) -> tuple[float, float, float]:
    """(a, b, c) of the beam as exp(−(a dx² + 2 b dx dy + c dy²)) in pixels at a pixel."""
    major, minor, angle = beam[0] / WIDTH, beam[1] / WIDTH, math.radians(beam[2])
    axes = np.array([[math.sin(angle), math.cos(angle)], [math.cos(angle), -math.sin(angle)]])
    sky = axes.T @ np.diag([0.5 / major**2, 0.5 / minor**2]) @ axes
    matrix = local_matrix(wcs, *place)
    found = matrix.T @ sky @ matrix
    return float(found[0, 0]), float(found[0, 1]), float(found[1, 1])


def ellipse(matrix: Floats, shape: tuple[float, float, float]) -> Beam:
    """FWHM along the axes and position angle in degrees of a shape in pixels."""
    inverse = np.linalg.inv(matrix)
    sky = inverse.T @ np.array([[shape[0], shape[1]], [shape[1], shape[2]]]) @ inverse
    values, vectors = np.linalg.eigh(sky)
    major, minor = (WIDTH * math.sqrt(0.5 / float(one)) for one in values)
    east, north = vectors[:, 0]
    return major, minor, math.degrees(math.atan2(east, north)) % 180.0


def _measure(
    values: npt.NDArray[np.float32],
    rms: npt.NDArray[np.float32],
    blanked: npt.NDArray[np.bool_],
    islands: npt.NDArray[Any],
    number: int,
    one: Any,
    wcs: WCS,
    beam: Beam,
) -> tuple[float, ...] | None:
    """One row of the table, in the order of `COLUMNS`."""
    column, row = int(one["xpeak"]), int(one["ypeak"])
    matrix = local_matrix(wcs, column, row)
    if not np.isfinite(matrix).all():
        return None
    noise = float(rms[row, column])
    shape = beam_shape(wcs, beam, (column, row))
    wide = max(1.0, math.sqrt(max(float(one["a"]), 1e-6) * math.sqrt(2.0 * min(shape[0], shape[2]))))
    half = math.ceil(1.3 * wide / math.sqrt(min(shape[0], shape[2])))
    bottom, top = max(0, row - half), min(values.shape[0], row + half + 1)
    left, right = max(0, column - half), min(values.shape[1], column + half + 1)
    window = (slice(bottom, top), slice(left, right))
    image = values[window].astype(np.float64)
    mine = islands[window]
    free = ((mine == number) | (mine == 0)) & ~blanked[window]
    y, x = np.mgrid[bottom:top, left:right]
    dx, dy = x - column, y - row
    distance = shape[0] * dx**2 + 2.0 * shape[1] * dx * dy + shape[2] * dy**2
    start = np.array([float(values[row, column]), column, row, *shape])
    point = fit_gaussian(image, free & (distance < 0.8), left, bottom, start, 3)
    full = fit_gaussian(image, free & (distance < 1.7 * wide**2), left, bottom, start, 6)
    flags = 0
    if ((mine != number) & (mine != 0) & (distance < 2.8)).any() or int(one["flag"]) & sep.OBJ_MERGED:
        flags |= BLENDED
    if (blanked[window] & (distance < 2.8)).any() or half > min(column, row):
        flags |= EDGE
    if not point[6]:
        point[:6] = start
        flags |= MOMENTS
    peak, place, size = float(point[0]), point[1:3], beam
    peak_error = flux_error = noise
    flux = peak
    if full[6]:
        free_size = ellipse(matrix, (full[3], full[4], full[5]))
        share = free_size[0] * free_size[1] / (beam[0] * beam[1])
        error = integrated_error(full[0] * share, full[0], noise, free_size, beam)
        if full[0] * share - peak > RESOLVED_AT * math.hypot(error, noise) and share > 1.05:
            flags |= RESOLVED
            peak, place, size = float(full[0]), full[1:3], free_size
            flux, flux_error = peak * share, error
            peak_error = peak * math.sqrt(2.0) / signal(peak / noise, size, beam, 1.5, 1.5)
    ra, dec = wcs.wcs_pix2world(place[0], place[1], 0)
    errors = position_errors(peak / noise, size, beam)
    snr = peak / noise
    return (
        *(float(ra) % 360.0, float(dec), *errors, peak, peak_error, flux, flux_error, snr, noise),
        *(size[0] * 3600.0, size[1] * 3600.0, size[2], float(place[0]), float(place[1]), flags),
    )


def signal(snr: float, size: Beam, beam: Beam, along: float, across: float) -> float:
    """ρ of Condon 1997, equation 41: the signal-to-noise ratio of a fit in noise correlated like the beam."""
    noise = beam[0] * beam[1]
    stretch = (1.0 + noise / size[0] ** 2) ** along * (1.0 + noise / size[1] ** 2) ** across
    return snr * math.sqrt(size[0] * size[1] / (4.0 * noise) * stretch)


def integrated_error(flux: float, peak: float, noise: float, size: Beam, beam: Beam) -> float:
    """Standard error of the integrated flux density of a free fit: Condon 1997, equations 21, 41 and 42."""
    snr = peak / noise
    amplitude = 2.0 / signal(snr, size, beam, 1.5, 1.5) ** 2
    major = 2.0 / signal(snr, size, beam, 2.5, 0.5) ** 2
    minor = 2.0 / signal(snr, size, beam, 0.5, 2.5) ** 2
    ratio = beam[0] * beam[1] / (size[0] * size[1])
    return flux * math.sqrt(amplitude + ratio * (major + minor))


def position_errors(snr: float, size: Beam, beam: Beam) -> tuple[float, float]:
    """Standard errors to the east and to the north in arcsec: Condon 1997, equations 21 and 41."""
    along = size[0] / WIDTH * math.sqrt(2.0) / signal(snr, size, beam, 2.5, 0.5)
    across = size[1] / WIDTH * math.sqrt(2.0) / signal(snr, size, beam, 0.5, 2.5)
    sine, cosine = math.sin(math.radians(size[2])), math.cos(math.radians(size[2]))
    return 3600.0 * math.hypot(along * sine, across * cosine), 3600.0 * math.hypot(
        along * cosine, across * sine
    )


def forced_photometry(
    image: npt.NDArray[Any],
    noise: npt.NDArray[Any] | float,
    wcs: WCS,
    beam: Beam,
    ra: npt.ArrayLike,
    dec: npt.ArrayLike,
    *,
    half_width: int | None = None,
) -> tuple[Floats, Floats]:
    """Flux density of a point source at each place, and its standard error, in Jy.

    Σ d k / Σ k² over a box about the place, where k is the beam there: the least-squares peak of a source of known
    place and shape (compare Condon 1997, PASP 109, 166). The error is that of noise correlated like the
    beam: the local noise. NaN where the box holds a blanked pixel or leaves the image.

    Parameters
    ----------
    image : (y, x) array
        Jy/beam.
    noise : (y, x) array or float
        Jy/beam.
    ra, dec : (n,) array
        Degrees.
    half_width
        Of the box in pixels; 2 unless given, so that the box is 5 × 5.
    """
    reach = 2 if half_width is None else half_width
    x, y = wcs.wcs_world2pix(np.atleast_1d(np.asarray(ra, float)), np.atleast_1d(np.asarray(dec, float)), 0)
    flux, error = np.full(len(x), np.nan), np.full(len(x), np.nan)
    height, width = image.shape
    rms = np.broadcast_to(noise, image.shape)
    for n in range(len(x)):
        if not (reach <= x[n] <= width - 1 - reach and reach <= y[n] <= height - 1 - reach):
            continue
        column, row = round(float(x[n])), round(float(y[n]))
        box = (slice(row - reach, row + reach + 1), slice(column - reach, column + reach + 1))
        rows, columns = np.mgrid[box]
        dx, dy = columns - x[n], rows - y[n]
        a, b, c = beam_shape(wcs, beam, (float(x[n]), float(y[n])))
        kernel = np.exp(-(a * dx**2 + 2.0 * b * dx * dy + c * dy**2))
        flux[n] = float((image[box] * kernel).sum() / (kernel**2).sum())
        error[n] = float(rms[row, column])
    error[~np.isfinite(flux)] = np.nan
    return flux, error


def to_table(sources: SourceTable) -> Table:
    """The sources as an astropy table with units and descriptions."""
    table = Table(meta={"description": "Sources"})
    for name, (unit, ucd, description) in COLUMNS.items():
        table[name] = Column(
            getattr(sources, name), unit=unit or None, description=description, meta={"ucd": ucd}
        )
    return table


def write_sources(
    path: Path | str, sources: SourceTable, *, description: str = "Sources of a mosaic"
) -> None:
    """Write a table: VOTable (binary2, with units and UCDs), or ECSV where the name ends in ``.ecsv``."""
    table = to_table(sources)
    if str(path).endswith(".ecsv"):
        table.write(path, format="ascii.ecsv", overwrite=False)
        return
    whole = votable.from_table(table)
    first = whole.get_first_table()
    first.format = "binary2"
    whole.description = description
    for field in first.fields:
        field.ucd = COLUMNS[field.name][1]
    whole.to_xml(str(path), tabledata_format="binary2")


def read_sources(path: Path | str) -> SourceTable:
    """Read what `write_sources` wrote.

    Raises
    ------
    SourcesError
        If columns are missing.
    """
    if str(path).endswith(".ecsv"):
        table = Table.read(path, format="ascii.ecsv")
    else:
        table = votable.parse_single_table(str(path)).to_table()
    missing = [name for name in COLUMNS if name not in table.colnames]
    if missing:
        raise SourcesError(
            f"{path}: no column {', '.join(missing)}; found {', '.join(table.colnames) or 'none'}"
        )
    columns = {name: np.asarray(table[name], np.float64) for name in COLUMNS if name != "flags"}
    return SourceTable(**columns, flags=np.asarray(table["flags"], np.int32))
