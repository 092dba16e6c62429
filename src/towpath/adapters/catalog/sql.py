"""What all parts of the SQL catalog share: running statements, interned names, rows to values, JSON.

Statements are plain SQL with `?` for bound values; a dialect may translate them. Values are never formatted in.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from towpath.base import states
from towpath.base.errors import NotFoundError
from towpath.base.hashing import canonical
from towpath.base.model import Item, Product, WorkRow
from towpath.base.provenance import Fixed
from towpath.base.spacetime import Box, Span
from towpath.contracts.definition import Definition

CHUNK = 500  # bound values per statement
# Written as the index on it is; `OR`, because a longer IN list in an index costs 2 us in each insert.
LIVE = "(state = 'current' OR state = 'missing' OR state = 'changed' OR state = 'shed' OR state = 'spent' OR state = 'wanted')"
# Products that are not as work needs them: consumers wait. Written as the index on it is.
BAD = "state IN ('missing', 'changed', 'wanted')"
# Work of stages that is not ready and does not run, written as the index on it is: what rests costs nothing to claim.
STANDING = "state NOT IN ('accepted', 'closed', 'cancelled')"  # of orders
AT_REST = "state <> 'ready' AND state <> 'running' AND subject = ''"
ACTIVE = "state IN ('ready', 'running')"

PRODUCT_COLUMNS = (
    "id, item_id, queue_id, output, part, type, root_id, path, size, mtime_ns, sha256, tree, state, work_id, token, "
    "manual, created"
)
ITEM_COLUMNS = (
    'id, pipeline, kind, "key", definition, attributes, begins, ends, west, south, east, north, registered'
)
# Of each subject of a destination only the lowest unsent message may go; its row's subject ends in "#" and 12 digits.
_UNSENT = "('waiting', 'ready', 'running', 'failed', 'poisoned', 'held')"
FIRST_OF_SUBJECT = (
    " AND NOT EXISTS (SELECT 1 FROM work b WHERE b.queue_id = w.queue_id AND b.subject <> '' "
    f"AND b.state IN {_UNSENT} AND b.subject >= substr(w.subject, 1, length(w.subject) - 12) "
    "AND b.subject < w.subject AND length(b.subject) = length(w.subject))"
)
WORK_COLUMNS = (
    'id, item_id, queue_id, state, priority, due, owner, token, revision, attempts, deaths, "key", note, progress, log, '
    "began, claimed_revision"
)


_PRODUCT_STATES = {state.value: state for state in states.Product}
_WORK_STATES = {state.value: state for state in states.Work}


class Cursor(Protocol):
    """What the catalog needs of a DB-API cursor."""

    @property
    def rowcount(self) -> int: ...  # noqa: D102
    def execute(self, statement: str, values: Sequence[Any] = ()) -> Any: ...  # noqa: D102
    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> Any: ...  # noqa: D102
    def fetchall(self) -> list[Any]: ...  # noqa: D102
    def fetchone(self) -> Any: ...  # noqa: D102


def dump(value: Any) -> str | None:
    """JSON text of a value, None for what is empty."""
    return canonical(value).decode() if value else None


def storable(text: str) -> str:
    """`text` as it can be written: half a character, of a file's name that is no UTF-8, is spelled out."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def load(text: str | None, empty: Any) -> Any:
    """The value of a JSON text, `empty` for None."""
    return json.loads(text) if text else empty


def marks(values: Sequence[Any]) -> str:
    """``?, ?, ?`` for as many values."""
    return ", ".join("?" * len(values))


