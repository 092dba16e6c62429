"""A run of our own: what was asked of GROMACS is recovered from its files, and its energies are what it prints."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from towpath.pipelines.compchem.science.energies import read_energies
from towpath.pipelines.compchem.science.gmx import find_gmx
from towpath.pipelines.compchem.science.outcome import Status
from towpath.pipelines.compchem.science.sniff_gromacs import sniff_gromacs
from towpath.pipelines.compchem.science.tpr import read_tpr
from towpath.pipelines.compchem.science.trajectory import read_trajectory

GMX = find_gmx()
STEPS, STEP, TEMPERATURE, EVERY = 200, 0.002, 298.5, 20
TOPOLOGY = """#include "oplsaa.ff/forcefield.itp"
#include "oplsaa.ff/spce.itp"
[ system ]
Water
[ molecules ]
SOL 216
"""
PARAMETERS = f"""integrator = md
dt = {STEP}
nsteps = {STEPS}
nstxout-compressed = {EVERY}
nstenergy = {EVERY}
coulombtype = PME
rcoulomb = 0.85
rvdw = 0.85
tcoupl = v-rescale
tc-grps = System
tau-t = 0.1
ref-t = {TEMPERATURE}
gen-vel = yes
gen-temp = {TEMPERATURE}
gen-seed = 17
ld-seed = 17
"""


def gmx(folder: Path, *words: str, told: str = "") -> None:
    assert GMX is not None
    subprocess.run(
        [GMX, "-quiet", *words], cwd=folder, input=told, text=True, capture_output=True, check=True
    )


@pytest.mark.slow
@pytest.mark.usefixtures("gmx")
def test_a_box_of_water(tmp_path: Path) -> None:
    (tmp_path / "topol.top").write_text(TOPOLOGY)
    (tmp_path / "run.mdp").write_text(PARAMETERS)
    gmx(tmp_path, "solvate", "-cs", "spc216", "-box", "1.86206", "1.86206", "1.86206", "-o", "box.gro")
    gmx(tmp_path, "grompp", "-f", "run.mdp", "-c", "box.gro", "-p", "topol.top", "-o", "run.tpr")
    gmx(tmp_path, "mdrun", "-deffnm", "run", "-nt", "1")
    gmx(tmp_path, "energy", "-f", "run.edr", "-o", "out.xvg", told="Potential\nTemperature\nPressure\n\n")

    made = tmp_path / "made"
    made.mkdir()
    outcome = read_tpr({"tpr": [tmp_path / "run.tpr"]}, made)
    assert outcome.status is Status.SUCCESS
    main = outcome.facts["main_information"]
    assert main["simulation_length_ns"] == pytest.approx(STEPS * STEP / 1000)
    assert (main["simulation_time_step_ps"], main["number_of_steps"]) == (STEP, STEPS)
    assert main["reference_temperature_k"] == [TEMPERATURE]
    assert main["statistical_ensemble"] == "NVT (canonical)"
    assert [(one["name"], one["count"]) for one in main["molecules"]] == [("SOL", 216)]
    assert main["box"]["lengths_nm"] == pytest.approx([1.86206] * 3, abs=1e-5)
    assert outcome.facts["detailed_information"]["electrostatic_interactions"]["rcoulomb_nm"] == 0.85

    moving = read_trajectory({"topology": [tmp_path / "run.tpr"], "trajectory": [tmp_path / "run.xtc"]}, made)
    assert moving.status is Status.SUCCESS
    assert moving.facts["frames"] == STEPS // EVERY + 1
    assert moving.facts["time_between_frames_ps"] == pytest.approx(EVERY * STEP)
    assert moving.facts["box"]["volume_drift_percent"] == 0.0
    assert moving.facts["described_atoms"]["name"] == "all atoms"

    ours = read_energies({"energies": [tmp_path / "run.edr"]}, made)
    assert ours.status is Status.SUCCESS
    mine = np.genfromtxt(
        made / "energies.csv", delimiter=",", names=True, deletechars="", replace_space=" ", comments=None
    )
    theirs = read_energies({"energies": [tmp_path / "out.xvg"]}, made)
    printed = np.genfromtxt(made / "energies.csv", delimiter=",", skip_header=1, comments=None)
    assert [term["name"] for term in theirs.facts["terms"]] == ["Potential", "Temperature", "Pressure"]
    for i, name in enumerate(("Time (ps)", "Potential (kJ/mol)", "Temperature (K)", "Pressure (bar)")):
        assert mine[name] == pytest.approx(printed[:, i], rel=1e-6, abs=1e-5)
    assert sniff_gromacs((tmp_path / "run.log").read_bytes()[:4096]) == "gromacs log"
