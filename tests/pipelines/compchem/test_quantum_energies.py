"""The energy that is told is that of the last job and of its own method; and what was calculated is called by its name.

Whole files are made of the shared ones, with lines in the form that the programs print.
"""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from towpath.pipelines.compchem.science.gaussian_reading import add_energies, add_gaussian, read_gaussian
from towpath.pipelines.compchem.science.orca_reading import Said, add_final
from towpath.pipelines.compchem.science.outcome import Outcome, Status
from towpath.pipelines.compchem.science.quantum import read_quantum
from towpath.pipelines.compchem.science.quantum_ending import Ending, look_at_ending
from towpath.pipelines.compchem.science.quantum_facts import collect_energies, collect_facts, collect_geometry

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "compchem"
shared = pytest.mark.skipif(
    not DATA.is_dir(), reason="the shared files of computational chemistry are absent"
)

EV = 27.211386245988  # in a hartree, CODATA 2018
CHECKPOINT = "FChk_basicGaussian16_dvb_gopt.fchk"
G_OPT, G_IR = "Gaussian_basicGaussian16_dvb_gopt.out", "Gaussian_basicGaussian16_dvb_ir.out"
G_MP2 = "Gaussian_basicGaussian16_water_mp2.log"
NWCHEM, Q_51 = "NWChem_basicNWChem7.0_dvb_ir.out", "QChem_basicQChem5.1_dvb_ir.out"
O_OPT, O_TD, O_IR = (
    "ORCA_basicORCA5.0_dvb_gopt.out", "ORCA_basicORCA5.0_dvb_td.out", "ORCA_basicORCA6.0_dvb_ir.out",
)  # fmt: skip
MP2_LINE = b" E2 =    -0.3795333610D-01 EUMP2 =    -0.75002282127454D+02\n"
FINAL_LINE = b"FINAL SINGLE POINT ENERGY      -382.055107107616\n"
JOB_2 = b"\n                 $$$$$$$$$$$$$$$$  JOB NUMBER  2 $$$$$$$$$$$$$$\n\n"
EARLIER = "An SCF before the last one did not converge."


def content(name: str) -> bytes:
    """The content of a shared file."""
    return (DATA / name).read_bytes()


def read(given: bytes, folder: Path) -> Outcome:
    """Read an output with this content."""
    path = folder / "file.out"
    path.write_bytes(given)
    return read_quantum({"output": [path]}, folder)


def water(route: bytes, lines: bytes) -> bytes:
    """The job of water with another method: its route, and the lines in place of that of MP2."""
    whole = content(G_MP2)
    assert MP2_LINE in whole
    return whole.replace(MP2_LINE, lines).replace(b"#P MP2/", b"#P " + route + b"/")


# The manual of Gaussian 16 has the lines of E2(B2PLYP), E(CORR), E(CI) and BD(T) on its pages of these keywords.
CORR = b" DE(Corr)= -0.50186443D-01 E(CORR)=    -0.75014515234D+02     Delta= 3.17D-09\n"
HYBRID = b" E2(B2PLYP) =    -0.3795333610D-01 E(B2PLYP) =    -0.75002282127454D+02\n"
PLAIN = [
    (b"B2PLYP", HYBRID, -75.002282127454, "B2PLYP"),
    (b"QCISD(T)", MP2_LINE + CORR + b" QCISD(T)= -0.75014615230D+02\n", -75.014615230, "QCISD(T)"),
    (b"BD(T)", MP2_LINE + CORR + b" BD(T)= -0.75002034980D+02\n", -75.002034980, "BD(T)"),
    (b"QCISD", MP2_LINE + CORR, -75.014515234, "QCISD"),
    (b"UCCSD", MP2_LINE + CORR, -75.014515234, "CCSD"),
    (b"CCSD-T", MP2_LINE + CORR + b" CCSD(T)= -0.75014615230D+02\n", -75.014615230, "CCSD(T)"),
    (b"CISD", b" DE(CI)=     -0.48299990D-01        E(CI)=        -0.75009023292D+02\n", -75.009023292, "CISD"),
    (b"MP4(SDQ)", MP2_LINE + b" E4(SDQ)=  -0.32127241D-02        UMP4(SDQ)= -0.75016013648D+02\n", -75.016013648, "MP4"),
    (b"ONIOM(HF/3-21G:UFF)", b" ONIOM: extrapolated energy =     -74.912345678901\n", -74.912345678901, "ONIOM"),
]  # fmt: skip


