"""What the tests of the command line need: a site made by `towpath new`, and the command, in this process or its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from towpath.cli.entry import app
from towpath.cli.new import write

SECONDS = 120
_NUMBERS = count(1)


@dataclass(frozen=True, slots=True)
class Answer:
    """How a command ended: exit code, standard output and standard error."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)


Command = Callable[..., Answer]


def clean_environment(**more: str) -> dict[str, str]:
    """Return the environment without settings for Towpath and with a screen of known width."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TOWPATH_", "_TOWPATH", "FORCE_COLOR"))
    }
    return {**kept, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb", **more}


def spawned(*argv: str, folder: Path, **more: str) -> Answer:
    """Run the command as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "towpath", *argv],
        cwd=folder,
        env=clean_environment(**more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def spawn() -> Command:
    """Give `spawn(*argv, folder=...)`: the command as a process of its own."""
    return spawned


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch) -> Command:
    """Give `invoke(*argv)`: the command in this process, which is faster."""
    for name in [name for name in os.environ if name.startswith("TOWPATH_")]:
        monkeypatch.delenv(name)
    return _invoked


def _invoked(*argv: str | Path, input: str | None = None) -> Answer:
    done = CliRunner(env={"COLUMNS": "100", "NO_COLOR": "1"}).invoke(
        app, [str(one) for one in argv], input=input
    )
    return Answer(done.exit_code, done.stdout, done.stderr)


def package(folder: Path) -> Path:
    """A pipeline package with its site in `folder`, under a name that no other test imported."""
    name = f"levels{os.getpid()}x{next(_NUMBERS)}"
    write(folder / name, {"name": name, "module": name})
    return folder / name


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """Give the folder of a site in which nothing has run."""
    return package(tmp_path)


@pytest.fixture
def site(fresh: Path, invoke: Command) -> Path:
    """Give the folder of a site with two items done and one that failed."""
    return _filled(fresh)


# What the stage tells besides: a feature for each value that is kept, two degrees west of 0 degrees the first of them.
_FEATURES = """
        context.features(
            "value",
            lon=[(358.0 + time) % 360 for time, _ in kept],
            lat=[value for _, value in kept],
            names=[f"[b]{context.item.key} {number}" for number in range(len(kept))],
            properties={"value": [value for _, value in kept], "time": [time for time, _ in kept]},
            times=[1.7e9 + time for time, _ in kept],
        )
        context.feature("whole", lon=10.0, lat=-5.0, frame="wgs84")
"""


@pytest.fixture
def found(fresh: Path) -> Path:
    """Give the folder of the same, whose stage tells features: 8 values of `first`, 3 of `second`, and one for each."""
    return _filled(_telling(fresh))


@pytest.fixture(scope="module")
def shared_found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give that once for a module, for tests that only read."""
    patch = pytest.MonkeyPatch()
    for name in [name for name in os.environ if name.startswith("TOWPATH_")]:
        patch.delenv(name)
    yield _filled(_telling(package(tmp_path_factory.mktemp("found"))))
    patch.undo()


def _telling(folder: Path) -> Path:
    stages = folder / folder.name / "stages.py"
    stages.write_text(stages.read_text() + _FEATURES.removeprefix("\n"))
    return folder


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give the same once for a module, for tests that only read."""
    patch = pytest.MonkeyPatch()
    for name in [name for name in os.environ if name.startswith("TOWPATH_")]:
        patch.delenv(name)
    yield _filled(package(tmp_path_factory.mktemp("shared")))
    patch.undo()


def _filled(folder: Path) -> Path:
    incoming = folder / "incoming"
    (incoming / "second.csv").write_text("time,value\n0,1.0\n1,1.1\n2,1.2\n")
    (incoming / "broken.csv").write_text("time,level\n0,1.0\n")
    done = _invoked("run", "--executor", "inline", "--site", folder)
    assert done.code == 1, done.out + done.err
    return folder


@pytest.fixture
def running() -> Callable[[Path], AbstractContextManager[int]]:
    """Give a context in which another process runs a site; its value is the number of that process."""
    return _held_by("site._parts.running()")


@pytest.fixture
def served() -> Callable[[Path], AbstractContextManager[int]]:
    """Give a context in which another process uses a site as a server does, and runs no work."""
    return _held_by("site.serving()")


def _held_by(how: str) -> Callable[[Path], AbstractContextManager[int]]:
    @contextmanager
    def other(site: Path) -> Iterator[int]:
        code = "import sys; from towpath import Site; site = Site.open(sys.argv[1])\n"
        code += f"with site, {how}: print('up', flush=True); sys.stdin.readline()"
        with subprocess.Popen(
            [sys.executable, "-c", code, str(site)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            yield process.pid
            process.communicate("end\n")

    return other
