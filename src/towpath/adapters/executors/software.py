"""Which software a process has loaded: Python, and every installed distribution of which a module is imported.

Promises that a look costs next to nothing until something is imported for the first time. Never imports what it names.
"""

import json
import platform
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

_PLUGINS = "towpath.pipelines"
_INSTALLED = {"site-packages", "dist-packages"}  # the folders where distributions are


class Software:
    """What this process has loaded, looked for anew only when there are more modules or fewer."""

    def __init__(self) -> None:
        self._count = 0
        self._seen: set[str] = set(sys.stdlib_module_names)
        self._found: dict[str, str] = {"python": platform.python_version()}
        self._told: dict[str, str] = {}

    def told(self, pipeline: str) -> str:
        """Versions by name of distribution, that of the pipeline's plug-in too, as canonical JSON."""
        modules = sys.modules
        if len(modules) != self._count:
            self._count = len(modules)
            self._look({name.partition(".")[0] for name in list(modules)} - self._seen)
        told = self._told.get(pipeline)
        if told is None:
            found = {**self._found, **_plugin(pipeline)}
            told = self._told[pipeline] = json.dumps(found, sort_keys=True, separators=(",", ":"))
        return told

    def _look(self, names: Iterable[str]) -> None:
        """Take up top-level modules that are new; private ones come with public ones, or with the interpreter."""
        for name in names:
            self._seen.add(name)
            found = {} if name.startswith("_") else distributions_of(name)
            if found:
                self._found.update(found)
                self._told.clear()


def distributions_of(module: str) -> Mapping[str, str]:
    """The versions of the distributions that bring a top-level module, by name; none if it is not installed.

    Nearly all bear the module's name, and are found by it; what every distribution brings is read for the others only.
    """
    try:
        return _version(metadata.distribution(module))
    except (metadata.PackageNotFoundError, ValueError):
        file = getattr(sys.modules.get(module), "__file__", None) or ""
        if _INSTALLED.isdisjoint(Path(file).parts):
            return {}
    found: dict[str, str] = {}
    for name in _brought().get(module, ()):
        found |= _version(metadata.distribution(name))
    return found


@cache
def _brought() -> Mapping[str, Any]:
    return metadata.packages_distributions()


@cache
def _plugin(pipeline: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for point in metadata.entry_points(group=_PLUGINS, name=pipeline):
        if point.dist is not None:
            found |= _version(point.dist)
    return found


def _version(distribution: metadata.Distribution) -> dict[str, str]:
    name, version = distribution.metadata["Name"], distribution.version
    return {name.lower().replace("_", "-"): version} if name and version else {}
