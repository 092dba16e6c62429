"""A group of images on files: read, compared, joined, searched, and held against a reference catalogue.

Promises that every tile is used in the order of time and that what does not fit together is told, tile by tile.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from astropy.time import Time

from . import crossmatch as crossmatching
from . import quicklook
from .catalogues import Catalogue, read_catalogue
from .fits import read_image
from .mosaic import Mosaic, Tile, mosaic, read_mosaic, write_mosaic
from .quality import measure_image
from .sources import Sources, find_sources, read_sources
from .sources import write_sources as write_sources

Floats = npt.NDArray[np.float64]
Cards = dict[str, Any]
Measures = dict[str, tuple[Any, str]]

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


def check_tiles(tiles: Sequence[Tile], *, beam: float, noise: float, strip: float) -> list[str]:
    """What does not fit together, a sentence each.

    Parameters
    ----------
    tiles
        At least one.
    beam
        By which share beams and pixels may differ from the median.
    noise
        By which factor noise may differ from the median.
    strip
        By how many degrees declinations may differ from the median.
    """
    middle = {
        "frequency": float(np.median([tile.frequency for tile in tiles])),
        "beam": float(np.median([tile.beam[0] for tile in tiles])),
        "cell": float(np.median([tile.cell for tile in tiles])),
        "noise": float(np.median([tile.noise for tile in tiles])),
        "dec": float(np.median([tile.centre[1] for tile in tiles])),
    }
    found = []
    for tile in tiles:
        if abs(tile.frequency / middle["frequency"] - 1.0) > 0.02:
            found.append(
                f"{tile.name}: its frequency is {tile.frequency / 1e6:.2f} MHz, that of the others {middle['frequency'] / 1e6:.2f}"
            )
        if abs(tile.beam[0] / middle["beam"] - 1.0) > beam:
            found.append(
                f"{tile.name}: its beam is {tile.beam[0] * 3600:.1f} arcsec wide, that of the others {middle['beam'] * 3600:.1f}"
            )
        if abs(tile.cell / middle["cell"] - 1.0) > 1e-6:
            found.append(
                f"{tile.name}: its pixels are {tile.cell * 3600:.3f} arcsec wide, those of the others {middle['cell'] * 3600:.3f}"
            )
        if not 1.0 / noise < tile.noise / middle["noise"] < noise:
            found.append(
                f"{tile.name}: its noise is {tile.noise * 1e3:.3f} mJy/beam, that of the others {middle['noise'] * 1e3:.3f}"
            )
        if abs(tile.centre[1] - middle["dec"]) > strip:
            found.append(
                f"{tile.name}: it is at declination {tile.centre[1]:+.2f}°, the others at {middle['dec']:+.2f}°"
            )
    calibrations = {tile.calibration for tile in tiles}
    if len(calibrations) > 1:
        found.append(
            f"the tiles were calibrated by {len(calibrations)} sets: {', '.join(sorted(calibrations))}"
        )
    return found


def join(tiles: Sequence[Tile], *, cell: float, pb_limit: float, threads: int) -> Mosaic:
    """Join tiles; `cell` in arcsec, 0 for that of the tiles."""
    return mosaic(tiles, cell=cell / 3600.0 if cell else None, pb_limit=pb_limit, threads=threads)


def find(made: Mosaic, *, threshold: float) -> Sources:
    """The sources of a mosaic."""
    return find_sources(made.image, made.wcs, made.beam, noise=made.noise, threshold=threshold)


def cards_of_group(images: Sequence[Path], name: str) -> Cards:
    """The cards that a mosaic takes over: of its first tile, and what the group is called."""
    header = fits.getheader(min(images, key=lambda path: path.name))
    cards = {key: (header[key], header.comments[key]) for key in _KEPT if key in header}
    return {"OBJECT": (name, "group"), "GROUP": (name, "group of observations"), **cards}


def write(path: Path, made: Mosaic, cards: Cards) -> None:
    """Write a mosaic."""
    write_mosaic(path, made, cards)


def draw(path: Path, made: Mosaic, sources: Sources, *, title: str) -> None:
    """Draw a mosaic."""
    quicklook.draw_mosaic(path, made, sources, title=title)


def features_of(sources: Sources) -> dict[str, Any]:
    """Sources as columns of features."""
    columns = ("flux", "flux_error", "peak", "snr", "major", "minor")
    return {
        "lon": sources.ra.tolist(),
        "lat": sources.dec.tolist(),
        "names": sources.named(),
        "properties": {name: getattr(sources, name).tolist() for name in columns},
    }


def measures_of(made: Mosaic, tiles: Sequence[Tile]) -> Measures:
    """What is measured of a mosaic, with units."""
    found = measure_image(made.image, noise=made.noise)
    flat = {
        name: (value, "Jy/beam" if name in ("rms", "peak", "minimum") else "")
        for name, value in found.items()
    }
    covered = np.isfinite(made.image)
    return {
        **flat,
        "rms": (made.effective_noise, "Jy/beam"),
        "dynamic_range": ((found["peak"] or 0.0) / made.effective_noise, ""),
        "finite": (float(covered[made.coverage > 0].mean()) if (made.coverage > 0).any() else 0.0, ""),
        "covered": (made.covered, ""),
        "n_tiles": (len(tiles), ""),
        "beam_major": (made.beam[0] * 3600.0, "arcsec"),
        "begin": (made.start, "MJD"),
        "end": (made.end, "MJD"),
    }


# ---- against a reference catalogue


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """A mosaic's sources, the reference catalogue, and their pairs."""

    name: str
    sources: Sources
    catalogue: Catalogue
    found: crossmatching.Crossmatched
    expected: Floats


