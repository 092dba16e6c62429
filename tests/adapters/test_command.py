"""Programs as stages: words filled in and never seen by a shell, exit codes and reports judged."""

import sys
from pathlib import Path
from typing import Any

import pytest
from batches_for_tests import batch_of, collect, log_of, names, task_file, tasks_of
from pydantic import ValidationError

from towpath.adapters.executors.command import Command, expand
from towpath.adapters.executors.inline import InlineExecutor
from towpath.base.states import Outcome
from towpath.contracts.executor import Report, Task
from towpath.contracts.stage import Many, One

TARGET = "towpath.adapters.executors.command:Command"
IMAGE = {"image": {"type": "fits", "file": "image.fits"}}


def command(tmp_path: Path, params: dict[str, Any], inputs: dict[str, list[Path]] | None = None) -> Report:
    """Run a command as the engine does."""
    takes, makes = Command.declared(params)
    files = {name: [task_file(path) for path in paths] for name, paths in (inputs or {}).items()}
    task = Task(1, 1, "a b", str(tmp_path / "store" / "place"), files)
    single = [name for name, form in takes.items() if isinstance(form, One)]
    with InlineExecutor(tmp_path / "logs") as executor:
        executor.submit(batch_of(TARGET, [task], makes, params=params, single=single))
        return collect(executor, 1)[0]


def python(code: str, *words: str) -> list[str]:
    return [sys.executable, "-S", "-c", code, *words]


def test_a_program_reads_and_writes_what_is_declared(tmp_path: Path) -> None:
    raw = tmp_path / "raw; rm -rf $HOME.txt"
    raw.write_text("data")
    code = "import sys; open(sys.argv[2], 'w').write(open(sys.argv[1]).read() + ' '.join(sys.argv[3:]))"
    words = ["{input.raw}", "{output.image}", "--level={param.level}", "{param.on}", "{item.key}", "{cores}"]
    params = {
        "argv": python(code, *words, "{{cores}}", "$HOME", "{print $1}", '{"a":{"b":1}}'),
        "consumes": {"raw": {"type": "text"}},
        "produces": IMAGE,
        "params": {"level": 2, "on": True},
    }
    report = command(tmp_path, params, {"raw": [raw]})
    assert report.error == ""
    made = Path(report.outputs[0].path)
    assert made.read_text() == 'data--level=2 true a b 1 {cores} $HOME {print $1} {"a":{"b":1}}'
    assert names(tmp_path / "store") == ["place.1.image.fits"]


def test_a_program_may_make_a_folder_and_several_products(tmp_path: Path) -> None:
    code = "import os, sys; os.mkdir(sys.argv[1]); open(sys.argv[1] + '/0', 'w'); open(sys.argv[2], 'w')"
    makes = {"cube": {"type": "zarr", "file": "cube.zarr"}, **IMAGE}
    report = command(tmp_path, {"argv": python(code, "{output.cube}", "{output.image}"), "produces": makes})
    assert [(output.name, output.content.tree) for output in report.outputs] == [
        ("cube", True),
        ("image", False),
    ]


def test_it_declares_what_its_parameters_say() -> None:
    params = {
        "argv": ["x"],
        "consumes": {"a": {"type": "t", "optional": True}, "b": {"form": "many", "type": "u", "least": 2}},
        "produces": IMAGE,
    }
    assert Command.declared(params) == (
        {"a": One("t", optional=True), "b": Many("u", least=2)},
        {"image": "fits"},
    )


