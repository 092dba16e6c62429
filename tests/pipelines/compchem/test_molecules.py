"""Molecules are recognised from where their atoms are, within bounds, and written so that others can read them."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

from towpath.pipelines.compchem.science import molecules
from towpath.pipelines.compchem.science.molecules import (
    chemical_json,
    draw_structure,
    hill_formula,
    perceive,
    symbol,
    write_mol,
    write_xyz,
)


def build(smiles: str) -> tuple[list[int], Any, int]:
    """Atoms and places of a molecule, built by distance geometry and a force field: an oracle that knows the answer."""
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert rdDistGeom.EmbedMolecule(molecule, randomSeed=11) == 0
    rdForceFieldHelpers.MMFFOptimizeMolecule(molecule)
    numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
    return numbers, np.array(molecule.GetConformer().GetPositions()), Chem.GetFormalCharge(molecule)


KNOWN = [
    "O", "C#N", "CCO", "c1ccncc1", "CC(=O)Oc1ccccc1C(=O)O", "O=[N+]([O-])c1ccccc1", "C[N+](C)(C)C", "CC(=O)[O-]",
    "C[C@H](N)C(=O)O", "F/C=C/F", "COP(=O)(OC)OC", "CS(=O)(=O)Cl", "O.O", "c1ccc2ccccc2c1",
]  # fmt: skip


@pytest.mark.parametrize("smiles", KNOWN)
def test_bonds_are_found_from_places(smiles: str) -> None:
    numbers, positions, charge = build(smiles)
    structure = perceive(numbers, positions, charge)
    expected = Chem.MolFromSmiles(smiles)
    assert structure.ordered
    assert structure.notes == ()
    assert structure.smiles == Chem.MolToSmiles(expected)
    assert structure.inchikey == Chem.MolToInchiKey(expected)


def test_turning_and_shuffling_change_no_name() -> None:
    numbers, positions, charge = build("CC(=O)Oc1ccccc1C(=O)O")
    order = np.random.default_rng(3).permutation(len(numbers))
    turn, _ = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    turned = perceive([numbers[k] for k in order], (positions @ turn + 5.0)[order], charge)
    assert turned.inchikey == perceive(numbers, positions, charge).inchikey == "BSYNRYMUTXBXSQ-UHFFFAOYSA-N"


def test_unpaired_electrons_are_kept() -> None:
    hydroxyl = perceive([8, 1], np.array([[0, 0, 0], [0, 0, 0.97]]), 0, 2)
    assert (hydroxyl.smiles, hydroxyl.notes) == ("[OH]", ())
    oxygen = perceive([8, 8], np.array([[0, 0, 0], [0, 0, 1.21]]), 0, 3)
    assert oxygen.smiles == "O=O"
    assert "0 unpaired electrons, where the calculation has 2" in oxygen.notes[0]


def test_what_has_no_orders_keeps_its_connections(tmp_path: Path) -> None:
    carbonyl = perceive([26, 6, 8], np.array([[0, 0, 0], [0, 0, 1.8], [0, 0, 2.95]]))
    assert (carbonyl.ordered, carbonyl.smiles, carbonyl.inchikey) == (False, "", "")
    assert "no bond orders fit" in carbonyl.notes[0]
    write_mol(tmp_path / "a.mol", carbonyl, "carbonyl")
    bonds = [line.split() for line in (tmp_path / "a.mol").read_text(encoding="utf-8").splitlines()[7:9]]
    assert [bond[2] for bond in bonds] == ["8", "8"]  # any order, in a mol file
    assert draw_structure(tmp_path / "a.mol", tmp_path / "a.png")
    assert imread(tmp_path / "a.png").min() < 0.5


def chain(count: int) -> tuple[list[int], Any]:
    """A chain of carbon atoms, 1.5 Å apart."""
    along = np.arange(count)
    return [6] * count, np.column_stack([1.25 * along, 0.8 * (along % 2), 0.0 * along])


def test_large_molecules_are_not_sought_for_long() -> None:
    connected = perceive(*chain(molecules.MOST_ORDERED + 1))
    assert connected.molecule is not None
    assert connected.molecule.GetNumBonds() == molecules.MOST_ORDERED
    assert "more than 100 atoms" in connected.notes[0]
    huge = perceive(*chain(molecules.MOST_CONNECTED + 1))
    assert huge.molecule is None
    assert "more than 2000 atoms" in huge.notes[0]


def test_dummies_and_heaps_are_no_molecules() -> None:
    assert "dummy" in perceive([0, 6], np.zeros((2, 3))).notes[0]
    heap = perceive([7] * 30, np.random.default_rng(5).normal(scale=0.6, size=(30, 3)))
    assert not heap.ordered
    assert heap.notes


@pytest.mark.parametrize(
    ("numbers", "formula"),
    [([8, 1, 1], "H2O"), ([1, 6, 7], "CHN"), ([17, 11], "ClNa"), ([6] * 10 + [1] * 10, "C10H10"), ([0, 2], "He"),
     ([35, 6, 1, 1, 1], "CH3Br"), ([], "")],
)  # fmt: skip
def test_formulas_are_in_the_order_of_hill(numbers: list[int], formula: str) -> None:
    assert hill_formula(numbers) == formula


def test_symbols_end_with_the_table() -> None:
    assert [symbol(number) for number in (1, 26, 118, 0, 119, -1)] == ["H", "Fe", "Og", "X", "X", "X"]


def test_files_are_read_by_others(tmp_path: Path) -> None:
    numbers, positions, charge = build("CC(=O)[O-]")
    structure = perceive(numbers, positions, charge)
    write_xyz(tmp_path / "a.xyz", numbers, positions, "two\nlines")
    back = Chem.MolFromXYZFile(str(tmp_path / "a.xyz"))
    assert [atom.GetAtomicNum() for atom in back.GetAtoms()] == numbers
    assert np.abs(back.GetConformer().GetPositions() - positions).max() < 1e-7
    write_mol(tmp_path / "a.mol", structure, "acetate\n" + "x" * 200)
    again = Chem.MolFromMolFile(str(tmp_path / "a.mol"), removeHs=True)
    assert Chem.MolToSmiles(again) == "CC(=O)[O-]"
    assert np.abs(again.GetConformer().GetPositions()[0] - positions[0]).max() <= 0.5e-4 + 1e-9
    with pytest.raises(ValueError, match="no bonds were found"):
        write_mol(tmp_path / "b.mol", perceive([0], np.zeros((1, 3))), "none")


def test_chemical_json_has_kekule_bonds() -> None:
    numbers, positions, charge = build("c1ccccc1")
    told = chemical_json(numbers, positions, perceive(numbers, positions, charge), {"totalCharge": 0})
    bonds = np.reshape(told["bonds"]["connections"]["index"], (-1, 2))
    lengths = [math.dist(positions[a], positions[b]) for a, b in bonds]
    assert sorted(told["bonds"]["order"]) == [1] * 9 + [2] * 3
    assert max(lengths) < 1.45
    assert told["formula"] == "C6H6"
    assert told["properties"] == {"totalCharge": 0}
    assert np.allclose(np.reshape(told["atoms"]["coords"]["3d"], (-1, 3)), positions, atol=1e-8)


def test_structures_too_large_or_broken_are_not_drawn(tmp_path: Path) -> None:
    write_mol(tmp_path / "long.mol", perceive(*chain(molecules.MOST_DRAWN + 1)), "long")
    assert not draw_structure(tmp_path / "long.mol", tmp_path / "long.png")
    assert not (tmp_path / "long.png").exists()
    (tmp_path / "none.mol").write_text("nothing\n", encoding="utf-8")
    with pytest.raises(ValueError, match="cannot be read"):
        draw_structure(tmp_path / "none.mol", tmp_path / "none.png")