def chunks(values: Sequence[Any], size: int = CHUNK) -> Iterator[Sequence[Any]]:
    """`values` in slices of at most `size`."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


class Names:
    """Interned names, cached per process: queues, roots, key parts, software. Such rows are never changed but a root's place.

    Readers and the writer have a cache each: what the writer added may still be rolled back.
    """

    def __init__(self) -> None:
        self.queues: dict[tuple[str, str, str], int] = {}
        self.queue_names: dict[int, tuple[str, str, str]] = {0: ("", "", "")}
        self.roots: dict[str, int] = {}
        self.root_names: dict[int, str] = {}
        self.parts: dict[bytes, int] = {}
        self.software: dict[str, int] = {}

    def clear(self) -> None:
        """Forget all, after a transaction that was rolled back."""
        self.__init__()  # type: ignore[misc]  # back to the empty caches


class Session:
    """A cursor with the site's interned names, active definitions (`routes`) and clock: the base of views and transactions."""

    def __init__(
        self, cursor: Cursor, names: Names, routes: dict[str, Definition], clock: Callable[[], float]
    ) -> None:
        self.cursor, self.names, self.routes, self._clock = cursor, names, routes, clock
        self._places: list[tuple[str, int]] | None = None

    def places(self) -> list[tuple[str, int]]:
        """The places of the roots with their numbers, the longest first; read once per transaction."""
        if self._places is None:
            rows = self.rows("SELECT place, id FROM roots ORDER BY length(place) DESC")
            self._places = [(row[0], row[1]) for row in rows]
        return self._places

    def forget_places(self) -> None:
        """Read the places of the roots anew."""
        self._places = None

    def now(self) -> float:
        """The catalog's time, seconds since the epoch."""
        return self._clock()

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """All rows of a statement."""
        self.cursor.execute(statement, values)
        return self.cursor.fetchall()

    def one(self, statement: str, values: Sequence[Any] = ()) -> Any:
        """The first row of a statement, or None."""
        self.cursor.execute(statement, values)
        return self.cursor.fetchone()

    def rows_in(self, statement: str, values: Sequence[Any], *others: Any) -> list[Any]:
        """All rows of a statement whose ``{in}`` stands for many values; `others` are bound before them."""
        found: list[Any] = []
        for part in chunks(values):
            found += self.rows(statement.replace("{in}", marks(part)), (*others, *part))
        return found

    in_items = " AND w.item_id IN (SELECT value FROM json_each(?))"  # a dialect may say it otherwise

    def among(self, only: Sequence[int] | None) -> tuple[Any, ...]:
        """The clause that keeps a query of work `w` to these items, and its values; nothing for None."""
        return (self.in_items, json.dumps(list(only))) if only is not None else ("",)

    def queue_id(self, queue: tuple[str, str, str]) -> int | None:
        """The number of a queue, None if nothing was ever put in it."""
        if queue not in self.names.queues:
            row = self.one("SELECT id FROM queues WHERE pipeline = ? AND kind = ? AND stage = ?", queue)
            if row is None:
                return None
            self.names.queues[queue] = row[0]
            self.names.queue_names[row[0]] = queue
        return self.names.queues[queue]

    def queue_name(self, number: int) -> tuple[str, str, str]:
        """The (pipeline, kind, stage) of a queue's number."""
        if number not in self.names.queue_names:
            for row in self.rows("SELECT id, pipeline, kind, stage FROM queues"):
                self.names.queue_names[row[0]] = (row[1], row[2], row[3])
        return self.names.queue_names[number]

    def root_id(self, name: str) -> int:
        """The number of a root. Raises `NotFoundError`."""
        if name not in self.names.roots:
            for row in self.rows("SELECT id, name FROM roots"):
                self.names.roots[row[1]], self.names.root_names[row[0]] = row[0], row[1]
        if name not in self.names.roots:
            raise NotFoundError(f"no root {name!r}; roots are {sorted(self.names.roots)}; add it to [roots]")
        return self.names.roots[name]

    def root_name(self, number: int) -> str:
        """The name of a root's number."""
        if number not in self.names.root_names:
            for row in self.rows("SELECT id, name FROM roots"):
                self.names.roots[row[1]], self.names.root_names[row[0]] = row[0], row[1]
        return self.names.root_names[number]

    def part_id(self, fixed: Fixed) -> int | None:
        """The number of an interned fixed part of keys, None if it is not stored yet."""
        return self.part_of(fixed.sha256)

    def part_of(self, sha256: bytes) -> int | None:
        """The number of an interned text by its sha256, None if it is not stored yet."""
        if sha256 not in self.names.parts:
            row = self.one("SELECT id FROM parts WHERE sha256 = ?", (sha256,))
            if row is None:
                return None
            self.names.parts[sha256] = row[0]
        return self.names.parts[sha256]

    def to_product(self, row: Any) -> Product:
        """A product from a row of `PRODUCT_COLUMNS`."""
        return Product(*self.product_values(row))

    def product_values(self, row: Any) -> tuple[Any, ...]:
        """The values of a product, from a row of `PRODUCT_COLUMNS`; the names of outputs and types are held once."""
        return (
            row[1],
            self.queue_name(row[2])[2],
            sys.intern(row[3]),
            row[4],
            sys.intern(row[5]),
            self.root_name(row[6]),
            row[7],
            row[8],
            row[9],
            bytes(row[10]),
            row[11] == 1,
            _PRODUCT_STATES[row[12]],
            (row[13], row[14]),
            row[15] == 1,
            row[16],
            row[0],
        )

    def to_work(self, row: Any) -> WorkRow:
        """A work row from a row of `WORK_COLUMNS`."""
        pipeline, kind, stage = self.queue_name(row[2])
        return WorkRow(
            row[0],
            row[1],
            stage,
            _WORK_STATES[row[3]],
            row[4],
            row[5],
            str(row[6] or ""),
            row[7],
            row[8],
            row[9],
            row[10],
            bytes(row[11]) if row[11] else None,
            row[12] or "",
            row[13],
            pipeline,
            kind,
            row[14] or "",
            row[15] or 0.0,
            row[16],
        )


def to_item(row: Any) -> Item:
    """An item from a row of `ITEM_COLUMNS`."""
    span = None if row[6] is None else Span(row[6], row[7])
    box = None if row[8] is None else Box(row[8], row[9], row[10], row[11])
    return Item(row[1], row[2], row[3], load(row[5], {}), span, box, row[0], row[4], row[12])


def item_values(item: Item) -> tuple[Any, ...]:
    """The attributes, span and footprint of an item as column values."""
    span: tuple[float | None, ...] = (item.span.begin, item.span.end) if item.span else (None, None)
    box = item.footprint
    place: tuple[float | None, ...] = (box.west, box.south, box.east, box.north) if box else (None,) * 4
    return (dump(dict(item.attributes)), *span, *place)


def flags_value(rows: Iterable[Any]) -> list[Mapping[str, Any]]:
    """Flags as a stage sees them, from rows of (part, value, comment)."""
    return [{"part": load(part, {}), "value": value, "comment": comment} for part, value, comment in rows]
