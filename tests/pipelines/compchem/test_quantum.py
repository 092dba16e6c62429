"""Outputs of six programs give the numbers that stand in them; cut, broken and foreign files are told as such."""

import csv
import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from towpath.pipelines.compchem.science.outcome import Outcome, Status, Unreadable
from towpath.pipelines.compchem.science.quantum import read_quantum
from towpath.pipelines.compchem.science.quantum_ending import look_at_ending
from towpath.pipelines.compchem.science.quantum_facts import split_label
from towpath.pipelines.compchem.science.quantum_spectra import tabulate_excitations, vibrating
from towpath.pipelines.compchem.science.sniff import HEAD, content_of

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "compchem"
pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="the shared files of computational chemistry are absent"
)

CHECKPOINT = "FChk_basicGaussian16_dvb_gopt.fchk"
G_OPT, G_IR = "Gaussian_basicGaussian16_dvb_gopt.out", "Gaussian_basicGaussian16_dvb_ir.out"
G_MP2 = "Gaussian_basicGaussian16_water_mp2.log"
MOPAC = "MOPAC_basicMOPAC2016_dvb_gopt.out"
NWCHEM = "NWChem_basicNWChem7.0_dvb_ir.out"
O_OPT, O_TD, O_IR = (
    "ORCA_basicORCA5.0_dvb_gopt.out", "ORCA_basicORCA5.0_dvb_td.out", "ORCA_basicORCA6.0_dvb_ir.out",
)  # fmt: skip
PSI4 = "Psi4_basicPsi4-1.7_dvb_gopt_rks.out"
Q_51, Q_54 = "QChem_basicQChem5.1_dvb_ir.out", "QChem_basicQChem5.4_dvb_ir.out"
ALL = (CHECKPOINT, G_OPT, G_IR, G_MP2, MOPAC, NWCHEM, O_OPT, O_TD, O_IR, PSI4, Q_51, Q_54)
DIVINYLBENZENE = ("C=Cc1ccc(C=C)cc1", "WEERVPDNCOGWJF-UHFFFAOYSA-N")
KCAL = 1 / 627.5094740631  # hartree in a kcal/mol, CODATA 2018
CAL_PER_K = KCAL / 1000.0

Read = Callable[[str], tuple[Outcome, Path]]


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Read:
    """Read a whole file, once."""
    kept: dict[str, tuple[Outcome, Path]] = {}

    def reader(name: str) -> tuple[Outcome, Path]:
        if name not in kept:
            folder = tmp_path_factory.mktemp("whole")
            kept[name] = (read_quantum({"output": [DATA / name]}, folder), folder)
        return kept[name]

    return reader


def read_text(content: bytes, folder: Path) -> Outcome:
    """Read a file with this content."""
    path = folder / "file.out"
    path.write_bytes(content)
    return read_quantum({"output": [path]}, folder)


def fact(facts: Mapping[str, Any], place: str) -> Any:
    """The fact at a place such as ``energies.scf_hartree`` or ``vibrations.wavenumbers_cm-1.0``."""
    value: Any = facts
    for part in place.split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


