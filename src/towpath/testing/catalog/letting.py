"""The suite's tests of letting go: who still needs a product, what becomes of its row, and how it comes back."""

from dataclasses import replace
from typing import Any

import pytest

from towpath.base.model import Product
from towpath.base.states import LET_GO, Outcome, Publication
from towpath.base.states import Product as ProductState
from towpath.contracts.catalog import PublicationRow, Transaction
from towpath.contracts.definition import GroupPlan, Keep, KindPlan
from towpath.contracts.lineage import ancestry, outdated
from towpath.testing.catalog.base import Base, MakeBench, outcomes, runs_of
from towpath.testing.plans import Bench, calibration, kind_plan, product_of, products_of_members

CONSUMED, PUBLISHED = {"out": Keep("consumed")}, {"out": Keep("published")}
EVER = 1e9  # seconds
SUM = {"sum": [products_of_members("b")]}


def fork(keep: Any = CONSUMED, **settings: Any) -> KindPlan:
    """The stage a, read by b and by c."""
    return kind_plan("item", {"a": (), "b": ("a",), "c": ("a",)}, settings={"a": {"keep": keep}, **settings})


def chain(keep: Any = CONSUMED, **more: Any) -> KindPlan:
    """The stages a → b → c; a and b are let go."""
    return kind_plan(
        "item",
        {"a": (), "b": ("a",), "c": ("b",)},
        settings={"a": {"keep": keep}, "b": {"keep": keep}},
        **more,
    )


def published(keep: Any = PUBLISHED) -> KindPlan:
    """The stages a → b → p, which publishes."""
    settings = {"a": {"keep": keep}, "b": {"keep": keep}, "p": {"service": "publish", "outputs": {}}}
    return kind_plan("item", {"a": (), "b": ("a",), "p": ("b",)}, settings=settings)


def let_go(b: Bench, limit: int = 100) -> int:
    """Look at all that may be let go; returns how many were."""
    return b.catalog.write(lambda tx: tx.let_go_of(tx.now() + EVER, limit=limit))[1]


def spend(b: Bench) -> list[Product]:
    """Let go what may be, and delete the bytes; returns what is to be removed from the disk."""
    let_go(b)
    return b.catalog.write(lambda tx: tx.leave_trash(-1.0, limit=100, shed_before=tx.now() + 1))


def product(b: Bench, item: int, stage: str = "a") -> Product:
    """The product of a stage that stands, let go or not."""
    with b.catalog.read() as view:
        wanted = (ProductState.CURRENT, *sorted(LET_GO))
        return view.products([item], stages=[stage], states=wanted)[0]


def state(b: Bench, item: int, stage: str = "a") -> str:
    """Its state."""
    return product(b, item, stage).state.value


def publish(b: Bench, item: int, *steps: Publication, kind: str = "item") -> None:
    """The stage p publishes, by these steps, and ends."""
    (claimed,) = b.claim("p", 1, kind=kind)
    files = tuple((row.product.id, "f") for row in claimed.inputs if row.product)
    row = PublicationRow(
        0, claimed.work, claimed.token, item, "archive", f"t/{kind}{item}", Publication.INTENDED, b"x", files
    )

    def write(tx: Transaction) -> None:
        now = tx.open_publication(claimed, row)
        for step in steps:
            now = tx.move_publication(now, step, token=claimed.token)

    b.catalog.write(write)
    b.complete("p", [(claimed, b.report(claimed, content={}))], kind=kind)


STANDS = (Publication.COPIED, Publication.VERIFIED, Publication.PLACING, Publication.COMMITTED)


