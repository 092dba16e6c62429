"""Vibrations and excitations of a calculation as tables, with units in the names of their columns.

Promises that modes which are no vibrations (translation and rotation of the whole) are left out, that an imaginary
wavenumber is negative as programs print it, and that a column which the file does not give is absent.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from cclib.parser.utils import convertor

from .quantum_facts import array

Floats = npt.NDArray[np.float64]
Table = dict[str, list[Any]]

NM_PER_CM = 1.0e7
LINEAR = 1e-3  # of a molecule's extent: how far off a line the atoms of a linear molecule may be
WAVENUMBER, INTENSITY = "wavenumber_cm-1", "ir_intensity_km_per_mol"
ENERGY_CM, STRENGTH = "energy_cm-1", "oscillator_strength"


def tabulate_vibrations(data: Any) -> Table:
    """Make the table of vibrations: mode (from 1), wavenumber, intensities, reduced mass, symmetry; empty without."""
    wavenumbers = array(data, "vibfreqs")
    if wavenumbers is None:
        return {}
    kept = vibrating(wavenumbers, array(data, "atomcoords"))
    table: Table = {"mode": list(range(1, len(kept) + 1)), WAVENUMBER: wavenumbers[kept].tolist()}
    columns = {
        "vibirs": INTENSITY,
        "vibramans": "raman_activity_angstrom4_per_dalton",
        "vibrmasses": "reduced_mass_dalton",
        "vibfconsts": "force_constant_mdyne_per_angstrom",
    }
    for name, column in columns.items():
        values = array(data, name)
        if values is not None and values.shape == wavenumbers.shape:
            table[column] = values[kept].tolist()
    symmetries = getattr(data, "vibsyms", ())
    if len(symmetries) == len(wavenumbers):
        table["symmetry"] = [str(symmetries[k]) for k in kept]
    return table


def vibrating(wavenumbers: Floats, coordinates: Floats | None) -> npt.NDArray[np.intp]:
    """Which modes are vibrations: all, or where there are 3n, all but the 6 (of a line 5) nearest zero."""
    everything = np.arange(len(wavenumbers))
    if coordinates is None or coordinates.ndim != 3 or len(wavenumbers) != 3 * coordinates.shape[1]:
        return everything
    spread = np.linalg.svd(coordinates[-1] - coordinates[-1].mean(axis=0), compute_uv=False)
    still = 5 if spread[1] < LINEAR * max(float(spread[0]), 1.0) else 6
    return np.sort(np.argsort(np.abs(wavenumbers), kind="stable")[still:])


def tell_vibrations(table: Table) -> dict[str, Any]:
    """The facts of a table of vibrations."""
    if not table:
        return {}
    wavenumbers = table[WAVENUMBER]
    told = {
        "count": len(wavenumbers),
        "imaginary": sum(one < 0.0 for one in wavenumbers),
        "lowest_cm-1": min(wavenumbers, default=None),
        "highest_cm-1": max(wavenumbers, default=None),
        "wavenumbers_cm-1": wavenumbers,
    }
    return told | ({"ir_intensities_km_per_mol": table[INTENSITY]} if INTENSITY in table else {})


def tabulate_excitations(data: Any) -> Table:
    """Make the table of excited states in the order of their energies; empty without."""
    energies = array(data, "etenergies")
    if energies is None:
        return {}
    order = np.argsort(energies, kind="stable")
    sorted_energies = energies[order]
    with np.errstate(divide="ignore"):
        wavelengths = NM_PER_CM / sorted_energies
    table: Table = {
        "state": list(range(1, len(order) + 1)),
        ENERGY_CM: sorted_energies.tolist(),
        "energy_ev": np.asarray(convertor(sorted_energies, "wavenumber", "eV")).tolist(),
        "wavelength_nm": wavelengths.tolist(),
    }
    strengths = array(data, "etoscs")
    if strengths is not None and strengths.shape == energies.shape:
        table[STRENGTH] = strengths[order].tolist()
    symmetries = getattr(data, "etsyms", ())
    if len(symmetries) == len(energies):
        table["symmetry"] = [str(symmetries[k]) for k in order]
    return table


def tell_excitations(table: Table) -> dict[str, Any]:
    """The facts of a table of excited states: how many, the lowest, the brightest."""
    if not table:
        return {}
    told = {
        "count": len(table["state"]),
        "lowest_ev": table["energy_ev"][0],
        "lowest_nm": table["wavelength_nm"][0],
    }
    if STRENGTH in table:
        k = int(np.argmax(table[STRENGTH]))
        told |= {
            "strongest_nm": table["wavelength_nm"][k],
            "strongest_oscillator_strength": table[STRENGTH][k],
        }
    return told


def write_table(path: Path, table: Mapping[str, Sequence[Any]]) -> None:
    """Write columns of equal length as CSV: a header row, then a row for each entry."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(table)
        writer.writerows(
            [f"{value:.10g}" if isinstance(value, float) else value for value in row]
            for row in zip(*table.values(), strict=True)
        )


def read_table(path: Path) -> Table:
    """Read what `write_table` wrote: numbers as numbers, all else as text."""
    with path.open(newline="", encoding="utf-8") as stream:
        header, *rows = list(csv.reader(stream))
    return {name: [_number(row[k]) for row in rows] for k, name in enumerate(header)}


def _number(text: str) -> float | str:
    """A number, or the text where it is none."""
    try:
        return float(text)
    except ValueError:
        return text
