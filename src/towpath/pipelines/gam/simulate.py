"""Simulates a gravity survey over buried bodies at known places, in the format of real compilations.

Stations follow wavy roads with gaps, others lie about the land and a few at sea; observed gravity is the sum of normal
gravity, a slab of topography, a regional trend, the attraction of prisms, and noise, with a few outliers and repeated
stations. Equal arguments give equal bytes; the truth is written beside the survey and never into it.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import boule
import harmonica
import numpy as np
from pyproj import CRS

from .science.arrays import BoolArray, FloatArray
from .science.bodies import Body, Truth, attraction, write_truth
from .science.projection import project, survey_crs, unproject
from .science.reduction import Trend, exponents
from .science.spacing import nearest_distances
from .science.stations import Stations, write_stations

CENTRE_LATITUDE, CENTRE_LONGITUDE = -24.0, 19.0
WIDTH_M, LENGTH_M = 480_000.0, 360_000.0
ROADS_EAST, ROADS_NORTH = 9, 7
SHARE_ON_ROADS = 0.7
GAPS_M = ((-110_000.0, 70_000.0, 48_000.0, 40_000.0), (150_000.0, -85_000.0, 26_000.0, 30_000.0))
BODY_MARGIN_M = 45_000.0
BODIES_APART_M = 80_000.0
FARTHEST_FIFTH_STATION_M = 10_000.0
FEWEST_ON_LAND = 200


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """A simulated survey: its stations as an instrument gives them, and the truth."""

    stations: Stations
    truth: Truth


def simulate_survey(
    seed: int = 1,
    *,
    n_stations: int = 2_600,
    n_bodies: int = 10,
    noise_mgal: float = 0.5,
    n_outliers: int = 8,
    n_duplicates: int = 12,
    n_marine: int = 20,
) -> Survey:
    """Simulate a survey of 480 by 360 km.

    Parameters
    ----------
    seed : int
        Seed of all random choices.
    n_stations : int
        Stations in all; repeated ones and those at sea are among them.
    n_bodies : int
        Bodies to bury; fewer when they find no place.
    noise_mgal : float
        Standard deviation of the noise, in mGal.
    n_outliers, n_duplicates, n_marine : int
        Stations that are wrong by 40 to 90 mGal, repeat an earlier one, or lie at sea.

    Returns
    -------
    Survey
        Stations and truth.
    """
    n_land = n_stations - n_duplicates - n_marine
    if n_land < FEWEST_ON_LAND:
        raise ValueError(f"{n_land} stations on land are too few to simulate (at least {FEWEST_ON_LAND})")
    rng = np.random.default_rng(seed)
    crs = survey_crs(np.array([CENTRE_LATITUDE]), np.array([CENTRE_LONGITUDE]))
    places = np.concatenate([_land(rng, n_land), _sea(rng, n_marine), np.empty((n_duplicates, 2))])
    n_first = n_land + n_marine
    places[n_first:] = places[rng.choice(n_land, n_duplicates, replace=False)]
    height = topography(places)
    height[n_land:n_first] = -rng.uniform(20.0, 400.0, n_marine).round(2)
    truth = Truth(
        seed=seed,
        crs_wkt=crs.to_wkt(),
        bodies=_bodies(rng, crs, n_bodies, places[:n_land]),
        trend=_trend(rng),
        noise_mgal=noise_mgal,
        outliers=tuple(sorted(rng.choice(n_land, n_outliers, replace=False).tolist())),
        duplicates=tuple(range(n_first, n_stations)),
        marine=tuple(range(n_land, n_first)),
    )
    return Survey(_observe(rng, truth, crs, places, height), truth)


def topography(places: FloatArray) -> FloatArray:
    """Return the smooth height of the land in metres, to a centimetre, at places in projected metres."""
    x, y = places[:, 0] / 1e5, (places[:, 1] - _middle_northing()) / 1e5
    plateau = 900.0 + 250.0 * np.tanh(x + 0.4)
    hills = 180.0 * np.sin(2.1 * x + 0.6) * np.cos(1.7 * y) + 90.0 * np.sin(5.3 * x - 2.2 * y)
    peak = 400.0 * np.exp(-((x - 1.2) ** 2 + (y - 0.5) ** 2) / 0.18)
    return np.asarray((plateau + hills + peak).round(2))


def write_survey(folder: Path | str, survey: Survey, name: str = "survey") -> tuple[Path, Path, Path]:
    """Write `NAME.ast.xz`, `NAME.truth.json` and `NAME.truth.csv` into a folder, and return their paths.

    The CSV has one row a station: latitude, longitude (degrees), height (m), true disturbance (mGal).
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    data, record, table = (folder / f"{name}{end}" for end in (".ast.xz", ".truth.json", ".truth.csv"))
    stations = survey.stations
    write_stations(data, stations)
    write_truth(record, survey.truth)
    height = np.maximum(stations.height, 0.0)
    field = survey.truth.disturbance(stations.latitude, stations.longitude, height)
    rows = np.column_stack([stations.latitude, stations.longitude, height, field])
    header = "latitude,longitude,height_m,disturbance_mgal"
    np.savetxt(table, rows, fmt="%.5f,%.5f,%.2f,%.4f", header=header, comments="")
    return data, record, table


