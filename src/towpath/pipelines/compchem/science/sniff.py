"""What a file is by its first bytes, whatever its name says, and how people call it.

Promises an answer from content alone, quickly and by the standard library alone; "" where nothing is known.
"""

from types import MappingProxyType

from .sniff_gromacs import sniff_gromacs
from .sniff_quantum import HEAD as BANNER_WITHIN
from .sniff_quantum import sniff_quantum
from .sniff_structure import sniff_structure

HEAD = 65_536  # bytes of a file that are looked at; before the banner of a program other text may stand

CONTENTS = MappingProxyType(
    {
        "gaussian": "a Gaussian output",
        "orca": "an ORCA output",
        "psi4": "a Psi4 output",
        "nwchem": "an NWChem output",
        "qchem": "a Q-Chem output",
        "mopac": "a MOPAC output",
        "fchk": "a formatted checkpoint of Gaussian",
        "gro": "a GROMACS structure (.gro)",
        "pdb": "a PDB structure",
        "mmcif": "an mmCIF structure",
        "cif": "a CIF of a crystal",
        "mol2": "a MOL2 structure",
        "xyz": "an XYZ structure",
        "prmtop": "an AMBER topology",
        "tpr": "a GROMACS run input (.tpr)",
        "xtc": "a GROMACS trajectory (.xtc)",
        "trr": "a GROMACS trajectory (.trr)",
        "netcdf": "a netCDF file, as AMBER's trajectories are",
        "dcd": "a DCD trajectory",
        "edr": "a GROMACS energy file (.edr)",
        "xvg": "a table for Grace (.xvg)",
        "gromacs log": "a log of GROMACS",
    }
)


def content_of(head: bytes) -> str:
    """Tell what a file is.

    Parameters
    ----------
    head
        Its first bytes: `HEAD` of them, or more where those tell nothing, up to `sniff_quantum.HEAD`.

    Returns
    -------
    str
        A name of `CONTENTS`, or ``""``.
    """
    found = sniff_quantum(head[:BANNER_WITHIN])
    head = head[:HEAD]
    return found or sniff_gromacs(head) or sniff_structure(head)


def describe(content: str) -> str:
    """A content in words, such as ``"a Gaussian output"``; of what is not known that it is not."""
    return CONTENTS.get(content, content) or "of a content that is not known here"
