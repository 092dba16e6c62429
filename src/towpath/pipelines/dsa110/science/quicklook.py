"""Draws mosaics, tiles and comparisons as PNG: with coordinates, units, beam and sources.

Equal inputs give equal bytes under one version of matplotlib. It draws on a canvas of its own and touches no global
state. Large images are reduced first: by the mean of blocks, so noise looks smoother than it is.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.visualization.wcsaxes import WCSAxes
from astropy.wcs import WCS
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Ellipse

from .quality import robust_rms

INK, MUTED, LAND, PAPER = "#1d2733", "#5b6776", "#e9ebee", "#ffffff"
MATCHED, ALONE, MISSED = "#f5a623", "#2fb1ee", "#5fd068"
DPI = 120
MOST = 1400  # pixels along a side of what is drawn

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _Mark:
    """Places in degrees that are marked alike: their name in the legend, the marker's shape and colour."""

    name: str
    shape: str
    colour: str
    ra: Floats
    dec: Floats


def reduced(image: npt.NDArray[Any], wcs: WCS, most: int = MOST) -> tuple[npt.NDArray[np.float32], WCS, int]:
    """An image of at most `most` pixels along a side by means of blocks, its WCS, and the side of a block."""
    step = max(1, math.ceil(max(image.shape) / most))
    height, width = (length // step for length in image.shape)
    cut = np.asarray(image[: height * step, : width * step], np.float32)
    if step == 1:
        return cut, wcs, 1
    blocks = cut.reshape(height, step, width, step)
    small: npt.NDArray[np.float32] = np.zeros((height, width), np.float32)
    for k in range(step):
        for m in range(step):
            small += blocks[:, k, :, m]
    small /= np.float32(step * step)
    where = wcs.deepcopy()
    where.wcs.crpix = (np.asarray(wcs.wcs.crpix) - 0.5) / step + 0.5
    if where.wcs.has_cd():
        where.wcs.cd = np.asarray(wcs.wcs.cd) * step
    else:
        where.wcs.cdelt = np.asarray(wcs.wcs.cdelt) * step
    where.wcs.set()
    return small, where, step


def draw_mosaic(
    path: Path | str,
    image: npt.NDArray[Any],
    wcs: WCS,
    beam: tuple[float, float, float],
    *,
    ra: npt.ArrayLike = (),
    dec: npt.ArrayLike = (),
    matched: npt.ArrayLike | None = None,
    missed: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    title: str = "Mosaic",
    caption: str = "",
) -> None:
    """Write the picture of a mosaic with its sources: amber rings where matched with the catalogue, blue squares where not.

    Parameters
    ----------
    image : (y, x) array
        Jy/beam.
    beam
        FWHM along the axes and position angle in degrees.
    ra, dec : (n,) array
        Sources in degrees.
    matched : (n,) array of bool
        Which of them are in the reference catalogue; without it all have rings, and the legend counts them.
    missed : two (n,) arrays
        Right ascension and declination in degrees of catalogued sources that were to be seen and are not: green crosses.
    """
    small, where, _ = reduced(image, wcs)
    aspect = small.shape[0] / small.shape[1]
    width = 12.0 if aspect < 0.8 else 9.0
    figure = _figure((width, float(np.clip(width * 0.86 * aspect, 2.2, 14.0)) + 1.9))
    axes = figure.add_subplot(projection=where)
    _show(figure, axes, small, _limits(small), "mJy/beam", 1e3)
    _mark(figure, axes, where, _marks(np.asarray(ra, float), np.asarray(dec, float), matched, missed))
    _draw_beam(axes, where, beam, small.shape)
    _finish(figure, title, caption)
    _save(figure, path)


def draw_tile(
    path: Path | str,
    restored: npt.NDArray[Any],
    residual: npt.NDArray[Any],
    wcs: WCS,
    beam: tuple[float, float, float],
    *,
    title: str = "Tile",
    caption: str = "",
) -> None:
    """Write the restored image and the residual of a tile side by side, on one scale (Jy/beam)."""
    figure = _figure((14.0, 7.4))
    limits = _limits(reduced(restored, wcs, 800)[0])
    for number, (image, name) in enumerate(((restored, "restored"), (residual, "residual")), start=1):
        small, where, _ = reduced(image, wcs, 800)
        axes = figure.add_subplot(1, 2, number, projection=where)
        _show(figure, axes, small, limits, "mJy/beam", 1e3)
        axes.set_title(name, fontsize=11.5, color=INK, loc="left")
        _draw_beam(axes, where, beam, small.shape)
    _finish(figure, title, caption)
    _save(figure, path)


def draw_residual_histogram(
    path: Path | str, residual: npt.NDArray[Any], *, rms: float | None = None, title: str = "Residual"
) -> None:
    """Write the histogram of a residual (Jy/beam) with the Gaussian of its noise, pixels on a logarithmic axis."""
    sigma = robust_rms(residual) if rms is None else rms
    values = np.asarray(residual)[np.isfinite(residual)] / sigma
    figure = _figure((7.2, 4.8))
    axes = figure.add_subplot()
    edge = float(np.clip(np.abs(values).max() if values.size else 6.0, 6.0, 12.0))
    edges = np.linspace(-edge, edge, 121)
    counts, _ = np.histogram(np.clip(values, -edge, edge), edges)
    middle = (edges[1:] + edges[:-1]) / 2.0
    normal = np.exp(-0.5 * middle**2) / math.sqrt(2.0 * math.pi) * values.size * (edges[1] - edges[0])
    axes.stairs(counts, edges, fill=True, color="#9fb6cc", label="pixels")
    axes.plot(middle, normal, color="#c0392b", lw=1.6, label=f"Gaussian, σ = {sigma * 1e3:.3g} mJy/beam")
    axes.set_yscale("log")
    axes.set_ylim(0.6, max(10.0, 8.0 * float(counts.max(initial=1))))
    axes.set_xlabel("residual / σ", color=MUTED)
    axes.set_ylabel("pixels", color=MUTED)
    axes.legend(frameon=False, fontsize=9, loc="upper right")
    _plain(axes)
    _finish(figure, title, "")
    _save(figure, path)


def draw_flux_ratios(
    path: Path | str,
    reference: Floats,
    ratio: Floats,
    *,
    median: float,
    limits: tuple[float, float] = (0.8, 1.2),
    title: str = "Flux scale",
) -> None:
    """Write flux ratios against the flux density in the catalogue (Jy), the median, and the range allowed."""
    figure = _figure((7.2, 4.8))
    axes = figure.add_subplot()
    axes.axhspan(*limits, color="#dfeee0", lw=0, label=f"allowed, {limits[0]:g} to {limits[1]:g}")
    axes.axhline(1.0, color=MUTED, lw=0.8)
    if math.isfinite(median):
        axes.axhline(median, color="#c0392b", lw=1.4, ls="--", label=f"median {median:.3f}")
    axes.scatter(np.asarray(reference) * 1e3, ratio, s=16, color=INK, alpha=0.75, linewidths=0)
    if len(reference):
        axes.set_xscale("log")
    most = float(np.nanmax(ratio)) if len(ratio) else 1.0
    axes.set_ylim(0.0, float(np.clip(1.25 * most, 1.6, 3.0)))
    axes.set_xlabel("flux density in the catalogue (mJy)", color=MUTED)
    axes.set_ylabel("flux density over catalogue", color=MUTED)
    axes.legend(frameon=False, fontsize=9, loc="lower right", ncols=2)
    _plain(axes)
    _finish(figure, title, f"{len(ratio)} matched sources")
    _save(figure, path)


def draw_offsets(
    path: Path | str,
    east: Floats,
    north: Floats,
    *,
    radius: float,
    beam: tuple[float, float, float] | None = None,
    title: str = "Astrometry",
) -> None:
    """Write offsets from the catalogue in arcsec, the radius of the match, their median, and half the beam's minor axis."""
    figure = _figure((6.2, 6.2))
    axes = figure.add_subplot()
    turn = np.linspace(0.0, 2.0 * np.pi, 181)
    axes.axhline(0.0, color="#c9d0d8", lw=0.8)
    axes.axvline(0.0, color="#c9d0d8", lw=0.8)
    axes.plot(radius * np.cos(turn), radius * np.sin(turn), color=MUTED, lw=1.0, label=f'match, {radius:g}"')
    if beam is not None and beam[1] * 1800.0 < 1.1 * radius:
        half = beam[1] * 1800.0
        axes.plot(
            half * np.cos(turn), half * np.sin(turn), color=ALONE, lw=1.0, label=f'beam / 2, {half:.1f}"'
        )
    axes.scatter(east, north, s=16, color=INK, alpha=0.75, linewidths=0)
    if len(east):
        middle = float(np.median(east)), float(np.median(north))
        name = f'median {middle[0]:+.2f}", {middle[1]:+.2f}"'
        axes.plot(*middle, "+", color="#c0392b", ms=14, mew=2.0, ls="none", label=name)
    reach = 1.1 * radius
    axes.set_xlim(reach, -reach)
    axes.set_ylim(-reach, reach)
    axes.set_aspect("equal")
    axes.set_xlabel("offset to the east (arcsec)", color=MUTED)
    axes.set_ylabel("offset to the north (arcsec)", color=MUTED)
    figure.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=3)
    _plain(axes)
    _finish(figure, title, "")
    _save(figure, path)


