"""Reads an output of quantum chemistry into metadata, geometry, molecule, vibrations and excitations.

Promises a whole result only where the program itself says that its last job ended well; else PARTIAL with what could
be read and a sentence which says where the file stops. Never shows what went wrong inside the parser.
"""

import contextlib
import json
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from cclib.parser.fchkparser import FChk
from cclib.parser.gaussianparser import Gaussian
from cclib.parser.mopacparser import MOPAC
from cclib.parser.nwchemparser import NWChem
from cclib.parser.orcaparser import ORCA
from cclib.parser.psi4parser import Psi4
from cclib.parser.qchemparser import QChem
from cclib.parser.utils import convertor

from .gaussian_reading import add_energies, add_gaussian, read_gaussian
from .mended_lines import Mended
from .molecules import Structure, chemical_json, hill_formula, perceive, write_mol, write_xyz
from .mopac_output import add_atoms, read_mopac
from .nwchem_reading import add_nwchem, add_total, read_nwchem
from .orca_reading import add_final, add_orca, read_orca
from .outcome import Outcome, Status, Unreadable, plain
from .output_lines import output_lines
from .psi4_reading import add_psi4, read_psi4
from .quantum_ending import Ending, look_at_ending
from .quantum_facts import Floats, array, collect_facts, with_gap
from .quantum_spectra import (
    INTENSITY,
    STRENGTH,
    WAVENUMBER,
    Table,
    tabulate_excitations,
    tabulate_vibrations,
    tell_excitations,
    tell_vibrations,
    write_table,
)  # fmt: skip
from .quantum_words import kinds, stopped, tell_partial, tell_success
from .sniff_quantum import HEAD, sniff_quantum
from .text_encoding import open_text

PARSERS: Mapping[str, Any] = {
    "gaussian": Gaussian, "orca": ORCA, "psi4": Psi4, "nwchem": NWChem, "qchem": QChem, "mopac": MOPAC, "fchk": FChk,
}  # fmt: skip
# What reads beside cclib what that leaves out.
BESIDE: Mapping[str, Callable[[Path], Any]] = {
    "gaussian": read_gaussian, "mopac": read_mopac, "nwchem": read_nwchem, "orca": read_orca, "psi4": read_psi4,
}  # fmt: skip
PARSER = {"name": "cclib", "version": version("cclib")}
TOTAL = re.compile(r"^Total Energy +R +(-?\d+\.\d+[eE][-+]\d+) *$")
OF_STATES = re.compile(r"TD|CIS(?!D)|EOM|SAC", re.IGNORECASE)  # the total energy is that of an excited state
KNOWN = (
    ArithmeticError, AssertionError, AttributeError, LookupError, NameError, OSError, RuntimeError, StopIteration,
    TypeError, ValueError,
)  # fmt: skip
# What a parser of cclib holds when it gives up, which is worth keeping; energies are still in hartree then.
KEPT = (
    "atomnos",
    "atomcoords",
    "charge",
    "mult",
    "nbasis",
    "scfvalues",
    "scftargets",
    "geovalues",
    "geotargets",
)
KEPT_ENERGIES = ("scfenergies", "mpenergies", "ccenergies")
NO_INTENSITIES = "MOPAC gives transition dipoles and no infrared intensities, so there is no spectrum."
NOT_KNOWN = (
    "The file is no output that can be read here: none of Gaussian, ORCA, Psi4, NWChem, Q-Chem and MOPAC begins it, and "
    "it is no formatted checkpoint. Upload the text output that the program wrote, as it is."
)


