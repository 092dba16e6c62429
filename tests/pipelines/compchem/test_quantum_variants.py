"""What programs print beyond the shared files: MOPAC 22, builds of Psi4, modules of NWChem. Excerpts in their shape."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from towpath.pipelines.compchem.science.mended_lines import Mended
from towpath.pipelines.compchem.science.nwchem_reading import add_nwchem, add_total, read_nwchem
from towpath.pipelines.compchem.science.outcome import Outcome, Status, Unreadable
from towpath.pipelines.compchem.science.psi4_reading import add_method, add_psi4, read_psi4
from towpath.pipelines.compchem.science.quantum import read_quantum
from towpath.pipelines.compchem.science.quantum_facts import collect_facts, hartree

EV = 27.211386245988  # in a hartree, CODATA 2018

MOPAC_HEAD = """ *******************************************************************************
 **                              MOPAC v22.0.6                                **
 *******************************************************************************
                              PM7 CALCULATION RESULTS
 *******************************************************************************
 *  UHF        - UNRESTRICTED HARTREE-FOCK CALCULATION
 *******************************************************************************
 UHF PM7
 methyl

   ATOM   CHEMICAL          X               Y               Z
  NUMBER   SYMBOL      (ANGSTROMS)     (ANGSTROMS)     (ANGSTROMS)

     1       C          0.00000000      0.00000000      0.00000000
     2       H          1.08000000  *   0.00000000      0.00000000
     3       H         -0.54000000  *   0.93530000  *   0.00000000
     4       H         -0.54000000  *  -0.93530000  *   0.05000000  *

          UHF CALCULATION, NO. OF ALPHA ELECTRONS =    4
                           NO. OF BETA  ELECTRONS =    3

          Geometry optimization using EF

 CYCLE:     1 TIME:   0.008 TIME LEFT:  2.00D  GRAD.:    26.974 HEAT:  28.54841
 CYCLE:     2 TIME:   0.000 TIME LEFT:  2.00D  GRAD.:     0.735 HEAT:  27.97061
"""
MOPAC_RESULT = """
     GRADIENT =  0.73525 IS LESS THAN CUTOFF =  1.00000

     GEOMETRY OPTIMISED USING EIGENVECTOR FOLLOWING (EF).
     SCF FIELD WAS ACHIEVED

          FINAL HEAT OF FORMATION =         27.97055 KCAL/MOL =     117.02879 KJ/MOL
          ALPHA SOMO LUMO (EV)    =         -9.967  6.168
          BETA  SOMO LUMO (EV)    =        -14.184  0.541

                             CARTESIAN COORDINATES

   1    C        0.000674531     0.000087002     0.007787601
   2    H        1.057251233    -0.000271081    -0.008632922
   3    H       -0.529937406     0.913551978    -0.008531395
   4    H       -0.529642362    -0.913581237     0.040280896

"""
MOPAC_VIBRATION = """
          ZERO POINT ENERGY      10.094 KCAL/MOL

 VIBRATION          1    1A1         ATOM PAIR     ENERGY CONTRIBUTION    RADIAL
 T-DIPOLE  IS NOT IN KM/MOL
 FREQ.        15.08        C 12 --  C 16           +7.9% (999.0%)     0.0%
"""
MOPAC_END = """ ******************************************************************************
 *                                                                            *
 *     Error and normal termination messages reported in this calculation     *
 *                                                                            *
{0} * JOB ENDED NORMALLY                                                         *
 *                                                                            *
 ******************************************************************************

 == MOPAC DONE ==
