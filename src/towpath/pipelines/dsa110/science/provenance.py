"""What is known of a calibration, and how it travels: into a Measurement Set as a keyword, into FITS headers as cards.

Promises that an image always says what it was calibrated by, how old that was, and whether it was borrowed.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

KEYWORD = "TOWPATH"  # of the main table of a Measurement Set: the facts as JSON


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What a set of solutions is.

    Parameters
    ----------
    rung
        How it came about (see `choosing.Rung`).
    source
        The calibrator, "reference catalogue", or the name of the set that was borrowed.
    observation
        The key of the observation that was solved on.
    solved
        The middle of that observation, ISO 8601 (UTC).
    declination
        Of that observation, in degrees.
    reasons
        Why nothing higher on the ladder held.
    origin
        sha256 of the bandpass table, hexadecimal: a borrowed set has that of the set it was borrowed from.
    instrument
        Digest of the instrument profile.
    """

    rung: str
    source: str
    observation: str
    solved: str
    declination: float
    reasons: tuple[str, ...] = ()
    origin: str = ""
    instrument: str = ""

    @property
    def is_borrowed(self) -> bool:
        """Whether it was solved for another group."""
        return self.rung == "borrowed"

    def document(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**asdict(self), "reasons": list(self.reasons)}


def calibrated_of(document: Mapping[str, Any]) -> Calibrated:
    """What `Calibrated.document` gave."""
    return Calibrated(**{**document, "reasons": tuple(document.get("reasons", ()))})


def cards_of(calibrated: Calibrated, *, age: float) -> dict[str, tuple[Any, str]]:
    """The FITS cards that say what an image was calibrated by; `age` in seconds is from the solution to the image."""
    return {
        "CALHOW": (calibrated.rung, "how the calibration came about"),
        "CALNAME": (calibrated.source, "calibrator, or set that was borrowed"),
        "CALOBS": (calibrated.observation, "observation that was solved on"),
        "CALDATE": (calibrated.solved, "its middle (UTC)"),
        "CALDEC": (calibrated.declination, "[deg] its declination"),
        "CALAGE": (round(age / 3600.0, 4), "[h] from there to this image"),
        "CALID": (calibrated.origin[:16], "sha256 of the bandpass, first 16 digits"),
        "INSTPROF": (calibrated.instrument[:16], "sha256 of the instrument profile, likewise"),
    }
