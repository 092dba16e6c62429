"""Claim: take work with a lease and a fencing token, keep it, give it back; and work that is not a stage.

Promises one owner per row: each claim adds 1 to the token, and an expired lease is part of the claim's predicate. Deaths
are counted here, before user code runs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from towpath.adapters.catalog.revising import Revising
from towpath.adapters.catalog.spreading import payload, task_of
from towpath.adapters.catalog.sql import BAD, FIRST_OF_SUBJECT, chunks, dump, load, marks, storable
from towpath.base import faults
from towpath.base.model import Product
from towpath.base.states import Product as ProductState
from towpath.base.states import Work as State
from towpath.contracts.catalog import SPREAD, Claimed
from towpath.contracts.definition import KindPlan, StagePlan

MOST_DEATHS = 3
_UNPASSED = "what is before it is to be done again"

# id, item_id, state, token, deaths, attempts, key, began, subject, payload, the item's key, whether its revision moved
_CANDIDATES = (
    'SELECT w.id, w.item_id, w.state, w.token, w.deaths, w.attempts, w."key", w.began, w.subject, w.payload, i."key", '
    "w.revision > w.claimed_revision "
    "FROM work w LEFT JOIN items i ON i.id = w.item_id WHERE w.queue_id = ? AND w.state IN ('ready', 'running') "
    "AND w.due <= ?{first} ORDER BY w.priority DESC, w.due, w.id LIMIT ?"
)


class Claiming(Revising):
    """The claiming part of the SQL catalog (contracts.catalog.Transaction)."""

    def claim(
        self,
        kind: KindPlan,
        stage: StagePlan,
        limit: int,
        *,
        lease: float,
        owner: int,
        only: Sequence[int] | None = None,
    ) -> list[Claimed]:
        """Take up to `limit` rows of a stage and compute their keys."""
        queue, now = self.queue_id(stage.queue), self.now()
        chosen, plan = self.among(only), (kind, stage)
        rows = self._take(queue, limit, now, now + lease, owner, chosen, plan) if queue else []
        if not rows:
            return []
        needs = self.needs(kind, stage, [row[1] for row in rows])
        unpassed = self._unpassed(kind, stage, [row[0] for row in rows]) if self.spreading() else set()
        bad = self._items_with_bad_products(stage)
        taken: list[Claimed] = []
        blocked: list[tuple[float, str, int]] = []
        asked: dict[int, Product] = {}
        for work, item, _, token, deaths, attempts, done, _, _, _, name, _ in rows:
            need = needs[item]
            if need.problem or work in unpassed:
                blocked.append((now, need.problem or _UNPASSED, work))
                continue
            done_key = bytes(done) if done else None
            unchanged = done_key is not None and done_key == need.key and item not in bad
            if need.let_go and not unchanged:
                asked.update({product.id: product for product in need.let_go})
                if lost := [product for product in need.let_go if product.state is not ProductState.SHED]:
                    blocked.append((now, _made_first(lost), work))
                    continue
            taken.append(
                Claimed(
                    work, token + 1, item, name, now + lease, need.key, done_key, need.inputs,
                    unchanged, deaths + 1, attempts + 1,
                )
            )  # fmt: skip
        if blocked:
            self._block(blocked)
        if asked:
            self._ask_back(list(asked.values()))
        return taken

    def _ask_back(self, products: Sequence[Product]) -> None:
        """Work needs what was let go: the part that knows products sees to it."""
        raise NotImplementedError

    def _unpassed(self, kind: KindPlan, stage: StagePlan, works: Sequence[int]) -> set[int]:
        """Those of these works before which not all is done: a change spreads, and has not reached them yet."""
        holds, values = self._holds(kind, stage, "")
        statement = f"SELECT id FROM work WHERE NOT (1 = 1{holds}) AND id IN ({{in}})"
        return {row[0] for row in self.rows_in(statement, works, *values)}

    def _items_with_bad_products(self, stage: StagePlan) -> set[int]:
        """Items whose product of this stage is known to be missing or changed, or is asked back: few, if any."""
        rows = self.rows(
            f"SELECT item_id FROM products WHERE {BAD} AND queue_id = ?",
            (self.queue_id(stage.queue),),
        )
        return {row[0] for row in rows}

    def claim_other(
        self, queue: tuple[str, str, str], limit: int, *, lease: float, owner: int
    ) -> list[Claimed]:
        """Take rows that are not a stage: no inputs and no key. Of a message's subject only the first unsent one."""
        number, now = self.queue_id(queue), self.now()
        first = FIRST_OF_SUBJECT if queue[1] == "message" else ""
        rows = self._take(number, limit, now, now + lease, owner, (first,)) if number else []
        return [
            Claimed(
                row[0],
                row[3] + 1,
                row[1],
                row[10] or "",
                now + lease,
                deaths=row[4] + 1,
                attempts=row[5] + 1,
                subject=row[8],
                payload=load(row[9], {}),
            )
            for row in rows
        ]

    def _take(
        self,
        queue: int,
        limit: int,
        now: float,
        due: float,
        owner: int,
        chosen: Sequence[Any],
        plan: tuple[KindPlan, StagePlan] | None = None,
    ) -> list[Any]:
        """Rows as they were before the claim, in the order in which they are to be done.

        `chosen` is one more condition and its values; `plan` is the stage, where they are rows of one.
        """
        first, *values = chosen
        statement = _CANDIDATES.replace("{first}", first) + self.locking
        while True:
            rows = self.rows(statement, (queue, now, *values, limit))
            poisoned = [row for row in rows if row[4] > MOST_DEATHS]
            moved = [
                row for row in rows if plan and row[11] and row[2] == State.RUNNING and row not in poisoned
            ]
            if not (poisoned or moved):
                break
            self._record_lost([*poisoned, *moved], queue, now)
            self._poison(poisoned, queue)
            if plan and moved:
                self._give_up(*plan, moved, now)
            now = self.now()
        if rows and rows[0][4] > 0:
            rows = rows[:1]  # it killed its worker before: it is alone this time
        else:
            rows = [row for row in rows if row[4] == 0]
        self._record_lost(rows, queue, now)
        floor = self.token_floor()
        for part in chunks(rows):
            self.cursor.execute(
                "UPDATE work SET state = 'running', token = CASE WHEN token < ? THEN ? ELSE token END + 1, "
                "deaths = deaths + 1, attempts = attempts + 1, "
                "claimed_revision = revision, owner = ?, due = ?, began = ?, progress = NULL, note = NULL, log = NULL "
                f"WHERE id IN ({marks(part)})",
                (floor, floor, owner, due, now, *[row[0] for row in part]),
            )
        return [(*row[:3], max(row[3], floor), *row[4:]) for row in rows] if floor else rows

    def _record_lost(self, rows: Sequence[Any], queue: int, now: float) -> None:
        """An attempt whose lease expired gets its run, when another begins or the row is poisoned."""
        lost = [row for row in rows if row[2] == State.RUNNING]
        if not lost:
            return
        self.cursor.executemany(
            "INSERT INTO runs (work_id, token, outcome, began, seconds, error) VALUES (?, ?, 'lost', ?, ?, ?) "
            "ON CONFLICT DO NOTHING",
            [
                (row[0], row[3], row[7] or now, now - (row[7] or now), "its process ended before it did")
                for row in lost
            ],
        )
        for row in lost:
            self._event("lost", row[1] or None, queue, row[3], {})

    def _give_up(self, kind: KindPlan, stage: StagePlan, rows: Sequence[Any], now: float) -> None:
        """An expired attempt whose inputs changed meanwhile waits, as it would if it had ended; it may be ready at once."""
        self.cursor.executemany(
            "UPDATE work SET state = 'waiting', owner = 0, due = ?, progress = NULL, note = NULL WHERE id = ?",
            [(now, row[0]) for row in rows],
        )
        self.recompute(kind, [row[1] for row in rows], (stage.name,))

    def _poison(self, rows: Sequence[Any], queue: int) -> None:
        last = dict(
            self.rows_in(
                "SELECT r.work_id, r.error FROM runs r JOIN work w ON w.id = r.work_id AND w.token = r.token "
                "WHERE w.id IN ({in})",
                [row[0] for row in rows],
            )
        )
        self.cursor.executemany(
            "UPDATE work SET state = 'poisoned', note = ?, owner = 0 WHERE id = ?",
            [(_died(last.get(row[0]) or ""), row[0]) for row in rows],
        )
        for row in rows:
            self._event("poisoned", row[1] or None, queue, row[3], {"deaths": row[4]})

    def _block(self, rows: Sequence[tuple[float, str, int]]) -> None:
        """What cannot begin after all waits, with the reason; it is looked at again when an input comes."""
        self.cursor.executemany(
            "UPDATE work SET state = 'waiting', deaths = deaths - 1, attempts = attempts - 1, owner = 0, due = ?, note = ? "
            "WHERE id = ?",
            rows,
        )

    # ---- leases
    def heartbeat(
        self,
        runs: Sequence[tuple[int, int]],
        lease: float,
        progress: Mapping[int, tuple[float | None, str, str]] | None = None,
    ) -> list[tuple[int, int]]:
        """Extend the leases of these (work, token); returns those that are no longer ours and must be ended."""
        ids = sorted({work for work, _ in runs})
        statement = f"SELECT id, token FROM work WHERE id IN ({{in}}) AND state = 'running' ORDER BY id{self.locking_plain}"
        ours = dict(self.rows_in(statement, ids))
        kept = [(work, token) for work, token in runs if ours.get(work) == token]
        due = self.now() + lease
        self.cursor.executemany("UPDATE work SET due = ? WHERE id = ?", [(due, work) for work, _ in kept])
        told = progress or {}
        self.cursor.executemany(
            "UPDATE work SET progress = ?, note = ?, log = ? WHERE id = ?",
            [(*told[work], work) for work, _ in kept if work in told],
        )
        return [(work, token) for work, token in runs if ours.get(work) != token]

    def follow_clock(self) -> float:
        """Where the clock was set back, what is due moves back with it; returns the seconds, 0 if it was not.

        The event that tells of it carries the new time, so that another process finds nothing left to move.
        """
        seconds = self.behind()
        if seconds:
            self.cursor.execute(
                "UPDATE work SET due = due - ? WHERE state IN ('waiting', 'ready', 'running') AND due > ?",
                (seconds, self.now()),
            )
            self.event("clock", back=round(seconds, 3))
        return seconds

    # ---- work that is not a stage
    def add_work(
        self,
        queue: tuple[str, str, str],
        *,
        item: int = 0,
        subject: str = "",
        due: float = 0.0,
        payload: Mapping[str, Any] | None = None,
        priority: int = 0,
    ) -> int:
        """A piece of work that is not a stage: a message, a scan, a sweep. Known (queue, item, subject): unchanged."""
        number = self.intern(queue)
        self.cursor.execute(
            "INSERT INTO work (item_id, queue_id, subject, state, due, payload, priority) VALUES (?, ?, ?, 'ready', ?, ?, ?) "
            "ON CONFLICT DO NOTHING",
            (item, number, subject, due or self.now(), dump(dict(payload or {})), priority),
        )
        row = self.one(
            "SELECT id FROM work WHERE item_id = ? AND queue_id = ? AND subject = ?", (item, number, subject)
        )
        return int(row[0])

    def finish(self, claimed: Claimed, *, again: float | None = None, error: str = "") -> bool:
        """End work that is not a stage: done, failed, or ready `again` at that time; False if it was no longer ours."""
        state = State.READY if again is not None else State.FAILED if error else State.DONE
        self.cursor.execute(
            "UPDATE work SET state = ?, due = ?, deaths = 0, owner = 0, note = ?, progress = NULL, "
            "attempts = CASE WHEN ? THEN attempts ELSE 0 END WHERE id = ? AND token = ? AND state = 'running'",
            (
                state.value,
                self.now() if again is None else again,
                storable(error) or None,
                bool(error),
                claimed.work,
                claimed.token,
            ),
        )
        return bool(self.cursor.rowcount)

    # ---- large changes
    def spread(self) -> bool:
        """Go on with what large changes have still to do, as far as one transaction goes; whether anything is left.

        The row is claimed and given back in this transaction: a kill leaves it as it was, to whoever comes next.
        """
        self.alone()
        self.room = self.at_once
        for claimed in self.claim_other(SPREAD, 1, lease=0.0, owner=0):
            faults.point("catalog.spread")
            rest, _ = self._advance(task_of(claimed.payload))
            self.cursor.execute(
                "UPDATE work SET state = ?, payload = ?, deaths = 0, attempts = 0, due = 0 WHERE id = ?",
                (State.READY if rest else State.DONE, dump(payload(rest)) if rest else None, claimed.work),
            )
        return self.spreading()

    # ---- sessions
    def open_session(self, host: str, pid: int, lock: str, *, attributable: bool, works: bool = True) -> int:
        """Register this process; its number owns leases, if it `works`."""
        return int(
            self.one(
                "INSERT INTO sessions (host, pid, lock, attributable, opened, works) VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
                (host, pid, lock, attributable, self.now(), works),
            )[0]
        )

    def close_session(self, session: int) -> None:
        """Forget a session; its leases have expired."""
        self.cursor.execute("DELETE FROM sessions WHERE id = ?", (session,))

    def expire(self, session: int, *, give_back: bool) -> int:
        """The process of this session is dead: its leases expire now; `give_back` takes death and attempt back."""
        now = self.now()
        self.cursor.execute(
            "UPDATE work SET due = CASE WHEN due < ? THEN due ELSE ? END, "
            "deaths = CASE WHEN ? AND deaths > 0 THEN deaths - 1 ELSE deaths END, "
            "attempts = CASE WHEN ? AND attempts > 0 THEN attempts - 1 ELSE attempts END "
            "WHERE state IN ('ready', 'running') AND state = 'running' AND owner = ?",
            (now, now, give_back, give_back, session),
        )
        return self.cursor.rowcount


def _made_first(products: Sequence[Product]) -> str:
    first, more = products[0], len(products) - 1
    others = f", and {more} more were" if more else " was"
    return f"{first.root}:{first.path}{others} let go: made again first"


def _died(error: str) -> str:
    why = f", at last: {error}" if error else ""
    return f"its worker died {MOST_DEATHS + 1} times{why}; see its runs, then `towpath retry`"
