"""The pipeline file as strict frozen models, the rules that judge, and what a pipeline's `plugin.py` declares.

Promises that an unknown key or a value of the wrong kind is refused, and that a rule is judged without reading
anything but its measures. Knows neither files nor the catalog; `app.definitions` resolves these models.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from towpath.base import clock
from towpath.base.errors import DefinitionError
from towpath.base.model import Measure, RuleResult, Verdict
from towpath.base.template import names
from towpath.contracts.publication import PublishSettings
from towpath.contracts.route import parse
from towpath.contracts.stage import Context, Input, Stage

_BYTES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_BYTES |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)\Z")


def _duration(value: Any) -> float:
    try:
        found = math.nan if isinstance(value, bool) else clock.duration(value)
    except (ValueError, TypeError):
        found = math.nan
    if not 0 <= found < math.inf:
        raise ValueError("a duration: a number and one of ms, s, min, h, d, such as '10 min'")
    return found


def _memory(value: Any) -> int:
    match = _MEMORY.match(value) if isinstance(value, str) else None
    if match and match[2].lower() in _BYTES:
        return int(float(match[1]) * _BYTES[match[2].lower()])
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError("an amount of memory: a number and one of B, kB, MB, GB, TB, KiB, MiB, GiB, TiB, such as '2 GB'")


def _keep(value: str) -> str:
    if value not in ("always", "until consumed", "until published"):
        try:
            _duration(value)
        except ValueError:
            raise ValueError("'always', 'until consumed', 'until published' or a duration such as '30 d'") from None
    return value


def _route(value: str) -> str:
    try:
        return parse(value).text
    except DefinitionError as error:
        found, _, expected = str(error).partition("; expected ")
        raise ValueError(f"{expected} ({found})") from None


def _texts(value: Any) -> Any:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


Duration = Annotated[float, BeforeValidator(_duration)]
Memory = Annotated[int, BeforeValidator(_memory)]
Keep = Annotated[str, BeforeValidator(_keep)]
RouteText = Annotated[str, BeforeValidator(_route)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_texts)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
OnTimeout = Literal["hold", "process", "reject"]
Late = Literal["hold", "revise"]
Fail = Literal["hold", "reject", "warn"]
Op = Literal["==", "!=", "<", "<=", ">", ">=", "in", "between"]


class Model(BaseModel):
    """A table of the pipeline file: frozen, strict, without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


# ---- rules


class Rule(Model):
    """One rule: the value of `measure` must stand in relation `op` to `limit`, or else `fail` follows.

    `limit` is a list for ``in`` (the allowed values) and for ``between`` (lowest and highest, both allowed). `unit`,
    where given, must be that of the measure.
    """

    measure: str
    op: Op
    limit: float | int | bool | str | tuple[float | int | bool | str, ...]
    name: str = ""
    unit: str = ""
    fail: Fail = "hold"

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
    return isinstance(limit, tuple) and len(limit) == 2 and all(map(_is_number, limit)) and limit[0] <= limit[1]


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
    results = tuple(_judged(rule, measures.get(rule.measure), (faults or {}).get(rule.measure, "")) for rule in rules)
    asked = {result.action for result in results}
    return Verdict(next((grave for grave in ("reject", "hold", "warn") if grave in asked), "pass"), results)


def _judged(rule: Rule, measure: Measure | None, fault: str) -> RuleResult:
    value, unit = (measure.value, measure.unit) if measure else (None, rule.unit)
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
    limit = list(rule.limit) if isinstance(rule.limit, tuple) else rule.limit
    action = "" if passed else rule.fail
    result = "pass" if passed else "warn" if rule.fail == "warn" else "fail"
    return RuleResult(rule.title, rule.measure, value, rule.op, limit, result, rule.unit or unit, action)


def reason(result: RuleResult) -> str:
    """A judged rule as a sentence: ``rms 12.3 mGal: must be <= 10``."""
    value = f"{result.value:.6g}" if isinstance(result.value, float) else str(result.value)
    unit = f" {result.unit}" if result.unit and not value.startswith("not measured") else ""
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


