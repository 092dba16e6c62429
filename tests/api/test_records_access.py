"""Who may see and do what with items of records: asked of the repository, with the token that people have there."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, Request
from jinja2 import ChoiceLoader, DictLoader

from towpath.api.asking import Asked, Asker
from towpath.api.embedding import framed
from towpath.api.pages import page
from towpath.api.panels import panel_token
from towpath.api.routes.events import seer
from towpath.base import clock
from towpath.base.errors import DefinitionError, NotFoundError, SiteError, Transient
from towpath.base.model import Item
from towpath.contracts.auth import Panel, Permission, Person
from towpath.testing.invenio import InvenioServer

Server = Any

CHEM = """
[pipeline]
name = "chem"

[sources.counts]
kind = "records"
item = "count"
title = "Word counts"
repository = "{repository}"
automatic = false
[sources.counts.match.text]
extension = ["wfn"]

[items.count]
route = "retrieve -> count -> deliver"
[items.count.stages.count]
kind = "command"
argv = ["cp", "{{input.text}}", "{{output.copy}}"]
consumes.text = "deposit/text"
produces.copy = {{ type = "text/plain", file = "copy.txt" }}
"""
SITE = """
[pipelines.chem]
file = "{file}"

[repositories.portal]
{table}

[access]
authorizer = "records"
{access}

