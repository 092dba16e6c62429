"""The facts of a quantum-chemistry calculation, from what cclib read, as the metadata of a record have them.

Promises units in the names of keys, energies in hartree as programs print them, and only what the file says: a fact
that is not there is absent. Never looks at the file.

cclib gives energies of states in eV, excitations in cm⁻¹, thermochemistry in hartree, dipoles in debye.
"""

import datetime
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from cclib.parser.data import ccData
from cclib.parser.utils import convertor

from .molecules import hill_formula

Floats = npt.NDArray[np.float64]

HARTREE_IN_J_PER_MOL = 2_625_499.6394799  # CODATA 2018: E_h times N_A
SAME_PLACE = 1e-4  # ångström
MOST_STEPS, MOST_CYCLES, MOST_WORDS = 5000, 2000, 400
PROGRAMS = {
    "gaussian": "Gaussian", "orca": "ORCA", "psi4": "Psi4", "nwchem": "NWChem", "qchem": "Q-Chem", "mopac": "MOPAC",
}  # fmt: skip
WRITERS = {"QChem": "Q-Chem"}
FORCE, LENGTH = "hartree/bohr", "bohr"
FORCES_AND_STEPS = (
    ("maximum force", FORCE),
    ("RMS force", FORCE),
    ("maximum step", LENGTH),
    ("RMS step", LENGTH),
)
ENERGY = ("energy change", "hartree")
GEOMETRY_CRITERIA: Mapping[str, tuple[tuple[str, str], ...]] = {
    "gaussian": FORCES_AND_STEPS,
    "fchk": FORCES_AND_STEPS,
    "nwchem": FORCES_AND_STEPS,
    "orca": (ENERGY, *FORCES_AND_STEPS),
    "psi4": (ENERGY, *FORCES_AND_STEPS),
    "qchem": (("maximum force", FORCE), ("maximum step", LENGTH), ENERGY),
}
DENSITIES = (("maximum density change", ""), ("RMS density change", ""))
SCF_CRITERIA: Mapping[str, tuple[tuple[str, str], ...]] = {
    "gaussian": (*reversed(DENSITIES), ENERGY),
    "fchk": (*reversed(DENSITIES), ENERGY),
    "nwchem": (ENERGY, ("RMS density change", ""), ("DIIS error", "")),
    "nwchem hf": (("gradient norm", ""),),
    "orca": (ENERGY, *DENSITIES),
    "psi4": (ENERGY, ("DIIS error", "")),
    "qchem": (("DIIS error", ""),),
}
FUNCTIONALS = {
    name.lower(): name
    for name in (
        "B3LYP", "B3LYP/G", "CAM-B3LYP", "B3PW91", "O3LYP", "X3LYP", "BHandHLYP", "BLYP", "BP86", "BP", "PW91", "OLYP",
        "PBE", "RPBE", "revPBE", "PBE0", "revPBE0", "LC-PBE", "LC-BLYP", "wB97", "wB97X", "wB97X-D3", "wB97X-D3BJ",
        "wB97X-D4", "wB97X-V", "wB97M-V", "wB97M-D3BJ", "wB97X-3c", "B97", "B97-D3", "B97-3c", "TPSS", "TPSSh", "TPSS0",
        "revTPSS", "SCAN", "r2SCAN", "r2SCAN-3c", "r2SCAN0", "M06", "M06L", "M062X", "M06-2X", "PBEh-3c", "PW6B95",
        "B2PLYP", "B2PLYP-D3", "mPW2PLYP", "PWPB95", "B2GP-PLYP", "DSD-BLYP", "DSD-PBEP86", "wB2PLYP", "LDA", "SVWN", "VWN5",
    )
}  # fmt: skip

SELF_CONSISTENT = re.compile(r"HF|SCF|DFT|(?:AM1|PM\d|MNDO|RM1|Z?INDO|CNDO|OM\d)\S*", re.IGNORECASE)
PERTURBED = re.compile(r"(?:\w+-)?MP\d\S*", re.IGNORECASE)
DOUBLE_HYBRID = re.compile(
    r"2\w*-?PLYP|[KT]PLYP|PWPB95|PTPSS|PP86|D[SO]D|XYG|QIDH|0-?DH|PBE0-2|97X-2|97M\(2\)", re.IGNORECASE
)


def hartree(energies: Any) -> Floats:
    """Energies of cclib, in eV, as hartree."""
    return np.asarray(convertor(np.asarray(energies, float), "eV", "hartree"), float)


def array(data: Any, name: str) -> Floats | None:
    """An array of cclib's data, or None where it is absent, empty or ragged."""
    try:
        values = np.asarray(getattr(data, name, ()), float)
    except (TypeError, ValueError):
        return None
    return values if values.size else None


