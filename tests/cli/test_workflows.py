"""`towpath workflows`: what there is, what applies to the files of a record, and starting it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from towpath.cli.exits import Exit

Command = Callable[..., Any]

PIPELINE = """
[pipeline]
name = "texts"
[sources.counts]
kind = "records"
item = "count"
title = "Word counts"
[sources.counts.match.text]
extension = ["txt"]
[items.count]
route = "retrieve -> count -> deliver"
[items.count.stages.count]
kind = "command"
argv = ["cp", "{input.text}", "{output.copy}"]
consumes.text = "deposit/text"
produces.copy = { type = "text/plain", file = "copy.txt" }
"""


@pytest.fixture
def depot(tmp_path: Path) -> Path:
    (tmp_path / "towpath.toml").write_text(
        '[repositories.records]\nroot = "records"\nsettle = 0.0\n[pipelines.texts]\nfile = "texts.toml"\n'
    )
    (tmp_path / "texts.toml").write_text(PIPELINE)
    record = tmp_path / "records" / "r1"
    record.mkdir(parents=True)
    (record / "a.txt").write_text("three words here")
    (record / "notes.md").write_text("no workflow")
    return tmp_path


def test_workflows_are_listed_with_the_files_they_take(invoke: Command, depot: Path) -> None:
    (one,) = invoke("workflows", "list", "--json", "--site", depot).document
    assert (one["name"], one["title"], one["files"], one["automatic"]) == (
        "count",
        "Word counts",
        {"text": ".txt"},
        True,
    )
    assert "texts/count" in invoke("workflows", "list", "--site", depot).out


def test_what_applies_to_a_record_is_shown_with_the_reason(invoke: Command, depot: Path) -> None:
    text, notes = invoke("workflows", "show", "r1", "--json", "--site", depot).document
    assert (text["file"], text["workflows"][0]["why"]) == ("a.txt", "a.txt ends in .txt")
    assert notes["workflows"] == [] and "no workflow takes .md files" in notes["why"]
    assert invoke("workflows", "show", "r9", "--site", depot).code == Exit.NOT_FOUND


def test_a_workflow_is_started_and_its_result_is_put_on_the_record(invoke: Command, depot: Path) -> None:
    first = invoke("workflows", "start", "r1", "count", "--file", "a.txt", "--site", depot)
    assert first.out.splitlines() == ["r1-count-1: a.txt ends in .txt"]
    again = invoke("workflows", "start", "r1", "--json", "--site", depot).document
    assert again["started"] == [] and again["refused"][0]["holder"] == "r1-count-1"
    assert (
        "is in work for count: r1-count-1" in invoke("workflows", "start", "r1", "count", "--site", depot).err
    )
    forced = invoke("workflows", "start", "r1", "--force", "--json", "--site", depot).document
    assert [one["key"] for one in forced["started"]] == ["r1-count-2"]
    assert invoke("run", "--executor", "inline", "--site", depot).code == 0
    assert (depot / "records" / "r1" / "r1-count-1-count-copy.txt").read_text() == "three words here"


def test_a_site_without_workflows_says_so(invoke: Command, site: Path) -> None:
    assert invoke("workflows", "list", "--site", site).out == "There are no workflows.\n"
    assert "found 0 pipelines with workflows" in invoke("workflows", "show", "r1", "--site", site).err
