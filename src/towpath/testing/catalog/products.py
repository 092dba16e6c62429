"""The suite's tests of products: one current per output, what is found of them, adoption, raw files, sweeping."""

import itertools

import pytest

from towpath.base import states
from towpath.base.errors import NotFoundError, StateError
from towpath.base.hashing import Content
from towpath.base.states import Outcome
from towpath.base.states import Product as ProductState
from towpath.base.states import Work as State
from towpath.contracts.executor import Report
from towpath.testing.catalog.base import Base, MakeBench, runs_of
from towpath.testing.plans import STORE, Bench, calibration, kind_plan, product_of, sha

CHAIN = kind_plan("item", {"a": (), "b": ("a",), "c": ("b",)}, inputs={"a": [product_of("")]})
TWO = kind_plan(
    "item",
    {"a": (), "b": ("a",)},
    settings={"a": {"outputs": {"x": "t/x", "y": "t/y"}, "optional_outputs": frozenset({"y"})}},
    inputs={"b": []},
)
LIVE = (ProductState.CURRENT, ProductState.MISSING, ProductState.CHANGED)


def made(b: Bench, content: str = "x") -> tuple[int, int]:
    """An item with all done, and the product of its first stage."""
    (item,) = b.add("i")
    b.add_raw(item, content)
    b.drain()
    return item, b.products(item, "a")[0].id


def mark(b: Bench, product: int, state: ProductState) -> int:
    """Move a product to a state."""
    return b.catalog.write(lambda tx: tx.mark([product], state, "a test"))


