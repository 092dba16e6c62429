"""InvenioRDM against an instance of ours: every fault, what may be told to whom, and what must not go anywhere."""

import logging
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from towpath.adapters.repositories import asking, invenio
from towpath.adapters.repositories.invenio import InvenioRepository, make
from towpath.base.errors import (
    DefinitionError,
    IntegrityError,
    NotFoundError,
    SiteError,
    StateError,
    StorageError,
    TowpathError,
    Transient,
)
from towpath.contracts.repository import Access, Caller, Capability
from towpath.testing.invenio import InvenioServer

MADE = "metadata-abc12-1"
BOTH = frozenset(Access)
READ = frozenset({Access.READ})
DAY = 86_400.0


class Lab:
    """An instance with a record of Alice's that the site's account may manage."""

    def __init__(self, folder: Path, server: InvenioServer) -> None:
        self.server, self.folder = server, folder
        self.made: list[InvenioRepository] = []
        self.site = server.add_user("site")
        self.alice = Caller("alice", server.add_user("alice"))
        self.mallory = Caller("mallory", server.add_user("mallory"))
        self.record = server.add_record("alice", "Water", "abcde-12345", rights={"site": "manage"})
        server.deposit(self.record, "a.out", b"0123456789")
        self.repository = self.make()
        server.requests.clear()

    def make(self, **settings: Any) -> InvenioRepository:
        settings = {"token": lambda: self.site, "timeout": 5.0} | settings
        self.made.append(InvenioRepository(self.server.url, path=self.server.path, **settings))
        return self.made[-1]

    def close(self) -> None:
        for repository in self.made:
            repository.close()

    def write(self, content: bytes = b"{}", key: str = "a.json", by: Capability | None = None) -> Any:
        source = self.folder / "source"
        source.write_bytes(content)
        return self.repository.write(self.record, key, source, made_by=MADE, by=by)

    def read(self, by: Capability | None = None) -> bytes:
        self.repository.read(self.record, "a.out", self.folder / "t", lambda _: None, by=by)
        return (self.folder / "t").read_bytes()

    def leftovers(self) -> list[str]:
        return [path.name for path in self.folder.iterdir() if path.name != "source"]


@pytest.fixture(scope="module")
def server() -> Iterator[InvenioServer]:
    with InvenioServer() as server:
        yield server


@pytest.fixture
def lab(tmp_path: Path, server: InvenioServer) -> Iterator[Lab]:
    server.records.clear()
    server.forget()
    lab = Lab(tmp_path, server)
    yield lab
    lab.close()


ASKS: dict[str, tuple[str, Callable[[Lab], object]]] = {
    "listing": ("listing", lambda lab: list(lab.repository.records())),
    "draft": ("draft", lambda lab: lab.repository.record(lab.record)),
    "draft-files": ("draft-files", lambda lab: lab.repository.files(lab.record)),
    "draft-file": ("draft-file", lambda lab: lab.read()),
    "draft-content": ("draft-content", lambda lab: lab.read()),
    "store": ("store", lambda lab: lab.read()),
    "init": ("init", lambda lab: lab.write()),
    "put": ("put", lambda lab: lab.write()),
    "commit": ("commit", lambda lab: lab.write()),
    "mint": ("mint", lambda lab: lab.repository.grant(lab.record, lab.alice, 60.0)),
    "unmint": ("unmint", lambda lab: lab.repository.revoke(Capability(lab.record, "x", "s"))),
    "probe": ("links", lambda lab: lab.repository.may(lab.record, lab.alice)),
    "probe-draft": ("draft", lambda lab: lab.repository.may(lab.record, lab.alice)),
    "probe-files": ("draft-files", lambda lab: lab.repository.may(lab.record, lab.alice)),
}