def collect_facts(data: Any, program: str) -> dict[str, Any]:
    """Collect what is known of a calculation.

    Parameters
    ----------
    data
        What cclib read: any object with attributes named as `cclib.parser.data.ccData` names them.
    program
        As `towpath.pipelines.compchem.science.sniff_quantum.sniff_quantum` names it.

    Returns
    -------
    dict
        Facts; those that are None or empty are left out.
    """
    metadata = data.metadata
    numbers = [int(number) for number in getattr(data, "atomnos", ())]
    facts = {
        "format": "Formatted checkpoint" if program == "fchk" else f"{PROGRAMS[program]} output",
        "program": _program(metadata, program),
        **_version(metadata, program),
        **_method(metadata, program),
        "keywords": _keywords(metadata),
        "charge": _whole(data, "charge"),
        "multiplicity": _whole(data, "mult"),
        "formula": hill_formula(numbers),
        "n_atoms": len(numbers) or None,
        "n_electrons": _electrons(data, numbers),
        "n_basis_functions": _whole(data, "nbasis"),
        "point_group": metadata.get("symmetry_detected"),
        "energies": collect_energies(data),
        "scf": collect_scf(data, program),
        "geometry": collect_geometry(data, program),
        "thermochemistry": collect_thermochemistry(data),
        "orbitals": collect_orbitals(data),
        "dipole_debye": _dipole(data),
        "wall_time_s": _seconds(metadata.get("wall_time")),
        "cpu_time_s": _seconds(metadata.get("cpu_time")),
        "n_processors": metadata.get("num_cpu"),
    }
    return {name: value for name, value in facts.items() if value not in (None, "", {}, [])}


def _program(metadata: Mapping[str, Any], program: str) -> str:
    """The program's name; a checkpoint says which wrote it."""
    inside = re.search(r"\[(.+)\]", str(metadata.get("package", "")))
    if program != "fchk":
        return PROGRAMS[program]
    return WRITERS.get(inside[1], inside[1]) if inside else ""


def _version(metadata: Mapping[str, Any], program: str) -> dict[str, str]:
    """The version as people say it, and the build as cclib gives it."""
    build = str(metadata.get("package_version", ""))
    legacy = str(metadata.get("legacy_package_version", ""))
    gaussian = re.match(r"(?:20)?(\d\d)\+(\w\.\d+)", build)
    if program in ("gaussian", "fchk") and gaussian:
        return {"program_version": f"{gaussian[1]} {gaussian[2]}", "program_build": build}
    version = build if program == "mopac" else legacy or build
    return {"program_version": version, "program_build": build}


def _method(metadata: Mapping[str, Any], program: str) -> dict[str, str]:
    """Method, functional and basis set."""
    methods = [str(method) for method in metadata.get("methods", ())]
    method, functional = (methods[-1] if methods else ""), str(metadata.get("functional", ""))
    reference = next((one for one in reversed(methods) if SELF_CONSISTENT.fullmatch(one)), "DFT")
    corrected = method not in ("", reference) and not DOUBLE_HYBRID.search(functional)
    if functional and (reference != "DFT" or corrected):
        functional = ""  # that of an earlier job
    if program == "fchk" and method:
        method, functional = split_label(method)
        if method == "HF" and "Psi4" in str(metadata.get("package", "")):
            method = "SCF"  # it writes RHF for functionals, too
    elif not functional and reference == "DFT" and program == "orca":
        words = [str(word).lower() for word in metadata.get("keywords", ())]  # of all jobs
        functional = next((FUNCTIONALS[word] for word in reversed(words) if word in FUNCTIONALS), "")
    told = {
        "method": method,
        "functional": functional,
        "basis": str(metadata.get("basis_set", "")),
        "excited_states_method": str(metadata.get("excited_states_method", "")),
    }
    return {name: value for name, value in told.items() if value}


def split_label(label: str) -> tuple[str, str]:
    """Method and functional of a checkpoint's label: RB3LYP is DFT with B3LYP, UHF is HF, RMP2-FC is MP2."""
    bare = re.sub(r"^(?:RO|R|U)(?=[A-Z])", "", label.upper())
    if bare in ("HF", "SCF"):
        return "HF", ""
    if re.match(r"(?:MP\d|CC|CI|QCI|CAS|BD|G\d(?!\d)|AM1|PM\d)", bare):
        return bare.removesuffix("-FC").removesuffix("-FU"), ""
    return "DFT", bare


def _keywords(metadata: Mapping[str, Any]) -> str:
    """What the input asked for, on one line."""
    words = " ".join(str(word) for word in metadata.get("keywords", ()))
    return words[:MOST_WORDS]


