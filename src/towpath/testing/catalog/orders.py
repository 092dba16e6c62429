"""The suite's tests of orders: their transitions, who may open one, deliveries, and what becomes of asked work."""

from functools import partial

import pytest

from towpath.base.errors import NotFoundError, StateError
from towpath.base.states import ORDER, Delivery, Order, Outcome
from towpath.base.states import Work as State
from towpath.contracts.catalog import Claimed, DeliveryRow, OrderRow, Transaction
from towpath.testing.catalog.base import Base, MakeBench
from towpath.testing.plans import Bench, kind_plan, product_of, sha

CHAIN = kind_plan("item", {"a": (), "b": ("a",)}, inputs={"a": [product_of("")]})
KEY = sha("key")
PATHS: dict[Order, tuple[Order, ...]] = {
    Order.OPEN: (),
    Order.CLAIMED: (Order.CLAIMED,),
    Order.DELIVERED: (Order.CLAIMED, Order.DELIVERED),
    Order.ACCEPTED: (Order.ACCEPTED,),
    Order.CLOSED: (Order.CLOSED,),
    Order.REJECTED: (Order.CLAIMED, Order.REJECTED),
    Order.QUARANTINED: (Order.CLAIMED, Order.QUARANTINED),
    Order.CANCELLED: (Order.CANCELLED,),
}


def asked(b: Bench, key: str = "i") -> tuple[Claimed, OrderRow]:
    """An item whose stage `b` is claimed, with an order for it."""
    (item,) = b.add(key)
    b.add_raw(item)
    b.end("a")
    (claimed,) = b.claim("b")
    body = {"deliver": [], "people": ["ann"]}
    row = OrderRow(claimed.work, item, "b", "handoff", KEY, "Do it", body)
    return claimed, b.catalog.write(lambda tx: tx.open_order(claimed, row, reaches="Asked"))


def move(b: Bench, number: int, *states: Order) -> OrderRow:
    """Move an order through states."""
    found = []
    for state in states:
        found.append(b.catalog.write(partial(_moved, number=number, state=state)))
    return found[-1]


def _moved(tx: Transaction, number: int, state: Order) -> OrderRow:
    return tx.move_order(number, state, who="ann", why="so")


class OrderSuite(Base):
    """CATALOG.md, orders."""

    def test_an_order_is_as_it_was_opened(self, bench: MakeBench) -> None:
        """Its row, its milestone, its event."""
        b = bench(CHAIN)
        claimed, row = asked(b)
        with b.catalog.read() as view:
            assert view.order(row.id) == row
            assert view.orders() == view.orders(item=claimed.item, work=claimed.work, kind="handoff") == [row]
            assert view.orders(kind="gate") == view.orders(after=row.id) == []
            assert view.orders(states=[Order.OPEN]) == [row] and view.orders(states=[Order.CLAIMED]) == []
            assert [name for name, _ in view.milestones(claimed.item)] == ["Asked"]
            told = [event.data for event in view.events(limit=1000) if event.type == "order"]
        assert told == [{"order": row.id, "state": "open"}]
        assert (row.state, row.token, row.key, row.stage) == (Order.OPEN, 0, KEY, "b")
        assert row.body == {"deliver": [], "people": ["ann"]}
        with b.catalog.read() as view, pytest.raises(NotFoundError, match="no order 99"):
            view.order(99)

    def test_only_the_owner_of_the_work_opens_one(self, bench: MakeBench) -> None:
        """The claim's token fences it."""
        b = bench(CHAIN)
        claimed, row = asked(b)
        b.catalog.write(lambda tx: tx.stop([claimed.work]))
        with pytest.raises(StateError, match="no longer ours"):
            b.catalog.write(lambda tx: tx.open_order(claimed, row))

    @pytest.mark.parametrize("state", list(Order))
    def test_the_table_of_transitions_is_kept(self, bench: MakeBench, state: Order) -> None:
        """Each state takes what the table allows, and nothing else."""
        b = bench(CHAIN)
        for to in Order:
            _, row = asked(b, to.value)
            if PATHS[state]:
                move(b, row.id, *PATHS[state])
            if (state, to) in ORDER:
                assert move(b, row.id, to).state is to
            else:
                with pytest.raises(StateError, match=f"is {state.value}; it cannot become {to.value}"):
                    move(b, row.id, to)

    def test_each_claim_has_a_token_of_its_own(self, bench: MakeBench) -> None:
        """Claimed: token + 1, with a holder and a date; open again: neither."""
        b = bench(CHAIN)
        _, row = asked(b)
        first = b.catalog.write(lambda tx: tx.move_order(row.id, Order.CLAIMED, who="ann", due=5e9))
        assert (first.token, first.who, first.due) == (1, "ann", 5e9)
        back = move(b, row.id, Order.OPEN)
        assert (back.token, back.who, back.due, back.why) == (1, "", None, "so")
        assert move(b, row.id, Order.CLAIMED).token == 2

    def test_the_same_manifest_is_one_delivery(self, bench: MakeBench) -> None:
        """As it was judged first."""
        b = bench(CHAIN)
        _, row = asked(b)
        one = DeliveryRow(
            row.id, 1, sha("m"), Delivery.REJECTED, "ann", "/box", {"files": []}, ("too small",)
        )
        made = b.catalog.write(lambda tx: tx.add_delivery(one))
        again = b.catalog.write(
            lambda tx: tx.add_delivery(DeliveryRow(row.id, 1, sha("m"), Delivery.VERIFIED, "ben", "/", {}))
        )
        assert again == made and made.reasons == ("too small",) and made.time > 0
        b.catalog.write(lambda tx: tx.move_delivery(made.id, Delivery.VERIFIED, ("taken by cy",)))
        with b.catalog.read() as view:
            (found,) = view.deliveries(row.id)
        assert (found.state, found.reasons) == (Delivery.VERIFIED, ("taken by cy",))

    def test_asked_work_is_asked_again_when_its_input_changes(self, bench: MakeBench) -> None:
        """Held for an order: waiting; held by a person: held."""
        b = bench(CHAIN)
        claimed, _ = asked(b)
        b.finish([claimed], "b", Outcome.HELD)
        assert b.state("b", claimed.item) is State.HELD
        b.catalog.write(lambda tx: tx.revise([claimed.work], "other input"))
        assert b.state("b", claimed.item) is State.READY
        b.catalog.write(lambda tx: tx.hold([claimed.work], "wait", "ann"))
        (other,) = b.add("other")
        b.add_raw(other)
        work = b.row("a", other).id
        b.catalog.write(lambda tx: tx.hold([work], "wait", "ann"))
        b.catalog.write(lambda tx: tx.revise([work], "other input"))
        assert b.state("a", other) is State.HELD

    def test_the_orders_of_retired_work_are_cancelled(self, bench: MakeBench) -> None:
        """Nobody works for a stage that left the route."""
        b = bench(CHAIN)
        claimed, row = asked(b)
        b.finish([claimed], "b", Outcome.HELD)
        b.catalog.write(lambda tx: tx.retire([claimed.work], "left the route"))
        with b.catalog.read() as view:
            assert view.order(row.id).state is Order.CANCELLED
