"""Complete: the transaction that everything else waits for. Hand-written SQL, bound in bulk.

Promises that only the owner of a row ends it, and that run, products, verdicts, state, milestones, events and what
follows are written together. Never runs user code and never touches a disk.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from towpath.adapters.catalog import features
from towpath.adapters.catalog.claiming import Claiming
from towpath.adapters.catalog.sql import LIVE, dump, load, storable
from towpath.base.states import Outcome
from towpath.base.states import Work as State
from towpath.contracts.catalog import Claimed, Finished
from towpath.contracts.definition import Keep, KindPlan, StagePlan
from towpath.contracts.executor import Output, Report

LOOK_AGAIN = 60.0  # seconds until what may be let go is looked at, unless what reads it ends before

_Pair = tuple[Claimed, Report]
_Names = tuple[str, str]  # output, part

_NOT_RUN = frozenset({Outcome.UNCHANGED, Outcome.DRAINED, Outcome.BLOCKED})
_MADE = frozenset({Outcome.DONE, Outcome.HELD})  # their outputs are products
_AGAIN = frozenset({Outcome.TRANSIENT, Outcome.LOST, Outcome.DRAINED})
_SETTLED = frozenset({Outcome.DONE, Outcome.UNCHANGED, Outcome.REJECTED})
_JUDGED = frozenset({Outcome.DONE, Outcome.HELD, Outcome.REJECTED})


class Completing(Claiming):
    """The completing part of the SQL catalog (contracts.catalog.Transaction)."""

    def complete(self, kind: KindPlan, stage: StagePlan, reports: Sequence[_Pair]) -> Finished:
        """Write runs, products, verdicts, rows, milestones and events; make ready what follows, all in one."""
        self._lock_items([claimed.item for claimed, _ in reports])
        standing = {
            row[0]: row
            for row in self.rows_in(
                'SELECT id, token, state, revision, claimed_revision, "key" FROM work WHERE id IN ({in}) ORDER BY id'
                + self.locking_plain,
                sorted(claimed.work for claimed, _ in reports),
            )
        }
        fitting, others = _sort_out([(claimed, _storable(report)) for claimed, report in reports], standing)
        moved = {c.work for c, _ in fitting if standing[c.work][3] != standing[c.work][4]}
        if others:
            self._write_stopped(stage, others)
        made, orphans, restored = self._write_products(
            stage, [pair for pair in fitting if pair[1].outcome in _MADE]
        )
        self._write_runs(stage, fitting, made, moved)
        self._write_states(stage, fitting, standing, moved)
        self._write_judgements(fitting)
        features.replace_all(
            self, self.intern(stage.queue), [(c, r.features) for c, r in fitting if r.outcome in _MADE]
        )
        done = tuple(
            (c.work, c.item)
            for c, r in fitting
            if r.outcome in (Outcome.DONE, Outcome.UNCHANGED) and c.work not in moved
        )
        self._follow(kind, stage, [item for _, item in done])
        for product in restored:
            self._is_good_again(product)
        self._look_again(kind, stage, fitting, moved)
        self._look_soon(kind, stage, fitting)
        ended = Counter(r.outcome for _, r in fitting)
        return Finished(done, ended, tuple(c.work for c, _ in others), tuple(orphans))

    def _lock_items(self, items: Sequence[int]) -> None:
        """Of two that end branches of one item at once, the second sees what the first did, and wakes the join."""
        if self.locking_plain:
            statement = f"SELECT id FROM items WHERE id IN ({{in}}) ORDER BY id{self.locking_plain}"
            self.rows_in(statement, sorted(set(items)))

    # ---- states
    def _look_again(self, kind: KindPlan, stage: StagePlan, pairs: Sequence[_Pair], moved: set[int]) -> None:
        """What is to run again may have lost an input, or have all it needs."""
        again = [c.item for c, r in pairs if r.outcome in _AGAIN]
        plan = self._plan(kind.pipeline, kind.name) or kind
        if again:
            self._unready(plan, again, (stage.name,))
        wakes = [c.item for c, r in pairs if c.work in moved or r.outcome is Outcome.BLOCKED]
        if wakes:
            self.recompute(plan, wakes, (stage.name,))

    def _write_states(
        self, stage: StagePlan, pairs: Sequence[_Pair], standing: Mapping[int, Any], moved: set[int]
    ) -> None:
        now, part = self.now(), self.part_id(stage.fixed)
        self.cursor.executemany(
            'UPDATE work SET state = ?, due = ?, deaths = ?, attempts = ?, "key" = ?, '
            "done_token = coalesce(?, done_token), note = ?, progress = NULL, owner = 0, "
            "done_part = coalesce(?, done_part) WHERE id = ?",
            [
                (
                    *_next_row(stage, c, r, standing[c.work][5], c.work in moved, now),
                    part if r.outcome in _MADE else None,
                    c.work,
                )
                for c, r in pairs
            ],
        )

    # ---- runs
    def _write_stopped(self, stage: StagePlan, pairs: Sequence[_Pair]) -> None:
        """A run that was stopped has its row already; its report, if there is one, fills it."""
        bare = {
            (row[0], row[1]): tuple(load(row[2], []))
            for row in self.rows_in(
                "SELECT work_id, token, reasons FROM runs WHERE outcome = 'stopped' AND part_id IS NULL "
                "AND work_id IN ({in})",
                sorted({claimed.work for claimed, _ in pairs}),
            )
        }
        told = [
            (c, replace(r, outcome=Outcome.STOPPED, reasons=(*bare[c.work, c.token], *r.reasons)))
            for c, r in pairs
            if (c.work, c.token) in bare and r.began
        ]
        self.cursor.executemany(
            "DELETE FROM runs WHERE work_id = ? AND token = ?", [(c.work, c.token) for c, _ in told]
        )
        self._insert_runs(stage, told)

    def _write_runs(
        self, stage: StagePlan, pairs: Sequence[_Pair], caveats: Mapping[int, str], moved: set[int]
    ) -> None:
        ran = [pair for pair in pairs if pair[1].outcome not in _NOT_RUN]
        if caveats:
            ran = [
                (c, replace(r, caveats=(*r.caveats, caveats[c.work])) if c.work in caveats else r)
                for c, r in ran
            ]
        self._insert_runs(stage, ran)
        queue = self.intern(stage.queue)
        for claimed, report in pairs:
            if report.outcome is not Outcome.DRAINED:
                told = _told(report, claimed.work in moved)
                self._event(report.outcome.value, claimed.item, queue, claimed.token, told)
        if stage.reaches or stage.rejects:
            self._reach(_reached(stage, [(c, r) for c, r in pairs if c.work not in moved], self.now()))

    def _insert_runs(self, stage: StagePlan, pairs: Sequence[_Pair]) -> None:
        if not pairs:
            return
        part = self._intern_part(stage)
        definition = self.routes[stage.pipeline].number if stage.pipeline in self.routes else None
        software = {told: self._intern_software(told) for told in sorted({r.software for _, r in pairs})}
        self.cursor.executemany(
            'INSERT INTO runs (work_id, token, outcome, began, seconds, part_id, "key", definition, worker, log, measures, '
            "caveats, steps, reasons, error, software) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT DO NOTHING",
            [(*_run_values(c, r, part, definition), software[r.software]) for c, r in pairs],
        )
        self._insert_inputs([c for c, _ in pairs])

    def _insert_inputs(self, claims: Sequence[Claimed]) -> None:
        self.cursor.executemany(
            "INSERT INTO run_inputs (work_id, token, position, name, product_id, sha256, value) VALUES (?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            (values for claimed in claims for values in _input_values(claimed)),
        )

    def _write_judgements(self, pairs: Sequence[_Pair]) -> None:
        judged = [
            (c.item, c.work, c.token, r.verdict["result"], dump(list(r.verdict["rules"])) or "[]", self.now())
            for c, r in pairs
            if r.verdict and r.outcome in _JUDGED
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
        """A run found an input missing or changed; the part that keeps products decides what follows."""
        raise NotImplementedError

    def _is_good_again(self, product: int) -> None:
        """A bad product was made again, equal; the part that keeps products decides what follows."""
        raise NotImplementedError

    # ---- products
    def _write_products(
        self, stage: StagePlan, pairs: Sequence[_Pair]
    ) -> tuple[dict[int, str], list[str], list[int]]:
        """Returns caveats by work, paths that were made for nothing, and bad products that are good again."""
        queue = self.intern(stage.queue)
        former = self._former(queue, [c.item for c, _ in pairs if c.token > 1])
        caveats: dict[int, str] = {}
        orphans: list[str] = []
        restored: list[int] = []
        fresh: list[tuple[Claimed, Output]] = []
        for claimed, report in pairs:
            old = former.get(claimed.item)
            if old:
                made = {(output.name, output.part): output for output in report.outputs}
                fresh += self._remade(claimed, made, old, orphans)
                restored += [row[0] for name, row in old.items() if row[5] != "current" and name in made]
                if _is_other(claimed, made, old):
                    caveats[claimed.work] = "not reproducible: the same key gave another result"
            else:
                fresh += [(claimed, output) for output in report.outputs]
        if fresh:
            self._insert_products(stage, queue, fresh)
        return caveats, orphans, restored

    def _former(self, queue: int, items: Sequence[int]) -> dict[int, dict[_Names, Any]]:
        """The live products of a stage by item and name: id, item, output, part, sha256, state, their run's key.

        The key is None where a person made the product or adopted the run.
        """
        found: dict[int, dict[_Names, Any]] = {}
        for row in self.rows_in(
            'SELECT p.id, p.item_id, p.output, p.part, p.sha256, p.state, CASE WHEN NOT p.manual THEN r."key" END '
            "FROM products p LEFT JOIN work w ON w.id = p.work_id "
            "LEFT JOIN runs r ON r.work_id = w.id AND r.token = w.done_token AND r.manual IS NULL "
            f"WHERE p.queue_id = ? AND {LIVE.replace('state', 'p.state')} AND p.item_id IN ({{in}})",
            items,
            queue,
        ):
            found.setdefault(row[1], {})[row[2], row[3]] = row
        return found

    def _remade(
        self, claimed: Claimed, made: Mapping[_Names, Output], old: Mapping[_Names, Any], orphans: list[str]
    ) -> list[tuple[Claimed, Output]]:
        """Outputs made again: equal and trusted → the new bytes go; equal but bad → the place moves; else superseded.

        Bytes are trusted where only an input changed. Work that ran again although its key is the same (or was
        forgotten) did so because somebody doubts them.
        """
        trusted = claimed.done_key is not None and not claimed.unchanged
        same = {name for name, output in made.items() if name in old and _is_same(old[name], output)}
        for name in same:
            if trusted and old[name][5] == "current":  # what was let go has no bytes that could be kept
                orphans.append(made[name].path)
            else:
                self._move_place(old[name][0], claimed, made[name])
        self._supersede([row[0] for name, row in old.items() if name not in same])
        return [(claimed, output) for name, output in made.items() if name not in same]

    def _move_place(self, product: int, claimed: Claimed, output: Output) -> None:
        root, path = self.locate(output.path)
        self.cursor.execute(
            "UPDATE products SET state = 'current', root_id = ?, path = ?, mtime_ns = ?, work_id = ?, token = ?, "
            "detail = NULL, left_at = NULL, look = CASE WHEN look IS NULL AND state <> 'shed' AND state <> 'spent' "
            "AND state <> 'wanted' THEN NULL ELSE CAST(? AS FLOAT) END WHERE id = ?",
            (
                root,
                path,
                output.content.mtime_ns,
                claimed.work,
                claimed.token,
                self.now() + LOOK_AGAIN,
                product,
            ),
        )

    def _supersede(self, products: Sequence[int]) -> None:
        """What was let go has no bytes that could go to the trash later, unless they are there still."""
        now = self.now()
        self.cursor.executemany(
            "UPDATE products SET state = CASE WHEN state = 'spent' OR state = 'wanted' THEN 'deleted' "
            "ELSE 'superseded' END, left_at = ? WHERE id = ?",
            [(now, product) for product in products],
        )

    def _insert_products(self, stage: StagePlan, queue: int, fresh: Sequence[tuple[Claimed, Output]]) -> None:
        now, types = self.now(), stage.outputs
        looks = {name: _first_look(keep, now) for name, keep in self._keep_of(stage).items()}
        self.cursor.executemany(
            "INSERT INTO products (item_id, queue_id, output, part, type, root_id, path, size, mtime_ns, sha256, tree, state, "
            "work_id, token, created, look) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'current', ?, ?, ?, ?)",
            [
                (
                    claimed.item, queue, output.name, output.part, types.get(output.name, ""),
                    *self.locate(output.path), output.content.size, output.content.mtime_ns,
                    output.content.sha256, output.content.tree, claimed.work, claimed.token, now,
                    looks.get(output.name),
                )
                for claimed, output in fresh
            ],
        )  # fmt: skip

    def _keep_of(self, stage: StagePlan) -> Mapping[str, Keep]:
        """How the active pipeline file says that the outputs of a stage are kept, whatever it said at the claim."""
        plan = self._plan(stage.pipeline, stage.kind)
        return plan.stages[stage.name].keep if plan and stage.name in plan.stages else {}

    def _look_soon(self, kind: KindPlan, stage: StagePlan, pairs: Sequence[_Pair]) -> None:
        """What was made before for these items, and what the runs read, may perhaps go now: the next sweep looks at it."""
        definition = self.routes.get(kind.pipeline)
        if definition is None or not any(
            some.keep for one in definition.kinds.values() for some in one.stages.values()
        ):
            return
        now, queue = self.now(), self.intern(stage.queue)
        ended = [claimed for claimed, report in pairs if report.outcome in _SETTLED]
        self.cursor.executemany(
            f"UPDATE products SET look = ? WHERE item_id = ? AND queue_id <> ? AND look IS NOT NULL AND {LIVE}",
            [(now, item, queue) for item in sorted({claimed.item for claimed in ended})],
        )
        if kind.group:
            self._look_at_inputs([(claimed.work, claimed.token) for claimed in ended])

    def _look_at_inputs(self, runs: Sequence[tuple[int, int]]) -> None:
        """The same for what these runs read; one that was spared read what the one before it did."""
        self.cursor.executemany(
            "UPDATE products SET look = ? WHERE look IS NOT NULL AND id IN (SELECT r.product_id FROM run_inputs r "
            "JOIN work w ON w.id = r.work_id AND r.token IN (w.done_token, CAST(? AS BIGINT)) "
            "WHERE w.id = ? AND r.product_id IS NOT NULL)",
            [(self.now(), token, work) for work, token in runs],
        )

    def locate(self, path: str) -> tuple[int, str]:
        """The root's number and relative path of an absolute path below a root."""
        for place, number in self.places():
            if path.startswith(place):
                return number, path[len(place) :]
        raise ValueError(f"{path} lies below no root; roots are {[place for place, _ in self.places()]}")


