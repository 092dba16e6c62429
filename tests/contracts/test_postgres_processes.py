"""Several processes at work on one PostgreSQL catalog: nothing is claimed twice, no join is left waiting, no event missed."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from towpath.adapters.catalog.postgres import PostgresCatalog
from towpath.base.states import Outcome
from towpath.base.states import Work as State
from towpath.contracts.catalog import Transaction
from towpath.testing.plans import Bench, kind_plan
from towpath.testing.postgres import Server

ROUTE = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}

# Each says that it is ready, and begins when it is told to.
BEGIN = f"""
import json, sys, time
from towpath.adapters.catalog.postgres import PostgresCatalog
from towpath.contracts.catalog import Transaction
from towpath.testing.plans import Bench, kind_plan
catalog = PostgresCatalog(sys.argv[1])
bench = Bench(catalog, kind_plan("item", {ROUTE!r}))
def go():
    print("ready", flush=True)
    return sys.stdin.readline()
"""
END = """
catalog.close()
"""


@pytest.fixture
def url(postgres: Server, migrated_template: str) -> Iterator[str]:
    url = postgres.database(template=migrated_template)
    yield url
    postgres.drop(url)


@contextmanager
def opened(url: str) -> Iterator[Bench]:
    with closing(PostgresCatalog(url)) as catalog:
        yield Bench(catalog, kind_plan("item", ROUTE))


class Workers:
    """Processes that run one script each, in step."""

    def __init__(self, url: str, *scripts: str) -> None:
        self.all = [
            subprocess.Popen(
                [sys.executable, "-c", BEGIN + script + END, url],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for script in scripts
        ]

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.all:
            worker.kill()
            worker.communicate()

    def lines(self) -> list[str]:
        """The next line of each."""
        return [worker.stdout.readline().strip() for worker in self.all if worker.stdout]

    def go(self) -> None:
        """Wait until all are ready, and tell them to begin."""
        assert set(self.lines()) == {"ready"}
        for worker in self.all:
            assert worker.stdin
            worker.stdin.write("go\n")
            worker.stdin.flush()

    def results(self) -> list[object]:
        """What each found in the end."""
        told = [json.loads(line) for line in self.lines()]
        for worker in self.all:
            worker.communicate(timeout=120)
        assert [worker.returncode for worker in self.all] == [0] * len(self.all)
        return told


BRANCH = """
claims = {claimed.item: claimed for claimed in bench.claim("STAGE", 10_000)}
for item in sorted(claims):
    go()
    bench.finish([claims[item]], "STAGE")
go()
print(json.dumps(len(claims)), flush=True)
"""


def begun(bench: Bench, count: int) -> list[int]:
    """Items whose first stage is done."""
    items = bench.add(*(f"i{number}" for number in range(count)))
    while bench.state("a", items[-1]) is not State.DONE:
        bench.end("a")
    return items


def joins(bench: Bench, items: list[int]) -> set[State]:
    """The states of the stages that wait for both branches."""
    with bench.catalog.read() as view:
        return {row.state for rows in view.work(items).values() for row in rows if row.stage == "d"}


@pytest.mark.parametrize("rounds", [100, pytest.param(2000, marks=pytest.mark.slow)])
def test_two_branches_that_end_at_once_wake_the_join(url: str, rounds: int) -> None:
    with opened(url) as bench:
        items = begun(bench, rounds)
        with Workers(url, BRANCH.replace("STAGE", "b"), BRANCH.replace("STAGE", "c")) as workers:
            for _ in range(rounds + 1):
                workers.go()
            assert workers.results() == [rounds] * 2
        assert joins(bench, items) == {State.READY}


def test_a_branch_that_ends_within_the_end_of_another_wakes_the_join(url: str) -> None:
    """The first transaction is held open until the second one waits for it, or has ended."""
    with opened(url) as bench, opened(url) as other:
        items = begun(bench, 1)
        (first,), (second,) = bench.claim("b"), other.claim("c")
        thread = threading.Thread(target=lambda: other.finish([second], "c"))

        def hold(tx: Transaction) -> None:
            tx.complete(bench.kind(), bench.kind().stages["b"], [(first, bench.report(first))])
            thread.start()
            thread.join(0.5)

        bench.catalog.write(hold, concurrent=True)
        thread.join()
        assert joins(bench, items) == {State.READY}


TAKE = """
go()
mine = []
while True:
    claims = bench.claim("a", 50)
    if not claims:
        break
    mine += [(claimed.work, claimed.token) for claimed in claims]
    assert len(bench.finish(claims, "a").done) == len(claims)
