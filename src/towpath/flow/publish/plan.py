"""What is to be published where: products under their names, the documents beside them, the identity of the whole.

Promises that the plan is a function of catalog rows and source bytes, so that a second attempt plans the same. Hashes
sources that look different; never writes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from towpath.base import hashing
from towpath.base.errors import StorageError
from towpath.base.hashing import Entry
from towpath.base.model import Item, Product
from towpath.contracts.documents import Bundle, manifest, provenance, stac_item, written
from towpath.contracts.lineage import Lineage
from towpath.contracts.publication import MANIFEST, PROVENANCE, STAC, Names
from towpath.contracts.storage import Storage


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be published where.

    `sha256` is that of `hashing.content` of the target, `size` is in bytes; `licence` is what the publication states.
    """

    item: Item
    products: tuple[Product, ...]
    names: Names
    documents: Mapping[str, bytes]
    sha256: bytes
    size: int
    lineage: Lineage
    licence: str


@dataclass(frozen=True, slots=True)
class Sources:
    """How the sources were found: (product, "missing" or "changed"), and (product id, mtime in ns) of equal bytes."""

    wrong: tuple[tuple[Product, str], ...] = ()
    refreshed: tuple[tuple[int, int], ...] = ()

    def __str__(self) -> str:
        return "; ".join(f"{product.root}:{product.path} is {what}" for product, what in self.wrong)


def look_at(storage: Storage, products: Iterable[Product], *, deep: bool = False) -> Sources:
    """Stat every source and hash what differs from the catalog; all of them if `deep`."""
    wrong, refreshed = [], []
    for product in products:
        status = storage.stat(product.root, product.path, product.tree)
        if status is None:
            wrong.append((product, "missing"))
        elif deep or status != (product.size, product.mtime_ns):
            content = storage.content(product.root, product.path)
            if content.sha256 != product.sha256:
                wrong.append((product, "changed"))
            elif content.mtime_ns != product.mtime_ns:
                refreshed.append((product.id, content.mtime_ns))
    return Sources(tuple(wrong), tuple(refreshed))


def make(storage: Storage, bundle: Bundle, named: Names, *, documents: bool) -> Plan | Sources:
    """The plan of a bundle under its names, or which tree is not what the catalog says."""
    entries: list[Entry] = []
    for product in bundle.products:
        members = _members(storage, product, named.files[product.id])
        if members is None:
            return Sources(((product, "changed"),))
        entries += members
    beside = _documents(bundle, entries) if named.folder and documents else {}
    entries += [_entry(name, content) for name, content in beside.items()]
    sha256 = _whole(entries) if named.folder else bundle.products[0].sha256
    size = sum(entry.size for entry in entries)
    products = tuple(bundle.products)
    return Plan(bundle.item, products, named, beside, sha256, size, bundle.lineage, bundle.licence)


def _members(storage: Storage, product: Product, name: str) -> list[Entry] | None:
    """The files of a product under its published name; None for a tree that is not the one in the catalog."""
    if not product.tree:
        return [Entry(name, product.size, product.sha256)]
    try:
        members = hashing.manifest(storage.path(product.root, product.path))
    except ValueError as error:
        raise StorageError(f"not published: {error}") from error
    if hashing.tree_sha256(members) != product.sha256:
        return None
    return [Entry(f"{name}/{one.path}", one.size, one.sha256) for one in members]


def _documents(bundle: Bundle, entries: Sequence[Entry]) -> dict[str, bytes]:
    told = written(provenance(bundle))
    described = written(stac_item(bundle, _entry(PROVENANCE, told)))
    listed = written(manifest([*entries, _entry(PROVENANCE, told), _entry(STAC, described)]))
    return {PROVENANCE: told, STAC: described, MANIFEST: listed}


def _entry(name: str, content: bytes) -> Entry:
    return Entry(name, len(content), hashing.bytes_sha256(content))


def _whole(entries: Iterable[Entry]) -> bytes:
    """The identity of the folder that holds these files."""
    return hashing.tree_sha256(sorted(entries, key=lambda entry: entry.path))
