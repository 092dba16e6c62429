"""Reads TOML and YAML into the same plain tables, and knows where each value came from.

Promises that YAML holds no surprises (no dates, no yes or no that are not text, no aliases, no key twice) and that
every value of merged tables keeps its origin: file and line, environment or command line. Never validates meaning.
"""

import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import yaml

from towpath.base.errors import DefinitionError

Key = tuple[str | int, ...]

_HEADER = re.compile(r"\s*\[(?P<array>\[)?(?P<key>[^\[\]]+)\]\]?\s*(?:#.*)?\Z")
_ASSIGNMENT = re.compile(r"\s*(?P<key>[^=#\[\]{}]+?)\s*=\s*(?P<value>.*)")
_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|(end of document))\)\Z")
_YAML_KINDS: dict[str, re.Pattern[str]] = {
    "bool": re.compile(r"(?:true|false)\Z"),
    "int": re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z"),
    "float": re.compile(
        r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)|\.(?:inf|nan))\Z"
    ),
    "null": re.compile(r"(?:null|~|)\Z"),
}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from: a file (with its line, 0 if unknown), an environment variable, or another place."""

    where: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.where}:{self.line}" if self.line else self.where


@dataclass(frozen=True, slots=True)
class Table:
    """A plain table (texts, numbers, true and false, lists and tables only) and the origin of what stands in it."""

    content: dict[str, Any]
    origins: Mapping[Key, Origin] = field(default_factory=dict)

    def origin(self, key: Key) -> Origin | None:
        """The origin of a value, or of the nearest table that holds it."""
        for length in range(len(key), -1, -1):
            if key[:length] in self.origins:
                return self.origins[key[:length]]
        return None

    def at(self, *key: str) -> "Table":
        """The table at a place in this one, empty if there is none."""
        content: Any = self.content
        for part in key:
            content = content.get(part, {}) if isinstance(content, dict) else {}
        origins = {
            path[len(key) :]: origin for path, origin in self.origins.items() if path[: len(key)] == key
        }
        return Table(content if isinstance(content, dict) else {}, origins)


def dotted(key: Key) -> str:
    """A place as people write it: ``items.survey.qualify.rules[0].op``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return text.removeprefix(".")


def merge(base: Table, over: Table) -> Table:
    """`base` with `over` laid on it: tables are merged, anything else is replaced. Each value keeps its origin."""
    origins = dict(base.origins)
    joined: set[Key] = {()} if base.origins else set()
    content = _merged(base.content, over.content, (), origins, joined)
    for key, _ in leaves(over.content):
        if origin := over.origin(key):
            origins[key] = origin
    return Table(
        content, origins | {key: origin for key, origin in over.origins.items() if key not in joined}
    )


def _merged(
    base: Mapping[str, Any], over: Mapping[str, Any], key: Key, origins: dict[Key, Origin], joined: set[Key]
) -> dict[str, Any]:
    result = dict(base)
    for name, value in over.items():
        old, place = result.get(name), (*key, name)
        if isinstance(old, dict) and isinstance(value, dict):
            joined.add(place)
            result[name] = _merged(old, value, place, origins, joined)
            continue
        result[name] = value
        for path in [path for path in origins if path[: len(place)] == place]:
            del origins[path]
    return result


def leaves(content: Any, key: Key = ()) -> Iterator[tuple[Key, Any]]:
    """Each value that is not a table, with its place; a list is a value."""
    if isinstance(content, Mapping) and content:
        for name, value in content.items():
            yield from leaves(value, (*key, name))
    elif key:
        yield key, content


def read(path: Path, label: str = "") -> Table:
    """The table in a TOML or YAML file, told apart by its ending. `label` is what messages call it.

    Raises
    ------
    DefinitionError
        If there is no such file, or it is not TOML or YAML.
    """
    label = label or str(path)
    return parse(read_bytes(path, label), path.suffix, label)


