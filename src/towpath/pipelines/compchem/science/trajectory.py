"""Reads a trajectory with its topology: how long it is, how its box and its molecule change, and a thinned copy.

Long trajectories are sampled at even steps, and the facts say so. A file that was cut gives what is before the cut and
PARTIAL. Inputs are only read: no index is left beside them.
"""

import csv
import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .apart import Row, follow_apart
from .composition import WATER, kind_of
from .frames import Frame, Frames, open_frames
from .outcome import Outcome, Status, Unreadable, plain
from .superposition import keep_together, make_whole, radius_of_gyration, rmsd_after_superposition
from .topology import UNREADABLE, Choice, choose, load_topology
from .view import write_view

Floats = npt.NDArray[np.float64]

MOST_READ = 2_000  # frames
MOST_COORDINATES = 200_000_000  # atoms of all frames that are read, but at least LEAST_READ frames
LEAST_READ = 100
MOST_KEPT, MOST_KEPT_ATOMS = 100, 20_000_000  # frames of the thinned trajectory, and atoms of all of them
LARGEST = 1e5  # nm; what is further away is damage
COLUMNS = (
    "frame",
    "time_ps",
    "rmsd_nm",
    "radius_of_gyration_nm",
    "box_a_nm",
    "box_b_nm",
    "box_c_nm",
    "volume_nm3",
)
WIDTH = len(COLUMNS) + 1  # of a row while it is made: the columns, and whether a molecule lay across a wall
TRIES = 4
DEADLY = ("SIGFPE", "SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL")  # what decoders die of
MADE = {"metadata": "metadata.json", "table": "table.csv", "thinned": "thinned.xtc", "view": "view.pdb"}


def read_trajectory(files: Mapping[str, Sequence[Path]], folder: Path) -> Outcome:
    """Read a trajectory.

    Parameters
    ----------
    files
        Role ``"topology"``: a ``.tpr``, ``.gro``, ``.pdb``, ``.psf`` or ``.parm7`` file. Role ``"trajectory"``: an
        ``.xtc``, ``.trr``, ``.dcd`` or AMBER's ``.nc`` file.
    folder
        Where `metadata.json`, `table.csv` (a row for every frame that was read), `thinned.xtc` (at most 100 frames
        of all atoms) and `view.pdb` (the first frame without water, at most 2 MB) go.

    Returns
    -------
    Outcome
        Outputs ``metadata``, ``table``, ``thinned`` and ``view``.

    Raises
    ------
    Unreadable
        If a file cannot be read, or the two are not of the same atoms.
    """
    universe = load_topology(files["topology"][0])
    atoms = len(universe.atoms)
    frames = open_frames(files["trajectory"][0], folder)
    if frames.atoms != atoms:
        raise Unreadable(
            f"The topology has {atoms} atoms and the trajectory {frames.atoms}, so they do not belong together. "
            "Upload the topology of the very atoms that the trajectory has (gmx convert-tpr, gmx trjconv)."
        )
    choice = choose(universe)
    numbers = sample(frames.count, atoms)
    rows = _rows(frames, numbers, choice, universe, folder)
    (folder / "cut.nc").unlink(missing_ok=True)
    if not rows:
        raise Unreadable("Not one frame of the trajectory could be read: it is damaged. Upload it again.")
    _write_table(folder / MADE["table"], rows)
    facts = plain(_facts(frames, rows, choice, numbers))
    (folder / MADE["metadata"]).write_text(json.dumps(facts, indent=1, allow_nan=False), encoding="utf-8")
    status, sentence = _told(facts, len(files["trajectory"]))
    return Outcome(status, sentence, dict(MADE), facts, facts["parser"])


