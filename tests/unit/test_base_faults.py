"""The fault points: what they do when armed, that each name has a place in the code, and that unarmed they cost nothing."""

import ast
import errno
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from towpath.base import faults

SOURCE = Path(__file__).resolve().parents[2] / "src" / "towpath"
PASS = "from towpath.base import faults\nfor _ in range(4):\n    faults.point('publish.copy')\n    print('passed', flush=True)"


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    faults.arm("")


def child(fault: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, faults.VARIABLE: fault, **more}
    return subprocess.run(
        [sys.executable, "-c", PASS], env=environment, capture_output=True, text=True, check=False
    )


def passes(name: str, count: int) -> list[bool]:
    """Which of the first passes of a point fail."""
    struck = []
    for _ in range(count):
        try:
            faults.point(name)
            struck.append(False)
        except OSError:
            struck.append(True)
    return struck


def test_every_name_has_exactly_one_place_in_the_code_and_every_place_a_name():
    found: Counter[str] = Counter()
    for path in (one for one in SOURCE.rglob("*.py") if "templates" not in one.parts):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "faults.point":
                assert len(node.args) == 1 and isinstance(node.args[0], ast.Constant), path
                found[node.args[0].value] += 1
    assert set(found) == set(faults.POINTS)
    assert {name for name, count in found.items() if count > 1} <= {"catalog.commit", "catalog.committed"}


def test_unarmed_a_point_does_nothing():
    assert passes("publish.copy", 3) == [False] * 3


@pytest.mark.parametrize(
    ("text", "struck"),
    [
        ("publish.copy:1:raise=EIO", [True, False, False]),
        ("publish.copy:2:raise=EIO", [False, True, False]),
        ("publish.copy:2+:raise=EIO", [False, True, True]),
        ("publish.commit:1+:raise=EIO", [False, False, False]),
        ("publish.commit:1:kill,publish.copy:1+:raise=EIO", [True, True, True]),
    ],
)
def test_a_fault_strikes_at_the_passes_that_are_meant(text: str, struck: list[bool]):
    faults.arm(text)
    assert passes("publish.copy", 3) == struck


def test_the_error_is_the_one_that_was_asked_for_and_names_the_point():
    faults.arm("publish.copy:1:raise=ENOSPC")
    with pytest.raises(OSError, match=r"publish\.copy") as caught:
        faults.point("publish.copy")
    assert caught.value.errno == errno.ENOSPC


def test_the_variable_arms_a_process_and_the_default_is_to_kill_it():
    done = child("publish.copy")
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "")
    done = child("publish.copy:3:kill")
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "passed\n" * 2)
    assert child("").stdout == "passed\n" * 4


def test_a_mark_lets_one_of_many_processes_be_struck(tmp_path: Path):
    mark = {faults.MARK: str(tmp_path / "mark")}
    assert child("publish.copy", **mark).returncode == -signal.SIGKILL
    assert (tmp_path / "mark").exists()
    assert child("publish.copy", **mark).returncode == 0


def test_a_wait_ends_when_the_gate_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    gate, mark = tmp_path / "gate", tmp_path / "mark"
    gate.touch()
    monkeypatch.setenv(faults.GATE, str(gate))
    monkeypatch.setenv(faults.MARK, str(mark))
    faults.arm("publish.copy:1:wait")
    thread = threading.Thread(target=faults.point, args=("publish.copy",))
    thread.start()
    while not mark.exists():
        thread.join(0.01)
    thread.join(0.05)
    assert thread.is_alive()
    gate.unlink()
    thread.join(30)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("publish.copi", "no point 'publish.copi'; points are catalog.commit"),
        ("publish.copy:0", "expected name\\[:nth"),
        ("publish.copy:1:explode", "expected name\\[:nth"),
        ("publish.copy:1:raise=ENOTHING", "no error number 'ENOTHING'"),
    ],
)
def test_a_text_that_means_nothing_is_refused_and_leaves_what_was_armed(text: str, said: str):
    faults.arm("publish.copy:1:raise=EIO")
    with pytest.raises(ValueError, match=said):
        faults.arm(text)
    assert passes("publish.copy", 1) == [True]
