"""A run input gives the simulation that it starts, as GROMACS prints it; what cannot be read is said, never invented."""

import importlib.resources
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from towpath.pipelines.compchem.science import gmx, tpr
from towpath.pipelines.compchem.science.annotation import annotate, describe_box, read_dump
from towpath.pipelines.compchem.science.outcome import Outcome, Status, Unreadable
from towpath.pipelines.compchem.science.tpr import read_tpr
from towpath.pipelines.compchem.science.tpr_header import read_tpr_header

MDA = Path(str(importlib.resources.files("MDAnalysisTests") / "data"))
needs_gmx = pytest.mark.usefixtures("gmx")


def read(path: Path, folder: Path) -> Outcome:
    return read_tpr({"tpr": [path]}, folder)


@needs_gmx
def test_adenylate_kinase(tmp_path: Path) -> None:
    """The numbers stand in `gmx dump -s adk_oplsaa.tpr`, line by line as noted."""
    outcome = read(MDA / "adk_oplsaa.tpr", tmp_path)
    assert outcome.status is Status.SUCCESS
    assert outcome.sentence == (
        "GROMACS 4.0 run input of molecular dynamics over 100 ns in the NpT ensemble at 300 K: 1 × AKeco, "
        "11084 × SOL, 4 × NA+."
    )
    main: dict[str, Any] = outcome.facts["main_information"]
    assert main["title"] == "Adenylate Kinase (E. coli) in water (4AKE:A)"  # 187: name="Adenylate Kinase …
    assert main["simulation_time_step_ps"] == 0.002  # 5: dt = 0.002
    assert main["number_of_steps"] == 50_000_000  # 6: nsteps = 50000000
    assert main["simulation_length_ns"] == 100.0
    assert main["statistical_ensemble"] == "NpT (isothermal-isobaric)"
    assert main["reference_temperature_k"] == [300.0, 300.0]  # 167: ref-t: 300 300
    assert [main["reference_pressure_bar"][i][i] for i in range(3)] == [1.0, 1.0, 1.0]  # 71 to 74
    assert main["number_of_atoms"] == 47_681  # 180: natoms = 47681
    assert [(one["name"], one["count"]) for one in main["molecules"]] == [
        ("AKeco", 1),
        ("SOL", 11_084),
        ("NA+", 4),
    ]
    assert main["molecules"][0]["sequence"].startswith("MRIILLGAPGAGKGTQAQFIMEKYGIPQISTGDMLR")  # 4AKE
    assert len(main["molecules"][0]["residues"]) == 214
    assert main["box"]["vectors_nm"] == [[8.0017, 0.0, 0.0], [0.0, 8.0017, 0.0], [4.00085, 4.00085, 5.65806]]
    more = outcome.facts["detailed_information"]
    assert (more["comm_mode"], more["nstcomm"]) == ("linear", 1000)  # 10 and 11
    assert (more["constraint_algorithm"], more["lincs_order"], more["lincs_iter"]) == ("lincs", 4, 1)
    assert more["thermostat"] == {
        "tcoupl": "v-rescale",
        "nsttcouple": 1,
        "tau_t_ps": [0.1, 0.1],
        "tc_grps": {"nr": 2, "name": ["Protein", "Non-Protein"]},
    }
    assert (more["barostat"]["pcoupl"], more["barostat"]["tau_p_ps"]) == ("parrinello-rahman", 0.5)
    assert more["neighbour_list"] == {"cutoff_scheme": "group", "nstlist": 10, "pbc": "xyz", "rlist_nm": 1.0}
    assert more["electrostatic_interactions"]["fourier_grid"] == [70, 70, 70]
    assert more["van_der_waals_interactions"]["dispcorr"] == "enerpres"
    assert (outcome.facts["_gromacs_version"], outcome.facts["_tpx_version"]) == ("4.0", "58")
    for name in ("metadata", "annotation"):
        assert json.loads((tmp_path / outcome.files[name]).read_text()) == outcome.facts
    atoms = (tmp_path / outcome.files["start"]).read_text().splitlines()
    assert int(atoms[1]) == 47_681 == len(atoms) - 3


@needs_gmx
def test_constant_volume_and_none_at_all(tmp_path: Path) -> None:
    main = read(MDA / "tprs/Linear_Angle.tpr", tmp_path).facts["main_information"]
    assert main["statistical_ensemble"] == "NVT (canonical)"
    assert main["reference_temperature_k"] == [298.15]
    assert "reference_pressure_bar" not in main
    main = read(MDA / "tprs/all_bonded/dummy_2021.tpr", tmp_path).facts["main_information"]
    assert main["statistical_ensemble"] == "NVE (microcanonical)"
    assert "reference_temperature_k" not in main