# File, line, what stands on it, the fact, its value as it stands there, and in which unit of the fact.
STANDS = [
    (CHECKPOINT, 440, "SCF Energy", "energies.scf_hartree", "-3.823082666020152E+02", 1.0),
    (CHECKPOINT, 11, "Charge", "charge", "0", 1.0),
    (CHECKPOINT, 13, "Number of electrons", "n_electrons", "70", 1.0),
    (G_OPT, 2785, "SCF Done:  E(RB3LYP)", "energies.scf_hartree", "-382.308266602", 1.0),
    (G_OPT, 653, "SCF Done:  E(RB3LYP)", "geometry.energies_hartree.0", "-382.294279146", 1.0),
    (G_OPT, 2783, "RMSDP=5.69D-09 MaxDP=6.25D-08", "scf.history.6.1", "6.25e-08", 1.0),
    (G_OPT, 2785, "after    7 cycles", "scf.cycles", "7", 1.0),
    (G_OPT, 2970, "Maximum Force            0.000036     0.000450", "geometry.history.4.0", "0.000036", 1.0),
    (G_OPT, 2970, "Maximum Force            0.000036     0.000450", "geometry.criteria.0.target", "0.000450", 1.0),
    (G_OPT, 2973, "RMS     Displacement     0.000134     0.001200", "geometry.history.4.3", "0.000134", 1.0),
    (G_IR, 457, "SCF Done", "energies.total_hartree", "-382.308266602", 1.0),
    (G_IR, 554, "Alpha  occ. eigenvalues", "orbitals.homo_ev", "-0.15308", 27.211386),
    (G_IR, 555, "Alpha virt. eigenvalues --    0.03742", "orbitals.lumo_ev", "0.03742", 27.211386),
    (G_IR, 1518, "Frequencies --     53.1981", "vibrations.wavenumbers_cm-1.0", "53.1981", 1.0),
    (G_IR, 1977, "3548.3320", "vibrations.wavenumbers_cm-1.53", "3548.3320", 1.0),
    (G_IR, 1899, "IR Inten    --      0.0000", "vibrations.ir_intensities_km_per_mol.44", "98.3271", 1.0),
    (G_IR, 2006, "Temperature   298.150 Kelvin", "thermochemistry.temperature_k", "298.150", 1.0),
    (G_IR, 2054, "Zero-point correction", "thermochemistry.zero_point_hartree", "0.177132", 1.0),
    (G_IR, 2060, "thermal Enthalpies", "thermochemistry.enthalpy_hartree", "-382.121307", 1.0),
    (G_IR, 2061, "thermal Free Energies", "thermochemistry.gibbs_energy_hartree", "-382.164915", 1.0),
    (G_IR, 2065, "Total                  116.727", "thermochemistry.entropy_j_per_mol_k", "91.781", 4.184),
    (G_MP2, 306, "SCF Done:  E(RHF)", "energies.scf_hartree", "-74.9643287914", 1.0),
    (G_MP2, 342, "EUMP2 =    -0.75002282127454D+02", "energies.mp2_hartree", "-75.002282127454", 1.0),
    (MOPAC, 152, "FINAL HEAT OF FORMATION", "energies.heat_of_formation_kcal_per_mol", "51.24427", 1.0),
    (MOPAC, 155, "TOTAL ENERGY", "energies.total_ev", "-1361.97388", 1.0),
    (MOPAC, 163, "HOMO LUMO ENERGIES (EV)", "orbitals.homo_ev", "-8.880", 1.0),
    (MOPAC, 126, "CYCLE:    25", "geometry.history.24.0", "0.577", 1.0),
    (MOPAC, 126, "CYCLE:    25", "geometry.energies_hartree.24", "51.24449", KCAL),
    (NWCHEM, 548, "Total DFT energy", "energies.scf_hartree", "-382.308240734642", 1.0),
    (NWCHEM, 523, "d= 0,ls=0.0,diis     1", "scf.history.0.1", "1.42e-02", 1.0),
    (NWCHEM, 2748, "Zero-Point correction", "thermochemistry.zero_point_hartree", "0.177031", 1.0),
    (NWCHEM, 2752, "Total Entropy", "thermochemistry.entropy_hartree_per_k", "91.890", CAL_PER_K),
    (NWCHEM, 2836, "P.Frequency       49.01", "vibrations.wavenumbers_cm-1.0", "49.01", 1.0),
    (NWCHEM, 3503, "0.350", "vibrations.ir_intensities_km_per_mol.2", "0.350", 1.0),
    (O_OPT, 6729, "Total Energy       :         -382.05513337 Eh", "energies.scf_hartree", "-382.05513337", 1.0),
    (O_OPT, 4200, "MAX gradient        0.0007560371", "geometry.history.0.1", "0.0007560371", 1.0),
    (O_OPT, 4747, "Energy change      -0.0000176948", "geometry.history.1.0", "-0.0000176948", 1.0),
    (O_OPT, 500, "Max. Displacement", "geometry.criteria.3.target", "4.0000e-03", 1.0),
    (O_OPT, 6716, "SCF CONVERGED AFTER   4 CYCLES", "scf.cycles", "4", 1.0),
    (O_OPT, 8276, "2 minutes 39 seconds 705 msec", "wall_time_s", "159.705", 1.0),
    (O_TD, 3867, "STATE  1:  E=   0.115007 au", "excitations.lowest_ev", "3.129", 1.0),
    (O_TD, 3924, "2   46230.3    216.3", "excitations.strongest_oscillator_strength", "1.171011871", 1.0),
    (O_TD, 3924, "2   46230.3    216.3", "excitations.strongest_nm", "216.3", 1.0),
    (O_IR, 1232, "FINAL SINGLE POINT ENERGY", "energies.scf_hartree", "-382.055107107616", 1.0),
    (O_IR, 765, "4.51e-03  4.25e-02", "scf.history.0.1", "4.25e-02", 1.0),
    (O_IR, 783, "SCF CONVERGED AFTER   8 CYCLES", "scf.cycles", "8", 1.0),
    (O_IR, 1434, "6:      43.87 cm**-1", "vibrations.wavenumbers_cm-1.0", "43.87", 1.0),
    (O_IR, 2039, "Zero point energy", "thermochemistry.zero_point_hartree", "0.17701463", 1.0),
    (O_IR, 2064, "Total Enthalpy", "thermochemistry.enthalpy_hartree", "-381.86823509", 1.0),
    (O_IR, 2127, "Final Gibbs free energy", "thermochemistry.gibbs_energy_hartree", "-381.91114546", 1.0),
    (PSI4, 1816, "@RKS Final Energy:", "energies.scf_hartree", "-382.30824881959580", 1.0),
    (PSI4, 325, "@RKS Final Energy:", "geometry.energies_hartree.0", "-382.30822439326533", 1.0),
    (Q_51, 210, "Total energy in the final", "energies.scf_hartree", "-382.3082745769", 1.0),
    (Q_51, 206, "11    -382.3082745769      6.10e-09", "scf.history.10.0", "6.10e-09", 1.0),
    (Q_51, 969, "Frequency:        47.24", "vibrations.wavenumbers_cm-1.0", "47.24", 1.0),
    (Q_51, 973, "IR Intens:        0.031", "vibrations.ir_intensities_km_per_mol.2", "0.343", 1.0),
    (Q_51, 1511, "Zero point vibrational energy", "thermochemistry.zero_point_hartree", "111.254", KCAL),
    (Q_51, 1551, "Total Entropy", "thermochemistry.entropy_hartree_per_k", "92.039", CAL_PER_K),
    (Q_54, 225, "Total energy in the final", "energies.scf_hartree", "-382.3082745764", 1.0),
    (Q_54, 369, "Frequency:        47.24", "vibrations.wavenumbers_cm-1.1", "80.82", 1.0),
]  # fmt: skip


