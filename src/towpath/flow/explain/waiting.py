"""What waiting work waits for: the item to be complete, members, earlier stages, inputs, calibrations."""

import re
from collections.abc import Iterator

from towpath.base import clock
from towpath.base.model import WorkRow
from towpath.base.states import Work as State
from towpath.contracts.definition import GATHER, InputPlan
from towpath.flow.explain.reasons import Case, Reason, Why, listed

_MOST = 1000  # members that are looked at
_THEN = {"hold": "it is held", "process": "it is worked on as it is", "reject": "it is rejected"}
_NUMBER = re.compile(r": calibration (\d+): ")  # one that would be taken, if its bytes were good
_EXPLAIN = "`towpath explain {}` says more"


def waiting(case: Case) -> Iterator[Reason]:
    """Everything that this work waits for."""
    found = [*_first(case), *_before(case), *_lacking(case)]
    yield from found
    row = case.row
    if row.note and not any(row.note in reason.text for reason in found):
        yield Reason(Why.NOTE, row.note)
    elif not found:
        yield Reason(
            Why.LOOK,
            "it waits, and all that it needs is there: it is looked at again when something that it depends on changes",
            f"`towpath rerun {case.where}` makes sure of it",
        )


def gathering(case: Case) -> Reason:
    """An item that is not complete: what is there, what it lacks, and until when it waits."""
    gather = case.rows[GATHER]
    have, wanted, what, then = _counted(case)
    lacks = f"{have} of {wanted} {what} are here" if wanted else f"{have} {what} are here"
    text = f"it waits until the item is complete: {lacks}"
    due = gather.due if gather.state is State.READY else 0.0
    if due:
        text += f"; at {clock.text(due)} {_THEN[then]}"
    facts = {
        "have": have,
        "need": wanted,
        "of": what,
        "until": clock.text(due) if due else None,
        "then": then,
    }
    do = f"`towpath release {case.item.kind}/{case.item.key} --stage {GATHER} --accept` takes it as it is"
    return Reason(Why.GATHER, text, do, facts)


def _counted(case: Case) -> tuple[int, int, str, str]:
    """How many are there and needed (0: not known), what they are, and what a time-out does."""
    group = case.kind.group if case.kind else None
    if group is not None:
        passed = f"members (each a {group.of} that has passed {group.at})" if group.at else "members"
        return len(case.view.members(case.item.id)), group.size, passed, group.on_timeout
    files = len(case.view.products([case.item.id], stages=("",)))
    plan = next((one for one in case.definition.sources.values() if one.item == case.item.kind), None)
    return files, plan.complete if plan else 0, "files", plan.on_timeout if plan else "hold"


def _first(case: Case) -> Iterator[Reason]:
    """What a first stage of a gathered item waits for."""
    if case.kind is None or case.stage is None or not case.kind.gathered or case.stage.before:
        return
    gather = case.rows.get(GATHER)
    if gather is not None and gather.state in (State.WAITING, State.READY):
        yield gathering(case)
    elif gather is not None and gather.state is not State.DONE:
        yield _other(case, gather, "the item to be complete")
    elif case.kind.group and case.kind.group.at:
        yield from _members(case, case.kind.group.at)


def _members(case: Case, at: str) -> Iterator[Reason]:
    """Members that have not passed their stage: something that they depend on changed since the group was made."""
    members = {member.id: member for member in case.view.members(case.item.id)[:_MOST]}
    late = [
        (members[item], row)
        for item, rows in case.view.work(list(members)).items()
        for row in rows
        if row.stage == at and row.state is not State.DONE
    ]
    if late:
        names = [f"{item.key} ({row.state.value})" for item, row in late]
        first = f"{late[0][0].kind}/{late[0][0].key}"
        yield Reason(
            Why.MEMBER,
            f"it waits for members that have not passed {at}: {listed(names)}",
            _EXPLAIN.format(f"{first} {at}"),
            {"stage": at, "members": [f"{item.kind}/{item.key}" for item, _ in late]},
        )


def _before(case: Case) -> Iterator[Reason]:
    for name in case.stage.before if case.stage else ():
        row = case.rows.get(name)
        if row is not None and row.state is not State.DONE:
            yield _other(case, row, name)


def _other(case: Case, row: WorkRow, name: str) -> Reason:
    note = f" ({row.note})" if row.note else ""
    return Reason(
        Why.STAGE,
        f"it waits for {name}, which is {row.state.value}{note}",
        _EXPLAIN.format(f"{case.item.kind}/{case.item.key} {row.stage}"),
        {"stage": row.stage, "state": row.state.value, "note": row.note},
    )


def _lacking(case: Case) -> Iterator[Reason]:
    """Inputs that are not there; what a stage before it is still to make is told already."""
    plans = {plan.name: plan for plan in case.stage.inputs} if case.stage else {}
    for name, problem in case.need.lacking:
        plan = plans[name]
        if plan.form == "calibration":
            yield Reason(
                Why.CALIBRATION,
                problem,
                _certify(case, plan.type, problem),
                {"input": name, "calibration": plan.type},
            )
        elif not (_to_come(case, plan) and " yet" in problem):
            yield Reason(Why.INPUT, problem, _mend(case, plan), {"input": name, "type": plan.type})


def _certify(case: Case, kind: str, problem: str) -> str:
    """What can be done about a calibration: another one, or the bytes of the one that would be taken."""
    found = _NUMBER.search(problem)
    rows = {row.id: row for row in case.view.calibrations(kind)} if found else {}
    row = rows.get(int(found[1])) if found else None
    if row is None:
        return "certify one that is valid then (a stage `certify`, or `towpath items` finds what makes it)"
    product, item = row.product, case.view.item(row.product.item)
    other = f"`towpath calibrations decertify {row.id}` lets another one be taken"
    if not product.stage:
        return f"put the file back; {other}"
    return f"{_made_again(f'{item.kind}/{item.key}', product.stage)}; {other}"


def _to_come(case: Case, plan: InputPlan) -> bool:
    makers = [case.rows.get(stage) for stage, _ in plan.producers if not plan.members]
    return any(row is not None and row.state is not State.DONE for row in makers)


def _mend(case: Case, plan: InputPlan) -> str:
    """What can be done about an input: made again, put back, adopted."""
    makers = [stage for stage, _ in plan.producers if stage]
    if not makers:
        return "put the file back, or submit the item with it"
    if plan.members:
        return "`towpath plan` names the member; mend or adopt its product"
    return _made_again(f"{case.item.kind}/{case.item.key}", makers[0])


def _made_again(name: str, stage: str) -> str:
    return (
        f"`towpath rerun {name} --stage {stage}` makes it; `towpath adopt {name} {stage}` takes it as it is"
    )
