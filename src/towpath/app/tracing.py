"""Lineage of a product both ways: what it was made from, and what was made from it.

Promises to end: it follows at most so many products, the nearest first, and says where it stopped. Reads rows only.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from towpath.base import ids
from towpath.base.model import Product
from towpath.base.states import Product as State
from towpath.contracts.catalog import View

_ALL = tuple(State)


@dataclass(slots=True)
class Trace:
    """Products by number, and `edges`: (product read, run, its name as an input), (run, product made, its output)."""

    products: dict[int, Product] = field(default_factory=dict)
    items: dict[int, str] = field(default_factory=dict)
    read: list[tuple[int, str, str]] = field(default_factory=list)
    made: list[tuple[str, int, str]] = field(default_factory=list)
    is_cut: bool = False


def trace(
    view: View,
    start: Product,
    *,
    up: bool = True,
    down: bool = True,
    most: int = 300,
    sees: Callable[[int], bool] = lambda item: True,
) -> Trace:
    """What a product was made from (`up`) and what was made from it (`down`), at most so many products.

    What belongs to an item that somebody may not view (`sees`) is left out, with all that lies behind it.
    """
    found = Trace({start.id: start})
    for wanted, step in ((up, _above), (down, _below)):
        waiting = deque([start]) if wanted else deque()
        while waiting:
            for other in step(view, waiting.popleft(), found):
                if other.id in found.products or not sees(other.item):
                    continue
                if len(found.products) >= most:
                    found.is_cut = True
                    break
                found.products[other.id] = other
                waiting.append(other)
    known = found.products
    shown = {run for run, number, _ in found.made if number in known}
    found.read = sorted({edge for edge in found.read if edge[0] in known and edge[1] in shown})
    runs = {run for _, run, _ in found.read}
    found.made = sorted(
        {edge for edge in found.made if edge[1] in known} | {
            (name, one.id, one.output)
            for one in known.values()
            if one.run != (0, 0) and (name := ids.run_name(*one.run)) in runs
        }
    )  # fmt: skip
    found.items = {item: view.item(item).name for item in {one.item for one in known.values()}}
    return found


def _above(view: View, product: Product, found: Trace) -> Iterator[Product]:
    if product.run == (0, 0):
        return
    name = ids.run_name(*product.run)
    found.made.append((name, product.id, product.output))
    for row in view.inputs(*product.run):
        if row.product is not None:
            found.read.append((row.product.id, name, row.name))
            yield row.product


def _below(view: View, product: Product, found: Trace) -> Iterator[Product]:
    for work, token in view.used_by(product.id):
        name = ids.run_name(work, token)
        row = view.work_row(work)
        made = [
            one
            for one in view.products([row.item], states=_ALL, stages=[row.stage])
            if one.run == (work, token)
        ]
        if not made:
            continue  # it made nothing that is known
        role = next(
            (one.name for one in view.inputs(work, token) if one.product and one.product.id == product.id), ""
        )
        found.read.append((product.id, name, role))
        found.made += [(name, one.id, one.output) for one in made]
        yield from made
