"""Directions on the sky and baselines seen from them: sidereal time, ICRS and apparent places, uvw, phase rotation.

Promises float64 throughout, and Earth orientation from the tables that come with astropy. Never asks the network.
"""

from functools import cache
from typing import Any

import erfa
import numpy as np
import numpy.typing as npt
from astropy.coordinates import EarthLocation
from astropy.utils import iers
from numba import njit, prange

from .visibilities import SPEED_OF_LIGHT, Floats, Integers

DAY = 86400.0
ARCSEC = np.pi / 180 / 3600
_MJD = 2400000.5
_RESTART = 64  # channels after which the recurrence of a phasor begins anew
_NORTH = 1e-6  # rad, step to the north along which the direction of north is found


@cache
def _orientation() -> Any:
    return iers.IERS_A.open(iers.IERS_A_FILE)


def earth_orientation(time: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
    """UT1 − UTC in seconds and the pole's coordinates in radians at MJDs in seconds (UTC).

    From IERS Bulletin A as bundled; outside of its range (1973 to a year after its release) the values are those of
    its nearest end, which then cost at most 0.9 s of rotation.
    """
    table = _orientation()
    days = np.asarray(time, dtype=np.float64) / DAY
    known = np.asarray(table["MJD"].value, dtype=np.float64)
    use = np.isfinite(np.asarray(table["UT1_UTC"].value, dtype=np.float64))
    known = known[use]
    ut1 = _between(days, known, np.asarray(table["UT1_UTC"].value, dtype=np.float64)[use])
    x = np.interp(days, known, np.asarray(table["PM_x"].to_value("rad"), dtype=np.float64)[use])
    y = np.interp(days, known, np.asarray(table["PM_y"].to_value("rad"), dtype=np.float64)[use])
    return ut1, x, y


def _between(days: Floats, known: Floats, ut1: Floats) -> Floats:
    """UT1 − UTC between two days of the table, of which a leap second may part them."""
    after = np.clip(np.searchsorted(known, days, side="right"), 1, len(known) - 1)
    low, high = ut1[after - 1], ut1[after]
    step = np.rint(high - low)
    part = np.clip((days - known[after - 1]) / (known[after] - known[after - 1]), 0.0, 1.0)
    found: Floats = low + part * (high - step - low)
    return found


@cache
def _place(x: float, y: float, z: float) -> tuple[float, float, float]:
    place = EarthLocation.from_geocentric(x, y, z, unit="m")
    return float(place.lon.rad), float(place.lat.rad), float(place.height.to_value("m"))


def _context(time: Floats, origin: Floats) -> tuple[Any, Floats, Floats]:
    """Star-independent parameters, equation of the origins, and the matrices from CIRS to ITRS: (time, 3, 3)."""
    ut1, x, y = earth_orientation(time)
    longitude, latitude, height = _place(*(float(one) for one in origin))
    day = np.floor(time / DAY)
    first, second = _MJD + day, time / DAY - day
    astrom, origins = erfa.apco13(first, second, ut1, longitude, latitude, height, x, y, 0.0, 0.0, 0.0, 1.0)
    tt1, tt2 = erfa.taitt(*erfa.utctai(first, second))
    rotation = erfa.era00(*erfa.utcut1(first, second, ut1))
    pole = erfa.pom00(x, y, erfa.sp00(tt1, tt2))
    spin = np.zeros((*np.shape(time), 3, 3))
    spin[..., 0, 0] = spin[..., 1, 1] = np.cos(rotation)
    spin[..., 0, 1] = np.sin(rotation)
    spin[..., 1, 0] = -spin[..., 0, 1]
    spin[..., 2, 2] = 1.0
    return astrom, np.asarray(origins), pole @ spin


def sidereal_time(time: npt.ArrayLike, origin: npt.ArrayLike) -> Floats:
    """Local apparent sidereal time in radians.

    Parameters
    ----------
    time : (n,) array
        MJD in seconds (UTC).
    origin : (3,) array
        The place, metres (ITRS).
    """
    astrom, origins, _ = _context(np.asarray(time, dtype=np.float64), np.asarray(origin, dtype=np.float64))
    found: Floats = np.mod(astrom["eral"] - origins, 2 * np.pi)
    return found


def apparent(time: npt.ArrayLike, centre: npt.ArrayLike, origin: npt.ArrayLike) -> Floats:
    """Apparent (true equator and equinox of date) from ICRS: (n, 2) in radians, for (n,) times, (n, 2) or (2,) places.

    Raises
    ------
    ValueError
        If numbers of times and places differ.
    """
    times, centres = _paired(time, centre)
    astrom, origins, _ = _context(times, np.asarray(origin, dtype=np.float64))
    ra, dec = erfa.atciqz(centres[:, 0], centres[:, 1], astrom)
    return np.stack([np.mod(ra - origins, 2 * np.pi), dec], axis=1)


def horizon_to_icrs(
    time: npt.ArrayLike, azimuth: npt.ArrayLike, elevation: npt.ArrayLike, origin: npt.ArrayLike
) -> Floats:
    """Where in ICRS a telescope at rest points: (n, 2) in radians. The zenith is elevation π/2.

    Parameters
    ----------
    time : (n,) array
        MJD in seconds (UTC).
    azimuth, elevation : scalar or (n,) array
        Radians; azimuth from north through east. No refraction.
    origin : (3,) array
        The place, metres (ITRS).
    """
    times = np.atleast_1d(np.asarray(time, dtype=np.float64))
    place = np.asarray(origin, dtype=np.float64)
    astrom, _, matrix = _context(times, place)
    longitude, latitude, _ = _place(*(float(one) for one in place))
    east = np.array([-np.sin(longitude), np.cos(longitude), 0.0])
    up = np.array(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)]
    )
    north = np.cross(up, east)
    az, el = np.broadcast_to(azimuth, times.shape), np.broadcast_to(elevation, times.shape)
    local = np.stack([np.cos(el) * np.sin(az), np.cos(el) * np.cos(az), np.sin(el)], axis=1)
    itrs = local @ np.stack([east, north, up])
    cirs = np.einsum("tji,tj->ti", matrix, itrs)
    ra, dec = erfa.aticq(np.arctan2(cirs[:, 1], cirs[:, 0]), np.arcsin(np.clip(cirs[:, 2], -1, 1)), astrom)
    return np.stack([np.mod(ra, 2 * np.pi), dec], axis=1)


