"""The suite's tests of inputs: what a stage reads, what of it enters the key, calibrations, groups."""

import pytest

from towpath.base.errors import NotFoundError, StateError
from towpath.base.model import Flag, Item
from towpath.base.packed import PAGE
from towpath.base.provenance import key
from towpath.base.spacetime import Box, Span
from towpath.base.states import Outcome
from towpath.base.states import Product as ProductState
from towpath.base.states import Work as State
from towpath.contracts.definition import GATHER, GroupPlan, InputPlan
from towpath.testing.catalog.base import Base, MakeBench
from towpath.testing.plans import (
    PIPELINE,
    Bench,
    calibration,
    facts,
    kind_plan,
    measured,
    product_of,
    products_of_members,
)

READER = kind_plan(
    "item",
    {"a": (), "b": ("a",)},
    inputs={"b": [product_of("a"), facts("record"), facts("flags"), facts("verdicts")]},
)
CALIBRATED = kind_plan(
    "item", {"a": (), "b": ("a",)}, inputs={"b": [product_of("a"), calibration(selector="camera")]}
)
BORROWING = kind_plan("item", {"a": ()}, inputs={"a": [calibration(within=10)]})
BIAS = kind_plan("frame", {"make": ()})
MEMBER = kind_plan("item", {"a": (), "b": ("a",)})
GROUP = kind_plan(
    "group",
    {"sum": (), "out": ("sum",)},
    group=GroupPlan("item", "a", size=2),
    inputs={"sum": [products_of_members("a"), facts("record")]},
)
OVER_GROUPS = kind_plan(
    "super",
    {"all": ()},
    group=GroupPlan("group", "sum", size=2),
    inputs={"all": [products_of_members("sum")]},
)


def certified(
    b: Bench, name: str = "f", begin: float = 0, end: float = 10, *, selector: str = "red", quality: float = 0
) -> tuple[int, int]:
    """A product certified as a calibration: (product, calibration)."""
    (frame,) = b.add(name, kind="frame")
    b.end("make", kind="frame", content=name)
    product = b.products(frame)[0].id
    number = b.catalog.write(
        lambda tx: tx.certify(product, "bias", selector, begin, end, quality=quality, by="ann", why="good")
    )
    return product, number


