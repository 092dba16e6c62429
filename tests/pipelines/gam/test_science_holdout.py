"""Hold-outs take a tenth, blocks stay whole, and the scores are what they say."""

import numpy as np
import pytest

from towpath.pipelines.gam.science.bodies import Body, attraction
from towpath.pipelines.gam.science.holdout import (
    block_tenth,
    choose_settings,
    default_block_size,
    hold_out,
    random_tenth,
    score,
)
from towpath.pipelines.gam.science.sources import SourceSettings

BODY = Body(0, 0, -12e3, 12e3, -9e3, 15e3, -9e3, -3e3, 300.0, 0.0)


def survey(noise: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    points = np.column_stack([rng.uniform(-6e4, 6e4, (900, 2)), np.full(900, 300.0)])
    return points, attraction((BODY,), *points.T) + rng.normal(0, noise, 900)


def test_a_random_tenth() -> None:
    assert random_tenth(1000, seed=1).sum() == 100
    assert random_tenth(3).sum() == 1
    assert np.array_equal(random_tenth(50, seed=4), random_tenth(50, seed=4))
    assert not np.array_equal(random_tenth(50, seed=4), random_tenth(50, seed=5))


def test_blocks_are_held_out_whole() -> None:
    points, _ = survey(0.0)
    held = block_tenth(points, 1e4, seed=3)
    cell = np.floor(points[:, :2] / 1e4).astype(int)
    blocks_held = {tuple(one) for one in cell[held]}
    assert blocks_held.isdisjoint(tuple(one) for one in cell[~held])
    assert 90 <= held.sum() <= 90 + 25


def test_scores() -> None:
    observed = np.array([1.0, 2.0, 3.0])
    assert score(observed, observed).r2 == 1.0
    assert score(np.full(3, 2.0), observed).r2 == pytest.approx(0.0)
    assert score(observed + 2.0, observed).rmse_mgal == pytest.approx(2.0)
    assert score(np.zeros(2), np.zeros(2)).r2 == 0.0


def test_the_noise_is_what_is_left() -> None:
    measured = hold_out(*survey(1.0))
    assert 0.8 < measured.random.rmse_mgal < 1.5
    assert measured.block.rmse_mgal > 0.8
    assert measured.random.n == 90
    assert measured.block_size_m == default_block_size(survey(1.0)[0])
    assert hold_out(*survey(1.0), block_size_m=5e3, threads=2).block_size_m == 5e3


def test_blocks_are_harder_than_a_random_tenth() -> None:
    measured = hold_out(*survey(0.0), block_size_m=2e4)
    assert measured.block.rmse_mgal > measured.random.rmse_mgal
    assert measured.random.r2 > 0.999


def test_the_better_settings_are_chosen() -> None:
    bad, good = SourceSettings(depth=0.1, damping=1.0), SourceSettings()
    best, scores = choose_settings(*survey(0.2), [bad, good])
    assert best is good
    assert scores[0][1].rmse_mgal > scores[1][1].rmse_mgal
