"""Tells what a structure is made of: residues, chains with their sequences, molecules, elements, ions and water.

Takes plain arrays, one row per atom, in the order of the file, so that readers of structures and of trajectories use the
same words. Elements that a format does not give are guessed by the names of atoms and said to be guessed; beads of coarse
models have none. It never reads a file.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
TextArray = NDArray[np.str_]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

AMINO = "amino acid"
NUCLEIC = "nucleic acid"
WATER = "water"
ION = "ion"
LIPID = "lipid"
OTHER = "other"
POLYMERS = (AMINO, NUCLEIC)
MOST_NAMES = 60  # kinds of residue that are listed
LARGEST_FORMULA = 600  # atoms up to which a formula says something


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ONE_LETTER = {
    one[:3]: one[4]
    for one in _names(
        "ALA:A ARG:R ASN:N ASP:D CYS:C GLN:Q GLU:E GLY:G HIS:H ILE:I LEU:L LYS:K MET:M PHE:F PRO:P SER:S THR:T TRP:W "
        "TYR:Y VAL:V"
    )
}
# Names that force fields give to states of protonation and to ends (AMBER, CHARMM, GROMOS, OPLS).
_ONE_LETTER |= {
    name: letter
    for letter, names in {
        "H": "HSD HSE HSP HID HIE HIP HISA HISB HISH HISD HISE HISP HIS1 HIS2",
        "C": "CYX CYM CYS1 CYS2 CYSH CYN",
        "D": "ASH ASPH ASPP",
        "E": "GLH GLUH GLUP",
        "K": "LYN LYSH LSN LYSN",
        "R": "ARGN",
        "M": "MSE",
        "S": "SEP",
        "T": "TPO",
        "Y": "PTR",
    }.items()
    for name in names.split()
}
_NUCLEIC = {
    "ADE": "A", "CYT": "C", "GUA": "G", "THY": "T", "URA": "U", "URI": "U",
    **{f"{sugar}{base}{end}": base for sugar in ("D", "R", "") for base in "ACGTU" for end in ("", "3", "5", "N")},
}  # fmt: skip
_CAPS = _names("ACE NME NMA NH2 NAC FOR CT3")
_WATER = _names(
    "HOH SOL WAT TIP3 TIP4 TIP5 TP3 TP4 TP5 TIP T3P T4P H2O SPC SPCE DOD OPC OPC3 W WF PW WN HH0 OH2"
)
_LIPID = _names(
    "DPPC DPP DOPC DOP POPC POP POPE POPG POPS DOPE DOPG DOPS DSPC DLPC DLPE DMPC DMPE DMPG DPPE DPPG "
    "DPPS DIPC DIPE CHOL CHL1 CLR SDPC PLPC PSM SSM CER POPA POPI PIP2 CDL TOCL DHPC LPPC"
)
_IONS = {
    name: element
    for element, names in {
        "Na": "NA NA+ SOD Na+ NA1+", "Cl": "CL CL- CLA Cl- CL1-", "K": "K K+ POT K1+", "Mg": "MG MG2 MG2+ MG+2",
        "Ca": "CA CAL CA2 CA2+ CA+2 C0", "Zn": "ZN ZN2 ZN2+ ZN+2", "Li": "LI LI+ LIT", "Rb": "RB RB+ RUB", "Cs": "CS CS+ CES",
        "Br": "BR BR-", "I": "IOD I-", "F": "F- FLU", "Fe": "FE FE2 FE3", "Mn": "MN MN2", "Cu": "CU CU1 CU2", "Ni": "NI",
        "Co": "CO 3CO", "Cd": "CD CD2", "Ba": "BA BAR", "Sr": "SR", "Hg": "HG", "Ag": "AG", "Au": "AU AU3", "Pb": "PB",
    }.items()
    for name in names.split()
}  # fmt: skip
_BEADS = _names("BB BAS SC1 SC2 SC3 SC4 NC3 NH3 PO4 GL1 GL2 GL0 C1A C2A C3A D2A C1B C2B C3B AM1 AM2 ROH")
_TWO_LETTERS = _names("CL BR FE ZN MG SI SE LI MN CU NI RU PT PD AU AG AL TI AS")


@dataclass(frozen=True, slots=True)
class Atoms:
    """Atoms in the order of a file, one entry per atom; texts are "" and `positions` None where a format has none.

    `positions` are in ångström, shape (n, 3); `insertions` are the insertion codes of PDB.
    """

    elements: TextArray
    names: TextArray
    resnames: TextArray
    resids: IntArray
    chains: TextArray
    positions: FloatArray | None
    insertions: TextArray | None = None

    def __len__(self) -> int:
        return len(self.names)

    def only(self, keep: BoolArray | IntArray) -> "Atoms":
        """Give the atoms of a mask, shape (n,), or those at these places, in their order."""
        return Atoms(
            self.elements[keep],
            self.names[keep],
            self.resnames[keep],
            self.resids[keep],
            self.chains[keep],
            None if self.positions is None else self.positions[keep],
            None if self.insertions is None else self.insertions[keep],
        )


def residue_starts(atoms: Atoms) -> IntArray:
    """Give the index of the first atom of each residue: where number, name, insertion code or chain changes."""
    if len(atoms) == 0:
        return np.zeros(0, dtype=np.int64)
    change = np.ones(len(atoms), dtype=bool)
    change[1:] = atoms.resids[1:] != atoms.resids[:-1]
    for texts in (atoms.resnames, atoms.chains):
        change[1:] |= texts[1:] != texts[:-1]
    if atoms.insertions is not None:
        change[1:] |= atoms.insertions[1:] != atoms.insertions[:-1]
    return np.flatnonzero(change).astype(np.int64)


def gathered(atoms: Atoms) -> Atoms:
    """Put atoms that are told apart from their residue beside it: hydrogens at the end, as RDKit and others write them.

    A residue that comes again with names which it has had already is another one.
    """
    starts = residue_starts(atoms)
    ends = np.append(starts[1:], len(atoms))
    homes = np.arange(len(starts))
    first: dict[tuple[str, int, str, str], tuple[int, set[str]]] = {}
    for block, (start, end) in enumerate(zip(starts, ends, strict=True)):
        insertion = "" if atoms.insertions is None else str(atoms.insertions[start])
        key = (str(atoms.chains[start]), int(atoms.resids[start]), insertion, str(atoms.resnames[start]))
        names = set(atoms.names[start:end].tolist())
        home, known = first.get(key, (-1, set()))
        if home < 0 or known & names:
            first[key] = block, names
        else:
            homes[block] = home
            known |= names
    if (homes == np.arange(len(starts))).all():
        return atoms
    order = np.argsort(np.repeat(homes, ends - starts), kind="stable")
    return atoms.only(order.astype(np.int64))


@cache
def kind_of(resname: str) -> str:
    """Tell the kind of a residue by its name: an amino acid, a nucleic acid, water, an ion, a lipid or other."""
    name = resname.strip().upper()
    if name in _WATER:
        return WATER
    if name in _LIPID:
        return LIPID
    if name in _ONE_LETTER or name in _CAPS or _terminal(name):
        return AMINO
    if name in _NUCLEIC:
        return NUCLEIC
    if name in _IONS:
        return ION
    found = gemmi.find_tabulated_residue(name)
    if found.is_water():
        return WATER
    if found.is_amino_acid():
        return AMINO
    return NUCLEIC if found.is_nucleic_acid() else OTHER


@cache
def letter_of(resname: str) -> str:
    """Give the letter of an amino or nucleic acid, "X" where it has none, "" for the caps of a chain."""
    name = resname.strip().upper()
    if name in _CAPS:
        return ""
    letter = _ONE_LETTER.get(name) or _ONE_LETTER.get(_terminal(name)) or _NUCLEIC.get(name)
    if letter:
        return letter
    found = gemmi.find_tabulated_residue(name)
    code = found.one_letter_code.strip().upper()
    return code if len(code) == 1 and code.isalpha() else "X"


def _terminal(name: str) -> str:
    """Give the amino acid of a residue that AMBER names as an end of a chain (NMET, CLYS), else ""."""
    return name[1:] if len(name) == 4 and name[0] in "NC" and name[1:] in _ONE_LETTER else ""


def guess_elements(names: Sequence[str], resnames: Sequence[str], alone: Sequence[bool]) -> TextArray:
    """Guess elements by the names of atoms and residues.

    Parameters
    ----------
    names, resnames : sequence of str
        Names of atoms and of their residues, shape (n,).
    alone : sequence of bool
        Whether the atom is the only one of its residue, as an ion is, shape (n,).

    Returns
    -------
    numpy.ndarray
        Symbols, shape (n,); "" for beads, for sites without a nucleus and for what cannot be told.
    """
    if is_coarse(names, resnames):
        return np.full(len(names), "", dtype="U2")
    return np.array([_guess(*one) for one in zip(names, resnames, alone, strict=True)], dtype="U2")


def is_coarse(names: Sequence[str], resnames: Sequence[str]) -> bool:
    """Tell whether names are of beads of a coarse model (MARTINI) and not of atoms."""
    found = {str(name) for name in set(names)} & _BEADS
    beads = len(found) >= 2 or "BB" in found
    return beads or any(str(name) == "W" == str(res) for name, res in set(zip(names, resnames, strict=True)))


def with_guessed_elements(
    names: list[str], resnames: list[str], resids: list[int], chains: TextArray, positions: FloatArray | None
) -> Atoms:
    """Give atoms whose elements are guessed by their names, of a format that does not tell them."""
    empty = np.full(len(names), "", dtype="U2")
    bare = Atoms(
        empty,
        np.array(names, dtype=np.str_),
        np.array(resnames, dtype=np.str_),
        np.array(resids, dtype=np.int64),
        chains,
        positions,
    )
    starts = residue_starts(bare)
    alone = np.repeat(np.diff(np.append(starts, len(names))) == 1, np.diff(np.append(starts, len(names))))
    elements = guess_elements(names, resnames, alone.tolist())
    return Atoms(elements, bare.names, bare.resnames, bare.resids, chains, positions)


def element_of(symbol: str) -> str:
    """Give the symbol of an element by its symbol in any case, its number, or a symbol with a number after it; or ""."""
    letters = re.match(r"[A-Za-z]{1,2}", symbol)
    number = int(symbol) if symbol.isascii() and symbol.isdigit() and len(symbol) <= 3 else 0
    name = gemmi.Element(number).name if 0 < number < 119 else letters.group() if letters else ""
    found = gemmi.Element(name).name if name else "X"
    return "" if found == "X" else found


@cache
def _guess(name: str, resname: str, alone: bool) -> str:
    letters = "".join(letter for letter in name if letter.isalpha()).upper()
    kind = kind_of(resname)
    if alone and resname.upper() in _IONS:
        return _IONS[resname.upper()]
    if alone and kind not in POLYMERS and name.upper() in _IONS:  # of a chain of CA alone, CA is no calcium
        return _IONS[name.upper()]
    if alone and len(letters) == 2 and letters == resname.upper() and gemmi.Element(letters).atomic_number:
        return str(gemmi.Element(letters).name)
    if kind == OTHER and letters[:2] in _TWO_LETTERS:
        return letters[:2].capitalize()
    if resname.upper() == "MSE" and letters == "SE":
        return "Se"
    allowed = "OHD" if kind == WATER else "CHNOSPD" if kind in POLYMERS else "CHNOSPFIBD"
    return letters[0] if letters and letters[0] in allowed else ""


def count_elements(elements: TextArray) -> dict[str, int]:
    """Count the atoms of each element that is known, in Hill's order: carbon, hydrogen, then by letter."""
    counts = Counter(str(one) for one in elements.tolist() if one)
    lead = ["C", "H"] if "C" in counts else []
    return {name: counts[name] for name in [*lead, *sorted(set(counts) - set(lead))] if counts[name]}


