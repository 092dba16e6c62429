"""Who may do what: people, the roles granted to them, and who is asked about single items.

Promises that what is not granted is refused. Never reads a password, a token or a database.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from towpath.base.model import Item


class Role(StrEnum):
    """What somebody is on a site, or in one pipeline of it."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    SCIENTIST = "scientist"
    PUBLISHER = "publisher"
    ADMIN = "admin"


class Permission(StrEnum):
    """One kind of thing that somebody may do."""

    VIEW = "view"  # see what the catalog knows
    READ = "read"  # logs and the bytes of products
    SUBSCRIBE = "subscribe"  # be told what happens to an item
    SUBMIT = "submit"
    RUN = "run"  # run, retry, stop, hold, release, order the queue; pause and resume sources
    FLAG = "flag"
    ORDER = "order"  # take orders, give them back, deliver
    DECIDE = "decide"  # gates, what a rule held, whom an order is assigned to, deliveries that were refused
    CERTIFY = "certify"
    PUBLISH = "publish"
    CONFIGURE = "configure"  # load pipeline files anew, see settings
    MANAGE = "manage"  # tokens of people


_EVERYBODY = frozenset({Permission.VIEW, Permission.READ, Permission.SUBSCRIBE})
_WORKS = frozenset({Permission.SUBMIT, Permission.FLAG, Permission.ORDER})

POLICY: Mapping[Role, frozenset[Permission]] = {
    Role.VIEWER: _EVERYBODY,
    Role.OPERATOR: _EVERYBODY | _WORKS | {Permission.RUN},
    Role.SCIENTIST: _EVERYBODY | _WORKS | {Permission.DECIDE, Permission.CERTIFY},
    Role.PUBLISHER: _EVERYBODY | {Permission.PUBLISH},
    Role.ADMIN: frozenset(Permission),
}


@dataclass(frozen=True, slots=True)
class Grant:
    """A role on the whole site, or in one pipeline of it. As text: ``operator``, ``operator@gam``."""

    role: Role
    pipeline: str = ""

    @classmethod
    def of(cls, text: str) -> "Grant":
        """The grant of a text.

        Raises
        ------
        ValueError
            If there is no such role.
        """
        role, _, pipeline = text.partition("@")
        if role not in tuple(Role):
            raise ValueError(f"found the role {role!r}; expected one of {', '.join(Role)}")
        return cls(Role(role), pipeline)

    def __str__(self) -> str:
        return f"{self.role.value}@{self.pipeline}" if self.pipeline else self.role.value


@dataclass(frozen=True, slots=True)
class Panel:
    """What the token of an embedded panel is good for: these permissions, on one record of a pipeline."""

    pipeline: str
    record: str
    permissions: frozenset[Permission]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who asks: a name, what was granted, and the number of the token that says so (0: none was needed).

    `bearer` is a token that is not Towpath's: it is for the repository `of` alone, and never shown nor kept. Whoever has a
    `panel` may do what that says and nothing else, whatever is granted.
    """

    name: str
    grants: Sequence[Grant] = field(default_factory=tuple)
    token: int = 0
    bearer: str = field(default="", repr=False)
    of: str = ""
    panel: Panel | None = None

    def roles(self, pipeline: str = "") -> frozenset[Role]:
        """The roles in a pipeline; without one, those on the whole site."""
        return frozenset(grant.role for grant in self.grants if grant.pipeline in ("", pipeline))

    def pipelines(self) -> frozenset[str] | None:
        """The pipelines in which anything is granted; None for all."""
        if self.panel is not None:
            return frozenset({self.panel.pipeline})
        named = frozenset(grant.pipeline for grant in self.grants)
        return None if "" in named else named


class Authorizer(Protocol):
    """Decides about single items, after the roles did. Plug-ins are found by the entry points `towpath.authorizers`."""

    def allows(self, person: Person, permission: Permission, item: Item) -> bool:
        """Whether a person may do this to an item; where they may not even view it, it looks as if it were not there.

        May wait for others, and raise `Transient` where they cannot be asked now: that is no allowance.
        """


@dataclass(frozen=True, slots=True)
class Policy:
    """What roles may do: `POLICY`, changed by pipeline.

    Parameters
    ----------
    changes
        By pipeline, then permission: the roles that have it there (admins always do).
    """

    changes: Mapping[str, Mapping[Permission, frozenset[Role]]] = field(default_factory=dict)

    def allows(self, person: Person, permission: Permission, pipeline: str = "") -> bool:
        """Whether a person may do this in a pipeline; without one, on the whole site."""
        if person.panel is not None:
            return pipeline == person.panel.pipeline and permission in person.panel.permissions
        roles = person.roles(pipeline)
        changed = self.changes.get(pipeline, {}).get(permission)
        if changed is None or Role.ADMIN in roles:
            return any(permission in POLICY[role] for role in roles)
        return bool(roles & changed)

    def anywhere(self, person: Person, permission: Permission) -> bool:
        """Whether a person may do this in any pipeline."""
        named = {grant.pipeline for grant in person.grants} | {person.panel.pipeline if person.panel else ""}
        return any(self.allows(person, permission, name) for name in named | self.changes.keys())
