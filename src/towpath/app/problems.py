"""Says what is wrong with a file: place, line, what was found and what was expected, every problem at once.

Promises one form for all of them, whether pydantic or the loader found it. Never decides what is right.
"""

import difflib
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError

from towpath.app.tables import Key, Table, dotted
from towpath.base.errors import DefinitionError

M = TypeVar("M", bound=BaseModel)

_EXPECTED = {
    "string_type": "a text",
    "string_too_short": "a text that is not empty",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "frozen_set_type": "a list",
    "set_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "string_pattern_mismatch": "a name: a letter, then letters, digits, _ and -",
}
_SECRET = 'a text, or {env = "VARIABLE"} or {file = "PATH"}'
_TYPES = {
    float: "a number",
    int: "a number",
    bool: "true or false",
    str: "a text",
    tuple[float | int | bool | str, ...]: "a list",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, what was found and what was expected."""

    key: Key
    found: str
    expected: str


def refusal(
    problems: Iterable[Problem], table: Table, moved: Iterable[Key] = (), file: str = ""
) -> DefinitionError:
    """The error that tells of problems: ``file: place (line): found ...; expected ...``, each once.

    `moved` are the places whose key lost the part ``stages`` in the file.
    """
    short = set(moved)
    texts = [_text(problem, table, short, file) for problem in problems]
    return DefinitionError(list(dict.fromkeys(texts)))


def _text(problem: Problem, table: Table, short: set[Key], file: str) -> str:
    key = problem.key
    shown = key[:2] + key[3:] if key[:4] in short else key
    origin = table.origin(key)
    line = f" (line {origin.line})" if origin and origin.line else ""
    place = f"{dotted(shown)}{line}" if shown else f"the whole{line}"
    return f"{origin.where if origin else file}: {place}: found {problem.found}; expected {problem.expected}"


def describe(value: Any) -> str:
    """A value as an error shows it: texts in quotes, tables and lists by name only."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    return repr(value) if isinstance(value, str) else str(value)


def choose(name: str, known: Iterable[str]) -> str:
    """What was expected where a name must be one of those known, with a guess at what was meant."""
    names = sorted(known)
    if not names:
        return "none: there are none"
    near = difflib.get_close_matches(name, names, n=1)
    guess = f" (did you mean {near[0]!r}?)" if near else ""
    return f"{'one of ' if len(names) > 1 else ''}{', '.join(names)}{guess}"


def validate(model: type[M], text: str) -> tuple[M | None, list[Problem]]:
    """The model that JSON text describes, or everything that is wrong with it."""
    try:
        return model.model_validate_json(text), []
    except ValidationError as error:
        return None, [_problem(dict(found), model) for found in error.errors(include_url=False)]


def _problem(error: dict[str, Any], model: type[BaseModel]) -> Problem:
    kind, value = error["type"], error["input"]
    key, at = _walk(model, error["loc"])
    if kind == "extra_forbidden":
        _, owner = _walk(model, error["loc"][:-1])
        return Problem(key, "an unknown key", choose(str(key[-1]), _names(owner) if _is_model(owner) else ()))
    if kind == "missing":
        return Problem(key, "nothing", "a value")
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        tag = error["ctx"].get("tag", "")
        return Problem(
            (*key, "kind"), repr(tag) if tag else "nothing", choose(tag, set(_tagged(at)) - {"code"})
        )
    if _holds_secret(at):
        return Problem(key, "what is no text", _expected(error) if kind == "value_error" else _SECRET)
    if _is_union(at) and kind != "value_error":
        wanted = dict.fromkeys(_TYPES.get(bare(part), "a value") for part in get_args(at))
        return Problem(key, describe(value), " or ".join(wanted))
    return Problem(key, describe(value), _expected(error))


def _expected(error: dict[str, Any]) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return f"one of {context['expected']}".replace(" or ", ", ")
    if kind in ("too_short", "too_long"):
        return (
            f"at least {context['min_length']}" if kind == "too_short" else f"at most {context['max_length']}"
        )
    return _EXPECTED.get(kind) or str(error["msg"]).replace("Input should be ", "a value ", 1)


# ---- where a model says what may stand


def _walk(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[Key, Any]:
    """The place in the file that pydantic means, and what may stand there.

    Left out are the tags of tagged unions, the names of members of other unions, and what is said of keys.
    """
    key: list[int | str] = []
    at: Any = model
    for part in location:
        at = bare(at)
        if part == "[key]" or (_is_union(at) and not _tagged(at)):
            break
        if _is_union(at):
            at = _tagged(at).get(part)
            continue
        key.append(part)
        at = _inner(at, part)
    return tuple(key), bare(at)


def _names(model: type[BaseModel]) -> list[str]:
    """The names of a model's fields as files write them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _holds_secret(annotation: Any) -> bool:
    """Whether a secret may stand there, so that what does is not shown."""
    return annotation is SecretStr or (_is_union(annotation) and SecretStr in get_args(annotation))


def _tagged(union: Any) -> dict[Any, Any]:
    """The models of a tagged union by tag; empty for any other union."""
    models = [bare(member) for member in get_args(union)]
    if not all(_is_model(member) and "kind" in member.model_fields for member in models):
        return {}
    return {get_args(member.model_fields["kind"].annotation)[0] or "code": member for member in models}


def _inner(annotation: Any, part: int | str) -> Any:
    """The annotation of what stands under `part`, None if nothing may."""
    if _is_model(annotation):
        return next(
            (
                field.annotation
                for name, field in annotation.model_fields.items()
                if str(part) == (field.alias or name)
            ),
            None,
        )
    arguments = get_args(annotation)
    if get_origin(annotation) is dict:
        return arguments[1]
    if get_origin(annotation) in (tuple, list) and isinstance(part, int):
        return arguments[0]
    return None


def bare(annotation: Any) -> Any:
    """An annotation without `Annotated` and without the None of an optional value."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if _is_union(annotation):
        left = [inner for inner in get_args(annotation) if inner is not type(None)]
        return bare(left[0]) if len(left) == 1 else annotation
    return annotation


def is_text(model: type[BaseModel], key: Key) -> bool:
    """Whether the model wants a text at this place, in any table that may stand there."""
    return any(at is str or _holds_secret(at) or get_origin(at) is Literal for at in _reached(model, key))


def _reached(annotation: Any, key: Key) -> Iterator[Any]:
    """What may stand at a place, by each table of a tagged union on the way."""
    at = bare(annotation)
    if not key:
        yield at
    elif _is_union(at):
        for member in _tagged(at).values():
            yield from _reached(member, key)
    else:
        yield from _reached(_inner(at, key[0]), key[1:])
