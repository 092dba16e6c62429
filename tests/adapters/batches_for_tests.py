"""Batches of the stages in `stages_for_tests`, and waiting for what comes back of them."""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from towpath.base.hashing import content
from towpath.contracts.executor import Batch, Executor, Progress, Report, Resources, Task, TaskFile

STAGES = Path(__file__).resolve().parent


def task_file(path: Path, product: int = 0, **fields: Any) -> TaskFile:
    found = content(path)
    return TaskFile(
        str(path),
        fields.pop("type", "text"),
        fields.pop("item", "i"),
        fields.pop("part", ""),
        found.size,
        found.mtime_ns,
        found.sha256.hex(),
        found.tree,
        product,
        **fields,
    )


def batch_of(stage: str, tasks: Sequence[Task], outputs: Mapping[str, str], **fields: Any) -> Batch:
    return Batch(
        "test",
        "item",
        stage.lower(),
        stage if ":" in stage else f"stages_for_tests:{stage}",
        fields.pop("params", {}),
        outputs,
        frozenset(fields.pop("single", ())),
        tasks,
        frozenset(fields.pop("optional", ())),
        fields.pop("resources", Resources()),
        **fields,
    )


def tasks_of(store: Path, keys: Iterable[str], **fields: Any) -> list[Task]:
    return [Task(number, 1, key, str(store / key), **fields) for number, key in enumerate(keys, 1)]


def collect(
    executor: Executor,
    count: int,
    *,
    seconds: float = 60.0,
    each: Callable[[Progress], None] | None = None,
) -> list[Report]:
    """Poll until there are `count` reports."""
    reports: list[Report] = []
    until = time.monotonic() + seconds
    while len(reports) < count:
        assert time.monotonic() < until, f"only {len(reports)} of {count} reports in {seconds} s"
        for one in executor.poll(0.5):
            if isinstance(one, Report):
                reports.append(one)
            elif each is not None:
                each(one)
    return reports


def log_of(report: Report) -> str:
    if report.log is None:
        return ""
    file, begin, end = report.log
    return Path(file).read_bytes()[begin:end].decode()


def names(folder: Path) -> list[str]:
    """What is in a folder; nothing if there is none."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def hidden(folder: Path) -> list[str]:
    """What is left in staging below a folder."""
    return sorted(
        name for _, folders, files in os.walk(folder) for name in (*folders, *files) if name.startswith(".")
    )


def is_alive(process: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def wait_until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not come true"
        time.sleep(0.01)
