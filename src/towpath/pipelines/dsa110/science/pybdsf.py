"""Sources by PyBDSF, where it is installed: in a process of its own, for its licence and its memory are its own.

Promises the same table as `sources`. Never imports it here.
"""

import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from astropy.table import Table

from .sources import COLUMNS, RESOLVED, SourceTable

_CHILD = """
import json, sys
import bdsf
from pathlib import Path
options = json.loads(sys.argv[1])
image = bdsf.process_image(options["image"], thresh_pix=options["threshold"], thresh_isl=options["island"],
    quiet=True, ncores=1, **options["more"])
if image.nsrc:
    image.write_catalog(outfile=options["table"], format="fits", catalog_type="srl", clobber=True)
"""


class BdsfError(RuntimeError):
    """PyBDSF failed or is not installed: the message holds the end of what it said."""


def is_installed() -> bool:
    """Whether PyBDSF can be run by this Python."""
    return importlib.util.find_spec("bdsf") is not None


def find_sources_bdsf(
    path: Path | str,
    *,
    threshold: float = 5.0,
    island: float = 3.0,
    beam: tuple[float, float, float] | None = None,
    frequency: float | None = None,
    seconds: float = 1800.0,
) -> SourceTable:
    """Run PyBDSF (Mohan & Rafferty 2015, ascl:1502.007) on a FITS image in Jy/beam.

    Parameters
    ----------
    beam, frequency
        Degrees and Hz, where the header does not say.
    seconds
        How long it may take.

    Raises
    ------
    BdsfError
        If it is not installed, fails, or takes longer.
    """
    if not is_installed():
        raise BdsfError("PyBDSF is not installed; install bdsf, or use find_sources")
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "sources.fits"
        image = Path(folder) / "image.fits"  # it writes a log beside its input
        image.symlink_to(Path(path).resolve())
        more: dict[str, object] = {}
        if beam is not None:
            more["beam"] = beam
        if frequency is not None:
            more["frequency"] = frequency
        options = {"image": str(image), "table": str(table), "threshold": threshold, "island": island}
        command = [sys.executable, "-c", _CHILD, json.dumps({**options, "more": more})]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise BdsfError(f"PyBDSF took longer than {seconds:g} s on {path}") from None
        if done.returncode:
            raise BdsfError(f"PyBDSF failed on {path}: {done.stderr.strip()[-600:]}")
        return _table(Table.read(table) if table.exists() else None)


def _table(found: Table | None) -> SourceTable:
    if found is None:
        none = np.zeros(0)
        return SourceTable(**{name: none for name in COLUMNS if name != "flags"}, flags=np.zeros(0, np.int32))
    order = np.argsort(-np.asarray(found["Peak_flux"]), kind="stable")

    def column(name: str, factor: float = 1.0) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return np.asarray(found[name], np.float64)[order] * factor

    cosine = np.cos(np.radians(column("DEC")))
    rms = column("Isl_rms")
    return SourceTable(
        ra=column("RA"),
        dec=column("DEC"),
        ra_error=column("E_RA", 3600.0) * cosine,
        dec_error=column("E_DEC", 3600.0),
        peak=column("Peak_flux"),
        peak_error=column("E_Peak_flux"),
        flux=column("Total_flux"),
        flux_error=column("E_Total_flux"),
        snr=column("Peak_flux") / rms,
        rms=rms,
        major=column("Maj", 3600.0),
        minor=column("Min", 3600.0),
        position_angle=column("PA"),
        x=column("Xposn") if "Xposn" in found.colnames else np.full(len(found), np.nan),
        y=column("Yposn") if "Yposn" in found.colnames else np.full(len(found), np.nan),
        flags=np.where(column("DC_Maj") > 0.0, RESOLVED, 0).astype(np.int32),
    )
