"""Turns what `gmx dump -s` prints of a run input into an annotation of the simulation.

The annotation has the shape that repositories of simulations ask for: `file_identification`, `main_information`,
`detailed_information`, `_gromacs_version`, `_tpx_version`. Every key is snake_case; a quantity's unit stands at the end
of its key (`_ns`, `_ps`, `_k`, `_bar`, `_nm`); words that GROMACS chooses from are in lower case as in its manual's
list of mdp options. What a file does not say is absent, never guessed: a run input names no force field.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

MOST_RESIDUES = 20_000  # of one kind of molecule that are listed
ENSEMBLES = {
    (False, False): "NVE (microcanonical)",
    (True, False): "NVT (canonical)",
    (True, True): "NpT (isothermal-isobaric)",
    (False, True): "NpH (isoenthalpic-isobaric)",
}
MINIMISERS = frozenset({"steep", "cg", "l-bfgs"})
THERMAL = frozenset({"sd", "sd1", "sd2", "bd"})  # integrators that are thermostats themselves
LETTERS = {
    "ALA": "A", "ARG": "R", "ARGN": "R", "ASN": "N", "ASN1": "N", "ASP": "D", "ASPH": "D", "ASP1": "D", "ASH": "D",
    "CYS": "C", "CYS1": "C", "CYS2": "C", "CYSH": "C", "CYX": "C", "CYM": "C", "GLN": "Q", "GLU": "E", "GLUH": "E",
    "GLH": "E", "GLY": "G", "HIS": "H", "HISA": "H", "HISB": "H", "HISD": "H", "HISE": "H", "HISH": "H", "HIS1": "H",
    "HID": "H", "HIE": "H", "HIP": "H", "HSD": "H", "HSE": "H", "HSP": "H", "ILE": "I", "LEU": "L", "LYS": "K",
    "LYSH": "K", "LYN": "K", "MET": "M", "MSE": "M", "PHE": "F", "PRO": "P", "SER": "S", "THR": "T", "TRP": "W",
    "TYR": "Y", "VAL": "V",
}  # fmt: skip

_MATRIX_ROW = re.compile(r"([\w-]+)\[\s*(\d+)\]=\{([^}]*)\}")
_QUOTED = re.compile(r'name="(.*)"')
_GROUPS = re.compile(r"grp\[T-Coupling\s*\] nr=(\d+), name=\[(.*)\]")


@dataclass(slots=True)
class Dump:
    """What of a dump is wanted: values by key, matrices, lists, blocks of molecules and the residues of each kind."""

    values: dict[str, str] = field(default_factory=dict)
    matrices: dict[str, dict[int, list[float]]] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    blocks: list[tuple[int, str, int]] = field(default_factory=list)  # kind of molecule, its name, how many
    residues: dict[int, list[str]] = field(default_factory=dict)
    groups: list[str] = field(default_factory=list)  # of temperature coupling
    title: str = ""
    pulls: set[str] = field(default_factory=set)  # types of pull coordinates
    complete: bool = False  # the box was reached, which comes after all that is wanted


def read_dump(lines: Iterable[str]) -> Dump:
    """Read the lines of a dump up to the box; coordinates, which follow, are not asked for."""
    found, part, kind = Dump(), "inputrec", -1
    for line in lines:
        text = line.strip()
        if part == "box":
            if (row := _MATRIX_ROW.match(text)) is None or row[1] != "box":
                break
            _matrix_row(found, row)
            found.complete = int(row[2]) == 2
        elif line.startswith("box (3x3)"):
            part = "box"
        elif text == "topology:":
            part = "topology"
        elif part == "inputrec":
            _setting(found, text)
        elif line.startswith("   moltype ("):
            part, kind = "moltype", int(text[text.index("(") + 1 : text.index(")")])
        elif text.startswith("grp[T-Coupling") and (named := _GROUPS.match(text)):
            found.groups = named[2].split()
        elif part == "moltype":
            _residue(found.residues.setdefault(kind, []), text)
        else:
            _block(found, text)
    return found


def _setting(found: Dump, text: str) -> None:
    """One line of the parameters: ``key = value``, a row of a matrix, or a list after a colon."""
    if row := _MATRIX_ROW.match(text):
        _matrix_row(found, row)
    elif "=" in text:
        key, _, value = text.partition("=")
        key, value = key.strip().replace("_", "-").lower(), value.strip()
        if key == "type":
            found.pulls.add(value.lower())
        found.values.setdefault(key, value)
    elif ":" in text:
        key, _, rest = text.partition(":")
        if rest.strip():
            found.lists.setdefault(key.strip().lower(), rest.split())


def _matrix_row(found: Dump, row: re.Match[str]) -> None:
    try:
        numbers = [float(one) for one in row[3].split(",")]
    except ValueError:
        return
    found.matrices.setdefault(row[1].lower(), {})[int(row[2])] = numbers


def _residue(names: list[str], text: str) -> None:
    if text.startswith("residue[") and len(names) < MOST_RESIDUES and '"' in text:
        names.append(text.split('"', 2)[1])


def _block(found: Dump, text: str) -> None:
    """A line of the topology before the kinds of molecules: the title, or a line of a block of molecules."""
    if text.startswith("name=") and not found.title and not found.blocks:
        named = _QUOTED.match(text)
        found.title = named[1] if named else ""
    elif text.startswith("moltype ") and '"' in text:
        number, name = text.partition("=")[2].split(None, 1)
        found.blocks.append((int(number), name.strip().strip('"'), 0))
    elif text.startswith("#molecules ") and found.blocks:
        kind, name, _ = found.blocks[-1]
        found.blocks[-1] = kind, name, int(text.partition("=")[2])


def annotate(dump: Dump) -> dict[str, Any]:
    """Make `main_information` and `detailed_information` of a dump."""
    return {"main_information": _main(dump), "detailed_information": _detailed(dump)}


def describe_molecules(kinds: Sequence[tuple[str, int, Sequence[str]]]) -> list[dict[str, Any]]:
    """List molecules as an annotation has them.

    Parameters
    ----------
    kinds
        Of every kind in the order of the file: its name, how many there are, and the names of its residues.

    Returns
    -------
    list of dict
        `id`, `name`, `count`, `residues`, and `sequence` in letters of one where at least half are amino acids.
    """
    told = []
    for number, (name, count, residues) in enumerate((one for one in kinds if one[1] > 0), 1):
        one: dict[str, Any] = {
            "id": f"molecule {number}",
            "name": name,
            "count": count,
            "residues": list(residues),
        }
        letters = [LETTERS.get(residue.upper(), "X") for residue in residues]
        if len(letters) > 1 and letters.count("X") * 2 < len(letters):
            one["sequence"] = "".join(letters)
        told.append(one)
    return told


def describe_box(vectors: npt.ArrayLike) -> dict[str, Any]:
    """Describe a periodic box.

    Parameters
    ----------
    vectors
        Its three vectors in nm as rows, shape (3, 3).

    Returns
    -------
    dict
        `vectors_nm`, `lengths_nm`, `angles_degree` (alpha between b and c, beta, gamma), `volume_nm3` and `shape`.
    """
    rows = np.asarray(vectors, dtype=float).reshape(3, 3)
    lengths = np.linalg.norm(rows, axis=1)
    if not lengths.all():
        return {"shape": "none"}
    pairs = ((1, 2), (0, 2), (0, 1))
    cosines = [float(rows[i] @ rows[j] / lengths[i] / lengths[j]) for i, j in pairs]
    angles = np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0)))
    square = bool(np.allclose(angles, 90.0, atol=0.01))
    cubic = square and bool(np.allclose(lengths, lengths[0], rtol=1e-5))
    return {
        "shape": "cubic" if cubic else "rectangular" if square else "triclinic",
        "vectors_nm": rows.round(6).tolist(),
        "lengths_nm": lengths.round(6).tolist(),
        "angles_degree": angles.round(4).tolist(),
        "volume_nm3": round(abs(float(np.linalg.det(rows))), 5),
    }


def _main(dump: Dump) -> dict[str, Any]:
    values = dump.values
    integrator = values.get("integrator", "").lower()
    steps, step = _number(values.get("nsteps")), _number(values.get("dt"))
    free = values.get("free-energy", "no").lower() != "no"
    moves = integrator not in MINIMISERS | {"nm", "tpi", "tpic", ""}
    endless = steps is not None and steps < 0
    told: dict[str, Any] = {
        "title": dump.title or None,
        "simulation_type": _type(integrator, free=free),
        "simulation_length_ns": round(steps * step / 1000.0, 9)
        if moves and steps is not None and step and not endless
        else None,
        "simulation_time_step_ps": step if moves else None,
        "number_of_steps": None if endless else _whole(steps),
        "statistical_ensemble": _ensemble(values, integrator) if moves else None,
        **_baths(dump, integrator),
        "box": describe_box(box) if (box := _matrix(dump, "box")) else None,
        "number_of_atoms": _whole(_number(values.get("natoms"))),
        "molecules": describe_molecules([(n, c, dump.residues.get(kind, [])) for kind, n, c in dump.blocks]),
        "free_energy_calculation": "yes" if free else "no",
        "umbrella_sampling": _yes(values.get("pull")) and "umbrella" in dump.pulls,
        "awh_adaptive_biasing": _yes(values.get("awh")),
    }
    return {name: value for name, value in told.items() if value is not None}


def _type(integrator: str, *, free: bool) -> str | None:
    if integrator in MINIMISERS:
        return "energy minimization"
    if integrator == "nm":
        return "normal mode analysis"
    if integrator in ("tpi", "tpic"):
        return "test particle insertion"
    if not integrator:
        return None
    return "free energy simulation" if free else "molecular dynamics"


def _ensemble(values: Mapping[str, str], integrator: str) -> str:
    return ENSEMBLES[_is_thermal(values, integrator), _is_on(values.get("pcoupl"))]


def _is_thermal(values: Mapping[str, str], integrator: str) -> bool:
    return integrator in THERMAL or _is_on(values.get("tcoupl"))


def _baths(dump: Dump, integrator: str) -> dict[str, Any]:
    """Reference temperatures of the coupled groups and the reference pressure, where there is such a coupling."""
    told: dict[str, Any] = {}
    if _is_thermal(dump.values, integrator):
        told["reference_temperature_k"] = _numbers(dump.lists.get("ref-t", []))
    if _is_on(dump.values.get("pcoupl")):
        told["reference_pressure_bar"] = _matrix(dump, "ref-p")
    return told


def _detailed(dump: Dump) -> dict[str, Any]:
    v = dump.values
    told: dict[str, Any] = {
        "integrator": _word(v, "integrator"),
        **_steps(v),
        "comm_mode": _word(v, "comm-mode"),
        "nstcomm": _integer(v, "nstcomm"),
        "constraint_algorithm": _word(v, "constraint-algorithm"),
        "lincs_order": _integer(v, "lincs-order"),
        "lincs_iter": _integer(v, "lincs-iter"),
        "continuation": _yes(v.get("continuation")),
        "fourierspacing_nm": _number(v.get("fourierspacing")) or None,
        "thermostat": _thermostat(dump),
        "barostat": _barostat(dump),
        "neighbour_list": _present(
            cutoff_scheme=_word(v, "cutoff-scheme"),
            nstlist=_integer(v, "nstlist"),
            pbc=_word(v, "pbc"),
            rlist_nm=_number(v.get("rlist")),
        ),
        "electrostatic_interactions": _electrostatics(v),
        "van_der_waals_interactions": _present(
            vdw_type=_word(v, "vdw-type"),
            vdw_modifier=_word(v, "vdw-modifier"),
            rvdw_nm=_number(v.get("rvdw")),
            rvdw_switch_nm=_number(v.get("rvdw-switch")),
            dispcorr=_word(v, "dispcorr"),
        ),
    }
    return {name: value for name, value in told.items() if value is not None}


def _steps(values: Mapping[str, str]) -> dict[str, Any]:
    """How often is written, and for minimisers when they end."""
    told = {
        name.replace("-", "_"): _integer(values, name)
        for name in ("nstxout", "nstvout", "nstfout", "nstlog", "nstenergy", "nstxout-compressed")
    }
    if values.get("integrator", "").lower() in MINIMISERS:
        return {
            **told,
            "emtol_kj_per_mol_nm": _number(values.get("emtol")),
            "emstep_nm": _number(values.get("emstep")),
        }
    return dict(told)


def _thermostat(dump: Dump) -> dict[str, Any]:
    return _present(
        tcoupl=_word(dump.values, "tcoupl"),
        nsttcouple=_integer(dump.values, "nsttcouple"),
        tau_t_ps=_numbers(dump.lists.get("tau-t", [])) or None,
        tc_grps={"nr": len(dump.groups), "name": dump.groups} if dump.groups else None,
    )


def _barostat(dump: Dump) -> dict[str, Any]:
    v = dump.values
    if not _is_on(v.get("pcoupl")):
        return {"pcoupl": "no"}
    return _present(
        pcoupl=_word(v, "pcoupl"),
        pcoupltype=_word(v, "pcoupltype"),
        nstpcouple=_integer(v, "nstpcouple"),
        tau_p_ps=_number(v.get("tau-p")),
        compressibility_per_bar=_matrix(dump, "compressibility"),
        refcoord_scaling=_word(v, "refcoord-scaling"),
    )


def _electrostatics(values: Mapping[str, str]) -> dict[str, Any]:
    grid = [_integer(values, f"fourier-n{axis}") or 0 for axis in "xyz"]
    return _present(
        coulombtype=_word(values, "coulombtype"),
        coulomb_modifier=_word(values, "coulomb-modifier"),
        rcoulomb_nm=_number(values.get("rcoulomb")),
        epsilon_r=_number(values.get("epsilon-r")),
        epsilon_rf=_dielectric(values.get("epsilon-rf")),
        pme_order=_integer(values, "pme-order"),
        fourier_grid=grid if any(grid) else None,
    )


def _dielectric(text: str | None) -> float | None:
    """The constant of the reaction field: as in mdp options, 0 stands for infinity."""
    number = _number(text)
    return 0.0 if number == math.inf else number


def _present(**told: Any) -> dict[str, Any]:
    return {name: value for name, value in told.items() if value is not None}


def _matrix(dump: Dump, key: str) -> list[list[float]] | None:
    rows = dump.matrices.get(key, {})
    return [rows[i] for i in range(3)] if all(len(rows.get(i, ())) == 3 for i in range(3)) else None


def _is_on(word: str | None) -> bool:
    return (word or "no").lower() not in ("no", "none")


def _yes(word: str | None) -> bool:
    return (word or "false").lower() in ("true", "yes")


def _word(values: Mapping[str, str], key: str) -> str | None:
    return values[key].lower() if key in values else None


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _numbers(texts: Sequence[str]) -> list[float]:
    return [number for text in texts if (number := _number(text)) is not None]


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)


def _integer(values: Mapping[str, str], key: str) -> int | None:
    return _whole(_number(values.get(key)))
