"""Draws a calculation of quantum chemistry: structure, spectra, and how SCF and geometry converged.

It draws on a canvas of its own and touches no global state. Promises axes with units and only what the file gives: a
picture that cannot be drawn is absent, and the sentence names those that were.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .molecules import draw_structure
from .outcome import Outcome, Status
from .quantum_facts import HARTREE_IN_J_PER_MOL
from .quantum_spectra import ENERGY_CM, INTENSITY, NM_PER_CM, STRENGTH, WAVENUMBER, Table, read_table

Floats = npt.NDArray[np.float64]

INK, MUTED, PAPER = "#1d2733", "#5b6776", "#ffffff"
COLOURS = ("#1f6f9f", "#c2571a", "#3b8250", "#8a4f9e", "#9a7b1c")
DPI, WIDTH, HEIGHT = 110, 10.0, 5.4  # 1100 pixels wide
SAMPLES = 4000
HALF_WIDTH = 8.0  # cm⁻¹, of a line in the infrared
UV_WIDTH = (
    0.4 * 8065.543937
)  # cm⁻¹ where a band of the UV has fallen to 1/e: 0.4 eV, usual for spectra in solution
ABSORPTION_PER_INTENSITY = 100.0 / math.log(10.0)  # L/(mol cm²) in km/mol, decadic
ABSORPTION_PER_STRENGTH = 2.315e8  # L/(mol cm²): 1/4.319e-9, Mulliken, J. Chem. Phys. 7, 14 (1939)
SHORTEST, LONGEST = 50.0, 2000.0  # nm that are drawn
NAMES = {
    "structure": "the structure",
    "ir": "the infrared spectrum",
    "uvvis": "the UV-Vis spectrum",
    "scf": "the convergence of the SCF",
    "optimisation": "the optimisation",
}


def draw_quantum(made: Mapping[str, Path], folder: Path) -> Outcome:
    """Draw what a calculation gives.

    Parameters
    ----------
    made
        Of ``"metadata"``, ``"molecule"``, ``"vibrations"`` and ``"excitations"`` those that
        `towpath.pipelines.compchem.science.quantum.read_quantum` made.
    folder
        Where ``structure.png``, ``ir.png``, ``uvvis.png``, ``scf.png`` and ``optimisation.png`` are written.

    Returns
    -------
    Outcome
        SUCCESS with the pictures, or PARTIAL where there is nothing to draw.
    """
    facts = json.loads(made["metadata"].read_text(encoding="utf-8")) if "metadata" in made else {}
    name = _name(facts)
    drawn = {
        "structure": "molecule" in made and draw_structure(made["molecule"], folder / "structure.png"),
        "ir": "vibrations" in made and draw_infrared(folder / "ir.png", read_table(made["vibrations"]), name),
        "uvvis": "excitations" in made
        and draw_uvvis(folder / "uvvis.png", read_table(made["excitations"]), name),
        "scf": draw_scf(folder / "scf.png", facts.get("scf", {}), name),
        "optimisation": draw_optimisation(folder / "optimisation.png", facts.get("geometry", {}), name),
    }
    names = [one for one, there in drawn.items() if there]
    if not names:
        sentence = "Nothing was drawn: the file gives no structure, no spectrum and no course of convergence."
        return Outcome(Status.PARTIAL, sentence)
    told = f"Drawn: {', '.join(NAMES[one] for one in names)}."
    return Outcome(Status.SUCCESS, told, {one: f"{one}.png" for one in names}, {"pictures": names})


def _name(facts: Mapping[str, Any]) -> str:
    """What stands above a picture: molecule and level of theory."""
    level = "/".join(
        part for part in (facts.get("functional") or facts.get("method"), facts.get("basis")) if part
    )
    return " · ".join(part for part in (facts.get("formula"), level, facts.get("program")) if part)


def draw_infrared(path: Path, table: Table, name: str) -> bool:
    """Draw the infrared spectrum: lines of Lorentz's shape, and sticks; False without intensities.

    The area of a line is its integrated absorption: ∫ε dν̃ = A / ln 10.
    """
    if not table.get(INTENSITY) or max(table[INTENSITY]) <= 0.0:
        return False
    places, strengths = np.array(table[WAVENUMBER], float), np.array(table[INTENSITY], float)
    real = places > 0.0
    places, strengths = places[real], strengths[real]
    if not places.size or strengths.max() <= 0.0:
        return False
    top = max(4000.0, 1.05 * float(places.max()))
    axis = np.linspace(0.0, top, SAMPLES)
    figure, left, right = _spectrum(axis, infrared(axis, places, strengths), places, strengths)
    left.set_xlim(top, 0.0)
    left.set_xlabel("wavenumber in cm⁻¹")
    left.set_ylabel("ε in L mol⁻¹ cm⁻¹")
    right.set_ylabel("intensity in km mol⁻¹")
    hidden = int((~real).sum())
    note = f"{len(places)} harmonic modes, half width {HALF_WIDTH:g} cm⁻¹"
    _finish(
        figure,
        path,
        f"Infrared spectrum · {name}",
        note + (f", {hidden} imaginary left out" if hidden else ""),
    )
    return True


def infrared(axis: Floats, places: Floats, intensities: Floats) -> Floats:
    """Decadic molar absorption in L/(mol cm) over `axis` in cm⁻¹ of lines at `places` with `intensities` in km/mol."""
    shapes = HALF_WIDTH / np.pi / ((axis[:, None] - places) ** 2 + HALF_WIDTH**2)
    return np.asarray(ABSORPTION_PER_INTENSITY * shapes @ intensities)


def draw_uvvis(path: Path, table: Table, name: str) -> bool:
    """Draw the UV-Vis spectrum: bands of Gauss's shape in energy, and sticks; False without oscillator strengths."""
    if not table.get(STRENGTH):
        return False
    places, strengths = np.array(table[ENERGY_CM], float), np.array(table[STRENGTH], float)
    shown = (places > NM_PER_CM / LONGEST) & (places < NM_PER_CM / SHORTEST) & np.isfinite(strengths)
    few = f"{shown.sum()} of " if not shown.all() else ""  # the others lie beyond the light that is drawn
    count = len(places)
    places, strengths = places[shown], strengths[shown]
    if not places.size or strengths.max() <= 0.0:
        return False
    wavelengths = NM_PER_CM / places
    axis = np.linspace(max(SHORTEST, 0.8 * wavelengths.min()), 1.15 * wavelengths.max(), SAMPLES)
    figure, left, right = _spectrum(
        axis, absorption(NM_PER_CM / axis, places, strengths), wavelengths, strengths
    )
    left.set_xlim(axis[0], axis[-1])
    left.set_xlabel("wavelength in nm")
    left.set_ylabel("ε in L mol⁻¹ cm⁻¹")
    right.set_ylabel("oscillator strength")
    dark = wavelengths[strengths < 1e-6]
    if dark.size:
        right.plot(dark, np.zeros_like(dark), "|", ms=9, mew=1.2, c=MUTED, clip_on=False)
    note = f"{few}{count} states, {len(dark)} of them dark (grey ticks), half width at 1/e 0.4 eV"
    _finish(figure, path, f"UV-Vis spectrum · {name}", note)
    return True


