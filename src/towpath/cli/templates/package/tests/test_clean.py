"""Runs the stage for real, as a worker would."""

from pathlib import Path

from towpath.testing import run_stage

from {{module}}.science.series import clean
from {{module}}.stages import Clean

ROWS = [(0.0, 1.0), (1.0, 1.2), (2.0, 99.0), (3.0, 0.9), (4.0, 1.1)]


def test_a_value_that_sticks_out_is_left_out():
    assert clean(ROWS, 5.0) == [row for row in ROWS if row[1] < 2]


def test_the_stage_writes_the_cleaned_series(tmp_path: Path):
    series = tmp_path / "series.csv"
    series.write_text("time,value\n" + "".join(f"{time},{value}\n" for time, value in ROWS))

    done = run_stage(Clean(limit=5.0), {"series": series}, tmp_path)

    assert done.outcome == "done"
    assert done.measures["set aside"].value == 1
    assert len(done.outputs["cleaned"].read_text().splitlines()) == 5


def test_an_empty_series_is_rejected(tmp_path: Path):
    series = tmp_path / "series.csv"
    series.write_text("time,value\n")

    done = run_stage(Clean(), {"series": series}, tmp_path)

    assert done.outcome == "rejected"
    assert done.reasons == ("the series is empty",)