# ---- faults


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize(
    ("kind", "after"), [("busy", 7.0), ("proxy", 7.0), ("broken", 0.0), ("page", 0.0), ("lost", 0.0)]
)
def test_what_may_work_later_is_tried_later(lab: Lab, ask: str, kind: str, after: float) -> None:
    route, call = ASKS[ask]
    lab.server.fail(route, kind, value=after)
    # Bytes come in any media type: a page in their place is found by its checksum.
    is_page = kind == "page" and route in ("store", "draft-content")
    with pytest.raises(IntegrityError if is_page else Transient) as caught:
        call(lab)
    assert after - 5.0 <= getattr(caught.value, "after", 0.0) <= after
    assert "t" not in lab.leftovers()
    call(lab)


@pytest.mark.parametrize("ask", ["listing", "draft", "draft-files", "draft-file", "init", "probe"])
@pytest.mark.parametrize("kind", ["gone", "login"])
def test_what_stands_in_its_place_is_not_believed(lab: Lab, ask: str, kind: str) -> None:
    route, call = ASKS[ask]
    lab.server.fail(route, kind)
    with pytest.raises(Transient):
        call(lab)
    call(lab)


@pytest.mark.parametrize("ask", ["listing", "draft-files", "commit"])
def test_an_instance_that_has_moved_is_not_followed(lab: Lab, ask: str) -> None:
    route, call = ASKS[ask]
    lab.server.fail(route, "moved")
    with pytest.raises(SiteError, match="has moved; give as url"):
        call(lab)
    assert lab.server.count("none") == 0


@pytest.mark.parametrize("ask", ["listing", "draft-files", "draft-file", "init", "put", "commit", "unmint"])
def test_a_token_that_is_not_known_is_a_fault_of_the_site(lab: Lab, ask: str) -> None:
    route, call = ASKS[ask]
    lab.server.fail(route, "unauthorised", times=2)
    with pytest.raises(SiteError, match="give its token as the setting token, or renew it"):
        call(lab)


@pytest.mark.parametrize("ask", ["listing", "draft-files", "draft-file", "init", "put", "commit", "unmint"])
def test_what_the_account_may_not_do_is_a_fault_of_the_site(lab: Lab, ask: str) -> None:
    route, call = ASKS[ask]
    lab.server.fail(route, "forbidden", times=2)
    with pytest.raises(SiteError, match=r"the site's account may not .*; share the record with it"):
        call(lab)


def test_a_full_repository_is_a_fault_of_the_site(lab: Lab) -> None:
    lab.server.fail("put", "refuse")
    with pytest.raises(SiteError, match=r"too full to put 'a.json'"):
        lab.write()
    assert set(lab.server.records[lab.record].files) == {"a.out"}, (
        "what is not complete keeps a record unpublished"
    )


