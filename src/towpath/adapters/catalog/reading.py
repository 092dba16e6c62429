"""Reading the catalog: every list is ordered by id and paged by key. Never changes a row."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from towpath.adapters.catalog.features import FeatureReading
from towpath.adapters.catalog.listing import Listing
from towpath.adapters.catalog.orders import OrderReading
from towpath.adapters.catalog.persons import PersonReading
from towpath.adapters.catalog.sql import (
    BAD,
    FIRST_OF_SUBJECT,
    ITEM_COLUMNS,
    LIVE,
    PRODUCT_COLUMNS,
    WORK_COLUMNS,
    chunks,
    load,
    marks,
    to_item,
)
from towpath.base import ids, states
from towpath.base.errors import NotFoundError, StateError
from towpath.base.model import (
    Event,
    Flag,
    Item,
    Measure,
    Product,
    RuleResult,
    Run,
    StepRecord,
    Verdict,
    WorkRow,
)
from towpath.contracts.catalog import (
    SPREAD,
    CalibrationRow,
    InputRow,
    Outline,
    PublicationRow,
    Queue,
    RootRow,
)
from towpath.contracts.definition import GATHER, KindPlan
from towpath.contracts.storage import Said

_SLEW = 5.0  # seconds: a clock that is corrected by less was not set back
_RUN_COLUMNS = (
    'r.work_id, r.token, w.item_id, w.queue_id, r.outcome, r.began, r.seconds, r."key", r.measures, r.caveats, r.steps, '
    "r.reasons, r.error, r.worker, r.log, r.manual"
)
PUBLICATION_COLUMNS = (
    "id, work_id, token, item_id, archive, target, state, sha256, files, folder, mode, error, updated, "
    "supersedes"
)


class Reading(Listing, FeatureReading, OrderReading, PersonReading):
    """The reading half of the SQL catalog (contracts.catalog.View)."""

    # ---- site
    def roots(self) -> Mapping[str, RootRow]:
        """The named roots."""
        return {row[1]: RootRow(*row) for row in self.rows("SELECT id, name, place FROM roots ORDER BY id")}

    def definition(self, pipeline: str) -> tuple[int, bytes] | None:
        """The number and digest of the active definition of a pipeline."""
        row = self.one("SELECT id, sha256 FROM definitions WHERE pipeline = ? AND active", (pipeline,))
        return (row[0], bytes(row[1])) if row else None

    def definitions(self, pipeline: str) -> list[tuple[int, bytes, float, bool]]:
        """Every definition ever loaded: number, digest, time, active."""
        rows = self.rows(
            "SELECT id, sha256, loaded, active FROM definitions WHERE pipeline = ? ORDER BY id", (pipeline,)
        )
        return [(row[0], bytes(row[1]), row[2], bool(row[3])) for row in rows]

    def token_floor(self) -> int:
        """The token above which every claim is; 0 unless the catalog was ever restored from a backup."""
        row = self.one("SELECT value FROM counters WHERE name = 'token floor'")
        return int(row[0]) if row else 0

    def highest_token(self) -> int:
        """The highest token that was ever given, as far as rows tell."""
        row = self.one("SELECT max(token) FROM work")
        return max(int(row[0] or 0), self.token_floor())

    def restored(self) -> float | None:
        """When the catalog was restored from a backup, as long as it is open what becomes of what is newer on disk."""
        row = self.one("SELECT value FROM counters WHERE name = 'restored'")
        return float(row[0]) if row else None

    def catalog_bytes(self) -> int:
        """Bytes of the catalog; each dialect knows."""
        raise NotImplementedError

    def noted(self, rule: str, *, like: str = "%") -> dict[str, Mapping[str, Any]]:
        """What is noted in the slots of a rule, by partition, where its JSON text is `like` a pattern of SQL."""
        statement = "SELECT subset, data FROM slots WHERE rule = ? AND data LIKE ? ORDER BY subset"
        rows = self.rows(statement, (rule, like))
        return {row[0]: load(row[1], {}) for row in rows}

    # ---- items
    def item(self, item: int) -> Item:
        """The item of this id. Raises `NotFoundError`."""
        row = self.one(f"SELECT {ITEM_COLUMNS} FROM items WHERE id = ?", (item,))
        if row is None:
            raise NotFoundError(f"no item with number {item}")
        return to_item(row)

    def find(self, pipeline: str, kind: str, key: str) -> Item | None:
        """The item of this key, if it is known."""
        row = self.one(
            f'SELECT {ITEM_COLUMNS} FROM items WHERE pipeline = ? AND kind = ? AND "key" = ?',
            (pipeline, kind, key),
        )
        return to_item(row) if row else None

    def work(self, items: Sequence[int]) -> dict[int, list[WorkRow]]:
        """The work rows of stages of each item, in the order of the route."""
        found: dict[int, list[WorkRow]] = {item: [] for item in items}
        statement = f"SELECT {WORK_COLUMNS} FROM work WHERE item_id IN ({{in}}) AND subject = '' ORDER BY id"
        for row in self.rows_in(statement, items):
            found[row[1]].append(self.to_work(row))
        return found

    def work_row(self, work: int) -> WorkRow:
        """One work row. Raises `NotFoundError`."""
        row = self.one(f"SELECT {WORK_COLUMNS} FROM work WHERE id = ?", (work,))
        if row is None:
            raise NotFoundError(f"no work with number {work}")
        return self.to_work(row)

    def members(self, group: int) -> list[Item]:
        """The members of a group, in order."""
        rows = self.rows(
            f"SELECT {ITEM_COLUMNS} FROM items JOIN members ON item_id = id WHERE group_id = ? ORDER BY position",
            (group,),
        )
        return [to_item(row) for row in rows]

    def outlines(self, group: int) -> Iterator[Outline]:
        """What the members of a group tell of it, in order, read bit by bit: it may have very many."""
        ids = [
            row[0]
            for row in self.rows("SELECT item_id FROM members WHERE group_id = ? ORDER BY position", (group,))
        ]
        for part in chunks(ids):
            rows = self.rows_in(
                'SELECT id, "key", registered, begins, ends, west, south, east, north, attributes FROM items '
                "WHERE id IN ({in})",
                part,
            )
            attributes = load(f"[{','.join([row[9] or '{}' for row in rows])}]", [])  # one call is faster
            known = {
                row[0]: Outline(
                    row[0], row[1], row[2], row[3], row[4], None if row[5] is None else row[5:9], own
                )
                for row, own in zip(rows, attributes, strict=True)
            }
            yield from (known[item] for item in part)

    def groups_of(self, items: Sequence[int]) -> list[int]:
        """The groups that any of the items is a member of."""
        rows = self.rows_in("SELECT DISTINCT group_id FROM members WHERE item_id IN ({in})", items)
        return sorted({row[0] for row in rows})

    def milestones(self, item: int) -> list[tuple[str, float]]:
        """The milestones an item has reached, with the time."""
        rows = self.rows("SELECT name, time FROM milestones WHERE item_id = ? ORDER BY time, name", (item,))
        return [(row[0], row[1]) for row in rows]

    # ---- queues
    def claimable(
        self, queues: Iterable[tuple[str, str, str]], *, only: Sequence[int] | None = None
    ) -> list[Queue]:
        """Those of the queues that have something to claim now; with `only`, for these items."""
        now, found = self.now(), []
        among, *values = self.among(only)
        for queue in queues:
            number = self.queue_id(queue)
            row = number and self.one(
                "SELECT w.priority, w.due FROM work w WHERE w.queue_id = ? AND w.state IN ('ready', 'running') "
                f"AND w.due <= ?{_first(queue)}{among} ORDER BY w.priority DESC, w.due, w.id LIMIT 1",
                (number, now, *values),
            )
            if row:
                found.append(Queue(*queue, row[0], row[1]))
        return found

    def unrouted(self, kind: KindPlan) -> tuple[list[int], list[int]]:
        """Items of the kind that lack work for a stage of its route, and work whose stage left the route."""
        names = [*kind.stages, *([GATHER] if kind.gathered else [])]
        queues = [number for name in names if (number := self.queue_id((kind.pipeline, kind.name, name)))]
        lacking = self.rows(
            "SELECT i.id FROM items i WHERE i.pipeline = ? AND i.kind = ? AND (SELECT count(*) FROM work w WHERE "
            f"w.item_id = i.id AND w.subject = '' AND w.queue_id IN ({marks(queues)}) AND w.state <> 'retired') < ? "
            "ORDER BY i.id",
            (kind.pipeline, kind.name, *queues, len(names)),
        )
        gone = self.rows(
            "SELECT w.id FROM work w JOIN queues q ON q.id = w.queue_id WHERE q.pipeline = ? AND q.kind = ? AND w.item_id > 0 "
            f"AND w.subject = '' AND w.state NOT IN ('retired', 'running') AND q.id NOT IN ({marks(queues)}) ORDER BY w.id",
            (kind.pipeline, kind.name, *queues),
        )
        return [row[0] for row in lacking], [row[0] for row in gone]

    def item_keys(self, items: Sequence[int]) -> dict[int, str]:
        """The keys of items by id."""
        return self._item_keys(sorted(set(items)))

    def component_inputs(self, inputs: Sequence[InputRow]) -> dict[str, Any]:
        """Inputs as components of a key: name → hexadecimal sha256, or a list of them; what is told of a calibration beside."""
        return component_inputs(inputs)

    def running_tokens(self) -> set[tuple[str, int]]:
        """The (item key as a file name, token) of everything that is running."""
        rows = self.rows(
            'SELECT i."key", w.token FROM work w JOIN items i ON i.id = w.item_id '
            "WHERE w.state IN ('ready', 'running') AND w.state = 'running'"
        )
        return {(ids.slug(row[0]), row[1]) for row in rows}

    def next_due(
        self, queues: Iterable[tuple[str, str, str]], *, only: Sequence[int] | None = None
    ) -> float | None:
        """When the next ready or running row of these queues falls due, if any."""
        among, *values = self.among(only)
        dues = [
            self.one(
                "SELECT min(w.due) FROM work w WHERE w.queue_id = ? AND w.state IN ('ready', 'running')"
                f"{_first(queue)}{among}",
                (number, *values),
            )[0]
            for queue in queues
            if (number := self.queue_id(queue)) is not None
        ]
        return min((due for due in dues if due is not None), default=None)

    def spreading(self) -> bool:
        """Whether a change that touches very much work has not reached all of it yet."""
        queue = self.queue_id(SPREAD)
        statement = "SELECT 1 FROM work WHERE queue_id = ? AND state IN ('ready', 'running') LIMIT 1"
        return queue is not None and self.one(statement, (queue,)) is not None

    # ---- runs
    def runs(self, item: int = 0, *, work: int = 0, limit: int = 100) -> list[Run]:
        """Runs that ended, newest last."""
        where, value = ("w.item_id = ?", item) if item else ("r.work_id = ?", work) if work else ("0 = ?", 0)
        rows = self.rows(
            f"SELECT {_RUN_COLUMNS} FROM runs r JOIN work w ON w.id = r.work_id WHERE {where} "
            "ORDER BY r.began DESC, r.work_id DESC, r.token DESC LIMIT ?",
            (value, limit),
        )
        return [self._to_run(row) for row in reversed(rows)]

    def runs_of(self, items: Sequence[int]) -> dict[int, list[Run]]:
        """The runs that ended of each of these items, newest last."""
        found: dict[int, list[Run]] = {item: [] for item in items}
        statement = (
            f"SELECT {_RUN_COLUMNS} FROM runs r JOIN work w ON w.id = r.work_id WHERE w.item_id IN ({{in}}) "
            "ORDER BY r.began, r.work_id, r.token"
        )
        for row in self.rows_in(statement, items):
            found[row[2]].append(self._to_run(row))
        return found

    def _to_run(self, row: Any) -> Run:
        return Run(
            work=row[0],
            token=row[1],
            item=row[2],
            stage=self.queue_name(row[3])[2],
            outcome=states.Outcome(row[4]),
            began=row[5],
            seconds=row[6],
            key=bytes(row[7]) if row[7] is not None else None,
            measures=tuple(Measure(*values) for values in load(row[8], [])),
            caveats=tuple(load(row[9], [])),
            steps=tuple(StepRecord(**values) for values in load(row[10], [])),
            reasons=tuple(load(row[11], [])),
            error=row[12] or "",
            worker=row[13] or "",
            log=row[14] or "",
            manual=bool(row[15]),
        )

    def components(self, work: int, token: int) -> Mapping[str, Any]:
        """The components of a finished run's key: stage, version, params, environment, inputs (name → hex)."""
        row = self.one(
            "SELECT p.content FROM runs r JOIN parts p ON p.id = r.part_id WHERE r.work_id = ? AND r.token = ?",
            (work, token),
        )
        if row is None:
            return {}
        return {**load(row[0], {}), "inputs": component_inputs(self.inputs(work, token))}

    def software(self, work: int, token: int) -> Mapping[str, str]:
        """What the process of a finished run had loaded: versions by distribution; none if that is not known."""
        row = self.one(
            "SELECT p.content FROM runs r JOIN parts p ON p.id = r.software WHERE r.work_id = ? AND r.token = ?",
            (work, token),
        )
        return load(row[0], {}) if row else {}

    def inputs(self, work: int, token: int) -> list[InputRow]:
        """What a finished run read."""
        rows = self.rows(
            "SELECT name, product_id, sha256, value FROM run_inputs WHERE work_id = ? AND token = ? ORDER BY position",
            (work, token),
        )
        products = self._products_by_id([row[1] for row in rows if row[1] is not None])
        items = self._item_keys(sorted({product.item for product in products.values()}))
        found = []
        for name, product_id, sha256, value in rows:
            product = products.get(product_id)
            if product:
                told = load(value, None)
                found.append(InputRow(name, product.sha256, product, items.get(product.item, ""), told))
            else:
                found.append(InputRow(name, bytes(sha256 or b""), value=load(value, None)))
        return found

    def used_by(self, product: int) -> list[tuple[int, int]]:
        """The runs (work, token) that read this product."""
        rows = self.rows("SELECT DISTINCT work_id, token FROM run_inputs WHERE product_id = ?", (product,))
        return sorted((row[0], row[1]) for row in rows)

    # ---- products
    def products(
        self,
        items: Sequence[int] = (),
        *,
        states: Sequence[states.Product] = (states.Product.CURRENT,),
        stages: Sequence[str] | None = None,
        after: int = 0,
        limit: int = 1_000_000,
    ) -> list[Product]:
        """Products by item, stage and state, by id."""
        order = _number(states)
        where = f"state IN ({marks(states)}) AND {order} > ?{_indexed(states)}"
        values: list[Any] = [*(state.value for state in states), after]
        if stages is not None:
            queues = [number for number, name in self._queues() if name[2] in stages] + [0] * ("" in stages)
            where += f" AND queue_id IN ({marks(queues)})"
            values += queues
        head = f"SELECT {PRODUCT_COLUMNS} FROM products WHERE "
        if not items:
            rows = self.rows(f"{head}{where} ORDER BY {order} LIMIT ?", (*values, limit))
        else:
            rows = [
                row
                for part in chunks(items)
                for row in self.rows(
                    f"{head}{where} AND item_id IN ({marks(part)}) ORDER BY {order} LIMIT ?",
                    (*values, *part, limit),
                )
            ]
        return [self.to_product(row) for row in sorted(rows, key=lambda row: row[0])[:limit]]

    def said(self, *, after: int = 0, limit: int) -> list[Said]:
        """What is said of the places of products that are current, missing or changed, by id."""
        rows = self.rows(
            "SELECT p.id, r.name, p.path, p.size, p.mtime_ns, p.tree, p.state = 'current' FROM products p "
            f"JOIN roots r ON r.id = p.root_id WHERE {LIVE} AND {_HELD} AND p.id > ? ORDER BY p.id LIMIT ?",
            (after, limit),
        )
        return list(map(Said._make, rows))

    def product(self, product: int) -> Product:
        """One product. Raises `NotFoundError`."""
        found = self._products_by_id([product])
        if not found:
            raise NotFoundError(f"no product with number {product}")
        return found[product]

    def raw_files(self, root: str) -> dict[str, tuple[int, int]]:
        """The raw files known below a root: relative path → (size, mtime_ns)."""
        rows = self.rows(
            "SELECT path, size, mtime_ns FROM products WHERE queue_id = 0 AND root_id = ? ORDER BY id",
            (self.root_id(root),),
        )
        return {row[0]: (row[1], row[2]) for row in rows}

    def _products_by_id(self, ids: Sequence[int]) -> dict[int, Product]:
        rows = self.rows_in(f"SELECT {PRODUCT_COLUMNS} FROM products WHERE id IN ({{in}})", ids)
        return {row[0]: self.to_product(row) for row in rows}

    def _item_keys(self, ids: Sequence[int]) -> dict[int, str]:
        return dict(self.rows_in('SELECT id, "key" FROM items WHERE id IN ({in})', ids))

    # ---- judgements
    def verdicts(self, item: int) -> list[tuple[str, Verdict, float, str]]:
        """The verdicts on an item, oldest first: (stage, verdict, time, who accepted it)."""
        rows = self.rows(
            "SELECT w.queue_id, v.result, v.rules, v.time, v.accepted_by FROM verdicts v JOIN work w ON w.id = v.work_id "
            "WHERE v.item_id = ? ORDER BY v.id",
            (item,),
        )
        return [
            (
                self.queue_name(row[0])[2],
                Verdict(row[1], tuple(RuleResult(**rule) for rule in load(row[2], []))),
                row[3],
                row[4] or "",
            )
            for row in rows
        ]

    def flags(self, item: int) -> list[Flag]:
        """The flags on an item that are not withdrawn, oldest first."""
        rows = self.rows(
            "SELECT item_id, part, value, comment, author, time, id FROM flags "
            "WHERE item_id = ? AND withdrawn IS NULL ORDER BY id",
            (item,),
        )
        return [Flag(row[0], load(row[1], {}), *row[2:]) for row in rows]

    def calibrations(
        self,
        kind: str = "",
        *,
        at: float | None = None,
        selector: str | None = None,
        states: Sequence[str] = ("certified",),
    ) -> list[CalibrationRow]:
        """Calibrations in these states, best first where `at` is given (quality, then the latest certified)."""
        where: list[str] = [f"state IN ({marks(states)})"]
        values: list[Any] = [*states]
        for clause, value in (("kind = ?", kind or None), ("selector = ?", selector)):
            if value is not None:
                where.append(clause)
                values.append(value)
        if at is not None:
            where.append("begins <= ? AND ends > ?")
            values += [at, at]
        order = "quality DESC, id DESC" if at is not None else "id"
        rows = self.rows(
            "SELECT id, product_id, kind, selector, begins, ends, quality, state, author, why FROM calibrations "
            f"WHERE {' AND '.join(where)} ORDER BY {order}",
            values,
        )
        products = self._products_by_id([row[1] for row in rows])
        return [CalibrationRow(row[0], products[row[1]], *row[2:]) for row in rows]

    def calibration_uses(self, products: Sequence[int]) -> dict[int, int]:
        """How many pieces of work stand on each calibration that is one of these products, by its number."""
        found: dict[int, int] = {}
        statement = (
            "SELECT r.value, count(DISTINCT r.work_id) FROM run_inputs r JOIN work w ON w.id = r.work_id "
            "AND r.token = w.done_token WHERE r.product_id IN ({in}) AND r.value IS NOT NULL GROUP BY r.value"
        )
        for value, count in self.rows_in(statement, sorted(set(products))):
            number = load(value, {}).get("calibration", 0)
            found[number] = found.get(number, 0) + count
        return found

    def publications(
        self,
        item: int = 0,
        *,
        states: Sequence[states.Publication] = (),
        after: int = 0,
        limit: int = 100,
        newest: bool = False,
    ) -> list[PublicationRow]:
        """The publication journal, oldest first or `newest`; `after` is the number of the last one of the page before."""
        is_page = newest and after > 0
        where: list[str] = ["id < ?" if is_page else "id > ?"]
        values: list[Any] = [after]
        if item:
            where.append("item_id = ?")
            values.append(item)
        if states:
            where.append(f"state IN ({marks(states)})")
            values += [state.value for state in states]
        order = "id DESC" if newest else "id"
        statement = f"SELECT {PUBLICATION_COLUMNS} FROM publications WHERE {' AND '.join(where)} ORDER BY {order} LIMIT ?"
        return [to_publication(row) for row in self.rows(statement, (*values, limit))]

    # ---- events
    def events(
        self,
        after: int = 0,
        *,
        item: int = 0,
        pipeline: str = "",
        types: Sequence[str] = (),
        until: int = 0,
        limit: int = 1000,
    ) -> list[Event]:
        """Events with seq > after, in order. Raises `StateError` with "reset" when older ones were pruned."""
        oldest = self.oldest_event()
        if after and after < oldest - 1:
            raise StateError(f"reset: events up to {oldest - 1} were pruned; read on from {oldest - 1}")
        where: list[str] = ["e.seq > ?"]
        values: list[Any] = [after]
        if item:
            where.append("e.item_id = ?")
            values.append(item)
        if pipeline:
            queues = [number for number, name in self._queues() if name[0] == pipeline]
            where.append(f"e.queue_id IN ({marks(queues)})")
            values += queues
        if types:
            where.append(f"e.type IN ({marks(types)})")
            values += types
        if until:
            where.append("e.seq <= ?")
            values.append(until)
        rows = self.rows(
            "SELECT e.seq, e.time, e.type, e.item_id, e.queue_id, e.token, e.data, w.id FROM events e LEFT JOIN work w "
            "ON e.token > 0 AND w.item_id = e.item_id AND w.queue_id = e.queue_id AND w.subject = '' "
            f"WHERE {' AND '.join(where)} ORDER BY e.seq LIMIT ?",
            (*values, limit),
        )
        return [self._to_event(row) for row in rows]

    def _to_event(self, row: Any) -> Event:
        name = self.queue_name(row[4] or 0)
        data = load(row[6], {})
        run = ids.run_name(row[7], row[5]) if row[7] else data.pop("run", "")
        return Event(row[0], row[1], row[2], row[3] or 0, name[2], run, name[0], data, name[1])

    def oldest_event(self) -> int:
        """The seq of the oldest event that is kept; of the next one, if none is."""
        return self.one("SELECT min(seq) FROM events")[0] or self.last_event() + 1

    def last_event(self) -> int:
        """The seq of the newest event."""
        row = self.one("SELECT value FROM counters WHERE name = 'event'")
        return row[0] if row else 0

    def behind(self) -> float:
        """Seconds by which the clock is behind that of the newest events, 0 if it is not: it was set back."""
        newest = 0.0
        for time, type_ in self.rows("SELECT time, type FROM events ORDER BY seq DESC LIMIT 1000"):
            newest = max(newest, time)
            if type_ == "clock":  # what is older was moved by whoever wrote this
                break
        seconds = newest - self.now()
        return seconds if seconds > _SLEW else 0.0

    def sessions(self) -> list[tuple[int, str, int, str, bool]]:
        """Open sessions of processes that run work: number, host, pid, lock file, attributable."""
        return self._sessions("WHERE works")

    def processes(self) -> list[tuple[int, str, int, str, bool]]:
        """All open sessions, also those of servers, which run none."""
        return self._sessions("")

    def _sessions(self, clause: str) -> list[tuple[int, str, int, str, bool]]:
        rows = self.rows(f"SELECT id, host, pid, lock, attributable FROM sessions {clause} ORDER BY id")
        return [(row[0], row[1], row[2], row[3], bool(row[4])) for row in rows]


