"""What a pipeline file says of gates and hand-offs, and the manifest that closes a delivery.

Promises that what is asked of people is stated whole when an order is opened. Never touches a disk.
"""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from towpath.base.errors import DefinitionError

GATE, HANDOFF = "gate", "handoff"
MANIFEST, ORDER = "MANIFEST.json", "ORDER.json"  # in a drop box: what closes a delivery, and what was asked
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_DAY = 86400.0


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GateSettings(_Settings):
    """The parameters of a stage of kind `gate`.

    `title` and `instructions` are shown to whoever decides ({pipeline}, {kind}, {item.key} and {item.ATTRIBUTE} stand in
    them). `people` are those who may decide (names with * and ?; empty: everybody). After `timeout` seconds (0: never)
    follows `on_timeout`: ``remind``, ``approve`` or ``reject``. `opens` is the milestone of opening; `notify` names
    destinations of the outbox that are told (None: all).
    """

    title: str = "{kind} {item.key}: go on?"
    instructions: str = ""
    people: tuple[str, ...] = ()
    timeout: float = 0.0
    on_timeout: Literal["remind", "approve", "reject"] = "remind"
    opens: str = ""
    notify: tuple[str, ...] | None = None


class Expected(_Settings):
    """One thing that people are to deliver: a product of `type`, the one file whose name fits `file`."""

    type: str
    file: str = Field(pattern=r"^[^/]+$")
    least: int = Field(default=1, ge=0)
    optional: bool = False


class Given(_Settings):
    """One thing that people are given: products of `type`, one, or with ``form = "many"`` all of them."""

    type: str
    form: Literal["one", "many"] = "one"
    optional: bool = False


class HandoffSettings(_Settings):
    """The parameters of a stage of kind `handoff`.

    Whoever takes an order (one of `people`) delivers within `lease` seconds, and is reminded `remind` seconds before that.
    The drop box is a folder of the root `inbox`. `check` is a function (``"module:function"``) that is given the delivered
    files by output and the order, and returns what is wrong with them.
    """

    title: str = "{kind} {item.key}"
    instructions: str = ""
    people: tuple[str, ...] = ()
    lease: float = 14 * _DAY
    remind: float = 2 * _DAY
    inbox: str = "inbox"
    check: str = ""
    opens: str = ""
    notify: tuple[str, ...] | None = None
    gives: Mapping[str, Given] = Field(default={}, alias="consumes")
    asks: Mapping[str, Expected] = Field(default={}, alias="produces")


def may(people: tuple[str, ...] | list[str], who: str) -> bool:
    """Whether somebody is one of these people."""
    return not people or any(fnmatchcase(who, one) for one in people)


def settings(kind: str, params: Mapping[str, Any]) -> GateSettings | HandoffSettings:
    """The validated parameters of a stage of kind `gate` or `handoff`.

    Raises
    ------
    DefinitionError
        If they are not valid; each problem names its field.
    """
    try:
        return (GateSettings if kind == GATE else HandoffSettings).model_validate(dict(params))
    except ValueError as error:
        raise DefinitionError(f"{kind}: {error}") from error


class DeliveredFile(_Settings):
    """A file of a delivery, its path relative to the drop box."""

    path: str
    bytes: int = Field(ge=0)
    sha256: str

    @field_validator("path")
    @classmethod
    def _is_inside(cls, value: str) -> str:
        parts = PurePosixPath(value).parts
        if not value or value.startswith("/") or ".." in parts or "\0" in value or "\\" in value:
            raise ValueError(f"{value!r} is no path inside of the delivery")
        return value

    @field_validator("sha256")
    @classmethod
    def _is_digest(cls, value: str) -> str:
        if not _SHA256.match(value):
            raise ValueError("64 hexadecimal digits in lower case")
        return value


class DeliveryManifest(BaseModel):
    """The file MANIFEST.json of a delivery: which order it answers and what it holds. Written last, by one rename.

    `token` is that of the order when it was claimed. What else is said (operator, software, parameters) is kept with the
    products' history.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    order: int
    token: int
    files: tuple[DeliveredFile, ...]
    operator: str = ""
    comment: str = ""
    software: Mapping[str, Any] = {}
    parameters: Mapping[str, Any] = {}

    @field_validator("files")
    @classmethod
    def _once(cls, value: tuple[DeliveredFile, ...]) -> tuple[DeliveredFile, ...]:
        names = [one.path for one in value]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"files named twice: {', '.join(twice)}")
        return value
