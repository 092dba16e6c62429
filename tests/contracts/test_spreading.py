"""Processes are killed between the parts of a large change, on both catalogs: whoever comes next goes on with it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from towpath.adapters.catalog import postgres, sqlite
from towpath.base import faults
from towpath.base.spacetime import Span
from towpath.contracts.catalog import LoadedCatalog
from towpath.testing.plans import Bench, calibration, kind_plan

KINDS = (
    kind_plan("item", {"a": (), "b": ("a",)}, inputs={"a": [calibration()]}),
    kind_plan("frame", {"m": ()}),
)
MANY = 20
# Goes on with what is left, two rows at a time.
GO_ON = """
import sys
from test_spreading import KINDS, opened
from towpath.testing.plans import Bench
catalog = opened(sys.argv[1])
bench = Bench(catalog, *KINDS)
catalog.at_once = 2
bench.spread()
catalog.close()
"""


def opened(url: str) -> LoadedCatalog:
    """Open the catalog of a URL, or of a path on SQLite."""
    return postgres.PostgresCatalog(url) if "://" in url else sqlite.SqliteCatalog(Path(url))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        sqlite.migrate(tmp_path / "catalog.db")
        yield str(tmp_path / "catalog.db")
        return
    server = request.getfixturevalue("postgres")
    made = server.database(template=request.getfixturevalue("migrated_template"))
    yield made
    server.drop(made)


def go_on(url: str, fault: str) -> int:
    """Let a process go on with a fault armed; returns its exit code."""
    env = {**os.environ, faults.VARIABLE: fault, "PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.run([sys.executable, "-c", GO_ON, url], env=env, timeout=120, check=False).returncode


@pytest.mark.parametrize("fault", ["catalog.spread:8", "catalog.commit:12"])
def test_a_withdrawn_calibration_reaches_all_its_users_whoever_is_killed(url: str, fault: str) -> None:
    """Each process is killed after some parts of its own."""
    with closing(opened(url)) as catalog:
        b = Bench(catalog, *KINDS)
        b.add("f", kind="frame")
        b.end("m", kind="frame")
        items = b.add(*(f"i{number}" for number in range(MANY)), span=Span(5, 5))
        (frame,) = b.products(b.row("m", 1).item)
        number = catalog.write(lambda tx: tx.certify(frame.id, "bias", "", 0, 10))
        b.drain()
        catalog.at_once = 2
        catalog.write(lambda tx: tx.decertify(number, "ann", "bad"))

        def reached() -> int:
            return sum(b.row("a", item).revision for item in items)

        counts, code = [reached()], -9
        while code:
            code = go_on(url, fault)
            assert code in (0, -9)
            counts.append(reached())
        assert counts[0] < counts[1] < counts[2]
        assert counts[-1] == MANY
        assert {tuple(b.states(item).items()) for item in items} == {(("a", "waiting"), ("b", "waiting"))}
        with catalog.read() as view:
            assert not view.spreading()
