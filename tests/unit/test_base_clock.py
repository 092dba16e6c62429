"""Times are aware UTC or seconds; durations are what people write."""

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.base import clock

MOMENTS = st.floats(0, 4_000_000_000, allow_nan=False).map(lambda value: round(value, 3))


def test_now_is_seconds_since_the_epoch() -> None:
    assert clock.now() == pytest.approx(time.time(), abs=5)


@given(MOMENTS)
def test_a_moment_is_aware_and_its_text_reads_back(seconds: float) -> None:
    assert clock.moment(seconds).tzinfo is UTC
    text = clock.text(seconds)
    assert text.endswith("Z")
    assert len(text) == len("2026-01-01T00:00:00.000Z")
    assert clock.seconds(text) == pytest.approx(seconds, abs=0.0011)
    assert clock.seconds(clock.moment(seconds)) == pytest.approx(seconds, abs=1e-5)


@pytest.mark.parametrize(
    "value",
    [
        0,
        0.0,
        "1970-01-01T00:00:00Z",
        "1970-01-01T00:00:00",
        "1970-01-01",
        "1970-01-01T01:00:00+01:00",
        datetime(1970, 1, 1),  # without a zone: UTC
        datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_the_epoch_in_all_its_forms(value: str | float | datetime) -> None:
    assert clock.seconds(value) == 0.0


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="yesterday"):
        clock.seconds("yesterday")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10 min", 600),
        ("1 h 30 min", 5400),
        ("1h30min", 5400),
        ("200 ms", 0.2),
        ("2 d", 172800),
        ("1 day", 86400),
        ("1.5 s", 1.5),
        (" 5 s ", 5),
        (7, 7),
        (0.25, 0.25),
    ],
)
def test_a_duration_is_seconds(text: str | float, seconds: float) -> None:
    assert clock.duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", " ", "10", "min", "10 parsec", "-5 s", "5 s and", "s 5", "5 S", "1,5 s"]
)
def test_what_is_no_duration_is_refused_with_the_units(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"not a duration: .*write a number and one of ms, s, .*such as '10 min'"
    ):
        clock.duration(text)


@given(st.lists(st.tuples(st.integers(0, 999), st.sampled_from(["ms", "s", "min", "h", "d"])), min_size=1))
def test_parts_of_a_duration_add_up(parts: list[tuple[int, str]]) -> None:
    whole = " ".join(f"{number} {unit}" for number, unit in parts)
    assert clock.duration(whole) == pytest.approx(sum(clock.duration(f"{n} {unit}") for n, unit in parts))
