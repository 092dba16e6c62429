"""Simulates records with files of computational chemistry, each in its real format, from models whose truth is kept.

Molecules vibrate in the MMFF94 force field and are told of as NWChem tells of a frequency calculation; a peptide fluctuates by
known amounts about a known path; a crystal has the cell that it was given. Nothing here is the result of those programs.
"""

import json
import logging
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .science.nwchem_output import nwchem_output, xyz
from .science.vibrating import vibrate

Array = npt.NDArray[np.float64]

MOLECULES = {"ethanol": "CCO", "caffeine": "Cn1cnc2c1c(=O)n(C)c(=O)n2C", "benzene": "c1ccccc1"}
PEPTIDE = "GAVLKSE"
BOX_NM = 6.0  # about the peptide


@dataclass(frozen=True, slots=True)
class Truth:
    """What was put into the files of a record, by name of file."""

    record: str
    files: dict[str, dict[str, Any]] = field(default_factory=dict)


def simulate(folder: Path, *, seed: int = 1) -> list[Truth]:
    """Write records into a folder, and what is true of them as `truth.json` beside it.

    Parameters
    ----------
    folder
        The folder of records; made if need be.
    seed
        Of all that is random.
    """
    folder.mkdir(parents=True, exist_ok=True)
    truths = [
        *(_molecule(folder / name, name, smiles, seed) for name, smiles in MOLECULES.items()),
        _peptide(folder / "peptide", seed),
        _crystal(folder / "halite"),
        _trouble(folder / "trouble", folder / "caffeine" / "caffeine.out"),
    ]
    if shutil.which("gmx"):
        truths.append(_water(folder / "water"))
    told = {truth.record: truth.files for truth in truths}
    (folder.parent / "truth.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
    return truths


# ---- molecules


def _molecule(folder: Path, name: str, smiles: str, seed: int) -> Truth:
    folder.mkdir(exist_ok=True)
    found = vibrate(smiles, seed=seed)
    (folder / f"{name}.out").write_text(nwchem_output(found, name), encoding="utf-8")
    (folder / f"{name}.xyz").write_text(xyz(found, name), encoding="utf-8")
    (folder / ".record.toml").write_text(f'title = "{name.capitalize()}: vibrations"\n', encoding="utf-8")
    truth = {
        "smiles": smiles,
        "energy_hartree": found.energy,
        "wavenumbers": found.wavenumbers[found.wavenumbers > 1.0].round(3).tolist(),
        "intensities": found.intensities[found.wavenumbers > 1.0].round(3).tolist(),
        "zero_point_hartree": found.zero_point,
        "entropy_cal_mol_k": found.entropy,
    }
    return Truth(name, {f"{name}.out": truth, f"{name}.xyz": {"atoms": len(found.symbols)}})


# ---- a peptide that moves


def _peptide(folder: Path, seed: int, frames: int = 40, interval_ps: float = 10.0) -> Truth:
    from rdkit import Chem  # optional: slow to load
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers  # optional: slow to load

    folder.mkdir(exist_ok=True)
    molecule = Chem.AddHs(Chem.MolFromSequence(PEPTIDE), addResidueInfo=True)
    rdDistGeom.EmbedMolecule(molecule, randomSeed=seed)
    rdForceFieldHelpers.MMFFOptimizeMolecule(molecule, maxIters=300)
    (folder / "peptide.pdb").write_text(Chem.MolToPDBBlock(molecule, flavor=4), encoding="utf-8")
    start = np.array(molecule.GetConformer().GetPositions(), dtype=float)
    spreads = np.linspace(0.0, 0.8, frames)  # ångström, of each coordinate about the path
    _write_trajectory(folder / "peptide.xtc", moved(start, spreads, seed), interval_ps)
    temperatures = _temperatures(frames, seed)
    (folder / "temperature.xvg").write_text(_xvg(temperatures, interval_ps), encoding="utf-8")
    (folder / ".record.toml").write_text('title = "A peptide in motion"\n', encoding="utf-8")
    return Truth(
        "peptide",
        {
            "peptide.pdb": {"sequence": PEPTIDE, "atoms": len(start)},
            "peptide.xtc": {
                "frames": frames,
                "interval_ps": interval_ps,
                "spreads_angstrom": spreads.tolist(),
            },
            "temperature.xvg": {"mean_k": float(temperatures.mean()), "rows": frames},
        },
    )


def moved(start: Array, spreads: Array, seed: int) -> Array:
    """Positions (frames, atoms, 3): turned and shifted as a whole, and spread about that by each frame's ångström."""
    random = np.random.default_rng(seed)
    found = []
    for number, spread in enumerate(spreads):
        angle = 0.1 * number
        turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        found.append(start @ turn.T + 0.2 * number + random.normal(0.0, 1.0, start.shape) * spread)
    return np.array(found)


def _write_trajectory(path: Path, frames: Array, interval_ps: float) -> None:
    logging.getLogger("MDAnalysis").setLevel(logging.ERROR)  # it tells of libraries that are not needed here
    from MDAnalysis.lib.formats.libmdaxdr import XTCFile  # optional: slow to load

    with XTCFile(str(path), "w") as file:
        for number, positions in enumerate(frames):
            file.write(positions / 10.0, BOX_NM * np.eye(3), number, number * interval_ps, 1000.0)


def _temperatures(frames: int, seed: int) -> Array:
    random = np.random.default_rng(seed + 1)
    value, found = 300.0, []
    for _ in range(frames):
        value += 0.2 * (300.0 - value) + random.normal(0.0, 2.0)
        found.append(value)
    return np.array(found)


def _xvg(values: Array, interval_ps: float) -> str:
    rows = [f"{number * interval_ps:12.6f}  {value:12.6f}" for number, value in enumerate(values)]
    head = [
        '@    title "Temperature"',
        '@    xaxis  label "Time (ps)"',
        '@    yaxis  label "(K)"',
        "@TYPE xy",
    ]
    return "\n".join(
        ["# simulated by towpath.pipelines.compchem.simulate", *head, '@ s0 legend "Temperature"', *rows, ""]
    )


# ---- a crystal


def _crystal(folder: Path) -> Truth:
    folder.mkdir(exist_ok=True)
    (folder / "halite.cif").write_text(HALITE, encoding="utf-8")
    (folder / ".record.toml").write_text('title = "Halite"\n', encoding="utf-8")
    return Truth(
        "halite", {"halite.cif": {"a_angstrom": 5.6402, "spacegroup": "F m -3 m", "formula": "ClNa"}}
    )


HALITE = """data_halite
_chemical_name_mineral Halite
_chemical_formula_sum 'Cl Na'
_symmetry_space_group_name_H-M 'F m -3 m'
_space_group_IT_number 225
_cell_length_a 5.6402
_cell_length_b 5.6402
_cell_length_c 5.6402
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_cell_formula_units_Z 4
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Na1 Na 0 0 0
Cl1 Cl 0.5 0.5 0.5
"""


# ---- what goes wrong


def _trouble(folder: Path, whole: Path) -> Truth:
    folder.mkdir(exist_ok=True)
    text = whole.read_text(encoding="utf-8")
    (folder / "cut.out").write_text(text[: len(text) // 2], encoding="utf-8")
    (folder / "broken.tpr").write_bytes(b"\x00\x00\x00\x0d\x00\x00\x00\x0cVERSION 2099" + bytes(200))
    (folder / "notes.txt").write_text("What we did on Tuesday.\n", encoding="utf-8")
    (folder / ".record.toml").write_text('title = "Files with troubles"\n', encoding="utf-8")
    return Truth(
        "trouble", {"cut.out": {"status": "PARTIAL"}, "broken.tpr": {"status": "FAILURE"}, "notes.txt": {}}
    )


# ---- a run input, where GROMACS is there to make one

BOX = "1.86206"  # nm, each side of a box of water
_STEP_PS, _STEPS = 0.002, 50_000
_MDP = {
    "integrator": "md", "dt": _STEP_PS, "nsteps": _STEPS, "tcoupl": "v-rescale", "tc-grps": "System", "tau-t": 0.5,
    "ref-t": 298.0, "pcoupl": "no", "coulombtype": "PME", "rcoulomb": 0.85, "rvdw": 0.85, "constraints": "h-bonds",
}  # fmt: skip
_TOPOLOGY = """#include "oplsaa.ff/forcefield.itp"
#include "oplsaa.ff/spce.itp"
[ system ]
Water
[ molecules ]
SOL 216
"""


def _water(folder: Path) -> Truth:
    """A box of 216 waters as GROMACS prepares it for a run."""
    folder.mkdir(exist_ok=True)
    work = folder / ".made"
    work.mkdir(exist_ok=True)
    (work / "run.mdp").write_text(
        "\n".join(f"{name} = {value}" for name, value in _MDP.items()) + "\n", encoding="utf-8"
    )
    (work / "topol.top").write_text(_TOPOLOGY, encoding="utf-8")
    for words in (
        ["solvate", "-cs", "spc216.gro", "-box", BOX, "-maxsol", "216", "-o", "box.gro"],
        ["editconf", "-f", "box.gro", "-center", *[str(float(BOX) / 2)] * 3, "-o", "water.gro"],
        ["grompp", "-f", "run.mdp", "-c", "water.gro", "-p", "topol.top", "-o", "water.tpr", "-maxwarn", "5"],
    ):
        subprocess.run(["gmx", *words], cwd=work, check=True, capture_output=True)
    (work / "water.tpr").rename(folder / "water.tpr")
    (work / "water.gro").rename(folder / "water.gro")
    shutil.rmtree(work)
    (folder / ".record.toml").write_text('title = "A box of water"\n', encoding="utf-8")
    length = _STEP_PS * _STEPS / 1000.0
    return Truth(
        "water",
        {
            "water.tpr": {"length_ns": length, "temperature_k": _MDP["ref-t"], "waters": 216},
            "water.gro": {"atoms": 648},
        },
    )
