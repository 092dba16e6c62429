"""Draws the quick-look picture of a survey: the field with its stations, and the residual with its candidates.

Equal inputs give equal bytes under one version of matplotlib. It draws on a canvas of its own and touches no global
state, so several pictures can be drawn at once.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter
from pyproj import CRS

from .arrays import FloatArray
from .candidates import Candidate
from .projection import project

INK, MUTED, LAND, PAPER = "#1d2733", "#5b6776", "#e9ebee", "#ffffff"
PANEL_IN, GAP_IN, DPI = 6.4, 1.9, 130
MOST_LABELS = 40


def draw_quicklook(
    path: Path | str,
    grid: xr.Dataset,
    stations: FloatArray,
    candidates: Sequence[Candidate] = (),
    *,
    title: str = "Gravity survey",
) -> None:
    """Write the picture of a survey as PNG.

    Parameters
    ----------
    path : pathlib.Path or str
        The file to write.
    grid : xarray.Dataset
        Grid with `bouguer_disturbance` and `residual` (mGal).
    stations : numpy.ndarray
        Easting and northing of the stations in metres, shape (n, 2).
    candidates : sequence of Candidate
        Candidates, numbered in this order.
    title : str
        Name of the survey.
    """
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1)
    figure = Figure(figsize=_size(grid), dpi=DPI, facecolor=PAPER, layout=layout)
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _draw_field(figure, left, grid, stations)
    _draw_residual(figure, right, grid, candidates)
    figure.suptitle(title, fontsize=16, fontweight="bold", color=INK, x=0.012, ha="left")
    figure.supxlabel(
        _caption(grid, len(stations), len(candidates)), fontsize=9.5, color=MUTED, x=0.012, ha="left"
    )
    figure.savefig(path, format="png", metadata={"Software": None})


def _size(grid: xr.Dataset) -> tuple[float, float]:
    aspect = np.ptp(grid["northing"].values) / max(float(np.ptp(grid["easting"].values)), 1.0)
    return 2.0 * PANEL_IN + 0.6, float(np.clip(PANEL_IN * aspect, 2.5, 11.0)) + GAP_IN


def _draw_field(figure: Figure, axes: Axes, grid: xr.Dataset, stations: FloatArray) -> None:
    field = np.asarray(grid["bouguer_disturbance"])
    finite = field[np.isfinite(field)]
    low, high = np.percentile(finite, [1.0, 99.0]) if finite.size else (0.0, 1.0)
    image = _draw_map(axes, grid, field, "Spectral_r", float(low), float(high))
    size = float(np.clip(2_500.0 / max(len(stations), 1), 0.12, 3.0))
    east, north = stations.T / 1e3
    axes.scatter(east, north, s=size, c=INK, alpha=0.45, linewidths=0, rasterized=True)
    _finish(figure, axes, image, "Bouguer gravity disturbance and stations")


def _draw_residual(figure: Figure, axes: Axes, grid: xr.Dataset, candidates: Sequence[Candidate]) -> None:
    field = np.asarray(grid["residual"])
    finite = np.abs(field[np.isfinite(field)])
    limit = float(np.percentile(finite, 99.0)) if finite.size else 1.0
    image = _draw_map(axes, grid, field, "RdBu_r", -limit, limit)
    crs = CRS.from_wkt(grid["spatial_ref"].attrs["crs_wkt"])
    for number, candidate in enumerate(candidates, start=1):
        _mark(axes, crs, candidate, number)
    _finish(figure, axes, image, "Residual and candidates, by confidence")


def _draw_map(
    axes: Axes, grid: xr.Dataset, field: FloatArray, colours: str, low: float, high: float
) -> AxesImage:
    east, north = grid["easting"].values / 1e3, grid["northing"].values / 1e3
    half = (east[1] - east[0]) / 2.0
    extent = (east[0] - half, east[-1] + half, north[0] - half, north[-1] + half)
    axes.set_facecolor(LAND)
    image = axes.imshow(
        field, origin="lower", extent=extent, cmap=colours, vmin=low, vmax=high, interpolation="nearest"
    )
    _label_degrees(axes, grid)
    _draw_scale(axes, extent)
    return image


def _mark(axes: Axes, crs: CRS, candidate: Candidate, number: int) -> None:
    """Draw a ring as wide as the candidate, its number beside it."""
    place = project(crs, np.array([candidate.latitude]), np.array([candidate.longitude]))
    east, north = (float(value[0]) / 1e3 for value in place)
    turn = np.linspace(0.0, 2.0 * np.pi, 49)
    radius = candidate.half_width_km
    strength = 0.6 + 1.4 * candidate.confidence
    axes.plot(east + radius * np.cos(turn), north + radius * np.sin(turn), c=INK, lw=strength)
    axes.plot([east], [north], marker="^" if candidate.sign > 0 else "v", ms=4, c=INK, mec=PAPER, mew=0.6)
    if number <= MOST_LABELS:
        axes.annotate(
            str(number),
            (east + 0.72 * radius, north + 0.72 * radius),
            xytext=(1.5, 1.5),
            textcoords="offset points",
            fontsize=8.5,
            fontweight="bold",
            color=INK,
            path_effects=[withStroke(linewidth=2.2, foreground=PAPER)],
        )


def _finish(figure: Figure, axes: Axes, image: AxesImage, name: str) -> None:
    axes.set_title(name, fontsize=11.5, color=INK, loc="left")
    bar = figure.colorbar(image, ax=axes, orientation="horizontal", extend="both", aspect=38, pad=0.03)
    bar.set_label("mGal", color=MUTED, fontsize=9.5)
    bar.outline.set_linewidth(0.0)
    for one in (axes, bar.ax):
        one.tick_params(colors=MUTED, labelsize=9, length=3)
    for edge in axes.spines.values():
        edge.set_color("#b8c0ca")


def _label_degrees(axes: Axes, grid: xr.Dataset) -> None:
    """Tick a Mercator map at round degrees: each parallel and each meridian is a straight line."""
    for axis, degrees, metres, letters in (
        (axes.xaxis, grid["longitude"].values, grid["easting"].values, "EW"),
        (axes.yaxis, grid["latitude"].values, grid["northing"].values, "NS"),
    ):
        steady = np.unwrap(degrees, period=360.0)
        ticks = round_ticks(float(steady[0]), float(steady[-1]))
        axis.set_major_locator(FixedLocator(list(np.interp(ticks, steady, metres / 1e3))))
        texts = [degree_text(float(tick), letters) for tick in ticks]
        axis.set_major_formatter(FuncFormatter(lambda _, at, texts=texts: texts[at or 0]))
    axes.grid(color=INK, alpha=0.13, lw=0.6)


def round_ticks(first: float, last: float, most: int = 7) -> FloatArray:
    """Return round values within an interval: the finest that are at most so many."""
    steps = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0]
    for step in steps:
        numbers = np.arange(np.ceil(first / step), np.floor(last / step) + 1)
        if numbers.size <= most:
            return np.asarray(numbers * step)
    return np.array([])


def degree_text(value: float, letters: str) -> str:
    """Write degrees with the letter of the half of the Earth; `letters` are those of positive and negative."""
    value = (value + 180.0) % 360.0 - 180.0 if letters == "EW" else value
    number = f"{abs(round(value, 2)):g}°"
    return number if not round(value, 2) else number + letters[int(value < 0)]


def _draw_scale(axes: Axes, extent: tuple[float, float, float, float]) -> None:
    """Draw a bar about a fifth as long as the map is wide, in the lower left corner."""
    width, height = extent[1] - extent[0], extent[3] - extent[2]
    power = 10.0 ** np.floor(np.log10(width / 5.0))
    length = max(step for step in (1.0, 2.0, 5.0) if step * power <= width / 5.0) * power
    east, north = extent[0] + 0.04 * width, extent[2] + 0.045 * height
    halo = [withStroke(linewidth=4.0, foreground=PAPER)]
    axes.plot([east, east + length], [north, north], c=INK, lw=2.2, solid_capstyle="butt", path_effects=halo)
    axes.annotate(
        f"{length:g} km",
        (east + length / 2.0, north),
        xytext=(0, 4),
        textcoords="offset points",
        ha="center",
        fontsize=9,
        color=INK,
        path_effects=halo,
    )


def _caption(grid: xr.Dataset, n_stations: int, n_candidates: int) -> str:
    attrs = grid.attrs
    parts = [f"{n_stations:,} blocks of stations", f"grid {attrs.get('spacing_m', np.nan) / 1e3:g} km"]
    if "hold_out_random_r2" in attrs:
        parts.append(
            f"held-out random tenth R² {attrs['hold_out_random_r2']:.3f}, "
            f"RMSE {attrs['hold_out_random_rmse_mgal']:.2f} mGal"
        )
        parts.append(
            f"held-out blocks of {attrs['hold_out_block_size_m'] / 1e3:g} km "
            f"RMSE {attrs['hold_out_block_rmse_mgal']:.2f} mGal"
        )
    parts.append(f"{n_candidates} candidate{'s' if n_candidates != 1 else ''}")
    return "  ·  ".join(parts)
