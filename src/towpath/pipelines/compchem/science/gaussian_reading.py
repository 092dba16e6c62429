"""Reads of a Gaussian output what cclib leaves out: energies of double hybrids, of compound methods and beyond CCSD(T).

An output may hold several jobs: what is told is told of the last. A derivative by differences prints the energies of
displaced geometries last: they are no result. Promises to keep memory bounded.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .output_lines import output_lines
from .quantum_facts import split_label

MOST_OF_A_ROUTE = 10_000
BEGIN = " Entering Link 1 ="
STEP_OF_JOB = "Link1:  Proceeding to internal job step"
STEP = re.compile(r"^ Step number +\d+ out of a maximum of")
DISPLACED = " Re-enter D2Numr"
WIDTH = 70  # of the lines on which a route stands
DASHES = " -----"
_NUMBER = r"(-?\d*\.\d+(?:[DE][-+]\d+)?)"
SCF = re.compile(rf"^ SCF Done: +E\(([^)]+)\) = +{_NUMBER}")
NAMES = {"CC": "CCSD", "CI": "CISD"}  # what any method of a kind is called where the input names another
# What stands before an energy, and the method whose energy it is; without one the first group names it.
ENERGIES = (
    (re.compile(rf"^ E2 *= .* EUMP2 *= *{_NUMBER}"), "MP2"),
    (re.compile(rf"^ E3 *= .* EUMP3 *= *{_NUMBER}"), "MP3"),
    (re.compile(rf"^ E4\([A-Z]+\) *= .* UMP4\([A-Z]+\) *= *{_NUMBER}"), "MP4"),
    (re.compile(rf"^ DEMP5 *= .* MP5 *= *{_NUMBER}"), "MP5"),
    (re.compile(rf"^ E2\(([^)]+)\) *= .* E\([^)]+\) *= *{_NUMBER}"), ""),
    (re.compile(rf"^ DE\(Corr\) *= .* E\(CORR\) *= *{_NUMBER}"), "CC"),
    (re.compile(rf"^ DE\(CI\) *= .* E\(CI\) *= *{_NUMBER}"), "CI"),
    (re.compile(rf"^ ((?:CCSD|QCISD|BD)\(TQ?\)) *= *{_NUMBER}"), ""),
    (re.compile(rf"^ ([^\s(]+) *\(0 K\) *= *{_NUMBER}"), ""),
    (re.compile(rf"^ (ONIOM): extrapolated energy *= *{_NUMBER}"), ""),
)
# One of them stands on every line that is looked at; most lines are passed over by it.
WORDS = (
    "SCF Done",
    "E2",
    "E3",
    "E4(",
    "MP5",
    "Corr)",
    "(CI)",
    "(T",
    "(0 K)",
    "ONIOM:",
    "Enthalpy=",
    "Counterpoise",
)
THERMAL = re.compile(rf"^ \S+ Enthalpy= *{_NUMBER} +\S+ Free Energy= *{_NUMBER}")
COUNTERPOISE = re.compile(rf"^ Counterpoise:? corrected energy *= *{_NUMBER}")
# A method whose energy is not that of the SCF, as an input names it.
ASKED = re.compile(
    r"(?:RO|R|U)?(?:(?P<compound>CBS-\w+|G[1-4](?:MP[23])?(?:B3)?|W1(?:U|BD|RO)|ONIOM)|(?P<active>CAS(?:SCF)?)"
    r"|(?P<perturbed>MP[2-5])\w*|(?P<coupled>CCSD|QCISD|BD|CCD|CISD|CID)(?:-T)?|(?P<hybrid>\w*2PLYP\w*|PBE0DH|PBEQIDH|DSDPBEP86))"
    r"(?=[(=/]|$)",
    re.IGNORECASE,
)
TRIPLES = re.compile(r"[(,=-](TQ?)(?=[,)]|$)", re.IGNORECASE)


@dataclass(slots=True)
class Said:
    """What the last job says.

    `route` is what its input asks for; `label` the kind of its SCF, as Gaussian writes it; `scf` the SCF energy in
    hartree; `energies` those of methods that go beyond it, the latest last, of which `hybrid` names a functional and
    `compound` a method of several calculations; `thermal` the enthalpy and the Gibbs energy of that;
    `corrected` the energy of fragments together, corrected for their basis sets.
    """

    route: str = ""
    label: str = ""
    scf: float | None = None
    energies: dict[str, float] = field(default_factory=dict)
    hybrid: str = ""
    compound: str = ""
    thermal: tuple[float, ...] = ()
    corrected: float | None = None
    displaced: bool = False


def read_gaussian(path: Path) -> Said:
    """Read what a Gaussian output says of the names of `Said`."""
    said, within = Said(), False
    for line in output_lines(path):
        if line.startswith(BEGIN):
            said, within = Said(), False
        elif within or (not said.route and line.startswith(" #")):
            within = not line.startswith(DASHES) and len(said.route) < MOST_OF_A_ROUTE
            said.route += f"{line[1:].rstrip()}{' ' * (len(line.rstrip()) <= WIDTH)}" if within else ""
        elif line.startswith((f" {STEP_OF_JOB}", STEP_OF_JOB)):
            said = Said(
                said.route, said.label, said.scf
            )  # an energy beyond the SCF is that of one step alone
        elif STEP.match(line):
            said.displaced = False
        elif line.startswith(DISPLACED):
            said.displaced = True
        elif not said.displaced and any(word in line for word in WORDS):
            _take(line, said)
    return said


def _take(line: str, said: Said) -> None:
    """Take the energy that stands on a line."""
    if match := SCF.match(line):
        said.label, said.scf = match[1], _float(match[2])
    elif match := THERMAL.match(line):
        said.thermal = (_float(match[1]), _float(match[2]))
    elif match := COUNTERPOISE.match(line):
        said.corrected = _float(match[1])
    else:
        for pattern, name in ENERGIES:
            if match := pattern.match(line):
                _take_energy(line, name or match[1], _float(match[match.lastindex or 0]), said)


def _take_energy(line: str, method: str, energy: float, said: Said) -> None:
    """Take the energy of a method that goes beyond the SCF."""
    group, asked = _asked(said.route)
    if method in NAMES:  # any of this kind: the input tells which
        method = asked.partition("(")[0] if group == "coupled" else NAMES[method]
    if " E2(" in line:
        said.hybrid = method
    elif "(0 K)" in line or method == "ONIOM":
        said.compound = method
    said.energies.pop(method, None)  # the latest is the last
    said.energies[method] = energy


def _float(number: str) -> float:
    """A number as Fortran writes it."""
    return float(number.replace("D", "E"))


def _asked(route: str) -> tuple[str, str]:
    """The group of `ASKED` and the name of the method beyond the SCF that a route asks for; both empty where it asks for none."""
    for word in route.split():
        if match := ASKED.match(re.sub(r"^#[NPT]?", "", word, flags=re.IGNORECASE)):
            group, name = next((group, name) for group, name in match.groupdict().items() if name)
            triples = TRIPLES.search(word.partition("/")[0])
            of = f"({triples[1].upper()})" if group == "coupled" and triples else ""
            return group, name.upper() + of
    return "", ""


def add_gaussian(data: Any, said: Said) -> str:
    """Put the methods of the last job into cclib's data; give a sentence if the energy that it asks for is not read."""
    if not said.label:
        return ""
    method, functional = split_label(said.label)
    if method == "DFT":
        is_open = any(re.match(r"#?[NPT]?RO", word, re.IGNORECASE) for word in said.route.split())
        functional = re.sub(r"^(?:RO|R|U)(?=[A-Za-z])" if is_open else r"^[RU](?=[A-Za-z])", "", said.label)
    beyond = [name for name in said.energies if name != said.hybrid]
    data.metadata |= {"methods": [method, *beyond], "functional": functional}
    group, asked = _asked(said.route)
    read = {"compound": bool(said.compound), "hybrid": bool(said.hybrid), "active": False}
    if not asked or read.get(group, asked in said.energies):
        return ""
    of = next(reversed(said.energies), "the SCF")
    return f"The energy is that of {of}: that of {asked} is not read."


