"""Tells by its first bytes which format of atomic structures a file has, whatever its name says.

Promises an answer from content alone, by the standard library alone, and "" where nothing fits. Never reads a file.
"""

import re

from .text_encoding import in_utf8

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?"
_COUNT = re.compile(r"\s*\d+\s*$")
_GRO_ATOM = re.compile(r"[ \d]{4}\d.{10}[ \d*]{5}(?:\s*[-+]?\d*\.\d+){3}")
_XYZ_ATOM = re.compile(rf"\s*[A-Za-z0-9_]+(?:\s+{_NUMBER}){{3}}(?:\s|$)")
_XYZ_COLUMNS = re.compile(r"""(?:^|\s)Properties\s*=\s*(?:["'{]\s*)?\w+:""", re.IGNORECASE)  # of extended XYZ
_PDB_ATOM = re.compile(r"(?:ATOM  |HETATM).{24}(?:[ \d.+-]{8}){3}", re.MULTILINE)
_PDB_RECORD = re.compile(
    r"(?:HEADER|TITLE |COMPND|SOURCE|KEYWDS|EXPDTA|AUTHOR|REVDAT|REMARK|DBREF |SEQRES|CRYST1|ORIGX\d|SCALE\d|MODEL "
    r"|NUMMDL|CAVEAT|OBSLTE|SPLIT |JRNL  |MTRIX\d|HELIX |SHEET |CONECT|SSBOND|USER  |ATOM  |HETATM)(?:\s|.{2})"
)
_CIF_BLOCK = re.compile(r"^data_\S*\s*$", re.MULTILINE | re.IGNORECASE)
_CIF_DOTTED = re.compile(
    r"^_(?:atom_site|entry|entity|struct|pdbx_\w+|audit_conform|cell|citation|chem_comp|database_2)\.",
    re.MULTILINE,
)
_CIF_PLAIN = re.compile(
    r"^_(?:atom_site|cell|symmetry|space_group|chemical|audit|journal|publ|diffrn|exptl|refine|refln|cod)_\w+",
    re.MULTILINE,
)


def sniff_structure(head: bytes) -> str:
    """Tell the format of a file of atomic structure.

    Parameters
    ----------
    head : bytes
        The first bytes of the file; some 4,000 are enough for nearly all files, 64,000 for all that we know.

    Returns
    -------
    str
        "gro", "pdb", "mmcif", "cif", "mol2", "xyz" or "prmtop"; "" for anything else.
    """
    head = in_utf8(head)
    if not head.strip() or b"\0" in head:
        return ""
    text = head.decode("utf-8", errors="replace").replace("\r\n", "\n")
    if text.startswith("%VERSION") and "%FLAG" in text:
        return "prmtop"
    if re.search(r"^@<TRIPOS>MOLECULE", text, re.MULTILINE):
        return "mol2"
    return _cif(text) or _columns(text.split("\n")) or _pdb(text)


def _cif(text: str) -> str:
    if not _CIF_BLOCK.search(text):
        return ""
    if _CIF_DOTTED.search(text):
        return "mmcif"
    return "cif" if _CIF_PLAIN.search(text) else ""


def _columns(lines: list[str]) -> str:
    """Tell formats that begin with a title and a number of atoms, or with the number and a title."""
    if len(lines) < 3:
        return ""
    if _COUNT.match(lines[1]) and _GRO_ATOM.match(lines[2]):
        return "gro"
    xyz = _COUNT.match(lines[0]) and (_XYZ_ATOM.match(lines[2]) or _XYZ_COLUMNS.search(lines[1]))
    return "xyz" if xyz else ""


def _pdb(text: str) -> str:
    if _PDB_ATOM.search(text):
        return "pdb"
    first = [line for line in text.split("\n")[:12] if line.strip()]
    known = sum(bool(_PDB_RECORD.match(f"{line:<8}")) for line in first)
    return "pdb" if known >= 2 and known == len(first) else ""
