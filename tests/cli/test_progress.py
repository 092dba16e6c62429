"""What is seen while work runs: bars on a terminal, lines elsewhere, failures as they happen; and Ctrl-C."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from towpath.cli.progress import how_far

Command = Callable[..., Any]
LIMIT = 90.0  # seconds
SLOW = """import time
        for step in range(24):
            context.progress(step / 24, f"step {step}")
            time.sleep(0.05)
        kept ="""


class Terminal:
    """A command on a terminal of 80 columns."""

    def __init__(self, *argv: str, folder: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TOWPATH_")}
        for name in ("COLUMNS", "NO_COLOR"):
            kept.pop(name, None)
        self._screen, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 80, 0, 0))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "towpath", *argv],
            cwd=folder, env={**kept, "TERM": "xterm-256color"}, stdin=other, stdout=other, stderr=other,
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(other)
        self.raw = ""

    def until(self, text: str) -> None:
        """Read until the text is there."""
        end = time.monotonic() + LIMIT
        while text not in self.plain:
            assert time.monotonic() < end, self.plain
            assert self._read(), f"it ended without {text!r}: {self.plain}"

    def press(self, keys: bytes) -> None:
        os.write(self._screen, keys)

    def end(self) -> int:
        """Read to the end; returns the exit code."""
        end = time.monotonic() + LIMIT
        while self._read():
            assert time.monotonic() < end, self.plain
        os.close(self._screen)
        return self._process.wait(LIMIT)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._screen], [], [], 1.0)
        if not ready:
            return self._process.poll() is None
        try:
            part = os.read(self._screen, 65536)
        except OSError:
            return False
        self.raw += part.decode("utf-8", errors="replace")
        return bool(part)

    @property
    def plain(self) -> str:
        """What was written, without colours and movements."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.raw)


@pytest.fixture
def slow(fresh: Path) -> Path:
    """Give a site whose stage takes a second, and fails on one of four files."""
    stages = fresh / fresh.name / "stages.py"
    stages.write_text(stages.read_text().replace("kept =", SLOW))
    for name in ("a", "b"):
        (fresh / "incoming" / f"{name}.csv").write_text("time,value\n0,1\n1,2\n")
    (fresh / "incoming" / "broken.csv").write_text("time,level\n0,1\n")
    return fresh


def test_bars_failures_and_the_end_on_a_terminal(slow: Path) -> None:
    shown = Terminal("run", "--workers", "2", folder=slow)
    shown.until("step ")
    code = shown.end()
    assert code == 1
    assert "━━━━" in shown.plain
    assert "1 failed" in shown.plain
    assert re.search(r"failed  series/broken clean: KeyError: 'value'", shown.plain)
    assert re.search(r"clean  (a|b|first) +\d+%  step \d+", shown.plain)
    last = shown.plain[shown.plain.rindex("runs in") :]
    assert "series/broken  clean  failed" in last
    assert max(len(line) for line in shown.plain.splitlines()) <= 82
    assert shown.raw.rindex("\x1b[?25h") > shown.raw.rindex("\x1b[?25l"), "the cursor is visible again"


def test_stages_of_several_kinds_with_one_name_are_told_together() -> None:
    counts = {
        ("lab", "a", "parse", "done"): 1,
        ("lab", "a", "parse", "waiting"): 1,
        ("lab", "b", "parse", "ready"): 3,
        ("lab", "b", "draw", "done"): 3,
    }
    order = [("lab", "a", "parse"), ("lab", "b", "parse"), ("lab", "b", "draw")]
    assert how_far(counts, order) == "parse 1/5"


def test_lines_without_colours_in_a_pipe(spawn: Command, slow: Path) -> None:
    done = spawn("run", "--workers", "1", folder=slow)
    assert done.code == 1
    assert "\x1b" not in done.out + done.err
    assert "failed  series/broken clean: KeyError: 'value'" in done.err
    assert re.search(r"clean \d/4, publish \d/4; now: \w+ clean", done.err)
    assert "━" not in done.err
    assert "stage    waiting  done  failed" in done.out