def main(argv: Sequence[str] | None = None) -> int:
    """Write a simulated survey from the command line, and the paths to standard output."""
    parser = argparse.ArgumentParser(prog="python -m towpath.pipelines.gam.simulate", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    parser.add_argument("--name", default="survey", help="name of the files")
    parser.add_argument("--seed", type=int, default=1, help="seed of all random choices")
    parser.add_argument("--stations", type=int, default=2_600, help="number of stations")
    parser.add_argument("--bodies", type=int, default=10, help="number of buried bodies")
    parser.add_argument("--noise", type=float, default=0.5, help="standard deviation of the noise, mGal")
    chosen = parser.parse_args(argv)
    survey = simulate_survey(
        chosen.seed, n_stations=chosen.stations, n_bodies=chosen.bodies, noise_mgal=chosen.noise
    )
    for path in write_survey(chosen.out, survey, chosen.name):
        sys.stdout.write(f"{path}\n")
    return 0


def _middle_northing() -> float:
    crs = survey_crs(np.array([CENTRE_LATITUDE]), np.array([CENTRE_LONGITUDE]))
    return float(project(crs, np.array([CENTRE_LATITUDE]), np.array([CENTRE_LONGITUDE]))[1][0])


def _land(rng: np.random.Generator, count: int) -> FloatArray:
    """Lay stations along the roads and about the land, none in a gap."""
    on_roads = _outside_gaps(_roads(rng, count))
    kept = np.sort(rng.permutation(len(on_roads))[: round(SHARE_ON_ROADS * count)])
    about = _outside_gaps(rng.uniform(-0.5, 0.5, (2 * count, 2)) * (WIDTH_M, LENGTH_M))
    middle = np.array([0.0, _middle_northing()])
    return np.asarray(np.concatenate([on_roads[kept], about])[:count] + middle)


def _roads(rng: np.random.Generator, count: int) -> FloatArray:
    """Draw wavy roads, with about one and a half times as many stations along them as are kept."""
    step = (ROADS_EAST * WIDTH_M + ROADS_NORTH * LENGTH_M) / (1.5 * SHARE_ON_ROADS * count)
    roads = [_road(rng, WIDTH_M, LENGTH_M, share, step) for share in _shares(ROADS_EAST)]
    roads += [_road(rng, LENGTH_M, WIDTH_M, share, step)[:, ::-1] for share in _shares(ROADS_NORTH)]
    return np.concatenate(roads)


def _shares(count: int) -> FloatArray:
    return (np.arange(count) + 0.5) / count - 0.5


def _road(rng: np.random.Generator, length: float, width: float, share: float, step: float) -> FloatArray:
    along = np.arange(-length / 2.0, length / 2.0, step)
    along += rng.uniform(-0.3, 0.3, along.size) * step
    wave, phase = rng.uniform(90e3, 220e3), rng.uniform(0.0, 2.0 * np.pi)
    across = share * width + rng.uniform(4e3, 11e3) * np.sin(2.0 * np.pi * along / wave + phase)
    return np.column_stack([along, across + rng.normal(0.0, 300.0, along.size)])


def _outside_gaps(places: FloatArray) -> FloatArray:
    inside: BoolArray = np.zeros(len(places), dtype=np.bool_)
    for east, north, half_width, half_length in GAPS_M:
        offset = (places - (east, north)) / (half_width, half_length)
        inside |= np.square(offset).sum(axis=1) < 1.0
    return places[~inside]


def _sea(rng: np.random.Generator, count: int) -> FloatArray:
    """Lay a ship's track off the western edge."""
    east = -WIDTH_M / 2.0 - rng.uniform(8e3, 14e3, count)
    north = np.linspace(-0.4, 0.4, count) * LENGTH_M + _middle_northing()
    return np.column_stack([east, north])


def _bodies(rng: np.random.Generator, crs: CRS, count: int, land: FloatArray) -> tuple[Body, ...]:
    """Bury bodies apart from one another, each where stations are near."""
    room = np.array([WIDTH_M, LENGTH_M]) - 2.0 * BODY_MARGIN_M
    tried = rng.uniform(-0.5, 0.5, (400 * max(count, 1), 2)) * room + (0.0, _middle_northing())
    tried = tried[nearest_distances(land, tried, 5)[:, -1] < FARTHEST_FIFTH_STATION_M]
    level = float(np.median(topography(land)))
    bodies: list[Body] = []
    centres = np.empty((0, 2))
    for centre in tried:
        if len(bodies) == count:
            break
        if (np.hypot(*(centres - centre).T) >= BODIES_APART_M).all():
            centres = np.vstack([centres, centre])
            bodies.append(_body(rng, crs, centre, level))
    return tuple(bodies)


def _body(rng: np.random.Generator, crs: CRS, centre: FloatArray, level: float) -> Body:
    half_east, half_north = rng.uniform(10e3, 18e3, 2)
    top = -rng.uniform(1.5e3, 4e3)
    east, north = (float(value) for value in centre)
    latitude, longitude = unproject(crs, centre[:1], centre[1:])
    body = Body(
        longitude=float(longitude[0]),
        latitude=float(latitude[0]),
        west=east - half_east,
        east=east + half_east,
        south=north - half_north,
        north=north + half_north,
        bottom=top - rng.uniform(3e3, 8e3),
        top=top,
        density_kg_m3=float(rng.choice([-1.0, 1.0]) * rng.uniform(130.0, 330.0)),
        peak_mgal=0.0,
    )
    peak = attraction((body,), centre[:1], centre[1:], np.array([level]))
    return replace(body, peak_mgal=float(peak[0]))


def _trend(rng: np.random.Generator) -> Trend:
    sizes = np.array([5.0, 18.0, 18.0, 6.0, 6.0, 6.0])
    coefficients = rng.uniform(-1.0, 1.0, len(exponents(2))) * sizes
    coefficients[0] -= 90.0
    return Trend(
        degree=2,
        centre=(0.0, _middle_northing()),
        scale=(WIDTH_M / 2.0, LENGTH_M / 2.0),
        coefficients=tuple(coefficients.tolist()),
    )


def _observe(
    rng: np.random.Generator, truth: Truth, crs: CRS, places: FloatArray, height: FloatArray
) -> Stations:
    """Return what a gravimeter reads, by boule and harmonica and not by the code under test."""
    latitude, longitude = (values.round(5) for values in unproject(crs, places[:, 0], places[:, 1]))
    surface = np.maximum(height, 0.0)
    gravity = boule.WGS84.normal_gravity((None, latitude, surface)) + harmonica.bouguer_correction(height)
    gravity += truth.disturbance(latitude, longitude, surface)
    gravity += rng.normal(0.0, truth.noise_mgal, len(places))
    wrong = rng.choice([-1.0, 1.0], len(truth.outliers)) * rng.uniform(40.0, 90.0, len(truth.outliers))
    gravity[list(truth.outliers)] += wrong
    return Stations(latitude, longitude, height, gravity.round(2))


if __name__ == "__main__":
    raise SystemExit(main())
