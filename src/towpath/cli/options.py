"""The options that every command has (--site, --set, --json, --debug), and the values they give to a command.

They are declared once and added to each command as it is loaded, so they may stand before or after the command's name.
Imports nothing but typer, so that start-up stays fast.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

PANEL = "Options of every command"


@dataclass(slots=True)
class Call:
    """How the command was called: where the site is, settings that override it, and how to answer."""

    site: Path | None = None
    settings: list[str] = field(default_factory=list)
    is_json: bool = False
    is_debug: bool = False


def call_of(context: typer.Context) -> Call:
    """The values of the options that every command has."""
    return context.ensure_object(Call)


def _keep_site(context: typer.Context, value: Path | None) -> None:
    if value is not None:
        call_of(context).site = value


def _keep_settings(context: typer.Context, value: list[str] | None) -> None:
    call_of(context).settings.extend(value or ())


def _keep_json(context: typer.Context, value: bool) -> None:
    call_of(context).is_json |= value


def _keep_debug(context: typer.Context, value: bool) -> None:
    call_of(context).is_debug |= value


def _kept(name: str, keep: Callable[..., None], help: str, metavar: str | None = None) -> Any:
    return typer.Option(
        name,
        callback=keep,
        expose_value=False,
        is_eager=True,
        help=help,
        metavar=metavar,
        rich_help_panel=PANEL,
    )


_SITE = (
    "The site's folder, or its towpath.toml. Default: the variable TOWPATH_SITE, else the nearest folder with a "
    "towpath.toml, from here upwards."
)
_SET = "Override a setting of the site, such as site.workers=4. Repeatable."
_JSON = "Print one JSON document on standard output, and nothing else."


def _declared(
    site: Annotated[Path | None, _kept("--site", _keep_site, _SITE, "DIR")] = None,
    settings: Annotated[list[str] | None, _kept("--set", _keep_settings, _SET, "KEY=VALUE")] = None,
    is_json: Annotated[bool, _kept("--json", _keep_json, _JSON)] = False,
    is_debug: Annotated[bool, _kept("--debug", _keep_debug, "Show where an error came from.")] = False,
) -> None:
    """Carry the options; never called."""


def add_to(command: TyperCommand | TyperGroup) -> None:
    """Give the options to a command, and to the commands below it."""
    app = typer.Typer(add_completion=False)
    app.command()(_declared)
    own = {option for param in command.params for option in param.opts}
    command.params.extend(param for param in get_command(app).params if not own & set(param.opts))
    if isinstance(command, TyperGroup):
        for inner in command.commands.values():
            assert isinstance(inner, TyperCommand | TyperGroup)
            add_to(inner)
