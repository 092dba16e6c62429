"""Draws the picture of a structure: its atoms, chains or cell, what the colours mean, and a scale in ångström.

Reads what the reader of structures made, and nothing else. Equal inputs give equal bytes under one version of matplotlib;
it draws on a canvas of its own and touches no global state.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from matplotlib.patheffects import withStroke

from .cells import vectors_of
from .composition import POLYMERS, WATER, Atoms, FloatArray, kind_of
from .outcome import Outcome, Status, Unreadable
from .rendering import Picture, render
from .scenes import CELL_COLOUR, Entry, Scene, scene_of, scene_of_crystal
from .structures import numbers, shorten, texts

INK, MUTED, PAPER = "#1d2733", "#5b6776", "#ffffff"
_SIZE, _DPI = (1200, 800), 100
_PANEL = (0, 70, 860, 730)  # left, top, width, height in pixels
_PARSER = {"name": "towpath pictures of structures", "version": "1"}


def draw_structure(made: Mapping[str, Path], folder: Path) -> Outcome:
    """Draw a structure.

    Parameters
    ----------
    made : mapping
        Outputs of `read_structure`: "metadata", "view" and, for crystals, "xyz".
    folder : pathlib.Path
        Where to write ``structure.png``, 1200 by 800 pixels.

    Returns
    -------
    Outcome
        With the file "picture".

    Raises
    ------
    Unreadable
        There is no view, as of a topology without positions.
    """
    if "view" not in made:
        raise Unreadable(
            "There are no positions of atoms, so there is no picture: upload a file that has them."
        )
    facts = json.loads(made["metadata"].read_text(encoding="utf-8"))
    is_crystal = facts["format"] == "cif"
    atoms = read_view(made["xyz"] if is_crystal else made["view"])
    box = _box(facts)
    if is_crystal and box is not None:
        scene = scene_of_crystal(atoms, box)
    else:
        is_entry = facts.get("method") or facts.get("resolution_angstrom")
        scene = scene_of(_with_chains(_without_water(atoms)), None if is_entry else box)
    _, _, width, height = _PANEL
    _paint(folder / "structure.png", scene, render(scene.spheres, scene.rods, width, height), facts)
    return Outcome(Status.SUCCESS, "A picture of the structure.", {"picture": "structure.png"}, {}, _PARSER)


def read_view(path: Path) -> Atoms:
    """Read a view, or structure.xyz, as they were written here: PDB or XYZ, positions in ångström."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if path.suffix == ".xyz":
        rows = [line.split() for line in lines[2:]]
        symbols = ["" if row[0] == "X" else row[0] for row in rows]
        empty = texts([""] * len(rows))
        places = np.array([[float(word) for word in row[1:4]] for row in rows]).reshape(-1, 3)
        return Atoms(texts(symbols), texts(symbols), empty, numbers([0] * len(rows)), empty, places)
    lines = [line for line in lines if line.startswith(("ATOM", "HETATM"))]
    return Atoms(
        texts([line[76:78].strip().capitalize() for line in lines]),
        texts([line[12:16].strip() for line in lines]),
        texts([line[17:21].strip() for line in lines]),
        numbers([int(line[22:26]) for line in lines]),
        texts([line[21].strip() for line in lines]),
        np.array([[float(line[at : at + 8]) for at in (30, 38, 46)] for line in lines]).reshape(-1, 3),
    )


def _box(facts: Mapping[str, Any]) -> FloatArray | None:
    cell = facts.get("cell")
    if facts.get("box_nm"):
        return np.array(facts["box_nm"], dtype=np.float64) * 10.0
    if not cell:
        return None
    sides = (cell[f"{name}_angstrom"] for name in "abc")
    return vectors_of(*sides, *(cell[f"{name}_degree"] for name in ("alpha", "beta", "gamma")))


def _without_water(atoms: Atoms) -> Atoms:
    """Leave out water, unless there is little else to see."""
    keep = np.array([kind_of(str(name)) != WATER for name in atoms.resnames.tolist()])
    return atoms if keep.all() or keep.sum() < 2 else atoms.only(keep)


def _with_chains(atoms: Atoms) -> Atoms:
    """Number chains that have no identifier: a new one where numbers of residues of polymers fall."""
    chains, run, last = atoms.chains.tolist(), 1, None
    if any(chains):
        return atoms
    for at, (resname, resid) in enumerate(zip(atoms.resnames.tolist(), atoms.resids.tolist(), strict=True)):
        if kind_of(resname) in POLYMERS:
            run += last is not None and resid < last
            chains[at], last = str(run), resid
    return replace(atoms, chains=texts(chains) if chains else atoms.chains)


