"""What a machine or a careless person does to a running site: clocks, disks, folders, hungry and stubborn runs."""

import os
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from plainpipe.site import RUN, Daemon, make, notes, states, wait_for

from towpath import Site
from towpath.base import faults
from towpath.testing.content import describe, differences, torn

PIPELINE = """
[pipeline]
name = "plain"
[sources.asked]
kind = "submit"
item = "case"
[items.case]
route = "trouble -> hash"
[items.case.stages.trouble]
attempts = 4
backoff = "200 ms"
"""
SLOW = "[pipelines.plain.override.items.note.stages.hash]\nparams = { delay = 0.05 }\n"
BRIEF = "[pipelines.plain.override.items.set.publish]\nbackoff = '200 ms'\n"


@pytest.fixture(autouse=True)
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PLAIN_LOG", str(tmp_path / "runs.log"))
    return tmp_path / "runs.log"


def lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def case(key: str, does: str = "write", **attributes: object) -> dict[str, object]:
    return {"key": key, "attributes": {"does": does, **attributes}}


def calm(folder: Path, sets: int, monkeypatch: pytest.MonkeyPatch, site: str = "") -> dict[str, object]:
    """What an undisturbed run of so many sets of notes gives."""
    with monkeypatch.context() as patch:
        patch.setenv("PLAIN_LOG", str(folder / "calm.log"))
        with Site.open(make(folder / "calm", site=site, executor="inline")) as still:
            still.submit("note", notes(sets))
            still.run()
            return describe(still)


def is_whole(site: Site, expected: dict[str, object]) -> None:
    """The content is that of the undisturbed run, nothing is torn, and nothing is left to do."""
    assert differences(describe(site), expected) == []
    assert torn(site) == []
    assert site.run().did_nothing


# ---- clocks


@pytest.mark.parametrize("seconds", [-3600.0, 3600.0])
def test_a_clock_that_is_set_makes_nothing_wait_and_nothing_run_twice(
    tmp_path: Path, seconds: float, log: Path, monkeypatch: pytest.MonkeyPatch
):
    expected = calm(tmp_path, 6, monkeypatch, SLOW)
    clock, gate, mark = tmp_path / "clock", tmp_path / "gate", tmp_path / "mark"
    clock.write_text("0")
    gate.touch()
    at_work = {faults.VARIABLE: "process.complete:3:wait", faults.GATE: str(gate), faults.MARK: str(mark)}
    site_folder = make(tmp_path / "site", site=SLOW)
    with Site.open(site_folder) as site:
        site.submit("note", notes(6))
        with Daemon(site_folder, env={"PLAIN_CLOCK": str(clock), **at_work}) as daemon:
            wait_for(mark.exists)
            clock.write_text(str(seconds))
            gate.unlink()
            assert daemon.wait(60) == 0, daemon.text()
    assert len(lines(log)) == len(set(lines(log))) == 6 * 9
    monkeypatch.setattr(time, "time", _shifted(seconds))
    with Site.open(site_folder) as site:
        is_whole(site, expected)
        told = [event for event in site.events(limit=100_000) if event.type == "clock"]
        assert len(told) == (seconds < 0)


def _shifted(seconds: float) -> Callable[[], float]:
    true = time.time
    return lambda: true() + seconds


def test_what_a_daemon_held_that_died_before_the_clock_was_set_back_is_free_at_once(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
):
    expected = calm(tmp_path, 3, monkeypatch, SLOW)
    clock = tmp_path / "clock"
    clock.write_text("3600")
    site_folder = make(tmp_path / "site", site=SLOW)
    with monkeypatch.context() as patch, Site.open(site_folder) as site:
        patch.setattr(time, "time", _shifted(3600.0))
        site.submit("note", notes(3))
    with Daemon(site_folder, env={"PLAIN_CLOCK": str(clock)}) as daemon:
        wait_for(lambda: len(lines(log)) > 5)
        daemon.kill()
    with Daemon(site_folder) as daemon:
        assert daemon.wait(60) == 0, daemon.text()
    with Site.open(site_folder) as site:
        is_whole(site, expected)


# ---- runs that misbehave


def test_a_poison_item_in_a_batch_of_256_leaves_no_mark_on_the_others(tmp_path: Path, log: Path):
    with Site.open(make(tmp_path / "site", PIPELINE, workers=1)) as site:
        first = [case(f"a{number:03d}") for number in range(100)]  # so that batches have grown
        site.submit("case", first)
        site.run(only=[str(one["key"]) for one in first])
        items = [case(f"c{number:03d}") for number in range(256)]
        items[130] = case("c130", "segfault")
        site.submit("case", items)
        site.run()
        found = {item.key: site.show(item.name) for item in site.items(limit=1000)}
        poison = found.pop("c130")
        assert {row.stage: row.state.value for row in poison.work} == {
            "trouble": "poisoned",
            "hash": "waiting",
        }
        assert [run.outcome.value for run in site.runs("c130")] == ["lost"] * 4
        for key, details in found.items():
            assert [(row.state.value, row.deaths) for row in details.work] == [("done", 0)] * 2, key
            assert [run.outcome.value for run in site.runs(key)] == ["done"] * 2, key
        assert torn(site) == []


