"""The table of known calibrators, and which of them a drifting beam passes.

Promises that every built-in number has a source, that a table that is read is checked row by row, and that a model is
never used outside the frequencies that it holds for. Flux standards: Perley & Butler 2017, ApJS 230, 7, table 6
(log10 S = a0 + a1 log10 ν + …, S in Jy, ν in GHz). Positions: VLA calibrator manual; those of
extended ones (3C 123, 3C 196, 3C 295) are of their middle, within about an arcsec.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from astropy.coordinates import Angle
from astropy.io import ascii as tables
from astropy.table import Table

from .beam import separation
from .sky import Sky

Floats = npt.NDArray[np.float64]
SIDEREAL = 86164.0905  # s, of a turn of the Earth against the stars
PERLEY_BUTLER = "Perley & Butler 2017, ApJS 230, 7"
HALF_RANGE = 1.5  # deg of declination on either side, in which a built-in calibrator is used
MOST_TERMS = 6
COLUMNS = (
    "name",
    "ra_deg",
    "dec_deg",
    "dec_min_deg",
    "dec_max_deg",
    "size_arcsec",
    "low_ghz",
    "high_ghz",
    "error",
    "primary",
    "source",
)


class CalibratorError(ValueError):
    """A calibrator or a table of them is wrong: correct the file at the place that the message names."""


@dataclass(frozen=True, slots=True)
class Calibrator:
    """One calibrator.

    Parameters
    ----------
    name
        As people call it.
    ra, dec : float
        ICRS, degrees.
    coefficients
        log10 of the flux density in Jy as a polynomial in log10 of the frequency in GHz, lowest order first.
    valid : (float, float)
        GHz, in which the polynomial holds.
    declinations : (float, float)
        Degrees: pointings in which the table uses it.
    size : float
        Largest angular extent in arcsec; the model is a point, so it has to be well below the beam.
    error : float
        Relative, of the flux density.
    primary : bool
        Whether it defines the flux scale; others vary with time.
    source
        Where flux and position come from.
    """

    name: str
    ra: float
    dec: float
    coefficients: tuple[float, ...]
    valid: tuple[float, float]
    declinations: tuple[float, float]
    size: float
    error: float
    primary: bool
    source: str

    def flux(self, frequency: Floats) -> Floats:
        """Flux density in Jy at frequencies in Hz.

        Raises
        ------
        CalibratorError
            If a frequency is outside those that the model holds for.
        """
        ghz = np.asarray(frequency, float) / 1e9
        if np.any(ghz < self.valid[0]) or np.any(ghz > self.valid[1]):
            raise CalibratorError(
                f"calibrator {self.name}: found {float(ghz.min()):g}–{float(ghz.max()):g} GHz; "
                f"its model holds for {self.valid[0]:g}–{self.valid[1]:g} GHz"
            )
        found: Floats = 10.0 ** np.polynomial.polynomial.polyval(np.log10(ghz), self.coefficients)
        return found


@dataclass(frozen=True, slots=True)
class Match:
    """A calibrator that a tile's beam passed.

    Parameters
    ----------
    separation : float
        Least angle from a pointing, degrees.
    nearest : int
        Number of that pointing.
    transit : float
        Seconds from the middle pointing to the transit through the right ascension of the beam; 0 is best. For a
        beam that rests on the meridian this is the meridian transit.
    """

    calibrator: Calibrator
    separation: float
    nearest: int
    transit: float


def _standard(
    name: str, ra: str, dec: str, size: float, lowest: float, highest: float, *coefficients: float
) -> Calibrator:
    declination = float(Angle(dec).deg)
    return Calibrator(
        name=name,
        ra=float(Angle(ra).deg),
        dec=declination,
        coefficients=coefficients,
        valid=(lowest, highest),
        declinations=(declination - HALF_RANGE, declination + HALF_RANGE),
        size=size,
        error=0.03,
        primary=True,
        source=PERLEY_BUTLER,
    )


# Extents are rounded; 3C 123 is a double, no point for most arrays. Errors are those of the scale at these frequencies.
BUILT_IN: tuple[Calibrator, ...] = (
    _standard("3C48", "01h37m41.2994s", "+33d09m35.134s", 1.2, 0.05, 50.0, 1.3253, -0.7553, -0.1914, 0.0498),
    _standard(
        "3C123", "04h37m04.375s", "+29d40m13.82s", 44.0, 0.05, 50.0, 1.8017, -0.7884, -0.1035, -0.0248, 0.0090
    ),
    _standard(
        "3C138", "05h21m09.8860s", "+16d38m22.051s", 0.7, 0.2, 50.0, 1.0088, -0.4981, -0.1552, -0.0102, 0.0223
    ),
    _standard(
        "3C147",
        "05h42m36.1379s",
        "+49d51m07.234s",
        0.9,
        0.05,
        50.0,
        1.4516,
        -0.6961,
        -0.2007,
        0.0640,
        -0.0464,
        0.0289,
    ),
    _standard(
        "3C196", "08h13m36.033s", "+48d13m02.56s", 7.0, 0.05, 50.0, 1.2872, -0.8530, -0.1534, -0.0200, 0.0201
    ),
    _standard("3C286", "13h31m08.2881s", "+30d30m32.959s", 3.0, 0.05, 50.0, 1.2481, -0.4507, -0.1798, 0.0357),
    _standard(
        "3C295", "14h11m20.519s", "+52d12m09.97s", 5.0, 0.05, 50.0, 1.4701, -0.7658, -0.2780, -0.0347, 0.0399
    ),
)


def find_calibrator(
    table: Iterable[Calibrator],
    centres: Floats,
    *,
    radius: float,
    frequency: float = 1.4e9,
    largest: float = 10.0,
    faintest: float = 0.0,
) -> Match | None:
    """Find the best calibrator inside the primary beam of a tile.

    Parameters
    ----------
    centres : (n, 2)
        Pointings of the tile in time order: right ascension and declination in radians (ICRS).
    radius : float
        Of the primary beam in radians; a calibrator counts that is within it of any pointing.
    frequency : float
        Hz, at which models have to hold and fluxes are compared.
    largest : float
        Arcsec; calibrators of a larger extent are left out.
    faintest : float
        Jy; fainter ones are left out.

    Returns
    -------
    Match or None
        Flux standards before others, then the brightest; None where there is none.
    """
    found = [
        match
        for one in table
        if one.size <= largest
        and one.valid[0] <= frequency / 1e9 <= one.valid[1]
        and _flux(one, frequency) >= faintest
        and (match := _match(one, centres, radius)) is not None
    ]
    return max(
        found, key=lambda match: (match.calibrator.primary, _flux(match.calibrator, frequency)), default=None
    )


def _flux(calibrator: Calibrator, frequency: float) -> float:
    return float(calibrator.flux(np.array([frequency]))[0])


def _match(calibrator: Calibrator, centres: Floats, radius: float) -> Match | None:
    ra, dec = np.radians(calibrator.ra), np.radians(calibrator.dec)
    apart = separation(centres[:, 0], centres[:, 1], ra, dec)
    nearest = int(np.argmin(apart))
    low, high = calibrator.declinations
    if apart[nearest] > radius or not low <= np.degrees(centres[nearest, 1]) <= high:
        return None
    middle = np.angle(np.mean(np.exp(1j * centres[:, 0])))
    ahead = np.angle(np.exp(1j * (ra - middle)))
    return Match(
        calibrator, float(np.degrees(apart[nearest])), nearest, float(ahead / (2.0 * np.pi) * SIDEREAL)
    )


def sky_of(calibrator: Calibrator, frequency: float = 1.4e9) -> Sky:
    """The calibrator as a sky of one point source.

    Parameters
    ----------
    frequency : float
        Hz, at which the model is expanded: the middle of the band.

    Raises
    ------
    CalibratorError
        If the model does not hold at this frequency.
    """
    flux = calibrator.flux(np.array([frequency]))
    polynomial = np.polynomial.Polynomial(calibrator.coefficients)
    shifted = polynomial(np.polynomial.Polynomial([np.log10(frequency / 1e9), 1.0])).coef
    spectrum = np.asarray(shifted[1:] if len(shifted) > 1 else [0.0], np.float64)
    nothing = np.zeros(1)
    return Sky(
        ra=np.radians([calibrator.ra]),
        dec=np.radians([calibrator.dec]),
        flux=flux,
        reference=frequency,
        spectrum=spectrum[None],
        major=nothing,
        minor=nothing,
        position_angle=nothing,
        names=(calibrator.name,),
    )


def add(
    table: Sequence[Calibrator], calibrator: Calibrator, *, replace: bool = False
) -> tuple[Calibrator, ...]:
    """The table with one more calibrator, ordered by right ascension.

    Raises
    ------
    CalibratorError
        If the calibrator is wrong, or its name is taken and `replace` is not set.
    """
    _check(calibrator, f"calibrator {calibrator.name!r}")
    kept = [one for one in table if one.name != calibrator.name]
    if len(kept) < len(table) and not replace:
        raise CalibratorError(f"calibrator {calibrator.name!r}: in the table already; expected a new name")
    return tuple(sorted([*kept, calibrator], key=lambda one: one.ra))


def write_table(path: str | Path, table: Iterable[Calibrator]) -> None:
    """Write calibrators as ECSV, a text that people can edit. An existing file is replaced."""
    rows = list(table)
    columns: dict[str, object] = {
        "name": [one.name for one in rows],
        "ra_deg": [one.ra for one in rows],
        "dec_deg": [one.dec for one in rows],
        "dec_min_deg": [one.declinations[0] for one in rows],
        "dec_max_deg": [one.declinations[1] for one in rows],
        "size_arcsec": [one.size for one in rows],
        "low_ghz": [one.valid[0] for one in rows],
        "high_ghz": [one.valid[1] for one in rows],
        "error": [one.error for one in rows],
        "primary": [one.primary for one in rows],
        "source": [one.source for one in rows],
    }
    for term in range(MOST_TERMS):
        columns[f"a{term}"] = [
            one.coefficients[term] if term < len(one.coefficients) else 0.0 for one in rows
        ]
    found = Table(columns)
    found.meta["flux"] = "log10(S / Jy) = a0 + a1 log10(frequency / GHz) + ..."
    found.write(str(path), format="ascii.ecsv", overwrite=True)


def read_table(path: str | Path) -> tuple[Calibrator, ...]:
    """Read calibrators from ECSV and check them.

    Raises
    ------
    CalibratorError
        If the file is missing or wrong; the message names file, row and column.
    """
    path = Path(path)
    if not path.is_file():
        raise CalibratorError(f"calibrators {path}: no such file")
    try:
        found = Table.read(str(path), format="ascii.ecsv")
    except (ValueError, tables.InconsistentTableError, OSError) as error:
        raise CalibratorError(f"calibrators {path}: not ECSV: {error}") from None
    lacking = [name for name in (*COLUMNS, "a0") if name not in found.colnames]
    if lacking:
        raise CalibratorError(
            f"calibrators {path}: found no column {lacking[0]!r}; expected {', '.join(COLUMNS)}, a0 …"
        )
    table: tuple[Calibrator, ...] = ()
    for number, row in enumerate(found, start=1):
        place = f"calibrators {path}, row {number}"
        try:
            one = _calibrator(row, found.colnames)
        except (TypeError, ValueError) as error:
            raise CalibratorError(f"{place}: {error}") from None
        _check(one, place)
        table = add(table, one)
    return table


def _calibrator(row: Table.Row, columns: Sequence[str]) -> Calibrator:
    terms = [float(row[f"a{term}"]) for term in range(MOST_TERMS) if f"a{term}" in columns]
    while len(terms) > 1 and terms[-1] == 0.0:
        terms.pop()
    return Calibrator(
        name="" if np.ma.is_masked(row["name"]) else str(row["name"]),
        ra=float(row["ra_deg"]),
        dec=float(row["dec_deg"]),
        coefficients=tuple(terms),
        valid=(float(row["low_ghz"]), float(row["high_ghz"])),
        declinations=(float(row["dec_min_deg"]), float(row["dec_max_deg"])),
        size=float(row["size_arcsec"]),
        error=float(row["error"]),
        primary=bool(row["primary"]),
        source=str(row["source"]),
    )


def _check(one: Calibrator, place: str) -> None:
    low, high = one.declinations
    for name, is_right, expected in (
        ("name", bool(one.name.strip()), "a text"),
        ("ra_deg", 0.0 <= one.ra < 360.0, "0 to 360"),
        ("dec_deg", -90.0 <= one.dec <= 90.0, "-90 to 90"),
        ("dec_min_deg, dec_max_deg", -90.0 <= low < high <= 90.0, "the smaller first, within -90 to 90"),
        ("size_arcsec", one.size >= 0.0, "0 or more"),
        ("low_ghz, high_ghz", 0.0 < one.valid[0] < one.valid[1], "the smaller first, above 0"),
        ("error", 0.0 <= one.error < 1.0, "0 to 1"),
        ("a0 …", bool(one.coefficients) and bool(np.all(np.isfinite(one.coefficients))), "numbers"),
    ):
        if not is_right:
            raise CalibratorError(f"{place}, {name}: found {_shown(one, name)}; expected {expected}")


def _shown(one: Calibrator, name: str) -> str:
    values = {
        "name": one.name,
        "ra_deg": one.ra,
        "dec_deg": one.dec,
        "dec_min_deg, dec_max_deg": one.declinations,
        "size_arcsec": one.size,
        "low_ghz, high_ghz": one.valid,
        "error": one.error,
        "a0 …": one.coefficients,
    }
    return repr(values[name])
