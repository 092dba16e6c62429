"""Grouping: the decision by properties, and what it does in the real catalog."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.adapters.catalog.sqlite import SqliteCatalog, migrate
from towpath.base.errors import StateError
from towpath.base.model import Item
from towpath.base.provenance import Fixed
from towpath.base.spacetime import Box, Span, cover, hull
from towpath.base.states import Outcome, Work
from towpath.contracts.catalog import Claimed, Outline
from towpath.contracts.definition import GATHER, Definition, GroupPlan, KindPlan, StagePlan
from towpath.contracts.executor import Report
from towpath.contracts.grouping import (
    Extend,
    Group,
    Late,
    Member,
    Partition,
    Start,
    decide,
    judge_time_out,
    rank,
)
from towpath.flow import group as grouping

T0 = 1759665600.0

# ---- the decision


class Model:
    """Applies decisions to plain lists, as the catalog would to rows."""

    def __init__(self, plan: GroupPlan) -> None:
        self.plan, self.partition = plan, Partition()
        self.groups: dict[int, list[Member]] = {}
        self.full: list[int] = []

    def add(self, members: Sequence[Member], coming: Sequence[Member] = ()) -> None:
        actions, after = decide(self.plan, self.partition, members, coming)
        numbers: dict[int, int] = {}
        for action in actions:
            number = numbers.get(action.group, action.group)
            if isinstance(action, Start):
                number = numbers[action.group] = len(self.groups) + 1
                self.groups[number] = list(action.members)
            elif isinstance(action, Extend):
                self.groups[number] += action.members
            elif action.what != "hold":
                self.groups[number].append(action.member)
            if action.is_full:
                self.full.append(number)

        def known(group: Group) -> Group:
            return replace(group, item=numbers.get(group.item, group.item))

        closed = tuple(known(group) for group in after.closed)
        self.partition = replace(after, open=known(after.open) if after.open else None, closed=closed)

    def end(self, *, is_begun: bool = True) -> None:
        """The open group closes as it is."""
        if self.partition.open:
            closed = replace(self.partition.open, members=(), is_begun=is_begun)
            self.partition = replace(self.partition, open=None, closed=(*self.partition.closed, closed))
            self.add(())

    def orders(self) -> list[list[Any]]:
        return [sorted(member.order for member in members) for members in self.groups.values()]  # type: ignore[type-var]

    def everyone(self) -> list[int]:
        grouped = [member.item for members in self.groups.values() for member in members]
        return sorted([*grouped, *(member.item for member in self.partition.pending), *self.partition.held])


def members(*orders: float) -> list[Member]:
    return [Member(order, int(order * 100)) for order in orders]


def batches(orders: st.SearchStrategy[list[int]]) -> st.SearchStrategy[list[list[int]]]:
    """The same numbers, shuffled and cut into batches."""
    return orders.flatmap(st.permutations).flatmap(
        lambda order: st.lists(st.integers(0, len(order)), max_size=5).map(
            lambda cuts: [
                order[a:b] for a, b in zip([0, *sorted(cuts)], [*sorted(cuts), len(order)], strict=True)
            ]
        )
    )


NUMBERS = st.lists(st.integers(0, 60), unique=True, max_size=40)


@given(batches(NUMBERS), st.integers(1, 7))
def test_by_size_every_item_is_in_one_group_and_no_group_is_larger(
    given_: list[list[int]], size: int
) -> None:
    model = Model(GroupPlan("o", size=size))
    for batch in given_:
        model.add(members(*batch))
    count = sum(map(len, given_))
    assert sorted(map(len, model.groups.values()), reverse=True) == [size] * (count // size) + [
        count % size
    ] * (count % size > 0)
    assert len(model.full) == count // size
    assert model.everyone() == sorted(100 * number for batch in given_ for number in batch)


@given(batches(NUMBERS), st.integers(0, 60))
def test_within_the_size_the_order_of_arrival_does_not_matter(given_: list[list[int]], more: int) -> None:
    numbers = sorted(number for batch in given_ for number in batch)
    model = Model(GroupPlan("o", size=len(numbers) + more))
    for batch in given_:
        model.add(members(*batch))
    assert model.orders() == ([numbers] if numbers else [])
    assert bool(model.full) == (bool(numbers) and not more)


@given(batches(NUMBERS), st.integers(1, 7), st.integers(1, 5), st.sampled_from(["hold", "revise"]))
def test_consecutive_members_whatever_the_order_of_arrival(
    given_: list[list[int]], size: int, gap: int, late: str
) -> None:
    plan = GroupPlan("o", size=size, max_gap=gap, late=late)
    model = Model(plan)
    for batch in given_:
        model.add(members(*batch))
        for orders in model.orders():
            assert len(orders) <= size
            assert all(b - a <= gap for a, b in pairwise(orders))
    assert model.everyone() == sorted(100 * number for batch in given_ for number in batch)
    assert [len(model.groups[group]) for group in model.full] == [size] * len(model.full)
    assert model.partition.pending == () or model.partition.open is not None


@given(
    st.lists(
        st.one_of(st.none(), st.booleans(), st.lists(st.integers(0, 60), unique=True, max_size=9)),
        max_size=12,
    ),
    st.integers(0, 6),
    st.integers(0, 5),
    st.sampled_from(["hold", "revise"]),
    st.booleans(),
)
def test_nothing_is_lost_or_doubled_when_groups_end_early(
    script: list[Any], size: int, gap: int, late: str, by: bool
) -> None:
    """Lists are members that come, True and False end the open group (begun or not), None does nothing."""
    model = Model(GroupPlan("o", size=size, max_gap=gap, late=late, by=("x",) if by else ()))
    seen: set[int] = set()
    for step in script:
        if isinstance(step, bool):
            model.end(is_begun=step)
        elif step:
            model.add(members(*(number for number in step if number not in seen)))
            seen |= set(step)
        assert model.everyone() == sorted(100 * number for number in seen)
        assert all(len(group) <= size for group in model.groups.values() if size)
        for orders in model.orders() if gap else ():
            assert all(b - a <= gap for a, b in pairwise(orders))


@given(
    st.lists(st.integers(0, 200), unique=True, max_size=60).map(sorted), st.integers(1, 7), st.integers(1, 5)
)
def test_in_order_one_by_one_or_all_at_once_is_the_same(numbers: list[int], size: int, gap: int) -> None:
    plan = GroupPlan("o", size=size, max_gap=gap)
    whole, single = Model(plan), Model(plan)
    whole.add(members(*numbers))
    for number in numbers:
        single.add(members(number))
    assert sorted(whole.orders()[:-1]) <= sorted(single.orders())
    assert sorted(whole.full) == list(range(1, len(whole.full) + 1)) or whole.partition.open is not None
    assert [o for o in single.orders() if len(o) == size] == [o for o in whole.orders() if len(o) == size]


@given(batches(NUMBERS), st.integers(1, 7), st.integers(1, 5))
def test_groups_are_the_same_in_whatever_order_members_come_that_are_under_way(
    given_: list[list[int]], size: int, gap: int
) -> None:
    numbers = sorted(number for batch in given_ for number in batch)
    runs = [[number] for number in numbers[:1]]
    for a, b in pairwise(numbers):
        if b - a > gap or len(runs[-1]) == size:
            runs.append([])
        runs[-1].append(b)
    model, left = Model(GroupPlan("o", size=size, max_gap=gap)), set(numbers)
    for batch in given_:
        left -= set(batch)
        model.add(members(*batch), members(*left))
        assert model.partition.open or not model.partition.pending
    assert sorted(model.orders()[group - 1] for group in model.full) == [r for r in runs if len(r) == size]
    assert not model.partition.held
    while model.partition.open:
        model.end()
    assert sorted(model.orders()) == runs


@given(batches(NUMBERS), st.integers(1, 7), st.integers(1, 5), st.data())
def test_what_is_under_way_and_does_not_come_is_waited_for_no_longer_than_it_is(
    given_: list[list[int]], size: int, gap: int, data: st.DataObject
) -> None:
    model = Model(GroupPlan("o", size=size, max_gap=gap))
    come = {number for batch in given_ for number in batch}
    never = set(data.draw(st.lists(st.integers(0, 60), max_size=10))) - come
    for batch in given_:
        come -= set(batch)
        model.add(members(*batch), members(*come, *never))
        for orders in model.orders():
            assert len(orders) <= size
            assert all(b - a <= gap for a, b in pairwise(orders))
        assert model.partition.open or not model.partition.pending
    everyone = sorted(100 * number for batch in given_ for number in batch)
    assert model.everyone() == everyone
    model.add(())
    waiting = model.partition.pending
    model.add(())
    assert model.partition.pending == waiting
    while model.partition.open:
        model.end()
    assert model.everyone() == everyone
    assert not model.partition.held


@given(st.integers(0, 40), st.integers(1, 8), st.data(), st.booleans())
def test_windows_overlap_by_what_the_stride_leaves(
    count: int, size: int, data: st.DataObject, gap: bool
) -> None:
    stride = data.draw(st.integers(1, size))
    model = Model(GroupPlan("o", size=size, stride=stride, max_gap=1.0 if gap else 0.0))
    cuts = sorted(data.draw(st.lists(st.integers(0, count), max_size=4)))
    for a, b in zip([0, *cuts], [*cuts, count], strict=True):
        model.add(members(*range(a, b)))
    windows = [list(range(k, k + size)) for k in range(0, max(count - size + 1, 0), stride)]
    assert [model.orders()[group - 1] for group in model.full] == windows
    left = model.orders()[len(windows) :]
    begin = len(windows) * stride
    is_new = count > ((len(windows) - 1) * stride + size if windows else 0)
    assert left == ([list(range(begin, count))] if is_new else [])


def test_a_window_does_not_reach_over_a_gap() -> None:
    model = Model(GroupPlan("o", size=4, stride=2, max_gap=1.5))
    model.add(members(1, 2, 3, 4, 10, 11, 12, 13))
    assert model.orders() == [[1, 2, 3, 4], [10, 11, 12, 13]]
    model.add(members(14, 15))
    assert model.orders()[2:] == [[12, 13, 14, 15]]


def test_what_comes_between_closes_the_gap() -> None:
    model = Model(GroupPlan("o", size=5, max_gap=1.0))
    model.add(members(4))
    model.add(members(1))
    assert [member.order for member in model.partition.pending] == [1]
    model.add(members(2, 3))
    assert model.orders() == [[1, 2, 3, 4]]
    model.add(members(0))
    assert model.orders() == [[0, 1, 2, 3, 4]]
    assert model.full == [1]


def test_the_earlier_ones_are_taken_first() -> None:
    model = Model(GroupPlan("o", size=4, max_gap=1.0))
    model.add(members(5, 6))
    model.add(members(3, 4, 7, 8))
    assert model.orders() == [[3, 4, 5, 6], [7, 8]]


def test_a_group_does_not_reach_over_another() -> None:
    model = Model(GroupPlan("o", size=3, max_gap=10.0, late="revise"))
    model.add(members(4, 5, 6))
    model.add(members(8))
    model.add(members(2))
    model.add(members(9, 10))
    assert model.orders() == [[4, 5, 6], [8, 9, 10], [2]]


def test_a_run_that_fills_a_group_does_not_wait_for_another_day() -> None:
    model = Model(GroupPlan("o", size=3, max_gap=1.0))
    model.add(members(1, 2))
    model.add(members(100, 101))
    assert (model.orders(), len(model.partition.pending)) == ([[1, 2]], 2)
    model.add(members(102, 103))
    assert model.orders() == [[1, 2], [100, 101, 102]]
    model.end()
    assert model.orders()[2] == [103]


@pytest.mark.parametrize(("late", "what"), [("hold", "hold"), ("revise", "revise")])
def test_late_members_of_a_group_that_ended(late: str, what: str) -> None:
    model = Model(GroupPlan("o", size=5, max_gap=1.0, late=late))
    model.add(members(1, 2))
    model.end(is_begun=True)
    actions, _ = decide(model.plan, model.partition, members(3))
    assert actions == [Late(1, members(3)[0], what)]
    model.partition = replace(model.partition, closed=(replace(model.partition.closed[0], is_begun=False),))
    actions, _ = decide(model.plan, model.partition, members(3))
    assert actions == [Late(1, members(3)[0], "gain")]


def test_batches_without_identity_go_on_after_the_time_out() -> None:
    model = Model(GroupPlan("o", size=5, late="hold"))
    model.add(members(1, 2))
    model.end(is_begun=True)
    model.add(members(3))
    assert model.orders() == [[1, 2], [3]]


@pytest.mark.parametrize(
    ("plan", "count", "expected"),
    [
        (GroupPlan("o", size=10, timeout=60, on_timeout="process"), 7, (Outcome.DONE, "time-out: 7 of 10 members after 60 s")),
        (
            GroupPlan("o", size=10, least=8, timeout=60, on_timeout="process"),
            7,
            (Outcome.HELD, "time-out: 7 of 10 members after 60 s; at least 8 are needed"),
        ),
        (GroupPlan("o", timeout=60, on_timeout="reject"), 7, (Outcome.REJECTED, "time-out: 7 members after 60 s")),
        (GroupPlan("o", size=10, timeout=60), 7, (Outcome.HELD, "time-out: 7 of 10 members after 60 s")),
    ],
)  # fmt: skip
def test_what_becomes_of_a_group_in_time(plan: GroupPlan, count: int, expected: tuple[Outcome, str]) -> None:
    assert judge_time_out(plan, count) == expected


BOXES = st.builds(
    lambda west, east, south, height: Box(west, south, east, min(south + height, 90)),
    st.integers(-180, 180), st.integers(-180, 180), st.integers(-90, 90), st.integers(0, 20),
)  # fmt: skip


@given(st.lists(BOXES, min_size=1, max_size=5), st.integers(-180, 180))
def test_the_cover_holds_every_box(boxes: list[Box], longitude: int) -> None:
    whole = cover(boxes)
    assert whole is not None
    for box in boxes:
        point = Box(longitude, box.south, longitude, box.north)
        assert not box.meets(point) or whole.meets(point)
    assert (whole.south, whole.north) == (min(b.south for b in boxes), max(b.north for b in boxes))


def test_the_cover_crosses_the_antimeridian_where_that_is_narrower() -> None:
    assert cover([Box(170, 0, 175, 5), Box(-175, -5, -170, 0)]) == Box(170, -5, -170, 5)
    assert cover([Box(10, 0, 20, 5), None, Box(30, 0, 40, 5)]) == Box(10, 0, 40, 5)
    assert cover([Box(170, 0, -170, 5)]) == Box(170, 0, -170, 5)
    assert cover([None]) is None
    assert hull([Span(3, 4), None, Span(1, 2)]) == Span(1, 4)
    assert hull([]) is None


# ---- in the catalog


def stage(kind: str, name: str) -> StagePlan:
    return StagePlan("dsa", kind, name, 0, "m:C", "1", {}, Fixed.of(name, "1", {}))


class Site:
    """A catalog in which observations are imaged and mosaics made of them, as the daemon has it."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.now, self.file = T0, folder / "catalog.db"
        observation = KindPlan("dsa", "observation", {"image": stage("observation", "image")})
        plan = GroupPlan(**{"of": "observation", "at": "image", **settings})
        mosaic = KindPlan("dsa", "mosaic", {"mosaic": stage("mosaic", "mosaic")}, plan, gathered=True)
        kinds = {"observation": observation, "mosaic": mosaic}
        self.definition = Definition("dsa", "1", b"\1" * 32, kinds, {})
        migrate(self.file)
        self.catalog = self.open()

    def open(self) -> SqliteCatalog:
        catalog = SqliteCatalog(self.file, now=lambda: self.now)
        catalog.definitions["dsa"] = self.definition
        catalog.write(lambda tx: tx.set_definition(self.definition))
        return catalog

    def observe(self, *minutes: float, lasts: float = 1.0, **attributes: Any) -> list[int]:
        items = [
            Item(
                "dsa",
                "observation",
                f"obs{minute:04g}",
                attributes,
                Span(T0 + 60 * minute, T0 + 60 * (minute + lasts)),
            )
            for minute in minutes
        ]
        return self.catalog.write(lambda tx: tx.add_items(self.definition.kinds["observation"], items))

    def run(self, kind: str, limit: int = 1000, catalog: SqliteCatalog | None = None) -> list[int]:
        """Claim ready work of the only stage of a kind, end it, and group what that completes."""
        plan = self.definition.kinds[kind]
        (only,) = plan.stages.values()
        where = catalog or self.catalog
        claimed = where.write(lambda tx: tx.claim(plan, only, limit, lease=60, owner=1))
        pairs = [(c, Report(c.work, c.token, Outcome.DONE, began=self.now)) for c in claimed]

        def complete(tx: Any) -> list[int]:
            done = [item for _, item in tx.complete(plan, only, pairs).done]
            return grouping.gather(tx, self.definition, kind, only.name, done)

        return where.write(complete)

    def image(self, *minutes: float, **attributes: Any) -> list[int]:
        self.observe(*minutes, **attributes)
        return self.run("observation")

    def begin(self) -> dict[str, Claimed]:
        """Claim all ready observations, as many workers at once would."""
        plan = self.definition.kinds["observation"]
        claimed = self.catalog.write(lambda tx: tx.claim(plan, plan.stages["image"], 1000, lease=60, owner=1))
        with self.catalog.read() as view:
            return {view.item(one.item).key: one for one in claimed}

    def end(self, claimed: Claimed, outcome: Outcome = Outcome.DONE) -> list[int]:
        """End a claimed observation, and group what that completes."""
        plan = self.definition.kinds["observation"]
        report = Report(claimed.work, claimed.token, outcome, began=self.now)

        def complete(tx: Any) -> list[int]:
            finished = tx.complete(plan, plan.stages["image"], [(claimed, report)])
            done = [item for _, item in finished.done]
            return grouping.gather(tx, self.definition, "observation", "image", done)

        return self.catalog.write(complete)

    def tend(self) -> list[int]:
        """Group who waited for one that is under way no more, as the daemon does now and then."""
        with self.catalog.read() as view:
            found = grouping.waiting(view, self.definition)
        return [
            group
            for kind, partition in found
            for group in self.catalog.write(
                lambda tx, k=kind, p=partition: grouping.go_on(tx, self.definition, k, p)
            )
        ]

    def due(self) -> list[Claimed]:
        return self.catalog.write(lambda tx: tx.claim_other(("dsa", "mosaic", GATHER), 10, lease=60, owner=1))

    def time_out(self) -> list[int]:
        return [
            group
            for claimed in self.due()
            for group in self.catalog.write(lambda tx, c=claimed: grouping.time_out(tx, self.definition, c))
        ]

    def close(self, group: int) -> list[int]:
        return self.catalog.write(lambda tx: grouping.close(tx, self.definition, group, "ada", "now"))

    def mosaics(self) -> dict[str, list[str]]:
        with self.catalog.read() as view:
            groups = view.items(pipeline="dsa", kind="mosaic", limit=10_000)
            return {group.key: [member.key for member in view.members(group.id)] for group in groups}

    def mosaic(self, key: str) -> Item:
        with self.catalog.read() as view:
            found = view.find("dsa", "mosaic", key)
        assert found is not None
        return found

    def states(self, key: str) -> tuple[Work, Work]:
        group = self.mosaic(key).id
        with self.catalog.read() as view:
            found = {row.stage: row.state for row in view.work([group])[group]}
        return found[GATHER], found["mosaic"]

    def events(self, *types: str) -> list[dict[str, Any]]:
        with self.catalog.read() as view:
            return [
                {"type": e.type, "item": e.item, **e.data}
                for e in view.events(limit=100_000)
                if e.type in types
            ]


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Any]:
    made: list[Site] = []

    def make(**settings: Any) -> Site:
        made.append(Site(tmp_path, **settings))
        return made[-1]

    yield make
    for site in made:
        site.catalog.close()


