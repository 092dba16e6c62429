"""Point results on their way from a stage to the report: brought into one form, checked, and the same past the wire."""

import datetime
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.adapters.executors.columns import MOST_BYTES, columns
from towpath.adapters.executors.wire import dump, load, report_from_plain, report_to_plain
from towpath.base.model import Features
from towpath.base.states import Outcome
from towpath.contracts.executor import FEATURES_AT_ONCE, Report
from towpath.contracts.stage import Context, Stage
from towpath.testing.context import run_stage


def made(lon: Any, lat: Any, **more: Any) -> Features:
    given = {"kind": "source", "frame": "icrs", "names": (), "properties": {}, "times": None, **more}
    return columns(lon=lon, lat=lat, **given)


# ---- one form


def test_arrays_and_lists_give_the_same() -> None:
    flux = [1.5, math.nan, math.inf]
    plain = made(
        [0.0, 359.5, 180.0],
        [90.0, -45.0, 0.0],
        names=["a", "b", "c"],
        properties={
            "flux": [1.5, None, None],
            "n": [1, 2, 3],
            "good": [True, False, True],
            "of": ["x", "y", ""],
        },
        times=[0.0, None, 2.5],
    )
    given = made(
        np.array([0.0, 359.5, 180.0], np.float32),
        np.array([90.0, -45.0, 0.0]),
        names=np.array([b"a", b"b", b"c"]),
        properties={
            "flux": np.array(flux),
            "n": np.array([1, 2, 3], np.uint8),
            "good": np.array([True, False, True]),
            "of": np.array([b"x", b"y", b""]),
        },
        times=np.array([0.0, None, 2.5], object),
    )
    assert plain == given
    assert plain.longitudes == (0.0, -0.5, -180.0)
    assert plain.latitudes == (90.0, -45.0, 0.0)
    assert (plain.names, plain.times) == (("a", "b", "c"), (0.0, None, 2.5))
    assert [json.loads(text) for text in plain.properties] == [
        {"flux": 1.5, "n": 1, "good": True, "of": "x"},
        {"flux": None, "n": 2, "good": False, "of": "y"},
        {"flux": None, "n": 3, "good": True, "of": ""},
    ]
    assert {type(one) for one in (*given.longitudes, *given.latitudes)} == {float}


def test_what_is_not_given_is_empty() -> None:
    assert made([1], [2]) == Features("source", "icrs", (1.0,), (2.0,))
    assert made([], [], properties={"flux": []}) == Features("source", "icrs", (), ())
    assert made(np.zeros(0), np.zeros(0)).longitudes == ()


def test_times_and_paths_are_told_as_texts() -> None:
    when = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
    (text,) = made([1], [2], properties={"when": [when], "file": [Path("x/y")]}).properties
    assert json.loads(text) == {"when": "2026-01-02T00:00:00+00:00", "file": "x/y"}


@given(st.floats(-180, 360), st.floats(-90, 90))
def test_a_longitude_is_kept_in_one_range(longitude: float, latitude: float) -> None:
    found = made([longitude], [latitude])
    assert -180 <= found.longitudes[0] < 180
    assert (found.longitudes[0] - longitude) % 360 == pytest.approx(0, abs=1e-9)
    assert found.latitudes == (latitude,)


# ---- what is refused


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"lat": [1.0, 2.0]}, "source: column lat: found 2 values; expected 1, as in lon"),
        ({"names": ["a", "b"]}, "source: column names: found 2 values; expected 1, as in lon"),
        ({"times": [1.0, 2.0]}, "source: column times: found 2 values; expected 1, as in lon"),
        ({"properties": {"flux": []}}, "source: column flux: found 0 values; expected 1, as in lon"),
        ({"lon": [360.5]}, "source 0: longitude: found 360.5; expected a number from -180 to 360 degrees"),
        ({"lon": [-181]}, "source 0: longitude: found -181.0; expected a number from -180 to 360 degrees"),
        ({"lon": [math.nan]}, "source 0: longitude: found nan; expected a number from -180 to 360 degrees"),
        ({"lat": [-90.1]}, "source 0: latitude: found -90.1; expected a number from -90 to 90 degrees"),
        ({"lat": [math.nan]}, "source 0: latitude: found nan; expected a number from -90 to 90 degrees"),
        ({"lon": [None]}, "source 0: lon: found None; expected a number"),
        ({"lat": ["12:30:00"]}, "source 0: lat: found '12:30:00'; expected a number"),
        ({"lon": np.zeros((1, 2))}, r"source 0: lon: found \[0.0, 0.0\]; expected a number"),
        ({"times": [math.inf]}, "source 0: time: found inf; expected seconds since the epoch"),
        ({"times": ["today"]}, "source 0: times: found 'today'; expected a number"),
        ({"frame": "fk5"}, "features: found kind 'source' in frame 'fk5'; expected a kind, in icrs or wgs84"),
        ({"kind": ""}, "features: found kind '' in frame 'icrs'; expected a kind, in icrs or wgs84"),
        ({"properties": {"box": [[1, 2]]}}, r"a property is a number or text, not \[1, 2\]"),
        ({"properties": {"more": [{"a": 1}]}}, "a property is a number or text, not {'a': 1}"),
    ],
)
def test_what_is_no_feature_is_named(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=f"^{told}$"):
        made(**{"lon": [1.0], "lat": [2.0], **given})