@shared
@pytest.mark.parametrize(("route", "lines", "energy", "method"), PLAIN)
def test_the_energy_is_that_of_the_method(
    route: bytes, lines: bytes, energy: float, method: str, tmp_path: Path
) -> None:
    given = water(route, lines)
    if lines == HYBRID:
        given = given.replace(b"E(RHF)", b"E(RB2PLYP)")
    outcome = read(given, tmp_path)
    facts = outcome.facts
    assert outcome.status is Status.SUCCESS
    assert facts["energies"]["total_hartree"] == pytest.approx(energy, abs=1e-12)
    assert facts.get("functional", facts["method"]) == method
    assert f"{energy:.6f} hartree" in outcome.sentence


@shared
@pytest.mark.parametrize(
    ("route", "lines", "told"),
    [
        (b"B2PLYPD3", b"", "that of the SCF: that of B2PLYPD3"),
        (b"CASSCF(4,4)", b"", "that of the SCF: that of CASSCF"),
        (b"CCSD(T)", MP2_LINE + CORR, "that of CCSD: that of CCSD(T)"),
        (b"BD(TQ)", MP2_LINE, "that of MP2: that of BD(TQ)"),
        (b"G4MP2", MP2_LINE, "that of MP2: that of G4MP2"),
        (b"MP3", MP2_LINE, "that of MP2: that of MP3"),
    ],
)
def test_the_energy_of_another_method_is_partial(
    route: bytes, lines: bytes, told: str, tmp_path: Path
) -> None:
    outcome = read(water(route, lines), tmp_path)
    assert outcome.status is Status.PARTIAL
    assert f"The energy is {told} is not read." in outcome.sentence


COMPOUND = """ Entering Link 1 = /g16/l1.exe PID=      3347.
 ----------------------------------------------------------------------
 # CBS-QB3 scrf=(smd,solve
 nt=water)
 ----------------------------------------------------------------------
 SCF Done:  E(RB3LYP) =  -283.9000000     A.U. after    7 cycles
 Link1:  Proceeding to internal job step number  2.
 -----------------------------------------------------------------
 #N Geom=AllCheck Guess=TCheck SCRF=Check CCSD(T)/6-31+G(d')
 SCF Done:  E(RHF) =  -282.6000000     A.U. after    7 cycles
 E2 =    -0.3795333610D-01 EUMP2 =    -0.28300000000000D+03
 Temperature=               298.150000 Pressure=                       1.000000
 E(ZPE)=                      0.072623 E(Thermal)=                     0.078657
 CBS-QB3 (0 K)=            -283.819775 CBS-QB3 Energy=              -283.813741
 CBS-QB3 Enthalpy=         -283.812797 CBS-QB3 Free Energy=         -283.851839
"""


def gaussian(given: str, path: Path, **more: Any) -> tuple[dict[str, Any], str]:
    """The facts of what cclib reads, with what the content adds, and what lacks."""
    path.write_text(given, encoding="utf-8")
    data = SimpleNamespace(metadata={"methods": ["HF"], "basis_set": "CBSB3"}, **more)
    said = read_gaussian(path)
    lacks = add_gaussian(data, said)
    facts = collect_facts(data, "gaussian")
    add_energies(facts, said)
    return facts, lacks


def test_a_method_of_several_calculations_has_its_own_energies(tmp_path: Path) -> None:
    """The lines are those of the result of a job of Gaussian 16."""
    facts, lacks = gaussian(
        COMPOUND, tmp_path / "some.out", enthalpy=-283.8, entropy=1e-4, temperature=298.15
    )
    assert not lacks
    assert facts["energies"] == {
        "total_hartree": -283.819775,
        "total_is": "CBS-QB3 at 0 K, with the zero-point energy",
    }
    assert (facts["method"], facts.get("functional"), facts.get("basis")) == ("CBS-QB3", None, None)
    assert facts["thermochemistry"]["enthalpy_hartree"] == -283.812797
    assert facts["thermochemistry"]["gibbs_energy_hartree"] == -283.851839
    cut = COMPOUND[: COMPOUND.index(" CBS-QB3 (0 K)")]
    assert (
        gaussian(cut, tmp_path / "some.out")[1] == "The energy is that of MP2: that of CBS-QB3 is not read."
    )


