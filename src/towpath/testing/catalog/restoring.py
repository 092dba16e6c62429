"""The suite's tests of a catalog that was restored: tokens never go back, and what is newer on disk can be taken in."""

import pytest

from towpath.base.errors import StateError
from towpath.base.hashing import Content
from towpath.base.states import Outcome
from towpath.base.states import Product as ProductState
from towpath.base.states import Work as State
from towpath.contracts.executor import Output
from towpath.testing.catalog.base import Base, MakeBench, outcomes
from towpath.testing.plans import OVER, STORE, Bench, kind_plan, product_of, sha

CHAIN = kind_plan(
    "item", {"a": (), "b": ("a",)}, inputs={"a": [product_of("")]}, settings={"a": {"reaches": "Reduced"}}
)


def output(content: str = "found", token: int = 5, name: str = "out") -> Output:
    """What lies in the place of an attempt."""
    return Output(name, f"{STORE}/t/item/a/i.{token}.{name}", Content(9, 1, sha(content)))


def adopt(b: Bench, item: int, token: int = 5, stage: str = "a", *outputs: Output) -> None:
    """Take in what was found."""
    work = b.row(stage, item).id
    b.catalog.write(
        lambda tx: tx.adopt_found(work, token, outputs or [output(token=token)], "ann", "after a restore")
    )


class RestoringSuite(Base):
    """CATALOG.md, R5 and R7, after a restore."""

    def _bench(self, bench: MakeBench) -> tuple[Bench, int]:
        b = bench(CHAIN)
        (item,) = b.add("i")
        b.add_raw(item)
        return b, item

    def test_no_token_is_given_again(self, bench: MakeBench) -> None:
        """Neither to work that is known nor to new work, of a stage or not; rows that ended keep theirs."""
        b, item = self._bench(bench)
        b.end("a")
        with b.catalog.read() as view:
            assert (view.highest_token(), view.restored()) == (1, None)
        b.catalog.write(lambda tx: tx.bring_back(41))
        with b.catalog.read() as view:
            assert view.highest_token() == 41
            assert view.restored() is not None
        assert b.row("a", item).token == 1
        (claimed,) = b.claim("b")
        assert (claimed.token, b.row("b", item).token) == (42, 42)
        b.finish([claimed], "b")
        assert outcomes(b, item, "b") == ["done"]
        (other,) = b.add("j")
        b.add_raw(other)
        assert [one.token for one in b.claim("a")] == [42]
        b.catalog.write(lambda tx: tx.post("hook", "s", {}))
        queue = ("", "message", "hook")
        (message,) = b.catalog.write(lambda tx: tx.claim_other(queue, 1, lease=60, owner=b.owner))
        assert message.token == 42
        assert b.catalog.write(lambda tx: tx.finish(message))
        b.catalog.write(lambda tx: tx.bring_back(7))
        b.revise("b", item, force=True)
        assert [one.token for one in b.claim("b")] == [43]

    def test_who_ran_then_is_dead(self, bench: MakeBench) -> None:
        """What was running may be claimed at once, as after a kill that nobody is to blame for."""
        b, item = self._bench(bench)
        (lost,) = b.claim("a")
        b.catalog.write(lambda tx: tx.bring_back(3))
        with b.catalog.read() as view:
            assert view.sessions() == []
        (claimed,) = b.claim("a")
        assert (claimed.token, claimed.deaths) == (4, 1)
        assert b.complete("a", [(lost, b.report(lost))]).dropped == (lost.work,)
        assert outcomes(b, item, "a") == ["lost"]

    def test_what_is_found_is_taken_in(self, bench: MakeBench) -> None:
        """A run `adopted` under the key of now, the product, the milestone, and what follows."""
        b, item = self._bench(bench)
        key = b.key("a", item)
        adopt(b, item)
        assert outcomes(b, item, "a") == ["adopted"]
        row, (product,) = b.row("a", item), b.products(item, "a")
        assert (row.state, row.token, row.key) == (State.DONE, 5, key)
        assert (product.path, product.run, product.manual) == ("t/item/a/i.5.out", (row.id, 5), False)
        assert b.state("b", item) is State.READY
        b.drain()
        assert outcomes(b, item, "a") == ["adopted"]
        with b.catalog.read() as view:
            assert [name for name, _ in view.milestones(item)] == ["Reduced"]
            run = next(run for run in view.runs(item) if run.stage == "a")
            assert run.reasons == ("ann: after a restore",)

    def test_a_newer_result_takes_the_place_of_an_older_one(self, bench: MakeBench) -> None:
        """Other bytes supersede, equal ones move; what follows is looked at again."""
        b, item = self._bench(bench)
        b.end("a", content="old")
        b.end("b")
        adopt(b, item, 5, "a", output("new", 5))
        assert b.states(item) == {"a": "done", "b": "ready"}
        adopt(b, item, 6, "a", output("new", 6))
        assert [product.path for product in b.products(item, "a")] == ["t/item/a/i.6.out"]
        with b.catalog.read() as view:
            (old,) = view.products([item], states=(ProductState.SUPERSEDED,))
        assert old.sha256 == sha("old")
        b.drain()
        assert outcomes(b, item, "b") == ["done", "done"]

    def test_what_does_not_fit_is_refused(self, bench: MakeBench) -> None:
        """Work that went further, waits, failed or runs; an output that is missing; an input that is."""
        b, item = self._bench(bench)
        with pytest.raises(StateError, match="no product of type"):
            adopt(b, item, 5, "b")
        with pytest.raises(StateError, match="not whole: no out"):
            adopt(b, item, 5, "a", output(name="other"))
        b.end("a", Outcome.FAILED, error="it broke")
        with pytest.raises(StateError, match="a is failed: it broke"):
            adopt(b, item)
        b.catalog.write(lambda tx: tx.retry([b.row("a", item).id], "ann"))
        (claimed,) = b.claim("a")
        with pytest.raises(StateError, match="a is running"):
            adopt(b, item)
        b.finish([claimed], "a")
        with pytest.raises(StateError, match=r"has gone further since \(attempt 2\)"):
            adopt(b, item, 2)
        assert outcomes(b, item, "a") == ["failed", "done"]

    def test_what_was_left_running_can_be_taken_in(self, bench: MakeBench) -> None:
        """Its lease is over; its attempt ended as this one."""
        b, item = self._bench(bench)
        b.claim("a", lease=OVER)
        adopt(b, item)
        assert outcomes(b, item, "a") == ["adopted"]
        assert b.state("b", item) is State.READY

    def test_a_decision_ends_the_waiting(self, bench: MakeBench) -> None:
        """The floor of tokens stays for ever."""
        b, item = self._bench(bench)
        b.catalog.write(lambda tx: tx.bring_back(9))
        b.catalog.write(lambda tx: tx.decided())
        with b.catalog.read() as view:
            assert view.restored() is None
        assert [one.token for one in b.claim("a")] == [10]
        assert b.row("a", item).token == 10