# ---- stages


class ResourceTable(Model):
    """What a run of the stage may use; 0 means no limit."""

    cores: int = Field(default=1, ge=1)
    memory: Memory = 0
    time: Duration = 0.0
    gpu: bool = False


class StageTable(Model):
    """What may be said of any stage.

    `reaches` is the milestone that finishing it reaches, `rejects` what a rejection is called; `keep` says how long its
    products stay; `enabled = false` switches a stage off that the route marks with ``?``. `inputs` names the maker of
    an input as ``"stage"`` or ``"stage.output"`` where there is more than one.
    """

    kind: Literal[""] = ""
    resources: ResourceTable = ResourceTable()
    reaches: str = ""
    rejects: str = ""
    keep: Keep = "always"
    enabled: bool = True
    attempts: int = Field(default=5, ge=1)
    backoff: Duration = 10.0
    priority: int = 0
    verify: Literal["stat", "hash"] = "stat"
    inputs: dict[str, str] = {}


class CodeTable(StageTable):
    """A stage written in Python: ``uses = "pipeline.Class"`` or ``"module:Class"``, with its parameters."""

    uses: str = ""
    params: dict[str, Any] = {}


class QualifyTable(StageTable):
    """The built-in kind `qualify`: whether the item qualifies at all."""

    kind: Literal["qualify"]  # type: ignore[assignment]  # each kind narrows the one of its base
    rules: tuple[Rule, ...] = ()


class AssessTable(StageTable):
    """The built-in kind `assess`: whether the products are good."""

    kind: Literal["assess"]  # type: ignore[assignment]  # each kind narrows the one of its base
    rules: tuple[Rule, ...] = ()


class SnapshotTable(StageTable):
    """The built-in kind `snapshot`: the catalog's facts of the item as a JSON product."""

    kind: Literal["snapshot"]  # type: ignore[assignment]  # each kind narrows the one of its base
    type: str = "snapshot/json"
    file: str = "snapshot.json"


class FetchTable(StageTable):
    """The built-in kind `fetch`: get the bytes of the item's request from a provider; they become its product."""

    kind: Literal["fetch"]  # type: ignore[assignment]  # each kind narrows the one of its base
    provider: str = ""
    type: str = ""


class CommandInput(Model):
    """An input of a command: a product type; all of them with ``many``, none needed with ``optional``."""

    type: str
    many: bool = False
    optional: bool = False


class CommandOutput(Model):
    """An output of a command: its product type and the file name that it gets."""

    type: str
    file: str = ""
    optional: bool = False


