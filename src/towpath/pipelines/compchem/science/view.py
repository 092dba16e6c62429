"""Writes a small file of atoms for an interactive viewer: PDB where atoms have residues, else XYZ.

Promises at most about two million bytes: water is left out first, then all of polymers but their trace, then hydrogens,
then whole residues; what was left out is said. It never changes a position.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase, digits

import numpy as np

from .cells import cell_of
from .composition import (
    LIPID,
    POLYMERS,
    WATER,
    Atoms,
    BoolArray,
    FloatArray,
    IntArray,
    TextArray,
    kind_of,
    residue_starts,
)

MOST_BYTES = 2_000_000
"""Largest view file."""
TRACE = ("CA", "P", "BB", "C4'", "C4*")
"""Names of the atoms, or beads, by which a polymer is traced."""

_PDB_LINE, _XYZ_LINE = 81, 48
_CHAIN_LETTERS = ascii_uppercase + ascii_lowercase + digits
_TRUNKS = ("PO4", "GL1", "ROH", "P", "C1", "C3", "N", "O3")


@dataclass(frozen=True, slots=True)
class View:
    """A view file that was written: `path`, the indices of the atoms in it, and what was left out ("" if nothing)."""

    path: Path
    kept: IntArray
    left_out: str


def write_view(
    path: Path,
    elements: TextArray,
    names: TextArray,
    resnames: TextArray,
    resids: IntArray,
    chains: TextArray,
    positions: FloatArray,
    *,
    box: FloatArray | None = None,
    title: str = "",
    most_bytes: int = MOST_BYTES,
) -> View:
    """Write a view of atoms.

    Parameters
    ----------
    path : pathlib.Path
        Where to write, without a suffix: ``.pdb`` is added, or ``.xyz`` where no atom has the name of a residue.
    elements, names, resnames, chains : numpy.ndarray of str
        Symbols of elements ("" where unknown), names of atoms and residues, identifiers of chains, shape (n,).
    resids : numpy.ndarray of int
        Numbers of residues, shape (n,).
    positions : numpy.ndarray
        Positions in ångström, shape (n, 3).
    box : numpy.ndarray, optional
        Vectors of the periodic cell in ångström, one a row, shape (3, 3).
    title : str
        What a viewer may show as title.
    most_bytes : int
        Largest size of the file.

    Returns
    -------
    View
        The path written, the indices of the atoms kept, shape (m,), and in words what was left out.
    """
    atoms = Atoms(elements, names, resnames, resids, chains, positions)
    has_residues = any(resnames.tolist())
    kept, left_out = _choose(atoms, most_bytes // (_PDB_LINE if has_residues else _XYZ_LINE), has_residues)
    lines = _pdb(atoms, kept, box, title) if has_residues else _xyz(atoms, kept, box, title)
    written = path.with_name(f"{path.name}.{'pdb' if has_residues else 'xyz'}")
    with written.open("w", encoding="ascii", errors="replace", newline="\n") as to:
        to.writelines(lines)
    return View(written, kept, left_out)


def write_xyz(
    path: Path, elements: TextArray, positions: FloatArray, *, box: FloatArray | None = None, title: str = ""
) -> None:
    """Write atoms as extended XYZ: positions in ångström, shape (n, 3); `box` has the cell vectors as rows."""
    empty = np.full(len(elements), "", dtype="U1")
    atoms = Atoms(elements, empty, empty, np.zeros(len(elements), dtype=np.int64), empty, positions)
    with path.open("w", encoding="utf-8", newline="\n") as to:
        to.writelines(_xyz(atoms, np.arange(len(elements)), box, title))


def _choose(atoms: Atoms, most: int, has_residues: bool) -> tuple[IntArray, str]:
    """Choose at most `most` atoms: all, or less and less of what matters least."""
    keep = np.ones(len(atoms), dtype=bool)
    left: list[str] = []
    for words, wanted in _reductions(atoms, has_residues):
        if keep.sum() <= most:
            break
        smaller = keep & wanted
        if 0 < smaller.sum() < keep.sum():
            keep = smaller
            left.append(words)
    if keep.sum() > most:
        every = int(np.ceil(keep.sum() / most))
        order = _residue_numbers(atoms) if has_residues else np.arange(len(atoms))
        thinned = keep & (order % every == 0)
        keep = thinned if 0 < thinned.sum() <= most else _first(keep, most)
        left.append(f"all but one in {every} residues" if has_residues else f"all but one in {every} atoms")
    return np.flatnonzero(keep).astype(np.int64), ", ".join(left)


def _reductions(atoms: Atoms, has_residues: bool) -> Iterator[tuple[str, BoolArray]]:
    hydrogen = np.isin(atoms.elements, ("H", "D"))
    if not has_residues:
        yield "hydrogens", ~hydrogen
        return
    kinds = _kinds(atoms.resnames)
    polymer = np.isin(kinds, POLYMERS)
    yield "water", kinds != WATER
    yield "all of polymers but their trace", ~polymer | np.isin(atoms.names, TRACE)
    yield "hydrogens", ~hydrogen
    yield "all of lipids but their heads", (kinds != LIPID) | np.isin(atoms.names, _TRUNKS)


def _kinds(resnames: TextArray) -> TextArray:
    unique, back = np.unique(resnames, return_inverse=True)
    return np.array([kind_of(str(name)) for name in unique.tolist()])[back]


def _residue_numbers(atoms: Atoms) -> IntArray:
    begins = np.zeros(len(atoms), dtype=np.int64)
    begins[residue_starts(atoms)] = 1
    return np.cumsum(begins) - 1


def _first(keep: BoolArray, most: int) -> BoolArray:
    first = np.zeros_like(keep)
    first[np.flatnonzero(keep)[:most]] = True
    return first


def _pdb(atoms: Atoms, kept: IntArray, box: FloatArray | None, title: str) -> Iterator[str]:
    if title:
        yield f"TITLE     {' '.join(title.split())[:70]}\n"
    if box is not None:
        a, b, c, alpha, beta, gamma = cell_of(box)
        yield f"CRYST1{_fit(a)}{_fit(b)}{_fit(c)}{alpha:7.2f}{beta:7.2f}{gamma:7.2f} P 1           1\n"
    letters: dict[str, str] = {}
    assert atoms.positions is not None
    columns = (atoms.elements, atoms.names, atoms.resnames, atoms.resids, atoms.chains)
    rows = zip(*(column[kept].tolist() for column in columns), atoms.positions[kept].tolist(), strict=True)
    for serial, (element, name, resname, resid, chain, (x, y, z)) in enumerate(rows, start=1):
        chain = chain if len(chain) <= 1 else letters.setdefault(chain, _letter(len(letters)))
        record = "ATOM  " if kind_of(resname) in POLYMERS else "HETATM"
        shown = name[:4] if len(name) >= 4 or len(element) == 2 else f" {name}"
        place = f"{_fit8(x)}{_fit8(y)}{_fit8(z)}"
        yield (
            f"{record}{serial % 100_000:5d} {shown:<4} {resname[:4]:<4}{chain or ' '}{resid % 10_000:4d}    "
            f"{place}  1.00  0.00          {element.upper():>2}\n"
        )
    yield "END\n"


def _letter(number: int) -> str:
    return _CHAIN_LETTERS[number % len(_CHAIN_LETTERS)]


def _fit(value: float) -> str:
    return f"{value:9.3f}"[:9]


def _fit8(value: float) -> str:
    return f"{value:8.3f}"[:8]


def _xyz(atoms: Atoms, kept: IntArray, box: FloatArray | None, title: str) -> Iterator[str]:
    words = " ".join(title.replace('"', "'").split())[:200]
    lattice = " ".join(f"{value:.6f}" for value in np.ravel(box)) if box is not None else ""
    told = f'Lattice="{lattice}" Properties=species:S:1:pos:R:3 title="{words}"' if lattice else words
    yield f"{len(kept)}\n{told}\n"
    assert atoms.positions is not None
    for element, (x, y, z) in zip(atoms.elements[kept].tolist(), atoms.positions[kept].tolist(), strict=True):
        yield f"{element or 'X':<2} {x:14.6f} {y:14.6f} {z:14.6f}\n"