def keys(*minutes: int) -> list[str]:
    return [f"obs{minute:04}" for minute in minutes]


def test_ten_in_a_row_become_a_mosaic_in_time_order(sites: Any) -> None:
    site = sites(size=4, max_gap=600.0)
    assert site.image(15) == []
    assert site.states("obs0015") == (Work.WAITING, Work.WAITING)
    assert site.image(5, 10) == []
    (group,) = site.image(0)
    assert site.mosaics() == {"obs0015": keys(0, 5, 10, 15)}
    assert site.states("obs0015") == (Work.DONE, Work.READY)
    assert site.mosaic("obs0015").id == group
    assert site.mosaic("obs0015").span == Span(T0, T0 + 960)
    assert site.run("mosaic") == []


def test_whichever_worker_is_done_first_groups_are_the_same(sites: Any) -> None:
    site = sites(size=2, max_gap=360.0)
    site.observe(0, 5, 10, 15, 40, 45)
    running = site.begin()
    for minute in (5, 10, 45, 15, 0, 40):
        site.end(running[f"obs{minute:04}"])
    assert sorted(site.mosaics().values()) == [keys(0, 5), keys(10, 15), keys(40, 45)]
    assert {site.states(key) for key in site.mosaics()} == {(Work.DONE, Work.READY)}


