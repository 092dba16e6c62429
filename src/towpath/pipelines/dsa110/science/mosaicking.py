"""A group of images on files: read, compared, joined, searched, and held against a reference catalogue.

Promises that every tile is used in the order of time and that what does not fit together is told, tile by tile.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits, votable
from astropy.table import Column, Table
from astropy.time import Time

from . import quicklook
from .catalogues import Catalogue, read_catalogue
from .crossmatch import Completeness, CrossMatch, crossmatch, joined_table
from .fits import read_image
from .image import Image
from .mosaic import Mosaic, Tile, mosaic, pixel_scale, read_mosaic, unit_vectors, write_mosaic
from .pybdsf import find_sources_bdsf
from .quality import measures as quality_of
from .sources import SourceTable, find_sources, forced_photometry, noise_map, read_sources
from .sources import write_sources as write_sources
from .tiles import TileLimits, check_tiles

Cards = dict[str, Any]
Measures = dict[str, tuple[Any, str]]

LEAST_RATIOS = 3  # bright isolated sources, below which the flux scale is not judged
FINE = 4.0  # pixels across the beam, below which cubic interpolation is too coarse
_KEPT = ("TELESCOP", "INSTPROF", "CALHOW", "CALNAME", "CALOBS", "CALDATE", "CALAGE", "CALID", "IMAGER")


def read_tiles(images: Sequence[Path], beams: Sequence[Path]) -> list[Tile]:
    """Read images (as the array sees the sky) and their primary beams, pair by pair, ordered by time.

    Raises
    ------
    ValueError
        If there are not as many beams as images.
    """
    if len(images) != len(beams):
        raise ValueError(
            f"found {len(images)} images and {len(beams)} primary beams; expected as many of each"
        )
    tiles = [_tile(image, beam) for image, beam in zip(images, beams, strict=True)]
    return sorted(tiles, key=lambda tile: tile.start)


def _tile(path: Path, beam_path: Path) -> Tile:
    image, pb = read_image(path), read_image(beam_path)
    header = image.header
    if image.beam is None or image.frequency is None:
        raise ValueError(f"{path.name}: found no restoring beam or frequency; expected BMAJ and RESTFRQ")
    shape = image.beam
    return Tile(
        name=str(header.get("OBJECT", path.stem)),
        image=image.data,
        pb=pb.data,
        wcs=image.wcs,
        rms=float(header["RMS"]),
        beam=(float(np.degrees(shape.major)), float(np.degrees(shape.minor)), float(np.degrees(shape.angle))),
        frequency=image.frequency,
        start=_mjd(header, "DATE-BEG", "DATE-OBS"),
        end=_mjd(header, "DATE-END", "DATE-OBS"),
        calibration=str(header.get("CALID", "")),
    )


def _mjd(header: fits.Header, *names: str) -> float:
    name = next(name for name in names if name in header)
    return float(Time(str(header[name]), scale="utc").mjd)


def unfit(tiles: Sequence[Tile], *, beam: float, noise: float, strip: float, pb_limit: float) -> list[str]:
    """What does not fit together, a sentence each: `beam` and `noise` are ratios, `strip` is in degrees."""
    limits = TileLimits(frequency=0.01, beam=beam, noise=noise, declination=strip)
    return [
        f"the tiles' {one.name.replace('_', ' ')} is {one.value:.6g}, at {'least' if one.name == 'overlap' else 'most'} "
        f"{one.limit:g} is allowed"
        for one in check_tiles(tiles, limits, pb_limit=pb_limit)
        if not one.ok
    ]


def join(tiles: Sequence[Tile], *, cell: float, pb_limit: float, threads: int) -> Mosaic:
    """Join tiles; `cell` in arcsec, 0 for that of the tiles.

    Where a beam is narrower than `FINE` pixels of its tile, cubic interpolation would lower peaks by more than 0.7 %
    along an axis (by 4.7 % at 2.4 pixels): Lanczos' lowers them by 0.6 % there, and takes longer.
    """
    narrow = any(one.beam[1] < FINE * one.cell for one in tiles)
    return mosaic(
        tiles,
        cell=cell / 3600.0 if cell else None,
        pb_limit=pb_limit,
        interpolation="lanczos" if narrow else "cubic",
        threads=threads,
    )


def find(made: Mosaic, path: Path, *, threshold: float, finder: str) -> SourceTable:
    """The sources of a mosaic (`path` is its file), by our own finder or by PyBDSF where that is installed.

    Ours looks above the larger of the noise that the tiles give and that which is seen around.
    """
    if finder == "pybdsf":
        return find_sources_bdsf(path, threshold=threshold, beam=made.beam, frequency=made.frequency)
    return find_sources(
        made.image, np.fmax(made.noise, noise_map(made.image)), made.wcs, made.beam, threshold=threshold
    )


def cards_of_group(images: Sequence[Path], name: str) -> Cards:
    """The cards that a mosaic takes over: of its first tile, and what the group is called."""
    header = fits.getheader(min(images, key=lambda path: path.name))
    cards = {key: (header[key], header.comments[key]) for key in _KEPT if key in header}
    return {"OBJECT": (name, "group"), "GROUP": (name, "group of observations"), **cards}


def write(path: Path, made: Mosaic, cards: Cards) -> None:
    """Write a mosaic."""
    write_mosaic(path, made, cards)


def draw(path: Path, made: Mosaic, sources: SourceTable, *, title: str) -> None:
    """Draw a mosaic."""
    caption = (
        f"{len(made.tiles)} tiles, {len(sources)} sources, median noise {made.effective_noise * 1e3:.2f} mJy/beam, "
        f"{made.frequency / 1e9:.3f} GHz"
    )
    quicklook.draw_mosaic(
        path, made.image, made.wcs, made.beam, ra=sources.ra, dec=sources.dec, title=title, caption=caption
    )


def draw_tile(path: Path, made: Image, image: Path, *, title: str) -> None:
    """Draw an image, restored and residual; `image` is its file, for the places on the sky."""
    shape = tuple(float(np.degrees(one)) for one in (made.beam.major, made.beam.minor, made.beam.angle))
    caption = (
        f"noise {made.rms * 1e3:.2f} mJy/beam (theory {made.expected_rms * 1e3:.2f}), beam {shape[0] * 3600:.1f}″ × "
        f"{shape[1] * 3600:.1f}″, {made.n_iter} components in {made.n_major} major cycles, {made.frequency / 1e9:.3f} GHz"
    )
    quicklook.draw_tile(
        path,
        made.restored,
        made.residual,
        read_image(image).wcs,
        (shape[0], shape[1], shape[2]),
        title=title,
        caption=caption,
    )


def draw_residual(path: Path, made: Image, *, title: str) -> None:
    """Draw how the residual of an image is distributed."""
    quicklook.draw_residual_histogram(path, made.residual, rms=made.rms, title=title)


def features_of(sources: SourceTable, *, most: int) -> dict[str, Any]:
    """The brightest sources as columns of features."""
    sources = sources.take(np.arange(min(len(sources), most)))
    columns = ("flux", "flux_error", "peak", "snr", "major", "minor")
    return {
        "lon": sources.ra.tolist(),
        "lat": sources.dec.tolist(),
        "names": [name_of(ra, dec) for ra, dec in zip(sources.ra, sources.dec, strict=True)],
        "properties": {name: getattr(sources, name).tolist() for name in columns},
    }


def name_of(ra: float, dec: float) -> str:
    """A source's name by its place in degrees, such as ``J052109.8+163822``: truncated, not rounded (IAU)."""
    tenths, seconds = int(ra / 15.0 * 36000.0), int(abs(dec) * 3600.0)
    hours, minutes, left = tenths // 36000, tenths // 600 % 60, tenths % 600
    north = f"{'-' if dec < 0 else '+'}{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}"
    return f"J{hours:02d}{minutes:02d}{left // 10:02d}.{left % 10}{north}"