def sample(count: int, atoms: int) -> range:
    """Choose the frames that are read: all, or every n-th where there are more than can be read.

    At most 2,000 frames are read, and at most 200 million atoms in all, but never fewer than 100 frames if there are.
    """
    most = min(MOST_READ, max(LEAST_READ, MOST_COORDINATES // max(atoms, 1)))
    return range(0, count, max(math.ceil(count / most), 1))


def _rows(frames: Frames, numbers: range, choice: Choice, universe: Any, folder: Path) -> list[Row]:
    """A row for every chosen frame before the first that is damaged, and on the way the other files.

    The decoder of xtc dies of damaged frames, at once or of what it overwrote later, so it works in a process of its
    own; where that died, the work is done again with fewer frames.
    """
    work = partial(_follow, frames, numbers, choice, universe, folder)
    tries = TRIES if frames.kind == "xtc" else 0
    while tries and numbers:
        rows, ended = follow_apart(work, WIDTH)
        if not ended:
            return rows
        if ended == "error":  # of what Python knows: it is raised again below, where it can be told
            break
        if ended not in DEADLY:
            raise Unreadable(
                f"Reading the trajectory was ended by {ended}, as where time or memory run out. Upload a thinner one "
                "(gmx trjconv -skip, or fewer atoms)."
            )
        numbers = numbers[: min(len(rows), len(numbers) - 1)] if tries > 1 else numbers[:0]
        work = partial(_follow, frames, numbers, choice, universe, folder)
        tries -= 1
    told: list[Row] = []
    work(told.append)
    return told


def _follow(
    frames: Frames,
    numbers: range,
    choice: Choice,
    universe: Any,
    folder: Path,
    tell: Callable[[Row], None],
) -> None:
    """Read the chosen frames one after another, up to a damaged one; all that is made of them is made on the way."""
    from MDAnalysis.lib.formats.libmdaxdr import XTCFile  # optional: slow to load

    reference, apart = None, None
    kept = min(MOST_KEPT, max(2, MOST_KEPT_ATOMS // frames.atoms))
    every = max(math.ceil(len(numbers) / kept), 1)
    with XTCFile(str(folder / MADE["thinned"]), "w") as thinned:
        for i, number in enumerate(numbers):
            if (frame := _read(frames, number)) is None:
                return
            here, moved, apart = _join(frame, choice, apart)
            if reference is None:
                reference = here[choice.fitted]
                _write_view(folder / MADE["view"], universe, _placed(frame, choice, here))
            deviation = rmsd_after_superposition(here[choice.fitted], reference)
            if i % every == 0:
                box = np.zeros((3, 3)) if frame.box is None else frame.box
                thinned.write(
                    frame.positions.astype(np.float32), box.astype(np.float32), number, frame.time, 1000.0
                )
            spread = radius_of_gyration(here, choice.masses)
            tell((number, frame.time, deviation, spread, *_box(frame), moved))


def _read(frames: Frames, number: int) -> Frame | None:
    """A frame, or None where it is damaged."""
    try:
        frame = frames.read(number)
    except UNREADABLE:
        return None
    sound = np.isfinite(frame.time) and bool((np.abs(frame.positions) < LARGEST).all())
    return frame if sound else None


def _join(frame: Frame, choice: Choice, apart: Floats | None) -> tuple[Floats, bool, Floats | None]:
    """The described atoms with their molecules whole, whether any had been cut by a wall, and how chains lie."""
    here = frame.positions[choice.group].astype(float)
    if frame.box is None or choice.name == "all atoms":
        return here, False, apart
    here, moved = make_whole(here, frame.box, choice.starts)
    if choice.is_assembly and len(choice.starts) > 1:
        here, apart = keep_together(here, frame.box, choice.starts, apart)
    return here, moved, apart


def _placed(frame: Frame, choice: Choice, here: Floats) -> Floats:
    placed = frame.positions.astype(float)
    placed[choice.group] = here
    return placed


def _box(frame: Frame) -> tuple[float, float, float, float]:
    """Lengths of the box's vectors in nm and its volume in nm³; nothing (NaN) where there is no box."""
    if frame.box is None:
        return (math.nan,) * 4
    a, b, c = np.linalg.norm(frame.box, axis=1).tolist()
    return a, b, c, abs(float(np.linalg.det(frame.box)))


def _write_table(path: Path, rows: Sequence[tuple[float, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(COLUMNS)
        for number, time, *rest, _ in rows:
            told = ("" if math.isnan(one) else f"{one:.6f}" for one in rest)
            out.writerow((int(number), f"{time:.9g}", *told))


def _facts(frames: Frames, rows: Sequence[Row], choice: Choice, numbers: range) -> dict[str, Any]:
    table = np.asarray(rows, dtype=float)
    damaged = numbers[len(rows)] if len(rows) < len(numbers) else None
    times = frames.times()
    if times is None or damaged is not None:
        times = table[:, 1]
    first, last = float(times[0]), float(times[-1])
    steps = np.diff(times) / (1 if len(times) == frames.count else numbers.step)
    step = _six(float(np.median(steps))) if len(steps) else None
    return {
        "format": f"trajectory ({frames.kind})",
        "program": "",
        "program_version": "",
        "parser": {"name": "MDAnalysis", "version": version("MDAnalysis")},
        "number_of_atoms": frames.atoms,
        "frames": frames.count if damaged is None else damaged,
        "frames_read": len(table),
        "every_nth_frame_read": numbers.step,
        "is_cut": frames.cut,
        "first_damaged_frame": damaged,
        "time_first_ps": first,
        "time_last_ps": last,
        "length_ns": _six((last - first) / 1000.0),
        "time_between_frames_ps": step,
        "is_evenly_spaced": bool(step is None or np.allclose(steps, step, rtol=1e-3, atol=1e-6)),
        "described_atoms": {
            "name": choice.name,
            "count": len(choice.group),
            "mass_weighted": choice.has_masses,
        },
        "superposed_atoms": {"name": choice.fitted_name, "count": len(choice.fitted)},
        "frames_made_whole": int(table[:, 8].sum()),
        "rmsd_to_first_frame_nm": _course(table[:, 2]),
        "radius_of_gyration_nm": _course(table[:, 3]),
        "box": _box_facts(table),
    }


def _six(number: float) -> float:
    """Six digits: times in an xtc file have seven, and differences fewer."""
    return float(f"{number:.6g}")


def _course(values: Floats) -> dict[str, float]:
    """First, last, mean, smallest and largest of a quantity."""
    return {
        name: round(float(one), 6)
        for name, one in (
            ("first", values[0]),
            ("last", values[-1]),
            ("mean", values.mean()),
            ("minimum", values.min()),
            ("maximum", values.max()),
        )
    }


def _box_facts(table: Floats) -> dict[str, Any] | None:
    """Of the first and last frame that have one: lengths, volume, and by how many per cent the volume drifted."""
    boxed = table[np.isfinite(table[:, 7])]
    if not len(boxed):
        return None
    return {
        "lengths_first_nm": boxed[0, 4:7].round(6).tolist(),
        "lengths_last_nm": boxed[-1, 4:7].round(6).tolist(),
        "volume_nm3": _course(boxed[:, 7]),
        "volume_drift_percent": round(100.0 * float(boxed[-1, 7] / boxed[0, 7] - 1.0), 4),
    }


def _told(facts: Mapping[str, Any], given: int) -> tuple[Status, str]:
    count = facts["frames"]
    if count == 1:
        said = f"1 frame of {facts['number_of_atoms']} atoms: nothing to compare it with."
    else:
        said = f"{count} frames over {facts['length_ns']:.6g} ns of {facts['number_of_atoms']} atoms"
    if facts["every_nth_frame_read"] > 1:
        said += f", of which every {facts['every_nth_frame_read']}th was read"
    if count > 1:
        said += (
            f"; RMSD of {facts['superposed_atoms']['name']} to the first frame up to "
            f"{facts['rmsd_to_first_frame_nm']['maximum']:.3f} nm."
        )
    wrong = []
    if facts["first_damaged_frame"] is not None:
        wrong.append(f"Frame {facts['first_damaged_frame']} is damaged, so only frames before it were used.")
    elif facts["is_cut"]:
        wrong.append(
            "The trajectory ends within a frame, or before the frames that its header promises, so only whole frames "
            "were used."
        )
    if given > 1:
        wrong.append(f"Only the first of {given} trajectories was read; join them with gmx trjcat.")
    elif wrong:
        wrong.append("Upload the whole trajectory to get the rest.")
    return (Status.PARTIAL if wrong else Status.SUCCESS), " ".join([said, *wrong])


def _write_view(path: Path, universe: Any, positions: Floats) -> None:
    """Write a PDB of one frame for looking at, without water."""
    atoms = universe.atoms
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of elements that are guessed
        elements = _texts(atoms, "elements") or _texts(atoms, "types") or [""] * len(atoms)
    symbols = [one if one.isalpha() and len(one) <= 2 else "" for one in elements]
    names, residues = _texts(atoms, "names") or elements, _texts(atoms, "resnames") or ["UNK"] * len(atoms)
    chains = _texts(atoms, "chainIDs") or ["A"] * len(atoms)
    shown = np.array([kind_of(one) != WATER for one in residues])
    shown = shown if shown.any() else np.ones(len(atoms), dtype=bool)
    elements_, names_, residues_, chains_ = (_array(one)[shown] for one in (symbols, names, residues, chains))
    numbers = np.asarray(atoms.resids)[shown]
    write_view(path.with_suffix(""), elements_, names_, residues_, numbers, chains_, positions[shown] * 10.0)


def _array(texts: Sequence[str]) -> npt.NDArray[np.str_]:
    return np.array(texts, dtype=str)


def _texts(atoms: Any, name: str) -> list[str] | None:
    return [str(one).strip() for one in getattr(atoms, name)] if hasattr(atoms, name) else None
