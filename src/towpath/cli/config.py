"""`towpath config`: every setting in force, of the site and of its pipeline files, and where each value comes from."""

import json
import os
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from towpath.app import definitions, settings
from towpath.app.settings import Settings, masked
from towpath.app.tables import Origin, dotted, leaves
from towpath.base.errors import NotFoundError
from towpath.cli import opening, screen
from towpath.cli.options import call_of
from towpath.cli.screen import Screen, section

app = typer.Typer()

Row = tuple[str, Any, Origin]


@app.command()
def config(
    context: typer.Context,
    pipeline: Annotated[
        str,
        typer.Argument(
            help="Also the pipeline file of this one; `all` for each.", autocompletion=opening.offer_pipelines
        ),
    ] = "",
    text: Annotated[str, typer.Option("--match", help="Only settings whose name contains this.")] = "",
) -> None:
    """Show the settings in force, and where each value comes from."""
    call = call_of(context)
    found = settings.load(opening.place_of(call), os.environ, call.settings)
    parts = {
        "site": [
            row for row in found.shown() if not row[0].startswith("pipelines.") or ".override" not in row[0]
        ]
    }
    for name in _asked(found, pipeline):
        parts[name] = _of_pipeline(found, name)
    kept = {name: [row for row in rows if text in row[0]] for name, rows in parts.items()}
    document = {
        name: [{"name": key, "value": value, "origin": str(origin)} for key, value, origin in rows]
        for name, rows in kept.items()
    }
    titles = {"site": f"site, {found.file}"}
    Screen(call.is_json).answer(
        document,
        *(section(titles.get(name, f"pipeline {name}"), _table(rows)) for name, rows in kept.items()),
    )


def _asked(found: Settings, pipeline: str) -> list[str]:
    if pipeline in ("", "all"):
        return list(found.pipelines) if pipeline else []
    if pipeline not in found.pipelines:
        raise NotFoundError(
            f"this site has no pipeline {pipeline!r}; it has {', '.join(found.pipelines) or 'none'}"
        )
    return [pipeline]


def _of_pipeline(found: Settings, name: str) -> list[Row]:
    loaded = definitions.load(settings.request(found, name))
    default = Origin("default")
    rows = [(dotted(key), value) for key, value in leaves(loaded.definition.content)]
    return [(key, masked(key, value), loaded.origins.get(key, default)) for key, value in rows]


def _table(rows: list[Row]) -> Table:
    made = screen.table("setting", "value", "from", fold=("setting", "value"))
    for name, value, origin in rows:
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        is_default = origin.where == "default"
        made.add_row(
            Text(name), Text(shown, style="dim" if is_default else ""), Text(str(origin), style="dim")
        )
    return made