def _whole(data: Any, name: str) -> int | None:
    """A whole number of cclib's data."""
    value = getattr(data, name, None)
    return int(value) if isinstance(value, int | np.integer) else None


def _electrons(data: Any, numbers: Sequence[int]) -> int | None:
    """Electrons that were treated: of the atoms, less those of core potentials, less the charge."""
    charge, cores = _whole(data, "charge"), array(data, "coreelectrons")
    if charge is None or not numbers:
        return None
    return sum(numbers) - charge - (int(cores.sum()) if cores is not None else 0)


def collect_energies(data: Any) -> dict[str, Any]:
    """Energies of the last step in hartree; ``total`` is that of the method which stands last.

    A job has no energy that belongs to a better method of an earlier one.
    """
    told: dict[str, Any] = {}
    scf, corrected, coupled = (array(data, name) for name in ("scfenergies", "mpenergies", "ccenergies"))
    level = _level(data.metadata)
    corrected, coupled = (corrected if level > 0 else None), (coupled if level > 1 else None)
    if scf is not None:
        told["scf_hartree"] = float(hartree(scf.ravel()[-1]))
        told |= {"total_hartree": told["scf_hartree"], "total_is": "SCF"}
    if corrected is not None:
        for order, energy in enumerate(hartree(np.atleast_2d(corrected)[-1]), start=2):
            told[f"mp{order}_hartree"] = float(energy)
            told |= {"total_hartree": float(energy), "total_is": f"MP{order}"}
    if coupled is not None:
        told["cc_hartree"] = float(hartree(coupled.ravel()[-1]))
        told |= {"total_hartree": told["cc_hartree"], "total_is": "CC"}
    dispersion = array(data, "dispersionenergies")
    if dispersion is not None and dispersion.ravel()[-1] != 0.0:
        told["dispersion_hartree"] = float(hartree(dispersion.ravel()[-1]))
    return told


def _level(metadata: Mapping[str, Any]) -> int:
    """How far the last method goes: 0 to the SCF, 1 to perturbation theory, 2 beyond it or not known."""
    methods = [str(method) for method in metadata.get("methods", ())]
    functional = str(metadata.get("functional", ""))
    # Of one job all energies are its own; and Q-Chem names Hartree-Fock for any method that begins with it.
    if len(methods) < 2 or DOUBLE_HYBRID.search(functional) or functional.upper() == "HF":
        return 2
    if SELF_CONSISTENT.fullmatch(methods[-1]):
        return 0
    return 1 if PERTURBED.fullmatch(methods[-1]) else 2


def collect_scf(data: Any, program: str) -> dict[str, Any]:
    """How the SCF of the last step converged: its criteria with targets, and their values in every cycle."""
    values = getattr(data, "scfvalues", None)
    if values is None or not len(values):
        return {}
    history = np.atleast_2d(np.asarray(values[-1], float))
    if history.size == 0:
        return {}
    targets = getattr(data, "scftargets", None)
    last = list(np.ravel(targets[-1])) if targets is not None and len(targets) else []
    if program == "orca":
        history = _cycles_of_orca(history, summarised=targets is not None and len(targets) == len(values))
    if program == "nwchem" and history.shape[1] == 1:
        program = "nwchem hf"
    return {
        "steps": len(values),
        "cycles": len(history),
        "criteria": _criteria(SCF_CRITERIA.get(program, ()), history.shape[1], last),
        "history": history[:MOST_CYCLES].tolist(),
    }


def _cycles_of_orca(history: Floats, *, summarised: bool) -> Floats:
    """The cycles that ORCA counts, with the maximum before the RMS.

    cclib adds the summary below a finished SCF as one more cycle; and ORCA 6 prints the RMS first in its table, but a
    maximum is never the smaller.
    """
    if summarised and len(history) > 1:
        history = history[:-1]
    if history.shape[1] != 3:
        return history
    density = np.sort(np.abs(history[:, 1:]), axis=1)[:, ::-1]
    return np.column_stack([history[:, 0], density])


def _criteria(names: Sequence[tuple[str, str]], count: int, targets: Sequence[Any]) -> list[dict[str, Any]]:
    """Names, units and targets of columns; a target that is absent or infinite is None."""
    told = []
    for k in range(count):
        name, unit = names[k] if len(names) == count else (f"criterion {k + 1}", "")
        told.append({"name": name, "unit": unit, "target": _finite(targets[k]) if k < len(targets) else None})
    return told


def _finite(value: Any) -> float | None:
    """A number, or None where it is none or not finite."""
    return float(value) if isinstance(value, int | float | np.number) and np.isfinite(value) else None


