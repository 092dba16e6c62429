"""Simulates drift-scan observations of a radio interferometer, in the files that its correlator writes.

A sky of point and Gaussian sources is seen through the primary beam, corrupted by gains, bandpasses, interference and dead
stations, and drowned in thermal noise. Equal arguments give equal visibilities; the truth is written outside their folder.
Neither the width of a channel nor the length of an integration smears: both are simulated at their middles.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.time import Time

from .science.beam import beam_of
from .science.calibrators import BUILT_IN, Calibrator, sky_of
from .science.instrument import Profile, load_profile, write_profile
from .science.predict import apparent_flux, predict
from .science.simulated_files import Header, apparent, axes_of, meridian, transit, write_subband
from .science.simulated_instrument import (
    Interference,
    choose_stations,
    draw_bandpass,
    draw_gains,
    draw_interference,
    noise_of,
    observe,
)
from .science.simulated_sky import (
    generate_sky,
    write_catalogue,
)
from .science.sky import Sky, joined
from .spoil import (
    spoil_duplicate,
    spoil_growing,
    spoil_jitter,
    spoil_late,
    spoil_missing,
    spoil_rival,
    spoil_truncated,
)

__all__ = [
    "Observation",
    "Settings",
    "Truth",
    "preset",
    "simulate",
    "spoil_duplicate",
    "spoil_growing",
    "spoil_jitter",
    "spoil_late",
    "spoil_missing",
    "spoil_rival",
    "spoil_truncated",
    "thinned",
    "write_catalogue",
    "write_profile",
]

Floats = npt.NDArray[np.float64]
SECONDS = 86_400.0
TOGETHER = 64  # channels predicted in one pass, or a subband
STANDARD = next(one for one in BUILT_IN if one.name == "3C138")
FAINT = (
    0.02  # share of the faintest flux drawn; what is seen through the beam with less is left out of a tile
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What to simulate.

    Parameters
    ----------
    stations
        How many of the profile's active stations; None for all.
    channels
        Per subband; fewer than the profile's are wider, over the same band. None for the profile's.
    integrations
        Per observation; fewer than the profile's are longer, over the same time. None for the profile's.
    tiles
        Observations, one after the other without a gap.
    declination
        Of the strip in degrees (ICRS); or one for each observation.
    day
        Date (UTC) after whose beginning it is observed.
    start
        Date and time of the first observation (UTC); where not given, the calibrator is on the meridian in the middle of the tile
        `calibrator_tile`.
    starts
        Dates and times of all observations, instead of `tiles` and `start`.
    calibrator, calibrator_tile
        A bright source, or None.
    sky
        Sources, instead of those drawn and the calibrator.
    faintest, brightest
        Limits of the sources drawn, in Jy at 1.4 GHz. One that a tile sees with less than a fiftieth of `faintest` is not in it.
    noise
        Factor to the thermal noise that the profile's SEFD gives; 0 for none.
    amplitude, drift, ripple
        Scatter of the gains' amplitudes, of the drift of their phases in degrees an hour, ripple of bandpasses;
        gains are 1 where all are 0. With the defaults a station wanders by a few per cent in amplitude and some degrees in
        hours: an array for which one solution serves half a day, which is the recipe that the pipeline follows. At 8
        degrees an hour what is left beside a source of some Jy, half an hour after it was solved for, is several times
        the noise.
    interference
        Whether there is any.
    dead
        Numbers among the chosen stations that give noise only.
    beam
        Whether the primary beam is applied.
    is_descending
        Whether the channels within a file descend as its subbands do.
    seed
        Of all random choices.
    """

    stations: int | None = 20
    channels: int | None = 4
    integrations: int | None = 6
    tiles: int = 12
    declination: float | tuple[float, ...] = 16.1
    day: str = "2025-06-14"
    start: str = ""
    starts: tuple[str, ...] = ()
    calibrator: Calibrator | None = STANDARD
    calibrator_tile: int = 2
    sky: Sky | None = None
    faintest: float = 0.05
    brightest: float = 2.0
    noise: float = 1.0
    amplitude: float = 0.2
    drift: float = 1.0
    ripple: float = 0.1
    interference: bool = True
    dead: tuple[int, ...] = ()
    beam: bool = True
    is_descending: bool = True
    seed: int = 1


