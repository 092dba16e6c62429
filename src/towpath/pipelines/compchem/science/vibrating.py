"""The harmonic vibrations of a molecule by a force field: wavenumbers, infrared intensities, thermochemistry.

A forward model for simulated output files: what is written there is known. MMFF94 as RDKit has it (Halgren, J. Comput. Chem.
17, 490 (1996)); the harmonic treatment is that of Wilson, Decius and Cross, Molecular Vibrations (1955), the partition
functions those of McQuarrie, Statistical Mechanics (1976), chapter 8.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

HARTREE_KCAL = 627.509474  # kcal/mol
AMU_ME = 1822.888486  # electron masses in one atomic mass unit
BOHR_ANGSTROM = 0.529177211
HARTREE_WAVENUMBER = 219474.6314  # cm-1
KM_MOL = 974.8801  # km/mol for one (e amu^-1/2)^2: N_A/(12 epsilon_0 c^2) e^2/amu
_BOLTZMANN = 3.166811563e-6  # hartree/K
_STEP = 1e-3  # angstrom, of the finite differences


@dataclass(frozen=True, slots=True)
class Vibrations:
    """A molecule at a minimum, and how it vibrates there.

    `positions` in ångström (n, 3), `energy` and `zero_point` in hartree, `enthalpy` (thermal correction) in hartree, `entropy` in
    cal/(mol K) at `temperature` K and 1 atm; `wavenumbers` in cm-1 ascending (the six or five lowest are zero),
    `intensities` in km/mol, `modes` (modes, atoms, 3) are Cartesian displacements, normalised.
    """

    symbols: tuple[str, ...]
    numbers: tuple[int, ...]
    masses: Array
    positions: Array
    energy: float
    wavenumbers: Array
    intensities: Array
    modes: Array
    zero_point: float
    enthalpy: float
    entropy: float
    temperature: float


def vibrate(smiles: str, *, seed: int = 1, temperature: float = 298.15) -> Vibrations:
    """The vibrations of a small molecule.

    Raises
    ------
    ValueError
        If it has no parameters in the force field, or no minimum was found.
    """
    from rdkit import Chem  # optional: slow to load
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers  # optional: slow to load

    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    rdDistGeom.EmbedMolecule(molecule, randomSeed=seed)
    properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(molecule)
    if properties is None:
        raise ValueError(f"{smiles}: the force field has no parameters for it")
    field = rdForceFieldHelpers.MMFFGetMoleculeForceField(molecule, properties)
    for _ in range(50):
        if field.Minimize(maxIts=2000, forceTol=1e-10, energyTol=1e-14) == 0:
            break
    positions = np.array(molecule.GetConformer().GetPositions(), dtype=float)
    masses = np.array([_isotope_mass(atom) for atom in molecule.GetAtoms()])
    charges = np.array([properties.GetMMFFPartialCharge(n) for n in range(molecule.GetNumAtoms())])
    hessian = _hessian(field, positions)
    wavenumbers, modes = _modes(hessian, masses, positions)
    derivative = np.einsum("mik,i->mk", modes / np.sqrt(masses)[None, :, None], charges)
    displacement = modes / np.sqrt(masses)[None, :, None]
    vibrating = wavenumbers > 1.0
    return Vibrations(
        tuple(atom.GetSymbol() for atom in molecule.GetAtoms()),
        tuple(atom.GetAtomicNum() for atom in molecule.GetAtoms()),
        masses,
        positions,
        float(field.CalcEnergy()) / HARTREE_KCAL,
        wavenumbers,
        np.where(vibrating, KM_MOL * (derivative**2).sum(axis=1), 0.0),
        displacement / np.linalg.norm(displacement, axis=(1, 2))[:, None, None],
        *_thermal(wavenumbers[vibrating], masses, positions, temperature),
        temperature,
    )


def _isotope_mass(atom: Any) -> float:
    from rdkit import Chem  # optional: slow to load

    table = Chem.GetPeriodicTable()
    return float(table.GetMostCommonIsotopeMass(atom.GetAtomicNum()))


def _hessian(field: Any, positions: Array) -> Array:
    """Second derivatives in hartree/bohr², by differences of the energy (RDKit scales its gradients)."""
    flat = positions.ravel()
    size = flat.size
    found = np.empty((size, size))

    def energy(first: int, second: int, signs: tuple[int, int]) -> float:
        moved = flat.copy()
        moved[first] += signs[0] * _STEP
        moved[second] += signs[1] * _STEP
        return float(field.CalcEnergy(moved.tolist()))

    for row in range(size):
        for column in range(row, size):
            corners = [energy(row, column, signs) for signs in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
            value = (corners[0] - corners[1] - corners[2] + corners[3]) / (4 * _STEP**2)
            found[row, column] = found[column, row] = value
    return found / HARTREE_KCAL * BOHR_ANGSTROM**2


def _modes(hessian: Array, masses: Array, positions: Array) -> tuple[Array, Array]:
    """Wavenumbers in cm-1, and mass-weighted modes; translations and rotations are projected out."""
    weights = np.repeat(np.sqrt(masses * AMU_ME), 3)
    outer = _external(masses, positions)
    inner = np.eye(weights.size) - outer @ outer.T
    values, vectors = np.linalg.eigh(inner @ (hessian / np.outer(weights, weights)) @ inner)
    wavenumbers = np.sign(values) * np.sqrt(np.abs(values)) * HARTREE_WAVENUMBER
    wavenumbers[np.abs(wavenumbers) < 1e-2] = 0.0
    order = np.argsort(wavenumbers)
    return wavenumbers[order], vectors.T[order].reshape(-1, len(masses), 3)


def _external(masses: Array, positions: Array) -> Array:
    """An orthonormal basis of translations and rotations in mass-weighted coordinates."""
    centred = positions - np.average(positions, axis=0, weights=masses)
    roots = np.sqrt(masses)[:, None]
    basis = [(roots * axis).ravel() for axis in np.eye(3)]
    basis += [(roots * np.cross(axis, centred)).ravel() for axis in np.eye(3)]
    left, values, _ = np.linalg.svd(np.array(basis).T, full_matrices=False)
    inside: Array = left[:, values > 1e-6 * values[0]]
    return inside


def _thermal(
    wavenumbers: Array, masses: Array, positions: Array, temperature: float
) -> tuple[float, float, float]:
    """Zero-point energy and thermal correction to the enthalpy in hartree, entropy in cal/(mol K), of a non-linear molecule."""
    heat = _BOLTZMANN * temperature
    ratio = wavenumbers / HARTREE_WAVENUMBER / heat
    zero_point = 0.5 * float((wavenumbers / HARTREE_WAVENUMBER).sum())
    vibration = float((heat * ratio / np.expm1(ratio)).sum())
    enthalpy = zero_point + vibration + 3.0 * heat + heat  # translation and rotation 3/2 kT each, and pV
    per_kelvin = 1.987204  # cal/(mol K)
    mass = float(masses.sum()) * 1.66053907e-27
    thermal = 1.380649e-23 * temperature
    volume = (2 * np.pi * mass * thermal / 6.62607015e-34**2) ** 1.5 * thermal / 101325.0
    centred = positions - np.average(positions, axis=0, weights=masses)
    inertia = np.einsum("i,ij,ik->jk", masses, centred, centred)
    moments = np.linalg.eigvalsh(np.trace(inertia) * np.eye(3) - inertia) * 1.66053907e-47
    rotation = np.sqrt(np.pi * np.prod(8 * np.pi**2 * moments * thermal / 6.62607015e-34**2))
    entropy = per_kelvin * (
        np.log(volume) + 2.5 + np.log(rotation) + 1.5
        + float((ratio / np.expm1(ratio) - np.log1p(-np.exp(-ratio))).sum())
    )  # fmt: skip
    return zero_point, enthalpy, float(entropy)
