"""Names on disk are safe and one to one; runs are named WORK.TOKEN."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from towpath.base import ids

KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(KEYS)
@example("")
@example(".")
@example("..")
@example(".hidden")
@example("a/b")
@example("a" * 120)
@example("a" * 121)
@example("ü" * 40)
def test_a_name_is_safe(key: str) -> None:
    name = ids.slug(key)
    assert re.fullmatch(r"[A-Za-z0-9_.+=@%~-]{1,120}", name)
    assert not name.startswith(".")


@given(KEYS, KEYS)
@example("", "%")
@example(".a", "%2Ea")
@example("a b", "a%20b")
@example("a" * 130, "a" * 131)
def test_two_keys_never_share_a_name(one: str, other: str) -> None:
    assert (ids.slug(one) == ids.slug(other)) == (one == other)


@pytest.mark.parametrize("key", ["2026-01-01T00", "HD_1234", "a+b=c@d", "x" * 120])
def test_a_plain_key_is_its_own_name(key: str) -> None:
    assert ids.slug(key) == key


def test_what_is_not_safe_is_percent_encoded() -> None:
    assert ids.slug("2026-01-01T00:00 ü~") == "2026-01-01T00%3A00%20%C3%BC%7E"


@given(st.integers(0, 2**60), st.integers(0, 2**30))
def test_a_run_name_reads_back(work: int, token: int) -> None:
    assert ids.parse_run_name(ids.run_name(work, token)) == (work, token)


@pytest.mark.parametrize("name", ["", "1", "1.", ".1", "a.1", "1.b", "1.2.3", "-1.2"])
def test_what_is_no_run_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"not a run: .*WORK\.TOKEN, such as 1042\.2"):
        ids.parse_run_name(name)
