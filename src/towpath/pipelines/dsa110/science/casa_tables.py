"""Writes and reads calibration tables that CASA reads, by python-casacore.

CASA's gains obey the convention of `solutions` on the data of a Measurement Set (V_pq = g_p conj(g_q) true), so CPARAM
holds them unchanged; pyuvdata, whose visibilities are the conjugates, shows their conjugates. One spectral window.
Raises TableError where a table is not of this kind. Layout: CASA Memo 229 and the tables that CASA writes.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from casacore.tables import (
    makearrcoldesc,
    makescacoldesc,
    maketabdesc,
    required_ms_desc,
    table,
)

from .solutions import Solutions
from .tables import TableError
from .visibilities import Stations

Floats = npt.NDArray[np.float64]
NAMES = {"B": "B Jones", "G": "G Jones"}
# Arrays of fixed shape, kept in the rows: casacore leaves gaps unwritten in its file of arrays of any shape, and equal
# solutions would give unequal bytes.
DIRECT = 5
LINEAR, CIRCULAR = {"X", "Y"}, {"R", "L"}
UNITS = {"TIME": "s", "INTERVAL": "s"}  # of the columns of the main table
_EMPTY = {"shape": [1, 1], "array": [""]}
# Arrays of fixed shape, kept in the rows: casacore leaves gaps unwritten in its file of arrays of any shape, and equal
# solutions would give unequal bytes.
DIRECT = 5
LINEAR, CIRCULAR = {"X", "Y"}, {"R", "L"}
QUANTA = {"TIME": "s", "INTERVAL": "s", "CHAN_FREQ": "Hz", "CHAN_WIDTH": "Hz", "EFFECTIVE_BW": "Hz"} | {
    "RESOLUTION": "Hz",
    "TOTAL_BANDWIDTH": "Hz",
    "REF_FREQUENCY": "Hz",
    "POSITION": "m",
    "OFFSET": "m",
    "DISH_DIAMETER": "m",
    "DELAY_DIR": "rad",
    "PHASE_DIR": "rad",
    "REFERENCE_DIR": "rad",
    "TIME_RANGE": "s",
    "RELEASE_DATE": "s",
}
MEASURES: dict[str, dict[str, str]] = {
    "TIME": {"type": "epoch", "Ref": "UTC"},
    "TIME_RANGE": {"type": "epoch", "Ref": "UTC"},
    "RELEASE_DATE": {"type": "epoch", "Ref": "UTC"},
    "POSITION": {"type": "position", "Ref": "ITRF"},
    "OFFSET": {"type": "position", "Ref": "ITRF"},
    "DELAY_DIR": {"type": "direction", "Ref": "J2000"},
    "PHASE_DIR": {"type": "direction", "Ref": "J2000"},
    "REFERENCE_DIR": {"type": "direction", "Ref": "J2000"},
    "CHAN_FREQ": {"type": "frequency", "Ref": "TOPO"},
    "REF_FREQUENCY": {"type": "frequency", "Ref": "TOPO"},
}


def write_casa(
    path: str | Path,
    solutions: Solutions,
    *,
    stations: Stations,
    centre: tuple[float, float],
    frequency: Floats,
    width: float,
    telescope: str,
    measurement_set: str,
    field: str = "calibrator",
    history: str = "",
) -> None:
    """Write a calibration table, a folder.

    Parameters
    ----------
    solutions
        Of one or two receptors; one is repeated as a flagged second, as CASA wants two.
    stations
        Of the Measurement Set, in its order; those that the solutions lack are flagged.
    centre
        Right ascension and declination of the field in radians.
    frequency : (channel,)
        Of the Measurement Set in Hz; for gains, the band that they hold for.
    width : float
        Of a channel in Hz.
    measurement_set
        Its name, as MSName.
    history
        A line for the table's HISTORY.

    Raises
    ------
    TableError
        If the path exists, or the receptors are neither X, Y nor R, L.
    """
    path = Path(path)
    if path.exists():
        raise TableError(f"calibration table {path}: exists already; expected a new path")
    basis = _basis(path, solutions)
    _main(path, solutions, stations, basis, measurement_set)
    _antenna(path, stations)
    _field(path, centre, field, float(solutions.time.mean()))
    _window(path, solutions, frequency, width)
    _observation(path, telescope, solutions)
    _history(path, history, float(solutions.time.mean()))


def read_casa(path: str | Path) -> Solutions:
    """Read a calibration table of complex gains with one spectral window, made by CASA or `write_casa`.

    Raises
    ------
    TableError
        If there is none at this path, or it is of another kind.
    """
    path = Path(path)
    if not (path / "table.dat").is_file():
        raise TableError(f"calibration table {path}: no such table")
    with table(str(path), ack=False) as main:
        kinds = {name: kind for kind, name in NAMES.items()}
        kind = kinds.get(main.info().get("subType", ""))
        if kind is None or main.getkeyword("ParType") != "Complex":
            raise TableError(
                f"calibration table {path}: found {main.info().get('subType')!r}; "
                f"expected complex {' or '.join(NAMES.values())}"
            )
        columns = {
            name: main.getcol(name)
            for name in (
                "TIME",
                "INTERVAL",
                "ANTENNA1",
                "ANTENNA2",
                "SPECTRAL_WINDOW_ID",
                "CPARAM",
                "PARAMERR",
                "FLAG",
                "SNR",
            )
        }
    if len(np.unique(columns["SPECTRAL_WINDOW_ID"])) != 1:
        raise TableError(f"calibration table {path}: several spectral windows; expected one")
    return _from_columns(path, kind, columns)


def _from_columns(path: Path, kind: str, columns: dict[str, Any]) -> Solutions:
    with table(str(path / "ANTENNA"), ack=False) as antennas:
        names = tuple(str(name) for name in antennas.getcol("NAME"))
    with table(str(path / "SPECTRAL_WINDOW"), ack=False) as windows:
        band = np.asarray(windows.getcell("CHAN_FREQ", int(columns["SPECTRAL_WINDOW_ID"][0])))
    with table(str(path), ack=False) as main:
        basis = str(main.getkeyword("PolBasis")).lower()
        known = "pyuvdata_jones" in main.keywordnames() and main.getkeyword("pyuvdata_jones")[0] == -1
    receptors = ("R", "L") if basis == "circular" or known else ("X", "Y")
    times, t = np.unique(columns["TIME"], return_inverse=True)
    _, channels, hands = columns["CPARAM"].shape
    shape = (len(times), len(names), channels, hands)
    gains, flags = np.ones(shape, np.complex128), np.ones(shape, np.bool_)
    errors, snr, interval = np.zeros(shape), np.zeros(shape), np.zeros(len(times))
    at = (t, columns["ANTENNA1"])
    gains[at], flags[at] = columns["CPARAM"], columns["FLAG"]
    errors[at], snr[at] = columns["PARAMERR"], columns["SNR"]
    interval[t] = columns["INTERVAL"]
    gains[flags], errors[flags], snr[flags] = 1.0, 0.0, 0.0
    reference = int(columns["ANTENNA2"][0])
    return Solutions(
        kind,
        times,
        interval,
        band if kind == "B" else np.array([band.mean()]),
        names,
        receptors[:hands],
        gains,
        flags,
        errors,
        snr,
        max(reference, 0),
        {"from": "calibration table"},
    )


def _basis(path: Path, solutions: Solutions) -> list[int]:
    """Jones elements by the numbers of pyuvdata: XX -5, YY -6, RR -1, LL -2."""
    numbers = {"X": -5, "Y": -6, "R": -1, "L": -2}
    found = set(solutions.polarisations)
    if not found or not (found <= LINEAR or found <= CIRCULAR):
        raise TableError(
            f"calibration table {path}: receptors {solutions.polarisations}; expected X and Y, or R and L"
        )
    return [numbers[name] for name in solutions.polarisations]


def _cubes(solutions: Solutions, stations: Stations) -> dict[str, npt.NDArray[Any]]:
    """Columns in the order (time, station), two receptors each."""
    number = {name: place for place, name in enumerate(solutions.stations)}
    has = [name in number for name in stations.names]
    place = [number.get(name, 0) for name in stations.names]
    receptor = [0, min(1, len(solutions.polarisations) - 1)]
    order = np.argsort([name in ("Y", "L") for name in solutions.polarisations], kind="stable")
    receptor = [int(order[k]) for k in receptor]

    def cube(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        picked = values[:, place][..., receptor]
        return picked.reshape(-1, *picked.shape[2:])

    flags = cube(solutions.flags).copy()
    flags[np.tile(~np.array(has), len(solutions.time))] = True
    if len(solutions.polarisations) == 1:
        flags[..., 1] = True
    return {
        "CPARAM": cube(solutions.gains).astype(np.complex64),
        "PARAMERR": cube(solutions.errors).astype(np.float32),
        "FLAG": flags,
        "SNR": cube(solutions.snr).astype(np.float32),
    }


def _main(
    path: Path, solutions: Solutions, stations: Stations, basis: list[int], measurement_set: str
) -> None:
    count, n = len(solutions.time), len(stations.names)
    cubes = _cubes(solutions, stations)
    whole = dict.fromkeys(
        ("FIELD_ID", "SPECTRAL_WINDOW_ID", "ANTENNA1", "ANTENNA2", "SCAN_NUMBER", "OBSERVATION_ID"), 0
    )
    cells = list(cubes["CPARAM"].shape[1:])
    description = maketabdesc(
        [makescacoldesc(name, 0.0) for name in ("TIME", "INTERVAL")]
        + [makescacoldesc(name, value) for name, value in whole.items()]
        + [
            makearrcoldesc(name, value, ndim=2, shape=cells, options=DIRECT)
            for name, value in (
                ("CPARAM", 0j),
                ("PARAMERR", 0.0),
                ("FLAG", False),
                ("SNR", 0.0),
                ("WEIGHT", 0.0),
            )
        ]
    )
    for name, kind in (("CPARAM", "complex"), ("PARAMERR", "float"), ("SNR", "float"), ("WEIGHT", "float")):
        description[name]["valueType"] = kind
    with table(str(path), description, nrow=count * n, ack=False) as main:
        main.putcol("TIME", np.repeat(solutions.time, n))
        main.putcol("INTERVAL", np.repeat(solutions.interval, n))
        main.putcol("ANTENNA1", np.tile(np.arange(n, dtype=np.int32), count))
        main.putcol("ANTENNA2", np.full(count * n, _reference(solutions, stations), np.int32))
        for name in ("FIELD_ID", "SPECTRAL_WINDOW_ID", "SCAN_NUMBER", "OBSERVATION_ID"):
            main.putcol(name, np.zeros(count * n, np.int32))
        for name, values in cubes.items():
            main.putcol(name, values)
        main.putcol("WEIGHT", np.ones((count * n, *cells), np.float32))
        for name, unit in UNITS.items():
            main.putcolkeyword(name, "QuantumUnits", np.array([unit]))
        main.putcolkeyword("TIME", "MEASINFO", {"type": "epoch", "Ref": "UTC"})
        main.putkeyword("ParType", "Complex")
        main.putkeyword("MSName", measurement_set)
        main.putkeyword("VisCal", NAMES[solutions.kind])
        main.putkeyword("PolBasis", "unknown")  # what CASA itself writes; readers expect it
        main.putkeyword("pyuvdata_jones", np.array(sorted(basis, reverse=True)))
        main.putinfo({"type": "Calibration", "subType": NAMES[solutions.kind], "readme": ""})


def _reference(solutions: Solutions, stations: Stations) -> int:
    name = solutions.stations[solutions.reference]
    return stations.names.index(name) if name in stations.names else -1


def _subtable(path: Path, name: str, values: dict[str, Any], rows: int = 1) -> None:
    """Make a subtable with all columns that a Measurement Set's must have; arrays of numbers get a fixed shape."""
    description = required_ms_desc(name)
    for column, content in values.items():
        if isinstance(content, np.ndarray) and content.ndim > 1:
            description[column] |= {"shape": np.array(content.shape[1:]), "option": DIRECT}
    with table(str(path / name), description, nrow=rows, ack=False) as opened:
        for column, content in values.items():
            opened.putcol(column, content)
    with table(str(path), readonly=False, ack=False) as main, table(str(path / name), ack=False) as sub:
        main.putkeyword(name, sub, makesubrecord=False)


