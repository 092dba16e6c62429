"""The lines of an output of quantum chemistry, however long they and it are: with bounded memory, and an end."""

import itertools
from collections.abc import Iterator
from pathlib import Path

from .text_encoding import open_text

MOST_LINES, LONGEST = 50_000_000, 4096  # a longer line comes in pieces


def output_lines(path: Path) -> Iterator[str]:
    """Give the lines of a text with their ends; bytes that are none of its encoding are replaced. Raises `OSError`."""
    with open_text(path) as stream:
        yield from itertools.islice(iter(lambda: stream.readline(LONGEST), ""), MOST_LINES)
