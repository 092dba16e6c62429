"""The suite that every catalog passes: one test for each rule and transition of the catalog's rules.

An adapter's tests subclass `CatalogSuite` and override the fixture `catalog`. Needs pytest.
"""

from towpath.testing.catalog.work import WorkSuite


class CatalogSuite(WorkSuite):
    """All parts of the suite."""