def _antenna(path: Path, stations: Stations) -> None:
    n = len(stations.names)
    values = {
        "NAME": list(stations.names),
        "STATION": list(stations.names),
        "TYPE": ["GROUND-BASED"] * n,
        "MOUNT": ["ALT-AZ"] * n,
        "POSITION": stations.positions,
        "OFFSET": np.zeros((n, 3)),
        "DISH_DIAMETER": stations.diameter,
        "FLAG_ROW": np.zeros(n, bool),
    }
    _subtable(path, "ANTENNA", values, n)


def _field(path: Path, centre: tuple[float, float], name: str, time: float) -> None:
    direction = np.array(centre).reshape(1, 1, 2)
    values = {
        "NAME": [name],
        "CODE": [""],
        "TIME": np.array([time]),
        "NUM_POLY": np.zeros(1, np.int32),
        "DELAY_DIR": direction,
        "PHASE_DIR": direction,
        "REFERENCE_DIR": direction,
        "SOURCE_ID": np.zeros(1, np.int32),
        "FLAG_ROW": np.zeros(1, bool),
    }
    _subtable(path, "FIELD", values)


def _window(path: Path, solutions: Solutions, frequency: Floats, width: float) -> None:
    centres = solutions.frequency
    widths = np.full(len(centres), width)
    if solutions.kind != "B":
        widths = np.array([frequency[-1] - frequency[0] + width])
    values = {
        "CHAN_FREQ": centres[None],
        "CHAN_WIDTH": widths[None],
        "EFFECTIVE_BW": widths[None],
        "RESOLUTION": widths[None],
        "REF_FREQUENCY": centres[:1],
        "TOTAL_BANDWIDTH": np.array([widths.sum()]),
        "MEAS_FREQ_REF": np.array([5], np.int32),  # topocentric
        "NUM_CHAN": np.array([len(centres)], np.int32),
        "FREQ_GROUP": np.zeros(1, np.int32),
        "IF_CONV_CHAIN": np.zeros(1, np.int32),
        "NET_SIDEBAND": np.zeros(1, np.int32),
        "NAME": ["band"],
        "FREQ_GROUP_NAME": ["band"],
        "FLAG_ROW": np.zeros(1, bool),
    }
    _subtable(path, "SPECTRAL_WINDOW", values)


def _observation(path: Path, telescope: str, solutions: Solutions) -> None:
    begin = float(solutions.time[0] - solutions.interval[0] / 2.0)
    end = float(solutions.time[-1] + solutions.interval[-1] / 2.0)
    values = {
        "TELESCOPE_NAME": [telescope],
        "OBSERVER": [""],
        "SCHEDULE_TYPE": [""],
        "PROJECT": [""],
        "TIME_RANGE": np.array([[begin, end]]),
        "RELEASE_DATE": np.array([end]),
        "FLAG_ROW": np.zeros(1, bool),
        "LOG": _EMPTY,
        "SCHEDULE": _EMPTY,
    }
    _subtable(path, "OBSERVATION", values)


def _history(path: Path, text: str, time: float) -> None:
    values = {
        "TIME": np.array([time]),
        "OBSERVATION_ID": np.zeros(1, np.int32),
        "OBJECT_ID": np.zeros(1, np.int32),
        "MESSAGE": [text],
        "PRIORITY": ["INFO"],
        "ORIGIN": ["solve"],
        "APPLICATION": ["towpath"],
        "CLI_COMMAND": _EMPTY,
        "APP_PARAMS": _EMPTY,
    }
    _subtable(path, "HISTORY", values)
