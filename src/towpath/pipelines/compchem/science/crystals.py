"""Reads the CIF of a crystal: cell, space group, formula, the atoms of the whole cell, and their density.

Promises the content of the cell by symmetry, with occupancies, and compares it with the formula that the file states.
Formats: Hall, Allen & Brown (1991), Acta Cryst. A47, 655; symmetry by gemmi (Wojdyr 2022, JOSS 7, 4200).
"""

import re
from collections import Counter
from collections.abc import Mapping
from functools import reduce
from math import gcd
from pathlib import Path
from typing import Any

import gemmi
import numpy as np

from .cells import FloatArray, vectors_of
from .cif_text import number_of, read_cif, several_blocks, text_of
from .composition import Atoms, formula_of
from .macromolecules import GEMMI
from .outcome import Unreadable
from .structures import Structure, numbers, texts

DALTON_PER_ANGSTROM3 = 1.66053906660
"""Density in g/cm³ of one dalton in one Å³ (CODATA 2018)."""
MOST_SITES = 50_000
_CELL = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")


def read_crystal(path: Path) -> Structure:
    """Read the CIF of a crystal; the atoms given are those of the whole cell.

    Raises `Unreadable` where it has no cell or no atom with a position.
    """
    document, wrong = read_cif(path)
    blocks = [one for one in document if _has_atoms(one)]
    if not blocks:
        raise Unreadable(_no_atoms(document, wrong))
    block = blocks[0]
    small = gemmi.make_small_structure_from_block(block)
    box = _box_of(block, small, wrong)
    notes, missing = several_blocks(blocks), [wrong] if wrong else []
    if not _set_group(small):
        notes.append(
            "No symmetry is stated that can be understood, so the atoms are those of the list alone."
        )
    sites, occupancies = _cell_sites(small, notes)
    if not sites:
        raise Unreadable("No atom of the CIF has a position that can be read. Upload the file again.")
    facts = _facts(block, small, document, occupancies, abs(float(np.linalg.det(box))))
    missing += _compare(facts, bool(wrong))
    atoms = _atoms_of(sites, box)
    return Structure(
        "cif", "CIF of a crystal", atoms, _title(block), 1, box, facts, tuple(missing), tuple(notes), GEMMI
    )


def _has_atoms(block: gemmi.cif.Block) -> bool:
    return bool(len(block.find_values("_atom_site_fract_x")) or len(block.find_values("_atom_site_Cartn_x")))


def _no_atoms(document: gemmi.cif.Document, wrong: str) -> str:
    if any(
        len(block.find_values(tag))
        for block in document
        for tag in ("_refln_index_h", "_diffrn_refln_index_h")
    ):
        return (
            "The CIF holds reflections and no atoms. Upload the CIF of the refined structure for a picture."
        )
    return f"The CIF has no atoms with positions (_atom_site_fract_x). {wrong or 'Upload the CIF of the refined structure.'}"


def _box_of(block: gemmi.cif.Block, small: gemmi.SmallStructure, wrong: str) -> FloatArray:
    lacking = [name for name in _CELL if number_of(block, f"_cell_{name}") is None]
    try:
        if [name for name in lacking if name.startswith("length")]:
            raise ValueError
        return vectors_of(*small.cell.parameters)
    except ValueError:
        told = f"_cell_{lacking[0]} is absent" if lacking else f"{small.cell.parameters} has no volume"
        raise Unreadable(
            f"The CIF has atoms but no cell that can be used: {told}. {wrong or 'Upload the whole CIF.'}"
        ) from None


def _set_group(small: gemmi.SmallStructure) -> bool:
    """Find the space group: by the operations that the file lists, then by its symbols and its number."""
    try:
        small.determine_and_set_spacegroup("S.H2")
        if small.spacegroup is None:
            small.determine_and_set_spacegroup("H12N")
    except (ValueError, RuntimeError):
        return False
    return small.spacegroup is not None


def _cell_sites(
    small: gemmi.SmallStructure, notes: list[str]
) -> tuple[list[tuple[str, str, list[float]]], Counter[str]]:
    """Give element, label and fractional position of each atom of the cell, and the sum of occupancies by element."""
    small.setup_cell_images()
    finite = [site for site in small.sites if np.isfinite(site.fract.tolist()).all()]
    if len(finite) < len(small.sites):
        notes.append(f"{len(small.sites) - len(finite)} of {len(small.sites)} listed atoms have no position.")
    images = len(small.cell.images) + 1
    if len(finite) * images > MOST_SITES:
        raise Unreadable(
            f"The cell would have {len(finite) * images:,} atoms; up to {MOST_SITES:,} are drawn. "
            "If this is a macromolecule, upload its mmCIF."
        )
    sites, occupancies = [], Counter[str]()
    seen: set[tuple[object, ...]] = set()
    for site in small.get_all_unit_cell_sites():
        place = site.fract.tolist()
        if not np.isfinite(place).all():
            continue
        place = [round(value % 1.0, 6) % 1.0 for value in place]
        name = site.element.name if site.element.name != "X" else ""
        occupancies[name] += site.occ  # type: ignore[assignment] # occupancies are fractions
        key = (name, *(round(value * 2000) % 2000 for value in place))
        if key not in seen:
            seen.add(key)
            sites.append((name, site.label, place))
    return sites, occupancies


