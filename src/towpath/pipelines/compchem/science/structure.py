"""Reads a file of atomic structure: tells its format by content and gives metadata, a view, sequences and atoms.

Promises PARTIAL with what was expected and found for a file that was cut, FAILURE with what to do for anything else.
It never builds bonds, assigns charges or mends a structure.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .cells import describe_cell
from .composition import BoolArray, describe, fasta
from .coordinates import read_gro, read_xyz
from .crystals import read_crystal
from .macromolecules import read_mmcif, read_pdb
from .outcome import Outcome, Status, Unreadable, plain
from .sniff_structure import sniff_structure
from .structures import Structure, shorten
from .text_encoding import in_utf8
from .topologies import read_mol2, read_prmtop
from .view import write_view, write_xyz

HEAD_BYTES = 65_536
FARTHEST_ANGSTROM = 1e7
"""Coordinates beyond which an atom has no place."""
SMALL = 1_000
"""Atoms up to which a molecule is written as structure.xyz too."""
FORMATS: Mapping[str, Callable[[Path], Structure]] = {
    "gro": read_gro,
    "pdb": read_pdb,
    "mmcif": read_mmcif,
    "cif": read_crystal,
    "mol2": read_mol2,
    "xyz": read_xyz,
    "prmtop": read_prmtop,
}


def read_structure(files: Mapping[str, Sequence[Path]], folder: Path) -> Outcome:
    """Read a structure.

    Parameters
    ----------
    files : mapping
        Role "structure" to the path of the file; further paths are not read.
    folder : pathlib.Path
        Where to write ``metadata.json``; ``view.pdb`` or ``view.xyz`` (not of a topology alone); ``sequence.fasta`` where
        there are chains of amino or nucleic acids; ``structure.xyz`` of crystals (the whole cell) and small molecules.

    Returns
    -------
    Outcome
        SUCCESS, or PARTIAL where the file lacks some of what it says it has.

    Raises
    ------
    Unreadable
        The file has none of the formats, or no atom that can be read.
    """
    path = files["structure"][0]
    structure = _with_places(FORMATS[_format_of(path)](path))
    facts = _facts(structure)
    made = _write(structure, facts, folder)
    status = Status.PARTIAL if structure.missing else Status.SUCCESS
    outcome = Outcome(status, _sentence(structure, facts), made, facts, structure.parser)
    _write_metadata(outcome, folder)
    return outcome


def _format_of(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    found = sniff_structure(head)
    if found:
        return found
    head = in_utf8(head)
    if not head.strip():
        raise Unreadable("The file is empty. Upload it again.")
    first = head[:400].decode("utf-8", errors="replace").strip().split("\n")[0]
    text = not any(byte < 9 for byte in head[:4000])
    told = f"it begins with “{shorten(first, 40)}”" if text else "it is a binary file"
    raise Unreadable(
        f"The file is no structure that can be read: {told}. "
        "Expected are GROMACS .gro, PDB, mmCIF, CIF of a crystal, MOL2, XYZ or an AMBER topology with atoms."
    )


def _with_places(structure: Structure) -> Structure:
    """Leave out atoms whose positions are no numbers, as simulations write that blew up, and say so."""
    places = structure.atoms.positions
    if places is None:
        return structure
    good: BoolArray = np.all(np.abs(places) < FARTHEST_ANGSTROM, axis=1)  # false for what is not a number
    bad = int((~good).sum())
    if bad == 0:
        return structure
    if not good.any():
        raise Unreadable(
            "No atom has a position that is a finite number. Upload a structure before it blew up."
        )
    told = (
        f"{_plural(bad, 'atom')} of {len(good):,} have positions that are no finite numbers and are left out."
    )
    return replace(structure, atoms=structure.atoms.only(good), missing=(*structure.missing, told))


def _facts(structure: Structure) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "format": structure.format,
        "format_name": structure.format_name,
        "program": None,
        "program_version": None,
        "parser": dict(structure.parser),
        "title": structure.title,
        "n_molecules" if structure.format == "mol2" else "n_models": structure.frames,
    }
    facts |= describe(structure.atoms)
    if structure.format == "cif":
        facts["n_atoms_in_cell"] = facts["n_atoms"]
    if structure.box is not None:
        facts["cell"] = describe_cell(structure.box)
    if structure.atoms.positions is not None:
        spread = np.ptp(structure.atoms.positions, axis=0)
        facts["extent_angstrom"] = [round(float(value), 3) for value in spread]
    facts |= structure.facts
    return facts | {"missing": list(structure.missing), "notes": list(structure.notes)}


def _write(structure: Structure, facts: dict[str, Any], folder: Path) -> dict[str, str]:
    """Write what belongs to the structure, and add to the facts what the view leaves out."""
    made = {"metadata": "metadata.json"}
    atoms, title = structure.atoms, structure.title or structure.format_name
    if chains := [chain for chain in facts.get("chains", []) if chain["sequence"]]:
        (folder / "sequence.fasta").write_text(fasta(chains, title[:80]), encoding="utf-8")
        made["sequence"] = "sequence.fasta"
    if atoms.positions is None:
        return made
    resnames = (
        np.full(len(atoms), "UNL") if structure.format == "cif" else atoms.resnames
    )  # PDB alone has a cell
    columns = (atoms.elements, atoms.names, resnames, atoms.resids, atoms.chains, atoms.positions)
    view = write_view(folder / "view", *columns, box=structure.box, title=title)
    made["view"] = view.path.name
    facts["view"] = {"n_atoms": len(view.kept), "left_out": view.left_out or None}
    if structure.format == "cif" or (structure.format in ("mol2", "xyz", "pdb") and len(atoms) <= SMALL):
        write_xyz(folder / "structure.xyz", atoms.elements, atoms.positions, box=structure.box, title=title)
        made["xyz"] = "structure.xyz"
    return made


def _sentence(structure: Structure, facts: Mapping[str, Any]) -> str:
    if structure.missing:
        return " ".join(structure.missing)
    parts = [_content(structure, facts)]
    if structure.frames > 1:
        what = "molecules; the first is shown" if structure.format == "mol2" else "models; the first is shown"
        parts.append(f"The file has {structure.frames:,} {what}.")
    if structure.format == "prmtop":
        parts.append("A topology has no positions: upload a restart or trajectory with it for a picture.")
    return " ".join([*parts, *structure.notes])


def _content(structure: Structure, facts: Mapping[str, Any]) -> str:
    if structure.format == "cif":
        group = facts.get("spacegroup", {}).get("hermann_mauguin", "unknown space group")
        formula = facts.get("formula") or facts.get("formula_stated") or "unknown formula"
        return (
            f"Crystal of {formula}, {group}, Z = {facts['z'] or 'unknown'}, {facts['density_g_cm3']:.3f} g/cm³, "
            f"{facts['n_atoms']:,} atoms in the cell."
        )
    words = [f"{structure.format_name} of {_plural(facts['n_atoms'], 'atom')}"]
    chains = facts.get("chains", [])
    if chains:
        residues = sum(chain["n_residues"] for chain in chains)
        words.append(f"{_plural(len(chains), 'chain')} of {_plural(residues, 'residue')}")
    elif 0 < len(facts.get("formula", "")) < 40:
        words.append(facts["formula"])
    if water := facts.get("n_water_molecules"):
        words.append(f"{_plural(water, 'molecule')} of water")
    if ions := sum(facts.get("ions", {}).values()):
        words.append(_plural(ions, "ion"))
    return f"{', '.join(words)}."


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _write_metadata(outcome: Outcome, folder: Path) -> None:
    text = json.dumps(plain(outcome.facts), indent=1, allow_nan=False, ensure_ascii=False)
    (folder / "metadata.json").write_text(text, encoding="utf-8")
