"""The projection follows the survey, keeps it in one piece and can be undone; spacings are those of known lattices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.pipelines.gam.science.projection import project, survey_crs, unproject
from towpath.pipelines.gam.science.spacing import local_spacing, nearest_distances, station_spacing


@given(
    st.floats(-70, 70), st.floats(-180, 180), st.floats(0.5, 8), st.integers(0, 2**32 - 1), st.integers(3, 30)
)
def test_degrees_survive_the_round_trip(
    latitude: float, longitude: float, size: float, seed: int, count: int
) -> None:
    rng = np.random.default_rng(seed)
    lat = latitude + rng.uniform(-size, size, count)
    lon = (longitude + rng.uniform(-size, size, count) + 180.0) % 360.0 - 180.0
    crs = survey_crs(lat, lon)
    east, north = project(crs, lat, lon)
    again_lat, again_lon = unproject(crs, east, north)
    assert np.allclose(again_lat, lat, atol=1e-9)
    assert np.allclose((again_lon - lon + 180.0) % 360.0 - 180.0, 0.0, atol=1e-9)
    assert np.ptp(east) < 2 * size * 112e3 + 1  # in one piece, across the antimeridian too


def test_scale_is_true_in_the_middle() -> None:
    lat, lon = np.array([-31.0, -29.0]), np.array([20.0, 22.0])
    east, _ = project(survey_crs(lat, lon), np.array([-30.0, -30.0]), np.array([20.5, 21.5]))
    radius = 6378137.0 * np.cos(np.radians(30.0)) / np.sqrt(1 - 0.00669438 * np.sin(np.radians(30.0)) ** 2)
    assert np.diff(east)[0] == pytest.approx(np.radians(1.0) * radius, rel=1e-6)


def test_a_few_stations_more_do_not_change_the_projection() -> None:
    lat, lon = np.array([-31.0, -29.0]), np.array([20.0, 22.0])
    assert survey_crs(lat, lon) == survey_crs(lat + 0.01, lon - 0.01)


def test_one_place_has_a_projection() -> None:
    lat, lon = np.array([10.0]), np.array([200.0])
    east, _ = project(survey_crs(lat, lon), lat, lon)
    assert east[0] == pytest.approx(0.0, abs=1e-6)


def test_near_a_pole_it_is_refused() -> None:
    with pytest.raises(ValueError, match=r"reaches to latitude 80, but a station is at -85.5"):
        survey_crs(np.array([-85.5, 0.0]), np.array([0.0, 1.0]))


def lattice(side: float, count: int = 21) -> np.ndarray:
    axis = np.arange(count) * side
    return np.column_stack([one.ravel() for one in np.meshgrid(axis, axis)])


@pytest.mark.parametrize("side", [10.0, 9_000.0])
def test_the_spacing_of_a_lattice(side: float) -> None:
    places = lattice(side)
    assert station_spacing(places) == pytest.approx(side, rel=0.15)
    assert local_spacing(places, places[220:221] + 0.3 * side)[0] == pytest.approx(side, rel=0.2)


def test_nearest_distances_skip_the_place_itself() -> None:
    places = lattice(1.0, 5)
    assert nearest_distances(places, places[12:13], 5)[0].tolist() == pytest.approx([0, 1, 1, 1, 1])
    assert nearest_distances(places, places[12:13], 5, skip_self=True)[0, -1] == pytest.approx(2**0.5)
    assert nearest_distances(places[:3], places[:1], 5, skip_self=True).shape == (1, 2)


def test_a_spacing_needs_two_places() -> None:
    with pytest.raises(ValueError, match="two stations"):
        station_spacing(np.zeros((1, 2)))
    with pytest.raises(ValueError, match="all at one place"):
        station_spacing(np.zeros((9, 2)))
