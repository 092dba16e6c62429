"""Heads of tables and texts as JSON: ``{"columns", "rows", "total"}`` or ``{"text", "is_cut"}``; the files of a folder.

Reads a bounded part of a file. Runs only in the process of `preview_maker`.
"""

import bz2
import csv as reader
import gzip
import io
import json
import lzma
import math
import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from typing import IO, Any

ROWS, COLUMNS, FILES = 50, 60, 500
_CELL = 200  # characters
_TEXT = 64_000  # bytes
_COUNTED = 100_000_000  # bytes of a file of which the rows are counted
_UNPACKED: Mapping[bytes, Callable[..., Any]] = {
    b"\x1f\x8b\x08": gzip.open,
    b"\xfd7z": lzma.open,
    b"BZh": bz2.open,
}
_LARGEST = 200_000_000  # bytes of a table that can only be read whole


class NoPreview(Exception):
    """Why there is no preview."""


def table(out: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]], total: int | None) -> None:
    """Write the head of a table; `total` is how many rows there are, None if nobody counted."""
    shown = [[cell(one) for one in row[:COLUMNS]] for row in islice(rows, ROWS)]
    names = [str(name)[:_CELL] for name in columns[:COLUMNS]]
    told = {"columns": names, "rows": shown, "total": total, "is_cut": len(columns) > COLUMNS}
    out.write_text(json.dumps(told, allow_nan=False), encoding="utf-8")


def cell(value: Any) -> Any:
    """A value of a table as JSON has it."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if value is None or isinstance(value, bool | int):
        return value if value is None or abs(value) < 2**53 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)[:_CELL]


def csv(place: Path, out: Path) -> None:
    """The head of a table of text with commas, semicolons or tabs."""
    with place.open("rb") as file:
        head = file.read(1_000_000)
    text = head.decode("utf-8-sig", "replace")
    if len(head) == 1_000_000:
        text = text[: text.rfind("\n") + 1] or text
    kept = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    first = kept.partition("\n")[0]
    mark = max(",;\t|", key=first.count) if first else ","
    rows = reader.reader(io.StringIO(kept), delimiter=mark)
    table(out, next(rows, []), rows, _count(place))


def _count(place: Path) -> int | None:
    """Lines below the header, of a file that is not too large."""
    if place.stat().st_size > _COUNTED:
        return None
    with place.open("rb") as file:
        lines = sum(1 for line in file if line.strip() and not line.startswith(b"#"))
    return max(lines - 1, 0)


def ecsv(place: Path, out: Path) -> None:
    """The head of an ECSV table, with units."""
    from astropy.table import Table  # optional, and slow to load

    lines: list[str] = []
    with place.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            lines.append(line[:100_000])
            if len([one for one in lines if not one.startswith("#")]) > ROWS + 1:
                break
    found = Table.read(lines, format="ascii.ecsv")
    _astropy(out, found, _count(place))


def votable(place: Path, out: Path) -> None:
    """The head of the first table of a VOTable, with units."""
    from astropy.io.votable import parse_single_table  # optional, and slow to load

    _refuse_large(place)
    found = parse_single_table(place, verify="ignore").to_table()
    _astropy(out, found, len(found))


def _astropy(out: Path, found: Any, total: int | None) -> None:
    names = [f"{name} [{found[name].unit}]" if found[name].unit else name for name in found.colnames]
    rows = ([None if found[name].dtype.kind == "f" and str(found[name][n]) == "--" else found[name][n]
             for name in found.colnames] for n in range(min(len(found), ROWS)))  # fmt: skip
    table(out, names, rows, total)


def parquet(place: Path, out: Path) -> None:
    """The head of a Parquet file."""
    import pyarrow.parquet as files  # type: ignore[import-not-found, unused-ignore]  # optional

    file = files.ParquetFile(place)
    batch = next(file.iter_batches(batch_size=ROWS), None)
    columns = file.schema_arrow.names
    rows = zip(*(batch.column(n).to_pylist() for n in range(len(columns))), strict=True) if batch else ()
    table(out, columns, rows, file.metadata.num_rows)


def sqlite(place: Path, out: Path) -> None:
    """The head of the first table of an SQLite file (a GeoPackage is one)."""
    with closing(sqlite3.connect(f"{place.as_uri()}?mode=ro&immutable=1", uri=True)) as opened:
        names = [
            row[0]
            for row in opened.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY rowid")
        ]
        own = [name for name in names if not name.lower().startswith(("sqlite_", "gpkg_", "rtree_"))]
        if not own:
            raise NoPreview("there is no table in it")
        quoted = own[0].replace('"', '""')
        rows = opened.execute(f'SELECT * FROM "{quoted}" LIMIT {ROWS}')
        columns = [one[0] for one in rows.description]
        shown = [[f"({len(one)} bytes)" if isinstance(one, bytes) else one for one in row] for row in rows]
        table(out, columns, shown, opened.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()[0])


def text(place: Path, out: Path) -> None:
    """The head of a text, also of one that is packed; JSON is set out in lines if it is small."""
    with place.open("rb") as file:
        magic = file.read(3)
    opened: IO[bytes] = _UNPACKED.get(magic, Path.open)(place, "rb")
    with opened as file:
        head = file.read(_TEXT + 1)
    if not head:
        raise NoPreview("it is empty")
    if b"\0" in head:
        raise NoPreview("it is neither a picture, nor a table, nor text that is known here")
    shown, is_cut = head[:_TEXT].decode("utf-8", "replace"), len(head) > _TEXT
    if shown.count("\ufffd") > max(len(shown) // 50, 3):
        raise NoPreview("it is neither a picture, nor a table, nor text that is known here")
    if not is_cut and shown.lstrip()[:1] in ("{", "["):
        with suppress(ValueError, RecursionError):
            shown = json.dumps(json.loads(shown), indent=2, ensure_ascii=False)
    out.write_text(json.dumps({"text": shown, "is_cut": is_cut}), encoding="utf-8")


def listing(place: Path, out: Path) -> None:
    """The files of a folder, with their sizes."""
    found: list[list[Any]] = []
    count = size = 0
    for folder, below, names in os.walk(place):
        below.sort()
        for name in sorted(names):
            file = Path(folder) / name
            its = file.lstat().st_size
            count, size = count + 1, size + its
            if len(found) < FILES:
                found.append([str(file.relative_to(place)).encode("utf-8", "replace").decode(), its])
    told = {"columns": ["file", "bytes"], "rows": found, "total": count, "bytes": size, "is_cut": False}
    out.write_text(json.dumps(told), encoding="utf-8")


def _refuse_large(place: Path) -> None:
    size = place.stat().st_size
    if size > _LARGEST:
        raise NoPreview(f"it has {size} bytes; up to {_LARGEST} are read for a preview")
