"""Subband files to one Measurement Set: the steps in order, and what must hold of the result.

Promises ascending frequencies on the profile's whole grid (what is missing is flagged), the phase centre of every
integration, and that a set which breaks an invariant is told as such. Holds one block of rows in memory. Never touches a
subband file.
"""

import shutil
import time as clock
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from casacore.tables import default_ms, default_ms_subtable, makearrcoldesc, required_ms_desc, table

from .beam import separation
from .coordinates import ARCSEC, baseline_uvw, horizon_to_icrs, mean_direction, turn_phases
from .instrument import Profile
from .invariants import check_measurement_set
from .measurement_set import CORRELATIONS, ask_room, opened, tiled
from .placing import place_samples, row_weights
from .uvh5 import Header, Subband, wrong
from .visibilities import Floats, Integers

BLOCK = 48 * 1024 * 1024  # bytes of visibilities held at a time
SIDEREAL = 15.0411  # arcsec by which the sky turns in a second
# Subtables that are made anew, with arrays of fixed shape.
FIXED: dict[str, dict[str, list[int]]] = {
    "SOURCE": {},
    "FIELD": {"DELAY_DIR": [1, 2], "PHASE_DIR": [1, 2], "REFERENCE_DIR": [1, 2]},
    "FEED": {"BEAM_OFFSET": [2, 2], "POL_RESPONSE": [2, 2]},
}
_CODES = {name: code for code, name in CORRELATIONS.items()}


class InvariantError(ValueError):
    """A Measurement Set breaks invariants: it must not be used. The message lists all of them."""


@dataclass(frozen=True, slots=True)
class Converted:
    """Facts of a conversion.

    `missing` are the places of the grid without a file (0 the lowest in frequency); `begin`, `end` MJD in days of the
    first and last integration's edges; `ra`, `dec` the mean centre in degrees (ICRS); `flagged` the share of flags.
    """

    n_rows: int
    n_channels: int
    missing: tuple[int, ...]
    begin: float
    end: float
    ra: float
    dec: float
    flagged: float
    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Layout:
    """The rows of a set in order of time: what is the same in all subbands."""

    time: Floats
    interval: Floats
    antenna1: Integers
    antenna2: Integers
    field: Integers
    centres: Floats
    uvw: Floats


@dataclass(frozen=True, slots=True)
class _Band:
    """Where a subband goes: its channels, and the file's row for each of the set's (−1 where it has none)."""

    subband: Subband
    slot: int
    channels: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]


def convert(
    files: Sequence[Path],
    target: Path,
    profile: Profile,
    *,
    progress: Callable[[float, str], None] | None = None,
    threads: int = 2,
    pieces: int | None = None,
) -> Converted:
    """Convert subbands, given in any order, to one Measurement Set.

    Parameters
    ----------
    files
        Subband files of one observation. The times of the one highest in frequency (sb00) count.
    target
        The folder to make.
    progress
        Told the share done and a word.
    threads
        For the rotation of phases.
    pieces
        Into how many blocks of rows the work is cut; chosen by memory if None.

    Raises
    ------
    SubbandError
        If a file is not whole, or does not fit the profile or the others.
    InvariantError
        If the written set breaks an invariant; it is left for inspection.
    OSError
        If the disk has no room for it.
    """
    begun = clock.perf_counter()
    if not files:
        raise InvariantError("files: found none; expected subbands of one observation")
    if target.exists():
        raise InvariantError(f"target {target.name}: found one already; expected none")
    with ExitStack() as stack:
        stack.callback(numba.set_num_threads, numba.get_num_threads())
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
        subbands = sorted(
            (stack.enter_context(Subband(path)) for path in files),
            key=lambda one: -float(one.header.frequency.max()),
        )
        slots = _slots(subbands, profile)
        reference = subbands[0].header
        order, layout = _layout(reference, profile)
        bands = [
            _Band(
                one,
                slot,
                channels,
                order if one is subbands[0] else _match(reference, order, one.header, profile),
            )
            for one, (slot, channels) in zip(subbands, slots, strict=True)
        ]
        ask_room(target, layout.time.size * profile.frequencies.size * len(profile.polarisations))
        _create(target, layout, reference, profile)
        flagged = _stream(target, bands, layout, profile, pieces, progress)
    begin, end = _range(layout)
    problems = check_measurement_set(target, profile, rows=layout.time.size, times=(begin, end))
    if problems:
        raise InvariantError(f"Measurement Set {target.name}: " + "; ".join(problems))
    ra, dec = mean_direction(layout.centres)
    return Converted(
        n_rows=layout.time.size,
        n_channels=profile.frequencies.size,
        missing=tuple(sorted(set(range(profile.subbands)) - {slot for slot, _ in slots})),
        begin=begin,
        end=end,
        ra=float(np.degrees(ra)),
        dec=float(np.degrees(dec)),
        flagged=flagged,
        bytes=sum(one.stat().st_size for one in target.rglob("*") if one.is_file()),
        seconds=clock.perf_counter() - begun,
    )


