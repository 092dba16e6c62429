"""What a stage is given for one run: inputs, a place for outputs, and ways to report.

Built for each run, so everything that a small stage does not ask for is made only when asked for. It knows no catalog
and no process pool: what is reported is kept here until the run ends, progress is told at once.
"""

import logging
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from towpath.adapters.executors.columns import columns
from towpath.adapters.executors.inputs import Watched, intact_path
from towpath.adapters.executors.processes import keep_child
from towpath.adapters.executors.staging import Folders, Staging
from towpath.adapters.executors.wire import plain
from towpath.base.model import Features, Measure, StepRecord
from towpath.contracts.executor import FEATURES_AT_ONCE, Batch, Progress, Task
from towpath.contracts.stage import InputFile, ItemName, Stage

_BETWEEN = 0.2  # seconds between two messages of progress of a run
_RESULTS = ("pass", "warn", "hold", "reject")

Tell = Callable[[Progress], None]


@dataclass(slots=True)
class Prepared:
    """What the runs of one batch share: the stage with its parameters, and what it declares."""

    stage: Stage
    batch: Batch
    many: tuple[str, ...]
    cores: int
    folders: Folders
    tell: Tell
    lone: bool


class RunContext:
    """The `towpath.contracts.stage.Context` of one run."""

    item: ItemName
    stage: str
    inputs: Mapping[str, Any]
    sources: Mapping[str, Sequence[InputFile]]
    scratch: Path
    cores: int
    log: logging.Logger

    __slots__ = (
        "_begin",
        "_log_file",
        "_prepared",
        "_told",
        "caveats",
        "cores",
        "features_found",
        "inputs",
        "item",
        "log",
        "measures",
        "scratch",
        "sources",
        "stage",
        "staging",
        "steps",
        "task",
        "verdict",
        "watched",
    )

    def __init__(self, prepared: Prepared, task: Task, log_file: str, begin: int) -> None:
        self._prepared = prepared
        self._log_file = log_file
        self._begin = begin
        self._told = 0.0
        self.task = task
        self.stage = prepared.batch.stage
        self.cores = prepared.cores
        self.staging = Staging(task.place, task.token, prepared.lone, prepared.folders)
        self.watched = Watched(task.files.values())
        self.measures: list[Measure] = []
        self.caveats: list[str] = []
        self.steps: list[StepRecord] = []
        self.features_found: list[Features] = []
        self.verdict: dict[str, Any] | None = None

    def __getattr__(self, name: str) -> Any:
        """Make what was not asked for until now (`__slots__` that are still empty)."""
        make = _LAZY.get(name)
        if make is None:
            raise AttributeError(f"a context has no {name!r}")
        value = make(self)
        setattr(self, name, value)
        return value

    def _make_inputs(self) -> dict[str, Any]:
        prepared, files = self._prepared, self.task.files
        inputs: dict[str, Any] = {name: [] for name in prepared.many}
        for name, many in files.items():
            if name not in prepared.batch.single:
                inputs[name] = [Path(file.path) for file in many]
        for name in prepared.batch.single:
            one = files.get(name)
            inputs[name] = Path(one[0].path) if one else None
        inputs.update(self.task.values)
        return inputs

    def _make_sources(self) -> dict[str, list[InputFile]]:
        names = {
            name: self.task.files.get(name, ())
            for name in (*self._prepared.many, *self._prepared.batch.single)
        }
        return {
            name: [
                InputFile(
                    Path(file.path),
                    file.type,
                    file.item,
                    file.part,
                    file.sha256,
                    file.size,
                    file.stage,
                    file.output,
                    file.attributes,
                )
                for file in many
            ]
            for name, many in {**names, **self.task.files}.items()
        }

    def _make_item(self) -> ItemName:
        return ItemName(self._prepared.batch.pipeline, self._prepared.batch.kind, self.task.item)

    def _make_scratch(self) -> Path:
        return Path(self.staging.scratch())

    def _make_log(self) -> logging.Logger:
        return logging.getLogger(f"towpath.stage.{self._prepared.batch.pipeline}.{self.stage}")

    def output(self, name: str, filename: str) -> "Writing":
        """A path to write the declared output `name` to, in a with block."""
        declared = self._prepared.batch.outputs
        if name not in declared:
            known = ", ".join(declared) or "none"
            raise ValueError(f"stage {self.stage} declares no output {name!r}; declared: {known}")
        return Writing(self.staging, name, filename)

    def progress(self, fraction: float, note: str = "") -> None:
        """Tell how far the run is: at most five times a second, the rest is dropped."""
        now = time.monotonic()
        if now - self._told >= _BETWEEN:
            self._told = now
            task = self.task
            part = min(max(float(fraction), 0.0), 1.0)
            self._prepared.tell(Progress(task.work, task.token, part, str(note), self._log_file, self._begin))

    def measure(self, name: str, value: float | int | str | bool | None, unit: str = "") -> None:
        """Record a measured value with its unit."""
        value = plain(value)
        if isinstance(value, list | dict):
            raise TypeError(f"measure {name}: one number or text, not a {type(value).__name__}")
        if isinstance(value, float) and not math.isfinite(value):
            value = str(value)  # JSON, and so a key, has no NaN
        self.measures.append(Measure(name, value, unit))

    def caveat(self, text: str) -> None:
        """Record that the result is done, but."""
        self.caveats.append(str(text))

    def feature(
        self,
        kind: str,
        *,
        lon: float,
        lat: float,
        name: str = "",
        properties: Mapping[str, Any] | None = None,
        frame: str = "icrs",
        time: float | None = None,
    ) -> None:
        """Record one point result."""
        self.features(
            kind,
            lon=[lon],
            lat=[lat],
            names=[name],
            properties={key: [value] for key, value in (properties or {}).items()},
            frame=frame,
            times=None if time is None else [time],
        )

    def features(
        self,
        kind: str,
        *,
        lon: Sequence[float],
        lat: Sequence[float],
        names: Sequence[str] = (),
        properties: Mapping[str, Sequence[Any]] | None = None,
        frame: str = "icrs",
        times: Sequence[float | None] | None = None,
    ) -> None:
        """Record many point results of one kind, given as columns of one length."""
        found = columns(kind, frame, lon, lat, names, properties or {}, times)
        before = sum(len(one.longitudes) for one in self.features_found)
        if before + len(found.longitudes) > FEATURES_AT_ONCE:
            raise ValueError(
                f"features: found {before + len(found.longitudes)}; expected at most {FEATURES_AT_ONCE} of one run"
            )
        if found.longitudes:
            self.features_found.append(found)

    def previous(self, output: str) -> Path | None:
        """The former product of this stage and item, verified, or None."""
        return intact_path(self.task.previous.get(output))

    def judge(self, result: str, rules: Sequence[Mapping[str, Any]]) -> None:
        """Record a verdict. The last one counts."""
        if result not in _RESULTS:
            raise ValueError(f"a verdict is one of {', '.join(_RESULTS)}, not {result!r}")
        self.verdict = {"result": result, "rules": plain(rules)}

    def step(self, record: StepRecord) -> None:
        """Record one step of a chain."""
        self.steps.append(
            StepRecord(
                record.name, record.seconds, plain(record.before), plain(record.after), plain(record.checks)
            )
        )

    def keep(self, process: int) -> None:
        """Let a child process live on for later runs of this worker."""
        keep_child(process)


_LAZY: dict[str, Callable[[RunContext], Any]] = {
    "inputs": RunContext._make_inputs,
    "sources": RunContext._make_sources,
    "item": RunContext._make_item,
    "scratch": RunContext._make_scratch,
    "log": RunContext._make_log,
}


class Writing:
    """The with block in which one output is written: hashed when it ends well, removed when it does not."""

    __slots__ = ("_filename", "_name", "_path", "_staging")

    def __init__(self, staging: Staging, name: str, filename: str) -> None:
        self._staging = staging
        self._name = name
        self._filename = os.fspath(filename)
        self._path = ""

    def __enter__(self) -> Path:
        self._path = self._staging.open(self._name, self._filename)
        return Path(self._path)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._staging.close(self._name, self._path)
        else:
            self._staging.abandon(self._name, self._path)
