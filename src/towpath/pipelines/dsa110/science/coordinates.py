"""Where stations look: sidereal time, apparent places, baselines as (u, v, w), and turning to another phase centre.

Promises that nothing is downloaded: Earth orientation is that which ships with astropy (beyond its end: its last values).
(u, v, w) are as Measurement Sets have them, from the second station of a baseline to the first.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import erfa
import numba
import numpy as np
import numpy.typing as npt
from astropy import units
from astropy.coordinates import EarthLocation
from astropy.time import Time
from astropy.utils import iers

from .visibilities import SPEED_OF_LIGHT

Floats = npt.NDArray[np.float64]

_NORTH = 1e-5  # rad, the step by which the direction of north is found
_RESTART = 64  # channels, after which a phasor is computed anew


@contextmanager
def offline() -> Iterator[None]:
    """Use the tables of Earth orientation that are installed, whatever their age."""
    with (
        iers.conf.set_temp("auto_download", False),
        iers.conf.set_temp("auto_max_age", None),
        iers.conf.set_temp("iers_degraded_accuracy", "ignore"),
    ):
        yield


def times_of(mjd_seconds: Floats, location: EarthLocation) -> Time:
    """Times from MJD in seconds (UTC)."""
    return Time(np.asarray(mjd_seconds) / 86400.0, format="mjd", scale="utc", location=location)


def sidereal_time(mjd_seconds: Floats, location: EarthLocation) -> Floats:
    """Apparent local sidereal time in radians at times in seconds (MJD, UTC)."""
    with offline():
        found: Floats = times_of(mjd_seconds, location).sidereal_time("apparent").rad
    return found


def apparent(ra: Floats, dec: Floats, mjd_seconds: Floats, location: EarthLocation) -> tuple[Floats, Floats]:
    """Apparent (topocentric, without refraction) right ascension and declination of ICRS directions, in radians."""
    with offline():
        time = times_of(mjd_seconds, location)
        _, _, _, app_dec, app_ra, origin = erfa.atco13(
            ra, dec, 0.0, 0.0, 0.0, 0.0, time.utc.jd1, time.utc.jd2, time.delta_ut1_utc,
            location.lon.rad, location.lat.rad, location.height.to_value(units.m), *_pole(time),
            0.0, 0.0, 0.0, 1.0,
        )  # fmt: skip
    return np.mod(app_ra - origin, 2 * np.pi), app_dec


def on_meridian(dec: Floats | float, mjd_seconds: Floats, location: EarthLocation) -> tuple[Floats, Floats]:
    """ICRS directions (radians) that stand on the meridian at apparent declinations `dec` (radians)."""
    with offline():
        time = times_of(mjd_seconds, location)
        ra, icrs_dec = erfa.atoc13(
            "H", np.zeros(len(mjd_seconds)), np.broadcast_to(dec, len(mjd_seconds)),
            time.utc.jd1, time.utc.jd2, time.delta_ut1_utc,
            location.lon.rad, location.lat.rad, location.height.to_value(units.m), *_pole(time),
            0.0, 0.0, 0.0, 1.0,
        )  # fmt: skip
    return np.mod(ra, 2 * np.pi), icrs_dec


def zenith(mjd_seconds: Floats, location: EarthLocation) -> tuple[Floats, Floats]:
    """ICRS directions (radians) of the zenith."""
    return on_meridian(location.lat.rad, mjd_seconds, location)


def _pole(time: Time) -> tuple[Floats, Floats]:
    x, y = iers.IERS_Auto.open().pm_xy(time)
    return x.to_value(units.rad), y.to_value(units.rad)


def position_angle(ra: Floats, dec: Floats, mjd_seconds: Floats, location: EarthLocation) -> Floats:
    """The angle by which north of ICRS stands east of apparent north, in radians."""
    app_ra, app_dec = apparent(ra, dec, mjd_seconds, location)
    north_ra, north_dec = apparent(ra, np.asarray(dec) + _NORTH, mjd_seconds, location)
    delta = north_ra - app_ra
    east = np.cos(north_dec) * np.sin(delta)
    north = np.sin(north_dec) * np.cos(app_dec) - np.cos(north_dec) * np.sin(app_dec) * np.cos(delta)
    found: Floats = np.arctan2(east, north)
    return found


def station_uvw(
    positions: Floats, ra: Floats, dec: Floats, mjd_seconds: Floats, location: EarthLocation
) -> Floats:
    """(u, v, w) of stations in metres, for one phase centre per time: shape (time, station, 3).

    The (u, v, w) of a baseline in a Measurement Set are those of its first station less those of its second.

    Parameters
    ----------
    positions : (station, 3)
        Metres, ITRS; from any common origin.
    ra, dec : (time,)
        Phase centres in radians, ICRS.
    mjd_seconds : (time,)
        MJD in seconds, UTC.
    location
        The site.
    """
    app_ra, app_dec = apparent(ra, dec, mjd_seconds, location)
    angle = position_angle(ra, dec, mjd_seconds, location)
    # Greenwich hour angle: stations are in Earth-fixed axes.
    hour = sidereal_time(mjd_seconds, location) - location.lon.rad - app_ra
    sin_h, cos_h, sin_d, cos_d = np.sin(hour), np.cos(hour), np.sin(app_dec), np.cos(app_dec)
    x, y, z = (positions - positions.mean(axis=0)).T
    u = sin_h[:, None] * x + cos_h[:, None] * y
    along = cos_h[:, None] * x - sin_h[:, None] * y
    v = -sin_d[:, None] * along + cos_d[:, None] * z
    w = cos_d[:, None] * along + sin_d[:, None] * z
    sin_a, cos_a = np.sin(angle)[:, None], np.cos(angle)[:, None]
    # Axes turn with north: what stands at the angle a from apparent north is v of ICRS.
    return np.stack([u * cos_a - v * sin_a, u * sin_a + v * cos_a, w], axis=-1)


def mean_direction(ra: Floats, dec: Floats) -> tuple[float, float]:
    """The direction (radians) of the mean unit vector: right across right ascension 0 and at the poles."""
    x, y, z = (float(part.mean()) for part in unit_vectors(ra, dec).T)
    return float(np.mod(np.arctan2(y, x), 2 * np.pi)), float(np.arctan2(z, np.hypot(x, y)))


def unit_vectors(ra: Floats, dec: Floats) -> Floats:
    """Directions as vectors of length 1: shape (…, 3)."""
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def axes(centre: Floats) -> Floats:
    """Unit vectors to the east, to the north and to a phase centre (radians), as rows: shape (3, 3)."""
    ra, dec = centre
    return np.array(
        [
            [-np.sin(ra), np.cos(ra), 0.0],
            [-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)],
            [np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)],
        ]
    )


def turned_uvw(uvw: Floats, field: npt.NDArray[np.int32], centres: Floats, centre: Floats) -> Floats:
    """(u, v, w) of rows (phased to their `field` of `centres`) for one phase centre: shape (row, 3), metres."""
    turns = np.stack([axes(centre) @ axes(one).T for one in centres])
    return np.einsum("rij,rj->ri", turns[field], uvw)


def turn(data: npt.NDArray[np.complex64], path: Floats, frequency: Floats, threads: int = 2) -> None:
    """Multiply visibilities by exp(−2πi ν path / c), in place: they come to a phase centre whose w is larger by `path`.

    Parameters
    ----------
    data : (row, channel, polarisation) complex64
        Changed.
    path : (row,)
        Metres: the new w less the old one.
    frequency : (channel,)
        Hz, at equal steps.
    threads
        How many to use.
    """
    step = float(frequency[1] - frequency[0]) if len(frequency) > 1 else 0.0
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, before))
    try:
        _turn(data, path, np.ascontiguousarray(frequency, np.float64), step)
    finally:
        numba.set_num_threads(before)


@numba.njit(cache=True, parallel=True, fastmath=True)
def _turn(data: Any, path: Any, frequency: Any, step: float) -> None:
    n_channel, n_polarisation = data.shape[1], data.shape[2]
    for row in numba.prange(len(path)):
        delay = -2.0 * np.pi * path[row] / SPEED_OF_LIGHT
        by = np.complex64(complex(np.cos(delay * step), np.sin(delay * step)))
        for start in range(0, n_channel, _RESTART):
            phase = delay * frequency[start]
            now = np.complex64(complex(np.cos(phase), np.sin(phase)))
            for channel in range(start, min(start + _RESTART, n_channel)):
                for polarisation in range(n_polarisation):
                    data[row, channel, polarisation] *= now
                now *= by