def test_an_answer_without_end_is_cut_off(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_LARGEST", 1 << 20)
    lab.server.fail("draft-files", "endless")
    with pytest.raises(SiteError, match="more than 1 MiB"):
        lab.repository.files(lab.record)


@pytest.mark.parametrize("ask", ["listing", "draft-files", "commit", "probe"])
def test_broken_json_is_tried_later(lab: Lab, ask: str) -> None:
    route, call = ASKS[ask]
    lab.server.fail(route, "garbled")
    with pytest.raises(Transient, match="broken JSON"):
        call(lab)


@pytest.mark.parametrize(
    ("asked", "trickles", "error"),
    [
        ("draft-files", "draft-files", "did not answer in time"),
        ("draft-content", "store", r"the bytes at .* hardly come from http://127"),
    ],
)
def test_what_trickles_is_not_waited_for(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, asked: str, trickles: str, error: str
) -> None:
    """Though each part of it comes in time."""
    lab.server.deposit(lab.record, "a.out", b"0" * 400)
    lab.repository = lab.make(timeout=30.0)
    # Only now, so that nothing that is asked before is short of time.
    lab.server.before(asked, lambda: monkeypatch.setattr(asking, "_PATIENCE", 0.001))
    lab.server.fail(trickles, "trickle", value=0.05)
    with pytest.raises(Transient, match=error):
        ASKS[trickles][1](lab)
    assert lab.leftovers() == []


@pytest.mark.parametrize("ask", ["mint", "init", "probe", "draft"])
def test_what_is_refused_for_another_reason_is_said(lab: Lab, ask: str) -> None:
    route, call = ASKS[ask]
    lab.server.fail(route, "invalid")
    with pytest.raises(Transient if ask == "probe" else SiteError, match="answered 400"):
        call(lab)


@pytest.mark.parametrize("ask", ["draft-files", "store", "commit"])
def test_a_slow_answer_is_not_waited_for(lab: Lab, ask: str) -> None:
    route, call = ASKS[ask]
    lab.repository = lab.make(timeout=0.15)
    lab.server.fail(route, "slow", value=0.4)
    with pytest.raises(Transient, match="did not answer in time"):
        call(lab)


def test_a_server_that_does_not_answer_keeps_few_waiting(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_AT_ONCE", 1)
    monkeypatch.setattr(asking, "_TURN", 0.01)
    lab.repository = lab.make()
    asked, answer = threading.Event(), threading.Event()

    def hang() -> None:
        asked.set()
        answer.wait(20.0)

    lab.server.before("draft-files", hang)
    with ThreadPoolExecutor(1) as others:
        first = others.submit(lab.repository.files, lab.record)
        try:
            assert asked.wait(20.0)
            with pytest.raises(Transient, match="has yet to answer 1 others"):
                lab.repository.files(lab.record)
        finally:
            answer.set()
        assert [file.key for file in first.result()] == ["a.out"]
    assert lab.repository.files(lab.record)


def test_nobody_listening_is_tried_later() -> None:
    repository = InvenioRepository("http://127.0.0.1:9", token=lambda: "t")
    with pytest.raises(Transient, match="cannot be reached"):
        repository.files("abcde-12345")
    repository.close()


# ---- downloads


@pytest.mark.parametrize("has_capability", [False, True])
def test_the_store_gets_neither_bearer_nor_token(lab: Lab, has_capability: bool) -> None:
    by = lab.repository.grant(lab.record, lab.alice, 60.0) if has_capability else None
    assert lab.read(by=by) == b"0123456789"
    (asked,) = [seen for seen in lab.server.requests if seen.route == "draft-content"]
    assert asked.headers["authorization"] == f"Bearer {lab.site}"
    assert asked.query.get("token") == (by.secret if by else None)
    (stored,) = lab.server.stored
    assert "authorization" not in stored.headers
    assert "cookie" not in stored.headers
    assert set(stored.query) == {"X-Amz-Signature"}


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("http://store.example.org", "expected https"),
        ("ftp://127.0.0.1", "expected https"),
        ("https://x:port", "no address"),
    ],
)
def test_a_download_goes_nowhere_in_the_open(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, place: str, reason: str
) -> None:
    monkeypatch.setattr(lab.server, "store_url", place)
    with pytest.raises(SiteError, match=reason):
        lab.read()


def test_a_download_from_afar_does_not_come_from_this_machine(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab.repository._server, "_is_near", False)
    with pytest.raises(SiteError, match="to this machine itself"):
        lab.read()
    assert lab.server.stored == []


