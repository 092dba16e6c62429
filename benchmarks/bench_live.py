"""Live events by the thousand clients: from a commit in one process to the socket of a client in another, through one server.

`towpath serve`, asked by viewers with a token, a writer that commits one event at a time to a real site, and a process of
raw sockets that reads. Each event carries the wall clock of the writer, taken inside its transaction: a latency holds the commit,
the waking, the reading, the encoding, the sending and what the reading process needs itself.

    python benchmarks/bench_live.py [--clients 5000] [--seconds 20] [--postgres]
"""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any
from urllib.parse import urlsplit

import psutil
from rich.console import Console
from rich.table import Table

from towpath import Site
from towpath.adapters.catalog.postgres import migrate
from towpath.testing import postgres

_AT = b'"at":'
_TOKEN = "BENCH_TOKEN"  # the variable with the token of the viewers
_SETTLE = 2.0  # seconds after the last client was let in, and after the last event


@dataclass(frozen=True)
class Case:
    """What is measured: how many listen to how many topics, to how many events a second."""

    name: str
    clients: int
    topics: int
    rate: float
    seconds: float
    size: int = 100
    stuck: int = 0


# ---- the processes
def write(folder: Path, topics: int, rate: float, seconds: float, size: int) -> None:
    """Commit events at a rate, about one topic after another."""
    text = "x" * size
    with Site.open(folder) as site:
        begin = time.monotonic()
        for number in range(round(rate * seconds)):
            time.sleep(max(0.0, begin + number / rate - time.monotonic()))
            run = f"{number % topics + 1}.1"
            site.catalog.write(lambda tx, run=run: tx.event("tick", run=run, at=time.time(), text=text))  # type: ignore[misc]
        print(time.monotonic() - begin, flush=True)