@pytest.mark.parametrize(("name", "line", "words", "place", "value", "unit"), STANDS)
def test_facts_are_the_numbers_of_the_file(
    name: str, line: int, words: str, place: str, value: str, unit: float, read: Read
) -> None:
    assert words in (DATA / name).read_text(encoding="utf-8", errors="replace").splitlines()[line - 1]
    digits, _, power = value.lower().partition("e")
    last_digit = 10.0 ** (int(power or 0) - len(digits.partition(".")[2]))
    expected = float(value) * unit
    units = (
        1e-14 if unit == 1.0 else 2e-7
    )  # cclib goes by way of eV; programs have constants of different years
    assert fact(read(name)[0].facts, place) == pytest.approx(
        expected, abs=0.51 * last_digit * unit + units * abs(expected)
    )


LEVELS = {
    CHECKPOINT: ("Gaussian", "16 A.03", "DFT", "B3LYP", "STO-3G", ["optimisation"]),
    G_OPT: ("Gaussian", "16 A.03", "DFT", "B3LYP", "STO-3G", ["optimisation"]),
    G_IR: ("Gaussian", "16 A.03", "DFT", "B3LYP", "STO-3G", ["frequencies"]),
    G_MP2: ("Gaussian", "16 A.03", "MP2", None, "STO-3G", ["energy"]),
    MOPAC: ("MOPAC", "16.093", "PM7", None, None, ["optimisation"]),
    NWCHEM: ("NWChem", "7.0.2", "DFT", "B3LYP", "sto-3g", ["frequencies"]),
    O_OPT: ("ORCA", "5.0.1", "DFT", "B3LYP", "STO-3G", ["optimisation"]),
    O_TD: ("ORCA", "5.0.0", "DFT", "B3LYP", "STO-3G", ["excitations"]),
    O_IR: ("ORCA", "6.0.1", "DFT", "B3LYP", "STO-3G", ["frequencies"]),
    PSI4: ("Psi4", "1.7", "DFT", "B3LYP", "STO-3G", ["optimisation"]),
    Q_51: ("Q-Chem", "5.1.2", "DFT", "B3LYP", "STO-3G", ["frequencies"]),
    Q_54: ("Q-Chem", "5.4.1", "DFT", "B3LYP", "STO-3G", ["frequencies"]),
}


