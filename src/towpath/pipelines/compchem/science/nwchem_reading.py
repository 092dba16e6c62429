"""Reads of an NWChem output what cclib leaves out: the coupled-cluster module, the spin of its SCF, cycles of the SCF.

Promises to keep memory bounded and to give only what stands in the file.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from cclib.parser.utils import convertor

from .mended_lines import NAMED

MOST_LINES, MOST_CYCLES, LINE = 50_000_000, 2000, 4096
COUPLED = re.compile(r"^ +Total (CCSD(?:\(T\))?) energy: +(-?\d+\.\d+)")
ALPHA = re.compile(r"^ +alpha electrons = +(\d+)")
BETA = re.compile(r"^ +beta +electrons = +(\d+)")
OPEN = re.compile(r"^ +open shells +=? +(\d+)")
SPIN = re.compile(r"^ +Spin multiplicity: +(\d+)")
_NUMBER = r" *(-?\d\.\d+[DE][-+]\d+)"
CYCLE = re.compile(rf"^ d= *\d+,ls=\S*,diis +(\d+) +-?\d+\.\d+{_NUMBER}{_NUMBER}{_NUMBER}")


@dataclass(slots=True)
class Said:
    """What a file says: coupled-cluster energies in hartree by method, cycles of the last SCF of a density functional."""

    coupled: dict[str, float] = field(default_factory=dict)
    multiplicity: int | None = None
    cycles: list[list[float]] = field(default_factory=list)
    geometries: set[str] = field(default_factory=set)
    alpha: int = 0


def read_nwchem(path: Path) -> Said:
    """Read what an NWChem output says of the names of `Said`."""
    said = Said()
    with path.open(encoding="utf-8", errors="replace") as stream:
        for _ in range(MOST_LINES):
            line = stream.readline(LINE)
            if not line:
                break
            _take(line, said)
    return said


def _take(line: str, said: Said) -> None:
    """Take what one line says."""
    if match := CYCLE.match(line):
        if int(match[1]) == 1:
            said.cycles = []
        if len(said.cycles) < MOST_CYCLES:
            said.cycles.append([float(one.replace("D", "E")) for one in match.groups()[1:]])
    elif match := COUPLED.match(line):
        said.coupled[match[1]] = float(match[2])
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
    """Put into cclib's data what it has not, or otherwise: its energies are in eV."""
    if said.multiplicity is not None:
        data.mult = said.multiplicity
    if said.coupled and not hasattr(data, "ccenergies"):
        data.ccenergies = np.array([convertor(one, "hartree", "eV") for one in said.coupled.values()])
        data.metadata["methods"] = [*data.metadata.get("methods", ()), *said.coupled]
    values = getattr(data, "scfvalues", None)
    if values is not None and len(values) and len(said.cycles) > len(values[-1]) > 0:
        data.scfvalues = [*list(values)[:-1], np.array(said.cycles)]