def test_a_run_that_ignores_every_signal_ends_at_its_time_limit_and_with_its_daemon(
    tmp_path: Path, log: Path
):
    limited = PIPELINE + 'resources = { time = "500 ms" }\n'
    with Site.open(make(tmp_path / "site", limited)) as site:
        site.submit("case", [case("bad", "stubborn"), case("good")])
        site.run()
        assert states(site, "bad")["trouble"] == "poisoned"
        assert "exceeded its time limit of 0.5 s" in site.show("bad").work[0].note
        assert set(states(site, "good").values()) == {"done"}
    make(tmp_path / "site", PIPELINE)
    with Site.open(tmp_path / "site") as site:
        site.retry("bad")
        before = lines(log).count("trouble case/bad")  # runs may have ended before they told
        with Daemon(tmp_path / "site") as daemon:
            wait_for(lambda: lines(log).count("trouble case/bad") > before)
            workers = daemon.workers()
            daemon.terminate()
            # A second time, so that what runs is given up: of two of a kind that are pending one is heard.
            daemon.popen.send_signal(signal.SIGINT)
            assert daemon.wait(30) == 0, daemon.text()
        wait_for(lambda: not any(worker.is_running() for worker in workers))
        assert site.show("bad").work[0].deaths == 0


def test_a_run_that_floods_its_output_fails_and_the_disk_is_given_back(tmp_path: Path):
    with Site.open(make(tmp_path / "site", PIPELINE)) as site:
        site.submit("case", [case("bad", "flood"), case("good")])
        site.run()
        assert states(site, "bad")["trouble"] == "failed"
        assert "log limit" in site.show("bad").work[0].note
        assert set(states(site, "good").values()) == {"done"}
    logs = sum(path.stat().st_size for path in (tmp_path / "site" / ".towpath").rglob("*.log"))
    assert logs <= 2 * (64 << 20) + (1 << 20)  # the worker's file, and the run's copy of it: both were cut


# ---- disks and folders


def test_a_disk_that_is_full_is_tried_again_and_nobody_has_to_do_anything(tmp_path: Path, log: Path):
    with Site.open(make(tmp_path / "site", PIPELINE)) as site:
        site.submit("case", [case("a", "full", times=2), case("b")])
        site.run()
        assert [run.outcome.value for run in site.runs("a") if run.stage == "trouble"] == [
            "transient", "transient", "done"
        ]  # fmt: skip
        assert set(states(site, "a").values()) == {"done"}


def test_a_store_that_was_full_goes_on_when_there_is_room(tmp_path: Path, small_disk: Path, log: Path):
    site_folder = make(
        tmp_path / "site",
        PIPELINE.replace("attempts = 4", "attempts = 100"),
        site=f'[roots]\nstore = "{small_disk}"\n',
    )
    (small_disk / "ballast").write_bytes(b"x" * 900_000)
    with Site.open(site_folder) as site:
        site.submit("case", [case(f"c{number}", bytes=100_000) for number in range(6)])
        with Daemon(site_folder) as daemon:
            wait_for(lambda: len(lines(log)) > 8)
            (small_disk / "ballast").unlink()
            assert daemon.wait(60) == 0, daemon.text()
        for number in range(6):
            assert set(states(site, f"c{number}").values()) == {"done"}
        outcomes = {run.outcome.value for item in site.items() for run in site.runs(item.name)}
        assert outcomes == {"transient", "done"}
        assert not list(small_disk.rglob(".*"))
        assert torn(site) == []


def test_logs_that_the_disk_does_not_take_cost_only_themselves(tmp_path: Path, small_disk: Path):
    site_folder = make(tmp_path / "site", PIPELINE)
    (site_folder / ".towpath").mkdir()
    (site_folder / ".towpath" / "logs").symlink_to(small_disk)
    with (small_disk / "ballast").open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            while _takes(file, size):
                pass
    with Site.open(site_folder) as site:
        site.submit("case", [case("bad", "fail"), case("good")])
        site.run()
        assert states(site, "bad")["trouble"] == "failed"
        assert set(states(site, "good").values()) == {"done"}


def _takes(file: object, size: int) -> bool:
    try:
        return file.write(b"x" * size) == size
    except OSError:
        return False