print(json.dumps(mine), flush=True)
"""


@pytest.mark.parametrize("count", [2000, pytest.param(40_000, marks=pytest.mark.slow)])
def test_no_work_is_claimed_twice(url: str, count: int) -> None:
    with opened(url) as bench:
        for start in range(0, count, 1000):
            bench.add(*(f"i{number}" for number in range(start, start + 1000)))
        with Workers(url, *[TAKE] * 4) as workers:
            workers.go()
            taken = [tuple(pair) for mine in workers.results() for pair in mine]  # type: ignore[attr-defined]
        assert len(taken) == len(set(taken)) == count
        assert {token for _, token in taken} == {1}
        with bench.catalog.read() as view:
            assert view.sizes()["runs"] == count
            assert view.last_event() == 1 + 2 * count


TELL = """
go()
for number in range(COUNT):
    catalog.write(lambda tx: [tx.event("told", n=number) for _ in range(number % 3)], concurrent=True)
print(json.dumps(0), flush=True)
"""


def test_who_reads_events_by_number_misses_none(url: str) -> None:
    with (
        closing(PostgresCatalog(url)) as catalog,
        Workers(url, *[TELL.replace("COUNT", "60")] * 8) as workers,
    ):
        workers.go()
        watch = catalog.watch()
        seen = []
        end = time.monotonic() + 120
        while time.monotonic() < end:
            is_over = all(worker.poll() is not None for worker in workers.all)
            with catalog.read() as view:
                seen += [event.seq for event in view.events(seen[-1] if seen else 0)]
            if is_over:
                break
            watch.wait(0.05)
        workers.results()
        with catalog.read() as view:
            assert seen == list(range(1, view.last_event() + 1))
        assert len(seen) >= 8 * 60


DIE = """
go()
claims = bench.claim("a", 10, lease=LEASE)
print(json.dumps([(claimed.work, claimed.token) for claimed in claims]), flush=True)
time.sleep(600)
"""


def test_work_whose_processes_die_is_taken_over_and_poisoned_in_the_end(url: str) -> None:
    with opened(url) as bench:
        (item,) = bench.add("i")
        for token in range(1, 5):
            with Workers(url, DIE.replace("LEASE", "0.2")) as workers:
                workers.go()
                assert [json.loads(line) for line in workers.lines()] == [[[bench.row("a", item).id, token]]]
            time.sleep(0.25)  # its lease
        assert bench.claim("a") == []
        assert bench.state("a", item) is State.POISONED
        with bench.catalog.read() as view:
            assert [run.outcome for run in view.runs(item)] == [Outcome.LOST] * 4


def test_a_lease_that_is_extended_is_not_taken(url: str) -> None:
    with opened(url) as bench, opened(url) as other:
        bench.add("i")
        (claimed,) = bench.claim("a", lease=1.5)
        for _ in range(4):
            time.sleep(0.5)
            lost = bench.catalog.write(
                lambda tx: tx.heartbeat([(claimed.work, claimed.token)], 1.5), concurrent=True
            )
            assert (lost, other.claim("a")) == ([], [])
        time.sleep(1.6)
        (taken,) = other.claim("a")
        assert taken.token == 2
        assert bench.catalog.write(lambda tx: tx.heartbeat([(claimed.work, 1)], 60.0), concurrent=True) == [
            (claimed.work, 1)
        ]
        assert bench.finish([claimed], "a").dropped == (claimed.work,)
        assert len(other.finish([taken], "a").done) == 1


def test_two_processes_make_the_catalog_at_once(postgres: Server) -> None:
    url = postgres.database()
    code = (
        "import sys; from towpath.adapters.catalog.postgres import migrate; print('up', flush=True); "
        "sys.stdin.readline(); print(migrate(sys.argv[1], schema='a site'))"
    )
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for worker in workers:
        assert worker.stdout
        worker.stdout.readline()
    told = [worker.communicate("go\n", timeout=120)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0], told
    with closing(PostgresCatalog(url, schema="a site")) as catalog:
        catalog.write(lambda tx: tx.event("told"))
    postgres.drop(url)
