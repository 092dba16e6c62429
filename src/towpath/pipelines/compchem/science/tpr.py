"""Reads a GROMACS run input (`.tpr`) into an annotation of the simulation that it starts.

Where `gmx` is installed and can read the file's version, the annotation is whole (SUCCESS). Else MDAnalysis gives the
molecules and the box and the outcome is PARTIAL and says why; what only the header tells is kept even in a FAILURE. It
never writes beside the input.
"""

import hashlib
import itertools
import json
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from .annotation import annotate, describe_box, describe_molecules
from .gmx import DumpFailed, dump_run_input, find_gmx, gmx_version, write_start
from .outcome import Outcome, Status, Unreadable, plain
from .sniff_gromacs import sniff_gromacs
from .topology import UNREADABLE
from .tpr_header import TprHeader, read_tpr_header

MOST_ATOMS = 400_000  # of which MDAnalysis is asked: it reads atom by atom
MOLECULES_TOLD = 4
ARTICLE = {"molecular dynamics": "", "energy minimization": "an "}
INSTEAD = "Upload the .mdp beside it, so that the record has the parameters, or have a newer GROMACS installed here."


def read_tpr(files: Mapping[str, Sequence[Path]], folder: Path) -> Outcome:
    """Read a run input.

    Parameters
    ----------
    files
        Role ``"tpr"``: one file.
    folder
        Where `metadata.json` and `annotation.json` (the same), and `start.gro` where coordinates can be read, go.

    Returns
    -------
    Outcome
        Outputs ``metadata``, ``annotation`` and perhaps ``start``; the facts are the annotation.

    Raises
    ------
    Unreadable
        If the file is no run input.
    """
    path = files["tpr"][0]
    header = _header(path)
    facts = _identity(path, header)
    program, made = find_gmx(), {"metadata": "metadata.json", "annotation": "annotation.json"}
    start = folder / "start.gro"
    try:
        if program is None:
            raise DumpFailed("no GROMACS is installed where files are read", is_of_version=True)
        facts |= annotate(dump_run_input(path, folder, program=program))
        status, sentence = Status.SUCCESS, _sentence(facts)
        parser = {"name": "gmx dump", "version": gmx_version(program)}
        started = write_start(path, folder, start, program=program)
    except DumpFailed as failed:
        parser = {"name": "MDAnalysis", "version": _mdanalysis_version()}
        status, sentence = _by_topology(path, header, facts, failed)
        started = status is Status.PARTIAL and _write_start(path, header, start)
    if started:
        made["start"] = start.name
    facts = plain({**facts, "parser": parser})
    for name in ("metadata.json", "annotation.json"):
        (folder / name).write_text(json.dumps(facts, indent=1, allow_nan=False), encoding="utf-8")
    return Outcome(status, sentence, made, facts, parser)


def _header(path: Path) -> TprHeader:
    try:
        return read_tpr_header(path)
    except ValueError as error:
        with path.open("rb") as file:
            kind = sniff_gromacs(file.read(4096))
        known = f"it looks like {kind}" if kind and kind != "tpr" else str(error)
        raise Unreadable(
            f"This is not a GROMACS run input: {known}. Upload the .tpr that gmx grompp wrote."
        ) from error


def _identity(path: Path, header: TprHeader) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "format": "GROMACS run input",
        "program": "GROMACS",
        "program_version": header.gromacs_version,
        "file_identification": {"name": path.name, "size_bytes": path.stat().st_size, "sha256": digest},
        "_gromacs_version": header.gromacs_version,
        "_tpx_version": str(header.tpx_version),
        "_tpx_generation": str(header.tpx_generation),
        "_precision": header.precision,
    }


def _sentence(facts: Mapping[str, Any]) -> str:
    main, version = facts["main_information"], facts["_gromacs_version"]
    kind = main.get("simulation_type", "calculation")
    said = f"GROMACS {version} run input of {ARTICLE.get(kind, 'a ')}{kind}"
    if "simulation_length_ns" in main:
        said += f" over {main['simulation_length_ns']:g} ns"
    if "statistical_ensemble" in main:
        said += f" in the {main['statistical_ensemble'].split()[0]} ensemble"
    if temperatures := sorted(set(main.get("reference_temperature_k", ()))):
        said += f" at {', '.join(f'{one:g}' for one in temperatures)} K"
    return f"{said}: {_molecules_told(main['molecules'])}."


