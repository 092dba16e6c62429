"""Matches sources with a reference catalogue, and tells flux scale, astrometry and completeness.

Promises to be right at the poles and across right ascension 0: it compares unit vectors. Never touches a disk.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.table import Table
from astropy.wcs import WCS
from scipy.spatial import cKDTree

from .catalogues import Catalogue
from .mosaic import unit_vectors
from .sources import SourceTable, to_table

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

FEWEST = 5  # reference sources below which completeness is not told
MAD = 1.4826  # standard deviation over median absolute deviation of a Gaussian

# Columns that a match adds to those of a source: unit, UCD, description.
NAMED = ("", "meta.id.cross", "Reference source; empty without a match")
JOINED = {
    "reference_flux": (
        "Jy",
        "phot.flux.density",
        "Flux density of the reference at the frequency of the image",
    ),
    "flux_ratio": ("", "arith.ratio;phot.flux.density", "Flux density over that of the reference"),
    "separation": ("arcsec", "pos.angDistance", "Distance from the reference"),
    "offset_east": (
        "arcsec",
        "pos.eq.ra;arith.diff",
        "Place minus that of the reference, to the east on the sky",
    ),
    "offset_north": ("arcsec", "pos.eq.dec;arith.diff", "Place minus that of the reference, to the north"),
}


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Numbers of matched sources (`first`, `second`) and their `separation` in arcsec: shape (n,) each."""

    first: Integers
    second: Integers
    separation: Floats


@dataclass(frozen=True, slots=True)
class Completeness:
    """Of `expected` reference sources `found` were detected; `value` is their ratio, or None below `FEWEST`."""

    expected: int
    found: int

    @property
    def value(self) -> float | None:
        """Share found, or None where there are too few to tell."""
        return self.found / self.expected if self.expected >= FEWEST else None


@dataclass(frozen=True, slots=True, eq=False)
class CrossMatch:
    """Sources matched with a catalogue.

    Parameters
    ----------
    pairs
        `first` numbers the sources, `second` the catalogue.
    ratio : (n,)
        Flux density over that of the catalogue at the same frequency.
    east, north : (n,)
        Place minus that of the catalogue in arcsec.
    flux_ratio, flux_ratio_error, flux_ratio_n
        Median of `ratio` over the isolated sources that are bright enough, its standard error, and how many.
    offset_east, offset_north, offset_rms
        Median offsets in arcsec, and the robust rms of the offsets' length about the median.
    completeness
        Over reference sources that should have been seen; None without an image to tell where that is.
    missed : (n,)
        Numbers of those of them that were not found.
    """

    pairs: Pairs
    ratio: Floats
    east: Floats
    north: Floats
    flux_ratio: float
    flux_ratio_error: float
    flux_ratio_n: int
    offset_east: float
    offset_north: float
    offset_rms: float
    completeness: Completeness | None
    missed: Integers


def match(
    ra1: npt.ArrayLike,
    dec1: npt.ArrayLike,
    ra2: npt.ArrayLike,
    dec2: npt.ArrayLike,
    radius: float,
    *,
    mode: str = "nearest",
) -> Pairs:
    """Pairs of directions (degrees) nearer than `radius` arcsec.

    Parameters
    ----------
    mode
        "nearest": for each of the first its nearest of the second, and each of the second used once, by the nearest;
        "all": every pair.

    Raises
    ------
    ValueError
        If the mode is another.
    """
    if mode not in ("nearest", "all"):
        raise ValueError(f"mode {mode!r}; expected 'nearest' or 'all'")
    first, second = unit_vectors(ra1, dec1).reshape(-1, 3), unit_vectors(ra2, dec2).reshape(-1, 3)
    if len(first) == 0 or len(second) == 0:
        return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    chord = 2.0 * math.sin(math.radians(radius / 3600.0) / 2.0)
    tree = cKDTree(second)
    if mode == "nearest":
        distance, nearest = tree.query(first, distance_upper_bound=chord * (1.0 + 1e-12))
        one = np.flatnonzero(np.isfinite(distance))
        two, far = nearest[one], distance[one]
        order = np.lexsort((one, far))
        _, keep = np.unique(two[order], return_index=True)
        chosen = np.sort(order[keep])
        one, two, far = one[chosen], two[chosen], far[chosen]
    else:
        groups = tree.query_ball_point(first, chord, return_sorted=True)
        one = np.repeat(np.arange(len(first)), [len(group) for group in groups])
        two = np.array([number for group in groups for number in group], np.int64)
        far = np.linalg.norm(first[one] - second[two], axis=1)
    return Pairs(
        one.astype(np.int64),
        two.astype(np.int64),
        np.degrees(2.0 * np.arcsin(np.clip(far / 2.0, 0.0, 1.0))) * 3600.0,
    )


def is_isolated(ra: npt.ArrayLike, dec: npt.ArrayLike, radius: float) -> npt.NDArray[np.bool_]:
    """Which directions (degrees) have no other within `radius` arcsec: shape (n,)."""
    vectors = unit_vectors(ra, dec).reshape(-1, 3)
    if len(vectors) == 0:
        return np.zeros(0, bool)
    chord = 2.0 * math.sin(math.radians(radius / 3600.0) / 2.0)
    counts = cKDTree(vectors).query_ball_point(vectors, chord, return_length=True)
    alone: npt.NDArray[np.bool_] = np.asarray(counts) == 1
    return alone


