"""Exit codes: the table in the documentation is the one in the code, and real processes end with them."""

import errno
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from towpath.base import errors
from towpath.cli.exits import MEANINGS, Exit, code_of

REPOSITORY = Path(__file__).resolve().parents[2]
Command = Callable[..., Any]


def test_the_documentation_has_the_table() -> None:
    page = (REPOSITORY / "docs" / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| ([a-z ]+) \| (.+) \|$", page, re.MULTILINE)
    assert rows == [
        (str(int(code)), code.name.lower().replace("_", " "), text) for code, text in MEANINGS.items()
    ]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.DefinitionError("x"), Exit.DEFINITION),
        (errors.NotFoundError("x"), Exit.NOT_FOUND),
        (errors.StateError("x"), Exit.STATE),
        (errors.UsageError("x"), Exit.USAGE),
        (errors.SiteError("x"), Exit.SITE),
        (errors.IntegrityError("x"), Exit.SITE),
        (errors.Transient("x"), Exit.FAILED),
        (PermissionError("x"), Exit.SITE),
        (ValueError("x"), Exit.DEFECT),
    ],
)
def test_each_error_has_its_code(error: Exception, code: Exit) -> None:
    assert code_of(error) is code


def test_every_error_of_the_tree_has_a_code() -> None:
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.TowpathError)
    ]
    assert all(code_of(kind("x")) is not Exit.DEFECT for kind in kinds)


def test_processes_end_with_them(spawn: Command, fresh: Path, tmp_path: Path) -> None:
    (fresh / "incoming" / "broken.csv").write_text("time,level\n0,1\n")
    module = fresh.name
    assert spawn("run", folder=fresh).code == Exit.FAILED
    assert spawn("run", folder=fresh).code == Exit.DONE
    assert spawn("run", "--workers", "none", folder=fresh).code == Exit.USAGE
    assert spawn("show", "nobody", folder=fresh).code == Exit.NOT_FOUND
    assert spawn("release", "first", folder=fresh).code == Exit.STATE
    assert spawn("status", folder=tmp_path / "..").code == Exit.SITE
    pipeline = fresh / module / "pipeline.toml"
    pipeline.write_text(pipeline.read_text().replace("clean -> publish", "clean -> polish"))
    done = spawn("run", "--json", folder=fresh)
    assert done.code == Exit.DEFINITION
    assert "polish" in json.loads(done.out)["error"]
    assert "Traceback" not in done.err


def test_a_reader_that_has_gone_is_no_fault(
    invoke: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("towpath.cli.screen.Screen.answer", gone)
    monkeypatch.chdir(tmp_path)
    told = invoke("new", "levels")
    assert (told.code, told.err) == (Exit.FAILED, "")