@pytest.mark.parametrize("what", ["store", "logs", "workers", "sessions", "archive"])
def test_a_folder_that_is_deleted_under_a_running_site(
    tmp_path: Path, what: str, log: Path, monkeypatch: pytest.MonkeyPatch
):
    expected = calm(tmp_path, 6, monkeypatch, SLOW + BRIEF)
    site_folder = make(tmp_path / "site", site=SLOW + BRIEF)
    place = site_folder / what if what in ("store", "archive") else site_folder / ".towpath" / what
    with Site.open(site_folder) as site:
        site.submit("note", notes(6))
        with Daemon(site_folder) as daemon:
            wait_for(lambda: len(lines(log)) > 12 and (what != "archive" or _is_published(site)))
            place.mkdir(parents=True, exist_ok=True)  # of logs there may be none yet
            place.rename(tmp_path / "gone")
            shutil.rmtree(tmp_path / "gone", ignore_errors=True)
            if what == "archive":
                time.sleep(0.3)
                place.mkdir(exist_ok=True)  # it is mounted again
            assert daemon.wait(90) == 0, daemon.text()
        site.run()  # what is missing is found, and made again
        if (
            what == "archive"
        ):  # what was published and taken away is told: nobody can make it again but a person
            assert torn(site) != []
            return
        is_whole(site, expected)


def _is_published(site: Site) -> bool:
    return any(row.state.value == "released" for row in site.publications())


ARRIVING = """
[pipeline]
name = "plain"
[sources.drop]
kind = "folder"
item = "note"
pattern = "{name}.txt"
key = "{name}"
type = "plain/raw"
settled = "rename"
scan_every = "1 s"
[items.note]
route = "copy -> hash"
"""


def test_incoming_that_is_deleted_and_made_again_is_watched_again(tmp_path: Path, log: Path):
    site_folder = make(tmp_path / "site", ARRIVING)
    incoming = site_folder / "incoming"
    with Site.open(site_folder) as site, Daemon(site_folder, watch=True) as daemon:
        for number in range(3):
            incoming.mkdir(exist_ok=True)
            (incoming / f".n{number}").write_text(f"text {number}")
            (incoming / f".n{number}").rename(incoming / f"n{number}.txt")
            wait_for(lambda number=number: f"hash note/n{number}" in lines(log))
            wait_for(lambda number=number: states(site, f"n{number}")["hash"] == "done")
            shutil.rmtree(incoming)
            time.sleep(1.2)
        assert daemon.popen.poll() is None, daemon.text()
        daemon.terminate()
        assert daemon.wait() == 0, daemon.text()


def test_a_read_only_archive_is_told_and_goes_on_when_it_may_be_written(
    tmp_path: Path, unprivileged: Callable[..., object], monkeypatch: pytest.MonkeyPatch
):
    expected = calm(tmp_path, 2, monkeypatch, BRIEF)
    site_folder = make(tmp_path / "site", site=BRIEF)
    with Site.open(site_folder) as site:
        site.submit("note", notes(2))
    (site_folder / "archive").chmod(0o555)
    done = unprivileged(sys.executable, "-c", RUN, site_folder, "once", "20", env=_with_path(site_folder))
    assert "Permission denied" in done.stdout + done.stderr or done.returncode == 0
    with Site.open(site_folder) as site:
        failed = [
            row
            for item in site.items(state="failed")
            for row in site.show(item.name).work
            if row.state == "failed"
        ]
        assert {(row.stage, "Permission denied" in row.note) for row in failed} == {("publish", True)}
        (site_folder / "archive").chmod(0o755)
        for item in site.items(state="failed"):
            site.publish(item.name, retry=True)
        site.run()
        is_whole(site, expected)


def _with_path(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent), "HOME": str(folder)}


# ---- the catalog


@pytest.mark.parametrize("seconds", [3.0, pytest.param(65.0, marks=pytest.mark.slow)])
def test_a_catalog_that_somebody_locks_is_waited_for(
    tmp_path: Path, seconds: float, log: Path, monkeypatch: pytest.MonkeyPatch
):
    expected = calm(tmp_path, 6, monkeypatch, SLOW)
    site_folder = make(tmp_path / "site", site=SLOW)
    with Site.open(site_folder) as site:
        site.submit("note", notes(6))
    with Daemon(site_folder) as daemon:
        wait_for(lambda: len(lines(log)) > 10)
        with closing(
            sqlite3.connect(site_folder / "catalog.sqlite", isolation_level=None, timeout=30)
        ) as other:
            other.execute("BEGIN EXCLUSIVE")
            time.sleep(seconds)
            other.execute("ROLLBACK")
        assert daemon.wait(90) == 0, daemon.text()
    assert len(lines(log)) == len(set(lines(log))) == 6 * 9
    with Site.open(site_folder) as site:
        is_whole(site, expected)
