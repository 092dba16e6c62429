"""Reads reference catalogues of any of the usual column sets: NVSS, FIRST, VLASS, RACS, and plain ones.

Promises degrees (ICRS) and Jy, whatever the file has, and an error that names the columns found when it cannot tell.
Never guesses a unit: the file says it, or the survey's known column does, or its name ends in it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy import units
from astropy.coordinates import Angle
from astropy.table import Table

Floats = npt.NDArray[np.float64]

RA = (
    "ra",
    "raj2000",
    "_raj2000",
    "ra_deg",
    "radeg",
    "ra_icrs",
    "_ra",
    "ra_deg_cont",
    "alpha_j2000",
    "right_ascension",
)
DEC = (
    "dec",
    "dej2000",
    "decj2000",
    "_dej2000",
    "dec_deg",
    "decdeg",
    "de_icrs",
    "_de",
    "dec_deg_cont",
    "delta_j2000",
    "declination",
)
# Column, the unit of the survey's own files, and its error column: the first one found is taken.
FLUX = (
    ("flux", "", ("flux_error", "e_flux", "flux_err")),
    ("flux_jy", "Jy", ("flux_error_jy", "e_flux_jy")),
    ("flux_mjy", "mJy", ("flux_error_mjy", "e_flux_mjy", "flux_err_mjy")),
    ("s1.4", "mJy", ("e_s1.4",)),  # NVSS (Condon et al. 1998, AJ 115, 1693)
    ("s1_4", "mJy", ("e_s1_4",)),
    ("fint", "mJy", ("e_fint",)),  # FIRST (Helfand, White & Becker 2015, ApJ 801, 26)
    ("total_flux", "", ("e_total_flux",)),  # VLASS (Gordon et al. 2021, ApJS 255, 30), RACS, PyBDSF
    ("total_flux_source", "mJy", ("e_total_flux_source",)),  # RACS-low (Hale et al. 2021, PASA 38, e058)
    ("ftot", "mJy", ("e_ftot",)),
    ("flux_20_cm", "mJy", ("flux_20_cm_error",)),
    ("int_flux", "mJy", ("int_flux_error",)),
)
NAMES = ("name", "source_name", "component_name", "nvss", "first", "vlass", "racs", "id", "source_id")
SURVEYS = {"nvss": 1.4e9, "first": 1.4e9, "vlass": 3.0e9, "racs": 0.8875e9}  # Hz
MILLI = {"vlass": "mJy", "racs": "mJy"}  # the unit of Total_flux where the file says none


class CatalogueError(ValueError):
    """A catalogue cannot be used: the message names the file, the columns found and those expected."""


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """Reference sources: `ra`, `dec` in degrees, `flux` and `flux_error` in Jy (error NaN if unknown), at `frequency` Hz."""

    survey: str
    names: tuple[str, ...]
    ra: Floats
    dec: Floats
    flux: Floats
    flux_error: Floats
    frequency: float

    def __len__(self) -> int:
        """How many sources."""
        return len(self.ra)

    def take(self, which: npt.NDArray[Any]) -> "Catalogue":
        """Those of a mask or of numbers."""
        numbers = np.arange(len(self))[which]
        return Catalogue(
            self.survey,
            tuple(self.names[n] for n in numbers),
            self.ra[numbers],
            self.dec[numbers],
            self.flux[numbers],
            self.flux_error[numbers],
            self.frequency,
        )

    def scaled(self, frequency: float, spectral_index: float = -0.7) -> "Catalogue":
        """Flux densities at another frequency (Hz): S ∝ ν^α, with α = −0.7 as sources at 1.4 GHz have at the median."""
        factor = (frequency / self.frequency) ** spectral_index
        return Catalogue(
            self.survey,
            self.names,
            self.ra,
            self.dec,
            self.flux * factor,
            self.flux_error * factor,
            frequency,
        )


def read_catalogue(
    path: Path | str, *, survey: str | None = None, frequency: float | None = None
) -> Catalogue:
    """Read a catalogue from CSV, ECSV, FITS or VOTable.

    Parameters
    ----------
    path
        ``.csv``, ``.ecsv``, ``.fits``, ``.fit``, ``.vot``, ``.xml``.
    survey
        "nvss", "first", "vlass", "racs" or another name; told from the columns or the file's name if not given.
    frequency
        Hz; that of the survey if not given, and 1.4 GHz for an unknown one.

    Raises
    ------
    CatalogueError
        If the format is unknown, or a place or a flux density is not among the columns.
    """
    path = Path(path)
    table = _read(path)
    found = {name.lower(): name for name in table.colnames}
    kind = (survey or _survey_of(path, found)).lower()
    ra = _angle(path, table, _one(path, found, RA, "right ascension"), is_ra=True)
    dec = _angle(path, table, _one(path, found, DEC, "declination"), is_ra=False)
    flux, error = _fluxes(path, table, found, kind)
    name = next((found[one] for one in NAMES if one in found), None)
    names = (
        tuple(str(one) for one in table[name])
        if name
        else tuple(f"{kind}-{number}" for number in range(1, len(table) + 1))
    )
    used = np.isfinite(ra) & np.isfinite(dec) & np.isfinite(flux)
    whole = Catalogue(kind, names, ra, dec, flux, error, frequency or SURVEYS.get(kind, 1.4e9))
    return whole.take(used)


def _read(path: Path) -> Table:
    suffix = path.suffix.lower()
    formats = {".csv": "ascii.csv", ".ecsv": "ascii.ecsv", ".fits": "fits", ".fit": "fits", ".vot": "votable"}
    formats[".xml"] = "votable"
    if suffix not in formats:
        raise CatalogueError(f"{path}: ending {suffix!r}; expected one of {', '.join(formats)}")
    try:
        return Table.read(path, format=formats[suffix])
    except FileNotFoundError:
        raise CatalogueError(f"{path}: no such file") from None
    except (OSError, ValueError, IndexError) as error:
        raise CatalogueError(f"{path}: not a table of format {formats[suffix]}: {error}") from error


def _survey_of(path: Path, found: dict[str, str]) -> str:
    """The survey whose name begins a word of the file's name, or names a column; `terracs.csv` is not of RACS."""
    words = re.split(r"[^a-z]+", path.stem.lower())
    for name in SURVEYS:
        if any(word.startswith(name) for word in words) or name in found:
            return name
    if "s1.4" in found:
        return "nvss"
    if "fint" in found:
        return "first"
    return "generic"


