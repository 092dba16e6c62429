"""Measurement Sets: their visibilities read whole or in blocks, and columns added without a copy of the set.

Promises the one convention of `Visibilities`, and that a set which was extended is never written through a link.
Never converts units.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy import units
from astropy.coordinates import FK5, SkyCoord
from casacore.tables import makearrcoldesc, maketabdesc, table

from .visibilities import Floats, Stations, Visibilities

CORRELATIONS = {5: "RR", 6: "RL", 7: "LR", 8: "LL", 9: "XX", 10: "XY", 11: "YX", 12: "YY"}
BLOCK = 32 * 1024 * 1024  # bytes of visibilities per block
_BYTES = 8 + 4 + 1 / 8  # of one sample: a complex column, WEIGHT_SPECTRUM, FLAG
_BESIDE = 700_000  # bytes of subtables and headers of the smallest set
_KINDS = {"CORRECTED_DATA": "complex", "MODEL_DATA": "complex", "FLAG": "boolean", "WEIGHT_SPECTRUM": "float"}


class MeasurementSetError(ValueError):
    """A Measurement Set is not what was asked for: the message names the set, place, found and expected."""


def opened(path: Path, *, write: bool = False) -> Any:
    """Open a table; close it when done.

    Raises
    ------
    MeasurementSetError
        If it is none, or not whole.
    """
    try:
        return table(str(path), readonly=not write, ack=False)
    except RuntimeError as error:
        raise MeasurementSetError(
            f"Measurement Set {path.name}: found {error}; expected a whole table"
        ) from None


def ask_room(target: Path, samples: int) -> None:
    """Ask whether the disk has room for a set of so many samples, before casacore writes any of it.

    casacore ends the whole process when a disk is full, so that nobody learns why.

    Raises
    ------
    OSError
        If it has not (ENOSPC), with what is needed and what is free.
    """
    needed, free = int(samples * _BYTES) + _BESIDE, shutil.disk_usage(target.parent).free
    if needed > free:
        raise OSError(
            errno.ENOSPC,
            f"{os.strerror(errno.ENOSPC)}: found {free} bytes free; expected {needed} for a Measurement Set",
            str(target),
        )


def subtable(path: Path, name: str) -> dict[str, Any]:
    """All columns of a subtable that are the same in shape for all of its rows."""
    with opened(path / name) as rows:
        found = {}
        for column in rows.colnames():
            try:
                found[column] = rows.getcol(column) if rows.nrows() else []
            except RuntimeError:
                continue  # cells unset or of different shapes; who needs such a column misses it by name
        return found


def read_visibilities(
    path: Path,
    *,
    column: str = "DATA",
    rows: slice | None = None,
    channels: slice | None = None,
    field: int | None = None,
    window: int | None = None,
) -> Visibilities:
    """Read visibilities, of any Measurement Set.

    Parameters
    ----------
    column
        DATA, CORRECTED_DATA or MODEL_DATA.
    rows, channels
        Which of the rows (after selection by field and window) and of the channels (ascending); all if None. No steps.
    field
        Number of the only field to read; all if None.
    window
        Number of the data description (spectral window with its polarisations); needed if there are several.

    Raises
    ------
    MeasurementSetError
        If it is no whole table, lacks the column, or has several spectral windows and none is chosen.
    """
    with opened(path) as main:
        if column not in main.colnames():
            raise MeasurementSetError(f"Measurement Set {path.name}: found no column {column}; expected it")
        number = _window(path, main, window)
        spectrum, polarisations = _spectrum(path, number)
        query = f"DATA_DESC_ID=={number}" + ("" if field is None else f" && FIELD_ID=={field}")
        chosen = main if _is_all(main, number, field) else main.query(query)
        low, high, step = (rows or slice(None)).indices(chosen.nrows())
        if step != 1:
            raise MeasurementSetError(f"Measurement Set {path.name}, rows: found step {step}; expected 1")
        return _read(path, chosen, column, (low, max(0, high - low)), channels, spectrum, polarisations)


def iterate(
    path: Path, column: str = "DATA", rows_per_block: int = 4656, **choice: Any
) -> Iterator[Visibilities]:
    """Read visibilities block by block: `choice` is that of `read_visibilities`, without rows."""
    with opened(path) as main:
        total = main.nrows()
    for low in range(0, total, rows_per_block):
        block = read_visibilities(path, column=column, rows=slice(low, low + rows_per_block), **choice)
        if block.time.size == 0:
            return
        yield block


def read_stations(path: Path) -> Stations:
    """Return the stations of a Measurement Set."""
    found = subtable(path, "ANTENNA")
    return Stations(tuple(found["NAME"]), np.asarray(found["POSITION"]), np.asarray(found["DISH_DIAMETER"]))


def read_centres(path: Path, column: str = "PHASE_DIR") -> Floats:
    """Phase centres of the fields in radians (ICRS): shape (field, 2)."""
    with opened(path / "FIELD") as fields:
        found = np.asarray(fields.getcol(column), dtype=np.float64)[:, 0, :]
        reference = fields.getcolkeywords(column).get("MEASINFO", {}).get("Ref", "J2000")
    if reference == "ICRS":
        return found
    if reference != "J2000":
        raise MeasurementSetError(
            f"Measurement Set {path.name}, FIELD {column}: found frame {reference}; expected ICRS or J2000"
        )
    place = SkyCoord(found[:, 0] * units.rad, found[:, 1] * units.rad, frame=FK5()).icrs
    return np.stack([place.ra.rad, place.dec.rad], axis=1)


def _is_all(main: Any, number: int, field: int | None) -> bool:
    return bool((main.getcol("DATA_DESC_ID") == number).all()) and (
        field is None or bool((main.getcol("FIELD_ID") == field).all())
    )


def _window(path: Path, main: Any, window: int | None) -> int:
    used = [int(one) for one in np.unique(main.getcol("DATA_DESC_ID"))] if main.nrows() else [0]
    if window is None and len(used) == 1:
        return used[0]
    if window not in used:
        raise MeasurementSetError(
            f"Measurement Set {path.name}, data descriptions: found {used}; expected {window}"
        )
    return int(window)


def _spectrum(path: Path, number: int) -> tuple[tuple[Floats, float], tuple[str, ...]]:
    description = subtable(path, "DATA_DESCRIPTION")
    with opened(path / "SPECTRAL_WINDOW") as windows:
        window = int(description["SPECTRAL_WINDOW_ID"][number])
        frequency = np.asarray(windows.getcell("CHAN_FREQ", window), dtype=np.float64)
        width = float(np.abs(windows.getcell("CHAN_WIDTH", window)[0]))
    with opened(path / "POLARIZATION") as kinds:
        types = kinds.getcell("CORR_TYPE", int(description["POLARIZATION_ID"][number]))
    return (frequency, width), tuple(CORRELATIONS.get(int(one), str(int(one))) for one in types)


def _read(
    path: Path,
    chosen: Any,
    column: str,
    rows: tuple[int, int],
    channels: slice | None,
    spectrum: tuple[Floats, float],
    polarisations: tuple[str, ...],
) -> Visibilities:
    frequency, width = spectrum
    descends = frequency.size > 1 and frequency[0] > frequency[-1]
    ascending = frequency[::-1] if descends else frequency
    picked = channels or slice(None)

    def cube(name: str) -> npt.NDArray[Any]:
        if rows[1] == 0:
            return np.zeros((0, frequency.size, len(polarisations)), dtype=np.complex64)[:, picked]
        try:
            found = np.asarray(chosen.getcol(name, *rows))
        except RuntimeError as error:
            raise MeasurementSetError(
                f"Measurement Set {path.name}, {name}: found {error}; expected cells"
            ) from None
        return np.ascontiguousarray((found[:, ::-1] if descends else found)[:, picked])

    def plain(name: str) -> npt.NDArray[Any]:
        return np.asarray(chosen.getcol(name, *rows)) if rows[1] else np.asarray(chosen.getcol(name))[:0]

    data = cube(column).astype(np.complex64, copy=False)
    has_weights = (
        "WEIGHT_SPECTRUM" in chosen.colnames()
        and rows[1]
        and chosen.iscelldefined("WEIGHT_SPECTRUM", rows[0])
    )
    weights = (
        cube("WEIGHT_SPECTRUM") if has_weights else np.broadcast_to(plain("WEIGHT")[:, None, :], data.shape)
    )
    uvw = plain("UVW").reshape(-1, 3)
    return Visibilities(
        uvw=uvw,
        time=plain("TIME"),
        interval=plain("INTERVAL"),
        antenna1=plain("ANTENNA1").astype(np.int32, copy=False),
        antenna2=plain("ANTENNA2").astype(np.int32, copy=False),
        field=plain("FIELD_ID").astype(np.int32, copy=False),
        centres=read_centres(path),
        frequency=ascending[picked].copy(),
        width=width,
        polarisations=polarisations,
        data=data,
        flags=cube("FLAG").astype(np.bool_, copy=False) | plain("FLAG_ROW").astype(np.bool_)[:, None, None],
        weights=np.array(weights, dtype=np.float32, copy=None),
        stations=read_stations(path),
    )


def write_columns(
    path: Path,
    *,
    first: int = 0,
    corrected: npt.NDArray[np.complex64] | None = None,
    flags: npt.NDArray[np.bool_] | None = None,
    weights: npt.NDArray[np.float32] | None = None,
) -> None:
    """Write rows from `first` on, each (row, channel, polarisation); FLAG_ROW follows FLAG.

    Meant for sets of one spectral window with ascending channels, such as `convert` and `extend` make.

    Raises
    ------
    MeasurementSetError
        If the set lacks a column or its rows.
    """
    values = {"CORRECTED_DATA": corrected, "FLAG": flags, "WEIGHT_SPECTRUM": weights}
    with opened(path, write=True) as main:
        for column, value in values.items():
            if value is None:
                continue
            if column not in main.colnames() or first + len(value) > main.nrows():
                raise MeasurementSetError(
                    f"Measurement Set {path.name}: found columns {main.colnames()} of {main.nrows()} rows; "
                    f"expected {column} with rows {first} to {first + len(value)}"
                )
            main.putcol(column, value, first, len(value))
        if flags is not None:
            main.putcol("FLAG_ROW", flags.all(axis=(1, 2)), first, len(flags))


def extend(
    source: Path,
    target: Path,
    *,
    corrected: npt.NDArray[np.complex64] | None = None,
    flags: npt.NDArray[np.bool_] | None = None,
    weights: npt.NDArray[np.float32] | None = None,
) -> None:
    """Make a set that shares the unchanged large columns of `source` on disk, and has columns of its own.

    Its own are CORRECTED_DATA, FLAG, WEIGHT_SPECTRUM and FLAG_ROW; what is not given is filled from the source
    (CORRECTED_DATA from DATA). Data files of tiled columns are hard links (copies on another device); all else is a copy.

    Parameters
    ----------
    source, target
        A Measurement Set of one spectral window, and the folder to make.
    corrected, flags, weights
        For all rows: (row, channel, polarisation), or None.

    Raises
    ------
    MeasurementSetError
        If the target exists, or the source is no whole set.
    OSError
        If the disk has no room for it.
    """
    if target.exists():
        raise MeasurementSetError(f"Measurement Set {target.name}: found one already; expected none")
    with opened(source) as main:
        ask_room(target, main.nrows() * int(np.asarray(main.getcell("DATA", 0)).size))
    shutil.copytree(source, target, copy_function=_share)
    with opened(target, write=True) as main:
        shape = np.asarray(main.getcell("DATA", 0)).shape
        for column in ("FLAG", "WEIGHT_SPECTRUM", "CORRECTED_DATA"):
            if column in main.colnames():
                main.removecols(column)
            description, manager = tiled(column, shape)
            main.addcols(description, manager)
    given = {"CORRECTED_DATA": corrected, "FLAG": flags, "WEIGHT_SPECTRUM": weights}
    with opened(source) as old, opened(target, write=True) as new:
        for column, value in given.items():
            _fill(old, new, column, value, shape)
        if flags is not None:
            new.putcol("FLAG_ROW", flags.all(axis=(1, 2)))


def _share(source: str, target: str) -> None:
    """Link the data file of a tiled column, copy another: casacore rewrites headers and locks in place."""
    if "_TSM" in Path(source).name:
        try:
            os.link(source, target)
            return
        except OSError:
            pass  # another device, or a file system without links: a copy serves
    shutil.copy2(source, target)


def _fill(old: Any, new: Any, column: str, value: npt.NDArray[Any] | None, shape: tuple[int, ...]) -> None:
    rows = max(1, BLOCK // (8 * int(np.prod(shape))))
    for low in range(0, old.nrows(), rows):
        count = min(rows, old.nrows() - low)
        if value is not None:
            new.putcol(column, value[low : low + count], low, count)
        elif column == "WEIGHT_SPECTRUM" and (
            column not in old.colnames() or not old.iscelldefined(column, low)
        ):
            weight = old.getcol("WEIGHT", low, count)[:, None, :]
            new.putcol(column, np.ascontiguousarray(np.broadcast_to(weight, (count, *shape))), low, count)
        else:
            name = "DATA" if column == "CORRECTED_DATA" and column not in old.colnames() else column
            new.putcol(column, old.getcol(name, low, count), low, count)


def tiled(column: str, shape: tuple[int, ...]) -> tuple[Any, dict[str, Any]]:
    """Describe a cube column (channel, polarisation) with a storage manager of its own: description, manager."""
    kind = _KINDS.get(column, "complex")
    channels, polarisations = shape
    zero: Any = {"complex": 0j, "boolean": False, "float": 0.0}[kind]
    name = f"Tiled_{column}"
    wide = min(channels, 64)
    tile = [polarisations, wide, max(1, 16384 // (polarisations * wide))]
    description = maketabdesc(
        makearrcoldesc(
            column, zero, ndim=2, shape=[channels, polarisations], options=4, valuetype=kind,
            datamanagertype="TiledColumnStMan", datamanagergroup=name,
        )
    )  # fmt: skip
    manager = {
        "*1": {
            "NAME": name,
            "TYPE": "TiledColumnStMan",
            "SPEC": {"DEFAULTTILESHAPE": tile},
            "COLUMNS": [column],
        }
    }
    return description, manager