def formula_of(counts: Mapping[str, int]) -> str:
    """Write counts of elements as a formula, in the order in which they come."""
    return "".join(f"{name}{count if count > 1 else ''}" for name, count in counts.items())


def describe(atoms: Atoms) -> dict[str, Any]:
    """Tell what a structure is made of.

    Returns
    -------
    dict
        ``n_atoms``, ``n_residues``, ``elements`` (symbol to count), ``n_atoms_without_element``, ``formula`` (where all
        elements are known, the structure is small and no solution), ``composition`` (residue name to count, the most frequent
        first, with ``n_kinds_of_residue`` where the list is cut), ``n_water_molecules``, ``ions`` (name to count), ``chains``
        (``id``, ``kind``, ``n_residues``, ``n_atoms``, ``first_residue``, ``last_residue``, ``sequence``), ``molecules``
        (``name``, ``kind``, ``count``).
    """
    starts = residue_starts(atoms)
    elements = count_elements(atoms.elements)
    unknown = len(atoms) - sum(elements.values())
    facts: dict[str, Any] = {"n_atoms": len(atoms), "elements": elements}
    if unknown:
        facts["n_atoms_without_element"] = unknown
    elif 0 < len(atoms) <= LARGEST_FORMULA:
        facts["formula"] = formula_of(elements)
    if not any(atoms.resnames.tolist()):
        return facts
    facts |= _describe_residues(atoms, starts)
    if facts["n_water_molecules"] or facts["ions"]:  # the formula of a solution says nothing
        facts.pop("formula", None)
    return facts


