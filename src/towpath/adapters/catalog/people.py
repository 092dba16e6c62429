"""What people do to work: hold, release, stop, retry, retire, flag, and declare stale work good as it is.

Promises that only transitions of `base.states` are written, and that what comes after work that leaves done waits.
"""

from collections.abc import Sequence
from typing import Any

from towpath.adapters.catalog import features
from towpath.adapters.catalog.arrival import Arrival
from towpath.adapters.catalog.sql import BAD, dump
from towpath.base import states
from towpath.base.errors import StateError
from towpath.base.hashing import canonical
from towpath.base.model import Flag, WorkRow
from towpath.base.states import Work as State
from towpath.contracts.catalog import Claimed
from towpath.contracts.definition import GATHER, KindPlan, StagePlan

_RETRIED = (State.FAILED, State.POISONED, State.STOPPED)
_STOPPABLE = (State.WAITING, State.READY, State.RUNNING)
_ADOPTABLE = (State.READY, State.DONE)


class People(Arrival):
    """Adds what people do to work."""

    def hold(self, works: Sequence[int], why: str, who: str = "") -> int:
        """Hold work that is not running."""
        rows = [
            row
            for row in self._work_rows(works)
            if row.state not in (State.RUNNING, State.HELD, State.RETIRED)
        ]
        return self._leave(rows, State.HELD, "held", who, why, note=why)

    def retire(self, works: Sequence[int], why: str) -> int:
        """The stage left the route; its products stay, its features go."""
        rows = [row for row in self._work_rows(works) if row.state not in (State.RUNNING, State.RETIRED)]
        features.forget(self, [(row.item, row.id) for row in rows])
        return self._leave(rows, State.RETIRED, "retired", "", why)

    def _leave(
        self, rows: Sequence[WorkRow], state: State, event: str, who: str, why: str, *, note: str = ""
    ) -> int:
        """Move work on; all after what was done before waits."""
        count = self._move(rows, state, event, who, why, note=note)
        done = [row for row in rows if row.state is State.DONE]
        self._wait_after(done, but={row.id for row in rows})
        return count

    def release(self, works: Sequence[int], who: str = "", why: str = "", *, accept: bool = False) -> int:
        """Held → waiting; with `accept`, work that a rule held is done as it is.

        Work whose inputs changed since the rule held it is judged again, accepted or not.
        """
        rows = [row for row in self._work_rows(works) if row.state is State.HELD]
        judged = {row.id: self._held_run(row) for row in rows} if accept else {}
        for row in rows:
            if judged.get(row.id):
                self._accept(row, judged[row.id], who, why)
        self._move([row for row in rows if not judged.get(row.id)], State.WAITING, "released", who, why)
        self._recompute_rows(rows)
        self._wake([row for row in rows if row.stage != GATHER])
        return len(rows)

    def _held_run(self, row: WorkRow) -> Any:
        return self.one(
            'SELECT r.token, r."key", r.part_id FROM runs r JOIN work w ON w.id = r.work_id AND w.token = r.token '
            "WHERE w.id = ? AND r.outcome = 'held' AND w.revision = w.claimed_revision",
            (row.id,),
        )

    def _accept(self, row: WorkRow, run: Any, who: str, why: str) -> None:
        self.cursor.execute(
            "UPDATE work SET state = 'done', \"key\" = ?, done_token = ?, done_part = ?, note = NULL WHERE id = ?",
            (run[1], run[0], run[2], row.id),
        )
        self.cursor.execute(
            "UPDATE verdicts SET accepted_by = ?, accepted_why = ? WHERE work_id = ? AND token = ?",
            (who, why, row.id, run[0]),
        )
        self._event_of("accepted", row, {"who": who, "why": why}, run[0])
        self._look_at_inputs([(row.id, run[0])])
        plan = self._plan(row.pipeline, row.kind)
        if plan and row.stage in plan.stages:
            stage = plan.stages[row.stage]
            if stage.reaches:
                self._reach([(row.item, stage.reaches, self.now())])
            self._follow(plan, stage, [row.item])

    def stop(self, works: Sequence[int], who: str = "", why: str = "") -> list[tuple[int, int]]:
        """Stop work; returns the runs (work, old token) that must be ended."""
        rows = [row for row in self._work_rows(works) if row.state in _STOPPABLE]
        running = [(row.id, row.token) for row in rows if row.state is State.RUNNING]
        now, reason = self.now(), ": ".join(text for text in (who, why) if text)
        self.cursor.executemany(
            "INSERT INTO runs (work_id, token, outcome, began, seconds, reasons) "
            "SELECT id, token, 'stopped', began, ? - began, ? FROM work WHERE id = ? AND item_id > 0",
            [(now, dump([reason] if reason else []), work) for work, _ in running],
        )
        self.cursor.executemany(
            "UPDATE work SET token = token + 1, owner = 0, progress = NULL WHERE id = ?",
            [(row.id,) for row in rows],
        )
        self._move(rows, State.STOPPED, "stopped", who, why, note=why)
        return running

    def retry(self, works: Sequence[int], who: str = "", why: str = "") -> int:
        """Failed, poisoned, stopped → waiting, with deaths and attempts at 0."""
        rows = [row for row in self._work_rows(works) if row.state in _RETRIED]
        self.cursor.executemany(
            "UPDATE work SET deaths = 0, attempts = 0 WHERE id = ?", [(row.id,) for row in rows]
        )
        self._move(rows, State.WAITING, "retried", who, why)
        self._recompute_rows(rows)
        self._wake(rows)
        return len(rows)

    def _wake(self, rows: Sequence[WorkRow]) -> None:
        """Work that is no stage of a route needs nothing but its time: it is ready again."""
        others = [row.id for row in rows if not row.item or row.stage == GATHER]
        self.cursor.executemany(
            "UPDATE work SET state = 'ready', due = ? WHERE id = ? AND state = 'waiting'",
            [(self.now(), work) for work in others],
        )

    def set_priority(self, works: Sequence[int], priority: int, who: str = "", why: str = "") -> int:
        """Change the priority of work that is not running; returns how many rows."""
        rows = [row for row in self._work_rows(works) if row.state is not State.RUNNING]
        self.cursor.executemany(
            "UPDATE work SET priority = ? WHERE id = ?", [(priority, row.id) for row in rows]
        )
        told = {name: text for name, text in (("who", who), ("why", why)) if text}
        for row in rows:
            self._event_of("prioritised", row, {"priority": priority, **told})
        return len(rows)

    def _move(
        self, rows: Sequence[WorkRow], state: State, event: str, who: str, why: str, *, note: str = ""
    ) -> int:
        bad = [row for row in rows if (row.state, state) not in states.WORK]
        if bad:
            raise StateError(f"{bad[0].stage} is {bad[0].state.value}; it cannot become {state.value}")
        self.cursor.executemany(
            "UPDATE work SET state = ?, note = ?, due = CASE WHEN ? THEN 0 ELSE due END WHERE id = ?",
            [(state.value, note or None, state is State.WAITING, row.id) for row in rows],
        )
        told = {name: text for name, text in (("who", who), ("why", why)) if text}
        for row in rows:
            self._event_of(event, row, told)
        return len(rows)

    def _routed_again(self, rows: Sequence[WorkRow]) -> None:
        """Retired work is in the route again."""
        self._move(rows, State.WAITING, "routed", "", "the stage is in the route again")

    def add_flag(self, flag: Flag) -> int:
        """Add a flag; work that consumes flags is revised."""
        row = self.one(
            "INSERT INTO flags (item_id, part, value, comment, author, time) VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
            (
                flag.item,
                canonical(dict(flag.part)).decode(),
                flag.value,
                flag.comment,
                flag.author,
                flag.time or self.now(),
            ),
        )
        self.event("flagged", item=flag.item, part=dict(flag.part), value=flag.value, who=flag.author)
        self._revise_consumers(flag.item, ("flags",), f"flagged {flag.value}")
        return int(row[0])

    # ---- stale work
    def adopt_stale(self, work: int, key: bytes, who: str, why: str) -> None:
        """Finished but stale work is declared good as it is under the key that was shown."""
        row = self.work_row(work)
        plan = self._plan(row.pipeline, row.kind)
        if plan is None or row.stage not in plan.stages:
            raise StateError(f"{row.stage} is not in the active route of {row.pipeline}/{row.kind}")
        stage = plan.stages[row.stage]
        self.recompute(plan, [row.item], [stage.name])
        row = self.work_row(work)
        need = self.needs(plan, stage, [row.item])[row.item]
        if need.problem or need.key != key:
            raise StateError(
                f"{row.stage}: a component changed since it was shown; look again with `towpath explain`"
            )
        former = self._last_made(row)
        if row.state not in _ADOPTABLE or former is None:
            raise StateError(
                f"{row.stage} is {row.state.value}; only finished work that is stale can be adopted, once all before "
                "it is done"
            )
        self._check_whole(row)
        self._adopt_run(
            plan, stage, row, Claimed(work, row.token + 1, row.item, "", 0.0, key, None, need.inputs), former
        )
        self.event("adopted", item=row.item, stage=row.stage, who=who, why=why)
        self.cursor.execute(
            "UPDATE runs SET reasons = ? WHERE work_id = ? AND token = ?",
            (dump([f"{who}: {why}"]), work, row.token + 1),
        )

    def _last_made(self, row: WorkRow) -> Any:
        """The measures and the software of the run that made what is current."""
        return self.one(
            "SELECT r.measures, r.software FROM runs r JOIN work w ON w.id = r.work_id AND w.done_token = r.token WHERE w.id = ?",
            (row.id,),
        )

    def _check_whole(self, row: WorkRow) -> None:
        queue = self.intern((row.pipeline, row.kind, row.stage))
        bad = self.one(
            f"SELECT path, state FROM products WHERE item_id = ? AND queue_id = ? AND {BAD}",
            (row.item, queue),
        )
        if bad:
            raise StateError(f"{bad[0]} is {bad[1]}; what is adopted must be whole")

    def _adopt_run(
        self, plan: KindPlan, stage: StagePlan, row: WorkRow, claimed: Claimed, former: Any
    ) -> None:
        """A run `adopted` with the new key, the same products, measures and software; then what follows."""
        part = self._intern_part(stage)
        self.cursor.execute(
            'INSERT INTO runs (work_id, token, outcome, began, seconds, part_id, "key", manual, measures, software) '
            "VALUES (?, ?, 'adopted', ?, 0, ?, ?, ?, ?, ?)",
            (
                claimed.work,
                claimed.token,
                self.now(),
                part,
                claimed.key,
                True,
                *former,
            ),
        )
        self._insert_inputs([claimed])
        self.cursor.execute(
            "UPDATE work SET state = 'done', token = ?, \"key\" = ?, done_token = ?, done_part = ?, note = NULL WHERE id = ?",
            (claimed.token, claimed.key, claimed.token, part, claimed.work),
        )
        self._follow(plan, stage, [row.item])
