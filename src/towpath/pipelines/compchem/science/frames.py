"""Reads frames of trajectories one at a time: GROMACS' xtc and trr, AMBER's netCDF, CHARMM's and NAMD's DCD.

Whole frames are counted from the headers alone, so a file that was cut within a frame gives all frames before it.
Nothing is written beside the input: indices of xtc and trr stay in memory. Lengths are nm, times ps.
"""

import shutil
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from .outcome import Unreadable
from .sniff_gromacs import TRR_MAGIC, XTC_LARGE_MAGIC, XTC_MAGIC, sniff_gromacs
from .topology import UNREADABLE

Floats = npt.NDArray[np.float64]

MOST_INDEXED = 20_000_000  # frames


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: time in ps, positions in nm of shape (n, 3), and the box's vectors in nm as rows or None."""

    time: float
    positions: npt.NDArray[np.floating[Any]]
    box: Floats | None


class Frames(Protocol):
    """The frames of one file that can be read in any order."""

    kind: str
    atoms: int
    count: int
    cut: bool  # the file ends within a frame, or before the frames that it promises

    def times(self) -> Floats | None:
        """Give the times of all frames in ps, where they are known without reading the frames."""

    def read(self, number: int) -> Frame:
        """Read a frame. Raises `OSError` or another of `UNREADABLE` where it is damaged."""


