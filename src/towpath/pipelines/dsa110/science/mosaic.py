"""Joins overlapping tiles into one image: each weighs by its primary beam squared over its noise squared.

Promises right coordinates across right ascension 0 and between declinations, a noise that belongs to every pixel, and
equal bits for equal tiles. It works on arrays; `write_mosaic` alone touches the disk. It never resamples more of the
output than a tile covers.
"""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS

from . import coordinates
from .beam import Pointings
from .warp import INTERPOLATIONS, add_rows, finish_rows, weight_table

STEPS = (32, 16)  # pixels between exact coordinates, which are linear between them to better than 1e-3 pixel
WIDEST_STEP = 2.0 / 60.0  # degrees between them, and between values of a primary beam
WIDEST_SIN, WIDEST_TAN = 10.0, 25.0  # degrees from the centre up to which a projection is chosen

Floats = npt.NDArray[np.float64]
Single = npt.NDArray[np.float32]
Card = tuple[Any, str]


class MosaicError(ValueError):
    """Tiles do not make a mosaic: the message names the tile, what was found and what was expected."""


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """One image of a strip.

    Parameters
    ----------
    name
        Of the observation.
    image : (y, x) float32
        Jy/beam, **not** corrected for the primary beam (its noise is flat); NaN where blanked.
    pb : (y, x) array or Pointings
        Response of the primary beam, 1 on the axis.
    wcs : astropy.wcs.WCS
        Celestial, two axes.
    rms : float or (y, x) array
        Noise of `image` in Jy/beam.
    beam
        FWHM of the restoring beam along its axes and its position angle, all in degrees.
    frequency
        Hz.
    start, end
        MJD in days (UTC).
    calibration
        Name or digest of the calibration set that was applied.
    """

    name: str
    image: npt.NDArray[Any]
    pb: npt.NDArray[Any] | Pointings
    wcs: WCS
    rms: float | npt.NDArray[Any]
    beam: tuple[float, float, float]
    frequency: float
    start: float
    end: float
    calibration: str = ""

    @property
    def noise(self) -> float:
        """One number for `rms`: its median, in Jy/beam."""
        return float(np.nanmedian(self.rms))

    @property
    def centre(self) -> tuple[float, float]:
        """Right ascension and declination of the middle pixel in degrees."""
        height, width = self.image.shape
        ra, dec = self.wcs.wcs_pix2world((width - 1) / 2.0, (height - 1) / 2.0, 0)
        return float(ra), float(dec)

    @property
    def cell(self) -> float:
        """Side of a pixel in degrees."""
        return pixel_scale(self.wcs)


@dataclass(frozen=True, slots=True, eq=False)
class Mosaic:
    """Tiles joined.

    Parameters
    ----------
    image : (y, x) float32
        Jy/beam, corrected for the primary beam; NaN where no tile reaches.
    weight : (y, x) float32
        1/(Jy/beam)²: sum of response² / rms².
    noise : (y, x) float32
        Jy/beam: 1/√weight; NaN where no tile reaches.
    coverage : (y, x) int16
        How many tiles contribute.
    wcs : astropy.wcs.WCS
        Of all four.
    beam
        Mean restoring beam: two FWHM and position angle in degrees.
    frequency
        Hz, mean of the tiles.
    tiles
        Names of the tiles in order of time.
    calibrations
        The calibration of each.
    median_rms
        Median noise of the tiles in Jy/beam.
    start, end
        MJD in days (UTC).
    pb_limit
        Response below which a tile was not used.
    """

    image: Single
    weight: Single
    noise: Single
    coverage: npt.NDArray[np.int16]
    wcs: WCS
    beam: tuple[float, float, float]
    frequency: float
    tiles: tuple[str, ...]
    calibrations: tuple[str, ...]
    median_rms: float
    start: float
    end: float
    pb_limit: float

    @property
    def effective_noise(self) -> float:
        """Median of the noise over what is covered, in Jy/beam."""
        return float(np.nanmedian(self.noise))

    @property
    def covered(self) -> float:
        """Share of pixels that at least one tile reaches."""
        return float(np.count_nonzero(self.coverage) / self.coverage.size)


