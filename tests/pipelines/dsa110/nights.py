"""A small array's night through a whole site, made once for all who look at it, and copies of it to do harm to.

Promises that a night is the same whichever test asks first. Holds no test.
"""

import fcntl
import hashlib
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from towpath import Site
from towpath.pipelines.dsa110.science.calibrators import Calibrator, write_table
from towpath.pipelines.dsa110.science.sky import Sky, joined, points
from towpath.pipelines.dsa110.simulate import (
    Settings,
    Truth,
    simulate,
    spoil_truncated,
    write_catalogue,
    write_profile,
)

SITE = """\
[site]
workers = 2
[pipelines.dsa110.override.sources.subbands]
settle = "0.1 s"
[pipelines.dsa110.override.sources.calibrators]
settle = "0 s"
[pipelines.dsa110.override.sources.reference]
settle = "0.1 s"
[pipelines.dsa110.override.items.observation.stages.convert]
params = {{ instrument = "{instrument}" }}
resources = {{ cores = 1, memory = "2 GB", disk = "10 MB" }}
[pipelines.dsa110.override.items.observation.stages.apply]
resources = {{ cores = 1, memory = "2 GB", disk = "10 MB" }}
[pipelines.dsa110.override.items.observation.stages.image]
params = {{ instrument = "{instrument}", size = 1440, cell = 3.5 }}
resources = {{ cores = 1, memory = "2 GB", disk = "10 MB" }}
[pipelines.dsa110.override.items.calibration.group]
size = 2
[pipelines.dsa110.override.items.calibration.stages.solve_bandpass]
params = {{ instrument = "{instrument}" }}
resources = {{ cores = 1, memory = "2 GB" }}
[pipelines.dsa110.override.items.calibration.stages.solve_gain]
resources = {{ cores = 1, memory = "2 GB" }}
[pipelines.dsa110.override.items.calibration.assess]
rules = [{{ name = "flagged gains", measure = "gain_flagged", op = "<=", limit = 0.3, fail = "hold" }}]
[pipelines.dsa110.override.items.mosaic.group]
size = 2
[pipelines.dsa110.override.items.mosaic.stages.mosaic]
params = {{ noise_ratio = 10.0 }}
resources = {{ cores = 1, memory = "2 GB", disk = "10 MB" }}
[pipelines.dsa110.override.items.mosaic.stages.crossmatch]
enabled = true
[pipelines.dsa110.override.items.mosaic.stages.compare]
enabled = true
[pipelines.dsa110.override.items.mosaic.publish]
products = ["mosaic", "crossmatch"]
attempts = 3
backoff = "100 ms"
"""


@dataclass(frozen=True)
class Night:
    """The site after its first run, and the truth; the last observation lacks a whole file.

    Copies are made of folders that lie beside it and are never opened. A process that reads the catalog's file while it
    has that catalog open loses the locks it holds on it (POSIX), and then another process may remove its log (WAL).
    """

    site: Site
    truth: Truth

    @property
    def published(self) -> Path:
        """The site as it is, closed."""
        return _beside(self.site.folder, "published")

    @property
    def unpublished(self) -> Path:
        """The site from when all was made and nothing was published: its publications are stopped."""
        return _beside(self.site.folder, "unpublished")


def once(folder: Path, make: Callable[[Path], Truth]) -> Truth:
    """Make a site in a folder, whichever test process comes first; the others wait for it."""
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "truth.pickle").exists():
            truth = make(folder)
            (folder / "truth.pickle").write_bytes(pickle.dumps(truth))
    return pickle.loads((folder / "truth.pickle").read_bytes())


def make_night(folder: Path) -> Truth:
    """Simulate, spoil a file, run until nothing but publications is left, and publish; keep a copy of both."""
    settings = Settings(stations=20, tiles=5, calibrator_tile=1, dead=(7,))
    probe = simulate(folder / "probe", settings=settings)
    shutil.rmtree(folder / "probe")
    sky = _sky(probe)
    made = folder / "made"
    truth = simulate(made, settings=replace(settings, sky=sky))
    write_profile(folder / "instrument.toml", truth.profile)
    spoil_truncated(truth.observations[-1].files[0])
    (made / "catalogues" / "reference").mkdir(parents=True)
    write_catalogue(made / "catalogues" / "reference" / "simulated.csv", sky)
    made.rename(folder / "incoming")
    (folder / "towpath.toml").write_text(SITE.format(instrument=folder / "instrument.toml"))
    stopped: set[str] = set()

    def stop(_: object) -> None:
        for item in site.items(kind="mosaic", limit=10):
            if item.name not in stopped and site.stop(item.name, "publish"):
                stopped.add(item.name)

    with Site.open(folder) as site:
        site.run(tick=stop)
    _copy(folder, _beside(folder, "unpublished"))
    with Site.open(folder) as site:
        for name in stopped:
            site.publish(name, retry=True)
        site.run()
    _copy(folder, _beside(folder, "published"))
    return truth


