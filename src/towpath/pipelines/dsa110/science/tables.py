"""Writes solutions to files and reads them back: HDF5 of our own, and calibration tables that CASA reads.

Promises that a file is verified whole before a number of it is used (form, shapes, checksum, finite values), and that
what cannot be used is an error that names file and place. Files are written where the caller says, never moved.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from .solutions import Solutions

FORM = "towpath.dsa110.solutions"
VERSION = 1
AXES = ("time", "interval", "frequency")
CUBES = ("gains", "flags", "errors", "snr")
KINDS = ("B", "G")


class TableError(ValueError):
    """A file of solutions cannot be used: solve again, or choose another."""


def write_solutions(path: str | Path, solutions: Solutions) -> None:
    """Write solutions to a new HDF5 file.

    Raises
    ------
    TableError
        If a value is not finite, or an array has another shape than the others say.
    FileExistsError
        If the file exists.
    """
    arrays = {name: np.asarray(getattr(solutions, name)) for name in AXES + CUBES}
    _check(Path(path), solutions, arrays)
    facts = json.dumps(dict(solutions.facts), sort_keys=True)
    with h5py.File(path, "x") as file:
        file.attrs["form"], file.attrs["version"] = FORM, VERSION
        file.attrs["kind"], file.attrs["reference"] = solutions.kind, solutions.reference
        file.attrs["stations"] = json.dumps(solutions.stations)
        file.attrs["polarisations"] = json.dumps(solutions.polarisations)
        file.attrs["facts"] = facts
        file.attrs["convention"] = "measured visibility = gains[p] * conj(gains[q]) * true visibility"
        file.attrs["sha256"] = _digest(solutions, arrays, facts)
        for name, values in arrays.items():
            compression = {"compression": "lzf", "shuffle": True} if values.ndim == 4 else {}
            dataset = file.create_dataset(name, data=values, **compression)
            dataset.attrs["units"] = {"time": "s", "interval": "s", "frequency": "Hz"}.get(name, "1")


def read_solutions(path: str | Path) -> Solutions:
    """Read solutions and verify them.

    Raises
    ------
    TableError
        If the file is missing, not of this form, incomplete, or not what was written.
    """
    path = Path(path)
    if not path.is_file():
        raise TableError(f"solutions {path}: no such file")
    try:
        with h5py.File(path, "r") as file:
            _expect(path, "form", file.attrs.get("form"), FORM)
            _expect(path, "version", file.attrs.get("version"), VERSION)
            attributes = {name: file.attrs[name] for name in file.attrs}
            arrays = {name: file[name][()] for name in AXES + CUBES}
    except (OSError, KeyError) as error:
        raise TableError(f"solutions {path}: not a whole file of solutions: {error}") from None
    try:
        solutions = _build(attributes, arrays)
    except (KeyError, json.JSONDecodeError) as error:
        raise TableError(f"solutions {path}: attribute missing or unreadable: {error}") from None
    _check(path, solutions, arrays)
    found = _digest(solutions, arrays, str(attributes["facts"]))
    _expect(path, "sha256", attributes.get("sha256"), found)
    return solutions


def _build(attributes: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Solutions:
    return Solutions(
        kind=str(attributes["kind"]),
        time=arrays["time"],
        interval=arrays["interval"],
        frequency=arrays["frequency"],
        stations=tuple(json.loads(attributes["stations"])),
        polarisations=tuple(json.loads(attributes["polarisations"])),
        gains=arrays["gains"],
        flags=arrays["flags"],
        errors=arrays["errors"],
        snr=arrays["snr"],
        reference=int(attributes["reference"]),
        facts=json.loads(attributes["facts"]),
    )


def _expect(path: Path, place: str, found: Any, expected: Any) -> None:
    if found is None or found != expected:
        what = "nothing" if found is None else repr(found)
        raise TableError(f"solutions {path}, {place}: found {what}; expected {expected!r}")


def _check(path: Path, solutions: Solutions, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Raise where shapes disagree or a value is not finite."""
    if solutions.kind not in KINDS:
        raise TableError(
            f"solutions {path}, kind: found {solutions.kind!r}; expected one of {', '.join(KINDS)}"
        )
    shape = (
        len(solutions.time),
        len(solutions.stations),
        len(solutions.frequency),
        len(solutions.polarisations),
    )
    _expect(path, "interval, shape", arrays["interval"].shape, shape[:1])
    for name in CUBES:
        _expect(path, f"{name}, shape", arrays[name].shape, shape)
    for name, values in arrays.items():
        wrong = int(values.size - np.isfinite(values).sum())
        if wrong:
            raise TableError(
                f"solutions {path}, {name}: found {wrong} values that are not finite; expected none"
            )
    if not 0 <= solutions.reference < shape[1]:
        raise TableError(
            f"solutions {path}, reference: found {solutions.reference}; expected one of {shape[1]} stations"
        )


def _digest(solutions: Solutions, arrays: Mapping[str, npt.NDArray[Any]], facts: str) -> str:
    """sha256 of everything that the solutions say."""
    words = [solutions.kind, solutions.reference, solutions.stations, solutions.polarisations, facts]
    total = hashlib.sha256(json.dumps(words).encode())
    for name in AXES + CUBES:
        total.update(name.encode())
        total.update(np.ascontiguousarray(arrays[name]).tobytes())
    return total.hexdigest()
