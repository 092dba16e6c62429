"""Stages that fail in every way there is, and what operators do about it."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from plainpipe.site import Daemon, make, notes, states, wait_for

from towpath import Site
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
attempts = 3
backoff = "50 ms"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PLAIN_LOG", str(tmp_path / "runs.log"))
    return make(tmp_path, PIPELINE)


def case(key: str, does: str = "write", **attributes: object) -> dict[str, object]:
    return {"key": key, "attributes": {"does": does, **attributes}}


def count(site: Site, line: str) -> int:
    log = site.folder / "runs.log"
    return log.read_text().splitlines().count(line) if log.exists() else 0


def outcomes(site: Site, name: str, stage: str = "trouble") -> list[str]:
    return [run.outcome.value for run in site.runs(name) if run.stage == stage]


def events(site: Site, name: str) -> list[str]:
    return [event.type for event in site.events(item=name)]


# ---- errors, rejections, tries


def test_one_fails_one_is_rejected_and_the_others_go_on(folder: Path):
    with Site.open(folder) as site:
        site.submit("case", [case("bad", "fail"), case("dark", "reject"), case("good"), case("also good")])
        summary = site.run()
        assert summary.runs == {"done": 4, "failed": 1, "rejected": 1}
        assert states(site, "bad") == {"trouble": "failed", "hash": "waiting"}
        assert states(site, "dark") == {"trouble": "rejected", "hash": "waiting"}
        assert set(states(site, "good").values()) == {"done"}
        (bad,) = site.runs("bad")
        assert bad.error == "ValueError: it cannot be"
        log = site.log(bad.name)
        assert "about to fail" in log and 'raise ValueError(attributes.get("why"' in log
        assert site.log("bad:trouble") == log
        (dark,) = site.runs("dark")
        assert dark.reasons == ("too dark", "too short")
        assert site.explain("bad", "trouble")[0].sentences[0] == "it is failed: ValueError: it cannot be"
        assert "it waits for trouble, which is failed" in site.explain("bad", "hash")[0].sentences[0]
        decide = {(one.item, one.action): one.why for one in site.plan().work if one.stage == "trouble"}
        assert decide == {
            ("case/bad", "decide"): "failed: ValueError: it cannot be"
        }  # a rejection is a result
        assert site.run().did_nothing  # what failed is not tried again by itself
        assert site.retry("bad") == 1
        site.run()
        assert outcomes(site, "bad") == ["failed", "failed"]


def test_what_may_work_later_is_tried_again_with_backoff(folder: Path):
    with Site.open(folder) as site:
        site.submit("case", [case("flaky", "transient", times=2)])
        started = time.monotonic()
        summary = site.run()
        assert time.monotonic() - started > 0.15  # 50 ms, then 100 ms
        assert summary.runs == {"transient": 2, "done": 2}
        assert outcomes(site, "flaky") == ["transient", "transient", "done"]
        assert events(site, "flaky").count("transient") == 2
        assert site.show("flaky").work[0].attempts == 0


def test_attempts_used_up_have_failed_and_a_retry_begins_anew(folder: Path):
    with Site.open(folder) as site:
        site.submit("case", [case("away", "transient", times=4)])
        site.run()
        row = site.show("away").work[0]
        assert (row.state.value, row.attempts, row.note) == ("failed", 3, "the disk is away, time 3")
        site.retry("away")
        site.run()
        assert outcomes(site, "away") == ["transient"] * 4 + ["done"]


def test_a_single_run_does_not_wait_longer_than_its_patience(folder: Path):
    with Site.open(folder) as site:
        site.submit("case", [case("away", "transient", times=1, after=3600.0)])
        started = time.monotonic()
        site.run(patience=1.0)
        assert time.monotonic() - started < 20
        assert states(site, "away")["trouble"] == "ready"
        assert "it is tried again at" in site.explain("away", "trouble")[0].sentences[0]


# ---- deaths


def test_a_poison_item_in_a_batch_is_set_aside_and_the_others_finish(folder: Path):
    with Site.open(folder, overrides=["site.workers=1"]) as site:
        items = [case(f"c{number:02d}") for number in range(30)]
        items[11] = case("c11", "segfault")
        items[17] = case("c17", "kill", times=2)
        site.submit("case", items)
        site.run()
        assert states(site, "c11") == {"trouble": "poisoned", "hash": "waiting"}
        assert count(site, "trouble case/c11") == 4
        assert outcomes(site, "c11") == ["lost"] * 4
        assert {run.error for run in site.runs("c11")} == {"segmentation fault (SIGSEGV)"}
        assert outcomes(site, "c17") == ["lost", "lost", "done"]
        assert all("SIGKILL" in run.error for run in site.runs("c17") if run.outcome == "lost")
        others = [f"c{number:02d}" for number in range(30) if number not in (11, 17)]
        assert all(set(states(site, name).values()) == {"done"} for name in others)
        assert all(
            count(site, f"trouble case/{name}") <= 3 for name in others
        )  # with a death, those of its batch
        assert (
            "its worker died 4 times, at last: segmentation fault (SIGSEGV)" in site.show("c11").work[0].note
        )
        assert site.run().did_nothing
        assert site.retry("c11") == 1
        assert states(site, "c11")["trouble"] == "ready"


@pytest.mark.parametrize(
    ("does", "limit", "told"),
    [
        ("sleep", 'time = "400 ms"', "exceeded its time limit of 0.4 s"),
        ("memory", 'memory = "300 MB"', "exceeded its memory limit of 300 MB"),
    ],
)
def test_time_and_memory_limits_are_named(folder: Path, does: str, limit: str, told: str):
    make(folder, PIPELINE + f"resources = {{ {limit} }}\n")
    with Site.open(folder) as site:
        site.submit("case", [case("bad", does), case("good")])
        site.run()
        assert states(site, "bad")["trouble"] == "poisoned"
        assert told in site.show("bad").work[0].note
        assert all(told in run.error for run in site.runs("bad"))
        assert set(states(site, "good").values()) == {"done"}
        assert not list((folder / "store").rglob(".*"))


# ---- what operators do


def test_work_is_held_released_and_stopped(folder: Path):
    with Site.open(folder) as site:
        site.submit("case", [case("a"), case("b"), case("c")])
        assert site.hold("a", "trouble", why="the disk is replaced") == 1
        assert site.stop("b") == 2
        site.run()
        assert states(site, "a") == {"trouble": "held", "hash": "waiting"}
        assert states(site, "b") == {"trouble": "stopped", "hash": "stopped"}
        assert "held: the disk is replaced" in [one.why for one in site.plan().work]
        assert set(states(site, "c").values()) == {"done"}
        assert site.release("a") == 1
        assert site.retry("b") == 2
        site.run()
        assert set(states(site, "a").values()) == set(states(site, "b").values()) == {"done"}


RULES = """
[pipeline]
name = "plain"
[sources.asked]
kind = "submit"
item = "case"
[items.case]
route = "trouble -> hash -> assess -> publish"
[items.case.assess]
rules = [
    { name = "long enough", measure = "length", op = ">=", limit = 100, fail = "hold" },
]
"""


def test_what_a_rule_held_can_be_accepted(folder: Path):
    make(folder, RULES)
    with Site.open(folder) as site:
        site.submit("case", [case("a"), case("b")])
        site.run()
        assert states(site, "a") == {
            "trouble": "done",
            "hash": "done",
            "assess": "held",
            "publish": "waiting",
        }
        (_, verdict, _, _) = site.show("a").verdicts[0]
        assert [(rule.measure, rule.value, rule.limit, rule.result) for rule in verdict.rules] == [
            ("length", 64, 100, "fail")
        ]
        assert site.release("a", accept=True, why="good enough") == 1
        assert site.release("b") == 1  # without: it is judged again, and held again
        site.run()
        assert set(states(site, "a").values()) == {"done"}
        assert states(site, "b")["assess"] == "held"
        assert [row.state.value for row in site.publications("a")] == ["released"]
        assert site.publications("b") == []
        (_, _, _, accepted) = site.show("a").verdicts[-1]
        assert accepted
        assert torn(site) == []


def test_a_running_run_is_stopped_by_another_process(folder: Path):
    with Site.open(folder) as site:
        site.submit("case", [case("long", "sleep"), case("good")])
        with Daemon(folder) as daemon:
            wait_for(
                lambda: states(site, "long")["trouble"] == "running" and count(site, "trouble case/long")
            )
            wait_for(lambda: states(site, "good")["hash"] == "done")
            stopped = time.monotonic()
            assert site.stop("long", why="not today") == 2
            assert daemon.wait() == 0, daemon.text()
            assert time.monotonic() - stopped < 20
        assert states(site, "long") == {"trouble": "stopped", "hash": "stopped"}
        (run,) = site.runs("long")
        assert run.outcome == "stopped" and "not today" in " ".join(run.reasons)
        assert not list((folder / "store").rglob(".*"))


def test_progress_and_the_log_of_a_running_run_are_told(folder: Path):
    seen: set[tuple[str, str, float | None, str]] = set()
    with Site.open(folder) as site:
        site.submit("case", [case("long", "sleep", seconds=2.0)])
        site.run(tick=lambda progress: seen.update(progress.running()))
    assert ("long", "trouble", 0.1, "asleep") in seen


def test_sigterm_finishes_what_runs_and_gives_back_the_rest(folder: Path):
    with Site.open(folder) as site:
        site.submit("case", [case(f"c{number}", "sleep", seconds=0.5) for number in range(12)])
        with Daemon(folder) as daemon:
            wait_for(lambda: count(site, "trouble case/c0"))
            daemon.terminate()
            assert daemon.wait() == 0, daemon.text()
            assert "ended='stopped'" in daemon.text()
        now = [states(site, f"c{number}")["trouble"] for number in range(12)]
        assert "running" not in now
        assert now.count("done") >= 1 and now.count("ready") >= 6
        assert all(row.deaths == 0 for number in range(12) for row in site.show(f"c{number}").work)
        assert site.status().sessions == ()
        assert outcomes(site, "c0") == ["done"]  # nothing was thrown away
        site.run()
        assert all(set(states(site, f"c{number}").values()) == {"done"} for number in range(12))
        assert all(count(site, f"trouble case/c{number}") == 1 for number in range(12))


def test_asked_twice_it_gives_up_what_runs(folder: Path):
    with Site.open(folder) as site:
        site.submit("case", [case("long", "sleep", seconds=60.0)])
        with Daemon(folder) as daemon:
            wait_for(lambda: count(site, "trouble case/long"))
            daemon.terminate()
            time.sleep(1.0)
            assert daemon.popen.poll() is None
            daemon.popen.send_signal(signal.SIGINT)  # another: of two of a kind that are pending one is heard
            assert daemon.wait(30.0) == 0, daemon.text()
        row = site.show("long").work[0]
        assert (row.deaths, row.state.value) == (0, "running")
        with site.catalog.read() as view:
            assert row.due <= view.now()  # free for whoever comes
            assert view.sessions() == []


def test_what_is_asked_while_it_runs_is_not_lost(folder: Path):
    with Site.open(folder) as site:
        site.submit("case", [case("long", "sleep", seconds=1.0)])
        asked = False

        def tick(_: object) -> None:
            nonlocal asked
            if not asked and count(site, "trouble case/long"):
                asked = True
                site.rerun("long", why="the instrument was set wrongly")

        site.run(tick=tick)
        assert set(states(site, "long").values()) == {"done"}
        assert outcomes(site, "long") == ["done", "done"]
        assert outcomes(site, "long", "hash") == ["done"]
        assert len([one for one in site.show("long").products if one.stage == "trouble"]) == 1
        assert torn(site) == []


# ---- disks


def test_an_output_that_the_disk_does_not_take_is_said_on_its_item(folder: Path):
    with Site.open(folder) as site:
        site.submit("case", [case("large", bytes=3_000_000), case("good"), case("other")])
        with Daemon(folder, env={"PLAIN_FILE_LIMIT": "2000000"}) as daemon:
            assert daemon.wait() == 0, daemon.text()
        assert states(site, "large") == {"trouble": "failed", "hash": "waiting"}
        assert site.show("large").work[0].note == "OSError: [Errno 27] File too large"
        assert set(states(site, "good").values()) == set(states(site, "other").values()) == {"done"}
        assert not list((folder / "store").rglob("*large*"))
        site.retry("large")
        site.run()
        assert set(states(site, "large").values()) == {"done"}
        assert torn(site) == []


def test_a_catalog_that_cannot_grow_ends_the_run_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PLAIN_LOG", str(tmp_path / "runs.log"))
    make(tmp_path)
    with Site.open(tmp_path) as site:
        site.submit("note", notes(50))
    with Daemon(
        tmp_path, env={"PLAIN_FILE_LIMIT": str((tmp_path / "catalog.sqlite").stat().st_size)}
    ) as daemon:
        assert daemon.wait() != 0
        assert "SiteError" in daemon.text() and "the catalog could not be written" in daemon.text()
    with Site.open(tmp_path) as site:
        assert torn(site) == []
        site.run()
        assert all(set(states(site, item.name).values()) == {"done"} for item in site.items(limit=1000))
        assert torn(site) == []
        assert site.status().sessions == ()


# ---- several processes


def test_two_processes_share_the_work_and_double_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PLAIN_LOG", str(tmp_path / "runs.log"))
    delays = "[pipelines.plain.override.items.note.stages.write]\nparams = { delay = 0.02 }\n"
    make(tmp_path, site=delays)
    with Site.open(tmp_path) as site:

        def lines() -> list[str]:
            log = tmp_path / "runs.log"
            return log.read_text().splitlines() if log.exists() else []

        def is_done(sets: int) -> bool:
            with site.catalog.read() as view:
                return len(lines()) >= sets * 9 and {queue[3] for queue in view.counts()} == {"done"}

        def workers() -> set[str]:
            items = site.items(kind="note", limit=10_000)
            return {run.worker for item in items for run in site.runs(item.name)}

        with Daemon(tmp_path, watch=True) as one, Daemon(tmp_path, watch=True) as other:
            wait_for(lambda: len(site.status().sessions) == 2)
            sets = 0
            while len(workers()) < 3 and sets < 400:  # two workers each: until both took part
                site.submit("note", notes(40, sets))
                sets += 40
                wait_for(lambda sets=sets: is_done(sets), 120.0)
            for daemon in (one, other):
                daemon.terminate()
                assert daemon.wait() == 0, daemon.text()
        assert len(lines()) == len(set(lines())) == sets * 9
        with site.catalog.read() as view:
            assert set(view.counts()) == {(*queue[:3], "done") for queue in view.counts()}
        assert len(workers()) >= 3, workers()
        assert torn(site) == []
        assert site.run().did_nothing


def test_two_threads_of_one_process_may_run_sites_of_their_own(tmp_path: Path):
    folders = [make(tmp_path / name, executor="inline") for name in ("a", "b")]
    found: dict[str, object] = {}

    def work(folder: Path) -> None:
        with Site.open(folder) as site:
            site.submit("note", notes(2))
            site.run()
            found[folder.name] = describe(site)

    threads = [threading.Thread(target=work, args=(folder,)) for folder in folders[:1]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    work(folders[1])
    assert differences(found["a"], found["b"]) == []


def test_a_late_worker_cannot_commit(folder: Path):
    """The daemon is stopped (not killed) until others took over what it held; then it goes on, and its run ends."""
    gate = folder / "gate"
    gate.touch()
    with Site.open(folder) as site:
        site.submit("case", [case("long", "wait", gate=str(gate))])
        with Daemon(folder) as daemon:
            wait_for(lambda: count(site, "trouble case/long"))
            daemon.popen.send_signal(signal.SIGSTOP)
            try:
                row = site.show("long").work[0]
                number = site.catalog.write(lambda tx: tx.expire(int(row.owner), give_back=True))
                assert number == 1
                site.run()
                assert set(states(site, "long").values()) == {"done"}
                before = describe(site)
            finally:
                os.kill(daemon.popen.pid, signal.SIGCONT)
                gate.unlink()
            assert daemon.wait() == 0, daemon.text()
        assert differences(describe(site), before) == []
        assert outcomes(site, "long") == ["lost", "done"]
        assert torn(site) == []
        assert site.run().did_nothing