def test_fragments_are_not_the_whole(tmp_path: Path) -> None:
    given = (
        " Entering Link 1 = /g16/l1.exe PID=      3347.\n #P HF/6-31G(d) counterpoise=2\n -----\n"
        " SCF Done:  E(RHF) =  -200.6700000000     A.U. after    7 cycles\n"
        " SCF Done:  E(RHF) =  -100.3300000000     A.U. after    7 cycles\n"
        " Counterpoise corrected energy =    -200.665576\n BSSE energy =       0.001682\n"
    )
    facts, lacks = gaussian(given, tmp_path / "some.out")
    assert not lacks
    assert facts["energies"] == {"total_hartree": -200.665576, "total_is": "counterpoise corrected"}
    assert facts["method"] == "HF"
    older = given.replace("Counterpoise corrected energy =", "Counterpoise: corrected energy =")
    assert gaussian(older, tmp_path / "older.out")[0]["energies"] == facts["energies"]


def test_gaussian_displaces_geometries_too(tmp_path: Path) -> None:
    given = (
        " Entering Link 1 = /g16/l1.exe PID=      3347.\n #P UMP2/6-31G(d) freq=numer\n -----\n"
        " SCF Done:  E(UHF) =  -74.9643287914     A.U. after    7 cycles\n" + MP2_LINE.decode() +
        " Re-enter D2Numr: IAtom=  1 IXYZ=1 IStep= 1.\n"
        " SCF Done:  E(UHF) =  -74.9640000000     A.U. after    7 cycles\n"
        " E2 =    -0.3795333610D-01 EUMP2 =    -0.75000000000000D+02\n"
    )  # fmt: skip
    facts, _ = gaussian(given, tmp_path / "some.out", mpenergies=[[-75.0 * EV]])
    assert facts["method"] == "MP2"
    assert facts["energies"]["scf_hartree"] == -74.9643287914
    assert facts["energies"]["total_hartree"] == facts["energies"]["mp2_hartree"] == -75.002282127454


@shared
def test_an_optimisation_goes_on_after_displaced_geometries(tmp_path: Path) -> None:
    """The Hessian that it begins with may be one by differences."""
    whole = content(G_OPT)
    at = whole.index(b"\n", whole.index(b" SCF Done:")) + 1
    given = whole[:at] + b" Re-enter D2Numr: IAtom=  1 IXYZ=1 IStep= 1.\n" + whole[at:]
    facts = read(given, tmp_path).facts
    assert facts["energies"]["total_hartree"] == pytest.approx(-382.308266602, abs=1e-9)


def test_a_step_of_a_job_has_no_energy_of_the_step_before(tmp_path: Path) -> None:
    """The geometry is of one method, and the energy of another: ``B3LYP/…//MP2/…``."""
    given = (
        " Entering Link 1 = /g16/l1.exe PID=      3347.\n # B3LYP/6-311G**//MP2/6-31G*\n -----\n"
        " SCF Done:  E(RHF) =  -74.9643287914     A.U. after    7 cycles\n" + MP2_LINE.decode() +
        " Link1:  Proceeding to internal job step number  2.\n"
        " SCF Done:  E(RB3LYP) =  -75.9600000000     A.U. after    7 cycles\n"
    )  # fmt: skip
    facts, lacks = gaussian(given, tmp_path / "some.out")
    assert (facts["method"], facts["functional"], lacks) == ("DFT", "B3LYP", "")
    assert facts["energies"] == {"scf_hartree": -75.96, "total_hartree": -75.96, "total_is": "SCF"}


@pytest.mark.parametrize(
    ("route", "label", "functional"),
    [
        ("#p OPBE/6-31G(d)", "ROPBE", "OPBE"),
        ("#p ROB3LYP/6-31G(d)", "ROB3LYP", "B3LYP"),
        ("# UB3LYP/6-31G(d)", "UB3LYP", "B3LYP"),
        ("#n G96LYP/6-31G(d)", "RG96LYP", "G96LYP"),
    ],
)
def test_the_functional_is_what_the_label_names(
    route: str, label: str, functional: str, tmp_path: Path
) -> None:
    given = (
        f" Entering Link 1 = /g16/l1.exe PID=      3347.\n {route}\n -----\n"
        f" SCF Done:  E({label}) =  -75.9600000000     A.U. after    7 cycles\n"
    )
    facts, _ = gaussian(given, tmp_path / "some.out")
    assert (facts["method"], facts["functional"]) == ("DFT", functional)


