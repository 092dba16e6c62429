"""Skies for simulation: sources drawn from the counts of a real survey, a calibrator, and the catalogue of them.

Promises that equal generators give equal skies. Never draws a source that is not in the sky returned.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from astropy.table import Table

from .beam import separation
from .sky import Sky

Floats = npt.NDArray[np.float64]

REFERENCE = 1.4e9  # Hz
# Integral counts near 1.4 GHz: 53 sources per square degree above 2.5 mJy (Condon et al. 1998, abstract: 1.8 million over 82 % of
# the sky), falling as S^-0.9, and as S^-1.4 above 0.1 Jy.
DENSITY, AT, SLOPE, BREAK, STEEP = 53.0, 0.0025, 0.9, 0.1, 1.4
RESOLVED = 0.15  # share of Gaussian sources
ARCSEC = np.pi / 648_000.0


def density(flux: float) -> float:
    """How many sources per square degree are brighter than this flux density in Jy."""
    if flux <= BREAK:
        return float(DENSITY * (flux / AT) ** -SLOPE)
    return float(DENSITY * (BREAK / AT) ** -SLOPE * (flux / BREAK) ** -STEEP)


def generate_sky(
    rng: np.random.Generator,
    centres: Floats,
    *,
    faintest: float,
    brightest: float = 2.0,
    radius: float = 0.07,
) -> Sky:
    """Draw sources around phase centres.

    Parameters
    ----------
    rng
        Generator.
    centres : (n, 2)
        Right ascension and declination in radians, no farther apart than half a turn from the first.
    faintest, brightest
        Limits of flux density at 1.4 GHz in Jy.
    radius
        How far from a centre sources are drawn, in radians.
    """
    turn = np.angle(np.exp(1j * (centres[:, 0] - centres[0, 0])))
    north = min(centres[:, 1].max() + radius, np.pi / 2.0)
    south = max(centres[:, 1].min() - radius, -np.pi / 2.0)
    margin = min(radius / max(np.cos(max(abs(north), abs(south))), 0.02), np.pi)
    west, east = turn.min() - margin, min(turn.max() + margin, turn.min() - margin + 2.0 * np.pi)
    area = (east - west) * (np.sin(north) - np.sin(south)) * np.degrees(1.0) ** 2
    count = rng.poisson(area * (density(faintest) - density(brightest)))
    ra = np.mod(centres[0, 0] + rng.uniform(west, east, count), 2.0 * np.pi)
    dec = np.arcsin(rng.uniform(np.sin(south), np.sin(north), count))
    flux = _fluxes(rng, count, faintest, brightest)
    index: Floats = rng.normal(-0.7, 0.2, count)
    is_resolved = rng.random(count) < RESOLVED
    major: Floats = np.where(is_resolved, np.exp(rng.uniform(np.log(5.0), np.log(30.0), count)), 0.0) * ARCSEC
    minor: Floats = major * rng.uniform(0.4, 1.0, count)
    angle = rng.uniform(0.0, np.pi, count)
    nearest = np.full(count, np.inf)
    for centre_ra, centre_dec in centres:
        nearest = np.minimum(nearest, separation(ra, dec, centre_ra, centre_dec))
    names = tuple(f"S{number:05d}" for number in range(count))
    drawn = Sky(ra, dec, flux, REFERENCE, index[:, None], major, minor, angle, names)
    return drawn.take(nearest <= radius)


def _fluxes(rng: np.random.Generator, count: int, faintest: float, brightest: float) -> Floats:
    """Draw from the counts by inverting them on a fine grid."""
    grid = np.geomspace(faintest, brightest, 2_000)
    number = np.array([density(float(flux)) for flux in grid])
    drawn = rng.uniform(number[-1], number[0], count)
    found: Floats = np.exp(np.interp(drawn, number[::-1], np.log(grid[::-1])))
    return found


def write_catalogue(
    path: Path | str,
    sky: Sky,
    *,
    limit: float = 0.0025,
    scatter: float = 0.03,
    noise: float = 0.00045,
    astrometry: float = 0.5,
    seed: int = 1,
) -> int:
    """Write what a survey at 1.4 GHz would list of this sky, and return how many sources.

    Columns: name, ra, dec (degrees), flux_mjy, e_flux_mjy, major, minor (arcsec), pa (degrees). The suffix says the format:
    ``.csv``, or ``.vot`` and ``.xml`` for VOTable.

    Parameters
    ----------
    path
        File to write; one that is there is replaced.
    sky
        The true sky.
    limit
        Flux density in Jy below which a source is not listed.
    scatter, noise
        Errors of flux: a share, and in Jy (0.03 and 0.45 mJy: Condon et al. 1998, section 5.2).
    astrometry
        Error of a bright source's position in either direction, in arcsec; to a faint one's, 20 arcsec over its
        signal-to-noise are added in quadrature.
    seed
        Of the scatter.
    """
    path, rng = Path(path), np.random.default_rng(seed)
    error = np.hypot(scatter * sky.flux, noise)
    flux = sky.flux + rng.normal(size=len(sky)) * error
    spread = np.hypot(astrometry, 20.0 * noise / sky.flux) * ARCSEC
    dec = sky.dec + rng.normal(size=len(sky)) * spread
    ra = np.mod(sky.ra + rng.normal(size=len(sky)) * spread / np.cos(sky.dec), 2.0 * np.pi)
    listed = np.flatnonzero(flux >= limit)
    names = sky.names or tuple(str(number) for number in range(len(sky)))
    table = Table(
        {
            "name": [names[number] for number in listed],
            "ra": np.degrees(ra[listed]).round(6),
            "dec": np.degrees(dec[listed]).round(6),
            "flux_mjy": (1e3 * flux[listed]).round(3),
            "e_flux_mjy": (1e3 * error[listed]).round(3),
            "major": (sky.major[listed] / ARCSEC).round(2),
            "minor": (sky.minor[listed] / ARCSEC).round(2),
            "pa": np.degrees(sky.position_angle[listed]).round(1),
        }
    )
    kinds = {".csv": "ascii.csv", ".vot": "votable", ".xml": "votable"}
    if path.suffix not in kinds:
        raise ValueError(
            f"catalogue {path}: found suffix {path.suffix!r}; expected one of {', '.join(kinds)}"
        )
    table.write(path, format=kinds[path.suffix], overwrite=True)
    return len(listed)
