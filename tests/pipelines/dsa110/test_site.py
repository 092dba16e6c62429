"""A small array through the whole line, from files in a folder to published mosaics, and what is found of the truth."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.votable import parse_single_table
from astropy.wcs import WCS
from nights import SITE, Night, copy_of, digests, first_of, place_of, states

from towpath import Site
from towpath.pipelines.dsa110.science import ladder
from towpath.pipelines.dsa110.science.beam import beam_of
from towpath.pipelines.dsa110.science.calibrate import StripError, calibrate_set
from towpath.pipelines.dsa110.science.calibration_set import read_set
from towpath.pipelines.dsa110.science.choosing import DAY
from towpath.pipelines.dsa110.science.clean import noise_levels
from towpath.pipelines.dsa110.science.flagging import FlagSettings
from towpath.pipelines.dsa110.science.instrument import load_profile
from towpath.pipelines.dsa110.science.invariants import check_measurement_set
from towpath.pipelines.dsa110.science.measurement_set import read_centres
from towpath.pipelines.dsa110.science.predict import apparent_flux
from towpath.pipelines.dsa110.science.provenance import Calibrated, cards_of
from towpath.pipelines.dsa110.science.solving import mjd_seconds
from towpath.pipelines.dsa110.science.sources import read_sources
from towpath.pipelines.dsa110.science.tables import TableError
from towpath.pipelines.dsa110.simulate import Truth
from towpath.testing.content import torn

pytestmark = pytest.mark.slow


def mosaics(night: Night) -> list[Path]:
    return sorted((night.site.folder / "archive").rglob("mosaic-mosaic.fits"))


def test_the_line_publishes_what_can_be(night: Night) -> None:
    found = {item.name: states(night.site, item.name) for item in night.site.items(kind="mosaic", limit=10)}
    assert len(found) == 2, found
    assert all(set(one.values()) == {"done"} for one in found.values()), found
    assert len(mosaics(night)) == 2
    for path in mosaics(night):
        names = {file.name for file in path.parent.iterdir()}
        assert {
            "mosaic-sources.vot",
            "mosaic-quicklook.png",
            "crossmatch-matches.vot",
            "crossmatch-sky.png",
            "provenance.json",
        } <= names


def test_a_truncated_subband_holds_its_observation_and_nothing_else(night: Night) -> None:
    last = max(item.key for item in night.site.items(kind="observation", limit=10))
    assert states(night.site, f"observation/{last}")["qualify"] == "held"
    others = [item.key for item in night.site.items(kind="observation", limit=10) if item.key != last]
    assert all(states(night.site, f"observation/{key}")["image"] == "done" for key in others)


def test_one_set_is_certified_and_serves_both_groups(night: Night) -> None:
    found = [states(night.site, item.name) for item in night.site.items(kind="calibration", limit=10)]
    ends = sorted(one["certify"] for one in found)
    assert ends[0] == "done" and ends[1] in ("rejected", "waiting")  # side by side, or one after the other
    said = [
        one.text
        for item in night.site.items(kind="calibration", limit=10)
        for row in night.site.explain(item.name)
        for one in row.reasons
    ]
    assert any("certified for this time" in text or "covers the item's own time" in text for text in said), (
        said
    )
    certified = [row for row in night.site.calibrations() if row.kind == "solutions"]
    assert len(certified) == 1


def test_gains_are_those_that_were_put_in(night: Night) -> None:
    certified = next(row for row in night.site.calibrations() if row.kind == "solutions")
    found, truth = read_set(night.site.storage.path(certified.root, certified.path)), night.truth
    assert found.gains is not None
    names = [found.bandpass.stations.index(name) for name in truth.stations]
    gains = found.bandpass.gains[0][names] * found.gains.gains[0][names]
    flags = found.bandpass.flags[0][names] | found.gains.flags[0][names]
    middle = int(np.argmin(np.abs(truth.time - found.gains.time[0])))
    expected = truth.bandpass * truth.gains[middle][:, None]
    good = ~flags & (np.abs(expected) > 0)
    ratio = np.ones_like(gains)
    ratio[good] = gains[good] / expected[good]
    for hand in range(ratio.shape[2]):  # the phase of the reference station is free, channel by channel
        for channel in range(ratio.shape[1]):
            kept = good[:, channel, hand]
            if kept.any():
                turn = ratio[kept, channel, hand].mean()
                ratio[kept, channel, hand] *= np.conj(turn) / np.abs(turn)
    assert good.mean() > 0.8
    # The mean over the channels is what a station contributes to an image.
    whole = np.where(good, ratio - 1.0, 0.0).sum(axis=1) / np.maximum(good.sum(axis=1), 1)
    assert np.abs(whole).max() < 0.01
    # Of one channel: σ / (S √n) in each part, of n = 18 baselines × 6 integrations, S the calibrator as seen.
    noise = truth.sigma / (_calibrator_seen(truth, found.calibrated.observation) * np.sqrt(18 * 6))
    away = np.abs(ratio[good] - 1.0)
    assert np.sqrt(np.mean(away**2)) < 1.1 * np.sqrt(2.0) * noise
    assert away.max() < 5.0 * np.sqrt(2.0) * noise


def _certified_facts(night: Night) -> Calibrated:
    """Of the set in force: both groups see the calibrator, and whichever is solved first serves both."""
    row = next(row for row in night.site.calibrations() if row.kind == "solutions")
    return read_set(night.site.storage.path(row.root, row.path)).calibrated


def _calibrator_seen(truth: Truth, key: str) -> float:
    """Root mean square over an observation of the calibrator's flux through the beam, in Jy."""
    profile = truth.profile
    centres = next(one.centres for one in truth.observations if key_of(one.name) == key)
    brightest = truth.sky.take(np.array([int(np.argmax(truth.sky.flux))]))
    seen = apparent_flux(brightest, beam_of(profile.beam, profile.dish), centres, truth.frequency)
    return float(np.sqrt(np.mean(seen**2)))