def _sky(probe: Truth) -> Sky:
    """The calibrator, and a source of 0.12 Jy near the centre of each observation."""
    random = np.random.default_rng(5)
    calibrator = int(np.argmax(probe.sky.flux))
    centres = np.array([one.centre for one in probe.observations])
    spots = centres + np.radians(random.uniform(-0.25, 0.25, centres.shape))
    weak = points(spots[:, 0], spots[:, 1], np.full(len(spots), 0.12), probe.sky.reference)
    return joined([probe.sky.take(np.array([calibrator])), weak])


def states(site: Site, name: str) -> dict[str, str]:
    return {row.stage: row.state.value for row in site.show(name).work}


def _beside(folder: Path, what: str) -> Path:
    return folder.with_name(f"{folder.name}-{what}")


def _copy(source: Path, target: Path) -> Path:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("lock", "*.pickle"))
    return target


def copy_of(night: Night, folder: Path) -> Path:
    """The site as it is, at another place: its store, archive and arrivals have moved with it (15)."""
    return _copy(night.published, folder / "moved")


def unpublished_copy_of(night: Night, folder: Path) -> Path:
    """The site as it was before it published, at another place."""
    return _copy(night.unpublished, folder / "unpublished")


def first_of(site: Site, kind: str) -> str:
    return min(item.key for item in site.items(kind=kind, limit=20))


def place_of(site: Site, name: str, stage: str, output: str) -> Path:
    product = next(
        one
        for one in site.show(name).products
        if (one.stage, one.output) == (stage, output) and one.state.value == "current"
    )
    return site.storage.path(product.root, product.path)


def digests(folder: Path) -> dict[str, str]:
    """sha256 of every file of a tree but casacore's locks."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "table.lock"
    }


# ---- a night of planted faults

WRAPPED = Calibrator(
    name="WRAP",
    ra=359.5,
    dec=16.1,
    coefficients=(1.0,),
    valid=(0.1, 50.0),
    declinations=(14.6, 17.6),
    size=1.0,
    error=0.03,
    primary=False,
    source="simulated",
)
SPOILED = 5  # the subband of the third observation that is full of interference


def make_hard_night(folder: Path) -> Truth:
    """Two observations on either side of right ascension 0, two between which the declination changes; one station is dead.

    The third has interference of 300 Jy in all of one subband.
    """
    settings = Settings(
        stations=20,
        tiles=4,
        calibrator=WRAPPED,
        calibrator_tile=0,
        declination=(16.1, 16.1, 16.1, 18.1),
        sky=points(
            np.radians([WRAPPED.ra, 0.03, 359.97, 2.0, 3.3]),
            np.radians([WRAPPED.dec, 16.3, 15.8, 16.2, 18.0]),
            np.array([10.0, 0.5, 0.4, 0.5, 0.5]),
            1.4e9,
        ),
        drift=0.0,
        dead=(7,),
        interference=False,
    )
    made = folder / "made"
    truth = simulate(made, settings=settings)
    write_profile(folder / "instrument.toml", truth.profile)
    _fill(truth.observations[2].files[SPOILED])
    (made / "catalogues").mkdir()
    write_table(made / "catalogues" / "calibrators.ecsv", [WRAPPED])
    made.rename(folder / "incoming")
    text = SITE.format(instrument=folder / "instrument.toml")
    text = text.replace("enabled = true", "enabled = false").replace(', "crossmatch"]', "]")
    (folder / "towpath.toml").write_text(text)
    with Site.open(folder) as site:
        site.run()
    return truth


def _fill(path: Path) -> None:
    """Add 300 Jy of any phase to all that a file holds."""
    random = np.random.default_rng(8)
    with h5py.File(path, "r+") as file:
        data = file["Data/visdata"]
        data[...] += 300.0 * np.exp(2j * np.pi * random.uniform(size=data.shape)).astype(np.complex64)
