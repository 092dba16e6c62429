"""After a backup was restored: tokens never go back, and what lies on disk and is newer than the catalog is taken in.

Promises that no place or log on disk is written again: a claim gives no token up to the floor that was found there. A
place is taken in only for work that has not gone further itself, with all that the stage must make.
"""

from collections.abc import Sequence

from towpath.adapters.catalog.findings import Findings
from towpath.adapters.catalog.sql import dump
from towpath.base.errors import StateError
from towpath.base.model import WorkRow
from towpath.base.states import Outcome
from towpath.base.states import Work as State
from towpath.contracts.catalog import Claimed
from towpath.contracts.definition import StagePlan
from towpath.contracts.executor import Output, Report

_RESTORED = "restored"
_TAKES = (State.READY, State.DONE)


class Restoring(Findings):
    """Adds what follows from a restore."""

    def bring_back(self, floor: int) -> None:
        """The catalog was restored: who ran then is dead, and no token up to `floor` is given again."""
        for number, *_ in self.processes():
            self.expire(number, give_back=True)
            self.close_session(number)
        for name, value in (("token floor", max(floor, self.token_floor())), (_RESTORED, int(self.now()))):
            self.cursor.execute(
                "INSERT INTO counters (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (name, value),
            )
        self.event(_RESTORED, floor=floor)

    def decided(self) -> None:
        """It is decided what becomes of all that was newer on disk."""
        self.cursor.execute("DELETE FROM counters WHERE name = ?", (_RESTORED,))

    def adopt_found(self, work: int, token: int, outputs: Sequence[Output], who: str, why: str) -> None:
        """Outputs of an attempt that the catalog forgot are taken as they are: a run `adopted`, then what follows."""
        row = self.work_row(work)
        plan = self._plan(row.pipeline, row.kind)
        if plan is None or row.stage not in plan.stages:
            raise StateError(f"{row.stage} is not in the active route of {row.pipeline}/{row.kind}")
        stage = plan.stages[row.stage]
        self.recompute(plan, [row.item], [stage.name])
        row, need = self.work_row(work), self.needs(plan, stage, [row.item])[row.item]
        self._refuse_found(stage, row, token, {output.name for output in outputs}, need.problem)
        if row.state is State.DONE:  # what follows is looked at again
            self.revise([work], f"attempt {token} was found after a restore")
        claimed = Claimed(work, token, row.item, "", 0.0, need.key, None, need.inputs)
        _, _, good_again = self._write_products(
            stage, [(claimed, Report(work, token, Outcome.DONE, outputs=tuple(outputs)))]
        )
        self.event("adopted", item=row.item, stage=row.stage, token=token, who=who, why=why)
        if stage.reaches:
            self._reach([(row.item, stage.reaches, self.now())])
        self._adopt_run(plan, stage, row, claimed, (None, None))
        self.cursor.execute(
            "UPDATE runs SET reasons = ? WHERE work_id = ? AND token = ?",
            (dump([f"{who}: {why}"]), work, token),
        )
        for product in good_again:
            self._is_good_again(product)

    def _refuse_found(self, stage: StagePlan, row: WorkRow, token: int, made: set[str], problem: str) -> None:
        if token <= row.token:
            raise StateError(f"{row.stage} has gone further since (attempt {row.token}); this is not newer")
        is_left = row.state is State.RUNNING and row.due <= self.now()
        if problem or (row.state not in _TAKES and not is_left):
            reason = problem or row.note
            raise StateError(f"{row.stage} is {row.state.value}{f': {reason}' if reason else ''}")
        missing = sorted(set(stage.outputs) - stage.optional_outputs - made)
        if missing or not made:
            raise StateError(f"it is not whole: no {', '.join(missing) or 'output'} in it")
