"""Sessions: who lives, and whose leases are free at once."""

import fcntl
import os
from pathlib import Path

import pytest
from plainpipe.site import make, notes

from towpath import Site
from towpath.app.session import Session, bury, is_free


@pytest.fixture
def site(tmp_path: Path):
    make(tmp_path, executor="inline")
    with Site.open(tmp_path) as site:
        site.submit("note", notes(1)[:2])
        yield site


def claim(site: Site, owner: int) -> None:
    kind = site.definitions["plain"].kinds["note"]
    assert site.catalog.write(lambda tx: tx.claim(kind, kind.stages["write"], 2, lease=600, owner=owner))


def rows(site: Site) -> list[tuple[str, int, int, bool]]:
    """State, deaths, attempts and whether the lease is over, of each claimed row."""
    with site.catalog.read() as view:
        now = view.now()
        found = [
            row for item in view.items() for row in view.work([item.id])[item.id] if row.stage == "write"
        ]
    return [(row.state.value, row.deaths, row.attempts, row.due <= now) for row in found]


def test_a_session_holds_its_lock_while_it_lives(site: Site, tmp_path: Path):
    session = Session(site.catalog, tmp_path / "sessions", attributable=False)
    assert not is_free(session.path)
    assert bury(site.catalog, session.host) == 0
    (known,) = site.status().sessions
    assert known[:3] == (session.number, session.host, os.getpid())
    session.close()
    assert is_free(session.path) and not session.path.exists()
    assert site.status().sessions == ()


@pytest.mark.parametrize(("attributable", "deaths"), [(False, 0), (True, 1)])
def test_what_a_dead_session_held_is_free_at_once(
    site: Site, tmp_path: Path, attributable: bool, deaths: int
):
    session = Session(site.catalog, tmp_path / "sessions", attributable=attributable)
    claim(site, session.number)
    assert rows(site) == [("running", 1, 1, False)] * 2
    session._file.close()  # as when the process is killed
    assert bury(site.catalog, session.host) == 2
    assert rows(site) == [("running", deaths, deaths, True)] * 2
    assert (site.status().sessions, session.path.exists()) == ((), False)
    assert bury(site.catalog, session.host) == 0


def test_a_server_is_taken_for_no_worker(site: Site, monkeypatch: pytest.MonkeyPatch):
    """It is known while it lives; one that was killed is buried by whoever serves or works next."""
    with site.serving(), site.catalog.read() as view:
        assert site.status().sessions == ()
        ((_, _, pid, lock, _),) = view.processes()
        assert pid == os.getpid() and not is_free(Path(lock))
    with monkeypatch.context() as dying:
        dying.setattr(Session, "close", lambda session: session._file.close())
        with site.serving():
            pass
    with site.catalog.read() as view:
        ((killed, _, _, lock, _),) = view.processes()
    with site.serving(), site.catalog.read() as view:
        assert [number for number, *_ in view.processes()] == [killed + 1]
        assert not Path(lock).exists()
    with site.catalog.read() as view:
        assert view.processes() == []


def test_closing_gives_back_what_it_still_holds(site: Site, tmp_path: Path):
    session = Session(site.catalog, tmp_path / "sessions", attributable=True)
    claim(site, session.number)
    session.close()
    assert rows(site) == [("running", 0, 0, True)] * 2
    site.run()
    assert {run.outcome.value for item in site.items() for run in site.runs(item.name)} == {"lost", "done"}


def test_sessions_of_another_host_are_judged_by_the_clock_alone(site: Site):
    number = site.catalog.write(lambda tx: tx.open_session("far", 1, "/nowhere/far.lock", attributable=False))
    claim(site, number)
    assert bury(site.catalog, "here") == 0
    assert rows(site) == [("running", 1, 1, False)] * 2


def test_a_machine_of_the_same_name_is_another_one(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    session = Session(site.catalog, tmp_path / "sessions", attributable=False)
    claim(site, session.number)
    session._file.close()
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("towpath.app.session.machine", lambda: "another")
        assert bury(site.catalog, session.host) == 0
    assert bury(site.catalog, session.host) == 2


def test_two_that_bury_the_same_give_back_once(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    session = Session(site.catalog, tmp_path / "sessions", attributable=False)
    claim(site, session.number)
    session._file.close()
    site.catalog.write(lambda tx: tx.expire(session.number, give_back=True))
    claim(site, session.number + 1)  # another took it, and would lose a death that it counted
    site.catalog.write(lambda tx: tx.close_session(session.number))
    assert bury(site.catalog, session.host) == 0
    assert [row[1:3] for row in rows(site)] == [(1, 1)] * 2


def test_a_lock_is_free_when_nobody_holds_it(tmp_path: Path):
    path = tmp_path / "a.lock"
    assert is_free(path)
    with path.open("w") as file:
        assert is_free(path)
        fcntl.flock(file, fcntl.LOCK_EX)
        assert not is_free(path)
    assert is_free(path)
