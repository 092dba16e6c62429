"""Items by filter in a catalog that holds very many: the first page and the count must be quick, whatever is asked.

The rows are made by SQL: items of two pipelines and three kinds, with attributes, spans, footprints, milestones, and work
of three stages (the last tenth is ready or waits, a few hundred need a person). Prints one table: median and 95th percentile
in milliseconds of the first page (50 items) and of the count (up to 10,000), beside how many items there are.

    python benchmarks/bench_items.py [--items 1000000] [--dir FOLDER] [--rounds 20]
"""

import argparse
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from towpath.adapters.catalog.facets import facets_of
from towpath.adapters.catalog.sqlite import SqliteCatalog, migrate
from towpath.base.hashing import canonical
from towpath.base.spacetime import Box
from towpath.base.states import Work as State

BUDGET = 200.0  # milliseconds, p95
BEGAN, STEP = 1_700_000_000, 60  # an item a minute, seconds since the epoch
KINDS = (("gam", "frame"), ("gam", "night"), ("gam", "map"), ("comap", "scan"))
STAGES = ("calibrate", "image", "publish")
CAMERAS = ("red", "green", "blue", "deep red")
PAGE, MOST = 50, 10_000
_CHUNK = 50_000


def kind_of(number: int) -> tuple[str, str]:
    """The pipeline and kind of an item: one of ten is of the second pipeline, one of a thousand a night."""
    return KINDS[3] if number % 10 == 0 else KINDS[1] if number % 1000 == 1 else KINDS[2 * (number % 3 == 0)]


def attributes_of(number: int) -> dict[str, Any]:
    """Attributes with few values and with many, one with a value of its own."""
    return {
        "camera": CAMERAS[number * 7919 % 4],
        "exposure": number * 31 % 100 / 2,
        "observer": f"observer {number * 17 % 1000}",
        "good": number % 50 != 7,
        "serial": f"A{number * 7919 % 10_000_019:08d}",
    }


def rows_of(numbers: range) -> Iterator[tuple[Any, ...]]:
    """Items as rows."""
    for number in numbers:
        pipeline, kind = kind_of(number)
        begin = BEGAN + number * STEP
        west, south = number * 37 % 3590 / 10 - 180, number * 91 % 1790 / 10 - 90
        length = 86_400 if kind == "night" else 50
        key = (
            f"{kind}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime(begin))}-{number * 7919 % 100_003:06d}.fits"
        )
        yield (
            *(
                number,
                pipeline,
                kind,
                key,
                1,
                canonical(attributes_of(number)).decode(),
                begin,
                begin + length,
            ),
            *(west, south, west + 0.1, south + 0.1, begin + 100.0),
        )


def fill(file: Path, n: int) -> None:
    """Make the catalog and its rows."""
    migrate(file)
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -400000")
        connection.execute("BEGIN")
        queues = [(*kind, stage) for kind in KINDS for stage in ("", *STAGES)]
        connection.executemany("INSERT INTO queues (pipeline, kind, stage) VALUES (?, ?, ?)", queues)
        for begin in range(1, n + 1, _CHUNK):
            numbers = range(begin, min(begin + _CHUNK, n + 1))
            connection.executemany(f"INSERT INTO items VALUES ({', '.join('?' * 13)})", rows_of(numbers))
            pairs = ((one, number) for number in numbers for one in facets_of(attributes_of(number)))
            connection.executemany("INSERT INTO facets (digest, item_id) VALUES (?, ?)", sorted(pairs))
        _milestones(connection, n)
        _work(connection, n)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _milestones(connection: sqlite3.Connection, n: int) -> None:
    reached = (("Arrived", "true"), ("Reduced", f"id <= {n * 9 // 10}"), ("Published", "id % 1000 = 500"))
    for name, which in reached:  # text of our own
        connection.execute(
            f"INSERT INTO milestones (item_id, name, time) SELECT id, ?, registered FROM items WHERE {which}",
            (name,),
        )


def _work(connection: sqlite3.Connection, n: int) -> None:
    last = n * 9 // 10  # what comes after it is ready or waits
    for number, stage in enumerate(STAGES):
        state = "ready" if number == 0 else "waiting"
        connection.execute(
            "INSERT INTO work (item_id, queue_id, state, done_part) SELECT i.id, q.id, "
            "CASE WHEN i.id > ? THEN ? WHEN i.id % 4000 = 3 AND ? = 2 THEN 'failed' WHEN i.id % 9000 = 5 THEN 'held' "
            "ELSE 'done' END, CASE WHEN i.id > ? THEN 0 ELSE 1 END "
            "FROM items i JOIN queues q ON q.pipeline = i.pipeline AND q.kind = i.kind AND q.stage = ?",
            (last, state, number, last, stage),
        )


