"""REST: what is asked is answered in its shape, what is done is done once, in the state that it was meant for."""

from typing import Any

from towpath.api import shapes
from towpath.api.examples import EXAMPLES

Server = Any


def states(server: Server, item: int) -> dict[str, str]:
    with server.site.catalog.read() as view:
        return {row.stage: row.state.value for row in view.work([item])[item]}


def test_an_item_tells_everything(server: Server) -> None:
    number = server.sample("a", weight=3.5)
    server.run()
    one = server.as_("viewer").get(f"/items/{number}")
    assert one["name"] == "lab/sample/a"
    assert {row["stage"]: row["state"] for row in one["route"]} == {
        "weigh": "done", "assess": "done", "report": "done", "release": "held", "publish": "waiting"
    }  # fmt: skip
    assert [row["name"] for row in one["milestones"]] == ["Received", "Weighed"]
    assert one["runs"][0]["measures"] == [{"name": "weight", "value": 3.5, "unit": "g"}]
    assert one["verdicts"][0]["rules"][0]["limit"] == 100.0
    assert [order["kind"] for order in one["orders"]] == ["gate"]
    assert {row["output"] for row in one["products"]} == {"weight", "report"}
    assert one["registered"].endswith("Z")


def test_items_are_paged_by_key(server: Server) -> None:
    numbers = [server.sample(f"s{n}") for n in range(5)]
    viewer = server.as_("viewer")
    first = viewer.get("/items?limit=2")
    second = viewer.get(f"/items?limit=2&after={first['next']}")
    assert [one["id"] for one in first["items"] + second["items"]] == numbers[:4]
    last = viewer.get(f"/items?limit=2&after={second['next']}")
    assert ([one["id"] for one in last["items"]], last["next"]) == (numbers[4:], None)
    assert viewer.get("/items/count")["count"] == 5
    assert viewer.get("/items?text=s3")["items"][0]["key"] == "s3"


def test_why_is_told_in_words(server: Server) -> None:
    number = server.sample()
    server.run()
    told = server.as_("viewer").get(f"/items/{number}/why?stage=release")
    assert told[0]["reasons"][0]["code"] == "gate"


def test_an_action_is_done_in_the_state_it_expects(server: Server) -> None:
    number = server.sample("bad", trouble="fails")
    server.run()
    operator = server.as_("operator")
    refused = operator.post(
        f"/items/{number}/actions", {"action": "retry", "stage": "weigh", "expect": "held"}, expect=409
    )
    assert refused["error"]["states"]["weigh"] == "failed"
    done = operator.post(
        f"/items/{number}/actions", {"action": "retry", "stage": "weigh", "expect": "failed", "why": "mended"}
    )
    assert done == {"touched": 1, "states": states(server, number)}
    assert states(server, number)["weigh"] == "ready"
    told = [
        one for one in operator.get("/events?limit=1000")["items"] if one["data"].get("who") == "operator"
    ]
    assert told and told[-1]["data"]["why"] == "mended"


def test_an_etag_that_is_old_changes_nothing(server: Server) -> None:
    number = server.sample()
    operator = server.as_("operator")
    etag = operator.ask("GET", f"/items/{number}").headers["ETag"]
    server.run()
    told = operator.post(
        f"/items/{number}/actions", {"action": "rerun"}, expect=409, headers={"If-Match": etag}
    )
    assert told["error"]["code"] == "state"
    fresh = operator.ask("GET", f"/items/{number}").headers["ETag"]
    operator.post(f"/items/{number}/actions", {"action": "rerun"}, headers={"If-Match": fresh})
    assert states(server, number)["weigh"] == "ready"


def test_a_key_makes_it_done_once(server: Server) -> None:
    number = server.sample()
    server.run()
    operator = server.as_("operator")
    key = {"Idempotency-Key": "k1"}
    first = operator.post(f"/items/{number}/actions", {"action": "rerun", "why": "once"}, headers=key)
    again = operator.ask(
        "POST", f"/items/{number}/actions", json={"action": "rerun", "why": "once"}, headers=key
    )
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (first, "true")
    with server.site.catalog.read() as view:
        assert sum(event.type == "revised" for event in view.events(0, limit=1000)) == 1
    other = operator.ask("POST", f"/items/{number}/actions", json={"action": "stop"}, headers=key)
    assert other.json()["error"]["code"] == "idempotency_key"


