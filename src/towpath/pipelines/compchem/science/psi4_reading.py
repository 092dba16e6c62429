"""Reads of a Psi4 output all vibrations: where motions of the whole are among them, cclib takes the first block only."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

MOST_LINES, LINE = 50_000_000, 4096
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
VALUE = re.compile(r"(?<=\s)(-?\d+\.\d+)(i?)(?=\s|$)")


@dataclass(slots=True)
class Vibrating:
    """The rows of all blocks by cclib's names, and how many of the modes are rotations of the whole.

    `fragments` where the energies are those of fragments, between which SAPT finds the interaction.
    """

    rows: dict[str, list[float]] = field(default_factory=dict)
    rotations: int = 0
    fragments: bool = False


def read_psi4(path: Path) -> Vibrating:
    """Read the last vibrational analysis of a Psi4 output; an imaginary wavenumber is negative."""
    found = Vibrating()
    with path.open(encoding="utf-8", errors="replace") as stream:
        for _ in range(MOST_LINES):
            line = stream.readline(LINE)
            if not line:
                break
            if BEGIN in line:
                found = Vibrating(fragments=found.fragments)
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


def add_psi4(data: Any, found: Vibrating) -> list[str]:
    """Put the vibrations into cclib's data where it has others, and tell what is to be known of them."""
    notes = [OF_FRAGMENTS] if found.fragments else []
    wavenumbers = np.array(found.rows.get("vibfreqs", ()))
    if not wavenumbers.size:
        return notes
    if not np.array_equal(getattr(data, "vibfreqs", ()), wavenumbers):
        for name in ("vibsyms", "vibdisps"):
            data.__dict__.pop(name, None)
        for name in set(ROWS.values()):
            data.__dict__.pop(name, None)
            if len(found.rows.get(name, ())) == len(wavenumbers):
                setattr(data, name, np.array(found.rows[name]))
    if not found.rotations:
        return notes
    return [
        *notes,
        f"Of the {len(wavenumbers)} vibrations {found.rotations} are rotations of the whole, which Psi4 left in since the "
        "geometry is no stationary point.",
    ]
