"""The sizes of a site, as `towpath status --sizes` prints them: catalog, logs, products, disks, what retention would free."""

from collections.abc import Iterator, Mapping

from rich.console import RenderableType
from rich.table import Table

from towpath.app.sizes import Amount, Sizes
from towpath.cli import screen
from towpath.cli.screen import section

_FREES = {
    "superseded": "superseded products, to the trash",
    "trash": "in the trash, to be deleted",
    "logs": "logs of runs",
    "events": "events",
}


def size_parts(found: Sizes) -> Iterator[RenderableType]:
    """The parts of the answer."""
    yield section("catalog", _catalog(found))
    yield section("files", _files(found))
    yield section("retention would free now", _frees(found.frees))
    yield section(
        "free on disk", screen.pairs((name, screen.size(free)) for name, free in found.disks.items())
    )


def _catalog(found: Sizes) -> Table:
    made = screen.table("table", "rows", right=("rows",))
    for name, rows in found.tables.items():
        made.add_row(name, _number(rows))
    per = f", {screen.size(found.bytes_per_item)} for each item" if found.bytes_per_item else ""
    made.add_row("on disk", f"{screen.size(found.catalog)}{per}")
    return made


def _files(found: Sizes) -> Table:
    made = screen.table("what", "number", "bytes", right=("number", "bytes"))
    for root, states in found.products.items():
        for state, amount in sorted(states.items()):
            _add(made, f"{root}: {state} products", amount)
    if found.let_go.count:
        _add(made, "let go, made again when they are read (bytes they had)", found.let_go)
    _add(made, "pinned products, of these", found.pinned)
    _add(made, "published (products, without documents)", found.published)
    _add(made, "logs of runs", found.logs)
    _add(made, "logs of workers", found.workers)
    return made


def _frees(frees: Mapping[str, Amount]) -> Table:
    made = screen.table("what", "number", "bytes", right=("number", "bytes"))
    for name, text in _FREES.items():
        if name in frees:
            _add(made, text, frees[name])
        else:
            made.add_row(text, screen.dim("kept always"), "")
    return made


def _add(made: Table, name: str, amount: Amount) -> None:
    made.add_row(name, _number(amount.count), screen.size(amount.bytes) if amount.bytes else "")


def _number(value: int) -> str:
    return f"{value:,}".replace(",", " ")
