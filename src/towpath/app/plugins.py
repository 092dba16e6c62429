"""Finds what pipelines bring: by the entry points `towpath.pipelines`, or a module named in the site file.

Promises that listing names imports nothing, and that a plug-in that cannot be imported says what to install.
Never loads a pipeline that nobody asked for.
"""

import importlib
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from towpath.base.errors import DefinitionError, SiteError
from towpath.contracts.plugin import Plugin

GROUP = "towpath.pipelines"


def installed() -> dict[str, EntryPoint]:
    """The installed pipelines by name, none of them imported."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


def load(name: str, target: str = "", folder: Path | None = None) -> Plugin:
    """The plug-in of a pipeline: that of `target` (``"module:plugin"``) if given, else the installed one.

    Parameters
    ----------
    name
        The pipeline's name.
    target
        Where the plug-in is, if it is not installed.
    folder
        A folder to find the target's module in, first of all.

    Raises
    ------
    DefinitionError
        If there is no such plug-in.
    SiteError
        If it cannot be imported, or is no plug-in.
    """
    if not target:
        points = installed()
        if name not in points:
            known = ", ".join(points) or "none"
            raise DefinitionError(
                f"found no pipeline {name!r}; expected one that is installed ({known}), "
                f'or plugin = "module:plugin" in [pipelines.{name}] of the site file'
            )
        point = points[name]
        return _plugin(name, f"{point.module}:{point.attr}", _install(point))
    if folder is not None and str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()
    return _plugin(name, target, "")


def attribute(target: str) -> Any:
    """The object at ``"module:name"``.

    Raises
    ------
    ImportError
        If the module cannot be imported or has no such name.
    """
    module, _, name = target.partition(":")
    if not (module and name):
        raise ImportError(f"not of the form module:name: {target!r}")
    try:
        found: Any = importlib.import_module(module)
    except ImportError:
        raise
    except Exception as error:  # someone's module runs here, and may raise anything
        raise ImportError(f"{type(error).__name__} in module {module}: {error}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise ImportError(f"module {module} has no {name!r}")
        found = getattr(found, part)
    return found


def pipeline_file(plugin: Plugin, target: str = "") -> Path | None:
    """The pipeline file that a plug-in brings: the one it names, else `pipeline.toml` beside its module."""
    module = sys.modules.get(target.partition(":")[0] or _module_of(plugin.name))
    beside = Path(module.__file__).parent if module and module.__file__ else Path()
    path = beside / (plugin.pipeline_file or "pipeline.toml")
    return path if path.is_file() else None


def _module_of(name: str) -> str:
    point = installed().get(name)
    return point.module if point else ""


def _install(point: EntryPoint) -> str:
    distribution = point.dist.name if point.dist else "towpath"
    extra = f"[{point.name}]" if distribution == "towpath" else ""
    return f'pip install "{distribution}{extra}"'


def _plugin(name: str, target: str, install: str) -> Plugin:
    try:
        found = attribute(target)
    except ModuleNotFoundError as error:
        own = target.partition(":")[0].split(".")[0]
        if install and (error.name or "").split(".")[0] != own:
            raise SiteError(
                f"pipeline {name} needs {error.name}, which is not installed: {install}"
            ) from error
        raise SiteError(f"pipeline {name}: {target} cannot be imported: {error}") from error
    except ImportError as error:
        raise SiteError(f"pipeline {name}: {target} cannot be imported: {error}") from error
    if not isinstance(found, Plugin):
        raise SiteError(
            f"pipeline {name}: found {type(found).__name__} at {target}; expected a towpath.Plugin"
        )
    if found.name != name:
        raise SiteError(
            f"pipeline {name}: found the plug-in of {found.name!r} at {target}; expected that of {name!r}"
        )
    return found
