"""A full-size observation of the radio pipeline, step by step: seconds, memory and peers, from one run on one machine.

Simulates one observation (96 stations, 16 × 48 channels, 24 integrations, two polarisations), and does with it what the
stages of `dsa110` do, each step in a process of its own, so that its memory is its own; then the whole observation by a real
site of two workers, a mosaic of ten copies of its image that are as far apart as ten observations are, and ten
observations by a site up to the published mosaic (40 GB on disk). What is
compared with a peer is done on equal work, and left out where the peer is not installed (CASA: where TOWPATH_CASA names
no Python that has casatasks and casadata). Everything is compiled on a small
observation first, which is not in the figures.

    python benchmarks/dsa110.py [--small] [--folder DIR] [--only STEP,STEP]
"""

import argparse
import importlib.util
import json
import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

Found = dict[str, Any]
TILES = 10  # images of a mosaic
APART = 309.24 / 3600.0 * 15.0411  # degrees of right ascension between them
NEEDED = 8e9  # bytes of memory that pyuvdata must find free
SWARP = {
    "-IMAGEOUT_NAME": "out.fits",
    "-WEIGHTOUT_NAME": "out.weight.fits",
    "-WEIGHT_TYPE": "MAP_WEIGHT",
    "-RESCALE_WEIGHTS": "N",
    "-COMBINE_TYPE": "WEIGHTED",
    "-RESAMPLING_TYPE": "BILINEAR",
    "-SUBTRACT_BACK": "N",
    "-FSCALASTRO_TYPE": "NONE",
    "-WRITE_XML": "N",
    "-NTHREADS": "2",
}
SITE = """\
[site]
name = "benchmark"
workers = 2
[pipelines.dsa110.override.items.observation.stages.convert]
params = {{ instrument = "{instrument}" }}
[pipelines.dsa110.override.items.observation.stages.image]
params = {{ instrument = "{instrument}", size = {size}, cell = {cell} }}
"""
GROUP_OF_ONE = """\
[pipelines.dsa110.override.items.calibration.group]
size = 1
"""


@dataclass(frozen=True, slots=True)
class Work:
    """Where the files are, and how wide the image is."""

    folder: Path
    is_small: bool

    @property
    def instrument(self) -> str:
        """The profile that is simulated."""
        return str(self.folder / "instrument.toml")

    @property
    def raw(self) -> Path:
        """The converted set."""
        return self.folder / "raw.ms"

    @property
    def modelled(self) -> Path:
        """A copy of the set with flags and a model."""
        return self.folder / "modelled.ms"

    @property
    def calibrated(self) -> Path:
        """The calibrated set."""
        return self.folder / "calibrated.ms"

    @property
    def files(self) -> list[Path]:
        """The subbands."""
        return sorted((self.folder / "in").glob("*.hdf5"))

    @property
    def image(self) -> tuple[int, float]:
        """Pixels along a side, and arcsec of each."""
        return (1200, 5.0) if self.is_small else (4800, 3.0)


# ---- the steps, each in a process of its own


def simulate(work: Work) -> Found:
    """Write the subbands."""
    from towpath.pipelines.dsa110.simulate import preset, simulate, write_profile

    chosen = replace(preset("small" if work.is_small else "full"), tiles=1, calibrator_tile=0)
    begun = time.perf_counter()
    made = simulate(work.folder / "in", settings=chosen, truth=work.folder / "truth")
    write_profile(work.folder / "instrument.toml", made.profile)
    return {"seconds": time.perf_counter() - begun, "bytes": sum(one.stat().st_size for one in work.files)}


def convert(work: Work) -> Found:
    """Subbands to a Measurement Set."""
    from towpath.pipelines.dsa110.science.convert import convert
    from towpath.pipelines.dsa110.science.instrument import load_profile

    profile = load_profile(work.instrument)
    begun = time.perf_counter()
    made = convert(work.files, work.raw, profile, threads=2)
    return {"seconds": time.perf_counter() - begun, "bytes": made.bytes}


