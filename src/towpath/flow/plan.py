"""Plan and explain: what would run and why, without running it.

The same arithmetic as the claim, without the claim. Reads only; what it says of the disk comes from `reconcile`.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from towpath.base import clock
from towpath.base.errors import NotFoundError
from towpath.base.model import Item, Product, WorkRow
from towpath.base.provenance import Difference, differences
from towpath.base.states import Product as ProductState
from towpath.base.states import Work as State
from towpath.contracts.catalog import Need, View
from towpath.contracts.definition import GATHER, Definition, KindPlan, StagePlan


@dataclass(frozen=True, slots=True)
class Planned:
    """One stage of one item that would run, waits, or needs a person: `action` is run, wait, decide or apply."""

    item: str
    stage: str
    action: str
    why: str
    work: int = 0
    item_id: int = 0


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a stage of an item is as it is: sentences for a person, and the components that differ."""

    item: str
    stage: str
    state: str
    sentences: tuple[str, ...]
    differences: tuple[Difference, ...] = ()
    work: int = 0
    run: str = ""
    key: bytes | None = None
    components: Mapping[str, Any] = field(default_factory=dict)


def plan(
    view: View, definition: Definition, found: Mapping[int, str] | None = None, *, limit: int = 100_000
) -> list[Planned]:
    """What would run, waits or needs a person in one pipeline; finished work only if it is stale or its product is bad.

    `found` says of products what a look at the disk has just found: missing, changed, back or touched.
    """
    rows = view.open_work(definition.pipeline, limit=limit)
    keys = view.item_keys([row.item for row in rows])
    planned = [
        Planned(f"{row.kind}/{keys[row.item]}", row.stage, *_action(row), row.id, row.item)
        for row in rows
        if row.stage != GATHER or row.state in (State.HELD, State.FAILED)
    ]
    bad = _of_products(view, definition, found or {}, {row.id for row in rows})
    return planned + bad + stale(view, definition)


def _of_products(
    view: View, definition: Definition, found: Mapping[int, str], is_open: Collection[int]
) -> list[Planned]:
    """What follows from products that are missing or changed, by the catalog or by what has just been found."""
    known = view.products(states=(ProductState.MISSING, ProductState.CHANGED))
    fresh = [view.product(number) for number, what in found.items() if what in ("missing", "changed")]
    products = {product.id: product for product in (*known, *fresh)}
    planned: list[Planned] = []
    for product in products.values():
        item = view.item(product.item)
        action, why = _of_product(product, found.get(product.id, product.state.value))
        if item.pipeline == definition.pipeline and action and product.run[0] not in is_open:
            name = f"{item.kind}/{item.key}"
            planned.append(Planned(name, product.stage, action, why, product.run[0], item.id))
    return planned


def _of_product(product: Product, what: str) -> tuple[str, str]:
    """The action and why: what was made is made again, of the rest a person decides. Nothing if it is good again."""
    match what:
        case "missing" if product.stage and not product.manual:
            return "run", f"{product.path} is missing"
        case "missing":
            return "decide", f"{product.root}:{product.path} is missing and nothing makes it: put it back"
        case "changed" if product.stage:
            return "decide", f"{product.path} was changed by someone else: `towpath adopt` or `towpath rerun`"
        case "changed":
            return "decide", f"{product.root}:{product.path} was changed by someone else"
    return "", ""


def stale(view: View, definition: Definition) -> list[Planned]:
    """Finished work whose stage, version or parameters are no longer those of the active pipeline file."""
    found = []
    for kind in definition.kinds.values():
        for stage in kind.stages.values():
            if stage.service:
                continue
            rows = view.stale(stage)
            keys = view.item_keys([item for _, item in rows])
            former = {work: _fixed_of(view, work) for work, _ in rows[:1]}
            why = _fixed_difference(next(iter(former.values())), stage) if former else ""
            found += [
                Planned(f"{kind.name}/{keys[item]}", stage.name, "apply", why, work, item)
                for work, item in rows
            ]
    return found


def _action(row: WorkRow) -> tuple[str, str]:
    match row.state:
        case State.READY if row.key is not None:
            return "run", row.note or "what it depends on changed, or an output is to be made again"
        case State.READY:
            return "run", row.note or "it has not run yet"
        case State.RUNNING:
            return "run", "it is running"
        case State.WAITING:
            return "wait", row.note or "an earlier stage is not done"
    return "decide", f"{row.state.value}: {row.note}" if row.note else row.state.value


