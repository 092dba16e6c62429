"""What the server answers and takes, as models: they make the OpenAPI document, and refuse what is none of them.

The fields are those of `--json` on the command line: times are ISO 8601 texts in UTC, hashes hexadecimal.
"""

import math
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

T = TypeVar("T")
_MOST = 1_000  # characters of a reason
_DEEPEST = 50  # times that a value is nested
_LARGEST = 2**63 - 1
MOST = 2**62  # the largest number of anything

Number = Annotated[int, Field(ge=0, le=MOST)]


class Asked(BaseModel):
    """Something that is sent: unknown fields are refused, and values that no catalog can keep."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def can_be_kept(cls, value: Any) -> Any:
        """Refuse texts that are none, numbers that are none or too large, and values nested too deeply."""
        _check(value, _DEEPEST)
        return value


def _check(value: Any, depth: int) -> None:
    if isinstance(value, str) and ("\0" in value or (not value.isprintable() and _is_torn(value))):
        raise ValueError("found a text with a NUL or half a character; expected text")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"found {value}; expected a finite number")
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise ValueError("found a number of more than 63 bits; expected a smaller one")
    if isinstance(value, list | dict):
        if not depth:
            raise ValueError(f"found a value nested more than {_DEEPEST} times; expected a flatter one")
        for one in [*value, *value.values()] if isinstance(value, dict) else value:
            _check(one, depth - 1)


def _is_torn(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)


# ---- errors
class Problem(BaseModel):
    """What went wrong: `code` for programs, `message` and `hint` for people."""

    model_config = ConfigDict(extra="allow")
    code: str
    message: str
    hint: str = ""


class ErrorAnswer(BaseModel):
    """The one shape of every error."""

    error: Problem
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "error": {
                        "code": "state",
                        "message": "gam/survey/balaton grid: found done; expected failed",
                        "hint": "look at the item again",
                        "states": {"grid": "done"},
                    }
                }
            ]
        }
    )


class Page(BaseModel, Generic[T]):
    """One page of a list; `next` is the `after` of the next one, null on the last."""

    items: list[T]
    next: int | None = None


# ---- items
class Span(BaseModel):
    """A time span."""

    begin: str
    end: str


class Footprint(BaseModel):
    """A place: degrees."""

    west: float
    south: float
    east: float
    north: float


class ItemShape(BaseModel):
    """What moves through a pipeline as one."""

    id: int
    name: str
    pipeline: str
    kind: str
    key: str
    attributes: dict[str, Any] = {}
    span: Span | None = None
    footprint: Footprint | None = None
    registered: str | None = None
    states: dict[str, str] = Field(default={}, description="the state of each stage")


class StageShape(BaseModel):
    """One stage of an item, as it stands."""

    work: int
    stage: str
    state: str
    priority: int = 0
    note: str = ""
    progress: float | None = None
    due: str | None = None
    began: str | None = None
    owner: str = ""
    attempts: int = 0
    deaths: int = 0
    revision: int = 0
    run: str = Field(default="", description="the run that goes on, or the last attempt")
    seconds: float | None = Field(default=None, description="what the last finished run took")


class MeasureShape(BaseModel):
    """A measured value."""

    name: str
    value: Any = None
    unit: str = ""


class StepShape(BaseModel):
    """One step of a chain."""

    name: str
    seconds: float
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    checks: dict[str, str | None] = {}


class RunShape(BaseModel):
    """One attempt of one stage for one item."""

    name: str
    work: int
    token: int
    item: int
    stage: str
    outcome: str = Field(description="how it ended; `running` while it goes on")
    began: str | None = None
    seconds: float | None = None
    key: str | None = None
    measures: list[MeasureShape] = []
    caveats: list[str] = []
    steps: list[StepShape] = []
    reasons: list[str] = []
    error: str = ""
    worker: str = ""
    manual: bool = False
    progress: float | None = None
    note: str = ""


class RunDetails(RunShape):
    """A run with what it read, what made its key, and the software it had loaded."""

    inputs: list[dict[str, Any]] = []
    components: dict[str, Any] = {}
    software: dict[str, str] = {}
    products: list[int] = []


class ProductShape(BaseModel):
    """An immutable file or tree."""

    id: int
    item: int
    stage: str
    output: str
    part: str
    type: str
    root: str
    path: str
    size: int
    sha256: str
    tree: bool
    state: str
    run: str = ""
    manual: bool = False
    created: str | None = None


class RuleShape(BaseModel):
    """One rule judged."""

    rule: str
    measure: str
    value: Any = None
    op: str
    limit: Any = None
    result: str
    unit: str = ""
    action: str = ""


class VerdictShape(BaseModel):
    """The outcome of a stage's rules."""

    stage: str
    result: str
    time: str | None = None
    run: str = ""
    rules: list[RuleShape] = []


