"""Reads of an ORCA output what cclib leaves out: the final energy, with all that ORCA adds to the one of the SCF.

An output may hold several jobs: what is told is told of the last. A derivative by differences prints the energies of
displaced geometries last: they are no result. Promises to keep memory bounded.
"""

import math
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from cclib.parser.utils import convertor

from .output_lines import output_lines
from .quantum_ending import Ending
from .quantum_facts import SELF_CONSISTENT, array

MOST_FAILED, SAME = 10_000, 1e-6  # SAME in hartree
JOB = re.compile(r"^ *\$+ +JOB NUMBER +\d|^ *COMPOUND JOB +\d|\* O   R   C   A \*")
COMPOUND = re.compile(r"^ *COMPOUND JOB +\d")
DISPLACED = re.compile(r"<< Calculating .*on displaced geometry")
AT_REST = re.compile(r"GEOMETRY OPTIMIZATION CYCLE|FINAL ENERGY EVALUATION|^VIBRATIONAL FREQUENCIES")
SCF = re.compile(r"^Total Energy +: +(-?\d+\.\d+) Eh")
CYCLES = re.compile(r"SCF (NOT )?CONVERGED AFTER")
PERTURBED = re.compile(r"^ *(?:[\w-]+-)?MP2 TOTAL ENERGY: +(-?\d+\.\d+)|^E\(MP[23]\) += +(-?\d+\.\d+)")
COUPLED = re.compile(r"^E\((TOT|CCSD\(T\))\) +\.\.\. +(-?\d+\.\d+)")
ROOT = re.compile(r"^ +DE\([^)]+\) *= +(-?\d+\.\d+) Eh")
SPIN_ORBIT = "E(SOC"
DISPERSION = re.compile(r"^Dispersion correction +(-?\d+\.\d+)")
# What is said of it stands before or behind it: "(SCF not fully converged!)", "(MM)", "(QM/MM)".
FINAL = re.compile(r"^FINAL SINGLE POINT ENERGY(?: +\(([^)]*)\))? +(-?\d+\.\d+)(?: +\(([^)]*)\))?")
NOT_CONVERGED = re.compile(r"\bnot\b.*\bconverged\b")
CORRELATED = re.compile(
    r"(?:\w+-)*(?:MP[234]|CCSD|QCISD|CISD|CEPA|CPF|NCEPA|ACPF|AQCC|NEVPT2|CASPT2)\b.*", re.IGNORECASE
)
# One of them stands on every line that is looked at; most lines are passed over by it.
WORDS = (
    "SCF", "CYCLE", "JOB", "O   R   C   A", "displaced", "EVALUATION", "VIBRATIONAL", "Total Energy", "MP2", "E(", "Dispersion",
    "FINAL SINGLE",
)  # fmt: skip
IS_FINAL = "final single point energy"
OF_STATE = "The total energy is that of the ground state; state_hartree is that of the excited state which ORCA follows."
OF_COMPOUND = "The output is that of a compound job: the energy is that of its last calculation."


@dataclass(slots=True)
class Said:
    """What the last job says of its last geometry that is not displaced; energies in hartree.

    `final` is the energy that ORCA calls final, `words` what it says of it in brackets, `root` how far it is above the
    ground state (not a number where that is not known), `dispersion` what cclib adds to the energy of the SCF; `method` the
    one that goes beyond it. `failed` are the numbers, from 0, of the SCFs of the whole file that did not converge, `scfs`
    counts them and `jobs` the jobs; `compound` where a script makes these.
    """

    scf: float | None = None
    perturbed: float | None = None
    coupled: float | None = None
    final: float | None = None
    words: str = ""
    root: float = 0.0
    dispersion: float = 0.0
    method: str = ""
    displaced: bool = False
    was_displaced: bool = False
    compound: bool = False
    jobs: int = 0
    scfs: int = 0
    failed: list[int] = field(default_factory=list)