def key_of(name: str) -> str:
    return name.replace("-", "").replace(":", "")


def test_sources_are_found_at_their_places_with_their_fluxes(night: Night) -> None:
    sky, seen = night.truth.sky, 0
    for path in mosaics(night):
        sources = read_sources(path.with_name("mosaic-sources.vot"))
        header = fits.getheader(path)
        beam = header["BMAJ"] * 3600.0
        expected = sky.flux_at(np.array([header["RESTFRQ"]]))[:, 0]
        for ra, dec, flux in zip(np.degrees(sky.ra), np.degrees(sky.dec), expected, strict=True):
            apart = np.hypot((sources.ra - ra) * np.cos(np.radians(dec)), sources.dec - dec) * 3600.0
            if not len(apart) or apart.min() > beam:
                continue
            number = int(apart.argmin())
            snr = float(sources.snr[number])
            assert apart[number] < max(0.1 * beam, 3.0 * beam / (2.0 * snr))
            assert abs(sources.flux[number] / flux - 1.0) < max(0.02, 3.0 / snr)
            seen += 1
    assert seen >= 4


def test_headers_say_where_it_came_from(night: Night) -> None:
    for path in mosaics(night):
        header = fits.getheader(path)
        assert header["NIMAGES"] == 2 and header["BUNIT"] == "Jy/beam"
        assert header["CALHOW"] == "calibrator" and header["CALNAME"] == "3C138"
        for name in (
            "CALDATE",
            "CALAGE",
            "CALID",
            "INSTPROF",
            "GROUP",
            "DATE-OBS",
            "DATE-END",
            "EFFNOISE",
            "BMAJ",
        ):
            assert name in header, name
        assert WCS(header, naxis=2).wcs.ctype[0].startswith("RA")
        told = json.loads(path.with_name("provenance.json").read_text())
        text = json.dumps(told)
        assert all(header[f"TILE{number:03d}"] in text for number in (1, 2))


def test_sources_are_features_of_the_catalog(night: Night) -> None:
    sky = night.truth.sky
    place = (float(np.degrees(sky.ra[0])), float(np.degrees(sky.dec[0])))
    found = night.site.features(near=place, radius=0.02, kind="source")
    assert found and found[0].properties["flux"] > 1.0


def images(night: Night, output: str) -> list[Path]:
    keys = [key_of(observation.name) for observation in night.truth.observations[:4]]
    return [place_of(night.site, f"observation/{key}", "image", output) for key in keys]


def test_noise_is_that_of_theory(night: Night) -> None:
    """In every tile, beside the calibrator too."""
    for path in images(night, "residual"):
        header = fits.getheader(path)
        assert header["RMS"] == pytest.approx(header["RMSTHEO"], rel=0.1), path.name
        # No weights give less than natural ones of equal receivers: σ / √n. Briggs' and unequal gains cost some.
        least = night.truth.sigma / np.sqrt(header["NVIS"])
        assert least < header["RMSTHEO"] < 1.3 * least, path.name