def test_a_key_whose_answer_was_lost_is_not_done_again(server: Server, monkeypatch: Any) -> None:
    number = server.sample()
    server.run()
    operator = server.as_("operator")
    monkeypatch.setattr("towpath.api.once._keep", lambda *_: 1 / 0)
    key = {"Idempotency-Key": "k2"}
    assert (
        operator.ask("POST", f"/items/{number}/actions", json={"action": "rerun"}, headers=key).status_code
        == 500
    )
    monkeypatch.undo()
    told = operator.post(f"/items/{number}/actions", {"action": "rerun"}, expect=409, headers=key)
    assert told["error"]["code"] == "repeated"
    with server.site.catalog.read() as view:
        assert sum(event.type == "revised" for event in view.events(0, limit=1000)) == 1


def test_a_refused_action_may_be_asked_for_again_under_its_key(server: Server) -> None:
    number = server.sample()
    key = {"Idempotency-Key": "k3"}
    operator = server.as_("operator")
    body = {"action": "retry", "stage": "weigh", "expect": "done"}
    operator.post(f"/items/{number}/actions", body, expect=409, headers=key)
    server.run()
    operator.post(f"/items/{number}/actions", body, headers=key)


def test_many_are_previewed_before_they_are_touched(server: Server) -> None:
    numbers = [server.sample(f"b{n}", trouble="fails") for n in range(3)]
    server.run()
    operator = server.as_("operator")
    wanted = {"action": "retry", "choice": {"state": "failed"}, "preview": True}
    told = operator.post("/actions", wanted)
    assert (told["items"], told["touched"], told["preview"]) == (3, 3, True)
    assert states(server, numbers[0])["weigh"] == "failed"
    assert operator.post("/actions", {**wanted, "preview": False})["touched"] == 3
    assert states(server, numbers[0])["weigh"] == "ready"
    empty = operator.post("/actions", {"action": "stop", "choice": {}}, expect=422)
    assert "neither" in empty["error"]["message"]


def test_runs_tell_what_they_read_and_their_log(server: Server) -> None:
    number = server.sample("loud", weight=2)
    server.run()
    viewer = server.as_("viewer")
    name = viewer.get(f"/items/{number}")["runs"][0]["name"]
    one = viewer.get(f"/runs/{name}")
    assert one["components"]["stage"] == "weigh" or one["components"]
    assert one["software"]["towpath"]
    log = viewer.ask("GET", f"/runs/{name}/log")
    assert "weighing loud" in log.text and log.headers["content-type"].startswith("text/plain")
    part = viewer.ask("GET", f"/runs/{name}/log", headers={"Range": "bytes=2-5"})
    assert (part.status_code, part.content) == (206, log.content[2:6])
    beyond = viewer.ask("GET", f"/runs/{name}/log", headers={"Range": "bytes=99999-"})
    assert beyond.status_code == 416


def test_products_with_their_bytes_and_lineage(server: Server) -> None:
    number = server.sample("p", weight=7)
    server.run()
    viewer = server.as_("viewer")
    products = {one["output"]: one for one in viewer.get(f"/items/{number}")["products"]}
    content = viewer.ask("GET", f"/products/{products['report']['id']}/content")
    assert content.content == b"p: 7 g\n"
    part = viewer.ask("GET", f"/products/{products['report']['id']}/content", headers={"Range": "bytes=3-"})
    assert (part.status_code, part.content) == (206, b"7 g\n")
    lineage = viewer.get(f"/products/{products['report']['id']}/lineage?direction=up")
    assert {one["output"] for one in lineage["products"]} == {"report", "weight"}
    down = viewer.get(f"/products/{products['weight']['id']}/lineage?direction=down")
    assert {one["output"] for one in down["products"]} == {"report", "weight"}
    assert [edge["product"] for edge in down["read"]] == [products["weight"]["id"]]


def test_gates_are_decided_with_a_reason(server: Server) -> None:
    number = server.sample()
    server.run()
    scientist = server.as_("scientist")
    order = scientist.get("/orders?kind=gate")["items"][0]
    told = scientist.post(f"/orders/{order['id']}/approve", {"why": "fine"})
    assert told["state"] == "accepted" and told["who"] == "scientist"
    server.run()
    assert states(server, number)["publish"] == "done"
    published = scientist.get("/publications")["items"]
    assert published[0]["item"] == number
    scientist.post(f"/orders/{order['id']}/approve", {"why": "again"}, expect=409)


