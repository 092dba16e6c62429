"""The suite's tests of items by attribute, milestone and time, with all other filters, and of their counts.

What is found is compared with what the rows of all items say, read one by one.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

from towpath.base.model import Item
from towpath.base.spacetime import Box, Span
from towpath.base.states import Work as State
from towpath.contracts.catalog import View
from towpath.testing.catalog.base import Base, MakeBench
from towpath.testing.plans import PIPELINE, Bench, kind_plan

ITEM = kind_plan("item", {"a": (), "b": ("a",)}, settings={"a": {"reaches": "Reduced"}})
OTHER = kind_plan("other", {"a": ()})
MINUTE, DAY, YEAR = 60.0, 86_400.0, 31_557_600.0
LENGTHS = (0.0, 1.0, MINUTE, DAY, YEAR)
START = 1.7e9
FILTERS: tuple[dict[str, Any], ...] = (
    {"pipeline": PIPELINE},
    {"kind": "item"},
    {"state": State.DONE},
    {"state": State.READY, "stage": "b"},
    {"stage": "b"},
    {"text": "m_1"},
    {"text": "ITEM"},
    {"keys": ["item_3", "item_10", "other_4", "none"]},
    {"box": Box(-20, -20, 5, 5)},
    {"milestone": "Reduced"},
    {"milestone": "None"},
    {"attributes": {"camera": "red"}},
    {"attributes": {"n": 3, "camera": "red"}},
    {"attributes": {"good": True}},
    {"attributes": {"camera": "none"}},
    {"since": START + 10 * MINUTE},
    {"until": START + 10 * MINUTE},
    {"since": START + 5 * MINUTE, "until": START + 10 * MINUTE},
    {"since": START + DAY, "until": START + DAY + 1},
)


def filled(bench: MakeBench) -> Bench:
    """Items of two kinds with attributes, spans of all lengths and places, some with the first stage done."""
    b = bench(ITEM, OTHER)
    items = [made("item", number) for number in range(24)]
    others = [made("other", number) for number in range(8)]
    b.catalog.write(lambda tx: tx.add_items(ITEM, items))
    b.finish(b.claim("a", 10), "a")
    b.catalog.write(lambda tx: tx.add_items(OTHER, others))
    return b


def made(kind: str, number: int) -> Item:
    """An item of a number; one of six has neither attributes nor span nor place."""
    key = f"{kind}_{number}"
    if number % 6 == 5:
        return Item(PIPELINE, kind, key)
    attributes = {"camera": ("red", "blue", "Rot")[number % 3], "n": number % 4, "good": number % 2 == 0}
    begin = START + number * MINUTE
    place = Box(number - 20, number - 20, number - 19, number - 19)
    return Item(PIPELINE, kind, key, attributes, Span(begin, begin + LENGTHS[number % 5]), place)


def fits(view: View, item: Item, asked: dict[str, Any]) -> bool:
    """Whether an item fits, by its own rows."""
    tests: dict[str, Callable[[Any], bool]] = {
        "pipeline": lambda value: item.pipeline == value,
        "kind": lambda value: item.kind == value,
        "text": lambda value: value.lower() in item.key,
        "keys": lambda value: item.key in value,
        "box": lambda value: item in view.items(box=value, limit=1000),
        "milestone": lambda value: value in [name for name, _ in view.milestones(item.id)],
        "attributes": lambda value: all(item.attributes.get(name) == one for name, one in value.items()),
        "since": lambda value: item.span is not None and (item.span.end > value or item.span.begin >= value),
        "until": lambda value: item.span is not None and item.span.begin < value,
    }
    if "state" in asked or "stage" in asked:
        rows = view.work([item.id])[item.id]
        state, stage = asked.get("state"), asked.get("stage")
        if not any(row.state == (state or row.state) and row.stage == (stage or row.stage) for row in rows):
            return False
    return all(test(asked[name]) for name, test in tests.items() if name in asked)


class SearchSuite(Base):
    """Items by filter: the same answer whichever index leads, paged by number, and counted."""

    def test_filters_and_pairs_of_them_find_what_the_rows_say(self, bench: MakeBench) -> None:
        """In pages of any size."""
        b = filled(bench)
        pairs = [(one, other) for one, other in combinations(FILTERS, 2) if not set(one) & set(other)]
        with b.catalog.read() as view:
            every = view.items(limit=1000)
            assert len(every) == view.count_items() == 32
            known = {
                number: [fits(view, item, asked) for item in every] for number, asked in enumerate(FILTERS)
            }
            assert sum(any(found) for found in known.values()) == len(FILTERS) - 2
            for asked in [*FILTERS, *(one | other for one, other in pairs)]:
                parts = [number for number, one in enumerate(FILTERS) if one.items() <= asked.items()]
                expected = [
                    item
                    for at, item in enumerate(every)
                    if all(known[part][at] for part in parts) and fits(view, item, asked)
                ]
                assert view.items(**asked, limit=1000) == expected, asked
                assert view.count_items(**asked) == len(expected), asked
                assert view.items(**asked, limit=2) == expected[:2], asked
                if expected:
                    assert view.items(**asked, after=expected[0].id, limit=2) == expected[1:3], asked

    def test_the_newest_with_an_attribute_come_first(self, bench: MakeBench) -> None:
        """Page by page, each before the last of the page before."""
        b = filled(bench)
        with b.catalog.read() as view:
            expected = view.items(attributes={"camera": "red"}, limit=1000)[::-1]
            assert len(expected) > 5
            assert view.latest(PIPELINE, "camera", "red", limit=1000) == expected
            assert view.latest(PIPELINE, "camera", "red", limit=2) == expected[:2]
            assert view.latest(PIPELINE, "camera", "red", before=expected[1].id, limit=2) == expected[2:4]
            assert view.latest(PIPELINE, "camera", "red", before=expected[-1].id) == []
            assert view.latest("another", "camera", "red") == view.latest(PIPELINE, "camera", "none") == []

    def test_the_newest_of_some_kinds_come_first(self, bench: MakeBench) -> None:
        """Page by page, each before the last of the page before."""
        b = filled(bench)
        with b.catalog.read() as view:
            expected = view.items(pipeline=PIPELINE, limit=1000)[::-1]
            kinds = {item.kind for item in expected}
            assert len(kinds) > 1
            assert view.newest(PIPELINE, kinds, limit=1000) == expected
            assert view.newest(PIPELINE, kinds, limit=2) == expected[:2]
            assert view.newest(PIPELINE, kinds, before=expected[1].id, limit=2) == expected[2:4]
            assert view.newest(PIPELINE, kinds, before=expected[-1].id) == []
            for kind in kinds:
                alone = [item for item in expected if item.kind == kind]
                assert view.newest(PIPELINE, [kind], limit=1000) == alone
            assert view.newest("another", kinds) == view.newest(PIPELINE, []) == []

    @pytest.mark.parametrize("moment", ["begin", "mid", "end"])
    def test_those_under_way_in_a_part_of_the_order_of_time(self, bench: MakeBench, moment: str) -> None:
        """All whose stage waits, is ready or runs, by the begin, mid or end of their time; and the last of each length."""
        b = filled(bench)
        b.finish(b.claim("b", 3), "b")
        b.claim("b", 2)

        def place(item: Item) -> float:
            assert item.span
            return {"begin": item.span.begin, "mid": item.span.mid, "end": item.span.end}[moment]

        with b.catalog.read() as view:
            open_ = [
                item
                for item in view.items(kind="item", limit=1000)
                if item.span
                and any(
                    row.stage == "b" and row.state is not State.DONE for row in view.work([item.id])[item.id]
                )
            ]
            assert len(open_) == 17
            for since, until in (
                (START, START + 9 * MINUTE),
                (START + 8 * MINUTE, START + 2 * DAY),
                (0.0, 1e11),
            ):
                found = view.under_way(ITEM, "b", since, until, moment=moment)
                assert [one for one in found if since <= place(one) <= until] == [
                    one for one in open_ if since <= place(one) <= until
                ]
                assert all(one in open_ and one.span and one.span.begin <= until for one in found)
            ends = [one.span.end - one.span.begin for one in open_ if one.span]
            last = {
                lengths: [one.id for one, length in zip(open_, ends, strict=True) if length in lengths][-2:]
                for lengths in ((0.0, 1.0), (MINUTE,), (DAY,), (YEAR,))
            }
            found = view.under_way(ITEM, "b", 0.0, 1e11, moment=moment, limit=2)
            assert [one.id for one in found] == sorted(one for ids in last.values() for one in ids)
            red = {"camera": "red", "n": 3}
            found = view.under_way(ITEM, "b", 0.0, 1e11, moment=moment, attributes=red)
            assert found == [one for one in open_ if red.items() <= one.attributes.items()] != []
            assert view.under_way(OTHER, "b", 0.0, 1e11) == []

    def test_pages_of_any_size_have_the_newest_first(self, bench: MakeBench) -> None:
        """Rows are read in chunks; a page may be longer than one."""
        b = bench(ITEM)
        items = [Item(PIPELINE, "item", f"item_{number}", {"camera": "red"}) for number in range(1300)]
        b.catalog.write(lambda tx: tx.add_items(ITEM, items))
        with b.catalog.read() as view:
            expected = view.items(pipeline=PIPELINE, limit=2000)[::-1]
            assert len(expected) == 1300
            for limit in (400, 1100, 2000):
                assert view.newest(PIPELINE, ["item"], limit=limit) == expected[:limit]
                assert view.latest(PIPELINE, "camera", "red", limit=limit) == expected[:limit]

    def test_the_runs_of_several_items_are_those_of_each(self, bench: MakeBench) -> None:
        """Those without a run have none."""
        b = filled(bench)
        with b.catalog.read() as view:
            ids = [item.id for item in view.items(limit=1000)]
            found = view.runs_of(ids)
            assert found == {number: view.runs(number) for number in ids}
            assert any(found.values()) and not all(found.values())

    def test_a_count_ends_where_it_is_told_to(self, bench: MakeBench) -> None:
        """One more says that there are more."""
        b = filled(bench)
        with b.catalog.read() as view:
            assert view.count_items(most=31) == 32 == view.count_items(most=32)
            for asked in FILTERS:
                count = view.count_items(**asked)
                for most in (0, 1, 7):
                    assert view.count_items(**asked, most=most) == min(count, most + 1), asked

    @pytest.mark.parametrize(
        ("asked", "found"),
        [
            (1, ["one", "one point"]),
            (1.0, ["one", "one point"]),
            (True, ["true"]),
            (0, ["zero"]),
            (False, ["false"]),
            ("1", ["text"]),
            (-0.5, ["half"]),
            (2**60, ["large"]),
            ("", ["empty"]),
            ("Größe 'x'\n\0", ["odd"]),
        ],
    )
    def test_an_attribute_is_equal_as_a_value(self, bench: MakeBench, asked: Any, found: list[str]) -> None:
        """Numbers however they are written; a text is no number, and neither is true."""
        b = bench(OTHER)
        values: dict[str, Any] = {
            "one": 1, "one point": 1.0, "true": True, "zero": 0, "false": False, "text": "1", "half": -0.5,
            "large": 2**60, "empty": "", "odd": "Größe 'x'\n\0", "list": [1], "object": {"v": 1}, "null": None,
        }  # fmt: skip
        items = [Item(PIPELINE, "other", key, {"v": value}) for key, value in values.items()]
        b.catalog.write(lambda tx: tx.add_items(OTHER, items))
        with b.catalog.read() as view:
            assert [item.key for item in view.items(attributes={"v": asked})] == found
            assert view.count_items(attributes={"v": asked}) == len(found)
            assert view.items(attributes={"w": asked}) == []

    def test_an_attribute_that_is_no_single_value_is_refused(self, bench: MakeBench) -> None:
        """It is named."""
        b = bench(OTHER)
        with b.catalog.read() as view, pytest.raises(ValueError, match=r"attribute v: found \[1\]"):
            view.items(attributes={"v": [1]})

    def test_attributes_that_change_are_found_as_they_are(self, bench: MakeBench) -> None:
        """By an update, by another name, and not by what they were."""
        b = bench(OTHER)
        (number,) = b.catalog.write(lambda tx: tx.add_items(OTHER, [made("other", 0)]))

        def keys(**attributes: Any) -> list[str]:
            with b.catalog.read() as view:
                return [item.key for item in view.items(attributes=attributes)]

        assert keys(camera="red", n=0) == ["other_0"]
        b.catalog.write(lambda tx: tx.update_item(number, attributes={"camera": "blue", "n": 0}))
        assert (keys(camera="red"), keys(camera="blue"), keys(n=0)) == ([], ["other_0"], ["other_0"])
        fresh = replace(made("other", 1), attributes={"camera": "green"})
        assert b.catalog.write(lambda tx: tx.rename(number, fresh))
        assert (keys(camera="blue"), keys(n=0), keys(camera="green")) == ([], [], ["other_1"])
        b.catalog.write(lambda tx: tx.update_item(number, attributes={}))
        assert keys(camera="green") == []

    @pytest.mark.parametrize("length", LENGTHS)
    def test_a_span_overlaps_to_its_last_moment(self, bench: MakeBench, length: float) -> None:
        """[begin, end) and [since, until), and an instant holds itself."""
        b = bench(OTHER)
        item = Item(PIPELINE, "other", "i", {}, Span(START, START + length))
        b.catalog.write(lambda tx: tx.add_items(OTHER, [item]))
        end = START + length
        cases = [
            (START - 1, START, False),
            (START - 1, START + 0.5, True),
            (START, None, True),
            (None, START, False),
            (end - 0.25, None, True),
            (end, None, length == 0),
            (end + 0.25, None, False),
        ]
        with b.catalog.read() as view:
            for since, until, is_found in cases:
                assert view.count_items(since=since, until=until) == is_found, (since, until)
