"""Names of places are read as the runs that made them, and what is put aside keeps its path."""

from pathlib import Path

import pytest

from towpath.flow.newer import LARGEST, highest, splits
from towpath.flow.reconcile import unknown


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("key.3", [("key", 3, "")]),
        ("key.3.out.csv", [("key", 3, "out.csv")]),
        ("key.csv", []),
        ("3.4.x", [("3", 4, "x")]),
        ("a.1.2.out", [("a", 1, "2.out"), ("a.1", 2, "out")]),
        (f"a.{LARGEST + 1}.2.out", [(f"a.{LARGEST + 1}", 2, "out")]),
        ("a.٣.out", []),
        ("", []),
    ],
)
def test_a_name_is_read_in_every_way(name: str, found: list[tuple[str, int, str]]) -> None:
    assert list(splits(name)) == found


def test_the_highest_token_may_be_too_high_and_never_too_low() -> None:
    names = ["i.3.out", ".i.7.out", "j.12", ".k.5.~scratch", "2024.20241125.9.fits", "17.4.log", "plain"]
    assert highest(names) == 12
    assert highest(["2024.500.9.fits"]) == 500
    assert highest([]) == 0


def test_a_folder_of_things_put_aside_is_never_looked_at(tmp_path: Path) -> None:

    (tmp_path / ".quarantine" / "now").mkdir(parents=True)
    (tmp_path / ".quarantine" / "now" / "i.3.out").touch()
    (tmp_path / "i.4.out").touch()
    assert list(unknown(tmp_path, {})) == [tmp_path / "i.4.out"]
