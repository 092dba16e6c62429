"""The documents beside published products: PROV-JSON, STAC (validated offline), manifest; and what owners state."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pystac
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pystac.extensions.file import FileExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.scientific import ScientificExtension

from towpath.base import hashing
from towpath.base.hashing import Entry
from towpath.base.model import Item, Measure, Product, Run
from towpath.base.spacetime import Box, Span
from towpath.base.states import Outcome
from towpath.contracts.catalog import InputRow
from towpath.contracts.documents import (
    Bundle,
    canonical_provenance,
    canonical_stac,
    geometry,
    manifest,
    multihash,
    provenance,
    stac_item,
    written,
)
from towpath.contracts.lineage import Activity, Lineage, Statement, closed, label, statements

PROVENANCE = Entry("provenance.json", 10, b"\1" * 32)


def made(number: int, stage: str, output: str, token: int = 1, **more: Any) -> Product:
    values = {"size": 10 * number, "sha256": bytes([number]) * 32, "path": f"{output}.fits"} | more
    return Product(
        item=7,
        stage=stage,
        output=output,
        part="",
        type=f"{output}/fits",
        root="store",
        mtime_ns=1,
        run=(number, token) if stage else (0, 0),
        id=number,
        **values,
    )


def run(work: int, stage: str, *, began: float = 1e9, worker: str = "w1", token: int = 1, **more: Any) -> Run:
    return Run(work, token, 7, stage, Outcome.DONE, began, 1.5, key=bytes([work]) * 32, worker=worker, **more)


REDUCED = {"numpy": "2.2.0", "python": "3.11.7", "towpath": "0.1.0"}
IMAGED = {**REDUCED, "numpy": "2.3.0"}


def bundle(
    *,
    shift: float = 0.0,
    token: int = 1,
    worker: str = "w1",
    software: Mapping[str, str] = IMAGED,
    **more: Any,
) -> Bundle:
    """Raw → reduce → image; with another `shift`, `token`, `worker` or `software` the same history at another time and place."""
    raw = made(1, "", "data")
    reduced, image = made(2, "reduce", "stations", token), made(3, "image", "image", token)
    grid = made(4, "image", "grid", token, tree=True, path="grid.zarr")
    item = Item(
        "line",
        "survey",
        "S/1",
        {"licence": "CC0-1.0"},
        Span(1e9, 1e9 + 60),
        Box(17.0, -35.0, 33.0, -22.0),
        id=7,
        registered=1.6e9 + shift,
    )
    when = 1e9 + shift
    activities = {
        (2, token): Activity(
            run(
                2,
                "reduce",
                began=when,
                worker=worker,
                token=token,
                measures=(
                    Measure("licence", "CC-BY-4.0"),
                    Measure("doi", "10.5/x"),
                    Measure("citation", "B. Author (2020)"),
                ),
            ),
            {
                "stage": "reduce",
                "version": "2",
                "params": {"k": 5},
                "environment": "",
                "inputs": {"data": "01" * 32},
            },
            (InputRow("data", raw.sha256, raw, "S/1"),),
            REDUCED,
        ),
        (3, token): Activity(
            run(
                3,
                "image",
                began=when + 10,
                worker=worker,
                token=token,
                caveats=("coarse",),
                manual=True,
                measures=(Measure("crs", "EPSG:32735"),),
            ),
            {"stage": "image", "version": "1", "params": {}, "environment": "", "inputs": {}},
            (
                InputRow("stations", reduced.sha256, reduced, "S/1"),
                InputRow("flags", b"\x0f" * 32, value=[{"value": "bad"}]),
            ),
            software,
        ),
    }
    lineage = Lineage(
        {product.id: product for product in (image, grid, reduced, raw)},
        {2: (2, token), 3: (3, token), 4: (3, token)},
        activities,
        {7: item},
    )
    values: dict[str, Any] = {
        "pipeline_version": "1",
        "definition": "ab" * 32,
        "licence": "CC-BY-4.0",
        "citation": "A. Author (2026)",
        "doi": "10.5281/zenodo.1",
    }
    files = {3: "image-image.fits", 4: "image-grid.zarr"}
    return Bundle(item, 2, files, (image, grid), lineage, **(values | more))


# ---- provenance


def test_the_whole_ancestry_is_told() -> None:
    document = provenance(bundle())
    assert set(document["activity"]) == {name for name in document["activity"] if "towpath:run/" in name}
    assert [facts["prov:label"] for facts in document["activity"].values()] == ["reduce", "image"]
    labels = sorted(facts["prov:label"] for facts in document["entity"].values())
    assert labels == ["flags", "image.grid", "image.image", "raw.data", "reduce.stations"]
    by_label = {facts["prov:label"]: (name, facts) for name, facts in document["entity"].items()}
    assert by_label["raw.data"][1]["towpath:sha256"] == "01" * 32
    assert by_label["image.image"][1]["prov:location"] == "image-image.fits"
    assert by_label["flags"][1]["prov:value"] == [{"value": "bad"}]
    assert by_label["reduce.stations"][1]["towpath:licence"] == "CC-BY-4.0"
    assert by_label["raw.data"][1]["towpath:licence"] == "CC0-1.0"
    image = next(facts for facts in document["activity"].values() if facts["towpath:stage"] == "image")
    assert image["towpath:caveats"] == ["coarse"]
    assert image["towpath:manual"] is True
    reduce = next(facts for facts in document["activity"].values() if facts["towpath:stage"] == "reduce")
    assert (reduce["towpath:version"], reduce["towpath:parameters"]) == ("2", {"k": 5})
    agents = {facts["prov:label"]: facts for facts in document["agent"].values()}
    assert agents["line"]["towpath:configuration"] == "ab" * 32


def test_each_run_tells_the_software_it_was_made_with() -> None:
    """A set of versions is told once, however many runs had it; a run of which nothing is known names none."""

    def told(document: dict[str, Any]) -> dict[str, dict[str, str]]:
        stages = {name: facts["towpath:stage"] for name, facts in document["activity"].items()}
        return {
            stages[row["prov:activity"]]: document["agent"][row["prov:agent"]]["towpath:versions"]
            for row in document["wasAssociatedWith"].values()
            if row["prov:agent"].startswith("towpath:software/")
        }

    assert told(provenance(bundle())) == {"reduce": REDUCED, "image": IMAGED}
    assert told(provenance(bundle(software={}))) == {"reduce": REDUCED}
    assert len(provenance(bundle())["agent"]) == 3
    assert len(provenance(bundle(software=REDUCED))["agent"]) == 2


def test_every_relation_names_things_that_are_told() -> None:
    document = provenance(bundle())
    told = {**document["entity"], **document["activity"], **document["agent"]}
    kinds = ("used", "wasGeneratedBy", "wasDerivedFrom", "wasAssociatedWith", "actedOnBehalfOf")
    counts = {kind: len(document[kind]) for kind in kinds}
    assert counts == {
        "used": 3,
        "wasGeneratedBy": 3,
        "wasDerivedFrom": 3,
        "wasAssociatedWith": 4,
        "actedOnBehalfOf": 2,
    }
    for kind in kinds:
        for relation in document[kind].values():
            for role, name in relation.items():
                assert role == "prov:role" or name in told


def test_qualified_names_hold_no_character_that_breaks_them() -> None:
    document = provenance(bundle())
    for name in (*document["entity"], *document["activity"], *document["agent"]):
        prefix, _, local = name.partition(":")
        assert prefix in document["prefix"]
        assert local.isascii()
        assert not set(local) & set(" '\"<>{}|\\^`")


def test_equal_histories_are_equal_in_canonical_content() -> None:
    """Times, run names, workers and what they had loaded differ; all else, the order of rows too, is the same."""
    first, second = provenance(bundle()), provenance(bundle(shift=5e6, token=4, worker="w9", software={}))
    assert first != second
    assert written(canonical_provenance(first)) == written(canonical_provenance(second))


def test_another_parameter_is_another_content() -> None:
    first = bundle()
    changed = replace(
        first.lineage.activities[2, 1],
        components={**first.lineage.activities[2, 1].components, "params": {"k": 6}},
    )
    lineage = replace(first.lineage, activities={**first.lineage.activities, (2, 1): changed})
    second = replace(first, lineage=lineage)
    assert canonical_provenance(provenance(first)) != canonical_provenance(provenance(second))


def test_the_same_rows_give_the_same_bytes() -> None:
    assert written(provenance(bundle())) == written(provenance(bundle()))
    assert json.loads(written(provenance(bundle()))) == provenance(bundle())


# ---- STAC


def validated(document: Mapping[str, Any]) -> pystac.Item:
    """Read it back by pystac, and validate the core against the schemas that pystac brings."""
    bare = pystac.Item.from_dict({**document, "stac_extensions": []}, migrate=False)
    bare.validate()
    return pystac.Item.from_dict(dict(document), migrate=False)


def test_the_item_is_valid_and_tells_file_science_and_projection() -> None:
    document = stac_item(bundle(), PROVENANCE)
    item = validated(json.loads(written(document)))
    assert item.id == "line-survey-S%2F1-v2"
    assert item.datetime is None
    assert item.common_metadata.start_datetime is not None
    image = FileExtension.ext(item.assets["image-image.fits"])
    assert (image.checksum, image.size) == (multihash(b"\3" * 32), 30)
    assert image.checksum == "1220" + "03" * 32
    beside = FileExtension.ext(item.assets["provenance.json"])
    assert (beside.checksum, beside.size) == (multihash(b"\1" * 32), 10)
    assert item.assets["image-grid.zarr"].extra_fields["towpath:tree_sha256"] == "04" * 32
    science = ScientificExtension.ext(item)
    assert (science.doi, science.citation) == ("10.5281/zenodo.1", "A. Author (2026)")
    assert [(one.doi, one.citation) for one in science.publications or ()] == [("10.5/x", "B. Author (2020)")]
    assert ProjectionExtension.ext(item).code == "EPSG:32735"
    assert item.properties["license"] == "CC-BY-4.0"
    assert [link.rel for link in item.links] == ["cite-as"]


def test_hrefs_stay_beside_the_item(tmp_path: Path) -> None:
    document = stac_item(bundle(), PROVENANCE)
    for asset in document["assets"].values():
        assert asset["href"].startswith("./")
        assert (tmp_path / asset["href"]).resolve().is_relative_to(tmp_path.resolve())


@pytest.mark.parametrize(
    ("box", "kind"),
    [
        (Box(17.0, -35.0, 33.0, -22.0), "Polygon"),
        (Box(170.0, -50.0, -170.0, -30.0), "MultiPolygon"),
        (Box(10.0, 10.0, 10.0, 10.0), "Point"),
        (Box(-180.0, -90.0, 180.0, 90.0), "Polygon"),
        (Box(10.0, 10.0, 10.0, 20.0), "Polygon"),
        (Box(180.0, 0.0, -170.0, 5.0), "Polygon"),
        (None, None),
    ],
)
def test_every_footprint_is_valid(box: Box | None, kind: str | None) -> None:
    one = bundle()
    document = stac_item(replace(one, item=replace(one.item, footprint=box)), PROVENANCE)
    item = validated(document)
    assert (item.geometry or {}).get("type") == kind
    assert item.bbox == ([box.west, box.south, box.east, box.north] if box else None)


boxes = st.builds(
    lambda west, east, lats: Box(west, min(lats), east, max(lats)),
    st.floats(-180, 180),
    st.floats(-180, 180),
    st.tuples(st.floats(-90, 90), st.floats(-90, 90)),
)


@given(boxes)
def test_rings_are_closed_and_stay_on_the_sphere(box: Box) -> None:
    found = geometry(box)
    assert found is not None
    if found["type"] == "Point":
        return
    polygons = [found["coordinates"]] if found["type"] == "Polygon" else found["coordinates"]
    for (ring,) in polygons:
        assert ring[0] == ring[-1]
        assert len(ring) == 5
        assert all(-180 <= x <= 180 and -90 <= y <= 90 for x, y in ring)
        assert ring[0][0] <= ring[1][0]  # counterclockwise, and never round the back of the sphere


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (Span(1e9, 1e9), {"datetime": "2001-09-09T01:46:40.000Z"}),
        (
            Span(1e9, 1e9 + 60),
            {
                "datetime": None,
                "start_datetime": "2001-09-09T01:46:40.000Z",
                "end_datetime": "2001-09-09T01:47:40.000Z",
            },
        ),
        (None, {"datetime": "2020-09-13T12:26:40.000Z", "towpath:time_assumed": True}),
    ],
)
def test_every_time_is_valid(span: Span | None, expected: Mapping[str, Any]) -> None:
    one = bundle()
    document = stac_item(replace(one, item=replace(one.item, span=span)), PROVENANCE)
    validated(document)
    times = {
        name: value
        for name, value in document["properties"].items()
        if "datetime" in name or "assumed" in name
    }
    assert times == expected


@pytest.mark.parametrize(
    ("licence", "expected"), [("CC-BY-4.0", "CC-BY-4.0"), ("see the web page", "other"), ("", "other")]
)
def test_a_licence_is_an_identifier_or_other(licence: str, expected: str) -> None:
    document = stac_item(bundle(licence=licence), PROVENANCE)
    validated(document)
    assert document["properties"]["license"] == expected


def test_without_a_licence_of_its_own_that_of_the_only_source_holds() -> None:
    one = bundle(licence="")
    same = replace(one.item, attributes={"licence": "CC-BY-4.0"})
    lineage = replace(one.lineage, items={7: same})
    document = stac_item(replace(one, item=same, lineage=lineage), PROVENANCE)
    assert document["properties"]["license"] == "CC-BY-4.0"


def test_items_of_equal_histories_are_equal_in_canonical_content() -> None:
    def timeless(one: Bundle) -> Bundle:
        item = replace(one.item, span=None)
        return replace(one, item=item, lineage=replace(one.lineage, items={7: item}))

    first = stac_item(timeless(bundle()), PROVENANCE)
    second = stac_item(timeless(bundle(shift=5e6, token=3)), Entry("provenance.json", 11, b"\2" * 32))
    assert first != second
    assert canonical_stac(first) == canonical_stac(second)


def test_an_item_without_science_or_projection_claims_neither() -> None:
    one = bundle(doi="", citation="", licence="")
    item = replace(one.item, attributes={})
    lineage = Lineage({3: one.products[0]}, {}, {}, {7: item})
    document = stac_item(
        replace(one, item=item, lineage=lineage, products=one.products[:1], files={3: "a.fits"}), PROVENANCE
    )
    validated(document)
    assert len(document["stac_extensions"]) == 1
    assert not [name for name in document["properties"] if name.startswith(("sci:", "proj:"))]


# ---- manifest and statements


def test_the_manifest_is_sorted_and_complete() -> None:
    entries = [Entry("b", 2, b"\2" * 32), Entry("a/c", 1, b"\1" * 32)]
    assert [one["path"] for one in manifest(entries)["files"]] == ["a/c", "b"]
    assert manifest(entries)["files"][1] == {"path": "b", "size": 2, "sha256": "02" * 32}


def test_statements_come_from_runs_and_items() -> None:
    assert statements(bundle().lineage) == [
        Statement("line/survey/S/1", "CC0-1.0"),
        Statement("line/survey/S/1 reduce", "CC-BY-4.0", "B. Author (2020)", "10.5/x"),
    ]


@pytest.mark.parametrize(
    ("redistribute", "waived", "count"),
    [
        ("no", (), 1),
        ("NO", (), 1),
        ("unknown", (), 1),
        ("yes", (), 0),
        ("", (), 0),
        ("no", ("no",), 0),
        ("no", ("unknown",), 1),
        ("unknown", ("unknown",), 0),
    ],
)
def test_what_may_not_be_redistributed_is_closed_unless_waived(
    redistribute: str, waived: tuple[str, ...], count: int
) -> None:
    assert len(closed([Statement("a", redistribute=redistribute)], waived)) == count


def test_a_product_is_named_as_a_person_would() -> None:
    assert label(made(1, "", "data")) == "raw.data"
    assert label(replace(made(1, "image", "map"), part="band 3")) == "image.map[band 3]"


def test_bytes_have_the_hash_of_a_file_of_them(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert hashing.bytes_sha256(b"abc") == hashing.file_sha256(tmp_path / "a")
