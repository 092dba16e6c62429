"""Tells the files of GROMACS and of its trajectories by their first bytes.

Magic numbers are those of GROMACS' xdr files (`src/gromacs/fileio`: xtcio.cpp, trrio.cpp, enxio.cpp, tpxio.cpp), of
classic netCDF and HDF5, and of CHARMM's DCD. It reads nothing but the bytes that are given and never guesses by a name.
"""

import re
import struct

from .text_encoding import in_utf8

XTC_MAGIC, XTC_LARGE_MAGIC, TRR_MAGIC, EDR_MAGIC = 1995, 2023, 1993, -55555
_LOG = re.compile(rb"GROMACS(?:\s+-|:\s+)\s*gmx mdrun|GROMACS version:|Log file opened on .*Host:", re.S)
_XVG = re.compile(rb"^@\s*(?:title|xaxis|yaxis|TYPE|s\d+ legend|with |view |legend )", re.M)


def sniff_gromacs(head: bytes) -> str:
    """Name the format that the first bytes of a file show, or ``""``.

    Parameters
    ----------
    head
        The first bytes, 4 kB or more where the file has them.

    Returns
    -------
    str
        ``"tpr"``, ``"xtc"``, ``"trr"``, ``"edr"``, ``"netcdf"`` (AMBER's trajectories), ``"dcd"``, ``"xvg"``,
        ``"gromacs log"`` or ``""``.
    """
    return _by_magic(head) or _by_text(head)


def _by_magic(head: bytes) -> str:
    if head[:3] == b"CDF" and head[3:4] in (b"\x01", b"\x02", b"\x05"):
        return "netcdf"
    if len(head) < 12:
        return ""
    if head[4:8] in (b"CORD", b"VELD") and 84 in struct.unpack("<i", head[:4]) + struct.unpack(
        ">i", head[:4]
    ):
        return "dcd"
    first, second, third = struct.unpack(">iii", head[:12])
    if first in (XTC_MAGIC, XTC_LARGE_MAGIC) and second > 0:
        return "xtc"
    if first == TRR_MAGIC and head[12:16] == b"GMX_":
        return "trr"
    if first == EDR_MAGIC and 0 < second < 100 and 0 < third < 100_000:
        return "edr"
    return "tpr" if first == second + 1 and head[8:16] == b"VERSION " else ""


def _by_text(head: bytes) -> str:
    head = in_utf8(head)
    if b"\0" in head:
        return ""
    if _XVG.search(head):  # first: a table that mdrun wrote names mdrun, too
        return "xvg"
    return "gromacs log" if _LOG.search(head) else ""