@pytest.mark.parametrize("order_by", ["time.begin", "time.mid", "time.end"])
@pytest.mark.parametrize(
    ("size", "gap", "step", "workers", "lasts"),
    [
        (2, 6.0, 5.0, 4, 1.0),
        (3, 6.0, 1.0, 8, 1.0),
        (10, 10.0, 5.0, 16, 5.2),
        (3, 6.0, 4.0, 24, 1.0),
        (2, 6.0, 5.0, 5, 60.0),
    ],
)
def test_groups_are_the_same_in_whatever_order_workers_end(
    sites: Any, order_by: str, size: int, gap: float, step: float, workers: int, lasts: float
) -> None:
    site, random = sites(size=size, max_gap=60 * gap, order_by=order_by), Random(size * workers)
    count = 4 * size
    minutes = [step * number for number in range(count)]
    site.observe(*minutes, lasts=lasts)
    site.observe(
        *(minute + 0.25 for minute in minutes[:size]), lasts=lasts
    )  # short ones that failed among them
    running = site.begin()
    for key, claimed in list(running.items()):
        if key.endswith(".25"):
            site.end(running.pop(key), Outcome.FAILED)
            assert claimed
    left = sorted(running, key=lambda key: float(key.removeprefix("obs")))
    while left:
        site.end(running[left.pop(random.randrange(min(len(left), workers)))])
    whole = [
        [f"obs{minute:04g}" for minute in minutes[first : first + size]] for first in range(0, count, size)
    ]
    assert sorted(site.mosaics().values()) == sorted(whole)
    assert {site.states(key) for key in site.mosaics()} == {(Work.DONE, Work.READY)}


