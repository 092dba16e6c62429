"""The ladder: what a group is calibrated by, and why not by what stands higher."""

import numpy as np
import pytest

from towpath.pipelines.dsa110.science.choosing import (
    DAY,
    Certified,
    Choice,
    Limits,
    Member,
    Rung,
    Seen,
    choose,
)

STRIP = np.radians(16.1)


def group(
    size: int = 10, *, calibrator_in: int = -1, flux: float = 8.0, catalogued: float = 0.0
) -> list[Member]:
    seen = {calibrator_in: (Seen("3C 48", flux, 0.01),)}
    return [Member(f"o{n}", STRIP, seen.get(n, ()), catalogued) for n in range(size)]


def test_a_certified_set_that_is_valid_is_enough_even_where_a_calibrator_is_seen() -> None:
    found = choose(group(calibrator_in=2), Certified("set 7", 0.0, STRIP))
    assert found == Choice(Rung.COVERED, source="set 7")


def test_a_calibrator_is_solved_on_where_it_is() -> None:
    found = choose(group(calibrator_in=7), None)
    assert (found.rung, found.member, found.source) == (Rung.CALIBRATOR, 7, "3C 48")
    assert found.reasons == ("no certified set is valid at the group's time",)


def test_the_brightest_as_seen_is_taken_and_of_equals_the_nearer_to_a_centre() -> None:
    members = [
        Member("a", STRIP, (Seen("far", 5.0, 0.03), Seen("weak", 1.0, 0.0))),
        Member("b", STRIP, (Seen("near", 5.0, 0.01),)),
    ]
    assert choose(members, None).source == "near"


@pytest.mark.parametrize(("size", "member"), [(10, 4), (3, 2)])
def test_without_a_calibrator_the_fifth_is_solved_on_its_catalogued_sources(size: int, member: int) -> None:
    found = choose(group(size, calibrator_in=0, flux=0.4, catalogued=3.0), Certified("old", 5 * DAY, STRIP))
    assert (found.rung, found.member) == (Rung.FALLBACK, member)
    assert any("no known calibrator of at least 0.5 Jy" in reason for reason in found.reasons)


def test_the_nearest_set_is_borrowed_within_limits() -> None:
    found = choose(group(catalogued=0.2), Certified("set 3", 29 * DAY, STRIP + np.radians(2)))
    assert (found.rung, found.source) == (Rung.BORROWED, "set 3")
    assert len(found.reasons) == 3


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (None, "no certified set is near enough to borrow"),
        (Certified("set 3", 31 * DAY, STRIP), "set 3 is 31.0 days too old; 30 are allowed"),
        (
            Certified("set 3", DAY, np.radians(54.0)),
            "set 3 was solved at declination +54.00°, o4 is at +16.10°; 3° are allowed",
        ),
    ],
)
def test_beyond_the_limits_there_is_none_and_every_rung_says_why(
    known: Certified | None, reason: str
) -> None:
    found = choose(group(), known, Limits())
    assert (found.rung, found.member, found.source) == (Rung.NONE, -1, "")
    assert len(found.reasons) == 4
    assert found.reasons[-1] == reason


def test_a_valid_set_of_another_strip_does_not_count() -> None:
    found = choose(group(calibrator_in=1), Certified("set 9", 0.0, np.radians(54.0)))
    assert found.rung is Rung.CALIBRATOR
    assert "set 9 was solved at declination +54.00°" in found.reasons[0]


def test_a_group_without_members_is_refused() -> None:
    with pytest.raises(ValueError, match="without members"):
        choose([], None)
