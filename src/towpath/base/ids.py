"""Names on disk: how an item's key, a place and a run are written.

Promises that two different keys never give the same name, and that a name is safe in a path, a URL and a shell.
"""

import hashlib
import re

_SAFE = re.compile(r"[A-Za-z0-9_.+=@-]")
_PLAIN = re.compile(r"[A-Za-z0-9_+=@-][A-Za-z0-9_.+=@-]{0,119}\Z")
_LONGEST = 120


def slug(key: str) -> str:
    """`key` as a file name: safe characters kept, all others percent-encoded (so the mapping is one to one).

    Longer than 120 characters it is cut and ends in a hash of the whole.
    """
    if _PLAIN.match(key):
        return key
    text = "".join(c if _SAFE.match(c) else "".join(f"%{b:02X}" for b in c.encode()) for c in key)
    if text.startswith("."):
        text = "%2E" + text[1:]
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST - 17]}~{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    return text or "%"


def run_name(work: int, token: int) -> str:
    """The public name of a run: attempt `token` of work row `work`, such as ``"1042.2"``."""
    return f"{work}.{token}"


def parse_run_name(name: str) -> tuple[int, int]:
    """The work row and token of a run's name.

    Raises
    ------
    ValueError
        If `name` is not of the form ``WORK.TOKEN``.
    """
    work, _, token = name.partition(".")
    if not (work.isdigit() and token.isdigit()):
        raise ValueError(f"not a run: {name!r}; a run is written WORK.TOKEN, such as 1042.2")
    return int(work), int(token)