def absorption(axis: Floats, places: Floats, strengths: Floats) -> Floats:
    """Decadic molar absorption in L/(mol cm) over `axis` in cm⁻¹ of bands at `places` with oscillator `strengths`."""
    shapes = np.exp(-(((axis[:, None] - places) / UV_WIDTH) ** 2)) / (UV_WIDTH * math.sqrt(math.pi))
    return np.asarray(ABSORPTION_PER_STRENGTH * shapes @ strengths)


def _spectrum(axis: Floats, curve: Floats, places: Floats, heights: Floats) -> tuple[Figure, Axes, Axes]:
    """A curve on the left axis and sticks on the right one."""
    figure = _figure()
    left = figure.add_subplot()
    right = left.twinx()
    left.plot(axis, curve, c=COLOURS[0], lw=1.3)
    left.fill_between(axis, curve, color=COLOURS[0], alpha=0.12, lw=0.0)
    right.vlines(places, 0.0, heights, color=COLOURS[1], lw=1.2, alpha=0.85)
    left.set_ylim(0.0, 1.08 * float(curve.max()))
    right.set_ylim(0.0, 1.6 * float(heights.max()))  # sticks lower than the curve, so that both are seen
    left.yaxis.label.set_color(COLOURS[0])
    right.yaxis.label.set_color(COLOURS[1])
    _tidy(left)
    _tidy(right, grid=False)
    return figure, left, right


def draw_scf(path: Path, scf: Mapping[str, Any], name: str) -> bool:
    """Draw the criteria of the last SCF over its cycles, with their targets; False with fewer than two cycles."""
    history = _matrix(scf)
    if len(history) < 2:
        return False
    figure = _figure()
    axes = figure.add_subplot()
    _draw_criteria(axes, history, scf["criteria"], relative=False)
    axes.set_xlabel("cycle")
    axes.set_ylabel("change or error (absolute)")
    steps = int(scf.get("steps", 1))
    note = "the calculation's only SCF" if steps == 1 else f"the SCF of the last of {steps} steps"
    end = "converged" if scf.get("converged") else "not converged"
    _finish(
        figure, path, f"SCF convergence · {name}", f"{note}, {len(history)} cycles, {end} · dashed: target"
    )
    return True


