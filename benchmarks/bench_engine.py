"""Overhead per item: Towpath beside no engine, and beside what else is installed, on the same trivial workload.

Prints one table from one run: items/s (wall and engine only), the no-op re-run, memory, state, and what a SIGKILL at
half-way lost and repeated. Ratios to the bare loop are what to quote; absolute figures belong to the machine.

    python benchmarks/bench_engine.py [--n 10000] [--rounds 3] [--peers FOLDER]
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from towpath.testing.postgres import NoServerError, Server, programs

HERE = Path(__file__).parent
PEERS = Path(os.environ.get("TOWPATH_PEERS", HERE.parents[1] / "shared" / "bench" / "peers"))
OURS = str(HERE / "peer_ours.py")
ROWS = [
    ("no engine", "peer_plain.py", "", ""),
    ("towpath, 2 workers", OURS, "w2", ""),
    ("towpath, 2 workers, no products", OURS, "w2-side", ""),
    ("towpath, 1 worker", OURS, "w1", ""),
    ("towpath, power", OURS, "w2-power", ""),
    ("towpath, 2 workers, PostgreSQL", OURS, "w2", "psycopg"),
    ("towpath, 4 workers, PostgreSQL", OURS, "w4", "psycopg"),
    ("luigi, 1 worker", "peer_luigi.py", "w1", "luigi"),
    ("dask distributed (keeps no state)", "peer_dask.py", "", "distributed"),
    ("huey (loses items)", "peer_huey.py", "", "huey"),
]


def has_server() -> bool:
    """Whether there is a PostgreSQL to start."""
    try:
        programs()
    except NoServerError:
        return False
    return True


def measure(peers: Path, script: str, option: str, n: int, folder: str, dsn: str) -> dict[str, Any]:
    """One row: the harness's own record."""
    command = [
        sys.executable,
        str(peers / "bench.py"),
        "--python",
        sys.executable,
        "--peer",
        script,
        "--opt",
        option,
    ]
    command += ["--n", str(n), "--dir", folder, *(["--kill"] if script == OURS else [])]
    command += ["--dsn", dsn] if dsn else []
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    record: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return record


def main() -> int:
    """Measure in rounds, so that a change of the machine's load touches all rows alike, and print medians."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--n", type=int, default=10_000)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--peers", type=Path, default=PEERS)
    chosen = asked.parse_args()
    if not (chosen.peers / "bench.py").is_file():
        sys.stderr.write(f"{chosen.peers}: the peers' harness is not there; name it with --peers\n")
        return 0
    rows = [row for row in ROWS if not row[3] or importlib.util.find_spec(row[3])]
    rows = [row for row in rows if row[3] != "psycopg" or has_server()]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name, *_ in rows}
    with ExitStack() as stack:
        server = stack.enter_context(Server(durable=True)) if has_server() else None
        for _ in range(chosen.rounds):
            for name, script, option, package in rows:
                dsn = server.database() if server and package == "psycopg" else ""
                with tempfile.TemporaryDirectory(prefix="towpath-bench-") as folder:
                    found[name].append(measure(chosen.peers, script, option, chosen.n, folder, dsn))
    table = Table(title=f"N = {chosen.n}, medians of {chosen.rounds} rounds, {os.cpu_count()} cores")
    for heading in ("", "items/s", "of the bare loop", "no-op s", "RSS MB", "KB/item", "lost", "repeated"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, records in found.items():
        table.add_row(name, *cells(records, found["no engine"], chosen.n))
    Console(width=120).print(table)
    return 0


def cells(records: list[dict[str, Any]], bare: list[dict[str, Any]], n: int) -> list[str]:
    """The cells of one row."""

    def middle(name: str) -> float:
        return statistics.median(float(record.get(name) or 0) for record in records)

    ratios = [one["engine_items_s"] / two["engine_items_s"] for one, two in zip(records, bare, strict=True)]
    kills = [record["kill"] for record in records if "kill" in record]
    lost = str(sum(kill["lost"] for kill in kills)) if kills else "-"
    repeated = f"{statistics.median(kill['repeated'] for kill in kills):.0f}" if kills else "-"
    return [
        f"{middle('engine_items_s'):.0f}",
        f"{statistics.median(ratios):.2f}",
        f"{middle('noop_s'):.1f}",
        f"{middle('rss_mb'):.0f}",
        f"{1000 * middle('state_mb') / n:.2f}",
        lost,
        repeated,
    ]


if __name__ == "__main__":
    sys.exit(main())