def _figure(size: tuple[float, float]) -> Figure:
    figure = Figure(
        figsize=size, dpi=DPI, facecolor=PAPER, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
    )
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path | str) -> None:
    figure.savefig(path, format="png", metadata={"Software": None})


def _limits(image: npt.NDArray[Any]) -> tuple[float, float]:
    """Dark below the noise, light at 15 σ: faint sources show and bright ones saturate."""
    sigma = robust_rms(image)
    if not (math.isfinite(sigma) and sigma > 0.0):
        return -1.0, 1.0
    return -3.0 * sigma, 15.0 * sigma


def _show(
    figure: Figure, axes: Any, image: npt.NDArray[Any], limits: tuple[float, float], unit: str, factor: float
) -> None:
    shown = axes.imshow(
        image * factor,
        origin="lower",
        cmap="inferno",
        vmin=limits[0] * factor,
        vmax=limits[1] * factor,
        interpolation="nearest",
    )
    axes.set_autoscale_on(False)  # a source outside leaves the image as large as it is
    axes.set_facecolor(LAND)
    axes.coords.grid(color="white", alpha=0.28, linestyle="-", linewidth=0.6)
    for coordinate, name in zip(axes.coords, ("Right ascension (ICRS)", "Declination (ICRS)"), strict=True):
        coordinate.set_axislabel(name, fontsize=9.5, color=MUTED)
        coordinate.set_ticklabel(size=9, color=MUTED, exclude_overlapping=True)
    axes.coords[0].set_ticklabel_position("b")
    axes.coords[0].set_axislabel_position("b")
    axes.coords[1].set_ticklabel_position("l")
    axes.coords[1].set_axislabel_position("l")
    axes.coords[0].set_major_formatter("hh:mm")
    axes.coords[1].set_major_formatter("dd:mm")
    wide = image.shape[1] > 1.25 * image.shape[0]
    bar = figure.colorbar(
        shown,
        ax=axes,
        orientation="horizontal" if wide else "vertical",
        extend="both",
        aspect=45,
        pad=0.03,
        shrink=0.7,
    )
    bar.set_label(unit, color=MUTED, fontsize=9.5)
    bar.outline.set_linewidth(0.0)
    bar.ax.tick_params(colors=MUTED, labelsize=9, length=3)


