"""What happened: the events of the story in the few words that rules are written in.

Promises that an event has at most one word, and that what nobody may be told of is not even read. Pure functions.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from towpath.base.model import Event

FINISHED = "finished"
ENDS = ("done", "unchanged", "accepted", "adopted")  # after each of these an item may be done as a whole
_LONGEST = 400  # characters of a reason
_TOWPATH = "towpath"

Asks = Callable[[str, str, str], bool]  # whether a stage (pipeline, kind, name) asks people


@dataclass(frozen=True, slots=True)
class Happened:
    """One thing that rules may be about. `subject` is the item's name, the source or the pipeline; `why` may be ""."""

    seq: int
    time: float
    on: str
    subject: str
    pipeline: str = ""
    kind: str = ""
    key: str = ""
    item: int = 0
    stage: str = ""
    run: str = ""
    why: str = ""


# The word of each type of event; where the data decide, a function of them.
_WORDS: Mapping[str, str | Callable[[Mapping[str, Any]], str]] = {
    "failed": "failed",
    "poisoned": "poisoned",
    "held": "held",
    "rejected": "rejected",
    "done": "done",
    "accepted": "done",
    "order": lambda data: _of_order(data),
    "order reminder": "order reminded",
    "delivery": lambda data: f"delivery {data['state']}",
    "publication": lambda data: {"committed": "published", "conflict": "conflict"}.get(data["state"], ""),
    "missing": "damaged",
    "changed": "damaged",
    "published missing": "damaged",
    "published changed": "damaged",
    "problem": "source problem",
    "source": lambda data: "source problem" if data.get("state") == "open" else "",
    "definition refused": "definition refused",
}
_SAID = {
    "done": ("done", "accepted"),
    "order opened": ("order",),
    "order reminded": ("order reminder",),
    "order expired": ("order",),
    "delivery verified": ("delivery",),
    "delivery rejected": ("delivery",),
    "delivery quarantined": ("delivery",),
    "delivery late": ("delivery",),
    "published": ("publication",),
    "conflict": ("publication",),
    "damaged": ("missing", "changed", "published missing", "published changed"),
    "source problem": ("problem", "source"),
    FINISHED: ENDS,
}


def types(words: Iterable[str]) -> tuple[str, ...]:
    """The types of events that words are said of."""
    return tuple(sorted({one for word in words for one in _SAID.get(word, (word,))}))


def _of_order(data: Mapping[str, Any]) -> str:
    """An order was opened by nobody; what Towpath itself does to one later is done because its time was up."""
    who, state = data.get("who"), data["state"]
    if state == "open" and not who:
        return "order opened"
    return "order expired" if who == _TOWPATH and state in ("open", "accepted", "closed") else ""


def word(event: Event, asks: Asks) -> str:
    """The word that is said of an event, "" if none.

    What ended under inputs that changed meanwhile runs again at once, so nothing is said of it; nor that a gate or a
    hand-off is held, because an order was opened for it.
    """
    found = _WORDS.get(event.type, "")
    found = found if isinstance(found, str) else found(event.data)
    if event.data.get("again"):
        return ""
    if found == "held" and event.run and asks(event.pipeline, event.kind, event.stage):
        return ""
    return found


def happened(event: Event, on: str, key: str) -> Happened:
    """What an event tells in one word; `key` is that of its item, if it has one."""
    source = str(event.data.get("source", ""))
    parts = [event.pipeline, event.kind, key] if event.item else [event.pipeline, source]
    return Happened(
        event.seq,
        event.time,
        on,
        "/".join(part for part in parts if part),
        event.pipeline,
        event.kind,
        key,
        event.item,
        event.stage,
        event.run,
        _why(event),
    )


def _why(event: Event) -> str:
    """What an event says of its reason: of an error its last line, where a traceback says what was wrong."""
    data = event.data
    errors = data.get("error") or ()
    errors = [errors] if isinstance(errors, str) else list(errors)
    reasons = [
        *map(str, data.get("reasons") or ()),
        *(str(one).strip().rpartition("\n")[2] for one in errors),
    ]
    if not reasons:
        reasons = [str(data[name]) for name in ("why", "target", "path", "detail") if data.get(name)][:1]
    who = f"{data['who']}: " if data.get("who") and data.get("why") else ""
    if event.type == "poisoned":
        reasons = [f"its worker died {data.get('deaths', 'several')} times"]
    text = who + "; ".join(dict.fromkeys(reasons))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
