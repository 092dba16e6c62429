"""Compares conformations: molecules made whole, superposed on a reference, their spread about their centre of mass.

Pure functions of arrays. Lengths are in whatever unit goes in. Nothing is done about molecules that are larger than
half of their periodic box between two neighbouring atoms.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def rmsd_after_superposition(positions: Floats, reference: Floats) -> float:
    """Give the smallest root-mean-square deviation that a shift and a rotation leave.

    The rotation is Kabsch's (1976, Acta Cryst. A 32, 922) by singular values, with the sign that forbids reflection
    (1978, Acta Cryst. A 34, 827). With centred sets of n atoms, ``n rmsd² = |P|² + |Q|² - 2 (s₁ + s₂ ± s₃)``.

    Parameters
    ----------
    positions, reference
        Of the same atoms in the same order, shape (n, 3), n ≥ 1.
    """
    here, there = positions - positions.mean(0), reference - reference.mean(0)
    left, singular, right = np.linalg.svd(here.T @ there)
    singular[2] *= np.sign(np.linalg.det(left) * np.linalg.det(right))
    square = float((here**2).sum() + (there**2).sum() - 2.0 * singular.sum()) / len(positions)
    return float(np.sqrt(max(square, 0.0)))


def radius_of_gyration(positions: Floats, masses: Floats) -> float:
    """Give ``√(Σ m |r - r_c|² / Σ m)`` about the centre of mass; positions (n, 3), masses (n,) with a positive sum."""
    centre = masses @ positions / masses.sum()
    return float(np.sqrt(masses @ ((positions - centre) ** 2).sum(1) / masses.sum()))


def make_whole(positions: Floats, box: Floats, starts: Sequence[int]) -> tuple[Floats, bool]:
    """Join molecules that the walls of a periodic box cut: every atom at the image next to the atom before it.

    Parameters
    ----------
    positions
        Shape (n, 3), molecule after molecule.
    box
        Its vectors as rows, shape (3, 3).
    starts
        Where each molecule starts, the first is 0.

    Returns
    -------
    tuple
        The joined positions, each molecule's first atom where it was, and whether any atom was moved.
    """
    steps = np.diff(positions, axis=0)
    hops = np.rint(steps @ np.linalg.inv(box))
    hops[np.asarray(starts[1:], dtype=np.intp) - 1] = 0.0
    if not hops.any():
        return positions, False
    moved = np.vstack([np.zeros(3), np.cumsum(hops, axis=0)])
    sizes = np.diff([*starts, len(positions)])
    moved -= np.repeat(moved[np.asarray(starts, dtype=np.intp)], sizes, axis=0)
    return positions - moved @ box, bool(moved.any())


def keep_together(
    positions: Floats, box: Floats, starts: Sequence[int], apart: Floats | None
) -> tuple[Floats, Floats]:
    """Place whole molecules of an assembly at the images where they lie to the first as they did before.

    Parameters
    ----------
    positions, box, starts
        As for `make_whole`, after it.
    apart
        What this returned for the reference, or None: the centres relative to the first one's, shape (m, 3); without
        it every molecule goes to the image nearest to the first.

    Returns
    -------
    tuple
        The placed positions, and the centres relative to the first one's.
    """
    sizes = np.diff([*starts, len(positions)])
    centres = np.add.reduceat(positions, np.asarray(starts, dtype=np.intp), axis=0) / sizes[:, None]
    relative = centres - centres[0]
    wanted = np.zeros_like(relative) if apart is None else apart
    moved = np.rint((relative - wanted) @ np.linalg.inv(box)) @ box
    return positions - np.repeat(moved, sizes, axis=0), relative - moved