@pytest.mark.parametrize(
    ("name", "version"),
    [("tprs/ala_nnpot_gmx_2026_0.tpr", "138"), ("tprs/2lyz_gmx_2023.tpr", "129")],
)
def test_too_new_gives_the_molecules_and_the_reason(tmp_path: Path, name: str, version: str) -> None:
    outcome = read(MDA / name, tmp_path)
    assert outcome.status is Status.PARTIAL
    assert "not the parameters of the simulation" in outcome.sentence
    assert f"(tpx {version})" in outcome.sentence
    assert "Upload the .mdp" in outcome.sentence
    assert "detailed_information" not in outcome.facts
    assert outcome.parser["name"] == "MDAnalysis"


@needs_gmx
def test_molecules_are_the_same_by_either_parser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tprs/2lyz_gmx_2021.tpr", "tprs/2lyz_gmx_4.0.tpr"):
        monkeypatch.delenv("TOWPATH_GMX", raising=False)
        whole = read(MDA / name, tmp_path)
        monkeypatch.setenv("TOWPATH_GMX", "")
        part = read(MDA / name, tmp_path)
        assert (whole.status, part.status) == (Status.SUCCESS, Status.PARTIAL)
        assert "no GROMACS is installed" in part.sentence
        ours, theirs = whole.facts["main_information"], part.facts["main_information"]
        assert ours["molecules"] == theirs["molecules"]
        assert ours["number_of_atoms"] == theirs["number_of_atoms"]
        assert ours["box"]["lengths_nm"] == pytest.approx(theirs["box"]["lengths_nm"], abs=1e-5)


@pytest.mark.parametrize("name", ["tprs/2lyz_gmx_2021.tpr", "cobrotoxin.tpr"])
def test_a_cut_file_gives_what_is_there(tmp_path: Path, name: str) -> None:
    whole = (MDA / name).read_bytes()
    cut = tmp_path / "cut.tpr"
    cut.write_bytes(
        whole[:-500]
    )  # within the velocities or the parameters, which old versions have at the end
    outcome = read(cut, tmp_path)
    assert outcome.status is Status.PARTIAL
    assert "cut" in outcome.sentence
    assert outcome.facts["main_information"]["molecules"][1]["name"] == "SOL"
    cut.write_bytes(whole[: len(whole) // 8])  # within the topology
    outcome = read(cut, tmp_path)
    assert outcome.status is Status.FAILURE
    assert outcome.sentence.startswith("Only the header of this run input could be read")
    assert outcome.facts["main_information"]["number_of_atoms"] == read_tpr_header(MDA / name).atoms


def test_the_header_tells_what_is_missing(tmp_path: Path) -> None:
    whole = (MDA / "tprs/2lyz_gmx_2021.tpr").read_bytes()
    (tmp_path / "cut.tpr").write_bytes(whole[:-546])
    header = read_tpr_header(tmp_path / "cut.tpr")
    assert (header.missing_bytes, header.tpx_version, header.gromacs_version) == (546, 122, "2021.1")
    assert read_tpr_header(MDA / "tprs/2lyz_gmx_2021.tpr").missing_bytes == 0
    assert read_tpr_header(MDA / "tprs/2lyz_gmx_2021_double.tpr").precision == "double"


GARBAGE = {
    "nothing": b"",
    "text": b"hello world\n" * 40,
    "noise": bytes((i * 7919 + 13) % 251 for i in range(4000)),
    "zeros": b"\0" * 4000,
    "one line": b"a" * 20_000_000,
    "a picture": b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" * 20,
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_is_refused_in_a_sentence(tmp_path: Path, kind: str) -> None:
    (tmp_path / "x.tpr").write_bytes(GARBAGE[kind])
    with pytest.raises(
        Unreadable, match=r"^This is not a GROMACS run input: .+ Upload the .tpr that gmx grompp wrote\.$"
    ):
        read(tmp_path / "x.tpr", tmp_path)


def test_another_format_is_named(tmp_path: Path) -> None:
    shutil.copy(MDA / "test.edr", tmp_path / "x.tpr")
    with pytest.raises(Unreadable, match="it looks like edr"):
        read(tmp_path / "x.tpr", tmp_path)


@needs_gmx
@pytest.mark.parametrize("name", ["-h", "--version.tpr", "$(touch broken).tpr", "a b;c.TPR", "no suffix"])
def test_no_name_is_an_option_or_a_command(tmp_path: Path, name: str) -> None:
    there, made = tmp_path / "in", tmp_path / "out"
    there.mkdir()
    made.mkdir()
    shutil.copy(MDA / "tprs/Linear_Angle.tpr", there / name)
    assert read(there / name, made).status is Status.SUCCESS
    assert [one.name for one in there.iterdir()] == [name]
    assert sorted(one.name for one in made.iterdir()) == ["annotation.json", "metadata.json", "start.gro"]


def program(folder: Path, script: str) -> str:
    path = folder / "gmx"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exec sleep 60", "did not end within"),
        ("exec yes", "wrote more than"),
        ("exit 3", "ended with code 3 and printed no box"),
        ("kill -9 $$", "ended with code -9"),
        ("echo 'Fatal error:' >&2; echo 'no such luck.' >&2; exit 1", "stopped with “no such luck”"),
    ],
)
def test_a_program_that_misbehaves_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, why: str
) -> None:
    monkeypatch.setattr(gmx, "MOST_SECONDS", 0.3 if "sleep" in script else 60.0)
    monkeypatch.setattr(gmx, "MOST_BYTES", 1 << 16)
    with pytest.raises(gmx.DumpFailed, match=why):
        gmx.dump_run_input(MDA / "tprs/Linear_Angle.tpr", tmp_path, program=program(tmp_path, script))
    assert [one.name for one in tmp_path.iterdir()] == ["gmx"]


