"""Planted faults of sky, array and disks, through a whole site: each ends in its documented state, and nothing else stops.

Those of files that arrive are in test_arrivals.py, those of publication in test_publication.py.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from nights import Night, copy_of, place_of, states

from towpath import Site
from towpath.contracts.lineage import ancestry
from towpath.pipelines.dsa110.science.calibration_set import read_set
from towpath.pipelines.dsa110.science.sky import points
from towpath.pipelines.dsa110.science.sources import read_sources
from towpath.pipelines.dsa110.simulate import Settings, Truth, simulate

pytestmark = pytest.mark.slow


def measures(site: Site, name: str, stage: str) -> dict[str, float]:
    return {
        one.name: float(one.value)
        for run in site.runs(name)
        if run.stage == stage
        for one in run.measures
        if isinstance(one.value, int | float)
    }


def keys(site: Site, kind: str) -> list[str]:
    return sorted(item.name for item in site.items(kind=kind, limit=20))


def told(site: Site, name: str, stage: str) -> str:
    return " ".join(text for row in site.explain(name, stage) for text in row.sentences)


# ---- the sky


def test_a_mosaic_over_right_ascension_zero_is_right(hard_night: Night) -> None:
    """Tiles at 359.5° and 0.8°: one picture as wide as both, sources on either side of 0 at their places."""
    name = keys(hard_night.site, "mosaic")[0]
    assert set(states(hard_night.site, name).values()) == {"done"}
    (path,) = (hard_night.site.folder / "archive").rglob("mosaic-mosaic.fits")
    header = fits.getheader(path)
    pixels = header["NAXIS1"], header["NAXIS2"]
    wide = 1080 * 5.0 / 3600.0 + 1.2914 * np.cos(np.radians(16.1))
    assert pixels[0] * abs(header["CDELT1"]) == pytest.approx(wide, rel=0.05)
    middle = WCS(header, naxis=2).pixel_to_world_values(pixels[0] / 2.0, pixels[1] / 2.0)
    assert (float(middle[0]) + 180.0) % 360.0 - 180.0 == pytest.approx(0.146, abs=0.02)
    sources, sky = read_sources(path.with_name("mosaic-sources.vot")), hard_night.truth.sky
    # Gains of 19 stations, solved on this field by the calibrator alone, take 2/19 of what is beside it.
    for number, flux, taken in ((0, 10.0, 0.0), (1, 0.5, 2 / 19), (2, 0.4, 2 / 19)):
        ra, dec = np.degrees(sky.ra[number]), np.degrees(sky.dec[number])
        east = (sources.ra - ra + 180.0) % 360.0 - 180.0
        apart = np.hypot(east * np.cos(np.radians(dec)), sources.dec - dec) * 3600.0
        nearest = int(apart.argmin())
        beam, snr = header["BMAJ"] * 3600.0, float(sources.snr[nearest])
        assert apart[nearest] < max(0.1 * beam, 3.0 * beam / (2.0 * snr))
        # Three sigma, 2 %, and 3 % for pixels that are half as wide as the beam.
        assert abs(sources.flux[nearest] / flux - 1.0) < max(0.05, 3.0 / snr) + taken


def test_a_change_of_declination_within_a_group_holds_its_mosaic_and_no_other(hard_night: Night) -> None:
    first, second = keys(hard_night.site, "mosaic")
    found = states(hard_night.site, second)
    assert (found["mosaic"], found["assess"], found["publish"]) == ("done", "held", "waiting")
    assert "tiles that do not fit together" in told(hard_night.site, second, "assess")
    caveats = " ".join(text for run in hard_night.site.runs(second) for text in run.caveats)
    assert "declination is 2.0" in caveats and "at most 1 is allowed" in caveats
    assert states(hard_night.site, first)["publish"] == "done"
    assert all(
        states(hard_night.site, name)["image"] == "done" for name in keys(hard_night.site, "observation")
    )


# ---- the array


def test_a_dead_station_is_counted_and_named(hard_night: Night) -> None:
    site, (dead,) = hard_night.site, hard_night.truth.dead
    name = keys(site, "calibration")[0]
    (run,) = (run for run in site.runs(name) if run.stage == "solve_bandpass")
    assert {one.name: one.value for one in run.measures}["n_dead"] == 1
    assert f"dead stations: {dead}" in site.log(run.name)
    for observation in keys(
        site, "observation"
    ):  # its baselines, 19 of 190, are flagged, and no more of a clean one
        assert measures(site, observation, "apply")["flagged"] >= 0.1
    clean = keys(site, "observation")[3]
    assert measures(site, clean, "apply")["flagged"] < 0.12
    noise = measures(site, clean, "image")
    assert noise["rms"] / noise["expected_rms"] < 1.3


def test_interference_in_a_whole_subband_is_flagged_and_does_no_harm(hard_night: Night) -> None:
    site, name = hard_night.site, keys(hard_night.site, "observation")[2]
    found = measures(site, name, "apply")
    assert found["interference"] == pytest.approx(1 / 16, abs=0.02)
    assert found["flagged"] == pytest.approx(1 - 0.9 * 15 / 16, abs=0.02)  # and the dead station
    noise = measures(site, name, "image")
    assert noise["rms"] / noise["expected_rms"] < 1.3
    waterfall = place_of(site, name, "apply", "waterfall")
    assert waterfall.stat().st_size > 1000


# ---- sets of another time, and of another strip


def arrives(site: Site, folder: Path, start: str, declination: float) -> tuple[str, str]:
    """Let one observation arrive, with no calibrator in its field, and a person take its group as it is: their names."""
    before = {item.name for item in site.items(limit=100)}
    sky = points(np.array([1.0]), np.radians([declination]), np.array([0.01]), 1.4e9)
    settings = Settings(stations=20, tiles=1, start=start, declination=declination, sky=sky)
    simulate(site.folder / "incoming", settings=settings, truth=folder / "truth")
    site.run()
    (observation,) = set(keys(site, "observation")) - before
    (group,) = set(keys(site, "calibration")) - before
    assert states(site, group)["solve_bandpass"] == "waiting"
    assert site.close_item(group) == 1
    site.run()
    return observation, group


def test_a_set_of_another_strip_is_refused_and_one_that_ended_is_borrowed(
    night: Night, tmp_path: Path
) -> None:
    """The set is valid until 07:44 of the next day. What fails stops nothing of what comes after it."""
    with Site.open(copy_of(night, tmp_path)) as site:
        certified = next(row for row in site.calibrations() if row.kind == "solutions")
        observation, group = arrives(site, tmp_path, "2025-06-14T23:44:00", 54.0)
        assert states(site, observation)["apply"] == "failed"
        said = told(site, observation, "apply")
        assert "solved at declination +16.10" in said and "+54.00" in said, said
        assert states(site, group)["solve_bandpass"] == "failed"
        said = told(site, group, "solve_bandpass")
        assert "was solved at declination +16.10" in said and "3° are allowed" in said, said

        observation, group = arrives(site, tmp_path, "2025-06-20T07:44:00", 16.1)
        assert states(site, group)["certify"] == "done"
        assert states(site, observation)["image"] == "done"
        header = fits.getheader(place_of(site, observation, "image", "image"))
        assert header["CALHOW"] == "borrowed" and header["CALNAME"] == "3C138"
        assert header["CALAGE"] == pytest.approx(132.0, abs=0.5)  # hours: 5 days, and 12 hours of validity
        assert (
            header["CALID"]
            == read_set(site.storage.path(certified.root, certified.path)).calibrated.origin[:16]
        )
        (image,) = (
            one for one in site.show(observation).products if (one.stage, one.output) == ("image", "image")
        )
        with site.catalog.read() as view:
            lineage = ancestry(view, [image])
        behind = {(lineage.items[one.item].name, one.stage, one.output) for one in lineage.products.values()}
        assert {(group, "solve_gain", "solutions"), (certified.item, "solve_gain", "solutions")} <= behind
        caveats = " ".join(text for run in site.runs(observation) for text in run.caveats)
        assert "borrowed" in caveats and "3C138" in caveats
        (run,) = (run for run in site.runs(group) if run.stage == "solve_bandpass")
        assert {one.name: one.value for one in run.measures}["rung"] == "borrowed"
        assert any("no certified set is valid at the group's time" in text for text in run.caveats)


# ---- disks


def test_a_store_that_moved_is_missed_and_nothing_is_made_twice(night: Night, tmp_path: Path) -> None:
    folder, elsewhere = copy_of(night, tmp_path), tmp_path / "elsewhere"
    with Site.open(folder) as site:
        runs = {item.name: len(site.runs(item.name)) for item in site.items(limit=100)}
        assert site.status().bad_products == 0
    (folder / "store").rename(elsewhere)
    with Site.open(folder) as site:
        with pytest.raises(Exception, match="no such folder"):
            site.remap("store", tmp_path / "nowhere")
        found = site.remap("store", elsewhere, write=True)
        assert found
        assert site.run().did_nothing
        assert {item.name: len(site.runs(item.name)) for item in site.items(limit=100)} == runs
        assert place_of(site, keys(site, "mosaic")[0], "mosaic", "mosaic").is_relative_to(elsewhere)


NAME = "observation/20250614T193944"
SITE = """\
[site]
name = "full"
executor = "local"
workers = 1
[roots]
store = "{store}"
[pipelines.dsa110.override.sources.subbands]
settle = "0 s"
[pipelines.dsa110.override.items.observation.stages.convert]
params = {{ instrument = "{instrument}" }}
attempts = 2
backoff = "50 ms"
resources = {{ cores = 1, memory = "1 GB", disk = "{disk}" }}
"""


@pytest.fixture
def make(tmp_path: Path, simulated: tuple[Path, Truth]) -> Callable[..., Path]:
    """Make the site of one small observation."""

    def made(*, store: Path, disk: str) -> Path:
        folder = tmp_path / "site"
        folder.mkdir(exist_ok=True)
        if not (folder / "incoming").exists():
            shutil.copytree(simulated[0] / "incoming", folder / "incoming")
        instrument = simulated[0] / "instrument.toml"
        (folder / "towpath.toml").write_text(SITE.format(store=store, disk=disk, instrument=instrument))
        return folder

    return made


def test_where_there_is_less_room_than_a_stage_declares_nothing_of_it_is_begun(
    make: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "store").mkdir()
    with Site.open(make(store=tmp_path / "store", disk="1000 TB")) as site:
        ended = site.run(patience=0.5).ended
        assert "a run of convert needs" in ended and "are free" in ended
        assert (states(site, NAME)["qualify"], states(site, NAME)["convert"]) == ("done", "ready")
        assert "of disk" in told(site, NAME, "convert")
        assert not [run for run in site.runs(NAME) if run.stage == "convert"]
    with Site.open(make(store=tmp_path / "store", disk="1 MB")) as site:
        site.run()
        assert states(site, NAME)["convert"] == "done"


def test_a_disk_that_is_full_when_a_set_is_begun_is_told_and_leaves_nothing_half_done(
    make: Callable[..., Path], small_disk: Path
) -> None:
    """Declared too small: the stage itself finds no room, and its worker lives. It goes on when there is room."""
    filler = small_disk / "filler"
    filler.write_bytes(b"f" * 600_000)
    with Site.open(make(store=small_disk, disk="1 KB")) as site:
        site.run()
        assert states(site, NAME)["convert"] == "failed"
        runs = [run for run in site.runs(NAME) if run.stage == "convert"]
        assert [run.outcome.value for run in runs] == ["transient", "transient"]
        assert all("No space left on device" in run.error and "bytes free" in run.error for run in runs)
        assert "No space left on device" in told(site, NAME, "convert")
        assert [path for path in small_disk.rglob("*") if path.is_file()] == [filler]
        filler.unlink()
        assert site.retry(NAME, "convert") == 1
        site.run()
        assert states(site, NAME)["convert"] == "done"
        assert len(list(small_disk.rglob("*.ms"))) == 1