def measures_of(made: Mosaic, tiles: Sequence[Tile]) -> Measures:
    """What is measured of a mosaic, with units."""
    found = quality_of(made.image, noise=made.noise)
    peak = found["peak"]
    return {
        "rms": (made.effective_noise, "Jy/beam"),
        "peak": (peak, "Jy/beam"),
        "dynamic_range": (peak / made.effective_noise, ""),
        "finite": (float(np.isfinite(made.image).mean()), ""),
        "artefacts": (found["artefacts"], ""),
        "rms_over_theory": (found["noise_chi"], ""),
        "covered": (made.covered, ""),
        "n_tiles": (len(tiles), ""),
        "beam_major": (made.beam[0] * 3600.0, "arcsec"),
        "begin": (made.start, "MJD"),
        "end": (made.end, "MJD"),
    }


# ---- against a reference catalogue


@dataclass(frozen=True, slots=True, eq=False)
class Forced:
    """Flux densities (Jy) at the places of reference sources `numbers` on the mosaic, found there or not."""

    numbers: npt.NDArray[np.int64]
    flux: npt.NDArray[np.float64]
    error: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """A mosaic, its sources, the reference catalogue at its frequency, and their pairs; `radius` in arcsec."""

    mosaic: Mosaic
    sources: SourceTable
    catalogue: Catalogue
    found: CrossMatch
    radius: float
    forced: Forced


def compare(
    mosaic_path: Path, sources_path: Path, reference: Path, *, radius: float, index: float, flux_limit: float
) -> Comparison:
    """Match the sources of a mosaic with a catalogue; `radius` in arcsec, `flux_limit` in Jy."""
    made, sources = read_mosaic(mosaic_path), read_sources(sources_path)
    catalogue = read_catalogue(reference).scaled(made.frequency, index)
    found = crossmatch(sources, catalogue, radius=radius, flux_cut=flux_limit, noise=made.noise, wcs=made.wcs)
    return Comparison(made, sources, catalogue, found, radius, _forced(made, catalogue))


