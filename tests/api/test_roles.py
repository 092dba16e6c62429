"""Every endpoint × every kind of person: what is declared, what is answered; and what may not be seen is nowhere."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts

Server = Any

PEOPLE: dict[str, tuple[str, ...]] = {
    "nobody": (),
    "viewer": ("viewer",),
    "operator": ("operator",),
    "scientist": ("scientist",),
    "publisher": ("publisher",),
    "admin": ("admin",),
    "viewer of another pipeline": ("viewer@other",),
    "operator of this pipeline": ("operator@lab",),
}

# What each role may do, written down a second time: who changes the policy is to think twice.
MAY: dict[str, str] = {
    "viewer": "view read subscribe",
    "operator": "view read subscribe submit flag order run",
    "scientist": "view read subscribe submit flag order decide certify",
    "publisher": "view read subscribe publish",
    "admin": "view read subscribe submit run flag order decide certify publish configure manage",
}

# Where the permission is asked:
OPEN = "by nobody"
ANYWHERE = "in any pipeline"
ITEM = "of what belongs to an item of lab: who may not view it finds nothing"
PIPELINE = "of a pipeline by its name"
SITE = "on the whole site"
RUN = "of a run, by its own token"


@dataclass(frozen=True)
class Rule:
    """What a route declares, where it is asked, what doing it needs beside (`also`), and what is sent."""

    declared: str
    where: str
    body: Any = None
    also: str = ""
    form: Any = None
    query: str = ""


WHY = {"why": "a test"}
REST: dict[str, Rule] = {
    "GET /items": Rule("view", ANYWHERE),
    "POST /items": Rule("submit", PIPELINE, {"kind": "lab/sample", "items": [{"key": "new"}]}),
    "GET /items/count": Rule("view", ANYWHERE),
    "GET /items/find": Rule("view", ITEM, query="name=lab/sample/a"),
    "GET /items/{item}": Rule("view", ITEM),
    "GET /items/{item}/why": Rule("view", ITEM),
    "POST /items/{item}/actions": Rule("view", ITEM, {"action": "prioritise"}, also="run"),
    "POST /actions": Rule(
        "view", SITE, {"action": "prioritise", "choice": {"text": "no such"}, "preview": True}, also="run"
    ),
    "GET /items/{item}/flags": Rule("view", ITEM),
    "POST /items/{item}/flags": Rule("flag", ITEM, {"value": "x"}),
    "PUT /items/{item}/subscription": Rule("subscribe", ITEM),
    "DELETE /items/{item}/subscription": Rule("subscribe", ITEM),
    "POST /items/{item}/publish": Rule("publish", ITEM, WHY),
    "POST /items/{item}/publish/retry": Rule("publish", ITEM, WHY),
    "GET /runs/{run}": Rule("view", ITEM),
    "GET /runs/{run}/log": Rule("read", ITEM),
    "GET /runs/{run}/log/stream": Rule("read", ITEM),
    "GET /runs/{run}/inputs": Rule("", RUN),
    "GET /runs/{run}/inputs/{product}": Rule("", RUN),
    "PUT /runs/{run}/outputs/{output}": Rule("", RUN, query="filename=x"),
    "GET /products/{product}": Rule("view", ITEM),
    "GET /products/{product}/lineage": Rule("view", ITEM),
    "GET /products/{product}/files": Rule("view", ITEM),
    "GET /products/{product}/content": Rule("read", ITEM),
    "GET /products/{product}/preview": Rule("read", ITEM),
    "GET /calibrations": Rule("view", ANYWHERE),
    "POST /calibrations": Rule(
        "certify", ITEM, {"product": "{product}", "kind": "k", "begin": "2026-01-01", "end": "2026-01-02"}
    ),
    "POST /calibrations/{number}/decertify": Rule("certify", ITEM, WHY),
    "GET /orders": Rule("view", ANYWHERE),
    "GET /orders/{number}": Rule("view", ITEM),
    "POST /orders/{number}/claim": Rule("order", ITEM),
    "POST /orders/{number}/return": Rule("order", ITEM, WHY),
    "POST /orders/{number}/assign": Rule("decide", ITEM, {"who": "anna"}),
    "POST /orders/{number}/deliver": Rule("order", ITEM, form={"files": ("a.txt", b"a")}),
    "POST /orders/{number}/check": Rule("order", ITEM),
    "POST /orders/{number}/take": Rule("decide", ITEM, WHY),
    "POST /orders/{number}/approve": Rule("decide", ITEM, WHY),
    "POST /orders/{number}/reject": Rule("decide", ITEM, WHY),
    "GET /publications": Rule("view", ANYWHERE),
    "GET /sources": Rule("view", ANYWHERE),
    "POST /sources/{pipeline}/{name}/pause": Rule("run", ITEM, WHY),
    "POST /sources/{pipeline}/{name}/resume": Rule("run", ITEM, WHY),
    "GET /definitions": Rule("view", ANYWHERE),
    "GET /definitions/{pipeline}": Rule("view", ITEM),
    "POST /definitions/reload": Rule("configure", SITE),
    "GET /settings": Rule("configure", SITE),
    "GET /events": Rule("view", ANYWHERE),
    "POST /tickets": Rule("view", ANYWHERE, {"path": "/api/v1/events"}),
    "GET /me": Rule("", OPEN),
    "GET /tokens": Rule("manage", SITE),
    "POST /tokens": Rule("manage", SITE, {"name": "b", "grants": ["viewer"]}),
    "DELETE /tokens/{number}": Rule("manage", SITE),
    "GET /notices": Rule("view", ANYWHERE),
    "POST /notices/read": Rule("view", ANYWHERE, {}),
    "GET /health/live": Rule("", OPEN),
    "GET /health/ready": Rule("", OPEN),
    "GET /system": Rule("view", ANYWHERE),
    "GET /system/sizes": Rule("configure", SITE),
    "GET /metrics": Rule("view", ANYWHERE),
}

# Pages declare nothing: what they show and do is asked of the same functions.
PAGES: dict[str, Rule] = {
    "GET /": Rule("view", ANYWHERE),
    "GET /login": Rule("", OPEN),
    "POST /login": Rule("", OPEN),
    "POST /logout": Rule("", OPEN),
    "GET /items": Rule("view", ANYWHERE),
    "POST /items/bulk": Rule("view", SITE, form={"action": "prioritise", "ids": ""}, also="view"),
    "GET /orders": Rule("view", ANYWHERE),
    "GET /orders/{number}": Rule("view", ITEM),
    "POST /orders/{number}/claim": Rule("view", ITEM, also="order"),
    "POST /orders/{number}/return": Rule("view", ITEM, also="order"),
    "POST /orders/{number}/assign": Rule("view", ITEM, form={"who": "anna"}, also="decide"),
    "POST /orders/{number}/approve": Rule("view", ITEM, also="decide"),
    "POST /orders/{number}/reject": Rule("view", ITEM, form=WHY, also="decide"),
    "POST /orders/{number}/take": Rule("view", ITEM, form=WHY, also="decide"),
    "POST /orders/{number}/check": Rule("view", ITEM, also="order"),
    "POST /orders/{number}/deliver": Rule("view", ITEM, form={"files": ("a.txt", b"a")}, also="order"),
    "GET /calibrations": Rule("view", ANYWHERE),
    "POST /calibrations": Rule(
        "view",
        ITEM,
        form={"product": "{product}", "kind": "k", "begin": "2026-01-01", "end": "2026-01-02"},
        also="certify",
    ),
    "POST /calibrations/{number}/decertify": Rule("view", ITEM, form=WHY, also="certify"),
    "GET /publications": Rule("view", ANYWHERE),
    "POST /publications/items/{item}": Rule("view", ITEM, also="publish"),
    "GET /sources": Rule("view", ANYWHERE),
    "POST /sources/{pipeline}/{name}/pause": Rule("view", ITEM, also="run"),
    "POST /sources/{pipeline}/{name}/resume": Rule("view", ITEM, also="run"),
    "POST /sources/{pipeline}/{name}/submit": Rule("view", ITEM, form={"key": "page"}, also="submit"),
    "GET /inventory": Rule("view", ANYWHERE),
    "GET /inventory/sizes": Rule("configure", SITE),
    "POST /inventory/check": Rule("run", SITE),
    "GET /configuration": Rule("configure", SITE),
    "POST /configuration/reload": Rule("configure", SITE),
    "GET /events": Rule("view", ANYWHERE),
    "GET /people": Rule("manage", SITE),
    "POST /people": Rule("manage", SITE, form={"name": "c", "role": "viewer"}),
    "POST /people/{number}/revoke": Rule("manage", SITE),
    "GET /notices": Rule("view", ANYWHERE),
    "POST /notices/read": Rule("view", ANYWHERE),
    "POST /notices/unfollow": Rule("view", ITEM, form={"item": "{item}"}),
}
# Those that name what the site has none of: only that they are closed to nobody is asked.
BESIDE = {"GET /publications/{number}/documents/{name}", "GET /pipelines/{pipeline}/{page}"}


SECOND = """
[pipelines.other]
file = "other.toml"
"""
OTHER = """
[pipeline]
name = "other"
version = "1"

