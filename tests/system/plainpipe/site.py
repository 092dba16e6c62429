"""Makes sites that use this pipeline, and runs them in processes that can be killed."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from towpath import Site

HERE = Path(__file__).resolve().parent
RUN = """
import logging, os, resource, sys, time
if "PLAIN_CLOCK" in os.environ:  # seconds by which the clock of this host is set, in a file that may change
    true = time.time
    time.time = lambda: true() + float(open(os.environ["PLAIN_CLOCK"]).read() or 0)
from towpath import Site
if "PLAIN_FILE_LIMIT" in os.environ:  # bytes of the largest file, as on a disk that is full
    limit = int(os.environ["PLAIN_FILE_LIMIT"])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
logging.basicConfig(level=logging.INFO)
with Site.open(sys.argv[1]) as site:
    print(site.run(watch=sys.argv[2] == "watch", patience=float(sys.argv[3])))
"""


def make(
    folder: Path, pipeline: str = "", *, site: str = "", workers: int = 2, executor: str = "local"
) -> Path:
    """Write a site's files; `pipeline` is a pipeline file of its own, `site` more lines of the site file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = ""
    if pipeline:
        (folder / "plain.toml").write_text(pipeline)
        file = 'file = "plain.toml"'
    (folder / "towpath.toml").write_text(
        f"""\
[site]
workers = {workers}
executor = "{executor}"
[pipelines.plain]
plugin = "plainpipe.plugin:plugin"
path = "{HERE.parent}"
{file}
{site}
"""
    )
    return folder


def notes(sets: int, first: int = 0, size: int = 4) -> list[dict[str, object]]:
    """Items of the kind `note`, in `sets` sets of `size`."""
    return [
        {"key": f"n{s:03d}-{i}", "attributes": {"set": f"{s:03d}", "text": f"note {i} of set {s}"}}
        for s in range(first, first + sets)
        for i in range(size)
    ]


def states(site: Site, name: str) -> dict[str, str]:
    """The state of each stage of an item."""
    return {row.stage: row.state.value for row in site.show(name).work}


def wait_for(happened: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until something is so; fail if it is not in a generous time."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


class Daemon:
    """A site that runs in a process of its own."""

    def __init__(
        self,
        folder: Path,
        *,
        watch: bool = False,
        patience: float = 60.0,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.log = folder / f"daemon-{time.monotonic_ns()}.log"
        with self.log.open("wb") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-c", RUN, str(folder), "watch" if watch else "once", str(patience)],
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(HERE.parent), **(env or {})},
            )

    def workers(self) -> list[psutil.Process]:
        """Its worker processes."""
        found = []
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie is none any more
            for child in psutil.Process(self.popen.pid).children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if any("executors.worker" in word for word in child.cmdline()):
                        found.append(child)
        return found

    def kill(self) -> None:
        """End it at once."""
        self.popen.send_signal(signal.SIGKILL)
        self.popen.wait()

    def terminate(self) -> None:
        """Ask it to end."""
        self.popen.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = 120.0) -> int:
        """Wait for its end; returns its exit code."""
        return self.popen.wait(seconds)

    def text(self) -> str:
        """What it said."""
        return self.log.read_text(errors="replace")

    def __enter__(self) -> "Daemon":
        return self

    def __exit__(self, *_: object) -> None:
        if self.popen.poll() is None:
            self.kill()
