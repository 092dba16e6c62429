"""Templates such as ``"{time:%Y%m%d}-{target}"``: how keys, parts and places are named from facts.

Promises that a template reads only the facts it is given, by dotted name, and that what is missing is named.
Never calls a method or reads an attribute of a value.
"""

from collections.abc import Mapping, Sequence
from string import Formatter
from typing import Any

from towpath.base import clock


class _Facts(Formatter):
    """Fills ``{a.b}`` from nested mappings; a format with ``%`` writes a time, given as ISO 8601 text or seconds."""

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, str]:
        return lookup(kwargs, field_name), field_name

    def format_field(self, value: Any, format_spec: str) -> str:
        if "%" in format_spec and isinstance(value, str | int | float):
            return clock.moment(clock.seconds(value)).strftime(format_spec)
        return format(value, format_spec)


_FACTS = _Facts()


def names(template: str) -> tuple[str, ...]:
    """The dotted names that a template reads, in order, each once.

    Raises
    ------
    ValueError
        If the braces do not match, or a field has no name.
    """
    found = [name for _, name, _, _ in _FACTS.parse(template) if name is not None]
    if "" in found:
        raise ValueError(f"template {template!r} has a field without a name; write {{name}}")
    return tuple(dict.fromkeys(found))


def render(template: str, facts: Mapping[str, Any]) -> str:
    """The template with its fields filled from `facts`.

    Raises
    ------
    ValueError
        If a fact is missing or cannot be written in the format asked for; the message names it.
    """
    try:
        return _FACTS.vformat(template, (), facts)
    except LookupError as error:
        known = ", ".join(sorted(facts)) or "none"
        raise ValueError(
            f"template {template!r} asks for {error.args[0]!r}; the facts are: {known}"
        ) from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"template {template!r} cannot be filled: {error}") from None


def lookup(facts: Mapping[str, Any], name: str) -> Any:
    """The fact of a dotted name; a name that itself holds dots is found first.

    Raises
    ------
    LookupError
        If there is none; its argument is the name.
    """
    if name in facts:
        return facts[name]
    value: Any = facts
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise LookupError(name)
        value = value[part]
    return value
