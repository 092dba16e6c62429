"""The pages of orders, calibrations, publications, sources, inventory, configuration, events, people, notices, as HTML."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from towpath.api.pages import events, orders, publications, timeline
from towpath.api.pages.sources import submission, table
from towpath.base import clock
from towpath.base.errors import UsageError
from towpath.contracts.people import NoticeRow

Server = Any

PAGES = {
    "/orders": "viewer",
    "/orders/1": "viewer",
    "/calibrations": "viewer",
    "/publications": "viewer",
    "/sources": "viewer",
    "/inventory": "viewer",
    "/inventory/sizes": "admin",
    "/configuration": "admin",
    "/configuration?pipeline=lab": "admin",
    "/events": "viewer",
    "/people": "admin",
    "/notices": "viewer",
}
FORMS = {
    "/orders/1/claim": "operator",
    "/orders/1/return": "operator",
    "/orders/1/assign": "scientist",
    "/orders/1/approve": "scientist",
    "/orders/1/reject": "scientist",
    "/orders/1/take": "scientist",
    "/orders/1/check": "operator",
    "/calibrations": "scientist",
    "/calibrations/1/decertify": "scientist",
    "/publications/items/1": "publisher",
    "/sources/lab/asked/pause": "operator",
    "/sources/lab/asked/resume": "operator",
    "/sources/lab/asked/submit": "operator",
    "/inventory/check": "operator",
    "/configuration/reload": "admin",
    "/people": "admin",
    "/people/1/revoke": "admin",
    "/notices/read": "viewer",
}


class Browser:
    """Somebody who is signed in (or nobody, without grants), without scripts."""

    def __init__(self, server: Server, *grants: str) -> None:
        self.server = server
        self.cookies: dict[str, str] = {}
        if grants:
            self.cookies |= self.ask("POST", "/login", {"token": server.secret(*grants)}).cookies

    def ask(self, method: str, path: str, data: Any = None, **cookies: str) -> Any:
        """One request with the cookies of this browser."""
        self.server.browser.cookies.clear()
        sent = "; ".join(f"{name}={value}" for name, value in {**self.cookies, **cookies}.items())
        return self.server.browser.request(method, path, data=data, headers={"Cookie": sent} if sent else {})

    def get(self, path: str, expect: int = 200, **cookies: str) -> str:
        """A page."""
        answer = self.ask("GET", path, **cookies)
        assert answer.status_code == expect, answer.text
        return str(answer.text)

    def csrf(self) -> str:
        """What forms of this login send back."""
        found = re.search(r'name="csrf" content="([^"]+)"', self.get("/notices"))
        assert found is not None
        return found[1]

    def post(self, path: str, expect: int = 303, *, csrf: bool = True, **fields: Any) -> Any:
        """The answer to a form."""
        answer = self.ask("POST", path, {**({"csrf": self.csrf()} if csrf else {}), **fields})
        assert answer.status_code == expect, answer.text
        return answer

    def said(self, path: str, **fields: Any) -> str:
        """What the next page says of what was asked for."""
        answer = self.post(path, **fields)
        page = self.get(answer.headers["Location"], **dict(answer.cookies))
        found = re.search(r'<p class="said[^>]*>(.*?)</p>', page, re.DOTALL)
        assert found is not None, page
        return found[1]


@pytest.fixture
def site(server: Server) -> Server:
    """A site where a sample waits at its gate, and another one has failed."""
    server.sample("a", weight=3.5)
    server.sample("b", trouble="fails")
    server.run()
    return server


# ---- who
def test_a_page_is_for_those_who_may_see_it(site: Server) -> None:
    viewer, nobody = Browser(site, "viewer"), Browser(site)
    for path, needed in PAGES.items():
        answer = nobody.ask("GET", path)
        assert (answer.status_code, answer.headers["Location"][:12]) == (303, "/login?next="), path
        assert Browser(site, needed).get(path)
        if needed != "viewer":
            assert "may not" in viewer.get(path, expect=403), path


def test_a_form_is_taken_only_from_its_own_page_and_from_whom_it_is_for(site: Server) -> None:
    viewer = Browser(site, "viewer")
    fields = {
        "why": "because",
        "who": "x",
        "kind": "k",
        "begin": "2026-01-01",
        "end": "2026-01-02",
        "product": "1",
    }
    for path, needed in FORMS.items():
        foreign = Browser(site, needed).post(path, expect=403, csrf=False)
        assert "is not that of this login" in foreign.text, path
        if needed != "viewer":
            refused = viewer.ask("POST", path, {"csrf": viewer.csrf(), **fields})
            if refused.status_code == 303:  # told on the next page
                assert "may not" in unquote(refused.headers["set-cookie"]), path
            else:
                assert refused.status_code in (403, 404), path
    with site.site.catalog.read() as view:
        told = {event.type for event in view.events(0, limit=1000)}
    assert not told & {"certified", "decertified", "source"}
    assert site.site.order(1).row.state.value == "open"


def test_what_may_not_be_done_is_not_offered(site: Server) -> None:
    viewer, scientist = Browser(site, "viewer"), Browser(site, "scientist")
    assert ">Approve<" not in viewer.get("/orders/1") and ">Approve<" in scientist.get("/orders/1")
    assert "Submit sample" not in viewer.get("/sources") and "Submit sample" in scientist.get("/sources")
    assert "Check a root" not in viewer.get("/inventory")
    assert 'href="/people"' not in viewer.get("/orders") and 'href="/people"' in Browser(site, "admin").get(
        "/orders"
    )


# ---- orders
def test_a_gate_is_decided_once(site: Server) -> None:
    one = Browser(site, "scientist")
    assert "Does a go out?" in one.get("/orders")
    assert one.said("/orders/1/reject") == "Say why."
    assert one.said("/orders/1/approve", why="fine") == "Approved: the item goes on."
    assert "nothing is to be decided" in one.said("/orders/1/approve")
    assert "Does a go out?" not in one.get("/orders")
    assert "Does a go out?" in one.get("/orders?over=true")
    assert "scientist" in one.get("/orders/1") and ">Approve<" not in one.get("/orders/1")


def test_the_queue_is_paged_and_what_is_due_first_comes_first(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in "abcde":
        server.sample(key)
    server.run()
    with server.site.catalog.read() as view:
        rows = view.orders(limit=10)
    due = {row.id: due for row, due in zip(rows, (None, 3e9, 2e9, None, 1e9), strict=True)}
    monkeypatch.setattr(orders, "_PAGE", 2)
    standing = orders._standing
    monkeypatch.setattr(
        orders,
        "_standing",
        lambda view, kind: orders._by_due([replace(row, due=due[row.id]) for row in standing(view, kind)]),
    )
    one = Browser(server, "viewer")
    found: list[str] = []
    path = "/orders"
    while path:
        page = one.get(path)
        found += re.findall(r'data-main href="/orders/(\d+)"', page)
        following = re.search(r'href="(/orders\?skip=\d+)" rel="next"', page)
        path = following[1] if following else ""
    assert found == ["5", "3", "2", "1", "4"]
    assert "overdue" in one.get("/orders")


def test_an_order_that_is_not_there_is_not_found(site: Server) -> None:
    one = Browser(site, "scientist")
    one.get("/orders/99", expect=404)
    assert one.post("/orders/99/approve", expect=404)


# ---- names from outside
HOSTILE = (
    "<script>alert(1)</script>", "quote\" onload='x'", "line\nfeed", "../../etc", "\u202edesrever", "é" * 120, "{{ 7 * 7 }}",
)  # fmt: skip


def test_hostile_names_are_only_text(server: Server) -> None:
    for key in HOSTILE:
        server.sample(key, weight=1.0)
    server.run()
    one = Browser(server, "admin")
    orders = [f"/orders/{number + 1}" for number in range(len(HOSTILE))]
    for path in ("/orders", *orders, "/events", "/publications", "/sources", "/inventory", "/notices"):
        page = one.get(path)
        assert (
            "<script>alert" not in page
            and "onload='x'" not in page
            and "49" not in re.findall(r"Does (49)", page)
        )
    assert one.said("/sources/lab/asked/submit", key="<i>", attributes="a=<b>").startswith(
        "lab/sample/&lt;i&gt; is registered, as item "
    )


# ---- publications, events: newest first, page by page
def test_the_journal_is_paged_newest_first(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in "abcde":
        server.sample(key)
    server.run()
    for key in "abcde":
        server.site.approve(key)
    server.run()
    monkeypatch.setattr(publications, "_PAGE", 2)
    one = Browser(server, "viewer")
    first = one.get("/publications")
    numbers = re.findall(r'<td class="number">(\d+)</td>', first)
    following = re.search(r'href="(/publications\?after=\d+)" rel="next"', first)
    assert following is not None
    numbers += re.findall(r'<td class="number">(\d+)</td>', one.get(following[1]))
    assert numbers == ["5", "4", "3", "2"]
    assert "No" not in re.findall(r"Nothing is published", one.get("/publications?state=released"))
    one.get("/publications?state=gone", expect=422)


def test_documents_of_a_publication_and_nothing_else_are_sent(server: Server) -> None:
    server.sample("a")
    server.run()
    server.site.approve("a")
    server.run()
    one = Browser(server, "viewer")
    assert '"files"' in one.get("/publications/1/documents/MANIFEST.json")
    for name in ("weight.json", "..%2F..%2Ftowpath.toml", "MANIFEST.json%00"):
        one.get(f"/publications/1/documents/{name}", expect=404)
    one.get("/publications/2/documents/MANIFEST.json", expect=404)


def test_a_publication_that_failed_is_tried_again(site: Server) -> None:
    site.site.approve("a")
    target = site.folder / "archive" / "lab" / "sample" / "a"
    target.mkdir(parents=True)
    (target / "other").write_text("in the way")
    site.run()
    one = Browser(site, "publisher")
    assert "Try again" in one.get("/publications") and "conflict" in one.get("/publications?state=conflict")
    (target / "other").unlink()
    target.rmdir()
    assert "1 publication of lab/sample/a go on" in one.said("/publications/items/1", retry="true")
    site.run()
    assert "released" in one.get("/publications?state=released")


def test_events_are_read_backwards(site: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_PAGE", 3)
    monkeypatch.setattr(events, "_WINDOW", 4)
    one = Browser(site, "viewer")
    found: list[int] = []
    path = "/events"
    while path:
        page = one.get(path)
        found += [int(number) for number in re.findall(r'id="event-(\d+)"', page)]
        following = re.search(r'href="(/events\?before=\d+)" rel="next"', page)
        path = following[1] if following else ""
    with site.site.catalog.read() as view:
        assert found == [event.seq for event in reversed(view.events(0, limit=1000)) if event.seq <= found[0]]
    failed = one.get("/events?type=failed")
    assert "the scale is broken: ünïcode &lt;b&gt;and markup&lt;/b&gt;" in failed


def test_events_of_another_pipeline_are_not_told(site: Server) -> None:
    assert Browser(site, "viewer@lab").get("/events?type=failed").count("<tr data-row") == 1
    made = site.site.make_token("stranger", ["viewer@lab"])
    assert made.secret not in Browser(site, "admin").get("/events")


# ---- sources
def test_a_form_says_what_an_item_is() -> None:
    one = submission(" m31 ", '{"target": "M31"}', "2026-01-01T00:00:00Z / 2026-01-02", "-1,2,3,4")
    assert (one.key, one.attributes, one.footprint) == ("m31", {"target": "M31"}, [-1.0, 2.0, 3.0, 4.0])
    assert one.time == ["2026-01-01T00:00:00Z", "2026-01-02"]
    assert table("a=1\n\nb = x=y\nc=[1, 2]") == {"a": 1, "b": "x=y", "c": [1, 2]}


@pytest.mark.parametrize(
    ("attributes", "footprint"),
    [("{", ""), ("name", ""), ("=1", ""), ("[1]", ""), ("", "1,2"), ("", "a,b,c,d")],
)
def test_a_form_that_says_something_else_is_refused(attributes: str, footprint: str) -> None:
    with pytest.raises(UsageError, match="expected"):
        submission("k", attributes, "", footprint)


# ---- calibrations
def test_calibrations_are_drawn_over_time(site: Server) -> None:
    product = next(one for one in site.site.show("a").products if one.output == "weight")
    one = Browser(site, "scientist")
    fields = {
        "product": str(product.id),
        "kind": "scale",
        "selector": "left",
        "begin": "2026-01-01T00:00:00Z",
    }
    assert "expected begin &lt; end" in one.said("/calibrations", **fields, end="2025-01-01T00:00:00Z")
    assert "calibration 1 now" in one.said("/calibrations", **fields, end="2026-02-01T00:00:00Z")
    site.site.place(product).unlink()
    page = one.get("/calibrations")
    assert "its bytes are missing" in page and 'id="calibration-1"' in page
    assert one.said("/calibrations/1/decertify") == "Say why."
    assert "is withdrawn" in one.said("/calibrations/1/decertify", why="bent")
    assert "There is no calibration like this" in one.get("/calibrations")
    one.get("/calibrations?state=gone", expect=422)


def moment(text: str) -> float:
    return clock.seconds(text)


def test_bars_of_a_lane_that_overlap_stand_below_one_another() -> None:
    one = timeline.Interval("gains a", moment("2026-01-01"), moment("2026-01-11"), "certified", 1, "")
    two = timeline.Interval("gains a", moment("2026-01-05"), 4e18, "certified", 2, "")
    three = timeline.Interval("gains a", moment("2026-01-11"), moment("2026-01-12"), "certified", 3, "")
    other = timeline.Interval("bandpass", -4e18, moment("2026-01-03"), "superseded", 4, "")
    drawn = timeline.draw([one, two, three, other], moment("2026-01-10"))
    assert drawn is not None
    bars = {bar.interval.number: bar for bar in drawn.bars}
    assert bars[1].y == bars[3].y < bars[2].y
    assert [name for name, _ in drawn.lanes] == ["bandpass", "gains a"]
    assert bars[1].x + bars[1].width == pytest.approx(bars[3].x)
    assert bars[4].x == timeline.NAMES and bars[2].x + bars[2].width == pytest.approx(timeline.WIDTH)
    assert (bars[1].is_open, bars[2].is_open) == (False, True)
    assert drawn.now == pytest.approx(bars[1].x + bars[1].width * 0.9)
    assert timeline.draw([], 0.0) is None


@pytest.mark.parametrize(
    ("begin", "end", "first"),
    [
        ("2026-01-01T00:00:00", "2026-01-01T00:10:00", "1 Jan 00:00"),
        ("2026-01-01", "2026-01-09", "1 Jan 2026"),
        ("2020-01-01", "2026-01-01", "2020"),
        ("1990-01-01", "2026-01-01", "1990"),
        ("2025-03-02", "2026-01-01", "May 2025"),
    ],
)  # fmt: skip
def test_ticks_are_round_and_few(begin: str, end: str, first: str) -> None:
    one = timeline.Interval("a", moment(begin), moment(end), "certified", 1, "")
    drawn = timeline.draw([one], 0.0)
    assert drawn is not None
    assert first in [text for _, text in drawn.ticks]
    assert 3 <= len(drawn.ticks) <= 12


# ---- inventory, configuration, people, notices
def test_a_check_tells_what_is_missing_and_changes_nothing(site: Server) -> None:
    product = next(one for one in site.site.show("a").products if one.output == "weight")
    site.site.place(product).unlink()
    page = Browser(site, "operator").post("/inventory/check", expect=200, root="store").text
    assert "1 missing" in page and "lab/sample/a" in page
    assert site.site.product(product.id).state.value == "current"
    assert "no root" in Browser(site, "operator").post("/inventory/check", expect=404, root="elsewhere").text


def test_settings_are_shown_without_secrets(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    make = request.getfixturevalue("server").__class__
    more = '\n[outbox.hook]\nkind = "webhook"\nurl = "https://user:hunter2@example.org/x"\n'
    server = make(tmp_path / "other", more)
    page = Browser(server, "admin").get("/configuration")
    server.close()
    assert "outbox.hook.url" in page and "hunter2" not in page and "towpath.toml:" in page


def test_a_bad_pipeline_file_keeps_the_old_one(site: Server) -> None:
    one = Browser(site, "admin")
    assert one.said("/configuration/reload") == "No pipeline file has changed."
    assert "weigh" in one.get("/configuration?pipeline=lab&match=weigh")


def test_a_token_without_a_role_is_not_made(site: Server) -> None:
    one = Browser(site, "admin")
    assert "choose at least one role" in one.post("/people", expect=422, name="x").text
    assert (
        "found the pipeline" in one.post("/people", expect=422, name="x", role="viewer", pipeline="gone").text
    )
    made = one.post(
        "/people", expect=200, name="x", role=["viewer", "operator"], pipeline="lab", days="1"
    ).text
    secret = re.search(r'value="(twp_[^"]+)"', made)
    assert secret is not None
    row = next(row for row in site.site.tokens() if row.name == "x")
    assert row.grants == ("viewer@lab", "operator@lab")
    assert row.expires is not None and row.expires - row.created == pytest.approx(86400, abs=1)


def test_notices_are_read(site: Server) -> None:
    row = NoticeRow(0, "viewer", 0, 1, "lab/sample/a is held", "at its gate")
    site.site.catalog.write(lambda tx: tx.add_notice(row))
    site.site.by("viewer").subscribe("a")
    one = Browser(site, "viewer")
    page = one.get("/notices")
    assert (
        "lab/sample/a is held" in page
        and "1 unread notice" in page
        and "No longer follow lab/sample/a" in page
    )
    one.post("/notices/read", number="1")
    assert "0 unread notices" in one.get("/notices")
    assert "is held" not in one.get("/notices?unread=true")
    assert "no longer told" in one.said("/notices/unfollow", item="1")
