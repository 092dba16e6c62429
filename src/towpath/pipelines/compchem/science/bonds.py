"""Finds bonds by distance, and puts molecules together that a periodic cell has cut.

Two atoms are bonded when they are nearer than the sum of their covalent radii (Cordero et al. 2008, Dalton Trans. 2832,
by gemmi) and 0.4 Å. These bonds are for pictures; no order or charge is derived from them.
"""

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .composition import FloatArray, IntArray, TextArray

SLACK_ANGSTROM = 0.4
SHORTEST_ANGSTROM = 0.4
_UNKNOWN_RADIUS = 0.0
_SHIFTS = np.array([[i, j, k] for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)], dtype=np.float64)


def covalent_radii(elements: TextArray) -> FloatArray:
    """Give covalent radii in ångström, shape (n,); 0 for what is no element."""
    unique, back = np.unique(elements, return_inverse=True)
    radii = [float(gemmi.Element(str(one)).covalent_r) if one else _UNKNOWN_RADIUS for one in unique.tolist()]
    return np.array(radii, dtype=np.float64)[back]


def find_bonds(elements: TextArray, positions: FloatArray) -> IntArray:
    """Give the pairs of indices of bonded atoms, shape (m, 2), of elements (n,) at positions in ångström (n, 3)."""
    radii = covalent_radii(elements)
    if len(positions) < 2:
        return np.zeros((0, 2), dtype=np.int64)
    pairs = cKDTree(positions).query_pairs(2.0 * radii.max() + SLACK_ANGSTROM, output_type="ndarray")
    one, other = pairs.T
    apart = np.linalg.norm(positions[one] - positions[other], axis=1)
    bonds: IntArray = pairs[_are_bonded(elements, radii, one, other, apart)].astype(np.int64)
    return bonds


def _are_bonded(
    elements: TextArray, radii: FloatArray, one: IntArray, other: IntArray, apart: FloatArray
) -> NDArray[np.bool_]:
    hydrogen = np.isin(elements, ("H", "D"))
    near = (apart < radii[one] + radii[other] + SLACK_ANGSTROM) & (apart > SHORTEST_ANGSTROM)
    known = (radii[one] > 0.0) & (radii[other] > 0.0)
    return near & known & ~(hydrogen[one] & hydrogen[other])


def whole_molecules(elements: TextArray, positions: FloatArray, box: FloatArray) -> FloatArray | None:
    """Put the molecules of a periodic cell together, each with its centre within the cell.

    Parameters
    ----------
    elements : numpy.ndarray of str
        Symbols, shape (n,).
    positions : numpy.ndarray
        Positions in ångström within the cell, shape (n, 3).
    box : numpy.ndarray
        Vectors of the cell in ångström as rows, shape (3, 3).

    Returns
    -------
    numpy.ndarray or None
        Positions shifted by whole vectors of the cell, shape (n, 3); None where bonds go on through the cell for ever,
        as in salts and minerals, or where hardly anything is bonded.
    """
    count = len(positions)
    one, other, shifts = periodic_bonds(elements, positions, box)
    if len(one) < count // 2:
        return None
    order = np.argsort(one, kind="stable")
    begins = np.searchsorted(one[order], np.arange(count + 1))
    cell = np.full((count, 3), np.nan)
    molecules = []
    for seed in range(count):
        if np.isfinite(cell[seed, 0]):
            continue
        cell[seed] = 0.0
        members, at = [seed], 0
        while at < len(members):
            here = members[at]
            at += 1
            for bond in order[begins[here] : begins[here + 1]]:
                there, place = int(other[bond]), cell[here] + shifts[bond]
                if not np.isfinite(cell[there, 0]):
                    cell[there] = place
                    members.append(there)
                elif (cell[there] != place).any():
                    return None
        molecules.append(members)
    moved = positions + cell @ box
    inverse = np.linalg.inv(box)
    for members in molecules:
        moved[members] -= np.floor(moved[members].mean(axis=0) @ inverse + 1e-6) @ box
    return moved


def periodic_bonds(
    elements: TextArray, positions: FloatArray, box: FloatArray
) -> tuple[IntArray, IntArray, FloatArray]:
    """Find bonds, also through the faces of a periodic cell, in both directions.

    Returns
    -------
    tuple of numpy.ndarray
        Atom (m,), its neighbour (m,), and the shift of the neighbour in whole vectors of the cell (m, 3).
    """
    radii = covalent_radii(elements)
    count = len(positions)
    images = (positions[None, :, :] + (_SHIFTS @ box)[:, None, :]).reshape(-1, 3)
    near = cKDTree(positions).sparse_distance_matrix(
        cKDTree(images), 2.0 * radii.max() + SLACK_ANGSTROM, output_type="coo_matrix"
    )
    one, image = near.row.astype(np.int64), near.col.astype(np.int64)
    other = image % count
    bonded = _are_bonded(elements, radii, one, other, near.data)
    return one[bonded], other[bonded], _SHIFTS[image[bonded] // count]
