"""Records of `logging` on a terminal or in a journal: one record, one line; what belongs to it stands indented below it.

Promises that no name or message can make a line that looks like another record, nor steer a terminal.
"""

import logging


class Lines(logging.Formatter):
    """Writes a record with what steers a terminal escaped, and further lines indented."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        return "\n    ".join(_plain(line) for line in super().format(record).split("\n"))


def _plain(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def handler() -> logging.Handler:
    """What writes records to stderr."""
    made = logging.StreamHandler()
    made.setFormatter(Lines())
    return made