"""
TOO_LARGE = " * Gradient in FORCE is too large, geometry is not at a stationary point on the P.E.S. *\n"


def read_text(content: str, folder: Path) -> Outcome:
    """Read an output with this content."""
    path = folder / "file.out"
    path.write_text(content, encoding="utf-8")
    return read_quantum({"output": [path]}, folder)


def test_mopac_22_is_read_as_it_stands(tmp_path: Path) -> None:
    outcome = read_text(MOPAC_HEAD + MOPAC_RESULT + MOPAC_END.format(""), tmp_path)
    facts = outcome.facts
    assert outcome.status is Status.SUCCESS
    assert outcome.sentence == (
        "MOPAC 22.0.6 geometry optimisation of CH3, PM7: converged in 2 steps, heat of formation 27.971 kcal/mol."
    )
    assert facts["energies"] == {"heat_of_formation_kcal_per_mol": 27.97055}
    assert facts["orbitals"]["gap_ev"] == pytest.approx(0.541 + 9.967)  # the spins have levels of their own
    assert facts["geometry"]["criteria"][0]["target"] == 1.0
    assert facts["multiplicity"] == 2
    # coordinates that are not optimised have no star in the table that cclib reads
    xyz = (tmp_path / "geometry.xyz").read_text(encoding="utf-8").splitlines()
    assert xyz[-1].split() == ["H", "-0.52964236", "-0.91358124", "0.04028090"]
    table = MOPAC_RESULT[MOPAC_RESULT.index("   CARTESIAN") :]
    cut = read_text(MOPAC_HEAD + MOPAC_RESULT + table[:200], tmp_path)
    assert (cut.status, cut.facts["formula"]) == (Status.PARTIAL, "CH3")  # of the table before


@pytest.mark.parametrize(
    ("content", "status", "told"),
    [
        (MOPAC_HEAD + MOPAC_END.format(" * EXCESS NUMBER OF OPTIMIZATION CYCLES   *\n"), Status.PARTIAL,
         "the geometry did not converge in 2 steps"),
        (MOPAC_HEAD + MOPAC_RESULT + MOPAC_END.format(TOO_LARGE), Status.PARTIAL, "it says “Gradient in FORCE is too large"),
        (MOPAC_HEAD, Status.PARTIAL, "in step 3 of the optimisation"),
        (MOPAC_HEAD.partition("\n          Geometry")[0] + "\n" + MOPAC_END.format(""), Status.PARTIAL, "could not be read"),
        (MOPAC_HEAD.partition("\n   ATOM")[0] + "\n" + MOPAC_END.format(" * UNRECOGNIZED KEY-WORDS: (NOSUCHKEY) *\n"),
         Status.FAILURE, "it says “UNRECOGNIZED KEY-WORDS: (NOSUCHKEY)”. Mend its input."),
    ],
)  # fmt: skip
def test_a_normal_end_of_mopac_may_be_none(content: str, status: Status, told: str, tmp_path: Path) -> None:
    try:
        outcome = read_text(content, tmp_path)
    except Unreadable as unreadable:
        outcome = Outcome(Status.FAILURE, unreadable.sentence)
    assert outcome.status is status
    assert told in outcome.sentence


def test_jobs_of_mopac_22_begin_with_its_banner(tmp_path: Path) -> None:
    """What the job before said of its end is not said of the last one."""
    whole = MOPAC_HEAD + MOPAC_RESULT + MOPAC_END.format("")
    failed = MOPAC_HEAD + MOPAC_RESULT + MOPAC_END.format(TOO_LARGE)
    cut = read_text(whole + MOPAC_HEAD.partition("PM7 CALCULATION")[0], tmp_path)
    assert cut.status is Status.PARTIAL and "without “MOPAC DONE”" in cut.sentence
    assert read_text(failed + whole, tmp_path).status is Status.SUCCESS
    assert read_text(whole + failed, tmp_path).status is Status.PARTIAL


def test_a_transition_dipole_is_no_intensity(tmp_path: Path) -> None:
    content = MOPAC_HEAD + MOPAC_RESULT + MOPAC_VIBRATION + MOPAC_END.format("")
    content = content.replace(
        " T-DIPOLE  IS NOT IN KM/MOL\n FREQ.        15.08        C 12 --  C 16           +7.9% (999.0%)     0.0%\n",
        " FREQ.        15.08\n T-DIPOLE    0.2028\n TRAVEL      0.0240\n RED. MASS   1.7712\n",
    )
    facts = read_text(content, tmp_path).facts
    assert facts["vibrations"]["wavenumbers_cm-1"] == [15.08]
    assert "ir_intensities_km_per_mol" not in facts["vibrations"]
    assert facts["thermochemistry"]["zero_point_hartree"] == pytest.approx(10.094 / 627.5094740631)


PSI4 = """
          Psi4: An Open-Source Ab Initio Electronic Structure Package
                               Psi4 1.3.2 release

                         Git: Rev {} zzzzzzz

energy('scf')

  ==> Geometry <==

    Molecular point group: c2v
    Full point group: C2v

    Geometry (in Angstrom), charge = 0, multiplicity = 1:

       Center              X                  Y                   Z               Mass
    ------------   -----------------  -----------------  -----------------  -----------------
         O            0.000000000000     0.000000000000     0.066700000000    15.994914619570
         H            0.000000000000     0.763000000000    -0.529300000000     1.007825032230
         H            0.000000000000    -0.763000000000    -0.529300000000     1.007825032230

  ==> Primary Basis <==

  Basis Set: 3-21G

  ==> Post-Iterations <==

   @RHF Final Energy:   -75.58548761
"""
CHECKPOINT = """Generated by Psi4
        SP                           RHF                       STO-3G
Number of atoms                            I                2
Charge                                     I                0
Multiplicity                               I                1
Number of electrons                        I               10
Atomic numbers                             I   N=           2
           9           1
Current cartesian coordinates              R   N=           6
  0.00000000e+00  0.00000000e+00 -8.70000000e-02  0.00000000e+00  0.00000000e+00
  1.65000000e+00
