"""The server on a catalog in PostgreSQL: the same answers, and many who ask for the same at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from towpath.testing.postgres import Server as Postgres


@pytest.fixture
def server(postgres: Postgres, migrated_template: str, make_server: Any) -> Iterator[Any]:
    """A server whose site has its catalog in PostgreSQL."""
    url = postgres.database(template=migrated_template)
    made = make_server(catalog=url)
    yield made
    made.close()
    postgres.drop(url)


def test_a_sample_s_way_through_the_server(server: Any) -> None:
    operator, scientist = server.as_("operator"), server.as_("scientist")
    body = {"kind": "lab/sample", "items": [{"key": "a", "attributes": {"weight": 2, "target": "M31"}}]}
    number = operator.post("/items", body, expect=201)["ids"][0]
    server.run()
    assert operator.get("/items?attribute=target:M31&milestone=Weighed")["items"][0]["id"] == number
    assert operator.get("/items/count?attribute=weight:3")["count"] == 0
    order = scientist.get("/orders?kind=gate")["items"][0]
    scientist.post(f"/orders/{order['id']}/approve", {"why": "fine"})
    server.run()
    one = scientist.get(f"/items/{number}")
    assert one["states"]["publish"] == "done"
    lineage = scientist.get(f"/products/{one['products'][0]['id']}/lineage")
    assert lineage["products"]
    events = scientist.get("/events?limit=1000")["items"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))


def test_what_many_ask_for_under_one_key_is_done_once(server: Any) -> None:
    number = server.sample("a")
    server.run()
    operator = server.as_("operator")

    def ask(_: int) -> int:
        answer = operator.ask(
            "POST", f"/items/{number}/actions", json={"action": "rerun"}, headers={"Idempotency-Key": "k"}
        )
        return int(answer.status_code)

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(ask, range(16)))
    assert found <= {200, 409} and 200 in found
    with server.site.catalog.read() as view:
        assert sum(event.type == "asked to run again" for event in view.events(0, limit=1000)) == 1