def test_places_are_kept_in_many_partitions_at_once(sites: Any) -> None:
    site, bands = sites(size=2, max_gap=360.0, by=("band",)), range(16)
    for band in bands:
        site.observe(*(minute + band / 100 for minute in (0, 5, 10, 15)), band=band)
    running = site.begin()
    for minute in (5, 10, 15, 0):
        for band in bands:
            site.end(running[f"obs{minute + band / 100:04g}"])
    assert sorted(len(members_) for members_ in site.mosaics().values()) == [2] * 32


def test_a_place_is_kept_whatever_becomes_of_others(sites: Any) -> None:
    site = sites(size=2, max_gap=360.0, timeout=900.0, on_timeout="process")
    site.observe(0, 1000, 1005, 1010, 1015, 3000)
    running = site.begin()
    for minute in (0, 1005, 1010, 3000):
        site.end(running[f"obs{minute:04}"])
    site.now += 901
    assert len(site.time_out()) == 1  # that of obs0000
    site.end(running["obs1000"])
    site.end(running["obs1015"])
    found = site.mosaics()
    assert sorted(found.values()) == [keys(0), keys(1000, 1005), keys(1010, 1015), keys(3000)]


def test_a_person_closes_a_group_with_what_waits_beside_it(sites: Any) -> None:
    site = sites(size=3, max_gap=360.0)
    site.observe(0, 5, 10, 15)
    running = site.begin()
    for minute in (5, 10, 15):
        site.end(running[f"obs{minute:04}"])
    assert site.mosaics() == {"obs0005": keys(5, 10)}
    assert site.close(site.mosaic("obs0005").id) == [site.mosaic("obs0005").id]
    assert site.mosaics() == {"obs0005": keys(5, 10, 15)}


