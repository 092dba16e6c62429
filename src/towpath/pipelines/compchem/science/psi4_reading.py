"""Reads of a Psi4 output what cclib leaves out: all vibrations, and the method that its input asks for.

cclib takes the first block of vibrations only where motions of the whole are among them, and knows the energies of some
methods only: of others it would be that of the SCF which is told.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from cclib.parser.utils import convertor

from .output_lines import output_lines

ASKED = re.compile(
    r"^ *(?:\w[\w, ]*= *)?(?:energy|opt|optimi[sz]e|freq|frequency|frequencies|gradient|hessian|prop|property|properties)"
    r"\( *['\"]([^'\"/]+)(/?)"
)
WELL = re.compile(r"^ +Total E0, Electronic energy at well bottom at 0 \[K\] +(-?\d+\.\d+) \[Eh\]")
SELF_CONSISTENT = ("scf", "hf")
PERTURBED = ("mp2", "dfmp2", "df-mp2")
COUPLED = ("ccsd", "ccsd(t)")
SAPT = "    SAPT Results"
BEGIN = "==> Harmonic Vibrational Analysis <=="
ROTATIONS = re.compile(r'^ +Note that "Vibration"s include (\d+) un-projected rotation-like modes')
# What a row of a block begins with, and cclib's name for it.
ROWS = {
    "  Freq [cm^-1] ": "vibfreqs",
    "  IR activ [km/mol] ": "vibirs",
    "  IR activ [KM/mol] ": "vibirs",
    "  Raman activ [": "vibramans",
    "  Reduced mass [u] ": "vibrmasses",
    "  Force const [mDyne/A] ": "vibfconsts",
}
OF_FRAGMENTS = (
    "Energy and geometry are those of the last fragment: the interaction that SAPT found is not read."
)
# One of them stands on every line that is looked at; most lines are passed over by it.
WORDS = re.compile(r"\[|==>|\(|SAPT|^  Note")
VALUE = re.compile(r"(?<=\s)(-?\d+\.\d+)(i?)(?=\s|$)")


@dataclass(slots=True)
class Vibrating:
    """What a file says: the rows of all blocks of vibrations by cclib's names, and how many are rotations of the whole.

    `asked` is the method that the input names last, with a slash where it names a basis set with it; `fragments` where
    the energies are those of fragments, between which SAPT finds the interaction; `well` the electronic energy in hartree
    to which the thermochemistry adds.
    """

    rows: dict[str, list[float]] = field(default_factory=dict)
    rotations: int = 0
    fragments: bool = False
    asked: str = ""
    well: float | None = None


def read_psi4(path: Path) -> Vibrating:
    """Read the last vibrational analysis of a Psi4 output; an imaginary wavenumber is negative."""
    found = Vibrating()
    for line in output_lines(path):
        if not WORDS.search(line):
            continue
        if BEGIN in line:
            found = Vibrating(fragments=found.fragments, asked=found.asked)
        elif match := WELL.match(line):
            found.well = float(match[1])
        elif match := ASKED.match(line):
            found.asked = (match[1] + match[2]).lower()
        elif line.rstrip() == SAPT:
            found.fragments = True
        elif match := ROTATIONS.match(line):
            found.rotations = int(match[1])
        else:
            _take(line, found.rows)
    return found


def _take(line: str, rows: dict[str, list[float]]) -> None:
    """Take the values of a row of a block."""
    name = next((name for begin, name in ROWS.items() if line.startswith(begin)), "")
    if name:
        values = (-float(value) if imaginary else float(value) for value, imaginary in VALUE.findall(line))
        rows.setdefault(name, []).extend(values)


def add_psi4(data: Any, found: Vibrating) -> tuple[list[str], str]:
    """Put what cclib has not, or otherwise, into its data; give notes, and a sentence if the result proper is not read."""
    if found.fragments:
        data.metadata["methods"] = [found.asked.upper()] if found.asked else []
        return [], OF_FRAGMENTS
    if found.well is not None:
        _put_at_well(data, found.well)
    return _add_vibrations(data, found), add_method(data, found.asked)


def _put_at_well(data: Any, well: float) -> None:
    """Put the energy of the geometry itself for the last of a displaced one, where vibrations come from differences."""
    name = "ccenergies" if hasattr(data, "ccenergies") else "mpenergies"
    energies = np.array(getattr(data, name, ()), float)
    if energies.size:
        energies[-1] = convertor(well, "hartree", "eV")
        setattr(data, name, energies)


def _add_vibrations(data: Any, found: Vibrating) -> list[str]:
    """Put the vibrations into cclib's data where it has others, and tell what is to be known of them."""
    wavenumbers = np.array(found.rows.get("vibfreqs", ()))
    if not wavenumbers.size:
        return []
    if not np.array_equal(getattr(data, "vibfreqs", ()), wavenumbers):
        for name in ("vibsyms", "vibdisps"):
            data.__dict__.pop(name, None)
        for name in set(ROWS.values()):
            data.__dict__.pop(name, None)
            if len(found.rows.get(name, ())) == len(wavenumbers):
                setattr(data, name, np.array(found.rows[name]))
    if not found.rotations:
        return []
    return [
        f"Of the {len(wavenumbers)} vibrations {found.rotations} are rotations of the whole, which Psi4 left in since the "
        "geometry is no stationary point.",
    ]


def add_method(data: Any, asked: str) -> str:
    """Put Hartree-Fock into cclib's methods where the input asks for it, and tell where it asks for what is not read."""
    metadata = data.metadata
    known = [str(one).lower() for one in metadata.get("methods", ())]
    last = known[-1] if known else ""
    functional = str(metadata.get("functional", ""))
    if not asked or (functional and last == "dft"):
        return ""
    if asked in SELF_CONSISTENT:
        metadata["methods"] = [*metadata.get("methods", ()), "HF"]
        return ""
    if last == asked in COUPLED or (asked in PERTURBED and last.endswith("mp2")):
        return ""
    told = asked.rstrip("/").upper()
    metadata["methods"] = [*metadata.get("methods", ()), told]
    of = "the SCF" if not known else known[-1].upper()
    return f"The energy is that of {of}: that of {told}{', with its basis set,' if asked.endswith('/') else ''} is not read."
