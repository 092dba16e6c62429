"""A text as cclib can read it: lines at which one of its parsers gives up, though they say all that it asks for.

Changes nothing that is read out of them. Each mend names the builds or jobs that print such a line.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TextIO

Mend = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]
MENDS: Mapping[str, tuple[Mend, ...]] = {
    "psi4": (
        # Built from sources without a branch, as distributions do: "Git: Rev {} 1a2b3c4", or without anything.
        (re.compile(r"^( +Git: Rev) \{(?![\w.]+\})[^}]*\} +(?=\w)"), r"\1 "),
        (re.compile(r"^ +Git: Rev \{(?![\w.]+\})[^}]*\} *$"), ""),
    ),
    "nwchem": (
        # A basis set whose name has blanks: " I    lanl2dz ecp    4    8   2s2p"
        (
            re.compile(r"^( \S+ +)(\S+(?: \S+)+)( +\d+ +\d+ +(?:\d+[a-z])+ *)$"),
            lambda found: found[1] + found[2].replace(" ", "_") + found[3],
        ),
        # Excited states of open shells have no word for the spin: "  Root   1         a      0.1678 a.u."
        (re.compile(r"^(  Root +\d+) +(?=\S+ +-?\d+\.\d+ a\.u\.)"), r"\1 open-shell "),
    ),
}
NAMED = re.compile(r'^( +Geometry) "([^"]+)" -> "[^"]*" *$')


class Mended(Iterator[str]):
    """A text stream whose lines are mended; what is told of it is told of the stream.

    Parameters
    ----------
    stream
        Of text.
    program
        As `sniff_quantum` names it.
    geometry
        The name that an input of NWChem gave to its only geometry; cclib knows the default.
    """

    def __init__(self, stream: TextIO, program: str, geometry: str = "") -> None:
        self._stream = stream
        self._mends = MENDS.get(program, ())
        self._geometry = geometry
        self.name = stream.name

    def __next__(self) -> str:
        """The next line."""
        line = next(self._stream)
        for pattern, instead in self._mends:
            line = pattern.sub(instead, line)
        if self._geometry and (named := NAMED.match(line)) and named[2] == self._geometry:
            return f'{named[1]} "geometry" -> ""\n'
        return line

    def read(self) -> str:
        """All lines that are left."""
        return "".join(self)

    def readline(self) -> str:
        """The next line, empty at the end."""
        return next(self, "")

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place of the stream."""
        return self._stream.seek(offset, whence)

    def seekable(self) -> bool:
        """Whether one can go anywhere."""
        return self._stream.seekable()

    def tell(self) -> int:
        """The place in the stream."""
        return self._stream.tell()

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()