def preset(name: str) -> Settings:
    """Settings by name.

    ``small``: 20 stations, 12 observations, 16 × 4 channels over the whole band, 6 integrations over the whole time.
    ``full``: all active stations, channels and integrations; one observation, which holds the calibrator.
    """
    presets = {
        "small": Settings(dead=(7,)),
        "full": Settings(
            stations=None,
            channels=None,
            integrations=None,
            tiles=1,
            calibrator_tile=0,
            dead=(40,),
        ),
    }
    if name not in presets:
        raise ValueError(f"preset {name!r}; expected one of {', '.join(presets)}")
    return presets[name]


@dataclass(frozen=True, slots=True)
class Observation:
    """One observation as written.

    `name` is its time as files carry it, `time` (t,) the middles of its integrations as MJD in seconds (UTC), `centres`
    (t, 2) their phase centres and pointings in radians (ICRS), `files` those of subband 0, 1, ….
    """

    name: str
    time: Floats
    centres: Floats
    files: tuple[Path, ...]

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of the tile: right ascension and declination in radians (ICRS)."""
        turn = np.angle(np.exp(1j * (self.centres[:, 0] - self.centres[0, 0]))).mean()
        return float((self.centres[0, 0] + turn) % (2.0 * np.pi)), float(self.centres[:, 1].mean())


@dataclass(frozen=True, slots=True)
class Truth:
    """What was simulated.

    Parameters
    ----------
    profile
        Of the array as simulated (see `thinned`).
    sky
        All sources, without the beam.
    stations
        Names of those with data, in the order of the other fields.
    time : (t,)
        Middles of all integrations of all observations as MJD in seconds (UTC).
    frequency : (channel,)
        Hz, ascending.
    gains : (t, station, receptor) complex128
        In the convention of `solutions` (Measurement Sets).
    bandpass : (station, channel, receptor) complex128
        Likewise, channels ascending.
    interference : (t, channel) bool
        Where there is any.
    sigma
        Noise of the real part of one visibility in Jy, once calibrated.
    dead
        Names of dead stations.
    observations
        In order of time.
    """

    profile: Profile
    sky: Sky
    stations: tuple[str, ...]
    time: Floats
    frequency: Floats
    gains: npt.NDArray[np.complex128]
    bandpass: npt.NDArray[np.complex128]
    interference: npt.NDArray[np.bool_]
    sigma: float
    dead: tuple[str, ...]
    observations: tuple[Observation, ...]

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write ``truth.json`` (what can be read) and ``truth.npz`` (arrays) into a folder; their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        readable, arrays = folder / "truth.json", folder / "truth.npz"
        readable.write_text(json.dumps(self._facts(), indent=1) + "\n")
        np.savez_compressed(
            arrays,
            time=self.time,
            frequency=self.frequency,
            gains=self.gains,
            bandpass=self.bandpass,
            interference=self.interference,
            stations=np.array(self.stations),
            centres=np.concatenate([one.centres for one in self.observations]),
        )
        return readable, arrays

    def _facts(self) -> dict[str, Any]:
        sky = self.sky
        return {
            "instrument": self.profile.name,
            "digest": self.profile.digest,
            "sigma_jy": self.sigma,
            "stations": list(self.stations),
            "dead": list(self.dead),
            "interference_share": float(self.interference.mean()),
            "observations": [
                {
                    "name": one.name,
                    "ra_deg": float(np.degrees(one.centre[0])),
                    "dec_deg": float(np.degrees(one.centre[1])),
                    "files": [path.name for path in one.files],
                }
                for one in self.observations
            ],
            "reference_hz": sky.reference,
            "sources": [
                {
                    "name": sky.names[number] if sky.names else str(number),
                    "ra_deg": float(np.degrees(sky.ra[number])),
                    "dec_deg": float(np.degrees(sky.dec[number])),
                    "flux_jy": float(sky.flux[number]),
                    "spectrum": sky.spectrum[number].tolist(),
                    "major_arcsec": float(np.degrees(sky.major[number]) * 3600.0),
                    "minor_arcsec": float(np.degrees(sky.minor[number]) * 3600.0),
                    "pa_deg": float(np.degrees(sky.position_angle[number])),
                }
                for number in range(len(sky))
            ],
        }


def thinned(profile: Profile, settings: Settings) -> Profile:
    """The profile of the array that the settings simulate: fewer stations, channels and integrations of one instrument."""
    active = np.flatnonzero(profile.active)
    count = len(active) if settings.stations is None else settings.stations
    chosen = np.zeros(len(profile.stations), bool)
    chosen[active[choose_stations(profile.positions[active], count)]] = True
    channels = settings.channels or profile.channels
    integrations = settings.integrations or profile.integrations
    width = profile.width * profile.channels / channels
    return replace(
        profile,
        active=chosen,
        channels=channels,
        width=width,
        lowest=profile.lowest + (width - profile.width) / 2.0,
        integrations=integrations,
        integration=profile.duration / integrations,
    )


def simulate(
    folder: Path | str,
    profile: Profile | None = None,
    settings: Settings | None = None,
    *,
    truth: Path | str | None = None,
) -> Truth:
    """Write observations into a folder, and what is true of them outside it.

    Parameters
    ----------
    folder
        Where files ``{YYYY-MM-DDTHH:MM:SS}_sb{00..15}.hdf5`` go.
    profile
        The instrument; DSA-110 where not given.
    settings
        What to simulate; the preset ``small`` where not given.
    truth
        Folder of ``truth.json`` and ``truth.npz``; beside `folder`, with ``-truth`` added to its name, where not given.

    Returns
    -------
    Truth
        What was written.

    Raises
    ------
    ValueError
        If there are not so many stations or tiles as the settings name.
    """
    folder, settings = Path(folder), settings or preset("small")
    folder.mkdir(parents=True, exist_ok=True)
    array = thinned(profile or load_profile("dsa110"), settings)
    plan = _plan(array, settings)
    observations = tuple(_write_tile(folder, plan, tile) for tile in range(len(plan.time)))
    found = Truth(
        profile=array,
        sky=plan.sky,
        stations=tuple(array.stations[number] for number in plan.used),
        time=plan.time.reshape(-1),
        frequency=array.frequencies,
        gains=plan.gains,
        bandpass=plan.bandpass,
        interference=plan.interference.levels > 0.0,
        sigma=plan.sigma,
        dead=tuple(array.stations[plan.used[number]] for number in settings.dead),
        observations=observations,
    )
    found.write(Path(truth) if truth is not None else folder.with_name(folder.name + "-truth"))
    return found


@dataclass(frozen=True, slots=True)
class _Plan:
    """All that is drawn before the first file is written; `time` (tile, t) and `centres` (tile, t, 2)."""

    profile: Profile
    settings: Settings
    used: npt.NDArray[np.intp]
    time: Floats
    centres: Floats
    sky: Sky
    gains: npt.NDArray[np.complex128]
    bandpass: npt.NDArray[np.complex128]
    interference: Interference
    sigma: float
    dead: npt.NDArray[np.bool_]


def _plan(array: Profile, settings: Settings) -> _Plan:
    rng = np.random.default_rng(settings.seed)
    starts = _starts(array, settings)
    time = starts[:, None] + array.integration * (np.arange(array.integrations) + 0.5)
    strips = np.broadcast_to(np.radians(settings.declination), len(starts))
    centres = np.stack([meridian(array.location, *one) for one in zip(time, strips, strict=True)])
    used = np.flatnonzero(array.active)
    receptors = len(_receptors(array)[0])
    sigma = noise_of(array.sefd, array.width, array.integration)
    seconds = time.reshape(-1) - time[0, 0]
    gains = draw_gains(rng, seconds, len(used), receptors, amplitude=settings.amplitude, drift=settings.drift)
    bandpass = draw_bandpass(rng, array.frequencies, len(used), receptors, ripple=settings.ripple)
    channels = len(array.frequencies)
    interference = draw_interference(rng, len(seconds), channels, len(used), sigma=sigma)
    if not settings.interference:
        interference = replace(interference, levels=np.zeros_like(interference.levels))
    if any(not 0 <= number < len(used) for number in settings.dead):
        raise ValueError(f"dead stations {settings.dead}; expected numbers from 0 to {len(used) - 1}")
    dead = np.zeros(len(used), bool)
    dead[list(settings.dead)] = True
    sky = settings.sky if settings.sky is not None else _sky(rng, settings, centres.reshape(-1, 2))
    return _Plan(
        array,
        settings,
        used,
        time,
        centres,
        sky,
        gains,
        bandpass,
        interference,
        sigma * settings.noise,
        dead,
    )


def _starts(array: Profile, settings: Settings) -> Floats:
    """Beginnings of observations as MJD in seconds (UTC)."""
    if settings.starts:
        return np.array([_seconds(start) for start in settings.starts])
    if settings.start or settings.calibrator is None:
        first = _seconds(settings.start or settings.day)
    else:
        if not 0 <= settings.calibrator_tile < settings.tiles:
            raise ValueError(
                f"calibrator in tile {settings.calibrator_tile}; expected 0 to {settings.tiles - 1}"
            )
        strip = float(np.broadcast_to(settings.declination, settings.tiles)[settings.calibrator_tile])
        ra = np.radians(settings.calibrator.ra)
        middle = transit(array.location, _seconds(settings.day) + SECONDS / 24.0, ra, np.radians(strip))
        first = round(middle - array.duration * (settings.calibrator_tile + 0.5))
    found: Floats = np.asarray(first + array.duration * np.arange(settings.tiles), np.float64)
    return found


def _seconds(date: str) -> float:
    return float(Time(date, scale="utc").mjd * SECONDS)


def _sky(rng: np.random.Generator, settings: Settings, centres: Floats) -> Sky:
    drawn = generate_sky(rng, centres, faintest=settings.faintest, brightest=settings.brightest)
    return drawn if settings.calibrator is None else joined([sky_of(settings.calibrator), drawn])


def _receptors(array: Profile) -> tuple[tuple[str, ...], npt.NDArray[np.int32]]:
    """The receptors' names, and for each polarisation product the numbers of its two."""
    names = tuple(sorted({letter for product in array.polarisations for letter in product}))
    pairs = [[names.index(letter) for letter in product] for product in array.polarisations]
    return names, np.array(pairs, np.int32)


