"""The documents that travel with published products: provenance.json (PROV-JSON), item.json (STAC) and MANIFEST.json.

Pure builders. Promises that the same rows give the same bytes, and that all that differs between two equal histories
(times, run names, workers, software) stands in fields that `canonical_provenance` and `canonical_stac` leave out.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from towpath.base import clock
from towpath.base.hashing import Entry, digest
from towpath.base.ids import slug
from towpath.base.model import Item, Product
from towpath.base.spacetime import Box
from towpath.contracts.catalog import InputRow
from towpath.contracts.lineage import Activity, Lineage, RunId, Statement, label, statements
from towpath.contracts.publication import MANIFEST, PROVENANCE

STAC_VERSION = "1.1.0"
FILE_EXTENSION = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
SCIENTIFIC_EXTENSION = "https://stac-extensions.github.io/scientific/v1.0.0/schema.json"
PROJECTION_EXTENSION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"

_SOFTWARE = "towpath:software/"
_VOLATILE = {"prov:startTime", "prov:endTime", "towpath:run", "towpath:seconds", "towpath:worker"}
_MEDIA = {
    ".csv": "text/csv",
    ".fits": "application/fits",
    ".geojson": "application/geo+json",
    ".gpkg": "application/geopackage+sqlite3",
    ".h5": "application/x-hdf5",
    ".hdf5": "application/x-hdf5",
    ".html": "text/html",
    ".json": "application/json",
    ".nc": "application/netcdf",
    ".parquet": "application/vnd.apache.parquet",
    ".png": "image/png",
    ".tif": "image/tiff; application=geotiff",
    ".txt": "text/plain",
    ".zarr": "application/vnd+zarr",
}


@dataclass(frozen=True, slots=True)
class Bundle:
    """What is published together: products of one item under their names, and all that is known of their history.

    `definition` is the hexadecimal digest of the pipeline file.
    """

    item: Item
    version: int
    files: Mapping[int, str]
    products: Sequence[Product]
    lineage: Lineage
    pipeline_version: str = ""
    definition: str = ""
    licence: str = ""
    citation: str = ""
    doi: str = ""


def written(document: Mapping[str, Any]) -> bytes:
    """A document as the bytes of its file: sorted, indented JSON in UTF-8."""
    return (
        json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    ).encode()


def manifest(entries: Iterable[Entry]) -> dict[str, Any]:
    """MANIFEST.json: every other file of the folder with its size in bytes and sha256."""
    files = [
        {"path": e.path, "size": e.size, "sha256": e.sha256.hex()}
        for e in sorted(entries, key=lambda e: e.path)
    ]
    return {"manifest": 1, "algorithm": "sha256", "files": files}


# ---- provenance.json


def provenance(bundle: Bundle) -> dict[str, Any]:
    """The whole ancestry of the bundle's products as a PROV-JSON document."""
    lineage = bundle.lineage
    stated = {one.of: _stated(one) for one in statements(lineage)}
    entities = {
        _entity(lineage, one): _entity_facts(bundle, one, stated) for one in lineage.products.values()
    }
    activities = {
        _activity(lineage, run): _activity_facts(activity) for run, activity in lineage.activities.items()
    }
    facts = {
        _fact(row): {"prov:label": row.name, "towpath:sha256": row.sha256.hex(), **_value(row)}
        for activity in lineage.activities.values()
        for row in activity.inputs
        if row.product is None
    }
    pipeline = f"towpath:pipeline/{slug(bundle.item.pipeline)}"
    return {
        "prefix": {"towpath": "urn:towpath:"},
        "entity": {**entities, **facts},
        "activity": activities,
        "agent": _agents(bundle, pipeline),
        "used": _relations("used", _used(lineage)),
        "wasGeneratedBy": _relations("generated", _generated(lineage)),
        "wasDerivedFrom": _relations("derived", _derived(lineage)),
        "wasAssociatedWith": _relations(
            "associated",
            (
                {"prov:activity": _activity(lineage, run), "prov:agent": agent}
                for run, activity in lineage.activities.items()
                for agent in (pipeline, *([_software(activity)] if activity.software else []))
            ),
        ),
        "actedOnBehalfOf": _relations(
            "behalf",
            (
                {"prov:delegate": _software(activity), "prov:responsible": pipeline}
                for activity in lineage.activities.values()
                if activity.software
            ),
        ),
    }


