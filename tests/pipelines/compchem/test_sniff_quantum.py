"""The program that wrote a file is told by its banner, and by nothing less."""

import os
from importlib.resources import files
from pathlib import Path

import pytest

from towpath.contracts import records
from towpath.pipelines.compchem.science import sniff
from towpath.pipelines.compchem.science.sniff_quantum import HEAD, sniff_quantum

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "compchem"
PROGRAMS = {
    "FChk": "fchk", "Gaussian": "gaussian", "MOPAC": "mopac", "NWChem": "nwchem", "ORCA": "orca", "Psi4": "psi4",
    "QChem": "qchem",
}  # fmt: skip


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared files of computational chemistry are absent")
def test_every_program_is_known() -> None:
    seen = set()
    for path in DATA.iterdir():
        program = PROGRAMS.get(path.name.partition("_")[0], "")
        head = path.read_bytes()[:HEAD]
        assert sniff_quantum(head) == program, path.name
        assert sniff_quantum(b"Loading module chem/2024\nHost: node7\n" + head) == (
            "" if program == "fchk" else program
        )
        assert sniff_quantum(head.replace(b"\n", b"\r\n")) == program, path.name
        seen.add(program)
    assert set(PROGRAMS.values()) <= seen


def test_who_matches_looks_at_as_much_as_who_reads() -> None:
    assert (sniff.HEAD, HEAD) == (records.HEAD, records.LONGER_HEAD)


GROMACS = b"""                      :-) GROMACS - gmx mdrun, 2022.5-Debian (-:
GROMACS:      gmx mdrun, version 2022.5
Log file opened on Tue Nov 24 2026
E. Lindahl: M. J. Abraham, Gaussian charge interactions, Amber, NWChem
   Step           Time
      0        0.00000
"""
TEXTS = {
    "gromacs": GROMACS * 40,
    "paper": b"We used Gaussian 16 (Gaussian, Inc., Wallingford CT), ORCA and Q-Chem.\n" * 20,
    "readme": b"# MOPAC\nThis reads MOPAC2016, Psi4: An Open-Source Ab Initio Electronic Structure Package\n",
    "input": b"%chk=a.chk\n#p b3lyp/sto-3g opt\n\nTitle\n\n0 1\nC 0.0 0.0 0.0\n",
    "atoms": b"Number of atoms\n 3\nNumber of atoms I like\n",
    "empty": b"",
    "zeros": bytes(HEAD),
    "archive": b"water.log\0\0\0\0 0000644\0" + b"\n Entering Gaussian System, Link 0=g16\n",
}


@pytest.mark.parametrize("name", TEXTS)
def test_what_only_names_a_program_is_none(name: str) -> None:
    assert sniff_quantum(TEXTS[name]) == ""


def test_noise_is_none() -> None:
    assert not any(sniff_quantum(os.urandom(HEAD)) for _ in range(20))


def test_files_of_molecular_dynamics_are_none() -> None:
    folder = Path(str(files("MDAnalysisTests") / "data"))
    heads = []
    for path in sorted(folder.iterdir())[::3]:
        if path.is_file():
            with path.open("rb") as stream:
                heads.append(stream.read(HEAD))
    assert len(heads) > 50
    assert not any(sniff_quantum(head) for head in heads)
