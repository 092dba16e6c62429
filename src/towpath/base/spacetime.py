"""When and where an item is: a time span and a footprint on the sphere.

A span is half open, [begin, end). A footprint is a box in degrees, west may exceed east across the antimeridian.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """A time span [begin, end) in seconds since the epoch, UTC. An instant has begin == end."""

    begin: float
    end: float

    def __post_init__(self) -> None:
        if not self.begin <= self.end:
            raise ValueError(f"a time span begins before it ends: begin {self.begin}, end {self.end}")

    @property
    def mid(self) -> float:
        """The middle of the span, seconds since the epoch."""
        return (self.begin + self.end) / 2

    def holds(self, when: float) -> bool:
        """Whether `when` lies in the span (an instant holds itself)."""
        return self.begin <= when < self.end or when == self.begin


@dataclass(frozen=True, slots=True)
class Box:
    """A footprint in degrees: longitudes in [-180, 180], latitudes in [-90, 90]; west > east crosses the antimeridian.

    Raises
    ------
    ValueError
        If a bound is out of range or not a number.
    """

    west: float
    south: float
    east: float
    north: float

    def __post_init__(self) -> None:
        if not (-180 <= self.west <= 180 and -180 <= self.east <= 180):
            raise ValueError(f"longitude out of [-180, 180]: west {self.west}, east {self.east}")
        if not -90 <= self.south <= self.north <= 90:
            raise ValueError(
                f"latitude out of [-90, 90] or south above north: south {self.south}, north {self.north}"
            )

    def parts(self) -> tuple["Box", ...]:
        """The box as one or two boxes that do not cross the antimeridian."""
        if self.west <= self.east:
            return (self,)
        return Box(self.west, self.south, 180.0, self.north), Box(-180.0, self.south, self.east, self.north)

    def windows(self) -> tuple["Box", ...]:
        """The boxes of the plane such that what shares a point with this box on the sphere has a part that touches one.

        They are its parts; the other side of the antimeridian where a part ends there, for -180 and 180 degrees are
        one meridian; and all longitudes at a pole that it reaches, for a pole is one point.
        """
        found = list(self.parts())
        if self.west <= self.east and self.east == 180:
            found.append(Box(-180.0, self.south, -180.0, self.north))
        if self.west <= self.east and self.west == -180:
            found.append(Box(180.0, self.south, 180.0, self.north))
        if self.north == 90:
            found.append(Box(-180.0, 90.0, 180.0, 90.0))
        if self.south == -90:
            found.append(Box(-180.0, -90.0, 180.0, -90.0))
        return tuple(found)

    def meets(self, other: "Box") -> bool:
        """Whether the two boxes share a point on the sphere; their edges belong to them."""
        return any(
            a.west <= b.east and b.west <= a.east and a.south <= b.north and b.south <= a.north
            for a in self.parts()
            for b in other.windows()
        )


def hull(spans: Iterable[Span | None]) -> Span | None:
    """The span from the first begin to the last end; None if there is none."""
    known = [span for span in spans if span is not None]
    return Span(min(span.begin for span in known), max(span.end for span in known)) if known else None


def cover(boxes: Iterable[Box | None]) -> Box | None:
    """The narrowest box that holds all, across the antimeridian if that is narrower; None if there is none."""
    known = [box for box in boxes if box is not None]
    if not known:
        return None
    south, north = min(box.south for box in known), max(box.north for box in known)
    parts = sorted((part.west, part.east) for box in known for part in box.parts())
    gaps, reach = [], parts[0][1]
    for west, east in parts[1:]:
        gaps.append((west - reach, reach, west))
        reach = max(reach, east)
    width, east, west = max(gaps, default=(0.0, 0.0, 0.0))
    if width > max(parts[0][0] + 360 - reach, 0.0):
        return Box(west, south, east, north)
    return Box(parts[0][0], south, reach, north)
