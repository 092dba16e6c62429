"""The worker's side of a run: one task in, one report out, in any process, pod or test.

Inputs are verified before and after, outputs become final by one rename, and whatever user code raises is an outcome:
nothing that it does ends the loop that calls this. What did not succeed leaves nothing behind.
"""

import contextlib
import errno
import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from towpath.adapters.executors.context import Prepared, RunContext, Tell
from towpath.adapters.executors.processes import megabytes, own_umask, undisturbed
from towpath.adapters.executors.software import Software
from towpath.adapters.executors.staging import Folders, remove
from towpath.base.errors import Reject, Transient
from towpath.base.states import Outcome
from towpath.contracts.executor import Batch, Output, Report, Task
from towpath.contracts.stage import Many, Stage

_ERROR_LENGTH = 1000
URL, RUN, RUN_TOKEN = "TOWPATH_URL", "TOWPATH_RUN", "TOWPATH_RUN_TOKEN"  # what a run finds in its environment
# What a disk that is full or away says; it may be well again later.
_DISK = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EROFS, errno.ENODEV, errno.ENOTCONN}
)


class Log(Protocol):
    """Where the output of runs goes. `file` is its path, offsets are in bytes."""

    file: str

    def begin(self) -> int:
        """Where a run that starts now begins."""

    def end(self) -> int:
        """Where a run that ends now ends."""

    def cut(self, end: int) -> None:
        """Forget what was written after byte `end`."""


class NoLog:
    """A log that keeps nothing: the output of a run goes where that of the process goes."""

    file = ""

    def begin(self) -> int:
        """Nothing is kept."""
        return 0

    def end(self) -> int:
        """Nothing is kept."""
        return 0

    def cut(self, end: int) -> None:
        """Nothing is kept."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How user code ended, before it is a report."""

    outcome: Outcome
    error: str = ""
    reasons: tuple[str, ...] = ()
    after: float = 0.0


_BLOCKED = Ending(Outcome.BLOCKED)


@dataclass(frozen=True, slots=True)
class Unprepared:
    """A batch whose stage could not be loaded: every run of it fails with `error`."""

    error: str


def log_limit_error(limit: int) -> str:
    """What is said of a run that wrote more than `limit` bytes to its log."""
    return f"log limit: wrote more than {megabytes(limit)} to its log"


def unflushed(prepared: Prepared, report: Report, error: OSError) -> Report:
    """What is reported of a run whose folders could not be flushed to disk: what it made is removed, it is tried again."""
    if not report.outputs:
        return report
    with contextlib.suppress(OSError):  # the disk is in trouble: what cannot be removed is an orphan
        for output in report.outputs:
            remove(output.path)
        if not prepared.lone:
            os.rmdir(os.path.dirname(report.outputs[0].path))  # noqa: PTH106, PTH120  plain str
    text = f"what it made cannot be flushed to disk: {error}"
    return replace(
        report, outcome=Outcome.TRANSIENT, outputs=(), features=(), reasons=(text,), error=text, after=0.0
    )


def resolve(target: str) -> type[Stage]:
    """The stage class of ``module:Class``.

    Raises
    ------
    TypeError
        If it is not a stage.
    """
    module, _, name = target.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    if not (isinstance(found, type) and issubclass(found, Stage)):
        raise TypeError(f"{target} is not a stage; a stage is a subclass of towpath.Stage")
    return found