def collect_geometry(data: Any, program: str) -> dict[str, Any]:
    """How the geometry was optimised: steps, whether it converged, criteria with targets, energy of every step."""
    values, energies = array(data, "geovalues"), array(data, "scfenergies")
    told: dict[str, Any] = {}
    coordinates = array(data, "atomcoords")
    if coordinates is not None:
        same = coordinates.ndim == 3 and bool((np.abs(coordinates - coordinates[0]) < SAME_PLACE).all())
        told["geometries"] = 1 if same else len(coordinates)
    if values is None or values.ndim != 2:
        return told
    values = values.copy()
    if program == "gaussian":
        values = values[_of_optimisations(data, len(values))]
    names = GEOMETRY_CRITERIA.get(program, ())
    if ENERGY in names and len(names) == values.shape[1]:
        values[0, names.index(ENERGY)] = np.nan  # the first step has no energy before it
    targets = array(data, "geotargets")
    told |= {
        "steps": len(values),
        "converged": converged(data),
        "criteria": _criteria(names, values.shape[1], [] if targets is None else targets.tolist()),
        "history": values[:MOST_STEPS].tolist(),
    }
    if energies is not None and len(energies) > 1:
        told["energies_hartree"] = hartree(energies.ravel()[:MOST_STEPS]).tolist()
        told["energies_are"] = "SCF energies"
    return told


def _of_optimisations(data: Any, count: int) -> list[int]:
    """The steps that follow one another. A frequency calculation of Gaussian has one step; of such only the last is given."""
    status = [int(one) & ccData.OPT_NEW for one in getattr(data, "optstatus", ())]
    if len(status) != count:
        return list(range(count))
    alone = [new and after for new, after in zip(status, [*status[1:], True], strict=True)]
    return [step for step in range(count) if not alone[step]] or [count - 1]


def converged(data: Any) -> bool:
    """Whether a geometry of the file met the criteria."""
    status = getattr(data, "optstatus", None)
    flagged = status is not None and any(int(one) & ccData.OPT_DONE for one in status)
    done = getattr(data, "optdone", False)
    return bool(flagged or (done is True) or (isinstance(done, list) and done))


def collect_thermochemistry(data: Any) -> dict[str, float]:
    """Zero-point energy, enthalpy, Gibbs energy and entropy, with their temperature and pressure."""
    keys = {
        "zpve": "zero_point_hartree",
        "enthalpy": "enthalpy_hartree",
        "freeenergy": "gibbs_energy_hartree",
        "entropy": "entropy_hartree_per_k",
        "temperature": "temperature_k",
        "pressure": "pressure_atm",
    }
    told = {
        key: float(value)
        for name, key in keys.items()
        if isinstance(value := getattr(data, name, None), int | float | np.floating)
    }
    if set(told) <= {"temperature_k", "pressure_atm"}:
        return {}
    if "entropy_hartree_per_k" in told:
        told["entropy_j_per_mol_k"] = told["entropy_hartree_per_k"] * HARTREE_IN_J_PER_MOL
    return told


def collect_orbitals(data: Any) -> dict[str, float]:
    """Energies of the highest occupied and the lowest empty orbital in eV, of both spins where they differ."""
    highest, energies = getattr(data, "homos", None), getattr(data, "moenergies", None)
    if highest is None or energies is None:
        return {}
    told: dict[str, float] = {}
    for spin, at, levels in zip(("", "beta_"), highest, energies, strict=False):
        if 0 <= at < len(levels):
            told[f"{spin}homo_ev"] = float(levels[at])
        if 0 <= at + 1 < len(levels):
            told[f"{spin}lumo_ev"] = float(levels[at + 1])
    return with_gap(told)


def with_gap(levels: dict[str, float]) -> dict[str, float]:
    """Levels with the gap between them: from the highest occupied of either spin to the lowest empty of either."""
    occupied = [levels[name] for name in ("homo_ev", "beta_homo_ev") if name in levels]
    empty = [levels[name] for name in ("lumo_ev", "beta_lumo_ev") if name in levels]
    return levels | ({"gap_ev": min(empty) - max(occupied)} if occupied and empty else {})


def _dipole(data: Any) -> float | None:
    """The dipole moment's length in debye."""
    moments = getattr(data, "moments", None)
    if moments is None or len(moments) < 2 or np.shape(moments[1]) != (3,):
        return None
    return float(np.linalg.norm(moments[1]))


def _seconds(times: Any) -> float | None:
    """The sum of times."""
    known = [time for time in times or () if isinstance(time, datetime.timedelta)]
    return sum(time.total_seconds() for time in known) if known else None