def pyuvdata(work: Work) -> Found:
    """The same by pyuvdata."""
    from pyuvdata import UVData

    begun = time.perf_counter()
    parts = []
    for path in work.files[::-1]:
        part = UVData()
        part.read(path, file_type="uvh5", run_check=False, fix_autos=False)
        part.uvw_array = part.uvw_array.astype(float)  # single in the files, which its checks refuse
        parts.append(part)
    data = parts[0].fast_concat(parts[1:], axis="freq", run_check=False)
    read = time.perf_counter() - begun
    data.write_ms(str(work.folder / "pyuvdata.ms"), run_check=False, clobber=True)
    seconds = time.perf_counter() - begun
    shutil.rmtree(work.folder / "pyuvdata.ms")
    return {"seconds": seconds, "read": read}


def solve(work: Work) -> Found:
    """Bandpass, gains and gains of short intervals, as the two stages solve them."""
    from towpath.pipelines.dsa110.science import ladder

    begun = time.perf_counter()
    limits = ladder.Limits(math.radians(3.0), 0.5, 1.0, 30.0 * 86400.0, 0)
    group = ladder.group_of([(work.raw, "one")], work.instrument, calibrators=None, reference=None)
    choice = ladder.choose(group.members, None, limits)
    ladder.solve_bandpass(group, choice, work.folder / "bandpass", min_snr=5.0, pre_phase=60.0, uv_min=0.0)
    first = time.perf_counter() - begun
    ladder.solve_gains(work.folder / "bandpass", work.folder / "solutions", min_snr=3.0, short=60.0)
    return {"seconds": time.perf_counter() - begun, "bandpass": first, "on": choice.source}


def equal(work: Work) -> Found:
    """What CASA does: solve in that order from data of one field that are flagged, and their model, all on the disk."""
    import numpy as np

    from towpath.pipelines.dsa110.science.calibrators import sky_of
    from towpath.pipelines.dsa110.science.flagging import FlagSettings
    from towpath.pipelines.dsa110.science.ladder import Limits, choose, group_of
    from towpath.pipelines.dsa110.science.measurement_set import opened, read_visibilities, tiled
    from towpath.pipelines.dsa110.science.phasing import phase_set
    from towpath.pipelines.dsa110.science.solve import solve_bandpass, solve_sums, sum_for_gains
    from towpath.pipelines.dsa110.science.solving import look, prepare

    group = group_of([(work.raw, "one")], work.instrument, calibrators=None, reference=None)
    observed = group.observed[0]
    name = choose(group.members, None, Limits()).source
    calibrator = sky_of(next(one for one in group.table if one.name == name), observed.frequency)
    phase_set(work.raw, work.modelled, column="DATA")  # of many fields CASA would not come to an end
    prepared = prepare(look(work.modelled, "one"), [calibrator], group.beam, FlagSettings())
    with opened(work.modelled, write=True) as main:
        main.addcols(*tiled("MODEL_DATA", prepared.visibilities.data.shape[1:]))
        for low in range(0, main.nrows(), 4096):
            rows = slice(low, low + 4096)
            flags = prepared.visibilities.flags[rows]
            main.putcol("FLAG", flags, low, len(flags))
            main.putcol("MODEL_DATA", np.repeat(prepared.model[rows], flags.shape[2], 2), low, len(flags))
    del prepared
    begun = time.perf_counter()
    vis = read_visibilities(work.modelled)
    model = read_visibilities(work.modelled, column="MODEL_DATA").data
    read = time.perf_counter() - begun
    bandpass = solve_bandpass(vis, model, pre_phase=60.0)
    sums = sum_for_gains(vis, model, bandpass=bandpass)
    gains = solve_sums(sums, reference=bandpass.reference)
    short = solve_sums(sums.through(gains), interval=60.0, reference=bandpass.reference)
    seconds = time.perf_counter() - begun
    np.savez(
        work.folder / "gains.npz",
        gains=bandpass.gains[0] * gains.gains[0],
        flags=bandpass.flags[0] | gains.flags[0],
        reference=bandpass.stations[bandpass.reference],
    )
    return {"seconds": seconds, "reading": read, "intervals": len(short.time)}


