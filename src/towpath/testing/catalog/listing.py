"""The suite's tests of lists and counts over the whole site: items by state, open work, work that is out of date.

What is found is compared with what all rows say, read item by item.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from towpath.base.model import WorkRow
from towpath.base.states import Outcome
from towpath.base.states import Publication as PublicationState
from towpath.base.states import Work as State
from towpath.contracts.catalog import Claimed, PublicationRow, View
from towpath.testing.catalog.base import Base, MakeBench
from towpath.testing.plans import LEASE, OVER, PIPELINE, Bench, kind_plan, sha

CHAIN = kind_plan("item", {"a": (), "b": ("a",), "c": ("b",)})
LATER = kind_plan("item", {"a": (), "b": ("a",), "c": ("b",)}, settings={"a": {"version": "2"}})
OTHER = kind_plan("other", {"a": ()})
ERRAND = ("", "errand", "run")
FINISHED = (State.DONE, State.REJECTED, State.RETIRED)
ENDS = {
    State.DONE: Outcome.DONE,
    State.FAILED: Outcome.FAILED,
    State.REJECTED: Outcome.REJECTED,
    State.HELD: Outcome.HELD,
}
FILTERS: list[dict[str, Any]] = [
    {},
    {"stage": "a"},
    {"stage": "b", "kind": "item"},
    {"kind": "other"},
    {"pipeline": PIPELINE},
    {"pipeline": "none"},
    {"text": "d_1"},
    {"text": "_", "stage": "a", "kind": "item"},
    {"keys": ["done_1", "held_2", "other_0"]},
]


def take(b: Bench, items: list[int], lease: float = LEASE, kind: str = "item") -> list[Claimed]:
    """Claim the first stage of these items."""
    plan = b.kind(kind)
    return b.catalog.write(
        lambda tx: tx.claim(plan, plan.stages["a"], 100, lease=lease, owner=b.owner, only=items)
    )


def in_every_state(bench: MakeBench) -> tuple[Bench, dict[State, list[int]]]:
    """Items of two kinds, three with the first stage in each state it can be in, some done by a later version."""
    b = bench(CHAIN, OTHER)
    found: dict[State, list[int]] = {state: [] for state in State}
    for number in range(3):
        for state in State:
            found[state] += b.add(f"{state}_{number}")
    others = b.add("other_0", "other_1", kind="other")
    b.finish(take(b, others[:1], kind="other"), "a", kind="other")
    for state, outcome in ENDS.items():
        b.finish(take(b, found[state][:2]), "a", outcome)
    b.load(LATER, OTHER)
    for state, outcome in ENDS.items():
        b.finish(take(b, found[state][2:]), "a", outcome)
    take(b, found[State.RUNNING])
    for _ in range(5):
        for item in found[State.POISONED]:
            take(b, [item], OVER)
    works = {state: [b.row("a", item).id for item in items] for state, items in found.items()}
    b.catalog.write(lambda tx: tx.stop(works[State.STOPPED], "ann", "enough"))
    b.catalog.write(lambda tx: tx.retire(works[State.RETIRED], "it left the route"))
    return b, found


def all_rows(view: View) -> dict[int, list[WorkRow]]:
    """The work of every item."""
    return view.work([item.id for item in view.items(limit=1000)])


def pages(view: View, size: int, **filters: Any) -> Iterator[str]:
    """The keys of items by filter, page by page."""
    after = 0
    while page := view.items(**filters, after=after, limit=size):
        assert len(page) <= size
        yield from (item.key for item in page)
        after = page[-1].id


class ListingSuite(Base):
    """What users ask of the whole site all day; its answers are in the order of numbers, and paged by them."""

    @pytest.mark.parametrize("state", State)
    def test_items_are_found_by_the_state_of_their_work(self, bench: MakeBench, state: State) -> None:
        """Whatever else is asked for, and in pages of any size."""
        b, found = in_every_state(bench)
        with b.catalog.read() as view:
            assert state is State.WAITING or {b.state("a", item) for item in found[state]} == {state}
            rows = all_rows(view)
            for filters in FILTERS:
                stage = filters.get("stage")
                fitting = {
                    item
                    for item, known in rows.items()
                    if any(row.state is state and stage in (None, row.stage) for row in known)
                }
                others = {name: value for name, value in filters.items() if name != "stage"}
                expected = [item.key for item in view.items(**others, limit=1000) if item.id in fitting]
                for size in (1, 3, 1000):
                    assert list(pages(view, size, state=state, **filters)) == expected, (filters, size)

    def test_items_are_found_by_work_that_is_no_stage(self, bench: MakeBench) -> None:
        """Once, however much there is of it."""
        b = bench(CHAIN)
        items = b.add("i", "j", "k")
        b.end("a")
        for subject in ("", "one", "two"):
            b.catalog.write(lambda tx, s=subject: tx.add_work(ERRAND, item=items[1], subject=s))  # type: ignore[misc]
        (errand, *_) = b.catalog.write(lambda tx: tx.claim_other(ERRAND, 1, lease=LEASE, owner=b.owner))
        b.catalog.write(lambda tx: tx.finish(errand, error="it broke"))
        with b.catalog.read() as view:
            assert list(pages(view, 1, state=State.READY, stage="run")) == ["j"]
            assert list(pages(view, 1, state=State.READY)) == ["i", "j", "k"]
            assert list(pages(view, 1, state=State.FAILED)) == ["j"]
            assert list(pages(view, 1, stage="run")) == ["j"]

    def test_work_is_counted_by_stage_and_state(self, bench: MakeBench) -> None:
        """Messages are not counted, nor what nothing is in."""
        b, _ = in_every_state(bench)
        b.catalog.write(lambda tx: tx.post("hook", "subject", {}))
        with b.catalog.read() as view:
            rows = [row for known in all_rows(view).values() for row in known]
            expected = Counter((row.pipeline, row.kind, row.stage, row.state.value) for row in rows)
            assert view.counts() == dict(expected)
            assert list(view.counts()) == sorted(expected)
            assert view.counts("other") == {}

    def test_open_work_is_listed_by_number(self, bench: MakeBench) -> None:
        """Ready and running work among what waits and what needs a person."""
        b, _ = in_every_state(bench)
        b.catalog.write(lambda tx: tx.add_work(ERRAND))
        with b.catalog.read() as view:
            rows = [row for known in all_rows(view).values() for row in known if row.state not in FINISHED]
            expected = sorted(rows, key=lambda row: row.id)
            assert view.open_work(PIPELINE) == view.open_work() == expected
            for limit in (1, 7):
                assert view.open_work(PIPELINE, limit=limit) == expected[:limit]
                assert view.open_work(after=expected[5].id, limit=limit) == expected[6 : 6 + limit]

    def test_what_a_former_version_made_is_out_of_date(self, bench: MakeBench) -> None:
        """Only what is done: by which version, the run that made what is current says, also where a person accepted it."""
        b, found = in_every_state(bench)
        done, held = found[State.DONE], found[State.HELD]

        def stale(items: tuple[int, ...] = ()) -> list[int]:
            with b.catalog.read() as view:
                rows = view.stale(b.kind().stages["a"], items)
                assert [work for work, _ in rows] == [b.row("a", item).id for _, item in rows]
            return [item for _, item in rows]

        assert stale() == done[:2]
        b.catalog.write(lambda tx: tx.release([b.row("a", item).id for item in held[1:]], "ann", accept=True))
        assert stale() == sorted([*done[:2], held[1]])
        assert stale((done[1], done[2])) == [done[1]]
        b.revise("a", done[0], force=True)
        assert stale() == sorted([done[1], held[1]])
        b.finish(take(b, [done[0]]), "a")
        assert stale() == sorted([done[1], held[1]])
        b.load(CHAIN, OTHER)
        assert stale() == sorted([done[0], done[2], held[2]])

    def test_publications_are_counted_by_state(self, bench: MakeBench) -> None:
        """All that were ever opened."""
        kind = kind_plan("item", {"a": ()}, settings={"a": {"service": "publish"}})
        b = bench(kind)
        b.add("i", "j", "k")
        for number, claimed in enumerate(b.claim("a")):
            work = (claimed.work, claimed.token, claimed.item)
            row = PublicationRow(0, *work, "archive", f"{number}", PublicationState.INTENDED, sha("x"))
            opened = b.catalog.write(lambda tx, c=claimed, r=row: tx.open_publication(c, r))  # type: ignore[misc]
        b.catalog.write(lambda tx: tx.move_publication(opened, PublicationState.COPIED, token=claimed.token))
        with b.catalog.read() as view:
            assert view.publication_counts() == {"copied": 1, "intended": 2}
