"""Reading in a child with limits: whatever a file does to its reader is an outcome, and no process is left."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from towpath.pipelines.compchem.science import sandbox
from towpath.pipelines.compchem.science.outcome import Outcome, Status

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # the server of the sandbox finds the readers as this process does

Read = Callable[..., sandbox.Ran]


@pytest.fixture(scope="module", autouse=True)
def _server() -> Iterator[None]:
    yield
    sandbox.close()


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Run one of the hostile readers in a new folder, with limits that are small unless said otherwise."""
    path = tmp_path / "-a file; $HOME é.out"
    path.write_text("content")

    def run(name: str, **given: Any) -> sandbox.Ran:
        folder = tmp_path / f"made-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        limits = {"seconds": 20.0, "memory": 400_000_000, "output": 1_000_000, **given}
        return sandbox.run_limited(f"hostile_readers:{name}", {"file": [path]}, folder, **limits)

    return run


def living(pids: list[int]) -> list[int]:
    """Those of the processes that are there and not only wait to be reaped."""
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
    return found


def wait_for(what: Callable[[], Any], seconds: float = 20.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)
    return found


def test_an_outcome_comes_back_and_what_is_printed_goes_to_the_log(read: Read, monkeypatch: Any) -> None:
    sandbox.close()
    monkeypatch.setenv("TOWPATH_RUN_TOKEN", "secret")
    printed: list[str] = []
    ran = read("well", log=printed.append, preload=["colorsys", "no_such_module"])
    outcome, facts = ran.outcome, ran.outcome.facts
    assert (outcome.status, outcome.sentence) == (Status.SUCCESS, "All was read.")
    assert outcome.files == {"metadata": "metadata.json"}
    assert outcome.parser == {"name": "own", "version": "1"}
    assert facts["text"] == "content"
    assert facts["server"] == sandbox.server_pid()
    assert facts["group"] == facts["pid"]  # a group of its own, so that all of it can be ended
    assert Path(facts["cwd"]).name.startswith("made-")
    assert (facts["threads"], facts["told"], facts["preloaded"]) == ("1", [], True)
    text = "".join(printed)
    assert "reading -a file; $HOME é.out\n" in text
    assert "careful\n" in text
    assert "No module named 'no_such_module'" in text
    assert 0 < ran.seconds < 20
    assert 0 < ran.cpu < 20


def test_the_server_serves_again(read: Read) -> None:
    one, other = read("well").outcome.facts, read("well").outcome.facts
    assert one["server"] == other["server"]
    assert one["pid"] != other["pid"]


def test_what_a_child_prints_is_printed_by_this_process(read: Read, capfd: Any) -> None:
    read("well")
    assert "careful\n" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("name", "limits", "sentence"),
    [
        ("endless", {"seconds": 0.5}, "Reading this file did not end within 0.5 s and was stopped."),
        ("endless", {"cpu": 1.0}, "Reading this file did not end within 1 s and was stopped."),
        ("prints", {"seconds": 0.5}, "Reading this file did not end within 0.5 s and was stopped."),
        ("memory", {}, "Reading this file needed more than 400 MB of memory and was stopped."),
        ("memory_by_cause", {}, "Reading this file needed more than 400 MB of memory and was stopped."),
        ("killed", {}, "Reading this file needed more than 400 MB of memory and was stopped."),
        ("one_large_file", {}, "Reading this file wrote more than 1 MB and was stopped."),
        ("many_files", {}, "Reading this file wrote more than 1 MB and was stopped."),
        ("quietly_too_much", {}, "Reading this file wrote more than 1 MB and was stopped."),
        ("segfault", {}, "Reading this file ended in a crash (segmentation fault): nothing could be used."),
        ("exits", {}, "Reading this file ended in a crash (it ended without saying what came of it)"),
        ("exits_three", {}, "Reading this file ended in a crash (it exited with status 3)"),
        ("garbles", {}, "Reading this file ended in a crash (it ended without saying what came of it)"),
        ("wrong_status", {}, "Reading this file ended in a crash (it ended without saying what came of it)"),
        ("sys_exits", {}, "Reading this file failed (SystemExit: enough): the file is not what it seems"),
        ("nothing", {}, "Reading this file failed (TypeError: hostile_readers:nothing gave NoneType;"),
        ("unreadable", {}, "The file is a picture. Upload the output itself."),
    ],
)
def test_what_goes_wrong_is_a_sentence(
    name: str, limits: dict[str, Any], sentence: str, read: Read, capfd: Any
) -> None:
    outcome = read(name, **limits).outcome
    assert outcome.status is Status.FAILURE
    assert outcome.sentence.startswith(sentence)
    assert name == "unreadable" or outcome.sentence.endswith(("what it is.", "raise the limit."))
    assert "\n" not in outcome.sentence
    assert "Traceback" not in outcome.sentence
    assert read("well").outcome.status is Status.SUCCESS  # and the next run is as if nothing had been
    capfd.readouterr()


def test_an_exception_is_told_shortly_and_its_traceback_is_in_the_log(read: Read) -> None:
    printed: list[str] = []
    outcome = read("raises", log=printed.append, doing="drawing the pictures").outcome
    assert outcome.sentence.startswith("Drawing the pictures failed (KeyError: 'line 12\\nxxx")
    assert len(outcome.sentence) < 500
    assert 'hostile_readers.py", line' in "".join(printed)


