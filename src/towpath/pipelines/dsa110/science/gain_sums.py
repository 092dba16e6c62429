"""What gains are solved from once the bandpass is known: sums over all channels of one observation, for each integration.

Promises that gains of any interval follow from them without the visibilities (some ten megabytes instead of gigabytes), and
that a file of sums is verified whole when it is read.
"""

import json
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from . import stefcal
from .settle import Frame
from .solutions import Solutions
from .sums import BandSums, Intervals
from .tables import TableError
from .visibilities import Stations

FORM = "towpath.dsa110.sums/1"
_ARRAYS = ("cross", "power", "total", "count")


@dataclass(frozen=True, slots=True)
class Scene:
    """Whom and what solutions are of: what a table of them says beside its numbers.

    Parameters
    ----------
    stations
        In the order of the data.
    present
        Numbers of those that were observed with: an array has more places than receivers.
    centre
        Right ascension and declination of the middle field in radians.
    frequency : (channel,)
        Hz.
    width : float
        Of a channel, Hz.
    telescope, measurement_set
        TELESCOPE_NAME, and the name of the set that was solved on.
    """

    stations: Stations
    present: tuple[int, ...]
    centre: tuple[float, float]
    frequency: npt.NDArray[np.float64]
    width: float
    telescope: str
    measurement_set: str


@dataclass(frozen=True, slots=True)
class GainSums:
    """Sums whose intervals are the integrations of `frame`, in the order of time; the model is seen through the bandpass."""

    frame: Frame
    band: BandSums

    def over(self, intervals: Intervals) -> BandSums:
        """Add up integrations to longer intervals."""
        starts = np.searchsorted(intervals.number, np.arange(len(intervals.middle)))
        return BandSums(*(np.add.reduceat(getattr(self.band, name), starts, axis=0) for name in _ARRAYS))

    def through(self, gains: Solutions) -> "GainSums":
        """The same with the model seen through gains as well, each integration through those nearest in time.

        What the gains flag counts no more.
        """
        times = np.unique(self.frame.times)
        nearest = np.argmin(np.abs(gains.time[None, :] - times[:, None]), axis=1)
        pairs = stefcal.pairs_of(len(self.frame.stations))
        values, flags = gains.gains[nearest, :, 0], gains.flags[nearest, :, 0]
        seen = values[:, pairs[:, 0]] * np.conj(values[:, pairs[:, 1]])
        good = ~(flags[:, pairs[:, 0]] | flags[:, pairs[:, 1]])
        band = BandSums(
            np.where(good, self.band.cross * np.conj(seen), 0.0),
            np.where(good, self.band.power * np.abs(seen) ** 2, 0.0),
            np.where(good, self.band.total, 0.0),
            np.where(good, self.band.count, 0),
        )
        return replace(self, band=band)


def write_sums(path: Path, sums: GainSums, scene: Scene) -> None:
    """Write sums, and the scene they are of, to a new file."""
    words = {
        "form": FORM,
        "stations": scene.stations.names,
        "present": scene.present,
        "receptors": sums.frame.receptors,
        "integration": sums.frame.integration,
        "centre": scene.centre,
        "width": scene.width,
        "telescope": scene.telescope,
        "measurement_set": scene.measurement_set,
    }
    with path.open("xb") as file:
        np.savez(
            file,
            words=np.frombuffer(json.dumps(words).encode(), np.uint8),
            times=np.unique(sums.frame.times),
            frequency=scene.frequency,
            positions=scene.stations.positions,
            diameter=scene.stations.diameter,
            **{name: getattr(sums.band, name) for name in _ARRAYS},
        )


def read_sums(path: Path) -> tuple[GainSums, Scene]:
    """Read sums and their scene.

    Raises
    ------
    TableError
        If the file is missing, damaged, or of another form.
    """
    try:
        with (
            path.open("rb") as raw,
            np.load(raw, allow_pickle=False) as file,
        ):  # a zip: members have checksums
            arrays = {name: file[name] for name in file.files}
        words = json.loads(arrays.pop("words").tobytes())
        found, shape = words["form"], (len(arrays["times"]), *arrays["cross"].shape[1:])
        stations = Stations(tuple(words["stations"]), arrays["positions"], arrays["diameter"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise TableError(f"sums {path}: not a whole file of sums: {error}") from None
    if found != FORM:
        raise TableError(f"sums {path}: found {found!r}; expected {FORM!r}")
    for name in _ARRAYS:
        if arrays[name].shape != shape:
            raise TableError(f"sums {path}, {name}: found shape {arrays[name].shape}; expected {shape}")
    frame = Frame(
        stations.names, arrays["frequency"], tuple(words["receptors"]), arrays["times"], words["integration"]
    )
    scene = Scene(
        stations=stations,
        present=tuple(words["present"]),
        centre=(words["centre"][0], words["centre"][1]),
        frequency=arrays["frequency"],
        width=words["width"],
        telescope=words["telescope"],
        measurement_set=words["measurement_set"],
    )
    return GainSums(frame, BandSums(*(arrays[name] for name in _ARRAYS))), scene
