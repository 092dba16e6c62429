"""The suite's tests of footprints: each catalog's index gives the answers that looking at every item gives."""

import itertools
import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from towpath.base.model import Item
from towpath.base.spacetime import Box
from towpath.testing.catalog.base import Base, MakeBench
from towpath.testing.plans import PIPELINE, Bench, kind_plan

CHAIN = kind_plan("item", {"a": ()})
EDGES = (-180.0, -179.9999999, -90.0, -0.1, 0.0, 0.1, 1 / 3, 90.0, 179.9999999, 180.0)
HEIGHTS = (-90.0, -89.9999999, -1 / 3, 0.0, 0.1, 45.0, 89.9999999, 90.0)


def shares_a_point(one: Box, other: Box) -> bool:
    """Whether some corner-like point of the sphere lies in both boxes: by trying them all, with no index and no cases."""
    longitudes = {one.west, one.east, other.west, other.east, 180.0}
    latitudes = {one.south, one.north, other.south, other.north}
    return any(
        _holds(one, longitude, latitude) and _holds(other, longitude, latitude)
        for longitude, latitude in itertools.product(longitudes, latitudes)
    )


def _holds(box: Box, longitude: float, latitude: float) -> bool:
    if not box.south <= latitude <= box.north:
        return False
    if abs(latitude) == 90:
        return True  # a pole is one point, whatever the longitude
    same = {longitude, -longitude} if abs(longitude) == 180 else {longitude}
    return any(
        box.west <= one <= box.east if box.west <= box.east else one >= box.west or one <= box.east
        for one in same
    )


def boxes(seed: int, number: int) -> list[Box]:
    """Boxes, lines and points at and near the edges of the range and of one another, and anywhere."""
    draw = random.Random(seed)

    def bound(fixed: Sequence[float], most: float) -> float:
        return draw.choice(fixed) if draw.random() < 0.6 else draw.uniform(-most, most)

    found = []
    for _ in range(number):
        west, south = bound(EDGES, 180), bound(HEIGHTS, 90)
        east = west if draw.random() < 0.2 else bound(EDGES, 180)
        north = south if draw.random() < 0.2 else bound(HEIGHTS, 90)
        found.append(Box(west, min(south, north), east, max(south, north)))
    return found


class PlaceSuite(Base):
    """Items by place."""

    def _put(self, b: Bench, places: Sequence[Box | None]) -> list[int]:
        items = [Item(PIPELINE, "item", f"i{n}", {}, None, box) for n, box in enumerate(places)]
        return b.catalog.write(lambda tx: tx.add_items(b.kind(), items))

    def _meeting(self, b: Bench, box: Box) -> set[int]:
        with b.catalog.read() as view:
            found = view.items(box=box, limit=10_000)
        assert [item.id for item in found] == sorted(item.id for item in found)
        return {item.id for item in found}

    def _compare(self, b: Bench, places: dict[int, Box | None], queries: Sequence[Box]) -> None:
        for query in queries:
            expected = {number for number, box in places.items() if box and shares_a_point(box, query)}
            assert self._meeting(b, query) == expected, query

    def test_items_are_found_by_place(self, bench: MakeBench) -> None:
        """Across the antimeridian, at the poles, points and lines, edges that are shared, and 32-bit neighbours."""
        b = bench(CHAIN)
        known = boxes(1, 150)
        items = dict(zip(self._put(b, [*known, None]), [*known, None], strict=True))
        self._compare(b, items, [*boxes(2, 150), *known[:50]])

    def test_a_place_that_changes_is_found_where_it_is_now(self, bench: MakeBench) -> None:
        """Given, moved, moved across the antimeridian and back, and never found where it was."""
        b = bench(CHAIN)
        places: dict[int, Box | None] = dict.fromkeys(self._put(b, [None] * 30))
        for seed in (3, 4, 5):
            for item, box in zip(places, boxes(seed, 30), strict=True):
                b.catalog.write(lambda tx, i=item, p=box: tx.update_item(i, footprint=p))  # type: ignore[misc]
                places[item] = box
            self._compare(b, places, boxes(seed + 10, 40))

    def test_a_place_goes_with_other_filters_and_pages(self, bench: MakeBench) -> None:
        """All conditions hold together, and a page goes on after the last item of the one before."""
        b = bench(CHAIN)
        numbers = self._put(b, [Box(n, 0, n + 1, 1) for n in range(20)])
        with b.catalog.read() as view:
            pages = [
                [item.id for item in view.items(box=Box(5, 0, 12, 1), after=after, limit=4)]
                for after in (0, numbers[7])
            ]
            assert [item.key for item in view.items(box=Box(5, 0, 12, 1), keys=["i4", "i13"])] == ["i4"]
            assert view.items(box=Box(5, 0, 12, 1), kind="other") == []
        assert pages == [numbers[4:8], numbers[8:12]]

    def test_what_was_rolled_back_is_not_found(self, bench: MakeBench) -> None:
        """The index is part of the transaction."""
        b = bench(CHAIN)

        def fail(tx: Any) -> None:
            tx.add_items(b.kind(), [Item(PIPELINE, "item", "x", {}, None, Box(1, 1, 2, 2))])
            raise RuntimeError("no")

        with suppress(RuntimeError):
            b.catalog.write(fail)
        assert self._meeting(b, Box(-180, -90, 180, 90)) == set()