class FlagShape(BaseModel):
    """A quality mark."""

    id: int
    part: dict[str, Any] = {}
    value: str
    comment: str = ""
    author: str = ""
    time: str | None = None


class MilestoneShape(BaseModel):
    """A state that an item reached, for ever."""

    name: str
    time: str | None


class PublicationShape(BaseModel):
    """One row of the publication journal."""

    id: int
    item: int
    work: int
    archive: str
    target: str
    state: str
    sha256: str
    mode: str = ""
    folder: bool = False
    error: str = ""
    updated: str | None = None
    supersedes: int = 0


class OrderShape(BaseModel):
    """An order to people: a gate that they decide, or work that they do."""

    id: int
    name: str
    kind: Literal["gate", "handoff"]
    item: int
    item_name: str = ""
    stage: str
    title: str
    state: str
    who: str = ""
    why: str = ""
    due: str | None = None
    opened: str | None = None
    changed: str | None = None
    token: int = 0


class DeliveryShape(BaseModel):
    """One delivery to an order."""

    id: int
    state: str
    who: str
    time: str | None = None
    reasons: list[str] = []
    manifest: dict[str, Any] = {}


class OrderDetails(OrderShape):
    """An order with what was asked, where its drop box is, and what was delivered."""

    body: dict[str, Any] = {}
    box: str = ""
    inputs: list[str] = []
    deliveries: list[DeliveryShape] = []


class ItemDetails(ItemShape):
    """An item with everything that the catalog knows of it."""

    route: list[StageShape] = []
    milestones: list[MilestoneShape] = []
    members: list[ItemShape] = []
    runs: list[RunShape] = []
    products: list[ProductShape] = []
    verdicts: list[VerdictShape] = []
    flags: list[FlagShape] = []
    orders: list[OrderShape] = []
    publications: list[PublicationShape] = []
    is_followed: bool = Field(default=False, description="whether the asker is told what happens to it")


class Reason(BaseModel):
    """One reason why a stage is as it is."""

    model_config = ConfigDict(extra="allow")


class ExplanationShape(BaseModel):
    """Why a stage is as it is, and what to do about it."""

    model_config = ConfigDict(extra="allow")
    item: str
    stage: str
    state: str


class CountShape(BaseModel):
    """How much work is in a state."""

    pipeline: str
    kind: str
    stage: str
    state: str
    count: int


class ItemCount(BaseModel):
    """How many items a filter finds, counted up to `most`."""

    count: int
    is_more: bool = False


class Submission(Asked):
    """One item that is submitted."""

    key: str = Field(default="", max_length=1000)
    attributes: dict[str, Any] = {}
    time: str | float | list[str | float] | None = None
    footprint: list[float] | None = Field(default=None, description="west, south, east, north in degrees")


class Submissions(Asked):
    """Items of a kind that has a source of kind `submit`."""

    kind: str = Field(examples=["gam/survey"], description="pipeline/kind")
    items: list[Submission] = Field(min_length=1, max_length=10_000)
    priority: int = Field(default=0, ge=-1000, le=1000)


class Submitted(BaseModel):
    """The items' numbers, in order; known keys give the numbers they have."""

    ids: list[int]


# ---- actions
Verb = Literal["run", "retry", "rerun", "stop", "hold", "release", "accept", "close", "prioritise"]


class Action(Asked):
    """What is to be done to an item's work."""

    action: Verb
    stage: str = Field(default="", description="one stage; all that it applies to if empty")
    why: str = Field(default="", max_length=_MOST)
    expect: str = Field(
        default="", description="the state that the stage is expected in; otherwise nothing is done"
    )
    priority: int = Field(default=0, ge=-1000, le=1000, description="of prioritise: higher runs first")


class Done(BaseModel):
    """How many stages (or items) an action touched, and the states after it."""

    touched: int
    states: dict[str, str] = {}


class Choice(Asked):
    """Which items: named by number, or all that a filter finds."""

    ids: list[Number] = Field(default=[], max_length=10_000)
    pipeline: str = ""
    kind: str = ""
    state: str = ""
    stage: str = ""
    milestone: str = ""
    text: str = ""


class BulkAction(Action):
    """The same action on many items; with `preview` nothing is done but counted."""

    choice: Choice
    preview: bool = False


class BulkDone(BaseModel):
    """What a bulk action touched (or would): items, and those that it could not be done to with the reason."""

    items: int
    touched: int
    preview: bool
    names: list[str] = Field(default=[], description="the first of the items")
    refused: dict[str, str] = {}


