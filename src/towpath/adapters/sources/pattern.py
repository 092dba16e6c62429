"""File name patterns such as ``{time:%Y-%m-%dT%H:%M:%S}_sb{subband:02d}.hdf5``: names to typed fields and back.

Promises that a pattern is checked whole when it is made, and that `format` and `parse` are inverse wherever the
pattern has no wildcards. Never looks at a disk.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from string import Formatter
from typing import Any

from towpath.base import clock

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_INTEGER = re.compile(r"(0?)(\d*)d\Z")
_FLOAT = re.compile(r"(?:\.(\d+))?([feg])\Z")
_WILDCARDS = re.compile(r"\*\*/|\*\*|\*|\?|[^*?]+")
_WILD = {"**/": "(?:[^/]+/)*", "*": "[^/]*", "?": "[^/]"}
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_DIRECTIVES = {
    "%Y": r"\d{4}",
    "%m": r"\d{2}",
    "%d": r"\d{2}",
    "%H": r"\d{2}",
    "%M": r"\d{2}",
    "%S": r"\d{2}",
    "%f": r"\d{6}",
    "%j": r"\d{3}",
    "%y": r"\d{2}",
    "%z": r"(?:Z|[+-]\d{2}:?\d{2})",
    "%%": "%",
}
_DIRECTIVE = re.compile(r"%.?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a pattern: its name and format, what it matches, and how its text is read and written."""

    name: str
    spec: str
    regex: str
    read: Callable[[str], Any]
    write: Callable[[Any], str]
    is_time: bool = False


