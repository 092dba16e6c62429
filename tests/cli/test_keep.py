"""Pins, sizes, sweeping and the plan of one item, as a person and a program see them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]


@pytest.fixture
def run(invoke: Command, site: Path) -> Command:
    return lambda *argv: invoke(*argv, "--site", site)


def test_products_are_pinned_shown_and_unpinned(run: Command) -> None:
    assert "first: 2 products kept" in run("pin", "first", "--why", "for the paper", "--until", "30 d").out
    shown = run("show", "first").out
    assert "pins" in shown and "for the paper" in shown
    (one, two) = run("show", "first", "--json").document["pins"]
    assert one["until"].endswith("Z") and one["product"]["stage"] == "" and two["product"]["stage"] == "clean"
    assert run("unpin", "first", "--stage", "clean").out.endswith("first: 1 pin no longer kept\n")
    assert (
        run("pin", "--state", "done", "--stage", "clean", "--yes", "--json").document["items"][0]["changed"]
        == 1
    )
    assert run("unpin", "first", "--everybody").code == 0
    assert run("unpin", "first").code != 0
    assert run("pin", "first", "--until", "2199-01-31").code == 0
    assert run("show", "first", "--json").document["pins"][0]["until"] == "2199-01-31T00:00:00.000Z"
    wrong = run("pin", "first", "--until", "soon")
    assert wrong.code == 2 and "expected a time such as 2027-01-31" in wrong.err


def test_sizes_are_told(run: Command) -> None:
    document = run("status", "--sizes", "--json").document["sizes"]
    assert document["tables"]["items"] == 3 and document["tables"]["pins"] == 0
    assert document["bytes_per_item"] == pytest.approx(document["catalog"] / 3)
    assert document["products"]["store"]["current"]["count"] == 2
    assert document["products"]["incoming"]["current"]["count"] == 3
    assert document["published"]["count"] == 2 and document["published"]["bytes"] > 0
    assert document["logs"]["count"] >= 1 and document["logs"]["bytes"] > 0
    assert set(document["frees"]) == {"superseded", "trash", "logs", "events"}
    assert document["disks"]["store"] > 0
    text = run("status", "--sizes").out
    assert "for each item" in text and "store: current products" in text
    assert "retention would free now" in text
    assert "sizes" not in run("status", "--json").document


def test_what_is_kept_always_is_said(run: Command) -> None:
    text = run("status", "--sizes", "--set", "retention.logs=always").out
    assert "kept always" in text
    shown = run("config", "--match", "retention.logs", "--set", "retention.logs=always").out
    assert "retention.logs  always  command line" in shown
    wrong = run("status", "--set", "retention.logs=forever")
    assert wrong.code != 0
    assert "retention.logs" in wrong.err and "duration" in wrong.err


def test_sweeping_tells_what_it_did(run: Command) -> None:
    assert run("sweep", "--older", "0", "--grace", "0").out.startswith("0 orphans removed, 0 superseded")
    logs = run("sweep", "--set", "retention.logs=0 s", "--set", "retention.events=0 s", "--json").document
    assert logs["events"] > 5 and logs["logs"] == 0  # the log of what failed is still needed
    assert run("events", "--after", "1").code != 0
    assert "reset: events up to" in run("events", "--after", "1").err
    assert "retention" not in run("status").out


def test_the_plan_of_one_item(run: Command) -> None:
    document = run("plan", "broken", "--json").document
    assert {row["item"] for row in document["work"]} == {"series/broken"}
    assert document["totals"] == [] and document["seconds"] is None and document["is_cut"] is False
    run("rerun", "first")
    document = run("plan", "first", "--json").document
    assert [(row["stage"], row["action"], row["follows"]) for row in document["work"]] == [
        ("clean", "run", False),
        ("publish", "wait", True),
    ]
    assert [(total["stage"], total["runs"], total["sample"]) for total in document["totals"]] == [
        ("clean", 1, 2),
        ("publish", 1, 2),
    ]
    assert document["seconds"] > 0 and document["unknown"] == []
    text = run("plan", "first").out
    assert "how long" in text and "by the medians of earlier runs." in text
    assert run("plan", "nix").code == 4


def test_reasons_are_told_with_codes(run: Command) -> None:
    (clean,) = run("explain", "broken", "clean", "--json").document
    (reason,) = clean["reasons"]
    assert reason["code"] == "failed" and reason["facts"]["error"] == "KeyError: 'value'"
    assert "→ `towpath log series/broken:clean`" in run("explain", "broken", "clean").out
