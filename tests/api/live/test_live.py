"""Live events: in order, without loss or repeat, for whom they concern, whatever other clients do."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from towpath import Site
from towpath.api import live as module
from towpath.api.live import Topics, encode
from towpath.api.streams import Timing, frame
from towpath.base.model import Event, Item
from towpath.testing.plans import kind_plan
from towpath.testing.postgres import Server

Tell = Callable[..., None]
WRITE = """
import sys
from towpath import Site
with Site.open(sys.argv[1]) as site:
    print("open", flush=True)
    for number in map(int, sys.stdin):
        site.catalog.write(lambda tx: tx.event("told", number=number))
"""


def seqs(told: list[Any]) -> list[int]:
    return [one.id for one in told]


def last(site: Site) -> int:
    with site.catalog.read() as view:
        return view.last_event()


def test_an_event_is_one_frame_whatever_it_holds() -> None:
    data = {"text": "a\nb\r\n\r\ndata: x\u2028é\ud800", "number": 1.5}
    told = encode(Event(7, 1e9, "registered", 3, "", "", "gam", data)).decode("ascii")
    assert told.startswith("id: 7\nevent: registered\ndata: {") and told.endswith("}\n\n")
    assert told.count("\n") == 4
    assert "\r" not in told
    assert frame("a\nb: c", None) == b"event: ab: c\ndata: null\n\n"


def test_events_come_as_they_happen(live: Any, tell: Tell, site: Site) -> None:
    tell("before")
    client = live.events()
    for name in ("cache-control: no-store", "x-accel-buffering: no", "content-type: text/event-stream"):
        assert name in client.head
    tell("one", "two", pipeline="p", number=1)
    tell("three", run="3.1")
    first, second, third = client.take(3)
    assert [first.type, second.type, third.type] == ["one", "two", "three"]
    assert seqs([first, second, third]) == list(range(last(site) - 2, last(site) + 1))
    assert first.data["seq"] == first.id
    assert first.data["data"] == {"number": 1}
    assert (first.data["pipeline"], first.data["item"], third.data["run"]) == ("p", None, "3.1")
    assert first.data["time"].endswith("Z") or "+00:00" in first.data["time"]


def test_another_process_is_heard(live: Any, site: Site) -> None:
    client = live.events("type=told")
    with subprocess.Popen(
        [sys.executable, "-c", WRITE, str(site.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdin and other.stdout and other.stdout.readline() == "open\n"
        for number in range(5):
            other.stdin.write(f"{number}\n")
            other.stdin.flush()
            assert client.take(1)[0].data["data"] == {"number": number}
        other.stdin.close()
    assert other.returncode == 0


def test_each_is_told_its_topics_once(live: Any, site: Site) -> None:
    plan = kind_plan("item", {"a": ()})
    items = site.catalog.write(lambda tx: tx.add_items(plan, [Item("t", "item", key) for key in "xy"]))
    both = live.events(f"item={items[0]}&pipeline=q&run=9.2")
    item = live.events(f"item={items[0]}")
    typed = live.events("type=this&type=that")
    narrow = live.events("pipeline=q&type=that")

    def write(tx: Any) -> None:
        tx.event("this", item=items[0])
        tx.event("other", item=items[1])
        tx.event("that", pipeline="q", run="9.2")
        tx.event("other", pipeline="q")
        tx.event("end", item=items[0], pipeline="q")

    site.catalog.write(write)
    begin = last(site) - 4
    assert seqs(both.take(4)) == [begin, begin + 2, begin + 3, begin + 4]
    assert seqs(item.take(2)) == [begin, begin + 4]
    assert seqs(typed.take(2)) == [begin, begin + 2]
    assert seqs(narrow.take(1)) == [begin + 2]
    again = live.events(f"item={items[0]}&pipeline=q&run=9.2&after={begin - 1}")
    assert seqs(again.take(4)) == [begin, begin + 2, begin + 3, begin + 4]


@pytest.mark.parametrize("page", [3, 500])
def test_the_seam_has_no_hole_and_no_repeat(
    live: Any, tell: Tell, site: Site, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """Clients come with an old number while events are written."""
    monkeypatch.setattr(module, "_PAGE", page)
    begin = last(site)
    tell(*["old"] * 50)
    over = threading.Event()

    def write() -> None:
        while not over.wait(0.0005):
            tell("new", pipeline="p")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        clients = []
        for number in range(12):
            clients.append(live.open(f"/events?after={begin + number}"))
            clients.append(live.open(f"/events?after={begin + number}&pipeline=p"))
            time.sleep(0.02)
    finally:
        over.set()
        writer.join()
    tell("last", pipeline="p")
    end = last(site)
    for number, client in enumerate(clients):
        client.until(lambda one: one.events and one.events[-1].type == "last")
        found = seqs(client.events)
        first = begin + 50 + 1 if number % 2 else begin + number // 2 + 1
        assert found == list(range(first, end + 1))


def test_who_comes_back_goes_on_where_it_was(live: Any, tell: Tell) -> None:
    client = live.events()
    tell("a", "b", "c")
    seen = client.take(1)[0].id
    client.close()
    tell("d")
    assert [one.type for one in live.events(f"after={seen}").take(3)] == ["b", "c", "d"]


def test_an_old_number_is_told_where_it_begins(live: Any, tell: Tell, site: Site) -> None:
    """Events were pruned, or the catalog is an older one that was restored."""
    tell(*"abcdef")
    end = last(site)
    with site.catalog.read() as view:
        moment = view.now() + 1.0
    kept = site.catalog.write(lambda tx: end - tx.prune_events(moment, limit=end - 2))
    assert kept == 2
    for after in (0, 1):
        client = live.events(f"after={after}")
        lost, *found = client.take(3)
        assert (lost.type, lost.id, lost.data) == ("resync", end - 2, {"after": end - 2})
        assert seqs(found) == [end - 1, end]
    client = live.events(f"after={end + 100}")
    assert (client.take(1)[0].data) == {"after": end}
    tell("next")
    assert seqs(client.take(1)) == [end + 1]
    live.events(f"after={end}").take(1)


def test_who_reads_nothing_harms_nobody_and_goes(serve: Any, tell: Tell, site: Site) -> None:
    live = serve(Timing(patience=0.5))
    stuck, reading = live.events(room=4096), live.events()
    begin = last(site)
    text = "x" * 2000
    count = 0
    while len(live.hub.streams) > 1:
        tell(*["much"] * 50, text=text)
        count += 50
        reading.take(50)
        assert count < 50_000
    assert last(site) == begin + count
    for stream in live.hub.streams._open:
        assert not stream._queue
    with suppress(ConnectionResetError):
        while stuck.socket.recv(1 << 20):
            pass
    tell("last")
    assert reading.take(1)[0].type == "last"


def test_a_slow_client_is_told_what_it_missed(live: Any, tell: Tell, site: Site) -> None:
    slow = live.events(room=4096)
    begin, text = last(site), "x" * 2000
    for _ in range(40):
        tell(*["much"] * 50, text=text)
    reading = live.events(f"after={begin}")
    reading.take(2000)
    tell("last")
    slow.until(lambda one: one.events and one.events[-1].type == "last")
    lost = [number for number, one in enumerate(slow.events) if one.type == "resync"]
    assert lost
    expected = begin
    for number, one in enumerate(slow.events):
        if number in lost:
            assert one.data == {"after": expected} and one.id is None
            expected = slow.events[number + 1].id - 1
            assert expected > one.data["after"]
        else:
            expected += 1
            assert one.id == expected
    assert expected == last(site)


def test_silence_is_broken(serve: Any, tell: Tell) -> None:
    live = serve(Timing(ping=0.05))
    client = live.events()
    client.until(lambda one: one.pings >= 3)
    tell("a")
    assert client.take(1)[0].type == "a"


def test_what_may_not_be_seen_is_not_sent(live: Any, tell: Tell) -> None:
    live.visible = lambda event: event.pipeline != "secret"
    client, old = live.events(), live.events("after=0")
    for _ in range(3):
        tell(*["hidden"] * 200, pipeline="secret")
    tell("shown", pipeline="open")
    assert client.take(1)[0].type == "shown"
    old.until(lambda one: one.events[-1:] and one.events[-1].type == "shown")
    assert not [one for one in old.events if one.data.get("pipeline") == "secret"]


def test_a_permission_that_is_lost_ends_the_stream(serve: Any, tell: Tell) -> None:
    live = serve(Timing(still=0.05))
    allowed = [True]
    live.may = lambda: allowed[0]
    client = live.events()
    tell("a")
    client.take(1)
    allowed[0] = False
    client.end()
    assert len(live.hub.streams) == 0


def test_a_permission_that_cannot_be_asked_ends_the_stream(serve: Any) -> None:
    live = serve(Timing(still=0.05))
    live.may = lambda: bool(1 / 0)
    live.events().end()


def test_the_server_stops_at_once(live: Any, tell: Tell, site: Site) -> None:
    """Also with a client that reads nothing, and with clients that are just opening a stream."""
    clients = [live.events() for _ in range(20)] + [live.events(room=4096)]
    for _ in range(40):
        tell(*["much"] * 50, text="x" * 2000)
        clients[0].take(50)
    clients += [live.open("/events?after=0") for _ in range(5)]
    assert live.stop() < 60.0  # as a rule 0.2; without an end of the streams it would be ten minutes
    for client in clients[1:20]:
        client.is_over = False


def test_nothing_is_read_when_nobody_listens(
    live: Any, tell: Tell, monkeypatch: pytest.MonkeyPatch, site: Site
) -> None:
    monkeypatch.setattr(module, "_LINGER", 0.05)
    assert not site.catalog._watches  # type: ignore[attr-defined]
    client = live.events()
    assert len(site.catalog._watches) == 1  # type: ignore[attr-defined]
    client.close()
    end = time.monotonic() + 10.0
    while site.catalog._watches:  # type: ignore[attr-defined]
        assert time.monotonic() < end
        time.sleep(0.01)
    assert not live.hub._index
    tell("unheard")
    client = live.events()
    tell("heard")
    assert client.take(1)[0].type == "heard"


def test_trouble_ends_the_streams_and_is_over_when_it_is(
    live: Any, tell: Tell, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_AGAIN", 0.01)
    client = live.events()
    with monkeypatch.context() as patch:
        patch.setattr(module, "encode", lambda event: 1 / 0)
        tell("a")
        client.end()
    assert "live events are interrupted" in caplog.text
    client = live.events()
    tell("b")
    assert client.take(1)[0].type == "b"


def test_topics_are_places_and_conditions_alike() -> None:
    """Who is found under a key of an event is who wants it."""
    events = [
        Event(1, 0.0, type_, item, "", run, pipeline)
        for type_ in ("a", "b")
        for item in (0, 1)
        for run in ("", "1.1")
        for pipeline in ("", "p")
    ]
    for topics in (
        Topics(),
        Topics(types=("a",)),
        Topics(pipelines=("p",)),
        Topics(items=(1,), types=("b",)),
        Topics(runs=("1.1",), items=(1,)),
    ):
        for event in events:
            is_found = bool({*topics.places()} & {*module.keys_of(event)})
            is_wanted = is_found and (not topics.types or event.type in topics.types)
            assert is_wanted == topics.has(event)


@pytest.fixture
def postgres_site(postgres: Server, migrated_template: str, tmp_path: Path) -> Iterator[Site]:
    url = postgres.database(template=migrated_template)
    (tmp_path / "towpath.toml").write_text(f'[site]\nname = "s"\ncatalog = "{url}"\n')
    with Site.open(tmp_path, environ={}) as site:
        yield site
    postgres.drop(url)


class TestPostgres:
    @pytest.fixture
    def site(self, postgres_site: Site) -> Site:
        return postgres_site

    def test_another_process_is_heard(self, live: Any, site: Site) -> None:
        test_another_process_is_heard(live, site)

    @pytest.mark.parametrize("page", [3, 500])
    def test_the_seam(
        self, live: Any, tell: Tell, site: Site, monkeypatch: pytest.MonkeyPatch, page: int
    ) -> None:
        test_the_seam_has_no_hole_and_no_repeat(live, tell, site, monkeypatch, page)


@pytest.mark.parametrize("path", ["/events", "/events?after=0"])
def test_who_lost_the_right_before_the_stream_was_open_is_told_nothing_more(live: Any, path: str) -> None:
    live.may = lambda: False  # between the look at the token and the stream
    assert live.open(path).end().pings == 0


def test_who_loses_the_right_before_the_hub_reads_is_asked_again(
    live: Any, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, asked, lost = threading.Event(), threading.Event(), threading.Event()
    before = module._Reader.open

    def may() -> bool:
        is_lost = lost.is_set()
        asked.set()
        return not is_lost

    def open_later(reader: Any) -> int:
        assert held.wait(20)
        return before(reader)

    monkeypatch.setattr(module._Reader, "open", open_later)
    live.may = may
    client = live.open("/events")
    assert asked.wait(20)
    lost.set()
    tell("token")  # the hub begins to read after this one
    held.set()
    assert client.end().pings == 0
