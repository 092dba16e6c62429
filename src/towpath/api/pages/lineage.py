"""The lineage of a product as a drawing: products and the runs between them, from left to right.

Pure functions: a trace in, places in pixels out. Promises to stay small: of what is far away only so much is drawn.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from towpath.api.pages.drawing import Edge
from towpath.app.tracing import Trace

_PRODUCT, _RUN, _GAP, _LANE = (196, 40), (120, 26), 40, 12
_MANY = 4  # products that are alike are drawn as one
_MOST = 80  # nodes that are drawn
_LETTERS = (25, 14)


@dataclass(frozen=True, slots=True)
class Node:
    """A product or a run, at its place."""

    name: str
    under: str
    label: str
    href: str
    x: float
    y: float
    width: float
    height: float
    is_run: bool = False
    is_here: bool = False


@dataclass(frozen=True, slots=True)
class LineageDrawing:
    """Products and runs with arrows between them; `is_cut` if there are more than are drawn."""

    width: float
    height: float
    boxes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    is_cut: bool


def draw(trace: Trace, here: int) -> LineageDrawing:
    """The drawing of a trace around the product `here`."""
    links = [(f"p{number}", f"r{run}") for number, run, _ in trace.read]
    links += [(f"r{run}", f"p{number}") for run, number, _ in trace.made]
    alike = _alike(trace, links, here)
    links = [(alike.get(one, one), alike.get(other, other)) for one, other in links]
    names = [name for number in trace.products if (name := f"p{number}") not in alike or alike[name] == name]
    names += list(dict.fromkeys(name for link in links for name in link if name.startswith("r")))
    near = _nearest(names, links, f"p{here}")
    links = [link for link in dict.fromkeys(links) if link[0] in near and link[1] in near]
    columns = _columns(sorted(near, key=names.index), links)
    nodes = _place(trace, here, columns, links, Counter(alike.values()))
    width = max(node.x + node.width for node in nodes.values()) + 6
    height = max(node.y + node.height for node in nodes.values()) + 6
    edges = tuple(Edge(_arrow(nodes[one], nodes[other])) for one, other in links)
    return LineageDrawing(width, height, tuple(nodes.values()), edges, trace.is_cut or len(near) < len(names))


def _alike(trace: Trace, links: list[tuple[str, str]], here: int) -> dict[str, str]:
    """Products that many others are like (an output of a stage of an item, of the same runs, for the same runs): by the first."""
    beside: dict[str, set[tuple[str, str]]] = {f"p{number}": set() for number in trace.products}
    for link in links:
        one, other = link
        if one in beside:
            beside[one].add(("read by", other))
        if other in beside:
            beside[other].add(("made by", one))
    found: dict[Any, list[str]] = {}
    for number, product in trace.products.items():
        key = (product.item, product.stage, product.output, frozenset(beside[f"p{number}"]))
        found.setdefault(key, []).append(f"p{number}")
    return {
        name: names[0]
        for names in found.values()
        if len(names) >= _MANY and f"p{here}" not in names
        for name in names
    }


def _nearest(names: list[str], links: list[tuple[str, str]], start: str) -> set[str]:
    """The nodes nearest to one, however the arrows point."""
    beside: dict[str, list[str]] = {name: [] for name in names}
    for one, other in links:
        beside[one].append(other)
        beside[other].append(one)
    found, waiting = dict.fromkeys([start]), [start]
    for name in waiting:
        for other in beside[name]:
            if other not in found and len(found) < _MOST:
                found[other] = None
                waiting.append(other)
    return set(found)


def _columns(names: list[str], links: list[tuple[str, str]]) -> dict[str, int]:
    """The column of each node: one after the last of those before it. Ends also where rows contradict one another."""
    columns = dict.fromkeys(names, 0)
    for _ in range(len(names)):
        late = [(one, other) for one, other in links if columns[other] <= columns[one]]
        if not late:
            break
        for one, other in late:
            columns[other] = columns[one] + 1
    return columns


def _place(
    trace: Trace,
    here: int,
    columns: Mapping[str, int],
    links: Sequence[tuple[str, str]],
    alike: Mapping[str, int],
) -> dict[str, Node]:
    """Nodes column by column, each near those that it comes from."""
    before: dict[str, list[str]] = {name: [] for name in columns}
    for one, other in links:
        before[other].append(one)
    stages = {f"r{run}": trace.products[number].stage for run, number, _ in trace.made}
    nodes: dict[str, Node] = {}
    x = 4.0
    for column in sorted(set(columns.values())):
        names = [name for name, at in columns.items() if at == column]
        wanted = {name: _middle([nodes[one] for one in before[name] if one in nodes]) for name in names}
        width = max(_size(name)[0] for name in names)
        y = 4.0
        for name in sorted(names, key=lambda one: wanted[one]):
            height = _size(name)[1]
            y = max(y, wanted[name] - height / 2) if wanted[name] else y
            nodes[name] = (
                _run(name[1:], stages.get(name, ""), x, y)
                if name.startswith("r")
                else _product(trace, int(name[1:]), here, x, y, alike.get(name, 1))
            )
            y += height + _LANE
        x += width + _GAP
    return nodes


def _size(name: str) -> tuple[int, int]:
    return _RUN if name.startswith("r") else _PRODUCT


def _middle(nodes: list[Node]) -> float:
    return sum(node.y + node.height / 2 for node in nodes) / len(nodes) if nodes else 0.0


def _product(trace: Trace, number: int, here: int, x: float, y: float, many: int) -> Node:
    one = trace.products[number]
    item = trace.items[one.item]
    part = one.part if many == 1 else ""
    what = f"{f'{many} × ' if many > 1 else ''}{one.stage or 'raw'} {one.output} {part}".strip()
    return Node(
        _cut(what, _LETTERS[0]),
        _cut(item.partition("/")[2], _LETTERS[0] + 4),
        f"{what} of {item}",
        f"/items/{one.item}#product-{number}",
        x, y, *_PRODUCT, is_here=number == here,
    )  # fmt: skip


def _run(run: str, stage: str, x: float, y: float) -> Node:
    return Node(
        _cut(stage or run, _LETTERS[1]), "", f"run {run} of {stage}", f"/runs/{run}", x, y, *_RUN, is_run=True
    )


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _arrow(source: Node, target: Node) -> str:
    begin, end = source.x + source.width, target.x - 7
    one, other = source.y + source.height / 2, target.y + target.height / 2
    middle = (begin + end) / 2
    return f"M{begin:g} {one:g}C{middle:g} {one:g} {middle:g} {other:g} {end:g} {other:g}"