def test_a_program_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gmx").write_text("not a program")
    (tmp_path / "gmx").chmod(0o755)
    monkeypatch.setenv("TOWPATH_GMX", str(tmp_path / "gmx"))
    outcome = read(MDA / "tprs/Linear_Angle.tpr", tmp_path)
    assert outcome.status is Status.PARTIAL
    monkeypatch.setenv("TOWPATH_GMX", str(tmp_path / "absent"))
    assert "no GROMACS is installed" in read(MDA / "tprs/Linear_Angle.tpr", tmp_path).sentence


def test_more_atoms_than_are_read_by_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tpr, "MOST_ATOMS", 10)
    monkeypatch.setenv("TOWPATH_GMX", "")
    outcome = read(MDA / "cobrotoxin.tpr", tmp_path)
    assert outcome.status is Status.FAILURE
    assert "19385 atoms" in outcome.sentence


MINIMISATION = """inputrec:
   integrator                     = steep
   dt                             = 0.001
   nsteps                         = 500
   emtol                          = 100
   emstep                         = 0.01
   tcoupl                         = No
   pcoupl                         = No
   free-energy                    = no
   epsilon-rf                     = inf
"""
UMBRELLA = """inputrec:
   integrator                     = sd
   dt                             = 0.004
   nsteps                         = -1
   tcoupl                         = No
   pcoupl                         = C-rescale
   pull                           = true
     pull-coord 0:
       type                       = umbrella
   free-energy                    = yes
   awh                            = true
grpopts:
   ref-t:         310
"""


def test_minimisations_have_no_length_and_no_ensemble() -> None:
    told = annotate(read_dump(MINIMISATION.splitlines()))
    main = told["main_information"]
    assert main["simulation_type"] == "energy minimization"
    assert main["number_of_steps"] == 500
    assert not {"simulation_length_ns", "simulation_time_step_ps", "statistical_ensemble"} & set(main)
    assert told["detailed_information"]["emtol_kj_per_mol_nm"] == 100.0
    assert (
        told["detailed_information"]["electrostatic_interactions"]["epsilon_rf"] == 0.0
    )  # as in mdp files: infinite


def test_free_energies_umbrellas_and_endless_runs() -> None:
    main = annotate(read_dump(UMBRELLA.splitlines()))["main_information"]
    assert main["simulation_type"] == "free energy simulation"
    assert main["free_energy_calculation"] == "yes"
    assert main["umbrella_sampling"] is True
    assert main["awh_adaptive_biasing"] is True
    assert main["statistical_ensemble"] == "NpT (isothermal-isobaric)"  # Langevin dynamics is a thermostat
    assert main["reference_temperature_k"] == [310.0]
    assert not {"simulation_length_ns", "number_of_steps"} & set(main)  # nsteps of -1 has no end


def test_boxes_are_described() -> None:
    told = describe_box([[4.0, 0, 0], [0, 4.0, 0], [2.0, 2.0, 8.0**0.5]])  # rhombic dodecahedron
    assert told["shape"] == "triclinic"
    assert told["angles_degree"] == pytest.approx([60.0, 60.0, 90.0])
    assert told["volume_nm3"] == pytest.approx(4.0**3 / 2**0.5, abs=1e-5)
    assert describe_box([[2, 0, 0], [0, 3, 0], [0, 0, 4]])["shape"] == "rectangular"
    assert describe_box([[0.0] * 3] * 3) == {"shape": "none"}


@needs_gmx
@pytest.mark.slow
def test_every_run_input_of_the_collection(tmp_path: Path) -> None:
    """Released GROMACS 4.0 to 2022 whole, 2023 to 2026 in part, 3.3 and a beta of 2020 by the header only."""
    counted = dict.fromkeys(Status, 0)
    for path in sorted(MDA.rglob("*.tpr")):
        outcome = read(path, tmp_path)
        counted[outcome.status] += 1
        tpx = int(outcome.facts["_tpx_version"])
        beta = outcome.facts["_gromacs_version"] == "2020-beta2"
        expected = Status.FAILURE if tpx < 58 or beta else Status.SUCCESS if tpx <= 127 else Status.PARTIAL
        assert outcome.status is expected, (path, outcome.sentence)
        if path.name.startswith("2lyz") and outcome.status is Status.SUCCESS:
            assert outcome.facts["main_information"]["simulation_length_ns"] == 200.0
    assert sum(counted.values()) >= 69
    assert counted[Status.SUCCESS] >= 47
