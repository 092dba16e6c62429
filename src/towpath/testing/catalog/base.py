"""What the parts of the catalog suite share: the hook for a catalog, and benches on it."""

from collections.abc import Callable

import pytest

from towpath.base.model import Run
from towpath.contracts.catalog import LoadedCatalog
from towpath.contracts.definition import KindPlan
from towpath.testing.plans import Bench

MakeBench = Callable[..., Bench]


class Base:
    """The hook. A suite of an adapter overrides the fixture `catalog`."""

    @pytest.fixture
    def catalog(self) -> LoadedCatalog:
        """Give an empty, migrated catalog; the adapter's test writes this."""
        raise NotImplementedError("a suite of an adapter gives a catalog")

    @pytest.fixture
    def bench(self, catalog: LoadedCatalog) -> MakeBench:
        """Give a function that makes a bench with these kinds."""

        def make(*kinds: KindPlan) -> Bench:
            return Bench(catalog, *kinds)

        return make


def runs_of(bench: Bench, item: int, stage: str = "") -> list[Run]:
    """The runs of an item, in the order in which they ended."""
    with bench.catalog.read() as view:
        found = view.runs(item, limit=1000)
    return sorted((run for run in found if stage in ("", run.stage)), key=lambda run: (run.work, run.token))


def outcomes(bench: Bench, item: int, stage: str) -> list[str]:
    """How the runs of a stage ended."""
    return [run.outcome.value for run in runs_of(bench, item, stage)]