def _write_tile(folder: Path, plan: _Plan, tile: int) -> Observation:
    array = plan.profile
    header = _header(plan, tile)
    start = header.time[0] - array.integration / 2.0
    name = Time(np.floor(start + 1e-3) / SECONDS + 1e-9, format="mjd", scale="utc").isot[:19]
    first, second = (
        np.searchsorted(plan.used, one).astype(np.int32) for one in (header.antenna1, header.antenna2)
    )
    moments = slice(tile * array.integrations, (tile + 1) * array.integrations)
    files = []
    for subband, channels, model in _models(plan, header):
        levels = np.ascontiguousarray(plan.interference.levels[moments][:, channels])
        data = observe(
            (plan.settings.seed, tile, subband),
            model,
            antenna1=first,
            antenna2=second,
            moment=header.moment,
            receptors=_receptors(array)[1],
            gains=plan.gains[moments],
            bandpass=plan.bandpass[:, channels],
            interference=replace(plan.interference, levels=levels),
            dead=plan.dead,
            sigma=plan.sigma,
            system=array.sefd * plan.settings.noise,
        )
        files.append(folder / f"{name}_sb{subband:02d}.hdf5")
        strip = float(header.centres[0, 1])
        write_subband(
            files[-1],
            header,
            frequency=array.frequencies[channels],
            width=array.width,
            polarisations=array.polarisations,
            data=data,
            extra={"subband": subband, "phase_center_dec": strip, "fs_table": "simulated"},
        )
    return Observation(name, header.time, header.centres, tuple(files))