def test_clean_leaves_no_structure(night: Night) -> None:
    """Residuals are noise: below 5 σ at sources, as high as noise goes elsewhere, with its tails, and even.

    The noise of the gains, σ / (S √n) of each part, stays in all integrations of a channel: beside a source seen
    with S' a visibility errs by √2 S' σ / (S √n), in means over m integrations √(2 m / n) S' / S of its noise.
    """
    solved = _calibrator_seen(night.truth, _certified_facts(night).observation)
    for path in images(night, "residual"):
        here = _calibrator_seen(night.truth, fits.getheader(path)["OBJECT"]) / solved
        beside = np.sqrt(1.0 + 2.0 * 6 / (18 * 6) * here**2)
        header = fits.getheader(path)
        over = np.abs(fits.getdata(path).squeeze().astype(np.float32)) / header["RMS"]
        cell = header["CDELT2"]
        around, wcs = round(3.0 * header["BMAJ"] / cell), WCS(header, naxis=2, fix=False)
        for x, y in wcs.wcs_world2pix(np.degrees(np.stack([night.truth.sky.ra, night.truth.sky.dec], 1)), 0):
            if 0 <= x < over.shape[1] and 0 <= y < over.shape[0]:
                row, column = round(y), round(x)
                part = (
                    slice(max(0, row - around), row + around),
                    slice(max(0, column - around), column + around),
                )
                assert over[part].max() < 5.0 * beside, path.name
        assert over.max() < _highest(over.size * cell**2 / (header["BMAJ"] * header["BMIN"])), path.name
        assert (over > 3.0).mean() < 1.5 * 0.0027, path.name
        # A part has some 1,600 beams: its noise is known to 3 % (median absolute deviation), the worst of 64 to 10 %.
        residual = fits.getdata(path).squeeze().astype(np.float32)
        assert noise_levels(residual, 180) == pytest.approx(header["RMS"], rel=0.15), path.name


def _highest(beams: float) -> float:
    """Standard deviations that noise of so many beams exceeds, up or down, in one image of a thousand.

    Expected regions above u are R (4 ln 2) (2π)^(−3/2) u exp(−u²/2), of R areas FWHM² (Worsley et al. 1992, J. Cereb.
    Blood Flow Metab. 12, 900, equation 3): in 10⁵ beams 0.7 are above 5, so that 5 is no limit for a whole image.
    """
    level = np.linspace(4.0, 8.0, 4001)
    regions = 2.0 * beams * 4.0 * np.log(2.0) * (2.0 * np.pi) ** -1.5 * level * np.exp(-(level**2) / 2.0)
    return float(level[np.argmax(regions < 1e-3)])


def test_a_second_run_does_nothing(night: Night, tmp_path: Path) -> None:
    with Site.open(copy_of(night, tmp_path)) as site:
        assert site.run().did_nothing


# ---- the ladder on files


def certified_set(night: Night) -> Path:
    row = next(row for row in night.site.calibrations() if row.kind == "solutions")
    return night.site.storage.path(row.root, row.path)


def converted(night: Night) -> Path:
    return min((night.site.folder / "store" / "dsa110" / "observation" / "convert").rglob("*.ms"))


def test_a_borrowed_set_says_so_in_every_image(night: Night, tmp_path: Path) -> None:
    told = {"is_valid": False, "age": 5 * DAY, "calibration": 1, "item": "earlier"}
    known = ladder.known_of(certified_set(night), told)
    member = ladder.Member("later", np.radians(16.1))
    choice = ladder.choose([member], known, ladder.Limits())
    assert choice.rung == "borrowed" and "3C138" in choice.source
    ladder.borrow(certified_set(night), tmp_path / "borrowed", choice)
    facts = read_set(tmp_path / "borrowed").calibrated
    assert facts.is_borrowed and facts.observation and facts.reasons
    cards = cards_of(facts, age=5 * DAY)
    assert cards["CALHOW"][0] == "borrowed" and cards["CALAGE"][0] == 120.0
    assert cards["CALID"][0] == read_set(certified_set(night)).calibrated.origin[:16]


