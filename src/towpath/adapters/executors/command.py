"""The built-in stage kind `command`: a program with declared inputs and outputs, so that a stage needs no Python.

The program is started directly, never through a shell; what it prints goes to the run's log. It may write how far it
went (SUCCESS, PARTIAL, FAILURE), measures, caveats and reasons as JSON to the file that the variable TOWPATH_REPORT names.

    [items.scan.stages.convert]
    uses = "command"
    params.argv = ["mkfits", "--level", "{param.level}", "{input.raw}", "{output.image}"]
    params.consumes.raw = { form = "one", type = "raw/scan" }
    params.produces.image = { type = "image/fits", file = "image.fits" }
    params.params.level = 2
    params.exit_codes = { 3 = "reject", 75 = "transient" }
"""

import errno
import json
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from towpath.adapters.executors.processes import describe_exit
from towpath.base.errors import Reject, Transient
from towpath.contracts.stage import Context, Input, Many, One, Stage

REPORT = "TOWPATH_REPORT"
MOST_REPORTED = 1_000_000  # bytes
PLACEHOLDER = re.compile(r"\{(\{[a-z]+(?:\.[A-Za-z0-9_-]+)?\})\}|\{([a-z]+(?:\.[A-Za-z0-9_-]+)?)\}")
_ITEM = ("item.key", "item.kind", "item.pipeline")
_PLAIN = ("scratch", "cores", *_ITEM)


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class CommandInput(_Strict):
    """What the program reads: `form` is one file or many, of product type `type`."""

    form: Literal["one", "many"] = "one"
    type: str
    optional: bool = False
    least: int = 1

    def declared(self) -> Input:
        """The same as a stage written in Python declares it."""
        return One(self.type, self.optional) if self.form == "one" else Many(self.type, self.least)


class CommandOutput(_Strict):
    """What the program makes: a product of `type`, named `file` (a file, or a folder that the program makes)."""

    type: str
    file: str

    @field_validator("file")
    @classmethod
    def _is_name(cls, value: str) -> str:
        if not value or "/" in value or value in (".", ".."):
            raise ValueError(f"{value!r} is not a file name; give one without a folder")
        return value


class CommandMeasure(_Strict):
    """One measure in the program's report."""

    name: str
    value: float | int | str | bool | None
    unit: str = ""


class CommandReport(_Strict):
    """What the program may write to the file named by TOWPATH_REPORT.

    `status` says how far it went, whatever the exit code: PARTIAL is done with `message` as a caveat, FAILURE rejects the
    item with `message` as the reason. Both are for people: what was and was not possible, and what to do.
    """

    status: Literal["SUCCESS", "PARTIAL", "FAILURE"] | None = None
    message: str = Field(default="", max_length=2000)
    measures: list[CommandMeasure] = []
    caveats: list[str] = []
    reasons: list[str] = []

    @model_validator(mode="after")
    def _is_explained(self) -> Self:
        if self.status in ("PARTIAL", "FAILURE") and not self.message.strip():
            raise ValueError(f"{self.status} needs a message that says what was not possible, and what to do")
        if self.message and self.status is None:
            raise ValueError("a message needs a status: SUCCESS, PARTIAL or FAILURE")
        return self