def station_uvw(time: npt.ArrayLike, centre: npt.ArrayLike, positions: npt.ArrayLike) -> Floats:
    """Coordinates of stations along (east, north, phase centre): shape (time, station, 3), metres.

    The uvw of a baseline is the difference: in a Measurement Set that of antenna1 less that of antenna2. w is along the apparent
    direction of the centre (with aberration and the deflection by the Sun), u and v are turned to the ICRS north there,
    as pyuvdata has them (memo "Phasing and uvw"). Unlike pyuvdata's, the pole's motion is in them: 0.5 arcsec at
    most, 2.4 mm per kilometre.

    Parameters
    ----------
    time : (n,) array
        MJD in seconds (UTC).
    centre : (n, 2) or (2,) array
        Right ascension and declination in radians (ICRS).
    positions : (station, 3) array
        Metres (ITRS), absolute. Differences are taken from their mean.
    """
    times, centres = _paired(time, centre)
    places = np.asarray(positions, dtype=np.float64)
    origin = places.mean(axis=0)
    astrom, _, matrix = _context(times, origin)
    axes = np.einsum("tij,taj->tai", matrix, _axes(centres, astrom))
    found: Floats = np.einsum("tai,si->tsa", axes, places - origin)
    return found


def _axes(centres: Floats, astrom: Any) -> Floats:
    """East, north and the apparent direction itself as unit vectors in CIRS: (n, 3, 3)."""
    back = np.where(centres[:, 1] > 0, -1.0, 1.0)  # away from the nearer pole
    toward = unit_vectors(*erfa.atciqz(centres[:, 0], centres[:, 1], astrom))
    other = unit_vectors(*erfa.atciqz(centres[:, 0], centres[:, 1] + back * _NORTH, astrom))
    north = (other - toward) * back[:, None]
    north -= np.sum(north * toward, axis=1, keepdims=True) * toward
    north /= np.linalg.norm(north, axis=1, keepdims=True)
    return np.stack([np.cross(north, toward), north, toward], axis=1)


def baseline_uvw(
    time: Floats, centre: Floats, positions: Floats, antenna1: Integers, antenna2: Integers
) -> Floats:
    """Uvw of rows from antenna2 to antenna1, metres: shape (row, 3). Rows of equal time and centre are computed once.

    Parameters
    ----------
    time : (row,) array
        MJD in seconds (UTC).
    centre : (row, 2) array
        Right ascension and declination in radians (ICRS).
    positions : (station, 3) array
        Metres (ITRS).
    antenna1, antenna2 : (row,) int array
        Numbers into `positions`.
    """
    _, first, number = np.unique(
        np.column_stack([time, centre]), axis=0, return_index=True, return_inverse=True
    )
    number = number.reshape(-1)
    stations = station_uvw(time[first], centre[first], positions)
    found: Floats = stations[number, antenna1] - stations[number, antenna2]
    return found


