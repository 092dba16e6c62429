"""A survey file is read whole and in range, or refused with an error that names the place."""

import io
import lzma
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath.pipelines.gam.science.stations import (
    Stations,
    SurveyFormatError,
    _parse_by_line,
    _parse_fast,
    read_stations,
    write_stations,
)

GOOD = "-34.39150  17.71900   -589.00  979724.79\r\n-34.48000  17.76100   12.00  979712.90\r\n"
EXPECTED_COLUMNS = "expected 4 (latitude, longitude, height, observed gravity)"


def write(path: Path, text: str) -> Path:
    path.write_bytes(lzma.compress(text.encode()) if path.suffix == ".xz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["survey.ast", "survey.ast.xz"])
def test_reads_the_columns_in_order(tmp_path: Path, name: str) -> None:
    stations = read_stations(write(tmp_path / name, GOOD))
    assert len(stations) == 2
    assert stations.latitude.tolist() == [-34.3915, -34.48]
    assert stations.longitude.tolist() == [17.719, 17.761]
    assert stations.height.tolist() == [-589.0, 12.0]
    assert stations.gravity.tolist() == [979724.79, 979712.90]


def test_blank_lines_and_one_station_are_fine(tmp_path: Path) -> None:
    stations = read_stations(write(tmp_path / "one.ast", "\n\n -10 350.5 1e2 978000.5\n\n"))
    assert (len(stations), float(stations.longitude[0]), float(stations.height[0])) == (1, 350.5, 100.0)


BAD_ROWS = {
    "three columns": ("1 2 3", f"line 3: found 3 columns, {EXPECTED_COLUMNS}"),
    "one column": ("1", f"line 3: found 1 column, {EXPECTED_COLUMNS}"),
    "five columns": ("1 2 3 4 5", f"line 3: found 5 columns, {EXPECTED_COLUMNS}"),
    "latitude 95": (
        "95 2 3 978000",
        "line 3, column 1 (latitude): found '95', expected a number in degrees from -90 to 90",
    ),
    "longitude 400": (
        "5 400 3 978000",
        "line 3, column 2 (longitude): found '400', expected a number in degrees from -180 to 360",
    ),
    "text": ("5 6 high 978000", "line 3, column 3 (height): found 'high', expected a number in metres"),
    "nan": ("5 6 7 nan", "line 3, column 4 (observed gravity): found 'nan', expected a number in mGal"),
    "infinity": ("5 6 7 inf", "line 3, column 4 (observed gravity): found 'inf', expected a number in mGal"),
    "decimal comma": (
        "5,5 6 7 978000",
        "line 3, column 1 (latitude): found '5,5', expected a number in degrees from -90 to 90",
    ),
    "underscore": (
        "5 6 1_000 978000",
        "line 3, column 3 (height): found '1_000', expected a number in metres",
    ),
    "comment": ("# 5 6 7 8", f"line 3: found 5 columns, {EXPECTED_COLUMNS}"),
    "umlaut": ("5 6 7 ü", "line 3: found byte 0xc3, expected plain ASCII text"),
}


@pytest.mark.parametrize("name", ["survey.ast", "survey.ast.xz"])
@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_bad_row_is_named(tmp_path: Path, case: str, name: str) -> None:
    row, message = BAD_ROWS[case]
    with pytest.raises(SurveyFormatError) as refused:
        read_stations(write(tmp_path / name, GOOD + row + "\n" + GOOD))
    assert str(refused.value) == f"{name}, {message}"
    assert refused.value.line == 3


@pytest.mark.parametrize("name", ["survey.ast", "survey.ast.xz"])
@pytest.mark.parametrize("text", ["", " \n\r\n"])
def test_an_empty_file_is_refused(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(SurveyFormatError, match="found an empty file, expected at least one station"):
        read_stations(write(tmp_path / name, text))


def test_a_file_of_no_bytes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "none.ast.xz").touch()
    with pytest.raises(SurveyFormatError, match=r"none.ast.xz: found an empty file"):
        read_stations(tmp_path / "none.ast.xz")


def test_every_truncation_of_xz_is_refused(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.ast.xz", GOOD * 30).read_bytes()
    cut = tmp_path / "cut.ast.xz"
    for length in range(1, len(whole)):
        cut.write_bytes(whole[:length])
        with pytest.raises(SurveyFormatError, match="end early"):
            read_stations(cut)


def test_damaged_xz_is_refused(tmp_path: Path) -> None:
    raw = bytearray(write(tmp_path / "bad.ast.xz", GOOD * 30).read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    (tmp_path / "bad.ast.xz").write_bytes(raw)
    with pytest.raises(SurveyFormatError, match="damaged xz data"):
        read_stations(tmp_path / "bad.ast.xz")


def test_bytes_after_the_end_of_xz_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "more.ast.xz", GOOD)
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(SurveyFormatError, match="4 bytes after its end"):
        read_stations(path)


def test_text_named_xz_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.ast.xz").write_text(GOOD)
    with pytest.raises(SurveyFormatError, match="expected xz-compressed data"):
        read_stations(tmp_path / "text.ast.xz")


def test_the_error_survives_a_process_boundary() -> None:
    error = SurveyFormatError(Path("a.ast"), line=2, column=1, found="'x'", expected="a number")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.line, copy.column) == (str(error), 2, 1)
    assert isinstance(error, ValueError)


def test_writing_is_deterministic_and_read_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    stations = Stations(
        rng.uniform(-90, 90, 50).round(5),
        rng.uniform(-180, 180, 50).round(5),
        rng.uniform(-500, 3000, 50).round(2),
        rng.uniform(976e3, 983e3, 50).round(2),
    )
    for name in ("a.ast.xz", "b.ast.xz", "c.ast"):
        write_stations(tmp_path / name, stations)
        again = read_stations(tmp_path / name)
        for field in ("latitude", "longitude", "height", "gravity"):
            assert np.array_equal(getattr(again, field), getattr(stations, field))
    assert (tmp_path / "a.ast.xz").read_bytes() == (tmp_path / "b.ast.xz").read_bytes()


def test_select_takes_masks_and_indices() -> None:
    stations = Stations(*(np.arange(4.0) + 10 * i for i in range(4)))
    assert stations.select(np.array([True, False, False, True])).height.tolist() == [20.0, 23.0]
    assert stations.select(np.array([2, 0])).gravity.tolist() == [32.0, 30.0]


number = st.floats(-89, 89, allow_subnormal=False).map(repr) | st.integers(-89, 89).map(str)
field = number | st.sampled_from(["1e1", "+5", ".5", "5.", "1E+01", "0x10", "1d3", "--1", "1e", "1_0"])


@settings(max_examples=300)
@given(st.lists(st.lists(field, min_size=4, max_size=4), min_size=1, max_size=4))
def test_the_fast_parser_agrees_with_the_slow_one(rows: list[list[str]]) -> None:
    text = "\n".join("\t ".join(row) for row in rows) + "\n"
    fast = _parse_fast(text)
    try:
        slow = _parse_by_line(Path("x.ast"), text)
    except SurveyFormatError:
        assert fast is None
    else:
        assert fast is None or np.array_equal(fast, slow)
        assert np.array_equal(slow, np.array([line.split() for line in io.StringIO(text)], dtype=float))
