"""Rules, the measures that they judge by, and the stage that judges.

Promises that a measure which fails is one failed rule with its error as evidence, that the others are judged all the
same, and that each measure's seconds are recorded. What follows from a verdict is decided elsewhere.
"""

import importlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from towpath.base.errors import Reject, StageOutcome
from towpath.base.model import Measure, RuleResult, StepRecord, Verdict
from towpath.contracts.stage import Context, Input, Record, Stage

MEASURES = ("n_files", "n_members")  # known of every item: its raw files, its members
RECORD = "record"
Fail = Literal["hold", "reject", "warn"]
Op = Literal["==", "!=", "<", "<=", ">", ">=", "in", "between"]


class Model(BaseModel):
    """A table of a file that people write: frozen, strict, without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Rule(Model):
    """One rule: the value of `measure` must stand in relation `op` to `limit`, or else `fail` follows.

    `limit` is a list for ``in`` (the allowed values) and for ``between`` (lowest and highest, both allowed). `unit`,
    where given, must be that of the measure. `missing` says what becomes of the rule when the measure was taken and
    has no value (there was too little to judge by): it fails, or it is skipped.
    """

    measure: str
    op: Op
    limit: float | int | bool | str | tuple[float | int | bool | str, ...]
    name: str = ""
    unit: str = ""
    fail: Fail = "hold"
    missing: Literal["fail", "skip"] = "fail"

    @model_validator(mode="after")
    def _limit_fits(self) -> Self:
        if self.op == "between" and not _is_range(self.limit):
            raise ValueError("for 'between' a limit of two numbers, the lower first")
        if self.op == "in" and not (isinstance(self.limit, tuple) and self.limit):
            raise ValueError("for 'in' a limit that is a list of the allowed values")
        if self.op in ("<", "<=", ">", ">=") and not _is_number(self.limit):
            raise ValueError(f"for {self.op!r} a limit that is a number")
        if self.op in ("==", "!=") and isinstance(self.limit, tuple):
            raise ValueError(f"for {self.op!r} a limit that is one value")
        return self

    @property
    def title(self) -> str:
        """The rule's name, or else that of its measure."""
        return self.name or self.measure


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_range(limit: Any) -> bool:
    return (
        isinstance(limit, tuple) and len(limit) == 2 and all(map(_is_number, limit)) and limit[0] <= limit[1]
    )


def holds(op: str, value: Any, limit: Any) -> bool:
    """Whether `value` stands in relation `op` to `limit`; a value that is missing or not a number never does."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return False
    if op in ("==", "!="):
        return bool(value == limit) is (op == "==")
    if op == "in":
        return value in limit
    if not _is_number(value):
        return isinstance(value, float) and math.isinf(value) and (value > 0) is (op in (">", ">="))
    comparisons: dict[str, Callable[[], bool]] = {
        "<": lambda: value < limit,
        "<=": lambda: value <= limit,
        ">": lambda: value > limit,
        ">=": lambda: value >= limit,
        "between": lambda: limit[0] <= value <= limit[1],
    }
    return comparisons[op]()


def judge(
    rules: Sequence[Rule], measures: Mapping[str, Measure], faults: Mapping[str, str] | None = None
) -> Verdict:
    """Judge rules by measures. `faults` says of a measure that could not be computed what went wrong.

    The verdict is the gravest of what the failed rules ask for: reject, hold, warn; pass if none failed.
    """
    results = tuple(
        _judged(rule, measures.get(rule.measure), (faults or {}).get(rule.measure, "")) for rule in rules
    )
    asked = {result.action for result in results}
    return Verdict(next((grave for grave in ("reject", "hold", "warn") if grave in asked), "pass"), results)


def _judged(rule: Rule, measure: Measure | None, fault: str) -> RuleResult:
    value, unit = (measure.value, measure.unit) if measure else (None, rule.unit)
    if measure is not None and value is None and not fault and rule.missing == "skip":
        return RuleResult(rule.title, rule.measure, None, rule.op, _limit(rule), "skip", rule.unit or unit)
    passed = measure is not None and not fault and holds(rule.op, value, rule.limit)
    if passed and rule.unit and rule.unit != unit:
        fault = f"its unit is {unit or 'none'}, the rule's is {rule.unit}"
    elif not measure and not fault:
        fault = "nothing measured it"
    passed = passed and not fault
    if fault:
        value = f"not measured: {fault}"
    elif isinstance(value, float) and not math.isfinite(value):
        value = str(value)  # JSON has no NaN
    action = "" if passed else rule.fail
    result = "pass" if passed else "warn" if rule.fail == "warn" else "fail"
    return RuleResult(
        rule.title, rule.measure, value, rule.op, _limit(rule), result, rule.unit or unit, action
    )


def _limit(rule: Rule) -> Any:
    """The limit as JSON has it."""
    return list(rule.limit) if isinstance(rule.limit, tuple) else rule.limit


def reason(result: RuleResult) -> str:
    """A judged rule as a sentence: ``rms 12.3 mGal: must be <= 10``."""
    value = f"{result.value:.6g}" if isinstance(result.value, float) else str(result.value)
    if value.startswith("not measured"):
        return f"{result.rule} {value}"
    unit = f" {result.unit}" if result.unit else ""
    limit = result.limit
    if result.op == "between":
        return f"{result.rule} {value}{unit}: must be between {limit[0]} and {limit[1]}"
    if result.op == "in":
        return f"{result.rule} {value}{unit}: must be one of {', '.join(map(str, limit))}"
    return f"{result.rule} {value}{unit}: must be {result.op} {limit}"


@dataclass(frozen=True, slots=True)
class Measured:
    """A function that computes one measure, with its unit, its inputs and its version. Calling it calls the function.

    `consumes` declares inputs as a stage does; they enter the key of the stage that judges. Change `version` when the
    value would change.
    """

    name: str
    function: Callable[[Context], Any]
    unit: str = ""
    consumes: Mapping[str, Input] = field(default_factory=dict)
    version: str = "1"

    def __call__(self, context: Context) -> Any:
        """Compute the value."""
        return self.function(context)

    @property
    def target(self) -> str:
        """Where it is found: ``module:name``."""
        return f"{self.function.__module__}:{self.function.__qualname__}"


def measure(
    *, unit: str = "", consumes: Mapping[str, Input] | None = None, name: str = "", version: str = "1"
) -> Callable[[Callable[[Context], Any]], Measured]:
    """Declare that a function ``(context) -> value`` computes a measure, in `unit`, from the inputs it `consumes`.

    Examples
    --------
    >>> from towpath.contracts.stage import One
    >>> @measure(unit="mGal", consumes={"grid": One("grid/zarr")})
    ... def rms(context):
    ...     return 1.5
    >>> rms.name, rms.unit
    ('rms', 'mGal')
    """

    def declare(function: Callable[[Context], Any]) -> Measured:
        return Measured(name or function.__name__, function, unit, dict(consumes or {}), version)

    return declare


# ---- the stage


class MeasureTarget(Model):
    """A measure's function: its import path ``module:name`` and its version, which enters the key."""

    target: str
    version: str = "1"


