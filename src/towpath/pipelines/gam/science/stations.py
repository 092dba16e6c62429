"""Reads and writes gravity stations in the white-space `.ast` format, plain or xz-compressed.

A file is either read whole and in range, or refused with one error that names the file, the line, the column,
what was found and what was expected. It never drops or repairs a row.
"""

import io
import lzma
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .arrays import BoolArray, FloatArray, IntArray

COLUMNS = ("latitude", "longitude", "height", "observed gravity")
UNITS = ("degrees", "degrees", "metres", "mGal")
BOUNDS = ((-90.0, 90.0), (-180.0, 360.0), (-math.inf, math.inf), (-math.inf, math.inf))
XZ_MAGIC = b"\xfd7zXZ\x00"


class SurveyFormatError(ValueError):
    """The survey file cannot be read as stations; correct the file at the place named and submit it again.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    found, expected : str
        What stands there, and what should.
    line, column : int, optional
        Place in the file, both counted from 1.
    """

    def __init__(
        self, path: Path, *, found: str, expected: str, line: int | None = None, column: int | None = None
    ) -> None:
        self.path, self.line, self.column = path, line, column
        self.found, self.expected = found, expected
        super().__init__(f"{path.name}{self._place()}: found {found}, expected {expected}")

    def _place(self) -> str:
        line = "" if self.line is None else f", line {self.line}"
        return line if self.column is None else f"{line}, column {self.column} ({COLUMNS[self.column - 1]})"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_error, (self.path, self.found, self.expected, self.line, self.column)


def _rebuild_error(
    path: Path, found: str, expected: str, line: int | None, column: int | None
) -> SurveyFormatError:
    return SurveyFormatError(path, found=found, expected=expected, line=line, column=column)


@dataclass(frozen=True, slots=True, eq=False)
class Stations:
    """Gravity stations, one value per station in each array.

    Parameters
    ----------
    latitude, longitude : numpy.ndarray
        Geodetic coordinates in degrees.
    height : numpy.ndarray
        Height in metres; negative is the depth of water below a station at sea.
    gravity : numpy.ndarray
        Observed (absolute) gravity in mGal.
    """

    latitude: FloatArray
    longitude: FloatArray
    height: FloatArray
    gravity: FloatArray

    def __len__(self) -> int:
        return int(self.latitude.size)

    def select(self, chosen: BoolArray | IntArray) -> "Stations":
        """Return the chosen stations, by mask or by index."""
        return Stations(
            self.latitude[chosen], self.longitude[chosen], self.height[chosen], self.gravity[chosen]
        )


def read_stations(path: Path | str) -> Stations:
    """Read stations from an `.ast` or `.ast.xz` file.

    Parameters
    ----------
    path : pathlib.Path or str
        The file: latitude and longitude (degrees), height (m) and observed gravity (mGal), separated by white
        space, one station a line.

    Returns
    -------
    Stations
        All stations of the file, in its order.

    Raises
    ------
    SurveyFormatError
        When anything in the file is not as described; the first such place is named.
    """
    path = Path(path)
    text = _text(path, _content(path))
    if not text.strip():
        raise SurveyFormatError(path, found="an empty file", expected="at least one station")
    table = _parse_fast(text)
    if table is None or not _is_in_bounds(table):
        table = _parse_by_line(path, text)
    return Stations(*(np.ascontiguousarray(column) for column in table.T))


def write_stations(path: Path | str, stations: Stations) -> None:
    """Write stations as `.ast`, or as `.ast.xz` when the name ends so; equal stations give equal bytes.

    Coordinates keep five decimals (1 m), heights and gravity two (1 cm, 0.01 mGal), as the compilations do.
    """
    path = Path(path)
    table = np.column_stack([stations.latitude, stations.longitude, stations.height, stations.gravity])
    buffer = io.StringIO()
    np.savetxt(buffer, table, fmt="%9.5f %10.5f %9.2f %10.2f")
    content = buffer.getvalue().encode("ascii")
    path.write_bytes(lzma.compress(content, preset=6) if path.suffix == ".xz" else content)


def _content(path: Path) -> bytes:
    raw = path.read_bytes()
    if path.suffix != ".xz" or not raw:
        return raw
    if not raw.startswith(XZ_MAGIC[: len(raw)]):
        raise SurveyFormatError(path, found=f"first bytes {raw[:6]!r}", expected="xz-compressed data")
    try:
        return _decompress(raw)
    except EOFError:
        raise SurveyFormatError(
            path, found=f"xz data that end early ({len(raw)} bytes)", expected="a complete xz stream"
        ) from None
    except lzma.LZMAError as error:
        raise SurveyFormatError(
            path, found=f"damaged xz data ({error})", expected="a sound xz stream"
        ) from None


def _decompress(raw: bytes) -> bytes:
    """Decompress and insist on the end mark of the stream, which `lzma.decompress` alone reports too vaguely."""
    reader = lzma.LZMADecompressor(format=lzma.FORMAT_XZ)
    content = reader.decompress(raw)
    if not reader.eof:
        raise EOFError
    if reader.unused_data.strip(b"\0"):
        raise lzma.LZMAError(f"{len(reader.unused_data)} bytes after its end")
    return content


def _text(path: Path, content: bytes) -> str:
    try:
        return content.decode("ascii")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SurveyFormatError(
            path, line=line, found=f"byte 0x{content[error.start]:02x}", expected="plain ASCII text"
        ) from None


def _parse_fast(text: str) -> FloatArray | None:
    try:
        table = np.loadtxt(io.StringIO(text), comments=None, ndmin=2)
    except ValueError:
        return None
    return table if table.shape[1] == len(COLUMNS) else None


def _is_in_bounds(table: FloatArray) -> bool:
    lowest, highest = np.array(BOUNDS).T
    return bool(np.isfinite(table).all() and (table >= lowest).all() and (table <= highest).all())


def _parse_by_line(path: Path, text: str) -> FloatArray:
    """Parse slowly, so that the first fault is known by line and column."""
    rows = [
        _parse_row(path, number, line.split())
        for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1)
        if line.strip()
    ]
    return np.array(rows, dtype=np.float64)


def _parse_row(path: Path, line: int, fields: list[str]) -> list[float]:
    if len(fields) != len(COLUMNS):
        raise SurveyFormatError(
            path,
            line=line,
            found=f"{len(fields)} column{'s' if len(fields) != 1 else ''}",
            expected=f"{len(COLUMNS)} ({', '.join(COLUMNS)})",
        )
    return [_parse_field(path, line, column, field) for column, field in enumerate(fields, start=1)]


def _parse_field(path: Path, line: int, column: int, field: str) -> float:
    lowest, highest = BOUNDS[column - 1]
    unit = UNITS[column - 1]
    try:
        value = float(field.replace("_", "?"))
    except ValueError:
        value = math.nan
    if math.isfinite(value) and lowest <= value <= highest:
        return value
    expected = f"a number in {unit}"
    if math.isfinite(lowest):
        expected += f" from {lowest:g} to {highest:g}"
    raise SurveyFormatError(path, line=line, column=column, found=repr(field[:40]), expected=expected)
