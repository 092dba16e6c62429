"""What must hold of a Measurement Set before it is used: phase centres, frequencies, baselines, names, places, data.

Promises a sentence for everything that is broken, not only for the first. Changes nothing.
"""

from pathlib import Path
from typing import Any

import numpy as np

from .beam import separation
from .coordinates import ARCSEC, baseline_uvw
from .instrument import Profile
from .measurement_set import opened, read_centres, read_stations, subtable


def check_measurement_set(
    path: Path, profile: Profile, *, rows: int | None = None, times: tuple[float, float] | None = None
) -> list[str]:
    """Return the invariants that a Measurement Set breaks, each with place, found and expected; none if it is good.

    Parameters
    ----------
    path
        A set such as `convert` makes.
    profile
        Of its instrument.
    rows
        How many it must have; any above 0 if None.
    times
        MJD in days between which all integrations must lie; 2000 to 2100 if None.

    Raises
    ------
    MeasurementSetError
        If it is no whole table.
    """
    with opened(path) as main:
        count = main.nrows()
        if count == 0 or (rows is not None and count != rows):
            return [f"rows: found {count}; expected {rows or 'some'}"]
        found = [] if "DATA" in main.colnames() else ["columns: found no DATA; expected it"]
        get = {name: main.getcol(name) for name in ("TIME", "UVW", "ANTENNA1", "ANTENNA2", "FIELD_ID")}
        if not found:
            found += _check_data(main, profile)
        epoch = main.getcolkeywords("TIME").get("MEASINFO", {}).get("Ref")
        if epoch != "UTC":
            found.append(f"TIME: found epoch {epoch}; expected UTC")
    low, high = times or (51544.0, 88069.0)
    days = get["TIME"] / 86400
    if not ((days >= low) & (days <= high)).all():
        found.append(f"TIME: found MJD {days.min()} to {days.max()}; expected {low} to {high}")
    return found + _check_tables(path, profile) + _check_uvw(path, profile, get)


def _check_data(main: Any, profile: Profile) -> list[str]:
    shape = (profile.frequencies.size, len(profile.polarisations))
    for row in sorted({0, main.nrows() // 2, main.nrows() - 1}):
        if not main.iscelldefined("DATA", row):
            return [f"DATA row {row}: found no cell; expected one in every row"]
        cell = main.getcell("DATA", row)
        if cell.shape != shape:
            return [f"DATA row {row}: found shape {cell.shape}; expected {shape}"]
        if not np.isfinite(cell[~main.getcell("FLAG", row)]).all():
            return [f"DATA row {row}: found NaN or infinity without a flag; expected finite numbers"]
    return []


def _check_tables(path: Path, profile: Profile) -> list[str]:
    found = []
    with opened(path / "SPECTRAL_WINDOW") as windows:
        frequency = windows.getcell("CHAN_FREQ", 0)
    if (np.diff(frequency) <= 0).any():
        found.append("CHAN_FREQ: found frequencies that descend; expected ascending ones")
    if (
        frequency.shape != profile.frequencies.shape
        or np.abs(frequency - profile.frequencies).max() > 0.1 * profile.width
    ):
        found.append(
            f"CHAN_FREQ: found others than the profile's; expected {profile.frequencies.size} of {profile.name}"
        )
    telescope = subtable(path, "OBSERVATION")["TELESCOPE_NAME"][0]
    if telescope != profile.telescope:
        found.append(f"TELESCOPE_NAME: found {telescope!r}; expected {profile.telescope!r}")
    phase = read_centres(path)
    for column in ("REFERENCE_DIR", "DELAY_DIR"):
        apart = separation(*phase.T, *read_centres(path, column).T).max() / ARCSEC
        if not apart <= profile.phase_centre:
            found.append(
                f"FIELD {column}: found {apart:.2f} arcsec from PHASE_DIR; expected {profile.phase_centre}"
            )
    if profile.stations:
        found += _check_stations(path, profile)
    return found


def _check_stations(path: Path, profile: Profile) -> list[str]:
    stations = read_stations(path)
    known = dict(zip(profile.stations, profile.positions, strict=True))
    strange = [one for one in stations.names if one not in known]
    if strange:
        return [f"ANTENNA NAME: found {strange[:5]}; expected stations of {profile.name}"]
    apart = np.linalg.norm(stations.positions - np.array([known[one] for one in stations.names]), axis=1)
    far = int(apart.argmax())
    if apart[far] > profile.position:
        return [
            f"ANTENNA POSITION {stations.names[far]}: found {apart[far]:.3f} m off; expected {profile.position} m"
        ]
    return []


def _check_uvw(path: Path, profile: Profile, get: dict[str, Any]) -> list[str]:
    centres = read_centres(path)
    expected = baseline_uvw(
        get["TIME"], centres[get["FIELD_ID"]], read_stations(path).positions, get["ANTENNA1"], get["ANTENNA2"]
    )
    found = []
    apart = float(np.abs(get["UVW"] - expected).max())
    if not apart <= 0.01:
        found.append(f"UVW: found {apart:.4f} m from what stations and centres give; expected 0.01 m")
    cross = get["ANTENNA1"] != get["ANTENNA2"]
    if cross.any():
        length = np.linalg.norm(get["UVW"][cross], axis=1)
        low, high = profile.uvw[0] / 1.1, profile.uvw[1] * 1.1
        if not (length.min() >= low and length.max() <= high):
            found.append(
                f"UVW: found lengths {length.min():.2f} to {length.max():.2f} m; expected {low:.2f} to {high:.2f}"
            )
    return found