def test_a_download_does_not_go_round_and_round(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    by = lab.repository.grant(lab.record, lab.alice, 60.0)
    around = f"{lab.server.url}/round?token={by.secret}&then="
    monkeypatch.setattr(lab.server, "store_url", around)
    lab.server.fail("none", "login", times=20)
    with pytest.raises(SiteError, match="on and on"):
        lab.read(by=by)
    hops = [seen for seen in lab.server.requests if seen.route == "none"]
    assert len(hops) == 5
    assert not any("authorization" in seen.headers or "token" in seen.query for seen in hops)


@pytest.mark.parametrize(("kind", "error"), [("cut", Transient), ("stale", IntegrityError)])
def test_bytes_that_are_not_what_was_stated_are_not_kept(
    lab: Lab, kind: str, error: type[TowpathError]
) -> None:
    lab.server.fail("store", kind)
    with pytest.raises(error):
        lab.read()
    assert lab.leftovers() == []
    assert lab.read() == b"0123456789"


@pytest.mark.parametrize(
    ("content", "found"), [(b"01234567890", "11 bytes or more"), (b"012345678", "9 bytes")]
)
def test_a_size_that_was_not_stated_is_noticed(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, content: bytes, found: str
) -> None:
    monkeypatch.setattr(lab.server, "store_sends", lambda _: content)
    with pytest.raises(IntegrityError, match=f"found {found}; expected 10"):
        lab.read()
    assert lab.leftovers() == []


# ---- uploads


@pytest.mark.parametrize("kind", ["lost", "lost-500"])
def test_a_lost_commit_is_found_and_not_done_twice(lab: Lab, kind: str) -> None:
    lab.server.fail("commit", kind)
    with pytest.raises(Transient):
        lab.write(b"bytes")
    assert lab.write(b"bytes").made_by == MADE
    assert [lab.server.count(route) for route in ("init", "put", "commit", "delete")] == [1, 1, 1, 0]


@pytest.mark.parametrize("route", ["init", "put"])
@pytest.mark.parametrize("kind", ["lost", "lost-500"])
def test_an_upload_that_broke_off_is_begun_again(lab: Lab, route: str, kind: str) -> None:
    lab.server.fail(route, kind)
    with pytest.raises(Transient):
        lab.write(b"bytes")
    assert [file.key for file in lab.repository.files(lab.record)] == ["a.out"]
    lab.write(b"bytes")
    assert lab.server.records[lab.record].files["a.json"].content == b"bytes"
    assert lab.server.count("delete") == 1


def test_other_bytes_than_were_sent_are_removed(lab: Lab) -> None:
    lab.server.fail("commit", "wrong-checksum")
    with pytest.raises(Transient, match=r"got other bytes as 'a.json'"):
        lab.write(b"bytes")
    assert set(lab.server.records[lab.record].files) == {"a.out"}
    lab.write(b"bytes")


def test_an_upload_is_marked_before_it_has_bytes(lab: Lab) -> None:
    lab.server.fail("put", "broken")
    with pytest.raises(Transient):
        lab.write()
    assert lab.server.records[lab.record].files["a.json"].metadata == {"towpath": MADE}


@pytest.mark.parametrize("others", [None, {"towpath": "other-1"}, {"towpath": 3}, {"width": 100}])
@pytest.mark.parametrize("is_late", [False, True])
def test_somebody_elses_upload_is_left_alone(lab: Lab, others: dict[str, Any] | None, is_late: bool) -> None:
    """Whether it was there before, or came between the look and the upload."""

    def deposit() -> None:
        lab.server.deposit(lab.record, "a.json", b"theirs", others)

    if is_late:
        lab.server.before("init", deposit)
    else:
        deposit()
    with pytest.raises(StateError, match="it stays as it is"):
        lab.write()
    assert lab.server.records[lab.record].files["a.json"].content == b"theirs"


def test_two_uploads_of_the_same_at_once_end_in_one(lab: Lab) -> None:
    lab.server.before("init", lambda: lab.server.deposit(lab.record, "a.json", b"{}", {"towpath": MADE}))
    with pytest.raises(Transient, match="just being put"):
        lab.write()
    lab.write()
    assert lab.server.count("put") == 0


def test_a_file_that_is_removed_under_an_upload_is_tried_later(lab: Lab) -> None:
    lab.server.before("commit", lambda: lab.server.records[lab.record].files.pop("a.json"))
    with pytest.raises(Transient, match="removed from record"):
        lab.write()
    lab.write()


def test_an_upload_of_much_is_sent_in_parts(lab: Lab) -> None:
    content = bytes(range(256)) * 20_000
    assert lab.write(content).size == len(content)
    assert lab.server.records[lab.record].files["a.json"].content == content


# ---- people


def test_a_callers_own_bearer_is_forwarded_and_no_other(lab: Lab) -> None:
    assert lab.repository.may(lab.record, lab.alice) == BOTH
    assert [seen.route for seen in lab.server.requests] == ["draft", "draft-files", "links"]
    assert {seen.headers["authorization"] for seen in lab.server.requests} == {f"Bearer {lab.alice.bearer}"}
    assert not any("cookie" in seen.headers for seen in lab.server.requests)


@pytest.mark.parametrize(
    ("right", "access"), [("view", frozenset()), ("preview", READ), ("edit", READ), ("manage", BOTH)]
)
def test_what_somebody_was_given_says_what_they_may(lab: Lab, right: str, access: frozenset[Access]) -> None:
    lab.server.records[lab.record].rights["mallory"] = right
    assert lab.repository.may(lab.record, lab.mallory) == access


@pytest.mark.parametrize("kind", ["forbidden", "unauthorised"])
@pytest.mark.parametrize(
    ("route", "access"), [("draft", frozenset()), ("draft-files", frozenset()), ("links", READ)]
)
def test_a_denial_is_no_error(lab: Lab, kind: str, route: str, access: frozenset[Access]) -> None:
    lab.server.fail(route, kind)
    assert lab.repository.may(lab.record, lab.alice) == access


def test_without_a_bearer_only_what_is_public_is_seen(lab: Lab) -> None:
    nobody = Caller("")
    assert lab.repository.may(lab.record, nobody) == frozenset()
    lab.server.publish(lab.record)
    assert lab.repository.may(lab.record, nobody) == READ
    assert lab.repository.may(lab.record, lab.mallory) == READ
    assert lab.repository.may(lab.record, lab.alice) == BOTH
    assert not any("authorization" in s.headers for s in lab.server.requests[:1])
    lab.server.records[lab.record].is_public = False
    for caller in (nobody, lab.mallory):
        assert lab.repository.may(lab.record, caller) == frozenset()
    assert lab.make(state="draft").may(lab.record, nobody) == frozenset()


@pytest.mark.parametrize("bearer", ["two words", "a\r\nX-Evil: 1", "é", "x" * 10_000, "\0"])
def test_what_is_no_bearer_is_not_sent(lab: Lab, bearer: str) -> None:
    caller = Caller("alice", bearer)
    assert lab.repository.may(lab.record, caller) == frozenset()
    with pytest.raises(NotFoundError):
        lab.repository.grant(lab.record, caller, 60.0)
    assert lab.server.requests == []


def test_another_record_than_was_asked_for_is_no_allowance(lab: Lab) -> None:
    lab.server.records["fghij-12345"] = lab.server.records[lab.record]
    assert lab.repository.may("fghij-12345", lab.alice) == frozenset()
    with pytest.raises(NotFoundError):
        lab.repository.record("fghij-12345")


def test_a_site_without_an_account_reads_what_is_public(lab: Lab) -> None:
    lab.repository = lab.make(token=None)
    with pytest.raises(SiteError, match="may not read record"):
        lab.repository.files(lab.record)
    lab.server.publish(lab.record)
    assert lab.read() == b"0123456789"
    with pytest.raises(SiteError):
        list(lab.repository.records())


# ---- capabilities


def test_a_link_outlasts_what_was_asked_for(lab: Lab) -> None:
    for hour, lasts, day in (
        (10, 60.0, "2026-11-27"),
        (23, 7200.0, "2026-11-28"),
        (0, 3 * DAY, "2026-11-30"),
    ):
        now = datetime(2026, 11, 26, hour, tzinfo=UTC).timestamp()
        repository = lab.make(clock=lambda now=now: now)
        capability = repository.grant(lab.record, None, lasts)
        link = lab.server.records[lab.record].links[capability.name]
        assert (link["permission"], link["expires_at"]) == ("edit", day)
        assert link["description"].startswith("Towpath")
        assert link["token"] == capability.secret
        assert capability.expires == datetime.fromisoformat(f"{day}T00:00+00:00").timestamp() >= now + lasts
        repository.close()


@pytest.mark.parametrize("is_callers", [False, True])
def test_a_link_is_made_by_the_caller_if_there_is_one(lab: Lab, is_callers: bool) -> None:
    lab.repository.grant(lab.record, lab.alice if is_callers else None, 60.0)
    (minted,) = [seen for seen in lab.server.requests if seen.route == "mint"]
    assert minted.headers["authorization"] == f"Bearer {lab.alice.bearer if is_callers else lab.site}"


def test_a_caller_without_a_bearer_gets_no_link(lab: Lab) -> None:
    lab.server.publish(lab.record)
    with pytest.raises(NotFoundError):
        lab.repository.grant(lab.record, Caller("alice"), 60.0)
    assert lab.server.count("mint") == 0


def test_a_link_alone_is_enough_for_an_account_without_rights(lab: Lab) -> None:
    capability = lab.repository.grant(lab.record, lab.alice, 60.0)
    lab.server.records[lab.record].rights.clear()
    assert lab.read(by=capability) == b"0123456789"
    lab.write(by=capability)
    with pytest.raises(SiteError, match="may not read record"):
        lab.read()
    with pytest.raises(SiteError, match="may not remove its access link"):
        lab.repository.revoke(capability)


@pytest.mark.parametrize("is_revoked", [False, True])
def test_a_link_that_has_ended_opens_nothing(lab: Lab, is_revoked: bool) -> None:
    capability = lab.repository.grant(lab.record, lab.alice, 60.0)
    if is_revoked:
        lab.repository.revoke(capability)
        assert lab.server.records[lab.record].links == {}
    else:
        lab.server.clock = lambda: capability.expires
    lab.server.records[lab.record].rights.clear()
    asks: list[Callable[[], object]] = [
        lambda: lab.repository.record(lab.record, by=capability),
        lambda: lab.repository.files(lab.record, by=capability),
        lambda: lab.read(by=capability),
        lambda: lab.write(by=capability),
    ]
    for ask in asks:
        with pytest.raises(NotFoundError):
            ask()


def test_a_link_that_ends_while_it_is_used_is_said(lab: Lab) -> None:
    capability = lab.repository.grant(lab.record, lab.alice, 60.0)
    lab.server.records[lab.record].rights.clear()
    lab.server.before("put", lambda: lab.server.records[lab.record].links.clear())
    with pytest.raises(NotFoundError, match="may do with it has ended"):
        lab.write(by=capability)


def test_a_link_of_a_record_that_is_gone_is_gone(lab: Lab) -> None:
    capability = lab.repository.grant(lab.record, lab.alice, 60.0)
    lab.server.records.clear()
    lab.repository.revoke(capability)


def test_nothing_secret_is_told(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """By errors, their contexts, logs at any level, and the texts of values, whatever goes wrong."""
    caplog.set_level(logging.DEBUG)
    capability = lab.repository.grant(lab.record, lab.alice, 60.0)
    texts = [
        repr(capability),
        repr(lab.alice),
        repr(lab.repository),
        repr(asking.Key(lab.site, capability.secret)),
    ]
    asks: list[tuple[str, Callable[[], object]]] = [
        ("draft-file", lambda: lab.read(by=capability)),
        ("store", lambda: lab.read(by=capability)),
        ("commit", lambda: lab.write(by=capability)),
        ("links", lambda: lab.repository.may(lab.record, lab.alice)),
        ("mint", lambda: lab.repository.grant(lab.record, lab.alice, 60.0)),
        ("unmint", lambda: lab.repository.revoke(capability)),
    ]
    for route, ask in asks:
        for kind in ("busy", "broken", "page", "lost", "login", "moved", "forbidden", "unauthorised"):
            lab.server.fail(route, kind)
            try:
                ask()
            except TowpathError as error:
                texts += [str(error), repr(error), repr(error.__context__), repr(error.__cause__)]
    texts.append(caplog.text)
    assert len(texts) > 100
    for secret in (lab.site, lab.alice.bearer, capability.secret):
        assert not any(secret in text for text in texts)


# ---- lists


def test_a_list_is_paged_and_stops_at_what_is_known(lab: Lab) -> None:
    lab.server.records.clear()
    repository = lab.make(per_page=3, watch=0.0)
    records = [lab.server.add_record("site", f"r{number}") for number in range(10)]
    for age, record in enumerate(reversed(records)):
        lab.server.records[record].updated -= 1000.0 * age
    found = list(repository.records())
    assert [entry.id for entry in found] == records[::-1]
    assert lab.server.count("listing") == 4
    lab.server.requests.clear()
    assert [entry.id for entry in repository.records(found[1].version)] == records[:7:-1]
    assert lab.server.count("listing") == 1
    assert len(list(repository.records("no version"))) == 10


@pytest.mark.parametrize(
    "odd",
    [5, "text", [None, 3], {"hits": 5, "entries": "x"}, {"key": "a.out", "checksum": "md5:0", "size": 1e999}],
)
def test_what_is_of_another_kind_is_as_if_it_were_not_told(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, odd: object
) -> None:
    table = {"id": lab.record, "hits": odd, "entries": [odd], "access": odd, "metadata": odd}
    for told in (table, {**table, "entries": odd}):
        monkeypatch.setattr(
            lab.repository._server, "ask", lambda *_, told=told, **__: asking.Answer(200, told)
        )
        assert list(lab.repository.records()) == []
        assert {file.size for file in lab.repository.files(lab.record)} <= {-1}
        assert lab.repository.may(lab.record, Caller("nobody")) == frozenset()


def test_a_record_that_is_listed_twice_is_told_once(lab: Lab) -> None:
    lab.server.records.clear()
    repository = lab.make(per_page=2)
    records = [lab.server.add_record("site") for _ in range(4)]
    looks = iter(repository.records())
    found = [next(looks).id, next(looks).id]
    lab.server.add_record("site")  # and so what was told last is on the next page too
    found += [entry.id for entry in looks]
    assert found == records[::-1]


@pytest.mark.parametrize(
    ("state", "expected"), [("auto", {"d", "p"}), ("draft", {"d"}), ("published", {"p"})]
)
def test_a_state_is_chosen(lab: Lab, state: str, expected: set[str]) -> None:
    lab.server.records.clear()
    repository = lab.make(state=state)
    for record in ("d", "p"):
        lab.server.add_record("site", record=record)
        lab.server.deposit(record, "a.out", b"a")
    lab.server.publish("p")
    assert {entry.id for entry in repository.records()} == expected
    for record in ("d", "p"):
        if record in expected:
            assert [file.key for file in repository.files(record)] == ["a.out"]
    if state == "published":
        with pytest.raises(NotFoundError):
            repository.record("d")


def test_a_draft_that_is_not_saved_is_looked_into_for_a_while(tmp_path: Path) -> None:
    with InvenioServer(touches=False) as server:
        lab = Lab(tmp_path, server)
        (before,) = lab.repository.records()
        server.deposit(lab.record, "b.out", b"b")
        (after,) = lab.repository.records(before.version)
        assert after.version != before.version
        assert lab.repository.record(lab.record).version == after.version
        server.records[lab.record].updated -= 2 * DAY
        assert list(lab.repository.records(after.version)) == []
        assert len(list(lab.make(watch=0.0).records())) == 1
        lab.close()


def test_a_draft_that_goes_while_it_is_looked_at_is_left_out(lab: Lab) -> None:
    lab.server.before("draft-files", lambda: lab.server.records.clear())
    assert list(lab.repository.records()) == []


def test_a_draft_that_may_not_be_looked_into_hides_no_other(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    other = lab.server.add_record("site")
    lab.server.fail("draft-files", "forbidden")
    lab.server.fail("files", "forbidden")
    assert [entry.id for entry in lab.repository.records()] == [other, lab.record]
    assert "record is not looked into" in caplog.text


def test_a_list_is_as_deep_as_a_search(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(invenio, "_DEEPEST", 4)
    for _ in range(5):
        lab.server.add_record("site")
    assert len(list(lab.make(per_page=2, watch=0.0).records())) == 4
    assert "lists no more records" in caplog.text


def test_what_cannot_be_kept_is_said(lab: Lab) -> None:
    with pytest.raises(StorageError, match="No such file"):
        lab.repository.read(lab.record, "a.out", lab.folder / "away" / "t", lambda _: None)
    with pytest.raises(ValueError, match="made_by: found nothing"):
        lab.repository.write(lab.record, "a.json", lab.folder, made_by="")


def test_files_of_other_shapes_are_left_out(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    for key in ("../x", "a/b", ".hidden", "a\nb"):
        lab.server.deposit(lab.record, key, b"x")
    assert [file.key for file in lab.repository.files(lab.record)] == ["a.out"]
    assert "files are left out" in caplog.text


def test_an_upload_in_progress_is_not_listed(lab: Lab) -> None:
    lab.server.fail("put", "broken")
    with pytest.raises(Transient):
        lab.write()
    assert [file.key for file in lab.repository.files(lab.record)] == ["a.out"]
    with pytest.raises(NotFoundError):
        lab.repository.read(lab.record, "a.json", lab.folder / "t", lambda _: None)


# ---- settings


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"url": "http://invenio.example.org"}, "expected https"),
        ({"url": "https://me:secret@example.org"}, "nothing secret in it"),
        ({"url": "https://example.org?token=x"}, "nothing secret in it"),
        ({"url": "https://example.org:x"}, "no address"),
        ({"url": "invenio"}, "expected the address"),
        ({"path": "api"}, "expected a path"),
        ({"path": "/api/../x"}, "expected a path"),
        ({"listing": "/api?x"}, "expected a path"),
        ({"state": "open"}, "expected one of auto, draft, published"),
        ({"per_page": 0}, "per_page: found .*; expected 1 to 1000"),
        ({"watch": -1.0}, "watch: found .*; expected 0 or more"),
        ({"timeout": 0}, "more than 0"),
        ({"timeout": "1"}, "found what is no float"),
        ({"token": "abc"}, "found what is no secret"),
        ({"per_page": True}, "found what is no int"),
        ({"ca": "/nowhere.pem"}, "cannot be read as certificates"),
        ({"colour": 1}, "found an unknown key"),
    ],
)
def test_settings_that_are_wrong_are_said(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(DefinitionError, match=reason) as caught:
        make({"url": "https://invenio.example.org"} | settings)
    assert "secret@" not in str(caught.value)


def test_settings_make_a_repository(lab: Lab) -> None:
    repository = make(
        {"url": lab.server.url, "token": lambda: f"{lab.site}\n", "state": "draft", "timeout": 3}
    )
    assert [entry.id for entry in repository.records()] == [lab.record]
    repository.close()
    with pytest.raises(DefinitionError, match="url: found nothing"):
        make({})


def test_a_token_that_is_none_is_said_without_it(lab: Lab) -> None:
    repository = lab.make(token=lambda: "secret\nsecret")
    with pytest.raises(SiteError, match="cannot stand in a request") as caught:
        repository.files(lab.record)
    assert "secret\nsecret" not in str(caught.value)


def test_a_certificate_must_be_trusted(lab: Lab, tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    behind = lab.server.handler()
    server = ThreadingHTTPServer(("127.0.0.1", 0), behind)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    url = f"https://localhost:{server.server_port}"
    with pytest.raises(SiteError, match="is not trusted; see ca"):
        InvenioRepository(url, token=lambda: lab.site).files(lab.record)
    repository = InvenioRepository(url, token=lambda: lab.site, ca=str(tmp_path / "ca.pem"))
    assert [file.key for file in repository.files(lab.record)] == ["a.out"]
    repository.close()
    server.shutdown()
    server.server_close()
