"""The suite's tests of changes that touch very much work: they go in parts, and whoever comes next goes on."""

from collections.abc import Iterator, Sequence

import pytest

from towpath.base.errors import StateError
from towpath.base.spacetime import Span
from towpath.base.states import Product as ProductState
from towpath.base.states import Publication
from towpath.base.states import Work as State
from towpath.contracts.catalog import SPREAD, Transaction
from towpath.contracts.definition import GroupPlan
from towpath.testing.catalog.base import Base, MakeBench
from towpath.testing.catalog.keys import BIAS, GROUP, MEMBER, OVER_GROUPS, certified
from towpath.testing.catalog.leaving import STEPS, begin
from towpath.testing.plans import Bench, calibration, kind_plan, product_of, products_of_members

USER = kind_plan("item", {"a": (), "b": ("a",)}, inputs={"a": [calibration()]})
WAITER = kind_plan("item", {"a": ()}, inputs={"a": [calibration()]})
MANY = 7


def revised(b: Bench, stage: str, items: Sequence[int]) -> list[int]:
    """How often the work of these items was taken back."""
    return [b.row(stage, item).revision for item in items]


def parts(b: Bench) -> Iterator[None]:
    """Whoever comes next does a part, until nothing is left; after each."""
    is_left = True
    while is_left:
        is_left = b.catalog.write(lambda tx: tx.spread())
        yield


