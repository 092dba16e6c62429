"""Reads formats that list atoms by column: GROMACS .gro, XYZ, Tripos MOL2 and AMBER topologies.

Promises the first frame or molecule and the count of all, whatever the size, and says what a file that was cut should
hold. Formats: GROMACS reference manual, "gro file format"; Tripos Mol2 File Format (2005); AMBER "prmtop" format page.
"""

import re
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gemmi
import numpy as np

from .cells import vectors_of
from .composition import Atoms, FloatArray, TextArray, guess_elements, residue_starts
from .outcome import Unreadable
from .structures import MOST_ATOMS, Structure, lines_of, numbers, shorten, texts

_ANGSTROM_PER_NM = 10.0
_AMBER_CHARGE = 18.2223  # charges of a topology are in units of e × 18.2223


def read_gro(path: Path) -> Structure:
    """Read a GROMACS .gro: the first frame, and how many there are. Raises `Unreadable` where no atom can be read."""
    lines = lines_of(path)
    title, said = next(lines, ""), next(lines, "")
    expected = _count(said, "line 2 of a .gro file")
    rows, places, stop = _gro_atoms(lines, min(expected, MOST_ATOMS))
    if not rows:
        raise Unreadable(
            f"The .gro file says {expected:,} atoms but line 3 is not one: “{shorten(stop)}”. Upload the file again."
        )
    missing, box, frames = [], None, 1
    if len(rows) < min(expected, MOST_ATOMS):
        why = f"line {len(rows) + 3:,} is “{shorten(stop)}”" if stop.strip() else "then the file ends"
        missing.append(
            f"The .gro file says {expected:,} atoms on its second line but has {len(rows):,}: {why}. "
            "Upload the whole file."
        )
    elif expected > MOST_ATOMS:
        missing.append(f"Only the first {MOST_ATOMS:,} of {expected:,} atoms were read.")
    else:
        box, told = _gro_box(next(lines, ""))
        missing += told
        frames, cut = _count_gro_frames(lines)
        missing += cut
    return _gro_structure(rows, places, title, box, frames, missing)


def _count(line: str, where: str) -> int:
    try:
        count = int(line.split()[0])
    except (ValueError, IndexError):
        raise Unreadable(
            f"A number of atoms was expected in {where}, but there is “{shorten(line)}”. Upload the file again."
        ) from None
    if count < 1:
        raise Unreadable(f"The file says that it has {count} atoms, so there is nothing to show.")
    return count


def _gro_atoms(lines: Iterator[str], most: int) -> tuple[list[tuple[int, str, str]], FloatArray, str]:
    """Read at most `most` atoms; give them, their positions in nm, and the line at which reading stopped, if any."""
    rows: list[tuple[int, str, str]] = []
    places, known = array("d"), dict[str, tuple[int, str, str]]()
    width, stop = 0, ""
    for line in lines:
        dots = [at for at, letter in enumerate(line[20:], start=20) if letter == "."] if not width else []
        width = width or (dots[1] - dots[0] if len(dots) >= 3 else 8)
        one, two, three = 20 + width, 20 + 2 * width, 20 + 3 * width
        try:
            if len(line) < three:
                raise ValueError(line)
            place = (float(line[20:one]), float(line[one:two]), float(line[two:three]))
            label = line[:15]
            row = known.get(label) or known.setdefault(
                label, (int(line[:5]), line[5:10].strip(), line[10:15].strip())
            )
        except ValueError:
            stop = line
            break
        rows.append(row)
        places.extend(place)
        if len(rows) == most:
            break
    return rows, np.frombuffer(places, dtype=np.float64).reshape(-1, 3), stop


def _gro_box(line: str) -> tuple[FloatArray | None, list[str]]:
    """Read the box, in nm as GROMACS writes it: the diagonal, then the rest; give vectors in ångström as rows."""
    values = _real(line.split())
    step = line.find(".", line.find(".") + 1) - line.find(".")
    if len(values) not in (3, 9) and step > 0:  # wide numbers touch
        values = _real([line[at : at + step] for at in range(0, len(line.rstrip()), step)])
    if len(values) not in (3, 9):
        told = f"“{shorten(line)}”" if line.strip() else "nothing"
        return None, [
            f"After its atoms the .gro file should have a box of 3 or 9 numbers, and has {told}. "
            "The atoms are shown without a box."
        ]
    xx, yy, zz, xy, xz, yx, yz, zx, zy = (*values, *[0.0] * 6)[:9]
    box = np.array([[xx, xy, xz], [yx, yy, yz], [zx, zy, zz]]) * _ANGSTROM_PER_NM
    return (box if abs(float(np.linalg.det(box))) > 0.0 else None), []