_HELD = "state <> 'shed' AND state <> 'spent' AND state <> 'wanted'"  # not let go


_BAD_STATES = frozenset({states.Product.MISSING, states.Product.CHANGED, states.Product.WANTED})


def _number(wanted: Iterable[states.Product]) -> str:
    """A product's number in a statement: `+` where few are meant, so that they are not sought in the order of all."""
    return "+id" if _BAD_STATES.issuperset(wanted) else "id"


def _indexed(wanted: Iterable[states.Product]) -> str:
    """The same condition as the index on it is written: a planner does not see what is bound."""
    kinds = states.Product
    for literal, covered in (
        (BAD, _BAD_STATES),
        (LIVE, {kinds.CURRENT, *_BAD_STATES, kinds.SHED, kinds.SPENT}),
        ("state IN ('superseded', 'trash')", {kinds.SUPERSEDED, kinds.TRASH}),
    ):
        if covered.issuperset(wanted):
            return f" AND {literal}"
    return ""


def _first(queue: tuple[str, str, str]) -> str:
    return FIRST_OF_SUBJECT if queue[1] == "message" else ""


def component_inputs(inputs: Iterable[InputRow]) -> dict[str, Any]:
    """The inputs of a key by name: the hexadecimal sha256 of a product or facts, of several a list of them.

    What is told of a calibration stands beside it, as ``name.told``.
    """
    named: dict[str, list[str]] = {}
    told: dict[str, Any] = {}
    for row in inputs:
        named.setdefault(row.name, []).append(row.sha256.hex())
        if row.product is not None and row.value:
            told[f"{row.name}.told"] = row.value
    found = {name: values[0] if len(values) == 1 else values for name, values in named.items()}
    return dict(sorted((found | told).items()))


def to_publication(row: Any) -> PublicationRow:
    """A publication from a row of `PUBLICATION_COLUMNS`."""
    files = tuple((product, path) for product, path in load(row[8], []))
    return PublicationRow(
        row[0],
        row[1],
        row[2],
        row[3],
        row[4],
        row[5],
        states.Publication(row[6]),
        bytes(row[7]),
        files,
        bool(row[9]),
        row[10],
        row[11],
        row[12],
        row[13],
    )
