"""Pictures: those that are one, FITS images with their sky, slices of HDF5 and Zarr with the tree that they stand in.

Reads one slice, thinned to what a screen shows. Never follows what points out of a file. Runs only in the process of
`preview_maker`; what it needs is loaded when it is needed.
"""

import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from towpath.api.preview_tables import NoPreview, table

_SHOWN = 2_000_000  # bytes of a picture that is shown as it is
_WIDEST = 1600  # pixels on a side
_PIXELS, _LARGEST = (
    16_000_000,
    200_000_000,
)  # of a picture that is shown as it is, and of one that is scaled down
_PLANE = 16_384  # values on a side of a slice that are looked at
_LINES = 40  # of a tree
_NUMBERS = "biufc"


def picture(place: Path, out: Path) -> None:
    """A PNG or JPEG as it is, scaled down where it is huge, in bytes or in pixels."""
    is_small = place.stat().st_size <= _SHOWN
    try:
        from PIL import Image  # optional
    except ModuleNotFoundError:
        if not is_small:
            raise
        shutil.copyfile(place, out)
        return
    Image.MAX_IMAGE_PIXELS = _LARGEST
    with Image.open(place, formats=("PNG", "JPEG")) as opened:
        if is_small and opened.width * opened.height <= _PIXELS:
            shutil.copyfile(place, out)
            return
        opened.draft("RGB", (_WIDEST, _WIDEST))
        opened.thumbnail((_WIDEST, _WIDEST))
        opened.save(out, "JPEG" if opened.format == "JPEG" else "PNG")


# ---- FITS
def fits(place: Path, out: Path) -> None:
    """The first image of a FITS file with its grid on the sky; the head of its first table if it has none."""
    from astropy.io import fits as files  # optional, and slow to load

    warnings.simplefilter("ignore")  # of headers that are not quite as they should be
    with files.open(place, memmap=True) as opened:
        for unit in opened:
            shape = unit.shape if unit.is_image else ()
            if len(shape) >= 2 and min(shape) > 0:
                _fits_image(unit, shape, out)
                return
        for unit in opened:
            if isinstance(unit, files.BinTableHDU | files.TableHDU):
                names = [f"{one.name} [{one.unit}]" if one.unit else one.name for one in unit.columns]
                table(out, names, (tuple(row) for row in unit.data), len(unit.data))
                return
    raise NoPreview("this FITS file has no image with two axes, and no table")


def _fits_image(unit: Any, shape: tuple[int, ...], out: Path) -> None:
    from astropy.wcs import WCS  # optional: an extra

    steps = _steps(shape[-2:])
    lead = tuple(0 for _ in shape[:-2])
    height, width = min(shape[-2], _PLANE), min(shape[-1], _PLANE)
    plane = unit.section[(*lead, slice(0, height), slice(0, width))][:: steps[0], :: steps[1]]
    try:
        sky = WCS(unit.header).celestial
        sky = sky[:: steps[0], :: steps[1]] if sky.naxis == 2 else None
    except Exception:  # noqa: BLE001  a header that is wrong: then there is no grid
        sky = None
    title = " ".join(str(unit.header.get(name, "")) for name in ("OBJECT", "EXTNAME")).strip()
    told = f"{title or 'image'}   {' × '.join(map(str, shape))}"
    draw(plane, out, told, unit=str(unit.header.get("BUNIT", "")), sky=sky)


# ---- HDF5 and Zarr
@dataclass(frozen=True, slots=True)
class _Array:
    name: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...] | None
    dtype: Any
    read: Callable[[tuple[Any, ...]], Any]
    unit: str = ""

    @property
    def size(self) -> int:
        size = 1
        for one in self.shape:
            size *= one
        return size

    def line(self) -> str:
        chunks = f"  chunks {' × '.join(map(str, self.chunks))}" if self.chunks else ""
        return f"{self.name}  {' × '.join(map(str, self.shape)) or 'scalar'}  {self.dtype}{chunks}"


def hdf5(place: Path, out: Path) -> None:
    """The largest array of an HDF5 file."""
    import h5py  # optional

    with h5py.File(place, "r") as opened:
        _largest(list(_hdf5_arrays(h5py, opened)), out)


def _hdf5_arrays(h5py: Any, opened: Any) -> Iterator[_Array]:
    """The datasets that lie in the file itself, wherever links and virtual datasets point."""
    todo: list[Any] = [opened]
    seen: set[Any] = set()
    while todo and len(seen) < 10_000:
        group = todo.pop(0)
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                continue
            one = group[name]
            key = h5py.h5o.get_info(one.id).addr
            if key in seen:
                continue
            seen.add(key)
            if isinstance(one, h5py.Group):
                todo.append(one)
            elif (
                isinstance(one, h5py.Dataset)
                and one.shape is not None
                and not (one.is_virtual or one.external)
            ):
                unit = one.attrs.get("units", "") if one.attrs.get("units") is not None else ""
                yield _Array(one.name, one.shape, one.chunks, one.dtype, one.__getitem__, _text(unit))