def load_measure(target: str) -> Measured:
    """The measure at ``module:name``.

    Raises
    ------
    ImportError
        If there is none.
    """
    module, _, name = target.partition(":")
    found = getattr(importlib.import_module(module), name, None)
    if not isinstance(found, Measured):
        raise ImportError(f"{target} is not a measure; decorate the function with @measure")
    return found


class Judging(Stage):
    """Judge rules by measures: of the pipeline's functions, of earlier stages, or of what is known of every item.

    Parameters
    ----------
    rules
        The rules.
    measures
        The functions that compute measures, by the measure's name.
    upstream
        The stages before this one, nearest first: whose recorded measure is taken where several have one of a name.
    """

    version: ClassVar[str] = "1"

    rules: tuple[Rule, ...] = ()
    measures: dict[str, MeasureTarget] = Field(default_factory=dict)
    upstream: tuple[str, ...] = ()

    @classmethod
    def declared(cls, params: Mapping[str, Any]) -> tuple[Mapping[str, Input], Mapping[str, str]]:
        """What the measures' functions consume, and the item's record; nothing is made.

        Raises
        ------
        ValueError
            If two functions declare different inputs under one name.
        """
        consumes: dict[str, Input] = {RECORD: Record()}
        for name, found in params.get("measures", {}).items():
            for wanted, form in load_measure(found["target"]).consumes.items():
                if consumes.setdefault(wanted, form) != form:
                    raise ValueError(f"measures that agree on the input {wanted!r} ({name} declares {form})")
        return consumes, {}

    def run(self, context: Context) -> None:
        """Measure, judge, and record the verdict.

        Raises
        ------
        Reject
            If a rule that rejects has failed, with a sentence for each.
        """
        verdict = self.verdict(context)
        context.judge(verdict.result, [asdict(result) for result in verdict.rules])
        for result in verdict.rules:
            if result.result == "warn":
                context.caveat(reason(result))
        reasons = [reason(result) for result in verdict.rules if result.action == "reject"]
        if reasons:
            raise Reject(reasons)

    def verdict(self, context: Context) -> Verdict:
        """The verdict on the item; computed measures are recorded."""
        record = context.inputs[RECORD]
        found: dict[str, Measure] = {}
        faults: dict[str, str] = {}
        for name in dict.fromkeys(rule.measure for rule in self.rules):
            if name in self.measures:
                self._compute(name, context, found, faults)
            elif (known := self._recorded(name, record)) is not None:
                found[name] = known
        return judge(self.rules, found, faults)

    def _compute(
        self, name: str, context: Context, found: dict[str, Measure], faults: dict[str, str]
    ) -> None:
        start = time.perf_counter()
        try:
            function = load_measure(self.measures[name].target)
            value = _plain(function(context))
        except (StageOutcome, OSError, MemoryError):
            raise  # they say nothing about the item
        except Exception as error:
            context.log.exception("measure %s failed", name)
            faults[name] = f"{type(error).__name__}: {error}".removesuffix(": ")
            return
        found[name] = Measure(name, value, function.unit)
        is_finite = not isinstance(value, float) or math.isfinite(value)
        context.measure(name, value if is_finite else None, function.unit)
        context.step(StepRecord(f"measure {name}", time.perf_counter() - start))

    def _recorded(self, name: str, record: Mapping[str, Any]) -> Measure | None:
        """The measure that the nearest earlier stage recorded, or one that is known of every item."""
        recorded = record.get("measures", {})
        for stage in self.upstream:
            if name in recorded.get(stage, {}):
                unit = next((rule.unit for rule in self.rules if rule.measure == name), "")
                return Measure(name, recorded[stage][name], unit)
        if name == "n_files":
            return Measure(name, record.get("files", 0))
        return Measure(name, len(record.get("members", ()))) if name == "n_members" else None


def _plain(value: Any) -> float | int | str | bool | None:
    """A measured value as a plain number or text; a numpy scalar is one."""
    value = value.item() if hasattr(value, "item") else value
    if value is not None and not isinstance(value, float | int | str | bool):
        raise TypeError(f"a measure is one number or text, not a {type(value).__name__}")
    return value
