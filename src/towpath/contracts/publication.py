"""What a pipeline file says of a publication, and the names that products get in an archive.

Promises that a name is one relative path made of safe components, whatever an item's key holds, and that two products
of one publication never share a name. Never touches a disk.
"""

import hashlib
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from towpath.base import clock, template
from towpath.base.errors import DefinitionError
from towpath.base.ids import slug
from towpath.base.model import Item, Product

MANIFEST = "MANIFEST.json"
PROVENANCE = "provenance.json"
STAC = "item.json"
RESERVED = frozenset({MANIFEST, PROVENANCE, STAC})

_COMPRESSED = {".gz", ".xz", ".bz2", ".zst", ".lz4"}
_EXTENSION = re.compile(r"(\.[A-Za-z0-9_+-]{1,16}){0,2}\Z")
_LITERAL = re.compile(r"[A-Za-z0-9_.+=@~/-]*\Z")
_OF_PRODUCT = {"stage", "output", "part", "ext"}
_OF_ITEM = {"pipeline", "kind", "version", "key"}
_LONGEST = 200  # bytes of one component, so that a temporary or version mark still fits in 255
_NAME = "{pipeline}/{kind}/{item.key}"
_FILE = "{stage}-{output}{ext}"
_TIME = "%Y%m%dT%H%M%SZ"


class LicenceRules(BaseModel):
    """Which licence a publication carries, and whether ancestors that may not be redistributed hold it back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    waive: tuple[Literal["no", "unknown"], ...] = ()
    why: str = ""

    @model_validator(mode="after")
    def _says_why(self) -> "LicenceRules":
        if self.waive and not self.why:
            raise ValueError("a waiver needs a reason: set why")
        return self


class PublishSettings(BaseModel):
    """The parameters of a stage of kind `publish`.

    `name` is the template of the place below the archive; its last component names the products in it if it mentions
    one of stage, output, part or ext. `products` are ``stage`` or ``stage.output`` (empty: all inputs).
    `verdict` is the worst verdict that may be published; `requires` names stages that must have judged. `embargo` is an
    ISO 8601 time, ``item.<attribute>`` that holds one, or seconds after the end of the item's time (without one: its
    registration).
    Without `documents` a lone product is published by itself. `notify` names destinations (None: all).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    archive: str = "archive"
    name: str = _NAME
    products: tuple[str, ...] = ()
    mode: Literal["copy", "move"] = "copy"
    publish: Literal["auto", "manual"] = "auto"
    verdict: Literal["pass", "warn", "any"] = "warn"
    requires: tuple[str, ...] = ()
    licence: LicenceRules = Field(default_factory=LicenceRules)
    licence_required: bool = False
    embargo: float | str = 0.0
    documents: bool = True
    notify: tuple[str, ...] | None = None

    @field_validator("embargo")
    @classmethod
    def _is_time(cls, value: float | str) -> float | str:
        """A duration becomes seconds; a time or an attribute stays as it is."""
        if not isinstance(value, str) or not value or value.startswith("item."):
            return value
        try:
            return clock.duration(value)
        except ValueError:
            clock.seconds(value)
        return value

    @field_validator("name")
    @classmethod
    def _is_template(cls, value: str) -> str:
        check_template(value)
        return value

    def embargo_until(self, item: Item) -> float:
        """When the embargo on an item ends, seconds since the epoch; 0 if there is none.

        Raises
        ------
        DefinitionError
            If it names an attribute that is no time.
        """
        if isinstance(self.embargo, float):
            begins = item.span.end if item.span else item.registered
            return begins + self.embargo if self.embargo else 0.0
        if not self.embargo.startswith("item."):
            return clock.seconds(self.embargo) if self.embargo else 0.0
        value = item.attributes.get(self.embargo.removeprefix("item."), "")
        try:
            return clock.seconds(value) if value else 0.0
        except (ValueError, TypeError, AttributeError):
            raise DefinitionError(
                f"publish.embargo: {self.embargo} of {item.name} is {value!r}, not a time"
            ) from None


def settings(params: Mapping[str, Any]) -> PublishSettings:
    """The validated parameters of a `publish` stage.

    Raises
    ------
    DefinitionError
        If they are not valid; each problem names its field.
    """
    try:
        return PublishSettings.model_validate(dict(params))
    except ValueError as error:
        raise DefinitionError(f"publish: {error}") from error


# ---- templates


def check_template(pattern: str) -> None:
    """Raise `ValueError` with what is wrong with a template, if anything."""
    mentioned = []
    for literal, name, spec in _fields(pattern):
        if not _LITERAL.match(literal):
            raise ValueError(f"template {pattern!r}: {literal!r} may hold letters, digits and _.+=@~/- only")
        if name is not None:
            _check_field(pattern, name, spec)
            mentioned.append(name)
    folder, _ = split_template(pattern)
    for component in pattern.split("/"):
        if component in ("", ".", "..") or component.startswith((".", "{ext}")):
            raise ValueError(f"template {pattern!r}: a component may not be empty or begin with a dot")
    for _, name, _ in _fields(folder):
        if name in _OF_PRODUCT:
            raise ValueError(f"template {pattern!r}: {{{name}}} may stand in the last component only")
    if not any(map(_names_item, mentioned)):
        raise ValueError(
            f"template {pattern!r}: name the item, such as {{item.key}}, or all items share one place"
        )


