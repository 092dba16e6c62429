"""The suite's tests of what people do: hold, release, stop, retry, retire, apply, adopt."""

import pytest

from towpath.base.errors import StateError
from towpath.base.states import Outcome
from towpath.base.states import Product as ProductState
from towpath.base.states import Work as State
from towpath.contracts.definition import GATHER, GroupPlan, KindPlan
from towpath.testing.catalog.base import Base, MakeBench, outcomes, runs_of
from towpath.testing.plans import OVER, PIPELINE, Bench, facts, kind_plan, measured, product_of

CHAIN = kind_plan("item", {"a": (), "b": ("a",), "c": ("b",)}, inputs={"a": [product_of("")]})


def put(b: Bench, state: State) -> int:
    """An item whose stage `b` is in this state."""
    (item,) = b.add("i")
    b.add_raw(item)
    if state is State.WAITING:
        return item
    b.end("a")
    work = b.row("b", item).id
    match state:
        case State.RUNNING:
            b.claim("b")
        case State.DONE | State.REJECTED | State.FAILED:
            b.end("b", Outcome(state.value))
        case State.POISONED:
            for _ in range(5):
                b.claim("b", lease=OVER)
        case State.STOPPED:
            b.catalog.write(lambda tx: tx.stop([work]))
        case State.HELD:
            b.catalog.write(lambda tx: tx.hold([work], "look"))
        case State.RETIRED:
            b.catalog.write(lambda tx: tx.retire([work], "gone"))
    assert b.state("b", item) is state
    return item


