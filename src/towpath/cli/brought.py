"""The commands that plug-ins bring: found by name when one is called that is not Towpath's own.

Promises that a name which two plug-ins bring is an error that names both. What
is declared as an entry point `towpath.commands` is known everywhere; what is not, where the site uses the pipeline.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from towpath.app import plugins, settings
from towpath.base.errors import SiteError, TowpathError
from towpath.cli import declared, opening, options
from towpath.contracts.plugin import Plugin


def find(name: str, call: options.Call, args: Sequence[str]) -> TyperCommand | TyperGroup | None:
    """The command of this name; None if no plug-in brings one.

    Raises
    ------
    SiteError
        If two plug-ins bring it, or what is declared is not there.
    """
    owners = declared.commands().get(name)
    if owners is not None:
        found = {owner: plugins.load(owner) for owner in owners}
        lacking = [owner for owner, plugin in found.items() if name not in plugin.commands]
        if lacking:
            raise SiteError(
                f"pipeline {lacking[0]} declares the command {name!r} as an entry point, and its plug-in brings none"
            )
    else:
        found = {one.name: one for one in _of_site(call, args) if name in one.commands}
    if len(found) > 1:
        raise SiteError(
            f"the command {name!r} is brought by several pipelines: {' and '.join(sorted(found))}"
        )
    return next((_command(name, one) for one in found.values()), None)


def _of_site(call: options.Call, args: Sequence[str]) -> list[Plugin]:
    """The plug-ins of the site that the command is about; none where there is no site, or it cannot be read."""
    try:
        place = _named(args) or opening.place_of(call)
        site = settings.load(place, assignments=call.settings)
        return [settings.request(site, name).plugin for name in site.pipelines]
    except (TowpathError, OSError):
        return []


def _named(args: Sequence[str]) -> Path | None:
    """The site that stands after the command's name."""
    for word, following in zip(args, [*args[1:], ""], strict=False):
        if word == "--site" and following:
            return Path(following)
        if word.startswith("--site="):
            return Path(word.partition("=")[2])
    return None


def _command(name: str, plugin: Plugin) -> TyperCommand | TyperGroup:
    brought = _loaded(name, plugin)
    if isinstance(brought, typer.Typer):
        command: Any = get_group(brought)
    elif callable(brought):
        app = typer.Typer(add_completion=False)
        app.command(name)(brought)
        command = get_command(app)
    else:
        raise SiteError(
            f"pipeline {plugin.name}: found {type(brought).__name__} as the command {name!r}; expected a typer app, a "
            'function, or "module:name" of one'
        )
    assert isinstance(command, TyperCommand | TyperGroup)
    command.name = name
    options.add_to(command)
    return command


def _loaded(name: str, plugin: Plugin) -> Any:
    commands: Mapping[str, Any] = plugin.commands
    if not isinstance(commands[name], str):
        return commands[name]
    try:
        return plugins.attribute(commands[name])
    except ImportError as error:
        raise SiteError(
            f"pipeline {plugin.name}: the command {name!r}, {commands[name]}, cannot be imported: {error}"
        ) from error
