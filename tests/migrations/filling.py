"""A catalog with something in every table, as a site in the middle of its work leaves it, and its use after an upgrade."""

from typing import Any

from towpath.base.model import Features, Flag, Item
from towpath.base.spacetime import Box, Span
from towpath.base.states import Outcome
from towpath.base.states import Product as ProductState
from towpath.base.states import Publication as PublicationState
from towpath.contracts.catalog import PublicationRow
from towpath.contracts.definition import GroupPlan, KindPlan
from towpath.contracts.people import AnswerRow, NoticeRow, TokenRow
from towpath.testing.plans import (
    OVER,
    PIPELINE,
    Bench,
    LoadedCatalog,
    calibration,
    facts,
    kind_plan,
    measured,
    product_of,
    products_of_members,
    sha,
)

ITEM = kind_plan(
    "item",
    {"a": (), "b": ("a",), "c": ("b",)},
    inputs={
        "a": [product_of("")],
        "b": [product_of("a"), calibration(selector="camera"), facts("record"), facts("flags")],
    },
    settings={"a": {"reaches": "Reduced"}, "c": {"service": "publish"}},
)
BIAS = kind_plan("frame", {"make": ()})
GROUP = kind_plan(
    "group",
    {"sum": ()},
    group=GroupPlan("item", "b", size=2),
    inputs={"sum": [products_of_members("b"), facts("record")]},
)
KINDS: tuple[KindPlan, ...] = (ITEM, BIAS, GROUP)
VERDICT = {
    "result": "warn",
    "rules": [{"rule": "r", "measure": "m", "op": "<", "limit": 1, "value": 2, "result": "warn"}],
}
FEATURES = (
    Features(
        "source", "icrs", (-0.5, 12.25), (89.5, -30.0), ("J1", "J2"), (None, 5.0), (None, '{"flux":1.5}')
    ),
)
PLACES = {
    "east": Box(10, -5, 20.5, 5),
    "date line": Box(170, -10, -170, 10),
    "point": Box(-70.25, 1, -70.25, 1),
}


def fill(catalog: LoadedCatalog) -> None:
    """Put something in every table: work done, ready, running, failed, held and stopped; products in every state."""
    b = Bench(catalog, *KINDS)
    places = [*PLACES.values(), None, None, None]
    items = [
        Item(PIPELINE, "item", key, {"camera": "red", "n": number, "title": "Größe 'x'\n"}, Span(4, 6), box)
        for number, (key, box) in enumerate(zip([*PLACES, "failed", "held", "running"], places, strict=True))
    ]
    numbers = catalog.write(lambda tx: tx.add_items(ITEM, items))
    for number in numbers:
        b.add_raw(number, f"raw {number}")
    b.add("f1", kind="frame")
    b.end("make", kind="frame")
    with catalog.read() as view:
        frame = view.products(stages=["make"])[0].id
    number = catalog.write(
        lambda tx: tx.certify(frame, "bias", "red", 0, 10, quality=0.5, by="ann", why="good")
    )
    catalog.write(lambda tx: tx.certify(frame, "bias", "blue", 10, 20, by="ann", why="good"))
    catalog.write(lambda tx: tx.decertify(number + 1, "ann", "bad"))
    _work(b, numbers)
    _people(b, numbers)
    _order(catalog, b.row("b", numbers[-2]).id, numbers[-2])
    _let_in(catalog, numbers[0])


def _work(b: Bench, numbers: list[int]) -> None:
    claims = {claimed.item: claimed for claimed in b.claim("a")}
    done, failed, held = [claims[one] for one in numbers[:3]], claims[numbers[3]], claims[numbers[4]]
    b.finish(
        done,
        "a",
        measures=measured(rms=1.5, n=3),
        caveats=("few stations",),
        verdict=VERDICT,
        features=FEATURES,
        software='{"numpy":"2.3.0"}',
    )
    b.finish([failed], "a", Outcome.FAILED, error="it broke")
    b.finish([held], "a", Outcome.HELD, verdict={**VERDICT, "result": "hold"}, reasons=("too few",))
    b.end("b")
    b.revise("a", numbers[1], force=True)
    b.end("a", content="another")
    b.catalog.write(
        lambda tx: tx.expire(b.owner, give_back=False)
    )  # what is still running is as after a kill
    b.add_group("pair", numbers[:2])
    b.end("sum", kind="group")


def _people(b: Bench, numbers: list[int]) -> None:
    c, product = b.catalog, b.products(numbers[0], "a")[0]
    c.write(lambda tx: tx.add_flag(Flag(numbers[2], {"feed": 3}, "bad", "noisy", "ann", 12.5)))
    c.write(lambda tx: tx.mark([b.products(numbers[2], "a")[0].id], ProductState.MISSING, "gone"))
    c.write(lambda tx: tx.post("hook", "subject", {"text": "one"}))
    c.write(lambda tx: tx.set_slot(tx.slot("rule", "partition"), {"noted": [1, 2]}))
    c.write(lambda tx: tx.hold([b.row("b", numbers[2]).id], "let it be", "ann"))
    _pin(c, product.id)
    plan = b.kind()
    (claimed, *_) = c.write(lambda tx: tx.claim(plan, plan.stages["c"], 1, lease=OVER, owner=b.owner))
    row = PublicationRow(
        0,
        claimed.work,
        claimed.token,
        claimed.item,
        "archive",
        "a/b.fits",
        PublicationState.INTENDED,
        sha("x"),
    )
    opened = c.write(lambda tx: tx.open_publication(claimed, row))
    c.write(lambda tx: tx.move_publication(opened, PublicationState.COPIED, token=claimed.token))