def frame(centre: npt.ArrayLike) -> Floats:
    """East, north and the direction itself of one place (2,) in radians, as rows of a (3, 3) matrix."""
    ra, dec = np.asarray(centre, dtype=np.float64)
    return np.array(
        [
            [-np.sin(ra), np.cos(ra), 0.0],
            [-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)],
            [np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)],
        ]
    )


def rotate(
    data: npt.NDArray[np.complex64],
    uvw: Floats,
    frequency: Floats,
    field: Integers,
    centres: Floats,
    centre: npt.ArrayLike,
    *,
    out: npt.NDArray[np.complex64] | None = None,
) -> tuple[npt.NDArray[np.complex64], Floats]:
    """Bring rows of several phase centres to one: visibilities and uvw.

    The baselines are turned as vectors, so a source stays where the formula of `Visibilities` puts it, to
    rounding. (Aberration differs between two centres by 1e-4 of their distance; 0.1 arcsec over half a degree.)

    Parameters
    ----------
    data : (row, channel, polarisation) complex64
    uvw : (row, 3)
        Metres.
    frequency : (channel,)
        Hz, evenly spaced.
    field : (row,)
        Number into `centres`.
    centres : (field, 2)
        Radians.
    centre : (2,)
        The new one, radians.
    out
        Where the visibilities go; may be `data` itself. A new array if None.

    Raises
    ------
    ValueError
        If the channels are not evenly spaced.
    """
    steps = np.diff(frequency)
    step = float(steps.mean()) if steps.size else 0.0
    if steps.size and np.abs(frequency - frequency[0] - step * np.arange(frequency.size)).max() > 0.01 * abs(
        step
    ):
        raise ValueError(f"channels: found steps from {steps.min()} to {steps.max()} Hz; expected equal ones")
    new = frame(centre)
    turns = np.stack([new @ frame(one).T for one in centres])
    turned: Floats = np.einsum("rij,rj->ri", turns[field], uvw)
    result = np.empty_like(data) if out is None else out
    _turn_phases(data, (uvw[:, 2] - turned[:, 2]) / SPEED_OF_LIGHT, float(frequency[0]), step, result)
    return result, turned


def turn_phases(
    data: npt.NDArray[np.complex64], metres: Floats, frequency: Floats, out: npt.NDArray[np.complex64]
) -> None:
    """Multiply every row by ``exp(2πi ν/c metres)``: (row, channel, polarisation), evenly spaced channels."""
    step = float(frequency[-1] - frequency[0]) / max(1, frequency.size - 1)
    _turn_phases(data, metres / SPEED_OF_LIGHT, float(frequency[0]), step, out)


@njit(cache=True, parallel=True)  # type: ignore[untyped-decorator]
def _turn_phases(
    data: npt.NDArray[np.complex64],
    delay: Floats,
    lowest: float,
    step: float,
    out: npt.NDArray[np.complex64],
) -> None:
    rows, channels, polarisations = data.shape
    for row in prange(rows):
        turn = 2 * np.pi * delay[row]
        advance = complex(np.cos(turn * step), np.sin(turn * step))
        phasor = complex(1.0, 0.0)
        for channel in range(channels):
            if channel % _RESTART == 0:
                angle = turn * (lowest + step * channel)
                phasor = complex(np.cos(angle), np.sin(angle))
            here = np.complex64(phasor)
            for polarisation in range(polarisations):
                out[row, channel, polarisation] = data[row, channel, polarisation] * here
            phasor *= advance


def mean_direction(centres: npt.ArrayLike) -> tuple[float, float]:
    """Mean of places (n, 2) in radians, as unit vectors: right across 0/360 degrees. RA is within [0, 2π).

    Raises
    ------
    ValueError
        If the places cancel one another.
    """
    places = np.atleast_2d(np.asarray(centres, dtype=np.float64))
    mean = unit_vectors(places[:, 0], places[:, 1]).mean(axis=0)
    length = float(np.linalg.norm(mean))
    if not length > 1e-9:
        raise ValueError("places: found such as cancel one another, or none; expected a mean direction")
    return float(np.mod(np.arctan2(mean[1], mean[0]), 2 * np.pi)), float(np.arcsin(mean[2] / length))


def unit_vectors(ra: Floats, dec: Floats) -> Floats:
    """Directions in radians as vectors of length 1: shape (…, 3)."""
    found: Floats = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)
    return found


def _paired(time: npt.ArrayLike, centre: npt.ArrayLike) -> tuple[Floats, Floats]:
    times = np.atleast_1d(np.asarray(time, dtype=np.float64))
    centres = np.asarray(centre, dtype=np.float64)
    if centres.ndim == 1:
        centres = np.broadcast_to(centres, (times.size, 2))
    if centres.shape != (times.size, 2):
        raise ValueError(
            f"centre: found shape {centres.shape}; expected ({times.size}, 2), one place for each time"
        )
    return times, centres
