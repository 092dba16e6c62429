"""Start: files of a record become an item of a workflow, ``{record}-{workflow}-{n}``, with all of its route's work.

Promises that numbers follow one another without a gap for each record and workflow, whoever starts at once; that a file in
work is not taken a second time unless that is forced; and that an automatic start of the same bytes happens once (but for
those that had gone when they were to be retrieved). What was started before is read from the items themselves. Never touches
the repository.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from towpath.base.errors import BusyError, UsageError
from towpath.base.model import Item, WorkRow
from towpath.base.states import Work
from towpath.contracts.catalog import Transaction, View
from towpath.contracts.definition import KindPlan
from towpath.contracts.records import LONGEST_KEY
from towpath.contracts.repository import RecordFile

RULE = "records"  # of the slots that are locked while a number is taken
_GOES_ON = frozenset({Work.READY, Work.RUNNING, Work.HELD})
_ENDED_BADLY = frozenset({Work.REJECTED, Work.FAILED, Work.POISONED, Work.STOPPED})
_LOST = 3  # times that the same bytes may have gone before they were retrieved, until they are not started by themselves
_PAGE = 1000

_Mark = frozenset[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A start that is asked for: the files by role, the one that leads, and why; `once`: not if it was started before.

    With `force` a file that is in work is taken too.
    """

    files: Mapping[str, RecordFile]
    lead: str
    why: str = ""
    force: bool = False
    once: bool = False


@dataclass(frozen=True, slots=True)
class Started:
    """An item that was begun: its number in the catalog, and its key."""

    item: int
    key: str


def start(
    tx: Transaction, kind: KindPlan, record: str, asked: Sequence[Asked], who: str, *, priority: int = 0
) -> list[Started | BusyError | None]:
    """Begin the processing of files of a record, each with its number.

    Returns for each what was begun; None if that was done `once`, and an error, not raised, if its leading file is in work
    for the same workflow.

    Raises
    ------
    UsageError
        If the record's name is too long.
    """
    tx.slot(f"{RULE}:{kind.pipeline}/{kind.name}", record)
    before = list(_items(tx, kind, record))
    works = tx.work([item.id for item in before]) if before else {}
    held = {str(item.attributes["file"]): item.key for item in before if _is_in_work(works[item.id])}
    marks = _marks(kind, before, works)
    number = max((int(item.attributes["n"]) for item in before), default=0)
    told: list[Started | BusyError | None] = []
    fresh: list[Item] = []
    for one in asked:
        mark, lead = fingerprint(one.files), one.files[one.lead].key
        if one.once and mark in marks:
            told.append(None)
        elif not one.force and lead in held:
            told.append(_busy(kind, lead, held[lead], "wait until it ends, stop it, or force the start"))
        else:
            number += 1
            fresh.append(_item(kind, record, number, one, who))
            marks.add(mark)
            held[lead] = fresh[-1].key
            told.append(Started(0, fresh[-1].key))
    numbers = dict(
        zip(
            [item.key for item in fresh],
            tx.add_items(kind, fresh, priority=priority) if fresh else (),
            strict=True,
        )
    )
    for item in fresh:
        tx.event("started", item=numbers[item.key], who=who, record=record, why=item.attributes["why"])
    return [Started(numbers[one.key], one.key) if isinstance(one, Started) else one for one in told]


def check_free(tx: Transaction, kind: KindPlan, item: Item) -> None:
    """Raise `BusyError` if another processing of the workflow has taken an item's file; none takes it meanwhile."""
    record, lead = str(item.attributes["record"]), str(item.attributes["file"])
    tx.slot(f"{RULE}:{kind.pipeline}/{kind.name}", record)
    others = [
        one for one in _items(tx, kind, record) if one.attributes["file"] == lead and one.key != item.key
    ]
    works = tx.work([one.id for one in others]) if others else {}
    for one in others:
        if _is_in_work(works[one.id]):
            raise _busy(kind, lead, one.key, "wait until it ends, or stop it")


def _item(kind: KindPlan, record: str, number: int, asked: Asked, who: str) -> Item:
    key = f"{record}-{kind.name}-{number}"
    if len(key) > LONGEST_KEY:
        raise UsageError(f"found the key {key!r}, of {len(key)} characters; expected at most {LONGEST_KEY}")
    attributes: dict[str, Any] = {
        "record": record,
        "n": number,
        "file": asked.files[asked.lead].key,
        "files": {role: asdict(file) for role, file in asked.files.items()},
        "by": who,
        "why": asked.why,
    }
    return Item(kind.pipeline, kind.name, key, attributes)


def _busy(kind: KindPlan, lead: str, holder: str, hint: str) -> BusyError:
    return BusyError(f"{lead} is in work for {kind.name}: {holder}; {hint}", holder)


def fingerprint(files: Mapping[str, RecordFile]) -> _Mark:
    """What tells whether the same bytes are meant: role, name and checksum of each (the size where none is told)."""
    return frozenset((role, file.key, file.checksum or str(file.size)) for role, file in files.items())


def fingerprint_of(item: Item) -> _Mark:
    """The same of what was started."""
    return fingerprint({role: RecordFile(**file) for role, file in item.attributes["files"].items()})


def _items(view: View, kind: KindPlan, record: str) -> Iterator[Item]:
    """All items of a workflow on a record."""
    after = 0
    while True:
        page: Sequence[Item] = view.items(
            pipeline=kind.pipeline, kind=kind.name, attributes={"record": record}, after=after, limit=_PAGE
        )
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].id


def _is_in_work(rows: Sequence[WorkRow]) -> bool:
    """Whether more is to happen to an item: what waits behind a stage that ended badly does not go on by itself."""
    states = {row.state for row in rows}
    return not states.isdisjoint(_GOES_ON) or (Work.WAITING in states and states.isdisjoint(_ENDED_BADLY))


def _marks(kind: KindPlan, items: Iterable[Item], works: Mapping[int, Sequence[WorkRow]]) -> set[_Mark]:
    """What was started before, without what had gone when it was to be retrieved, unless that came about again and again."""
    marks: set[_Mark] = set()
    lost: Counter[_Mark] = Counter()
    for item in items:
        mark = fingerprint_of(item)
        if any(row.state is Work.REJECTED and _retrieves(kind, row.stage) for row in works[item.id]):
            lost[mark] += 1
        else:
            marks.add(mark)
    return marks | {mark for mark, count in lost.items() if count >= _LOST}


def _retrieves(kind: KindPlan, stage: str) -> bool:
    return stage in kind.stages and kind.stages[stage].service == "retrieve"