@pytest.mark.parametrize(
    "route",
    [
        " # scf=(tight,maxcyc=200)\n ccsd(t)/cc-pvtz\n",
        f" # {'x' * 64} ccs\n d(t)/cc-pvtz\n",
        " #pccsd(t)/cc-pvtz\n",
    ],
)
def test_a_route_on_several_lines_asks_for_what_it_asks(route: str, tmp_path: Path) -> None:
    given = (
        f" Entering Link 1 = /g16/l1.exe PID=      3347.\n{route} -----\n"
        " SCF Done:  E(RHF) =  -75.9600000000     A.U. after    7 cycles\n"
    )
    lacks = gaussian(given, tmp_path / "some.out")[1]
    assert lacks == "The energy is that of the SCF: that of CCSD(T) is not read."


@shared
def test_the_last_job_rules_over_a_better_method(tmp_path: Path) -> None:
    outcome = read(content(G_MP2) + water(b"HF", b""), tmp_path)
    assert outcome.status is Status.SUCCESS
    assert outcome.sentence.endswith("single-point energy of H2O, HF/STO-3G: energy -74.964329 hartree.")
    assert set(outcome.facts["energies"]) == {"scf_hartree", "total_hartree", "total_is"}
    facts = read(content(G_MP2) + content(G_OPT), tmp_path).facts
    assert facts["energies"]["total_hartree"] == pytest.approx(-382.308266602, abs=1e-9)
    assert (facts["formula"], facts["method"], facts["functional"]) == ("C10H10", "DFT", "B3LYP")
    facts = read(content(G_OPT) + content(G_MP2), tmp_path).facts
    assert (facts["method"], facts.get("functional"), facts["energies"]["total_is"]) == ("MP2", None, "MP2")


@pytest.mark.parametrize(
    ("methods", "functional", "total", "method", "called"),
    [
        (["HF", "MP2", "DFT"], "B3LYP", -1.0, "DFT", "B3LYP"),
        (["HF", "MP2", "HF"], "", -1.0, "HF", None),
        (["MP2", "PM7"], "", -1.0, "PM7", None),
        (["HF", "MP2", "CCSD", "HF", "MP2"], "", -2.0, "MP2", None),
        (["DFT", "DF-MP2"], "B3LYP", -2.0, "DF-MP2", None),
        (["DFT", "HF", "MP2", "CCSD"], "B3LYP", -3.0, "CCSD", None),
        (["DFT", "MP2"], "B2PLYP", -3.0, "MP2", "B2PLYP"),
        (["DFT", "DF-MP2"], "B2GPPLYP", -3.0, "DF-MP2", "B2GPPLYP"),
        (["DFT", "DF-MP2"], "DSD-PBEP86", -3.0, "DF-MP2", "DSD-PBEP86"),
        (["DFT", "DFT"], "hf", -3.0, "DFT", "hf"),
        ([], "", -3.0, None, None),
    ],
)
def test_the_method_that_stands_last_tells_which_energies_are_its_own(
    methods: list[str], functional: str, total: float, method: str | None, called: str | None
) -> None:
    metadata = {"methods": methods, "functional": functional}
    data = SimpleNamespace(
        metadata=metadata, scfenergies=[-EV], mpenergies=[[-2.0 * EV]], ccenergies=[-3.0 * EV]
    )
    assert collect_energies(data)["total_hartree"] == pytest.approx(total)
    facts = collect_facts(data, "qchem")
    assert (facts.get("method"), facts.get("functional")) == (method, called)


@pytest.mark.parametrize(
    ("methods", "words", "functional"),
    [
        (["DFT", "MP2"], ["B2PLYP", "def2-SVP"], "B2PLYP"),
        (["DFT"], ["B3LYP", "Opt", "PBE0"], "PBE0"),
        (["HF"], ["B3LYP", "HF"], None),
        (["HF", "MP2"], ["B3LYP", "RI-MP2"], None),
    ],
)
def test_the_functional_of_orca_is_that_of_the_last_job(
    methods: list[str], words: list[str], functional: str | None
) -> None:
    data = SimpleNamespace(metadata={"methods": methods, "keywords": words})
    assert collect_facts(data, "orca").get("functional") == functional


@shared
def test_the_energy_of_orca_is_the_one_that_it_calls_final(tmp_path: Path) -> None:
    whole = content(O_IR)
    outcome = read(
        whole.replace(FINAL_LINE, FINAL_LINE.replace(b"-382.055107107616", b"-382.045107107616")), tmp_path
    )
    assert outcome.status is Status.SUCCESS
    energies = outcome.facts["energies"]
    assert energies["total_hartree"] == -382.045107107616
    assert energies["total_is"] == "final single point energy"
    assert energies["scf_hartree"] == pytest.approx(-382.055107107616, abs=1e-9)
    assert "energy -382.045107 hartree" in outcome.sentence
    assert outcome.facts["method"] == "DFT"


