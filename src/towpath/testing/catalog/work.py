"""The suite's tests of work: readiness, claim, fencing, outcomes, deaths and keys."""

from collections.abc import Callable
from typing import Any

import pytest

from towpath.base.errors import NotFoundError
from towpath.base.model import Item
from towpath.base.states import Outcome
from towpath.base.states import Work as State
from towpath.contracts.catalog import Transaction
from towpath.contracts.executor import Report
from towpath.testing.catalog.base import Base, MakeBench, outcomes, runs_of
from towpath.testing.plans import LEASE, OVER, PIPELINE, Bench, kind_plan, product_of

CHAIN = kind_plan("item", {"a": (), "b": ("a",), "c": ("b",)})
DIAMOND = kind_plan("item", {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")})
FROM_RAW = kind_plan("item", {"a": (), "b": ("a",), "c": ("b",)}, inputs={"a": [product_of("")]})


def _at(bench: Bench, later: float, work: Callable[[Transaction], Any]) -> Any:
    """Do something in a transaction whose clock is `later` seconds ahead."""

    def shifted(tx: Transaction) -> Any:
        now = tx.now()
        tx.now = lambda: now + later  # type: ignore[method-assign]  # the clock of this transaction alone
        return work(tx)

    return bench.catalog.write(shifted)


class WorkSuite(Base):
    """CATALOG.md, work and keys: R1, R5, R6, R8."""

    # ---- readiness
    def test_a_route_is_done_stage_by_stage(self, bench: MakeBench) -> None:
        """Waiting → ready → running → done, each pushed by the one before."""
        b = bench(CHAIN)
        (item,) = b.add("i")
        assert b.states(item) == {"a": "ready", "b": "waiting", "c": "waiting"}
        claims = b.claim("a")
        assert b.states(item) == {"a": "running", "b": "waiting", "c": "waiting"}
        finished = b.finish(claims, "a")
        assert finished.done == ((claims[0].work, item),)
        assert b.states(item) == {"a": "done", "b": "ready", "c": "waiting"}
        assert b.drain() == 2
        assert set(b.states(item).values()) == {"done"}

    def test_registering_again_changes_nothing(self, bench: MakeBench) -> None:
        """A known key gives its number and leaves its work as it is; twice in one call is once."""
        b = bench(CHAIN)
        first = b.add("i", "j", "i")
        assert first[0] == first[2] != first[1]
        b.drain()
        assert b.add("j", "i") == [first[1], first[0]]
        assert set(b.states(first[0]).values()) == {"done"}

    @pytest.mark.parametrize("together", [False, True])
    def test_two_branches_that_finish_wake_the_join(self, bench: MakeBench, together: bool) -> None:
        """The join is recomputed from rows, whichever branch is last (R1)."""
        b = bench(DIAMOND)
        (item,) = b.add("i")
        b.end("a")
        left, right = b.claim("b"), b.claim("c")
        assert b.state("d", item) is State.WAITING
        if together:
            kind = b.kind()

            def both(tx):  # type: ignore[no-untyped-def]  # one transaction
                tx.complete(kind, kind.stages["c"], [(c, b.report(c)) for c in right])
                tx.complete(kind, kind.stages["b"], [(c, b.report(c)) for c in left])

            b.catalog.write(both)
        else:
            b.finish(right, "c")
            assert b.state("d", item) is State.WAITING
            b.finish(left, "b")
        assert b.state("d", item) is State.READY
        assert b.end("d").done

    def test_recompute_finds_nothing_to_repair(self, bench: MakeBench) -> None:
        """The slow sweep makes nothing ready that was not pushed."""
        b = bench(DIAMOND)
        b.add("i", "j")
        for _ in range(4):
            assert b.catalog.write(lambda tx: tx.recompute(b.kind(), ())) == 0
            for stage in "abcd":
                b.end(stage)

    # ---- claim
    def test_a_claim_counts_token_death_and_attempt(self, bench: MakeBench) -> None:
        """Token + 1, deaths + 1, attempts + 1, and a lease, before any user code."""
        b = bench(CHAIN)
        (item,) = b.add("i")
        (claimed,) = b.claim("a")
        row = b.row("a", item)
        assert (claimed.token, claimed.deaths, claimed.attempts) == (1, 1, 1)
        assert (row.token, row.deaths, row.attempts, row.owner) == (1, 1, 1, str(b.owner))
        assert row.due == claimed.due
        with b.catalog.read() as view:
            assert row.due == pytest.approx(view.now() + LEASE, abs=60)
        assert (claimed.item_key, claimed.inputs, claimed.unchanged) == ("i", (), False)
        assert b.claim("a") == []

    def test_the_best_priority_goes_first_then_the_oldest(self, bench: MakeBench) -> None:
        """Order of claims; the limit holds; claimable tells the first of each queue."""
        b = bench(CHAIN)
        items = b.add("i", "j", "k")
        work = b.row("a", items[2]).id
        assert b.catalog.write(lambda tx: tx.set_priority([work], 7)) == 1
        with b.catalog.read() as view:
            (queue,) = view.claimable([(PIPELINE, "item", stage) for stage in "abc"])
        assert (queue.stage, queue.priority) == ("a", 7)
        assert [claimed.item_key for claimed in b.claim("a", 2)] == ["k", "i"]
        assert b.catalog.write(lambda tx: tx.set_priority([work], 3)) == 0  # it runs

    def test_a_claim_of_nothing_is_empty(self, bench: MakeBench) -> None:
        """Unknown queues and empty ones give nothing."""
        b = bench(CHAIN)
        assert b.claim("a") == []
        assert b.catalog.write(lambda tx: tx.claim_other(("", "scan", "x"), 1, lease=1, owner=1)) == []
        with b.catalog.read() as view:
            assert view.claimable([(PIPELINE, "item", "a"), ("no", "such", "queue")]) == []
            assert view.next_due([]) is None
            assert view.next_due([(PIPELINE, "item", "a")]) is None
            with pytest.raises(NotFoundError):
                view.work_row(99)

    def test_next_due_is_the_first_to_look_at(self, bench: MakeBench) -> None:
        """Of ready rows their start, of running ones the end of their lease."""
        b = bench(CHAIN)
        b.add("i")
        (claimed,) = b.claim("a")
        with b.catalog.read() as view:
            assert view.next_due([(PIPELINE, "item", stage) for stage in "abc"]) == claimed.due

    # ---- fencing
    def test_a_late_worker_cannot_commit(self, bench: MakeBench) -> None:
        """An expired row is claimed again: run `lost`, token + 1; the old report is dropped (R6)."""
        b = bench(CHAIN)
        (item,) = b.add("i")
        (old,) = b.claim("a", lease=OVER)
        (new,) = b.claim("a")
        assert (new.token, new.deaths) == (2, 2)
        assert outcomes(b, item, "a") == ["lost"]
        late = b.complete("a", [(old, b.report(old, content="old"))])
        assert (late.done, late.dropped, dict(late.ended)) == ((), (old.work,), {})
        assert b.products(item) == []
        both = b.complete("a", [(old, b.report(old, content="old")), (new, b.report(new, content="new"))])
        assert (both.done, both.dropped) == (((new.work, item),), (old.work,))
        assert outcomes(b, item, "a") == ["lost", "done"]
        assert [product.run for product in b.products(item)] == [(new.work, 2)]
        assert b.complete("a", [(new, b.report(new))]).dropped == (new.work,)

    def test_a_late_worker_whose_row_nobody_took_may_commit(self, bench: MakeBench) -> None:
        """The token decides, not the clock."""
        b = bench(CHAIN)
        (item,) = b.add("i")
        (claimed,) = b.claim("a", lease=OVER)
        assert b.complete("a", [(claimed, b.report(claimed))]).done == ((claimed.work, item),)
        assert outcomes(b, item, "a") == ["done"]

    def test_the_reports_that_fit_are_written_without_the_others(self, bench: MakeBench) -> None:
        """One lost row of a batch does not cost the others theirs."""
        b = bench(CHAIN)
        items = b.add("i", "j", "k")
        claims = b.claim("a")
        b.catalog.write(lambda tx: tx.stop([claims[1].work], "someone"))
        finished = b.finish(claims, "a")
        assert [work for work, _ in finished.done] == [claims[0].work, claims[2].work]
        assert finished.dropped == (claims[1].work,)
        assert [b.state("a", item).value for item in items] == ["done", "stopped", "done"]

    def test_a_lost_attempt_whose_inputs_changed_waits(self, bench: MakeBench) -> None:
        """It is not claimed again while what comes before it is not done."""
        b = bench(CHAIN)
        (item,) = b.add("i")
        b.end("a")
        b.claim("b", lease=OVER)
        b.revise("a", item, force=True)
        assert b.claim("b") == []
        row = b.row("b", item)
        assert (row.state, row.token, row.owner, outcomes(b, item, "b")) == (State.WAITING, 1, "", ["lost"])
        b.end("a")
        (claimed,) = b.claim("b", lease=OVER)
        b.revise("b", item)
        (again,) = b.claim("b")  # its needs hold: claimed at once
        assert (again.token, claimed.token) == (3, 2)

    def test_two_reports_of_one_run_are_one(self, bench: MakeBench) -> None:
        """The first counts."""
        b = bench(CHAIN)
        (item,) = b.add("i")
        (claimed,) = b.claim("a")
        again = b.report(claimed, Outcome.FAILED, error="no")
        finished = b.complete("a", [(claimed, b.report(claimed)), (claimed, again)])
        assert (len(finished.done), finished.dropped) == (1, (claimed.work,))
        assert outcomes(b, item, "a") == ["done"]

    def test_a_heartbeat_keeps_what_is_ours_and_names_what_is_not(self, bench: MakeBench) -> None:
        """Leases grow; rows that were lost or stopped are named; progress is told of ours only."""
        b = bench(CHAIN)
        items = b.add("i", "j")
        old = b.claim("a", lease=OVER)
        (taken,) = b.claim("a", 1)
        runs = [(claimed.work, claimed.token) for claimed in old]
        told = {work: (0.5, "half", "worker.log:7") for work, _ in runs}
        lost = b.catalog.write(lambda tx: tx.heartbeat(runs, LEASE, told))
        assert lost == [(taken.work, taken.token - 1)]
        rows = {row.id: row for row in (b.row("a", item) for item in items)}
        kept = next(row for work, row in rows.items() if work != taken.work)
        assert (kept.progress, kept.note, kept.log) == (0.5, "half", "worker.log:7")
        assert rows[taken.work].progress is None
        with b.catalog.read() as view:
            assert kept.due > view.now() + LEASE / 2

    # ---- how runs end
    def test_done_forgets_deaths_and_attempts(self, bench: MakeBench) -> None:
        """Running → done: deaths = 0."""
        b = bench(CHAIN)
        (item,) = b.add("i")
        b.claim("a", lease=OVER)
        b.end("a")
        row = b.row("a", item)
        assert (row.state, row.deaths, row.attempts, row.owner, row.note) == (State.DONE, 0, 0, "", "")

    def test_rejected_is_a_result(self, bench: MakeBench) -> None:
        """Running → rejected, with its reasons; nothing follows."""
        b = bench(CHAIN)
        (item,) = b.add("i")
        b.end("a", Outcome.REJECTED, reasons=("too few stars",))
        assert b.states(item) == {"a": "rejected", "b": "waiting", "c": "waiting"}
        assert b.row("a", item).note == "too few stars"
        assert runs_of(b, item)[0].reasons == ("too few stars",)
        assert b.products(item) == []

    def test_an_error_fails(self, bench: MakeBench) -> None:
        """Running → failed, with the error."""
        b = bench(CHAIN)
        (item,) = b.add("i")
        b.end("a", Outcome.FAILED, error="ValueError: no")
        row = b.row("a", item)
        assert (row.state, row.note, row.deaths) == (State.FAILED, "ValueError: no", 0)
        assert runs_of(b, item)[0].error == "ValueError: no"

    def test_an_error_about_a_name_that_is_no_text_is_kept(self, bench: MakeBench) -> None:
        """A file's name need not be UTF-8; the run that says so is written all the same."""
        b = bench(CHAIN)
        (item,) = b.add("i")
        b.end("a", Outcome.FAILED, error="no such file: caf\udce9.txt")
        assert b.state("a", item) is State.FAILED
        assert runs_of(b, item)[0].error == "no such file: caf\\udce9.txt"

    def test_transient_is_tried_again_with_backoff_until_attempts_are_used_up(self, bench: MakeBench) -> None:
        """Running → ready, due = backoff; the last attempt fails."""
        b = bench(kind_plan("item", {"a": ()}, settings={"a": {"attempts": 3, "backoff": 0.0}}))
        (item,) = b.add("i")
        b.end("a", Outcome.TRANSIENT, error="busy")
        row = b.row("a", item)
        assert (row.state, row.attempts, row.deaths, row.note) == (State.READY, 1, 0, "busy")
        b.end("a", Outcome.TRANSIENT, error="busy", after=1000.0)
        row = b.row("a", item)
        assert row.state is State.READY
        with b.catalog.read() as view:
            assert row.due > view.now() + 900
        assert b.claim("a") == []
        b.revise("a", item)  # what it depends on changed: no need to wait any longer
        for _ in range(2):
            b.end("a", Outcome.TRANSIENT, error="busy")
            assert b.state("a", item) is State.READY
        b.end("a", Outcome.TRANSIENT, error="busy")
        assert b.state("a", item) is State.FAILED
        assert outcomes(b, item, "a") == ["transient"] * 5

    def test_backoff_doubles(self, bench: MakeBench) -> None:
        """Each attempt waits twice as long as the one before."""
        b = bench(kind_plan("item", {"a": ()}, settings={"a": {"backoff": 100.0}}))
        (item,) = b.add("i")
        b.end("a", Outcome.TRANSIENT)
        first = b.row("a", item).due
        b.catalog.write(lambda tx: tx.set_due(b.row("a", item).id, 1.0))
        b.end("a", Outcome.TRANSIENT)
        assert b.row("a", item).due - first == pytest.approx(100, abs=20)

    def test_drained_leaves_no_trace(self, bench: MakeBench) -> None:
        """Running → ready: given back untouched, death and attempt too."""
        b = bench(CHAIN)
        (item,) = b.add("i")
        b.end("a", Outcome.DRAINED)
        row = b.row("a", item)
        assert (row.state, row.deaths, row.attempts, row.token) == (State.READY, 0, 0, 1)
        assert runs_of(b, item) == []

    def test_a_held_run_can_be_accepted(self, bench: MakeBench) -> None:
        """Running → held → done: its products are the result, its key is the row's."""
        b = bench(CHAIN)
        (item,) = b.add("i")
        verdict = {"result": "hold", "rules": []}
        b.end("a", Outcome.HELD, "doubtful", reasons=("look",), verdict=verdict)
        row = b.row("a", item)
        assert (row.state, row.note, row.key) == (State.HELD, "look", None)
        assert b.state("b", item) is State.WAITING
        assert b.catalog.write(lambda tx: tx.release([row.id], "ann", "fine", accept=True)) == 1
        row = b.row("a", item)
        assert (row.state, row.key) == (State.DONE, b.key("a", item))
        assert b.state("b", item) is State.READY
        with b.catalog.read() as view:
            assert view.verdicts(item)[-1][3] == "ann"
        assert len(b.products(item, "a")) == 1

    def test_a_held_run_that_is_released_is_judged_again(self, bench: MakeBench) -> None:
        """Held → waiting → ready, and not skipped as unchanged."""
        b = bench(CHAIN)
        (item,) = b.add("i")
        b.end("a", Outcome.HELD, "doubtful")
        b.catalog.write(lambda tx: tx.release([b.row("a", item).id], "ann"))
        assert b.state("a", item) is State.READY
        (claimed,) = b.claim("a")
        assert not claimed.unchanged

    def test_a_held_run_whose_inputs_changed_cannot_be_accepted(self, bench: MakeBench) -> None:
        """What was judged is not what is there now: it is judged again."""
        b = bench(CHAIN)
        (item,) = b.add("i")
        b.end("a", Outcome.HELD, reasons=("look",))
        b.revise("a", item)
        assert (b.state("a", item), b.row("a", item).note) == (State.HELD, "look")
        b.catalog.write(lambda tx: tx.release([b.row("a", item).id], "ann", accept=True))
        assert b.state("a", item) is State.READY

    @pytest.mark.parametrize(
        "outcome",
        [one for one in Outcome if one not in (Outcome.STOPPED, Outcome.ADOPTED)],
    )
    def test_what_changed_while_it_ran_makes_it_wait(self, bench: MakeBench, outcome: Outcome) -> None:
        """Running → waiting when the revision moved, however it ended (R5)."""
        b = bench(CHAIN)
        (item,) = b.add("i")
        (claimed,) = b.claim("a")
        assert b.revise("a", item) == 3
        assert b.state("a", item) is State.RUNNING
        finished = b.complete("a", [(claimed, b.report(claimed, outcome))])
        assert finished.done == ()
        row = b.row("a", item)
        assert row.state is State.READY  # waiting, and its needs hold
        assert b.state("b", item) is State.WAITING
        assert row.revision == 1
        is_kept = outcome in (Outcome.DONE, Outcome.HELD)
        assert len(b.products(item)) == is_kept
        is_run = outcome not in (Outcome.UNCHANGED, Outcome.DRAINED, Outcome.BLOCKED)
        assert outcomes(b, item, "a") == ([outcome.value] if is_run else [])

    # ---- deaths
    def test_what_killed_its_worker_is_claimed_alone_then_poisoned(self, bench: MakeBench) -> None:
        """Deaths count at claim: alone after one, poisoned after more than three; the others go on."""
        b = bench(CHAIN)
        items = b.add("i", "j", "k")
        bad = b.row("a", items[0]).id
        b.claim("a", 1, lease=OVER)
        for deaths in (2, 3, 4):
            claims = b.claim("a", lease=OVER)
            assert [claimed.work for claimed in claims] == [bad]
            assert claims[0].deaths == deaths
        claims = b.claim("a")
        assert [claimed.item for claimed in claims] == items[1:]
        row = b.row("a", items[0])
        assert (row.state, row.token) == (State.POISONED, 4)
        assert outcomes(b, items[0], "a") == ["lost"] * 4
        assert b.catalog.write(lambda tx: tx.retry([bad], "ann")) == 1
        row = b.row("a", items[0])
        assert (row.state, row.deaths, row.attempts) == (State.READY, 0, 0)

    def test_a_poisoned_row_hides_none(self, bench: MakeBench) -> None:
        """A claim that poisons goes on to the next row."""
        b = bench(CHAIN)
        items = b.add("i")
        for _ in range(4):
            b.claim("a", 1, lease=OVER)
        items += b.add("j")
        assert [claimed.item for claimed in b.claim("a", 1)] == items[1:]

    def test_only_what_is_claimed_again_is_lost(self, bench: MakeBench) -> None:
        """An expired row that is left for a later claim may still be completed by its worker."""
        b = bench(CHAIN)
        items = b.add("i", "j")
        b.claim("a", 1, lease=OVER)  # i: one death
        claims = b.claim("a", lease=OVER)  # i alone: two
        assert [claimed.item for claimed in claims] == items[:1]
        b.finish(claims, "a")
        (second,) = b.claim("a", lease=OVER)
        b.claim("a", 1, lease=OVER)
        assert outcomes(b, items[1], "a") == ["lost"]
        assert second.item == items[1]

    def test_a_report_that_says_lost_counts_the_death(self, bench: MakeBench) -> None:
        """The parent knows which child died: that row keeps its death."""
        b = bench(CHAIN)
        (item,) = b.add("i")
        b.end("a", Outcome.LOST, error="killed by signal 11")
        row = b.row("a", item)
        assert (row.state, row.deaths, row.note) == (State.READY, 1, "killed by signal 11")

    @pytest.mark.parametrize("give_back", [False, True])
    def test_a_dead_process_loses_its_leases_at_once(self, bench: MakeBench, give_back: bool) -> None:
        """Its rows expire now; their deaths and attempts are given back unless it is known to be their fault."""
        b = bench(CHAIN)
        items = b.add("i", "j", "k")
        session = b.catalog.write(lambda tx: tx.open_session("here", 2, "other", attributable=True))
        with b.catalog.read() as view:
            assert view.sessions()[-1] == (session, "here", 2, "other", True)
        dead = b.claim("a", 2, owner=session)
        mine = b.claim("a", 1)
        assert b.catalog.write(lambda tx: tx.expire(session, give_back=give_back)) == 2
        b.catalog.write(lambda tx: tx.close_session(session))
        deaths = [b.row("a", item).deaths for item in items]
        assert deaths == ([0, 0, 1] if give_back else [1, 1, 1])
        again = b.claim("a")
        assert len(again) == (2 if give_back else 1)
        assert {claimed.token for claimed in again} == {2}
        assert dead[0].work in {claimed.work for claimed in again}
        assert b.finish(mine, "a").done
        with b.catalog.read() as view:
            assert [row[0] for row in view.sessions()] == [b.owner]

    def test_a_server_is_no_worker(self, bench: MakeBench) -> None:
        """It has a session, which is not among those of processes that run work."""
        b = bench(CHAIN)
        session = b.catalog.write(
            lambda tx: tx.open_session("here", 2, "other", attributable=False, works=False)
        )
        with b.catalog.read() as view:
            assert [row[0] for row in view.sessions()] == [b.owner]
            assert view.processes() == [*view.sessions(), (session, "here", 2, "other", False)]
        b.catalog.write(lambda tx: tx.close_session(session))
        with b.catalog.read() as view:
            assert view.processes() == view.sessions()

    # ---- keys
    def test_work_whose_key_is_the_same_is_not_run_again(self, bench: MakeBench) -> None:
        """Ready → done at claim, no run (R8)."""
        b = bench(CHAIN)
        (item,) = b.add("i")
        b.drain()
        key = b.row("a", item).key
        assert b.revise("a", item) == 3
        assert b.states(item) == {"a": "ready", "b": "waiting", "c": "waiting"}
        for stage in "abc":
            (claimed,) = b.claim(stage)
            assert claimed.unchanged
            assert claimed.key == claimed.done_key
            b.finish([claimed], stage)
        assert set(b.states(item).values()) == {"done"}
        assert b.row("a", item).key == key
        assert [run.outcome for run in runs_of(b, item)] == [Outcome.DONE] * 3

    def test_force_runs_again_though_nothing_differs(self, bench: MakeBench) -> None:
        """The finished key is forgotten; what follows is skipped if the result is the same."""
        b = bench(CHAIN)
        (item,) = b.add("i")
        b.drain()
        b.revise("a", item, force=True)
        (claimed,) = b.claim("a")
        assert not claimed.unchanged
        b.finish([claimed], "a")
        (claimed,) = b.claim("b")
        assert claimed.unchanged

    def test_force_while_it_runs_runs_again(self, bench: MakeBench) -> None:
        """What began before it was forced does not count."""
        b = bench(CHAIN)
        (item,) = b.add("i")
        claims = b.claim("a")
        b.revise("a", item, force=True)
        b.finish(claims, "a")
        (claimed,) = b.claim("a")
        assert not claimed.unchanged
        b.finish([claimed], "a")
        assert b.state("a", item) is State.DONE

    def test_an_input_that_comes_back_while_another_ran_is_not_mistaken(self, bench: MakeBench) -> None:
        """The key of a row is that of what is current, never that of an earlier result."""
        b = bench(FROM_RAW)
        (item,) = b.add("i")
        b.add_raw(item, "one")
        b.end("a", content="from one")
        b.add_raw(item, "two")
        claims = b.claim("a")
        b.add_raw(item, "one")
        b.finish(claims, "a", content="from two")
        (claimed,) = b.claim("a")
        assert not claimed.unchanged
        b.finish([claimed], "a", content="from one")
        assert b.row("a", item).key == b.key("a", item)

    def test_a_change_and_back_while_it_ran_needs_no_second_run(self, bench: MakeBench) -> None:
        """The run was of these inputs after all."""
        b = bench(FROM_RAW)
        (item,) = b.add("i")
        b.add_raw(item, "one")
        claims = b.claim("a")
        b.revise("a", item)
        b.finish(claims, "a")
        (claimed,) = b.claim("a")
        assert claimed.unchanged

    def test_an_input_that_comes_back_after_a_rejection_is_judged_again(self, bench: MakeBench) -> None:
        """The verdict that stands must be that of the inputs that stand."""
        b = bench(FROM_RAW)
        (item,) = b.add("i")
        b.add_raw(item, "good")
        b.drain()
        b.add_raw(item, "bad")
        b.end("a", Outcome.REJECTED)
        b.add_raw(item, "good")
        (claimed,) = b.claim("a")
        assert not claimed.unchanged

    def test_an_equal_result_cuts_off_what_follows(self, bench: MakeBench) -> None:
        """Re-made with equal hash: same row, the new bytes go, and the chain after it is skipped."""
        b = bench(FROM_RAW)
        (item,) = b.add("i")
        b.add_raw(item, "one")
        for stage in "abc":
            b.end(stage, content=f"of {stage}")
        before = {product.stage: product for product in b.products(item)}
        b.add_raw(item, "two")
        assert b.states(item) == {"a": "ready", "b": "waiting", "c": "waiting"}
        (claimed,) = b.claim("a")
        assert not claimed.unchanged
        report = b.report(claimed, content="of a")
        assert b.complete("a", [(claimed, report)]).orphans == (report.outputs[0].path,)
        for stage in "bc":
            (claimed,) = b.claim(stage)
            assert claimed.unchanged
            b.finish([claimed], stage)
        after = {product.stage: product for product in b.products(item)}
        assert {stage: after[stage] for stage in "abc"} == {stage: before[stage] for stage in "abc"}
        assert b.drain() == 0

    def test_another_result_runs_what_follows(self, bench: MakeBench) -> None:
        """The former product is superseded and the next stage's key differs."""
        b = bench(FROM_RAW)
        (item,) = b.add("i")
        b.add_raw(item, "one")
        b.drain()
        b.add_raw(item, "two")
        b.end("a", content="another")
        (claimed,) = b.claim("b")
        assert not claimed.unchanged
        assert claimed.done_key is not None

    def test_the_same_key_with_another_result_is_told(self, bench: MakeBench) -> None:
        """Caveat `not reproducible`; not when the key differs."""
        b = bench(FROM_RAW)
        (item,) = b.add("i")
        b.add_raw(item, "one")
        b.end("a", content="x")
        b.revise("a", item, force=True)
        b.end("a", content="y")
        assert "not reproducible" in runs_of(b, item, "a")[-1].caveats[0]
        b.add_raw(item, "two")
        b.end("a", content="z")
        assert runs_of(b, item, "a")[-1].caveats == ()

    # ---- revision
    def test_what_follows_work_that_leaves_done_waits(self, bench: MakeBench) -> None:
        """Transitively; what runs ends as waiting; tokens and revisions only grow."""
        b = bench(DIAMOND)
        (item,) = b.add("i")
        b.end("a")
        b.end("b")
        claims = b.claim("c")
        assert b.revise("a", item) == 4
        assert b.states(item) == {"a": "ready", "b": "waiting", "c": "running", "d": "waiting"}
        assert [b.row(stage, item).revision for stage in "abcd"] == [1, 1, 1, 1]
        b.finish(claims, "c")
        assert b.state("c", item) is State.WAITING
        b.drain()
        assert set(b.states(item).values()) == {"done"}

    @pytest.mark.parametrize("outcome", [Outcome.DONE, Outcome.REJECTED, Outcome.FAILED])
    def test_finished_work_that_is_revised_runs_again(self, bench: MakeBench, outcome: Outcome) -> None:
        """Done, rejected, failed → waiting: revision + 1."""
        b = bench(CHAIN)
        (item,) = b.add("i")
        b.end("a", outcome, error="e" if outcome is Outcome.FAILED else "")
        b.revise("a", item)
        row = b.row("a", item)
        assert (row.state, row.revision, row.attempts, row.note) == (State.READY, 1, 0, "")

    def test_revising_twice_in_one_call_counts_once(self, bench: MakeBench) -> None:
        """Rows that are named and follow others are touched once."""
        b = bench(CHAIN)
        (item,) = b.add("i")
        b.drain()
        works = [b.row(stage, item).id for stage in "aba"]
        assert b.catalog.write(lambda tx: tx.revise(works, "a test")) == 3
        assert [b.row(stage, item).revision for stage in "abc"] == [1, 1, 1]

    @pytest.mark.parametrize("back", [3600.0, 4.0])
    def test_a_clock_that_was_set_back_makes_nothing_wait(self, bench: MakeBench, back: float) -> None:
        """What is ready or leased by the former clock is due by the new one (R4); a small correction moves nothing."""
        b = bench(CHAIN)
        former = _at(
            b,
            back,
            lambda tx: tx.add_items(b.kind(), [Item(PIPELINE, "item", "i"), Item(PIPELINE, "item", "j")]),
        )
        held = _at(b, back, lambda tx: tx.claim(b.kind(), b.kind().stages["a"], 1, lease=OVER, owner=b.owner))
        assert b.claim("a") == []
        with b.catalog.read() as view:
            assert view.behind() == pytest.approx(back if back > 5 else 0.0, abs=1.0)
        moved = b.catalog.write(lambda tx: tx.follow_clock())
        assert moved == pytest.approx(back if back > 5 else 0.0, abs=1.0)
        assert b.catalog.write(lambda tx: tx.follow_clock()) == 0.0  # another process finds nothing to move
        if moved:
            assert {claimed.item for claimed in (*b.claim("a"), *b.claim("a"))} == set(former)
            assert held[0].token + 1 == b.row("a", held[0].item).token

    def test_counts_and_open_work(self, bench: MakeBench) -> None:
        """How many rows stand where, and those that are not finished."""
        b = bench(CHAIN)
        items = b.add("i", "j")
        b.end("a", Outcome.REJECTED)
        with b.catalog.read() as view:
            assert view.counts(PIPELINE) == {
                (PIPELINE, "item", "a", "rejected"): 2,
                (PIPELINE, "item", "b", "waiting"): 2,
                (PIPELINE, "item", "c", "waiting"): 2,
            }
            assert view.counts("other") == {}
            rows = view.open_work(PIPELINE)
            assert [(row.item, row.stage) for row in rows] == [(i, s) for i in items for s in "bc"]
            assert view.open_work(PIPELINE, after=rows[1].id, limit=1) == rows[2:3]
            assert view.open_work("other") == []

    def test_an_unchanged_report_by_hand_is_written_as_such(self, bench: MakeBench) -> None:
        """No run, key kept, an event."""
        b = bench(CHAIN)
        (item,) = b.add("i")
        b.end("a")
        b.revise("a", item)
        (claimed,) = b.claim("a")
        finished = b.complete("a", [(claimed, Report(claimed.work, claimed.token, Outcome.UNCHANGED))])
        assert dict(finished.ended) == {Outcome.UNCHANGED: 1}
        with b.catalog.read() as view:
            assert view.events()[-1].type == "unchanged"
