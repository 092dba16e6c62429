"""From settled files to what is to be registered: the decision, and hashing on a real disk."""

import hashlib
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.adapters.storage.local import LocalStorage
from towpath.base.spacetime import Span
from towpath.contracts.definition import SourcePlan
from towpath.contracts.source import Arrival, Intake
from towpath.flow.arrive import decide, hash_all

NOON = "2025-10-05T12:00:00Z"
NOON_SECONDS = 1759665600.0


def plan(complete: int = 1, join_within: float = 0.0, **settings: Any) -> SourcePlan:
    settings = {"root": "incoming", **settings}
    return SourcePlan(
        "dsa", "drop", "folder", "observation", settings, "uvh5", complete, join_within=join_within
    )


def subband(number: int, time: str = NOON) -> Arrival:
    return Arrival(f"{time}_sb{number:02d}.hdf5", 10, 20, {"time": time, "subband": number})


# ---- the decision


def test_one_file_one_item_all_fields_are_attributes() -> None:
    arrival = Arrival("7-20251005.hd5", 1, 2, {"obsid": 7, "night": "20251005"})
    (intake,), problems = decide(plan(key="{obsid:07d}", attributes={"site": "OVRO"}), [arrival])
    attributes = {"site": "OVRO", "obsid": 7, "night": "20251005"}
    assert intake == Intake(arrival, "0000007", "", attributes)
    assert problems == []


def test_several_files_the_rest_of_the_fields_is_the_part() -> None:
    (intake,), _ = decide(plan(16, key="{time}", duration="309 s"), [subband(3)])
    assert (intake.key, intake.part, intake.attributes) == (NOON, "subband3", {"time": NOON})
    assert intake.span == Span(NOON_SECONDS, NOON_SECONDS + 309)
    assert (intake.partition, intake.when) == ("", None)


def test_the_part_and_the_key_follow_their_templates() -> None:
    (intake,), _ = decide(plan(16, key="obs-{time:%Y%m%dT%H%M%S}", part="sb{subband:02d}"), [subband(3)])
    assert (intake.key, intake.part, intake.attributes) == ("obs-20251005T120000", "sb03", {"time": NOON})
    (intake,), _ = decide(plan(16, key="{time}", part=""), [subband(3)])
    assert (intake.part, intake.attributes) == ("", {"time": NOON, "subband": 3})


def test_joining_by_time_leaves_the_rest_of_the_key_as_partition() -> None:
    arrival = Arrival("x", 1, 2, {"time": NOON, "beam": "east", "subband": 1})
    (intake,), _ = decide(plan(16, 60, key="{beam}/{time}"), [arrival])
    assert (intake.key, intake.partition, intake.when) == (f"east/{NOON}", '{"beam": "east"}', NOON_SECONDS)


def test_the_time_may_have_another_name() -> None:
    arrival = Arrival("x", 1, 2, {"start": NOON})
    (intake,), _ = decide(plan(key="{start}", time="start"), [arrival])
    assert intake.span == Span(NOON_SECONDS, NOON_SECONDS)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            plan(key="{target}"),
            "incoming:a.dat: template '{target}' asks for 'target'; the facts are: n, night",
        ),
        (plan(key="{night:%Y}", time="night"), "incoming:a.dat: Invalid isoformat string: 'first'"),
        (plan(key="{n:s}"), "incoming:a.dat: template '{n:s}' cannot be filled"),
        (
            plan(16, 60, key="{n}"),
            "join_within needs the field 'time', a time; the name gives ['n', 'night']",
        ),
    ],
)
def test_what_cannot_be_decided_is_told(source: SourcePlan, message: str) -> None:
    intakes, problems = decide(source, [Arrival("a.dat", 1, 2, {"n": 1, "night": "first"})])
    assert intakes == []
    assert len(problems) == 1
    assert message in problems[0]