@shared
@pytest.mark.parametrize(
    "line",
    [
        b"FINAL SINGLE POINT ENERGY (Wavefunction not fully converged!)   -382.055107107616\n",
        b"FINAL SINGLE POINT ENERGY      -382.055107107616 (Wavefunction not fully converged!)\n",
    ],
)
def test_a_wavefunction_that_did_not_converge_is_told(line: bytes, tmp_path: Path) -> None:
    outcome = read(content(O_IR).replace(FINAL_LINE, line), tmp_path)
    assert outcome.status is Status.PARTIAL
    assert "the program ended, but it says “Wavefunction not fully converged!”" in outcome.sentence


@shared
def test_the_energy_of_a_state_is_not_that_of_the_molecule(tmp_path: Path) -> None:
    facts = read(content(O_TD), tmp_path).facts
    # lines 3997 and 4002: DE(CIS) = 0.196682005 Eh, final -381.858426608871
    assert facts["energies"]["total_hartree"] == pytest.approx(-382.055108614, abs=1e-9)
    assert facts["energies"]["state_hartree"] == -381.858426608871
    assert any("state_hartree" in note for note in facts["notes"])


@shared
def test_an_energy_of_orca_belongs_to_its_job(tmp_path: Path) -> None:
    first = content(O_IR).replace(FINAL_LINE, b"MP2 TOTAL ENERGY:      -383.112119693 Eh\n" + FINAL_LINE)
    facts = read(first, tmp_path).facts
    assert (facts["method"], facts["energies"]["mp2_hartree"]) == ("MP2", pytest.approx(-383.112119693))
    assert facts["energies"]["total_hartree"] == -382.055107107616
    facts = read(first + JOB_2 + content(O_OPT), tmp_path).facts
    assert facts["energies"]["total_hartree"] == -382.055133372796  # line 8189
    assert (facts["method"], "mp2_hartree" in facts["energies"]) == ("DFT", False)


@shared
def test_orca_displaces_geometries_too(tmp_path: Path) -> None:
    whole = content(O_IR)
    at = whole.index(b"VIBRATIONAL FREQUENCIES")
    again = whole[whole.rindex(b"\n", 0, whole.index(b"Iteration")) : whole.index(FINAL_LINE)] + FINAL_LINE
    displaced = b"\n\t<< Calculating gradient on displaced geometry   1 (of 120) >>\n" + again.replace(
        b"-382.05510710", b"-382.01510710"
    )
    outcome = read(whole[:at] + displaced + whole[at:], tmp_path)
    energies = outcome.facts["energies"]
    assert outcome.facts["scf"]["steps"] == 2
    assert energies["total_hartree"] == -382.055107107616
    assert energies["scf_hartree"] == pytest.approx(-382.055107107616, abs=1e-9)


@pytest.mark.parametrize(
    ("said", "method", "energies"),
    [
        (Said(final=-76.3, jobs=1), "DLPNO-CCSD(T)", {"total_hartree": -76.3}),
        (Said(final=-76.0, jobs=1), "HF", {"total_hartree": -76.0}),
        (Said(final=-76.3, jobs=2), "HF", {"total_hartree": -76.3}),
        (Said(final=-76.3, root=float("nan"), jobs=1), "HF", {"total_hartree": -76.0}),
        (Said(jobs=1), "HF", {"total_hartree": -76.0}),
    ],
)
def test_what_is_final_tells_the_method(said: Said, method: str, energies: dict[str, float]) -> None:
    facts = {
        "method": "HF",
        "keywords": "RHF DLPNO-CCSD(T) cc-pVTZ TightSCF",
        "energies": {"total_hartree": -76.0},
    }
    ending = Ending(whole=True, closing="")
    assert add_final(facts, said, ending) is ending
    assert facts["method"] == method
    assert facts["energies"]["total_hartree"] == energies["total_hartree"]


@pytest.mark.parametrize(
    ("keywords", "method"), [("CEPA/1 cc-pVTZ", "CEPA/1"), ("DLPNO-CCSD cc-pVTZ", "CCSD"), ("", "CCSD")]
)
def test_the_input_names_the_method_whose_lines_are_those_of_others(keywords: str, method: str) -> None:
    facts = {"method": "CCSD", "keywords": keywords}
    add_final(facts, Said(final=-76.3, jobs=1), Ending(whole=True, closing=""))
    assert facts["method"] == method


