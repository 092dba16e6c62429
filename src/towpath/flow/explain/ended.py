"""Work that is held or has ended: by which rule or person, with what error, and whether what it made still stands."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from towpath.base import clock
from towpath.base.model import Event, RuleResult
from towpath.base.states import SENT_BACK, STANDING_ORDERS, Order, Publication
from towpath.base.states import Product as ProductState
from towpath.base.states import Work as State
from towpath.contracts.catalog import PublicationRow
from towpath.contracts.definition import GATHER
from towpath.contracts.orders import GATE, HANDOFF
from towpath.flow.explain.reasons import Case, Reason, Why, let_go, let_go_facts

_BAD = (ProductState.MISSING, ProductState.CHANGED)
_ASIDE = (Publication.SUPERSEDED, Publication.WITHDRAWN)


def held(case: Case) -> Iterator[Reason]:
    """The rule (measured value and limit), the time-out, the approval or the person that holds it."""
    row = case.row
    said = case.view.last_said(row, ("held",))
    if said is not None and said.data.get("who"):
        yield _by_person(case, said)
    elif row.stage == GATHER:
        accept = f"`towpath release {case.where} --accept` takes it as it is"
        yield Reason(Why.TIMEOUT, f"it is held: {row.note}", accept, {"note": row.note})
    elif case.stage is not None and case.stage.service == "publish":
        do = f"`towpath publish {case.item.kind}/{case.item.key}` lets it go on"
        yield Reason(Why.APPROVAL, "it is held: the publication waits for a person", do, {"note": row.note})
        yield from _publication(case)
    elif case.stage is not None and case.stage.service in (GATE, HANDOFF):
        yield from _order(case)
    elif rules := _rules(case):
        for rule in rules:
            yield _by_rule(case, rule)
    else:
        yield Reason(
            Why.PERSON, _stated("held", row.note), f"`towpath release {case.where}`", {"note": row.note}
        )


def _order(case: Case) -> Iterator[Reason]:
    """The question that waits for people, and who has it."""
    rows = [row for row in case.view.orders(work=case.row.id) if row.state in STANDING_ORDERS]
    for row in rows[-1:]:
        facts = {"order": row.id, "kind": row.kind, "state": row.state.value, "who": row.who, "due": row.due}
        name = f"{case.item.kind}/{case.item.key}"
        until = f" until {clock.text(row.due)}" if row.due else ""
        if row.kind == GATE:
            text = f"it waits at a gate: {row.title}"
            yield Reason(
                Why.GATE, text, f"`towpath approve {name}` or `towpath reject {name} --why …`", facts
            )
        elif row.state is Order.OPEN:
            text = f"{row.name} is open, nobody has taken it: {row.title}"
            yield Reason(Why.ORDER, text, f"`towpath orders claim {row.id}`", facts)
        else:
            state = "was delivered by" if row.state is Order.DELIVERED else "is with"
            why = f"; what was delivered is {row.state.value}: {row.why}" if row.state in SENT_BACK else ""
            text = f"{row.name} {state} {row.who}{until}{why}"
            yield Reason(Why.ORDER, text, f"`towpath orders show {row.id}` tells all of it", facts)


def _by_person(case: Case, said: Event) -> Reason:
    who, why, when = said.data["who"], said.data.get("why", ""), clock.text(said.time)
    text = f"it is held by {who} since {when}{f': {why}' if why else ''}"
    return Reason(
        Why.PERSON, text, f"`towpath release {case.where}`", {"who": who, "why": why, "since": when}
    )


def _rules(case: Case) -> list[RuleResult]:
    """The rules of its last verdict that did not hold."""
    verdicts = [one for stage, one, *_ in case.view.verdicts(case.item.id) if stage == case.row.stage]
    rules = verdicts[-1].rules if verdicts else ()
    return [rule for rule in rules if rule.result == "fail"]


def _evidence(rule: RuleResult) -> tuple[str, dict[str, Any]]:
    unit = f" {rule.unit}" if rule.unit else ""
    measured = "could not be measured" if rule.value is None else f"is {_number(rule.value)}{unit}"
    text = f"rule {rule.rule!r}: {rule.measure} {measured}, must be {rule.op} {_number(rule.limit)}{unit}"
    facts = {
        "rule": rule.rule,
        "measure": rule.measure,
        "value": rule.value,
        "op": rule.op,
        "limit": rule.limit,
    }
    return text, {**facts, "unit": rule.unit}


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _by_rule(case: Case, rule: RuleResult) -> Reason:
    text, facts = _evidence(rule)
    do = f"`towpath release {case.where} --accept` takes it as it is; without --accept it is judged again"
    return Reason(Why.RULE, f"it is held by {text}", do, facts)


def rejected(case: Case) -> Iterator[Reason]:
    """Why the item does not qualify."""
    do = f"nothing: it is a result, not an error; if the input was mended, `towpath rerun {case.where}`"
    rules = _rules(case)
    yield Reason(Why.REJECTED, _stated("rejected", case.row.note), do, {"note": case.row.note})
    for rule in rules:
        text, facts = _evidence(rule)
        yield Reason(Why.RULE, text, "", facts)


def failed(case: Case) -> Iterator[Reason]:
    """The error, and how often it was tried."""
    row = case.row
    most = case.stage.attempts if case.stage else 0
    tried = f" (after {row.attempts} attempts)" if row.attempts > 1 else ""
    is_publication = case.stage is not None and case.stage.service == "publish"
    name = f"{case.item.kind}/{case.item.key}"
    do = (
        f"`towpath log {name}:{row.stage}` tells all of it; mend the cause, then `towpath retry {case.where}`"
    )
    if is_publication:
        do = f"mend the cause, then `towpath publish {name} --retry`"
    facts = {"error": row.note, "attempts": row.attempts, "of": most}
    yield Reason(Why.FAILED, f"{_stated('failed', row.note)}{tried}", do, facts)
    if is_publication:
        yield from _publication(case)


def poisoned(case: Case) -> Iterator[Reason]:
    """It killed its worker too often."""
    do = f"see `towpath log`, mind the limits of memory and time, then `towpath retry {case.where}`"
    yield Reason(
        Why.POISONED,
        _stated("poisoned", case.row.note),
        do,
        {"deaths": case.row.deaths, "note": case.row.note},
    )


def stopped(case: Case) -> Iterator[Reason]:
    """Who stopped it, and why."""
    said = case.view.last_said(case.row, ("stopped",))
    who = said.data.get("who", "") if said else ""
    why = case.row.note or (said.data.get("why", "") if said else "")
    when = clock.text(said.time) if said else None
    by = f" by {who} at {when}" if who else ""
    text = f"it is stopped{by}{f': {why}' if why else ''}"
    yield Reason(Why.STOPPED, text, f"`towpath retry {case.where}`", {"who": who, "why": why, "since": when})


def retired(case: Case) -> Iterator[Reason]:
    """Its stage left the route."""
    said = case.view.last_said(case.row, ("retired",))
    why = case.row.note or (said.data.get("why", "") if said else "") or "left the route"
    do = "nothing: its products stay; put the stage into the route again, then `towpath apply --write`"
    yield Reason(Why.RETIRED, f"it is retired: {why}", do, {"why": why})


def done(case: Case) -> Iterator[Reason]:
    """That it is done, and what of it no longer stands."""
    yield Reason(Why.DONE, "it is done")
    name, stage = f"{case.item.kind}/{case.item.key}", case.row.stage
    for product in case.view.products([case.item.id], states=_BAD, stages=[stage]):
        what = product.state.value
        do = f"`towpath rerun {name} --stage {stage}` makes it again"
        if what == "changed":
            do = f"`towpath adopt {name} {stage} --why …` takes it as it is; {do}"
        facts = {"product": product.id, "root": product.root, "path": product.path, "state": what}
        yield Reason(Why.PRODUCT, f"its product {product.root}:{product.path} is {what}", do, facts)
    for one in case.view.let_go([case.item.id], [stage]):
        yield Reason(Why.LET_GO, f"its product {let_go(one)}", "", let_go_facts(one))
    if case.stage is not None and case.stage.service == "publish":
        yield from _publication(case)
    yield from _ungrouped(case)


def _ungrouped(case: Case) -> Iterator[Reason]:
    """Groups that take items once they have passed this stage, and have not taken this one."""
    wanting = case.definition.groups_of(case.item.kind, case.row.stage)
    taken = (
        {case.view.item(group).kind for group in case.view.groups_of([case.item.id])} if wanting else set()
    )
    for plan in wanting:
        if plan.name not in taken:
            said = case.view.last_said(case.row, ("problem", "pending"))
            why = said.data.get("why", "its neighbours in order are not there yet") if said else ""
            text = f"no {plan.name} has taken it yet{f': {why}' if why else ''}"
            do = f"`towpath events --item {case.item.kind}/{case.item.key}` tells what became of it"
            yield Reason(Why.UNGROUPED, text, do, {"kind": plan.name, "why": why})


def _publication(case: Case) -> Iterator[Reason]:
    """The last publication of this work that was not set aside by a newer one or a person."""
    rows: Sequence[PublicationRow] = case.view.publications(case.item.id, limit=1000)
    own = [row for row in rows if row.work == case.row.id]
    row = next((row for row in reversed(own) if row.state not in _ASIDE), own[-1] if own else None)
    if row is None:
        return
    error = f": {row.error}" if row.error else ""
    facts = {"publication": row.id, "archive": row.archive, "target": row.target, "state": row.state.value}
    do = ""
    if row.state is Publication.CONFLICT:
        do = f"look at what stands there and move it, then `towpath publish {case.item.kind}/{case.item.key} --retry`"
    text = f"its publication to {row.archive}:{row.target} is {row.state.value}{error}"
    yield Reason(Why.PUBLICATION, text, do, {**facts, "error": row.error})


def _stated(state: str, note: str) -> str:
    return f"it is {state}: {note}" if note else f"it is {state}"


ENDED: dict[State, Callable[[Case], Iterator[Reason]]] = {
    State.HELD: held,
    State.REJECTED: rejected,
    State.FAILED: failed,
    State.POISONED: poisoned,
    State.STOPPED: stopped,
    State.RETIRED: retired,
    State.DONE: done,
}