def test_ctrl_c_ends_in_good_order_and_the_next_run_goes_on(spawn: Command, slow: Path) -> None:
    shown = Terminal("run", "--workers", "1", folder=slow)
    shown.until("step ")
    shown.press(b"\x03")
    assert shown.end() == 130
    assert "stopped" in shown.plain
    assert "Traceback" not in shown.plain
    left = spawn("status", "--json", folder=slow).document
    assert not left["sessions"]
    assert "running" not in {row["state"] for row in left["work"]}
    rest = spawn("run", "--json", folder=slow).document
    done = {(row["stage"], row["state"]): row["count"] for row in rest["work"]}
    assert done["publish", "done"] == 3


def test_a_second_ctrl_c_gives_up_what_runs(spawn: Command, slow: Path) -> None:
    stages = slow / slow.name / "stages.py"
    stages.write_text(stages.read_text().replace("time.sleep(0.05)", "time.sleep(0.05 + 60 * (step > 4))"))
    shown = Terminal("run", "--workers", "1", folder=slow)
    shown.until("step ")
    shown.press(b"\x03")
    time.sleep(0.5)
    shown.press(b"\x03")
    assert shown.end() == 130
    left = spawn("status", "--json", folder=slow).document
    assert "done" not in {row["state"] for row in left["work"]}
    assert not left["sessions"], "nothing has to be unlocked: the leases are given back"


def test_the_log_of_a_run_that_goes_on_is_waited_for(spawn: Command, slow: Path) -> None:
    running = Terminal("run", folder=slow)
    running.until("a ")
    done = spawn("log", "a:clean", "--follow", folder=slow)
    assert (done.code, done.err) == (0, "run a:clean wrote nothing\n")
    assert spawn("show", "a", "--json", folder=slow).document["work"][0]["state"] == "done"
    running.end()


def test_the_log_of_a_run_is_followed_line_by_line(slow: Path) -> None:
    stages = slow / slow.name / "stages.py"
    seen = slow / "seen"
    ticking = f"""print('tick', step, flush=True)
            import pathlib
            while step == 9 and not pathlib.Path({str(seen)!r}).exists():
                time.sleep(0.05)"""
    stages.write_text(stages.read_text().replace("time.sleep(0.05)", ticking))
    running = Terminal("run", folder=slow)
    running.until("a ")
    following = subprocess.Popen(
        [sys.executable, "-m", "towpath", "log", "a:clean", "--follow"],
        cwd=slow,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert following.stdout is not None
        assert following.stdout.readline().startswith("tick 0")
        shown = subprocess.run(
            [sys.executable, "-m", "towpath", "show", "a", "--json"],
            cwd=slow,
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(shown.stdout)["work"][0]["state"] == "running", "it waits"
        seen.touch()
        rest, _ = following.communicate(timeout=LIMIT)
    finally:
        following.kill()
    assert rest.splitlines()[-1].startswith("tick 23")
    assert following.returncode == 0
    running.end()


def test_watching_takes_what_arrives_and_ends_on_sigterm(fresh: Path, spawn: Command) -> None:
    watching = subprocess.Popen(
        [sys.executable, "-m", "towpath", "run", "--watch", "--json"],
        cwd=fresh, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        _wait_for(fresh / "archive" / fresh.name / "series" / "first" / "provenance.json")
        (fresh / "incoming" / "later.csv").write_text("time,value\n0,1\n1,2\n")
        _wait_for(fresh / "archive" / fresh.name / "series" / "later" / "provenance.json")
    finally:
        watching.send_signal(signal.SIGTERM)
        out, err = watching.communicate(timeout=LIMIT)
    assert watching.returncode == 0, err
    assert '"ended": "stopped"' in out
    assert spawn("run", folder=fresh).out.startswith("Nothing to do")


def _wait_for(path: Path) -> None:
    end = time.monotonic() + LIMIT
    while not path.exists():
        assert time.monotonic() < end, f"no {path}"
        time.sleep(0.05)


def test_events_are_followed_as_they_happen(fresh: Path, spawn: Command) -> None:
    spawn("status", folder=fresh)
    following = subprocess.Popen(
        [sys.executable, "-m", "towpath", "events", "--follow", "--after", "0", "--json"],
        cwd=fresh, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert spawn("run", folder=fresh).code == 0
        assert following.stdout is not None
        lines = []
        while not lines or '"type": "done", "item": "series/first", "stage": "publish"' not in lines[-1]:
            lines.append(following.stdout.readline())
            assert lines[-1], lines
    finally:
        following.send_signal(signal.SIGINT)
        following.communicate(timeout=LIMIT)
    assert following.returncode == 130
