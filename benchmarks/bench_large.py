"""A site with very many items: status, pages of items by state, explain, plans, and moving a root must stay quick.

One item goes through a real site; its rows are then multiplied by SQL (an item of three stages with runs, inputs,
products and events; the last tenth has work that is ready or waits, and a few items before them need a person).
Prints one table: medians in milliseconds, beside the budgets. What has no budget is measured once and only told.

    python benchmarks/bench_large.py [--n 1000000] [--dir FOLDER] [--rounds 20]
"""

import argparse
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from rich.console import Console
from rich.table import Table

from towpath import Site

PIPELINE = """
[pipeline]
name = "bench"
[sources.asked]
kind = "submit"
item = "thing"
[items.thing]
route = "one -> two -> three"
[items.thing.stages.one]
kind = "command"
argv = ["cp", "/dev/null", "{output.text}"]
produces = { text = "bench/one" }
[items.thing.stages.two]
kind = "command"
argv = ["cp", "{input.text}", "{output.text}"]
consumes = { text = "bench/one" }
produces = { text = "bench/two" }
[items.thing.stages.three]
kind = "command"
argv = ["cp", "{input.text}", "{output.text}"]
consumes = { text = "bench/two" }
produces = { text = "bench/three" }
"""
SITE = """
[site]
executor = "inline"
[pipelines.bench]
file = "bench.toml"
"""
PEOPLE = ("failed", "held", "poisoned", "rejected", "stopped")
NUMBERS = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?) "
# Copies of the rows of item 1 (work 1 to 3); copy n has item 1 + n and work 3 n + 1 to 3 n + 3.
COPIES = [
    """INSERT INTO items (id, pipeline, kind, "key", definition, attributes, registered)
    SELECT 1 + n, pipeline, kind, 'thing-' || n, definition, attributes, registered FROM numbers, items WHERE id = 1""",
    """INSERT INTO work (id, item_id, queue_id, subject, state, priority, due, token, "key", done_token, done_part, began)
    SELECT 3 * n + w.id, 1 + n, queue_id, '', state, priority, due, token, "key", done_token, done_part, began
    FROM numbers, work w WHERE w.item_id = 1""",
    """INSERT INTO runs SELECT 3 * n + work_id, token, outcome, began, seconds, part_id, "key", definition, worker, log,
    measures, caveats, steps, reasons, error, manual FROM numbers, runs WHERE work_id <= 3""",
    """INSERT INTO products (id, item_id, queue_id, output, part, type, root_id, path, size, mtime_ns, sha256, tree,
    state, work_id, token, manual, created)
    SELECT 3 * n + p.id, 1 + n, queue_id, output, part, type, root_id, 'bench/thing/x/thing-' || n || '.1.' || p.id,
    size, mtime_ns, sha256, tree, state, 3 * n + work_id, token, manual, created FROM numbers, products p WHERE p.id <= 3""",
    """INSERT INTO run_inputs SELECT 3 * n + work_id, token, position, name, 3 * n + product_id, sha256, value
    FROM numbers, run_inputs WHERE work_id <= 3""",
    """INSERT INTO events (seq, time, type, item_id, queue_id, token, data)
    SELECT 1000 + 5 * n + e.part, time, type, 1 + n, queue_id, token, data FROM numbers,
    (SELECT row_number() OVER (ORDER BY seq) AS part, * FROM events WHERE item_id = 1) e""",
]


