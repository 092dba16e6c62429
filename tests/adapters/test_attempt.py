"""One run, from task to report: inputs verified, outputs made final at once, every end of user code an outcome."""

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from batches_for_tests import batch_of, hidden, names, task_file, tasks_of
from hypothesis import given
from hypothesis import strategies as st
from stages_for_tests import Copy, Previous, Raises, Scaled, Several, Tells, Write

from towpath.adapters.executors import staging
from towpath.adapters.executors.attempt import Attempts, NoLog
from towpath.adapters.executors.context import RunContext
from towpath.adapters.executors.inputs import Watched
from towpath.adapters.executors.processes import own_umask
from towpath.adapters.executors.wire import (
    batch_from_plain,
    batch_to_plain,
    dump,
    load,
    plain,
    report_from_plain,
    report_to_plain,
)
from towpath.base import renaming
from towpath.base.hashing import Content, content, file_sha256
from towpath.base.model import Measure, StepRecord
from towpath.base.states import Outcome
from towpath.contracts.executor import Batch, Credentials, Output, Progress, Report, Resources, Task
from towpath.contracts.stage import Stage
from towpath.testing.context import run_stage

TEXT = {"text": "text"}
BOTH = {"image": "fits", "cube": "zarr"}
Run = Callable[..., Report]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store" / "test" / "item"


@pytest.fixture
def told() -> list[Progress]:
    return []


