"""Reads of a MOPAC output what cclib leaves out: the Hamiltonian, the energies with their units, the optimisation.

Promises to keep memory bounded and to give only what stands in the file.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cclib.parser.utils import PeriodicTable

from .output_lines import output_lines

MOST_CYCLES, MOST_ATOMS = 5_000, 100_000
METHOD = re.compile(r"^\s+(\S+) CALCULATION RESULTS")
NUMBERS = {
    "heat_of_formation_kcal_per_mol": re.compile(r"^ +(?:FINAL )?HEAT OF FORMATION =\s*(-?\d+\.?\d*) KCAL"),
    "zero_point_kcal_per_mol": re.compile(r"^ +ZERO POINT ENERGY +(\d+\.\d*) KCAL"),
    "cutoff": re.compile(r"GRADIENT = *\d+\.\d* IS LESS THAN CUTOFF = *(\d+\.\d*)"),
    "total_ev": re.compile(r"^\s+TOTAL ENERGY\s+=\s*(-?\d+\.?\d*) EV"),
    "gradient_norm_kcal_per_mol_angstrom": re.compile(r"^\s+GRADIENT NORM\s+=\s*(\d+\.?\d*)"),
    "ionisation_potential_ev": re.compile(r"IONIZATION POTENTIAL\s+=\s*(-?\d+\.?\d*) EV"),
    "wall_time_s": re.compile(r"WALL-CLOCK TIME\s+=\s*(\d+\.?\d*) SECONDS"),
    "cpu_time_s": re.compile(r"COMPUTATION TIME\s+=\s*(\d+\.?\d*) SECONDS"),
}
VERSION = re.compile(r"^ \*\* +MOPAC v(\d[\w.]*) +\*\*")
POINT_GROUP = re.compile(r"MOLECULAR POINT GROUP\s+:\s+(\S+)")
LEVELS = re.compile(
    r"^ +(HOMO|ALPHA SOMO|BETA  SOMO) LUMO (?:ENERGIES )?\(EV\) +=\s*(-?\d+\.?\d*)\s*(-?\d+\.?\d*)"
)
CYCLE = re.compile(r"^ CYCLE:\s*\d+ TIME:.*GRAD\.:\s*(\d+\.?\d*) HEAT:\s*(-?\d+\.?\d*)")
ALPHA = re.compile(r"^ +UHF CALCULATION, NO\. OF ALPHA ELECTRONS = *(\d+)")
BETA = re.compile(r"^ +NO\. OF BETA +ELECTRONS += *(\d+)")
SINGLY = re.compile(r"NO\. OF SINGLY OCCUPIED LEVELS = *(\d+)")
OPTIMISES = re.compile(r"^ +Geometry optimization using ")
SATISFIED = re.compile(
    r"TEST WAS SATISFIED|GRADIENT TEST PASSED|GRADIENTS OF OPTIMIZED|OPTIMIZATION COMPLETE|GEOMETRY OPTIMI[SZ]ED USING|"
    r"GRADIENTS WERE INITIALLY ACCEPTABLY SMALL|HEAT OF FORMATION MINIMIZED|^ +TRANSITION (?:STATE|GEOMETRY) LOCATED"
)
MESSAGES = "Error and normal termination messages reported in this calculation"  # heads a box of them
NORMAL = "JOB ENDED NORMALLY"  # printed however it ended
# What heads a table of atoms. Its rows may have a mark after each coordinate, * where it is optimised.
TABLES = (["CARTESIAN", "COORDINATES"], ["NUMBER", "SYMBOL", "(ANGSTROMS)", "(ANGSTROMS)", "(ANGSTROMS)"])
ATOM = re.compile(r"^ +(\d+) +([A-Z][a-z]?)" + 3 * r" +(-?\d+\.\d+)(?: +[*+])?" + r" *$")
BOX = re.compile(r"^ \* *(.*?) *\*$")


def read_mopac(path: Path) -> dict[str, Any]:
    """Read what a MOPAC output says of its method, energies and optimisation.

    Returns
    -------
    dict
        Those that stand in the file of ``program_version``, ``method``, ``multiplicity``, ``point_group``, ``homo_ev``,
        ``lumo_ev`` (with ``beta_`` those of the other spin) and the names of `NUMBERS`; and always ``cycles``: gradient
        norm in kcal/mol/Å and heat of formation in kcal/mol of every cycle of the last optimisation, ``satisfied``,
        ``messages`` at the end of the last job, ``atoms``: symbol and place in ångström of each, of the last table
        that has its end, and ``rows``: those of a table within which the file stops.
    """
    told: dict[str, Any] = {"cycles": [], "satisfied": False, "messages": [], "atoms": [], "rows": None}
    boxed = False
    for line in output_lines(path):
        boxed = MESSAGES in line or (boxed and line.startswith(" *"))
        if not boxed:
            _take(line, told)
        elif (match := BOX.match(line)) and match[1].strip("*") and MESSAGES not in line:
            told["messages"] += [match[1]] if match[1] != NORMAL else []
    return told


def _take(line: str, told: dict[str, Any]) -> None:
    """Take what one line says."""
    if match := CYCLE.match(line):
        if len(told["cycles"]) < MOST_CYCLES:
            told["cycles"].append([float(match[1]), float(match[2])])
        return
    if OPTIMISES.match(line):
        told |= {"cycles": [], "satisfied": False}
    _take_atom(line, told)
    told["satisfied"] = told["satisfied"] or bool(SATISFIED.search(line))
    if match := ALPHA.match(line):
        told["alpha"] = int(match[1])
    elif (match := BETA.match(line)) and "alpha" in told:
        told["multiplicity"] = told["alpha"] - int(match[1]) + 1
    elif match := SINGLY.search(line):
        told["multiplicity"] = int(match[1]) + 1
    if match := VERSION.match(line):
        told["program_version"] = match[1]
    if match := METHOD.match(line):
        told |= {"method": match[1], "messages": []}  # a job begins
    if match := POINT_GROUP.search(line):
        told["point_group"] = match[1]
    if match := LEVELS.search(line):
        spin = "beta_" if match[1].startswith("BETA") else ""
        told |= {f"{spin}homo_ev": float(match[2]), f"{spin}lumo_ev": float(match[3])}
    for name, pattern in NUMBERS.items():
        if match := pattern.search(line):
            told[name] = float(match[1])


def _take_atom(line: str, told: dict[str, Any]) -> None:
    """Take a row of a table of atoms; one that is not ended by an empty line, or the head of the next, is none."""
    rows, words = told["rows"], line.split()
    if words in TABLES or (rows and not words and line.endswith("\n")):
        told |= {"atoms": rows or told["atoms"], "rows": [] if words else None}
    elif rows is not None and (match := ATOM.match(line)) and int(match[1]) == len(rows) + 1 <= MOST_ATOMS:
        rows.append((match[2], *(float(one) for one in match.groups()[2:])))
    elif rows and line.endswith("\n"):
        told["rows"] = None


def add_atoms(data: Any, told: Mapping[str, Any]) -> None:
    """Put the atoms into cclib's data where it has others, as of a table within which the file stops.

    It knows tables only in which every coordinate is optimised.
    """
    atoms: Sequence[tuple[str, float, float, float]] = told["atoms"]
    if not atoms and told["rows"]:
        for name in ("atomnos", "atomcoords", "natom", "coreelectrons"):
            vars(data).pop(name, None)
    places: Any = getattr(data, "atomcoords", ())
    if not atoms or (len(places) and len(atoms) == len(places[-1])):
        return
    numbers = PeriodicTable().number
    data.atomnos = np.array([numbers.get(symbol, 0) for symbol, *_ in atoms])
    data.atomcoords = np.array([[place for _, *place in atoms]])
    vars(data).pop("coreelectrons", None)
