"""Claims and completions on PostgreSQL by several processes at once, with full history: items/s, and what was claimed twice.

Starts a private server with its usual durability (fsync on). Every item is claimed, and completed with a product, a run,
its key and two events; nothing runs in between, so this is what the catalog alone can do.

    python benchmarks/bench_postgres.py [--n 100000] [--workers 4] [--batch 256] [--rounds 1]
"""

import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import closing

from rich.console import Console
from rich.table import Table

from towpath.adapters.catalog.postgres import PostgresCatalog, migrate
from towpath.testing.plans import Bench, kind_plan
from towpath.testing.postgres import Server

KIND = kind_plan("item", {"a": ()})
TAKE = """
import json, sys
from contextlib import closing
from towpath.adapters.catalog.postgres import PostgresCatalog
from towpath.testing.plans import Bench, kind_plan
with closing(PostgresCatalog(sys.argv[1])) as catalog:
    bench, batch, mine = Bench(catalog, kind_plan("item", {"a": ()})), int(sys.argv[2]), []
    print("ready", flush=True)
    sys.stdin.readline()
    while claims := bench.claim("a", batch):
        mine += [claimed.work for claimed in claims]
        assert len(bench.finish(claims, "a").done) == len(claims)
    json.dump(mine, sys.stdout)
"""


def measure(server: Server, n: int, workers: int, batch: int) -> dict[str, float]:
    """One round on a new catalog."""
    url = server.database()
    migrate(url)
    with closing(PostgresCatalog(url)) as catalog:
        bench, started = Bench(catalog, KIND), time.monotonic()
        for start in range(0, n, 5000):
            bench.add(*(str(number) for number in range(start, min(n, start + 5000))))
        added = time.monotonic() - started
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", TAKE, url, str(batch)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(workers)
        ]
        for process in processes:
            assert process.stdout and process.stdout.readline() == "ready\n"
        started = time.monotonic()
        for process in processes:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        taken = [work for process in processes for work in json.loads(process.communicate()[0])]
        seconds = time.monotonic() - started
        with catalog.read() as view:
            sizes = view.sizes()
    server.drop(url)
    return {
        "added": n / added,
        "done": n / seconds,
        "twice": len(taken) - len(set(taken)),
        "lost": n - sizes["runs"],
        "bytes": sizes["bytes"] / n,
    }


def main() -> int:
    """Measure and print one table."""
    asked = argparse.ArgumentParser(description=__doc__)
    for name, value in (("n", 100_000), ("workers", 4), ("batch", 256), ("rounds", 1)):
        asked.add_argument(f"--{name}", type=int, default=value)
    chosen = asked.parse_args()
    table = Table(
        title=f"N = {chosen.n}, {chosen.workers} processes, batches of {chosen.batch}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f} at the start"
    )
    for heading in ("registered/s", "claimed and completed/s", "claimed twice", "lost", "bytes/item"):
        table.add_column(heading, justify="right")
    with Server("max_wal_size=4GB", durable=True) as server:
        for _ in range(chosen.rounds):
            found = measure(server, chosen.n, chosen.workers, chosen.batch)
            table.add_row(*(f"{value:.0f}" for value in found.values()))
    Console(width=120).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
