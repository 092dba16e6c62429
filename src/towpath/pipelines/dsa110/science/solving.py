"""Solves a group of observations: looks at its Measurement Sets, takes the rung of the ladder, makes the tables.

Promises that only headers of the group are read until the choice is made, and that the tables are made of flagged data of
one observation, against a model that is seen through the primary beam.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .beam import Beam, Pointings, separation
from .calibrators import Calibrator, find_calibrator, sky_of
from .choosing import Member, Seen
from .coordinates import mean_direction
from .flagging import Flagged, FlagSettings, flag
from .gain_sums import GainSums, Scene
from .measurement_set import opened, read_centres, read_visibilities
from .predict import apparent_flux, predict
from .sky import Sky
from .solutions import Solutions
from .solve import solve_bandpass, solve_sums, sum_for_gains
from .visibilities import Visibilities

Floats = npt.NDArray[np.float64]

_APART = np.radians(30.0 / 3600.0)  # a catalogued source this near to the calibrator is the calibrator
_EPOCH = datetime(1858, 11, 17, tzinfo=UTC)  # of MJD


@dataclass(frozen=True, slots=True)
class Observed:
    """What the header of a Measurement Set tells: `time` is its middle, MJD in seconds; `centres` (field, 2) radians."""

    path: Path
    key: str
    time: float
    centres: Floats
    frequency: float


def look(path: Path, key: str) -> Observed:
    """Read the header of a Measurement Set."""
    with opened(path) as main:
        rows = main.nrows()
        begin, end = main.getcell("TIME", 0), main.getcell("TIME", rows - 1)
    with opened(path / "SPECTRAL_WINDOW") as windows:
        frequency = float(np.mean(windows.getcell("CHAN_FREQ", 0)))
    return Observed(path, key, (begin + end) / 2.0, read_centres(path), frequency)


def member_of(
    observed: Observed, table: Sequence[Calibrator], beam: Beam, reference: Sky | None, *, radius: float
) -> Member:
    """What the ladder asks of an observation: calibrators in its field as seen, and the catalogued flux there.

    Parameters
    ----------
    observed
        The observation.
    table
        Known calibrators.
    beam
        The primary beam.
    reference
        Catalogued sources, or None.
    radius
        Of the field in radians.
    """
    pointings = Pointings(beam, observed.centres)
    ra, dec = mean_direction(observed.centres)
    match = find_calibrator(table, observed.centres, radius=radius, frequency=observed.frequency)
    seen: tuple[Seen, ...] = ()
    if match:
        sky = sky_of(match.calibrator, observed.frequency)
        flux = float(sky.flux[0] * pointings.power(sky.ra, sky.dec, observed.frequency)[0])
        seen = (Seen(match.calibrator.name, flux, float(separation(sky.ra, sky.dec, ra, dec)[0])),)
    catalogued = 0.0
    if reference is not None:
        near = separation(reference.ra, reference.dec, ra, dec) < radius
        power = pointings.power(reference.ra[near], reference.dec[near], observed.frequency)
        catalogued = float((reference.flux[near] * power).sum())
    return Member(observed.key, dec, seen, catalogued)


def field_sky(
    observed: Observed, calibrator: Sky | None, reference: Sky | None, *, radius: float
) -> list[Sky]:
    """The model of a field: the calibrator, and what else is catalogued within `radius` (radians)."""
    ra, dec = mean_direction(observed.centres)
    found = [calibrator] if calibrator else []
    if reference is not None:
        keep = separation(reference.ra, reference.dec, ra, dec) < radius
        if calibrator:
            keep &= separation(reference.ra, reference.dec, calibrator.ra[0], calibrator.dec[0]) > _APART
        if keep.any():
            found.append(reference.take(keep))
    return found


@dataclass(frozen=True, slots=True)
class Prepared:
    """Flagged visibilities of the observation to solve on, and the model of them, (row, channel, 1)."""

    visibilities: Visibilities
    model: npt.NDArray[np.complex64]
    flagged: Flagged


def prepare(observed: Observed, skies: Sequence[Sky], beam: Beam, flags: FlagSettings) -> Prepared:
    """Read and flag an observation and predict its model through the primary beam.

    Raises
    ------
    ValueError
        If there is no source to solve on.
    """
    if not skies:
        raise ValueError(f"observation {observed.key}: no source to solve on")
    vis = read_visibilities(observed.path)
    flagged = flag(vis, flags)
    model: npt.NDArray[np.complex64] | None = None
    for sky in skies:
        flux = apparent_flux(sky, beam, vis.centres, vis.frequency)
        seen = predict(sky, flux, uvw=vis.uvw, field=vis.field, centres=vis.centres, frequency=vis.frequency)
        model = seen if model is None else model + seen
    assert model is not None
    return Prepared(vis, model[:, :, None], flagged)


def bandpass_of(prepared: Prepared, *, min_snr: float, pre_phase: float, uv_min: float) -> Solutions:
    """The bandpass (see `solve.solve_bandpass`); `pre_phase` in seconds, 0 for none."""
    found = solve_bandpass(
        prepared.visibilities, prepared.model, min_snr=min_snr, pre_phase=pre_phase or None, uv_min=uv_min
    )
    return _told(found, _present(prepared.visibilities))


def sums_of(prepared: Prepared, bandpass: Solutions, *, uv_min: float) -> GainSums:
    """The sums from which gains are solved after the bandpass."""
    return sum_for_gains(prepared.visibilities, prepared.model, bandpass=bandpass, uv_min=uv_min)


def scene_of(vis: Visibilities, *, telescope: str, measurement_set: str) -> Scene:
    """What tables of solutions on these visibilities say beside their numbers."""
    centre = vis.centres[len(vis.centres) // 2]
    return Scene(
        stations=vis.stations,
        present=_present(vis),
        centre=(float(centre[0]), float(centre[1])),
        frequency=vis.frequency,
        width=vis.width,
        telescope=telescope,
        measurement_set=measurement_set,
    )


def gains_of(sums: GainSums, scene: Scene, *, min_snr: float, interval: float, reference: int) -> Solutions:
    """Gains after the bandpass (see `solve.solve_gains`); `interval` in seconds, 0 for one solution."""
    found = solve_sums(sums, interval=interval or np.inf, min_snr=min_snr, reference=reference)
    return _told(found, scene.present)


def _present(vis: Visibilities) -> tuple[int, ...]:
    """The stations that were observed with: an array has more places than receivers."""
    cross = vis.is_cross
    return tuple(np.union1d(vis.antenna1[cross], vis.antenna2[cross]).tolist())


def _told(found: Solutions, present: tuple[int, ...]) -> Solutions:
    return replace(found, facts={**found.facts, "present": list(present)})


def moment(mjd_seconds: float) -> str:
    """A time as ISO 8601 (UTC), to the second."""
    return (_EPOCH + timedelta(seconds=round(mjd_seconds))).strftime("%Y-%m-%dT%H:%M:%SZ")


def mjd_seconds(text: str) -> float:
    """MJD in seconds of a time that `moment` wrote."""
    return (datetime.fromisoformat(text) - _EPOCH).total_seconds()
