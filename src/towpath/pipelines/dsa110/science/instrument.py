"""The instrument profile: every number of a telescope that a stage uses, in one file.

Promises that a profile is checked when it is read, and that its digest changes when any number in it does. A second
instrument is a second profile.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy import units
from astropy.coordinates import EarthLocation

from .profiles import ProfileError, digest_of, read_profile


@dataclass(frozen=True, slots=True)
class Profile:
    """One instrument.

    Parameters
    ----------
    name, telescope
        What people call it, and TELESCOPE_NAME in Measurement Sets and FITS headers.
    latitude, longitude, height
        Of the site: degrees north and east, metres above the ellipsoid.
    dish
        Diameter in metres.
    beam
        Model of the primary beam (see `beam.beam_of`).
    sefd
        System equivalent flux density of one station and polarisation in Jy.
    mount
        MOUNT in Measurement Sets.
    drift
        Whether it does not track, so that every integration has its own phase centre.
    subbands, channels, width, lowest
        Files per observation, channels per subband, Hz per channel, Hz of the lowest channel's centre.
    polarisations
        Names in the order of the data: XX, XY, YX, YY.
    integration, integrations
        Seconds per integration, integrations per observation.
    stations
        Names of all stations; empty when those of the file are taken as they are.
    positions : (n, 3) array
        Their places, metres, Earth-centred Earth-fixed (ITRS).
    active : (n,) array of bool
        Which of them have a correlator input.
    uvw
        Shortest and longest possible baseline in metres.
    position
        By how much the places in a file may differ, in metres.
    phase_centre
        By how much phase and reference centre of a field may differ, in arcsec.
    digest
        sha256 of the content, hexadecimal.
    """

    name: str
    telescope: str
    latitude: float
    longitude: float
    height: float
    dish: float
    beam: str
    sefd: float
    mount: str
    drift: bool
    subbands: int
    channels: int
    width: float
    lowest: float
    polarisations: tuple[str, ...]
    integration: float
    integrations: int
    stations: tuple[str, ...]
    positions: npt.NDArray[np.float64]
    active: npt.NDArray[np.bool_]
    uvw: tuple[float, float]
    position: float
    phase_centre: float
    digest: str

    @property
    def location(self) -> EarthLocation:
        """The site."""
        return EarthLocation.from_geodetic(
            self.longitude * units.deg, self.latitude * units.deg, self.height * units.m
        )

    @property
    def frequencies(self) -> npt.NDArray[np.float64]:
        """Centres of all channels in Hz, ascending: shape (subbands × channels,)."""
        numbers = np.arange(self.subbands * self.channels, dtype=np.float64)
        found: npt.NDArray[np.float64] = self.lowest + self.width * numbers
        return found

    @property
    def duration(self) -> float:
        """Of an observation, in seconds."""
        return self.integration * self.integrations


def load_profile(name: str | Path) -> Profile:
    """The profile that ships under this name, or that lies at this path (ending in ``.toml``).

    Raises
    ------
    ProfileError
        If there is none, or it is wrong; the message names file, place, what was found and what was expected.
    """
    path, content = read_profile(name)
    return _profile(path, content)


def _profile(path: Path, content: Mapping[str, Any]) -> Profile:
    read = _Reader(path)
    site, spectrum = read.table(content, "site"), read.table(content, "spectrum")
    time, limits = read.table(content, "time"), read.table(content, "limits")
    stations = content.get("stations", [])
    places = [
        EarthLocation.from_geodetic(
            read.number(one, "longitude", f"stations[{number}]") * units.deg,
            read.number(one, "latitude", f"stations[{number}]") * units.deg,
            read.number(one, "height", f"stations[{number}]") * units.m,
        )
        for number, one in enumerate(stations)
    ]
    return Profile(
        name=read.text(content, "name"),
        telescope=read.text(content, "telescope"),
        latitude=read.number(site, "latitude", "site"),
        longitude=read.number(site, "longitude", "site"),
        height=read.number(site, "height", "site"),
        dish=read.positive(content, "dish"),
        beam=read.text(content, "beam"),
        sefd=read.positive(content, "sefd"),
        mount=read.text(content, "mount"),
        drift=bool(content.get("drift", False)),
        subbands=int(read.positive(spectrum, "subbands", "spectrum")),
        channels=int(read.positive(spectrum, "channels", "spectrum")),
        width=read.positive(spectrum, "width", "spectrum"),
        lowest=read.positive(spectrum, "lowest", "spectrum"),
        polarisations=read.polarisations(spectrum),
        integration=read.positive(time, "integration", "time"),
        integrations=int(read.positive(time, "integrations", "time")),
        stations=tuple(read.text(one, "name") for one in stations),
        positions=np.array([[place.x.value, place.y.value, place.z.value] for place in places]).reshape(
            -1, 3
        ),
        active=np.array([bool(one.get("active", True)) for one in stations], dtype=bool),
        uvw=read.pair(limits, "uvw"),
        position=read.positive(limits, "position", "limits"),
        phase_centre=read.positive(limits, "phase_centre", "limits"),
        digest=digest_of(content),
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Takes values out of a profile's tables, or says what is wrong with them."""

    path: Path

    def wrong(self, place: str, found: Any, expected: str) -> ProfileError:
        what = "nothing" if found is None else repr(found)
        return ProfileError(f"instrument profile {self.path}, {place}: found {what}; expected {expected}")

    def table(self, content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        found = content.get(key)
        if not isinstance(found, Mapping):
            raise self.wrong(f"[{key}]", found, "a table")
        return found

    def text(self, content: Mapping[str, Any], key: str) -> str:
        found = content.get(key)
        if not isinstance(found, str) or not found:
            raise self.wrong(key, found, "a text")
        return found

    def number(self, content: Mapping[str, Any], key: str, place: str = "") -> float:
        found = content.get(key)
        if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
            raise self.wrong(f"{place}.{key}".lstrip("."), found, "a number")
        return float(found)

    def positive(self, content: Mapping[str, Any], key: str, place: str = "") -> float:
        found = self.number(content, key, place)
        if found <= 0:
            raise self.wrong(f"{place}.{key}".lstrip("."), found, "a number above 0")
        return found

    def pair(self, content: Mapping[str, Any], key: str) -> tuple[float, float]:
        found = content.get(key)
        is_pair = isinstance(found, Sequence) and len(found) == 2 and 0 <= found[0] < found[1]
        if found is None or not is_pair:
            raise self.wrong(f"limits.{key}", found, "two numbers, the smaller first")
        return float(found[0]), float(found[1])

    def polarisations(self, content: Mapping[str, Any]) -> tuple[str, ...]:
        found = tuple(content.get("polarisations", ()))
        if not found or not set(found) <= {"XX", "XY", "YX", "YY", "RR", "RL", "LR", "LL"}:
            raise self.wrong("spectrum.polarisations", found, "names such as XX and YY")
        return found


# ---- writing


def write_profile(path: Path | str, profile: Profile) -> Path:
    """Write a profile as the file that `instrument.load_profile` reads."""
    path = Path(path)
    places = _geodetic(profile)
    stations = [
        f"    {{ name = {json.dumps(name)}, latitude = {lat!r}, longitude = {lon!r}, height = {height!r},"
        f" active = {str(bool(active)).lower()} }},"
        for name, (lat, lon, height), active in zip(profile.stations, places, profile.active, strict=True)
    ]
    lines = [
        f"name = {json.dumps(profile.name)}",
        f"telescope = {json.dumps(profile.telescope)}",
        f"dish = {profile.dish!r}",
        f"beam = {json.dumps(profile.beam)}",
        f"sefd = {profile.sefd!r}",
        f"mount = {json.dumps(profile.mount)}",
        f"drift = {str(profile.drift).lower()}",
        "stations = [",
        *stations,
        "]",
        "\n[site]",
        *(f"{name} = {getattr(profile, name)!r}" for name in ("latitude", "longitude", "height")),
        "\n[spectrum]",
        *(f"{name} = {getattr(profile, name)!r}" for name in ("subbands", "channels", "width", "lowest")),
        f"polarisations = {json.dumps(list(profile.polarisations))}",
        "\n[time]",
        *(f"{name} = {getattr(profile, name)!r}" for name in ("integration", "integrations")),
        "\n[limits]",
        f"uvw = {json.dumps(list(profile.uvw))}",
        *(f"{name} = {getattr(profile, name)!r}" for name in ("position", "phase_centre")),
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def _geodetic(profile: Profile) -> list[tuple[float, float, float]]:
    places = EarthLocation.from_geocentric(*(profile.positions.T * units.m)).to_geodetic()
    return [
        (round(float(lat), 10), round(float(lon), 10), round(float(height), 4))
        for lon, lat, height in zip(places.lon.deg, places.lat.deg, places.height.value, strict=True)
    ]
