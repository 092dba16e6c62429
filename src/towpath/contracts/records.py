"""Files of records as workflows see them: which role a file may play, and what is offered for the files of a record.

Plain values; what is decided about them is in `flow.match`, what is started in `flow.start`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from towpath.contracts.definition import SourcePlan

LONGEST_KEY = 63  # characters of {record}-{workflow}-{n}: what an object of Kubernetes may be called
LONGEST_RECORD = 24
LONGEST_NUMBER = 5
HEAD = 65_536  # bytes at the beginning of a file that tell what it is
LONGER_HEAD = (
    1 << 20
)  # bytes of a text that are looked at where those tell nothing: scripts and echoes of input stand before


@dataclass(frozen=True, slots=True)
class Role:
    """Which files may play a role in a workflow (see `contracts.pipeline.RoleTable`); sizes in bytes, 0: no limit."""

    name: str
    extension: tuple[str, ...] = ()
    glob: tuple[str, ...] = ()
    content: tuple[str, ...] = ()
    media_type: tuple[str, ...] = ()
    at_least: int = 0
    at_most: int = 0
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Workflow:
    """A source of kind ``records``, for the eye: `name` is the kind of item, `per` the role that has one item each."""

    pipeline: str
    name: str
    source: str
    roles: tuple[Role, ...]
    per: str
    title: str = ""
    repository: str = "records"
    automatic: bool = True

    @classmethod
    def of(cls, plan: SourcePlan) -> Self:
        """The workflow of a source."""
        chosen: Mapping[str, Any] = plan.settings
        roles = tuple(_role(name, table) for name, table in chosen["match"].items())
        return cls(
            plan.pipeline, plan.item, plan.name, roles, str(chosen["per"]),
            chosen["title"], chosen["repository"], chosen["automatic"],
        )  # fmt: skip

    def role(self, name: str) -> Role:
        """The role of this name."""
        return next(role for role in self.roles if role.name == name)


def _role(name: str, table: Mapping[str, Any]) -> Role:
    plain: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in table.items()}
    return Role(name, **plain)


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a file: its key, size in bytes (-1: unknown), media type, and what it is.

    `content` is None where nobody has looked into it: then what it is may be anything.
    """

    key: str
    size: int = -1
    checksum: str = ""
    media_type: str = ""
    content: str | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """A workflow that applies to files, by role, and why."""

    workflow: Workflow
    files: Mapping[str, str]
    why: str


@dataclass(frozen=True, slots=True)
class Matched:
    """What is offered for some files, and by key why nothing is offered for the others."""

    offers: tuple[Offer, ...] = ()
    unmatched: Mapping[str, str] = field(default_factory=dict)
