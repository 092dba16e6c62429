"""Draws how a calibration went: bandpass, gains against time, what was flagged, where the baselines lay.

It draws on a canvas of its own and touches no global state. Equal inputs give equal bytes under one version of
matplotlib.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from .solutions import Solutions
from .visibilities import SPEED_OF_LIGHT

Floats = npt.NDArray[np.float64]

INK, MUTED, PAPER = "#1d2733", "#5b6776", "#ffffff"
RECEPTORS = ("#1f6f9f", "#c2571a")
DPI = 110
PANELS_ACROSS = 6
MOST_PANELS = 30  # of a bandpass: more stations are rows of one image


def draw_bandpass(path: str | Path, solutions: Solutions) -> None:
    """Draw amplitude and phase of every station over frequency: a panel each, or a row of an image where they are many.

    Parameters
    ----------
    path
        Of the PNG; an existing file is replaced.
    solutions
        Of kind ``"B"``; the interval in the middle is drawn.
    """
    t = len(solutions.time) // 2
    good = np.abs(solutions.gains[t])[~solutions.flags[t]]
    top = 1.15 * float(np.percentile(good, 99.5)) if good.size else 1.0
    draw = _bandpass_panels if len(solutions.stations) <= MOST_PANELS else _bandpass_rows
    draw(path, solutions, t, top)


def _bandpass_panels(path: str | Path, solutions: Solutions, t: int, top: float) -> None:
    """A panel for every station: amplitude as a line, phase as dots."""
    shown = len(solutions.stations)
    across = min(PANELS_ACROSS, shown)
    down = -(-shown // across)
    figure = _figure(2.35 * across, 1.35 * down + 0.9)
    grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    megahertz = solutions.frequency / 1e6
    for number, axes in enumerate(grid.flat):
        _tidy(axes)
        if number >= shown:
            axes.set_visible(False)
            continue
        turned = axes.twinx()
        _tidy(turned)
        turned.set(ylim=(-180, 180), yticks=(-180, 0, 180))
        turned.tick_params(labelsize=6, colors=MUTED, length=2, labelright=number % across == across - 1)
        for p, colour in zip(range(len(solutions.polarisations)), RECEPTORS, strict=False):
            kept = ~solutions.flags[t, number, :, p]
            gain = solutions.gains[t, number, :, p]
            axes.plot(megahertz, np.where(kept, np.abs(gain), np.nan), c=colour, lw=0.9)
            turned.plot(megahertz[kept], np.degrees(np.angle(gain[kept])), ".", c=colour, ms=1.2, alpha=0.6)
        axes.set_title(_station(solutions, number, t), fontsize=7, color=INK, pad=2)
        axes.set_ylim(0.0, top)
    _finish(
        figure,
        path,
        "Bandpass",
        f"frequency in MHz · lines: amplitude (left) · dots: phase in degrees (right) · {_receptors(solutions)} · "
        f"{solutions.flagged:.1%} flagged",
    )


def _bandpass_rows(path: str | Path, solutions: Solutions, t: int, top: float) -> None:
    """A row for every station in images of amplitude and phase, two for each receptor; flagged channels are blank."""
    stations, hands = len(solutions.stations), len(solutions.polarisations)
    figure = _figure(13.0, 2.2 + 0.125 * stations)
    grid = figure.subplots(1, 2 * hands, sharex=True, sharey=True, squeeze=False)[0]
    megahertz = solutions.frequency / 1e6
    extent = (megahertz[0], megahertz[-1], stations - 0.5, -0.5)
    looks = (("amplitude", "viridis", (0.0, top)), ("phase in degrees", "twilight", (-180.0, 180.0)))
    for p, receptor in enumerate(solutions.polarisations):
        gains, flags = solutions.gains[t, :, :, p], solutions.flags[t, :, :, p]
        for number, (what, colours, limits) in enumerate(looks):
            values = np.degrees(np.angle(gains)) if number else np.abs(gains)
            axes = grid[2 * p + number]
            _tidy(axes)
            image = axes.imshow(
                np.where(flags, np.nan, values), aspect="auto", extent=extent, cmap=colours,
                vmin=limits[0], vmax=limits[1], interpolation="nearest",
            )  # fmt: skip
            axes.set_title(f"{receptor}: {what}", fontsize=9, color=INK)
            bar = figure.colorbar(image, ax=axes, orientation="horizontal", aspect=40, pad=0.01)
            bar.outline.set_linewidth(0.0)
            bar.ax.tick_params(labelsize=7, colors=MUTED, length=2)
    grid[0].set_yticks(range(stations), [_station(solutions, k, t) for k in range(stations)], fontsize=6)
    _finish(
        figure, path, "Bandpass", f"station over frequency in MHz · {solutions.flagged:.1%} flagged (blank)"
    )


def _station(solutions: Solutions, number: int, t: int) -> str:
    """The name of a station, and what is special about it."""
    marked = " (reference)" if number == solutions.reference else ""
    empty = " (none)" if solutions.flags[t, number].all() else ""
    return solutions.stations[number] + marked + empty


def draw_gains(path: str | Path, solutions: Solutions) -> None:
    """Draw amplitude and phase of all stations: against time, or against stations where there is one interval.

    Parameters
    ----------
    path
        Of the PNG; an existing file is replaced.
    solutions
        Of kind ``"G"``.
    """
    figure = _figure(9.5, 6.0)
    upper, lower = figure.subplots(2, 1, sharex=True)
    single = len(solutions.time) == 1
    minutes = (solutions.time - solutions.time[0] + solutions.interval[0] / 2.0) / 60.0
    for p, colour in zip(range(len(solutions.polarisations)), RECEPTORS, strict=False):
        gains, flags = solutions.gains[:, :, 0, p], solutions.flags[:, :, 0, p]
        errors = np.where(flags, np.nan, solutions.errors[:, :, 0, p])
        amplitude = np.where(flags, np.nan, np.abs(gains))
        phase = np.where(flags, np.nan, np.degrees(np.angle(gains)))
        if single:
            at = np.arange(len(solutions.stations)) + 0.15 * (2 * p - 1)
            style = {"fmt": "o", "ms": 3, "c": colour, "lw": 0.9}
            upper.errorbar(at, amplitude[0], errors[0], **style)
            lower.errorbar(at, phase[0], np.degrees(errors[0] / amplitude[0]), **style)
        else:
            upper.plot(minutes, amplitude, c=colour, lw=0.8, alpha=0.7, marker=".", ms=2.5)
            lower.plot(minutes, phase, c=colour, lw=0.8, alpha=0.7, marker=".", ms=2.5)
    for axes, label in ((upper, "amplitude"), (lower, "phase in degrees")):
        _tidy(axes)
        axes.set_ylabel(label, fontsize=9, color=MUTED)
        axes.grid(color=INK, alpha=0.1, lw=0.6)
    if single:
        step = max(1, len(solutions.stations) // 24)
        shown = np.arange(0, len(solutions.stations), step)
        lower.set_xticks(shown, [solutions.stations[k] for k in shown], rotation=90)
    where = "station" if single else "minutes from the beginning"
    reference = solutions.stations[solutions.reference]
    _finish(
        figure,
        path,
        "Gains",
        f"{where} · {_receptors(solutions)} · reference {reference} · {solutions.flagged:.1%} flagged",
    )


def draw_waterfall(path: str | Path, waterfall: Floats, times: Floats, frequency: Floats) -> None:
    """Draw the share of flagged samples over time and frequency, and its means along both.

    Parameters
    ----------
    path
        Of the PNG; an existing file is replaced.
    waterfall : (time, channel)
        Shares, 0 to 1.
    times : (time,)
        MJD in seconds, ascending.
    frequency : (channel,)
        Hz, ascending.
    """
    figure = _figure(10.0, 5.4)
    grid = figure.subplots(
        2, 2, sharex="col", sharey="row", gridspec_kw={"height_ratios": (1, 3), "width_ratios": (6, 1)}
    )
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    width = float(np.median(np.diff(frequency))) if len(frequency) > 1 else 1.0
    end = (times[-1] - times[0] + step) / 60.0
    extent = ((frequency[0] - width / 2) / 1e6, (frequency[-1] + width / 2) / 1e6, 0.0, end)
    image = grid[1, 0].imshow(
        waterfall, origin="lower", aspect="auto", extent=extent, cmap="magma_r", vmin=0, vmax=1,
        interpolation="nearest",
    )  # fmt: skip
    grid[0, 0].fill_between(frequency / 1e6, waterfall.mean(axis=0), color=RECEPTORS[0], step="mid", lw=0)
    minutes = (times - times[0] + step / 2.0) / 60.0
    grid[1, 1].barh(minutes, waterfall.mean(axis=1), height=step / 60.0, color=RECEPTORS[0])
    grid[0, 1].set_visible(False)
    grid[0, 0].set_ylim(0, 1)
    grid[1, 1].set_xlim(0, 1)
    for axes in grid.flat:
        _tidy(axes)
    grid[1, 0].set_ylabel("minutes", fontsize=9, color=MUTED)
    bar = figure.colorbar(image, ax=grid[1, :], orientation="horizontal", aspect=60, pad=0.02)
    bar.outline.set_linewidth(0.0)
    bar.ax.tick_params(labelsize=7, colors=MUTED, length=2)
    _finish(figure, path, "Flagged samples", f"share over frequency in MHz · {waterfall.mean():.2%} in all")


def draw_coverage(path: str | Path, uvw: Floats, frequency: Floats, *, most: int = 60_000) -> None:
    """Draw the uv coverage, both halves, from the lowest to the highest frequency.

    Parameters
    ----------
    path
        Of the PNG; an existing file is replaced.
    uvw : (row, 3)
        Metres.
    frequency : (channel,)
        Hz.
    most : int
        Rows that are drawn, evenly picked.
    """
    kept = uvw[:: max(1, len(uvw) // most), :2]
    kept = kept[np.hypot(kept[:, 0], kept[:, 1]) > 0.0]
    ends = kept[None] * np.array([frequency[0], frequency[-1]])[:, None, None] / SPEED_OF_LIGHT / 1e3
    figure = _figure(6.6, 7.0)
    axes = figure.subplots()
    for sign in (1.0, -1.0):
        lines = np.full((3, len(kept), 2), np.nan)
        lines[:2] = sign * ends
        flat = lines.transpose(1, 0, 2).reshape(-1, 2)
        axes.plot(flat[:, 0], flat[:, 1], c=to_rgba(RECEPTORS[0], 0.8), lw=0.7, solid_capstyle="butt")
    _tidy(axes)
    limit = 1.05 * float(np.abs(ends).max()) if ends.size else 1.0
    axes.set(aspect="equal", xlim=(limit, -limit), ylim=(-limit, limit))
    axes.set_xlabel("u in thousand wavelengths", fontsize=9, color=MUTED)
    axes.set_ylabel("v", fontsize=9, color=MUTED)
    axes.grid(color=INK, alpha=0.1, lw=0.6)
    longest = float(np.hypot(*kept.T).max()) if kept.size else 0.0
    _finish(
        figure,
        path,
        "Coverage",
        f"longest baseline {longest:,.0f} m · {frequency[0] / 1e6:.0f}–{frequency[-1] / 1e6:.0f} MHz",
    )


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _tidy(axes: Axes) -> None:
    axes.tick_params(labelsize=7, colors=MUTED, length=2)
    for edge in axes.spines.values():
        edge.set_color("#b8c0ca")


def _receptors(solutions: Solutions) -> str:
    words = ("blue", "orange")
    return ", ".join(f"{name} {word}" for name, word in zip(solutions.polarisations, words, strict=False))


def _finish(figure: Figure, path: str | Path, title: str, caption: str) -> None:
    figure.suptitle(title, fontsize=13, fontweight="bold", color=INK, x=0.012, ha="left")
    figure.supxlabel(caption, fontsize=8.5, color=MUTED, x=0.012, ha="left")
    figure.savefig(path, format="png", metadata={"Software": None})
