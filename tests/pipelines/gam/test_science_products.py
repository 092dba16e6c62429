"""Products are complete, described by CF and GIS conventions, and equal byte for byte when their contents are."""

import hashlib
import subprocess
import sys
import warnings
from pathlib import Path

import geopandas
import numpy as np
import pytest
import xarray as xr
from matplotlib.image import imread
from pyproj import CRS

from towpath.pipelines.gam.science.candidates import Candidate
from towpath.pipelines.gam.science.geopackage import read_candidates, write_candidates
from towpath.pipelines.gam.science.gridding import describe_hold_out, grid_axes, make_grid
from towpath.pipelines.gam.science.holdout import HoldOut, Score
from towpath.pipelines.gam.science.quicklook import degree_text, draw_quicklook, round_ticks
from towpath.pipelines.gam.science.reduction import Trend
from towpath.pipelines.gam.science.residual import add_residual
from towpath.pipelines.gam.science.survey import Reduced, to_dataset
from towpath.pipelines.gam.science.tree import read_tree, write_tree

CANDIDATES = (
    Candidate(20.1, -30.2, 12.5, 1, 5.0, 0.8, 11.0, 2.0, 6.0),
    Candidate(19.5, -29.9, -9.5, -1, -4.0, 0.6, 9.0, 3.0, 7.0),
)


def reduced(centre: float = 20.0) -> Reduced:
    crs = CRS.from_dict({"proj": "merc", "lat_ts": -30.0, "lon_0": centre, "datum": "WGS84", "type": "crs"})
    rng = np.random.default_rng(0)
    points = np.column_stack(
        [rng.uniform(-6e4, 6e4, 250), rng.uniform(-3.05e6, -2.95e6, 250), np.full(250, 9.0)]
    )
    trend = Trend(1, (0.0, -3e6), (1e5, 1e5), (-50.0, 5.0, -5.0))
    field = 20.0 * np.exp(-(points[:, 0] ** 2 + (points[:, 1] + 3e6) ** 2) / (2 * 15e3**2))
    return Reduced(points, field, np.ones(250, dtype=np.intp), trend, crs, 250, 0)


@pytest.fixture(scope="module")
def grid() -> xr.Dataset:
    held = HoldOut(Score(25, 0.5, 0.99), Score(25, 0.9, 0.95), 12_000.0)
    return describe_hold_out(add_residual(make_grid(reduced(), spacing_m=4e3)), held)


def tree_hash(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    digest = hashlib.sha256()
    for path in files:
        digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()


def test_the_grid_is_described(grid: xr.Dataset) -> None:
    field = grid["bouguer_disturbance"]
    assert field.dims == ("northing", "easting")
    assert field.attrs["units"] == "mGal"
    assert field.attrs["grid_mapping"] in grid
    assert CRS.from_cf(grid["spatial_ref"].attrs) == reduced().crs
    assert grid["easting"].attrs["standard_name"] == "projection_x_coordinate"
    assert grid["latitude"].attrs == {
        "long_name": "latitude",
        "units": "degrees_north",
        "standard_name": "latitude",
    }
    assert grid.attrs["Conventions"] == "CF-1.11"
    assert (np.diff(grid["easting"]) == 4e3).all()
    assert (grid["easting"] % 4e3 == 0).all()


def test_the_grid_is_empty_far_from_stations(grid: xr.Dataset) -> None:
    limit = grid.attrs["max_station_distance_m"]
    empty = np.isnan(grid["bouguer_disturbance"])
    assert bool((empty == (grid["station_distance"] > limit)).all())
    few = make_grid(reduced(), spacing_m=4e3, max_distance_m=2e3, height_m=100.0)
    assert int(few["bouguer_disturbance"].count()) < int((~empty).sum())
    assert few.attrs["height_m"] == 100.0


def test_a_grid_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match="choose a wider spacing"):
        make_grid(reduced(), spacing_m=10.0)


def test_axes_enclose() -> None:
    assert grid_axes(np.array([-1.0, 11.0]), 5.0).tolist() == [-5, 0, 5, 10, 15]
    assert grid_axes(np.array([5.0, 5.0]), 5.0).tolist() == [5, 10]


