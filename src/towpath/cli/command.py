"""What the command of a plug-in works with: the site that it is about, and the screen, or one JSON document.

The public name `towpath.Command`. Answers as Towpath's own commands do.
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import typer
from rich.console import RenderableType
from rich.text import Text

from towpath.app.site import Site
from towpath.cli import opening, screen
from towpath.cli.options import call_of
from towpath.cli.screen import Screen


class Command:
    """A command of a plug-in at work: ``with Command(context) as command:``.

    The site is the one that ``--site``, the variable TOWPATH_SITE or the current folder names; errors of Towpath that are
    raised become messages and exit codes.

    Parameters
    ----------
    context
        The command's argument of the type `typer.Context`.

    Attributes
    ----------
    site
        The `Site`, open within the block.
    is_json
        Whether one JSON document is asked for.
    """

    site: Site

    def __init__(self, context: typer.Context) -> None:
        self._call = call_of(context)
        self.is_json = self._call.is_json
        self._screen = Screen(self.is_json)

    def __enter__(self) -> Self:
        """Open the site."""
        self.site = Site.open(opening.place_of(self._call), overrides=self._call.settings)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the site."""
        self.site.close()

    def answer(
        self,
        document: Any,
        text: str = "",
        *,
        headers: Sequence[str] = (),
        rows: Sequence[Sequence[object]] = (),
    ) -> None:
        """Print `document` as JSON if that is asked for; else a table, then a text, of those that are given.

        Parameters
        ----------
        document
            What ``--json`` prints: plain values, data classes, or lists and tables of them.
        text
            A sentence, or several lines.
        headers, rows
            A table.
        """
        parts: list[RenderableType] = []
        if headers:
            made = screen.table(*headers)
            for row in rows:
                made.add_row(*(screen.number(one) for one in row))
            parts.append(made)
        self._screen.answer(document, *parts, *([Text(text)] if text else []))

    def note(self, text: str) -> None:
        """Tell something beside the answer, on standard error."""
        self._screen.note(text)