def _storable(report: Report) -> Report:
    """The report with words that every catalog can hold: they may quote names of files that are no UTF-8."""
    if not (report.error or report.reasons):
        return report
    return replace(report, error=storable(report.error), reasons=tuple(map(storable, report.reasons)))


def _sort_out(reports: Sequence[_Pair], standing: Mapping[int, Any]) -> tuple[list[_Pair], list[_Pair]]:
    """The reports whose token and state still fit, one per row, and the others."""
    fitting: list[_Pair] = []
    others: list[_Pair] = []
    seen: set[int] = set()
    for pair in reports:
        claimed = pair[0]
        row = standing.get(claimed.work)
        if (
            row is not None
            and row[1] == claimed.token
            and row[2] == State.RUNNING
            and claimed.work not in seen
        ):
            seen.add(claimed.work)
            fitting.append(pair)
        else:
            others.append(pair)
    return fitting, others


def _next_row(
    stage: StagePlan, claimed: Claimed, report: Report, key: bytes | None, moved: bool, now: float
) -> tuple[str, float, int, int, bytes | None, int | None, str | None]:
    """The new (state, due, deaths, attempts, key, done_token, note) of a row whose run ended.

    The key is that of the run that made what is current. It is forgotten when a run was rejected or held, so that
    inputs that come back are judged anew, and when it was forced to run again meanwhile (`key` is empty).
    """
    outcome, attempts = report.outcome, claimed.attempts
    made = claimed.token if outcome in _MADE else None
    kept = key or None
    if not moved and outcome in (Outcome.DONE, Outcome.UNCHANGED):
        return State.DONE, now, 0, 0, claimed.key, made, None
    note = (report.error or "; ".join(report.reasons))[:500] or None
    given_back = max(claimed.deaths - 1, 0)
    if outcome in (Outcome.REJECTED, Outcome.HELD):
        state = State.WAITING if moved else State(outcome.value)
        return state, now, 0, 0, None, made, None if moved else note
    if outcome in (Outcome.DONE, Outcome.UNCHANGED):
        return State.WAITING, now, 0, 0, None if key == b"" else claimed.key, made, None
    if outcome is Outcome.LOST:
        return (
            State.WAITING if moved else State.READY,
            now,
            claimed.deaths,
            attempts,
            kept,
            None,
            None if moved else note,
        )
    if outcome is Outcome.DRAINED:
        return State.WAITING if moved else State.READY, now, given_back, attempts - 1, kept, None, None
    if outcome is Outcome.BLOCKED:
        pause = 0.0 if moved or report.changed else stage.backoff
        return State.WAITING, now + pause, given_back, attempts - 1, kept, None, None if moved else note
    if outcome is Outcome.TRANSIENT and attempts < stage.attempts:
        wait = max(report.after, stage.backoff * 2 ** (attempts - 1))
        return (
            State.WAITING if moved else State.READY,
            now + wait,
            given_back,
            attempts,
            kept,
            None,
            None if moved else note,
        )
    if moved:
        return State.WAITING, now, given_back, 0, kept, None, None
    return State.FAILED, now, given_back, attempts, kept, None, note