def read_quantum(files: Mapping[str, Sequence[Path]], folder: Path) -> Outcome:
    """Read one output of a quantum-chemistry program.

    Parameters
    ----------
    files
        The role ``"output"`` with one path: an output of Gaussian, ORCA, Psi4, NWChem, Q-Chem or MOPAC, or a formatted
        checkpoint.
    folder
        Where the files are written: ``metadata`` always, ``geometry``, ``molecule``, ``cjson``, ``vibrations`` and
        ``excitations`` as far as the output gives them.

    Returns
    -------
    Outcome
        SUCCESS for a calculation that ended well, else PARTIAL.

    Raises
    ------
    Unreadable
        If there is neither a geometry nor an energy.
    """
    paths = files.get("output", ())
    if len(paths) != 1:
        raise Unreadable(f"One output is read at a time, but {len(paths)} were given. Choose one file.")
    path = paths[0]
    with path.open("rb") as stream:
        program = sniff_quantum(stream.read(HEAD))
    if not program:
        raise Unreadable(NOT_KNOWN)
    told: Any = BESIDE[program](path) if program in BESIDE else None
    data, trouble, notes, lacks = _read(path, program, told)
    ending = look_at_ending(path, program)
    facts = collect_facts(data, program)
    facts |= {"notes": notes} if notes else {}
    facts |= {"lacks": lacks} if lacks else {}
    ending = _supplement(facts, path, program, told, ending)
    if not facts.get("n_atoms") and not facts.get("energies"):
        raise Unreadable(_tell_unusable(facts["format"], ending, trouble))
    return _deliver(data, facts, ending, trouble or not facts.get("n_atoms"), folder)


def _supplement(facts: dict[str, Any], path: Path, program: str, told: Any, ending: Ending) -> Ending:
    """Put into the facts what cclib leaves out or takes for another; return the ending with what the program says of it."""
    if program == "fchk":
        _add_total_of_checkpoint(facts, path)
    if program == "mopac":
        ending = _add_mopac(facts, told, ending)
    if program == "nwchem":
        add_total(facts, told)
    if program == "gaussian":
        add_energies(facts, told)
    if program == "orca":
        ending = add_final(facts, told, ending)
    if program == "orca" and ending.scf_failed:
        facts.pop("energies", None)  # cclib takes the last change of the energy for the energy
        facts["notes"] = [
            *facts.get("notes", ()),
            "The energy is left out: the SCF did not converge.",
        ]
    elif ending.scf_failed and facts.get("energies"):
        facts["notes"] = [
            *facts.get("notes", ()),
            "The energy may be that of the SCF which did not converge.",
        ]
    elif ending.scf_mended:
        facts["notes"] = [*facts.get("notes", ()), "An SCF before the last one did not converge."]
    return ending


def _add_total_of_checkpoint(facts: dict[str, Any], path: Path) -> None:
    """Put in the total energy, of the method that the label names: cclib reads the one of the SCF, which not all have."""
    if OF_STATES.match(str(facts.get("functional", facts.get("method", "")))):
        return
    for line in output_lines(path):
        if match := TOTAL.match(line):
            told = {"total_hartree": float(match[1]), "total_is": "the total energy of the checkpoint"}
            facts["energies"] = facts.get("energies", {}) | told
            return


def _tell_unusable(form: str, ending: Ending, trouble: bool) -> str:
    """Why a file gives nothing although its program is known."""
    if ending.error:
        return f"{form}: {stopped(ending, ' before the first geometry and energy')}. Mend its input."
    if trouble or ending.whole:
        return (
            f"{form}: neither a geometry nor an energy could be read, since a part of the file is damaged or of a kind "
            "that the parser does not know. If it is as the program wrote it, process it again when a newer parser is "
            "installed; else upload it again."
        )
    return f"{form}: it stops at line {ending.lines:,}, before the first geometry and energy. Upload the whole file."


def _deliver(data: Any, facts: dict[str, Any], ending: Ending, trouble: bool, folder: Path) -> Outcome:
    """Write what was read, and say how far it went."""
    vibrations, excitations = tabulate_vibrations(data), tabulate_excitations(data)
    facts["vibrations"] = tell_vibrations(vibrations)
    facts["excitations"] = tell_excitations(excitations)
    facts["calculation"] = kinds(facts)
    facts["ending"] = {"whole": ending.whole, "lines": ending.lines, "error": ending.error}
    if "scf" in facts:
        done = array(data, "scfenergies")
        each = done is not None and len(done) >= facts["scf"]["steps"]
        well = (
            ending.whole and not ending.error
        )  # of several SCFs in a row, an output may tell the last energy only
        facts["scf"]["converged"] = not ending.scf_failed and (each or well)
    made: dict[str, str] = {}
    for name, table in (("vibrations", vibrations), ("excitations", excitations)):
        if table:
            made[name] = f"{name}.csv"
            write_table(folder / made[name], table)
    made |= _write_structure(data, facts, vibrations, excitations, folder)
    whole = _is_whole(data, facts, ending, trouble)
    facts["success"] = whole
    facts["parser"] = PARSER | {"structures": f"RDKit {version('rdkit')}"}
    sentence = tell_success(facts) if whole else tell_partial(facts, ending, trouble)
    facts = plain({name: value for name, value in facts.items() if value not in (None, "", {}, [])})
    made["metadata"] = "metadata.json"
    (folder / made["metadata"]).write_text(json.dumps(facts, indent=1, allow_nan=False), encoding="utf-8")
    return Outcome(Status.SUCCESS if whole else Status.PARTIAL, sentence, made, facts, PARSER)


