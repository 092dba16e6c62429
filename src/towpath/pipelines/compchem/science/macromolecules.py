"""Reads PDB and macromolecular mmCIF: the first model by alternate A, the sequence that was declared, crystal and method.

Promises to keep atoms in the order of the file and residues apart whose numbers repeat, as they do in large solvated boxes;
it does not build bonds and does not read further models than the first. Formats: wwPDB, "Protein Data Bank Contents
Guide 3.30" (2012); wwPDB, PDBx/mmCIF dictionary 5.
"""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gemmi
import numpy as np

from .cells import vectors_of
from .cif_text import number_of, read_cif, several_blocks, text_of
from .composition import Atoms, FloatArray, element_of, gathered, with_guessed_elements
from .outcome import Unreadable
from .structures import MOST_ATOMS, Structure, lines_of, numbers, shorten, texts
from .text_encoding import end_of, open_bytes

GEMMI = {"name": "gemmi", "version": version("gemmi")}
_MOST_HEADER = 50_000
_MOST_CHAINS_TOLD = 8


@dataclass(slots=True)
class _Columns:
    """Columns of atoms while they are read."""

    names: list[str] = field(default_factory=list)
    resnames: list[str] = field(default_factory=list)
    resids: list[int] = field(default_factory=list)
    chains: list[str] = field(default_factory=list)
    insertions: list[str] = field(default_factory=list)
    elements: list[str] = field(default_factory=list)
    alternates: list[str] = field(default_factory=list)
    places: "array[float]" = field(default_factory=lambda: array("d"))


@dataclass(slots=True)
class _Pass:
    """What one pass over the lines of a PDB file found."""

    columns: _Columns = field(default_factory=_Columns)
    header: list[str] = field(default_factory=list)
    models: int = 0
    within_model: bool = False
    has_end: bool = False
    unreadable: int = 0
    first_unreadable: str = ""
    widest: int = 0
    last: str = ""
    last_is_unreadable: bool = False
    total: int = 0


def read_pdb(path: Path) -> Structure:
    """Read a PDB file. Raises `Unreadable` where it has no atom that can be read."""
    found = _read_lines(path)
    if not found.columns.names:
        raise Unreadable(
            "The PDB file has no line of an atom (ATOM or HETATM) that can be read; "
            f"its last line is “{shorten(found.last)}”. Upload the whole file."
        )
    atoms, alternates, guessed = _atoms_of(found.columns)
    declared = _declared(found.header)
    facts, title, box = _header_facts(found.header)
    facts |= _facts_of_reading(alternates, guessed, declared)
    missing = _missing_of_pdb(path, found, atoms, declared)
    return Structure("pdb", "PDB", atoms, title, max(found.models, 1), box, facts, tuple(missing), (), GEMMI)


def _read_lines(path: Path) -> _Pass:
    found = _Pass()
    for line in lines_of(path):
        if not line.strip():
            continue
        found.last, found.last_is_unreadable = line, False
        record = line[:6].rstrip()
        if record in ("ATOM", "HETATM"):
            found.total += found.models <= 1
            if found.models <= 1 and len(found.columns.names) < MOST_ATOMS:
                _read_atom(found, line)
        elif record == "MODEL":
            found.models += 1
            found.within_model = True
        elif record == "ENDMDL":
            found.within_model = False
        elif record == "END":
            found.has_end, found.within_model = True, False
        elif len(found.header) < _MOST_HEADER and record not in (
            "ANISOU",
            "TER",
            "CONECT",
            "SIGATM",
            "SIGUIJ",
        ):
            found.header.append(line[:100])
    return found


def _read_atom(found: _Pass, line: str) -> None:
    columns = found.columns
    try:
        place = (float(line[30:38]), float(line[38:46]), float(line[46:54]))
        if len(line) < 54 and line[30:54].count(".") == 3 and len(line.rstrip()) < 50:
            raise ValueError(line)
    except ValueError:
        found.unreadable += 1
        found.last_is_unreadable = True
        found.first_unreadable = found.first_unreadable or line
        return
    found.widest = max(found.widest, len(line))
    columns.places.extend(place)
    columns.names.append(line[12:16].strip())
    columns.alternates.append(line[16].strip())
    columns.resnames.append(line[17:21].strip())
    columns.chains.append(line[21].strip() or line[72:76].strip())
    wide = line[26].isdigit()  # CHARMM writes numbers of residues of five digits
    columns.insertions.append("" if wide else line[26].strip())
    try:
        columns.resids.append(int(line[22 : 27 if wide else 26]))
    except ValueError:
        columns.resids.append(columns.resids[-1] if columns.resids else 0)
    symbol = line[76:78].strip()
    columns.elements.append(element_of(symbol) if symbol.isalpha() else "")