@pytest.fixture
def run(store: Path, told: list[Progress], monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Give a function that does one run of a stage and returns its report."""
    attempts = Attempts("here", NoLog(), told.append, cores=4)

    def do(stage: str, outputs: Any = TEXT, *, task: dict[str, Any] | None = None, **fields: Any) -> Report:
        work = Task(7, 3, "a b", str(store / "a%20b"), **(task or {}))
        batch = batch_of(stage, [work], outputs, **fields)
        return attempts.run(attempts.prepare(batch), work)

    yield do


def raw(tmp_path: Path, text: str = "data", product: int = 5) -> dict[str, Any]:
    path = tmp_path / "raw.txt"
    path.write_text(text)
    return {"files": {"raw": [task_file(path, product)]}}


def test_a_lone_output_is_renamed_into_place(run: Run, store: Path, tmp_path: Path) -> None:
    report = run("Copy", {"copy": "text"}, task=raw(tmp_path), single=["raw"])
    final = store / "a%20b.3.copy.txt"
    assert (report.outcome, report.error, report.work, report.token) == (Outcome.DONE, "", 7, 3)
    assert report.outputs == (Output("copy", str(final), content(final)),)
    assert final.read_text() == "data"
    assert report.seconds > 0
    assert (report.began, report.worker, report.log) == (pytest.approx(report.began), "here", None)
    assert not hidden(store)


def test_several_outputs_are_one_folder_and_a_tree_is_hashed_whole(run: Run, store: Path) -> None:
    report = run("Several", BOTH)
    folder = store / "a%20b.3"
    assert [output.path for output in report.outputs] == [
        str(folder / "image.fits"),
        str(folder / "cube.zarr"),
    ]
    assert report.outputs[1].content == content(folder / "cube.zarr")
    assert report.outputs[1].content.tree
    assert not hidden(store)


@pytest.mark.parametrize("durable", [False, True])
def test_durable_runs_flush_what_they_rename(
    durable: bool, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    real = staging.flush
    monkeypatch.setattr(staging, "flush", lambda path: (flushed.append(str(path)), real(path)))
    attempts = Attempts("here", NoLog(), lambda _: None)
    tasks = tasks_of(store, ["a", "b"])
    prepared = attempts.prepare(
        batch_of("Several", tasks, BOTH, flush_below=str(store.parent) if durable else "")
    )
    assert [attempts.run(prepared, task).outcome for task in tasks] == [Outcome.DONE] * 2
    assert str(store) not in flushed
    prepared.folders.sync()  # type: ignore[union-attr]  # it was prepared
    assert flushed.count(str(store)) == durable
    assert (f"{store}/.a.1/image.fits" in flushed, f"{store}/.a.1/cube.zarr/c/0" in flushed) == (
        durable,
        durable,
    )


def test_a_durable_run_flushes_what_leads_to_its_folder_also_where_others_made_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A worker that made the folders may not have flushed them yet, or never will: it was killed.
    flushed: list[str] = []
    monkeypatch.setattr(staging, "flush", flushed.append)
    place = tmp_path / "store" / "line" / "note" / "write"
    place.mkdir(parents=True)
    attempts = Attempts("here", NoLog(), lambda _: None)
    tasks = tasks_of(place, ["a", "b"])
    below = f"{tmp_path}/store/"
    prepared = attempts.prepare(batch_of("Write", tasks, {"text": "text"}, flush_below=below))
    assert [attempts.run(prepared, task).outcome for task in tasks] == [Outcome.DONE] * 2
    flushed.clear()
    prepared.folders.sync()  # type: ignore[union-attr]  # it was prepared
    assert sorted(flushed) == [str(one) for one in (*reversed(place.parents[:3]), place)]


def test_everything_a_stage_tells_is_reported(
    run: Run, store: Path, told: list[Progress], tmp_path: Path
) -> None:
    paths = [tmp_path / "1", tmp_path / "2"]
    for path in paths:
        path.touch()
    files = {"many": [task_file(path, item=path.name) for path in paths]}
    report = run("Tells", {}, task={"files": files, "values": {"flags": [{"part": {"feed": 3}}]}},
                 single=["maybe"], resources=Resources(cores=9))  # fmt: skip
    assert report.error == ""
    assert report.measures == (
        Measure("count", 2, "files"),
        Measure("items", "1,2"),
        Measure("maybe", None),
        Measure("flags", '[{"part": {"feed": 3}}]'),
        Measure("cores", 4),
    )
    assert report.caveats == ("only just",)
    assert report.steps == (StepRecord("scale", 0.1, {"mean": 1.0}, {"mean": 2.0}, {"finite": None}),)
    assert report.verdict == {"result": "warn", "rules": [{"rule": "r", "result": "warn"}]}
    assert told == [Progress(7, 3, 0.5, "half")]
    assert names(store) == []


def test_many_that_are_none_are_an_empty_list(run: Run) -> None:
    report = run("Tells", {}, task={"values": {"flags": []}}, single=["maybe"])
    assert report.measures[0] == Measure("count", 0, "files")


@pytest.mark.parametrize(
    ("kind", "outcome", "error"),
    [
        ("reject", Outcome.REJECTED, ""),
        ("transient", Outcome.TRANSIENT, "the server is away"),
        ("memory", Outcome.FAILED, "out of memory: cannot allocate 8 TB"),
        ("exit", Outcome.FAILED, "the stage called sys.exit(3)"),
        ("interrupt", Outcome.FAILED, "KeyboardInterrupt"),
        ("value", Outcome.FAILED, "ValueError: no such column: g"),
        ("bad text", Outcome.FAILED, "_BadTextError"),
    ],
)
def test_what_user_code_raises_is_an_outcome_and_leaves_nothing(
    kind: str, outcome: Outcome, error: str, run: Run, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = run("Raises", params={"kind": kind})
    assert (report.outcome, report.error, report.outputs) == (outcome, error, ())
    assert names(store) == []
    assert report.after == (30 if kind == "transient" else 0)
    assert report.reasons == {
        "reject": ("too noisy", "too short"), "transient": ("the server is away",)
    }.get(kind, ())  # fmt: skip
    if kind == "value":
        shown = capsys.readouterr().err
        assert "raise errors[self.kind]" in shown
        assert "attempt.py" not in shown


def test_an_interrupt_ends_the_process_where_it_is_meant_for_it(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = Attempts("here", NoLog(), lambda _: None, interruptible=True)
    (task,) = tasks_of(store, ["a"])
    with pytest.raises(KeyboardInterrupt):
        attempts.run(attempts.prepare(batch_of("Raises", [task], TEXT, params={"kind": "interrupt"})), task)
    assert names(store) == []


def test_a_long_error_is_cut(run: Run) -> None:
    report = run("Outputs", params={"name": "x" * 3000})
    assert len(report.error) < 1100


@pytest.mark.parametrize(
    ("result", "outcome", "reasons"),
    [
        ("pass", Outcome.DONE, ()),
        ("warn", Outcome.DONE, ()),
        ("hold", Outcome.HELD, ()),
        ("reject", Outcome.REJECTED, ("noise: rms is 3, must be < 2 Jy",)),
        ("maybe", Outcome.FAILED, ()),
    ],
)
def test_a_verdict_decides(result: str, outcome: Outcome, reasons: tuple[str, ...], run: Run) -> None:
    report = run("Judges", {}, params={"result": result})
    assert (report.outcome, report.reasons) == (outcome, reasons)


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"name": "texts"}, "ValueError: stage outputs declares no output 'texts'; declared: text"),
        ({"filename": "../etc"}, "ValueError: output text: '../etc' is not a file name; give one without a folder"),
        ({"filename": ".."}, "ValueError: output text: '..' is not a file name; give one without a folder"),
        ({"filename": ""}, "ValueError: output text: '' is not a file name; give one without a folder"),
        ({"how": "nothing"}, "declared outputs text: none made"),
        ({"how": "open"}, "declared outputs text: none made"),
        ({"how": "twice"},
         "ValueError: output text was opened before, as text.txt; an output is made once"),
        ({"how": "late"}, "output text was changed after its with block ended"),
    ],
)  # fmt: skip
def test_a_wrong_use_of_outputs_is_named(params: dict[str, str], error: str, run: Run, store: Path) -> None:
    report = run("Outputs", params=params)
    assert (report.outcome, report.error) == (Outcome.FAILED, error)
    assert names(store) == []


def test_an_output_that_failed_may_be_opened_again(run: Run, store: Path) -> None:
    assert run("Outputs", params={"how": "retry"}).outcome is Outcome.DONE
    assert names(store) == ["a%20b.3.text.txt"]


def test_a_folder_that_was_deleted_and_made_again_during_a_run_is_not_the_stages_fault(
    run: Run, store: Path
) -> None:
    error = "declared outputs text: none made; the folder of the run is gone"
    report = run("Outputs", params={"how": "remade"})
    assert (report.outcome, report.error, names(store)) == (Outcome.TRANSIENT, error, [])
    assert run("Outputs").outcome is Outcome.DONE


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted in /proc")
def test_no_run_leaves_a_file_open(run: Run) -> None:
    gc.collect()  # it may close what other tests left open
    before = len(list(Path("/proc/self/fd").iterdir()))
    for how in ("", "nothing", "retry", "twice", "late", "remade"):
        run("Outputs", params={"how": how})
    run("Several", BOTH)
    run("Raises", params={"kind": "value"})
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_run_leaves_folder_umask_and_environment_as_they_were(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEST_CHANGED", "before")
    monkeypatch.setenv("TEST_REMOVED", "there")
    monkeypatch.delenv("TEST_ADDED", raising=False)
    mode = oct(0o777 & ~own_umask())
    attempts = Attempts("here", NoLog(), lambda _: None)
    tasks = tasks_of(store, ["a", "fails", "b"])
    prepared = attempts.prepare(batch_of("Moves", tasks, {}))
    for task in tasks:
        report = attempts.run(prepared, replace(task, credentials=Credentials("http://site", "token")))
        assert report.outcome is (Outcome.FAILED if task.item == "fails" else Outcome.DONE)
        assert [measure.value for measure in report.measures] == [
            str(tmp_path),
            mode,
            None,
            "before",
            "there",
        ]
    assert (Path.cwd(), oct(0o777 & ~own_umask())) == (tmp_path, mode)
    assert {name: os.environ.get(name) for name in ("TEST_ADDED", "TEST_CHANGED", "TEST_REMOVED", "TOWPATH_RUN")} == {
        "TEST_ADDED": None, "TEST_CHANGED": "before", "TEST_REMOVED": "there", "TOWPATH_RUN": None,
    }  # fmt: skip
    assert (
        os.getenv("TEST_REMOVED") == subprocess.check_output(["printenv", "TEST_REMOVED"], text=True).strip()
    )


def test_variables_of_a_process_that_does_more_are_left_alone(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its other threads may have set them; the run's own token goes, and folder and umask are put back."""
    monkeypatch.chdir(tmp_path)
    for name in ("TEST_ADDED", "TEST_CHANGED", "TEST_REMOVED"):
        monkeypatch.setenv(name, "before")
    mode = own_umask()
    attempts = Attempts("here", NoLog(), lambda _: None, interruptible=True)
    (task,) = tasks_of(store, ["a"])
    attempts.run(
        attempts.prepare(batch_of("Moves", [task], {})),
        replace(task, credentials=Credentials("http://site", "token")),
    )
    assert os.environ["TEST_ADDED"] == "a" and "TOWPATH_RUN_TOKEN" not in os.environ
    assert (Path.cwd(), own_umask()) == (tmp_path, mode)


def test_what_is_set_while_modules_are_loaded_stays(
    run: Run, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library says once where its data are, in the run that loads it; but no run leaves its own token."""
    monkeypatch.setenv("TEST_ADDED", "before")
    monkeypatch.setenv("TEST_CHANGED", "before")
    monkeypatch.setenv("TEST_REMOVED", "there")
    monkeypatch.setitem(sys.modules, "loaded_by_a_test", sys)
    monkeypatch.delitem(sys.modules, "loaded_by_a_test")
    attempts = Attempts("here", NoLog(), lambda _: None)
    (task,) = tasks_of(store, ["loads"])
    attempts.run(
        attempts.prepare(batch_of("Moves", [task], {})),
        replace(task, credentials=Credentials("http://site", "token")),
    )
    assert os.environ["TEST_ADDED"] == "loads"
    assert "TEST_REMOVED" not in os.environ and "TOWPATH_RUN_TOKEN" not in os.environ


def test_a_folder_that_may_not_be_entered_is_no_obstacle(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def shut(path: Any, *args: Any, **fields: Any) -> int:
        if path == ".":
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **fields)

    monkeypatch.chdir(Path.cwd())  # it is put back
    monkeypatch.setattr(os, "open", shut)
    assert run("Write").outcome is Outcome.DONE
    assert Path.cwd() == Path("/")


def test_files_beside_the_declared_ones_are_refused(run: Run, store: Path) -> None:
    report = run("Several", BOTH, params={"also": "notes.txt"})
    assert (report.outcome, names(store)) == (Outcome.FAILED, [])
    assert report.error == "files that are no declared output: notes.txt; use context.scratch for them"


def test_only_an_optional_output_may_be_left_out(run: Run, store: Path) -> None:
    report = run("Several", BOTH, params={"leave_out": "cube"}, optional=["cube"])
    assert [output.name for output in report.outputs] == ["image"]
    report = run("Several", BOTH, params={"leave_out": "image"}, optional=["cube"])
    assert (report.outcome, report.error) == (Outcome.FAILED, "declared outputs image: none made")
    assert names(store) == ["a%20b.3"]


def test_a_place_is_never_replaced(run: Run, store: Path) -> None:
    store.mkdir(parents=True)
    (store / "a%20b.3.text.txt").write_text("there already")
    report = run("Write")
    assert (report.outcome, hidden(store)) == (Outcome.TRANSIENT, [])
    assert "File exists" in report.error
    assert (store / "a%20b.3.text.txt").read_text() == "there already"


def test_a_folder_is_never_replaced_nor_a_file_where_the_system_has_no_such_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("new", "old"):
        (tmp_path / f"{name}-folder").mkdir()
        (tmp_path / f"{name}-file").write_text(name)

    def check() -> None:
        for kind in ("folder", "file"):
            with pytest.raises(FileExistsError):
                renaming.rename_new(str(tmp_path / f"new-{kind}"), str(tmp_path / f"old-{kind}"))
            renaming.rename_new(str(tmp_path / f"new-{kind}"), str(tmp_path / f"moved-{kind}"))
            renaming.rename_new(str(tmp_path / f"moved-{kind}"), str(tmp_path / f"new-{kind}"))
        assert (tmp_path / "old-file").read_text() == "old"

    check()
    monkeypatch.setattr(renaming, "_libc", object())
    check()


def test_the_leftovers_of_one_attempt_are_found_by_their_name(tmp_path: Path) -> None:
    kept = [".a.10.text", ".a.1x", ".ab.1.text", "a.1.text"]
    for name in (*kept, ".a.1.text", ".a.1.~scratch"):
        (tmp_path / name).touch()
    (tmp_path / ".a.1").mkdir()
    (tmp_path / ".a.1" / "file").touch()
    staging.clear(str(tmp_path / "a"), 1)
    staging.clear(str(tmp_path / "nowhere" / "a"), 1)
    assert names(tmp_path) == sorted(kept)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(("how", "changed"), [("edit", "changed"), ("delete", "missing"), ("touch", "")])
def test_inputs_are_verified_before_and_after(
    before: bool, how: str, changed: str, run: Run, store: Path, tmp_path: Path
) -> None:
    task = raw(tmp_path)
    path = tmp_path / "raw.txt"
    if before and how == "edit":
        path.write_text("atad")
    elif before and how == "delete":
        path.unlink()
    elif before:
        os.utime(path, ns=(1, 1))
    stage, params = ("Copy", {}) if before else ("Meddles", {"how": how})
    report = run(stage, {"copy": "text"}, task=task, single=["raw"], params=params)
    if changed:
        assert (report.outcome, report.changed, report.outputs) == (Outcome.BLOCKED, ((5, changed),), ())
        assert names(store) == []
    elif before:
        assert (report.outcome, report.changed, report.refreshed) == (Outcome.DONE, (), ((5, 1),))
    else:  # the same bytes as before, and yet others may have been read in between
        assert (report.outcome, report.changed, report.refreshed) == (Outcome.TRANSIENT, (), ((5, 1),))
        assert report.error == f"written anew while the run read it: {path}"
        assert names(store) == []


def test_a_lone_file_is_held_to_have_been_written_anew_and_a_tree_in_which_a_lock_was_taken_is_not(
    tmp_path: Path,
) -> None:
    (tmp_path / "set").mkdir()
    places = tmp_path / "file", tmp_path / "set"
    for number, file in enumerate((places[0], places[1] / "table.lock"), 1):
        file.write_text("x")
        watched = Watched([[task_file(places[number - 1], number)]])
        assert watched.intact() and watched.refreshed == {}
        os.utime(file, ns=(10**19 // 5, 10**19 // 5))
        assert watched.intact() and watched.refreshed == {number: 10**19 // 5}
        assert bool(watched.anew({})) == (number == 1)
        assert watched.anew(dict(watched.refreshed)) == ""


def test_equal_size_and_time_deceive_a_stat_but_not_a_hash(run: Run, tmp_path: Path) -> None:
    task = raw(tmp_path)
    path = tmp_path / "raw.txt"
    when = path.stat().st_mtime_ns
    path.write_text("atad")
    os.utime(path, ns=(when, when))
    assert run("Copy", {"copy": "text"}, task=task, single=["raw"]).outcome is Outcome.DONE
    report = run("Copy", {"copy": "text"}, task=task, single=["raw"], verify="hash")
    assert (report.outcome, report.changed) == (Outcome.BLOCKED, ((5, "changed"),))


def test_a_tree_is_verified_whole(run: Run, tmp_path: Path) -> None:
    tree = tmp_path / "cube"
    (tree / "c").mkdir(parents=True)
    (tree / "c" / "0").write_text("chunk")
    file = task_file(tree, 9)
    task = {"files": {"many": [file]}, "values": {"flags": []}}
    assert run("Tells", {}, task=task, single=["maybe"]).outcome is Outcome.DONE
    os.utime(tree / "c" / "0", ns=(10**19 // 5, 10**19 // 5))
    assert run("Tells", {}, task=task, single=["maybe"]).refreshed == ((9, 10**19 // 5),)
    (tree / "c" / "0").write_text("other")
    assert run("Tells", {}, task=task, single=["maybe"]).changed == ((9, "changed"),)


def test_an_input_on_a_disk_that_does_not_answer_is_tried_again(run: Run, tmp_path: Path) -> None:
    task = raw(tmp_path)
    loop = tmp_path / "raw.txt"
    loop.unlink()
    loop.symlink_to(loop)
    report = run("Copy", {"copy": "text"}, task=task, single=["raw"])
    assert (report.outcome, report.error.split(":")[0]) == (Outcome.TRANSIENT, "OSError")


@pytest.mark.parametrize(
    ("how", "former"), [("", "old"), ("touch", "old"), ("edit", None), ("delete", None), ("none", None)]
)
def test_the_former_product_is_given_only_intact(
    how: str, former: str | None, run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "former.txt"
    path.write_text("old")
    task = {"previous": {"text": task_file(path)}} if how != "none" else {}
    if how == "touch":
        os.utime(path, ns=(1, 1))
    elif how == "edit":
        path.write_text("odl")
    elif how == "delete":
        path.unlink()
    assert run("Previous", task=task).measures == (Measure("former", former),)


@pytest.mark.parametrize(
    ("target", "params", "error"),
    [
        ("no_such_module:A", {}, "ModuleNotFoundError: No module named 'no_such_module'"),
        (
            "stages_for_tests:Nothing",
            {},
            "AttributeError: module 'stages_for_tests' has no attribute 'Nothing'",
        ),
        ("stages_for_tests:NOT_A_STAGE", {}, "TypeError: stages_for_tests:NOT_A_STAGE is not a stage"),
        ("stages_for_tests:Write", {"sleep": "long"}, "ValidationError: 1 validation error for Write"),
    ],
)
def test_a_stage_that_cannot_be_loaded_fails_each_run(
    target: str, params: dict[str, Any], error: str, run: Run
) -> None:
    report = run(target, params=params)
    assert report.outcome is Outcome.FAILED
    assert report.error.startswith(f"stage {target.lower()} cannot be loaded: {error}")


def test_a_stage_is_loaded_and_its_parameters_validated_once(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = Attempts("here", NoLog(), lambda _: None)
    first = attempts.prepare(batch_of("Copy", [], {"copy": "text"}, params={"suffix": "x"}))
    monkeypatch.setattr(Copy, "model_validate_json", None)
    again = attempts.prepare(batch_of("Copy", [], {"copy": "text"}, params={"suffix": "x"}))
    assert first.stage is again.stage  # type: ignore[union-attr]  # both were prepared


def test_steps_of_a_chain_are_recorded_also_where_a_check_fails(run: Run) -> None:
    report = run("Scaled", {"numbers": "json"}, params={"factor": 2.0})
    assert [(step.name, step.before, step.after) for step in report.steps] == [
        ("scale", {"mean": 2.0}, {"mean": 4.0}),
        ("check", {}, {}),
    ]
    report = run("Scaled", {"numbers": "json"}, params={"fail": True})
    assert (report.outcome, report.error) == (Outcome.FAILED, "ValueError: step check: small: too large")
    assert report.steps[1].checks == {"small": "too large"}


def test_numbers_of_numpy_are_recorded_as_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    value = {
        "a": numpy.float32(1.5),
        "b": (numpy.int64(2), numpy.bool_(True)),
        "c": numpy.arange(2),
        "d": Path("x"),
    }
    assert plain(value) == {"a": 1.5, "b": [2, True], "c": [0, 1], "d": "x"}
    assert json.dumps(plain(value))
    with pytest.raises(TypeError, match="a object cannot be recorded"):
        plain({"a": object()})


texts = st.text(max_size=8)
numbers = st.floats(allow_nan=False)
facts = st.dictionaries(texts, st.one_of(texts, numbers, st.booleans(), st.none()), max_size=3)
contents = st.builds(
    Content, st.integers(0), st.integers(0), st.binary(min_size=32, max_size=32), st.booleans()
)


@given(
    st.builds(
        Report,
        work=st.integers(0),
        token=st.integers(0),
        outcome=st.sampled_from(Outcome),
        began=numbers,
        seconds=numbers,
        outputs=st.lists(st.builds(Output, texts, texts, contents, texts), max_size=2).map(tuple),
        measures=st.lists(st.builds(Measure, texts, numbers, texts), max_size=2).map(tuple),
        caveats=st.lists(texts, max_size=2).map(tuple),
        steps=st.lists(st.builds(StepRecord, texts, numbers, facts, facts), max_size=2).map(tuple),
        reasons=st.lists(texts, max_size=2).map(tuple),
        error=texts,
        after=numbers,
        worker=texts,
        software=texts,
        log=st.one_of(st.none(), st.tuples(texts, st.integers(0), st.integers(0))),
        verdict=st.one_of(st.none(), facts),
        refreshed=st.lists(st.tuples(st.integers(0), st.integers(0)), max_size=2).map(tuple),
        changed=st.lists(st.tuples(st.integers(0), texts), max_size=2).map(tuple),
    )
)
def test_a_report_survives_the_wire(report: Report) -> None:
    assert report_from_plain(report.work, report.token, load(dump(report_to_plain(report)))) == report


@given(st.text(alphabet=st.characters(codec="utf-8")), facts)
def test_a_batch_survives_the_wire(name: str, values: dict[str, Any]) -> None:
    path = os.fsdecode(b"/data/\xff\xfe") + name
    file = task_file(Path(__file__), 3, attributes=values)
    task = Task(1, 2, name, path, {"raw": [file]}, {"record": values}, {"text": file})
    batch = Batch("p", "k", "s", "m:C", values, {"text": "t"}, frozenset({"raw"}), [task], frozenset({"text"}),
                  Resources(2, 3, 4.5, True), True, "hash")  # fmt: skip
    assert batch_from_plain(load(dump(batch_to_plain(batch)))) == batch


@pytest.mark.parametrize("size", [0, 1, (1 << 16) - 1, 1 << 16, (1 << 20) + 1])
def test_files_of_every_size_are_hashed_whole(size: int, run: Run, tmp_path: Path) -> None:
    text = "x" * size
    report = run("Copy", {"copy": "text"}, task=raw(tmp_path, text), single=["raw"])
    assert report.outputs[0].content.sha256 == file_sha256(tmp_path / "raw.txt")
    assert report.outputs[0].content.size == size


def test_a_context_says_what_it_does_not_have() -> None:
    context = object.__new__(RunContext)
    with pytest.raises(AttributeError, match="a context has no 'catalog'"):
        _ = context.catalog  # type: ignore[attr-defined]  # that is the point


# ---- the test kit for pipeline authors


def test_a_stage_is_run_for_real_in_a_test(tmp_path: Path) -> None:
    raw = tmp_path / "raw.txt"
    raw.write_text("data")
    result = run_stage(Copy(suffix="!"), {"raw": raw}, tmp_path)
    assert (result.outcome, result.error) == (Outcome.DONE, "")
    assert result.outputs["copy"].read_text() == "data!"
    assert result.outputs["copy"].is_relative_to(tmp_path)
    again = run_stage(Copy(), {"raw": raw}, tmp_path, item="a/b")
    assert again.outputs["copy"].name == "a%2Fb.1.copy.txt"


def test_a_test_sees_all_that_a_stage_tells(tmp_path: Path) -> None:
    result = run_stage(Tells(), {"many": [], "maybe": None, "flags": [{"value": "bad"}]}, tmp_path, cores=3)
    assert result.measures["cores"].value == 3
    assert result.measures["flags"].value == '[{"value": "bad"}]'
    assert (result.caveats, result.verdict, len(result.steps), len(result.progress)) == (
        ("only just",), {"result": "warn", "rules": [{"rule": "r", "result": "warn"}]}, 1, 1,
    )  # fmt: skip
    assert [step.name for step in run_stage(Scaled(), {}, tmp_path).steps] == ["scale", "check"]
    assert set(run_stage(Several(leave_out="cube"), {}, tmp_path).outputs) == {"image"}


def test_a_test_sees_how_a_stage_fails(tmp_path: Path) -> None:
    result = run_stage(Raises(kind="reject"), {}, tmp_path)
    assert (result.outcome, result.reasons) == (Outcome.REJECTED, ("too noisy", "too short"))
    with pytest.raises(ValueError, match="not consumed: raw; the stage consumes nothing"):
        run_stage(Write(), {"raw": tmp_path}, tmp_path)


def test_a_test_may_give_the_former_product(tmp_path: Path) -> None:
    former = run_stage(Previous(), {}, tmp_path).outputs["text"]
    again = run_stage(Previous(), {}, tmp_path, previous={"text": former})
    assert again.measures["former"].value == "new"


def test_a_stage_of_the_test_itself_can_be_run(tmp_path: Path) -> None:
    class Local(Stage):
        def run(self, context: Any) -> None:
            context.measure("item", context.item.key)

    assert run_stage(Local(), {}, tmp_path).measures["item"].value == "item"
