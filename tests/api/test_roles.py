"""Every endpoint × every kind of person: what is declared, what is answered; and what may not be seen is nowhere."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts

from towpath.api.asking import Asked
from towpath.api.routes.events import seer
from towpath.contracts.auth import Grant, Person, Role
from towpath.contracts.people import NoticeRow

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
    "GET /lab/weights": Rule("view", PIPELINE),
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
    "GET /pipelines/lab/window": Rule("", OPEN),
    "POST /login": Rule("", OPEN),
    "POST /logout": Rule("", OPEN),
    "GET /items": Rule("view", ANYWHERE),
    "POST /items/bulk": Rule("view", SITE, form={"action": "prioritise", "ids": ""}, also="view"),
    "GET /items/{number}": Rule("view", ITEM),
    "POST /items/{number}/actions": Rule("view", ITEM, form={"action": "prioritise"}, also="run"),
    "POST /items/{number}/gates/{order}": Rule("view", ITEM, form={"decision": "approve"}, also="decide"),
    "POST /items/{number}/publish": Rule("view", ITEM, also="publish"),
    "POST /items/{number}/flags": Rule("view", ITEM, form={"value": "x"}, also="flag"),
    "POST /items/{number}/follow": Rule("view", ITEM, also="subscribe"),
    "GET /runs/{run}": Rule("view", ITEM),
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
BESIDE = {
    "GET /login/provider",
    "GET /login/provider/back",
    "GET /publications/{number}/documents/{name}",
    "GET /pipelines/{pipeline}/{page}",
    "GET /pipelines/lab/window",  # a frame holds nothing: what it shows asks with a token
}


SECOND = """
[pipelines.other]
file = "{file}"
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
        (tmp_path / "other.toml").write_text(OTHER)
        server = make_server(SECOND.format(file=tmp_path / "other.toml") + more)
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
    noun = {
        "items": "item",
        "orders": "order",
        "calibrations": "calibration",
        "tokens": "token",
        "people": "token",
    }
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


# ---- policies and anonymous people
def test_a_policy_changes_what_roles_may_in_one_pipeline(build: Any) -> None:
    server = build('\n[access.policy.lab]\nview = ["operator"]\nflag = ["viewer", "operator"]\nsubmit = []\n')
    item = numbers(server)["item"]
    letter = server.site.submit("other/letter", [{"key": "b"}])[0]
    viewer, operator = server.as_("viewer"), server.as_("operator")
    assert viewer.ask("GET", f"/items/{item}").status_code == 404
    assert viewer.ask("POST", f"/items/{item}/flags", json={"value": "x"}).status_code == 404
    assert [one["id"] for one in viewer.get("/items")["items"]] == [letter]
    assert viewer.get("/items/count")["count"] == 1
    assert {one["pipeline"] for one in viewer.get("/system")["counts"]} == {"other"}
    assert "lab" not in viewer.get("/me")["permissions"]
    assert operator.get(f"/items/{item}")["key"] == "a"
    operator.post("/items", {"kind": "lab/sample", "items": [{"key": "c"}]}, expect=403)
    server.as_("admin").post("/items", {"kind": "lab/sample", "items": [{"key": "c"}]}, expect=201)


def test_a_policy_may_give_a_role_what_it_has_nowhere_else(build: Any) -> None:
    server = build('\n[access.policy.lab]\nflag = ["viewer"]\n')
    item = numbers(server)["item"]
    letter = server.site.submit("other/letter", [{"key": "b"}])[0]
    viewer = server.as_("viewer")
    viewer.post(f"/items/{item}/flags", {"value": "x"}, expect=201)
    viewer.post(f"/items/{letter}/flags", {"value": "x"}, expect=403)
    server.as_("operator").post(f"/items/{item}/flags", {"value": "x"}, expect=403)


def test_anonymous_people_see_what_is_granted_to_everybody(build: Any) -> None:
    server = build('\n[access]\nanonymous = ["viewer@other"]\n')
    item = numbers(server)["item"]
    letter = server.site.submit("other/letter", [{"key": "b"}])[0]
    nobody = server.as_()
    assert [one["id"] for one in nobody.get("/items")["items"]] == [letter]
    assert nobody.get(f"/items/{letter}")["key"] == "b"
    assert nobody.ask("GET", f"/items/{item}").status_code == 404
    assert nobody.ask("POST", f"/items/{letter}/flags", json={"value": "x"}).status_code == 401
    assert nobody.get("/me")["name"] == "anonymous"
    assert server.browser.get("/items").status_code == 200
    told = {one["pipeline"] for one in nobody.get("/events?limit=1000")["items"]}
    assert told == {"other"}


# ---- what an authorizer hides
DISCREET = '\n[access]\nauthorizer = "lab:Discreet"\n'
ABSENT = {
    "item": "987654",
    "run": "987654.1",
    "product": "987654",
    "order": "987654",
    "calibration": "987654",
}
SPEAKS_OF_SECRETS = {"GET /people", "GET /settings", "GET /configuration", "GET /login"}


@pytest.fixture
def discreet(build: Any) -> Server:
    """A server that keeps the sample `secret` to itself, whatever there is of it."""
    server = build(DISCREET)
    hidden = server.sample("secret", weight=3)
    server.run()
    site = server.site
    product = next(one for one in site.show("lab/sample/secret").products if one.output == "report")
    site.certify(product.id, "secret", "", 0, 1e9)
    site.flag("lab/sample/secret", "doubtful")
    site.retry("lab/sample/a")
    who = NoticeRow(0, "admin", 0, hidden, "lab/sample/secret waits", "")
    site.catalog.write(lambda tx: tx.add_notice(who))
    return server