@dataclass(frozen=True, slots=True, eq=False)
class _Prepared:
    """A tile with what is needed of it more than once: its beam, and directions of the pixels it is good for."""

    tile: Tile
    response: Single
    step: int
    points: tuple[Floats, Floats]


def _prepare(tile: Tile, pb_limit: float) -> _Prepared:
    _check_noise(tile)
    response, step = response_grid(tile)
    return _Prepared(tile, response, step, _points(tile, response, step, pb_limit))


def pixel_scale(wcs: WCS) -> float:
    """Side in degrees of the square with the area of a pixel at the reference point."""
    return float(math.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix))))


def unit_vectors(ra: npt.ArrayLike, dec: npt.ArrayLike) -> Floats:
    """Directions in degrees as unit vectors: shape (…, 3)."""
    return coordinates.unit_vectors(np.radians(np.asarray(ra, float)), np.radians(np.asarray(dec, float)))


def mean_direction(ra: npt.ArrayLike, dec: npt.ArrayLike) -> tuple[float, float]:
    """Right ascension (0 to 360) and declination in degrees of the mean of unit vectors: right across 0 h."""
    places = np.radians(np.stack([np.ravel(ra), np.ravel(dec)], axis=-1))
    mean_ra, mean_dec = coordinates.mean_direction(places)
    return math.degrees(mean_ra), math.degrees(mean_dec)


def step_of(cell: float) -> int:
    """Pixels (of `cell` degrees) between exact coordinates: the most that are not wider than 2′, or else the fewest."""
    return next((step for step in STEPS if step * cell <= WIDEST_STEP), STEPS[-1])


def grid_of(length: int, step: int) -> Floats:
    """Pixels at every `step` from 0 to the last or just beyond it."""
    return np.arange(0, length - 1 + step, step, dtype=np.float64) if length > 1 else np.array([0.0, step])


def response_grid(tile: Tile) -> tuple[Single, int]:
    """The primary beam of a tile and the step in pixels between its values.

    A model is evaluated where coordinates are exact, or more often where that is more than 2′: on that scale a beam is
    smooth, and a straight line between two values right to 1e-4.

    Raises
    ------
    MosaicError
        If the beam's shape is not that of the image.
    """
    if isinstance(tile.pb, Pointings):
        height, width = tile.image.shape
        step = step_of(tile.cell)
        while step > 1 and step * tile.cell > WIDEST_STEP:
            step //= 2
        x, y = np.meshgrid(grid_of(width, step), grid_of(height, step))
        ra, dec = tile.wcs.wcs_pix2world(x, y, 0)
        power = tile.pb.power(np.radians(ra), np.radians(dec), tile.frequency)
        return np.ascontiguousarray(power, np.float32), step
    if tile.pb.shape != tile.image.shape:
        raise MosaicError(
            f"tile {tile.name}: primary beam of shape {tile.pb.shape}; expected that of the image, {tile.image.shape}"
        )
    return np.ascontiguousarray(tile.pb, np.float32), 1


def response_image(tile: Tile) -> Single:
    """The primary beam of a tile at every pixel: shape of its image."""
    response, step = response_grid(tile)
    if step == 1:
        return response
    height, width = tile.image.shape
    x = np.arange(width) / step
    y = np.arange(height) / step
    rows = _linear(response, y, axis=0)
    return np.ascontiguousarray(_linear(rows, x, axis=1), np.float32)


def _linear(values: npt.NDArray[Any], place: Floats, axis: int) -> npt.NDArray[Any]:
    low = np.minimum(place.astype(int), values.shape[axis] - 2)
    part = np.expand_dims(place - low, 1 - axis)
    below, above = np.take(values, low, axis=axis), np.take(values, low + 1, axis=axis)
    found: npt.NDArray[Any] = below + part * (above - below)
    return found


def useful_points(tile: Tile, pb_limit: float) -> tuple[Floats, Floats]:
    """Right ascension and declination in degrees of a coarse grid of pixels whose response is at least `pb_limit`."""
    return _points(tile, *response_grid(tile), pb_limit)


