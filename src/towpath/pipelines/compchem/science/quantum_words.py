"""The sentence about a quantum-chemistry calculation: what was read, how it ended, and what the depositor can do.

Promises full sentences without a traceback, a path or a name of a file.
"""

import re
from collections.abc import Mapping
from typing import Any

from .quantum_ending import STEPS_USED_UP, Ending

KINDS = {
    "optimisation": "geometry optimisation",
    "frequencies": "frequency calculation",
    "excitations": "excited-state calculation",
    "geometries": "calculation of several geometries",
    "energy": "single-point energy",
}
AGAIN = "Process the file again when a newer parser is installed."
ASKED = re.compile(r"\bf?opt(?:ts)?\b|\boptimi[sz]", re.IGNORECASE)
ASKED_FREQUENCIES = re.compile(r"\b(?:an|num)?freq\b|\bfrequenc", re.IGNORECASE)


def kinds(facts: Mapping[str, Any]) -> list[str]:
    """What kinds of calculation a file holds, of `KINDS`, by its results and by what its input asked for."""
    asked, geometry = str(facts.get("keywords", "")), facts.get("geometry", {})
    several = geometry.get("geometries", 0) > 1 and facts.get("scf", {}).get("steps", 0) > 1
    told = []
    # A frequency calculation of Gaussian has one step; other programs tell steps of optimisations only.
    if geometry.get("steps", 0) > (1 if facts.get("program") == "Gaussian" else 0) or ASKED.search(asked):
        told.append("optimisation")
    elif several:
        told.append("geometries")
    if facts.get("vibrations") or ASKED_FREQUENCIES.search(asked):
        told.append("frequencies")
    if facts.get("excitations"):
        told.append("excitations")
    return told or ["energy"]


def name_calculation(facts: Mapping[str, Any]) -> str:
    """Name a calculation: program, kind, molecule, level of theory."""
    program = f"{facts.get('program', '')} {facts.get('program_version', '')}".strip()
    what = " and ".join(KINDS[kind] for kind in facts["calculation"])
    if facts["calculation"] == ["energy"] and not facts["success"]:
        what = "calculation"  # what it was meant to become is not known
    if facts["format"].startswith("Formatted"):
        what = f"checkpoint of a {what}"
    level = "/".join(
        part for part in (facts.get("functional") or facts.get("method"), facts.get("basis")) if part
    )
    of = f" of {facts['formula']}" if facts.get("formula") else ""
    return f"{program} {what}{of}" + (f", {level}" if level else "")


def tell_success(facts: Mapping[str, Any]) -> str:
    """The sentence about a calculation that ended well."""
    return f"{name_calculation(facts)}: {', '.join(_results(facts))}."


def _results(facts: Mapping[str, Any]) -> list[str]:
    """What came out, in a few words each."""
    geometry, energies = facts.get("geometry", {}), facts.get("energies", {})
    told = []
    if "optimisation" in facts["calculation"] and geometry.get("converged"):
        steps = geometry.get("steps", 0)
        told.append(f"converged in {steps} steps" if steps > 1 else "converged")
    if "total_hartree" in energies:
        told.append(f"energy {energies['total_hartree']:.6f} hartree")
    elif "heat_of_formation_kcal_per_mol" in energies:
        told.append(f"heat of formation {energies['heat_of_formation_kcal_per_mol']:.3f} kcal/mol")
    if vibrations := facts.get("vibrations"):
        imaginary = vibrations["imaginary"] or "none"
        count = vibrations["count"]
        told.append(f"{count} vibration{'' if count == 1 else 's'}, {imaginary} imaginary")
    if excitations := facts.get("excitations"):
        count = excitations["count"]
        told.append(
            f"{count} excited state{'' if count == 1 else 's'}, the lowest at {excitations['lowest_ev']:.2f} eV"
        )
    return told or ["ended well"]


