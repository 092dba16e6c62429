"""The stages of the dsa110 pipeline: files in, science between, files out.

Each reads what it consumes, calls functions of `science`, writes what it produces and records what it measured.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from towpath import Calibration, Context, Many, One, Reject, Stage, Unit, __version__

from .science.profiles import digest_of, read_profile

Arcseconds = Annotated[float, Unit("arcsec")]
Degrees = Annotated[float, Unit("degrees")]
Seconds = Annotated[float, Unit("s")]
Janskys = Annotated[float, Unit("Jy")]
Wavelengths = Annotated[float, Unit("wavelengths")]

_DAY = 86400.0
_MOST_FEATURES = 20_000  # of one run, in the catalog


class OfInstrument(Stage):
    """Base of stages that use numbers of the instrument.

    Parameters
    ----------
    instrument
        The name of a profile that ships, or the path of one.
    profile
        The digest of its content, found when the pipeline file is loaded: it enters the key, the path does not.
    """

    unkeyed: ClassVar[frozenset[str]] = frozenset({"instrument"})

    instrument: str = "dsa110"
    profile: str = ""

    @model_validator(mode="before")
    @classmethod
    def _find_profile(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        name = values.get("instrument", "dsa110")
        found = digest_of(read_profile(name)[1])
        given = values.get("profile") or found
        if given != found:
            raise ValueError(
                f"instrument profile {name} as it was when the pipeline file was loaded; it has changed since"
            )
        return {**values, "profile": found}


class Convert(OfInstrument):
    """The subbands of an observation to one Measurement Set, checked before it is used."""

    version = "1"
    consumes = {"subbands": Many("uvh5/subband")}
    produces = {"ms": "ms/raw"}

    def run(self, context: Context) -> None:
        """Convert, and record what was there."""
        from .science.convert import convert  # optional: the science libraries are slow to load
        from .science.instrument import load_profile  # optional: see above

        profile = load_profile(self.instrument)
        with context.output("ms", f"{context.item.key}.ms") as path:
            made = convert(
                context.inputs["subbands"], path, profile, progress=context.progress, threads=context.cores
            )
        context.measure("n_subbands", len(context.inputs["subbands"]))
        context.measure("flagged", round(made.flagged, 6))
        context.measure("ra", round(made.ra, 6), "degrees")
        context.measure("dec", round(made.dec, 6), "degrees")
        context.measure("begin", made.begin, "MJD")
        context.measure("end", made.end, "MJD")
        if made.missing:
            grid = profile.frequencies.reshape(profile.subbands, -1) / 1e6
            missing = ", ".join(f"{grid[slot, 0]:.1f}-{grid[slot, -1]:.1f} MHz" for slot in made.missing)
            context.caveat(f"without the subbands at {missing}: their channels are flagged")


class Apply(Stage):
    """Flag a Measurement Set and divide it by the certified solutions: columns are added, the set is not copied."""

    version = "1"
    consumes = {"ms": One("ms/raw"), "solutions": Calibration("solutions")}
    produces = {"ms": "ms/calibrated", "waterfall": "picture/waterfall", "coverage": "picture/coverage"}

    interpolation: Literal["nearest", "linear"] = "nearest"
    flagger: Literal["own", "aoflagger"] = "own"
    clip: float = 7.0
    threshold: float = 7.0
    strip: Degrees = 3.0

    def run(self, context: Context) -> None:
        """Verify both, flag, divide, and tell how much was flagged."""
        from .science.calibrate import calibrate_set  # optional: see Convert.run
        from .science.calibration_pictures import draw_coverage, draw_waterfall  # optional: see Convert.run
        from .science.calibration_set import read_set  # optional: see Convert.run
        from .science.flagging import FlagSettings  # optional: see Convert.run
        from .science.solving import mjd_seconds  # optional: see Convert.run

        found = read_set(context.inputs["solutions"])
        with context.output("ms", f"{context.item.key}.ms") as path:
            done = calibrate_set(
                context.inputs["ms"],
                path,
                found,
                flags=FlagSettings(clip=self.clip, threshold=self.threshold),
                interpolation=self.interpolation,
                flagger=self.flagger,
                strip=self.strip,
                solved=mjd_seconds(found.calibrated.solved),
                threads=context.cores,
                progress=context.progress,
            )
        flagged, vis = done.flagged, done.visibilities
        with context.output("waterfall", "flags.png") as path:
            draw_waterfall(path, flagged.waterfall, flagged.times, vis.frequency)
        with context.output("coverage", "coverage.png") as path:
            draw_coverage(path, vis.uvw[vis.is_cross], vis.frequency)
        context.measure("flagged", round(float(vis.flags[vis.is_cross].mean()), 6))
        context.measure("interference", round(flagged.fraction, 6))
        context.measure("n_dead", len(flagged.dead))
        context.measure("calibration_age", round(done.age, 1), "s")
        if flagged.dead:
            context.log.info("dead stations: %s", ", ".join(flagged.dead))
        if found.calibrated.is_borrowed:
            context.caveat(
                f"calibrated with a set that was borrowed: solved on {found.calibrated.source} at {found.calibrated.solved}"
            )


class SolveBandpass(OfInstrument):
    """Choose what a group is calibrated by, and solve for the bandpass; or borrow a set; or there is none to solve."""

    version = "1"
    produces = {"bandpass": "calibration/bandpass", "picture": "picture/bandpass"}
    optional_outputs = frozenset({"picture"})

    borrow: Annotated[float, Unit("d")] = 30.0
    strip: Degrees = 3.0
    least_calibrator: Janskys = 0.5
    least_catalogued: Janskys = 1.0
    fallback: int = Field(default=4, ge=0)
    min_snr: float = 5.0
    pre_phase: Seconds = 60.0
    uv_min: Wavelengths = 0.0

    @classmethod
    def declared(cls, params: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        """The sets of the group, the certified solutions that are nearest, and the tables that people bring."""
        within = float(params.get("borrow", 30.0)) * _DAY
        consumes = {
            "sets": Many("ms/raw"),
            "known": Calibration("solutions", optional=True, within=within),
            "calibrators": Calibration("calibrators", optional=True),
            "reference": Calibration("reference", optional=True),
        }
        return consumes, cls.produces

    def run(self, context: Context) -> None:
        """Take the first rung of the ladder that holds.

        Raises
        ------
        Reject
            If a set is certified for the group's time already.
        ValueError
            If no rung holds.
        """
        from .science import ladder  # optional: see Convert.run
        from .science.choosing import Limits, Rung  # optional: see Convert.run

        group = ladder.group_of(
            [
                (path, file.item)
                for path, file in zip(context.inputs["sets"], context.sources["sets"], strict=True)
            ],
            self.instrument,
            calibrators=context.inputs["calibrators"],
            reference=context.inputs["reference"],
        )
        limits = Limits(
            strip=math.radians(self.strip),
            calibrator=self.least_calibrator,
            catalogued=self.least_catalogued,
            borrow=self.borrow * _DAY,
            fallback=self.fallback,
        )
        known = ladder.known_of(context.inputs["known"], _told(context, "known"))
        choice = ladder.choose(group.members, known, limits)
        for reason in choice.reasons:
            context.log.info("%s", reason)
        context.measure("rung", choice.rung.value)
        context.measure("calibrator", choice.source)
        if choice.rung is Rung.COVERED:
            raise Reject([f"{choice.source} is certified for this time: nothing is to be solved"])
        if choice.rung is Rung.NONE:
            raise ValueError("no calibration: " + "; ".join(choice.reasons))
        with context.output("bandpass", "bandpass") as path:
            if choice.rung is Rung.BORROWED:
                ladder.borrow(context.inputs["known"], path, choice)
                context.caveat(f"borrowed: {'; '.join(choice.reasons)}")
                return
            made = ladder.solve_bandpass(
                group, choice, path, min_snr=self.min_snr, pre_phase=self.pre_phase, uv_min=self.uv_min
            )
        _measure_solutions(context, "bandpass", made)
        with context.output("picture", "bandpass.png") as path:
            ladder.draw_bandpass(path, made)


class SolveGain(Stage):
    """Solve for gains after the bandpass, over the whole observation and in short intervals: the whole set."""

    version = "1"
    consumes = {"bandpass": One("calibration/bandpass")}
    produces = {"solutions": "calibration/solutions", "picture": "picture/gains"}
    optional_outputs = frozenset({"picture"})

    min_snr: float = 3.0
    short: Seconds = 60.0

    def run(self, context: Context) -> None:
        """Solve from the sums that the bandpass left; a set that was borrowed is passed on as it is."""
        from .science import ladder  # optional: see Convert.run

        bandpass = context.inputs["bandpass"]
        with context.output("solutions", "solutions") as path:
            if ladder.is_borrowed(bandpass):
                ladder.pass_on(bandpass, path)
                for name, solutions in ladder.tables_of(path):
                    _measure_solutions(context, name, solutions)
                return
            made = ladder.solve_gains(bandpass, path, min_snr=self.min_snr, short=self.short)
        for name, solutions in made.tables():
            _measure_solutions(context, name, solutions)
        with context.output("picture", "gains.png") as path:
            ladder.draw_gains(path, made)


def _told(context: Context, name: str) -> Mapping[str, Any]:
    """What the stage is told of a calibration that it was given; empty without one."""
    found = context.sources[name]
    return {**found[0].attributes, "item": found[0].item} if found else {}


def _measure_solutions(context: Context, name: str, solutions: Any) -> None:
    from .science.solve import dead_stations, quality  # optional: see Convert.run

    found = quality(solutions)
    short = {"bandpass": "bandpass", "gains": "gain", "short": "short_gain"}[name]
    context.measure(f"{short}_flagged", round(found["flagged"], 6))
    context.measure(f"{short}_snr", round(found["median_snr"], 3))
    context.measure(f"{short}_phase_scatter", round(found["phase_scatter_degrees"], 4), "degrees")
    context.measure(f"{short}_closure", round(found["closure_degrees"], 4), "degrees")
    if name == "bandpass":
        context.measure("n_dead", int(found["dead_stations"]))
        if dead := dead_stations(solutions):
            context.log.info("dead stations: %s", ", ".join(dead))


class Image(OfInstrument):
    """Image a calibrated set: all fields of the drift scan together, CLEAN, primary beam, FITS."""

    version = "1"
    consumes = {"ms": One("ms/calibrated"), "calibrators": Calibration("calibrators", optional=True)}
    produces = {
        "image": "image/restored",
        "corrected": "image/corrected",
        "residual": "image/residual",
        "model": "image/model",
        "pb": "image/pb",
        "quicklook": "picture/image",
        "histogram": "picture/residual",
    }

    imager: Literal["own", "wsclean"] = "own"
    size: int = Field(default=4800, ge=32, multiple_of=2)
    cell: Arcseconds = 3.0
    weighting: Literal["natural", "uniform", "briggs"] = "briggs"
    robust: float = Field(default=0.5, ge=-2.0, le=2.0)
    niter: int = Field(default=50_000, ge=0)  # a guard: CLEAN stops by `auto_threshold`
    auto_mask: float = 5.0
    auto_threshold: float = 1.0
    mgain: float = Field(default=0.8, gt=0.0, le=1.0)
    pb_limit: float = Field(default=0.2, gt=0.0, lt=1.0)
    uv_min: Wavelengths = 0.0
    bright: Janskys = 0.3

    def run(self, context: Context) -> None:
        """Image, write, draw, and tell noise, beam and how deep it was cleaned."""
        from .science import imaging  # optional: see Convert.run
        from .science.instrument import load_profile  # optional: see Convert.run
        from .science.mosaicking import draw_residual, draw_tile  # optional: see Convert.run

        profile, path = load_profile(self.instrument), context.inputs["ms"]
        settings = imaging.ImageSettings(
            **{name: getattr(self, name) for name in imaging.ImageSettings.__dataclass_fields__}
        )
        if self.imager == "wsclean":
            made = imaging.image_by_wsclean(path, profile, settings, context.scratch, threads=context.cores)
        else:
            made = imaging.image_set(
                path,
                profile,
                settings,
                bright=imaging.bright_of(path, profile, context.inputs["calibrators"], least=self.bright),
                threads=context.cores,
                progress=context.progress,
            )
        cards = imaging.cards(
            path, made, profile, {"IMAGER": self.imager, "SOFTWARE": f"Towpath {__version__}"}
        )
        places: dict[str, Path] = {}
        for name, kind in _IMAGES.items():
            with context.output(name, f"{context.item.key}.{name}.fits") as file:
                imaging.write_kind(file, made, kind, profile, cards)
            places[name] = file
        with context.output("quicklook", "image.png") as file:
            draw_tile(file, made, places["image"], title=context.item.key)
        with context.output("histogram", "residual.png") as file:
            draw_residual(file, made, title=f"{context.item.key}: residual")
        context.measure("rms", made.rms, "Jy/beam")
        context.measure("expected_rms", made.expected_rms, "Jy/beam")
        context.measure("beam_major", round(math.degrees(made.beam.major) * 3600.0, 4), "arcsec")
        context.measure("beam_minor", round(math.degrees(made.beam.minor) * 3600.0, 4), "arcsec")
        context.measure("clean_flux", round(made.clean_flux, 6), "Jy")
        context.measure("n_components", made.n_iter)
        context.measure("n_major", made.n_major)
        for caveat in made.caveats:
            context.caveat(caveat)


_IMAGES = {
    "image": "restored",
    "corrected": "corrected",
    "residual": "residual",
    "model": "model",
    "pb": "pb",
}


class Mosaic(Stage):
    """Join the images of a group by beam and noise, find sources, check that the tiles fit together."""

    version = "1"
    consumes = {"images": Many("image/restored"), "beams": Many("image/pb")}
    produces = {"mosaic": "mosaic/fits", "sources": "table/sources", "quicklook": "picture/mosaic"}

    pb_limit: float = Field(default=0.2, gt=0.0, lt=1.0)
    cell: Arcseconds = 0.0
    threshold: float = 5.0
    finder: Literal["own", "pybdsf"] = "own"
    beam_ratio: float = 1.2
    noise_ratio: float = 4.0
    strip: Degrees = 1.0

    def run(self, context: Context) -> None:
        """Read the tiles, compare them, join them, find sources, measure."""
        from .science import mosaicking  # optional: see Convert.run

        found = mosaicking.read_tiles(context.inputs["images"], context.inputs["beams"])
        faults = mosaicking.unfit(
            found,
            beam=self.beam_ratio,
            noise=self.noise_ratio,
            strip=self.strip,
            pb_limit=self.pb_limit,
        )
        for fault in faults:
            context.log.warning("%s", fault)
            context.caveat(fault)
        context.progress(0.1, f"{len(found)} tiles")
        made = mosaicking.join(found, cell=self.cell, pb_limit=self.pb_limit, threads=context.cores)
        context.progress(0.5, "sources")
        cards = mosaicking.cards_of_group(context.inputs["images"], context.item.key)
        with context.output("mosaic", f"{context.item.key}.mosaic.fits") as path:
            mosaicking.write(path, made, {**cards, "SOFTWARE": (f"Towpath {__version__}", "")})
            sources = mosaicking.find(made, path, threshold=self.threshold, finder=self.finder)
        with context.output("sources", f"{context.item.key}.sources.vot") as path:
            mosaicking.write_sources(path, sources)
        with context.output("quicklook", f"{context.item.key}.png") as path:
            mosaicking.draw(path, made, sources, title=context.item.key)
        context.features("source", **mosaicking.features_of(sources, most=_MOST_FEATURES))
        if len(sources) > _MOST_FEATURES:
            context.caveat(
                f"{len(sources)} sources: the brightest {_MOST_FEATURES} are features of the catalog"
            )
        context.measure("n_inconsistent", len(faults))
        context.measure("n_sources", len(sources))
        for name, (value, unit) in mosaicking.measures_of(made, found).items():
            context.measure(name, value, unit)


class Crossmatch(Stage):
    """Compare the sources of a mosaic with the reference catalogue: flux scale, astrometry, completeness."""

    version = "2"
    consumes = {
        "mosaic": One("mosaic/fits"),
        "sources": One("table/sources"),
        "reference": Calibration("reference"),
    }
    produces = {
        "matches": "table/matches",
        "forced": "table/forced",
        "sky": "picture/sky",
        "scale": "picture/scale",
        "astrometry": "picture/astrometry",
    }

    radius: Arcseconds = 10.0
    spectral_index: float = -0.7
    flux_limit: Janskys = 0.05

    def run(self, context: Context) -> None:
        """Match, write, draw and measure."""
        from .science import mosaicking  # optional: see Convert.run

        found = mosaicking.compare(
            context.inputs["mosaic"],
            context.inputs["sources"],
            context.inputs["reference"],
            radius=self.radius,
            index=self.spectral_index,
            flux_limit=self.flux_limit,
        )
        with context.output("matches", f"{context.item.key}.matches.vot") as path:
            mosaicking.write_comparison(path, found)
        with context.output("forced", f"{context.item.key}.forced.vot") as path:
            mosaicking.write_forced(path, found)
        with context.output("sky", f"{context.item.key}.sky.png") as path:
            mosaicking.draw_sky(path, found, title=f"{context.item.key}: cross-match")
        with context.output("scale", f"{context.item.key}.flux-scale.png") as path:
            mosaicking.draw_scale(path, found, title=f"{context.item.key}: flux scale")
        with context.output("astrometry", f"{context.item.key}.astrometry.png") as path:
            mosaicking.draw_astrometry(path, found, title=f"{context.item.key}: astrometry")
        for name, (value, unit) in mosaicking.measures_of_comparison(found).items():
            context.measure(name, value, unit)
