"""Towpath draws science data from the file that just arrived to the product that is published.

These are the public names; everything else may change between versions.
"""

from typing import TYPE_CHECKING, Any

from towpath.base.errors import Reject, TowpathError, Transient
from towpath.base.model import Event, Flag, Item, Measure, Product, Run, Verdict
from towpath.contracts.judging import measure
from towpath.contracts.plugin import Plugin
from towpath.contracts.source import Asset, Provider, Request
from towpath.contracts.stage import (
    Calibration,
    Chain,
    Context,
    Flags,
    InputFile,
    Many,
    One,
    Record,
    Stage,
    Step,
    Unit,
    Verdicts,
)

if TYPE_CHECKING:
    from towpath.app.site import Site
    from towpath.cli.command import Command

__all__ = [
    "Asset",
    "Calibration",
    "Chain",
    "Command",
    "Context",
    "Event",
    "Flag",
    "Flags",
    "InputFile",
    "Item",
    "Many",
    "Measure",
    "One",
    "Plugin",
    "Product",
    "Provider",
    "Record",
    "Reject",
    "Request",
    "Run",
    "Site",
    "Stage",
    "Step",
    "TowpathError",
    "Transient",
    "Unit",
    "Verdict",
    "Verdicts",
    "__version__",
    "measure",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`Site` and `Command` are loaded when they are asked for, so that a worker, which needs none, starts quickly."""
    if name == "Site":
        from towpath.app.site import Site  # optional: needs the database libraries

        return Site
    if name == "Command":
        from towpath.cli.command import Command  # optional: needs the database libraries

        return Command
    raise AttributeError(f"module 'towpath' has no attribute {name!r}")