def _points(tile: Tile, response: Single, step: int, pb_limit: float) -> tuple[Floats, Floats]:
    height, width = tile.image.shape
    stride = step_of(tile.cell)
    every = stride // step
    coarse = response[::every, ::every]
    rows, columns = np.nonzero(_grown(coarse >= pb_limit))
    x = np.minimum(columns * stride, width - 1).astype(float)
    y = np.minimum(rows * stride, height - 1).astype(float)
    ra, dec = tile.wcs.wcs_pix2world(x, y, 0)
    seen = np.isfinite(ra) & np.isfinite(dec)
    return np.asarray(ra)[seen], np.asarray(dec)[seen]


def _grown(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """One cell wider on each side, so that nothing useful lies outside the grid's points."""
    wide = np.pad(mask, 1)
    grown = wide.copy()
    for axis in (0, 1):
        grown |= np.roll(grown, 1, axis) | np.roll(grown, -1, axis)
    return grown[1:-1, 1:-1]


def output_wcs(
    points: tuple[Floats, Floats], cell: float, projection: str | None = None
) -> tuple[WCS, tuple[int, int]]:
    """The grid that holds directions (degrees) with pixels of `cell` degrees, and its shape (y, x).

    It is centred on the mean of their unit vectors. Without a `projection` (SIN, TAN or CAR) the extent chooses:
    SIN up to 10° from the centre, TAN up to 25°, CAR beyond.

    Raises
    ------
    MosaicError
        If the projection is another, or cannot show all directions.
    """
    ra, dec = points
    centre = mean_direction(ra, dec)
    if projection is None:
        cosine = unit_vectors(ra, dec) @ unit_vectors(*centre)
        extent = math.degrees(math.acos(float(np.clip(cosine.min(), -1.0, 1.0))))
        projection = "SIN" if extent <= WIDEST_SIN else "TAN" if extent <= WIDEST_TAN else "CAR"
    if projection not in ("SIN", "TAN", "CAR"):
        raise MosaicError(f"projection {projection!r}; expected SIN, TAN or CAR")
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"RA---{projection}", f"DEC--{projection}"]
    wcs.wcs.cunit = ["deg", "deg"]
    # A cylinder's equator stays that of the sky: its parallels are then rows.
    wcs.wcs.crval = [centre[0], 0.0 if projection == "CAR" else centre[1]]
    wcs.wcs.cdelt = [-cell, cell]
    wcs.wcs.crpix = [1.0, 1.0]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.set()
    x, y = wcs.wcs_world2pix(ra, dec, 0)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise MosaicError(f"projection {projection} cannot show all tiles; use CAR")
    left, bottom = math.floor(float(x.min())), math.floor(float(y.min()))
    wcs.wcs.crpix = [1.0 - left, 1.0 - bottom]
    wcs.wcs.set()
    return wcs, (math.ceil(float(y.max())) - bottom + 1, math.ceil(float(x.max())) - left + 1)


