"""What a pipeline author writes: stages, chains of steps, and what they take and make.

A stage never sees the catalog and needs nothing but its context, so it runs in this process, in a pool or in a pod
without change. Everything that a stage may read is declared in `consumes`, and all of it enters the run's key.
"""

import logging
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from towpath.base.model import StepRecord


@dataclass(frozen=True, slots=True)
class Unit:
    """The unit of a parameter, for documentation: ``Metres = Annotated[float, Unit("m")]``."""

    name: str


@dataclass(frozen=True, slots=True)
class Input:
    """Base of what a stage may consume."""


@dataclass(frozen=True, slots=True)
class One(Input):
    """Exactly one product of `type`: made by an earlier stage of the route, or a raw file of the item.

    `context.inputs[name]` is its `Path`; with ``optional=True`` it is None where there is none.
    """

    type: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Many(Input):
    """All products of `type` of the item, or of the members of a group, in order: a list of `Path`.

    `context.sources[name]` tells of each which item and part it is.
    """

    type: str
    least: int = 1


@dataclass(frozen=True, slots=True)
class Calibration(Input):
    """The certified calibration of `kind` that is valid at the item's time; the stage waits until there is one.

    `at` is ``"time.begin"``, ``"time.mid"`` or ``"time.end"``; `selector` names an attribute of the item that must
    equal the calibration's selector (empty: any). Where none is valid, the one whose validity is nearest to that time is
    given if it is at most `within` seconds away. A stage is never given what its own item certifies in a later stage.

    ``context.sources[name]`` holds one `InputFile` that says what was given; its `attributes` are ``calibration`` (its
    number), ``kind``, ``selector``, ``begin`` and ``end`` (of the validity [begin, end), seconds since the epoch),
    ``quality``, ``is_valid`` (at the item's time) and ``age`` (seconds from the validity to the item's time, 0 where it
    is valid). All of it enters the key.
    """

    kind: str
    at: str = "time.mid"
    selector: str = ""
    optional: bool = False
    within: float = 0.0


@dataclass(frozen=True, slots=True)
class Flags(Input):
    """The flags on the item as a list of ``{"part": ..., "value": ..., "comment": ...}``, oldest first."""


@dataclass(frozen=True, slots=True)
class Verdicts(Input):
    """The last verdict of each earlier stage that judged: ``{stage: {"result": ..., "rules": [...]}}``."""


@dataclass(frozen=True, slots=True)
class Record(Input):
    """The item's facts: ``{"key", "kind", "attributes", "time", "footprint", "members", "measures"}``.

    ``measures`` maps each earlier stage of the route to the measures of its last run.
    """


@dataclass(frozen=True, slots=True)
class InputFile:
    """One product that a run reads: where it is and what it is. `sha256` is hexadecimal, `size` in bytes."""

    path: Path
    type: str
    item: str
    part: str
    sha256: str
    size: int
    stage: str = ""
    output: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ItemName:
    """Which item a run is for. Its attributes come by `Record()`, so that they enter the key."""

    pipeline: str
    kind: str
    key: str


class Context(Protocol):
    """What a stage is given: its inputs, a place for its outputs, and ways to report."""

    item: ItemName
    stage: str
    inputs: Mapping[str, Any]
    sources: Mapping[str, Sequence[InputFile]]
    scratch: Path
    cores: int
    log: logging.Logger

    def output(self, name: str, filename: str) -> AbstractContextManager[Path]:
        """A path to write the declared output `name` to: a file, or a folder that the stage makes there."""

    def progress(self, fraction: float, note: str = "") -> None:
        """Tell how far the run is: `fraction` in [0, 1]."""

    def measure(self, name: str, value: float | int | str | bool | None, unit: str = "") -> None:
        """Record a measured value with its unit."""

    def caveat(self, text: str) -> None:
        """Record that the result is done, but."""

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
        """Record one point result, see `features`."""

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
        """Record many point results of one kind, given as columns of one length; the catalog finds them by place.

        Parameters
        ----------
        kind
            What they are, such as ``radio source``.
        lon, lat
            Degrees: right ascension and declination, or longitude and latitude; `lon` in [-180, 360].
        names
            A name for each, or none.
        properties
            Columns of numbers and short texts, at most 2048 bytes for each feature; what is not finite is null.
        frame
            ``icrs`` (the sky) or ``wgs84`` (Earth).
        times
            Seconds since the epoch for each, or none.

        Raises
        ------
        ValueError
            If a place is out of range, columns differ in length, or there are more than 20 000 in one run.
        """

    def previous(self, output: str) -> Path | None:
        """The former product of this stage and item, verified, or None. May change the run's time, never its result."""

    def judge(self, result: str, rules: Sequence[Mapping[str, Any]]) -> None:
        """Record a verdict: `result` is pass, warn, hold or reject, `rules` its evidence."""

    def step(self, record: StepRecord) -> None:
        """Record one step of a chain."""

    def keep(self, process: int) -> None:
        """Let a child process, by its id, live on for later runs of this worker; it is ended with the worker.

        All other children are ended with the run. What is kept may save time, never change a result.
        """