class Why(Asked):
    """A reason."""

    why: str = Field(default="", max_length=_MOST)


class Because(Asked):
    """A reason, which must be given."""

    why: str = Field(min_length=1, max_length=_MOST)


class NewFlag(Asked):
    """A quality mark to put on an item, or a part of it."""

    value: str = Field(min_length=1, max_length=100)
    part: dict[str, Any] = Field(default={}, examples=[{"feed": 3}])
    comment: str = Field(default="", max_length=_MOST)


class Assignment(Asked):
    """Whom an order is given to."""

    who: str = Field(min_length=1, max_length=100)
    why: str = Field(default="", max_length=_MOST)


class Examined(BaseModel):
    """What became of a delivery."""

    state: str = Field(description='"" while it is not whole yet')
    reasons: list[str] = []


# ---- others
class CalibrationShape(BaseModel):
    """A product certified for a selector and a validity interval [begin, end)."""

    number: int
    kind: str
    selector: str
    begin: str | None
    end: str | None
    quality: float
    state: str
    item: str
    root: str
    path: str
    bytes_are: str
    used_by: int = 0
    by: str = ""
    why: str = ""


class Certification(Asked):
    """A product to certify."""

    product: Number
    kind: str = Field(min_length=1, max_length=100)
    selector: str = Field(default="", max_length=200)
    begin: str
    end: str
    quality: float = 0.0
    why: str = Field(default="", max_length=_MOST)


class SourceShape(BaseModel):
    """Where items come from, and how it goes."""

    model_config = ConfigDict(extra="allow")
    pipeline: str
    name: str
    kind: str
    item: str
    is_paused: bool = False


class DefinitionShape(BaseModel):
    """The active definition of a pipeline."""

    pipeline: str
    number: int
    sha256: str
    kinds: dict[str, list[str]] = Field(description="the stages of each kind")
    sources: list[str] = []


class DefinitionDetails(DefinitionShape):
    """A definition with its values as they are in force, and those that were active before."""

    routes: dict[str, list[dict[str, Any]]] = {}
    origins: dict[str, Any] = {}
    history: list[dict[str, Any]] = []


class EventShape(BaseModel):
    """One row of the story."""

    seq: int
    time: str
    type: str
    item: int = 0
    stage: str = ""
    run: str = ""
    pipeline: str = ""
    data: dict[str, Any] = {}


class System(BaseModel):
    """The site at a glance."""

    version: str
    site: str
    schema_revision: str
    counts: list[CountShape]
    sessions: list[dict[str, Any]]
    publications: dict[str, int]
    bad_products: int
    no_room: str = ""


class Health(BaseModel):
    """Whether it lives, or is ready."""

    status: Literal["ok"]


class TicketFor(Asked):
    """The stream that a ticket is for."""

    path: str = Field(examples=["/api/v1/events"], pattern=r"^/api/v1/[\w./-]+$", max_length=300)


class Ticket(BaseModel):
    """What opens a stream within `expires_in` seconds."""

    url: str
    expires_in: int


class TokenShape(BaseModel):
    """A token of somebody."""

    id: int
    name: str
    grants: list[str]
    created: str | None = None
    expires: str | None = None
    revoked: str | None = None
    seen: str | None = None
    by: str = ""


class NewToken(Asked):
    """A token to make."""

    name: str = Field(min_length=1, max_length=100)
    grants: list[str] = Field(min_length=1, max_length=50, examples=[["operator@gam"]])
    lasts: float | None = Field(default=None, gt=0, le=1e10, description="seconds")


class MadeToken(TokenShape):
    """A token as it was made. The secret is told this once."""

    secret: str


class Me(BaseModel):
    """Who asks."""

    name: str
    how: str
    grants: list[str]
    permissions: dict[str, list[str]] = Field(description="what may be done, by pipeline")


class NoticeShape(BaseModel):
    """What somebody was told."""

    id: int
    title: str
    body: str = ""
    item: int = 0
    event: int = 0
    time: str | None = None
    read: str | None = None


class Notices(BaseModel):
    """Notices, and how many are unread."""

    items: list[NoticeShape]
    unread: int


class Seen(Asked):
    """Notices that were read; none means all."""

    ids: list[Number] = Field(default=[], max_length=10_000)


# ---- runs that come by their token
class InputShape(BaseModel):
    """One product that a run reads."""

    name: str
    product: int
    type: str
    file: str
    size: int
    sha256: str
    tree: bool


class TakenShape(BaseModel):
    """An output as it was written."""

    output: str
    size: int
    sha256: str