class LettingSuite(Base):
    """CATALOG.md, products and R7: classes of retention of what is current."""

    # ---- until consumed
    def test_it_stays_until_every_reader_is_done(self, bench: MakeBench) -> None:
        """And is let go then, with its hash in place; the others, which nothing reads, stay."""
        b = bench(fork())
        (item,) = b.add("i")
        b.end("a")
        assert let_go(b) == 0
        b.end("b")
        assert let_go(b) == 0
        before = product(b, item)
        b.end("c")
        assert let_go(b) == 1
        assert product(b, item) == replace(before, state=ProductState.SHED)
        assert let_go(b) == 0
        assert {one.stage for one in b.products(item)} == {"b", "c"}

    @pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.HELD, Outcome.REJECTED])
    def test_a_reader_that_did_not_end_well_is_still_to_come(
        self, bench: MakeBench, outcome: Outcome
    ) -> None:
        """But one that rejected the item has had its word."""
        b = bench(fork())
        (item,) = b.add("i")
        b.end("a")
        b.end("b")
        b.end("c", outcome)
        assert let_go(b) == (outcome is Outcome.REJECTED)
        assert state(b, item) == ("shed" if outcome is Outcome.REJECTED else "current")

    def test_what_never_comes_is_not_waited_for(self, bench: MakeBench) -> None:
        """A reader behind a stage that rejected the item."""
        plan = kind_plan(
            "item",
            {"a": (), "q": ("a",), "b": ("q",)},
            inputs={"b": [product_of("a")]},
            settings={"a": {"keep": CONSUMED}},
        )
        b = bench(plan)
        (item,) = b.add("i")
        b.end("a")
        b.end("q", Outcome.REJECTED)
        assert let_go(b) == 1
        assert state(b, item) == "shed"

    def test_stopped_held_and_retired_readers(self, bench: MakeBench) -> None:
        """What a person holds or stops is still to come; what left the route is not."""
        b = bench(fork())
        (item,) = b.add("i")
        b.end("a")
        b.end("b")
        work = b.row("c", item).id
        b.catalog.write(lambda tx: tx.hold([work], "doubt"))
        assert let_go(b) == 0
        b.catalog.write(lambda tx: tx.release([work]))
        b.catalog.write(lambda tx: tx.stop([work]))
        assert let_go(b) == 0
        b.catalog.write(lambda tx: tx.retire([work], "left"))
        assert let_go(b) == 1

    def test_a_reader_that_was_spared_has_read_these_bytes(self, bench: MakeBench) -> None:
        """Its last run read another row, but of equal bytes."""
        b = bench(fork())
        (item,) = b.add("i")
        b.end("a", content="x")
        b.end("b")
        b.end("c")
        first = product(b, item)
        for content in ("y", "x"):
            b.revise("a", item, force=True)
            b.end("a", content=content)
        b.drain()
        assert outcomes(b, item, "b") == ["done"]
        assert product(b, item).id != first.id
        assert let_go(b) == 1

    def test_what_nothing_reads_stays(self, bench: MakeBench) -> None:
        """The end of a route is never consumed."""
        b = bench(kind_plan("item", {"a": ()}, settings={"a": {"keep": CONSUMED}}))
        (item,) = b.add("i")
        b.drain()
        assert let_go(b) == 0
        assert state(b, item) == "current"

    def test_pins_calibrations_and_what_a_person_made_stay(self, bench: MakeBench) -> None:
        """An unpinned one is looked at again."""
        frame = kind_plan("frame", {"a": (), "b": ("a",)}, settings={"a": {"keep": CONSUMED}})
        b = bench(frame, fork(), kind_plan("light", {"a": ()}, inputs={"a": [calibration()]}))
        (certified,) = b.add("f", kind="frame")
        (pinned,) = b.add("i")
        b.drain()
        mark, pin = product(b, certified).id, product(b, pinned).id
        b.catalog.write(lambda tx: tx.certify(mark, "bias", "", 0, 10))
        b.catalog.write(lambda tx: tx.pin([pin], "me", "the paper"))
        assert let_go(b) == 0
        b.catalog.write(lambda tx: tx.unpin([pin]))
        assert let_go(b) == 1
        assert state(b, certified) == "current"

    def test_one_pinned_in_the_trash_keeps_its_bytes(self, bench: MakeBench) -> None:
        """In time, that is: before they are deleted."""
        b = bench(fork())
        (item,) = b.add("i")
        b.drain()
        let_go(b)
        number = product(b, item).id
        b.catalog.write(lambda tx: tx.pin([number], "me", "the paper"))
        assert spend(b) == []
        assert state(b, item) == "shed"

    # ---- groups
    @pytest.mark.parametrize("at", ["b", ""])
    def test_a_rule_that_has_not_taken_an_item_is_waited_for(self, bench: MakeBench, at: str) -> None:
        """And then the group; an item that never passes the stage is not."""
        kind = kind_plan("item", {"a": (), "b": ("a",)}, settings={"b": {"keep": CONSUMED}})
        group = kind_plan("group", {"sum": ()}, group=GroupPlan("item", at, size=1), inputs=SUM)
        b = bench(kind, group)
        first, second = b.add("i", "j")
        b.drain()
        assert let_go(b) == 0
        b.add_group("g", [first])
        assert let_go(b) == 0
        b.drain()
        assert let_go(b) == 1
        assert (state(b, first, "b"), state(b, second, "b")) == ("shed", "current")

    def test_a_group_does_not_wait_for_what_did_not_qualify(self, bench: MakeBench) -> None:
        """An item that is rejected before the stage at which groups take it will be in none."""
        kind = kind_plan("item", {"a": (), "b": ("a",), "q": ("b",)}, settings={"b": {"keep": CONSUMED}})
        group = kind_plan("group", {"sum": ()}, group=GroupPlan("item", "q", size=1), inputs=SUM)
        b = bench(kind, group)
        (item,) = b.add("i")
        b.end("a")
        b.end("b")
        b.end("q", Outcome.REJECTED)
        assert let_go(b) == 1
        assert state(b, item, "b") == "shed"

    def test_windows_that_slide_may_take_an_item_again(self, bench: MakeBench) -> None:
        """As long as it is noted for the next window."""
        kind = kind_plan("item", {"a": (), "b": ("a",)}, settings={"b": {"keep": CONSUMED}})
        rule = GroupPlan("item", "b", size=2, stride=1)
        b = bench(kind, kind_plan("group", {"sum": ()}, group=rule, inputs=SUM))
        first, second = b.add("i", "j")
        b.drain()
        b.add_group("g", [first, second])
        b.drain()
        noted = {"open": None, "pending": [], "carries": [[{"order": 1, "item": second, "since": 0.0}]]}
        b.catalog.write(lambda tx: tx.set_slot(tx.slot("group t/group", "[]"), noted))
        assert let_go(b) == 1
        assert (state(b, first, "b"), state(b, second, "b")) == ("shed", "current")

    # ---- until published
    def test_it_stays_until_what_was_made_from_it_is_published(self, bench: MakeBench) -> None:
        """A publication that only began does not count; both the direct source and what is behind it are let go."""
        b = bench(published())
        (item,) = b.add("i")
        b.drain()
        assert let_go(b) == 0  # the stage is done, but nothing stands in an archive
        b.revise("p", item, force=True)
        publish(b, item, *STANDS[:3])
        assert let_go(b) == 0
        b.revise("p", item, force=True)
        publish(b, item, Publication.COMMITTED)
        assert let_go(b) == 2
        assert (state(b, item), state(b, item, "b")) == ("shed", "shed")

    def test_the_publication_of_the_group_it_went_into_counts(self, bench: MakeBench) -> None:
        """Through what was made from it."""
        kind = kind_plan("item", {"a": (), "b": ("a",)}, settings={"a": {"keep": PUBLISHED}})
        settings = {"p": {"service": "publish", "outputs": {}}}
        rule = GroupPlan("item", "b", size=1)
        b = bench(
            kind, kind_plan("group", {"sum": (), "p": ("sum",)}, group=rule, inputs=SUM, settings=settings)
        )
        first, second = b.add("i", "j")
        b.end("a")
        b.end("b")
        group = b.add_group("g", [first])
        b.end("sum", kind="group")
        assert let_go(b) == 0
        publish(b, group, *STANDS, kind="group")
        assert let_go(b) == 1
        assert (state(b, first), state(b, second)) == ("shed", "current")

    # ---- for a time
    def test_it_stays_for_a_time_and_while_it_is_read(self, bench: MakeBench) -> None:
        """Whether or not all that reads it is done; it is looked at first when its time is over."""
        b = bench(fork({"out": Keep("age", 3600.0)}))
        (item,) = b.add("i")
        b.end("a")
        assert b.catalog.write(lambda tx: tx.let_go_of(tx.now() + 3500, limit=10)) == (0, 0)
        assert let_go(b) == 0
        b.load(fork({"out": Keep("age", 0.0)}))
        assert let_go(b) == 0  # two stages are ready to read it
        (claimed,) = b.claim("b")
        b.catalog.write(lambda tx: tx.hold([b.row("c", item).id], "doubt"))
        assert let_go(b) == 0
        b.finish([claimed], "b")
        assert let_go(b) == 1
        assert state(b, item) == "shed"

    # ---- a `keep` that changed
    def test_a_changed_keep_is_taken_up(self, bench: MakeBench) -> None:
        """By products that are there already; back again, nothing more is let go."""
        b = bench(fork({}))
        first, second = b.add("i", "j")
        b.drain()
        assert let_go(b) == 0
        b.load(fork(), version="2")
        steps = 0
        while b.catalog.write(lambda tx: tx.follow_keep()):
            steps += 1
        assert steps == 1
        assert let_go(b, 1) == 1
        b.load(fork({}), version="3")
        while b.catalog.write(lambda tx: tx.follow_keep()):
            pass
        assert let_go(b) == 0
        assert [state(b, one) for one in (first, second)] == ["shed", "current"]

    def test_a_step_is_bounded_and_looks_at_each_once(self, bench: MakeBench) -> None:
        """What stays is not looked at again at once, however often somebody asks."""
        b = bench(fork())
        b.add("i", "j", "k")
        b.end("a")

        def step(limit: int) -> tuple[int, int]:
            return b.catalog.write(lambda tx: tx.let_go_of(tx.now() + 59, limit=limit))

        assert step(2) == (0, 0)
        b.end("b")
        assert [step(2), step(2), step(2)] == [(2, 0), (1, 0), (0, 0)]
        b.end("c")
        assert [step(2), step(2), step(2)] == [(2, 2), (1, 1), (0, 0)]

    # ---- what becomes of it
    def test_its_bytes_are_deleted_and_its_row_stays(self, bench: MakeBench) -> None:
        """It is told when and why it was let go; no place is claimed for it, and what is done stays done."""
        b = bench(chain())
        (item,) = b.add("i")
        b.drain()
        key = b.key("b", item)
        with b.catalog.read() as view:
            last = view.last_event()
        assert [one.stage for one in spend(b)] == ["a", "b"]
        with b.catalog.read() as view:
            told = view.let_go([item])
            assert [(one.product.stage, one.why) for one in told] == [
                ("a", "until consumed"),
                ("b", "until consumed"),
            ]
            assert all(0 < one.time <= view.now() for one in told)
            assert view.let_go([item], ["a"]) == told[:1]
            assert not view.paths("store").keys() & {one.product.path for one in told}
            assert [one.product for one in view.said(limit=10)] == [one.id for one in b.products(item)]
            said = [(event.type, event.data.get("detail")) for event in view.events(last)]
            assert said == [("shed", "until consumed")] * 2 + [("spent", "swept")] * 2
        assert b.drain() == 0
        assert b.key("b", item) == key
        assert b.states(item) == {"a": "done", "b": "done", "c": "done"}

    def test_a_reader_is_never_cut_off(self, bench: MakeBench) -> None:
        """A run that began before it was let go may read it, whoever it is."""
        b = bench(fork())
        (item,) = b.add("i")
        b.drain()
        b.add("reader")
        (reader,) = b.claim("a")
        assert let_go(b) == 1
        assert spend(b) == []
        b.finish([reader], "a")
        assert [one.item for one in spend(b)] == [item]

    def test_publishing_accepts_what_was_let_go_and_not_what_is_missing(self, bench: MakeBench) -> None:
        """By the rule that every ancestor must be current."""
        b = bench(chain(inputs={"a": [product_of("")]}))
        (item,) = b.add("i")
        raw = b.add_raw(item)
        b.drain()
        spend(b)
        (last,) = b.products(item, "c")
        with b.catalog.read() as view:
            lineage = ancestry(view, [last])
            assert [one.stage for one in sorted(lineage.products.values(), key=lambda one: one.id)] == [
                "",
                "a",
                "b",
                "c",
            ]
            assert outdated(view, lineage) == []
        b.catalog.write(lambda tx: tx.mark([raw], ProductState.MISSING))
        with b.catalog.read() as view:
            assert outdated(view, ancestry(view, [last])) == ["t/item/i raw.file is missing"]

    # ---- how it comes back
    @pytest.mark.parametrize("force", [True, False])
    def test_what_was_let_go_is_made_again_where_it_is_needed(self, bench: MakeBench, force: bool) -> None:
        """First what it was made from; equal bytes are the same row, and what was done elsewhere does not run."""
        kind = kind_plan(
            "item",
            {"a": (), "b": ("a",), "c": ("b",), "d": ("b",)},
            settings={"a": {"keep": CONSUMED}, "b": {"keep": CONSUMED}},
        )
        b = bench(kind)
        (item,) = b.add("i")
        b.drain()
        numbers = {stage: product(b, item, stage).id for stage in "ab"}
        spend(b)
        if force:
            b.revise("d", item, force=True)
        else:
            changed = replace(kind.stages["d"], fixed=replace_version(kind, "d"))
            b.load(replace(kind, stages={**kind.stages, "d": changed}), version="2")
            b.revise("d", item)
        assert b.claim("d") == []
        assert (state(b, item, "b"), state(b, item, "a")) == ("wanted", "spent")
        assert b.states(item) == {"a": "done", "b": "ready", "c": "waiting", "d": "waiting"}
        assert b.claim("b") == []
        assert b.states(item) == {"a": "ready", "b": "waiting", "c": "waiting", "d": "waiting"}
        b.drain()
        assert b.states(item) == dict.fromkeys("abcd", "done")
        assert {stage: product(b, item, stage).id for stage in "ab"} == numbers
        assert [len(runs_of(b, item, stage)) for stage in "abcd"] == [2, 2, 1, 2]
        assert not any(run.caveats for run in runs_of(b, item))
        assert let_go(b) == 2  # once more

    def test_what_lies_in_the_trash_comes_back_as_it_is(self, bench: MakeBench) -> None:
        """Nothing is made again while the bytes are there."""
        b = bench(fork())
        (item,) = b.add("i")
        b.drain()
        let_go(b)
        b.revise("c", item, force=True)
        (claimed,) = b.claim("c")
        assert state(b, item) == "current"
        assert spend(b) == []
        b.finish([claimed], "c")
        assert let_go(b) == 1
        assert outcomes(b, item, "a") == ["done"]

    def test_it_is_made_again_with_another_hash(self, bench: MakeBench) -> None:
        """The newer one counts, with the caveat; the older one has no bytes that could go to the trash."""
        b = bench(fork())
        (item,) = b.add("i")
        b.drain()
        old = product(b, item)
        spend(b)
        b.revise("c", item, force=True)
        assert b.claim("c") == []
        b.end("a", content="other")
        assert runs_of(b, item, "a")[-1].caveats
        with b.catalog.read() as view:
            assert view.product(old.id).state is ProductState.DELETED
        b.drain()
        assert outcomes(b, item, "b") == ["done", "done"]
        assert product(b, item).id != old.id

    def test_a_run_that_was_to_be_spared_asks_for_it(self, bench: MakeBench) -> None:
        """Its own output was not there after all, so it must read what was let go."""
        b = bench(fork())
        (item,) = b.add("i")
        b.drain()
        spend(b)
        b.revise("b", item)
        (claimed,) = b.claim("b")
        assert claimed.unchanged
        number = product(b, item).id
        report = b.report(claimed, Outcome.BLOCKED, changed=((number, "missing"),))
        b.complete("b", [(claimed, report)])
        assert (state(b, item), b.states(item)["a"]) == ("wanted", "ready")
        b.drain()
        assert (state(b, item), b.states(item)) == ("current", dict.fromkeys("abc", "done"))

    def test_members_are_made_again_for_their_group(self, bench: MakeBench) -> None:
        """It waits for them, also where they come from a branch beside the stage at which it took them."""
        kind = kind_plan("item", {"a": (), "b": ("a",), "at": ("a",)}, settings={"b": {"keep": CONSUMED}})
        b = bench(kind, kind_plan("group", {"sum": ()}, group=GroupPlan("item", "at", size=2), inputs=SUM))
        items = b.add("i", "j")
        b.end("a")
        b.end("b")
        b.end("at")
        group = b.add_group("g", items)
        b.drain()
        assert len(spend(b)) == 2
        b.revise("sum", group, force=True)
        assert b.claim("sum", kind="group") == []
        assert [state(b, item, "b") for item in items] == ["wanted", "wanted"]
        assert b.states(group)["sum"] == "waiting"
        assert "let go" in b.row("sum", group).note
        (first, second) = b.claim("b")
        b.finish([first], "b")
        assert b.states(group)["sum"] == "waiting"
        b.finish([second], "b")
        assert b.states(group)["sum"] == "ready"
        b.drain()
        assert outcomes(b, group, "sum") == ["done", "done"]
        assert [outcomes(b, item, "at") for item in items] == [["done"]] * 2

    def test_a_producer_whose_products_were_let_go_runs_when_it_must(self, bench: MakeBench) -> None:
        """By a person's word, with equal bytes: the same row is current again."""
        b = bench(fork())
        (item,) = b.add("i")
        b.drain()
        old = product(b, item)
        spend(b)
        b.revise("a", item, force=True)
        b.drain()
        new = product(b, item)
        assert (new.id, new.state, new.run[1]) == (old.id, ProductState.CURRENT, 2)
        assert outcomes(b, item, "b") == ["done"]


def replace_version(kind: KindPlan, stage: str) -> Any:
    """The fixed part of the key of a newer version of a stage."""
    return kind_plan(kind.name, {stage: ()}, settings={stage: {"version": "2"}}).stages[stage].fixed