def test_dumped_parameters_are_parameters() -> None:
    takes = {"a": {"type": "t"}}
    params = {"argv": ["x", "{input.a}"], "consumes": takes, "produces": IMAGE, "exit_codes": {"3": "reject"}}
    stage = Command.model_validate(params, strict=False)
    for dumped in (stage.model_dump_json(), stage.model_dump_json(by_alias=False)):
        assert Command.model_validate_json(dumped) == stage
    assert set(stage.model_dump()) >= {"consumes", "produces"}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("{input.many}", ["/1", "/2"]),
        ("--in={input.many},{cores}", ["--in=/1,4", "--in=/2,4"]),
        ("{input.none}", []),
        ("--in={input.none}", []),
        ("{input.none}{input.many}", []),
        ("{input.one}:{cores}", ["/0:4"]),
        ("{{input.many}}", ["{input.many}"]),
        ("{scratch}/a b; c", ["/s/a b; c"]),
        ("--name={item.key}", ["--name=-rf"]),
        ("", [""]),
    ],
)
def test_words_are_filled_in(word: str, expected: list[str]) -> None:
    assert expand(word, VALUES) == expected


VALUES = {
    "input.many": ["/1", "/2"],
    "input.more": ["/3", "/4", "/5"],
    "input.one": ["/0"],
    "input.none": [],
    "cores": ["4"],
    "scratch": ["/s"],
    "item.key": ["-rf"],
}


@pytest.mark.parametrize(
    ("word", "error"),
    [
        ("{input.many}{input.more}", "holds several inputs of many files"),
        ("{item.key}", "'-rf' for {item.key} would be read as an option; write --name={item.key}"),
    ],
)
def test_words_that_could_mean_two_things_are_refused(word: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        expand(word, VALUES)


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"argv": []}, "at least 1 item"),
        (
            {"argv": ["x", "{input.raww}"]},
            r"\{input.raww\} in '\{input.raww\}' is unknown; known: cores, input.raw",
        ),
        ({"argv": ["x"], "env": {"A": "{core}"}}, r"\{core\} in '\{core\}' is unknown"),
        ({"argv": ["x"], "exit_codes": {"0": "reject"}}, "'0' is not an exit code from 1 to 255"),
        ({"argv": ["x"], "exit_codes": {"3": "ignore"}}, "Input should be 'reject' or 'transient'"),
        ({"argv": ["x"], "produces": {"a": {"type": "t", "file": "../a"}}}, "'../a' is not a file name"),
        ({"argv": ["x"], "shell": True}, "Extra inputs are not permitted"),
    ],
)
def test_wrong_parameters_are_named(params: dict[str, Any], error: str) -> None:
    with pytest.raises(ValidationError, match=error):
        Command.declared({"consumes": {"raw": {"type": "t"}}, **params})


@pytest.mark.parametrize(
    ("code", "outcome", "error", "reasons"),
    [
        ("raise SystemExit(0)", Outcome.DONE, "", ()),
        ("raise SystemExit(3)", Outcome.REJECTED, "", ("python: exited with status 3",)),
        ("raise SystemExit(75)", Outcome.TRANSIENT, "python: exited with status 75",
         ("python: exited with status 75",)),
        ("raise SystemExit(1)", Outcome.FAILED, "RuntimeError: python: exited with status 1", ()),
        ("import os; os.kill(os.getpid(), 11)", Outcome.FAILED,
         "RuntimeError: python: segmentation fault (SIGSEGV)", ()),
    ],
)  # fmt: skip
def test_the_exit_code_decides(
    code: str, outcome: Outcome, error: str, reasons: tuple[str, ...], tmp_path: Path
) -> None:
    argv = python(code)
    program = Path(argv[0]).name
    report = command(tmp_path, {"argv": argv, "exit_codes": {"3": "reject", "75": "transient"}})
    assert report.outcome is outcome
    assert report.error == error.replace("python:", f"{program}:")
    assert report.reasons == tuple(reason.replace("python:", f"{program}:") for reason in reasons)


