"""Energies and tables are read with their units, as `gmx energy` prints them; what is cut keeps its whole rows."""

import bz2
import csv
import importlib.resources
import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from towpath.pipelines.compchem.science import energies
from towpath.pipelines.compchem.science.energies import read_energies
from towpath.pipelines.compchem.science.outcome import Outcome, Status, Unreadable
from towpath.pipelines.compchem.science.xvg import clean, read_xvg

MDA = Path(str(importlib.resources.files("MDAnalysisTests") / "data"))


def read(path: Path, folder: Path) -> Outcome:
    return read_energies({"energies": [path]}, folder)


def columns(folder: Path) -> dict[str, list[float]]:
    with (folder / "energies.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    return {name: [float(row[i]) for row in rows[1:]] for i, name in enumerate(rows[0])}


# What `printf "Potential Temperature Pressure Box-X" | gmx energy -f test.edr` writes, rows at 0, 0.02, 0.04, 0.06 ps.
PRINTED = {
    "Time (ps)": [0.0, 0.02, 0.04, 0.06],
    "Potential (kJ/mol)": [-525164.0625, -524592.125, -524418.8125, -524649.0625],
    "Bond (kJ/mol)": [1374.823242, 1426.225220, 1482.009888, 1470.337524],
    "Coulomb (SR) (kJ/mol)": [-634643.9375, -634577.25, -634705.5625, -634513.875],
    "LJ (SR) (kJ/mol)": [93403.53125, 93969.390625, 94167.46875, 93807.351562],
}


def test_an_energy_file(tmp_path: Path) -> None:
    outcome = read(MDA / "test.edr", tmp_path)
    assert outcome.status is Status.SUCCESS
    assert outcome.sentence == "GROMACS energies: 51 terms in 4 frames over 0.06 ps."
    found = columns(tmp_path)
    assert len(found) == 52
    for name, values in PRINTED.items():
        assert found[name] == pytest.approx(values, rel=1e-8, abs=1e-6)
    terms = {term["name"]: term for term in outcome.facts["terms"]}
    assert (terms["Volume"]["unit"], terms["Pressure"]["unit"], terms["Lamb-Protein"]["unit"]) == (
        "nm^3",
        "bar",
        "",
    )
    # gmx energy: Potential -524706 ± 277.717, Bond 1438.35 ± 42.1665
    assert terms["Potential"]["mean"] == pytest.approx(-524706, abs=0.5)
    assert terms["Potential"]["standard_deviation"] == pytest.approx(277.717, abs=5e-4)
    assert terms["Bond"]["standard_deviation"] == pytest.approx(42.1665, abs=5e-5)
    slope = np.polyfit(PRINTED["Time (ps)"], PRINTED["Bond (kJ/mol)"], 1)[0]
    assert terms["Bond"]["drift"] == pytest.approx(0.06 * slope)
    assert outcome.parser["name"] == "pyedr"


def test_one_frame_has_no_drift(tmp_path: Path) -> None:
    outcome = read(MDA / "single_frame.edr", tmp_path)
    assert outcome.status is Status.SUCCESS
    assert "51 terms in 1 frame over 0 ps" in outcome.sentence
    assert {term["drift"] for term in outcome.facts["terms"]} == {None}


def test_a_minimisation_has_steps_for_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "em.edr"
    path.write_bytes(struct.pack(">iii", -55555, 5, 1) + bytes(52))
    frames = [
        SimpleNamespace(t=float(step), step=step, dt=0.0, ener=[SimpleNamespace(e=-9000.0 - step)])
        for step in (0, 1, 49)
    ]
    file = type("File", (list,), {"nms": [SimpleNamespace(name="Potential", unit="kJ/mol")]})(frames)
    file.data = SimpleNamespace(get_position=lambda: 64)
    monkeypatch.setattr("pyedr.pyedr.EDRFile", lambda _: file)
    outcome = read(path, tmp_path)
    assert outcome.sentence == "GROMACS energies: 1 term in 3 frames over 49 steps of a minimisation."
    assert (outcome.facts["step_last"], "time_last_ps" in outcome.facts) == (49.0, False)
    assert columns(tmp_path) == {"Step": [0.0, 1.0, 49.0], "Potential (kJ/mol)": [-9000.0, -9001.0, -9049.0]}


@pytest.mark.parametrize(("left", "frames"), [(2339, 3), (2000, 2), (1600, 1)])
def test_a_cut_energy_file_keeps_its_whole_frames(tmp_path: Path, left: int, frames: int) -> None:
    (tmp_path / "cut").write_bytes((MDA / "test.edr").read_bytes()[:left])
    outcome = read(tmp_path / "cut", tmp_path)
    assert outcome.status is Status.PARTIAL
    assert "only whole frames before that were used. Upload the whole file" in outcome.sentence
    assert outcome.facts["frames"] == frames
    assert columns(tmp_path)["Bond (kJ/mol)"] == pytest.approx(PRINTED["Bond (kJ/mol)"][:frames])


@pytest.mark.parametrize("left", [13, 300, 1200, 1300])
def test_an_energy_file_without_a_frame(tmp_path: Path, left: int) -> None:
    (tmp_path / "cut").write_bytes((MDA / "test.edr").read_bytes()[:left])
    with pytest.raises(Unreadable, match=r"^The energy file .+ Upload it again\.$"):
        read(tmp_path / "cut", tmp_path)


def test_a_wide_table_with_grace_codes(tmp_path: Path) -> None:
    """Its axis is labelled with raised letters, as Grace writes them; its legends are "atom 1 X" and on."""
    (tmp_path / "forces.xvg").write_bytes(
        bz2.decompress((MDA / "cobrotoxin_protein_forces.xvg.bz2").read_bytes())
    )
    outcome = read(tmp_path / "forces.xvg", tmp_path)
    assert outcome.status is Status.SUCCESS
    assert (outcome.facts["title"], outcome.facts["x_label"]) == ("Force", "Time (ps)")
    assert (outcome.facts["frames"], len(outcome.facts["terms"])) == (3, 3 * 918)
    first = outcome.facts["terms"][0]
    assert (first["name"], first["unit"]) == ("atom 1 X", "kJ mol^-1 nm^-1")
    assert (first["first"], first["last"]) == (200.71288, -246.27269)


TABLE = """# by gmx energy
@    title "GROMACS Energies"
@    xaxis  label "Time (ps)"
@    yaxis  label "(kJ/mol), (K)"
@TYPE xy
@ s0 legend "Potential"
@ s1 legend "Temperature"
    0.000000  -524.5  301.0
    2.000000  -525.5  nan
    4.000000  -526.5  303.0
"""


def test_legends_and_units(tmp_path: Path) -> None:
    (tmp_path / "x.xvg").write_text(TABLE)
    outcome = read(tmp_path / "x.xvg", tmp_path)
    assert outcome.status is Status.SUCCESS
    assert outcome.sentence == "Table of GROMACS: “GROMACS Energies”, 3 rows of 2 quantities against Time."
    found = columns(tmp_path)
    assert found["Potential (kJ/mol)"] == [-524.5, -525.5, -526.5]
    assert list(found) == ["Time (ps)", "Potential (kJ/mol)", "Temperature (K)"]
    assert outcome.facts["terms"][0]["drift"] == pytest.approx(-2.0)
    assert outcome.facts["terms"][1]["mean"] is None  # not a number is null in JSON


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_a_table_is_read_in_the_encoding_of_its_mark(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "x.xvg").write_text(TABLE, encoding=encoding, newline="\r\n")
    outcome = read(tmp_path / "x.xvg", tmp_path)
    assert outcome.sentence == "Table of GROMACS: “GROMACS Energies”, 3 rows of 2 quantities against Time."
    assert columns(tmp_path)["Potential (kJ/mol)"] == [-524.5, -525.5, -526.5]


def test_tables_that_are_cut_or_have_more_sets(tmp_path: Path) -> None:
    (tmp_path / "x.xvg").write_text(TABLE[:-4])  # within the last number
    outcome = read(tmp_path / "x.xvg", tmp_path)
    assert outcome.status is Status.PARTIAL
    assert "Line 10 is no whole row of 3 numbers" in outcome.sentence
    assert outcome.facts["frames"] == 2
    outcome = read(MDA / "test.xvg", tmp_path)  # its second set begins in line 13
    assert outcome.status is Status.PARTIAL
    assert "Only the first set" in outcome.sentence
    assert columns(tmp_path)["column 3"] == [1.0, 2.0, 4.0, 8.0, 16.0]
    outcome = read(MDA / "bad_num_col.xvg", tmp_path)
    assert outcome.status is Status.PARTIAL
    assert outcome.facts["first_bad_line"] == 3


def test_codes_of_grace_are_cleaned() -> None:
    assert clean(r"\xD\f{}G (kJ mol\S-1\N)") == "ΔG (kJ mol^-1)"
    assert clean(r"dH/d\xl\f{} and \xD\f{}H (kJ/mol [\xl\f{}]\S-1\N)") == "dH/dλ and ΔH (kJ/mol [λ]^-1)"
    assert clean(r"r\sij\N") == "r_ij"
    assert read_xvg(MDA / "test_highf.xvg").values.shape[1] >= 1


GARBAGE = {
    "nothing": b"",
    "text": b"hello world\n" * 40,
    "noise": bytes((i * 7919 + 13) % 251 for i in range(4000)),
    "zeros": b"\0" * 4000,
    "one line": b"a" * 20_000_000,
    "a picture": b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" * 20,
    "settings only": b'@ title "x"\n' * 30,
    "a head of edr": b"\xff\xff\x26\xfd\0\0\0\5\0\0\0\x33" + b"\7" * 900,
    "one column": b"1\n2\n",
}


@pytest.mark.parametrize("suffix", [".edr", ".xvg"])
@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_is_refused_in_a_sentence(tmp_path: Path, kind: str, suffix: str) -> None:
    (tmp_path / f"x{suffix}").write_bytes(GARBAGE[kind])
    with pytest.raises(Unreadable, match=r"^(The|These|This) .+\. Upload .+\.$|Upload it again\.$"):
        read(tmp_path / f"x{suffix}", tmp_path)


def test_files_beyond_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energies, "MOST_BYTES", 1000)
    with pytest.raises(Unreadable, match="gmx eneconv -dt"):
        read(MDA / "test.edr", tmp_path)
