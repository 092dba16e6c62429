"""What a person sees: quiet tables, colours of states, sizes and times in words; or one JSON document instead.

Results go to standard output, everything else to standard error. Never truncates what goes into a file or a pipe.
"""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import IO, Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from towpath.app.documents import plain
from towpath.base.words import count as count
from towpath.base.words import number as number
from towpath.base.words import seconds as seconds
from towpath.base.words import size as size
from towpath.base.words import when as when

COLOURS = {
    "done": "green",
    "running": "cyan",
    "ready": "blue",
    "waiting": "dim",
    "held": "yellow",
    "rejected": "magenta",
    "failed": "red",
    "poisoned": "red",
    "stopped": "yellow",
    "retired": "dim",
    # of products, publications, verdicts, runs and plans
    "current": "green",
    "missing": "red",
    "changed": "red",
    "shed": "dim",
    "spent": "dim",
    "wanted": "yellow",
    "committed": "green",
    "released": "green",
    "conflict": "red",
    "pass": "green",
    "warn": "yellow",
    "fail": "red",
    "hold": "yellow",
    "reject": "magenta",
    "lost": "red",
    "blocked": "yellow",
    "transient": "yellow",
    "run": "cyan",
    "wait": "dim",
    "decide": "yellow",
    "apply": "magenta",
}
_WIDE = 200  # columns where no terminal limits them


def console(stream: IO[str]) -> Console:
    """A console on a stream, wide where no terminal and no COLUMNS say how wide it is."""
    is_bounded = stream.isatty() or "COLUMNS" in os.environ
    return Console(
        file=stream, width=None if is_bounded else _WIDE, highlight=False, emoji=False, soft_wrap=False
    )


class Screen:
    """Where a command answers: tables for a person, or one JSON document."""

    def __init__(self, is_json: bool = False) -> None:
        self.is_json = is_json
        self.out, self.err = console(sys.stdout), console(sys.stderr)

    def answer(self, document: Any, *parts: RenderableType) -> None:
        """Print the document as JSON, or else the parts one below the other."""
        if self.is_json:
            sys.stdout.write(json.dumps(plain(document), indent=2, ensure_ascii=False, default=str) + "\n")
            return
        if self.out.is_terminal:
            self.out.print(*parts, sep="\n")
        else:
            with self.out.capture() as captured:
                for part in parts:  # a sentence or a path is one line, however long; a table has its columns
                    self.out.print(part, soft_wrap=isinstance(part, str | Text))
            sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))

    def line(self, document: Any, part: RenderableType) -> None:
        """Print one line of a stream that has no end: a JSON document on a line of its own, or the part."""
        if self.is_json:
            sys.stdout.write(json.dumps(plain(document), ensure_ascii=False, default=str) + "\n")
        else:
            self.out.print(part)
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """Tell something beside the answer, on standard error."""
        self.err.print(Text(text))


def table(*headers: str, right: Sequence[str] = (), fold: Sequence[str] = ()) -> Table:
    """An empty table without lines; columns in `right` hold numbers, those in `fold` may take several lines."""
    made = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", show_edge=False)
    for header in headers:
        is_wrapped = header in fold
        made.add_column(
            header,
            justify="right" if header in right else "left",
            overflow="fold" if is_wrapped else "ellipsis",
            no_wrap=not is_wrapped,
        )
    return made


def pairs(rows: Iterable[tuple[str, RenderableType]]) -> Table:
    """Names with their values, below one another."""
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        made.add_row(name, value)
    return made


def section(title: str, body: RenderableType) -> RenderableType:
    """A part of an answer under its title, with an empty line before it."""
    made = Table.grid()
    made.add_row(Text(title, style="bold"))
    made.add_row(Padding(body, (0, 0, 0, 2), expand=False))
    return Padding(made, (1, 0, 0, 0), expand=False)


def state(name: str, more: str = "") -> Text:
    """A state in its colour."""
    return Text(f"{name}{more}", style=COLOURS.get(name, ""))


def heading(text: str) -> Text:
    """The first line of an answer."""
    return Text(text, style="bold")


def dim(text: str) -> Text:
    """What may be overlooked."""
    return Text(text, style="dim")


def path(text: str) -> Text:
    """A line that holds a path: never broken, so that it can be copied."""
    return Text(text, no_wrap=True, overflow="ignore")