def test_what_it_prints_is_the_log_and_its_report_is_read(tmp_path: Path) -> None:
    code = (
        "import os, sys, json; print('hello', os.environ['LEVEL'], os.getcwd() == os.environ['WHERE']);"
        "print('careful', file=sys.stderr);"
        "json.dump({'measures': [{'name': 'rms', 'value': 1.5, 'unit': 'Jy'}, {'name': 'n', 'value': 2}],"
        "'caveats': ['thin'], 'reasons': ['too thin']}, open(os.environ['TOWPATH_REPORT'], 'w')); raise SystemExit(3)"
    )
    params = {
        "argv": python(code),
        "env": {"LEVEL": "{param.level}", "WHERE": "{scratch}"},
        "params": {"level": "1"},
        "exit_codes": {"3": "reject"},
    }
    report = command(tmp_path, params)
    assert (report.outcome, report.reasons, report.caveats) == (Outcome.REJECTED, ("too thin",), ("thin",))
    assert [(one.name, one.value, one.unit) for one in report.measures] == [("rms", 1.5, "Jy"), ("n", 2, "")]
    assert sorted(log_of(report).splitlines()[:2]) == ["careful", "hello 1 True"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("no json", "Invalid JSON"),
        ('{"measure": []}', "measure: found an unknown name; expected one of status, message"),
    ],
)
def test_a_wrong_report_is_named(text: str, error: str, tmp_path: Path) -> None:
    code = f"import os; open(os.environ['TOWPATH_REPORT'], 'w').write({text!r})"
    report = command(tmp_path, {"argv": python(code)})
    assert report.outcome is Outcome.FAILED
    assert "the report that the program wrote to TOWPATH_REPORT is not valid" in report.error
    assert error in report.error


def reporting(report: str, then: str = "") -> list[str]:
    """A program that makes its output, writes a report and ends."""
    code = f"import os, sys; open(sys.argv[1], 'w'); open(os.environ['TOWPATH_REPORT'], 'w').write({report!r}); {then}"
    return python(code, "{output.image}")


@pytest.mark.parametrize(
    ("told", "then", "outcome", "caveats", "reasons"),
    [
        ('"status": "SUCCESS"', "", Outcome.DONE, (), ()),
        ('"status": "SUCCESS", "message": "all read"', "", Outcome.DONE, (), ()),
        ('"status": "PARTIAL", "message": "no box"', "", Outcome.DONE, ("no box",), ()),
        ('"status": "PARTIAL", "message": "no box"', "sys.exit(1)", Outcome.FAILED, ("no box",), ()),
        ('"status": "SUCCESS"', "os.kill(os.getpid(), 11)", Outcome.FAILED, (), ()),
        ('"status": "FAILURE", "message": "no atoms"', "", Outcome.REJECTED, (), ("no atoms",)),
        ('"status": "FAILURE", "message": "no atoms"', "sys.exit(1)", Outcome.REJECTED, (), ("no atoms",)),
        ('"status": "FAILURE", "message": "no atoms"', "sys.exit(75)", Outcome.REJECTED, (), ("no atoms",)),
        ('"status": "FAILURE", "message": "no atoms", "reasons": ["empty"]', "", Outcome.REJECTED, (),
         ("no atoms", "empty")),
    ],
)  # fmt: skip
def test_a_report_says_how_far_it_went(
    told: str,
    then: str,
    outcome: Outcome,
    caveats: tuple[str, ...],
    reasons: tuple[str, ...],
    tmp_path: Path,
) -> None:
    params = {
        "argv": reporting(f"{{{told}}}", then),
        "produces": IMAGE,
        "exit_codes": {"75": "transient"},
    }
    report = command(tmp_path, params)
    assert (report.outcome, report.caveats, report.reasons) == (outcome, caveats, reasons)
    measures = {one.name: one.value for one in report.measures}
    assert f'"status": "{measures["status"]}"' in told
    assert str(measures["sentence"]) in told
    assert f"{measures['status']}: {measures['sentence']}" in log_of(report)
    assert names(tmp_path / "store") == (["place.1.image.fits"] if outcome is Outcome.DONE else [])


