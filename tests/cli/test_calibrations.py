"""`towpath calibrations`: the list, what of it has no good bytes, and withdrawing one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from towpath import Site

Invoke = Callable[..., Any]

PIPELINE = """
[pipeline]
name = "tables"
[sources.table]
kind = "submit"
item = "table"
[items.table]
route = "certify"
[items.table.certify]
calibration = "table"
product = "file"
selector = "band"
valid_before = "always"
valid_after = "1 h"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a site with two certified files."""
    (tmp_path / "tables.toml").write_text(PIPELINE)
    (tmp_path / "towpath.toml").write_text(
        '[site]\nexecutor = "inline"\n[pipelines.tables]\nfile = "tables.toml"\n'
    )
    with Site.open(tmp_path) as site:
        for band in ("a", "b"):
            file = tmp_path / "incoming" / f"{band}.txt"
            file.write_text(band)
            site.submit(
                "table",
                [
                    {
                        "key": band,
                        "time": "2026-03-01T12:00:00Z",
                        "attributes": {"band": band},
                        "files": [file],
                    }
                ],
            )
        site.run()
    return tmp_path


def test_the_list_says_what_is_in_force_and_what_has_no_good_bytes(folder: Path, invoke: Invoke) -> None:
    shown = invoke("calibrations", "list", "--site", folder).out.splitlines()
    assert shown[0].split()[:2] == ["kind", "selector"]
    assert shown[1].split() == [
        "1", "table", "a", "always", "2026-03-01T13:00:00Z", "0", "tables/table/a", "certified", "0",
    ]  # fmt: skip
    assert len(shown) == 3
    (folder / "incoming" / "b.txt").unlink()
    done = invoke("calibrations", "list", "table", "--selector", "b", "--site", folder)
    assert done.out.splitlines()[-1] == "calibration 2: incoming:b.txt is missing; what needs it waits"
    (told,) = invoke("calibrations", "list", "--selector", "b", "--json", "--site", folder).document
    assert (told["bytes_are"], told["is_bad"], told["begin"], told["end"]) == (
        "missing", True, "0001-01-01T00:00:00.000Z", "2026-03-01T13:00:00.000Z",
    )  # fmt: skip
    found = invoke("verify", "--site", folder)
    assert found.code == 1
    assert "b.txt (calibration 2, table)" in found.out


def test_one_is_withdrawn(folder: Path, invoke: Invoke) -> None:
    done = invoke("calibrations", "decertify", "1", "--why", "clouds", "--site", folder)
    assert done.out == (
        "calibration 1 (table of tables/table/a) is withdrawn: clouds; 0 runs that used it are to be done again\n"
    )
    assert [one["number"] for one in invoke("calibrations", "list", "--json", "--site", folder).document] == [
        2
    ]
    everything = invoke("calibrations", "list", "--all", "--json", "--site", folder).document
    assert [(one["number"], one["state"]) for one in everything] == [(1, "decertified"), (2, "certified")]
    assert invoke("calibrations", "decertify", "9", "--why", "x", "--site", folder).code == 4
    assert invoke("calibrations", "list", "none", "--site", folder).out == "No calibration is certified.\n"