class KeySuite(Base):
    """CATALOG.md, R8 to R10."""

    # ---- inputs
    def test_facts_enter_the_key(self, bench: MakeBench) -> None:
        """Attributes, time, place, flags, measures and verdicts: a change of each gives another key."""
        b = bench(READER)
        (item,) = b.add("i", n=1)
        verdict = {
            "result": "warn",
            "rules": [{"rule": "r", "measure": "m", "op": "<", "limit": 1, "value": 2, "result": "warn"}],
        }
        b.end("a", measures=measured(rms=1.5), verdict=verdict)
        keys = [b.key("b", item)]
        b.catalog.write(lambda tx: tx.update_item(item, attributes={"n": 2}))
        keys.append(b.key("b", item))
        b.catalog.write(lambda tx: tx.update_item(item, span=Span(1, 2)))
        keys.append(b.key("b", item))
        b.catalog.write(lambda tx: tx.update_item(item, footprint=Box(0, 0, 1, 1)))
        keys.append(b.key("b", item))
        b.catalog.write(lambda tx: tx.add_flag(Flag(item, {"feed": 3}, "bad", "noisy", "ann", 0.0)))
        keys.append(b.key("b", item))
        for more in (
            {"measures": measured(rms=1.6), "verdict": verdict},
            {"verdict": {**verdict, "result": "pass"}},
        ):
            b.revise("a", item, force=True)
            b.end("a", **more)
            keys.append(b.key("b", item))
        assert len(set(keys)) == len(keys)
        kind = b.kind()
        with b.catalog.read() as view:
            rows = {row.name: row for row in view.needs(kind, kind.stages["b"], [item])[item].inputs}
            assert rows["record"].value == {
                "key": "i", "kind": "item", "attributes": {"n": 2}, "time": [1.0, 2.0], "files": 0, "members": [],
                "footprint": [0.0, 0.0, 1.0, 1.0], "measures": {},
            }  # fmt: skip
            assert rows["flags"].value == [{"part": {"feed": 3}, "value": "bad", "comment": "noisy"}]
            assert rows["verdicts"].value == {"a": {"result": "pass", "rules": verdict["rules"]}}
            (flag,) = view.flags(item)
            assert (flag.author, flag.part) == ("ann", {"feed": 3})
            assert [one[1].result for one in view.verdicts(item)] == ["warn", "warn", "pass"]

    def test_what_reads_facts_is_revised_when_they_change(self, bench: MakeBench) -> None:
        """And nothing else; the same facts again change nothing."""
        b = bench(READER)
        (item,) = b.add("i", n=1)
        b.drain()
        b.catalog.write(lambda tx: tx.update_item(item, attributes={"n": 1}))
        assert b.states(item) == {"a": "done", "b": "done"}
        b.catalog.write(lambda tx: tx.update_item(item, attributes={"n": 2}))
        assert b.states(item) == {"a": "done", "b": "ready"}
        (claimed,) = b.claim("b")
        assert not claimed.unchanged
        b.catalog.write(lambda tx: tx.add_flag(Flag(item, {}, "bad", "", "ann", 0.0)))
        b.finish([claimed], "b")
        assert b.state("b", item) is State.READY

    def test_measures_of_earlier_stages_are_in_the_record(self, bench: MakeBench) -> None:
        """Those of the run that made what is current."""
        b = bench(READER)
        b.add("i")
        b.end("a", measures=measured(rms=1.5, n=3))
        (claimed,) = b.claim("b")
        record = next(row for row in claimed.inputs if row.name == "record")
        assert record.value["measures"] == {"a": {"rms": 1.5, "n": 3}}

    def test_the_nearest_producer_gives_an_input(self, bench: MakeBench) -> None:
        """An optional output falls back to the one before; none at all is said."""
        kind = kind_plan(
            "item",
            {"a": (), "b": ("a",), "c": ("b",)},
            settings={"b": {"optional_outputs": frozenset({"out"})}},
            inputs={"c": [InputPlan("in", "one", "t/a", (("b", "out"), ("a", "out")))]},
        )
        b = bench(kind)
        first, second = b.add("i", "j")
        b.end("a")
        one, two = b.claim("b")
        b.complete("b", [(one, b.report(one)), (two, b.report(two, content={}))])
        claims = {claimed.item: claimed for claimed in b.claim("c")}
        product = claims[first].inputs[0].product
        assert product is not None
        assert product.stage == "b"
        product = claims[second].inputs[0].product
        assert product is not None
        assert product.stage == "a"

    def test_what_cannot_begin_waits_with_the_reason(self, bench: MakeBench) -> None:
        """Ready → waiting at claim, nothing counted; looked at again when something comes, and only then."""
        kind = kind_plan("item", {"a": ()}, inputs={"a": [product_of("")]})
        b = bench(kind)
        (item,) = b.add("i")
        assert b.claim("a") == []
        row = b.row("a", item)
        assert (row.state, row.deaths, row.attempts, row.owner) == (State.WAITING, 0, 0, "")
        assert row.note == "input raw: no product of type 'raw/file' yet"
        assert b.catalog.write(lambda tx: tx.recompute(kind, [item])) == 0
        b.add_raw(item)
        row = b.row("a", item)
        assert (row.state, row.note) == (State.READY, "")
        assert len(b.claim("a")) == 1

    def test_one_takes_exactly_one_and_many_takes_all_in_order(self, bench: MakeBench) -> None:
        """Two raw files for `One` are a problem; `Many` has a least number and an order that enters the key."""
        one = InputPlan("raw", "one", "raw/file", (("", "file"),))
        many = InputPlan("all", "many", "raw/file", (("", "file"),), least=2)
        kind = kind_plan("item", {"a": (), "b": ()}, inputs={"a": [one], "b": [many]})
        b = bench(kind)
        (item,) = b.add("i")
        b.add_raw(item, "y", part="2")
        assert b.claim("b") == []
        assert b.row("b", item).note == "input all: 1 products of type 'raw/file'; at least 2 are needed"
        b.add_raw(item, "x", part="1")
        b.catalog.write(lambda tx: tx.recompute(kind, [item]))
        assert b.claim("a") == []
        assert "One takes exactly one" in b.row("a", item).note
        (claimed,) = b.claim("b")
        assert [row.product.part for row in claimed.inputs if row.product] == ["1", "2"]

    def test_components_of_a_run_are_stored(self, bench: MakeBench) -> None:
        """Stage, version, parameters, environment and each input by name; and the inputs themselves."""
        b = bench(
            kind_plan("item", {"a": (), "b": ("a",)}, settings={"b": {"version": "3", "params": {"cell": 2}}})
        )
        (item,) = b.add("i")
        b.drain()
        row, product = b.row("b", item), b.products(item, "a")[0]
        with b.catalog.read() as view:
            assert view.components(row.id, 1) == {
                "stage": "b", "version": "3", "params": {"cell": 2}, "environment": "",
                "inputs": {"a": product.sha256.hex()},
            }  # fmt: skip
            (given,) = view.inputs(row.id, 1)
            assert (given.name, given.product, given.item) == ("a", product, "i")
            assert view.components(row.id, 9) == {}
            assert view.item_keys([item, item]) == {item: "i"}

    def test_runs_tell_the_software_of_their_process(self, bench: MakeBench) -> None:
        """Of each run what it told; what is adopted keeps that of the run that made it; nothing where nothing was told."""
        b = bench(kind_plan("item", {"a": (), "b": ("a",)}))
        items = b.add("i", "j", "k")
        first, second, third = b.claim("a")
        b.finish([first, second], "a", software='{"numpy":"2.2.0"}')
        b.finish([third], "a", software='{"numpy":"2.3.0","python":"3.11"}')
        b.end("b")
        with b.catalog.read() as view:
            told = [view.software(b.row("a", item).id, 1) for item in items]
            assert told == [{"numpy": "2.2.0"}] * 2 + [{"numpy": "2.3.0", "python": "3.11"}]
            assert view.software(b.row("b", items[0]).id, 1) == {}
            assert view.software(b.row("a", items[0]).id, 9) == {}

    # ---- calibrations
    def test_work_waits_for_a_calibration(self, bench: MakeBench) -> None:
        """Of its kind, selector and time; certified, it is ready, and the choice is recorded."""
        b = bench(CALIBRATED, BIAS)
        (item,) = b.add("i", span=Span(4, 6), camera="red")
        b.end("a")
        assert b.state("b", item) is State.WAITING
        assert "no certified calibration 'bias'" in b.row("b", item).note
        certified(b, "blue", selector="blue")
        certified(b, "late", 20, 30)
        assert b.state("b", item) is State.WAITING
        product, number = certified(b)
        assert b.state("b", item) is State.READY
        (claimed,) = b.claim("b")
        given = next(row for row in claimed.inputs if row.name == "bias")
        assert given.product is not None
        assert (given.product.id, given.item) == (product, "f")
        assert given.value == {
            "calibration": number, "kind": "bias", "selector": "red", "begin": 0.0, "end": 10.0, "quality": 0.0,
            "is_valid": True, "age": 0.0,
        }  # fmt: skip
        b.finish([claimed], "b")
        with b.catalog.read() as view:
            assert view.used_by(product) == [(claimed.work, 1)]
            assert [one.id for one in view.calibrations("bias", at=5.0, selector="red")] == [number]
            assert len(view.calibrations()) == 3
            (read,) = [row for row in view.inputs(claimed.work, 1) if row.name == "bias"]
            assert read.value == given.value
            assert view.components(claimed.work, 1)["inputs"]["bias.told"] == given.value
            assert view.component_inputs(claimed.inputs) == view.components(claimed.work, 1)["inputs"]
            assert view.calibration_uses([product]) == {number: 1}

    def test_first_stages_wait_for_a_calibration_too(self, bench: MakeBench) -> None:
        """From registration on; an item without a time says so."""
        b = bench(kind_plan("item", {"a": ()}, inputs={"a": [calibration()]}), BIAS)
        timeless, early = b.add("i")[0], b.add("j", span=Span(1, 1))[0]
        assert b.states(early) == {"a": "waiting"}
        certified(b, selector="")
        assert b.states(early) == {"a": "ready"}
        assert b.states(timeless) == {"a": "waiting"}
        assert "the item has no time.mid" in b.row("a", timeless).note
        assert b.states(b.add("k", span=Span(2, 2))[0]) == {"a": "ready"}
        b.catalog.write(lambda tx: tx.update_item(timeless, span=Span(3, 3)))
        assert b.states(timeless) == {"a": "ready"}

    def test_the_best_calibration_is_chosen(self, bench: MakeBench) -> None:
        """By quality, then the latest; where any selector will do."""
        b = bench(kind_plan("item", {"a": ()}, inputs={"a": [calibration()]}), BIAS)
        certified(b, "f1", selector="s1", quality=1)
        product, _ = certified(b, "f2", selector="s2", quality=2)
        certified(b, "f3", selector="s3", quality=1)
        b.add("i", span=Span(1, 1))
        (claimed,) = b.claim("a")
        assert claimed.inputs[0].product is not None
        assert claimed.inputs[0].product.id == product

    def test_calibrations_in_force_do_not_overlap(self, bench: MakeBench) -> None:
        """[begin, end): touching is no overlap; the same again is the same; a withdrawn one leaves room (R10)."""
        b = bench(CALIBRATED, BIAS)
        product, number = certified(b)
        certified(b, "next", 10, 20)
        with pytest.raises(StateError, match="overlaps number"):
            certified(b, "other", 9, 11)
        with pytest.raises(StateError, match="not before end"):
            certified(b, "empty", 50, 50)
        again = b.catalog.write(lambda tx: tx.certify(product, "bias", "red", 0, 10))
        assert again == number
        b.catalog.write(lambda tx: tx.decertify(number, "ann", "bad"))
        b.catalog.write(lambda tx: tx.decertify(number, "ann", "bad"))
        assert b.catalog.write(lambda tx: tx.certify(product, "bias", "red", 0, 10)) != number
        with pytest.raises(NotFoundError):
            b.catalog.write(lambda tx: tx.decertify(99, "ann", "bad"))

    def test_a_calibration_that_was_made_again_is_superseded(self, bench: MakeBench) -> None:
        """Its product is no longer in use: another may be certified over its time; finished work is kept."""
        b = bench(CALIBRATED, BIAS)
        (item,) = b.add("i", span=Span(4, 6), camera="red")
        product, number = certified(b)
        b.drain()
        with b.catalog.read() as view:
            frame = view.product(product).item
        b.revise("make", frame, force=True)
        b.end("make", kind="frame", content="better")
        fresh = b.products(frame)[0].id
        with pytest.raises(StateError, match="only a current product"):
            b.catalog.write(lambda tx: tx.certify(product, "bias", "red", 20, 30))
        assert b.catalog.write(lambda tx: tx.certify(fresh, "bias", "red", 0, 20)) != number
        assert b.state("b", item) is State.DONE
        with b.catalog.read() as view:
            assert [one.product.id for one in view.calibrations("bias")] == [fresh]

    def test_work_that_used_a_withdrawn_calibration_is_revised(self, bench: MakeBench) -> None:
        """Finished, running and ready: none may end with it (R10)."""
        b = bench(CALIBRATED, BIAS)
        done, running, ready = (b.add(key, span=Span(4, 6), camera="red")[0] for key in "ijk")
        _, number = certified(b)
        b.end("a")
        claims = b.claim("b", 2)
        b.finish(claims[:1], "b")
        b.catalog.write(lambda tx: tx.decertify(number, "ann", "saturated"))
        states_now = [b.state("b", item) for item in (done, running, ready)]
        assert states_now == [State.WAITING, State.RUNNING, State.WAITING]
        b.finish(claims[1:], "b")
        assert b.state("b", running) is State.WAITING
        certified(b, "better")
        assert [b.state("b", item) for item in (done, running, ready)] == [State.READY] * 3
        assert not any(claimed.unchanged for claimed in b.claim("b"))

    def test_an_item_that_is_gathered_is_renamed(self, bench: MakeBench) -> None:
        """Its key, facts and time change, its id and work do not; another's key is refused."""
        b = bench(kind_plan("item", {"a": ()}, inputs={"a": [facts("record")]}, gathered=True))
        item, other = b.add("i", n=1)[0], b.add("j")[0]
        before = b.row("a", item), b.row(GATHER, item)
        fresh = Item(PIPELINE, "item", "k", {"n": 2}, Span(3, 4), Box(0, 1, 2, 3))
        assert b.catalog.write(lambda tx: tx.rename(item, fresh))
        assert not b.catalog.write(lambda tx: tx.rename(other, fresh))
        assert (b.row("a", item), b.row(GATHER, item)) == before
        with b.catalog.read() as view:
            found = view.item(item)
            assert (found.key, found.attributes, found.span, found.footprint) == (
                fresh.key, fresh.attributes, fresh.span, fresh.footprint,
            )  # fmt: skip
            assert view.find(PIPELINE, "item", "i") is None
            assert view.item(other).key == "j"
            assert [one.id for one in view.items(box=Box(1, 2, 1, 2), limit=9)] == [item]

    # ---- borrowed calibrations
    def test_the_nearest_calibration_in_reach_is_borrowed(self, bench: MakeBench) -> None:
        """The nearest by time, then the best; a valid one goes before all; beyond the reach there is none."""
        b = bench(BORROWING, BIAS)
        items = {at: b.add(f"i{at}", span=Span(at, at))[0] for at in (5, 14, 30, 36, 41)}
        given = {
            name: certified(b, name, begin, end, selector=name, quality=quality)[1]
            for name, begin, end, quality in (
                ("early", 0, 10, 0),
                ("late", 50, 60, 0),
                ("good", 20, 24, 2),
                ("fair", 20, 24, 1),
            )
        }
        b.spread()
        assert b.state("a", items[36]) is State.WAITING
        assert "or within 10 s of it" in b.row("a", items[36]).note
        taken = {claimed.item: claimed for claimed in b.claim("a")}
        told = {at: taken[item].inputs[0].value for at, item in items.items() if item in taken}
        assert {at: (one["calibration"], one["is_valid"], one["age"]) for at, one in told.items()} == {
            5: (given["early"], True, 0.0),
            14: (given["early"], False, 4.0),
            30: (given["good"], False, 6.0),
            41: (given["late"], False, 9.0),
        }
        b.finish(taken.values(), "a")
        certified(b, "there", 35, 37, selector="there")
        b.spread()
        (claimed,) = b.claim("a")
        assert (claimed.item, claimed.inputs[0].value["is_valid"]) == (items[36], True)

    def test_equally_near_calibrations_are_told_apart_by_quality_then_the_latest(
        self, bench: MakeBench
    ) -> None:
        """[begin, end): the very end of a validity is 0 s away from it, and not valid."""
        b = bench(BORROWING, BIAS)
        certified(b, "before", 0, 10, selector="s1", quality=1)
        _, after = certified(b, "after", 14, 20, selector="s2", quality=1)
        _, poor = certified(b, "poor", 30, 40, quality=0)
        b.add("middle", span=Span(12, 12))
        b.add("end", span=Span(40, 40))
        told = [claimed.inputs[0].value for claimed in b.claim("a")]
        assert [(one["calibration"], one["is_valid"], one["age"]) for one in told] == [
            (after, False, 2.0),
            (poor, False, 0.0),
        ]

    def test_what_is_told_of_a_calibration_enters_the_key(self, bench: MakeBench) -> None:
        """The same bytes with another validity or age are another key; looked at again, it is the same."""
        b = bench(BORROWING, BIAS)
        product, number = certified(b, selector="", end=10)
        item, later = b.add("i", span=Span(12, 12))[0], b.add("j", span=Span(13, 13))[0]
        first = b.key("a", item)
        assert first == b.key("a", item) != b.key("a", later)
        b.end("a")
        b.revise("a", item)
        assert [claimed.unchanged for claimed in b.claim("a")] == [True]
        b.catalog.write(lambda tx: tx.decertify(number, "ann", "too short"))
        b.catalog.write(lambda tx: tx.certify(product, "bias", "", 0, 20))
        assert b.key("a", item) != first

    def test_a_withdrawn_calibration_is_taken_back_from_those_who_borrowed_it(self, bench: MakeBench) -> None:
        """As from those at whose time it was valid; the stage that certified it does not run again for that."""
        b = bench(BORROWING, BIAS)
        (item,) = b.add("i", span=Span(15, 15))
        _, number = certified(b, selector="")
        b.drain()
        with b.catalog.read() as view:
            assert view.calibration_uses([view.calibrations()[0].product.id]) == {number: 1}
        b.catalog.write(lambda tx: tx.decertify(number, "ann", "bad"))
        assert b.state("a", item) is State.WAITING
        with b.catalog.read() as view:
            (row,) = view.calibrations(states=("decertified",))
            assert (row.id, view.calibrations()) == (number, [])

    def test_a_bad_product_of_the_nearest_one_is_waited_for(self, bench: MakeBench) -> None:
        """It is not passed over for one that is farther: that would be told to nobody."""
        b = bench(BORROWING, BIAS)
        product, number = certified(b, selector="")
        certified(b, "far", 21, 30, selector="")
        (item,) = b.add("i", span=Span(15, 15))
        b.catalog.write(lambda tx: tx.mark([product], ProductState.MISSING))
        assert b.state("a", item) is State.WAITING
        assert b.row("a", item).note.startswith(f"input bias: calibration {number}: store:")
        b.catalog.write(lambda tx: tx.mark([product], ProductState.CURRENT))
        assert b.state("a", item) is State.READY

    def test_an_item_is_not_given_what_it_certifies_itself(self, bench: MakeBench) -> None:
        """So that "only where there is none" does not find its own result; others are given it, and other stages."""
        kind = kind_plan(
            "item",
            {"solve": (), "apply": ("solve",)},
            inputs={"solve": [calibration(optional=True, apart="solve")], "apply": [calibration()]},
        )
        b = bench(kind, BIAS)
        item, other = b.add("i", span=Span(5, 5))[0], b.add("j", span=Span(6, 6))[0]
        (own, theirs) = b.claim("solve")
        assert own.inputs == theirs.inputs == ()
        b.finish([own], "solve")
        product = b.products(item)[0].id
        before = b.row("solve", item)
        number = b.catalog.write(lambda tx: tx.certify(product, "bias", "", 0, 10))
        assert b.row("solve", item) == before
        assert b.key("solve", item) == own.key != b.key("solve", other)
        (applied,) = b.claim("apply")
        assert (applied.item, applied.inputs[0].value["calibration"]) == (item, number)
        b.finish([applied], "apply")
        b.revise("solve", item)
        (again,) = b.claim("solve")
        assert (again.item, again.unchanged, again.inputs) == (item, True, ())
        b.catalog.write(lambda tx: tx.decertify(number, "ann", "bad"))
        b.finish([again], "solve")
        assert (b.state("solve", item), b.state("apply", item)) == (State.DONE, State.WAITING)
        b.finish([theirs], "solve")
        assert b.state("solve", other) is State.READY  # it may have chosen it while it ran

    def test_a_calibration_may_take_the_place_of_others(self, bench: MakeBench) -> None:
        """Those that it replaces are superseded; what used them is kept."""
        b = bench(CALIBRATED, BIAS)
        (item,) = b.add("i", span=Span(4, 6), camera="red")
        _, first = certified(b)
        b.drain()
        (frame,) = b.add("g", kind="frame")
        b.end("make", kind="frame", content="g")
        product = b.products(frame)[0].id
        with pytest.raises(StateError, match="overlaps"):
            b.catalog.write(lambda tx: tx.certify(product, "bias", "red", 5, 20))
        number = b.catalog.write(lambda tx: tx.certify(product, "bias", "red", 5, 20, replaces=[first]))
        assert b.state("b", item) is State.DONE
        with b.catalog.read() as view:
            assert [row.id for row in view.calibrations("bias")] == [number]
            assert [row.id for row in view.calibrations("bias", states=("superseded",))] == [first]
        b.catalog.write(lambda tx: tx.decertify(number, "towpath", "made again", superseded=True))
        b.catalog.write(lambda tx: tx.decertify(first, "ann", "bad after all"))
        assert b.state("b", item) is State.WAITING

    # ---- groups
    def test_a_group_waits_until_it_is_complete(self, bench: MakeBench) -> None:
        """GATHER first: complete, its first stages are ready if its members have passed."""
        b = bench(MEMBER, GROUP)
        items = b.add("i", "j")
        b.end("a")
        group = b.add_group("g", items, close=False)
        assert b.states(group) == {GATHER: "waiting", "sum": "waiting", "out": "waiting"}
        b.catalog.write(lambda tx: tx.set_due(b.row(GATHER, group).id, 1.0))
        (claimed,) = b.catalog.write(
            lambda tx: tx.claim_other((PIPELINE, "group", GATHER), 5, lease=60, owner=b.owner)
        )
        assert (claimed.item, claimed.item_key) == (group, "g")
        b.catalog.write(lambda tx: tx.gathered(GROUP, group))
        b.catalog.write(lambda tx: tx.gathered(GROUP, group))
        assert not b.catalog.write(lambda tx: tx.finish(claimed))
        assert b.states(group) == {GATHER: "done", "sum": "ready", "out": "waiting"}
        (claimed,) = b.claim("sum", kind="group")
        assert [(row.name, row.item) for row in claimed.inputs] == [
            ("members", "i"),
            ("members", "j"),
            ("record", ""),
        ]
        assert claimed.inputs[2].value["members"] == ["i", "j"]
        with b.catalog.read() as view:
            assert [item.id for item in view.members(group)] == items
            assert view.groups_of(items) == [group]

    def test_a_group_of_very_many_reads_all_in_order(self, bench: MakeBench) -> None:
        """Their inputs are kept packed; what is read, recorded and given as the key is what it would be otherwise."""
        b = bench(MEMBER, GROUP)
        items = b.add(*[f"i{number:04}" for number in range(PAGE + 5)])[::-1]
        b.finish(b.claim("a", 2 * PAGE), "a")
        group = b.add_group("g", items)
        (claimed,) = b.claim("sum", kind="group")
        with b.catalog.read() as view:
            assert [one.item for one in view.outlines(group)] == items
            products = {one.item: one for one in view.products(items)}
        given = [(row.name, row.product) for row in claimed.inputs if row.product]
        assert given == [("members", products[item]) for item in items]
        pairs = [
            (f"members[{number}:{row.item}/]", row.sha256)
            for number, row in enumerate(claimed.inputs)
            if row.product
        ]
        record = claimed.inputs[-1]
        assert claimed.key == key(GROUP.stages["sum"].fixed, [*pairs, ("record", record.sha256)])
        b.finish([claimed], "sum", kind="group")
        with b.catalog.read() as view:
            read = [row.product.id for row in view.inputs(claimed.work, 1) if row.product]
            assert read == [products[item].id for item in items]
        b.revise("sum", group)
        assert b.end("sum", kind="group").ended == {Outcome.UNCHANGED: 1}

    def test_a_group_waits_for_its_members(self, bench: MakeBench) -> None:
        """All must have passed the stage; the last one wakes it; a new one that has not makes it wait."""
        b = bench(MEMBER, GROUP)
        items = b.add("i", "j", "k")
        group = b.add_group("g", items[:2])
        first, second, third = b.claim("a")
        b.finish([first], "a")
        assert b.state("sum", group) is State.WAITING
        b.finish([second], "a")
        assert b.state("sum", group) is State.READY
        b.catalog.write(lambda tx: tx.add_members(group, items))
        assert b.state("sum", group) is State.WAITING
        b.finish([third], "a")
        assert b.state("sum", group) is State.READY

    def test_the_order_of_members_enters_the_key(self, bench: MakeBench) -> None:
        """A stage gets them in order, so it may depend on it."""
        b = bench(MEMBER, GROUP)
        items = b.add("i", "j")
        group = b.add_group("g", items)
        b.end("a", content="the same")
        before = b.key("sum", group, kind="group")
        b.catalog.write(lambda tx: tx.order_members(group, [items[1], items[0]]))
        assert b.key("sum", group, kind="group") != before
        with b.catalog.read() as view:
            assert [item.id for item in view.members(group)] == [items[1], items[0]]

    def test_outlines_say_of_members_what_items_do(self, bench: MakeBench) -> None:
        """In the same order, with or without time, place and attributes."""
        b = bench(MEMBER, GROUP)
        (bare,), (timed,) = b.add("i"), b.add("j", span=Span(1, 3), name='a "b", c')
        (placed,) = b.catalog.write(
            lambda tx: tx.add_items(
                MEMBER, [Item(PIPELINE, "item", "k", {"n": 1}, None, Box(170, -1, -170, 1))]
            )
        )
        group = b.add_group("g", [placed, bare, timed])
        with b.catalog.read() as view:
            told, members = list(view.outlines(group)), view.members(group)
        assert [one.item for one in told] == [placed, bare, timed]
        for one, item in zip(told, members, strict=True):
            assert (one.item, one.key, one.registered) == (item.id, item.key, item.registered)
            assert one.attributes == item.attributes
            assert (
                Span(one.begin, one.end) if one.begin is not None and one.end is not None else None
            ) == item.span
            assert (Box(*one.box) if one.box else None) == item.footprint

    def test_groups_of_groups_wait_and_wake(self, bench: MakeBench) -> None:
        """What leaves done makes all after it wait, through groups of groups; an equal result ends it there."""
        b = bench(MEMBER, GROUP, OVER_GROUPS)
        items = b.add("i", "j", "k", "l")
        groups = [b.add_group("g", items[:2]), b.add_group("h", items[2:])]
        top = b.add_group("s", groups, kind="super")
        b.drain()
        assert b.states(top) == {GATHER: "done", "all": "done"}
        assert b.revise("a", items[0], force=True) == 5  # a, b of the item; sum, out of its group; all
        assert b.states(groups[0]) == {GATHER: "done", "sum": "waiting", "out": "waiting"}
        assert set(b.states(groups[1]).values()) == {"done"}
        assert b.state("all", top) is State.WAITING
        b.end("a")
        (claimed,) = b.claim("sum", kind="group")
        assert claimed.unchanged
        b.finish([claimed], "sum", kind="group")
        (claimed,) = b.claim("all", kind="super")
        assert claimed.unchanged
        b.revise("b", items[0])
        assert b.state("all", top) is State.RUNNING

    def test_a_missing_member_product_is_made_again(self, bench: MakeBench) -> None:
        """And the group waits for it."""
        b = bench(MEMBER, GROUP)
        items = b.add("i", "j")
        group = b.add_group("g", items)
        b.drain()
        b.catalog.write(lambda tx: tx.mark([b.products(items[0], "a")[0].id], ProductState.MISSING))
        assert (b.state("a", items[0]), b.state("sum", group)) == (State.READY, State.WAITING)
        b.catalog.write(lambda tx: tx.mark([b.products(items[1], "a")[0].id], ProductState.CHANGED))
        (claimed,) = b.claim("a")
        b.complete("a", [(claimed, b.report(claimed))])
        assert b.state("sum", group) is State.WAITING
        b.drain()
        assert b.state("sum", group) is State.WAITING

    @pytest.mark.parametrize("state", [State.HELD, State.FAILED, State.STOPPED, State.POISONED])
    def test_a_group_in_trouble_can_be_completed_by_hand(self, bench: MakeBench, state: State) -> None:
        """Whatever became of its time-out."""
        b = bench(MEMBER, GROUP)
        group = b.add_group("g", [], close=False)
        work = b.row(GATHER, group).id
        b.catalog.write(lambda tx: tx.set_due(work, 1.0))
        queue = (PIPELINE, "group", GATHER)

        def claim(lease: float = 60.0):  # type: ignore[no-untyped-def]
            return b.catalog.write(lambda tx: tx.claim_other(queue, 1, lease=lease, owner=b.owner))

        if state is State.HELD:
            b.catalog.write(lambda tx: tx.hold([work], "look"))
        elif state is State.FAILED:
            (claimed,) = claim()
            b.catalog.write(lambda tx: tx.finish(claimed, error="no"))
        elif state is State.STOPPED:
            b.catalog.write(lambda tx: tx.stop([work]))
        else:
            for _ in range(5):
                claim(-1.0)
        assert b.state(GATHER, group) is state
        b.catalog.write(lambda tx: tx.gathered(GROUP, group))
        assert b.states(group)[GATHER] == "done"
        assert b.state("sum", group) is State.READY

    def test_a_group_can_be_held_rejected_and_accepted_by_its_rule(self, bench: MakeBench) -> None:
        """GATHER ends with a report as a stage does; accepted, it is processed as it is."""
        b = bench(MEMBER, GROUP)
        groups = [b.add_group(key, [], close=False) for key in "gh"]
        for group in groups:
            _due(b, group)
        claims = b.catalog.write(
            lambda tx: tx.claim_other((PIPELINE, "group", GATHER), 5, lease=60, owner=b.owner)
        )
        ends = zip(claims, (Outcome.HELD, Outcome.REJECTED), strict=True)
        pairs = [(claimed, b.report(claimed, outcome, {}, reasons=("too few",))) for claimed, outcome in ends]
        b.catalog.write(lambda tx: tx.complete(GROUP, GROUP.gather, pairs))
        assert [b.state(GATHER, group) for group in groups] == [State.HELD, State.REJECTED]
        works = [b.row(GATHER, group).id for group in groups]
        assert b.catalog.write(lambda tx: tx.release(works, "ann", accept=True)) == 1
        assert [b.state("sum", group) for group in groups] == [State.READY, State.WAITING]

    def test_a_late_member_revises(self, bench: MakeBench) -> None:
        """The group's key differs with it."""
        b = bench(MEMBER, GROUP)
        items = b.add("i", "j", "k")
        group = b.add_group("g", items[:2])
        b.drain()
        b.catalog.write(lambda tx: tx.add_members(group, items[2:]))
        assert b.state("sum", group) is State.DONE
        b.revise("sum", group)
        (claimed,) = b.claim("sum", kind="group")
        assert not claimed.unchanged

    def test_items_are_found(self, bench: MakeBench) -> None:
        """By kind, key, text, state and stage."""
        b = bench(MEMBER, GROUP)
        first, second = b.add("a_1", "a%2", span=Span(1, 2), n=1)
        group = b.add_group("g", [])
        b.end("a")
        b.revise("a", second)
        with b.catalog.read() as view:
            found = view.find(PIPELINE, "item", "a_1")
            assert found == view.item(first)
            assert (found.attributes, found.span, found.name) == ({"n": 1}, Span(1, 2), "t/item/a_1")
            assert view.find(PIPELINE, "item", "z") is None
            with pytest.raises(NotFoundError):
                view.item(999)

            def numbers(**filters: object) -> list[int]:
                return [item.id for item in view.items(**filters)]  # type: ignore[arg-type]

            assert numbers(kind="group") == [group]
            assert numbers(pipeline="other") == []
            assert numbers(keys=["a%2", "z"]) == [second]
            assert numbers(text="a_") == [first]
            assert numbers(text="%") == [second]
            assert numbers(stage="a", state=State.DONE) == [first]
            assert numbers(state=State.WAITING) == [second, group]
            assert numbers(stage="b") == [first, second]
            assert isinstance(view.items()[0], Item)


def _due(b: Bench, group: int) -> None:
    b.catalog.write(lambda tx: tx.set_due(b.row(GATHER, group).id, 1.0))
