"""Periodic cells: vectors to lengths and angles, and back. Lengths are in ångström, angles in degrees."""

import math

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def cell_of(vectors: FloatArray) -> tuple[float, float, float, float, float, float]:
    """Give lengths a, b, c and angles alpha, beta, gamma of the cell whose vectors are the rows of a (3, 3) array."""
    a, b, c = (float(np.linalg.norm(vector)) for vector in vectors)
    angles = (
        math.degrees(math.acos(max(-1.0, min(1.0, float(one @ other) / (length * width)))))
        for one, other, length, width in (
            (vectors[1], vectors[2], b, c),
            (vectors[0], vectors[2], a, c),
            (vectors[0], vectors[1], a, b),
        )
    )
    return a, b, c, *angles  # type: ignore[return-value] # three angles follow


def vectors_of(a: float, b: float, c: float, alpha: float, beta: float, gamma: float) -> FloatArray:
    """Give the vectors of a cell as rows, shape (3, 3): a along x, b in the plane of x and y.

    Raises `ValueError` for a cell without a volume.
    """
    cos_alpha, cos_beta, cos_gamma = (math.cos(math.radians(angle)) for angle in (alpha, beta, gamma))
    sin_gamma = math.sin(math.radians(gamma))
    if min(a, b, c) <= 0.0 or sin_gamma < 1e-6:
        raise ValueError(f"a cell of {a}, {b}, {c}, {alpha}, {beta}, {gamma} has no volume")
    lean = (cos_alpha - cos_beta * cos_gamma) / sin_gamma
    rise = 1.0 - cos_beta**2 - lean**2
    if rise <= 0.0:
        raise ValueError(f"angles of {alpha}, {beta}, {gamma} degrees do not close a cell")
    rows = [
        [a, 0.0, 0.0],
        [b * cos_gamma, b * sin_gamma, 0.0],
        [c * cos_beta, c * lean, c * math.sqrt(rise)],
    ]
    return np.where(np.abs(rows) < 1e-9, 0.0, rows)


def describe_cell(vectors: FloatArray) -> dict[str, float]:
    """Tell lengths, angles and volume of the cell whose vectors are the rows of a (3, 3) array."""
    names = ("a_angstrom", "b_angstrom", "c_angstrom", "alpha_degree", "beta_degree", "gamma_degree")
    told = {name: round(value, 4) for name, value in zip(names, cell_of(vectors), strict=True)}
    return told | {"volume_angstrom3": round(abs(float(np.linalg.det(vectors))), 3)}
