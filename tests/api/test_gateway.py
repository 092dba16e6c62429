"""The gateway of runs: a program that knows only an address and a token reads its inputs and writes its outputs."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from towpath import Site

PIPELINE = """
[pipeline]
name = "far"
version = "1"

[sources.asked]
kind = "submit"
item = "job"

[items.job]
route = "begin -> away"

[items.job.stages.begin]
kind = "command"
argv = ["{python}", "-c", "import sys; open(sys.argv[1], 'w').write('seven')", "{{output.text}}"]
produces.text = {{ type = "text/plain", file = "text.txt" }}

[items.job.stages.away]
kind = "command"
argv = ["{python}", "{program}"]
consumes.text = {{ type = "text/plain" }}
produces.upper = {{ type = "text/upper", file = "upper.txt" }}
"""
SITE = """
[site]
name = "far"
workers = 1

[server]
url = "http://127.0.0.1:{port}"
port = {port}

[pipelines.far]
file = "far.toml"
"""
PROGRAM = """
import json, os, sys, time, urllib.request
from pathlib import Path

url, run, token = (os.environ[name] for name in ("TOWPATH_URL", "TOWPATH_RUN", "TOWPATH_RUN_TOKEN"))

def ask(path, data=None):
    request = urllib.request.Request(f"{url}/api/v1/runs/{run}{path}", data, method="PUT" if data else "GET")
    request.add_header("Authorization", f"Bearer {token}")
    request.add_header("Content-Type", "application/octet-stream")
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read()

given = json.loads(ask("/inputs"))
text = ask(f"/inputs/{given[0]['product']}")
Path(os.environ["HERE"], "told.json").write_text(json.dumps({"given": given, "token": token, "run": run}))
if Path(os.environ["HERE"], "wait").exists():
    time.sleep(60)
taken = json.loads(ask("/outputs/upper?filename=upper.txt", text.upper()))
assert taken["size"] == len(text)
"""


class Served:
    """A site that is served, with its work, by a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kept = (
            socket.socket()
        )  # nobody else is given its port, before the server has it and between two
        self._kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._kept.bind(("127.0.0.1", 0))
        self.port = self._kept.getsockname()[1]
        (folder / "program.py").write_text(PROGRAM)
        pipeline = PIPELINE.format(python=sys.executable, program=folder / "program.py")
        (folder / "far.toml").write_text(pipeline)
        (folder / "towpath.toml").write_text(SITE.format(port=self.port))
        self.url = f"http://127.0.0.1:{self.port}/api/v1"

    def start(self) -> None:
        """Serve; returns when it answers."""
        command = [
            sys.executable,
            "-m",
            "towpath",
            "serve",
            "--with-worker",
            "--json",
            "--site",
            str(self.folder),
        ]
        environ = {**os.environ, "HERE": str(self.folder)}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ)
        assert self.process.stdout is not None
        while "}" not in self.process.stdout.readline():
            assert self.process.poll() is None

    def end(self) -> None:
        """End it, and what runs in it."""
        with self._kept, self.process:
            self.process.send_signal(signal.SIGTERM)
            try:
                assert self.process.wait(5) == 0
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGTERM)  # what runs is given up
                assert self.process.wait(60) == 0

    def told(self) -> Any:
        """What the program found, when it has."""
        return until(lambda: json.loads((self.folder / "told.json").read_text()))

    def ask(self, path: str, token: str, method: str = "GET") -> httpx2.Response:
        """A request with a run's token."""
        answer: httpx2.Response = httpx2.request(
            method, self.url + path, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=20
        )
        return answer


def until(found: Any) -> Any:
    end = time.monotonic() + 60
    while True:
        try:
            value = found()
        except (OSError, ValueError):
            value = None
        if value:
            return value
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def served(tmp_path: Path) -> Any:
    """Give a site that is served."""
    made = Served(tmp_path)
    yield made
    made.end()


def state(served: Served) -> str:
    with Site.open(served.folder, environ={}) as site:
        return next(row.state.value for row in site.show("far/job/a").work if row.stage == "away")


def submit(served: Served) -> None:
    with Site.open(served.folder, environ={}) as site:
        site.submit("far/job", [{"key": "a"}])


@pytest.mark.slow
def test_a_run_reads_and_writes_through_the_server_while_it_runs(served: Served) -> None:
    served.start()
    submit(served)
    until(lambda: state(served) == "done")
    told = served.told()
    assert [one["name"] for one in told["given"]] == ["text"]
    with Site.open(served.folder, environ={}) as site:
        products = {one.output: site.place(one) for one in site.show("a").products}
    assert products["upper"].read_text() == "SEVEN"
    dead = served.ask(f"/runs/{told['run']}/inputs", told["token"])
    assert (dead.status_code, dead.json()["error"]["code"]) == (401, "unauthorized")


@pytest.mark.slow
def test_a_run_s_token_opens_nothing_else_and_dies_with_it(served: Served) -> None:
    (served.folder / "wait").touch()
    served.start()
    submit(served)
    told = served.told()
    run, token = told["run"], told["token"]
    assert served.ask(f"/runs/{run}/inputs", token).status_code == 200
    for path in (
        "/items",
        "/items/1",
        f"/runs/{run}",
        f"/runs/{run}/log",
        "/events",
        "/tokens",
        "/products/1/content",
    ):
        assert served.ask(path, token).status_code in (401, 403), path
    other = f"{int(run.partition('.')[0]) - 1}.1"
    assert served.ask(f"/runs/{other}/inputs", token).status_code == 404
    assert served.ask(f"/runs/{run}/inputs/999", token).status_code == 404
    assert served.ask(f"/runs/{run}/outputs/other?filename=x", token, "PUT").status_code == 404
    assert served.ask(f"/runs/{run}/outputs/upper?filename=../x", token, "PUT").status_code == 422
    assert (
        served.ask(f"/runs/{run}/inputs", token[:-1] + ("0" if token[-1] != "0" else "1")).status_code == 401
    )
    with Site.open(served.folder, environ={}) as site:
        site.stop("a", "away")
    assert served.ask(f"/runs/{run}/inputs", token).status_code == 401
