"""Arrive: from the settled files that a source offers to what is to be registered of them.

Promises that deciding touches nothing, and that a file is hashed outside of any transaction and left alone if it
changes meanwhile: the next look finds it again. Never writes to the catalog.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from towpath.base import clock, hashing
from towpath.base.errors import StorageError
from towpath.base.spacetime import Span
from towpath.base.template import names, render
from towpath.contracts.definition import SourcePlan
from towpath.contracts.source import Arrival, Intake
from towpath.contracts.storage import Storage


@dataclass(frozen=True, slots=True)
class Hashed:
    """What became of intakes: `ready` ones have their sha256; of the others `waiting` changed, `problems` tells."""

    ready: tuple[Intake, ...] = ()
    waiting: int = 0
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Rule:
    """The settings of a source that say to which item a file belongs."""

    root: str
    key: str
    part: str | None
    time: str
    duration: float
    attributes: Mapping[str, Any]
    within: float
    several: bool
    named_by: Mapping[str, Any]

    @classmethod
    def of(cls, plan: SourcePlan) -> "_Rule":
        settings = plan.settings
        return cls(
            root=str(settings["root"]),
            key=str(settings["key"]),
            part=settings.get("part"),
            time=str(settings.get("time") or "time"),
            duration=clock.duration(settings.get("duration") or 0.0),
            attributes=settings.get("attributes") or {},
            within=plan.join_within,
            several=plan.complete != 1,
            named_by=settings.get("named_by") or {},
        )


def decide(plan: SourcePlan, arrivals: Sequence[Arrival]) -> tuple[list[Intake], list[str]]:
    """For each arrival the item it belongs to, and as which part; and what cannot be decided, a text each.

    Settings read: ``key``, ``part`` (templates), ``time`` (the field that is the item's time, else ``"time"``),
    ``duration`` (of its span), ``attributes`` (constants), ``named_by`` (the fields of the file that an item is called
    after). Without ``part`` the fields that are not in the key name
    the part where an item has several files, and are attributes where it has one.
    """
    rule = _Rule.of(plan)
    intakes, problems = [], []
    for arrival in arrivals:
        try:
            intakes.append(_intake(rule, arrival))
        except (TypeError, ValueError) as error:
            problems.append(f"{rule.root}:{arrival.path}: {error}")
    return intakes, problems


def _intake(rule: _Rule, arrival: Arrival) -> Intake:
    fields = arrival.fields
    in_key = set(names(rule.key))
    of_part = (
        {n for n in fields if rule.several and n not in in_key}
        if rule.part is None
        else set(names(rule.part))
    )
    when = clock.seconds(fields[rule.time]) if rule.time in fields else None
    others = {name: fields[name] for name in sorted(in_key) if name != rule.time and name in fields}
    if rule.within and when is None:
        raise ValueError(
            f"join_within needs the field {rule.time!r}, a time; the name gives {sorted(fields)}"
        )
    given = "-".join(f"{n}{fields[n]}" for n in fields if n in of_part)
    return Intake(
        arrival=arrival,
        key=render(rule.key, fields),
        part=given if rule.part is None else render(rule.part, fields),
        attributes={
            **rule.attributes,
            **{n: v for n, v in fields.items() if n in in_key or n not in of_part},
        },
        span=Span(when, when + rule.duration) if when is not None else None,
        partition=json.dumps(others, sort_keys=True) if rule.within else "",
        when=when if rule.within else None,
        leads=bool(rule.named_by) and all(fields.get(n) == v for n, v in rule.named_by.items()),
    )


class _NotNowError(Exception):
    """A file is written to while it is read, or nothing more is to be read."""


def hash_all(
    storage: Storage,
    root: str,
    intakes: Sequence[Intake],
    progress: Callable[[int], None] | None = None,
    go_on: Callable[[], bool] = lambda: True,
) -> Hashed:
    """Read each file once for its sha256; `progress` gets the number of bytes of each chunk.

    A file that is not as it arrived, before or after it is read, waits; so do all that are not read to the end when
    `go_on` says that this is to end.
    """
    ready, problems = [], []
    for intake in intakes:
        try:
            sha256 = _hash(storage, root, intake.arrival, progress, go_on)
        except (OSError, StorageError) as error:
            problems.append(f"{root}:{intake.arrival.path}: cannot be read: {error}")
            continue
        if sha256 is not None:
            ready.append(replace(intake, sha256=sha256))
    return Hashed(tuple(ready), len(intakes) - len(ready) - len(problems), tuple(problems))


def _hash(
    storage: Storage,
    root: str,
    arrival: Arrival,
    progress: Callable[[int], None] | None,
    go_on: Callable[[], bool],
) -> bytes | None:
    expected = (arrival.size, arrival.mtime_ns)
    if not go_on() or storage.stat(root, arrival.path, False) != expected:
        return None
    told = 0

    def count(size: int) -> None:
        nonlocal told
        told += size
        if told > arrival.size or not go_on():
            raise _NotNowError  # or it might be read for ever
        if progress:
            progress(size)

    try:
        sha256 = hashing.file_sha256(storage.path(root, arrival.path), count)
    except (FileNotFoundError, _NotNowError):
        return None
    if progress and told < arrival.size:
        progress(arrival.size - told)
    return sha256 if storage.stat(root, arrival.path, False) == expected else None