def add_energies(facts: dict[str, Any], said: Said) -> None:
    """Make the total energy that of the method whose energy stands last in the last job."""
    if said.scf is None:
        return
    energies: dict[str, Any] = {"scf_hartree": said.scf, "total_hartree": said.scf, "total_is": "SCF"}
    for name, energy in said.energies.items():
        coupled = name.startswith(("CC", "QCI", "BD"))
        if coupled:
            energies["cc_hartree"] = energy
        elif re.fullmatch(r"MP\d", name):
            energies[f"{name.lower()}_hartree"] = energy
        energies |= {"total_hartree": energy, "total_is": "CC" if coupled else name}
    dispersion = "dispersion_hartree"
    facts["energies"] = energies | {
        name: value for name, value in facts.get("energies", {}).items() if name == dispersion
    }
    if said.compound:
        _add_compound(facts, said)
    if said.corrected is not None:  # the others are those of the last fragment
        facts["energies"] = {"total_hartree": said.corrected, "total_is": "counterpoise corrected"}


def _add_compound(facts: dict[str, Any], said: Said) -> None:
    """Make method and energies those of the method of several calculations: the others are of one of them."""
    at_rest = said.compound == "ONIOM"
    told = said.compound if at_rest else f"{said.compound} at 0 K, with the zero-point energy"
    facts["method"] = said.compound
    facts["energies"] = {"total_hartree": said.energies[said.compound], "total_is": told}
    for name in ("functional", "basis"):
        facts.pop(name, None)
    if said.thermal and "thermochemistry" in facts:
        facts["thermochemistry"] |= {
            "enthalpy_hartree": said.thermal[0],
            "gibbs_energy_hartree": said.thermal[1],
        }
