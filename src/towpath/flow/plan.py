"""Plan: what would run and why, and how long it would take by what such runs took before; without running it.

The same arithmetic as the claim, without the claim. Reads only; what it says of the disk comes from `reconcile`. Never
guesses: a stage without history is called unknown.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from towpath.base.model import Item, Product, WorkRow
from towpath.base.provenance import differences, sentence
from towpath.base.states import Product as ProductState
from towpath.base.states import Work as State
from towpath.contracts.catalog import View
from towpath.contracts.definition import GATHER, Definition, KindPlan, StagePlan

_SERVICES = 4  # pieces of work that a daemon does itself at the same time
_EXACT = 200  # stale rows whose differences are told one by one
_ENDED = (State.DONE, State.REJECTED, State.RETIRED)
_GOES_ON = (State.DONE, State.READY, State.RUNNING)


@dataclass(frozen=True, slots=True)
class Planned:
    """One stage of one item that would run, waits, or needs a person: `action` is run, wait, decide or apply.

    `follows`: it waits only for what would run before it, so the same run gets to it.
    """

    item: str
    stage: str
    action: str
    why: str
    work: int = 0
    item_id: int = 0
    follows: bool = False
    pipeline: str = ""


@dataclass(frozen=True, slots=True)
class Total:
    """The runs of one stage that are to come: how many, the median of earlier ones, and all together, in seconds.

    `sample` is how many earlier runs the median is of; without one, `median` and `seconds` are None.
    """

    pipeline: str
    kind: str
    stage: str
    runs: int
    sample: int = 0
    median: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long the runs to come would take on so many cores: `seconds`, without those of stages that are `unknown`."""

    totals: tuple[Total, ...] = ()
    seconds: float | None = None
    unknown: tuple[str, ...] = ()
    workers: int = 1


def plan(
    view: View,
    definition: Definition,
    found: Mapping[int, str] | None = None,
    *,
    item: Item | None = None,
    limit: int = 100_000,
) -> list[Planned]:
    """What would run, waits or needs a person in one pipeline; finished work only if it is stale or its product is bad.

    `found` says of products what a look at the disk has just found: missing, changed, back or touched. With `item`
    only of that one; else of at most `limit` rows of open work.
    """
    if item is None:
        rows = view.open_work(definition.pipeline, limit=limit)
    else:
        rows = [row for row in view.work([item.id])[item.id] if row.state not in _ENDED]
    keys = view.item_keys([row.item for row in rows])
    before = _before(view, definition, rows)
    first = _made_first(view, definition, rows)
    planned = [
        _planned(row, keys[row.item], before.get(row.id), first.get(row.id, ""))
        for row in rows
        if row.stage != GATHER or row.state in (State.HELD, State.FAILED)
    ]
    bad = _of_products(view, definition, found or {}, {row.id for row in rows}, item)
    return planned + bad + stale(view, definition, item)


def _made_first(view: View, definition: Definition, rows: Sequence[WorkRow]) -> dict[int, str]:
    """For ready work that would read what was let go: what is made again before it."""
    keeps = any(stage.keep for kind in definition.kinds.values() for stage in kind.stages.values())
    found: dict[int, str] = {}
    ready = [row for row in rows if row.state is State.READY and row.stage != GATHER] if keeps else []
    for row in ready[:_EXACT]:
        kind = definition.kinds.get(row.kind)
        if kind is None or row.stage not in kind.stages:
            continue
        need = view.needs(kind, kind.stages[row.stage], [row.item])[row.item]
        names = sorted(
            {f"{one.stage}.{one.output}" for one in need.let_go if one.state is ProductState.SPENT}
        )
        if names and need.key != row.key:
            found[row.id] = f"; {', '.join(names)} was let go and is made again first"
    return found


def _planned(row: WorkRow, key: str, before: tuple[list[WorkRow], bool] | None, first: str) -> Planned:
    action, why = _action(row)
    why += first
    others, follows = before or ([], False)
    open_ = [one for one in others if one.state is not State.DONE]
    if open_ and not row.note:
        why = "; ".join(f"it waits for {_named(one)}, which is {one.state}" for one in open_)
    return Planned(f"{row.kind}/{key}", row.stage, action, why, row.id, row.item, follows, row.pipeline)


def _named(row: WorkRow) -> str:
    return "the item to be complete" if row.stage == GATHER else row.stage


def _before(
    view: View, definition: Definition, rows: Sequence[WorkRow]
) -> dict[int, tuple[list[WorkRow], bool]]:
    """For each waiting row the stages right before it, and whether it waits for nothing but what goes on by itself.

    Left out are rows of stages that left the pipeline file, and first stages that wait for something else.
    """
    found: dict[int, tuple[list[WorkRow], bool]] = {}
    for known in _beside(view, definition, rows).values():
        named = {row.stage: row for row in known}
        kind = definition.kinds.get(known[0].kind)
        goes = {row.stage for row in known if row.state in _GOES_ON and row.stage != GATHER}
        for stage in kind.stages.values() if kind else ():
            row, names = named.get(stage.name), _names_before(kind, stage)
            if row is None or row.state is not State.WAITING or not all(name in named for name in names):
                continue
            follows = bool(stage.before) and not row.note and goes.issuperset(stage.before)
            goes |= {stage.name} if follows else set()
            found[row.id] = [named[name] for name in names], follows
    return found


