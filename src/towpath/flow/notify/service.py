"""The notifier: reads the story on from where it was, and writes what rules and subscribers are told.

Promises that messages, notices and the place in the story are written in one transaction, so that each thing is told once
whatever is killed and however many daemons there are, and that a rule which is new begins with what happens from now on.
Never sends anything: the outbox does.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from towpath.base import faults
from towpath.base.errors import StateError
from towpath.base.model import Event
from towpath.base.states import Work
from towpath.contracts.catalog import Catalog, Transaction, View
from towpath.contracts.definition import Definition
from towpath.contracts.notify import Rule
from towpath.contracts.orders import GATE, HANDOFF
from towpath.flow.notify.decide import SUBSCRIBED, Subscriber, Told, decide
from towpath.flow.notify.happening import ENDS, FINISHED, Happened, happened, types, word

log = logging.getLogger(__name__)

SLOT = "notify"
AT_ONCE = 500  # events that one transaction tells of
WINDOW = 50_000  # numbers of events that one look goes over at most
NOTED = 10_000  # numbers without anything to tell after which the place is noted all the same
SECONDS = 0.2  # that one call takes at most, but for the transaction it is in


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the reading is: events up to `after` were told of; by rule the event since which it is there."""

    after: int
    rules: Mapping[str, int]


class Notifier:
    """Tells whoever wants to know what happens on a site.

    Parameters
    ----------
    catalog
        Where the story, the outbox and the notices are.
    rules
        The rules of the site.
    definitions
        The active definitions by pipeline.
    url
        Where the site's pages are, for links; "" if nowhere.
    """

    def __init__(
        self,
        catalog: Catalog,
        rules: Sequence[Rule],
        *,
        definitions: Callable[[], Mapping[str, Definition]],
        url: str = "",
    ) -> None:
        self._catalog, self._rules, self._definitions, self._url = catalog, tuple(rules), definitions, url
        self._read = -1  # events up to here are of no interest
        self._ended = -1  # the newest event when there was nothing more to read

    def tell(self) -> bool:
        """Tell of what happened since; to be called about once a second. Whether anything is left to be told."""
        started = time.monotonic()
        while self._pass():
            if time.monotonic() - started > SECONDS:
                return True
        return False

    def _pass(self) -> bool:
        """Read on by one step; whether there is more."""
        with self._catalog.read() as view:
            last = view.last_event()
            if last == self._ended:
                return False
            place = _place(view.noted(SLOT).get(""))
            subscribers = _subscribers(view)
            if not self._rules and not subscribers and (place is None or not place.rules):
                self._read = self._ended = last
                return False
            known = {rule.name for rule in self._rules}
            if place is not None and set(place.rules) == known:
                upto, told = self._look(view, place, last, subscribers)
        if place is None or set(place.rules) != known:
            first = last if self._read < 0 else self._read
            self._catalog.write(lambda tx: self._begin(tx, first, bool(subscribers)))
            return True
        if told.messages or told.notices or upto - place.after >= NOTED:
            faults.point("notify.decided")
            is_ours = self._catalog.write(lambda tx: _write(tx, place, upto, told))
            faults.point("notify.told")
            if not is_ours:
                return True
        self._read = upto
        self._ended = last if upto >= last else -1
        return upto < last

    def _begin(self, tx: Transaction, last: int, subscribed: bool) -> None:
        """Note which rules there are: those that are new begin here."""
        slot = tx.slot(SLOT, "")
        place = _place(slot.data) or _Place(last, {})
        # A place at which nobody wanted to know anything is none to read on from.
        after = place.after if place.rules or slot.data.get("subscribed") else last
        rules = {rule.name: place.rules.get(rule.name, last) for rule in self._rules}
        tx.set_slot(slot, {"after": after, "rules": rules, "subscribed": subscribed})

    # ---- reading
    def _look(
        self, view: View, place: _Place, last: int, subscribers: Mapping[int, Sequence[Subscriber]]
    ) -> tuple[int, Told]:
        """What is to be told of the next events, and the number up to which that is all."""
        words = {one for rule in self._rules for one in rule.on} | (SUBSCRIBED if subscribers else set())
        after = _kept(view, max(place.after, self._read), last)
        until = min(last, after + WINDOW)
        events = view.events(after, types=types(words), until=until, limit=AT_ONCE)
        upto = events[-1].seq if len(events) == AT_ONCE else until
        found = [one for one in self._happened(view, events, subscribers) if one.on in words]
        since = place.rules
        return upto, decide(self._rules, found, since=since, subscribers=subscribers, url=self._url)

    def _happened(
        self, view: View, events: Sequence[Event], subscribers: Mapping[int, Sequence[Subscriber]]
    ) -> list[Happened]:
        keys = view.item_keys(sorted({event.item for event in events if event.item}))
        found: list[Happened] = []
        for event in events:
            if said := word(event, self._asks):
                found.append(happened(event, said, keys.get(event.item, "")))
        wants_all = any(FINISHED in rule.on for rule in self._rules)
        ends = [
            event
            for event in events
            if event.type in ENDS and event.item and (wants_all or event.item in subscribers)
        ]
        found += [
            replace(happened(event, FINISHED, keys.get(event.item, "")), stage="", run="", why="")
            for event in _last_ends(view, ends)
        ]
        return sorted(found, key=lambda one: one.seq)

    def _asks(self, pipeline: str, kind: str, stage: str) -> bool:
        definition = self._definitions().get(pipeline)
        plan = definition.kinds.get(kind) if definition else None
        return bool(plan and stage in plan.stages and plan.stages[stage].service in (GATE, HANDOFF))


def _kept(view: View, after: int, last: int) -> int:
    """Where to read on from: where the reading was, or behind what was pruned before anybody was told of it."""
    try:
        view.events(after, limit=1)
    except StateError as error:
        log.warning("events are gone before anybody was told of them: %s", error)
        oldest = view.events(0, limit=1)
        return oldest[0].seq - 1 if oldest else last
    return after


def _last_ends(view: View, ends: Sequence[Event]) -> list[Event]:
    """Those events after which an item was done as a whole: all its work is done, and no later one says so."""
    last = {event.item: event for event in ends}
    work = view.work(sorted(last))
    whole = [
        event
        for item, event in last.items()
        if work.get(item) and {row.state for row in work[item]} - {Work.RETIRED} == {Work.DONE}
    ]
    return [event for event in whole if not view.events(event.seq, item=event.item, types=ENDS, limit=1)]


def _place(data: Mapping[str, Any] | None) -> _Place | None:
    return _Place(int(data["after"]), dict(data["rules"])) if data else None


def _subscribers(view: View) -> dict[int, list[Subscriber]]:
    found: dict[int, list[Subscriber]] = {}
    for row in view.subscriptions():
        found.setdefault(row.item, []).append(Subscriber(row.who, row.since))
    return found


# ---- writing


def _write(tx: Transaction, place: _Place, upto: int, told: Told) -> bool:
    """Write what is told and how far; False, and nothing is written, if somebody else has told of it."""
    slot = tx.slot(SLOT, "")
    if slot.data.get("after") != place.after:
        return False
    for message in told.messages:
        tx.post(message.destination, message.subject, message.body)
    for notice in told.notices:
        tx.add_notice(notice)
    tx.set_slot(slot, {**slot.data, "after": max(upto, place.after)})
    return True