def _marks(
    ra: Floats,
    dec: Floats,
    matched: npt.ArrayLike | None,
    missed: tuple[npt.ArrayLike, npt.ArrayLike] | None,
) -> list[_Mark]:
    """What is marked: first what was found, then what was not."""
    if matched is None:
        found = [_Mark("source", "o", ALONE, ra, dec)]
    else:
        known = np.asarray(matched, bool)
        found = [
            _Mark("in the catalogue", "o", MATCHED, ra[known], dec[known]),
            _Mark("not in the catalogue", "s", ALONE, ra[~known], dec[~known]),
        ]
    if missed is not None:
        found.append(_Mark("missed", "x", MISSED, *(np.asarray(one, float) for one in missed)))
    return found


def _mark(figure: Figure, axes: WCSAxes, wcs: WCS, marks: list[_Mark]) -> None:
    """Draw marks, and a legend that counts each kind."""
    total = sum(len(mark.ra) for mark in marks)
    if total == 0:
        return
    size = float(np.clip(9_000.0 / total, 14.0, 110.0))
    for mark in marks:
        if len(mark.ra):
            x, y = wcs.wcs_world2pix(mark.ra, mark.dec, 0)
            colours = (
                {"color": mark.colour}
                if mark.shape == "x"
                else {"facecolors": "none", "edgecolors": mark.colour}
            )
            axes.scatter(
                x,
                y,
                s=size,
                marker=mark.shape,
                linewidths=1.3,
                label=f"{mark.name} ({len(mark.ra)})",
                **colours,
            )
    figure.legend(loc="outside upper right", fontsize=9, frameon=False, ncols=3, labelcolor=INK)


def _draw_beam(axes: WCSAxes, wcs: WCS, beam: tuple[float, float, float], shape: tuple[int, ...]) -> None:
    """The beam to scale in the lower left corner, on a patch of its own."""
    cell = float(math.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix))))
    major, minor = max(beam[0] / cell, 2.0), max(beam[1] / cell, 1.5)
    side = max(2.0 * major, 0.03 * max(shape))
    patch = axes.inset_axes((0.0, 0.0, side / shape[1], side / shape[0]))
    patch.set_xlim(-side / 2, side / 2)
    patch.set_ylim(-side / 2, side / 2)
    patch.set_xticks([])
    patch.set_yticks([])
    patch.set_facecolor(PAPER)
    patch.add_patch(
        Ellipse((0.0, 0.0), major, minor, angle=90.0 + beam[2], facecolor=INK, edgecolor=INK, linewidth=0.5)
    )


def _plain(axes: Axes) -> None:
    axes.tick_params(colors=MUTED, labelsize=9, length=3)
    for edge in axes.spines.values():
        edge.set_color("#b8c0ca")


def _finish(figure: Figure, title: str, caption: str) -> None:
    figure.suptitle(title, fontsize=14, fontweight="bold", color=INK, x=0.012, ha="left")
    if caption:
        figure.supxlabel(caption, fontsize=9.5, color=MUTED, x=0.012, ha="left")
