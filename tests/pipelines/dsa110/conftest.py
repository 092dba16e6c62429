"""A small array on a known sky, corrupted by known gains, with noise as theory says."""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import nights

from towpath import Site
from towpath.pipelines.dsa110.science.instrument import load_profile
from towpath.pipelines.dsa110.science.sky import Sky
from towpath.pipelines.dsa110.science.visibilities import SPEED_OF_LIGHT, Stations, Visibilities
from towpath.pipelines.dsa110.simulate import Settings, Truth, simulate, write_profile

CENTRE = (np.radians(202.8), np.radians(30.5))
WIDTH = 244140.625
INTEGRATION = 12.884901888
BEGIN = 60_647.3 * 86400.0


@dataclass(frozen=True)
class Corrupted:
    """Visibilities, the model they were made from, and the gains they were corrupted with."""

    vis: Visibilities
    model: npt.NDArray[np.complex64]
    gains: npt.NDArray[np.complex128]  # (integration, station, channel, polarisation)
    noise: float  # standard deviation of the real part, before the gains' weights


def model_of(vis: Visibilities, sky: Sky) -> npt.NDArray[np.complex64]:
    """Model visibilities by the definition, one source after another: (row, channel, 1)."""
    ra0, dec0 = vis.centres[0]
    flux = sky.flux_at(vis.frequency)
    waves = vis.frequency / SPEED_OF_LIGHT
    total = np.zeros(vis.data.shape[:2], complex)
    for k in range(len(sky)):
        ra, dec = sky.ra[k] - ra0, sky.dec[k]
        l = np.cos(dec) * np.sin(ra)  # noqa: E741 - the direction cosine's name
        m = np.sin(dec) * np.cos(dec0) - np.cos(dec) * np.sin(dec0) * np.cos(ra)
        delay = vis.uvw @ np.array([l, m, np.sqrt(1.0 - l * l - m * m) - 1.0])
        total += flux[k] * np.exp(2j * np.pi * np.outer(delay, waves)) * _taper(vis, sky, k, waves)
    return total.astype(np.complex64)[:, :, None]


