"""How work and products stand: the turn of work in its queue, what was last said of it, history, pins, sizes, paths.

Promises to stay quick where the catalog is large: what is counted or sampled has an index or a bound. Never changes a row.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from towpath.adapters.catalog.reading import Reading
from towpath.adapters.catalog.sql import LIVE, PRODUCT_COLUMNS, marks
from towpath.base import states
from towpath.base.model import Event, Product, WorkRow
from towpath.contracts.catalog import Kept, LetGoRow, PinRow, Tally

# Every table, so that `towpath status --sizes` leaves none out; a test compares them with the schema.
TABLES = (
    "items", "members", "work", "runs", "run_inputs", "products", "events", "milestones", "verdicts", "flags",
    "features", "orders", "deliveries", "facets", "tokens", "subscriptions", "notices", "answers",
    "publications", "calibrations", "pins", "slots", "parts", "queues", "roots", "definitions", "counters", "sessions",
)  # fmt: skip
_SAMPLE = 20_000  # work rows that are looked through at each end for runs of a stage
_PRIORITIES = 100  # priorities of one queue that are told apart
_PAGE = 50_000
_NEEDED = ("failed", "poisoned", "stopped", "held", "rejected")


class Standing(Reading):
    """Adds how things stand."""

    # ---- turns
    def ahead(self, row: WorkRow, most: int = 10_000) -> int:
        """How many rows of its queue are taken before this ready one, counted up to `most`."""
        queue, now = self.queue_id((row.pipeline, row.kind, row.stage)), self.now()
        before = (
            ("priority > ? AND due <= ?", (row.priority, now)),
            ("priority = ? AND due <= ? AND (due < ? OR id < ?)", (row.priority, row.due, row.due, row.id)),
        )
        return sum(
            self.one(
                "SELECT count(*) FROM (SELECT 1 FROM work WHERE queue_id = ? AND state IN ('ready', 'running') "
                f"AND {clause} LIMIT ?) AS a",
                (queue, *values, most),
            )[0]
            for clause, values in before
        )

    def at_work(self, most: int = 10_000) -> dict[tuple[str, str, str], int]:
        """How many runs go on by queue, whose leases have not expired; each counted up to `most`."""
        found = {}
        for number, name in self._queues():
            count = sum(self._at_work(number, priority, most) for priority in self._priorities(number))
            if count:
                found[name] = count
        return found

    def _at_work(self, queue: int, priority: int, most: int) -> int:
        return int(
            self.one(
                "SELECT count(*) FROM (SELECT 1 FROM work WHERE queue_id = ? AND state IN ('ready', 'running') "
                "AND priority = ? AND due > ? AND state = 'running' LIMIT ?) AS a",
                (queue, priority, self.now(), most),
            )[0]
        )

    def _priorities(self, queue: int) -> Iterator[int]:
        """The priorities of what is ready or running, highest first, found step by step in the index."""
        clause, values = "", [queue]
        for _ in range(_PRIORITIES):
            row = self.one(
                "SELECT priority FROM work WHERE queue_id = ? AND state IN ('ready', 'running')"
                f"{clause} ORDER BY priority DESC LIMIT 1",
                values,
            )
            if row is None:
                return
            clause, values = " AND priority < ?", [queue, row[0]]
            yield row[0]

    # ---- what was said, and how long it took
    def last_said(self, row: WorkRow, types: Sequence[str]) -> Event | None:
        """The last event of these types about this work, if it was not pruned."""
        found = self.rows(
            "SELECT seq, time, type, item_id, queue_id, token, data FROM events WHERE item_id = ? AND queue_id = ? "
            f"AND type IN ({marks(types)}) ORDER BY seq DESC LIMIT 1",
            (row.item, self.queue_id((row.pipeline, row.kind, row.stage)), *types),
        )
        return self._to_event((*found[0], row.id if found[0][5] else None)) if found else None

    def history(self, queue: tuple[str, str, str], limit: int = 200) -> list[float]:
        """The seconds that runs of a stage took that ended well: of the newest items, else of the oldest."""
        number = self.queue_id(queue)
        newest = self.one("SELECT max(id) FROM work")[0] or 0
        for clause, bound, order in (("w.id > ?", newest - _SAMPLE, "DESC"), ("w.id <= ?", _SAMPLE, "ASC")):
            rows = self.rows(
                "SELECT r.seconds FROM work w JOIN runs r ON r.work_id = w.id AND r.token = w.done_token "
                f"WHERE w.queue_id = ? AND w.done_token > 0 AND r.outcome = 'done' AND {clause} "
                f"ORDER BY w.id {order} LIMIT ?",
                (number, bound, limit),
            )
            if rows:
                return [row[0] for row in rows]
        return []

    def tally(self, types: Sequence[str], since: float, *, most: int = 100_000) -> Tally:
        """How often events of these types came since a moment; at most so many events are looked through, the newest."""
        last = self.last_event()
        low = max(last - most, (self.one("SELECT min(seq) FROM events")[0] or last + 1) - 1, 0)
        begin = self._before(since, low, last)
        if begin == low and begin > 0 and last > low:
            since = max(since, self.one("SELECT time FROM events WHERE seq = ?", (low + 1,))[0])
        rows = self.rows(
            f"SELECT queue_id, type, count(*) FROM events WHERE seq > ? AND type IN ({marks(types)}) AND queue_id > 0 "
            "GROUP BY queue_id, type",
            (begin, *types),
        )
        return Tally({(*self.queue_name(queue), type): count for queue, type, count in rows}, since)

    def _before(self, moment: float, low: int, high: int) -> int:
        """The last event before a moment, between these numbers: times do not fall as numbers rise."""
        while low < high:
            middle = (low + high + 1) // 2
            time = self.one("SELECT time FROM events WHERE seq = ?", (middle,))[0]
            low, high = (middle, high) if time < moment else (low, middle - 1)
        return low

    # ---- pins
    def pins(self, items: Sequence[int] = ()) -> list[PinRow]:
        """The pins, or those on products of these items, by product."""
        rows = self.rows("SELECT product_id, author, why, until FROM pins ORDER BY product_id, author")
        products = self._products_by_id(sorted({row[0] for row in rows}))
        return [
            PinRow(products[row[0]], *row[1:])
            for row in rows
            if row[0] in products and (not items or products[row[0]].item in items)
        ]

    # ---- sizes
    def sizes(self) -> dict[str, int]:
        """Rows per table, and bytes of the catalog under ``"bytes"``."""
        rows = {name: self.one(f"SELECT count(*) FROM {name}")[0] for name in TABLES}  # names of our own
        return {**rows, "bytes": self.catalog_bytes()}

    def kept(self) -> list[Kept]:
        """Products that are not deleted, by root, pipeline, kind, stage and state: how many, and bytes."""
        rows = self.rows(
            "SELECT p.root_id, i.pipeline, i.kind, p.queue_id, p.state, count(*), sum(p.size) FROM products p "
            "JOIN items i ON i.id = p.item_id WHERE p.state <> 'deleted' "
            "GROUP BY p.root_id, i.pipeline, i.kind, p.queue_id, p.state"
        )
        found = [
            Kept(self.root_name(r[0]), r[1], r[2], self.queue_name(r[3])[2], r[4], r[5], int(r[6]))
            for r in rows
        ]
        return sorted(found, key=lambda one: (one.root, one.pipeline, one.kind, one.stage, one.state))

    def published(self) -> tuple[int, int]:
        """How many publications stand in archives, and the bytes of their products."""
        count = size = after = 0
        standing = (states.Publication.COMMITTED, states.Publication.RELEASED, states.Publication.SUPERSEDED)
        while page := self.publications(states=standing, after=after, limit=1000):
            products = sorted({product for row in page for product, _ in row.files})
            sizes = dict(self.rows_in("SELECT id, size FROM products WHERE id IN ({in})", products))
            size += sum(sizes.get(product, 0) for row in page for product, _ in row.files)
            count, after = count + len(page), page[-1].id
        return count, size

    def events_before(self, moment: float) -> int:
        """How many events are older than a moment."""
        return int(self.one("SELECT count(*) FROM events WHERE time < ?", (moment,))[0])

    # ---- what retention asks
    def oldest_running(self) -> float | None:
        """When the oldest run that goes on (or whose lease expired) began, None if none does.

        Work of no item, such as a sweep, reads no product.
        """
        found: float | None = self.one(
            "SELECT min(began) FROM work WHERE state IN ('ready', 'running') AND state = 'running' AND item_id > 0"
        )[0]
        return found

    def sweepable(
        self, before: float, *, limit: int = 1_000_000, oldest: float | None = None
    ) -> list[Product]:
        """Superseded products that no pin holds and no run claimed before their supersession still reads.

        Only those in the store: what was moved to an archive is published, and stays there.
        """
        oldest = self.oldest_running() if oldest is None else oldest
        rows = self.rows(
            f"SELECT {PRODUCT_COLUMNS} FROM products p WHERE state = 'superseded' AND state IN ('superseded', 'trash') "
            f"AND left_at <= ? AND left_at < ? AND queue_id > 0 AND {_IN_STORE} AND {_NO_PIN} AND {_NO_OTHER} "
            "ORDER BY left_at, id LIMIT ?",
            (before, before + 1 if oldest is None else oldest, self.now(), limit),
        )
        return [self.to_product(row) for row in rows]

    def trash(
        self, before: float | None = None, *, limit: int = 1_000_000, shed_before: float | None = None
    ) -> list[tuple[Product, float]]:
        """Products in trash that no pin holds, with when they went there; those that went there before a moment.

        Those that were let go are in trash too, `shed_before` another moment, but for what a run may read that began
        before.
        """
        end = self.now() + 1e9
        before = end if before is None else before
        shed = self._shed(before if shed_before is None else shed_before, limit)
        rows = self.rows(
            f"SELECT {PRODUCT_COLUMNS}, left_at FROM products p WHERE state = 'trash' "
            f"AND state IN ('superseded', 'trash') AND left_at <= ? AND {_IN_STORE} AND {_NO_PIN} "
            "ORDER BY left_at, id LIMIT ?",
            (before, self.now(), limit - len(shed)),
        )
        return [(self.to_product(row), row[-1]) for row in [*shed, *rows]]

    def _shed(self, before: float, limit: int) -> list[Any]:
        oldest = self.oldest_running()
        return self.rows(
            f"SELECT {PRODUCT_COLUMNS}, left_at FROM products p WHERE state = 'shed' AND left_at <= ? AND left_at < ? "
            f"AND {_IN_STORE} AND {_NO_PIN} ORDER BY left_at, id LIMIT ?",
            (before, before + 1 if oldest is None else oldest, self.now(), limit),
        )

    def let_go(self, items: Sequence[int], stages: Sequence[str] | None = None) -> list[LetGoRow]:
        """The products of these items that were let go, by id."""
        rows = self.rows_in(
            f"SELECT {PRODUCT_COLUMNS}, left_at, detail FROM products WHERE {LIVE} "
            "AND state IN ('shed', 'spent', 'wanted') AND item_id IN ({in})",
            items,
        )
        found = [LetGoRow(self.to_product(row), row[-2] or 0.0, row[-1] or "") for row in rows]
        wanted = [one for one in found if stages is None or one.product.stage in stages]
        return sorted(wanted, key=lambda one: one.product.id)

    def paths(self, root: str, *, let_go: bool = False) -> dict[str, bool]:
        """The paths below a root that some product may still lie at, each with whether it is a tree.

        With `let_go` also those at which products lay that were let go, and are deleted.
        """
        gone = "" if let_go else " AND state <> 'spent' AND state <> 'wanted'"
        found: dict[str, bool] = {}
        after = 0
        while True:
            rows = self.rows(
                "SELECT id, path, tree FROM products WHERE id > ? AND root_id = ? AND state <> 'deleted'"
                f"{gone} "
                "ORDER BY id LIMIT ?",
                (after, self.root_id(root), _PAGE),
            )
            found.update((row[1], bool(row[2])) for row in rows)
            if len(rows) < _PAGE:
                return found
            after = rows[-1][0]

    def logs_needed(self, works: Sequence[int]) -> set[tuple[int, int]]:
        """Of these works the last attempt (work, token) of each that needs a person or did not qualify."""
        rows: list[Any] = self.rows_in(
            f"SELECT id, token, state FROM work WHERE state IN ({marks(_NEEDED)}) AND id IN ({{in}})",
            works,
            *_NEEDED,
        )
        # What was stopped while it ran has the token after that of its run.
        return {(row[0], row[1] - (row[2] == "stopped")) for row in rows}


_IN_STORE = "root_id IN (SELECT id FROM roots WHERE name = 'store')"
_NO_PIN = "NOT EXISTS (SELECT 1 FROM pins WHERE pins.product_id = p.id AND (until IS NULL OR until > ?))"
# Its place is not that of one that is in use: changed bytes that were adopted stay where they were.
_NO_OTHER = (
    "NOT EXISTS (SELECT 1 FROM products q WHERE q.item_id = p.item_id AND q.queue_id = p.queue_id AND "
    f"{LIVE.replace('state', 'q.state')} AND q.root_id = p.root_id AND q.path = p.path)"
)