@pytest.mark.parametrize("name", ALL)
def test_a_whole_file_is_a_success(name: str, read: Read) -> None:
    outcome, folder = read(name)
    facts = outcome.facts
    program, version, method, functional, basis, kinds = LEVELS[name]
    assert outcome.status is Status.SUCCESS
    assert facts["success"] is True
    assert facts["ending"]["whole"]
    assert (facts["program"], facts["program_version"], facts["method"]) == (program, version, method)
    assert (facts.get("functional"), facts.get("basis"), facts["calculation"]) == (functional, basis, kinds)
    assert (facts["charge"], facts["multiplicity"]) == (0, 1)
    water = name == G_MP2
    assert (facts["formula"], facts["n_atoms"], facts["n_electrons"]) == (
        ("H2O", 3, 10) if water else ("C10H10", 20, 70)
    )
    assert (facts["smiles"], facts["inchikey"]) == (
        ("O", "XLYOFNOQVPJJNP-UHFFFAOYSA-N") if water else DIVINYLBENZENE
    )
    assert outcome.parser == {"name": "cclib", "version": facts["parser"]["version"]}
    assert json.loads((folder / outcome.files["metadata"]).read_text(encoding="utf-8")) == facts
    assert outcome.sentence.startswith(f"{program} {version} ")
    assert facts["formula"] in outcome.sentence
    if kinds == ["optimisation"]:
        assert facts["geometry"]["converged"] is True
        assert "converged" in outcome.sentence
    if "scf" in facts:
        assert facts["scf"]["converged"] is True
    if kinds == ["frequencies"]:
        assert (facts["vibrations"]["count"], facts["vibrations"]["imaginary"]) == (54, 0)
        thermochemistry = facts["thermochemistry"]
        product = thermochemistry["temperature_k"] * thermochemistry["entropy_hartree_per_k"]
        gibbs = thermochemistry["enthalpy_hartree"] - product
        assert thermochemistry["gibbs_energy_hartree"] == pytest.approx(gibbs, abs=2e-6)


@pytest.mark.parametrize("name", [G_IR, O_IR, Q_51])
def test_vibrations_make_the_zero_point_energy(name: str, read: Read) -> None:
    """NWChem is not among them: its zero-point energy is that of modes from which motions of the whole are not projected."""
    outcome, folder = read(name)
    with (folder / outcome.files["vibrations"]).open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["mode"]) for row in rows] == list(range(1, 55))
    quanta = sum(float(row["wavenumber_cm-1"]) for row in rows) / 219_474.631  # hartree, CODATA 2018
    assert quanta / 2.0 == pytest.approx(outcome.facts["thermochemistry"]["zero_point_hartree"], abs=1.5e-5)