class Stage(BaseModel):
    """A named durable piece of work on an item. Fields are its parameters: typed, validated, all in the key.

    Subclasses set `version`, `consumes` (input name → `One`, `Many`, ...) and `produces` (output name → product
    type), and write `run`. Change `version` when the result would change.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=False)

    version: ClassVar[str] = "1"
    consumes: ClassVar[Mapping[str, Input]] = {}
    produces: ClassVar[Mapping[str, str]] = {}
    optional_outputs: ClassVar[frozenset[str]] = frozenset()
    unkeyed: ClassVar[frozenset[str]] = frozenset()  # parameters that say where, not what: they enter no key

    @classmethod
    def declared(cls, params: Mapping[str, Any]) -> tuple[Mapping[str, Input], Mapping[str, str]]:
        """What the stage takes and makes with these parameters; most stages declare it in the class."""
        return cls.consumes, cls.produces

    @abstractmethod
    def run(self, context: Context) -> None:
        """Do the work: read `context.inputs`, write `context.output(...)`.

        Raises
        ------
        Reject
            If the item does not qualify.
        Transient
            If something outside failed and may work later.
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Step:
    """One in-memory transform of a chain: ``call(dataset, **params) -> dataset``.

    `statistics` turns a dataset into numbers to record before and after; each of `checks` returns None when the
    dataset is as it must be, else a sentence that says what is wrong (the run then fails).
    """

    name: str
    call: Callable[..., Any]
    params: Mapping[str, Any] = field(default_factory=dict)
    statistics: Callable[[Any], Mapping[str, Any]] | None = None
    checks: Mapping[str, Callable[[Any], str | None]] = field(default_factory=dict)


class Chain(Stage):
    """A stage made of steps. Subclasses write `load`, `steps` and `save`; seconds and statistics are recorded."""

    @abstractmethod
    def load(self, context: Context) -> Any:
        """Read the inputs into one dataset."""

    @abstractmethod
    def steps(self) -> Sequence[Step]:
        """The steps, in order."""

    @abstractmethod
    def save(self, dataset: Any, context: Context) -> None:
        """Write the outputs."""

    def run(self, context: Context) -> None:
        """Load, pass the dataset through each step, save."""
        dataset = self.load(context)
        steps = list(self.steps())
        for number, step in enumerate(steps):
            context.progress(number / len(steps), step.name)
            dataset = run_step(step, dataset, context)
        self.save(dataset, context)


def run_step(step: Step, dataset: Any, context: Context) -> Any:
    """Run one step and record its seconds, statistics before and after, and checks.

    Raises
    ------
    ValueError
        If a check finds something wrong; the step is recorded first.
    """
    before = dict(step.statistics(dataset)) if step.statistics else {}
    start = time.perf_counter()
    dataset = step.call(dataset, **step.params)
    seconds = time.perf_counter() - start
    after = dict(step.statistics(dataset)) if step.statistics else {}
    checks = {name: check(dataset) for name, check in step.checks.items()}
    context.step(StepRecord(step.name, seconds, before, after, checks))
    wrong = [f"{name}: {text}" for name, text in checks.items() if text is not None]
    if wrong:
        raise ValueError(f"step {step.name}: {'; '.join(wrong)}")
    return dataset
