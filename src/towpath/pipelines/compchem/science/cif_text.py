"""Reads CIF syntax by gemmi, also of a file that was cut: the part before the cut is kept and the cut is told.

Promises that no error of the syntax leaves as anything but `Unreadable` with a sentence.
"""

from collections.abc import Sequence
from pathlib import Path

import gemmi

from .outcome import Unreadable
from .structures import shorten
from .text_encoding import open_text

LARGEST_BYTES = 400_000_000
"""Bytes of a CIF beyond which it is not read whole."""
_DROPS = (1, 2, 3, 4, 6, 9, 14, 25, 50, 100, 200, 500, 1000, 3000)


def read_cif(path: Path) -> tuple[gemmi.cif.Document, str]:
    """Read a CIF document; the second value says in a sentence what is wrong with its end, or is "".

    Raises `Unreadable` where not even the beginning is CIF.
    """
    if path.stat().st_size > LARGEST_BYTES:
        raise Unreadable(
            f"The CIF has {path.stat().st_size:,} bytes; up to {LARGEST_BYTES:,} are read. Upload it in parts."
        )
    with open_text(path) as stream:
        text = stream.read()
    try:
        return gemmi.cif.read_string(text), ""
    except (ValueError, RuntimeError) as error:
        reason = _reason(error)
    lines = text.splitlines()
    for drop in _DROPS:
        if drop >= len(lines):
            break
        try:
            found = gemmi.cif.read_string("\n".join(lines[:-drop]) + "\n")
        except (ValueError, RuntimeError):
            continue
        return found, (
            f"The CIF breaks off within its last {drop + 1 if drop > 1 else 'two'} lines, near line {len(lines):,} "
            f"(“{shorten(lines[-1])}”): {reason}. What stands before was read. Upload the whole file."
        )
    raise Unreadable(f"The CIF cannot be read: {reason}. Upload the file as it was downloaded or written.")


def _reason(error: Exception) -> str:
    """Say what gemmi found, without the name of a source."""
    first = str(error).splitlines()[0] if str(error) else "its syntax is wrong"
    place, _, told = first.removeprefix("string:").partition(": ")
    line = place.split(":")[0].split("(")[0].strip()
    if not told or not line.isdigit():
        return shorten(first, 140)
    if told.startswith("Wrong number of values in loop"):
        return f"a row of the table {told.rsplit(maxsplit=1)[-1].rstrip('*._')}, which begins on line {line}, is not whole"
    return f"line {line} is not CIF" if "parse error" in told else f"{shorten(told, 120)} (line {line})"


def several_blocks(blocks: Sequence[gemmi.cif.Block]) -> list[str]:
    """That the first of several blocks with atoms is shown."""
    told = (
        f"The file has {len(blocks):,} structures; the first, of data block {blocks[0].name[:60]}, is shown."
    )
    return [told] if len(blocks) > 1 else []


def text_of(block: gemmi.cif.Block, *tags: str) -> str:
    """Give the first of the tags that has a value, unquoted, on one line; else ""."""
    for tag in tags:
        for value in list(block.find_values(tag))[:1]:
            if value and value not in ("?", "."):
                return " ".join(gemmi.cif.as_string(value).split())
    return ""


def number_of(block: gemmi.cif.Block, *tags: str) -> float | None:
    """Give the first of the tags that has a number, without its uncertainty; else None."""
    for tag in tags:
        for value in list(block.find_values(tag))[:1]:
            number = gemmi.cif.as_number(value)
            if number == number:
                return float(number)
    return None
