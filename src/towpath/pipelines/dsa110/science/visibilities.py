"""Visibilities in memory: what every step from flagging to imaging works on.

Promises one convention: that of Measurement Sets. Frequencies ascend. Never touches a disk.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SPEED_OF_LIGHT = 299_792_458.0  # m/s

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Stations:
    """The stations of an array: `names`, `positions` (n, 3) in metres (ITRS), `diameter` (n,) in metres."""

    names: tuple[str, ...]
    positions: Floats
    diameter: Floats


@dataclass(frozen=True, slots=True)
class Visibilities:
    """Rows (one baseline at one time) × channels × polarisations.

    The visibility of a point source of flux density S in the direction (l, m) from the phase centre of its row is
    ``S exp(+2πi ν/c (u l + v m + w (n − 1)))`` with ``n = sqrt(1 − l² − m²)``, l to the east, m to the north, and
    (u, v, w) as a Measurement Set has them, from `antenna2` to `antenna1`.

    Parameters
    ----------
    uvw : (row, 3) float64
        Metres.
    time, interval : (row,) float64
        Middle of the integration as MJD in seconds (UTC), and its length in seconds.
    antenna1, antenna2 : (row,) int32
        Numbers into `stations`; equal for autocorrelations.
    field : (row,) int32
        Number into `centres`.
    centres : (field, 2) float64
        Phase centres: right ascension and declination in radians (ICRS).
    frequency : (channel,) float64
        Hz, ascending.
    width : float
        Of a channel, in Hz.
    polarisations
        Such as ("XX", "YY").
    data : (row, channel, polarisation) complex64
        Jy, once calibrated.
    flags : (row, channel, polarisation) bool
        True where the data are not to be used.
    weights : (row, channel, polarisation) float32
        Inverse variances of the real (or imaginary) part, up to a common factor.
    """

    uvw: Floats
    time: Floats
    interval: Floats
    antenna1: Integers
    antenna2: Integers
    field: Integers
    centres: Floats
    frequency: Floats
    width: float
    polarisations: tuple[str, ...]
    data: npt.NDArray[np.complex64]
    flags: npt.NDArray[np.bool_]
    weights: npt.NDArray[np.float32]
    stations: Stations

    @property
    def is_cross(self) -> npt.NDArray[np.bool_]:
        """Which rows are of two different stations: shape (row,)."""
        found: npt.NDArray[np.bool_] = self.antenna1 != self.antenna2
        return found