def _count_gro_frames(lines: Iterator[str]) -> tuple[int, list[str]]:
    """Count frames after the first; say so where the last one is cut."""
    frames = 1
    for _ in lines:
        said = next(lines, "")
        if not said.strip():
            break
        try:
            expected = int(said.split()[0])
        except ValueError:
            return frames, [f"After frame {frames} the .gro file goes on with something that is no frame."]
        found = sum(1 for _ in zip(range(expected + 1), lines, strict=False))
        if found < expected + 1:
            return frames, [
                f"Frame {frames + 1} of the .gro file should have {expected:,} atoms and a box, and has {found:,} lines."
            ]
        frames += 1
    return frames, []


def _gro_structure(
    rows: list[tuple[int, str, str]],
    places: FloatArray,
    title: str,
    box: FloatArray | None,
    frames: int,
    missing: list[str],
) -> Structure:
    resids, resnames, names = (list(column) for column in zip(*rows, strict=True))
    atoms = with_guessed_elements(
        names,
        resnames,
        resids,
        texts([""] * len(rows)),
        places * _ANGSTROM_PER_NM,
    )
    facts: dict[str, Any] = {"elements_are_guessed": True}
    if box is not None:
        facts["box_nm"] = [[round(value, 6) for value in row] for row in (box / _ANGSTROM_PER_NM).tolist()]
    return Structure("gro", "GROMACS structure", atoms, title.strip(), frames, box, facts, tuple(missing))


def with_guessed_elements(
    names: list[str], resnames: list[str], resids: list[int], chains: TextArray, positions: FloatArray | None
) -> Atoms:
    """Give atoms whose elements are guessed by their names, of a format that does not tell them."""
    empty = np.full(len(names), "", dtype="U2")
    bare = Atoms(empty, texts(names), texts(resnames), numbers(resids), chains, positions)
    starts = residue_starts(bare)
    alone = np.repeat(np.diff(np.append(starts, len(names))) == 1, np.diff(np.append(starts, len(names))))
    elements = guess_elements(names, resnames, alone.tolist())
    return Atoms(elements, bare.names, bare.resnames, bare.resids, chains, positions)


def read_xyz(path: Path) -> Structure:
    """Read an XYZ file: the first frame, and how many there are. Raises `Unreadable` where no atom can be read."""
    lines = lines_of(path)
    expected = _count(next(lines, ""), "line 1 of an XYZ file")
    title = next(lines, "").strip()
    symbols, places, stop = _xyz_atoms(lines, min(expected, MOST_ATOMS))
    if not symbols:
        raise Unreadable(
            f"The XYZ file says {expected:,} atoms but line 3 is not one: “{shorten(stop)}”. Upload the file again."
        )
    missing, frames = [], 1
    if len(symbols) < min(expected, MOST_ATOMS):
        why = f"line {len(symbols) + 3:,} is “{shorten(stop)}”" if stop.strip() else "then the file ends"
        missing.append(
            f"The XYZ file says {expected:,} atoms on its first line but has {len(symbols):,}: {why}. "
            "Upload the whole file."
        )
    elif expected > MOST_ATOMS:
        missing.append(f"Only the first {MOST_ATOMS:,} of {expected:,} atoms were read.")
    else:
        frames, missing = _count_xyz_frames(lines)
    elements = texts([element_of(symbol) for symbol in symbols])
    unknown = sorted(
        {symbol for symbol, element in zip(symbols, elements.tolist(), strict=True) if not element}
    )
    notes = (f"No element has the symbol {', '.join(unknown[:5])}.",) if unknown else ()
    empty = texts([""] * len(symbols))
    resids = numbers([0] * len(symbols))
    atoms = Atoms(elements, texts(symbols), empty, resids, empty, places)
    box = _lattice(title)
    said = re.search(r'title="([^"]*)"', title)
    title = said.group(1) if said else "" if box is not None else title
    return Structure("xyz", "XYZ", atoms, title, frames, box, {}, tuple(missing), notes)