def _forced(made: Mosaic, catalogue: Catalogue) -> Forced:
    height, width = made.image.shape
    middle = made.wcs.wcs_pix2world([[(width - 1) / 2.0, (height - 1) / 2.0]], 0)[0]
    reach = np.radians(np.hypot(width, height) / 2.0 * pixel_scale(made.wcs))
    towards = unit_vectors(catalogue.ra, catalogue.dec) @ unit_vectors(*middle)
    near = np.flatnonzero(towards > np.cos(min(reach, np.pi / 2.0)))
    flux, error = forced_photometry(
        made.image, made.noise, made.wcs, made.beam, catalogue.ra[near], catalogue.dec[near]
    )
    there = np.isfinite(flux)
    return Forced(near[there], flux[there], error[there])


def write_forced(path: Path, compared: Comparison) -> None:
    """Write what the mosaic holds at the places of the reference catalogue."""
    forced, catalogue = compared.forced, compared.catalogue
    table = Table()
    columns = {
        "name": (
            np.array([catalogue.names[one] for one in forced.numbers], dtype="U64"),
            None,
            "in the catalogue",
        ),
        "ra": (catalogue.ra[forced.numbers], "deg", "of the catalogue (ICRS)"),
        "dec": (catalogue.dec[forced.numbers], "deg", "of the catalogue (ICRS)"),
        "expected": (catalogue.flux[forced.numbers], "Jy", "of the catalogue, at the mosaic's frequency"),
        "flux": (forced.flux, "Jy", "of a point there: the mosaic weighted by the beam"),
        "flux_error": (forced.error, "Jy", "one sigma"),
    }
    for name, (values, unit, meaning) in columns.items():
        table[name] = Column(values, unit=unit, description=meaning)
    whole = votable.from_table(table)
    whole.description = f"Forced photometry at the places of {catalogue.survey}"
    whole.to_xml(str(path), tabledata_format="binary2")


def write_comparison(path: Path, compared: Comparison) -> None:
    """Write the sources with the reference of each."""
    table = joined_table(compared.sources, compared.catalogue, compared.found)
    whole = votable.from_table(table)
    whole.description = f"Sources matched with {compared.catalogue.survey}"
    whole.to_xml(str(path), tabledata_format="binary2")


def draw_sky(path: Path, compared: Comparison, *, title: str) -> None:
    """Draw the mosaic with what was matched, what the catalogue has not, and what of the catalogue was missed."""
    made, sources, found = compared.mosaic, compared.sources, compared.found
    matched = np.zeros(len(sources), bool)
    matched[found.pairs.first] = True
    seen = found.completeness or Completeness(0, 0)
    quicklook.draw_mosaic(
        path,
        made.image,
        made.wcs,
        made.beam,
        ra=sources.ra,
        dec=sources.dec,
        matched=matched,
        missed=(compared.catalogue.ra[found.missed], compared.catalogue.dec[found.missed]),
        title=title,
        caption=f"reference catalogue ({compared.catalogue.survey}): {seen.found} of {seen.expected} sources that should be "
        f'seen are found; match within {compared.radius:g}"',
    )


def draw_scale(path: Path, compared: Comparison, *, title: str) -> None:
    """Draw flux ratios against the reference's flux density."""
    found = compared.found
    quicklook.draw_flux_ratios(
        path, compared.catalogue.flux[found.pairs.second], found.ratio, median=found.flux_ratio, title=title
    )


def draw_astrometry(path: Path, compared: Comparison, *, title: str) -> None:
    """Draw the offsets from the reference."""
    found = compared.found
    quicklook.draw_offsets(
        path, found.east, found.north, radius=compared.radius, beam=compared.mosaic.beam, title=title
    )


def measures_of_comparison(compared: Comparison) -> Measures:
    """What the comparison measures, with units; None where there was too little to judge by."""
    found, seen = compared.found, compared.found.completeness
    enough = found.flux_ratio_n >= LEAST_RATIOS
    offset = float(np.hypot(found.offset_east, found.offset_north))
    return {
        "n_matched": (len(found.pairs.first), ""),
        "n_forced": (len(compared.forced.numbers), ""),
        "n_reference": (seen.expected if seen else 0, ""),
        "flux_ratio": (found.flux_ratio if enough else None, ""),
        "flux_ratio_error": (found.flux_ratio_error if enough else None, ""),
        "completeness": (seen.value if seen else None, ""),
        "astrometric_offset": (offset if np.isfinite(offset) else None, "arcsec"),
        "astrometric_rms": (found.offset_rms if np.isfinite(found.offset_rms) else None, "arcsec"),
    }
