"""A key is of the fixed part and the inputs, in any order; two sets of components differ by name."""

import hashlib
import json
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from towpath.base.provenance import Difference, Fixed, differences, key

PAIRS = st.lists(st.tuples(st.text(max_size=8), st.binary(min_size=32, max_size=32)), max_size=4)
TREES = st.recursive(
    st.integers(0, 2), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8
)
FIXED = Fixed.of("a", "1", {"cell": 2, "size": [1, 2]}, "env")


def test_the_fixed_part_is_canonical() -> None:
    assert json.loads(FIXED.json) == {
        "stage": "a", "version": "1", "params": {"cell": 2, "size": [1, 2]}, "environment": "env",
    }  # fmt: skip
    assert FIXED.sha256 == hashlib.sha256(FIXED.json).digest()
    assert Fixed.of("a", "1", {"size": [1, 2], "cell": 2}, "env") == FIXED
    others = [
        Fixed.of("b", "1", {"cell": 2, "size": [1, 2]}, "env"),
        Fixed.of("a", "2", {"cell": 2, "size": [1, 2]}, "env"),
        Fixed.of("a", "1", {"cell": 3, "size": [1, 2]}, "env"),
        Fixed.of("a", "1", {"cell": 2, "size": [1, 2]}),
    ]
    assert len({FIXED.sha256, *(other.sha256 for other in others)}) == 5


@given(PAIRS)
def test_a_key_does_not_depend_on_the_order_of_inputs(pairs: list[tuple[str, bytes]]) -> None:
    assert len({key(FIXED, order) for order in permutations(pairs)}) == 1


@given(PAIRS, PAIRS)
def test_other_inputs_give_another_key(one: list[tuple[str, bytes]], other: list[tuple[str, bytes]]) -> None:
    assert (key(FIXED, one) == key(FIXED, other)) == (sorted(one) == sorted(other))


def test_another_fixed_part_gives_another_key() -> None:
    assert key(FIXED, ()) != key(Fixed.of("b", "1", {}), ())
    assert len(key(FIXED, ())) == 32


def test_a_name_is_told_from_its_hash() -> None:
    """Names of several bytes per letter cannot be taken for a part of what follows them."""
    first, second = b"\x01" * 32, b"\x02" * 32
    assert key(FIXED, [("é", first), ("b", second)]) != key(FIXED, [("é" + first.decode(), second)])


def test_differences_are_named() -> None:
    was = {"version": "1", "params": {"cell": 1, "old": True}, "inputs": {"a": "00"}}
    now = {"version": "2", "params": {"cell": 1, "new": 3}, "inputs": {"a": "00"}}
    assert differences(was, now) == [
        Difference("params.new", None, 3),
        Difference("params.old", True, None),
        Difference("version", "1", "2"),
    ]


@given(st.dictionaries(st.sampled_from("abc"), TREES), st.dictionaries(st.sampled_from("abc"), TREES))
def test_nothing_differs_only_between_equals(was: dict[str, object], now: dict[str, object]) -> None:
    found = differences(was, now)
    if was == now:
        assert found == []
    back = {(one.component, repr(one.now), repr(one.was)) for one in differences(now, was)}
    assert {(one.component, repr(one.was), repr(one.now)) for one in found} == back