Total Energy                               R     -9.857119336211798e+01
"""
PSI4_VIBRATIONS = """
  ==> Harmonic Vibrational Analysis <==

  Note that "Vibration"s include 3 un-projected rotation-like modes.
  Vibration                       1                   2                   3
  Freq [cm^-1]                1095.1273i          931.0467i           825.8906i
  Irrep                           B1                  B2                  A2
  Reduced mass [u]              1.1259              1.0476              1.0078
  IR activ [km/mol]             1.5000              2.5000              3.5000
  ----------------------------------------------------------------------------------
  Vibration                       7                   8                   9
  Freq [cm^-1]                1836.6007           4223.6667           4541.0606
  Irrep                                               A1                  B2
  Reduced mass [u]              1.0817              1.0461              1.0800
  Total E0, Electronic energy at well bottom at 0 [K]                  -75.70954615 [Eh]
  IR activ [km/mol]            79.9374              0.0471              9.1692
"""


def test_a_build_of_psi4_without_a_branch_is_read(tmp_path: Path) -> None:
    outcome = read_text(PSI4 + "\n*** Psi4 exiting successfully. Buy a developer a beer!\n", tmp_path)
    facts = outcome.facts
    assert outcome.status is Status.SUCCESS
    assert (facts["program_version"], facts["formula"], facts["method"], facts["basis"]) == (
        "1.3.2",
        "H2O",
        "HF",
        "3-21G",
    )
    assert facts["energies"]["scf_hartree"] == pytest.approx(-75.58548761, abs=1e-8)


def test_a_checkpoint_of_psi4_has_a_total_energy_and_no_method(tmp_path: Path) -> None:
    facts = read_text(CHECKPOINT, tmp_path).facts
    assert (facts["program"], facts["method"]) == ("Psi4", "SCF")
    assert facts["energies"]["total_hartree"] == -98.57119336211798


def test_vibrations_of_psi4_are_those_of_all_blocks(tmp_path: Path) -> None:
    path = tmp_path / "some.out"
    path.write_text(PSI4_VIBRATIONS, encoding="utf-8")
    data = SimpleNamespace(
        metadata={},
        mpenergies=[[-75.7095398 * EV]],
        vibfreqs=[-1095.1273, -931.0467, -825.8906],
        vibsyms=["B1", "B2", "A2"],
    )
    notes, lacks = add_psi4(data, read_psi4(path))
    assert not lacks
    # not that of a displaced geometry
    assert hartree(data.mpenergies)[-1, -1] == pytest.approx(-75.70954615, abs=1e-9)
    assert data.vibfreqs.tolist() == [-1095.1273, -931.0467, -825.8906, 1836.6007, 4223.6667, 4541.0606]
    assert data.vibirs.tolist() == [1.5, 2.5, 3.5, 79.9374, 0.0471, 9.1692]
    assert not hasattr(data, "vibsyms")
    assert "Of the 6 vibrations 3 are rotations" in notes[0]


@pytest.mark.parametrize(
    ("asked", "methods", "functional", "method", "lacks"),
    [
        ("scf", [], "", "HF", False),
        ("scf", ["DF-MP2"], "", "HF", False),
        ("mp2", ["DFT", "DF-MP2"], "B3LYP", "DF-MP2", False),
        ("", [], "", "", False),
        ("b3lyp", ["DFT"], "B3LYP", "DFT", False),
        ("mp2", ["DF-MP2"], "", "DF-MP2", False),
        ("ccsd(t)", ["CCSD", "CCSD(T)"], "", "CCSD(T)", False),
        ("eom-ccsd", ["CCSD"], "", "EOM-CCSD", True),
        ("casscf", [], "", "CASSCF", True),
        ("mp3", ["MP2"], "", "MP3", True),
        ("b2plyp", ["DFT", "DF-MP2"], "B2PLYP", "B2PLYP", True),
        ("hf/", [], "", "HF", True),
    ],
)
def test_psi4_does_more_than_is_read(
    asked: str, methods: list[str], functional: str, method: str, lacks: bool
) -> None:
    data = SimpleNamespace(metadata={"methods": methods, "functional": functional})
    assert bool(add_method(data, asked)) is lacks
    assert [*data.metadata["methods"], ""][0 if not data.metadata["methods"] else -2] == method


def test_energies_of_fragments_are_not_those_of_the_whole(tmp_path: Path) -> None:
    content = PSI4 + "    SAPT Results \n\n*** Psi4 exiting successfully. Buy a developer a beer!\n"
    outcome = read_text(content, tmp_path)
    assert outcome.status is Status.PARTIAL
    assert "Energy and geometry are those of the last fragment" in outcome.sentence


NWCHEM = """
                         Geometry "water" -> ""
  alpha electrons =     5
  beta  electrons =     4
 d= 0,ls=0.0,diis     1   -230.6456579262 -4.34D+02  7.61D-03  4.26D-01     2.4
 Grid integrated density:      42.000094434467
 d= 0,ls=0.0,diis     2   -230.6907435376 -4.51D-02  1.52D-03  8.09D-03     4.7
         Total SCF energy =    -75.585023289260
          Total MP2 energy           -75.709619023875
 atom:   1 xyz: 1(+) wall time:       1.0      date:  Thu Nov 26 13:21:48 2026
         Total SCF energy =    -75.584995537870
          Total MP2 energy           -75.709618841406
 Thermal correction to Enthalpy   =   15.061 kcal/mol  (  0.024000 au)
          NORMAL MODE EIGENVECTORS IN CARTESIAN COORDINATES
