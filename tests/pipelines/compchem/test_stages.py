"""The stages: what came of a child becomes outcome, caveats, reasons, measures and products; on real files too."""

import hashlib
import importlib.resources
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil
import pytest

from towpath.adapters.executors.local import LocalExecutor
from towpath.base.states import Outcome
from towpath.contracts.executor import Batch, Report, Resources, Task, TaskFile
from towpath.contracts.stage import One
from towpath.pipelines.compchem import stages
from towpath.pipelines.compchem.science import parsers, sandbox, sniff
from towpath.pipelines.compchem.stages import (
    STAGES,
    Drawing,
    DrawQuantum,
    Energies,
    Quantum,
    Reading,
    Simulation,
)
from towpath.testing import StageResult, run_stage

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[3] / "shared" / "data" / "compchem"
sys.path.insert(0, str(HERE))  # the server of the sandbox finds the readers as this process does

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no {DATA.name} data beside the repository")
OUTPUT = "Gaussian_basicGaussian16_water_mp2.log"


@pytest.fixture(scope="module", autouse=True)
def _server() -> Iterator[None]:
    yield
    sandbox.close()


@pytest.fixture
def as_reader(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put one of the hostile readers in the place of those that read and draw."""

    def put(name: str) -> None:
        for table in ("READERS", "DRAWERS"):
            names = getattr(parsers, table)
            monkeypatch.setattr(
                stages, table, MappingProxyType(dict.fromkeys(names, f"hostile_readers:{name}"))
            )

    return put


class Read(Quantum):
    """Reads one file, whatever the role is called."""

    consumes = {"file": One("deposit/output")}


def raw(folder: Path, name: str = "a.out") -> Path:
    path = folder / name
    path.write_text("content")
    return path


def read(tmp_path: Path, stage: Reading | None = None, name: str = "a.out") -> StageResult:
    return run_stage(stage or Read(), {"file": raw(tmp_path, name)}, tmp_path)


def measured(result: StageResult) -> dict[str, Any]:
    return {name: one.value for name, one in result.measures.items()}


# ---- outcomes


def test_success_is_done(tmp_path: Path, as_reader: Any) -> None:
    as_reader("well")
    result = read(tmp_path)
    assert (result.outcome, result.error, result.caveats) == (Outcome.DONE, "", ())
    assert result.outputs["metadata"].name == "metadata.json"
    found = measured(result)
    assert 0 < found.pop("parser_seconds") < 20
    assert int(found.pop("program")) == sandbox.server_pid()  # as the reader says
    assert result.measures["parser_seconds"].unit == "s"
    assert found == {
        "status": "SUCCESS",
        "sentence": "All was read.",
        "parser": "own",
        "parser_version": "1",
        "n_atoms": 3,
        "energy": -1.5,
    }
    assert result.measures["energy"].unit == "hartree"
    assert result.progress[0].note == "reading a.out"


@pytest.mark.parametrize("name", ["-rf *; $HOME.out", "Größe µ 分子.log", "no-extension", "'quoted\"\n.fchk"])
def test_readers_see_the_name_that_the_depositor_gave(name: str, tmp_path: Path, as_reader: Any) -> None:
    as_reader("names")
    result = read(tmp_path, name=name)
    assert json.loads(result.outputs["metadata"].read_text()) == {"name": name, "text": "content"}


def test_partial_is_done_with_a_caveat(tmp_path: Path, as_reader: Any) -> None:
    as_reader("partly")
    result = read(tmp_path)
    assert (result.outcome, result.caveats) == (Outcome.DONE, ("Half was read. Upload the whole file.",))
    assert set(result.outputs) == {"metadata"}
    assert measured(result)["status"] == "PARTIAL"


@pytest.mark.parametrize(
    ("reader", "reason"),
    [
        ("unreadable", "The file is a picture. Upload the output itself."),
        ("segfault", "Reading this file as the output of a program of quantum chemistry ended in a crash"),
        (
            "endless",
            "Reading this file as the output of a program of quantum chemistry did not end within 0.5 s",
        ),
        (
            "memory",
            "Reading this file as the output of a program of quantum chemistry needed more than 200 MB",
        ),
        (
            "many_files",
            "Reading this file as the output of a program of quantum chemistry wrote more than 1 MB",
        ),
    ],
)
def test_failure_is_rejected(reader: str, reason: str, tmp_path: Path, as_reader: Any) -> None:
    as_reader(reader)
    seconds = 0.5 if reader == "endless" else 20.0
    result = read(tmp_path, Read(seconds=seconds, memory=200_000_000, output=1_000_000))
    assert (result.outcome, result.outputs, result.error) == (Outcome.REJECTED, {}, "")
    (told,) = result.reasons
    assert told.startswith(reason)
    assert measured(result)["status"] == "FAILURE"
    assert measured(result)["sentence"] == told
    assert [path.name for path in tmp_path.glob("run-*/.*")] == []  # nothing is left in staging


def test_what_the_system_lacks_is_tried_again(tmp_path: Path, as_reader: Any, monkeypatch: Any) -> None:
    as_reader("disk_full")
    assert (read(tmp_path).outcome, read(tmp_path).error) == (
        Outcome.TRANSIENT,
        "OSError: [Errno 28] No space left on device",
    )
    as_reader("always_kills_server")
    result = read(tmp_path)
    assert (result.outcome, result.error) == (
        Outcome.TRANSIENT,
        "the server that reads files ended twice (it was ended)",
    )


def test_what_is_not_installed_fails_the_run(tmp_path: Path, as_reader: Any) -> None:
    as_reader("needs")
    result = read(tmp_path)
    assert result.outcome is Outcome.FAILED
    assert result.error.endswith("is not installed: ModuleNotFoundError: No module named 'no_such_library'")


def test_an_output_that_is_not_declared_is_a_defect(tmp_path: Path, as_reader: Any) -> None:
    as_reader("draws_unknown")
    result = read(tmp_path)
    assert result.outcome is Outcome.FAILED
    assert result.error.startswith("ValueError: outputs unknown were made; expected are metadata, geometry")


def test_drawing_that_fails_is_a_caveat(tmp_path: Path, as_reader: Any) -> None:
    metadata = tmp_path / "metadata.json"
    metadata.write_text("{}")
    as_reader("draws")
    result = run_stage(DrawQuantum(), {"metadata": metadata}, tmp_path)
    assert (result.outcome, result.caveats) == (Outcome.DONE, ())
    assert result.outputs["structure"].read_bytes() == b"\x89PNG\r\n\x1a\n{}"
    assert measured(result)["n_pictures"] == 1
    for reader, caveat in (
        ("unreadable", "The file is a picture. Upload the output itself."),
        ("raises", "Drawing the pictures failed (KeyError: 'line 12"),
        ("killed", "Drawing the pictures needed more than 4 GB of memory and was stopped."),
    ):
        as_reader(reader)
        result = run_stage(DrawQuantum(), {"metadata": metadata}, tmp_path)
        assert (result.outcome, result.outputs, result.error) == (Outcome.DONE, {}, "")
        assert result.caveats[0].startswith(caveat)


# ---- in a worker


def test_a_stopped_run_leaves_no_process_and_the_next_one_works(tmp_path: Path) -> None:
    task_file = _task_file(raw(tmp_path))
    executor = LocalExecutor(tmp_path / "logs", 1, sys_path=[str(HERE)])
    try:
        first = _run(executor, _batch(tmp_path, "Good", [1, 2], task_file), 2)
        assert [one.outcome for one in first] == [Outcome.DONE, Outcome.DONE]
        assert [one.caveats for one in first] == [(), ()]  # the server is no process that outlived its run
        servers = {_value(one, "program") for one in first}
        assert len(servers) == 1  # and serves both
        executor.submit(_batch(tmp_path, "Waits", [3], task_file))
        begun = _wait(lambda: next(iter((tmp_path / "store").glob(".*~scratch/made/begun")), None))
        family = [int(pid) for pid in begun.read_text().split()] + [int(pid) for pid in servers]
        assert len(_living(family)) == 3
        executor.stop([(3, 1)])
        (stopped,) = _collect(executor, 1)
        assert stopped.outcome is Outcome.STOPPED
        assert _living(family) == []
        (after,) = _run(executor, _batch(tmp_path, "Good", [4], task_file), 1)
        assert (after.outcome, after.caveats) == (Outcome.DONE, ())
        server = int(_value(after, "program"))
        assert server not in family
    finally:
        executor.close()
    _wait(lambda: not _living([server]))


def _value(report: Report, name: str) -> Any:
    return next(one.value for one in report.measures if one.name == name)


def _task_file(path: Path) -> TaskFile:
    status = path.stat()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return TaskFile(
        str(path),
        "deposit/output",
        "item",
        "",
        status.st_size,
        status.st_mtime_ns,
        digest,
        False,
        attributes={},
    )


def _batch(folder: Path, name: str, works: list[int], file: TaskFile) -> Batch:
    return Batch(
        pipeline="test",
        kind="item",
        stage="read",
        target=f"stages_that_wait:{name}",
        params={},
        outputs=dict(Quantum.produces),
        single=frozenset({"file"}),
        tasks=[
            Task(work, 1, f"item-{work}", str(folder / "store" / f"item-{work}"), {"file": [file]})
            for work in works
        ],
        optional=Quantum.optional_outputs,
        resources=Resources(),
    )


def _run(executor: LocalExecutor, batch: Batch, count: int) -> list[Report]:
    executor.submit(batch)
    return _collect(executor, count)


def _collect(executor: LocalExecutor, count: int) -> list[Report]:
    found: list[Report] = []

    def is_complete() -> bool:
        found.extend(one for one in executor.poll(0.1) if isinstance(one, Report))
        return len(found) >= count

    _wait(is_complete)
    return sorted(found, key=lambda one: one.work)


def _wait(what: Callable[[], Any], seconds: float = 30.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)
    return found


def _living(pids: list[int]) -> list[int]:
    return [
        pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    ]


# ---- what is declared


def test_a_version_names_the_parsers() -> None:
    assert Quantum.version == f"1 cclib {version('cclib')} rdkit {version('rdkit')}"
    assert parsers.versioned("2", "no-such-parser") == "2 no-such-parser absent"
    assert all(" " in stage.version for stage in STAGES)


def test_limits_enter_no_key_and_are_positive() -> None:
    assert Quantum.unkeyed == {"seconds", "memory", "output"}
    assert set(Simulation.model_fields) - Simulation.unkeyed == {"gromacs"}
    with pytest.raises(ValueError, match="greater than 0"):
        Energies(seconds=0.0)


def test_what_is_drawn_is_what_is_read() -> None:
    reading = {stage.kind: stage for stage in STAGES if issubclass(stage, Reading)}
    drawing = {stage.kind: stage for stage in STAGES if issubclass(stage, Drawing)}
    assert set(reading) == set(drawing) == set(parsers.READERS) == set(parsers.DRAWERS) == set(parsers.WORDS)
    for kind, draws in drawing.items():
        made: Mapping[str, str] = reading[kind].produces
        assert len(set(made.values())) == len(made)  # each is found by its type
        for name, form in draws.consumes.items():
            assert isinstance(form, One)
            assert (form.type, form.optional) == (made[name], name != "metadata")
        assert draws.optional_outputs == set(draws.produces)
        assert reading[kind].optional_outputs == set(made) - {"metadata"}


def test_the_stages_are_light() -> None:
    code = (
        "import sys, towpath.pipelines.compchem.stages;"
        "print(sorted({'numpy', 'cclib', 'rdkit', 'gemmi', 'MDAnalysis', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# ---- real files


def mdanalysis(name: str) -> Path:
    return Path(str(importlib.resources.files("MDAnalysisTests"))) / "data" / name


@needs_data
def test_an_output_is_read_and_drawn(tmp_path: Path) -> None:
    result = run_stage(Quantum(), {"output": DATA / OUTPUT}, tmp_path)
    assert (result.outcome, result.error, result.caveats) == (Outcome.DONE, "", ())
    found = measured(result)
    assert (found["status"], found["parser"], found["parser_version"]) == (
        "SUCCESS",
        "cclib",
        version("cclib"),
    )
    assert (found["program"], found["n_atoms"]) == ("Gaussian", 3)
    assert found["energy"] == pytest.approx(-75.002282127454, abs=1e-9)  # "EUMP2 =" of the file
    facts = json.loads(result.outputs["metadata"].read_text())
    assert facts["program"] == "Gaussian"
    given = {name: result.outputs.get(name) for name in DrawQuantum.consumes}
    drawn = run_stage(DrawQuantum(), given, tmp_path)
    assert (drawn.outcome, drawn.error, drawn.caveats) == (Outcome.DONE, "", ())
    assert set(drawn.outputs) == {"structure", "scf"}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn.outputs.values())


REAL: list[tuple[type[Reading], type[Drawing], dict[str, str], set[str]]] = [
    (stages.Simulation, stages.DrawSimulation, {"tpr": "tprs/2lyz_gmx_2021.tpr"}, {"composition"}),
    (stages.Structure, stages.DrawStructure, {"structure": "mmcif/1YJP.cif"}, {"picture"}),
    (stages.Trajectory, stages.DrawTrajectory, {"topology": "cobrotoxin.tpr", "trajectory": "cobrotoxin.xtc"},
     {"course"}),
    (stages.Energies, stages.DrawEnergies, {"energies": "test.edr"}, {"energies"}),
]  # fmt: skip


@pytest.mark.parametrize(("reads", "draws", "files", "pictures"), REAL, ids=[one[0].kind for one in REAL])
def test_files_of_simulations_are_read_and_drawn(
    reads: type[Reading], draws: type[Drawing], files: dict[str, str], pictures: set[str], tmp_path: Path
) -> None:
    result = run_stage(reads(), {role: mdanalysis(name) for role, name in files.items()}, tmp_path)
    assert (result.outcome, result.error) == (Outcome.DONE, "")
    assert measured(result)["status"] in ("SUCCESS", "PARTIAL")
    drawn = run_stage(draws(), {name: result.outputs.get(name) for name in draws.consumes}, tmp_path)
    assert (drawn.outcome, drawn.error, drawn.caveats) == (Outcome.DONE, "", ())
    assert set(drawn.outputs) == pictures


@pytest.mark.parametrize("reads", [stage for stage in STAGES if issubclass(stage, Reading)])
@pytest.mark.parametrize("content", [b"hello\n", random.Random(6).randbytes(5000)])
def test_garbage_is_a_sentence(reads: type[Reading], content: bytes, tmp_path: Path) -> None:
    files = {name: tmp_path / f"{name}.out" for name in reads.consumes}
    for path in files.values():
        path.write_bytes(content)
    result = run_stage(reads(), files, tmp_path)
    assert (result.outcome, result.error) == (Outcome.REJECTED, "")
    assert "failed (" not in result.reasons[0]  # the reader knows why
    assert result.reasons[0].endswith(".")


def test_the_server_has_no_threads_after_all_that_it_imports(tmp_path: Path, capfd: Any) -> None:
    sandbox.close()
    needed = sorted(
        {
            name
            for target in (*parsers.READERS.values(), *parsers.DRAWERS.values())
            for name in parsers.preload(target)
        }
    )
    folder = tmp_path / "made"
    folder.mkdir()
    ran = sandbox.run_limited(
        "hostile_readers:well",
        {"file": [raw(tmp_path)]},
        folder,
        seconds=60.0,
        memory=1 << 29,
        output=1 << 20,
        preload=needed,
    )
    assert ran.outcome.facts["server"] == sandbox.server_pid()
    server = sandbox.server_pid()
    assert server is not None
    assert psutil.Process(server).num_threads() == 1
    assert "Traceback" not in capfd.readouterr().err  # all could be imported


# ---- what a file is


@needs_data
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("FChk_basicGaussian16_dvb_gopt.fchk", "fchk"),
        ("Gaussian_basicGaussian16_dvb_ir.out", "gaussian"),
        ("MOPAC_basicMOPAC2016_dvb_gopt.out", "mopac"),
        ("NWChem_basicNWChem7.0_dvb_ir.out", "nwchem"),
        ("ORCA_basicORCA6.0_dvb_ir.out", "orca"),
        ("Psi4_basicPsi4-1.7_dvb_gopt_rks.out", "psi4"),
        ("QChem_basicQChem5.4_dvb_ir.out", "qchem"),
    ],
)
def test_an_output_is_known_by_its_content(name: str, content: str) -> None:
    assert content_of(DATA / name) == content


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tprs/2lyz_gmx_2026_0.tpr", "tpr"),
        ("cobrotoxin.xtc", "xtc"),
        ("adk_oplsaa.trr", "trr"),
        ("adk_oplsaa.gro", "gro"),
        ("adk_open.pdb", "pdb"),
        ("mmcif/1YJP.cif", "mmcif"),
        ("mol2/Molecule.mol2", "mol2"),
        ("2r9r-1b.xyz", "xyz"),
        ("Amber/ace_tip3p.parm7", "prmtop"),
        ("Amber/ace_tip3p.nc", "netcdf"),
        ("adk_dims.dcd", "dcd"),
        ("test.edr", "edr"),
    ],
)
def test_a_file_of_a_simulation_is_known_by_its_content(name: str, content: str) -> None:
    path = mdanalysis(name)
    if not path.exists():
        pytest.skip(f"{name} is not in this version of MDAnalysisTests")
    assert content_of(path) == content


def content_of(path: Path) -> str:
    with path.open("rb") as file:
        return sniff.content_of(file.read(2 * sniff.HEAD))


@pytest.mark.parametrize(
    "head", [b"", b"hello\n", bytes(5000), b"\x89PNG\r\n\x1a\n", b"Gaussian and GROMACS\n"]
)
def test_what_is_not_known_is_not_guessed(head: bytes) -> None:
    assert sniff.content_of(head) == ""
    assert sniff.describe("") == "of a content that is not known here"
    assert sniff.describe("gaussian") == "a Gaussian output"