def test_places_are_kept_however_many_nights_wait_for_another(sites: Any) -> None:
    site, nights = sites(size=2, max_gap=360.0), range(80)
    site.observe(*(1440 * night for night in nights), *(1440 * 80 + minute for minute in (0, 5, 10, 15)))
    running = site.begin()
    for night in nights:
        site.end(running[f"obs{1440 * night:04g}"])
    for minute in (5, 10):
        assert site.end(running[f"obs{1440 * 80 + minute:04g}"]) == []
    assert site.tend() == []
    for minute in (0, 15):
        site.end(running[f"obs{1440 * 80 + minute:04g}"])
    assert sorted(map(len, site.mosaics().values())) == [1, 2, 2]


@pytest.mark.parametrize("batch", [1, 20])
def test_places_are_kept_however_many_are_under_way_to_other_partitions(sites: Any, batch: int) -> None:
    site, bands, stage_ = sites(size=2, max_gap=360.0, by=("band",)), range(20), "image"
    for band in bands:
        site.observe(*(minute + band / 100 for minute in range(0, 300, 5)), band=band)
    plan, running = site.definition.kinds["observation"], {}
    while found := site.begin():
        running |= found
    for minute in (5, 10, 15, 0):
        of_all = [running[f"obs{minute + band / 100:04g}"] for band in bands]
        for first in range(0, len(of_all), batch):
            pairs = [
                (one, Report(one.work, one.token, Outcome.DONE, began=site.now))
                for one in of_all[first : first + batch]
            ]

            def complete(tx: Any, pairs: Any = pairs) -> None:
                done = [item for _, item in tx.complete(plan, plan.stages[stage_], pairs).done]
                grouping.gather(tx, site.definition, "observation", stage_, done)

            site.catalog.write(complete)
    assert [len(members_) for members_ in site.mosaics().values()] == [2] * 40