def _describe_residues(atoms: Atoms, starts: IntArray) -> dict[str, Any]:
    resnames = [str(name) for name in atoms.resnames[starts].tolist()]
    kinds = [kind_of(name) for name in resnames]
    counts = Counter(resnames)
    chains = _chains(atoms, starts, resnames, kinds)
    facts: dict[str, Any] = {"n_residues": len(starts), "composition": dict(counts.most_common(MOST_NAMES))}
    if len(counts) > MOST_NAMES:
        facts["n_kinds_of_residue"] = len(counts)
    of_kind = {
        kind: Counter(n for n, k in zip(resnames, kinds, strict=True) if k == kind) for kind in set(kinds)
    }
    facts["n_water_molecules"] = sum(of_kind.get(WATER, Counter()).values())
    facts["ions"] = dict(of_kind.get(ION, Counter()).most_common(MOST_NAMES))
    facts["chains"] = chains
    facts["molecules"] = [
        {"name": f"chain {chain['id']}", "kind": chain["kind"], "count": 1} for chain in chains[:MOST_NAMES]
    ] + [
        {"name": name, "kind": kind, "count": count}
        for kind in (LIPID, OTHER, ION, WATER)
        for name, count in of_kind.get(kind, Counter()).most_common(MOST_NAMES)
    ]
    return facts


