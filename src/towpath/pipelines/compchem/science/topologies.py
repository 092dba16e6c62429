"""Reads Tripos MOL2 and AMBER topologies: atoms with residues, bonds counted, charges summed.

Promises the first molecule and the count of all, and says what a file that was cut should hold. Formats: Tripos Mol2 File
Format (2005); AMBER, "prmtop" file formats.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gemmi
import numpy as np

from .cells import vectors_of
from .composition import Atoms, FloatArray, element_of, with_guessed_elements
from .outcome import Unreadable
from .structures import MOST_ATOMS, Structure, lines_of, numbers, real_numbers, texts, whole_numbers

_LEAST = {"ATOM": 6, "BOND": 4}  # words of a line that tells an atom or a bond
_AMBER_CHARGE = 18.2223  # charges of a topology are in units of e × 18.2223


@dataclass(slots=True)
class _Molecule:
    """The sections of a molecule by name, and the number of lines that tell something in each."""

    sections: dict[str, list[str]] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)

    @property
    def counts(self) -> list[int]:
        """The numbers of atoms and bonds that the molecule says it has."""
        head = self.sections.get("MOLECULE", [])
        return [int(word) for word in (head[1].split() if len(head) > 1 else []) if word.isdigit()][:2]

    def lacking(self) -> str:
        """Say what is lacking of the atoms and bonds, or nothing."""
        for (name, section), said in zip((("atoms", "ATOM"), ("bonds", "BOND")), self.counts, strict=False):
            if said > (found := self.lines.get(section, 0)):
                return f"says {said:,} {name} but has {found:,}. Upload the whole file."
        return ""


def read_mol2(path: Path) -> Structure:
    """Read a MOL2 file: the first molecule, and how many there are. Raises `Unreadable` where it has no atoms."""
    first, last, molecules = _molecules(path)
    head = [line.strip() for line in first.sections.get("MOLECULE", [])]
    rows = [row for row in (_mol2_atom(line) for line in first.sections.get("ATOM", [])) if row is not None]
    if not rows:
        said = first.counts[0] if first.counts else 0
        raise Unreadable(
            f"The MOL2 file says {said:,} atoms but its ATOM section has none that can be read. Upload the whole file."
        )
    first.lines["ATOM"] = len(rows)
    missing = []
    if lacking := first.lacking():
        missing.append(f"The MOL2 file {lacking}")
    elif molecules > 1 and (lacking := last.lacking()):
        missing.append(f"Molecule {molecules:,}, the last of the MOL2 file, {lacking}")
    names, places, elements, resids, resnames, charges = (list(column) for column in zip(*rows, strict=True))
    atoms = Atoms(
        texts(elements), texts(names), texts(resnames), numbers(resids), texts([""] * len(rows)),
        np.array(places, dtype=np.float64),
    )  # fmt: skip
    facts: dict[str, Any] = {
        "n_bonds": first.lines.get("BOND", 0),
        "molecule_type": head[2] if len(head) > 2 else None,
    }
    if all(charge is not None for charge in charges) and not first.lacking():
        kind = head[3] if len(head) > 3 else ""
        facts |= {"charge_type": kind or None, "net_charge_e": round(sum(charges), 4)}
    box, group = _crysin(first.sections.get("CRYSIN", []))
    facts |= group
    title = head[0] if head else ""
    return Structure("mol2", "Tripos MOL2", atoms, title, molecules, box, facts, tuple(missing))


def _molecules(path: Path) -> tuple[_Molecule, _Molecule, int]:
    """Give the first and the last molecule, and the number of all."""
    first = last = _Molecule()
    molecules, section = 0, ""
    for line in lines_of(path):
        if line.startswith("@<TRIPOS>"):
            section = line[9:].strip()
            if section == "MOLECULE":
                molecules += 1
                last = first if molecules == 1 else _Molecule()
        elif not molecules or line.startswith("#"):
            continue
        else:
            if molecules == 1 or section == "MOLECULE":
                kept = last.sections.setdefault(section, [])
                if len(kept) < MOST_ATOMS:
                    kept.append(line)
            last.lines[section] = last.lines.get(section, 0) + (len(line.split()) >= _LEAST.get(section, 1))
    return first, last, molecules


def _mol2_atom(line: str) -> tuple[str, tuple[float, float, float], str, int, str, float | None] | None:
    words = line.split()
    try:
        place = (float(words[2]), float(words[3]), float(words[4]))
        element = _element_of_type(words[5])
        resid = int(words[6]) if len(words) > 6 and words[6].lstrip("-").isdigit() else 1
        charge = float(words[8]) if len(words) > 8 else None
    except (ValueError, IndexError):
        return None
    resname = words[7] if len(words) > 7 else ""
    bare = resname.removesuffix(str(resid))
    return words[1], place, element, resid, bare if bare.isalpha() and len(bare) > 1 else resname, charge


def _element_of_type(kind: str) -> str:
    """Give the element of an atom type: of Tripos (C.ar, Cl), or of AMBER and GAFF, whose second letter is no symbol."""
    word = kind.split(".")[0]
    if "." in kind or len(word) < 2 or (word != word.upper() and word != word.lower()):
        return element_of(word)
    if word[:2].upper() in ("CL", "BR"):
        return element_of(word[:2])
    return element_of(word[0]) if word[0].upper() in "CHNOSPFI" else ""


def _crysin(lines: list[str]) -> tuple[FloatArray | None, dict[str, Any]]:
    words = lines[0].split() if lines else []
    try:
        box = vectors_of(*(float(word) for word in words[:6])) if len(words) >= 6 else None
    except ValueError:
        return None, {}
    number = int(words[6]) if len(words) > 6 and words[6].isdigit() else 0
    group = gemmi.find_spacegroup_by_number(number) if 0 < number < 231 else None
    return box, {
        "spacegroup": {"hermann_mauguin": group.hm, "number": group.number}
    } if group is not None else {}


def read_prmtop(path: Path) -> Structure:
    """Read an AMBER topology, which has no positions. Raises `Unreadable` where it has no names of atoms."""
    wanted = ("TITLE", "CTITLE", "POINTERS", "ATOM_NAME", "RESIDUE_LABEL", "RESIDUE_POINTER", "ATOMIC_NUMBER", "CHARGE",
              "MASS", "BOX_DIMENSIONS")  # fmt: skip
    flags, counts = _prmtop_flags(path, wanted)
    pointers = whole_numbers(flags.get("POINTERS", []))
    names = [name.strip() for name in flags.get("ATOM_NAME", [])]
    if len(pointers) < 12 or not names or pointers[0] < 1:
        raise Unreadable(
            "The AMBER topology ends before the names of its atoms, or they cannot be read. Upload the whole file."
        )
    missing = _lacking(pointers, counts)
    expected = pointers[0]
    names = names[:expected]
    labels = [label.strip() for label in flags.get("RESIDUE_LABEL", [])]
    begins = whole_numbers(flags.get("RESIDUE_POINTER", []))
    resids, resnames = _spread(labels, begins, len(names))
    atoms = with_guessed_elements(names, resnames, resids, texts([""] * len(names)), None)
    atomic = whole_numbers(flags.get("ATOMIC_NUMBER", []))
    guessed = len(atomic) < len(names)
    if not guessed:
        symbols = [gemmi.Element(number).name if 0 < number < 119 else "" for number in atomic[: len(names)]]
        atoms = Atoms(texts(symbols), atoms.names, atoms.resnames, atoms.resids, atoms.chains, None)
    facts: dict[str, Any] = {"n_bonds": pointers[2] + pointers[3]}
    if guessed:
        facts["elements_are_guessed"] = True
    for name, flag, unit in (("net_charge_e", "CHARGE", _AMBER_CHARGE), ("mass_dalton", "MASS", 1.0)):
        values = real_numbers(flags.get(flag, []))
        if len(values) >= expected:
            facts[name] = round(float(np.sum(values[:expected])) / unit, 3)
    box = real_numbers(flags.get("BOX_DIMENSIONS", []))
    vectors = _amber_box(box) if len(box) == 4 else None
    title = "".join(flags.get("TITLE") or flags.get("CTITLE") or []).strip()
    return Structure("prmtop", "AMBER topology", atoms, title, 0, vectors, facts, tuple(missing))


def _lacking(pointers: list[int], counts: dict[str, int]) -> list[str]:
    """Say which table of a topology has fewer values than its pointers say, the first one only."""
    atoms, types, residues = pointers[0], pointers[1], pointers[11]
    for flag, said in {
        "ATOM_NAME": atoms, "CHARGE": atoms, "MASS": atoms, "ATOM_TYPE_INDEX": atoms, "NUMBER_EXCLUDED_ATOMS": atoms,
        "NONBONDED_PARM_INDEX": types * types, "RESIDUE_LABEL": residues, "RESIDUE_POINTER": residues,
        "BONDS_INC_HYDROGEN": 3 * pointers[2], "BONDS_WITHOUT_HYDROGEN": 3 * pointers[3],
        "ANGLES_INC_HYDROGEN": 4 * pointers[4], "ANGLES_WITHOUT_HYDROGEN": 4 * pointers[5],
        "DIHEDRALS_INC_HYDROGEN": 5 * pointers[6], "DIHEDRALS_WITHOUT_HYDROGEN": 5 * pointers[7],
        "EXCLUDED_ATOMS_LIST": pointers[10], "AMBER_ATOM_TYPE": atoms, "JOIN_ARRAY": atoms, "IROTAT": atoms,
        **({"RADII": atoms, "SCREEN": atoms} if "RADII" in counts else {}),
    }.items():  # fmt: skip
        if counts.get(flag, 0) < said:
            words = flag.lower().replace("_", " ")
            return [
                f"The AMBER topology should have {said:,} values of “{words}” and has {counts.get(flag, 0):,}. "
                "Upload the whole file."
            ]
    return []


def _prmtop_flags(path: Path, wanted: tuple[str, ...]) -> tuple[dict[str, list[str]], dict[str, int]]:
    """Give the fields of the wanted flags as texts, cut by the format before them, and the number of fields of all."""
    flags: dict[str, list[str]] = {}
    counts: dict[str, int] = {}
    flag, width = "", 0
    for line in lines_of(path):
        if line.startswith("%FLAG"):
            flag = line[5:].strip()
        elif line.startswith("%FORMAT"):
            found = re.search(r"\(\s*\d*\s*[aAiIeEfF]\s*(\d+)", line)
            width = int(found.group(1)) if found else 0
            flags.setdefault(flag, [])
        elif not line.startswith("%") and width:
            length = len(line.rstrip())
            counts[flag] = counts.get(flag, 0) - (-length // width)
            if flag in wanted and len(flags.get(flag, [])) < MOST_ATOMS:
                flags.setdefault(flag, []).extend(line[at : at + width] for at in range(0, length, width))
    return flags, counts


def _spread(labels: list[str], begins: list[int], count: int) -> tuple[list[int], list[str]]:
    """Give number and name of the residue of each atom, by the numbers, from 1, of the first atoms of residues."""
    resids, resnames = [0] * count, [""] * count
    for number, (label, begin, end) in enumerate(
        zip(labels, begins, [*begins[1:], count + 1], strict=False), start=1
    ):
        for at in range(max(begin - 1, 0), min(end - 1, count)):
            resids[at], resnames[at] = number, label
    return resids, resnames


def _amber_box(values: list[float]) -> FloatArray | None:
    beta, a, b, c = values
    try:
        # A truncated octahedron has all its angles alike (109.47°); other boxes are right-angled but for beta.
        return vectors_of(a, b, c, *((beta,) * 3 if abs(beta - 109.47) < 0.1 else (90.0, beta, 90.0)))
    except ValueError:
        return None