def zarr(place: Path, out: Path) -> None:
    """The largest array of a Zarr tree."""
    import zarr as library  # optional, and slow to load

    opened = library.open(place, mode="r")
    if isinstance(opened, library.Array):
        arrays = [_of_zarr("/", opened)]
    else:
        arrays = [
            _of_zarr(name, one) for name, one in opened.members(max_depth=6) if isinstance(one, library.Array)
        ]
    _largest(arrays, out)


def _of_zarr(name: str, one: Any) -> _Array:
    unit = _text(one.attrs.get("units", ""))
    return _Array(name, one.shape, one.chunks, one.dtype, one.__getitem__, unit)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)[:40]


def _largest(arrays: list[_Array], out: Path) -> None:
    arrays = sorted(arrays, key=lambda one: one.name)
    tree = "\n".join(one.line() for one in arrays[:_LINES])
    tree += f"\n… and {len(arrays) - _LINES} more" if len(arrays) > _LINES else ""
    able = [
        one
        for one in arrays
        if one.dtype.kind in _NUMBERS and sum(n > 1 for n in one.shape) >= 2 and one.size
    ]
    if not able:
        if not arrays:
            raise NoPreview("there is no array in it")
        out.write_text(json.dumps({"text": tree, "is_cut": len(arrays) > _LINES}), encoding="utf-8")
        return
    one = min(able, key=lambda each: (-each.size, each.name))
    axes = _axes(one.shape)
    steps = _steps((one.shape[axes[0]], one.shape[axes[1]]))
    index: list[Any] = [0] * len(one.shape)
    for axis, step in zip(axes, steps, strict=True):
        index[axis] = slice(0, min(one.shape[axis], _PLANE), step)
    told = ", ".join(":" if n in axes else "0" for n in range(len(one.shape)))
    draw(one.read(tuple(index)), out, f"{one.line()}   [{told}]", unit=one.unit, tree=tree)


def _axes(shape: tuple[int, ...]) -> tuple[int, int]:
    """The two axes that are shown: the last two that are worth it, else the longest."""
    long = [n for n, size in enumerate(shape) if size > 8]
    if len(long) < 2:
        long = sorted(sorted(range(len(shape)), key=lambda n: -shape[n])[:2])
    return long[-2], long[-1]


def _steps(shape: tuple[int, ...]) -> tuple[int, int]:
    """By how much each axis is thinned."""
    height, width = (max(1, -(-min(size, _PLANE) // _WIDEST)) for size in shape)
    return height, width


# ---- drawing
def draw(plane: Any, out: Path, title: str, *, unit: str = "", sky: Any = None, tree: str = "") -> None:
    """A slice as a picture with its colour bar: on the sky where that is known, beside its tree where there is one."""
    import numpy as np  # optional: an extra

    shown = np.asarray(plane)
    shown = np.abs(shown) if shown.dtype.kind == "c" else shown
    shown = shown.astype(np.float32)
    finite = shown[np.isfinite(shown)]
    if not finite.size:
        raise NoPreview(f"{title}: there is no finite value in the slice that would be shown")
    low, high = (float(one) for one in np.percentile(finite, (0.5, 99.5)))
    if low == high:
        low, high = float(finite.min()), float(finite.max())
    _plot(shown, out, title, (low, high), unit, sky, tree)


def _plot(
    shown: Any, out: Path, title: str, limits: tuple[float, float], unit: str, sky: Any, tree: str
) -> None:
    import matplotlib as mpl  # optional, and slow to load

    mpl.use("agg")
    from matplotlib.figure import Figure  # optional: an extra

    ratio = shown.shape[0] / shown.shape[1]
    is_square = 0.2 < ratio < 5
    height = min(max(6 * ratio, 3.0), 8.0) + 0.8 if is_square else 5.5
    figure = Figure(figsize=(12.5 if tree else 7.5, height), dpi=110, layout="constrained")
    cells = figure.add_gridspec(1, 2, width_ratios=(7, 5)) if tree else figure.add_gridspec(1, 1)
    axes = figure.add_subplot(cells[0], **({} if sky is None else {"projection": sky}))
    drawn = axes.imshow(
        shown, origin="lower", cmap="viridis", vmin=limits[0], vmax=limits[1], interpolation="auto",
        aspect="equal" if is_square else "auto",
    )  # fmt: skip
    axes.set_title(title[:90], fontsize=9, parse_math=False)
    if sky is not None:
        axes.coords.grid(color="white", alpha=0.3, linewidth=0.6)
        for number in (0, 1):
            axes.coords[number].set_axislabel(_axis(sky.wcs.ctype[number]))
    bar = figure.colorbar(drawn, ax=axes, fraction=0.05, pad=0.02)
    if unit:
        bar.set_label(unit, parse_math=False)
    if tree:
        beside = figure.add_subplot(cells[1])
        beside.axis("off")
        wrapped = "\n".join(line[:66] for line in tree.splitlines())
        beside.text(0, 1, wrapped, family="monospace", fontsize=7, va="top", parse_math=False, clip_on=True)
    figure.savefig(out, format="png")


def _axis(ctype: str) -> str:
    """An axis of the sky in words."""
    name = ctype.partition("-")[0]
    return {"RA": "right ascension", "DEC": "declination", "GLON": "l", "GLAT": "b"}.get(name, name)
