"""Spoils observations as networks, clocks and disks do, for tests and demonstrations of what the pipeline does then.

Each function works on files that the simulator wrote, and says what it made. None touches any other file.
"""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import h5py
import numpy as np

NAME = re.compile(r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)_sb(?P<subband>\d\d)\.hdf5")
FORM = "%Y-%m-%dT%H:%M:%S"


def spoil_jitter(files: Sequence[Path], *, seconds: float = 3.0, seed: int = 1) -> list[Path]:
    """Shift the clock of every subband by up to `seconds` either way, in name and times; the first keeps its own."""
    rng = np.random.default_rng(seed)
    moved = [files[0]]
    for path in files[1:]:
        shift = int(rng.integers(-round(seconds), round(seconds) + 1))
        with h5py.File(path, "r+") as file:
            file["Header/time_array"][...] += shift / 86_400.0
        moved.append(path.rename(_shifted(path, shift)))
    return moved


def spoil_missing(files: Sequence[Path], subband: int) -> Path:
    """Remove a subband; the path it had."""
    path = _of(files, subband)
    path.unlink()
    return path


def spoil_late(files: Sequence[Path], subband: int, aside: Path) -> tuple[Path, Path]:
    """Put a subband aside: where it lies now, and where it is to be moved when it is to arrive."""
    path = _of(files, subband)
    aside.mkdir(parents=True, exist_ok=True)
    return Path(shutil.move(path, aside / path.name)), path


def spoil_duplicate(path: Path, *, seconds: int = 2) -> Path:
    """Write the same bytes again under the name of another second."""
    return Path(shutil.copyfile(path, _shifted(path, seconds)))


def spoil_rival(path: Path, *, seconds: int = 1) -> Path:
    """Write other bytes for the same subband and times, under the name of another second: the visibilities doubled."""
    rival = spoil_duplicate(path, seconds=seconds)
    with h5py.File(rival, "r+") as file:
        file["Data/visdata"][...] = 2.0 * file["Data/visdata"][...]
    return rival


def spoil_truncated(path: Path, *, share: float = 0.6) -> Path:
    """Cut a file off after this share of its bytes."""
    with path.open("r+b") as file:
        file.truncate(int(share * path.stat().st_size))
    return path


@dataclass(frozen=True, slots=True)
class Growing:
    """A file that is still being written: `path` is what is there, `whole` lies aside."""

    path: Path
    whole: Path

    def grow(self, share: float) -> bool:
        """Let the file grow to this share of its bytes; whether it is whole."""
        size = round(min(share, 1.0) * self.whole.stat().st_size)
        with self.whole.open("rb") as source, self.path.open("ab") as file:
            source.seek(file.tell())
            file.write(source.read(max(0, size - file.tell())))
        return self.path.stat().st_size == self.whole.stat().st_size


def spoil_growing(path: Path, aside: Path, *, share: float = 0.3) -> Growing:
    """Take a file back to this share of its bytes, so that it can grow again."""
    aside.mkdir(parents=True, exist_ok=True)
    growing = Growing(path, Path(shutil.move(path, aside / path.name)))
    growing.grow(share)
    return growing


def _of(files: Sequence[Path], subband: int) -> Path:
    for path in files:
        found = NAME.fullmatch(path.name)
        if found and int(found["subband"]) == subband:
            return path
    raise ValueError(f"subband {subband}: not among {', '.join(path.name for path in files)}")


def _shifted(path: Path, seconds: int) -> Path:
    found = NAME.fullmatch(path.name)
    if not found:
        raise ValueError(f"{path}: found name {path.name!r}; expected YYYY-MM-DDTHH:MM:SS_sbNN.hdf5")
    time = datetime.strptime(found["time"], FORM) + timedelta(seconds=seconds)
    return path.with_name(f"{time.strftime(FORM)}_sb{found['subband']}.hdf5")