def _xyz_atoms(lines: Iterator[str], most: int) -> tuple[list[str], FloatArray, str]:
    symbols: list[str] = []
    places, stop = array("d"), ""
    for line in lines:
        words = line.split(None, 4)
        try:
            x, y, z = (float(word.replace("D", "E")) for word in words[1:4])
        except ValueError:
            stop = line
            break
        symbols.append(words[0])
        places.extend((x, y, z))
        if len(symbols) == most:
            break
    return symbols, np.frombuffer(places, dtype=np.float64).reshape(-1, 3), stop


def _count_xyz_frames(lines: Iterator[str]) -> tuple[int, list[str]]:
    frames = 1
    for line in lines:
        if not line.strip():
            continue
        if not line.strip().isdigit():
            return frames, [
                f"After frame {frames:,} the XYZ file goes on with “{shorten(line)}” where a number of atoms was expected."
            ]
        found = sum(1 for _ in zip(range(int(line) + 1), lines, strict=False))
        if found < int(line) + 1:
            return frames, [
                f"Frame {frames + 1:,} of the XYZ file should have {int(line):,} atoms and has {max(found - 1, 0):,}."
            ]
        frames += 1
    return frames, []


def element_of(symbol: str) -> str:
    """Give the symbol of an element by its symbol in any case, its number, or a symbol with a number after it; or ""."""
    letters = re.match(r"[A-Za-z]{1,2}", symbol)
    number = int(symbol) if symbol.isascii() and symbol.isdigit() and len(symbol) <= 3 else 0
    name = gemmi.Element(number).name if 0 < number < 119 else letters.group() if letters else ""
    found = gemmi.Element(name).name if name else "X"
    return "" if found == "X" else found


def _lattice(comment: str) -> FloatArray | None:
    found = re.search(r'Lattice="([^"]*)"', comment, re.IGNORECASE)
    try:
        values = np.array([float(word) for word in found.group(1).split()] if found else [])
    except ValueError:
        return None
    if values.size != 9 or not np.isfinite(values).all() or abs(np.linalg.det(values.reshape(3, 3))) < 1e-9:
        return None
    return values.reshape(3, 3)


def read_mol2(path: Path) -> Structure:
    """Read a MOL2 file: the first molecule, and how many there are. Raises `Unreadable` where it has no atoms."""
    sections, molecules = _mol2_sections(path)
    head = [line.strip() for line in sections.get("MOLECULE", [])]
    expected = [int(word) for word in (head[1].split() if len(head) > 1 else []) if word.isdigit()]
    rows = [row for row in (_mol2_atom(line) for line in sections.get("ATOM", [])) if row is not None]
    said = expected[0] if expected else 0
    if not rows:
        raise Unreadable(
            f"The MOL2 file says {said:,} atoms but its ATOM section has none that can be read. Upload the whole file."
        )
    missing = []
    if said > len(rows):
        missing.append(f"The MOL2 file says {said:,} atoms but has {len(rows):,}. Upload the whole file.")
    bonds = sum(bool(line.strip()) and len(line.split()) >= 4 for line in sections.get("BOND", []))
    if len(expected) > 1 and expected[1] > bonds and not missing:
        missing.append(f"The MOL2 file says {expected[1]:,} bonds but has {bonds:,}. Upload the whole file.")
    names, places, elements, resids, resnames, charges = (list(column) for column in zip(*rows, strict=True))
    atoms = Atoms(
        texts(elements), texts(names), texts(resnames), numbers(resids), texts([""] * len(rows)),
        np.array(places, dtype=np.float64),
    )  # fmt: skip
    facts: dict[str, Any] = {"n_bonds": bonds, "molecule_type": head[2] if len(head) > 2 else None}
    if all(charge is not None for charge in charges) and not missing:
        kind = head[3] if len(head) > 3 else ""
        facts |= {"charge_type": kind or None, "net_charge_e": round(sum(charges), 4)}
    box, group = _crysin(sections.get("CRYSIN", []))
    facts |= group
    title = head[0] if head else ""
    return Structure("mol2", "Tripos MOL2", atoms, title, molecules, box, facts, tuple(missing))


