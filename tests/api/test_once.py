"""What is sent many times at once is done once; of two who change the same, one is told that it changed."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from towpath.contracts.people import AnswerRow

Server = Any
THREADS = 20


def at_once(ask: Callable[[int], Any], count: int = THREADS) -> list[Any]:
    """What is answered to so many who ask in the same moment."""
    barrier = Barrier(count)

    def one(number: int) -> Any:
        barrier.wait()
        return ask(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def happened(server: Server, type_: str) -> int:
    with server.site.catalog.read() as view:
        return sum(event.type == type_ for event in view.events(0, limit=10_000))


def test_one_key_at_once_is_done_once(server: Server) -> None:
    item = server.sample()
    operator = server.as_("operator")

    def flag(_: int) -> Any:
        return operator.ask(
            "POST", f"/items/{item}/flags", json={"value": "x"}, headers={"Idempotency-Key": "k"}
        )

    told = at_once(flag)
    assert {one.status_code for one in told} <= {201, 409}
    assert happened(server, "flagged") == 1
    first = [one for one in told if one.status_code == 201 and "Idempotent-Replayed" not in one.headers]
    assert len(first) == 1
    assert all(one.json() == first[0].json() for one in told if one.status_code == 201)
    assert all(one.json()["error"]["code"] == "repeated" for one in told if one.status_code == 409)
    assert (flag(0).json(), flag(0).headers["Idempotent-Replayed"]) == (first[0].json(), "true")


def test_keys_of_two_people_are_two(server: Server) -> None:
    item = server.sample()
    key = {"Idempotency-Key": "k"}
    for who in ("operator", "scientist"):
        server.as_(who).post(f"/items/{item}/flags", {"value": "x"}, expect=201, headers=key)
    assert happened(server, "flagged") == 2


def test_many_keys_at_once_are_each_done(server: Server) -> None:
    item = server.sample()
    operator = server.as_("operator")
    told = at_once(
        lambda number: operator.ask(
            "POST",
            f"/items/{item}/flags",
            json={"value": str(number)},
            headers={"Idempotency-Key": str(number)},
        )
    )
    assert {one.status_code for one in told} == {201}
    assert happened(server, "flagged") == THREADS


@pytest.mark.parametrize("is_filled", [True, False])
def test_somebody_elsewhere_who_was_first_is_heard(server: Server, monkeypatch: Any, is_filled: bool) -> None:
    """Another server process did it between the look at the key and the act."""
    item = server.sample()
    operator = server.as_("operator")
    who = f"operator#{server.site.person_of(server.secret('operator')).token}"
    sums: list[bytes] = []

    def answer(_site: Any, row: AnswerRow) -> None:
        def write(tx: Any) -> None:
            tx.reserve_answer(AnswerRow(who, row.key, row.sha256, 0, b"another"))
            if is_filled:
                tx.fill_answer(who, row.key, 201, b'{"from": "elsewhere"}')

        server.site.catalog.write(write)
        sums.append(row.sha256)

    monkeypatch.setattr("towpath.api.once._answer", answer)
    for path, body in (
        (f"/items/{item}/flags", {"value": "x"}),
        ("/actions", {"action": "hold", "choice": {"ids": [item]}}),
    ):
        told = operator.ask("POST", path, json=body, headers={"Idempotency-Key": path})
        if is_filled:
            assert (told.status_code, told.json()) == (201, {"from": "elsewhere"}), path
        else:
            assert (told.status_code, told.json()["error"]["code"]) == (409, "repeated"), path
    assert happened(server, "flagged") == happened(server, "held") == 0
    with server.site.catalog.read() as view:
        kept = view.answer(who, "/actions")
    assert kept is not None and kept.body == (b'{"from": "elsewhere"}' if is_filled else b"another")


def test_of_those_who_saw_the_same_state_one_changes_it(server: Server) -> None:
    item = server.sample()
    operator = server.as_("operator")
    etag = operator.ask("GET", f"/items/{item}").headers["ETag"]
    told = at_once(
        lambda _: operator.ask(
            "POST", f"/items/{item}/actions", json={"action": "hold"}, headers={"If-Match": etag}
        ),
        8,
    )
    assert Counter(one.status_code for one in told) == {200: 1, 409: 7}
    assert all(one.json()["error"]["states"]["weigh"] == "held" for one in told if one.status_code == 409)


def test_of_those_who_expect_a_state_one_finds_it(server: Server) -> None:
    item = server.sample()
    operator = server.as_("operator")
    body = {"action": "hold", "stage": "weigh", "expect": "ready"}
    told = at_once(lambda _: operator.ask("POST", f"/items/{item}/actions", json=body), 8)
    assert Counter(one.status_code for one in told) == {200: 1, 409: 7}


def test_a_gate_is_decided_once(server: Server) -> None:
    server.sample()
    server.run()
    scientist = server.as_("scientist")
    verbs = ["approve", "reject"] * 4
    told = at_once(lambda number: scientist.ask("POST", f"/orders/1/{verbs[number]}", json={"why": "x"}), 8)
    assert Counter(one.status_code for one in told) == {200: 1, 409: 7}
