"""What structures are made of: kinds of residues, letters, chains, elements; and the format told by the first bytes."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from towpath.pipelines.compchem.science.composition import (
    Atoms,
    describe,
    fasta,
    guess_elements,
    kind_of,
    letter_of,
    residue_starts,
)
from towpath.pipelines.compchem.science.sniff_structure import sniff_structure


def atoms_of(rows: list[tuple[str, str, int]], chains: list[str] | None = None) -> Atoms:
    names, resnames, resids = (list(column) for column in zip(*rows, strict=True))
    elements = np.array([str(name)[0] for name in names])
    return Atoms(
        elements, np.array(names), np.array(resnames), np.array(resids), np.array(chains or [""] * len(rows)), None
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind", "letter"),
    [
        ("ALA", "amino acid", "A"), ("HSD", "amino acid", "H"), ("CYX", "amino acid", "C"), ("NMET", "amino acid", "M"),
        ("MSE", "amino acid", "M"), ("LYSH", "amino acid", "K"), ("ACE", "amino acid", ""), ("DA", "nucleic acid", "A"),
        ("U", "nucleic acid", "U"), ("RG5", "nucleic acid", "G"), ("GUA", "nucleic acid", "G"), ("SOL", "water", "X"),
        ("HOH", "water", "X"), ("TIP3", "water", "X"), ("NA+", "ion", "X"), ("CLA", "ion", "X"), ("ZN", "ion", "X"),
        ("POPC", "lipid", "X"), ("XK2", "other", "X"), ("HEM", "other", "X"),
    ],
)  # fmt: skip
def test_kinds_and_letters_follow_force_fields_and_the_data_bank(name: str, kind: str, letter: str) -> None:
    assert kind_of(name) == kind
    if kind in ("amino acid", "nucleic acid"):
        assert letter_of(name) == letter


def test_residues_change_with_number_name_or_chain() -> None:
    atoms = atoms_of(
        [("N", "ALA", 1), ("CA", "ALA", 1), ("N", "GLY", 1), ("N", "GLY", 2), ("N", "GLY", 2)], list("AAAAB")
    )
    assert residue_starts(atoms).tolist() == [0, 2, 3, 4]


def test_chains_without_names_begin_where_numbers_fall() -> None:
    rows = [
        ("CA", name, number) for name, number in (("ALA", 1), ("GLY", 2), ("ALA", 1), ("TRP", 2), ("SOL", 3))
    ]
    facts = describe(atoms_of(rows))
    assert [(chain["id"], chain["sequence"]) for chain in facts["chains"]] == [("1", "AG"), ("2", "AW")]
    assert facts["n_water_molecules"] == 1
    assert {one["name"]: one["count"] for one in facts["molecules"]} == {"chain 1": 1, "chain 2": 1, "SOL": 1}
    assert (
        fasta(facts["chains"], "two") == ">1 protein, 2 residues, two\nAG\n>2 protein, 2 residues, two\nAW\n"
    )


def test_elements_are_guessed_by_name_and_residue() -> None:
    told = {
        ("CA", "ALA", False): "C", ("CA", "CA", True): "Ca", ("1HB", "ALA", False): "H", ("OW", "SOL", False): "O",
        ("MW", "SOL", False): "", ("NA", "NA+", True): "Na", ("NA", "HEM", False): "N", ("CL1", "LIG", False): "Cl",
        ("SE", "MSE", False): "Se", ("FE", "HEM", False): "Fe", ("Ar", "Ar", True): "Ar", ("C15", "LIG", False): "C",
        ("CA", "ALA", True): "C", ("CA", "MSE", True): "C", ("P", "DG", True): "P", ("NA", "Ion", True): "Na",
    }  # fmt: skip
    names, resnames, alone = (list(column) for column in zip(*told, strict=True))
    assert guess_elements(names, resnames, alone).tolist() == list(told.values())
    assert guess_elements(["BB", "SC1"], ["ALA", "ALA"], [False, False]).tolist() == ["", ""]


def test_formats_are_told_by_content() -> None:
    found = find_spec("MDAnalysisTests")
    assert found is not None and found.submodule_search_locations
    data = Path(found.submodule_search_locations[0]) / "data"
    for name, told in {
        "adk_oplsaa.gro": "gro", "two_water_gro_widebox.gro": "gro", "adk_open.pdb": "pdb", "4E43.pdb": "pdb",
        "nmr_neopetrosiamide.pdb": "pdb", "mmcif/1YJP.cif": "mmcif", "mol2/Molecule_comments_header.mol2": "mol2",
        "2r9r-1b.xyz": "xyz", "Amber/ache.prmtop": "prmtop", "bad_top.top": "", "adk_oplsaa.xtc": "", "test.edr": "",
        "tprs/2lyz_gmx_2021.tpr": "", "adk.psf": "", "lammps/wat.lammpstrj.bz2": "", "gromacs_ala10.top": "",
    }.items():  # fmt: skip
        assert sniff_structure((data / name).read_bytes()[:8192]) == told, name
    assert sniff_structure(b"data_x\n_cell_length_a 3\n") == "cif"
    assert sniff_structure(b"data analysis\nof a text\n1 2 3\n") == ""
    assert sniff_structure(b"3\r\n\r\nO 0 0 0\r\n") == "xyz"
