"""`towpath sources`: how each source fares, on a screen and as a document; pausing and resuming."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from towpath.app.acting import user
from towpath.cli.exits import Exit

Command = Callable[..., Any]


def test_sources_are_listed_with_what_came(invoke: Command, site: Path) -> None:
    (one,) = invoke("sources", "list", "--json", "--site", site).document
    assert (one["name"], one["kind"], one["item"], one["state"], one["paused"]) == (
        "incoming",
        "folder",
        "series",
        "closed",
        None,
    )
    assert one["today"] == 3 and one["looked"].endswith("Z") and one["arrived"].endswith("Z")
    shown = invoke("sources", "list", "--site", site).out
    assert "answers" in shown and one["source"] in shown
    assert invoke("sources", "list", "--pipeline", "other", "--site", site).out == "There are no sources.\n"


def test_a_source_that_fails_says_so(invoke: Command, site: Path) -> None:
    shutil.move(site / "incoming", site / "away")
    invoke("run", "--executor", "inline", "--site", site)
    (one,) = invoke("sources", "list", "--json", "--site", site).document
    assert (one["state"], one["failures"]) == ("open", 1) and one["again"]
    assert "there is no such folder" in one["problems"][0]
    assert "fails (1)" in " ".join(invoke("sources", "list", "--site", site).out.split())


def test_a_source_is_paused_and_resumed(invoke: Command, site: Path) -> None:
    paused = invoke("sources", "pause", "incoming", "--why", "the disk is moved", "--site", site)
    assert "is paused; `towpath sources resume" in paused.out
    (one,) = invoke("sources", "list", "--json", "--site", site).document
    assert (one["paused"]["who"], one["paused"]["why"]) == (user(), "the disk is moved")
    shutil.copy(site / "incoming" / "first.csv", site / "incoming" / "another.csv")
    assert invoke("run", "--executor", "inline", "--json", "--site", site).document["registered"] == 0
    assert invoke("sources", "resume", one["source"], "--site", site).out == f"{one['source']} goes on\n"
    assert invoke("run", "--executor", "inline", "--json", "--site", site).document["registered"] == 1


def test_a_source_that_is_not_there_is_not_found(invoke: Command, site: Path) -> None:
    done = invoke("sources", "pause", "nowhere", "--site", site)
    assert done.code == Exit.NOT_FOUND
    assert "no source 'nowhere'; there are" in done.err