def tell_partial(facts: Mapping[str, Any], ending: Ending, trouble: bool) -> str:
    """The sentence about a calculation that gives less than it should.

    Parameters
    ----------
    facts
        With ``calculation``.
    ending
        How the file ends.
    trouble
        Whether the parser gave up within the file.
    """
    name = name_calculation(facts)
    if ending.error and not ending.whole:
        place = _place(facts, used_up=ending.error == STEPS_USED_UP)
        return f"{name}: {stopped(ending)}, {place}. {_kept(facts)} {_advice(facts, True)}"
    if not ending.whole:
        without = f", without “{ending.closing}”" if ending.closing else " and within an array"
        return (
            f"{name}: the file stops at line {ending.lines:,}, {_place(facts)}{without}. "
            f"{_kept(facts)} {_advice(facts, False)}"
        )
    if ending.scf_failed:
        return (
            f"{name}: the program ended, but the SCF did not converge. {_kept(facts)} {_advice(facts, True)}"
        )
    if trouble:
        return _tell_unread(name, facts)
    if "optimisation" in facts["calculation"] and facts.get("geometry", {}).get("converged") is False:
        steps = facts["geometry"].get("steps", 0)
        return (
            f"{name}: the program ended, but the geometry did not converge in {steps} steps. The last geometry was "
            "kept; go on with the optimisation from it and upload the new output."
        )
    if ending.error:
        return f"{name}: the program ended, but {ending.error}. {_kept(facts)} {_advice(facts, True)}"
    if not facts.get("energies"):
        return _tell_unread(name, facts)
    return f"{name}: the file does not say that the calculation ended well. {_kept(facts)}"


def _tell_unread(name: str, facts: Mapping[str, Any]) -> str:
    """That a calculation ended well, and more stands in the file than was read."""
    said = f"{name}: the program ended well, but a part of its output could not be read."
    lacks = [facts["lacks"]] if facts.get("lacks") else []
    return " ".join([said, *lacks, _kept(facts), AGAIN])


def stopped(ending: Ending, when: str = "") -> str:
    """That the program stopped, when, and why."""
    return f"the program stopped{when}{'' if ending.error.startswith('with ') else ','} {ending.error}"


def _place(facts: Mapping[str, Any], *, used_up: bool = False) -> str:
    """Where in the calculation the file stops; with `used_up` after the last step that the optimisation might do."""
    geometry, scf = facts.get("geometry", {}), facts.get("scf", {})
    if "enthalpy_hartree" in facts.get("thermochemistry", {}):
        return "after the thermochemistry"
    if facts.get("vibrations"):
        return "after the vibrations"
    if "optimisation" in facts["calculation"]:
        if geometry.get("converged"):
            return "after the optimisation converged"
        steps = geometry.get("steps", 0)
        return f"after step {steps} of it" if used_up else f"in step {steps + 1} of the optimisation"
    if "geometries" in facts["calculation"]:
        return f"after the energy of geometry {facts['scf']['steps']}"
    if facts.get("excitations"):
        return "after the excited states"
    if scf and not scf.get("converged"):
        return f"in the SCF after cycle {scf['cycles']}"
    return "after the SCF energy" if facts.get("energies") else "before the first energy"


def _kept(facts: Mapping[str, Any]) -> str:
    """What could be read nevertheless."""
    kept = []
    if facts.get("geometry", {}).get("geometries"):
        kept.append("the last geometry")
    if facts.get("energies"):
        kept.append("the last energy")
    if facts.get("vibrations"):
        kept.append("the vibrations so far")
    return f"What stands before was read: {', '.join(kept)}." if kept else "What stands before was read."


def _advice(facts: Mapping[str, Any], failed: bool) -> str:
    """What the depositor can do."""
    wanted = "the final results"
    if ASKED_FREQUENCIES.search(str(facts.get("keywords", ""))) and not facts.get("thermochemistry"):
        wanted = "frequencies and thermochemistry"
    elif "optimisation" in facts["calculation"] and not facts.get("geometry", {}).get("converged"):
        wanted = "the optimised geometry"
    if failed:
        return f"Mend the calculation, run it again and upload its new output to get {wanted}."
    return f"Upload the whole output to get {wanted}."