def _check_field(pattern: str, name: str, spec: str) -> None:
    known = name in _OF_PRODUCT or name in _OF_ITEM or name.startswith("item.")
    if not known:
        fields = ", ".join(sorted(_OF_PRODUCT | _OF_ITEM))
        others = "item.key, item.time and item.<attribute>"
        raise ValueError(f"template {pattern!r}: no field {{{name}}}; fields are {fields}, {others}")
    if "/" in spec or (spec and name != "item.time"):
        raise ValueError(
            f"template {pattern!r}: only item.time takes a format, such as {{item.time:%Y-%m-%d}}, without /"
        )


def _names_item(name: str) -> bool:
    return name == "key" or name.startswith("item.")


def _fields(pattern: str) -> list[tuple[str, str | None, str]]:
    parsed = []
    for literal, name, spec, conversion in string.Formatter().parse(pattern):
        if conversion:
            raise ValueError(f"template {pattern!r}: no conversions (!{conversion})")
        parsed.append((literal, name, spec or ""))
    return parsed


def split_template(pattern: str) -> tuple[str, str]:
    """The folder's template and that of the names in it ("": the standard names)."""
    head, _, last = pattern.rpartition("/")
    return (head, last) if any(name in _OF_PRODUCT for _, name, _ in _fields(last)) else (pattern, "")


@dataclass(frozen=True, slots=True)
class Names:
    """Where a publication goes: `target` below the archive (a folder, or the lone product), and each product's name.

    `files` are the names by product id, relative to the folder; a lone product has its target's name.
    """

    target: str
    folder: bool
    files: Mapping[int, str] = field(default_factory=dict)


def names(chosen: PublishSettings, item: Item, products: Sequence[Product], version: int) -> Names:
    """The place and names of a publication of `products` of one item; `version` counts its publications from 1.

    Raises
    ------
    DefinitionError
        If the template needs what the item does not have, or gives two products one name.
    """
    folder_template, file_template = split_template(chosen.name)
    versioned = any(name == "version" for _, name, _ in _fields(chosen.name))
    mark = "" if versioned or version == 1 else f"~v{version}"
    facts = _facts(item, version)
    files = {product.id: _file_name(file_template or _FILE, item, product, facts) for product in products}
    _distinct(chosen.name, files)
    folder = _path(folder_template, facts)
    if len(products) == 1 and not chosen.documents:
        name = files[products[0].id]
        stem = name.removesuffix(_extension(item, products[0]))
        marked = f"{stem}{mark}{name[len(stem) :]}"
        return Names(f"{folder}/{marked}" if folder else marked, False, {products[0].id: marked})
    if not folder:
        raise DefinitionError(
            f"publish.name: {chosen.name!r} names no folder; several files need one of their own"
        )
    if not any(name and _names_item(name) for _, name, _ in _fields(folder_template)):
        raise DefinitionError(
            f"publish.name: the folder of {chosen.name!r} must name the item, such as {{item.key}}"
        )
    return Names(folder + mark, True, files)


def _facts(item: Item, version: int) -> dict[str, Any]:
    own = {**item.attributes, "key": item.key, **({"time": item.span.begin} if item.span else {})}
    return {
        "pipeline": item.pipeline,
        "kind": item.kind,
        "key": item.key,
        "version": str(version),
        "item": own,
    }


def _file_name(pattern: str, item: Item, product: Product, facts: Mapping[str, Any]) -> str:
    parted = any(name == "part" for _, name, _ in _fields(pattern))
    output = product.output if parted or not product.part else f"{product.output}-{product.part}"
    own = {
        "stage": product.stage or "raw",
        "output": output,
        "part": product.part,
        "ext": _extension(item, product),
    }
    return _path(pattern, {**facts, **own})


def _extension(item: Item, product: Product) -> str:
    """The ending of a product's file name, with that of its compression: ``.fits``, ``.csv.xz``."""
    name = PurePosixPath(product.path).name
    name = name.removeprefix(f"{slug(item.key)}.{product.run[1]}.") if product.run[1] else name
    suffixes = PurePosixPath(name).suffixes
    kept = suffixes[-2:] if suffixes and suffixes[-1] in _COMPRESSED else suffixes[-1:]
    return "".join(kept) if _EXTENSION.match("".join(kept)) else ""


def _distinct(pattern: str, files: Mapping[int, str]) -> None:
    seen: set[str] = set()
    for name in files.values():
        if name in RESERVED or name in seen:
            raise DefinitionError(
                f"publish.name: {pattern!r} gives two files the name {name!r}; add {{output}} or {{part}}"
            )
        seen.add(name)


def _path(pattern: str, facts: Mapping[str, Any]) -> str:
    text = "".join(
        literal + (_value(name, spec, facts) if name else "") for literal, name, spec in _fields(pattern)
    )
    return "/".join(_component(part, pattern) for part in text.split("/")) if text else ""


def _value(name: str, spec: str, facts: Mapping[str, Any]) -> str:
    """One field as part of a path: each value by itself is made safe."""
    spec = spec or (_TIME if name == "item.time" else "")
    try:
        text = template.render(f"{{{name}:{spec}}}" if spec else f"{{{name}}}", facts)
    except ValueError as error:
        raise DefinitionError(f"publish.name: {error}") from error
    return text if name == "ext" else slug(text) if text else ""


def _component(text: str, pattern: str) -> str:
    if text in ("", ".", "..") or text.startswith("."):
        raise DefinitionError(
            f"publish.name: {pattern!r} gives {text!r}, which is empty or begins with a dot"
        )
    if len(text) <= _LONGEST:
        return text
    ending = PurePosixPath(text).suffix[:17]
    return f"{text[: _LONGEST - 40]}~{hashlib.sha256(text.encode()).hexdigest()[:16]}{ending}"
