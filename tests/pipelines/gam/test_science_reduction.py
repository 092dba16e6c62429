"""Every correction agrees with an independent library; outliers and trends are those that were put in."""

import boule
import harmonica
import numpy as np
import pytest
import verde
from hypothesis import given
from hypothesis import strategies as st

from towpath.pipelines.gam.science.reduction import (
    block_medians,
    bouguer_slab,
    exponents,
    fit_trend,
    gravity_disturbance,
    is_outlier,
)
from towpath.pipelines.gam.science.stations import Stations
from towpath.pipelines.gam.science.survey import from_dataset, reduce_stations, to_dataset

HEIGHTS = np.array([-3000.0, -1.0, 0.0, 1.0, 2500.0])


def test_the_slab_agrees_with_harmonica() -> None:
    assert bouguer_slab(HEIGHTS) == pytest.approx(harmonica.bouguer_correction(HEIGHTS), rel=1e-5)
    light = harmonica.bouguer_correction(HEIGHTS, density_crust=2400, density_water=1000)
    assert bouguer_slab(HEIGHTS, crust_kg_m3=2400, water_kg_m3=1000) == pytest.approx(light, rel=1e-5)


def test_normal_gravity_has_no_disturbance_and_ships_float() -> None:
    latitude = np.linspace(-60, 60, 5)
    surface = np.maximum(HEIGHTS, 0.0)
    normal = boule.WGS84.normal_gravity((None, latitude, surface))
    assert gravity_disturbance(latitude, HEIGHTS, normal + 12.5) == pytest.approx(12.5)


def test_normal_gravity_at_the_equator_and_poles() -> None:
    # Somigliana's values of WGS84, in mGal
    observed = np.array([978032.53359, 983218.49378])
    assert gravity_disturbance(np.array([0.0, 90.0]), np.zeros(2), observed) == pytest.approx(0.0, abs=1e-4)


def scattered(count: int = 600, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 2e5, (count, 2))
    smooth = 30 * np.sin(points[:, 0] / 3e4) * np.cos(points[:, 1] / 4e4)
    return points, smooth + rng.normal(0, 0.5, count)


def test_outliers_are_those_put_in() -> None:
    points, values = scattered()
    wrong = np.array([5, 100, 333, 599])
    values[wrong] += [25.0, -30.0, 60.0, -25.0]
    assert np.flatnonzero(is_outlier(points, values)).tolist() == wrong.tolist()


def test_a_steep_slope_has_no_outliers() -> None:
    points, _ = scattered()
    assert not is_outlier(points, points[:, 0] / 100.0).any()
    points[10] = points[11]  # twins at one place
    assert not is_outlier(points, points[:, 0] / 100.0).any()


def test_too_few_neighbours_have_no_outliers() -> None:
    points, values = scattered(6)
    values[0] = 1e6
    assert not is_outlier(points, values).any()


@pytest.mark.parametrize("degree", [0, 1, 3])
def test_the_trend_agrees_with_verde(degree: int) -> None:
    points, values = scattered()
    places = (points[:, 0], points[:, 1])
    theirs = verde.Trend(degree).fit(places, values).predict(places)
    assert fit_trend(*places, values, degree)(*places) == pytest.approx(theirs, abs=1e-6)


@given(st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_a_polynomial_is_its_own_trend(degree: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(1e6, 1.3e6, (2, 40))
    u, v = (x - 1.15e6) / 1e5, (y - 1.15e6) / 1e5
    values = sum(rng.normal() * u**i * v**j for i, j in exponents(degree))
    assert fit_trend(x, y, np.asarray(values), degree)(x, y) == pytest.approx(values, abs=1e-7)


def test_the_degree_falls_with_the_number_of_values() -> None:
    assert fit_trend(np.arange(4.0), np.zeros(4), np.ones(4), 3).degree == 1


def test_block_medians_agree_with_verde() -> None:
    points, values = scattered()
    medians, columns, count = block_medians(points, values[:, None], 2e4)
    region = (0.0, 2e5, 0.0, 2e5)
    reducer = verde.BlockReduce(np.median, 2e4, region=region, adjust="region", drop_coords=False)
    (east, north), theirs = reducer.filter((points[:, 0], points[:, 1]), values)
    assert count.sum() == 600
    order, their_order = np.lexsort(medians.T), np.lexsort((east, north))
    assert medians[order] == pytest.approx(np.column_stack([east, north])[their_order])
    assert columns[order, 0] == pytest.approx(theirs[their_order])


def test_blocks_of_one_station_change_nothing() -> None:
    points, values = scattered(50)
    medians, columns, count = block_medians(points, values[:, None], 1.0)
    assert (count == 1).all()
    assert sorted(zip(*medians.T, columns[:, 0], strict=True)) == sorted(zip(*points.T, values, strict=True))


def simple_survey(count: int = 400) -> Stations:
    rng = np.random.default_rng(1)
    latitude, longitude = -30 + rng.uniform(-1, 1, count), 20 + rng.uniform(-1, 1, count)
    height = rng.uniform(0, 1500, count)
    field = -80 + 20 * (latitude + 30) + 10 * (longitude - 20)
    normal = boule.WGS84.normal_gravity((None, latitude, height))
    return Stations(latitude, longitude, height, normal + harmonica.bouguer_correction(height) + field)


def test_a_plane_under_topography_reduces_to_nothing() -> None:
    reduced = reduce_stations(simple_survey())
    assert np.abs(reduced.residual).max() < 0.01
    assert (reduced.n_stations, reduced.n_outliers, int(reduced.count.sum())) == (400, 0, 400)
    assert reduced.trend(*reduced.points[:, :2].T).mean() == pytest.approx(-80, abs=2)


def test_reduced_points_survive_a_dataset() -> None:
    reduced = reduce_stations(simple_survey())
    again = from_dataset(to_dataset(reduced))
    assert np.array_equal(again.points, reduced.points)
    assert np.array_equal(again.residual, reduced.residual)
    assert np.array_equal(again.count, reduced.count)
    assert (again.trend, again.crs) == (reduced.trend, reduced.crs)
    assert (len(again), again.n_stations, again.n_outliers) == (len(reduced), 400, 0)


def test_too_little_is_refused() -> None:
    survey = simple_survey()
    with pytest.raises(ValueError, match="no station is left"):
        reduce_stations(survey.select(np.zeros(400, dtype=bool)))
    with pytest.raises(ValueError, match="too few to grid"):
        reduce_stations(survey.select(np.arange(12)))
