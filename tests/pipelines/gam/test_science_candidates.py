"""Extremes are found where they are and refused for a stated reason; residual and confidence are what they say."""

import numpy as np
import pytest
import xarray as xr
from pyproj import CRS

from towpath.pipelines.gam.science.assessment import is_in_hull, measure_coverage
from towpath.pipelines.gam.science.candidates import (
    Detection,
    confidence,
    detect,
    find_extremes,
    half_width,
)
from towpath.pipelines.gam.science.residual import add_residual, gaussian_mean, robust_z

SPACING = 2_000.0
AXIS = np.arange(-50, 51) * SPACING


def bump(east: float, north: float, height: float, width: float) -> np.ndarray:
    x, y = np.meshgrid(AXIS, AXIS)
    return height * np.exp(-((x - east) ** 2 + (y - north) ** 2) / (2.0 * width**2))


def grid_of(residual: np.ndarray) -> xr.Dataset:
    crs = CRS.from_dict({"proj": "merc", "datum": "WGS84"})
    return xr.Dataset(
        {
            "residual": (("northing", "easting"), residual),
            "robust_z": (("northing", "easting"), residual),
            "spatial_ref": xr.DataArray(0, attrs=crs.to_cf()),
        },
        coords={
            "easting": AXIS,
            "northing": AXIS,
            "longitude": ("easting", AXIS / 1e5),
            "latitude": ("northing", AXIS / 1e5),
        },
        attrs={"spacing_m": SPACING, "regional_m": 60_000.0},
    )


def stations(step: float) -> np.ndarray:
    axis = np.arange(-1e5, 1e5 + 1, step)
    return np.column_stack([one.ravel() for one in np.meshgrid(axis, axis)])


def find(residual: np.ndarray, step: float = 4_000.0, **settings: float) -> Detection:
    return detect(grid_of(residual), stations(step), error_mgal=1.0, **settings)


def test_maxima_and_minima_are_found() -> None:
    found = find(bump(-4e4, 2e4, 20.0, 8e3) + bump(3e4, -3e4, -10.0, 8e3))
    first, second = found.candidates
    assert (first.longitude, first.latitude, first.sign) == (pytest.approx(-0.4), pytest.approx(0.2), 1)
    assert (second.longitude, second.latitude, second.sign) == (pytest.approx(0.3), pytest.approx(-0.3), -1)
    assert first.residual_mgal == pytest.approx(20.0, abs=0.01)
    assert first.confidence > second.confidence > 0.5
    # a Gaussian falls to half at 1.18 standard deviations
    assert first.half_width_km == pytest.approx(1.177 * 8.0, rel=0.05)
    assert first.spacing_km == pytest.approx(4.0, rel=0.25)
    assert sum(found.refused.values()) == 0


def test_what_the_stations_cannot_resolve_is_refused() -> None:
    narrow = bump(0.0, 0.0, 20.0, 5e3)
    assert len(find(narrow).candidates) == 1
    found = find(narrow, step=12_000.0)
    assert (found.candidates, found.refused["unresolved"]) == ((), 1)


def test_a_shoulder_is_refused() -> None:
    found = find(bump(0.0, 0.0, 20.0, 12e3) + bump(24e3, 0.0, 9.0, 5e3), separation_m=6e3)
    assert (len(found.candidates), found.refused["shoulder"]) == (1, 1)


def test_what_is_as_wide_as_the_regional_field_is_refused() -> None:
    found = find(bump(0.0, 0.0, 20.0, 45e3))
    assert (found.candidates, found.refused["regional"]) == ((), 1)


def test_what_is_unsure_is_refused() -> None:
    found = detect(grid_of(bump(0.0, 0.0, 4.0, 8e3)), stations(4e3), error_mgal=9.0)
    assert (found.candidates, found.refused["unsure"]) == ((), 1)


def test_a_flat_or_empty_grid_has_none() -> None:
    assert find(np.zeros((101, 101))).candidates == ()
    assert find(np.full((101, 101), np.nan)).candidates == ()


def test_there_is_no_extreme_beside_an_empty_node() -> None:
    field = bump(0.0, 0.0, 20.0, 8e3)
    strong = np.abs(field) > 3
    assert find_extremes(field, strong, 5).tolist() == [[50, 50]]
    field[50, 51] = np.nan
    assert find_extremes(field, strong, 5).tolist() == []


def test_half_width_on_a_shoulder_is_zero() -> None:
    field = bump(0.0, 0.0, 20.0, 12e3)
    assert half_width(field, 50, 50, 2.0) == pytest.approx(1.177 * 12.0, rel=0.05)
    assert half_width(field, 50, 55, 2.0) == 0.0


def test_confidence_grows_with_signal_and_falls_with_distance() -> None:
    residual = np.array([0.0, 2.0, -2.0, 20.0])
    sure = confidence(residual, 0.0, np.zeros(4))
    assert sure == pytest.approx([0.02275, 0.5, 0.5, 1.0], abs=1e-4)
    assert confidence(residual, 0.0, np.full(4, 25e3)) == pytest.approx(sure / np.e)
    assert (confidence(residual[1:], 3.0, np.zeros(3)) < sure[1:]).all()


def test_the_regional_field_is_a_mean_of_what_is_there() -> None:
    values = np.full((40, 40), 3.0)
    values[:10, :7] = np.nan
    mean = gaussian_mean(values, 5.0)
    assert np.array_equal(np.isnan(mean), np.isnan(values))
    assert np.nanmax(np.abs(mean - 3.0)) < 1e-9
    assert np.isnan(gaussian_mean(np.full((4, 4), np.nan), 2.0)).all()


def test_a_plane_away_from_the_edges_has_no_residual() -> None:
    x, _ = np.meshgrid(AXIS, AXIS)
    grid = grid_of(np.zeros((101, 101))).rename(residual="bouguer_disturbance").drop_vars("robust_z")
    grid["bouguer_disturbance"] = (("northing", "easting"), x / 1e3)
    made = add_residual(grid, regional_m=10_000.0)
    assert np.abs(made["residual"].values[20:-20, 20:-20]).max() < 1e-3
    assert made.attrs["regional_m"] == 10_000.0
    assert made["residual"].attrs["units"] == "mGal"


def test_robust_scores() -> None:
    values = np.random.default_rng(0).normal(5.0, 2.0, 10_000)
    values[:100] = 1e6
    assert robust_z(values)[200:].std() == pytest.approx(1.0, abs=0.05)
    assert robust_z(np.array([np.nan, 1.0, 2.0, 3.0]))[1:].tolist() == pytest.approx(
        [-0.6745, 0, 0.6745], abs=1e-4
    )
    assert np.isnan(robust_z(np.full(3, np.nan))).all()


def test_coverage_counts_the_hull() -> None:
    field = np.zeros((101, 101))
    field[:, 51:] = np.nan
    corners = np.array([[-1e5, -1e5], [1e5, -1e5], [1e5, 1e5], [-1e5, 1e5]])
    measured = measure_coverage(grid_of(field), corners, "residual")
    assert measured.n_nodes == 101 * 101
    assert measured.n_values == 101 * 51
    assert measured.null_ratio == pytest.approx(50 / 101)
    assert measured.coverage == pytest.approx(51 / 101, abs=0.01)
    assert not is_in_hull(np.array([[0.0, 0], [1, 1], [2, 2]]), AXIS, AXIS).any()