def test_a_member_that_waits_and_is_admitted_elsewhere_waits_no_more(sites: Any) -> None:
    site = sites(size=2, max_gap=360.0, timeout=60.0, on_timeout="process")
    site.image(60)
    site.now += 61
    site.time_out()
    site.observe(0, 5, 10)
    running = site.begin()
    site.end(running["obs0005"])
    site.end(running["obs0010"])
    (waiting,) = site.catalog.write(lambda tx: [tx.find("dsa", "observation", "obs0010").id])
    early = site.mosaic("obs0060").id
    site.catalog.write(lambda tx: grouping.admit(tx, site.definition, early, waiting, "ada"))
    site.end(running["obs0000"], Outcome.FAILED)
    site.tend()
    assert site.mosaics() == {"obs0060": keys(10, 60), "obs0005": keys(5)}


def test_a_member_for_which_there_is_no_key_is_told_and_stops_nothing(sites: Any) -> None:
    site = sites(size=2, max_gap=360.0, key="{target}")
    site.image(0)
    site.image(5, 10, target="M31")
    assert site.mosaics() == {"M31": keys(5, 10)}
    assert "cannot be grouped as mosaic: template '{target}'" in site.events("problem")[0]["why"]


@pytest.mark.parametrize("how", ["held", "stopped", "poisoned"])
def test_a_place_is_kept_no_longer_for_what_somebody_took_away(sites: Any, how: str) -> None:
    site = sites(size=2, max_gap=360.0)
    (first, *_) = site.observe(0, 5, 10)
    running = site.begin()
    site.end(running["obs0005"])
    site.end(running["obs0010"])
    assert site.tend() == []
    row = running["obs0000"].work
    if how == "held":
        site.end(running["obs0000"], Outcome.TRANSIENT)
        site.catalog.write(lambda tx: tx.hold([row], "ada"))
    elif how == "stopped":
        site.catalog.write(lambda tx: tx.stop([row], "ada"))
    else:
        for _ in range(4):
            site.now += 61
            site.begin()
    with site.catalog.read() as view:
        assert view.work([first])[first][0].state == Work(how)
    assert len(site.tend()) == 1
    assert site.mosaics() == {"obs0005": keys(5, 10)}


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.HELD, Outcome.REJECTED])
def test_a_place_is_kept_for_a_member_until_it_falls_out(sites: Any, outcome: Outcome) -> None:
    site = sites(size=2, max_gap=360.0)
    site.observe(0, 5, 10)
    running = site.begin()
    site.end(running["obs0005"])
    assert site.end(running["obs0010"]) == []
    assert site.mosaics() == {"obs0005": keys(5)}
    assert site.tend() == []
    assert site.end(running["obs0000"], outcome) == []
    (group,) = site.tend()
    assert site.mosaic("obs0005").id == group
    assert site.mosaics() == {"obs0005": keys(5, 10)}


def test_a_place_is_kept_while_work_is_tried_again_and_no_longer_than_the_group_waits(sites: Any) -> None:
    site = sites(size=2, max_gap=360.0, timeout=900.0, on_timeout="process")
    site.observe(0, 5, 10)
    running = site.begin()
    site.end(running["obs0005"])
    site.end(running["obs0010"])
    site.end(running["obs0000"], Outcome.TRANSIENT)
    assert site.mosaics() == {"obs0005": keys(5)}
    site.now += 901
    (group,) = site.time_out()
    assert site.mosaic("obs0005").id == group
    assert site.mosaics() == {"obs0005": keys(5, 10)}
    assert site.states("obs0005") == (Work.DONE, Work.READY)
    assert site.run("observation") == []
    assert site.mosaics() == {"obs0005": keys(5, 10), "obs0000": keys(0)}


def test_a_place_is_kept_for_those_of_the_same_partition_alone(sites: Any) -> None:
    site = sites(size=2, max_gap=360.0, by=("band",))
    site.observe(0, 11, band="x")
    site.observe(1, 5, 10, band="y")
    running = site.begin()
    site.end(running["obs0001"], Outcome.FAILED)
    site.end(running["obs0005"])
    assert len(site.end(running["obs0010"])) == 1
    assert site.mosaics() == {"obs0005": keys(5, 10)}


def test_a_member_that_is_made_again_is_not_grouped_again(sites: Any) -> None:
    site = sites(size=2)
    site.image(0, 5)
    site.run("mosaic")
    with site.catalog.read() as view:
        works = [row.id for rows in view.work([1]).values() for row in rows]
    site.catalog.write(lambda tx: tx.revise(works, "again", force=True))
    site.run("observation")
    assert site.mosaics() == {"obs0000": keys(0, 5)}
    assert site.states("obs0000") == (Work.DONE, Work.READY)


