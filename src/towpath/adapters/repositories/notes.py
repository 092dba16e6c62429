"""The hidden notes in a record's folder: what people say of the record, and which of its files were made by processing.

Promises that notes change as a whole or not at all, under a lock that holds between processes and threads, and that
nothing is followed that is a link. Never looks at a file's bytes.
"""

import contextlib
import fcntl
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from towpath.base.errors import SiteError

DESCRIPTION = ".record.toml"
_MADE = ".towpath.json"
_LOCK = ".towpath.lock"
PART = ".towpath-"  # how what is under way is named, with `.part` at its end
_LARGEST = 1 << 20  # bytes of a description
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


@dataclass(frozen=True, slots=True)
class Description:
    """What people say of a record; `people` is None where everybody may see and process it."""

    title: str = ""
    people: frozenset[str] | None = None
    is_published: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """A file that processing put there: who, its sha256 (hex) now and the time before, size in bytes, mtime in ns.

    The one before counts too: whoever is killed while a file is replaced leaves either.
    """

    made_by: str
    sha256: str
    before: str = ""
    size: int = -1
    mtime_ns: int = -1
    media_type: str = field(default="")


def described(folder: Path) -> Description:
    """What `.record.toml` says.

    Raises
    ------
    SiteError
        If it is there and cannot be understood: nobody is to be let in by a slip of the pen.
    """
    path = folder / DESCRIPTION
    try:
        table = tomllib.loads(_text(path, _LARGEST))
    except FileNotFoundError:
        return Description()
    except OSError as error:
        raise SiteError(f"{path}: cannot be read as a file of its own: {error.strerror}") from None
    except ValueError as error:
        raise SiteError(f"{path}: found what is no TOML: {error}; correct it") from None
    title, people = table.get("title", ""), table.get("people")
    is_published = table.get("published", False)
    unknown = sorted(set(table) - {"title", "people", "published"})
    if unknown:
        raise SiteError(f"{path}: found {unknown[0]!r}; expected title, people or published")
    if not isinstance(title, str) or not isinstance(is_published, bool):
        raise SiteError(f"{path}: expected a text as title, and true or false as published")
    if people is not None and not (isinstance(people, list) and all(isinstance(who, str) for who in people)):
        raise SiteError(f"{path}: people: expected a list of names")
    return Description(title, None if people is None else frozenset(people), is_published)


def made(folder: Path) -> dict[str, Made]:
    """What processing put there, by key.

    Raises
    ------
    SiteError
        If the note is damaged: without it results would be taken for what people deposited.
    """
    path = folder / _MADE
    try:
        found: Mapping[str, Any] = json.loads(_text(path, -1))
        return {str(key): Made(**entry) for key, entry in found["files"].items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SiteError(f"{path}: cannot be read as a file of its own: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise SiteError(
            f"{path}: is damaged; put back a copy, or remove it with the results it told of"
        ) from None


def note(folder: Path, files: Mapping[str, Made]) -> None:
    """Replace the note of what processing put there. To be called under `locked`. Raises `OSError`."""
    content = json.dumps({"files": {key: asdict(entry) for key, entry in sorted(files.items())}}, indent=1)
    temporary = folder / f"{PART}note-{os.getpid()}.part"
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(folder / _MADE)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the record's lock, between processes and between threads. Raises `OSError`."""
    fd = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)  # and with it the lock


def _text(path: Path, largest: int) -> str:
    with open(os.open(path, _OPEN), encoding="utf-8") as file:  # noqa: PTH123 (a link is not followed)
        text = file.read(largest + 1 if largest >= 0 else -1)
    if 0 <= largest < len(text):
        raise ValueError(f"more than {largest} characters")
    return text
