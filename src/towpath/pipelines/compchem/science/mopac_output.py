"""Reads of a MOPAC output what cclib leaves out: the Hamiltonian, the energies with their units, the optimisation.

Promises to keep memory bounded and to give only what stands in the file.
"""

import re
from pathlib import Path
from typing import Any

MOST_LINES, MOST_CYCLES, LINE = 5_000_000, 5_000, 4096
METHOD = re.compile(r"^\s+(\S+) CALCULATION RESULTS")
NUMBERS = {
    "heat_of_formation_kcal_per_mol": re.compile(r"FINAL HEAT OF FORMATION =\s*(-?\d+\.?\d*) KCAL"),
    "total_ev": re.compile(r"^\s+TOTAL ENERGY\s+=\s*(-?\d+\.?\d*) EV"),
    "gradient_norm_kcal_per_mol_angstrom": re.compile(r"^\s+GRADIENT NORM\s+=\s*(\d+\.?\d*)"),
    "ionisation_potential_ev": re.compile(r"IONIZATION POTENTIAL\s+=\s*(-?\d+\.?\d*) EV"),
    "wall_time_s": re.compile(r"WALL-CLOCK TIME\s+=\s*(\d+\.?\d*) SECONDS"),
    "cpu_time_s": re.compile(r"COMPUTATION TIME\s+=\s*(\d+\.?\d*) SECONDS"),
}
POINT_GROUP = re.compile(r"MOLECULAR POINT GROUP\s+:\s+(\w+)")
LEVELS = re.compile(r"HOMO LUMO ENERGIES \(EV\) =\s*(-?\d+\.?\d*)\s*(-?\d+\.?\d*)")
CYCLE = re.compile(r"^ CYCLE:\s*\d+ TIME:.*GRAD\.:\s*(\d+\.?\d*) HEAT:\s*(-?\d+\.?\d*)")
SATISFIED = re.compile(
    r"TEST WAS SATISFIED|GRADIENT TEST PASSED|GRADIENTS OF OPTIMIZED|OPTIMIZATION COMPLETE"
)


def read_mopac(path: Path) -> dict[str, Any]:
    """Read what a MOPAC output says of its method, energies and optimisation.

    Returns
    -------
    dict
        Those that stand in the file of ``method``, ``point_group``, ``homo_ev``, ``lumo_ev``, the names of `NUMBERS`,
        and ``cycles``: gradient norm in kcal/mol/Å and heat of formation in kcal/mol of every cycle; ``satisfied``.
    """
    told: dict[str, Any] = {"cycles": [], "satisfied": False}
    with path.open(encoding="utf-8", errors="replace") as stream:
        for _ in range(MOST_LINES):
            line = stream.readline(LINE)
            if not line:
                break
            _take(line, told)
    return told


def _take(line: str, told: dict[str, Any]) -> None:
    """Take what one line says."""
    if match := CYCLE.match(line):
        if len(told["cycles"]) < MOST_CYCLES:
            told["cycles"].append([float(match[1]), float(match[2])])
        return
    told["satisfied"] = told["satisfied"] or bool(SATISFIED.search(line))
    if match := METHOD.match(line):
        told["method"] = match[1]
    if match := POINT_GROUP.search(line):
        told["point_group"] = match[1]
    if match := LEVELS.search(line):
        told |= {"homo_ev": float(match[1]), "lumo_ev": float(match[2])}
    for name, pattern in NUMBERS.items():
        if match := pattern.search(line):
            told[name] = float(match[1])
