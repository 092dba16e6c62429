"""`towpath init`: a site in a folder: its file with comments, its folders, its catalog."""

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from towpath.app import plugins
from towpath.app.settings import FILE
from towpath.app.site import Site
from towpath.base.errors import NotFoundError, SiteError, StateError
from towpath.cli import screen
from towpath.cli.new import filled
from towpath.cli.options import call_of
from towpath.cli.screen import Screen, pairs

app = typer.Typer()

_CATALOG = '# catalog = "sqlite:///catalog.sqlite"  # where the catalog is; relative to this folder'
_NO_PIPELINE = """\
# Name the pipelines of this site, each in a table of its own (installed: {installed}):
# [pipelines.NAME]
# A pipeline that is not installed:
# plugin = "module:plugin"              # the module is looked for in this folder
# A pipeline file of one's own:
# file = "NAME.toml\""""


@app.command()
def init(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Argument(help="The folder of the site; it is made if need be.", file_okay=False)
    ] = Path(),
    pipeline: Annotated[
        list[str] | None,
        typer.Option(
            help="An installed pipeline that the site shall have. Repeatable.",
            autocompletion=plugins.installed,
        ),
    ] = None,
    catalog: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="Where the catalog is to be, such as postgresql://USER@HOST/DATABASE; by default a file in the folder.",
        ),
    ] = "",
) -> None:
    """Make a site: its file, its folders, its catalog."""
    call = call_of(context)
    names = list(dict.fromkeys(pipeline or ()))
    known = plugins.installed()
    for name in names:
        if name not in known:
            raise NotFoundError(
                f"no pipeline {name!r} is installed; installed are {', '.join(known) or 'none'}"
            )
        plugins.load(name)
    file = folder / FILE
    if file.exists():
        raise StateError(f"{file} is there already; `towpath status` shows the site")
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(site_file(folder.resolve().name, names, list(known), catalog), encoding="utf-8")
    try:
        with Site.open(folder, overrides=call.settings) as site:
            roots = {name: str(place) for name, place in site.settings.roots.items()}
    except SiteError:
        file.unlink()  # so that it can be asked for again
        raise
    document = {"folder": folder.resolve(), "file": file.resolve(), "pipelines": names, "roots": roots}
    Screen(call.is_json).answer(
        document, screen.heading(f"A site is in {folder.resolve()}. Next:"), _steps(folder, names)
    )


def site_file(name: str, pipelines: list[str], installed: list[str], catalog: str = "") -> str:
    """The text of a new site file."""
    tables = "\n\n".join(f"[pipelines.{one}]" for one in pipelines)
    template = (files("towpath.cli") / "templates" / "towpath.toml").read_text(encoding="utf-8")
    words = {
        "name": re.sub(r'["\\\x00-\x1f]', "", name) or "site",
        "catalog": f"catalog = {json.dumps(catalog)}" if catalog else _CATALOG,
        "pipelines": tables or _NO_PIPELINE.format(installed=", ".join(installed) or "none"),
    }
    return filled(template, words)


def _steps(folder: Path, pipelines: list[str]) -> Table:
    steps = (
        [] if folder.resolve() == Path.cwd() else [(f"cd {folder}", "commands find the site from within it")]
    )
    if not pipelines:
        steps.append((f"edit {FILE}", "name a pipeline, or write one: `towpath new NAME`"))
    steps += [
        ("towpath config all" if pipelines else "towpath config", "every setting, and where it comes from"),
        ("towpath run", "runs what there is; --watch goes on as things arrive"),
        ("towpath status", "the site at a glance"),
    ]
    return pairs([(f"  {command}", Text(what)) for command, what in steps])
