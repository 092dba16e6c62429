"""Subband files in UVH5: their headers, and their data in blocks of rows.

Promises one form of header for UVH5 1.0 to 1.2 and the older ones with `phase_type`, and that a file which is
truncated, half written or not HDF5 is told as `SubbandError` with file, place, found and expected. Never writes.

Format: pyuvdata memo "UVH5 file format" (Hazelton et al. 2017, JOSS 2, 140).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
import numpy.typing as npt
from astropy import units
from astropy.coordinates import FK5, EarthLocation, SkyCoord
from astropy.time import Time

from .visibilities import Floats, Integers

POLARISATIONS = {-1: "RR", -2: "LL", -3: "RL", -4: "LR", -5: "XX", -6: "YY", -7: "XY", -8: "YX"}
CACHE = 4 * 1024 * 1024  # bytes of HDF5 chunks kept per data set


class SubbandError(ValueError):
    """A subband file cannot be used: wait until it is whole, send it again, or put it away."""


def wrong(path: Path, place: str, found: object, expected: str) -> SubbandError:
    """Return the error that names file, place, what was found and what was expected."""
    return SubbandError(f"subband {path.name}, {place}: found {found}; expected {expected}")


@dataclass(frozen=True, slots=True)
class Centre:
    """A phase centre as the file's catalogue has it.

    `kind` is ``sidereal`` (`longitude`, `latitude` are ICRS), ``driftscan`` (azimuth and elevation) or
    ``unprojected`` (not phased); angles in radians.
    """

    name: str
    kind: str
    longitude: float
    latitude: float


@dataclass(frozen=True, slots=True)
class Header:
    """What a subband file says of itself.

    Parameters
    ----------
    path, version
        Of the file, and of its format.
    telescope, instrument, history, units
        Texts; units of the visibilities such as ``Jy`` or ``uncalib``.
    origin : (3,) array
        Reference place of the array, metres (ITRS).
    names, positions, diameter
        Of all stations: (n,), (n, 3) metres (ITRS, absolute), (n,) metres (NaN where it is not told).
    time, interval : (row,) float64
        Middle of the integration as MJD in seconds (UTC), and its length in seconds.
    antenna1, antenna2 : (row,) int32
        Numbers into `names`, as the file orders them.
    uvw : (row, 3)
        Metres, in the file's precision.
    centre : (row,) int32
        Number into `centres`.
    centres
        The phase centres.
    frequency : (channel,)
        Hz, in the file's order.
    width
        Of a channel, Hz.
    polarisations
        In the file's order.
    extra
        Extra keywords.
    """

    path: Path
    version: str
    telescope: str
    instrument: str
    history: str
    units: str
    origin: Floats
    names: tuple[str, ...]
    positions: Floats
    diameter: Floats
    time: Floats
    interval: Floats
    antenna1: Integers
    antenna2: Integers
    uvw: Floats
    centre: Integers
    centres: tuple[Centre, ...]
    frequency: Floats
    width: float
    polarisations: tuple[str, ...]
    extra: Mapping[str, Any]

    @property
    def n_rows(self) -> int:
        """Baselines times integrations."""
        return int(self.time.size)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the data: rows, channels, polarisations."""
        return self.n_rows, self.frequency.size, len(self.polarisations)


