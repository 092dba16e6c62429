"""Names the program that wrote a quantum-chemistry output, from the first bytes of the file.

Promises to need only the standard library and the given bytes, and to say nothing ("") of what it does not know. It
looks for the banner that a program prints, not for its name: a text which cites a program is no output of it.
"""

import re

from .text_encoding import in_utf8

HEAD = 1 << 20  # bytes within which a banner must stand: job scripts print before it, and NWChem its input
BINARY_WITHIN = 512  # a NUL so early means an archive or another binary file

BANNERS = {
    "fchk": re.compile(rb"\A[^\n]*\n[^\n]*\nNumber of atoms {5,}I +\d+ *\r?$", re.MULTILINE),
    "gaussian": re.compile(rb"^ Entering (?:Gaussian System, Link 0|Link 1 = )", re.MULTILINE),
    "orca": re.compile(rb"^ +\* O   R   C   A \* *\r?$", re.MULTILINE),
    "psi4": re.compile(rb"^ +Psi4: An Open-Source Ab Initio Electronic Structure Package", re.MULTILINE),
    "nwchem": re.compile(rb"^ +Northwest Computational Chemistry Package \(NWChem\) [\d.]+", re.MULTILINE),
    "qchem": re.compile(
        rb"^ +Welcome to Q-Chem *\r?\n +A Quantum Leap Into The Future Of Chemistry", re.MULTILINE
    ),
    "mopac": re.compile(rb"^ \*\* +(?:Cite this program as: )?MOPAC[ \d]", re.MULTILINE),
}


def sniff_quantum(head: bytes) -> str:
    """Name the program whose output begins with some bytes.

    Parameters
    ----------
    head
        The first bytes of a file; `HEAD` of them are enough, and nearly always some 4,000.

    Returns
    -------
    str
        ``"gaussian"``, ``"orca"``, ``"psi4"``, ``"nwchem"``, ``"qchem"``, ``"mopac"`` or ``"fchk"`` (a formatted
        checkpoint), or ``""`` where it is none of these.
    """
    head = in_utf8(head)
    if b"\0" in head[:BINARY_WITHIN]:
        return ""
    found = [(match.start(), name) for name, banner in BANNERS.items() if (match := banner.search(head))]
    return min(found)[1] if found else ""