def test_trees_are_equal_and_read_back(grid: xr.Dataset, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("a", "b"):
            write_tree(tmp_path / name, grid)
        again = read_tree(tmp_path / "a")
    assert tree_hash(tmp_path / "a") == tree_hash(tmp_path / "b")
    write_tree(tmp_path / "c", again)
    assert tree_hash(tmp_path / "c") == tree_hash(tmp_path / "a")
    xr.testing.assert_identical(again, grid[list(again.data_vars)])
    assert {"latitude", "longitude"} <= set(again.coords)
    assert not list((tmp_path / "a").rglob(".z*"))  # version 3 only


def test_a_tree_is_never_overwritten(grid: xr.Dataset, tmp_path: Path) -> None:
    write_tree(tmp_path / "a", grid)
    with pytest.raises(FileExistsError):
        write_tree(tmp_path / "a", grid)


def test_points_go_into_a_tree(tmp_path: Path) -> None:
    write_tree(tmp_path / "points", to_dataset(reduced()))
    assert np.array_equal(read_tree(tmp_path / "points")["easting"], reduced().points[:, 0])


@pytest.mark.parametrize("candidates", [CANDIDATES, ()])
def test_the_geopackage(tmp_path: Path, candidates: tuple[Candidate, ...]) -> None:
    for name in ("a.gpkg", "b.gpkg"):
        write_candidates(tmp_path / name, candidates)
    assert (tmp_path / "a.gpkg").read_bytes() == (tmp_path / "b.gpkg").read_bytes()
    assert read_candidates(tmp_path / "a.gpkg") == candidates
    frame = geopandas.read_file(tmp_path / "a.gpkg", layer="candidates")
    assert frame.crs == "EPSG:4326"
    assert [(p.x, p.y) for p in frame.geometry] == [(one.longitude, one.latitude) for one in candidates]
    with pytest.raises(FileExistsError):
        write_candidates(tmp_path / "a.gpkg", candidates)


@pytest.mark.parametrize("candidates", [CANDIDATES, ()])
def test_the_picture(grid: xr.Dataset, tmp_path: Path, candidates: tuple[Candidate, ...]) -> None:
    for name in ("a.png", "b.png"):
        draw_quicklook(tmp_path / name, grid, reduced().points[:, :2], candidates, title="Test")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    pixels = imread(tmp_path / "a.png")
    assert pixels.shape[0] > 500
    assert pixels.shape[1] > 1200
    assert len(np.unique(pixels[::7, ::7, :3].reshape(-1, 3), axis=0)) > 100


def test_an_empty_grid_is_drawn(grid: xr.Dataset, tmp_path: Path) -> None:
    draw_quicklook(
        tmp_path / "empty.png", grid.where(False).assign(spatial_ref=grid["spatial_ref"]), np.empty((0, 2))
    )
    assert (tmp_path / "empty.png").stat().st_size > 5_000


def test_across_the_antimeridian(tmp_path: Path) -> None:
    grid = add_residual(make_grid(reduced(180.0), spacing_m=4e3))
    draw_quicklook(tmp_path / "a.png", grid, reduced().points[:, :2])
    longitude = grid["longitude"].values
    assert longitude.max() > 179
    assert longitude.min() < -179


def test_ticks() -> None:
    assert round_ticks(11.9, 32.7).tolist() == [15, 20, 25, 30]
    assert len(round_ticks(0.0, 0.05)) <= 7
    assert [degree_text(x, "EW") for x in (190.0, -20.5, 0.0, 30.0)] == ["170°W", "20.5°W", "0°", "30°E"]
    assert [degree_text(x, "NS") for x in (-33.0, 0.25)] == ["33°S", "0.25°N"]


@pytest.mark.parametrize(
    "module", ["stations", "qualify", "survey", "gridding", "holdout", "candidates", "tree"]
)
def test_a_module_loads_no_drawing_or_table_library(module: str) -> None:
    code = (
        f"import sys, towpath.pipelines.gam.science.{module}; "
        "print(sorted({'matplotlib', 'geopandas', 'harmonica', 'verde', 'numba'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
