"""Claim and complete: the two transactions that everything else waits for. Hand-written SQL, bound in bulk.

Promises: one owner per row, fenced by the token; what a completing transaction makes ready is recomputed from rows.
Never runs user code and never touches a disk.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from towpath.adapters.catalog.needs import Needs
from towpath.adapters.catalog.sql import LIVE, chunks, dump, load, marks
from towpath.base.states import Outcome
from towpath.base.states import Work as State
from towpath.contracts.catalog import Claimed, Finished
from towpath.contracts.definition import GATHER, KindPlan, StagePlan
from towpath.contracts.executor import Output, Report

MOST_DEATHS = 3
_Pair = tuple[Claimed, Report]


class Working(Needs):
    """The claiming and completing half of the SQL catalog (contracts.catalog.Transaction)."""

    root_places: Mapping[str, str]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._events: list[tuple[Any, ...]] = []

    # ---- events: numbered when the transaction ends, in commit order
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
        self._events.append((type, item, queue, token, dump(dict(data))))

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
            [(last - count + 1 + number, now, *event) for number, event in enumerate(self._events)],
        )
        self._events = []

    # ---- names
    def intern(self, queue: tuple[str, str, str]) -> int:
        """The number of a queue, given to it if it is new."""
        number = self.queue_id(queue)
        if number is None:
            self.cursor.execute("INSERT INTO queues (pipeline, kind, stage) VALUES (?, ?, ?)", queue)
            number = self.queue_id(queue)
        assert number is not None
        return number

    def _intern_part(self, stage: StagePlan) -> int:
        number = self.part_id(stage.fixed)
        if number is None:
            self.cursor.execute(
                "INSERT INTO parts (sha256, content) VALUES (?, ?)",
                (stage.fixed.sha256, stage.fixed.json.decode()),
            )
            number = self.part_id(stage.fixed)
        assert number is not None
        return number

    # ---- claim
    def claim(
        self, kind: KindPlan, stage: StagePlan, limit: int, *, lease: float, owner: int
    ) -> list[Claimed]:
        """Take up to `limit` rows of a stage and compute their keys."""
        queue = self.queue_id(stage.queue)
        rows = self._take(queue, limit, lease, owner) if queue else []
        if not rows:
            return []
        items = [row[1] for row in rows]
        needs = self.needs(kind, stage, items)
        keys = self._item_keys(items)
        due, taken, blocked = self.now() + lease, [], []
        for row in rows:
            need = needs[row[1]]
            if need.problem:
                blocked.append((need.problem, row[0]))
                continue
            done = bytes(row[5]) if row[5] is not None else None
            taken.append(
                Claimed(
                    work=row[0],
                    token=row[2],
                    item=row[1],
                    item_key=keys[row[1]],
                    due=due,
                    key=need.key,
                    done_key=done,
                    inputs=need.inputs,
                    unchanged=done is not None and done == need.key,
                    deaths=row[3],
                    attempts=row[4],
                )
            )
        if blocked:
            self._block(blocked)
        return taken

    def claim_other(
        self, queue: tuple[str, str, str], limit: int, *, lease: float, owner: int
    ) -> list[Claimed]:
        """Take rows that are not a stage: no inputs and no key."""
        number = self.queue_id(queue)
        rows = self._take(number, limit, lease, owner) if number else []
        keys = self._item_keys([row[1] for row in rows if row[1]])
        due = self.now() + lease
        return [
            Claimed(
                row[0],
                row[2],
                row[1],
                keys.get(row[1], ""),
                due,
                deaths=row[3],
                attempts=row[4],
                subject=row[6],
                payload=load(row[7], {}),
            )
            for row in rows
        ]

    def _take(self, queue: int, limit: int, lease: float, owner: int) -> list[Any]:
        now = self.now()
        rows = self.rows(
            "SELECT id, item_id, state, token, deaths, owner, began FROM work WHERE queue_id = ? "
            f"AND state IN ('ready', 'running') AND due <= ? ORDER BY priority DESC, due, id LIMIT ?{self.locking}",
            (queue, now, limit),
        )
        if not rows:
            return []
        expired = [row for row in rows if row[2] == State.RUNNING]
        if expired:
            self._record_lost(expired, now)
        poisoned = [row for row in rows if row[4] > MOST_DEATHS]
        if poisoned:
            self._poison(poisoned, queue)
            rows = [row for row in rows if row[4] <= MOST_DEATHS]
        if rows and rows[0][4] > 0:
            rows = rows[:1]
        else:
            rows = [row for row in rows if row[4] == 0]
        return self._begin([row[0] for row in rows], now, lease, owner)

    locking = ""  # " FOR UPDATE SKIP LOCKED" where rows are locked one by one

    def _begin(self, ids: list[int], now: float, lease: float, owner: int) -> list[Any]:
        rows = self.rows_in(
            "UPDATE work SET state = 'running', token = token + 1, deaths = deaths + 1, attempts = attempts + 1, "
            "claimed_revision = revision, owner = ?, due = ?, began = ?, progress = NULL, note = NULL WHERE id IN ({in}) "
            'RETURNING id, item_id, token, deaths, attempts, "key", subject, payload',
            ids,
            owner,
            now + lease,
            now,
        )
        order = {work: number for number, work in enumerate(ids)}
        return sorted(rows, key=lambda row: order[row[0]])

    def _record_lost(self, rows: Sequence[Any], now: float) -> None:
        self.cursor.executemany(
            "INSERT INTO runs (work_id, token, outcome, began, seconds, error) VALUES (?, ?, 'lost', ?, ?, ?) "
            "ON CONFLICT DO NOTHING",
            [
                (row[0], row[3], row[6] or now, now - (row[6] or now), "its process ended before it did")
                for row in rows
            ],
        )
        for row in rows:
            self._event("lost", row[1] or None, None, row[3], {"run": f"{row[0]}.{row[3]}"})

    def _poison(self, rows: Sequence[Any], queue: int) -> None:
        note = f"its worker died {MOST_DEATHS + 1} times; see its runs, then `towpath retry`"
        self.cursor.executemany(
            "UPDATE work SET state = 'poisoned', note = ? WHERE id = ?", [(note, row[0]) for row in rows]
        )
        for row in rows:
            self._event("poisoned", row[1] or None, queue, row[3], {"deaths": row[4]})

    def _block(self, rows: Sequence[tuple[str, int]]) -> None:
        self.cursor.executemany(
            "UPDATE work SET state = 'waiting', deaths = deaths - 1, attempts = attempts - 1, note = ? WHERE id = ?",
            rows,
        )

    def heartbeat(
        self,
        runs: Sequence[tuple[int, int]],
        lease: float,
        progress: Mapping[int, tuple[float | None, str]] | None = None,
    ) -> list[tuple[int, int]]:
        """Extend the leases of these (work, token); returns those that are no longer ours and must be ended."""
        ids = [work for work, _ in runs]
        ours = dict(self.rows_in("SELECT id, token FROM work WHERE id IN ({in}) AND state = 'running'", ids))
        due = self.now() + lease
        self.cursor.executemany(
            "UPDATE work SET due = ? WHERE id = ? AND token = ? AND state = 'running'",
            [(due, work, token) for work, token in runs],
        )
        if progress:
            self.cursor.executemany(
                "UPDATE work SET progress = ?, note = ? WHERE id = ? AND state = 'running'",
                [(fraction, note, work) for work, (fraction, note) in progress.items()],
            )
        return [(work, token) for work, token in runs if ours.get(work) != token]

    # ---- complete
    def complete(self, kind: KindPlan, stage: StagePlan, reports: Sequence[_Pair]) -> Finished:
        """Write runs, products, verdicts, rows, milestones and events; make ready what follows, all in one."""
        standing = {
            row[0]: row
            for row in self.rows_in(
                f"SELECT id, token, state, revision, claimed_revision FROM work WHERE id IN ({{in}}){self.locking_plain}",
                sorted(claimed.work for claimed, _ in reports),
            )
        }
        fitting = [(c, r) for c, r in reports if _fits(standing.get(c.work), c.token)]
        self._write_stopped(
            [(c, r) for c, r in reports if _was_stopped(standing.get(c.work), c.token, r)], stage
        )
        moved = {c.work for c, _ in fitting if standing[c.work][3] != standing[c.work][4]}
        made, orphans = self._write_products(stage, [(c, r) for c, r in fitting if r.outcome is Outcome.DONE])
        self._write_runs(kind, stage, fitting, made)
        self._write_states(stage, fitting, moved)
        self._write_judgements(stage, fitting)
        done = tuple(
            (c.work, c.item)
            for c, r in fitting
            if r.outcome in (Outcome.DONE, Outcome.UNCHANGED) and c.work not in moved
        )
        self._follow(kind, stage, [item for _, item in done])
        self._again(kind, stage, fitting, moved)
        fit = {c.work for c, _ in fitting}
        return Finished(
            done,
            Counter(r.outcome for _, r in fitting),
            tuple(c.work for c, _ in reports if c.work not in fit),
            tuple(orphans),
        )

    locking_plain = ""  # " FOR UPDATE" where rows are locked one by one

    def _write_stopped(self, pairs: Sequence[_Pair], stage: StagePlan) -> None:
        self._insert_runs(stage, [(c, replace(r, outcome=Outcome.STOPPED)) for c, r in pairs])

    def _write_states(self, stage: StagePlan, pairs: Sequence[_Pair], moved: set[int]) -> None:
        rows = [(*_next_row(stage, c, r, c.work in moved, self.now()), c.work) for c, r in pairs]
        self.cursor.executemany(
            'UPDATE work SET state = ?, due = ?, deaths = ?, attempts = ?, "key" = coalesce(?, "key"), '
            "done_token = coalesce(?, done_token), note = ?, progress = NULL, owner = 0 WHERE id = ?",
            rows,
        )

    def _write_runs(
        self, kind: KindPlan, stage: StagePlan, pairs: Sequence[_Pair], made: Mapping[int, str]
    ) -> None:
        ran = [
            (c, replace(r, caveats=(*r.caveats, made[c.work])) if c.work in made else r)
            for c, r in pairs
            if r.outcome not in (Outcome.UNCHANGED, Outcome.DRAINED, Outcome.BLOCKED)
        ]
        self._insert_runs(stage, ran)
        queue = self.intern(stage.queue)
        for claimed, report in pairs:
            if report.outcome is not Outcome.DRAINED:
                note = {"reasons": list(report.reasons)} if report.reasons else {}
                if report.error:
                    note["error"] = [report.error]
                self._event(report.outcome.value, claimed.item, queue, claimed.token, note)
        reached = [
            (c.item, stage.reaches if r.outcome is Outcome.DONE else stage.rejects, r.began + r.seconds)
            for c, r in pairs
            if (r.outcome is Outcome.DONE and stage.reaches)
            or (r.outcome is Outcome.REJECTED and stage.rejects)
        ]
        self._reach(reached)

    def _reach(self, rows: Sequence[tuple[int, str, float]]) -> None:
        self.cursor.executemany(
            "INSERT INTO milestones (item_id, name, time) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", rows
        )

    def _insert_runs(self, stage: StagePlan, pairs: Sequence[_Pair]) -> None:
        if not pairs:
            return
        part = self._intern_part(stage)
        definition = self.routes[stage.pipeline].number if stage.pipeline in self.routes else None
        self.cursor.executemany(
            'INSERT INTO runs (work_id, token, outcome, began, seconds, part_id, "key", definition, worker, log, measures, '
            "caveats, steps, reasons, error) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            [_run_values(c, r, part, definition) for c, r in pairs],
        )
        self.cursor.executemany(
            "INSERT INTO run_inputs (work_id, token, position, name, product_id, sha256, value) VALUES (?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            [values for c, _ in pairs for values in _input_values(c)],
        )

    def _write_judgements(self, stage: StagePlan, pairs: Sequence[_Pair]) -> None:
        judged = [
            (c.item, c.work, c.token, r.verdict["result"], dump(list(r.verdict["rules"])) or "[]", self.now())
            for c, r in pairs
            if r.verdict
        ]
        self.cursor.executemany(
            "INSERT INTO verdicts (item_id, work_id, token, result, rules, time) VALUES (?, ?, ?, ?, ?, ?)",
            judged,
        )
        for _, report in pairs:
            for product, mtime_ns in report.refreshed:
                self.refresh(product, mtime_ns)
            for product, what in report.changed:
                self.found(product, what)

    def refresh(self, product: int, mtime_ns: int) -> None:
        """The bytes are equal by hash, only the time stamp differs."""
        self.cursor.execute("UPDATE products SET mtime_ns = ? WHERE id = ?", (mtime_ns, product))

    def found(self, product: int, what: str) -> None:
        """A run found an input missing or changed; the changing half decides what follows."""
        raise NotImplementedError

    # ---- products
    def _write_products(self, stage: StagePlan, pairs: Sequence[_Pair]) -> tuple[dict[int, str], list[str]]:
        queue = self.intern(stage.queue)
        former = self._former(queue, [c.item for c, _ in pairs if c.token > 1])
        caveats: dict[int, str] = {}
        orphans: list[str] = []
        fresh: list[tuple[Claimed, Output]] = []
        for claimed, report in pairs:
            old = former.get(claimed.item)
            if old:
                fresh += self._remade(claimed, report, old, caveats, orphans)
            else:
                fresh += [(claimed, output) for output in report.outputs]
        self._insert_products(stage, queue, fresh)
        return caveats, orphans

    def _former(self, queue: int, items: Sequence[int]) -> dict[int, dict[tuple[str, str], Any]]:
        found: dict[int, dict[tuple[str, str], Any]] = {}
        for row in self.rows_in(
            f"SELECT id, item_id, output, part, sha256, state FROM products WHERE queue_id = ? AND state IN {LIVE} "
            "AND item_id IN ({in})",
            items,
            queue,
        ):
            found.setdefault(row[1], {})[row[2], row[3]] = row
        return found

    def _remade(
        self,
        claimed: Claimed,
        report: Report,
        old: dict[tuple[str, str], Any],
        caveats: dict[int, str],
        orphans: list[str],
    ) -> list[tuple[Claimed, Output]]:
        """Outputs made again: equal and intact → the new bytes go; equal but bad → the place moves; else superseded."""
        made = {(output.name, output.part): output for output in report.outputs}
        same = {
            name
            for name, output in made.items()
            if name in old and bytes(old[name][4]) == output.content.sha256
        }
        if len(same) == len(made) == len(old) and all(old[name][5] == "current" for name in same):
            orphans += [output.path for output in report.outputs]
            return []
        if claimed.unchanged and same != set(made):
            caveats[claimed.work] = "not reproducible: the same key gave another result"
        for name in same:
            self._move_place(old[name][0], claimed, made[name])
        self._supersede([row[0] for name, row in old.items() if name not in same])
        return [(claimed, output) for name, output in made.items() if name not in same]

    def _move_place(self, product: int, claimed: Claimed, output: Output) -> None:
        root, path = self.locate(output.path)
        self.cursor.execute(
            "UPDATE products SET state = 'current', root_id = ?, path = ?, mtime_ns = ?, work_id = ?, token = ? WHERE id = ?",
            (root, path, output.content.mtime_ns, claimed.work, claimed.token, product),
        )

    def _supersede(self, products: Sequence[int]) -> None:
        now = self.now()
        self.cursor.executemany(
            "UPDATE products SET state = 'superseded', left_at = ? WHERE id = ?",
            [(now, product) for product in products],
        )

    def _insert_products(self, stage: StagePlan, queue: int, fresh: Sequence[tuple[Claimed, Output]]) -> None:
        now = self.now()
        self.cursor.executemany(
            "INSERT INTO products (item_id, queue_id, output, part, type, root_id, path, size, mtime_ns, sha256, tree, state, "
            "work_id, token, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'current', ?, ?, ?)",
            [
                (
                    claimed.item,
                    queue,
                    output.name,
                    output.part,
                    stage.outputs.get(output.name, ""),
                    *self.locate(output.path),
                    output.content.size,
                    output.content.mtime_ns,
                    output.content.sha256,
                    output.content.tree,
                    claimed.work,
                    claimed.token,
                    now,
                )
                for claimed, output in fresh
            ],
        )

    def locate(self, path: str) -> tuple[int, str]:
        """The root's number and relative path of an absolute path below a root."""
        best = max(
            (name for name, place in self.root_places.items() if path.startswith(place)),
            key=lambda name: len(self.root_places[name]),
            default=None,
        )
        if best is None:
            raise ValueError(f"{path} lies below no root; roots are {dict(self.root_places)}")
        return self.root_id(best), path[len(self.root_places[best]) :]

    # ---- readiness
    def _follow(self, kind: KindPlan, stage: StagePlan, items: Sequence[int]) -> None:
        if not items:
            return
        if stage.after:
            self.recompute(kind, items, stage.after)
        definition = self.routes.get(stage.pipeline)
        for group in definition.groups_of(kind.name, stage.name) if definition else ():
            groups = self.groups_of(items)
            if groups:
                self.recompute(group, groups)

    def _again(self, kind: KindPlan, stage: StagePlan, pairs: Sequence[_Pair], moved: set[int]) -> None:
        if moved:
            self.recompute(kind, [c.item for c, _ in pairs if c.work in moved], (stage.name,))

    def recompute(self, kind: KindPlan, items: Sequence[int], stages: Sequence[str] | None = None) -> int:
        """Make ready the waiting work whose needs all hold; without items, all waiting work of the stages."""
        count = 0
        for name in kind.stages if stages is None else stages:
            if name in kind.stages:
                count += self._recompute_stage(kind, kind.stages[name], items)
        return count

    def _recompute_stage(self, kind: KindPlan, stage: StagePlan, items: Sequence[int]) -> int:
        queue = self.queue_id(stage.queue)
        if queue is None:
            return 0
        before = list(stage.before) or ([GATHER] if kind.gathered else [])
        queues = [self.intern((kind.pipeline, kind.name, name)) for name in before]
        clauses, values = ["queue_id = ?", "state = 'waiting'"], [queue]
        if queues:
            clauses.append(
                "(SELECT count(*) FROM work AS b WHERE b.item_id = work.item_id AND b.subject = '' AND b.state = 'done' "
                f"AND b.queue_id IN ({marks(queues)})) = {len(queues)}"
            )
            values += queues
        extra, more = self._other_needs(kind, stage)
        clauses += extra
        values += more
        count = 0
        for part in chunks(items) if items else [()]:
            limit = f" AND item_id IN ({marks(part)})" if part else ""
            ready = self._with_calibration(stage, " AND ".join(clauses) + limit, [*values, *part])
            self.cursor.execute(
                f"UPDATE work SET state = 'ready', due = ?, note = NULL WHERE {ready[0]}",
                (self.now(), *ready[1]),
            )
            count += self.cursor.rowcount
        return count

    def _other_needs(self, kind: KindPlan, stage: StagePlan) -> tuple[list[str], list[int]]:
        """Members that must have passed, and products that must not be bad: conditions on the row `work`."""
        clauses, values = [], []
        if kind.group and kind.group.at and not stage.before:
            clauses.append(
                "NOT EXISTS (SELECT 1 FROM members m JOIN work b ON b.item_id = m.item_id AND b.queue_id = ? "
                "AND b.subject = '' WHERE m.group_id = work.item_id AND b.state <> 'done')"
            )
            values.append(self.intern((kind.pipeline, kind.group.of, kind.group.at)))
        if stage.inputs and self.one("SELECT 1 FROM products WHERE state IN ('missing', 'changed') LIMIT 1"):
            for plan in stage.inputs:
                clause, more = self._no_bad_products(kind, plan.members, [name for name, _ in plan.producers])
                if clause:
                    clauses.append(clause)
                    values += more
        return clauses, values

    def _no_bad_products(self, kind: KindPlan, members: bool, stages: Sequence[str]) -> tuple[str, list[int]]:
        if not stages:
            return "", []
        owner = kind.group.of if members and kind.group else kind.name
        queues = [self.intern((kind.pipeline, owner, name)) if name else 0 for name in stages]
        where = "m.group_id = work.item_id" if members else "p.item_id = work.item_id"
        join = " JOIN members m ON m.item_id = p.item_id" if members else ""
        return (
            f"NOT EXISTS (SELECT 1 FROM products p{join} WHERE {where} AND p.state IN ('missing', 'changed') "
            f"AND p.queue_id IN ({marks(queues)}))",
            queues,
        )

    def _with_calibration(self, stage: StagePlan, where: str, values: list[Any]) -> tuple[str, list[Any]]:
        plans = [plan for plan in stage.inputs if plan.form == "calibration" and not plan.optional]
        if not plans:
            return where, values
        rows = self.rows(f"SELECT id, item_id FROM work WHERE {where}", values)
        good = [
            row[0]
            for row in rows
            if not any(isinstance(self._calibration(plan, row[1]), str) for plan in plans)
        ]
        return (f"id IN ({marks(good)})" if good else "0 = 1"), good


