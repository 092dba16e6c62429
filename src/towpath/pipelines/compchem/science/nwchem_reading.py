"""Reads of an NWChem output what cclib leaves out: correlated energies, spin, all cycles; and at which geometry they are.

A derivative by differences prints the energies of displaced geometries last: they are no result. Promises to keep memory
bounded and to give only what stands in the file.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from cclib.parser.utils import convertor

from .mended_lines import NAMED
from .output_lines import output_lines

MOST_CYCLES = 2000
SELF_CONSISTENT = ("SCF", "DFT")
ENERGY = re.compile(
    r"^ +(?:Total (?!SCS)(?P<module>[A-Z][\w()-]*) energy|(?!SCS)(?P<many>[A-Z][\w()-]*) total energy / hartree)"
    r"[ :=]+(?P<value>-?\d+\.\d+(?:E[-+]\d+)?) *$"
)
MBPT = re.compile(r"MBPT\((\d)\)")
DISPLACED = re.compile(r"^ atom: +\d+ xyz: \d\([-+]\)|^ ENTER raman")
AT_REST = re.compile(r"^ Task  times|NORMAL MODE EIGENVECTORS IN CARTESIAN")
CORRECTION = re.compile(r"^ Thermal correction to Enthalpy += .*\( *(-?\d+\.\d+) au\)")
ALPHA = re.compile(r"^ +alpha electrons = +(\d+)")
BETA = re.compile(r"^ +beta +electrons = +(\d+)")
OPEN = re.compile(r"^ +open shells +=? +(\d+)")
SPIN = re.compile(r"^ +Spin multiplicity: +(\d+)")
_NUMBER = r" *(-?\d\.\d+[DE][-+]\d+)"
CYCLE = re.compile(rf"^ d= *\d+,ls=\S*,diis +(\d+) +-?\d+\.\d+{_NUMBER}{_NUMBER}{_NUMBER}")


@dataclass(slots=True)
class Said:
    """What a file says.

    `energies` are those in hartree of the geometry that is not displaced, by method, the latest last; `enthalpy` that
    of the method whose energy stands last before its correction; `cycles` those of the last SCF of a functional.
    """

    energies: dict[str, float] = field(default_factory=dict)
    last: str = ""
    displaced: bool = False
    was_displaced: bool = False
    enthalpy: float | None = None
    multiplicity: int | None = None
    alpha: int = 0
    cycles: list[list[float]] = field(default_factory=list)
    geometries: set[str] = field(default_factory=set)


def read_nwchem(path: Path) -> Said:
    """Read what an NWChem output says of the names of `Said`."""
    said = Said()
    for line in output_lines(path):
        _take_energy(line, said)
        _take(line, said)
    return said


def _take_energy(line: str, said: Said) -> None:
    """Take an energy, or where it belongs."""
    if match := ENERGY.match(line):
        said.last = MBPT.sub(r"MP\1", match["module"] or match["many"])
        if not said.displaced:
            said.energies.pop(said.last, None)  # the latest is the last
            said.energies[said.last] = float(match["value"])
    elif DISPLACED.match(line):
        said.displaced = said.was_displaced = True
    elif AT_REST.search(line):
        said.displaced = False
    elif (match := CORRECTION.match(line)) and said.last in said.energies:
        said.enthalpy = said.energies[said.last] + float(match[1])


def _take(line: str, said: Said) -> None:
    """Take what one line says."""
    if match := CYCLE.match(line):
        if int(match[1]) == 1:
            said.cycles = []
        if len(said.cycles) < MOST_CYCLES:
            said.cycles.append([float(one.replace("D", "E")) for one in match.groups()[1:]])
    elif match := ALPHA.match(line):
        said.alpha = int(match[1])
    elif match := BETA.match(line):
        said.multiplicity = said.alpha - int(match[1]) + 1
    elif match := OPEN.match(line):
        said.multiplicity = int(match[1]) + 1  # cclib counts every open shell twice
    elif match := SPIN.match(line):
        said.multiplicity = int(match[1])
    elif match := NAMED.match(line):
        said.geometries.add(match[2])


def add_nwchem(data: Any, said: Said) -> None:
    """Put into cclib's data what it has not, or otherwise: its energies of states are in eV, its enthalpies in hartree."""
    if said.multiplicity is not None:
        data.mult = said.multiplicity
    values = getattr(data, "scfvalues", None)
    if values is not None and len(values) and len(said.cycles) > len(values[-1]) > 0:
        data.scfvalues = [*list(values)[:-1], np.array(said.cycles)]
    if said.was_displaced:
        scf = [said.energies[name] for name in said.energies if name in SELF_CONSISTENT]
        for name, energies in (("scfenergies", scf), ("mpenergies", [said.energies.get("MP2")])):
            known = np.array(getattr(data, name, ()), float)
            if known.size and energies and energies[-1] is not None:
                known[-1] = convertor(energies[-1], "hartree", "eV")
                setattr(data, name, known)
    if said.enthalpy is not None and hasattr(data, "enthalpy"):
        data.enthalpy = said.enthalpy
        if hasattr(data, "entropy") and hasattr(data, "temperature"):
            data.freeenergy = said.enthalpy - data.temperature * data.entropy


def add_total(facts: dict[str, Any], said: Said) -> None:
    """Make the total energy that of the method whose energy stands last, where cclib does not know it."""
    method = next(reversed(said.energies), "")
    if not method or method in (*SELF_CONSISTENT, "MP2"):
        return
    energies = facts.setdefault("energies", {})
    for name, energy in said.energies.items():
        if name.startswith("CC"):
            energies["cc_hartree"] = energy
        elif name.startswith("MP"):
            energies[f"{name.lower()}_hartree"] = energy
    coupled = method.startswith("CC")
    energies |= {"total_hartree": said.energies[method], "total_is": "CC" if coupled else method}
    facts["method"] = method
