"""How large a site is: rows and bytes of the catalog, logs, products by root and state, disks; what retention would free.

Reads only. What others put below a root is not counted: products are counted by the catalog, not by walking the disk.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from towpath.app.settings import RetentionTable
from towpath.app.wiring import Parts
from towpath.contracts.catalog import View
from towpath.flow import retain


@dataclass(frozen=True, slots=True)
class Amount:
    """So many, with so many bytes together."""

    count: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of a site, in rows, files and bytes.

    `tables` is rows by table; `products` is by root and state; `published` is what stands in archives, without its
    documents; `let_go` is what stages let go, and lies nowhere any more; `frees` is what retention would free now (events
    without bytes); `disks` is the free bytes by root.
    """

    tables: Mapping[str, int]
    catalog: int
    bytes_per_item: float | None
    logs: Amount
    workers: Amount
    products: Mapping[str, Mapping[str, Amount]]
    pinned: Amount
    published: Amount
    frees: Mapping[str, Amount]
    disks: Mapping[str, int]
    let_go: Amount = Amount()


def measure(parts: Parts) -> Sizes:
    """Measure an open site."""
    table = parts.settings.retention
    with parts.catalog.read() as view:
        tables = view.sizes()
        catalog = tables.pop("bytes")
        products: dict[str, dict[str, Amount]] = {}
        let_go = Amount()
        for one in view.kept():
            if one.state in ("spent", "wanted"):
                let_go = _sum([let_go, Amount(one.count, one.bytes)])
                continue
            states = products.setdefault(one.root, {})
            states[one.state] = _sum([states.get(one.state, Amount()), Amount(one.count, one.bytes)])
        pinned = {pin.product.id: pin.product.size for pin in view.pins()}
        published = Amount(*view.published())
        frees = _frees(view, table)
        now = view.now()
    if table.logs is not None:
        old = retain.prune_logs(parts.catalog, parts.logs, now - table.logs, write=False)
        frees["logs"] = _sum(Amount(1, size) for size in old)
    return Sizes(
        tables,
        catalog,
        catalog / tables["items"] if tables["items"] else None,
        _files(parts.logs),
        _files(parts.state / "workers"),
        products,
        Amount(len(pinned), sum(pinned.values())),
        published,
        frees,
        {name: parts.free_bytes(name) for name in sorted(parts.places)},
        let_go,
    )


def _frees(view: View, table: RetentionTable) -> dict[str, Amount]:
    now, found = view.now(), {}
    if table.superseded is not None:
        sizes = [product.size for product in view.sweepable(now - table.superseded)]
        found["superseded"] = Amount(len(sizes), sum(sizes))
    if table.trash is not None:
        sizes = [product.size for product, _ in view.trash(now - table.trash)]
        found["trash"] = Amount(len(sizes), sum(sizes))
    if table.events is not None:
        found["events"] = Amount(view.events_before(now - table.events))
    return found


def _sum(amounts: Iterable[Amount]) -> Amount:
    every = list(amounts)
    return Amount(sum(one.count for one in every), sum(one.bytes for one in every))


def _files(folder: Path) -> Amount:
    return _sum(Amount(1, path.stat().st_size) for path in folder.rglob("*") if path.is_file())
