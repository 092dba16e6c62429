"""The suite's tests of how things stand: turns in a queue, history, what was said; of pins, and of what leaves by age."""

from towpath.base.hashing import Content
from towpath.base.states import Outcome
from towpath.base.states import Product as ProductState
from towpath.testing.catalog.base import Base, MakeBench
from towpath.testing.plans import OVER, Bench, kind_plan, measured, sha

CHAIN = kind_plan("item", {"a": (), "b": ("a",)})
ONE = kind_plan("item", {"a": ()})


def made_again(bench: Bench, *keys: str) -> list[int]:
    """Items whose stage a was made twice, so that the first products are superseded; returns these products."""
    items = bench.add(*keys)
    bench.end("a")
    old = [bench.products(item, "a")[0].id for item in items]
    for item in items:
        bench.revise("a", item, force=True)
    bench.end("a", content="other")
    return old


class StandingSuite(Base):
    """CATALOG.md, R2 (events that were pruned) and R7 (what leaves, and what pins hold); and what explain asks."""

    # ---- turns
    def test_those_before_it_in_its_queue_are_counted(self, bench: MakeBench) -> None:
        """Priority first, then the earlier due time, then the lower number; what runs is not before it."""
        b = bench(ONE)
        b.add(*"abcde")
        b.claim("a", 1)
        items = {key: b.row("a", number).id for number, key in enumerate("abcde", 1)}
        b.catalog.write(lambda tx: tx.set_priority([items["d"]], 3))
        with b.catalog.read() as view:
            ahead = {key: view.ahead(view.work_row(work)) for key, work in items.items() if key != "a"}
            assert ahead == {"d": 0, "b": 1, "c": 2, "e": 3}
            assert view.ahead(view.work_row(items["e"]), 2) <= 3
            assert view.at_work() == {("t", "item", "a"): 1}
        b.claim("a", 1)
        with b.catalog.read() as view:
            assert view.at_work() == {("t", "item", "a"): 2}  # of two priorities

    def test_a_lease_that_expired_does_not_go_on(self, bench: MakeBench) -> None:
        """It is counted as before others, for it is taken first."""
        b = bench(ONE)
        first, second = b.add("i", "j")
        b.claim("a", 1, lease=OVER)
        with b.catalog.read() as view:
            assert view.at_work() == {}
            assert view.ahead(b.row("a", second)) == 1
            oldest = view.oldest_running()
            assert oldest is not None and oldest == b.row("a", first).began > 0

    # ---- history
    def test_history_is_of_runs_that_ended_well(self, bench: MakeBench) -> None:
        """The run that made what is current; failures and what never ran say nothing."""
        b = bench(CHAIN)
        b.add("i", "j", "k")
        for number, claim in enumerate(b.claim("a")):
            outcome = Outcome.FAILED if number == 2 else Outcome.DONE
            b.finish([claim], "a", outcome, seconds=float(number + 1))
        with b.catalog.read() as view:
            assert sorted(view.history(("t", "item", "a"))) == [1.0, 2.0]
            assert view.history(("t", "item", "a"), 1) == [2.0]  # the newest item first
            assert view.history(("t", "item", "b")) == view.history(("no", "such", "queue")) == []

    def test_events_are_tallied_by_stage(self, bench: MakeBench) -> None:
        """Of the types and since the moment asked for; of the newest, where there are very many."""
        b = bench(CHAIN)
        b.add("i", "j", "k")
        first, *others = b.claim("a")
        b.finish([first], "a", Outcome.FAILED)
        b.finish(others, "a")
        with b.catalog.read() as view:
            every = view.tally(("done", "failed"), 0.0)
            assert every.counts == {("t", "item", "a", "done"): 2, ("t", "item", "a", "failed"): 1}
            assert every.since == 0.0
            assert view.tally(("done",), view.now() + 10.0).counts == {}
            last = view.events(0)[-1]
            few = view.tally(("done", "failed"), 0.0, most=1)
            assert sum(few.counts.values()) == (last.type in ("done", "failed")) and few.since == last.time

    def test_what_was_said_last_of_work(self, bench: MakeBench) -> None:
        """Of the types asked for, about this stage."""
        b = bench(CHAIN)
        (item,) = b.add("i")
        row = b.row("a", item)
        b.catalog.write(lambda tx: tx.hold([row.id], "first", "me"))
        b.catalog.write(lambda tx: tx.release([row.id], "you"))
        b.catalog.write(lambda tx: tx.hold([row.id], "second", "me"))
        with b.catalog.read() as view:
            said = view.last_said(row, ("held",))
            assert said is not None
            assert (said.type, said.stage, said.data["why"], said.data["who"]) == (
                "held",
                "a",
                "second",
                "me",
            )
            assert view.last_said(row, ("stopped",)) is None
            assert view.last_said(b.row("b", item), ("held",)) is None

    def test_logs_that_a_person_may_need(self, bench: MakeBench) -> None:
        """Those of the last attempt of what failed, was held, rejected or stopped."""
        b = bench(ONE)
        items = b.add("done", "failed", "rejected", "stopped")
        claims = b.claim("a")
        b.finish(claims[:1], "a")
        b.finish(claims[1:2], "a", Outcome.FAILED, error="no")
        b.finish(claims[2:3], "a", Outcome.REJECTED, reasons=("no",))
        b.catalog.write(lambda tx: tx.stop([claims[3].work], "me"))
        works = [b.row("a", item).id for item in items]
        with b.catalog.read() as view:
            assert view.logs_needed(works) == {(works[number], 1) for number in (1, 2, 3)}
            assert view.logs_needed([]) == set()

    # ---- sizes
    def test_what_is_kept_is_summed(self, bench: MakeBench) -> None:
        """By root, pipeline, kind, stage and state; what was deleted is not there."""
        b = bench(ONE)
        made_again(b, "i", "j")
        b.add_raw(b.add("k")[0])
        with b.catalog.read() as view:
            found = {(one.root, one.stage, one.state): (one.count, one.bytes) for one in view.kept()}
            assert found == {
                ("store", "", "current"): (1, 4),
                ("store", "a", "current"): (2, 18),
                ("store", "a", "superseded"): (2, 18),
            }
            assert len(view.paths("store")) == 5
            assert view.published() == (0, 0)

    # ---- pins and trash
    def test_a_pin_holds_superseded_products_and_trash(self, bench: MakeBench) -> None:
        """For as long as it lasts; of two authors each has their own."""
        b = bench(ONE)
        held, free = made_again(b, "i", "j")
        b.catalog.write(lambda tx: tx.pin([held], "me", "the paper"))
        b.catalog.write(lambda tx: tx.pin([free], "me", "over", tx.now() - 1))
        assert b.catalog.write(lambda tx: tx.to_trash(tx.now() + 1, limit=10)) == 1
        with b.catalog.read() as view:
            assert [product.id for product, _ in view.trash()] == [free]
            assert [(pin.product.id, pin.author, pin.why) for pin in view.pins()] == [
                (held, "me", "the paper"), (free, "me", "over"),
            ]  # fmt: skip
            assert view.pins([view.product(held).item])[0].until is None
        b.catalog.write(lambda tx: tx.pin([free], "you", "after all"))
        assert b.catalog.write(lambda tx: tx.leave_trash(tx.now() + 1, limit=10)) == []
        assert b.catalog.write(lambda tx: tx.unpin([free], "me")) == 1
        assert b.catalog.write(lambda tx: tx.unpin([free])) == 1
        left = b.catalog.write(lambda tx: tx.leave_trash(tx.now() + 1, limit=10))
        assert [product.id for product in left] == [free]
        with b.catalog.read() as view:
            assert view.product(free).state is ProductState.DELETED
            assert view.product(held).state is ProductState.SUPERSEDED
            assert left[0].path not in view.paths("store")

    def test_what_leaves_is_bounded_and_older_than_every_run(self, bench: MakeBench) -> None:
        """A run that began before the supersession may read it."""
        b = bench(ONE)
        b.add("reader")
        (reader,) = b.claim("a")
        made_again(b, "i", "j", "k")
        assert b.catalog.write(lambda tx: tx.to_trash(tx.now() + 1, limit=2)) == 0
        b.finish([reader], "a")
        with b.catalog.read() as view:
            assert len(view.sweepable(view.now() + 1, limit=2)) == 2
            assert view.sweepable(view.now() + 1, oldest=1.0) == []
        assert [b.catalog.write(lambda tx: tx.to_trash(tx.now() + 1, limit=2)) for _ in range(3)] == [2, 1, 0]
        assert b.catalog.write(lambda tx: tx.leave_trash(tx.now() - 3600, limit=10)) == []
        assert len(b.catalog.write(lambda tx: tx.leave_trash(tx.now() + 1, limit=10))) == 3

    def test_bytes_that_two_rows_share_go_with_the_last(self, bench: MakeBench) -> None:
        """What was adopted lies where the product lay whose bytes were changed."""
        b = bench(ONE)
        (item,) = b.add("i")
        b.end("a")
        first = b.products(item, "a")[0]
        b.catalog.write(lambda tx: tx.mark([first.id], ProductState.CHANGED))
        second = b.catalog.write(lambda tx: tx.adopt(first.id, Content(9, 2, sha("by hand")), "me", "better"))
        b.catalog.write(lambda tx: tx.mark([second], ProductState.SUPERSEDED))
        b.catalog.write(lambda tx: tx.pin([second], "me", "the paper"))
        assert b.catalog.write(lambda tx: tx.to_trash(tx.now() + 1, limit=10)) == 1
        assert b.catalog.write(lambda tx: tx.leave_trash(tx.now() + 1, limit=10)) == []
        with b.catalog.read() as view:
            assert view.product(first.id).state is ProductState.DELETED
        b.catalog.write(lambda tx: tx.unpin([second]))
        b.catalog.write(lambda tx: tx.to_trash(tx.now() + 1, limit=10))
        left = b.catalog.write(lambda tx: tx.leave_trash(tx.now() + 1, limit=10))
        assert [(product.id, product.path) for product in left] == [(second, first.path)]

    # ---- events
    def test_events_leave_from_the_oldest_on_without_a_gap(self, bench: MakeBench) -> None:
        """A step is bounded; what is younger stays; numbers go on."""
        b = bench(ONE)
        b.add(*"abcdef")
        with b.catalog.read() as view:
            last = view.last_event()
            assert view.events_before(view.now() + 1) == last
        assert b.catalog.write(lambda tx: tx.prune_events(tx.now() - 3600, limit=100)) == 0
        assert b.catalog.write(lambda tx: tx.prune_events(tx.now() + 1, limit=3)) == 3
        with b.catalog.read() as view:
            assert [event.seq for event in view.events()] == list(range(4, last + 1))
        b.catalog.write(lambda tx: tx.prune_events(tx.now() + 1, limit=100))
        b.end("a", measures=measured(x=1.0))
        with b.catalog.read() as view:
            assert view.events()[0].seq == last + 1