def _range(layout: Layout) -> tuple[float, float]:
    low, high = layout.time - layout.interval / 2, layout.time + layout.interval / 2
    return float(low.min()) / 86400, float(high.max()) / 86400


def _slots(subbands: Sequence[Subband], profile: Profile) -> list[tuple[int, npt.NDArray[np.int64]]]:
    """Place of each subband on the profile's grid, and of its channels."""
    taken: dict[int, Path] = {}
    found = []
    for subband in subbands:
        header = subband.header
        place = (header.frequency - profile.lowest) / profile.width
        channels = np.rint(place).astype(np.int64)
        inside = (channels >= 0) & (channels < profile.frequencies.size)
        if (
            not inside.all()
            or np.abs(place - channels).max() > 0.1
            or abs(header.width / profile.width - 1) > 1e-3
        ):
            raise wrong(
                header.path,
                "Header/freq_array",
                f"{header.frequency.min()} to {header.frequency.max()} Hz by {header.width}",
                f"channels of {profile.name}: {profile.lowest} Hz + n × {profile.width} Hz",
            )
        if sorted(header.polarisations) != sorted(profile.polarisations):
            raise wrong(
                header.path, "Header/polarization_array", header.polarisations, f"{profile.polarisations}"
            )
        for channel in channels.tolist():
            if channel in taken:
                raise wrong(
                    header.path,
                    "Header/freq_array",
                    f"channel {channel}, which {taken[channel].name} has too",
                    "every frequency once",
                )
            taken[channel] = header.path
        found.append((int(channels.min()) // profile.channels, channels))
    return found


def _layout(header: Header, profile: Profile) -> tuple[npt.NDArray[np.int64], Layout]:
    order = np.argsort(header.time, kind="stable")
    time, swap = header.time[order], header.antenna1[order] > header.antenna2[order]
    first, second = header.antenna1[order], header.antenna2[order]
    antenna1, antenna2 = np.where(swap, second, first), np.where(swap, first, second)
    _refuse_doubles(header, time, antenna1, antenna2)
    per_row = header_centres(header)[order]
    centres, begins, field = np.unique(per_row, axis=0, return_index=True, return_inverse=True)
    by_time = np.argsort(begins)
    rank = np.empty_like(by_time)
    rank[by_time] = np.arange(by_time.size)
    return order, Layout(
        time=time,
        interval=header.interval[order],
        antenna1=antenna1.astype(np.int32),
        antenna2=antenna2.astype(np.int32),
        field=rank[field.reshape(-1)].astype(np.int32),
        centres=centres[by_time],
        uvw=baseline_uvw(time, per_row, header.positions, antenna1, antenna2),
    )


def header_centres(header: Header) -> Floats:
    """Phase centre of every row in radians (ICRS), (row, 2): the zenith, or the place aimed at, of unphased ones."""
    centres = np.array([[one.longitude, one.latitude] for one in header.centres])[header.centre]
    fixed = np.array([one.kind != "sidereal" for one in header.centres])[header.centre]
    if fixed.any():
        asked = np.column_stack([header.time, centres])[fixed]
        single, number = np.unique(asked, axis=0, return_inverse=True)
        centres[fixed] = horizon_to_icrs(single[:, 0], single[:, 1], single[:, 2], header.origin)[
            number.reshape(-1)
        ]
    return centres


def _refuse_doubles(header: Header, time: Floats, antenna1: Integers, antenna2: Integers) -> None:
    rows = np.unique(np.column_stack([time, antenna1, antenna2]), axis=0).shape[0]
    if rows != time.size:
        raise wrong(
            header.path, "Header/ant_1_array", f"{time.size - rows} rows twice", "a baseline once at a time"
        )


def _match(
    reference: Header, order: npt.NDArray[np.int64], header: Header, profile: Profile
) -> npt.NDArray[np.int64]:
    """Row of the file for each row of the set: baselines by name, times as near as half an integration."""
    if (
        header.names != reference.names
        or np.abs(header.positions - reference.positions).max() > profile.position
    ):
        raise wrong(
            header.path,
            "Header/antenna_names, antenna_positions",
            "others",
            f"those of {reference.path.name}",
        )
    times = np.unique(reference.time)
    near = np.abs(header.time[:, None] - times[None, :])
    step = near.argmin(axis=1)
    apart = near[np.arange(near.shape[0]), step]
    if (apart > profile.integration / 2).any():
        raise wrong(
            header.path,
            "Header/time_array",
            f"integrations {float(apart.max()):.3f} s from the nearest of {reference.path.name}",
            f"at most half an integration, {profile.integration / 2:.3f} s",
        )
    keys = _keys(step, header)
    own = np.argsort(keys, kind="stable")
    if (np.diff(keys[own]) == 0).any():
        raise wrong(header.path, "Header/time_array", "a baseline twice at one time", "once")
    asked = _keys(np.searchsorted(times, reference.time), reference)[order]
    place = np.clip(np.searchsorted(keys[own], asked), 0, keys.size - 1)
    rows = np.where(keys[own][place] == asked, own[place], -1)
    if np.setdiff1d(keys, asked).size:
        raise wrong(
            header.path, "Header/ant_1_array", "baselines of its own", f"those of {reference.path.name}"
        )
    _same_centres(reference, order, header, rows, profile)
    return rows


def _keys(step: npt.NDArray[Any], header: Header) -> npt.NDArray[np.int64]:
    low, high = np.minimum(header.antenna1, header.antenna2), np.maximum(header.antenna1, header.antenna2)
    count = len(header.names)
    keys: npt.NDArray[np.int64] = (step.astype(np.int64) * count + low) * count + high
    return keys


def _same_centres(
    reference: Header,
    order: npt.NDArray[np.int64],
    header: Header,
    rows: npt.NDArray[np.int64],
    profile: Profile,
) -> None:
    """Refuse other phase centres than a clock that differs can explain."""
    has = rows >= 0
    apart = (
        separation(*header_centres(reference)[order][has].T, *header_centres(header)[rows[has]].T) / ARCSEC
    )
    clocks = SIDEREAL * np.abs(reference.time[order][has] - header.time[rows[has]])
    if (apart > clocks + profile.phase_centre).any():
        raise wrong(
            header.path,
            "Header/phase_center_catalog",
            f"centres up to {apart.max():.1f} arcsec from those of {reference.path.name}",
            f"at most {profile.phase_centre} arcsec, and what the clocks' difference explains",
        )


def _blocks(
    bands: Sequence[_Band], rows: int, shape: tuple[int, int], pieces: int | None
) -> list[tuple[int, int]]:
    if pieces is not None:
        size = -(-rows // pieces)
    else:
        chunk = max(one.subband.chunk_rows for one in bands)
        size = max(1, BLOCK // (8 * shape[0] * shape[1]))
        size = max(chunk, size - size % chunk)
    return [(low, min(low + size, rows)) for low in range(0, rows, size)]


def _stream(
    target: Path,
    bands: Sequence[_Band],
    layout: Layout,
    profile: Profile,
    pieces: int | None,
    progress: Callable[[float, str], None] | None,
) -> float:
    shape = (profile.frequencies.size, len(profile.polarisations))
    flagged = 0
    with opened(target, write=True) as main:
        for low, high in _blocks(bands, layout.time.size, shape, pieces):
            data = np.zeros((high - low, *shape), dtype=np.complex64)
            flags = np.ones(data.shape, dtype=np.bool_)
            weights = np.zeros(data.shape, dtype=np.float32)
            for band in bands:
                _place(band, low, high, profile, layout, (data, flags, weights))
            flagged += _write(main, low, data, flags, weights)
            if progress is not None:
                progress(high / layout.time.size, f"rows {high} of {layout.time.size}")
    return flagged / (layout.time.size * shape[0] * shape[1])


def _write(main: Any, low: int, data: Any, flags: Any, weights: Any) -> int:
    rows = data.shape[0]
    main.putcol("DATA", data, low, rows)
    main.putcol("FLAG", flags, low, rows)
    main.putcol("WEIGHT_SPECTRUM", weights, low, rows)
    weight, is_flagged, count = row_weights(flags, weights)
    main.putcol("WEIGHT", weight, low, rows)
    main.putcol(
        "SIGMA",
        np.where(weight > 0, 1 / np.sqrt(np.where(weight > 0, weight, 1)), 0).astype(np.float32),
        low,
        rows,
    )
    main.putcol("FLAG_ROW", is_flagged, low, rows)
    return int(count)


def _place(
    band: _Band, low: int, high: int, profile: Profile, layout: Layout, out: tuple[Any, Any, Any]
) -> None:
    """Read a band's rows of one block into place: turned to ant1 < ant2, phased, polarisations as the profile has them."""
    rows = band.rows[low:high]
    has = np.flatnonzero(rows >= 0)
    if has.size == 0:
        return
    wanted = rows[has]
    span = slice(int(wanted.min()), int(wanted.max()) + 1)
    header = band.subband.header
    if np.array_equal(wanted, np.arange(span.start, span.stop)):
        ask: slice | Integers = span
        back: Any = slice(None)
    else:
        ask, back = np.unique(wanted, return_inverse=True)
        if span.stop - span.start <= 4 * wanted.size:
            back, ask = wanted - span.start, span
    data, flags, samples = (
        read(ask) for read in (band.subband.visibilities, band.subband.flags, band.subband.samples)
    )
    # A correlator that fills this data set with a constant below 0 counts nothing.
    is_counted = not (samples.flat[0] < 0 and (samples < 0).all())
    place_samples(
        data,
        flags,
        samples,
        np.arange(data.shape[0])[back],
        has,
        header.antenna1[wanted] > header.antenna2[wanted],
        np.array([header.polarisations.index(one) for one in profile.polarisations]),
        np.array([header.polarisations.index(one[::-1]) for one in profile.polarisations]),
        band.channels,
        is_counted,
        *out,
    )
    raw = np.array([one.kind != "sidereal" for one in header.centres])[header.centre[wanted]]
    if raw.any():
        metres = np.where(raw, -(layout.uvw[low:high][has, 2] - _raw_w(header, wanted)), 0.0)
        into = slice(int(band.channels.min()), int(band.channels.max()) + 1)
        turned = np.ascontiguousarray(out[0][has, into])
        turn_phases(turned, metres, np.sort(header.frequency), turned)
        out[0][has, into] = turned


def _raw_w(header: Header, rows: npt.NDArray[np.int64]) -> Floats:
    """W to which unphased rows are phased already: none, unless a telescope at rest was aimed away from the zenith."""
    kinds = np.array([one.kind == "driftscan" for one in header.centres])[header.centre[rows]]
    swap = np.where(header.antenna1[rows] > header.antenna2[rows], 1.0, -1.0)
    found: Floats = np.where(kinds, header.uvw[rows, 2] * swap, 0.0)
    return found


def _create(target: Path, layout: Layout, header: Header, profile: Profile) -> None:
    """Make the set with all that is not per channel."""
    shape = (profile.frequencies.size, len(profile.polarisations))
    description = required_ms_desc()
    description.pop("FLAG")
    managers: dict[str, Any] = {}
    for number, column in enumerate(("DATA", "FLAG", "WEIGHT_SPECTRUM"), start=1):
        own, manager = tiled(column, shape)
        description.update(own)
        managers[f"*{number}"] = manager["*1"]
    for column in ("WEIGHT", "SIGMA"):
        description[column] |= {"shape": np.array([shape[1]]), "option": 5}
    description["UVW"]["keywords"]["MEASINFO"] = {"type": "uvw", "Ref": "ICRS"}
    description["DATA"]["keywords"] = {"QuantumUnits": [header.units]}
    main = default_ms(str(target), description, managers)
    rows = layout.time.size
    main.addrows(rows)
    zeros = np.zeros(rows, dtype=np.int32)
    columns = {
        "TIME": layout.time, "TIME_CENTROID": layout.time, "INTERVAL": layout.interval, "EXPOSURE": layout.interval,
        "ANTENNA1": layout.antenna1, "ANTENNA2": layout.antenna2, "UVW": layout.uvw, "FIELD_ID": layout.field,
        "SCAN_NUMBER": zeros + 1, "ARRAY_ID": zeros, "DATA_DESC_ID": zeros, "FEED1": zeros, "FEED2": zeros,
        "OBSERVATION_ID": zeros, "PROCESSOR_ID": zeros - 1, "STATE_ID": zeros,
    }  # fmt: skip
    for column, values in columns.items():
        main.putcol(column, values)
    for name, shapes in FIXED.items():
        _remake(main, target, name, shapes)
    main.close()
    _subtables(target, layout, header, profile)


def _remake(main: Any, target: Path, name: str, shapes: dict[str, list[int]]) -> None:
    """Make a subtable whose arrays have fixed shapes.

    casacore keeps arrays of any shape in a file of their own, in which it leaves gaps that it never writes: equal
    observations would give unequal bytes.
    """
    description = {
        column: required_ms_desc(name)[column] | {"shape": np.array(shape), "option": 5}
        for column, shape in shapes.items()
    }
    shutil.rmtree(target / name, ignore_errors=True)
    made = default_ms_subtable(name, str(target / name), description)
    main.putkeyword(name, made)
    made.close()


def _fill(target: Path, name: str, columns: dict[str, Any], *, icrs: Sequence[str] = ()) -> None:
    with table(str(target / name), readonly=False, ack=False) as rows:
        rows.addrows(len(next(iter(columns.values()))))
        for column, values in columns.items():
            rows.putcol(column, values)
        for column in icrs:
            rows.putcolkeyword(column, "MEASINFO", {"type": "direction", "Ref": "ICRS"})


def _subtables(target: Path, layout: Layout, header: Header, profile: Profile) -> None:
    stations, fields, polarisations = len(header.names), len(layout.centres), len(profile.polarisations)
    frequency, middle = profile.frequencies, float(layout.time.mean())
    begin, end = (86400 * one for one in _range(layout))
    feeds = sorted({letter for one in profile.polarisations for letter in one})
    feeds = feeds if len(feeds) == 2 else (["R", "L"] if feeds[0] in "RL" else ["X", "Y"])
    feeds = ["R", "L"] if feeds == ["L", "R"] else feeds
    directions = layout.centres[:, None, :]
    starts = np.array([layout.time[layout.field == one].min() for one in range(fields)])
    lengths = np.array([layout.interval[layout.field == one].max() for one in range(fields)])
    names = (
        [f"drift_{one:03d}" for one in range(fields)] if fields > 1 else [header.centres[0].name or "field"]
    )
    width = np.full((1, frequency.size), profile.width)
    dish = np.where(np.isfinite(header.diameter), header.diameter, profile.dish)
    _fill(target, "ANTENNA", {
        "NAME": list(header.names), "STATION": list(header.names), "TYPE": ["GROUND-BASED"] * stations,
        "MOUNT": [profile.mount] * stations, "POSITION": header.positions, "OFFSET": np.zeros((stations, 3)),
        "DISH_DIAMETER": dish, "FLAG_ROW": np.zeros(stations, dtype=bool),
    })  # fmt: skip
    _fill(target, "FEED", {
        "ANTENNA_ID": np.arange(stations), "FEED_ID": np.zeros(stations, int), "SPECTRAL_WINDOW_ID": np.full(stations, -1),
        "TIME": np.full(stations, middle), "INTERVAL": np.full(stations, 1e30), "NUM_RECEPTORS": np.full(stations, 2),
        "BEAM_ID": np.full(stations, -1), "BEAM_OFFSET": np.zeros((stations, 2, 2)), "POSITION": np.zeros((stations, 3)),
        "POLARIZATION_TYPE": {"shape": [stations, 2], "array": feeds * stations},
        "POL_RESPONSE": np.tile(np.eye(2, dtype=np.complex64), (stations, 1, 1)),
        "RECEPTOR_ANGLE": np.zeros((stations, 2)),
    })  # fmt: skip
    _fill(target, "FIELD", {
        "NAME": names, "CODE": [""] * fields, "TIME": starts, "NUM_POLY": np.zeros(fields, int),
        "DELAY_DIR": directions, "PHASE_DIR": directions, "REFERENCE_DIR": directions,
        "SOURCE_ID": np.arange(fields), "FLAG_ROW": np.zeros(fields, dtype=bool),
    }, icrs=("DELAY_DIR", "PHASE_DIR", "REFERENCE_DIR"))  # fmt: skip
    _fill(target, "SOURCE", {
        "SOURCE_ID": np.arange(fields), "TIME": starts, "INTERVAL": lengths, "SPECTRAL_WINDOW_ID": np.full(fields, -1),
        "NUM_LINES": np.zeros(fields, int), "NAME": names, "CALIBRATION_GROUP": np.zeros(fields, int), "CODE": [""] * fields,
        "DIRECTION": layout.centres, "PROPER_MOTION": np.zeros((fields, 2)),
    }, icrs=("DIRECTION",))  # fmt: skip
    _fill(target, "POINTING", {
        "ANTENNA_ID": np.full(fields, -1), "TIME": starts, "INTERVAL": lengths, "NAME": names, "NUM_POLY": np.zeros(fields, int),
        "TIME_ORIGIN": starts, "DIRECTION": directions, "TARGET": directions, "TRACKING": np.full(fields, not profile.drift),
    }, icrs=("DIRECTION", "TARGET"))  # fmt: skip
    _fill(target, "SPECTRAL_WINDOW", {
        "NUM_CHAN": [frequency.size], "NAME": [profile.name], "REF_FREQUENCY": [float(frequency[frequency.size // 2])],
        "CHAN_FREQ": frequency[None], "CHAN_WIDTH": width, "EFFECTIVE_BW": width, "RESOLUTION": width,
        "MEAS_FREQ_REF": [5], "TOTAL_BANDWIDTH": [profile.width * frequency.size], "NET_SIDEBAND": [1],
        "IF_CONV_CHAIN": [0], "FREQ_GROUP": [0], "FREQ_GROUP_NAME": ["none"], "FLAG_ROW": [False],
    })  # fmt: skip
    products = [[feeds.index(letter) for letter in one] for one in profile.polarisations]
    _fill(target, "POLARIZATION", {
        "NUM_CORR": [polarisations], "CORR_TYPE": np.array([[_CODES[one] for one in profile.polarisations]]),
        "CORR_PRODUCT": np.array([products]), "FLAG_ROW": [False],
    })  # fmt: skip
    _fill(
        target, "DATA_DESCRIPTION", {"SPECTRAL_WINDOW_ID": [0], "POLARIZATION_ID": [0], "FLAG_ROW": [False]}
    )
    _fill(target, "OBSERVATION", {
        "TELESCOPE_NAME": [profile.telescope], "OBSERVER": [""], "PROJECT": [""], "SCHEDULE_TYPE": [""],
        "TIME_RANGE": np.array([[begin, end]]), "RELEASE_DATE": [end], "FLAG_ROW": [False],
        "LOG": {"shape": [1, 1], "array": [""]}, "SCHEDULE": {"shape": [1, 1], "array": [""]},
    })  # fmt: skip
    with opened(target / "OBSERVATION", write=True) as rows:
        # Where pyuvdata looks for the array's place before it asks a registry of sites over the network.
        rows.addcols(makearrcoldesc("TELESCOPE_LOCATION", 0.0, shape=[3], valuetype="double"))
        rows.putcolkeyword("TELESCOPE_LOCATION", "MEASINFO", {"type": "position", "Ref": "ITRF"})
        rows.putcell("TELESCOPE_LOCATION", 0, header.origin)
    _fill(target, "STATE", {
        "SIG": [True], "REF": [False], "CAL": [0.0], "LOAD": [0.0], "SUB_SCAN": [0], "OBS_MODE": ["OBSERVE_TARGET#ON_SOURCE"],
        "FLAG_ROW": [False],
    })  # fmt: skip
    _fill(target, "HISTORY", {
        "TIME": [middle], "OBSERVATION_ID": [0], "MESSAGE": [header.history or "converted"], "PRIORITY": ["NORMAL"],
        "ORIGIN": ["dsa110.convert"], "OBJECT_ID": [0], "APPLICATION": ["towpath"],
        "CLI_COMMAND": {"shape": [1, 1], "array": [""]}, "APP_PARAMS": {"shape": [1, 1], "array": [""]},
    })  # fmt: skip