class Attempts:
    """Does runs one after the other in this process.

    Parameters
    ----------
    worker
        How reports call this process.
    log
        Where the output of the runs goes.
    tell
        Called with each message of progress.
    cores
        The most cores that a run may be given here.
    log_limit
        Bytes that one run may write to the log; one that wrote more has failed.
    end_children
        Ends processes that a run left behind and returns how many there were.
    interruptible
        Whether the process has more to do than runs: a KeyboardInterrupt means the process (and goes through), not the
        run (which it would fail), and variables that others set meanwhile stay.
    """

    def __init__(
        self,
        worker: str,
        log: Log,
        tell: Tell,
        *,
        cores: int = 1 << 16,
        log_limit: int = 1 << 62,
        end_children: Callable[[], int] | None = None,
        interruptible: bool = False,
    ) -> None:
        self._worker = worker
        self._log = log
        self._tell = tell
        self._cores = cores
        self._log_limit = log_limit
        self._end_children = end_children
        self._interruptible = interruptible
        self._process, self._umask = os.getpid(), own_umask()
        self._stages: dict[tuple[str, str], Stage] = {}
        self._software = Software()

    def prepare(self, batch: Batch) -> Prepared | Unprepared:
        """Load the stage and validate its parameters, once for all runs of a batch (and once per process)."""
        try:
            return self.prepare_stage(self._stage(batch.target, batch.params), batch)
        except BaseException as error:  # user code is imported here: its errors are outcomes
            if self._interruptible and isinstance(error, KeyboardInterrupt):
                raise
            return Unprepared(f"stage {batch.stage} cannot be loaded: {_describe(error)}")

    def prepare_stage(self, stage: Stage, batch: Batch) -> Prepared:
        """The same with a stage that is loaded already."""
        consumes, _ = type(stage).declared(batch.params)
        many = tuple(name for name, form in consumes.items() if isinstance(form, Many))
        return Prepared(
            stage,
            batch,
            many,
            min(batch.resources.cores, self._cores),
            Folders(batch.flush_below),
            self._tell,
            len(batch.outputs) == 1,
        )

    def _stage(self, target: str, params: Mapping[str, Any]) -> Stage:
        text = json.dumps(params, sort_keys=True, default=dict)
        stage = self._stages.get((target, text))
        if stage is None:
            stage = resolve(target).model_validate_json(text)
            self._stages[target, text] = stage
        return stage

    def run(self, prepared: Prepared | Unprepared, task: Task, begin: int | None = None) -> Report:
        """Do one run. Its log begins at byte `begin` (None: here).

        The next one finds the process as this one did: its folder, umask and variables.
        """
        began, start = time.time(), time.perf_counter()
        begin = self._log.begin() if begin is None else begin
        told: dict[str, Any] = {}
        if isinstance(prepared, Unprepared):
            ending = Ending(Outcome.FAILED, prepared.error)
        else:
            context = RunContext(prepared, task, self._log.file, begin)
            with undisturbed(self._umask, _variables(task), alone=not self._interruptible):
                ending = self._attempt(prepared, context, begin)
            told = _told(context, ending, prepared.batch.outputs)
            told["software"] = self._software.told(prepared.batch.pipeline)
        if os.getpid() != self._process:  # the run forked, and the child came back here
            os._exit(0)
        end = self._log.end()
        if end - begin > self._log_limit:
            end = begin + self._log_limit
            self._log.cut(end)
        return Report(
            task.work,
            task.token,
            ending.outcome,
            began,
            time.perf_counter() - start,
            **told,
            reasons=ending.reasons,
            error=ending.error,
            after=ending.after,
            worker=self._worker,
            log=(self._log.file, begin, end) if end > begin else None,
        )

    def _attempt(self, prepared: Prepared, context: RunContext, begin: int) -> Ending:
        """Verify, run, verify again, make final."""
        try:
            if not context.watched.intact(by_hash=prepared.batch.verify == "hash"):
                return _BLOCKED
            before = dict(context.watched.refreshed)
            ending = self._user_code(prepared, context, begin)
            if not context.watched.intact():
                ending = _BLOCKED
            elif anew := context.watched.anew(before):  # as it is now, and yet half of it may have been read
                ending = Ending(Outcome.TRANSIENT, anew, (anew,))
            if ending.outcome in (Outcome.DONE, Outcome.HELD):
                context.staging.finish()
                return ending
        except OSError as error:
            ending = Ending(Outcome.TRANSIENT, _describe(error), (_describe(error),))
        except ValueError as error:  # what the stage wrote cannot be made final
            ending = Ending(Outcome.FAILED, str(error))
        context.staging.discard()
        return ending

    def _user_code(self, prepared: Prepared, context: RunContext, begin: int) -> Ending:
        try:
            prepared.stage.run(context)
        except Reject as error:
            return Ending(Outcome.REJECTED, reasons=tuple(error.reasons))
        except Transient as error:
            return Ending(Outcome.TRANSIENT, error.reason, (error.reason,), error.after)
        except BaseException as error:  # the worker loop: whatever user code raises is an outcome
            if self._interruptible and isinstance(error, KeyboardInterrupt):
                context.staging.discard()
                raise
            text = _describe(error)
            if _is_of_disk(error) or context.staging.is_away():
                return Ending(Outcome.TRANSIENT, text, (text,))
            return Ending(Outcome.FAILED, text)
        finally:
            if self._end_children is not None and (left := self._end_children()):
                context.caveat(f"processes that outlived the run and were ended: {left}")
        if self._log.begin() - begin > self._log_limit:
            return Ending(Outcome.FAILED, log_limit_error(self._log_limit))
        return _judged(prepared.batch, context)