def _atoms_of(columns: _Columns) -> tuple[Atoms, int, bool]:
    """Give atoms of the first alternate of each residue, the number left out, and whether elements were guessed."""
    keep = _first_alternates(columns)
    places = np.frombuffer(columns.places, dtype=np.float64).reshape(-1, 3)[keep]
    told = texts(columns.elements)[keep]
    chains, names = texts(columns.chains)[keep], texts(columns.names)[keep]
    resnames, resids = texts(columns.resnames)[keep], numbers(columns.resids)[keep]
    guessed = bool((told == "").any())
    if guessed:
        other = with_guessed_elements(names.tolist(), resnames.tolist(), resids.tolist(), chains, places)
        told = np.where(told == "", other.elements, told)
    insertions = texts(columns.insertions)[keep]
    atoms = gathered(Atoms(told, names, resnames, resids, chains, places, insertions))
    return atoms, len(columns.names) - len(atoms), guessed


def _first_alternates(columns: _Columns) -> np.ndarray[Any, np.dtype[np.bool_]]:
    keep = np.ones(len(columns.names), dtype=bool)
    first: dict[tuple[str, int, str], str] = {}
    for at, alternate in enumerate(columns.alternates):
        if alternate:
            residue = (columns.chains[at], columns.resids[at], columns.insertions[at])
            keep[at] = first.setdefault(residue, alternate) == alternate
    return keep


def _declared(header: list[str]) -> dict[str, list[str]]:
    """Give the residues that SEQRES declares, by chain."""
    declared: dict[str, list[str]] = {}
    for line in header:
        if line.startswith("SEQRES"):
            declared.setdefault(line[11:12].strip(), []).extend(line[19:70].split())
    return declared


def _header_facts(header: list[str]) -> tuple[dict[str, Any], str, FloatArray | None]:
    try:
        read = gemmi.read_pdb_string("\n".join([*header, "END", ""]))
    except (ValueError, RuntimeError):
        return {}, "", None
    info = dict(read.info)
    facts: dict[str, Any] = {}
    for name, tag in (("pdb_id", "_entry.id"), ("method", "_exptl.method"),
                      ("deposited", "_pdbx_database_status.recvd_initial_deposition_date"),
                      ("classification", "_struct_keywords.pdbx_keywords")):  # fmt: skip
        if info.get(tag):
            facts[name] = info[tag]
    if read.resolution > 0.0:
        facts["resolution_angstrom"] = round(float(read.resolution), 3)
    cell = read.cell.parameters
    box = _box(cell) if read.cell.is_crystal() else None
    if box is not None:
        facts |= _symmetry(read.spacegroup_hm, info.get("_cell.Z_PDB", ""))
    return facts, info.get("_struct.title", "").strip(), box


def _box(cell: tuple[float, float, float, float, float, float]) -> FloatArray | None:
    try:
        return vectors_of(*cell)
    except ValueError:
        return None


def _symmetry(name: str, z: str) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    group = gemmi.find_spacegroup_by_name(name) if name.strip() else None
    if group is not None:
        facts["spacegroup"] = {"hermann_mauguin": group.hm, "number": group.number}
    elif name.strip():
        facts["spacegroup"] = {"hermann_mauguin": name.strip(), "number": None}
    if z.strip().isdigit():
        facts["z"] = int(z)
    return facts