def canonical_provenance(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document without what differs between equal histories: times, run names, durations, workers and software.

    What software a worker had loaded depends on what else it did before.
    """
    activities = {
        name: {key: value for key, value in facts.items() if key not in _VOLATILE}
        for name, facts in document["activity"].items()
    }
    agents = {name: facts for name, facts in document["agent"].items() if not name.startswith(_SOFTWARE)}
    associated = (
        row for row in document["wasAssociatedWith"].values() if not row["prov:agent"].startswith(_SOFTWARE)
    )
    return {
        **document,
        "activity": activities,
        "agent": agents,
        "wasAssociatedWith": _relations("associated", associated),
        "actedOnBehalfOf": {},
    }


def _name(lineage: Lineage, item: int) -> str:
    found = lineage.items[item]
    return f"{slug(found.kind)}/{slug(found.key)}"


def _entity(lineage: Lineage, product: Product) -> str:
    part = f"/{slug(product.part)}" if product.part else ""
    stage = slug(product.stage) if product.stage else "raw"
    name = f"{_name(lineage, product.item)}/{stage}/{slug(product.output)}{part}"
    return f"towpath:product/{name}@{product.sha256.hex()[:16]}"


def _activity(lineage: Lineage, run: RunId) -> str:
    activity = lineage.activities[run]
    name = f"{_name(lineage, activity.run.item)}/{slug(activity.run.stage)}"
    return f"towpath:run/{name}@{digest(dict(activity.components)).hex()[:16]}"


def _fact(row: InputRow) -> str:
    return f"towpath:fact/{slug(row.name)}@{row.sha256.hex()[:16]}"


def _software(activity: Activity) -> str:
    return f"{_SOFTWARE}{digest(dict(activity.software)).hex()[:16]}"


def _entity_facts(
    bundle: Bundle, product: Product, stated: Mapping[str, Mapping[str, str]]
) -> dict[str, Any]:
    item = bundle.lineage.items[product.item]
    facts: dict[str, Any] = {
        "prov:label": label(product),
        "prov:type": product.type or "file",
        "towpath:item": item.name,
        "towpath:sha256": product.sha256.hex(),
        "towpath:size": product.size,
        "towpath:tree": product.tree,
    }
    if product.id in bundle.files:
        facts["prov:location"] = bundle.files[product.id]
    if product.manual:
        facts["towpath:manual"] = True
    return {**facts, **stated.get(item.name, {}), **stated.get(f"{item.name} {product.stage}", {})}


def _stated(one: Statement) -> dict[str, str]:
    values = {
        "licence": one.licence,
        "citation": one.citation,
        "doi": one.doi,
        "redistribute": one.redistribute,
    }
    return {f"towpath:{name}": value for name, value in values.items() if value}


def _activity_facts(activity: Activity) -> dict[str, Any]:
    run, components = activity.run, activity.components
    facts: dict[str, Any] = {
        "prov:label": run.stage,
        "prov:startTime": clock.text(run.began),
        "prov:endTime": clock.text(run.began + run.seconds),
        "towpath:run": run.name,
        "towpath:seconds": run.seconds,
        "towpath:worker": run.worker,
        "towpath:stage": run.stage,
        "towpath:version": components.get("version", ""),
        "towpath:parameters": components.get("params", {}),
        "towpath:environment": components.get("environment", ""),
    }
    if run.key is not None:
        facts["towpath:key"] = run.key.hex()
    if run.caveats:
        facts["towpath:caveats"] = list(run.caveats)
    if run.manual:
        facts["towpath:manual"] = True
    return facts


def _value(row: InputRow) -> dict[str, Any]:
    return {} if row.value is None else {"prov:value": row.value}


def _agents(bundle: Bundle, pipeline: str) -> dict[str, Any]:
    agents = {
        _software(activity): {
            "prov:type": "prov:SoftwareAgent",
            "prov:label": "software",
            "towpath:versions": dict(activity.software),
        }
        for activity in bundle.lineage.activities.values()
        if activity.software
    }
    agents[pipeline] = {
        "prov:type": "prov:SoftwareAgent",
        "prov:label": bundle.item.pipeline,
        "towpath:version": bundle.pipeline_version,
        "towpath:configuration": bundle.definition,
    }
    return agents


def _used(lineage: Lineage) -> Iterator[dict[str, str]]:
    for run, activity in lineage.activities.items():
        for row in activity.inputs:
            entity = _entity(lineage, row.product) if row.product else _fact(row)
            yield {"prov:activity": _activity(lineage, run), "prov:entity": entity, "prov:role": row.name}


def _generated(lineage: Lineage) -> Iterator[dict[str, str]]:
    for product, run in lineage.made_by.items():
        entity = _entity(lineage, lineage.products[product])
        yield {"prov:entity": entity, "prov:activity": _activity(lineage, run)}


def _derived(lineage: Lineage) -> Iterator[dict[str, str]]:
    for product, run in lineage.made_by.items():
        for row in lineage.activities[run].inputs:
            if row.product is not None:
                yield {
                    "prov:generatedEntity": _entity(lineage, lineage.products[product]),
                    "prov:usedEntity": _entity(lineage, row.product),
                    "prov:activity": _activity(lineage, run),
                }


def _relations(prefix: str, rows: Iterable[Mapping[str, str]]) -> dict[str, Any]:
    distinct = {json.dumps(row, sort_keys=True): dict(row) for row in rows}
    return {f"_:{prefix}{number}": distinct[text] for number, text in enumerate(sorted(distinct), 1)}


# ---- item.json


def stac_item(bundle: Bundle, provenance_entry: Entry) -> dict[str, Any]:
    """The bundle as a STAC item. An item without a time gets the moment of its registration, and says so."""
    stated = statements(bundle.lineage)
    properties: dict[str, Any] = {
        "title": f"{bundle.item.name} version {bundle.version}",
        **_when(bundle.item),
        "version": str(bundle.version),
        "license": _licence(bundle, stated),
        "towpath:pipeline": bundle.item.pipeline,
        "towpath:kind": bundle.item.kind,
        "towpath:key": bundle.item.key,
        "towpath:configuration": bundle.definition,
    }
    extensions = [FILE_EXTENSION]
    science = _science(bundle, stated)
    crs = _projection(bundle)
    box = place(bundle)
    if science:
        extensions.append(SCIENTIFIC_EXTENSION)
    if crs:
        extensions.append(PROJECTION_EXTENSION)
    document = {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": extensions,
        "id": f"{slug(bundle.item.pipeline)}-{slug(bundle.item.kind)}-{slug(bundle.item.key)}-v{bundle.version}",
        "geometry": geometry(box),
        "properties": {**properties, **science, **crs},
        "links": [{"rel": "cite-as", "href": f"https://doi.org/{bundle.doi}"}] if bundle.doi else [],
        "assets": _assets(bundle, provenance_entry),
    }
    return {**document, "bbox": [box.west, box.south, box.east, box.north]} if box else document


def canonical_stac(document: Mapping[str, Any]) -> dict[str, Any]:
    """The item without what differs between equal histories: an assumed time, the sizes and hashes of documents."""
    properties = dict(document["properties"])
    if properties.get("towpath:time_assumed"):
        del properties["datetime"]
    fixed = {
        name: {
            key: value for key, value in asset.items() if "metadata" not in asset["roles"] or ":" not in key
        }
        for name, asset in document["assets"].items()
    }
    return {**document, "properties": properties, "assets": fixed}


def place(bundle: Bundle) -> Box | None:
    """Where the bundle is: the item's footprint, or the measures ``west``, ``south``, ``east`` and ``north`` (degrees).

    The measures count where a run behind the products recorded all four; the nearest such run does.
    """
    if bundle.item.footprint is not None:
        return bundle.item.footprint
    for activity in sorted(bundle.lineage.activities.values(), key=lambda one: -one.run.began):
        found = {one.name: one.value for one in activity.run.measures if one.unit == "degrees"}
        sides = [found.get(name) for name in ("west", "south", "east", "north")]
        if all(isinstance(side, int | float) for side in sides):
            return Box(*(float(side) for side in sides if isinstance(side, int | float)))
    return None


def geometry(box: Box | None) -> dict[str, Any] | None:
    """A footprint as GeoJSON: a point, a polygon, or two polygons where it crosses the antimeridian."""
    if box is None:
        return None
    if box.west == box.east and box.south == box.north:
        return {"type": "Point", "coordinates": [box.west, box.south]}
    rings = [[_ring(part)] for part in box.parts() if part.west < part.east or len(box.parts()) == 1]
    if len(rings) == 1:
        return {"type": "Polygon", "coordinates": rings[0]}
    return {"type": "MultiPolygon", "coordinates": rings}


def _ring(box: Box) -> list[list[float]]:
    west, south, east, north = box.west, box.south, box.east, box.north
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def _when(item: Item) -> dict[str, Any]:
    if item.span is None:
        return {"datetime": clock.text(item.registered), "towpath:time_assumed": True}
    if item.span.begin == item.span.end:
        return {"datetime": clock.text(item.span.begin)}
    begin, end = clock.text(item.span.begin), clock.text(item.span.end)
    return {"datetime": None, "start_datetime": begin, "end_datetime": end}


def _licence(bundle: Bundle, stated: Sequence[Statement]) -> str:
    """The publication's licence: as set, else that of its sources if they agree, else ``other`` (STAC's word)."""
    theirs = {one.licence for one in stated if one.licence}
    chosen = bundle.licence or (theirs.pop() if len(theirs) == 1 else "")
    return chosen if re.fullmatch(r"[\w\-.+]+", chosen) else "other"


def _science(bundle: Bundle, stated: Sequence[Statement]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if bundle.doi:
        found["sci:doi"] = bundle.doi
    if bundle.citation:
        found["sci:citation"] = bundle.citation
    theirs = {(one.doi, one.citation) for one in stated if one.doi or one.citation}
    if theirs:
        named = [{"doi": doi, "citation": citation} for doi, citation in sorted(theirs)]
        found["sci:publications"] = [{name: text for name, text in one.items() if text} for one in named]
    return found


def _projection(bundle: Bundle) -> dict[str, str]:
    """The reference system of the products if it is known: an attribute or measure `crs` such as ``EPSG:32635``."""
    runs = {bundle.lineage.made_by.get(product.id) for product in bundle.products}
    measured = [
        measure.value
        for run in sorted(run for run in runs if run)
        for measure in bundle.lineage.activities[run].run.measures
        if measure.name == "crs"
    ]
    for value in (*measured, bundle.item.attributes.get("crs")):
        if isinstance(value, str) and re.fullmatch(r"[A-Z]+:[0-9]+", value):
            return {"proj:code": value}
    return {}


def _assets(bundle: Bundle, provenance_entry: Entry) -> dict[str, Any]:
    assets = {
        bundle.files[product.id]: _asset(bundle.files[product.id], product) for product in bundle.products
    }
    assets[PROVENANCE] = {
        "href": f"./{PROVENANCE}",
        "type": "application/json",
        "title": "Provenance (W3C PROV-JSON)",
        "roles": ["metadata"],
        "file:size": provenance_entry.size,
        "file:checksum": multihash(provenance_entry.sha256),
    }
    assets[MANIFEST] = {
        "href": f"./{MANIFEST}",
        "type": "application/json",
        "title": "Every file with its size and sha256",
        "roles": ["metadata"],
    }
    return assets


def _asset(name: str, product: Product) -> dict[str, Any]:
    suffix = PurePosixPath(name).suffix.lower()
    asset: dict[str, Any] = {
        "href": f"./{name}",
        "title": label(product),
        "roles": ["thumbnail" if suffix == ".png" else "data"],
        "file:size": product.size,
        "towpath:type": product.type,
    }
    if suffix in _MEDIA:
        asset["type"] = _MEDIA[suffix]
    if product.tree:
        asset["towpath:tree_sha256"] = product.sha256.hex()
    else:
        asset["file:checksum"] = multihash(product.sha256)
    return asset


def multihash(sha256: bytes) -> str:
    """A sha256 as a hexadecimal multihash, the form of `file:checksum`."""
    return f"1220{sha256.hex()}"
