"""Loads pipeline files: read, merged with the site's overrides, validated whole, resolved; and read again when changed.

Promises that a definition is whole or not there at all: a bad or half-written file keeps the old one, and the error
names file, place, what was found and what was expected. Never runs or writes anything.
"""

import copy
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from towpath.app import plugins, tables
from towpath.app.problems import Problem, refusal, validate
from towpath.app.resolve import resolve
from towpath.app.tables import Key, Origin, Table
from towpath.base import hashing
from towpath.base.errors import DefinitionError
from towpath.contracts.definition import Definition
from towpath.contracts.pipeline import BUILTIN, PipelineFile
from towpath.contracts.plugin import Plugin

_SECRET = re.compile(
    r"(?:\A|[_-])(?:secret|password|passwd|passphrase|token|credentials?|(?:api|access|private|secret)_?key)\Z",
    re.IGNORECASE,
)
_URL_PASSWORD = re.compile(r"://[^/@\s:{}]*:[^/@\s{}]+@")
_NO_SECRET = (
    "it in no pipeline file: in the site file as in [outbox.NAME], by {env = ...}, {file = ...} or {vault = ...}, or in "
    "the environment of what uses it"
)
_SUM = re.compile(r"\s*([0-9a-fA-F]{64})\b")


@dataclass(frozen=True, slots=True)
class Request:
    """What to load: a pipeline file, what goes with it, and how it is known to be whole.

    Parameters
    ----------
    file
        The pipeline file, ``.toml``, ``.yaml`` or ``.yml``.
    plugin
        What the pipeline brings.
    label
        What messages call the file; its path by default.
    overrides
        Tables of the same shape, laid on the file.
    name
        The name that the file must give the pipeline; any if empty.
    end
        Text that the file's last line must be.
    checksum
        Whether a file ``<file>.sha256`` beside it must hold its sha256.
    """

    file: Path
    plugin: Plugin
    label: str = ""
    overrides: Table = field(default_factory=lambda: Table({}))
    name: str = ""
    end: str = ""
    checksum: bool = False


@dataclass(frozen=True, slots=True)
class Loaded:
    """A definition, and the origin of every value in its content by dotted name."""

    definition: Definition
    origins: Mapping[str, Origin]


def load(request: Request, find: Callable[[str], Plugin] = plugins.load) -> Loaded:
    """Load a pipeline file.

    Parameters
    ----------
    request
        What to load.
    find
        Gives the plug-in of another pipeline, for ``uses = "other.Stage"``.

    Raises
    ------
    DefinitionError
        If it is not whole or wrong in any way; all problems are told at once.
    """
    label = request.label or str(request.file)
    try:
        return _load(request, label, find)
    except DefinitionError as error:
        error.file = label
        raise


def _load(request: Request, label: str, find: Callable[[str], Plugin]) -> Loaded:
    data = tables.read_bytes(request.file, label)
    if request.checksum:
        _check_sum(request.file, data, label)
    table, moved = _normal(tables.parse(data, request.file.suffix, label))
    overrides, moved_too = _normal(request.overrides)
    _check_end(data, request.end, table, label)
    _refuse_secrets(table, moved)
    _refuse_secrets(overrides, moved_too)
    table = _with_kinds(tables.merge(table, overrides))
    file, problems = validate(PipelineFile, json.dumps(table.content))
    definition = None
    if file is not None:
        if request.name and file.pipeline.name != request.name:
            expected = f"{request.name!r}, as the site file calls it"
            problems = [Problem(("pipeline", "name"), repr(file.pipeline.name), expected)]
        else:
            definition, problems = resolve(file, table.content, request.plugin, find)
    if definition is None:
        raise refusal(problems, table, {*moved, *moved_too})
    return Loaded(definition, origins(table))


def origins(table: Table) -> dict[str, Origin]:
    """The origin of each value of a table by dotted name."""
    unknown = Origin("default")
    return {tables.dotted(key): table.origin(key) or unknown for key, _ in tables.leaves(table.content)}


# ---- one shape


def _normal(table: Table) -> tuple[Table, set[Key]]:
    """The table with ``[items.K.qualify]`` as ``[items.K.stages.qualify]``, and what was moved so."""
    moved: set[Key] = set()
    content = dict(table.content)
    items = content.get("items")
    if not isinstance(items, dict):
        return table, moved
    content["items"] = {kind: _normal_item(kind, item, table, moved) for kind, item in items.items()}
    return Table(content, {_moved(key, moved): origin for key, origin in table.origins.items()}), moved


def _moved(key: Key, moved: Collection[Key]) -> Key:
    longer = (*key[:2], "stages", *key[2:])
    return longer if longer[:4] in moved else key