def _mol2_sections(path: Path) -> tuple[dict[str, list[str]], int]:
    """Give the sections of the first molecule by name, and the number of molecules."""
    sections: dict[str, list[str]] = {}
    molecules, section = 0, ""
    for line in lines_of(path):
        if line.startswith("@<TRIPOS>"):
            section = line[9:].strip()
            molecules += section == "MOLECULE"
            if molecules == 1:
                sections.setdefault(section, [])
        elif molecules == 1 and len(sections[section]) < MOST_ATOMS and not line.startswith("#"):
            sections[section].append(line)
    return sections, molecules


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
    flags = _prmtop_flags(path, wanted)
    pointers = _whole(flags.get("POINTERS", []))
    names = [name.strip() for name in flags.get("ATOM_NAME", [])]
    if len(pointers) < 12 or not names or pointers[0] < 1:
        raise Unreadable(
            "The AMBER topology ends before the names of its atoms, or they cannot be read. Upload the whole file."
        )
    expected, residues = pointers[0], pointers[11]
    missing: list[str] = []
    names = names[:expected]
    labels, begins = (
        [label.strip() for label in flags.get("RESIDUE_LABEL", [])],
        _whole(flags.get("RESIDUE_POINTER", [])),
    )
    for what, found, said in (("names of atoms", names, expected), ("residues", labels, residues),
                              ("charges", flags.get("CHARGE", []), expected)):  # fmt: skip
        if len(found) < said and not missing:
            missing.append(
                f"The AMBER topology says {said:,} {what} but has {len(found):,}. Upload the whole file."
            )
    resids, resnames = _spread(labels, begins, len(names))
    atoms = with_guessed_elements(names, resnames, resids, texts([""] * len(names)), None)
    atomic = _whole(flags.get("ATOMIC_NUMBER", []))
    guessed = len(atomic) < len(names)
    if not guessed:
        symbols = [gemmi.Element(number).name if 0 < number < 119 else "" for number in atomic[: len(names)]]
        atoms = Atoms(texts(symbols), atoms.names, atoms.resnames, atoms.resids, atoms.chains, None)
    facts: dict[str, Any] = {"n_bonds": pointers[2] + pointers[3]}
    if guessed:
        facts["elements_are_guessed"] = True
    for name, flag, unit in (("net_charge_e", "CHARGE", _AMBER_CHARGE), ("mass_dalton", "MASS", 1.0)):
        values = _real(flags.get(flag, []))
        if len(values) >= expected:
            facts[name] = round(float(np.sum(values[:expected])) / unit, 3)
    box = _real(flags.get("BOX_DIMENSIONS", []))
    vectors = _amber_box(box) if len(box) == 4 else None
    title = "".join(flags.get("TITLE") or flags.get("CTITLE") or []).strip()
    return Structure("prmtop", "AMBER topology", atoms, title, 0, vectors, facts, tuple(missing))


def _prmtop_flags(path: Path, wanted: tuple[str, ...]) -> dict[str, list[str]]:
    """Give the fields of the wanted flags as texts, cut by the format that stands before them."""
    flags: dict[str, list[str]] = {}
    flag, width = "", 0
    for line in lines_of(path):
        if line.startswith("%FLAG"):
            flag = line[5:].strip()
        elif line.startswith("%FORMAT"):
            found = re.search(r"\(\s*\d*\s*[aAiIeEfF]\s*(\d+)", line)
            width = int(found.group(1)) if found else 0
            if flag in wanted:
                flags[flag] = []
        elif not line.startswith("%") and flag in flags and width and len(flags[flag]) < MOST_ATOMS:
            flags[flag] += [line[at : at + width] for at in range(0, len(line.rstrip()), width)]
    return flags


def _whole(fields: list[str]) -> list[int]:
    """Read whole numbers up to the first field that is none."""
    values = []
    for one in fields:
        try:
            values.append(int(one))
        except ValueError:
            break
    return values


def _real(fields: list[str]) -> list[float]:
    """Read numbers up to the first field that is none."""
    values = []
    for one in fields:
        try:
            values.append(float(one))
        except ValueError:
            break
    return values


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
