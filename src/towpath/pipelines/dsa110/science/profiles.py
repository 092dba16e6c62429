"""Finds and reads the file of an instrument profile. Light to import: a pipeline file is checked by it.

Promises that the digest changes when a value in the file does, and not when a comment does.
"""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROFILES = Path(__file__).parent.parent / "instruments"


class ProfileError(ValueError):
    """A profile is wrong: correct the file at the place that the message names."""


def read_profile(name: str | Path) -> tuple[Path, Mapping[str, Any]]:
    """The file of the profile that ships under this name, or that lies at this path (``….toml``), and its content.

    Raises
    ------
    ProfileError
        If there is none, or it is not TOML.
    """
    path = Path(name) if str(name).endswith(".toml") else PROFILES / f"{name}.toml"
    try:
        with path.open("rb") as file:
            return path, tomllib.load(file)
    except FileNotFoundError:
        known = ", ".join(sorted(found.stem for found in PROFILES.glob("*.toml")))
        raise ProfileError(
            f"instrument profile {str(name)!r}: no such file; expected one of {known}, or a path that ends in .toml"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"instrument profile {path}: not TOML: {error}") from None


def digest_of(content: Mapping[str, Any]) -> str:
    """The sha256 of a profile's content, hexadecimal."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