class ProductSuite(Base):
    """CATALOG.md, products: the table and R7."""

    # ---- made and made again
    def test_a_run_registers_its_products(self, bench: MakeBench) -> None:
        """Root and relative path, never an absolute one; the run and the type."""
        b = bench(CHAIN)
        item, number = made(b)
        with b.catalog.read() as view:
            product = view.product(number)
            assert view.used_by(number) == [(b.row("b", item).id, 1)]
            with pytest.raises(NotFoundError):
                view.product(number + 100)
        assert (product.root, product.path.startswith("i."), product.type) == ("store", True, "t/a")
        assert product.run == (b.row("a", item).id, 1)
        assert (product.state, product.manual, product.size) == (ProductState.CURRENT, False, 9)

    def test_a_path_outside_all_roots_is_refused(self, bench: MakeBench) -> None:
        """Nothing of the transaction is written; the longest root wins."""
        b = bench(CHAIN)
        (item,) = b.add("i")
        b.add_raw(item)
        b.catalog.write(lambda tx: tx.set_root("inner", f"{STORE}/inner"))
        (claimed,) = b.claim("a")
        report = b.report(claimed)
        (out,) = report.outputs
        elsewhere = Report(
            claimed.work,
            claimed.token,
            Outcome.DONE,
            outputs=(type(out)("out", "/elsewhere/f", out.content),),
        )
        with pytest.raises(ValueError, match="below no root"):
            b.complete("a", [(claimed, elsewhere)])
        assert b.state("a", item) is State.RUNNING
        inside = type(out)("out", f"{STORE}/inner/f", out.content)
        b.complete("a", [(claimed, Report(claimed.work, claimed.token, Outcome.DONE, outputs=(inside,)))])
        assert [(one.root, one.path) for one in b.products(item, "a")] == [("inner", "f")]

    def test_what_is_said_of_places_is_that_of_live_products(self, bench: MakeBench) -> None:
        """By id and in pages: where, size, time and kind, and whether it is current; what was superseded is left out."""
        b = bench(CHAIN)
        item, number = made(b)
        b.revise("a", item, force=True)
        b.end("a", content="other")
        mark(b, b.products(item, "b")[0].id, ProductState.MISSING)
        with b.catalog.read() as view:
            live = view.products([item], states=LIVE)
            said = view.said(limit=100)
            paged = [*view.said(limit=2), *view.said(after=live[1].id, limit=100)]
        assert number not in {one.product for one in said}
        assert (
            said
            == paged
            == [
                (
                    one.id,
                    one.root,
                    one.path,
                    one.size,
                    one.mtime_ns,
                    one.tree,
                    one.state is ProductState.CURRENT,
                )
                for one in live
            ]
        )
        assert [one.current for one in said].count(False) == 1

    def test_another_result_supersedes(self, bench: MakeBench) -> None:
        """One current per item, stage and output; the former is kept, superseded."""
        b = bench(CHAIN)
        item, number = made(b)
        b.revise("a", item, force=True)
        b.end("a", content="other")
        with b.catalog.read() as view:
            found = view.products([item], stages=["a"], states=tuple(ProductState))
            by_state = {product.state: product for product in found}
        assert by_state[ProductState.SUPERSEDED].id == number
        assert by_state[ProductState.CURRENT].sha256 == sha("other")
        assert len(found) == 2

    def test_each_output_is_judged_by_itself(self, bench: MakeBench) -> None:
        """Of several outputs the equal ones stay, others are superseded, one that is not made any more too."""
        b = bench(TWO)
        (item,) = b.add("i")
        b.end("a", content={"x": "1", "y": "2"})
        first = {product.output: product for product in b.products(item)}
        b.catalog.write(lambda tx: tx.update_item(item, attributes={"n": 1}))
        b.revise("a", item, force=True)
        b.end("a", content={"x": "1"})
        assert [(product.output, product.id) for product in b.products(item)] == [("x", first["x"].id)]
        b.revise("a", item, force=True)
        b.end("a", content={"x": "1", "y": "3"})
        again = {product.output: product for product in b.products(item)}
        assert again["x"].id == first["x"].id
        assert again["y"].id != first["y"].id

    @pytest.mark.parametrize("bad", [ProductState.MISSING, ProductState.CHANGED])
    def test_bad_bytes_that_are_made_again_move_the_place(self, bench: MakeBench, bad: ProductState) -> None:
        """Missing, changed → current: same row, the new place; nothing that follows runs."""
        b = bench(CHAIN)
        item, number = made(b)
        before = b.products(item, "a")[0]
        mark(b, number, bad)
        b.revise("a", item, force=True)
        (claimed,) = b.claim("a")
        finished = b.complete("a", [(claimed, b.report(claimed))])
        (after,) = b.products(item, "a")
        assert (after.id, after.sha256, finished.orphans) == (number, before.sha256, ())
        assert after.path != before.path
        assert after.run == (claimed.work, claimed.token)
        assert all(claimed.unchanged for claimed in b.claim("b"))

    def test_bytes_that_somebody_doubts_are_replaced(self, bench: MakeBench) -> None:
        """Forced to run again, or not found as the row says: the new bytes are kept though the hash is equal."""
        b = bench(CHAIN)
        item, number = made(b)
        before = b.products(item, "a")[0]
        b.revise("a", item)
        (claimed,) = b.claim("a")
        assert claimed.unchanged
        finished = b.complete("a", [(claimed, b.report(claimed))])  # its outputs were not there
        (after,) = b.products(item, "a")
        assert finished.orphans == ()
        assert (after.id, after.path != before.path) == (number, True)

    # ---- found
    @pytest.mark.parametrize(("was", "now"), list(itertools.product(ProductState, ProductState)))
    def test_only_transitions_of_the_table(
        self, bench: MakeBench, was: ProductState, now: ProductState
    ) -> None:
        """Every pair of states: allowed or refused as the table says; the same state is no change."""
        b = bench(CHAIN)
        _, number = made(b)
        paths = {
            ProductState.CURRENT: (),
            ProductState.MISSING: (ProductState.MISSING,),
            ProductState.CHANGED: (ProductState.CHANGED,),
            ProductState.SUPERSEDED: (ProductState.SUPERSEDED,),
            ProductState.TRASH: (ProductState.SUPERSEDED, ProductState.TRASH),
            ProductState.DELETED: (ProductState.SUPERSEDED, ProductState.TRASH, ProductState.DELETED),
            ProductState.SHED: (ProductState.SHED,),
            ProductState.SPENT: (ProductState.SHED, ProductState.SPENT),
            ProductState.WANTED: (ProductState.SHED, ProductState.SPENT, ProductState.WANTED),
        }
        for step in paths[was]:
            assert mark(b, number, step) == 1
        if was is now:
            assert mark(b, number, now) == 0
        elif (was, now) in states.PRODUCT:
            assert mark(b, number, now) == 1
        else:
            with pytest.raises(StateError):
                mark(b, number, now)
        with b.catalog.read() as view:
            assert view.product(number).state is (now if (was, now) in states.PRODUCT else was)

    def test_a_missing_product_is_made_again(self, bench: MakeBench) -> None:
        """Its stage is revised, what follows waits; equal by hash, so nothing else runs."""
        b = bench(CHAIN)
        item, number = made(b)
        assert mark(b, number, ProductState.MISSING) == 1
        assert b.states(item) == {"a": "ready", "b": "waiting", "c": "waiting"}
        (claimed,) = b.claim("a")
        b.complete("a", [(claimed, b.report(claimed))])
        assert b.states(item)["b"] == "ready"
        b.drain()
        assert [len(runs_of(b, item, stage)) for stage in "abc"] == [2, 1, 1]

    def test_a_missing_product_that_is_back_needs_no_run(self, bench: MakeBench) -> None:
        """Missing → current: its stage is unchanged."""
        b = bench(CHAIN)
        item, number = made(b)
        mark(b, number, ProductState.MISSING)
        mark(b, number, ProductState.CURRENT)
        b.drain()
        assert set(b.states(item).values()) == {"done"}
        assert len(runs_of(b, item)) == 3

    def test_a_missing_raw_file_makes_its_readers_wait(self, bench: MakeBench) -> None:
        """Nothing can make it: who has not begun waits, finished work stays; back, they go on."""
        b = bench(CHAIN)
        first, second = b.add("i", "j")
        number = b.add_raw(first)
        b.end("a")
        b.add_raw(second, "s")
        mark(b, b.add_raw(second, "s"), ProductState.MISSING)
        mark(b, number, ProductState.MISSING)
        assert b.state("a", first) is State.DONE
        assert b.state("a", second) is State.WAITING
        assert "missing" in b.row("a", second).note
        assert b.catalog.write(lambda tx: tx.recompute(b.kind(), ())) == 0
        b.add_raw(second, "s")
        assert b.state("a", second) is State.READY

    def test_a_product_changed_by_someone_else_makes_its_readers_wait(self, bench: MakeBench) -> None:
        """It is not made again: a person decides. Finished work stays."""
        b = bench(CHAIN)
        (item,) = b.add("i")
        b.add_raw(item)
        b.end("a")
        number = b.products(item, "a")[0].id
        mark(b, number, ProductState.CHANGED)
        assert b.states(item) == {"a": "done", "b": "waiting", "c": "waiting"}
        assert b.claim("b") == []
        mark(b, number, ProductState.CURRENT)
        assert b.states(item)["b"] == "ready"
        b.drain()
        mark(b, number, ProductState.CHANGED)
        assert set(b.states(item).values()) == {"done"}

    def test_adopted_bytes_become_a_product(self, bench: MakeBench) -> None:
        """Changed → superseded; a new product, `manual`; who read the old one runs again."""
        b = bench(CHAIN)
        item, number = made(b)
        with pytest.raises(StateError, match="only a changed product"):
            b.catalog.write(lambda tx: tx.adopt(number, Content(3, 7, sha("mine")), "ann", "better"))
        mark(b, number, ProductState.CHANGED)
        fresh = b.catalog.write(
            lambda tx: tx.adopt(number, Content(3, 7, sha("mine"), tree=True), "ann", "better")
        )
        (adopted,) = b.products(item, "a")
        assert (adopted.id, adopted.manual, adopted.sha256, adopted.tree) == (fresh, True, sha("mine"), True)
        assert b.states(item) == {"a": "done", "b": "ready", "c": "waiting"}
        (claimed,) = b.claim("b")
        assert not claimed.unchanged
        assert claimed.inputs[0].product == adopted
        with b.catalog.read() as view:
            assert view.product(number).state is ProductState.SUPERSEDED
            assert view.sweepable(view.now() + 1) == []  # its place is that of the adopted one
            (event,) = [event for event in view.events() if event.type == "adopted"]
            assert (event.stage, event.data["who"], event.data["why"]) == ("a", "ann", "better")

    def test_a_missing_adopted_product_is_not_made_again(self, bench: MakeBench) -> None:
        """A run would not give those bytes: who reads it waits."""
        b = bench(CHAIN)
        item, number = made(b)
        mark(b, number, ProductState.CHANGED)
        fresh = b.catalog.write(lambda tx: tx.adopt(number, Content(3, 7, sha("mine")), "ann", "better"))
        mark(b, fresh, ProductState.MISSING)
        assert b.states(item) == {"a": "done", "b": "waiting", "c": "waiting"}

    def test_a_stage_whose_product_was_adopted_is_reproducible_still(self, bench: MakeBench) -> None:
        """Its own result is no contradiction of a person's."""
        b = bench(CHAIN)
        item, number = made(b)
        mark(b, number, ProductState.CHANGED)
        b.catalog.write(lambda tx: tx.adopt(number, Content(3, 7, sha("mine")), "ann", "better"))
        b.revise("a", item, force=True)
        b.end("a")
        assert runs_of(b, item, "a")[-1].caveats == ()

    def test_what_a_run_finds_of_its_inputs_is_written(self, bench: MakeBench) -> None:
        """Blocked: it waits with the reason, the input is marked; equal bytes are only refreshed."""
        b = bench(CHAIN)
        (item,) = b.add("i")
        b.add_raw(item)
        b.end("a")
        number = b.products(item, "a")[0].id
        (claimed,) = b.claim("b")
        b.complete("b", [(claimed, b.report(claimed, refreshed=((number, 77),)))])
        with b.catalog.read() as view:
            assert view.product(number).mtime_ns == 77
        b.revise("b", item, force=True)
        (claimed,) = b.claim("b")
        report = b.report(claimed, Outcome.BLOCKED, changed=((number, "missing"),), error="gone")
        b.complete("b", [(claimed, report)])
        assert b.states(item) == {"a": "ready", "b": "waiting", "c": "waiting"}
        row = b.row("b", item)
        assert (row.deaths, row.attempts) == (0, 0)
        b.drain()
        assert set(b.states(item).values()) == {"done"}

    def test_what_a_run_finds_of_a_superseded_input_is_of_no_account(self, bench: MakeBench) -> None:
        """A newer product took its place while it ran."""
        b = bench(CHAIN)
        (item,) = b.add("i")
        b.add_raw(item)
        b.end("a")
        number = b.products(item, "a")[0].id
        (claimed,) = b.claim("b")
        b.revise("a", item, force=True)
        b.end("a", content="newer")
        b.complete("b", [(claimed, b.report(claimed, Outcome.BLOCKED, changed=((number, "missing"),)))])
        with b.catalog.read() as view:
            assert view.product(number).state is ProductState.SUPERSEDED
        assert b.state("b", item) is State.READY

    def test_a_product_moves(self, bench: MakeBench) -> None:
        """Found by hash elsewhere, or moved to another root: current again; only what is in use can move."""
        b = bench(CHAIN)
        item, number = made(b)
        b.catalog.write(lambda tx: tx.set_root("archive", "/archive"))
        mark(b, number, ProductState.MISSING)
        b.catalog.write(lambda tx: tx.move_product(number, "elsewhere/f"))
        with b.catalog.read() as view:
            product = view.product(number)
        assert (product.root, product.path, product.state) == ("store", "elsewhere/f", ProductState.CURRENT)
        b.drain()
        assert len(runs_of(b, item)) == 3
        b.catalog.write(lambda tx: tx.move_product(number, "f", root="archive"))
        with b.catalog.read() as view:
            assert view.product(number).root == "archive"
        mark(b, number, ProductState.SUPERSEDED)
        with pytest.raises(StateError, match="in use"):
            b.catalog.write(lambda tx: tx.move_product(number, "g"))

    # ---- raw files
    def test_a_raw_file_is_registered_once(self, bench: MakeBench) -> None:
        """Same part and hash: the same product, at its newest place."""
        b = bench(CHAIN)
        (item,) = b.add("i")
        first = b.add_raw(item, "x", path="one")
        assert b.add_raw(item, "x", path="two") == first
        other = b.add_raw(item, "y", part="2", path="three")
        assert other != first
        with b.catalog.read() as view:
            assert view.raw_files("store") == {"two": (4, 1), "three": (4, 1)}

    def test_a_raw_file_with_other_bytes_supersedes_and_revises(self, bench: MakeBench) -> None:
        """Work that read it runs again."""
        b = bench(CHAIN)
        item, _ = made(b, "x")
        number = b.products(item, "")[0].id
        fresh = b.add_raw(item, "y")
        assert fresh != number
        assert b.states(item) == {"a": "ready", "b": "waiting", "c": "waiting"}
        with b.catalog.read() as view:
            assert view.product(number).state is ProductState.SUPERSEDED

    # ---- sweeping
    def test_superseded_products_are_swept_when_nobody_can_read_them(self, bench: MakeBench) -> None:
        """Not while work that was claimed before runs; then trash, then deleted (R7)."""
        b = bench(CHAIN)
        item, number = made(b)
        (other,) = b.add("j")
        b.add_raw(other)
        reader = b.claim("a")
        b.revise("a", item, force=True)
        (claimed,) = b.claim("a")
        b.complete("a", [(claimed, b.report(claimed, content="new"))])
        with b.catalog.read() as view:
            assert view.sweepable(view.now() + 1) == []
            assert ("j", 1) in view.running_tokens()
        b.finish(reader, "a")
        with b.catalog.read() as view:
            assert view.sweepable(view.now() - 3600) == []
            assert [product.id for product in view.sweepable(view.now() + 1)] == [number]
            assert view.running_tokens() == set()
        mark(b, number, ProductState.TRASH)
        with b.catalog.read() as view:
            ((trashed, since),) = view.trash()
            assert trashed.id == number
            assert since <= view.now()
        mark(b, number, ProductState.DELETED)
        with b.catalog.read() as view:
            assert view.trash() == []

    def test_lists_are_paged_by_number(self, bench: MakeBench) -> None:
        """Products, items: after and limit, in order."""
        b = bench(CHAIN)
        items = b.add(*"ijklm")
        for item in items:
            b.add_raw(item)
        with b.catalog.read() as view:
            everything = view.products()
            assert [product.item for product in everything] == items
            assert view.products(after=everything[1].id, limit=2) == everything[2:4]
            assert view.products(list(reversed(items)), limit=2) == everything[:2]
            assert [item.key for item in view.items(after=items[0], limit=2)] == ["j", "k"]

    def test_a_bad_calibration_product_makes_who_takes_it_wait(self, bench: MakeBench) -> None:
        """As any input; and they go on when it is back."""
        kind = kind_plan(
            "item", {"a": (), "b": ("a",)}, inputs={"b": [product_of("a"), calibration(optional=True)]}
        )
        b = bench(kind)
        (item,) = b.add("i")
        b.end("a")
        number = b.products(item, "a")[0].id
        b.catalog.write(lambda tx: tx.certify(number, "bias", "", 0, 10))
        assert b.state("b", item) is State.READY  # it has no time: none is chosen
        mark(b, number, ProductState.CHANGED)
        assert b.state("b", item) is State.WAITING
        mark(b, number, ProductState.CURRENT)
        assert b.state("b", item) is State.READY
