"""Runs one stage for real in a temporary folder, for the unit tests of pipeline authors.

The run happens as a worker would do it (inputs verified, outputs hashed and renamed into place), in this process and
without a catalog. What the stage prints goes where the test's output goes.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

from towpath.adapters.executors.attempt import Attempts, NoLog
from towpath.base.hashing import content
from towpath.base.ids import slug
from towpath.base.model import Feature, Measure, StepRecord
from towpath.base.places import shown_longitude
from towpath.base.states import Outcome
from towpath.contracts.executor import Batch, Progress, Report, Resources, Task, TaskFile
from towpath.contracts.stage import Calibration, Flags, Input, Many, Record, Stage, Verdicts

_TOKEN = 1
_VALID = {
    "calibration": 1,
    "selector": "",
    "begin": 0.0,
    "end": 0.0,
    "quality": 0.0,
    "is_valid": True,
    "age": 0.0,
}
_FACTS = (Flags, Verdicts, Record)


@dataclass(frozen=True, slots=True)
class StageResult:
    """How a run of a stage ended and what it made: `outputs` are paths by declared name, `measures` by name.

    `features` are the point results in the order in which they were told, as `Site.features` would give them; they have
    no number yet, and no item.
    """

    outcome: Outcome
    outputs: Mapping[str, Path]
    measures: Mapping[str, Measure]
    caveats: tuple[str, ...]
    steps: tuple[StepRecord, ...]
    features: tuple[Feature, ...]
    verdict: Mapping[str, Any] | None
    reasons: tuple[str, ...]
    error: str
    progress: tuple[Progress, ...]
    report: Report


def run_stage(
    stage: Stage,
    inputs: Mapping[str, Any],
    tmp_path: Path,
    *,
    previous: Mapping[str, Path] | None = None,
    told: Mapping[str, Mapping[str, Any]] | None = None,
    item: str = "item",
    pipeline: str = "test",
    kind: str = "item",
    cores: int = 1,
) -> StageResult:
    """Run a stage as it runs in production, in a folder of its own below `tmp_path`.

    Parameters
    ----------
    stage
        The stage with its parameters.
    inputs
        Of each consumed name: a path (`One`, `Calibration`; None where it is optional and absent), a list of paths
        (`Many`), or the value (`Flags`, `Verdicts`, `Record`).
    tmp_path
        An existing folder.
    previous
        The former products by output name, as `context.previous` gives them.
    told
        Of calibrations by input name, what `context.sources` is to say of them where it differs from one that is valid,
        such as ``{"bias": {"is_valid": False, "age": 3600.0}}``.
    item, pipeline, kind
        What the stage is told it runs for.
    cores
        How many cores it may use.

    Raises
    ------
    ValueError
        If `inputs` does not name what the stage consumes.
    """
    params = stage.model_dump(mode="json")
    consumes, produces = type(stage).declared(params)
    if unknown := sorted(set(inputs) - set(consumes)):
        raise ValueError(
            f"not consumed: {', '.join(unknown)}; the stage consumes {', '.join(consumes) or 'nothing'}"
        )
    task = Task(
        1,
        _TOKEN,
        item,
        str(_folder(tmp_path) / slug(item)),
        {
            name: _files(form, inputs.get(name), item, (told or {}).get(name, {}))
            for name, form in consumes.items()
            if not isinstance(form, _FACTS)
        },
        {name: inputs.get(name) for name, form in consumes.items() if isinstance(form, _FACTS)},
        {name: _file(path, item, "") for name, path in (previous or {}).items()},
    )
    batch = Batch(
        pipeline=pipeline,
        kind=kind,
        stage=type(stage).__name__.lower(),
        target=f"{type(stage).__module__}:{type(stage).__qualname__}",
        params=params,
        outputs=produces,
        single=frozenset(name for name, form in consumes.items() if not isinstance(form, (Many, *_FACTS))),
        tasks=[task],
        optional=type(stage).optional_outputs,
        resources=Resources(cores=cores),
    )
    progress: list[Progress] = []
    attempts = Attempts("test", NoLog(), progress.append, interruptible=True)
    return _result(attempts.run(attempts.prepare_stage(stage, batch), task), progress)


def _folder(tmp_path: Path) -> Path:
    """A new folder, so that a test may run a stage several times."""
    number = 1
    while (folder := tmp_path / f"run-{number}").exists():
        number += 1
    folder.mkdir()
    return folder.absolute()


def _files(
    form: Input, given: Path | Sequence[Path] | None, item: str, told: Mapping[str, Any]
) -> list[TaskFile]:
    paths = [] if given is None else [given] if isinstance(given, Path) else list(given)
    attributes = {**_VALID, "kind": form.kind, **told} if isinstance(form, Calibration) else {}
    return [_file(path, item, getattr(form, "type", ""), attributes) for path in paths]


def _file(path: Path, item: str, type_: str, attributes: Mapping[str, Any] | None = None) -> TaskFile:
    found = content(path)
    return TaskFile(
        str(path.absolute()),
        type_,
        item,
        "",
        found.size,
        found.mtime_ns,
        found.sha256.hex(),
        found.tree,
        attributes=attributes or {},
    )


def _features(report: Report) -> Iterator[Feature]:
    for found in report.features:
        several = (found.names or repeat(""), found.properties or repeat(""), found.times or repeat(None))
        for lon, lat, name, text, time in zip(found.longitudes, found.latitudes, *several, strict=False):
            shown = shown_longitude(lon, found.frame)
            properties = json.loads(text) if text else {}
            yield Feature(found.kind, shown, lat, name, found.frame, properties, time)


def _result(report: Report, told: Sequence[Progress]) -> StageResult:
    return StageResult(
        report.outcome,
        {output.name: Path(output.path) for output in report.outputs},
        {measure.name: measure for measure in report.measures},
        report.caveats,
        report.steps,
        tuple(_features(report)),
        report.verdict,
        report.reasons,
        report.error,
        tuple(told),
        report,
    )
