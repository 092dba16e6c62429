"""Hand-off: orders whose dates pass, people who may and may not, deliveries of every kind; time goes on when it is told."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from towpath.adapters.catalog.sqlite import SqliteCatalog, migrate
from towpath.adapters.executors.staging import take_in
from towpath.base import hashing
from towpath.base.errors import StateError
from towpath.base.model import Item
from towpath.base.provenance import Fixed
from towpath.base.states import Delivery, Order, Outcome, Work
from towpath.contracts.catalog import Claimed, OrderRow
from towpath.contracts.definition import Definition, KindPlan, StagePlan
from towpath.contracts.executor import Report
from towpath.contracts.orders import MANIFEST
from towpath.flow import handoff

DAY = 86400.0
ASKED = {
    "picks": {"type": "table/picks", "file": "*.csv", "least": 4, "optional": False},
    "notes": {"type": "text/notes", "file": "notes.txt", "least": 1, "optional": True},
}
DRAW = {
    "title": "Draw {item.key}", "instructions": "as {kind}s are drawn", "people": ["ann", "b*"], "lease": 10 * DAY,
    "remind": 2 * DAY, "inbox": "inbox", "check": "", "opens": "Waits", "notify": None, "consumes": {}, "produces": ASKED,
}  # fmt: skip


class Desk:
    """A site with one item that waits for people."""

    def __init__(self, folder: Path, service: str = "handoff", **params: Any) -> None:
        self.time = 1_700_000_000.0
        self.folder = folder
        self.places = {name: f"{folder}/{name}/" for name in ("store", "inbox")}
        for place in self.places.values():
            Path(place).mkdir()
        migrate(folder / "catalog.sqlite")
        self.catalog = SqliteCatalog(folder / "catalog.sqlite", now=lambda: self.time)
        given = {**(DRAW if service == "handoff" else {}), **params}
        outputs = {name: one["type"] for name, one in ASKED.items()} if service == "handoff" else {}
        self.stage = StagePlan(
            "line", "survey", "ask", 0, "", "1", given, Fixed.of("ask", "1", {}), outputs=outputs,
            optional_outputs=frozenset({"notes"}), service=service,
        )  # fmt: skip
        self.kind = KindPlan("line", "survey", {"ask": self.stage})
        self.definition = Definition("line", "1", hashing.digest({}), {"survey": self.kind}, {})
        self.catalog.definitions["line"] = self.definition
        for name, place in self.places.items():
            self.catalog.write(lambda tx, n=name, p=place: tx.set_root(n, p))
        self.catalog.write(lambda tx: tx.set_definition(self.definition))
        (self.item,) = self.catalog.write(lambda tx: tx.add_items(self.kind, [Item("line", "survey", "S-1")]))
        self.service = handoff.Desk(
            self.catalog,
            definitions=lambda: {"line": self.definition},
            places=lambda: self.places,
            take=partial(take_in, flush_below=""),
            destinations=("bus",),
        )
        self.check: Callable[..., Any] | None = None
        self.minder = handoff.Minder(self.catalog, lambda: self.places, lambda name: self.check)

    def turn(self) -> Report | None:
        """Do what is to be done for the stage, as the daemon does."""
        rows = self.catalog.write(lambda tx: tx.claim(self.kind, self.stage, 1, lease=60.0, owner=1))
        return self.end(rows[0]) if rows else None

    def end(self, claimed: Claimed) -> Report:
        report = self.service(self.kind, self.stage, claimed)

        def transact(tx: Any) -> None:
            done = tx.complete(self.kind, self.stage, [(claimed, report)]).done
            handoff.accepted(tx, self.definition, self.kind, self.stage, [item for _, item in done])

        self.catalog.write(transact)
        return report

    def mind(self) -> int:
        """Do what is due of orders; returns how many."""
        rows = self.catalog.write(lambda tx: tx.claim_other(handoff.CLOCK, 10, lease=60.0, owner=1))
        for row in rows:
            self.minder(row)
        return len(rows)

    @property
    def order(self) -> OrderRow:
        with self.catalog.read() as view:
            return view.orders()[-1]

    @property
    def state(self) -> Work:
        with self.catalog.read() as view:
            return view.work([self.item])[self.item][0].state

    @property
    def box(self) -> Path:
        return handoff.box_of(self.places, self.order)

    def messages(self) -> list[str]:
        """What the outbox was given, in order."""
        found = self.catalog.write(
            lambda tx: tx.claim_other(("", "message", "bus"), 100, lease=60.0, owner=1)
        )
        for one in found:
            self.catalog.write(lambda tx, one=one: tx.finish(one))
        more = self.messages() if found else []
        return [str(one.payload["body"]["type"]).removeprefix("order ") for one in found] + more

    def act(self, verb: Callable[..., OrderRow], *given: Any, **more: Any) -> OrderRow:
        number = self.order.id
        return self.catalog.write(lambda tx: verb(tx, number, *given, **more))

    def put(self, delivered: Mapping[str, bytes], **more: Any) -> None:
        """Deliver files; `more` changes the manifest."""
        named = []
        for name, content in delivered.items():
            path = self.box / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
            named.append({"path": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()})
        manifest = {
            "order": self.order.id,
            "token": self.order.token,
            "files": named,
            "operator": "ann",
            **more,
        }
        (self.box / MANIFEST).write_text(json.dumps(manifest))

    def look(self) -> handoff.Examined:
        return handoff.receive(self.catalog, self.order.id, self.box, check=self.check)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    report = made.turn()
    assert report is not None and report.outcome is Outcome.HELD
    yield made
    made.catalog.close()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    made: list[Desk] = []

    def make(**params: Any) -> Desk:
        made.append(Desk(tmp_path, "gate", **params))
        made[0].turn()
        return made[0]

    yield make
    made[0].catalog.close()


# ---- people and dates


def test_whoever_is_entitled_takes_it_once(desk: Desk) -> None:
    assert (desk.order.title, desk.order.body["instructions"]) == ("Draw S-1", "as surveys are drawn")
    with pytest.raises(StateError, match="for ann, b\\*, and not for carl"):
        desk.act(handoff.claim, "carl")
    assert desk.act(handoff.claim, "ann").due == desk.time + 10 * DAY
    with pytest.raises(StateError, match="taken by ann"):
        desk.act(handoff.claim, "ben")
    assert desk.act(handoff.assign, "ben", "ann", "holiday").who == "ben"
    assert desk.order.token == 2 and desk.order.why == "holiday"
    with pytest.raises(StateError, match="is with ben; it can be assigned"):
        desk.act(handoff.give_back, "ann")
    desk.act(handoff.give_back, "ben", "no time")
    assert (desk.order.state, desk.order.who) == (Order.OPEN, "")
    with pytest.raises(StateError, match="a work order"):
        desk.act(handoff.approve, "ann")
    assert desk.messages() == ["open", "claimed", "claimed", "open"]


def test_of_many_who_take_it_at_once_one_does(desk: Desk) -> None:
    won: list[str] = []

    def take(who: str) -> None:
        try:
            desk.act(handoff.claim, who)
            won.append(who)
        except StateError:
            pass

    threads = [threading.Thread(target=take, args=(f"b{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and desk.order.who == won[0] and desk.order.token == 1


def test_a_reminder_comes_once_and_then_it_is_open_again(desk: Desk) -> None:
    desk.act(handoff.claim, "ann")
    desk.time += 7 * DAY
    desk.mind()
    assert "reminder" not in desk.messages()
    desk.time += 1.1 * DAY
    assert desk.mind() == 1
    (desk.box / MANIFEST).write_text("{}")  # something changes in the box: it is looked at again
    handoff.Boxes(desk.catalog, lambda: desk.places).look()
    desk.mind()
    assert desk.messages().count("reminder") == 1
    (desk.box / MANIFEST).unlink()
    desk.time += 2 * DAY
    desk.mind()
    assert desk.order.state is Order.OPEN and desk.order.why == "ann did not deliver in time"
    assert desk.messages()[-1] == "open"


@pytest.mark.parametrize(
    ("policy", "state", "work"),
    [
        ("approve", Order.ACCEPTED, Work.DONE),
        ("reject", Order.CLOSED, Work.REJECTED),
        ("remind", Order.OPEN, Work.HELD),
    ],
)
def test_a_gate_that_nobody_answers(gate: Callable[..., Desk], policy: str, state: Order, work: Work) -> None:
    desk = gate(title="Go on?", timeout=DAY, on_timeout=policy, people=("ann",))
    assert desk.state is Work.HELD
    desk.time += 0.5 * DAY
    desk.mind()
    assert desk.order.state is Order.OPEN
    desk.time += 0.6 * DAY
    desk.mind()
    desk.turn()
    assert (desk.order.state, desk.state) == (state, work)
    assert ("reminder" in desk.messages()) == (policy == "remind")


def test_an_answer_that_comes_while_the_desk_looks_is_not_missed(gate: Callable[..., Desk]) -> None:
    desk = gate(title="Go on?")
    desk.catalog.write(lambda tx: tx.release([tx.work([desk.item])[desk.item][0].id]))
    (claimed,) = desk.catalog.write(lambda tx: tx.claim(desk.kind, desk.stage, 1, lease=60.0, owner=1))
    report = desk.service(desk.kind, desk.stage, claimed)
    assert report.outcome is Outcome.HELD
    desk.act(handoff.approve, "ann")  # after the look, before it is written down
    desk.catalog.write(lambda tx: tx.complete(desk.kind, desk.stage, [(claimed, report)]))
    assert desk.state is Work.READY
    desk.turn()
    assert desk.state is Work.DONE


def test_a_desk_that_died_after_it_asked_does_not_ask_twice(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    (claimed,) = desk.catalog.write(lambda tx: tx.claim(desk.kind, desk.stage, 1, lease=60.0, owner=1))
    desk.service(desk.kind, desk.stage, claimed)  # and its process is killed
    desk.time += 61.0
    assert desk.turn().outcome is Outcome.HELD  # type: ignore[union-attr]
    with desk.catalog.read() as view:
        assert len(view.orders()) == 1
    late = desk.service(desk.kind, desk.stage, claimed)
    assert late.outcome is Outcome.HELD
    desk.catalog.close()


# ---- deliveries


def test_what_is_whole_is_taken_in(desk: Desk) -> None:
    desk.act(handoff.claim, "ann")
    desk.put({"survey.csv": b"a,b\n1,2\n", "notes.txt": b"clear"}, software={"draw": "2.1"})
    assert desk.look().state is Delivery.VERIFIED
    for verb, given in ((handoff.claim, ("ben",)), (handoff.assign, ("ben", "ann"))):
        with pytest.raises(StateError, match="was delivered by ann"):
            desk.act(verb, *given)
    report = desk.turn()
    assert report is not None and report.outcome is Outcome.DONE and report.reasons == ()
    assert {output.name: Path(output.path).read_bytes() for output in report.outputs} == {
        "picks": b"a,b\n1,2\n", "notes": b"clear"
    }  # fmt: skip
    assert (desk.order.state, desk.state) == (Order.ACCEPTED, Work.DONE)
    with desk.catalog.read() as view:
        (delivery,) = view.deliveries(desk.order.id)
    assert delivery.manifest["software"] == {"draw": "2.1"}
    assert desk.messages() == ["open", "claimed", "delivered", "accepted"]
    assert not desk.mind() or desk.order.state is Order.ACCEPTED


def test_what_is_optional_may_be_missing(desk: Desk) -> None:
    desk.act(handoff.claim, "ann")
    desk.put({"survey.csv": b"a,b\n1,2\n"})
    assert desk.look().state is Delivery.VERIFIED
    report = desk.turn()
    assert report is not None and [output.name for output in report.outputs] == ["picks"]


def _link(desk: Desk) -> None:
    desk.put({"survey.csv": b"a,b\n1,2\n"})
    secret = desk.folder / "secret"
    secret.write_bytes(b"a,b\n1,2\n")
    (desk.box / "survey.csv").unlink()
    (desk.box / "survey.csv").symlink_to(secret)


@pytest.mark.parametrize(
    ("deliver", "state", "reason"),
    [
        (lambda d: d.put({"survey.csv": b"a,b\n"}, files="none"), Delivery.REJECTED, "files: "),
        (lambda d: d.put({"survey.csv": b"a,b\n"}, order=99), Delivery.REJECTED, "order: found 99; expected 1"),
        (lambda d: (d.box / MANIFEST).write_text("picks"), Delivery.REJECTED, "the file: Invalid JSON"),
        (lambda d: d.put({"survey.csv": b"a"}), Delivery.REJECTED, "found 1 bytes; expected at least 4"),
        (lambda d: d.put({"other.dat": b"a,b\n"}), Delivery.REJECTED, "picks: found no file; expected one named *.csv"),
        (
            lambda d: d.put({"a.csv": b"a,b\n", "b.csv": b"a,b\n"}),
            Delivery.REJECTED,
            "picks: found a.csv, b.csv; expected one file",
        ),
        (
            lambda d: (d.put({"survey.csv": b"a,b\n"}), (d.box / "survey.csv").write_bytes(b"a,c\n")),
            Delivery.REJECTED,
            "survey.csv: found sha256",
        ),
        (
            lambda d: (d.put({"survey.csv": b"a,b\n"}), (d.box / "survey.csv").write_bytes(b"longer")),
            Delivery.REJECTED,
            "survey.csv: found 6 bytes; expected 4",
        ),
        (
            lambda d: d.put({}, files=[{"path": "../x.csv", "bytes": 1, "sha256": "0" * 64}]),
            Delivery.REJECTED,
            "no path inside of the delivery",
        ),
        (
            lambda d: d.put({}, files=[{"path": "x.csv", "bytes": 1, "sha256": "0" * 64}] * 2),
            Delivery.REJECTED,
            "files named twice: x.csv",
        ),
        (
            lambda d: (d.put({"survey.csv": b"a,b\n"}), (d.box / "more.txt").write_bytes(b"x")),
            Delivery.QUARANTINED,
            "more.txt: a file that MANIFEST.json does not name",
        ),
        (_link, Delivery.QUARANTINED, "survey.csv: found a link"),
        (lambda d: (d.box / MANIFEST).symlink_to("/etc/hostname"), Delivery.QUARANTINED, "found a link or a folder"),
        (lambda d: (d.box / MANIFEST).write_bytes(b" " * (17 << 20)), Delivery.QUARANTINED, "expected at most"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_and_sent_back(
    desk: Desk, deliver: Callable[[Desk], Any], state: Delivery, reason: str
) -> None:
    desk.act(handoff.claim, "ann")
    deliver(desk)
    found = desk.look()
    assert found.state is state and any(reason in one for one in found.reasons), found.reasons
    assert desk.order.state.value == state.value and reason in desk.order.why
    assert (desk.order.who, desk.state) == ("ann", Work.HELD)
    assert desk.turn() is None
    again = desk.look()  # the same delivery: nothing changes
    with desk.catalog.read() as view:
        assert again.reasons == found.reasons and len(view.deliveries(desk.order.id)) == 1
    for path in (
        desk.box / MANIFEST,
        *desk.box.glob("*.csv"),
        *desk.box.glob("*.dat"),
        *desk.box.glob("more*"),
    ):
        path.unlink(missing_ok=True)
    desk.put({"survey.csv": b"a,b\n1,2\n"})
    assert desk.look().state is Delivery.VERIFIED
    report = desk.turn()
    assert report is not None and desk.state is Work.DONE, report


def test_a_check_that_fails_puts_the_delivery_aside_until_a_person_takes_it(desk: Desk) -> None:
    def check(files: Any, order: Any) -> list[str]:
        raise RuntimeError("no licence")

    desk.check = check
    desk.act(handoff.claim, "ann")
    desk.put({"survey.csv": b"a,b\n1,2\n"})
    assert desk.look().reasons == ("its check failed: RuntimeError: no licence",)
    assert desk.order.state is Order.QUARANTINED
    with pytest.raises(StateError, match="needs its reason"):
        desk.act(handoff.take, "ben", "")
    with pytest.raises(StateError, match="has no delivery 7"):
        desk.act(handoff.take, "ben", "good", delivery=7)
    desk.act(handoff.take, "ben", "looked at it")
    desk.turn()
    assert desk.state is Work.DONE and desk.order.why == "taken by ben: looked at it"


def test_a_delivery_that_is_cut_off_waits(desk: Desk) -> None:
    desk.act(handoff.claim, "ann")
    desk.put({"survey.csv": b"a,b\n1,2\n"})
    (desk.box / "survey.csv").rename(desk.folder / "survey.csv")
    assert desk.look().reasons == ("survey.csv is not there yet",)
    assert desk.order.state is Order.CLAIMED
    boxes = handoff.Boxes(desk.catalog, lambda: desk.places)
    assert (boxes.look(), boxes.look()) == (1, 0)
    (desk.folder / "survey.csv").rename(desk.box / "survey.csv")
    assert boxes.look() == 1
    desk.mind()
    assert desk.order.state is Order.DELIVERED


def test_a_delivery_to_an_older_claim_is_late(desk: Desk) -> None:
    desk.act(handoff.claim, "ann")
    desk.put({"survey.csv": b"a,b\n1,2\n"})
    desk.act(handoff.give_back, "ann")
    assert desk.look().state is not None
    with desk.catalog.read() as view:
        (delivery,) = view.deliveries(desk.order.id)
    assert (delivery.state, desk.order.state) == (Delivery.LATE, Order.OPEN)
    desk.act(handoff.take, "ben", "it is what we want")
    desk.turn()
    assert desk.state is Work.DONE


def test_a_file_that_becomes_a_link_after_it_was_verified_is_not_followed(desk: Desk) -> None:
    desk.act(handoff.claim, "ann")
    desk.put({"survey.csv": b"a,b\n1,2\n"})
    desk.look()
    secret = desk.folder / "secret"
    secret.write_bytes(b"secret")
    (desk.box / "survey.csv").unlink()
    (desk.box / "survey.csv").symlink_to(secret)
    report = desk.turn()
    assert report is not None and report.outcome in (Outcome.FAILED, Outcome.HELD)
    assert not [path for path in (desk.folder / "store").rglob("*") if path.is_file()]


def test_a_changed_delivery_goes_back_and_leaves_nothing(desk: Desk) -> None:
    desk.act(handoff.claim, "ann")
    desk.put({"survey.csv": b"a,b\n1,2\n"})
    desk.look()
    (desk.box / "survey.csv").write_bytes(b"a,b\n9,9\n")
    report = desk.turn()
    assert report is not None and report.reasons == ("order-1: survey.csv is not what was verified",)
    assert (desk.order.state, desk.state) == (Order.CLAIMED, Work.HELD)
    assert not [path for path in (desk.folder / "store").rglob("*") if path.is_file()]
    desk.put({"survey.csv": b"a,b\n9,9\n"})
    assert desk.look().state is Delivery.VERIFIED
    desk.turn()
    assert desk.state is Work.DONE