def _order(catalog: Any, work: int, item: int) -> None:
    """An order that was taken, and a delivery that was sent back."""
    catalog.write(
        lambda tx: tx.cursor.execute(
            "INSERT INTO orders (work_id, item_id, queue_id, kind, state, token, key, title, body, who, why, due, opened, "
            "changed) VALUES (?, ?, (SELECT queue_id FROM work WHERE id = ?), 'handoff', 'rejected', 1, ?, 'Draw', '{}', "
            "'ann', 'too small', 5e9, 1e9, 1e9)".replace("key", '"key"', 1),
            (work, item, work, sha("key")),
        )
    )
    catalog.write(
        lambda tx: tx.cursor.execute(
            "INSERT INTO deliveries (order_id, token, sha256, state, who, place, reasons, manifest, time) VALUES "
            "(1, 1, ?, 'rejected', 'ann', '/inbox/order-1', '[\"too small\"]', '{}', 1e9)",
            (sha("manifest"),),
        )
    )


def _let_in(catalog: LoadedCatalog, item: int) -> None:
    """Somebody with a session, who follows an item, has a notice, and was answered."""
    row = TokenRow(0, "person", "ann", ("operator", "viewer@t"), by="root")
    token = catalog.write(lambda tx: tx.add_token(row, sha("secret")))
    session = TokenRow(0, "session", "ann", row.grants, expires=5e9, parent=token.id, by="ann")
    catalog.write(lambda tx: tx.add_token(session, sha("another secret")))
    catalog.write(lambda tx: tx.subscribe("ann", item))
    catalog.write(lambda tx: tx.add_notice(NoticeRow(0, "ann", 1, item, "Größe", "one\ntwo")))
    catalog.write(lambda tx: tx.reserve_answer(AnswerRow("ann", "k", sha("request"), 201, b'{"id":1}')))


def _pin(catalog: Any, product: int) -> None:
    """No verb makes a pin yet."""
    catalog.write(
        lambda tx: tx.cursor.execute(
            "INSERT INTO pins (product_id, author, why, until) VALUES (?, 'ann', 'cited', NULL)", (product,)
        )
    )


def use(catalog: LoadedCatalog) -> None:
    """Go on with what `fill` left: nothing that is done runs again, and what was open comes to its end."""
    with catalog.read() as view:
        done = {
            row.id
            for rows in view.work([one.id for one in view.items()]).values()
            for row in rows
            if row.state == "done"
        }
        keys = {item.key: item for item in view.items()}
        assert {item.footprint for item in view.items(box=Box(175, 0, 176, 1))} == {PLACES["date line"]}
        assert keys["point"].attributes == {"camera": "red", "n": 2, "title": "Größe 'x'\n"}
        red = [item.key for item in keys.values() if item.attributes.get("camera") == "red"]
        assert [item.key for item in view.items(attributes={"camera": "red"})] == red
        assert [item.key for item in view.items(attributes={"n": 2.0}, since=5, until=6)] == ["point"]
        assert "east" in [item.key for item in view.items(milestone="Reduced", kind="item")]
        last = view.last_event()
        assert len(done) >= 4
        assert [event.seq for event in view.events(limit=1000)] == list(range(1, last + 1))
    before = _runs(catalog)
    b = Bench(catalog, *KINDS)
    east = keys["east"].id
    assert {name: b.state(name, east).value for name in ("a", "b")} == {"a": "done", "b": "done"}
    catalog.write(lambda tx: tx.retry([b.row("a", keys["failed"].id).id], "ann"))
    catalog.write(lambda tx: tx.release([b.row("a", keys["held"].id).id], "ann", accept=True))
    b.drain()
    assert b.states(keys["failed"].id)["b"] == b.states(keys["held"].id)["b"] == "done"
    assert b.states(keys["running"].id)["b"] == "done"
    assert not done & {work for work, _ in _runs(catalog) - before}
    (again,) = b.add("new")
    assert again > max(item.id for item in keys.values())
    with catalog.read() as view:
        (flag,) = view.flags(keys["point"].id)
        assert (flag.part, flag.author) == ({"feed": 3}, "ann")
        (publication,) = view.publications(east)
        assert publication.state is PublicationState.COPIED
        assert [one.state for one in view.calibrations()] == ["certified"]
        assert view.last_event() > last


def _runs(catalog: LoadedCatalog) -> set[tuple[int, int]]:
    with catalog.read() as view:
        return {(run.work, run.token) for item in view.items() for run in view.runs(item.id, limit=1000)}