def _is_whole(data: Any, facts: Mapping[str, Any], ending: Ending, trouble: bool) -> bool:
    """Whether the calculation ended well: cclib's success counts only where it is True, and for the last job."""
    unfinished = (
        "optimisation" in facts["calculation"] and facts.get("geometry", {}).get("converged") is False
    )
    return (
        data.metadata.get("success") is True
        and ending.whole
        and not ending.error
        and not trouble
        and not ending.scf_failed
        and not unfinished
        and (bool(facts.get("energies")) or facts["format"].startswith("Formatted"))
    )


def _write_structure(
    data: Any, facts: dict[str, Any], vibrations: Table, excitations: Table, folder: Path
) -> dict[str, str]:
    """Write the last geometry, and the molecule that its atoms make, and add its names to the facts."""
    numbers, coordinates = [int(number) for number in getattr(data, "atomnos", ())], array(data, "atomcoords")
    if (
        not numbers
        or coordinates is None
        or coordinates.ndim != 3
        or coordinates.shape[1:] != (len(numbers), 3)
    ):
        return {}
    last = coordinates[-1]
    if not np.isfinite(last).all():
        return {}
    energy = facts.get("energies", {}).get("total_hartree")
    comment = facts["formula"] + (f", energy {energy:.9f} hartree" if energy is not None else "")
    made = {"geometry": "geometry.xyz", "cjson": "molecule.cjson"}
    write_xyz(folder / made["geometry"], numbers, last, comment)
    structure = perceive(numbers, last, facts.get("charge", 0), facts.get("multiplicity", 1))
    if structure.molecule is not None:
        made["molecule"] = "molecule.mol"
        write_mol(folder / made["molecule"], structure, hill_formula(numbers))
    facts |= {"smiles": structure.smiles, "inchi": structure.inchi, "inchikey": structure.inchikey}
    facts["notes"] = [*facts.get("notes", ()), *structure.notes]
    told = _chemical_json(data, facts, structure, vibrations, excitations, last)
    (folder / made["cjson"]).write_text(json.dumps(plain(told), allow_nan=False), encoding="utf-8")
    return made


def _chemical_json(
    data: Any,
    facts: Mapping[str, Any],
    structure: Structure,
    vibrations: Table,
    excitations: Table,
    last: Floats,
) -> dict[str, Any]:
    """Chemical JSON of the last geometry, with normal modes and excited states where they are known."""
    properties = {
        "totalCharge": facts.get("charge", 0),
        "totalSpinMultiplicity": facts.get("multiplicity", 1),
    }
    told = chemical_json([int(number) for number in data.atomnos], last, structure, properties)
    modes = array(data, "vibdisps")
    if vibrations and modes is not None and len(modes) == len(vibrations["mode"]):
        told["vibrations"] = {
            "frequencies": vibrations[WAVENUMBER],
            "intensities": vibrations.get(INTENSITY, []),
            "modes": vibrations["mode"],
            "eigenVectors": modes.reshape(len(modes), -1).tolist(),
        }
    if excitations:
        told["spectra"] = {
            "electronic": {
                "energies": excitations["energy_ev"],
                "intensities": excitations.get(STRENGTH, []),
            }
        }
    return told


