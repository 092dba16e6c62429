"""Daemons of one site that publish at once and are killed at the fault points of publication and outbox."""

import json
import random
import signal
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
from plainpipe.site import Daemon, make, notes, states, wait_for

from towpath import Site
from towpath.base import faults
from towpath.testing.content import describe, differences, torn

PIPELINE = """
[pipeline]
name = "plain"
licence = "CC0-1.0"
[sources.asked]
kind = "submit"
item = "note"
[items.note]
route = "write -> pair -> publish"
[items.note.publish]
mode = "{mode}"
attempts = 2
backoff = "20 ms"
"""
SITE = '[outbox.told]\nkind = "folder"\npath = "told"\n'
SELDOM = ("publish.link", "publish.trash")  # not by each publication
MOVING = [name for name in faults.POINTS if name.startswith(("publish.", "outbox.")) and name not in SELDOM]
POINTS = {"copy": [name for name in MOVING if name != "publish.drop"], "move": MOVING}  # that each passes


def prepared(folder: Path, monkeypatch: pytest.MonkeyPatch, mode: str = "copy") -> Path:
    monkeypatch.setenv("PLAIN_LOG", str(folder.parent / f"{folder.name}.log"))
    make(folder, PIPELINE.replace("{mode}", mode), site=SITE, workers=1)
    (folder / "told").mkdir()
    return folder


def told(folder: Path) -> Counter[str]:
    """How often each publication was told, by item."""
    files = [json.loads(path.read_bytes()) for path in folder.glob("told/*.json")]
    assert len({file["key"] for file in files}) == len(files)
    return Counter(file["subject"] for file in files)


def all_right(folder: Path, expected: object, items: list[str]) -> None:
    """The same content as without any kill, told once, and nothing left over."""
    with Site.open(folder) as site:
        assert differences(describe(site), expected) == []
        assert torn(site) == []
        site.sweep()
        assert site.sweep()["temporaries"] == 0
        assert torn(site) == []
        assert site.run().did_nothing
        assert list((folder / "archive").rglob(".*")) == []
    assert told(folder) == Counter({f"plain/note/{key}": 1 for key in items})


def calm(folder: Path, items: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch, mode: str) -> object:
    prepared(folder, monkeypatch, mode)
    with Site.open(folder) as site:
        site.submit("note", items)
        site.run()
        return describe(site)


def rounds(folder: Path, daemons: int, count: int, seed: int, mode: str) -> Counter[str]:
    """Start so many daemons at once, each of which dies at a point that is drawn; returns where they died."""
    drawn, died = random.Random(seed), Counter()
    for _ in range(count):
        with ExitStack() as stack:
            points = [drawn.choice(POINTS[mode]) for _ in range(daemons)]
            running = [
                stack.enter_context(
                    Daemon(folder, env={faults.VARIABLE: f"{point}:{drawn.randint(1, 3)}:kill"})
                )
                for point in points
            ]
            for point, daemon in zip(points, running, strict=True):
                if daemon.wait() == -signal.SIGKILL:
                    died[point] += 1
                else:
                    assert daemon.popen.returncode == 0, daemon.text()
        with Site.open(folder) as site:
            assert torn(site) == []
            for item in site.items(state="poisoned", limit=1000):
                site.publish(item.name, retry=True)
    return died


@pytest.mark.slow
@pytest.mark.parametrize(
    ("catalog", "daemons", "count", "mode"),
    [("sqlite", 2, 1, "copy"), ("sqlite", 8, 1, "move"), ("postgresql", 8, 1, "copy")],
)
def test_daemons_that_die_while_they_publish_leave_one_right_copy_of_each(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    catalog: str,
    daemons: int,
    count: int,
    mode: str,
):
    items = notes(daemons * count)
    expected = calm(tmp_path / "calm", items, monkeypatch, mode)
    wild = prepared(tmp_path / "wild", monkeypatch, mode)
    if catalog == "postgresql":
        template = request.getfixturevalue("migrated_template")
        url = request.getfixturevalue("postgres").database(template=template)
        monkeypatch.setenv("TOWPATH_SITE__CATALOG", url)
    with Site.open(wild) as site:
        site.submit("note", items)
    died = rounds(wild, daemons, count, seed=daemons, mode=mode)
    with Daemon(wild) as last:
        assert last.wait() == 0, last.text()
    print(f"{daemons} daemons, {count} rounds: {sum(died.values())} died, {dict(died)}")
    assert sum(died.values()) >= daemons // 2
    all_right(wild, expected, [str(item["key"]) for item in items])


def test_a_publication_that_was_stopped_goes_on_by_retry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    items = notes(1, size=1)
    folder = prepared(tmp_path / "site", monkeypatch)
    with Site.open(folder) as site:
        site.submit("note", items)
        assert site.stop("n000-0", "publish") == 1
        site.run()
        assert states(site, "n000-0")["publish"] == "stopped"
        assert site.publish("n000-0", retry=True) == 1
        site.run()
        assert states(site, "n000-0")["publish"] == "done"
    assert told(folder) == {"plain/note/n000-0": 1}


def test_an_archive_that_went_away_is_missed_by_a_site_that_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = prepared(tmp_path / "site", monkeypatch)
    with Site.open(folder) as site:
        site.submit("note", notes(1, size=1))
    (folder / "archive").rename(folder / "away")
    with Site.open(folder) as site:
        site.run()
        assert not (folder / "archive").exists()
        assert states(site, "n000-0")["publish"] == "failed"
        assert "the archive is not there" in site.explain("n000-0", "publish")[0].sentences[0]
        (folder / "away").rename(folder / "archive")
        assert site.publish("n000-0", retry=True) == 1
        site.run()
        assert states(site, "n000-0")["publish"] == "done"
        assert torn(site) == []


def test_a_daemon_whose_archive_does_not_answer_ends_when_it_is_asked_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder, gate, mark = prepared(tmp_path / "site", monkeypatch), tmp_path / "gate", tmp_path / "mark"
    gate.touch()
    with Site.open(folder) as site:
        site.submit("note", notes(1, size=1))
    fault = {faults.VARIABLE: "publish.bytes:1:wait", faults.GATE: str(gate), faults.MARK: str(mark)}
    with Daemon(folder, watch=True, env=fault) as daemon:
        wait_for(mark.exists)
        daemon.terminate()
        time.sleep(0.5)  # the first was heard; it waits for what runs
        assert daemon.popen.poll() is None
        daemon.popen.send_signal(signal.SIGINT)  # another: of two of a kind that are pending one is heard
        assert daemon.wait() == 0, daemon.text()
    assert gate.exists()
    with Site.open(folder) as site:
        site.run()
        assert states(site, "n000-0")["publish"] == "done"
        assert torn(site) == []
    assert list((folder / "archive").rglob(".*")) == []
    assert told(folder) == {"plain/note/n000-0": 1}