def mosaic(
    tiles: Sequence[Tile],
    *,
    projection: str | None = None,
    cell: float | None = None,
    pb_limit: float = 0.2,
    interpolation: str = "cubic",
    grid: tuple[WCS, tuple[int, int]] | None = None,
    threads: int = 2,
) -> Mosaic:
    """Join tiles: Σ w (image / response) / Σ w with w = response² / rms².

    This is the estimate of least variance (Sault, Staveley-Smith & Brouw 1996, A&AS 120, 375, section 3). A value in
    Jy/beam stays what it was, whatever the pixels: nothing is scaled by their areas.

    Parameters
    ----------
    tiles
        At least one, of one restoring beam (`check_tiles` tells).
    projection
        SIN, TAN or CAR; chosen by the extent if not given.
    cell
        Side of a pixel in degrees; the smallest of the tiles' if not given.
    pb_limit
        Response below which a tile is not used.
    interpolation
        "bilinear" (lowers the peak of a source that falls between pixels: by 5 % where the beam is 5 pixels wide),
        "cubic" (0.6 %) or "lanczos" (0.4 %, raises it; slower).
    grid
        The output's WCS and shape (y, x), instead of one that fits the tiles.
    threads
        How many threads share the rows.

    Raises
    ------
    MosaicError
        If there is no tile, a tile's noise is not above 0, its beam has another shape, or an option is unknown.
    """
    if not tiles:
        raise MosaicError("no tiles; expected at least one")
    if interpolation not in INTERPOLATIONS:
        raise MosaicError(f"interpolation {interpolation!r}; expected one of {', '.join(INTERPOLATIONS)}")
    ordered = sorted(tiles, key=lambda one: (one.start, one.name))
    prepared = [_prepare(one, pb_limit) for one in ordered]
    if grid is None:
        points = [one.points for one in prepared]
        joined = (np.concatenate([ra for ra, _ in points]), np.concatenate([dec for _, dec in points]))
        if joined[0].size == 0:
            raise MosaicError(f"no pixel of any tile has a response of {pb_limit} or more")
        grid = output_wcs(joined, cell or min(one.cell for one in ordered), projection)
    wcs, shape = grid
    total, weight = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    coverage = np.zeros(shape, np.int16)
    table = weight_table(INTERPOLATIONS[interpolation])
    with ThreadPoolExecutor(max(1, threads)) as pool:
        begun: list[Future[None]] = []
        for ready in prepared:
            part = _part(ready, wcs, shape)  # its coordinates, while the tile before is added
            _wait(begun)
            if part is not None:
                begun = _add(part, pb_limit, table, (total, weight, coverage), pool, max(1, threads))
        _wait(begun)
        noise = np.empty(shape, np.float32)
        _wait(
            [
                pool.submit(finish_rows, rows.start, rows.stop, total, weight, noise)
                for rows in _bands(shape[0], 64)
            ]
        )
    return Mosaic(
        image=total,
        weight=weight,
        noise=noise,
        coverage=coverage,
        wcs=wcs,
        beam=mean_beam([one.beam for one in ordered]),
        frequency=float(np.mean([one.frequency for one in ordered])),
        tiles=tuple(one.name for one in ordered),
        calibrations=tuple(one.calibration for one in ordered),
        median_rms=float(np.median([one.noise for one in ordered])),
        start=min(one.start for one in ordered),
        end=max(one.end for one in ordered),
        pb_limit=pb_limit,
    )


def _check_noise(tile: Tile) -> None:
    if np.ndim(tile.rms) and np.shape(tile.rms) != tile.image.shape:
        raise MosaicError(
            f"tile {tile.name}: noise of shape {np.shape(tile.rms)}; expected a number or {tile.image.shape}"
        )
    if not tile.noise > 0.0:
        raise MosaicError(f"tile {tile.name}: noise {tile.noise:g} Jy/beam; expected above 0")


def _bands(rows: int, height: int) -> list[slice]:
    return [slice(first, min(first + height, rows)) for first in range(0, rows, height)]


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """A tile with the box of the output that it covers, and its pixels at every `step`-th pixel of the box."""

    ready: _Prepared
    rows: slice
    columns: slice
    step: int
    grid_x: Floats
    grid_y: Floats


def _part(ready: _Prepared, wcs: WCS, shape: tuple[int, ...]) -> _Part | None:
    """The part of the output that a tile covers; None if it covers none."""
    box = _box(ready, wcs, shape)
    if box is None:
        return None
    rows, columns = box
    step = step_of(pixel_scale(wcs))
    x, y = np.meshgrid(
        columns.start + grid_of(columns.stop - columns.start, step),
        rows.start + grid_of(rows.stop - rows.start, step),
    )
    grid_x, grid_y = ready.tile.wcs.wcs_world2pix(*wcs.wcs_pix2world(x, y, 0), 0)
    return _Part(ready, rows, columns, step, grid_x, grid_y)


