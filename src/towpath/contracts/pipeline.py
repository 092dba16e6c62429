"""The pipeline file as strict frozen models.

Promises that an unknown key or a value of the wrong kind is refused. Knows neither files nor the catalog:
`app.definitions` reads files into these models and resolves them.
"""

import math
import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from towpath.base import clock
from towpath.base.errors import DefinitionError
from towpath.base.template import names
from towpath.contracts.judging import Model, Rule
from towpath.contracts.orders import Expected, GateSettings, Given
from towpath.contracts.publication import PublishSettings
from towpath.contracts.route import parse

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


def _reach(value: Any) -> float | str:
    try:
        return "always" if value == "always" else _duration(value)
    except ValueError as error:
        raise ValueError(f"{error}, or 'always'") from None


def _memory(value: Any) -> int:
    match = _MEMORY.match(value) if isinstance(value, str) else None
    if match and match[2].lower() in _BYTES:
        return int(float(match[1]) * _BYTES[match[2].lower()])
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError(
        "an amount of memory: a number and one of B, kB, MB, GB, TB, KiB, MiB, GiB, TiB, such as '2 GB'"
    )


def _route(value: str) -> str:
    try:
        return parse(value).text
    except DefinitionError as error:
        found, _, expected = str(error).partition("; expected ")
        raise ValueError(f"{expected} ({found})") from None


def _texts(value: Any) -> Any:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def _kept_until(value: Any) -> Any:
    """``"until consumed"``, ``"until published"``, ``"always"``, or seconds."""
    if isinstance(value, dict):
        return {name: _kept_until(one) for name, one in value.items()}
    if value in _KEPT:
        return value
    try:
        return _duration(value)
    except ValueError:
        raise ValueError(
            "'until consumed', 'until published', 'always' or a duration such as '30 d'; or a table with one of these "
            "for each output"
        ) from None


_KEPT = ("until consumed", "until published", "always")
KeptUntil = Annotated[str | float | dict[str, str | float], BeforeValidator(_kept_until)]
Duration = Annotated[float, BeforeValidator(_duration)]
Reach = Annotated[float | Literal["always"], BeforeValidator(_reach)]
Memory = Annotated[int, BeforeValidator(_memory)]
RouteText = Annotated[str, BeforeValidator(_route)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_texts)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
OnTimeout = Literal["hold", "process", "reject"]
Late = Literal["hold", "revise"]


# ---- stages


class ResourceTable(Model):
    """What a run of the stage may use; 0 means no limit.

    `disk` is what a run is expected to write: it begins only where that much is free above ``retention.free``.
    """

    cores: int = Field(default=1, ge=1)
    memory: Memory = 0
    disk: Memory = 0
    time: Duration = 0.0
    gpu: bool = False


class StageTable(Model):
    """What may be said of any stage.

    `reaches` is the milestone that finishing it reaches, `rejects` what a rejection is called; `enabled = false`
    switches a stage off that the route marks with ``?``. `inputs` names the maker of an input as ``"stage"`` or
    ``"stage.output"`` where there is more than one. `keep` is how long what it makes stays while it is current: always,
    until all that reads it has, until what was made from it is published, or for a time.
    """

    kind: Literal[""] = ""
    resources: ResourceTable = ResourceTable()
    reaches: str = ""
    rejects: str = ""
    enabled: bool = True
    attempts: int = Field(default=5, ge=1)
    backoff: Duration = 10.0
    priority: int = 0
    verify: Literal["stat", "hash"] = "stat"
    keep: KeptUntil = "always"
    inputs: dict[str, str] = Field(default_factory=dict)


class CodeTable(StageTable):
    """A stage written in Python: ``uses = "pipeline.Class"`` or ``"module:Class"``, with its parameters."""

    uses: str = ""
    params: dict[str, Any] = Field(default_factory=dict)


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
    settings: dict[str, Any] = Field(default_factory=dict)
    type: str = ""


class CommandInput(Model):
    """An input of a command: one product of `type`, or with ``form = "many"`` all of them and at least `least`."""

    type: str
    form: Literal["one", "many"] = "one"
    optional: bool = False
    least: int = Field(default=1, ge=0)


class CommandOutput(Model):
    """An output of a command: its product type and the name of the file (or folder) that the program makes."""

    type: str
    file: str = Field(default="", pattern=r"^[^/]*$")