"""


def nwchem(content: str, path: Path) -> dict[str, Any]:
    """The facts of what cclib reads of a frequency calculation, with what the content adds."""
    path.write_text(content, encoding="utf-8")
    data = SimpleNamespace(
        mult=5,
        metadata={"methods": ["HF", "MP2"]},
        scfenergies=[-75.584995537870 * EV],
        mpenergies=[[-75.709618841406 * EV]],
        scfvalues=[[[-4.34e2, 7.61e-3, 4.26e-1]]],
        enthalpy=-75.560995537870,
        entropy=7.0e-5,
        temperature=300.0,
    )
    said = read_nwchem(path)
    assert said.geometries == {"water"}
    add_nwchem(data, said)
    facts = collect_facts(data, "nwchem")
    add_total(facts, said)
    return facts


def test_energies_of_displaced_geometries_are_no_results(tmp_path: Path) -> None:
    facts = nwchem(NWCHEM, tmp_path / "some.out")
    assert facts["multiplicity"] == 2
    assert facts["scf"]["history"][1] == [-4.51e-2, 1.52e-3, 8.09e-3]
    assert facts["energies"]["scf_hartree"] == pytest.approx(-75.585023289260, abs=1e-8)
    assert facts["energies"]["total_hartree"] == pytest.approx(-75.709619023875, abs=1e-8)
    # cclib adds the correction of the enthalpy to the energy of the last SCF
    assert facts["thermochemistry"]["enthalpy_hartree"] == pytest.approx(-75.709619023875 + 0.024, abs=1e-9)
    assert facts["thermochemistry"]["gibbs_energy_hartree"] == pytest.approx(
        -75.709619023875 + 0.003, abs=1e-9
    )


@pytest.mark.parametrize(
    ("line", "method", "told"),
    [
        (" Total CCSD(T) energy:            -75.717520737248449", "CCSD(T)", "CC"),
        (" MBPT(3) total energy / hartree       =       -75.711797099480776", "MP3", "MP3"),
        (" CISD total energy / hartree       =       -75.712004150676179", "CISD", "CISD"),
        ("       Total MCSCF energy =    -75.600788987251", "MCSCF", "MCSCF"),
    ],
)
def test_the_total_energy_is_of_the_method_that_stands_last(
    line: str, method: str, told: str, tmp_path: Path
) -> None:
    facts = nwchem(f"{NWCHEM}{line}\n", tmp_path / "some.out")
    assert (facts["method"], facts["energies"]["total_is"]) == (method, told)
    assert facts["energies"]["total_hartree"] == float(line.split()[-1])


@pytest.mark.parametrize(
    ("program", "line", "mended"),
    [
        ("psi4", " Git: Rev {} zzzzzzz \n", " Git: Rev zzzzzzz \n"),
        ("psi4", " Git: Rev {HEAD} 4ce9b0b\n", ""),
        ("psi4", " Git: Rev {fix/it} 4ce9b0b dirty\n", " Git: Rev 4ce9b0b dirty\n"),
        ("nwchem", " I     lanl2dz ecp     4     8   2s2p\n", " I     lanl2dz_ecp     4     8   2s2p\n"),
        ("nwchem", " C     sto-3g     3     5   2s1p\n", ""),
        (
            "nwchem",
            "  Root   1      a    0.167813278 a.u.\n",
            "  Root   1 open-shell a    0.167813278 a.u.\n",
        ),
        ("nwchem", "  Root   1 singlet b2    0.116732 a.u.    3.1764 eV \n", ""),
        ("nwchem", ' Geometry "water" -> ""\n', ' Geometry "geometry" -> ""\n'),
        ("nwchem", ' Geometry "b" -> ""\n', ""),
    ],
)
def test_lines_at_which_cclib_gives_up_are_mended(
    program: str, line: str, mended: str, tmp_path: Path
) -> None:
    path = tmp_path / "some.out"
    path.write_text(line, encoding="utf-8")
    with path.open(encoding="utf-8") as stream:
        assert Mended(stream, program, "water").read() == (mended or line)
