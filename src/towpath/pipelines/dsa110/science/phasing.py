"""Brings a Measurement Set of many fields to one phase centre, for programs that image one field at a time.

Promises that only the copy is changed. Our own imaging does the same in memory and needs no copy.
"""

import shutil
from pathlib import Path

import numpy as np

from .coordinates import mean_direction, rotate
from .measurement_set import opened, read_centres, read_visibilities

ROWS = 4656  # in memory at a time


def phase_set(source: Path, target: Path, *, column: str = "CORRECTED_DATA") -> tuple[float, float]:
    """Copy a set and bring its rows to the mean of its phase centres, which is returned (radians, ICRS).

    Raises
    ------
    FileExistsError
        If there is something at the target.
    """
    shutil.copytree(source, target)
    centres = read_centres(target)
    ra, dec = mean_direction(centres)
    centre = np.array([ra, dec])
    with opened(target) as main:
        total, names = main.nrows(), main.colnames()
    for low in range(0, total, ROWS):
        block = read_visibilities(target, column=column, rows=slice(low, low + ROWS))
        data, uvw = rotate(block.data, block.uvw, block.frequency, block.field, centres, centre)
        with opened(target, write=True) as main:
            main.putcol(column, data, low, len(data))
            main.putcol("UVW", uvw, low, len(data))
            main.putcol("FIELD_ID", np.zeros(len(data), np.int32), low, len(data))
            if "DATA" in names and column != "DATA":
                main.putcol("DATA", data, low, len(data))
    with opened(target / "FIELD", write=True) as fields:
        for name in ("PHASE_DIR", "REFERENCE_DIR", "DELAY_DIR"):
            fields.putcell(name, 0, centre[None])
        fields.removerows(list(range(1, fields.nrows())))
    return ra, dec