def _add(
    part: _Part,
    pb_limit: float,
    table: Single,
    sums: tuple[Single, Single, npt.NDArray[np.int16]],
    pool: ThreadPoolExecutor,
    threads: int,
) -> list[Future[None]]:
    """Begin to add a tile to the part of the sums that it covers."""
    tile = part.ready.tile
    rms = np.ascontiguousarray(tile.rms if np.ndim(tile.rms) else [[0.0]], np.float32)
    image = np.ascontiguousarray(tile.image, np.float32)
    total, weight, coverage = (one[part.rows, part.columns] for one in sums)

    def work(band: slice) -> None:
        add_rows(
            image,
            part.ready.response,
            part.ready.step,
            rms,
            tile.noise**2,
            part.grid_x,
            part.grid_y,
            part.step,
            band.start,
            band.stop,
            pb_limit,
            table,
            total,
            weight,
            coverage,
        )

    height = max(part.step, -(-total.shape[0] // (4 * threads)))
    return [pool.submit(work, band) for band in _bands(total.shape[0], height)]


def _wait(begun: Sequence[Future[None]]) -> None:
    """Wait for all; the error of one is raised."""
    for one in begun:
        one.result()


def _box(ready: _Prepared, wcs: WCS, shape: tuple[int, ...]) -> tuple[slice, slice] | None:
    """Rows and columns of the output that a tile can reach, or None."""
    x, y = wcs.wcs_world2pix(*ready.points, 0)
    seen = np.isfinite(x) & np.isfinite(y)
    if not seen.any():
        return None
    first = [max(0, math.floor(float(one[seen].min())) - 1) for one in (y, x)]
    last = [
        min(length, math.ceil(float(one[seen].max())) + 2) for one, length in zip((y, x), shape, strict=True)
    ]
    if first[0] >= last[0] or first[1] >= last[1]:
        return None
    return slice(first[0], last[0]), slice(first[1], last[1])


def mean_beam(beams: Sequence[tuple[float, float, float]]) -> tuple[float, float, float]:
    """Mean of restoring beams; of position angles (degrees) the mean direction modulo 180°."""
    values = np.asarray(beams, float)
    angle = np.radians(2.0 * values[:, 2])
    turned = math.degrees(math.atan2(float(np.sin(angle).sum()), float(np.cos(angle).sum()))) / 2.0
    return float(values[:, 0].mean()), float(values[:, 1].mean()), turned


def mosaic_cards(mosaic: Mosaic) -> dict[str, Card]:
    """Header cards of a mosaic's own facts: keyword → (value, comment)."""
    cards: dict[str, Card] = {
        "BMAJ": (mosaic.beam[0], "[deg] restoring beam, major axis"),
        "BMIN": (mosaic.beam[1], "[deg] restoring beam, minor axis"),
        "BPA": (mosaic.beam[2], "[deg] restoring beam, position angle"),
        "RESTFRQ": (mosaic.frequency, "[Hz] mean frequency of the tiles"),
        "DATE-OBS": (Time(mosaic.start, format="mjd", scale="utc").isot, "UTC, start of the first tile"),
        "DATE-END": (Time(mosaic.end, format="mjd", scale="utc").isot, "UTC, end of the last tile"),
        "MJD-OBS": (mosaic.start, "[d] start of the first tile"),
        "MJD-END": (mosaic.end, "[d] end of the last tile"),
        "NIMAGES": (len(mosaic.tiles), "number of tiles"),
        "MEDRMS": (mosaic.median_rms, "[Jy/beam] median noise of the tiles"),
        "EFFNOISE": (mosaic.effective_noise, "[Jy/beam] median of the effective noise"),
        "COVERAGE": (mosaic.covered, "share of pixels with data"),
        "PBCORR": (True, "corrected for the primary beam"),
        "PBCUT": (mosaic.pb_limit, "least primary beam response used"),
    }
    for number, (name, calibration) in enumerate(
        zip(mosaic.tiles, mosaic.calibrations, strict=True), start=1
    ):
        cards[f"TILE{number:03d}"] = (name, "")
        cards[f"TCAL{number:03d}"] = (calibration, "")
    return cards


def write_mosaic(path: Path | str, mosaic: Mosaic, cards: Mapping[str, Card] | None = None) -> None:
    """Write a FITS file with MOSAIC (primary), WEIGHT, NOISE and COVERAGE, each with its WCS and unit.

    `cards` (keyword → (value, comment)) are added to those of `mosaic_cards`. Equal mosaics give equal bytes: no
    time of writing is in the file.

    Raises
    ------
    FileExistsError
        If the file is there.
    """
    where = mosaic.wcs.to_header()
    for key in ("DATE-OBS", "MJD-OBS"):
        where.remove(key, ignore_missing=True)
    parts = (
        ("MOSAIC", mosaic.image, "Jy/beam"),
        ("WEIGHT", mosaic.weight, "beam2/Jy2"),
        ("NOISE", mosaic.noise, "Jy/beam"),
        ("COVERAGE", mosaic.coverage, ""),
    )
    units = fits.HDUList()
    for number, (name, data, unit) in enumerate(parts):
        header = fits.Header()
        header["EXTNAME"] = name
        header["BUNIT"] = (unit, "unit of the pixels")
        if number == 0:
            header["BTYPE"] = ("Intensity", "Stokes I")
        header.update(where)
        if number == 0:
            for key, (value, comment) in {**mosaic_cards(mosaic), **(cards or {})}.items():
                header[key] = (value, comment)
        units.append((fits.PrimaryHDU if number == 0 else fits.ImageHDU)(data, header))
    units.writeto(path)


def read_mosaic(path: Path | str) -> Mosaic:
    """Read what `write_mosaic` wrote.

    Raises
    ------
    MosaicError
        If a part or a card is missing.
    """
    with fits.open(path, memmap=False) as units:
        names = [unit.name for unit in units]
        missing = [name for name in ("MOSAIC", "WEIGHT", "NOISE", "COVERAGE") if name not in names]
        if missing:
            raise MosaicError(f"{path}: no HDU {', '.join(missing)}; found {', '.join(names)}")
        header = units["MOSAIC"].header
        arrays = {name: np.ascontiguousarray(units[name].data) for name in names}
        native = {name: one.astype(one.dtype.newbyteorder("=")) for name, one in arrays.items()}
    try:
        count = int(header["NIMAGES"])
        return Mosaic(
            image=native["MOSAIC"],
            weight=native["WEIGHT"],
            noise=native["NOISE"],
            coverage=native["COVERAGE"],
            wcs=celestial(header),
            beam=(float(header["BMAJ"]), float(header["BMIN"]), float(header["BPA"])),
            frequency=float(header["RESTFRQ"]),
            tiles=tuple(str(header[f"TILE{number:03d}"]) for number in range(1, count + 1)),
            calibrations=tuple(str(header[f"TCAL{number:03d}"]) for number in range(1, count + 1)),
            median_rms=float(header["MEDRMS"]),
            start=float(header["MJD-OBS"]),
            end=float(header["MJD-END"]),
            pb_limit=float(header["PBCUT"]),
        )
    except KeyError as error:
        raise MosaicError(f"{path}: header of MOSAIC has no {error.args[0]}") from None


def celestial(header: fits.Header) -> WCS:
    """The two celestial axes of an image's header (which may have frequency and Stokes axes as well).

    Only what places a pixel on the sky is read: dates and observatories are not its business.
    """
    full = WCS(naxis=2)
    full.wcs.ctype = [str(header[f"CTYPE{axis}"]) for axis in (1, 2)]
    full.wcs.cunit = [str(header.get(f"CUNIT{axis}", "deg")) for axis in (1, 2)]
    full.wcs.crval = [float(header[f"CRVAL{axis}"]) for axis in (1, 2)]
    full.wcs.crpix = [float(header[f"CRPIX{axis}"]) for axis in (1, 2)]
    full.wcs.cdelt = [float(header.get(f"CDELT{axis}", 1.0)) for axis in (1, 2)]
    if any(f"PC{i}_{j}" in header for i in (1, 2) for j in (1, 2)):
        full.wcs.pc = [[float(header.get(f"PC{i}_{j}", float(i == j))) for j in (1, 2)] for i in (1, 2)]
    if "LONPOLE" in header:
        full.wcs.lonpole = float(header["LONPOLE"])
    if "LATPOLE" in header:
        full.wcs.latpole = float(header["LATPOLE"])
    full.wcs.radesys = str(header.get("RADESYS", "ICRS"))
    full.wcs.set()
    return full
