"""Draws run inputs, trajectories and energies of molecular dynamics from what their readers made.

It reads only the readers' own files and draws on canvases of its own. Equal inputs give equal bytes under one version
of matplotlib.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, NullLocator

from .outcome import Outcome, Status, Unreadable

Floats = npt.NDArray[np.float64]

INK, MUTED, PAPER = "#1d2733", "#5b6776", "#ffffff"
COLOURS = ("#1f6f9f", "#c2571a", "#3d8b52", "#8a4fa3", "#a8871b", "#4a4e8f")
DPI = 110
MOST_POINTS = 4_000  # of a curve; beyond them every n-th is drawn
MOST_BARS, MOST_CURVES, MOST_PANELS = 12, 6, 6
# Terms that people look at first, in this order.
FIRST = (
    "Potential",
    "Kinetic En.",
    "Total Energy",
    "Conserved En.",
    "Temperature",
    "Pressure",
    "Density",
    "Volume",
    "Box-X",
)
DRAWN = {"name": "matplotlib", "version": matplotlib.__version__}


def draw_tpr(made: Mapping[str, Path], folder: Path) -> Outcome:
    """Draw what a run input simulates: how many molecules of each kind, and the key facts beside them.

    Parameters
    ----------
    made
        ``"annotation"`` or ``"metadata"`` of `read_tpr`.
    folder
        Where `composition.png` goes.
    """
    facts = json.loads((made.get("annotation") or made["metadata"]).read_text(encoding="utf-8"))
    main = facts.get("main_information", {})
    molecules = [(one["name"], int(one["count"])) for one in main.get("molecules", [])]
    if not molecules:
        raise Unreadable("There is nothing to draw: no molecules could be read of this run input.")
    merged: dict[str, int] = {}
    for name, count in molecules:
        merged[name] = merged.get(name, 0) + count
    bars = list(merged.items())
    shown = bars[:MOST_BARS]
    rows = _key_facts(facts)
    figure = _figure(10.6, max(0.36 * max(len(shown), len(rows)) + 1.5, 3.0))
    left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.15))
    _bars(left, shown, len(bars) - len(shown))
    _fact_table(right, rows)
    _title(figure, str(main.get("title") or "Run input"))
    return _save(figure, folder, "composition", "Composition and key facts of the run input are drawn.")


def _bars(axes: Axes, bars: Sequence[tuple[str, int]], left_out: int) -> None:
    """A bar for every kind of molecule on a logarithmic scale, its count written beside it."""
    _tidy(axes)
    places = list(range(len(bars)))
    counts = [count for _, count in bars]
    axes.barh(places, counts, color=COLOURS[0], height=0.62, left=0.0)
    top = max(counts)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(visible=False, axis="y")
    axes.set(xlim=(0.6, max(top, 2) * 6.0), yticks=places, ylim=(len(bars) - 0.4, -0.6))
    axes.set_yticklabels([name[:24] for name, _ in bars], fontsize=9, color=INK)
    for place, count in zip(places, counts, strict=True):
        axes.text(count * 1.15, place, f"{count:,}", va="center", fontsize=9, color=INK)
    more = f" ({left_out} kinds more)" if left_out else ""
    axes.set_xlabel(f"number of molecules{more}", fontsize=9, color=MUTED)


def _key_facts(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What people ask first of a simulation, as far as it is known."""
    main, more = facts.get("main_information", {}), facts.get("detailed_information", {})
    box = main.get("box") or {}
    temperatures = sorted(set(main.get("reference_temperature_k") or ()))
    pressure = main.get("reference_pressure_bar")
    steps = main.get("number_of_steps")
    rows = [
        (
            "written by",
            f"GROMACS {facts.get('_gromacs_version', '?')[:24]} (tpx {facts.get('_tpx_version', '?')})",
        ),
        ("kind", main.get("simulation_type")),
        ("length", _number(main.get("simulation_length_ns"), "ns")),
        ("time step", _number(main.get("simulation_time_step_ps"), "ps")),
        ("steps", None if steps is None else f"{steps:,}"),
        ("ensemble", main.get("statistical_ensemble")),
        ("temperature", f"{', '.join(f'{one:g}' for one in temperatures)} K" if temperatures else None),
        ("pressure", f"{', '.join(f'{pressure[i][i]:g}' for i in range(3))} bar" if pressure else None),
        ("thermostat", (more.get("thermostat") or {}).get("tcoupl")),
        ("barostat", (more.get("barostat") or {}).get("pcoupl")),
        ("electrostatics", (more.get("electrostatic_interactions") or {}).get("coulombtype")),
        ("constraints", more.get("constraint_algorithm")),
        ("atoms", f"{main['number_of_atoms']:,}" if "number_of_atoms" in main else None),
        ("box", _box_told(box)),
    ]
    if not more:
        rows.append(("simulation", "parameters could not be read"))
    return [(name, value) for name, value in rows if value]


