"""The suite that every catalog passes: one test for each rule and transition of the catalog's rules.

An adapter's tests subclass `CatalogSuite` and override the fixture `catalog`. Needs pytest.
"""

from towpath.testing.catalog.features import FeatureSuite
from towpath.testing.catalog.keys import KeySuite
from towpath.testing.catalog.leaving import LeavingSuite
from towpath.testing.catalog.letting import LettingSuite
from towpath.testing.catalog.listing import ListingSuite
from towpath.testing.catalog.orders import OrderSuite
from towpath.testing.catalog.people import PeopleSuite
from towpath.testing.catalog.persons import PersonSuite
from towpath.testing.catalog.places import PlaceSuite
from towpath.testing.catalog.products import ProductSuite
from towpath.testing.catalog.restoring import RestoringSuite
from towpath.testing.catalog.searching import SearchSuite
from towpath.testing.catalog.spreading import SpreadSuite
from towpath.testing.catalog.standing import StandingSuite
from towpath.testing.catalog.work import WorkSuite


class CatalogSuite(
    WorkSuite,
    KeySuite,
    PeopleSuite,
    OrderSuite,
    PersonSuite,
    ProductSuite,
    LeavingSuite,
    LettingSuite,
    PlaceSuite,
    FeatureSuite,
    RestoringSuite,
    SpreadSuite,
    StandingSuite,
    ListingSuite,
    SearchSuite,
):
    """All parts of the suite."""