def _normal_item(kind: str, item: Any, table: Table, moved: set[Key]) -> Any:
    if not isinstance(item, dict):
        return item
    short = {name: value for name, value in item.items() if name in BUILTIN}
    stages = item.get("stages", {})
    if not isinstance(stages, dict):
        return item
    for name in short:
        if name in stages:
            key = ("items", kind, name)
            expected = f"either this or items.{kind}.stages.{name}"
            raise refusal([Problem(key, "the stage a second time", expected)], table)
        moved.add(("items", kind, "stages", name))
    rest = {name: value for name, value in item.items() if name not in short}
    return {**rest, "stages": {**stages, **short}} if short else rest


def _with_kinds(table: Table) -> Table:
    """The table in which a stage that bears the name of a built-in kind, and says nothing else, is of that kind."""
    content = copy.deepcopy(table.content)
    items = content.get("items")
    for item in items.values() if isinstance(items, dict) else ():
        stages = item.get("stages") if isinstance(item, dict) else None
        for name, stage in stages.items() if isinstance(stages, dict) else ():
            if isinstance(stage, dict) and name in BUILTIN and not {"kind", "uses"} & set(stage):
                stage["kind"] = name
    return Table(content, table.origins)


# ---- nothing secret


def _refuse_secrets(table: Table, moved: Collection[Key]) -> None:
    """Refuse what looks like a secret: a pipeline file is kept in the catalog, shown to all, and published with products."""
    problems = [Problem(key, found, _NO_SECRET) for key, found in _secrets(table.content, ())]
    if problems:
        raise refusal(problems, table, moved)


def _secrets(content: Any, key: Key) -> Iterator[tuple[Key, str]]:
    """Texts that are secret by their name or as the password in a URL: where, and what was found."""
    if isinstance(content, Mapping):
        for name, value in content.items():
            yield from _secrets(value, (*key, str(name)))
    elif isinstance(content, list):
        for number, value in enumerate(content):
            yield from _secrets(value, (*key, number))
    elif isinstance(content, str) and content:
        name = next((str(part) for part in reversed(key) if isinstance(part, str)), "")
        if _SECRET.search(name):
            yield key, "what looks like a secret"
        elif _URL_PASSWORD.search(content):
            yield key, "a URL with a password"


# ---- whole or not at all


def _check_sum(file: Path, data: bytes, label: str) -> None:
    beside = file.with_name(f"{file.name}.sha256")
    try:
        match = _SUM.match(beside.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        match = None
    if match is None:
        raise DefinitionError(f"found no checksum in {beside.name}; expected the file's sha256", label)
    found = hashing.bytes_sha256(data).hex()
    if found != match[1].lower():
        raise DefinitionError(f"found sha256 {found}; expected {match[1].lower()}, from {beside.name}", label)


def _check_end(data: bytes, end: str, table: Table, label: str) -> None:
    """Refuse a file that does not end as it (or the site) says it does.

    What a file says of itself counts only if it says so first: else a part of it could pass for the whole.
    """
    pipeline = table.content.get("pipeline")
    own = pipeline.get("end", "") if isinstance(pipeline, dict) else ""
    if own and next(iter(table.content)) != "pipeline":
        raise refusal(
            [Problem(("pipeline", "end"), "other tables before it", "the table pipeline first")], table
        )
    lines = data.decode("utf-8-sig").strip().splitlines()
    for wanted in filter(None, (end, own if isinstance(own, str) else "")):
        if not lines or lines[-1].strip() != wanted:
            found = f"the last line {lines[-1].strip()!r}" if lines else "an empty file"
            raise DefinitionError(f"found {found}; expected {wanted!r}: is it still being written?", label)


# ---- hot reload


@dataclass(frozen=True, slots=True)
class Reload:
    """What one look at a changed file gave: a new definition, or the error that keeps the old one."""

    loaded: Loaded | None = None
    error: DefinitionError | None = None


class Watcher:
    """Reads a pipeline file again when it has changed.

    `current` is the definition in force: swapped in one reference, kept when the file is bad.

    Parameters
    ----------
    request
        What to load.
    first
        What was loaded at the start, if anything; else it is loaded now.
    """

    def __init__(
        self, request: Request, first: Loaded | None = None, find: Callable[[str], Plugin] = plugins.load
    ) -> None:
        self.request, self._find = request, find
        # What was loaded elsewhere may be older than the file: then the first look reads it again.
        self._seen = self._state() if first is None else None
        self.current = first or load(request, find)

    def reload(self, *, force: bool = False) -> Reload | None:
        """Look once: None if nothing changed or what changed means the same; the caller records the event."""
        state = self._state()
        if state == self._seen and not force:
            return None
        self._seen = state
        try:
            loaded = load(self.request, self._find)
        except DefinitionError as error:
            return Reload(error=error)
        is_same = loaded.definition.digest == self.current.definition.digest
        self.current = loaded
        return None if is_same else Reload(loaded)

    def _state(self) -> tuple[tuple[int, ...], ...]:
        """What tells that the file or its checksum was written: taken before reading, so no change is missed."""
        return tuple(_stat(path) for path in (self.request.file, Path(f"{self.request.file}.sha256")))


def _stat(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
