"""Measures the error of gridding on data that were held out: a random tenth, and a tenth in whole blocks.

The random tenth has neighbours close by and flatters; the blocks say what happens between the stations. Choices are
seeded, so equal data give equal figures.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .arrays import BoolArray, FloatArray
from .sources import DEFAULT_SETTINGS, SourceSettings, interpolate
from .spacing import station_spacing

SHARE = 0.1
BLOCK_SPACINGS = 2.0


@dataclass(frozen=True, slots=True)
class Score:
    """How well held-out data were predicted.

    Parameters
    ----------
    n : int
        Number of data held out.
    rmse_mgal : float
        Root mean square of predicted minus observed, in mGal.
    r2 : float
        Share of the variance of the held-out data that is explained.
    """

    n: int
    rmse_mgal: float
    r2: float


@dataclass(frozen=True, slots=True)
class HoldOut:
    """Both hold-outs of one survey; `block_size_m` is the side of the blocks in metres."""

    random: Score
    block: Score
    block_size_m: float


def hold_out(
    points: FloatArray,
    values: FloatArray,
    *,
    settings: SourceSettings = DEFAULT_SETTINGS,
    block_size_m: float | None = None,
    seed: int = 0,
    threads: int = 1,
) -> HoldOut:
    """Grid without a tenth of the data, twice, and compare.

    Parameters
    ----------
    points : numpy.ndarray
        Easting, northing and height in metres, shape (n, 3).
    values : numpy.ndarray
        Values in mGal.
    settings : SourceSettings
        The gridder's settings.
    block_size_m : float, optional
        Side of the blocks in metres; twice the typical spacing of the data when not given.
    seed : int
        Seed of both choices.
    threads : int
        Tiles fitted at once.

    Returns
    -------
    HoldOut
        Scores of the random tenth and of the blocks.
    """
    size = block_size_m or default_block_size(points)
    random = random_tenth(len(points), seed=seed)
    block = block_tenth(points, size, seed=seed)
    return HoldOut(
        random=_score_of(points, values, random, settings, threads),
        block=_score_of(points, values, block, settings, threads),
        block_size_m=size,
    )


def choose_settings(
    points: FloatArray,
    values: FloatArray,
    choices: Iterable[SourceSettings],
    *,
    seed: int = 0,
    threads: int = 1,
) -> tuple[SourceSettings, tuple[tuple[SourceSettings, Score], ...]]:
    """Choose the settings with the smallest error in held-out blocks; return them and every score."""
    held = block_tenth(points, default_block_size(points), seed=seed)
    scores = tuple((choice, _score_of(points, values, held, choice, threads)) for choice in choices)
    best = min(scores, key=lambda pair: pair[1].rmse_mgal)
    return best[0], scores


def default_block_size(points: FloatArray) -> float:
    """Return the side of hold-out blocks in metres: twice the typical spacing, to two digits."""
    return float(f"{BLOCK_SPACINGS * station_spacing(points[:, :2]):.1e}")


def random_tenth(count: int, *, seed: int = 0) -> BoolArray:
    """Mark a random tenth, at least one."""
    held = np.zeros(count, dtype=np.bool_)
    chosen = np.random.default_rng(seed).permutation(count)[: max(round(SHARE * count), 1)]
    held[chosen] = True
    return held


def block_tenth(points: FloatArray, size_m: float, *, seed: int = 0) -> BoolArray:
    """Mark whole blocks of a side in metres, in random order, until they hold at least a tenth of the data."""
    cell = np.floor(points[:, :2] / size_m).astype(np.intp)
    _, block, count = np.unique(cell, axis=0, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(count.size)
    needed = int(np.searchsorted(np.cumsum(count[order]), SHARE * len(points))) + 1
    return np.isin(block.ravel(), order[:needed])


def score(predicted: FloatArray, observed: FloatArray) -> Score:
    """Compare predicted with observed values, both in mGal."""
    error = float(np.mean((predicted - observed) ** 2))
    variance = float(np.var(observed))
    return Score(int(observed.size), float(np.sqrt(error)), 1.0 - error / variance if variance else 0.0)


def _score_of(
    points: FloatArray, values: FloatArray, held: BoolArray, settings: SourceSettings, threads: int
) -> Score:
    predicted = interpolate(points[~held], values[~held], points[held], settings=settings, threads=threads)
    return score(predicted, values[held])
