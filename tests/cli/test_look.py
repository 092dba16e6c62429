"""The commands that only read: what they say of a site with two items done and one that failed, as text and as JSON."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from towpath import Site
from towpath.base.errors import UsageError
from towpath.base.spacetime import Box, Span

Command = Callable[..., Any]

READING = [
    ("status",),
    ("status", "--sizes"),
    ("items",),
    ("items", "--state", "failed"),
    ("show", "first"),
    ("plan",),
    ("plan", "--no-check"),
    ("explain", "first"),
    ("explain", "broken", "clean"),
    ("log", "broken:clean"),
    ("events",),
    ("events", "--after", "0", "--item", "first"),
    ("config",),
    ("config", "all"),
    ("db", "path"),
    ("db", "check"),
    ("db", "migrate"),
    ("inventory", "overview"),
    ("inventory", "reconcile"),
    ("inventory", "reconcile", "incoming", "--scrub"),
    ("apply",),
]


@pytest.mark.parametrize("argv", READING, ids=" ".join)
def test_text_and_one_document(invoke: Command, shared: Path, argv: tuple[str, ...]) -> None:
    text = invoke(*argv, "--site", shared)
    assert text.code == 0, text.err
    assert text.out.strip()
    assert "\x1b" not in text.out
    assert not [line for line in text.out.splitlines() if line != line.rstrip()]
    document = invoke(*argv, "--json", "--site", shared)
    assert document.code == 0
    assert document.document is not None


def test_status(invoke: Command, shared: Path) -> None:
    document = invoke("status", "--json", "--site", shared).document
    work = {(row["stage"], row["state"]): row["count"] for row in document["work"]}
    assert work == {
        ("clean", "done"): 2,
        ("clean", "failed"): 1,
        ("publish", "done"): 2,
        ("publish", "waiting"): 1,
    }
    assert document["publications"] == {"released": 2}
    assert document["bad_products"] == 0
    text = invoke("status", "--site", shared).out
    assert "clean          ·     2       1" in text
    assert "no `towpath run` at the moment" in text


def test_items_are_filtered_and_paged(invoke: Command, shared: Path) -> None:
    def keys(*argv: str) -> list[str]:
        return [item["key"] for item in invoke("items", *argv, "--json", "--site", shared).document["items"]]

    assert sorted(keys()) == ["broken", "first", "second"]
    assert keys("--state", "failed") == ["broken"]
    assert keys("--state", "waiting", "--stage", "clean") == []
    assert keys("fir") == ["first"]
    assert keys("--kind", "other") == []
    page = invoke("items", "--limit", "2", "--json", "--site", shared).document
    rest = keys("--after", str(page["next"]))
    assert len(page["items"]) == 2
    assert sorted([*(item["key"] for item in page["items"]), *rest]) == ["broken", "first", "second"]
    assert "more: towpath items --after" in invoke("items", "--limit", "2", "--site", shared).out
    assert invoke("items", "nix", "--site", shared).out == "no such items\n"
    assert invoke("items", "--state", "wrong", "--site", shared).code == 2


def test_items_are_found_by_attribute_milestone_and_time(invoke: Command, site: Path) -> None:
    facts = {
        "first": (
            {"camera": "red", "n": 3, "good": True},
            Span(1_777_593_600, 1_777_597_200),
        ),  # 2026-05-01, an hour
        "second": ({"camera": "red", "n": "3"}, Span(1_777_680_000, 1_777_680_000)),  # 2026-05-02
    }
    with Site.open(site) as one:
        for name, (attributes, span) in facts.items():
            number = one.find(name).id
            one.catalog.write(
                lambda tx, n=number, a=attributes, s=span: tx.update_item(n, attributes=a, span=s)
            )  # type: ignore[misc]
        milestone = {name for name, _ in one.show("first").milestones}
        assert one.count_items(attributes={"camera": "red"}) == 2
        assert one.count_items(attributes={"camera": "red"}, most=1) == 2
        with pytest.raises(UsageError, match=r"attribute n: found \[3\]"):
            one.items(attributes={"n": [3]})
    for argv, keys in (
        (("--where", "camera=red"), ["first", "second"]),
        (("--where", "camera=red", "--where", "n=3"), ["first"]),
        (("--where", 'n="3"'), ["second"]),
        (("--where", "good=true"), ["first"]),
        (("--where", "good=false"), []),
        (("--since", "2026-05-01T00:59:00Z", "--until", "2026-05-02"), ["first"]),
        (("--since", "2026-05-01T01:00:00Z"), ["second"]),
        (("--until", "2026-05-01"), []),
        *(((("--milestone", name, "fir"), ["first"])) for name in sorted(milestone)),
        (("--milestone", "None"), []),
    ):
        document = invoke("items", *argv, "--json", "--site", site).document
        assert [item["key"] for item in document["items"]] == keys, argv
        counted = invoke("items", *argv, "--count", "--json", "--site", site).document
        assert counted == {"count": len(keys), "more": False}, argv
    assert invoke("items", "--count", "--site", site).out == "3\n"
    for argv, told in (
        (("--where", "camera"), "--where: found 'camera'; expected NAME=VALUE"),
        (("--since", "soon"), "since: found 'soon'; expected a time as 2026-05-01"),
    ):
        done = invoke("items", *argv, "--site", site)
        assert (done.code, told in done.err) == (2, True), done.err


def test_items_are_found_by_place(invoke: Command, site: Path) -> None:
    with Site.open(site) as one:
        for name, box in (("first", Box(170, -10, -170, 10)), ("second", Box(5, 5, 5, 5))):
            number = one.find(name).id
            one.catalog.write(lambda tx, n=number, b=box: tx.update_item(n, footprint=b))  # type: ignore[misc]
        assert [item.key for item in one.items(box=(175, 0))] == ["first"]
        assert [item.key for item in one.items(box=Box(-180, -90, 180, 90))] == ["first", "second"]
    for box, keys in (
        ("-171,0,0,5", ["first"]),
        ("-180,0", ["first"]),
        ("4,4,5,5", ["second"]),
        ("20,20,30,30", []),
    ):
        document = invoke("items", f"--box={box}", "--json", "--site", site).document
        assert [item["key"] for item in document["items"]] == keys
    for box, told in (
        ("1,2,3", "found 3 numbers; expected west, south, east, north"),
        ("a,b,c,d", "expected W,S,E,N or LON,LAT"),
        ("0,0,181,1", "longitude out of"),
        ("0,5,1,1", "south above north"),
        ("nan,0,1,1", "longitude out of"),
    ):
        done = invoke("items", f"--box={box}", "--site", site)
        assert (done.code, told in done.err) == (2, True), done.err


def test_show(invoke: Command, shared: Path) -> None:
    text = invoke("show", "series/first", "--site", shared).out
    assert text.startswith(f"{shared.name}/series/first\n")
    assert "set aside 2" in text
    assert f"store/{shared.name}/series/clean/first.1.cleaned.csv" in text
    assert f"archive/{shared.name}/series/first" in text
    document = invoke("show", "first", "--json", "--site", shared).document
    assert [row["state"] for row in document["work"]] == ["done", "done"]
    assert all(Path(product["place"]).is_file() for product in document["products"])


def test_plan_says_what_needs_a_person(invoke: Command, shared: Path) -> None:
    text = invoke("plan", "--site", shared).out
    assert "need a person: 1 item" in text
    assert "KeyError: 'value'" in text
    actions = {
        row["stage"]: row["action"] for row in invoke("plan", "--json", "--site", shared).document["work"]
    }
    assert actions == {"clean": "decide", "publish": "wait"}


def test_explain(invoke: Command, shared: Path) -> None:
    text = invoke("explain", "broken", "--site", shared).out
    assert "it is failed: KeyError: 'value'" in text
    assert "it waits for clean, which is failed" in text
    assert invoke("explain", "broken", "nix", "--site", shared).code == 4


def test_log(invoke: Command, shared: Path) -> None:
    assert "KeyError: 'value'" in invoke("log", "broken:clean", "--site", shared).out
    followed = invoke("log", "broken:clean", "--follow", "--site", shared)
    assert (followed.code, "KeyError" in followed.out) == (0, True)
    silent = invoke("log", "first:clean", "--site", shared)
    assert (silent.out, silent.err) == ("", "run first:clean wrote nothing\n")
    assert invoke("log", "99.1", "--site", shared).code == 4
    assert invoke("log", "nonsense", "--site", shared).code == 4


def test_events_are_read_on_from_where_one_was(invoke: Command, shared: Path) -> None:
    all_of_them = invoke("events", "--after", "0", "--limit", "1000", "--json", "--site", shared).document
    numbers = [event["seq"] for event in all_of_them["events"]]
    assert numbers == list(range(1, len(numbers) + 1))
    last = invoke("events", "--limit", "3", "--json", "--site", shared).document
    assert [event["seq"] for event in last["events"]] == numbers[-3:]
    nothing = invoke("events", "--after", str(last["next"]), "--json", "--site", shared)
    assert nothing.document == {"events": [], "next": last["next"]}
    failed = [event for event in all_of_them["events"] if event["type"] == "failed"]
    assert [event["item"] for event in failed] == ["series/broken"]
    about = invoke("events", "--item", "second", "--limit", "2", "--json", "--site", shared).document[
        "events"
    ]
    assert {event["item"] for event in about} == {"series/second"}


def test_config_names_origins(invoke: Command, shared: Path) -> None:
    document = invoke("config", shared.name, "--json", "--site", shared).document
    rows = {row["name"]: row for row in document[shared.name]}
    assert rows["items.series.stages.clean.params.limit"]["value"] == 5.0
    assert rows["items.series.stages.clean.params.limit"]["origin"].startswith("pipeline.toml:")
    assert invoke("config", "nix", "--site", shared).code == 4
    short = invoke("config", "--match", "workers", "--site", shared).out
    assert "site.workers" in short and "site.name" not in short


def test_the_inventory_counts(invoke: Command, shared: Path) -> None:
    rows = invoke("inventory", "overview", "--json", "--site", shared).document
    found = {(row["root"], row["stage"]): row["products"] for row in rows}
    assert found == {("incoming", "(raw)"): 3, ("store", "clean"): 2}
