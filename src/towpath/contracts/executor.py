"""The unit of work that is handed to an executor, what comes back, and the executor itself.

A batch is plain JSON: a stage's import path, its parameters, and for each run its inputs and a place. The engine's
state never leaves the catalog.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from towpath.base.hashing import Content
from towpath.base.model import Features, Measure, StepRecord
from towpath.base.packed import Packed
from towpath.base.states import Outcome

# Point results of one run at most, and of the runs that end in one transaction: writing them takes half a second.
FEATURES_AT_ONCE = 20_000


@dataclass(frozen=True, slots=True)
class Resources:
    """What a run may use: cores, memory in bytes (0: no limit), seconds (0: no limit), whether it needs a GPU.

    `disk` is the bytes that it is expected to write in the store (0: not said).
    """

    cores: int = 1
    memory: int = 0
    seconds: float = 0.0
    gpu: bool = False
    disk: int = 0


@dataclass(frozen=True, slots=True)
class TaskFile:
    """One product to read: absolute path and what the catalog says of it. `sha256` is hexadecimal."""

    path: str
    type: str
    item: str
    part: str
    size: int
    mtime_ns: int
    sha256: str
    tree: bool = False
    product: int = 0
    stage: str = ""
    output: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)


def many_files() -> Packed[TaskFile]:
    """The files of an input that has very many, none yet; what is kept of each are its values, in order."""
    return Packed(lambda values: TaskFile(*values))


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """Where a run reaches the site's server, and the token that opens its inputs and outputs while it runs."""

    url: str
    token: str


@dataclass(frozen=True, slots=True)
class Task:
    """One run to do: attempt `token` of work row `work`.

    `files` are the inputs that are products, `values` those that are facts (flags, verdicts, record); `place` is the
    path, without ending, that the outputs get: ``<place>.<token>.<file>`` or ``<place>.<token>/<file>``.
    """

    work: int
    token: int
    item: str
    place: str
    files: Mapping[str, Sequence[TaskFile]] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    previous: Mapping[str, TaskFile] = field(default_factory=dict)
    credentials: Credentials | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Runs of one stage: `target` is ``module:Class``, `single` names the inputs given as one path.

    `outputs` maps each declared output to its type; `optional` are those that may be left out. What is made is flushed to disk,
    with all that leads to it below `flush_below`, before it is told of, if that is given. `verify` is how the
    inputs are checked before a run: by `stat`, or by `hash`.
    """

    pipeline: str
    kind: str
    stage: str
    target: str
    params: Mapping[str, Any]
    outputs: Mapping[str, str]
    single: frozenset[str]
    tasks: Sequence[Task]
    optional: frozenset[str] = frozenset()
    resources: Resources = Resources()
    flush_below: str = ""
    verify: str = "stat"


@dataclass(frozen=True, slots=True)
class Output:
    """One product that a run made: declared output, absolute path, and its content."""

    name: str
    path: str
    content: Content
    part: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """How one run ended, and what it made. `began` and `seconds` are in seconds; `log` is file, begin, end.

    `software` is what the process had loaded as canonical JSON: versions by distribution; "" if that is not known.
    """

    work: int
    token: int
    outcome: Outcome
    began: float = 0.0
    seconds: float = 0.0
    outputs: tuple[Output, ...] = ()
    measures: tuple[Measure, ...] = ()
    caveats: tuple[str, ...] = ()
    steps: tuple[StepRecord, ...] = ()
    reasons: tuple[str, ...] = ()
    error: str = ""
    after: float = 0.0
    worker: str = ""
    software: str = ""
    log: tuple[str, int, int] | None = None
    verdict: Mapping[str, Any] | None = None
    refreshed: tuple[tuple[int, int], ...] = ()  # (product, new mtime_ns): equal by hash
    changed: tuple[tuple[int, str], ...] = ()  # (product, "missing" or "changed")
    features: tuple[Features, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is: `fraction` in [0, 1] or None, a note, and the log it writes to, from byte `begin`."""

    work: int
    token: int
    fraction: float | None = None
    note: str = ""
    log: str = ""
    begin: int = 0


class Executor(Protocol):
    """Where runs happen. It owns no state that matters: what it loses comes back when its lease expires."""

    name: str
    attributable: bool  # whether the death of this process says something about the item it worked on

    def free(self, resources: Resources) -> int:
        """How many batches of this size it would begin or queue now."""

    def submit(self, batch: Batch) -> None:
        """Take a batch; never waits for it."""

    def poll(self, timeout: float) -> Iterable[Report | Progress]:
        """What has come back, waiting at most `timeout` seconds for something."""

    def stop(self, runs: Iterable[tuple[int, int]]) -> None:
        """End these runs (work, token) and their child processes; a `stopped` report follows for each."""

    def running(self) -> Sequence[tuple[int, int]]:
        """The runs (work, token) that it holds."""

    def drain(self) -> None:
        """Give back what has not begun (reports `drained`), finish what has."""

    def close(self) -> None:
        """End all processes at once."""
