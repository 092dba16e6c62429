"""Reads the header of a GROMACS run input: who wrote it, in which format, for how many atoms, how long it should be.

The header has kept its beginning since tpx version 26 (`do_tpxheader` of GROMACS' `src/gromacs/fileio/tpxio.cpp`), so
it can be read where the rest is newer than any reader here. It reads a few hundred bytes and promises no more.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

RELEASE, SIZED, SIZED_GENERATION = (
    81,
    119,
    27,
)  # tpx versions since which there are a tag and the size of the body


@dataclass(frozen=True, slots=True)
class TprHeader:
    """What the header says; `missing_bytes` is how much of the body the file lacks, where the header tells its size."""

    gromacs_version: str
    precision: str
    tpx_version: int
    tpx_generation: int
    atoms: int
    missing_bytes: int = 0


def read_tpr_header(path: Path) -> TprHeader:
    """Read the header of a run input.

    Raises
    ------
    ValueError
        If the file is none: the text says what was found and what was expected.
    """
    with path.open("rb") as file:
        head = file.read(1024)
    try:
        return _parse(head, path.stat().st_size)
    except struct.error as error:
        raise ValueError(f"it ends after {len(head)} bytes, within the header") from error


def _parse(head: bytes, size: int) -> TprHeader:
    version, at = _text(head, 0)
    if not version.startswith("VERSION "):
        raise ValueError("it does not begin with “VERSION”, as a run input does")
    real, tpx = struct.unpack_from(">ii", head, at)
    if real not in (4, 8) or not 20 <= tpx < 1000:
        raise ValueError(f"its header has a precision of {real} bytes and tpx version {tpx}")
    at += 8
    if 77 <= tpx <= 79:
        _, at = _text(head, at)
    generation, at = struct.unpack_from(">i", head, at)[0], at + 4
    if tpx >= RELEASE:
        _, at = _text(head, at)
    (atoms,) = struct.unpack_from(">i", head, at)
    if atoms < 0:
        raise ValueError(f"its header has {atoms} atoms")
    return TprHeader(
        gromacs_version=version.removeprefix("VERSION ").strip(),
        precision="double" if real == 8 else "single",
        tpx_version=tpx,
        tpx_generation=generation,
        atoms=atoms,
        missing_bytes=_missing(head, at + 8, size, real, tpx, generation),
    )


def _text(head: bytes, at: int) -> tuple[str, int]:
    """An xdr string after its length with the closing zero, padded to four bytes; and where the next value begins."""
    length, again = struct.unpack_from(">ii", head, at)
    if length != again + 1 or not 0 <= again <= 200:
        raise ValueError("it does not begin with a text of xdr, as a run input does")
    found = struct.unpack_from(f"{again}s", head, at + 8)[0]
    return found.decode("ascii", "replace"), at + 8 + (again + 3) // 4 * 4


def _missing(head: bytes, at: int, size: int, real: int, tpx: int, generation: int) -> int:
    """The bytes of the body that are not there: after a state, lambda and six marks its size is told; xdr pads it."""
    if tpx < SIZED or generation < SIZED_GENERATION:
        return 0
    at += 4 + real + 6 * 4
    body: int = struct.unpack_from(">q", head, at)[0]
    return max(at + 8 + (body + 3) // 4 * 4 - size, 0)
