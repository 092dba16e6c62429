"""Notify: which word is said of each event, who is told, and that each thing is told once, whatever is killed."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.adapters.catalog.postgres import PostgresCatalog
from towpath.adapters.catalog.sqlite import SqliteCatalog, migrate
from towpath.base import faults, hashing
from towpath.base.model import Event, Item
from towpath.base.provenance import Fixed
from towpath.base.states import Outcome
from towpath.contracts.catalog import Catalog
from towpath.contracts.definition import Definition, KindPlan, StagePlan
from towpath.contracts.executor import Report
from towpath.contracts.notify import WORDS, Rule
from towpath.flow import notify
from towpath.flow.notify import APART, LISTED, Happened, Notifier, Subscriber, decide, types, word
from towpath.flow.notify import service as notifying
from towpath.flow.notify.decide import _SENTENCES
from towpath.flow.outbox import queue


def never(*_: str) -> bool:
    return False


def event(type_: str, *, item: int = 1, stage: str = "grid", run: str = "4.1", **data: Any) -> Event:
    return Event(7, 100.0, type_, item, stage, run, "gam", data, "survey")


# ---- words


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (event("failed", error=["E: x"]), "failed"),
        (event("failed", again=True), ""),
        (event("poisoned", deaths=4), "poisoned"),
        (event("held", reasons=["rule"]), "held"),
        (event("held", run="", who="ann", why="wait"), "held"),
        (event("rejected"), "rejected"),
        (event("done"), "done"),
        (event("accepted", who="ann"), "done"),
        (event("unchanged"), ""),
        (event("registered"), ""),
        (event("order", order=1, state="open"), "order opened"),
        (event("order", order=1, state="open", who="ann", why="no time"), ""),
        (event("order", order=1, state="open", who="towpath", why="late"), "order expired"),
        (event("order", order=1, state="accepted", who="towpath"), "order expired"),
        (event("order", order=1, state="closed", who="towpath"), "order expired"),
        (event("order", order=1, state="cancelled", who="towpath"), ""),
        (event("order", order=1, state="claimed", who="ann"), ""),
        (event("order reminder", order=1, who=""), "order reminded"),
        (event("delivery", order=1, state="verified"), "delivery verified"),
        (event("delivery", order=1, state="late"), "delivery late"),
        (event("publication", state="committed"), "published"),
        (event("publication", state="conflict"), "conflict"),
        (event("publication", state="copied"), ""),
        (event("missing", path="x"), "damaged"),
        (event("published changed"), "damaged"),
        (event("problem", item=0, source="drop", why="x"), "source problem"),
        (event("source", item=0, source="drop", state="open"), "source problem"),
        (event("source", item=0, source="drop", state="closed"), ""),
        (event("definition refused", item=0, error="x"), "definition refused"),
    ],
)
def test_the_word_of_an_event(found: Event, said: str) -> None:
    assert word(found, never) == said
    assert not said or found.type in types([said])


def test_a_gate_that_waits_is_told_by_its_order_and_not_as_held() -> None:
    def asks(*name: str) -> bool:
        return name == ("gam", "survey", "grid")

    assert word(event("held", reasons=["order-1 waits for people"]), asks) == ""
    assert word(event("held", run="", who="ann"), asks) == "held"  # a person held it


def test_every_word_has_its_sentence_and_its_events() -> None:
    assert set(_SENTENCES) == set(WORDS)
    assert all(types([one]) for one in WORDS)


def test_the_reason_is_short_and_one_line_of_a_traceback() -> None:
    found = notify.happening.happened(
        event("failed", error=["Traceback (most recent call last):\n  File x\nValueError: no bytes"]),
        "failed",
        "S-1",
    )
    assert (found.subject, found.why) == ("gam/survey/S-1", "ValueError: no bytes")
    long = notify.happening.happened(event("rejected", reasons=["x" * 5000]), "rejected", "S-1")
    assert len(long.why) == 400
    held = notify.happening.happened(event("held", who="ann", why="a storm"), "held", "S-1")
    assert held.why == "ann: a storm"
    source = notify.happening.happened(
        event("problem", item=0, stage="", source="drop", why="bad"), "source problem", ""
    )
    assert (source.subject, source.why) == ("gam/drop", "bad")


# ---- who is told


def thing(
    seq: int, on: str = "failed", *, key: str = "", item: int = 0, stage: str = "grid", **more: Any
) -> Happened:
    key = key or f"S-{seq}"
    return Happened(
        seq, 100.0 + seq, on, f"gam/survey/{key}", "gam", "survey", key, item or seq, stage, "4.1", **more
    )


def rule(**more: Any) -> Rule:
    given = {"name": "night", "on": frozenset({"failed"}), "to": ("board",), **more}
    return Rule(**given)


def told(*things: Happened, rules: Sequence[Rule] = (), **more: Any) -> Any:
    given = {"since": {}, "subscribers": {}, **more}
    return decide(rules or [rule()], things, **given)


@pytest.mark.parametrize(
    ("more", "fits"),
    [
        ({}, True),
        ({"on": frozenset({"held"})}, False),
        ({"pipeline": "gam", "kind": "survey", "stage": "grid"}, True),
        ({"pipeline": "other"}, False),
        ({"kind": "model"}, False),
        ({"stage": "detect"}, False),
        ({"item": "S-*"}, True),
        ({"item": "gam/survey/S-1"}, True),
        ({"item": "s-*"}, False),
        ({"item": "T-*"}, False),
    ],
)
def test_what_a_rule_is_about(more: dict[str, Any], fits: bool) -> None:
    assert bool(told(thing(1), rules=[rule(**more)]).messages) == fits


def test_a_rule_about_items_is_not_about_sources() -> None:
    problem = Happened(1, 1.0, "source problem", "gam/drop", "gam")
    about = rule(on=frozenset({"source problem"}))
    assert told(problem, rules=[about]).messages
    assert not told(problem, rules=[replace(about, item="*")]).messages
    assert not told(problem, rules=[replace(about, kind="survey")]).messages


def test_a_message_has_all_that_a_program_or_a_person_needs() -> None:
    (message,) = told(thing(7, why="ValueError: no bytes"), url="https://site/").messages
    assert (message.destination, message.subject) == ("board", "notify/night/7")
    assert message.body == {
        "type": "notification",
        "rule": "night",
        "on": ["failed"],
        "title": "gam/survey/S-7 failed at grid",
        "text": "ValueError: no bytes\nhttps://site/items/7",
        "count": 1,
        "first": 7,
        "last": 7,
        "items": [
            {
                "event": 7, "time": "1970-01-01T00:01:47.000Z", "on": "failed", "name": "gam/survey/S-7", "item": 7,
                "stage": "grid", "run": "4.1", "why": "ValueError: no bytes", "url": "https://site/items/7",
            }
        ],
        "left_out": 0,
    }  # fmt: skip
    json.dumps(message.body)
    assert told(thing(7)).messages[0].body["items"][0]["url"] == ""


def test_few_are_told_one_by_one_and_many_together() -> None:
    few = told(*(thing(seq) for seq in range(1, APART + 1)))
    assert len(few.messages) == APART
    (many,) = told(*(thing(seq) for seq in range(1, 38))).messages
    assert many.body["title"] == "37 items failed in gam/survey grid"
    assert (many.body["count"], len(many.body["items"]), many.body["left_out"]) == (37, 37, 0)
    (storm,) = told(*(thing(seq, on="failed" if seq % 2 else "held") for seq in range(1, 1001)),
                    rules=[rule(on=frozenset({"failed", "held"}))], url="https://s").messages  # fmt: skip
    assert storm.body["title"] == "500 items failed, 500 items are held in gam/survey grid"
    assert (len(storm.body["items"]), storm.body["left_out"]) == (LISTED, 1000 - LISTED)
    assert storm.body["text"].endswith(f"and {1000 - LISTED} more")
    assert storm.body["text"].count("https://s/items/") == LISTED


def test_many_that_differ_are_told_with_what_they_share() -> None:
    (many,) = told(*(thing(seq, stage=f"s{seq % 2}") for seq in range(1, 21))).messages
    assert many.body["title"] == "20 items failed in gam/survey"


def test_badges_and_subscribers_get_notices() -> None:
    rules = [rule(to=("badge:ann", "badge:role:operator", "subscribers"))]
    found = told(thing(1), rules=rules, subscribers={1: [Subscriber("bob")]}, url="https://s")
    assert not found.messages
    assert [(one.who, one.event, one.item, one.title) for one in found.notices] == [
        (who, 1, 1, "gam/survey/S-1 failed at grid") for who in ("ann", "role:operator", "bob")
    ]
    assert found.notices[0].body == "https://s/items/1"


def test_nobody_has_two_notices_of_one_thing() -> None:
    rules = [rule(to=("badge:ann",)), rule(name="other", to=("badge:ann", "subscribers"))]
    found = told(thing(1), rules=rules, subscribers={1: [Subscriber("ann")]})
    assert [one.who for one in found.notices] == ["ann"]


@pytest.mark.parametrize(
    "on", sorted(notify.decide.SUBSCRIBED) if hasattr(notify.decide, "SUBSCRIBED") else ["failed"]
)
def test_a_subscriber_is_told_without_any_rule(on: str) -> None:
    (one,) = told(thing(1, on), rules=[rule(on=frozenset())], subscribers={1: [Subscriber("ann")]}).notices
    assert (one.who, one.item) == ("ann", 1)


def test_a_subscriber_is_not_told_of_each_stage_nor_of_what_was_before() -> None:
    subscribers = {1: [Subscriber("ann", since=102.0)]}
    found = told(thing(1), thing(1, "done"), rules=[rule(on=frozenset())], subscribers=subscribers)
    assert not found.notices
    later = replace(thing(1), seq=2, time=102.0)
    assert [
        one.event for one in told(later, rules=[rule(on=frozenset())], subscribers=subscribers).notices
    ] == [2]


def test_many_notices_to_one_person_are_one() -> None:
    subscribers = {seq: [Subscriber("ann")] for seq in range(1, 21)}
    (one,) = told(
        *(thing(seq) for seq in range(1, 21)), rules=[rule(on=frozenset())], subscribers=subscribers
    ).notices
    assert (one.title, one.item, one.event) == ("20 items failed in gam/survey grid", 0, 20)


def test_a_rule_begins_after_the_event_it_is_there_since() -> None:
    assert [one.body["first"] for one in told(thing(5), thing(6), since={"night": 5}).messages] == [6]


def test_a_source_that_fails_is_told_once() -> None:
    first = Happened(1, 1.0, "source problem", "gam/drop", "gam", why="gone")
    found = told(first, replace(first, seq=2), rules=[rule(on=frozenset({"source problem"}))])
    assert len(found.messages) == 1


@given(st.text(max_size=30))
def test_a_hostile_key_stays_in_its_line(key: str) -> None:
    (message,) = told(thing(1, key=key)).messages
    assert message.body["title"].isprintable()
    assert message.body["items"][0]["name"] == f"gam/survey/{key or 'S-1'}"


# ---- the whole of it, on a real catalog


class Place:
    """A catalog with a route of two stages, a notifier and an outbox."""

    def __init__(self, catalog: Catalog, *rules: Rule) -> None:
        self.catalog = catalog
        stages = {
            name: StagePlan(
                "gam", "survey", name, depth, "", "1", {}, Fixed.of(name, "1", {}), before=before, after=after
            )
            for depth, (name, before, after) in enumerate(
                (("grid", (), ("detect",)), ("detect", ("grid",), ()))
            )
        }
        self.kind = KindPlan("gam", "survey", stages)
        self.definition = Definition("gam", "1", hashing.digest({}), {"survey": self.kind}, {})
        catalog.definitions["gam"] = self.definition  # type: ignore[attr-defined]
        catalog.write(lambda tx: tx.set_definition(self.definition))
        self.notifier = self.another(*rules)

    def another(self, *rules: Rule) -> Notifier:
        """The notifier of another daemon, or of one that was started again."""
        return Notifier(self.catalog, rules, definitions=lambda: {"gam": self.definition}, url="https://s")

    def add(self, count: int = 1, prefix: str = "S") -> list[int]:
        items = [Item("gam", "survey", f"{prefix}-{n}") for n in range(count)]
        return self.catalog.write(lambda tx: tx.add_items(self.kind, items))

    def run(self, outcome: Outcome = Outcome.DONE, stage: str = "grid", limit: int = 256) -> int:
        """Claim and end what is ready."""
        plan = self.kind.stages[stage]

        def transact(tx: Any) -> int:
            rows = tx.claim(self.kind, plan, limit, lease=60.0, owner=1)
            error = "E: no bytes" if outcome is Outcome.FAILED else ""
            tx.complete(
                self.kind,
                plan,
                [(row, Report(row.work, row.token, outcome, 1.0, 1.0, error=error)) for row in rows],
            )
            return len(rows)

        return self.catalog.write(transact)

    def tell(self, notifier: Notifier | None = None) -> None:
        while (notifier or self.notifier).tell():
            pass

    def messages(self, destination: str = "board") -> list[dict[str, Any]]:
        """The bodies in the outbox, in order."""
        rows = self.catalog.write(lambda tx: tx.claim_other(queue(destination), 10_000, lease=0.0, owner=1))
        return [dict(row.payload["body"]) for row in sorted(rows, key=lambda row: row.payload["seq"])]

    def told_of(self, destination: str = "board") -> list[int]:
        """The events that messages list."""
        return [one["event"] for body in self.messages(destination) for one in body["items"]]

    def notices(self, who: str = "ann") -> list[str]:
        with self.catalog.read() as view:
            return [row.title for row in view.notices([who], limit=10_000)]

    def failures(self) -> list[int]:
        with self.catalog.read() as view:
            return [one.seq for one in view.events(types=("failed",), limit=100_000)]

    def subscribe(self, who: str, item: int) -> None:
        self.catalog.write(lambda tx: tx.subscribe(who, item))


@pytest.fixture
def place(anywhere: Callable[[], str], tmp_path: Path) -> Iterator[Callable[..., Place]]:
    made: list[Place] = []

    def make(*rules: Rule) -> Place:
        url = anywhere()
        if not url:
            migrate(tmp_path / "catalog.sqlite")
        catalog: Any = PostgresCatalog(url) if url else SqliteCatalog(tmp_path / "catalog.sqlite")
        made.append(Place(catalog, *rules))
        return made[-1]

    yield make
    for one in made:
        one.catalog.close()


def test_what_fails_is_told_once(place: Callable[..., Place]) -> None:
    here = place(rule())
    here.tell()
    here.add(3)
    here.run(Outcome.FAILED)
    here.tell()
    here.tell()
    here.tell(here.another(rule()))
    bodies = here.messages()
    assert [body["items"][0]["event"] for body in bodies] == here.failures()
    assert bodies[0]["title"] == "gam/survey/S-0 failed at grid"
    assert bodies[0]["text"].startswith("E: no bytes\nhttps://s/items/")


def test_a_fresh_rule_begins_now_and_the_others_go_on(place: Callable[..., Place]) -> None:
    here = place(rule())
    here.add(1)
    here.run(Outcome.FAILED)
    here.tell()  # the first rule begins here
    assert here.messages() == []
    here.add(1, "T")
    here.run(Outcome.FAILED)
    both = here.another(rule(), rule(name="fresh", to=("other",)))
    here.tell(both)
    assert here.told_of() == here.failures()[1:]
    assert here.told_of("other") == []
    here.add(1, "U")
    here.run(Outcome.FAILED)
    here.tell(both)
    assert here.told_of("other") == here.failures()[2:]


def test_a_rule_that_was_away_begins_anew(place: Callable[..., Place]) -> None:
    here = place(rule())
    here.tell()
    here.tell(here.another())
    here.add(2)
    here.run(Outcome.FAILED)
    here.tell(here.another())
    here.tell(here.another(rule()))
    assert here.messages() == []


def test_many_events_are_told_in_parts_and_all_of_them(
    place: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifying, "AT_ONCE", 7)
    monkeypatch.setattr(notifying, "WINDOW", 10)
    here = place(rule())
    here.tell()
    here.add(60)
    here.run(Outcome.FAILED, limit=60)
    here.tell()
    assert here.told_of() == here.failures()
    assert len(here.failures()) > 7
    assert all(body["count"] == 1 or body["count"] > APART for body in here.messages())


def test_two_daemons_tell_of_each_thing_once(
    place: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifying, "AT_ONCE", 3)
    here = place(rule())
    here.tell()
    other = here.another(rule())
    here.tell(other)
    for round_ in range(5):
        here.add(4, f"R{round_}")
        here.run(Outcome.FAILED)
        for _ in range(3):
            here.notifier._pass()
            other._pass()
    here.tell()
    here.tell(other)
    assert here.told_of() == here.failures()


def test_whoever_is_overtaken_writes_nothing_and_reads_on(place: Callable[..., Place]) -> None:
    here = place(rule())
    here.tell()
    other = here.another(rule())
    here.tell(other)
    here.add(2)
    here.run(Outcome.FAILED)
    write, is_first = here.catalog.write, [True]

    def late(work: Any, **how: Any) -> Any:
        if is_first:
            is_first.clear()
            here.tell(other)  # between our look and our writing
        return write(work, **how)

    here.catalog.write = late  # type: ignore[method-assign]
    here.tell()
    here.catalog.write = write  # type: ignore[method-assign]
    assert here.told_of() == here.failures()


@pytest.mark.parametrize("point", ["notify.decided", "catalog.commit", "catalog.committed", "notify.told"])
@pytest.mark.parametrize("nth", [1, 2])
def test_each_thing_is_told_once_whatever_dies(
    place: Callable[..., Place], point: str, nth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifying, "AT_ONCE", 6)
    here = place(rule(to=("board", "badge:ann")))
    here.tell()
    here.add(20)
    here.run(Outcome.FAILED, limit=20)
    faults.arm(f"{point}:{nth}:raise=EIO")
    try:
        with pytest.raises(OSError):
            here.tell()
    finally:
        faults.arm("")
    here.tell(here.another(rule(to=("board", "badge:ann"))))
    assert here.told_of() == here.failures()
    assert sum(int(title.split()[0]) if title[0].isdigit() else 1 for title in here.notices()) == 20


def test_events_that_were_pruned_are_passed_over(place: Callable[..., Place]) -> None:
    here = place(rule())
    here.tell()
    here.add(2)
    here.run(Outcome.FAILED)
    here.catalog.write(lambda tx: tx.prune_events(tx.now() + 1e6, limit=10_000))
    here.add(1, "T")
    here.tell(here.another(rule()))
    here.run(Outcome.FAILED)
    here.tell(here.another(rule()))
    assert len(here.told_of()) == 1


def test_a_site_without_rules_and_subscribers_writes_nothing(place: Callable[..., Place]) -> None:
    here = place()
    here.add(3)
    here.run(Outcome.FAILED)
    here.tell()
    with here.catalog.read() as view:
        assert view.noted(notify.SLOT) == {}


def test_the_place_in_a_long_quiet_story_is_noted(
    place: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifying, "NOTED", 50)
    here = place(rule())
    here.tell()
    here.add(100)
    here.tell()
    with here.catalog.read() as view:
        assert view.noted(notify.SLOT)[""]["after"] == view.last_event()


def test_an_item_is_finished_when_all_its_work_is(place: Callable[..., Place]) -> None:
    here = place(rule(on=frozenset({"finished"})))
    here.tell()
    here.add(2)
    here.run(limit=1)
    here.tell()
    assert here.messages() == []
    here.run()
    here.run(stage="detect")
    here.tell()
    here.tell()
    assert [body["title"] for body in here.messages()] == [
        "gam/survey/S-0 is finished",
        "gam/survey/S-1 is finished",
    ]


def test_an_item_is_finished_once_though_the_reader_is_behind(
    place: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifying, "AT_ONCE", 1)
    here = place(rule(on=frozenset({"finished"})))
    here.tell()
    here.add(1)
    here.run()
    here.run(stage="detect")
    here.tell()
    assert [body["title"] for body in here.messages()] == ["gam/survey/S-0 is finished"]


def test_who_follows_an_item_is_told_what_happens_to_it(place: Callable[..., Place]) -> None:
    here = place()
    first, second = here.add(2)
    here.tell()
    here.subscribe("ann", first)
    here.run()
    here.run(Outcome.FAILED, "detect")
    here.tell()
    assert here.notices() == ["gam/survey/S-0 failed at detect"]
    here.catalog.write(
        lambda tx: tx.retry([row.id for row in tx.work([first])[first] if row.stage == "detect"], "ann")
    )
    here.run(stage="detect")
    here.tell()
    assert here.notices()[1:] == ["gam/survey/S-0 is finished"]
    here.catalog.write(lambda tx: tx.unsubscribe("ann", first))
    here.subscribe("bob", second)
    here.catalog.write(
        lambda tx: tx.retry([row.id for row in tx.work([second])[second] if row.stage == "detect"], "bob")
    )
    here.run(Outcome.FAILED, "detect")
    here.tell()
    assert len(here.notices()) == 2
    assert here.notices("bob") == ["gam/survey/S-1 failed at detect"]
