"""The story and the names: events numbered when the transaction ends, queues, key parts and software stored once.

Promises that the numbers of events have no gap and follow the order of the commits, also when a transaction is rolled
back. Never decides anything.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from towpath.adapters.catalog.needs import Needs
from towpath.adapters.catalog.sql import dump
from towpath.base.model import WorkRow
from towpath.contracts.definition import StagePlan


class Events(Needs):
    """Adds what every change writes: events, milestones and interned names."""

    locking = ""  # " FOR UPDATE OF w SKIP LOCKED" where rows are locked one by one
    locking_plain = ""  # " FOR UPDATE" there

    def alone(self) -> None:
        """What follows may be done by one transaction at a time. A dialect that runs several begins this one anew, alone."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._events: list[tuple[str, int | None, int | None, int | None, str | None]] = []

    def event(
        self, type: str, *, item: int = 0, stage: str = "", run: str = "", pipeline: str = "", **data: Any
    ) -> None:
        """Append to the story. The number is given when the transaction ends."""
        kind = ""
        if item and (not pipeline or stage):
            pipeline, kind = self.one("SELECT pipeline, kind FROM items WHERE id = ?", (item,))
        queue = self.intern((pipeline, kind, stage)) if pipeline or stage else None
        self._event(type, item or None, queue, None, {**({"run": run} if run else {}), **data})

    def _event(
        self, type: str, item: int | None, queue: int | None, token: int | None, data: Mapping[str, Any]
    ) -> None:
        self._events.append((type, item, queue, token, dump(dict(data)) if data else None))

    def _event_of(self, type: str, row: WorkRow, data: Mapping[str, Any], token: int | None = None) -> None:
        self._event(type, row.item or None, self.intern((row.pipeline, row.kind, row.stage)), token, data)

    def flush_events(self) -> None:
        """Number and write the events of this transaction; the counter is the last row that is locked."""
        if not self._events:
            return
        count, now = len(self._events), self.now()
        last = self.one(
            "UPDATE counters SET value = value + ? WHERE name = 'event' RETURNING value", (count,)
        )[0]
        self.cursor.executemany(
            "INSERT INTO events (seq, time, type, item_id, queue_id, token, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(seq, now, *event) for seq, event in enumerate(self._events, last - count + 1)],
        )
        self._events = []

    def _reach(self, rows: Iterable[tuple[int, str, float]]) -> None:
        """Milestones (item, name, time in seconds): each is permanent, the first time counts."""
        self.cursor.executemany(
            "INSERT INTO milestones (item_id, name, time) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", rows
        )

    # ---- names
    def intern(self, queue: tuple[str, str, str]) -> int:
        """The number of a queue, given to it if it is new."""
        number = self.queue_id(queue)
        if number is None:
            self.alone()
            self.cursor.execute("INSERT INTO queues (pipeline, kind, stage) VALUES (?, ?, ?)", queue)
            number = self.queue_id(queue)
        assert number is not None
        return number

    def _intern_part(self, stage: StagePlan) -> int:
        return self._intern_text(stage.fixed.sha256, stage.fixed.json.decode())

    def _intern_software(self, told: str) -> int | None:
        """The number of what a process had loaded: a handful of texts, however many runs there are."""
        if told and told not in self.names.software:
            self.names.software[told] = self._intern_text(hashlib.sha256(told.encode()).digest(), told)
        return self.names.software.get(told)

    def _intern_text(self, sha256: bytes, text: str) -> int:
        number = self.part_of(sha256)
        if number is None:
            self.cursor.execute(
                "INSERT INTO parts (sha256, content) VALUES (?, ?) ON CONFLICT DO NOTHING", (sha256, text)
            )
            number = self.part_of(sha256)
        assert number is not None
        return number