@given(st.lists(st.integers(0, 15), unique=True), st.booleans())
def test_each_arrival_is_decided_alone(numbers: list[int], reverse: bool) -> None:
    arrivals = [subband(number) for number in numbers]
    source = plan(16, 60, key="{time}", part="sb{subband:02d}")
    whole, _ = decide(source, list(reversed(arrivals)) if reverse else arrivals)
    alone = [intake for arrival in arrivals for intake in decide(source, [arrival])[0]]
    assert sorted(whole, key=lambda intake: intake.part) == sorted(alone, key=lambda intake: intake.part)
    assert len({intake.part for intake in whole}) == len(numbers)


# ---- hashing


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "incoming"
    folder.mkdir()
    return folder


def intake(root: Path, name: str, content: bytes = b"bytes") -> Intake:
    (root / name).write_bytes(content)
    status = (root / name).stat()
    return Intake(Arrival(name, status.st_size, status.st_mtime_ns), name)


def test_files_are_hashed_with_progress(root: Path) -> None:
    big = os.urandom(2_500_000)
    intakes = [intake(root, "small"), intake(root, "big", big), intake(root, "empty", b"")]
    told: list[int] = []
    done = hash_all(LocalStorage({"incoming": root}), "incoming", intakes, told.append)
    assert [ready.sha256 for ready in done.ready] == [
        hashlib.sha256(b).digest() for b in (b"bytes", big, b"")
    ]
    assert (done.waiting, done.problems) == (0, ())
    assert sum(told) == 2_500_005


def test_a_file_that_changed_or_went_waits(root: Path) -> None:
    intakes = [intake(root, name) for name in ("same", "grown", "gone")]
    (root / "grown").write_bytes(b"more bytes")
    (root / "gone").unlink()
    done = hash_all(LocalStorage({"incoming": root}), "incoming", intakes)
    assert [ready.key for ready in done.ready] == ["same"]
    assert (done.waiting, done.problems) == (2, ())


def test_a_file_that_changes_while_it_is_hashed_waits(root: Path) -> None:
    one = intake(root, "big", b"x" * 3_000_000)

    def meddle(_: int) -> None:
        with (root / "big").open("ab") as file:
            file.write(b"y")

    done = hash_all(LocalStorage({"incoming": root}), "incoming", [one], meddle)
    assert (done.ready, done.waiting) == ((), 1)


def test_hashing_ends_when_it_is_to_end_within_a_file_too(root: Path) -> None:
    intakes = [intake(root, "small"), intake(root, "big", b"x" * 3_000_000), intake(root, "other")]
    told: list[int] = []
    done = hash_all(
        LocalStorage({"incoming": root}), "incoming", intakes, told.append, go_on=lambda: len(told) < 2
    )
    assert [ready.key for ready in done.ready] == ["small"]
    assert (done.waiting, done.problems) == (2, ())  # they are found again
    assert len(told) == 2 and sum(told) < 3_000_005


def test_what_leaves_the_root_is_a_problem(root: Path) -> None:
    one = replace(intake(root, "a"), arrival=Arrival("../a", 1, 2))
    done = hash_all(LocalStorage({"incoming": root}), "incoming", [one])
    assert len(done.problems) == 1
    assert done.problems[0].startswith(
        "incoming:../a: cannot be read: root 'incoming': found the path '../a'"
    )


def test_what_may_not_be_read_is_a_problem(
    root: Path, unprivileged: Callable[..., CompletedProcess[str]]
) -> None:
    intake(root, "locked")
    (root / "locked").chmod(0)
    code = """
import pathlib, sys
from towpath.adapters.storage.local import LocalStorage
from towpath.contracts.source import Arrival, Intake
from towpath.flow.arrive import hash_all
root = pathlib.Path(sys.argv[1])
status = (root / "locked").stat()
one = Intake(Arrival("locked", status.st_size, status.st_mtime_ns), "locked")
print(*hash_all(LocalStorage({"incoming": root}), "incoming", [one]).problems)
"""
    told = unprivileged(sys.executable, "-c", code, str(root)).stdout
    assert told.startswith("incoming:locked: cannot be read: ")
    assert "Permission denied" in told
