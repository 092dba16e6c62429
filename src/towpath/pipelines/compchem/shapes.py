"""What the routes of workflows take and answer, as models: they refuse what is none of them, and make the OpenAPI document."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from towpath.api import Sent

Key = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Record = Annotated[str, StringConstraints(min_length=1, max_length=128)]
_MOST = 10_000  # files that are asked about at once


# ---- taken
class Described(Sent):
    """A file as it is known before anybody looked into it; `mimetype` is what it is said to be."""

    key: Key
    mimetype: str = Field(default="", max_length=200)
    size: int = Field(default=-1, ge=-1, le=2**62, description="bytes; -1: not known")
    content: str | None = Field(default=None, max_length=200, description="what is in it, if that is known")


class Question(Sent):
    """Which workflows apply: to these files, or to those of a record, which are looked into."""

    files: list[Described] = Field(default=[], max_length=_MOST)
    record: Record | None = None


class Start(Sent):
    """What is to be started: a workflow (all that apply if there is none) on files (all of the record if there is none)."""

    name: str = Field(default="", max_length=200)
    files: list[Key | Described] = Field(default=[], max_length=_MOST)
    force: bool = Field(default=False, description="also files that are in work for the same workflow")

    def keys(self) -> list[str]:
        """The names of the files."""
        return [one if isinstance(one, str) else one.key for one in self.files]


class StartOne(Start):
    """The same, as the original has it: the workflow must be named."""

    name: str = Field(min_length=1, max_length=200)


class Nothing(Sent):
    """Nothing needs to be said."""


class Because(Sent):
    """A reason."""

    why: str = Field(default="", max_length=1000)


# ---- answered
class Available(BaseModel):
    """A workflow that applies to files, by role, and why."""

    name: str
    title: str
    files: list[str]
    roles: dict[str, str]
    why: str


class Unmatched(BaseModel):
    """A file that no workflow applies to, and why."""

    key: str
    why: str


class Offers(BaseModel):
    """Which workflows apply, and the files that none applies to."""

    workflows: list[Available]
    unmatched: list[Unmatched] = []


class FileShape(BaseModel):
    """A file of a record that is processed."""

    role: str
    key: str
    size: int
    checksum: str


class StepShape(BaseModel):
    """One step of a processing as it stands; `waits` says why it has not begun."""

    name: str
    state: str
    status: Literal["SUCCESS", "PARTIAL", "FAILURE"] | None = None
    sentence: str = ""
    run: str | None = None
    fraction: float | None = None
    note: str = ""
    began: str | None = None
    seconds: float | None = None
    attempts: int = 0
    waits: str = ""


class AttemptShape(BaseModel):
    """One run of a step that ended."""

    step: str
    run: str
    outcome: str
    began: str | None = None
    seconds: float
    reasons: list[str] = []
    caveats: list[str] = []
    error: str = ""
    log: bool = False


class ResultShape(BaseModel):
    """A file that a step made."""

    product: int
    stage: str
    output: str
    name: str
    type: str
    size: int
    url: str
    preview: str | None = None


class Processing(BaseModel):
    """A workflow on files of a record, as it stands."""

    id: str
    item: int
    record: str
    workflow: str
    title: str
    n: int
    state: Literal["waiting", "running", "held", "done", "rejected", "failed", "stopped"]
    phase: Literal["Pending", "Running", "Succeeded", "Failed", "Error", "Stopped", "Held"]
    status: Literal["SUCCESS", "PARTIAL", "FAILURE"] | None = None
    sentence: str = ""
    file: str = ""
    files: list[FileShape] = []
    by: str = ""
    why: str = ""
    started: str | None = None
    ended: str | None = None
    elapsed: float = Field(default=0.0, description="seconds")
    steps: list[StepShape] = []
    results: list[ResultShape] = []


class ProcessingDetails(Processing):
    """A processing with every attempt, newest last."""

    attempts: list[AttemptShape] = []


class RefusedStart(BaseModel):
    """A workflow that was not started, and the processing that has its file in work, if that is why."""

    name: str
    files: list[str]
    why: str
    holder: str = ""


class Begun(BaseModel):
    """What was started, what was refused, and the files that no workflow applies to."""

    workflows: list[Processing]
    refused: list[RefusedStart] = []
    unmatched: list[Unmatched] = []


class Processings(BaseModel):
    """One page of processings, newest first; `next` is the `after` of the next page, null on the last."""

    items: list[Processing]
    next: int | None = None
