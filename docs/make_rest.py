"""Writes the reference of the REST interface from its OpenAPI document: `python docs/make_rest.py > docs/reference/rest.md`.

Promises that the page says what the server says of itself; a test compares them.
"""

import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fastapi.routing import APIRoute

from towpath import Site
from towpath.api.app import PREFIX, ROUTES, make_app

_HEAD = f"""\
# The REST interface

Everything that Towpath knows and does, for programs. `towpath serve` answers below `{PREFIX}`; the same as an OpenAPI 3.1
document is at `{PREFIX}/openapi.json`. How to run it, and how to get a token, is in
[Run the server](../howto/run-the-server.md).

**Who asks.** Send `Authorization: Bearer TOKEN`. What somebody may not view looks as if it were not there (404). Beside each
route stands the permission that it needs at least; [the roles](../explanation/faces.md#who-may-do-what) have them.

**Errors** have one form: `{{"error": {{"code": ..., "message": ..., "hint": ...}}}}`. `code` is for programs. 409 comes with the
states that were found, 422 with `where` each wrong value stands.

**Lists** come in pages: `next` is the `after` of the next page, and null on the last.

**Once.** A change that carries an `Idempotency-Key` is done once, however often it is sent under this key within a day; a
repeat gets the answer of the first. Actions check the state that they act on: `expect` names it, or `If-Match` sends the
`ETag` of the item as it was read.

**Times** are ISO 8601 in UTC, hashes hexadecimal, sizes bytes.

**Live.** `{PREFIX}/events` with `Accept: text/event-stream` goes on as things happen. Each event has its number as `id`: a
client that comes again with `Last-Event-ID` gets all that it missed, once. `event: resync` says that too much was missed:
look at everything anew. A run's log is followed the same way. Browsers, whose `EventSource` sends no header, ask for a
[ticket](#post-apiv1tickets) first.
"""
_METHODS = ("get", "post", "put", "patch", "delete")


def document() -> dict[str, Any]:
    """The OpenAPI document of a site without pipelines, which bring none of their own routes then."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "towpath.toml").write_text("[site]\n", encoding="utf-8")
        with Site.open(folder, environ={}) as site:
            told: dict[str, Any] = make_app(site).openapi()
    for router in ROUTES:
        for route in router.routes:
            if isinstance(route, APIRoute) and f"{PREFIX}{route.path}" in told["paths"]:
                needed = [getattr(one.dependency, "permission", None) for one in route.dependencies]
                for method in route.methods or ():
                    permissions = [one.value for one in needed if one]
                    told["paths"][f"{PREFIX}{route.path}"][method.lower()]["x-permission"] = "".join(
                        permissions
                    )
    return told


def reference(told: Mapping[str, Any]) -> str:
    """The whole page, of an OpenAPI document."""
    parts = [_HEAD]
    for tag, routes in _by_tag(told).items():
        parts.append(f"## Routes: {tag}\n")
        for path, method, route in routes:
            parts += _route(path, method, route)
    parts.append("## Shapes\n")
    for name, shape in sorted(told["components"]["schemas"].items()):
        parts += _shape(name, shape)
    return "\n".join(parts)


def _by_tag(told: Mapping[str, Any]) -> dict[str, list[tuple[str, str, Mapping[str, Any]]]]:
    found: dict[str, list[tuple[str, str, Mapping[str, Any]]]] = {}
    for path, routes in told["paths"].items():
        for method in _METHODS:
            if method in routes:
                tag = str(routes[method]["tags"][0])
                found.setdefault(tag, []).append((path, method, routes[method]))
    return found


def _route(path: str, method: str, route: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {method.upper()} {path}\n"
    yield " ".join(str(route.get("description", route["summary"])).split()) + "\n"
    facts = [f"Needs `{route['x-permission']}`."] if route.get("x-permission") else []
    body = route.get("requestBody", {}).get("content", {})
    facts += [f"Takes {_type(one['schema'])} (`{media}`)." for media, one in body.items()]
    facts += [
        f"Answers {_answer(status, one)}." for status, one in route["responses"].items() if status < "300"
    ]
    yield " ".join(facts) + "\n"
    rows = [_parameter(one) for one in route.get("parameters", ())]
    if rows:
        yield "\n".join(["| | | |", "|---|---|---|", *rows, ""])


def _answer(status: str, answer: Mapping[str, Any]) -> str:
    shown = [
        _type(one["schema"]) if one.get("schema") else f"`{media}`"
        for media, one in answer.get("content", {}).items()
    ]
    return f"{status}: {' or '.join(shown) or 'nothing'}"


def _parameter(one: Mapping[str, Any]) -> str:
    needed = ", needed" if one.get("required") and one["in"] != "path" else ""
    return f"| `{one['name']}` | {one['in']}{needed}, {_type(one['schema'])} | {_text(one)} |"


def _shape(name: str, shape: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {name}\n"
    yield " ".join(str(shape.get("description", "")).split()) + "\n"
    needed = shape.get("required", ())
    rows = [
        f"| `{field}` | {_type(one)}{'' if field in needed else ', may be left out'} | {_text(one)} |"
        for field, one in shape.get("properties", {}).items()
    ]
    if rows:
        yield "\n".join(["| | | |", "|---|---|---|", *rows, ""])


def _text(one: Mapping[str, Any]) -> str:
    text = " ".join(str(one.get("description", "")).split()).replace("|", "\\|").replace("<", "&lt;")
    default = one.get("schema", one).get("default")
    if default in (None, "", False, [], {}):
        return text
    return f"{text}; `{default}` if left out" if text else f"`{default}` if left out"


def _type(schema: Mapping[str, Any]) -> str:
    """A type in words, with a link where it is a shape."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{_anchor(name)})"
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"`{one}`" if one else "nothing" for one in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        return f"a list of {_type(schema['items'])}" if schema.get("items") else "a list"
    names = {
        "string": "text",
        "integer": "integer",
        "number": "number",
        "boolean": "true or false",
        "null": "null",
    }
    return names.get(str(schema.get("type", "")), "object" if schema.get("type") == "object" else "anything")


def _anchor(heading: str) -> str:
    """The anchor that MyST gives a heading."""
    return "".join(
        one if one.isalnum() or one in "-_" else "-" if one == " " else "" for one in heading.lower()
    )


if __name__ == "__main__":
    sys.stdout.write(reference(document()))
