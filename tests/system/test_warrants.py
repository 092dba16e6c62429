"""What lets the site work on a record of InvenioRDM is revoked however a processing ends, and is never seen by a run."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from plainpipe.site import Daemon, make, wait_for

from towpath import Site
from towpath.base.errors import Transient
from towpath.base.states import Work
from towpath.contracts.repository import Caller
from towpath.flow.warrant import RULE, Reaper
from towpath.testing.invenio import InvenioServer

PIPELINE = """
[pipeline]
name = "plain"
[sources.files]
kind = "records"
item = "look"
repository = "deposit"
automatic = false
[sources.files.match.file]
extension = ["txt"]
[items.look]
route = "retrieve -> look -> deliver"
[items.look.retrieve]
backoff = "50 ms"
[items.look.deliver]
backoff = "50 ms"
attempts = 20
[items.look.stages.look]
kind = "command"
argv = ["python3", "-c", "PROGRAM", "{input.file}", "{output.seen}"]
consumes.file = "deposit/file"
produces.seen = { type = "text/json", file = "seen.json" }
"""
PROGRAM = """
import json, os, sys, time
text = open(sys.argv[1]).read()
if text == 'fail': sys.exit(2)
if text == 'wait': time.sleep(600)
json.dump({'text': text, 'environ': dict(os.environ)}, open(sys.argv[2], 'w'))
"""


@pytest.fixture
def server() -> Iterator[InvenioServer]:
    with InvenioServer() as server:
        yield server


@pytest.fixture
def staff(server: InvenioServer) -> str:
    return server.add_user("towpath")


@pytest.fixture
def site(
    tmp_path: Path, server: InvenioServer, staff: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    program = PROGRAM.strip().replace("\n", "\\n").replace('"', '\\"')
    table = f'[repositories.deposit]\nkind = "invenio"\nurl = "{server.url}"\ntoken = {{ env = "DEPOSIT_BEARER" }}\n'
    monkeypatch.setenv("DEPOSIT_BEARER", staff)
    make(tmp_path, PIPELINE.replace("PROGRAM", program), site=table)
    with Site.open(tmp_path) as site:
        yield site


@pytest.fixture
def ann(server: InvenioServer) -> Caller:
    return Caller("ann", server.add_user("ann"))


@pytest.fixture
def record(server: InvenioServer, staff: str, ann: Caller) -> str:
    return server.add_record("ann", rights={"towpath": "manage"})


def begin(site: Site, server: InvenioServer, record: str, text: str, caller: Caller | None) -> str:
    server.deposit(record, "a.txt", text.encode())
    ((begun, _),) = site.start("plain", record, "look", caller=caller).started
    return begun.key


def links(server: InvenioServer, record: str) -> int:
    return len(server.records[record].links)


def noted(site: Site) -> int:
    with site.catalog.read() as view:
        return len(view.noted(RULE))


def test_a_link_is_minted_by_who_starts_and_gone_when_it_is_done(
    site: Site, server: InvenioServer, record: str, ann: Caller
) -> None:
    key = begin(site, server, record, "text", ann)
    assert links(server, record) == noted(site) == 1
    minted = [seen for seen in server.requests if seen.route == "mint"]
    assert [seen.headers["authorization"] for seen in minted] == [f"Bearer {ann.bearer}"]
    site.run()
    assert (links(server, record), noted(site)) == (0, 0)
    stored = server.records[record].files[f"{key}-look-seen.json"]
    assert stored.metadata == {"towpath": key}
    assert json.loads(stored.content)["text"] == "text"


def test_no_run_sees_a_bearer_or_a_link(
    site: Site, server: InvenioServer, staff: str, record: str, ann: Caller
) -> None:
    key = begin(site, server, record, "text", ann)
    with site.catalog.read() as view:
        (warrant,) = view.noted(RULE).values()
    site.run()
    seen = server.records[record].files[f"{key}-look-seen.json"].content.decode()
    files = [path.read_bytes() for path in (site.folder / ".towpath").rglob("*") if path.is_file()]
    told = json.dumps([dict(event.data) for event in site.events(limit=1000)])
    for secret in (staff, ann.bearer, warrant["secret"]):
        assert secret not in seen
        assert secret not in told
        assert not any(secret.encode() in content for content in files)


def test_it_goes_when_the_processing_fails(
    site: Site, server: InvenioServer, record: str, ann: Caller
) -> None:
    key = begin(site, server, record, "fail", ann)
    site.run()
    assert site.show(key).work[1].state is Work.FAILED
    assert (links(server, record), noted(site)) == (0, 0)


def test_what_is_tried_again_after_that_gets_another_by_the_site_itself(
    site: Site, server: InvenioServer, staff: str, record: str, ann: Caller
) -> None:
    """Also where nobody knows whether the first one is revoked: it is not used any more."""
    key = begin(site, server, record, "fail", ann)
    server.fail("unmint", "lost-500")
    site.run()
    assert (links(server, record), noted(site)) == (0, 1)
    server.requests.clear()
    site.rerun(key, "retrieve")
    site.run()
    minted = [seen for seen in server.requests if seen.route == "mint"]
    assert [seen.headers["authorization"] for seen in minted] == [f"Bearer {staff}"]
    assert [row.state for row in site.show(key).work][:2] == [Work.DONE, Work.FAILED]
    assert (links(server, record), noted(site)) == (0, 1)


def test_a_daemon_waits_for_no_repository_that_does_not_answer(
    site: Site, server: InvenioServer, record: str, ann: Caller
) -> None:
    for _ in range(2):
        site.stop(begin(site, server, record, "text", ann))
    asked, answer = threading.Event(), threading.Event()

    def hang() -> None:
        asked.set()
        answer.wait(20.0)

    server.before("unmint", hang)
    server.fail("unmint", "proxy")
    reaper = Reaper(site._parts.records.warrants)
    try:
        assert reaper.tend()
        assert asked.wait(20.0)
        assert reaper.tend()
        answer.set()
        wait_for(lambda: not reaper.tend())
    finally:
        answer.set()
        reaper.close()
    assert (server.count("unmint"), noted(site)) == (1, 2), "it is not asked about the second one, too"


def test_it_goes_when_the_processing_is_stopped(
    site: Site, server: InvenioServer, record: str, ann: Caller
) -> None:
    key = begin(site, server, record, "wait", ann)
    with Daemon(site.folder, watch=True) as daemon:
        wait_for(lambda: site.show(key).work[1].state is Work.RUNNING)
        site.stop(key, why="enough")
        wait_for(lambda: (links(server, record), noted(site)) == (0, 0))
        assert daemon.popen.poll() is None
    assert [row.state for row in site.show(key).work] == [Work.DONE, Work.STOPPED, Work.STOPPED]


def test_it_goes_when_the_daemon_was_killed_and_another_sees_the_end(
    site: Site, server: InvenioServer, record: str, ann: Caller
) -> None:
    key = begin(site, server, record, "wait", ann)
    with Daemon(site.folder, watch=True) as daemon:
        wait_for(lambda: site.show(key).work[1].state is Work.RUNNING)
        daemon.kill()
    assert links(server, record) == 1
    site.stop(key)
    site.run()
    assert (links(server, record), noted(site)) == (0, 0)


def test_a_repository_that_fails_is_asked_again_until_it_is_revoked(
    site: Site, server: InvenioServer, record: str, ann: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("towpath.flow.warrant._AGAIN", 0.05)
    begin(site, server, record, "text", ann)
    server.fail("unmint", "broken", times=2)
    site.run()
    wait_for(lambda: site._parts.records.warrants.end() == 0)
    assert (links(server, record), noted(site)) == (0, 0)
    assert [event.type for event in site.events(limit=1000) if event.type.startswith("warrant")] == [
        "warrant", "warrant not revoked", "warrant ended"
    ]  # fmt: skip


def test_what_cannot_be_revoked_ends_by_its_time(
    site: Site, server: InvenioServer, record: str, ann: Caller
) -> None:
    begin(site, server, record, "text", ann)
    server.records[record].rights.clear()  # the site may do nothing here any more
    site.run()
    assert noted(site) == 1
    with site.catalog.read() as view:
        ((item, data),) = view.noted(RULE).items()
    site.catalog.write(lambda tx: tx.set_slot(tx.slot(RULE, item), {**data, "expires": 1.0, "again": 0.0}))
    assert site._parts.records.warrants.end() == 0
    assert noted(site) == 0
    assert [event.data["why"] for event in site.events(limit=1000) if event.type == "warrant ended"] == [
        "its time is over"
    ]


def test_a_start_that_is_refused_leaves_no_link(
    site: Site, server: InvenioServer, record: str, ann: Caller
) -> None:
    begin(site, server, record, "text", ann)
    with pytest.raises(Exception, match="in work"):
        site.start("plain", record, "look", caller=ann)
    assert links(server, record) == 1
    server.fail("draft-files", "broken", times=9)
    with pytest.raises(Transient):
        site.start("plain", record, "look", caller=ann)
    assert links(server, record) == 1


def test_lost_commits_busy_servers_and_cut_downloads_lose_nothing(
    site: Site, server: InvenioServer, record: str, ann: Caller
) -> None:
    key = begin(site, server, record, "text", ann)
    server.fail("store", "cut")
    server.fail("store", "page")  # of a proxy, in place of the bytes
    server.fail("put", "busy", value=0.05)
    server.fail("commit", "lost")
    server.fail("commit", "wrong-checksum")
    site.run(patience=30.0)
    assert [row.state for row in site.show(key).work] == [Work.DONE] * 3
    stored = server.records[record].files[f"{key}-look-seen.json"]
    assert json.loads(stored.content)["text"] == "text"
    assert (links(server, record), noted(site)) == (0, 0)
