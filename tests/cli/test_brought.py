"""Commands of plug-ins: found when they are called, listed by their declared names, and never loaded before."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import towpath
from towpath.cli import declared, entry

Invoke = Callable[..., Any]

PLUGIN = """
from towpath import Plugin

plugin = Plugin("NAME", commands={"tables": "NAME_commands:app", "hello": "NAME_commands:hello", "none": "NAME:x"})
"""
COMMANDS = """
from typing import Annotated

import typer

from towpath import Command, TowpathError

app = typer.Typer(help="Tables of calibrators.")


@app.command("list")
def list_tables(context: typer.Context) -> None:
    \"\"\"List the tables.\"\"\"
    with Command(context) as command:
        rows = [(item.key, 1.25, len(command.site.show(item.key).products)) for item in command.site.items()]
        command.answer([{"key": row[0]} for row in rows], "that is all", headers=("key", "x", "files"), rows=rows)


@app.command()
def add(context: typer.Context, name: str, text: Annotated[str, typer.Option()] = "") -> None:
    \"\"\"Add a table.\"\"\"
    with Command(context) as command:
        file = command.site.folder / "incoming" / f"{name}.txt"
        file.write_text(text)
        command.site.submit("table", [{"key": name, "files": [file]}])
        command.note(f"added {name}")
        command.answer({"added": name}, f"added {name}")


def hello(context: typer.Context, whom: str = "world") -> None:
    \"\"\"Greet.\"\"\"
    with Command(context) as command:
        command.site.find(whom)
"""
PIPELINE = """
[pipeline]
name = "NAME"
[sources.table]
kind = "submit"
item = "table"
[items.table]
route = "certify"
[items.table.certify]
calibration = "table"
product = "file"
valid_before = "always"
valid_after = "always"
overlap = "replace"
"""


def bring(folder: Path, *names: str) -> Path:
    """A site with pipelines that bring the same commands."""
    site = '[site]\nexecutor = "inline"\n'
    (folder / "incoming").mkdir(exist_ok=True)
    for name in names:
        texts = {f"{name}.py": PLUGIN, f"{name}_commands.py": COMMANDS, f"{name}.toml": PIPELINE}
        for file, text in texts.items():
            (folder / file).write_text(text.replace("NAME", name))
        site += f'[pipelines.{name}]\nfile = "{name}.toml"\nplugin = "{name}:plugin"\n'
    (folder / "towpath.toml").write_text(site)
    return folder


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Give a name that no other test imported."""
    return f"brought_{abs(hash(request.node.name))}"


def test_a_command_of_the_sites_plug_in(tmp_path: Path, invoke: Invoke, name: str) -> None:
    """With the options of every command before and after it, as text and as JSON."""
    site = bring(tmp_path, name)
    assert f"{name}_commands" not in sys.modules
    assert invoke("tables", "list", "--site", site).out == "key  x  files\nthat is all\n"
    done = invoke("--site", site, "tables", "add", "v1", "--text", "one")
    assert (done.code, done.out, done.err) == (0, "added v1\n", "added v1\n")
    assert invoke("tables", "add", "v2", "--json", f"--site={site}").document == {"added": "v2"}
    assert json.loads(invoke("tables", "--site", site, "list", "--json").out) == [
        {"key": "v1"},
        {"key": "v2"},
    ]
    assert invoke("tables", "list", "--site", site).out.splitlines()[1].split() == ["v1", "1.25", "1"]
    assert invoke("run", "--site", site).code == 0
    (row,) = invoke("calibrations", "list", "--site", site, "--json").document
    assert (row["kind"], row["item"]) == ("table", f"{name}/table/v2")
    shown = invoke("tables", "--help", "--site", site).out
    assert "Tables of calibrators." in shown and "Add a table." in shown
    assert "--json" in invoke("tables", "add", "--help", "--site", site).out


def test_what_goes_wrong_is_told_as_towpath_tells_it(tmp_path: Path, invoke: Invoke, name: str) -> None:
    site = bring(tmp_path, name)
    done = invoke("hello", "--whom", "nobody", "--site", site)
    assert done.code == 4 and "towpath: no item 'nobody'" in done.err
    done = invoke("none", "--site", site)
    assert f"pipeline {name}: the command 'none', {name}:x, cannot be imported" in done.err
    (tmp_path / f"{name}b.py").write_text(
        f"from towpath import Plugin\nplugin = Plugin('{name}b', commands={{'odd': 3}})"
    )
    (tmp_path / f"{name}b.toml").write_text(PIPELINE.replace("NAME", f"{name}b"))
    with (tmp_path / "towpath.toml").open("a") as file:
        file.write(f'[pipelines.{name}b]\nfile = "{name}b.toml"\nplugin = "{name}b:plugin"\n')
    assert "found int as the command 'odd'; expected a typer app" in invoke("odd", "--site", site).err


def test_two_plug_ins_that_bring_one_command_are_both_named(
    tmp_path: Path, invoke: Invoke, name: str
) -> None:
    site = bring(tmp_path, f"{name}a", f"{name}b")
    done = invoke("tables", "list", "--site", site)
    assert done.code != 0
    assert f"the command 'tables' is brought by several pipelines: {name}a and {name}b" in done.err


def test_an_unknown_command_is_still_unknown(tmp_path: Path, invoke: Invoke, name: str) -> None:
    for folder in (tmp_path, bring(tmp_path, name)):
        done = invoke("--site", folder, "itmes")
        assert done.code == 2
        assert "No such command 'itmes'" in done.err and "items" in done.err


@pytest.fixture
def installed(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give what installs pipelines that declare commands, each as a distribution of its own."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(*names: str, commands: str = "tables") -> None:
        for one in names:
            bring(tmp_path, one)
            about = tmp_path / f"{one}-1.dist-info"
            about.mkdir()
            (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {one}\nVersion: 1\n")
            (about / "entry_points.txt").write_text(
                f"[towpath.pipelines]\n{one} = {one}:plugin\n[towpath.commands]\n{commands} = {one}:plugin\n"
            )

    return install


def test_a_declared_command_is_listed_and_not_loaded(
    installed: Callable[..., None], invoke: Invoke, name: str, tmp_path: Path
) -> None:
    installed(name)
    shown = invoke("--help").out
    assert "tables" in shown and f"A command of {name}." in shown
    assert name not in sys.modules
    assert declared.commands()["tables"] == (name,)
    assert "Tables of calibrators." in invoke("tables", "--help").out  # where there is no site
    assert invoke("tables", "list", "--site", tmp_path).code == 0


def test_what_is_declared_twice_or_not_brought(
    installed: Callable[..., None], invoke: Invoke, name: str
) -> None:
    installed(f"{name}a", f"{name}b")
    assert f"brought by several pipelines: {name}a and {name}b" in invoke("tables", "list").err
    installed(f"{name}c", commands="chairs")
    assert f"pipeline {name}c declares the command 'chairs'" in invoke("chairs").err


def test_towpaths_own_commands_go_first(tmp_path: Path, invoke: Invoke, name: str) -> None:
    site = bring(tmp_path, name)
    file = tmp_path / f"{name}.py"
    file.write_text(file.read_text().replace('"hello"', '"items"'))
    assert invoke("items", "--site", site).code == 0
    assert f"{name}_commands" not in sys.modules
    assert "items" in entry.MODULES


def test_a_worker_does_not_load_what_commands_need() -> None:
    assert "Command" in towpath.__all__
    with pytest.raises(AttributeError, match="no attribute 'Commands'"):
        _ = towpath.Commands  # type: ignore[attr-defined]