def test_partitions_by_attributes(sites: Any) -> None:
    site = sites(size=2, by=("target", "attributes.band"), key="{target}-{attributes.band}")
    site.image(0, 5, target="M31", band="x")
    site.image(10, target="M31", band="y")
    site.image(15, 20, target="M33", band="x")
    assert site.mosaics() == {"M31-x": keys(0, 5), "M31-y": keys(10), "M33-x": keys(15, 20)}
    assert site.mosaic("M31-y").attributes == {"target": "M31", "attributes.band": "y"}
    site.image(25, target="M31", band="y")
    site.image(30, target="M31", band="y")
    assert site.mosaics()["M31-y"] == keys(10, 25)
    assert site.mosaics()["M31-y~2"] == keys(30)


def test_what_cannot_be_grouped_is_told(sites: Any) -> None:
    site = sites(size=2, by=("target",))
    site.image(0)
    assert site.mosaics() == {}
    assert site.events("problem")[0]["why"] == (
        "cannot be grouped as mosaic: it has no 'target', which groups are told apart by"
    )
    plan = replace(site.definition.kinds["mosaic"].group, by=(), order_by="scan", max_gap=5.0)
    with pytest.raises(
        ValueError, match="scan is None; a number or a time is needed, because max_gap is set"
    ):
        grouping.order_of(plan, {})


def test_the_order_may_be_a_text_a_time_or_nothing() -> None:
    plan = GroupPlan("o", order_by="attributes.when", max_gap=60.0)
    assert grouping.order_of(plan, {"attributes": {"when": "1970-01-01T00:01:00Z"}}) == 60.0
    assert grouping.order_of(GroupPlan("o", order_by="key"), {"key": "b"}) == "b"
    assert grouping.order_of(GroupPlan("o"), {}) is None
    model = Model(GroupPlan("o", size=3))
    model.add([Member(None, 1), Member("b", 2), Member(7.0, 3)])
    assert [member.item for member in model.groups[1]] == [3, 2, 1]


@pytest.mark.parametrize(
    "name",
    ["time.mid", "time.begin", "time.end", "key", "registered", "scan", "attributes.scan", "deep.x", "none"],
)
def test_a_member_stands_in_its_group_where_its_facts_put_it(name: str) -> None:
    plan = GroupPlan("o", order_by=name)
    for span in (None, Span(1, 5)):
        attributes = {"scan": 3, "deep": {"x": "y"}, "key": "other"}
        item = Item("p", "o", "k", attributes, span, id=7, registered=9.0)
        begin, end = (span.begin, span.end) if span else (None, None)
        outline = Outline(7, "k", 9.0, begin, end, None, attributes)
        order = grouping.order_of(plan, grouping.facts_of(item))
        assert grouping.place_in(plan, "o", outline) == (*rank(order), "k")


def test_a_large_group_of_anything(sites: Any) -> None:
    site = sites(size=1000, order_by="key")
    site.observe(*range(1000))
    for _ in range(4):
        done = site.run("observation", 250)
    assert len(done) == 1
    ((key, members_),) = site.mosaics().items()
    assert members_ == sorted(members_)
    assert len(members_) == 1000
    assert site.states(key) == (Work.DONE, Work.READY)


def test_sliding_windows(sites: Any) -> None:
    site = sites(size=4, stride=2, max_gap=600.0)
    for minute in range(0, 50, 5):
        site.image(minute)
    assert list(site.mosaics().values()) == [
        keys(0, 5, 10, 15), keys(10, 15, 20, 25), keys(20, 25, 30, 35), keys(30, 35, 40, 45)
    ]  # fmt: skip
    assert len(site.mosaics()) == 4


@pytest.mark.parametrize(
    ("policy", "least", "expected"),
    [
        ("process", 1, (Work.DONE, Work.READY)),
        ("process", 3, (Work.HELD, Work.WAITING)),
        ("hold", 1, (Work.HELD, Work.WAITING)),
        ("reject", 1, (Work.REJECTED, Work.WAITING)),
    ],
)
def test_a_group_that_is_not_complete_in_time(
    sites: Any, policy: str, least: int, expected: tuple[Work, Work]
) -> None:
    site = sites(size=4, max_gap=600.0, timeout=900.0, on_timeout=policy, least=least)
    site.image(5)
    site.now += 600
    site.image(0)
    assert site.time_out() == []
    site.now += 301
    done = site.time_out()
    assert site.states("obs0005") == expected
    assert bool(done) == (expected[0] is Work.DONE)
    assert "time-out: 2 of 4 members after 900 s" in str(site.events("timed-out", "held", "rejected"))
    if expected[0] is not Work.REJECTED:
        assert site.mosaics() == {"obs0005": keys(0, 5)}
        assert site.mosaic("obs0005").span == Span(T0, T0 + 360)


def test_what_waited_behind_a_group_begins_when_it_ends_with_its_own_time(sites: Any) -> None:
    site = sites(size=4, max_gap=600.0, timeout=900.0, on_timeout="process")
    site.image(0)
    site.now += 800
    site.image(100)
    assert site.mosaics() == {"obs0000": keys(0)}
    assert site.events("pending")[0]["kind"] == "mosaic"
    site.now += 101
    site.time_out()
    assert list(site.mosaics()) == ["obs0000", "obs0100"]
    site.now += 700
    assert site.time_out() == []
    site.now += 100
    assert len(site.time_out()) == 1


