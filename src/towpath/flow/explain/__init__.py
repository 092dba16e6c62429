"""Explain: why a stage of an item is as it is, what it waits for, and what a person may do about it.

The same arithmetic as the claim, without the claim. Promises an answer for every state, in one look at the catalog.
Reads only; what it says of the disk comes from `reconcile`.
"""

import json
from collections.abc import Iterator, Sequence

from towpath.base.errors import NotFoundError
from towpath.base.model import Item, Run, WorkRow
from towpath.base.provenance import Difference, differences, sentence
from towpath.base.states import Work as State
from towpath.contracts.catalog import View
from towpath.contracts.definition import GATHER, Definition
from towpath.flow.explain.ended import ENDED
from towpath.flow.explain.reasons import Around, Case, Explanation, Holder, Reason, Why
from towpath.flow.explain.turn import ready, running
from towpath.flow.explain.waiting import gathering, waiting

__all__ = ["Around", "Explanation", "Holder", "Reason", "Why", "explain"]

_TO_RUN = (State.WAITING, State.READY)


def explain(
    view: View, definition: Definition, item: Item, stage_name: str, around: Around | None = None
) -> Explanation:
    """Why a stage of an item is as it is.

    Raises
    ------
    NotFoundError
        If the item has no such stage.
    """
    rows = {row.stage: row for row in view.work([item.id])[item.id]}
    if stage_name not in rows:
        raise NotFoundError(f"{item.name} has no stage {stage_name!r}; its stages are {', '.join(rows)}")
    row, kind = rows[stage_name], definition.kinds.get(item.kind)
    case = Case(view, around or Around(), definition, item, row, rows, kind)
    if kind is None or stage_name not in kind.stages:
        return Explanation(item.name, stage_name, row.state.value, tuple(_standing(case)), work=row.id)
    stage = kind.stages[stage_name]
    need = view.needs(kind, stage, [item.id])[item.id]
    case = Case(view, around or Around(), definition, item, row, rows, kind, stage, need)
    now = {**json.loads(stage.fixed.json), "inputs": view.component_inputs(need.inputs)}
    last = _last(view, row)
    before = view.components(row.id, last.token) if last else {}
    changed = tuple(differences(before, now)) if before and not need.problem else ()
    reasons = [*_standing(case), *_since(case, changed, last)]
    return Explanation(
        item.name,
        stage_name,
        row.state.value,
        tuple(reasons),
        changed,
        row.id,
        last.name if last else "",
        need.key,
        now,
    )


def _last(view: View, row: WorkRow) -> Run | None:
    runs = [run for run in view.runs(work=row.id) if run.key is not None]
    return runs[-1] if runs else None


def _standing(case: Case) -> Iterator[Reason]:
    row = case.row
    if row.state in ENDED:
        yield from ENDED[row.state](case)
    elif row.state is State.RUNNING:
        yield from running(case)
    elif row.state is State.READY:
        yield from ready(case)
    elif row.stage == GATHER:
        yield gathering(case)
    else:
        yield from waiting(case)


def _since(case: Case, changed: Sequence[Difference], last: Run | None) -> Iterator[Reason]:
    """What happened since the last run: who set it back, and what of its key changed."""
    if last is None or case.row.state is State.RETIRED:
        return
    is_to_run = case.row.state in _TO_RUN
    said = case.view.last_said(case.row, ("revised",)) if is_to_run else None
    if said is not None and said.time >= last.began + last.seconds:
        why = str(said.data.get("why", ""))
        yield Reason(Why.REVISED, f"it is to run again: {why}", "", {"why": why})
    if changed:
        facts = {"components": [one.component for one in changed]}
        yield Reason(
            Why.CHANGED,
            f"since its last run these changed: {sentence(changed)}",
            _bring(case, changed),
            facts,
        )
    elif is_to_run and not case.need.problem and last.key == case.need.key:
        yield Reason(Why.UNCHANGED, "nothing that enters its key changed since its last run")


def _bring(case: Case, changed: Sequence[Difference]) -> str:
    """What brings finished work up to date: the pipeline file's changes by apply, others by a new run."""
    if case.row.state is not State.DONE:
        return ""
    if all(one.component.startswith("inputs") for one in changed):
        return f"`towpath rerun {case.where}` takes it up; until then it stays as it is"
    return "`towpath apply --write` brings it up to date; `towpath adopt` declares it good as it is"
