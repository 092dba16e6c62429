"""Numbers are told as people say them."""

import pytest

from towpath.base import clock, words


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.24, "0.2 s"), (41.0, "41 s"), (720.0, "12 min"), (11_160.0, "3.1 h"), (432_000.0, "5.0 d")],
)
def test_durations(value: float, text: str) -> None:
    assert words.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(512, "512 B"), (1400, "1.4 kB"), (3e9, "3.0 GB"), (7.2e12, "7.2 TB"), (4e16, "40000.0 TB")],
)
def test_sizes(value: float, text: str) -> None:
    assert words.size(value) == text


def test_times_are_told_in_utc_and_by_their_distance() -> None:
    assert words.when(0.0) == ""
    assert words.when(clock.seconds("2026-03-01T12:34:56Z")) == "2026-03-01 12:34:56"
    assert words.ago(clock.now() - 720.5) == "12 min ago"
    assert words.ago(clock.now() + 7300.0) == "in 2.0 h"


def test_values_and_counts() -> None:
    assert [words.number(one) for one in (True, None, 1.234567, 12, "x")] == ["yes", "–", "1.2346", "12", "x"]
    assert [words.count(one, "item") for one in (1, 2, 12_345)] == ["1 item", "2 items", "12 345 items"]
    assert words.count(2, "entry", "entries") == "2 entries"