def _fixed_of(view: View, work: int) -> Mapping[str, Any]:
    runs = view.runs(work=work, limit=1)
    return view.components(work, runs[-1].token) if runs else {}


def _fixed_difference(former: Mapping[str, Any], stage: StagePlan) -> str:
    now = json.loads(stage.fixed.json)
    return sentence(differences({name: former.get(name) for name in now}, now))


def sentence(found: Sequence[Difference]) -> str:
    """Differences in words: ``params.spacing: 5000 -> 2500``."""
    return "; ".join(f"{one.component}: {_short(one.was)} -> {_short(one.now)}" for one in found)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    is_hash = isinstance(value, str) and len(value) == 64
    return f"{value[:12]}…" if is_hash else text if len(text) <= 60 else f"{text[:57]}…"


def explain(view: View, definition: Definition, item: Item, stage_name: str) -> Explanation:
    """Why a stage of an item is as it is.

    Raises
    ------
    NotFoundError
        If the item has no such stage.
    """
    rows = {row.stage: row for row in view.work([item.id])[item.id]}
    if stage_name not in rows:
        raise NotFoundError(f"{item.name} has no stage {stage_name!r}; its stages are {', '.join(rows)}")
    row, kind = rows[stage_name], definition.kinds[item.kind]
    if stage_name not in kind.stages:
        return Explanation(
            item.name,
            stage_name,
            row.state.value,
            tuple(_state_sentences(view, row, rows, None)),
            work=row.id,
        )
    stage = kind.stages[stage_name]
    need = view.needs(kind, stage, [item.id])[item.id]
    now = {**json.loads(stage.fixed.json), "inputs": view.component_inputs(need.inputs)}
    last = [run for run in view.runs(work=row.id) if run.key is not None]
    before = view.components(row.id, last[-1].token) if last else {}
    changed = tuple(differences(before, now)) if before else ()
    sentences = _state_sentences(view, row, rows, kind)
    sentences += _need_sentences(row, need, changed, bool(last))
    return Explanation(
        item.name,
        stage_name,
        row.state.value,
        tuple(sentences),
        changed,
        row.id,
        last[-1].name if last else "",
        need.key,
        now,
    )


def _state_sentences(
    view: View, row: WorkRow, rows: Mapping[str, WorkRow], kind: KindPlan | None
) -> list[str]:
    now = view.now()
    match row.state:
        case State.WAITING:
            return _waiting(row, rows, kind)
        case State.READY if row.due > now:
            return [f"it is tried again at {clock.text(row.due)}: {row.note}"]
        case State.READY:
            return ["it is ready; no worker has taken it yet (is `towpath run` running?)"]
        case State.RUNNING:
            holder = next((s for s in view.sessions() if str(s[0]) == row.owner), None)
            who = f"process {holder[2]} on {holder[1]}" if holder else f"session {row.owner}"
            return [f"it is running: run {row.id}.{row.token}, held by {who} until {clock.text(row.due)}"]
        case State.DONE:
            return ["it is done"]
    return [f"it is {row.state.value}: {row.note}" if row.note else f"it is {row.state.value}"]


def _waiting(row: WorkRow, rows: Mapping[str, WorkRow], kind: KindPlan | None) -> list[str]:
    found = []
    before = kind.stages[row.stage].before if kind and row.stage in kind.stages else ()
    if kind and kind.gathered and not before and GATHER in rows and rows[GATHER].state is not State.DONE:
        found.append("it waits until the item is complete (files or members are still to come)")
    for name in before:
        if name in rows and rows[name].state is not State.DONE:
            note = f" ({rows[name].note})" if rows[name].note else ""
            found.append(f"it waits for {name}, which is {rows[name].state.value}{note}")
    if row.note:
        found.append(row.note)
    return found or ["it waits; its needs are looked at when something that it depends on changes"]


def _need_sentences(row: WorkRow, need: Need, changed: Sequence[Difference], ran: bool) -> list[str]:
    if need.problem:
        return [need.problem] if need.problem != row.note else []
    if changed:
        return [f"since its last run these changed: {sentence(changed)}"]
    if ran and row.state in (State.WAITING, State.READY):
        return ["nothing that enters its key changed since its last run"]
    return []
