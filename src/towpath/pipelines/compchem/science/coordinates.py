"""Reads GROMACS .gro and XYZ: the first frame, and the count of all.

Promises bounded memory whatever the size, and says what a file that was cut should hold. Formats: GROMACS reference manual,
"gro file format"; the XYZ of XMol; the lattice and the columns of
extended XYZ: ASE's manual, "ase.io.extxyz".
"""

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from .composition import Atoms, FloatArray, element_of, with_guessed_elements
from .outcome import Unreadable
from .structures import MOST_ATOMS, Structure, lines_of, numbers, real_numbers, shorten, texts

_ANGSTROM_PER_NM = 10.0
_COLUMNS = re.compile(r"(?i:species|z|pos):|\w+:[SRIL]:\d")  # how Properties begin that name columns


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where the columns of an XYZ file have the symbol and begin to have the place of an atom; how many columns there are.

    `is_told` where the file says so itself.
    """

    symbol: int = 0
    place: int = 1
    count: int = 4
    is_told: bool = False


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
    values = real_numbers(line.split())
    step = line.find(".", line.find(".") + 1) - line.find(".")
    if len(values) not in (3, 9) and step > 0:  # wide numbers touch
        values = real_numbers([line[at : at + step] for at in range(0, len(line.rstrip()), step)])
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
    for title in lines:
        said = next(lines, "")
        if not said.strip() and not title.strip():
            break
        try:
            expected = int(said.split()[0])
        except (ValueError, IndexError):
            return frames, [f"After frame {frames} the .gro file goes on with something that is no frame."]
        found, box = _pass_over(lines, expected + 1)
        found -= found > expected and len(real_numbers(box.split())) < 3
        if found < expected + 1:
            return frames, [
                f"Frame {frames + 1} of the .gro file should have {expected:,} atoms and a box, and has {found:,} lines."
            ]
        frames += 1
    return frames, []


def _pass_over(lines: Iterator[str], count: int) -> tuple[int, str]:
    """Pass over lines; give how many there were, and the last one."""
    found, last = 0, ""
    for found, last in enumerate(islice(lines, count), start=1):  # noqa: B007 # both are given back
        pass
    return found, last


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


def read_xyz(path: Path) -> Structure:
    """Read an XYZ file: the first frame, and how many there are. Raises `Unreadable` where no atom can be read."""
    lines = lines_of(path)
    expected = _count(next(lines, ""), "line 1 of an XYZ file")
    title = next(lines, "").strip()
    columns = _columns_of(title)
    symbols, places, stop = _xyz_atoms(lines, min(expected, MOST_ATOMS), columns)
    few = columns.is_told and len(stop.split()) < columns.count
    told = f"“{shorten(stop)}”" + (
        f", and Properties on line 2 names {columns.count:,} columns" if few else ""
    )
    if not symbols:
        raise Unreadable(
            f"The XYZ file says {expected:,} atoms but line 3 is not one: {told}. Upload the file again."
        )
    missing, frames = [], 1
    if len(symbols) < min(expected, MOST_ATOMS):
        why = f"line {len(symbols) + 3:,} is {told}" if stop.strip() else "then the file ends"
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
    extended = box is not None or columns.is_told or 'title="' in title
    title = _said(title, "title") if extended else title
    return Structure("xyz", "XYZ", atoms, title, frames, box, {}, tuple(missing), notes)


def _said(comment: str, name: str) -> str:
    """Give what the comment of extended XYZ says under a name, plainly or in quotes or braces; "" where it says nothing."""
    found = re.search(
        rf"""(?:^|\s){name}\s*=\s*(?:"([^"]*)"|'([^']*)'|{{([^}}]*)}}|(\S*))""", comment, re.IGNORECASE
    )
    return next((one for one in found.groups() if one is not None), "").strip() if found else ""


def _columns_of(comment: str) -> _Columns:
    """Find atoms in the columns that extended XYZ names, else where XYZ has them. Raises `Unreadable` if they are not there."""
    said = _said(comment, "Properties")
    if not _COLUMNS.match(said):
        return _Columns()
    parts, at, read = said.split(":"), 0, 0
    names: dict[str, tuple[int, int]] = {}
    for name, kind, width in zip(parts[::3], parts[1::3], parts[2::3], strict=False):
        if kind not in ("S", "R", "I", "L") or not re.fullmatch(r"[1-9][0-9]{0,3}", width):
            break
        names.setdefault(name.lower(), (at, int(width)))
        at, read = at + int(width), read + 3
    symbol, symbols = names.get("species", names.get("z", (0, 0)))
    place, places = names.get("pos", (0, 0))
    if len(parts) != read:
        wrong = "are not all of the form name:type:number"
    elif places != 3:
        wrong = "have no positions"
    elif symbols != 1:
        wrong = "have no elements (species:S:1 or Z:I:1)"
    else:
        return _Columns(symbol, place, at, True)
    raise Unreadable(
        f"On line 2 of the XYZ file the columns of Properties, “{shorten(said)}”, {wrong}. "
        "Expected is such as Properties=species:S:1:pos:R:3. Write the file again."
    )


def _xyz_atoms(lines: Iterator[str], most: int, columns: _Columns) -> tuple[list[str], FloatArray, str]:
    symbols: list[str] = []
    places, stop = array("d"), ""
    for line in lines:
        words = line.split(None, columns.count)
        try:
            if len(words) < columns.count:
                raise ValueError(line)
            x, y, z = (float(word.replace("D", "E")) for word in words[columns.place : columns.place + 3])
        except ValueError:
            stop = line
            break
        symbols.append(words[columns.symbol])
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
        found, last = _pass_over(lines, int(line) + 1)
        found -= found > 1 and len(last.split()) < 4
        if found < int(line) + 1:
            return frames, [
                f"Frame {frames + 1:,} of the XYZ file should have {int(line):,} atoms and has {max(found - 1, 0):,}."
            ]
        frames += 1
    return frames, []


def _lattice(comment: str) -> FloatArray | None:
    try:
        values = np.array([float(word) for word in _said(comment, "Lattice").split()])
    except ValueError:
        return None
    if values.size != 9 or not np.isfinite(values).all() or abs(np.linalg.det(values.reshape(3, 3))) < 1e-9:
        return None
    return values.reshape(3, 3)