def _chains(atoms: Atoms, starts: IntArray, resnames: list[str], kinds: list[str]) -> list[dict[str, Any]]:
    """Gather polymers: by the identifier of the chain, else by runs in which numbers of residues rise."""
    ends = np.append(starts[1:], len(atoms))
    resids = atoms.resids[starts].tolist()
    names = [str(one).strip() for one in atoms.chains[starts].tolist()]
    gathered: dict[tuple[str, str], list[int]] = {}
    run, last = 0, None
    for index, kind in enumerate(kinds):
        if kind not in POLYMERS:
            last = None if not names[index] else last
            continue
        if (
            last is not None
            and (resids[index] < resids[last] or kinds[last] != kind or names[last] != names[index])
        ) or (last is None and gathered):
            run += 1
        last = index
        gathered.setdefault((names[index], kind) if names[index] else (f"#{run}", kind), []).append(index)
    kept = [(name, kind, of) for (name, kind), of in gathered.items() if len(of) > 1 or name[0] != "#"]
    return [
        {
            "id": str(number) if name.startswith("#") else name,
            "kind": "protein" if kind == AMINO else NUCLEIC,
            "n_residues": len(of),
            "n_atoms": int((ends[of] - starts[of]).sum()),
            "first_residue": resids[of[0]],
            "last_residue": resids[of[-1]],
            "sequence": "".join(letter_of(resnames[index]) for index in of),
        }
        for number, (name, kind, of) in enumerate(kept, start=1)
    ]


def fasta(chains: Sequence[Mapping[str, Any]], title: str) -> str:
    """Write the sequences of chains as FASTA, 60 letters a line."""
    parts = []
    for chain in chains:
        letters = chain["sequence"]
        parts.append(f">{chain['id']} {chain['kind']}, {len(letters)} residues, {title}".rstrip(", "))
        parts += [letters[at : at + 60] for at in range(0, len(letters), 60)]
    return "\n".join(parts) + "\n" if parts else ""