CASA = """
import json, sys, time
from casatasks import bandpass, gaincal
ms, reference = sys.argv[1:]
shared = {"vis": ms, "refant": reference, "parang": False}
begun = time.perf_counter()
gaincal(caltable="phases.G", solint="60s", calmode="p", minsnr=3.0, gaintype="G", **shared)
phases = time.perf_counter() - begun
bandpass(caltable="band.B", solint="inf", minsnr=5.0, minblperant=4, fillgaps=3,
    gaintable=["phases.G"], interp=["nearest"], **shared)
band = time.perf_counter() - begun - phases
gaincal(caltable="gains.G", solint="inf", calmode="ap", minsnr=3.0, gaintype="G",
    gaintable=["band.B"], **shared)
gaincal(caltable="short.G", solint="60s", calmode="ap", minsnr=3.0, gaintype="G",
    gaintable=["band.B", "gains.G"], **shared)
seconds = time.perf_counter() - begun
print(json.dumps({"seconds": seconds, "phases": phases, "bandpass": band, "gains": seconds - phases - band}))
"""
CONFIG = """
import casadata
datapath = [casadata.datapath]
measurespath = rundata = casadata.datapath
measures_auto_update = data_auto_update = False
"""


def casa(work: Work) -> Found:
    """The same by CASA: phases of a minute, bandpass, gains, gains of a minute; and how far its gains are from ours."""
    import numpy as np

    home = work.folder / "casa"
    (home / ".casa").mkdir(parents=True)
    (home / ".casa" / "config.py").write_text(CONFIG)
    with np.load(work.folder / "gains.npz") as file:
        reference, gains, flags = str(file["reference"]), file["gains"], file["flags"]
    done = subprocess.run(
        [os.environ["TOWPATH_CASA"], "-c", CASA, str(work.modelled), reference],
        cwd=home, env={**os.environ, "HOME": str(home)}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    shutil.rmtree(work.modelled)
    theirs, unsolved = _casa_gains(home / "band.B", home / "gains.G")
    shutil.rmtree(home)
    good = ~flags & ~unsolved
    ratio = np.where(good, gains / np.where(good, theirs, 1.0), 0.0)
    turn = ratio.sum(axis=0) / np.maximum(np.abs(ratio.sum(axis=0)), 1e-9)  # of channel and receptor: free
    apart = np.abs(ratio * np.conj(turn) - 1.0)[good]
    return {
        **json.loads(done.stdout.splitlines()[-1]),
        "memory": _memory_of_children(),
        "apart": float(np.median(apart)),
        "compared": float(good.mean()),
    }


def _casa_gains(band: Path, gains: Path) -> tuple[Any, Any]:
    """Bandpass times gains, and where one is flagged: (station, channel, receptor)."""
    from towpath.pipelines.dsa110.science.measurement_set import opened

    found = []
    for path in (band, gains):
        with opened(path) as table:
            order = table.getcol("ANTENNA1").argsort(kind="stable")
            found.append((table.getcol("CPARAM")[order], table.getcol("FLAG")[order]))
    return found[0][0] * found[1][0], found[0][1] | found[1][1]


def calibrate(work: Work) -> Found:
    """Flag, divide, write."""
    from towpath.pipelines.dsa110.science.calibrate import calibrate_set
    from towpath.pipelines.dsa110.science.calibration_set import read_set
    from towpath.pipelines.dsa110.science.flagging import FlagSettings
    from towpath.pipelines.dsa110.science.solving import mjd_seconds

    begun = time.perf_counter()
    laps: list[tuple[float, str]] = []
    found = read_set(work.folder / "solutions")
    done = calibrate_set(
        work.raw,
        work.calibrated,
        found,
        flags=FlagSettings(),
        solved=mjd_seconds(found.calibrated.solved),
        threads=2,
        progress=lambda share, word: laps.append((time.perf_counter() - begun, word)),
    )
    ends = [*(when for when, _ in laps[1:]), time.perf_counter() - begun]
    return {
        "seconds": time.perf_counter() - begun,
        "flagged": float(done.flagged.fraction),
        "laps": {word: end - when for (when, word), end in zip(laps, ends, strict=True)},
    }


def _settings(work: Work) -> Any:
    from towpath.pipelines.dsa110.science.imaging import ImageSettings

    size, cell = work.image
    return ImageSettings(size, cell, "briggs", 0.5, 1000, 5.0, 1.0, 0.8, 0.2, 0.0)


def image(work: Work, is_plain: bool = False) -> Found:
    """Image, and write what the stage writes; `is_plain`: bright sources are left to CLEAN."""
    from towpath.pipelines.dsa110.science import imaging
    from towpath.pipelines.dsa110.science.instrument import load_profile

    profile = load_profile(work.instrument)
    begun = time.perf_counter()
    bright = None if is_plain else imaging.bright_of(work.calibrated, profile, None, least=0.3)
    made = imaging.image_set(work.calibrated, profile, _settings(work), bright=bright, threads=2)
    seconds = time.perf_counter() - begun
    cards = imaging.cards(work.calibrated, made, profile, {})
    for kind in () if is_plain else ("restored", "corrected", "residual", "model", "pb"):
        path = work.folder / f"{kind}.fits"
        path.unlink(missing_ok=True)
        imaging.write_kind(path, made, kind, profile, cards)
    return {
        "seconds": seconds,
        "written": time.perf_counter() - begun,
        "rms": made.rms,
        "expected": made.expected_rms,
        "components": made.n_iter,
        "majors": made.n_major,
        "averaged": made.averaged,
        "caveats": made.caveats,
        "times": made.times,
    }


def plain(work: Work) -> Found:
    """Image without taking off bright sources first: what WSClean does."""
    return image(work, is_plain=True)


def wsclean(work: Work) -> Found:
    """The same by WSClean, of a copy that is brought to one centre (which is not in its time)."""
    from towpath.pipelines.dsa110.science import wsclean
    from towpath.pipelines.dsa110.science.clean import noise_level
    from towpath.pipelines.dsa110.science.fits import read_image
    from towpath.pipelines.dsa110.science.phasing import phase_set

    begun = time.perf_counter()
    phased = work.folder / "phased.ms"
    phase_set(work.calibrated, phased)
    ready = time.perf_counter()
    own = _settings(work)
    settings = wsclean.WscleanSettings(size=own.size, cell=own.shared()["cell"])
    made = wsclean.run(phased, work.folder / "wsclean", settings, threads=2)
    seconds = time.perf_counter() - ready
    assert made.residual is not None
    rms = noise_level(read_image(made.residual).data)
    shutil.rmtree(phased)
    for path in work.folder.glob("wsclean-*"):
        path.unlink()
    return {"seconds": seconds, "phasing": ready - begun, "rms": rms, "memory": _memory_of_children()}


def _tiles(work: Work) -> list[Any]:
    """Copies of the image, as far apart as observations are."""
    from towpath.pipelines.dsa110.science.mosaicking import read_tiles

    one = read_tiles([work.folder / "restored.fits"], [work.folder / "pb.fits"])[0]
    found = []
    for number in range(TILES):
        wcs = one.wcs.deepcopy()
        wcs.wcs.crval = [wcs.wcs.crval[0] + number * APART, wcs.wcs.crval[1]]
        wcs.wcs.set()
        shift = number * 309.24 / 86400.0
        found.append(
            replace(one, name=f"tile{number}", wcs=wcs, start=one.start + shift, end=one.end + shift)
        )
    return found


def mosaic(work: Work) -> Found:
    """Join ten tiles in memory: as the stage does, and bilinearly as SWarp is told to; then find sources and write."""
    from towpath.pipelines.dsa110.science import mosaicking
    from towpath.pipelines.dsa110.science.mosaic import mosaic as join

    tiles = _tiles(work)
    mosaicking.join(tiles, cell=0.0, pb_limit=0.2, threads=2)  # not counted: the system finds the memory
    begun = time.perf_counter()
    made = mosaicking.join(tiles, cell=0.0, pb_limit=0.2, threads=2)
    seconds = time.perf_counter() - begun
    join(tiles, cell=tiles[0].cell, interpolation="bilinear", threads=2)
    equal = time.perf_counter() - begun - seconds
    begun += equal
    mosaicking.write(work.folder / "mosaic.fits", made, {})
    written = time.perf_counter() - begun
    sources = mosaicking.find(made, work.folder / "mosaic.fits", threshold=5.0, finder="own")
    found = time.perf_counter() - begun
    (work.folder / "mosaic.fits").unlink()
    pixels = sum(one.image.size for one in tiles) / 1e6
    return {
        "seconds": seconds,
        "bilinear": equal,
        "written": written,
        "sources": found - written,
        "pixels": pixels,
        "shape": made.image.shape,
        "n": len(sources),
    }


def swarp(work: Work) -> Found:
    """The same by SWarp, with weights of the same kind; its time holds its reading and writing."""
    import numpy as np
    from astropy.io import fits

    from towpath.pipelines.dsa110.science.mosaic import response_image

    folder = work.folder / "swarp"
    folder.mkdir()
    tiles = _tiles(work)
    for number, one in enumerate(tiles):
        power, header = response_image(one), one.wcs.to_header()
        weight = np.where(power >= 0.2, power**2 / one.noise**2, 0.0).astype("f4")
        fits.writeto(
            folder / f"in{number}.fits", (one.image / np.clip(power, 0.01, None)).astype("f4"), header
        )
        fits.writeto(folder / f"in{number}.weight.fits", weight, header)
    pixels = sum(one.image.size for one in tiles) / 1e6
    begun = time.perf_counter()
    subprocess.run(
        ["SWarp", *(f"in{number}.fits" for number in range(TILES)), *(one for pair in SWARP.items() for one in pair)],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    seconds = time.perf_counter() - begun
    shutil.rmtree(folder)
    return {"seconds": seconds, "pixels": pixels, "memory": _memory_of_children()}


def site(work: Work) -> Found:
    """The whole observation by a site: found, qualified, converted, solved on, calibrated, imaged."""
    folder = work.folder / "site"
    found = _by_site(folder, work, work.files, [GROUP_OF_ONE])
    stages = {f"{kind}.{stage}": seconds for kind, stage, seconds in found.pop("runs")}
    if "observation.image" not in stages:
        raise RuntimeError(f"the site made no image: {found['said']}")
    solving = sum(took for name, took in stages.items() if name.startswith("calibration"))
    return {**found, "solving": solving, "stages": stages}


def chain(work: Work) -> Found:
    """Ten observations by a site, to a published mosaic: solved on once, each calibrated and imaged, then joined."""
    from towpath.pipelines.dsa110.simulate import preset, simulate

    size = "small" if work.is_small else "full"
    made = simulate(work.folder / "ten", settings=replace(preset(size), tiles=TILES, calibrator_tile=4))
    observed = (made.time[-1] - made.time[0]) + (made.time[1] - made.time[0])
    files = sorted((work.folder / "ten").glob("*.hdf5"))
    found = _by_site(work.folder / "chain", work, files, [])
    shutil.rmtree(work.folder / "ten")
    runs = found.pop("runs")
    if ("mosaic", "publish") not in {(kind, stage) for kind, stage, _ in runs}:
        raise RuntimeError(f"the site published no mosaic: {found['said']}")
    spent: dict[str, float] = {}
    for kind, stage, seconds in runs:
        spent[f"{kind}.{stage}"] = spent.get(f"{kind}.{stage}", 0.0) + seconds
    return {**found, "observed": float(observed), "stages": spent}


def _by_site(folder: Path, work: Work, files: Sequence[Path], more: Sequence[str]) -> Found:
    """Run a site on files until nothing is left to do: seconds, runs, memory; the site is gone afterwards."""
    from towpath.app.site import Site

    (folder / "incoming").mkdir(parents=True)
    for path in files:
        os.link(path, folder / "incoming" / path.name)
    size, cell = work.image
    text = SITE.format(instrument=work.instrument, size=size, cell=cell)
    (folder / "towpath.toml").write_text("".join([text, *more]))
    program = Path(sys.executable).with_name("towpath")
    begun = time.perf_counter()
    done = subprocess.run(
        [str(program), "--site", str(folder), "run", "--patience", "60"],
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - begun
    with Site.open(folder) as opened:
        runs = [
            (item.kind, run.stage, run.seconds)
            for item in opened.items(pipeline="dsa110")
            for run in opened.runs(item.name)
        ]
    shutil.rmtree(folder)
    return {
        "seconds": seconds,
        "runs": runs,
        "memory": _memory_of_children(),
        "end": done.returncode,
        "said": "" if done.returncode == 0 else (done.stdout + done.stderr)[-1500:],
    }


def _memory_of_children() -> float:
    """The most that one of the processes started here held, in bytes."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024.0


STEPS: dict[str, Callable[[Work], Found]] = {
    one.__name__: one
    for one in (
        simulate,
        convert,
        pyuvdata,
        solve,
        equal,
        casa,
        calibrate,
        image,
        plain,
        wsclean,
        mosaic,
        swarp,
        site,
        chain,
    )
}


# ---- all of them


def alone(step: str, work: Work) -> Found | None:
    """A step in a process of its own: what it found, its memory, and the load before it; None where it failed."""
    command = [sys.executable, __file__, "--step", step, "--folder", str(work.folder)]
    load = os.getloadavg()[0]
    done = subprocess.run(
        [*command, *(["--small"] if work.is_small else [])], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.stderr.write(f"{step}: failed\n{done.stderr[-3000:]}\n")
        return None
    return {**json.loads(done.stdout.splitlines()[-1]), "load": load}


def is_possible(step: str) -> bool:
    """Whether what a step needs is installed, and there is memory for it."""
    if step == "pyuvdata":
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(line for line in lines if line.startswith("MemAvailable"))
        return importlib.util.find_spec("pyuvdata") is not None and int(free.split()[1]) * 1024 > NEEDED
    if step in ("equal", "casa"):
        return bool(os.environ.get("TOWPATH_CASA"))
    return shutil.which({"wsclean": "wsclean", "swarp": "SWarp"}.get(step, sys.executable)) is not None


def main(argv: Sequence[str] | None = None) -> int:
    """Do all steps and print the table, or one step and print what it found as JSON."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument(
        "--small", action="store_true", help="the small array of the demonstration: to try the script"
    )
    asked.add_argument(
        "--folder", type=Path, help="for the files, 12 GB, the chain 50 GB; a temporary one where not given"
    )
    asked.add_argument("--only", default="", help="steps with a comma between them")
    asked.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    chosen = asked.parse_args(argv)
    if chosen.step:
        found = STEPS[chosen.step](Work(chosen.folder, chosen.small))
        own, children = (resource.getrusage(one) for one in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        found.setdefault("memory", own.ru_maxrss * 1024.0)
        found["processor"] = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
        sys.stdout.write(json.dumps(found) + "\n")
        return 0
    steps = chosen.only.split(",") if chosen.only else list(STEPS)
    with tempfile.TemporaryDirectory(prefix="towpath-bench-", dir=chosen.folder) as folder:
        found = measure(steps, Path(folder), chosen.small)
    Console(width=140).print(table_of(found, chosen.small))
    Console(width=140).print(stages_of(found))
    return 0


# ---- what is printed

ROWS = [
    ("convert", "16 files to a Measurement Set", "10 s, 1 GB", "pyuvdata"),
    ("solve", "bandpass, gains, short gains", "10 s", ""),
    ("equal", "the same from flags and model on disk", "5 × CASA", "casa"),
    ("calibrate", "flag, apply, write", "", ""),
    ("image", "4800² CLEAN, bright sources apart", "", ""),
    ("plain", "4800² CLEAN, as WSClean", "3 × WSClean", "wsclean"),
    ("mosaic", "ten tiles", "100 Mpix/s, 5 × SWarp", "swarp"),
    ("site", "whole observation, with solving", "120 s", ""),
    ("chain", "ten observations to a published mosaic", "as long as observed", ""),
]


def table_of(found: dict[str, Found], is_small: bool) -> Table:
    """Seconds, processor seconds and memory of each step beside its target and its peer."""
    size = "small" if is_small else "full-size"
    table = Table(title=f"one {size} observation, {os.cpu_count()} cores; ratios: peer over ours")
    for heading in (
        "step",
        "",
        "s",
        "processor s",
        "GB",
        "target",
        "peer s",
        "ratio",
        "of processor s",
        "load",
    ):
        table.add_column(heading, justify="left" if heading in ("step", "", "target") else "right")
    for step, what, target, peer in ROWS:
        if step in found:
            one = found[step]
            seconds = one["bilinear"] if step == "mosaic" else one["seconds"]
            cells = [f"{seconds:.1f}", f"{one['processor']:.0f}", f"{one['memory'] / 1e9:.2f}"]
            other = found.get(peer)
            beside = ["", "", ""]
            if other:
                beside = [f"{other['seconds']:.1f}", f"{other['seconds'] / seconds:.1f}"]
                # A mosaic's process also reads, finds sources and writes: its time at a processor is no match.
                beside += ["" if step == "mosaic" else f"{other['processor'] / one['processor']:.1f}"]
            table.add_row(step, what, *cells, target, *beside, f"{one['load']:.1f}")
    return table


def stages_of(found: dict[str, Found]) -> Table:
    """What else was measured: noise, speed of the mosaic, seconds of the site's stages."""
    table = Table(title="also measured", show_header=False)
    for step in ("image", "plain", "wsclean"):
        if step in found:
            table.add_row(f"{step}: noise of the residual", f"{found[step]['rms'] * 1e3:.3f} mJy/beam")
    if "image" in found:
        one = found["image"]
        table.add_row("noise that the data should give", f"{one['expected'] * 1e3:.3f} mJy/beam")
        table.add_row("components, major cycles", f"{one['components']}, {one['majors']}")
        table.add_row("channels averaged into one", str(one["averaged"]))
    if "casa" in found:
        table.add_row("gains of CASA, median distance from ours", f"{found['casa']['apart']:.2%}")
    if "mosaic" in found:
        one = found["mosaic"]
        table.add_row("mosaic, cubic", f"{one['pixels'] / one['seconds']:.0f} Mpix/s")
        table.add_row("mosaic, bilinear", f"{one['pixels'] / one['bilinear']:.0f} Mpix/s")
    if "site" in found:
        one = found["site"]
        for stage, seconds in one["stages"].items():
            table.add_row(stage, f"{seconds:.1f} s")
        table.add_row("whole observation without solving", f"{one['seconds'] - one['solving']:.1f} s")
    if "chain" in found:
        one = found["chain"]
        for stage, seconds in one["stages"].items():
            table.add_row(f"ten observations: {stage}", f"{seconds:.1f} s")
        table.add_row("the ten took to observe", f"{one['observed']:.0f} s")
        table.add_row("observed over worked", f"{one['observed'] / one['seconds']:.1f}")
    return table


# ---- all steps


def measure(steps: list[str], folder: Path, is_small: bool) -> dict[str, Found]:
    """Every step in order."""
    for name in ("small", "full"):
        (folder / name).mkdir()
    found = {}
    for work in [Work(folder / "small", True), *([] if is_small else [Work(folder / "full", False)])]:
        for step in steps:
            if is_possible(step):
                one = alone(step, work)
                if one is not None:
                    found[step] = one
                    sys.stderr.write(f"{work.folder.name} {step}: {json.dumps(one)}\n")
    return found


if __name__ == "__main__":
    sys.exit(main())