def open_frames(path: Path, folder: Path) -> Frames:
    """Open a trajectory.

    Parameters
    ----------
    path
        Of the file, told by its content; its name says nothing.
    folder
        Where copies that reading needs are made.

    Raises
    ------
    Unreadable
        If it is no trajectory that can be read, or has not one whole frame.
    """
    with path.open("rb") as file:
        kind = sniff_gromacs(file.read(4096))
    if kind not in _OPENERS:
        found = f"it looks like {kind}" if kind else "nothing in it is known"
        raise Unreadable(
            f"The trajectory cannot be read: {found}. Upload an .xtc, .trr, .dcd or an AMBER netCDF file."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of headers without box or time, which the outcome tells
        try:
            frames = _OPENERS[kind](path, folder)
        except UNREADABLE as error:
            raise Unreadable(
                f"The trajectory looks like {kind} but cannot be opened: it is cut or damaged. Upload it again."
            ) from error
    if not frames.count:
        raise Unreadable(
            f"The {kind} trajectory ends within its first frame, so nothing of it can be used. Upload it again."
        )
    return frames


class XdrFrames:
    """Frames of an xtc or trr file, found by an index of our own."""

    def __init__(self, path: Path, folder: Path) -> None:
        with path.open("rb") as file:
            self.kind = sniff_gromacs(file.read(4096))
            step = _xtc_frame if self.kind == "xtc" else _trr_frame
            self.atoms, offsets, times, self.cut = _index(file, path.stat().st_size, step)
        self.count, self._times = len(offsets), times
        self._path, self._offsets = path, np.asarray(offsets, dtype=np.int64)
        self._file: Any = None

    def times(self) -> Floats | None:
        """Give the times that the headers tell, in ps."""
        return self._times

    def read(self, number: int) -> Frame:
        """Read a frame. The file is opened by the first, so that a child process has one of its own."""
        if self._file is None:
            self._file = _xdr_file(self._path, self.kind)
            self._file.set_offsets(self._offsets)
        self._file.seek(number)
        one = self._file.read()
        box = np.asarray(one.box, dtype=float)
        return Frame(float(one.time), np.asarray(one.x), box if _is_box(box) else None)


class LibraryFrames:
    """Frames that a reader of MDAnalysis gives, in Å and ps; only its netCDF and DCD readers leave no files behind."""

    def __init__(self, reader: Any, kind: str, *, cut: bool) -> None:
        self.kind, self.cut, self._reader = kind, cut, reader
        self.atoms, self.count = int(reader.n_atoms), int(reader.n_frames)

    def times(self) -> Floats | None:
        """Give None: times are in the frames."""
        return None

    def read(self, number: int) -> Frame:
        """Read a frame."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of frames without a box
            one = self._reader[number]
            vectors = one.triclinic_dimensions
        box = None if vectors is None else np.asarray(vectors, dtype=float) / 10.0
        with np.errstate(invalid="ignore"):  # damaged numbers are found by who reads the frame
            positions = np.asarray(one.positions, dtype=float) / 10.0
        return Frame(float(one.time), positions, box if box is not None and _is_box(box) else None)


def _is_box(box: Floats) -> bool:
    return bool(np.isfinite(box).all()) and abs(float(np.linalg.det(box))) > 1e-9


def _xdr_file(path: Path, kind: str) -> Any:
    from MDAnalysis.lib.formats.libmdaxdr import TRRFile, XTCFile  # optional: slow to load

    return (XTCFile if kind == "xtc" else TRRFile)(str(path))


Step = Callable[
    [bytes], tuple[int, int, float, bool]
]  # of a header: atoms, bytes of the frame, time, has positions


def _index(file: BinaryIO, size: int, step: Step) -> tuple[int, list[int], Floats, bool]:
    """Atoms, where whole frames with positions begin, their times, and whether the file ends otherwise than whole."""
    offsets, times, at, atoms = list[int](), list[float](), 0, 0
    while at < size and len(offsets) < MOST_INDEXED:
        file.seek(at)
        try:
            here, length, time, placed = step(file.read(100))
        except (struct.error, ValueError):
            break
        atoms = atoms or here
        if here != atoms or at + length > size:
            break
        if placed:
            offsets.append(at)
            times.append(time)
        at += length
    return atoms, offsets, np.asarray(times, dtype=float), at != size


def _xtc_frame(head: bytes) -> tuple[int, int, float, bool]:
    """Magic, atoms, step, time, box, atoms; then up to nine atoms as they are, or packed after a head of their own."""
    magic, atoms, _, time = struct.unpack_from(">iiif", head)
    if magic == XTC_LARGE_MAGIC:
        raise Unreadable(
            "The trajectory is an xtc of the kind for more than 298,261,617 atoms, which nothing here can read. "
            "Upload a part of the atoms, written with gmx trjconv."
        )
    if magic != XTC_MAGIC or atoms <= 0 or struct.unpack_from(">i", head, 52)[0] != atoms:
        raise ValueError("no frame of an xtc file")
    if atoms <= 9:
        return atoms, 56 + 12 * atoms, time, True
    (packed,) = struct.unpack_from(">i", head, 88)
    if packed <= 0:
        raise ValueError("no packed coordinates")
    return atoms, 92 + (packed + 3) // 4 * 4, time, True


def _trr_frame(head: bytes) -> tuple[int, int, float, bool]:
    """Magic, a name, sizes of ten blocks, atoms, step and a reserve, time and lambda, then the blocks."""
    magic, _, _, name = struct.unpack_from(">iii12s", head)
    *sizes, atoms, _, _ = struct.unpack_from(">13i", head, 24)
    if magic != TRR_MAGIC or name != b"GMX_trn_file" or atoms <= 0 or min(sizes) < 0:
        raise ValueError("no frame of a trr file")
    block = max(sizes[7], sizes[8], sizes[9])
    double = sizes[2] == 72 if sizes[2] else block == 24 * atoms
    (time,) = struct.unpack_from(">d" if double else ">f", head, 76)
    return atoms, 76 + (16 if double else 8) + sum(sizes), time, sizes[7] > 0


def _open_dcd(path: Path, folder: Path) -> Frames:
    from MDAnalysis.coordinates.DCD import DCDReader  # optional: slow to load
    from MDAnalysis.lib.formats.libdcd import DCDFile  # optional: slow to load

    with path.open("rb") as file:
        head = file.read(12)
    order = "<" if struct.unpack_from("<i", head)[0] == 84 else ">"
    promised = struct.unpack_from(order + "i", head, 8)[0]
    DCDFile(
        str(path)
    ).close()  # what is damaged is refused here: a reader that could not start complains when it goes
    reader = DCDReader(str(path))
    return LibraryFrames(reader, "dcd", cut=reader.n_frames < promised)


def _open_netcdf(path: Path, folder: Path) -> Frames:
    from MDAnalysis.coordinates.TRJ import NCDFReader  # optional: slow to load

    whole = _whole_netcdf(path, folder)
    reader = NCDFReader(str(whole))
    return LibraryFrames(reader, "netcdf", cut=whole != path)


def _whole_netcdf(path: Path, folder: Path) -> Path:
    """The file itself, or where it is cut a copy that promises only the records that are there.

    Classic netCDF has the number of its records in bytes 4 to 7; the largest that can be mapped is found by halving.
    """
    if _can_open(path):
        return path
    copy = folder / "cut.nc"
    shutil.copyfile(path, copy)
    with path.open("rb") as file:
        (promised,) = struct.unpack_from(">i", file.read(8), 4)
    low, high = 0, max(promised, 0)
    while high - low > 1:
        middle = (low + high) // 2
        _promise(copy, middle)
        low, high = (middle, high) if _can_open(copy) else (low, middle)
    _promise(copy, low)
    if not low:
        raise OSError("no whole record")
    return copy


def _promise(path: Path, records: int) -> None:
    with path.open("r+b") as file:
        file.seek(4)
        file.write(struct.pack(">i", records))


def _can_open(path: Path) -> bool:
    from scipy.io import netcdf_file  # optional: slow to load

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of arrays that still point into the closed map: none is kept
        try:
            netcdf_file(str(path), "r", mmap=True).close()
        except UNREADABLE:
            return False
    return True


_OPENERS: dict[str, Callable[[Path, Path], Frames]] = {
    "xtc": XdrFrames,
    "trr": XdrFrames,
    "dcd": _open_dcd,
    "netcdf": _open_netcdf,
}