def _models(
    plan: _Plan, header: Header
) -> Iterator[tuple[int, npt.NDArray[np.intp], npt.NDArray[np.complex64]]]:
    """Each subband, the numbers of its channels in the order of its file, and the true visibilities (row, channel)."""
    array = plan.profile
    beam = beam_of(array.beam, array.dish)
    seen = _seen(plan, header.centres)
    channels = np.arange(array.subbands * array.channels)[::-1].reshape(array.subbands, array.channels)
    together = max(1, TOGETHER // array.channels)
    for first in range(0, array.subbands, together):
        part = channels[first : first + together]
        frequency = array.frequencies[part.reshape(-1)]
        if plan.settings.beam:
            flux = apparent_flux(seen, beam, header.centres, frequency)
        else:
            flux = np.repeat(seen.flux_at(frequency)[:, None], len(header.centres), axis=1)
        model = predict(
            seen, flux, uvw=header.uvw, field=header.moment, centres=header.centres, frequency=frequency
        ).reshape(-1, *part.shape)
        way = slice(None) if plan.settings.is_descending else slice(None, None, -1)
        for number, one in enumerate(part):
            yield first + number, one[way], np.ascontiguousarray(model[:, number, way])


def _header(plan: _Plan, tile: int) -> Header:
    array, time, centres = plan.profile, plan.time[tile], plan.centres[tile]
    first, second = np.triu_indices(len(plan.used))
    lengths = array.positions[plan.used[second]] - array.positions[plan.used[first]]
    uvw = np.einsum("bx,tkx->tbk", lengths, axes_of(array.location, time, centres))
    return Header(
        telescope=array.telescope,
        location=array.location,
        names=array.stations,
        positions=array.positions,
        diameter=array.dish,
        antenna1=np.tile(plan.used[first], len(time)).astype(np.int32),
        antenna2=np.tile(plan.used[second], len(time)).astype(np.int32),
        moment=np.repeat(np.arange(len(time), dtype=np.int32), len(first)),
        time=time,
        interval=array.integration,
        centres=centres,
        uvw=uvw.reshape(-1, 3),
        apparent=apparent(array.location, time, centres),
    )


def _seen(plan: _Plan, centres: Floats) -> Sky:
    """The sources that a tile sees at all."""
    if not plan.settings.beam:
        return plan.sky
    array = plan.profile
    middle = array.frequencies[[0, len(array.frequencies) // 2]]
    flux = apparent_flux(plan.sky, beam_of(array.beam, array.dish), centres, middle)
    turn = np.cos(centres[0, 1]) * np.cos(plan.sky.dec) * np.cos(plan.sky.ra - centres[0, 0])
    is_above = turn + np.sin(centres[0, 1]) * np.sin(plan.sky.dec) > 0.0
    least = FAINT * plan.settings.faintest if plan.settings.sky is None else 0.0
    return plan.sky.take(is_above & (flux.max(axis=(1, 2)) >= least))


def main(argv: Sequence[str] | None = None) -> int:
    """Write simulated observations from the command line, and the files' paths to standard output."""
    parser = argparse.ArgumentParser(prog="python -m towpath.pipelines.dsa110.simulate", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write observations into")
    parser.add_argument("--truth", type=Path, help="folder for the truth, the catalogue and the profile")
    parser.add_argument("--instrument", default="dsa110", help="profile: a name, or a path ending in .toml")
    parser.add_argument("--preset", default="small", help="small or full")
    parser.add_argument("--seed", type=int, help="seed of all random choices")
    parser.add_argument("--tiles", type=int, help="number of observations")
    parser.add_argument("--stations", type=int, help="number of stations")
    parser.add_argument("--channels", type=int, help="channels per subband")
    parser.add_argument("--integrations", type=int, help="integrations per observation")
    parser.add_argument("--declination", type=float, help="of the strip, degrees")
    parser.add_argument("--start", help="date and time of the first observation, UTC")
    chosen = vars(parser.parse_args(argv))
    out, beside = chosen.pop("out"), chosen.pop("truth")
    profile, base = load_profile(chosen.pop("instrument")), preset(chosen.pop("preset"))
    settings = replace(base, **{name: value for name, value in chosen.items() if value is not None})
    settings = replace(
        settings,
        dead=tuple(
            number for number in settings.dead if number < (settings.stations or profile.active.sum())
        ),
        calibrator_tile=min(settings.calibrator_tile, settings.tiles - 1),
    )
    beside = beside or out.with_name(out.name + "-truth")
    truth = simulate(out, profile, settings, truth=beside)
    write_catalogue(beside / "catalogue.csv", truth.sky, seed=settings.seed)
    write_profile(beside / "instrument.toml", truth.profile)
    for observation in truth.observations:
        for path in observation.files:
            sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