class PeopleSuite(Base):
    """CATALOG.md, work: what a person may do in each state, and R11."""

    @pytest.mark.parametrize("state", list(State))
    def test_hold_and_release(self, bench: MakeBench, state: State) -> None:
        """Not running → held; held → waiting, and on from there."""
        b = bench(CHAIN)
        item = put(b, state)
        work = b.row("b", item).id
        can = state not in (State.RUNNING, State.HELD, State.RETIRED)
        assert b.catalog.write(lambda tx: tx.hold([work], "doubt", "ann")) == can
        row = b.row("b", item)
        assert row.state is (State.HELD if can else state)
        if not can:
            return
        assert row.note == "doubt"
        assert b.catalog.write(lambda tx: tx.release([work], "ann")) == 1
        if state is State.WAITING:
            assert b.state("b", item) is State.WAITING
        elif state is State.POISONED:
            assert b.claim("b") == []
            assert b.state("b", item) is State.POISONED
        else:
            assert b.state("b", item) is State.READY
        with b.catalog.read() as view:
            assert ("held", "ann") in [
                (event.type, event.data.get("who")) for event in view.events(item=item)
            ]

    def test_what_follows_held_work_waits(self, bench: MakeBench) -> None:
        """Held after it was done: it left done. Released, nothing runs again."""
        b = bench(CHAIN)
        item = put(b, State.DONE)
        (claimed,) = b.claim("c")
        work = b.row("b", item).id
        b.catalog.write(lambda tx: tx.hold([work], "doubt"))
        b.finish([claimed], "c")
        assert b.states(item) == {"a": "done", "b": "held", "c": "waiting"}
        b.catalog.write(lambda tx: tx.release([work]))
        b.drain()
        assert set(b.states(item).values()) == {"done"}
        assert len(runs_of(b, item)) == 3

    @pytest.mark.parametrize("state", list(State))
    def test_stop(self, bench: MakeBench, state: State) -> None:
        """Waiting, ready, running → stopped: token + 1 first."""
        b = bench(CHAIN)
        item = put(b, state)
        row = b.row("b", item)
        runs = b.catalog.write(lambda tx: tx.stop([row.id], "ann", "enough"))
        after = b.row("b", item)
        if state in (State.WAITING, State.READY, State.RUNNING):
            assert (after.state, after.token, after.note) == (State.STOPPED, row.token + 1, "enough")
        else:
            assert (after.state, after.token) == (row.state, row.token)
        assert runs == ([(row.id, row.token)] if state is State.RUNNING else [])

    def test_a_stopped_run_is_an_outcome_of_its_own(self, bench: MakeBench) -> None:
        """Its row is written when it is stopped; its report, when it comes, fills it and commits nothing."""
        b = bench(CHAIN)
        (item,) = b.add("i")
        b.add_raw(item)
        (claimed,) = b.claim("a")
        b.catalog.write(lambda tx: tx.stop([claimed.work], "ann", "enough"))
        (run,) = runs_of(b, item)
        assert (run.outcome, run.reasons, run.key) == (Outcome.STOPPED, ("ann: enough",), None)
        b.catalog.write(lambda tx: tx.retry([claimed.work]))
        (again,) = b.claim("a")
        assert again.token == 3
        late = b.complete("a", [(claimed, b.report(claimed, Outcome.STOPPED, worker="w", log=("f", 0, 9)))])
        assert late.dropped == (claimed.work,)
        (run,) = runs_of(b, item)
        assert (run.outcome, run.worker, run.log, run.key) == (Outcome.STOPPED, "w", "f:0:9", claimed.key)
        b.finish([again], "a")
        assert outcomes(b, item, "a") == ["stopped", "done"]

    @pytest.mark.parametrize("state", list(State))
    def test_retry(self, bench: MakeBench, state: State) -> None:
        """Failed, poisoned, stopped → waiting by a person: deaths and attempts at 0."""
        b = bench(CHAIN)
        item = put(b, state)
        work = b.row("b", item).id
        can = state in (State.FAILED, State.POISONED, State.STOPPED)
        assert b.catalog.write(lambda tx: tx.retry([work], "ann")) == can
        row = b.row("b", item)
        if can:
            assert (row.state, row.deaths, row.attempts, row.note) == (State.READY, 0, 0, "")
            assert len(b.claim("b")) == 1
        else:
            assert row.state is state

    @pytest.mark.parametrize("state", list(State))
    def test_revise(self, bench: MakeBench, state: State) -> None:
        """Revision + 1 in every state; done, rejected, failed and ready wait."""
        b = bench(CHAIN)
        item = put(b, state)
        before = b.row("b", item)
        b.revise("b", item)
        row = b.row("b", item)
        assert (row.revision, row.token) == (before.revision + 1, before.token)
        goes_on = state in (State.DONE, State.REJECTED, State.FAILED)
        assert row.state is (State.READY if goes_on else state)

    @pytest.mark.parametrize("state", list(State))
    def test_retire_and_route_again(self, bench: MakeBench, state: State) -> None:
        """Not running → retired: the products stay; in the route again it waits."""
        b = bench(CHAIN)
        item = put(b, state)
        work = b.row("b", item).id
        can = state not in (State.RUNNING, State.RETIRED)
        assert b.catalog.write(lambda tx: tx.retire([work], "left the route")) == can
        if state is State.RUNNING:
            return
        assert b.state("b", item) is State.RETIRED
        with b.catalog.read() as view:
            assert view.unrouted(b.kind()) == ([item], [])
        assert b.catalog.write(lambda tx: tx.add_route(b.kind(), [item])) == 1
        assert b.state("b", item) in (State.WAITING, State.READY)

    # ---- another route
    def test_a_stage_that_is_new_in_the_route(self, bench: MakeBench) -> None:
        """Found, added, done; what comes after it waits for it; what left the route is retired."""
        b = bench(CHAIN)
        item = put(b, State.DONE)
        b.drain()
        inputs = {"a": [product_of("")], "c": [product_of("n")]}
        b.load(kind_plan("item", {"a": (), "n": ("a",), "c": ("n",)}, inputs=inputs))
        with b.catalog.read() as view:
            lacking, gone = view.unrouted(b.kind())
            assert (lacking, gone) == ([item], [b.row("b", item).id])
            assert [(number, active) for number, _, _, active in view.definitions(PIPELINE)] == [
                (1, False),
                (2, True),
            ]
            assert view.definition(PIPELINE) == (2, b.definition.digest)
        b.catalog.write(lambda tx: tx.retire(gone, "left the route"))
        assert b.catalog.write(lambda tx: tx.add_route(b.kind(), lacking)) == 1
        assert b.states(item) == {"a": "done", "n": "ready", "c": "waiting", "b": "retired"}
        b.drain()
        assert b.states(item) == {"a": "done", "n": "done", "c": "done", "b": "retired"}
        assert len(b.products(item, "b")) == 1
        with b.catalog.read() as view:
            assert view.unrouted(b.kind()) == ([], [])
        assert b.catalog.write(lambda tx: tx.add_route(b.kind(), [])) == 0

    def test_items_that_were_complete_before_their_kind_was_gathered(self, bench: MakeBench) -> None:
        """They stay complete."""
        b = bench(kind_plan("item", {"a": ()}))
        (item,) = b.add("i")
        b.drain()
        b.load(kind_plan("item", {"a": ()}, gathered=True))
        with b.catalog.read() as view:
            assert view.unrouted(b.kind()) == ([item], [])
        b.catalog.write(lambda tx: tx.add_route(b.kind(), [item]))
        assert b.states(item) == {"a": "done", GATHER: "done"}

    # ---- stale work
    def stale(self, bench: MakeBench) -> tuple[Bench, int]:
        """An item whose stage `b` was done under version 1, with version 2 loaded."""
        b = bench(CHAIN)
        (item,) = b.add("i")
        b.add_raw(item)
        for stage in "abc":
            b.end(stage, measures=measured(n=1), software='{"numpy":"2.3.0"}')
        b.load(self.second())
        return b, item

    @staticmethod
    def second() -> KindPlan:
        """The route with another version of its second stage, and a third that reads the record."""
        return kind_plan(
            "item",
            {"a": (), "b": ("a",), "c": ("b",)},
            inputs={"a": [product_of("")]},
            settings={"b": {"version": "2"}},
        )

    def test_stale_work_is_found(self, bench: MakeBench) -> None:
        """Its version differs; it changes only when it is applied (R11)."""
        b, item = self.stale(bench)
        with b.catalog.read() as view:
            assert view.stale(b.kind().stages["a"]) == []
            assert view.stale(b.kind().stages["b"]) == [(b.row("b", item).id, item)]
        assert b.drain() == 0
        b.revise("b", item)
        (claimed,) = b.claim("b")
        assert not claimed.unchanged
        b.finish([claimed], "b")
        with b.catalog.read() as view:
            assert view.stale(b.kind().stages["b"]) == []

    @pytest.mark.parametrize("revised", [False, True])
    def test_stale_work_is_adopted(self, bench: MakeBench, revised: bool) -> None:
        """A run `adopted` with the new key, the same products and measures; nothing after it runs."""
        b, item = self.stale(bench)
        products = b.products(item)
        if revised:
            b.revise("b", item)
        key, row = b.key("b", item), b.row("b", item)
        assert key is not None
        b.catalog.write(lambda tx: tx.adopt_stale(row.id, key, "ann", "only the text changed"))
        run = runs_of(b, item, "b")[-1]
        assert (run.outcome, run.manual, run.key) == (Outcome.ADOPTED, True, key)
        assert (run.reasons, run.measures) == (("ann: only the text changed",), measured(n=1))
        assert (b.state("b", item), b.row("b", item).key) == (State.DONE, key)
        assert b.products(item) == products
        b.drain()
        assert len(runs_of(b, item, "c")) == 1
        with b.catalog.read() as view:
            assert view.stale(b.kind().stages["b"]) == []
            assert view.components(row.id, run.token)["version"] == "2"
            assert view.software(row.id, run.token) == {"numpy": "2.3.0"}

    def test_what_is_adopted_must_be_as_it_was_shown(self, bench: MakeBench) -> None:
        """Another key, a bad product, work before it that is not done, another state: refused."""
        b, item = self.stale(bench)
        key, row = b.key("b", item), b.row("b", item)
        assert key is not None

        def adopt(key: bytes) -> None:
            b.catalog.write(lambda tx: tx.adopt_stale(row.id, key, "ann", "why"))

        with pytest.raises(StateError, match="component changed"):
            adopt(b"other")
        b.revise("a", item)
        with pytest.raises(StateError, match="once all before it is done"):
            adopt(key)
        b.end("a")
        b.catalog.write(lambda tx: tx.mark([b.products(item, "b")[0].id], ProductState.CHANGED))
        with pytest.raises(StateError, match="must be whole"):
            adopt(key)
        b.load(kind_plan("item", {"a": ()}, inputs={"a": [product_of("")]}), version="3")
        with pytest.raises(StateError, match="not in the active route"):
            adopt(key)

    def test_an_adopted_run_is_no_proof_of_its_key(self, bench: MakeBench) -> None:
        """The stage's own result under the adopted key is not called irreproducible."""
        b, item = self.stale(bench)
        key, row = b.key("b", item), b.row("b", item)
        assert key is not None
        b.catalog.write(lambda tx: tx.adopt_stale(row.id, key, "ann", "why"))
        b.revise("b", item, force=True)
        b.end("b", content="another")
        assert runs_of(b, item, "b")[-1].caveats == ()

    # ---- definitions
    def test_a_definition_is_recorded_once(self, bench: MakeBench) -> None:
        """By digest; going back makes the former one active again; an event each time."""
        b = bench(CHAIN)
        first = b.definition
        second = b.load(self.second())
        again = b.load(CHAIN)
        assert (first.number, second.number, again.number) == (1, 2, 1)
        b.load(CHAIN)
        with b.catalog.read() as view:
            events = [
                event.data["number"] for event in view.events(pipeline=PIPELINE) if event.type == "definition"
            ]
        assert events == [1, 2, 1]

    def test_milestones_are_permanent(self, bench: MakeBench) -> None:
        """Reached on arrival, by a stage, by a rejection, by accepting; not by a run whose inputs moved."""
        settings = {"a": {"reaches": "Made", "rejects": "Not good"}}
        b = bench(kind_plan("item", {"a": ()}, settings=settings, reaches="Seen"))
        done, rejected, moved, held = b.add("i", "j", "k", "l")
        claims = b.claim("a")
        b.revise("a", moved)
        ends = (Outcome.DONE, Outcome.REJECTED, Outcome.DONE, Outcome.HELD)
        b.complete("a", [(c, b.report(c, outcome)) for c, outcome in zip(claims, ends, strict=True)])

        def names(item: int) -> set[str]:
            with b.catalog.read() as view:
                return {name for name, _ in view.milestones(item)}

        assert [names(item) for item in (done, rejected, moved, held)] == [
            {"Seen", "Made"}, {"Seen", "Not good"}, {"Seen"}, {"Seen"},
        ]  # fmt: skip
        b.catalog.write(lambda tx: tx.release([b.row("a", held).id], "ann", accept=True))
        b.drain()
        b.revise("a", done, force=True)
        assert [names(item) for item in (done, moved, held)] == [{"Seen", "Made"}] * 3

    def test_a_held_run_of_a_group_rule(self, bench: MakeBench) -> None:
        """Accepting wakes groups that wait for it."""
        group = kind_plan("group", {"s": ()}, group=GroupPlan("item", "a"), inputs={"s": [facts("record")]})
        b = bench(kind_plan("item", {"a": ()}), group)
        (item,) = b.add("i")
        number = b.add_group("g", [item])
        b.end("a", Outcome.HELD)
        assert b.state("s", number) is State.WAITING
        b.catalog.write(lambda tx: tx.release([b.row("a", item).id], "ann", accept=True))
        assert b.state("s", number) is State.READY