def test_the_geometry_is_that_of_the_file(read: Read) -> None:
    outcome, folder = read(MOPAC)
    lines = (folder / outcome.files["geometry"]).read_text(encoding="utf-8").splitlines()
    # line 208: "   1    C        0.280372823     1.380025782     0.007040423"
    stands = (DATA / MOPAC).read_text(encoding="utf-8").splitlines()
    place = [
        float(part)
        for part in next(one for one in stands if one.startswith("   1    C        0.2803")).split()[2:]
    ]
    assert (lines[0], lines[2].split()[0], len(lines)) == ("20", "C", 22)
    assert [float(part) for part in lines[2].split()[1:]] == pytest.approx(place, abs=1e-8)
    assert "C10H10" in lines[1]


def test_chemical_json_holds_bonds_and_modes(read: Read) -> None:
    outcome, folder = read(O_IR)
    told = json.loads((folder / outcome.files["cjson"]).read_text(encoding="utf-8"))
    assert told["chemicalJson"] == 1
    assert len(told["atoms"]["coords"]["3d"]) == 60
    assert sorted(told["bonds"]["order"]).count(2) == 5  # of a ring and two vinyl groups
    assert len(told["bonds"]["order"]) == 20
    assert np.shape(told["vibrations"]["eigenVectors"]) == (54, 60)
    assert told["inchiKey"] == DIVINYLBENZENE[1]


def test_excited_states_are_sorted_with_their_strengths(read: Read) -> None:
    outcome, folder = read(O_TD)
    with (folder / outcome.files["excitations"]).open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    energies = [float(row["energy_cm-1"]) for row in rows]
    assert energies == sorted(energies)
    bright = [row for row in rows if float(row["oscillator_strength"]) > 1e-3]
    # lines 3923, 3924 and 3926: 43166.7 0.005267213, 46230.3 1.171011871, 57425.9 0.218288556
    assert [round(float(row["oscillator_strength"]), 9) for row in bright] == [
        0.005267213,
        1.171011871,
        0.218288556,
    ]
    assert [row["symmetry"] for row in bright] == ["Singlet-Bu"] * 3
    assert [float(row["energy_cm-1"]) for row in bright] == pytest.approx(
        [43166.7, 46230.3, 57425.9], abs=0.1
    )