def compare(
    mosaic_path: Path, sources_path: Path, reference: Path, *, radius: float, index: float, flux_limit: float
) -> Comparison:
    """Match the sources of a mosaic with a catalogue; `radius` in arcsec, `flux_limit` in Jy."""
    made, sources, catalogue = read_mosaic(mosaic_path), read_sources(sources_path), read_catalogue(reference)
    height, width = made.noise.shape

    def noise_at(ra: Floats, dec: Floats) -> Floats:
        place = np.nan_to_num(made.wcs.wcs_world2pix(np.column_stack([ra, dec]), 0), nan=-1.0)
        x, y = np.rint(place).astype(np.int64).T
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        level = np.full(len(ra), np.nan)
        level[inside] = made.noise[y[inside], x[inside]]
        return level

    found = crossmatching.crossmatch(
        sources,
        catalogue,
        radius=radius,
        frequency=made.frequency,
        index=index,
        flux_limit=flux_limit,
        noise_at=noise_at,
    )
    expected = catalogue.flux[found.reference] * (made.frequency / catalogue.frequency) ** index
    return Comparison(mosaic_path.name, sources, catalogue, found, expected)


def write_comparison(path: Path, compared: Comparison) -> None:
    """Write the pairs."""
    crossmatching.write_matches(path, compared.found, compared.sources, compared.catalogue)


def draw_comparison(path: Path, compared: Comparison) -> None:
    """Draw flux ratios and offsets."""
    title = f"{compared.name} against {compared.catalogue.name}"
    quicklook.draw_comparison(path, compared.found, compared.expected, title=title)


def measures_of_comparison(compared: Comparison) -> Measures:
    """What the comparison measures, with units; None where there was too little."""
    found = compared.found
    return {
        "n_matched": (len(found.source), ""),
        "n_reference": (found.n_reference, ""),
        "flux_ratio": (found.flux_ratio, ""),
        "flux_ratio_error": (found.flux_ratio_error, ""),
        "completeness": (found.completeness, ""),
        "astrometric_offset": (found.astrometric_offset, "arcsec"),
        "astrometric_rms": (found.astrometric_rms, "arcsec"),
    }
