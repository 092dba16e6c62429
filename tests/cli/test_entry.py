"""The command as such: it starts fast, lists its commands, takes its options anywhere, and tells errors in one message."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup

from towpath.cli import entry
from towpath.cli.reference import reference

REPOSITORY = Path(__file__).resolve().parents[2]
Command = Callable[..., Any]


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter has after running the code."""
    text = f"import sys\n{code}\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_the_version_is_printed(spawn: Command, tmp_path: Path) -> None:
    done = spawn("--version", folder=tmp_path)
    assert (done.code, done.out) == (0, "towpath 0.1.0\n")


def test_the_command_loads_nothing_before_it_knows_what_is_asked() -> None:
    loaded = loaded_by("import towpath.cli.entry")
    slow = {"sqlalchemy", "alembic", "rich.console", "towpath.app.site", "watchfiles", "numpy"}
    assert not loaded & slow


def test_status_does_not_load_science(fresh: Path) -> None:
    loaded = loaded_by(
        f"from towpath.cli.entry import app\napp(['status', '--site', {str(fresh)!r}], standalone_mode=False)"
    )
    assert "towpath.app.site" in loaded
    assert not loaded & {"numpy", "pandas", "matplotlib", "xarray", "watchfiles"}


def test_the_list_of_commands_says_what_the_commands_say() -> None:
    for commands in entry.COMMANDS.values():
        for name, (_, line) in commands.items():
            command = entry.load(name)
            assert (command.help or "").split("\n\n")[0].replace("\n", " ").startswith(line.rstrip(".")), name


def test_help_of_every_command_names_it(invoke: Command) -> None:
    shown = invoke("--help").out
    for name in entry.MODULES:
        assert f" {name} " in shown
        command = entry.load(name)
        inner = list(command.commands) if isinstance(command, TyperGroup) else [""]
        for one in inner:
            done = invoke(name, *filter(None, [one]), "--help")
            assert done.code == 0
            assert "--json" in done.out and "--site" in done.out


def test_the_reference_says_what_the_commands_say() -> None:
    page = (REPOSITORY / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    assert page == reference(), "python -m towpath.cli.reference > docs/reference/cli.md"


def test_options_may_stand_before_and_after_the_command(invoke: Command, shared: Path) -> None:
    before = invoke("--site", shared, "--json", "status")
    after = invoke("status", "--json", "--site", shared)
    assert before.code == after.code == 0
    assert before.document == after.document


def test_a_mistyped_command_is_guessed(invoke: Command) -> None:
    done = invoke("itmes")
    assert done.code == 2
    assert "items" in done.err


def test_the_site_is_found_upwards_and_by_variable(
    invoke: Command, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shared / "incoming")
    assert invoke("db", "path", "--json").document["path"] == str(shared / "catalog.sqlite")
    monkeypatch.chdir(tmp_path)
    assert invoke("db", "path").code == 6
    monkeypatch.setenv("TOWPATH_SITE", str(shared))
    assert invoke("db", "path", "--json").document["path"] == str(shared / "catalog.sqlite")


def test_settings_can_be_overridden(invoke: Command, shared: Path) -> None:
    done = invoke("config", "--set", "site.workers=7", "--set", "site.name=other", "--json", "--site", shared)
    found = {row["name"]: row for row in done.document["site"]}
    assert found["site.workers"] == {"name": "site.workers", "value": 7, "origin": "command line"}
    assert found["site.name"]["value"] == "other"


def test_an_error_is_one_message_and_with_debug_a_traceback(invoke: Command, shared: Path) -> None:
    plain = invoke("show", "nobody", "--site", shared)
    assert plain.code == 4
    assert plain.err == "towpath: no item 'nobody'; `towpath items` lists them\n"
    assert not plain.out
    debug = invoke("show", "nobody", "--debug", "--site", shared)
    assert "Traceback" in debug.err


def test_an_error_is_a_document_too(invoke: Command, shared: Path) -> None:
    done = invoke("show", "nobody", "--json", "--site", shared)
    assert done.document == {
        "error": "no item 'nobody'; `towpath items` lists them",
        "kind": "NotFoundError",
        "exit": 4,
    }


def test_what_nobody_expected_is_called_a_defect(
    invoke: Command, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("towpath.app.site.Site.status", broken)
    done = invoke("status", "--site", shared)
    assert done.code == 70
    assert "a defect: ZeroDivisionError: by zero" in done.err
    assert "Traceback" not in done.err
