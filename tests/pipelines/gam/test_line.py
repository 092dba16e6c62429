"""The gam line end to end: a survey goes from file to published map, and what cannot be read stays where it is."""

import contextlib
import hashlib
import json
import lzma
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import geopandas
import numpy as np
import psutil
import pystac
import pytest
import xarray as xr

from towpath import Site
from towpath.pipelines.gam.demo import demo
from towpath.pipelines.gam.science.bodies import read_truth
from towpath.testing.content import describe, differences, torn

ROUTE = ["fetch", "qualify", "reduce", "grid", "residual", "detect", "assess", "publish"]
REQUEST = '{{ key = "{key}", file = "{file}", params = {{ redistribute = "yes", licence = "CC0-1.0" }} }},'
SITE = """\
[site]
workers = {workers}
[pipelines.gam.override.sources.surveys]
settings = {{ root = "{root}" }}
requests = [
{requests}
]
"""


def states(site: Site, name: str) -> dict[str, str]:
    return {row.stage: row.state.value for row in site.show(name).work}


def measures(site: Site, name: str) -> dict[str, object]:
    return {one.name: one.value for run in site.runs(name) for one in run.measures}


def make(folder: Path, files: dict[str, str], *, root: Path, workers: int = 2, more: str = "") -> Path:
    """Write a site with a request for each file (key → name below the root)."""
    folder.mkdir(parents=True, exist_ok=True)
    requests = "\n".join(REQUEST.format(key=key, file=file) for key, file in files.items())
    text = SITE.format(workers=workers, root=root, requests=requests)
    (folder / "towpath.toml").write_text(text + more)
    return folder


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The demonstration, run once; its runs may die often: on a slow machine one of a copy may meet every kill."""
    folder = tmp_path_factory.mktemp("demo")
    demo(folder)
    with (folder / "towpath.toml").open("a") as file:
        for stage in ROUTE:
            table = stage if stage in ("fetch", "publish") else f"stages.{stage}"
            file.write(f"[pipelines.gam.override.items.survey.{table}]\nattempts = 50\n")
    with Site.open(folder) as site:
        site.run()
        yield site


def copy_of(site: Site, folder: Path) -> None:
    """Write a second site that takes the same file."""
    shutil.copyfile(site.folder / "towpath.toml", folder / "towpath.toml")


NAME = "simulated-survey"

# ---- the simulated survey


def test_the_demonstration_ends_with_a_published_map(simulated: Site):
    assert states(simulated, NAME) == dict.fromkeys(ROUTE, "done")
    assert [name for name, _ in simulated.show(NAME).milestones] == [
        "Requested", "Fetched", "Qualified", "Gridded", "Assessed", "Published",
    ]  # fmt: skip
    (row,) = simulated.publications(NAME)
    assert (row.state, row.target) == ("released", f"gam/{NAME}")
    assert torn(simulated) == []


def test_a_second_run_does_nothing(simulated: Site):
    with Site.open(simulated.folder) as again:
        assert again.run().did_nothing


def test_the_grid_is_zarr_3_with_cf_attributes_and_a_reference_system(simulated: Site):
    place = simulated.folder / "archive" / "gam" / NAME / "residual-anomaly.zarr"
    assert json.loads((place / "zarr.json").read_text())["zarr_format"] == 3
    with xr.open_zarr(place, decode_coords="all", consolidated=False) as grid:
        assert grid.attrs["Conventions"].startswith("CF-")
        residual = grid["residual"]
        assert residual.attrs["units"] == "mGal"
        assert residual.attrs.get("long_name") or residual.attrs.get("standard_name")
        assert "crs_wkt" in grid["spatial_ref"].attrs
        assert (
            residual.encoding["grid_mapping"] == "spatial_ref"
            or residual.attrs["grid_mapping"] == "spatial_ref"
        )
        assert 0.5 < float(np.isfinite(residual).mean()) <= 1.0


def test_the_candidates_are_where_the_bodies_are(simulated: Site):
    truth = read_truth(simulated.folder / "incoming" / f"{NAME}.truth.json")
    place = simulated.folder / "archive" / "gam" / NAME / "detect-candidates.gpkg"
    found = geopandas.read_file(place)
    assert found.crs is not None
    strong = [body for body in truth.bodies if body.is_strong]
    metric = found.to_crs(truth.crs_wkt).geometry
    missed = []
    for body in strong:
        x, y = (body.west + body.east) / 2, (body.south + body.north) / 2
        reach = max(body.half_size_m, 10_000.0)
        if not (np.hypot(metric.x - x, metric.y - y) < reach).any():
            missed.append(body)
    assert len(strong) >= 8 and not missed
    assert len(found) <= len(strong) + 3


def test_the_candidates_are_features_that_are_found_by_place(simulated: Site):
    """Each with its numbers, at its place on Earth."""
    place = simulated.folder / "archive" / "gam" / NAME / "detect-candidates.gpkg"
    candidates = geopandas.read_file(place)
    found = simulated.features(item=NAME, kind="gravity candidate", frame="wgs84", limit=10_000)
    assert len(found) == len(candidates) == measures(simulated, NAME)["n_candidates"] > 0
    assert {(one.stage, one.pipeline, one.item) for one in found} == {
        ("detect", "gam", simulated.find(NAME).id)
    }
    names = ["residual_mgal", "sign", "z", "confidence"]
    for one, row in zip(found, candidates.itertuples(), strict=True):
        assert (
            (one.longitude, one.latitude) == (row.longitude, row.latitude) == (row.geometry.x, row.geometry.y)
        )
        assert one.properties == {name: getattr(row, name) for name in names}
    strongest = max(found, key=lambda one: abs(one.properties["z"]))
    near = simulated.features(near=(strongest.longitude, strongest.latitude), radius=0.01)
    assert strongest in near and len(near) < len(found)
    assert simulated.features(box=(16, -26, 22, -22), pipeline="gam", limit=10_000) == found
    assert simulated.features(frame="icrs") == []
    (counted,) = simulated.show(NAME).features
    assert (counted.stage, counted.kind, counted.count) == ("detect", "gravity candidate", len(found))


def test_the_picture_shows_something(simulated: Site):
    place = simulated.folder / "archive" / "gam" / NAME / "detect-quicklook.png"
    data = place.read_bytes()
    assert data.startswith(b"\x89PNG\r\n") and len(data) > 20_000


def test_the_stac_item_says_what_is_where(simulated: Site):
    place = simulated.folder / "archive" / "gam" / NAME
    item = pystac.Item.from_file(str(place / "item.json"))
    assert item.properties["license"] == "CC0-1.0"
    assert item.properties["sci:publications"][0]["citation"].startswith("Simulated by")
    for name in ("detect-quicklook.png", "detect-candidates.gpkg"):
        sha256 = hashlib.sha256((place / name).read_bytes()).hexdigest()
        assert item.assets[name].extra_fields["file:checksum"] == f"1220{sha256}"
    assert item.bbox is not None
    west, south, east, north = item.bbox
    assert 16 < west < 17 and -26 < south < -25 and 21 < east < 22 and -23 < north < -22


def test_the_provenance_leads_back_to_the_raw_file(simulated: Site):
    place = simulated.folder / "archive" / "gam" / NAME
    raw = hashlib.sha256((simulated.folder / "incoming" / f"{NAME}.ast.xz").read_bytes()).hexdigest()
    document = json.loads((place / "provenance.json").read_text())
    assert raw in {facts.get("towpath:sha256") for facts in document["entity"].values()}
    stages = {facts["towpath:stage"] for facts in document["activity"].values()}
    assert {"fetch", "reduce", "grid", "residual", "detect"} <= stages
    told = {
        document["activity"][row["prov:activity"]]["towpath:stage"]: facts["towpath:versions"]
        for row in document["wasAssociatedWith"].values()
        if "towpath:versions" in (facts := document["agent"][row["prov:agent"]])
    }
    assert stages - {"certify", "approve"} <= set(told)
    assert {"numpy": np.__version__, "towpath": metadata.version("towpath")}.items() <= told["grid"].items()
    assert str(simulated.folder) not in (place / "provenance.json").read_text()


def test_equal_input_gives_equal_content(simulated: Site, tmp_path: Path):
    """In another folder, by other workers: the same keys, products and publication."""
    copy_of(simulated, tmp_path)
    with Site.open(tmp_path, overrides=["site.workers=1"]) as site:
        site.run()
        assert differences(describe(site), describe(simulated)) == []


# ---- bad input


def damaged(good: str, folder: Path) -> dict[str, tuple[str, str]]:
    """Bad files by key: the file's name, and what the error must name."""
    lines = good.splitlines()
    columns = lines[4].split()
    packed = lzma.compress(good.encode())
    texts: dict[str, tuple[str, bytes, str]] = {
        "empty": ("empty.ast", b"", "empty.ast: found an empty file, expected at least one station"),
        "cut": ("cut.ast.xz", packed[: len(packed) // 2], "cut.ast.xz: found xz data that end early"),
        "nan": (
            "nan.ast",
            _with(lines, 4, [*columns[:3], "nan"]),
            "nan.ast, line 5, column 4 (observed gravity): found 'nan', expected a number in mGal",
        ),
        "columns": (
            "columns.ast",
            _with(lines, 4, columns[:3]),
            "columns.ast, line 5: found 3 columns, expected 4 (latitude, longitude, height, observed gravity)",
        ),
        "pole": (
            "pole.ast",
            _with(lines, 4, ["95.0", *columns[1:]]),
            "pole.ast, line 5, column 1 (latitude): found '95.0', expected a number in degrees from -90 to 90",
        ),
        "text": (
            "text.ast",
            _with(lines, 4, [columns[0], columns[1], "high", columns[3]]),
            "text.ast, line 5, column 3 (height): found 'high', expected a number in metres",
        ),
        "few": ("few.ast", "\n".join(lines[:20]).encode(), "usable stations 20: must be >= 200"),
    }
    for name, content, _ in texts.values():
        (folder / name).write_bytes(content)
    found = {key: (name, error) for key, (name, _, error) in texts.items()}
    return {**found, "gone": ("gone.ast", "gone.ast: there is no such file or folder")}


def _with(lines: list[str], number: int, fields: list[str]) -> bytes:
    return "\n".join([*lines[:number], " ".join(fields), *lines[number + 1 :]]).encode()


def test_what_is_wrong_with_a_file_is_said_on_its_item_and_the_others_go_on(simulated: Site, tmp_path: Path):
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    packed = (simulated.folder / "incoming" / f"{NAME}.ast.xz").read_bytes()
    (incoming / "good.ast.xz").write_bytes(packed)
    bad = damaged(lzma.decompress(packed).decode(), incoming)
    files = {**{key: name for key, (name, _) in bad.items()}, "good": "good.ast.xz"}
    with Site.open(make(tmp_path / "site", files, root=incoming)) as site:
        site.run()
        assert states(site, "good") == dict.fromkeys(ROUTE, "done")
        said = {key: _said(site, key) for key in bad}
        print("\n".join(f"{key}: {text}" for key, text in said.items()))
        for key, (_, error) in bad.items():
            assert error in said[key], f"{key}: {said[key]}"
        assert {key: states(site, key)["qualify"] for key in bad} == {
            **dict.fromkeys(bad, "rejected"), "gone": "waiting",
        }  # fmt: skip
        assert all("Not usable" in dict(site.show(key).milestones) for key in bad if key != "gone")
        assert states(site, "gone")["fetch"] == "failed"
        assert all(states(site, key)["publish"] == "waiting" for key in bad)
        assert [path.name for path in (site.folder / "archive" / "gam").iterdir()] == ["good"]
        assert site.run().did_nothing

        # Corrected, they go on by themselves.
        (incoming / "gone.ast").write_bytes((incoming / "text.ast").read_bytes().replace(b"high", b"100.0"))
        (incoming / "nan.ast").write_bytes((incoming / "gone.ast").read_bytes())
        site.run()
        for key in ("gone", "nan"):
            assert states(site, key) == dict.fromkeys(ROUTE, "done")


def _said(site: Site, key: str) -> str:
    return " | ".join(filter(None, (row.note for row in site.show(key).work)))


def test_a_full_disk_is_said_on_the_item_and_the_others_go_on(
    simulated: Site, tmp_path: Path, small_disk: Path
):
    """The store of one mebibyte takes the small survey and not the large file."""
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    (incoming / "good.ast.xz").write_bytes((simulated.folder / "incoming" / f"{NAME}.ast.xz").read_bytes())
    (incoming / "large.ast").write_bytes(random.Random(1).randbytes(2_000_000))
    files = {"large": "large.ast", "good": "good.ast.xz"}
    more = f'[roots]\nstore = "{small_disk}"\n[pipelines.gam.override.items.survey.fetch]\nattempts = 2\nbackoff = "100 ms"\n'
    with Site.open(make(tmp_path / "site", files, root=incoming, more=more)) as site:
        site.run()
        assert states(site, "good") == dict.fromkeys(ROUTE, "done")
        assert states(site, "large")["fetch"] == "failed"
        assert "No space left on device" in _said(site, "large")
        assert torn(site) == []
        assert not [path for path in small_disk.rglob(".*") if "large" in path.name]


# ---- kills


RUN = "import sys; from towpath import Site\nwith Site.open(sys.argv[1]) as site: site.run()"


def test_kills_during_a_survey_change_nothing(simulated: Site, tmp_path: Path):
    torment(simulated, tmp_path, seed=5, kills=2)


@pytest.mark.slow
def test_many_kills_during_a_survey_change_nothing(simulated: Site, tmp_path: Path):
    torment(simulated, tmp_path, seed=6, kills=16)


def torment(simulated: Site, folder: Path, *, seed: int, kills: int) -> None:
    """Kill the daemon or its worker again and again while it draws a survey through the line."""
    drawn = random.Random(seed)
    copy_of(simulated, folder)
    for number in range(kills):
        process = subprocess.Popen([sys.executable, "-c", RUN, str(folder)])
        time.sleep(drawn.uniform(0.5, 3.5))
        if process.poll() is None:
            victim = process.pid if number % 2 else _worker(process.pid)
            with contextlib.suppress(ProcessLookupError):  # a worker that ended just now
                os.kill(victim, signal.SIGKILL)
            if victim != process.pid and drawn.random() < 0.5:
                time.sleep(drawn.uniform(0.0, 1.0))
            process.kill()
        process.wait()
    subprocess.run([sys.executable, "-c", RUN, str(folder)], check=True)
    with Site.open(folder) as site:
        assert differences(describe(site), describe(simulated)) == []
        assert torn(site) == []
        assert site.run().did_nothing


def _worker(daemon: int) -> int:
    """A worker of the daemon; the daemon itself where there is none just now."""
    for child in psutil.Process(daemon).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie is none any more
            if "executors.worker" in " ".join(child.cmdline()):
                return child.pid
    return daemon


# ---- the real survey


@pytest.mark.slow
def test_the_real_survey_end_to_end(tmp_path: Path, data: Path):
    source = data / "gravity" / "southern-africa-gravity.ast.xz"
    demo(tmp_path, source)
    with Site.open(tmp_path) as site:
        started = time.monotonic()
        site.run()
        seconds = time.monotonic() - started
        name = "southern-africa-gravity"
        assert states(site, name) == dict.fromkeys(ROUTE, "done")
        found = measures(site, name)
        print(
            f"R2 of a random tenth {found['random_r2']}, its RMSE {found['random_rmse']} mGal; held-out blocks: "
            f"R2 {found['block_r2']}, RMSE {found['block_rmse']} mGal; {found['n_candidates']} candidates; {seconds:.0f} s"
        )
        assert float(str(found["random_r2"])) >= 0.97
        assert 0 < float(str(found["block_rmse"])) < 10
        place = site.folder / "archive" / "gam" / name
        with xr.open_zarr(place / "residual-anomaly.zarr", decode_coords="all", consolidated=False) as grid:
            assert "crs_wkt" in grid["spatial_ref"].attrs
            assert grid["residual"].attrs["units"] == "mGal"
        assert (place / "detect-quicklook.png").stat().st_size > 50_000
        assert len(geopandas.read_file(place / "detect-candidates.gpkg")) == found["n_candidates"]
        raw = hashlib.sha256(source.read_bytes()).hexdigest()
        assert raw in (place / "provenance.json").read_text()
        item = pystac.Item.from_file(str(place / "item.json"))
        assert item.bbox is not None and item.bbox[0] > 10 and item.bbox[3] < -15
        assert torn(site) == []
        assert site.run().did_nothing
