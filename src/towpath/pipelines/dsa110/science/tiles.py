"""Checks that tiles belong in one mosaic: frequency, beam, pixels, noise, calibration, declination, overlap, order.

Promises a value, a limit and an answer for each, so that the reason for a refusal can be stored. Decides nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from .mosaic import Tile, step_of, unit_vectors, useful_points


@dataclass(frozen=True, slots=True)
class TileLimits:
    """How much tiles may differ.

    Parameters
    ----------
    frequency
        Largest relative difference from the mean.
    beam
        Largest ratio of the beams' axes (major to major, minor to minor).
    pixel
        Largest relative difference of pixel sizes.
    noise
        Largest ratio of the tiles' noise.
    calibrations
        How many calibration sets.
    declination
        Largest difference of the centres in degrees.
    overlap
        Least share of a tile that another one covers too.
    out_of_order
        How many tiles may begin before the one before them.
    """

    frequency: float = 1e-3
    beam: float = 1.2
    pixel: float = 1e-3
    noise: float = 2.0
    calibrations: int = 1
    declination: float = 1.0
    overlap: float = 0.05
    out_of_order: int = 0


class Check(NamedTuple):
    """One check: its name, the value measured, the limit, and whether it holds."""

    name: str
    value: float
    limit: float
    ok: bool


def check_tiles(
    tiles: Sequence[Tile], limits: TileLimits | None = None, *, pb_limit: float = 0.2
) -> list[Check]:
    """Compare tiles in the order given.

    Raises
    ------
    ValueError
        If there is no tile.
    """
    if not tiles:
        raise ValueError("no tiles; expected at least one")
    allowed = limits or TileLimits()
    frequency = np.array([one.frequency for one in tiles])
    beams = np.array([one.beam[:2] for one in tiles])
    cells = np.array([one.cell for one in tiles])
    noise = np.array([one.noise for one in tiles])
    dec = np.array([one.centre[1] for one in tiles])
    starts = np.array([one.start for one in tiles])
    most = (
        ("frequency", float(np.abs(frequency / frequency.mean() - 1.0).max()), allowed.frequency),
        ("beam", float((beams.max(axis=0) / beams.min(axis=0)).max()), allowed.beam),
        ("pixel", float(cells.max() / cells.min() - 1.0), allowed.pixel),
        ("noise", float(noise.max() / noise.min()), allowed.noise),
        ("calibrations", float(len({one.calibration for one in tiles})), float(allowed.calibrations)),
        ("declination", float(np.ptp(dec)), allowed.declination),
        ("out_of_order", float(np.count_nonzero(np.diff(starts) <= 0.0)), float(allowed.out_of_order)),
    )
    found = [Check(name, value, limit, bool(value <= limit)) for name, value, limit in most]
    share = _overlap(tiles, pb_limit)
    return [*found, Check("overlap", share, allowed.overlap, bool(share >= allowed.overlap))]


def _overlap(tiles: Sequence[Tile], pb_limit: float) -> float:
    """The least share of a tile's useful points that lie on another tile; 1 for a single one."""
    if len(tiles) < 2:
        return 1.0
    points = [unit_vectors(*useful_points(one, pb_limit)) for one in tiles]
    trees = [cKDTree(one) if len(one) else None for one in points]
    shares = []
    for number, mine in enumerate(points):
        reach = 1.5 * step_of(tiles[number].cell) * np.radians(tiles[number].cell)
        covered = np.zeros(len(mine), bool)
        for other, tree in enumerate(trees):
            if other != number and tree is not None and len(mine):
                covered |= np.isfinite(tree.query(mine, distance_upper_bound=reach)[0])
        shares.append(float(covered.mean()) if len(mine) else 0.0)
    return min(shares)