def _number(value: float | None, unit: str) -> str | None:
    return None if value is None else f"{value:.6g} {unit}"


def _box_told(box: Mapping[str, Any]) -> str | None:
    lengths = box.get("lengths_nm")
    if not lengths:
        return None
    return f"{box['shape']}, {' × '.join(f'{one:.4g}' for one in lengths)} nm"


def _fact_table(axes: Axes, rows: Sequence[tuple[str, str]]) -> None:
    axes.set_axis_off()
    for i, (name, value) in enumerate(rows):
        y = 1.0 - (i + 0.5) / len(rows)
        axes.text(0.0, y, name, fontsize=10, color=MUTED, va="center", transform=axes.transAxes)
        axes.text(0.3, y, value, fontsize=10, color=INK, va="center", transform=axes.transAxes)


def draw_trajectory(made: Mapping[str, Path], folder: Path) -> Outcome:
    """Draw a trajectory against time: RMSD, radius of gyration, lengths and volume of the box where it has one.

    Parameters
    ----------
    made
        ``"metadata"`` and ``"table"`` of `read_trajectory`.
    folder
        Where `course.png` goes.
    """
    facts = json.loads(made["metadata"].read_text(encoding="utf-8"))
    names, values = _read_table(made["table"])
    column = {name: values[:, i] for i, name in enumerate(names)}
    time, unit = _scaled(column["time_ps"])
    panels: list[tuple[str, list[tuple[str, Floats]]]] = [
        (f"RMSD of {facts['superposed_atoms']['name']} (nm)", [("", column["rmsd_nm"])]),
        (
            f"radius of gyration of\n{facts['described_atoms']['name']} (nm)",
            [("", column["radius_of_gyration_nm"])],
        ),
    ]
    if np.isfinite(column["volume_nm3"]).any():
        panels.append(("box (nm)", [(side, column[f"box_{side}_nm"]) for side in "abc"]))
        panels.append(("volume of the box (nm³)", [("", column["volume_nm3"])]))
    figure = _figure(10.0, 2.9 * ((len(panels) + 1) // 2) + 0.5)
    grid = figure.subplots((len(panels) + 1) // 2, 2, squeeze=False, sharex=True)
    for axes, (label, curves) in zip(grid.flat, panels, strict=True):
        _curves(axes, time, curves)
        axes.set_ylabel(label, fontsize=9, color=MUTED)
    for axes in grid[-1]:
        axes.set_xlabel(f"time ({unit})", fontsize=9, color=MUTED)
    count = facts["frames"]
    _title(figure, f"{count:,} frame{'s' * (count != 1)} of {facts['number_of_atoms']:,} atoms")
    return _save(figure, folder, "course", "RMSD, radius of gyration and box against time are drawn.")


def draw_energies(made: Mapping[str, Path], folder: Path) -> Outcome:
    """Draw energies as small pictures of the terms that are looked at first, or a table's curves in one.

    Parameters
    ----------
    made
        ``"metadata"`` and ``"table"`` of `read_energies`.
    folder
        Where `energies.png` goes.
    """
    facts = json.loads(made["metadata"].read_text(encoding="utf-8"))
    names, values = _read_table(made["table"])
    if facts["format"].endswith("(edr)"):
        figure = _small_multiples(facts, values)
    else:
        figure = _one_panel(facts, names, values)
    return _save(figure, folder, "energies", "What the file tells over time is drawn.")


def _small_multiples(facts: Mapping[str, Any], values: Floats) -> Figure:
    terms = facts["terms"]
    place = {term["name"]: i + 1 for i, term in enumerate(terms)}
    chosen = [name for name in FIRST if name in place and np.ptp(values[:, place[name]]) > 0.0]
    chosen = (chosen or [name for name in FIRST if name in place] or list(place))[:MOST_PANELS]
    time, unit = _scaled(values[:, 0]) if "time_first_ps" in facts else (values[:, 0], "")
    down = (len(chosen) + 1) // 2
    figure = _figure(10.0, 2.6 * down + 0.6)
    grid = figure.subplots(down, min(2, len(chosen)), squeeze=False, sharex=True)
    for axes in grid.flat[len(chosen) :]:
        axes.set_axis_off()
    for axes, name in zip(grid.flat, chosen, strict=False):
        term = terms[place[name] - 1]
        _curves(axes, time, [("", values[:, place[name]])])
        if term["mean"] is not None and len(values) > 1:
            axes.axhline(term["mean"], color=COLOURS[1], linewidth=1.0, linestyle="--")
        axes.set_ylabel(f"{name} ({term['unit']})" if term["unit"] else name, fontsize=9, color=MUTED)
    for axes in grid[-1]:
        axes.set_xlabel(f"time ({unit})" if unit else "step", fontsize=9, color=MUTED)
    _title(figure, f"Energies: {len(chosen)} of {len(terms)} terms" + ", means dashed" * (len(values) > 1))
    return figure


def _one_panel(facts: Mapping[str, Any], names: Sequence[str], values: Floats) -> Figure:
    figure = _figure(9.0, 4.8)
    axes = figure.subplots()
    shown = values.shape[1] - 1
    curves = [(names[i + 1], values[:, i + 1]) for i in range(min(shown, MOST_CURVES))]
    _curves(axes, values[:, 0], curves)
    axes.set_xlabel(facts.get("x_label") or names[0], fontsize=9, color=MUTED)
    axes.set_ylabel(facts.get("y_label") or "", fontsize=9, color=MUTED)
    more = f" ({len(curves)} of {shown} curves)" if shown > len(curves) else ""
    _title(figure, (facts.get("title") or "Table") + more)
    return figure


def _read_table(path: Path) -> tuple[list[str], Floats]:
    """The header and the rows of a CSV; what is empty becomes NaN."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        names = next(rows)
        values = [[float(one) if one else np.nan for one in row] for row in rows]
    return names, np.asarray(values, dtype=float).reshape(len(values), len(names))


def _scaled(picoseconds: Floats) -> tuple[Floats, str]:
    """Times in the unit that keeps their numbers readable."""
    most = float(np.abs(picoseconds).max())
    for unit, size in (("µs", 1e6), ("ns", 1e3), ("ps", 1.0)):
        if most >= size:
            return picoseconds / size, unit
    if not most:
        return picoseconds, "ps"
    return picoseconds * 1e3, "fs"


def _curves(axes: Axes, x: Floats, curves: Sequence[tuple[str, Floats]]) -> None:
    _tidy(axes)
    every = -(-len(x) // MOST_POINTS)
    dots = "o" if len(x) <= 40 else ""
    styles = ("-", "--", ":", "-", "--", ":")
    for (name, y), colour, style in zip(curves, COLOURS, styles, strict=False):
        axes.plot(
            x[::every],
            y[::every],
            color=colour,
            linewidth=1.3,
            linestyle=style,
            marker=dots,
            markersize=3.5,
            label=name[:48] or None,
        )
    if len(curves) > 1 or curves[0][0]:
        beside = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if len(curves) > 3 else {"loc": "best"}
        axes.legend(fontsize=8, frameon=False, labelcolor=INK, **beside)
    axes.ticklabel_format(axis="y", useOffset=False, style="plain")
    axes.margins(y=0.12)


def _figure(width: float, height: float) -> Figure:
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08)
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor=PAPER, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def _tidy(axes: Axes) -> None:
    axes.tick_params(labelsize=8, colors=MUTED)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#c4cad2")
    axes.grid(color="#e6e9ed", linewidth=0.6)
    axes.set_axisbelow(True)


def _title(figure: Figure, words: str) -> None:
    """A title that matplotlib does not read as mathematics."""
    figure.suptitle(
        words[:90].replace("$", r"\$"), fontsize=13, fontweight="bold", color=INK, x=0.012, ha="left"
    )


def _save(figure: Figure, folder: Path, name: str, sentence: str) -> Outcome:
    figure.savefig(folder / f"{name}.png", format="png", metadata={"Software": None})
    return Outcome(Status.SUCCESS, sentence, {name: f"{name}.png"}, {}, DRAWN)