def test_calibrations_are_certified_and_withdrawn(server: Server) -> None:
    number = server.sample()
    server.run()
    scientist = server.as_("scientist")
    product = scientist.get(f"/items/{number}")["products"][0]["id"]
    body = {
        "product": product,
        "kind": "scale",
        "selector": "s1",
        "begin": "2026-01-01T00:00:00Z",
        "end": "2026-02-01T00:00:00Z",
    }
    made = scientist.post("/calibrations", body, expect=201)
    assert (made["state"], made["begin"]) == ("certified", "2026-01-01T00:00:00.000Z")
    assert scientist.get("/calibrations?at=2026-01-15")[0]["number"] == made["number"]
    assert scientist.get("/calibrations?at=2026-02-01") == []
    scientist.post(
        "/calibrations", {**body, "begin": "2026-01-20T00:00:00Z", "end": "2026-03-01T00:00:00Z"}, expect=409
    )
    scientist.post(f"/calibrations/{made['number']}/decertify", {"why": "the scale was bent"})
    assert scientist.get("/calibrations?state=decertified")[0]["number"] == made["number"]
    assert any(
        one["data"].get("why") == "the scale was bent" for one in scientist.get("/events?limit=1000")["items"]
    )


def test_flags_definitions_system_and_metrics(server: Server) -> None:
    number = server.sample()
    server.run()
    scientist = server.as_("scientist")
    made = scientist.post(
        f"/items/{number}/flags", {"value": "doubtful", "part": {"pan": 1}, "comment": "x"}, expect=201
    )
    assert (made["author"], made["part"]) == ("scientist", {"pan": 1})
    assert states(server, number)["report"] != "done"  # it consumes flags
    assert scientist.get("/definitions")[0]["kinds"]["sample"][0] == "weigh"
    details = scientist.get("/definitions/lab")
    assert details["routes"]["sample"][0]["stage"] == "weigh"
    system = scientist.get("/system")
    assert system["site"] == "laboratory" and system["schema_revision"] >= "0009"
    text = scientist.ask("GET", "/metrics").text
    assert 'towpath_work{pipeline="lab",kind="sample",stage="weigh",state="done"} 1' in text
    assert server.as_().get("/health/live") == {"status": "ok"}
    assert server.as_().get("/health/ready") == {"status": "ok"}


def test_tokens_are_made_told_once_and_revoked(server: Server) -> None:
    admin = server.as_("admin")
    made = admin.post("/tokens", {"name": "anna", "grants": ["viewer@lab"], "lasts": 3600}, expect=201)
    anna = {"Authorization": f"Bearer {made['secret']}"}
    assert server.as_().get("/me", headers=anna)["name"] == "anna"
    assert "secret" not in admin.get("/tokens")[-1]
    assert admin.ask("DELETE", f"/tokens/{made['id']}").status_code == 204
    refused = server.as_().ask("GET", "/me", headers=anna)
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "unauthorized")
    admin.post("/tokens", {"name": "b", "grants": ["king"]}, expect=422)
    admin.post("/tokens", {"name": "b", "grants": ["viewer@nowhere"]}, expect=422)


def test_every_error_has_one_shape(server: Server) -> None:
    viewer = server.as_("viewer")
    for path, status in (
        ("/items/999", 404),
        ("/nowhere", 404),
        ("/items?limit=0", 422),
        ("/items?state=odd", 422),
        ("/runs/1.1", 404),
    ):
        answer = viewer.ask("GET", path)
        assert answer.status_code == status, path
        assert {"code", "message"} <= answer.json()["error"].keys(), path
    assert viewer.ask("PUT", "/system").json()["error"]["code"] == "method_not_allowed"


def test_the_document_of_the_interface_is_whole(server: Server) -> None:
    document = server.browser.get("/api/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for path, methods in document["paths"].items():
        for method, one in methods.items():
            assert one.get("summary") and one.get("description"), (method, path)
            assert one.get("tags"), (method, path)
    ours = {
        name: schema for name, schema in document["components"]["schemas"].items() if hasattr(shapes, name)
    }
    assert {name for name, schema in ours.items() if "examples" not in schema} <= {"ErrorAnswer", "Reason"}


def test_examples_are_what_the_shapes_take() -> None:
    for name, example in EXAMPLES.items():
        getattr(shapes, name).model_validate(example)