def offsets(ra1: Floats, dec1: Floats, ra2: Floats, dec2: Floats) -> tuple[Floats, Floats]:
    """Arcsec to the east and north from the second directions to the first (degrees; tangent plane of the second)."""
    difference = np.radians((np.asarray(ra1) - ra2 + 180.0) % 360.0 - 180.0)
    d1, d2 = np.radians(dec1), np.radians(dec2)
    east = np.cos(d1) * np.sin(difference)
    north = np.sin(d1) * np.cos(d2) - np.cos(d1) * np.sin(d2) * np.cos(difference)
    return np.degrees(east) * 3600.0, np.degrees(north) * 3600.0


def crossmatch(
    sources: SourceTable,
    catalogue: Catalogue,
    *,
    radius: float = 5.0,
    isolation: float = 60.0,
    flux_cut: float = 0.05,
    noise: npt.NDArray[Any] | None = None,
    wcs: WCS | None = None,
    threshold: float = 5.0,
) -> CrossMatch:
    """Match, and compare with sources that are isolated and of at least `flux_cut`.

    Parameters
    ----------
    catalogue
        Scaled to the frequency of the sources (`Catalogue.scaled`).
    radius, isolation
        Arcsec: of the match, and within which a reference source has no other one.
    flux_cut
        Jy in the catalogue, for flux scale and completeness.
    noise : (y, x) array
        Of the image in Jy/beam, with its `wcs`: a reference source counts for completeness where its flux density is
        at least `threshold` times the noise. Without them completeness is None.
    """
    pairs = match(sources.ra, sources.dec, catalogue.ra, catalogue.dec, radius)
    one, two = pairs.first, pairs.second
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = sources.flux[one] / catalogue.flux[two]
    east, north = offsets(sources.ra[one], sources.dec[one], catalogue.ra[two], catalogue.dec[two])
    alone = is_isolated(catalogue.ra, catalogue.dec, isolation)[two]
    bright = alone & (catalogue.flux[two] >= flux_cut)
    scale, error = median_error(ratio[bright])
    mean_east, mean_north = (float(np.median(v[alone])) if alone.any() else math.nan for v in (east, north))
    spread = [robust(v[alone]) for v in (east, north)]
    seen, missed = None, np.zeros(0, np.int64)
    if noise is not None and wcs is not None:
        expected = is_expected(catalogue, noise, wcs, flux_cut=flux_cut, threshold=threshold)
        missed = np.setdiff1d(np.flatnonzero(expected), two)
        seen = Completeness(int(expected.sum()), int(expected.sum()) - len(missed))
    return CrossMatch(
        pairs=pairs,
        ratio=ratio,
        east=east,
        north=north,
        flux_ratio=scale,
        flux_ratio_error=error,
        flux_ratio_n=int(bright.sum()),
        offset_east=mean_east,
        offset_north=mean_north,
        offset_rms=math.hypot(*spread),
        completeness=seen,
        missed=missed,
    )


def median_error(values: Floats) -> tuple[float, float]:
    """Median and its standard error (of a Gaussian: √(π/2) σ/√n, σ from the median absolute deviation); NaN if none."""
    if len(values) == 0:
        return math.nan, math.nan
    error = math.sqrt(math.pi / 2.0) * robust(values) / math.sqrt(len(values))
    return float(np.median(values)), error if len(values) > 1 else math.nan


def robust(values: Floats) -> float:
    """Standard deviation from the median absolute deviation; NaN if there is no value."""
    if len(values) == 0:
        return math.nan
    return MAD * float(np.median(np.abs(values - np.median(values))))


def is_expected(
    catalogue: Catalogue,
    noise: npt.NDArray[Any],
    wcs: WCS,
    *,
    flux_cut: float = 0.05,
    threshold: float = 5.0,
) -> npt.NDArray[np.bool_]:
    """Which reference sources should be seen: at least `flux_cut` Jy and `threshold` times the noise at their place, (n,)."""
    x, y = wcs.wcs_world2pix(catalogue.ra, catalogue.dec, 0)
    height, width = noise.shape
    with np.errstate(invalid="ignore"):
        inside = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
        cosine = unit_vectors(catalogue.ra, catalogue.dec) @ unit_vectors(*wcs.wcs.crval)
    if not str(wcs.wcs.ctype[0]).endswith("CAR"):
        inside &= cosine > 0.0  # a zenithal projection shows one half of the sky
    local = np.full(len(catalogue), np.nan)
    local[inside] = noise[np.rint(y[inside]).astype(int), np.rint(x[inside]).astype(int)]
    expected: npt.NDArray[np.bool_] = (
        inside & (catalogue.flux >= flux_cut) & (catalogue.flux >= threshold * local)
    )
    return expected


def joined_table(sources: SourceTable, catalogue: Catalogue, result: CrossMatch) -> Table:
    """Every source, with what the catalogue has of it: name, flux (Jy), ratio, separation and offsets (arcsec).

    Where there is no match the name is empty and the numbers are NaN.
    """
    table = to_table(sources)
    one, two = result.pairs.first, result.pairs.second
    names = np.full(len(sources), "", dtype=object)
    names[one] = [catalogue.names[number] for number in two]
    table["reference_name"] = names.astype(str)
    found = (catalogue.flux[two], result.ratio, result.pairs.separation, result.east, result.north)
    for name, values in zip(JOINED, found, strict=True):
        column = np.full(len(sources), np.nan)
        column[one] = values
        table[name] = column
    for name, (unit, ucd, description) in {"reference_name": NAMED, **JOINED}.items():
        table[name].unit = unit or None
        table[name].description = description
        table[name].meta["ucd"] = ucd
    return table