def test_the_second_of_two_places_is_the_one_that_is_named() -> None:
    with pytest.raises(ValueError, match=r"^source 1: latitude: found 91\.0"):
        made([1.0, 2.0], [3.0, 91.0])


def test_an_object_is_no_property() -> None:
    with pytest.raises(TypeError, match="a complex cannot be recorded"):
        made([1.0], [2.0], properties={"gain": [1 + 2j]})


@pytest.mark.parametrize("letter", ["x", "é", "\N{GREEK SMALL LETTER ALPHA}", "\N{SUNFLOWER}"])
def test_properties_have_a_size(letter: str) -> None:
    """That of their bytes, whatever the letters."""
    around, wide = len('{"note":""}'), len(letter.encode())
    fits = (MOST_BYTES - around) // wide
    (text,) = made([1.0], [2.0], properties={"note": [letter * fits]}).properties
    assert MOST_BYTES - wide < len(text.encode()) <= MOST_BYTES
    with pytest.raises(
        ValueError, match=rf"^source 0: properties: found \d+ bytes as JSON; expected at most {MOST_BYTES}$"
    ):
        made([1.0], [2.0], properties={"note": [letter * (fits + 1)]})


# ---- what a stage tells


class Finds(Stage):
    """Tells features one by one and many at once."""

    many: int = 3

    def run(self, context: Context) -> None:
        context.feature(
            "peak", lon=-0.5, lat=1.0, name="top", properties={"height": 12.5}, frame="wgs84", time=4.0
        )
        context.features("nothing", lon=[], lat=[])
        lon = np.linspace(0, 359, self.many)
        context.features("source", lon=lon, lat=np.zeros(self.many), properties={"flux": lon / 2})


def test_a_test_sees_the_features_that_a_stage_tells(tmp_path: Path) -> None:
    peak, *sources = run_stage(Finds(), {}, tmp_path).features
    assert (peak.kind, peak.longitude, peak.latitude, peak.name) == ("peak", -0.5, 1.0, "top")
    assert (peak.frame, peak.properties, peak.time) == ("wgs84", {"height": 12.5}, 4.0)
    assert [(one.kind, one.longitude, one.frame, one.time) for one in sources] == [
        ("source", 0.0, "icrs", None), ("source", 179.5, "icrs", None), ("source", 359.0, "icrs", None),
    ]  # fmt: skip
    assert [one.properties for one in sources] == [{"flux": 0.0}, {"flux": 89.75}, {"flux": 179.5}]


def test_a_run_tells_so_many_and_no_more(tmp_path: Path) -> None:
    assert len(run_stage(Finds(many=FEATURES_AT_ONCE - 1), {}, tmp_path).features) == FEATURES_AT_ONCE
    failed = run_stage(Finds(many=FEATURES_AT_ONCE), {}, tmp_path)
    assert (failed.outcome, failed.features) == (Outcome.FAILED, ())
    assert failed.error == "ValueError: features: found 20001; expected at most 20000 of one run"


# ---- the wire

_texts = st.text(max_size=6)


@st.composite
def tables(draw: st.DrawFn) -> Features:
    """Columns as a stage may give them."""
    number = draw(st.integers(0, 4))

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=number, max_size=number))

    facts = st.one_of(_texts, st.floats(), st.integers(), st.booleans(), st.none())
    return made(
        column(st.floats(-180, 360)),
        column(st.floats(-90, 90)),
        kind=draw(st.text(min_size=1, max_size=6)),
        names=draw(st.sampled_from([(), column(_texts)])),
        properties={name: column(facts) for name in draw(st.sets(_texts, max_size=3))},
        times=draw(st.sampled_from([None, column(st.one_of(st.none(), st.floats(0, 1e10)))])),
    )


@given(st.lists(tables(), max_size=2).map(tuple))
def test_features_survive_the_wire(found: tuple[Features, ...]) -> None:
    report = Report(1, 2, Outcome.DONE, features=found)
    assert report_from_plain(1, 2, load(dump(report_to_plain(report)))) == report
