"""WSClean as a subprocess: another imager for the same Measurement Set, where it is installed.

Promises that a failure carries what the program wrote. Never makes one image of several fields: WSClean grids each row
about the phase centre of its field, so a drift scan must be brought to one centre first.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

PROGRAM = "wsclean"
NAMED_GRIDDERS = (3, 4)  # the version from which on -gridder names the gridder


class WscleanError(RuntimeError):
    """WSClean is not there, failed, or took too long: the message has the end of what it wrote."""


@dataclass(frozen=True, slots=True)
class WscleanSettings:
    """Settings with the names of `image.make_image`; `cell` in radians."""

    size: int
    cell: float
    weighting: str = "briggs"
    robust: float = 0.5
    niter: int = 1000
    auto_mask: float = 5.0
    auto_threshold: float = 1.0
    gain: float = 0.1
    mgain: float = 0.8
    uv_min: float = 0.0


@dataclass(frozen=True, slots=True)
class WscleanImages:
    """Files that WSClean wrote: restored image, residual, model and PSF (None where it wrote none)."""

    restored: Path
    residual: Path | None
    model: Path | None
    psf: Path | None


def is_installed() -> bool:
    """Whether the program is found."""
    return shutil.which(PROGRAM) is not None


@cache
def version() -> tuple[int, int]:
    """Major and minor version.

    Raises
    ------
    WscleanError
        If it is not there, or does not say.
    """
    said = _run([PROGRAM, "-version"], 60.0)
    found = re.search(r"version (\d+)\.(\d+)", said)
    if found is None:
        raise WscleanError(f"wsclean -version: found {said[:200]!r}; expected a version")
    return int(found[1]), int(found[2])


def command(
    ms: Path, prefix: Path, settings: WscleanSettings, *, column: str, threads: int, release: tuple[int, int]
) -> list[str]:
    """The command line for a version of the program."""
    weight = ["briggs", f"{settings.robust:g}"] if settings.weighting == "briggs" else [settings.weighting]
    gridder = ["-gridder", "wgridder"] if release >= NAMED_GRIDDERS else ["-use-wgridder"]
    cleaning = [
        *("-niter", str(settings.niter), "-gain", f"{settings.gain:g}", "-mgain", f"{settings.mgain:g}"),
        *("-auto-mask", f"{settings.auto_mask:g}", "-auto-threshold", f"{settings.auto_threshold:g}"),
    ]
    return [
        PROGRAM,
        "-no-update-model-required",
        *("-j", str(threads), *gridder),
        *("-size", str(settings.size), str(settings.size)),
        *("-scale", f"{np.degrees(settings.cell) * 3600.0:.10g}asec"),
        *("-weight", *weight, "-pol", "I", "-data-column", column),
        *(["-minuv-l", f"{settings.uv_min:g}"] if settings.uv_min else []),
        *(cleaning if settings.niter else ["-make-psf"]),
        *("-name", str(prefix), str(ms)),
    ]


def run(
    ms: Path,
    prefix: Path,
    settings: WscleanSettings,
    *,
    column: str = "CORRECTED_DATA",
    threads: int = 2,
    timeout: float = 1800.0,
    extra: Sequence[str] = (),
) -> WscleanImages:
    """Image a Measurement Set of one field.

    Parameters
    ----------
    prefix
        Path and beginning of the names of the files.
    timeout
        Seconds.
    extra
        Further arguments of the program, before the Measurement Set.

    Raises
    ------
    WscleanError
        If it is not there, fails, takes too long, or writes no image.
    """
    whole = command(ms, prefix, settings, column=column, threads=threads, release=version())
    said = _run([*whole[:-3], *extra, *whole[-3:]], timeout)

    def there(kind: str) -> Path | None:
        path = prefix.with_name(f"{prefix.name}-{kind}.fits")
        return path if path.is_file() else None

    restored = there("image")
    if restored is None:
        raise WscleanError(
            f"wsclean {ms.name}: found no image {prefix.name}-image.fits; it wrote: {said[-2000:]}"
        )
    return WscleanImages(restored, there("residual"), there("model"), there("psf"))


def _run(arguments: Sequence[str], timeout: float) -> str:
    try:
        done = subprocess.run(
            arguments,
            env={
                **os.environ,
                "OPENBLAS_NUM_THREADS": "1",
            },  # linked to a threaded BLAS it refuses to work else
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        raise WscleanError(f"{arguments[0]}: not installed; expected it on the path") from None
    except subprocess.TimeoutExpired:
        raise WscleanError(f"{arguments[0]}: not done after {timeout:g} s; expected less") from None
    if done.returncode:
        raise WscleanError(
            f"{arguments[0]}: ended with {done.returncode}: {(done.stderr or done.stdout)[-2000:]}"
        )
    return done.stdout