def _facts_of_reading(alternates: int, guessed: bool, declared: Mapping[str, list[str]]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if alternates:
        facts["n_alternate_atoms_left_out"] = alternates
    if guessed:
        facts["elements_are_guessed"] = True
    if declared:
        facts["declared_residues"] = {chain or "": len(names) for chain, names in declared.items()}
    return facts


def _missing_of_pdb(path: Path, found: _Pass, atoms: Atoms, declared: Mapping[str, list[str]]) -> list[str]:
    missing = []
    cut = not _ends_with_newline(path) and _is_cut(found)
    broken = found.unreadable - (cut and found.last_is_unreadable)
    absent = sorted(set(declared) - set(np.unique(atoms.chains).tolist())) if declared else []
    absent = [] if not any(atoms.chains.tolist()) else absent
    expected = _expected_chains(absent)
    if found.within_model and found.models > 1:
        missing.append(
            f"The PDB file ends within model {found.models}, without its ENDMDL; the first model is whole. "
            "Upload the whole file to get all models."
        )
    elif cut:
        missing.append(
            f"The PDB file breaks off within the line of an atom (“{shorten(found.last, 30)}”), "
            f"after {len(atoms):,} atoms{expected}; an END was expected. Upload the whole file."
        )
    elif found.within_model:
        missing.append(
            f"The PDB file ends within its model, without an ENDMDL, after {len(atoms):,} atoms{expected}. "
            "Upload the whole file."
        )
    elif (
        not found.has_end
        and any(line.startswith(("HEADER", "SEQRES")) for line in found.header)
        and not found.models
    ):
        missing.append(
            f"The PDB file has the header of an entry but no END: it has {len(atoms):,} atoms{expected}. "
            "Upload the whole file if it was cut."
        )
    elif absent:
        missing.append(
            f"SEQRES declares {_plural(len(absent), 'chain')} without any atom: {_few(absent)}. "
            "Upload the whole file if it was cut."
        )
    if broken:
        missing.append(
            f"{_plural(broken, 'line')} of atoms could not be read, the first is “{shorten(found.first_unreadable, 54)}”."
        )
    if found.total > MOST_ATOMS:
        missing.append(f"Only the first {MOST_ATOMS:,} of {found.total:,} atoms were read.")
    return missing


def _is_cut(found: _Pass) -> bool:
    """Tell whether the last line, which has no end, is a shorter line of an atom than others, or its beginning."""
    if found.last[:6].rstrip() in ("ATOM", "HETATM"):
        return found.last_is_unreadable or len(found.last) < found.widest
    return any(record.startswith(found.last.rstrip()) for record in ("ATOM", "HETAT"))


def _ends_with_newline(path: Path) -> bool:
    return end_of(path, 2)[-1:] in (b"\n", b"\r")


def _expected_chains(absent: list[str]) -> str:
    return (
        f", none of them of the declared {'chain' if len(absent) == 1 else 'chains'} {_few(absent)}"
        if absent
        else ""
    )


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _few(names: list[str]) -> str:
    more = len(names) - _MOST_CHAINS_TOLD
    return ", ".join(names[:_MOST_CHAINS_TOLD]) + (f" and {more} more" if more > 0 else "")


# --- mmCIF -----------------------------------------------------------------------------------------------------------


def read_mmcif(path: Path) -> Structure:
    """Read a macromolecular mmCIF file. Raises `Unreadable` where it has no atom that can be read."""
    document, wrong = read_cif(path)
    blocks = [one for one in document if len(one.find_values("_atom_site.Cartn_x"))]
    if not blocks:
        raise Unreadable(
            "The mmCIF file has no list of atoms with positions (_atom_site.Cartn_x). "
            f"{wrong or 'Upload the file of coordinates of the entry.'}"
        )
    block = blocks[0]
    columns, models, broken = _columns_of(block)
    if not columns.names:
        raise Unreadable("No atom of the mmCIF file has a position that can be read. Upload the file again.")
    atoms, alternates, guessed = _atoms_of(columns)
    declared = _declared_polymers(block)
    facts, title, box = _block_facts(block)
    facts |= _facts_of_reading(alternates, guessed, declared)
    missing = _missing_of_mmcif(path, wrong, broken, block, atoms, declared)
    return Structure(
        "mmcif",
        "mmCIF",
        atoms,
        title,
        models,
        box,
        facts,
        tuple(missing),
        tuple(several_blocks(blocks)),
        GEMMI,
    )


def _column(block: gemmi.cif.Block, count: int, *tags: str) -> list[str]:
    """Give the values of the first of the tags that is there, unquoted, "" where unknown."""
    for tag in tags:
        values = list(block.find_values(f"_atom_site.{tag}"))
        if len(values) == count:
            return [
                "" if one in ("?", ".") else one if one[0] not in "'\";" else gemmi.cif.as_string(one)
                for one in values
            ]
    return [""] * count


def _columns_of(block: gemmi.cif.Block) -> tuple[_Columns, int, int]:
    """Give the atoms of the first model, the number of models, and the number of atoms without a position."""
    count = len(block.find_values("_atom_site.Cartn_x"))
    of_model = _column(block, count, "pdbx_PDB_model_num")
    places = np.array([_positions(_column(block, count, f"Cartn_{axis}")) for axis in "xyz"]).T
    first = of_model[0] if of_model else ""
    chosen = [at for at in range(count) if of_model[at] == first][:MOST_ATOMS]
    finite = np.isfinite(places).all(axis=1)
    kept = [at for at in chosen if finite[at]]
    columns = _Columns()
    for name, tags in (("names", ("auth_atom_id", "label_atom_id")), ("resnames", ("auth_comp_id", "label_comp_id")),
                       ("chains", ("auth_asym_id", "label_asym_id")), ("insertions", ("pdbx_PDB_ins_code",)),
                       ("alternates", ("label_alt_id",)), ("elements", ("type_symbol",))):  # fmt: skip
        values = _column(block, count, *tags)
        setattr(columns, name, [values[at] for at in kept])
    columns.elements = [element_of(symbol) for symbol in columns.elements]
    resids = _column(block, count, "auth_seq_id", "label_seq_id")
    columns.resids = [int(resids[at]) if resids[at].lstrip("-").isdigit() else 0 for at in kept]
    columns.places = array("d", places[kept].ravel().tolist())
    return columns, len(set(of_model)), len(chosen) - len(kept)


def _positions(values: list[str]) -> list[float]:
    try:
        return [float(value or "nan") for value in values]
    except ValueError:
        return [float(gemmi.cif.as_number(value)) for value in values]


def _declared_polymers(block: gemmi.cif.Block) -> dict[str, list[str]]:
    """Give the sequence in one letter each of the polymers of the entry, by chain."""
    table = block.find("_entity_poly.", ["pdbx_strand_id", "pdbx_seq_one_letter_code_can"])
    declared: dict[str, list[str]] = {}
    for row in table:
        letters = "".join(row.str(1).split())
        for chain in row.str(0).split(","):
            if chain.strip():
                declared[chain.strip()] = list(letters)
    return declared


def _block_facts(block: gemmi.cif.Block) -> tuple[dict[str, Any], str, FloatArray | None]:
    facts: dict[str, Any] = {}
    for name, tags in (("pdb_id", ("_entry.id",)), ("method", ("_exptl.method",)),
                       ("deposited", ("_pdbx_database_status.recvd_initial_deposition_date",)),
                       ("classification", ("_struct_keywords.pdbx_keywords",))):  # fmt: skip
        if value := text_of(block, *tags):
            facts[name] = value
    resolution = number_of(
        block, "_refine.ls_d_res_high", "_em_3d_reconstruction.resolution", "_reflns.d_resolution_high"
    )
    if resolution:
        facts["resolution_angstrom"] = resolution
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    cell = [number_of(block, f"_cell.{name}") for name in names]
    a, b, c, alpha, beta, gamma = (value or 0.0 for value in cell)
    box = _box((a, b, c, alpha, beta, gamma)) if a > 1.0 else None
    if box is not None:
        group = text_of(block, "_symmetry.space_group_name_H-M", "_space_group.name_H-M_alt")
        facts |= _symmetry(group, text_of(block, "_cell.Z_PDB"))
    return facts, text_of(block, "_struct.title"), box


def _missing_of_mmcif(
    path: Path,
    wrong: str,
    broken: int,
    block: gemmi.cif.Block,
    atoms: Atoms,
    declared: Mapping[str, list[str]],
) -> list[str]:
    missing = [wrong] if wrong else []
    absent = sorted(set(declared) - set(np.unique(atoms.chains).tolist()))
    if not wrong and absent:
        missing.append(
            f"The mmCIF file declares {_plural(len(absent), 'chain')} without any atom: {_few(absent)}. "
            "Upload the whole file if it was cut."
        )
    elif not wrong and _loses_its_end(path):
        missing.append(
            f"The mmCIF file ends without the # that closes its tables, after {len(atoms):,} atoms. "
            "Upload the whole file if it was cut."
        )
    if broken:
        missing.append(
            f"{_plural(broken, 'atom')} of the mmCIF file {'has' if broken == 1 else 'have'} no position."
        )
    return missing


def _loses_its_end(path: Path) -> bool:
    """Tell whether tables of the file are closed by lines of #, but not the last one."""
    with open_bytes(path) as file:
        head = file.read(20_000)
    return head.count(b"\n#") >= 10 and end_of(path, 200).rstrip()[-1:] != b"#"