def hidden_numbers(server: Server) -> dict[str, str]:
    site = server.site
    found = site.show("lab/sample/secret")
    return {
        **numbers(server),
        "item": str(found.item.id),
        "run": found.runs[0].name,
        "product": str(found.products[0].id),
        "order": str(next(one.row.id for one in site.orders(every=True) if one.item.endswith("/secret"))),
        "calibration": str(next(one.number for one in site.calibrations() if one.kind == "secret")),
    }


def test_what_is_hidden_is_answered_as_if_it_were_not_there(discreet: Server) -> None:
    server, wrong = discreet, []
    hidden = hidden_numbers(server)
    absent = {**hidden, **ABSENT}
    headers = server.as_("admin").headers
    for table, prefix in ((REST, "/api/v1"), (PAGES, "")):
        for key, rule in table.items():
            method, _, path = key.partition(" ")
            if rule.where != ITEM or "{" not in path.replace("{pipeline}", "").replace("{name}", ""):
                continue
            told = []
            for known in (hidden, absent):
                body = filled(rule.body, known)
                sent = (
                    {"json": body or {}} if prefix and method != "GET" else {"data": filled(rule.form, known)}
                )
                if rule.form and any(isinstance(one, tuple) for one in rule.form.values()):
                    sent = {"files": rule.form}
                answer = server.browser.request(
                    method,
                    prefix + path_of(key, rule, known),
                    headers=headers,
                    **(sent if method != "GET" else {}),
                )
                text = answer.text
                for number in sorted((known[name] for name in ABSENT), key=len, reverse=True):
                    text = text.replace(number, "N")
                told.append((answer.status_code, text if prefix else ""))
            if told[0] != told[1] or told[0][0] != 404:
                wrong.append((key, told))
    assert wrong == [], "\n".join(str(one) for one in wrong)


def test_what_is_hidden_is_in_no_list_count_or_page(discreet: Server) -> None:
    server, wrong = discreet, []
    for table, prefix in ((REST, "/api/v1"), (PAGES, "")):
        for key, rule in table.items():
            if key.startswith("GET") and rule.where != RUN and key not in SPEAKS_OF_SECRETS:
                answer = ask(server, ("admin",), key, rule, prefix=prefix)
                if answer.status_code != 200 or re.search(r"\bsecret\b", answer.text):
                    wrong.append((prefix, key, answer.status_code, answer.text[:300]))
    assert wrong == [], "\n".join(str(one) for one in wrong)
    admin = server.as_("admin")
    hidden = int(hidden_numbers(server)["item"])
    assert admin.get("/items/count")["count"] == 1
    assert admin.get("/items?limit=1")["next"] is None or not admin.get("/items?after=1")["items"]
    assert sum(one["count"] for one in admin.get("/system")["counts"] if one["stage"] == "weigh") == 1
    assert 'stage="weigh",state="done"} 1\n' in admin.ask("GET", "/metrics").text
    assert len(admin.get("/orders?every=true")["items"]) == 1
    assert admin.get("/notices") == {"items": [], "unread": 0}
    assert hidden not in {one["item"] for one in admin.get("/events?limit=1000")["items"]}
    assert admin.ask("GET", "/items/find?name=secret").status_code == 404
    assert admin.ask("GET", f"/events?item={hidden}").status_code == 404
    many = {"action": "hold", "choice": {"text": "secret"}}
    assert admin.post("/actions", many)["items"] == 0
    admin.post("/actions", {**many, "choice": {"ids": [hidden]}}, expect=404)


def test_what_is_hidden_is_told_by_no_stream(discreet: Server) -> None:
    server = discreet
    hidden = int(hidden_numbers(server)["item"])
    visible = seer(Asked(server.app.state.access, Person("x", (Grant(Role.ADMIN),)), "bearer"))
    with server.site.catalog.read() as view:
        events = view.events(0, limit=1000)
    assert hidden in {event.item for event in events}
    told = [event for event in events if visible(event)]
    assert told and hidden not in {event.item for event in told}
    assert "submitted" not in {event.type for event in told}  # how many is more than one may know


def test_lineage_ends_where_an_item_is_hidden(build: Any) -> None:
    server = build()
    known = numbers(server)
    found = server.site.trace(int(known["product"]), sees=lambda item: False)
    assert (list(found.products), found.read) == ([int(known["product"])], [])


def test_a_name_is_found_among_what_one_may_view(build: Any) -> None:
    server = build()
    letter = server.site.submit("other/letter", [{"key": "a"}])[0]
    other = server.as_("viewer@other")
    assert other.get("/items/find?name=a")["id"] == letter
    told = server.as_("viewer").ask("GET", "/items/find?name=a")
    assert told.status_code == 404 and "other/letter/a" in told.json()["error"]["message"]
    hidden, absent = (
        server.as_("viewer@lab").ask("GET", f"/items/find?name=other/letter/{key}") for key in ("a", "z")
    )
    assert (hidden.status_code, hidden.text) == (404, absent.text.replace("/z", "/a"))


def test_the_secret_of_a_token_is_kept_nowhere(server: Server) -> None:
    body, key = {"name": "b", "grants": ["viewer"]}, {"Idempotency-Key": "once"}
    made = server.as_("admin").post("/tokens", body, expect=201, headers=key)
    server.as_("admin").post("/tokens", body, expect=409, headers=key)
    files = [one for one in server.folder.rglob("*") if one.is_file()]
    assert files and not [one for one in files if made["secret"].encode() in one.read_bytes()]
    assert sum(one.name == "b" for one in server.site.tokens()) == 1
