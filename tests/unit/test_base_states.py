"""The tables of transitions are those of the catalog's rules."""

import pytest

from towpath.base.states import PRODUCT, PUBLICATION, WORK, Outcome, Product, Publication, Work

TABLES = [(Work, WORK), (Product, PRODUCT), (Publication, PUBLICATION)]


def after(table: frozenset[tuple[str, str]], state: str) -> set[str]:
    return {now for was, now in table if was == state}


@pytest.mark.parametrize(("states", "table"), TABLES)
def test_every_state_can_be_reached(states: type, table: frozenset[tuple[str, str]]) -> None:
    first = next(iter(states))
    reached, front = {first}, {first}
    while front:
        front = {now for state in front for now in after(table, state)} - reached
        reached |= front
    assert reached == set(states)


@pytest.mark.parametrize(("states", "table"), TABLES)
def test_only_an_expired_lease_stays_where_it_is(states: type, table: frozenset[tuple[str, str]]) -> None:
    assert {pair for pair in table if pair[0] == pair[1]} <= {(Work.RUNNING, Work.RUNNING)}


def test_work() -> None:
    assert after(WORK, Work.RUNNING) == {
        Work.RUNNING, Work.POISONED, Work.DONE, Work.REJECTED, Work.WAITING, Work.READY, Work.FAILED, Work.STOPPED,
        Work.HELD,
    }  # fmt: skip
    assert after(WORK, Work.WAITING) == {Work.READY, Work.STOPPED, Work.HELD, Work.RETIRED}
    assert after(WORK, Work.RETIRED) == {Work.WAITING, Work.HELD}
    assert after(WORK, Work.HELD) == {Work.WAITING, Work.DONE, Work.RETIRED}
    for state in (Work.DONE, Work.REJECTED, Work.FAILED, Work.POISONED, Work.STOPPED):
        assert after(WORK, state) == {Work.WAITING, Work.HELD, Work.RETIRED}
    assert {was for was, now in WORK if now is Work.RUNNING} == {Work.READY, Work.RUNNING}
    assert {was for was, now in WORK if now is Work.STOPPED} == {Work.WAITING, Work.READY, Work.RUNNING}


def test_products_are_never_back_from_the_trash() -> None:
    assert after(PRODUCT, Product.SUPERSEDED) == {Product.TRASH}
    assert after(PRODUCT, Product.TRASH) == {Product.DELETED}
    assert after(PRODUCT, Product.DELETED) == set()


def test_what_is_placed_is_never_taken_back() -> None:
    placed = {Publication.COMMITTED, Publication.RELEASED, Publication.SUPERSEDED, Publication.WITHDRAWN}
    for state in placed:
        assert after(PUBLICATION, state) <= placed
    assert {was for was, now in PUBLICATION if now is Publication.COMMITTED} == {Publication.PLACING}
    assert {was for was, now in PUBLICATION if now is Publication.FAILED} == {
        Publication.INTENDED, Publication.COPIED, Publication.VERIFIED,
    }  # fmt: skip


def test_states_are_their_names() -> None:
    for states in (Work, Product, Publication, Outcome):
        assert [str(state) for state in states] == [state.name.lower() for state in states]