def test_a_held_group_gains_what_was_missing(sites: Any) -> None:
    site = sites(size=3, max_gap=600.0, timeout=900.0)
    site.image(0, 5)
    site.now += 1000
    site.time_out()
    assert site.states("obs0000") == (Work.HELD, Work.WAITING)
    assert len(site.image(10)) == 1
    assert site.states("obs0000") == (Work.DONE, Work.READY)
    assert site.mosaics() == {"obs0000": keys(0, 5, 10)}


def test_a_late_member_is_held_and_a_person_admits_it(sites: Any) -> None:
    site = sites(size=3, max_gap=600.0, timeout=900.0, on_timeout="process", late="hold")
    site.image(0, 5)
    site.now += 1000
    site.time_out()
    site.run("mosaic")
    site.image(10)
    (event,) = site.events("late")
    assert (event["member"], event["then"]) == ("obs0010", "hold")
    assert site.mosaics() == {"obs0000": keys(0, 5)}
    assert site.states("obs0000") == (Work.DONE, Work.DONE)
    group = site.mosaic("obs0000").id
    (late,) = site.catalog.write(lambda tx: [tx.find("dsa", "observation", "obs0010").id])
    site.catalog.write(lambda tx: grouping.admit(tx, site.definition, group, late, "ada"))
    assert site.mosaics() == {"obs0000": keys(0, 5, 10)}
    assert site.states("obs0000") == (Work.DONE, Work.READY)
    for wrong, message in (
        (1, "has 3 members of 3; obs0000 is not added"),
        (group, "is no observation, and"),
    ):
        with pytest.raises(StateError, match=message):
            site.catalog.write(lambda tx, w=wrong: grouping.admit(tx, site.definition, group, w, "ada"))


def test_a_late_member_revises_by_policy(sites: Any) -> None:
    site = sites(by=("target",), timeout=900.0, on_timeout="process", late="revise", order_by="time.begin")
    site.image(5, target="M31")
    site.now += 1000
    assert len(site.time_out()) == 1
    site.run("mosaic")
    site.image(0, target="M31")
    assert site.mosaics() == {"obs0005": keys(0, 5)}
    assert site.states("obs0005") == (Work.DONE, Work.READY)
    assert site.mosaic("obs0005").span == Span(T0, T0 + 360)


def test_a_person_closes_a_group(sites: Any) -> None:
    site = sites(size=10)
    site.image(0, 5)
    group = site.mosaic("obs0000").id
    assert site.close(group) == [group]
    assert site.states("obs0000") == (Work.DONE, Work.READY)
    assert site.events("closed")[0]["who"] == "ada"
    with pytest.raises(StateError, match="dsa/mosaic/obs0000 is no open group"):
        site.close(group)
    with pytest.raises(StateError, match="no open group"):
        site.close(1)
    site.run("mosaic")
    site.image(10)
    assert site.mosaics() == {"obs0000": keys(0, 5), "obs0010": keys(10)}


def test_a_time_out_after_the_group_was_closed_does_nothing(sites: Any) -> None:
    site = sites(size=10, timeout=60.0, on_timeout="reject")
    site.image(0)
    site.now += 100
    (claimed,) = site.due()
    site.close(site.mosaic("obs0000").id)
    assert site.catalog.write(lambda tx: grouping.time_out(tx, site.definition, claimed)) == []
    assert site.states("obs0000") == (Work.DONE, Work.READY)


def test_items_are_grouped_as_they_are_registered_and_groups_of_groups_follow(sites: Any) -> None:
    site = sites(size=2, at="")
    night = KindPlan(
        "dsa", "night", {"sum": stage("night", "sum")}, GroupPlan("mosaic", size=2), gathered=True
    )
    site.definition = replace(site.definition, kinds={**site.definition.kinds, "night": night})
    items = site.observe(0, 5, 10, 15)
    done = site.catalog.write(lambda tx: grouping.gather(tx, site.definition, "observation", "", items))
    with site.catalog.read() as view:
        assert [view.item(group).name for group in done] == [
            "dsa/mosaic/obs0000", "dsa/mosaic/obs0010", "dsa/night/obs0000"
        ]  # fmt: skip
        assert [member.key for member in view.members(done[2])] == ["obs0000", "obs0010"]


def test_a_kind_that_is_no_group_is_refused(sites: Any) -> None:
    site = sites(size=2)
    with pytest.raises(StateError, match="dsa/observation is no group of items"):
        site.catalog.write(
            lambda tx: grouping._Grouping(tx, site.definition, site.definition.kinds["observation"])
        )


def test_two_processes_that_complete_at_once_make_no_group_too_many(sites: Any) -> None:
    site = sites(size=5)
    site.observe(*range(100))
    other = site.open()
    failures: list[BaseException] = []

    def work(catalog: SqliteCatalog) -> None:
        try:
            for _ in range(20):
                site.run("observation", 4, catalog)
        except BaseException as error:  # noqa: BLE001  shown by the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(catalog,)) for catalog in (site.catalog, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert failures == []
    mosaics = site.mosaics()
    assert [len(members_) for members_ in mosaics.values()] == [5] * 20
    assert sorted(key for members_ in mosaics.values() for key in members_) == sorted(keys(*range(100)))
    assert all(site.states(key) == (Work.DONE, Work.READY) for key in mosaics)
