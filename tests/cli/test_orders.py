"""The commands of people: what waits for them is listed, shown, taken, passed on, delivered, decided; and what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from towpath.app.acting import user
from towpath.cli.exits import Exit

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "picks"
Command = Callable[..., Any]


@pytest.fixture
def run(invoke: Command, tmp_path: Path) -> Command:
    """Give `run(*argv)`: the command on a site whose one record waits for an analyst."""
    folder = tmp_path / "site"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "incoming").mkdir()
    rows = "".join(f"{step / 50:.2f},{9.0 if 230 <= step < 260 else 1.0}\n" for step in range(300))
    (folder / "incoming" / "quake.csv").write_text(f"time,velocity\n{rows}")

    def command(*argv: str | Path) -> Any:
        return invoke(*argv, "--site", folder)

    go(command)
    return command


def go(run: Command) -> Any:
    done = run("run", "--executor", "inline", "--json")
    assert done.code == 0, done.out + done.err
    return done.document


def picks(folder: Path, *rows: str) -> Path:
    path = folder / "picks.csv"
    path.write_text("phase,time\n" + "".join(f"{row}\n" for row in rows))
    return path


def states(run: Command) -> dict[str, str]:
    return {row["stage"]: row["state"] for row in run("show", "quake", "--json").document["work"]}


@pytest.fixture
def decided(run: Command, tmp_path: Path) -> Command:
    """Give the same, with the record waiting at its gate."""
    run("orders", "claim", "1")
    assert run("orders", "deliver", "1", picks(tmp_path, "P,4.6")).code == 0
    go(run)
    return run


def test_what_waits_is_listed(run: Command) -> None:
    shown = run("orders", "list")
    assert shown.code == 0
    for word in ("handoff", "picks/record/quake", "Pick the arrivals of quake", "open"):
        assert word in shown.out
    (one,) = run("orders", "list", "--json").document
    assert (one["order"], one["kind"], one["item"], one["stage"]) == (
        1,
        "handoff",
        "picks/record/quake",
        "pick",
    )
    assert (one["state"], one["who"], one["due"]) == ("open", "", None)
    assert run("orders", "list", "--kind", "gate", "--json").document == []
    assert run("orders", "list", "--after", "1").out == "Nothing waits for people.\n"
    assert len(run("orders", "list", "--item", "quake", "--json").document) == 1
    assert run("orders", "list", "--item", "nobody").code == Exit.NOT_FOUND


def test_an_order_shows_what_is_asked_and_given(run: Command) -> None:
    shown = run("orders", "show", "1")
    assert shown.out.startswith("order-1: Pick the arrivals of quake\n")
    for word in ("Give the time of the P arrival", "*.csv (table/picks)", "candidates.csv", "quake.csv"):
        assert word in shown.out
    found = run("orders", "show", "order-1", "--json").document
    assert Path(found["box"]).name == "order-1"
    assert sorted(Path(path).suffix for path in found["inputs"]) == [".csv", ".csv"]
    assert all(Path(path).is_file() for path in found["inputs"])
    assert found["asked"]["deliver"][0]["output"] == "picks" and found["deliveries"] == []


def test_an_order_that_is_not_there_is_not_found(run: Command) -> None:
    for verb in ("show", "claim", "return", "deliver"):
        assert run("orders", verb, "99").code == Exit.NOT_FOUND, verb
    wrong = run("orders", "show", "first", "--json")
    assert wrong.code == Exit.NOT_FOUND
    assert wrong.document["error"] == "'first' is no order; orders are written 12 or order-12"


def test_taken_passed_on_and_given_back(run: Command) -> None:
    taken = run("orders", "claim", "1")
    assert f"claimed, with {user()}" in taken.out
    assert run("orders", "claim", "1").code == Exit.STATE
    passed = run("orders", "assign", "1", "ben", "--why", "knows this region")
    assert passed.out.startswith("order-1 is with ben until 20")
    found = run("orders", "show", "1", "--json").document
    assert (found["who"], found["why"], found["token"]) == ("ben", "knows this region", 2)
    told = json.loads((Path(found["box"]) / "ORDER.json").read_text())
    assert (told["who"], told["token"]) == ("ben", 2)
    refused = run("orders", "claim", "1")
    assert refused.code == Exit.STATE and "order-1 is taken by ben" in refused.err
    others = run("orders", "return", "1")
    assert others.code == Exit.STATE and "order-1 is with ben" in others.err
    run("orders", "assign", "1", user())
    back = run("orders", "return", "1", "--why", "no time", "--json").document
    assert (back["state"], back["why"], back["due"]) == ("open", "no time", None)
    assert run("orders", "return", "1").code == Exit.STATE
    again = run("orders", "claim", "1", "--json").document
    assert (again["state"], again["who"], again["token"]) == ("claimed", user(), 4)


def test_a_delivery_that_is_not_accepted_ends_with_1_and_may_be_followed(
    run: Command, tmp_path: Path
) -> None:
    path = picks(tmp_path, "S,soon")
    early = run("orders", "deliver", "1", path)
    assert early.code == Exit.STATE and "take it first: `towpath orders claim 1`" in early.err
    run("orders", "claim", "1")
    assert run("orders", "deliver", "1", tmp_path / "nix.csv").code == Exit.USAGE
    empty = run("orders", "deliver", "1")  # its drop box is looked at
    assert (empty.code, empty.out) == (1, "order-1: not whole yet\n  there is no MANIFEST.json yet\n")
    wrong = run("orders", "deliver", "1", path)
    assert wrong.code == 1
    assert wrong.out.splitlines() == [
        "order-1: rejected", "  line 2, time: found 'soon'; expected seconds", "  found no P arrival; expected one"
    ]  # fmt: skip
    assert "1: rejected, by " in run("orders", "show", "1").out
    right = run("orders", "deliver", "1", picks(tmp_path, "P,4.6"), "--comment", "clear", "--json")
    assert right.code == 0
    assert right.document == {"order": 1, "delivery": "verified", "reasons": [], "state": "delivered"}
    go(run)
    assert states(run)["pick"] == "done"
    found = run("orders", "show", "1", "--json").document
    assert found["state"] == "accepted"
    assert [one["state"] for one in found["deliveries"]] == ["rejected", "verified"]
    assert found["deliveries"][1]["manifest"]["comment"] == "clear"


def test_what_was_not_accepted_can_be_taken_with_a_reason(run: Command, tmp_path: Path) -> None:
    run("orders", "claim", "1")
    assert run("orders", "take", "1", "--why", "good").code == Exit.STATE  # there is none
    assert run("orders", "deliver", "1", picks(tmp_path, "S,5.0"), "--json").code == 1
    assert run("orders", "take", "1").code == Exit.USAGE
    taken = run("orders", "take", "1", "--why", "the P is in the noise")
    assert (taken.code, taken.out) == (0, "order-1: its delivery is taken; `towpath run` goes on\n")
    go(run)
    found = run("orders", "show", "1", "--json").document
    assert found["state"] == "accepted"
    assert found["why"] == f"taken by {user()}: the P is in the noise"
    assert states(run)["pick"] == "done"


def test_a_gate_is_approved(decided: Command) -> None:
    (gate,) = decided("orders", "list", "--json").document
    assert (gate["kind"], gate["box"]) == ("gate", None)
    assert decided("orders", "claim", str(gate["order"])).code == Exit.STATE
    assert decided("approve", "quake", "pick").code == Exit.STATE  # it waits at another
    done = decided("approve", "quake", "--why", "agrees")
    assert (done.code, done.out) == (0, "picks/record/quake release: approved; `towpath run` goes on\n")
    go(decided)
    assert set(states(decided).values()) == {"done"}
    assert decided("approve", "quake").code == Exit.STATE
    assert decided("orders", "list").out == "Nothing waits for people.\n"
    ended = decided("orders", "list", "--all", "--json").document
    assert [(one["state"], one["why"]) for one in ended] == [("accepted", ""), ("accepted", "agrees")]


def test_a_gate_is_rejected(decided: Command) -> None:
    assert decided("reject", "quake").code == Exit.USAGE  # it needs a reason
    done = decided("reject", "quake", "release", "--why", "the P is late", "--json").document
    assert (done["state"], done["who"], done["why"]) == ("closed", user(), "the P is late")
    go(decided)
    assert states(decided)["release"] == "rejected"
    assert "the P is late" in decided("explain", "quake").out