def _facts(
    block: gemmi.cif.Block,
    small: gemmi.SmallStructure,
    document: gemmi.cif.Document,
    occupancies: Mapping[str, float],
    volume: float,
) -> dict[str, Any]:
    content = {name: count for name, count in _hill(occupancies) if name}
    whole = {name: round(count) for name, count in content.items()}
    is_whole = all(abs(count - whole[name]) < 0.05 and whole[name] for name, count in content.items())
    stated = _stated_formula(text_of(block, "_chemical_formula_sum"))
    z = number_of(block, "_cell_formula_units_Z")
    z_found = _formula_units(whole if is_whole else content, stated)
    mass = sum(gemmi.Element(name).weight * count for name, count in content.items())
    facts: dict[str, Any] = {
        "cell_content": {name: round(count, 3) for name, count in content.items()},
        "z": int(z) if z else z_found,
        "z_of_content": z_found,
        "density_g_cm3": round(mass * DALTON_PER_ANGSTROM3 / volume, 4),
        "n_sites_listed": len(small.sites),
    }
    if stated:
        facts["formula_stated"] = formula_of({name: _tidy(count) for name, count in _hill(stated)})
    if is_whole and z_found:
        facts["formula"] = formula_of({name: count // z_found for name, count in whole.items()})
        if not stated:
            facts["formula_is_of_content"] = True
    facts |= _stated_facts(block, small)
    if any(abs(site.occ - 1.0) > 1e-3 for site in small.sites):
        facts["has_partial_occupancies"] = True
    if len(document) > 1:
        facts["n_blocks"] = len(document)
        facts["block"] = block.name
    return facts


def _stated_facts(block: gemmi.cif.Block, small: gemmi.SmallStructure) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if small.spacegroup is not None:
        group = small.spacegroup
        facts["spacegroup"] = {"hermann_mauguin": group.hm, "number": group.number, "hall": group.hall,
                               "crystal_system": group.crystal_system_str()}  # fmt: skip
    for name, tags in (
        ("density_stated_g_cm3", ("_exptl_crystal_density_diffrn", "_exptl_crystal_density_meas")),
        ("temperature_k", ("_diffrn_ambient_temperature", "_cell_measurement_temperature")),
        ("r_factor", ("_refine_ls_R_factor_gt", "_refine_ls_R_factor_all")),
        ("volume_stated_angstrom3", ("_cell_volume",)),
    ):
        if (value := number_of(block, *tags)) is not None:
            facts[name] = value
    for name, names in (
        ("chemical_name", ("_chemical_name_systematic", "_chemical_name_common", "_chemical_name_mineral")),
        ("cod_id", ("_cod_database_code",)),
        ("csd_id", ("_database_code_CSD", "_database_code_depnum_ccdc_archive")),
    ):  # fmt: skip
        if text := text_of(block, *names):
            facts[name] = text
    return facts


def _hill(counts: Mapping[str, float]) -> list[tuple[str, float]]:
    lead = [name for name in ("C", "H") if "C" in counts and counts.get(name)]
    return [(name, counts[name]) for name in [*lead, *sorted(set(counts) - set(lead))]]


def _stated_formula(text: str) -> dict[str, float]:
    """Read a formula as CIF writes it: "C2 H6 O1"."""
    found = re.findall(r"([A-Z][a-z]?)\s*([\d.]*)", text)
    return {
        name: float(count or 1) for name, count in found if gemmi.Element(name).name != "X" and count != "."
    }


def _formula_units(content: Mapping[str, float], stated: Mapping[str, float]) -> int | None:
    """Find how often the stated formula, or else the smallest one, is in the cell, by its rarest atom but hydrogen."""
    common = [name for name in stated if name not in ("H", "D") and content.get(name)]
    if common:
        ratio = float(np.median([content[name] / stated[name] for name in common]))
        return round(ratio) if ratio >= 0.5 else None
    counts = [count for count in content.values() if isinstance(count, int)]
    return reduce(gcd, counts) if counts and len(counts) == len(content) and not stated else None


def _tidy(count: float) -> Any:
    return int(count) if count == int(count) else round(count, 3)


def _compare(facts: Mapping[str, Any], is_cut: bool) -> list[str]:
    """Say where the cell lacks what the stated formula has; hydrogens are often not located and do not count."""
    stated, z = facts.get("formula_stated"), facts["z"] or facts["z_of_content"]
    if not stated or is_cut or not z:
        return []
    content = facts["cell_content"]
    for name, count in _stated_formula(str(stated)).items():
        expected, found = count * z, content.get(name, 0.0)
        if name not in ("H", "D") and found < 0.9 * expected - 0.5:
            return [
                f"The formula {stated} with {z} in the cell asks for {_tidy(expected)} {name}, and the listed atoms give "
                f"{_tidy(found)}. Upload the whole CIF if it was cut."
            ]
    return []


def _title(block: gemmi.cif.Block) -> str:
    return text_of(
        block,
        "_publ_section_title",
        "_chemical_name_mineral",
        "_chemical_name_common",
        "_chemical_name_systematic",
    ) or block.name.replace("_", " ")


def _atoms_of(sites: list[tuple[str, str, list[float]]], box: FloatArray) -> Atoms:
    elements, labels, places = (list(column) for column in zip(*sites, strict=True))
    count = len(sites)
    empty = texts([""] * count)
    return Atoms(
        texts(elements),
        texts(labels),
        empty,
        numbers([0] * count),
        empty,
        np.array(places) @ box,
    )