def read_bytes(path: Path, label: str) -> bytes:
    """The bytes of a file. Raises `DefinitionError` if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DefinitionError(
            f"found no file that can be read ({error.strerror}); expected a file", label
        ) from None


def parse(data: bytes, suffix: str, label: str) -> Table:
    """The table in the bytes of a TOML (``.toml``) or YAML (``.yaml``, ``.yml``) file."""
    if suffix not in (".toml", ".yaml", ".yml"):
        raise DefinitionError(f"found a file ending in {suffix!r}; expected .toml, .yaml or .yml", label)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DefinitionError(f"line {line}: found bytes that are not UTF-8; expected text", label) from None
    return _parse_toml(text, label) if suffix == ".toml" else _parse_yaml(text, label)


# ---- TOML


def _parse_toml(text: str, label: str) -> Table:
    try:
        content = _plain(tomllib.loads(text), (), label)
    except tomllib.TOMLDecodeError as error:
        raise _not_toml(error, text, label) from None
    origins: dict[Key, Origin] = {(): Origin(label)}
    for key, line in _toml_lines(text, content):
        for length in range(
            1, len(key) + 1
        ):  # a table that has no header of its own is where it is first named
            origins.setdefault(key[:length], Origin(label, line))
    return Table(content, origins)


def _not_toml(error: tomllib.TOMLDecodeError, text: str, label: str) -> DefinitionError:
    match = _TOML_PLACE.search(str(error))
    what = str(error)[: match.start()] if match else str(error)
    line = match[1] if match and match[1] else str(len(text.splitlines()))
    return DefinitionError(
        f"line {line}: found what is not TOML ({what[:1].lower()}{what[1:]}); expected TOML", label
    )


def _plain(value: Any, key: Key, label: str) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner, (*key, name), label) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner, (*key, number), label) for number, inner in enumerate(value)]
    if isinstance(value, datetime | date | time):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, float) and not math.isfinite(value):
        raise DefinitionError(f"{dotted(key)}: found {value}; expected a finite number", label)
    return value


def _toml_lines(text: str, content: dict[str, Any]) -> Iterator[tuple[Key, int]]:
    """Yield place and line of tables and assignments: what looks like one and has its place in the content."""
    base: Key = ()
    counts: dict[Key, int] = {}
    rows: Key | None = None
    for number, line in enumerate(text.splitlines(), 1):
        header, assignment = _HEADER.match(line), _ASSIGNMENT.match(line)
        if header and (place := _place(content, _toml_key(header["key"]), counts)) is not None:
            if header["array"]:
                counts[place] = counts.get(place, -1) + 1
                place = (*place, counts[place])
            base, rows = place, None
            yield place, number
        elif (
            assignment
            and (place := _place(content, (*base, *_toml_key(assignment["key"])), counts)) is not None
        ):
            rows = place
            counts[place] = 0 if assignment["value"].removeprefix("[").lstrip().startswith("{") else -1
            yield place, number
        elif rows is not None and line.lstrip().startswith("{"):
            counts[rows] += 1
            yield (*rows, counts[rows]), number


def _toml_key(text: str) -> tuple[str, ...]:
    try:
        value: Any = tomllib.loads(f"{text} = 0")
    except tomllib.TOMLDecodeError:
        return ("",)
    parts = []
    while isinstance(value, dict):
        name, value = next(iter(value.items()))
        parts.append(name)
    return tuple(parts)


def _place(content: Any, key: Key, counts: Mapping[Key, int]) -> Key | None:
    """Where `key` leads in the content, into the last element of each list on the way; None if nowhere."""
    found: list[str | int] = []
    for part in key:
        if isinstance(content, list) and isinstance(part, str):
            index = counts.get(tuple(found), 0)
            if not 0 <= index < len(content):
                return None
            found.append(index)
            content = content[index]
        if isinstance(content, list) and isinstance(part, int) and part < len(content):
            found.append(part)
            content = content[part]
        elif isinstance(content, dict) and part in content:
            found.append(part)
            content = content[str(part)]
        else:
            return None
    return tuple(found)


# ---- YAML


class _Composer(yaml.SafeLoader):
    """Composes nodes; only plain true, false, numbers and null are not text."""


_Composer.yaml_implicit_resolvers = {
    None: [(f"tag:yaml.org,2002:{kind}", pattern) for kind, pattern in _YAML_KINDS.items()]
}


def _parse_yaml(text: str, label: str) -> Table:
    composer = None
    try:
        composer = _Composer(text)
        node = composer.get_single_node()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise DefinitionError(
            f"line {line}: found what is not YAML ({error.problem}); expected YAML", label
        ) from None
    except yaml.YAMLError as error:
        what = str(error).splitlines()[0]
        raise DefinitionError(f"found what is not YAML ({what}); expected YAML", label) from None
    finally:
        if composer is not None:
            composer.dispose()
    reader = _YamlReader(label)
    if node is not None and not isinstance(node, yaml.MappingNode):
        raise reader.wrong(node, (), "something else", "a table (key: value) at the top")
    content = reader.value(node, ()) if node is not None else {}
    return Table(content, {**reader.origins, (): Origin(label)})


class _YamlReader:
    """Turns nodes into plain values, noting the line of each."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.origins: dict[Key, Origin] = {}
        self.seen: set[int] = set()

    def wrong(self, node: yaml.Node, key: Key, found: str, expected: str) -> DefinitionError:
        place = (
            f"{dotted(key)} (line {node.start_mark.line + 1})" if key else f"line {node.start_mark.line + 1}"
        )
        return DefinitionError(f"{place}: found {found}; expected {expected}", self.label)

    def value(self, node: yaml.Node, key: Key) -> Any:
        if id(node) in self.seen:
            raise self.wrong(node, key, "an alias of an anchor (&, *)", "the value itself")
        self.seen.add(id(node))
        self.origins.setdefault(key, Origin(self.label, node.start_mark.line + 1))
        if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self.mapping(node, key)
        if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return [self.value(inner, (*key, number)) for number, inner in enumerate(node.value)]
        return self.scalar(node, key)

    def mapping(self, node: yaml.MappingNode, key: Key) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, inner in node.value:
            if not isinstance(name, yaml.ScalarNode):
                raise self.wrong(name, key, "a key that is a list or table", "a text")
            place = (*key, name.value)
            if name.value in found:
                raise self.wrong(name, place, "the key a second time", "each key once")
            self.origins[place] = Origin(self.label, name.start_mark.line + 1)
            found[name.value] = self.value(inner, place)
        return found

    def scalar(self, node: yaml.Node, key: Key) -> Any:
        kind, text = node.tag.removeprefix("tag:yaml.org,2002:"), str(node.value)
        if kind == "str":
            return text
        if kind not in _YAML_KINDS or not _YAML_KINDS[kind].match(text):
            raise self.wrong(node, key, f"the tag {node.tag!r}", "a text, number, true, false, list or table")
        if kind == "null":
            raise self.wrong(node, key, "nothing (null)", "a value, or no such key")
        if kind == "float" and text.endswith(("inf", "nan")):
            raise self.wrong(node, key, text, "a finite number")
        if kind == "bool":
            return text == "true"
        return int(text) if kind == "int" else float(text)
