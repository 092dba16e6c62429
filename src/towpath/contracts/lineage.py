"""Where products come from: every run and product behind them, back to the raw files, and what their owners state.

Reads the catalog only, in a few statements per run. Never changes a row and never looks at a disk.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from towpath.base.model import Item, Product, Run
from towpath.base.states import LET_GO, Outcome
from towpath.base.states import Product as ProductState
from towpath.contracts.catalog import InputRow, View

RunId = tuple[int, int]

_STANDS = LET_GO | {ProductState.CURRENT}  # what was let go by policy still stands for its bytes


@dataclass(frozen=True, slots=True)
class Activity:
    """One run behind a product: the components of its key, what it read, and the software that was loaded there."""

    run: Run
    components: Mapping[str, Any]
    inputs: tuple[InputRow, ...]
    software: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lineage:
    """All ancestors of some products, themselves included: products by id, the run that made each, items by id."""

    products: Mapping[int, Product]
    made_by: Mapping[int, RunId]
    activities: Mapping[RunId, Activity]
    items: Mapping[int, Item]


@dataclass(frozen=True, slots=True)
class Statement:
    """What is stated of a source; `redistribute` is yes, no, unknown or "" (nothing stated)."""

    of: str
    licence: str = ""
    citation: str = ""
    doi: str = ""
    redistribute: str = ""


def ancestry(view: View, products: Iterable[Product]) -> Lineage:
    """Everything that `products` were made from, directly or not."""
    found: dict[int, Product] = {}
    made_by: dict[int, RunId] = {}
    activities: dict[RunId, Activity] = {}
    items: dict[int, Item] = {}
    queue = list(products)
    while queue:
        product = queue.pop()
        if product.id in found:
            continue
        found[product.id] = product
        if product.item not in items:
            items[product.item] = view.item(product.item)
        run = _maker(view, product)
        if run is None:
            continue
        name = (run.work, run.token)
        made_by[product.id] = name
        if name not in activities:
            inputs = tuple(view.inputs(*name))
            activities[name] = Activity(run, view.components(*name), inputs, view.software(*name))
            queue += [row.product for row in inputs if row.product is not None]
    return Lineage(found, made_by, activities, items)


def _maker(view: View, product: Product) -> Run | None:
    """The run that vouches for a product: the last that made it, which for equal bytes is later than its row says."""
    work, token = product.run
    if not work:
        return None
    runs = view.runs(work=work)
    if product.state in _STANDS:
        good = [run for run in runs if run.outcome in (Outcome.DONE, Outcome.ADOPTED) and run.token >= token]
        if good:
            return good[-1]
    return next((run for run in runs if run.token == token), None)


def outdated(view: View, lineage: Lineage) -> list[str]:
    """Ancestors that are no longer what the catalog holds, each as ``item stage.output is state``.

    One that was superseded and then made again with equal bytes is not outdated, and neither is one that was let go.
    """
    return [
        f"{lineage.items[product.item].name} {label(product)} is {product.state.value}"
        for product in lineage.products.values()
        if product.state not in _STANDS and not _again(view, product)
    ]


def _again(view: View, product: Product) -> bool:
    same = (product.stage, product.output, product.part, product.sha256)
    return any(
        (now.stage, now.output, now.part, now.sha256) == same
        for now in view.products([product.item], stages=[product.stage])
    )


def label(product: Product) -> str:
    """How a person names a product of an item: ``stage.output`` and its part; a raw file is ``raw.output``."""
    return f"{product.stage or 'raw'}.{product.output}{f'[{product.part}]' if product.part else ''}"


def statements(lineage: Lineage) -> list[Statement]:
    """What runs (by measures) and items (by attributes) state under the names of `Statement`, in a stable order."""
    found = [_statement(item.name, item.attributes) for item in lineage.items.values()] + [
        _statement(
            f"{lineage.items[activity.run.item].name} {activity.run.stage}",
            {measure.name: measure.value for measure in activity.run.measures},
        )
        for activity in lineage.activities.values()
        if activity.run.item in lineage.items
    ]
    return sorted({stated for stated in found if stated is not None}, key=lambda stated: stated.of)


def _statement(of: str, facts: Mapping[str, Any]) -> Statement | None:
    values = [str(facts.get(name) or "") for name in ("licence", "citation", "doi", "redistribute")]
    return Statement(of, *values) if any(values) else None


def closed(stated: Sequence[Statement], waived: Iterable[str]) -> list[str]:
    """Sources that may not be redistributed, or of which nobody knows, and that are not waived."""
    allowed = set(waived)
    return [
        f"{one.of} states redistribute: {one.redistribute}{f' ({one.licence})' if one.licence else ''}"
        for one in stated
        if one.redistribute.lower() in {"no", "unknown"} - allowed
    ]
