"""The stages of the dsa110 pipeline: files in, science between, files out.

Each reads what it consumes, calls functions of `science`, writes what it produces and records what it measured.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import model_validator

from towpath import Context, Many, Stage, Unit

from .science.profiles import digest_of, read_profile

Arcseconds = Annotated[float, Unit("arcsec")]
Degrees = Annotated[float, Unit("degrees")]
Seconds = Annotated[float, Unit("s")]
Janskys = Annotated[float, Unit("Jy")]
Wavelengths = Annotated[float, Unit("wavelengths")]

_DAY = 86400.0


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
        context.measure("n_subbands", made.n_subbands)
        context.measure("flagged", round(made.flagged, 6))
        context.measure("ra", round(made.ra, 6), "degrees")
        context.measure("dec", round(made.dec, 6), "degrees")
        context.measure("begin", made.begin, "MJD")
        context.measure("end", made.end, "MJD")
        if made.missing:
            missing = ", ".join(f"sb{number:02d}" for number in made.missing)
            context.caveat(f"without {missing}: their channels are flagged")