@pytest.mark.parametrize(
    ("report", "error"),
    [
        ('{"status": "FINE"}', "status: expected 'SUCCESS', 'PARTIAL' or 'FAILURE'"),
        ('{"status": "PARTIAL"}', "not valid: PARTIAL needs a message that says what was not possible, and what to do"),
        ('{"status": "FAILURE", "message": " "}', "FAILURE needs a message that says"),
        ('{"message": "no box"}', "a message needs a status: SUCCESS, PARTIAL or FAILURE"),
        ('{"status": "PARTIAL", "message": "%s"}' % ("x" * 2001), "message: String should have at most 2000"),
    ],
    ids=["no status", "no message", "blank message", "message alone", "long message"],
)  # fmt: skip
def test_a_report_that_says_too_little_or_too_much_is_refused(
    report: str, error: str, tmp_path: Path
) -> None:
    done = command(tmp_path, {"argv": reporting(report), "produces": IMAGE})
    assert done.outcome is Outcome.FAILED
    assert error in done.error
    assert names(tmp_path / "store") == []


def test_a_report_without_end_is_refused(tmp_path: Path) -> None:
    code = "import os; open(os.environ['TOWPATH_REPORT'], 'w').write(' ' * 1_000_001)"
    report = command(tmp_path, {"argv": python(code)})
    assert report.outcome is Outcome.FAILED
    assert report.error == "ValueError: the report at TOWPATH_REPORT has more than 1000000 bytes"


@pytest.mark.parametrize(
    ("make", "found"),
    [
        ("os.symlink('/etc/passwd', report)", "a link or a socket"),
        ("import socket; socket.socket(socket.AF_UNIX).bind(os.path.relpath(report))", "a link or a socket"),
        ("os.mkdir(report)", "a folder or a pipe"),
        ("os.mkfifo(report)", "a folder or a pipe"),
    ],
    ids=["link", "socket", "folder", "pipe"],
)
def test_a_report_that_is_not_a_file_is_refused(make: str, found: str, tmp_path: Path) -> None:
    code = f"import os; report = os.environ['TOWPATH_REPORT']; {make}"
    report = command(tmp_path, {"argv": python(code)})
    assert report.outcome is Outcome.FAILED
    assert report.error == f"ValueError: the report at TOWPATH_REPORT is not a file: found {found}"


@pytest.mark.parametrize("program", ["no-such-program", "/no/such/program"])
def test_a_missing_program_is_named(program: str, tmp_path: Path) -> None:
    report = command(tmp_path, {"argv": [program, "{output.image}"], "produces": IMAGE})
    assert report.outcome is Outcome.FAILED
    assert report.error == (
        f"FileNotFoundError: program {program!r} was not found (or may not be executed); looked in PATH"
    )
    assert names(tmp_path / "store") == []


def test_an_output_that_was_not_made_is_named(tmp_path: Path) -> None:
    report = command(tmp_path, {"argv": python("pass"), "produces": IMAGE})
    assert (report.outcome, report.error) == (Outcome.FAILED, "declared outputs image: none made")


def test_an_optional_input_that_is_absent_leaves_its_word_out(tmp_path: Path) -> None:
    params = {
        "argv": python("import sys; print(sys.argv[1:])", "{input.dark}", "{input.many}"),
        "consumes": {"dark": {"type": "t", "optional": True}, "many": {"form": "many", "type": "t"}},
    }
    paths = [tmp_path / "1", tmp_path / "2"]
    for path in paths:
        path.touch()
    assert log_of(command(tmp_path, params, {"many": paths})) == f"{[str(path) for path in paths]}\n"


def test_tasks_keep_their_order(tmp_path: Path) -> None:
    tasks = tasks_of(tmp_path / "store", ["a", "b"])
    with InlineExecutor(tmp_path / "logs") as executor:
        executor.submit(batch_of(TARGET, tasks, {}, params={"argv": python("print(1)")}))
        assert [report.work for report in collect(executor, 2)] == [1, 2]