def _variables(task: Task) -> dict[str, str]:
    """What programs of a run find in their environment: the site's server, and a token that dies with the run."""
    if task.credentials is None:
        return {}
    return {
        URL: task.credentials.url,
        RUN: f"{task.work}.{task.token}",
        RUN_TOKEN: task.credentials.token,
    }


def _is_of_disk(error: BaseException | None) -> bool:
    """Whether an error, or what it was raised from, is that of a disk which is full or away."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _DISK:
            return True
        error = error.__cause__
    return False


def _judged(batch: Batch, context: RunContext) -> Ending:
    """How a run ended that returned: by its verdict, and by what it made of what it declared."""
    result = context.verdict["result"] if context.verdict else "pass"
    if context.verdict and result == "reject":
        return Ending(Outcome.REJECTED, reasons=_failed_rules(context.verdict["rules"]))
    made = context.staging.made
    if len(made) < len(batch.outputs):
        missing = [name for name in batch.outputs if name not in made and name not in batch.optional]
        if missing:
            text = f"declared outputs {', '.join(missing)}: none made"
            if context.staging.is_away():
                text = f"{text}; the folder of the run is gone"
                return Ending(Outcome.TRANSIENT, text, (text,))
            return Ending(Outcome.FAILED, text)
    return Ending(Outcome.HELD if result == "hold" else Outcome.DONE)


def _failed_rules(rules: list[dict[str, Any]]) -> tuple[str, ...]:
    failed = [rule for rule in rules if rule.get("result") == "fail"]
    return tuple(
        f"{rule.get('rule', 'rule')}: {rule.get('measure', 'value')} is {rule.get('value')}, "
        f"must be {rule.get('op')} {rule.get('limit')} {rule.get('unit') or ''}".rstrip()
        for rule in failed
    ) or ("the verdict is reject",)


def _told(context: RunContext, ending: Ending, declared: Iterable[str]) -> dict[str, Any]:
    """What the run reported, as fields of a report; outputs, in the order declared, only of a run that succeeded."""
    told: dict[str, Any] = {}
    if ending.outcome is Outcome.DONE or ending.outcome is Outcome.HELD:
        staging = context.staging
        made = staging.made
        told["outputs"] = tuple(
            [Output(name, staging.path(name), made[name]) for name in declared if name in made]
        )
        if context.features_found:
            told["features"] = tuple(context.features_found)
    if context.verdict is not None:
        told["verdict"] = context.verdict
    for name in ("measures", "caveats", "steps"):
        values = getattr(context, name)
        if values:
            told[name] = tuple(values)
    if context.watched.refreshed:
        told["refreshed"] = tuple(context.watched.refreshed.items())
    if context.watched.changed:
        told["changed"] = tuple(context.watched.changed.items())
    return told


def _describe(error: BaseException) -> str:
    """A short text of the error; its traceback goes to the log."""
    try:
        trace = error.__traceback__
        shown = trace.tb_next if trace and trace.tb_next else trace
        traceback.print_exception(type(error), error, shown, file=sys.stderr)
        text = str(error)
    except Exception:  # noqa: BLE001  the error's own text, or a stream that user code closed
        text = ""
    if isinstance(error, MemoryError):
        return f"out of memory: {text}".removesuffix(": ")
    if isinstance(error, SystemExit):
        return f"the stage called sys.exit({error.code!r})"
    text = f"{type(error).__name__}: {text}".removesuffix(": ")
    return text if len(text) <= _ERROR_LENGTH else f"{text[:_ERROR_LENGTH]}…"
