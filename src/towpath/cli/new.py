"""`towpath new`: a pipeline package of one's own, complete and working, from the templates beside this module.

Promises that nothing that is there already is overwritten, and that all is written or nothing.
"""

import keyword
import re
import shutil
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

import typer

from towpath.base.errors import StateError, UsageError
from towpath.cli.options import call_of
from towpath.cli.screen import Screen, dim, heading, pairs

app = typer.Typer()

_NAME = re.compile(r"[a-z][a-z0-9_-]*\Z")


@app.command()
def new(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The pipeline's name: small letters, digits, - and _.")],
) -> None:
    """Write a pipeline package of your own, with a site that uses it and a test."""
    folder = Path.cwd() / name
    module = module_of(name)
    if folder.exists():
        raise StateError(f"{folder} is there already; choose another name, or remove it")
    written = write(folder, {"name": name, "module": module})
    screen = Screen(call_of(context).is_json)
    steps = [
        (f"cd {name}", "everything is in this folder"),
        ("towpath run", "runs the example; the result is in archive/"),
        (f"edit {module}/stages.py", f"the stage; its science is in {module}/science/"),
        ("python -m pytest", "tests it"),
    ]
    screen.answer(
        {"folder": folder, "files": written},
        heading(f"The pipeline {name} is in {name}/ ({len(written)} files). Next:"),
        pairs([(f"  {command}", dim(what)) for command, what in steps]),
    )


def module_of(name: str) -> str:
    """The Python package of a pipeline.

    Raises
    ------
    UsageError
        If the name cannot be one.
    """
    module = name.replace("-", "_")
    if not _NAME.match(name) or keyword.iskeyword(module):
        raise UsageError(
            f"found the name {name!r}; expected small letters, digits, - and _, beginning with a letter"
        )
    if module in ("towpath", "tests", "incoming", "store", "archive"):
        raise UsageError(f"the name {name!r} is taken by something else in the package; choose another")
    return module


def write(folder: Path, words: dict[str, str]) -> list[str]:
    """Write the package; returns its files. Leaves nothing behind if it fails."""
    beside = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        _copy(files("towpath.cli") / "templates" / "package", beside, words)
        beside.rename(folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _copy(source: Traversable, target: Path, words: dict[str, str]) -> None:
    target.mkdir(parents=True)
    for entry in source.iterdir():
        name = {"__name__": words["module"], "gitignore": ".gitignore"}.get(entry.name, entry.name)
        if entry.is_dir() and entry.name != "__pycache__":
            _copy(entry, target / name, words)
        elif entry.is_file() and not name.endswith(".pyc"):
            (target / name).write_text(filled(entry.read_text(encoding="utf-8"), words), encoding="utf-8")


def filled(text: str, words: dict[str, str]) -> str:
    """A template with its ``{{words}}`` filled in."""
    for word, value in words.items():
        text = text.replace("{{" + word + "}}", value)
    return text
