"""Workflows as people of an InvenioRDM instance use them: with its tokens, and by a panel in its pages."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from towpath.api.streams import Timing
from towpath.testing.invenio import InvenioServer

MORE = """
[repositories.portal]
kind = "invenio"
url = "{url}"
token = "{token}"
watch = 0

[access]
authorizer = "records"
bearers = ["operator@compchem"]
anonymous = ["viewer@compchem"]

[server]
url = "https://towpath.example"
embed_in = ["https://repository.example"]
"""
SOURCE = """
[pipelines.compchem.override.sources.{name}]
repository = "portal"
"""


class Portal:
    """The instance with a record of Olga's that Rita may preview, and the site that works on it."""

    def __init__(self, invenio: InvenioServer, make_depot: Callable[..., Any], sources: list[str]) -> None:
        self.invenio = invenio
        self.account = invenio.add_user("site")
        more = MORE.format(url=invenio.url, token=self.account)
        self.depot = make_depot(more=more + "".join(SOURCE.format(name=name) for name in sources))
        self.bearers = {name: invenio.add_user(name) for name in ("olga", "rita", "stefan")}
        rights = {"site": "manage", "rita": "preview"}
        invenio.add_record("olga", record="r1", rights=rights)
        invenio.add_record("paul", record="r2", rights={"site": "manage"})
        for record in ("r1", "r2"):
            invenio.deposit(record, "a.txt", b"fine text")

    def ask(self, who: str, method: str, path: str, body: Any = None) -> Any:
        """One request of somebody, by name or with a token."""
        headers = {"Authorization": f"Bearer {self.bearers.get(who, who)}"} if who else {}
        sent = {"json": {} if body is None else body} if method == "POST" else {}
        return self.depot.ask(method, path, role="", headers=headers, **sent)


@pytest.fixture
def portal(make_depot: Callable[..., Any]) -> Iterator[Portal]:
    with InvenioServer() as invenio:
        yield Portal(invenio, make_depot, ["counts", "pairs"])


def test_people_of_the_repository_use_workflows_on_their_records(portal: Portal) -> None:
    begun = portal.ask("olga", "POST", "/r1/start", {"name": "count"})
    assert begun.status_code == 201
    (one,) = begun.json()["workflows"]
    assert one["by"].startswith("depositor-") and one["by"].endswith("@portal")
    minted = [seen for seen in portal.invenio.requests if seen.route == "mint"]
    assert [seen.headers["authorization"] for seen in minted] == [f"Bearer {portal.bearers['olga']}"]
    assert portal.ask("rita", "POST", "/r1/start", {"name": "count"}).status_code == 403
    for who, record in (("stefan", "r1"), ("olga", "r2"), ("stefan", "r9")):
        for answer in (
            portal.ask(who, "POST", f"/{record}/start", {"name": "count"}),
            portal.ask(who, "GET", f"/{record}/list"),
            portal.ask(who, "POST", "/available", {"record": record}),
            portal.ask(who, "POST", f"/{record}/embed"),
        ):
            assert answer.status_code == 404 and "count" not in answer.text
    assert portal.ask("stefan", "GET", f"/runs/{one['id']}").status_code == 404
    assert [each["id"] for each in portal.ask("rita", "GET", "/r1/list").json()["items"]] == [one["id"]]
    portal.depot.run()
    ended = portal.ask("rita", "GET", f"/runs/{one['id']}").json()
    assert ended["status"] == "SUCCESS" and ended["results"]
    assert f"{one['id']}" in " ".join(portal.invenio.records["r1"].files)
    assert portal.ask("rita", "POST", f"/runs/{one['id']}/resubmit").status_code == 403


def test_workflows_are_told_to_nobody_unknown(portal: Portal) -> None:
    portal.invenio.publish("r1")
    for body in ({"files": [{"key": "a.txt"}]}, {"record": "r1"}, {"record": "r2"}):
        answer = portal.ask("", "POST", "/available", body)
        assert answer.status_code == 401 and "count" not in answer.text
    assert portal.ask("", "GET", "/r1/list").status_code == 200, "what everybody may see, as viewers"
    assert portal.ask("", "GET", "/r2/list").status_code == 404
    assert portal.ask("", "POST", "/r1/start", {"name": "guess"}).status_code == 401
    assert portal.ask("", "POST", "/r1/embed").status_code in (401, 404)