def _names_before(kind: KindPlan | None, stage: StagePlan) -> tuple[str, ...]:
    return stage.before or ((GATHER,) if kind and kind.gathered else ())


def _beside(view: View, definition: Definition, rows: Sequence[WorkRow]) -> dict[int, list[WorkRow]]:
    """The work of each item that has some waiting: what is listed, or all where a stage before it is not listed."""
    listed: dict[int, list[WorkRow]] = {row.item: [] for row in rows if row.state is State.WAITING}
    for row in rows:
        if row.item in listed:
            listed[row.item].append(row)
    lacking = [item for item, known in listed.items() if _is_lacking(definition, known)]
    return {**listed, **view.work(sorted(lacking))}


def _is_lacking(definition: Definition, known: Sequence[WorkRow]) -> bool:
    """Whether a stage that comes right before one that waits is none of these rows."""
    kind, names = definition.kinds.get(known[0].kind), {row.stage for row in known}
    stages = [
        kind.stages[row.stage]
        for row in known
        if row.state is State.WAITING and kind and row.stage in kind.stages
    ]
    return not all(names.issuperset(_names_before(kind, stage)) for stage in stages)


def estimate(
    view: View, definitions: Mapping[str, Definition], work: Iterable[Planned], workers: int
) -> Estimate:
    """How long what would run (now, or after that) takes by the medians of earlier runs.

    It is the work of all runs spread over the cores, but not less than the longest way of one item.
    """
    runs: dict[tuple[str, str, str], list[Planned]] = {}
    for one in work:
        if one.action == "run" or one.follows:
            runs.setdefault((one.pipeline, one.item.partition("/")[0], one.stage), []).append(one)
    medians = {queue: view.history(queue) for queue in runs}
    totals, busy = [], 0.0
    for queue, rows in runs.items():
        stage = _stage(definitions, queue)
        sample = medians[queue]
        middle = median(sample) if sample else None
        wide = (
            _SERVICES
            if stage and stage.service
            else max(1, workers // (stage.resources.cores if stage else 1))
        )
        together = None if middle is None else middle * -(-len(rows) // wide)
        busy += 0.0 if middle is None else middle * len(rows) / wide
        totals.append(Total(*queue, len(rows), len(sample), middle, together))
    unknown = tuple("/".join(queue) for queue, sample in medians.items() if not sample)
    known = {queue: median(sample) for queue, sample in medians.items() if sample}
    seconds = max(busy, _longest(definitions, runs, known)) if known else None
    return Estimate(tuple(totals), seconds, unknown, workers)


def _stage(definitions: Mapping[str, Definition], queue: tuple[str, str, str]) -> StagePlan | None:
    kinds = definitions[queue[0]].kinds if queue[0] in definitions else {}
    return kinds[queue[1]].stages.get(queue[2]) if queue[1] in kinds else None


def _longest(
    definitions: Mapping[str, Definition],
    runs: Mapping[tuple[str, str, str], Sequence[Planned]],
    known: Mapping[tuple[str, str, str], float],
) -> float:
    """The seconds of the longest way through the runs of one item."""
    ends: dict[tuple[int, str], float] = {}
    ordered = sorted(runs, key=lambda queue: getattr(_stage(definitions, queue), "depth", 0))
    for queue in ordered:
        stage, took = _stage(definitions, queue), known.get(queue, 0.0)
        before = stage.before if stage else ()
        for one in runs[queue]:
            begins = max((ends.get((one.item_id, name), 0.0) for name in before), default=0.0)
            ends[one.item_id, queue[2]] = begins + took
    return max(ends.values(), default=0.0)


def _of_products(
    view: View,
    definition: Definition,
    found: Mapping[int, str],
    is_open: Collection[int],
    only: Item | None,
) -> list[Planned]:
    """What follows from products that are missing or changed, by the catalog or by what has just been found."""
    known = view.products([only.id] if only else (), states=(ProductState.MISSING, ProductState.CHANGED))
    fresh = [view.product(number) for number, what in found.items() if what in ("missing", "changed")]
    products = {product.id: product for product in (*known, *fresh)}
    planned: list[Planned] = []
    for product in products.values():
        item = view.item(product.item)
        action, why = _of_product(product, found.get(product.id, product.state.value))
        if item.pipeline == definition.pipeline and action and product.run[0] not in is_open:
            name = f"{item.kind}/{item.key}"
            row = (product.run[0], item.id, False, item.pipeline)
            planned.append(Planned(name, product.stage, action, why, *row))
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


def stale(view: View, definition: Definition, item: Item | None = None) -> list[Planned]:
    """Finished work whose stage, version or parameters are no longer those of the active pipeline file."""
    found = []
    for kind in definition.kinds.values():
        for stage in kind.stages.values():
            if stage.service or (item is not None and item.kind != kind.name):
                continue
            rows = view.stale(stage, [item.id] if item else ())
            keys = view.item_keys([number for _, number in rows])
            for work, number in rows:
                why = "a former pipeline file made it"
                if len(rows) <= _EXACT:
                    why = _fixed_difference(_fixed_of(view, work), stage)
                row = (work, number, False, definition.pipeline)
                found.append(Planned(f"{kind.name}/{keys[number]}", stage.name, "apply", why, *row))
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
