"""The canonical content of a site: what two equal histories have in common, whatever was killed or repeated on the way.

Promises that sites with equal descriptions hold equal items, states, keys, products and publications. Leaves out what
differs between two runs of the same work: times, run names, tokens, places in the store. Changes nothing.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from towpath.app.site import Details, Site
from towpath.base.errors import StorageError
from towpath.base.hashing import Content, bytes_sha256, content, digest, walk
from towpath.base.model import Product
from towpath.base.states import Product as ProductState
from towpath.base.states import Publication
from towpath.contracts.documents import canonical_provenance, canonical_stac
from towpath.contracts.publication import MANIFEST, PROVENANCE, STAC

_PAGE = 1000
_VISIBLE = (Publication.COMMITTED, Publication.RELEASED, Publication.SUPERSEDED)


def describe(site: Site) -> dict[str, Any]:
    """The canonical content of a site as plain JSON values.

    Returns
    -------
    dict
        By item name its facts, members, work (state and key of each stage), products, verdicts, flags, milestones and
        publications; and under ``"archive"`` each published file with the sha256 of its canonical bytes.
    """
    items = {name: _item(site, details) for name, details in _details(site)}
    return {"items": items, "archive": dict(sorted(_archived(site)))}


def differences(one: Any, other: Any, place: str = "") -> list[str]:
    """Where two descriptions differ, a line each: place, what the one says, what the other says."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        names = sorted({*one, *other})
        return [line for n in names for line in differences(one.get(n), other.get(n), f"{place}/{n}")]
    return [] if one == other else [f"{place}: {one!r} | {other!r}"]


def torn(site: Site) -> list[str]:
    """What is visible and not whole: products whose bytes are not what the catalog says, publications without theirs."""
    found = []
    for name, details in _details(site):
        for product in details.products:
            wrong = _wrong(site, product)
            if wrong:
                found.append(f"{name} {product.stage}.{product.output}: {wrong}")
    return found + [line for _, place in _published(site) for line in _torn_folder(place)]


def _details(site: Site) -> Iterator[tuple[str, Details]]:
    after = 0
    while page := site.items(after=after, limit=_PAGE):
        for item in page:
            yield item.name, site.show(item.name)
        after = page[-1].id


# ---- items
def _item(site: Site, details: Details) -> dict[str, Any]:
    item = details.item
    span, box = item.span, item.footprint
    return {
        "attributes": dict(item.attributes),
        "time": [span.begin, span.end] if span else None,
        "footprint": [box.west, box.south, box.east, box.north] if box else None,
        "members": [member.name for member in details.members],
        "work": {row.stage: row.state.value for row in details.work},
        "keys": {row.stage: row.key.hex() for row in details.work if row.key},
        "products": dict(sorted(_product(product) for product in details.products)),
        "verdicts": {stage: _verdict(verdict) for stage, verdict, _, _ in details.verdicts},
        "flags": [[dict(flag.part), flag.value, flag.comment] for flag in details.flags],
        "milestones": sorted({name for name, _ in details.milestones}),
        "publications": sorted(f"{p.archive}:{p.target} {p.state.value}" for p in details.publications),
    }


def _product(product: Product) -> tuple[str, dict[str, Any]]:
    name = ".".join(text for text in (product.stage or "(raw)", product.output, product.part) if text)
    return name, {
        "type": product.type,
        "sha256": product.sha256.hex(),
        "size": product.size,
        "tree": product.tree,
        "state": product.state.value,
        "manual": product.manual,
    }


def _verdict(verdict: Any) -> dict[str, Any]:
    rules = [
        [rule.rule, rule.measure, rule.value, rule.op, rule.limit, rule.result] for rule in verdict.rules
    ]
    return {"result": verdict.result, "rules": rules}


# ---- the archive
def _published(site: Site) -> Iterator[tuple[str, Path]]:
    """The names and places of what was published, files and folders."""
    for row in site.publications():
        if row.state in _VISIBLE:
            with suppress(StorageError):
                yield f"{row.archive}:{row.target}", site.storage.path(row.archive, row.target)


def _archived(site: Site) -> Iterator[tuple[str, str]]:
    for name, place in _published(site):
        for path in walk(place) if place.is_dir() else [place] if place.is_file() else []:
            within = path.relative_to(place).as_posix()
            yield f"{name}/{within}".removesuffix("/."), canonical_bytes(path).hex()


def canonical_bytes(path: Path) -> bytes:
    """The sha256 (32 bytes) of a published file's canonical content."""
    data = path.read_bytes()
    if path.name == PROVENANCE:
        return digest(canonical_provenance(json.loads(data)))
    if path.name == STAC:
        return digest(canonical_stac(json.loads(data)))
    if path.name == MANIFEST:
        own = (PROVENANCE, STAC)  # their sizes and hashes differ with the times in them
        return digest([file for file in json.loads(data)["files"] if file["path"] not in own])
    return bytes_sha256(data)


# ---- what is not whole
def _wrong(site: Site, product: Product) -> str:
    if product.state is not ProductState.CURRENT:
        return product.state.value
    found = _content(site.place(product))
    if found is None:
        return "there is nothing"
    said = (product.size, product.sha256, product.tree)
    return "" if (found.size, found.sha256, found.tree) == said else "other bytes than the catalog says"


def _content(place: Path) -> Content | None:
    try:
        return content(place)
    except (FileNotFoundError, ValueError):
        return None


def _torn_folder(place: Path) -> list[str]:
    """What a published folder lacks or has too much, by its manifest."""
    if not place.exists():
        return [f"{place}: published, and there is nothing"]
    if not (place / MANIFEST).is_file():
        return [] if place.is_file() else [f"{place}: no {MANIFEST}"]
    said = {file["path"]: file["sha256"] for file in json.loads((place / MANIFEST).read_bytes())["files"]}
    there = {
        path.relative_to(place).as_posix(): bytes_sha256(path.read_bytes()).hex()
        for path in walk(place)
        if path != place / MANIFEST
    }
    return [f"{place}: {line}" for line in differences(said, there)]
