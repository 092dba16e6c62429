"""Two that certify at the same time, each through a catalog of its own: one wins, the other is a result (R10)."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from towpath.adapters.catalog import postgres, sqlite
from towpath.base.spacetime import Span
from towpath.base.states import Outcome
from towpath.contracts.catalog import Claimed, LoadedCatalog
from towpath.contracts.executor import Report
from towpath.flow.certify import Certifier
from towpath.testing.plans import Bench, kind_plan, product_of
from towpath.testing.postgres import Server

Connect = Callable[[], LoadedCatalog]
PAIRS = 5
SETTINGS = {"calibration": "bias", "selector": "", "valid_before": 50.0, "valid_after": 50.0, "quality": ""}


@pytest.fixture(params=["sqlite", "postgres"])
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connect]:
    """Give what opens one and the same catalog."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            sqlite.migrate(tmp_path / "catalog.db")
            yield lambda: stack.enter_context(closing(sqlite.SqliteCatalog(tmp_path / "catalog.db")))
            return
        server: Server = request.getfixturevalue("postgres")
        url = server.database(template=request.getfixturevalue("migrated_template"))
        stack.callback(server.drop, url)
        yield lambda: stack.enter_context(closing(postgres.PostgresCatalog(url)))


def kind(overlap: str) -> object:
    settings = {
        "version": "1",
        "params": {**SETTINGS, "overlap": overlap},
        "outputs": {},
        "service": "certify",
    }
    return kind_plan(
        "item",
        {"solve": (), "certify": ("solve",)},
        inputs={"certify": [product_of("solve")]},
        settings={"certify": settings},
    )


def side_by_side(bench: Bench, catalogs: list[LoadedCatalog], claims: list[Claimed]) -> list[Report]:
    """The reports of certifiers that begin at the same moment."""
    plan, start = bench.kind(), threading.Barrier(len(claims))
    reports: dict[int, Report] = {}

    def certify(catalog: LoadedCatalog, claimed: Claimed) -> None:
        start.wait()
        reports[claimed.work] = Certifier(catalog)(plan, plan.stages["certify"], claimed)

    threads = [threading.Thread(target=certify, args=one) for one in zip(catalogs, claims, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [reports[claimed.work] for claimed in claims]


@pytest.mark.parametrize("overlap", ["clip", "refuse", "replace"])
def test_of_two_that_certify_at_once_one_is_in_force(connect: Connect, overlap: str) -> None:
    catalogs = [connect(), connect()]
    benches = [Bench(catalog, kind(overlap)) for catalog in catalogs]
    bench = benches[0]
    for number in range(PAIRS):
        when = number * 1000.0
        items = bench.add(f"i{number}", f"j{number}", span=Span(when, when + 10))
        bench.end("solve")
        claims = bench.claim("certify")
        assert [claimed.item for claimed in claims] == items
        reports = side_by_side(bench, catalogs, claims)
        bench.complete("certify", zip(claims, reports, strict=True))
        with bench.catalog.read() as view:
            rows = [row for row in view.calibrations("bias") if row.begin == when - 50]
        assert [(row.begin, row.end) for row in rows] == [(when - 50, when + 60)]
        (winner,) = rows
        outcomes = {report.outcome for report in reports}
        if overlap == "replace":  # the item that was registered later, whoever came first
            assert winner.product.item == items[1]
            assert outcomes in ({Outcome.DONE}, {Outcome.DONE, Outcome.REJECTED})
        else:
            loser = reports[1 - items.index(winner.product.item)]
            told = loser.error if overlap == "refuse" else loser.reasons[0]
            assert loser.outcome is (Outcome.FAILED if overlap == "refuse" else Outcome.REJECTED)
            assert f"number {winner.id} " in told or told.startswith(f"calibration {winner.id}, valid from")
            assert Outcome.DONE in outcomes


def test_of_two_whose_margins_meet_each_keeps_its_own_time(connect: Connect) -> None:
    """Clipped beside one another, in either order: both are in force and do not overlap."""
    catalogs = [connect(), connect()]
    benches = [Bench(catalog, kind("clip")) for catalog in catalogs]
    bench = benches[0]
    for number in range(PAIRS):
        when = number * 1000.0
        bench.add(f"i{number}", span=Span(when, when + 10))
        bench.add(f"j{number}", span=Span(when + 70, when + 80))
        bench.end("solve")
        claims = bench.claim("certify")
        reports = side_by_side(bench, catalogs, claims)
        assert [report.outcome for report in reports] == [Outcome.DONE, Outcome.DONE]
        bench.complete("certify", zip(claims, reports, strict=True))
        with bench.catalog.read() as view:
            first, second = sorted(
                (row.begin, row.end)
                for row in view.calibrations("bias")
                if when - 50 <= row.begin < when + 130
            )
        assert (first[0], second[1]) == (when - 50, when + 130)
        assert first[1] == second[0]
        assert first[1] in (when + 20, when + 60)
