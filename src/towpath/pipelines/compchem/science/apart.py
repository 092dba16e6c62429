"""Does work in a child process, so that a decoder that dies of a damaged file takes nothing else with it.

The child is a fork: it sees all that the parent has and writes the same files, and what it tells comes back over a
pipe. It is for decoders in C that divide by what a file says; errors that Python knows need none of it.
"""

import faulthandler
import os
import signal
import struct
import warnings
from collections.abc import Callable

Row = tuple[float, ...]


def follow_apart(work: Callable[[Callable[[Row], None]], None], width: int) -> tuple[list[Row], str]:
    """Do work that tells rows of numbers, and gather the rows even where it dies.

    Parameters
    ----------
    work
        Is given a function to tell a row by.
    width
        Numbers in a row.

    Returns
    -------
    tuple
        The rows in the order they were told, and the name of the signal that ended the child, ``"error"`` where it
        ended of an exception, or ``""`` where it ended well.
    """
    layout = struct.Struct(f"={width}d")
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Libraries keep idle threads for linear algebra; they renew them after a fork.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        _work(work, layout, reading, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    rows = list(layout.iter_unpack(told[: len(told) // layout.size * layout.size]))
    if ended < 0:
        return rows, signal.Signals(-ended).name
    return rows, "error" if ended else ""


def _work(
    work: Callable[[Callable[[Row], None]], None], layout: struct.Struct, reading: int, writing: int
) -> None:
    """The child: it leaves by `os._exit`, so that nothing of the parent is run or flushed twice."""
    ended = 1
    try:
        faulthandler.disable()  # that it may die is expected, and told by the signal
        os.close(reading)
        work(lambda row: _tell(writing, layout.pack(*row)))
        ended = 0
    finally:
        os._exit(ended)


def _tell(pipe: int, row: bytes) -> None:
    """A row is far shorter than what a pipe takes at once."""
    os.write(pipe, row)