def test_a_flood_of_text_is_cut(read: Read) -> None:
    printed: list[str] = []
    read("prints", seconds=0.5, log=printed.append)
    text = "".join(printed)
    assert 1_000_000 < len(text) < 1_100_000
    assert text.count("what it prints from here on is left out") == 1


def test_the_crash_of_a_parser_leaves_its_stack_in_the_log(read: Read) -> None:
    printed: list[str] = []
    read("segfault", log=printed.append)
    assert "Fatal Python error: Segmentation fault" in "".join(printed)


def test_a_full_disk_is_no_fault_of_the_file(read: Read, capfd: Any) -> None:
    with pytest.raises(OSError, match="No space left on device"):
        read("disk_full")


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("needs", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("no_such_reader", "ImportError: cannot import name 'no_such_reader' from 'hostile_readers'"),
    ],
)
def test_what_is_not_installed_is_no_fault_of_the_file(name: str, error: str, read: Read, capfd: Any) -> None:
    with pytest.raises(sandbox.NotLoaded, match=f"what reading this file needs is not installed: {error}"):
        read(name)


def test_what_was_promised_and_is_not_there_is_told(read: Read) -> None:
    outcome = read("promises").outcome
    assert (outcome.status, outcome.files) == (Status.PARTIAL, {})
    assert outcome.sentence == "All was read. What should have been made is not there: metadata, table."


def test_children_that_go_on_are_ended(read: Read) -> None:
    pids = read("children_go_on").outcome.facts["pids"]
    assert len(pids) == 3
    assert living(pids) == []


def test_all_of_what_is_stopped_is_ended(read: Read, tmp_path: Path) -> None:
    outcome = read("waits_then_floods").outcome
    assert outcome.sentence.startswith("Reading this file wrote more than 1 MB and was stopped.")
    (begun,) = tmp_path.glob("made-*/begun")
    family = [int(pid) for pid in begun.read_text().split()]
    assert len(family) == 2
    assert living(family) == []


def test_a_server_that_was_killed_is_started_again(read: Read) -> None:
    before = read("well").outcome.facts["server"]
    os.kill(before, signal.SIGKILL)
    assert read("well").outcome.facts["server"] != before


def test_a_server_that_is_killed_at_work_is_started_once_more(tmp_path: Path) -> None:
    count = tmp_path / "count"
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "rest").mkdir()
    given = {"file": [count]}
    limits: dict[str, Any] = {"seconds": 20.0, "memory": 400_000_000, "output": 1_000_000}
    count.write_text("1")
    ran = sandbox.run_limited("hostile_readers:kills_server", given, folder, **limits)
    assert ran.outcome.facts["left"] == []  # it begins anew
    count.write_text("2")
    with pytest.raises(sandbox.ServerLost, match=r"ended twice \(it was ended\)"):
        sandbox.run_limited("hostile_readers:kills_server", given, folder, **limits)
    assert count.read_text() == "0"


def test_a_server_that_does_not_answer_is_given_up(read: Read, monkeypatch: Any) -> None:
    server = read("well").outcome.facts["server"]
    os.kill(server, signal.SIGSTOP)
    monkeypatch.setattr(sandbox, "_ENDING", 0.1)
    monkeypatch.setattr(sandbox, "_IMPORTING", 0.3)
    monkeypatch.setattr(sandbox._Server, "_send", lambda *_: None)  # the one that is new hears nothing
    with pytest.raises(sandbox.ServerLost, match="it did not answer in time"):
        read("well")
    assert living([server]) == []


def test_interrupting_ends_what_runs(read: Read, tmp_path: Path) -> None:
    def interrupt(text: str) -> None:
        raise KeyboardInterrupt

    server = read("well").outcome.facts["server"]
    with pytest.raises(KeyboardInterrupt):
        read("endless", log=interrupt)
    (begun,) = tmp_path.glob("made-*/begun")
    assert living([server, int(begun.read_text())]) == []
    assert read("well").outcome.facts["server"] != server


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from towpath.pipelines.compchem.science.sandbox import run_limited
run_limited("hostile_readers:waits", {}, Path(sys.argv[2]), seconds=60.0, memory=1 << 29, output=1 << 20)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_stopping_who_asks_leaves_no_process(number: int, tmp_path: Path) -> None:
    asks = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(HERE), str(tmp_path)], stderr=subprocess.DEVNULL
    )
    begun = tmp_path / "begun"
    wait_for(begun.exists)
    family = [int(pid) for pid in begun.read_text().split()]
    servers = [child.pid for child in psutil.Process(asks.pid).children()]
    assert len(servers) == 1
    assert len(living(family + servers)) == 3
    os.kill(asks.pid, number)
    asks.wait(20)
    wait_for(lambda: not living(family + servers))


def test_a_fork_of_this_process_has_no_server(read: Read) -> None:
    server = read("well").outcome.facts["server"]
    child = os.fork()
    if not child:
        os._exit(0 if sandbox.server_pid() is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert read("well").outcome.facts["server"] == server


def test_an_outcome_that_is_too_long_is_not_read(read: Read, monkeypatch: Any) -> None:
    monkeypatch.setattr(sandbox, "_MOST_TOLD", 10)
    outcome: Outcome = read("well").outcome
    assert outcome.sentence.startswith("Reading this file ended in a crash (it said more than 10 bytes)")