def _typed(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


class CommandTable(StageTable):
    """The built-in kind `command`: a program with declared inputs and outputs; no shell reads its arguments.

    `command` is a list of arguments with the placeholders ``{input.NAME}``, ``{output.NAME}``, ``{param.NAME}``,
    ``{item.key}``, ``{scratch}`` and ``{cores}``; `exits` maps exit codes to outcomes (0 is done, others failed).
    """

    kind: Literal["command"]  # type: ignore[assignment]  # each kind narrows the one of its base
    command: tuple[str, ...] = Field(min_length=1)
    consumes: dict[str, Annotated[CommandInput, BeforeValidator(_typed)]] = {}
    produces: dict[str, Annotated[CommandOutput, BeforeValidator(_typed)]] = {}
    params: dict[str, str | int | float | bool] = {}
    env: dict[str, str] = {}
    exits: dict[str, Literal["done", "caveat", "reject", "transient", "fail"]] = {}
    version: str = "1"

    @field_validator("exits")
    @classmethod
    def _codes(cls, value: dict[str, str]) -> dict[str, str]:
        if any(not code.isdigit() or int(code) > 255 for code in value):
            raise ValueError("exit codes from 0 to 255 as keys")
        return value


class CertifyTable(StageTable):
    """The built-in kind `certify`: a product becomes the calibration `calibration`, valid around the item's time.

    `product` is ``"stage.output"``; `selector` names the item's attribute that calibrations are told apart by; valid
    from `valid_before` before the item's time begins until `valid_after` after it ends; `quality` names a measure.
    """

    kind: Literal["certify"]  # type: ignore[assignment]  # each kind narrows the one of its base
    calibration: str
    product: str
    selector: str = ""
    valid_before: Duration = 0.0
    valid_after: Duration = 0.0
    quality: str = ""


class PublishTable(StageTable, PublishSettings):
    """The built-in kind `publish`: the journaled move of products to an archive (see `PublishSettings`)."""

    kind: Literal["publish"]  # type: ignore[assignment]  # each kind narrows the one of its base


BUILTIN: dict[str, type[StageTable]] = {
    "qualify": QualifyTable,
    "assess": AssessTable,
    "snapshot": SnapshotTable,
    "fetch": FetchTable,
    "command": CommandTable,
    "certify": CertifyTable,
    "publish": PublishTable,
}


def _kind_of(value: Any) -> str:
    kind = value.get("kind", "") if isinstance(value, dict) else getattr(value, "kind", "")
    return (kind or "code") if isinstance(kind, str) else repr(kind)


AnyStage = Annotated[
    Annotated[CodeTable, Tag("code")]
    | Annotated[QualifyTable, Tag("qualify")]
    | Annotated[AssessTable, Tag("assess")]
    | Annotated[SnapshotTable, Tag("snapshot")]
    | Annotated[FetchTable, Tag("fetch")]
    | Annotated[CommandTable, Tag("command")]
    | Annotated[CertifyTable, Tag("certify")]
    | Annotated[PublishTable, Tag("publish")],
    Discriminator(_kind_of),
]


# ---- sources and items


class FolderTable(Model):
    """A watched folder: files below `root` whose path fits `pattern` are raw files of items.

    `key` and `part` are templates of the item's key and the file's part from the fields of the pattern; `time` is the
    field that is the item's time and `duration` how long that lasts; `attributes` are constants of every item.
    `join_within` joins near-equal times. An item is complete with `complete` files, or at `timeout` after its first.
    """

    kind: Literal["folder"]
    item: Name
    pattern: Texts = Field(min_length=1)
    root: Name = "incoming"
    key: str = "{key}"
    part: str | None = None
    time: str = ""
    duration: Duration = 0.0
    attributes: dict[str, Any] = {}
    join_within: Duration = 0.0
    complete: int = Field(default=1, ge=0)
    timeout: Duration = 0.0
    on_timeout: OnTimeout = "hold"
    late: Late = "hold"
    settled: Literal["size", "marker", "rename"] = "size"
    marker: str = ".done"
    settle: Duration = 2.0
    temporary: Texts | None = None
    scan_every: Duration = 60.0
    type: str = "raw/file"


class RequestTable(Model):
    """One request to a provider: it becomes the item `key`; `file` is short for a parameter of that name."""

    key: str = Field(min_length=1)
    file: str = ""
    params: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    footprint: tuple[float, float, float, float] | None = None
    time: Texts = ()


class FetchSourceTable(Model):
    """Requests that a provider of the pipeline answers; each becomes an item, its stage `fetch` gets the bytes."""

    kind: Literal["fetch"]
    item: Name
    provider: str = Field(min_length=1)
    requests: tuple[RequestTable, ...] = ()
    scan_every: Duration = 3600.0
    type: str = "raw/file"


class SubmitTable(Model):
    """Items that people or programs submit, with their files."""

    kind: Literal["submit"]
    item: Name
    key: str = "{key}"
    type: str = "raw/file"


AnySource = Annotated[FolderTable | FetchSourceTable | SubmitTable, Field(discriminator="kind")]


class GroupTable(Model):
    """How items of kind `of` become one item of this kind once they pass stage `at` (see `GroupPlan`)."""

    of: Name
    at: str = ""
    size: int = Field(default=0, ge=0)
    least: int = Field(default=1, ge=1)
    by: Texts = ()
    order_by: str = "time.mid"
    max_gap: Duration = 0.0
    stride: int = Field(default=0, ge=0)
    timeout: Duration = 0.0
    on_timeout: OnTimeout = "hold"
    late: Late = "hold"
    key: str = ""

    @model_validator(mode="after")
    def _can_end(self) -> Self:
        if not (self.size or self.timeout or self.by):
            raise ValueError("at least one of size, timeout and by, or else the group never ends")
        if self.size and self.least > self.size:
            raise ValueError(f"a least of at most the size {self.size}")
        if self.stride > self.size:
            raise ValueError(f"a stride of at most the size {self.size}")
        return self


class ItemTable(Model):
    """One kind of item: its route and stages, and how it forms if it is a group.

    `reaches` is the milestone of arrival. `time` names one or two attributes (begin, end), `footprint` one (a list) or
    four (west, south, east, north, in degrees).
    """

    route: RouteText
    group: GroupTable | None = None
    reaches: str = ""
    priority: int = 0
    time: Texts = Field(default=(), max_length=2)
    footprint: Texts = ()
    stages: dict[str, AnyStage] = {}

    @field_validator("footprint")
    @classmethod
    def _corners(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) not in (0, 1, 4):
            raise ValueError("one attribute, or four: west, south, east, north")
        return value


class PipelineTable(Model):
    """Which pipeline this is, and what travels with its products. `end` is the text of the file's last line."""

    name: Name
    version: str = "1"
    licence: str = ""
    citation: str = ""
    doi: str = ""
    environment: str = ""
    end: str = ""


class StoreTable(Model):
    """Where products go below the store; `layout` is the folder that the item's own name is put in."""

    layout: str = "{pipeline}/{kind}/{stage}"

    @field_validator("layout")
    @classmethod
    def _fields(cls, value: str) -> str:
        try:
            unknown = set(names(value)) - {"pipeline", "kind", "stage"}
        except ValueError:
            unknown = {value}
        parts = value.split("/")
        if unknown or "{stage}" not in value or {"", ".", ".."} & set(parts) or any(p.startswith(".") for p in parts):
            raise ValueError("a relative path with {stage}, and if wanted {pipeline} and {kind}")
        return value


class PipelineFile(Model):
    """A whole pipeline file."""

    pipeline: PipelineTable
    items: dict[Name, ItemTable] = Field(min_length=1)
    sources: dict[Name, AnySource] = {}
    store: StoreTable = StoreTable()


# ---- plug-ins


@dataclass(frozen=True, slots=True)
class Plugin:
    """What a pipeline brings, declared once in its `plugin.py`; only `name` is needed.

    `stages` are classes, `providers` classes with a `name`, `measures` functions decorated with `measure`; `demo`
    prepares a site that shows the pipeline; `pipeline_file` defaults to `pipeline.toml` beside the plug-in.
    """

    name: str
    stages: Sequence[type[Stage]] = ()
    providers: Sequence[type[Any]] = ()
    measures: Sequence[Measured] = ()
    tables: Sequence[Any] = ()
    routes: Sequence[Any] = ()
    pages: Sequence[Any] = ()
    commands: Sequence[Any] = ()
    demo: Callable[..., Any] | None = None
    pipeline_file: str = ""
    version: str = ""

    def stage(self, name: str) -> type[Stage] | None:
        """The stage class of this name, written as a class (``GridFine``) or as in a route (``grid_fine``)."""
        return next((stage for stage in self.stages if name in (stage.__name__, snake(stage.__name__))), None)

    def measure(self, name: str) -> Measured | None:
        """The measure of this name."""
        return next((found for found in self.measures if found.name == name), None)

    def provider(self, name: str) -> type[Any] | None:
        """The provider of this name."""
        return next((found for found in self.providers if getattr(found, "name", "") == name), None)


def snake(name: str) -> str:
    """A class name as it stands in a route: ``GridFine`` → ``grid_fine``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