def failed_first(whole: bytes, mark: bytes) -> bytes:
    """An optimisation in which a mark of convergence in the second step is that of a failure."""
    at = whole.index(mark, whole.index(mark) + 1)
    return whole[:at] + whole[at:].replace(mark, mark.replace(b"SCF CONVERGED", b"SCF NOT CONVERGED"), 1)


@shared
def test_an_earlier_scf_without_end_takes_no_energy(tmp_path: Path) -> None:
    outcome = read(failed_first(content(O_OPT), b"SCF CONVERGED AFTER"), tmp_path)
    facts = outcome.facts
    assert outcome.status is Status.SUCCESS
    assert facts["energies"]["total_hartree"] == -382.055133372796
    assert EARLIER in facts["notes"]
    energies = facts["geometry"]["energies_hartree"]
    assert energies[1] is None  # cclib takes its last change for it
    assert [round(energy, 6) for energy in energies if energy is not None] == [
        -382.055109,
        -382.055133,
        -382.055133,
    ]


@pytest.mark.parametrize(
    ("lines", "failed", "mended"),
    [
        (b"SCF CONVERGED AFTER\nSCF NOT CONVERGED AFTER\n", True, False),
        (b"SCF NOT CONVERGED AFTER\nSCF CONVERGED AFTER\n", False, True),
        (b"SCF NOT CONVERGED AFTER\n* O   R   C   A *\nSCF CONVERGED AFTER\n", False, False),
        (b"SCF CONVERGED AFTER\n", False, False),
    ],
)
def test_the_last_scf_of_a_job_counts(lines: bytes, failed: bool, mended: bool, tmp_path: Path) -> None:
    path = tmp_path / "some.out"
    path.write_bytes(b"* O   R   C   A *\n" + lines + b"****ORCA TERMINATED NORMALLY****\n")
    ending = look_at_ending(path, "orca")
    assert (ending.whole, ending.scf_failed, ending.scf_mended, bool(ending.error)) == (
        True,
        failed,
        mended,
        failed,
    )


@shared
@pytest.mark.parametrize("name", [G_IR, NWCHEM, O_IR, Q_51])
def test_two_frequency_calculations_are_no_optimisation(name: str, tmp_path: Path) -> None:
    outcome = read(content(name) * 2, tmp_path)
    assert outcome.status is Status.SUCCESS
    assert outcome.facts["calculation"] == ["frequencies"]
    assert "optimisation" not in outcome.sentence


@shared
def test_the_step_of_a_frequency_calculation_is_none_of_the_optimisation(tmp_path: Path) -> None:
    outcome = read(content(G_OPT) + content(G_IR), tmp_path)
    assert outcome.facts["geometry"]["steps"] == 5
    assert "optimisation and frequency calculation" in outcome.sentence
    assert "converged in 5 steps" in outcome.sentence


def test_steps_that_follow_one_another_are_an_optimisation() -> None:
    values = [[float(step)] * 4 for step in range(4)]
    for status, steps in (
        ([1, 0, 1, 1], [0, 1]),
        ([1, 1, 1, 1], [3]),
        ([1, 0, 1, 0], [0, 1, 2, 3]),
        ([1], [0, 1, 2, 3]),
    ):
        data = SimpleNamespace(metadata={}, geovalues=values, optstatus=status)
        told = collect_geometry(data, "gaussian")
        assert [row[0] for row in told["history"]] == [float(step) for step in steps]


@shared
@pytest.mark.parametrize(
    ("label", "total"), [(b"RB2PLYP", -382.9), (b"RMP2-FC", -382.9), (b"RTD-B3LYP-FC", -382.3082666020152)]
)
def test_the_total_energy_of_a_checkpoint_is_of_its_label(label: bytes, total: float, tmp_path: Path) -> None:
    whole = re.sub(rb"(?m)^(Total Energy +R +).*$", rb"\1-3.829000000000000E+02", content(CHECKPOINT))
    energies = read(whole.replace(b" RB3LYP ", b" " + label + b" ", 1), tmp_path).facts["energies"]
    assert energies["total_hartree"] == pytest.approx(total)
    assert energies["scf_hartree"] == pytest.approx(-382.3082666020152)