[server]
embed_in = ["https://repository.example"]
"""
PORTAL = 'kind = "invenio"\nurl = "{url}"\ntoken = "{token}"\nwatch = 0'
BEARERS = 'bearers = ["operator@chem"]'
ORIGIN = "https://repository.example"


routes = APIRouter()


def about(record: str) -> Item:
    return Item("chem", "", "", {"record": record})


@routes.get("/workflows/{record}/list")
def look(asker: Asker, record: str) -> dict[str, Any]:
    """As routes of a pipeline ask for a record that has no item."""
    if not asker.may(Permission.VIEW, about(record)):
        raise NotFoundError(f"there is no record {record!r}")
    return {"may_start": asker.may(Permission.SUBMIT, about(record)), "who": asker.person.name}


@routes.post("/workflows/{record}/embed")
def embed(asker: Asker, record: str) -> dict[str, Any]:
    """As routes of a pipeline give a token for a panel."""
    token, seconds = panel_token(asker, "chem", record)
    return {"token": token, "expires_in": seconds}


class World:
    """A server whose repository is an instance of ours; people and records are other ones for each test."""

    def __init__(self, make_lasting: Callable[..., Server], folder: Path, invenio: InvenioServer) -> None:
        self.invenio, self.file = invenio, folder / "chem.toml"
        self.file.write_text(CHEM.format(repository="portal"))
        self.account = invenio.add_user("site")
        self.table = PORTAL.format(url=invenio.url, token=self.account)
        self.server = make_lasting(SITE.format(file=self.file, table=self.table, access=BEARERS))
        self.server.app.include_router(routes, prefix="/api/v1")
        self.site = self.server.site
        self.round, self.now = 0, 0.0
        records = self.site._parts.records
        for one in (records.allowed, records.people, records.keepers, records.pace):
            one.now = lambda: self.now
        self.server.app.state.access.bearers._throttle._now = lambda: self.now

    def begin(self) -> None:
        """Forget what was: an owner, a reader and a stranger, a record that is theirs to see, and one of somebody else."""
        self.round += 1
        self.now = 0.0
        records = self.site._parts.records
        for one in (records.allowed, records.people, records.keepers):
            one._known.clear()
        records.pace._asked.clear()
        records.pace._until.clear()
        self.server.app.state.access.bearers._throttle._failures.clear()
        self.server.browser.cookies.clear()
        self.invenio._faults.clear()
        names = [f"{name}{self.round}" for name in ("olga", "rita", "stefan")]
        self.owner, self.reader, self.stranger = map(self.invenio.add_user, names)
        self.mine = self.record(f"mine{self.round}", **{names[1]: "preview"})
        self.other = self.record(f"other{self.round}", owner="paul")
        self.invenio.requests.clear()

    def record(self, record: str, owner: str = "", **rights: str) -> str:
        """A record with one file."""
        self.invenio.add_record(
            owner or f"olga{self.round}", record=record, rights={"site": "manage", **rights}
        )
        self.invenio.deposit(record, "a.wfn", b"some words")
        return record

    def start(self, record: str) -> int:
        """The number of a new processing of its file."""
        ((begun, _),) = self.site.start("chem", record, "count", force=True).started
        found = self.site.find(f"chem/count/{begun.key}").id
        assert isinstance(found, int)
        self.invenio.requests.clear()
        return found

    def as_(self, bearer: str) -> Any:
        """A client with this token."""
        client = self.server.as_()
        client.headers["Authorization"] = f"Bearer {bearer}"
        return client


@pytest.fixture(scope="module")
def lasting(make_lasting: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with InvenioServer() as invenio:
        yield World(make_lasting, tmp_path_factory.mktemp("chem"), invenio)


@pytest.fixture
def world(lasting: World) -> World:
    lasting.begin()
    return lasting


# ---- who it is
def test_a_token_of_the_repository_is_somebody(world: World) -> None:
    me = world.as_(world.owner).get("/me")
    assert me["how"] == "repository" and me["grants"] == ["operator@chem"]
    assert me["name"].startswith("depositor-") and me["name"].endswith("@portal")
    assert me["name"] == world.as_(world.owner).get("/me")["name"]
    assert me["name"] != world.as_(world.reader).get("/me")["name"]
    assert world.invenio.count("listing") == 2
    world.now = 31
    world.as_(world.owner).get("/me")
    assert world.invenio.count("listing") == 3


def test_garbage_is_nobody_and_is_asked_about_once(world: World) -> None:
    for _ in range(3):
        answer = world.as_("garbage").ask("GET", "/me")
        assert answer.status_code == 401 and "garbage" not in answer.text
    assert world.invenio.count() == 1
    for odd in ("", "two words", "x" * 5000, "twp_of-nobody", "twr_1.1~~0", "twe_e30~~0", '"twp_quoted"'):
        assert world.as_(odd).ask("GET", "/me").status_code == 401
    latin = {"Authorization": "Bearer b\xe9arer".encode("latin-1")}
    assert world.server.browser.get("/api/v1/me", headers=latin).status_code == 401
    assert world.invenio.count() == 1


def test_who_guesses_waits_and_others_do_not(world: World) -> None:
    world.as_(world.owner).get("/me")
    told = [world.as_(f"guess-{n}").ask("GET", "/me").status_code for n in range(8)]
    assert told == [401] * 5 + [429] * 3
    assert world.invenio.count("listing") == 6
    world.now = 31
    assert world.as_(world.owner).ask("GET", "/me").status_code == 200
    assert world.server.as_("viewer").ask("GET", "/me").status_code == 200


@pytest.mark.parametrize("fault", ["broken", "busy", "proxy", "page", "lost", "login", "moved", "gone"])
def test_while_the_repository_cannot_be_asked_nobody_is_let_in(world: World, fault: str) -> None:
    world.invenio.fail("listing", fault, value=7)
    answer = world.as_(world.owner).ask("GET", "/me")
    assert answer.status_code == 503 and answer.json()["error"]["code"] == "later"
    assert int(answer.headers["Retry-After"]) >= 5
    assert world.owner not in answer.text and world.invenio.url not in answer.text
    assert world.as_(world.owner).ask("GET", "/me").status_code == 200


def test_who_may_bring_a_token_is_told_by_the_settings(
    world: World, make_server: Callable[..., Server], tmp_path: Path
) -> None:
    table = world.table
    closed = make_server(SITE.format(file=world.file, table=table, access=""))
    closed_client = closed.as_()
    closed_client.headers["Authorization"] = f"Bearer {world.owner}"
    assert closed_client.ask("GET", "/me").status_code == 401
    assert world.invenio.count("listing") == 0
    with pytest.raises(SiteError, match=r"access\.bearers"):
        make_server('\n[access]\nbearers = ["operator@lab"]\n')
    with pytest.raises(DefinitionError, match="king"):
        make_server('\n[access]\nbearers = ["king"]\n')


def test_of_several_repositories_one_is_to_be_named(
    world: World, make_server: Callable[..., Server], tmp_path: Path
) -> None:
    second = CHEM.format(repository="second").replace('"chem"', '"more"')
    (tmp_path / "more.toml").write_text(second)
    with InvenioServer() as other:
        table = world.table
        more = f'\n[pipelines.more]\nfile = "{tmp_path / "more.toml"}"\n[repositories.second]\n'
        more += PORTAL.format(url=other.url, token=other.add_user("site"))

        def build(access: str) -> Server:
            return make_server(SITE.format(file=world.file, table=table, access=access) + more)

        with pytest.raises(SiteError, match=r"access\.bearers_of: .* portal, second"):
            build(BEARERS)
        server = build('bearers = ["operator"]\nbearers_of = "portal"')
        server.app.include_router(routes, prefix="/api/v1")
        client = server.as_()
        client.headers["Authorization"] = f"Bearer {world.owner}"
        record = other.add_record("olga", record="there", is_published=True)
        assert client.get("/me")["name"].endswith("@portal")
        asker = _asked(server, world.owner)
        assert not asker.may(Permission.RUN, Item("more", "count", "", {"record": record}))
        assert not [seen for seen in other.requests if world.owner in str(seen.headers)]


def _asked(server: Server, bearer: str) -> Asked:
    person = Person("x@portal", server.app.state.access.bearers._grants, bearer=bearer, of="portal")
    return Asked(server.app.state.access, person, "repository")


# ---- what they may
def test_items_are_seen_by_those_who_may_read_the_record(world: World) -> None:
    mine, other = world.start(world.mine), world.start(world.other)
    sample = world.server.sample("a")
    owner, reader, stranger = map(world.as_, (world.owner, world.reader, world.stranger))
    for client, sees in ((owner, [mine]), (reader, [mine]), (stranger, [])):
        assert [one["id"] for one in client.get("/items")["items"]] == sees
        assert client.get("/items/count") == {"count": len(sees), "is_more": False}
        told = {one["item"] for one in client.get("/events?limit=1000")["items"]}
        assert told == set(sees)
        assert sum(one["count"] for one in client.get("/system")["counts"]) == 3 * len(sees)
    hidden, absent = (stranger.ask("GET", f"/items/{number}") for number in (mine, 9876))
    assert hidden.status_code == absent.status_code == 404
    assert hidden.text.replace(str(mine), "N") == absent.text.replace("9876", "N")
    assert stranger.ask("GET", f"/items/find?name=chem/count/{world.mine}-count-1").status_code == 404
    assert stranger.ask("GET", f"/events?item={mine}").status_code == 404
    assert owner.ask("GET", f"/items/{other}").status_code == 404
    assert owner.ask("GET", f"/items/{sample}").status_code == 404
    assert world.as_(world.stranger).ask("GET", f"/workflows/{world.mine}/list").status_code == 404
    assert world.as_(world.stranger).ask("GET", "/workflows/nnnnn-00000/list").status_code == 404


def test_what_changes_needs_the_right_to_write(world: World) -> None:
    mine = world.start(world.mine)
    owner, reader, stranger = map(world.as_, (world.owner, world.reader, world.stranger))
    action = {"action": "hold", "why": "a test"}
    assert reader.get(f"/workflows/{world.mine}/list")["may_start"] is False
    assert owner.get(f"/workflows/{world.mine}/list")["may_start"] is True
    reader.post(f"/items/{mine}/actions", action, expect=403)
    stranger.post(f"/items/{mine}/actions", action, expect=404)
    owner.post(f"/items/{mine}/actions", action)
    assert owner.ask("PUT", f"/items/{mine}/subscription").status_code == 204
    assert reader.ask("PUT", f"/items/{mine}/subscription").status_code == 204


def test_whoever_a_repository_vouches_for_has_no_power_over_a_pipeline(world: World) -> None:
    owner = world.as_(world.owner)
    owner.post("/sources/chem/counts/pause", {"why": "x"}, expect=404)
    owner.post("/items", {"kind": "chem/count", "items": [{"key": "forged"}]}, expect=403)
    assert owner.get("/sources") == []
    assert [one["pipeline"] for one in owner.get("/definitions")] == ["chem"]
    assert owner.ask("GET", "/definitions/lab").status_code == 404
    for path in ("/settings", "/tokens", "/system/sizes"):
        assert owner.ask("GET", path).status_code == 403
    owner.post("/tickets", {"path": "/api/v1/events"}, expect=403)


def test_tokens_of_towpath_are_judged_by_their_roles_and_never_sent_on(world: World) -> None:
    mine = world.start(world.mine)
    secret = world.server.secret("operator")
    operator = world.server.as_("operator")
    assert mine in [one["id"] for one in operator.get("/items?limit=1000")["items"]]
    assert operator.get(f"/workflows/{world.mine}/list")["may_start"] is True
    assert world.server.as_("viewer@lab").ask("GET", f"/items/{mine}").status_code == 404
    assert world.invenio.count() == 0
    world.as_(world.owner).get("/items")
    assert world.invenio.count() > 0
    for seen in world.invenio.requests:
        assert secret not in str(seen.headers) and "twp_" not in str(seen.headers)
        assert seen.headers.get("authorization") in (f"Bearer {world.owner}", f"Bearer {world.account}")


def test_it_is_asked_once_in_half_a_minute_for_each_person_and_record(world: World) -> None:
    mine = world.start(world.mine)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: world.as_(world.owner).get(f"/items/{mine}"), range(24)))
    assert (world.invenio.count("draft"), world.invenio.count("listing")) == (1, 1)
    world.as_(world.reader).get(f"/items/{mine}")
    assert world.invenio.count("draft") == 2
    world.now = 29.9
    world.as_(world.owner).get(f"/items/{mine}")
    assert world.invenio.count("draft") == 2
    for _ in range(3):
        assert world.as_(world.stranger).ask("GET", f"/items/{mine}").status_code == 404
    assert world.invenio.count("draft") == 3


def test_what_was_revoked_ends_with_what_was_asked_before(world: World) -> None:
    mine = world.start(world.mine)
    reader = world.as_(world.reader)
    reader.get(f"/items/{mine}")
    del world.invenio.records[world.mine].rights[f"rita{world.round}"]
    reader.get(f"/items/{mine}")
    world.now = 30.0
    assert reader.ask("GET", f"/items/{mine}").status_code == 404
    assert reader.get("/items")["items"] == []
    del world.invenio.users[world.owner]
    world.now = 61.0
    assert world.as_(world.owner).ask("GET", f"/items/{mine}").status_code == 401


def test_while_it_cannot_be_asked_an_item_is_there_later_and_in_no_list(world: World) -> None:
    mine = world.start(world.mine)
    second = world.start(world.record(f"more{world.round}"))
    owner = world.as_(world.owner)
    owner.get(f"/items/{mine}")
    world.invenio.fail("draft", "broken", times=100)
    answer = owner.ask("GET", f"/items/{second}")
    assert answer.status_code == 503 and answer.headers["Retry-After"].isdigit()
    assert "draft" not in answer.text and world.invenio.url not in answer.text
    assert [one["id"] for one in owner.get("/items")["items"]] == [mine], "what is known still holds"
    assert world.invenio.count("draft") == 2, "it is not asked again at once"
    seen = seer(_asked(world.server, world.owner))
    assert getattr(seen, "waits", False) is True
    with world.site.catalog.read() as view:
        events = [event for event in view.events(0, limit=1000) if event.item == second]
    with pytest.raises(Exception, match="cannot be asked now"):
        seen(events[0])
    assert not seer(_asked(world.server, world.owner), is_whole=False)(events[0])
    world.invenio._faults.clear()
    world.now = 10.0
    owner.get(f"/items/{second}")


def test_one_person_has_not_very_many_records_asked_about(world: World) -> None:
    pace = world.site._parts.records.pace
    for _ in range(500):
        assert pace.ask("one", lambda: True)
    with pytest.raises(Transient) as caught:
        pace.ask("one", lambda: True)
    assert caught.value.after == 30.0
    assert pace.ask("another", lambda: True)
    world.now = 30.0
    assert pace.ask("one", lambda: True)


# ---- nobody
def test_workflows_are_shown_to_nobody_unknown(world: World) -> None:
    mine = world.start(world.mine)
    nobody = world.server.as_()
    paths = ("/definitions", "/definitions/chem", "/settings", "/sources", "/items", f"/items/{mine}")
    for path in (*paths, "/system", "/metrics", f"/workflows/{world.mine}/list"):
        answer = nobody.ask("GET", path)
        assert answer.status_code in (401, 404) and "wfn" not in answer.text and "Word" not in answer.text
        assert path.startswith("/workflows") or answer.status_code == 401, path
    nobody.post("/definitions/reload", expect=401)
    for path in ("/configuration", "/sources", "/items", "/inventory"):
        assert world.server.browser.get(path).status_code == 303
    told = world.server.browser.get("/api/v1/openapi.json").text
    assert "wfn" not in told and "Word counts" not in told and world.invenio.url not in told


@pytest.mark.parametrize("grant", ["viewer@lab", "viewer@chem"])
def test_nor_where_everybody_is_a_viewer(
    world: World, make_server: Callable[..., Server], tmp_path: Path, grant: str
) -> None:
    table = world.table
    access = f'{BEARERS}\nanonymous = ["{grant}"]'
    server = make_server(SITE.format(file=world.file, table=table, access=access))
    nobody, is_there = server.as_(), grant.endswith("chem")
    begun = server.site.start("chem", world.mine, "count").started[0][0]
    mine = server.site.find(f"chem/count/{begun.key}").id
    assert "chem" not in [one["pipeline"] for one in nobody.get("/definitions")]
    assert nobody.ask("GET", "/definitions/chem").status_code == 404
    assert "chem" not in {one["pipeline"] for one in nobody.get("/sources")}
    for path in ("/settings", "/configuration"):
        assert nobody.ask("GET", path).status_code in (401, 404)
    assert "wfn" not in server.browser.get("/sources").text
    pages = [server.browser.get(path).text for path in ("/", "/items")]
    assert (">chem<" in pages[0]) is is_there
    assert not any(word in page for word in ("retrieve", ">count<") for page in pages)
    assert nobody.ask("GET", f"/items/{mine}").status_code == 404, "it is no public record"
    assert nobody.get("/items")["items"] == []
    world.invenio.publish(world.mine)
    server.site._parts.records.allowed.now = lambda: 1e9
    assert nobody.ask("GET", f"/items/{mine}").status_code == (200 if is_there else 404)


# ---- a folder knows names
def test_a_folder_is_asked_by_name(make_server: Callable[..., Server], tmp_path: Path) -> None:
    (tmp_path / "chem.toml").write_text(CHEM.format(repository="portal"))
    table = 'root = "records"\nsettle = 0.0'
    server = make_server(SITE.format(file=tmp_path / "chem.toml", table=table, access=""))
    for record, people in (("r1", '["olga"]'), ("r2", '["paul", "olga"]'), ("r3", "")):
        folder = server.folder / "records" / record
        folder.mkdir(parents=True)
        (folder / "a.wfn").write_text("words")
        if people:
            (folder / ".record.toml").write_text(f"people = {people}\n")
    numbers = {}
    for record in ("r1", "r2", "r3"):
        begun = server.site.start("chem", record, "count").started[0][0]
        numbers[record] = server.site.find(f"chem/count/{begun.key}").id
    for name, sees in (("olga", "r1 r2 r3"), ("paul", "r2 r3"), ("admin", "r3")):
        client = server.as_()
        made = server.site.make_token(name, ["operator@chem"])
        client.headers["Authorization"] = f"Bearer {made.secret}"
        wanted = [numbers[record] for record in sees.split()]
        assert [one["id"] for one in client.get("/items")["items"]] == wanted
        for record, number in numbers.items():
            status = client.ask("GET", f"/items/{number}").status_code
            assert status == (200 if record in sees else 404)
    assert server.as_().ask("GET", f"/items/{numbers['r3']}").status_code == 401
    asker = Asked(
        server.app.state.access, Person("paul", panel=Panel("chem", "r1", frozenset(Permission))), "panel"
    )
    assert not asker.may(Permission.VIEW, about("r1")), "a panel's record is asked by name too"


# ---- nothing is told of the token
def test_a_token_of_the_repository_is_written_down_nowhere(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    mine = world.start(world.mine)
    owner = world.as_(world.owner)
    told = [
        owner.ask("GET", path).text for path in ("/me", "/items", f"/items/{mine}", "/events", "/nowhere")
    ]
    told.append(owner.ask("POST", f"/items/{mine}/actions", json={"action": "hold", "why": "x"}).text)
    told.append(owner.ask("POST", f"/items/{mine}/actions", json={"action": "no such"}).text)
    person = Person("x@portal", bearer=world.owner, of="portal")
    asker = Asked(world.server.app.state.access, person, "repository")
    told += [repr(person), str(person), repr(asker), repr(asker.caller), repr(world.invenio.requests)]
    told += [caplog.text, *(str(record.__dict__) for record in caplog.records)]
    files = [one for one in world.server.folder.rglob("*") if one.is_file()]
    assert files and not [one for one in files if world.owner.encode() in one.read_bytes()]
    assert not [text for text in told if world.owner in text]
    with world.site.catalog.read() as view:
        events = view.events(0, limit=1000)
    assert world.owner not in repr(events)
    assert any("depositor-" in repr(event.data) for event in events), "its name is told"


# ---- panels
def test_a_panel_has_what_its_record_allows_and_nothing_else(world: World) -> None:
    mine, other = world.start(world.mine), world.start(world.other)
    made = world.as_(world.owner).ask("POST", f"/workflows/{world.mine}/embed").json()
    assert made["token"].startswith("twe_") and made["expires_in"] == 600
    assert world.owner not in made["token"]
    panel = world.as_(made["token"])
    asked = world.invenio.count()
    assert panel.get("/me")["name"] == world.as_(world.owner).get("/me")["name"]
    assert panel.get(f"/items/{mine}")["id"] == mine
    assert panel.get(f"/workflows/{world.mine}/list")["may_start"] is True
    assert panel.ask("GET", f"/items/{other}").status_code == 404
    assert panel.ask("GET", f"/workflows/{world.other}/list").status_code == 404
    assert {one["item"] for one in panel.get("/events?limit=1000")["items"]} == {mine}
    panel.post(f"/items/{mine}/actions", {"action": "hold", "why": "x"})
    panel.post(f"/items/{other}/actions", {"action": "hold", "why": "x"}, expect=404)
    panel.post(f"/items/{mine}/flags", {"value": "x"}, expect=403)
    for path in ("/items", "/items/count", "/system", "/definitions", "/sources", "/tokens", "/notices"):
        assert panel.ask("GET", path).status_code == 403, path
    assert panel.ask("POST", f"/workflows/{world.mine}/embed").status_code == 403
    assert world.server.browser.get("/items", headers=panel.headers).status_code == 403
    assert world.invenio.count() == asked, "it has no bearer that could be asked with"


def test_a_reader_s_panel_changes_nothing_and_a_stranger_has_none(world: World) -> None:
    mine = world.start(world.mine)
    made = world.as_(world.reader).ask("POST", f"/workflows/{world.mine}/embed").json()
    panel = world.as_(made["token"])
    assert panel.get(f"/workflows/{world.mine}/list")["may_start"] is False
    panel.post(f"/items/{mine}/actions", {"action": "hold", "why": "x"}, expect=403)
    stranger, nobody = world.as_(world.stranger), world.server.as_()
    assert stranger.ask("POST", f"/workflows/{world.mine}/embed").status_code == 404
    assert nobody.ask("POST", f"/workflows/{world.mine}/embed").status_code == 401


def test_a_panel_s_token_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = world.start(world.mine)
    token = world.as_(world.owner).ask("POST", f"/workflows/{world.mine}/embed").json()["token"]
    made = world.site.make_token("ada", ["operator"])
    ada = world.as_(made.secret).ask("POST", f"/workflows/{world.mine}/embed").json()["token"]
    for one in (token, ada):
        assert world.as_(one).ask("GET", f"/items/{mine}").status_code == 200
    world.site.revoke_token(made.row.id)
    assert world.as_(ada).ask("GET", f"/items/{mine}").status_code == 401
    text, _, rest = token.partition("~")
    for forged in (f"{text}x~{rest}", f"{text}~9999999999~{rest.partition('~')[2]}", "twe_", f"{token}0"):
        assert world.as_(forged).ask("GET", f"/items/{mine}").status_code == 401
    later = clock.now() + 601
    monkeypatch.setattr(clock, "now", lambda: later)
    assert world.as_(token).ask("GET", f"/items/{mine}").status_code == 401
    assert world.invenio.count("listing") == 1, "neither was taken for a token of the repository"


def test_a_stream_goes_with_a_panel_s_token(world: World) -> None:
    mine, other = world.start(world.mine), world.start(world.other)
    token = world.as_(world.owner).ask("POST", f"/workflows/{world.mine}/embed").json()["token"]
    asker = Asked(
        world.server.app.state.access,
        Person("x", panel=Panel("chem", world.mine, frozenset({Permission.VIEW}))),
        "panel",
    )
    visible = seer(asker)
    with world.site.catalog.read() as view:
        events = view.events(0, limit=1000)
    assert {event.item for event in events} >= {mine, other}
    assert {event.item for event in events if visible(event)} == {mine}
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream", "Origin": ORIGIN}
    answer = _first_bytes(world.server, f"/api/v1/events?item={mine}&after=0", headers)
    assert answer["status"] == 200 and b"event: registered" in answer["body"]
    assert answer["headers"][b"access-control-allow-origin"] == ORIGIN.encode()


def test_a_stream_ends_rather_than_leave_out_what_nobody_can_judge(world: World) -> None:
    world.start(world.mine)
    headers = {"Authorization": f"Bearer {world.owner}", "Accept": "text/event-stream"}
    world.invenio.fail("draft", "broken", times=100)
    told = _first_bytes(world.server, "/api/v1/events?after=0&pipeline=chem", headers)
    assert told["status"] == 200 and b"event: " not in told["body"] and told["is_over"]
    world.invenio._faults.clear()
    world.now = 10.0
    told = _first_bytes(world.server, "/api/v1/events?after=0&pipeline=chem", headers)
    assert b"event: registered" in told["body"], "who comes again has missed nothing"


def _first_bytes(server: Server, path: str, headers: dict[str, str]) -> dict[str, Any]:
    """What a stream tells first: a client that goes away when it has read an event."""
    told: dict[str, Any] = {"body": b""}

    async def ask() -> None:
        gone = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if "asked" not in told:
                told["asked"] = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                told["status"], told["headers"] = message["status"], dict(message["headers"])
            told["body"] += message.get("body", b"")
            told["is_over"] = message["type"] == "http.response.body" and not message.get("more_body")
            if b"event: " in told["body"] or told["status"] != 200:
                gone.set()

        route, _, query = path.partition("?")
        sent = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
            "path": route, "raw_path": route.encode(), "query_string": query.encode(), "headers": sent,
            "client": ("127.0.0.1", 1), "server": ("testserver", 80), "root_path": "",
        }  # fmt: skip
        await asyncio.wait_for(server.app(scope, receive, send), 10)

    server.browser.portal.call(ask)
    return told


# ---- pages of others
def test_scripts_of_the_repository_s_pages_are_let_in(world: World) -> None:
    browser, bearer = world.server.browser, {"Authorization": f"Bearer {world.owner}"}
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    answer = browser.options(f"/api/v1/workflows/{world.mine}/start", headers=asked)
    assert answer.status_code == 204 and answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
    assert "POST" in answer.headers["Access-Control-Allow-Methods"] and "origin" in answer.headers["Vary"]
    assert "Access-Control-Allow-Credentials" not in answer.headers
    for path, status in (("/api/v1/me", 200), ("/api/v1/items/99", 404)):
        answer = browser.get(path, headers={**bearer, "Origin": ORIGIN})
        assert answer.status_code == status and answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert answer.headers["Vary"] == "Origin" and "Access-Control-Allow-Credentials" not in answer.headers
    assert (
        "Access-Control-Allow-Origin" in browser.get("/static/towpath.js", headers={"Origin": ORIGIN}).headers
    )
    for path, origin in (("/api/v1/me", "https://evil.example"), ("/api/v1/me", "null"), ("/login", ORIGIN)):
        answer = browser.get(path, headers={**bearer, "Origin": origin})
        assert "Access-Control-Allow-Origin" not in answer.headers
    answer = browser.options("/api/v1/me", headers={**asked, "Origin": "https://evil.example"})
    assert answer.status_code == 405 and "Access-Control-Allow-Origin" not in answer.headers


def test_a_login_of_the_same_browser_is_not_theirs_to_use(world: World) -> None:
    browser = world.server.browser
    browser.post("/login", data={"token": world.server.secret("admin")})
    assert browser.get("/api/v1/me").json()["how"] == "login"
    assert browser.get("/api/v1/me", headers={"Origin": ORIGIN}).json()["how"] == "nobody"
    ours = {"Origin": ORIGIN, "Host": "repository.example"}
    assert browser.get("/api/v1/me", headers=ours).json()["how"] == "login", "a page of ours at that address"


def test_only_frames_stand_in_pages_of_others(
    world: World, monkeypatch: pytest.MonkeyPatch, make_server: Callable[..., Server]
) -> None:
    loader = ChoiceLoader(
        [DictLoader({"frame.html": "<p>{{ title }}</p>"}), page.environment.loader or DictLoader({})]
    )
    monkeypatch.setattr(page.environment, "loader", loader)
    shown = page.router()

    @shown.get("/framed")
    def framed_page(request: Request) -> Any:
        return page.render(request, None, page.FRAME, title="Processing")

    viewer = {"Authorization": f"Bearer {world.server.secret('viewer')}"}
    closed = make_server("")
    for server, ancestors in ((world.server, f"'self' {ORIGIN}"), (closed, "'self'")):
        server.app.include_router(shown)
        policy = server.browser.get("/framed").headers.get_list("Content-Security-Policy")
        assert len(policy) == 1 and policy[0].endswith(f"frame-ancestors {ancestors}")
        assert "script-src 'self'" in policy[0]
    for path in ("/login", "/items", "/pipelines/lab/board", "/api/v1/me"):
        policy = world.server.browser.get(path, headers=viewer).headers["Content-Security-Policy"]
        assert policy.endswith("frame-ancestors 'self'")
    assert (
        "Access-Control-Allow-Origin"
        not in closed.browser.get("/api/v1/me", headers={"Origin": ORIGIN}).headers
    )
    assert framed([]).endswith("frame-ancestors 'self'")


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "https://*.example",
        "http://repository.example",
        "https://a.example/",
        "https://a; script-src *",
    ],
)
def test_what_is_no_origin_is_refused(make_server: Callable[..., Server], origin: str) -> None:
    with pytest.raises(DefinitionError, match="embed_in"):
        make_server(f'\n[server]\nembed_in = ["{origin}"]\n')