class Command(Stage):
    """A program with declared inputs and outputs.

    In `argv` and in the values of `env` stand ``{input.NAME}``, ``{output.NAME}``, ``{param.NAME}``, ``{item.key}``,
    ``{item.kind}``, ``{item.pipeline}``, ``{scratch}`` and ``{cores}``; ``{{cores}}`` is the text ``{cores}``, and
    other braces are left alone. A word with an input of many files becomes one word for each; a word with an optional
    input that is absent is left out. The program runs in the scratch folder; `exit_codes` say which of its exit codes
    reject the item or ask to be tried again. Say in `program_version` which version of the program it is: like all
    parameters it enters the key.
    """

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    argv: tuple[str, ...] = Field(min_length=1)
    takes: Mapping[str, CommandInput] = Field(default={}, alias="consumes")
    makes: Mapping[str, CommandOutput] = Field(default={}, alias="produces")
    params: Mapping[str, str | int | float | bool] = {}
    env: Mapping[str, str] = {}
    exit_codes: Mapping[str, Literal["reject", "transient"]] = {}
    program_version: str = ""

    @model_validator(mode="after")
    def _placeholders_are_known(self) -> Self:
        known = {
            *_PLAIN,
            *(f"input.{name}" for name in self.takes),
            *(f"output.{name}" for name in self.makes),
        }
        known |= {f"param.{name}" for name in self.params}
        for word in (*self.argv, *self.env.values()):
            for match in PLACEHOLDER.finditer(word):
                if match[2] and match[2] not in known:
                    raise ValueError(f"{match[0]} in {word!r} is unknown; known: {', '.join(sorted(known))}")
        return self

    @field_validator("exit_codes")
    @classmethod
    def _codes_are_numbers(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for code in value:
            if not (code.isdigit() and 0 < int(code) < 256):
                raise ValueError(f"{code!r} is not an exit code from 1 to 255")
        return value

    @classmethod
    def declared(cls, params: Mapping[str, Any]) -> tuple[Mapping[str, Input], Mapping[str, str]]:
        """What the program takes and makes, from the parameters `consumes` and `produces`."""
        stage = cls.model_validate_json(json.dumps(dict(params), default=dict))
        takes = {name: one.declared() for name, one in stage.takes.items()}
        return takes, {name: one.type for name, one in stage.makes.items()}

    def run(self, context: Context) -> None:
        """Start the program, wait for it, and judge by its exit code."""
        report = context.scratch / "report.json"
        with ExitStack() as outputs:
            values = self._values(context)
            for name, made in self.makes.items():
                values[f"output.{name}"] = [str(outputs.enter_context(context.output(name, made.file)))]
            argv = [word for given in self.argv for word in expand(given, values)]
            env = {name: " ".join(expand(given, values)) for name, given in self.env.items()}
            status = _call(argv, {**os.environ, **env, REPORT: str(report)}, context.scratch)
            told = _read_report(report)
            for measure in told.measures:
                context.measure(measure.name, measure.value, measure.unit)
            for caveat in told.caveats:
                context.caveat(caveat)
            if told.status is not None:
                context.log.info("%s: %s", told.status, told.message)
                context.measure("status", told.status)
                context.measure("sentence", told.message)
            if told.status == "FAILURE":
                raise Reject([told.message, *told.reasons])
            if told.status == "PARTIAL":
                context.caveat(told.message)
            self._judge(Path(argv[0]).name, status, told)

    def _values(self, context: Context) -> dict[str, list[str]]:
        values = {f"param.{name}": [_text(value)] for name, value in self.params.items()}
        for name in self.takes:
            given = context.inputs[name]
            paths = given if isinstance(given, list) else [] if given is None else [given]
            values[f"input.{name}"] = [str(path) for path in paths]
        values["scratch"] = [str(context.scratch)]
        values["cores"] = [str(context.cores)]
        for name in _ITEM:
            values[name] = [str(getattr(context.item, name.partition(".")[2]))]
        return values

    def _judge(self, program: str, status: int, told: CommandReport) -> None:
        """Judge by the exit code. A report that says SUCCESS or PARTIAL makes no crash well."""
        meaning = self.exit_codes.get(str(status))
        if status == 0:
            return
        text = f"{program}: {describe_exit(status)}"
        if meaning == "reject":
            raise Reject(told.reasons or text)
        if meaning == "transient":
            raise Transient("; ".join(told.reasons) or text)
        raise RuntimeError("; ".join([text, *told.reasons]))


def _text(value: str | int | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def expand(word: str, values: Mapping[str, Sequence[str]]) -> list[str]:
    """The words that a word of `argv` becomes: one, several for many files, none for an absent optional input.

    Raises
    ------
    ValueError
        If two inputs of several files stand in one word, or an item's name would be read as an option.
    """
    names = {match[2] for match in PLACEHOLDER.finditer(word) if match[2]}
    several = [name for name in names if len(values[name]) != 1]
    if len(several) > 1 and all(values[name] for name in several):
        raise ValueError(f"{word!r} holds several inputs of many files; write a word for each")
    filled = []
    for number in range(min((len(values[name]) for name in several), default=1)):
        filled.append(PLACEHOLDER.sub(_filler(values, number), word))
    if word.startswith("{item.") and filled[0].startswith("-"):
        raise ValueError(f"{filled[0]!r} for {word} would be read as an option; write --name={word}")
    return filled


def _filler(values: Mapping[str, Sequence[str]], number: int) -> Callable[[re.Match[str]], str]:
    def fill(match: re.Match[str]) -> str:
        if match[1]:
            return match[1]
        given = values[match[2]]
        return given[number if len(given) > 1 else 0]

    return fill


def _call(argv: list[str], env: Mapping[str, str], folder: Path) -> int:
    """Run a program in a folder and return its status (a signal is negative)."""
    found = shutil.which(argv[0], path=env.get("PATH"))
    if found is None:
        raise FileNotFoundError(f"program {argv[0]!r} was not found (or may not be executed); looked in PATH")
    program = str(Path(found).absolute())
    done = subprocess.run(
        [argv[0], *argv[1:]], executable=program, env=env, cwd=folder, stdin=subprocess.DEVNULL, check=False
    )
    return done.returncode


def _read_report(path: Path) -> CommandReport:
    """What the program reported; nothing if it wrote no report.

    Raises
    ------
    ValueError
        If the report is no file of at most `MOST_REPORTED` bytes, or does not say what a report may say.
    """
    try:
        data = _read(path)
    except FileNotFoundError:
        return CommandReport()
    try:
        return CommandReport.model_validate_json(data)
    except ValidationError as error:
        problems = "; ".join(_wrong(one) for one in error.errors())
        raise ValueError(f"the report that the program wrote to {REPORT} is not valid: {problems}") from error


def _wrong(problem: Mapping[str, Any]) -> str:
    """What is wrong in a report: where, and what was expected there."""
    above = problem["loc"][:-1]
    place = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        model = CommandMeasure if above else CommandReport
        return f"{place}: found an unknown name; expected one of {', '.join(model.model_fields)}"
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    told = str(problem["msg"]).replace("Input should be", "expected", 1)
    return f"{place}: {told}" if place else told


def _read(path: Path) -> bytes:
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise ValueError(f"the report at {REPORT} is not a file: found a link or a socket") from error
        raise
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise ValueError(f"the report at {REPORT} is not a file: found a folder or a pipe")
    with os.fdopen(number, "rb") as file:
        data = file.read(MOST_REPORTED + 1)
    if len(data) > MOST_REPORTED:
        raise ValueError(f"the report at {REPORT} has more than {MOST_REPORTED} bytes")
    return data
