"""The whole line on records: simulated files against what was put in, real ones against what is written in them, and troubles."""

import csv
import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from towpath import Site
from towpath.app.looking import Details
from towpath.base.states import Outcome, Work
from towpath.pipelines.compchem.simulate import PEPTIDE, simulate

pytestmark = pytest.mark.slow

MDA = Path(str(files("MDAnalysisTests"))) / "data"
SITE = '[site]\nworkers = 2\n[repositories.records]\nroot = "records"\nsettle = 0.0\n[pipelines.compchem]\n'
REAL = {  # beside an output of ORCA 6
    "full.tpr": MDA / "tprs" / "2lyz_gmx_2021.tpr",
    "new.tpr": MDA / "tprs" / "ala_nnpot_gmx_2026_0.tpr",
    "cobrotoxin.tpr": MDA / "cobrotoxin.tpr",
    "cobrotoxin.xtc": MDA / "cobrotoxin.xtc",
    "test.edr": MDA / "test.edr",
    "1YJP.cif": MDA / "mmcif" / "1YJP.cif",
    "ace.parm7": MDA / "Amber" / "ace_tip3p.parm7",
    "ace.nc": MDA / "Amber" / "ace_tip3p.nc",
}


class Line:
    """A site that has done what there was to do, with what was put on the records."""

    def __init__(self, folder: Path, outputs: Path) -> None:
        self.records = folder / "records"
        (folder / "towpath.toml").write_text(SITE)
        self.truth = {truth.record: truth.files for truth in simulate(self.records)}
        real = self.records / "real"
        real.mkdir()
        for name, source in REAL.items():
            (real / name).write_bytes(source.read_bytes())
        orca = (outputs / "ORCA_basicORCA6.0_dvb_ir.out").read_bytes()
        (real / "orca.out").write_bytes(orca)
        cut = (outputs / "Gaussian_basicGaussian16_dvb_gopt.out").read_bytes()[:105_000]
        (real / "cut.log").write_bytes(cut)
        (real / "garbage.log").write_bytes(np.random.default_rng(1).bytes(5000))
        (real / "readme.md").write_text("What these files are.")
        (real / "hostile $(touch pwned); 'x' \".out").write_bytes(orca)
        self.site = Site.open(folder)
        self.summary = self.site.run()

    def of(self, record: str, file: str) -> Details:
        (item,) = self.site.items(pipeline="compchem", attributes={"record": record, "file": file})
        return self.site.show(item.name)

    def made(self, record: str, file: str, name: str) -> Path:
        """What was put on the record for a file."""
        return self.records / record / f"{self.of(record, file).item.key}-{name}"

    def metadata(self, record: str, file: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.made(record, file, "parse-metadata.json").read_text())
        return found

    def table(self, record: str, file: str, name: str) -> list[dict[str, str]]:
        with self.made(record, file, name).open(newline="") as lines:
            return list(csv.DictReader(line for line in lines if not line.startswith("#")))


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Iterator[Line]:
    line = Line(tmp_path_factory.mktemp("line"), data / "compchem")
    yield line
    line.site.close()


def parse(details: Details) -> Any:
    """The last run of the reading stage."""
    return [run for run in details.runs if run.stage == "parse"][-1]


def measured(run: Any) -> dict[str, Any]:
    return {one.name: one.value for one in run.measures}


@pytest.mark.parametrize("name", ["ethanol", "caffeine", "benzene"])
def test_vibrations_are_what_was_put_in(line: Line, name: str) -> None:
    truth = line.truth[name][f"{name}.out"]
    facts = line.metadata(name, f"{name}.out")
    assert facts["energies"]["total_hartree"] == pytest.approx(truth["energy_hartree"], abs=1e-9)
    rows = [list(row.values()) for row in line.table(name, f"{name}.out", "parse-vibrations.csv")]
    assert [float(row[1]) for row in rows] == pytest.approx(truth["wavenumbers"], abs=2e-3)
    assert [float(row[2]) for row in rows] == pytest.approx(truth["intensities"], abs=2e-3)
    from rdkit import Chem  # optional: slow to load

    assert facts["smiles"] == Chem.CanonSmiles(truth["smiles"])


