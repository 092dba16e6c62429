"""Spans are half open; boxes lie on a sphere and may cross the antimeridian."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.base.spacetime import Box, Span, cover, hull
from towpath.testing.catalog.places import shares_a_point

SECONDS = st.floats(-1e9, 1e9, allow_nan=False)
SPANS = st.tuples(SECONDS, SECONDS).map(lambda pair: Span(min(pair), max(pair)))
LONGITUDES, LATITUDES = st.integers(-180, 180), st.integers(-90, 90)
BOXES = st.tuples(LONGITUDES, LATITUDES, LONGITUDES, LATITUDES).map(
    lambda four: Box(four[0], min(four[1], four[3]), four[2], max(four[1], four[3]))
)


def holds(box: Box, longitude: float, latitude: float) -> bool:
    return any(
        part.west <= longitude <= part.east and part.south <= latitude <= part.north for part in box.parts()
    )


@given(SPANS)
def test_a_span_holds_its_begin_and_not_its_end(span: Span) -> None:
    assert span.holds(span.begin)
    assert span.holds(span.end) == (span.begin == span.end)
    assert span.begin <= span.mid <= span.end


@pytest.mark.parametrize(("begin", "end"), [(2, 1), (math.nan, 1), (1, math.nan)])
def test_a_span_begins_before_it_ends(begin: float, end: float) -> None:
    with pytest.raises(ValueError, match="begins before it ends"):
        Span(begin, end)


@given(st.lists(st.none() | SPANS))
def test_a_hull_holds_all(spans: list[Span | None]) -> None:
    known = [span for span in spans if span]
    found = hull(spans)
    assert (found is None) == (not known)
    if found:
        assert found.begin == min(span.begin for span in known)
        assert found.end == max(span.end for span in known)


@pytest.mark.parametrize(
    "bounds", [(-181, 0, 0, 0), (0, 0, 181, 0), (math.nan, 0, 0, 0), (0, 0, math.nan, 0)]
)
def test_longitudes_out_of_range(bounds: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="longitude out of"):
        Box(*bounds)


@pytest.mark.parametrize(
    "bounds", [(0, -91, 0, 0), (0, 0, 0, 91), (0, 1, 0, 0), (0, math.nan, 0, 0), (0, 0, 0, math.nan)]
)
def test_latitudes_out_of_range(bounds: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="latitude out of"):
        Box(*bounds)


def test_a_box_across_the_antimeridian_has_two_parts() -> None:
    assert Box(170, -1, -170, 1).parts() == (Box(170, -1, 180, 1), Box(-180, -1, -170, 1))
    assert Box(-10, -1, 10, 1).parts() == (Box(-10, -1, 10, 1),)


@given(BOXES, BOXES)
def test_boxes_that_share_a_corner_meet(one: Box, other: Box) -> None:
    assert one.meets(one)
    assert one.meets(other) == other.meets(one)
    for west, south in ((other.west, other.south), (other.east, other.north)):
        if holds(one, west, south):
            assert one.meets(other)


@given(BOXES, BOXES)
def test_boxes_that_meet_share_a_point(one: Box, other: Box) -> None:
    assert one.meets(other) == shares_a_point(one, other)


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ((170, 0, 180, 1), (-180, 0, -170, 1), True),  # one meridian
        ((170, 0, 180, 1), (-179, 0, -170, 1), False),
        ((0, 80, 10, 90), (100, 85, 110, 90), True),  # one pole
        ((0, -90, 10, -80), (100, 85, 110, 90), False),
        ((0, 80, 10, 89), (100, 85, 110, 90), False),
        ((5, 5, 5, 5), (0, 0, 5, 5), True),  # a point on a corner
        ((170, 0, -170, 1), (180, 1, 180, 1), True),
    ],
)
def test_edges_and_poles_are_shared(one: tuple[float, ...], other: tuple[float, ...], meet: bool) -> None:
    assert Box(*one).meets(Box(*other)) == Box(*other).meets(Box(*one)) == meet


@given(st.lists(BOXES, min_size=1, max_size=4))
def test_a_cover_holds_all_boxes(boxes: list[Box]) -> None:
    found = cover(boxes)
    assert found is not None
    for box in boxes:
        for part in box.parts():
            middle = (part.west + part.east) / 2
            for longitude in (part.west, middle, part.east):
                assert holds(found, longitude, box.south)
                assert holds(found, longitude, box.north)


def test_a_cover_is_the_narrow_one() -> None:
    assert cover([]) is None
    assert cover([None, Box(1, 1, 2, 2)]) == Box(1, 1, 2, 2)
    assert cover([Box(170, 0, 175, 1), Box(-175, 0, -170, 1)]) == Box(170, 0, -170, 1)
    assert cover([Box(10, 0, 20, 1), Box(30, -2, 40, 1)]) == Box(10, -2, 40, 1)