def filters(n: int) -> list[tuple[str, dict[str, Any]]]:
    """What is asked, in words and as filters."""
    end, tenth = float(BEGAN + n * STEP), n * STEP / 10
    night = f"{time.strftime('%Y%m%d', time.gmtime(BEGAN + n * STEP // 2))}T"
    serial, rare = attributes_of(n // 2)["serial"], {"observer": "observer 17"}
    return [
        ("nothing", {}),
        ("pipeline, one in ten", {"pipeline": "comap"}),
        ("pipeline that is none", {"pipeline": "none"}),
        ("kind, one in a thousand", {"kind": "night"}),
        ("pipeline and kind, most", {"pipeline": "gam", "kind": "frame"}),
        ("state done", {"state": State.DONE}),
        ("state ready, the last tenth", {"state": State.READY}),
        ("state waiting, the last tenth", {"state": State.WAITING}),
        ("state failed, few", {"state": State.FAILED}),
        ("state poisoned, none", {"state": State.POISONED}),
        ("stage", {"stage": "image"}),
        ("stage that is none", {"stage": "none"}),
        ("state and stage", {"state": State.DONE, "stage": "publish"}),
        ("text in all keys", {"text": "fits"}),
        ("text, a night", {"text": night}),
        ("text, two letters", {"text": "ap"}),
        ("text, none", {"text": "zzz"}),
        ("text and kind", {"text": night, "kind": "map"}),
        ("text, none, and kind", {"text": "zzz", "kind": "frame"}),
        ("text and state", {"text": night, "state": State.DONE}),
        ("box of one degree", {"box": Box(10, 10, 11, 11)}),
        ("box of half the sky", {"box": Box(0, -90, 180, 90)}),
        ("box that nothing is in", {"box": Box(179.95, 89.95, 180, 90)}),
        ("box and kind", {"box": Box(10, 10, 15, 15), "kind": "map"}),
        ("milestone of all", {"milestone": "Arrived"}),
        ("milestone of few", {"milestone": "Published"}),
        ("milestone of none", {"milestone": "Praised"}),
        ("milestone and kind", {"milestone": "Reduced", "kind": "map"}),
        ("milestone and state", {"milestone": "Reduced", "state": State.FAILED}),
        ("milestone and state, none", {"milestone": "Reduced", "state": State.READY}),
        ("attribute, a quarter", {"attributes": {"camera": "blue"}}),
        ("attribute, true", {"attributes": {"good": True}}),
        ("attribute, a number", {"attributes": {"exposure": 12}}),
        ("attribute, few", {"attributes": rare}),
        ("attribute, one", {"attributes": {"serial": serial}}),
        ("attribute, none", {"attributes": {"serial": "none"}}),
        ("two attributes", {"attributes": {"camera": "blue", **rare}}),
        ("two attributes, many", {"attributes": {"camera": "blue", "good": False}}),
        ("two attributes, never both", {"attributes": {"camera": "blue", "exposure": 0.5}}),
        ("attribute and kind", {"attributes": {"camera": "blue"}, "kind": "map"}),
        ("attribute and kind, few", {"attributes": {"camera": "blue"}, "kind": "night"}),
        ("attribute and state", {"attributes": {"camera": "blue"}, "state": State.FAILED}),
        ("attribute and state ready", {"attributes": {"camera": "blue"}, "state": State.READY}),
        ("attribute and milestone", {"attributes": {"camera": "blue"}, "milestone": "Published"}),
        ("attribute and text", {"attributes": {"camera": "blue"}, "text": night}),
        ("time, all", {"since": 0.0}),
        ("time, the last day", {"since": end - 86_400}),
        ("time, the last tenth", {"since": end - tenth}),
        ("time, a tenth in the middle", {"since": end - 5 * tenth, "until": end - 4 * tenth}),
        ("time, but for the first tenth", {"since": BEGAN + tenth}),
        ("time, nothing yet", {"since": end + 1e9}),
        ("time and kind", {"since": end - tenth, "kind": "map"}),
        ("time and kind, few", {"since": end - tenth, "kind": "night"}),
        ("time and attribute", {"since": end - tenth, "attributes": {"camera": "blue"}}),
        ("time and state", {"since": end - tenth, "state": State.FAILED}),
        ("time and state ready", {"since": end - tenth, "state": State.READY}),
    ]


def timed(act: Callable[[], Any], rounds: int) -> tuple[float, float, Any]:
    """Median and 95th percentile of milliseconds, and what was found; the first round is not counted."""
    found, times = act(), []
    for _ in range(rounds):
        began = time.perf_counter()
        act()
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times), statistics.quantiles(times, n=20)[-1], found


def main() -> int:
    """Fill, measure, print; exit 1 if the budget is exceeded."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--items", type=int, default=1_000_000)
    asked.add_argument("--rounds", type=int, default=20)
    asked.add_argument("--dir", type=Path)
    chosen = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="towpath-bench-", dir=chosen.dir) as name:
        file = Path(name) / "catalog.sqlite"
        began = time.perf_counter()
        fill(file, chosen.items)
        title = (
            f"{chosen.items} items, catalog {file.stat().st_size / 1e9:.2f} GB (filled in "
            f"{time.perf_counter() - began:.0f} s), milliseconds; budget {BUDGET:g} (p95)"
        )
        with closing(SqliteCatalog(file)) as catalog:
            table, slow = measure(catalog, chosen.items, chosen.rounds)
    table.title = title
    Console(width=110).print(table)
    if slow:
        Console(width=110).print(f"over the budget: {', '.join(slow)}")
    return int(bool(slow))


def measure(catalog: SqliteCatalog, n: int, rounds: int) -> tuple[Table, list[str]]:
    """The table, and what took longer than the budget."""
    table = Table(
        "filter", *(f"{what}\n{part}" for what in ("page", "count") for part in ("p50", "p95")), "found"
    )
    slow = []
    for what, asked in filters(n):
        with catalog.read() as view:
            page = timed(lambda a=asked: view.items(**a, limit=PAGE), rounds)  # type: ignore[misc]
            count = timed(lambda a=asked: view.count_items(**a, most=MOST), rounds)  # type: ignore[misc]
        if len(page[2]) != min(PAGE, count[2]):
            raise SystemExit(f"{what}: a page of {len(page[2])} items, and a count of {count[2]}")
        found = f"more than {MOST}" if count[2] > MOST else str(count[2])
        table.add_row(what, *(f"{one:.1f}" for one in (*page[:2], *count[:2])), found)
        if max(page[1], count[1]) > BUDGET:
            slow.append(what)
    return table, slow


if __name__ == "__main__":
    sys.exit(main())