def test_a_peptide_moves_as_it_was_made_to(line: Line) -> None:
    """The RMSD to the first frame is that of the noise: sqrt(3) sigma, less the six motions that are fitted away."""
    truth = line.truth["peptide"]["peptide.xtc"]
    rows = line.table("peptide", "peptide.xtc", "parse-table.csv")
    assert len(rows) == truth["frames"]
    times = [float(row["time_ps"]) for row in rows]
    assert np.diff(times) == pytest.approx(truth["interval_ps"], rel=1e-4)
    found = np.array([float(row["rmsd_nm"]) for row in rows]) * 10.0  # nm to angstrom
    sigma = np.array(truth["spreads_angstrom"])
    atoms = len(PEPTIDE)  # the reader takes alpha carbons
    expected = np.sqrt((3 * atoms - 6) / atoms) * sigma
    error = expected / np.sqrt(2 * (3 * atoms - 6))  # of one value: that of a chi distribution
    pull = (found[5:] - expected[5:]) / error[5:]
    assert abs(pull.mean()) < 4 / np.sqrt(len(pull))
    assert 0.5 < pull.std() < 1.6
    assert line.made("peptide", "peptide.pdb", "parse-sequence.fasta").read_text().splitlines()[1] == PEPTIDE


def test_a_crystal_has_the_cell_that_it_was_given(line: Line) -> None:
    facts = json.dumps(line.metadata("halite", "halite.cif"))
    assert "5.6402" in facts
    assert "225" in facts
    assert measured(parse(line.of("halite", "halite.cif")))["status"] == "SUCCESS"


def test_orca_6_is_read(line: Line) -> None:
    facts = line.metadata("real", "orca.out")
    assert facts["program_version"].startswith("6.0")
    assert facts["success"] is True
    assert facts["formula"] == "C10H10"
    assert parse(line.of("real", "orca.out")).caveats == ()


def test_a_run_input_is_annotated_in_full_or_as_far_as_its_version_allows(line: Line, gmx: str) -> None:
    annotation = json.loads(line.made("real", "full.tpr", "parse-annotation.json").read_text())
    assert annotation["main_information"]["simulation_length_ns"] == 200
    assert annotation["file_identification"]["name"] == "full.tpr"
    run = parse(line.of("real", "new.tpr"))
    assert run.outcome is Outcome.DONE
    assert "have a newer GROMACS installed" in run.caveats[0]


def test_pairs_are_read_together(line: Line) -> None:
    assert line.metadata("real", "cobrotoxin.xtc")["frames"] == 3
    assert line.metadata("real", "ace.nc")["frames"] == 10
    assert line.of("real", "ace.nc").item.attributes["files"]["topology"]["key"] == "ace.parm7"


def test_what_is_cut_off_gives_a_part_and_garbage_a_sentence(line: Line) -> None:
    run = parse(line.of("real", "cut.log"))
    assert run.outcome is Outcome.DONE
    assert "the file stops" in run.caveats[0]
    matched, _ = line.site.available_on("compchem", "real")
    assert matched.unmatched["garbage.log"].startswith(
        "no workflow: what is in garbage.log is not recognised as"
    )
    assert matched.unmatched["readme.md"].startswith("no workflow takes .md files")
    broken = parse(line.of("trouble", "broken.tpr"))
    assert broken.outcome is Outcome.REJECTED
    assert "gmx grompp" in broken.reasons[0]


def test_a_hostile_name_is_a_name(line: Line) -> None:
    name = "hostile $(touch pwned); 'x' \".out"
    assert line.metadata("real", name)["formula"] == "C10H10"
    assert not list(line.records.parent.rglob("pwned"))


def test_nothing_failed_and_nobody_was_shown_a_traceback(line: Line) -> None:
    states = {"done", "rejected", "waiting"}
    for item in line.site.items(pipeline="compchem", limit=1000):
        details = line.site.show(item.name)
        assert {row.state.value for row in details.work} <= states, item.key
        for run in details.runs:
            assert "Traceback" not in " ".join((*run.reasons, *run.caveats, run.error or ""))
    rejected = [item.key for item in line.site.items(state=Work.REJECTED, limit=1000)]
    assert rejected == ["trouble-simulation-1"]


def test_a_newer_parser_makes_results_stale(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    from towpath.pipelines.compchem.stages import Quantum  # a class whose version says the parser's

    assert "cclib 1.9rc1" in Quantum.version
    monkeypatch.setattr(Quantum, "version", Quantum.version.replace("1.9rc1", "1.9"))
    with Site.open(line.records.parent) as other:
        planned = [one for one in other.plan().work if one.stage == "parse"]
    assert planned
