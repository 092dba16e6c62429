"""A simulated survey holds what its truth says, in the format of real ones, and is equal for equal arguments."""

import csv
import subprocess
import sys
from pathlib import Path

import boule
import harmonica
import numpy as np
import pytest

from towpath.pipelines.gam.science.bodies import attraction, read_truth
from towpath.pipelines.gam.science.qualify import measure_quality
from towpath.pipelines.gam.science.stations import read_stations
from towpath.pipelines.gam.simulate import Survey, main, simulate_survey, write_survey


@pytest.fixture(scope="module")
def survey() -> Survey:
    return simulate_survey(1, n_stations=900)


def test_the_stations_are_those_of_the_truth(survey: Survey) -> None:
    stations, truth = survey.stations, survey.truth
    surface = np.maximum(stations.height, 0.0)
    observed = stations.gravity - boule.WGS84.normal_gravity((None, stations.latitude, surface))
    observed -= harmonica.bouguer_correction(stations.height)
    error = observed - truth.disturbance(stations.latitude, stations.longitude, surface)
    wrong = np.zeros(len(stations), dtype=bool)
    wrong[list(truth.outliers)] = True
    assert error[~wrong].std() == pytest.approx(truth.noise_mgal, rel=0.1)
    assert (np.abs(error[wrong]) > 35).all()


def test_faults_are_where_the_truth_says(survey: Survey) -> None:
    quality = measure_quality(survey.stations)
    assert len(survey.stations) == 900
    assert np.flatnonzero(~quality.passed).tolist() == sorted(survey.truth.marine + survey.truth.duplicates)
    assert (quality.n_negative_height, quality.n_duplicate, quality.n_out_of_range) == (20, 12, 0)
    assert not set(survey.truth.outliers) & set(survey.truth.marine + survey.truth.duplicates)


def test_bodies_are_apart_and_as_strong_as_they_say(survey: Survey) -> None:
    bodies = survey.truth.bodies
    assert len(bodies) >= 8
    for body in bodies:
        east, north = (body.west + body.east) / 2, (body.south + body.north) / 2
        alone = attraction((body,), np.array([east]), np.array([north]), np.array([900.0]))
        assert alone[0] == pytest.approx(body.peak_mgal, rel=0.1)
        assert 9e3 < body.half_size_m < 19e3
        others = [np.hypot((b.west + b.east) / 2 - east, (b.south + b.north) / 2 - north) for b in bodies]
        assert sorted(others)[1] >= 79e3


def test_files_are_equal_for_equal_seeds(tmp_path: Path) -> None:
    for folder, seed in (("a", 7), ("b", 7), ("c", 8)):
        write_survey(tmp_path / folder, simulate_survey(seed, n_stations=400))
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["survey.ast.xz", "survey.truth.csv", "survey.truth.json"]
    for name in names:
        first = (tmp_path / "a" / name).read_bytes()
        assert first == (tmp_path / "b" / name).read_bytes()
        assert first != (tmp_path / "c" / name).read_bytes()


def test_files_are_read_back(survey: Survey, tmp_path: Path) -> None:
    data, record, table = write_survey(tmp_path, survey, "mine")
    again = read_stations(data)
    for field in ("latitude", "longitude", "height", "gravity"):
        assert np.array_equal(getattr(again, field), getattr(survey.stations, field))
    assert read_truth(record) == survey.truth
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert len(rows) == 900
    assert list(rows[0]) == ["latitude", "longitude", "height_m", "disturbance_mgal"]


def test_there_is_a_gap(survey: Survey) -> None:
    latitude = survey.stations.latitude
    inside = (np.abs(latitude + 23.37) < 0.2) & (np.abs(survey.stations.longitude - 17.92) < 0.25)
    assert not inside.any()


def test_too_few_stations_are_refused() -> None:
    with pytest.raises(ValueError, match="too few to simulate"):
        simulate_survey(n_stations=100)


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["--out", str(tmp_path), "--seed", "3", "--stations", "300", "--bodies", "2", "--name", "s"])
        == 0
    )
    assert [Path(line).name for line in capsys.readouterr().out.split()] == [
        "s.ast.xz",
        "s.truth.json",
        "s.truth.csv",
    ]
    assert len(read_truth(tmp_path / "s.truth.json").bodies) <= 2


@pytest.mark.slow
def test_it_runs_as_a_module(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "towpath.pipelines.gam.simulate", "--out", str(tmp_path)]
    subprocess.run(command, check=True)
    assert len(read_stations(tmp_path / "survey.ast.xz")) == 2_600
