"""`towpath new` and `init`: what they write works at once, and they never write over anything."""

import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from towpath.base.errors import UsageError
from towpath.cli.begin import site_file
from towpath.cli.new import filled, module_of, write

Command = Callable[..., Any]


def test_a_new_package_runs_and_its_test_passes(spawn: Command, tmp_path: Path) -> None:
    made = spawn("new", "my-levels", "--json", folder=tmp_path)
    assert made.code == 0, made.err
    folder = tmp_path / "my-levels"
    assert "my_levels/stages.py" in made.document["files"]
    ran = spawn("run", "--json", folder=folder)
    assert (ran.code, ran.document["runs"]) == (0, {"done": 2}), ran.err
    assert (folder / "archive/my-levels/series/first/clean-cleaned.csv").is_file()
    again = spawn("run", folder=folder)
    assert (again.code, again.out) == (0, "Nothing to do: all that can be done is done.\n")
    tested = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert "3 passed" in tested.stdout


def test_nothing_is_left_to_fill_in(tmp_path: Path) -> None:
    files = write(tmp_path / "x", {"name": "some-name", "module": "some_name"})
    for name in files:
        text = (tmp_path / "x" / name).read_text(encoding="utf-8")
        assert "{{" not in text.replace("{{name}}", ""), name
        assert "__name__" not in name
    assert ".gitignore" in files
    project = tomllib.loads((tmp_path / "x" / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["towpath.pipelines"] == {"some-name": "some_name.plugin:plugin"}


@pytest.mark.parametrize("name", ["", "Upper", "1st", "a b", "../up", "class", "towpath", "tests", "é"])
def test_names_that_cannot_be_are_refused(name: str) -> None:
    with pytest.raises(UsageError):
        module_of(name)


def test_what_is_there_is_not_written_over(
    invoke: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "levels").mkdir()
    done = invoke("new", "levels")
    assert done.code == 5
    assert not any((tmp_path / "levels").iterdir())


def test_nothing_is_left_behind_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> str:
        raise OSError("disk full")

    monkeypatch.setattr("towpath.cli.new.filled", full)
    with pytest.raises(OSError, match="disk full"):
        write(tmp_path / "levels", {"name": "levels", "module": "levels"})
    assert not any(tmp_path.iterdir())


def test_filling_in() -> None:
    assert filled("{{name}} of {{module}}: {key}", {"name": "a", "module": "b"}) == "a of b: {key}"


# ---- init
def test_a_new_site_works(invoke: Command, tmp_path: Path) -> None:
    made = invoke("init", tmp_path / "obs", "--json")
    assert made.code == 0, made.err
    folder = tmp_path / "obs"
    assert all((folder / name).is_dir() for name in ("incoming", "store", "archive"))
    assert invoke("status", "--site", folder).code == 0
    ran = invoke("run", "--executor", "inline", "--json", "--site", folder)
    assert (ran.code, ran.document["did_nothing"]) == (0, True)
    assert "obs" in invoke("status", "--site", folder).out


def test_a_site_is_not_made_twice(invoke: Command, tmp_path: Path) -> None:
    assert invoke("init", tmp_path).code == 0
    before = (tmp_path / "towpath.toml").read_bytes()
    again = invoke("init", tmp_path)
    assert again.code == 5
    assert "is there already" in again.err
    assert (tmp_path / "towpath.toml").read_bytes() == before


def test_an_unknown_pipeline_makes_no_site(invoke: Command, tmp_path: Path) -> None:
    done = invoke("init", tmp_path / "obs", "--pipeline", "nix")
    assert done.code == 4
    assert not (tmp_path / "obs").exists()


@pytest.mark.parametrize("name", ["plain", 'with "quotes"', "back\\slash", "ünï"])
def test_a_site_file_is_toml_whatever_the_folder_is_called(name: str) -> None:
    content = tomllib.loads(site_file(name, ["gam", "dsa110"], ["gam"]))
    assert content["site"]["name"]
    assert set(content["pipelines"]) == {"gam", "dsa110"}
    assert tomllib.loads(site_file(name, [], ["gam"])).keys() == {"site"}
