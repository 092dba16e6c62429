"""Writes observations as a correlator does: one UVH5 file per subband, with a phase centre for each integration.

Promises that pyuvdata reads them (``file_type="uvh5"``), and that a file has its name only once it is whole. The format is
UVH5 1.2 (pyuvdata memo "UVH5"). Visibilities are those of `visibilities` with (u, v, w) from antenna 1 to antenna 2.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
from astropy import units
from astropy.coordinates import ICRS, AltAz, EarthLocation, SkyCoord
from astropy.time import Time
from astropy.utils import iers

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]

POLARISATIONS = {"XX": -5, "YY": -6, "XY": -7, "YX": -8, "RR": -1, "LL": -2, "RL": -3, "LR": -4}
SECONDS = 86_400.0
NORTH = 1e-4  # rad to either side over which north is taken
SIDEREAL_RATE = 2.0 * math.pi * 1.002737909350795 / SECONDS  # rad/s


@dataclass(frozen=True, slots=True)
class Header:
    """What all subbands of an observation share.

    Parameters
    ----------
    telescope, location
        Name and site.
    names, positions : (n, 3)
        Of all stations of the telescope, metres (ITRS). Numbers in the files count these from 1.
    diameter
        Of a dish in metres.
    antenna1, antenna2 : (row,)
        Numbers into `names` from 0.
    moment : (row,)
        Number of the integration, from 0.
    time : (t,)
        Middles of integrations as MJD in seconds (UTC).
    interval
        Seconds.
    centres : (t, 2)
        Phase centres in radians (ICRS).
    uvw : (row, 3)
        Metres, from antenna 1 to antenna 2.
    apparent
        Columns by name, each (t,) in radians (see `apparent`).
    """

    telescope: str
    location: EarthLocation
    names: tuple[str, ...]
    positions: Floats
    diameter: float
    antenna1: Integers
    antenna2: Integers
    moment: Integers
    time: Floats
    interval: float
    centres: Floats
    uvw: Floats
    apparent: Mapping[str, Floats]


def meridian(location: EarthLocation, time: Floats, declination: float) -> Floats:
    """The phase centres of a drift scan: right ascension on the meridian, and a declination, radians (ICRS), shape (t, 2).

    `time` (t,) is MJD in seconds (UTC), `declination` in radians.
    """
    height = np.pi / 2.0 - abs(location.lat.rad - declination)
    azimuth = np.pi if declination < location.lat.rad else 0.0
    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("auto_max_age", None):
        frame = AltAz(obstime=Time(time / SECONDS, format="mjd", scale="utc"), location=location)
        found = SkyCoord(
            az=np.full(len(time), azimuth) * units.rad,
            alt=np.full(len(time), height) * units.rad,
            frame=frame,
        ).transform_to(ICRS())
    return np.column_stack([np.mod(found.ra.rad, 2.0 * np.pi), np.full(len(time), declination)])


def transit(location: EarthLocation, after: float, ra: float, declination: float) -> float:
    """The first moment after `after` at which a right ascension is on the meridian: MJD in seconds (UTC), radians."""
    found = after
    for _ in range(3):
        now = meridian(location, np.array([found]), declination)[0, 0]
        ahead = (ra - now) % (2.0 * np.pi)
        if found > after and ahead > np.pi:
            ahead -= 2.0 * np.pi
        found += ahead / SIDEREAL_RATE
    return found


def axes_of(location: EarthLocation, time: Floats, centres: Floats) -> Floats:
    """East, north and towards the phase centre, as seen from the site, in ITRS: shape (t, 3, 3).

    North is towards ICRS's pole at the phase centre; precession, nutation, aberration and polar motion are those of astropy.
    """
    step = np.array([0.0, NORTH])
    here = _direction(location, time, centres)
    there = _direction(location, time, centres + step) - _direction(location, time, centres - step)
    north = there - here * np.sum(here * there, axis=1, keepdims=True)
    north /= np.linalg.norm(north, axis=1, keepdims=True)
    return np.stack([np.cross(north, here), north, here], axis=1)


def _direction(location: EarthLocation, time: Floats, places: Floats) -> Floats:
    """Unit vectors (t, 3) in ITRS towards places in radians (ICRS), as seen from the site without refraction."""
    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("auto_max_age", None):
        frame = AltAz(obstime=Time(time / SECONDS, format="mjd", scale="utc"), location=location)
        seen = SkyCoord(ra=places[:, 0] * units.rad, dec=places[:, 1] * units.rad, frame="icrs").transform_to(
            frame
        )
    azimuth, height = seen.az.rad, seen.alt.rad
    east, north, up = np.cos(height) * np.sin(azimuth), np.cos(height) * np.cos(azimuth), np.sin(height)
    lon, lat = location.lon.rad, location.lat.rad
    outward = np.cos(lat) * up - np.sin(lat) * north
    found: Floats = np.column_stack(
        [
            np.cos(lon) * outward - np.sin(lon) * east,
            np.sin(lon) * outward + np.cos(lon) * east,
            np.sin(lat) * up + np.cos(lat) * north,
        ]
    )
    return found


def apparent(location: EarthLocation, time: Floats, centres: Floats) -> dict[str, Floats]:
    """Sidereal time, apparent place and the angle from apparent to ICRS's north, each (t,), in radians.

    The names are those of UVH5. `time` is MJD in seconds (UTC), `centres` (t, 2) in radians (ICRS).
    """
    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("auto_max_age", None):
        moments = Time(time / SECONDS, format="mjd", scale="utc", location=location)
        sidereal = moments.sidereal_time("apparent").rad
    _, north, here = np.moveaxis(axes_of(location, time, centres), 1, 0)
    angle = location.lon.rad - np.arctan2(here[:, 1], here[:, 0])
    east = np.cross([0.0, 0.0, 1.0], here)
    pole = np.cross(here, east)
    return {
        "lst_array": np.mod(sidereal, 2.0 * np.pi),
        "phase_center_app_ra": np.mod(sidereal - angle, 2.0 * np.pi),
        "phase_center_app_dec": np.arcsin(here[:, 2]),
        "phase_center_frame_pa": np.arctan2(np.sum(north * east, axis=1), np.sum(north * pole, axis=1)),
    }


def write_subband(
    path: Path,
    header: Header,
    *,
    frequency: Floats,
    width: float,
    polarisations: tuple[str, ...],
    data: npt.NDArray[np.complex64],
    extra: Mapping[str, str | int | float],
) -> None:
    """Write one file.

    Parameters
    ----------
    path
        Where; while it is written it ends in ``.part``.
    header
        What subbands share.
    frequency : (channel,)
        Hz, in the order of the data.
    width
        Of a channel in Hz.
    polarisations
        Names in the order of the data.
    data : (row, channel, polarisation)
        Visibilities.
    extra
        Keywords of the correlator.
    """
    part = path.with_name(path.name + ".part")
    with h5py.File(part, "w") as file:
        _write_header(file.create_group("Header"), header, frequency, width, polarisations, extra)
        group = file.create_group("Data")
        group.create_dataset("visdata", data=data)
        chunks = (min(4096, data.shape[0]), data.shape[1], data.shape[2])
        for name, kind, value in (("flags", bool, False), ("nsamples", np.float32, 1.0)):
            made = group.create_dataset(name, data.shape, kind, chunks=chunks, compression="lzf")
            for first in range(0, data.shape[0], chunks[0]):
                made[first : first + chunks[0]] = value
    part.replace(path)


def _write_header(
    group: h5py.Group,
    header: Header,
    frequency: Floats,
    width: float,
    polarisations: tuple[str, ...],
    extra: Mapping[str, str | int | float],
) -> None:
    rows, moments = len(header.moment), len(header.time)
    site = header.location
    for name, value in _facts(header, len(frequency), len(polarisations)).items():
        group[name] = value
    group["antenna_names"] = np.array([name.encode() for name in header.names])
    group["antenna_numbers"] = np.arange(1, len(header.names) + 1, dtype=np.int32)
    group["antenna_positions"] = header.positions - [site.x.value, site.y.value, site.z.value]
    group["antenna_diameters"] = np.full(len(header.names), header.diameter)
    group["ant_1_array"] = header.antenna1 + np.int32(1)
    group["ant_2_array"] = header.antenna2 + np.int32(1)
    group["time_array"] = (header.time / SECONDS + 2_400_000.5)[header.moment]
    group["integration_time"] = np.full(rows, header.interval)
    group["uvw_array"] = header.uvw.astype(np.float32)
    group["freq_array"] = frequency
    group["channel_width"] = np.full(len(frequency), width)
    group["spw_array"] = np.zeros(1, np.int32)
    group["flex_spw_id_array"] = np.zeros(len(frequency), np.int32)
    group["polarization_array"] = np.array([POLARISATIONS[name] for name in polarisations], np.int32)
    group["phase_center_id_array"] = header.moment
    for name, values in header.apparent.items():
        group[name] = values[header.moment]
    catalogue = group.create_group("phase_center_catalog")
    for number in range(moments):
        entry = catalogue.create_group(str(number))
        entry["cat_name"] = np.bytes_(f"drift{number:03d}")
        entry["cat_type"] = np.bytes_("sidereal")
        entry["cat_lon"], entry["cat_lat"] = header.centres[number]
        entry["cat_frame"] = np.bytes_("icrs")
        entry["cat_epoch"] = 2000.0
    keywords = group.create_group("extra_keywords")
    for name, value in extra.items():
        keywords[name] = np.bytes_(value) if isinstance(value, str) else value


def _facts(header: Header, channels: int, products: int) -> dict[str, object]:
    used = np.union1d(header.antenna1, header.antenna2)
    baselines = int(np.count_nonzero(header.moment == 0))
    site = header.location
    return {
        "version": np.bytes_("1.2"),
        "telescope_name": np.bytes_(header.telescope),
        "instrument": np.bytes_(header.telescope),
        "history": np.bytes_("simulated"),
        "vis_units": np.bytes_("uncalib"),
        "telescope_frame": np.bytes_("itrs"),
        "latitude": site.lat.deg,
        "longitude": site.lon.deg,
        "altitude": site.height.value,
        "Nants_data": len(used),
        "Nants_telescope": len(header.names),
        "Nbls": baselines,
        "Nblts": len(header.moment),
        "Nfreqs": channels,
        "Npols": products,
        "Nspws": 1,
        "Ntimes": len(header.time),
        "Nphase": len(header.time),
        "blts_are_rectangular": True,
        "time_axis_faster_than_bls": False,
    }