@pytest.mark.parametrize("name", ALL)
def test_a_file_cut_short_is_partial(name: str, tmp_path: Path) -> None:
    content = (DATA / name).read_bytes()
    cut = content[: len(content) * 6 // 10]
    outcome = read_text(cut, tmp_path)
    lines = len(cut.splitlines())
    assert outcome.status is Status.PARTIAL
    assert f"stops at line {lines:,}" in outcome.sentence
    assert "Upload the whole output" in outcome.sentence
    assert outcome.facts["success"] is False
    assert (tmp_path / outcome.files["metadata"]).is_file()


def test_half_an_optimisation_tells_its_step(tmp_path: Path) -> None:
    outcome = read_text((DATA / G_OPT).read_bytes()[:105_000], tmp_path)
    assert outcome.status is Status.PARTIAL
    assert "in step 3 of the optimisation" in outcome.sentence
    assert "optimised geometry" in outcome.sentence
    # lines 653 and 1354, the energies of the two whole steps
    assert outcome.facts["geometry"]["energies_hartree"] == pytest.approx(
        [-382.294279146, -382.307286501], abs=1e-9
    )
    assert outcome.facts["geometry"]["converged"] is False
    assert set(outcome.files) == {"metadata", "geometry", "molecule", "cjson"}


def test_the_last_job_of_a_file_counts(tmp_path: Path) -> None:
    """The first job ended well, and cclib says success; the second one stops."""
    joined = (DATA / G_OPT).read_bytes() + (DATA / G_IR).read_bytes()[:60_000]
    outcome = read_text(joined, tmp_path)
    assert outcome.status is Status.PARTIAL
    assert "Normal termination of Gaussian" in outcome.sentence
    whole = read_text((DATA / G_OPT).read_bytes() + (DATA / G_IR).read_bytes(), tmp_path)
    assert whole.status is Status.SUCCESS
    assert whole.facts["calculation"] == ["optimisation", "frequencies"]


@pytest.mark.parametrize("percent", [1, 3, 30, 50, 75, 100])
def test_the_last_job_of_mopac_counts(percent: int, tmp_path: Path) -> None:
    content = (DATA / MOPAC).read_bytes()
    outcome = read_text(content + content[: len(content) * percent // 100], tmp_path)
    assert outcome.status is (Status.SUCCESS if percent == 100 else Status.PARTIAL)
    assert percent == 100 or "without “MOPAC DONE”" in outcome.sentence


@pytest.mark.parametrize(
    "row", [b"    14         C        0.60", b"    14         C        0.6037    2.8699    0.0000\n"]
)
def test_a_table_of_atoms_that_was_cut_is_no_molecule(row: bytes, tmp_path: Path) -> None:
    """Of MOPAC: an earlier table counts, which the file has, and none where both are cut."""
    content = (DATA / MOPAC).read_bytes()
    cut = content[: content.index(b"    14         C        0.6037")] + row
    facts = read_text(cut, tmp_path).facts
    assert (facts["formula"], facts["smiles"]) == ("C10H10", DIVINYLBENZENE[0])
    first = content.index(b"     1       C          0.26948000")
    second = cut.index(b"          CARTESIAN COORDINATES")
    with pytest.raises(Unreadable, match=r"and energy\. Upload the whole file"):
        read_text(cut[:first] + cut[second:], tmp_path)
    within = content.index(b"    14       C          0.60373000")
    for stop in (within, within + 20, within + 60):
        with pytest.raises(Unreadable, match="before the first geometry"):
            read_text(content[:stop], tmp_path)


def test_the_last_table_of_atoms_that_was_cut_leaves_the_one_before(tmp_path: Path) -> None:
    content = (DATA / MOPAC).read_bytes()
    within = content.rindex(b"    14       C          0.61482376")
    facts = read_text(content[: within + 20], tmp_path).facts
    assert (facts["formula"], facts["smiles"]) == ("C10H10", DIVINYLBENZENE[0])


ERRORS = [
    (G_OPT, b"\n Convergence failure -- run terminated.\n Error termination via Lnk1e in /g16/l502.exe at X.\n", "SCF did"),
    (O_OPT, b"\nORCA finished by error termination in GRAD\n", "stopped with an error"),
    (PSI4, b"\n*** Psi4 encountered an error. Buy a developer more coffee!\n", "stopped with an error"),
    (Q_51, b"\n Q-Chem fatal error occurred in module scf\n", "stopped with an error"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "words", "told"), ERRORS)
def test_an_error_of_the_program_is_told(name: str, words: bytes, told: str, tmp_path: Path) -> None:
    content = (DATA / name).read_bytes()
    outcome = read_text(content[: len(content) * 6 // 10] + words, tmp_path)
    assert outcome.status is Status.PARTIAL
    assert told in outcome.sentence
    assert "Mend the calculation" in outcome.sentence
    assert outcome.facts["ending"]["error"]


def test_an_optimisation_without_end_is_partial(tmp_path: Path) -> None:
    """Gaussian's word of a finished optimisation (line 2975) becomes that of one that was given up; the rest is whole."""
    content = (DATA / G_OPT).read_bytes()
    stopped = content.replace(b" Optimization completed.", b" Optimization stopped.")
    assert stopped != content
    outcome = read_text(stopped, tmp_path)
    assert outcome.status is Status.PARTIAL
    assert "did not converge in 5 steps" in outcome.sentence


def test_an_scf_without_end_gives_no_energy(tmp_path: Path) -> None:
    """ORCA goes on after an SCF that did not converge, and cclib takes its last change for the energy."""
    content = (DATA / O_IR).read_bytes()
    failed = content.replace(b"SCF CONVERGED AFTER   8 CYCLES", b"SCF NOT CONVERGED AFTER   8 CYCLES")
    assert failed != content
    outcome = read_text(failed, tmp_path)
    assert outcome.status is Status.PARTIAL
    assert "the SCF did not converge" in outcome.sentence
    assert "energies" not in outcome.facts
    assert outcome.facts["scf"]["converged"] is False


def test_what_the_parser_read_before_it_gave_up_is_kept(tmp_path: Path) -> None:
    lines = (DATA / G_OPT).read_bytes().splitlines(keepends=True)
    lines[2784] = b" SCF Done:  E(RB3LYP) =  twelve     A.U. after    7 cycles\n"
    outcome = read_text(b"".join(lines), tmp_path)
    assert outcome.status is Status.PARTIAL
    assert "could not be read" in outcome.sentence
    assert outcome.facts["energies"]["scf_hartree"] == pytest.approx(-382.308265702, abs=1e-9)  # line 2326
    assert outcome.facts["smiles"] == DIVINYLBENZENE[0]


ENCODED = {"little": "utf-16-le", "big": "utf-16-be", "eight": "utf-8"}


@pytest.mark.parametrize("name", ENCODED)
@pytest.mark.parametrize("output", [G_MP2, MOPAC, NWCHEM])
def test_an_output_is_read_in_the_encoding_of_its_mark(
    output: str, name: str, read: Read, tmp_path: Path
) -> None:
    """As PowerShell 5 redirects into a file, and editors save one."""
    text = (DATA / output).read_text(encoding="utf-8", errors="replace")
    content = f"\ufeff{text}".replace("\n", "\r\n").encode(ENCODED[name])
    assert content_of(content[:HEAD]) == output.partition("_")[0].lower()
    outcome = read_text(content, tmp_path)
    whole = read(output)[0]
    assert (outcome.status, outcome.sentence) == (Status.SUCCESS, whole.sentence)
    assert outcome.facts["ending"] == whole.facts["ending"]
    cut = read_text(content[: len(content) * 6 // 10], tmp_path)
    assert cut.status is Status.PARTIAL and "Upload the whole output" in cut.sentence


def test_an_output_below_other_text_is_read(read: Read, tmp_path: Path) -> None:
    before = b"Loading module chem/2024\n" * 4000
    outcome = read_text(before + (DATA / G_MP2).read_bytes(), tmp_path)
    assert content_of(before) == "" and content_of(before + (DATA / G_MP2).read_bytes()) == "gaussian"
    assert (outcome.status, outcome.sentence) == (Status.SUCCESS, read(G_MP2)[0].sentence)


NONE_OF_THEM = {
    "random": random.Random(7).randbytes(200_000),
    "text": b"We used Gaussian 16 (Gaussian, Inc., Wallingford CT, 2016) and ORCA.\n" * 50,
    "empty": b"",
    "png": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40,
    "one line": b"x" * 20_000_000,
    "zeros": bytes(100_000),
}


@pytest.mark.parametrize("name", NONE_OF_THEM)
def test_what_is_no_output_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="no output that can be read here") as told:
        read_text(NONE_OF_THEM[name], tmp_path)
    assert "Upload the text output" in told.value.sentence


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (b"", "stops at line 13, before the first geometry and energy"),
        (
            b"\n Error termination via Lnk1e in /g16/l1.exe at X.\n",
            "the program stopped before the first geometry",
        ),
        (
            b"\n" + b"y" * 2_000_000 + b"\0\xff\n Normal termination of Gaussian 16 at X.\n",
            "neither a geometry nor",
        ),
    ],
)
def test_a_banner_alone_is_refused(more: bytes, told: str, tmp_path: Path) -> None:
    head = b"".join((DATA / G_IR).read_bytes().splitlines(keepends=True)[:13])
    with pytest.raises(Unreadable, match=told):
        read_text(head + more, tmp_path)


def test_one_output_is_read_at_a_time(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="2 were given"):
        read_quantum({"output": [DATA / G_IR, DATA / G_OPT]}, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_no_damage_is_an_exception(name: str, tmp_path: Path) -> None:
    chance = random.Random(name)
    whole = (DATA / name).read_bytes()
    for _ in range(12):
        content = bytearray(whole[: chance.randrange(len(whole))] if chance.random() < 0.4 else whole)
        for _ in range(30):
            at = chance.randrange(len(content) // 20, max(len(content), 2))
            match chance.randrange(3):
                case 0:
                    content[at : at + 1] = bytes([chance.randrange(256)])
                case 1:
                    del content[at : at + chance.randrange(200)]
                case _:
                    content[at:at] = b"******* NaN 1.0E+400 "
        try:
            outcome = read_text(bytes(content), tmp_path)
        except Unreadable as unreadable:
            assert unreadable.sentence.endswith(".")
        else:
            assert outcome.sentence.endswith(".")
            json.loads((tmp_path / "metadata.json").read_text(encoding="utf-8"))


def test_the_end_is_found_across_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = look_at_ending(DATA / G_MP2, "gaussian")
    monkeypatch.setattr("towpath.pipelines.compchem.science.quantum_ending.PIECE", 1000)
    assert look_at_ending(DATA / G_MP2, "gaussian") == whole
    wide = tmp_path / "wide.log"
    wide.write_text((DATA / G_MP2).read_text(encoding="utf-8"), encoding="utf-16")
    assert look_at_ending(wide, "gaussian") == whole
    assert whole.whole
    assert whole.lines == 509


@pytest.mark.parametrize(("kept", "whole"), [(4220, True), (4219, False), (2500, False)])
def test_a_checkpoint_ends_with_its_last_array(kept: int, whole: bool, tmp_path: Path) -> None:
    lines = (DATA / CHECKPOINT).read_bytes().splitlines(keepends=True)
    path = tmp_path / "some.fchk"
    path.write_bytes(b"".join(lines[:kept]))
    assert len(lines) == 4220
    assert look_at_ending(path, "fchk").whole is whole


@pytest.mark.parametrize(
    ("label", "parts"),
    [("RB3LYP", ("DFT", "B3LYP")), ("UHF", ("HF", "")), ("ROHF", ("HF", "")), ("RMP2-FC", ("MP2", "")),
     ("UCCSD(T)", ("CCSD(T)", "")), ("UwB97XD", ("DFT", "WB97XD"))],
)  # fmt: skip
def test_labels_of_checkpoints_are_split(label: str, parts: tuple[str, str]) -> None:
    assert split_label(label) == parts


def test_motions_of_the_whole_are_no_vibrations() -> None:
    bent, line = (
        np.array([[[0, 0, 0.1], [0, 0.8, -0.5], [0, -0.8, -0.5]]]),
        np.array([[[0, 0, 0.0], [0, 0, 1], [0, 0, 2]]]),
    )
    modes = np.array([-900.0, -3.0, 0.0, 0.0, 1.0, 2.0, -4.0, 1500.0, 3700.0])
    assert modes[vibrating(modes, bent)].tolist() == [-900.0, 1500.0, 3700.0]
    assert modes[vibrating(modes, line)].tolist() == [-900.0, -4.0, 1500.0, 3700.0]
    assert modes[vibrating(modes[:4], bent)].tolist() == modes[:4].tolist()


def test_wavelengths_follow_from_energies() -> None:
    table = tabulate_excitations(SimpleNamespace(etenergies=[40_000.0, 20_000.0], etoscs=[0.5, 0.1]))
    assert table["wavelength_nm"] == pytest.approx([500.0, 250.0])
    assert table["energy_ev"] == pytest.approx([2.479684, 4.959368], abs=1e-5)  # h c / e, CODATA 2018
    assert table["oscillator_strength"] == [0.1, 0.5]


def test_the_parser_is_quiet(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    content = (DATA / O_OPT).read_bytes()
    read_text(content[: len(content) // 2] + b"\xff\xfe\n", tmp_path)
    assert capfd.readouterr() == ("", "")
