"""Reads topologies by MDAnalysis and picks the atoms that a trajectory is described by.

It promises one exception, `Unreadable`, for whatever a damaged file makes the library raise, and never writes.
"""

import re
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .outcome import Unreadable
from .sniff_gromacs import sniff_gromacs
from .text_encoding import encoding_of

# What MDAnalysis raises on files that are newer, cut or damaged: it unpacks without checking.
UNREADABLE = (
    OSError, ValueError, EOFError, LookupError, TypeError, AttributeError, AssertionError,
    ArithmeticError, MemoryError, StopIteration, RuntimeError, struct.error,
)  # fmt: skip
WATERS = frozenset(
    re.findall(
        r"\S+",
        "SOL WAT HOH H2O DOD TIP TIP3 TIP4 TIP5 TIP3P TIP4P TP3 TP4 T3P T4P T4E SPC SPCE OPC OP3 WTR W PW",
    )
)
IONS = frozenset(
    re.findall(
        r"\S+",
        "NA NA+ NA1 SOD CL CL- CL1 CLA K K+ POT LI LI+ LIT RB RB+ RUB CS CS+ CES MG MG2 MG2+ CA2 CA2+ CAL ZN ZN2 ZN2+ "
        "CU1 CU2+ BR BR- I I- F F- IB+ NA+2 CIO IP IM ION",
    )
)
_SUFFIXES = {".gro": "GRO", ".pdb": "PDB", ".ent": "PDB", ".psf": "PSF", ".tpr": "TPR"}
_SUFFIXES |= dict.fromkeys((".parm7", ".prmtop", ".top"), "PARM7")


@dataclass(frozen=True, slots=True)
class Choice:
    """The atoms that a trajectory is described by.

    `group` are indices into all atoms, those whose radius of gyration is told; `fitted` are indices into the group,
    those that are superposed; `starts` tell where in the group each molecule starts; `is_assembly` is True for
    proteins, whose chains belong together; `masses` are of the group, in Da, all 1 where none are known.
    """

    name: str
    fitted_name: str
    group: npt.NDArray[np.intp]
    fitted: npt.NDArray[np.intp]
    starts: list[int]
    is_assembly: bool
    masses: npt.NDArray[np.float64]
    has_masses: bool


def load_topology(path: Path) -> Any:
    """Read a topology as a universe of MDAnalysis.

    Raises
    ------
    Unreadable
        If it is of no known kind, or damaged.
    """
    import MDAnalysis  # optional: slow to load

    kind = _kind(path)
    if not kind:
        raise Unreadable(
            "The topology cannot be read: nothing in it is known. Upload a .tpr, .gro, .pdb, .psf or .parm7 file."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of guessed elements and masses, and fields a format lacks
        try:
            if kind == "TPR":
                from MDAnalysis.topology.TPRParser import TPRParser  # optional: slow to load

                return MDAnalysis.Universe(TPRParser(str(path)).parse())
            return MDAnalysis.Universe(str(path), topology_format=kind)
        except UNREADABLE as error:
            raise Unreadable(
                f"The topology looks like {kind} but cannot be read: it is cut, damaged or too new. Upload it again, "
                "or a .gro of the same atoms."
            ) from error


def _kind(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(4096)
    if encoding_of(head) == "utf-16":
        raise Unreadable(
            "The topology is a text in UTF-16, as PowerShell writes it, and is read in UTF-8. Upload it in that "
            "encoding (Get-Content FILE | Set-Content -Encoding utf8 NEW)."
        )
    if sniff_gromacs(head) == "tpr":
        return "TPR"
    if head.lstrip().startswith((b"%VERSION", b"%FLAG")):
        return "PARM7"
    kind = _SUFFIXES.get(path.suffix.lower(), "")
    return "" if kind in ("TPR", "PARM7") or b"\0" in head else kind


def choose(universe: Any) -> Choice:
    """Pick what to describe: the protein by its alpha carbons, else what is neither water nor ion, else all."""
    atoms = universe.atoms
    names = _names(atoms)
    protein = atoms[[]] if names is None else universe.select_atoms("protein")
    alphas = protein[protein.names == "CA"] if len(protein) and hasattr(protein, "names") else protein[[]]
    if len(alphas) >= 3:
        fitted = np.flatnonzero(np.isin(protein.indices, alphas.indices))
        return _choice(protein, fitted, "the protein", "alpha carbons", is_assembly=True)
    if names is not None:
        other = atoms[~np.isin(names, sorted(WATERS | IONS))]
        if not len(other):
            other = atoms[~np.isin(names, sorted(WATERS))]
        if len(other):
            everything = np.arange(len(other))
            return _choice(
                other, everything, "all but water and ions", "all but water and ions", is_assembly=False
            )
    return _choice(atoms, np.arange(len(atoms)), "all atoms", "all atoms", is_assembly=False)


def _names(atoms: Any) -> "npt.NDArray[np.str_] | None":
    """The names of the residues in capitals, or None where the topology has none."""
    if not hasattr(atoms, "resnames"):
        return None
    return np.char.upper(np.char.strip(np.asarray(atoms.resnames, dtype=str)))


def _choice(group: Any, fitted: Any, name: str, fitted_name: str, *, is_assembly: bool) -> Choice:
    molecules = _molecules(group, is_assembly=is_assembly)
    starts = [0, *(np.flatnonzero(np.diff(molecules)) + 1).tolist()]
    masses = np.asarray(getattr(group, "masses", np.zeros(len(group))), dtype=float)
    known = bool(np.isfinite(masses).all()) and float(masses.sum()) > 0.0
    return Choice(
        name=name,
        fitted_name=fitted_name,
        group=np.asarray(group.indices, dtype=np.intp),
        fitted=np.asarray(fitted, dtype=np.intp),
        starts=starts,
        is_assembly=is_assembly,
        masses=masses if known else np.ones(len(group)),
        has_masses=known,
    )


def _molecules(group: Any, *, is_assembly: bool) -> npt.NDArray[np.intp]:
    """A number for every atom that changes where a molecule ends: by the file's molecules, else chains or residues."""
    if hasattr(group, "molnums"):
        return np.asarray(group.molnums, dtype=np.intp)
    if is_assembly and hasattr(group, "chainIDs"):
        return np.unique(np.asarray(group.chainIDs, dtype=str), return_inverse=True)[1].astype(np.intp)
    return np.asarray(group.segindices if is_assembly else group.resindices, dtype=np.intp)
