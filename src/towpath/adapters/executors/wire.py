"""Batches and reports as plain JSON, so that a run can happen in another process or on another machine.

What is read back equals what was written. Lists stand where a table of names would only repeat them: this is the hot
path of small runs. Nothing here opens a file or a socket.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Any

from towpath.base.hashing import Content
from towpath.base.model import Features, Measure, StepRecord
from towpath.base.packed import Packed
from towpath.base.states import Outcome
from towpath.contracts.executor import Batch, Credentials, Output, Report, Resources, Task, TaskFile

_FILE = attrgetter(*TaskFile.__slots__)
_FEATURES = attrgetter(*Features.__slots__)
_OUTCOMES = {outcome.value: outcome for outcome in Outcome}


def plain(value: Any) -> Any:
    """`value` as plain JSON: numbers of numpy become Python's, tuples lists, mappings dicts, paths and times text.

    Raises
    ------
    TypeError
        If it is anything else; the message names the type.
    """
    kind = type(value)
    if value is None or kind is str or kind is float or kind is int or kind is bool:
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    for method in ("tolist", "isoformat", "__fspath__"):  # numpy, datetime, pathlib
        if hasattr(value, method):
            return plain(getattr(value, method)())
    for base in (bool, int, float, str):
        if isinstance(value, base):
            return base(value)
    raise TypeError(
        f"a {kind.__name__} cannot be recorded; give a number, text, list or table of these: {value!r:.80}"
    )


def _default(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"not plain JSON: {type(value).__name__}")


# What is sent was read from JSON or is `plain`, so it holds no circle; not to look for one halves the time.
_encoder = json.JSONEncoder(separators=(",", ":"), default=_default, check_circular=False)


def dump(value: Any) -> bytes:
    """`value` as JSON in ASCII (a name of a file that is not UTF-8 survives)."""
    return _encoder.encode(value).encode("ascii")


def load(data: bytes | bytearray | memoryview) -> Any:
    """What `dump` wrote."""
    return json.loads(str(data, "ascii"))


def long_inputs(batch: Batch) -> Iterator[tuple[int, str, list[Any]]]:
    """What `batch_to_plain` leaves out, a page at a time: the row (from 1), the input's name, and files of it in order."""
    for row, task in enumerate(batch.tasks, 1):
        for name, files in task.files.items():
            if type(files) is Packed:
                for page in files.pages():
                    yield row, name, list(page)


def batch_to_plain(batch: Batch) -> list[Any]:
    """A batch as a list that `dump` takes, without the inputs of very many files (`long_inputs`)."""
    tasks = [
        (
            task.work,
            task.token,
            task.item,
            task.place,
            {
                name: [] if type(files) is Packed else [_FILE(file) for file in files]
                for name, files in task.files.items()
            },
            task.values,
            {name: _FILE(file) for name, file in task.previous.items()},
            (task.credentials.url, task.credentials.token) if task.credentials else None,
        )
        for task in batch.tasks
    ]
    need = batch.resources
    return [
        batch.pipeline,
        batch.kind,
        batch.stage,
        batch.target,
        batch.params,
        batch.outputs,
        sorted(batch.single),
        tasks,
        sorted(batch.optional),
        (need.cores, need.memory, need.seconds, need.gpu),
        batch.flush_below,
        batch.verify,
    ]


def batch_from_plain(data: list[Any], long: Iterable[tuple[int, str, list[Any]]] = ()) -> Batch:
    """The batch that `batch_to_plain` made a list of, with its `long_inputs`."""
    pipeline, kind, stage, target, params, outputs, single, tasks, optional, need, flush_below, verify = data
    for row, name, files in long:
        tasks[row - 1][4][name] += files
    return Batch(
        pipeline,
        kind,
        stage,
        target,
        params,
        outputs,
        frozenset(single),
        [_task(*task) for task in tasks],
        frozenset(optional),
        Resources(*need),
        flush_below,
        verify,
    )


def _task(
    work: int,
    token: int,
    item: str,
    place: str,
    files: dict[str, list[list[Any]]],
    values: dict[str, Any],
    previous: dict[str, list[Any]],
    credentials: list[str] | None,
) -> Task:
    return Task(
        work,
        token,
        item,
        place,
        {name: [TaskFile(*file) for file in many] for name, many in files.items()},
        values,
        {name: TaskFile(*file) for name, file in previous.items()},
        Credentials(*credentials) if credentials else None,
    )


def report_to_plain(report: Report) -> list[Any]:
    """A report, without its work and token, as a list that `dump` takes."""
    outputs = []
    for output in report.outputs:
        content = output.content
        outputs.append(
            (
                output.name,
                output.path,
                content.size,
                content.mtime_ns,
                content.sha256.hex(),
                content.tree,
                output.part,
            )
        )
    told = report.worker, report.software
    return [report.outcome.value, report.began, report.seconds, outputs, *told, _rest(report)]


def _rest(report: Report) -> dict[str, Any]:
    rest: dict[str, Any] = {}
    for name in ("caveats", "reasons", "error", "after", "log", "refreshed", "changed"):
        value = getattr(report, name)
        if value:
            rest[name] = value
    if report.verdict is not None:
        rest["verdict"] = report.verdict
    if report.measures:
        rest["measures"] = [(one.name, one.value, one.unit) for one in report.measures]
    if report.features:
        rest["features"] = [_FEATURES(one) for one in report.features]
    if report.steps:
        rest["steps"] = [(one.name, one.seconds, one.before, one.after, one.checks) for one in report.steps]
    return rest


def report_from_plain(work: int, token: int, data: list[Any]) -> Report:
    """The report of run (`work`, `token`) that `report_to_plain` made a list of."""
    outcome, began, seconds, outputs, worker, software, rest = data
    made = tuple(
        [
            Output(name, path, Content(size, mtime_ns, bytes.fromhex(sha256), tree), part)
            for name, path, size, mtime_ns, sha256, tree, part in outputs
        ]
    )
    if not rest:
        return Report(work, token, _OUTCOMES[outcome], began, seconds, made, worker=worker, software=software)
    for name in ("caveats", "reasons", "log"):
        if name in rest:
            rest[name] = tuple(rest[name])
    for name in ("refreshed", "changed"):
        if name in rest:
            rest[name] = tuple(tuple(one) for one in rest[name])
    if "measures" in rest:
        rest["measures"] = tuple(Measure(*one) for one in rest["measures"])
    if "features" in rest:
        rest["features"] = tuple(
            Features(kind, frame, *map(tuple, found)) for kind, frame, *found in rest["features"]
        )
    if "steps" in rest:
        rest["steps"] = tuple(StepRecord(*one) for one in rest["steps"])
    return Report(
        work,
        token,
        _OUTCOMES[outcome],
        began,
        seconds,
        made,
        worker=worker,
        software=software,
        **rest,
    )
