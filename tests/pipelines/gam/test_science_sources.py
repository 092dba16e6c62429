"""Equivalent sources give back a harmonic field, agree with harmonica's, and have neither seams nor races."""

import harmonica
import numpy as np
import pytest

from towpath.pipelines.gam.science.bodies import Body, attraction
from towpath.pipelines.gam.science.sources import SourceSettings, interpolate

BODY = Body(0, 0, -12e3, 12e3, -9e3, 15e3, -9e3, -3e3, 300.0, 0.0)


def survey(count: int = 900, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    points = np.column_stack([rng.uniform(-8e4, 8e4, (count, 2)), rng.uniform(0, 900, count)])
    return points, attraction((BODY,), *points.T)


def targets(height: float = 500.0, step: float = 4e3) -> np.ndarray:
    axis = np.arange(-6e4, 6e4 + 1, step)
    east, north = (one.ravel() for one in np.meshgrid(axis, axis))
    return np.column_stack([east, north, np.full(east.size, height)])


def test_a_prism_is_given_back() -> None:
    points, values = survey()
    field = interpolate(points, values, targets())
    truth = attraction((BODY,), *targets().T)
    assert np.sqrt(np.mean((field - truth) ** 2)) < 0.02 * truth.max()


def test_it_is_harmonic_so_it_continues_upward() -> None:
    points, values = survey()
    field = interpolate(points, values, targets(4_000.0))
    truth = attraction((BODY,), *targets(4_000.0).T)
    assert np.sqrt(np.mean((field - truth) ** 2)) < 0.02 * truth.max()
    assert np.abs(field - truth).max() < 0.06 * truth.max()


def test_it_agrees_with_the_sources_of_harmonica() -> None:
    points, values = survey(500)
    values = values - values.mean()
    theirs = harmonica.EquivalentSources(depth=12e3, damping=1e-4)
    theirs.fit(tuple(points.T), values)
    expected = theirs.predict(tuple(targets().T))
    field = interpolate(points, values, targets(), settings=SourceSettings(tile=1e3, halo=1e3))
    truth = attraction((BODY,), *targets().T)
    assert np.sqrt(np.mean((field - expected) ** 2)) < 0.03 * truth.max()


def test_threads_change_nothing() -> None:
    points, values = survey()
    one = interpolate(points, values, targets())
    assert np.array_equal(one, interpolate(points, values, targets(), threads=3))


def test_tiles_leave_no_seams() -> None:
    points, values = survey()
    line = np.column_stack([np.arange(-6e4, 6e4, 50.0), np.full(2400, 2e3), np.full(2400, 500.0)])
    tiled = interpolate(points, values, line, settings=SourceSettings(tile=4.0))
    steps = np.abs(np.diff(tiled))
    truth_steps = np.abs(np.diff(attraction((BODY,), *line.T)))
    assert steps.max() < 1.5 * truth_steps.max()
    whole = interpolate(points, values, line, settings=SourceSettings(tile=1e3, halo=1e3))
    assert np.abs(tiled - whole).max() < 0.01 * values.max()


def test_constants_and_far_targets_are_harmless() -> None:
    points, _ = survey(60)
    far = np.array([[5e6, 5e6, 0.0], [0.0, 0.0, 0.0]])
    assert interpolate(points, np.full(60, 7.0), far) == pytest.approx(7.0)


def test_few_data_are_enough() -> None:
    points, values = survey(3)
    assert interpolate(points, values, points) == pytest.approx(values, rel=0.2)
    assert interpolate(points, values, np.empty((0, 3))).shape == (0,)
