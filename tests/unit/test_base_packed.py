"""A packed list is the list that it was made of, whatever its length."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from towpath.base.packed import PAGE, Packed


@given(st.integers(0, 3 * PAGE))
@example(PAGE)
@example(PAGE + 1)
def test_what_enters_comes_out_in_order(count: int) -> None:
    values = [(number, f"name {number}", bytes([number % 256])) for number in range(count)]
    packed = Packed(tuple, values)
    assert (len(packed), list(packed)) == (count, values)
    assert [value for page in packed.pages() for value in page] == values


def test_it_is_read_at_any_place_as_a_list_is() -> None:
    values = list(range(2 * PAGE + 10))
    packed = Packed(int, values)
    for place in (0, PAGE - 1, PAGE, 2 * PAGE, -1, -len(values)):
        assert packed[place] == values[place]
    assert packed[PAGE - 2 : PAGE + 2] == values[PAGE - 2 : PAGE + 2]
    assert packed[::PAGE] == values[::PAGE]
    with pytest.raises(IndexError):
        _ = packed[len(values)]


def test_it_grows_while_it_is_read_page_by_page() -> None:
    packed = Packed(int, range(PAGE))
    assert list(packed.pages()) == [list(range(PAGE))]
    packed.append(PAGE)
    assert [len(page) for page in packed.pages()] == [PAGE, 1]
