"""The suite's tests of features: found by cone exactly, replaced, refused from late workers, gone with retirement."""

import json
import math
import random
from typing import Any

from towpath.base import places
from towpath.base.model import Feature, Features
from towpath.base.states import Outcome
from towpath.contracts.catalog import FeatureCount
from towpath.testing.catalog.base import Base, MakeBench
from towpath.testing.plans import PIPELINE, Bench, kind_plan

CHAIN = kind_plan("item", {"a": (), "b": ("a",)})


def drawn(seed: int, number: int) -> list[tuple[float, float]]:
    """Places anywhere, and at and near the poles and the antimeridian."""
    draw = random.Random(seed)
    found = [(0.0, 90.0), (-180.0, 0.0), (179.9999, 0.0), (77.0, -90.0), (0.0, 0.0), (-0.0001, 0.0)]
    while len(found) < number:
        found.append((draw.uniform(-180, 179.999), math.degrees(math.asin(draw.uniform(-1, 1)))))
    return found


def table(at: list[tuple[float, float]], kind: str = "source", frame: str = "icrs") -> tuple[Features, ...]:
    """These places as a run reports them, named by their order."""
    names = tuple(f"s{number}" for number in range(len(at)))
    return (Features(kind, frame, [one[0] for one in at], [one[1] for one in at], names),)