def _first_look(keep: Keep, now: float) -> float:
    """When it is first to be seen whether a product may be let go: what reads it brings that forward as it ends."""
    return now + (keep.seconds if keep.until == "age" else LOOK_AGAIN)


def _is_same(row: Any, output: Output) -> bool:
    return bool(row[4] == output.content.sha256)


def _is_other(claimed: Claimed, made: Mapping[_Names, Output], old: Mapping[_Names, Any]) -> bool:
    """Whether the key that gave the old products now gave others."""
    return any(
        row[6] is not None and row[6] == claimed.key and not (name in made and _is_same(row, made[name]))
        for name, row in old.items()
    )


def _told(report: Report, moved: bool) -> dict[str, Any]:
    """What an event of a run that ended says."""
    told: dict[str, Any] = {}
    if report.reasons:
        told["reasons"] = list(report.reasons)
    if report.error:
        told["error"] = [report.error]
    if moved:
        told["again"] = True
    return told


def _reached(stage: StagePlan, pairs: Iterable[_Pair], now: float) -> list[tuple[int, str, float]]:
    """The milestones (item, name, time) that runs reach."""
    found = []
    for claimed, report in pairs:
        name = stage.rejects if report.outcome is Outcome.REJECTED else ""
        if report.outcome in (Outcome.DONE, Outcome.UNCHANGED):
            name = stage.reaches
        if name:
            found.append((claimed.item, name, report.began + report.seconds if report.began else now))
    return found


def _run_values(claimed: Claimed, report: Report, part: int, definition: int | None) -> tuple[Any, ...]:
    log = report.log
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
        f"{log[0]}:{log[1]}:{log[2]}" if log else None,
        dump([[one.name, one.value, one.unit] for one in report.measures]) if report.measures else None,
        dump(list(report.caveats)) if report.caveats else None,
        dump([asdict(step) for step in report.steps]) if report.steps else None,
        dump(list(report.reasons)) if report.reasons else None,
        report.error or None,
    )


def _input_values(claimed: Claimed) -> Iterable[tuple[Any, ...]]:
    for position, row in enumerate(claimed.inputs):
        if row.product is not None:
            told = dump(row.value) if row.value else None
            yield claimed.work, claimed.token, position, row.name, row.product.id, None, told
        else:
            value = dump(row.value)
            kept = value if value and len(value) < 4000 else None
            yield claimed.work, claimed.token, position, row.name, None, row.sha256, kept