def _molecules_told(molecules: Sequence[Mapping[str, Any]]) -> str:
    named = [f"{one['count']} × {one['name']}" for one in molecules[:MOLECULES_TOLD]]
    more = len(molecules) - MOLECULES_TOLD
    return ", ".join(named) + (f" and {more} kinds more" if more > 0 else "") if named else "no molecules"


def _by_topology(
    path: Path, header: TprHeader, facts: dict[str, Any], failed: DumpFailed
) -> tuple[Status, str]:
    """Add what MDAnalysis reads, and say how far that went."""
    written = f"written by GROMACS {header.gromacs_version} (tpx {header.tpx_version})"
    found = _topology(path, header)
    advice = _advice(header, failed)
    why = f"; {failed}" if failed.is_of_version else ""
    if found is None:
        facts["main_information"] = {"number_of_atoms": header.atoms}
        return (
            Status.FAILURE,
            f"Only the header of this run input could be read: {header.atoms} atoms, {written}{why}. {advice}",
        )
    facts["main_information"] = found
    because = "" if header.missing_bytes else f": it was {written}{why}"
    return (
        Status.PARTIAL,
        f"Only molecules and atoms of this run input could be read ({_molecules_told(found['molecules'])}), not the "
        f"parameters of the simulation{because}. {advice}",
    )


def _advice(header: TprHeader, failed: DumpFailed) -> str:
    if header.missing_bytes:
        return f"The file is cut: {header.missing_bytes} bytes are missing. Upload the whole file."
    if failed.is_of_version:
        return INSTEAD
    return (
        f"It seems to be cut or damaged, or of an unreleased GROMACS ({failed}). Upload it again, or write it anew with "
        "gmx grompp."
    )


def _topology(path: Path, header: TprHeader) -> dict[str, Any] | None:
    """Molecules and box as MDAnalysis reads them, or None."""
    from MDAnalysis.topology.TPRParser import TPRParser  # optional: slow to load

    if header.atoms > MOST_ATOMS:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of what is guessed and of versions; the outcome says so
        try:
            topology = TPRParser(str(path)).parse()
            kinds = [str(one) for one in topology.moltypes.values]
            numbers = [int(one) for one in topology.molnums.values]
            names = [str(one) for one in topology.resnames.values]
        except UNREADABLE:
            return None
    box = _box(path)
    return {
        "number_of_atoms": int(topology.n_atoms),
        **({"box": box} if box else {}),
        "molecules": describe_molecules(_blocks(kinds, numbers, names)),
    }


def _blocks(
    kinds: Sequence[str], numbers: Sequence[int], names: Sequence[str]
) -> list[tuple[str, int, list[str]]]:
    """Blocks of equal molecules in a row: the name of the kind, how many, the residues of the first."""
    blocks = []
    for kind, rows in itertools.groupby(zip(kinds, numbers, names, strict=True), key=lambda row: row[0]):
        block = list(rows)
        first = [name for _, number, name in block if number == block[0][1]]
        blocks.append((kind, len({number for _, number, _ in block}), first))
    return blocks


def _box(path: Path) -> dict[str, Any] | None:
    from MDAnalysis.lib.mdamath import triclinic_vectors  # optional: slow to load

    with warnings.catch_warnings(), suppress(*UNREADABLE):
        warnings.simplefilter("ignore")
        dimensions = _start(path).dimensions
        if dimensions is not None:
            return describe_box(np.asarray(triclinic_vectors(dimensions), dtype=float) / 10.0)
    return None


def _start(path: Path) -> Any:
    """The coordinates of the start, as MDAnalysis reads them since its version 2.10."""
    from MDAnalysis.coordinates.TPR import TPRReader  # optional: slow to load

    return TPRReader(str(path)).ts


def _write_start(path: Path, header: TprHeader, target: Path) -> bool:
    """Write the coordinates of the start as a .gro; False where they cannot be read."""
    import MDAnalysis  # optional: slow to load

    if header.atoms > MOST_ATOMS:
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of attributes that a .gro needs and a run input has not
        try:
            MDAnalysis.Universe(str(path), topology_format="TPR", format="TPR").atoms.write(str(target))
        except UNREADABLE:
            target.unlink(missing_ok=True)
            return False
    return True


def _mdanalysis_version() -> str:
    from importlib.metadata import version  # optional: slow to load

    return version("MDAnalysis")
