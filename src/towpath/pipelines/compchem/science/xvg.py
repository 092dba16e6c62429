"""Reads the tables that GROMACS writes for Grace (`.xvg`): columns, their legends, titles and labels of the axes.

Lines that begin with ``#`` are remarks and with ``@`` settings; ``&`` ends a set of columns, and only the first set is
read. It keeps what stands before a bad line and tells which line that was.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .text_encoding import open_bytes

MOST_ROWS, LONGEST_LINE = 2_000_000, 100_000
MOST_VALUES = 50_000_000
_SETTING = re.compile(r'^@\s*(?:(s\d+)\s+legend|(title|subtitle)|([xy]axis)\s+label)\s+"(.*)"')
_UNITS = re.compile(r"\(([^()]*)\)")
_RAISED, _LOWERED = re.compile(r"\\S(.*?)\\N"), re.compile(r"\\s(.*?)\\N")
_GREEK = re.compile(r"\\x(.*?)(?:\\f\{[^}]*\}|$)")  # from the font Symbol back to that of the text
_SYMBOLS = str.maketrans("abcdefghiklmnopqrstuwxyzDFGLPQSWXY", "αβχδεφγηικλμνοπθρστυωξψζΔΦΓΛΠΘΣΩΞΨ")
_CODE = re.compile(r"\\(?:f\{[^}]*\}|[a-zA-Z0-9.])(?:\{\})?")


@dataclass(frozen=True, slots=True)
class Xvg:
    """The first set of a file: `values` of shape (rows, columns), the first column is the abscissa."""

    title: str
    subtitle: str
    x_label: str
    y_label: str
    legends: dict[int, str]
    values: npt.NDArray[np.float64]
    bad_line: int | None  # where reading stopped
    more_sets: bool  # another set follows

    def columns(self) -> list[tuple[str, str]]:
        """Name and unit of every column; the unit of an ordinate is the label's, where that tells one for all."""
        count = self.values.shape[1]
        x_units, y_units = _UNITS.findall(self.x_label), _UNITS.findall(self.y_label)
        units = y_units if len(y_units) == count - 1 else (y_units * (count - 1) if len(y_units) == 1 else [])
        plain_label = _UNITS.sub("", self.y_label).strip(" ,")
        named = [(_UNITS.sub("", self.x_label).strip() or "x", x_units[0] if x_units else "")]
        for i in range(count - 1):
            other = plain_label if count == 2 and plain_label else f"column {i + 2}"
            named.append((self.legends.get(i) or other, units[i] if units else ""))
        return named


def read_xvg(path: Path) -> Xvg:
    """Read a table.

    Raises
    ------
    ValueError
        If the file has no row of numbers; the text says what was found.
    """
    told: dict[str, str] = {}
    legends: dict[int, str] = {}
    rows: list[list[float]] = []
    bad, more, number = None, False, 0
    with open_bytes(path) as file:
        while (line := file.readline(LONGEST_LINE)) and len(rows) * len(
            rows[0] if rows else ""
        ) < MOST_VALUES:
            number += 1
            if len(line) == LONGEST_LINE or b"\0" in line:
                bad = number
                break
            text = line.decode("utf-8", "replace").strip()
            if text.startswith("@"):
                _setting(text, told, legends)
            elif text.startswith("&"):
                more = _has_row(file.read(LONGEST_LINE))
                break
            elif text and not text.startswith("#"):
                row = _row(text)
                unfinished = not line.endswith(b"\n") and bool(told or legends)  # GROMACS ends every line
                uneven = row is not None and bool(rows) and len(row) != len(rows[0])
                if row is None or uneven or unfinished or len(rows) == MOST_ROWS:
                    bad = number
                    break
                rows.append(row)
    if not rows:
        raise ValueError(f"line {bad} is no row of numbers" if bad else "there is no row of numbers")
    return Xvg(
        title=told.get("title", ""),
        subtitle=told.get("subtitle", ""),
        x_label=told.get("xaxis", ""),
        y_label=told.get("yaxis", ""),
        legends=legends,
        values=np.asarray(rows, dtype=float),
        bad_line=bad,
        more_sets=more,
    )


def _setting(text: str, told: dict[str, str], legends: dict[int, str]) -> None:
    if (found := _SETTING.match(text)) is None:
        return
    series, title, axis, words = found.groups()
    if series:
        legends[int(series[1:])] = clean(words)
    else:
        told[title or axis] = clean(words)


def _row(text: str) -> list[float] | None:
    try:
        return [float(one) for one in text.split("#")[0].split()]
    except ValueError:
        return None


def _has_row(rest: bytes) -> bool:
    lines = rest.decode("utf-8", "replace").splitlines()
    return any(_row(line) for line in lines if line.strip() and line.strip()[0] not in "#@&")


def clean(words: str) -> str:
    """Replace Grace's codes: raised and lowered letters by ``^`` and ``_``, Symbol's letters by Greek; drop other fonts."""
    words = _GREEK.sub(lambda found: found[1].translate(_SYMBOLS), words)
    words = _LOWERED.sub(r"_\1", _RAISED.sub(r"^\1", words))
    return _CODE.sub("", words).strip()