class Subband:
    """An open subband file; a context manager.

    Raises
    ------
    SubbandError
        On opening, if the file is not whole.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = h5py.File(path, "r", rdcc_nbytes=CACHE, rdcc_nslots=10007)
        except FileNotFoundError:
            raise wrong(path, "file", "nothing", "a UVH5 file") from None
        except OSError as error:
            raise wrong(path, "file", f"{path.stat().st_size} bytes: {error}", "a whole HDF5 file") from None
        try:
            self.header = _Reader(path, self._file).header()
            self._sets = {
                name: self._data(f"Data/{name}", kinds)
                for name, kinds in {"visdata": "cVi", "flags": "bi", "nsamples": "fiu"}.items()
            }
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def chunk_rows(self) -> int:
        """Rows per chunk of the visibilities: blocks of a multiple are read at least cost; 1 if contiguous."""
        return int((self._sets["visdata"].chunks or (1,))[0])

    def visibilities(self, rows: slice | Integers) -> npt.NDArray[np.complex64]:
        """Visibilities of rows (a slice or ascending numbers): (row, channel, polarisation)."""
        found = self._read("visdata", rows)
        if found.dtype.names:
            whole = np.empty(found.shape, dtype=np.complex64)
            whole.real, whole.imag = found[found.dtype.names[0]], found[found.dtype.names[1]]
            return whole
        return found.astype(np.complex64, copy=False)

    def flags(self, rows: slice | Integers) -> npt.NDArray[np.bool_]:
        """Flags of rows: (row, channel, polarisation)."""
        return self._read("flags", rows).astype(np.bool_, copy=False)

    def samples(self, rows: slice | Integers) -> npt.NDArray[np.float32]:
        """How many samples went into each visibility, relative: (row, channel, polarisation)."""
        return self._read("nsamples", rows).astype(np.float32, copy=False)

    def _read(self, name: str, rows: slice | Integers) -> npt.NDArray[Any]:
        try:
            found = np.asarray(self._sets[name][rows])
        except OSError as error:
            raise wrong(self.path, f"Data/{name} rows {rows}", error, "data that can be read") from None
        return found[:, 0] if found.ndim == 4 else found

    def _data(self, place: str, kinds: str) -> Any:
        found = self._file.get(place)
        if not isinstance(found, h5py.Dataset):
            raise wrong(self.path, place, "nothing", "a data set")
        shape = found.shape[:1] + found.shape[2:] if found.ndim == 4 and found.shape[1] == 1 else found.shape
        if shape != self.header.shape:
            raise wrong(self.path, place, f"shape {found.shape}", f"{self.header.shape} as the header says")
        if found.dtype.kind not in kinds or (found.dtype.names and len(found.dtype.names) != 2):
            raise wrong(self.path, place, f"type {found.dtype}", f"a type of kind {kinds!r}")
        return found


def read_header(path: Path) -> Header:
    """Read the header of a subband file.

    Raises
    ------
    SubbandError
        If the file is not whole, or says what cannot be.
    """
    with Subband(path) as subband:
        return subband.header


def check_subband(path: Path) -> None:
    """Check that a subband file is whole: it opens, header and data sets agree, samples can be read and are finite.

    Light: it reads the first, middle and last rows only.

    Raises
    ------
    SubbandError
        If it is not.
    """
    with Subband(path) as subband:
        rows = subband.header.n_rows
        for row in sorted({0, rows // 2, rows - 1}):
            here = slice(row, row + 1)
            good = ~subband.flags(here)
            if not np.isfinite(subband.visibilities(here)[good]).all():
                raise wrong(
                    path, f"Data/visdata row {row}", "NaN or infinity without a flag", "finite numbers"
                )
            if not np.isfinite(subband.samples(here)[good]).all():
                raise wrong(
                    path, f"Data/nsamples row {row}", "NaN or infinity without a flag", "finite numbers"
                )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Takes the header's values, or says what is wrong with them."""

    path: Path
    file: Any

    def header(self) -> Header:
        rows = self.count("Nblts")
        origin = self.origin()
        numbers = self.array("antenna_numbers", (self.count("Nants_telescope"),)).astype(np.int64)
        positions = self.array("antenna_positions", (numbers.size, 3)).astype(np.float64)
        frequency = self.array("freq_array").astype(np.float64).reshape(-1)
        if frequency.size != self.count("Nfreqs"):
            raise wrong(self.path, "Header/freq_array", frequency.shape, f"{self.count('Nfreqs')} channels")
        time = self.array("time_array", (rows,)).astype(np.float64)
        if not (np.isfinite(time).all() and np.isfinite(frequency).all() and (frequency > 0).all()):
            raise wrong(self.path, "Header/time_array, freq_array", "no number", "Julian dates and Hz")
        centre, centres = self.centres(rows)
        return Header(
            path=self.path,
            version=self.text("version", "0"),
            telescope=self.text("telescope_name", ""),
            instrument=self.text("instrument", ""),
            history=self.text("history", ""),
            units=self.text("vis_units", "uncalib"),
            origin=origin,
            names=self.names(numbers),
            positions=positions + origin,
            diameter=self.diameters(numbers.size),
            time=(time - 2400000.5) * 86400.0,
            interval=np.broadcast_to(self.array("integration_time"), (rows,)).astype(np.float64),
            antenna1=self.antennas("ant_1_array", rows, numbers),
            antenna2=self.antennas("ant_2_array", rows, numbers),
            uvw=self.array("uvw_array", (rows, 3)).astype(np.float64),
            centre=centre,
            centres=centres,
            frequency=frequency,
            width=self.width(),
            polarisations=self.polarisations(),
            extra=self.extra(),
        )

    def get(self, place: str) -> Any:
        found = self.file.get(f"Header/{place}")
        if isinstance(found, h5py.Dataset):
            try:
                return found[()]
            except OSError as error:
                raise wrong(self.path, f"Header/{place}", error, "a value that can be read") from None
        return None

    def need(self, place: str) -> Any:
        found = self.get(place)
        if found is None:
            raise wrong(self.path, f"Header/{place}", "nothing", "a data set")
        return found

    def text(self, place: str, default: str) -> str:
        found = self.get(place)
        if found is None:
            return default
        return found.decode(errors="replace") if isinstance(found, bytes) else str(found)

    def count(self, place: str) -> int:
        found = self.need(place)
        if np.shape(found) != () or not int(found) > 0:
            raise wrong(self.path, f"Header/{place}", found, "a whole number above 0")
        return int(found)

    def number(self, place: str) -> float:
        found = self.need(place)
        if np.size(found) != 1 or not np.isfinite(np.asarray(found, dtype=np.float64)).all():
            raise wrong(self.path, f"Header/{place}", found, "a number")
        return float(np.asarray(found).reshape(-1)[0])

    def array(self, place: str, shape: tuple[int, ...] | None = None) -> npt.NDArray[Any]:
        found = np.asarray(self.need(place))
        if shape is not None and found.shape != shape:
            raise wrong(self.path, f"Header/{place}", f"shape {found.shape}", f"{shape}")
        return found

    def origin(self) -> Floats:
        place = EarthLocation.from_geodetic(
            self.number("longitude") * units.deg,
            self.number("latitude") * units.deg,
            self.number("altitude") * units.m,
        )
        return np.array([place.x.to_value("m"), place.y.to_value("m"), place.z.to_value("m")])

    def names(self, numbers: npt.NDArray[np.int64]) -> tuple[str, ...]:
        found = self.get("antenna_names")
        if found is None or len(found) != numbers.size:
            raise wrong(
                self.path, "Header/antenna_names", "none" if found is None else len(found), f"{numbers.size}"
            )
        return tuple(one.decode() if isinstance(one, bytes) else str(one) for one in found)

    def diameters(self, count: int) -> Floats:
        found = self.get("antenna_diameters")
        return np.broadcast_to(
            np.asarray(np.nan if found is None else found, dtype=np.float64), (count,)
        ).copy()

    def antennas(self, place: str, rows: int, numbers: npt.NDArray[np.int64]) -> Integers:
        found = self.array(place, (rows,)).astype(np.int64)
        order = np.argsort(numbers)
        where = order[np.clip(np.searchsorted(numbers[order], found), 0, numbers.size - 1)]
        if (numbers[where] != found).any():
            unknown = sorted({int(one) for one in found[numbers[where] != found]})
            raise wrong(self.path, f"Header/{place}", f"stations {unknown[:5]}", "numbers of antenna_numbers")
        return where.astype(np.int32)

    def width(self) -> float:
        found = np.abs(np.asarray(self.array("channel_width"), dtype=np.float64)).reshape(-1)
        if not (found > 0).all() or np.ptp(found) > 1e-3 * found[0]:
            raise wrong(self.path, "Header/channel_width", found[:5], "one width above 0 for all channels")
        return float(found[0])

    def polarisations(self) -> tuple[str, ...]:
        found = [int(one) for one in self.array("polarization_array").reshape(-1)]
        if not found or not set(found) <= set(POLARISATIONS):
            raise wrong(self.path, "Header/polarization_array", found, f"numbers of {sorted(POLARISATIONS)}")
        return tuple(POLARISATIONS[one] for one in found)

    def extra(self) -> dict[str, Any]:
        group = self.file.get("Header/extra_keywords")
        if not isinstance(group, h5py.Group):
            return {}
        read = {name: group[name][()] for name in group if isinstance(group[name], h5py.Dataset)}
        return {
            name: one.decode(errors="replace") if isinstance(one, bytes) else one
            for name, one in read.items()
        }

    def centres(self, rows: int) -> tuple[Integers, tuple[Centre, ...]]:
        catalogue = self.file.get("Header/phase_center_catalog")
        if not isinstance(catalogue, h5py.Group):
            return np.zeros(rows, dtype=np.int32), (self.old_centre(),)
        numbers = self.array("phase_center_id_array", (rows,)).astype(np.int64)
        used, index = np.unique(numbers, return_inverse=True)
        missing = [int(one) for one in used if str(one) not in catalogue]
        if missing:
            raise wrong(
                self.path,
                "Header/phase_center_catalog",
                f"no entries {missing[:5]}",
                "one for each id in use",
            )
        return index.astype(np.int32), tuple(self.entry(f"phase_center_catalog/{one}") for one in used)

    def entry(self, place: str) -> Centre:
        kind, name = self.text(f"{place}/cat_type", ""), self.text(f"{place}/cat_name", "")
        if kind == "unprojected":
            return Centre(name, kind, 0.0, np.pi / 2)
        if kind not in {"sidereal", "driftscan"}:
            raise wrong(
                self.path, f"Header/{place}/cat_type", repr(kind), "sidereal, driftscan or unprojected"
            )
        longitude, latitude = self.number(f"{place}/cat_lon"), self.number(f"{place}/cat_lat")
        if kind == "sidereal":
            epoch = self.get(f"{place}/cat_epoch")
            frame = self.text(f"{place}/cat_frame", "icrs")
            longitude, latitude = self.icrs(place, frame, epoch, longitude, latitude)
        return Centre(name, kind, longitude, latitude)

    def old_centre(self) -> Centre:
        kind, name = self.text("phase_type", ""), self.text("object_name", "")
        if kind == "drift":
            return Centre(name, "unprojected", 0.0, np.pi / 2)
        if kind != "phased":
            raise wrong(
                self.path, "Header/phase_type", repr(kind), "a phase_center_catalog, or drift or phased"
            )
        ra, dec = self.number("phase_center_ra"), self.number("phase_center_dec")
        frame = self.text("phase_center_frame", "icrs")
        return Centre(
            name, "sidereal", *self.icrs("phase_center_frame", frame, self.get("phase_center_epoch"), ra, dec)
        )

    def icrs(self, place: str, frame: str, epoch: Any, ra: float, dec: float) -> tuple[float, float]:
        if frame == "icrs":
            return ra, dec
        if frame == "fk5":
            equinox = Time(2000.0 if epoch is None else float(epoch), format="jyear")
            found = SkyCoord(ra * units.rad, dec * units.rad, frame=FK5(equinox=equinox)).icrs
            return float(found.ra.rad), float(found.dec.rad)
        raise wrong(self.path, f"Header/{place}", f"frame {frame!r}", "icrs or fk5")