def _add_mopac(facts: dict[str, Any], told: Mapping[str, Any], ending: Ending) -> Ending:
    """Put in what cclib leaves out, and what it takes for an SCF energy: MOPAC's heat of formation.

    Returns the ending with what MOPAC says of itself, which calls every end a normal one.
    """
    names = ("program_version", "method", "point_group", "wall_time_s", "cpu_time_s")
    facts |= {name: told[name] for name in names if name in told}
    levels = ("homo_ev", "lumo_ev", "beta_homo_ev", "beta_lumo_ev")
    facts["orbitals"] = with_gap({name: told[name] for name in levels if name in told})
    energies: dict[str, Any] = {
        name: told[name] for name in ("heat_of_formation_kcal_per_mol", "total_ev") if name in told
    }
    if "total_ev" in told:
        energies["total_hartree"] = float(convertor(told["total_ev"], "eV", "hartree"))
        energies["total_is"] = "valence electrons and cores, semi-empirical"
    facts["energies"] = energies
    if "zero_point_kcal_per_mol" in told:
        zero_point = convertor(told["zero_point_kcal_per_mol"], "kcal/mol", "hartree")
        facts["thermochemistry"] = {"zero_point_hartree": float(zero_point)}
        facts["notes"] = [*facts.get("notes", ()), NO_INTENSITIES]
    if cycles := np.asarray(told["cycles"], float).reshape(-1, 2).tolist():
        facts["geometry"] = facts.get("geometry", {}) | {
            "steps": len(cycles),
            "converged": told["satisfied"],
            "criteria": [{"name": "gradient norm", "unit": "kcal/mol/Å", "target": told.get("cutoff")}],
            "history": [[gradient] for gradient, _ in cycles],
            "energies_hartree": [float(convertor(heat, "kcal/mol", "hartree")) for _, heat in cycles],
            "energies_are": "heats of formation",
        }
    if told["messages"] and not ending.error:
        said = " ".join(told["messages"]).rstrip(".")
        return replace(ending, error=f"it says “{said}”")
    return ending


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The parser prints, and numpy warns of what is odd in the data of a file: neither is for the depositor."""
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


def _read(path: Path, program: str, told: Any) -> tuple[Any, bool, list[str], str]:
    """What cclib reads of a file with what it leaves out, whether it gave up within the file, notes, and what lacks."""
    if program == "nwchem":
        only = next(iter(told.geometries)) if len(told.geometries) == 1 else ""
        data, trouble = _parse(path, program, only)
        add_nwchem(data, told)
        return data, trouble, [], ""
    data, trouble = _parse(path, program)
    if program == "mopac":
        vars(data).pop("vibirs", None)  # the root of a transition dipole, which cclib takes for km/mol
        add_atoms(data, told)
        if "multiplicity" in told:
            data.mult = told["multiplicity"]  # cclib knows it only where a keyword says so
    notes, lacks = add_psi4(data, told) if program == "psi4" else ([], "")
    if program == "gaussian":
        lacks = add_gaussian(data, told)
    if program == "orca":
        add_orca(data, told)
    return data, trouble or bool(lacks), notes, lacks


def _parse(path: Path, program: str, geometry: str = "") -> tuple[Any, bool]:
    """What cclib reads of a file, and whether it gave up within the file."""
    with open_text(path) as stream, _quiet():
        parser = PARSERS[program](Mended(stream, program, geometry), loglevel=logging.CRITICAL + 1)
        try:
            return parser.parse(), False
        except KNOWN:
            return _salvage(parser), True


def _salvage(parser: Any) -> Any:
    """What a parser that gave up had read until then."""
    kept = SimpleNamespace(metadata={"methods": [], **parser.metadata, "success": None})
    for name in (*KEPT, *KEPT_ENERGIES):
        value = getattr(parser, name, None)
        if value is None or np.isscalar(value) or name in ("scfvalues", "scftargets"):
            if value is not None:
                setattr(kept, name, value)
            continue
        values = _regular(value)
        if values is not None:
            setattr(kept, name, convertor(values, "hartree", "eV") if name in KEPT_ENERGIES else values)
    return kept


def _regular(value: Any) -> Any | None:
    """Values as an array; where the last of them is unfinished, without it; None where that is no array either."""
    for one in (value, list(value)[:-1]):
        try:
            values = np.asarray(one, float)
        except (TypeError, ValueError):
            continue
        if values.size:
            return values
    return None
