"""The key of a run: which named components decide its result, and how two sets of components differ.

A key is sha256 over canonical JSON of the components. The fixed part (stage, version, parameters, environment) is the
same for all items of a stage and stored once; the inputs are stored per run. No path and no time enters a key.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from towpath.base.hashing import canonical


@dataclass(frozen=True, slots=True)
class Fixed:
    """The fixed components of a stage's key: their canonical JSON and its sha256 (32 bytes)."""

    json: bytes
    sha256: bytes

    @classmethod
    def of(cls, stage: str, version: str, params: Mapping[str, Any], environment: str = "") -> "Fixed":
        """The fixed part for a stage, its version, its validated parameters and an environment tag."""
        text = canonical(
            {"stage": stage, "version": version, "params": dict(params), "environment": environment}
        )
        return cls(text, hashlib.sha256(text).digest())


def key(fixed: Fixed, inputs: Iterable[tuple[str, bytes]]) -> bytes:
    """The key (32 bytes): the fixed part and the (input name, sha256) pairs, in any order."""
    total = hashlib.sha256(fixed.sha256)
    for name, sha256 in sorted(inputs):
        total.update(b"%d:%s" % (len(name), name.encode()))
        total.update(sha256)
    return total.digest()


@dataclass(frozen=True, slots=True)
class Difference:
    """One component that differs: its name, what it was and what it is (None: was not there)."""

    component: str
    was: Any
    now: Any


def differences(was: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[Difference]:
    """The components that differ, by dotted name, such as ``params.spacing`` or ``inputs.stations``."""
    found = []
    for name in sorted({*was, *now}):
        old, new = was.get(name), now.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differences(old, new, f"{prefix}{name}.")
        elif old != new:
            found.append(Difference(f"{prefix}{name}", old, new))
    return found


def sentence(found: Sequence[Difference]) -> str:
    """Differences in words: ``params.spacing: 5000 -> 2500``."""
    return "; ".join(f"{one.component}: {_short(one.was)} -> {_short(one.now)}" for one in found)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    is_hash = isinstance(value, str) and len(value) == 64
    return f"{value[:12]}…" if is_hash else text if len(text) <= 60 else f"{text[:57]}…"
