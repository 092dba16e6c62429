"""Point results as people see them: `towpath features`, `towpath show` and `Site.features`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from towpath import Site
from towpath.base.errors import NotFoundError, UsageError
from towpath.base.spacetime import Box

Command = Callable[..., Any]
FIRST = [f"[b]first {number}" for number in range(8)]


# ---- towpath features


def test_features_are_listed(invoke: Command, shared_found: Path) -> None:
    done = invoke("features", "--item", "first", "--kind", "value", "--site", shared_found)
    assert done.code == 0, done.err
    head, *lines = done.out.splitlines()
    assert head.split() == ["number", "kind", "name", "frame", "lon", "lat", "run"]
    with Site.open(shared_found) as site:
        expected = site.features(item="first", kind="value")
    assert [one.name for one in expected] == FIRST
    assert [line.split() for line in lines] == [
        [
            str(one.id),
            "value",
            *one.name.split(),
            "icrs",
            f"{one.longitude:.6f}",
            f"{one.latitude:.6f}",
            f"{one.run[0]}.1",
        ]
        for one in expected
    ]
    assert lines[0].split()[5:7] == ["358.000000", "20.100000"]


def test_a_document_has_all_of_each(invoke: Command, shared_found: Path) -> None:
    document = invoke("features", "--near", "358", "20.1", "--json", "--site", shared_found).document
    (one,) = document["features"]
    assert document["next"] is None
    assert (one["kind"], one["longitude"], one["latitude"], one["name"]) == ("value", 358.0, 20.1, FIRST[0])
    assert (one["frame"], one["stage"], one["pipeline"]) == ("icrs", "clean", shared_found.name)
    assert one["properties"] == {"value": 20.1, "time": 0.0}  # as the stage told it, whatever it is called
    assert one["time"] == "2023-11-14T22:13:20.000Z"
    assert (one["run"][1], len(one)) == (1, 12)


def names(answer: Any) -> list[str]:
    """What was found, by name."""
    return [one["name"] for one in answer.document["features"]]


def test_features_are_found_by_place(invoke: Command, shared_found: Path) -> None:
    def near(*argv: str) -> list[str]:
        return names(invoke("features", "--near", *argv, "--json", "--site", shared_found))

    assert near("359.5", "20.2", "--radius", "1.5") == FIRST[:3]  # on both sides of 0 degrees
    assert near("-0.5", "20.2", "--radius", "1.5") == FIRST[:3]
    assert near("10", "-5") == ["", ""]
    assert near("10", "-5", "--frame", "icrs") == near("10", "-6", "--radius", "0.9") == []
    assert near("0", "90", "--radius", "180", "--item", "second", "--kind", "value") == [
        f"[b]second {number}" for number in range(3)
    ]
    assert near("0", "90", "--radius", "180", "--pipeline", "nix") == []
    nothing = invoke("features", "--near", "100", "0", "--site", shared_found)
    assert (nothing.code, nothing.out) == (0, "no such features\n")


def test_features_come_in_pages(invoke: Command, shared_found: Path) -> None:
    given = ("features", "--kind", "value", "--limit", "5")
    every, after = [], "0"
    for _ in range(3):
        page = invoke(*given, "--after", after, "--json", "--site", shared_found)
        every += names(page)
        after = str(page.document["next"])
    assert after == "None"
    assert sorted(every) == sorted([*FIRST, *(f"[b]second {number}" for number in range(3))])
    text = invoke(*given, "--site", shared_found).out
    last = invoke(*given, "--json", "--site", shared_found).document["features"][-1]["id"]
    assert text.endswith(f"more: towpath features --after {last}\n")
    assert "more" not in invoke("features", "--site", shared_found).out


@pytest.mark.parametrize(
    ("argv", "code", "told"),
    [
        (("--near", "0", "91"), 2, "latitude: found 91.0; expected a number from -90 to 90 degrees"),
        (("--near", "400", "0"), 2, "longitude: found 400.0; expected a number from -180 to 360 degrees"),
        (("--near", "0", "0", "--radius", "-1"), 2, "radius: found -1.0; expected a number from 0 to 180 degrees"),
        (("--radius", "2"), 2, "radius: found 2 around no place; expected `near` too"),
        (("--frame", "fk5"), 2, "frame: found 'fk5'; expected one of icrs, wgs84"),
        (("--item", "nix"), 4, "no item 'nix'"),
    ],
)  # fmt: skip
def test_what_cannot_be_sought_is_said(
    argv: tuple[str, ...], code: int, told: str, invoke: Command, shared_found: Path
) -> None:
    done = invoke("features", *argv, "--site", shared_found)
    assert (done.code, told in " ".join(done.err.split())) == (code, True), done.err


# ---- towpath show


def test_an_item_shows_how_many_it_has(invoke: Command, shared_found: Path) -> None:
    document = invoke("show", "first", "--json", "--site", shared_found).document
    assert document["features"] == [
        {"stage": "clean", "kind": "value", "count": 8}, {"stage": "clean", "kind": "whole", "count": 1},
    ]  # fmt: skip
    lines = [line.split() for line in invoke("show", "first", "--site", shared_found).out.splitlines()]
    at = lines.index(["features"])
    assert lines[at + 1 : at + 4] == [
        ["stage", "kind", "features"], ["clean", "value", "8"], ["clean", "whole", "1"],
    ]  # fmt: skip
    assert invoke("show", "broken", "--json", "--site", shared_found).document["features"] == []
    assert "features" not in invoke("show", "broken", "--site", shared_found).out


# ---- Site.features


def test_a_site_is_asked_by_place(shared_found: Path) -> None:
    with Site.open(shared_found) as site:
        (one,) = site.features(near=(-2, 20.1), radius=1e-6)
        assert (one.longitude, one.item, one.time) == (358.0, site.find("first").id, 1.7e9)
        for box in ((357, 20, 0.5, 21), (-3, 20, 0.5, 21), Box(-3, 20, 0.5, 21)):
            assert [found.name for found in site.features(box=box, kind="value")] == FIRST[:3]
        (earth, _) = site.features(frame="wgs84")
        assert (earth.longitude, earth.latitude, earth.properties, earth.time) == (10.0, -5.0, {}, None)
        assert [found.id for found in site.features(after=one.id, limit=2)] == [one.id + 1, one.id + 2]
        with pytest.raises(UsageError, match=r"^place: found 3 numbers; expected west, south, east, north"):
            site.features(box=(1, 2, 3))
        with pytest.raises(UsageError, match=r"^place: latitude: found nan"):
            site.features(near=(0.0, float("nan")))
        with pytest.raises(NotFoundError, match=r"^no item 'nix'"):
            site.features(item="nix")


def test_features_are_those_of_the_last_run(found: Path, invoke: Command) -> None:
    (found / "incoming" / "first.csv").write_text("time,value\n3,7.0\n4,7.1\n5,7.2\n")
    assert invoke("run", "--executor", "inline", "--site", found).code == 0
    with Site.open(found) as site:
        told = site.features(item="first", kind="value")
        assert [(one.longitude, one.latitude) for one in told] == [(1.0, 7.0), (2.0, 7.1), (3.0, 7.2)]
        assert {one.run[1] for one in told} == {2}
        assert site.features(near=(358, 20.1), radius=1) == []