def _paint(path: Path, scene: Scene, picture: Picture, facts: Mapping[str, Any]) -> None:
    width, height = _SIZE
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor=PAPER)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    left, top, wide, tall = _PANEL
    axes.imshow(
        picture.pixels, extent=(left, left + wide, top + tall, top), interpolation="nearest", aspect="auto"
    )
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    for letter, place in scene.letters:
        column, row = picture.place(place)
        axes.text(
            left + column,
            top + row,
            letter,
            color=CELL_COLOUR,
            fontsize=15,
            fontstyle="italic",
            ha="center",
            va="center",
            path_effects=[withStroke(linewidth=3.0, foreground=PAPER)],
        )
    _draw_scale(axes, picture.pixels_per_angstrom)
    _draw_words(axes, scene.legend, facts)
    figure.savefig(path, format="png", metadata={"Software": None})


def _draw_scale(axes: Axes, pixels_per_angstrom: float) -> None:
    """Draw a bar of a round length, about a sixth of the picture wide."""
    about = 150.0 / pixels_per_angstrom
    power = 10.0 ** np.floor(np.log10(about))
    length = max(step * power for step in (1.0, 2.0, 5.0) if step * power <= about)
    x, y, pixels = 30.0, 772.0, length * pixels_per_angstrom
    axes.add_patch(Rectangle((x, y), pixels, 5.0, color=INK, lw=0))
    axes.text(x + pixels / 2.0, y - 6.0, f"{length:g} Å", color=INK, fontsize=12, ha="center", va="bottom")


def _draw_words(axes: Axes, legend: tuple[Entry, ...], facts: Mapping[str, Any]) -> None:
    title = facts.get("title") or facts["format_name"]
    large = len(title) <= 56
    words = _safe(shorten(title, 92))
    axes.text(30, 34, words, color=INK, fontsize=17 if large else 13, fontweight="bold", va="center")
    axes.text(30, 62, _safe(_subtitle(facts)), color=MUTED, fontsize=12, va="center")
    y = 120.0
    for entry in legend:
        _draw_swatch(axes, entry.colours, y)
        axes.text(922, y, _safe(shorten(entry.words, 34)), color=INK, fontsize=12, va="center")
        y += 27.0
    y += 12.0
    for words in _facts_told(facts):
        axes.text(890, y, _safe(shorten(words, 40)), color=MUTED, fontsize=11, va="center")
        y += 22.0


def _draw_swatch(axes: Axes, colours: tuple[str, ...], y: float) -> None:
    if len(colours) == 1:
        axes.add_patch(Circle((899, y), 8.5, facecolor=colours[0], edgecolor=INK, lw=0.7))
    for at, colour in enumerate(colours if len(colours) > 1 else ()):
        axes.add_patch(
            Rectangle(
                (884 + at * 30.0 / len(colours), y - 7), 30.0 / len(colours) + 0.6, 14, color=colour, lw=0
            )
        )


def _safe(words: str) -> str:
    """Keep words from being read as formulas by the library that draws them."""
    return re.sub(r"\$", r"\\$", words)


def _subtitle(facts: Mapping[str, Any]) -> str:
    parts = [
        facts["format_name"],
        f"{facts['n_atoms']:,} atoms" + (" in the cell" if facts["format"] == "cif" else ""),
    ]
    formula = facts.get("formula", "")
    if 0 < len(formula) <= 30:
        parts.append(formula)
    if group := facts.get("spacegroup"):
        parts.append(group["hermann_mauguin"])
    if resolution := facts.get("resolution_angstrom"):
        parts.append(f"{resolution:g} Å resolution")
    models = facts.get("n_models") or 1
    if models > 1:
        parts.append(f"first of {models:,} models")
    return "  ·  ".join(parts)


def _facts_told(facts: Mapping[str, Any]) -> list[str]:
    told = []
    if water := facts.get("n_water_molecules"):
        only = len(facts.get("composition", {})) == 1
        told.append(f"{water:,} molecules of water" + ("" if only else ", not drawn"))
    if "all but one in" in str((facts.get("view") or {}).get("left_out")):
        told.append("too large to draw every atom")
    if cell := facts.get("cell"):
        told.append("a, b, c  " + ", ".join(f"{cell[f'{name}_angstrom']:.3f}" for name in "abc") + " Å")
        angles = [cell[f"{name}_degree"] for name in ("alpha", "beta", "gamma")]
        told.append("α, β, γ  " + ", ".join(f"{angle:.2f}" for angle in angles) + "°")
    if density := facts.get("density_g_cm3"):
        told.append(f"Z = {facts['z'] or 'unknown'},  {density:.3f} g/cm³")
    if facts.get("missing"):
        told.append("part of the file is missing")
    return told
