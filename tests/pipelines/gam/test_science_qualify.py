"""Faults of stations are counted one by one, and the mask passes exactly the usable ones."""

import numpy as np

from towpath.pipelines.gam.science.qualify import is_duplicate, is_out_of_range, measure_quality
from towpath.pipelines.gam.science.stations import Stations


def stations_of(*rows: tuple[float, float, float, float]) -> Stations:
    return Stations(*(np.array(column, dtype=float) for column in zip(*rows, strict=True)))


def test_counts_and_mask() -> None:
    survey = stations_of(
        (-30.0, 20.0, 100.0, 979000.0),
        (-30.0, 20.0, 101.0, 979000.1),  # the same place
        (-30.0, 380.0 - 20.0, 100.0, 979000.0),
        (-31.0, 20.0, -5.0, 979000.0),  # at sea
        (-31.0, 20.0, 5.0, 979000.0),  # usable, though a station at sea was there first
        (-32.0, 20.0, 9_500.0, 979000.0),  # no such height
        (-33.0, 20.0, 10.0, 9790.0),  # no such gravity
    )
    quality = measure_quality(survey)
    assert quality.passed.tolist() == [True, False, True, False, True, False, False]
    assert (quality.n_stations, quality.n_passed) == (7, 3)
    assert (quality.n_out_of_range, quality.n_duplicate, quality.n_negative_height) == (2, 2, 1)
    at_sea = measure_quality(survey, keep_negative_height=True)
    assert at_sea.passed.tolist() == [True, False, True, True, False, False, False]


def test_a_turn_of_longitude_is_the_same_place() -> None:
    same = is_duplicate(np.array([1.0, 1.0, 1.0]), np.array([-20.0, 340.0, 340.0 + 1e-6]))
    assert same.tolist() == [False, True, False]
    assert is_duplicate(np.zeros(2), np.array([0.0, 360.0])).tolist() == [False, True]


def test_nan_is_out_of_range() -> None:
    survey = stations_of(
        (np.nan, 0, 0, 979000), (0, np.nan, 0, 979000), (0, 0, np.nan, 979000), (0, 0, 0, np.nan)
    )
    assert is_out_of_range(survey).all()
    assert measure_quality(survey).n_passed == 0


def test_an_empty_survey_has_no_faults() -> None:
    quality = measure_quality(Stations(*(np.empty(0) for _ in range(4))))
    assert (quality.n_stations, quality.n_passed, quality.n_duplicate) == (0, 0, 0)