class SpreadSuite(Base):
    """CATALOG.md, R8: beyond a number of rows a change goes in parts, by a row of work."""

    def test_a_withdrawn_calibration_takes_back_its_users_in_parts(self, bench: MakeBench) -> None:
        """Each transaction touches at most so many rows; in the end all wait for another one."""
        b = bench(USER, BIAS)
        items = b.add(*(f"i{number}" for number in range(MANY)), span=Span(5, 5))
        _, number = certified(b, selector="")
        b.drain()
        b.catalog.at_once = 4
        b.catalog.write(lambda tx: tx.decertify(number, "ann", "bad"))
        reached = [sum(revised(b, "b", items))]
        for _ in parts(b):
            reached.append(sum(revised(b, "b", items)))
        assert reached[:4] == [2, 4, 6, 7]
        assert [b.states(item) for item in items] == [{"a": "waiting", "b": "waiting"}] * MANY
        assert revised(b, "a", items) == revised(b, "b", items) == [1] * MANY
        with b.catalog.read() as view:
            assert not view.spreading()

    def test_a_new_calibration_wakes_what_waits_in_parts(self, bench: MakeBench) -> None:
        """And one whose product was changed makes what is ready wait."""
        b = bench(WAITER, BIAS)
        items = b.add(*(f"i{number}" for number in range(MANY)), span=Span(5, 5))
        b.catalog.at_once = 3
        product, _ = certified(b, selector="")
        assert [b.state("a", item) for item in items].count(State.READY) == 3
        b.spread()
        assert {b.state("a", item) for item in items} == {State.READY}
        b.catalog.write(lambda tx: tx.mark([product], ProductState.CHANGED))
        assert 0 < [b.state("a", item) for item in items].count(State.WAITING) <= 3
        b.spread()
        assert {b.state("a", item) for item in items} == {State.WAITING}

    def test_work_that_is_not_reached_yet_does_not_begin_without_its_calibration(
        self, bench: MakeBench
    ) -> None:
        """The claim sees what is withdrawn; a run that goes on is taken back at once."""
        b = bench(WAITER, BIAS)
        items = b.add(*(f"i{number}" for number in range(MANY)), span=Span(5, 5))
        _, number = certified(b, selector="")
        (claimed,) = b.claim("a", 1)
        b.catalog.at_once = 1
        b.catalog.write(lambda tx: tx.decertify(number, "ann", "bad"))
        assert b.claim("a") == []
        b.finish([claimed], "a")
        b.spread()
        assert {b.state("a", item) for item in items} == {State.WAITING}

    def test_members_are_reached_before_their_groups(self, bench: MakeBench) -> None:
        """What was made from an old result meanwhile is taken back in the end."""
        b = bench(MEMBER, GROUP, OVER_GROUPS)
        items = b.add("i", "j", "k", "l")
        groups = [b.add_group("g", items[:2]), b.add_group("h", items[2:])]
        top = b.add_group("s", groups, kind="super")
        b.drain()
        b.catalog.at_once = 2
        works = [b.row("a", item).id for item in items]
        b.catalog.write(lambda tx: tx.revise(works, "a test", force=True))
        seen = [(revised(b, "a", items), revised(b, "sum", groups), revised(b, "all", [top]))]
        for _ in parts(b):
            seen.append((revised(b, "a", items), revised(b, "sum", groups), revised(b, "all", [top])))
        first = next(number for number, (_, of_groups, _) in enumerate(seen) if any(of_groups))
        assert seen[first - 1][0] == [1] * 4
        assert seen[-1] == ([1] * 4, [1] * 2, [1])
        for item in items:
            b.finish(b.claim("a", 1), "a", content=f"new {item}")
        b.drain()
        assert set(b.states(top).values()) == {"done"}
        assert b.row("all", top).key == b.key("all", top, kind="super")

    def test_a_group_that_forms_meanwhile_is_reached_too(self, bench: MakeBench) -> None:
        """What comes after work is looked for when that work is taken back."""
        b = bench(MEMBER, GROUP)
        items = b.add("i", "j", "k", "l")
        b.drain()
        b.catalog.at_once = 1
        works = [b.row("a", item).id for item in items]
        b.catalog.write(lambda tx: tx.revise(works, "a test", force=True))
        group = b.add_group("g", items[2:])
        b.end("sum", kind="group")
        assert b.state("sum", group) is State.DONE
        b.spread()
        assert b.states(group) == {"@gather": "done", "sum": "waiting", "out": "waiting"}

    def test_a_group_that_is_not_reached_yet_is_not_claimed(self, bench: MakeBench) -> None:
        """A claim sees to it that the members have passed; then it may begin, reached or not."""
        group_kind = kind_plan(
            "group",
            {"sum": ()},
            group=GroupPlan("item", "a"),
            inputs={"sum": [products_of_members("a")]},
        )
        b = bench(MEMBER, group_kind)
        (item,) = b.add("i")
        groups = [b.add_group(f"g{number}", [item]) for number in range(3)]
        b.end("a")
        b.catalog.at_once = 1
        b.revise("a", item, force=True)
        assert b.state("sum", groups[2]) is State.READY
        assert b.claim("sum", kind="group") == []
        assert b.row("sum", groups[2]).note == "what is before it is to be done again"
        b.end("a", content="new")
        b.spread()
        assert len(b.claim("sum", kind="group")) == 3

    def test_a_part_that_is_cut_off_is_done_by_whoever_comes_next(self, bench: MakeBench) -> None:
        """A part is one transaction, and none of it is left of one that did not end."""
        b = bench(MEMBER)
        items = b.add(*(f"i{number}" for number in range(MANY)))
        b.drain()
        b.catalog.at_once = 4
        works = [b.row("a", item).id for item in items]
        b.catalog.write(lambda tx: tx.revise(works, "a test"))

        def cut_off(tx: Transaction) -> None:
            tx.spread()
            raise KeyError("cut off")

        for _ in range(6):
            before = revised(b, "a", items)
            with pytest.raises(KeyError, match="cut off"):
                b.catalog.write(cut_off)
            assert revised(b, "a", items) == before
            next(parts(b))
        assert revised(b, "a", items) == revised(b, "b", items) == [1] * MANY
        with b.catalog.read() as view:
            assert view.claimable([SPREAD]) == []
            assert b.claim("a", 1)[0].deaths == 1

    def test_what_waits_after_held_work_waits_in_parts(self, bench: MakeBench) -> None:
        """Work that is held is no longer done, so the groups of its item wait."""
        b = bench(MEMBER, GROUP)
        (item,) = b.add("i")
        groups = [b.add_group(f"g{number}", [item]) for number in range(3)]
        b.drain()
        b.catalog.at_once = 1
        b.catalog.write(lambda tx: tx.hold([b.row("a", item).id], "doubt", "ann"))
        assert [b.state("sum", group) for group in groups].count(State.WAITING) == 1
        b.spread()
        assert {b.state("sum", group) for group in groups} == {State.WAITING}

    def test_a_replaced_file_takes_back_all_groups_that_read_it(self, bench: MakeBench) -> None:
        """The groups' own work reads the files of members."""
        reader = kind_plan("item", {"a": ()}, inputs={"a": [product_of("")]})
        group_kind = kind_plan(
            "group",
            {"sum": ()},
            group=GroupPlan("item", "a"),
            inputs={"sum": [products_of_members("a")]},
        )
        b = bench(reader, group_kind)
        (item,) = b.add("i")
        b.add_raw(item)
        groups = [b.add_group(f"g{number}", [item]) for number in range(5)]
        b.drain()
        b.catalog.at_once = 2
        b.add_raw(item, "other")
        b.spread()
        assert b.state("a", item) is State.READY
        assert revised(b, "sum", groups) == [1] * 5
        b.drain()
        assert {b.row("sum", group).key for group in groups} == {b.key("sum", groups[0], kind="group")}

    def test_nothing_is_placed_in_an_archive_while_a_change_spreads(self, bench: MakeBench) -> None:
        """It may be made from what is taken back next; afterwards its own work is, or it goes on."""
        settings = {"publish": {"service": "publish", "outputs": {}}}
        b = bench(kind_plan("item", {"a": (), "publish": ("a",)}, settings=settings))
        items = b.add(*(f"i{number}" for number in range(MANY)))
        b.end("a")
        claimed = b.claim("publish")[-1]
        row = begin(b, claimed)
        for state in STEPS[Publication.VERIFIED]:
            row = b.catalog.write(lambda tx, r=row, s=state: tx.move_publication(r, s, token=claimed.token))  # type: ignore[misc]
        b.catalog.at_once = 2
        works = [b.row("a", item).id for item in items[:-1]]
        b.catalog.write(lambda tx: tx.revise(works, "a test"))
        with pytest.raises(StateError, match="while a change spreads"):
            b.catalog.write(lambda tx: tx.move_publication(row, Publication.PLACING, token=claimed.token))
        b.spread()
        placed = b.catalog.write(
            lambda tx: tx.move_publication(row, Publication.PLACING, token=claimed.token)
        )
        assert placed.state is Publication.PLACING