class Reader(asyncio.Protocol):
    """One client; all share the list of latencies."""

    def __init__(self, run: str, waits: list[float], opened: list[int]) -> None:
        self._run, self._waits, self._opened, self._rest = run, waits, opened, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the events of a run."""
        assert isinstance(transport, asyncio.Transport)
        query = f"?run={self._run}" if self._run else ""
        head = f"Host: here\r\nAccept: text/event-stream\r\nAuthorization: Bearer {os.environ[_TOKEN]}"
        transport.write(f"GET /api/v1/events{query} HTTP/1.1\r\n{head}\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        """Note how long the events took."""
        now, data = time.time(), self._rest + data
        if b": open\n" in data:
            self._opened[0] += 1
        *parts, self._rest = data.split(b"\n\n")
        for part in parts:
            found = part.find(_AT)
            if found >= 0:
                self._waits.append(now - float(part[found + len(_AT) :].split(b",", 1)[0]))


async def listen(port: int, clients: int, topics: int, stuck: int) -> None:
    """Open all streams, and tell what came when the input ends."""
    loop, waits, opened = asyncio.get_running_loop(), list[float](), [0]
    begin = time.monotonic()
    kept: list[Any] = []
    for number in range(clients):
        run = f"{number % topics + 1}.1"
        kept.append(
            await loop.create_connection(lambda run=run: Reader(run, waits, opened), "127.0.0.1", port)
        )  # type: ignore[misc]
    for _ in range(stuck):
        transport, _protocol = await loop.create_connection(lambda: Reader("", [], [0]), "127.0.0.1", port)
        transport.pause_reading()
        kept.append(transport)
    while opened[0] < clients:
        await asyncio.sleep(0.01)
    print(time.monotonic() - begin, flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    json.dump(waits, sys.stdout)


# ---- measuring
@contextmanager
def started(*words: object, program: tuple[str, ...] = (__file__,)) -> Iterator[subprocess.Popen[str]]:
    """Start this script (or another program) in another process."""
    process = subprocess.Popen(
        [sys.executable, *program, *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    """What it says next."""
    assert process.stdout
    said = process.stdout.readline()
    if not said:
        raise SystemExit("a process of the benchmark died")
    return said


def busy(process: psutil.Process) -> float:
    """Seconds of CPU that a process has used."""
    times = process.cpu_times()
    return float(times.user + times.system)


def measure(folder: Path, case: Case) -> list[str]:
    """One row: a server, its clients and a writer."""
    with Site.open(folder) as made:
        os.environ[_TOKEN] = made.make_token("bench", ["viewer"]).secret
    with started("--json", "serve", "--port", 0, "--site", folder, program=("-m", "towpath")) as server:
        port, seen = urlsplit(json.loads(line(server))["url"]).port, psutil.Process(server.pid)
        with started(
            "--as", "clients", "--port", port, "--clients", case.clients,
            "--topics", case.topics, "--stuck", case.stuck,
        ) as clients:  # fmt: skip
            opened = float(line(clients))
            time.sleep(_SETTLE)
            before, began = busy(seen), time.monotonic()
            if case.rate:
                words = ("--topics", case.topics, "--rate", case.rate, "--seconds", case.seconds)
                with started("--as", "writer", "--folder", folder, *words, "--size", case.size) as writer:
                    line(writer)
            else:
                time.sleep(case.seconds)
            used = 100 * (busy(seen) - before) / (time.monotonic() - began)
            time.sleep(_SETTLE)
            memory, began = seen.memory_info().rss / 1e6, time.monotonic()
            server.terminate()
            server.wait()
            stopped = time.monotonic() - began
            waits = json.loads(clients.communicate("\n")[0])
    events = round(case.rate * case.seconds)
    expected = events * case.clients // case.topics if case.clients else 0
    told = ["-"] * 4
    if len(waits) > 1:
        cut = quantiles(waits, n=100, method="inclusive")
        told = [f"{1000 * value:.1f}" for value in (cut[49], cut[94], cut[98], max(waits))]
    delivered = f"{len(waits):,} / {expected:,}" if case.rate else "-"
    return [case.name, delivered, *told, f"{memory:.0f}", f"{used:.1f}", f"{opened:.1f}", f"{stopped:.2f}"]


def cases(clients: int, seconds: float) -> list[Case]:
    """What is measured on each catalog."""
    topics = max(clients // 10, 1)
    return [
        Case(f"{clients:,} clients, {topics} topics, 100 ev/s", clients, topics, 100.0, seconds),
        Case("1,000 clients, 1 topic, 10 ev/s", 1000, 1, 10.0, seconds / 2),
        Case("1,000 clients, 100 topics, 100 ev/s of 16 kB", 1000, 100, 100.0, seconds / 2, 16_000),
        Case("the same beside one that reads nothing", 1000, 100, 100.0, seconds / 2, 16_000, 1),
        Case("nobody listens, nothing happens", 0, 1, 0.0, seconds / 2),
        Case("100 clients, nothing happens", 100, 10, 0.0, seconds / 2),
    ]


@contextmanager
def site(url: str = "") -> Iterator[Path]:
    """A new site in a folder of its own."""
    with tempfile.TemporaryDirectory() as name:
        catalog = f'catalog = "{url}"\n' if url else ""
        (Path(name) / "towpath.toml").write_text(f'[site]\nname = "live"\n{catalog}')
        Site.open(name).close()
        yield Path(name)


def tabulate(title: str, url: str, asked: list[Case]) -> None:
    """Measure all cases on one catalog, and print them."""
    table = Table(title=f"{title}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    table.add_column("")
    headings = (
        "delivered", "p50 ms", "p95 ms", "p99 ms", "max ms",
        "server MB", "server CPU %", "opened in s", "stopped in s",
    )  # fmt: skip
    for heading in headings:
        table.add_column(heading, justify="right")
    for case in asked:
        with site(url) as folder:
            table.add_row(*measure(folder, case))
    Console(width=150).print(table)


def main() -> int:
    """Be one of the processes, or measure and print a table for each catalog."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--as", dest="role", default="")
    asked.add_argument("--folder", type=Path, default=Path())
    asked.add_argument("--postgres", action="store_true")
    asked.add_argument("--only", type=int, help="the number of one case")
    for name, value in (("port", 0), ("clients", 5000), ("topics", 1), ("size", 100), ("stuck", 0)):
        asked.add_argument(f"--{name}", type=int, default=value)
    for name, seconds in (("rate", 100.0), ("seconds", 20.0)):
        asked.add_argument(f"--{name}", type=float, default=seconds)
    chosen = asked.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    match chosen.role:
        case "writer":
            write(chosen.folder, chosen.topics, chosen.rate, chosen.seconds, chosen.size)
        case "clients":
            asyncio.run(listen(chosen.port, chosen.clients, chosen.topics, chosen.stuck))
        case _:
            found = cases(chosen.clients, chosen.seconds)
            found = found if chosen.only is None else [found[chosen.only]]
            tabulate("SQLite", "", found)
            if chosen.postgres:
                with postgres.Server(durable=True) as server:
                    url = server.database()
                    migrate(url)
                    tabulate("PostgreSQL", url, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
