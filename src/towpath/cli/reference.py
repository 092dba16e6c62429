"""The reference of all commands as Markdown, from the commands themselves: `python -m towpath.cli.reference`.

Promises that docs/reference/cli.md, which it writes, says what the commands say; a test compares them.
"""

from collections.abc import Iterator
from typing import Any

from typer.core import TyperCommand, TyperGroup

from towpath.cli import options
from towpath.cli.entry import COMMANDS, load

_HEAD = """\
# The command line

`towpath --help` lists the commands, `towpath COMMAND --help` explains one. `towpath --install-completion` teaches your
shell to complete commands, options, and the names of items, stages and states of the site. How a command ends is in
[exit codes](exit-codes.md).

An item is named by its key, or `KIND/KEY`, or `PIPELINE/KIND/KEY`, as much as it takes to be unique. Commands that act
on items take several names, or a filter (`--state`, `--kind`, `--pipeline`): then they show what they found and ask,
unless `--yes` is given. Where a command has `--write`, it changes nothing without it.
"""


def reference() -> str:
    """The whole page."""
    parts = [_HEAD, "## Options of every command\n", _table(_shared())]
    for panel, commands in COMMANDS.items():
        parts.append(f"## {panel}\n")
        for name in commands:
            parts += _command(f"towpath {name}", load(name))
    return "\n".join(parts)


def _shared() -> list[Any]:
    bare = TyperCommand("bare")
    options.add_to(bare)
    return bare.params


def _command(name: str, command: TyperCommand | TyperGroup) -> Iterator[str]:
    if isinstance(command, TyperGroup):
        for inner, one in command.commands.items():
            assert isinstance(one, TyperCommand)
            yield from _command(f"{name} {inner}", one)
        return
    shared = {option for param in _shared() for option in param.opts}
    own = [param for param in command.params if not shared & set(param.opts)]
    arguments = " ".join(_argument(param) for param in own if param.param_type_name == "argument")
    yield f"### {name}\n"
    yield f"`{' '.join(part for part in (name, '[OPTIONS]' if len(own) else '', arguments) if part)}`\n"
    yield f"{_paragraphs(command.help or '')}\n"
    if own:
        yield _table(own)


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _argument(param: Any) -> str:
    name = str(param.metavar or param.name).upper()
    name = f"{name}..." if param.nargs == -1 else name
    return name if param.required else f"[{name}]"


def _table(params: list[Any]) -> str:
    rows = [f"| {_names(param)} | {_help(param)} |" for param in params]
    return "\n".join(["| | |", "|---|---|", *rows, ""])


def _names(param: Any) -> str:
    if param.param_type_name == "argument":
        return f"`{_argument(param)}`"
    value = "" if param.is_flag else f" {param.metavar or param.name.upper()}"
    names = [*param.opts, *param.secondary_opts]
    return ", ".join(f"`{name}{value}`" for name in names)


def _help(param: Any) -> str:
    text = (param.help or "").replace("|", "\\|").replace("<", "&lt;")
    shown = param.default not in (None, "", False, True, [], ()) and not param.required
    return f"{text} Default: `{param.default}`." if shown else text


if __name__ == "__main__":
    print(reference(), end="")