def read_orca(path: Path) -> Said:
    """Read what an ORCA output says of the names of `Said`."""
    said = Said()
    for line in output_lines(path):
        if not any(word in line for word in WORDS):
            continue
        if JOB.search(line):
            begun = said.jobs if said.scfs == 0 and said.jobs else said.jobs + 1
            said = Said(jobs=begun, scfs=said.scfs, failed=said.failed, compound=said.compound)
            said.compound = said.compound or bool(COMPOUND.match(line))
        elif match := CYCLES.search(line):
            if match[1] and len(said.failed) < MOST_FAILED:
                said.failed.append(said.scfs)
            said.scfs += 1
        elif DISPLACED.search(line):
            said.displaced = said.was_displaced = True
        elif AT_REST.search(line):
            said.displaced = False
        elif not said.displaced:
            _take(line, said)
    return said


def _take(line: str, said: Said) -> None:
    """Take the energy that stands on a line."""
    if match := SCF.match(line):
        said.scf, said.final, said.root = float(match[1]), None, 0.0
    elif match := PERTURBED.match(line):
        said.perturbed = float(match[1] or match[2])
        said.method = "MP3" if line.startswith("E(MP3)") else said.method or "MP2"
    elif match := COUPLED.match(line):
        said.coupled = float(match[2])
        said.method = "CCSD(T)" if "(T)" in match[1] else "CCSD"
    elif match := ROOT.match(line):
        said.root = float(match[1])
    elif SPIN_ORBIT in line:
        said.root = math.nan  # the state that is followed is one of those
    elif match := DISPERSION.match(line):
        said.dispersion = float(match[1])
    elif (match := FINAL.match(line)) and match[1] != "MM":
        said.final, said.words = float(match[2]), match[1] or match[3] or ""


def add_orca(data: Any, said: Said) -> None:
    """Put into cclib's data what it has otherwise; its energies are in eV."""
    energies = array(data, "scfenergies")
    if energies is not None:
        # Of an SCF that failed cclib takes the last change of the energy for the energy.
        energies[[at for at in said.failed if at < len(energies)]] = np.nan
        data.scfenergies = energies
    if said.scf is None:
        return
    methods = [str(one) for one in data.metadata.get("methods", ())]
    reference = [one for one in methods if SELF_CONSISTENT.fullmatch(one)][-1:]
    data.metadata["methods"] = [*reference, *([said.method] if said.method else [])]
    of_rest = {
        "scfenergies": said.scf + said.dispersion,
        "mpenergies": said.perturbed,
        "ccenergies": said.coupled,
    }
    for name, energy in of_rest.items():
        known = array(data, name)
        if energy is None:
            vars(data).pop(name, None)  # of an earlier job, or a part of the energy
        elif said.was_displaced and known is not None:
            known[-1] = convertor(energy, "hartree", "eV")
            setattr(data, name, known)


def add_final(facts: dict[str, Any], said: Said, ending: Ending) -> Ending:
    """Make the total energy the one that ORCA calls final; give the ending with what it says of that."""
    notes = [OF_COMPOUND] if said.compound else []
    if said.final is not None and math.isfinite(said.root):
        energies = facts.setdefault("energies", {})
        total = said.final - said.root
        known = energies.get("total_hartree")
        energies |= {"total_hartree": total, "total_is": IS_FINAL}
        if said.root:
            energies |= {"total_is": f"{IS_FINAL}, less the excitation", "state_hartree": said.final}
            notes.append(OF_STATE)
        words = str(facts.get("keywords", "")).split()
        asked = next((one for one in words if CORRELATED.fullmatch(one)), "")
        is_more = facts.get("method") == "HF" and (known is None or abs(total - known) > SAME)
        is_other = (
            facts.get("method") == "CCSD" and "CCSD" not in asked.upper()
        )  # its lines are those of others, too
        if said.jobs == 1 and asked and (is_more or is_other):
            facts["method"] = asked
    if notes:
        facts["notes"] = [*facts.get("notes", ()), *notes]
    if NOT_CONVERGED.search(said.words) and not ending.error:
        return replace(ending, error=f"it says “{said.words}”")
    return ending
