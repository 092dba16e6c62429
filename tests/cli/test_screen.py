"""Values as JSON and as text for people."""

import io
import json
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from towpath.app.documents import counts, plain
from towpath.base.clock import now
from towpath.base.model import Item, WorkRow
from towpath.base.states import Product, Publication, Work
from towpath.cli import screen
from towpath.cli.look import stage_table, summary

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | st.binary()
    | st.sampled_from([*Work]) | st.just(Path("a/b")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
)  # fmt: skip


@given(VALUES)
def test_any_value_becomes_json(value: Any) -> None:
    document = plain(value)
    assert json.loads(json.dumps(document)) == document


def test_an_item_becomes_a_document() -> None:
    item = Item("gam", "survey", "a", {"n": 1}, id=3, registered=1_700_000_000.0)
    assert plain(item) == {
        "pipeline": "gam",
        "kind": "survey",
        "key": "a",
        "attributes": {"n": 1},
        "span": None,
        "footprint": None,
        "id": 3,
        "definition": 0,
        "registered": "2023-11-14T22:13:20.000Z",
    }


def test_counts_become_rows() -> None:
    assert counts({("p", "k", "s", "done"): 2}) == [
        {"pipeline": "p", "kind": "k", "stage": "s", "state": "done", "count": 2}
    ]


@pytest.mark.parametrize(
    ("bytes_", "text"),
    [(0, "0 B"), (999, "999 B"), (1400, "1.4 kB"), (3.04e9, "3.0 GB"), (2e15, "2000.0 TB")],
)
def test_sizes(bytes_: float, text: str) -> None:
    assert screen.size(bytes_) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.24, "0.2 s"), (41.2, "41 s"), (720, "12 min"), (11160, "3.1 h")]
)
def test_durations(value: float, text: str) -> None:
    assert screen.seconds(value) == text


def test_times_of_today_have_no_date() -> None:
    assert len(screen.when(now())) == len("12:00:00")
    assert screen.when(1_700_000_000) == "2023-11-14 22:13:20"
    assert screen.when(0) == ""


@pytest.mark.parametrize(
    ("value", "text"), [(True, "yes"), (None, "–"), (3, "3"), (0.123456789, "0.12346"), ("x", "x")]
)
def test_measured_values(value: Any, text: str) -> None:
    assert screen.number(value) == text


def test_counted_nouns() -> None:
    assert screen.count(1, "item") == "1 item"
    assert screen.count(12_345, "item") == "12 345 items"
    assert screen.count(2, "body", "bodies") == "2 bodies"


def test_every_state_has_a_colour() -> None:
    kinds: list[type[Enum]] = [Work]
    assert {state.value for kind in kinds for state in kind} <= set(screen.COLOURS)
    assert {Product.MISSING, Product.CHANGED, Publication.CONFLICT} <= set(screen.COLOURS)


def row(stage: str, state: Work) -> WorkRow:
    return WorkRow(1, 1, stage, state)


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([row("a", Work.DONE), row("b", Work.DONE)], "2/2 done"),
        ([row("a", Work.DONE), row("b", Work.RUNNING), row("c", Work.WAITING)], "1/3 running b"),
        ([row("a", Work.FAILED), row("b", Work.FAILED), row("c", Work.READY)], "0/3 failed a +1"),
        ([row("a", Work.DONE), row("b", Work.RETIRED)], "1/1 done"),
        ([], "no work"),
    ],
)
def test_an_item_in_two_words(rows: list[WorkRow], text: str) -> None:
    assert summary(rows).plain == text


def rendered(part: Any, width: int = 80) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width).print(part)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_a_table_of_stages_leaves_out_states_that_none_is_in() -> None:
    made = stage_table({("grid", "done"): 1200, ("detect", "failed"): 1}, ["grid", "detect"])
    assert rendered(made) == ["stage    done  failed", "grid    1 200       ·", "detect      ·       1"]


def test_a_pipe_is_wide_and_a_terminal_is_as_wide_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert screen.console(io.StringIO()).width == 200
    monkeypatch.setenv("COLUMNS", "66")
    assert screen.console(io.StringIO()).width == 66