def draw_optimisation(path: Path, geometry: Mapping[str, Any], name: str) -> bool:
    """Draw energy and criteria over the steps of an optimisation; False with fewer than two steps."""
    history, energies = _matrix(geometry), np.array(geometry.get("energies_hartree", ()), float)
    if len(history) < 2:
        return False
    figure = _figure(HEIGHT + 1.4)
    panels = figure.subplots(2 if len(energies) > 1 else 1, 1, sharex=True, squeeze=False)[:, 0]
    if len(energies) > 1:
        relative = (energies - np.nanmin(energies)) * HARTREE_IN_J_PER_MOL / 1000.0
        panels[0].plot(np.arange(1, len(relative) + 1), relative, "o-", c=INK, ms=4, lw=1.2)
        panels[0].set_ylabel("energy above\nthe lowest in kJ mol⁻¹")
        _tidy(panels[0])
    targeted = any(one["target"] for one in geometry["criteria"])
    _draw_criteria(panels[-1], history, geometry["criteria"], relative=targeted)
    if targeted:
        panels[-1].axhline(1.0, c=INK, lw=0.9, ls="--")
    panels[-1].set_ylabel("criterion / target" if targeted else "criterion")
    panels[-1].set_xlabel("step")
    panels[-1].set_xlim(
        0.7, max(len(history), len(energies)) + 0.3
    )  # ORCA computes the last energy once more
    end = "converged" if geometry.get("converged") else "not converged"
    note = f"{len(history)} steps, {end}" + (" · dashed: target" if targeted else "")
    _finish(figure, path, f"Geometry optimisation · {name}", note)
    return True


def _matrix(told: Mapping[str, Any]) -> Floats:
    """The history of criteria: a row for each step, NaN where a value is absent."""
    rows = told.get("history") or []
    return np.array(rows, float).reshape(len(rows), -1) if rows else np.zeros((0, 0))


def _draw_criteria(
    axes: Axes, history: Floats, criteria: Sequence[Mapping[str, Any]], *, relative: bool
) -> None:
    """Draw absolute values on a logarithmic axis; relative to their targets (those without one are left out)."""
    steps = np.arange(1, len(history) + 1)
    lowest = math.inf
    for column, one, colour in zip(history.T, criteria, COLOURS, strict=False):
        target = one["target"]
        if relative and not target:
            continue
        size = np.abs(column) / (target if relative else 1.0)
        size = np.where(size > 0.0, size, np.nan)
        if not np.isfinite(size).any():
            continue
        label = one["name"] + (f" in {one['unit']}" if one["unit"] and not relative else "")
        axes.semilogy(steps, size, "o-", c=colour, ms=3.5, lw=1.2, label=label)
        lowest = min(lowest, float(np.nanmin(np.where(size > 1e-12, size, np.nan), initial=math.inf)))
        if target:
            lowest = min(lowest, 1.0 if relative else target)
        if target and not relative:
            axes.axhline(target, c=colour, lw=0.9, ls="--", alpha=0.8)
    if math.isfinite(lowest):
        axes.set_ylim(bottom=max(lowest / 5.0, 1e-13))
    axes.set_xlim(0.7, len(history) + 0.3)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _tidy(axes)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False, labelcolor=INK)


def _figure(height: float = HEIGHT) -> Figure:
    """An empty canvas."""
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _tidy(axes: Axes, *, grid: bool = True) -> None:
    """Quiet axes."""
    for spine in axes.spines.values():
        spine.set_color(MUTED)
        spine.set_linewidth(0.6)
    axes.tick_params(which="both", labelsize=9, colors=MUTED, length=3)
    axes.xaxis.label.set_color(MUTED)
    if axes.yaxis.label.get_color() == "black":
        axes.yaxis.label.set_color(MUTED)
    if grid:
        axes.grid(color=INK, alpha=0.08, lw=0.6)


def _finish(figure: Figure, path: Path, title: str, note: str) -> None:
    """Put the title on and write the picture."""
    figure.suptitle(title.removesuffix(" · "), x=0.01, ha="left", fontsize=12, color=INK)
    figure.text(0.995, 0.985, note, ha="right", va="top", fontsize=8.5, color=MUTED)
    figure.savefig(path, metadata={"Software": None})
