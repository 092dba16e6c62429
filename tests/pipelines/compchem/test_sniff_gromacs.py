"""Files of molecular dynamics are told by their first bytes, and nothing else is taken for one."""

import importlib.resources
import struct
from pathlib import Path

import pytest

from towpath.pipelines.compchem.science.sniff_gromacs import sniff_gromacs

MDA = Path(str(importlib.resources.files("MDAnalysisTests") / "data"))
KINDS = {".tpr": "tpr", ".xtc": "xtc", ".trr": "trr", ".edr": "edr", ".dcd": "dcd", ".nc": "netcdf"}
LOG = b"""                      :-) GROMACS - gmx mdrun, 2022.5-Debian_2022.5_2 (-:

Executable:   /usr/bin/gmx
"""
XVG = b"""# Created by:
#              :-) GROMACS - gmx energy, 2022.5 (-:
@    title "GROMACS Energies"
@    xaxis  label "Time (ps)"
"""


def test_every_real_file_is_told() -> None:
    found = {path: sniff_gromacs(path.read_bytes()[:4096]) for path in MDA.rglob("*") if path.suffix in KINDS}
    wrong = {p.name: kind for p, kind in found.items() if p.stat().st_size and kind != KINDS[p.suffix]}
    assert len(found) > 90
    assert not wrong


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (LOG, "gromacs log"),
        (XVG, "xvg"),
        (XVG.replace(b"energy", b"mdrun"), "xvg"),  # dhdl.xvg
        (struct.pack(">iii", 2023, 400_000_000, 0), "xtc"),
        (b"", ""),
        (b"\0" * 64, ""),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 32, ""),
        (b" Entering Gaussian System, Link 0=g16\n", ""),
        (b"a" * 4096, ""),
        (b"CDF", ""),
        (struct.pack(">iii", 1995, -3, 0), ""),
        (struct.pack(">ii", 14, 13) + b"NOT A RUN INPUT", ""),
    ],
)
def test_heads(head: bytes, kind: str) -> None:
    assert sniff_gromacs(head) == kind