class FeatureSuite(Base):
    """Point results."""

    def _found(self, b: Bench, **query: Any) -> list[Feature]:
        with b.catalog.read() as view:
            return view.features(**{"limit": 10_000, **query})

    def test_features_are_found_by_cone(self, bench: MakeBench) -> None:
        """At the poles, across 0/360 and anywhere: those whose angle, by another formula, is at most the radius."""
        b = bench(CHAIN)
        at = drawn(1, 300)
        b.add("one")
        b.end("a", features=table(at))
        for longitude, latitude, radius in (
            *((0, 90, 5), (10, -90, 20), (180, 0, 1), (359.9999, 0, 0.01), (0, 0, 89.9), (5, 5, 179.9)),
            *((longitude, latitude, 12.5) for longitude, latitude in drawn(2, 40)),
        ):
            expected = set()
            for number, (lon, lat) in enumerate(at):
                u, v = places.unit_vector(lon, lat), places.unit_vector(longitude, latitude)
                if math.degrees(2 * math.asin(min(math.dist(u, v) / 2, 1))) <= radius:
                    expected.add(f"s{number}")
            found = self._found(b, near=(longitude, latitude), radius=radius)
            assert {one.name for one in found} == expected
            assert all(0 <= one.longitude < 360 for one in found)

    def test_a_feature_is_where_it_is(self, bench: MakeBench) -> None:
        """Without a radius it is found at its own place, told either way."""
        b = bench(CHAIN)
        b.add("one")
        at = [(358.1, 20.1), (-0.3, 5.7), (180.0, -33.3), (12.34567, 89.9)]
        b.end("a", features=table([(places.kept_longitude(lon), lat) for lon, lat in at]))
        for number, (lon, lat) in enumerate(at):
            for told in (lon, places.kept_longitude(lon)):
                assert [one.name for one in self._found(b, near=(told, lat))] == [f"s{number}"]

    def test_features_are_filtered_and_paged(self, bench: MakeBench) -> None:
        """All conditions hold together, a page goes on after the last of the one before."""
        b = bench(CHAIN)
        one, two = b.add("one", "two")
        b.end("a", features=(*table(drawn(3, 20)), *table([(30.0, 5.0)], "peak", "wgs84")))
        assert len(self._found(b)) == 42
        page = self._found(b, kind="source", item=two, limit=15)
        rest = self._found(b, kind="source", item=two, after=page[-1].id)
        assert [f.name for f in (*page, *rest)] == [f"s{n}" for n in range(20)]
        (peak,) = self._found(b, kind="peak", item=one, box=places.sky_box((29, 5, 30, 6)))
        assert (peak.longitude, peak.frame, peak.stage, peak.pipeline) == (30.0, "wgs84", "a", PIPELINE)
        assert self._found(b, pipeline="other") == self._found(b, kind="peak", frame="icrs") == []
        assert len(self._found(b, pipeline=PIPELINE, near=(30, 5), radius=0.1, kind="peak")) == 2

    def test_features_are_found_by_box(self, bench: MakeBench) -> None:
        """Edges included, across 0/360 and at a pole, where all meridians meet."""
        b = bench(CHAIN)
        b.add("one")
        at = [(359.5, 0.0), (0.5, 1.0), (20.0, 89.0), (200.0, 90.0), (180.0, -5.0)]
        b.end("a", features=table([(places.kept_longitude(lon), lat) for lon, lat in at]))
        for bounds, names in (
            ((359, -1, 1, 1), ["s0", "s1"]),
            ((-0.5, 0, 0.5, 1), ["s0", "s1"]),
            ((-0.4, 0, 0.4, 1), []),
            ((0, 80, 30, 90), ["s2", "s3"]),
            ((180, -5, 180, -5), ["s4"]),
            ((170, -10, 180, 0), ["s4"]),
            ((-180, -10, -170, 0), ["s4"]),
            ((0, -90, 360, 90), ["s0", "s1", "s2", "s3", "s4"]),
        ):
            assert [one.name for one in self._found(b, box=places.sky_box(bounds))] == names, bounds
        both = self._found(b, box=places.sky_box((0, 0, 360, 90)), near=(0, 90), radius=1.5)
        assert [one.name for one in both] == ["s2", "s3"]

    def test_features_come_back_as_they_were_told(self, bench: MakeBench) -> None:
        """Whatever letters are in them, half a character of a file's name that is no UTF-8 included."""
        b = bench(CHAIN)
        b.add("one")
        half = "name \udcff \N{SUNFLOWER}"
        texts = (json.dumps({half: half, "zero": "\0"}, ensure_ascii=False), None, "{}")
        names = (half, "'; --", '"\\{},')
        found = Features(half, "icrs", (1.0,) * 3, (2.0,) * 3, names, (None, 0.0, 1.7e9), texts)
        b.end("a", features=(found,))
        one, two, three = self._found(b)
        assert one.properties == {half: half, "zero": "\0"}
        assert (two.properties, three.properties) == ({}, {})
        assert (one.kind, one.name, two.name, three.name) == (*["name \\udcff \N{SUNFLOWER}"] * 2, *names[1:])
        assert (one.time, two.time, three.time) == (None, 0.0, 1.7e9)
        assert len(self._found(b, kind="name \\udcff \N{SUNFLOWER}")) == 3

    def test_features_are_counted(self, bench: MakeBench) -> None:
        """By stage and kind, of the item alone."""
        b = bench(CHAIN)
        one, two, three = b.add("one", "two", "three")
        b.end(
            "a", features=(*table(drawn(6, 20)), *table([(30.0, 5.0)], "peak"), *table([(3.0, 5.0)], "peak"))
        )
        b.revise("b", three, force=True)
        b.end("b", features=table([(1.0, 2.0)]))
        with b.catalog.read() as view:
            expected = [
                FeatureCount("a", "peak", 2),
                FeatureCount("a", "source", 20),
                FeatureCount("b", "source", 1),
            ]
            assert view.feature_counts(one) == view.feature_counts(two) == expected
            assert view.feature_counts(three + 1) == []

    def test_features_of_several_runs_are_written_at_once(self, bench: MakeBench) -> None:
        """Each with its own item and run; those of one that is made again replace its own, and no other's."""
        b = bench(CHAIN)
        items = b.add("one", "two", "three")
        claims = sorted(b.claim("a"), key=lambda claimed: claimed.item)
        pairs = [
            (claimed, b.report(claimed, features=table([(10.0 * number, 0.0)])))
            for number, claimed in enumerate(claims)
        ]
        b.complete("a", pairs)
        assert [(one.item, one.longitude) for one in self._found(b)] == [
            *zip(items, (0, 10, 20), strict=True)
        ]
        b.revise("a", items[1], force=True)
        b.end("a", content="other", features=table([(77.0, 0.0)]))
        found = {one.item: (one.longitude, one.run[1]) for one in self._found(b)}
        assert found == {items[0]: (0.0, 1), items[1]: (77.0, 2), items[2]: (20.0, 1)}

    def test_features_are_replaced_and_leave(self, bench: MakeBench) -> None:
        """Those of the last run that made what is current; none of a late worker or of a failed run; none retired."""
        b = bench(CHAIN)
        (item,) = b.add("one")
        b.end("a", features=table(drawn(4, 10)))
        b.revise("a", item, force=True)
        (late,) = b.claim("a")
        b.catalog.write(lambda tx: tx.stop([late.work]))
        b.finish([late], "a", features=table(drawn(5, 7)))
        assert len(self._found(b)) == 10
        b.catalog.write(lambda tx: tx.retry([late.work]))
        b.end("a", Outcome.FAILED, features=table(drawn(5, 7)))
        assert len(self._found(b)) == 10
        b.catalog.write(lambda tx: tx.retry([late.work]))
        b.end("a", content="other", features=table([(1.0, 2.0)]))
        assert [one.latitude for one in self._found(b)] == [2.0]
        assert len(self._found(b, near=(1, 2), radius=0.5)) == 1
        b.catalog.write(lambda tx: tx.retire([late.work], "left"))
        assert self._found(b) == self._found(b, near=(1, 2), radius=180) == []
