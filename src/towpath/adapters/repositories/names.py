"""What may be the key of a file and the id of a record, the same for every repository.

Promises that what is let through names one thing in one folder: nothing that climbs, hides, or cannot be shown as text.
"""

import re

from towpath.base.errors import NotFoundError, UsageError
from towpath.contracts.repository import Capability

_LONGEST = 255  # bytes of a name on common file systems
_RECORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}")


def is_key(text: str) -> bool:
    """Whether a text can be the key of a file: one name that is seen, of characters that can be printed."""
    if not text or text[0] == "." or "/" in text or "\\" in text or not text.isprintable():
        return False
    return len(text.encode(errors="surrogateescape")) <= _LONGEST


def is_record(text: str) -> bool:
    """Whether a text can be the id of a record: letters, digits, ``. _ ~ -``, the first a letter or digit."""
    return _RECORD.fullmatch(text) is not None


def check_record(where: str, record: str, by: Capability | None) -> None:
    """Raise `NotFoundError` unless this can be a record, and one that the capability is for."""
    if not is_record(record) or (by is not None and by.record != record):
        raise no_record(where, record)


def check_key(where: str, key: str) -> None:
    """Raise `UsageError` unless this can be the key of a file that is to be written."""
    if not is_key(key):
        raise UsageError(
            f"{where}: found the key {key[:80]!r}; expected one name of printable characters, "
            "no leading dot, no slash, 255 bytes at most"
        )


def no_record(where: str, record: str) -> NotFoundError:
    """The error for a record that is not there, or may not be seen: the two are not told apart."""
    return NotFoundError(f"{where}: there is no record {record[:80]!r}")


def no_file(where: str, record: str, key: str) -> NotFoundError:
    """The error for a file that is not there, or may not be seen."""
    return NotFoundError(f"{where}: record {record} has no file {key[:80]!r}")
