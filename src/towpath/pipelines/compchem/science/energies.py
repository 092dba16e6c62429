"""Reads what GROMACS tells of a run over time: energy files (`.edr`) and tables for Grace (`.xvg`).

Every term goes with its unit into one CSV. A file that was cut gives what stands before the cut and PARTIAL. It
promises no statistics beyond mean, spread and linear drift over the frames that are in the file.
"""

import contextlib
import csv
import io
import json
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .outcome import Outcome, Status, Unreadable, plain
from .sniff_gromacs import sniff_gromacs
from .topology import UNREADABLE
from .xvg import read_xvg

Floats = npt.NDArray[np.float64]

TIME, STEP = ("Time", "ps"), ("Step", "")
MOST_BYTES = 256 * 1024 * 1024
MADE = {"metadata": "metadata.json", "table": "energies.csv"}
OWN_VERSION = "1"
AGAIN = "Upload the whole file to get the rest."


def read_energies(files: Mapping[str, Sequence[Path]], folder: Path) -> Outcome:
    """Read energies or another table over time.

    Parameters
    ----------
    files
        Role ``"energies"``: an ``.edr`` or ``.xvg`` file.
    folder
        Where `metadata.json` (the terms with unit, mean, standard deviation, drift) and `energies.csv` (all terms of
        all frames; the first column is the time or the abscissa) go.

    Returns
    -------
    Outcome
        Outputs ``metadata`` and ``table``.

    Raises
    ------
    Unreadable
        If the file is neither, is larger than 256 MB, or has not one whole frame.
    """
    path = files["energies"][0]
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise Unreadable(
            f"The file has {size >> 20} MB and at most {MOST_BYTES >> 20} MB are read. Upload a thinner one "
            "(gmx eneconv -dt, or a longer -dt of the tool that wrote the table)."
        )
    with path.open("rb") as file:
        kind = sniff_gromacs(file.read(4096))
    if kind == "edr":
        return _energy_file(path, folder)
    if kind == "xvg" or (not kind and path.suffix.lower() == ".xvg"):
        return _table(path, folder)
    found = f"it looks like {kind}" if kind else "nothing in it is known"
    raise Unreadable(
        f"These are no energies that can be read: {found}. Upload an .edr or .xvg file of GROMACS."
    )


def _energy_file(path: Path, folder: Path) -> Outcome:
    columns, values, whole = _read_edr(path)
    abscissa, unit = ("time", "_ps") if columns[0] == TIME else ("step", "")
    facts = {
        "format": "GROMACS energies (edr)",
        "program": "GROMACS",
        "program_version": "",
        "parser": {"name": "pyedr", "version": version("pyedr")},
        **_course(columns, values),
        f"{abscissa}_first{unit}": values[0, 0],
        f"{abscissa}_last{unit}": values[-1, 0],
        "is_cut": not whole,
    }
    terms, count, span = len(columns) - 1, len(values), float(values[-1, 0] - values[0, 0])
    over = f"{span:g} ps" if unit else f"{span:g} steps of a minimisation"
    said = f"GROMACS energies: {terms} term{'s' * (terms != 1)} in {_frames(count)} over {over}."
    if whole:
        return _finish(folder, Status.SUCCESS, said, columns, values, facts)
    said += f" The file ends within a frame or is damaged there, so only whole frames before that were used. {AGAIN}"
    return _finish(folder, Status.PARTIAL, said, columns, values, facts)


def _counted(quantities: int) -> str:
    return "1 quantity" if quantities == 1 else f"{quantities} quantities"


def _frames(count: int) -> str:
    return f"{count} frame{'s' * (count != 1)}"