def test_a_panel_does_what_who_asked_for_it_may(portal: Portal) -> None:
    told = portal.ask("olga", "POST", "/r1/embed")
    assert told.status_code == 200 and told.headers["Cache-Control"] == "no-store"
    made = told.json()
    assert made["expires_in"] == 600
    assert made["url"] == "https://towpath.example/pipelines/compchem/frame?record=r1"
    panel = made["token"]
    assert len(portal.ask(panel, "POST", "/available", {"record": "r1"}).json()["workflows"]) == 1
    begun = portal.ask(panel, "POST", "/r1/start", {"name": "count"})
    assert begun.status_code == 201
    (one,) = begun.json()["workflows"]
    assert one["by"] == portal.ask("olga", "GET", f"/runs/{one['id']}").json()["by"]
    assert portal.ask(panel, "POST", f"/runs/{one['id']}/stop").status_code == 200
    assert portal.ask(panel, "POST", f"/runs/{one['id']}/retry").status_code == 200
    portal.depot.run()
    ended = portal.ask(panel, "GET", f"/runs/{one['id']}").json()
    headers = {"Authorization": f"Bearer {panel}"}
    assert portal.depot.browser.get(ended["results"][0]["url"], headers=headers).text == "fine text"
    events = portal.depot.stream(f"/runs/{one['id']}/events", Authorization=f"Bearer {panel}")
    assert events[-1][0] == "end" and events[-1][2]["status"] == "SUCCESS"
    assert portal.depot.stream(f"/runs/{one['id']}/log", Authorization=f"Bearer {panel}")[-1][0] == "end"
    for method, path in (("GET", "/r2/list"), ("POST", "/r2/start"), ("POST", "/available")):
        body = {"record": "r2"} if path == "/available" else {"name": "count"}
        assert portal.ask(panel, method, path, body).status_code == 404
    assert portal.ask(panel, "POST", "/r1/embed").status_code == 403
    reader = portal.ask("rita", "POST", "/r1/embed").json()["token"]
    assert portal.ask(reader, "GET", "/r1/list").status_code == 200
    assert portal.ask(reader, "POST", "/r1/start", {"name": "count"}).status_code == 403


def test_while_the_repository_cannot_be_asked_nothing_is_begun(portal: Portal) -> None:
    assert portal.ask("olga", "GET", "/r1/list").status_code == 200
    portal.invenio.fail("listing", "broken", times=9)
    portal.invenio.fail("draft", "broken", times=9)
    assert portal.ask("olga", "GET", "/r1/list").status_code == 200, "what was said a moment ago holds"
    for who in ("rita", "stefan"):
        answer = portal.ask(who, "POST", "/r1/start", {"name": "count"})
        assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0
    assert portal.depot.site.items() == []


def test_a_stream_ends_when_the_record_may_not_be_read_any_more(portal: Portal) -> None:
    streams, fresh = portal.depot.app.state.hub.streams, portal.depot.site._parts.records.allowed
    streams.timing = Timing(still=0.1)

    def take_away() -> None:
        portal.depot.until(lambda: streams._open)
        del portal.invenio.records["r1"].rights["rita"]
        fresh.now = lambda: time.monotonic() + 60.0

    thread = threading.Thread(target=take_away)
    thread.start()
    told = portal.ask("rita", "GET", "/r1/events")  # which returns when it ends
    thread.join()
    assert told.status_code == 200
    assert portal.ask("rita", "GET", "/r1/events").status_code == 404


def test_a_record_of_the_same_name_elsewhere_is_another(make_depot: Callable[..., Any]) -> None:
    with InvenioServer() as invenio:
        portal = Portal(invenio, make_depot, ["pairs"])
        folder = portal.depot.put("r1", secret__txt="fine")
        (folder / ".record.toml").write_text('people = ["boss"]')
        for name in ("secret.trk", "secret.frm"):
            invenio.deposit("r1", name, b"fine")
        offered = portal.ask("olga", "POST", "/available", {"record": "r1"})
        assert [one["name"] for one in offered.json()["workflows"]] == ["pair-up"]
        assert portal.ask("olga", "POST", "/r1/start", {"name": "count"}).status_code == 404
        assert portal.ask("olga", "POST", "/r1/look").json()["workflows"] == []
        begun = portal.ask("olga", "POST", "/r1/start").json()
        assert [one["id"] for one in begun["workflows"]] == ["r1-pair-up-1"]