def _typed(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


class CommandTable(StageTable):
    """The built-in kind `command`: a program with declared inputs and outputs; no shell reads its arguments.

    In `argv` and `env` stand ``{input.NAME}``, ``{output.NAME}``, ``{param.NAME}``, ``{item.key}``, ``{scratch}`` and
    ``{cores}``; `exit_codes` say which exit codes reject the item or ask to be tried again (0 is done, others failed).
    """

    kind: Literal["command"]  # type: ignore[assignment]  # each kind narrows the one of its base
    argv: tuple[str, ...] = Field(min_length=1)
    consumes: dict[str, Annotated[CommandInput, BeforeValidator(_typed)]] = Field(default_factory=dict)
    produces: dict[str, Annotated[CommandOutput, BeforeValidator(_typed)]] = Field(default_factory=dict)
    params: dict[str, str | int | float | bool] = Field(default_factory=dict)
    env: dict[str, str] = Field(default_factory=dict)
    exit_codes: dict[str, Literal["reject", "transient"]] = Field(default_factory=dict)
    program_version: str = ""

    @field_validator("exit_codes")
    @classmethod
    def _codes(cls, value: dict[str, str]) -> dict[str, str]:
        if any(not code.isdigit() or not 0 < int(code) < 256 for code in value):
            raise ValueError("exit codes from 1 to 255 as keys")
        return value


class CertifyTable(StageTable):
    """The built-in kind `certify`: a product becomes the calibration `calibration`, valid around the item's time.

    `product` is ``"stage.output"``, or ``"file"`` for the item's raw file; `selector` names the item's attribute that
    calibrations are told apart by; valid from `valid_before` before the item's time begins until `valid_after` after it
    ends, each a duration or ``"always"``; `quality` names a measure. `overlap` says what is done where another item's is
    in force: ``refuse`` (an error), ``clip`` (cut back to what is free around the item's time; rejected if its own time
    is not) or ``replace`` (those of items registered earlier give way).
    """

    kind: Literal["certify"]  # type: ignore[assignment]  # each kind narrows the one of its base
    calibration: str
    product: str
    selector: str = ""
    valid_before: Reach = 0.0
    valid_after: Reach = 0.0
    quality: str = ""
    overlap: Literal["refuse", "clip", "replace"] = "refuse"


class PublishTable(StageTable, PublishSettings):
    """The built-in kind `publish`: the journaled move of products to an archive (see `PublishSettings`)."""

    kind: Literal["publish"]  # type: ignore[assignment]  # each kind narrows the one of its base

    @field_validator("embargo", mode="before")
    @classmethod
    def _of_duration(cls, value: Any) -> Any:
        try:
            return _duration(value)
        except ValueError:
            return value


class GateTable(StageTable, GateSettings):
    """The built-in kind `gate`: a person decides whether the item goes on (see `GateSettings`)."""

    kind: Literal["gate"]  # type: ignore[assignment]  # each kind narrows the one of its base
    people: Texts = ()
    timeout: Duration = 0.0


class HandoffTable(StageTable):
    """The built-in kind `handoff`: people outside make the products, from what they are given (see `HandoffSettings`)."""

    kind: Literal["handoff"]  # type: ignore[assignment]  # each kind narrows the one of its base
    title: str = "{kind} {item.key}"
    instructions: str = ""
    people: Texts = ()
    lease: Duration = 14 * 86400.0
    remind: Duration = 2 * 86400.0
    inbox: Name = "inbox"
    check: str = ""
    opens: str = ""
    notify: Texts | None = None
    consumes: dict[str, Annotated[Given, BeforeValidator(_typed)]] = Field(default_factory=dict)
    produces: dict[str, Expected] = Field(min_length=1)


class _CarryTable(StageTable):
    """What asks a repository, which may be away for an hour."""

    attempts: int = Field(default=10, ge=1)


class RetrieveTable(_CarryTable):
    """The built-in kind `retrieve`: get the item's files from the repository; each role's is a product ``deposit/ROLE``."""

    kind: Literal["retrieve"]  # type: ignore[assignment]  # each kind narrows the one of its base


class DeliverTable(_CarryTable):
    """The built-in kind `deliver`: put what was made on the item's record.

    `products` are stages or ``"stage.output"`` (default: all that the stages before it make, without what was retrieved);
    `name` is the template of a file's name there, from {item.key}, {stage}, {output} and {file}.
    """

    kind: Literal["deliver"]  # type: ignore[assignment]  # each kind narrows the one of its base
    products: Texts = ()
    name: str = "{item.key}-{stage}-{file}"


BUILTIN: dict[str, type[StageTable]] = {
    "qualify": QualifyTable,
    "assess": AssessTable,
    "snapshot": SnapshotTable,
    "fetch": FetchTable,
    "command": CommandTable,
    "certify": CertifyTable,
    "gate": GateTable,
    "handoff": HandoffTable,
    "publish": PublishTable,
    "retrieve": RetrieveTable,
    "deliver": DeliverTable,
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
    | Annotated[GateTable, Tag("gate")]
    | Annotated[HandoffTable, Tag("handoff")]
    | Annotated[PublishTable, Tag("publish")]
    | Annotated[RetrieveTable, Tag("retrieve")]
    | Annotated[DeliverTable, Tag("deliver")],
    Discriminator(_kind_of),
]


# ---- sources and items


class FolderTable(Model):
    """A watched folder: files below `root` whose path fits `pattern` are raw files of items.

    `key` and `part` are templates of the item's key and the file's part from the fields of the pattern; `time` is the
    field that is the item's time and `duration` how long that lasts; `attributes` are constants of every item.
    `join_within` joins near-equal times. An item is complete with `complete` files, or at `timeout` after its first.
    With `named_by`, fields and their values, a joined item has the key and the time of its file with these; while that is
    not there, of its earliest one. What it is called stays once it is complete or work on it has begun.
    """

    kind: Literal["folder"]
    item: Name
    pattern: Texts = Field(min_length=1)
    root: Name = "incoming"
    key: str = "{key}"
    part: str | None = None
    time: str = ""
    duration: Duration = 0.0
    attributes: dict[str, Any] = Field(default_factory=dict)
    join_within: Duration = 0.0
    named_by: dict[str, str | int | float] = Field(default_factory=dict)
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
    params: dict[str, Any] = Field(default_factory=dict)
    attributes: dict[str, Any] = Field(default_factory=dict)
    footprint: tuple[float, float, float, float] | None = None
    time: Texts = ()


class FetchSourceTable(Model):
    """Requests that a provider answers; each becomes an item, its stage `fetch` gets the bytes.

    `provider` is one of the pipeline's, ``local`` (files that are there already) or ``"module:Class"``; it is made with
    `settings`.
    """

    kind: Literal["fetch"]
    item: Name
    provider: str = "local"
    settings: dict[str, Any] = Field(default_factory=dict)
    requests: tuple[RequestTable, ...] = ()
    scan_every: Duration = 3600.0
    type: str = "raw/file"


class SubmitTable(Model):
    """Items that people or programs submit, with their files.

    `key` is the template of the key from the attributes, for a submission that names none.
    """

    kind: Literal["submit"]
    item: Name
    key: str = ""
    type: str = "raw/file"


class RoleTable(Model):
    """Which files may play one role in a workflow: all that is said must hold, and of each list one entry.

    `extension` is what a name ends with, without the dot; `glob` a pattern of the whole name; `content` what the pipeline's
    plug-in says the first bytes are; `media_type` a pattern such as ``chemical/*``, which counts only where a type is told.
    Extensions that stand earlier are preferred. With `optional` the workflow goes without such a file.
    """

    extension: Texts = ()
    glob: Texts = ()
    content: Texts = ()
    media_type: Texts = ()
    at_least: Memory = 0
    at_most: Memory = 0
    optional: bool = False

    @field_validator("extension")
    @classmethod
    def _plain(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(not one or one != one.lower() or one.startswith(".") for one in value):
            raise ValueError('extensions in small letters without a dot before them, such as "tpr"')
        return value

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.extension or self.glob or self.content or self.media_type):
            raise ValueError("at least one of extension, glob, content and media_type")
        if self.at_most and self.at_least > self.at_most:
            raise ValueError("an at_least that is not larger than at_most")
        return self


class RecordsTable(Model):
    """Files of the records of a repository: what fits `match` becomes an item, one processing of these files.

    `match` says by role which files belong together; there is one item for each file of the role `per` (default: the first
    one). `title` is what people call the workflow. With `automatic`, a file that is new or has changed is processed without
    being asked for. The repository is looked at every `scan_every`.
    """

    kind: Literal["records"]
    item: Name
    match: dict[Name, RoleTable] = Field(min_length=1)
    per: str = ""
    repository: Name = "records"
    title: str = ""
    automatic: bool = True
    scan_every: Duration = 60.0

    @model_validator(mode="after")
    def _per_is_a_role(self) -> Self:
        if self.per and (self.per not in self.match or self.match[self.per].optional):
            known = ", ".join(name for name, role in self.match.items() if not role.optional)
            raise ValueError(
                f"per to be a role that is not optional ({known or 'there is none'}), not {self.per!r}"
            )
        return self


AnySource = Annotated[
    FolderTable | FetchSourceTable | SubmitTable | RecordsTable, Field(discriminator="kind")
]


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
    stages: dict[str, AnyStage] = Field(default_factory=dict)

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
        if (
            unknown
            or "{stage}" not in value
            or {"", ".", ".."} & set(parts)
            or any(p.startswith(".") for p in parts)
        ):
            raise ValueError("a relative path with {stage}, and if wanted {pipeline} and {kind}")
        return value


class PipelineFile(Model):
    """A whole pipeline file."""

    pipeline: PipelineTable
    items: dict[Name, ItemTable] = Field(min_length=1)
    sources: dict[Name, AnySource] = Field(default_factory=dict)
    store: StoreTable = StoreTable()