def _taper(vis: Visibilities, sky: Sky, k: int, waves: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Visibility of a Gaussian of flux 1: exp(-π² θ² q² / (4 ln 2)) along each axis."""
    turn = sky.position_angle[k]
    along = vis.uvw[:, 0] * np.sin(turn) + vis.uvw[:, 1] * np.cos(turn)
    across = vis.uvw[:, 0] * np.cos(turn) - vis.uvw[:, 1] * np.sin(turn)
    size = np.hypot(along * sky.major[k], across * sky.minor[k])
    return np.exp(-((np.pi * np.outer(size, waves)) ** 2) / (4.0 * np.log(2.0)))


def two_sources() -> Sky:
    """A strong point at the centre, and a Gaussian beside it."""
    return Sky(
        ra=np.array([CENTRE[0], CENTRE[0] + 0.006]),
        dec=np.array([CENTRE[1], CENTRE[1] - 0.004]),
        flux=np.array([15.0, 5.0]),
        reference=1.4e9,
        spectrum=np.array([[-0.5], [-0.8]]),
        major=np.array([0.0, 3e-4]),
        minor=np.array([0.0, 1.5e-4]),
        position_angle=np.array([0.0, 0.6]),
    )


def empty(
    n: int, channels: int, integrations: int, *, polarisations: tuple[str, ...] = ("XX", "YY")
) -> Visibilities:
    """Visibilities of 0 of the first active stations of the DSA-110, autocorrelations with them."""
    profile = load_profile("dsa110")
    chosen = np.flatnonzero(profile.active)[:: max(1, int(profile.active.sum()) // n)][:n]
    positions = profile.positions[chosen]
    one, two = np.triu_indices(n)
    one, two = one.astype(np.int32), two.astype(np.int32)
    baselines, rows = len(one), len(one) * integrations
    uvw = []
    for k in range(integrations):
        hour = np.radians(-118.28) + (k - integrations / 2.0) * 7.29e-5 * INTEGRATION
        dec = CENTRE[1]
        turn = np.array(
            [
                [-np.sin(hour), np.cos(hour), 0.0],
                [-np.sin(dec) * np.cos(hour), -np.sin(dec) * np.sin(hour), np.cos(dec)],
                [np.cos(dec) * np.cos(hour), np.cos(dec) * np.sin(hour), np.sin(dec)],
            ]
        )
        uvw.append((positions[one] - positions[two]) @ turn.T)
    shape = (rows, channels, len(polarisations))
    return Visibilities(
        uvw=np.concatenate(uvw),
        time=BEGIN + INTEGRATION * np.repeat(np.arange(integrations) + 0.5, baselines),
        interval=np.full(rows, INTEGRATION),
        antenna1=np.tile(one, integrations),
        antenna2=np.tile(two, integrations),
        field=np.zeros(rows, np.int32),
        centres=np.array([CENTRE]),
        frequency=1.35e9 + WIDTH * np.arange(channels),
        width=WIDTH,
        polarisations=polarisations,
        data=np.zeros(shape, np.complex64),
        flags=np.zeros(shape, bool),
        weights=np.ones(shape, np.float32),
        stations=Stations(tuple(profile.stations[k] for k in chosen), positions, np.full(n, profile.dish)),
    )


def corrupt(
    n: int = 16,
    channels: int = 24,
    integrations: int = 10,
    *,
    noise: float = 2.3,
    drift: float = 0.0,
    sky: Sky | None = None,
    seed: int = 1,
) -> Corrupted:
    """Visibilities with gains: amplitudes ± 20 %, any phase, a ripple over the band, phases drifting (radians in all)."""
    random = np.random.default_rng(seed)
    vis = empty(n, channels, integrations)
    model = model_of(vis, sky or two_sources())
    station = random.uniform(0.8, 1.2, (n, 1, 2)) * np.exp(1j * random.uniform(-np.pi, np.pi, (n, 1, 2)))
    c = np.arange(channels)[None, :, None]
    ripple = 1.0 + 0.1 * np.sin(
        2 * np.pi * c / random.uniform(10, 30, (n, 1, 2)) + random.uniform(0, 6, (n, 1, 2))
    )
    slope = np.exp(1j * random.normal(0, 0.01, (n, 1, 2)) * c)
    rate = random.normal(0, drift, (n, 1, 2))
    t = np.linspace(-0.5, 0.5, integrations)[:, None, None, None]
    gains = (station * ripple * slope)[None] * np.exp(1j * rate[None] * t)
    at = np.repeat(np.arange(integrations), n * (n + 1) // 2)
    truth = model * gains[at, vis.antenna1] * np.conj(gains[at, vis.antenna2])
    scatter = random.normal(0, noise, (*truth.shape, 2))
    vis.data[:] = truth + scatter[..., 0] + 1j * scatter[..., 1]
    autos = ~vis.is_cross
    vis.data[autos] = 5800.0 * np.abs(gains[at, vis.antenna1][autos]) ** 2
    vis.weights[:] = 1.0 / max(noise, 1e-3) ** 2
    return Corrupted(vis, model, gains, noise)


@pytest.fixture(scope="session")
def corrupted() -> Callable[..., Corrupted]:
    """Make corrupted visibilities: see `corrupt`."""
    return corrupt


@pytest.fixture(scope="session")
def calibrator_field() -> Corrupted:
    """Visibilities that no test may change."""
    found = corrupt(drift=0.3)
    for array in (found.vis.data, found.vis.flags, found.vis.weights):
        array.setflags(write=False)
    return found


def shared_folder(factory: pytest.TempPathFactory, name: str) -> Path:
    """A folder of this name that all processes of this test session have in common."""
    base = factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[nights.Night]:
    """A night of a small array: see `nights`."""
    folder = shared_folder(tmp_path_factory, "dsa110-night")
    truth = nights.once(folder, nights.make_night)
    with Site.open(folder) as site:
        yield nights.Night(site, truth)


@pytest.fixture(scope="module")
def hard_night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[nights.Night]:
    """A night of planted faults: see `nights.make_hard_night`."""
    folder = shared_folder(tmp_path_factory, "dsa110-hard-night")
    truth = nights.once(folder, nights.make_hard_night)
    with Site.open(folder) as site:
        yield nights.Night(site, truth)


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    """One observation of sixteen subbands, and the profile of its array; no test changes it."""
    folder = tmp_path_factory.mktemp("simulated")
    settings = Settings(
        stations=4, channels=1, integrations=2, tiles=1, calibrator_tile=0, interference=False
    )
    truth = simulate(folder / "incoming", settings=settings, truth=folder / "truth")
    write_profile(folder / "instrument.toml", truth.profile)
    return folder, truth