class Pattern:
    """A compiled pattern for a path relative to a source's root, with ``/``.

    ``{name}`` is text without ``/``; ``{n:d}`` a whole number, ``{n:03d}`` one of exactly three digits; ``{x:f}``,
    ``{x:.2f}``, ``{x:e}``, ``{x:g}`` a number; ``{t:%Y%m%dT%H%M%S}`` a time, UTC unless ``%z`` says otherwise, whose
    value is ISO 8601 text. ``*`` and ``?`` match within a name, ``**/`` any folders or none. A field written twice
    must be equal both times.

    Raises
    ------
    ValueError
        If the pattern cannot be read; the message names the pattern, the field, and what may stand there.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.fields: dict[str, Field] = {}
        regex = "".join(self._compile())
        self._regex = re.compile(regex, re.DOTALL)
        literals = "".join(literal for literal, *_ in Formatter().parse(text))
        self.depth = None if "**" in literals else literals.count("/")
        self.is_wild = any(sign in literals for sign in "*?")
        self.times = tuple(field.name for field in self.fields.values() if field.is_time)

    def _compile(self) -> Iterator[str]:
        if not self.text or self.text.startswith("/") or "//" in self.text or "../" in self.text:
            raise ValueError(
                f"pattern {self.text!r} must be a path below the source's root, such as '{{name}}.fits'"
            )
        try:
            pieces = list(Formatter().parse(self.text))
        except ValueError as error:
            raise ValueError(
                f"pattern {self.text!r}: {error}; fields are written {{name}} or {{name:format}}"
            ) from None
        for literal, name, spec, conversion in pieces:
            yield self._literal(literal)
            if name is None:
                continue
            if conversion:
                raise ValueError(
                    f"pattern {self.text!r}: !{conversion} after {name!r} has no meaning in a pattern"
                )
            yield self._field(name, spec or "")

    def _literal(self, literal: str) -> str:
        parts = _WILDCARDS.findall(literal)
        if "**" in parts:
            raise ValueError(f"pattern {self.text!r}: '**' must be a whole folder, '**/'")
        return "".join(_WILD.get(part) or re.escape(part) for part in parts)

    def _field(self, name: str, spec: str) -> str:
        if not _NAME.match(name):
            raise ValueError(
                f"pattern {self.text!r}: {name!r} is not a field name; use letters, digits and _"
            )
        if name in self.fields:
            if self.fields[name].spec != spec:
                raise ValueError(f"pattern {self.text!r}: field {name!r} has two formats")
            return f"(?P={name})"
        try:
            field = self.fields[name] = _field(name, spec)
        except ValueError as error:
            raise ValueError(f"pattern {self.text!r}: field {name!r}: {error}") from None
        return f"(?P<{name}>{field.regex})"

    def parse(self, path: str) -> dict[str, Any] | None:
        """The fields of a path, or None if it does not match or holds an impossible value, such as month 13."""
        match = self._regex.fullmatch(path)
        if match is None:
            return None
        try:
            return {name: self.fields[name].read(text) for name, text in match.groupdict().items()}
        except ValueError:
            return None

    def format(self, fields: Mapping[str, Any]) -> str:
        """The path that has these fields.

        Raises
        ------
        ValueError
            If the pattern has wildcards, a field is missing, or the path would not give the same fields back.
        """
        if self.is_wild:
            raise ValueError(f"pattern {self.text!r} has wildcards: many paths match it")
        pieces = []
        for literal, name, _, _ in Formatter().parse(self.text):
            pieces.append(literal)
            if name is not None:
                if name not in fields:
                    raise ValueError(
                        f"pattern {self.text!r} needs the field {name!r}; given: {', '.join(fields)}"
                    )
                pieces.append(self.fields[name].write(fields[name]))
        path = "".join(pieces)
        back = self.parse(path)
        if back is None or any(back[name] != fields[name] for name in back):
            raise ValueError(
                f"pattern {self.text!r}: fields {dict(fields)!r} give {path!r}, which reads back as {back!r}"
            )
        return path

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"


def _field(name: str, spec: str) -> Field:
    if spec in ("", "s"):
        return Field(name, spec, "[^/]+?", str, str)
    if "%" in spec:
        return _time(name, spec)
    if match := _INTEGER.match(spec):
        return _integer(name, spec, match)
    if match := _FLOAT.match(spec):
        places = match[1]
        regex = rf"[+-]?\d+\.\d{{{int(places)}}}" if places and match[2] == "f" else _NUMBER
        return Field(name, spec, regex, float, lambda value: format(value, spec))
    raise ValueError(
        f"unknown format {spec!r}; write nothing for text, d or 03d for a whole number, f, .2f, e or g for a number, "
        "or a time such as %Y-%m-%dT%H:%M:%S"
    )


def _integer(name: str, spec: str, match: re.Match[str]) -> Field:
    if match[2] and not match[1]:
        raise ValueError(
            f"format {spec!r} would pad with blanks; write 0{spec} for exactly {match[2]} digits"
        )
    digits = int(match[2] or 0)
    regex = rf"\d{{{digits}}}" if digits else r"-?\d+"
    return Field(name, spec, regex, int, lambda value: format(value, spec))


def _time(name: str, spec: str) -> Field:
    pieces, end, seen = [], 0, set()
    for match in _DIRECTIVE.finditer(spec):
        if match[0] not in _DIRECTIVES:
            raise ValueError(f"unknown {match[0]!r} in the time {spec!r}; known are {' '.join(_DIRECTIVES)}")
        if match[0] in seen and match[0] != "%%":
            raise ValueError(f"{match[0]} stands twice in the time {spec!r}")
        seen.add(match[0])
        pieces += [re.escape(spec[end : match.start()]), _DIRECTIVES[match[0]]]
        end = match.end()
    if not seen & {"%Y", "%y"}:
        raise ValueError(f"the time {spec!r} has no year; write %Y")
    regex = "".join(pieces) + re.escape(spec[end:])
    return Field(
        name, spec, regex, lambda text: _read_time(text, spec), lambda value: _write_time(value, spec), True
    )


def _read_time(text: str, spec: str) -> str:
    when = datetime.strptime(text, spec)
    when = when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    return when.isoformat().replace("+00:00", "Z")


def _write_time(value: Any, spec: str) -> str:
    when = datetime.fromisoformat(value) if isinstance(value, str) else clock.moment(clock.seconds(value))
    return when.astimezone(UTC).strftime(spec.replace("%Y", f"{when.astimezone(UTC).year:04d}"))