def _one(path: Path, found: dict[str, str], wanted: Sequence[str], what: str) -> str:
    for one in wanted:
        if one in found:
            return found[one]
    raise CatalogueError(
        f"{path}: no column of {what}; found {', '.join(found.values())}; expected one of {', '.join(wanted)}"
    )


def _filled(column: Any) -> Floats:
    values = column.astype(np.float64)
    found: Floats = np.array(values.filled(np.nan) if hasattr(values, "filled") else values)
    return found


def _angle(path: Path, table: Table, name: str, *, is_ra: bool) -> Floats:
    """Degrees, from numbers or from sexagesimal texts (hours for right ascension); NaN where there is nothing."""
    column = table[name]
    if column.dtype.kind in "OSU":
        texts = np.array(["" if one is np.ma.masked else str(one).strip() for one in column])
        given = texts != ""
        angles: Floats = np.full(len(texts), np.nan)
        try:
            angles[given] = Angle(texts[given], unit=units.hourangle if is_ra else units.deg).deg
        except ValueError as error:
            raise CatalogueError(f"{path}, column {name}: not angles: {error}") from error
        return angles
    values = _filled(column)
    if column.unit is not None and column.unit != units.deg:
        values = values * float(units.Unit(column.unit).to(units.deg))
    if is_ra:
        values = values % 360.0
    return values


def _fluxes(path: Path, table: Table, found: dict[str, str], kind: str) -> tuple[Floats, Floats]:
    for name, default, errors in FLUX:
        if name not in found:
            continue
        unit = str(table[found[name]].unit or default or MILLI.get(kind, ""))
        if not unit:
            raise CatalogueError(
                f"{path}, column {found[name]}: no unit; expected one in the file, or a column flux_jy or flux_mjy"
            )
        error = next((found[one] for one in errors if one in found), None)
        flux = _jansky(path, table, found[name], unit)
        if error is None:
            return flux, np.full(len(flux), np.nan)
        return flux, _jansky(path, table, error, str(table[error].unit or unit))
    expected = ", ".join(name for name, _, _ in FLUX)
    raise CatalogueError(
        f"{path}: no column of flux density; found {', '.join(found.values())}; expected one of {expected}"
    )


def _jansky(path: Path, table: Table, name: str, unit: str) -> Floats:
    try:
        factor = float(units.Unit(unit).to(units.Jy))
    except (ValueError, units.UnitConversionError):
        raise CatalogueError(
            f"{path}, column {name}: unit {unit}; expected a flux density such as mJy"
        ) from None
    return _filled(table[name]) * factor
