"""Who is told what: rules and subscriptions against what happened. Pure functions from values to values.

Promises that nobody has two notices of one event, that very many things of one rule are told in one message, and that what
is told of them stays short.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from towpath.base import clock
from towpath.contracts.notify import BADGE, SUBSCRIBERS, WORDS, Rule
from towpath.contracts.people import NoticeRow
from towpath.flow.notify.happening import Happened

APART = 5  # of one rule in one pass; more of them are told together
LISTED = 50  # things that are named when many are told together

# What a subscriber of an item is told of it.
SUBSCRIBED = frozenset(WORDS) - {"done", "source problem", "definition refused"}

# The sentence about one, and what follows a number of them.
_SENTENCES: Mapping[str, tuple[str, str]] = {
    "failed": ("{subject} failed", "items failed"),
    "poisoned": ("{subject} is poisoned", "items are poisoned"),
    "held": ("{subject} is held", "items are held"),
    "rejected": ("{subject} was rejected", "items were rejected"),
    "done": ("{subject} is done", "items are done"),
    "finished": ("{subject} is finished", "items are finished"),
    "order opened": ("{subject} waits for people", "orders were opened"),
    "order reminded": ("{subject} still waits for people", "orders wait still"),
    "order expired": ("{subject}: nobody answered in time", "orders were not answered in time"),
    "delivery verified": ("a delivery for {subject} was verified", "deliveries were verified"),
    "delivery rejected": ("a delivery for {subject} was rejected", "deliveries were rejected"),
    "delivery quarantined": ("a delivery for {subject} was put aside", "deliveries were put aside"),
    "delivery late": ("a delivery for {subject} came late", "deliveries came late"),
    "published": ("{subject} is published", "publications"),
    "conflict": ("{subject} cannot be published: its place is taken", "publications are in conflict"),
    "damaged": ("a product of {subject} is damaged", "products are damaged"),
    "source problem": ("the source {subject} has a problem", "problems of sources"),
    "definition refused": ("the pipeline file of {subject} was refused", "pipeline files were refused"),
}


@dataclass(frozen=True, slots=True)
class Message:
    """A message for the outbox."""

    destination: str
    subject: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Subscriber:
    """Who wants to know what happens to an item, and since when (seconds since the epoch)."""

    who: str
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class Told:
    """What is to be written: messages and notices."""

    messages: tuple[Message, ...] = ()
    notices: tuple[NoticeRow, ...] = ()


@dataclass(slots=True)
class _Pass:
    """What one pass has found to tell."""

    link: Callable[[int], str]
    messages: list[Message] = field(default_factory=list)
    notices: list[NoticeRow] = field(default_factory=list)
    noticed: set[tuple[str, int]] = field(default_factory=set)


def decide(
    rules: Sequence[Rule],
    found: Sequence[Happened],
    *,
    since: Mapping[str, int],
    subscribers: Mapping[int, Sequence[Subscriber]],
    url: str = "",
) -> Told:
    """What rules and subscribers are told of what happened.

    Parameters
    ----------
    rules
        The rules.
    found
        What happened, in order.
    since
        By rule the number of the last event before it was there.
    subscribers
        By item.
    url
        Where the site's pages are, for links; "" if nowhere.
    """
    found = _once(found)
    told = _Pass(lambda item: f"{url.rstrip('/')}/items/{item}" if url and item else "")
    for rule in rules:
        fitting = [one for one in found if one.seq > since.get(rule.name, 0) and fits(rule, one)]
        for to in rule.to:
            if to == SUBSCRIBERS:
                _to_subscribers(told, fitting, subscribers)
            elif to.startswith(BADGE):
                _notice(told, to.removeprefix(BADGE), fitting)
            else:
                told.messages += (
                    Message(to, f"notify/{rule.name}/{part[0].seq}", body(rule.name, part, told.link))
                    for part in _gathered(fitting)
                )
    _to_subscribers(told, [one for one in found if one.on in SUBSCRIBED], subscribers)
    return Told(tuple(told.messages), tuple(told.notices))


def _once(found: Sequence[Happened]) -> list[Happened]:
    """Without what was said already: a source that fails is told as a failure and as a problem."""
    kept = {
        (one.on, one.subject, one.why) if not one.item else (one.seq, one.on): one for one in reversed(found)
    }
    return sorted(kept.values(), key=lambda one: one.seq)


def fits(rule: Rule, one: Happened) -> bool:
    """Whether a rule is about this."""
    return (
        one.on in rule.on
        and rule.pipeline in ("", one.pipeline)
        and rule.kind in ("", one.kind)
        and rule.stage in ("", one.stage)
        and (not rule.item or (bool(one.item) and _is_named(one, rule.item)))
    )


def _is_named(one: Happened, pattern: str) -> bool:
    return fnmatchcase(one.key, pattern) or fnmatchcase(one.subject, pattern)


def _to_subscribers(
    told: _Pass, found: Iterable[Happened], subscribers: Mapping[int, Sequence[Subscriber]]
) -> None:
    wanted: dict[str, list[Happened]] = {}
    for one in found:
        for subscriber in subscribers.get(one.item, ()) if one.item else ():
            if one.time >= subscriber.since:
                wanted.setdefault(subscriber.who, []).append(one)
    for who, mine in wanted.items():
        _notice(told, who, mine)


def _notice(told: _Pass, who: str, found: Sequence[Happened]) -> None:
    fresh = [one for one in found if (who, one.seq) not in told.noticed]
    told.noticed.update((who, one.seq) for one in fresh)
    for part in _gathered(fresh):
        last = part[-1]
        item = last.item if len({one.item for one in part}) == 1 else 0
        told.notices.append(
            NoticeRow(0, who, last.seq, item, title(part), _lines(part, told.link), last.time, None)
        )


def _gathered(found: Sequence[Happened]) -> list[Sequence[Happened]]:
    """Each by itself, or all together if they are many."""
    return [found] if len(found) > APART else [[one] for one in found]


# ---- what is said


def title(found: Sequence[Happened]) -> str:
    """One line about one thing or several, of printable characters only: a key may hold anything."""
    first = found[0]
    if len(found) == 1:
        subject = "".join(
            letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in first.subject
        )
        return _SENTENCES[first.on][0].format(subject=subject) + (f" at {first.stage}" if first.stage else "")
    words = dict.fromkeys(one.on for one in found)
    counts = [(sum(one.on == word for one in found), _SENTENCES[word][1]) for word in words]
    place = " ".join(
        text
        for text in (
            "/".join(filter(None, (_same(found, "pipeline"), _same(found, "kind")))),
            _same(found, "stage"),
        )
        if text
    )
    return ", ".join(f"{count} {text}" for count, text in counts) + (f" in {place}" if place else "")


def _same(found: Collection[Happened], name: str) -> str:
    """What all have in common, "" if they differ."""
    values = {getattr(one, name) for one in found}
    return str(values.pop()) if len(values) == 1 else ""


def body(rule: str, found: Sequence[Happened], link: Callable[[int], str]) -> dict[str, Any]:
    """The message of a rule about one thing or several (docs/howto/notifications.md)."""
    listed = [
        {
            "event": one.seq,
            "time": clock.text(one.time),
            "on": one.on,
            "name": one.subject,
            "item": one.item or None,
            "stage": one.stage,
            "run": one.run,
            "why": one.why,
            "url": link(one.item),
        }
        for one in found[:LISTED]
    ]
    return {
        "type": "notification",
        "rule": rule,
        "on": list(dict.fromkeys(one.on for one in found)),
        "title": title(found),
        "text": _lines(found, link),
        "count": len(found),
        "first": found[0].seq,
        "last": found[-1].seq,
        "items": listed,
        "left_out": len(found) - len(listed),
    }


def _lines(found: Sequence[Happened], link: Callable[[int], str]) -> str:
    """The same as text: a line or two for each."""
    lines: list[str] = []
    for one in found[:LISTED]:
        said = title([one]) if len(found) > 1 else ""
        lines += [": ".join(text for text in (said, one.why) if text), link(one.item)]
    if len(found) > LISTED:
        lines.append(f"and {len(found) - LISTED} more")
    return "\n".join(line for line in lines if line)
