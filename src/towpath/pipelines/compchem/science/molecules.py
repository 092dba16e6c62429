"""Molecules from atoms in space: formula, bonds, SMILES and InChIKey, and files that other programs open.

Promises to end: bonds with orders are sought for small molecules only and with a bounded number of tries; where they
are not found, the molecule keeps its connections or none, and a note says so. Never guesses a charge.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rdkit import Chem, rdBase
from rdkit.Chem import rdDepictor, rdDetermineBonds, rdinchi
from rdkit.Chem.Draw import rdMolDraw2D

Floats = npt.NDArray[np.float64]

MOST_ORDERED = 100  # atoms for which bond orders are sought
MOST_CONNECTED = 2000  # atoms for which connections are sought
MOST_TRIES = 20_000
MOST_DRAWN = 200  # atoms that are legible in a drawing
PICTURE = (840, 560)  # pixels
ELEMENTS = Chem.GetPeriodicTable()
HEAVIEST = 118
ANY_BOND = Chem.MolFromSmarts("*~*").GetBondWithIdx(0)


@dataclass(frozen=True, slots=True)
class Structure:
    """What the positions of the atoms tell of a molecule.

    `molecule` is RDKit's, with hydrogens and positions, or None; `ordered` where its bonds have orders; `smiles`,
    `inchi` and `inchikey` are empty where they are not. `notes` say what could not be found and why.
    """

    molecule: Any | None
    ordered: bool = False
    smiles: str = ""
    inchi: str = ""
    inchikey: str = ""
    notes: tuple[str, ...] = ()


def symbol(number: int) -> str:
    """The symbol of an element, X for what is none (a ghost or dummy atom)."""
    return str(ELEMENTS.GetElementSymbol(int(number))) if 1 <= number <= HEAVIEST else "X"


def hill_formula(numbers: Sequence[int]) -> str:
    """Sum formula in Hill's order: carbon, hydrogen, then by the alphabet; without carbon all by the alphabet.

    Hill, J. Am. Chem. Soc. 22, 478 (1900). Dummy atoms are left out.
    """
    counts = Counter(symbol(number) for number in numbers)
    del counts["X"]
    first = [name for name in ("C", "H") if name in counts] if "C" in counts else []
    order = first + sorted(set(counts) - set(first))
    return "".join(f"{name}{counts[name] if counts[name] > 1 else ''}" for name in order)


def perceive(numbers: Sequence[int], positions: Floats, charge: int = 0, multiplicity: int = 1) -> Structure:
    """Find the bonds of a molecule from where its atoms are.

    Bond orders are those of Kim and Kim, Bull. Korean Chem. Soc. 36, 1769 (2015), as RDKit has them.

    Parameters
    ----------
    numbers
        Atomic numbers, n.
    positions
        n by 3, in ångström.
    charge
        Of the whole molecule, in elementary charges.
    multiplicity
        2S + 1; above one, electrons may stay unpaired.
    """
    if not all(1 <= number <= HEAVIEST for number in numbers):
        return Structure(None, notes=("There are dummy atoms, so no bonds were sought.",))
    if len(numbers) > MOST_CONNECTED:
        return Structure(None, notes=(f"No bonds were sought: there are more than {MOST_CONNECTED} atoms.",))
    with rdBase.BlockLogs():
        connected = _connected(numbers, positions)
        if connected is None:
            return Structure(None, notes=("The atoms do not connect to a molecule that RDKit knows.",))
        if len(numbers) > MOST_ORDERED:
            note = f"Bonds have no orders and there is no SMILES: there are more than {MOST_ORDERED} atoms."
            return Structure(connected, notes=(note,))
        ordered = _ordered(connected, charge, multiplicity)
        if ordered is None:
            note = "Bonds have no orders and there is no SMILES: no bond orders fit the charge and the positions."
            return Structure(connected, notes=(note,))
        return _named(ordered, multiplicity)


def _bare(numbers: Sequence[int], positions: Floats) -> Any:
    """Atoms at their places, without bonds."""
    molecule = Chem.RWMol()
    conformer = Chem.Conformer(len(numbers))
    for k, (number, place) in enumerate(zip(numbers, positions.tolist(), strict=True)):
        atom = Chem.Atom(int(number))
        atom.SetNoImplicit(True)
        molecule.AddAtom(atom)
        conformer.SetAtomPosition(k, place)
    molecule.AddConformer(conformer)
    return molecule


def _connected(numbers: Sequence[int], positions: Floats) -> Any | None:
    """A molecule with connections, or None."""
    molecule = _bare(numbers, positions)
    try:
        rdDetermineBonds.DetermineConnectivity(molecule, useVdw=False)
    except (ValueError, RuntimeError):
        return None
    return molecule


def _ordered(connected: Any, charge: int, multiplicity: int) -> Any | None:
    """The molecule with bond orders, or None where none fit. Charges on atoms for singlets first, else unpaired electrons."""
    for charged in (True, False) if multiplicity == 1 else (False, True):
        molecule = Chem.RWMol(connected)
        try:
            rdDetermineBonds.DetermineBondOrders(
                molecule, charge=charge, allowChargedFragments=charged, maxIterations=MOST_TRIES
            )
            Chem.SanitizeMol(molecule)
        except (
            ValueError,
            RuntimeError,
        ):  # no order fits, or too many tries: RDKit's own errors derive from these
            continue
        unpaired = sum(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms())
        if Chem.GetFormalCharge(molecule) == charge and (unpaired > 0) <= (multiplicity > 1):
            return molecule
    return None


def _named(molecule: Any, multiplicity: int) -> Structure:
    """Names of a molecule with bond orders."""
    Chem.AssignStereochemistryFrom3D(molecule)
    unpaired = sum(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms())
    notes = []
    if unpaired != multiplicity - 1:
        notes.append(
            f"The drawn structure has {unpaired} unpaired electrons, where the calculation has {multiplicity - 1}."
        )
    smiles = Chem.MolToSmiles(Chem.RemoveHs(molecule))
    inchi = str(rdinchi.MolToInchi(molecule)[0])
    return Structure(
        molecule, True, smiles, inchi, str(rdinchi.InchiToInchiKey(inchi)) if inchi else "", tuple(notes)
    )


def write_xyz(path: Path, numbers: Sequence[int], positions: Floats, comment: str) -> None:
    """Write atoms in the XYZ format: count, one line of comment, then symbol and place in ångström."""
    lines = [str(len(numbers)), " ".join(comment.split())]
    for number, (x, y, z) in zip(numbers, positions.tolist(), strict=True):
        lines.append(f"{symbol(number):<2} {x:15.8f} {y:15.8f} {z:15.8f}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_mol(path: Path, structure: Structure, title: str) -> None:
    """Write a molecule as an MDL mol file with places in ångström (V3000 above 999 atoms); needs a molecule."""
    if structure.molecule is None:
        raise ValueError("a mol file needs a molecule: no bonds were found")
    molecule = Chem.Mol(structure.molecule)
    if not structure.ordered:
        molecule = Chem.RWMol(molecule)
        for k in range(molecule.GetNumBonds()):
            molecule.ReplaceBond(k, ANY_BOND)  # "8" of a mol file: a bond whose order is not known
    molecule.SetProp("_Name", " ".join(title.split())[:80])
    with rdBase.BlockLogs():
        block = Chem.MolToMolBlock(molecule, includeStereo=structure.ordered, kekulize=structure.ordered)
    path.write_text(block, encoding="utf-8")


def chemical_json(
    numbers: Sequence[int], positions: Floats, structure: Structure, properties: Mapping[str, Any]
) -> dict[str, Any]:
    """A molecule as Chemical JSON: Hanwell et al., J. Cheminformatics 9, 55 (2017).

    Parameters
    ----------
    numbers, positions, structure
        As of `perceive`.
    properties
        Further members of ``properties``, as ``totalCharge``.
    """
    told: dict[str, Any] = {
        "chemicalJson": 1,
        "name": hill_formula(numbers),
        "formula": hill_formula(numbers),
        "atoms": {
            "elements": {"number": [int(number) for number in numbers]},
            "coords": {"3d": [round(float(value), 8) for value in positions.ravel()]},
        },
        "properties": dict(properties),
    }
    if structure.molecule is not None:
        bonds = list(structure.molecule.GetBonds())
        connections = [[bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()] for bond in bonds]
        told["bonds"] = {"connections": {"index": [end for pair in connections for end in pair]}}
        if structure.ordered:
            kekule = Chem.Mol(structure.molecule)
            Chem.Kekulize(kekule, clearAromaticFlags=True)
            told["bonds"]["order"] = [int(bond.GetBondTypeAsDouble()) for bond in kekule.GetBonds()]
            told |= {"smiles": structure.smiles, "inchi": structure.inchi, "inchiKey": structure.inchikey}
    return told


def draw_structure(mol: Path, picture: Path) -> bool:
    """Draw the mol file `mol` flat, as chemists do, to the PNG `picture`; False where it is too large to be legible.

    Raises
    ------
    ValueError
        If the mol file cannot be read.
    """
    with rdBase.BlockLogs():
        molecule = Chem.MolFromMolFile(str(mol), sanitize=False, removeHs=False)
        if molecule is None:
            raise ValueError("the mol file cannot be read")
        whole = Chem.SanitizeMol(molecule, catchErrors=True) == Chem.SanitizeFlags.SANITIZE_NONE
        if whole:
            Chem.AssignStereochemistryFrom3D(molecule)
            molecule = Chem.RemoveHs(molecule)
            for bond in molecule.GetBonds():  # wedges of the file are about hydrogens that are not drawn
                bond.SetBondDir(Chem.BondDir.NONE)
        if not 0 < molecule.GetNumAtoms() <= MOST_DRAWN:
            return False
        rdDepictor.Compute2DCoords(molecule)
        canvas = rdMolDraw2D.MolDraw2DCairo(*PICTURE)
        options: Any = canvas.drawOptions()
        options.padding = 0.06
        options.fixedBondLength = 80
        options.prepareMolsBeforeDrawing = whole
        if not whole:
            molecule.UpdatePropertyCache(strict=False)
        canvas.DrawMolecule(molecule)
        canvas.FinishDrawing()
        picture.write_bytes(canvas.GetDrawingText())
    return True