def test_a_set_of_another_strip_is_refused(night: Night, tmp_path: Path) -> None:
    found = read_set(certified_set(night))
    other = replace(found, calibrated=replace(found.calibrated, declination=54.0))
    with pytest.raises(StripError, match=r"solved at declination \+54.00°, this observation is at \+16.10°"):
        calibrate_set(converted(night), tmp_path / "out.ms", other, flags=FlagSettings(), solved=0.0)
    assert not (tmp_path / "out.ms").exists()


def test_a_damaged_table_is_found_before_it_is_used(night: Night, tmp_path: Path) -> None:
    shutil.copytree(certified_set(night), tmp_path / "set")
    place = tmp_path / "set" / "bandpass.h5"
    content = bytearray(place.read_bytes())
    content[len(content) // 2] ^= 0xFF
    place.write_bytes(content)
    with pytest.raises((TableError, OSError)):
        read_set(tmp_path / "set")
    (tmp_path / "set" / "calibration.json").unlink()
    with pytest.raises(TableError, match=r"calibration\.json: not readable"):
        read_set(tmp_path / "set")


def test_without_any_rung_the_group_fails_loudly_and_its_observations_wait(
    night: Night, tmp_path: Path
) -> None:
    (tmp_path / "incoming").mkdir()
    for observation in night.truth.observations[3:4]:
        for path in observation.files:
            shutil.copy(night.site.folder / "incoming" / path.name, tmp_path / "incoming")
    text = SITE.format(instrument=night.site.folder / "instrument.toml")
    more = """
[pipelines.dsa110.override.items.calibration.stages.solve_bandpass]
attempts = 1
"""
    text = text.replace(
        "[pipelines.dsa110.override.items.calibration.group]\nsize = 2",
        "[pipelines.dsa110.override.items.calibration.group]\nsize = 1",
    )
    text = text.replace(
        "[pipelines.dsa110.override.items.calibration.stages.solve_bandpass]\n", more.lstrip()
    )
    (tmp_path / "towpath.toml").write_text(text)
    with Site.open(tmp_path) as site:
        site.run()
        (group,) = site.items(kind="calibration", limit=5)
        assert states(site, group.name)["solve_bandpass"] == "failed"
        (observation,) = site.items(kind="observation", limit=5)
        assert states(site, observation.name)["apply"] == "waiting"
        said = " ".join(reason.text for row in site.explain(group.name) for reason in row.reasons)
        assert "no known calibrator" in said and "near enough to borrow" in said
        waits = " ".join(reason.text for row in site.explain(observation.name) for reason in row.reasons)
        assert "solutions" in waits


# ---- none of the ways to lose a mosaic: numbers are those of the issue


def test_known_files_are_not_registered_again_and_nothing_is_made_twice(night: Night, tmp_path: Path) -> None:
    """1, 2: arrivals survive a restart, at another place too."""
    with Site.open(copy_of(night, tmp_path)) as site:
        before = {item.name: len(site.show(item.name).runs) for item in site.items(limit=100)}
        assert site.run().did_nothing
        assert {item.name: len(site.show(item.name).runs) for item in site.items(limit=100)} == before


def test_a_measurement_set_that_is_gone_is_made_again_before_it_is_used(night: Night, tmp_path: Path) -> None:
    """3, 5."""
    with Site.open(copy_of(night, tmp_path)) as site:
        name = f"observation/{first_of(site, 'observation')}"
        place = place_of(site, name, "convert", "ms")
        shutil.rmtree(place)
        assert site.verify()[1]
        site.rerun(name, stage="apply")
        site.run()
        again = place_of(site, name, "convert", "ms")
        assert again != place and not check_measurement_set(
            again, load_profile(site.folder / "instrument.toml")
        )
        assert states(site, name)["image"] == "done"


def test_phase_centres_are_those_of_the_sky(night: Night) -> None:
    """4: of every integration, and phase and reference centres alike."""
    for observation in night.truth.observations[:4]:
        sets = (night.site.folder / "store" / "dsa110" / "observation" / "convert").iterdir()
        key = key_of(observation.name)
        path = next(one for one in sets if one.name.startswith(key))
        path = path if path.suffix == ".ms" else next(path.glob("*.ms"))
        found = read_centres(path)
        assert np.abs(found - observation.centres).max() < np.radians(0.1 / 3600)
        assert np.array_equal(found, read_centres(path, "REFERENCE_DIR"))


def test_a_calibration_without_its_files_is_named(night: Night, tmp_path: Path) -> None:
    """6, 7."""
    with Site.open(copy_of(night, tmp_path)) as site:
        row = next(row for row in site.calibrations() if row.kind == "solutions")
        assert row.bytes_are == "current"
        shutil.rmtree(site.storage.path(row.root, row.path))
        row = next(row for row in site.calibrations() if row.kind == "solutions")
        assert row.bytes_are == "missing" and row.item.startswith("dsa110/calibration/")


def test_what_is_lost_is_made_again_with_equal_bytes_and_no_more(night: Night, tmp_path: Path) -> None:
    """8, 9, 10: idempotent by key, and looked for on the disk."""
    with Site.open(copy_of(night, tmp_path)) as site:
        mosaic = f"mosaic/{first_of(site, 'mosaic')}"
        place = place_of(site, mosaic, "mosaic", "mosaic")
        before = hashlib.sha256(place.read_bytes()).hexdigest()
        runs = len(site.show(mosaic).runs)
        shutil.rmtree(place.parent)
        site.verify()
        site.rerun(mosaic, stage="mosaic")
        site.run()
        again = place_of(site, mosaic, "mosaic", "mosaic")
        assert hashlib.sha256(again.read_bytes()).hexdigest() == before
        assert len(site.show(mosaic).runs) == runs + 1
        assert len(list((site.folder / "archive").rglob("mosaic-mosaic.fits"))) == 2


def test_every_mosaic_is_registered_finalised_and_in_the_archive_with_its_verdicts(night: Night) -> None:
    """11, 12, 13, 14, 16, 17, 23, 24."""
    for item in night.site.items(kind="mosaic", limit=10):
        told = night.site.show(item.name)
        (publication,) = told.publications
        assert publication.state.value in ("committed", "released")
        folder = night.site.storage.path(publication.archive, publication.target)
        assert folder.is_relative_to((night.site.folder / "archive").resolve())
        assert folder.name == item.key == fits.getheader(folder / "mosaic-mosaic.fits")["GROUP"]
        manifest = json.loads((folder / "MANIFEST.json").read_text())
        files = {one["path"]: one["sha256"] for one in manifest["files"]}
        for name, sha256 in files.items():
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha256
        verdicts = {stage: verdict for stage, verdict, *_ in told.verdicts}
        assert set(verdicts) == {"assess", "compare"}
        assert all(rule.value is not None for rule in verdicts["assess"].rules)


def test_measurement_sets_are_let_go_when_all_have_used_them_and_come_back(
    night: Night, tmp_path: Path
) -> None:
    """Intermediates are large: `keep` of the pipeline file."""
    with Site.open(copy_of(night, tmp_path)) as site:
        name = f"observation/{first_of(site, 'observation')}"
        archived = sorted((site.folder / "archive").rglob("mosaic-mosaic.fits"))
        place = place_of(site, name, "apply", "ms")
        site.sweep(grace=0.0)
        site.sweep(grace=0.0)
        gone = {(row.product.stage, row.product.output) for row in site.show(name).let_go}
        assert {("convert", "ms"), ("apply", "ms")} <= gone
        assert not place.exists() and site.run().did_nothing
        assert sorted((site.folder / "archive").rglob("mosaic-mosaic.fits")) == archived
        site.rerun(name, stage="image")
        site.run()
        assert states(site, name)["image"] == "done"
        assert place_of(site, name, "apply", "ms").exists()


# ---- what changes, and what is told


def test_a_changed_parameter_of_the_image_makes_what_follows_and_nothing_before(
    night: Night, tmp_path: Path
) -> None:
    folder = copy_of(night, tmp_path)
    place = folder / "towpath.toml"
    place.write_text(place.read_text().replace("cell = 3.5", "cell = 3.5, robust = 0.0"))
    with Site.open(folder) as site:
        before = [(run.stage, run.token) for item in site.items(limit=50) for run in site.runs(item.name)]
        site.apply()
        site.run()
        after = [(run.stage, run.token) for item in site.items(limit=50) for run in site.runs(item.name)]
        stages = [stage for stage, _ in after]
        for stage, _ in before:
            stages.remove(stage)
        assert set(stages) <= {"image", "mosaic", "assess", "crossmatch", "compare", "publish"}
        assert stages.count("image") == 4 and stages.count("mosaic") == 2


def test_a_set_that_is_withdrawn_takes_its_observations_back(night: Night, tmp_path: Path) -> None:
    with Site.open(copy_of(night, tmp_path)) as site:
        row = next(row for row in site.calibrations() if row.kind == "solutions")
        site.decertify(row.number, why="clouds")
        waiting = sorted(item.name for item in site.items(kind="observation", limit=10))[
            :4
        ]  # the fifth is held
        assert {states(site, name)["apply"] for name in waiting} == {"waiting"}
        assert all(
            any("solutions" in reason.text for row in site.explain(name, "apply") for reason in row.reasons)
            for name in waiting
        )


def test_images_say_where_they_are_and_what_they_were_calibrated_by(night: Night) -> None:
    row = next(row for row in night.site.calibrations() if row.kind == "solutions")
    facts = read_set(night.site.storage.path(row.root, row.path)).calibrated
    for observation in night.truth.observations[:4]:
        key = key_of(observation.name)
        header = fits.getheader(place_of(night.site, f"observation/{key}", "image", "image"))
        assert header["CALHOW"] == "calibrator" and header["CALNAME"] == "3C138" == facts.source
        assert header["CALDATE"] == facts.solved and header["CALOBS"] == facts.observation
        assert header["CALID"] == facts.origin[:16] and header["INSTPROF"] == facts.instrument[:16]
        middle = float(observation.time.mean())
        age = abs(middle - mjd_seconds(facts.solved)) / 3600.0
        assert header["CALAGE"] == pytest.approx(age, abs=2.0 / 3600.0)
        assert header["BUNIT"] == "Jy/beam" and header["BMAJ"] > header["BMIN"] > 0
        centre = np.degrees(observation.centre)
        assert (header["CRVAL1"], header["CRVAL2"]) == pytest.approx(tuple(centre), abs=1e-3)
        assert header["OBJECT"] == key


def test_provenance_names_the_calibration_and_every_observation(night: Night) -> None:
    text = mosaics(night)[0].with_name("provenance.json").read_text()
    for name in ("solve_gain", "solve_bandpass", "convert", "apply", "image", "subband"):
        assert name in text, name
    document = json.loads(text)
    versions = [
        facts["towpath:versions"] for facts in document["agent"].values() if "towpath:versions" in facts
    ]
    for name in ("numpy", "numba", "h5py", "python-casacore", "ducc0", "towpath", "python"):
        assert any(name in one for one in versions), name


def test_the_reference_catalogue_agrees(night: Night) -> None:
    item = min(item.name for item in night.site.items(kind="mosaic", limit=10))
    told = {one.name: one.value for run in night.site.runs(item) for one in run.measures}
    assert told["n_matched"] >= 2 and told["n_forced"] >= told["n_matched"]
    forced = parse_single_table(str(mosaics(night)[0].with_name("crossmatch-forced.vot"))).to_table()
    bright = forced["expected"] > 0.1
    # The catalogue scatters by 3 %.
    assert np.abs(forced["flux"][bright] / forced["expected"][bright] - 1.0).max() < 4 * 0.03


def test_kills_at_any_instant_change_nothing(night: Night, tmp_path: Path) -> None:
    """16, and beyond: daemon and workers die together, five times; nobody has to unlock anything."""
    folder = tmp_path / "killed"
    (folder / "incoming").mkdir(parents=True)
    for observation in night.truth.observations[:2]:
        for path in observation.files:
            shutil.copy(night.site.folder / "incoming" / path.name, folder / "incoming")
    shutil.copytree(night.site.folder / "incoming" / "catalogues", folder / "incoming" / "catalogues")
    text = SITE.format(instrument=night.site.folder / "instrument.toml")
    (folder / "towpath.toml").write_text(text)
    program = [str(Path(sys.executable).with_name("towpath")), "--site", str(folder), "run"]
    random, deaths = np.random.default_rng(3), 0
    for _ in range(5):
        running = subprocess.Popen(
            program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            running.wait(timeout=float(random.uniform(2.0, 7.0)))
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
            deaths += 1
    assert deaths >= 2
    ended = subprocess.run(program, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (found,) = (folder / "archive").rglob("mosaic-mosaic.fits")
    with Site.open(folder) as site:
        assert torn(site) == []
        assert site.run().did_nothing
        image = f"observation/{first_of(site, 'observation')}"
        made = place_of(site, image, "convert", "ms")
    whole = place_of(night.site, image, "convert", "ms")
    assert digests(made) == digests(whole)
    header = fits.getheader(found)
    assert header["NIMAGES"] == 2 and not list((folder / "archive").rglob(".*"))