def _read_edr(path: Path) -> tuple[list[tuple[str, str]], Floats, bool]:
    """Columns, values of all frames, and whether the file ends with a whole frame."""
    from pyedr.pyedr import EDRFile  # optional: slow to load

    rows: list[list[float]] = []
    end, minimises = 0, True
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
    ):  # it prints of what it cannot read
        warnings.simplefilter("ignore")  # of older versions of the format, which it reads
        try:
            file = EDRFile(str(path))
            columns = [TIME, *((one.name, one.unit) for one in file.nms)]
        except UNREADABLE as error:
            raise Unreadable(
                "The energy file ends within its header or is damaged. Upload it again."
            ) from error
        with contextlib.suppress(*UNREADABLE):  # a damaged frame: those before it are kept
            for frame in file:
                if frame.ener:
                    rows.append([frame.t, *(one.e for one in frame.ener)])
                    minimises = minimises and frame.dt == 0.0 and frame.t == frame.step
                end = file.data.get_position()
    if not rows:
        raise Unreadable("The energy file has not one whole frame. Upload it again.")
    if minimises and len(rows) > 1:
        columns[0] = STEP  # a minimisation writes the number of the step for the time
    return columns, np.asarray(rows, dtype=float), end == path.stat().st_size


def _table(path: Path, folder: Path) -> Outcome:
    try:
        read = read_xvg(path)
    except ValueError as error:
        raise Unreadable(
            f"This is no table that can be read: {error}. Upload the .xvg as GROMACS wrote it."
        ) from error
    if read.values.shape[1] < 2:
        raise Unreadable(
            "The table has one column only, and nothing to be drawn against it. Upload a table of two."
        )
    columns = read.columns()
    facts = {
        "format": "GROMACS table (xvg)",
        "program": "GROMACS",
        "program_version": "",
        "parser": {"name": "towpath xvg", "version": OWN_VERSION},
        "title": read.title,
        "subtitle": read.subtitle,
        "x_label": read.x_label,
        "y_label": read.y_label,
        **_course(columns, read.values),
        "first_bad_line": read.bad_line,
    }
    rows, count = read.values.shape
    named = f"“{read.title}”, " if read.title else ""
    said = f"Table of GROMACS: {named}{rows} row{'s' * (rows != 1)} of {_counted(count - 1)} against {columns[0][0]}."
    wrong = []
    if read.bad_line is not None:
        wrong.append(
            f"Line {read.bad_line} is no whole row of {count} numbers, so only rows before it were used. {AGAIN}"
        )
    if read.more_sets:
        wrong.append("Only the first set, up to “&”, was read. Upload the sets in files of their own.")
    status = Status.PARTIAL if wrong else Status.SUCCESS
    return _finish(folder, status, " ".join([said, *wrong]), columns, read.values, facts)


def _course(columns: Sequence[tuple[str, str]], values: Floats) -> dict[str, Any]:
    """How many frames there are, and of every term mean, spread and drift."""
    x = values[:, 0]
    return {
        "frames": len(values),
        "terms": [
            {"name": name, "unit": unit, **_describe(x, values[:, i])}
            for i, (name, unit) in enumerate(columns)
            if i
        ],
    }


def _describe(x: Floats, y: Floats) -> dict[str, float | None]:
    """First, last, mean, standard deviation, and the change of a fitted line from the first to the last frame."""
    spread = float(np.ptp(x)) if len(x) > 1 else 0.0
    sound = spread > 0.0 and bool(np.isfinite(y).all())
    slope = float((x - x.mean()) @ (y - y.mean()) / ((x - x.mean()) ** 2).sum()) if sound else None
    return {
        "first": float(y[0]),
        "last": float(y[-1]),
        "mean": float(y.mean()),
        "standard_deviation": float(y.std()),
        "drift": None if slope is None else slope * spread,
    }


def _finish(
    folder: Path,
    status: Status,
    sentence: str,
    columns: Sequence[tuple[str, str]],
    values: Floats,
    facts: Mapping[str, Any],
) -> Outcome:
    with (folder / MADE["table"]).open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(f"{name} ({unit})" if unit else name for name, unit in columns)
        out.writerows([f"{one:.9g}" for one in row] for row in values.tolist())
    told = plain(facts)
    (folder / MADE["metadata"]).write_text(json.dumps(told, indent=1, allow_nan=False), encoding="utf-8")
    return Outcome(status, sentence, dict(MADE), told, told["parser"])
