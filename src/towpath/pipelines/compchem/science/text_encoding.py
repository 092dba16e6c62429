"""In which encoding a text is: shells of Windows redirect into UTF-16, and its editors put a mark before UTF-8.

Promises to go by that mark alone and to read in pieces; what has none is taken for UTF-8, as all these programs write.
"""

import codecs
from pathlib import Path
from typing import BinaryIO, TextIO

MARKS = (
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
PLAIN = "utf-8"


def encoding_of(head: bytes) -> str:
    """The encoding of a text by its first bytes, as Python names it."""
    return next((name for mark, name in MARKS if head.startswith(mark)), PLAIN)


def in_utf8(head: bytes) -> bytes:
    """The first bytes of a file in UTF-8 and without a mark where they have one, else as they are."""
    encoding = encoding_of(head)
    return head if encoding == PLAIN else head.decode(encoding, errors="replace").encode()


def open_text(path: Path) -> TextIO:
    """Open a text to be read in its encoding; bytes that are none of it are replaced. Raises `OSError`."""
    return path.open(encoding=_encoding_in(path), errors="replace")


def open_bytes(path: Path) -> BinaryIO:
    """Open a file to be read as bytes, those of a text in UTF-8. Raises `OSError`."""
    encoding = _encoding_in(path)
    stream = path.open("rb")
    return stream if encoding == PLAIN else codecs.EncodedFile(stream, PLAIN, encoding, errors="replace")


def end_of(path: Path, size: int) -> bytes:
    """At most so many of the last bytes, without the zeros that plain letters have in UTF-16. Raises `OSError`."""
    with path.open("rb") as stream:
        stream.seek(max(stream.seek(0, 2) - size, 0))
        return stream.read().replace(b"\0", b"")


def _encoding_in(path: Path) -> str:
    with path.open("rb") as stream:
        return encoding_of(stream.read(3))