def _fits(row: Any, token: int) -> bool:
    return row is not None and row[1] == token and row[2] == State.RUNNING


def _was_stopped(row: Any, token: int, report: Report) -> bool:
    return row is not None and row[1] == token + 1 and row[2] == State.STOPPED and report.began > 0


def _next_row(
    stage: StagePlan, claimed: Claimed, report: Report, moved: bool, now: float
) -> tuple[str, float, int, int, bytes | None, int | None, str | None]:
    """The new (state, due, deaths, attempts, key, done_token, note) of a row whose run ended."""
    note = (report.error or "; ".join(report.reasons))[:500] or None
    deaths, attempts = claimed.deaths - 1, claimed.attempts
    match report.outcome:
        case Outcome.DONE | Outcome.UNCHANGED | Outcome.REJECTED | Outcome.HELD if moved:
            return State.WAITING, now, 0, 0, None, _made(claimed, report), None
        case Outcome.DONE | Outcome.UNCHANGED:
            return State.DONE, now, 0, 0, claimed.key, _made(claimed, report), None
        case Outcome.REJECTED | Outcome.HELD:
            return State(report.outcome.value), now, 0, 0, None, None, note
        case Outcome.TRANSIENT if attempts < stage.attempts:
            wait = max(report.after, stage.backoff * 2 ** (attempts - 1))
            return State.READY, now + wait, deaths, attempts, None, None, note
        case Outcome.LOST:
            return State.READY, now, claimed.deaths, attempts, None, None, note
        case Outcome.DRAINED:
            return State.READY, now, deaths, attempts - 1, None, None, None
        case Outcome.BLOCKED:
            return State.WAITING, now, deaths, attempts - 1, None, None, note
        case _:
            return State.FAILED, now, deaths, attempts, None, None, note


def _made(claimed: Claimed, report: Report) -> int | None:
    return claimed.token if report.outcome is Outcome.DONE else None


def _run_values(claimed: Claimed, report: Report, part: int, definition: int | None) -> tuple[Any, ...]:
    log = f"{report.log[0]}:{report.log[1]}:{report.log[2]}" if report.log else None
    return (
        claimed.work,
        claimed.token,
        report.outcome.value,
        report.began,
        report.seconds,
        part,
        claimed.key,
        definition,
        report.worker or None,
        log,
        dump([[measure.name, measure.value, measure.unit] for measure in report.measures]),
        dump(list(report.caveats)),
        dump([asdict(step) for step in report.steps]),
        dump(list(report.reasons)),
        report.error or None,
    )


def _input_values(claimed: Claimed) -> Iterable[tuple[Any, ...]]:
    for position, row in enumerate(claimed.inputs):
        if row.product is not None:
            yield claimed.work, claimed.token, position, row.name, row.product.id, None, None
        else:
            value = dump(row.value)
            kept = value if value and len(value) < 4000 else None
            yield claimed.work, claimed.token, position, row.name, None, row.sha256, kept
