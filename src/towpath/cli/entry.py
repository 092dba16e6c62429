"""The command `towpath`: finds the module of the command that was asked for, and turns errors into exit codes.

Promises that only that module is imported, so that each command starts fast. Errors are printed as one message without a
traceback, unless `--debug` asks for it.
"""

import importlib
import json
import logging
import sys
import traceback
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from towpath.base.errors import TowpathError
from towpath.cli import declared, options, records
from towpath.cli.exits import Exit, code_of

# Each command: the module that has it, and its line in the list of commands (checked against the command by a test).
COMMANDS: dict[str, dict[str, tuple[str, str]]] = {
    "Begin": {
        "init": ("begin", "Make a site: its file, its folders, its catalog."),
        "new": ("new", "Write a pipeline package of your own, with a site that uses it and a test."),
        "demo": ("demo", "Run a pipeline's demonstration from file to published product."),
    },
    "Run": {
        "run": ("run", "Run what is to run, until nothing is left (or for ever with --watch)."),
        "serve": ("serve", "Serve the site: pages for people, REST and live events for programs."),
        "plan": (
            "plan",
            "Say what a run would do and why, and how long it would take by earlier runs; change nothing.",
        ),
    },
    "Look": {
        "status": ("look", "Show the site at a glance."),
        "items": ("look", "List items, filtered and page by page."),
        "features": ("features", "List point results of runs, by place and filter, page by page."),
        "show": ("look", "Show everything about one item."),
        "explain": (
            "plan",
            "Explain why the stages of an item are as they are, what they wait for, and what to do about it.",
        ),
        "log": ("story", "Print the log of a run."),
        "events": ("story", "Print the story: what happened, in order."),
    },
    "Act": {
        "retry": ("act", "Try failed, poisoned and stopped work again."),
        "rerun": ("act", "Run a stage again though nothing changed, and what follows from it."),
        "stop": ("act", "Stop work; what runs is ended."),
        "hold": ("act", "Hold work that has not begun."),
        "release": ("act", "Release held work; with --accept what a rule held is done as it is."),
        "approve": ("orders", "Let an item go on at a gate."),
        "reject": ("orders", "End an item's way at a gate."),
        "orders": ("orders", "List what is handed to people; take it, give it back, deliver."),
        "sources": ("sources", "List the sources and how they fare; pause one, and resume it."),
        "workflows": ("workflows", "Workflows for files of records: list them, see what applies, start."),
        "flag": ("decide", "Put a quality mark on an item or a part of it."),
        "adopt": ("decide", "Declare a stage's result good as it is."),
        "apply": ("decide", "Bring finished work to the pipeline files as they are now."),
        "calibrations": ("calibrations", "List certified calibrations, and withdraw one."),
        "publish": (
            "decide",
            "Let publications go on that wait for a person; with --retry try failed ones again.",
        ),
    },
    "Keep": {
        "tokens": ("tokens", "Make, list and revoke the tokens that the server asks for."),
        "config": ("config", "Show the settings in force, and where each value comes from."),
        "db": ("db", "Check, migrate, back up and restore the catalog."),
        "inventory": ("inventory", "Compare what is on disk with the catalog; say that a disk has moved."),
        "verify": (
            "verify",
            "Read everything, compare it by hash, at a bounded rate; goes on where it stopped.",
        ),
        "sweep": (
            "inventory",
            "Remove what nobody needs: orphans of dead runs, superseded products, temporaries, old logs and events.",
        ),
        "pin": ("keep", "Keep an item's products, whatever retention says."),
        "unpin": ("keep", "Take pins off again."),
    },
}
MODULES = {name: module for panel in COMMANDS.values() for name, (module, _) in panel.items()}


class Commands(TyperGroup):
    """The group of all commands: lists them without loading them, loads the one that is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for panel, commands in COMMANDS.items():
            for name, (_, line) in commands.items():
                self.add_command(TyperCommand(name, help=line, short_help=line, rich_help_panel=panel))
        options.add_to(self)

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of all commands, with those that installed pipelines declare."""
        return [*self.commands, *(name for name in declared.commands() if name not in self.commands)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command as the list of commands shows it, not loaded; None if there is none."""
        if cmd_name in self.commands or cmd_name not in (brought := declared.commands()):
            return self.commands.get(cmd_name)
        line = f"A command of {' and '.join(brought[cmd_name])}."
        return TyperCommand(cmd_name, help=line, rich_help_panel="Of pipelines")

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command and load it; one that is not Towpath's own may be a plug-in's."""
        if args and args[0] not in MODULES and not args[0].startswith("-"):
            brought: Any = importlib.import_module("towpath.cli.brought")
            command = brought.find(args[0], options.call_of(ctx), args[1:])
            if command is not None:
                return args[0], command, args[1:]
        name, listed, rest = super().resolve_command(ctx, args)
        return name, load(name) if listed and name else None, rest

    def invoke(self, ctx: Any) -> Any:
        """Run the command; what goes wrong becomes a message and an exit code."""
        logging.basicConfig(level=logging.WARNING, handlers=[records.handler()])
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # whoever read along, such as `head`, has gone: typer ends it without a word
        except (TowpathError, OSError) as error:
            raise typer.Exit(tell(error, options.call_of(ctx))) from error
        except (typer.Exit, typer.Abort, typer.TyperException):
            raise
        except Exception as error:
            if type(error).__module__.startswith("typer."):
                raise  # a wrong command line: typer tells it best
            raise typer.Exit(tell(error, options.call_of(ctx))) from error


def load(name: str) -> TyperCommand | TyperGroup:
    """The command of this name, from its module."""
    module = importlib.import_module(f"towpath.cli.{MODULES[name]}")
    command = get_group(module.app).commands[name]
    assert isinstance(command, TyperCommand | TyperGroup)
    options.add_to(command)
    return command


def tell(error: Exception, call: options.Call) -> Exit:
    """Print an error and return its exit code."""
    code = code_of(error)
    if call.is_debug:
        traceback.print_exception(error)
    if call.is_json:
        document = {"error": str(error), "kind": type(error).__name__, "exit": int(code)}
        print(json.dumps(document, indent=2, ensure_ascii=False))
    if code is Exit.DEFECT:
        print(f"towpath: a defect: {type(error).__name__}: {error}", file=sys.stderr)
        print("--debug shows where; please report it", file=sys.stderr)
    else:
        print(f"towpath: {error}", file=sys.stderr)
    return code


def _print_version(value: bool) -> None:
    if value:
        print(f"towpath {version('towpath')}")
        raise typer.Exit


app = typer.Typer(cls=Commands, no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False)


@app.callback()
def towpath(
    is_version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end."),
    ] = False,
) -> None:
    """Draw science data from level to level: from the file that just arrived to the product that is published."""


def main() -> None:
    """Run the command line and end the process with its exit code."""
    try:
        app(prog_name="towpath")
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
