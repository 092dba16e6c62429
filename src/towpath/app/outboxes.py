"""The tables of the site file about messages: where they go (`[outbox.NAME]`), and who is told of what (`[notify.NAME]`).

Promises that a password leaves this machine only enciphered, and that a rule tells somebody of something.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from towpath.app.problems import Problem
from towpath.contracts.judging import Model
from towpath.contracts.notify import BADGE, SUBSCRIBERS, On, Rule
from towpath.contracts.pipeline import Duration

_PERSON = re.compile(r"badge:(role:)?[^\s:]+\Z")
_NO_ADDRESS = re.compile(r"[\s<>,;]|^@|@$")


def _one_reference(value: SecretStr | dict[str, str]) -> SecretStr | dict[str, str]:
    if isinstance(value, dict) and (len(value) != 1 or not all(value.values())):
        raise ValueError(
            'a text, {env = "VARIABLE"}, {file = "PATH"}, or {NAME = "..."} of a reader in [secrets.NAME]'
        )
    return value


# A secret, or where it is: {env = "VARIABLE"}, {file = "PATH"}, or the name of a reader with what it is called there.
SecretText = Annotated[SecretStr | dict[str, str], AfterValidator(_one_reference)]


T = TypeVar("T")


def _some(value: tuple[T, ...]) -> tuple[T, ...]:
    if not value:
        raise ValueError("a list that is not empty")
    return value


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class WebhookOutbox(Model):
    """A receiver of JSON by HTTP POST, signed with `secret`."""

    kind: Literal["webhook"]
    url: str = ""
    secret: SecretText = SecretStr("")
    timeout: Duration = 10.0

    @field_validator("url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if value and urlsplit(value).scheme not in ("http", "https"):
            raise ValueError("a URL that begins with http:// or https://")
        return value


class FolderOutbox(Model):
    """A folder that gets a file of JSON for each message."""

    kind: Literal["folder"]
    path: str = ""


def _address(value: str) -> str:
    if "@" not in value or _NO_ADDRESS.search(value):
        raise ValueError("a mail address, such as ann@example.org, without a name")
    return value


Address = Annotated[str, AfterValidator(_address)]


class MailOutbox(Model):
    """Mail to addresses by an SMTP server.

    `port` 0 is that of `tls`: 587 for ``starttls``, 465 for ``implicit``, 25 for ``none``. `ca` is a file of certificates to
    trust instead of the system's.
    """

    kind: Literal["mail"]
    host: str
    sender: Address = Field(alias="from")
    to: Annotated[tuple[Address, ...], AfterValidator(_some)]
    port: int = Field(default=0, ge=0, le=65535)
    user: str = ""
    password: SecretText = SecretStr("")
    tls: Literal["none", "starttls", "implicit"] = "starttls"
    ca: str = ""
    timeout: Duration = 30.0

    @model_validator(mode="after")
    def _is_enciphered(self) -> Self:
        if self.user and self.tls == "none" and not is_loopback(self.host):
            raise ValueError(
                'tls = "starttls" or "implicit": a password is not sent to another machine in the open'
            )
        return self


Outbox = Annotated[WebhookOutbox | FolderOutbox | MailOutbox, Field(discriminator="kind")]


class NotifyFilter(Model):
    """What a rule is about; what is left out is any. `item` is a pattern with * and ? for the key or the whole name."""

    pipeline: str = ""
    kind: str = ""
    stage: str = ""
    item: str = ""


class NotifyTable(Model):
    """A rule: when something of `on` happens to what `filter` lets pass, `to` are told."""

    on: Annotated[tuple[On, ...], AfterValidator(_some)]
    to: Annotated[tuple[str, ...], AfterValidator(_some)]
    filter: NotifyFilter = NotifyFilter()

    @model_validator(mode="after")
    def _is_bounded(self) -> Self:
        if "done" in self.on and not self.filter.stage:
            raise ValueError(
                'filter = { stage = "..." } with "done": which stage is it about? ("finished" is the whole item)'
            )
        return self


def problems(rules: Mapping[str, NotifyTable], destinations: Mapping[str, Any]) -> Iterator[Problem]:
    """What rules name that is not there."""
    for name, rule in rules.items():
        for number, to in enumerate(rule.to):
            if to == SUBSCRIBERS or to in destinations or _PERSON.match(to):
                continue
            known = ", ".join([*destinations, f"{BADGE}PERSON", f"{BADGE}role:ROLE", SUBSCRIBERS])
            yield Problem(("notify", name, "to", number), repr(to), f"one of {known}")


def rule(name: str, table: NotifyTable) -> Rule:
    """The rule that a table describes."""
    about = table.filter
    return Rule(name, frozenset(table.on), table.to, about.pipeline, about.kind, about.stage, about.item)
