"""Writes instrument profiles: the files that `instrument.load_profile` reads.

Promises that what is read back is equal but for rounding of places to a tenth of a millimetre.
"""

import json
from pathlib import Path

from astropy import units
from astropy.coordinates import EarthLocation

from .instrument import Profile


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
