"""A set of solutions as one folder: bandpass, gains, short gains, their CASA tables, and what they are.

Promises that a set is verified whole when it is read, and that a set which is borrowed says so in every copy.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from .casa_tables import write_casa
from .gain_sums import GainSums, Scene, write_sums
from .provenance import Calibrated, calibrated_of
from .solutions import Solutions
from .tables import TableError, read_solutions, write_solutions

FACTS = "calibration.json"
SUMS = "sums.npz"
_FILES = {"bandpass": "bandpass.h5", "gains": "gains.h5", "short": "gains-short.h5"}
_CASA = {"bandpass": "bandpass.B", "gains": "gains.G", "short": "gains-short.G"}


@dataclass(frozen=True, slots=True)
class CalibrationSet:
    """Solutions that are applied together; `gains` and `short` may be missing while a set is being made."""

    calibrated: Calibrated
    bandpass: Solutions
    gains: Solutions | None = None
    short: Solutions | None = None

    def tables(self) -> Iterator[tuple[str, Solutions]]:
        """The tables that there are, by name."""
        for name in _FILES:
            found = getattr(self, name)
            if found is not None:
                yield name, found


def write_set(folder: Path, found: CalibrationSet, scene: Scene, sums: GainSums | None = None) -> None:
    """Write a set into a new folder.

    Parameters
    ----------
    folder
        Must not exist.
    found
        The set.
    scene
        Of the observation that was solved on.
    sums
        With a set that has no gains yet: what they will be solved from.
    """
    folder.mkdir()
    for table, solutions in found.tables():
        write_solutions(folder / _FILES[table], solutions)
        _write_casa(folder / _CASA[table], solutions, scene, found.calibrated)
    if sums is not None:
        write_sums(folder / SUMS, sums, scene)
    origin = found.calibrated.origin or _digest(folder / _FILES["bandpass"])
    _write_facts(folder, replace(found.calibrated, origin=origin))


def copy_set(source: Path, target: Path, calibrated: Calibrated) -> None:
    """Copy a set that is borrowed: the same tables, and facts that say so."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(FACTS))
    _write_facts(target, calibrated)


def read_facts(folder: Path) -> Calibrated:
    """What a set is.

    Raises
    ------
    TableError
        If the folder is no whole set.
    """
    path = folder / FACTS
    try:
        return calibrated_of(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise TableError(f"calibration set {folder}, {FACTS}: not readable: {error}") from None


def read_set(folder: Path) -> CalibrationSet:
    """Read a set and verify all of its tables.

    Raises
    ------
    TableError
        If a table or the facts are missing, or are not what was written.
    """
    facts = read_facts(folder)
    tables = {
        name: read_solutions(folder / file)
        for name, file in _FILES.items()
        if name == "bandpass" or (folder / file).exists()
    }
    return CalibrationSet(facts, **tables)


def _write_facts(folder: Path, calibrated: Calibrated) -> None:
    text = json.dumps(calibrated.document(), indent=2, sort_keys=True, ensure_ascii=False)
    (folder / FACTS).write_text(text + "\n", encoding="utf-8")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_casa(path: Path, solutions: Solutions, scene: Scene, facts: Calibrated) -> None:
    write_casa(
        path,
        solutions,
        stations=scene.stations,
        centre=scene.centre,
        frequency=scene.frequency,
        width=scene.width,
        telescope=scene.telescope,
        measurement_set=scene.measurement_set,
        field=facts.source or "calibrator",
        history=f"{facts.rung} on {facts.source}, observation {facts.observation}",
    )