def fill(folder: Path, n: int) -> None:
    """Make the site, take one item through it, and multiply its rows."""
    (folder / "towpath.toml").write_text(SITE)
    (folder / "bench.toml").write_text(PIPELINE)
    with Site.open(folder) as site:
        site.submit("thing", [{"key": "thing-0", "attributes": {"place": "here"}}])
        site.run()
        if {row.state.value for row in site.show("thing-0").work} != {"done"}:
            raise SystemExit("the first item did not pass")
    with closing(sqlite3.connect(folder / "catalog.sqlite", isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -400000")
        connection.execute("BEGIN")
        connection.execute("DELETE FROM work WHERE item_id = 0")  # the row of retention comes back by itself
        for statement in COPIES:
            connection.execute(NUMBERS + statement, (n - 1,))
        first = 3 * (n - n // 10)  # from here on: stage two ready, three waiting
        for table in ("runs", "run_inputs", "products"):
            connection.execute(f"DELETE FROM {table} WHERE work_id > ? AND work_id % 3 <> 1", (first,))
        connection.execute(
            "UPDATE work SET state = CASE WHEN id % 3 = 2 THEN 'ready' ELSE 'waiting' END, \"key\" = NULL, token = 0, "
            "done_token = 0, done_part = 0 WHERE id > ? AND id % 3 <> 1",
            (first,),
        )
        for number, state in enumerate(PEOPLE):  # of each a hundred items
            connection.execute(
                "UPDATE work SET state = ?, note = 'a person decides' WHERE id > ? AND id <= ? AND id % 3 = 0",
                (state, first - 300 * (number + 1), first - 300 * number),
            )
        connection.execute("UPDATE counters SET value = (SELECT max(seq) FROM events) WHERE name = 'event'")
        connection.execute("COMMIT")


def median_ms(act: Callable[[int], object], rounds: int) -> float:
    """The median milliseconds of an act; the first is not counted."""
    times = []
    for number in range(rounds + 1):
        began = time.perf_counter()
        act(number)
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times[1:])


def main() -> int:
    """Fill, measure, print; exit 1 if a budget is exceeded."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--n", type=int, default=1_000_000)
    asked.add_argument("--rounds", type=int, default=20)
    asked.add_argument("--dir", type=Path)
    chosen = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="towpath-bench-", dir=chosen.dir) as name:
        folder = Path(name)
        began = time.perf_counter()
        fill(folder, chosen.n)
        size = (folder / "catalog.sqlite").stat().st_size
        filled = time.perf_counter() - began
        with Site.open(folder) as site:
            rows = measure(site, chosen.n, chosen.rounds)
    table = Table(
        title=f"{chosen.n} items of 3 stages, catalog {size / 1e9:.2f} GB (filled in {filled:.0f} s)"
    )
    for heading in ("", "ms", "budget"):
        table.add_column(heading, justify="right" if heading else "left")
    for what, milliseconds, budget in rows:
        table.add_row(what, f"{milliseconds:.1f}", f"{budget:g}" if budget else "")
    Console(width=100).print(table)
    return int(any(budget and milliseconds > budget for _, milliseconds, budget in rows))


def measure(site: Site, n: int, rounds: int) -> list[tuple[str, float, float]]:
    """What, milliseconds, and the budget (0: none)."""

    def done(number: int) -> str:
        return f"thing/thing-{1 + (number * 7919) % (n * 8 // 10)}"

    def open_(number: int) -> str:
        return f"thing/thing-{n - 2 - (number * 7919) % (n // 20)}"

    site.catalog.write(lambda tx: tx.open_session("elsewhere", 1, "none", attributable=False))  # a daemon
    kind = site.definitions["bench"].kinds["thing"]
    site.catalog.write(lambda tx: tx.claim(kind, kind.stages["two"], 200, lease=3600, owner=0))
    place = site.folder / "elsewhere"
    place.mkdir()
    timed: list[tuple[str, Callable[[int], object], float]] = [
        ("explain, a finished stage", lambda i: site.explain(done(i), "three"), 50),
        ("explain, a finished item (3 stages)", lambda i: site.explain(done(i)), 50),
        ("explain, a ready stage", lambda i: site.explain(open_(i), "two"), 50),
        ("explain, a waiting stage", lambda i: site.explain(open_(i), "three"), 50),
        ("plan of one finished item", lambda i: site.plan(done(i), check=False), 50),
        ("plan of one item with work to do", lambda i: site.plan(open_(i), check=False), 50),
        ("show one item", lambda i: site.show(done(i)), 50),
        ("status", lambda i: site.status(), 1000),
        *(
            (f"a page of 50 by the state {state}", lambda i, s=state: site.items(state=s, limit=51), 200)
            for state in (*PEOPLE, "retired", "running", "ready", "waiting", "done")
        ),
        ("first page of 100 items", lambda i: site.items(limit=100), 50),
        ("a page in the middle", lambda i: site.items(after=n // 2 + i, limit=100), 50),
        ("a page by state and stage", lambda i: site.items(state="done", stage="three", limit=100), 50),
        ("remap of the store", lambda i: site._parts.move_root("store", place), 10),
        ("the last 50 events", lambda i: site.events(site_last(site) - 50), 50),
    ]
    found = [(what, median_ms(act, rounds), budget) for what, act, budget in timed]
    once: list[tuple[str, Callable[[], object]]] = [
        ("status --sizes", site.sizes),
        ("plan of the whole site, without a look at the disk", lambda: site.plan(check=False)),
    ]
    for what, act in once:
        began = time.perf_counter()
        act()
        found.append((f"{what} (once)", 1000 * (time.perf_counter() - began), 0))
    return found


def site_last(site: Site) -> int:
    """The number of the newest event."""
    with site.catalog.read() as view:
        return view.last_event()


if __name__ == "__main__":
    sys.exit(main())