[sources.asked]
kind = "submit"
item = "letter"

[items.letter]
route = "read"

[items.letter.stages.read]
kind = "gate"
title = "Is {item.key} read?"
"""


@pytest.fixture
def build(tmp_path: Path, make_server: Any) -> Iterator[Any]:
    """Makes a server around a site with the pipelines `lab` and `other`, whose sample `a` waits at a gate."""

    def made(more: str = "") -> Server:
        folder = tmp_path / "site"
        folder.mkdir()
        (folder / "other.toml").write_text(OTHER)
        server = make_server(SECOND + more, folder)
        server.sample("a", weight=3)
        server.run()
        return server

    yield made


def numbers(server: Server) -> dict[str, str]:
    """What stands in paths: what belongs to the sample `a` of lab, and tokens that nobody needs."""
    site = server.site
    found = site.show("lab/sample/a")
    product = next(one for one in found.products if one.output == "report")
    calibration = next(iter(site.calibrations(state="")), None) or site.certify(
        product.id, "scale", "", 0, 1e9
    )
    return {
        "item": str(found.item.id),
        "run": found.runs[0].name,
        "product": str(product.id),
        "output": "weight",
        "pipeline": "lab",
        "name": "asked",
        "order": str(site.orders(every=True)[0].row.id),
        "calibration": str(calibration.number),
        "token": str(site.make_token("spare", ["viewer"]).row.id),
    }


def filled(value: Any, known: dict[str, str]) -> Any:
    """A path or body with numbers for names in braces."""
    if isinstance(value, dict):
        return {name: filled(one, known) for name, one in value.items()}
    return value.format(**known) if isinstance(value, str) else value


def path_of(key: str, rule: Rule, known: dict[str, str]) -> str:
    """Where a route is asked for."""
    path = key.partition(" ")[2]
    noun = {"orders": "order", "calibrations": "calibration", "tokens": "token", "people": "token"}
    number = known.get(noun.get(path.split("/")[1], ""), "")
    return path.format(**known, number=number) + (f"?{rule.query}" if rule.query else "")


def ask(server: Server, grants: tuple[str, ...], key: str, rule: Rule, *, prefix: str) -> Any:
    """Ask for a route as somebody."""
    known = numbers(server)
    headers = server.as_(*grants).headers
    more: dict[str, Any] = {}
    if rule.form is not None:
        form = filled(rule.form, known)
        files = {name: one for name, one in form.items() if isinstance(one, tuple)}
        more = {"files": files} if files else {"data": form}
    elif key.startswith(("POST", "PUT")) and prefix:
        more = {"json": filled(rule.body, known) if rule.body is not None else {}}
    method = key.partition(" ")[0]
    server.browser.cookies.clear()
    return server.browser.request(method, prefix + path_of(key, rule, known), headers=headers, **more)


def expected(grants: tuple[str, ...], rule: Rule) -> int:
    """401, 403 or 404; 0 for whatever is answered to who may."""

    def may(permission: str, pipeline: str) -> bool:
        return any(
            permission in MAY[role].split()
            for role, _, where in (one.partition("@") for one in grants)
            if where in ("", pipeline)
        )

    if rule.where == OPEN:
        return 0
    if not grants or rule.where == RUN:
        return 401
    if not any(rule.declared in MAY[one.partition("@")[0]].split() for one in grants):
        return 403
    if rule.where == ANYWHERE:
        return 0
    if rule.where == SITE:
        needed = rule.also or rule.declared
        anywhere = any(needed in MAY[one.partition("@")[0]].split() for one in grants)
        return 0 if may(needed, "") or (rule.also and anywhere) else 403
    if rule.where == ITEM and not may("view", "lab"):
        return 404
    return 0 if may(rule.also or rule.declared, "lab") else 403


def declared(server: Server) -> dict[str, set[str]]:
    """Each route of the application with the permissions that it declares."""
    found: dict[str, set[str]] = {}
    for route in iter_route_contexts(server.app.routes):
        told = [getattr(one.dependency, "permission", None) for one in getattr(route, "dependencies", ())]
        for method in (route.methods or set()) - {"HEAD"}:
            found[f"{method} {route.path}"] = {one.value for one in told if one is not None}
    return found


def test_every_route_is_in_the_table_with_what_it_declares(server: Server) -> None:
    found = declared(server)
    del found["GET /api/v1/openapi.json"]
    rest = {key.replace("/api/v1", ""): one for key, one in found.items() if "/api/v1/" in key}
    assert rest == {key: {rule.declared} - {""} for key, rule in REST.items()}
    assert {key for key in found if "/api/v1/" not in key} == {*PAGES, *BESIDE}


def test_rest_is_answered_to_those_who_may(build: Any) -> None:
    server = build()
    wrong = []
    for name, grants in PEOPLE.items():
        for key, rule in REST.items():
            answer = ask(server, grants, key, rule, prefix="/api/v1")
            told, wanted = answer.status_code, expected(grants, rule)
            if told >= 500 or (told != wanted if wanted else told in (401, 403, 404)):
                wrong.append((name, key, told, wanted or "well", answer.text[:200]))
    assert wrong == [], "\n".join(str(one) for one in wrong)


def test_pages_are_shown_to_those_who_may(build: Any) -> None:
    server = build()
    wrong = []
    for name, grants in PEOPLE.items():
        for key, rule in PAGES.items():
            answer = ask(server, grants, key, rule, prefix="")
            told, wanted = answer.status_code, expected(grants, rule)
            is_sign_in = told == 303 and answer.headers["Location"].startswith("/login")
            if wanted == 401 and key.startswith("GET"):
                is_well = is_sign_in
            elif (
                wanted == 403 and told == 303 and not is_sign_in
            ):  # said on the next page, as what was done is
                is_well = "may%20not" in answer.headers.get("Set-Cookie", "")
            elif key == "POST /login":
                is_well = told in (403, 429)  # nothing was sent that lets anybody in
            else:
                is_well = told == wanted if wanted else told not in (401, 403, 404)
            if told >= 500 or not is_well:
                wrong.append((name, key, told, wanted or "well"))
    assert wrong == [], "\n".join(str(one) for one in wrong)
